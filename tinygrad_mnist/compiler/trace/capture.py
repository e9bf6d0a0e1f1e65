"""Stand-ins, during a trace, for everything that a function uses besides its arguments.

A training step is hardly ever a function of its arguments alone: it uses a model's parameters, a layer's running
statistics, a Generator. :class:`~tinygrad_mnist.compiler.trace.reach.Reach` finds them. A :class:`Capture`
replaces them by stand-ins, observes what happens to these during the call, and restores everything, whatever
happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import numpy as np

from ...errors import CompileError
from ...graph import CALLED, RECORDING, SERIALS, WATCH, Node, Watch, _set
from ...optim import Optimizer
from ...primitive import Primitive
from ...tensor import Tensor
from ..program import Op, Store, take_name
from .numbers import Dice
from .pen import run
from .reach import Reach
from .standins import Tracer
from .tape import Trace, is_stand_in
from .watch import Test, same_item, same_items, tests_of

__all__ = ["Capture", "Held"]


class Held(NamedTuple):
    """A Tensor that was made before the call, and its old value."""

    tensor: Tensor
    tracer: Tracer
    op: Op
    array: Any
    gradient: Any


class _Input(NamedTuple):
    """A stand-in for an array or a Generator."""

    stand_in: Any
    op: Op  # before any in-place change
    original: Any
    name: str


class Capture(Watch):
    """Stand-ins for everything that a function uses, within a ``with`` block.

    Attributes
    ----------
    user_function, function : callable
        The traced function, and the function to call instead.
    tensors : dict
        What each Tensor :class:`Held`, by its id.
    given : dict
        The array or Generator behind each input.
    stores : list
        What the call writes into existing arrays, after :meth:`look_for_changes`.
    """

    keeps_graph = True

    def __init__(self, function: Callable[..., Any], integers: bool = True) -> None:
        self.trace = Trace(Tracer)
        self.start = next(SERIALS)
        self.user_function = self.function = function
        self.tensors: dict[int, Held] = {}
        self.given: dict[Op, Any] = {}
        self.stores: list[Store] = []
        self.reach = Reach(self._stand_in, self._hold, integers)
        self._inputs: list[_Input] = []
        self._names: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Capture:
        try:
            self._stack.enter_context(_set(CALLED, self.reach.found))
            self._stack.enter_context(_set(RECORDING, True))
            self._stack.enter_context(_set(WATCH, self))
            self.function = self.reach.look("", self.function)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.reach.restore()
        for held in self.tensors.values():
            tensor, node = held.tensor, held.tensor._node
            tensor._array = held.array
            if node is not None:
                node.value, node.grad = held.array, held.gradient

    # -- observing the record ------------------------------------------------------------------------

    def run(self, primitive: Primitive, args: Sequence[Any], settings: Any, rule: int | None = None) -> Any:
        """Write down an operation, or one of its rules."""
        return run(self.trace, primitive, args, settings, rule)

    def computed(self, node: Node) -> None:
        """Observe a recorded operation, and check that its inputs are known."""
        for _, parent in node.parents:
            if parent.is_leaf and parent.serial < self.start and not is_stand_in(parent.value):
                raise CompileError(
                    f"compile: the function uses a Tensor {parent.name!r} of shape {parent.value.shape} that was "
                    "found neither in a module that it calls nor in a variable that it names; pass it as an argument, "
                    "or make it an attribute of a Module"
                )

    def arrived(self, node: Node, g: Any) -> None:
        """Observe whose rules run next in a backward pass."""
        self.trace.node = node

    def looked_at(self, node: Node) -> None:
        """Refuse to read a gradient from before the call: a program would not notice a new one."""
        if node.serial < self.start:
            raise CompileError(
                f"compile: the function reads the grad of {node.name!r}, which changes with every backward(); pass "
                "it as an argument, or use tg.grad inside the function"
            )

    # -- stand-ins -----------------------------------------------------------------------------------

    def _hold(self, name: str, tensor: Tensor) -> None:
        """Put a stand-in into an existing Tensor."""
        node = tensor._node
        if id(tensor) in self.tensors or (node is not None and not node.is_leaf):
            return
        array = tensor._array
        tracer = Tracer.input(self.trace, take_name(name, self._names), array)
        self.given[tracer.op] = array
        self.tensors[id(tensor)] = Held(tensor, tracer, tracer.op, array, node and node.grad)
        tensor._array = tracer  # type: ignore[assignment]
        if node is not None:
            node.value = tracer

    def _stand_in(self, name: str, original: Any) -> Any:
        kind: Any = Tracer if isinstance(original, np.ndarray) else Dice
        stand_in = kind.input(self.trace, take_name(name, self._names), original)
        self.given[stand_in.op] = original
        self._inputs.append(_Input(stand_in, stand_in.op, original, name))
        return stand_in

    # -- changes by the function ----------------------------------------------------------------------

    def look_for_changes(self) -> None:
        """Find everything that was written into, and keep it as stores; raise an error if a program cannot do it."""
        by_id = {id(found.stand_in): found for found in self._inputs}
        results = {found.op: found.stand_in.op for found in self._inputs}
        for kept in self.reach.kept.values():
            for key, old, new in kept.changes():
                new = new._array if isinstance(new, Tensor) else new
                replaced = by_id.get(id(old))
                if replaced is None or type(old) is Dice or not isinstance(new, np.ndarray):
                    raise CompileError(
                        f"compile: the call changes {_described(kept.kind, kept.name, key)}, which a program would not "
                        "repeat; return the changed value, or keep it in an array (Module.register_buffer)"
                    )
                if is_stand_in(new) and cast(Any, new).is_number:
                    raise CompileError(
                        f"compile: {replaced.name} became a NumPy number; it was an array without axes, and must "
                        "stay one: write into it, as in x[...] = x + 1"
                    )
                results[replaced.op] = self.trace.operand(new)
        for found in self._inputs:
            op = results[found.op]
            if op is found.op:
                continue
            if (op.shape, op.dtype) != (found.original.shape, found.original.dtype):
                raise CompileError(
                    f"compile: {found.name} became an array of shape {op.shape} and dtype {op.dtype}; it was "
                    f"{found.original.shape} and {found.original.dtype}, and must stay that way"
                )
            self.stores.append(Store(found.op, op))
        for name in self.reach.constants.written():
            raise CompileError(
                f"compile: the call writes into {name}, an array that is a constant of the program; keep numbers "
                "that change in a floating-point array, or in a buffer (Module.register_buffer)"
            )
        for tensor, tracer, first, _, gradient in self.tensors.values():
            data: Any = tensor._array
            if data is not tracer or tracer.op is not first:
                raise CompileError(
                    f"compile: the call changes the Tensor {tensor.name!r} itself; use an optimizer, or return the new "
                    "value"
                )
            if tensor._node is not None and tensor._node.grad is not gradient:
                raise CompileError(
                    "compile: the function calls backward(), which leaves gradients behind. Return the loss, and pass "
                    "optimizer= for a whole training step; or compile tg.grad of a function"
                )

    # -- conditions for another call -----------------------------------------------------------------

    def tests(self, optimizer: Optimizer | None) -> tuple[list[Test], list[Test]]:
        """Write the tests for every call, and the tests for when a module or Tensor has changed."""
        tests, counted = tests_of(self.reach)
        for _, _, x, name in self._inputs:
            if isinstance(x, np.ndarray):
                tests.append(Test("{0}.shape == {1}", (x, x.shape), name))
                if self.trace.is_by_layout:
                    tests.append(Test("{0}.strides == {1}", (x, x.strides), f"how {name} lies in memory"))
        for tensor, *_ in self.tensors.values():
            name, node = tensor.name, tensor._node
            counted.append(Test("{0}._array is {1}", (tensor, tensor._array), name))
            counted.append(Test("{0}._node is {1}", (tensor, node), name))
            if node is not None:
                hooks = list(node.hooks or ())
                counted.append(Test("[*({0}.hooks or ())] == {1}", (node, hooks), f"the hooks of {name}"))
        if optimizer is not None:
            tests += _of_optimizer(optimizer)
        return tests, counted


def _of_optimizer(optimizer: Optimizer) -> Iterable[Test]:
    """Test that an optimizer has the same parameters and settings; learning rates may change."""
    name = type(optimizer).__name__
    yield Test("{0}.state is {1}", (optimizer, optimizer.state), f"the state of {name}")
    yield Test("{0}.param_groups is {1}", (optimizer, optimizer.param_groups), f"the groups of {name}")
    formula = type(optimizer).update
    yield Test("type({0}) is {1}", (optimizer, type(optimizer)), f"the kind of {name}")
    yield Test("{0}.update is {1}", (type(optimizer), formula), f"the formula of {name}")
    yield from same_items(f"the groups of {name}", optimizer.param_groups)
    for group in optimizer.param_groups:
        yield Test(f"len({{0}}) == {len(group)}", (group,), f"the settings of {name}")
        for key in group:
            if key != "lr":
                yield same_item(group, key, f"{key} of {name}")
        yield from same_items(f"the parameters of {name}", group["params"])


def _described(kind: str, name: str, key: Any) -> str:
    """Name a slot that was written into."""
    if kind == "cell" or not name:
        return f"{name or str(key)!r}"
    if kind == "list":
        return f"{name!r}, a list"
    if kind == "set":
        return f"{name!r}, a set"
    text = key if type(key) is str else str(key) if type(key) is int else type(key).__name__
    return f"{text!r} in {name!r}"
