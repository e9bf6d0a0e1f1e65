"""Sums, means, extremes and spreads of the elements that are not NaN.

Each is the reduction without ``nan`` in its name, applied to the elements that are numbers. The NaNs
have a gradient of 0. A slice of nothing but NaN has the result NaN and also a gradient of 0.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..primitive import Sample, implements
from ..tensor import certainly, possibly
from ..typing import Array
from .arguments import array, plain
from .reductions import Axis, How, broadcast_mask, count_chosen, extreme, ratio, take_arguments_of
from .statistics import root, squares

_SOME = np.array([[True, True, True], [True, True, False]])


def _gaps(a: Array) -> tuple[Array]:
    return (np.where([[False, True, False], [True, False, False]], np.nan, a),)


_SAMPLES = [
    Sample((2, 3), prepare=_gaps),
    Sample((2, 3), prepare=_gaps, axis=1),
    Sample((2, 3), prepare=_gaps, axis=(0, 1), keepdims=True),
    Sample((2, 3), prepare=_gaps, axis=1, complex=True),
    Sample((2, 3), axis=0),
]
_SUMS = [
    *_SAMPLES,
    Sample((2, 3), prepare=_gaps, axis=1, where=_SOME, initial=1.5),
    Sample((2, 3), prepare=_gaps, dtype=np.float64),
]
_MEANS = [
    *_SAMPLES,
    Sample((2, 3), prepare=_gaps, where=_SOME),
    Sample((2, 3), prepare=_gaps, axis=1, dtype=np.float64),
]
_SPREADS = [
    *_SAMPLES,
    Sample((2, 3), prepare=_gaps, ddof=1, keepdims=True),
    Sample((2, 3), prepare=_gaps, axis=0, correction=-1, where=_SOME),
    Sample((2, 3), prepare=_gaps, axis=1, mean=np.array([[0.5], [-0.5]]), dtype=np.float64),
]
_EXTREMES = [*_SAMPLES, Sample((2, 3), prepare=_gaps, axis=0, where=_SOME, initial=0.1)]


def valid(a: Array, where: Any) -> Any:
    """Which elements count: those that are chosen and are numbers; ``True`` if all are."""
    if a.dtype.kind not in "fc":
        return where
    numbers = ~np.isnan(plain(a))
    if where is not True:
        numbers = numbers & broadcast_mask(where, numbers.shape)
    return True if certainly(numbers.all()) else numbers


def _axis(a: Array, axis: Axis) -> Axis:
    """The axis; for a single float, these functions also take 0 and -1, unlike those without ``nan``."""
    return None if a.ndim == 0 and axis in (0, -1) and a.dtype.kind in "fc" else axis


def _implement_sum(function: Any, plainly: Any) -> None:
    @implements(function, samples=_SUMS)
    @take_arguments_of(function)
    def nansum(a: Array, how: How) -> Array:
        """Sum, or product, of the elements that are not NaN."""
        where = valid(a, how.where)
        return plainly(a, how.axis, how.dtype, keepdims=how.keepdims, initial=how.initial, where=where)


_implement_sum(np.nansum, np.sum)
_implement_sum(np.nanprod, np.prod)


@implements(np.nanmean, samples=_MEANS)
@take_arguments_of(np.nanmean)
def nanmean(a: Array, how: How) -> Array:
    """Mean of the elements that are not NaN."""
    if how.dtype is not None and a.dtype.kind in "fc" and np.dtype(how.dtype).kind not in "fc":
        raise DTypeError(f"nanmean: dtype={np.dtype(how.dtype)} cannot hold the mean of {a.dtype} numbers")
    return np.mean(a, _axis(a, how.axis), how.dtype, keepdims=how.keepdims, where=valid(a, how.where))


def _implement_spread(function: Any, finish: Any) -> None:
    @implements(function, samples=_SPREADS)
    @take_arguments_of(function)
    def nanvar(a: Array, how: How) -> Array:
        """Variance, or standard deviation, of the elements that are not NaN."""
        if how.mean is not None and a.dtype.kind in "fc":
            how = how._replace(mean=array(how.mean, a.dtype))  # like NumPy's nanvar, but unlike its var
        total, n = squares(a, how._replace(axis=_axis(a, how.axis), where=valid(a, how.where)))
        y = finish(ratio(total, n, "Degrees of freedom <= 0 for slice."))
        return array(_nan_where(n <= 0, y), how.dtype)


_implement_spread(np.nanvar, lambda variance: variance)
_implement_spread(np.nanstd, root)


def _nan_where(nothing: Any, y: Array) -> Array:
    return np.where(nothing, np.asarray(np.nan, y.dtype), y) if possibly(nothing.any()) else y


def _implement_extreme(function: Any, plainly: Any, largest: bool) -> None:
    @implements(function, samples=_EXTREMES)
    @take_arguments_of(function)
    def nanmax(a: Array, how: How) -> Array:
        """Largest, or smallest, element that is not NaN; the gradient is shared equally among ties."""
        axis, keepdims, initial = how.axis, how.keepdims, how.initial
        numbers = valid(a, how.where)
        if numbers is True or initial is not None or how.where is not True:
            numbers = how.where if initial is None else numbers
            return plainly(a, axis, keepdims=keepdims, initial=initial, where=numbers)
        y = extreme(a, numbers, None, largest=largest, axis=axis, keepdims=keepdims)
        nothing = count_chosen(numbers, a.shape, axis, keepdims) == 0
        if certainly(nothing.any()):
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=3)
        return _nan_where(nothing, y)


_implement_extreme(np.nanmax, np.max, largest=True)
_implement_extreme(np.nanmin, np.min, largest=False)
