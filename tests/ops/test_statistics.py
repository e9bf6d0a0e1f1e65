"""Reductions, running sums, averages, spreads and counts: every keyword, every edge."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from helpers import check_cases, for_each, gradient, leaf, parts, some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DTypeError, GradientError, ShapeError, UnsupportedError
from tinygrad_mnist.ops.accumulations import cummax, cummin, logcumsumexp

RNG = np.random.default_rng(0)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
HOLES = np.where(RNG.random((3, 4)) < 0.3, np.nan, M)
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, True, True]])
ROW = np.array([True, False, True, True])
NAN, INF = math.nan, math.inf
NO_NUMBERS = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def second(f, x):
    """The second derivative of the sum of ``f`` along a direction of ones."""
    t = leaf(np.asarray(x, float))
    np.sum(f(t)).backward(create_graph=True)
    g = t.grad
    t.zero_grad()
    g.sum().backward()
    return t.grad.data


def assert_numpys(f, *values):
    """``f`` of Tensors is ``f`` of arrays: in values, shapes and dtypes, for every result."""
    expected = parts(f(*values))
    found = parts(f(*(tg.tensor(v, requires_grad=v.dtype.kind in "fc") for v in values)))
    assert len(found) == len(expected)
    precisions = {v.dtype for v in values}
    for y, value in zip(found, expected, strict=True):
        assert isinstance(y, tg.Tensor)
        assert (y.shape, y.dtype) == (np.shape(value), np.asarray(value).dtype)
        tolerance = max(
            (20 * float(np.finfo(d).eps) for d in precisions | {y.dtype} if d.kind in "fc"), default=0
        )
        np.testing.assert_allclose(y.data, value, rtol=tolerance, atol=tolerance)


# -- values: every keyword, by name and by position ------------------------------------------------

SUMS = {
    "plain": lambda f: f,
    "axis": lambda f: lambda a: f(a, 1),
    "axes": lambda f: lambda a: f(a, axis=(0, -1), keepdims=True),
    "no axes": lambda f: lambda a: f(a, axis=()),
    "dtype": lambda f: lambda a: f(a, 0, np.complex128),
    "out=None": lambda f: lambda a: f(a, 0, None, None, True),
    "where": lambda f: lambda a: f(a, where=MASK),
    "where row": lambda f: lambda a: f(a, axis=-1, where=ROW, keepdims=True),
    "where False": lambda f: lambda a: f(a, where=True, axis=0),
}
INITIAL = {
    "initial": lambda f: lambda a: f(a, axis=0, initial=0.75),
    "initial 64": lambda f: lambda a: f(a, axis=0, initial=np.float64(0.75)),
    "initial, where": lambda f: lambda a: f(a, 1, None, None, False, 0.75, MASK),
    "dtype, where": lambda f: lambda a: f(a, dtype=np.float64, where=MASK, axis=0),
}
EXTREMES = {
    "axis": lambda f: lambda a: f(a, 1),
    "axes": lambda f: lambda a: f(a, axis=(0, -1), keepdims=True),
    "by position": lambda f: lambda a: f(a, 0, None, True),
    "initial": lambda f: lambda a: f(a, axis=0, initial=0.2),
    "where": lambda f: lambda a: f(a, axis=1, initial=0.2, where=MASK),
    "where row": lambda f: lambda a: f(a, where=ROW, initial=-0.2, keepdims=True),
}
SPREADS = {
    "plain": lambda f: f,
    "by position": lambda f: lambda a: f(a, 0, None, None, 1, True),
    "dtype": lambda f: lambda a: f(a, axis=1, dtype=np.complex128 if a.dtype.kind == "c" else np.float64),
    "correction": lambda f: lambda a: f(a, axis=0, correction=1),
    "correction 0": lambda f: lambda a: f(a, axis=0, correction=0, ddof=0),
    "where": lambda f: lambda a: f(a, axis=0, where=MASK),
    "where, ddof": lambda f: lambda a: f(a, axis=1, where=ROW, ddof=0.5, keepdims=True),
    "mean": lambda f: lambda a: f(a, axis=1, mean=np.array([[0.5], [1.0], [0.0]])),
    "mean, where": lambda f: lambda a: f(a, axis=(0, 1), mean=np.array([[0.5]]), where=MASK, ddof=1),
}
RUNNING = {
    "plain": lambda f: f,
    "axis": lambda f: lambda a: f(a, 1),
    "last axis": lambda f: lambda a: f(a, axis=-1),
    "dtype": lambda f: lambda a: f(a, 0, np.complex128, None),
}
COMPLETE = [
    *((f, SUMS | INITIAL) for f in (np.sum, np.prod, np.nansum, np.nanprod)),
    *((f, SUMS) for f in (np.mean, np.nanmean)),
    *((f, EXTREMES) for f in (np.max, np.amax, np.min, np.amin, np.nanmax, np.nanmin)),
    *((f, SPREADS) for f in (np.var, np.std, np.nanvar, np.nanstd)),
    *((f, RUNNING) for f in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod)),
]
CALLS = [
    pytest.param(f, form, id=f"{f.__name__} {name}") for f, forms in COMPLETE for name, form in forms.items()
]


@NO_NUMBERS
@for_each("f, forms", [pytest.param(f, forms, id=f.__name__) for f, forms in COMPLETE])
def test_values_with_every_keyword(f, forms):
    dtypes = ["f8", "f4", "f2", "c8", "i4", "?"]
    cases = ((f"{f.__name__} {name} {d}", f, form, d) for name, form in forms.items() for d in dtypes)
    check_cases(check_values, cases)


def check_values(f, form, dtype):
    a = (M * (1 + 0.5j) if dtype == "c8" else M * 4 if dtype == "i4" else M).astype(dtype)
    call = form(f)
    try:
        call(a)
    except TypeError:
        with pytest.raises(TypeError):
            call(tg.tensor(a))
    else:
        assert_numpys(call, a)


@NO_NUMBERS
@for_each("f, form", [p for p in CALLS if "nan" in p.id])
def test_values_with_nan_among_them(f, form):
    assert_numpys(form(f), HOLES)
    assert_numpys(form(f), HOLES + 1j * M)
    assert_numpys(form(f), np.full((3, 4), NAN))


@NO_NUMBERS
@some_or_all
def test_gradients_with_every_keyword(are_all):
    check_cases(check_gradients, ((case.id, *case.values) for case in CALLS[:: 1 if are_all else 3]))


def check_gradients(f, form):
    call = form(f)
    a = HOLES if "nan" in f.__name__ else M
    masked = np.isnan(a)

    def of_numbers(x):
        y = np.real(call(np.where(masked, NAN, x)))
        return np.where(np.isnan(y), 0, y)

    assert tg.testing.gradcheck(of_numbers, np.nan_to_num(a), order=2)


AXES = [None, 0, -1, (0, 2), (1,), (0, 1, 2)]


@for_each("keepdims", [False, True])
@for_each("axis", AXES)
@for_each(
    "f",
    [
        np.sum,
        np.mean,
        np.max,
        np.min,
        np.prod,
        np.var,
        np.std,
        np.ptp,
        np.nansum,
        np.nanvar,
        np.nanmax,
        np.average,
    ],
)
def test_any_axes_of_a_cube(f, axis, keepdims):
    def call(a):
        return f(a, axis=axis, keepdims=keepdims)

    assert_numpys(call, CUBE)
    assert tg.testing.gradcheck(call, CUBE, order=1)


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="since NumPy 2.1")
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_cumulative(name, include):
    f = getattr(np, name)
    assert_numpys(lambda a: f(a, axis=1, include_initial=include), M)
    assert_numpys(lambda a: f(a, axis=-3, include_initial=include), CUBE)
    assert_numpys(lambda a: f(a, include_initial=include, dtype=np.float64), M[0].astype("f4"))
    assert_numpys(lambda a: f(a, include_initial=include), np.array(2.0))
    assert_numpys(lambda a: f(a, include_initial=include), np.zeros(0))
    assert tg.testing.gradcheck(lambda a: f(a, axis=0, include_initial=include), M, order=2)
    with pytest.raises(ValueError, match="axis"):
        f(leaf(M))


AVERAGES = {
    "plain": lambda a, w: np.average(a),
    "axis": lambda a, w: np.average(a, 1, returned=True),
    "all weights": lambda a, w: np.average(a, weights=w),
    "all weights by axis": lambda a, w: np.average(a, (0, 2), w, True),
    "a vector": lambda a, w: np.average(a, axis=-1, weights=w[0, 0], returned=True),
    "a vector, kept": lambda a, w: np.average(a, axis=1, weights=w[0, :, 0], returned=True, keepdims=True),
    "a matrix": lambda a, w: np.average(a, axis=(0, 2), weights=w[:, 0], returned=True),
    "a matrix, axes turned": lambda a, w: np.average(a, axis=(-1, 0), weights=w[:, 0].T),
}


@for_each("name", AVERAGES)
def test_average(name):
    f = AVERAGES[name]
    w = np.abs(CUBE[::-1]) + 0.1
    assert_numpys(f, CUBE, w)
    assert_numpys(f, CUBE.astype("f4"), w.astype("f4"))
    assert_numpys(f, CUBE + 1j, w)
    assert tg.testing.gradcheck(lambda a, w: parts(f(a, w)), CUBE, w, order=2) or name in ("plain", "axis")


def test_average_of_lists():
    w = leaf([1.0, 2.0, 1.0])
    y = np.average([1, 2, 4], weights=w)
    y.backward()
    np.testing.assert_allclose(w.grad.data, (np.array([1, 2, 4]) - 9 / 4) / 4)
    x = leaf([1.0, 3.0])
    np.average(x, weights=[1, 3]).backward()
    np.testing.assert_array_equal(x.grad.data, [0.25, 0.75])
    assert_numpys(lambda a: np.average(a, weights=np.array([1, 3, 2])), np.array([1, 2, 3]))


COVARIANCES = {
    "matrix": lambda m, y: np.cov(m),
    "vector": lambda m, y: np.cov(m[0]),
    "by columns": lambda m, y: np.cov(m, None, False),
    "bias": lambda m, y: np.cov(m, bias=True),
    "ddof": lambda m, y: np.cov(m, ddof=2),
    "y": lambda m, y: np.cov(m, y),
    "y a vector": lambda m, y: np.cov(m[0], y[0]),
    "y by columns": lambda m, y: np.cov(m, y, rowvar=False),
    "y a row by columns": lambda m, y: np.cov(m.T[:, :1], y[:1], rowvar=False),
    "fweights": lambda m, y: np.cov(m, fweights=[1, 0, 2, 3]),
    "aweights": lambda m, y: np.cov(m, aweights=[0.5, 0.0, 2.0, 1.5]),
    "both": lambda m, y: np.cov(m, fweights=[1, 1, 2, 3], aweights=[0.5, 0.1, 2.0, 1.5], ddof=0),
    "both, ddof": lambda m, y: np.cov(m, fweights=[1, 1, 2, 3], aweights=[0.5, 0.1, 2.0, 1.5]),
    "dtype": lambda m, y: np.cov(m, dtype=np.complex128),
    "correlation": lambda m, y: np.corrcoef(m),
    "correlation with y": lambda m, y: np.corrcoef(m, y),
    "correlation of vectors": lambda m, y: np.corrcoef(m[0], y[1]),
    "correlation by columns": lambda m, y: np.corrcoef(m, rowvar=False),
    "correlation of one": lambda m, y: np.corrcoef(m[0]),
}


@for_each("name", COVARIANCES)
def test_covariance(name):
    f = COVARIANCES[name]
    y = RNG.normal(size=(3, 4))
    assert_numpys(f, M, y)
    assert_numpys(f, M.astype("f4"), y.astype("f4"))
    if "dtype" not in name:
        assert_numpys(f, M + 1j * y, y)
        assert tg.testing.gradcheck(f, M, y, order=2)


def test_covariance_by_its_weights():
    w = np.array([0.5, 0.1, 2.0, 1.5])
    assert tg.testing.gradcheck(lambda m, w: np.cov(m, aweights=w), M, w, order=2)
    assert tg.testing.gradcheck(lambda m, w: np.cov(m, aweights=w, fweights=[1, 2, 1, 3]), M, w, order=2)
    assert_numpys(lambda m: np.cov(m), np.zeros((0, 3)))


@for_each(
    "f, error",
    [
        (lambda t: np.cov(t[None]), ValueError),
        (lambda t: np.cov(t, ddof=0.5), ValueError),
        (lambda t: np.cov(t, fweights=[0.5, 1, 1, 1]), TypeError),
        (lambda t: np.cov(t, fweights=[1, 1, 1]), RuntimeError),
        (lambda t: np.cov(t, aweights=[[1, 1, 1, 1]]), RuntimeError),
        (lambda t: np.cov(t, aweights=[-1, 1, 1, 1]), ValueError),
        (lambda t: np.average(t, weights=[1, 1, 1, 1]), TypeError),
        (lambda t: np.average(t, axis=0, weights=[1, 1, 1, 1]), ValueError),
        (lambda t: np.average(t, weights=0 * M), ZeroDivisionError),
        (lambda t: np.average(t, axis=5), ValueError),
        (lambda t: np.sum(t, axis=2), ValueError),
        (lambda t: np.sum(t, axis=(0, 0)), ValueError),
        (lambda t: np.sum(t, where=np.ones((2, 3, 4), bool)), ValueError),
        (lambda t: np.mean(t, where=np.ones(3, bool)), ValueError),
        (lambda t: np.max(t, where=MASK), ValueError),
        (lambda t: np.nanmin(t, where=MASK), ValueError),
        (lambda t: np.max(t[:0]), ValueError),
        (lambda t: np.min(t[:0], axis=0), ValueError),
        (lambda t: np.nanmax(t[:0]), ValueError),
        (lambda t: np.var(t, ddof=1, correction=1), ValueError),
        (lambda t: np.nanstd(t, ddof=1, correction=1), ValueError),
        (lambda t: np.nanvar(t * np.where(MASK, NAN, 1), dtype=int), TypeError),
        (lambda t: np.cumsum(t, axis=3), ValueError),
        (lambda t: np.bincount([0, 1], t[0]), ValueError),
        (lambda t: np.bincount([0, -1], t[0, :2]), ValueError),
        (lambda t: np.bincount([0, 1], t[0, :2] * 1j), TypeError),
        (lambda t: np.histogram([0.0, 1.0], weights=t[0]), ValueError),
        (lambda t: np.histogram([0.0, 1.0], "auto", weights=t[0, :2]), TypeError),
        (lambda t: np.apply_along_axis(np.sum, 1, t[:0]), ValueError),
        (lambda t: np.apply_along_axis(np.sum, 2, t), ValueError),
        (lambda t: np.apply_over_axes(lambda x, axis: np.sum(x), t, 0), ValueError),
    ],
)
def test_what_numpy_refuses(f, error):
    with pytest.raises(error):
        f(M)
    with pytest.raises(error):
        f(leaf(M))


# -- gradients at the edges: exact numbers ---------------------------------------------------------

EDGES = [
    ("sum of none", np.sum, [], []),
    ("mean where", lambda x: np.mean(x, where=[True, False, True]), [1, NAN, 3], [0.5, 0, 0.5]),
    ("sum where", lambda x: np.sum(x, where=[True, False]), [1, INF], [1, 0]),
    ("nansum", np.nansum, [1, NAN, 3], [1, 0, 1]),
    ("nansum of NaN", np.nansum, [NAN, NAN], [0, 0]),
    ("nanmean", np.nanmean, [1, NAN, 3], [0.5, 0, 0.5]),
    ("nanprod", np.nanprod, [2, NAN, 3], [3, 0, 2]),
    ("nanmax", np.nanmax, [2, NAN, 3], [0, 0, 1]),
    ("nanmax of a tie", np.nanmax, [3, NAN, 3, 1], [0.5, 0, 0.5, 0]),
    ("nanmin of -inf", np.nanmin, [-INF, NAN, 3], [1, 0, 0]),
    ("nanmax of -inf", np.nanmax, [-INF, NAN], [1, 0]),
    ("nanvar", np.nanvar, [1, NAN, 3], [-1, 0, 1]),
    ("nanstd of equals", np.nanstd, [2, NAN, 2], [0, 0, 0]),
    ("max with NaN", np.max, [1, NAN, 3, NAN], [0, 0.5, 0, 0.5]),
    ("max by rows with NaN", lambda x: np.max(x, 1), [[1, NAN], [2, 3]], [[0, 1], [0, 1]]),
    ("max of ties by axes", lambda x: np.max(x, (0, 1)), [[3, 3], [3, 1]], [[1 / 3, 1 / 3], [1 / 3, 0]]),
    ("max below initial", lambda x: np.max(x, initial=5.0), [1, 3], [0, 0]),
    ("max that ties with initial", lambda x: np.max(x, initial=3.0), [1, 3, 3], [0, 1 / 3, 1 / 3]),
    ("min where", lambda x: np.min(x, where=[False, True, True], initial=9.0), [0, 2, 2], [0, 0.5, 0.5]),
    ("ptp", np.ptp, [1, 4, 2], [-1, 1, 0]),
    ("ptp of equals", np.ptp, [2, 2], [0, 0]),
    ("ptp of one", np.ptp, [2], [0]),
    ("prod with one zero", np.prod, [0, 2, 3], [6, 0, 0]),
    ("prod with two zeros", np.prod, [0, 2, 0], [0, 0, 0]),
    ("prod where", lambda x: np.prod(x, where=[True, False, True]), [2, 0, 3], [3, 0, 2]),
    ("prod from 0", lambda x: np.prod(x, initial=0.0), [2, 3], [0, 0]),
    ("prod by rows", lambda x: np.prod(x, 1), [[0, 2], [0, 0], [3, 4]], [[2, 0], [0, 0], [4, 3]]),
    ("cumprod with one zero", np.cumprod, [2, 0, 3, 4], [1, 2 + 6 + 24, 0, 0]),
    ("cumprod with two zeros", np.cumprod, [0, 3, 0, 5], [1 + 3, 0, 0, 0]),
    ("cumprod that starts with 0", np.cumprod, [0, 3], [4, 0]),
    ("cumprod of one", np.cumprod, [7], [1]),
    ("cumprod of none", np.cumprod, [], []),
    ("cumprod of a number", np.cumprod, 7, 1),
    ("cumprod of a number along its axis", lambda x: np.cumprod(x, 0), 7, 1),
    ("cumsum of a number along its axis", lambda x: np.cumsum(x, -1), 7, 1),
    ("cumsum of none", np.cumsum, [], []),
    ("cumsum", np.cumsum, [[1, 2], [3, 4]], [[4, 3], [2, 1]]),
    ("nancumsum", np.nancumsum, [1, NAN, 3], [3, 0, 1]),
    ("nancumprod", np.nancumprod, [2, NAN, 3], [5, 0, 2]),
    ("var of one", np.var, [2], [0]),
    ("var of a number", np.var, 2, 0),
    ("std of equals", np.std, [2, 2, 2], [0, 0, 0]),
    ("std of equal rows", lambda x: np.std(x, 1), [[2, 2], [1, 3]], [[0, 0], [-0.5, 0.5]]),
    ("std where equal", lambda x: np.std(x, where=[True, True, False]), [2, 2, 9], [0, 0, 0]),
    ("std from a mean it is", lambda x: np.std(x, mean=np.array([2.0])), [2, 2], [0, 0]),
    ("var from a mean", lambda x: np.var(x, mean=np.array([1.0])), [2, 2], [1, 1]),
    ("average", lambda x: np.average(x, weights=[1, 3]), [5, 7], [0.25, 0.75]),
    ("cov of equals", lambda x: np.cov(x), [2, 2, 2], [0, 0, 0]),
    ("bincount", lambda w: np.bincount([0, 2, 2], w), [1, 2, 3], [1, 1, 1]),
    ("cummax", cummax, [1, 3, 2, 4], [1, 2, 0, 1]),
    ("cummax of ties", cummax, [1, 1, 1], [1, 1, 1]),
    ("cummax with NaN", cummax, [1, NAN, 2], [1, 2, 0]),
    ("cummin", cummin, [4, 2, 3, 2], [1, 2, 0, 1]),
    ("logcumsumexp of one", logcumsumexp, [5], [1]),
    ("logcumsumexp of the far", logcumsumexp, [-1000, 1000, 0], [1, 2, 0]),
    ("logcumsumexp with -inf", logcumsumexp, [0, -INF, 0], [2.5, 0, 0.5]),
    ("logcumsumexp from -inf", logcumsumexp, [-INF, -INF, 0, 0], [1.5, 0.5, 1.5, 0.5]),
    ("logcumsumexp to inf", logcumsumexp, [0, INF, 5, INF], [1, 2.5, 0, 0.5]),
]


@NO_NUMBERS
@for_each("f, x, expected", [pytest.param(*case, id=name) for name, *case in EDGES])
def test_gradient_at_the_edge(f, x, expected):
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-12, atol=1e-300)


WITHOUT_NUMBERS = [
    ("mean", lambda x: np.mean(x, axis=1, where=[[False, False], [True, True]])),
    ("var", lambda x: np.var(x, axis=1, where=[[False, False], [True, True]])),
    ("std", lambda x: np.std(x, axis=1, where=[[False, False], [True, True]])),
    ("nanmean", lambda x: np.nanmean(x, axis=1)),
    ("nanvar", lambda x: np.nanvar(x, axis=1)),
    ("nanstd", lambda x: np.nanstd(x, axis=1)),
    ("nanmax", lambda x: np.nanmax(x, axis=1)),
    ("corrcoef", np.corrcoef),
]


@pytest.mark.parametrize(("name", "f"), WITHOUT_NUMBERS, ids=lambda p: p if isinstance(p, str) else "")
def test_a_slice_without_numbers_is_nan_and_spoils_no_other_gradient(name, f):
    rows = [[0.0, 0.0], [1.0, 3.0]] if name == "corrcoef" else [[NAN, NAN], [1.0, 3.0]]
    t = leaf(rows)
    with pytest.warns(RuntimeWarning):
        y = f(t)
    last = (-1,) * y.ndim
    assert np.isnan(y.data.flat[0])
    assert np.isfinite(y.data[last])
    np.sum(y[last] ** 2).backward(create_graph=True)
    assert np.isfinite(t.grad.data).all()
    np.testing.assert_array_equal(t.grad.data[0], 0)
    if name != "corrcoef":  # at its extreme, 1, the correlation has no slope
        assert t.grad.data[1].any()


def test_degrees_of_freedom_that_run_out():
    for f in (np.var, np.std, lambda x, **how: np.var(x, where=np.array([True, True]), **how)):
        for ddof in (2, 3):
            with pytest.warns(RuntimeWarning):
                expected = f(np.array([1.0, 3.0]), ddof=ddof)
            with pytest.warns(RuntimeWarning):
                found = f(leaf([1.0, 3.0]), ddof=ddof)
            np.testing.assert_array_equal(found.data, expected)
    with pytest.warns(RuntimeWarning, match="freedom"):
        y = np.nanvar(leaf([1.0, NAN]), ddof=1)
    assert np.isnan(y.data)


def test_second_order_of_products_with_zeros():
    np.testing.assert_array_equal(second(np.prod, [0.0, 2.0, 0.0]), [2, 0, 2])
    np.testing.assert_array_equal(second(np.prod, [0.0, 2.0, 3.0]), [5, 3, 2])
    np.testing.assert_array_equal(second(np.prod, [0.0, 0.0, 0.0]), [0, 0, 0])
    # y = (a, ab, abc): the gradient is (1 + b + bc, a + ac, ab), the sum of each row of its derivative
    np.testing.assert_array_equal(second(np.cumprod, [2.0, 0.0, 3.0]), [1 + 3 + 0, 1 + 3 + 2, 2 + 0])
    np.testing.assert_array_equal(second(np.cumprod, [0.0, 0.0, 3.0]), [1 + 3, 1 + 3, 0])
    np.testing.assert_array_equal(second(np.std, [2.0, 2.0]), [0, 0])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 33])
def test_cumprod_of_any_length(n):
    x = RNG.normal(size=n)
    x[RNG.random(n) < 0.2] = 0
    g = RNG.normal(size=n)
    t = leaf(x)
    np.sum(np.cumprod(t) * g).backward()
    expected = [
        sum(g[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, n)) for i in range(n)
    ]  # the definition
    np.testing.assert_allclose(t.grad.data, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 31])
def test_logcumsumexp_of_any_length(n):
    x, g = RNG.normal(size=n) * 300, RNG.normal(size=n)
    t = leaf(x)
    y = logcumsumexp(t)
    np.sum(y * g).backward()
    expected = [sum(g[k] * np.exp(x[i] - y.data[k]) for k in range(i, n)) for i in range(n)]
    np.testing.assert_allclose(t.grad.data, expected, rtol=1e-10, atol=1e-300)


def test_a_mean_that_is_passed_has_a_gradient_too():
    assert tg.testing.gradcheck(lambda x, m: np.var(x, mean=m, ddof=1), M, np.array([[0.5]]), order=2)
    x = leaf(M)
    np.sum(np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True))).backward()
    np.testing.assert_allclose(x.grad.data, gradient(lambda a: np.var(a, axis=1), M), rtol=1e-12)


def test_first_values_have_gradients_too():
    x, start = gradient(lambda x, s: np.sum(x, axis=0, initial=s), M, 2.0)
    assert (x == 1).all()
    assert start == 4
    x, start = gradient(lambda x, s: np.prod(x, initial=s), [2.0, 0.0], 3.0)
    np.testing.assert_array_equal([*x, start], [0, 6, 0])
    x, start = gradient(lambda x, s: np.max(x, axis=1, initial=s), [[1.0, 2.0], [3.0, 0.0]], 2.0)
    np.testing.assert_array_equal(x, [[0, 0.5], [1, 0]])
    assert start == 0.5


def test_where_may_be_a_tensor():
    t = leaf(M)
    np.sum(t, where=t > 0).backward()
    np.testing.assert_array_equal(t.grad.data, M > 0)
    assert np.all(t > 0, where=tg.tensor(MASK)).data == np.all(M > 0, where=MASK)
    y = np.mean(t, axis=0, where=tg.tensor(MASK))
    np.testing.assert_allclose(y.data, np.mean(M, axis=0, where=MASK))


def test_no_value_means_nothing_was_said():
    assert_numpys(lambda a: np.sum(a, 1, keepdims=np._NoValue, initial=np._NoValue, where=np._NoValue), M)
    assert_numpys(lambda a: np.nanstd(a, keepdims=np._NoValue, mean=np._NoValue, where=np._NoValue), M)


def test_a_mean_of_floats_without_the_nans_is_no_integer():
    for a in (M, leaf(M)):
        with pytest.raises(TypeError):
            np.nanmean(a, axis=1, dtype=int)
    assert np.nanmean(tg.tensor([1, 2]), dtype=int).data == np.nanmean([1, 2], dtype=int)


@for_each("f", [np.sum, np.prod, np.mean, np.var, np.std, np.nansum, np.nanmean, np.nanstd])
def test_where_is_a_mask_of_booleans(f):
    for where in ([True, False, True, True], [1, 0, 1, 1], np.True_):
        assert_numpys(lambda a, where=where: f(a, where=where), M)
    for where in (ROW.astype(int), tg.tensor(ROW.astype(int))):
        with pytest.raises(TypeError, match="Cannot cast"):
            f(leaf(M), where=where)
    for where in (ROW.astype(float), np.array(1)):
        with pytest.raises(TypeError, match="Cannot cast"):
            np.max(leaf(M), initial=0, where=where)


def test_the_dtype_asked_for_is_that_of_the_result():
    for f in (np.sum, np.prod, np.cumsum, np.cumprod, np.nansum, np.nanprod, np.nancumsum, np.trace):
        for dtype in (np.int8, np.uint16, np.bool_, np.float16):
            assert_numpys(lambda a, f=f, dtype=dtype: f(a, dtype=dtype), np.array([[100, 50], [3, 2]]))


def test_float16_with_more_elements_than_it_can_count():
    values = np.linspace(0, 1, 70_000)
    averages = (np.mean, np.std, lambda a: np.mean(a, where=True), lambda a: np.var(a, mean=0.25))
    for f in averages:
        x = leaf(values, np.float16)
        f(x).backward()
        np.testing.assert_allclose(x.grad.data, gradient(f, values), rtol=0.02, atol=1e-7)
    for f in (np.nanvar, lambda a: np.var(a, where=values > -1), lambda a: np.nanmean(a, where=values > -1)):
        np.testing.assert_allclose(f(x).item(), f(values), rtol=2e-3)


def test_nothing_returned_is_a_plain_array():
    for y in np.average(leaf(M), 1, weights=[1, 2, 3, 4], returned=True):
        assert isinstance(y, tg.Tensor)
    for y in np.average(leaf(M), 1, returned=True):
        assert isinstance(y, tg.Tensor)


def test_covariance_of_two_numbers():
    x, y = np.array(1.5), np.array(-0.5)
    for rowvar in (True, False):
        assert_numpys(lambda x, y, r=rowvar: np.cov(x, y, rowvar=r, bias=True), x, y)
    assert_numpys(np.cov, np.zeros((0, 3), complex))


def test_spread_of_a_list_about_a_tensor():
    mean = leaf([2.0])
    np.testing.assert_allclose(np.var([1.0, 4.0], mean=mean).item(), 2.5)
    np.testing.assert_allclose(gradient(lambda m: np.var([1.0, 4.0], mean=m), [2.0]), [-1.0])


def test_results_are_not_written_into_arrays():
    for f in (np.sum, np.nansum, np.cumsum, np.var):
        with pytest.raises(UnsupportedError, match="out="):
            f(leaf(M), 0, None, np.zeros(4))


def test_gradients_keep_their_precision():
    x = np.linspace(0.9, 1.1, 1000, dtype=np.float32)
    for f in (np.mean, np.var, np.std, np.nanmean, np.nanvar, np.ptp, np.prod, np.cumsum, np.cumprod):
        t = leaf(x)
        f(t).sum().backward()
        assert t.grad.dtype == np.float32
    t = leaf(np.full(4000, 100, np.float16))  # whose sum overflows
    for y in (np.mean(t), np.mean(t, where=np.ones(4000, bool)), np.nanmean(t)):
        assert y.dtype == np.float16
        assert y.data == 100


def test_complex_sums_and_spreads():
    z = M + 1j * M[::-1]
    for f in (np.sum, np.mean, np.prod, np.cumsum, np.cumprod, np.max, np.min, np.ptp):
        assert tg.testing.gradcheck(lambda a, f=f: f(a, axis=0), z, order=2)
    for f in (np.var, np.std):
        assert f(leaf(z)).dtype == np.float64
        assert tg.testing.gradcheck(lambda a, f=f: f(a, axis=1, ddof=1), z, order=2)
    t = leaf([1 + 1j, 3 + 1j])  # the variance is 1: a quarter of the square of a distance of 2
    np.var(t).backward()
    np.testing.assert_array_equal(t.grad.data, [-1, 1])


def test_variance_in_a_dtype_that_cannot_hold_it():
    for f in (np.var, np.std, np.nanvar):
        with pytest.raises(DTypeError, match="int64"):
            f(leaf([1.0, NAN]), dtype=np.int64)
        with pytest.raises(DTypeError, match="float64"):
            f(leaf([1.0, 2j]), dtype=np.float64)


def test_empty_axes():
    empty = np.zeros((2, 0))
    for f in (np.sum, np.prod, np.nansum):
        assert_numpys(lambda a, f=f: f(a, axis=1), empty)
        assert gradient(lambda a, f=f: f(a, axis=1), empty).shape == (2, 0)
    for f in (np.max, np.min, np.ptp):
        assert_numpys(lambda a, f=f: f(a, axis=0), empty)
    for f in (np.cumsum, np.cumprod):
        assert_numpys(lambda a, f=f: f(a, axis=1), empty)
        assert gradient(lambda a, f=f: f(a, axis=1), empty).shape == (2, 0)
    for f in (cummax, cummin, logcumsumexp):
        assert gradient(lambda a, f=f: f(a, axis=1), empty).shape == (2, 0)
    with pytest.warns(RuntimeWarning):
        assert np.isnan(np.mean(leaf(empty)).data)


# -- functions of one's own ------------------------------------------------------------------------


def test_apply_along_axis():
    def f(x, k, *, shift=0.0):
        return np.outer(x, x)[:2] * k + shift

    for axis in (0, 1, -1):

        def call(a, axis=axis):
            return np.apply_along_axis(f, axis, a, 2.0, shift=1.0)

        assert_numpys(call, CUBE)
        assert tg.testing.gradcheck(call, CUBE, order=2)
    assert_numpys(lambda a: np.apply_along_axis(lambda x: x[0], 1, a), M)
    assert_numpys(lambda a: np.apply_along_axis(lambda x: 3.0, 0, a), M)
    assert_numpys(lambda a: np.apply_along_axis(np.sort, 0, a), M)
    assert_numpys(lambda a: np.apply_along_axis(lambda x: [x[0], x[1] * x[2]], 0, a), M)


def test_apply_over_axes():
    for axes in (0, [0, 2], (1, -1)):
        assert_numpys(lambda a, axes=axes: np.apply_over_axes(np.sum, a, axes), CUBE)
        assert_numpys(lambda a, axes=axes: np.apply_over_axes(np.cumsum, a, axes), CUBE)
        assert tg.testing.gradcheck(lambda a, axes=axes: np.apply_over_axes(np.prod, a, axes), CUBE, order=2)


# -- counts ----------------------------------------------------------------------------------------


def test_bincount():
    x = np.array([1, 0, 1, 5])
    assert_numpys(lambda w: np.bincount(x, w), M[0])
    assert_numpys(lambda w: np.bincount(x, weights=w, minlength=9), M[0].astype("f4"))
    assert_numpys(lambda w: np.bincount(np.zeros(0, int), w, 2), np.zeros(0))
    assert_numpys(lambda w: np.bincount([], w, 2), np.zeros(0))
    assert_numpys(lambda x: np.bincount(x, minlength=3), x)
    assert_numpys(lambda x: np.bincount(x, [1, 2, 3, 4]), x)
    t = leaf(M[0])
    np.sum(np.bincount(tg.tensor(x), t) * np.arange(6.0)).backward()
    np.testing.assert_array_equal(t.grad.data, [1, 0, 1, 5])


HISTOGRAMS = [
    {"bins": 4},
    {"bins": 3, "range": (-1, 1)},
    {"bins": [-2, -0.5, 0.1, 3]},
    {"bins": 3, "density": True},
    {"bins": [-1, 0, 2], "density": True},
]


@pytest.mark.parametrize("how", HISTOGRAMS, ids=str)
def test_histogram(how):
    values = np.append(RNG.normal(size=20), [-1, 0, 0.1, 1, 3])  # on the edges too
    w = RNG.random(25) + 0.1
    assert_numpys(lambda a: np.histogram(a, **how), values)
    assert_numpys(lambda w: np.histogram(values, weights=w, **how), w)
    assert_numpys(lambda w: np.histogram(values, weights=w, **how), w.astype("f4"))
    assert_numpys(lambda w: np.histogram(values.astype("f4"), weights=w, **how), w.astype("f4"))
    assert_numpys(lambda w: np.histogram(values, weights=w, **how), w + 1j)
    assert_numpys(lambda a, w: np.histogram(a.reshape(5, 5), weights=w.reshape(5, 5), **how), values, w)
    assert tg.testing.gradcheck(lambda w: np.histogram(values, weights=w, **how)[0], w, order=2)


def test_histograms_are_constant():
    t = leaf(RNG.normal(size=(10, 2)))
    results = [
        *np.histogram(t, 3),
        *np.histogram2d(t[:, 0], t[:, 1], 3),
        np.histogramdd(t, 3)[0],
        *np.histogramdd([t[:, 0], t[:, 1]], 3)[1],
        np.histogram_bin_edges(t, bins="auto"),
        np.digitize(t, np.array([0.0, 1.0])),
        np.digitize(x=t, bins=np.array([0.0, 1.0]), right=True),
    ]
    assert not any(y.requires_grad for y in results)
    np.testing.assert_array_equal(results[0].data, np.histogram(t.data, 3)[0])
    np.testing.assert_array_equal(results[-2].data, np.digitize(t.data, [0.0, 1.0]))
    with pytest.raises(GradientError, match="weights"):
        np.histogram2d([0.0, 1.0], [0.0, 1.0], weights=leaf([1.0, 2.0]))


@pytest.mark.parametrize(
    "f", [np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.count_nonzero, np.all, np.any]
)
def test_constants(f):
    for how in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
        y = f(leaf(M), **how)
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, f(M, **how))


def test_nothing_warns_where_numpy_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nansum, np.nanprod):
            y = f(leaf(np.where(MASK, M, NAN)), axis=1)
            np.sum(y).backward()
        for f in (np.var, np.std):
            np.sum(f(leaf(M), axis=1, where=MASK)).backward()


def test_shapes_are_named_in_errors():
    with pytest.raises(ShapeError, match=r"\(4,\).*\(3, 4\)"):
        np.average(leaf(M), axis=0, weights=np.ones(4))
