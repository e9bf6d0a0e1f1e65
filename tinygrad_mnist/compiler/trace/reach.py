"""Everything that a function can reach besides its arguments: found, watched, and replaced during a trace.

The rule: **everything that the traced code can reach by name is watched.** A function leads to the variables
around it, to the globals and built-ins that it names, to its defaults, its ``__self__``, the contents of a
``functools.partial``, and from there to everything that these contain or call:

- for the user's own functions, everything that they name in turn;
- for a list, a tuple, a dict, a set or a deque, every item;
- for an object, a class or a module of the user, the attributes whose names occur in the code that was
  reached, or are computed in it (``getattr``), in the instance and along its classes; all attributes if that
  code gets all of them (``vars``, ``asdict``), or if methods that are not the user's read them;
- for a layer everything, and for its classes the functions that are called;
- for other modules, the functions and values that the code names, unchanged.

Code that is not the user's own (that of Python, NumPy, this package and installed packages) is not examined. Objects
that cannot be examined, such as C objects that may change unseen, are refused by name.

:class:`Reach` finds all that, and replaces arrays and Generators by stand-ins.
:func:`~tinygrad_mnist.compiler.trace.watch.tests_of` turns the findings into tests.
"""

from __future__ import annotations

import array
import enum
import functools
import mmap
import operator
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import ContextVar
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn import Module
from ...optim import Optimizer
from ...origins import line_of
from ...primitive import Composite, Primitive
from ...tensor import Tensor
from . import codes, kinds
from .asking import ASKING, WHY_UNSEEN, stand_in_for
from .kept import MISSING, Constants, Found, Kept
from .tape import is_stand_in
from .watch import Test, path_of

__all__ = ["Reach"]


_REMEDY = "pass what you need from it as an argument: a number, an array or a numpy.random.Generator"


class Reach:
    """Walks over everything that the traced code can reach by name.

    Parameters
    ----------
    stand_in : callable
        ``stand_in(name, value)`` returns a stand-in for an array or a Generator.
    tensor : callable
        ``tensor(name, t)`` puts a stand-in into a Tensor.
    integers : bool
        Whether arrays of integers get stand-ins; they are constants otherwise.
    """

    def __init__(
        self, stand_in: Callable[[str, Any], Any], tensor: Callable[[str, Tensor], None], integers: bool
    ) -> None:
        self._stand_in, self._tensor, self._integers = stand_in, tensor, integers
        self.kept: dict[tuple[int, str], Kept] = {}
        self.has_integers = False
        self._seen: dict[int, tuple[Any, Any]] = {}  # by id: a value, and its replacement
        self.names: set[str] = set()
        self._settled = 0
        self.is_computed = False  # whether code gets attributes by unknown names
        self.is_tried = False  # whether code continues if an attribute is missing
        self._lines: dict[str, Any] = {}
        self.functions: list[tuple[str, FunctionType]] = []
        self.globals: dict[int, tuple[dict[str, Any], set[str]]] = {}
        self.objects: list[Found] = []
        self.classes: dict[int, Found] = {}
        self.named_classes: list[type] = []
        self.modules: list[Found] = []
        self.layers: dict[int, Found] = {}
        self.containers: list[tuple[str, Any]] = []
        self.constants = Constants()
        self.partials: list[tuple[str, functools.partial[Any]]] = []
        self.fixed_tensors: list[Tensor] = []
        self.others: list[Test] = []

    # -- finding -------------------------------------------------------------------------------------

    def look(self, name: str, x: Any) -> Any:
        """Find everything that a value leads to; return its replacement during the trace."""
        replacement = self._visit(name, x)
        self._settle()
        return replacement

    def _settle(self) -> None:
        """Examine attributes until no function that was found names another one."""
        while self._settled != (size := len(self._seen) + len(self.names) + self.is_computed):
            self._settled = size
            for found in list(self.objects):
                self._attributes(found)
            for found in list(self.classes.values()):
                self._class_attributes(found)
            for found in list(self.modules):
                self._module_attributes(found)
            for found in list(self.layers.values()):
                self._layer_attributes(found)

    def _visit(self, name: str, x: Any, is_fixed: bool = False) -> Any:
        """Examine one value; a fixed value cannot be replaced."""
        if kinds.is_value(x) or is_stand_in(x):
            return x
        if id(x) not in self._seen:
            self._seen[id(x)] = x, x
            self._seen[id(x)] = x, self._looked_at(name, x, is_fixed)
        replacement = self._seen[id(x)][1]
        if is_fixed and replacement is not x:
            if type(x) is not np.ndarray:
                raise self._refusal(name, x, "is inside an immutable object")
            self.constants.add(name, x)
            return x
        return replacement

    def _looked_at(self, name: str, x: Any, is_fixed: bool) -> Any:
        if isinstance(x, Tensor):
            self._under_tensor(name, x)
            for hook in (x._node.hooks or ()) if x._node is not None else ():
                self._visit(f"{name}.hook", hook, True)
        elif isinstance(x, np.ndarray):
            return self._array(name, x, is_fixed)
        elif isinstance(x, np.random.Generator):
            if is_fixed:
                raise self._refusal(name, x, "is inside an immutable object")
            return self._stand_in(name, x)
        elif isinstance(x, Module):
            self.layer(name, x)
        elif isinstance(x, tuple):
            parts = [self._visit(path_of(name, i), part, is_fixed) for i, part in enumerate(x)]
            if any(new is not old for new, old in zip(parts, x, strict=True)):
                return tuple.__new__(type(x), parts)
        elif isinstance(x, functools.partial):
            parts = [self._visit(name or "argument", part, is_fixed) for part in (x.func, x.args)]
            self._visit(name, x.keywords)
            self.partials.append((name, x))
            if any(new is not old for new, old in zip(parts, (x.func, x.args), strict=True)):
                return functools.partial(parts[0], *parts[1], **x.keywords)
        elif isinstance(x, (FunctionType, MethodType, BuiltinFunctionType)):
            self._callable(name, x)
        elif isinstance(x, type):
            self._class(name, x, is_named=True)
            self.named_classes.append(x)
            if kinds.is_users_class(type(x)):
                self._object(name, x)
        elif isinstance(x, ModuleType):
            self.modules.append(Found(name, x))
        elif isinstance(x, (Primitive, Composite)):
            self._operation(name, x)
        elif "__compiled__" in (inner := kinds.attributes_of(x) or {}):  # a program: its function will run
            self._visit(name, inner["__compiled__"], True)
        elif not kinds.is_silent(x):
            self._other(name, x)
        return x

    def _operation(self, name: str, x: Primitive | Composite) -> None:
        """Examine the functions of an operation; its samples and its name make no difference to results."""
        whole = isinstance(x, Composite)
        for part in ("function",) if whole else ("forward", "rules", "pushes", "inside", "_otherwise"):
            value = getattr(x, part)
            self.others.append(Test(f"{{0}}.{part} is {{1}}", (x, value), name))
            functions = tuple(value.values()) if isinstance(value, dict) else getattr(value, "rule", value)
            self._visit(name, functions, True)

    def _under_tensor(self, name: str, t: Tensor) -> None:
        kind, is_leaf = t._array.dtype.kind, t._node is None or t._node.is_leaf
        self.has_integers |= kind in "iu"
        if is_leaf and (kind in "fc" or (kind in "iu" and self._integers)):
            self._tensor(name, t)
        elif not is_stand_in(t._array):
            self.fixed_tensors.append(t)
            self.constants.add(name or "tensor", t._array)

    def _other(self, name: str, x: Any) -> None:
        """Examine a container or an object."""
        if type(x) in (operator.attrgetter, operator.methodcaller, operator.itemgetter):
            arguments = x.__reduce__()[1]
            self.names |= {part for text in arguments if type(text) is str for part in text.split(".")}
        elif isinstance(x, functools._lru_cache_wrapper):
            raise self._refusal(name, x, "caches its results", "name the function without its cache")
        elif isinstance(x, weakref.ref):
            self.others.append(Test("{0}() is {1}", (x, x()), name))
            self._visit(name, x(), True)
        elif isinstance(x, ContextVar):
            value = x.get(MISSING)
            self.others.append(Test("{0}.get({2}) is {1}", (x, value, MISSING), name))
            if value is not MISSING:
                self._visit(name, value, True)
        elif isinstance(x, (bytearray, memoryview, array.array, mmap.mmap)):
            self.others.append(Test("{2}({0}) == {1}", (x, bytes(x), bytes), name))
        elif isinstance(x, MappingProxyType):
            self.containers.append((name, x))
            for key, part in x.items():
                self._visit(path_of(name, key), part, True)
        elif x is sys.modules:
            raise self._refusal(name, x, "holds all modules", "name the module")
        elif isinstance(x, (list, deque, dict, set, frozenset)):
            self._container(name, x)
            if kinds.is_users_class(type(x)):
                self._object(name, x)
        elif kinds.hides_memory(type(x)):
            raise self._refusal(name, x, "cannot be examined")
        else:
            self._object(name, x)

    def _container(self, name: str, x: Any) -> None:
        if isinstance(x, (set, frozenset)):
            for part in x:
                self._visit(name, part, True)
            if isinstance(x, frozenset):
                return
        self.containers.append((name, x))
        kind = "dict" if isinstance(x, dict) else "set" if isinstance(x, set) else "list"
        kept = self._keep(x, kind, name)
        if kind != "set":
            for key, part in kept.before.items():
                self._replace(kept, key, self._visit(path_of(name, key), part))

    def _array(self, name: str, x: np.ndarray, is_fixed: bool) -> Any:
        if type(x) not in (np.ndarray, np.memmap):
            raise self._refusal(name, x, "is not a plain array", "use np.asarray(x)")
        if x.dtype.kind in "iu":
            self.has_integers = True
        if x.dtype.kind in ("fciu" if self._integers else "fc") and not is_fixed:
            return self._stand_in(name, x)
        if x.dtype.kind == "O":
            for i, part in enumerate(x.flat):
                self._visit(path_of(name, i), part, True)
            self.others.append(Test("{2}(map({3}, {0}.flat, {1}))", (x, [*x.flat], all, operator.is_), name))
        else:
            self.constants.add(name, x)
        return x

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
        self.functions.append((name or f.__name__, f))
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self._note_line(variable, f.__code__)
            kept = self._keep(cell, "cell", variable, ["cell_contents"])
            if (value := kept.before["cell_contents"]) is not MISSING:
                self._replace(kept, "cell_contents", self._visit(variable, value))
        if not kinds.is_users_code(f.__code__):
            return
        kept = self._keep(f, "object", f.__name__, ["__defaults__"])
        self._replace(kept, "__defaults__", self._visit(f"{f.__name__}.default", f.__defaults__))
        if f.__kwdefaults__ is not None:
            self._visit(f"{f.__name__}.default", f.__kwdefaults__)
        if f.__dict__:
            self._object(f.__name__, f)
        for code in codes.codes_of(f.__code__):
            self._code(f, code)

    def _code(self, f: FunctionType, code: CodeType) -> None:
        self.names |= {*code.co_names, *codes.strings_of(code.co_consts)}
        self.is_computed |= not codes.COMPUTED.isdisjoint(code.co_names)
        self.is_tried |= bool(code.co_exceptiontable)
        for name in codes.BACK_DOORS.intersection(code.co_names):
            self._note_line(name, code)
            raise CompileError(f"compile: {self._place(name)}{name} {WHY_UNSEEN}")
        if not codes.IMPORTERS.isdisjoint(code.co_names):
            for name in code.co_consts:
                if type(name) is str and name in sys.modules:
                    self._visit(name, sys.modules[name])
        for name in codes.places_of(code, "GLOBAL") | codes.places_of(code, "LOAD_NAME"):
            self._global(f, code, name)
        for name in codes.places_of(code, "IMPORT_NAME"):
            for path in (name, f"{f.__globals__.get('__package__')}.{name}"):
                if path in sys.modules:
                    self._visit(path, sys.modules[path])

    def _global(self, f: FunctionType, code: CodeType, name: str) -> None:
        variables = f.__globals__
        _, known = self.globals.setdefault(id(variables), (variables, set()))
        if name in known:
            return
        known.add(name)
        self._note_line(name, code)
        kept = self._keep(variables, "dict", "", [name])
        value = kept.before[name]
        if value is MISSING and name in ASKING:
            self.is_tried |= name != "type"
            self._replace(kept, name, stand_in_for(name, self._place(name), self))
        elif value is not MISSING:
            self._replace(kept, name, self._visit(name, value))

    def name(self, key: str) -> None:
        """Note a name that was computed."""
        self.names.add(key)
        self._settle()

    def name_all(self, x: Any) -> None:
        """Note that all attributes of something are used."""
        for found in (*self.objects, *self.layers.values(), *self.modules, *self.classes.values()):
            found.is_whole |= found.x is x
        self._settled = -1
        self._settle()

    def _class(self, name: str, cls: type, is_named: bool = False) -> None:
        """Examine the user's classes among the bases of a class; a named one may be called."""
        for part in cls.__mro__:
            if kinds.is_users_class(part) and id(part) not in self.classes:
                self.classes[id(part)] = Found(name or part.__name__, part)
            if is_named and id(part) in self.classes:
                self.classes[id(part)].is_called = True

    def _object(self, name: str, x: Any) -> None:
        is_whole = kinds.is_read_by_others(type(x)) and not isinstance(x, (FunctionType, Optimizer))
        self.objects.append(Found(name, x, is_whole))
        attributes = kinds.attributes_of(x)
        if attributes is not None:
            self._keep(attributes, "dict", name or type(x).__name__)
        if not isinstance(x, FunctionType):
            self._class(name, type(x))

    def is_wanted(self, key: Any, found: Found) -> bool:
        """Whether an attribute is watched."""
        if isinstance(found.x, Optimizer) and key == "state":  # the step itself takes care of it
            return False
        return found.is_whole or key in self.names or self.is_computed

    def _attributes(self, found: Found) -> None:
        attributes, name = kinds.attributes_of(found.x), found.name
        for key, value in list(attributes.items()) if attributes is not None else ():
            if key not in found.done and self.is_wanted(key, found):
                found.done.add(key)
                new = self._visit_attribute(found, key, value)
                self._replace(self._keep(attributes, "dict", name), key, new)
        for key in kinds.slots_of(type(found.x)):
            if key not in found.done and self.is_wanted(key, found):
                found.done.add(key)
                kept = self._keep(found.x, "object", name or type(found.x).__name__, [key])
                if kept.before[key] is not MISSING:
                    self._replace(kept, key, self._visit_attribute(found, key, kept.before[key]))
        if isinstance(found.x, enum.Enum) and "_value_" not in found.done:
            found.done.add("_value_")
            self._visit(f"{name}.value", found.x._value_, True)

    def _visit_attribute(self, found: Found, key: Any, value: Any) -> Any:
        """Examine an attribute; a value that is not named itself may be anything."""
        path = path_of(found.name, key)
        if (
            key in self.names
            or not (found.is_whole or self.is_computed)
            or isinstance(value, (Tensor, Module, np.ndarray))
        ):
            return self._visit(path, value)
        try:
            return self._visit(path, value)
        except CompileError:
            return value

    def _class_attributes(self, found: Found) -> None:
        cls = found.x
        for key, value in list(vars(cls).items()):
            if key in found.done or key in codes.SAID_UNSEEN or (key in codes.MAKERS and not found.is_called):
                continue
            is_unseen = key == "forward" or (key.startswith("__") and key.endswith("__"))
            if not (is_unseen or self.is_wanted(key, found)):
                continue
            found.done.add(key)
            f = kinds.function_of(value)
            if f is not None:
                self._visit(f"{found.name}.{key}", f)
            elif isinstance(cls, enum.EnumMeta):
                self._visit(f"{found.name}.{key}", getattr(cls, key, None), True)
            elif not kinds.is_descriptor(value):
                kept = self._keep(cls, "class", found.name, [key])
                self._replace(kept, key, self._visit_attribute(found, key, value))
            elif kinds.is_users_class(type(value)):
                self._visit(f"{found.name}.{key}", value, True)

    def _module_attributes(self, found: Found) -> None:
        module, variables = found.x, vars(found.x)
        if "__getattr__" in variables and kinds.is_users_module(module):
            self._visit(f"{found.name}.__getattr__", variables["__getattr__"])
        is_whole = (self.is_computed or found.is_whole) and kinds.is_users_module(module)
        for key in [*variables] if is_whole else sorted(self.names & variables.keys()):
            value = variables[key]
            is_setting = not (callable(value) or isinstance(value, ModuleType) or key.startswith("__"))
            if key in found.done or not (key in self.names or is_setting):
                continue
            found.done.add(key)
            if value is os.getenv:
                self._visit("os.environ", os.environ)
            if kinds.is_core(module) and not (isinstance(value, _STATE) or kinds.is_users_function(value)):
                continue
            kept = self._keep(variables, "dict", found.name, [key])
            self._replace(kept, key, self._visit(path_of(found.name, key), value))

    # -- layers --------------------------------------------------------------------------------------

    def layer(self, name: str, module: Module) -> None:
        """Examine a module and all modules below it, each by its full path."""
        new = [Found(path, part) for path, part in module.named_modules() if id(part) not in self.layers]
        for found in new:
            part = found.x
            self.layers[id(part)] = found
            self._seen.setdefault(id(part), (part, part))
            self._keep(part.__dict__, "dict", type(part).__name__)
            self._class("", type(part))
        for found in new:
            self._layer_attributes(found)

    def found(self, module: Module) -> None:
        """Examine a module that is about to be called, unless this was done already."""
        if id(module) not in self.layers:
            self.layer("", module)
            self._settle()

    def _layer_attributes(self, found: Found) -> None:
        path, layer = found.name, found.x
        kept = self._keep(layer.__dict__, "dict", "")
        is_ours = not kinds.is_users_class(type(layer))
        for key, value in kept.before.items():
            if key in found.done or key in _OF_A_LAYER or kinds.is_value(value):
                continue
            is_part = isinstance(value, (Tensor, Module, np.ndarray, np.random.Generator))
            if key in layer._buffers:
                found.done.add(key)
                if id(value) not in self._seen:
                    self._seen[id(value)] = value, self._stand_in(path_of(path, key), value)
                self._replace(kept, key, self._seen[id(value)][1])
            elif is_part or is_ours or key == "forward" or self.is_wanted(key, found):
                found.done.add(key)
                self._replace(kept, key, self._visit_attribute(found, key, value))

    # -- saved values, and changes -------------------------------------------------------------------

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
        """Restore everything."""
        for kept in self.kept.values():
            kept.restore()
        self.constants.restore()

    def _note_line(self, name: str, code: CodeType) -> None:
        if name not in self._lines:
            place = codes.places_of(code, "").get(name)
            if place is not None:
                self._lines[name] = line_of((code, place))

    def _place(self, name: str) -> str:
        line = self._lines.get(name.partition(".")[0])
        return f"{line}: " if line is not None else ""

    def _refusal(self, name: str, x: Any, why: str, remedy: str = _REMEDY) -> CompileError:
        return CompileError(
            f"compile: {self._place(name)}{name or 'the function'} is a {type(x).__name__}, which {why}, so a "
            f"program could not notice a change; {remedy}"
        )


#: Contents that may change in modules that are not the user's.
_STATE = (list, dict, set, deque, MutableMapping, ModuleType)
#: Attributes of a layer for its place and its construction.
_OF_A_LAYER = ("_name", "_buffers", "_arguments", "training")
