"""Groups of operations that run together in one loop of machine code.

For NumPy, every operation is a call, and its result an array. In machine code, a chain of elementwise operations is
one loop, and only results that other groups need become arrays. :func:`grouped` sorts the operations into
:class:`Group` s, which run one after the other: loops over one shape, with sums over its axes, and single
operations such as products. An update ``w - lr * gradient`` is split into the parts of its vector, so that a
gradient that is a product goes directly into the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..instructions import arithmetic, copy, getitem, instruction_of, join, pick, product_into
from ..program import Constant, Op, Program, Store, inputs_of, is_basic
from ..rewrite.builder import Builder, rebuilt, without_dead_code

__all__ = [
    "Group", "Groups", "NoMachineCodeError", "base_of", "grouped", "is_elementwise", "is_reordered", "is_same_order",
    "loop_shape",     "rule_of", "squeezed",
]  # fmt: skip


class NoMachineCodeError(Exception):
    """Something has no machine code; the message names it."""


@dataclass(eq=False)
class Group:
    """Operations that run together.

    Attributes
    ----------
    kind : "loop", or the rule of the only operation
    shape : the shape of the loop, without axes of length one
    ops : in the order of the program
    """

    kind: str
    shape: tuple[int, ...]
    ops: list[Op] = field(default_factory=list)


@dataclass
class Groups:
    """A program, sorted into groups.

    Attributes
    ----------
    program : the program, with the operations that the groups consist of
    groups : in the order in which they run
    direct : results that are written directly into the memory of an input, each with a view of that memory
    users : operations that use a result, or a view of it
    """

    program: Program
    groups: list[Group]
    direct: dict[Op, Op]
    users: dict[Op, list[Op]]


def rule_of(op: Op) -> str:
    """The rule for an operation in machine code: the rule of the instruction, if it fits this call, or "numpy"."""
    instruction = op.instruction
    rule = "formula" if isinstance(instruction.machine, dict) else str(instruction.machine)
    if rule == "reduction":
        fits = op.is_plain_reduction and len(op.args) == 1
    elif rule == "kernel":
        fits = True
    else:
        fits = (
            not op.settings and (rule != "formula" or _has_formula(op)) and (rule != "cast" or _is_exact(op))
        )
    return rule if op.is_view or (fits and rule not in ("", "view")) else "numpy"


def _has_formula(op: Op) -> bool:
    """Whether there is a formula for these numbers."""
    first = op.loop[0]
    return first.kind in op.instruction.machine and all(dtype == first for dtype in op.loop[:-1])


def _is_exact(op: Op) -> bool:
    """Whether the result does not depend on the processor, as for numbers that are out of range of integers."""
    return op.args[0].dtype is None or op.args[0].dtype.kind != "f" or op.dtype.kind not in "iu"


#: Rules that compute each element of a result independently.
ELEMENTWISE = ("formula", "where", "clip", "cast", "take")
#: Those that can wait until a later loop needs them.
LATE = ("formula", "where", "clip", "cast")


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Remove axes of length one."""
    return tuple(n for n in shape if n != 1)


def base_of(op: Op) -> Op:
    """Return the base of a view, through all views."""
    while op.is_view:
        op = op.args[0]
    return op


def is_same_order(view: Op) -> bool:
    """Whether the elements of a view are those of its base, in their order, with the same long axes."""
    op = view
    while op.is_view:
        x = op.args[0]
        if op.calls(np.transpose):
            is_same = len(squeezed(op.shape)) <= 1
        else:
            is_same = not op.calls(getitem) and squeezed(op.shape) == squeezed(x.shape)
        if not is_same:
            return False
        op = x
    return True


def loop_shape(op: Op) -> tuple[int, ...]:
    """Return the shape of a loop for an operation."""
    shape: tuple[int, ...] = op.args[0].shape if is_reordered(op) else op.shape
    return shape


def is_elementwise(op: Op) -> bool:
    """Whether each element of a result depends on one element of each argument."""
    return rule_of(op) in ELEMENTWISE


def is_reordered(op: Op) -> bool:
    """Whether a loop runs over an argument, rather than over the result."""
    return rule_of(op) in ("reduction", "reorder")


# -- preparing a program for loops -----------------------------------------------------------------------------


def _product(b: Builder, op: Op) -> Op | None:
    """Products without work for a BLAS: of vectors, of a column and a row, with ones."""
    if not all(isinstance(arg, Op) and 1 <= arg.ndim <= 2 for arg in op.args):
        raise NoMachineCodeError("np.dot of other than vectors and matrices")
    x, y = op.args
    if op.ndim == 2 and x.ndim == 2 and y.ndim == 2 and x.shape[1] == 1:
        return b.ufunc(np.multiply, x, y)
    if op.ndim == 0 and x.ndim == y.ndim == 1:
        return _sum(b, b.ufunc(np.multiply, x, y), op)
    if x.ndim == 1 and y.ndim == 2:
        if _is_ones(x):
            return _sum(b, y, op)
        if x.calls(np.multiply) and any(map(_is_ones, x.args)):
            factor = x.args[1] if _is_ones(x.args[0]) else x.args[0]
            if not isinstance(factor, Op) or factor.is_number or factor.ndim == 0:
                return b.ufunc(np.multiply, _sum(b, y, op), factor)
    return None


def _products_of_rows(b: Builder, op: Op) -> Op:
    """Products of vectors: machine code adds up products in one loop."""
    x, y = op.args
    settings = {"axis": (op.ndim,), "keepdims": False}
    return b.call(np.add.reduce, (b.ufunc(np.multiply, x, y),), op, settings)


def _sum(b: Builder, x: Op, like: Op) -> Op:
    return b.call(np.add.reduce, (x,), like, {"axis": (0,), "keepdims": False})


def _is_ones(arg: Any) -> bool:
    return isinstance(arg, Constant) and arg.ndim == 1 and arg.number == 1


def _element(b: Builder, op: Op) -> Op | None:
    """A single element: a view that is copied."""
    x, index = op.args
    if op.ndim or op.is_view or not is_basic(index):
        return None
    places = [i for i in (index if isinstance(index, tuple) else (index,)) if i is not Ellipsis]
    slices = tuple(slice(i, None if i == -1 else i + 1) for i in places)
    one = b.view(getitem, x, slices, (1,) * x.ndim) if slices else x
    return b.call(copy, (b.reshape(one, ()),), op)


#: Functions that change an array in place, and the factor with which the change is then subtracted.
_UPDATES = {np.subtract: None, np.add: -1}


def _with_split_updates(program: Program) -> Program:
    """Replace updates of whole vectors by updates of their parts."""
    uses: dict[Op, int] = {}
    for used in (*(arg for op in program.ops for arg in inputs_of(op)), *program.roots()):
        uses[used] = uses.get(used, 0) + 1
    ops = list(program.ops)
    stores: list[Store] = []
    for store in program.stores:
        v = store.value
        is_change = v.instruction.function in _UPDATES and v.args[0] is store.target and v.dtype.kind == "f"
        if is_change and uses[v] == 1 and isinstance(v.args[1], Op) and v.args[1].dtype == v.dtype:
            split = _Split(ops, uses, v)
            split.update(store.target, v.args[1], _UPDATES[v.instruction.function])
            stores += split.stores
        else:
            stores.append(store)
    return without_dead_code(replace(program, ops=tuple(ops), stores=tuple(stores)))


def _is_mild(number: Any) -> bool:
    """Whether the product with another number stays in range if the product with the array does."""
    return not isinstance(number, Op) and 1e-8 < abs(number) < 1e8


class _Split:
    """An update, expanded to the products in its gradient."""

    def __init__(self, ops: list[Op], uses: dict[Op, int], whole: Op) -> None:
        self.ops, self.uses, self.whole = ops, uses, whole
        self.stores: list[Store] = []

    def update(self, target: Op, change: Op, factor: Any) -> None:
        """Subtract ``factor * change`` from the memory of a view; no factor means one."""
        alone = self.uses.get(change, 1) == 1
        number = next((a for a in change.args if not isinstance(a, Op) or a.is_number), None)
        if change.instruction is join and alone and all(part.dtype == change.dtype for part in change.args):
            start = 0
            for part in change.args:
                view = self.view(getitem, target, slice(start, start + part.size), (part.size,))
                self.update(self.reshaped(view, part.shape), part, factor)
                start += part.size
        elif change.calls(np.multiply) and alone and number is not None:
            rest = next(a for a in change.args if a is not number)
            if (rest.shape, rest.dtype) != (change.shape, change.dtype) or not (
                factor is None or _is_mild(number)
            ):
                return self.elementwise(target, change, factor)
            self.update(target, rest, number if factor is None else self.times(factor, number))
        elif change.calls(np.reshape) and alone and change.is_view:
            self.update(self.reshaped(target, change.args[0].shape), change.args[0], factor)
        elif change.calls(np.dot) and alone and change.ndim == 2 and min(change.shape) > 1:
            args = target, *change.args, 1 if factor is None else factor
            made = self.add(product_into, args, change.shape, change.dtype)
            self.stores.append(Store(target, made))
        else:
            self.elementwise(target, change, factor)
        return None

    def elementwise(self, target: Op, change: Op, factor: Any) -> None:
        sign = np.add if factor == -1 else np.subtract
        if factor not in (None, -1):
            change = self.add(np.multiply, (change, factor), change.shape, change.dtype)
        self.stores.append(Store(target, self.add(sign, (target, change), change.shape, change.dtype)))

    def times(self, a: Any, b: Any) -> Any:
        return (
            self.add(arithmetic["*"], (a, b), (), None) if isinstance(a, Op) or isinstance(b, Op) else a * b
        )

    def reshaped(self, view: Op, shape: tuple[int, ...]) -> Op:
        return view if view.shape == shape else self.view(np.reshape, view, shape, shape)

    def view(self, function: Any, x: Op, argument: Any, shape: tuple[int, ...]) -> Op:
        return self.add(function, (x, argument), shape, x.dtype)

    def add(self, function: Any, args: tuple[Any, ...], shape: tuple[int, ...], dtype: Any) -> Op:
        op = Op(instruction_of(function), args, {}, shape, dtype, self.whole.place)
        self.ops.append(op)
        return op


# -- groups ----------------------------------------------------------------------------------------------------


def grouped(program: Program) -> Groups:
    """Sort the operations of a program into groups."""
    program = _with_split_updates(
        rebuilt(program, {np.dot: [_product], np.vecdot: [_products_of_rows], getitem: [_element]})
    )
    users: dict[Op, list[Op]] = {}
    for op in program.ops:
        if not op.is_view:
            for base in dict.fromkeys(base_of(arg) for arg in inputs_of(op)):
                users.setdefault(base, []).append(op)
    direct, last = _direct(program, users)
    groups = _Sorter(last)
    for op in program.ops:
        groups.place(op)
    order = {op: i for i, op in enumerate(program.ops)}
    found = Groups(program, [*groups.groups, *groups.last_groups], direct, users)
    _sink(found, order)
    for group in found.groups:
        group.ops.sort(key=order.__getitem__)
    found.groups = [group for group in found.groups if group.ops]
    return found


def _direct(program: Program, users: dict[Op, list[Op]]) -> tuple[dict[Op, Op], set[Op]]:
    """Find the results that can overwrite the memory of an input, and the operations that must then run last."""
    direct: dict[Op, Op] = {}
    last: set[Op] = set()
    results = {base_of(op) for op in program.results}
    values = [store.value for store in program.stores]
    for store in program.stores:
        v = store.value
        is_made = v.is_ufunc or v.instruction is product_into
        if not is_made or v.shape != store.target.shape or values.count(v) > 1:
            continue
        after, waiting = {v}, [v]
        while waiting:
            for user in users.get(waiting.pop(), ()):
                if user not in after:
                    after.add(user)
                    waiting.append(user)
        if all(op not in results and op.ndim and (op.is_ufunc or op is v) for op in after):
            direct[v] = store.target
            last |= after
    return direct, last


class _Sorter:
    """Puts each operation into the first group that can take it."""

    def __init__(self, last: set[Op]) -> None:
        self.groups: list[Group] = []
        self.last_groups: list[Group] = []
        self.last = last
        self.where: dict[Op, Group] = {}

    def place(self, op: Op) -> None:
        if op.is_given or op.is_number or op.is_view:
            return
        groups = self.last_groups if op in self.last else self.groups
        position = {group: i for i, group in enumerate(groups)}
        rule = rule_of(op)
        is_loop = is_elementwise(op) or is_reordered(op)
        shape = squeezed(loop_shape(op))
        first = 0
        for at, arg in enumerate(_arrays(op)):
            group = self.where.get(base_of(arg))
            if group in position:
                is_near = is_loop and group.kind == "loop" and group.shape == shape and is_same_order(arg)
                is_near = is_near and not is_reordered(base_of(arg)) and not (rule == "take" and at == 0)
                first = max(first, position[group] + (not is_near))
        fitting = (g for g in groups[first:] if is_loop and g.kind == "loop" and g.shape == shape)
        found = self.where.get(op.args[0]) if op.instruction is pick else next(fitting, None)
        if found is None:
            found = Group("loop" if is_loop else rule, shape)
            groups.append(found)
        found.ops.append(op)
        self.where[op] = found


def _arrays(op: Op) -> Iterator[Op]:
    for arg in inputs_of(op):
        if arg.dtype is not None:
            yield arg


def _sink(found: Groups, order: dict[Op, int]) -> None:
    """Compute nothing twice, but compute results of existing arrays late.

    A result with only one later loop as a user is computed in that loop, so that it need not become an array.
    """
    where = {op: group for group in found.groups for op in group.ops}
    results = {base_of(op) for op in found.program.results} | {base_of(s.value) for s in found.program.stores}
    for op in sorted(where, key=order.__getitem__, reverse=True):
        group = where[op]
        users = found.users.get(op, [])
        if group.kind != "loop" or op in results or rule_of(op) not in LATE or not op.ndim:
            continue
        later = {where[user] for user in users if user in where}
        if len(later) != 1 or group in later or any(user not in where for user in users):
            continue
        (target,) = later
        is_fitting = target.kind == "loop" and target.shape == group.shape
        if not is_fitting or not all(_takes(user, op) for user in users):
            continue
        if all(_is_there(base_of(arg), group, where, found.users, results) for arg in _arrays(op)):
            group.ops.remove(op)
            target.ops.append(op)
            where[op] = target


def _takes(user: Op, op: Op) -> bool:
    """Whether an operation uses a result elementwise."""
    args = [arg for arg in _arrays(user) if base_of(arg) is op]
    return all(map(is_same_order, args)) and not (rule_of(user) == "take" and base_of(user.args[0]) is op)


def _is_there(
    base: Op, group: Group, where: dict[Op, Group], users: dict[Op, list[Op]], results: set[Op]
) -> bool:
    """Whether a result becomes an array in any case."""
    made = where.get(base)
    if made is None or made.kind != "loop" or base in results or not base.ndim or is_reordered(base):
        return True
    return any(where.get(user, made) is not made for user in users.get(base, ()) if user in where)
