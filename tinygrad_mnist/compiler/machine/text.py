"""The text of a fused program, group by group: products, copies, and, by way of ``loops``, loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..instructions import product_into
from ..memory import is_ours
from ..program import Constant, Input, Op
from .addresses import Address, Addresses
from .formulas import converted, number
from .groups import Group, Groups, NoMachineCodeError, base_of
from .loops import Loop, dtype_of, outer_update
from .nests import Nest, contiguous, index, merged

__all__ = ["Piece", "Writer", "expression"]


@dataclass
class Piece:
    """The text of one group, in which ``@0``, ``@1`` and so on stand for the beginnings of arrays.

    Groups that do the same on arrays at other places have the same lines.

    Attributes
    ----------
    lines : list of str
    starts : for each array its name, and the element with which it begins
    touched : where elements are read or written, to find out what overlaps
    """

    lines: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    touched: set[Address] = field(default_factory=set)

    def at(self, address: Address) -> str:
        """How the text calls the beginning of an array."""
        self.touched.add(address)
        start = address.array, address.start
        if start not in self.starts:
            self.starts.append(start)
        return f"@{self.starts.index(start)}"

    def inline(self, n: int) -> list[str]:
        """Write the lines for a function that holds others too: with names of their own, on whole arrays."""

        def located(found: re.Match[str]) -> str:
            array, start = self.starts[int(found[1])]
            return f"{array}, {start} + " if start else f"{array}, "

        lines = [re.sub(r"@(\d+), ", located, line) for line in self.lines]
        return [re.sub(r"\b([a-z])_(\d+)\b", rf"\g<1>{n}_\2", line) for line in lines]


class Writer:
    """Writes one group after the other."""

    def __init__(self, found: Groups, places: Addresses) -> None:
        self.found, self.places = found, places
        self.updated = {
            update[0] for group in found.groups if (update := outer_update(found, places, group)) is not None
        }
        self.bounds: dict[Address, Address] = {}  # of matrices, how large a number in them may be at most
        self.pieces: list[Piece] = []
        self.begin()

    def begin(self) -> None:
        """Begin with another piece."""
        self.piece = Piece()
        self.pieces.append(self.piece)
        self.lines = self.piece.lines
        self.count = 0

    def name(self, prefix: str) -> str:
        """Make a new name."""
        self.count += 1
        return f"{prefix}_{self.count}"

    # -- what is read and written ------------------------------------------------------------------------

    def peek(self, address: Address, at: Any = ()) -> str:
        """Read an element: its steps along the loops, or a text."""
        where = at if isinstance(at, str) else index(0, list(at))
        return f"peek({self.piece.at(address)}, {where})"

    def poke(self, address: Address, at: Any, value: str) -> str:
        """Write an element."""
        return "poke" + self.peek(address, at)[4:-1] + f", {value})"

    def part(self, address: Address, size: int) -> str:
        """Elements that lie next to each other."""
        return f"part({self.piece.at(address)}, 0, {size})"

    def constant(self, arg: Any, dtype: Any = None) -> str | None:
        """An argument that is one number, known now, wherever it is used."""
        if not isinstance(arg, Op):
            return number(arg, dtype) if dtype is not None else ""
        base = base_of(arg)
        if not isinstance(base, Constant) or base.number is None:
            return None
        if dtype is None:
            return ""
        return converted(converted(number(base.number, base.dtype), base.dtype, arg.dtype), arg.dtype, dtype)

    def whole(self, arg: Any, dtype: Any) -> str:
        """A number, or the only element of an array."""
        text = self.constant(arg, dtype)
        if text is not None:
            return text
        read = converted(self.peek(self.places.of(arg)), dtype_of(base_of(arg)), dtype_of(arg))
        return converted(read, dtype_of(arg), dtype)

    # -- groups ------------------------------------------------------------------------------------------

    def write(self, group: Group, i: int) -> None:
        """Write a group."""
        self.begin()
        if group.kind == "loop":
            Loop(self, group, i).write()
            return
        (op,) = group.ops
        if group.kind in ("product", "update"):
            self.product(op, i)
        elif group.kind == "scatter":
            self.scatter(op)
        elif group.kind == "join":
            self.join(op)
        else:
            self.lines += [f"if {self.whole(op.args[0], bool)}:", f"    raise ValueError({op.args[1]!r})"]

    def copy(self, source: Op, target: Address) -> None:
        """Copy an array, element by element."""
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
            one = converted(self.peek(place, steps[1]), base_of(source).dtype, source.dtype)
        nest.before[-1].append(self.poke(target, steps[0], str(one)))
        self.lines += nest.lines()

    def join(self, op: Op) -> None:
        """Copy those parts of a vector that were not computed in their places."""
        whole = self.places.of(op)
        start = whole.start
        for part in op.args:
            if part.dtype != op.dtype:
                raise NoMachineCodeError(f"a vector of {part.dtype} and {op.dtype}")
            self.copy(part, Address(whole.array, start, part.shape, contiguous(part.shape)))
            start += part.size

    def scatter(self, op: Op) -> None:
        """Add to single elements; places beyond the last are the last, as where they are read."""
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

    def element(self, arg: Any, dtype: Any) -> str:
        """The element of a vector at which a loop is, or a number."""
        text = self.constant(arg, dtype)
        if text is not None:
            return text
        place = self.places.of(arg)
        step = [0 if place.shape[-1] == 1 else place.steps[-1]] if place.shape else [0]
        read = converted(self.peek(place, step), dtype_of(base_of(arg)), dtype_of(arg))
        return converted(read, dtype_of(arg), dtype)

    # -- products ----------------------------------------------------------------------------------------

    def product(self, op: Op, i: int) -> None:
        """Write a product: of matrices by the BLAS, of a vector and a matrix as a loop."""
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

        Rows of the matrix that meet a zero need not be read where they are known to be finite: where the matrix
        is a parameter that this program changes, a bound of its elements is kept from call to call.
        """
        rows, columns = w.shape if len(w.shape) == 2 else (w.shape[0], 1)
        down, across = w.steps if len(w.steps) == 2 else (w.steps[0], 1)
        if columns == 1:
            across = 1
        if not target.is_contiguous:
            raise NoMachineCodeError(f"{op.instruction.name} into a strided array")
        row, matrix, out = self.part(x, rows), self.part(w, rows * columns), self.part(target, columns)
        zero = number(0, op.dtype)
        if across == 1 and columns > 1:
            how = f"{row}, {step}, {matrix}, {rows}, {columns}, {down}, {zero}, {out}"
            if w in self.updated and self.is_changed_here_only(w):
                bound = self.bounds.setdefault(w, self.places.lasting(np.float64))
                found = self.part(self.places.scratch(i, np.int64, rows), rows)
                most = float(np.finfo(op.dtype).max) / 1e3
                self.lines += [
                    f"if {self.peek(bound)} < {most!r}:",
                    f"    row_times_found({how}, {found})",
                    "else:",
                    f"    row_times({how})",
                ]
            else:
                self.lines.append(f"row_times({how})")
        elif down == 1 or rows == 1 or columns == 1:
            if columns == 1 and down != 1 and rows > 1:
                raise NoMachineCodeError(f"{op.instruction.name} of a strided vector")
            self.lines.append(f"row_dot({row}, {step}, {matrix}, {rows}, {columns}, {across}, {zero}, {out})")
        else:
            raise NoMachineCodeError(f"{op.instruction.name} of a strided matrix")

    def is_changed_here_only(self, w: Address) -> bool:
        """Whether a matrix is changed by one update only, and by nobody who would not say so."""
        targets = [self.places.of(store.target) for store in self.found.program.stores]
        array = next(array for name, array in self.places.given.values() if name == w.array)
        return is_ours(array) and sum(target.overlaps(w) for target in targets) == 1

    def gemm(self, op: Op, a: Address, b: Address, c: Address) -> None:
        """Call the BLAS, which takes matrices for stored by columns: so it computes the transposed product."""
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


def _stored(op: Op, place: Address) -> tuple[str, int]:
    """How a matrix is stored: ``N`` by rows, ``T`` by columns, and how far apart these are."""
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
