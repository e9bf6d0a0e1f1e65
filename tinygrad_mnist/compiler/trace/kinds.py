"""The kinds of objects in a trace: whose code it is, whether it can change, whether it can be examined."""

from __future__ import annotations

import abc
import collections
import datetime as dt
import decimal
import enum
import fractions
import io
import logging
import pathlib
import re
import sys
import sysconfig
import threading
import types
import typing
import uuid
import weakref
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

__all__ = [
    "attributes_of",
    "function_of",
    "hides_memory",
    "is_core",
    "is_descriptor",
    "is_read_by_others",
    "is_silent",
    "is_users_class",
    "is_users_code",
    "is_users_function",
    "is_users_module",
    "is_value",
    "slots_of",
]

_PACKAGE = __name__.partition(".")[0]
_FOLDERS = sysconfig.get_paths()
_INSTALLED = tuple(str(Path(_FOLDERS[name])) for name in ("purelib", "platlib", "stdlib", "platstdlib"))
_OURS = str(Path(sys.modules[_PACKAGE].__file__ or "").parent)


@cache
def _is_users_file(file: str) -> bool:
    """Whether a file belongs neither to this package nor to an installed one."""
    return not file.startswith((*_INSTALLED, _OURS, "<frozen ", "<__array_function__"))


def is_users_code(code: CodeType) -> bool:
    """Whether a function is the user's own, so that a trace examines the names in it."""
    return _is_users_file(code.co_filename)


def is_users_module(module: ModuleType) -> bool:
    """Whether a module is the user's own, including modules made by hand."""
    file = vars(module).get("__file__")
    if isinstance(file, str):
        return _is_users_file(file)
    return vars(module).get("__name__") not in sys.stdlib_module_names and "__path__" not in vars(module)


def is_core(module: ModuleType) -> bool:
    """Whether a module belongs to Python, NumPy or this package, so that its contents do not change."""
    top = str(vars(module).get("__name__")).partition(".")[0]
    return not is_users_module(module) and (top in sys.stdlib_module_names or top in ("numpy", _PACKAGE))


def is_users_class(cls: type) -> bool:
    """Whether the user wrote a class: one of its functions, or its module."""
    known = _CLASSES.get(id(cls))
    if known is None or known[0]() is not cls:
        known = _CLASSES[id(cls)] = weakref.ref(cls), _is_users_class(cls)
    return known[1]


#: Facts about classes by id, because a class may claim to equal another.
_CLASSES: dict[int, tuple[weakref.ref[type], bool]] = {}


def _is_users_class(cls: type) -> bool:
    if not cls.__flags__ & _HEAP:
        return False
    functions = [f for f in map(function_of, vars(cls).values()) if f is not None]
    if any(is_users_code(f.__code__) and f.__code__.co_filename != "<string>" for f in functions):
        return True
    if any(map(is_users_class, cls.__bases__)):
        return True
    module = sys.modules.get(cls.__module__) if isinstance(cls.__module__, str) else None
    return module is None or is_users_module(module)


#: The most frequent of the classes below.
_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), np.dtype})
#: Classes whose instances never change.
_VALUES: tuple[type, ...] = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), slice, range, np.dtype,
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath, re.Pattern, CodeType,
)  # fmt: skip

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
#: Objects that contain no numbers to read: for output, for synchronisation, for types.
_SILENT: tuple[type, ...] = (
    *_LOCKS, logging.Logger, logging.LoggerAdapter, logging.Handler, io.IOBase, threading.Thread, threading.Event,
    threading.Condition, threading.Semaphore, np.ufunc, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MethodWrapperType, types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.GenericAlias, types.UnionType, typing.TypeVar, type(np.sum), weakref.WeakKeyDictionary,
)  # fmt: skip


def is_value(x: Any) -> bool:
    """Whether something can never change its value."""
    kind = type(x)
    if kind in _PLAIN or (isinstance(x, np.generic) and kind.__module__ == "numpy" and kind is not np.void):
        return True
    return isinstance(x, _VALUES) and not is_users_class(kind)


def is_silent(x: Any) -> bool:
    """Whether something may change without effect on a number."""
    kind = type(x)
    return (
        isinstance(x, _SILENT) or kind.__module__ == "typing" or kind.__name__ == "cython_function_or_method"
    )


_HEAP = 1 << 9
#: Classes in C whose contents can be examined: containers and numbers.
_OPEN: tuple[type, ...] = (
    object, list, dict, tuple, set, frozenset, collections.deque, collections.OrderedDict, collections.defaultdict,
    bool, int, float, complex, str, bytes, BaseException, types.SimpleNamespace, threading.local,
)  # fmt: skip


def hides_memory(cls: type) -> bool:
    """Whether instances have memory besides their attributes and items that only C code can access."""
    if issubclass(cls, (type, BaseException, int, str, bytes, tuple)):
        return False
    base = max((c for c in cls.__mro__ if c in _OPEN), key=lambda c: c.__basicsize__)
    slots = {
        name for c in cls.__mro__ for name, x in vars(c).items() if isinstance(x, types.MemberDescriptorType)
    }
    slots -= {name for name, x in vars(base).items() if isinstance(x, types.MemberDescriptorType)}
    known = base.__basicsize__ + 8 * len(slots)
    known += 8 * (cls.__dictoffset__ > 0 == base.__dictoffset__) + 8 * (
        cls.__weakrefoffset__ > 0 == base.__weakrefoffset__
    )
    return cls.__basicsize__ > known


#: Base classes that read only the instance's own contents.
_PLAIN_BASES = (
    *_OPEN,
    abc.ABC,
    typing.Generic,
    enum.Enum,
    enum.IntEnum,
    enum.Flag,
    enum.IntFlag,
    enum.StrEnum,
)


def is_read_by_others(cls: type) -> bool:
    """Whether methods outside of the user's code may read any attribute of an instance."""
    return not all(c in _PLAIN_BASES or c.__name__ == "Protocol" or is_users_class(c) for c in cls.__mro__)


def function_of(x: Any) -> FunctionType | None:
    """Return the function behind a method, a property or another descriptor of a class."""
    if isinstance(x, (property, staticmethod, classmethod)):
        x = x.fget if isinstance(x, property) else x.__func__
    return x if isinstance(x, FunctionType) else None


def is_users_function(x: Any) -> bool:
    """Whether something is a function of the user."""
    return isinstance(x, FunctionType) and is_users_code(x.__code__)


def is_descriptor(x: Any) -> bool:
    """Whether an attribute of a class is a descriptor."""
    return hasattr(type(x), "__get__")


def attributes_of(x: Any) -> dict[str, Any] | None:
    """The attributes of an instance, whatever its class says; None if it cannot have any."""
    try:
        found = x.__dict__ if isinstance(x, threading.local) else object.__getattribute__(x, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def slots_of(cls: type) -> Iterator[str]:
    """The names of the slots of the user's classes."""
    for part in cls.__mro__:
        if is_users_class(part):
            yield from (key for key, x in vars(part).items() if isinstance(x, types.MemberDescriptorType))
