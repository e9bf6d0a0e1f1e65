"""The pen: functions that record calls, and the errors for anything that a program cannot contain."""

from __future__ import annotations

import dis
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from ...errors import CompileError, UntraceableError
from ...graph import Node, is_recording
from ...origins import is_internal, line_of, users_line
from ...primitive import Primitive, operation
from ...tensor import Tensor, _handle, qualified
from .. import instructions
from ..instructions import call, pick
from ..program import Constant, inputs_of, swap
from .tape import Callee, Trace, is_traced, value_of

__all__ = [
    "PYTHON_NUMBERS",
    "as_array",
    "known",
    "run",
    "unshaped",
    "untraceable",
    "values_of",
    "what_decides",
    "who_asks",
    "written",
]

PYTHON_NUMBERS = (bool, int, float, complex)

as_array = np.asarray  # np.asarray is replaced for traced code


def written(trace: Trace, function: Any, args: Sequence[Any], settings: dict[str, Any], value: Any) -> Any:
    """Record a call whose result is known; return a stand-in for the result, or a tuple of them."""
    if trace.is_elsewhere():
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in "biufc":
        raise untraceable(
            trace, f"the result is an array of dtype {value.dtype}, which programs do not support"
        )
    op = trace.record(function, tuple(args), settings, value)
    is_pythons = type(value) in PYTHON_NUMBERS  # as np.array_equal returns, for example
    if isinstance(value, (tuple, list)):
        parts = [written(trace, pick, (op, i), {}, part) for i, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if not op.instruction.has_effect and all(isinstance(arg, Constant) for arg in inputs_of(op)):
        trace.ops.pop()
        return value if is_pythons or isinstance(value, np.generic) else known(trace, value)
    if is_pythons:
        op, value = trace.record(instructions.as_array, (op,), {}, as_array(value)), as_array(value)[()]
    return trace.stand_in(trace, op, as_array(value), is_number=isinstance(value, np.generic))


def known(trace: Trace, value: Any) -> Any:
    """Make a stand-in for an array that is the same in every call."""
    return trace.stand_in(trace, trace.constant(value), value)


_Error = TypeVar("_Error", bound=CompileError)


def run(trace: Trace, primitive: Primitive, args: Any, settings: Any, rule: int | None = None) -> Any:
    """Expand an operation or a rule by running it; record it as a whole where it cannot be expanded."""
    function: Any = primitive.forward if rule is None else primitive.rules[rule]
    try:
        return function(*args, **settings)
    except UntraceableError:
        here = users_line()
        trace.refused = [(line, error) for line, error in trace.refused if line != here]
    is_found = operation(primitive.name) is primitive
    callee = Callee(function, primitive.name, rule) if is_found else Callee(function)
    value = function(*swap(tuple(args), value_of), **values_of(settings))
    result = written(trace, call, (callee, *args), dict(settings), value)
    parents = [(i, x._node) for i, x in enumerate(args) if isinstance(x, Tensor) and x._node is not None]
    if not parents or not is_recording() or not is_traced(result):
        return result
    # If the rule is itself recorded, differentiating the result raises an error.
    return _handle(result, Node(_final(primitive), result, tuple(args), {}, parents))


def _final(primitive: Primitive) -> Primitive:
    """Make an operation without a derivative, for a gradient that was recorded as a whole."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise CompileError(
            f"compile: the gradient of {primitive.name} depends on values and would have to be differentiated "
            "again, which a program cannot do"
        )

    final = Primitive(refuse, name=f"gradient of {primitive.name}", samples=(), arrays=(), variadic=True)
    return final.vjp(each=refuse)


def untraceable(trace: Trace, what: str) -> UntraceableError:
    """Build the error for something that a program cannot contain; it names the user's line."""
    return _refused(trace, UntraceableError(f"compile: {what}{_where()}"))


def unshaped(trace: Trace, what: str) -> CompileError:
    """Build the error for a result whose length depends on values; calling the operation as a whole cannot help."""
    message = (
        f"compile: how many elements {what} depends on values. A program has fixed shapes: use np.where with three "
        f"arguments, or multiply by a mask{_where()}"
    )
    return _refused(trace, CompileError(message))


def _refused(trace: Trace, error: _Error) -> _Error:
    """Remember an error, in case the user's code catches it."""
    trace.refused.append((users_line(), error))
    return error


def who_asks() -> str:
    """Return the NumPy function that the user called, unless the user's own code needs the number."""
    frame: Any = sys._getframe(3)
    function = None
    while frame is not None and is_internal((frame.f_code, 0)):
        if frame.f_code.co_name == "__array_function__":
            function = frame.f_locals.get("func")
        frame = frame.f_back
    return "" if function is None else qualified(function)


def what_decides() -> str:
    """Describe the part of the user's line that needs a truth value."""
    code, place = users_line()
    names = (step.opname for step in dis.get_instructions(code) if step.offset >= place)
    name = next(names)
    if name in ("TO_BOOL", "COMPARE_OP"):  # since Python 3.13, before the jump or the `not` that needs it
        name = next(names)
    if "JUMP" in name:
        return "a Python `if`, `while`, `assert`, `and` or `or`"
    return {"UNARY_NOT": "`not`", "CONTAINS_OP": "`in`"}.get(
        name, "a Python function, such as `bool` or `max`,"
    )


def _where() -> str:
    origin = users_line()
    return "" if is_internal(origin) else f" ({line_of(origin)})"


def values_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace stand-ins in settings by their values."""
    return {key: swap(arg, value_of) for key, arg in settings.items()}
