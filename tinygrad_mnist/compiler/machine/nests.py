"""Nested loops, and the places of array elements in them, as text for machine code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["VECTOR", "Nest", "contiguous", "index", "level_of", "merged", "rows_of_tile"]

_INDICES = "ijklmn"
#: About this many numbers are computed at a time.
VECTOR = 16


@dataclass
class Nest:
    """Nested loops, and the code at each level: before the next loop and after it."""

    lengths: list[int]
    before: list[list[str]] = field(default_factory=list)
    after: list[list[str]] = field(default_factory=list)
    guard: str = ""  # the condition for the innermost loop to run

    def __post_init__(self) -> None:
        self.before = [[] for _ in range(len(self.lengths) + 1)]
        self.after = [[] for _ in range(len(self.lengths) + 1)]

    def lines(self) -> list[str]:
        """Write the loops."""
        made: list[str] = []
        depth = len(self.lengths)
        margin = ""
        for level in range(depth + 1):
            made += [margin + line for line in self.before[level]]
            if level < depth:
                if self.guard and level == depth - 1:
                    made.append(f"{margin}if {self.guard}:")
                    margin += "    "
                made.append(f"{margin}for {_INDICES[level]} in range({self.lengths[level]}):")
                margin += "    "
        margins = [len(line) - len(line.lstrip()) for line in made if line.lstrip().startswith("for ")]
        made += [margin + line for line in self.after[depth]]
        for level in reversed(range(depth)):
            made += [" " * margins[level] + line for line in self.after[level]]
        return made


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a contiguous array."""
    steps, size = [], 1
    for n in reversed(shape):
        steps.append(size)
        size *= n
    return tuple(reversed(steps))


def merged(lengths: list[int], steps: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Sort axes by their strides, and merge axes that are contiguous in all arrays."""
    axes = [axis for axis, n in enumerate(lengths) if n != 1]
    axes.sort(key=lambda axis: -sum(abs(s[axis]) for s in steps))
    groups: list[list[int]] = []
    for axis in axes:
        if groups and all(s[groups[-1][-1]] == s[axis] * lengths[axis] for s in steps):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    sizes = [math.prod(lengths[axis] for axis in group) for group in groups]
    return sizes, [[s[group[-1]] for group in groups] for s in steps]


def rows_of_tile(lengths: list[int], steps: list[list[int]]) -> int:
    """The number of rows to combine into one: none if the rows are long, or fill the processor's registers."""
    if len(lengths) != 2:
        return 0
    n, m = lengths
    is_even = m % VECTOR == 0 or m > 32 * VECTOR
    is_fitting = all(s in ([m, 1], [0, 1], [0, 0]) for s in steps) and [0, 1] in steps
    if is_even or not is_fitting:
        return 0
    rows = next((r for r in range(2, n + 1) if n % r == 0 and r * m >= 16 * VECTOR), n)
    return rows if rows * m <= 4096 * VECTOR else 0


def index(start: int, steps: list[int]) -> str:
    """The place of an element as a formula of the loop indices."""
    terms = [
        name if step == 1 else f"{name} * {step}" for name, step in zip(_INDICES, steps, strict=False) if step
    ]
    return " + ".join([*([str(start)] if start or not terms else []), *terms])


def level_of(steps: list[int]) -> int:
    """The innermost loop on which a place depends."""
    return max((i + 1 for i, step in enumerate(steps) if step), default=0)
