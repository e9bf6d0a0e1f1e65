"""Which results share memory: each gets a buffer that is made once, or that of a result no longer needed.

:func:`plan` walks over a program once, and knows where each result is used last. An elementwise result takes the
memory of an argument that is used for the last time; others get a buffer that has become free. The parts of a
:class:`~tinygrad_mnist.compiler.trace.vectors.Vector` are computed directly at their places in the vector.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from .instructions import is_contiguous
from .program import Op, Program, inputs_of

__all__ = ["Buffer", "Plan", "base_of", "plan"]


@dataclass(eq=False)
class Buffer:
    """Memory for results of one shape and dtype: its own, or a part of another buffer."""

    shape: tuple[int, ...]
    dtype: Any
    of: Buffer | None = None
    start: int = 0
    input: Op | None = None  # the input that owns the memory
    since: int = 0  # the place of the first result in it
    until: float = -1  # the last use of anything in it
    place: int | None = None  # its offset in memory that several buffers share
    names: list[Op] = field(default_factory=list)  # the results that it holds, one after the other

    @property
    def root(self) -> Buffer:
        """The buffer that owns the memory."""
        return self if self.of is None else self.of.root

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.size * int(self.dtype.itemsize)


@dataclass
class Plan:
    """The places of the results."""

    at: dict[Op, Buffer]
    buffers: list[Buffer]
    copied: set[tuple[Op, int]]  # parts of a join that must be copied into it
    arenas: dict[Any, int]  # elements of the memory that buffers of a dtype share


def base_of(op: Op, at: Container[Op] = ()) -> Op:
    """Return the base of a view, through all views except those with their own memory."""
    while op.is_view and op not in at:
        op = op.args[0]
    return op


def last_uses(program: Program) -> dict[Op, float]:
    """The place of the last operation that uses each result, or a view of it."""
    last: dict[Op, float] = {}
    for op in (*program.results, *(store.value for store in program.stores)):
        last[op] = float(len(program.ops))
    for i in reversed(range(len(program.ops))):
        op = program.ops[i]
        until = max(i, last.get(op, i)) if op.may_be_view else i
        for arg in inputs_of(op):
            last[arg] = max(last.get(arg, -1), until)
    return last


def plan(program: Program) -> Plan:
    """Give every result a place."""
    last = last_uses(program)
    at: dict[Op, Buffer] = {}
    buffers: list[Buffer] = []
    free: list[Buffer] = []
    copied: set[tuple[Op, int]] = set()
    slots: dict[Op, Buffer] = {}
    stored = {(store.target, store.value) for store in program.stores}
    kept = {op for op in program.ops if last.get(op, -1) >= len(program.ops)}  # until the end
    for store in program.stores:
        target = store.target
        at[target] = Buffer(target.shape, target.dtype, input=target, until=last.get(target, -1))
        at[target].names.append(target)
    place = {op: i for i, op in enumerate(program.ops)}
    for join in (op for op in program.ops if op.instruction.has_parts):
        _give_slots(join, place, last, slots, copied, at, buffers)

    # Inputs stay unchanged until no operation can raise an error any more: see ``uncompiled``.
    safe = max((i for i, op in enumerate(program.ops) if op.may_raise), default=-1)
    for i, op in enumerate(program.ops):
        if op.takes_out and op not in at:
            buffer = slots.get(op) or _in_place(op, i, i > safe, at, stored, kept) or _from(free, op)
            if buffer is None:
                buffer = Buffer(op.shape, op.dtype, since=i)
                buffers.append(buffer)
            elif buffer.of is not None and buffer not in buffers:
                buffers.append(buffer)
            at[op] = buffer
            buffer.names.append(op)
            buffer.root.until = max(buffer.root.until, last.get(op, i))
        for used in {at[arg].root: None for arg in (*_bases(op), op) if arg in at}:
            if used.until <= i and used.input is None and used not in free:
                free.append(used)
    return Plan(at, buffers, copied, {})


def _give_slots(
    join: Op,
    place: dict[Op, int],
    last: dict[Op, float],
    slots: dict[Op, Buffer],
    copied: set[tuple[Op, int]],
    at: dict[Op, Buffer],
    buffers: list[Buffer],
) -> None:
    """Compute the parts of a joined vector directly at their places."""
    whole = Buffer(join.shape, join.dtype, since=place[join], until=last.get(join, place[join]))
    buffers.append(whole)
    at[join] = whole
    whole.names.append(join)
    start = 0
    for i, part in enumerate(join.args):
        root = part
        while root.is_view and root.size == root.args[0].size and is_contiguous(root):
            root = root.args[0]
        if (
            root.takes_out
            and root not in slots
            and not root.instruction.has_parts
            and root.dtype == join.dtype
        ):
            slots[root] = Buffer(root.shape, root.dtype, of=whole, start=start)
            changed = root.args[0] if root.overwrites == (0,) else root
            if (
                changed is not root
                and changed.takes_out
                and (changed.shape, changed.dtype) == (root.shape, root.dtype)
                and last.get(changed) == place[root]
            ):
                slots.setdefault(changed, slots[root])  # if a few of its elements are increased afterwards
            whole.since = min(whole.since, place[root], place.get(changed, place[root]))
        else:
            copied.add((join, i))
        start += part.size


def _bases(op: Op) -> list[Op]:
    """Return the results whose memory an operation uses."""
    found, waiting = [], list(inputs_of(op))
    while waiting:
        arg = waiting.pop()
        found.append(arg)
        if arg.may_be_view:
            waiting.extend(inputs_of(arg))
    return found


def _in_place(
    op: Op, i: int, is_safe: bool, at: dict[Op, Buffer], stored: set[tuple[Op, Op]], kept: set[Op]
) -> Buffer | None:
    """Return the memory of an argument that is not needed afterwards."""
    for arg in (op.args[i] for i in op.overwrites):
        if not isinstance(arg, Op) or arg not in at or (arg.shape, arg.dtype) != (op.shape, op.dtype):
            continue
        buffer = at[arg]
        given = buffer.root.input
        if given is not None and not is_safe:
            continue
        if given is not None and op in kept and (given, op) not in stored:
            continue  # the final store would overwrite it
        if buffer.root.until <= i and buffer.shape == op.shape:
            return buffer
    return None


def _from(free: list[Buffer], op: Op) -> Buffer | None:
    """Return a free buffer, preferably of the same shape rather than only of the same size."""
    fitting = [b for b in free if b.dtype == op.dtype and b.size == op.size]
    same = [b for b in fitting if b.shape == op.shape]
    if not fitting:
        return None
    chosen = (same or fitting)[0]
    free.remove(chosen)
    return chosen if same else Buffer(op.shape, op.dtype, of=chosen)


def first_fit(size: int, taken: Iterable[tuple[int, int]], line: int = 1) -> int:
    """Find the first gap of a given size between taken ranges; it starts at a multiple of ``line``."""
    here = 0
    for start, end in sorted(taken):
        if here + size <= start:
            break
        here = max(here, -(-end // line) * line)
    return here


# -- memory of parameters ------------------------------------------------------------------------------------

_OURS: WeakValueDictionary[int, Any] = WeakValueDictionary()


def ours(array: Any) -> Any:
    """Remember the memory of parameters: only programs and users of ``tensor.buffer`` write into it."""
    _OURS[id(_root(array))] = _root(array)
    return array


def is_ours(array: Any) -> bool:
    """Whether an array is in the memory of parameters."""
    return _OURS.get(id(_root(array))) is _root(array)


def _root(array: Any) -> Any:
    return array if array.base is None else array.base
