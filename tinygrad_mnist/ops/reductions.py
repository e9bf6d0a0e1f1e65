"""Sums, means, extremes and products over axes.

A rule here returns a gradient with the reduced axes kept as ones; the sweep broadcasts it to the
input's shape, so a sum costs nothing backward until its gradient meets an array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..primitive import Sample, constant, primitive
from ..typing import Array

Axis = int | tuple[int, ...] | None

# What np.sum and np.prod call, without their wrappers: 1.5 µs less.
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce

_SAMPLES = [
    Sample((2, 3)),
    Sample((2, 3), axis=0),
    Sample((2, 3, 2), axis=(0, -1)),
    Sample((2, 3), axis=-1, keepdims=True),
    Sample(()),
]


def keep(g: Array, axis: Axis, keepdims: bool) -> Array:
    """Put back, as ones, the axes a reduction took away."""
    return g if keepdims or axis is None else np.expand_dims(g, axis)


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements a reduction over ``axis`` joins into one."""
    if axis is None:
        return math.prod(shape)
    return math.prod(shape[i] for i in (axis if isinstance(axis, tuple) else (axis,)))


@primitive(np.sum, samples=_SAMPLES)
def sum(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Sum over axes."""
    return _add(a, axis=axis, keepdims=keepdims)


sum.vjp(lambda g, y, a, axis, keepdims: keep(g, axis, keepdims))


@primitive(np.mean, samples=_SAMPLES)
def mean(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Arithmetic mean over axes."""
    if a.dtype == np.float16:
        return np.mean(a, axis=axis, keepdims=keepdims)  # sums in float32, as float16 overflows soon
    return _add(a, axis=axis, keepdims=keepdims) / count(a.shape, axis)


mean.vjp(lambda g, y, a, axis, keepdims: keep(g, axis, keepdims) / count(a.shape, axis))


def extreme_rule(g: Array, y: Array, a: Array, axis: Axis, keepdims: bool) -> Array:
    """The gradient goes to the elements that are the extreme, in equal parts where several tie."""
    ties = (a == keep(y, axis, keepdims)).astype(a.dtype)
    return keep(g, axis, keepdims) * (ties / np.sum(ties, axis=axis, keepdims=True))


@primitive(np.max, samples=_SAMPLES)
def max(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Largest element over axes; the gradient is shared equally among ties."""
    return np.max(a, axis=axis, keepdims=keepdims)


max.vjp(extreme_rule)


@primitive(np.min, samples=_SAMPLES)
def min(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Smallest element over axes; the gradient is shared equally among ties."""
    return np.min(a, axis=axis, keepdims=keepdims)


min.vjp(extreme_rule)


@primitive(
    np.prod,
    samples=[
        *_SAMPLES,
        Sample(np.array([0.0, 2.0, 3.0])),
        Sample(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 4.0]]), axis=1),
        Sample((0, 2), axis=0),
    ],
)
def prod(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Product over axes; the gradient is right with any number of zeros."""
    return _multiply(a, axis=axis, keepdims=keepdims)


def products_of_others(x: Array) -> Array:
    """For each element, the product of all the others along the last axis, without dividing.

    Neighbours are multiplied in pairs, and the answer for a pair is handed down to both: log2(n)
    steps, and derivatives of any order, zeros or none.
    """
    n = x.shape[-1]
    if n <= 1:
        return np.ones_like(x)
    if n % 2:
        x = np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)
    even, odd = x[..., 0::2], x[..., 1::2]
    others = products_of_others(even * odd)
    both = np.stack([others * odd, others * even], axis=-1)
    return np.reshape(both, x.shape)[..., :n]


def prod_rule(g: Array, y: Array, a: Array, axis: Axis, keepdims: bool) -> Array:
    """Join the reduced axes at the end, take the products of the others, and put them back."""
    axes = _axes(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    order = [*kept, *axes]
    moved = np.transpose(a, order)
    joined = np.reshape(moved, (*moved.shape[: len(kept)], count(a.shape, tuple(axes))))
    others = np.reshape(products_of_others(joined), moved.shape)
    return keep(g, axis, keepdims) * np.transpose(others, np.argsort(order))


def _axes(axis: Axis, ndim: int) -> list[int]:
    if axis is None:
        return list(range(ndim))
    return sorted(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,)))


prod.vjp(prod_rule)


def deviation(a: Array, axis: Axis) -> Array:
    """Distance of each element from the mean over ``axis``."""
    return a - np.mean(a, axis=axis, keepdims=True)


def freedom(a: Array, axis: Axis, ddof: float) -> float:
    """Degrees of freedom; NaN where there are none, as NumPy's variance is."""
    return (count(a.shape, axis) - ddof) or math.nan


@primitive(np.var, samples=[*_SAMPLES[:4], Sample((2, 3), axis=1, ddof=1)])
def var(a: Array, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Variance over axes."""
    return np.var(a, axis=axis, ddof=ddof, keepdims=keepdims)


var.vjp(
    lambda g, y, a, axis, ddof, keepdims: (
        keep(g, axis, keepdims) * (2 / freedom(a, axis, ddof)) * deviation(a, axis)
    )
)


@primitive(np.std, samples=[*_SAMPLES[:4], Sample((2, 3), axis=1, ddof=1)])
def std(a: Array, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Standard deviation over axes; its gradient is 0 where all elements are equal."""
    return np.std(a, axis=axis, ddof=ddof, keepdims=keepdims)


def std_rule(g: Array, y: Array, a: Array, axis: Axis, ddof: float, keepdims: bool) -> Array:
    """``(a - mean) / (n * std)``; a constant has no deviation to divide."""
    safe = keep(y + (y == 0), axis, keepdims)
    return keep(g, axis, keepdims) / (safe * freedom(a, axis, ddof)) * deviation(a, axis)


std.vjp(std_rule)


@primitive(np.cumsum, samples=[Sample((4,)), Sample((2, 3), axis=1), Sample((2, 3), axis=-2), Sample((2, 3))])
def cumsum(a: Array, /, axis: int | None = None) -> Array:
    """Running sum along an axis, or over the flattened array."""
    return np.cumsum(a, axis=axis)


def cumsum_rule(g: Array, y: Array, a: Array, axis: int | None) -> Array:
    """Each element is in every later sum: a running sum from the other end."""
    backward: Any = np.flip(np.cumsum(np.flip(g, axis=axis or 0), axis=axis or 0), axis=axis or 0)
    return np.reshape(backward, a.shape)


cumsum.vjp(cumsum_rule)

constant(np.argmax, np.argmin, np.argsort, np.all, np.any, np.count_nonzero, np.nonzero, np.searchsorted)
