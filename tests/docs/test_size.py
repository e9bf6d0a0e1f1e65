"""Lines of code are counted as a reader would: what runs, and nothing that only explains it."""

from __future__ import annotations

import pytest
import size


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("\n# a comment\n\n", 0),
        ("x = 1  # why\n", 1),
        ('"""A module."""\nx = 1\n', 1),
        ('def f():\n    """Say.\n\n    More.\n    """\n    return 1\n', 2),
        ('class A:\n    x = 1\n    """What x is."""\n', 2),
        ('text = """one\ntwo"""\n', 2),
        ("y = (\n    # half of it\n    1\n)\n", 3),
    ],
)
def test_only_code_counts(source, lines):
    assert size.count_lines(source) == lines


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with an engine of 2 lines, another file of 1 and a room of 3."""
    for name, lines in {"graph": 2, "other": 1, "ops/__init__": 1, "ops/deep/sums": 2}.items():
        path = tmp_path / "small" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" * lines)
    monkeypatch.setattr(size, "ROOT", tmp_path)
    return {"package": "small", "engine": ["graph"], "goal": {"ops": 1}}


def test_rooms_are_folders_and_the_engine_is_named(package, capsys):
    size.main({**package, "budget": {"engine": 2, "ops": 3, "the package": 6}}, ["ops"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["room", "lines", "budget", "goal"],
        ["engine", "2", "2"],
        ["ops", "3", "3", "1"],
        ["ops/__init__.py", "1"],
        ["ops/deep/sums.py", "2"],
        ["other", "files", "1"],
        ["the", "package", "6", "6"],
    ]


@pytest.mark.parametrize("room", ["engine", "ops", "the package"])
def test_a_room_over_its_budget_is_named(package, room):
    with pytest.raises(SystemExit, match=f"over the budget: {room}"):
        size.main({**package, "budget": {room: 1}})


def test_names_that_lead_nowhere_are_refused(package):
    with pytest.raises(SystemExit, match=r"not there: operand\.py"):
        size.main({**package, "engine": ["graph", "operand"], "budget": {}})
    with pytest.raises(SystemExit, match="no room 'opps'; valid: engine, ops"):
        size.main({**package, "budget": {}}, ["opps"])
    with pytest.raises(SystemExit, match="no room 'nn'"):
        size.main({**package, "budget": {"nn": 3}})
