"""Polynomials as in NumPy's older functions: a sequence of coefficients, the highest power first.

NumPy drops leading zeros when it multiplies and divides. They are dropped here too, but their gradients
are not, because the coefficients that are left depend on them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..errors import GradientError, OptionError, ShapeError, UnsupportedError
from ..graph import fit
from ..primitive import Sample, implements, primitive
from ..tensor import certainly
from ..typing import Array
from .arguments import beside, lift
from .indexing import setitem

# -- values --------------------------------------------------------------------------------------


@primitive(
    samples=[
        Sample((3,), (2, 2)),
        Sample((1,), (2,)),
        Sample((3,), (), complex=True),
        Sample((3, 2), (2, 1)),
        Sample((0,), (2,)),
    ],
)
def evaluation(p: Array, x: Array, /) -> Array:
    """The polynomial with coefficients ``p`` at ``x``; further axes of ``p`` are broadcast with ``x``."""
    return np.polyval(p, x)


def evaluation_coefficients_rule(g: Array, y: Array, p: Array, x: Array) -> Array:
    """The derivative by each coefficient is a power of ``x``."""
    parts = []
    for _ in range(len(p)):
        parts.append(fit(g, p[0]))
        g = g * x
    return np.stack(parts[::-1]) if parts else p


def derivative(p: Array) -> Array:
    """The coefficients of the derivative, in the dtype of ``p``."""
    powers = beside(p, np.arange(len(p) - 1, 0, -1).astype(p.dtype))
    return p[:-1] * np.reshape(powers, (-1,) + (1,) * (p.ndim - 1))


evaluation.vjp(
    evaluation_coefficients_rule,
    lambda g, y, p, x: g * np.polyval(derivative(p), x),
)


@implements(
    np.polyval,
    samples=[Sample((3,), (2, 2)), Sample((3,), 1.5), Sample((2,), prepare=lambda x: ([2.0, 0.0, 1.0], x))],
)
def polyval(p: Array, x: Array) -> Array:
    """The value of a polynomial at ``x``."""
    if isinstance(x, np.poly1d):
        raise UnsupportedError("polyval: x cannot be a poly1d; evaluate it first, as in np.polyval(p, x(t))")
    return evaluation(lift(p), lift(x))


@primitive(
    np.vander,
    samples=[
        Sample((3,)),
        Sample((3,), N=4, increasing=True),
        Sample((2,), N=1),
        Sample((2,), complex=True, N=3),
    ],
)
def vander(x: Array, /, N: int | None = None, increasing: bool = False) -> Array:
    """The powers of each element in a row, with the highest first unless ``increasing``."""
    return np.vander(x, N, increasing)


def vander_rule(g: Array, y: Array, x: Array, N: int | None, increasing: bool) -> Array:
    """The derivative of a power is the next lower one, times the power."""
    count = y.shape[1]
    g = g if increasing else np.flip(g, 1)
    slopes = beside(y, np.arange(1, count).astype(y.dtype)) * np.vander(x, max(count - 1, 0), increasing=True)
    return np.sum(g[:, 1:] * slopes, axis=1)


vander.vjp(vander_rule)

# -- arithmetic ----------------------------------------------------------------------------------


def coefficients(p: Any) -> Array:
    """The coefficients of a polynomial; a number is a polynomial of degree 0."""
    p = lift(p)
    return np.reshape(p, 1) if p.ndim == 0 else p


def align(a: Any, b: Any) -> tuple[Array, Array]:
    """Pad the shorter of two polynomials with zeros in front."""
    a, b = coefficients(a), coefficients(b)
    missing = len(b) - len(a)
    if missing > 0:
        a = np.concatenate([np.zeros(missing, a.dtype), a])
    if missing < 0:
        b = np.concatenate([np.zeros(-missing, b.dtype), b])
    return a, b


@implements(np.polyadd, samples=[Sample((3,), (2,)), Sample((2,), (4,), complex=True), Sample((), (2,))])
def polyadd(a1: Array, a2: Array) -> Array:
    """The sum of two polynomials."""
    a, b = align(a1, a2)
    return a + b


@implements(np.polysub, samples=[Sample((3,), (2,)), Sample((2,), (4,), complex=True), Sample((), (2,))])
def polysub(a1: Array, a2: Array) -> Array:
    """The difference of two polynomials."""
    a, b = align(a1, a2)
    return a - b


def leading_zeros(p: Array) -> int:
    """The number of coefficients before the first nonzero one; never all of them."""
    return len(p) - max(len(np.trim_zeros(p.data, "f")), 1)


@implements(np.polymul, samples=[Sample((3,), (2,)), Sample((2,), (3,), complex=True), Sample((), (2,))])
def polymul(a1: Array, a2: Array) -> Array:
    """The product of two polynomials, without leading zeros."""
    a, b = coefficients(a1), coefficients(a2)
    for p in (a, b):
        if p.ndim > 1:
            raise ShapeError(f"polymul: coefficients have shape {p.shape}, but a polynomial has one axis")
    return np.convolve(a, b)[leading_zeros(a) + leading_zeros(b) :]


@implements(
    np.polydiv,
    samples=[
        Sample((4,), (2,), domain=(0.5, 2.0)),
        Sample((3,), (3,), domain=(0.5, 2.0), complex=True),
        Sample((2,), (3,), domain=(0.5, 2.0)),
        Sample((3,), (), domain=(0.5, 2.0)),
    ],
)
def polydiv(u: Array, v: Array) -> tuple[Array, Array]:
    """Quotient and remainder, by long division."""
    u, v = coefficients(u) + 0.0, coefficients(v) + 0.0
    dtype = (u[0] + v[0]).dtype
    scale = 1.0 / v[0]
    remainder, quotient = u.astype(dtype), []
    for k in range(len(u) - len(v) + 1):
        quotient.append(scale * remainder[k])
        place = slice(k, k + len(v))
        remainder = setitem(remainder, remainder[place] - quotient[-1] * v, index=place)
    start = 0
    while np.allclose(remainder.data[start], 0, rtol=1e-14) and start < len(remainder) - 1:
        start += 1
    return np.stack(quotient) if quotient else lift(np.zeros(1, dtype)), remainder[start:]


@implements(
    np.polyder, samples=[Sample((4,)), Sample((4,), m=2), Sample((2,), m=3), Sample((3,), complex=True)]
)
def polyder(p: Array, m: int = 1) -> Array:
    """The ``m``-th derivative."""
    if int(m) < 0:
        raise OptionError(f"polyder: m={m}; it must be 0 or more (polyint integrates)")
    for _ in range(int(m)):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@implements(
    np.polyint,
    samples=[
        Sample((3,)),
        Sample((2,), m=2, k=[1.0, 2.0]),
        Sample((2,), (), prepare=lambda p, k: (p, 2, k)),
        Sample((2,), complex=True),
    ],
)
def polyint(p: Array, m: int = 1, k: Any = None) -> Array:
    """The ``m``-th integral, with the constants ``k``."""
    m = int(m)
    if m < 0:
        raise OptionError(f"polyint: m={m}; it must be 0 or more (polyder differentiates)")
    p, k = lift(p), coefficients(np.zeros(m) if k is None else k)
    if len(k) == 1 and m > 1:
        k = np.broadcast_to(k, m)
    if len(k) < m:
        raise ShapeError(f"polyint: {len(k)} constants k for m={m} integrations; pass one, or one each")
    for i in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), k[i : i + 1]])
    return p


# -- roots ---------------------------------------------------------------------------------------


@primitive(
    np.roots,
    samples=[
        Sample(np.array([1.0, -2.0, -5.0, 6.5])),
        Sample(np.array([2.0, 1.0, 3.0])),
        Sample((4,), domain=(0.5, 2.0), complex=True),
        Sample(np.array([3.0])),
    ],
)
def roots(p: Array, /) -> Array:
    """The places where a polynomial is zero."""
    return np.roots(p)


def roots_rule(g: Array, y: Array, p: Array) -> Array:
    r"""If a coefficient moves, a root moves such that the polynomial stays 0 there.

    From :math:`p(r) = 0` follows :math:`p'(r)\,dr + r^k dp_k = 0`.
    """
    slope = np.polyval(derivative(p), y)
    noise = np.polyval(np.abs(derivative(p)), np.abs(y)) * np.finfo(y.dtype).eps
    if np.any(np.abs(slope) <= noise):
        raise GradientError(
            f"roots: {y} are not all simple. Multiple roots move infinitely fast, and there is no gradient; "
            "use the coefficients instead, or separate the roots"
        )
    return -(g / slope) @ np.vander(y, len(p))


roots.vjp(roots_rule)


@primitive(samples=[Sample((3, 3)), Sample((2, 2), complex=True), Sample(np.eye(2))])
def characteristic(a: Array, /) -> Array:
    """The characteristic polynomial of a matrix, whose roots are its eigenvalues."""
    return np.poly(a)


def characteristic_rule(g: Array, y: Array, a: Array) -> Array:
    r"""Differentiate the determinant: :math:`d\det(xI - A) = -\operatorname{tr}(\operatorname{adj}(xI - A)\,dA)`.

    The adjugate is a polynomial in ``x`` too. Its coefficients are matrices, given by Horner's scheme. Unlike
    the eigenvalues, it is smooth where they coincide.
    """
    eye = beside(a, np.eye(len(a), dtype=a.dtype))
    adjugate, total = eye, 0
    for k in range(1, len(y)):
        total = total - g[k] * adjugate.T
        adjugate = a @ adjugate + y[k] * eye
    return total


characteristic.vjp(characteristic_rule)


@implements(np.poly, samples=[Sample((3,)), Sample((3,), complex=True), Sample((2, 2))])
def poly(seq_of_zeros: Array) -> Any:
    """The polynomial with these roots, or the characteristic polynomial of a matrix."""
    zeros = coefficients(seq_of_zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        return characteristic(zeros)
    if zeros.ndim != 1:
        raise ShapeError(f"poly: shape {zeros.shape}; pass 1-d roots or a square matrix")
    if len(zeros) == 0:
        return 1.0
    zeros = zeros.astype(np.mintypecode(zeros.dtype.char))
    product = one = np.ones(1, zeros.dtype)
    for i in range(len(zeros)):
        product = np.convolve(product, np.concatenate([one, -zeros[i : i + 1]]))
    values = zeros.data
    in_pairs = values.dtype.kind == "c" and np.all(np.sort(values) == np.sort(values.conj()))
    return np.real(product) if in_pairs else product


# -- fitting -------------------------------------------------------------------------------------

_PLACES, _WEIGHTS = np.array([-1.0, 0.3, 1.2, 2.0]), np.array([1.0, 2.0, 0.5, 1.5])


@implements(
    np.polyfit,
    samples=[
        Sample(_PLACES, (4,), deg=2),
        Sample(_PLACES, (4, 2), deg=1, cov=True),
        Sample(_PLACES, (4,), deg=1, full=True),
        Sample(_PLACES, (4,), _WEIGHTS, prepare=lambda x, y, w: (x, y, 1, None, False, w)),
    ],
)
def polyfit(
    x: Array,
    y: Array,
    deg: int,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: bool | str = False,
) -> Any:
    """The polynomial of degree ``deg`` that fits points best, with weights ``w``: a least-squares solution.

    Returns the results of :func:`numpy.polyfit`: the coefficients; with ``full``, all results of ``lstsq``;
    with ``cov``, also the covariance of the coefficients.
    """
    x, y = lift(x) + 0.0, lift(y) + 0.0
    order = int(deg) + 1
    if order < 1:
        raise OptionError(f"polyfit: deg={deg}; it must be 0 or more")
    if x.ndim != 1 or x.size == 0 or y.ndim not in (1, 2) or len(y) != len(x):
        raise TypeError(
            f"polyfit: shapes {x.shape} of x and {y.shape} of y; they must be (n,) and (n,) or (n, k)"
        )
    powers = np.vander(x, order)
    if w is not None:
        w = lift(w) + 0.0
        if w.shape != x.shape:
            raise TypeError(f"polyfit: weights of shape {w.shape} for {len(x)} points")
        powers = powers * w[:, None]
        y = y * (w[:, None] if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(powers * powers, axis=0))
    powers = powers / scale
    if rcond is None:
        rcond = len(x) * np.finfo(x.dtype).eps
    c, residuals, rank, s = np.linalg.lstsq(powers, y, rcond)
    c = c / (scale[:, None] if y.ndim == 2 else scale)
    if full:
        return c, residuals, rank, s, rcond
    if certainly(rank != order):
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=4)
    if not cov:
        return c
    spread = np.linalg.inv(powers.T @ powers) / np.outer(scale, scale)
    spread = spread if y.ndim == 1 else spread[:, :, None]
    if cov != "unscaled":
        if len(x) <= order:
            raise ShapeError(
                f"polyfit: the covariance of {order} coefficients needs more than {order} points, not {len(x)}; "
                "pass cov='unscaled' for known errors, given as w"
            )
        spread = spread * (residuals / (len(x) - order))
    return c, spread
