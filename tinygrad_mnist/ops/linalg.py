"""Inverses, determinants and systems of linear equations.

Every function takes stacks of matrices in the last two axes. The derivatives are those of Giles [1]_;
that of the determinant also holds for singular matrices.

References
----------
.. [1] M. Giles, "An extended collection of matrix derivative results for forward and reverse mode
   algorithmic differentiation", 2008.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GradientError, OptionError
from ..graph import conjugate
from ..primitive import Rule, Sample, constant, implements, primitive
from ..typing import Array, NDArray
from .arguments import beside, is_tracked, lift, plain

# -- helpers of this file and its neighbours -----------------------------------------------------


def adjoint(x: Array) -> Array:
    """The conjugate transpose ``xᴴ``."""
    return conjugate(np.swapaxes(x, -1, -2))


def hermitian_part(x: Array) -> Array:
    """``(x + xᴴ) / 2``: the gradient of a function that reads only one triangle of a symmetric matrix."""
    return (x + adjoint(x)) / 2


def textbook(rule: Rule) -> Rule:
    """Turn a rule in the convention of the literature (and PyTorch) into one of this project.

    There, the gradient of a complex ``a + ib`` is ``∂L/∂a + i ∂L/∂b``, and formulas are full of
    conjugate transposes; rules use its conjugate, see :mod:`tinygrad_mnist.graph`.
    """

    def conjugated(g: Array, y: Array, *arrays: Array, **settings: Any) -> Array:
        return conjugate(rule(conjugate(g), y, *arrays, **settings))

    return conjugated


def is_used(g: Array) -> bool:
    """Whether a gradient is, or may be, different from zero."""
    return is_tracked(g) or bool(plain(g).any())


def rounding(values: NDArray, size: int) -> NDArray:
    """The size of rounding errors in a decomposition of ``size`` rows that found these values.

    NumPy decomposes in double precision, and rounds the result to the precision of the matrix.
    """
    largest: NDArray = np.max(np.abs(values), axis=-1, keepdims=True, initial=0)
    return largest * max(size * float(np.finfo(np.float64).eps), float(np.finfo(values.dtype).eps))


# -- inverses and equations ----------------------------------------------------------------------


@primitive(np.linalg.inv, samples=[((3, 3),), ((2, 1, 2, 2),), Sample((2, 2), complex=True), ((0, 2, 2),)])
def inv(a: Array, /) -> Array:
    """The inverse of each matrix."""
    return np.linalg.inv(a)


inv.vjp(lambda g, y, a: -(y.mT @ g @ y.mT))


@primitive(
    np.linalg.solve,
    samples=[
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3,)),
        ((2, 1, 2, 2), (3, 2, 2)),
        Sample((2, 2), (2,), complex=True),
    ],
)
def solve(a: Array, b: Array, /) -> Array:
    """The ``x`` of ``a x = b``, for a vector ``b``, or for a matrix of columns or a stack of them."""
    return np.linalg.solve(a, b)


def solve_right_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """Solve with the transposed matrix."""
    if b.ndim == 1:
        return np.squeeze(np.linalg.solve(a.mT, np.expand_dims(g, -1)), -1)
    return np.linalg.solve(a.mT, g)


def solve_left_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``-outer(b's gradient, x)``: a change ``da`` moves the right-hand side by ``-da x``."""
    g = solve_right_rule(g, y, a, b)
    if b.ndim == 1:
        return -np.expand_dims(g, -1) * np.expand_dims(y, -2)
    return -(g @ y.mT)


solve.vjp(solve_left_rule, solve_right_rule)


def solve_left_tangent(v: Array, y: Array, a: Array, b: Array) -> Array:
    """``a x = b`` and ``(a + da)(x + dx) = b`` leave ``a dx = -da x``."""
    if b.ndim > 1:
        return -np.linalg.solve(a, v @ y)
    return -np.squeeze(np.linalg.solve(a, v @ np.expand_dims(y, -1)), -1)


solve.tangents(solve_left_tangent, lambda v, y, a, b: np.linalg.solve(a, v))


@implements(np.linalg.tensorinv, samples=[Sample((2, 3, 6)), Sample((4, 2, 2), ind=1)])
def tensorinv(a: Array, ind: int = 2) -> Array:
    """The inverse of ``tensordot(a, ., ind)``: of a matrix whose rows are the first ``ind`` axes of ``a``."""
    if ind <= 0:
        raise OptionError(f"tensorinv: ind={ind}; it must be a positive number of axes")
    rows, columns = a.shape[:ind], a.shape[ind:]
    return np.reshape(np.linalg.inv(np.reshape(a, (math.prod(rows), math.prod(columns)))), columns + rows)


@implements(np.linalg.tensorsolve, samples=[((2, 3, 6), (2, 3)), Sample((2, 6, 3), (6,), axes=(0, 2))])
def tensorsolve(a: Array, b: Array, axes: Any = None) -> Array:
    """The ``x`` of ``tensordot(a, x, x.ndim) = b``, after moving ``axes`` of ``a`` to its end."""
    a, b = lift(a), lift(b)
    if axes is not None:
        a = np.moveaxis(a, axes, range(a.ndim - len(axes), a.ndim))
    unknowns, size = a.shape[b.ndim :], b.size
    if math.prod(unknowns) != size or a.size != size**2:
        raise np.linalg.LinAlgError(
            f"tensorsolve: {size} equations for unknowns of shape {unknowns}; there must be one for each"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (size, size)), np.ravel(b)), unknowns)


# -- determinants --------------------------------------------------------------------------------

_RANK_1, _RANK_2 = np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 2.0]), np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])


@primitive(
    np.linalg.det,
    samples=[
        ((3, 3),),
        ((2, 1, 2, 2),),
        Sample((2, 2), complex=True),
        Sample(_RANK_1),
        Sample(_RANK_2),
        Sample(np.zeros((2, 2))),
        Sample(np.stack([_RANK_1, np.eye(3), _RANK_2 * (1 + 0.5j)])),
        ((1, 1),),
    ],
)
def det(a: Array, /) -> Array:
    """The determinant of each matrix."""
    return np.linalg.det(a)


det.vjp(lambda g, y, a: np.expand_dims(g, (-1, -2)) * cofactors(a))


def cofactors(a: Array) -> Array:
    """The derivative of the determinant: ``det(a) a⁻ᵀ``, without dividing by a number that may be zero.

    Where the inverse is not accurate, the singular value decomposition ``a₀ = U Σ Vᴴ`` of the values turns
    ``a`` into blocks. The last block belongs to the small singular values and (nearly) vanishes::

        Uᴴ a V = [P Q]      S = E - R P⁻¹ Q,      adj(a) = det(U Vᴴ) det(P) ·
                 [R E]        (det(S) V₁ P⁻¹ U₁ᴴ + (V₂ - V₁ P⁻¹ Q) adj(S) (U₂ᴴ - R P⁻¹ U₁ᴴ))

    P can be inverted safely, the determinant and the adjugate of the Schur complement S are polynomials in
    its elements, and U and V are constants: so the result has derivatives of every order.
    """
    values = plain(a)
    limit = 1 / math.sqrt(np.finfo(values.dtype).eps)
    if not values.size or not np.isfinite(values).all() or (np.linalg.cond(values, 1) < limit).all():
        return np.expand_dims(np.linalg.det(a), (-1, -2)) * np.linalg.inv(a).mT
    u, s, vh = np.linalg.svd(values)
    m = values.shape[-1] - int(np.max(np.sum(s * limit <= s[..., :1], axis=-1)))
    uh, v = adjoint(u), adjoint(vh)
    u1, u2, v1, v2 = uh[..., :m, :], uh[..., m:, :], v[..., :m], v[..., m:]
    p, q, r, e = u1 @ a @ v1, u1 @ a @ v2, u2 @ a @ v1, u2 @ a @ v2
    inverse = np.linalg.inv(p)
    determinant, adjugate = faddeev_leverrier(e - r @ inverse @ q)
    blocks = determinant * (v1 @ inverse @ u1) + (v2 - v1 @ inverse @ q) @ adjugate @ (u2 - r @ inverse @ u1)
    scale = np.linalg.det(u) * np.linalg.det(vh) * np.linalg.det(p)
    return np.expand_dims(scale, (-1, -2)) * blocks.mT


def faddeev_leverrier(a: Array) -> tuple[Array, Array]:
    """The determinant (with two axes of length 1) and the adjugate, computed only from products and traces.

    The recursion for the characteristic polynomial: ``Mₖ = a Mₖ₋₁ + cₖ₋₁ I``, ``cₖ = -trace(a Mₖ) / k``.
    It is cheap and exact for the small matrices here; for large ones it cancels.
    """
    n = a.shape[-1]
    eye = beside(a, np.eye(n, dtype=a.dtype))
    m: Array = np.zeros_like(a)
    c: Array = 1.0
    for k in range(1, n + 1):
        m = a @ m + c * eye
        c = np.expand_dims(np.trace(a @ m, axis1=-2, axis2=-1), (-1, -2)) / -k
    sign = (-1) ** n
    return sign * c, -sign * m


@primitive(name="slogdet", samples=[((3, 3),), ((2, 2, 2),), Sample((2, 2), complex=True)])
def sign_and_log(a: Array, /) -> tuple[Array, Array]:
    """The determinant's sign (a phase, if complex) and the logarithm of its absolute value."""
    return tuple(np.linalg.slogdet(a))


def slogdet_rule(g: tuple[Array, Array], y: tuple[Array, Array], a: Array) -> Array:
    """The logarithm's derivative is ``a⁻ᵀ``; the phase turns with the imaginary part of ``log(det)``'s."""
    if np.any(plain(y[0]) == 0):
        raise GradientError(
            "slogdet: a matrix is singular; log|det| is -inf there and has no gradient. np.linalg.det has a gradient"
        )
    scale = g[1] + 1j * np.imag(g[0] * y[0]) if a.dtype.kind == "c" else g[1]
    return np.expand_dims(scale, (-1, -2)) * np.linalg.inv(a).mT


sign_and_log.vjp(slogdet_rule)

SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


@implements(np.linalg.slogdet, samples=[((2, 2),)])
def slogdet(a: Array) -> Any:
    """NumPy's named result of :data:`sign_and_log`."""
    return SlogdetResult(*sign_and_log(a))


constant(np.linalg.matrix_rank)
