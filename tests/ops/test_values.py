"""Values and gradients at kinks, ties, bounds and extremes, and every form an argument may take."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from helpers import check_cases, for_each, gradient, leaf, some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist import tensor
from tinygrad_mnist.errors import OptionError, ShapeError, UnsupportedError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.ops.network import PIECE

RNG = np.random.default_rng(0)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
SQUARE = RNG.normal(size=(3, 3))
INF = math.inf


def check(f, *values, order=2):
    """``f`` computes on Tensors what NumPy computes on arrays, and is right to second order."""
    check_value(f, *values)
    assert tg.testing.gradcheck(f, *values, order=order)


def check_value(f, *values):
    expected = np.asarray(f(*values))
    result = f(*(tensor(v) if isinstance(v, np.ndarray) else v for v in values))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.data, expected, rtol=1e-13, atol=1e-15)


# -- edge values: a table ------------------------------------------------------------------------

EDGES = [
    ("abs at 0", np.abs, [-2.0, 0.0, 3.0], [-1, 0, 1]),
    ("fabs at 0", np.fabs, [0.0], [0]),
    ("relu at 0", F.relu, [-1.0, 0.0, 1.0], [0, 0, 1]),
    ("leaky relu at 0", lambda x: F.leaky_relu(x, slope=0.1), [-1.0, 0.0, 1.0], [0.1, 0.1, 1]),
    ("elu at 0", F.elu, [0.0], [1]),
    ("maximum at a tie", lambda x: np.maximum(x, 1.0), [0.0, 1.0, 2.0], [0, 0.5, 1]),
    ("minimum at a tie", lambda x: np.minimum(1.0, x), [0.0, 1.0, 2.0], [1, 0.5, 0]),
    ("max with ties", np.max, [3.0, 1.0, 3.0, 3.0], [1 / 3, 0, 1 / 3, 1 / 3]),
    ("min with ties", np.min, [1.0, 1.0], [0.5, 0.5]),
    ("max of one axis", lambda x: np.max(x, axis=1), [[1.0, 1.0], [0.0, 2.0]], [[0.5, 0.5], [0, 1]]),
    ("prod with one zero", np.prod, [0.0, 2.0, 3.0], [6, 0, 0]),
    ("prod with two zeros", np.prod, [0.0, 2.0, 0.0], [0, 0, 0]),
    ("prod of one", np.prod, [5.0], [1]),
    ("prod of none", np.prod, [], []),
    ("clip at its bounds", lambda x: np.clip(x, 0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0], [0, 1, 1, 1, 0]),
    ("clip from below", lambda x: np.clip(x, 0.0, None), [-1.0, 0.0, 5.0], [0, 1, 1]),
    ("clip from above", lambda x: np.clip(x, None, 1.0), [-1.0, 1.0, 5.0], [1, 1, 0]),
    ("clip to crossed bounds", lambda x: np.clip(x, 2.0, 1.0), [0.0, 1.5, 3.0], [0, 0, 0]),
    ("x**0", lambda x: x**0, [0.0, 2.0, -1.0], [0, 0, 0]),
    ("x**1", lambda x: x**1, [0.0, -2.0], [1, 1]),
    ("x**2 at 0", lambda x: x**2, [0.0, -3.0], [0, -6]),
    ("x**3 of a negative", lambda x: x**3, [-2.0], [12]),
    ("x**2.0 of a negative", lambda x: x ** np.array([2.0]), [-2.0], [-4]),
    ("x**-1", lambda x: x**-1, [2.0], [-0.25]),
    ("x**integers", lambda x: x ** np.array([0, 1, 2]), [0.0, 0.0, 3.0], [0, 1, 6]),
    ("0**x", lambda x: 0.0**x, [1.0, 2.0], [0, 0]),
    ("2**x", lambda x: 2**x, [0.0, 3.0], [math.log(2), 8 * math.log(2)]),
    ("std of equals", np.std, [2.0, 2.0, 2.0], [0, 0, 0]),
    ("var of one", np.var, [2.0], [0]),
    ("remainder", lambda x: x % 3, [4.0, -4.0], [1, 1]),
    ("remainder's divisor", lambda x: 7.0 % x, [3.0, -3.0], [-2, 3]),
    ("fmod's divisor", lambda x: np.fmod(-7.0, x), [3.0], [2]),
    ("tanh of the far", np.tanh, [1000.0, -1000.0], [0, 0]),
    ("sigmoid of the far", F.sigmoid, [1000.0, -1000.0], [0, 0]),
    ("softplus of the far", F.softplus, [1000.0, -1000.0], [1, 0]),
    ("logaddexp of the far", lambda x: np.logaddexp(x, 0.0), [1000.0, -1000.0], [1, 0]),
    ("logaddexp of infinities", lambda x: np.logaddexp(x, 0.0), [INF, -INF], [1, 0]),
    ("logsumexp of the far", F.logsumexp, [1000.0, 0.0], [1, 0]),
    ("logsumexp of -inf", F.logsumexp, [-INF, -INF], [0.5, 0.5]),
    ("logsumexp of inf", F.logsumexp, [INF, 0.0], [1, 0]),
    ("softmax of the far", lambda x: F.softmax(x) * [1.0, 2.0], [1e300, -1e300], [0, 0]),
    ("log_softmax of the far", lambda x: F.log_softmax(x)[0], [1000.0, 0.0], [0, 0]),
    ("gelu of the far", F.gelu, [40.0, -40.0], [1, 0]),
    ("erf of the far", F.erf, [40.0, -40.0, INF], [0, 0, 0]),
    ("cumsum", np.cumsum, [1.0, 2.0, 3.0], [3, 2, 1]),
    ("arctan of infinity", np.arctan, [INF], [0]),
    (
        "the safe branch of where",
        lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), 0.0),
        [-1.0, 0.0, 2.0],
        [0, 0, 0.5],
    ),
    ("where on a tracked and a number", lambda x: np.where(x > 0, x, 7.0), [-1.0, 2.0], [0, 1]),
]


@for_each("f, x, expected", [pytest.param(*case, id=name) for name, *case in EDGES])
def test_gradient_at_the_edge(f, x, expected):
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("f", [np.sqrt, np.log, np.reciprocal, lambda x: x**0.5, np.log2, np.cbrt])
def test_poles_are_infinite_not_nan(f):
    with np.errstate(divide="ignore"):
        assert np.isinf(gradient(f, [0.0])).all()


def test_power_with_both_tracked():
    base, exponent = gradient(lambda a, b: a**b, [0.0, 0.0, 0.0, 2.0, 1.0], [0.0, 2.0, 1.0, 3.0, 0.0])
    np.testing.assert_allclose(base, [0, 0, 1, 12, 0])
    np.testing.assert_allclose(exponent, [0, 0, 0, 8 * math.log(2), 0])


def test_second_order_of_powers_at_zero():
    x = leaf([0.0, 0.0, 0.0])
    np.sum(x ** np.array([1.0, 2.0, 3.0])).backward(create_graph=True)
    slope = x.grad
    x.zero_grad()
    slope.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 2.0, 0.0])


def test_clip_between_tracked_bounds():
    x, low, high = gradient(np.clip, [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0] * 5, [1.0] * 5)
    np.testing.assert_array_equal(x, [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(low, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(high, [0, 0, 0, 0, 1])
    _, low, high = gradient(np.clip, [0.0], [2.0], [1.0])  # crossed: NumPy returns the upper bound
    np.testing.assert_array_equal([low, high], [[0], [1]])


since_numpy_2_1 = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy 2.0 lacks these keywords"
)


@since_numpy_2_1
@pytest.mark.parametrize("form", [{"min": 0.0, "max": 1.0}, {"min": 0.0}, {"max": 1.0}])
def test_clip_by_its_new_keywords(form):
    check(lambda x: np.clip(x, **form), M)


@since_numpy_2_1
def test_reshape_by_its_new_keyword():
    check(lambda x: np.reshape(x, shape=(4, 6)), CUBE)


def test_clip_by_its_old_keywords():
    check(lambda x: np.clip(x, a_min=0.0, a_max=1.0), M)


@since_numpy_2_1
def test_clip_takes_a_bound_once():
    for x in (M, leaf(M)):
        with pytest.raises(ValueError, match="max"):
            np.clip(x, -1.0, 1.0, max=0.5)
        with pytest.raises(ValueError, match="min"):
            np.clip(x, -1.0, 1.0, min=0.5)


def test_nan_to_num_in_place():
    numbers = np.array([np.nan, 2.0, np.inf])
    x = leaf(numbers)
    y = np.nan_to_num(x, copy=False, posinf=5.0)
    assert y is x
    np.testing.assert_array_equal(x.data, [0.0, 2.0, 5.0])
    (x * x).sum().backward()
    z = leaf(numbers)
    np.nan_to_num(z).sum().backward()
    np.testing.assert_array_equal(z.data, numbers)
    np.testing.assert_array_equal(z.grad.data, [0.0, 1.0, 0.0])
    w = leaf([complex(np.nan, np.inf), 1 + 2j])
    np.nan_to_num(w, copy=False, posinf=7.0)
    np.testing.assert_array_equal(w.data, [7j, 1 + 2j])


def test_wheres_bad_branch_gets_no_gradient_of_its_own():
    x = leaf([-1.0, 4.0])
    with np.errstate(invalid="ignore"):
        y = np.where(x > 0, np.sqrt(x), 0.0)
        np.testing.assert_array_equal(y.data, [0.0, 2.0])
        y.sum().backward()
    assert x.grad.data[1] == 0.25


def test_where_with_one_choice_is_refused():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="where: 1 choices were given; pass both"):
        np.where(x > 1, x)
    with pytest.raises(ValueError, match="both"):
        np.where(np.array([True, False]), np.ones(2))  # NumPy's own


def test_where_with_one_argument():
    rows, columns = np.where(tensor(M) > 0)
    expected = np.where(M > 0)
    np.testing.assert_array_equal(np.asarray(rows), expected[0])
    np.testing.assert_array_equal(np.asarray(columns), expected[1])


def test_full_like_of_a_tracked_value_is_not_lost_silently():
    s = leaf(2.0)
    try:
        y = np.full_like(M, s)
    except (UnsupportedError, RuntimeError):
        return
    y.sum().backward()
    assert s.grad.item() == M.size


# -- elementwise ---------------------------------------------------------------------------------


def test_float_power_and_its_alias():
    check(lambda x: np.float_power(x, 2.5), np.abs(M) + 0.1)
    assert np.pow is np.power


def test_sigmoid_against_high_precision():
    x = np.linspace(-80, 80, 641)
    exact = np.array([1 / (1 + math.exp(-v)) for v in x])
    np.testing.assert_allclose(F.sigmoid(x), exact, rtol=4e-16)
    single = F.sigmoid(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=3e-7, atol=0)
    np.testing.assert_array_equal(F.sigmoid(np.array([-1000.0, 1000.0])).round(300), [0.0, 1.0])
    for dtype in (np.float16, np.float32, np.float64):
        far = F.sigmoid(np.array([-INF, -1e4, 1e4, INF], dtype))
        np.testing.assert_allclose(far, [0, 0, 1, 1], atol=2e-5 if dtype == np.float16 else 1e-37)


def test_softplus_against_high_precision():
    x = np.linspace(-700, 700, 281)
    exact = [math.log1p(math.exp(-abs(v))) + max(v, 0.0) for v in x]
    np.testing.assert_allclose(F.softplus(x), exact, rtol=1e-15)
    np.testing.assert_array_equal(F.softplus(np.array([-INF, INF])), [0.0, INF])


def test_erf_and_gelu_against_math():
    x = np.concatenate([np.linspace(-7, 7, 1401), [0.0, 0.46875, 4.0, -4.0, 1e-10, -1e-300, 30.0, -30.0]])
    exact = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(F.erf(x), exact, rtol=1e-15, atol=1e-300)
    share = np.array([math.erfc(-v / math.sqrt(2)) for v in x]) / 2
    np.testing.assert_allclose(F.gelu(x), x * share, rtol=1e-12)
    np.testing.assert_allclose(F.gelu(x.astype(np.float32)), x * share, rtol=5e-5, atol=1e-37)
    np.testing.assert_allclose(F.erf(x.astype(np.float32)), exact, rtol=5e-7, atol=1e-44)


def test_gelu_in_single_precision_and_in_any_order_of_memory():
    """Large arrays are computed in pieces, one after the other in memory."""
    x = np.random.default_rng(0).normal(scale=3, size=(300, 600)).astype(np.float32)
    assert x.size > 4 * PIECE
    for view in (
        x,
        x.T,
        x.reshape(30, 20, 300).transpose(2, 0, 1),
        x[::2],
        x[:, ::-1],
        x[1:, 2:],
        x[:1] + 0 * x,
    ):
        wanted = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in map(float, view.reshape(-1))]
        found = F.gelu(view)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.reshape(-1), wanted, rtol=5e-5, atol=1e-37)
    column = np.broadcast_to(x[:, :1], x.shape)
    np.testing.assert_array_equal(F.gelu(column), np.broadcast_to(F.gelu(x[:, :1]), x.shape))
    assert np.isnan(F.erf(np.array([math.nan]))).all()


@for_each("shift", [0.0, 1e5, -1e5, 1e300])
@for_each("axis", [0, 1, -1])
def test_soft_maxima_anywhere(axis, shift):
    x = M + shift
    shifted = x - x.max(axis=axis, keepdims=True)
    exact = np.exp(shifted) / np.exp(shifted).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(F.softmax(x, axis=axis), exact, rtol=1e-14)
    np.testing.assert_allclose(F.log_softmax(x, axis=axis), np.log(exact), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(
        F.logsumexp(x, axis=axis), np.log(np.exp(shifted).sum(axis=axis)) + x.max(axis=axis), rtol=1e-14
    )


def test_soft_maxima_with_masked_places():
    x = np.array([[0.0, -INF, 1.0], [-INF, 5.0, -INF]])
    np.testing.assert_allclose(F.softmax(x)[1], [0, 1, 0])
    np.testing.assert_allclose(F.log_softmax(x)[1], [-INF, 0, -INF])
    np.testing.assert_allclose(F.logsumexp(x, axis=1), [math.log(1 + math.e), 5.0])
    assert np.isfinite(gradient(lambda t: F.softmax(t) * M[:2, :3], x)).all()
    assert np.isfinite(gradient(lambda t: F.logsumexp(t, axis=1), x)).all()
    assert np.isfinite(gradient(lambda t: F.log_softmax(t)[[0, 1], [2, 1]], x)).all()


def test_logsumexp_axes():
    for settings in (
        {},
        {"axis": 0},
        {"axis": (0, 2)},
        {"axis": -1, "keepdims": True},
        {"keepdims": True},
        {"axis": ()},
    ):
        expected = np.log(np.sum(np.exp(CUBE), **settings))
        result = F.logsumexp(CUBE, **settings)
        assert np.shape(result) == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-13)
        assert tg.testing.gradcheck(lambda x, settings=settings: F.logsumexp(x, **settings), CUBE, order=2)


@pytest.mark.parametrize("f", [F.relu, F.leaky_relu, F.elu, F.gelu, F.erf, F.softplus, F.sigmoid])
def test_activations_take_plain_numbers(f):
    np.testing.assert_allclose(f(0.5), f(np.array([0.5]))[0])


def test_activations_formulas():
    x = M
    np.testing.assert_allclose(F.relu(x), np.maximum(x, 0))
    np.testing.assert_allclose(F.leaky_relu(x, slope=0.3), np.where(x > 0, x, 0.3 * x))
    np.testing.assert_allclose(F.elu(x, alpha=2.0), np.where(x > 0, x, 2 * np.expm1(x)))
    np.testing.assert_allclose(F.elu(np.array([1e4, -1e4])), [1e4, -1.0])


def test_one_hot():
    np.testing.assert_array_equal(F.one_hot(np.array([[0, 2]]), 3, np.float32), [[[1, 0, 0], [0, 0, 1]]])
    np.testing.assert_array_equal(F.one_hot([1], 2, float), [[0, 1]])
    assert isinstance(F.one_hot(tg.tensor([1]), 2, float), tg.Tensor)
    assert F.one_hot(np.zeros((0, 2), int), 3, float).shape == (0, 2, 3)


@pytest.mark.parametrize("labels", [[3, 0], [-1, 0], [0, 3]])
def test_one_hot_refuses_labels_that_are_no_class(labels):
    with pytest.raises(tg.errors.OptionError, match="there are 3 classes, 0 to 2"):
        F.one_hot(np.array(labels), 3, float)
    hot = tg.compile(lambda y: F.one_hot(y, 3, float) * 2)
    np.testing.assert_array_equal(hot(np.array([2, 0])), [[0, 0, 2], [2, 0, 0]])
    with pytest.raises(ValueError, match="there are 3 classes, 0 to 2"):
        hot(np.array(labels))


def test_one_hot_refuses_labels_that_are_no_integers():
    with pytest.raises(tg.errors.DTypeError, match="must be integers, not float64"):
        F.one_hot(np.array([1.0]), 3, float)


# Functions with their slopes far out, where formulas overflow or cancel: values of high precision, rounded.
FAR_OUT = [
    (np.arcsinh, 1e200, 461.2101657793691, 1e-200),
    (np.arcsinh, -1e200, -461.2101657793691, 1e-200),
    (np.arcsinh, 1e-200, 1e-200, 1.0),
    (np.arccosh, 1e200, 461.2101657793691, 1e-200),
    (np.arccosh, 1 + 2.0**-40, 1.3486991523485068e-06, 741455.2001892967),
    (np.arctan, 1e200, math.pi / 2, 0.0),
    (np.arctan, 1e100, math.pi / 2, 1e-200),
    (np.arctanh, 1 - 2.0**-40, 14.20951720147865, 549755813888.25),
    (np.arcsin, 1 - 2.0**-40, 1.5707949780957443, 741455.2001896338),
    (np.arccos, -1 + 2.0**-40, 3.1415913048906406, -741455.2001896338),
    (np.log10, 1e308, 308.0, 4.342944819032518e-309),
    (np.log2, 1e-300, -996.5784284662087, 1.4426950408889634e300),
    (np.expm1, -30.0, -1.0, 9.357622968840175e-14),
    (np.expm1, -700.0, -1.0, 9.859676543759770e-305),
    (F.elu, -30.0, -1.0, 9.357622968840175e-14),
    (F.elu, -700.0, -1.0, 9.859676543759770e-305),
    (lambda x: F.elu(x, alpha=0.5), -30.0, -0.5, 4.6788114844200874e-14),
    (F.sigmoid, -700.0, 9.859676543759770e-305, 9.859676543759770e-305),
    (F.softplus, -700.0, 9.859676543759770e-305, 9.859676543759770e-305),
    (F.softplus, 1e300, 1e300, 1.0),
    (F.gelu, -10.0, -7.6198530241605261e-23, -7.618400096464814e-22),
    (F.gelu, -30.0, -1.4720141781444561e-196, -4.4160316907084944e-195),
    (F.gelu, 40.0, 40.0, 1.0),
    (np.i0, 1e-200, 1.0, 5e-201),
    (np.i0, -1e-5, 1.000000000025, -5.0000000000625e-06),
]


@for_each("f, x, value, slope", FAR_OUT)
def test_values_and_slopes_far_out(f, x, value, slope):
    found = tg.value_and_grad(f)(x)
    np.testing.assert_allclose(found, (value, slope), rtol=1e-11)
    np.testing.assert_allclose(tg.jvp(f, x, 1.0)[1], slope, rtol=1e-11)


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (np.arcsinh, 1e30, 69.77068, 1e-30),
        (np.arccosh, 1e30, 69.77068, 1e-30),
        (F.elu, -20.0, -1.0, 2.0611537e-09),
        (F.gelu, -5.0, -1.4332579e-06, -7.146946e-06),
        (np.expm1, -20.0, -1.0, 2.0611537e-09),
    ],
)
def test_float32_far_out(f, x, value, slope):
    found = tg.value_and_grad(f)(np.float32(x))
    np.testing.assert_allclose(found, (value, slope), rtol=2e-6)
    assert found[1].dtype == np.float32


@for_each(
    "f, x, value, slope",
    [
        (F.sigmoid, -12.0, 6.1442e-06, 6.1442e-06),
        (F.sigmoid, -20.0, 0.0, 0.0),
        (F.sigmoid, -6e4, 0.0, 0.0),
        (F.sigmoid, 6e4, 1.0, 0.0),
        (F.softplus, -12.0, 6.1442e-06, 6.1442e-06),
        (F.elu, -9.0, -1.0, 1.2341e-04),
        (F.gelu, -3.0, -0.0040497, -0.011946),
        (np.arctan, 300.0, 1.5675, 1.1111e-05),
        (np.arcsinh, 3e4, 11.0, 3.3333e-05),
        (np.arccosh, 3e4, 11.0, 3.3333e-05),
    ],
)
def test_float16_far_out(f, x, value, slope):
    found = tg.value_and_grad(f)(np.float16(x))
    np.testing.assert_allclose(found, (value, slope), rtol=4e-3, atol=6e-8)
    assert found[0].dtype == np.float16


def test_soft_maxima_of_float16():
    x = np.zeros(70_000, np.float16)  # whose exponentials add up to more than float16 holds
    np.testing.assert_allclose(F.log_softmax(x)[0], -math.log(70_000), rtol=1e-3)
    np.testing.assert_allclose(F.logsumexp(x), math.log(70_000), rtol=1e-3)
    np.testing.assert_allclose(F.softmax(x)[0], 1 / 70_000, rtol=1e-2)
    ends = np.array([65504.0, -65504.0], np.float16)
    np.testing.assert_array_equal(F.softmax(ends), [1.0, 0.0])
    slope = tg.grad(lambda x: F.cross_entropy(x, np.array(0)))(x)
    assert slope.dtype == np.float16
    np.testing.assert_allclose(slope[1], 1 / 70_000, rtol=1e-2)


# -- reductions ----------------------------------------------------------------------------------

REDUCTIONS = [np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std]


AXES = [None, 0, 2, -1, -3, (0, 1), (2, 0), (-1, -3), (0, 1, 2), (1,), ()]


@some_or_all
def test_reductions_over_any_axes(are_all):
    """The values of all, and the gradients of every third."""

    def check_reduction(i, reduction, keepdims, axis):
        # The standard deviation of single elements has no second derivative.
        has_gradient = (are_all or i % 3 == 0) and not (axis == () and reduction is np.std)
        compare = check if has_gradient else check_value
        compare(lambda x: reduction(x, axis=axis, keepdims=keepdims), CUBE)

    cases = enumerate(itertools.product(REDUCTIONS, [False, True], AXES))
    check_cases(check_reduction, ((str(case), i, *case) for i, case in cases))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reduction_forms(reduction):
    t = tensor(M)
    np.testing.assert_allclose(reduction(t, 0).data, reduction(M, 0))
    np.testing.assert_allclose(reduction(a=t, axis=1).data, reduction(M, axis=1))
    with pytest.raises(ValueError, match=r"axis|out of bounds"):
        reduction(t, axis=2)


@pytest.mark.parametrize("ddof", [0, 1, 0.5])
@pytest.mark.parametrize("f", [np.var, np.std])
def test_degrees_of_freedom(f, ddof):
    check(lambda x: f(x, axis=1, ddof=ddof), M)


def test_no_degrees_of_freedom_left():
    x = leaf([1.0])
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        y = np.var(x, ddof=1)
    assert np.isnan(y.item())
    with np.errstate(all="ignore"):
        y.backward()
    assert np.isnan(x.grad.item())


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_reductions_of_nothing(shape):
    x = leaf(np.zeros(shape))
    for f in (np.sum, np.prod, lambda t: np.sum(t, axis=0), lambda t: np.prod(t, axis=-1), np.cumsum):
        x.zero_grad()
        y = f(x)
        np.testing.assert_array_equal(y.data, f(np.zeros(shape)))
        y.backward(np.ones(y.shape))
        assert x.grad.shape == shape
    with pytest.raises(ValueError, match="zero-size"):
        np.max(x)


@for_each("zeros", [0, 1, 2, 3])
@for_each("length", [1, 2, 3, 7, 8])
def test_prod_to_second_order_with_zeros(zeros, length):
    x = RNG.uniform(0.5, 2, length)
    x[:zeros] = 0.0
    check(np.prod, x)


def test_prod_to_third_order():
    x = leaf([2.0, 3.0, 5.0])
    np.prod(x).backward(create_graph=True)
    first = x.grad  # [15, 10, 6]
    x.zero_grad()
    first.sum().backward(create_graph=True)
    second = x.grad
    np.testing.assert_allclose(second.data, [8, 7, 5])
    x.zero_grad()
    second.sum().backward()
    np.testing.assert_allclose(x.grad.data, [2, 2, 2])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_cumsum(axis):
    check(lambda x: np.cumsum(x, axis=axis), M)


HUGE = np.full(10, 1_700_000_000_000_000_000)
BYTES = np.arange(250, 256, dtype=np.uint8)
SHORT = np.array([[100, 120], [127, -128]], np.int8)
FLAGS = np.array([True, False, True])


@for_each("x", [HUGE, BYTES, SHORT, FLAGS, np.full(4, 2**63, np.uint64)])
@for_each(
    "f",
    [
        *(np.mean, np.var, np.std, np.average, np.median, np.nanmean, np.nanvar, np.nanstd, np.nanmedian),
        *(np.sum, np.prod, np.max, np.cumsum, np.divide.reduce, np.hypot.reduce, np.logaddexp.reduce),
        lambda x: np.mean(x, axis=-1, keepdims=True),
        lambda x: np.mean(x, dtype=np.float32),
        lambda x: np.mean(x, where=x > 0),
        lambda x: np.average(x, weights=np.ones(x.shape, int)),
        lambda x: np.logaddexp.accumulate(x, axis=0),
    ],
)
def test_integers_and_booleans_reduce_as_numpys(f, x):
    with np.errstate(divide="ignore"):
        found, expected = f(tensor(x)), f(x)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.data, expected, rtol=1e-3 if found.dtype == np.float16 else 1e-6)


def test_the_mean_of_large_integers_is_no_sum_of_theirs():
    assert np.mean(tensor(HUGE)).item() == 1.7e18


def test_float16_reduces_as_precisely_as_numpys():
    x = np.linspace(-20, 30, 200).astype(np.float16)
    for f in (np.mean, np.var, np.std, np.average, np.median, np.ptp):
        found = f(tensor(x))
        assert found.dtype == np.float16
        np.testing.assert_allclose(found.data, f(x), rtol=1e-3)


ALONE = [
    *(np.sum, np.prod, np.max, np.min, np.cumsum, np.cumprod, np.nansum, np.nanprod, np.nanmax, np.nanmean),
    *(ufunc.reduce for ufunc in (np.add, np.multiply, np.maximum, np.minimum, np.logaddexp, np.hypot)),
    *(ufunc.reduce for ufunc in (np.subtract, np.divide, np.fmax, np.arctan2)),
    lambda x, axis: np.take(x, 0, axis=axis),
    lambda x, axis: np.take(x, [0, -1, 0], axis=axis),
    lambda x, axis: np.repeat(x, 2, axis=axis),
    lambda x, axis: np.multiply.reduce(x, axis=axis, keepdims=True),
    lambda x, axis: np.subtract.reduce(x, axis=axis, keepdims=True),
    lambda x, axis: np.subtract.reduce(x, axis=axis, initial=2.0),
]


@for_each("f", ALONE)
@for_each("axis", [0, -1, None])
def test_a_number_has_the_axes_that_numpy_gives_it(f, axis):
    check(lambda x: f(x, axis=axis), np.array(1.7))


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("f", [np.mean, np.var, np.median])
def test_a_number_has_no_axis_to_average_over(f, axis):
    for x in (np.array(1.7), tensor(1.7), leaf(1.7)):
        with pytest.raises(IndexError):
            f(x, axis=axis)


def test_methods_of_ufuncs_refuse_what_numpy_refuses():
    for x in (M, tensor(M), leaf(M)):
        for call in (
            lambda x: np.subtract.reduce(x, axis=None),
            lambda x: np.add.accumulate(x, axis=None),
            lambda x: np.divide.accumulate(x, axis=None),
            lambda x: np.add.reduceat(x, [0], axis=None),
        ):
            with pytest.raises(ValueError, match=r"axes|reorderable"):
                call(x)
        with pytest.raises(TypeError, match="accumulate on a scalar"):
            np.add.accumulate(x[0, 0])
    for ufunc in (np.add, np.subtract):
        check(lambda x, u=ufunc: u.accumulate(x, axis=None), M[0])


def test_mean_of_float16_does_not_overflow():
    t = leaf(np.full(70_000, 60_000.0), np.float16)
    y = np.mean(t)
    assert y.dtype == np.float16
    assert abs(y.item() - 60_000) <= 32


# -- products ------------------------------------------------------------------------------------


@for_each(
    "a, b",
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((1, 2, 3), (5, 3, 4)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((1, 1), (1, 1)),
    ],
)
def test_matmul(a, b):
    check(np.matmul, RNG.normal(size=a), RNG.normal(size=b))


@for_each(
    "a, b",
    [
        ((), (2, 3)),
        ((2, 3), ()),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 4)),
        ((2, 2, 3), (4, 3, 2)),
        ((), ()),
    ],
)
def test_dot(a, b):
    check(np.dot, RNG.normal(size=a), RNG.normal(size=b))


def test_dot_with_a_plain_number():
    check(lambda x: np.dot(x, 2.0), M)
    check(lambda x: np.dot(2.0, x), M)


@for_each("axes", [0, 1, 2, ((1,), (0,)), (1, 0), ([0, 1], [1, 0]), ((-1,), (-2,)), ([], [])])
def test_tensordot(axes):
    if axes == 2:
        a, b = CUBE, RNG.normal(size=(3, 4, 2))
    elif axes == ([0, 1], [1, 0]):
        a, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(3, 2))
    else:
        a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 2))
    check(lambda x, y: np.tensordot(x, y, axes), a, b)


def test_tensordot_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"tensordot.*\(3, 4\)"):
        np.tensordot(leaf(M), leaf(M), 1)


def test_products_with_lists():
    t = leaf(M)
    np.testing.assert_allclose(np.dot([1.0, 2.0, 3.0], t).data, np.dot([1.0, 2.0, 3.0], M))
    np.testing.assert_allclose(np.outer([1.0, 2.0], t).data, np.outer([1.0, 2.0], M))
    np.testing.assert_allclose(
        np.tensordot([[1.0, 2.0, 3.0]], t, 1).data, np.tensordot([[1.0, 2.0, 3.0]], M, 1)
    )


def test_outer():
    check(np.outer, RNG.normal(size=2), RNG.normal(size=(2, 2)))
    check(lambda x: np.outer(x, 2.0), M)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 2)),
    ("ij,jk", (2, 3), (3, 2)),
    ("ij , jk -> ki", (2, 3), (3, 2)),
    ("i,i", (3,), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iii->i", (2, 2, 2)),
    ("iij->j", (2, 2, 3)),
    ("iji->j", (2, 3, 2)),
    ("ij->", (2, 3)),
    ("ij->ji", (2, 3)),
    ("ba", (2, 3)),
    ("ijk->k", (2, 3, 2)),
    ("ij,ij->i", (2, 3), (2, 3)),
    ("ij,j->i", (2, 3), (3,)),
    ("ij,kl->", (2, 2), (2, 3)),
    ("...ij,...jk->...ik", (4, 2, 3), (4, 3, 2)),
    ("...ij,...jk", (4, 2, 3), (3, 2)),
    ("...i->...", (2, 2, 3)),
    ("i...->...i", (2, 3)),
    ("...,...->...", (2, 3), (3,)),
    ("...ij,jk->ik...", (2, 2, 3), (3, 2)),
    ("a,b,c->abc", (2,), (2,), (3,)),
    ("ii,i->", (3, 3), (3,)),
    ("ij,jk->ik", (2, 1), (3, 2)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("Ab,bA->A", (2, 3), (3, 2)),
    (",i->i", (), (3,)),
    ("->", ()),
    ("ij,jk,kl->il", (2, 2), (2, 3), (3, 2)),
]


@for_each("optimize", [False, True])
@for_each("subscripts, shapes", [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum(subscripts, shapes, optimize):
    check(lambda *xs: np.einsum(subscripts, *xs, optimize=optimize), *(RNG.normal(size=s) for s in shapes))


def test_einsum_with_sublists():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
    check(lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]), a, b)
    check(lambda x, y: np.einsum(x, [0, 1], y, [1, 2]), a, b)
    check(lambda x: np.einsum(x, [1, 0]), a)
    check(lambda x: np.einsum(x, [0, 0], []), SQUARE)
    check(lambda x, y: np.einsum(x, [Ellipsis, 0], y, [0, 2], [Ellipsis, 2]), a, b)


def test_linear():
    x, w, b = RNG.normal(size=(5, 3)), RNG.normal(size=(2, 3)), RNG.normal(size=2)
    check(F.linear, x, w, b)
    check(lambda x, w: F.linear(x, w, None), x, w)
    check(F.linear, x[0], w, b)
    check(F.linear, x[:1], w, b)
    check(F.linear, x[:0], w, b)
    check(F.linear, np.stack([x, x]), w, b)


# -- shapes --------------------------------------------------------------------------------------

SHAPES = [
    ("reshape", lambda x: np.reshape(x, (4, -1)), CUBE),
    ("reshape F", lambda x: np.reshape(x, (6, 4), order="F"), CUBE),
    ("reshape A", lambda x: np.reshape(x.T, (6, 4), order="A"), CUBE),
    ("reshape A of C", lambda x: np.reshape(x, (6, 4), order="A"), CUBE),
    ("reshape to nothing", lambda x: np.reshape(x, ()), np.ones((1, 1))),
    ("ravel", np.ravel, CUBE),
    ("ravel F", lambda x: np.ravel(x, "F"), CUBE),
    ("ravel K", lambda x: np.ravel(x, "K"), CUBE),
    ("ravel A", lambda x: np.ravel(x.T, order="A"), CUBE),
    ("transpose", np.transpose, CUBE),
    ("transpose axes", lambda x: np.transpose(x, (2, 0, 1)), CUBE),
    ("transpose a list", lambda x: np.transpose(x, axes=[1, -1, 0]), CUBE),
    ("permute_dims", lambda x: np.permute_dims(x, (-1, -3, -2)), CUBE),
    ("swapaxes", lambda x: np.swapaxes(x, -1, 0), CUBE),
    ("moveaxis", lambda x: np.moveaxis(x, 0, -1), CUBE),
    ("moveaxis several", lambda x: np.moveaxis(x, [0, 2], [-1, 0]), CUBE),
    ("squeeze", np.squeeze, CUBE[:1, :, :1]),
    ("squeeze axis", lambda x: np.squeeze(x, axis=-1), CUBE[:1, :, :1]),
    ("squeeze axes", lambda x: np.squeeze(x, axis=(0, 2)), CUBE[:1, :, :1]),
    ("expand_dims", lambda x: np.expand_dims(x, -2), M),
    ("expand_dims several", lambda x: np.expand_dims(x, (0, 3)), M),
    ("expand_dims a list", lambda x: np.expand_dims(x, [0, -1]), M),
    ("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), M),
    ("broadcast_to stretched", lambda x: np.broadcast_to(x, (3, 5)), M[:, :1]),
    ("broadcast_to empty", lambda x: np.broadcast_to(x, (0, 4)), M[:1]),
    ("flip", np.flip, CUBE),
    ("flip axis", lambda x: np.flip(x, 1), CUBE),
    ("flip axes", lambda x: np.flip(x, (0, -1)), CUBE),
    ("roll", lambda x: np.roll(x, 2), M),
    ("roll axis", lambda x: np.roll(x, -1, axis=1), M),
    ("roll axes", lambda x: np.roll(x, (1, -2), axis=(0, 1)), M),
    ("roll lists", lambda x: np.roll(x, [1, -2], axis=[0, 1]), M),
    ("roll one shift, two axes", lambda x: np.roll(x, 1, axis=(0, 1)), M),
    ("roll one axis twice", lambda x: np.roll(x, (1, 1), axis=(1, 1)), M),
    ("roll two shifts, flat", lambda x: np.roll(x, (1, 3)), M),
    ("repeat", lambda x: np.repeat(x, 2), M),
    ("repeat axis", lambda x: np.repeat(x, 3, axis=-1), M),
    ("repeat each its own", lambda x: np.repeat(x, [0, 2, 1], axis=0), M),
    ("repeat an array", lambda x: np.repeat(x, np.array([2]), axis=1), M),
    ("repeat never", lambda x: np.repeat(x, 0, axis=0), M),
    ("tile", lambda x: np.tile(x, 2), M),
    ("tile axes", lambda x: np.tile(x, (2, 1)), M),
    ("tile to more axes", lambda x: np.tile(x, (2, 1, 3)), M),
    ("tile fewer axes", lambda x: np.tile(x, (2,)), CUBE),
    ("tile an array", lambda x: np.tile(x, np.array([1, 2])), M),
    ("tile never", lambda x: np.tile(x, (0, 2)), M),
    ("pad", lambda x: np.pad(x, 1), M),
    ("pad pair", lambda x: np.pad(x, (1, 2), constant_values=3.0), M),
    ("pad pairs", lambda x: np.pad(x, ((1, 0), (0, 2))), M),
    ("pad one pair for all", lambda x: np.pad(x, ((1, 2),)), M),
    ("pad each the same", lambda x: np.pad(x, ((1,), (2,))), M),
    ("pad constant pair", lambda x: np.pad(x, 1, constant_values=(1.0, 2.0)), M),
    ("pad nothing", lambda x: np.pad(x, 0), M),
    ("pad edge", lambda x: np.pad(x, (1, 2), "edge"), M),
    ("pad reflect", lambda x: np.pad(x, ((2, 1), (3, 0)), mode="reflect"), M),
    ("pad reflect far", lambda x: np.pad(x, (5, 7), mode="reflect"), M[0]),
    ("pad symmetric", lambda x: np.pad(x, 2, mode="symmetric"), M),
    ("pad wrap", lambda x: np.pad(x, ((0, 3), (4, 1)), mode="wrap"), M),
]


@for_each("f, x", [pytest.param(f, x, id=name) for name, f, x in SHAPES])
def test_shape_functions(f, x):
    check(f, x)


# -- joining -------------------------------------------------------------------------------------

JOINS = [
    ("concatenate", lambda a, b: np.concatenate([a, b]), M, M[:1]),
    ("concatenate a tuple", lambda a, b: np.concatenate((a, b), axis=-1), M, M[:, :1]),
    ("concatenate flat", lambda a, b: np.concatenate([a, b], axis=None), M, CUBE),
    ("concatenate empty", lambda a, b: np.concatenate([a, b], axis=1), M, M[:, :0]),
    ("concatenate one with itself", lambda a, b: np.concatenate([a, b, a]), M, M),
    ("concat", lambda a, b: np.concat([a, b]), M, M),
    ("stack", lambda a, b: np.stack([a, b]), M, M),
    ("stack last", lambda a, b: np.stack([a, b, a], axis=-1), M, M),
    ("stack middle", lambda a, b: np.stack((a, b), axis=-2), M, M),
    ("vstack", lambda a, b: np.vstack([a, b]), M[0], M),
    ("vstack rows", lambda a, b: np.vstack((a, b)), M[0], M[1]),
    ("hstack", lambda a, b: np.hstack([a, b]), M, M[:, :2]),
    ("hstack flat", lambda a, b: np.hstack([a, b]), M[0], M[1, :2]),
]


@for_each("f, a, b", [pytest.param(*case, id=name) for name, *case in JOINS])
def test_joins(f, a, b):
    check(f, a, b)


def test_joining_tracked_plain_and_listed():
    x = leaf([1.0, 2.0])
    y = np.concatenate([x, np.ones(2), [5.0]])
    np.testing.assert_array_equal(y.data, [1, 2, 1, 1, 5])
    (y * np.arange(5.0)).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 1])
    assert np.stack([leaf(1.0), 2.0, np.float64(3.0)]).shape == (3,)
    np.testing.assert_array_equal(np.concatenate(leaf(M)).data, np.concatenate(M))
    np.testing.assert_array_equal(np.hstack([leaf(1.0), 2.0]).data, [1.0, 2.0])


def test_joining_different_dtypes():
    a, b = leaf([1.0], np.float32), leaf([2.0], np.float64)
    y = np.concatenate([a, b])
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32
    assert np.concatenate([a, a], dtype=np.float64).dtype == np.float64


# -- indexing ------------------------------------------------------------------------------------

INDEXES = [
    1,
    -1,
    np.int64(1),
    slice(1, None),
    slice(None, None, -1),
    slice(5, 1),
    (1, 2),
    (slice(None), -1),
    Ellipsis,
    None,
    (None, 1, None),
    (Ellipsis, 0),
    (1, Ellipsis),
    (slice(None, None, 2), slice(None, None, -2)),
    [0, 2, 0],
    [],
    np.array([2, 2, 2]),
    np.array([[0, 1], [1, 0]]),
    np.array(1),
    ([0, 1], [1, 1]),
    ((0, 0, 1), (1, 1, 2)),
    ((0, 0),),
    (range(2), 1),
    (np.array([[0], [2]]), np.array([1, 1])),
    (slice(None), [1, 1]),
    ([0, 0], slice(1, 3)),
    (None, [0, 0]),
    M > 0,
    (M > 0)[:, 0],
    (slice(None), (M > 0)[0]),
    ([0, 0], (M > 0)[0][:2].nonzero()[0][:1]),
    True,
    False,
    np.True_,
    [True, False, True],
    (Ellipsis, [0, 0]),
    tensor([0, 0]),
    tensor(M > 0.5),
    (tensor(1), tensor([0, 0])),
    tensor(2),
    (np.array([0, 0]), 1),
    (1, None, [0, 0]),
]


@for_each("index", INDEXES)
def test_getitem(index):
    def plain(part):
        return part.data if isinstance(part, tg.Tensor) else part

    raw = tuple(map(plain, index)) if isinstance(index, tuple) else plain(index)
    np.testing.assert_array_equal(leaf(M)[index].data, M[raw])
    assert tg.testing.gradcheck(lambda x: x[index] ** 2, M, order=2)
    expected = np.zeros_like(M)
    np.add.at(expected, raw, 1.0)
    np.testing.assert_array_equal(gradient(lambda x: x[index], M), expected)


def test_three_dimensional_indexing():
    for index in [
        (slice(None), [0, 0], [1, 2]),
        ([0, 1], slice(None), [1, 1]),
        (0, slice(None), [1, 1, 3]),
        ([1, 1], Ellipsis),
        (CUBE > 0),
        (slice(None), (CUBE > 0)[0]),
        ([1, 1], [0, 0], [2, 2]),
        (Ellipsis, (0, 0), (1, 1)),
    ]:
        check(lambda x, index=index: x[index], CUBE)


TAKES = [
    (1, None),
    ([0, 0, 5], None),
    ([0, 0, 2], 0),
    ([[0, 1], [1, 1]], 1),
    (-1, 1),
    (np.array([2, 2]), -1),
    (0, -2),
    (np.array(1), 0),
    ([], 0),
]


@for_each("indices, axis", TAKES, ids=str)
def test_take(indices, axis):
    indices = np.asarray(indices, int) if isinstance(indices, list) else indices
    check(lambda x: np.take(x, indices, axis=axis), M)


def test_take_along_axis():
    order = np.argsort(M, axis=1)
    check(lambda x: np.take_along_axis(x, order, axis=1), M)
    check(lambda x: np.take_along_axis(x, order, axis=-1), M)
    check(lambda x: np.take_along_axis(x, np.array([[0], [0], [3]]), axis=1), M)
    check(lambda x: np.take_along_axis(x, np.array([[0, 0, 2, -1]]), axis=0), M)
    check(lambda x: np.take_along_axis(x, np.array([[1, 1]]), axis=1), M)  # broadcast over the rows
    check(lambda x: np.take_along_axis(x, np.array([3, 3, 0]), axis=None), M)


# -- options and mistakes ------------------------------------------------------------------------


def test_dropout_refuses_what_is_no_probability():
    for p in (-0.1, 1.0, 1.5, math.nan):
        with pytest.raises(OptionError, match="probability"):
            F.dropout(M, p)
