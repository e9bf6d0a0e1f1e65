"""The conditions under which a program made for one call fits another call.

A :class:`Test` compares by identity. This involves nobody's ``__eq__``, takes a hundredth of a microsecond, and is
sound, because the test keeps the objects that it compares with. The texts of tests contain nothing of the
user's: objects, keys and names that are not plain identifiers are bound to variables.
"""

from __future__ import annotations

import builtins
import functools
import operator
from collections import deque
from collections.abc import Iterator, Mapping
from types import CellType, FunctionType, MappingProxyType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, NamedTuple

from ...nn import Module
from ..program import is_name
from .kept import MISSING
from .kinds import attributes_of, is_descriptor, is_users_class, is_users_code, slots_of

if TYPE_CHECKING:
    from .kept import Found
    from .reach import Reach

__all__ = ["Test", "path_of", "same_item", "same_items", "tests_of"]


class Test(NamedTuple):
    """A condition for another call.

    Attributes
    ----------
    text : an expression in which ``{0}``, ``{1}``, ... stand for the objects
    objects : these objects
    what : its subject, for messages
    """

    text: str
    objects: tuple[Any, ...]
    what: str


def tests_of(reach: Reach) -> tuple[list[Test], list[Test]]:
    """Write the tests for every call, and the tests for when a module or Tensor has changed."""
    tests: list[Test] = []
    counted: list[Test] = []
    for name, f in reach.functions:
        tests += _same_function(name, f)
    for name, partial in reach.partials:
        tests += _same_partial(name, partial)
    for variables, names in reach.globals.values():
        tests += _same_globals(variables, names)
    for found in reach.objects:
        tests += _same_object(found, reach)
    for found in reach.modules:
        tests += [same_item(vars(found.x), key, f"{found.name}.{key}") for key in sorted(found.done)]
    for cls in reach.named_classes:
        (counted if _is_counted(cls) else tests).extend(_same_class(cls, cls.__name__, reach))
    for found in reach.layers.values():
        cls, name = type(found.x), found.name or type(found.x).__name__
        counted += _same_layer(found)
        (counted if _is_counted(cls) else tests).extend(_same_class(cls, name, reach))
        if is_users_class(cls):  # its attributes may also be set through __dict__
            tests += [
                _attribute(found.x, key, vars(found.x)[key], path_of(name, key))
                for key in sorted(reach.names & vars(found.x).keys())
            ]
    for name, x in reach.containers:
        tests += same_items(name, x)
    for name, x, content in reach.constants.arrays.values():
        tests.append(Test("{0}.shape == {1}", (x, x.shape), name))
        tests.append(Test("{0}.tobytes() == {1}", (x, content), name))
    for tensor in reach.fixed_tensors:
        counted.append(Test("{0}._array is {1}", (tensor, tensor._array), tensor.name))
    return _once(tests + reach.others), _once(counted)


def _same_function(name: str, f: FunctionType) -> Iterator[Test]:
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        if _is_empty(cell):
            yield Test("{1}({0})", (cell, _is_empty), variable)
        else:
            yield Test("{0}.cell_contents is {1}", (cell, cell.cell_contents), variable)
    if is_users_code(f.__code__):
        yield Test("{0}.__code__ is {1}", (f, f.__code__), name)
        if f.__defaults__ is not None:
            yield Test("{0}.__defaults__ is {1}", (f, f.__defaults__), name)
        if f.__kwdefaults__ is not None:
            yield Test("{0}.__kwdefaults__ is {1}", (f, f.__kwdefaults__), name)


def _same_partial(name: str, x: functools.partial[Any]) -> Iterator[Test]:
    yield Test("{0}.func is {1}", (x, x.func), name)
    yield Test("{0}.args is {1}", (x, x.args), name)
    yield Test("{0}.keywords is {1}", (x, x.keywords), name)


def _same_globals(variables: dict[str, Any], names: set[str]) -> Iterator[Test]:
    for name in sorted(names):
        if name in variables:
            yield same_item(variables, name, name)
        else:
            yield Test("{0} not in {1}", (name, variables), name)
            if name in vars(builtins):
                yield same_item(vars(builtins), name, name)


def _same_layer(found: Found) -> Iterator[Test]:
    layer = found.x
    yield Test("type({0}) is {1}", (layer, type(layer)), found.name)
    yield Test("len({0}.__dict__) == {1}", (layer, len(vars(layer))), found.name)
    for key, value in vars(layer).items():
        if key not in ("_name", "_arguments"):
            yield _attribute(layer, key, value, path_of(found.name, key))


def _same_object(found: Found, reach: Reach) -> Iterator[Test]:
    x, cls, name = found.x, type(found.x), found.name
    attributes = attributes_of(x)
    users = [part for part in cls.__mro__ if is_users_class(part)]
    if users:
        yield Test("type({0}) is {1}", (x, cls), name)
    runs_code = any("__getattribute__" in vars(part) for part in users)
    for key, value in (attributes or {}).items():
        if reach.is_wanted(key, found) and not hasattr(type(_in_class(cls, key)), "__set__"):
            path = path_of(name, key)
            yield same_item(attributes, key, path) if runs_code else _attribute(x, key, value, path)
    for key in slots_of(cls):
        if reach.is_wanted(key, found):
            get = _in_class(cls, key).__get__
            yield Test("{2}({3}, {0}) is {1}", (x, _get(get, x), _get, get), path_of(name, key))
    if attributes is not None:
        if found.is_whole or reach.is_computed:
            yield Test("len({0}.__dict__) == {1}", (x, len(attributes)), name)
        elif reach.is_tried or any("__getattr__" in vars(part) for part in users):
            absent = frozenset(reach.names - attributes.keys())
            yield Test("{0}.__dict__.keys().isdisjoint({1})", (x, absent), name)
    if users:
        yield from _same_class(cls, name, reach, attributes or {}, x)


def _same_class(
    cls: type, name: str, reach: Reach, attributes: Mapping[str, Any] = MappingProxyType({}), x: Any = MISSING
) -> Iterator[Test]:
    """Test the attributes of a class; with an instance, those that the instance finds there."""
    done: set[str] = set()
    runs_code = _in_class(cls, "__getattribute__") is not _PLAIN_LOOK_UP
    for found in (reach.classes[id(part)] for part in cls.__mro__ if id(part) in reach.classes):
        for key in sorted(found.done):
            value, path = vars(found.x).get(key, MISSING), path_of(name, key)
            is_hidden = key in done  # by a class further down, except for super()
            if (is_hidden and "super" not in reach.names) or isinstance(value, MemberDescriptorType):
                continue
            if key in attributes and not hasattr(type(value), "__set__"):
                continue
            if is_hidden or value is MISSING or runs_code:
                yield Test("{0}.__dict__.get({1}) is {2}", (found.x, key, vars(found.x).get(key)), path)
            elif x is not MISSING and not key.startswith("__") and isinstance(value, FunctionType):
                yield _attribute(x, key, value, path, ".__func__")
            elif x is not MISSING and not is_descriptor(value):
                yield _attribute(x, key, value, path)
            elif getattr(cls, key, MISSING) is value:
                yield _attribute(cls, key, value, path)
            else:
                yield Test("{0}.__dict__.get({1}) is {2}", (found.x, key, value), path)
        done |= found.done
    if reach.is_computed or reach.is_tried:
        for part in filter(is_users_class, cls.__mro__):
            absent = frozenset(reach.names - vars(part).keys())
            yield Test("{0}.__dict__.keys().isdisjoint({1})", (part, absent), name)
    if issubclass(cls, Module):
        yield _attribute(cls, "forward", cls.forward, f"{name}.forward")


def same_items(name: str, x: Any) -> Iterator[Test]:
    """Test whether a container has the same contents."""
    yield Test(f"len({{0}}) == {len(x)}", (x,), name)
    is_plain = type(x) in (list, dict, deque, MappingProxyType)
    if isinstance(x, (dict, MappingProxyType)):
        keys, values = list(x), list(x.values())
        if is_plain and len(keys) <= _MANY and all(type(key) in (str, int) for key in keys):
            yield from (same_item(x, key, path_of(name, key)) for key in keys)
        else:
            yield _all_same(name, x, values, type(x).values)
        if len(keys) > 1:
            yield _all_same(name, x, keys, iter)
    elif is_plain and len(x) <= _MANY:
        yield from (same_item(x, i, path_of(name, i)) for i in range(len(x)))
    else:
        yield _all_same(name, x, list(x), iter)


def _all_same(name: str, x: Any, parts: list[Any], walk: Any) -> Test:
    return Test("{2}({3}({4}, {5}({0}), {1}))", (x, parts, all, map, operator.is_, walk), name)


def same_item(owner: Any, key: Any, what: str) -> Test:
    """Test whether an item is the same object."""
    if type(key) is int or is_name(key):
        return Test(f"{{0}}[{key!r}] is {{1}}", (owner, owner[key]), what)
    return Test("{0}[{1}] is {2}", (owner, key, owner[key]), what)


def _attribute(owner: Any, key: Any, value: Any, what: str, tail: str = "") -> Test:
    if is_name(key):
        return Test(f"{{0}}.{key}{tail} is {{1}}", (owner, value), what)
    return Test(f"{{3}}({{0}}, {{2}}){tail} is {{1}}", (owner, value, key, getattr), what)


def _once(tests: list[Test]) -> list[Test]:
    return list({(test.text, *map(id, test.objects)): test for test in tests}.values())


def _is_counted(cls: type) -> bool:
    """Whether the counter of changes increases if a class, or one of its bases, gets an attribute."""
    return all(type(part) is type(Module) for part in cls.__mro__ if is_users_class(part))


def _is_empty(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _get(get: Any, x: Any) -> Any:
    """Read a slot."""
    try:
        return get(x)
    except AttributeError:
        return MISSING


def _in_class(cls: type, key: Any) -> Any:
    return next((vars(part)[key] for part in cls.__mro__ if key in vars(part)), None)


def path_of(name: str, key: Any) -> str:
    """Name an item or an attribute, without calling anybody's ``__repr__``."""
    text = key if type(key) is str else str(key) if type(key) is int else type(key).__name__
    return f"{name}.{text}" if name else text


_PLAIN_LOOK_UP = vars(object)["__getattribute__"]
#: Containers with more items are tested by a loop.
_MANY = 64
