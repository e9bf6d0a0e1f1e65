"""Sums, means, extremes and spreads of the elements that are not NaN.

Each is the reduction without ``nan`` in its name, where the elements are numbers. What is left out has
a gradient of 0, and so has a slice of nothing else, whose result is NaN.
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
from .reductions import Axis, chosen, extreme, number, ratio
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
    """Which elements count: those chosen that are numbers; ``True`` if that is all."""
    if a.dtype.kind not in "fc":
        return where
    numbers = ~np.isnan(plain(a))
    if where is not True:
        numbers = numbers & chosen(where, numbers.shape)
    return True if certainly(numbers.all()) else numbers


def _axis(a: Array, axis: Axis) -> Axis:
    """The axis; of a single float these functions, unlike those without ``nan``, take 0 and -1 too."""
    return None if a.ndim == 0 and axis in (0, -1) and a.dtype.kind in "fc" else axis


def _implement_sum(function: Any, plainly: Any) -> None:
    @implements(function, samples=_SUMS)
    def nansum(
        a: Array,
        axis: Axis = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Array:
        """Sum, or product, of the elements that are not NaN."""
        return plainly(a, axis, dtype, keepdims=keepdims, initial=initial, where=valid(a, where))


_implement_sum(np.nansum, np.sum)
_implement_sum(np.nanprod, np.prod)


@implements(np.nanmean, samples=_MEANS)
def nanmean(
    a: Array,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = True,
) -> Array:
    """Mean of the elements that are not NaN."""
    if dtype is not None and a.dtype.kind in "fc" and np.dtype(dtype).kind not in "fc":
        raise DTypeError(f"nanmean: dtype={np.dtype(dtype)} cannot hold the mean of {a.dtype} numbers")
    return np.mean(a, _axis(a, axis), dtype, keepdims=keepdims, where=valid(a, where))


def _implement_spread(function: Any, finish: Any) -> None:
    @implements(function, samples=_SPREADS)
    def nanvar(
        a: Array,
        axis: Axis = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: Any = True,
        mean: Any = None,
        correction: float | None = None,
    ) -> Array:
        """Variance, or standard deviation, of the elements that are not NaN."""
        if mean is not None and a.dtype.kind in "fc":
            mean = array(mean, a.dtype)  # so NumPy's nanvar, though not its var
        axis = _axis(a, axis)
        total, n = squares(a, axis, dtype, ddof, keepdims, valid(a, where), mean, correction)
        y = finish(ratio(total, n, "Degrees of freedom <= 0 for slice."))
        return array(_nan_where(n <= 0, y), dtype)


_implement_spread(np.nanvar, lambda variance: variance)
_implement_spread(np.nanstd, root)


def _nan_where(nothing: Any, y: Array) -> Array:
    return np.where(nothing, np.asarray(np.nan, y.dtype), y) if possibly(nothing.any()) else y


def _implement_extreme(function: Any, plainly: Any, largest: bool) -> None:
    @implements(function, samples=_EXTREMES)
    def nanmax(
        a: Array,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Array:
        """Largest, or smallest, element that is not NaN; the gradient is shared equally among ties."""
        numbers = valid(a, where)
        if numbers is True or initial is not None or where is not True:
            numbers = where if initial is None else numbers
            return plainly(a, axis, keepdims=keepdims, initial=initial, where=numbers)
        y = extreme(a, numbers, None, largest=largest, axis=axis, keepdims=keepdims)
        nothing = number(numbers, a.shape, axis, keepdims) == 0
        if certainly(nothing.any()):
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=3)
        return _nan_where(nothing, y)


_implement_extreme(np.nanmax, np.max, largest=True)
_implement_extreme(np.nanmin, np.min, largest=False)
