"""A small GPT."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.experiments.text import next_character


@pytest.fixture
def gpt(script):
    return script("tiny_gpt")


@pytest.mark.thorough
def test_it_learns_a_rhyme_by_heart(run, tables, rhyme):
    report = run("tiny_gpt", "--size", 24, "--blocks", 1, "--epochs", 10, "--compile", "numpy")
    (row,) = tables(report)["Bits for each character that was not learned from"]
    assert row["test_bits"] < 0.7  # less than 0.74, which the last character alone says
    assert {path.name for path in report.folder.iterdir()} == {
        "bits.png", "checkpoints", "config.json", "history.jsonl", "history.png", "index.html", "looks.png",
        "model.safetensors", "result.json",
    }  # fmt: skip


def test_no_character_looks_ahead(gpt):
    model = gpt.GPT(7, 8, blocks=2).eval()
    text = np.random.default_rng(0).integers(0, 7, (2, 9))
    text[1, :4] = text[0, :4]
    with tg.no_grad():
        scores = model(text).data
    assert scores.shape == (2, 9, 7)
    np.testing.assert_allclose(scores[0, :4], scores[1, :4], atol=1e-6)
    assert not np.allclose(scores[0, 4:], scores[1, 4:])


def test_where_it_looks_adds_up_to_one(gpt):
    model = gpt.GPT(7, 8, blocks=2).eval()
    weights = gpt.looks(model, np.arange(6))
    assert weights.shape == (2, 4, 6, 6)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert np.all(np.triu(weights, 1) == 0)


def test_the_gradients_are_right(gpt):
    model = gpt.GPT(5, 4, heads=2, blocks=1).eval().astype(np.float64)
    text = np.random.default_rng(0).integers(0, 5, (2, 7))

    def loss():
        return next_character(model(text[:, :-1]), text[:, 1:])

    loss().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(loss, parameter, elements=4)


def test_compiled_and_eager_steps_agree(gpt):
    text = np.random.default_rng(0).integers(0, 5, (3, 9))
    losses = {}
    for compiled in (False, True):
        model = gpt.GPT(5, 8, blocks=2, dropout=0.0)
        step = tg.training.TrainingStep(
            lambda x, y, model=model: next_character(model(x), y),
            tg.optim.AdamW(model.parameters(), lr=0.01),
            compile=compiled,
            steps=4,
        )
        losses[compiled] = [step(text[:, :-1], text[:, 1:]) for _ in range(4)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
    assert losses[True][-1] < losses[True][0]
