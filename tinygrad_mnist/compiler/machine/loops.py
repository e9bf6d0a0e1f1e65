"""One loop, or several within each other, for a group of elementwise operations and reductions.

What is read or computed belongs to the innermost loop on which it depends, and is written there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import Op
from .addresses import Place
from .formulas import combined, first_value, formula, type_of
from .groups import REDUCTIONS, Group, NoMachineCodeError, base_of, is_same_order
from .nests import Nest, contiguous, index, level_of, merged, rows_of_tile

if TYPE_CHECKING:
    from .text import Writer

__all__ = ["Loop"]


class Loop:
    """One group's loops."""

    def __init__(self, writer: Writer, group: Group, number: int) -> None:
        self.writer, self.group, self.number = writer, group, number
        self.inside = {op for op in group.ops if op.function not in (*REDUCTIONS, "np.reshape")}
        self.places: list[Place] = []
        self.raw: list[list[int]] = []  # steps along the axes of the group, before they are sorted
        self.reads: dict[Op, int] = {}
        self.writes: dict[Op, int] = {}
        self.values: dict[Op, tuple[str, int]] = {}
        self.loaded: dict[tuple[int, Any], tuple[str, int]] = {}

    def write(self) -> None:
        """Find out what is read and written, then write the loops."""
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
            if op.function in REDUCTIONS:
                self.reduction(op, first)
            else:
                self.element(op)
        self.skip_zeros()
        self.writer.lines += [*first, *self.nest.lines(), *last]

    def tile(self, lengths: list[int], rows: int, first: list[str], last: list[str]) -> list[int]:
        """Take several rows for one, so that the innermost loop is long: what is the same in each is repeated."""
        n, m = lengths
        for i, (place, steps) in enumerate(zip(self.places, self.steps, strict=True)):
            if steps[0]:
                self.steps[i] = [rows * m, 1]
                continue
            op = next(op for op, at in (*self.reads.items(), *self.writes.items()) if at == i)
            dtype = base_of(op).dtype
            memory, start = self.writer.places.scratch(self.number, dtype, rows * m)
            self.places[i] = Place(memory, start, (rows * m,), (1,))
            whole, repeated = index(place.start, [0, 1]), index(start, [m, 1])
            nest = Nest([rows, m])
            if i in self.writes.values():
                value = f"peek({memory}, {repeated})"
                total = self.writer.name("t")
                nest.before[-1].append(f"{total} = peek({place.array}, {whole})")
                nest.before[-1].append(f"poke({place.array}, {whole}, {combined(op, total, value)})")
                clear = Nest([m])
                clear.before[-1].append(f"poke({place.array}, {index(place.start, [1])}, {first_value(op)})")
                last += [*clear.lines(), *nest.lines()]
            else:
                nest.before[-1].append(f"poke({memory}, {repeated}, peek({place.array}, {whole}))")
                first += nest.lines()
        self.steps = [steps if n > rows else steps[1:] for steps in self.steps]
        return [n // rows, rows * m] if n > rows else [rows * m]

    def collect(self, op: Op) -> None:
        """Find out what an operation reads from memory, and whether it writes."""
        shape = op.args[0].shape if op.function in (*REDUCTIONS, "np.reshape") else op.shape
        for at, arg in enumerate(op.args):
            if (
                not isinstance(arg, Op)
                or self.is_inside(arg)
                or self.writer.scalar(arg, arg.dtype) is not None
            ):
                continue
            if op.function == "take_flat" and at == 0:
                continue
            if arg not in self.reads:
                place = self.writer.places.of(arg)
                view = _spread(place, shape)
                self.reads[arg] = self.add(place, view)
        if op.function in REDUCTIONS:
            if op.ndim:
                place = self.writer.places.of(op)
                self.writes[op] = self.add(place, _reduced(op, place, shape))
            else:
                self.writes[op] = self.add(Place("", 0, (), ()), [0] * len(self.group.shape))
        elif op.ndim and (op in self.writer.found.direct or op in self.writer.places.stored):
            place = self.writer.places.of(op)
            if op.function == "np.reshape":
                place = Place(place.array, place.start, shape, contiguous(shape))
            self.writes[op] = self.add(place, _spread(place, shape))

    def is_inside(self, arg: Op) -> bool:
        """Whether an argument is computed in this loop, just before it is used."""
        base = base_of(arg)
        return base in self.inside and base in self.group.ops and is_same_order(arg)

    def add(self, place: Place, steps: list[int]) -> int:
        """Take note of an array, and return its number."""
        self.places.append(place)
        self.raw.append(steps)
        return len(self.places) - 1

    def value(self, arg: Any, dtype: Any) -> tuple[str, int]:
        """An argument in a dtype, and the level at which it is known."""
        if arg is None:
            raise NoMachineCodeError("an argument None")
        text = self.writer.scalar(arg, dtype)
        if text is not None:
            return text, 0
        if self.is_inside(arg):
            base = base_of(arg)
            text, level = self.values[base]
            return self.writer.cast(text, base.dtype, dtype), level
        i = self.reads[arg]
        key = i, np.dtype(arg.dtype)
        if key not in self.loaded:
            level = level_of(self.steps[i])
            name = self.writer.name("x")
            place = self.places[i]
            read = self.writer.cast(
                f"peek({place.array}, {index(place.start, self.steps[i])})", base_of(arg).dtype, arg.dtype
            )
            self.nest.before[level].append(f"{name} = {read}")
            self.loaded[key] = name, level
        name, level = self.loaded[key]
        return self.writer.cast(name, arg.dtype, dtype), level

    def element(self, op: Op) -> None:
        """Write an elementwise operation."""
        if op.function == "take_flat":
            text, level = self.taken(op)
        else:
            like = _like(op)
            dtypes = [like] * len(op.args)
            if op.function == "np.where":
                dtypes = [np.dtype(bool), op.dtype, op.dtype]
            elif op.function in ("astype", "copy", "np.reshape"):
                dtypes = [op.args[0].dtype]
            count = 1 if op.function in ("astype", "np.reshape", "copy") else len(op.args)
            pairs = [self.value(arg, dtype) for arg, dtype in zip(op.args[:count], dtypes, strict=False)]
            text = formula(op, [t for t, _ in pairs], like)
            if np.dtype(op.dtype) != like and op.function not in ("np.where", "astype") and op.dtype != bool:
                text = f"{type_of(op.dtype)}({text})"
            level = max((at for _, at in pairs), default=0)
        name = self.writer.name("v" if op.ndim else "s")
        self.nest.before[level].append(f"{name} = {text}")
        self.values[op] = name, level
        if not op.ndim:
            self.writer.scalars[op] = name
        elif op in self.writes:
            i = self.writes[op]
            place = self.places[i]
            self.nest.before[-1].append(f"poke({place.array}, {index(place.start, self.steps[i])}, {name})")

    def taken(self, op: Op) -> tuple[str, int]:
        """Write the reading of one element by its number; beyond the last is the last."""
        x = self.writer.places.of(op.args[0])
        if not x.is_contiguous:
            raise NoMachineCodeError("take_flat of a strided array")
        at, level = self.value(op.args[1], np.int64)
        size = op.args[0].size
        return f"peek({x.array}, {x.start} + min(max({at}, 0), {size - 1}))", level

    def reduction(self, op: Op, first: list[str]) -> None:
        """Write a reduction: into a variable if its axes are the innermost, else into memory."""
        (value, _), i = self.value(op.args[0], op.dtype), self.writes[op]
        place, steps = self.places[i], self.steps[i]
        outer = level_of(steps)
        if all(steps[:outer]):
            total = self.writer.name("s" if not op.ndim else "t")
            self.nest.before[outer].append(f"{total} = {first_value(op)}")
            self.nest.before[-1].append(f"{total} = {combined(op, total, value)}")
            if op.ndim:
                self.nest.after[outer].append(f"poke({place.array}, {index(place.start, steps)}, {total})")
            else:
                self.writer.scalars[op] = total
            return
        flat = Nest([place.shape[0] if len(place.shape) == 1 else op.size])
        flat.before[-1].append(f"poke({place.array}, {index(place.start, [1])}, {first_value(op)})")
        first += flat.lines()
        at = index(place.start, steps)
        total = self.writer.name("t")
        self.nest.before[-1] += [
            f"{total} = peek({place.array}, {at})",
            f"poke({place.array}, {at}, {combined(op, total, value)})",
        ]

    def skip_zeros(self) -> None:
        """Leave out rows of ``w - column * row`` that meet a zero in the column: they stay as they are."""
        ops = self.group.ops
        if self.depth != 2 or [op.function for op in ops] != ["np.multiply", "np.subtract"]:
            return
        outer, change = ops
        if (
            change not in self.writer.found.direct
            or self.values[outer][1] != 2
            or change.args[1] is not outer
        ):
            return
        if self.writer.places.of(change.args[0]) != self.writer.places.of(change):
            return
        known = [self.value(arg, outer.dtype) for arg in outer.args]
        column = [text for text, level in known if level == 1]
        if len(column) == 1:
            self.nest.guard = f"{column[0]} != 0"


def _like(op: Op) -> Any:
    """The dtype in which an operation computes."""
    dtypes = [arg.dtype for arg in op.args if isinstance(arg, Op) and arg.dtype is not None]
    like = np.result_type(*dtypes) if dtypes else np.dtype(op.dtype)
    return np.dtype(op.dtype) if op.function in ("np.divide", "np.true_divide") else like


def _spread(place: Place, shape: tuple[int, ...]) -> list[int]:
    """Steps along the long axes of a shape to which an array is broadcast."""
    missing = len(shape) - len(place.shape)
    steps = [0] * missing + [0 if n == 1 else s for n, s in zip(place.shape, place.steps, strict=True)]
    return [s for s, n in zip(steps, shape, strict=True) if n != 1]


def _reduced(op: Op, place: Place, shape: tuple[int, ...]) -> list[int]:
    """Steps of a reduction's result along the axes of its argument."""
    axes = op.settings["axis"]
    axes = tuple(range(len(shape))) if axes is None else (axes,) if isinstance(axes, int) else axes
    kept = [axis for axis in range(len(shape)) if axis not in {a % len(shape) for a in axes}]
    lengths = tuple(shape[axis] for axis in kept)
    steps = dict(zip(kept, contiguous(lengths), strict=True))
    if not place.is_contiguous:
        raise NoMachineCodeError(f"{op.function} into a strided array")
    return [steps.get(axis, 0) for axis, n in enumerate(shape) if n != 1]
