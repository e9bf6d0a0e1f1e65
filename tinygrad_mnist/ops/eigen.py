"""Eigenvalues and singular values, and their vectors.

The rules come from the literature ([1]_, [2]_). A loss that depends on something that the matrix does not determine
has no gradient, and asking for one is an error that says what to do:

- eigenvectors of coinciding eigenvalues, singular vectors of coinciding singular values (the values
  themselves have gradients);
- the phase of a complex eigenvector, or of a pair of singular vectors;
- the singular vectors that complete a basis, except for the space they span.

References
----------
.. [1] M. Giles, "An extended collection of matrix derivative results for forward and reverse mode
   algorithmic differentiation", 2008.
.. [2] M. Seeger, A. Hetzel, Z. Dai, E. Meissner and N. Lawrence, "Auto-differentiating linear algebra", 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GradientError
from ..graph import TRANSPOSING, conjugate
from ..primitive import Sample, implements, primitive
from ..typing import Array, NDArray
from .arguments import beside, plain
from .factorizations import Factors, basis_of, is_more_than_noise, skew_part
from .linalg import adjoint, hermitian_part, rounding, textbook

EigResult: Any = type(np.linalg.eig(np.eye(1)))
EighResult: Any = type(np.linalg.eigh(np.eye(1)))
SVDResult: Any = type(np.linalg.svd(np.eye(1)))


def make_symmetric(a: Array) -> tuple[Array]:
    """Turn a sample into a symmetric or Hermitian matrix with well separated eigenvalues."""
    return (hermitian_part(a) + np.diag(4.0 * np.arange(a.shape[-1])).astype(a.dtype),)


def make_separate(a: Array) -> tuple[Array]:
    """Turn a sample into a matrix with real, well separated eigenvalues."""
    return (a / 4 + np.diag(4.0 * np.arange(a.shape[-1])),)


# -- eigenvalues ---------------------------------------------------------------------------------


@primitive(
    name="eigh",
    samples=[Sample((3, 3), prepare=make_symmetric), Sample((2, 2, 2), prepare=make_symmetric, UPLO="U")],
)
def hermitian_eigen(a: Array, /, UPLO: Any = "L") -> Factors:
    """Eigenvalues, in ascending order, and eigenvectors of symmetric or Hermitian matrices."""
    return tuple(np.linalg.eigh(a, UPLO))


def eigh_rule(g: Factors, y: Factors, a: Array, UPLO: str) -> Array:
    """``V (diag(gw) + (Vᴴ gV) / (wⱼ - wᵢ)) Vᴴ``, its Hermitian part."""
    (gw, gv), (w, v) = g, y
    same = find_coincident(plain(w), rounding(plain(w), a.shape[-1]))
    require_unmixed("eigh", plain(w), a.shape, gw, gv)
    v = final(v, what="eigenvalues") if same.any() else v
    turns = adjoint(v) @ gv
    require_phase_free("eigh", turns, gv)
    inner = diagonal_matrix(gw) + over_differences(turns, w, same)
    return hermitian_part(v @ inner @ adjoint(v))


hermitian_eigen.vjp(textbook(eigh_rule))


@implements(np.linalg.eigh, samples=[Sample((2, 2), prepare=make_symmetric)])
def eigh(a: Array, UPLO: str = "L") -> Any:
    """NumPy's named result of :data:`hermitian_eigen`."""
    w, v = hermitian_eigen(a, UPLO=UPLO)
    return EighResult(w, *determined(v, name="eigh", values=plain(w), shape=a.shape))


@implements(
    np.linalg.eigvalsh,
    samples=[
        Sample((3, 3), prepare=make_symmetric, UPLO="U"),
        Sample((2, 2, 2), prepare=make_symmetric, complex=True),
    ],
)
def eigvalsh(a: Array, UPLO: str = "L") -> Array:
    """Only the eigenvalues; their gradients exist even if eigenvalues coincide."""
    return hermitian_eigen(a, UPLO=UPLO)[0]


@primitive(
    name="eig", samples=[Sample((3, 3), prepare=make_separate), Sample((2, 2, 2), prepare=make_separate)]
)
def eigen(a: Array, /) -> Factors:
    """Eigenvalues, and eigenvectors of length 1."""
    return tuple(np.linalg.eig(a))


def eig_rule(g: Factors, y: Factors, a: Array) -> Array:
    """``V⁻ᴴ (diag(gw) + (Vᴴ gV - Vᴴ V Re(diag(Vᴴ gV))) / (wⱼ - wᵢ)*) Vᴴ``: the lengths stay 1."""
    (gw, gv), (w, v) = g, y
    same = find_coincident(plain(w), rounding(plain(w), a.shape[-1]))
    require_unmixed("eig", plain(w), a.shape, gw, gv)
    require_independent(plain(v))
    v = final(v, what="eigenvalues") if same.any() else v
    if a.dtype.kind != "c":  # real eigenvalues have real vectors, even in a complex array
        gv = np.where(np.expand_dims(np.imag(plain(w)) == 0, -2), np.real(gv), gv)
    turns = adjoint(v) @ gv
    require_phase_free("eig", turns, gv)
    stretches = np.real(np.diagonal(turns, axis1=-2, axis2=-1))
    turns = turns - (adjoint(v) @ v) * np.expand_dims(stretches, -2)
    inner = diagonal_matrix(gw) + over_differences(turns, conjugate(w), same)
    return np.linalg.solve(adjoint(v), inner @ adjoint(v))


eigen.vjp(textbook(eig_rule))


def require_independent(v: NDArray) -> None:
    """Raise an error for a matrix that has too few independent eigenvectors."""
    if v.size and np.any(np.linalg.cond(v) * np.finfo(v.dtype).eps > 0.1):
        raise GradientError(
            "eig: a matrix has fewer independent eigenvectors than rows; its eigenvalues behave like roots at 0 "
            "there, and have no gradient. Perturbing it slightly, with small random numbers, separates them"
        )


@implements(np.linalg.eig, samples=[Sample((2, 2), prepare=make_separate)])
def eig(a: Array) -> Any:
    """NumPy's named result of :data:`eigen`."""
    w, v = eigen(a)
    return EigResult(w, *determined(v, name="eig", values=plain(w), shape=a.shape))


@implements(
    np.linalg.eigvals,
    samples=[Sample((3, 3)), Sample((2, 2, 2), prepare=make_separate), Sample((3, 3), complex=True)],
)
def eigvals(a: Array) -> Array:
    """Only the eigenvalues; their gradients exist even if eigenvalues coincide."""
    return eigen(a)[0]


# -- singular values -----------------------------------------------------------------------------


@primitive(
    name="svd",
    samples=[
        Sample((3, 3)),
        Sample((2, 3, 2), full_matrices=True),
        Sample((2, 3), full_matrices=True),
        Sample((2, 4)),
        Sample((4, 2)),
    ],
)
def singular(a: Array, /, full_matrices: bool = False) -> Factors:
    """``a = U diag(s) Vᴴ``: orthonormal columns, and singular values in descending order."""
    return tuple(np.linalg.svd(a, full_matrices))


def svd_rule(g: Factors, y: Factors, a: Array, full_matrices: bool) -> Array:
    """``U (diag(gs) + P / (sⱼ - sᵢ) + D / (sⱼ + sᵢ)) Vᴴ``, plus the parts of gU and gV outside of U and V.

    P and D are the sum and the difference of the skew parts of ``Uᴴ gU`` and ``Vᴴ gV``: they say how the
    loss changes if the two bases turn together, and if they turn in opposite directions.
    """
    (gu, gs, gvh), (u, s, vh) = g, y
    (m, n), k = a.shape[-2:], s.shape[-1]
    limit = rounding(plain(s), max(m, n))
    same, zero = find_coincident(plain(s), limit), plain(s) <= limit
    require_unmixed("svd", plain(s), a.shape, gs, gu, gvh)
    if same.any() or zero.any():
        u, vh = (final(x, what="singular values") for x in (u, vh))
    check = not TRANSPOSING.get()
    gu, u = basis_of("svd", gu, u, k, check=check)
    gv, v = basis_of("svd", adjoint(gvh), adjoint(vh), k, check=check)
    left, right = skew_part(adjoint(u) @ gu), skew_part(adjoint(v) @ gv)
    require_phase_free("svd", left + right, g[0], g[2])
    both = zero[..., None, :] & zero[..., :, None]
    row, column, zero = np.expand_dims(s, -2), np.expand_dims(s, -1), zero[..., None, :]
    inner = over_differences(left + right, s, same) + over(left - right, row + column, both)
    result = u @ (diagonal_matrix(gs) + inner) @ adjoint(v)
    if m > k:
        result = result + over(gu - u @ (adjoint(u) @ gu), row, zero) @ adjoint(v)
    if n > k:
        result = result + u @ adjoint(over(gv - v @ (adjoint(v) @ gv), row, zero))
    return result


singular.vjp(textbook(svd_rule))


@implements(
    np.linalg.svd,
    samples=[
        Sample((2, 2)),
        Sample((3, 2), full_matrices=False),
        Sample((2, 3), compute_uv=False),
        Sample((3, 3), prepare=make_symmetric, hermitian=True),
        Sample((2, 2), prepare=make_symmetric, hermitian=True, compute_uv=False, complex=True),
    ],
)
def svd(a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """NumPy's named result of :data:`singular`; for a Hermitian matrix, computed from its eigenvalues."""
    if hermitian:
        w, v = eigh(a)
        signs = np.copysign(1, plain(w))
        order = np.argsort(np.abs(plain(w)))[..., ::-1]
        s = np.take_along_axis(w * signs, order, axis=-1)
        if not compute_uv:
            return s
        columns = order[..., None, :]
        u, v = (np.take_along_axis(x, columns, axis=-1) for x in (v, v * signs[..., None, :]))
        return SVDResult(u, s, adjoint(v))
    if not compute_uv:
        return svdvals(a)
    u, s, vh = singular(a, full_matrices=full_matrices)
    u, vh = determined(u, vh, name="svd", values=plain(s), shape=a.shape)
    return SVDResult(u, s, vh)


@implements(np.linalg.svdvals, samples=[Sample((2, 3)), Sample((2, 3, 2)), Sample((2, 2), complex=True)])
def svdvals(x: Array, /) -> Array:
    """Only the singular values; their gradients exist even if singular values coincide."""
    return singular(x)[1]


# -- steps of the rules --------------------------------------------------------------------------


def diagonal_matrix(d: Array) -> Array:
    """Put each vector of a stack on the diagonal of a matrix."""
    return np.where(beside(d, np.eye(d.shape[-1], dtype=bool)), np.expand_dims(d, -2), 0)


def over(x: Array, gaps: Array, closed: NDArray) -> Array:
    """``x / gaps``, and 0 where a gap is closed."""
    return np.where(closed, 0, x) / np.where(closed, 1, gaps)


def over_differences(x: Array, values: Array, same: NDArray) -> Array:
    """``xᵢⱼ / (valueⱼ - valueᵢ)``, and 0 on the diagonal and where values are the same."""
    gaps = np.expand_dims(values, -2) - np.expand_dims(values, -1)
    return over(x, gaps, same | beside(same, np.eye(same.shape[-1], dtype=bool)))


# -- what a matrix does not determine ------------------------------------------------------------


def find_coincident(values: NDArray, limit: Any) -> NDArray:
    """Which pairs of eigenvalues or singular values are equal up to ``limit``."""
    gaps = np.abs(values[..., :, None] - values[..., None, :])
    is_same: NDArray = gaps <= np.expand_dims(beside(values, limit), -1)
    return is_same & beside(values, ~np.eye(values.shape[-1], dtype=bool))


@primitive()
def determined(*bases: Array, name: str, values: NDArray, shape: tuple[int, ...]) -> Factors:
    """Pass gradients to vectors that the matrix determines, and refuse them for all others.

    ``bases`` are the eigenvectors, or the left and the right singular vectors (the latter as rows). A
    gradient that arrives here shows that the loss uses them.
    """
    return bases


def determined_rule(
    i: int, g: Factors, y: Factors, *bases: Array, name: str, values: NDArray, shape: tuple[int, ...]
) -> Array:
    """Check all bases at once."""
    if i == 0:
        require_separate(name, values, shape, *g)
    return g[i]


determined.vjp(each=determined_rule)


def find_undetermined(
    name: str, values: NDArray, shape: tuple[int, ...], like: Array, *, exactly: bool = False
) -> NDArray:
    """Which vectors are not determined: pairs of them, whose values coincide.

    The diagonal marks singular vectors of the value 0, whose left and right vectors are free separately, if
    they are complex or one kind does not fill the space.
    """
    limit: Any = beside(values, np.zeros(1)) if exactly else rounding(values, max(shape[-2:]))
    pairs = find_coincident(values, limit)
    if name == "svd" and (shape[-1] != shape[-2] or like.dtype.kind == "c"):
        pairs |= (values <= limit)[..., None] & beside(values, np.eye(values.shape[-1], dtype=bool))
    return pairs


def find_used(k: int, columns: Array, *rows: Array) -> NDArray:
    """Which vectors have gradients that are not exact zeros."""
    parts = [plain(columns)[..., :k], *(plain(x)[..., :k, :].mT for x in rows)]
    is_touched: NDArray = np.any([(part != 0).any(axis=-2) for part in parts], axis=0)
    return is_touched


def require_separate(name: str, values: NDArray, shape: tuple[int, ...], *gs: Array) -> None:
    """Refuse gradients of vectors that the matrix does not determine.

    Vectors whose gradients are exact zeros are not used, so a loss may use some of many. If all are zero, however,
    the zeros may be a factor, as in ``V f(w) Vᴴ`` with ``f(w) = 0`` for values that are equal to the last bit.
    """
    if (pairs := find_undetermined(name, values, shape, gs[0])).any():
        is_touched = find_used(values.shape[-1], *gs)
        refuse(name, values, pairs & (is_touched[..., :, None] | is_touched[..., None, :]))
        is_idle: Any = (~is_touched).all(axis=-1, keepdims=True)
        refuse(name, values, find_undetermined(name, values, shape, gs[0], exactly=True) & is_idle[..., None])


def require_unmixed(name: str, values: NDArray, shape: tuple[int, ...], g: Array, *gs: Array) -> None:
    """Refuse gradients ``g`` of values that are equal to the last bit if vectors have gradients too.

    In ``V f(w) Vᴴ``, the zero gradients of some vectors may come from ``f(w)``.
    """
    pairs = find_undetermined(name, values, shape, gs[0], exactly=True)
    if pairs.any() and not TRANSPOSING.get():
        is_mixed: NDArray = find_used(values.shape[-1], *gs).any(axis=-1, keepdims=True) & (plain(g) != 0)
        refuse(name, values, pairs & is_mixed[..., None])


_ALONE = {"eigh": "np.linalg.eigvalsh", "eig": "np.linalg.eigvals", "svd": "np.linalg.svdvals"}


def refuse(name: str, values: NDArray, pairs: NDArray) -> None:
    """Raise an error that names the first of the pairs of values, if there are any."""
    if not pairs.any():
        return
    *stack, i, j = (int(n) for n in np.argwhere(pairs)[0])
    kind = "singular value" if name == "svd" else "eigenvalue"
    a, b = values[(*stack, i)], values[(*stack, j)]
    found = f"{kind}s {i} and {j} coincide ({a:.6g} and {b:.6g})" if i != j else f"{kind} {i} is 0"
    where = f" in matrix {stack}" if stack else ""
    raise GradientError(
        f"{name}: {found}{where}, so the vectors are not unique, and a loss that depends on them has no gradient. "
        f"The values alone have one: use {_ALONE[name]}. Or perturb the matrix slightly, for example by adding "
        "different small numbers to its diagonal"
    )


def require_phase_free(name: str, turns: Array, *gs: Array) -> None:
    """Refuse a loss that changes with the phase of complex vectors, as the diagonal of ``Vᴴ gV`` says."""
    if turns.dtype.kind != "c" or TRANSPOSING.get():
        return
    if is_more_than_noise(np.diagonal(plain(turns), axis1=-2, axis2=-1).imag, *gs):
        raise GradientError(
            f"{name}: the loss depends on the phase of complex vectors, which is arbitrary. "
            "Use a quantity that does not depend on it, such as np.abs(v) or v @ v.conj().T"
        )


@primitive()
def final(x: Array, /, what: str) -> Array:
    """``x`` without a gradient rule: its gradient would be a second derivative where values coincide."""
    return x


def final_rule(g: Array, y: Array, x: Array, what: str) -> Array:
    """Refuse."""
    raise GradientError(
        f"second derivatives do not exist where {what} coincide or vanish. Perturb the matrix slightly, for example by "
        "adding different small numbers to its diagonal"
    )


final.vjp(final_rule)
