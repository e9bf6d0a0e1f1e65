"""Functions that join arrays, or take them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, UnsupportedError
from ..primitive import Sample, implements, primitive
from ..typing import Array


@primitive(
    samples=[Sample((2, 3), (1, 3)), Sample((2, 1), (2, 3), (2, 2), axis=-1), Sample((2, 2), (3,), axis=None)]
)
def concatenate(*arrays: Array, axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis."""
    return np.concatenate(arrays, axis=axis)


def concatenate_rule(i: int, g: Array, y: Array, *arrays: Array, axis: int | None) -> Array:
    """The part of the gradient that lies where array ``i`` went."""
    if axis is None:
        sizes = [math.prod(a.shape) for a in arrays]
        start = _total(sizes[:i])
        return np.reshape(g[start : start + sizes[i]], arrays[i].shape)
    sizes = [a.shape[axis] for a in arrays]
    start = _total(sizes[:i])
    return g[(slice(None),) * (axis % y.ndim) + (slice(start, start + sizes[i]),)]


def _total(sizes: Sequence[int]) -> int:
    return int(np.sum(sizes, dtype=int))


concatenate.vjp(each=concatenate_rule)


@implements(np.concatenate)
def _concatenate(arrays: Sequence[Array], axis: int | None = 0, *, dtype: Any = None) -> Array:
    return _as(concatenate(*arrays, axis=axis), dtype)


@primitive(samples=[Sample((2, 3), (2, 3)), Sample((3,), (3,), (3,), axis=-1), Sample((), ())])
def stack(*arrays: Array, axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis=axis)


stack.vjp(each=lambda i, g, y, *arrays, axis: g[(slice(None),) * (axis % y.ndim) + (i,)])


@implements(np.stack)
def _stack(arrays: Sequence[Array], axis: int = 0, *, dtype: Any = None) -> Array:
    return _as(stack(*arrays, axis=axis), dtype)


@implements(np.vstack)
def vstack(tup: Sequence[Array], *, dtype: Any = None) -> Array:
    """Rows on top of each other."""
    return _as(concatenate(*(_at_least_2d(a) for a in tup)), dtype)


@implements(np.hstack)
def hstack(tup: Sequence[Array], *, dtype: Any = None) -> Array:
    """Arrays side by side."""
    parts = [np.reshape(a, -1) if np.ndim(a) == 0 else a for a in tup]
    return _as(concatenate(*parts, axis=0 if np.ndim(parts[0]) == 1 else 1), dtype)


def _at_least_2d(a: Array) -> Array:
    return np.reshape(a, (1, -1)) if np.ndim(a) < 2 else a


def _as(a: Array, dtype: Any) -> Array:
    return a if dtype is None else a.astype(dtype)


@primitive(name="split", samples=[])
def split_at(a: Array, /, cuts: tuple[int, ...], axis: int = 0) -> tuple[Array, ...]:
    """``a`` cut before the given places along an axis."""
    return tuple(np.split(a, cuts, axis=axis))


split_at.vjp(lambda g, y, a, cuts, axis: np.concatenate(g, axis=axis))


@implements(np.array_split)
def array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """``ary`` in nearly equal parts, or cut before the given places."""
    if isinstance(indices_or_sections, (int, np.integer)):
        n, parts = ary.shape[axis], int(indices_or_sections)
        if parts < 1:
            raise OptionError(f"split: {parts} parts are asked for; at least 1")
        sizes = [n // parts + (i < n % parts) for i in range(parts)]
        cuts = tuple(np.cumsum(sizes)[:-1].tolist())
    else:
        cuts = tuple(slice(int(i)).indices(ary.shape[axis])[1] for i in indices_or_sections)
        if any(a > b for a, b in pairwise(cuts)):
            raise UnsupportedError(
                f"split: cuts {cuts} are not in increasing order, so that pieces overlap; use t[a:b]"
            )
    return list(split_at(ary, cuts=cuts, axis=axis))


@implements(np.split)
def split(ary: Array, indices_or_sections: Any, axis: int = 0) -> Array:
    """``ary`` in equal parts, or cut before the given places."""
    parts = indices_or_sections
    if isinstance(parts, (int, np.integer)) and parts > 0 and ary.shape[axis] % parts:
        raise ShapeError(
            f"split: axis {axis} of length {ary.shape[axis]} does not divide into {indices_or_sections} equal "
            "parts; use np.array_split"
        )
    return array_split(ary, indices_or_sections, axis)
