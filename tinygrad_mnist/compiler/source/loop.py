"""Long arrays piece by piece: groups of operations that share a loop over rows.

A long elementwise chain reads and writes every array once for each of its operations. In pieces that fit into the
processor's cache, it reads and writes memory only once in total. The product of a column and a row is elementwise in
this sense, too: a piece of it is a piece of the column times the row.
"""

from __future__ import annotations

from typing import Any

from ..memory import Buffer, Plan, base_of
from ..program import Constant, Op, Program, inputs_of
from ..rewrite.lowering import is_outer

__all__ = ["is_long", "local_buffers", "rows_of_a_piece", "run_at"]

#: Number of elements in a piece; the processor's cache holds a few pieces.
PIECE = 40_960
#: The same with an outer product in the loop: the BLAS, with several threads, is only fast for
#: larger pieces.
OUTER_PIECE = 262_144


def is_long(op: Op, plan: Plan) -> bool:
    """Whether an operation is worth a loop."""
    is_elementwise = op.is_ufunc or is_outer(op)
    least = 2 * (OUTER_PIECE if is_outer(op) else PIECE)
    return is_elementwise and op in plan.at and op.size >= least and op.shape[0] > 1


def rows_of_a_piece(run: list[Op]) -> int:
    """The number of rows in a piece."""
    elements = OUTER_PIECE if any(map(is_outer, run)) else PIECE
    return max(1, elements // (run[0].size // run[0].shape[0]))


def run_at(program: Program, plan: Plan, i: int) -> list[Op]:
    """The operations from the i-th on that can be computed together; none if there are fewer than two."""
    first = program.ops[i]
    if not is_long(first, plan):
        return []
    run: list[Op] = []
    looks: dict[Buffer, set[Any]] = {}  # the different views of each piece of memory
    changed: set[Buffer] = set()
    for k in range(i, len(program.ops)):
        op = program.ops[k]
        if isinstance(op, Constant) or op.is_number or (op.is_view and op not in plan.at):
            continue
        if not is_long(op, plan) or op.shape != first.shape:
            break
        for arg in (*inputs_of(op), op):
            base = base_of(arg, plan.at)
            if base in plan.at:
                buffer = plan.at[base]
                looks.setdefault(buffer.root, set()).add(buffer if base is arg else arg)
        changed.add(plan.at[op].root)
        # A piece must not be overwritten before another piece that it overlaps has been read.
        if any(len(looks[root]) > 1 for root in changed):
            break
        run.append(op)
        end = k
    return list(program.ops[i : end + 1]) if len(run) > 1 else []


def local_buffers(program: Program, plan: Plan, run: list[Op]) -> set[Buffer]:
    """Buffers that only hold results made and used within a run: a piece of each is enough."""
    inside = set(run)
    outside = {arg for op in program.ops if op not in inside for arg in inputs_of(op)}
    outside.update((*program.results, *(store.value for store in program.stores)))
    return {
        buffer
        for buffer in {plan.at[op] for op in run}
        if buffer.of is None
        and buffer.input is None
        and all(op in inside and op not in outside for op in buffer.names)
        and not any(other.of is buffer for other in plan.buffers)
    }
