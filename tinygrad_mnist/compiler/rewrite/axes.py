"""Rules about axes: transpositions, shapes and broadcasting, which are moved out of the way, to the borders.

Each is a function of a :class:`~tinygrad_mnist.compiler.rewrite.builder.Builder` and the operation that is about to
be added; it returns a replacement or ``None``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..instructions import getitem, view_as
from ..program import Op
from .builder import Builder

__all__ = [
    "broadcast",
    "is_call",
    "new_axes",
    "number_of_number",
    "product",
    "reduction_of_transposed",
    "reduction_to_one",
    "reshaped",
    "reshaped_last",
    "same_bits",
    "same_shape",
    "single_number",
    "transposed",
    "transposed_last",
    "unneeded_copy",
    "written_whole",
]


def is_call(arg: Any, *functions: Any) -> bool:
    """Whether something is the result of one of these functions."""
    return isinstance(arg, Op) and any(map(arg.calls, functions))


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
    if is_call(x, np.transpose):
        return b.transpose(x.args[0], tuple(x.args[1][i] for i in axes))
    if is_call(x, np.matmul) and op.ndim == 2 and all(a.ndim == 2 for a in x.args) and b.is_used_once(x):
        left, right = x.args
        turned = b.transpose(right), b.transpose(left)
        return b.add(Op(x.instruction, turned, {}, op.shape, op.dtype, x.place))
    return None


def reshaped(b: Builder, op: Op) -> Op | None:
    """Two changes of shape are one, or none; but a copy that others need as well is not made again."""
    x, shape = op.args
    if x.shape == shape:
        return x
    if not is_call(x, np.reshape) or not (x.is_view or b.is_used_once(x)):
        return None
    return b.reshape(x.args[0], shape)


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
        if is_call(arg, np.broadcast_to) and any(other.shape == op.shape for other in others):
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
    """``f(a.T, b.T)`` is ``f(a, b).T``, so that a result is found whichever way it is needed.

    Smaller arrays, which are broadcast, are turned instead.
    """
    large = [arg for arg in op.args if isinstance(arg, Op) and arg.ndim and arg.shape == op.shape]
    if not large or not all(is_call(x, np.transpose) and x.args[1] == large[0].args[1] for x in large):
        return None
    axes = large[0].args[1]
    inverse = tuple(axes.index(i) for i in range(len(axes)))

    def turned(arg: Any) -> Any:
        if not isinstance(arg, Op) or not arg.ndim:
            return arg
        if arg.shape == op.shape:
            return arg.args[0]
        whole = arg if arg.ndim == op.ndim else b.reshape(arg, (1,) * (op.ndim - arg.ndim) + arg.shape)
        return b.transpose(whole, inverse)

    shape = tuple(op.shape[i] for i in inverse)
    made = Op(op.instruction, tuple(map(turned, op.args)), {}, shape, op.dtype, op.place)
    return b.transpose(b.add(made), axes)


def reshaped_last(b: Builder, op: Op) -> Op | None:
    """The same for changes of shape, where all arrays have had one shape before."""
    arrays = [arg for arg in op.args if isinstance(arg, Op) and arg.ndim]
    if not arrays or not all(is_call(x, np.reshape) and x.shape == op.shape for x in arrays):
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
        if is_call(arg, np.reshape) and not arg.args[0].ndim and any(o.shape == op.shape for o in others):
            args[i] = arg.args[0]
    if all(new is old for new, old in zip(args, op.args, strict=True)):
        return None
    return b.call(op.instruction, tuple(args), op)


def reduction_to_one(b: Builder, op: Op) -> Op | None:
    """A reduction that leaves one number is one of a vector."""
    (x,) = op.args
    if op.size != 1 or x.ndim < 2 or x.size == 0 or not op.is_plain_reduction:
        return None
    flat = b.reshape(b.transpose(x) if is_call(x, np.transpose) else x, (x.size,))
    settings = {"axis": (0,), "keepdims": False}
    return b.reshape(b.add(Op(op.instruction, (flat,), settings, (), op.dtype, op.place)), op.shape)


def reduction_of_transposed(b: Builder, op: Op) -> Op | None:
    """A sum over one axis of ``x.T`` is one over another axis of ``x``, perhaps turned."""
    (x,) = op.args
    if not is_call(x, np.transpose) or not op.is_plain_reduction:
        return None
    axes, keepdims = x.args[1], op.settings["keepdims"]
    kept = [axes[i] for i in range(x.ndim) if keepdims or i not in op.settings["axis"]]
    settings = {"axis": tuple(sorted(axes[i] for i in op.settings["axis"])), "keepdims": keepdims}
    order = sorted(kept)
    shape = tuple(op.shape[kept.index(i)] for i in order)
    made = b.add(Op(op.instruction, x.args[:1], settings, shape, op.dtype, op.place))
    return made if kept == order else b.transpose(made, tuple(map(order.index, kept)))


def unneeded_copy(b: Builder, op: Op) -> Op | None:
    """Nothing is overwritten in a program, so nothing needs a copy; but one of ``x.T`` says how to store it."""
    return None if is_call(op.args[0], np.transpose) else op.args[0]


def same_bits(b: Builder, op: Op) -> Op | None:
    """Between signed and unsigned integers of one size only the reading changes."""
    x, dtype = op.args
    if x.dtype.kind in "iu" and dtype.kind in "iu" and x.dtype.itemsize == dtype.itemsize:
        return b.call(view_as, (x, dtype), op)
    return None
