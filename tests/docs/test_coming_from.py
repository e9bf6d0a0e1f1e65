"""The page for those who come from other libraries: every name of ours on it exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tinygrad_mnist as tg

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming_from.md"
NAME = re.compile(r"\btg((?:\.[a-zA-Z_]\w*)+)")


def missing(text: str) -> list[str]:
    """The names of ours in a text that lead nowhere."""
    found = []
    for name in sorted(set(NAME.findall(text))):
        thing = tg
        for part in name[1:].split("."):
            thing = getattr(thing, part, None)
        if thing is None:
            found.append(f"tg{name}")
    return found


def test_every_name_exists():
    text = PAGE.read_text(encoding="utf-8")
    assert len(set(NAME.findall(text))) > 70
    assert missing(text) == []


@pytest.mark.parametrize("name", ["tg.nn.Lineal", "tg.Tensor.backwards", "tg.training.fit.it"])
def test_a_name_that_leads_nowhere_is_noticed(name):
    assert missing(f"| `Dense` | `{name}(10)` |") == [name]


def test_every_row_has_three_cells():
    """A bar inside code would end a cell."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("|") or line.count("|") == 4, line
