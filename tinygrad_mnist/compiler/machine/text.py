"""The text of a fused program, group by group: products, copies, and, by way of ``loops``, loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Op
from .addresses import Place, Places
from .formulas import number, type_of
from .groups import Group, Groups, NoMachineCodeError, base_of
from .loops import Loop
from .nests import Nest, contiguous, index, merged

__all__ = ["Writer"]


class Writer:
    """Writes one group after the other."""

    def __init__(self, found: Groups, places: Places, names: dict[Op, str]) -> None:
        self.found, self.places, self.names = found, places, names
        self.lines: list[str] = []
        self.scalars: dict[Op, str] = {}
        self.numbers: dict[tuple[Any, Any], str] = {}
        self.count = 0

    def name(self, prefix: str) -> str:
        """Make a new name."""
        self.count += 1
        return f"{prefix}{self.count}"

    # -- what is read ------------------------------------------------------------------------------------

    def expression(self, op: Any) -> str:
        """A formula of Python numbers."""
        if not isinstance(op, Op):
            return number(float(op), np.float64)
        if op.function == "input":
            return self.names[op]
        if op.function == "neg":
            return f"(-{self.expression(op.args[0])})"
        left, right = map(self.expression, op.args)
        return f"({left} {op.function} {right})"

    def scalar(self, arg: Any, dtype: Any) -> str | None:
        """An argument that is one number wherever it is used, as the text writes it in a dtype."""
        if not isinstance(arg, Op):
            return number(arg, dtype)
        if arg.is_number:
            key = arg, np.dtype(dtype)
            if key not in self.numbers:
                self.numbers[key] = self.name("rate")
            return self.numbers[key]
        base = base_of(arg)
        if base.function == "constant":
            value = base.settings["value"]
            if (value == value.flat[0]).all() or value.size == 1:
                return self.cast(number(value.flat[0], value.dtype), value.dtype, dtype)
        if base in self.scalars:
            return self.cast(self.scalars[base], base.dtype, dtype)
        return None

    @staticmethod
    def cast(text: str, old: Any, new: Any) -> str:
        """Convert a value from one dtype to another."""
        if new is None or np.dtype(old) == np.dtype(new):
            return text
        return f"({text} != 0)" if np.dtype(new) == bool else f"{type_of(new)}({text})"

    # -- loops -------------------------------------------------------------------------------------------

    def write(self, group: Group, i: int) -> None:
        """Write a group."""
        if group.kind == "loop":
            Loop(self, group, i).write()
            return
        (op,) = group.ops
        if group.kind in ("np.dot", "product"):
            self.product(op, i)
        elif group.kind == "add_flat":
            self.add_flat(op)
        elif group.kind == "join":
            self.join(op)
        else:
            self.lines += [f"if {self.whole(op.args[0], bool)}:", f"    raise ValueError({op.args[1]!r})"]

    def whole(self, arg: Any, dtype: Any = None) -> str:
        """A number, or the only element of an array."""
        text = self.scalar(arg, dtype if dtype is not None else getattr(arg, "dtype", None))
        if text is None:
            place = self.places.of(arg)
            text = self.cast(f"peek({place.array}, {place.start})", base_of(arg).dtype, dtype)
        return text

    def copy(self, source: Op, target: Place) -> None:
        """Copy an array, element by element."""
        one = self.scalar(source, source.dtype)
        steps = [list(target.steps)]
        place = None if one is not None else self.places.of(source)
        if place is not None:
            if place == target:
                return
            steps.append(list(place.steps))
        lengths, steps = merged(list(target.shape), steps)
        nest = Nest(lengths)
        if place is not None:
            one = self.cast(
                f"peek({place.array}, {index(place.start, steps[1])})", base_of(source).dtype, source.dtype
            )
        nest.before[-1].append(f"poke({target.array}, {index(target.start, steps[0])}, {one})")
        self.lines += nest.lines()

    def join(self, op: Op) -> None:
        """Copy those parts of a vector that were not computed in their places."""
        whole = self.places.of(op)
        start = whole.start
        for part in op.args:
            steps = contiguous(part.shape)
            self.copy(part, Place(whole.array, start, part.shape, steps))
            start += part.size

    def add_flat(self, op: Op) -> None:
        """Add to single elements; places beyond the last are the last, as where they are read."""
        x, at, value = op.args
        target, places = self.places.of(op), self.places.of(at)
        if not target.is_contiguous:
            raise NoMachineCodeError("add_flat of a strided array")
        self.copy(x, target)
        nest = Nest([at.size] if at.size > 1 else [])
        where = self.name("at")
        step = places.steps[-1] if places.shape else 0
        nest.before[-1] += [
            f"{where} = peek({places.array}, {index(places.start, [step][: len(nest.lengths)])})",
            f"{where} = {target.start} + min(max({where} if {where} >= 0 else {where} + {op.size}, 0), {op.size - 1})",
        ]
        more = self.scalar(value, op.dtype)
        if more is None:
            source = self.places.of(value)
            more = f"peek({source.array}, {index(source.start, [source.steps[-1]][: len(nest.lengths)])})"
        nest.before[-1].append(f"poke({target.array}, {where}, peek({target.array}, {where}) + {more})")
        self.lines += nest.lines()

    # -- products ----------------------------------------------------------------------------------------

    def product(self, op: Op, i: int) -> None:
        """Write a product: of matrices by the BLAS, of a vector and a matrix as a loop."""
        if op.dtype not in (np.float32, np.float64) or any(
            base_of(a).dtype != op.dtype for a in op.args[-3:] if isinstance(a, Op) and a.ndim
        ):
            raise NoMachineCodeError(f"{op.function} of {op.dtype}")
        is_update = op.function == "product"
        a, b = map(self.places.of, op.args[1:3] if is_update else op.args)
        target = self.places.of(op)
        if not is_update and (len(a.shape) == 1 or a.shape[0] == 1):
            self.row_times(op, a.start, a.array, a.steps[-1], b, target, i)
        elif not is_update and (len(b.shape) == 1 or b.shape[1] == 1):
            turned = Place(a.array, a.start, a.shape[::-1], a.steps[::-1])
            self.row_times(op, b.start, b.array, b.steps[0], turned, target, i)
        else:
            self.gemm(op, a, b, target)

    def row_times(self, op: Op, start: int, array: str, step: int, w: Place, target: Place, i: int) -> None:
        """Multiply a vector by a matrix."""
        rows, columns = w.shape if len(w.shape) == 2 else (w.shape[0], 1)
        down, across = w.steps if len(w.steps) == 2 else (w.steps[0], 1)
        if columns == 1:
            across = 1
        x, out = f"part({array}, {start}, {rows})", f"part({target.array}, {target.start}, {columns})"
        matrix = f"part({w.array}, {w.start}, {rows * columns})"
        zero = number(0, op.dtype)
        if across == 1 and columns > 1:
            memory, found = self.places.scratch(i, np.int64, rows)
            more = f"part({memory}, {found}, {rows + 1}), {out}"
            self.lines.append(f"row_times({x}, {step}, {matrix}, {rows}, {columns}, {down}, {zero}, {more})")
        elif down == 1 or rows == 1 or columns == 1:
            if columns == 1 and down != 1:
                raise NoMachineCodeError("np.dot of a strided vector")
            self.lines.append(f"row_dot({x}, {step}, {matrix}, {rows}, {columns}, {across}, {zero}, {out})")
        else:
            raise NoMachineCodeError("np.dot of a strided matrix")

    def gemm(self, op: Op, a: Place, b: Place, c: Place) -> None:
        """Call the BLAS, which takes matrices for stored by columns: so it computes the transposed product."""
        alpha, beta = (number(1, op.dtype), number(0, op.dtype))
        if op.function == "product":
            factor = self.scalar(op.args[3], op.dtype)
            alpha, beta = f"-{factor}", number(1, op.dtype)
        m, n = c.shape
        if c.steps[1] != 1 and c.steps[0] == 1:
            a, b, c = (Place(p.array, p.start, p.shape[::-1], p.steps[::-1]) for p in (b, a, c))
            m, n = n, m
        ta, lda = _stored(a)
        tb, ldb = _stored(b)
        tc, ldc = _stored(c)
        if tc != "N":
            raise NoMachineCodeError("np.dot into a strided array")
        first, second, out = (f"part({p.array}, {p.start}, 1)" for p in (b, a, c))
        self.lines.append(
            f"gemm({tb}, {ta}, {n}, {m}, {a.shape[1]}, {alpha}, {first}, {ldb}, {second}, {lda}, {beta}, {out}, {ldc})"
        )


def _stored(place: Place) -> tuple[str, int]:
    """How a matrix is stored: ``N`` by rows, ``T`` by columns, and how far apart these are."""
    (rows, columns), (down, across) = place.shape, place.steps
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return "N", max(down if rows > 1 else columns, 1)
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return "T", max(across if columns > 1 else rows, 1)
    raise NoMachineCodeError("np.dot of a strided matrix")
