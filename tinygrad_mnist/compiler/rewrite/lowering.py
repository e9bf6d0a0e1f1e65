"""The last changes before memory is given out: operations as NumPy does them best, in the best order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from ..program import EFFECTS, Op, Program, inputs_of, is_view
from .algebra import ARITHMETIC
from .builder import Builder, Rule, is_ufunc

__all__ = ["LOWERINGS", "ordered"]


def product(b: Builder, op: Op) -> Op | None:
    """``np.dot`` finds its way to the BLAS sooner than ``np.matmul``, for rows and columns too."""
    if op.ndim > 2 or any(arg.ndim > 2 for arg in op.args) or op.dtype.kind not in "fc":
        return None
    return b.add(Op("np.dot", op.args, {}, op.shape, op.dtype, op.place))


def stored_transposed(b: Builder, op: Op) -> Op | None:
    """A transposed copy of what is just being computed: compute it transposed."""
    (view,) = op.args
    x, axes = view.args
    if not is_ufunc(x) or not b.is_used_once(x):
        return None
    args: list[Any] = []
    for arg in x.args:
        if isinstance(arg, Op) and arg.ndim:
            whole = arg if arg.ndim == x.ndim else b.reshape(arg, (1,) * (x.ndim - arg.ndim) + arg.shape)
            args.append(b.transpose(whole, axes))
        else:
            args.append(arg)
    return b.add(Op(x.function, tuple(args), {}, op.shape, op.dtype, x.place))


def quotient(b: Builder, op: Op) -> Op | None:
    """``1 / x``: NumPy divides many numbers at a time, but takes the reciprocal of few."""
    return b.ufunc("np.divide", 1, *op.args) if op.dtype.kind == "f" else None


def picked_by_number(b: Builder, op: Op) -> Op | None:
    """One element of each column: ``np.take`` with one number each is quicker than two indices."""
    x, labels = op.args
    return b.add(
        Op("take_flat", (b.reshape(x, (x.size,)), _places(b, x, labels)), {}, op.shape, op.dtype, op.place)
    )


def added_by_number(b: Builder, op: Op) -> Op | None:
    """The same where elements are changed."""
    x, labels, value = op.args
    return b.add(Op("add_flat", (x, _places(b, x, labels), value), {}, op.shape, op.dtype, op.place))


def _places(b: Builder, x: Op, labels: Op) -> Op:
    n = x.shape[1]
    if labels.dtype != np.intp:
        labels = b.add(
            Op("astype", (labels, np.dtype(np.intp)), {}, labels.shape, np.dtype(np.intp), b.place)
        )
    columns = np.arange(n)
    constant = b.add(Op("constant", (), {"value": columns}, columns.shape, columns.dtype))
    return b.ufunc("np.add", b.ufunc("np.multiply", labels, n), constant)


LOWERINGS: dict[str, list[Rule]] = {
    **ARITHMETIC,
    "np.matmul": [product],
    "np.reciprocal": [quotient],
    "copy": [stored_transposed],
    "take_along": [picked_by_number],
    "add_along": [added_by_number],
}


def ordered(program: Program) -> Program:
    """Put every operation where its result is used, and parts of gradients where their inputs are fresh.

    Products, sums and the like stay in their order; what is elementwise waits for those that need it. A part
    of a gradient is computed as soon as it can be, so that what it is computed from is not kept for long;
    the product of a column and a row is far longer than they are, and waits.
    """
    uses = Counter(arg for op in program.ops for arg in inputs_of(op))
    parts = {part for op in program.ops if op.function == "join" for part in op.args if uses[part] == 1}
    early = [op for op in program.ops if op in parts and op.function == "np.dot"]
    late = {op for op in program.ops if is_outer(op) and uses[op] == 1 and op not in parts}
    ops: list[Op] = []
    done: set[Op] = set(program.inputs)

    def is_there(op: Op) -> bool:
        return op in done or op.function == "constant" or op.is_number

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
                # What is elementwise and could be computed at once waits until all else is there.
                missing.sort(key=lambda arg: is_ufunc(arg) and all(is_there(x) for x in inputs_of(arg)))
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
        is_free = (is_ufunc(op) and op.ndim > 0) or is_view(op) or op.is_number or op.function in _FREE
        if not (is_free and op.function not in EFFECTS) and op not in early and op not in late:
            put(op)
            put_early()
    for op in program.roots():
        put(op)
        put_early()
    return replace(program, ops=tuple(ops))


#: What, like elementwise functions, is done when its result is needed.
_FREE = ("constant", "join", "astype", "copy")


def _computed(op: Op) -> set[Op]:
    """What an operation has to wait for, views and constants aside."""
    found = set()
    for arg in inputs_of(op):
        while is_view(arg):
            arg = arg.args[0]
        if arg.function not in ("constant", "input"):
            found.add(arg)
    return found


def is_outer(op: Op) -> bool:
    """Whether an operation multiplies a column by a row."""
    return op.function == "np.dot" and op.ndim == 2 and op.args[0].shape[1:] == (1,)
