"""Arrays in traced functions: written into, looked at in other ways, and asked for what no program can tell."""

from __future__ import annotations

import copy
import functools
import math
import random
import warnings

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import CompileError, GradientError, UnsupportedError
from tinygrad_mnist.nn import functional as F  # noqa: N812

X, Y = np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 4.0])
M, L = np.arange(12.0).reshape(3, 4) - 5, np.sin(np.arange(12.0)).reshape(3, 4)
I, J = np.array([0, 2, 1]), np.array([2, 2, 0])  # noqa: E741
B, C = np.array([True, False, True]), np.array([False, False, True])


def plain(tree):
    return [np.asarray(x.data if isinstance(x, tg.Tensor) else x) for x in tg.trees.leaves(tree)]


def assert_same(f, *calls):
    """Compiled at the first call, and right in all."""
    compiled = tg.compile(f)
    for args in calls:
        given, others = copy.deepcopy(args), copy.deepcopy(args)
        expected, got = plain(f(*others)), plain(compiled(*given))
        for x, y in zip(got, expected, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


def refusal(f, *args) -> str:
    with pytest.raises(CompileError) as caught:
        tg.compile(f)(*args)
    return str(caught.value)


# -- written into ------------------------------------------------------------------------------------

WRITES = {}


def writes(*calls):
    def register(f):
        WRITES[f.__name__] = f, calls
        return f

    return register


@writes((X,), (Y,))
def slices(x):
    y = x.copy()
    y[1:] += y[:-1]
    y[::2] *= 2
    y[-1] /= 3
    return y


@writes((M,), (L,))
def rows_swapped(x):
    y, z = x.copy(), x.copy()
    y[[0, 1]] = y[[1, 0]]
    z[0], z[1] = z[1], z[0]  # views, so that both become the same
    return y, z


@writes((M,), (L,))
def views_of_views(x):
    y = x.copy()
    v = y[1:].T
    w = v[::2]
    w += 10
    y[0] = 7
    v *= 2
    y.reshape(-1)[3] = 9
    y.ravel()[5:] -= 1
    np.swapaxes(y, 0, 1)[2] = 1
    return y, v, w


@writes((M,), (L,))
def what_is_a_copy_stays(x):
    y = x.copy()
    for part in (y.T.ravel(), y.flatten(), y[[0, 1]], y.T.reshape(-1)):
        part += 1
    return y


@writes((np.asfortranarray(M),), (np.asfortranarray(L),))
def memory_in_another_order(x):
    y = x.copy("K")
    y.ravel()[0] = 50
    y.T.ravel()[1] = 60
    return y


@writes((X,), (Y,))
def functions_that_write(x):
    y, z, d = x.copy(), np.zeros_like(x), np.zeros((3, 3))
    np.put(y, [0, 2], [7.0, 8.0])
    np.putmask(y, y > 7, -1.0)
    np.copyto(z, x, where=x > 0)
    np.fill_diagonal(d, x)
    np.place(z, z > 2, [5.0])
    return y, z, d


@writes((X,), (Y,))
def into_out(x):
    y, z, e = np.zeros_like(x), np.zeros(4), np.empty_like(x)
    np.log(x, out=y, where=x > 0)
    np.add(x, 1, out=z[1:])
    np.multiply(x, 2, out=e)
    m = np.outer(x, x)
    total, mean, running = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    np.sum(m, axis=0, out=total)
    m.mean(axis=1, out=mean)
    np.cumsum(m, axis=1, out=running)
    return y, z, e, total, mean, running


@writes((X, I), (Y, J))
def at_indices(x, i):
    y, z, w = np.zeros(4), x.copy(), np.zeros((3, 3))
    np.add.at(y, i, x)
    np.maximum.at(z, i, 2.0)
    w[i, [0, 1, 2]] = x
    return y, z, w


@writes((X,), (Y,))
def masks_that_change(x):
    y = x.copy()
    y[y > 1] = 0
    return y


@writes((M,), (L,))
def flat_and_fill(x):
    y, z = x.copy(), x.copy()
    y.flat[3] = 1
    z.flat = 2
    y[0].fill(4)
    y[1].sort()
    return y, z


@writes((X,), (Y,))
def numbers_stay_numbers(x):
    y = x.copy()
    first, total = y[0], x.sum()
    before = first, total
    first += 5
    total *= 2
    total += x
    kinds = isinstance(x[0], float), isinstance(x[:1], np.ndarray), np.isscalar(x.max())
    return y, before, first, total, sum(kinds)


@writes((X,), (Y,))
def one_buffer_for_all_rounds(x):
    total, part = 0, np.zeros(3)
    for k in range(3):
        part += k
        total = total + x * part
    return total


@writes((X,), (Y,))
def made_of_elements(x):
    row, matrix = np.array([v * 2 for v in x]), np.array([[x[0], 1.0], [2.0, x[1]]])
    return row, matrix, np.full(2, x[0]), np.fromiter((v for v in x), float), np.array_equal(row, x)


@writes((X,), (Y,))
def lists_of_elements(x):
    y = np.zeros((2, 2))
    y[0] = [x[0], 1]
    return y, x[:2] + [x[1], 2.0]  # noqa: RUF005


@writes((X,), (Y,))
def other_dtypes(x):
    return (
        np.add(x, 1, dtype=np.float32),
        np.add.reduce(x, dtype=np.float32),
        np.negative(x, dtype=np.float32),
    )


@writes((B, X), (C, Y))
def truth_values_in_arithmetic(b, x):
    return b * 2.5, b + b, b**2, ~b, x[0] + b, x[b.argmax()], (x > 1) & b, np.sum(b), np.mean(b)


@writes((X, I), (Y, J))
def picked(x, i):
    return (
        x[i],
        x[-i - 1],
        np.take(x, i),
        np.eye(3)[i],
        np.take(np.array([5, 6, 7]), i),
        x[np.argsort(-x)],
        x[i[0]],
    )


@writes((X,), (Y,))
def applied(x):
    m = np.outer(x, x)
    return np.apply_along_axis(lambda row: row / row.sum(), 0, m), [
        v * i for i, v in np.ndenumerate(x) for i in i
    ]


@for_each("name", WRITES)
def test_values(name):
    f, calls = WRITES[name]
    assert_same(f, *calls)


@pytest.mark.parametrize("name", ["slices", "rows_swapped", "views_of_views", "masks_that_change"])
def test_gradients(name):
    f, calls = WRITES[name]

    def total(x):
        return sum(np.sum(np.sin(part)) for part in tg.trees.leaves(f(x)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tg.grad(total)(*(x.copy() for x in calls[0]))
        except UnsupportedError as error:
            pytest.skip(f"no Tensor takes such a write: {error}"[:100])
        assert_same(tg.grad(total), *calls)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, i: np.putmask(x, x > 1, x * 2),
        lambda x, i: np.place(x, x > 0, [5.0, 6.0]),
        lambda x, i: np.add.at(x, i, x * x),
        lambda x, i: np.subtract.at(x, i, 2.0),
        lambda x, i: np.log(x * x, out=x, where=x > 0),
    ],
)
def test_gradients_of_what_is_written_into_a_tensor(f):
    def total(x, i):
        x = x * 1
        f(x, i)
        return np.sum(x * np.array([1.0, 2.0, 3.0]))

    assert_same(tg.grad(total), (X, I), (Y, J))


def test_a_tracked_tensor_is_not_lost_in_a_plain_array():
    def total(x):
        y = np.zeros((3, 3))
        np.fill_diagonal(y, x)
        return np.sum(y)

    with pytest.raises(GradientError, match="its gradient would be lost"):
        tg.compile(tg.grad(total))(X)


def test_the_sign_of_zero():
    f = lambda x: (-x * 0, -(x * 0), x * 0, x * -0.0, -(0 / x), 1 / (x * -0.0))  # noqa: E731
    compiled = tg.compile(f)
    with np.errstate(all="ignore"):
        for x in (X, -X):
            for got, expected in zip(compiled(x), f(x), strict=True):
                np.testing.assert_array_equal(got, expected)
                np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


# -- functions with short cuts -----------------------------------------------------------------------

GAPS = np.array([[1.0, np.nan, 3.0], [0.5, 2.0, 4.0]])
WHOLE = np.array([[1.0, 7.0, 3.0], [0.5, 2.0, 4.0]])


@for_each(
    "f",
    [
        *(
            getattr(np, f"nan{name}")
            for name in ("sum", "prod", "mean", "var", "std", "max", "min", "median")
        ),
        *(np.median, np.max, lambda x: np.nanquantile(x, 0.3, axis=1), lambda x: np.percentile(x, [20, 70])),
        lambda x: np.nanpercentile(x, 30, axis=0, method="nearest"),
        lambda x: np.sum(x, where=x > 2),
        lambda x: np.mean(x, axis=1, where=x < 5),
        lambda x: np.max(x, axis=0, where=x > 0.7, initial=0.1),
        lambda x: np.std(x, where=x < 5),
        lambda x: np.histogram([0.2, 0.9, 3.0], [0.0, 0.5, 1.0], weights=x[1])[0],
        lambda x: np.clip(x, None, 2.0),
        lambda x: np.select([x > 2, x < 1], [x, x * 2], 7.0),
        lambda x: np.gradient(x[1], x[1]),
    ],
)
def test_not_a_number_may_come_or_go(f):
    """What the first call did not meet, the next may: in values and in gradients."""

    def total(x):
        return np.sum(np.where(np.isnan(f(x)), 0.0, f(x)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for calls in ((WHOLE, GAPS), (GAPS, WHOLE)):
            assert_same(f, *((x,) for x in calls))
            assert_same(lambda x: f(tg.tensor(x)), *((x,) for x in calls))
            assert_same(tg.grad(total), *((x,) for x in calls))


def test_covariances_with_weights_and_condition_numbers():
    w = np.array([1.0, 2.0, 0.5])
    for f in (
        lambda x, w: np.cov(x, aweights=w),
        lambda x, w: np.corrcoef(x),
        lambda x, w: np.linalg.cond(x[:, :2]),
        lambda x, w: np.polyfit(w, x[0], 1),
        lambda x, w: np.linalg.lstsq(x.T, w)[0],
    ):
        assert_same(f, (WHOLE, w), (WHOLE + np.eye(2, 3), w * w))
        assert_same(tg.grad(lambda x, w: np.sum(f(x, w)), (0, 1)), (WHOLE, w), (WHOLE + np.eye(2, 3), w * w))  # noqa: B023


@pytest.mark.parametrize(
    ("f", "right", "wrong", "message"),
    [
        (lambda x, i: np.choose(i, [tg.tensor(x), x * 2]), np.array([0, 1, 0]), I, "2 choices"),
        (lambda x, q: np.quantile(tg.tensor(x), q), np.array(0.5), np.array(1.5), r"range \[0, 1\]"),
        (lambda x, w: np.cov(tg.tensor(x), aweights=w), X + 1, -X, "cannot be negative"),
        (lambda x, a: np.linalg.cond(tg.Tensor(a, requires_grad=True)), np.eye(2), np.zeros((2, 2)), "singular"),
    ],
)  # fmt: skip
def test_what_is_checked_at_every_call(f, right, wrong, message):
    compiled = tg.compile(f)
    np.testing.assert_allclose(plain(compiled(X, right))[0], plain(f(X, right))[0])
    for function in (f, compiled):
        with pytest.raises((ValueError, GradientError), match=message):
            function(X, wrong)


@pytest.mark.parametrize(
    ("f", "right", "wrong", "message"),
    [
        (lambda x, i: np.bincount(i, tg.tensor(x), minlength=3), I, np.array([0, 1, 5]), "minlength"),
        (lambda x, a: np.linalg.lstsq(tg.tensor(a), x)[0], M[:, :2], M[:, :2] * 0, "full rank"),
    ],
)
def test_what_a_program_cannot_do_at_a_later_call_runs_uncompiled(f, right, wrong, message):
    compiled = tg.compile(f)
    np.testing.assert_allclose(compiled(X, right).data, f(X, right).data)
    with pytest.warns(UserWarning, match=f"ran uncompiled.*{message}"):
        np.testing.assert_array_equal(compiled(X, wrong).data, f(X, wrong).data)


# -- what no program can do --------------------------------------------------------------------------


def decide(x):
    if x.sum() > 0:
        return x
    return -x


def caught(x):
    try:
        return decide(x)
    except Exception:
        return x * 100


@for_each(
    "f, says",
    [
        (decide, "a Python `if`"),
        (caught, "a Python `if`"),
        (lambda x: x if not x.any() else -x, "a Python `if`"),
        (lambda x: [not x.any()], "`not`"),
        (lambda x: [2.0 in x], "`in`"),
        (lambda x: max(x[0], x[1]), "a Python function"),
        (lambda x: x * bool(x[0]), "a Python function"),
        (lambda x: x * float(x[0]), "`float()`"),
        (lambda x: x * math.sin(x[0]), "a function of `math`"),
        (lambda x: x * int(x[0]), "`int()`"),
        (lambda x: x[0].item() * x, "`.item()`"),
        (lambda x: x * x.tolist()[0], "`.tolist()`"),
        (lambda x: x * [1, 2][np.argmax(x)], "an index of a list"),
        (lambda x: x * {0: 1, 2: 3}[np.argmax(x)], "a key of a dict"),
        (lambda x: x * (np.argmax(x) in {1, 2}), "a key of a dict, or a set"),
        (lambda x: x.reshape(np.argmax(x) + 1, -1), "a shape"),
        (lambda x: {"text": str(x)}, "a text"),
        (lambda x: {"text": f"{x[0]:.2f}"}, "a text"),
        (lambda x: x[x > 1], "a boolean index"),
        (lambda x: np.unique(x), "np.unique"),
        (lambda x: np.unique(tg.tensor(x)), "np.unique"),
        (lambda x: x[np.nonzero(x)], "np.nonzero"),
        (lambda x: np.tile(x, np.argmax(x)), "np.tile"),
        (lambda x: np.histogram(x, "auto"), "np.histogram"),
        (lambda x: np.emath.sqrt(tg.tensor(x)), "np.emath.sqrt"),
        (lambda x: np.piecewise(x, [x < 0], [np.exp, np.sin]), "np.piecewise"),
        (lambda x: np.vectorize(abs)(x), "another library"),
        (lambda x: functools.reduce(lambda a, b: a if a > b else b, x), "a Python `if`"),
        (lambda x: x * random.random(), "random numbers"),
        (lambda x: x if random.random() < 2 else -x, "random numbers"),
        (lambda x: x * np.random.normal(), "random numbers"),  # noqa: NPY002
        (lambda x: F.dropout(x), "without a seed"),
    ],
)
def test_refusals_say_what_was_asked_and_where(f, says):
    message = refusal(f, X)
    assert says in message
    assert "test_arrays.py" in message or "random" in message
    if says != "a Python `if`":
        assert "`if`" not in message.partition("(/")[0]


@pytest.mark.parametrize("order", ["CF", "FC"])
@pytest.mark.parametrize(
    "make", [lambda x: x, np.exp, np.transpose], ids=["argument", "made of one", "view of one"]
)
def test_whether_a_row_is_a_view_depends_on_how_an_array_lies_in_memory(order, make):
    def f(x):
        y = make(x)
        row = y.reshape(-1)
        row += 1
        return y * 2

    compiled = tg.compile(f)
    for letter in (*order, order[0]):
        x = np.array(np.arange(6.0).reshape(2, 3), order=letter)
        also = x.copy("K")
        np.testing.assert_allclose(compiled(x), f(also), rtol=1e-12)
        np.testing.assert_array_equal(x, also)


def test_other_programs_fit_arrays_however_they_lie():
    compiled = tg.compile(lambda x: x.reshape(-1) * 2)
    for order in "CFC":
        compiled(np.zeros((2, 3), order=order))
    assert repr(compiled) == "<compiled <lambda>, 1 program>"


def test_the_type_of_an_array_is_that_of_an_array():
    def f(x, y):
        kinds = type(x), type(np.sum(x)), type(y), type(type(x)), type(f)
        return x * 2, [kind.__name__ for kind in kinds], type(x) is np.ndarray, isinstance(type(x), type)

    x, y = np.ones(3), np.float32(2)
    assert tg.compile(f)(x, y)[1:] == f(x, y)[1:]


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("number", ["nan", "inf", "0"])
def test_numbers_keep_their_sign(sign, number):
    a, b = float(sign + number), complex(float(sign + number), -0.0)

    def f(x):
        y = np.stack([np.copysign(x, a), np.copysign(x, float("nan")), np.copysign(x, 0.0)])
        return y, np.where(x > 5, 1j, b)

    for got, expected in zip(tg.compile(f)(np.ones(3)), f(np.ones(3)), strict=True):
        for part in (np.real, np.imag):
            np.testing.assert_array_equal(np.signbit(part(got)), np.signbit(part(expected)))


def test_an_array_of_equal_numbers_takes_no_memory():
    """The gradient of a part is zero elsewhere: one zero, however often it is needed."""

    def function(x):
        zeros = [np.zeros((100, 60), np.float32) for _ in range(3)]
        for i, z in enumerate(zeros):
            z[i] = x[i]
        signed = np.full((100, 60), -0.0, np.float32)
        return *zeros, np.full((100, 60), 7, np.int16), signed * (x > 0), signed

    compiled, x = tg.compile(function), np.random.default_rng(0).normal(size=(100, 60)).astype(np.float32)
    for got, expected in zip(compiled(x), function(x), strict=True):
        assert got.dtype == expected.dtype
        assert got.flags.writeable
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
    assert " full(" not in compiled.source
    assert compiled.source.count("= broadcast_to(array(0.0, float32)") == 1
    assert compiled.source.count("= broadcast_to(array(7, int16)") == 1
