"""A recurrent network that reads digits row by row."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_it_learns_to_read(run, tables):
    report = run("row_by_row", "--neurons", 48, "--epochs", 3)
    (row,) = tables(report)["Digits read to the last row"]
    assert row["test_accuracy"] > 0.75
    assert row["validation_accuracy"] > 0.75
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints",
        "beliefs.png", "changes.png", "config.json", "index.html", "model.safetensors", "result.json", "rows.png",
    }  # fmt: skip


def test_what_it_believes_depends_on_the_rows_read_so_far_only(script):
    model = script("row_by_row").RowReader(neurons=8)
    images = np.random.default_rng(0).random((2, 784), np.float32)
    images[1, : 14 * 28] = images[0, : 14 * 28]
    with tg.no_grad():
        scores = model(images).data
    assert scores.shape == (2, 28, 10)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores[0, :14], scores[1, :14])
    assert not np.allclose(scores[0, 14:], scores[1, 14:])


def test_a_neuron_that_replaces_nothing_remembers(script):
    model = script("row_by_row").RowReader(neurons=4)
    with tg.no_grad():
        model.cell.bias[:4] = -100  # no gate opens
    rng = np.random.default_rng(0)
    row, memory = rng.random((3, 28), np.float32), rng.random((3, 4), np.float32)
    with tg.no_grad():
        np.testing.assert_array_equal(model.read(row, memory).data, memory)


def test_the_gradient_of_the_cell_is_right(script):
    model = script("row_by_row").RowReader(neurons=3).astype(np.float64)
    rng = np.random.default_rng(0)
    tg.testing.gradcheck(
        lambda row, memory: np.sum(np.square(model.read(row, memory))),
        rng.normal(size=(2, 28)),
        rng.normal(size=(2, 3)),
    )


def test_the_gradients_through_all_rows_are_right(script):
    module = script("row_by_row")
    model = module.RowReader(neurons=4).astype(np.float64)
    images, labels = np.random.default_rng(0).random((3, 784)), np.array([1, 5, 9])
    module.asked_after_every_row(model(images), labels).backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(
            lambda: module.asked_after_every_row(model(images), labels), parameter, elements=10
        )


def test_the_loss_asks_after_every_row(script):
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(5, 28, 10)), rng.integers(10, size=5)
    after = [tg.nn.functional.cross_entropy(scores[:, row], labels) for row in range(28)]
    np.testing.assert_allclose(script("row_by_row").asked_after_every_row(scores, labels), np.mean(after))


@pytest.mark.thorough
def test_the_model_can_be_used_again(run, script):
    report = run("row_by_row", "--neurons", 5, "--epochs", 1)
    model = tg.training.load_model(
        report.folder / "model.safetensors", classes=[script("row_by_row").RowReader]
    )
    assert model.cell.weight.shape == (10, 33)


def test_no_neurons_are_refused(run, tmp_path):
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        run("row_by_row", "--neurons", 0)
    assert list(tmp_path.iterdir()) == []
