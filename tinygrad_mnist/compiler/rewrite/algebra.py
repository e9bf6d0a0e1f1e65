"""Rules that replace an operation by a cheaper one with the same result.

Each is a function of a :class:`~tinygrad_mnist.compiler.rewrite.builder.Builder` and the operation that is about to
be added; it returns a replacement or ``None``. Those that are equations are written as equations. They know nothing
about layers and losses: that the gradient of a cross-entropy is ``softmax - target`` follows from five of them
together.

A rule applies only if its result has the same special values, and cannot leave the range of the numbers where the
original does not (:mod:`.ranges`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..instructions import add_along, astype, call, check, copy, getitem, setitem, take_along, view_as
from ..program import Constant, Op, is_scalar
from .axes import (
    broadcast,
    is_call,
    new_axes,
    number_of_number,
    product,
    reduction_of_transposed,
    reduction_to_one,
    reshaped,
    reshaped_last,
    same_bits,
    same_shape,
    single_number,
    transposed,
    transposed_last,
    unneeded_copy,
    written_whole,
)
from .builder import Builder, Rule
from .equations import Equation, c, d, rules_of, x, y
from .ranges import is_even_scaling, is_normal, is_real, range_of

__all__ = ["ARITHMETIC", "EQUATIONS", "SIMPLIFICATIONS"]

#: Sums of more squares are left to NumPy, whose sums stay accurate at any length.
LONGEST_DOT = 65_536


# -- numbers -----------------------------------------------------------------------------------------


def _real(op: Op, **_: Any) -> bool:
    return is_real(op.dtype)


def _has_negative(op: Op, c: Any, **_: Any) -> bool:
    """Whether a number has a negative: the integer 0 has none, though -0.0 is the negative of 0.0."""
    return is_real(op.dtype) and (isinstance(c, (Op, float)) or c != 0)


def _whole(op: Op, **_: Any) -> bool:
    return op.dtype.kind in "iu"


def _not_complex(op: Op, **_: Any) -> bool:
    """A complex number times 1 may have other zeros, because its parts are combined with those of 1."""
    return op.dtype.kind not in "c"


def _evenly(op: Op, c: Any, d: Any, **_: Any) -> bool:
    return is_real(op.dtype) and is_even_scaling(c, d, op.dtype)


def _never_positive(op: Op, x: Any, **_: Any) -> bool:
    """So that the terms are never zeros of both signs; and 0 - 0.0 is 0.0, like such a sum."""
    return is_real(op.dtype) and range_of(x)[1] <= 0


def _one_zero(op: Op, x: Any, y: Any, c: Any, **_: Any) -> bool:
    """So that both sides are 0.0, not -0.0, where ``x`` is zero."""
    is_known = is_real(op.dtype) and not isinstance(c, Op) and c < 0
    return is_known and range_of(x)[0] >= 0 and range_of(y)[0] > 0


_sum: Any = np.add.reduce

EQUATIONS = [
    Equation(c * x, x * c),
    Equation(c + x, x + c),
    Equation(x * 1, x, _not_complex),  # (inf + 1j) * 1 is inf + nan j
    Equation(x / 1, x, _not_complex),
    Equation(x + 0, x, _whole),  # -0.0 + 0 is 0.0
    Equation(x - 0, x, _not_complex),
    Equation(x * c * d, x * (c * d), _evenly, is_rounded=True),
    Equation(-(x * c), x * -c, _has_negative),
    Equation(-x * c, x * -c, _has_negative),
    Equation(-(c / x), -c / x, _has_negative),
    Equation(-(-x), x),  # noqa: B002
    Equation(+x, x),
    Equation(1 / x, np.reciprocal(x), _real),
    Equation(-(x * (c / y)), x * (-c / y), _has_negative),
    Equation(0 - x * (c / y), x * (-c / y), _one_zero),
    Equation(_sum(-x), 0 - _sum(x), _never_positive),
]


def uniform_constant(b: Builder, op: Op) -> Op | None:
    """Replace a constant array of equal elements by a number."""
    for i, arg in enumerate(op.args):
        if not isinstance(arg, Constant) or arg.dtype.kind not in "fiu" or arg.number is None:
            continue
        others = [other for other in op.args if isinstance(other, Op) and other is not arg]
        if not any(other.shape == op.shape and other.dtype == arg.dtype for other in others):
            continue
        if np.isfinite(arg.number):
            args = [_shortest(arg.number) if k == i else other for k, other in enumerate(op.args)]
            return b.call(op.instruction, tuple(args), op)
    return None


def _shortest(x: Any) -> Any:
    """Convert a NumPy number to Python's: 0.01 rather than 0.009999999776482582, the nearest float32."""
    return float(str(x)) if x.dtype.kind == "f" else x.item()


def divided_by_number(b: Builder, op: Op) -> Op | None:
    """``x / 4`` is ``x * 0.25`` if neither number is so small or large that digits are lost."""
    x, c = op.args
    is_known = is_scalar(c) and not isinstance(c, Op)
    if b.is_exact or not (is_known and is_real(op.dtype) and isinstance(x, Op) and op.ndim):
        return None
    if x.dtype == op.dtype and is_normal(c, op.dtype) and is_normal(1 / c, op.dtype):
        return b.ufunc(np.multiply, x, 1 / c)
    return None


def scaled_quotient(b: Builder, op: Op) -> Op | None:
    """``(e / s) * c``, where ``s`` is shorter, is ``e * (c / s)``: of a softmax, so that nothing leaves its range."""
    quotient, c = op.args
    if b.is_exact or not (is_scalar(c) and is_call(quotient, np.divide) and is_real(op.dtype)):
        return None
    if not b.is_used_once(quotient):
        return None
    e, s = quotient.args
    if not (isinstance(e, Op) and isinstance(s, Op) and s.size < e.size):
        return None
    is_safe = range_of(e)[1] <= 1 and range_of(e)[0] >= 0 and range_of(s)[0] >= 1
    is_safe = is_safe and (isinstance(c, Op) or is_normal(c, op.dtype))
    return b.ufunc(np.multiply, e, b.ufunc(np.divide, c, s)) if is_safe else None


# -- sums --------------------------------------------------------------------------------------------


def sum_of_squares(b: Builder, op: Op) -> Op | None:
    """``sum(x * x)`` is the product of a vector with itself."""
    (x,) = op.args
    if op.ndim or not op.is_plain_reduction or not is_real(op.dtype) or x.size > LONGEST_DOT:
        return None
    root = (
        x.args[0] if is_call(x, np.square) or (is_call(x, np.multiply) and x.args[0] is x.args[1]) else None
    )
    if root is not None and root.dtype == op.dtype:
        flat = b.reshape(b.transpose(root) if is_call(root, np.transpose) else root, (root.size,))
        return b.call(np.dot, (flat, flat), op)
    return None


# -- what losses consist of --------------------------------------------------------------------------


def exp_of_negated_sum(b: Builder, op: Op) -> Op | None:
    """In ``exp(-(x + y))``, where ``y`` is far shorter, ``y`` is negated: ``exp`` ignores the sign of a zero."""
    (x,) = op.args
    if not (
        is_call(x, np.negative)
        and is_call(x.args[0], np.add)
        and is_real(op.dtype)
        and b.is_used_once(x.args[0])
    ):
        return None
    long, short = x.args[0].args
    if not (
        isinstance(long, Op)
        and isinstance(short, Op)
        and short.size * 1000 <= long.size
        and b.is_used_once(x)
    ):
        return None
    return b.ufunc(np.exp, b.ufunc(np.subtract, b.ufunc(np.negative, short), long))


def exp_of_log(b: Builder, op: Op) -> Op | None:
    """``exp(x - log(s))`` is ``exp(x) / s``: the softmax, whose exponentials are there already, and at most 1."""
    (x,) = op.args
    if b.is_exact or not (
        is_call(x, np.subtract) and is_call(x.args[1], np.log) and isinstance(x.args[0], Op)
    ):
        return None
    if range_of(x.args[0])[1] > 0 or range_of(x.args[1].args[0])[0] < 1:
        return None
    return b.ufunc(np.divide, b.ufunc(np.exp, x.args[0]), x.args[1].args[0])


def logistic(b: Builder, op: Op) -> Op | None:
    """In ``1 / (1 + exp(x))`` the exponential may overflow: the result is 0, as it should be."""
    (x,) = op.args
    if not (
        is_call(x, np.add) and not isinstance(x.args[1], Op) and x.args[1] == 1 and is_call(x.args[0], np.exp)
    ):
        return None
    bounded = x.args[0].args[0]
    if not (is_call(bounded, np.minimum) and isinstance(bounded.args[1], float) and is_real(op.dtype)):
        return None
    if bounded.args[1] < 0.99 * math.log(np.finfo(op.dtype).max):
        return None
    b.notes["overflow"] = "exp may overflow to inf, and 1 / inf is right"
    return b.ufunc(np.reciprocal, b.ufunc(np.add, b.ufunc(np.exp, bounded.args[0]), 1))


def _columns(op: Any) -> tuple[Op, Op, float] | None:
    """The values and classes of a matrix that is a number but for one value more in each row, and this number."""
    rest: float = 0
    if is_call(op, np.add) and isinstance(
        op.args[1], float
    ):  # a share of the target is spread over all classes
        op, rest = op.args
    if not (
        is_call(op, call) and op.ndim == 2 and op.args[0].operation == "put_along" and op.args[0].rule is None
    ):
        return None
    _, values, classes = op.args
    is_column = op.settings["axis"] == 1 and isinstance(classes, Op) and classes.shape == (op.shape[0], 1)
    return (values, classes, rest) if is_column else None


def sum_of_row(b: Builder, op: Op) -> Op | None:
    """The sum of a row that is zero but for one value is that value; of a number and one value more, likewise."""
    found = _columns(op.args[0])
    if found is None or not op.is_plain_reduction or op.settings["axis"] != (1,):
        return None
    total, _, rest = found
    if rest:
        total = b.ufunc(np.add, total, rest * op.args[0].shape[1])
    return total if op.settings["keepdims"] else b.reshape(total, op.shape)


def minus_dense(b: Builder, op: Op) -> Op | None:
    """Where few elements are not zero, they alone are added: ``softmax - target``."""
    found = _columns(op.args[0])
    dense = op.args[1]
    if found is None or not isinstance(dense, Op) or dense.shape != op.shape:
        return None
    values, classes, rest = found
    labels = b.reshape(classes, (classes.size,))
    if not is_tested(b, labels, op.shape[1]):
        return None
    value: Any = b.reshape(values, (values.size,))
    if isinstance(values, Constant) and values.number is not None:
        value = _shortest(values.number)
    negated = b.transpose(b.ufunc(np.subtract, rest, dense))
    return b.transpose(b.add(Op(add_along, (negated, labels, value), {}, negated.shape, op.dtype, op.place)))


def one_in_each_row(b: Builder, op: Op) -> Op | None:
    """``x[arange(n), classes]`` picks one element of each row."""
    x, index = op.args
    if not (isinstance(index, tuple) and len(index) == 2 == x.ndim):
        return None
    rows, classes = index
    n = x.shape[0]
    if not (isinstance(rows, Constant) and isinstance(classes, Op) and classes.shape == op.shape == (n, 1)):
        return None
    if not np.array_equal(rows.value, np.arange(n)[:, None]):
        return None
    labels = b.reshape(classes, (n,))
    if not is_tested(b, labels, x.shape[1]):
        return None
    picked = b.add(Op(take_along, (b.transpose(x), labels), {}, (n,), op.dtype, op.place))
    return b.reshape(picked, op.shape)


def is_tested(b: Builder, labels: Op, n: int) -> bool:
    """Whether the program raises an error before, unless all labels are from 0 to n - 1."""
    for op in b.ops:
        if not op.calls(check):
            continue
        condition = op.args[0]
        if not (is_call(condition, np.greater_equal) and condition.args[1] == n):
            continue
        largest = condition.args[0]
        seen: Any = largest.args[0] if is_call(largest, np.maximum.reduce) else None
        # A negative number, read without its sign, is a huge one.
        while is_call(seen, np.reshape, view_as, astype):
            if seen.dtype.kind == "u" or seen.calls(np.reshape):
                seen = seen.args[0]
            else:
                break
        source = labels
        while is_call(source, np.reshape):
            source = source.args[0]
        if seen is source and isinstance(seen, Op) and seen.dtype.kind in "iu":
            return True
    return False


def picked_early(b: Builder, op: Op) -> Op | None:
    """Of ``x - row`` a few elements are needed: pick first, then compute."""
    x, labels = op.args
    if not isinstance(x, Op) or not x.is_ufunc or x.calls(np.exp) or len(x.args) != 2:
        return None
    picked: list[Any] = []
    for arg in x.args:
        is_array = isinstance(arg, Op) and arg.ndim
        if is_array and arg.shape == x.shape:
            picked.append(b.add(Op(take_along, (arg, labels), {}, op.shape, arg.dtype, op.place)))
        elif is_array and arg.shape != op.shape:
            return None
        else:
            picked.append(arg)
    return b.ufunc(x.instruction, *picked)


def sum_of_reshaped(b: Builder, op: Op) -> Op | None:
    """A sum over all axes does not care which these are."""
    (x,) = op.args
    if op.ndim or not is_call(x, np.reshape) or x.args[0].ndim >= x.ndim or not op.is_plain_reduction:
        return None
    settings = {"axis": tuple(range(x.args[0].ndim)), "keepdims": False}
    return b.call(op.instruction, x.args[:1], op, settings)


def _joined(*tables: dict[Any, list[Rule]]) -> dict[Any, list[Rule]]:
    joined: dict[Any, list[Rule]] = {}
    for table in tables:
        for function, rules in table.items():
            joined.setdefault(function, []).extend(rules)
    return joined


#: The rules that know of numbers only.
ARITHMETIC: dict[Any, list[Rule]] = _joined(
    {np.ufunc: [uniform_constant, broadcast, same_shape]},
    rules_of([equation for equation in EQUATIONS if equation.left.function is not np.divide]),
)

SIMPLIFICATIONS: dict[Any, list[Rule]] = _joined(
    {
        np.ufunc: [uniform_constant, broadcast, single_number, same_shape, transposed_last, reshaped_last],
        np.add.reduce: [reduction_of_transposed, sum_of_reshaped, sum_of_row, sum_of_squares],
    },
    rules_of(EQUATIONS),
    {
        np.add.reduce: [reduction_to_one],
        np.maximum.reduce: [reduction_of_transposed, reduction_to_one],
        np.multiply: [scaled_quotient],
        np.subtract: [minus_dense],
        np.divide: [divided_by_number],
        np.transpose: [transposed],
        np.reshape: [reshaped],
        np.exp: [exp_of_log, exp_of_negated_sum],
        np.reciprocal: [logistic],
        np.dot: [product],
        take_along: [picked_early],
        setitem: [written_whole],
        getitem: [number_of_number, new_axes, one_in_each_row],
        copy: [unneeded_copy],
        astype: [same_bits, transposed_last],
    },
)
