"""CSV, as in "Make your own neural network": a label and 784 pixels on each line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...reading import open_unpacked
from .corpus import MAX_EXAMPLES, PIXELS, SIDE, Corpus

TABLES = ("mnist_train.csv", "mnist_test.csv")

# Room for 785 numbers of up to three digits, commas and spaces.
LONGEST_LINE = 8 * (1 + PIXELS)


def find_tables(folder: Path) -> tuple[Path, Path] | None:
    """Find the two files, plain or .gz; return None if there are none, and raise an error if there is only one."""
    train, test = (
        next((folder / file for file in (name, f"{name}.gz") if (folder / file).is_file()), None)
        for name in TABLES
    )
    if train is None and test is None:
        return None
    if train is None or test is None:
        raise DataError(f"{folder}: {TABLES[train is not None]} is missing next to {train or test}")
    return train, test


def read_tables(train: Path, test: Path) -> Corpus:
    """Read the two files of a data set."""
    return Corpus(*read_table(train), *read_table(test))


def read_table(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one file: images (N, 28, 28) and labels (N,)."""
    with open_unpacked(path) as stream:
        rows = _Rows(stream, path)
        try:
            # loadtxt gets one row at a time, so if it stops, the last one is bad.
            table = np.loadtxt(rows, dtype=np.uint8, delimiter=",", comments=None, ndmin=2)
        except DataError:
            raise
        except ValueError:
            _blame(path, rows.count, rows.last)
    if table.shape[1] != 1 + PIXELS:
        _blame(path, rows.count, rows.last)
    for row in np.flatnonzero(table[:, 0] > 9):
        raise DataError(
            f"{path}, row {row + 1:,}: the label is {table[row, 0]}; expected 0–9 in the first column"
        )
    return table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0].astype(np.int64)


class _Rows:
    """The rows of a file, without a header or blank lines; counted, and limited in number and length."""

    def __init__(self, stream: io.BufferedReader, path: Path) -> None:
        self.stream = stream
        self.path = path
        self.count = 0
        self.last = b""

    def __iter__(self) -> Iterator[bytes]:
        lines = 0
        while line := self.stream.readline(LONGEST_LINE):
            lines += 1
            if lines > 2 * MAX_EXAMPLES:  # half of them may be blank
                raise DataError(f"{self.path}: more than {2 * MAX_EXAMPLES:,} lines")
            if line.isspace() or (self.count == 0 and _is_header(line)):
                continue
            self.count += 1
            self.last = line
            if len(line) == LONGEST_LINE:
                raise DataError(f"{self.path}, row {self.count:,}: too long for a label and {PIXELS} pixels")
            if self.count > MAX_EXAMPLES:
                raise DataError(f"{self.path}: more than {MAX_EXAMPLES:,} rows")
            if self.count == 1 and line.count(b",") != PIXELS:  # of the others, loadtxt expects as many
                _blame(self.path, 1, line)
            yield line
        if self.count == 0:
            raise DataError(f"{self.path}: holds no rows; expected a label and {PIXELS} pixels on each line")


def _is_header(line: bytes) -> bool:
    return line.lstrip(b'\xef\xbb\xbf"').lower().startswith(b"label")


def _blame(path: Path, row: int, line: bytes) -> NoReturn:
    """Raise an error that says what is wrong with a row."""
    fields = line.decode("ascii", "replace").strip().split(",")
    if len(fields) != 1 + PIXELS:
        raise DataError(f"{path}, row {row:,}: {len(fields):,} values; expected a label and {PIXELS} pixels")
    for column, field in enumerate(fields, start=1):
        digits = field.strip()
        if not digits.isdecimal() or len(digits.lstrip("0")) > 3 or int(digits[-3:]) > 255:
            raise DataError(
                f"{path}, row {row:,}, column {column}: {field!r} is not a whole number from 0 to 255"
            )
    raise DataError(f"{path}, row {row:,}: cannot be read as comma-separated numbers")
