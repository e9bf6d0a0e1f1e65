"""The instructions of programs: the facts about each, and its text for each back end, in one place.

A NumPy function that is not declared here is called unchanged. Nothing is known about it, so its result may share
memory with its arguments, it gets no buffer, and machine code leaves it to NumPy. A declaration saves time.

Texts are templates. ``{x}`` is the argument with that name, ``{0}`` the first one, ``{arguments}`` all of them and
the settings; ``{out}`` is the buffer for the result, and ``{function}`` NumPy's function. ``{x.flat}`` is an argument
as a vector, and ``{index.brackets}`` an index without its parentheses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import kernels
from ..tensor import qualified
from .program import Constant, Instruction, Op, inputs_of, is_basic

__all__ = [
    "add_along", "add_flat", "arithmetic", "as_array", "as_bool", "astype", "call", "check", "copy", "draw", "getitem",
    "instruction_of", "is_contiguous", "join", "pick", "product_into", "setitem", "take_along", "take_flat", "view_as",
]  # fmt: skip

_BY_FUNCTION: dict[Any, Instruction] = {}
_ufunc: Any
_function: Any


def instruction_of(function: Any) -> Instruction:
    """Find the instruction that calls a NumPy function; one that is not declared is called unchanged."""
    if isinstance(function, Instruction):
        return function
    if function not in _BY_FUNCTION:
        _BY_FUNCTION[function] = _undeclared(function)
    return _BY_FUNCTION[function]


def _undeclared(function: Any) -> Instruction:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        name, method = owner.__name__, function.__name__
        settings = {"is_reduction": True, **_REDUCTION} if method == "reduce" else {}
        return Instruction(
            f"np.{name}.{method}", function, is_declared=bool(settings), may_raise=not settings, **settings
        )
    if isinstance(function, np.ufunc):
        is_one = function.signature is None and function.nout == 1
        return Instruction(
            f"np.{function.__name__}", function, is_declared=is_one, **(_UFUNC if is_one else {})
        )
    return Instruction(qualified(function), function, is_declared=False, may_raise=True)


def instruction(**facts: Any) -> Callable[[Callable[..., Any]], Instruction]:
    """Declare an instruction that is not a NumPy function (a decorator)."""
    return lambda function: Instruction(function.__name__, function, **facts)


def declare(function: Any, **facts: Any) -> Instruction:
    """Declare the facts about a NumPy function."""
    found = instruction_of(function)
    for name, fact in {"is_declared": True, "may_raise": False, **facts}.items():
        setattr(found, name, fact)
    return found


# -- elementwise functions -----------------------------------------------------------------------------------


def _all_arguments(op: Op) -> tuple[int, ...]:
    return tuple(range(len(op.args)))


_UFUNC: dict[str, Any] = {
    "is_elementwise": True,
    "overwrites": _all_arguments,
    "into": lambda op: "" if op.settings else "{function}({arguments}, {out})",
    "batch": "elementwise",
    "waits": True,
}


def _elementwise(
    function: Any, real: str = "", whole: str = "", truth: str = "", unsigned: str = "", **facts: Any
) -> None:
    """Declare a ufunc: its formulas on real numbers, integers and truth values, for machine code.

    ``T`` is the type of the arguments, and ``U`` that of unsigned integers of the same size: overflow wraps around
    there, but numba assumes that signed integers do not overflow. A formula is exactly NumPy's, or it is omitted:
    then a program with such numbers runs as NumPy calls.
    """
    formulas = {"f": real, "i": whole, "u": unsigned or whole, "b": truth}
    declare(function, machine={kind: text for kind, text in formulas.items() if text}, **facts)


def _infix(sign: str) -> dict[str, Any]:
    """Write single numbers with an operator; NumPy would warn if such integers overflow, but not for arrays."""
    text = f"{{0}} {sign} {{1}}"
    is_safe = sign in "<=>=!="
    return {"expression": lambda op: text if is_safe or op.loop[0].kind == "f" else "{function}({arguments})"}


_elementwise(np.add, "{0} + {1}", "U({0}) + U({1})", "{0} or {1}", **_infix("+"))
_elementwise(np.subtract, "{0} - {1}", "U({0}) - U({1})", **_infix("-"))
_elementwise(np.multiply, "{0} * {1}", "U({0}) * U({1})", "{0} and {1}", **_infix("*"))
_elementwise(np.divide, "{0} / {1}", **_infix("/"))
_elementwise(np.power, "{0} ** {1}", may_raise=lambda op: op.dtype.kind in "iu", **_infix("**"))
_elementwise(np.negative, "-{0}", "-{0}", unsigned="T(0) - {0}", linear_in=(0,),
             expression=lambda op: "-{0}" if op.dtype.kind == "f" else "{function}({arguments})")  # fmt: skip
_elementwise(np.positive, "{0}", "{0}")
_elementwise(np.square, "{0} * {0}", "U({0}) * U({0})")
_elementwise(np.reciprocal, "T(1) / {0}")
_elementwise(np.absolute, "abs({0})", "-{0} if {0} < 0 else {0}", "{0}", unsigned="{0}")
_elementwise(np.fabs, "abs({0})")
_elementwise(
    np.sign, "T({0} > T(0)) - T({0} < T(0)) if {0} == {0} else {0}", "T({0} > 0) - T({0} < 0)",
    unsigned="T({0} > 0)",
)  # fmt: skip
_elementwise(np.exp, "exp({0})")
_elementwise(np.tanh, "tanh({0})")
_elementwise(np.logaddexp, "logaddexp({0}, {1})")
_elementwise(np.floor_divide, whole="-{0} if {1} == -1 else {0} // {1}", unsigned="{0} // {1}")
_elementwise(np.remainder, whole="{0} - {0} if {1} == -1 else {0} % {1}", unsigned="{0} % {1}")
for _ufunc in (np.sqrt, np.log, np.log1p, np.expm1, np.sinh, np.cosh, np.sin, np.cos, np.tan):
    _elementwise(_ufunc, f"math.{_ufunc.__name__}({{0}})")
for _ufunc in (
    np.exp2, np.log2, np.log10, np.cbrt, np.arcsin, np.arccos, np.arctan, np.arcsinh, np.arccosh, np.arctanh,
    np.rint, np.signbit,
):  # fmt: skip
    _elementwise(_ufunc, f"np.{_ufunc.__name__}({{0}})")
for _ufunc in (np.floor, np.ceil, np.trunc):
    _elementwise(_ufunc, f"np.{_ufunc.__name__}({{0}})", "{0}")
for _ufunc in (np.arctan2, np.hypot, np.copysign, np.fmod):
    _elementwise(_ufunc, f"np.{_ufunc.__name__}({{0}}, {{1}})")
# NaN stays NaN, as in NumPy. NumPy deprecates their third argument by position.
_elementwise(
    np.maximum, "{0} if {0} > {1} or {0} != {0} else {1}", "{0} if {0} >= {1} else {1}", "{0} or {1}",
    into="{function}({arguments}, out={out})",
)  # fmt: skip
_elementwise(
    np.minimum, "{0} if {0} < {1} or {0} != {0} else {1}", "{0} if {0} <= {1} else {1}", "{0} and {1}",
    into="{function}({arguments}, out={out})",
)  # fmt: skip
_elementwise(np.greater, "{0} > {1}", "{0} > {1}", "{0} > {1}", **_infix(">"))
_elementwise(np.less, "{0} < {1}", "{0} < {1}", "{0} < {1}", **_infix("<"))
_elementwise(np.greater_equal, "{0} >= {1}", "{0} >= {1}", "{0} >= {1}", **_infix(">="))
_elementwise(np.less_equal, "{0} <= {1}", "{0} <= {1}", "{0} <= {1}", **_infix("<="))
_elementwise(np.equal, "{0} == {1}", "{0} == {1}", "{0} == {1}", **_infix("=="))
_elementwise(np.not_equal, "{0} != {1}", "{0} != {1}", "{0} != {1}", **_infix("!="))
_elementwise(np.isnan, "{0} != {0}")
_elementwise(np.fmax, "{0} if {0} >= {1} or {1} != {1} else {1}", "{0} if {0} >= {1} else {1}", "{0} or {1}")
_elementwise(np.fmin, "{0} if {0} <= {1} or {1} != {1} else {1}", "{0} if {0} <= {1} else {1}", "{0} and {1}")
_elementwise(np.isfinite, "abs({0}) < T(math.inf)")
_elementwise(np.isinf, "abs({0}) == T(math.inf)")
_elementwise(np.logical_and, "({0} != 0) and ({1} != 0)", "({0} != 0) and ({1} != 0)", "{0} and {1}")
_elementwise(np.logical_or, "({0} != 0) or ({1} != 0)", "({0} != 0) or ({1} != 0)", "{0} or {1}")
_elementwise(np.logical_xor, "({0} != 0) != ({1} != 0)", "({0} != 0) != ({1} != 0)", "{0} != {1}")
_elementwise(np.logical_not, "{0} == 0", "{0} == 0", "not {0}")
_elementwise(np.bitwise_and, "", "{0} & {1}", "{0} and {1}")
_elementwise(np.bitwise_or, "", "{0} | {1}", "{0} or {1}")
_elementwise(np.bitwise_xor, "", "{0} ^ {1}", "{0} != {1}")
_elementwise(np.invert, "", "~{0}", "not {0}")

for _ufunc in (
    np.floor, np.ceil, np.trunc, np.rint, np.round, np.fix, np.sign, np.heaviside, np.modf, np.floor_divide,
    np.remainder, np.fmod, np.divmod,
):  # fmt: skip
    instruction_of(_ufunc).jumps = True

declare(np.where, is_elementwise=True, is_new=True, batch="elementwise", machine="where")
declare(np.clip, machine="clip")


@instruction(is_elementwise=True, batch="same", waits=True, machine="cast",
             into='np.copyto({out}, {x}, "unsafe")', expression="{x}.astype({dtype})")  # fmt: skip
def astype(x: Any, dtype: Any) -> Any:
    """Convert to another dtype."""
    return x.astype(dtype)


@instruction(is_elementwise=True, batch="same", waits=True, machine="cast",
             into="np.copyto({out}, {x})", expression="{x}.copy()")  # fmt: skip
def copy(x: Any) -> Any:
    """Copy."""
    return x.copy()


# -- reductions and products ---------------------------------------------------------------------------------

_REDUCTION: dict[str, Any] = {
    "batch": "reduction",
    "into": lambda op: "{function}({0}, {axis}, None, {out}{keepdims})" if op.is_plain_reduction else "",
    "expression": lambda op: _whole_reduction(op) if op.is_plain_reduction else "{function}({arguments})",
}


def _whole_reduction(op: Op) -> str:
    if op.ndim:
        return "{function}({arguments})"
    return "{function}({0})" if op.args[0].ndim == 1 else "{function}({0}, None)"


declare(np.add.reduce, linear_in=lambda op: (0,) if op.is_plain_reduction else (), machine="reduction")
for _ufunc in (np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or):
    declare(_ufunc.reduce, machine="reduction")


def _is_product_of_arrays(op: Op) -> bool:
    return all(isinstance(arg, Op) and arg.ndim for arg in op.args)


# The method is a sixth of a microsecond faster than np.dot; numbers do not have it.
declare(
    np.dot, is_product=True, batch="product", machine="product",
    into=lambda op: "{0}.dot({1}, {out})" if _is_product_of_arrays(op) else "np.dot({0}, {1}, {out})",
    expression=lambda op: "{0}.dot({1})" if _is_product_of_arrays(op) else "np.dot({0}, {1})",
)  # fmt: skip
declare(np.matmul, is_product=True, batch="product", into="{function}({0}, {1}, {out})")
declare(np.vecdot, into="{function}({0}, {1}, {out})")


@instruction(is_product=True, machine="update")
def product_into(w: Any, a: Any, b: Any, factor: Any) -> Any:
    """``w - factor * (a @ b)``, for machine code."""
    return w - factor * (a @ b)


# -- kernels: images, and rows by number ---------------------------------------------------------------------

# Which argument is the gradient, if there is one.
for _function, _linear in (
    (kernels.correlate, ()), (kernels.spread, (0,)), (kernels.filters, (1,)), (kernels.windows, (0,)),
    (kernels.spread_windows, (0,)), (kernels.window_max, ()), (kernels.spread_max, (0,)), (kernels.take_max, (0,)),
    (kernels.window_sum, (0,)), (kernels.spread_sum, (0,)), (kernels.add_rows, (0,)),
):  # fmt: skip
    declare(_function, linear_in=_linear, into="{function}({arguments}, out={out})", machine="kernel")


# -- functions whose results have a shape and a dtype determined by those of the arguments -------------------

for _function in (
    np.argmax, np.argmin, np.argsort, np.sort, np.cumsum, np.cumprod, np.concatenate, np.stack, np.take,
    np.take_along_axis, np.einsum, np.tensordot, np.outer, np.inner, np.trace, np.roll, np.tile, np.diagonal, np.copy,
    np.ravel, np.interp, np.searchsorted, np.mean, np.var, np.std, np.median, np.quantile, np.linalg.norm, np.convolve,
    np.isclose,
):  # fmt: skip
    declare(_function)


def _is_of_values(op: Op) -> bool:
    """Whether an argument other than the array changes and may be out of range."""
    others = inputs_of(Op(op.instruction, op.args[1:], op.settings, (), None))
    return any(not isinstance(arg, Constant) for arg in others)


for _function in (np.take, np.take_along_axis, np.quantile, np.searchsorted):
    declare(_function, may_raise=_is_of_values)
for _function in (np.linalg.inv, np.linalg.solve, np.linalg.det, np.linalg.cholesky, np.linalg.eigh, np.linalg.svd,
                  np.linalg.slogdet, np.linalg.qr):  # fmt: skip
    declare(_function, may_raise=True)


for _function in (np.cumsum, np.cumprod):
    declare(_function, into="{function}({arguments}, out={out})")


# -- views, and other functions that rearrange elements ------------------------------------------------------


def is_contiguous(op: Op) -> bool:
    """Whether the elements of a result are in memory in their order."""
    if op.calls(np.transpose):
        return sum(n != 1 for n in op.shape) <= 1
    if op.calls(getitem) and op.is_view:
        return op.ndim == 1 and isinstance(op.args[1], slice) and op.args[1].step is None
    if op.calls(np.reshape) or op.calls(view_as):
        return is_contiguous(op.args[0])
    return not op.calls(np.broadcast_to)


def _transposed(op: Op) -> str:
    is_reverse = op.args[1] == tuple(reversed(range(op.ndim)))
    return "{0}.T" if is_reverse else "{0}.transpose({1})"


declare(
    np.transpose, is_view=True, rearranges=True, linear_in=(0,), batch="transposed", machine="view",
    expression=_transposed,
)  # fmt: skip
declare(
    np.reshape, is_view=lambda op: is_contiguous(op.args[0]), rearranges=True, linear_in=(0,), batch="reshaped",
    machine="reorder", expression="{0}.reshape({shape})",
)  # fmt: skip
declare(np.broadcast_to, is_view=True, machine="view", expression="{function}({0}, {1})")


@instruction(is_view=True, batch="same", machine="view", expression="{x}.view({dtype})")
def view_as(x: Any, dtype: Any) -> Any:
    """Read the same bits as another dtype."""
    return x.view(dtype)


def _may_be_view(op: Op) -> bool:
    """Whether NumPy makes a view where a computed integer in the index requires a copy."""
    parts = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    computed = [part for part in parts if isinstance(part, Op)]
    is_array = op.ndim > 0 or any(part is Ellipsis for part in parts)
    return is_array and bool(computed) and not any(part.ndim for part in computed)


def _picks_a_view(op: Op) -> bool:
    """Whether an index gives a view; a single element is a number, unless there is an ellipsis."""
    index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    return is_basic(index) and (op.ndim > 0 or Ellipsis in index)


@instruction(
    is_view=lambda op: _picks_a_view(op), is_new=lambda op: not _picks_a_view(op), rearranges=True, batch="indexed",
    may_raise=lambda op: not is_basic(op.args[1]), linear_in=lambda op: (0,) if is_basic(op.args[1]) else (),
    expression=lambda op: "{x}[{index.brackets}].copy()" if _may_be_view(op) else "{x}[{index.brackets}]",
    machine="view",
)  # fmt: skip
def getitem(x: Any, index: Any) -> Any:
    """Take elements: a view for slices and numbers, otherwise a copy."""
    return x[index]


@instruction(
    has_parts=True, rearranges=True, linear_in=_all_arguments, waits=True, machine="join", into="join"
)
def join(*parts: Any) -> Any:
    """Join several arrays into one vector; if possible, they are computed in their places."""
    return np.concatenate([np.reshape(part, -1) for part in parts])


@instruction(expression="{results}[{index}]")
def pick(results: Any, index: int) -> Any:
    """Take one of several results."""
    return results[index]


# -- single elements, read and changed -----------------------------------------------------------------------


def _may_not_fit(op: Op) -> bool:
    """Whether a single number may be a non-integer, which NumPy refuses to write into integers."""
    value = op.args[2]
    return op.dtype.kind in "iu" and isinstance(value, Op) and not value.ndim


@instruction(
    overwrites=(0,),
    may_raise=lambda op: not is_basic(op.args[1]) or _may_not_fit(op),
    into="{out}[{index.brackets}] = {value}",
)
def setitem(x: Any, index: Any, value: Any) -> Any:
    """Copy an array, with some elements replaced."""
    changed = np.array(x)
    changed[index] = value
    return changed


@instruction(batch="picked")
def take_along(x: Any, labels: Any) -> Any:
    """In each column, take the element in the row of its label; the labels have been checked."""
    return x[labels, np.arange(len(labels))]


@instruction(batch="picked", linear_in=(0, 2))
def add_along(x: Any, labels: Any, value: Any) -> Any:
    """Increase the same elements."""
    return _increased(x, (labels, np.arange(len(labels))), value)


@instruction(is_elementwise=False, machine="take", into='np.take({x.flat}, {places}, None, {out}, "clip")')
def take_flat(x: Any, places: Any) -> Any:
    """Take elements by their flat index; the indices have been checked."""
    return np.reshape(x, -1)[places]


@instruction(overwrites=(0,), machine="scatter", into="{out.flat}[{places}] += {value}")
def add_flat(x: Any, places: Any, value: Any) -> Any:
    """Increase the same elements; no index occurs twice."""
    return np.reshape(_increased(np.reshape(x, -1), places, value), x.shape)


def _increased(x: Any, index: Any, value: Any) -> Any:
    changed = np.array(x)
    changed[index] += value
    return changed


# -- not array functions -------------------------------------------------------------------------------------


@instruction(has_effect=True, may_raise=True, batch="test", machine="check")
def check(condition: Any, message: str) -> None:
    """Raise an error if a condition holds."""
    if condition:
        raise ValueError(message)


@instruction(is_new=True, machine="cast", expression="np.array({x})")
def as_array(x: Any) -> Any:
    """Make an array without axes from a number or from another such array."""
    return np.array(x)


@instruction(expression="bool({x})")
def as_bool(x: Any) -> bool:
    """Convert to a Python bool."""
    return bool(x)


@instruction(is_declared=False, expression="{function}({arguments})")
def call(callee: Any, *args: Any, **settings: Any) -> Any:
    """Call a function as a whole: an operation of this package, or one of its rules."""
    return callee.function(*args, **settings)


def _drawn_into(op: Op) -> str:
    takes_out = op.args[1] in ("random", "standard_normal") and op.dtype.kind == "f"
    return "{rng}.{method}(None, {dtype}, {out})" if takes_out else ""


def _is_drawn_by_values(op: Op) -> bool:
    """Whether the random numbers depend on arrays, whose values NumPy may refuse."""
    return len(list(inputs_of(op))) > 1


@instruction(
    has_effect=True,
    may_raise=_is_drawn_by_values,
    into=_drawn_into,
    expression="{rng}.{method}({arguments})",
)
def draw(rng: Any, method: str, *args: Any, **settings: Any) -> Any:
    """Draw random numbers."""
    return getattr(rng, method)(*args, **settings)


#: Arithmetic of Python numbers, by operator, with its precedence.
arithmetic = {
    sign: Instruction(sign, function, is_of_numbers=True)
    for sign, function in {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
        "neg": operator.neg,
    }.items()
}  # fmt: skip
