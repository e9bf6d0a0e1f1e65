"""Operators that compute number by number, and sums, means and products."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import numpy as np

from ....errors import UnsupportedError
from ....nn import functional as F  # noqa: N812
from .table import Setting, dtype_of, integers, number, operator, plain, require_room

#: Operators that are a function by another name.
_SAME: dict[str, Callable[..., Any]] = {
    "Abs": np.abs, "Acos": np.arccos, "Acosh": np.arccosh, "Add": np.add, "And": np.logical_and, "Asin": np.arcsin,
    "Asinh": np.arcsinh, "Atan": np.arctan, "Atanh": np.arctanh, "BitwiseAnd": np.bitwise_and,
    "BitwiseNot": np.invert, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor, "Ceil": np.ceil, "Cos": np.cos,
    "Cosh": np.cosh, "Equal": np.equal, "Erf": F.erf, "Exp": np.exp, "Floor": np.floor, "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal, "IsNaN": np.isnan, "Less": np.less, "LessOrEqual": np.less_equal,
    "Log": np.log, "Mul": np.multiply, "Neg": np.negative, "Not": np.logical_not,
    "Or": np.logical_or, "Reciprocal": np.reciprocal, "Relu": F.relu, "Round": np.rint, "Sigmoid": F.sigmoid,
    "Sign": np.sign, "Sin": np.sin, "Sinh": np.sinh, "Softplus": F.softplus, "Sqrt": np.sqrt, "Sub": np.subtract,
    "Tan": np.tan, "Tanh": np.tanh, "Xor": np.logical_xor,
}  # fmt: skip

#: Activations as formulas.
_FORMULAS: dict[str, Callable[..., Any]] = {
    "Celu": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)),
    "Elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "Gelu": lambda x, approximate="none": F.gelu(x, approximate),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, alpha=0.01: F.leaky_relu(x, alpha),
    "Mish": lambda x: x * np.tanh(F.softplus(x)),
    "PRelu": lambda x, slope: np.where(x > 0, x, slope * x),
    "Selu": lambda x, alpha=1.6732632423543772, gamma=1.0507009873554805: gamma * F.elu(x, alpha),
    "Shrink": lambda x, bias=0.0, lambd=0.5: np.where(
        x > lambd, x - bias, np.where(x < -lambd, x + bias, np.zeros_like(x))
    ),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Swish": lambda x, alpha=1.0: x * F.sigmoid(alpha * x),
    "ThresholdedRelu": lambda x, alpha=1.0: np.where(x > alpha, x, 0),
    "Where": np.where,
}

for _name, _function in (_SAME | _FORMULAS).items():
    operator(_name, broadcasts=isinstance(_function, np.ufunc) or _name in ("PRelu", "Where"))(_function)


def _joined(function: Callable[..., Any], *arrays: Any) -> Any:
    return reduce(function, arrays)


for _name, _function in (("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add)):
    operator(_name, broadcasts=True)(partial(_joined, _function))


@operator("Mean", broadcasts=True)
def _mean(*arrays: Any) -> Any:
    return reduce(np.add, arrays) / len(arrays)


@operator("Div", broadcasts=True)
def _div(a: Any, b: Any) -> Any:
    """Integers are divided towards zero."""
    if np.result_type(plain(a), plain(b)).kind in "iu":
        return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
    return a / b


@operator("Mod", broadcasts=True)
def _mod(a: Any, b: Any, fmod: int = 0) -> Any:
    return np.fmod(a, b) if fmod else np.remainder(a, b)


@operator("Pow", broadcasts=True)
def _pow(x: Any, y: Any) -> Any:
    """The result is of the kind of the base."""
    result = np.power(x, y) if x.dtype.kind == "f" else np.power(x.astype(np.float64), y)
    return result if result.dtype == x.dtype else result.astype(x.dtype)


@operator("IsInf")
def _is_inf(x: Any, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    return (np.isposinf(x) & bool(detect_positive)) | (np.isneginf(x) & bool(detect_negative))


@operator("Clip", fixed=(1, 2))
def _clip(x: Any, min: Any = None, max: Any = None) -> Any:
    low, high = (None if limit is None else x.dtype.type(number(limit)) for limit in (min, max))
    y = x if low is None else np.maximum(x, low)
    return y if high is None else np.minimum(y, high)


@operator("Cast")
def _cast(x: Any, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    return x.astype(dtype_of(to))


@operator("CastLike", fixed=(1,))
def _cast_like(x: Any, like: Any, saturate: int = 1, round_mode: str = "up") -> Any:
    return x.astype(like.dtype)


# -- along axes ----------------------------------------------------------------------------------------------------

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceL1": lambda x, **how: np.sum(np.abs(x), **how),
    "ReduceL2": lambda x, **how: np.sqrt(np.sum(np.square(x), **how)),
    "ReduceLogSum": lambda x, **how: np.log(np.sum(x, **how)),
    "ReduceLogSumExp": lambda x, **how: F.logsumexp(x, **how) if x.size else np.log(np.sum(np.exp(x), **how)),
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceSumSquare": lambda x, **how: np.sum(np.square(x), **how),
}

#: What is left of no numbers at all.
_OF_NOTHING = {"ReduceMax": -math.inf, "ReduceMin": math.inf}


def _reduce(name: str, x: Any, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
    chosen = tuple(integers(axes)) if axes is not None else ()
    if not chosen and noop_with_empty_axes:
        # As over an axis of one number more.
        return _REDUCTIONS[name](x[None], axis=0)
    settings: dict[str, Any] = {"axis": chosen or None, "keepdims": bool(keepdims)}
    if name in _OF_NOTHING and 0 in x.shape:
        limits = np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
        limit: Any = (limits.min if name == "ReduceMax" else limits.max) if limits else _OF_NOTHING[name]
        if x.dtype.kind == "b":
            limit = name == "ReduceMin"
        settings["initial"] = limit
    y = _REDUCTIONS[name](x, **settings)
    return y if y.dtype == x.dtype else y.astype(x.dtype)


for _name in _REDUCTIONS:
    operator(_name)(partial(_reduce, _name))


def _arg(name: str, x: Any, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    function = {"ArgMax": np.argmax, "ArgMin": np.argmin}[name]
    x = plain(x)
    if select_last_index:
        y = x.shape[axis] - 1 - function(np.flip(x, axis), axis=axis, keepdims=bool(keepdims))
    else:
        y = function(x, axis=axis, keepdims=bool(keepdims))
    return np.asarray(y, np.int64)


for _name in ("ArgMax", "ArgMin"):
    operator(_name)(partial(_arg, _name))


def _soft(function: Callable[..., Any], x: Any, axis: int | None = None, *, setting: Setting) -> Any:
    """Before version 13, all axes from the given one on were one."""
    if setting.opset >= 13:
        return function(x, axis=-1 if axis is None else axis)
    axis = 1 if axis is None else axis % x.ndim
    flat = np.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return np.reshape(function(flat, axis=-1), x.shape)


for _name, _function in (("Softmax", F.softmax), ("LogSoftmax", F.log_softmax)):
    operator(_name)(partial(_soft, _function))


@operator("CumSum")
def _cumsum(x: Any, axis: Any, exclusive: int = 0, reverse: int = 0) -> Any:
    at = int(number(axis))
    y = np.flip(x, at) if reverse else x
    total = np.cumsum(y, axis=at)
    total = total - y if exclusive else total
    total = total if total.dtype == x.dtype else total.astype(x.dtype)
    return np.flip(total, at) if reverse else total


# -- products ------------------------------------------------------------------------------------------------------


@operator("MatMul")
def _matmul(a: Any, b: Any) -> Any:
    stacks = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    require_room([*stacks, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())], a.dtype)
    return a @ b


@operator("Gemm")
def _gemm(
    a: Any, b: Any, c: Any = None, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Any:  # fmt: skip
    a = a.T if transA else a
    require_room([len(a), b.shape[0 if transB else 1]], a.dtype)
    if alpha == 1 and beta == 1 and transB and (c is None or c.ndim == 1) and a.ndim == 2:
        return F.linear(a, b, c if c is None or c.shape == (b.shape[0],) else np.broadcast_to(c, b.shape[:1]))
    y = a @ (b.T if transB else b)
    y = y if alpha == 1 else y * alpha
    return y if c is None or not beta else y + (c if beta == 1 else c * beta)


@operator("Einsum")
def _einsum(*arrays: Any, equation: str) -> Any:
    terms, _, result = equation.replace(" ", "").partition("->")
    lengths: dict[str, int] = {}
    for term, x in zip(terms.split(","), arrays, strict=True):
        lengths.update(zip(term, x.shape, strict=False))
    require_room([lengths.get(name, 1) for name in result or lengths], arrays[0].dtype)
    return np.einsum(equation.replace(" ", ""), *arrays)


@operator("Det")
def _det(x: Any) -> Any:
    return np.linalg.det(x)


@operator("LpNormalization")
def _lp_normalization(x: Any, axis: int = -1, p: int = 2) -> Any:
    if p not in (1, 2):
        raise UnsupportedError(f"p={p}")
    norm = (
        np.sum(np.abs(x), axis=axis, keepdims=True)
        if p == 1
        else np.sqrt(np.sum(x * x, axis=axis, keepdims=True))
    )
    return x / np.where(norm == 0, 1, norm).astype(x.dtype)
