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
from .builder import Builder, Rule
from .equations import Equation, c, d, rules_of, x, y
from .ranges import is_even_scaling, is_normal, is_real, range_of

__all__ = ["ARITHMETIC", "EQUATIONS", "SIMPLIFICATIONS"]

#: Sums of more squares are left to NumPy, whose sums stay accurate at any length.
LONGEST_DOT = 65_536


def _is(arg: Any, *functions: Any) -> bool:
    return isinstance(arg, Op) and any(map(arg.calls, functions))


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
    if b.is_exact or not (is_scalar(c) and _is(quotient, np.divide) and is_real(op.dtype)):
        return None
    if not b.is_used_once(quotient):
        return None
    e, s = quotient.args
    if not (isinstance(e, Op) and isinstance(s, Op) and s.size < e.size):
        return None
    is_safe = range_of(e)[1] <= 1 and range_of(e)[0] >= 0 and range_of(s)[0] >= 1
    is_safe = is_safe and (isinstance(c, Op) or is_normal(c, op.dtype))
    return b.ufunc(np.multiply, e, b.ufunc(np.divide, c, s)) if is_safe else None


# -- axes --------------------------------------------------------------------------------------------


def product(b: Builder, op: Op) -> Op | None:
    """Up to two axes, ``np.dot`` is ``np.matmul``, but for parts of complex numbers, and infinity times one zero."""
    is_plain = all(isinstance(arg, Op) and 1 <= arg.ndim <= 2 and arg.size != 1 for arg in op.args)
    if is_plain and op.ndim and op.dtype.kind != "c":
        return b.call(np.matmul, op.args, op)
    return None


def transposed(b: Builder, op: Op) -> Op | None:
    """Two transpositions are one, or none; and ``(a @ b).T`` is ``b.T @ a.T``."""
    x, axes = op.args
    if axes == tuple(range(op.ndim)):
        return x
    if sum(n != 1 for n in op.shape) <= 1:
        return b.reshape(x, op.shape)
    if _is(x, np.transpose):
        return b.transpose(x.args[0], tuple(x.args[1][i] for i in axes))
    if _is(x, np.matmul) and op.ndim == 2 and all(a.ndim == 2 for a in x.args) and b.is_used_once(x):
        left, right = x.args
        turned = b.transpose(right), b.transpose(left)
        return b.add(Op(x.instruction, turned, {}, op.shape, op.dtype, x.place))
    return None


def reshaped(b: Builder, op: Op) -> Op | None:
    """Two changes of shape are one, or none."""
    x, shape = op.args
    if x.shape == shape:
        return x
    return b.reshape(x.args[0], shape) if _is(x, np.reshape) else None


def new_axes(b: Builder, op: Op) -> Op | None:
    """An index that takes everything, and at most adds axes, changes the shape."""
    x, index = op.args
    return b.reshape(x, op.shape) if _is_whole(index) and op.ndim else None


def written_whole(b: Builder, op: Op) -> Op | None:
    """``x[...] = y`` is ``y``, where it has the shape and the dtype of ``x``."""
    _, index, y = op.args
    is_alike = isinstance(y, Op) and (y.shape, y.dtype) == (op.shape, op.dtype)
    return y if is_alike and _is_whole(index) else None


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _is_whole(index: Any) -> bool:
    return all(part in (None, Ellipsis, slice(None)) for part in _parts(index))


def number_of_number(b: Builder, op: Op) -> Op | None:
    """``s[()]`` makes a number of an array without axes; what computes a number returns one."""
    x, index = op.args
    is_number = x.is_ufunc or x.is_plain_reduction or x.instruction.is_product
    is_number = is_number or (x.calls(getitem) and Ellipsis not in _parts(x.args[1]))
    return x if index == () and not x.ndim and is_number else None


def broadcast(b: Builder, op: Op) -> Op | None:
    """An argument need not be stretched to the shape that another has."""
    for i, arg in enumerate(op.args):
        others = [other for k, other in enumerate(op.args) if k != i and isinstance(other, Op)]
        if _is(arg, np.broadcast_to) and any(other.shape == op.shape for other in others):
            args = [arg.args[0] if k == i else other for k, other in enumerate(op.args)]
            return b.call(op.instruction, tuple(args), op)
    return None


def same_shape(b: Builder, op: Op) -> Op | None:
    """A vector that meets a single row is a row: NumPy is quick where shapes are the same."""
    args = [
        b.reshape(arg, op.shape)
        if isinstance(arg, Op) and 0 < arg.ndim < op.ndim and arg.size == op.size
        else arg
        for arg in op.args
    ]
    if all(new is old for new, old in zip(args, op.args, strict=True)):
        return None
    return b.call(op.instruction, tuple(args), op)


def transposed_last(b: Builder, op: Op) -> Op | None:
    """``f(a.T, b.T)`` is ``f(a, b).T``, so that a result is found whichever way it is needed."""
    arrays = [arg for arg in op.args if isinstance(arg, Op) and arg.ndim]
    if not arrays or not all(_is(x, np.transpose) and x.args[1] == arrays[0].args[1] for x in arrays):
        return None
    args = tuple(arg.args[0] if isinstance(arg, Op) and arg.ndim else arg for arg in op.args)
    axes = arrays[0].args[1]
    inverse = tuple(axes.index(i) for i in range(len(axes)))
    shape = tuple(op.shape[i] for i in inverse)
    return b.transpose(b.add(Op(op.instruction, args, {}, shape, op.dtype, op.place)), axes)


def reshaped_last(b: Builder, op: Op) -> Op | None:
    """The same for changes of shape, where all arrays have had one shape before."""
    arrays = [arg for arg in op.args if isinstance(arg, Op) and arg.ndim]
    if not arrays or not all(_is(x, np.reshape) and x.shape == op.shape for x in arrays):
        return None
    shape = arrays[0].args[0].shape
    if any(x.args[0].shape != shape for x in arrays):
        return None
    args = tuple(arg.args[0] if isinstance(arg, Op) and arg.ndim else arg for arg in op.args)
    return b.reshape(b.add(Op(op.instruction, args, {}, shape, op.dtype, op.place)), op.shape)


def single_number(b: Builder, op: Op) -> Op | None:
    """An array of one element that was a number is one again, where it meets an array."""
    args = list(op.args)
    for i, arg in enumerate(args):
        others = [other for k, other in enumerate(args) if k != i and isinstance(other, Op)]
        if _is(arg, np.reshape) and not arg.args[0].ndim and any(o.shape == op.shape for o in others):
            args[i] = arg.args[0]
    if all(new is old for new, old in zip(args, op.args, strict=True)):
        return None
    return b.call(op.instruction, tuple(args), op)


def reduction_to_one(b: Builder, op: Op) -> Op | None:
    """A reduction that leaves one number is one of a vector."""
    (x,) = op.args
    if op.size != 1 or x.ndim < 2 or x.size == 0 or not op.is_plain_reduction:
        return None
    flat = b.reshape(b.transpose(x) if _is(x, np.transpose) else x, (x.size,))
    settings = {"axis": (0,), "keepdims": False}
    return b.reshape(b.add(Op(op.instruction, (flat,), settings, (), op.dtype, op.place)), op.shape)


def reduction_of_transposed(b: Builder, op: Op) -> Op | None:
    """A sum over one axis of ``x.T`` is one over another axis of ``x``."""
    (x,) = op.args
    if not _is(x, np.transpose) or op.settings["keepdims"] or not op.is_plain_reduction:
        return None
    axes = x.args[1]
    kept = [axes[i] for i in range(x.ndim) if i not in op.settings["axis"]]
    if kept != sorted(kept):
        return None
    settings = {"axis": tuple(sorted(axes[i] for i in op.settings["axis"])), "keepdims": False}
    return b.add(Op(op.instruction, x.args[:1], settings, op.shape, op.dtype, op.place))


def unneeded_copy(b: Builder, op: Op) -> Op | None:
    """Nothing is overwritten in a program, so nothing needs a copy; but one of ``x.T`` says how to store it."""
    return None if _is(op.args[0], np.transpose) else op.args[0]


def same_bits(b: Builder, op: Op) -> Op | None:
    """Between signed and unsigned integers of one size only the reading changes."""
    x, dtype = op.args
    if x.dtype.kind in "iu" and dtype.kind in "iu" and x.dtype.itemsize == dtype.itemsize:
        return b.call(view_as, (x, dtype), op)
    return None


# -- sums --------------------------------------------------------------------------------------------


def sum_of_squares(b: Builder, op: Op) -> Op | None:
    """``sum(x * x)`` is the product of a vector with itself."""
    (x,) = op.args
    if op.ndim or not op.is_plain_reduction or not is_real(op.dtype) or x.size > LONGEST_DOT:
        return None
    root = x.args[0] if _is(x, np.square) or (_is(x, np.multiply) and x.args[0] is x.args[1]) else None
    if root is not None and root.dtype == op.dtype:
        flat = b.reshape(b.transpose(root) if _is(root, np.transpose) else root, (root.size,))
        return b.call(np.dot, (flat, flat), op)
    return None


# -- what losses consist of --------------------------------------------------------------------------


def exp_of_negated_sum(b: Builder, op: Op) -> Op | None:
    """In ``exp(-(x + y))``, where ``y`` is far shorter, ``y`` is negated: ``exp`` ignores the sign of a zero."""
    (x,) = op.args
    if not (
        _is(x, np.negative) and _is(x.args[0], np.add) and is_real(op.dtype) and b.is_used_once(x.args[0])
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
    if b.is_exact or not (_is(x, np.subtract) and _is(x.args[1], np.log) and isinstance(x.args[0], Op)):
        return None
    if range_of(x.args[0])[1] > 0 or range_of(x.args[1].args[0])[0] < 1:
        return None
    return b.ufunc(np.divide, b.ufunc(np.exp, x.args[0]), x.args[1].args[0])


def logistic(b: Builder, op: Op) -> Op | None:
    """In ``1 / (1 + exp(x))`` the exponential may overflow: the result is 0, as it should be."""
    (x,) = op.args
    if not (_is(x, np.add) and not isinstance(x.args[1], Op) and x.args[1] == 1 and _is(x.args[0], np.exp)):
        return None
    bounded = x.args[0].args[0]
    if not (_is(bounded, np.minimum) and isinstance(bounded.args[1], float) and is_real(op.dtype)):
        return None
    if bounded.args[1] < 0.99 * math.log(np.finfo(op.dtype).max):
        return None
    b.notes["overflow"] = "exp may overflow to inf, and 1 / inf is right"
    return b.ufunc(np.reciprocal, b.ufunc(np.add, b.ufunc(np.exp, bounded.args[0]), 1))


def _columns(op: Any) -> tuple[Op, Op] | None:
    """The values and classes of a matrix that is zero but for one value in each row."""
    if not (
        _is(op, call) and op.ndim == 2 and op.args[0].operation == "put_along" and op.args[0].rule is None
    ):
        return None
    _, values, classes = op.args
    is_column = op.settings["axis"] == 1 and isinstance(classes, Op) and classes.shape == (op.shape[0], 1)
    return (values, classes) if is_column else None


def sum_of_row(b: Builder, op: Op) -> Op | None:
    """The sum of a row that is zero but for one value is that value."""
    found = _columns(op.args[0])
    if found is None or not op.is_plain_reduction or op.settings["axis"] != (1,):
        return None
    return found[0] if op.settings["keepdims"] else b.reshape(found[0], op.shape)


def minus_dense(b: Builder, op: Op) -> Op | None:
    """Where few elements are not zero, they alone are added: ``softmax - target``."""
    found = _columns(op.args[0])
    dense = op.args[1]
    if found is None or not isinstance(dense, Op) or dense.shape != op.shape:
        return None
    values, classes = found
    labels = b.reshape(classes, (classes.size,))
    if not is_tested(b, labels, op.shape[1]):
        return None
    value: Any = b.reshape(values, (values.size,))
    if isinstance(values, Constant) and values.number is not None:
        value = _shortest(values.number)
    negated = b.transpose(b.ufunc(np.subtract, 0, dense))
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
        if not (_is(condition, np.greater_equal) and condition.args[1] == n):
            continue
        largest = condition.args[0]
        seen: Any = largest.args[0] if _is(largest, np.maximum.reduce) else None
        # A negative number, read without its sign, is a huge one.
        while _is(seen, np.reshape, view_as, astype):
            if seen.dtype.kind == "u" or seen.calls(np.reshape):
                seen = seen.args[0]
            else:
                break
        source = labels
        while _is(source, np.reshape):
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
    if op.ndim or not _is(x, np.reshape) or x.args[0].ndim >= x.ndim or not op.is_plain_reduction:
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
