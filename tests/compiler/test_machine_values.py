"""Machine code computes what NumPy computes: every elementwise function, in every dtype, of special values."""

from __future__ import annotations

import signal
import warnings

import numpy as np
import pytest
from helpers import parts

import tinygrad_mnist as tg
from tinygrad_mnist.compiler.instructions import instruction_of
from tinygrad_mnist.compiler.program import loop_of

pytest.importorskip("numba", reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'")

UFUNCS = sorted(
    {f for f in vars(np).values() if isinstance(f, np.ufunc) and isinstance(instruction_of(f).machine, dict)},
    key=lambda f: f.__name__,
)
DTYPES = [np.bool_, np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.float32, np.float64]
QUICK = [np.int8, np.float32]
#: What is computed in another dtype than that of an argument.
MIXED = [
    (np.bool_, np.float32), (np.bool_, np.int8), (np.int8, np.uint8), (np.uint8, np.float32), (np.int32, np.float32),
    (np.float32, np.float64), (np.uint64, np.float64), (np.int16, np.uint16), (np.uint32, np.int64),
]  # fmt: skip


def each(dtypes, quick=()):
    """A test for each dtype, or pair of them; the less common ones only where all are wanted."""
    return [
        pytest.param(dtype, id=name_of(dtype), marks=() if dtype in quick else pytest.mark.thorough)
        for dtype in dtypes
    ]


def name_of(dtype):
    return "-".join(map(name_of, dtype)) if isinstance(dtype, tuple) else np.dtype(dtype).name


def numba_function(function, **settings):
    """Compile, and fail where NumPy would run instead."""
    compiled = tg.compile(function, backend="numba", **settings)

    def called(*args):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            return compiled(*args)

    return called


def special(dtype):
    """The numbers of a dtype at which something may go wrong."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array(
            sorted({info.min, info.min + 1, *range(max(-3, info.min), 4), 7, 100, info.max - 1, info.max}),
            dtype,
        )
    info = np.finfo(dtype)
    sizes = [
        0,
        info.smallest_subnormal,
        info.tiny,
        1e-6,
        0.3,
        0.5,
        1,
        1.5,
        2,
        2.5,
        3,
        20,
        80,
        90,
        100,
        709,
        740,
        1e9,
        1e20,
    ]
    sizes += [float(info.max), np.inf]
    return np.array([*sizes, *(-s for s in sizes), np.nan], dtype)


def assert_same(name, got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape), name
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected, err_msg=name)
        return
    info = np.finfo(expected.dtype)
    tolerance = 1e-12 if expected.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(
        got, expected, rtol=tolerance, atol=2 * float(info.smallest_subnormal), err_msg=name
    )
    zeros = expected == 0
    is_choice = name in ("maximum", "minimum", "fmax", "fmin")  # of zeros of both signs, either
    if not is_choice:
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]), err_msg=name)


def has_formula(ufunc, dtypes):
    """Whether there is machine code, by the table."""
    try:
        *given, result = loop_of(ufunc, tuple(map(np.dtype, dtypes)))
    except TypeError:
        return False
    return (
        len(set(given)) == 1
        and given[0].kind in instruction_of(ufunc).machine
        and np.float16 not in (*given, result)
    )


def assert_same_results(functions, *args):
    """Compile all functions as one, and compare."""
    assert functions
    compiled = numba_function(lambda *args: tuple(f(*args) for f in functions))
    with np.errstate(all="ignore"):
        for f, got in zip(functions, compiled(*args), strict=True):
            assert_same(f.__name__, got, f(*args))


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", each(DTYPES, QUICK))
def test_functions_of_one_argument(dtype):
    assert_same_results([f for f in UFUNCS if f.nin == 1 and has_formula(f, [dtype])], special(dtype))


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", each(DTYPES, QUICK))
def test_functions_of_two_arguments(dtype):
    functions = [f for f in UFUNCS if f.nin == 2 and has_formula(f, [dtype, dtype])]
    assert_same_results(functions, special(dtype)[:, None], special(dtype)[None])


@pytest.mark.parametrize("pair", each(MIXED, MIXED[:1]))
def test_arguments_of_two_dtypes(pair):
    functions = [np.add, np.multiply, np.less, np.maximum, np.not_equal]
    if np.bool_ not in pair:
        functions += [np.subtract, np.divide]
    functions = [f for f in functions if has_formula(f, pair)]
    assert_same_results(functions, special(pair[0])[:, None], special(pair[1])[None])


# -- other operations, each of small arrays that show whether it is right --------------------------------------

REAL = np.array([0.0, 1.5, -3.0, np.nan, np.inf, -np.inf, -0.0, 1e-310])
SINGLE = REAL.astype(np.float32)
TABLE = np.arange(12.0).reshape(3, 4)
SMALL = np.array([-128, -1, 0, 1, 127], np.int8)
BYTES = np.array([0, 1, 2, 254, 255], np.uint8)
LONG = np.array([-(2**63), -1, 0, 1, 2**63 - 1])
TRUTH = np.array([True, False, True])

OPERATIONS = {
    "a truth value and a float": (lambda x: (x > 0) * 2.5, REAL),
    "a truth value and an int": (lambda x: (x > 0) + 1, REAL),
    "a truth value and a bool": (lambda x: (x > 0) + True, REAL),
    "a small integer and a float": (lambda x: x * 2.5, SMALL),
    "a small integer and an int": (lambda x: x * 2 - 100, SMALL),
    "small integers divided": (lambda x: x / 2, BYTES),
    "integers divided by zero": (lambda x: x // 0 + x % 0, SMALL),
    "integers divided by -1": (lambda x: x // -1 + x % -1, SMALL),
    "the smallest integer": (lambda x: (abs(x), -x, np.sign(x)), LONG),
    "single precision and a float": (lambda x: x * 0.1 + 1e300, SINGLE),
    "crossed bounds": (lambda x: np.clip(x, 2.0, 1.0), REAL),
    "a bound that is no number": (lambda x: (np.clip(x, np.nan, 1), np.clip(x, 0, np.nan)), REAL),
    "bounds that are arrays": (lambda x: np.clip(x, x[::-1], x), REAL),
    "a bound is missing": (lambda x: (np.clip(x, None, 1), np.clip(x, -1, None)), REAL),
    "bounds of integers": (lambda x: (np.clip(x, -5, 5), np.clip(x, -5, 0.5)), SMALL),
    "a choice": (
        lambda x: (np.where(x > 0, x, 0), np.where(x, 1, 2.5), np.where(x > 0, True, False)),
        SINGLE,
    ),
    "conversions of floats": (lambda x: (x.astype(np.float32), x.astype(bool)), REAL),
    "conversions of integers": (
        lambda x: (x.astype(np.int8), x.astype(np.uint64), x.astype(np.float32)),
        LONG,
    ),
    "conversions of truth values": (lambda x: (x.astype(int), x.astype(np.float32)), TRUTH),
    "bits read as another dtype": (lambda x: x.view(np.uint8) + 1, SMALL),
    "sums": (lambda x: (x.sum(), x.sum(axis=0), x.sum(axis=1, keepdims=True), x.sum(axis=(0, 1))), TABLE),
    "sums of small integers": (lambda x: (x.sum(), x.max(), x.min(), x.prod()), SMALL),
    "sums of bytes": (lambda x: (x.sum(), x.max(), x.min(), x.prod()), BYTES),
    "sums of truth values": (lambda x: (x.sum(), x.max(), x.min(), x.prod(), x.all(), x.any()), TRUTH),
    "reductions of no numbers": (lambda x: (x.max(), x.min(), x.sum(), x.all(), x.any()), REAL),
    "sums of negative zeros": (lambda x: (x.sum(), x.sum(axis=0)), -np.zeros((3, 200))),
    "a mean": (lambda x: (x.mean(), x.mean(axis=1)), TABLE.astype(np.float32)),
    "single elements": (lambda x: (x[0, 1], x[-1, -1] * 2, x[1, 2] + x[2, 1], x[..., 1]), TABLE),
    "an element that is a view": (lambda x: (x[0][..., -1] * 2, (x + 1)[..., 0, -1] + x), TABLE),
    "slices": (lambda x: (x[1] * 2, x[:, -2] + 0, x[::-1, ::-2] + 1, x[:, None, 1:3] * 2), TABLE),
    "transposed": (lambda x: (x.T * 2, x.T.reshape(2, 6) + 1, x.reshape(4, 3).T + 1), TABLE),
    "a copy of a larger shape": (lambda x: np.broadcast_to(x, (2, 3, 4)) + 1, TABLE),
    "products": (lambda x: (x @ x.T, x[0] @ x.T, x[0] @ x[1], x.T @ x[:, 0], x[:1] @ x.T), TABLE),
    "no axes": (lambda x: (x * 2 + 1, np.exp(x)), np.array(3.0)),
    "a product less the same": (lambda x: x * x[::-1] - x[::-1] * x, np.array([0.1, 0.2, 0.3, 0.7])),
    "a root of nothing": (lambda x: np.sqrt(x * x - (x * 1.0) * x), np.array([0.1, 0.2, 0.3, 0.7])),
}


#: The operations on each array: compiled together, they take a fraction of the time. Each alone, and what is the
#: only one on its array, waits for --thorough.
ARRAYS = {id(x): x for _, x in OPERATIONS.values()}.values()
TOGETHER = [[name for name, (_, x) in OPERATIONS.items() if x is array] for array in ARRAYS]


@pytest.mark.parametrize(
    "names",
    [
        *(names for names in TOGETHER if len(names) > 1),
        *(pytest.param([n], marks=pytest.mark.thorough) for names in TOGETHER for n in names),
    ],
    ids=", ".join,
)
def test_operations(names):
    x = OPERATIONS[names[0]][1]

    def functions(x):
        return tuple(y for name in names for y in parts(OPERATIONS[name][0](x)))

    with np.errstate(all="ignore"):
        sizes = {name: len(parts(OPERATIONS[name][0](x))) for name in names}
        expected = functions(x)
    said = [f"{name}: {i}" for name, size in sizes.items() for i in range(size)]
    for name, *pair in zip(said, numba_function(functions)(x), expected, strict=True):
        assert_same(name, *pair)


NO_MACHINE_CODE = {
    "a number that the dtype does not hold": (lambda x: x > -1, BYTES),
    "another one": (lambda x: x < 300, BYTES),
    "a power of integers": (lambda x: x**2, SMALL),
    "a division of floats without rest": (lambda x: x // 2, REAL),
    "a float as an integer": (lambda x: x.astype(int), np.array([1.5, -2.5])),
    "half precision": (lambda x: x.astype(np.float16), REAL),
    "complex numbers": (lambda x: x * 1j, REAL),
    "arrays without elements": (lambda x: x * 2, np.array([])),
    "a reduction of some elements": (lambda x: x.sum(where=x > 3), TABLE),
    "a reduction with a beginning": (lambda x: x.max(initial=50), TABLE),
    "elements that an array names": (lambda x: x[np.array([0, 2])], TABLE),
    "bits of a float": (lambda x: x.view(np.int64), REAL),
    "integers with and without a sign": (lambda x: x.astype(np.uint64) < x, LONG),
}


#: With these, no part of the program is machine code.
WHOLLY = ("half precision", "complex numbers", "arrays without elements", "bits of a float")


@pytest.mark.parametrize("name", NO_MACHINE_CODE)
def test_what_has_no_machine_code_is_numpys(name):
    function, x = NO_MACHINE_CODE[name]
    compiled = tg.compile(function, backend="numba")
    is_all = name in WHOLLY
    with np.errstate(all="ignore"), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        expected = function(x)
        got = compiled(x)
    assert [str(w.message).partition(" for ")[0] for w in said] == [
        "compile: there is no machine code"
    ] * is_all
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("n", [100_000, 3])
def test_long_sums_are_as_accurate_as_numpys(n):
    x = np.random.default_rng(0).uniform(0.5, 1, (3, n)).astype(np.float32)
    got = numba_function(lambda x: x.sum(axis=1))(x)
    exact = x.astype(np.float64).sum(axis=1)
    ours, numpys = (np.abs(y - exact).max() for y in (got, x.sum(axis=1)))
    assert ours <= max(numpys, np.spacing(exact.astype(np.float32)).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_of_no_number_is_none_whatever_its_bits(dtype):
    bits = (
        np.array([0x7FF8_0000_0000_0123, -1], np.int64)
        if dtype == np.float64
        else np.array([0x7FC0_0123], np.int32)
    )
    assert np.isnan(numba_function(np.exp)(bits.view(dtype))).all()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="sends a POSIX signal")
def test_an_interrupt_within_machine_code_is_an_interrupt():
    def interrupt(*_):
        raise KeyboardInterrupt

    step, x = numba_function(lambda x: (np.sin(x), np.cos(x))), np.zeros(100_000)

    def run():
        while True:
            step(x)

    step(x)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(KeyboardInterrupt):
                run()
    finally:
        signal.signal(signal.SIGALRM, before)
