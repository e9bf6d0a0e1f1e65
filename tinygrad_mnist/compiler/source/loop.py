"""Long arrays piece by piece: groups of operations that share a loop over rows.

A long chain of operations reads and writes every array once for each of them. In pieces that fit into the processor's
cache, it reads and writes memory only once in total. That needs operations of which each row of the result depends on
the same row of the arguments: elementwise ones, the product of a column and a row, sums over the other axes, and what
is computed from these sums, such as the mean and the variance of each row.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..memory import Buffer, Plan, base_of
from ..program import Constant, Op, Program, inputs_of
from ..rewrite.lowering import is_outer

__all__ = ["is_by_rows", "is_cut", "is_long", "local_buffers", "rows_of_a_piece", "run_at"]

#: Number of elements in a piece; the processor's cache holds a few pieces.
PIECE = 40_960
#: The same with an outer product in the loop: the BLAS, with several threads, is only fast for
#: larger pieces.
OUTER_PIECE = 262_144


def is_cut(op: Op, arg: Any) -> bool:
    """Whether a row of a result depends on the same row of an argument; otherwise it depends on all of it."""
    if not isinstance(arg, Op) or not arg.ndim or not op.ndim or arg.shape[0] != op.shape[0]:
        return False
    return arg.ndim == op.ndim or op.is_plain_reduction or op.calls(np.vecdot)


def is_by_rows(op: Op) -> bool:
    """Whether each row of a result can be computed alone."""
    if not op.ndim or op.shape[0] < 2:
        return False
    if op.is_plain_reduction:
        return 0 not in op.settings["axis"] and is_cut(op, op.args[0])
    if op.calls(np.vecdot):
        return all(is_cut(op, arg) for arg in op.args)
    return op.is_elementwise or is_outer(op)


def longest(op: Op) -> Op:
    """The result, or the argument of a sum."""
    return op.args[0] if op.is_plain_reduction or op.calls(np.vecdot) else op


def is_long(op: Op, plan: Plan) -> bool:
    """Whether an operation is worth a loop."""
    least = 2 * (OUTER_PIECE if is_outer(op) else PIECE)
    return op in plan.at and is_by_rows(op) and longest(op).size >= least


def rows_of_a_piece(run: list[Op]) -> int:
    """The number of rows in a piece."""
    elements = OUTER_PIECE if any(map(is_outer, run)) else PIECE
    return max(1, elements * run[0].shape[0] // max(longest(op).size for op in run))


def run_at(program: Program, plan: Plan, i: int) -> list[Op]:
    """The operations from the i-th on that can be computed together; none if fewer than two are long."""
    first = program.ops[i]
    if not is_long(first, plan):
        return []
    rows, size = first.shape[0], longest(first).size
    long = 0
    looks: dict[Buffer, set[Any]] = {}  # the different views of each piece of memory
    whole: set[Buffer] = set()  # what is read as a whole
    changed: set[Buffer] = set()
    for k in range(i, len(program.ops)):
        op = program.ops[k]
        if isinstance(op, Constant) or op.is_number or (op.is_view and op not in plan.at):
            continue
        if op not in plan.at or not is_by_rows(op) or op.shape[0] != rows:
            break
        if is_long(op, plan) and longest(op).size != size:
            break
        for arg in (*inputs_of(op), op):
            base = base_of(arg, plan.at)
            if base in plan.at:
                buffer = plan.at[base]
                looks.setdefault(buffer.root, set()).add(_look(arg, base, buffer))
                if arg is not op and not is_cut(op, arg):
                    whole.add(buffer.root)
        changed.add(plan.at[op].root)
        # A piece must not be overwritten before another piece that it overlaps has been read.
        if any(_overlap(looks[root]) or root in whole for root in changed):
            break
        if is_long(op, plan):
            end, long = k, long + 1
    return list(program.ops[i : end + 1]) if long > 1 else []


def _look(arg: Op, base: Op, buffer: Buffer) -> Any:
    """A view of memory: where it begins, its size and its rows; the view itself, if it is not a buffer's whole memory.

    It makes no difference if only the shape of the rows is another.
    """
    while arg is not base and arg.calls(np.reshape) and arg.shape[:1] == arg.args[0].shape[:1]:
        arg = arg.args[0]
    if arg is not base:
        return arg
    start, size, rows = 0, buffer.size, buffer.shape[:1]
    while buffer.of is not None:
        start, buffer = start + buffer.start, buffer.of
    return start, size, rows


def _overlap(looks: set[Any]) -> bool:
    """Whether two different views may have elements in common."""
    if len(looks) == 1:
        return False
    if not all(isinstance(look, tuple) for look in looks):
        return True
    spans = sorted(looks)
    return any(start + size > after for (start, size, _), (after, _, _) in itertools.pairwise(spans))


def local_buffers(program: Program, plan: Plan, run: list[Op]) -> set[Buffer]:
    """Buffers that only hold results made and used within a run: a piece of each is enough."""
    inside = set(run)
    looked_at = {
        base_of(arg, plan.at) for op in run for arg in inputs_of(op) if arg.is_view and arg not in plan.at
    }
    outside = {arg for op in program.ops if op not in inside for arg in inputs_of(op)}
    outside.update((*program.results, *(store.value for store in program.stores)))
    return {
        buffer
        for buffer in {plan.at[op] for op in run}
        if buffer.of is None
        and buffer.input is None
        and all(op in inside and op not in outside and op not in looked_at for op in buffer.names)
        and not any(other.of is buffer for other in plan.buffers)
    }
