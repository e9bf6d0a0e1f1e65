"""Functions that networks need and NumPy lacks: activations, soft maxima, the error function.

``nn.functional`` offers these to users. Each is one node with its own rule, in a form that neither
overflows nor cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, choice, pluralise
from ..operands import generator
from ..primitive import Sample, primitive
from ..quiet import let_vanish
from ..tensor import Tensor, certainly, is_known, refuse
from ..trees import tree_map
from ..typing import Array, ArrayT
from .arguments import array

_CURVE = [((),), ((2, 3),)]


def widen(f: Callable[..., Any]) -> Callable[..., Any]:
    """Compute in float32 if the input is float16, which ends at 65504 and has three digits."""

    def wide(x: Any) -> Any:
        return x.astype(np.float32) if getattr(x, "dtype", None) == np.float16 else x

    @wraps(f)
    def function(x: Array, /, *args: Any, **settings: Any) -> Any:
        if x.dtype == np.float16:
            return tree_map(lambda y: y.astype(np.float16), f(*map(wide, (x, *args)), **settings))
        return f(x, *args, **settings)

    return function


#: The number of elements of a piece: a processor's cache holds a few pieces.
PIECE = 1 << 15


def in_pieces(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Compute many passes over a large array for one part of it after the other, each of which stays in the cache."""

    @wraps(f)
    def function(x: Array) -> Array:
        if type(x) is not np.ndarray or x.size < 2 * PIECE or x.dtype.kind != "f":
            return f(x)
        y = np.empty_like(x)
        if y.strides != x.strides:  # there are gaps in the memory of x, or it is read backwards
            return f(x)
        given, made = x.ravel(order="K"), y.ravel(order="K")
        for start in range(0, x.size, PIECE):
            made[start : start + PIECE] = f(given[start : start + PIECE])
        return y

    return function


@primitive(samples=_CURVE, jvp="elementwise")
def relu(x: Array, /) -> Array:
    """``max(x, 0)``; the gradient at 0 is 0.

    Examples
    --------
    >>> relu(np.array([-2.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.maximum(x, 0)


def relu_rule(g: Array, y: Array, x: Array) -> Array:
    """``g`` where ``x`` is positive, 0 elsewhere."""
    mask = (y > 0).astype(g.dtype)  # NumPy multiplies numbers by booleans through a slow buffer
    mask *= g
    return mask


relu.vjp(relu_rule)


@primitive(samples=[*_CURVE, Sample((3,), slope=0.2)], jvp="elementwise")
def leaky_relu(x: Array, /, slope: float = 0.01) -> Array:
    """``x`` where positive, ``slope * x`` elsewhere.

    Examples
    --------
    >>> leaky_relu(np.array([-2.0, 0.0, 2.0]), slope=0.1)
    array([-0.2,  0. ,  2. ])
    """
    return np.where(x > 0, x, slope * x)


leaky_relu.vjp(lambda g, y, x, slope: np.where(x > 0, g, slope * g))


@primitive(samples=[*_CURVE, Sample((3,), alpha=0.5)], jvp="elementwise")
@let_vanish
def elu(x: Array, /, alpha: float = 1.0) -> Array:
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Examples
    --------
    >>> elu(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.865,  0.   ,  2.   ])
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


elu.vjp(lambda g, y, x, alpha: np.where(x > 0, g, g * (alpha * np.exp(np.minimum(x, 0)))))


@primitive(samples=_CURVE, jvp="elementwise")
@widen
def sigmoid(x: Array, /) -> Array:
    """``1 / (1 + exp(-x))``, accurate in both tails; results below the smallest normal number may be 0.

    Examples
    --------
    >>> sigmoid(np.array([-800.0, 0.0, 2.0])).round(3)
    array([0.   , 0.5  , 0.881])
    """
    with np.errstate(over="ignore", under="ignore"):
        e = np.exp(np.minimum(-x, _too_large(x.dtype)))
    e += 1
    return 1 / e


@lru_cache
def _too_large(dtype: Any) -> float:
    """A number whose exponential is infinite: it tells the compiler that the exponential may be."""
    return float(np.log(np.finfo(dtype if dtype.kind == "f" else float).max)) * (1 + 1e-3)


sigmoid.vjp(lambda g, y, x: g * y * (1 - y))


@primitive(samples=_CURVE, jvp="elementwise")
@widen
def silu(x: Array, /) -> Array:
    """``x * sigmoid(x)``, a smooth relu that dips below 0.

    Examples
    --------
    >>> silu(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.238,  0.   ,  1.762])
    """
    return x * sigmoid(x)


def silu_rule(g: Array, y: Array, x: Array) -> Array:
    """The slope of the sigmoid, ``s``, and that of its steepness."""
    s = sigmoid(x)
    return g * (s + y * (1 - s))


silu.vjp(silu_rule)


@primitive(samples=[Sample((), domain=(0.1, 0.9)), Sample((2, 3), domain=(0.1, 0.9))], jvp="elementwise")
def logit(p: Array, /) -> Array:
    """``log(p / (1 - p))``, the inverse of the sigmoid.

    Examples
    --------
    >>> logit(sigmoid(np.array([-2.0, 0.0, 2.0]))).round(3)
    array([-2.,  0.,  2.])
    """
    return np.log(p) - np.log1p(-p)


logit.vjp(lambda g, y, p: g / (p * (1 - p)))


@primitive(samples=_CURVE, jvp="elementwise")
@let_vanish
def softplus(x: Array, /) -> Array:
    """``log(1 + exp(x))``, a smooth relu.

    Examples
    --------
    >>> softplus(np.array([-2.0, 0.0, 800.0])).round(3)
    array([1.27e-01, 6.93e-01, 8.00e+02])
    """
    return np.logaddexp(x, 0)


softplus.vjp(lambda g, y, x: g * sigmoid(x))


@primitive(samples=[*_CURVE, Sample((7,), domain=(-6.0, 6.0))], jvp="elementwise")
@widen
@let_vanish
@in_pieces
def erf(x: Array, /) -> Array:
    """The error function, accurate to the last digit or two of a double.

    Rational approximations by Cody [1]_, one for each of three ranges of ``|x|``.

    .. [1] W. J. Cody, "Rational Chebyshev approximation for the error function",
       Mathematics of Computation 23 (1969).

    Examples
    --------
    >>> erf(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.842701,  0.      ,  0.842701])
    """
    a = np.abs(x)
    return np.where(a <= 0.46875, _erf_near_0(x, a), np.sign(x) * (1 - _erfc_beyond(a)))


@primitive(samples=[*_CURVE, Sample((7,), domain=(-6.0, 6.0))], jvp="elementwise")
@widen
@let_vanish
@in_pieces
def erfc(x: Array, /) -> Array:
    """``1 - erf(x)``, with all its digits where the result is small."""
    a = np.abs(x)
    tail = _erfc_beyond(a)
    if x.dtype == np.float32:
        return (1 - np.copysign(1, x)) + np.copysign(tail, x)
    return np.where(a <= 0.46875, 1 - _erf_near_0(x, a), np.where(x > 0, tail, 2 - tail))


def _erf_near_0(x: Array, a: Array) -> Array:
    small = np.minimum(a, 0.46875)
    square = small * small
    return x * (_horner(_ERF_P, square) / _horner(_ERF_Q, square))


def _erfc_beyond(a: Array) -> Array:
    """``erfc`` of numbers above 0.46875, or in single precision of all that are not negative."""
    if a.dtype == np.float32:
        return _erfc_single(a)
    middle = np.clip(a, 0.46875, 4.0)
    tail = np.exp(-middle * middle) * (_horner(_ERFC_P, middle) / _horner(_ERFC_Q, middle))
    # Beyond 4 the tail is below 2e-8, and the series for large arguments takes over.
    large = np.clip(a, 4.0, 30.0)
    inverse = 1 / (large * large)
    far = np.exp(-large * large) / large
    far = far * (1 / math.sqrt(math.pi) - inverse * (_horner(_ERFC_R, inverse) / _horner(_ERFC_S, inverse)))
    return np.where(a <= 4.0, tail, far)


def _erfc_single(a: Array) -> Array:
    """``exp(-a²)`` times a polynomial of ``1 / (1 + p a)`` without a constant, as in [1]_, but of the eighth degree.

    The coefficients are ours, fitted so that the largest relative error from 0 to 10.5, 1.2e-7, is as small as can be.

    .. [1] C. Hastings, "Approximations for digital computers", Princeton University Press (1955), sheet 43.
    """
    bell = _bell(a)
    t = np.minimum(a, _FAR) * 0.43359375
    t += 1
    t = 1 / t
    value = t * _SINGLE[0]
    for c in _SINGLE[1:]:
        value += c
        value *= t
    value *= bell
    return value


def _horner(coefficients: list[float], x: Array) -> Array:
    """The polynomial with these coefficients, highest power first."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value = value * x + c
    return value


#: The coefficients of :func:`_erfc_single`, highest power first.
_SINGLE = [
    0.0728920508, -0.29873126, 0.351409712, -0.0604287553, 0.234558889, 0.209810293, 0.245918786, 0.2445704,
]  # fmt: skip

# Cody's coefficients, highest power first.
_ERF_P = [
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
]
_ERF_Q = [1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3]
_ERFC_P = [
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
]  # fmt: skip
_ERFC_Q = [
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
]  # fmt: skip
_ERFC_R = [
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
]
_ERFC_S = [
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
]


#: Beyond it, the bell curve is 0 in double precision; the square of a larger number may leave the range.
_FAR = 40


def _bell(x: Array) -> Array:
    """``exp(-x²)``."""
    near = np.minimum(np.abs(x), _FAR)
    return np.exp(near * -near)


erf.vjp(lambda g, y, x: g * _bell(x) * (2 / math.sqrt(math.pi)))
erfc.vjp(lambda g, y, x: g * _bell(x) * (-2 / math.sqrt(math.pi)))


def gelu(x: Array, approximate: str = "none") -> Array:
    """``x`` times the probability that a standard normal variable is below ``x`` [1]_.

    Parameters
    ----------
    x : Tensor or array
    approximate : {'none', 'tanh'}
        Whether to use a formula with a hyperbolic tangent, which differs by less than 5e-4.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415 (2016).

    Examples
    --------
    >>> x = np.array([-2.0, 0.0, 2.0])
    >>> gelu(x).round(4), gelu(x, "tanh").round(4)
    (array([-0.0455,  0.    ,  1.9545]), array([-0.0454,  0.    ,  1.9546]))
    """
    if approximate == "tanh":
        return x * (0.5 + 0.5 * np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    if approximate != "none":
        raise choice("approximation of gelu", approximate, ("none", "tanh"))
    return x * (erfc(x * -math.sqrt(0.5)) / 2)


# -- dropout ---------------------------------------------------------------------------------------


def dropout(
    x: ArrayT, p: float = 0.5, *, rng: np.random.Generator | int | None = None, training: bool = True
) -> ArrayT:
    """Set elements to zero with probability ``p``, and scale the others by ``1 / (1 - p)`` [1]_.

    Parameters
    ----------
    x : array_like of floats
    p : float in [0, 1)
    rng : numpy.random.Generator or seed
        Source of the random numbers; without it, they differ every time.
    training : bool, default True
        If false, ``x`` is returned unchanged.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
       JMLR 15 (2014).

    Examples
    --------
    >>> dropout(np.ones(6), 0.5, rng=0)
    array([2., 2., 2., 0., 0., 0.])
    """
    if not 0 <= p < 1:
        raise OptionError(f"dropout: p = {p!r} is not a probability in [0, 1)")
    if not training or p == 0:
        return x
    rng = generator(rng)
    kept: Array = rng.random(x.shape, np.float32) >= p
    return x * (kept.astype(x.dtype) * (1 / (1 - p)))


# -- soft maxima ---------------------------------------------------------------------------------
# Classes are few and rows are many, and NumPy reduces over a short last axis up to ten times more slowly
# than over the first axis. So these functions move the axis to the front.


@primitive(samples=[((4,),), ((2, 3),), Sample((2, 3), axis=0), Sample((2, 3, 2), axis=1)])
@widen
@let_vanish
def softmax(x: Array, /, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along an axis: positive, and adding up to 1.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 1002.0]])).round(3)
    array([[0.5  , 0.5  ],
           [0.119, 0.881]])
    """
    t = np.swapaxes(x, axis, 0).copy()
    t -= np.maximum.reduce(t, axis=0)
    t = np.exp(t)
    t /= np.add.reduce(t, axis=0)
    return np.swapaxes(t, 0, axis)


softmax.vjp(lambda g, y, x, axis: y * (g - np.add.reduce(g * y, axis=axis, keepdims=True)))
softmax.tangents(*softmax.rules.values())  # its Jacobian is symmetric


@primitive(samples=[((4,),), ((2, 3),), Sample((2, 3), axis=0), Sample((2, 3, 2), axis=1)])
@widen
@let_vanish
def log_softmax(x: Array, /, axis: int = -1) -> Array:
    """``log(softmax(x))``, finite however far apart the inputs lie.

    Examples
    --------
    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    t = np.swapaxes(x, axis, 0).copy()
    t -= np.maximum.reduce(t, axis=0)
    t -= np.log(np.add.reduce(np.exp(t), axis=0))
    return np.swapaxes(t, 0, axis)


log_softmax.vjp(lambda g, y, x, axis: g - np.exp(y) * np.add.reduce(g, axis=axis, keepdims=True))
log_softmax.tangents(lambda v, y, x, axis: v - np.add.reduce(np.exp(y) * v, axis=axis, keepdims=True))


@primitive(
    samples=[((4,),), Sample((2, 3), axis=1), Sample((2, 3, 2), axis=(0, 2), keepdims=True)], jvp="reduction"
)
@widen
def logsumexp(x: Array, /, axis: Any = None, keepdims: bool = False) -> Array:
    """``log(sum(exp(x)))`` over axes, without overflow: a smooth maximum.

    Examples
    --------
    >>> logsumexp(np.array([1000.0, 1000.0])).round(3)  # 1000 + log(2)
    np.float64(1000.693)
    """
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", under="ignore"):  # if all inputs are -inf, the logarithm is -inf
        y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis)


def logsumexp_rule(g: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    """The softmax; if the result is infinite, the infinite elements share the gradient equally."""
    if not keepdims and axis is not None:
        g, y = np.expand_dims(g, axis), np.expand_dims(y, axis)
    infinite = np.isinf(y)
    if certainly(~infinite.any()):
        return g * np.exp(x - y)
    ties = (x == y).astype(x.dtype)
    shares = ties / np.maximum(np.sum(ties, axis=axis, keepdims=True), 1)
    return g * np.where(infinite, shares, np.exp(np.where(infinite, 0, x - np.where(infinite, 0, y))))


logsumexp.vjp(logsumexp_rule)


def one_hot(labels: Array, classes: int, dtype: Any) -> Array:
    """A 1 in the place of each integer label, 0 elsewhere.

    Examples
    --------
    >>> one_hot(np.array([0, 2]), 3, np.float32)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = array(labels)
    if labels.dtype.kind not in "iub":
        raise DTypeError(
            f"one_hot: labels must be integers, not {labels.dtype}; convert them with .astype(int)"
        )
    if labels.size:
        there = pluralise(classes, "class")
        brief = f"one_hot: a label is out of range; there are {there}, 0 to {classes - 1}"
        # As unsigned integers, negative labels become huge ones.
        refuse(labels.astype(np.uint64).max() >= classes, lambda: OptionError(brief), brief)
    if not is_known(labels):
        is_hot: Array = labels[..., None] == np.arange(classes)
        return is_hot.astype(dtype)
    rows = np.zeros((*labels.shape, classes), dtype)
    rows.reshape(-1)[np.arange(0, rows.size, classes) + np.asarray(labels).reshape(-1)] = 1
    return Tensor(rows) if isinstance(labels, Tensor) else rows
