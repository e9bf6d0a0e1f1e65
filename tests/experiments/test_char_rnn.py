"""A recurrent network that writes text."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg

TITLE = "Bits for each character that was not learned from"


@pytest.mark.thorough
def test_it_learns_a_rhyme_by_heart(run, tables, rhyme, capsys):
    report = run("char_rnn", "--neurons", 24, "--epochs", 12, "--compile", "numpy")
    (row,) = tables(report)["Bits for each character that was not learned from"]
    assert row["test_bits"] < 0.3
    assert " sat on the mat" in capsys.readouterr().out
    assert {path.name for path in report.folder.iterdir()} == {
        "bits.png", "checkpoints", "config.json", "history.jsonl", "history.png", "index.html",
        "model.safetensors", "result.json",
    }  # fmt: skip


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_scores_depend_on_what_came_before_only(script, cell):
    model = script("char_rnn").CharacterRNN(7, 5, cell)
    text = np.random.default_rng(0).integers(0, 7, (2, 9))
    text[1, :4] = text[0, :4]
    with tg.no_grad():
        scores = model(text).data
    assert scores.shape == (2, 9, 7)
    np.testing.assert_array_equal(scores[0, :4], scores[1, :4])
    assert np.any(scores[0, 4:] != scores[1, 4:])
