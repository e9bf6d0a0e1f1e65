"""Small programs of every kind, each beside the uncompiled function: values, layouts, clipping, rates."""

from __future__ import annotations

import enum
import types
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import CompileError, UntraceableError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.trees import leaves

WHOLE = np.arange(1.0, 200.0)
TABLE = np.arange(12.0).reshape(3, 4)


def both(f: Any, *args: Any) -> tuple[Any, Any]:
    """What a function returns, compiled and uncompiled, without the warnings of either."""
    with np.errstate(all="ignore"):
        return tg.compile(f)(*args), f(*args)


def assert_same(f: Any, *args: Any) -> None:
    got, expected = both(f, *args)
    np.testing.assert_array_equal(got, expected, strict=True)


@for_each(
    "f",
    [
        lambda x: np.floor(x / 49),
        lambda x: (x / 49).astype(int),
        lambda x: x / 49 >= 1,
        lambda x: x / 49 % 1,
        lambda x: np.round(x * 0.1 * 0.5, 1),
        lambda x: np.argmax(x / 49 == 1),
        lambda x: np.floor((x / 49)[::-1].reshape(1, -1)),
        lambda x: np.where(x / 49 == 1, x, 0.0),
    ],
)
def test_what_is_rounded_up_or_down_keeps_its_last_digit(f: Any) -> None:
    assert_same(f, WHOLE)
    assert_same(f, WHOLE.astype(np.float32))


def test_elsewhere_a_division_is_still_a_product() -> None:
    program = tg.compile(lambda x: np.sum(np.sin(x / 49)))
    program(WHOLE)
    assert "divide" not in program.source


def test_infinite_complex_numbers_times_one() -> None:
    assert_same(lambda z: z * 1, np.array([complex(np.inf, 1), 1j]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_softmax_of_integers_that_wrap_around(dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.max, info.min, info.max // 3, 1], dtype)
    assert_same(lambda x: np.exp(x - x.max() - np.log(np.sum(np.exp(x - x.max())))), x)


def test_the_order_of_columns() -> None:
    def f(x: Any) -> Any:
        return (
            x.ravel("F"),
            np.ravel(x, "F"),
            x.flatten("F"),
            np.reshape(x, (2, 6), order="F"),
            x.reshape(-1, order="F"),
        )

    for x in (TABLE, np.asfortranarray(TABLE)):
        for got, expected in zip(*both(f, x), strict=True):
            np.testing.assert_array_equal(got, expected, strict=True)


def test_how_an_argument_lies_in_memory_makes_a_program_of_its_own() -> None:
    step = tg.compile(lambda x: x * x.strides[0])
    for x in (TABLE, np.asfortranarray(TABLE), TABLE):
        np.testing.assert_array_equal(step(x), x * x.strides[0])


@pytest.mark.parametrize("f", [lambda x: x.ravel("K"), lambda x: np.reshape(x, -1, "A")])
def test_how_an_argument_lies_in_memory_is_not_asked(f: Any) -> None:
    with pytest.raises(UntraceableError):
        tg.compile(f)(TABLE)


def test_the_method_trace() -> None:
    assert_same(lambda x: x.trace(), TABLE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_counts_of_unsigned_numbers(dtype: Any) -> None:
    assert_same(lambda x: np.bincount(x, minlength=4), np.array([0, 3, 3], dtype))


def test_a_number_beside_where_has_no_dtype() -> None:
    assert_same(lambda x: np.add(x, 1, where=x > 1, out=np.zeros_like(x)), np.array([1, 255], np.uint8))


@pytest.mark.parametrize("x", [-720.0, -1e308, np.float32(-95), -np.inf])
def test_far_tails_of_the_sigmoid(x: Any) -> None:
    assert_same(F.sigmoid, np.array([x]))


def trained(compiled: bool, dtype: Any, clip_norm: float | None = None, lr: Any = 0.1, **start: Any) -> Any:
    w = tg.tensor(np.array(start.get("w", [1.0, 1.0]), dtype), requires_grad=True)
    v = tg.tensor(np.ones(2, dtype), requires_grad=True)
    optimizer = tg.optim.SGD([w, v], lr=lr)
    factor = start.get("factor", 1)

    def loss() -> Any:
        return np.sum(np.sqrt(w)) * factor + np.sum(v**2)

    step = tg.compile(loss, optimizer=optimizer, clip_norm=clip_norm)
    with np.errstate(all="ignore"):
        for _ in range(2):
            if compiled:
                step()
                continue
            optimizer.zero_grad()
            loss().backward()
            if clip_norm is not None:
                tg.optim.clip_grad_norm_([w, v], clip_norm)
            optimizer.step()
    return w.data, v.data


def test_clipping_of_an_infinite_gradient_and_then_of_nan() -> None:
    for got, expected in zip(*(trained(c, np.float64, 1.0, w=[0, 1]) for c in (True, False)), strict=True):
        np.testing.assert_array_equal(got, expected)
        assert np.isnan(got).any()


def test_clipping_by_a_factor_that_float16_cannot_hold() -> None:
    settings = {"clip_norm": 1e-4, "lr": 1e4, "factor": 3e4}
    for got, expected in zip(*(trained(c, np.float16, **settings) for c in (True, False)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=5e-3)


@for_each("dtype", [np.float16, np.float32, np.float64])
@for_each("lr", [np.float32(0.1), np.float64(0.1), np.float16(0.1)])
def test_a_rate_that_is_a_number_of_numpy(dtype: Any, lr: Any) -> None:
    for got, expected in zip(*(trained(c, dtype, lr=lr, factor=0.3) for c in (True, False)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps)


def test_the_total_of_a_large_batch_is_a_number_of_its_own() -> None:
    x = np.linspace(-1, 1, 2_400_000).reshape(-1, 4)
    f = tg.compile(lambda x: np.sum(np.tanh(x)))
    first = f(x)
    assert "blocks" in f.source
    assert type(first) is np.float64
    kept = float(first)
    f(x + 1)
    assert first == kept


@for_each(
    "f",
    [
        lambda x: x == None,  # noqa: E711
        lambda x: x != "a",
        lambda x: np.equal(x, None),
        lambda x: x.astype(object),
        lambda x: x.astype(str),
        lambda x: x.astype("M8[s]"),
        lambda x: x * np.timedelta64(1, "s"),
        lambda x: x * np.array([1, 2, 3], object),
    ],
)
def test_what_is_no_number_is_refused(f: Any) -> None:
    with pytest.raises(UntraceableError, match=r"not a number|of dtype|compared with"):
        tg.compile(f)(np.arange(3.0))


def test_a_gradient_that_was_there_before_is_not_read() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(CompileError, match="reads the grad of"):
        tg.compile(lambda x: x if w.grad is None else x * w.grad)(np.ones(2))

    def f(x: Any) -> Any:
        t = tg.tensor(x, requires_grad=True)
        np.sum(t * t).backward()
        return t.grad

    np.testing.assert_array_equal(tg.compile(f)(np.ones(2)).data, [2.0, 2.0])


class Level(enum.IntEnum):
    TWO = 2


class Share(float, enum.Enum):
    HALF = 0.5


class Spoken(int):
    def __repr__(self) -> str:
        return "print('executed')"


@pytest.mark.parametrize("number", [Level.TWO, Share.HALF, Spoken(3)])
def test_numbers_of_derived_classes_are_numbers(number: Any, capsys: Any) -> None:
    x = np.array([1.0, 2.0])
    for f in (
        lambda x, c: x * c,
        lambda x, c: np.sum(x * c) + c,
        lambda x, c: np.float32(2) * c * x,
        np.maximum,
    ):
        assert_same(f, x, number)
        assert_same(lambda x, f=f: f(x, number), x)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_])
def test_factors_of_integers_stay_where_they_are(dtype: Any) -> None:
    x = np.array([3, 0, 200 if dtype == np.uint8 else -100]).astype(dtype)
    for f in (lambda x: x * 100 * 2.5, lambda x: -(x * 1) * 0.5, lambda x: x * 3 * 4 * 0.25):
        if dtype != np.bool_ or f(np.ones(1)) > 0:
            assert_same(f, x)


def test_what_becomes_a_wider_number_keeps_its_last_digit() -> None:
    x, y = np.linspace(0.1, 3, 50, dtype=np.float32), np.linspace(1, 2, 50)
    got, expected = both(lambda x, y: x / 0.1 * y, x, y)
    np.testing.assert_allclose(got, expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_])
def test_a_learning_rate_does_not_go_into_integers(dtype: Any) -> None:
    x = np.array([[1, 0]], dtype)
    results = []
    for compiled in (True, False):
        w = tg.tensor(np.ones((2, 16), np.float32), requires_grad=True)
        b = tg.tensor(np.zeros(16, np.float32), requires_grad=True)
        optimizer = tg.optim.SGD([w, b], lr=0.3)

        def loss(x: Any, w: Any = w, b: Any = b) -> Any:
            return np.mean((x @ w + b) ** 2)

        if compiled:
            tg.compile(loss, optimizer=optimizer)(x)
        else:
            loss(x).backward()
            optimizer.step()
        results.append(w.data)
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_an_array_made_of_a_tensor_is_a_new_one() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        z = np.array(y)
        z += 1
        return y, np.asarray(np.sum(x)), np.asarray(np.var(x), complex)

    t = tg.tensor([1.0, 2.0])
    for got, expected in zip(tg.compile(f)(t), f(t), strict=True):
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)


def test_powers_and_writes_that_nobody_reads_raise_all_the_same() -> None:
    def power(x: Any, n: Any) -> Any:
        np.power(x, n)
        return x + 1

    def write(x: Any, y: Any) -> Any:
        z = x * 0
        z[0] = np.sum(y)
        return x + 1

    whole = np.arange(1, 4)
    for f, fine, other in ((power, whole, -whole), (write, np.ones(2), np.array([np.inf, 1.0]))):
        step = tg.compile(f)
        np.testing.assert_array_equal(step(whole, fine), f(whole, fine))
        for g in (f, step):
            with pytest.raises((ValueError, OverflowError)):
                g(whole, other)


def test_what_a_compiled_function_returns_within_another_is_not_recorded() -> None:
    inner = tg.compile(lambda x: x * x)
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def f(x: Any) -> Any:
        return np.sum(inner(w * x) + w * x)

    found = tg.grad(lambda x, w: np.sum(w * x), 1)(np.ones(2), w.data)
    step = tg.compile(f, optimizer=tg.optim.SGD([w], lr=1.0))
    before = w.data.copy()
    step(np.ones(2))
    np.testing.assert_array_equal(before - w.data, found)


def test_another_order_of_bytes_is_refused() -> None:
    x = np.arange(3).astype(np.dtype(int).newbyteorder())
    with pytest.raises(CompileError, match="byte order other than"):
        tg.compile(lambda x: x + 1)(x)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("look", [lambda x: x, lambda x: x.reshape(-1), lambda x: x.T, lambda x: x[1]])
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.filterwarnings("ignore:compile. there is no machine code")
def test_what_was_read_before_it_was_overwritten_is_returned(
    look: Any, is_training: bool, backend: str
) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    held = type("Held", (), {})()
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def f() -> Any:
        before = look(held.x) - 0.0
        held.x[:, ::2] = 0.5
        held.x *= 1
        return np.sum(w * w) if is_training else (np.sum(w * w), before)

    held.x = TABLE.copy()
    expected, after = f(), held.x
    held.x = TABLE.copy()
    got = tg.compile(f, backend=backend, optimizer=tg.optim.SGD([w], 0.1) if is_training else None)()
    np.testing.assert_array_equal(held.x, after)
    if not is_training:
        np.testing.assert_array_equal(got[1], expected[1])


def test_views_of_an_array_that_lies_backwards_after_it_was_written_into() -> None:
    def f(x: Any) -> Any:
        x = x.reshape((4, 1))
        x[-1:] += 2.0
        y = x[..., 0]
        z = y.reshape((4, 1)).ravel()
        z *= -1
        return y

    first, second = (np.arange(4.0)[::-1] for _ in range(2))
    np.testing.assert_array_equal(tg.compile(f)(first), f(second))


def test_squares_in_another_dtype_are_summed_in_it() -> None:
    assert_same(lambda x: np.multiply(x, x, dtype=np.float32).sum(), np.array([0.3, 0.7]))


# -- machine code ----------------------------------------------------------------------------------------------


def assert_same_machine_code(f: Any, *args: Any) -> None:
    """Compare with the uncompiled function, bit by bit; that it cannot be machine code would be a warning."""
    pytest.importorskip("numba")
    got, expected = tg.compile(f, backend="numba")(*args), f(*args)
    for a, b in zip(leaves(got), leaves(expected), strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


def test_what_is_written_over_an_argument_is_written_after_all_have_read_it() -> None:
    def f(x: Any) -> Any:
        low = np.min(x, axis=0)
        return low + 0.5 - low, x >= low

    assert_same_machine_code(f, np.array([[[-1.5, 0.25, -0.5, 0.125, 1.25]]]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.copy(),
        lambda x: x[()],
        lambda x: (x, x + 1, np.asarray(x + 1)),
        lambda x: np.ones(2)[..., 0] + x,
        lambda x: (x.reshape(1)[..., 0], x.reshape(1)[0]),
        lambda x: (x, np.array(3.0)),
    ],
)
def test_numbers_and_arrays_without_axes(f: Any) -> None:
    x = np.array(1.5)
    assert_same_machine_code(f, x)
    got, expected = both(f, x)
    assert list(map(type, leaves(got))) == list(map(type, leaves(expected)))


def test_of_zeros_of_both_signs_the_last_one_is_the_largest_and_the_smallest() -> None:
    def f(x: Any) -> Any:
        return np.max(x), np.min(x), np.max(x, 0), np.min(x[None], 1)

    for x in ([-0.0, 0.0], [0.0, -0.0], [-0.0, 0.0, 0.0], [0.0, -0.0, -0.0]):
        assert_same_machine_code(f, np.array(x))


@pytest.mark.parametrize(
    "dtype", [np.int64, pytest.param(np.int32, marks=pytest.mark.thorough), np.int8, np.uint8]
)
def test_integers_that_overflow_wrap_around_whoever_looks_at_them(dtype: Any) -> None:
    """Their sign is not that of the factors, which an optimizer that knows of no overflow takes for granted."""

    def f(x: Any) -> Any:
        one = x.dtype.type(1)
        return (
            x * 2 > 0,
            x + one > x,
            x - one < x,
            np.square(x) >= 0,
            -x < 0,
            np.abs(x) >= 0,
            np.sum(x + x) > 0,
        )

    info = np.iinfo(dtype)
    with np.errstate(over="ignore"):
        assert_same_machine_code(
            f, np.array([info.max, info.min, 1, 0, info.max // 2 + 1, 3, 2, info.max], dtype)
        )


# -- numbers and arrays without axes, of NumPy's and of Python's --------------------------------------------------


@for_each(
    "f",
    [
        lambda x: x.max()[...],
        lambda x: x.max()[...] * 1,
        lambda x: np.squeeze(x.sum() != 2),
        lambda x: np.squeeze(np.not_equal(x.sum()[..., None] * 0.5, 1)),
        lambda x: np.reshape(x.sum(), ()),
        lambda x: np.real(x.sum()),
        lambda x: np.imag(x.sum()[...]),
        lambda x: np.fix(x.sum()),
        lambda x: x.sum().astype(np.int64),
        lambda x: x.sum()[...].astype(np.int64),
        lambda x: x.sum().copy(),
        lambda x: x.sum().view(np.int32),
        lambda x: x[0].T,
    ],
)
def test_a_number_is_a_number_and_an_array_an_array(f: Any) -> None:
    got, expected = both(f, np.array([1.0, 2.0], np.float32))
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected, strict=True)


def test_a_variable_that_becomes_a_number_is_refused() -> None:
    s = types.SimpleNamespace(total=np.array(1.0))

    def f(x: Any) -> Any:
        s.total = s.total + 1
        return x

    with pytest.raises(CompileError, match="became a NumPy number"):
        tg.compile(f)(np.ones(2))
    assert type(s.total) is np.ndarray


@for_each(
    "f",
    [
        lambda r, x: r.random() * x,
        lambda r, x: x * (1 - r.random()) + x * -r.random() / 2,
        lambda r, x: (r.standard_normal() * 0.1 + 1) ** 2 * x,
        lambda r, x: 1 / (1 + r.random()) + x,
        lambda r, x: np.where(r.random() < 0.5, x, x[::-1]),
        lambda r, x: np.exp(r.random()) * x,
        lambda r, x: np.fix(np.imag(r.standard_normal(None))) + x,
        lambda r, x: r.random() < 0.5,
        lambda r, x: r.random() * 2,
        lambda r, x: r.random() * tg.tensor(x),
        lambda r, x: np.stack([x[0], x[1] * r.random()]),
    ],
)
@for_each("dtype", [np.float32, np.float64])
def test_one_random_number_is_a_number_of_pythons(f: Any, dtype: Any) -> None:
    program, x = tg.compile(f), np.array([1, 2.5], dtype)
    rngs = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        got, expected = program(rngs[0], x), f(rngs[1], x)
        assert type(got) is type(expected)
        got, expected = (y.data if isinstance(y, tg.Tensor) else y for y in (got, expected))
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@for_each("numbers", [(2, 0), (True, 1), (0.5, 2)])
@for_each("ufunc", [np.greater, np.add, np.maximum])
def test_plain_numbers_into_an_array_that_is_traced(ufunc: Any, numbers: Any) -> None:
    def f(x: Any) -> Any:
        ufunc(*numbers, out=x)
        return x + 1

    assert_same(f, np.zeros(2))
    x, y = np.zeros(2), np.zeros(2)
    tg.compile(f)(x)
    f(y)
    np.testing.assert_array_equal(x, y)


def test_python_integers_that_would_give_way_are_refused() -> None:
    with pytest.raises(CompileError, match="a Python number"):
        tg.compile(lambda r, x: r.poisson(3.0) * x)(np.random.default_rng(0), np.ones(2, np.float32))


# -- results that go somewhere else ----------------------------------------------------------------------------


def test_where_and_out_of_another_dtype_on_tensors() -> None:
    def f(v: Any) -> Any:
        return np.log(v, where=v > 0, out=np.ones_like(v)).data

    assert_same(f, tg.tensor(np.array([1, 0, 20])))
    assert_same(f, tg.tensor(np.array(3)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.matmul(x, x, out=np.zeros(1) * x[0]),
        lambda x: np.cumsum(x[0], axis=0, out=x[0][..., None]),
    ],
)
def test_a_result_of_another_shape_into_out_is_refused(f: Any) -> None:
    with pytest.raises(CompileError, match="another shape"):
        tg.compile(f)(np.ones((1, 1)))


def test_the_numbers_of_a_tensor_are_not_written_into() -> None:
    def f(x: Any) -> Any:
        np.asarray(tg.tensor(x) * 2).fill(3)
        return x

    for function in (f, tg.compile(f)):
        with pytest.raises(ValueError, match="read-only"):
            function(np.ones(2))


def test_methods_of_arrays_take_the_numbers_of_tensors() -> None:
    def f(x: Any, t: Any) -> Any:
        return x.dot(t)

    x = np.ones(2)
    got, expected = both(f, x, tg.tensor(x))
    assert type(got) is type(expected)
    for function in (tg.grad(f, 1), tg.compile(tg.grad(f, 1))):
        with pytest.raises(tg.errors.GradientError):
            function(x, x)


def test_products_of_infinite_complex_numbers() -> None:
    x = np.array([[complex(np.inf, 1e-310), -1.5 + 1j, 2 + 2j, 1 - 1j]])
    assert_same(lambda x: x.T @ x, x)


def test_flags_of_arrays_are_read_and_not_set() -> None:
    def f(x: Any) -> Any:
        return x * x.flags.c_contiguous * x.flags["C_CONTIGUOUS"]

    def g(x: Any) -> Any:
        x.flags.writeable = False
        return x + 1

    assert_same(f, np.ones((2, 3)))
    with pytest.raises(CompileError, match=r"flags\.writeable"):
        tg.compile(g)(np.ones(3))


def test_the_data_of_a_tensor_is_not_written_into() -> None:
    def f(x: Any) -> Any:
        data = tg.tensor(x * 2).data
        data += 1
        return data

    for function in (f, tg.compile(f)):
        with pytest.raises(ValueError, match="read-only"):
            function(np.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 2), (3, 2), (2, 3)])
def test_a_loss_of_zero_has_no_sign(dtype: Any, shape: Any) -> None:
    """Of a class that is certain, the loss is 0.0."""
    logits = np.zeros(shape, dtype)
    logits[:, 0] = 1000
    got, expected = both(F.cross_entropy, logits, np.zeros(shape[0], int))
    assert got == expected == 0
    assert np.signbit(got) == np.signbit(expected)


@pytest.mark.filterwarnings("ignore::tinygrad_mnist.errors.LostGradientWarning")
def test_one_element_takes_the_number_of_a_tracked_tensor() -> None:
    t = tg.tensor(2.0, requires_grad=True)

    def one(x: Any) -> Any:
        x[1] **= t * 1
        return x + 0

    def several(x: Any) -> Any:
        x[1:] = t * 1
        return x

    assert_same(lambda x: one(x * 1), np.arange(3.0))
    for function in (several, tg.compile(several)):
        with pytest.raises(tg.errors.GradientError):
            function(np.arange(3.0))


def test_a_tensor_takes_the_result_of_a_function_of_arrays() -> None:
    def f(x: Any, part: Any) -> Any:
        t = tg.tensor(x * 2)
        np.take(x, [0], axis=0, out=t[:1] if part else t)
        return t.data + 0

    assert_same(lambda x: f(x, False), np.ones((1, 2)))
    for function in (f, tg.compile(f)):
        with pytest.raises(tg.errors.UnsupportedError, match="cannot write into a part"):
            function(np.ones((1, 2)), True)


@for_each("x", [-0.0, -np.inf, 4.0, -1.0])
@for_each("exponent", [0.5, 2, -1, 1])
def test_powers_of_numbers_and_of_arrays(x: float, exponent: Any) -> None:
    for f in (lambda x: x[0] ** exponent, lambda x: x**exponent, lambda x: x[0, ...] ** exponent):
        got, expected = both(f, np.array([x]))
        np.testing.assert_array_equal(got, expected, strict=True)
        assert (np.signbit(got) == np.signbit(expected)).all() or np.isnan(expected).all()


NUMBERS = {
    "number": lambda x: x.sum(),
    "whole": lambda x: x.astype(int).sum(),
    "truth": lambda x: (x > 0).any(),
    "complex": lambda x: (x * 1j).sum(),
    "array": lambda x: x[0, ...],
    "truths": lambda x: (x > 0)[0, ...],
}


@for_each("kind", NUMBERS)
@for_each("method", [
        lambda v: v.view(), lambda v: v.copy(), lambda v: v.astype(np.float32), lambda v: v.reshape(()), lambda v: v.T,
        lambda v: v.real, lambda v: v.imag, lambda v: v.conj(), lambda v: v.conjugate(), lambda v: v[...],
        lambda v: v.fill(1), lambda v: v**2, lambda v: v**-1.0, lambda v: np.ascontiguousarray(v),
        lambda v: np.asfortranarray(v), lambda v: np.array(v, ndmin=2), lambda v: np.asarray(v, np.complex128),
        lambda v: v.dot(2.0), lambda v: v.argpartition(0), lambda v: round(v, 1), lambda v: np.array(v, copy=False),
        lambda v: np.copyto(v, 1), lambda v: v.is_integer(),
    ])  # fmt: skip
def test_numbers_have_the_methods_of_numbers_and_arrays_those_of_arrays(kind: str, method: Any) -> None:
    def f(x: Any) -> Any:
        return method(NUMBERS[kind](x))

    def outcome(g: Any) -> Any:
        try:
            return g(np.array([1.25, 0.5, -0.75]))
        except CompileError:
            return CompileError
        except (TypeError, ValueError, AttributeError) as error:
            return type(error)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Casting complex values")
        warnings.filterwarnings(
            "ignore", "The Python built-in `round` is deprecated for complex"
        )  # NumPy 2.0's
        expected, got = outcome(f), outcome(tg.compile(f))
    if got is not CompileError:
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected, strict=not isinstance(got, type))


@for_each("made", [
        lambda x: np.ascontiguousarray(x.T), lambda x: np.asfortranarray(x), lambda x: np.asarray(x, order="F"),
        lambda x: np.array(x, order="F"), lambda x: np.array(x, ndmin=3), lambda x: np.array(x, ndmin=3, copy=None),
        lambda x: np.ascontiguousarray(x), lambda x: np.asfortranarray(x.T), lambda x: np.array(x.T).ravel(),
        lambda x: np.array(x.T, copy=False),
    ])  # fmt: skip
def test_a_write_into_an_array_in_another_order_reaches_the_first_only_if_it_is_the_same(made: Any) -> None:
    def f(x: Any) -> Any:
        made(x)[...] = 7
        return x.sum()

    program = tg.compile(f)
    for layout in (lambda x: x, np.asfortranarray, lambda x: x[:, ::-1]):
        x, y = layout(TABLE.copy()), layout(TABLE.copy())
        assert program(x) == f(y)
        np.testing.assert_array_equal(x, y)


@for_each("at_least", [np.atleast_1d, np.atleast_2d, np.atleast_3d])
@for_each("x", [np.array(1.5), np.ones(3), np.ones((2, 3))[:, ::2], np.ones((2, 2, 2))])
def test_a_write_into_an_array_with_more_axes_is_one_into_the_array(at_least: Any, x: Any) -> None:
    def f(x: Any) -> Any:
        y, (one, other) = at_least(x), at_least(x, x.sum())
        y[0] *= 2
        return y, one, other, x.sum()

    ours, theirs = x.copy(), x.copy()
    for got, expected in zip(tg.compile(f)(ours), f(theirs), strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)
    np.testing.assert_array_equal(ours, theirs)


def test_an_ellipsis_beside_an_index_of_the_array_gives_an_array() -> None:
    def f(i: Any) -> Any:
        return i[..., np.sum(i)], +i[..., np.sum(i)], i[np.sum(i)]

    got, expected = both(f, np.array([-1, 2, -1]))
    assert list(map(type, got)) == list(map(type, expected))


@for_each("write", [np.putmask, np.place])
@for_each("dtype", [bool, np.int8, np.float16])
@for_each("number", [lambda x: np.int8(3), lambda x: x.sum(), lambda x: x[0] > 0])
def test_putmask_and_place_convert_a_number_to_any_dtype(write: Any, dtype: Any, number: Any) -> None:
    def f(x: Any) -> Any:
        y = x.astype(dtype)
        write(y, y > 0, number(x))
        return y

    assert_same(f, np.array([1.5, 0, 2.75]))


def test_dot_of_complex_numbers_keeps_the_signs_of_zeros() -> None:
    x, z = np.array([[-0.0], [2.0], [0.0]]), np.array([[complex(-0.7, -2.0), complex(1.0, 2.0)]])
    for a, b in ((x, z), (z.T, x.T), (z.T, z)):
        got, expected = both(lambda a, b: np.dot(a, b), a, b)
        for part in (np.real, np.imag):
            np.testing.assert_array_equal(np.signbit(part(got)), np.signbit(part(expected)))


@for_each("f", [
        lambda s, x: 2j * s, lambda s, x: 2j + s, lambda s, x: 2j - s, lambda s, x: 2j / s, lambda s, x: s * 2j,
        lambda s, x: 2 * (2j * s), lambda s, x: -(2j * s), lambda s, x: (2j * s) ** 2, lambda s, x: 2j * s * x,
        lambda s, x: 2j * s * np.float32(2), lambda s, x: 2j * s * x.astype(np.float32), lambda s, x: np.exp(2j * s),
        lambda s, x: (2j * s).real, lambda s, x: 2j * s.astype(np.float32), lambda s, x: 2j * x[0, ...],
    ])  # fmt: skip
def test_a_complex_number_before_a_float64_gives_pythons_complex_number(f: Any) -> None:
    got, expected = both(lambda x: f(x.sum(), x), np.array([1.5, 2, -3]))
    assert type(got) is type(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert getattr(got, "dtype", None) == getattr(expected, "dtype", None)


@pytest.mark.parametrize("f", [np.matmul, np.dot])
def test_infinity_times_a_single_zero(f: Any) -> None:
    column = np.array([[np.inf], [1.0], [np.nan]])
    for a, b in ((column, np.zeros(1)), (column, np.zeros((1, 1))), (np.zeros((1, 1)), column.T)):
        got, expected = both(lambda a, b: f(a, b), a, b)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("convert", [np.asarray, np.ascontiguousarray, lambda x: np.array(x, copy=None)])
def test_what_is_written_into_a_converted_array_that_is_no_argument(convert: Any) -> None:
    chosen = np.array([False, True])

    def f(x: Any) -> Any:
        number = chosen * 1
        convert(number)[...] = 7
        return number, x

    assert_same(f, np.ones(2))

    def change(x: Any) -> Any:
        convert(chosen)[0] = True
        return x

    with pytest.raises(CompileError):
        tg.compile(change)(np.ones(2))
    assert not chosen[0]


@pytest.mark.parametrize(
    "look", [np.real, np.imag, np.diagonal, lambda a: a.real, lambda a: a.T, lambda a: a[1:]]
)
def test_a_view_of_a_variable_that_is_replaced_afterwards(look: Any) -> None:
    state = types.SimpleNamespace()

    def f() -> Any:
        view = look(state.array)
        state.array = state.array + 1
        return view

    found = []
    for g in (f, tg.compile(f)):
        state.array = np.array([[1 + 2j, 3 + 4j], [5, 6]])
        found.append(np.array(g()))
    np.testing.assert_array_equal(*found)


def test_a_power_of_a_plain_array_in_place_takes_no_tracked_exponent() -> None:
    def f(x: Any, exponent: Any) -> Any:
        base = x.astype(np.float32)
        base **= exponent
        return np.sum(base)

    for g in (tg.value_and_grad(f, 1), tg.compile(tg.value_and_grad(f, 1))):
        with pytest.raises(tg.errors.GradientError, match=r"np\.power: the result would be written into"):
            g(np.ones(2), np.ones(2))


@for_each("accumulate", [np.sum, np.prod, np.cumsum, np.cumprod, np.add.reduce, np.add.accumulate])
@for_each("dtype", [np.float64, np.float32, np.int32])
def test_sums_are_computed_in_the_dtype_of_out(accumulate: Any, dtype: Any) -> None:
    large = np.array([2**62, 2**62, 2**62, 1])

    def f(x: Any) -> Any:
        out = np.zeros(accumulate(large).shape, dtype)
        accumulate(x, axis=0, out=out)
        return out

    with np.errstate(over="ignore", invalid="ignore"):
        assert_same(f, large)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_broadcast_arrays_are_views(shape: tuple[int, ...]) -> None:
    def f(x: Any) -> Any:
        doubled = x * 2
        view = np.broadcast_arrays(doubled, np.ones(shape))[0]
        doubled *= -1
        return view + 0

    assert_same(f, np.arange(3.0))
