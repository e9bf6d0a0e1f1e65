"""Stand-ins for objects other than arrays: changing Python numbers, such as a learning rate, and Generators."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...tensor import Tensor
from .. import instructions
from ..instructions import arithmetic
from ..program import Op, swap
from .standins import untraceable, written
from .tape import StandIn, Trace, value_of

__all__ = ["Dice", "Number"]


def _arithmetic(
    sign: str, function: Callable[[Any, Any], Any], reflected: bool = False
) -> Callable[..., Any]:
    def compute(self: Any, other: Any) -> Any:
        if isinstance(other, (np.ndarray, Tensor)):
            return NotImplemented
        args = (other, self) if reflected else (self, other)
        value = function(*map(value_of, args))
        return Number(self.tape, self.tape.record(arithmetic[sign], args, {}, value), value)

    return compute


class _Single(StandIn):
    """A stand-in for something other than an array."""

    __slots__ = ("op", "value")

    def __init__(self, trace: Trace, op: Op, value: Any) -> None:
        self.tape, self.op, self.value = trace, op, value

    @property
    def kind(self) -> type:
        """The type of the original."""
        return type(self.value)


class Number(_Single):
    """A stand-in for a Python number that may change in the next call."""

    __slots__ = ()

    @classmethod
    def input(cls, trace: Trace, name: str, value: Any, kind: str = "number") -> Number:
        """Make a stand-in for a number."""
        return cls(trace, trace.input(name, value, kind), value)

    __add__, __radd__ = _arithmetic("+", operator.add), _arithmetic("+", operator.add, reflected=True)
    __sub__, __rsub__ = _arithmetic("-", operator.sub), _arithmetic("-", operator.sub, reflected=True)
    __mul__, __rmul__ = _arithmetic("*", operator.mul), _arithmetic("*", operator.mul, reflected=True)
    __truediv__ = _arithmetic("/", operator.truediv)
    __rtruediv__ = _arithmetic("/", operator.truediv, reflected=True)
    __pow__, __rpow__ = _arithmetic("**", operator.pow), _arithmetic("**", operator.pow, reflected=True)

    def __neg__(self) -> Number:
        return Number(self.tape, self.tape.record(arithmetic["neg"], (self,), {}, -self.value), -self.value)

    def _leaves(self, *_: Any) -> Any:
        name = getattr(self.op, "name", "computed")
        raise untraceable(
            self.tape, f"the number {name!r} changes from call to call, and was compared or converted"
        )

    __bool__ = __float__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _leaves
    __hash__ = object.__hash__


class Dice(_Single):
    """A stand-in for a ``numpy.random.Generator``: every draw becomes a line of the program."""

    __slots__ = ()

    @classmethod
    def input(cls, trace: Trace, name: str, rng: np.random.Generator) -> Dice:
        """Make a stand-in for a Generator; draws during a trace do not advance the original."""
        return cls(trace, trace.input(name, rng, "generator"), copy.deepcopy(rng))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class that it passes for."""
        return np.random.Generator

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.value, name)
        if not callable(method) or name in ("spawn", "shuffle"):
            raise untraceable(self.tape, f"Generator.{name} cannot be part of a program")

        def draw(*args: Any, **settings: Any) -> Any:
            value = method(*swap(args, value_of), **{k: swap(v, value_of) for k, v in settings.items()})
            return written(self.tape, instructions.draw, (self, name, *args), settings, value)

        return draw
