"""A second opinion on transforms, differences, convolutions and polynomials: PyTorch's values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import for_each
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_mnist as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 4, 5))
COMPLEX = REAL + 1j * RNG.normal(size=REAL.shape)
LONG, SHORT = RNG.normal(size=7) + 1j * RNG.normal(size=7), RNG.normal(size=3) + 1j * RNG.normal(size=3)


def compare(mine: Any, other: Any, *values: np.ndarray, rtol: float = 1e-11) -> None:
    """Values and gradients of ``sum |y|²`` with weights, which no symmetry hides in, and gradients of gradients."""
    leaves = [tg.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    y, z = mine(*leaves), other(*theirs)
    same(y.data, values_of(z), rtol)
    weights = np.linspace(1, 2, y.size).reshape(y.shape)
    np.sum(np.abs(y * weights + 1) ** 3).backward(create_graph=True)
    firsts = [leaf.grad for leaf in leaves]
    loss = (torch.abs(z * torch.tensor(weights) + 1) ** 3).sum()
    others = torch.autograd.grad(loss, theirs, create_graph=True)
    for a, b in zip(firsts, others, strict=True):
        same(a.data, values_of(b), rtol)
    for leaf in leaves:
        leaf.zero_grad()
    total: Any = 0.0
    for g in firsts:
        total = total + np.sum(np.abs(g) ** 2)
    total.backward()
    seconds = torch.autograd.grad(sum((torch.abs(g) ** 2).sum() for g in others), theirs)
    for leaf, b in zip(leaves, seconds, strict=True):
        same(leaf.grad.data, values_of(b), rtol)


def values_of(t: Any) -> np.ndarray:
    return t.detach().resolve_conj().numpy()


def same(a: np.ndarray, b: np.ndarray, rtol: float) -> None:
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(initial=0), 1e-3))


TRANSFORMS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]


@for_each("norm", ["backward", "ortho", "forward"])
@for_each("n, axis", [(None, -1), (4, 0), (5, 0), (3, 1), (4, 2), (7, 2), (1, 1)])
@for_each("name", TRANSFORMS)
def test_transforms_along_one_axis(name, n, axis, norm):
    x = REAL if name in ("rfft", "ihfft") else COMPLEX
    compare(
        lambda t: getattr(np.fft, name)(t, n, axis, norm),
        lambda t: getattr(torch.fft, name)(t, n, axis, norm),
        x,
    )


@for_each("norm", ["backward", "ortho", "forward"])
@for_each("s, axes", [(None, (0, 1)), ((4, 3), (1, 2)), ((3, 6), (-1, 0)), ((5, 4), (0, 2))])
@for_each("name", ["fft", "ifft", "rfft", "irfft"])
def test_transforms_over_several_axes(name, s, axes, norm):
    x = REAL if name == "rfft" else COMPLEX
    for kind in ("n", "2"):
        compare(
            lambda t, kind=kind: getattr(np.fft, name + kind)(t, s, axes, norm),
            lambda t, kind=kind: getattr(torch.fft, name + kind)(t, s, axes, norm),
            x,
        )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_in_single_precision(name):
    x = np.float32(REAL) if name in ("rfft", "ihfft") else np.complex64(COMPLEX)
    compare(getattr(np.fft, name), getattr(torch.fft, name), x, rtol=2e-4)


@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft"])
def test_complex_transforms_of_real_numbers(name):
    compare(getattr(np.fft, name), getattr(torch.fft, name), REAL)


@pytest.mark.parametrize("axes", [None, 1, (0, 2)])
@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name, axes):
    compare(lambda t: getattr(np.fft, name)(t, axes), lambda t: getattr(torch.fft, name)(t, axes), COMPLEX)


@for_each("x", [REAL, COMPLEX], ids=["real", "complex"])
@for_each("n, axis", [(1, -1), (2, 0), (3, 1), (5, 2), (6, 0)])
def test_diff(x, n, axis):
    compare(lambda t: np.diff(t, n, axis), lambda t: torch.diff(t, n, axis), x)


def test_diff_with_ends():
    before, after = RNG.normal(size=(3, 1, 5)), RNG.normal(size=(3, 2, 5))
    compare(
        lambda t, b, a: np.diff(t, 2, 1, prepend=b, append=a),
        lambda t, b, a: torch.diff(t, 2, 1, prepend=b, append=a),
        REAL, before, after,
    )  # fmt: skip


X4, X5 = np.array([0.0, 0.5, 0.7, 2.0]), np.array([-1.0, 0.0, 0.2, 1.0, 3.0])


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("x", [REAL, COMPLEX], ids=["real", "complex"])
def test_gradient(x, edge_order):
    for spacing, axes in [((2.0, 0.5), (0, 1)), ((X4, X5), (1, 2)), ((X4,), (1,))]:
        for i in range(len(axes)):
            others = spacing if isinstance(spacing[0], float) else [torch.tensor(h) for h in spacing]
            compare(
                lambda t, s=spacing, axes=axes, i=i: (
                    np.gradient(t, *s, axis=axes, edge_order=edge_order)[i]
                    if len(axes) > 1
                    else np.gradient(t, *s, axis=axes, edge_order=edge_order)
                ),
                lambda t, s=others, axes=axes, i=i: torch.gradient(
                    t, spacing=s, dim=axes, edge_order=edge_order
                )[i],
                x,
            )


def test_trapezoid():
    compare(lambda y: np.trapezoid(y, dx=0.3, axis=1), lambda y: torch.trapezoid(y, dx=0.3, dim=1), REAL)
    compare(lambda y, x: np.trapezoid(y, x, axis=1), lambda y, x: torch.trapezoid(y, x, dim=1), REAL, X4)
    compare(np.trapezoid, torch.trapezoid, COMPLEX, np.cumsum(np.abs(REAL), axis=-1))


@pytest.mark.parametrize(("a", "v"), [(LONG, SHORT), (LONG.real, SHORT.real)], ids=["complex", "real"])
def test_convolve_and_correlate(a, v):
    """A convolution of PyTorch's is a correlation without the conjugate; padding makes the modes."""

    def correlated(a, v, padding):
        return torch.nn.functional.conv1d(a[None, None], v[None, None], padding=padding)[0, 0]

    for mode, padding in [("valid", 0), ("same", 1), ("full", 2)]:
        compare(
            lambda a, v, mode=mode: np.convolve(a, v, mode),
            lambda a, v, p=padding: correlated(a, v.flip(0), p),
            a, v,
        )  # fmt: skip
        compare(
            lambda a, v, mode=mode: np.correlate(a, v, mode),
            lambda a, v, p=padding: correlated(a, v.conj().resolve_conj(), p),
            a, v,
        )  # fmt: skip
        compare(
            lambda a, v, mode=mode: np.convolve(v, a, mode),
            lambda a, v, p=padding: correlated(a, v.flip(0), p),
            a, v,
        )  # fmt: skip


@pytest.mark.parametrize(("size", "axis"), [(1, 0), (2, 1), (4, 1), (5, 2), (3, -1)])
def test_windows(size, axis):
    compare(lambda t: sliding_window_view(t, size, axis), lambda t: t.unfold(axis, size, 1), COMPLEX)


def test_polynomials():
    powers = torch.arange(5.0, dtype=torch.float64)
    compare(np.vander, lambda x: x[:, None] ** powers.flip(0), X5 + 0.1)
    compare(lambda x: np.vander(x, 3, increasing=True), lambda x: x[:, None] ** powers[:3], LONG)
    compare(
        lambda p, x: np.polyval(p, x),
        lambda p, x: sum(c * x ** (len(p) - 1 - i) for i, c in enumerate(p)),
        SHORT, LONG,
    )  # fmt: skip


def test_characteristic_polynomial():
    """Evaluated at four places, it is the determinant there."""
    places = np.array([0.0, 0.5, 1.0, 2.0])
    compare(
        lambda a: np.polyval(np.poly(a), places),
        lambda a: torch.linalg.det(torch.tensor(places)[:, None, None] * torch.eye(3) - a),
        REAL[:3, :3, 0],
    )


def test_roots_by_their_companion_matrix():
    p = np.array([2.0, -3.0, 0.5, 1.0])

    def companion(p):
        rows = torch.cat([-p[1:] / p[0], torch.eye(3, dtype=p.dtype)[:2].flatten()])
        z = torch.linalg.eigvals(rows.reshape(3, 3))
        return z[torch.argsort(z.real.detach() + 1e-3 * z.imag.detach())]

    def sorted_roots(p):
        r = np.roots(p) + 0j
        return r[np.argsort(r.data.real + 1e-3 * r.data.imag)]

    compare(sorted_roots, companion, p, rtol=1e-9)


def test_polyfit():
    y = RNG.normal(size=5)

    def solved(y):
        powers = torch.vander(torch.tensor(X5), 3)
        return torch.linalg.lstsq(powers, y[:, None]).solution[:, 0]

    compare(lambda y: np.polyfit(X5, y, 2), solved, y, rtol=1e-9)


EMATH = [
    (np.emath.sqrt, torch.sqrt),
    (np.emath.log, torch.log),
    (np.emath.log2, torch.log2),
    (np.emath.log10, torch.log10),
    (np.emath.arcsin, torch.asin),
    (np.emath.arccos, torch.acos),
    (np.emath.arctanh, torch.atanh),
]


@pytest.mark.parametrize(("mine", "other"), EMATH)
def test_emath(mine, other):
    """Real numbers of which some make the result complex, by way of complex ones."""
    # On its cut above 1, PyTorch 2.13 gives asin and acos a gradient that differs in sign from finite differences.
    x = np.array([-3.0, -0.5, 0.3] if other in (torch.asin, torch.acos) else [-3.0, -0.5, 0.3, 2.0])
    compare(mine, lambda t: other(t.to(torch.complex128)), x)
    compare(mine, other, LONG)
    compare(mine, other, np.abs(LONG) / 10)
