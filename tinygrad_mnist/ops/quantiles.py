"""Medians, quantiles and percentiles, of all elements, or of those that are not NaN.

A quantile lies between two neighbours in the sorted elements, or on one of them. Its gradient goes to
these two, and more to the nearer one. Equal elements keep their order, as in a stable sort.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import GradientError
from ..primitive import Sample, implements
from ..tensor import certainly, is_known, possibly, refuse
from ..typing import Array, NDArray
from .arguments import array, bare, beside, gather, is_tracked, plain
from .reductions import Axis, is_top, join_axes, split_axes
from .statistics import weights_along

# -- the elements in order -------------------------------------------------------------------------


class Ordered:
    """The slices of a reduction in ascending order, with NaN last, from which elements can be picked.

    Attributes
    ----------
    rows : Array, shape (..., N)
        The elements, with the reduced axes joined into one.
    length : int
        N.
    size : ndarray of int, shape (..., 1)
        The number of elements of each row that count.
    """

    def __init__(self, a: Array, axis: Axis, *, skip_nan: bool) -> None:
        self.rows = join_axes(a, axis)
        self.values = plain(self.rows)
        self.length = self.values.shape[-1]
        numbers = np.sum(~np.isnan(self.values), axis=-1, keepdims=True)
        self.size: NDArray = numbers if skip_nan else np.full_like(numbers, self.length)
        # A NaN that is not skipped is the result: pick the last element, whatever the place.
        self.least = np.where(numbers < self.size, self.length - 1, 0)

    @cached_property
    def order(self) -> NDArray:
        """For each element of the sorted row, its place in the original row, shape (..., N)."""
        order: NDArray = np.argsort(self.values, axis=-1, kind="stable")
        return order

    def __getitem__(self, places: NDArray) -> Array:
        """The elements at these places of the sorted rows, clipped to the ends, shape (..., Q)."""
        shape = (*self.rows.shape[:-1], places.shape[-1])
        if not self.length:
            return np.broadcast_to(np.sum(self.rows, axis=-1, keepdims=True) + math.nan, shape)
        places = np.broadcast_to(np.maximum(np.minimum(places, self.size - 1), self.least), shape)
        is_long = self.length >= 100 and self.values.dtype.kind != "c" and is_known(places)
        few = np.unique(places) if is_long else ()
        if not 0 < len(few) <= 6:
            index = np.take_along_axis(self.order, places, axis=-1)
        else:  # this is faster than sorting
            partly = np.take_along_axis(np.partition(self.values, few, axis=-1), places, axis=-1)
            pairs = (np.split(x, places.shape[-1], axis=-1) for x in (partly, places))
            index = np.concatenate([self.find(*pair) for pair in zip(*pairs, strict=True)], axis=-1)
        return np.take_along_axis(self.rows, index, axis=-1)

    def find(self, value: NDArray, place: NDArray) -> NDArray:
        """Find, in the original row, the value at a place of the sorted row; among equal ones, the right one."""
        same = is_top(self.values, value)
        before = np.sum((self.values < value) | (value != value) & ~same, axis=-1, keepdims=True)
        reached = np.cumsum(same, axis=-1) > place - before
        index: NDArray = np.argmax(reached, axis=-1, keepdims=True)
        return index

    def result(self, y: Array, shape: tuple[int, ...], ndim: int, axis: Axis, keepdims: bool) -> Array:
        """Bring results of shape (..., Q) into NumPy's shape: the quantiles first, then the axes that are left."""
        nothing = self.size == 0
        if certainly(nothing.any()):
            what = "All-NaN slice encountered" if self.length else "Mean of empty slice"
            warnings.warn(what, RuntimeWarning, stacklevel=4)
        if possibly(nothing.any()):
            y = np.where(nothing, np.asarray(np.nan, y.dtype), y)
        y = np.moveaxis(y, -1, 0)
        y = np.reshape(y, shape + y.shape[1:])
        if not keepdims:
            return y
        return np.expand_dims(y, tuple(len(shape) + i for i in split_axes(axis, ndim)[1]))


# -- medians ---------------------------------------------------------------------------------------

_MEDIANS = [
    Sample((5,)),
    Sample((2, 4), axis=1),
    Sample((2, 3), axis=0, keepdims=True),
    Sample((2, 2, 2), axis=(0, -1)),
    Sample((2, 3), axis=(0, 1), keepdims=True),
    Sample((4,), complex=True),
    Sample(()),
]


def _gaps(a: Array, *more: Any) -> tuple[Any, ...]:
    return np.where([[False, True, False, False], [True, False, True, False]], np.nan, a), *more


def _median(a: Array, axis: Axis, keepdims: bool, *, skip_nan: bool) -> Array:
    a = array(a)
    if skip_nan and not a.size:
        return np.nanmean(a, axis, keepdims=keepdims)
    ordered = Ordered(a, axis, skip_nan=skip_nan)
    n = np.maximum(ordered.size, 1)
    places = np.concatenate([(n - 1) // 2, n // 2], axis=-1)
    if certainly((n % 2).all()):
        places = places[..., :1]
    y = np.mean(ordered[places], axis=-1, keepdims=True)
    return ordered.result(y, (), a.ndim, axis, keepdims)


@implements(np.median, samples=_MEDIANS)
def median(
    a: Array, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The middle element, or the mean of the two in the middle, which share the gradient."""
    return _median(a, axis, keepdims, skip_nan=False)


@implements(
    np.nanmedian,
    samples=[*_MEDIANS, Sample((2, 4), prepare=_gaps), Sample((2, 4), prepare=_gaps, axis=1, keepdims=True)],
)
def nanmedian(
    a: Array, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median of the elements that are not NaN."""
    return _median(a, axis, keepdims, skip_nan=True)


# -- quantiles -------------------------------------------------------------------------------------

#: The methods that interpolate between neighbours, with their alpha and beta [1]_.
#:
#: .. [1] R. J. Hyndman and Y. Fan, "Sample quantiles in statistical packages", The American
#:    Statistician 50 (1996).
CONTINUOUS = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (1 / 2, 1 / 2),
    "weibull": (0, 0),
    "linear": (1, 1),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def positions(n: NDArray, most: int, q: Array, method: str) -> Array:
    """The places of quantiles among ``n`` sorted elements (at most ``most``), counted from 0, with fractions.

    Interpolated places may lie before the first or after the last element; then they mean that element.
    """
    n = np.maximum(n, 1)
    if method == "linear":
        return (n - 1) * q  # the same as below, without rounding errors
    if method in CONTINUOUS:
        alpha, beta = CONTINUOUS[method]
        return n * q + (alpha + q * (1 - alpha - beta)) - 1
    if is_tracked(q):
        raise GradientError(
            f"quantile: with method={method!r} the result is constant in q except for jumps; pass q.detach(), or "
            f"a method that interpolates: {', '.join(CONTINUOUS)}"
        )
    # Let NumPy do it: the quantiles of the numbers 0 ... n - 1 are their own positions.
    sizes, which = np.unique(n, return_inverse=True) if is_known(n) else (np.arange(1, most + 1), n - 1)
    settings: Any = {"method": method}
    found = [np.quantile(np.arange(size, dtype=float), plain(q), **settings) for size in sizes.tolist()]
    chosen = np.take_along_axis(np.stack(found), np.reshape(which, (-1, 1)), axis=0)
    return np.reshape(chosen, (*n.shape[:-1], q.size))


def weighted_positions(ordered: Ordered, q: Array, weights: Array) -> NDArray:
    """The places of weighted quantiles: the ranks that NumPy picks from all ranks."""
    for name, x in (("q", q), ("weights", weights)):
        if is_tracked(x):
            raise GradientError(
                f"quantile: with weights the result is constant in {name} except for jumps; pass {name}.detach()"
            )
    ranks = np.argsort(ordered.order, axis=-1).astype(float)
    ranks[ranks >= ordered.size] = np.nan
    settings: Any = {"method": "inverted_cdf", "weights": plain(weights)}
    found: NDArray = np.nanquantile(ranks, plain(q), axis=-1, **settings)
    return np.nan_to_num(np.moveaxis(found, 0, -1))


def _quantile(
    a: Array, q: Any, axis: Axis, method: str, keepdims: bool, weights: Any, *, percent: bool, skip_nan: bool
) -> Array:
    a, q = array(a), gather(q)
    # NumPy itself checks the ranges of the arguments, and determines the dtype of the result.
    trial: Any = {"method": method, "weights": None if weights is None else np.ones(2)}
    numpys: Any = np.percentile if percent else np.quantile
    dtype = numpys(beside(bare(q), np.ones(2, a.dtype)), bare(q), **trial).dtype
    top, brief = (100, "Percentiles") if percent else (1, "Quantiles")
    brief = f"{brief} must be in the range [0, {top}]"
    refuse(np.any((plain(q) < 0) | (plain(q) > top)), lambda: ValueError(brief), brief)
    if skip_nan and not a.size:
        return np.nanmean(a, axis, keepdims=keepdims)  # like NumPy: one number, whatever the shape of q
    shape, q = np.shape(q), np.reshape(q, -1) / (100 if percent else 1)
    q = beside(a, q) if isinstance(q, np.ndarray) else q
    ordered = Ordered(a, axis, skip_nan=skip_nan)
    if not skip_nan and ordered.size.size and not ordered.length:
        raise IndexError(f"{numpys.__name__}: an array of shape {a.shape} has no elements to choose from")
    if weights is None:
        place = positions(ordered.size, ordered.length, q, method)
    else:
        weights = np.broadcast_to(weights_along(array(weights), a, axis), a.shape)
        place = weighted_positions(ordered, q, join_axes(weights, axis))
    here = np.floor(plain(place)).astype(int)
    after = here + 1 if method in CONTINUOUS else np.ceil(plain(place)).astype(int)
    if certainly((after == here).all()):
        y = ordered[here]
    else:
        y, upper = np.split(ordered[np.concatenate([here, after], axis=-1)], 2, axis=-1)
        gap, t = upper - y, array(place - here, dtype)
        y = np.where(t < 0.5, y + gap * t, upper - gap * (1 - t))
    return ordered.result(array(y, dtype), shape, a.ndim, axis, keepdims)


_Q = np.array([0.1, 0.45, 0.9])
_WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0])


def _at(q: Any) -> Callable[[Array], tuple[Any, ...]]:
    """Prepare a sample's arguments with a ``q`` that has no gradient."""
    return lambda a: (a, q)


_SAMPLES = [
    Sample((5,), (), domain=(0.1, 0.9)),
    Sample((2, 4), (3,), domain=(0.1, 0.9), axis=1, method="hazen"),
    Sample((4, 2), (2, 2), domain=(0.1, 0.9), axis=0, keepdims=True, method="weibull"),
    Sample((2, 2, 2), prepare=_at(0.3), axis=(0, 2), method="median_unbiased"),
    *(
        Sample((2, 4), prepare=_at(_Q), axis=-1, method=method)
        for method in ("normal_unbiased", "interpolated_inverted_cdf")
    ),
    *(Sample((5,), prepare=_at(_Q), method=m) for m in ("lower", "higher", "nearest", "midpoint")),
    *(
        Sample((2, 4), prepare=_at(0.25), keepdims=True, method=method)
        for method in ("inverted_cdf", "averaged_inverted_cdf", "closest_observation")
    ),
    Sample((2, 4), prepare=_at(_Q), axis=1, weights=_WEIGHTS, method="inverted_cdf"),
    Sample((), prepare=_at(0.5)),
]
_NAN_SAMPLES = [
    *_SAMPLES[:2],
    Sample((2, 4), prepare=lambda a: _gaps(a, _Q), axis=1, keepdims=True),
    Sample((2, 4), prepare=lambda a: _gaps(a, 0.3), axis=1, method="midpoint"),
    Sample(
        (2, 4),
        prepare=lambda a: _gaps(a, _Q),
        axis=1,
        weights=np.array([_WEIGHTS, _WEIGHTS[::-1]]),  # NumPy fails for less
        method="inverted_cdf",
    ),
]


def _percent(samples: list[Sample]) -> list[Sample]:
    """The same samples with ``q`` in percent."""
    return [
        Sample(
            *s.arrays,
            domain=s.domain,
            prepare=lambda *arrays, s=s: (lambda a, q: (a, q * 100))(*s.arguments(*arrays)),
            **s.settings,
        )
        for s in samples
    ]


def _implement(function: Any, samples: list[Sample], *, percent: bool, skip_nan: bool) -> None:
    @implements(function, samples=samples)
    def quantile(
        a: Array,
        q: Any,
        axis: Axis = None,
        out: None = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        *,
        weights: Any = None,
    ) -> Array:
        """The value below which a share ``q`` of the elements lies; differentiable in ``q`` if it interpolates."""
        return _quantile(a, q, axis, method, keepdims, weights, percent=percent, skip_nan=skip_nan)


_implement(np.quantile, _SAMPLES, percent=False, skip_nan=False)
_implement(np.nanquantile, _NAN_SAMPLES, percent=False, skip_nan=True)
_implement(np.percentile, _percent(_SAMPLES[:4]), percent=True, skip_nan=False)
_implement(np.nanpercentile, _percent(_NAN_SAMPLES[:3]), percent=True, skip_nan=True)
