"""Sums, means, extremes and products over axes, and your own functions along them.

A rule here returns a gradient that keeps the reduced axes with length one. The sweep broadcasts it to
the shape of the input, so a sum costs nothing in the backward pass until its gradient meets an array.

The plain calls come first, because training steps make them. The functions that ``otherwise`` decorates
implement NumPy's rarer arguments: ``dtype=``, ``where=`` and ``initial=``.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..errors import OptionError, ShapeError, pluralise
from ..operands import asarray
from ..primitive import Sample, constant, implements, primitive
from ..tensor import certainly, possibly
from ..typing import Array, NDArray
from .arguments import array, lift, plain
from .joining import unstack

Axis = int | tuple[int, ...] | None

# The functions behind np.sum and np.prod; without the wrappers they take 1.5 µs less.
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce

_SOME = np.array([[True, False, True], [False, True, True]])
_SAMPLES = [
    Sample((2, 3)),
    Sample((2, 3), axis=0),
    Sample((2, 3, 2), axis=(0, -1)),
    Sample((2, 3), axis=-1, keepdims=True),
    Sample(()),
    Sample((2, 3), axis=1, complex=True),
    Sample((3,), complex=True),
]


def keep(g: Array, axis: Axis, keepdims: bool) -> Array:
    """Insert the reduced axes again, with length one."""
    return g if keepdims or axis is None else np.expand_dims(g, axis)


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """The number of elements that a reduction over ``axis`` combines into one."""
    if axis is None:
        return math.prod(shape)
    return math.prod(shape[i] for i in (axis if isinstance(axis, tuple) else (axis,)))


def split_axes(axis: Axis, ndim: int) -> tuple[list[int], list[int]]:
    """The axes that a reduction keeps, and those that it removes."""
    reduced = sorted(normalize_axis_tuple(range(ndim) if axis is None else axis, ndim))
    return [i for i in range(ndim) if i not in reduced], reduced


def join_axes(a: Array, axis: Axis) -> Array:
    """``a`` with the reduced axes joined into one, the last."""
    kept, reduced = split_axes(axis, a.ndim)
    shape = [*(a.shape[i] for i in kept), count(a.shape, tuple(reduced))]
    return np.reshape(np.transpose(a, [*kept, *reduced]), shape)


# -- NumPy's rarer arguments -----------------------------------------------------------------------


class How(NamedTuple):
    """The arguments of NumPy's reductions besides the array; each reduction takes some of them."""

    axis: Axis = None
    dtype: Any = None
    keepdims: bool = False
    initial: Any = None
    where: Any = True
    ddof: float = 0
    mean: Any = None
    correction: float | None = None


def take_arguments_of(
    function: Callable[..., Any],
) -> Callable[[Callable[[Array, How], Array]], Callable[..., Array]]:
    """Give a function of an array and a :class:`How` the signature of a NumPy function (a decorator)."""
    signature = inspect.signature(function)

    def decorate(define: Callable[[Array, How], Array]) -> Callable[..., Array]:
        @wraps(define)
        def reduce(*args: Any, **kwargs: Any) -> Array:
            given = signature.bind(*args, **kwargs).arguments
            a, how = given.pop("a"), {name: x for name, x in given.items() if x is not np._NoValue}
            how.pop("out", None)
            return define(a, How(**how))

        reduce.__signature__ = signature  # type: ignore[attr-defined]
        return reduce

    return decorate


def broadcast_mask(where: Any, shape: tuple[int, ...]) -> NDArray:
    """Broadcast ``where``, which may be smaller but not larger, to a mask of this shape."""
    mask = plain(where).astype(bool, casting="safe") if hasattr(where, "dtype") else np.array(where, bool)
    return np.broadcast_to(mask, shape)


def mask_out(a: Array, where: Any, fill: Any) -> Array:
    """``a`` where ``where`` holds, ``fill`` elsewhere."""
    return a if where is True else np.where(broadcast_mask(where, a.shape), a, fill)


def count_chosen(where: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> NDArray:
    """The number of elements that ``where`` chooses in each slice of an array of this shape."""
    return asarray(np.sum(broadcast_mask(where, shape), axis=axis, dtype=np.intp, keepdims=keepdims))


def ratio(total: Array, n: NDArray, warning: str) -> Array:
    """``total / n``; where ``n`` is not positive, NumPy's result, without a gradient."""
    nothing = n <= 0
    y = array(total / np.where(nothing, 1, n), total.dtype if total.dtype.kind in "fc" else None)
    if certainly(nothing.any()):
        warnings.warn(warning, RuntimeWarning, stacklevel=3)
    if possibly(nothing.any()):
        y = np.where(nothing, np.where(plain(total) > 0, math.inf, math.nan).astype(y.dtype), y)
    return y


# -- sums and means --------------------------------------------------------------------------------


@primitive(
    np.sum,
    samples=[
        *_SAMPLES,
        Sample((2, 3), where=_SOME),
        Sample((2, 3), axis=1, where=np.array([True, False, True]), initial=2.5),
        Sample((2, 3), axis=0, dtype=np.float64, keepdims=True),
    ],
    jvp="linear",
)
def sum(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Sum over axes."""
    return _add(a, axis=axis, keepdims=keepdims)


sum.vjp(lambda g, y, a, axis, keepdims: keep(g, axis, keepdims))


@sum.otherwise
@take_arguments_of(np.sum)
def _sum(a: Array, how: How) -> Array:
    y = array(sum(mask_out(array(a, how.dtype), how.where, 0), how.axis, keepdims=how.keepdims), how.dtype)
    return y if how.initial is None else y + array(how.initial, y.dtype)


@primitive(
    np.mean,
    samples=[
        *_SAMPLES,
        Sample((2, 3), where=_SOME),
        Sample((2, 3), axis=1, keepdims=True, where=_SOME),
        Sample((2, 3), axis=0, dtype=np.float64),
    ],
    jvp="linear",
)
def mean(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Arithmetic mean over axes."""
    if a.dtype.kind not in "fc" or a.dtype == np.float16:
        # NumPy sums integers in float64 and float16 in float32, because their own sums soon overflow.
        return np.mean(a, axis=axis, keepdims=keepdims)
    return _add(a, axis=axis, keepdims=keepdims) / count(a.shape, axis)


def mean_rule(g: Array, y: Array, a: Array, axis: Axis, keepdims: bool) -> Array:
    """An equal part for each element; their number may be too large for float16."""
    n = count(a.shape, axis)
    return keep(g / n if g.dtype != np.float16 else g * (1 / (n or 1)), axis, keepdims)


mean.vjp(mean_rule)


@mean.otherwise
@take_arguments_of(np.mean)
def _mean(a: Array, how: How) -> Array:
    axis, dtype, keepdims = how.axis, how.dtype, how.keepdims
    is_small = dtype is None and a.dtype == np.float16
    wide = dtype if dtype is not None or a.dtype.kind in "fc" else np.float64
    result, a = a.dtype if is_small else dtype, array(a, np.float32 if is_small else wide)
    if how.where is True:
        y = mean(a, axis, keepdims=keepdims)
    else:
        n = count_chosen(how.where, a.shape, axis, keepdims)
        y = ratio(sum(mask_out(a, how.where, 0), axis, keepdims=keepdims), n, "Mean of empty slice")
    return array(y, result)


# -- extremes --------------------------------------------------------------------------------------


def extreme_rule(g: Array, y: Array, a: Array, axis: Axis, keepdims: bool) -> Array:
    """The gradient goes to the extreme element; ties share it equally."""
    ties = is_top(a, keep(y, axis, keepdims)).astype(a.dtype)
    return keep(g, axis, keepdims) * (ties / np.add.reduce(ties, axis=axis, keepdims=True))


def is_top(a: Array, top: Array) -> Array:
    """Which elements equal the extreme of their slice; if it is NaN, the NaNs do."""
    ties = a == top
    return ties | ((a != a) & (top != top)) if possibly((top != top).any()) else ties


@primitive(
    np.max,
    np.amax,
    samples=[*_SAMPLES, Sample((2, 3), axis=1, where=_SOME, initial=-5.0)],
    jvp="reduction",
)
def max(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Largest element over axes; the gradient is shared equally among ties."""
    return np.max(a, axis=axis, keepdims=keepdims)


max.vjp(extreme_rule)


@primitive(np.min, np.amin, samples=[*_SAMPLES, Sample((2, 3), initial=0.1)], jvp="reduction")
def min(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Smallest element over axes; the gradient is shared equally among ties."""
    return np.min(a, axis=axis, keepdims=keepdims)


min.vjp(extreme_rule)


@primitive(
    samples=[
        Sample((2, 3), _SOME, None, largest=True),
        Sample((2, 3), _SOME, (), largest=False, axis=1),
        Sample((2, 3), _SOME, np.array(-5.0), largest=True, axis=0, keepdims=True),
        Sample((2, 3), _SOME, (), largest=True, complex=True),
    ]
)
def extreme(
    a: Array, where: Array, initial: Array | None, /, largest: bool, axis: Axis = None, keepdims: bool = False
) -> Array:
    """Largest or smallest of the chosen elements and of an initial value, if it is given."""
    first: Any = (-math.inf if largest else math.inf) if initial is None else initial
    function: Any = np.max if largest else np.min
    return function(a, axis=axis, keepdims=keepdims, initial=first, where=where)


def shares(
    y: Array, a: Array, where: Array, initial: Array | None, axis: Axis, keepdims: bool
) -> tuple[Array, Array]:
    """The share of every element, and of the initial value, in each extreme: equal shares for ties."""
    top = keep(y, axis, keepdims) if y.ndim else y
    ties = (is_top(a, top) & where).astype(a.dtype)
    first = np.zeros_like(top) if initial is None else is_top(initial, top).astype(a.dtype)
    several = np.add.reduce(ties, axis=axis, keepdims=True) + first
    several = several + (several == 0)  # avoids 0 / 0 if nothing was chosen
    return ties / several, first / several


def extreme_share_rule(which: int) -> Callable[..., Array]:
    """The gradient goes to the source of the extreme: the elements (0) or the initial value (1)."""

    def rule(
        g: Array, y: Array, a: Array, where: Array, initial: Any, largest: bool, axis: Axis, keepdims: bool
    ) -> Array:
        return keep(g, axis, keepdims) * shares(y, a, where, initial, axis, keepdims)[which]

    return rule


extreme.vjp(extreme_share_rule(0), None, extreme_share_rule(1))


def _extreme(plainly: Any, largest: bool) -> Callable[..., Array]:
    """Implement max or min with where= and initial=."""

    @take_arguments_of(np.max if largest else np.min)
    def extreme_of_some(a: Array, how: How) -> Array:
        axis, keepdims, initial = how.axis, how.keepdims, how.initial
        if initial is None and how.where is True:
            return plainly(a, axis, keepdims=keepdims)
        if initial is None:
            raise OptionError(
                f"{plainly.name}: where= may choose no element of a slice; pass initial= as the result for that case"
            )
        where = broadcast_mask(how.where, a.shape)
        return extreme(a, where, array(initial, a.dtype), largest=largest, axis=axis, keepdims=keepdims)

    return extreme_of_some


max.otherwise(_extreme(max, largest=True))
min.otherwise(_extreme(min, largest=False))


# -- products --------------------------------------------------------------------------------------


@primitive(
    np.prod,
    samples=[
        *_SAMPLES,
        Sample(np.array([0.0, 2.0, 3.0])),
        Sample(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 4.0]]), axis=1),
        Sample((0, 2), axis=0),
        Sample((2, 3), axis=1, where=_SOME, initial=2.0),
        Sample((2, 3), dtype=np.float64),
    ],
    jvp="reduction",
)
def prod(a: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Product over axes; the gradient is right with any number of zeros."""
    return _multiply(a, axis=axis, keepdims=keepdims)


def products_of_others(x: Array) -> Array:
    """For each element, the product of all the others along the last axis, without dividing.

    Neighbours are multiplied in pairs, and the result for a pair is passed down to both: log2(n) steps,
    and derivatives of any order, with or without zeros.
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
    """Join the reduced axes at the end, take the products of the others, and move the axes back."""
    if not a.ndim:
        return g  # a number has no other elements, whatever the axis
    kept, reduced = split_axes(axis, a.ndim)
    order = [*kept, *reduced]
    others = np.reshape(products_of_others(join_axes(a, axis)), [a.shape[i] for i in order])
    return keep(g, axis, keepdims) * np.transpose(others, np.argsort(order).tolist())


prod.vjp(prod_rule)


@prod.otherwise
@take_arguments_of(np.prod)
def _prod(a: Array, how: How) -> Array:
    y = array(prod(mask_out(array(a, how.dtype), how.where, 1), how.axis, keepdims=how.keepdims), how.dtype)
    return y if how.initial is None else y * array(how.initial, y.dtype)


# -- your own functions ----------------------------------------------------------------------------


@implements(
    np.apply_along_axis,
    samples=[
        Sample((2, 3), prepare=lambda a: (np.cumsum, 0, a)),
        Sample((2, 3), prepare=lambda a: (lambda x, k: np.sum(x) * k, 1, a, 3.0)),
        Sample((2, 3), prepare=lambda a: (lambda x: np.outer(x, x), -1, a)),
    ],
)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Array, *args: Any, **kwargs: Any) -> Array:
    """Replace each 1-d slice along an axis by the result of a function."""
    axis = normalize_axis_index(axis, arr.ndim)
    slices = np.moveaxis(arr, axis, -1)
    places = slices.shape[:-1]
    if 0 in places:
        raise ShapeError(f"apply_along_axis: an array of shape {arr.shape} has no slices along axis {axis}")
    rows = unstack(np.reshape(slices, (math.prod(places), arr.shape[axis])))
    results: Array = lift([lift(func1d(row, *args, **kwargs)) for row in rows])
    results = np.reshape(results, places + results.shape[1:])
    ends = range(len(places), results.ndim)
    return np.moveaxis(results, list(ends), [axis + k for k in range(len(ends))])


@implements(
    np.apply_over_axes,
    samples=[
        Sample((2, 3, 2), prepare=lambda a: (np.sum, a, [0, 2])),
        Sample((2, 3), prepare=lambda a: (np.cumsum, a, 1)),
    ],
)
def apply_over_axes(func: Callable[[Array, int], Array], a: Array, axes: Any) -> Array:
    """Apply a function over one axis after the other; reduced axes are kept with length one."""
    ndim = a.ndim
    for axis in np.atleast_1d(axes).tolist():
        axis = normalize_axis_index(axis, ndim)
        y = func(a, axis)
        a = y if y.ndim == ndim else np.expand_dims(y, axis)
        if a.ndim != ndim:
            raise ShapeError(f"apply_over_axes: the function returned {pluralise(y.ndim, 'axis')} for {ndim}")
    return a


constant(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.all, np.any, np.count_nonzero)
