"""What a function uses besides its arguments: found, replaced while it is traced, and watched afterwards.

A training step is hardly ever a function of its arguments alone: it uses a model's parameters, a layer's
running statistics, a Generator. :class:`Capture` finds them, in the modules that are called and in what the
function refers to, and puts stand-ins in their places for as long as the trace takes. What it has seen
then becomes :class:`Links`, which tell before every call whether all of it is still what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...errors import CompileError
from ...graph import CALLED, RECORDING, SERIALS, WATCH, Node, _set
from ...nn import Module
from ...tensor import Tensor
from ..program import Op, Store
from .numbers import Dice
from .standins import Tracer
from .tape import Trace, is_stand_in

__all__ = ["Capture", "Links"]

Slot = tuple[Any, Any]


class Links:
    """Attributes and items that have to be the objects they were."""

    def __init__(self, attributes: Iterable[Slot], items: Iterable[Slot]) -> None:
        attributes = list(attributes)
        self._kept = [
            (owner, name, getattr(owner, name))
            for owner, name in attributes
            if isinstance(owner, (Module, Tensor))
        ]
        self._others = [
            (owner, name, getattr(owner, name))
            for owner, name in attributes
            if not isinstance(owner, (Module, Tensor))
        ]
        self._items = [(owner, key, owner[key]) for owner, key in items]

    def hold(self) -> bool:
        """Whether modules and Tensors have the attributes they had.

        This needs to be asked only when :data:`~tinygrad_mnist.graph.CHANGES` has moved.
        """
        return all(getattr(owner, name, _NOTHING) is value for owner, name, value in self._kept)

    def tests(self, name: Callable[[Any], str]) -> list[str]:
        """Write out the tests of all else, which nobody counts; ``name`` gives names to objects."""
        lists = {id(owner): owner for owner, *_ in self._items if isinstance(owner, list)}
        return [
            *(f"len({name(owner)}) == {len(owner)}" for owner in lists.values()),
            *(f"{name(owner)}.{key} is {name(value)}" for owner, key, value in self._others),
            *(f"{name(owner)}[{key!r}] is {name(value)}" for owner, key, value in self._items),
        ]


class _Swap(NamedTuple):
    """A stand-in in somebody's place."""

    owner: Any
    key: Any
    stand_in: Any
    op: Op  # before anything was done to it in place
    original: Any
    name: str


class Capture:
    """Stand-ins in the places of what a function uses, within a ``with`` block."""

    keeps_graph = True

    def __init__(self, trace: Trace, function: Callable[..., Any], tensors: Iterable[Tensor]) -> None:
        self.trace = trace
        self.start = next(SERIALS)
        self.tensors: dict[int, tuple[Tensor, Tracer, Op, Any]] = {}  # with the array each had
        self._gradients: dict[int, Any] = {}
        self.given: dict[Op, Any] = {}  # the array or Generator behind each input
        self.stores: list[Store] = []
        self.attributes: list[Slot] = []
        self.items: list[Slot] = []
        self._swapped: list[_Swap] = []
        self._before: list[tuple[Any, dict[str, Any]]] = []
        self._seen: dict[int, Any] = {}
        self._names: set[str] = set()
        self._stack = ExitStack()
        self._first = list(tensors)
        self._function = function

    def __enter__(self) -> Capture:
        self._stack.enter_context(_set(CALLED, self.module))
        self._stack.enter_context(_set(RECORDING, self))
        self._stack.enter_context(_set(WATCH, self))
        try:
            self.value("", self._function, None, None)
            for tensor in self._first:
                self.tensor(tensor.name or "weight", tensor)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for swapped in reversed(self._swapped):
            _write(swapped.owner, swapped.key, swapped.original)
        for found in self.tensors.values():
            tensor, array = found[0], found[3]
            tensor._data = array
            if tensor._node is not None:
                tensor._node.value = array
                tensor._node.grad = self._gradients[id(tensor)]
        for owner, attributes in self._before:
            for key in owner.__dict__.keys() - attributes.keys():
                del owner.__dict__[key]
            owner.__dict__.update(attributes)

    def links(self) -> Links:
        """Everything that was found, to be watched."""
        tensors = [(t, name) for t, *_ in self.tensors.values() for name in ("_data", "_node")]
        return Links([*self.attributes, *tensors], self.items)

    def watch(self, optimizer: Any) -> None:
        """Notice when an optimizer gets other parameters or settings; learning rates may change."""
        self.attributes += [(optimizer, "state"), (optimizer, "param_groups")]
        for i, group in enumerate(optimizer.param_groups):
            self.items.append((optimizer.param_groups, i))
            self.items += [(group, key) for key in group if key != "lr"]
            self.items += [(group["params"], 0)] if group["params"] else []

    # -- who sees what is called and recorded --------------------------------------------------------

    def module(self, module: Module) -> None:
        """See a module that is about to be called, and all below it."""
        new = [(path, part) for path, part in module.named_modules() if id(part) not in self._seen]
        self._seen.update((id(part), part) for _, part in new)  # so that each is found by its whole path
        for path, part in new:
            self._before.append((part, dict(part.__dict__)))
            for name, value in list(part.__dict__.items()):
                if name not in ("_name", "_arguments"):
                    self.attributes.append((part, name))
                    full = f"{path}.{name}" if path else name
                    if name in part._buffers:
                        self._swap(full, value, part.__dict__, name)
                    else:
                        self.value(full, value, part.__dict__, name)

    def computed(self, node: Node) -> None:
        """See an operation that was recorded, and that its inputs are known."""
        for _, parent in node.parents:
            if parent.is_leaf and parent.serial < self.start and not is_stand_in(parent.value):
                raise CompileError(
                    f"compile: the function uses a Tensor {parent.name!r} of shape {parent.value.shape} that was "
                    "found neither in a module that it calls nor in a variable that it names; pass it as an argument, "
                    "or make it an attribute of a Module"
                )

    def arrived(self, node: Node, g: Any) -> None:
        """See whose rules run next in a backward pass."""
        self.trace.node = node

    def passed(self, *_: Any) -> None:
        """Nothing is made of what a rule returned."""

    def pushed(self, *_: Any) -> None:
        """Nothing is made of what is pushed forward."""

    # -- what there is to find -----------------------------------------------------------------------

    def value(self, name: str, value: Any, owner: Any, key: Any) -> None:
        """Replace a value by a stand-in if it may change from call to call; look into what holds others."""
        if isinstance(value, Tensor):
            self.tensor(name, value)
        elif isinstance(value, np.random.Generator) or (
            type(value) is np.ndarray and value.dtype.kind in "fc"
        ):
            self._swap(name, value, owner, key)
        elif isinstance(value, Module):
            self.module(value)
        elif hasattr(value, "__compiled__"):  # within another program, its function is run
            self.value(name, value.__compiled__, None, None)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            self._inside(name, value)

    def _inside(self, name: str, value: Any) -> None:
        if isinstance(value, (list, dict)):
            for key in list(value) if isinstance(value, dict) else range(len(value)):
                self.items.append((value, key))
                self.value(f"{name}.{key}", value[key], value, key)
        elif isinstance(value, tuple):
            for i, part in enumerate(value):
                if not isinstance(part, np.ndarray):  # which cannot be replaced in a tuple: a constant
                    self.value(f"{name}.{i}", part, value, i)
        elif isinstance(value, partial):
            for part in (value.func, value.args, value.keywords):
                self.value(name, part, None, None)
        elif isinstance(value, MethodType):
            self.value(name, value.__func__, None, None)
            if not isinstance(value.__self__, (Module, type, ModuleType)) and hasattr(
                value.__self__, "__dict__"
            ):
                self._instance(name, value.__self__)
        elif isinstance(value, FunctionType):
            self._closure(value)
        elif not isinstance(value, (type, ModuleType)) and callable(value):
            self._instance(name, value)

    def _instance(self, name: str, value: Any) -> None:
        if type(value).__module__.partition(".")[0] in ("numpy", "builtins") or not hasattr(
            value, "__dict__"
        ):
            return
        self._before.append((value, dict(value.__dict__)))
        for key, part in list(value.__dict__.items()):
            self.attributes.append((value, key))
            self.value(f"{name}.{key}" if name else key, part, value.__dict__, key)

    def _closure(self, function: FunctionType) -> None:
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not set yet
                continue
            self.attributes.append((cell, "cell_contents"))
            self.value(name, value, cell, "cell_contents")
        if function.__module__ is None or function.__module__.partition(".")[0] in ("numpy", _PACKAGE):
            return
        for name in dict.fromkeys(_names(function.__code__)):
            if name in function.__globals__:
                value = function.__globals__[name]
                if not isinstance(value, (ModuleType, type)):
                    self.items.append((function.__globals__, name))
                    self.value(name, value, function.__globals__, name)
        self.value("", function.__defaults__, None, None)

    def tensor(self, name: str, tensor: Tensor) -> None:
        """Put a stand-in under a Tensor that was made before."""
        if id(tensor) in self.tensors or (tensor._node is not None and not tensor._node.is_leaf):
            return
        array = tensor._data
        tracer = Tracer.input(self.trace, self._unique(name), array)
        self.given[tracer.op] = array
        self.tensors[id(tensor)] = tensor, tracer, tracer.op, array
        tensor._data = tracer  # type: ignore[assignment]
        if tensor._node is not None:
            tensor._node.value = tracer
            self._gradients[id(tensor)] = tensor._node.grad

    def _swap(self, name: str, original: Any, owner: Any, key: Any) -> None:
        if owner is None:
            return
        stand_in: Any = next((s.stand_in for s in self._swapped if s.original is original), None)
        if stand_in is None:
            kind: Any = Tracer if type(original) is np.ndarray else Dice
            stand_in = kind.input(self.trace, self._unique(name), original)
        self.given[stand_in.op] = original
        self._swapped.append(_Swap(owner, key, stand_in, stand_in.op, original, name))
        _write(owner, key, stand_in)

    def _unique(self, name: str) -> str:
        made, n = name, 1
        while made in self._names:
            n += 1
            made = f"{name}_{n}"
        self._names.add(made)
        return made

    # -- what the function changed -------------------------------------------------------------------

    def look_for_changes(self) -> None:
        """Find what was assigned to, and keep it as a store; an error where no program can do it."""
        swapped = {(id(owner), key) for owner, key, *_ in self._swapped}
        for owner, key, stand_in, first, original, name in self._swapped:
            now = _read(owner, key)
            now = now._data if isinstance(now, Tensor) else now
            op = self.trace.operand(now)
            if not isinstance(op, Op) or (type(stand_in) is Dice and now is not stand_in):
                raise CompileError(f"compile: {name} was replaced by a {type(now).__name__} during the call")
            if op is first:
                continue
            if (op.shape, op.dtype) != (original.shape, original.dtype):
                raise CompileError(
                    f"compile: {name} became an array of shape {op.shape} and dtype {op.dtype}; it was "
                    f"{original.shape} and {original.dtype}, and has to stay so"
                )
            self.stores.append(Store(first, op))
        for owner, attributes in self._before:
            for key in owner.__dict__.keys() | attributes.keys():
                same = owner.__dict__.get(key, _NOTHING) is attributes.get(key, _NOTHING)
                if not same and (id(owner.__dict__), key) not in swapped:
                    raise CompileError(
                        f"compile: the call changes the attribute {key!r} of {type(owner).__name__}, which no program "
                        "can do; keep what changes in an array (Module.register_buffer)"
                    )
        for tensor, tracer, first, _ in self.tensors.values():
            data: Any = tensor._data
            if data is not tracer or tracer.op is not first:
                raise CompileError(
                    f"compile: the call changes the Tensor {tensor.name!r} itself; use an optimizer, or return the new "
                    "value"
                )
            if tensor._node is not None and tensor._node.grad is not self._gradients[id(tensor)]:
                raise CompileError(
                    "compile: the function calls backward(), which leaves gradients behind. Return the loss, and pass "
                    "optimizer= for a whole training step; or compile tg.grad of a function"
                )


_NOTHING = object()
_PACKAGE = __name__.partition(".")[0]


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals that a function may look up, those within it too."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _read(owner: Any, key: Any) -> Any:
    return owner.cell_contents if isinstance(owner, CellType) else owner[key]


def _write(owner: Any, key: Any, value: Any) -> None:
    if isinstance(owner, CellType):
        owner.cell_contents = value
    else:
        owner[key] = value
