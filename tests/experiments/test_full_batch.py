"""Full-batch descent, and a bias gradient that is found wrong."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional


@pytest.fixture
def module(script):
    return script("full_batch")


@pytest.mark.thorough
def test_it_learns(run, tables, capsys):
    report = run("full_batch", "--iterations", 50)
    (row,) = tables(report)["After 50 iterations on 3,333 images"]
    assert row["training_accuracy"] > 0.9
    assert row["validation_accuracy"] > 0.85
    assert row["test_accuracy"] > 0.85
    said = capsys.readouterr().out
    assert "iteration  25  loss" in said
    assert "iteration  50  loss" in said
    assert said.count("iteration ") == 2
    assert {path.name for path in report.folder.iterdir()} == {
        "after.png", "before.png", "config.json", "history.jsonl", "history.png", "index.html",
        "model.safetensors", "result.json",
    }  # fmt: skip


def test_all_images_take_part_in_each_iteration(module):
    seen = []

    class Watched(module.Network):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    images, labels = np.random.default_rng(0).random((30, 784), np.float32), np.arange(30) % 10
    history = module.descend(Watched(), images, labels, 4)
    assert seen == [30] * 4
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.thorough
def test_as_written_is_bare_gradient_descent_on_raw_pixels(run, tables):
    report = run("full_batch", "--as-written", "--iterations", 30)
    assert tables(report)["After 30 iterations on 3,333 images"][0]["training_accuracy"] > 0.2
    losses = [
        json.loads(line)["train_loss"] for line in (report.folder / "history.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < losses[0]


def test_the_gradients_are_right(module):
    model = module.Network().astype(np.float64)
    images, labels = np.random.default_rng(0).random((4, 784)), np.array([1, 5, 9, 0])

    def loss():
        return functional.cross_entropy(model(images), labels, label_smoothing=0.1)

    loss().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(loss, parameter, elements=10)


def test_the_bug_is_found_and_named(run, tables, capsys):
    report = run("full_batch", "--bug", "--iterations", 12)
    said = capsys.readouterr().out
    assert "check_graph: 3 wrong in 15 operations\n  add_bias, argument bias at" in said
    assert "in forward: return add_bias(x @ self.weight.T, self.bias)" in said
    for layer in ("first", "second", "output"):
        assert f"in the module {layer}.ScalarBias" in said
    assert "gradcheck: the gradient of argument 1 (shape (3,)) is wrong in 3 of 3 elements" in said
    rows = tables(report)["After 12 iterations on 3,333 images"]
    low, high = rows[0]["biases_of_the_first_layer"].split(" to ")
    assert low == high  # all biases are moved alike


def test_no_iterations_are_refused(run, tmp_path):
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        run("full_batch", "--iterations", 0)
    assert list(tmp_path.iterdir()) == []
