"""Every declared operation and its gradient, compiled: tried on other numbers than those that were traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from helpers import OPERATIONS, check_cases, compute, outputs, some_or_all

import tinygrad_mnist as tg
from tinygrad_mnist.errors import CompileError
from tinygrad_mnist.primitive import Sample

#: What no straight line of calls can do: the shape or the dtype of the result depends on the values.
REFUSED = {
    *(
        "sqrt",
        "log",
        "log2",
        "log10",
        "logn",
        "power",
        "arccos",
        "arcsin",
        "arctanh",
    ),  # those of np.emath: the dtype
    *(
        "unique",
        "unique_all",
        "unique_counts",
        "unique_inverse",
        "unique_values",
    ),  # the shape, here and below
    *(
        "intersect1d",
        "setdiff1d",
        "setxor1d",
        "union1d",
        "trim_zeros",
        "polymul",
        "polydiv",
        "poly",
        "bincount",
    ),
    *("getitem", "scatter", "setitem"),  # by a mask that may change
    "piecewise",  # calls its functions with as many elements as values say
}
#: How many samples of each operation have their gradients compiled, where not all have.
SOME = 2
every_operation = pytest.mark.parametrize("p", [pytest.param(p, id=p.name) for p in OPERATIONS if p.samples])


def plain(values: Any) -> list[np.ndarray]:
    return [np.asarray(v.data if isinstance(v, tg.Tensor) else v) for v in outputs(values)]


def as_tensors(values: list) -> list:
    return [tg.Tensor(v) if isinstance(v, np.ndarray) and v.dtype.kind in "fc" else v for v in values]


def is_refused(p: Any, compiled: Any, values: list) -> bool:
    """Whether compiling says that it cannot be, which is right for some."""
    if p.name not in REFUSED:
        return False
    try:
        compiled(*values)
    except CompileError:
        return True
    return False


def value_of(p: Any, sample: Sample) -> Any:
    """A function of the sample's arrays that returns what the operation does."""
    return lambda *values: compute(p, sample, list(values))


def gradients(p: Any, sample: Sample) -> Any:
    """A function of the sample's arrays that returns the gradients by those that have one."""
    places = [i for i, v in enumerate(sample.draw(0)) if isinstance(v, np.ndarray) and v.dtype.kind in "fc"]

    def total(*values: Any) -> Any:
        result = 0.0
        for y in compute(p, sample, list(values)):
            if isinstance(y, tg.Tensor) and y.dtype.kind in "fc":
                weights = np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype)
                result = result + np.sum(np.real(y * weights))
        return result

    return tg.grad(total, places)


def check(p: Any, functions: list[tuple[Any, Sample]], rtol: float) -> None:
    """Compile functions of the arrays of samples as one, and compare."""

    def f(*values: list) -> list:
        return [g(*v) for (g, _), v in zip(functions, values, strict=True)]

    compiled = tg.compile(f)
    for seed in (0, 1):
        values = [as_tensors(sample.draw(seed)) for _, sample in functions]
        if is_refused(p, compiled, values):
            return
        got, expected = plain(compiled(*values)), plain(f(*values))
        for x, y in zip(got, expected, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def check_all(p: Any, make: Callable[[Any, Sample], Any], samples: Sequence[Sample], rtol: float) -> None:
    """Check all samples in one program, and if that fails or may be refused, each in its own."""
    functions = [(make(p, sample), sample) for sample in samples]
    cases = ((f"{p.name} {sample}", p, [(f, sample)], rtol) for f, sample in functions)
    if p.name in REFUSED:
        check_cases(check, cases)
        return
    try:
        check(p, functions, rtol)
    except Exception:
        check_cases(check, cases)
        raise


@every_operation
def test_values(p):
    check_all(p, value_of, p.samples, 1e-12)


@some_or_all
@every_operation
def test_gradients(p, are_all):
    check_all(p, gradients, p.samples if are_all else p.samples[:SOME], 1e-11)
