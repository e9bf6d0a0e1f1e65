"""Elementwise operations as formulas of single numbers, for machine code.

NumPy decides in which dtypes an operation computes, and the program has recorded that (``op.loop``). Here,
arguments are converted to these dtypes, and nothing is promoted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..instructions import instruction_of
from ..program import Op
from .groups import NoMachineCodeError, rule_of

__all__ = [
    "combined",
    "converted",
    "dtype_of",
    "dtypes_of",
    "first_value",
    "formula",
    "number",
    "total_dtype",
    "type_of",
]


def type_of(dtype: Any) -> str:
    """Name the scalar type of a dtype for the text."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.name == "float16" or not dtype.isnative:
        raise NoMachineCodeError(f"dtype {dtype}")
    return str(dtype.name)


def number(x: Any, dtype: Any) -> str:
    """Write a number in a dtype that must be able to hold it."""
    dtype = np.dtype(dtype)
    name = type_of(dtype)
    value = x.item() if isinstance(x, np.generic) else x
    if dtype.kind == "b":
        return f"bool({bool(value)})"
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not isinstance(value, int) or not info.min <= value <= info.max:
            raise NoMachineCodeError(f"{value!r} as {dtype}")
        return f"{name}({int(value)})"
    if not isinstance(value, (int, float)):
        raise NoMachineCodeError(f"{value!r} as {dtype}")
    value = float(value)
    if not math.isfinite(value):
        return f"{name}(math.copysign(math.{abs(value)}, {math.copysign(1, value)}))"
    return f"{name}({value!r})"


def converted(text: str, old: Any, new: Any) -> str:
    """Convert a value from one dtype to another."""
    old, new = np.dtype(old), np.dtype(new)
    if old == new:
        return text
    if new.kind == "b":
        return f"({text} != 0)"
    if old.kind == "f" and new.kind in "iu":
        # The result for numbers out of range depends on the processor.
        raise NoMachineCodeError(f"{old} as {new}")
    return f"{type_of(new)}({text})"


def dtype_of(arg: Op) -> Any:
    """The dtype of an argument; a Python number has double precision."""
    return np.dtype(np.float64 if arg.dtype is None else arg.dtype)


def dtypes_of(op: Op) -> tuple[Any, ...]:
    """The dtypes of an elementwise operation's arguments."""
    rule = rule_of(op)
    if rule == "formula":
        return op.loop[:-1]
    if rule == "where":
        if len(op.args) != 3:
            raise NoMachineCodeError("np.where of one argument")
        return np.dtype(bool), op.dtype, op.dtype
    if rule == "clip":
        return tuple(op.dtype for arg in op.args if arg is not None)
    return (op.args[0].dtype,)


def formula(op: Op, texts: list[str]) -> str:
    """Write an elementwise operation whose arguments have the dtypes of :func:`dtypes_of`."""
    rule = rule_of(op)
    if rule == "where":
        return f"{texts[1]} if {texts[0]} else {texts[2]}"
    if rule == "clip":
        return _clipped(op, texts)
    if rule != "formula":
        return converted(texts[0], op.args[0].dtype, op.dtype)
    like, dtype = np.dtype(op.loop[0]), op.loop[-1]
    return _filled(op.instruction.machine[like.kind], texts, like, dtype)


def _filled(template: str, texts: Sequence[str], like: Any, dtype: Any) -> str:
    """Write a formula whose arguments have one dtype and whose result has another."""
    kind = type_of(like)
    text = template.format(*texts).replace("T(", f"{kind}(").replace("U(", f"u{kind.removeprefix('u')}(")
    # Numba may widen the result of two integers.
    return f"{type_of(dtype)}({text})" if np.dtype(dtype).kind in "iu" else text


def _clipped(op: Op, texts: list[str]) -> str:
    """From below first: an element that the lower bound raises above the upper one ends there.

    With one bound, this is a maximum or a minimum; for zeros of both signs, it is the second.
    """
    if np.dtype(op.dtype).kind == "b":
        raise NoMachineCodeError("np.clip of bool")
    text, *bounds = texts
    signs = [sign for sign, bound in zip("<>", op.args[1:], strict=True) if bound is not None]
    for sign, bound in zip(signs, bounds, strict=True):
        if len(bounds) == 2:
            text = f"({bound} if {text} {sign} {bound} or {bound} != {bound} else {text})"
        else:
            text = f"({text} if {bound} {sign} {text} or {text} != {text} else {bound})"
    return text


# -- reductions ------------------------------------------------------------------------------------------------

#: Up to this many numbers are added in single precision; longer sums would round worse than NumPy's.
LONG = 512


def total_dtype(op: Op) -> Any:
    """The dtype of a reduction's total, if the total is a separate variable."""
    dtype = np.dtype(op.dtype)
    is_long = op.args[0].size > LONG * max(op.size, 1)
    return np.dtype(np.float64) if op.calls(np.add.reduce) and dtype == np.float32 and is_long else dtype


def first_value(op: Op, dtype: Any) -> str:
    """The initial value of a reduction."""
    dtype = np.dtype(dtype)
    ufunc = op.instruction.function.__self__
    if dtype.kind == "b":
        return number(ufunc in (np.minimum, np.multiply, np.logical_and), bool)
    if ufunc is np.add:
        return number(0, dtype)
    if ufunc is np.multiply:
        return number(1, dtype)
    sign = -1 if ufunc is np.maximum else 1
    if dtype.kind == "f":
        return number(sign * math.inf, dtype)
    info = np.iinfo(dtype)
    return number(int(info.min if sign < 0 else info.max), dtype)


def combined(op: Op, total: str, value: str, dtype: Any) -> str:
    """Write how a reduction combines its total with another value."""
    dtype = np.dtype(dtype)
    ufunc = op.instruction.function.__self__
    if ufunc is np.add and dtype.kind == "f":
        return f"add_freely({total}, {value})"
    if ufunc in (np.maximum, np.minimum) and dtype.kind == "f":  # for zeros of both signs, it is the last one
        sign = ">=" if ufunc is np.maximum else "<="
        return f"{value} if {value} {sign} {total} or {value} != {value} else {total}"
    template = instruction_of(ufunc).machine.get(dtype.kind)
    if template is None:
        raise NoMachineCodeError(f"{op.instruction.name} of {dtype}")
    return _filled(template, (value, total), dtype, dtype)
