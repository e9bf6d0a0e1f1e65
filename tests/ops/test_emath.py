"""np.emath: real where it can be, complex where it has to be, and gradients on the right side of the cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

UNARY = ["sqrt", "log", "log2", "log10", "arcsin", "arccos", "arctanh"]
REAL = [[0.2, 0.5], [-3.0, 0.5], [2.0, -0.5], [-2.0, 0.3, 3.0], 0.4, -2.5, []]
EDGES = [np.array(x) for x in REAL] + [np.array([0.3 + 0j, -2.0, 1 + 1j]), np.array([1j])]


@for_each("name", UNARY)
@for_each(
    "dtype", [np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128, np.clongdouble]
)
def test_values_and_dtypes(name, dtype):
    f = getattr(np.emath, name)
    for values in EDGES:
        if values.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            continue
        x = values.astype(dtype)
        expected, t = f(x), tg.tensor(x, requires_grad=True)
        y = f(t)
        assert (y.shape, y.dtype) == (np.shape(expected), expected.dtype)
        np.testing.assert_array_equal(y.data, expected)
        np.sum(np.real(y)).backward()
        assert (t.grad.shape, t.grad.dtype) == (x.shape, dtype)


@pytest.mark.parametrize("name", UNARY)
def test_gradients(name):
    for x in EDGES:
        if x.dtype.kind == "c":  # finite differences must not step across a cut
            x = x[x.imag != 0]
        assert tg.testing.gradcheck(getattr(np.emath, name), x, order=2)


def test_gradients_in_numbers():
    x = tg.tensor([-4.0, 4.0], requires_grad=True)
    y = np.emath.sqrt(x)
    assert y.tolist() == [2j, 2.0]
    np.imag(y).backward([1.0, 1.0])
    assert x.grad.tolist() == [-0.25, 0.0]
    x = tg.tensor(2.0, requires_grad=True)
    np.imag(np.emath.arcsin(x)).backward()
    assert x.grad.item() == pytest.approx(1 / np.sqrt(3))


def test_logn():
    for n, x in [(2, [4.0, -8.0]), (2.0, [4.0, 8.0]), ([3.0, -2.0], [4.0, 8.0]), (-2.0, 3.0)]:
        expected = np.emath.logn(n, x)
        for y in (
            np.emath.logn(n, tg.tensor(x, requires_grad=True)),
            np.emath.logn(tg.tensor(n, dtype=float, requires_grad=True), x),
        ):
            assert (y.shape, y.dtype) == (np.shape(expected), expected.dtype)
            np.testing.assert_allclose(y.data, expected, rtol=1e-15)
        assert tg.testing.gradcheck(np.emath.logn, np.asarray(n, float), np.asarray(x), order=2)


def test_power():
    cases: list[Any] = [
        (2.0, 3), ([2.0, 4.0], -2), ([-2.0, 4.0], 2), ([-2.0, 4.0], 0.5), ([2.0, 4.0], [2, -4]), ([2.0], [1j]),
        (-1.5, -2.5),
    ]  # fmt: skip
    for x, p in cases:
        for dtype in (np.float32, np.float64) if np.ndim(p) else (np.float64,):
            value = np.asarray(x, dtype)
            expected, y = np.emath.power(value, p), np.emath.power(tg.tensor(value, requires_grad=True), p)
            assert (y.shape, y.dtype) == (np.shape(expected), expected.dtype)
            np.testing.assert_allclose(
                y.data, expected, rtol=1e-6 if y.dtype in (np.float32, np.complex64) else 1e-14
            )
        assert tg.testing.gradcheck(lambda x, p=p: np.emath.power(x, p), value, order=2)
        assert tg.testing.gradcheck(
            np.emath.power, value, np.asarray(p, np.result_type(np.asarray(p), float)), order=2
        )


@pytest.mark.parametrize("f", [np.arcsin, np.arccos, np.arccosh, np.arcsinh])
def test_inverses_of_complex_numbers_in_all_quadrants(f):
    """The derivative is that of the branch the value is on, beside the cuts and on them."""
    x = np.array([2 + 1j, -2 + 1j, -2 - 1j, 2 - 1j, 0.1 + 3j, -0.1 - 3j, 1e-9 + 2j, -1e-9 + 2j, 0.5 + 1e-9j])
    apart = x[np.abs(x.real) > 1e-6] if f is np.arcsinh else x[np.abs(x.imag) > 1e-6]
    assert tg.testing.gradcheck(f, apart, order=2)
    z = 2.0 if f is not np.arccosh else -2.0
    assert tg.testing.gradcheck(lambda t: f(t + (0j if f is not np.arcsinh else 3j)), np.array(z))
