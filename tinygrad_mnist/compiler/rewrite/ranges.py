"""The range of the numbers in a result, as far as their computation determines it.

A rewrite that could leave the range of a dtype where the original does not asks here first. NaN is in no range: it
stays NaN either way.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..instructions import take_along
from ..program import Constant, Op

__all__ = ["is_even_scaling", "is_normal", "is_real", "is_softmax_sum", "range_of", "shifted_by_largest"]

EVERYTHING = (-math.inf, math.inf)
#: This many operations are followed back, because a chain may be longer than the stack.
STEPS = 12


def is_real(dtype: Any) -> bool:
    """Whether a dtype is one for which the rewrites of real numbers were designed: single or double precision."""
    return dtype in (np.float32, np.float64)


def is_normal(number: Any, dtype: Any) -> bool:
    """Whether a number is finite, nonzero, and has all its digits in a dtype."""
    info = np.finfo(dtype)
    return not isinstance(number, Op) and float(info.tiny) <= abs(number) <= float(info.max)


def is_even_scaling(c: Any, d: Any, dtype: Any) -> bool:
    """Whether ``x * c * d`` leaves the range of a dtype exactly where ``x * (c * d)`` does.

    It does if both factors make numbers smaller, or both make them larger. Learning rates, which are unknown, are
    assumed to make them smaller.
    """
    known = [f for f in (c, d) if not isinstance(f, Op)]
    if not all(is_normal(f, dtype) for f in known) or (len(known) == 2 and not is_normal(c * d, dtype)):
        return False
    return all(abs(f) <= 1 for f in known) or (len(known) == 2 and all(abs(f) >= 1 for f in known))


def range_of(op: Any, steps: int = STEPS) -> tuple[float, float]:
    """The smallest and the largest possible value of an argument."""
    if steps == 0:
        return EVERYTHING
    if not isinstance(op, Op):
        return (float(op), float(op)) if isinstance(op, (int, float)) else EVERYTHING
    if isinstance(op, Constant):
        is_real_number = op.size and op.dtype.kind in "fiub" and bool(np.isfinite(op.value).all())
        return (float(op.value.min()), float(op.value.max())) if is_real_number else EVERYTHING
    if op.instruction.rearranges and not op.instruction.has_parts:
        return range_of(op.args[0], steps - 1)
    if op.calls(np.exp):
        return 0.0, 1.0 if range_of(op.args[0], steps - 1)[1] <= 0 else math.inf
    if shifted_by_largest(op):
        return -math.inf, 0.0
    if op.calls(np.log):
        return (0.0, math.inf) if range_of(op.args[0], steps - 1)[0] >= 1 else EVERYTHING
    if op.calls(np.subtract) and op.dtype.kind == "f":
        (_, most), (least, _) = range_of(op.args[0], steps - 1), range_of(op.args[1], steps - 1)
        return -math.inf, 0.0 if most <= 0 <= least else math.inf
    if op.calls(np.add.reduce) and is_softmax_sum(op):
        return 1.0, math.inf
    return EVERYTHING


def shifted_by_largest(op: Op) -> bool:
    """Whether an operation is ``z - max(z)``, along some axes."""
    if not op.calls(np.subtract) or op.dtype.kind != "f":  # integers wrap around
        return False
    z, largest = op.args
    reduction = _unshaped(largest)
    if not (isinstance(z, Op) and isinstance(reduction, Op) and reduction.calls(np.maximum.reduce)):
        return False
    if not reduction.is_plain_reduction:
        return False
    picked = _unshaped(z).calls(take_along)  # one element of each column
    whole = _unshaped(z).args[0] if picked else z
    if _is_of_all(reduction):
        return bool(_unshaped(reduction.args[0]) is _unshaped(whole))
    if reduction.args[0] is not whole:
        return False
    if picked:
        return bool(reduction.settings["axis"] == (0,) and z.shape == largest.shape)
    # Each maximum must be combined with the numbers of which it is the maximum.
    lengths = (None,) * (z.ndim - largest.ndim) + largest.shape
    return all(
        length in (None, 1) if axis in reduction.settings["axis"] else length == z.shape[axis]
        for axis, length in enumerate(lengths)
    )


def is_softmax_sum(op: Op) -> bool:
    """Whether an operation adds up ``exp(z - max(z))``, so that 1 is one of the terms."""
    terms = _unshaped(op.args[0])
    if not (op.calls(np.add.reduce) and op.is_plain_reduction and terms.calls(np.exp)):
        return False
    shifted = _unshaped(terms.args[0])
    if not (isinstance(shifted, Op) and shifted_by_largest(shifted)):
        return False
    if _is_of_all(op):
        return True
    if terms is not op.args[0] or shifted is not terms.args[0]:
        return False
    return set(_unshaped(shifted.args[1]).settings["axis"]) <= set(op.settings["axis"])


def _is_of_all(op: Op) -> bool:
    """Whether a reduction takes all elements together."""
    return bool(op.is_plain_reduction) and len(op.settings["axis"]) == op.args[0].ndim


def _unshaped(op: Any) -> Any:
    """Return an array before it was only reshaped."""
    while isinstance(op, Op) and (op.calls(np.reshape) or op.calls(np.broadcast_to)):
        op = op.args[0]
    return op
