"""Fourier transforms: every keyword as NumPy has it, and gradients against the transposed matrix."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

RNG = np.random.default_rng(0)
NORMS = (None, "backward", "ortho", "forward")
ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL_AXES = ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"]
OF_REAL = {"rfft", "ihfft", "rfftn", "rfft2"}


def function(name: str) -> Any:
    return getattr(np.fft, name)


def inputs(name: str, shape: tuple[int, ...]) -> list[np.ndarray]:
    """A real array; and a complex one for the functions that take it."""
    real = RNG.normal(size=shape)
    return [real] if name in OF_REAL else [real, real + 1j * RNG.normal(size=shape)]


def transposed(f: Any, x: np.ndarray, weights: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The gradient of a linear ``f``, by applying it to every unit array: exact, and slow."""
    found = np.zeros(x.shape, x.dtype)
    for place in np.ndindex(x.shape):
        for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
            e = np.zeros(x.shape, x.dtype)
            e[place] = unit
            found[place] += unit * weighed(f(e), weights)
    return found


def weighed(y: Any, weights: tuple[np.ndarray, np.ndarray]) -> Any:
    return np.sum(np.real(y) * weights[0]) + (np.sum(np.imag(y) * weights[1]) if y.dtype.kind == "c" else 0)


def same(a: np.ndarray, b: np.ndarray) -> None:
    """Equal but for the last bits, which NumPy's own transforms let depend on how an array lies in memory."""
    tolerance = 20 * np.finfo(b.dtype).eps
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=0))


def check(f: Any, x: np.ndarray) -> None:
    expected = f(x)
    leaf = tg.tensor(x, requires_grad=True)
    y = f(leaf)
    assert y.dtype == expected.dtype
    same(y.data, expected)
    weights = RNG.normal(size=(2, *expected.shape))
    weighed(y, weights).backward()
    assert leaf.grad.dtype == x.dtype
    np.testing.assert_allclose(leaf.grad.data, transposed(f, x, weights), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ONE_AXIS)
def test_lengths_even_and_odd_cropped_and_padded(name):
    for length, n in itertools.product((1, 2, 3, 4, 5), (None, 1, 2, 3, 4, 5, 6, 9)):
        if n is None and length == 1 and name in ("irfft", "hfft"):
            continue  # a signal of length 0, an error
        for x in inputs(name, (length,)):
            check(lambda x, n=n: function(name)(x, n), x)


@for_each("norm", NORMS)
@for_each("name", ONE_AXIS)
def test_axes_and_norms(name, norm):
    for axis, n in itertools.product((0, 1, 2, -1, -2, -3), (None, 3, 4)):
        for x in inputs(name, (3, 4, 2)):
            check(lambda x, n=n, axis=axis: function(name)(x, n=n, axis=axis, norm=norm), x)


SETTINGS = [
    {},
    {"axes": (0,)},
    {"axes": (-1, 0)},
    {"axes": [2, 1]},
    {"s": (3, 2), "axes": (0, 1)},
    {"s": (5, -1), "axes": (-1, 0)},
    {"s": (-1, -1), "axes": (1, 2)},
    {"s": [4], "axes": [1]},
    {"s": np.array([3, 3]), "axes": (1, 2)},
]


@for_each("norm", NORMS)
@for_each("name", SEVERAL_AXES)
def test_several_axes(name, norm):
    for settings in SETTINGS:
        for x in inputs(name, (2, 3, 3)):
            check(lambda x, s=settings: function(name)(x, norm=norm, **s), x)


@for_each("name", SEVERAL_AXES)
@for_each("settings", [{"axes": (0, 0)}, {"axes": (1, 0, 1)}, {"s": (3, 4, 2), "axes": (1, 0, -1)}])
def test_repeated_axes(name, settings):
    for x in inputs(name, (3, 4)):
        check(lambda x: function(name)(x, **settings), x)


@pytest.mark.parametrize("name", ["fftn", "ifftn"])
def test_no_axes(name):
    x = RNG.normal(size=(2, 3))
    check(lambda x: function(name)(x, axes=()), x)
    check(lambda x: function(name)(x), np.array(2.0))  # a number has none


@for_each("name", SEVERAL_AXES)
def test_what_numpy_deprecated(name):
    """Lengths without axes, or None among them: NumPy's answer, and NumPy's warning, where the call is."""
    for s, axes in [((3, 2), None), ((None, 2), (0, 1)), ((2, None), (0, 1))]:
        for x in inputs(name, (2, 3)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                check(lambda x, s=s, axes=axes: function(name)(x, s=s, axes=axes), x)
            with pytest.warns(DeprecationWarning, match="NumPy 2.0 deprecated") as found:
                function(name)(tg.tensor(x), s, axes)
            assert len(found) == 1
    with pytest.warns(DeprecationWarning, match="NumPy 2.0 deprecated") as found:
        np.fft.fftn(tg.tensor(np.ones((2, 3))), (3, 2))
    assert found[0].filename == __file__


@for_each("name", [*ONE_AXIS, *SEVERAL_AXES])
@for_each("dtype", [np.float16, np.float32, np.longdouble, np.complex64, np.clongdouble])
def test_dtypes(name, dtype):
    if name in OF_REAL and np.dtype(dtype).kind == "c":
        return
    x = RNG.normal(size=(4, 4)).astype(dtype)
    for norm in NORMS:
        expected = function(name)(x, norm=norm)
        leaf = tg.tensor(x, requires_grad=True)
        y = function(name)(leaf, norm=norm)
        assert y.dtype == expected.dtype
        same(y.data, expected)
        np.sum(np.real(y * y)).backward()
        assert leaf.grad.dtype == dtype


def test_imaginary_parts_that_are_not_used():
    """irfft takes frequency 0, and n/2 of an even length, for real: their imaginary parts get no gradient."""
    x = tg.tensor(np.array([1 + 1j, 2 + 2j, 3 + 3j]), requires_grad=True)
    np.sum(np.fft.irfft(x, 4) * [1.0, 2.0, 3.0, 4.0]).backward()
    np.testing.assert_allclose(x.grad.data, [2.5, -1 + 1j, -0.5], rtol=1e-14)
    x = tg.tensor(np.array([1 + 1j, 2 + 2j, 3 + 3j]), requires_grad=True)
    np.sum(np.fft.irfft(x, 5) * [1.0, 2.0, 3.0, 4.0, 5.0]).backward()
    assert x.grad.data[0].imag == 0
    assert x.grad.data[2].imag != 0


def test_gradients_in_numbers():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = np.fft.fft(x)
    np.sum(np.abs(y) ** 2).backward()
    np.testing.assert_allclose(x.grad.data, [6.0, 12.0, 18.0], rtol=1e-14)  # 2 n x, by Parseval
    x.zero_grad()
    np.real(np.fft.rfft(x)[1]).backward()
    np.testing.assert_allclose(x.grad.data, np.cos(2 * np.pi * np.arange(3) / 3), atol=1e-15)
    x.zero_grad()
    np.imag(np.fft.rfft(x)[1]).backward()
    np.testing.assert_allclose(x.grad.data, -np.sin(2 * np.pi * np.arange(3) / 3), atol=1e-15)


@for_each(
    "there, back",
    [
        ("fft", "ifft"),
        ("rfft", "irfft"),
        ("fftn", "ifftn"),
        ("rfftn", "irfftn"),
        ("fft2", "ifft2"),
        ("rfft2", "irfft2"),
    ],
)
@for_each("norm", NORMS)
def test_there_and_back_has_gradient_one(there, back, norm):
    x = tg.tensor(RNG.normal(size=(3, 4)), requires_grad=True)
    g = RNG.normal(size=(3, 4))
    np.real(function(back)(function(there)(x, norm=norm), norm=norm)).backward(g)
    np.testing.assert_allclose(x.grad.data, g, rtol=1e-12, atol=1e-14)


@for_each("name", ["fftshift", "ifftshift"])
@for_each("axes", [None, 0, -1, (1,), (0, 1), [0, 2], np.int64(1), (), (1, 1)])
def test_shifts(name, axes):
    for shape in [(3, 4, 5), (2, 1, 3)]:
        check(lambda x: function(name)(x, axes), RNG.normal(size=shape))
        check(lambda x: function(name)(x, axes=axes), RNG.normal(size=shape) + 1j * RNG.normal(size=shape))


def test_a_tracked_sample_spacing():
    """fftfreq takes no arrays, but divides by the spacing, which may be a Tensor."""
    d = tg.tensor(0.5, requires_grad=True)
    np.fft.fftfreq(4, d)[1].backward()
    assert d.grad.item() == -1.0  # of 1 / (4 d)


def test_power_spectrum_to_second_order():
    def f(x, w):
        return np.abs(np.fft.rfft(x * w, 6, norm="ortho")) ** 2

    assert tg.testing.gradcheck(f, RNG.normal(size=(2, 5)), RNG.normal(size=5), order=2)


def test_convolution_theorem():
    """Filtering through the spectrum has the gradients of filtering directly."""
    x, k, g = RNG.normal(size=8), RNG.normal(size=3), RNG.normal(size=10)
    found = []
    for f in (np.convolve, lambda x, k: np.fft.irfft(np.fft.rfft(x, 10) * np.fft.rfft(k, 10), 10)):
        leaves = [tg.tensor(v, requires_grad=True) for v in (x, k)]
        f(*leaves).backward(g)
        found.append(leaves)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.grad.data, b.grad.data, rtol=1e-12)


BAD = [
    lambda x: np.fft.fft(x, 0),
    lambda x: np.fft.rfft(x, -1),
    lambda x: np.fft.fft(x, axis=2),
    lambda x: np.fft.fft(x, norm="both"),
    lambda x: np.fft.hfft(x, norm="both"),
    lambda x: np.fft.ihfft(x, norm="both"),
    lambda x: np.fft.rfft(x + 1j),
    lambda x: np.fft.rfftn(x + 1j),
    lambda x: np.fft.irfft(x[:, :1]),
    lambda x: np.fft.fft(x[0, 0]),
    lambda x: np.fft.fftn(x, (2, 3), (0,)),
    lambda x: np.fft.fftn(x, axes=(0, 2)),
    lambda x: np.fft.fftn(x, axes=0),
    lambda x: np.fft.rfftn(x, axes=()),
    lambda x: np.fft.irfft2(x[0]),
    lambda x: np.fft.fftn(x, s=3, axes=(0,)),
    lambda x: np.fft.fftshift(x, 2),
    lambda x: np.fft.fftshift(x[0, 0]),
    lambda x: np.fft.fftshift(x, "a"),
    lambda x: np.fft.fft(x, unknown=1),
]


@for_each("f", BAD)
def test_what_numpy_refuses_is_refused(f):
    x = RNG.normal(size=(2, 3))
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever NumPy raises
        f(x)
    with pytest.raises(expected.type):
        f(tg.tensor(x, requires_grad=True))
