"""Averages, variances, covariances and correlations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import DTypeError, OptionError, ShapeError
from ..graph import conjugate
from ..primitive import Sample, implements, primitive
from ..tensor import certainly, possibly, refuse
from ..typing import Array, NDArray
from .arguments import array, beside, lift, plain
from .reductions import Axis, How, count, count_chosen, keep, mask_out, ratio, take_arguments_of

_SAMPLES = [Sample((2, 3)), Sample((2, 3), axis=1), Sample((2, 3, 2), axis=(0, -1), keepdims=True)]
_SOME = np.array([[True, False, True], [False, True, True]])

# -- range and average -----------------------------------------------------------------------------


@implements(np.ptp, samples=[*_SAMPLES, Sample((2, 3), axis=0, complex=True)])
def ptp(a: Array, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The distance from the smallest element to the largest."""
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


@implements(
    np.average,
    samples=[
        *_SAMPLES,
        Sample((2, 3), prepare=lambda a: (a, 1, None, True)),
        Sample((2, 3), (2, 3), domain=(0.2, 2.0), prepare=lambda a, w: (a, None, w, True)),
        Sample((2, 3), (3,), domain=(0.2, 2.0), prepare=lambda a, w: (a, 1, w, True), keepdims=True),
        Sample((2, 3, 2), (2, 3), domain=(0.2, 2.0), prepare=lambda a, w: (a, (2, 1), w)),
        Sample((3,), prepare=lambda a: (a, 0, [1, 2, 3])),
        Sample((3,), domain=(0.2, 2.0), prepare=lambda w: ([1, 2, 4], None, w)),
        Sample((2, 3), (2, 3), domain=(0.2, 2.0), prepare=lambda a, w: (a, 1, w), complex=True),
    ],
)
def average(
    a: Array, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """Weighted mean, differentiable in elements and weights; with ``returned``, also the sum of the weights."""
    a = array(a)
    if weights is None:
        y = np.mean(a, axis=axis, keepdims=keepdims)
        total: Array = beside(y, np.asarray(a.size / y.size if y.size else np.nan, y.dtype))
    else:
        weights = weights_along(array(weights), a, axis)
        dtype = np.result_type(a.dtype, weights.dtype, *(() if a.dtype.kind in "fc" else (np.float64,)))
        total = np.sum(array(weights, dtype), axis=axis, keepdims=keepdims)
        message = "average: the weights add up to 0 and cannot be normalized"
        refuse(np.any(total == 0), lambda: ZeroDivisionError(message), message)
        y = np.sum(array(a, dtype) * array(weights, dtype), axis=axis, keepdims=keepdims) / total
    return (y, np.broadcast_to(lift(total), y.shape)) if returned else y


def weights_along(weights: Array, a: Array, axis: Axis) -> Array:
    """Reshape the weights of reduced axes so that they broadcast against ``a``."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError(
            f"weights of shape {weights.shape} for an array of shape {a.shape}: which axis is meant? Pass axis="
        )
    axes = normalize_axis_tuple(axis, a.ndim)
    if weights.shape != tuple(a.shape[i] for i in axes):
        raise ShapeError(
            f"weights of shape {weights.shape} do not fit axis {axis} of an array of shape {a.shape}"
        )
    weights = np.transpose(weights, np.argsort(axes).tolist())
    return np.reshape(weights, [n if i in axes else 1 for i, n in enumerate(a.shape)])


# -- variance and standard deviation ---------------------------------------------------------------


def deviation(a: Array, axis: Axis) -> Array:
    """Distance of each element from the mean over ``axis``."""
    return a - np.mean(a, axis=axis, keepdims=True)


def freedom(a: Array, axis: Axis, ddof: float) -> float:
    """Degrees of freedom; NaN if there are none, like NumPy's variance."""
    n = count(a.shape, axis) - ddof
    return n if n > 0 else math.nan


_SPREADS = [
    *_SAMPLES,
    Sample((2, 3), axis=1, complex=True),
    Sample((3,), complex=True),
    Sample((2, 3), axis=1, ddof=1),
    Sample((2, 3), axis=0, correction=0.5, keepdims=True),
    Sample((2, 3), axis=1, where=_SOME, ddof=-1),
    Sample((2, 3), axis=1, where=_SOME, complex=True),
    Sample((2, 3), axis=1, mean=np.array([[0.5], [-0.5]]), dtype=np.float64),
]


@primitive(np.var, samples=_SPREADS, jvp="reduction")
def var(a: Array, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Variance over axes; it is real for complex numbers, too."""
    return np.var(a, axis=axis, ddof=ddof, keepdims=keepdims)


var.vjp(
    lambda g, y, a, axis, ddof, keepdims: (
        keep(g, axis, keepdims) * (2 / freedom(a, axis, ddof)) * conjugate(deviation(a, axis))
    )
)


@primitive(np.std, samples=_SPREADS, jvp="reduction")
def std(a: Array, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Standard deviation over axes; its gradient is 0 where all elements are equal."""
    return np.std(a, axis=axis, ddof=ddof, keepdims=keepdims)


def std_rule(g: Array, y: Array, a: Array, axis: Axis, ddof: float, keepdims: bool) -> Array:
    """``(a - mean) / (n * std)``; 0 for a constant, which has no deviation."""
    flat = y == 0
    scale = np.where(flat, 0, g / (y + flat) * (1 / freedom(a, axis, ddof)))
    return keep(scale, axis, keepdims) * conjugate(deviation(a, axis))


std.vjp(std_rule)


def squares(a: Array, how: How) -> tuple[Array, NDArray]:
    """The sum of the squared deviations of the chosen elements, and their degrees of freedom."""
    a, where, axis = as_inexact(a, how.dtype), how.where, how.axis
    centre = np.mean(a, axis=axis, keepdims=True, where=where) if how.mean is None else how.mean
    d = mask_out(a - centre, where, 0)
    squared = np.real(d * conjugate(d)) if d.dtype.kind == "c" else d * d
    total = np.sum(squared, axis=axis, keepdims=how.keepdims)
    return total, count_chosen(where, a.shape, axis, how.keepdims) - resolve_ddof(how)


def as_inexact(a: Array, dtype: Any) -> Array:
    """``a`` in a dtype that can hold deviations: not integers."""
    if dtype is None:
        return a if a.dtype.kind in "fc" else array(a, np.float64)
    if np.dtype(dtype).kind not in "fc" or (a.dtype.kind == "c" and np.dtype(dtype).kind != "c"):
        raise DTypeError(f"var: dtype={np.dtype(dtype)} cannot hold the deviations of {a.dtype} numbers")
    return array(a, dtype)


def resolve_ddof(how: How) -> float:
    """The number that can be passed by two names."""
    if how.correction is None:
        return how.ddof
    if how.ddof != 0:
        raise OptionError(
            f"var: ddof={how.ddof} and correction={how.correction} are the same; pass one of them"
        )
    return how.correction


def root(x: Array) -> Array:
    """The square root, with a gradient of 0 at 0."""
    return np.where(x == 0, 0, np.sqrt(np.where(x == 0, 1, x)))


def _spread(plainly: Any, finish: Callable[[Array], Array]) -> Callable[..., Array]:
    """Implement variance or standard deviation of some elements, about another mean or in another dtype."""

    @take_arguments_of(np.var)
    def spread_of_some(a: Array, how: How) -> Array:
        a = array(a)
        if how.where is True and how.mean is None:
            y = plainly(as_inexact(a, how.dtype), how.axis, ddof=resolve_ddof(how), keepdims=how.keepdims)
        else:
            total, n = squares(a, how)
            y = finish(ratio(total, n, "Degrees of freedom <= 0 for slice"))
        return array(y, how.dtype)

    return spread_of_some


var.otherwise(_spread(var, lambda variance: variance))
std.otherwise(_spread(std, root))


# -- covariance ------------------------------------------------------------------------------------


def _variables(m: Array, rowvar: bool, dtype: Any) -> Array:
    """Observations as a matrix with a row for each variable."""
    if m.ndim > 2:
        raise ShapeError(f"cov: observations must be a vector or a matrix, but have shape {m.shape}")
    m = array(m, dtype)
    if m.ndim < 2:
        return np.reshape(m, (1, -1))
    return m if rowvar else m.T


def _weights(weights: Any, observations: int, name: str) -> Array:
    """Check the weights of observations."""
    w = array(weights)
    if w.shape != (observations,):
        raise RuntimeError(f"cov: {name} of shape {w.shape} for {observations} observations")
    brief = f"cov: {name} cannot be negative"
    refuse(np.any(w < 0), lambda: OptionError(brief), brief)
    if name == "fweights":
        whole = "cov: fweights count observations and must be integers; aweights may be any weights"
        refuse(np.any(plain(w) != np.rint(plain(w))), lambda: TypeError(whole), whole)
    return array(w, np.float64)


_ROWS = np.array([1, 2, 0, 3])


@implements(
    np.cov,
    samples=[
        Sample((2, 4)),
        Sample((4,)),
        Sample((4, 2), rowvar=False, bias=True),
        Sample((2, 4), prepare=lambda m: (m,), fweights=_ROWS, ddof=2),
        Sample((2, 4), (4,), domain=(0.1, 2.0), prepare=lambda m, w: (m, None, True, False, None, _ROWS, w)),
        Sample((2, 4), (4,), domain=(0.1, 2.0), prepare=lambda m, w: (m, None, True, False, 0, None, w)),
        Sample((4,), (4,)),
        Sample((4, 2), (4, 1), rowvar=False, dtype=np.float64),
        Sample((2, 3), complex=True),
    ],
)
def cov(
    m: Array,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Array:
    """Covariance matrix of variables, differentiable in the observations and in ``aweights``."""
    if ddof is not None and ddof != int(ddof):
        raise OptionError(f"cov: ddof must be an integer, not {ddof!r}")
    parts = [array(x) for x in (m, y) if x is not None]
    if dtype is None:
        dtype = np.result_type(*(x.dtype for x in parts), np.float64)
    x = _variables(parts[0], rowvar, dtype)
    if not x.shape[0]:
        return lift(np.zeros((0, 0)))
    if y is not None:
        is_row = rowvar or parts[1].shape[:1] == (1,)
        x = np.concatenate([x, _variables(parts[1], is_row, dtype)], axis=0)
    ddof = int(not bias) if ddof is None else ddof
    n: Any = x.shape[1]
    frequency = None if fweights is None else _weights(fweights, n, "fweights")
    importance = None if aweights is None else _weights(aweights, n, "aweights")
    weights = importance if frequency is None else frequency if importance is None else frequency * importance
    centre, total = average(x, 1, weights, True, keepdims=True)
    total = np.real(total[0, 0])  # the number of observations, if they have no weights
    spent = ddof if importance is None or not ddof else ddof * (np.sum(weights * importance) / total)
    freedom: Any = total - spent
    if certainly(freedom <= 0):
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
        freedom = 0.0
    elif possibly(freedom <= 0):
        freedom = np.where(freedom <= 0, 0.0, freedom)
    x = x - centre
    weighted = x if weights is None else x * weights
    return np.squeeze(x @ conjugate(weighted).T * np.true_divide(1, freedom))


@implements(
    np.corrcoef,
    samples=[
        Sample((3, 4)),
        Sample((4, 2), rowvar=False),
        Sample((4,), (4,), dtype=np.float64),
        Sample((2, 4), complex=True),
    ],
)
def corrcoef(x: Array, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    """Correlation coefficients of variables; NaN without a gradient for a constant variable."""
    c = cov(x, y, rowvar, dtype=dtype)
    shape, i = c.shape, np.arange(c.shape[0] if c.ndim else 1)
    c = np.reshape(c, (i.size, i.size))
    variance = np.real(c[i, i])
    constant = plain(variance == 0)
    scale = np.sqrt(variance + constant)
    c = c / scale[:, None] / scale[None, :]
    c = _clip(np.real(c)) + 1j * _clip(np.imag(c)) if c.dtype.kind == "c" else _clip(c)
    if certainly(constant.any()):
        warnings.warn("invalid value encountered in divide", RuntimeWarning, stacklevel=3)
    if possibly(constant.any()):
        c = np.where(constant[:, None] | constant, np.asarray(np.nan, c.dtype), c)
    return np.reshape(c, shape)


def _clip(x: Array) -> Array:
    """Clip values that rounding moved beyond 1."""
    return np.clip(x, -1, 1)
