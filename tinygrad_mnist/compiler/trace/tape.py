"""The tape on which stand-ins record calls, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import numpy as np

from ...graph import SCOPE, Node, scope_text
from ...origins import Origin, is_internal, line_of, users_line
from ...tensor import Tensor
from ..instructions import as_array, instruction_of
from ..program import FEW, Constant, Input, Op, Place, swap

__all__ = ["ArrayStandIn", "Callee", "StandIn", "Trace", "is_pythons", "is_stand_in", "is_traced", "value_of"]


class StandIn:
    """A stand-in for something that may change in the next call; it has a value and an Op.

    Do not trust ``__class__``, which names the original: use :func:`is_stand_in`.
    """

    __slots__ = ("tape",)

    tape: Trace
    op: Op
    value: Any


class ArrayStandIn(StandIn):
    """A stand-in for an array or a number."""

    __slots__ = ()

    is_number: bool


def is_traced(x: Any) -> bool:
    """Whether something is a stand-in for an array, whatever it passes for."""
    return issubclass(type(x), ArrayStandIn)


def is_stand_in(x: Any) -> bool:
    """Whether something is a stand-in, whatever it passes for."""
    return issubclass(type(x), StandIn)


def value_of(arg: Any) -> Any:
    """The value behind a stand-in, or in a Tensor."""
    arg = arg._array if isinstance(arg, Tensor) else arg
    if is_traced(arg) and arg.is_number:
        return arg.value.item() if is_weak(arg) else arg.value[()]
    return arg.value if is_stand_in(arg) else arg


def is_pythons(x: Any) -> bool:
    """Whether something stands for a Python number that became an array in the program."""
    return is_traced(x) and x.op.calls(as_array) and x.op.args[0].dtype is None


def is_weak(x: Any) -> bool:
    """Whether it stands for a Python float or complex number, which is weak in NumPy's promotion."""
    return is_pythons(x) and x.op.dtype.kind in "fc"


def plain(x: Any) -> Any:
    """Convert a number or a string to Python's own type: an ``IntEnum``, for example, has its own ``repr``."""
    for kind, value in _PLAIN.items():
        if issubclass(type(x), kind) and type(x) not in (bool, kind) and not isinstance(x, np.generic):
            return value(x)
    return x


_PLAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
}


class Callee:
    """A function that is called as a whole.

    Attributes
    ----------
    function : callable
    operation : str
        The operation of this package to which it belongs, so that a program that runs on its own finds it; ``""``
        for a function that cannot be found anywhere.
    rule : int or None
        The number of the operation's rule; ``None`` for the operation itself.
    """

    def __init__(self, function: Callable[..., Any], operation: str = "", rule: int | None = None) -> None:
        self.function, self.operation, self.rule = function, operation, rule

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Callee) and self.operation == other.operation != "" and self.rule == other.rule
        )

    def __hash__(self) -> int:
        return hash((self.operation, self.rule))


class Trace:
    """The inputs and operations of a future program.

    Attributes
    ----------
    stand_in : callable
        Makes the stand-in for an array: a :class:`Tracer`.
    phase : "forward" or "update"
    node : Node or None
        The node whose rules are running, in the backward pass.
    """

    def __init__(self, stand_in: Callable[..., Any]) -> None:
        self.stand_in = stand_in
        self.inputs: list[Input] = []
        self.ops: list[Op] = []
        self.phase = "forward"
        self.node: Node | None = None
        self._thread = get_ident()
        self.is_inside = False  # whether an operation of this package is being expanded
        self.is_by_layout = False  # whether the writes depend on the memory layout of arrays
        self.pin: Callable[[Op], Any] | None = None
        # The errors that a program cannot avoid, with the user's line; calling an operation as a whole did not help.
        self.refused: list[tuple[Origin, Exception]] = []
        self._constants: dict[int, tuple[Any, Constant]] = {}
        self._places: dict[Any, Place] = {}

    def is_elsewhere(self) -> bool:
        """Whether another thread asks; it found a stand-in by chance, and should see the original value."""
        return get_ident() != self._thread

    def input(self, name: str, value: Any, kind: str = "array") -> Input:
        """Record an input of the program."""
        is_array = kind == "array"
        op = Input(name, value.shape if is_array else (), value.dtype if is_array else None, kind)
        self.inputs.append(op)
        return op

    def record(self, function: Any, args: tuple[Any, ...], settings: dict[str, Any], value: Any) -> Op:
        """Record a call of an instruction or a NumPy function whose result is known."""
        args = tuple(self.argument(arg) for arg in args)
        settings = {key: swap(arg, self.operand) for key, arg in settings.items()}
        is_array = isinstance(value, (np.ndarray, np.generic))
        shape, dtype = (value.shape, value.dtype) if is_array else ((), None)
        op = Op(instruction_of(function), args, settings, shape, dtype, self.place())
        self.ops.append(op)
        return op

    def argument(self, arg: Any) -> Any:
        """Convert a positional argument for the program: a NumPy number becomes an array, because its dtype counts."""
        return self.constant(np.asarray(arg)) if isinstance(arg, np.generic) else swap(arg, self.operand)

    def pinned(self, op: Op) -> Any:
        """The numbers of an input that may be treated as a constant and watched; otherwise ``None``."""
        return self.pin(op) if self.pin is not None else None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Mark calls within the block as parts of an operation."""
        before, self.is_inside = self.is_inside, True
        try:
            yield
        finally:
            self.is_inside = before

    def operand(self, arg: Any) -> Any:
        """Convert an argument, or a part of one, for the program."""
        if isinstance(arg, Tensor):
            arg = arg._array
        if is_stand_in(arg):
            return arg.op.args[0] if is_weak(arg) else arg.op
        if isinstance(arg, np.ndarray):
            return self.constant(arg)
        if isinstance(arg, np.generic) and not isinstance(arg, (np.bool_, np.integer)):
            return self.constant(np.asarray(arg))
        return plain(arg)

    def constant(self, value: Any) -> Constant:
        """Record an independent array with its current numbers, because it may be written into later."""
        known = self._constants.get(id(value))
        if known is not None and _has_same_bits(known[1].value, value):
            return known[1]
        op = Constant(_copied(value))
        self.ops.append(op)
        self._constants[id(value)] = value, op
        return op

    def place(self) -> Place:
        """The current line of the user's program."""
        if self.node is not None:
            if self.node not in self._places:
                self._places[self.node] = _place("backward", self.node.scope, self.node.line)
            return self._places[self.node]
        within, origin = SCOPE.get(), users_line()
        while within is not None and within[3] is not None and is_internal(within[3]):
            within = within[0]
        if within is not None and within[4] and within[3] is not None:
            origin = within[3]
        key = self.phase, SCOPE.get(), origin
        if key not in self._places:
            tells = not is_internal(origin) and "site-packages" not in origin[0].co_filename
            line = line_of(origin) if tells and self.phase != "update" else None
            self._places[key] = _place(self.phase, scope_text(SCOPE.get()), line)
        return self._places[key]


def _place(phase: str, scope: str, line: Any) -> Place:
    if line is None:
        return Place(phase, scope, "", "")
    name = line.file.replace("\\", "/").rpartition("/")[2]
    return Place(phase, scope, f"{name}:{line.number}", line.text)


def _copied(value: np.ndarray) -> np.ndarray:
    """Copy an array; elements that it repeats are stored once."""
    if value.ndim > 1 and value.size > FEW and (number := Constant(value).number) is not None:
        value = np.broadcast_to(number, value.shape)
    if 0 not in value.strides or not value.size:
        return np.array(value)
    once = value[tuple(slice(0, 1) if step == 0 else slice(None) for step in value.strides)]
    return np.broadcast_to(np.array(once), value.shape)


def _has_same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
