"""The place in the user's program that called an operation: noted while recording, looked up on demand.

Noting must be quick, because every operation does it: only a frame's code object and its position
are kept. They become a file, a line and its text when a message shows them.
"""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType
from typing import NamedTuple

import numpy as np

__all__ = ["Line", "Origin", "caller", "is_internal", "line_of", "users_line"]

Origin = tuple[CodeType, int]

_OURS = (os.path.dirname(__file__) + os.sep, os.path.dirname(np.__file__) + os.sep)  # noqa: PTH120


class _Internal(dict[str, bool]):
    """Whether a file belongs to this package or to NumPy, by its name."""

    def __missing__(self, filename: str) -> bool:
        self[filename] = is_internal = filename.startswith(_OURS) or filename.startswith(
            "<__array_function__"
        )
        return is_internal


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


def is_internal(origin: Origin) -> bool:
    """Whether a line belongs to this package or to NumPy."""
    return _INTERNAL[origin[0].co_filename]


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str
    text: str

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
