"""MATLAB's files, up to version 7, read by SciPy.

SciPy takes a file by its word: a type of numbers that does not exist ends the process. So the structure of the file is
checked first: each element says its type and its size, and a matrix holds the elements of its class.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import quote, require
from ...reading import read_bytes, readable

__all__ = ["read_mat"]

# The types of elements, and the classes of matrices, as MATLAB numbers them.
FLAGS, MATRIX, COMPRESSED = 6, 14, 15
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
TEXT = NUMBERS | {16, 17, 18}
NESTED, CHAR, SPARSE, NUMERIC = (1, 2), 4, 5, range(6, 16)

DEEPEST = 8
"""How deep cells and structures may be nested."""


def read_mat(path: Path, largest: int, largest_array: int) -> dict[str, NDArray[Any]]:
    """Read all arrays of numbers in a file, with dotted names for those in structures.

    Parameters
    ----------
    path : Path
    largest : int
        The most bytes of the file.
    largest_array : int
        The most numbers of an array, and the most bytes that a packed variable may become.
    """
    scipy = require("scipy.io", extra="scipy", purpose=f"reading {path.name}")
    content = read_bytes(path, largest)
    with readable(path, "MATLAB file"):
        variables = []
        for name, shape, matlab_class in scipy.whosmat(io.BytesIO(content)):
            if np.prod([float(n) for n in shape]) > largest_array:
                raise ValueError(f"{quote(name)} has shape {quote(shape)}, which is too large")
            if matlab_class not in ("object", "function", "opaque", "unknown"):
                variables.append(name)
        _check_file(memoryview(content), largest_array)
        found = scipy.loadmat(io.BytesIO(content), chars_as_strings=False, variable_names=variables)
    return {key: array for key, array in _flatten(found, "", 0) if not key.startswith("__")}


class _Bytes:
    """Bytes that are read once, from pieces that are made on the way."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self.pieces = pieces
        self.piece = memoryview(b"")

    def skip(self, count: int) -> memoryview:
        """Pass so many bytes, and return the last piece of them."""
        while count > len(self.piece):
            count -= len(self.piece)
            self.piece = next(self.pieces, memoryview(b""))
            if not self.piece:
                raise ValueError("an element is longer than the file")
        passed, self.piece = self.piece[:count], self.piece[count:]
        return passed

    def take(self, count: int) -> bytes:
        """Read a few bytes."""
        if count <= len(self.piece):
            return bytes(self.skip(count))
        return b"".join(bytes(self.skip(1)) for _ in range(count))


def _unpack(packed: memoryview, largest: int) -> Iterator[memoryview]:
    """Unpack a variable, piece by piece."""
    stream, size = zlib.decompressobj(), 0
    rest: bytes | memoryview = packed
    while rest:
        piece = stream.decompress(rest, 2**20)
        size, rest = size + len(piece), stream.unconsumed_tail
        if size > largest:
            raise ValueError("a variable is too large once it is unpacked")
        yield memoryview(piece)


def _check_file(content: memoryview, largest: int) -> None:
    """Check that a file holds matrices, packed or not, and that these hold what they should."""
    order = {b"IM": "<", b"MI": ">"}[bytes(content[126:128])]
    at = 128
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        body, at = content[at : at + 8 + size], at + 8 + size
        if at > len(content):
            raise ValueError("an element is longer than the file")
        source = _Bytes(_unpack(body[8:], largest) if kind == COMPRESSED else iter([body]))
        kind, size = struct.unpack(f"{order}II", source.take(8))
        if kind != MATRIX:
            raise ValueError("it holds something else than matrices")
        _check_matrix(source, size, order, 0)


def _check_matrix(source: _Bytes, left: int, order: str, depth: int) -> None:
    """Read a matrix of so many bytes, and check that it has the parts of its class."""
    if depth > DEEPEST:
        raise ValueError("it is nested too deep")
    kinds: list[int] = []
    matrix_class = is_complex = 0
    while left >= 8:
        start = source.take(8)
        kind, size = struct.unpack(f"{order}II", start)
        left -= 8
        if (
            kind >> 16
        ):  # a small element: its size is in the first two bytes, and its content in the last four
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError("an element is longer than its place")
        else:
            size += 0 if kind == MATRIX else -size % 8
            if size > left:
                raise ValueError("an element is longer than its matrix")
            left -= size
            if not kinds:
                flags = struct.unpack(f"{order}II", source.take(size))[0] if size == 8 else 0
                matrix_class, is_complex = flags & 0xFF, flags >> 11 & 1
            elif kind == MATRIX and matrix_class in NESTED:
                _check_matrix(source, size, order, depth + 1)
            else:
                source.skip(size)
        kinds.append(kind)
    if not kinds:
        return
    if kinds[0] != FLAGS or not matrix_class:
        raise ValueError("a matrix does not begin with its class")
    if matrix_class in (CHAR, SPARSE) or matrix_class in NUMERIC:
        count = (3 if matrix_class == SPARSE else 1) + is_complex
        allowed = TEXT if matrix_class == CHAR else NUMBERS
        if len(kinds) < 3 + count or not set(kinds[3 : 3 + count]) <= allowed:
            raise ValueError("the numbers of a matrix are missing, or of a type that does not exist")
    elif depth and matrix_class not in NESTED:
        raise ValueError("it holds objects or functions in a structure")


def _flatten(value: Any, name: str, depth: int) -> list[tuple[str, NDArray[Any]]]:
    """List the arrays of numbers in MATLAB's structures, with dotted names."""
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _flatten(part, key, depth + 1)]
    if not isinstance(value, np.ndarray) or depth > 6:
        return []
    if value.dtype.names and value.size == 1:
        fields = value.dtype.names
        return [p for key in fields for p in _flatten(value.flat[0][key], f"{name}.{key}", depth + 1)]
    return [(name, np.asfortranarray(value))] if value.dtype.kind in "biuf" and value.size > 1 else []
