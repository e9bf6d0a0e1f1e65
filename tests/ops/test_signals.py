"""Differences, slopes, areas, convolution, windows and interpolation: NumPy's values, and gradients at the edges."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import for_each, gradients, is_refused_like_numpy, leaf, parts
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_mnist as tg
from tinygrad_mnist.errors import UnsupportedError

RNG = np.random.default_rng(0)
NAN, INF = np.nan, np.inf


def weighed(y: Any, weights: list[np.ndarray]) -> Any:
    """A real number in which every element has its own weight."""
    total: Any = 0.0
    for part, w in zip(parts(y), weights, strict=True):
        total = total + np.sum(np.real(part) * w[0])
        if part.dtype.kind == "c":
            total = total + np.sum(np.imag(part) * w[1])
    return total


def transposed(f: Any, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The gradient of a linear ``f``, by applying it to every unit array: exact, and slow."""
    found = np.zeros(x.shape, x.dtype)
    zero = weighed(f(found), weights)
    for place in np.ndindex(x.shape):
        for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
            e = np.zeros(x.shape, x.dtype)
            e[place] = unit
            found[place] += unit * (weighed(f(e), weights) - zero)
    return found


def check_linear(f: Any, x: np.ndarray) -> None:
    """``f`` has NumPy's value, and the gradient that follows from its being linear (plus a constant)."""
    expected = parts(f(x))
    t = leaf(x)
    result = f(t)
    assert isinstance(result, tuple) == isinstance(f(x), tuple)
    for y, value in zip(parts(result), expected, strict=True):
        assert (y.shape, y.dtype) == (np.shape(value), value.dtype)
        np.testing.assert_allclose(y.data, value, rtol=1e-13, atol=1e-14)
    weights = [RNG.normal(size=(2, *np.shape(value))) for value in expected]
    weighed(result, weights).backward()
    assert t.grad.dtype == x.dtype
    np.testing.assert_allclose(t.grad.data, transposed(f, x, weights), rtol=1e-12, atol=1e-13)


# -- diff ----------------------------------------------------------------------------------------


@for_each("n", [0, 1, 2, 3, 4, 7])
@for_each("axis", [0, 1, -1, -2])
def test_diff(n, axis):
    x = RNG.normal(size=(3, 4))
    check_linear(lambda x: np.diff(x, n, axis), x)
    check_linear(lambda x: np.diff(x, n=n, axis=axis, prepend=0, append=np.ones((3, 4))), x)
    check_linear(lambda x: np.diff(x, n=n, axis=axis, append=2.5), x + 1j * RNG.normal(size=(3, 4)))


def test_diff_in_numbers():
    assert gradients(np.diff, [1.0, 5.0, 2.0], seed=[10.0, 3.0]) == [-10.0, 7.0, 3.0]
    assert gradients(lambda x: np.diff(x, 2), [1.0, 5.0, 2.0]) == [1.0, -2.0, 1.0]
    a, before, after = gradients(
        lambda a, p, q: np.diff(a, prepend=p, append=q), [[1.0, 2.0], [3.0, 4.0]], 5.0, [[6.0], [7.0]]
    )
    assert a == [[0.0, 0.0], [0.0, 0.0]]
    assert before == -2.0  # a number is prepended to each row
    assert after == [[1.0], [1.0]]


def test_diff_of_constants_with_what_is_tracked_at_the_ends():
    end = leaf(3.0)
    y = np.diff(np.array([1.0, 2.0]), append=end)
    y.backward([1.0, 5.0])
    assert y.tolist() == [1.0, 1.0]
    assert end.grad.item() == 5.0
    y = np.diff([1, 2], prepend=end)  # a list
    assert y.tolist() == [-2.0, 1.0]


def test_diff_to_nothing():
    x = leaf(np.ones((2, 1)))
    y = np.diff(x)
    assert y.shape == (2, 0)
    np.sum(y).backward()
    assert x.grad.tolist() == [[0.0], [0.0]]
    assert np.diff(leaf(np.ones(0))).shape == (0,)


def test_diff_keeps_float32_unless_numpy_does_not():
    x = leaf([1.0, 2.0, 4.0], np.float32)
    assert np.diff(x, 2).dtype == np.float32
    assert np.diff(x, prepend=np.float32(0)).dtype == np.float32
    assert np.diff(x, prepend=0.5).dtype == np.diff(x.data, prepend=0.5).dtype == np.float64


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.diff(x, -1),
        lambda x: np.diff(x, axis=2),
        lambda x: np.diff(x[0, 0]),
        lambda x: np.diff(x, prepend=np.ones(2)),
        lambda x: np.diff(x, append=np.ones((3, 1))),
        lambda x: np.diff(x, unknown=1),
    ],
)
def test_bad_diff(f):
    is_refused_like_numpy(f, RNG.normal(size=(2, 3)))


def test_ediff1d():
    x = RNG.normal(size=(2, 3))
    check_linear(np.ediff1d, x)
    check_linear(lambda x: np.ediff1d(x, to_end=5.0), x)
    check_linear(lambda x: np.ediff1d(x, 5.0, [[1.0, 2.0]]), x)
    check_linear(lambda x: np.ediff1d(x, to_begin=7), x[0] + 1j)
    check_linear(np.ediff1d, x[:1, :1])
    check_linear(lambda x: np.ediff1d(x, to_begin=1.0), x[:0])
    assert gradients(
        lambda x, end, begin: np.ediff1d(x, end, begin), [1.0, 2.0], [3.0, 4.0], 5.0, seed=[1, 2, 3, 4]
    ) == [
        [-2.0, 2.0],
        [3.0, 4.0],
        1.0,
    ]
    y = np.ediff1d(leaf([1.0, 2.0], np.float32), to_end=np.float64(1.5))
    assert y.dtype == np.float32  # NumPy writes the ends into an array of the first's dtype
    is_refused_like_numpy(lambda x: np.ediff1d(x, to_end=1j), x)


# -- unwrap --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"axis": 0},
        {"discont": 4.0},
        {"period": 2.0},
        {"period": 3, "axis": -2},
        {"period": np.float32(2)},
    ],
)
def test_unwrap(settings):
    p = RNG.uniform(-9, 9, size=(4, 5))
    t = leaf(p)
    y = np.unwrap(t, **settings)
    np.testing.assert_array_equal(y.data, np.unwrap(p, **settings))
    g = RNG.normal(size=y.shape)
    y.backward(g)
    np.testing.assert_array_equal(t.grad.data, g)
    small = leaf(p, np.float32)
    assert np.unwrap(small, **settings).dtype == np.unwrap(small.data, **settings).dtype


def test_unwrap_by_its_period():
    """As many periods are added as the phase has turned."""
    period = leaf(1.0)
    y = np.unwrap(tg.tensor([0.0, 0.9, 0.1, 2.4]), period=period)
    np.testing.assert_allclose(y.data, [0.0, -0.1, 0.1, 0.4])
    y.backward([1.0, 10.0, 100.0, 1000.0])
    assert period.grad.item() == -2010.0


# -- gradient ------------------------------------------------------------------------------------

UNEVEN = {
    3: np.array([0.0, 0.3, 1.1]),
    4: np.array([0.0, 0.5, 0.7, 2.0]),
    5: np.array([-1.0, 0.0, 0.2, 1.0, 3.0]),
}


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("kind", [float, complex])
def test_gradient_by_its_values(edge_order, kind):
    f = RNG.normal(size=(3, 4, 5)).astype(kind)
    f = f + 1j * RNG.normal(size=f.shape) if kind is complex else f
    for spacing, axis in [
        ((), None),
        ((), 1),
        ((), (2, 0)),
        ((0.5,), None),
        ((0.5,), -1),
        ((2,), (0, 1)),
        ((0.5, 2.0, 3), None),
        ((UNEVEN[4],), 1),
        ((UNEVEN[5], 0.5), (2, 0)),
        ((UNEVEN[3], np.arange(4), [0, 1, 3, 4, 6]), None),
        ((np.linspace(0, 1, 4),), (-2,)),  # evenly spaced coordinates
    ]:
        check_linear(lambda f, s=spacing, axis=axis: np.gradient(f, *s, axis=axis, edge_order=edge_order), f)


def test_gradient_of_few_elements():
    check_linear(np.gradient, np.array([1.0, 4.0]))
    check_linear(lambda f: np.gradient(f, [0.0, 3.0]), np.array([1.0, 4.0]))
    check_linear(lambda f: np.gradient(f, [0.0, 3.0, 4.0], edge_order=2), np.array([1.0, 4.0, 2.0]))
    assert np.gradient(leaf(np.ones((3, 3))), axis=()) == ()


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("coordinates", [UNEVEN[4], np.arange(4.0)], ids=["uneven", "even"])
def test_gradient_by_its_coordinates(edge_order, coordinates):
    """Evenly spaced or not, each coordinate has its own gradient."""

    def slopes(f, x, h):
        return np.gradient(f, x, h, edge_order=edge_order)

    f = RNG.normal(size=(4, 3))
    for y, expected in zip(
        slopes(leaf(f), leaf(coordinates), leaf(0.5)),
        np.gradient(f, coordinates, 0.5, edge_order=edge_order),
        strict=True,
    ):
        np.testing.assert_allclose(y.data, expected, rtol=1e-13, atol=1e-14)
    assert tg.testing.gradcheck(slopes, f, coordinates, np.array(0.5), order=2)


def test_gradient_in_numbers():
    """Of the first slope, (f1 - f0) / (x1 - x0), by the coordinates."""
    _, x = gradients(lambda f, x: np.gradient(f, x)[0], [1.0, 3.0, 3.0, 5.0], [0.0, 2.0, 4.0, 6.0])
    assert x == [0.5, -0.5, 0.0, 0.0]
    assert gradients(lambda f: np.gradient(f)[2], [1.0, 3.0, 3.0, 5.0]) == [0.0, -0.5, 0.0, 0.5]


def test_gradient_of_constants_by_a_tracked_spacing():
    h = leaf(2.0)
    y = np.gradient(np.array([1, 3, 9]), h)  # integers
    assert y.tolist() == [1.0, 2.0, 3.0]
    y.backward([1.0, 0.0, 0.0])
    assert h.grad.item() == -0.5
    x = leaf([0.0, 1.0, 3.0])
    np.testing.assert_allclose(np.gradient([1, 3, 9], x).data, np.gradient([1, 3, 9], x.data), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_gradient_keeps_the_dtype(dtype):
    f = leaf(RNG.normal(size=4), dtype)
    for spacing in [(), (0.5,), (np.float64(0.5),), (np.array(0.5),), (UNEVEN[4],), (np.arange(4),)]:
        y = np.gradient(f, *spacing)
        expected = np.gradient(f.data, *spacing)
        assert y.dtype == expected.dtype == dtype
        np.testing.assert_allclose(y.data, expected, rtol=10 * max(np.finfo(dtype).eps, 1e-16))


@for_each(
    "f",
    [
        lambda x: np.gradient(x, edge_order=3),
        lambda x: np.gradient(x, edge_order=2),
        lambda x: np.gradient(x, 1.0, 2.0, 3.0),
        lambda x: np.gradient(x, 1.0, axis=2),
        lambda x: np.gradient(x, axis=(0, 0)),
        lambda x: np.gradient(x, [1.0, 2.0], axis=1),
        lambda x: np.gradient(x, np.ones((2, 3)), axis=0),
        lambda x: np.gradient(x[:1], axis=0),
        lambda x: np.gradient(x, h=1.0),
    ],
)
def test_bad_gradient(f):
    is_refused_like_numpy(f, RNG.normal(size=(2, 3)))


# -- trapezoid -----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_trapezoid_by_its_values(axis):
    y = RNG.normal(size=(3, 4))
    check_linear(lambda y: np.trapezoid(y, axis=axis), y)
    check_linear(lambda y: np.trapezoid(y, dx=0.5, axis=axis), y)
    check_linear(lambda y: np.trapezoid(y, UNEVEN[y.shape[axis]], axis=axis), y)
    check_linear(lambda y: np.trapezoid(y, np.arange(y.shape[axis]), axis=axis), y)
    check_linear(lambda y: np.trapezoid(y, np.cumsum(np.ones((3, 4)), axis), 7.0, axis), y + 1j * y[::-1])


def test_trapezoid_in_numbers():
    y, x = gradients(np.trapezoid, [1.0, 3.0, 2.0], [0.0, 1.0, 3.0])
    assert y == [0.5, 1.5, 1.0]
    assert x == [-2.0, -0.5, 2.5]
    assert gradients(lambda y, dx: np.trapezoid(y, dx=dx), [1.0, 3.0, 2.0], 2.0) == [[1.0, 2.0, 1.0], 4.5]
    x = leaf([0.0, 1.0, 3.0])
    area = np.trapezoid([1, 3, 2], x)
    assert area.item() == 7.0
    area.backward()
    assert x.grad.tolist() == [-2.0, -0.5, 2.5]
    assert gradients(np.trapezoid, [5.0]) == [0.0]  # a single point has no area


def test_trapezoid_dtypes():
    y = leaf([1.0, 2.0], np.float32)
    for x, dx in [(None, 1.0), (None, np.float64(1.0)), ([0, 1], 1.0), (np.float32([0, 1]), 1.0)]:
        assert np.trapezoid(y, x, dx).dtype == np.trapezoid(y.data, x, dx).dtype


@pytest.mark.parametrize(
    "f",
    [
        lambda y: np.trapezoid(y, [1.0, 2.0, 3.0, 4.0]),
        lambda y: np.trapezoid(y, axis=2),
        lambda y: np.trapezoid(y[0, 0]),
    ],
)
def test_bad_trapezoid(f):
    is_refused_like_numpy(f, RNG.normal(size=(2, 3)))


# -- convolve and correlate ----------------------------------------------------------------------

MODES = ["full", "same", "valid"]


@pytest.mark.parametrize("f", [np.convolve, np.correlate])
@pytest.mark.parametrize("mode", MODES)
def test_convolve_and_correlate_at_all_lengths(f, mode):
    """Even and odd lengths, the longer one first or second, real and complex: the transposed matrix is exact."""
    for n, m in itertools.product(range(1, 6), repeat=2):
        a, v = RNG.normal(size=n), RNG.normal(size=m)
        for a, v in [(a, v), (a + 1j * RNG.normal(size=n), v - 1j * RNG.normal(size=m)), (a, v + 1j)]:  # noqa: B020
            check_linear(lambda a, v=v: f(a, v, mode), a)
            # correlate is conjugate-linear in its second argument, which is linear all the same over the reals
            check_linear(lambda v, a=a: f(a, v, mode=mode), v)


@pytest.mark.parametrize("f", [np.convolve, np.correlate])
def test_convolve_and_correlate_defaults_and_values(f):
    a, v = RNG.normal(size=5) + 1j, RNG.normal(size=3) * 1j
    np.testing.assert_array_equal(f(leaf(a), v).data, f(a, v))
    np.testing.assert_array_equal(f(a, leaf(v)).data, f(a, v))
    np.testing.assert_array_equal(f(leaf(a), leaf(v), 2).data, f(a, v, 2))  # a mode by number
    np.testing.assert_array_equal(f(leaf(a), [1, 2]).data, f(a, [1, 2]))
    t = leaf(a)
    np.testing.assert_array_equal(f(t, t).data, f(a, a))


def test_convolve_in_numbers():
    assert gradients(np.convolve, [1.0, 2.0, 3.0], [10.0, 1.0], seed=[1, 2, 3, 4]) == [
        [12.0, 23.0, 34.0],
        [14.0, 20.0],
    ]
    assert gradients(lambda a: np.convolve(a, 2.0), [1.0, 2.0]) == [2.0, 2.0]  # a number
    assert gradients(lambda v: np.convolve([1.0, 2.0], v), 3.0) == 3.0
    x = leaf([1.0, 2.0])
    np.sum(np.convolve(x, x)).backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_correlate_conjugates_its_second_argument():
    """PyTorch's convention: the gradient of |c|² by a complex number points where |c|² grows."""
    a, v = leaf(np.array([1 + 2j])), leaf(np.array([3 - 1j]))
    np.sum(np.abs(np.correlate(a, v)) ** 2).backward()
    np.testing.assert_allclose(a.grad.data, 2 * 10 * a.data)  # |c|² = |a|² |v|²
    np.testing.assert_allclose(v.grad.data, 2 * 5 * v.data)


@pytest.mark.parametrize("f", [np.convolve, np.correlate])
def test_convolve_and_correlate_keep_float32(f):
    a, v = leaf([1.0, 2.0, 4.0], np.float32), leaf([1.0, 2.0], np.float32)
    y = f(a, v)
    assert y.dtype == np.float32
    np.sum(y).backward()
    assert a.grad.dtype == v.grad.dtype == np.float32


def test_a_long_filter_costs_no_more_backward():
    """In mode "valid" two equal lengths meet once; going back must not take their product."""
    a, v = leaf(RNG.normal(size=200_000)), leaf(RNG.normal(size=200_000))
    np.convolve(a, v, "valid").backward([2.0])  # 4e10 multiplications would take a minute
    np.testing.assert_array_equal(a.grad.data, 2 * v.data[::-1])
    np.testing.assert_array_equal(v.grad.data, 2 * a.data[::-1])


@for_each(
    "f",
    [
        lambda x: np.convolve(x, np.ones((2, 2))),
        lambda x: np.convolve(x, []),
        lambda x: np.convolve(x[:0], x),
        lambda x: np.convolve(x, x, "all"),
        lambda x: np.convolve(x, x, 5),
        lambda x: np.correlate(x, np.ones((2, 2))),
        lambda x: np.correlate(x, 2.0),
        lambda x: np.correlate(x, []),
        lambda x: np.correlate(x[:0], x),
        lambda x: np.correlate(x, x, "all"),
    ],
)
def test_bad_convolve_and_correlate(f):
    is_refused_like_numpy(f, np.array([1.0, 2.0]))


# -- sliding windows -----------------------------------------------------------------------------


@for_each(
    "shape, window, axis",
    [
        ((5,), 1, None),
        ((5,), 3, None),
        ((5,), 5, 0),
        ((5,), (2,), -1),
        ((3, 4), (2, 3), None),
        ((3, 4), [1, 2], None),
        ((3, 4), 2, 0),
        ((3, 4), (2, 2), (1, 1)),
        ((3, 4), (2, 2), (1, 0)),
        ((2, 3, 4), (3, 2), (-1, -3)),
        ((3,), 0, None),
    ],
)
def test_sliding_window_view(shape, window, axis):
    x = RNG.normal(size=shape)
    check_linear(lambda x: sliding_window_view(x, window, axis), x)
    check_linear(
        lambda x: np.lib.stride_tricks.sliding_window_view(x, window_shape=window, axis=axis), x + 1j
    )


def test_sliding_windows_in_numbers():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    y = sliding_window_view(x, 3, subok=False, writeable=False)
    assert y.tolist() == [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    y.backward([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    assert x.grad.tolist() == [1.0, 12.0, 23.0, 30.0]
    with pytest.raises(ValueError, match="read-only"):
        y.data[0, 0] = 5.0


def test_moving_average_and_maximum():
    x = RNG.normal(size=(2, 6))
    assert tg.testing.gradcheck(lambda x: np.max(sliding_window_view(x, 3, axis=1), axis=-1), x, order=2)
    assert tg.testing.gradcheck(
        lambda x: np.mean(sliding_window_view(x, 3, axis=1) ** 2, axis=-1), x, order=2
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda x: sliding_window_view(x, 4, 0),
        lambda x: sliding_window_view(x, (2, 3), (0, 0)),
        lambda x: sliding_window_view(x, -1, 0),
        lambda x: sliding_window_view(x, 2),
        lambda x: sliding_window_view(x, (1, 2), 0),
        lambda x: sliding_window_view(x, 2, 2),
        lambda x: sliding_window_view(x, 2, 0, unknown=1),
    ],
)
def test_bad_windows(f):
    is_refused_like_numpy(f, RNG.normal(size=(3, 4)))


def test_windows_that_could_be_written_are_refused():
    with pytest.raises(UnsupportedError, match="writeable=True"):
        sliding_window_view(leaf([1.0, 2.0]), 1, writeable=True)


# -- interp --------------------------------------------------------------------------------------

XP, FP = np.array([0.0, 1.0, 3.0]), np.array([10.0, 20.0, 0.0])


def test_interp_values():
    fp = np.array([1 + 1j, 2, -3j])
    for x in (
        0.5,
        np.float32(2.5),
        np.linspace(-1, 4, 11),
        np.array([[0, 1], [3, 2]]),
        [0.1, 7.0],
        np.ones(0),
        NAN,
    ):
        for settings in (
            {},
            {"left": -1.0},
            {"right": 5},
            {"left": NAN, "right": NAN},
            {"period": 2.5},
            {"period": -4},
            {"period": np.float32(1.5), "left": 3.0},
        ):
            for xp, values in ((XP, FP), ([0, 1, 3], [1, 5, 2]), (XP, fp), (XP[:1], FP[:1]), ([0, 1, 1], FP)):
                expected = np.interp(x, xp, values, **settings)
                for y in (
                    np.interp(tg.tensor(x, dtype=float, requires_grad=True), xp, values, **settings),
                    np.interp(x, tg.tensor(xp, dtype=float, requires_grad=True), values, **settings),
                    np.interp(
                        x,
                        xp,
                        leaf(np.asarray(values, np.result_type(np.asarray(values), np.float64))),
                        **settings,
                    ),
                ):
                    assert (y.shape, y.dtype) == (np.shape(expected), np.asarray(expected).dtype)
                    np.testing.assert_array_equal(y.data, expected)
    np.testing.assert_array_equal(np.interp([-1.0, 9.0], XP, leaf(fp), 1j, 2 + 1j).data, [1j, 2 + 1j])


def test_interp_on_the_knots():
    """A knot belongs to the segment on its right, the last one to that on its left; beyond, nothing slopes."""
    x, xp, fp = gradients(np.interp, [-1.0, 0.0, 1.0, 3.0, 4.0], XP, FP)
    assert x == [0.0, 10.0, -10.0, -10.0, 0.0]
    assert xp == [-10.0, 10.0, 10.0]
    assert fp == [2.0, 1.0, 2.0]


def test_interp_between_the_knots():
    x, xp, fp = gradients(np.interp, 1.5, XP, FP)
    assert x == -10.0
    assert xp == [0.0, 7.5, 2.5]
    assert fp == [0.0, 0.75, 0.25]


def test_interp_left_and_right():
    x, fp, left, right = gradients(
        lambda x, fp, left, right: np.interp(x, XP, fp, left, right),
        [-1.0, -2.0, 0.0, 3.0, 4.0],
        FP,
        7.0,
        8.0,
        seed=[1, 2, 10, 100, 1000],
    )
    assert x == [0.0, 0.0, 100.0, -1000.0, 0.0]
    assert fp == [10.0, 0.0, 100.0]
    assert (left, right) == (3.0, 1000.0)


def test_interp_where_knots_coincide():
    """A jump: its value is that of the right knot, which gets the gradient; there is no slope, and no NaN."""
    x, xp, fp = gradients(np.interp, [1.0, 0.5, 2.0], [0.0, 1.0, 1.0, 2.0], [0.0, 4.0, 6.0, 8.0])
    assert x == [2.0, 4.0, 2.0]
    assert xp == [-2.0, -2.0, -2.0, -2.0]
    assert fp == [0.5, 0.5, 1.0, 1.0]
    x, xp, fp = gradients(np.interp, [1.0, 2.0], [0.0, 1.0, 1.0], [0.0, 4.0, 6.0])  # a jump at the end
    assert (x, xp, fp) == ([0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0])
    x, xp, fp = gradients(np.interp, [0.0, 1.0, 1.5], [1.0, 1.0, 2.0], [4.0, 6.0, 8.0])  # and at the start
    assert (x, fp) == ([0.0, 2.0, 2.0], [1.0, 1.5, 0.5])


def test_interp_of_one_knot():
    assert gradients(np.interp, [0.0, 1.0, 2.0], [1.0], [5.0]) == [[0.0, 0.0, 0.0], [0.0], [3.0]]


def test_interp_of_nothing():
    x, fp = leaf(np.ones(0)), leaf(FP)
    np.sum(np.interp(x, XP, fp)).backward()
    assert x.grad.shape == (0,)
    assert fp.grad.tolist() == [0.0, 0.0, 0.0]


def test_interp_at_nan():
    """The value is NaN whatever the knots are: they have no gradient, and no NaN."""
    x, xp, fp = gradients(np.interp, [NAN, 0.5], XP, FP)
    assert (x, xp, fp) == ([0.0, 10.0], [-5.0, -5.0, 0.0], [0.5, 0.5, 0.0])


def test_interp_with_infinite_knots():
    """NumPy avoids 0 * inf; where the values are finite the gradients are."""
    assert gradients(lambda x: np.interp(x, XP, [INF, 1.0, 2.0]), [1.5, 3.0]) == [0.5, 0.5]


def test_interp_periodic_in_numbers():
    """Between the last knot and the first of the next period."""
    x, xp, fp, period = gradients(
        lambda x, xp, fp, period: np.interp(x, xp, fp, period=period), 3.5, XP, FP, 4.0
    )
    assert x == 10.0
    assert xp == [-5.0, 0.0, -5.0]
    assert fp == [0.5, 0.0, 0.5]
    assert period == -5.0


def test_interp_to_second_order():
    x, fp = np.array([-0.7, 0.3, 0.8, 1.9, 2.6]), np.array([1 + 2j, -1.0, 3j])
    assert tg.testing.gradcheck(np.interp, x, XP, FP, order=2)
    assert tg.testing.gradcheck(np.interp, x, XP, fp, order=2)
    assert tg.testing.gradcheck(lambda x, xp, fp, p: np.interp(x, xp, fp, period=p), x, XP, fp, 3.9, order=2)


def test_interp_gradients_have_the_dtypes_of_the_inputs():
    x, xp, fp = (leaf(v, np.float32) for v in ([0.5, 2.0], XP, FP))
    y = np.interp(x, xp, fp)
    assert y.dtype == np.float64  # as NumPy's
    np.sum(y).backward()
    assert x.grad.dtype == xp.grad.dtype == fp.grad.dtype == np.float32


@for_each(
    "f",
    [
        lambda x: np.interp(x, XP, FP[:2]),
        lambda x: np.interp(x, XP, FP, period=0),
        lambda x: np.interp(x, XP, FP[:2], period=2),
        lambda x: np.interp(x, np.ones((2, 2)), np.ones((2, 2))),
        lambda x: np.interp(x, np.ones((2, 2)), np.ones((2, 2)), period=2.0),
        lambda x: np.interp(x, [], []),
        lambda x: np.interp(x + 1j, XP, FP),
        lambda x: np.interp(x, XP, FP, left=1j),
        lambda x: np.interp(x, XP, FP, unknown=1),
    ],
)
def test_bad_interp(f):
    is_refused_like_numpy(f, np.array([1.0, 2.0]))
