"""The history of a training: one row per epoch, saved as JSON lines."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import DataError, choice, pluralise, quote, require
from ..files import replace
from ..notebook import Html, card, chart, ends, shorten, table
from ..notebook import row as row_of
from ..reading import parse_json, read_bytes

__all__ = ["History"]

Row = dict[str, Any]

#: The largest file of a history, in bytes, and the most rows and different measures in it.
LARGEST_HISTORY, MOST_EPOCHS, MOST_MEASURES = 2**24, 100_000, 200

#: The largest number that a notebook shows.
MOST_ROWS, MOST_COLUMNS, MOST_CHARTS = 12, 16, 4


class History(Sequence[Row]):
    """One dict per epoch: ``epoch``, ``lr``, ``train_loss``, and everything else that was measured.

    The rows contain no times, so the same seed gives the same history.

    Parameters
    ----------
    rows : iterable of dict, optional

    Examples
    --------
    >>> history = History([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    >>> history["train_loss"]
    [0.5, 0.25]
    >>> print(history.to_jsonl(), end="")
    {"epoch": 1, "train_loss": 0.5}
    {"epoch": 2, "train_loss": 0.25}
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = list(rows)
        self.stopped = ""  #: why training ended early, or ""
        self.threads: int | None = None  #: how many threads matrix products had, if it is known
        self.backend = ""  #: what ran the steps: "eager", "numpy" or "numba"; "" if it is not known
        self.seconds = 0.0  #: how long training took, in all processes that trained

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: int | slice | str) -> Any:
        """Return a row, some rows, or one measure of all of them."""
        if isinstance(index, str):
            if self.rows and not any(index in row for row in self.rows):
                raise choice("measure", index, {name for row in self.rows for name in row})
            return [row.get(index) for row in self.rows]
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def append(self, row: Row) -> None:
        """Add an epoch."""
        self.rows.append(row)

    def best(self, measure: str) -> Row:
        """Return the row with the lowest loss, or the highest value of any other measure.

        Raises
        ------
        DataError
            If no row has this measure.
        """
        rows = [row for row in self.rows if is_finite(row.get(measure))]
        if not rows:
            found = sorted({name for row in self.rows for name in row})
            raise DataError(
                f"no epoch has a finite {measure!r}; measured: {', '.join(found) or 'nothing yet'}"
            )
        return (min if measure.endswith("loss") else max)(rows, key=lambda row: row[measure])

    def to_jsonl(self) -> str:
        """Return the rows as text, one JSON object per line."""
        return "".join(
            json.dumps({name: _jsonable(value) for name, value in row.items()}) + "\n" for row in self.rows
        )

    def to_pandas(self) -> Any:
        """Return the rows as a data frame of pandas, with a column for each measure.

        Raises
        ------
        MissingExtraError
            Without pandas.

        Examples
        --------
        >>> History([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]).to_pandas()
               train_loss
        epoch
        1            0.50
        2            0.25
        """
        pandas = require("pandas", extra="pandas", purpose="a data frame of a history")
        frame = pandas.DataFrame(self.rows)
        return frame.set_index("epoch") if "epoch" in frame else frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as JSON lines."""
        replace(Path(path), self.to_jsonl().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        DataError
            If a line is not a JSON object of numbers and texts; the message names the line.
        """
        lines = read_bytes(path, LARGEST_HISTORY).splitlines()
        if len(lines) > MOST_EPOCHS:
            raise DataError(f"{path}: has {len(lines):,} lines; more than {MOST_EPOCHS:,} are not read")
        rows, names = [], set[str]()
        for number, line in enumerate(lines, 1):
            row = parse_json(line, f"{path}, line {number}")
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected an object, found {quote(line)}")
            for name, value in row.items():
                if isinstance(value, (dict, list)):
                    raise DataError(f"{path}, line {number}: {quote(name)} is neither a number nor text")
            names.update(row)
            if len(names) > MOST_MEASURES:
                raise DataError(f"{path}, line {number}: more than {MOST_MEASURES} different measures")
            rows.append(row)
        return cls(rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "History(empty)"
        last = [f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.rows[-1].items()]
        return f"History({pluralise(len(self), 'epoch')}; last: {', '.join(last)})"

    def _repr_html_(self) -> str:
        return card(
            "History", [pluralise(len(self), "epoch"), self.backend, self.stopped], *show_rows(self.rows)
        )


def show_rows(rows: Sequence[Row]) -> list[Html]:
    """Show rows in a notebook: a chart for each kind of measure, and a table of some epochs."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds: dict[str, dict[str, list[tuple[Any, Any]]]] = {}
    for name in names:
        if name not in ("epoch", "lr"):
            whose, _, kind = name.rpartition("_")
            kinds.setdefault(kind, {})[whose or kind] = [
                (row.get("epoch", i), row[name]) for i, row in enumerate(rows, 1) if row.get(name) is not None
            ]
    charts = (
        chart("accuracy (%)", lines, scale=100) if kind == "accuracy" else chart(kind, lines)
        for kind, lines in kinds.items()
    )
    shown = names[:MOST_COLUMNS]
    head = [shorten(name.replace("_", " ")) for name in shown]
    cells = [
        None if row is None else [spell(name, row.get(name)) for name in shown]
        for row in ends(rows, MOST_ROWS)
    ]
    return [row_of(islice(filter(None, charts), MOST_CHARTS)), table(head, cells, left=0)] if rows else []


def spell(name: str, value: Any) -> str:
    """Write a measure as people read it: an accuracy in percent, other numbers with four digits."""
    if isinstance(value, float) and name.endswith("accuracy"):
        return f"{value:.2%}"
    return "–" if value is None else shorten(value)


def is_finite(value: Any) -> bool:
    """Tell whether a measure is a finite number."""
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def _jsonable(value: Any) -> Any:
    """Convert NumPy's numbers to Python's; NaN and infinity, which JSON lacks, become null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
