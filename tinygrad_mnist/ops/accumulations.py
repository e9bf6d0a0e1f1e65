"""Running sums, products and extremes: each element combined with all before it.

An element influences everything after it. Its gradient rule is therefore a running sum from the
other end, with weights if the function is not a sum: :func:`weighted_tails`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError
from ..primitive import Sample, implements, primitive
from ..tensor import certainly
from ..typing import Array
from .arguments import array, beside
from .indexing import put_along

_SAMPLES = [
    Sample((4,)),
    Sample((2, 3), axis=1),
    Sample((2, 3), axis=-2),
    Sample((2, 3)),
    Sample(()),
    Sample((0,)),
    Sample((3, 2), axis=0, complex=True),
    Sample((2, 3), axis=0, dtype=np.float64),
]
_RUNNING = [Sample((5,), axis=0), Sample((2, 3), axis=-1), Sample((3, 2), axis=0), Sample((2, 0), axis=1)]

# -- sums ------------------------------------------------------------------------------------------


@primitive(np.cumsum, samples=_SAMPLES, jvp="linear")
def cumsum(a: Array, /, axis: int | None = None) -> Array:
    """Running sum along an axis, or over the flattened array."""
    return np.cumsum(a, axis=axis)


def cumsum_rule(g: Array, y: Array, a: Array, axis: int | None) -> Array:
    """Each element is in every later sum: a running sum from the other end."""
    backward: Any = np.flip(np.cumsum(np.flip(g, axis=axis or 0), axis=axis or 0), axis=axis or 0)
    return np.reshape(backward, a.shape)


cumsum.vjp(cumsum_rule)


@cumsum.otherwise
def _cumsum(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    return array(cumsum(array(a, dtype), axis), dtype)


# -- products --------------------------------------------------------------------------------------


def weighted_tails(g: Array, w: Array) -> Array:
    """``s[i] = g[i] + w[i] * s[i + 1]`` along the last axis, from the end to the beginning.

    The even places satisfy a recurrence of the same kind and half the length among themselves, and the
    odd ones follow from them: log2(n) steps instead of n, and derivatives of any order.
    """
    n = g.shape[-1]
    if n <= 1:
        return g
    if n % 2:
        g, w = (np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1) for x in (g, w))
    g_even, g_odd, w_even, w_odd = g[..., 0::2], g[..., 1::2], w[..., 0::2], w[..., 1::2]
    even = weighted_tails(g_even + w_even * g_odd, w_even * w_odd)
    odd = g_odd + w_odd * shift_left(even)
    return np.reshape(np.stack([even, odd], axis=-1), g.shape)[..., :n]


def shift_left(x: Array) -> Array:
    """For each element, its successor along the last axis; 0 for the last."""
    return np.concatenate([x[..., 1:], np.zeros_like(x[..., :1])], axis=-1)


@primitive(
    np.cumprod,
    samples=[
        *_SAMPLES,
        Sample(np.array([2.0, 0.0, 3.0, 0.0, 4.0])),
        Sample(np.array([[0.0, 2.0], [3.0, 0.0]]), axis=1),
    ],
)
def cumprod(a: Array, /, axis: int | None = None) -> Array:
    """Running product along an axis, or over the flattened array; its gradient is right with any number of zeros."""
    return np.cumprod(a, axis=axis)


def cumprod_rule(g: Array, y: Array, a: Array, axis: int | None) -> Array:
    """The product of all elements before, times a weighted sum of the products after.

    Nothing is divided, so zeros need no special case.
    """
    axis = axis if a.ndim else None
    last = [np.reshape(x, -1) if axis is None else np.moveaxis(x, axis, -1) for x in (g, y, a)]
    g, y, x = last
    before = np.concatenate([np.ones_like(y[..., :1]), y[..., :-1]], axis=-1)
    found = before * weighted_tails(g, shift_left(x))
    return np.reshape(found, a.shape) if axis is None else np.moveaxis(found, -1, axis)


cumprod.vjp(cumprod_rule)


@cumprod.otherwise
def _cumprod(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    return array(cumprod(array(a, dtype), axis), dtype)


# -- functions that NumPy builds on them ---------------------------------------------------------------------

_WITH_NAN = [
    Sample((2, 3), prepare=lambda a: (np.where([[False, True, False], [True, False, False]], np.nan, a),)),
    Sample((2, 3), prepare=lambda a: (np.where([False, True, False], np.nan, a),), axis=1),
]


@implements(np.nancumsum, samples=_WITH_NAN)
def nancumsum(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """Running sum in which NaN counts as 0."""
    return np.cumsum(np.where(np.isnan(a), 0, a), axis, dtype)


@implements(np.nancumprod, samples=_WITH_NAN)
def nancumprod(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """Running product in which NaN counts as 1."""
    return np.cumprod(np.where(np.isnan(a), 1, a), axis, dtype)


def _from_the_start(function: Any, x: Array, axis: int | None, dtype: Any, start: float | None) -> Array:
    """A running sum or product by the rules of the array API: along an axis, optionally with a first value."""
    x = np.reshape(x, 1) if x.ndim == 0 else x
    if axis is None:
        if x.ndim > 1:
            raise OptionError(
                f"{function.name}: an array of shape {x.shape} needs axis=, the axis to run along"
            )
        axis = 0
    y = function(x, axis, dtype)
    if start is None:
        return y
    shape = [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
    return np.concatenate([np.full(shape, start, y.dtype), y], axis=axis)


if hasattr(np, "cumulative_sum"):  # since NumPy 2.1
    _CUMULATIVE = [
        Sample((3,), include_initial=True),
        Sample((2, 3), axis=1, include_initial=True),
        Sample((2, 2), axis=0, dtype=np.float64),
        Sample((3,), complex=True),
        Sample(()),
    ]

    @implements(np.cumulative_sum, samples=_CUMULATIVE)
    def cumulative_sum(
        x: Array,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: None = None,
        include_initial: bool = False,
    ) -> Array:
        """Running sum along an axis, starting with 0 if the first value is included."""
        return _from_the_start(cumsum, x, axis, dtype, 0 if include_initial else None)

    @implements(np.cumulative_prod, samples=_CUMULATIVE)
    def cumulative_prod(
        x: Array,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: None = None,
        include_initial: bool = False,
    ) -> Array:
        """Running product along an axis, starting with 1 if the first value is included."""
        return _from_the_start(cumprod, x, axis, dtype, 1 if include_initial else None)


# -- functions for the accumulate methods of ufuncs -----------------------------------------------


def _latest_extreme(y: Array, a: Array, axis: int) -> Array:
    """The place of each running extreme: the last of equal elements, as in PyTorch's ``cummax``."""
    shape = [-1 if i == axis % a.ndim else 1 for i in range(a.ndim)]
    places = beside(a, np.arange(a.shape[axis]).reshape(shape))
    return np.maximum.accumulate(np.where((a == y) | (a != a), places, 0), axis=axis)


@primitive(samples=_RUNNING)
def cummax(a: Array, /, axis: int = 0) -> Array:
    """Largest element so far; the gradient goes to the last of those that tie."""
    return np.maximum.accumulate(a, axis=axis)


@primitive(samples=_RUNNING)
def cummin(a: Array, /, axis: int = 0) -> Array:
    """Smallest element so far; the gradient goes to the last of those that tie."""
    return np.minimum.accumulate(a, axis=axis)


for _running in (cummax, cummin):
    _running.vjp(
        lambda g, y, a, axis: put_along(g, _latest_extreme(y, a, axis), axis=axis, length=a.shape[axis])
    ).tangents(lambda v, y, a, axis: np.take_along_axis(v, _latest_extreme(y, a, axis), axis))


@primitive(samples=[*_RUNNING, Sample(np.array([-800.0, 0.5, 700.0, 2.0]), axis=0)])
def logcumsumexp(a: Array, /, axis: int = 0) -> Array:
    """Logarithm of the running sum of exponentials, without overflow."""
    return np.logaddexp.accumulate(a, axis=axis)


def logcumsumexp_rule(g: Array, y: Array, a: Array, axis: int) -> Array:
    """``exp(a[i] - y[k])`` for each later ``k``, as a product of steps, none of which exceeds 1.

    If ``y[k]`` is infinite, the infinite elements share the gradient equally.
    """
    g, y, a = (np.moveaxis(x, axis, -1) for x in (g, y, a))
    infinite = np.isinf(y)
    if certainly(~infinite.any()):
        return np.moveaxis(np.exp(a - y) * weighted_tails(g, np.exp(y - _next(y))), -1, axis)
    finite_y = np.where(infinite, 0, y)
    step = np.exp(np.where(infinite, 0, finite_y - _next(finite_y)))
    part = np.exp(np.where(infinite, -np.inf, a - finite_y))
    found = part * weighted_tails(np.where(infinite, 0, g), np.where(_next(infinite), 0, step))
    for top in (np.inf, -np.inf):
        ties = (a == top).astype(g.dtype)
        equally = np.where(y == top, g, 0) / np.maximum(np.cumsum(ties, axis=-1), 1)
        found = found + ties * np.flip(np.cumsum(np.flip(equally, -1), axis=-1), -1)
    return np.moveaxis(found, -1, axis)


def _next(x: Array) -> Array:
    """For each element, its successor along the last axis; the last element for itself."""
    return np.concatenate([x[..., 1:], x[..., -1:]], axis=-1)


logcumsumexp.vjp(logcumsumexp_rule)
