"""Every declared operation and its gradient, compiled: tried on other numbers than those that were traced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from helpers import check_cases, compute, for_each_room, outputs, some_or_all

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
SOME = 1
#: How many samples are compiled as one program.
MOST = 40


class Case(NamedTuple):
    """A function of the arrays of an operation's sample."""

    p: Any
    sample: Sample
    function: Callable[..., Any]


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


def check(cases: Sequence[Case], rtol: float) -> None:
    """Compile functions of the arrays of samples as one, and compare."""

    def f(*values: list) -> list:
        return [case.function(*v) for case, v in zip(cases, values, strict=True)]

    compiled = tg.compile(f)
    for seed in (0, 1):
        values = [as_tensors(case.sample.draw(seed)) for case in cases]
        if is_refused(cases[0].p, compiled, values):
            return
        got, expected = plain(compiled(*values)), plain(f(*values))
        for x, y in zip(got, expected, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def check_all(cases: list[Case], rtol: float) -> None:
    """Check many samples in one program, and if that fails, and what may be refused, each in its own."""
    alone = [case for case in cases if case.p.name in REFUSED]
    together = [case for case in cases if case.p.name not in REFUSED]
    for start in range(0, len(together), MOST):
        some = together[start : start + MOST]
        try:
            check(some, rtol)
        except Exception:
            check_cases(check, named(some, rtol))
            raise
    if alone:
        check_cases(check, named(alone, rtol))


def named(cases: Iterable[Case], rtol: float) -> Iterator[tuple[str, list[Case], float]]:
    return ((f"{case.p.name} {case.sample}", [case], rtol) for case in cases)


@for_each_room
def test_values(operations):
    check_all([Case(p, s, value_of(p, s)) for p in operations for s in p.samples], 1e-12)


@some_or_all
@for_each_room
def test_gradients(operations, are_all):
    most = None if are_all else SOME
    check_all([Case(p, s, gradients(p, s)) for p in operations for s in p.samples[:most]], 1e-11)
