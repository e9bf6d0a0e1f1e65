"""Tables of digits as text: an image on each line, with or without a header, and its label in the first or last column.

"Make your own neural network" has a label and 784 pixels between commas, Kaggle a header besides, USPS spaces, and the
optical digits of UCI the label at the end.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, pluralise, quote
from ...reading import open_unpacked
from .corpus import MAX_EXAMPLES, PIXELS, SIDE, Corpus

TABLES = ("mnist_train.csv", "mnist_test.csv")

BOM = b"\xef\xbb\xbf"

# Room for numbers of up to three digits, commas and spaces; and for numbers of any kind.
LONGEST_LINE = 8 * (1 + PIXELS)
LONGEST_ROW = 2**19

LABELS = ("label", "labels", "class", "digit", "target", "y", "number", "character")
NUMBERS = ("", "id", "index", "imageid", "image_id", "unnamed: 0")
"""The names of columns that hold labels, and of those that only number the rows."""

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
SEPARATORS = ("\t", ";", "|", ",")


class Table(NamedTuple):
    """Pixels (N, columns) of any range, and the labels (N,) of numbers or text, if there are any."""

    pixels: NDArray[Any]
    labels: NDArray[Any] | None


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
    """Read the two files of MNIST, whose rows are a label of 0–9 and 784 pixels of 0–255."""
    return Corpus(*_read_digits(train), *_read_digits(test))


def _read_digits(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    table = _read(path, np.uint8, _Layout(",", False, None), LONGEST_LINE)
    for row in np.flatnonzero(table[:, 0] > 9):
        raise DataError(
            f"{path}, row {row + 1:,}: the label is {table[row, 0]}; expected 0–9 in the first column"
        )
    return table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0].astype(np.int64)


def read_table(path: Path) -> Table:
    """Read a table; its first lines say how it is laid out.

    Raises
    ------
    DataError
        If a row cannot be read, or if it is not clear where the labels are.
    """
    with open_unpacked(path) as stream:
        layout, names, first = _detect(stream, path)
    if ":" in first[-1]:
        return _read_pairs(path)
    if names and len(names) != len(first):
        raise DataError(
            f"{path}, row 1: {pluralise(len(first), 'value')}, but the header has {pluralise(len(names), 'name')}"
        )
    drop = [i for i, name in enumerate(names or ()) if name in NUMBERS]
    marked = [i for i, name in enumerate(names or ()) if name in LABELS]
    text = [i for i, field in enumerate(first) if not _is_number(field, layout.decimal)]
    for i in text:
        if first[i].lower() in MISSING:
            raise DataError(
                f"{path}, row 1, column {i + 1:,}: has no value; write 0 for pixels that are missing, or leave the row "
                "out" + (". Does each line end with a separator?" if i == len(first) - 1 else "")
            )
        if marked and i not in marked:
            raise DataError(
                f"{path}, column {i + 1:,}: holds text ({quote(first[i])}), but the labels are in column "
                f"{marked[0] + 1:,}; leave it out"
            )
    if len(marked) > 1 or len(text) > 1:
        which = ", ".join(quote(first[i] if text[1:] else (names or first)[i]) for i in (text or marked)[:5])
        raise DataError(f"{path}: more than one column may hold the labels: {which}")
    place = marked[0] if marked else text[0] if text else None
    layout = layout._replace(label=place)
    try:
        table: NDArray[Any] = _read(path, np.uint8, layout, LONGEST_ROW)
    except _NotBytesError:
        table = _read(path, np.float32, layout, LONGEST_ROW)
    if place is not None:
        labels = np.array(layout.labels)
        drop = [i - (i > place) for i in drop if i != place]
    pixels = np.delete(table, drop, axis=1) if drop else table
    columns = pixels.shape[1]
    if place is None:
        if math.isqrt(columns) ** 2 == columns:
            return Table(pixels, None)
        place = _find_labels(path, pixels)
        labels = pixels[:, place]
        pixels = pixels[:, 1:] if place == 0 else pixels[:, :-1]
    return Table(pixels, _as_numbers(labels))


class _NotBytesError(DataError):
    """A table of other numbers than 0–255."""


class _Layout(NamedTuple):
    separator: str | None
    has_header: bool
    label: int | None
    labels: list[str] = []  # noqa: RUF012 - replaced for each table
    decimal: str = "."


def _split(line: str, separator: str | None) -> list[str]:
    line = line.strip("\r\n " if separator == "\t" else None)
    try:
        # There may be separators between quotes.
        fields = (
            next(csv.reader([line], delimiter=separator))
            if '"' in line and separator
            else line.split(separator)
        )
    except (csv.Error, StopIteration):  # a field that is too long
        fields = line.split(separator)
    return [field.strip().strip('"') for field in fields]


def _detect(stream: io.BufferedReader, path: Path) -> tuple[_Layout, list[str] | None, list[str]]:
    """Find the separator, the names in the header in lower case, and the first row."""
    lines = (line for _ in range(100) if (line := stream.readline(LONGEST_ROW)))
    texts = (_decode(line.removeprefix(BOM)) for line in lines)
    filled = list(itertools.islice((text for text in texts if text.strip() and not _is_remark(text)), 2))
    if not filled:
        raise DataError(f"{path}: holds no rows; expected an image on each line")
    separator = _find_separator(filled[-1])
    layout = _Layout(separator, False, None, [])
    if separator != "," and _has_decimal_commas(_split(filled[-1], separator)):
        layout = layout._replace(decimal=",")
    fields = _split(filled[0], layout.separator)
    names = [field.lower() for field in fields]
    words = sum(not _is_number(field, layout.decimal) for field in fields)
    is_header = 2 * words > len(fields) or any(name in LABELS for name in names) or _are_numbered(names)
    if not is_header:
        return layout, None, fields
    if len(filled) < 2:
        raise DataError(f"{path}: holds no rows; expected an image on each line after the header")
    return layout._replace(has_header=True), names, _split(filled[1], layout.separator)


def _find_separator(line: str) -> str | None:
    """The separator of a line of numbers: one that is there often; white space if none is."""
    often = [separator for separator in SEPARATORS if line.count(separator) >= 8]
    separator = often[0] if often else max(SEPARATORS, key=line.count)
    return separator if separator in line else None


def _has_decimal_commas(fields: list[str]) -> bool:
    """Whether commas stand for decimal points, and cannot stand for thousands."""
    commas = [field for field in fields if re.fullmatch(r"-?\d+,\d+", field)]
    return any(len(field.partition(",")[2]) != 3 or field.lstrip("-").startswith("0,") for field in commas)


def _are_numbered(names: list[str]) -> bool:
    """Whether names are numbers, of which pandas makes no two alike (0, 0.1, 0.2, …); those of pixels often are."""
    numbers = [name for name in names if _is_number(name)]
    if len(numbers) < max(4, len(names) - 2) or not all(re.fullmatch(r"\d+(\.\d+)?", n) for n in numbers):
        return False
    wholes = [number.partition(".")[0] for number in numbers]
    if wholes == [str(i + int(wholes[0])) for i in range(len(wholes))] and wholes[0] in "01":
        return True
    seen: dict[str, int] = {}
    for number, whole in zip(numbers, wholes, strict=True):
        count = seen.get(whole, 0)
        if number != (f"{whole}.{count}" if count else whole):
            return False
        seen[whole] = count + 1
    return len(numbers) > 16


def _is_remark(line: str | bytes) -> bool:
    """Whether a line is a comment, or Excel's word on the separator."""
    start = line[:4] if isinstance(line, str) else line[:4].decode("latin-1")
    return start.startswith("#") or start.lower() == "sep="


def _decode(text: bytes) -> str:
    """Decode what is UTF-8, or else has one byte a letter, as on Windows."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _is_number(field: str, decimal: str = ".") -> bool:
    field = field.replace(decimal, ".")
    try:
        float(field.partition(":")[2] or field)
    except ValueError:
        return False
    return True


def _find_labels(path: Path, table: NDArray[Any]) -> int:
    """Return 0 or -1, the column of the labels in a table without names."""
    columns = table.shape[1]
    if math.isqrt(columns - 1) ** 2 != columns - 1:
        raise DataError(
            f"{path}: {pluralise(columns, 'column')} are no square image, with or without a label; for other arrays, "
            "tinygrad_mnist.data.Dataset(images, labels) takes any"
        )
    likely = [i for i in (0, -1) if _may_be_labels(table[:, i])]
    if len(likely) == 2 and len(table) > 1:
        small = [i for i in likely if table[:, i].max() < 100]
        likely = small if len(small) == 1 else likely
    if len(likely) == 2 and len(table) > 1:
        raise DataError(
            f"{path}: the first and the last column could both be labels; name them in a header line, such as "
            "label,pixel0,pixel1,…"
        )
    return likely[0] if likely else 0


def _may_be_labels(column: NDArray[Any]) -> bool:
    return bool(
        (column >= 0).all() and (column % 1 == 0).all() and (column.min() < column.max() or len(column) == 1)
    )


def _as_numbers(labels: NDArray[Any]) -> NDArray[Any]:
    """Make integers of labels, if they are; text stays text."""
    try:
        numbers = labels.astype(np.float64)
        whole = numbers.astype(np.int64)
    except (ValueError, OverflowError):
        return labels.astype(str)
    return whole if (whole == numbers).all() else labels.astype(str)


def _read(path: Path, dtype: type, layout: _Layout, longest: int) -> NDArray[Any]:
    layout.labels.clear()
    is_exact = longest == LONGEST_LINE
    with open_unpacked(path) as stream:
        rows = _Rows(stream, path, layout, longest)
        try:
            # loadtxt gets one row at a time, so if it stops, the last one is bad.
            table: NDArray[Any] = np.loadtxt(
                rows,
                dtype=dtype,
                delimiter=layout.separator,
                comments=None,
                ndmin=2,
                quotechar=None if is_exact else '"',
            )
        except DataError:
            raise
        except ValueError as error:
            if is_exact:
                _blame(path, rows.count, rows.last)
            if dtype is np.uint8 and "could not convert" in str(error):
                raise _NotBytesError(str(error)) from error
            raise DataError(f"{path}, row {rows.count:,}: {error}") from error
    if is_exact and table.shape[1] != 1 + PIXELS:
        _blame(path, rows.count, rows.last)
    if table.dtype != np.uint8 and not np.isfinite(table).all():
        row = int(np.argwhere(~np.isfinite(table))[0, 0])
        raise DataError(f"{path}, row {row + 1:,}: holds a number that is not finite")
    return table


class _Rows:
    """The rows of a file, without a header or blank lines; counted, and limited in number and length."""

    def __init__(self, stream: io.BufferedReader, path: Path, layout: _Layout, longest: int) -> None:
        self.stream = stream
        self.path = path
        self.layout = layout
        self.longest = longest
        self.count = 0
        self.last = b""

    def __iter__(self) -> Iterator[bytes]:
        lines = 0
        is_first = True
        while line := self.stream.readline(LONGEST_ROW if is_first else self.longest):
            lines += 1
            if lines > 2 * MAX_EXAMPLES:  # half of them may be blank
                raise DataError(f"{self.path}: more than {2 * MAX_EXAMPLES:,} lines")
            if line.isspace() or (not self.count and _is_remark(line.removeprefix(BOM))):
                continue
            if is_first:
                is_first = False
                line = line.removeprefix(BOM)
                if self.layout.has_header or _is_header(line):
                    continue
            self.count += 1
            self.last = line
            if len(line) >= self.longest:
                raise DataError(f"{self.path}, row {self.count:,}: too long for a label and {PIXELS} pixels")
            if self.count > MAX_EXAMPLES:
                raise DataError(f"{self.path}: more than {MAX_EXAMPLES:,} rows")
            # Of the others, loadtxt expects as many columns.
            if self.longest == LONGEST_LINE and self.count == 1 and line.count(b",") != PIXELS:
                _blame(self.path, 1, line)
            if self.layout.label is not None:
                line = self._without_label(line)
            yield line if self.layout.decimal == "." else line.replace(b",", b".")
        if self.count == 0:
            raise DataError(f"{self.path}: holds no rows; expected a label and {PIXELS} pixels on each line")

    def _without_label(self, line: bytes) -> bytes:
        separator = None if self.layout.separator is None else self.layout.separator.encode()
        if separator is not None and b'"' in line:
            fields = [field.encode() for field in _split(_decode(line), separator.decode())]
        else:
            fields = line.split(separator)
        place = self.layout.label or 0
        if place >= len(fields):
            raise DataError(f"{self.path}, row {self.count:,}: has no label in column {place + 1}")
        label = _decode(fields.pop(place).strip().strip(b'"'))
        if not label:
            raise DataError(f"{self.path}, row {self.count:,}: the label is empty")
        self.layout.labels.append(label)
        return (separator or b" ").join(fields)


def _is_header(line: bytes) -> bool:
    return line.lstrip(b'"').lower().startswith(b"label")


def _read_pairs(path: Path) -> Table:
    """Read the format of LIBSVM: a label, then the number of each pixel that is not 0, a colon, and its value."""
    labels: list[str] = []
    rows: list[NDArray[np.float64]] = []
    with open_unpacked(path) as stream:
        for line in _Rows(stream, path, _Layout(None, False, 0, labels), LONGEST_ROW):
            try:
                pairs = np.array([field.split(b":") for field in line.split()], dtype=np.float64).reshape(
                    -1, 2
                )
            except ValueError as error:
                raise DataError(f"{path}, row {len(labels):,}: not a number, a colon and a value") from error
            if not (np.isfinite(pairs).all() and ((pairs[:, 0] >= 1) & (pairs[:, 0] <= 2**16)).all()):
                raise DataError(
                    f"{path}, row {len(labels):,}: pixels are numbered from 1, to {2**16:,} at most"
                )
            rows.append(pairs)
    columns = int(max((pairs[:, 0].max() for pairs in rows if len(pairs)), default=1))
    side = math.isqrt(columns - 1) + 1  # the last pixels may be 0 in all images
    if len(rows) * side * side > 2**29:
        raise DataError(f"{path}: {len(rows):,} images of {side}×{side} pixels are too many")
    table = np.zeros((len(rows), side * side), np.float32)
    for row, pairs in zip(table, rows, strict=True):
        row[pairs[:, 0].astype(int) - 1] = pairs[:, 1]
    return Table(table, _as_numbers(np.array(labels)))


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
