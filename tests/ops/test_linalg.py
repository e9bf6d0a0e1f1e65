"""Linear algebra: NumPy's values and errors, gradients at the edges, and what has no gradient."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError
from tinygrad_mnist.testing import gradcheck

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 3, 3))
V, W = RNG.normal(size=(2, 3))
STACK = RNG.normal(size=(2, 3, 3))
TALL, WIDE = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 4))
T = RNG.normal(size=(2, 3, 4))
Z = A + 1j * B
S, P = A + A.T + np.diag([0.0, 4.0, 9.0]), A @ A.T + np.eye(3)
H = Z + Z.conj().T


def plain(y: Any) -> Any:
    return y.data if isinstance(y, tg.Tensor) else y


def gradients(f: Callable, *arrays: Any) -> list[np.ndarray]:
    leaves = [leaf(np.asarray(a, float) if np.asarray(a).dtype.kind in "iu" else a) for a in arrays]
    f(*leaves).backward()
    return [x.grad.data for x in leaves]


def gradient(f: Callable, a: Any) -> np.ndarray:
    return gradients(f, a)[0]


# -- values --------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable, ...]] = {
    "products": (
        lambda a: np.inner(a, V),
        lambda a: np.inner(2.0, a),
        lambda a: np.inner(V.tolist(), a),
        lambda a: np.vdot(a, B),
        lambda a: np.vdot(Z, a),
        lambda a: np.vecdot(a, V),
        lambda a: np.vecdot(Z, a),
        lambda a: np.vecdot(a, STACK, axis=-2),
        lambda a: np.linalg.vecdot(a, B, axis=0),
        lambda a: np.vecdot(a, a, keepdims=True),
        lambda a: np.outer(a, V),
        lambda a: np.outer(3.0, a),
        lambda a: np.linalg.outer(a[0], V),
        lambda a: np.kron(a, TALL),
        lambda a: np.kron(V, a),
        lambda a: np.kron(a[0], T),
        lambda a: np.kron(a, 2.0),
        lambda a: np.cross(a, B),
        lambda a: np.cross(a, V, axisa=0),
        lambda a: np.cross(a, STACK, axisb=1, axisc=0),
        lambda a: np.cross(STACK, STACK[::-1] * a, axis=1),
        lambda a: np.linalg.cross(a, B, axis=0),
        lambda a: np.tensordot(a, T, axes=([0], [1])),
        lambda a: np.tensordot(a, a),
        lambda a: np.tensordot(a, T, 0),
        lambda a: np.tensordot(T, a, (1, 0)),
        lambda a: np.linalg.tensordot(a, STACK, axes=((0, 1), (2, -2))),
        lambda a: np.dot(a, Z),
        lambda a: np.dot(STACK, a),
        lambda a: np.dot(a, 2),
        lambda a: np.linalg.matmul(a, STACK),
        lambda a: np.matmul(a.tolist() if isinstance(a, np.ndarray) else a, V),
        lambda a: np.linalg.multi_dot([a, B]),
        lambda a: np.linalg.multi_dot([V, a, B, C, W]),
        lambda a: np.linalg.multi_dot([WIDE.T, WIDE, WIDE.T, WIDE[:, :3], a]),
        lambda a: np.einsum("ij,jk", a, B),
        lambda a: np.einsum("ij->ji", a),
        lambda a: np.einsum("Ba,aB", a, B),
        lambda a: np.einsum("bA", a),
        lambda a: np.einsum(a, [30, 2]),
        lambda a: np.einsum("ii", a),
        lambda a: np.einsum("...i,i->...", STACK, a[0]),
        lambda a: np.einsum("ij,->i", a, 2.0),
        lambda a: np.einsum(a, [0, 1], V, [1]),
        lambda a: np.einsum(a, [0, 1], V.tolist(), [1], [0]),
        lambda a: np.einsum("ij,jk,kl->il", a, B, C, optimize=["einsum_path", (1, 2), (0, 1)]),
        lambda a: np.einsum("ij,jk,kl->il", a, B, C, optimize=("greedy", 10)),
        lambda a: np.einsum("ij,j->i", a, V, dtype=np.complex128),
        lambda a: np.einsum("ij,j->i", a, V, dtype=np.float32, casting="same_kind"),
        lambda a: np.einsum("ij,ij->ij", a[:1], B),
    ),
    "diagonals": (
        lambda a: np.trace(a, 1),
        lambda a: np.trace(STACK * a, axis1=1, axis2=2),
        lambda a: np.trace(a, dtype=np.complex128),
        lambda a: np.trace(STACK * a, 0, -1, 0, np.float32),
        lambda a: np.linalg.trace(STACK * a, offset=-1, dtype=np.float32),
        lambda a: np.diagonal(a, -1),
        lambda a: np.diagonal(STACK * a, offset=1, axis1=2, axis2=0),
        lambda a: np.diagonal(a, 7),
        lambda a: np.linalg.diagonal(STACK * a, offset=2),
        lambda a: np.diag(a),
        lambda a: np.diag(a[0]),
        lambda a: np.diag(a[0], k=2),
        lambda a: np.diag(a, -2),
        lambda a: np.diag(a[0, :0], -2),
        lambda a: np.diagflat(a, 1),
        lambda a: np.diagflat(a[0, 0], -1),
        lambda a: np.tril(a),
        lambda a: np.tril(STACK * a, -1),
        lambda a: np.triu(a, k=1),
        lambda a: np.triu(a[0]),
    ),
    "norms": (
        *(
            lambda a, o=o, axis=axis, keep=keep: np.linalg.norm(STACK * a, o, axis, keep)
            for o in (None, 0, 1, 2, 3, -1, 0.5, np.inf, -np.inf)
            for axis, keep in ((0, False), (-1, True), ((2,), False))
        ),
        *(
            lambda a, o=o, axis=axis, keep=keep: np.linalg.norm(T[:, :, :3] * a, o, axis, keep)
            for o in (None, "fro", "f", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
            for axis, keep in (((0, 1), False), ((-1, 0), True))
        ),
        lambda a: np.linalg.norm(a),
        lambda a: np.linalg.norm(a, keepdims=True),
        lambda a: np.linalg.norm(STACK * a),
        lambda a: np.linalg.norm(STACK * a, keepdims=True),
        lambda a: np.linalg.norm(a[0], 2),
        lambda a: np.linalg.norm(a[0], np.float64(2.5)),
        lambda a: np.linalg.norm(a, "fro"),
        lambda a: np.linalg.norm(a, "fro", keepdims=True),
        lambda a: np.linalg.norm(a[:, :0], np.inf, axis=1),
        lambda a: np.linalg.norm(a[:, :0], 2),
        lambda a: np.linalg.norm(a[:0], "nuc"),
        lambda a: np.linalg.vector_norm(a),
        lambda a: np.linalg.vector_norm(STACK * a, axis=(2, 0), ord=3),
        lambda a: np.linalg.vector_norm(STACK * a, axis=(0, -1), keepdims=True),
        lambda a: np.linalg.vector_norm(a, axis=1, ord=0, keepdims=True),
        lambda a: np.linalg.vector_norm(a[0, 0], keepdims=True),
        lambda a: np.linalg.vector_norm(a, ord=-np.inf),
        lambda a: np.linalg.matrix_norm(STACK * a),
        lambda a: np.linalg.matrix_norm(STACK * a, ord=-2, keepdims=True),
        *(
            lambda a, p=p: np.real(np.linalg.cond(STACK * a, p))  # older versions of NumPy make it complex
            for p in (None, 1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc")
        ),
    ),
    "equations": (
        lambda a: np.linalg.inv(a),
        lambda a: np.linalg.inv(STACK * a),
        lambda a: np.linalg.solve(a, V),
        lambda a: np.linalg.solve(STACK * a, V),
        lambda a: np.linalg.solve(STACK * a, B),
        lambda a: np.linalg.solve(B, STACK * a),
        lambda a: np.linalg.solve(a, a[:, :0]),
        lambda a: np.linalg.det(STACK * a),
        lambda a: np.linalg.slogdet(STACK * a),
        lambda a: np.linalg.slogdet(np.zeros((2, 2)) * a[:2, :2]),
        lambda a: np.linalg.pinv(a[:, :2]),
        lambda a: np.linalg.pinv(STACK * a, rcond=[0.5, 1e-10]),
        lambda a: np.linalg.pinv(a, rtol=0.3),
        lambda a: np.linalg.pinv(a, rtol=None),
        lambda a: np.linalg.pinv(a + a.T, hermitian=True),
        lambda a: np.linalg.pinv(a[:, :0]),
        lambda a: np.linalg.lstsq(a[:, :2], V),
        lambda a: np.linalg.lstsq(a[:, :2], B, rcond=0.5),
        lambda a: np.linalg.lstsq(a[:2], B[:2]),
        lambda a: np.linalg.lstsq(a[:2], B[:2, :0]),
        lambda a: np.linalg.lstsq(a, V, rcond=-1),
        lambda a: np.linalg.tensorinv(np.reshape(a, (3, 1, 3))[:, :, ::-1], ind=1),
        lambda a: np.linalg.tensorsolve(np.reshape(a, (3, 1, 3)), V[:, None]),
        lambda a: np.linalg.tensorsolve(np.reshape(a, (1, 3, 3)), V, axes=(0, 2)),
        *(lambda a, n=n: np.linalg.matrix_power(STACK * a, n) for n in (-3, -1, 0, 1, 2, 3, 7)),
        lambda a: np.linalg.matrix_rank(STACK * a),
        lambda a: np.linalg.matrix_rank(a, tol=0.5),
    ),
    "factorizations": (
        lambda a: np.linalg.cholesky(a @ np.conj(a).T + np.eye(3)),
        lambda a: np.linalg.cholesky(a @ np.conj(a).T + np.eye(3), upper=True),
        *(lambda a, mode=mode: np.linalg.qr(a, mode) for mode in ("reduced", "complete", "r")),
        *(lambda a, mode=mode: np.linalg.qr(a[:, :2], mode=mode) for mode in ("reduced", "complete", "r")),
        *(lambda a, mode=mode: np.linalg.qr((STACK * a)[:, :2], mode) for mode in ("reduced", "complete", "r")),
        lambda a: np.linalg.eig(a),
        lambda a: np.linalg.eigvals(STACK * a),
        lambda a: np.linalg.eigh(a),
        lambda a: np.linalg.eigh(a, "U"),
        lambda a: np.linalg.eigh(a, UPLO="l"),
        lambda a: np.linalg.eigvalsh(STACK * a, "U"),
        lambda a: np.linalg.svd(a),
        lambda a: np.linalg.svd(STACK[:, :2] * a[:2]),
        lambda a: np.linalg.svd(a[:, :2], full_matrices=False),
        lambda a: np.linalg.svd(a[:2], False),
        lambda a: np.linalg.svd(a, compute_uv=False),
        lambda a: np.linalg.svd(a + a.T, hermitian=True),
        lambda a: np.linalg.svd(a + a.T, compute_uv=False, hermitian=True),
        lambda a: np.linalg.svdvals(STACK * a),
    ),
}  # fmt: skip


@for_each("family", CALLS)
@for_each("dtype", [np.float64, np.float32, np.complex128])
def test_every_keyword_as_numpy(family, dtype):
    a = (Z if dtype == np.complex128 else A).astype(dtype)
    tolerance = 1e-3 if dtype == np.float32 else 1e-9
    for call in CALLS[family]:
        try:
            expected = call(a)
        except (TypeError, np.exceptions.ComplexWarning):
            assert dtype == np.complex128  # asked for the dtype of real numbers
            continue
        except ValueError:
            assert np.lib.NumpyVersion(np.__version__) < "2.4.0"  # where nothing has no maximum
            continue
        for given in (leaf(a), tg.Tensor(a)):
            found = call(given)
            pairs = [(found, expected)]
            if isinstance(expected, tuple):
                assert type(found) is type(expected)
                pairs = list(zip(found, expected, strict=True))
            for y, value in pairs:
                assert np.shape(plain(y)) == np.shape(value)
                assert np.asarray(plain(y)).dtype == np.asarray(value).dtype
                np.testing.assert_allclose(plain(y), value, rtol=tolerance, atol=tolerance)


def test_named_results():
    assert np.linalg.slogdet(leaf(A)).logabsdet.shape == ()
    assert np.linalg.eigh(leaf(S)).eigenvectors.requires_grad
    assert np.linalg.eig(leaf(A)).eigenvalues.requires_grad
    assert np.linalg.svd(leaf(A)).Vh.shape == (3, 3)
    assert np.linalg.qr(leaf(A)).R.requires_grad


def test_questions_have_plain_answers():
    path, text = np.einsum_path("ij,jk", leaf(A), B)
    assert path == ["einsum_path", (0, 1)]
    assert "contraction" in text
    assert not np.linalg.matrix_rank(leaf(A)).requires_grad
    rank = np.linalg.lstsq(leaf(TALL), RNG.normal(size=4))[2]
    assert isinstance(rank, np.int32)
    assert rank == 2


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) >= "2.5.0", reason="NumPy refuses two dimensions")
def test_cross_product_in_the_plane():
    x, y = RNG.normal(size=(2, 4, 2))
    z = RNG.normal(size=(4, 3))
    for a, b in ((x, y), (x, z), (z, y)):
        with pytest.warns(DeprecationWarning, match="dimension"):
            expected = np.cross(a, b)
        with pytest.warns(DeprecationWarning, match="dimension"):
            np.testing.assert_array_equal(np.cross(leaf(a), leaf(b)).data, expected)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert gradcheck(np.cross, a, b, order=2)


@for_each(
    "call",
    [
        lambda a: np.inner(a, V[:2]),
        lambda a: np.vdot(a, V),
        lambda a: np.dot(a, V[:2]),
        lambda a: np.cross(a, V[:1]),
        lambda a: np.cross(a, V, axisa=5),
        lambda a: np.linalg.cross(a[:, :2], V[:2]),
        lambda a: np.linalg.outer(a, V),
        lambda a: np.tensordot(a, V, axes=([0], [1])),
        lambda a: np.tensordot(a, T, axes=([0, 1], [0, 1])),
        lambda a: np.tensordot(a, a, 3),
        lambda a: np.einsum("ij,jk", a, T),
        lambda a: np.einsum("ij,jk", a, V[:2, None]),
        lambda a: np.einsum("ij,j->i", a, V, dtype=np.float32),
        lambda a: np.einsum(a, [0, -1], [0]),
        lambda a: np.einsum(a, [0, 52], [0]),
        lambda a: np.linalg.multi_dot([a]),
        lambda a: np.linalg.multi_dot([a, V, a]),
        lambda a: np.linalg.matrix_power(a, 0.5),
        lambda a: np.linalg.matrix_power(a[:2], 2),
        lambda a: np.linalg.matrix_power(a * 0, -1),
        lambda a: np.trace(a[0]),
        lambda a: np.diagonal(a, axis1=0, axis2=0),
        lambda a: np.diagonal(a, axis1=2),
        lambda a: np.diag(STACK * a),
        lambda a: np.linalg.norm(a, "nuc", axis=0),
        lambda a: np.linalg.norm(a, 5),
        lambda a: np.linalg.norm(STACK * a, 2),
        lambda a: np.linalg.norm(a, axis=(0, 0)),
        lambda a: np.linalg.norm(a, axis=(0, -2), ord=1),
        lambda a: np.linalg.norm(a, axis="rows"),
        lambda a: np.linalg.norm(a, axis=2),
        lambda a: np.linalg.norm(a[:, :0], -np.inf, axis=1),
        lambda a: np.linalg.inv(a[:2]),
        lambda a: np.linalg.inv(a[0]),
        lambda a: np.linalg.inv(a * 0),
        lambda a: np.linalg.solve(a, V[:2]),
        lambda a: np.linalg.solve(a * 0, V),
        lambda a: np.linalg.det(a[0]),
        lambda a: np.linalg.slogdet(a[:2]),
        lambda a: np.linalg.pinv(a, 0.1, rtol=0.1),
        lambda a: np.linalg.lstsq(a, V[:2]),
        lambda a: np.linalg.lstsq(STACK * a, V),
        lambda a: np.linalg.tensorinv(a, 0),
        lambda a: np.linalg.tensorinv(a[:2], 1),
        lambda a: np.linalg.tensorsolve(a, B),
        lambda a: np.linalg.cholesky(-a @ a.T),
        lambda a: np.linalg.cholesky(a[:2]),
        lambda a: np.linalg.qr(a, "thin"),
        lambda a: np.linalg.qr(a[0]),
        lambda a: np.linalg.eigh(a, "X"),
        lambda a: np.linalg.eigh(a[:2]),
        lambda a: np.linalg.eig(a * np.nan),
        lambda a: np.linalg.svd(a[0]),
        lambda a: np.linalg.cond(a[:0]),
        lambda a: np.linalg.cond(a, 7),
    ],
)
def test_errors_are_numpys_or_their_kin(call):
    with pytest.raises(Exception) as numpys:  # noqa: PT011
        call(A)
    with pytest.raises(numpys.type):
        call(leaf(A))


@pytest.mark.parametrize("keywords", [{"axes": [(0, 1)] * 3}, {"axis": 0}, {"keepdims": True}])
def test_keywords_of_the_ufunc_that_are_not_supported(keywords):
    with pytest.raises(TypeError, match=next(iter(keywords))):
        np.matmul(leaf(A), B, **keywords)
    if "axes" in keywords:
        with pytest.raises(TypeError, match="axes"):
            np.vecdot(leaf(A), B, axes=[0, 0, ()])


def test_raw_qr_is_refused():
    with pytest.raises(tg.errors.UnsupportedError, match="'reduced', 'complete' or 'r'"):
        np.linalg.qr(leaf(A), "raw")


def test_what_depends_on_nothing_is_untracked():
    assert not np.linalg.matrix_power(leaf(A), 0).requires_grad
    assert not np.linalg.norm(leaf(V), 0).requires_grad
    np.testing.assert_array_equal(gradient(lambda a: a.sum() + np.linalg.norm(a, 0), V), np.ones(3))


EMPTY_STACK = np.zeros((0, 3, 3))


@for_each("call", [
        np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.pinv, np.linalg.cholesky, np.linalg.qr,
        np.linalg.eigh, np.linalg.eigvalsh, np.linalg.svd, np.linalg.svdvals, np.linalg.matrix_norm, np.linalg.trace,
        lambda a: np.linalg.norm(a, "nuc", (1, 2)), lambda a: np.linalg.solve(a, V), lambda a: np.matmul(a, B),
        lambda a: np.linalg.matrix_power(a, 3), np.tril, np.linalg.diagonal, lambda a: np.einsum("bij,j", a, V),
    ])  # fmt: skip
def test_empty_stacks(call):
    expected = call(EMPTY_STACK)
    results = call(x := leaf(EMPTY_STACK))
    many = isinstance(results, tuple)
    total = 0.0
    for y, value in zip(results if many else [results], expected if many else [expected], strict=True):
        assert y.shape == value.shape
        total = total + y.sum()
    total.backward()
    assert x.grad.shape == (0, 3, 3)


@pytest.mark.parametrize("call", [np.linalg.det, np.linalg.inv, lambda a: np.linalg.svdvals(a[:, :0])])
def test_matrices_without_rows(call):
    x = leaf(np.zeros((0, 0)))
    np.sum(call(x)).backward()
    assert x.grad.shape == (0, 0)


# -- norms at the edges --------------------------------------------------------------------------


@for_each("order", [None, 1, 2, 3, 1.5, 0.5, np.inf, -np.inf])
def test_gradient_of_the_norm_of_a_zero_vector_is_zero(order):
    np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, order), np.zeros(3)), 0)
    np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, order), np.zeros(3, complex)), 0)


@for_each("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_gradient_of_the_norm_of_a_zero_matrix_is_zero(order):
    np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, order), np.zeros((2, 3))), 0)


@for_each(
    "order, x, expected",
    [
        (None, [3.0, 4.0], [0.6, 0.8]),
        (1, [3.0, 0.0, -4.0], [1.0, 0.0, -1.0]),
        (np.inf, [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
        (-np.inf, [2.0, -1.0, 1.0], [0.0, -0.5, 0.5]),
        (4, [0.0, 2.0], [0.0, 1.0]),
        (1.5, [0.0, 2.0], [0.0, 1.0]),
        (0.5, [0.0, 2.0], [0.0, 1.0]),
        (0.5, [1.0, 1.0], [2.0, 2.0]),
    ],
)
def test_vector_norms_at_zeros_and_ties(order, x, expected):
    np.testing.assert_allclose(
        gradient(lambda x: np.linalg.norm(x, order), np.array(x)), expected, atol=1e-15
    )


def test_negative_orders_of_a_vector_with_a_zero():
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, -2), np.array([0.0, 2.0])), 0)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (1, [[0.5, 0.5], [-0.5, 0.5]]),
        (np.inf, [[0.5, 0.5], [-0.5, 0.5]]),
        (2, np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(8)),
        ("nuc", np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)),
    ],
)
def test_matrix_norms_share_ties(order, expected):
    """All columns, rows and singular values of this matrix are of one size."""
    found = gradient(lambda x: np.linalg.norm(x, order), np.array([[1.0, 1.0], [-1.0, 1.0]]))
    if order == 2:  # equal but for rounding: one of them, or both in equal parts
        np.testing.assert_allclose(np.linalg.svdvals(found).sum(), 1)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nuclear_norm_of_a_matrix_of_low_rank():
    u, v = np.array([0.6, 0.8]), np.array([1.0, 0.0, 0.0])
    found = gradient(lambda x: np.linalg.norm(x, "nuc"), np.outer(u, v))
    np.testing.assert_allclose(found, np.outer(u, v), atol=1e-12)  # of all subgradients the smallest


def test_infinite_condition_number():
    singular = np.array([[1.0, 0.0], [0.0, 0.0]])
    for p in (None, 1):
        assert np.linalg.cond(tg.Tensor(singular), p).item() == np.inf
        with pytest.raises(GradientError, match="singular"):
            np.linalg.cond(leaf(singular), p)


# -- determinants of singular matrices -----------------------------------------------------------


def cofactors(a: np.ndarray) -> np.ndarray:
    """By definition: signed determinants of what is left without a row and a column."""
    n = len(a)
    minors = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
    return np.array([[(-1) ** (i + j) * np.linalg.det(minors[i][j]) for j in range(n)] for i in range(n)])


@for_each(
    "a",
    [
        np.arange(9.0).reshape(3, 3),
        np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]),
        np.zeros((3, 3)),
        np.ones((4, 4)),
        np.diag([1.0, 2.0, 0.0, 0.0]),
        np.diag([1.0, 2.0, 3.0, 0.0]),
        np.diag([1.0, 1e-9, 1e9]),
        np.outer([1.0, 2j, 3.0], [1.0, -1.0, 2j]) + np.diag([0, 0, 1]),
        np.array([[0.0]]),
        np.array([[1.0, 2.0], [2.0, 4.0]]),
    ],
)
def test_gradient_of_det_is_the_matrix_of_cofactors(a):
    expected = cofactors(a) if len(a) > 1 else np.ones((1, 1))
    scale = np.abs(expected).max() or np.abs(a).max() + 1
    np.testing.assert_allclose(
        gradient(lambda a: np.real(np.linalg.det(a)), a), expected.conj(), atol=1e-13 * scale
    )
    if scale < 1e3:
        assert gradcheck(np.linalg.det, a, order=2)


def test_det_of_a_stack_with_singular_and_regular_matrices():
    a = np.stack([np.ones((3, 3)), np.arange(9.0).reshape(3, 3), A, np.zeros((3, 3))])
    found = gradient(lambda a: np.sum(np.linalg.det(a) * [1.0, 2.0, 3.0, 4.0]), a)
    for got, matrix, weight in zip(found, a, [1, 2, 3, 4], strict=True):
        np.testing.assert_allclose(got, weight * cofactors(matrix), atol=1e-12)
    assert gradcheck(np.linalg.det, a, order=2)


def test_third_derivative_of_det_at_zero():
    f = tg.grad(tg.grad(tg.grad(lambda t: np.linalg.det(t * A))))
    np.testing.assert_allclose(f(0.0), 6 * np.linalg.det(A))


def test_det_of_nan_is_nan_without_an_error():
    with np.errstate(invalid="ignore"):
        assert np.isnan(gradient(np.linalg.det, np.array([[np.nan, 1.0], [1.0, 2.0]]))).all()


def test_slogdet():
    np.testing.assert_allclose(gradient(lambda a: np.linalg.slogdet(a)[1], A), np.linalg.inv(A).T)
    np.testing.assert_array_equal(gradient(lambda a: np.linalg.slogdet(a).sign, A), 0)
    y = np.linalg.slogdet(leaf(np.ones((2, 2))))
    assert y.logabsdet.item() == -np.inf
    with pytest.raises(GradientError, match=r"singular.*np\.linalg\.det"):
        y.logabsdet.backward()
    assert gradcheck(lambda a: np.linalg.slogdet(a), Z, order=2)


# -- least squares -------------------------------------------------------------------------------


def test_residuals_and_singular_values_of_least_squares():
    b = RNG.normal(size=4)

    def by_hand(a, b):
        r = b - a @ (np.linalg.inv(a.T @ a) @ (a.T @ b))
        return r @ r

    expected = gradients(by_hand, TALL, b)
    found = gradients(lambda a, b: np.linalg.lstsq(a, b)[1].sum(), TALL, b)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    np.testing.assert_allclose(
        gradient(lambda a: np.linalg.lstsq(a, b)[3].sum(), TALL),
        gradient(lambda a: np.linalg.svdvals(a).sum(), TALL),
        atol=1e-12,
    )


def test_least_squares_of_nothing_depends_on_nothing():
    a, b = leaf(np.zeros((0, 3))), leaf(np.zeros(0))
    np.linalg.lstsq(a, b)[0].sum().backward()
    assert (a.grad.shape, b.grad.shape) == ((0, 3), (0,))
    wide = leaf(A[:2])
    np.linalg.lstsq(wide, V[:2])[1].sum().backward()  # a residual there is none of
    np.testing.assert_array_equal(wide.grad.data, np.zeros(wide.shape))


def test_least_squares_without_full_rank():
    a, b = np.ones((3, 2)), np.array([1.0, 2.0, 4.0])
    x, residuals, rank, s = np.linalg.lstsq(leaf(a), b)
    assert (residuals.shape, rank) == ((0,), 1)
    with pytest.raises(GradientError, match=r"rank 1.*np\.linalg\.pinv"):
        x.sum().backward()
    s[0].backward()  # the singular values have a gradient
    y = leaf(b)
    np.linalg.lstsq(a, y)[0].sum().backward()  # and so has b
    np.testing.assert_allclose(y.grad.data, [1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("rcond", [1e-10, 0.4, 0.9])
def test_pseudo_inverse_with_singular_values_cut_off(rcond):
    a = np.diag([3.0, 2.0, 1.0]) + A / 10
    assert np.linalg.matrix_rank(np.linalg.pinv(a, rcond)) == {1e-10: 3, 0.4: 2, 0.9: 1}[rcond]
    assert gradcheck(lambda a: np.linalg.pinv(a, rcond), a, order=2)
    assert gradcheck(lambda a: np.linalg.pinv(a[:, :2], rcond), a, order=2)


def test_pseudo_inverse_of_zero_and_of_equal_singular_values():
    np.testing.assert_array_equal(gradient(lambda a: np.linalg.pinv(a).sum(), np.zeros((2, 3))), 0)
    assert gradcheck(np.linalg.pinv, np.eye(3), order=2)
    assert gradcheck(lambda a: np.linalg.pinv(a + a.T, hermitian=True), np.diag([1.0, 2.0, -1.0]), order=2)


def test_pseudo_inverse_that_cuts_off_one_of_two_equal_singular_values():
    with pytest.raises(GradientError, match="coincide"):
        gradient(lambda a: (np.linalg.pinv(a, 0.5) * A).sum(), np.diag([1.0, 1.0, 0.1]))


# -- factorizations ------------------------------------------------------------------------------


def test_gradients_of_symmetric_matrices_are_symmetric():
    for f, a in (
        (lambda a: (np.linalg.cholesky(a) * B).sum(), P),
        (lambda a: (np.linalg.cholesky(a, upper=True) * B).sum(), P),
        (lambda a: (np.linalg.eigh(a)[1] * B).sum(), S),
        (lambda a: (np.linalg.eigvalsh(a) * V).sum(), S),
        (lambda a: (np.linalg.pinv(a, hermitian=True) * B).sum(), S),
    ):
        g = gradient(f, a)
        np.testing.assert_allclose(g, g.T, atol=1e-14)
        assert np.abs(g).max() > 1e-3


def test_only_one_triangle_is_looked_at():
    lower = np.tril(P)
    np.testing.assert_array_equal(np.linalg.cholesky(leaf(lower)).data, np.linalg.cholesky(P))
    np.testing.assert_allclose(
        gradient(lambda a: (np.linalg.cholesky(a) * B).sum(), lower),
        gradient(lambda a: (np.linalg.cholesky(a) * B).sum(), P),
    )
    np.testing.assert_allclose(
        gradient(lambda a: (np.linalg.eigh(a, "U")[1] * B).sum(), np.triu(S)),
        gradient(lambda a: (np.linalg.eigh(a, "U")[1] * B).sum(), S),
    )
    np.testing.assert_allclose(
        gradient(lambda a: (np.linalg.pinv(a, hermitian=True) * B).sum(), np.tril(S)),
        gradient(lambda a: (np.linalg.pinv(a, hermitian=True) * B).sum(), S),
        atol=1e-12,
    )


def test_qr_needs_independent_columns():
    q, r = np.linalg.qr(leaf(np.ones((3, 2))))
    for y in (q, r):
        with pytest.raises(GradientError, match="linearly dependent"):
            y.sum().backward(retain_graph=True)
    # Columns beyond the rows may depend on the others.
    assert gradcheck(lambda a: np.linalg.qr(a), np.array([[1.0, 0.5, 1.5], [0.3, 2.0, 2.3]]), order=2)


def test_complete_qr_has_a_gradient_for_what_is_determined():
    a = RNG.normal(size=(4, 2))

    def projector(a):
        rest = np.linalg.qr(a, "complete").Q[:, 2:]
        return rest @ rest.T

    assert gradcheck(projector, a, order=2)
    with pytest.raises(GradientError, match="complete the basis"):
        np.linalg.qr(leaf(a), "complete").Q[0, 3].backward()
    assert gradcheck(lambda a: np.linalg.qr(a, "complete").Q[:, :2], a, order=2)
    assert gradcheck(lambda a: np.linalg.qr(a, "complete").Q, RNG.normal(size=(3, 2)), order=2)


# -- eigenvalues and singular values -------------------------------------------------------------


def test_eigenvalues_alone_have_gradients_where_they_coincide():
    np.testing.assert_allclose(gradient(lambda a: np.linalg.eigvalsh(a).sum(), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(
        gradient(lambda a: (np.linalg.eigvalsh(a) ** 2).sum(), 3 * np.eye(3)), 6 * np.eye(3)
    )
    np.testing.assert_allclose(gradient(lambda a: np.real(np.linalg.eigvals(a)).sum(), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(gradient(lambda a: np.linalg.svdvals(a).sum(), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(gradient(lambda a: np.linalg.eigh(a)[0].sum(), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(gradient(lambda a: np.linalg.svd(a)[1].sum(), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(tg.jvp(lambda a: np.linalg.eigvalsh(a).sum(), np.eye(3), A)[1], np.trace(A))
    np.testing.assert_allclose(tg.jvp(lambda a: np.linalg.svdvals(a).sum(), np.eye(3), A)[1], np.trace(A))


SPECTRAL = {
    "eigh": lambda a, f=lambda w: w: (lambda w, v: (v * f(w)) @ v.T)(*np.linalg.eigh(a)),
    "eig": lambda a, f=lambda w: w: np.real(
        (lambda w, v: (v * f(w)) @ np.linalg.inv(v))(*np.linalg.eig(a))  # NumPy 2.5 makes them complex
    ),
    "svd": lambda a, f=lambda s: s: (lambda u, s, vh: (u * f(s)) @ vh)(*np.linalg.svd(a)),
}


@for_each("name", SPECTRAL)
@for_each("a", [np.eye(3), np.zeros((3, 3)), np.diag([2.0, 0.0, 0.0]), np.diag([1.0, 1.0 + 1e-16, 3.0])])
def test_vectors_of_coinciding_values_have_none(name, a):
    """Also where the loss hides it: an eigenvalue of 0 multiplies the gradient of its vector away."""
    f = SPECTRAL[name]
    np.testing.assert_allclose(f(a), a, atol=1e-12)
    with pytest.raises(GradientError, match=r"coincide|0.*np\.linalg\."):
        gradient(lambda a: (f(a) * B).sum(), a)
    with pytest.raises(GradientError, match="coincide"):
        tg.jvp(f, a, B)
    if a[0, 0] == a[1, 1] == a[2, 2]:
        with pytest.raises(GradientError, match="coincide"):
            gradient(lambda a: (f(a, lambda w: w - a[0, 0]) * B).sum(), a)


def test_the_message_names_the_values_and_the_matrix():
    a = np.stack([S, np.diag([1.0, 5.0, 5.0])])
    with pytest.raises(
        GradientError, match=r"eigh: eigenvalues 1 and 2 coincide \(5 and 5\) in matrix \[1\]"
    ):
        gradient(lambda a: np.linalg.eigh(a)[1].sum(), a)
    with pytest.raises(GradientError, match=r"svd: singular value 1 is 0"):
        gradient(lambda a: np.linalg.svd(a)[0].sum(), np.outer([1.0, 2.0, 2.0], [3.0, 4.0]))


@pytest.mark.parametrize("name", ["eigh", "eig", "svd"])
def test_second_derivatives_of_coinciding_values(name):
    values = {
        "eigh": np.linalg.eigvalsh,
        "eig": lambda a: np.real(np.linalg.eigvals(a)),
        "svd": np.linalg.svdvals,
    }[name]
    for a in (np.eye(2), np.zeros((2, 2))):
        for f in (lambda a: (values(a) ** 2).sum(), lambda a: values(a).sum()):
            x = leaf(a)
            f(x).backward(create_graph=True)  # the first exist
            with pytest.raises(GradientError, match="second derivatives"):
                (x.grad * B[:2, :2]).sum().backward()
            with pytest.raises(GradientError, match="second derivatives"):
                tg.hvp(f, a, B[:2, :2])
    assert gradcheck(lambda a: (values((a + a.T) / 2) ** 2).sum(), np.diag([1.0, 2.0]) + 0.1, order=2)


def test_some_vectors_of_a_matrix_of_low_rank():
    """The largest are determined, whatever becomes of the rest: as in a principal component analysis."""
    x = RNG.normal(size=(5, 2))

    def top(x):
        v = np.linalg.eigh(x @ x.T)[1][:, -2:]
        return v[:, :, None] * v[:, None]

    def first(x):
        u, _, vh = np.linalg.svd(x @ x.T, full_matrices=False)
        return u[:, :2, None] * vh[:2].T[:, None]

    assert gradcheck(top, x)
    assert gradcheck(first, x)
    padded = np.zeros((5, 5))
    padded[:2, :2] = [[2.0, 0.3], [0.3, 1.0]]  # eigenvalues that are 0 to the last bit
    assert gradcheck(
        lambda a: (lambda v: v[:, None, -1] * v[None, :, -1])(np.linalg.eigh((a + a.T) / 2)[1]), padded
    )


def test_defective_matrices():
    defective = np.array([[1.0, 1.0], [0.0, 1.0]])
    with pytest.raises(GradientError, match="fewer independent eigenvectors"):
        gradient(lambda a: np.real(np.linalg.eigvals(a)).sum(), defective)
    with pytest.raises(GradientError, match="coincide"):
        gradient(lambda a: np.real(np.linalg.eig(a)[1]).sum(), defective)


def test_eigenvalues_of_a_rotation():
    g = gradient(lambda a: np.imag(np.linalg.eigvals(a))[0], np.array([[0.0, 1.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(g, [[0.0, 0.5], [-0.5, 0.0]], atol=1e-15)
    assert gradcheck(np.linalg.eigvals, np.array([[0.1, 1.0], [-1.0, 0.4]]), order=2)


def phase_free(v):
    return v[..., :, None, :] * np.conj(v)[..., None, :, :]


@pytest.mark.parametrize(
    "f",
    [
        lambda a: phase_free(np.linalg.eigh((a + np.conj(a).mT) / 2)[1]),
        lambda a: phase_free(np.linalg.eig(a)[1]),
        lambda a: phase_free(np.linalg.eig(np.real(a))[1]),
        lambda a: phase_free(np.linalg.svd(a)[0]),
        lambda a: (lambda u, _, vh: u @ vh)(*np.linalg.svd(a[:, :2], full_matrices=False)),
        lambda a: (lambda u, s, vh: (u * np.exp(-s)) @ vh)(*np.linalg.svd(a)),
        lambda a: (lambda v: np.conj(v).T @ v)(np.linalg.svd(a[:2])[2][2:]),
    ],
)
def test_complex_vectors_to_second_order(f):
    rotated = np.diag([1.0, 2.0, 4.0]) + Z / 5 + np.array([[0, 3, 0], [-3, 0, 0], [0, 0, 0]])
    assert gradcheck(f, rotated, order=2)
    change = tg.jvp(f, rotated, Z)[1]
    eps = 1e-6
    np.testing.assert_allclose(change, (f(rotated + eps * Z) - f(rotated - eps * Z)) / (2 * eps), atol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.eigh((a + np.conj(a).T) / 2)[1],
        lambda a: np.linalg.eig(a)[1],
        lambda a: np.linalg.svd(a)[0],
        lambda a: np.linalg.svd(a)[2],
    ],
)
def test_the_phase_of_complex_vectors_is_a_choice(f):
    for part in (np.real, np.imag):
        with pytest.raises(GradientError, match="phase"):
            gradient(lambda a, part=part: part(f(a) * (B + 1j)).sum(), Z)


def test_singular_vectors_that_complete_a_basis():
    def null_space(a):
        rest = np.linalg.svd(a)[2][2:]
        return rest.T @ rest

    assert gradcheck(null_space, WIDE, order=2)
    change = tg.jvp(null_space, WIDE, TALL.T)[1]
    np.testing.assert_allclose(
        change, (null_space(WIDE + 1e-6 * TALL.T) - null_space(WIDE - 1e-6 * TALL.T)) / 2e-6, atol=1e-6
    )
    with pytest.raises(GradientError, match="complete the basis"):
        np.linalg.svd(leaf(WIDE))[2][2, 0].backward()
    with pytest.raises(GradientError, match="complete the basis"):
        np.linalg.svd(leaf(TALL))[0][0, 3].backward()


def test_unused_factors_cost_no_error():
    """The values of a decomposition whose vectors have no gradient, and the other way round."""
    u, s, vh = np.linalg.svd(leaf(np.eye(2)))
    s.sum().backward()
    assert u.requires_grad
    assert vh.requires_grad
    w, v = np.linalg.eigh(x := leaf(S))
    (v[:, 0] * W).sum().backward()
    assert w.requires_grad
    assert np.abs(x.grad.data).max() > 0


@pytest.mark.parametrize("f", [np.linalg.eigvalsh, lambda a: np.linalg.eigh(a)[1] ** 2, np.linalg.svdvals])
def test_float32_tells_apart_what_it_can(f):
    a = np.diag(np.float32([1.0, 1.0001, 3.0])) + np.float32(1e-6)
    x = leaf(a.astype(np.float32))
    f(x).sum().backward()
    assert x.grad.dtype == np.float32
    assert np.isfinite(x.grad.data).all()


# -- other gradients worth their number ----------------------------------------------------------


def test_einsum_where_lengths_of_one_are_stretched():
    for subscripts, shapes in (
        ("ij,ij->ij", [(1, 3), (2, 3)]),
        ("ij,ij->i", [(2, 1), (2, 3)]),
        ("i,i->", [(1,), (3,)]),
        ("...i,...i->...", [(2, 1, 3), (4, 3)]),
        ("ii,i->i", [(2, 2), (1,)]),
    ):
        arrays = [RNG.normal(size=shape) for shape in shapes]
        assert gradcheck(lambda *xs, s=subscripts: np.einsum(s, *xs), *arrays, order=2)


def test_einsum_of_one_tensor_with_itself():
    np.testing.assert_allclose(gradient(lambda a: np.einsum("ij,ij->", a, a), A), 2 * A)
    assert gradcheck(lambda a: np.einsum("ij,jk,ki", a, a, a, optimize=True), A, order=2)


def test_multi_dot_multiplies_in_the_cheapest_order():
    shapes = [(10, 2), (2, 30), (30, 2), (2, 40)]
    arrays = [leaf(RNG.normal(size=s)) for s in shapes]
    y = np.linalg.multi_dot(arrays)
    np.testing.assert_allclose(y.data, np.linalg.multi_dot([a.data for a in arrays]))
    inner = [parent.value.shape for _, parent in y.node.parents]
    assert inner == [(10, 2), (2, 40)]  # (A (B C)) D would be three times the work


@pytest.mark.parametrize("n", [-2, 1, 5])
def test_matrix_power_of_a_number(n):
    np.testing.assert_allclose(
        gradient(lambda a: np.linalg.matrix_power(a, n)[0, 0], [[1.5]]), [[n * 1.5 ** (n - 1)]]
    )


def test_a_hessian_that_is_known():
    """log det is concave: its second derivative along D is -tr(P⁻¹ D P⁻¹ D)."""
    inverse = np.linalg.inv(P)
    curvature = np.sum(tg.hvp(lambda a: np.linalg.slogdet(a)[1], P, S) * S)
    np.testing.assert_allclose(curvature, -np.trace(inverse @ S @ inverse @ S))


def test_matrices_of_many_rows_take_no_square_of_them():
    """A rule that multiplies in the wrong order makes a matrix of all rows by all rows."""
    tall, right = RNG.normal(size=(3000, 2)), RNG.normal(size=3000)
    calls = [
        lambda a: (np.linalg.pinv(a) ** 2).sum(),
        lambda a: (np.linalg.pinv(a.T) ** 2).sum(),
        lambda a: (np.linalg.lstsq(a, right)[0] ** 2).sum(),
        lambda a: (np.linalg.lstsq(a.T, right[:2])[0] ** 2).sum(),
        lambda a: (np.polyfit(a[:, 0], a[:, 1], 3) ** 2).sum(),
    ]
    for f in calls:
        tracemalloc.start()
        gradient(f, tall)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3000**2  # bytes: an eighth of such a matrix


def test_tensorsolve_of_lists():
    a, b = RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 2))
    expected = np.linalg.tensorsolve(a, b)
    for found in (np.linalg.tensorsolve(leaf(a), b.tolist()), np.linalg.tensorsolve(a.tolist(), leaf(b))):
        np.testing.assert_allclose(found.data, expected)


def test_vectors_of_real_eigenvalues_are_real():
    """Also where they stand among complex numbers: their imaginary parts never leave 0."""
    turn = np.array([[0.2, 1.0, 0.3], [-1.0, 0.1, 0.5], [0.3, 0.2, 3.0]])
    real = int(np.argmin(np.abs(np.imag(np.linalg.eigvals(turn)))))
    np.testing.assert_array_equal(
        gradient(lambda a: np.imag(np.linalg.eig(a)[1][:, real]).sum(), turn), np.zeros((3, 3))
    )
    assert gradcheck(lambda a: np.real(np.linalg.eig(a)[1][:, real]) ** 2, turn, order=2)
    assert gradcheck(lambda a: np.linalg.eig(a)[1][:, real] * (1 + 2j), turn, order=2)
