"""The gallery of broken trainings: each has its fault, is mended by its cure, and has its place in the docs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinygrad_mnist.training.broken import BROKEN
from tinygrad_mnist.training.doctor import FAULTS

PAGE = (Path(__file__).parents[2] / "docs" / "broken_trainings.md").read_text(encoding="utf-8")


def test_there_are_twenty_and_the_page_shows_all() -> None:
    assert len(BROKEN) == 20
    assert set(BROKEN) <= set(FAULTS)
    words = " ".join(PAGE.split())
    for code, training in BROKEN.items():
        assert f'>>> ask("{code}")' in PAGE
        assert f"images/broken_{code.replace('-', '_')}.png" in PAGE
        assert training.looks in words
        assert FAULTS[code].cure in words


@pytest.mark.parametrize("code", ["softmax-twice", "broadcast-in-loss", "not-in-optimizer"])
def test_the_doctor_finds_the_fault(code: str) -> None:
    assert BROKEN[code].findings()[0].code == code


# The page's examples ask the doctor about all broken ones; they, too, wait for --thorough.
@pytest.mark.thorough
@pytest.mark.parametrize("code", BROKEN)
def test_the_cure_cures(code: str) -> None:
    assert [finding.code for finding in BROKEN[code].findings(mended=True)] == []


@pytest.mark.parametrize("code", ["softmax-twice", "dead-units"])
def test_the_mended_training_learns_more(code: str) -> None:
    broken, mended = BROKEN[code].losses(), BROKEN[code].losses(mended=True)
    assert np.mean(mended[-10:]) < 0.5 * np.mean(broken[-10:])
