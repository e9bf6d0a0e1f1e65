"""What a function can reach besides its arguments: found, watched, and replaced while it is traced.

The rule: **watched is whatever the traced code can reach by name.** From a function that leads to the variables
around it, to the globals and the built-ins that it names, to its defaults, its ``__self__``, what a
``functools.partial`` holds, and from there to everything that these hold or call:

- of the user's own functions, whatever they name in turn;
- of a list, a tuple, a dict, a set or a deque every item;
- of an object, a class or a module of the user's own the attributes whose names occur in the code that was
  reached, in the instance and along its classes; all attributes where that code asks for attributes by computed
  names (``getattr``, ``vars``), or where methods that are not the user's read them;
- of a layer everything, and of its classes the functions that are called.

Code that is not the user's own (Python's, NumPy's, this package's and installed ones') is not looked into. What
cannot be looked into, an object in C that may change unseen, is refused by name.

:class:`Reach` finds all that, and has stand-ins put in the places of arrays and Generators. Afterwards
:meth:`Reach.tests` says what has to be the same at another call. A test compares by identity, which nobody's
``__eq__`` takes part in, and is sound since the test keeps what it compares with.
"""

from __future__ import annotations

import array
import builtins
import dis
import enum
import functools
import keyword
import mmap
import operator
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np

from ...errors import CompileError
from ...nn import Module
from ...optim import Optimizer
from ...origins import line_of
from ...tensor import Tensor
from .kept import MISSING, Kept
from .kinds import (
    function_of,
    hides_memory,
    is_core,
    is_read_by_others,
    is_silent,
    is_users_class,
    is_users_code,
    is_users_module,
    is_value,
)
from .tape import is_stand_in

__all__ = ["Reach", "Test", "same_items"]


class Test(NamedTuple):
    """Something that has to be so at another call.

    Attributes
    ----------
    text : an expression in which ``{0}``, ``{1}``, ... stand for the objects; nothing of the user's is in it
    objects : what these are
    what : what it is about, for messages
    """

    text: str
    objects: tuple[Any, ...]
    what: str


@dataclass
class _Found:
    """An object or a class some of whose attributes are watched."""

    name: str
    x: Any
    is_whole: bool = False  # whether all attributes are watched
    is_called: bool = False  # of a class: whether it may be called
    done: set[Any] = field(default_factory=set)


class Reach:
    """Walks over everything that the traced code can reach by name.

    Parameters
    ----------
    stand_in : callable
        ``stand_in(name, value)`` returns what stands for an array or a Generator.
    tensor : callable
        ``tensor(name, t)`` puts a stand-in under a Tensor.
    integers : bool
        Whether arrays of integers get stand-ins; they are constants otherwise.
    """

    def __init__(
        self, stand_in: Callable[[str, Any], Any], tensor: Callable[[str, Tensor], None], integers: bool
    ) -> None:
        self._stand_in, self._tensor, self._integers = stand_in, tensor, integers
        self.kept: dict[tuple[int, str], Kept] = {}
        self.has_integers = False
        self._seen: dict[int, tuple[Any, Any]] = {}  # by id: a value, and what takes its place
        self._names: set[str] = set()
        self._settled = 0
        self._is_computed = False  # whether code asks for attributes whose names nobody knows
        self._is_tried = False  # whether code goes on where an attribute is missing
        self._lines: dict[str, Any] = {}
        self._functions: list[tuple[str, FunctionType]] = []
        self._globals: dict[int, tuple[dict[str, Any], set[str]]] = {}
        self._objects: list[_Found] = []
        self._classes: dict[int, _Found] = {}
        self._named_classes: list[type] = []
        self._modules: list[_Found] = []
        self._layers: dict[int, _Found] = {}
        self._containers: list[tuple[str, Any]] = []
        self._constants: list[tuple[str, np.ndarray, bytes]] = []
        self._raw: list[Test] = []

    # -- finding -------------------------------------------------------------------------------------

    def look(self, name: str, x: Any) -> Any:
        """Find everything that a value leads to; return what takes its place while it is traced."""
        replacement = self._visit(name, x)
        self._settle()
        return replacement

    def _settle(self) -> None:
        """Look at attributes until no function that was found names another."""
        while self._settled != (size := len(self._seen) + len(self._names) + self._is_computed):
            self._settled = size
            for found in list(self._objects):
                self._attributes(found)
            for found in list(self._classes.values()):
                self._class_attributes(found)
            for found in list(self._modules):
                self._module_attributes(found)
            for found in list(self._layers.values()):
                self._layer_attributes(found)

    def _visit(self, name: str, x: Any, is_fixed: bool = False) -> Any:
        """Look at one value; what is fixed cannot be replaced where it is."""
        if is_value(x) or is_stand_in(x):
            return x
        if id(x) not in self._seen:
            self._seen[id(x)] = x, x
            self._seen[id(x)] = x, self._looked_at(name, x, is_fixed)
        replacement = self._seen[id(x)][1]
        if is_fixed and replacement is not x:
            if type(x) is not np.ndarray:
                raise self._refusal(name, x, "sits in something that cannot be changed")
            self._constant(name, x)
            return x
        return replacement

    def _looked_at(self, name: str, x: Any, is_fixed: bool) -> Any:
        if isinstance(x, Tensor):
            self._tensor(name, x)
            for hook in (x._node.hooks or ()) if x._node is not None else ():
                self._visit(f"{name}.hook", hook, True)
        elif isinstance(x, np.ndarray):
            return self._array(name, x, is_fixed)
        elif isinstance(x, np.random.Generator):
            if is_fixed:
                raise self._refusal(name, x, "sits in something that cannot be changed")
            return self._stand_in(name, x)
        elif isinstance(x, Module):
            self.layer(name, x)
        elif isinstance(x, tuple):
            parts = [self._visit(_path(name, i), part, is_fixed) for i, part in enumerate(x)]
            if any(new is not old for new, old in zip(parts, x, strict=True)):
                return tuple.__new__(type(x), parts)
        elif isinstance(x, functools.partial):
            parts = [self._visit(name or "argument", part, is_fixed) for part in (x.func, x.args)]
            self._visit(name, x.keywords)
            if any(new is not old for new, old in zip(parts, (x.func, x.args), strict=True)):
                return functools.partial(parts[0], *parts[1], **x.keywords)
        elif isinstance(x, (FunctionType, MethodType, BuiltinFunctionType)):
            self._callable(name, x)
        elif isinstance(x, type):
            self._class(name, x, is_named=True)
            self._named_classes.append(x)
        elif isinstance(x, ModuleType):
            self._modules.append(_Found(name, x))
        elif "__compiled__" in (
            attributes := _attributes_of(x)
        ):  # within another program, its function is run
            self._visit(name, attributes["__compiled__"], True)
        elif not is_silent(x):
            self._other(name, x)
        return x

    def _other(self, name: str, x: Any) -> None:
        """Look into a container, or an object."""
        if type(x) in (operator.attrgetter, operator.methodcaller):
            arguments = x.__reduce__()[1]
            self._names |= {part for text in arguments if type(text) is str for part in text.split(".")}
        elif type(x) is operator.itemgetter:
            pass
        elif isinstance(x, functools._lru_cache_wrapper):
            raise self._refusal(
                name, x, "keeps what it returned, stand-ins too", "name the function without its cache"
            )
        elif isinstance(x, weakref.ref):
            self._raw.append(Test("{0}() is {1}", (x, x()), name))
            self._visit(name, x(), True)
        elif isinstance(x, ContextVar):
            value = x.get(MISSING)
            self._raw.append(Test("{0}.get({2}) is {1}", (x, value, MISSING), name))
            if value is not MISSING:
                self._visit(name, value, True)
        elif isinstance(x, (bytearray, memoryview, array.array, mmap.mmap)):
            self._raw.append(Test("{2}({0}) == {1}", (x, bytes(x), bytes), name))
        elif isinstance(x, MappingProxyType):
            self._containers.append((name, x))
            for key, part in x.items():
                self._visit(_path(name, key), part, True)
        elif isinstance(x, (list, deque, dict, set, frozenset)):
            self._container(name, x)
            if is_users_class(type(x)):
                self._object(name, x)
        elif hides_memory(type(x)):
            raise self._refusal(name, x, "cannot be looked into")
        else:
            self._object(name, x)

    def _container(self, name: str, x: Any) -> None:
        if isinstance(x, (set, frozenset)):
            for part in x:
                self._visit(name, part, True)
            if isinstance(x, frozenset):
                return
        self._containers.append((name, x))
        kind = "dict" if isinstance(x, dict) else "set" if isinstance(x, set) else "list"
        kept = self._keep(x, kind, name)
        if kind != "set":
            for key, part in kept.before.items():
                self._replace(kept, key, self._visit(_path(name, key), part))

    def _array(self, name: str, x: np.ndarray, is_fixed: bool) -> Any:
        if type(x) not in (np.ndarray, np.memmap):
            raise self._refusal(name, x, "is no plain array", "use np.asarray of it")
        if x.dtype.kind in "iu":
            self.has_integers = True
        if x.dtype.kind in ("fciu" if self._integers else "fc") and not is_fixed:
            return self._stand_in(name, x)
        if x.dtype.kind == "O":
            for i, part in enumerate(x.flat):
                self._visit(_path(name, i), part, True)
            self._raw.append(Test("{2}(map({3}, {0}.flat, {1}))", (x, [*x.flat], all, operator.is_), name))
        else:
            self._constant(name, x)
        return x

    def _constant(self, name: str, x: np.ndarray) -> None:
        if not any(known is x for _, known, _ in self._constants):
            self._constants.append((name, x, x.tobytes()))

    def _callable(self, name: str, x: Any) -> None:
        if isinstance(x, MethodType):
            self._visit(name, x.__func__)
            self._visit(name or "self", x.__self__)
        elif isinstance(x, BuiltinFunctionType):
            if x.__self__ is not None and not isinstance(x.__self__, (ModuleType, type)):
                self._visit(name, x.__self__, True)
        else:
            self._function(name, x)

    def _function(self, name: str, f: FunctionType) -> None:
        self._functions.append((name or f.__name__, f))
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self._note_line(variable, f.__code__)
            kept = self._keep(cell, "cell", variable, ["cell_contents"])
            value = kept.before["cell_contents"]
            if value is not MISSING:
                self._replace(kept, "cell_contents", self._visit(variable, value))
        if not is_users_code(f.__code__):
            return
        kept = self._keep(f, "object", f.__name__, ["__defaults__"])
        self._replace(kept, "__defaults__", self._visit(f"{f.__name__}.default", f.__defaults__))
        if f.__kwdefaults__ is not None:
            self._visit(f"{f.__name__}.default", f.__kwdefaults__)
        if f.__dict__:
            self._object(f.__name__, f)
        for code in _codes(f.__code__):
            self._code(f, code)

    def _code(self, f: FunctionType, code: CodeType) -> None:
        self._names |= {*code.co_names, *_strings(code.co_consts)}
        self._is_computed |= not _COMPUTED.isdisjoint(code.co_names)
        self._is_tried |= bool(code.co_exceptiontable)
        for name in _places(code, "GLOBAL") | _places(code, "LOAD_NAME"):
            self._global(f, code, name)
        for name in _places(code, "IMPORT_NAME"):
            for path in (name, f"{f.__globals__.get('__package__')}.{name}"):
                if path in sys.modules:
                    self._visit(path, sys.modules[path])

    def _global(self, f: FunctionType, code: CodeType, name: str) -> None:
        variables = f.__globals__
        _, known = self._globals.setdefault(id(variables), (variables, set()))
        if name in known:
            return
        known.add(name)
        self._note_line(name, code)
        kept = self._keep(variables, "dict", "", [name])
        value = kept.before[name]
        if value is not MISSING:
            self._replace(kept, name, self._visit(name, value))
        elif name in _UNSEEN:
            raise CompileError(
                f"compile: {self._place(name)}{name}() reaches variables that nobody sees; name what is used"
            )

    def _class(self, name: str, cls: type, is_named: bool = False) -> None:
        """Look at the user's classes among those of a class; one that is named may be called."""
        for part in cls.__mro__:
            if is_users_class(part) and id(part) not in self._classes:
                self._classes[id(part)] = _Found(name or part.__name__, part)
            if is_named and id(part) in self._classes:
                self._classes[id(part)].is_called = True

    def _object(self, name: str, x: Any) -> None:
        is_whole = is_read_by_others(type(x)) and not isinstance(x, (FunctionType, Optimizer))
        self._objects.append(_Found(name, x, is_whole))
        attributes = _attributes_of(x)
        if attributes is not _NO_ATTRIBUTES:
            self._keep(attributes, "dict", name or type(x).__name__)
        if not isinstance(x, FunctionType):
            self._class(name, type(x))

    def _is_wanted(self, key: Any, found: _Found) -> bool:
        return found.is_whole or key in self._names or self._is_computed

    def _attributes(self, found: _Found) -> None:
        attributes, name = _attributes_of(found.x), found.name
        for key, value in list(attributes.items()):
            if key not in found.done and self._is_wanted(key, found):
                found.done.add(key)
                new = self._visit_attribute(found, key, value)
                self._replace(self._keep(attributes, "dict", name), key, new)
        for key in _slots(type(found.x)):
            if key not in found.done and self._is_wanted(key, found):
                found.done.add(key)
                kept = self._keep(found.x, "object", name or type(found.x).__name__, [key])
                if kept.before[key] is not MISSING:
                    self._replace(kept, key, self._visit_attribute(found, key, kept.before[key]))
        if isinstance(found.x, enum.Enum) and "_value_" not in found.done:
            found.done.add("_value_")
            self._visit(f"{name}.value", found.x._value_, True)

    def _visit_attribute(self, found: _Found, key: Any, value: Any) -> Any:
        """Look at an attribute; what is not named itself may be anything."""
        path = _path(found.name, key)
        if key in self._names or not self._is_computed or isinstance(value, (Tensor, Module, np.ndarray)):
            return self._visit(path, value)
        try:
            return self._visit(path, value)
        except CompileError:
            return value

    def _class_attributes(self, found: _Found) -> None:
        cls = found.x
        for key, value in list(vars(cls).items()):
            if key in found.done or key in _SAID_UNSEEN or (key in _MAKERS and not found.is_called):
                continue
            is_unseen = key == "forward" or (key.startswith("__") and key.endswith("__"))
            if not (is_unseen or key in self._names or self._is_computed):
                continue
            found.done.add(key)
            f = function_of(value)
            if f is not None:
                self._visit(f"{found.name}.{key}", f)
            elif isinstance(cls, enum.EnumMeta):
                self._visit(f"{found.name}.{key}", getattr(cls, key, None), True)
            elif not _is_descriptor(value):
                kept = self._keep(cls, "class", found.name, [key])
                self._replace(kept, key, self._visit_attribute(found, key, value))
            elif is_users_class(type(value)):
                self._visit(f"{found.name}.{key}", value, True)

    def _module_attributes(self, found: _Found) -> None:
        module, variables = found.x, vars(found.x)
        is_whole = self._is_computed and is_users_module(module)
        for key in [*variables] if is_whole else sorted(self._names & variables.keys()):
            value = variables[key]
            if key in found.done:
                continue
            if key not in self._names and (
                callable(value) or isinstance(value, ModuleType) or key[:2] == "__"
            ):
                continue
            if is_core(module) and not isinstance(value, (list, dict, set, deque, MutableMapping)):
                continue
            found.done.add(key)
            kept = self._keep(variables, "dict", found.name, [key])
            self._replace(kept, key, self._visit(_path(found.name, key), value))

    # -- layers --------------------------------------------------------------------------------------

    def layer(self, name: str, module: Module) -> None:
        """Look at a module and all below it, each by its whole path."""
        new = [_Found(path, part) for path, part in module.named_modules() if id(part) not in self._layers]
        for found in new:
            part = found.x
            self._layers[id(part)] = found
            self._seen.setdefault(id(part), (part, part))
            self._keep(part.__dict__, "dict", type(part).__name__)
            self._class("", type(part))
        for found in new:
            self._layer_attributes(found)

    def found(self, module: Module) -> None:
        """Look at a module that is about to be called, if nobody has."""
        if id(module) not in self._layers:
            self.layer("", module)
            self._settle()

    def _layer_attributes(self, found: _Found) -> None:
        path, layer = found.name, found.x
        kept = self._keep(layer.__dict__, "dict", "")
        is_ours = not is_users_class(type(layer))
        for key, value in kept.before.items():
            if key in found.done or key in _OF_A_LAYER or is_value(value):
                continue
            is_part = isinstance(value, (Tensor, Module, np.ndarray, np.random.Generator))
            if key in layer._buffers:
                found.done.add(key)
                if id(value) not in self._seen:
                    self._seen[id(value)] = value, self._stand_in(_path(path, key), value)
                self._replace(kept, key, self._seen[id(value)][1])
            elif is_part or is_ours or key in self._names or self._is_computed:
                found.done.add(key)
                self._replace(kept, key, self._visit_attribute(found, key, value))

    # -- what is kept, and what was changed ----------------------------------------------------------

    def _keep(self, owner: Any, kind: str, name: str, keys: Iterable[Any] | None = None) -> Kept:
        known = self.kept.get((id(owner), kind))
        if known is None:
            known = self.kept[id(owner), kind] = Kept(owner, kind, name, keys)
        elif keys is not None:
            known.also(keys)
        return known

    @staticmethod
    def _replace(kept: Kept, key: Any, new: Any) -> None:
        if new is not kept.now[key]:
            kept.put(key, new)

    def restore(self) -> None:
        """Put everything back where it was."""
        for kept in self.kept.values():
            kept.restore()
        for _, x, before in self._constants:
            if x.tobytes() != before:
                x[...] = np.frombuffer(before, x.dtype).reshape(x.shape)

    def written_constants(self) -> Iterator[str]:
        """The names of constants that the function wrote into."""
        for name, x, before in self._constants:
            if x.tobytes() != before:
                yield name

    def _note_line(self, name: str, code: CodeType) -> None:
        if name not in self._lines:
            place = _places(code, "").get(name)
            if place is not None:
                self._lines[name] = line_of((code, place))

    def _place(self, name: str) -> str:
        line = self._lines.get(name.partition(".")[0])
        return f"{line}: " if line is not None else ""

    def _refusal(self, name: str, x: Any, why: str, remedy: str = "") -> CompileError:
        remedy = (
            remedy
            or "pass what is needed of it as an argument: a number, an array or a numpy.random.Generator"
        )
        return CompileError(
            f"compile: {self._place(name)}{name or 'the function'} is a {type(x).__name__}, which {why}, so that a "
            f"program could not notice when it changes; {remedy}"
        )

    # -- what has to be the same at another call -----------------------------------------------------

    def tests(self) -> tuple[list[Test], list[Test]]:
        """Tests for every call, and those for when something of this package has changed."""
        tests: list[Test] = []
        counted: list[Test] = []
        for name, f in self._functions:
            tests += _of_function(name, f)
        for variables, names in self._globals.values():
            tests += _of_globals(variables, names)
        for found in self._objects:
            if not isinstance(found.x, Module):
                tests += self._of_object(found)
        for found in self._modules:
            if not is_core(found.x):
                variables = vars(found.x)
                tests += [_item(variables, key, f"{found.name}.{key}") for key in found.done]
        for cls in self._named_classes:
            for test in self._of_class(cls, cls.__name__):
                (counted if _is_counted(cls) else tests).append(test)
        for name, layer in ((found.name, found.x) for found in self._layers.values()):
            counted += [
                _attribute(layer, key, value, _path(name, key))
                for key, value in vars(layer).items()
                if key not in ("_name", "_arguments")
            ]
            cls = type(layer)
            counted.append(Test("len({0}.__dict__) == {1}", (layer, len(vars(layer))), name))
            counted.append(Test("type({0}) is {1}", (layer, cls), name))
            for test in self._of_class(cls, name or cls.__name__):
                (counted if _is_counted(cls) else tests).append(test)
        for name, x in self._containers:
            tests += same_items(name, x)
        for name, x, content in self._constants:
            tests.append(Test("{0}.shape == {1}", (x, x.shape), name))
            tests.append(Test("{0}.tobytes() == {1}", (x, content), name))
        return _unique(tests + self._raw), _unique(counted)

    def _of_object(self, found: _Found) -> Iterator[Test]:
        x, cls, name = found.x, type(found.x), found.name
        attributes = _attributes_of(x)
        users = [part for part in cls.__mro__ if is_users_class(part)]
        if users:
            yield Test("type({0}) is {1}", (x, cls), name)
        for key, value in attributes.items():
            if self._is_wanted(key, found) and not hasattr(type(_in_class(cls, key)), "__set__"):
                yield _attribute(x, key, value, _path(name, key))
        for key in _slots(cls):
            if self._is_wanted(key, found):
                value = object.__getattribute__(x, key) if hasattr(x, key) else MISSING
                if value is MISSING:
                    yield Test("not {1}({0}, {2})", (x, hasattr, key), name)
                else:
                    yield _attribute(x, key, value, _path(name, key))
        if attributes is not _NO_ATTRIBUTES:
            if found.is_whole or self._is_computed:
                yield Test("len({0}.__dict__) == {1}", (x, len(attributes)), name)
            elif self._is_tried or any("__getattr__" in vars(part) for part in users):
                absent = frozenset(self._names - attributes.keys())
                yield Test("{0}.__dict__.keys().isdisjoint({1})", (x, absent), name)
        if users:
            yield from self._of_class(cls, name, attributes, x)

    def _of_class(
        self, cls: type, name: str, attributes: dict[str, Any] | None = None, x: Any = MISSING
    ) -> Iterator[Test]:
        """Tests of the attributes of a class; with an instance, of those that the instance finds there."""
        done: set[str] = set()
        for found in (self._classes[id(part)] for part in cls.__mro__ if id(part) in self._classes):
            for key in found.done:
                value = vars(found.x).get(key, MISSING)
                path = _path(name, key)
                if key in done:  # hidden by a class further down, for all but super()
                    if "super" in self._names:
                        yield Test("{0}.__dict__[{1}] is {2}", (found.x, key, value), path)
                    continue
                if attributes is not None and key in attributes and not hasattr(type(value), "__set__"):
                    continue
                if value is MISSING or isinstance(value, MemberDescriptorType):
                    continue
                if x is not MISSING and not key.startswith("__") and isinstance(value, FunctionType):
                    yield _attribute(x, key, value, path, ".__func__")
                elif x is not MISSING and not _is_descriptor(value):
                    yield _attribute(x, key, value, path)
                elif (
                    _in_class(cls, "__getattribute__") is _PLAIN_LOOK_UP
                    and getattr(cls, key, MISSING) is value
                ):
                    yield _attribute(cls, key, value, path)
                else:
                    yield Test("{0}.__dict__[{1}] is {2}", (found.x, key, value), path)
            done |= found.done
        if self._is_computed or self._is_tried:
            for part in cls.__mro__:
                if is_users_class(part):
                    absent = frozenset(self._names - vars(part).keys())
                    yield Test("{0}.__dict__.keys().isdisjoint({1})", (part, absent), name)
        if issubclass(cls, Module):
            yield _attribute(cls, "forward", cls.forward, f"{name}.forward")


def _of_function(name: str, f: FunctionType) -> Iterator[Test]:
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            yield Test("{0}.cell_contents is {1}", (cell, cell.cell_contents), variable)
        except ValueError:
            yield Test("{1}({0})", (cell, _is_empty), variable)
    if is_users_code(f.__code__):
        yield Test("{0}.__code__ is {1}", (f, f.__code__), name)
        if f.__defaults__ is not None:
            yield Test("{0}.__defaults__ is {1}", (f, f.__defaults__), name)
        if f.__kwdefaults__ is not None:
            yield Test("{0}.__kwdefaults__ is {1}", (f, f.__kwdefaults__), name)


def _of_globals(variables: dict[str, Any], names: set[str]) -> Iterator[Test]:
    for name in names:
        if name in variables:
            yield _item(variables, name, name)
        else:
            yield Test("{0} not in {1}", (name, variables), name)
            if name in vars(builtins):
                yield _item(vars(builtins), name, name)


def same_items(name: str, x: Any) -> Iterator[Test]:
    """Test whether a container holds what it held."""
    if isinstance(x, (dict, MappingProxyType)):
        keys, values = list(x), list(x.values())
        yield Test("len({0}) == {1}", (x, len(keys)), name)
        if len(keys) <= _MANY and all(type(key) in (str, int) for key in keys):
            yield from (_item(x, key, _path(name, key)) for key in keys)
        else:
            yield Test("{2}(map({3}, {0}.values(), {1}))", (x, values, all, operator.is_), name)
        if len(keys) > 1:
            yield Test("{2}(map({3}, {0}, {1}))", (x, keys, all, operator.is_), name)
        return
    parts = list(x)
    yield Test("len({0}) == {1}", (x, len(parts)), name)
    if len(parts) <= _MANY and not isinstance(x, set):
        yield from (_item(x, i, _path(name, i)) for i in range(len(parts)))
    else:
        yield Test("{2}(map({3}, {0}, {1}))", (x, parts, all, operator.is_), name)


def _item(owner: Any, key: Any, what: str) -> Test:
    return Test("{0}[{1}] is {2}", (owner, key, owner[key]), what)


def _attribute(owner: Any, key: Any, value: Any, what: str, tail: str = "") -> Test:
    if type(key) is str and key.isascii() and key.isidentifier() and not keyword.iskeyword(key):
        return Test(f"{{0}}.{key}{tail} is {{1}}", (owner, value), what)
    return Test(f"{{3}}({{0}}, {{2}}){tail} is {{1}}", (owner, value, key, getattr), what)


def _unique(tests: list[Test]) -> list[Test]:
    """Every test once."""
    return list({(test.text, *map(id, test.objects)): test for test in tests}.values())


def _is_counted(cls: type) -> bool:
    """Whether the counter of changes goes up when a class, or one that it inherits from, gets an attribute."""
    return all(type(part) is type(Module) for part in cls.__mro__ if is_users_class(part))


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _in_class(cls: type, key: Any) -> Any:
    return next((vars(part)[key] for part in cls.__mro__ if key in vars(part)), None)


def _is_descriptor(x: Any) -> bool:
    return hasattr(type(x), "__get__")


_PLAIN_LOOK_UP = vars(object)["__getattribute__"]
_NO_ATTRIBUTES: dict[str, Any] = {}


def _attributes_of(x: Any) -> dict[str, Any]:
    """The attributes of an instance, whatever its class says of them."""
    try:
        found = x.__dict__ if isinstance(x, threading.local) else object.__getattribute__(x, "__dict__")
    except AttributeError:
        return _NO_ATTRIBUTES
    return found if isinstance(found, dict) else _NO_ATTRIBUTES


def _slots(cls: type) -> Iterator[str]:
    for part in cls.__mro__:
        if is_users_class(part):
            yield from (key for key, x in vars(part).items() if isinstance(x, MemberDescriptorType))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions within it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


@functools.lru_cache(1024)
def _places(code: CodeType, kind: str) -> dict[str, int]:
    """The names that instructions of a kind speak of, with the place of the first."""
    steps = [step for step in dis.get_instructions(code) if kind in step.opname and type(step.argval) is str]
    return {step.argval: step.offset for step in reversed(steps)}


def _strings(constants: Any) -> Iterator[str]:
    for x in constants:
        if type(x) is str and x.isidentifier():
            yield x
        elif isinstance(x, (tuple, frozenset)):
            yield from _strings(x)


def _path(name: str, key: Any) -> str:
    """What an item or an attribute is called; nobody's ``__repr__`` is asked."""
    text = key if type(key) is str else str(key) if type(key) is int else type(key).__name__
    return f"{name}.{text}" if name else text


#: Containers with more items are tested by a loop.
_MANY = 64
#: Attributes of a layer that say where it is and how it was made.
_OF_A_LAYER = ("_name", "_buffers", "_arguments", "training")
#: Who asks for attributes by names that the code does not say, or for all.
_COMPUTED = frozenset(
    {
        "getattr",
        "hasattr",
        "setattr",
        "delattr",
        "vars",
        "dir",
        "__dict__",
        "asdict",
        "astuple",
        "__getattribute__",
    }
)
#: Built-ins that reach variables by names that the code does not say.
_UNSEEN = ("globals", "eval", "exec")
#: Attributes of classes that no number comes from.
_SAID_UNSEEN = frozenset(
    {
        "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__slots__", "__repr__",
        "__match_args__", "__dataclass_fields__", "__dataclass_params__", "__str__", "__orig_bases__", "__parameters__",
        "__abstractmethods__", "_abc_impl", "__static_attributes__", "__firstlineno__", "__annotate__", "__reduce__",
        "__del__", "_is_ours", "__set_name__", "__init_subclass__", "__getstate__", "__setstate__", "__reduce_ex__",
    }
)  # fmt: skip
#: Methods that only run when a class is called.
_MAKERS = frozenset({"__init__", "__new__", "__post_init__"})
