"""Histories: rows, columns, the best epoch, and JSON lines there and back."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from tinygrad_mnist.errors import DataError, OptionError
from tinygrad_mnist.training import History

ROWS = [
    {"epoch": 1, "lr": 0.1, "train_loss": 0.5, "validation_accuracy": 0.7},
    {"epoch": 2, "lr": 0.1, "train_loss": 0.25, "validation_accuracy": 0.9},
    {"epoch": 3, "lr": 0.01, "train_loss": 0.3, "validation_accuracy": 0.9},
]


def test_a_sequence_of_rows():
    history = History(ROWS)
    assert len(history) == 3
    assert list(history) == ROWS
    assert history[0] is ROWS[0]
    assert history[-1] == ROWS[2]
    assert history[1:] == ROWS[1:]
    assert ROWS[1] in history
    with pytest.raises(IndexError):
        history[3]


def test_columns():
    history = History([*ROWS, {"epoch": 4, "extra": 1}])
    assert history["train_loss"] == [0.5, 0.25, 0.3, None]
    assert history["extra"] == [None, None, None, 1]
    with pytest.raises(OptionError, match="unknown measure 'nothing'; valid: epoch, extra"):
        history["nothing"]


def test_appending_leaves_the_list_it_was_made_of():
    rows = list(ROWS)
    history = History(rows)
    history.append({"epoch": 4})
    assert len(rows) == 3
    assert len(history) == 4
    assert len(History()) == 0


def test_best():
    history = History(ROWS)
    assert history.best("train_loss") is ROWS[1]
    assert history.best("validation_accuracy") is ROWS[1]  # of equal ones the first
    assert history.best("lr") is ROWS[0]
    assert History([{"epoch": 1}, {"epoch": 2, "validation_loss": 3.0}]).best("validation_loss")["epoch"] == 2


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_not_a_number_is_never_the_best(order):
    rows = [{"train_loss": math.nan, "accuracy": math.nan}, {"train_loss": 2.0, "accuracy": 0.1}]
    history = History(rows[::order])
    assert history.best("train_loss") is rows[1]
    assert history.best("accuracy") is rows[1]


def test_no_best():
    with pytest.raises(DataError, match=r"validation_loss.*epoch, lr, train_loss, validation_accuracy"):
        History(ROWS).best("validation_loss")
    with pytest.raises(DataError, match="nothing yet"):
        History().best("train_loss")


def test_equality():
    assert History(ROWS) == History([dict(row) for row in ROWS])
    assert History(ROWS) != History(ROWS[:2])
    assert History(ROWS) != ROWS
    assert History() == History()
    with pytest.raises(TypeError):
        hash(History())


def test_repr():
    assert repr(History(ROWS)).startswith("History(3 epochs")
    assert "train_loss=0.3" in repr(History(ROWS))
    assert "empty" in repr(History())
    assert "new record" in repr(History([{"epoch": 1, "note": "new record", "missing": None}]))


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [],
        [{"epoch": 1, "train_loss": 0.1 + 0.2, "lr": 5e-324, "big": 1.7976931348623157e308}],
        [{"epoch": 1, "note": "größer\u2028 als\n\x85 'vorher'"}, {}],
    ],
    ids=["usual", "empty", "extreme", "text"],
)
def test_there_and_back(tmp_path, rows):
    path = tmp_path / "deeper" / "history.jsonl"
    History(rows).save(path)
    loaded = History.load(path)
    assert loaded.rows == rows
    assert loaded == History(rows)
    assert loaded.to_jsonl() == path.read_text(encoding="utf-8")
    assert len(path.read_bytes().splitlines()) == len(rows)
    assert [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] == rows


def test_numpy_numbers_are_numbers(tmp_path):
    row = {"epoch": 1, "share": np.float32(0.5), "count": np.int64(3), "is_best": np.True_}
    History([row]).save(tmp_path / "h.jsonl")
    assert History.load(tmp_path / "h.jsonl").rows == [
        {"epoch": 1, "share": 0.5, "count": 3, "is_best": True}
    ]


def test_saving_replaces_the_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "history.jsonl"
    History(ROWS).save(path)
    History(ROWS[:1]).save(str(path))
    assert History.load(str(path)).rows == ROWS[:1]

    def fails(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        History(ROWS).save(path)
    monkeypatch.undo()
    assert History.load(path).rows == ROWS[:1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"epoch": 2',
        b"[1, 2]",
        b"7",
        b'"epoch"',
        b"null",
        b"epoch 2",
        b'{"a": 1} {"b": 2}',
        b"\xff\xfe{}",
        b"",
    ],
    ids=repr,
)
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"epoch": 1}\n' + line + b'\n{"epoch": 3}\n')
    with pytest.raises(DataError, match=r"history\.jsonl, line 2\b"):
        History.load(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(OSError, match=r"none\.jsonl"):
        History.load(tmp_path / "none.jsonl")
