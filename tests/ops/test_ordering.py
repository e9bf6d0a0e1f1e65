"""Sorting, medians and quantiles, sets: every keyword, ties, NaN and infinities."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from helpers import check_cases, for_each, leaf, parts, some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError

RNG = np.random.default_rng(0)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
TIES = np.array([[2.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, -0.0, 3.0, 0.0]])
HOLES = np.array([[np.nan, 1.0, 2.0, 5.0], [4.0, np.nan, np.nan, 1.0], [3.0, 0.0, 2.0, 9.0]])
NAN, INF = math.nan, math.inf
SINCE = {v: np.lib.NumpyVersion(np.__version__) >= f"{v}.0" for v in ("2.2", "2.4")}
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip
SMOOTH = METHODS[3:9]


def gradient(f, *values):
    """The gradients of ``f``'s result, each of its elements weighted by its place: 1, 2, 3 ..."""
    leaves = [leaf(np.asarray(v, complex if np.iscomplexobj(v) else float)) for v in values]
    y = f(*leaves)
    y.backward(np.arange(1, y.size + 1).reshape(y.shape))
    found = [None if x.grad is None else x.grad.data for x in leaves]
    return found[0] if len(found) == 1 else found


def assert_numpys(f, *values, precision=np.float64):
    """``f`` of Tensors is ``f`` of arrays: in values, shapes and dtypes, for every result."""
    expected = parts(f(*values))
    found = parts(f(*(tg.tensor(v, requires_grad=v.dtype.kind in "fc") for v in values)))
    assert len(found) == len(expected)
    for y, value in zip(found, expected, strict=True):
        assert isinstance(y, tg.Tensor)
        assert (y.shape, y.dtype) == (np.shape(value), np.asarray(value).dtype)
        tolerance = max(
            10 * float(np.finfo(d).eps) if d.kind in "fc" else 0 for d in (y.dtype, np.dtype(precision))
        )
        np.testing.assert_allclose(y.data, value, rtol=tolerance, atol=3 * tolerance)


# -- sort and partition ----------------------------------------------------------------------------

SORTS = {
    "plain": np.sort,
    "by position": lambda a: np.sort(a, 0, "heapsort"),
    "axis": lambda a: np.sort(a, axis=-2),
    "flat": lambda a: np.sort(a, axis=None),
    "stable": lambda a: np.sort(a, stable=True),
    "kind": lambda a: np.sort(a, kind="mergesort", order=None),
    "partition": lambda a: np.partition(a, 1),
    "partition by position": lambda a: np.partition(a, 1, 0),
    "partition several": lambda a: np.partition(a, [0, -1], axis=-1, kind="introselect"),
    "partition flat": lambda a: np.partition(a, (3, 5), axis=None),
    "complex": np.sort_complex,
}


@for_each("a", [M, TIES, HOLES, CUBE, M + 1j * CUBE[0]])
@for_each("name", SORTS)
def test_sorts(name, a):
    f = SORTS[name]
    assert_numpys(f, a)
    if a is not HOLES:
        g = RNG.normal(size=f(a).shape)
        t = leaf(a)
        np.real(np.sum(f(t) * g)).backward()
        # each element has the gradient of its own place: sorting both tells
        np.testing.assert_allclose(np.sort(np.ravel(t.grad.data.real)), np.sort(np.ravel(g)))
    if a is M or a is CUBE or np.iscomplexobj(a):
        assert tg.testing.gradcheck(f, a, order=2)


@for_each("dtype", ["f4", "f2", "i4", "?"])
@for_each("name", SORTS)
def test_sorts_of_other_dtypes(name, dtype):
    assert_numpys(SORTS[name], (M * 4).astype(dtype))


SORT_EDGES = [
    ("sort", np.sort, [3, 1, 2], [3, 1, 2]),
    ("sort keeps the order of equals", np.sort, [2, 1, 2, 1], [3, 1, 4, 2]),
    ("sort of equals", np.sort, [1, 1, 1], [1, 2, 3]),
    ("sort of zeros", np.sort, [0.0, -0.0], [1, 2]),
    ("sort with NaN", np.sort, [NAN, 1, NAN, 0], [3, 2, 4, 1]),
    ("sort with infinities", np.sort, [INF, 0, -INF], [3, 2, 1]),
    ("sort of one", np.sort, [5], [1]),
    ("sort of none", np.sort, [], []),
    ("sort flat", lambda x: np.sort(x, None), [[3, 1], [2, 0]], [[4, 2], [3, 1]]),
    ("sort of a number", lambda x: np.sort(x, None), 3, 1),
    ("partition", lambda x: np.partition(x, 1), [3, 1, 2], [3, 1, 2]),
    ("median of three", np.median, [3, 1, 2], [0, 0, 1]),
    ("median of four", np.median, [3, 1, 2, 9], [0.5, 0, 0.5, 0]),
    ("median of equals", np.median, [2, 2, 2], [0, 1, 0]),
    ("median of two equals", np.median, [2, 2], [0.5, 0.5]),
    ("median of one", np.median, [2], [1]),
    ("median of a number", np.median, 2, 1),
    ("median with infinities", np.median, [INF, 1, -INF], [0, 1, 0]),
    ("median with NaN", np.median, [1, NAN, 2], [0, 1, 0]),
    ("nanmedian", np.nanmedian, [1, NAN, 2, 7], [0, 0, 1, 0]),
    ("nanmedian of even", np.nanmedian, [1, NAN, 2], [0.5, 0, 0.5]),
    ("quantile", lambda x: np.quantile(x, 0.25), [1, 2, 4], [0.5, 0.5, 0]),
    ("least quantile", lambda x: np.quantile(x, 0), [1, 2, 4], [1, 0, 0]),
    ("largest quantile", lambda x: np.quantile(x, 1.0), [1, 2, 4], [0, 0, 1]),
    ("quantile on an element", lambda x: np.quantile(x, 0.5), [1, 2, 4], [0, 1, 0]),
    ("quantiles", lambda x: np.quantile(x, [0, 1]), [1, 2, 4], [1, 0, 2]),
    ("quantile of equals", lambda x: np.quantile(x, 0.25), [2, 2, 2], [0.5, 0.5, 0]),
    ("quantile of one", lambda x: np.quantile(x, 0.3), [2], [1]),
    ("quantile with NaN", lambda x: np.quantile(x, 0.3), [1, NAN, 2], [0, 1, 0]),
    ("nanquantile", lambda x: np.nanquantile(x, 0.25), [1, NAN, 2, 4], [0.5, 0, 0.5, 0]),
    ("lower", lambda x: np.quantile(x, 0.3, method="lower"), [1, 2, 4], [1, 0, 0]),
    ("midpoint", lambda x: np.quantile(x, 0.3, method="midpoint"), [1, 2, 4], [0.5, 0.5, 0]),
    ("unique", np.unique, [3, 1, 3, 2], [3, 1, 0, 2]),
    ("unique of equals", np.unique, [1, 1], [1, 0]),
    ("trim_zeros", np.trim_zeros, [0, 0, 1, 0, 2, 0], [0, 0, 1, 2, 3, 0]),
]


@for_each("f, x, expected", [pytest.param(*case, id=name) for name, *case in SORT_EDGES])
def test_gradient_at_the_edge(f, x, expected):
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-12, atol=0)


def test_constant_orders():
    t = leaf(M)
    for f in (
        lambda a: np.argsort(a, axis=0, kind="stable"),
        lambda a: np.argsort(a=a),
        lambda a: np.argpartition(a, 2, axis=-1),
        lambda a: np.searchsorted(np.sort(a[0]), a[1]),
        lambda a: np.searchsorted(np.array([0.0, 1.0]), v=a, side="right"),
        lambda a: np.lexsort((a[0], a[1])),
        lambda a: np.lexsort((a[0] > 0, a[1]), axis=0),
        lambda a: np.lexsort(a),
        lambda a: np.isin(a, [M[0, 0], 1.0]),
        lambda a: np.isin(1.0, a),
    ):
        y = f(t)
        assert isinstance(y, tg.Tensor)
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, f(M))


# -- medians and quantiles -------------------------------------------------------------------------

MEDIANS = {
    "plain": lambda f, a: f(a),
    "axis": lambda f, a: f(a, 1),
    "kept": lambda f, a: f(a, axis=-1, keepdims=True),
    "axes": lambda f, a: f(a, axis=(0, -1)),
    "axes turned": lambda f, a: f(a, axis=(-1, 0), keepdims=True),
    "all axes": lambda f, a: f(a, axis=(0, 1, 2)),
    "all kept": lambda f, a: f(a, axis=None, keepdims=True),
    "by position": lambda f, a: f(a, 0, None, False, True),
    "overwrite": lambda f, a: f(a, axis=2, overwrite_input=False),
}


@for_each("dtype", ["f8", "f4", "f2", "c16", "i8", "?"])
@for_each("name", MEDIANS)
@for_each("f", [np.median, np.nanmedian])
def test_median(f, name, dtype):
    a = (CUBE * 3 + (CUBE[::-1] * 1j if dtype == "c16" else 0)).astype(dtype)
    assert_numpys(lambda a: MEDIANS[name](f, a), a)


@some_or_all
def test_gradients_of_medians(are_all):
    cases = [*itertools.product([np.median, np.nanmedian], MEDIANS, ["f8", "c16"])]
    check_cases(check_median, ((str(case), *case) for case in cases[:: 1 if are_all else 3]))


def check_median(f, name, dtype):
    a = CUBE * 3 + (CUBE[::-1] * 1j if dtype == "c16" else 0)
    assert tg.testing.gradcheck(lambda a: MEDIANS[name](f, a), a, order=2)


QUANTILES = {
    "a number": lambda f, a, q: f(a, q[0].item()),
    "a vector": lambda f, a, q: f(a, q),
    "a list": lambda f, a, q: f(a, q.tolist(), 1),
    "a matrix": lambda f, a, q: f(a, q.reshape(2, 2), axis=(0, 2), keepdims=True),
    "kept": lambda f, a, q: f(a, q, axis=-1, keepdims=True),
    "none": lambda f, a, q: f(a, q[:0], axis=0),
    "ends": lambda f, a, q: f(a, [0, 1], axis=0),
    "by position": lambda f, a, q: f(a, q, 1, None, False, "linear", True),
    "a single": lambda f, a, q: f(a, q.astype(np.float32)[0]),
}


@for_each("dtype", ["f8", "f4", "f2", "i8"])
@for_each("name", QUANTILES)
@for_each("f", [np.quantile, np.percentile, np.nanquantile, np.nanpercentile])
def test_quantile_shapes_and_dtypes(f, name, dtype):
    q = np.array([0.1, 0.5, 0.75, 1.0]) * (100 if "percentile" in f.__name__ else 1)
    if name == "ends":
        q = q * 0
    precision = np.float32 if name == "a single" else np.float64  # NumPy looks for the place in that of q
    if not (name == "a matrix" and "nan" in f.__name__):  # NumPy's nanquantile puts its axes in other places
        assert_numpys(lambda a: QUANTILES[name](f, a, q), (CUBE * 3).astype(dtype), precision=precision)
    if dtype == "f8" and name != "none":
        assert tg.testing.gradcheck(lambda a: QUANTILES[name](f, a, q), CUBE)


@for_each("n", [1, 2, 3, 4, 7])
@for_each("method", METHODS)
def test_quantile_methods(method, n):
    a = RNG.normal(size=(3, n))
    for values in (a * 4, (a * 4).astype(np.float32), (a * 4).astype(int)):
        for q in (0.3, np.linspace(0, 1, 13)):
            for f in (np.quantile, np.nanquantile):
                assert_numpys(
                    lambda a, f=f, q=q: f(a, q, axis=1, method=method), values, precision=values.dtype
                )
                assert_numpys(lambda a, f=f, q=q: f(a, q, method=method), values, precision=values.dtype)
    assert tg.testing.gradcheck(lambda a: np.quantile(a, [0.13, 0.77], axis=1, method=method), a)


@for_each("method", METHODS)
def test_quantiles_with_nan(method):
    q = [0.0, 0.3, 0.5, 1.0]
    for axis in (None, 0, 1, (0, 1)):
        assert_numpys(lambda a, axis=axis: np.quantile(a, q, axis=axis, method=method), HOLES)
        assert_numpys(
            lambda a, axis=axis: np.nanquantile(a, q, axis=axis, method=method, keepdims=True), HOLES
        )
    assert_numpys(lambda a: np.median(a, axis=1), HOLES)
    assert_numpys(lambda a: np.nanmedian(a, axis=1), HOLES)


@pytest.mark.filterwarnings("ignore:invalid value")
@for_each("method", METHODS)
def test_quantiles_of_infinities(method):
    q = [0.0, 0.2, 0.5, 0.9, 1.0]
    for a in ([-INF, 1.0, 2.0, INF], [INF, INF, 1.0], [-INF, -INF, -INF]):
        expected, found = np.quantile(a, q, method=method), np.quantile(leaf(a), q, method=method).data
        if method in ("midpoint", "averaged_inverted_cdf"):  # where NumPy's NaN comes of 0 * inf
            found = np.where(np.isnan(expected), NAN, found)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", SMOOTH)
def test_quantiles_by_their_share(method):
    def f(a, q):
        return np.quantile(a, q, axis=1, method=method)

    assert tg.testing.gradcheck(f, M, np.array([0.03, 0.22, 0.58, 0.94]), order=2)
    assert tg.testing.gradcheck(f, M, np.array(0.41), order=2)
    assert tg.testing.gradcheck(
        lambda a, q: np.nanpercentile(np.where([True, True, True, False], a, NAN), q, method=method),
        M,
        np.array([[23.0, 61.0]]),
        order=2,
    )


def test_the_slope_by_the_share():
    a, q = [1.0, 2.0, 4.0, 8.0], 0.5
    assert gradient(lambda q: np.quantile(np.array(a), q), q) == 3 * 2.0  # three gaps; the middle one is 2
    assert gradient(lambda q: np.quantile(np.array(a), q), 1 / 3) == 3 * 2.0  # on an element: the gap above
    assert gradient(lambda q: np.quantile(np.array(a), q), 0.0) == 3 * 1.0
    assert gradient(lambda q: np.percentile(np.array(a), q), 50.0) == pytest.approx(3 * 2.0 / 100)
    assert gradient(lambda q: np.quantile(np.array(a), q, method="hazen"), 0.01) == 0  # below the first
    t = leaf(np.float32([0.5]))
    y = np.quantile(np.float32(a), t)
    y.backward()
    assert y.dtype == t.grad.dtype == np.float32


@pytest.mark.parametrize("method", [m for m in METHODS if m not in SMOOTH])
def test_steps_have_no_slope(method):
    with pytest.raises(GradientError, match=f"{method}.*linear"):
        np.quantile(M, leaf(0.5), method=method)
    assert_numpys(lambda a: np.quantile(a, tg.tensor(0.5).data, method=method), M)


def test_weights():
    w = np.array([0.5, 0.0, 2.0, 1.0])
    how = {"method": "inverted_cdf"}
    for q in (0.4, [0.0, 0.1, 0.6, 1.0]):
        assert_numpys(lambda a, q=q: np.quantile(a, q, axis=1, weights=w, **how), M)
        assert_numpys(lambda a, q=q: np.quantile(a, q, axis=-1, weights=w, keepdims=True, **how), CUBE)
        assert_numpys(lambda a, q=q: np.quantile(a, q, weights=np.abs(M), **how), M.astype("f4"))
        assert_numpys(lambda a, q=q: np.percentile(a, np.multiply(q, 100), axis=1, weights=w, **how), M)
        if SINCE["2.4"]:  # before, NumPy took weights of several axes in another order
            assert_numpys(
                lambda a, q=q: np.quantile(a, q, axis=(2, 0), weights=np.abs(CUBE[:, 0].T), **how), CUBE
            )
        assert_numpys(lambda a, q=q: np.quantile(a, q, axis=1, weights=w, **how), TIES)
        assert_numpys(lambda a, q=q: np.quantile(a, q, axis=1, weights=w, **how), HOLES)
        assert_numpys(lambda a, q=q: np.nanquantile(a, q, axis=1, weights=np.abs(M), **how), HOLES)
    # the second of the elements in order is where the weights pass a half
    found = gradient(lambda a: np.quantile(a, 0.5, weights=[3, 1, 2], **how), [5.0, 1.0, 3.0])
    np.testing.assert_array_equal(found, [0, 0, 1])
    assert tg.testing.gradcheck(lambda a: np.quantile(a, [0.2, 0.7], axis=1, weights=w, **how), M)
    with pytest.raises(GradientError, match=r"weights\.detach"):
        np.quantile(M, 0.5, axis=1, weights=leaf(w), **how)
    with pytest.raises(GradientError, match=r"q\.detach"):
        np.quantile(M, leaf(0.5), axis=1, weights=w, **how)


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda a: np.quantile(a, 1.5), ValueError),
        (lambda a: np.quantile(a, [0.5, -0.1]), ValueError),
        (lambda a: np.percentile(a, 101), ValueError),
        (lambda a: np.nanpercentile(a, -1), ValueError),
        (lambda a: np.quantile(a, [[[0.5]]]), ValueError),
        (lambda a: np.quantile(a, 0.5, method="cubic"), ValueError),
        (lambda a: np.quantile(a * 1j, 0.5), TypeError),
        (lambda a: np.quantile(a > 0, 0.5), TypeError),
        (lambda a: np.quantile(a, 0.5, axis=2), ValueError),
        (lambda a: np.quantile(a, 0.5, axis=(0, 0)), ValueError),
        (lambda a: np.quantile(a, 0.5, weights=np.abs(a)), ValueError),
        (lambda a: np.quantile(a, 0.5, weights=[1, 2, 3, 4], method="inverted_cdf"), TypeError),
        (lambda a: np.quantile(a, 0.5, axis=0, weights=[1, 2], method="inverted_cdf"), ValueError),
        (lambda a: np.quantile(a, 0.5, axis=0, weights=[1, 2, -3], method="inverted_cdf"), ValueError),
        pytest.param(
            lambda a: np.quantile(a, 0.5, axis=0, weights=[1, 2, NAN], method="inverted_cdf"),
            ValueError,
            marks=pytest.mark.skipif(not SINCE["2.4"], reason="since NumPy 2.4"),
        ),
        (lambda a: np.quantile(a[:0], 0.5), IndexError),
        (lambda a: np.quantile(a[:0], 0.5, axis=0), IndexError),
        (lambda a: np.median(a, axis=3), ValueError),
        (lambda a: np.sort(a, axis=2), ValueError),
        (lambda a: np.sort(a[0, 0]), ValueError),
        (lambda a: np.sort(a, kind="stable", stable=True), ValueError),
        (lambda a: np.sort(a, kind="bogo"), ValueError),
        (lambda a: np.partition(a, 4), ValueError),
        (lambda a: np.unique(a, axis=2), ValueError),
    ],
)
def test_what_numpy_refuses(f, error):
    with pytest.raises(error):
        f(M)
    with pytest.raises(error):
        f(leaf(M))


def test_nothing_to_choose_from():
    for f in (np.median, np.nanmedian):
        with pytest.warns(RuntimeWarning):
            y = f(leaf(np.zeros((2, 0), np.float32)), axis=1)
        assert (y.dtype, y.shape) == (np.float32, (2,))
        assert np.isnan(y.data).all()
        assert f(leaf(np.zeros((0, 2))), axis=1).shape == (0,)
    assert np.quantile(leaf(np.zeros((0, 2))), [0.1, 0.2], axis=1).shape == (2, 0)
    for f in (np.nanmedian, lambda x, axis: np.nanquantile(x, 0.3, axis=axis)):
        t = leaf([[NAN, NAN], [1.0, 3.0]])
        with pytest.warns(RuntimeWarning):
            y = f(t, axis=1)
        assert np.isnan(y.data[0])
        np.sum(y).backward()
        np.testing.assert_array_equal(t.grad.data[0], 0)
        assert np.sum(t.grad.data[1]) == pytest.approx(1)


def test_nothing_warns_where_numpy_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (np.nanmedian, np.median, lambda a, axis: np.nanquantile(a, [0.1, 0.9], axis=axis)):
            np.sum(f(leaf(HOLES), axis=1)).backward()


# -- sets ------------------------------------------------------------------------------------------


@for_each("axis", [None, 0, 1])
@for_each("a", [TIES, M, HOLES, np.zeros((0, 3)), TIES + 1j], ids=["ties", "M", "nan", "none", "c"])
def test_unique(a, axis):
    assert_numpys(lambda a: np.unique(a, axis=axis), a)
    assert_numpys(lambda a: np.unique(a, True, True, True, axis), a)
    assert_numpys(lambda a: np.unique(a, return_counts=True, axis=axis), a)
    assert_numpys(lambda a: np.unique(a, return_inverse=True, axis=axis, equal_nan=False), a)


def test_unique_by_other_names():
    for name in ("unique_values", "unique_counts", "unique_inverse", "unique_all"):
        f = getattr(np, name)
        for a in (TIES, HOLES, TIES + 1j, (TIES * 50).astype(int)):
            assert_numpys(f, a)
            assert type(f(tg.tensor(a))) is (tg.Tensor if name == "unique_values" else type(f(a)))
    found = np.unique_all(leaf([3.0, 1.0, 3.0]))
    assert found.values.requires_grad
    np.testing.assert_array_equal(found.indices.data, [1, 0])


def test_sets():
    a, b = np.array([4.0, 1.0, 3.0, 1.0, 7.0]), np.array([3.0, 2.0, 4.0])
    assert_numpys(np.union1d, a, b)
    assert_numpys(np.intersect1d, a, b)
    assert_numpys(lambda a, b: np.intersect1d(a, b, return_indices=True), a, b)
    assert_numpys(lambda a, b: np.intersect1d(a[2:4], b, True), a, b)
    assert_numpys(np.setdiff1d, a, b)
    assert_numpys(lambda a, b: np.setdiff1d(a[[0, 1, 2]], b, assume_unique=True), a, b)
    assert_numpys(np.setxor1d, a, b)
    assert_numpys(lambda a, b: np.setxor1d(b, a[:2], assume_unique=True), a, b)
    assert_numpys(lambda a: np.union1d(a, [9, 1]), a.reshape(5, 1))
    mine, yours = gradient(np.union1d, a, b)  # 1, 2, 3, 4, 7
    np.testing.assert_array_equal(mine, [4, 1, 3, 0, 5])
    np.testing.assert_array_equal(yours, [0, 2, 0])
    t = leaf(b)
    y = np.setdiff1d([2, 3, 4, 5], t)
    assert y.tolist() == [5]
    np.setdiff1d(t, [3]).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [0, 1, 1])


def test_trim_zeros():
    a = np.array([0.0, 0.0, 1.0, 0.0, 2.0, 0.0])
    for trim in ("fb", "f", "B", "bf"):
        assert_numpys(lambda a, trim=trim: np.trim_zeros(a, trim), a)
        assert_numpys(lambda a, trim=trim: np.trim_zeros(a, trim), a * 0)
        assert_numpys(lambda a, trim=trim: np.trim_zeros(a, trim), np.zeros(0))
    assert tg.testing.gradcheck(lambda x: np.trim_zeros(np.concatenate([[0.0], x, [0.0]])), M[0], order=2)


@pytest.mark.skipif(not SINCE["2.2"], reason="since NumPy 2.2")
def test_trim_zeros_of_a_single_number():
    for number in (0.0, 2.0):
        assert_numpys(np.trim_zeros, np.array(number))


@pytest.mark.skipif(not SINCE["2.2"], reason="since NumPy 2.2")
def test_trim_zeros_of_a_matrix():
    for t in (M[0], leaf(M[0])):
        with pytest.raises(ValueError, match="trim"):
            np.trim_zeros(t, "x")
    a = np.pad(M, ((1, 2), (0, 1)))
    for axis in (None, 0, -1, *([(0, 1)] if SINCE["2.4"] else [])):
        assert_numpys(lambda a, axis=axis: np.trim_zeros(a, axis=axis), a)
        assert_numpys(lambda a, axis=axis: np.trim_zeros(a, "f", axis=axis), a)
        assert_numpys(lambda a, axis=axis: np.trim_zeros(a, "b", axis=axis), a * 0)


def test_intersection_of_what_is_not_unique_after_all():
    a, b = np.array([-1.0, 3.0]), np.array([-1.0, -1.0, 5.0])
    assert_numpys(lambda a, b: np.intersect1d(a, b, assume_unique=True), a, b)
    assert_numpys(lambda a, b: np.intersect1d(a, b, True, return_indices=True), a, b)
    np.testing.assert_array_equal(gradient(lambda a: np.intersect1d(a, b), a), [1, 0])


@pytest.mark.parametrize("n", [99, 100, 257])
def test_rows_too_long_to_be_sorted(n):
    """Only partly put in order, equal elements keep theirs; NaN is last."""
    x = RNG.integers(0, 20, (3, n)).astype(float)
    holes = np.where(RNG.random((3, n)) < 0.3, np.nan, x)
    for f in (np.median, np.nanmedian):
        for values in (x, holes[0], holes, np.sort(x), -x.astype("f4"), np.full((2, n), np.nan)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                assert_numpys(lambda a, f=f: f(a, axis=-1), values)
    for f in (np.quantile, np.nanquantile):
        for q in (0.0, 0.37, 1.0, [0.1, 0.2, 0.9], np.linspace(0, 1, 23)):
            for method in ("linear", "lower", "midpoint", "hazen"):
                for values in (x, holes[0], holes):
                    assert_numpys(lambda a, f=f, q=q, m=method: f(a, q, axis=-1, method=m), values)
    rows = np.arange(3)
    order = np.argsort(x, axis=-1, kind="stable")
    expected = np.zeros_like(x)
    for place in ((n - 1) // 2, n // 2):
        expected[rows, order[:, place]] += [0.5, 1.0, 1.5]
    np.testing.assert_array_equal(gradient(lambda a: np.median(a, axis=-1), x), expected)
    columns = RNG.normal(size=(n, 2))
    if n <= 100:  # the check takes the time of n squared
        assert tg.testing.gradcheck(lambda a: np.quantile(a, [0.31, 0.77], axis=0), columns, order=2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@for_each("shape", [(0,), (2, 0), (0, 3)])
@for_each(
    "f",
    [
        np.median,
        np.nanmedian,
        lambda a, **how: np.nanquantile(a, 0.3, **how),
        lambda a, **how: np.nanpercentile(a, [20, 30.0], **how),
    ],
)
def test_quantiles_of_nothing_are_tracked_too(f, shape):
    for axis in (None, 0, -1):
        assert_numpys(lambda a, axis=axis: f(a, axis=axis), np.zeros(shape))
        assert_numpys(lambda a, axis=axis: f(a, axis=axis), np.zeros(shape, int))
        assert gradient(lambda a, axis=axis: f(a, axis=axis), np.zeros(shape)).shape == shape
