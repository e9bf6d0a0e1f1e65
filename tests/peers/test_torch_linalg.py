"""A second opinion on linear algebra: PyTorch computes the same values and gradients, real and complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")


def draw(*shape: int, complex: bool = False, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if complex else x


def weighted(results: Any, real: Callable, total: Callable, convert: Callable) -> Any:
    """A number in which every element of every result takes part."""
    loss: Any = 0.0
    for i, y in enumerate(results if isinstance(results, (tuple, list)) else [results]):
        weights = draw(*y.shape, seed=i + 7)
        loss = loss + total(real(y) * convert(weights))
        if "complex" in str(y.dtype):
            loss = loss + total(real(y * convert(1j * draw(*y.shape, seed=i + 77))))
    return loss


def compare(ours: Callable, theirs: Callable, *arrays: np.ndarray, rtol: float = 1e-9) -> None:
    """Values, gradients, and the gradients of a function of the gradients."""
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine, its = ours(*xs), theirs(*ts)
    many = isinstance(mine, (tuple, list))
    for a, b in zip(mine if many else [mine], its if many else [its], strict=True):
        np.testing.assert_allclose(a.data, b.detach().resolve_conj().numpy(), rtol=rtol, atol=1e-10)
    loss = weighted(mine, np.real, np.sum, np.asarray)
    its_loss = weighted(its, torch.real, torch.sum, torch.tensor)
    loss.backward(create_graph=True)
    gradients = torch.autograd.grad(its_loss, ts, create_graph=True)
    firsts = [x.grad for x in xs]
    for a, b in zip(firsts, gradients, strict=True):
        np.testing.assert_allclose(a.data, b.detach().resolve_conj().numpy(), rtol=rtol, atol=1e-10)
    for x in xs:
        x.grad = None
    second = weighted(firsts, np.real, np.sum, np.asarray)
    its_second = weighted(gradients, torch.real, torch.sum, torch.tensor)
    if second.requires_grad and its_second.requires_grad:
        second.backward()
        for x, b in zip(xs, torch.autograd.grad(its_second, ts, allow_unused=True), strict=True):
            if x.grad is not None and b is not None:
                np.testing.assert_allclose(x.grad.data, b.resolve_conj().numpy(), rtol=1e-8, atol=1e-8)


def both(f: Callable) -> tuple[Callable, Callable]:
    """One definition for both libraries: ``f(linalg, xp, ...)``."""
    return (lambda *a: f(np.linalg, np, *a)), (lambda *a: f(torch.linalg, torch, *a))


def hermitian(a: Any) -> Any:
    return (a + a.mT.conj()) / 2


def positive(a: Any) -> Any:
    return a @ a.mT.conj() + (torch.eye(a.shape[-1]) if isinstance(a, torch.Tensor) else np.eye(a.shape[-1]))


def phase_free(v: Any) -> Any:
    """Of each eigenvector what does not depend on its phase: the products of its elements with each other."""
    return v[..., :, None, :] * v.conj()[..., None, :, :]


CASES: dict[str, tuple[Callable, list[tuple[int, ...]]]] = {
    "inv": (lambda la, xp, a: la.inv(a), [(2, 3, 3)]),
    "det": (lambda la, xp, a: la.det(a), [(2, 3, 3)]),
    "slogdet": (lambda la, xp, a: tuple(la.slogdet(a)), [(2, 3, 3)]),
    "solve vector": (lambda la, xp, a, b: la.solve(a, b), [(3, 3), (3,)]),
    "solve stack": (lambda la, xp, a, b: la.solve(a, b), [(2, 1, 3, 3), (2, 3, 2)]),
    "pinv tall": (lambda la, xp, a: la.pinv(a), [(4, 2)]),
    "pinv wide": (lambda la, xp, a: la.pinv(a), [(2, 2, 3)]),
    "pinv of rank 1": (lambda la, xp, a, b: la.pinv(a @ b, rtol=1e-10), [(3, 1), (1, 4)]),
    "cholesky": (lambda la, xp, a: la.cholesky(positive(a)), [(2, 3, 3)]),
    "cholesky upper": (lambda la, xp, a: la.cholesky(positive(a), upper=True), [(3, 3)]),
    "qr square": (lambda la, xp, a: tuple(la.qr(a)), [(3, 3)]),
    "qr tall": (lambda la, xp, a: tuple(la.qr(a)), [(2, 4, 2)]),
    "qr wide": (lambda la, xp, a: tuple(la.qr(a)), [(2, 4)]),
    "eigvalsh": (lambda la, xp, a: la.eigvalsh(hermitian(a)), [(2, 3, 3)]),
    "eigh": (
        lambda la, xp, a: [
            f(r) for f, r in zip((lambda w: w, phase_free), la.eigh(hermitian(a)), strict=True)
        ],
        [(2, 3, 3)],
    ),
    "svdvals": (lambda la, xp, a: la.svdvals(a), [(2, 3, 4)]),
    "svd": (lambda la, xp, a: svd_products(la.svd(a, full_matrices=False)), [(2, 3, 3)]),
    "svd tall": (lambda la, xp, a: svd_products(la.svd(a, full_matrices=False)), [(4, 2)]),
    "svd wide": (lambda la, xp, a: svd_products(la.svd(a, full_matrices=False)), [(2, 4)]),
    "matrix_power": (lambda la, xp, a: la.matrix_power(a, 3), [(3, 3)]),
    "matrix_power -2": (lambda la, xp, a: la.matrix_power(a, -2), [(2, 3, 3)]),
    "multi_dot": (lambda la, xp, a, b, c, d: la.multi_dot([a, b, c, d]), [(2, 3), (3, 4), (4, 2), (2, 5)]),
    "tensorinv": (lambda la, xp, a: la.tensorinv(a, ind=1), [(6, 2, 3)]),
    "tensorsolve": (lambda la, xp, a, b: la.tensorsolve(a, b), [(2, 3, 6), (2, 3)]),
    "inner": (lambda la, xp, a, b: xp.inner(a, b), [(2, 3), (4, 3)]),
    "vdot": (lambda la, xp, a, b: xp.vdot(a, b), [(3,), (3,)]),
    "vecdot": (lambda la, xp, a, b: la.vecdot(a, b), [(2, 3), (3,)]),
    "kron": (lambda la, xp, a, b: xp.kron(a, b), [(2, 3), (2, 2)]),
    "outer": (lambda la, xp, a, b: xp.outer(a, b), [(2,), (3,)]),
    "einsum": (lambda la, xp, a, b: xp.einsum("bij,kj->bik", a, b), [(2, 2, 3), (4, 3)]),
    "eig": (lambda la, xp, a: sorted_eigen(la.eig(a)), [(2, 3, 3)]),
    "eigvals": (lambda la, xp, a: la.eigvals(a) ** 2, [(3, 3)]),
    "polar factor": (lambda la, xp, a: (lambda u, _, vh: u @ vh)(*la.svd(a)), [(3, 3)]),
    "spectral function": (
        lambda la, xp, a: (lambda w, v: (v * xp.exp(w / 4)) @ v.mT.conj())(*la.eigh(hermitian(a))),
        [(3, 3)],
    ),
    "lstsq": (lambda la, xp, a, b: la.lstsq(a, b)[0], [(4, 2), (4, 3)]),
    "cross": (lambda la, xp, a, b: la.cross(a, b), [(2, 3), (2, 3)]),
    "tensordot": (lambda la, xp, a, b: xp.tensordot(a, b, ([1, 2], [0, 1])), [(2, 3, 4), (3, 4, 2)]),
    "trace": (lambda la, xp, a: xp.trace(a), [(3, 3)]),
    "diagonal": (lambda la, xp, a: la.diagonal(a, offset=1), [(2, 3, 4)]),
    "diag": (lambda la, xp, a: xp.diag(a, 1), [(3,)]),
    "tril": (lambda la, xp, a: xp.tril(a, -1), [(2, 3, 3)]),
    "triu": (lambda la, xp, a: xp.triu(a, 1), [(2, 3, 3)]),
    "matmul": (lambda la, xp, a, b: xp.matmul(a, b), [(2, 2, 3), (3, 2)]),
}


def sorted_eigen(factors: Any) -> list[Any]:
    """Eigenvalues, and of each eigenvector what does not depend on its phase."""
    w, v = factors
    return [w, phase_free(v) * w[..., None, None, :]]


def svd_products(factors: Any) -> list[Any]:
    """Singular values, and of each pair of vectors what does not depend on their phase."""
    u, s, vh = factors
    return [phase_free(u), s, phase_free(vh.mT), u[..., :, None, :] * vh.mT[..., None, :, :]]


for _o in (None, 0.5, 1, 2, 3, np.inf, -np.inf, -1.5):
    CASES[f"vector norm {_o}"] = (
        lambda la, xp, a, o=_o: (
            la.norm(a, o, **axis(xp, 1)) if o is None else la.vector_norm(a, ord=o, **axis(xp, 1))
        ),
        [(2, 3)],
    )
for _o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    CASES[f"matrix norm {_o}"] = (lambda la, xp, a, o=_o: la.matrix_norm(a, ord=o), [(2, 3, 2)])
for _o in (None, 2, -2):
    CASES[f"cond {_o}"] = (lambda la, xp, a, o=_o: la.cond(a, o), [(2, 3, 3)])
for _o in ("fro", "nuc", 1, -1, np.inf):  # PyTorch's own cond fails backward for these
    CASES[f"cond {_o}"] = (
        lambda la, xp, a, o=_o: (
            la.cond(a, o) if xp is np else la.matrix_norm(a, o) * la.matrix_norm(la.inv(a), o)
        ),
        [(2, 3, 3)],
    )


def axis(xp: Any, *axes: int) -> dict[str, Any]:
    return {("axis" if xp is np else "dim"): axes[0] if len(axes) == 1 else axes}


@for_each("complex", [False, True], ids=["real", "complex"])
@for_each("name", CASES)
def test_as_pytorch(name, complex):
    f, shapes = CASES[name]
    compare(*both(f), *(draw(*shape, complex=complex, seed=i) for i, shape in enumerate(shapes)))


EDGES: dict[str, tuple[Callable, np.ndarray]] = {
    **{
        f"{o}-norm of zeros": (lambda la, a, o=o: la.vector_norm(a, ord=o), np.zeros(3))
        for o in (1, 2, 3, 1.5, np.inf, -np.inf)
    },
    **{
        f"{o}-norm with a zero": (lambda la, a, o=o: la.vector_norm(a, ord=o), np.array([0.0, 3.0, 4.0]))
        for o in (1, 2, 3, 1.5, np.inf)
    },
    "ties for the largest": (lambda la, a: la.vector_norm(a, ord=np.inf), np.array([2.0, -2.0, 1.0, 2.0])),
    "ties for the smallest": (lambda la, a: la.vector_norm(a, ord=-np.inf), np.array([2.0, -1.0, 1.0])),
    "Frobenius norm of zeros": (lambda la, a: la.matrix_norm(a), np.zeros((2, 2))),
    "ties of columns": (lambda la, a: la.matrix_norm(a, ord=1), np.array([[1.0, -2.0], [2.0, 1.0]])),
    "ties of rows": (lambda la, a: la.matrix_norm(a, ord=-np.inf), np.array([[1.0, -2.0], [2.0, 1.0]])),
    "det of rank 1": (lambda la, a: la.det(a), np.ones((3, 3))),
    "det of zeros": (lambda la, a: la.det(a), np.zeros((2, 2))),
    "eigenvalues of the identity": (lambda la, a: la.eigvalsh(a).sum(), np.eye(3)),
    "singular values of the identity": (lambda la, a: la.svdvals(a).sum(), np.eye(3)),
    "pinv of low rank": (lambda la, a: la.pinv(a).sum(), np.outer([1.0, 2.0], [1.0, 0.0, 1.0])),
    "pinv of zeros": (lambda la, a: la.pinv(a).sum(), np.zeros((2, 3))),
}


@for_each("name", EDGES)
def test_edges_as_pytorch(name):
    f, a = EDGES[name]
    x, t = tg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    f(np.linalg, x).backward()
    f(torch.linalg, t).backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "f", [lambda la, a: la.cholesky(a), lambda la, a: la.eigh(a)[1], lambda la, a: la.eigvalsh(a)]
)
@pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])
def test_gradients_of_hermitian_matrices_are_hermitian_in_both(f, complex):
    a = positive(draw(3, 3, complex=complex)) + np.diag([0.0, 4.0, 9.0])
    x, t = tg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    weights = draw(3, 3)
    np.sum(np.abs(f(np.linalg, x)) ** 2 * weights).backward()
    torch.sum(torch.abs(f(torch.linalg, t)) ** 2 * torch.tensor(weights)).backward()
    np.testing.assert_allclose(x.grad.data, x.grad.data.conj().T, atol=1e-12)
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize(
    "f", [lambda la, a: la.eigh(a)[1], lambda la, a: la.eig(a)[1], lambda la, a: la.svd(a)[0]]
)
def test_both_refuse_a_loss_that_depends_on_a_phase(f):
    a = hermitian(draw(3, 3, complex=True))
    with pytest.raises(RuntimeError, match=r"\^\{i|phase"):
        torch.real(f(torch.linalg, torch.tensor(a, requires_grad=True)) * (1 + 2j)).sum().backward()
    with pytest.raises(tg.errors.GradientError, match="phase"):
        np.real(f(np.linalg, tg.tensor(a, requires_grad=True)) * (1 + 2j)).sum().backward()
