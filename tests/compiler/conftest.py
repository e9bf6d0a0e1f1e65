"""Every pass of every program that the tests compile is validated: it computes what the program before it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_mnist.compiler import pipeline
from tinygrad_mnist.compiler.program import Op, Program, evaluate

#: Programs with more numbers in them are not evaluated again for every pass.
LARGEST = 2_000_000


def values_for(op: Op, rng: np.random.Generator) -> Any:
    """Something that an input may be given."""
    if op.kind == "generator":
        return np.random.default_rng(0)
    if op.kind in ("number", "step"):
        return 0.125 if op.kind == "number" else 3
    if op.dtype.kind == "b":
        return rng.random(op.shape) < 0.5
    if op.dtype.kind in "iu":  # small enough to be an index of most arrays
        return rng.integers(0, 2, op.shape).astype(op.dtype)
    value = rng.normal(size=op.shape) + (1j * rng.normal(size=op.shape) if op.dtype.kind == "c" else 0)
    return np.asarray(value, op.dtype)


def run(program: Program) -> Any:
    """What a program computes of random values, or the error that it raises."""
    rng = np.random.default_rng(0)
    given = {op: values_for(op, rng) for op in sorted(program.inputs, key=lambda op: op.name)}
    with np.errstate(all="ignore"):
        try:
            return evaluate(program, given)
        except (ValueError, IndexError, np.linalg.LinAlgError, ZeroDivisionError) as error:
            return type(error)


def coarsest(program: Program) -> float:
    """How exact the least exact numbers are that a program computes."""
    return max((float(np.finfo(op.dtype).eps) for op in program.ops if _is_inexact(op.dtype)), default=0)


def _is_inexact(dtype: Any) -> bool:
    return dtype is not None and dtype.kind in "fc"


def assert_same(x: Any, y: Any, eps: float) -> None:
    """Compare what two programs compute of the same random values."""
    if isinstance(x, type) or isinstance(y, type):
        assert x is y, f"{x} became {y}"
        return
    for old, new in zip((*x[0], *x[1]), (*y[0], *y[1]), strict=True):
        old, new = np.asarray(old), np.asarray(new)
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
        if np.array_equal(old, new):
            continue
        if old.dtype.kind in "biu":
            np.testing.assert_array_equal(new, old)
        else:
            eps = max(eps, float(np.finfo(old.dtype).eps))
            scale = float(np.max(np.abs(old), initial=1, where=np.isfinite(old)))
            np.testing.assert_allclose(new, old, rtol=1e4 * eps, atol=1e3 * eps * scale)


@pytest.fixture(autouse=True)
def validate_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate the program before and after each pass."""
    last: list[Any] = [None, None]  # the program that the pass before has made, and what it computes

    def validated(pass_: Any, program: Program) -> Program:
        after = pass_(program)
        if after is not program and sum(op.size for op in program.ops) <= LARGEST:
            before = last[1] if last[0] is program else run(program)
            last[:] = after, run(after)
            assert_same(before, last[1], coarsest(program))
        return after

    monkeypatch.setattr(pipeline, "run_pass", validated)
