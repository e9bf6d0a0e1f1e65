"""The text of a fused program, group by group: products, copies and (with ``loops``) loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..instructions import product_into
from ..memory import is_ours
from ..program import Input, Op, inputs_of
from .addresses import Address, Addresses
from .calls import Call, call_of
from .formulas import number
from .groups import Group, Groups, NoMachineCodeError, base_of, is_same_order, rule_of
from .kernels import write_kernel
from .loops import Loop, outer_update
from .nests import Nest, contiguous, merged
from .pieces import Pieces

__all__ = ["Writer", "expression"]


#: For rows up to this length, each product of a row and a matrix is compiled separately; others share one.
SHORT = 16


class Writer(Pieces):
    """Writes the groups one after the other."""

    def __init__(self, found: Groups, places: Addresses) -> None:
        super().__init__(found, places)
        updates = (outer_update(found, places, group) for group in found.groups)
        self.calls: list[Call] = []
        self.updated = {update[0] for update in updates if update is not None}

    # -- groups ------------------------------------------------------------------------------------------

    def write(self, group: Group, i: int) -> None:
        """Write a group: in machine code if there is some, or as a call of NumPy."""
        self.begin()
        if group.kind != "numpy":
            try:
                return self.compute(group, i)
            except NoMachineCodeError:
                self.pieces.pop()
                self.begin()
        call = call_of(self, group, i)
        self.lines += [f"if call_numpy({len(self.calls)}):", "    raise StoppedError"]
        self.calls.append(call)
        return None

    def compute(self, group: Group, i: int) -> None:
        """Write a group in machine code."""
        if group.kind == "loop":
            update = outer_update(self.found, self.places, group)
            if update is None:
                Loop(self, group, i).write()
            else:
                self.update_rows(*update, i)
            return
        (op,) = group.ops
        if group.kind in ("product", "update"):
            self.product(op, i)
        elif group.kind == "scatter":
            self.scatter(op)
        elif group.kind == "kernel":
            write_kernel(self, op, i)
        elif group.kind == "join":
            self.join(op)
        else:
            self.lines += [f"if {self.whole(op.args[0], bool)}:", f"    raise ValueError({op.args[1]!r})"]

    def copy(self, source: Op, target: Address) -> None:
        """Copy an array elementwise."""
        one = self.constant(source, source.dtype)
        steps = [list(target.steps)]
        place = None if one is not None else self.places.of(source)
        if place is not None:
            if place == target:
                return
            steps.append(list(place.steps))
        lengths, steps = merged(list(target.shape), steps)
        nest = Nest(lengths)
        if place is not None:
            one = self.read(source, place, steps[1], source.dtype)
        nest.before[-1].append(self.poke(target, steps[0], str(one)))
        self.lines += nest.lines()

    def join(self, op: Op) -> None:
        """Copy the parts of a vector that were not computed at their places."""
        whole = self.places.of(op)
        start = whole.start
        for part in op.args:
            if part.dtype != op.dtype:
                raise NoMachineCodeError(f"a vector of {part.dtype} and {op.dtype}")
            self.copy(part, Address(whole.array, start, part.shape, contiguous(part.shape)))
            start += part.size

    def scatter(self, op: Op) -> None:
        """Add to single elements; indices beyond the last mean the last, as for reads."""
        x, at, value = op.args
        target = self.places.of(op)
        if not target.is_contiguous or x.dtype != op.dtype or at.ndim > 1:
            raise NoMachineCodeError(f"{op.instruction.name} of a strided array")
        self.copy(x, target)
        nest = Nest([at.size])
        where = self.name("w")
        nest.before[-1] += [
            f"{where} = {self.element(at, np.int64)}",
            f"{where} = min(max({where} if {where} >= 0 else {where} + {op.size}, 0), {op.size - 1})",
            self.poke(target, where, f"{self.peek(target, where)} + {self.element(value, op.dtype)}"),
        ]
        self.lines += nest.lines()

    # -- products ----------------------------------------------------------------------------------------

    def product(self, op: Op, i: int) -> None:
        """Write a product: of matrices by the BLAS, and of a vector and a matrix as a loop."""
        is_update = op.instruction is product_into
        matrices = op.args[1:3] if is_update else op.args
        if op.dtype not in (np.float32, np.float64) or any(base_of(m).dtype != op.dtype for m in matrices):
            raise NoMachineCodeError(f"{op.instruction.name} of {', '.join(str(m.dtype) for m in matrices)}")
        a, b = map(self.places.of, matrices)
        target = self.places.of(op)
        if not is_update and (len(a.shape) == 1 or a.shape[0] == 1):
            self.row_times(op, a, a.steps[-1], b, target, i)
        elif not is_update and (len(b.shape) == 1 or b.shape[1] == 1):
            turned = Address(a.array, a.start, a.shape[::-1], a.steps[::-1])
            self.row_times(op, b, b.steps[0], turned, target, i)
        else:
            self.gemm(op, a, b, target)

    def row_times(self, op: Op, x: Address, step: int, w: Address, target: Address, i: int) -> None:
        """Multiply a vector by a matrix.

        Rows of the matrix that are multiplied by zero, and columns whose sum is multiplied by zero afterwards, need not
        be read if the matrix is known to be finite: if it is a parameter that this program changes, a bound of its
        elements is kept from call to call.
        """
        rows, columns = w.shape if len(w.shape) == 2 else (w.shape[0], 1)
        down, across = w.steps if len(w.steps) == 2 else (w.steps[0], 1)
        if columns == 1:
            across = 1
        if not target.is_contiguous:
            raise NoMachineCodeError(f"{op.instruction.name} into a strided array")
        row, matrix, out = self.part(x, rows), self.part(w, rows * columns), self.part(target, columns)
        zero = number(0, op.dtype)
        most = float(np.finfo(op.dtype).max) / 1e3
        if across == 1 and columns > 1:
            found = self.part(self.places.scratch(i, np.int64, rows), rows)
            bound = self.bound_of(w)
            is_finite = f"{self.peek(bound)} < {most!r}" if bound is not None else "False"
            self.lines.append(
                f"row_times({row}, {step}, {matrix}, int64({rows}), {_length(columns)}, int64({down}), {zero}, {out}, "
                f"{found}, bool({is_finite}))"
            )
        elif down == 1 or rows == 1 or columns == 1:
            if columns == 1 and down != 1 and rows > 1:
                raise NoMachineCodeError(f"{op.instruction.name} of a strided vector")
            sizes = f"{row}, {step}, {matrix}, int64({rows})"
            turned = Address(w.array, w.start, w.shape[::-1], w.steps[::-1])
            bound, mask = self.bound_of(turned), self.mask_of(op, i)
            if bound is None or mask is None:
                self.lines.append(f"row_dot({sizes}, int64({columns}), int64({across}), {zero}, {out})")
                return
            found = self.part(self.places.scratch(i, np.int64, columns), columns)
            self.lines.append(
                f"row_dot_where({sizes}, int64({columns}), int64({across}), {zero}, {out}, "
                f"{self.part(mask, columns)}, {found}, {most!r} / {self.peek(bound)})"
            )
        else:
            raise NoMachineCodeError(f"{op.instruction.name} of a strided matrix")

    def update_rows(self, target: Address, column: Op, row: Op, i: int) -> None:
        """Subtract a column times a row from a matrix, and keep the bound of its elements."""
        x, y = self.places.of(column), self.places.of(row)
        rows, columns = target.shape
        step = next((s for n, s in zip(x.shape, x.steps, strict=True) if n != 1), 1)
        chosen = self.part(self.places.scratch(i, np.int64, rows), rows)
        change = self.name("t")
        self.lines.append(
            f"{change} = update_rows({self.part(target, rows * columns)}, int64({rows}), {_length(columns)}, "
            f"{self.part(x, 1)}, {step}, {self.part(y, columns)}, {number(0, row.dtype)}, {chosen})"
        )
        if target in self.bounds:
            bound = self.bounds[target]
            self.lines.append(self.poke(bound, (), f"{self.peek(bound)} + {change}"))

    def bound_of(self, w: Address) -> Address | None:
        """The place of a bound for the elements of a matrix, if there is one."""
        if w not in self.updated or not self.is_changed_here_only(w):
            return None
        if w not in self.bounds:
            self.bounds[w] = self.places.lasting(np.float64)
        return self.bounds[w]

    def mask_of(self, op: Op, i: int) -> Address | None:
        """The known vector by which every use of a product multiplies it, so that its zeros stay zeros."""
        users = self.found.users.get(op, [])
        masks = {other for user in users for other in _factors_beside(op, user)}
        if op in self.places.kept or len(masks) != 1 or not all(map(self.forgets_sign, users)):
            return None
        (mask,) = masks
        if mask is None or mask.size != op.size or not self.places.is_there(mask, i):
            return None
        place = self.places.of(mask)
        return place if place.is_contiguous and base_of(mask).dtype == mask.dtype else None

    def forgets_sign(self, op: Op) -> bool:
        """Whether the sign of zeros in a result does not matter, because they only go into sums."""
        if op in self.found.direct or rule_of(op) in ("product", "update") or op.is_plain_reduction:
            return True
        users = self.found.users.get(op, [])
        return op.calls(np.multiply) and op not in self.places.kept and all(map(self.forgets_sign, users))

    def is_changed_here_only(self, w: Address) -> bool:
        """Whether only one update changes a matrix, and nothing else without notice."""
        targets = [self.places.of(store.target) for store in self.found.program.stores]
        array = next(array for name, array in self.places.given.values() if name == w.array)
        return is_ours(array) and sum(target.overlaps(w) for target in targets) == 1

    def gemm(self, op: Op, a: Address, b: Address, c: Address) -> None:
        """Call the BLAS, which assumes matrices stored by columns, so it computes the transposed product."""
        alpha, beta = (number(1, op.dtype), number(0, op.dtype))
        if op.instruction is product_into:
            alpha, beta = f"-{self.whole(op.args[3], op.dtype)}", number(1, op.dtype)
        m, n = c.shape
        if c.steps[1] != 1 and c.steps[0] == 1:
            a, b, c = (Address(p.array, p.start, p.shape[::-1], p.steps[::-1]) for p in (b, a, c))
            m, n = n, m
        ta, lda = _stored(op, a)
        tb, ldb = _stored(op, b)
        tc, ldc = _stored(op, c)
        if tc != "N":
            raise NoMachineCodeError(f"{op.instruction.name} into a strided array")
        first, second, out = (self.part(p, 1) for p in (b, a, c))
        self.lines.append(
            f"gemm({tb}, {ta}, {n}, {m}, {a.shape[1]}, {alpha}, {first}, {ldb}, {second}, {lda}, {beta}, {out}, {ldc})"
        )


def _length(columns: int) -> str:
    """The number of elements in a row; the optimizer gets it as a constant if it is small."""
    return str(columns) if columns <= SHORT else f"int64({columns})"


def _factors_beside(op: Op, user: Op) -> list[Op | None]:
    """The factor by which an operation multiplies a result elementwise; None for any other operation."""
    if not user.calls(np.multiply) or user.size != op.size:
        return [None]
    at = [isinstance(arg, Op) and base_of(arg) is op for arg in user.args]
    other = user.args[0] if at[1] else user.args[1]
    is_one_by_one = sum(at) == 1 and isinstance(other, Op) and all(map(is_same_order, inputs_of(user)))
    return [other if is_one_by_one else None]


def _stored(op: Op, place: Address) -> tuple[str, int]:
    """The storage of a matrix: ``N`` by rows or ``T`` by columns, and their distance."""
    (rows, columns), (down, across) = place.shape, place.steps
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return "N", max(down if rows > 1 else columns, 1)
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return "T", max(across if columns > 1 else rows, 1)
    raise NoMachineCodeError(f"{op.instruction.name} of a strided matrix")


# -- Python numbers ------------------------------------------------------------------------------------------

_SIGNS = {"+": "({0} + {1})", "-": "({0} - {1})", "*": "({0} * {1})", "neg": "(-{0})",
          "/": "divided({0}, {1})", "**": "powered({0}, {1})"}  # fmt: skip


def expression(op: Any, names: dict[Op, str]) -> str:
    """A formula of Python numbers, all of which are floats."""
    if not isinstance(op, Op):
        return number(float(op), np.float64)
    if isinstance(op, Input):
        return f"float64({names[op]})"
    args: Sequence[str] = [expression(arg, names) for arg in op.args]
    return _SIGNS[op.instruction.name].format(*args)
