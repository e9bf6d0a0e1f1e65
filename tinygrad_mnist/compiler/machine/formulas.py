"""Elementwise operations as formulas of single numbers, for machine code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..program import Op
from .groups import NoMachineCodeError

__all__ = ["combined", "first_value", "formula", "number", "type_of"]

#: ``{0}`` and so on are the arguments, ``T`` the type in which they are.
_FORMULAS = {
    "np.add": "{0} + {1}",
    "np.subtract": "{0} - {1}",
    "np.multiply": "{0} * {1}",
    "np.divide": "{0} / {1}",
    "np.true_divide": "{0} / {1}",
    "np.negative": "-{0}",
    "np.positive": "{0}",
    "np.square": "{0} * {0}",
    "np.reciprocal": "T(1) / {0}",
    "np.power": "{0} ** {1}",
    "np.absolute": "abs({0})",
    "np.fabs": "abs({0})",
    "np.sign": "T({0} > T(0)) - T({0} < T(0)) if {0} == {0} else {0}",
    "np.exp": "exp({0})",
    "np.logaddexp": "logaddexp({0}, {1})",
    # A number that is no number stays one, as in NumPy.
    "np.maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "np.minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "np.clip": "{1} if {0} < {1} else {2} if {0} > {2} else {0}",
    "np.greater": "{0} > {1}",
    "np.less": "{0} < {1}",
    "np.greater_equal": "{0} >= {1}",
    "np.less_equal": "{0} <= {1}",
    "np.equal": "{0} == {1}",
    "np.not_equal": "{0} != {1}",
    "np.isnan": "{0} != {0}",
    "np.isfinite": "abs({0}) < T(math.inf)",
}
#: On truth values, and only on them.
_LOGIC = {
    "np.logical_and": "{0} and {1}",
    "np.logical_or": "{0} or {1}",
    "np.logical_not": "not {0}",
    "np.multiply": "{0} and {1}",
    "np.add": "{0} or {1}",
    "np.equal": "{0} == {1}",
    "np.not_equal": "{0} != {1}",
}
_OF_MATH = ("sqrt", "log", "log1p", "expm1", "tanh", "sinh", "cosh", "sin", "cos", "tan", "floor", "ceil")
_INTEGER = ("np.add", "np.subtract", "np.multiply", "np.negative", "np.maximum", "np.minimum", "np.greater", "np.less",
            "np.greater_equal", "np.less_equal", "np.equal", "np.not_equal", "np.square", "np.clip")  # fmt: skip


def type_of(dtype: Any) -> str:
    """How the text calls a dtype's scalars."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.name == "float16" or not dtype.isnative:
        raise NoMachineCodeError(f"dtype {dtype}")
    return str(dtype.name)


def number(x: Any, dtype: Any) -> str:
    """A number of a dtype."""
    if isinstance(x, (float, np.floating)) and not math.isfinite(x):
        text = "math.nan" if math.isnan(x) else "math.inf" if x > 0 else "-math.inf"
    else:
        text = repr(x.item() if isinstance(x, np.generic) else x)
    return f"{type_of(dtype)}({text})"


def formula(op: Op, texts: list[str], like: Any) -> str:
    """Write an elementwise operation, whose arguments are of the dtype ``like``."""
    name = op.function
    if name == "np.where":
        return f"{texts[1]} if {texts[0]} else {texts[2]}"
    if name == "astype":
        return f"{texts[0]} != 0" if op.dtype == bool else f"{type_of(op.dtype)}({texts[0]})"
    if name in ("copy", "np.reshape"):
        return texts[0]
    if like.kind == "b":
        template = _LOGIC.get(name)
    elif like.kind in "iu":
        template = _FORMULAS[name] if name in _INTEGER else None
    elif name[3:] in _OF_MATH:
        template = f"math.{name[3:]}({{0}})"
    else:
        template = _FORMULAS.get(name)
    if template is None:
        raise NoMachineCodeError(name if like.kind == "f" else f"{name} of {like}")
    text = template.format(*texts).replace("T(", f"{type_of(like)}(")
    # What numba makes of two integers may be wider than they are.
    return text if like.kind in "fb" or op.dtype == bool else f"{type_of(op.dtype)}({text})"


def first_value(op: Op) -> str:
    """What a reduction begins with."""
    dtype = np.dtype(op.dtype)
    if op.function == "np.add.reduce":
        return number(0, dtype)
    if op.function == "np.multiply.reduce":
        return number(1, dtype)
    sign = -1 if op.function == "np.maximum.reduce" else 1
    if dtype.kind == "f":
        return number(sign * math.inf, dtype)
    if dtype.kind == "b":
        raise NoMachineCodeError(f"{op.function} of bool")
    info = np.iinfo(dtype)
    return number(int(info.min if sign < 0 else info.max), dtype)


def combined(op: Op, total: str, value: str) -> str:
    """How a reduction takes one more value."""
    if op.function == "np.add.reduce":
        if np.dtype(op.dtype).kind == "f":
            return f"add_freely({total}, {value})"
        return f"{type_of(op.dtype)}({total} + {value})"
    if op.function == "np.multiply.reduce":
        return f"{type_of(op.dtype)}({total} * {value})"
    sign = ">=" if op.function == "np.maximum.reduce" else "<="
    return f"{total} if {total} {sign} {value} or {total} != {total} else {value}"
