"""99 % with fewer than a thousand weights."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_it_learns(run, tables, few_digits):
    report = run("tiny", "--data", few_digits, "--epochs", 3, "--compile", "numpy")
    (row,) = tables(report)["Digits that were not used for training"]
    assert row["weights"] < 1000
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints", "config.json", "history.jsonl", "history.png", "index.html", "mistakes.png",
        "model.safetensors", "result.json", "weights.png",
    }  # fmt: skip


def test_the_weights_are_counted_by_hand(script):
    model = script("tiny").Tiny()
    separable = [9 * a + a * b + 2 * b for a, b in [(6, 9), (9, 9), (9, 9), (9, 9), (9, 8)]]
    assert sum(array.size for array in model.parameters()) == 6 * 9 + 2 * 6 + sum(separable) + 8 * 10 + 10


def test_a_separable_convolution_is_a_convolution_of_fewer_weights(script):
    layer = script("tiny").Separable(3, 4, np.random.default_rng(0)).eval()
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
    full = np.einsum("oc,cij->ocij", layer.mix.weight.data[:, :, 0, 0], layer.look.weight.data[:, 0])
    with tg.no_grad():
        np.testing.assert_allclose(
            layer(x).data,
            tg.nn.functional.relu(layer.norm(tg.nn.functional.conv2d(x, full))).data,
            rtol=1e-5,
            atol=1e-6,
        )


def test_compiled_and_eager_steps_agree(script):
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 784), np.float32), rng.integers(0, 10, 6)
    losses = {}
    for compiled in (False, True):
        model = script("tiny").Tiny((3, 4, 4), seed=1)
        step = tg.training.TrainingStep(
            lambda x, y, model=model: tg.nn.functional.cross_entropy(model(x), y),
            tg.optim.AdamW(model.parameters(), lr=0.01),
            compile=compiled,
            steps=3,
        )
        losses[compiled] = [step(x, y) for _ in range(3)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)


def test_channels_that_are_none_are_refused(run):
    with pytest.raises(click.BadParameter, match="not a list of layer sizes"):
        run("tiny", "--channels", "7,x")
