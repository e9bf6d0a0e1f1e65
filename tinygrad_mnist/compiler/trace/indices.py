"""Indices that may contain traced arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...tensor import Tensor
from .functions import is_unknown
from .pen import as_array, known
from .tape import is_traced, value_of

__all__ = ["number_of", "picks_unknown", "pinned_mask", "plain_index"]


def plain_index(index: Any) -> Any:
    """Normalise an index: lists become arrays, and NumPy integers become Python integers."""
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(map(_part_of_index, parts))
    return made if isinstance(index, tuple) else made[0]


def _part_of_index(part: Any) -> Any:
    part = part._array if isinstance(part, Tensor) else part
    if isinstance(part, (list, range)):
        part = as_array(part)
        part = part if part.size else part.astype(int)  # an empty list picks nothing
    if isinstance(part, np.integer) or (is_traced(part) and not part.ndim and not is_unknown(part)):
        return part if part.dtype == bool else int(part)
    if isinstance(part, slice):
        ends = part.start, part.stop, part.step
        return slice(*(None if x is None else operator.index(x) for x in ends))
    return part


def picks_unknown(index: Any) -> bool:
    """Whether an index is a mask that may change."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(is_unknown(part) and part.dtype == bool for part in parts)


def pinned_mask(part: Any) -> Any:
    """Return a mask as a constant, if it may be treated as one."""
    value = part.tape.pinned(part.op) if is_unknown(part) and part.dtype == bool else None
    return part if value is None else known(part.tape, value)


def number_of(part: Any) -> Any:
    """The value of a part of an index; a single integer picks a view, like a Python integer."""
    is_integer = is_traced(part) and part.is_number and part.dtype.kind in "iu"
    return int(part.value) if is_integer else value_of(part)
