"""The place in the user's program that called an operation: noted while recording, looked up on demand.

Noting must be quick, because every operation does it: only a frame's code object and its position
are kept. They become a file, a line and its text when a message shows them. Warnings point to the same line.
"""

from __future__ import annotations

import linecache
import opcode
import os
import sys
import warnings
from types import CodeType
from typing import NamedTuple

import numpy as np

__all__ = ["Line", "Origin", "assigns_element", "caller", "is_internal", "line_of", "users_line", "warn"]

Origin = tuple[CodeType, int]

_OURS, _NUMPYS, _PYTHONS = (os.path.dirname(x) + os.sep for x in (__file__, np.__file__, os.__file__))  # noqa: PTH120


class _Internal(dict[str, bool]):
    """Whether a file belongs to this package, to NumPy or to Python's standard library, by its name."""

    def __missing__(self, filename: str) -> bool:
        is_standard = filename.startswith(_PYTHONS) and "-packages" not in filename
        self[filename] = is_standard or filename.startswith((_OURS, _NUMPYS, "<__array_function__"))
        return self[filename]


_INTERNAL = _Internal()
_frame = sys._getframe


def caller() -> Origin:
    """Note the line that called the function that calls this one."""
    frame = _frame(2)
    return frame.f_code, frame.f_lasti


def users_line() -> Origin:
    """Note the innermost line on the stack that belongs to the user."""
    try:
        frame = _frame(3)  # skips this function, record and its caller
    except ValueError:  # a thread that runs nothing else
        frame = _frame(2)
    while _INTERNAL[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def assigns_element() -> bool:
    """Whether the function that calls this one was called for ``x[index] += …``, whose result goes into ``x``."""
    frame = _frame(2)
    code, at = frame.f_code.co_code, frame.f_lasti + 2
    while code[at] in _BETWEEN:
        at += 2
    return code[at] in _ELEMENT_STORES


# What Python does between the addition and the assignment of `x[index] += 1`: nothing but ordering three objects.
_BETWEEN, _ELEMENT_STORES = (
    {opcode.opmap[name] for name in names if name in opcode.opmap}
    for names in (("CACHE", "EXTENDED_ARG", "NOP", "SWAP"), ("STORE_SUBSCR", "STORE_SLICE"))
)


def is_internal(origin: Origin) -> bool:
    """Whether a line belongs to this package, to NumPy or to Python's standard library."""
    return _INTERNAL[origin[0].co_filename]


def warn(message: str, category: type[Warning]) -> None:
    """Warn about the innermost line on the stack that belongs to the user: by default once a line."""
    level, frame = 2, _frame(1)
    while _INTERNAL[frame.f_code.co_filename] and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str
    text: str

    @property
    def is_internal(self) -> bool:
        """Whether it belongs to this package, to NumPy or to Python's standard library."""
        return _INTERNAL[self.file]

    def __str__(self) -> str:
        return f"{self.file}:{self.number}, in {self.function}" + (f": {self.text}" if self.text else "")


def line_of(origin: Origin) -> Line:
    """Look up a line that was noted."""
    code, place = origin
    number = next((n for start, end, n in code.co_lines() if start <= place < end and n), code.co_firstlineno)
    file = code.co_filename
    try:
        text = linecache.getline(file, number).strip()
    except ValueError:  # not a possible file name
        text = ""
    return Line(file, number, code.co_name, text)
