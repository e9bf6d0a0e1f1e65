"""Move factors to the places where they multiply the fewest numbers.

A learning rate multiplies every gradient, and a gradient is long. But gradients are linear in the start of the
backward pass: if that is multiplied, a few numbers carry the factor to all of them. :func:`scaled_early` moves
factors towards the start, and keeps the result if it computes less.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..program import Constant, Op, Program, is_scalar
from .builder import Builder, rebuilt
from .ranges import is_real

__all__ = ["cost", "scaled_early"]

#: Costs in nanoseconds: of a call, of an element in an elementwise call, of a multiplication in a matrix product.
CALL, ELEMENT, MULTIPLICATION = 400.0, 0.3, 0.02


def cost(program: Program) -> float:
    """Estimate the time of a program in nanoseconds; only good for comparisons."""
    return sum(map(_cost, program.ops))


def _cost(op: Op) -> float:
    if op.is_view or op.is_given or op.is_number or op.instruction.rearranges or not op.nbytes:
        return 0.0
    if op.instruction.is_product:
        shape = op.args[0].shape if isinstance(op.args[0], Op) else ()
        return CALL + MULTIPLICATION * op.size * (shape[-1] if shape else 1)
    largest = max([op.size, *(arg.size for arg in op.args if isinstance(arg, Op))])
    return CALL + ELEMENT * largest


def scaled_early(program: Program) -> Program:
    """Move factors towards the start, all the way or as far as each gains separately, if that saves time."""
    moved = (rebuilt(program, builder=_Scaler(far)) for far in (True, False))
    return min(program, *moved, key=cost)


class _Scaler(Builder):
    """Adds operations, and multiplies existing ones by numbers."""

    def __init__(self, far: bool) -> None:
        super().__init__()
        self._far = far
        self._scaled: dict[tuple[Op, Any], Op] = {}
        self._met: dict[Op, float] = {}
        self._looked_at = 0

    def put(self, op: Op) -> Op:
        """Add an operation; an update's factor is moved. All others are already near the start."""
        is_factor = (
            op.calls(np.multiply)
            and is_scalar(op.args[1])
            and is_real(op.dtype)
            and op.ndim > 0
            and op.place.phase == "update"
        )
        return self.times(*op.args) if is_factor else self.add(op)

    def times(self, x: Op, factor: Any) -> Op:
        """Return ``x * factor``, multiplied as early as it may be worthwhile."""
        # Without recursion, because a graph may be deep: the first operations found are scaled last.
        waiting = [x]
        while waiting:
            op = waiting[-1]
            missing = [
                op.args[i]
                for i in self.carriers(op)
                if isinstance(op.args[i], Op) and (op.args[i], factor) not in self._scaled
            ]
            if (op, factor) in self._scaled or not missing:
                waiting.pop()
                self._scaled.setdefault((op, factor), self._times(op, factor))
            else:
                waiting.extend(missing)
        return self._scaled[x, factor]

    def _times(self, op: Op, factor: Any) -> Op:
        """Multiply one operation whose carriers are already multiplied."""
        self.place = op.place
        carriers = self.carriers(op)
        if carriers:
            args = [
                self._scaled.get((arg, factor), arg) if i in carriers else arg
                for i, arg in enumerate(op.args)
            ]
            for i in carriers:
                if is_scalar(args[i]):
                    args[i] = self.number("*", args[i], factor)
            return self.call(op.instruction, tuple(args), op, op.settings)
        if op.calls(np.multiply) and is_scalar(op.args[1]):
            return self.ufunc(np.multiply, op.args[0], self.number("*", op.args[1], factor))
        if op.calls(np.divide) and is_scalar(op.args[0]):
            return self.ufunc(np.divide, self.number("*", op.args[0], factor), op.args[1])
        if op.calls(np.divide) and isinstance(op.args[1], Op) and op.args[1].size < op.size:
            return self.ufunc(np.multiply, op.args[0], self.ufunc(np.divide, factor, op.args[1]))
        return self.ufunc(np.multiply, op, factor)

    def carriers(self, op: Op) -> tuple[int, ...]:
        """The arguments that carry a factor to the result: of two, the one with fewer numbers."""
        if not _is_bilinear(op):
            return _linear_in(op)
        if op.calls(np.multiply) and is_scalar(op.args[1]):
            return ()
        met = [self.met(arg) if _takes(arg, op) else math.inf for arg in op.args]
        is_worth_it = min(met) < (math.inf if self._far else op.size)
        return (met.index(min(met)),) if is_worth_it else ()

    def met(self, op: Op) -> float:
        """The number of elements that a factor multiplies if it is moved as far as possible."""
        for known in self.ops[self._looked_at :]:
            self._met[known] = self._meets(known)
        self._looked_at = len(self.ops)
        return self._met.get(op, op.size)

    def _meets(self, op: Op) -> float:
        if isinstance(op, Constant):
            return math.inf
        if op.calls(np.multiply) and is_scalar(op.args[1]):
            return 0.0
        if _is_bilinear(op):
            least = min([self._met.get(arg, arg.size) for arg in op.args if _takes(arg, op)], default=op.size)
            return least if self._far else min(op.size, least)
        if op.calls(np.divide) and is_scalar(op.args[0]):
            return 0.0
        if op.calls(np.divide):
            return min([op.size, *(arg.size for arg in op.args[1:] if isinstance(arg, Op))])
        carriers = [op.args[i] for i in _linear_in(op) if isinstance(op.args[i], Op)]
        return sum(self._met.get(arg, arg.size) for arg in carriers) if carriers else op.size


def _takes(arg: Any, op: Op) -> bool:
    """Whether an argument has the dtype of the result: a factor would change integers."""
    return isinstance(arg, Op) and arg.dtype == op.dtype


def _linear_in(op: Op) -> tuple[int, ...]:
    """The arguments that together carry a factor to the result, if all can."""
    return op.linear_in if all(is_scalar(op.args[i]) or _takes(op.args[i], op) for i in op.linear_in) else ()


def _is_bilinear(op: Op) -> bool:
    """Whether an operation is linear in each of its two arguments, so that a factor may go into either."""
    return op.instruction.is_product or op.calls(np.multiply)
