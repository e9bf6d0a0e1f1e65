"""The tools for writing the text of a program: pieces, names, and the places of elements."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..program import Constant, Op
from .addresses import Address, Addresses
from .formulas import converted, dtype_of, number
from .groups import Groups, base_of
from .nests import index

__all__ = ["Piece", "Pieces"]


@dataclass
class Piece:
    """The text of one group; ``@0``, ``@1`` and so on stand for the starts of arrays.

    Groups that do the same with other arrays have the same lines.

    Attributes
    ----------
    lines : list of str
    starts : for each array, its name and its first element
    touched : the places of reads and writes, to find overlaps
    """

    lines: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    touched: set[Address] = field(default_factory=set)

    def at(self, address: Address) -> str:
        """Name the start of an array for the text."""
        self.touched.add(address)
        start = address.array, address.start
        if start not in self.starts:
            self.starts.append(start)
        return f"@{self.starts.index(start)}"

    def inline(self, n: int) -> list[str]:
        """Write the lines for a function with other pieces: with unique names, on whole arrays."""

        def located(found: re.Match[str]) -> str:
            array, start = self.starts[int(found[1])]
            return f"{array}, {start} + " if start else f"{array}, "

        lines = [re.sub(r"@(\d+), ", located, line) for line in self.lines]
        return [re.sub(r"\b([a-z])_(\d+)\b", rf"\g<1>{n}_\2", line) for line in lines]


class Pieces:
    """The pieces of one program; the last one is being written.

    Attributes
    ----------
    found : Groups
    places : Addresses
    bounds : for some matrices, the place of a number that no element exceeds
    """

    def __init__(self, found: Groups, places: Addresses) -> None:
        self.found, self.places = found, places
        self.bounds: dict[Address, Address] = {}
        self.pieces: list[Piece] = []
        self.begin()

    def begin(self) -> None:
        """Start a new piece."""
        self.piece = Piece()
        self.pieces.append(self.piece)
        self.lines = self.piece.lines
        self.count = 0

    def name(self, prefix: str) -> str:
        """Make a new name."""
        self.count += 1
        return f"{prefix}_{self.count}"

    # -- reads and writes --------------------------------------------------------------------------------

    def peek(self, address: Address, at: Any = ()) -> str:
        """Read an element, given by its steps along the loops or by a text."""
        return f"peek({self.place(address, at)})"

    def poke(self, address: Address, at: Any, value: str) -> str:
        """Write an element."""
        return f"poke({self.place(address, at)}, {value})"

    def place(self, address: Address, at: Any) -> str:
        """The start of an array, and the offset of an element."""
        return f"{self.piece.at(address)}, {at if isinstance(at, str) else index(0, list(at))}"

    def part(self, address: Address, size: int) -> str:
        """Contiguous elements."""
        return f"part({self.piece.at(address)}, 0, {size})"

    def constant(self, arg: Any, dtype: Any = None) -> str | None:
        """An argument that is one known number, wherever it is used."""
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
        return text if text is not None else self.read(arg, self.places.of(arg), (), dtype)

    def read(self, arg: Op, address: Address, at: Any, dtype: Any) -> str:
        """Return an element in a dtype; its dtype in memory may differ from that of the argument."""
        read = converted(self.peek(address, at), dtype_of(base_of(arg)), dtype_of(arg))
        return converted(read, dtype_of(arg), dtype)

    def element(self, arg: Any, dtype: Any) -> str:
        """The current element of a vector in a loop, or a number."""
        text = self.constant(arg, dtype)
        if text is not None:
            return text
        place = self.places.of(arg)
        step = [0 if place.shape[-1] == 1 else place.steps[-1]] if place.shape else [0]
        return self.read(arg, place, step, dtype)
