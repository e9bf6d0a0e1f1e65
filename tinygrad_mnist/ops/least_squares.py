"""Pseudo-inverses and least squares, also for matrices that are not square or lack full rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CompileError, GradientError
from ..primitive import Sample, implements, primitive
from ..tensor import is_known, refuse
from ..typing import Array, NDArray
from .arguments import beside, plain
from .eigen import require_separate, svd_rule
from .linalg import adjoint, hermitian_part, is_used, rounding, textbook


def make_low_rank(a: Array, b: Array) -> tuple[Array]:
    """Turn a sample into a matrix that is the product of a tall and a wide one."""
    return (a @ b,)


@primitive(
    np.linalg.pinv,
    samples=[
        Sample((3, 2)),
        Sample((2, 2, 3)),
        Sample((2, 2), complex=True),
        Sample((3, 1), (1, 2), prepare=make_low_rank),
        Sample((3, 3), rcond=0.3),
        Sample((2, 2), prepare=lambda a: (hermitian_part(a),), hermitian=True),
    ],
)
def pinv(a: Array, /, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Array:
    """The pseudo-inverse, with singular values below ``rcond`` times the largest treated as 0."""
    return np.linalg.pinv(a, rcond, hermitian, rtol=rtol)


def pinv_rule(g: Array, y: Array, a: Array, rcond: Any, hermitian: bool, rtol: Any) -> Array:
    """The rule for matrices of constant rank, unless singular values were cut off that are not zero."""
    if a.size == 0:
        return np.zeros_like(a)
    if hermitian:  # NumPy reads only the lower triangle
        a = np.tril(a) + adjoint(np.tril(a, -1))
    s = np.linalg.svdvals(plain(a))
    is_kept = s > pinv_cutoff(a, rcond, rtol) * s[..., :1]
    is_cut = (~is_kept & (s > rounding(s, max(a.shape[-2:])))).any()
    result = truncated_rule(g, a, is_kept) if is_cut else constant_rank_rule(g, y, a)
    return hermitian_part(result) if hermitian else result


def pinv_cutoff(a: Array, rcond: Any, rtol: Any) -> NDArray:
    """The cutoff, relative to the largest singular value, from NumPy's two names and defaults."""
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else rtol
    if rcond is None:
        rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    return beside(a, np.expand_dims(plain(rcond), -1))


def constant_rank_rule(g: Array, p: Array, a: Array) -> Array:
    """``-Pᴴ g Pᴴ + (I - AP) gᴴ P Pᴴ + Pᴴ P gᴴ (I - PA)`` (Golub and Pereyra, 1973)."""
    ph, gh = adjoint(p), adjoint(g)
    left, right = chain(gh, p, ph), chain(ph, p, gh)
    return left - chain(a, p, left) + right - chain(right, p, a) - chain(ph, g, ph)


def chain(a: Array, b: Array, c: Array) -> Array:
    """``a b c`` in the order that takes fewer multiplications: the square of a long matrix may not fit in memory."""
    (i, j), (k, n) = a.shape[-2:], c.shape[-2:]
    return (a @ b) @ c if i * k * (j + n) <= j * n * (k + i) else a @ (b @ c)


def truncated_rule(g: Array, a: Array, is_kept: NDArray) -> Array:
    """Use the SVD: the pseudo-inverse is ``V diag(f) Uᴴ`` with ``f = 1/s`` for the values that are kept."""
    u, s, vh = y = np.linalg.svd(a, full_matrices=False)
    v = adjoint(vh)
    f = np.where(is_kept, 1, 0) / np.where(is_kept, s, 1)
    gu, gv = (adjoint(g) @ v) * np.expand_dims(f, -2), (g @ u) * np.expand_dims(f, -2)
    gs = -np.real(np.sum(np.conj(v) * (g @ u), axis=-2)) * f * f
    require_separate("svd", plain(s), a.shape, gu, gv.mT)
    return svd_rule((gu, gs, adjoint(gv)), y, a, full_matrices=False)


pinv.vjp(textbook(pinv_rule))


@primitive(
    name="lstsq",
    samples=[
        Sample((4, 2), (4,)),
        Sample((4, 2), (4, 3)),
        Sample((2, 4), (2, 2)),
        Sample((3, 3), (3,)),
        Sample((3, 2), (3, 1), complex=True),
    ],
)
def least_squares(a: Array, b: Array, /, rcond: Any = None) -> tuple[Array, ...]:
    """The ``x`` of least ``|b - a x|²`` (then least ``|x|²``), that square, and the singular values of ``a``."""
    x, residuals, _, s = np.linalg.lstsq(a, b, rcond)
    return x, residuals, s


def least_squares_left_rule(
    g: tuple[Array, ...], y: tuple[Array, ...], a: Array, b: Array, rcond: Any
) -> Array:
    """``x = a⁺ b``: the rule of the pseudo-inverse; and ``-2 (b - a x) xᴴ`` for the square of the residual."""
    (gx, gr, gs), (x, residuals, s) = g, y
    xs, bs = columns(x), columns(b)
    result: Array = -2 * ((bs - a @ xs) * gr) @ adjoint(xs) if residuals.size else np.zeros_like(a)
    if is_used(gx):
        if (found := rank(plain(s), a.shape, rcond)) < min(a.shape):
            raise GradientError(
                f"lstsq: a matrix of shape {a.shape} has rank {found}; x jumps when the rank changes and has no "
                "gradient. np.linalg.pinv(a) @ b has one for changes that keep the rank"
            )
        inverse = np.linalg.pinv(a, lstsq_cutoff(a.shape, rcond))
        result = result + constant_rank_rule(columns(gx) @ adjoint(bs), inverse, a)
    if is_used(gs):
        u, _, vh = np.linalg.svd(a, full_matrices=False)
        result = result + (u * gs) @ vh
    return result


def least_squares_right_rule(
    g: tuple[Array, ...], y: tuple[Array, ...], a: Array, b: Array, rcond: Any
) -> Array:
    """``a⁺ᴴ gx``, and twice the residual."""
    (gx, gr, _), (x, residuals, _) = g, y
    result = adjoint(np.linalg.pinv(a, lstsq_cutoff(a.shape, rcond))) @ columns(gx)
    if residuals.size:
        result = result + 2 * (columns(b) - a @ columns(x)) * gr
    return np.reshape(result, b.shape)


least_squares.vjp(textbook(least_squares_left_rule), textbook(least_squares_right_rule))


def columns(x: Array) -> Array:
    """A vector as a matrix of one column."""
    return np.expand_dims(x, -1) if x.ndim == 1 else x


def lstsq_cutoff(shape: tuple[int, ...], rcond: Any) -> float:
    """The cutoff, relative to the largest singular value; NumPy always solves in double precision."""
    return max(shape) * float(np.finfo(np.float64).eps) if rcond is None else rcond


def rank(s: NDArray, shape: tuple[int, ...], rcond: Any) -> Any:
    """The number of singular values that are not treated as 0."""
    return np.sum(s > lstsq_cutoff(shape, rcond) * s.max(initial=0)).astype(np.int32)


@implements(np.linalg.lstsq, samples=[Sample((3, 2), (3,)), Sample((2, 2), (2, 3))])
def lstsq(a: Array, b: Array, rcond: Any = None) -> tuple[Array, Array, Any, Array]:
    """NumPy's four results: those of :data:`least_squares`, and the rank, which is constant."""
    x, residuals, s = least_squares(a, b, rcond=rcond)
    found, (m, n) = rank(plain(s), np.shape(a), rcond), np.shape(a)
    if m > n and not is_known(found):  # NumPy omits the residuals if the matrix lacks full rank
        brief = (
            f"lstsq: whether a matrix of shape {np.shape(a)} has full rank changed after this was compiled"
        )
        refuse((found == n) != bool(residuals.size), lambda: CompileError(brief), brief)
    return x, residuals, found, s
