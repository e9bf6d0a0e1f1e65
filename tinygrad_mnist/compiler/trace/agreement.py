"""Compare two traces of a function: anything that differs is not determined by the arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import CompileError
from ..program import Constant, Op, Program, inputs_of
from .tape import Callee

__all__ = ["require_agreement"]


def require_agreement(name: str, first: Program, second: Program) -> None:
    """Raise an error if two traces of a function differ.

    Random numbers from a Generator that the trace did not see, the time, or a counter in a list would
    otherwise be constants of the program, which would be wrong in its second call.
    """
    partners = dict(zip(first.inputs, second.inputs, strict=False))
    for a, b in zip(first.ops, second.ops, strict=False):
        if isinstance(a, Constant) and isinstance(b, Constant):
            x, y = a.value, b.value
            same = x is y or np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
        else:
            same = a.instruction is b.instruction and _same(a.args, b.args, partners)
            same = same and _same(a.settings, b.settings, partners)
        if not same or (a.shape, a.dtype) != (b.shape, b.dtype):
            raise _differ(name, next((op for op in first.ops if op is a or a in inputs_of(op)), a))
        partners[a] = b
    if len(first.ops) != len(second.ops) or len(first.inputs) != len(second.inputs):
        raise _differ(name, first.ops[-1] if first.ops else None)


def _same(a: Any, b: Any, partners: dict[Op, Op]) -> bool:
    if isinstance(a, Op):
        return partners.get(a) is b
    if isinstance(a, (tuple, list)):
        return (
            type(a) is type(b)
            and len(a) == len(b)
            and all(_same(x, y, partners) for x, y in zip(a, b, strict=True))
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], partners) for key in a)
    if isinstance(a, Callee):
        return isinstance(b, Callee) and (a == b or a.operation == b.operation == "")
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or a != a != b != b)
    return type(a) is type(b) and (a is b or bool(a == b))


def _differ(name: str, op: Op | None) -> CompileError:
    where = f" (near {op.place.line}: {op.place.text})" if op is not None and op.place.line else ""
    return CompileError(
        f"compile: {name} did something different in the second call{where}. Random numbers must come from a "
        "numpy.random.Generator that is an argument, an attribute of a Module or a variable that the function names, "
        "and values that change from call to call must be arguments or a Module's buffers"
    )
