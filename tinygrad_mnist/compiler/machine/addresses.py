"""The memory of a fused program's arrays: one long array for each dtype, and views of the inputs.

A result that is no longer needed makes room for another. The layout of a view is found by taking the view of an
array that is never filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..memory import first_fit
from ..program import Op, inputs_of
from .groups import Groups, NoMachineCodeError, base_of, is_elementwise, is_same_order, rule_of, squeezed

__all__ = ["Address", "Addresses"]

#: Results start at multiples of this many bytes: a line of the processor's cache.
LINE = 64


@dataclass(frozen=True)
class Address:
    """The place of an array: the array of the text, the first element, and the steps."""

    array: str
    start: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements are contiguous and in order."""
        size = 1
        for n, step in zip(reversed(self.shape), reversed(self.steps), strict=True):
            if n != 1 and step != size:
                return False
            size *= n
        return True

    def overlaps(self, other: Address) -> bool:
        """Whether two arrays may share an element."""
        if self.array != other.array:
            return False
        (first, last), (low, high) = self._ends(), other._ends()
        return first <= high and low <= last

    def _ends(self) -> tuple[int, int]:
        reach = [(n - 1) * step for n, step in zip(self.shape, self.steps, strict=True)]
        return self.start + sum(r for r in reach if r < 0), self.start + sum(r for r in reach if r > 0)


@dataclass
class _Slot:
    start: int  # in elements
    size: int
    until: float


class Addresses:
    """The addresses of all results that become arrays, of numbers, and of inputs."""

    def __init__(self, found: Groups, given: dict[Op, tuple[str, np.ndarray]]) -> None:
        self.found = found
        self.given = given
        self.sizes: dict[str, int] = {}  # elements of the long arrays, by dtype
        self.stored: dict[Op, tuple[str, int]] = {}  # the long array, and the first element
        self.numbers: list[Op] = []  # Python numbers that are needed in memory
        self._slots: dict[str, list[_Slot]] = {}
        self._held: dict[Op, _Slot] = {}
        self._where = {op: i for i, group in enumerate(found.groups) for op in group.ops}
        self.kept = {base_of(op) for op in found.program.results}
        self.kept |= {base_of(s.value) for s in found.program.stores if s.value not in found.direct}
        self._joins = [op for group in found.groups if group.kind == "join" for op in group.ops]
        self._parts = self._parts_of_joins()
        for i, group in enumerate(found.groups):
            for op in group.ops:
                if self.needs_memory(op):
                    self._give(op, i)

    def needs_memory(self, op: Op) -> bool:
        """Whether a result becomes a separate array."""
        if op in self.found.direct or op.dtype is None or op in self.stored:
            return False
        group = self.found.groups[self._where[op]]
        if group.kind != "loop" or op in self.kept:
            return True
        return any(self._where.get(user) != self._where[op] for user in self.found.users.get(op, ()))

    def is_there(self, op: Op, i: int) -> bool:
        """Whether an array is in memory when a group starts."""
        base = base_of(op)
        return base in self.given or (base in self.stored and self._where[base] < i)

    def of(self, op: Op) -> Address:
        """Find the address of an array, or of a view of one; a Python number is in memory, too."""
        if op.is_number:
            return self._number(op)
        base = base_of(op)
        if base in self.found.direct:
            if op is not base:
                raise NoMachineCodeError("a view of an updated parameter")
            return self.of(self.found.direct[base])
        if base in self.given:
            name, array = self.given[base]
            start = 0
        else:
            name, start = self.stored[base]
            array = np.empty(base.shape, base.dtype)
        view = _taken(op, array)
        size = view.itemsize
        offset = view.__array_interface__["data"][0] - array.__array_interface__["data"][0]
        if offset % size or any(
            step % size for n, step in zip(view.shape, view.strides, strict=True) if n != 1
        ):
            raise NoMachineCodeError("an array whose elements are not aligned")
        return Address(name, start + offset // size, view.shape, tuple(step // size for step in view.strides))

    def _number(self, op: Op) -> Address:
        if op not in self.stored:
            place = self.lasting(np.float64)
            self.stored[op] = place.array, place.start
            self.numbers.append(op)
        return Address(*self.stored[op], (), ())

    def lasting(self, dtype: Any) -> Address:
        """Allocate a number that nothing else overwrites."""
        slot = self._free_slot(np.dtype(dtype), 1, -1, float("inf"))
        return Address(self._memory(dtype), slot.start, (), ())

    @staticmethod
    def _memory(dtype: Any) -> str:
        return f"memory_{np.dtype(dtype).name}"

    def scratch(self, i: int, dtype: Any, size: int) -> Address:
        """Allocate a vector for the duration of one group."""
        slot = self._free_slot(np.dtype(dtype), size, i, i)
        return Address(self._memory(dtype), slot.start, (size,), (1,))

    def _give(self, op: Op, i: int) -> None:
        name = self._memory(op.dtype)
        if op in self._parts:
            join, start = self._parts[op]
            if join not in self.stored:
                self._give(join, i)
            self.stored[op] = name, self.stored[join][1] + start
            return
        until = self._until(op)
        slot = self._inherited(op, i)
        if slot is None:
            slot = self._free_slot(np.dtype(op.dtype), op.size, i, until)
        slot.until = until
        self._held[op] = slot
        self.stored[op] = name, slot.start

    def _until(self, op: Op) -> float:
        if op in self.kept:
            return float("inf")
        ends = [self._where[user] for user in self.found.users.get(op, ()) if user in self._where]
        # A joined vector must stay as long as one of the parts in it is needed.
        parts = [self._until(part) for part, (join, _) in self._parts.items() if join is op]
        return max([self._where[op], *ends, *parts])

    def _inherited(self, op: Op, i: int) -> _Slot | None:
        """The memory of an argument that is read for the last time, elementwise, while the result is computed."""
        group = self.found.groups[i]
        is_scatter = rule_of(op) == "scatter"
        if not is_scatter and not (group.kind == "loop" and is_elementwise(op)):
            return None
        for arg in op.args[:1] if is_scatter else op.args:
            if not isinstance(arg, Op) or arg.dtype != op.dtype or arg.shape != op.shape:
                continue
            base = base_of(arg)
            slot = self._held.get(base)
            if slot is None or slot.until != i or slot.size != op.size or not is_same_order(arg):
                continue
            readers = [user for user in self.found.users[base] if self._where.get(user) == i]
            if all(self._reads_in_order(user, base, group.shape) for user in readers):
                del self._held[base]
                return slot
        return None

    @staticmethod
    def _reads_in_order(user: Op, base: Op, shape: tuple[int, ...]) -> bool:
        looks = [arg for arg in inputs_of(user) if base_of(arg) is base]
        rule = rule_of(user)
        if rule == "take" and base_of(user.args[0]) is base:
            return False
        if rule == "scatter":
            return all(arg is user.args[0] for arg in looks)
        return all(is_same_order(arg) and squeezed(arg.shape) == shape for arg in looks)

    def _free_slot(self, dtype: np.dtype, size: int, i: int, until: float) -> _Slot:
        slots = self._slots.setdefault(dtype.name, [])
        taken = [(slot.start, slot.start + slot.size) for slot in slots if slot.until >= i]
        start = first_fit(size, taken, max(1, LINE // dtype.itemsize))
        slot = _Slot(start, size, until)
        slots.append(slot)
        self.sizes[dtype.name] = max(self.sizes.get(dtype.name, 0), start + size)
        return slot

    def _parts_of_joins(self) -> dict[Op, tuple[Op, int]]:
        """Results that can be computed directly at their places in a joined vector."""
        found: dict[Op, tuple[Op, int]] = {}
        for join in self._joins:
            start = 0
            for part in join.args:
                base = part
                while base.calls(np.reshape) and base.is_view:
                    base = base.args[0]
                is_own = base in self._where and base not in found and base not in self.found.direct
                if is_own and base.instruction is not join.instruction and base.dtype == join.dtype:
                    found[base] = join, start
                start += part.size
        return found


def _taken(op: Op, array: np.ndarray) -> np.ndarray:
    """Take the views that lead to an Op."""
    if not op.is_view:
        return array
    x = _taken(op.args[0], array)
    view: np.ndarray = op.instruction.function(x, *op.args[1:], **op.settings)
    if not np.may_share_memory(view, array) or not isinstance(view, np.ndarray):
        raise NoMachineCodeError("a view that has to be copied")
    if view.dtype != x.dtype and not _is_same_number(x.dtype, view.dtype):
        raise NoMachineCodeError(f"{x.dtype} read as {view.dtype}")
    return view


def _is_same_number(old: np.dtype, new: np.dtype) -> bool:
    """Whether a number has the same bits in another dtype, directly or after conversion."""
    return old.itemsize == new.itemsize and old.kind in "biu" and new.kind in "iu"
