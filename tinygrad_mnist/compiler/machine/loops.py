"""One loop, or several nested ones, for a group of elementwise operations and reductions.

Every read and computation is written in the innermost loop on which it depends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Constant, Op
from .addresses import Address, Addresses
from .formulas import combined, converted, dtype_of, dtypes_of, first_value, formula, total_dtype
from .groups import (
    Group,
    Groups,
    NoMachineCodeError,
    base_of,
    is_reordered,
    is_same_order,
    loop_shape,
    rule_of,
)
from .nests import Nest, contiguous, level_of, merged, rows_of_tile
from .pieces import Pieces

__all__ = ["Loop", "outer_update"]


class Loop:
    """One group's loops."""

    def __init__(self, writer: Pieces, group: Group, turn: int) -> None:
        self.writer, self.group, self.turn = writer, group, turn
        self.inside = {op for op in group.ops if not is_reordered(op)}
        self.places: list[Address] = []
        self.raw: list[list[int]] = []  # steps along the axes of the group, before they are sorted
        self.reads: dict[Op, int] = {}
        self.writes: dict[Op, int] = {}
        self.values: dict[Op, tuple[str, int]] = {}
        self.loaded: dict[tuple[int, Any], tuple[str, int]] = {}

    def write(self) -> None:
        """Determine the reads and writes, then write the loops."""
        for op in self.group.ops:
            self.collect(op)
        lengths, self.steps = merged(list(self.group.shape), self.raw)
        first: list[str] = []
        last: list[str] = []
        if rows := rows_of_tile(lengths, self.steps):
            lengths = self.tile(lengths, rows, first, last)
        self.depth = len(lengths)
        self.nest = Nest(lengths)
        for op in self.group.ops:
            if rule_of(op) == "reduction":
                self.reduction(op, first)
            else:
                self.element(op)
        self.writer.lines += [*first, *self.nest.lines(), *last]

    def tile(self, lengths: list[int], rows: int, first: list[str], last: list[str]) -> list[int]:
        """Combine several rows into one, so that the innermost loop is long; repeat values that are equal in each."""
        n, m = lengths
        for i, (place, steps) in enumerate(zip(self.places, self.steps, strict=True)):
            if steps != [0, 1]:
                self.steps[i] = [rows * m, 1] if steps[0] else steps
                continue
            op = next(op for op, at in (*self.reads.items(), *self.writes.items()) if at == i)
            dtype = base_of(op).dtype
            self.places[i] = repeated = self.writer.places.scratch(self.turn, dtype, rows * m)
            value, nest = self.writer.peek(repeated, [m, 1]), Nest([rows, m])
            if i in self.writes.values():
                total = self.writer.name("t")
                nest.before[-1].append(f"{total} = {self.writer.peek(place, [0, 1])}")
                nest.before[-1].append(self.writer.poke(place, [0, 1], combined(op, total, value, dtype)))
                clear = Nest([m])
                clear.before[-1].append(self.writer.poke(place, [1], first_value(op, dtype)))
                last += [*clear.lines(), *nest.lines()]
            else:
                nest.before[-1].append(self.writer.poke(repeated, [m, 1], self.writer.peek(place, [0, 1])))
                first += nest.lines()
        self.steps = [steps if n > rows else steps[1:] for steps in self.steps]
        return [n // rows, rows * m] if n > rows else [rows * m]

    def collect(self, op: Op) -> None:
        """Determine what an operation reads from memory, and whether it writes."""
        shape, rule = loop_shape(op), rule_of(op)
        for at, arg in enumerate(op.args):
            is_read = isinstance(arg, Op) and not self.is_inside(arg) and arg not in self.reads
            if is_read and self.writer.constant(arg) is None and not (rule == "take" and at == 0):
                place = self.writer.places.of(arg)
                self.reads[arg] = self.add(place, _spread(place, shape))
        if op in self.writer.found.direct or op in self.writer.places.stored:
            place = self.writer.places.of(op)
            if rule == "reorder":
                place = Address(place.array, place.start, shape, contiguous(shape))
            steps = _reduced(op, place, shape) if rule == "reduction" else _spread(place, shape)
            self.writes[op] = self.add(place, steps)

    def is_inside(self, arg: Op) -> bool:
        """Whether an argument is computed in this loop, just before it is used."""
        base = base_of(arg)
        return base in self.inside and base in self.group.ops and is_same_order(arg)

    def add(self, place: Address, steps: list[int]) -> int:
        """Register an array, and return its number."""
        self.places.append(place)
        self.raw.append(steps)
        return len(self.places) - 1

    def value(self, arg: Any, dtype: Any) -> tuple[str, int]:
        """Return an argument in a dtype, and the level at which it is known."""
        text = self.writer.constant(arg, dtype)
        if text is not None:
            return text, 0
        if self.is_inside(arg):
            base = base_of(arg)
            text, level = self.values[base]
            return converted(converted(text, base.dtype, arg.dtype), arg.dtype, dtype), level
        i, known = self.reads[arg], dtype_of(arg)
        key = i, known
        if key not in self.loaded:
            level = level_of(self.steps[i])
            name = self.writer.name("x")
            read = converted(self.writer.peek(self.places[i], self.steps[i]), dtype_of(base_of(arg)), known)
            self.nest.before[level].append(f"{name} = {read}")
            self.loaded[key] = name, level
        name, level = self.loaded[key]
        return converted(name, known, dtype), level

    def element(self, op: Op) -> None:
        """Write an operation whose result depends on one element of each argument."""
        if rule_of(op) == "take":
            text, level = self.taken(op)
        else:
            args = op.args[:1] if rule_of(op) in ("cast", "reorder") else op.args
            given = [arg for arg in args if arg is not None]
            pairs = [self.value(arg, dtype) for arg, dtype in zip(given, dtypes_of(op), strict=True)]
            text = formula(op, [t for t, _ in pairs])
            level = max((at for _, at in pairs), default=0)
        name = self.writer.name("v")
        self.nest.before[level].append(f"{name} = {text}")
        self.values[op] = name, level
        if op in self.writes:
            i = self.writes[op]
            # This is written last: the place may belong to an argument that others also read, in another shape.
            self.nest.after[-1].append(self.writer.poke(self.places[i], self.steps[i], name))

    def taken(self, op: Op) -> tuple[str, int]:
        """Write the read of one element by its index; indices beyond the last mean the last."""
        x = self.writer.places.of(op.args[0])
        if not x.is_contiguous:
            raise NoMachineCodeError("take_flat of a strided array")
        at, level = self.value(op.args[1], np.int64)
        size = op.args[0].size
        return self.writer.peek(x, f"min(max({at}, 0), {size - 1})"), level

    def reduction(self, op: Op, first: list[str]) -> None:
        """Write a reduction: into a variable if its axes are the innermost, otherwise into memory."""
        i = self.writes[op]
        place, steps = self.places[i], self.steps[i]
        total = self.writer.name("t")
        outer = level_of(steps)
        if all(steps[:outer]):
            dtype = total_dtype(op)
            value, _ = self.value(op.args[0], dtype)
            self.nest.before[outer].append(f"{total} = {first_value(op, dtype)}")
            self.nest.before[-1].append(f"{total} = {combined(op, total, value, dtype)}")
            self.nest.after[outer].append(self.writer.poke(place, steps, converted(total, dtype, op.dtype)))
            return
        value, _ = self.value(op.args[0], op.dtype)
        flat = Nest([place.shape[0] if len(place.shape) == 1 else op.size])
        flat.before[-1].append(self.writer.poke(place, [1], first_value(op, op.dtype)))
        first += flat.lines()
        self.nest.before[-1] += [
            f"{total} = {self.writer.peek(place, steps)}",
            self.writer.poke(place, steps, combined(op, total, value, op.dtype)),
        ]


def outer_update(found: Groups, places: Addresses, group: Group) -> tuple[Address, Op, Op] | None:
    """Recognise a group ``w - column * row`` that overwrites ``w``: return the place of ``w``, column and row."""
    if [op.instruction.function for op in group.ops] != [np.multiply, np.subtract]:
        return None
    outer, change = group.ops
    is_update = change in found.direct and change.args[1] is outer and change.dtype.kind == "f"
    if not is_update or change.ndim != 2 or min(change.shape) < 2 or outer.shape != change.shape:
        return None
    target = places.of(change)
    arrays = [arg for arg in outer.args if isinstance(arg, Op) and arg.ndim and arg.dtype == change.dtype]
    shapes = [(1,) * (2 - arg.ndim) + arg.shape for arg in arrays]
    n, m = change.shape
    if (
        sorted(shapes) != sorted([(n, 1), (1, m)])
        or target.steps != (m, 1)
        or places.of(change.args[0]) != target
    ):
        return None
    column, row = (arrays[shapes.index(shape)] for shape in ((n, 1), (1, m)))
    if any(base_of(arg).dtype != change.dtype or isinstance(base_of(arg), Constant) for arg in arrays):
        return None
    if places.of(row).steps[-1] != 1:
        return None
    return target, column, row


def _spread(place: Address, shape: tuple[int, ...]) -> list[int]:
    """Steps along the long axes of a shape to which an array is broadcast."""
    missing = len(shape) - len(place.shape)
    steps = [0] * missing + [0 if n == 1 else s for n, s in zip(place.shape, place.steps, strict=True)]
    return [s for s, n in zip(steps, shape, strict=True) if n != 1]


def _reduced(op: Op, place: Address, shape: tuple[int, ...]) -> list[int]:
    """Steps of a reduction's result along the axes of its argument."""
    axes = op.settings.get("axis", 0)
    axes = tuple(range(len(shape))) if axes is None else (axes,) if isinstance(axes, int) else axes
    kept = [axis for axis in range(len(shape)) if axis not in {a % len(shape) for a in axes}]
    lengths = tuple(shape[axis] for axis in kept)
    steps = dict(zip(kept, contiguous(lengths), strict=True))
    if not place.is_contiguous:
        raise NoMachineCodeError(f"{op.instruction.name} into a strided array")
    return [steps.get(axis, 0) for axis, n in enumerate(shape) if n != 1]
