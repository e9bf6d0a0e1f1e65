"""Factorizations into triangular and orthogonal matrices: Cholesky and QR.

The rules come from the literature ([1]_, [2]_).

References
----------
.. [1] M. Seeger, A. Hetzel, Z. Dai, E. Meissner and N. Lawrence, "Auto-differentiating linear algebra", 2017.
.. [2] S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions with application
   in optimum experimental design", 2010.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GradientError, OptionError, UnsupportedError
from ..graph import TRANSPOSING
from ..primitive import Sample, implements, primitive
from ..typing import Array, NDArray
from .arguments import beside, plain
from .linalg import adjoint, hermitian_part, is_used, rounding, textbook

Factors = tuple[Array, ...]

QRResult: Any = type(np.linalg.qr(np.eye(1)))


def make_positive_definite(a: Array) -> tuple[Array]:
    """Turn a sample into a positive definite matrix."""
    return (a @ adjoint(a) + np.eye(a.shape[-1], dtype=a.dtype),)


# -- Cholesky ------------------------------------------------------------------------------------


@primitive(
    np.linalg.cholesky,
    samples=[
        Sample((3, 3), prepare=make_positive_definite),
        Sample((2, 2, 2), prepare=make_positive_definite, upper=True),
        Sample((2, 2), prepare=make_positive_definite, complex=True),
        Sample((2, 2), prepare=make_positive_definite, upper=True, complex=True),
    ],
)
def cholesky(a: Array, /, *, upper: bool = False) -> Array:
    """The triangular factor of ``a = L Lᴴ``, or of ``a = Uᴴ U``."""
    return np.linalg.cholesky(a, upper=upper)


def cholesky_rule(g: Array, y: Array, a: Array, upper: bool) -> Array:
    """``L⁻ᴴ Φ(Lᴴ g) L⁻¹``, its Hermitian part; Φ is the lower triangle with half the diagonal [2]_."""
    if upper:
        g, y = adjoint(g), adjoint(y)
    inner = np.tril(adjoint(y) @ g) * beside(y, 1 - np.eye(y.shape[-1], dtype=y.dtype) / 2)
    return hermitian_part(divide_right(np.linalg.solve(adjoint(y), inner), y))


cholesky.vjp(textbook(cholesky_rule))

# -- QR ------------------------------------------------------------------------------------------


@primitive(
    name="qr",
    samples=[
        Sample((3, 3), mode="reduced"),
        Sample((2, 3, 2), mode="reduced"),
        Sample((2, 4), mode="reduced"),
        Sample((3, 2), mode="complete"),
        Sample((3, 2), mode="reduced", complex=True),
        Sample((2, 3), mode="complete", complex=True),
    ],
)
def orthogonal_triangular(a: Array, /, mode: Any) -> Factors:
    """``a = Q R``: orthonormal columns and an upper triangle."""
    return tuple(np.linalg.qr(a, mode=mode))


def qr_rule(g: Factors, y: Factors, a: Array, mode: str) -> Array:
    """Walter & Lehmann's formula for the square part of R.

    In a wide ``a = [X Y]``, the columns beyond the square part only follow the others, ``R = [S QᴴY]``:
    their gradient is passed on to Q, and the rest is the square case, ``X = Q S``.
    """
    (gq, gr), (q, r) = g, y
    k = min(a.shape[-2:])
    gq, q = basis_of("qr", gq, q, k, check=not TRANSPOSING.get())
    gr, r, gs, s = gr[..., :k, :], r[..., :k, :], gr[..., :k, :k], r[..., :k, :k]
    diagonal = np.abs(np.diagonal(plain(s), axis1=-2, axis2=-1))
    if np.any(diagonal <= rounding(diagonal, max(a.shape[-2:]))):
        raise GradientError(
            f"qr: the first {k} columns of a matrix of shape {a.shape} are linearly dependent, so Q and R "
            "have no gradient; the columns must be independent"
        )
    if a.shape[-1] == k:
        return qr_square_rule(gq, gs, q, s)
    rest = a[..., k:]
    left = qr_square_rule(gq + rest @ adjoint(gr[..., k:]), gs, q, s)
    return np.concatenate([left, q @ gr[..., k:]], axis=-1)


def qr_square_rule(gq: Array, gr: Array, q: Array, r: Array) -> Array:
    """``(gQ + Q H) R⁻ᴴ`` with the Hermitian matrix ``H`` whose upper triangle is that of ``gR Rᴴ - Qᴴ gQ``."""
    upper = np.triu(gr @ adjoint(r) - adjoint(q) @ gq)
    mirrored = (upper + adjoint(upper)) * beside(r, 1 - np.eye(r.shape[-1], dtype=r.dtype) / 2)
    return divide_right(gq + q @ mirrored, adjoint(r))


orthogonal_triangular.vjp(textbook(qr_rule))


@implements(np.linalg.qr, samples=[Sample((2, 2)), Sample((3, 2), mode="r")])
def qr(a: Array, mode: str = "reduced") -> Any:
    """NumPy's modes and its named result."""
    if mode == "raw":
        raise UnsupportedError("qr: mode 'raw' has no gradient rule; use 'reduced', 'complete' or 'r'")
    if mode not in ("reduced", "complete", "r"):
        raise OptionError(f"qr: Unrecognized mode {mode!r}; valid: reduced, complete, r")
    factors = orthogonal_triangular(a, mode="complete" if mode == "complete" else "reduced")
    return factors[1] if mode == "r" else QRResult(*factors)


# -- steps of these rules, and of those of eigenvalues -------------------------------------------


def divide_right(a: Array, b: Array) -> Array:
    """``a b⁻¹``."""
    return adjoint(np.linalg.solve(adjoint(b), adjoint(a)))


def skew_part(x: Array) -> Array:
    """``(x - xᴴ) / 2``."""
    return (x - adjoint(x)) / 2


def basis_of(name: str, g: Array, q: Array, k: int, *, check: bool) -> tuple[Array, Array]:
    """The first ``k`` columns of an orthonormal basis, and their gradient, which includes that of the others.

    The others complete the basis and follow: ``dQ₂ = -Q₁ dQ₁ᴴ Q₂``. A loss that also changes when they turn
    among themselves depends on an arbitrary choice.
    """
    first = q[..., :k]
    g, rest, others = g[..., :k], g[..., k:], q[..., k:]
    if not is_used(rest):
        return g, first
    if check and is_more_than_noise(plain(skew_part(adjoint(others) @ rest)), rest):
        raise GradientError(
            f"{name}: the loss depends on the columns that complete the basis, those after the first {k}, and not only "
            "on the space they span. The matrix does not determine them; use only the first columns"
        )
    return g - others @ (adjoint(rest) @ first), first


def is_more_than_noise(x: NDArray, *like: Array) -> bool:
    """Whether ``x``, a product of gradients with unit vectors, is larger than a rounding error."""
    scale = max(np.max(np.abs(plain(g)), initial=0) for g in like)
    return bool(np.any(np.abs(x) > math.sqrt(np.finfo(x.dtype).eps) * scale))
