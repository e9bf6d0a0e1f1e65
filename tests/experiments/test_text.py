"""Text as numbers, and what is measured of models that guess the next character."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import OptionError
from tinygrad_mnist.experiments.text import (
    Text,
    bits,
    counted,
    documentation,
    next_character,
    plot_bits,
    windows,
    write,
)


class Bigrams(tg.nn.Module):
    """A score for each pair of characters."""

    def __init__(self, scores):
        self.scores = tg.nn.Parameter(np.asarray(scores, np.float32))

    def forward(self, text):
        return tg.nn.functional.embedding(text, self.scores)


@pytest.fixture
def model():
    return Bigrams(np.random.default_rng(0).normal(size=(5, 5)))


def test_a_text_comes_back_from_its_numbers():
    text = Text("characters that are numbers " * 3)
    parts = [text.train, text.validation, text.test]
    assert text.decode(np.concatenate(parts)) == "characters that are numbers " * 3
    assert [len(part) for part in parts] == [68, 8, 8]
    assert text.characters == " abcehmnrstu"


def test_a_text_that_cannot_be_cut_is_refused():
    with pytest.raises(OptionError, match="9 characters cannot be cut"):
        Text("too short")
    with pytest.raises(OptionError, match="pieces of 4 and the next character do not fit in 4"):
        windows(np.arange(4), 4)


def test_the_documentation_says_nothing_twice():
    paragraphs = documentation().split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000


@pytest.mark.parametrize("length", [2, 6, 7])
def test_each_character_has_its_own_bits(model, length):
    numbers = np.random.default_rng(1).integers(0, 5, 50)
    first = length - length // 2 + 1
    found = bits(model, numbers, length)
    expected = -np.log2(tg.nn.functional.softmax(model.scores.data)[numbers[:-1], numbers[1:]])[first - 1 :]
    assert len(numbers) - first - length // 2 < len(found) <= len(numbers) - first
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-5)


def test_the_loss_is_the_mean_over_all_characters(model):
    inputs, targets = windows(np.random.default_rng(1).integers(0, 5, 50), 4)
    expected = -np.log(tg.nn.functional.softmax(model.scores.data)[inputs, targets]).mean()
    assert next_character(model(inputs), targets).item() == pytest.approx(expected, rel=1e-5)


def test_counting_is_laplace_s_rule_of_different_characters():
    # After "0" came "1" twice: (2 + 1 · p) / (2 + 1), with p = (2 + 3 · ⅓) / (5 + 2), where 2 are different.
    train = np.array([0, 1, 0, 1, 2])
    once = (2 + 3 * (1 / 3)) / (5 + 3)
    expected = -np.log2([(2 + 3 / 3) / 8, (2 + 1 * once) / 3])
    assert counted(train, np.array([0, 1]), 1, 3) == pytest.approx(expected.mean())


def test_what_is_certain_is_written():
    model = Bigrams(100 * np.roll(np.eye(4), 1, axis=1))  # each is followed by the next
    assert write(model, np.array([2]), 6, length=3, rng=0).tolist() == [2, 3, 0, 1, 2, 3, 0]


def test_temperature_makes_the_likely_likelier(model):
    start = np.zeros(1, int)
    cold = write(model, start, 200, length=1, temperature=0.01, rng=0)
    best = model.scores.data.argmax(axis=1)
    np.testing.assert_array_equal(cold[1:], best[cold[:-1]])
    warm = write(model, start, 200, length=1, rng=0)
    assert np.any(warm[1:] != best[warm[:-1]])
    np.testing.assert_array_equal(warm, write(model, start, 200, length=1, rng=0))


def test_each_character_is_drawn_on_its_bits():
    figure = plot_bits("ab\n\ncde", np.arange(7.0), columns=2)
    axes = figure.axes[0]
    assert [(t.get_text(), *t.get_position()) for t in axes.texts] == [
        ("a", 0, 0), ("b", 1, 0), ("c", 0, 2), ("d", 1, 2), ("e", 0, 3),
    ]  # fmt: skip
    shades = np.asarray(axes.images[0].get_array().filled(-1))
    np.testing.assert_array_equal(shades, [[0, 1], [-1, -1], [4, 5], [6, -1]])
