"""Every declared operation and its gradient, compiled: tried on other numbers than those that were traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import OPERATIONS, check_cases, compute, outputs

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


def gradients(p: Any, sample: Sample, places: list[int]) -> Any:
    """A function of the sample's arrays that returns the gradients by those that have one."""

    def total(*values: Any) -> Any:
        result = 0.0
        for y in compute(p, sample, list(values)):
            if isinstance(y, tg.Tensor) and y.dtype.kind in "fc":
                weights = np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype)
                result = result + np.sum(np.real(y * weights))
        return result

    return tg.grad(total, places)


def check_values(p: Any, sample: Sample) -> None:
    def f(*values: Any) -> list:
        return compute(p, sample, list(values))

    compiled = tg.compile(f)
    for seed in (0, 1):
        values = as_tensors(sample.draw(seed))
        if is_refused(p, compiled, values):
            return
        got, expected = plain(compiled(*values)), plain(f(*values))
        for x, y in zip(got, expected, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def check_gradients(p: Any, sample: Sample) -> None:
    places = [i for i, v in enumerate(sample.draw(0)) if isinstance(v, np.ndarray) and v.dtype.kind in "fc"]
    f = gradients(p, sample, places)
    compiled = tg.compile(f)
    for seed in (0, 1):
        values = sample.draw(seed)
        if is_refused(p, compiled, values):
            return
        got, expected = plain(compiled(*values)), plain(f(*values))
        for x, y in zip(got, expected, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11)


@every_operation
def test_values(p):
    check_cases(check_values, ((f"{p.name} {sample}", p, sample) for sample in p.samples))


@every_operation
def test_gradients(p, request):
    samples = p.samples if request.config.getoption("--thorough") else p.samples[:SOME]
    check_cases(check_gradients, ((f"gradients of {p.name} {sample}", p, sample) for sample in samples))
