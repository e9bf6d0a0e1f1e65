"""The last changes before memory is assigned: the operations that suit NumPy best, in the best order."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from ..instructions import (
    add_along,
    add_flat,
    astype,
    copy,
    instruction_of,
    is_contiguous,
    take_along,
    take_flat,
)
from ..program import Constant, Input, Op, Program, inputs_of
from .algebra import ARITHMETIC, LONGEST_DOT
from .builder import Builder, Rule

__all__ = ["LOWERINGS", "ordered"]


#: Rows with fewer elements are multiplied and summed together.
SHORTEST_ROW = 64


def product(b: Builder, op: Op) -> Op | None:
    """``np.dot`` reaches the BLAS faster than ``np.matmul``, for rows and columns too.

    It has different products for infinite complex numbers, and for infinity times a single zero.
    """
    if op.ndim > 2 or any(arg.ndim > 2 or arg.size == 1 for arg in op.args) or op.dtype.kind != "f":
        return None
    return b.call(np.dot, op.args, op)


def stored_transposed(b: Builder, op: Op) -> Op | None:
    """For a transposed copy of a result, compute the result transposed."""
    (view,) = op.args
    x, axes = view.args
    if not x.is_ufunc or not b.is_used_once(x):
        return None
    args: list[Any] = []
    for arg in x.args:
        if isinstance(arg, Op) and arg.ndim:
            whole = arg if arg.ndim == x.ndim else b.reshape(arg, (1,) * (x.ndim - arg.ndim) + arg.shape)
            args.append(b.transpose(whole, axes))
        else:
            args.append(arg)
    return b.add(Op(x.instruction, tuple(args), {}, op.shape, op.dtype, x.place))


def products_of_rows(b: Builder, op: Op) -> Op | None:
    """Sums of products along rows are products of vectors, with no array of products in between."""
    (x,) = op.args
    if not op.ndim or not op.is_plain_reduction or op.dtype not in (np.float32, np.float64) or not x.ndim:
        return None
    pair = x.args * 2 if x.calls(np.square) else x.args if x.calls(np.multiply) else ()
    first = x.ndim - len(op.settings["axis"])
    is_last = op.settings["axis"] == tuple(range(first, x.ndim))
    if not pair or not is_last or not b.is_used_once(x) or x.settings:
        return None
    if not all(
        isinstance(a, Op) and (a.shape, a.dtype) == (x.shape, op.dtype) and is_contiguous(a) for a in pair
    ):
        return None
    length = math.prod(x.shape[first:])
    if not x.size or length < SHORTEST_ROW:
        return None
    parts = next(n for n in itertools.count(-(-length // LONGEST_DOT)) if length % n == 0)
    shape = (*x.shape[:first], parts, length // parts) if parts > 1 else (*x.shape[:first], length)
    rows = tuple(a if a.shape == shape else b.reshape(a, shape) for a in pair)
    made = b.add(Op(instruction_of(np.vecdot), rows, {}, shape[:-1], op.dtype, op.place))
    if parts > 1:
        settings = {"axis": (first,), "keepdims": False}
        made = b.add(Op(op.instruction, (made,), settings, x.shape[:first], op.dtype, op.place))
    return made if made.shape == op.shape else b.reshape(made, op.shape)


def quotient(b: Builder, op: Op) -> Op | None:
    """``1 / x``: NumPy divides many numbers at a time, but takes few reciprocals at a time."""
    return b.ufunc(np.divide, 1, *op.args) if op.dtype.kind == "f" else None


def picked_by_number(b: Builder, op: Op) -> Op | None:
    """One element of each column: ``np.take`` with one index each is faster than two indices."""
    x, labels = op.args
    return b.call(take_flat, (b.reshape(x, (x.size,)), _places(b, x, labels)), op)


def added_by_number(b: Builder, op: Op) -> Op | None:
    """The same for changed elements."""
    x, labels, value = op.args
    return b.call(add_flat, (x, _places(b, x, labels), value), op)


def _places(b: Builder, x: Op, labels: Op) -> Op:
    n = x.shape[1]
    if labels.dtype != np.intp:
        integers = np.dtype(np.intp)
        labels = b.add(Op(astype, (labels, integers), {}, labels.shape, integers, b.place))
    return b.ufunc(np.add, b.ufunc(np.multiply, labels, n), b.add(Constant(np.arange(n))))


LOWERINGS: dict[Any, list[Rule]] = {
    **ARITHMETIC,
    np.matmul: [product],
    np.reciprocal: [quotient],
    np.add.reduce: [products_of_rows],
    copy: [stored_transposed],
    take_along: [picked_by_number],
    add_along: [added_by_number],
}


def ordered(program: Program) -> Program:
    """Move every operation to the use of its result, and parts of gradients to where their inputs are fresh.

    Products, sums and so on stay in order; elementwise operations wait until they are needed. A part of a gradient
    is computed as soon as possible, so that its inputs are not kept for long. But the product of a column and a
    row is far longer than these, so it waits.
    """
    uses = Counter(arg for op in program.ops for arg in inputs_of(op))
    parts = {part for op in program.ops if op.instruction.has_parts for part in op.args if uses[part] == 1}
    early = [op for op in program.ops if op in parts and op.instruction.is_product]
    late = {op for op in program.ops if is_outer(op) and uses[op] == 1 and op not in parts}
    ops: list[Op] = []
    done: set[Op] = set(program.inputs)

    def is_there(op: Op) -> bool:
        return op in done or isinstance(op, Constant) or op.is_number

    def put(root: Op) -> None:
        waiting = [root]
        while waiting:
            op = waiting[-1]
            missing = [arg for arg in inputs_of(op) if arg not in done]
            if op in done or not missing:
                waiting.pop()
                if op not in done:
                    ops.append(op)
                    done.add(op)
            else:
                # Elementwise operations that could be computed at once wait until everything else is there.
                missing.sort(key=lambda arg: arg.is_ufunc and all(is_there(x) for x in inputs_of(arg)))
                waiting.extend(reversed(missing))

    blocked = {op: sum(1 for arg in _computed(op) if arg not in done) for op in early}
    feeds: dict[Op, list[Op]] = {}
    for op in early:
        for arg in _computed(op):
            feeds.setdefault(arg, []).append(op)
    seen = 0

    def put_early() -> None:
        nonlocal seen
        while seen < len(ops):
            for waiting in feeds.get(ops[seen], ()):
                blocked[waiting] -= 1
                if not blocked[waiting]:
                    put(waiting)
            seen += 1

    for op in [*program.ops, *program.roots()]:
        waits = (
            op.instruction.waits
            and (op.ndim > 0 or not op.is_ufunc)
            and not (op.is_ufunc is False and op.settings)
        )
        if not (waits or op.is_view or op.is_number) and op not in early and op not in late:
            put(op)
            put_early()
    for op in program.roots():
        put(op)
        put_early()
    return replace(program, ops=tuple(ops))


def _computed(op: Op) -> set[Op]:
    """The operations that an operation must wait for, except views and constants."""
    found = set()
    for arg in inputs_of(op):
        while arg.is_view:
            arg = arg.args[0]
        if not isinstance(arg, (Constant, Input)):
            found.add(arg)
    return found


def is_outer(op: Op) -> bool:
    """Whether an operation multiplies a column by a row."""
    is_matrix = op.instruction.is_product and op.ndim == 2
    return is_matrix and isinstance(op.args[0], Op) and op.args[0].shape[1:] == (1,)
