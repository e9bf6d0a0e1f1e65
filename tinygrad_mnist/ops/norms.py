"""Norms of vectors and matrices.

At zero the gradient is 0, the smallest subgradient. Where several elements tie for the largest, they
share it. PyTorch does both, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..errors import GradientError, OptionError, ShapeError, pluralise
from ..graph import conjugate
from ..primitive import Sample, implements, primitive
from ..tensor import Tensor, refuse
from ..typing import Array
from .arguments import is_tracked, plain
from .linalg import rounding
from .reductions import keep


@primitive(
    samples=[
        Sample((2, 3)),
        Sample((2, 3), axis=1),
        Sample((2, 3), axis=(0, 1), keepdims=True),
        Sample((2, 3), axis=0, complex=True),
    ],
    jvp="reduction",
)
def euclidean(x: Array, /, axis: Any = None, keepdims: bool = False) -> Array:
    """``√Σ|x|²`` over one axis, two axes or all axes."""
    return np.linalg.norm(x, axis=axis, keepdims=keepdims)


def euclidean_rule(g: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    """The unit vector in the direction of ``x``; at zero, 0."""
    y = keep(y, axis, keepdims)
    return keep(g, axis, keepdims) / (y + (y == 0)) * conjugate(x)


euclidean.vjp(euclidean_rule)


@primitive(
    samples=[
        Sample((2, 3), ord=3, axis=1),
        Sample((2, 3), ord=0.5, axis=0, keepdims=True),
        Sample((3,), ord=-2.5, axis=0),
        Sample((3,), ord=3, axis=0, complex=True),
    ],
    jvp="reduction",
)
def p_norm(x: Array, /, ord: float, axis: int, keepdims: bool = False) -> Array:
    """``(Σ|x|ᵖ)^(1/p)`` along an axis."""
    return np.linalg.norm(x, ord, axis=axis, keepdims=keepdims)


def p_norm_rule(g: Array, y: Array, x: Array, ord: float, axis: int, keepdims: bool) -> Array:
    """``sign(x) (|x| / y)^(p-1)``; at zero elements, where there is no derivative for ``p < 1``, it is 0."""
    size, y = np.abs(x), keep(y, axis, keepdims)
    is_smooth = (size != 0) & (y != 0)
    ratio = np.where(is_smooth, size, 1) / np.where(is_smooth, y, 1)
    slope = np.where(is_smooth, conjugate(np.sign(x)) * ratio ** (float(ord) - 1), 0)
    return keep(g, axis, keepdims) * slope


p_norm.vjp(p_norm_rule)

_VECTOR_NORMS = [
    Sample((2, 3), ord=o, axis=1, keepdims=o in (1, 2.5)) for o in (None, 1, 2, 2.5, -1, np.inf, -np.inf)
]
_MATRIX_NORMS = [
    Sample((2, 3), ord=o, keepdims=o in (1, 2)) for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
]


@implements(
    np.linalg.norm,
    samples=[
        *_VECTOR_NORMS,
        *_MATRIX_NORMS,
        Sample((2, 2, 2), keepdims=True),
        Sample((3,), ord=np.inf),
        Sample((2, 3, 2), ord="nuc", axis=(2, 0)),
        Sample((2, 3, 2), ord=1, axis=(0, -1), keepdims=True),
        Sample((2, 3), ord=np.inf, axis=(1, 0), complex=True),
        Sample((2, 2), ord="nuc", complex=True),
        Sample((2, 2), ord=1, axis=0, complex=True),
    ],
)
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """A vector norm along one axis, a matrix norm over two; by default the root of the sum of all squares."""
    x = x if x.dtype.kind in "fc" else x.astype(float)
    if axis is None:
        if ord is None or (ord == 2 and x.ndim == 1):
            return euclidean(x, keepdims=keepdims)
        axis = tuple(range(x.ndim))
    elif not isinstance(axis, tuple):
        try:
            axis = (int(axis),)
        except (TypeError, ValueError):
            raise TypeError(f"norm: axis is None, an integer or a tuple of integers, not {axis!r}") from None
    if len(axis) == 1:
        return _vector_norm(x, ord, axis[0], keepdims)
    if len(axis) != 2:
        raise ShapeError(f"norm: {pluralise(len(axis), 'axis')}; a norm with an order takes one or two")
    if len({normalize_axis_index(i, x.ndim) for i in axis}) == 1:
        raise ShapeError(f"norm: Duplicate axes given: {axis}")
    if ord in (None, "fro", "f"):
        return euclidean(x, axis=axis, keepdims=keepdims)
    result = _matrix_norm(np.moveaxis(x, axis, (-2, -1)), ord)
    return np.expand_dims(result, axis) if keepdims else result


def _vector_norm(x: Array, ord: Any, axis: int, keepdims: bool) -> Array:
    how: Any = {"axis": axis, "keepdims": keepdims}
    if ord is None or ord == 2:
        return euclidean(x, **how)
    if isinstance(ord, str):
        raise OptionError(f"norm: Invalid norm order {ord!r} for vectors; it must be a number, inf or -inf")
    if ord == 0:
        return np.sum((x != 0).astype(np.finfo(x.dtype).dtype), **how)
    if ord == 1:
        return np.sum(np.abs(x), **how)
    if ord == np.inf:
        return largest(np.abs(x), **how)
    if ord == -np.inf:
        return np.min(np.abs(x), **how)
    return p_norm(x, ord=ord, **how)


def _matrix_norm(x: Array, ord: Any) -> Array:
    """The norm of the matrices in the last two axes: the largest, the smallest or the sum of certain sizes."""
    if ord in ("nuc", 2, -2):
        sizes = singular_values(x)
    elif ord in (1, -1):
        sizes = np.sum(np.abs(x), axis=-2)
    elif ord in (np.inf, -np.inf):
        sizes = np.sum(np.abs(x), axis=-1)
    else:
        raise OptionError(
            f"norm: Invalid norm order {ord!r} for matrices; valid: None, 'fro', 'nuc', 1, -1, 2, -2, inf, -inf"
        )
    if ord == "nuc":
        return np.sum(sizes, axis=-1)
    return largest(sizes, axis=-1) if ord > 0 else np.min(sizes, axis=-1)


def singular_values(x: Array) -> Array:
    """The singular values. They are never negative, so they have a kink at 0; the gradient there is 0."""
    s = np.linalg.svdvals(x)
    values = plain(s)
    return np.where(values <= rounding(values, max(x.shape[-2:])), values, s)


def largest(x: Array, axis: int, keepdims: bool = False) -> Array:
    """The maximum of numbers that are not negative: that of an empty array is 0."""
    return (
        np.max(x, axis=axis, keepdims=keepdims) if x.shape[axis] else np.sum(x, axis=axis, keepdims=keepdims)
    )


@implements(
    np.linalg.vector_norm,
    samples=[
        Sample((2, 3)),
        Sample((2, 3), axis=1, keepdims=True, ord=3),
        Sample((2, 3, 2), axis=(2, 0), ord=1),
        Sample((2, 2), keepdims=True, ord=np.inf, complex=True),
    ],
)
def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """A vector norm of the elements along any number of axes, taken together as one."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    front = np.moveaxis(x, axes, tuple(range(len(axes))))
    result = norm(np.reshape(front, (math.prod(front.shape[: len(axes)]), *front.shape[len(axes) :])), ord, 0)
    return np.expand_dims(result, axes) if keepdims else result


@implements(
    np.linalg.matrix_norm,
    samples=[Sample((2, 3)), Sample((2, 2, 3), ord="nuc"), Sample((2, 3), ord=1, keepdims=True)],
)
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """A matrix norm over the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


@implements(
    np.linalg.cond,
    samples=[
        Sample((3, 3)),
        Sample((2, 3), p=2),
        Sample((2, 3, 3), p=-2),
        Sample((3, 3), p=1),
        Sample((2, 2), p="fro"),
        Sample((2, 2), complex=True),
        Sample((2, 2), p=np.inf),
    ],
)
def cond(x: Array, p: Any = None) -> Array:
    """The condition number: the norm of a matrix times that of its inverse."""
    value = np.linalg.cond(plain(x), p)  # infinite where a matrix is singular
    if not is_tracked(x):
        return Tensor(value)
    brief = (
        "cond: a matrix is singular; its condition number is infinite and has no gradient. To get only "
        "the value, use np.linalg.cond(t.detach())"
    )
    refuse(np.isinf(value).any(), lambda: GradientError(brief), brief)
    if p is None or p in (2, -2):
        s = np.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(np.linalg.inv(x), p, (-2, -1))
