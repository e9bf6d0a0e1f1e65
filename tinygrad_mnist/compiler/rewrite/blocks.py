"""A large batch block by block: cut a program into a part for every block and a part that runs afterwards.

Nearly everything is done to each row of a batch separately, until sums over the batch are taken: the loss and the
gradients. So some hundred rows can go through the whole network, forward and back, while they are in the
processor's cache, and their sums are added up. Each row is fetched from memory once instead of twice, and the
memory for results between the layers no longer grows with the batch.

:func:`in_blocks` determines the batch axis of every result, and gives up if there is none: if rows are combined
before the end, as in batch normalisation, or if random numbers are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..instructions import getitem, instruction_of
from ..program import Constant, Input, Op, Program, Store, inputs_of
from .builder import replaced, without_dead_code

__all__ = ["Blocks", "in_blocks"]

#: Batches that take less memory, including everything computed from them, are not cut.
LEAST = 16 << 20
#: The size of a block: as much of a batch's arrays as a processor's cache holds.
BLOCK = 3 << 20
#: Blocks of fewer rows have too little work for several threads.
FEWEST = 256
#: The largest share of a block's work that is repeated for every block.
AGAIN = 0.25

#: The kinds of results. A result with a batch axis has the number of that axis instead; the axis is as long as the
#: batch, or a multiple of it.
WHOLE = "whole"  # the same for every block
SUM = "sum"  # of something over the rows, to be added up over the blocks
TEST = "test"  # of a block, for checks alone
LATER = "later"  # computed from complete sums


@dataclass
class Blocks:
    """A program in two parts.

    Attributes
    ----------
    block : runs for each block; it adds to the ``sums``, and its results are rows of the whole results
    rest : runs afterwards; its results are those of the whole that are not rows
    rows, of : the number of rows in a block, and in the batch
    cut : the arguments that are cut into blocks, each with the input for a block of it
    sums : inputs of both parts, zero at first
    results : for each result of the whole, whether it comes from the blocks
    """

    block: Program
    rest: Program
    rows: int
    of: int
    cut: dict[Op, Op]
    sums: list[Op]
    results: list[bool]


class _MixedError(Exception):
    """Rows of the batch are combined where they must not be."""


def in_blocks(program: Program, arguments: list[Op]) -> Blocks | None:
    """Cut a program in two, if it has a large batch as an argument and gains from it."""
    arrays = [op for op in arguments if op.dtype is not None and op.ndim]
    n = arrays[0].shape[0] if arrays else 0
    batch = [op for op in arrays if op.shape[0] == n]
    rows = _rows_of_a_block(n, sum(op.nbytes for op in batch))
    if not rows:
        return None
    kinds: dict[Op, Any] = dict.fromkeys(program.inputs, WHOLE) | dict.fromkeys(batch, 0)
    shorter: dict[tuple[Op, Op], int] = {}
    try:
        for op in program.ops:
            kinds[op] = _Kind(op, kinds, n, shorter).found()
    except _MixedError:
        return None
    return _Cut(program, kinds, shorter, batch, rows).blocks()


def _rows_of_a_block(n: int, nbytes: int) -> int:
    """The largest number of rows per block that divides the batch; zero if it is too small."""
    most = min(n // 2, n * BLOCK // max(nbytes, 1))
    return next((rows for rows in range(most, FEWEST - 1, -1) if n % rows == 0), 0)


# -- the axis of the batch -------------------------------------------------------------------------------------


class _Kind:
    """One operation, which determines the kind of its result from the kinds of earlier ones.

    If a constant stands for the whole batch, ``shorter`` records which of its axes is shorter in a block.
    """

    def __init__(self, op: Op, kinds: dict[Op, Any], n: int, shorter: dict[tuple[Op, Op], int]) -> None:
        self.op, self.kinds, self.n, self.shorter = op, kinds, n, shorter

    def found(self) -> Any:
        """The number of the batch's axis, or one of the words above."""
        op = self.op
        given = {self.kinds[arg] for arg in inputs_of(op)}
        if op.instruction.has_effect and not op.instruction.batch:  # drawn for all rows at once
            raise _MixedError
        if given <= {WHOLE}:
            return WHOLE
        words = {kind for kind in given if isinstance(kind, str)}
        if words & {SUM, LATER} and given <= {WHOLE, SUM, LATER}:
            return SUM if given == {SUM} and op.instruction.rearranges else LATER
        if given == {TEST}:
            return self.test()
        if words - {WHOLE}:
            raise _MixedError
        rule = _RULES.get(op.instruction.batch)
        if rule is None:
            raise _MixedError
        return rule(self)

    def elementwise(self) -> int:
        """Arrays side by side, the last axes under each other."""
        self.require(not self.op.settings)
        args = [arg for arg in self.op.args if isinstance(arg, Op) and arg.ndim]
        found = {self.kinds[arg] - arg.ndim for arg in args if self.kinds[arg] is not WHOLE}
        self.require(len(found) == 1)
        axis: int = found.pop()
        for arg in args:
            if self.kinds[arg] is WHOLE and arg.ndim >= -axis and arg.shape[axis] != 1:
                self.shorten(arg, arg.ndim + axis)
        return self.op.ndim + axis

    def same(self) -> Any:
        """Handle the axes of the first argument."""
        self.require(self.op.shape == self.op.args[0].shape)
        return self.kinds[self.op.args[0]]

    def reduction(self) -> Any:
        x = self.op.args[0]
        axis, axes = self.kinds[x], self.op.settings["axis"]
        self.require(self.op.is_plain_reduction)
        if axis not in axes:
            return axis if self.op.settings["keepdims"] else axis - sum(i < axis for i in axes)
        if self.op.calls(np.add.reduce):
            return SUM
        self.require(self.op.calls(np.maximum.reduce) and self.op.ndim == 0 and x.dtype.kind in "iu")
        return TEST

    def test(self) -> str:
        """Test whether the largest number is too large: it is in one of the blocks, or in none."""
        is_too_large = self.op.calls(np.greater) or self.op.calls(np.greater_equal)
        self.require((is_too_large and isinstance(self.op.args[0], Op)) or self.op.instruction.has_effect)
        return TEST

    def transposed(self) -> int:
        axes: tuple[int, ...] = self.op.args[1]
        return axes.index(self.kinds[self.op.args[0]])

    def reshaped(self) -> int:
        """The axis with the same number of elements before it, if it contains whole rows, perhaps several."""
        old, new = self.op.args[0].shape, self.op.shape
        before = math.prod(old[: self.kinds[self.op.args[0]]])
        fitting = [i for i in range(len(new)) if new[i] % self.n == 0 and math.prod(new[:i]) == before]
        self.require(fitting)
        return fitting[0]

    def indexed(self) -> int:
        """A view that keeps the batch."""
        x, index = self.op.args
        parts = index if isinstance(index, tuple) else (index,)
        axis = self.kinds[x]
        self.require(self.op.is_view and not any(part is None or part is Ellipsis for part in parts))
        self.require(axis >= len(parts) or parts[axis] == slice(None))
        dropped = [part for part in parts[:axis] if not isinstance(part, slice)]
        return int(axis - len(dropped))

    def product(self) -> Any:
        a, b = self.op.args
        self.require(a.ndim <= 2 and b.ndim <= 2)
        left, right = self.kinds[a], self.kinds[b]
        inner_left, inner_right = a.ndim - 1, max(b.ndim - 2, 0)
        if left == inner_left or right == inner_right:  # the rows are summed up
            for arg, kind, axis in ((a, left, inner_left), (b, right, inner_right)):
                if kind is WHOLE:
                    self.shorten(arg, axis)
                else:
                    self.require(kind == axis)
            return SUM
        self.require(WHOLE in (left, right))
        return 0 if right is WHOLE else self.op.ndim - 1

    def picked(self) -> int:
        """One element of each column, or an increase of such elements."""
        x, labels, *more = self.op.args
        self.require((self.kinds[x], self.kinds[labels]) == (1, 0))
        for value in more:
            self.require(not isinstance(value, Op) or not value.ndim or self.kinds[value] == 0)
        return 1 if more else 0

    def shorten(self, arg: Op, axis: int) -> None:
        """Use a part of a constant for a block if all of its blocks are equal."""
        self.require(isinstance(arg, Constant) and arg.number is not None)
        self.shorter[self.op, arg] = axis

    @staticmethod
    def require(condition: Any) -> None:
        if not condition:
            raise _MixedError


#: The rules, by the names that instructions give.
_RULES: dict[str, Callable[[_Kind], Any]] = {
    "elementwise": _Kind.elementwise,
    "same": _Kind.same,
    "transposed": _Kind.transposed,
    "reshaped": _Kind.reshaped,
    "indexed": _Kind.indexed,
    "product": _Kind.product,
    "picked": _Kind.picked,
    "reduction": _Kind.reduction,
}


# -- the two parts ---------------------------------------------------------------------------------------------


class _Cut:
    """Cuts a program with known kinds of results in two."""

    def __init__(
        self,
        program: Program,
        kinds: dict[Op, Any],
        shorter: dict[tuple[Op, Op], int],
        batch: list[Op],
        rows: int,
    ) -> None:
        self.program, self.kinds, self.shorter, self.batch = program, kinds, shorter, batch
        self.rows, self.of = rows, batch[0].shape[0]
        after = [store.value for store in program.stores] + [
            op for op, is_row in zip(program.results, self.are_rows(), strict=True) if not is_row
        ]
        after += [arg for op in program.ops if kinds[op] == LATER for arg in inputs_of(op)]
        self.after = dict.fromkeys(after)  # the results needed after all blocks

    def are_rows(self) -> list[bool]:
        """For each result of the program, whether its rows are those of the batch."""
        return [self.kinds[op] == 0 and op.shape[0] == self.of for op in self.program.results]

    def blocks(self) -> Blocks | None:
        """Make the two parts, if that is possible and worth it."""
        kinds, program = self.kinds, self.program
        summed = [op for op in self.after if kinds[op] == SUM]
        is_possible = all(kinds[op] in (WHOLE, SUM, LATER) for op in self.after)
        is_possible = is_possible and not any(store.target in self.batch for store in program.stores)
        if not is_possible or not self.is_worth_it(summed):
            return None
        sums: dict[Op, Op] = {op: Input(_name(op), op.shape, op.dtype, place=op.place) for op in summed}
        cut: dict[Op, Op] = {
            op: Input(op.name, self.shape(op), op.dtype, place=op.place)
            for op in self.batch
            if isinstance(op, Input)
        }
        return Blocks(
            self.block(cut, sums), self.rest(sums), self.rows, self.of, cut, [*sums.values()], self.are_rows()
        )

    def is_worth_it(self, summed: list[Op]) -> bool:
        """Whether the batch is large, and little work is repeated for each block."""
        again = sum(op.size for op in (*self.whole_in_blocks(), *summed) if op.dtype is not None)
        batch = [op for op in (*self.batch, *self.program.ops) if isinstance(self.kinds[op], int)]
        in_a_block = sum(op.size for op in batch if not op.is_view) * self.rows // self.of
        return sum(op.nbytes for op in batch if not op.is_view) >= LEAST and again <= AGAIN * in_a_block

    def whole_in_blocks(self) -> list[Op]:
        """The operations that do not depend on the batch, but are needed in every block."""
        needed: set[Op] = set()
        for op in reversed(self.program.ops):
            if op in needed or self.kinds[op] not in (WHOLE, LATER):
                needed.update(arg for arg in inputs_of(op) if self.kinds[arg] is WHOLE)
        return [
            op for op in self.program.ops if op in needed and not isinstance(op, Constant) and not op.is_view
        ]

    def shape(self, op: Op) -> tuple[int, ...]:
        """The shape of a result in a block."""
        axis = self.kinds[op]
        return tuple(n * self.rows // self.of if i == axis else n for i, n in enumerate(op.shape))

    def shortened(self, constant: Op, axis: int) -> Op:
        assert isinstance(constant, Constant), "checked"
        n = constant.shape[axis] * self.rows // self.of
        return Constant(constant.value.take(range(n), axis), constant.place)

    def block(self, cut: dict[Op, Op], sums: dict[Op, Op]) -> Program:
        """Make the part for every block."""
        new: dict[Op, Any] = dict(cut)
        ops: list[Op] = []

        def in_block(arg: Any) -> Any:
            return new.get(arg, arg) if isinstance(arg, Op) else arg

        for op in self.program.ops:
            kind = self.kinds[op]
            if kind == LATER or (kind == WHOLE and op.instruction.has_effect):
                continue
            new[op] = made = op.with_args(in_block)
            if made is not op:
                made.shape = self.shape(op)
            for i, arg in enumerate(op.args):
                if isinstance(arg, Op) and (op, arg) in self.shorter:
                    ops.append(self.shortened(arg, self.shorter[op, arg]))
                    made.args = (*made.args[:i], ops[-1], *made.args[i + 1 :])
            if op.calls(np.reshape):
                made.args = (made.args[0], made.shape)
            ops.append(made)
        stores = []
        for op, total in sums.items():
            more = Op(instruction_of(np.add), (total, new[op]), {}, op.shape, op.dtype, op.place)
            ops.append(more)
            stores.append(Store(total, more))
        results = [
            new[op] for op, is_row in zip(self.program.results, self.are_rows(), strict=True) if is_row
        ]
        inputs = [*(in_block(op) for op in self.program.inputs), *sums.values()]
        return without_dead_code(
            replace(
                self.program,
                inputs=tuple(inputs),
                ops=tuple(ops),
                results=tuple(results),
                stores=tuple(stores),
            )
        )

    def rest(self, sums: dict[Op, Op]) -> Program:
        """Make the part that runs after all blocks."""
        results = [op for op, is_row in zip(self.program.results, self.are_rows(), strict=True) if not is_row]
        ops = [op for op in self.program.ops if self.kinds[op] in (WHOLE, LATER)]
        inputs = [op for op in self.program.inputs if op not in self.batch]
        rest = replace(self.program, inputs=tuple(inputs), ops=tuple(ops), results=tuple(results))
        rest = replaced(rest, sums)
        # A total is kept in an array; its number is returned, a new one in every call.
        numbers = {
            total: Op(instruction_of(getitem), (total, ()), {}, (), total.dtype, op.place)
            for op, total in sums.items()
            if not op.ndim and total in rest.results
        }
        return without_dead_code(
            replace(
                rest,
                ops=(*rest.ops, *numbers.values()),
                results=tuple(numbers.get(op, op) for op in rest.results),
            )
        )


def _name(op: Op) -> str:
    return "summed_gradients" if op.instruction.has_parts else "sums" if op.ndim else "total"
