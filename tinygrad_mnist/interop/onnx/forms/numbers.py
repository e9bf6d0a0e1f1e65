"""Forms of what is computed number by number, and of sums, means and products."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..recording import Call
from ..writing import Writer
from .table import form, reduce, refuse

#: Operations that are an operator by another name; arguments get the dtype of the result.
_SAME = {
    "absolute": "Abs", "add": "Add", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
    "arctan": "Atan", "arctanh": "Atanh", "ceil": "Ceil", "conjugate": "Identity", "cos": "Cos", "cosh": "Cosh",
    "divide": "Div", "erf": "Erf", "exp": "Exp", "fabs": "Abs", "floor": "Floor", "identity": "Identity",
    "log": "Log", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "negative": "Neg", "positive": "Identity",
    "power": "Pow", "real": "Identity", "reciprocal": "Reciprocal", "relu": "Relu", "rint": "Round",
    "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "softplus": "Softplus", "sqrt": "Sqrt",
    "subtract": "Sub", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip

#: The same for comparisons, whose arguments get the dtype that NumPy compares them in.
_COMPARISONS = {
    "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual",
}  # fmt: skip

_LOGICAL = {"logical_and": "And", "logical_not": "Not", "logical_or": "Or", "logical_xor": "Xor"}
_BITWISE = {"bitwise_and": "And", "invert": "Not", "bitwise_or": "Or", "bitwise_xor": "Xor"}

#: Operations as formulas of a few operators; ``c`` makes a constant of the dtype of the result.
_FORMULAS: dict[str, Callable[..., Any]] = {
    "cross_entropy_of_bits": lambda w, c, p, t: w(
        "Neg",
        w(
            "Add",
            w("Mul", t, w("Max", w("Log", p), c(-100))),
            w("Mul", w("Sub", c(1), t), w("Max", w("Log", w("Sub", c(1), p)), c(-100))),
        ),
    ),
    "cbrt": lambda w, c, x: w("Mul", w("Sign", x), w("Pow", w("Abs", x), c(1 / 3))),
    "degrees": lambda w, c, x: w("Mul", x, c(180 / math.pi)),
    "erfc": lambda w, c, x: w("Sub", c(1), w("Erf", x)),
    "exp2": lambda w, c, x: w("Pow", c(2), x),
    "expm1": lambda w, c, x: w("Sub", w("Exp", x), c(1)),
    "floor_divide": lambda w, c, a, b: w("Floor", w("Div", a, b)),
    "fix": lambda w, c, x: w("Mul", w("Sign", x), w("Floor", w("Abs", x))),
    "hypot": lambda w, c, a, b: w("Sqrt", w("Add", w("Mul", a, a), w("Mul", b, b))),
    "log10": lambda w, c, x: w("Mul", w("Log", x), c(1 / math.log(10))),
    "log1p": lambda w, c, x: w("Log", w("Add", x, c(1))),
    "log2": lambda w, c, x: w("Mul", w("Log", x), c(1 / math.log(2))),
    "logaddexp": lambda w, c, a, b: w(
        "Add", w("Max", a, b), w("Softplus", w("Neg", w("Abs", w("Sub", a, b))))
    ),
    "logit": lambda w, c, x: w("Sub", w("Log", x), w("Log", w("Sub", c(1), x))),
    "radians": lambda w, c, x: w("Mul", x, c(math.pi / 180)),
    "remainder": lambda w, c, a, b: w("Sub", a, w("Mul", b, w("Floor", w("Div", a, b)))),
    "one_less_square": lambda w, c, x: w("Sub", c(1), w("Mul", x, x)),
    "silu": lambda w, c, x: w("Mul", x, w("Sigmoid", x)),
    "square": lambda w, c, x: w("Mul", x, x),
    "trunc": lambda w, c, x: w("Mul", w("Sign", x), w("Floor", w("Abs", x))),
}
_FORMULAS |= {"deg2rad": _FORMULAS["radians"], "rad2deg": _FORMULAS["degrees"]}


@form(*_SAME)
def _same(w: Writer, call: Call) -> str:
    dtype = call.results[0].dtype
    return str(w(_SAME[call.primitive.name], *(w.as_type(x, dtype) for x in call.args)))


@form(*_COMPARISONS, "not_equal")
def _compare(w: Writer, call: Call) -> str:
    a, b = call.args[:2]
    kind = np.result_type(a.value, b.value)
    # ONNX compares booleans only for being equal.
    dtype = np.int32 if kind.kind == "b" and call.primitive.name not in ("equal", "not_equal") else kind
    y = w(_COMPARISONS.get(call.primitive.name, "Equal"), w.as_type(a, dtype), w.as_type(b, dtype))
    return str(w("Not", y) if call.primitive.name == "not_equal" else y)


@form(*_LOGICAL)
def _logical(w: Writer, call: Call) -> str:
    return str(w(_LOGICAL[call.primitive.name], *(w.as_type(x, bool) for x in call.args)))


@form(*_BITWISE)
def _bitwise(w: Writer, call: Call) -> str:
    if call.results[0].dtype.kind != "b":
        raise refuse(call, "of integers")
    return str(w(_BITWISE[call.primitive.name], *(w.as_type(x, bool) for x in call.args)))


@form(*_FORMULAS)
def _formula(w: Writer, call: Call) -> str:
    dtype = call.results[0].dtype
    args = [w.as_type(x, dtype) for x in call.args]
    if dtype.kind in "iu" and call.primitive.name in ("floor_divide", "remainder"):
        rest = str(w("Mod", *args))
        return rest if call.primitive.name == "remainder" else str(w("Div", w("Sub", args[0], rest), args[1]))
    if dtype.kind != "f" and call.primitive.name != "square":
        raise refuse(call, f"of {dtype}")
    return str(_FORMULAS[call.primitive.name](w, lambda number: np.array(number, dtype), *args))


@form("isnan", "isinf", "isfinite")
def _is_special(w: Writer, call: Call) -> str:
    if call.primitive.name == "isfinite":
        return str(w("Not", w("Or", w("IsNaN", call.args[0]), w("IsInf", call.args[0]))))
    return str(w({"isnan": "IsNaN", "isinf": "IsInf"}[call.primitive.name], call.args[0]))


@form("leaky_relu")
def _leaky_relu(w: Writer, call: Call) -> str:
    return str(w("LeakyRelu", call.args[0], alpha=float(call.settings["slope"])))


@form("elu")
def _elu(w: Writer, call: Call) -> str:
    return str(w("Elu", call.args[0], alpha=float(call.settings["alpha"])))


@form("where")
def _where(w: Writer, call: Call) -> str:
    condition, a, b = call.args
    dtype = call.results[0].dtype
    return str(w("Where", w.as_type(condition, bool), w.as_type(a, dtype), w.as_type(b, dtype)))


@form("clip")
def _clip(w: Writer, call: Call) -> str:
    x, low, high = call.args
    dtype = call.results[0].dtype
    y: Any = w.as_type(x, dtype)
    y = y if low is None else w("Max", y, w.as_type(low, dtype))
    return w.name_of(y if high is None else w("Min", y, w.as_type(high, dtype)))


@form("astype")
def _astype(w: Writer, call: Call) -> str:
    return w.cast(call.args[0], call.results[0].dtype)


# -- reductions ----------------------------------------------------------------------------------------------------

_REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
    "logsumexp": "ReduceLogSumExp", "euclidean": "ReduceL2",
}  # fmt: skip


@form(*_REDUCTIONS)
def _reduction(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    y = w.as_type(x, call.results[0].dtype)
    return str(reduce(w, _REDUCTIONS[call.primitive.name], y, x.ndim, s["axis"], s["keepdims"]))


@form("var", "std")
def _variance(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    dtype = call.results[0].dtype
    axes = tuple(range(x.ndim)) if s["axis"] is None else normalize_axis_tuple(s["axis"], x.ndim)
    given = w.as_type(x, dtype)
    d = w("Sub", given, reduce(w, "ReduceMean", given, x.ndim, axes, True))
    y = reduce(w, "ReduceMean", w("Mul", d, d), x.ndim, axes, s["keepdims"])
    if s["ddof"]:
        n = math.prod(w.number(x.sizes[i]) for i in axes)
        y = w("Mul", y, np.array(n / (n - s["ddof"]), dtype))
    return str(w("Sqrt", y) if call.primitive.name == "std" else y)


@form("standardize")
def _standardize(w: Writer, call: Call) -> list[str]:
    x, s = call.args[0], call.settings
    mean = reduce(w, "ReduceMean", x, x.ndim, s["axis"], True)
    d = w("Sub", x, mean)
    variance = reduce(w, "ReduceMean", w("Mul", d, d), x.ndim, s["axis"], True)
    deviation = w("Sqrt", w("Add", variance, np.array(s["eps"], x.dtype)))
    return [w("Div", d, deviation), mean, variance]


@form("softmax", "log_softmax")
def _softmax(w: Writer, call: Call) -> str:
    operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[call.primitive.name]
    return str(w(operator, call.args[0], axis=int(call.settings["axis"])))


@form("argmax", "argmin")
def _argmax(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    axis = call.args[1].value if len(call.args) > 1 and call.args[1] is not None else s.get("axis")
    if axis is None:
        return str(w("Squeeze", w(_ARGS[call.primitive.name], w("Reshape", x, np.array([-1])), axis=0)))
    keeps = int(call.results[0].ndim == x.ndim)
    return str(w(_ARGS[call.primitive.name], x, axis=int(axis), keepdims=keeps))


_ARGS = {"argmax": "ArgMax", "argmin": "ArgMin"}


@form("all", "any")
def _all(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    axis = call.args[1].value if len(call.args) > 1 and call.args[1] is not None else s.get("axis")
    operator = {"all": "ReduceMin", "any": "ReduceMax"}[call.primitive.name]
    number = w.cast(w.as_type(x, bool), np.int32)
    return w.cast(reduce(w, operator, number, x.ndim, axis, s.get("keepdims") is True), bool)


@form("cumsum")
def _cumsum(w: Writer, call: Call) -> str:
    x, axis = call.args[0], call.settings["axis"]
    y = w.as_type(x, call.results[0].dtype)
    y = w("Reshape", y, np.array([-1])) if axis is None else y
    return str(w("CumSum", y, np.array(axis or 0, np.int64)))


# -- products ------------------------------------------------------------------------------------------------------


@form("matmul")
def _matmul(w: Writer, call: Call) -> str:
    dtype = call.results[0].dtype
    return str(w("MatMul", *(w.as_type(x, dtype) for x in call.args)))


@form("dot")
def _dot(w: Writer, call: Call) -> str:
    a, b = call.args
    if max(a.ndim, b.ndim) > 2 and min(a.ndim, b.ndim) and b.ndim > 2:
        raise refuse(call, f"of shapes {a.shape} and {b.shape}")
    dtype = call.results[0].dtype
    operator = "MatMul" if a.ndim and b.ndim else "Mul"
    return str(w(operator, w.as_type(a, dtype), w.as_type(b, dtype)))


@form("linear")
def _linear(w: Writer, call: Call) -> str:
    dtype = call.results[0].dtype
    x, weight, bias = (w.as_type(x, dtype) for x in call.args)
    if call.args[0].ndim == 2 and (bias is None or call.args[2].ndim == 1):
        return str(w("Gemm", x, weight, *([] if bias is None else [bias]), transB=1))
    y = w("MatMul", x, w("Transpose", weight, perm=[1, 0]))
    return str(y if bias is None else w("Add", y, bias))


@form("einsum")
def _einsum(w: Writer, call: Call) -> str:
    subscripts = call.settings["subscripts"]
    if not isinstance(subscripts, str):
        raise refuse(call, "without its subscripts as text")
    dtype = call.results[0].dtype
    return str(w("Einsum", *(w.as_type(x, dtype) for x in call.args), equation=subscripts))
