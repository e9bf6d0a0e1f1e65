"""What was called, in order: the list that stand-ins for arrays write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...graph import SCOPE, Node, scope_text
from ...origins import is_internal, line_of, users_line
from ...tensor import Tensor
from ..program import Op, Place, swap

__all__ = ["Callee", "StandIn", "Trace", "is_stand_in", "value_of"]


class StandIn:
    """Stands for something that may be another at the next call; it has a value, and an Op.

    What a stand-in passes for (``__class__``) is not what it is: ask :func:`is_stand_in`.
    """

    __slots__ = ("op", "trace", "value")

    def __init__(self, trace: Trace, op: Op, value: Any) -> None:
        self.trace, self.op, self.value = trace, op, value


def is_stand_in(x: Any) -> bool:
    """Whether something is a stand-in, whatever it passes for."""
    return issubclass(type(x), StandIn)


def value_of(arg: Any) -> Any:
    """The value behind a stand-in, or in a Tensor."""
    arg = arg._data if isinstance(arg, Tensor) else arg
    return arg.value if is_stand_in(arg) else arg


class Callee:
    """A function that is called as a whole, and how a program that stands on its own finds it."""

    def __init__(self, function: Callable[..., Any], reference: str) -> None:
        self.function = function
        self.reference = reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Callee) and self.reference == other.reference != ""

    def __hash__(self) -> int:
        return hash(self.reference)


class Trace:
    """The inputs of a program to be, and its operations.

    Attributes
    ----------
    phase : "forward" or "update"
    node : Node or None
        Whose rules are running, in the backward pass.
    """

    def __init__(self) -> None:
        self.inputs: list[Op] = []
        self.ops: list[Op] = []
        self.phase = "forward"
        self.node: Node | None = None
        self._constants: dict[int, tuple[Any, Op]] = {}
        self._places: dict[Any, Place] = {}

    def input(self, name: str, value: Any, kind: str = "array") -> Op:
        """Write down something that is given to the program."""
        is_array = kind == "array"
        settings = {"name": name} if kind != "generator" else {"name": name, "kind": kind}
        op = Op("input", (), settings, value.shape if is_array else (), value.dtype if is_array else None)
        self.inputs.append(op)
        return op

    def record(self, function: str, args: tuple[Any, ...], settings: dict[str, Any], value: Any) -> Op:
        """Write down a call whose result is known."""
        args = swap(args, self.operand)
        settings = {key: swap(arg, self.operand) for key, arg in settings.items()}
        is_array = isinstance(value, (np.ndarray, np.generic))
        shape, dtype = (value.shape, value.dtype) if is_array else ((), None)
        op = Op(function, args, settings, shape, dtype, self.place())
        self.ops.append(op)
        return op

    def operand(self, arg: Any) -> Any:
        """What an argument is in the program."""
        if isinstance(arg, Tensor):
            arg = arg._data
        if is_stand_in(arg):
            return arg.op
        if isinstance(arg, np.ndarray):
            return self.constant(arg)
        if isinstance(arg, np.generic) and not isinstance(arg, (np.bool_, np.integer)):
            return self.constant(np.asarray(arg))
        return arg

    def constant(self, value: Any) -> Op:
        """An array that no stand-in took part in."""
        if id(value) not in self._constants:
            op = Op("constant", (), {"value": value}, value.shape, value.dtype)
            self.ops.append(op)
            self._constants[id(value)] = value, op
        return self._constants[id(value)][1]

    def place(self) -> Place:
        """Where in the user's program this happens."""
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
