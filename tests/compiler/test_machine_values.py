"""Machine code computes what NumPy computes: every elementwise function, in every dtype, of special values."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.compiler.instructions import instruction_of
from tinygrad_mnist.compiler.program import loop_of

pytest.importorskip("numba", reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'")

UFUNCS = sorted(
    {f for f in vars(np).values() if isinstance(f, np.ufunc) and isinstance(instruction_of(f).machine, dict)},
    key=lambda f: f.__name__,
)
DTYPES = [np.bool_, np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.float32, np.float64]
PAIRS = [
    *((dtype, dtype) for dtype in DTYPES),
    (np.bool_, np.float32), (np.bool_, np.int8), (np.int8, np.uint8), (np.uint8, np.float32), (np.int32, np.float32),
    (np.float32, np.float64), (np.uint64, np.float64), (np.int16, np.uint16), (np.uint32, np.int64),
]  # fmt: skip


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


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(np.dtype(d).name for d in pair))
def test_functions_of_two_arguments(pair):
    functions = [f for f in UFUNCS if f.nin == 2 and has_formula(f, pair)]
    assert functions
    a, b = special(pair[0])[:, None], special(pair[1])[None]
    compiled = numba_function(lambda a, b: tuple(f(a, b) for f in functions))
    with np.errstate(all="ignore"):
        for f, got in zip(functions, compiled(a, b), strict=True):
            assert_same(f.__name__, got, f(a, b))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_functions_of_one_argument(dtype):
    functions = [f for f in UFUNCS if f.nin == 1 and has_formula(f, [dtype])]
    a = special(dtype)
    compiled = numba_function(lambda a: tuple(f(a) for f in functions))
    with np.errstate(all="ignore"):
        for f, got in zip(functions, compiled(a), strict=True):
            assert_same(f.__name__, got, f(a))
