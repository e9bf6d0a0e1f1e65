"""A second opinion on linear algebra: PyTorch computes the same values and gradients, real and complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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
    "eigh": (lambda la, xp, a: [f(r) for f, r in zip((lambda w: w, phase_free), la.eigh(hermitian(a)), strict=True)], [(2, 3, 3)]),
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
    "matmul": (lambda la, xp, a, b: xp.matmul(a, b), [(2, 2, 3), (3, 2)]),
}


def svd_products(factors: Any) -> list[Any]:
    """Singular values, and of each pair of vectors what does not depend on their phase."""
    u, s, vh = factors
    return [phase_free(u), s, phase_free(vh.mT), u[..., :, None, :] * vh.mT[..., None, :, :]]


@pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name, complex):
    f, shapes = CASES[name]
    compare(*both(f), *(draw(*shape, complex=complex, seed=i) for i, shape in enumerate(shapes)))
