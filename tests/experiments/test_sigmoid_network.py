"""The configurable sigmoid network."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_it_learns(run, tables, capsys):
    report = run("sigmoid_network", "--seeds", 2)
    rows = tables(report)["Images that were not used for training"]
    assert [row["seed"] for row in rows] == [0, 1]
    assert all(row["test_accuracy"] > 0.85 for row in rows)
    assert {path.name for path in report.folder.iterdir()} == {
        "config.json", "confusion.png", "first_layer.png", "history.jsonl", "history.png", "index.html",
        "model.safetensors", "result.json",
    }  # fmt: skip
    assert "2 hidden layers of 16 neurons: 13,002 variables" in capsys.readouterr().out


def test_it_has_as_many_layers_and_neurons_as_asked_for(run, script):
    report = run("sigmoid_network", "--layers", 3, "--neurons", 5, "--epochs", 1)
    model = tg.training.load_model(
        report.folder / "model.safetensors", classes=[script("sigmoid_network").SigmoidNetwork]
    )
    assert [layer.weight.shape for layer in model.layers] == [(5, 784), (5, 5), (5, 5), (10, 5)]


@pytest.mark.thorough
def test_as_written_is_bare_gradient_descent(run, tables):
    report = run("sigmoid_network", "--as-written", "--epochs", 6)
    assert tables(report)["Images that were not used for training"][0]["validation_accuracy"] > 0.6


def test_the_study_compares_all_activations(run, tables, script):
    report = run("sigmoid_network", "--study", "--epochs", 2)
    rows = tables(report)["Images that were not used for training"]
    assert [row["activation"] for row in rows] == list(script("sigmoid_network").ACTIVATIONS)
    assert (report.folder / "activations.png").is_file()


def test_the_gradients_are_right(script):
    module = script("sigmoid_network")
    rng = np.random.default_rng(0)
    images, labels = rng.random((3, 784)), np.array([1, 5, 9])
    for kind in module.ACTIVATIONS:
        model = module.SigmoidNetwork(2, 4, kind).astype(np.float64)
        module.squared_error(model(images), labels).backward()
        for parameter in model.parameters():
            tg.testing.check_parameter(
                lambda model=model: module.squared_error(model(images), labels), parameter, elements=10
            )


def test_a_negative_number_of_neurons_is_refused(run, tmp_path):
    with pytest.raises(click.BadParameter, match="-1 is not in the range"):
        run("sigmoid_network", "--neurons", -1)
    assert list(tmp_path.iterdir()) == []
