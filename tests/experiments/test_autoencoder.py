"""The autoencoder, and its map of the digits."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg

TITLE = "Mean squared error per pixel, on digits that were not used for training"


@pytest.mark.thorough
def test_two_numbers_say_more_than_two_principal_components(run, tables, script):
    report = run("autoencoder")
    (row,) = tables(report)[TITLE]
    assert row["error"] < 0.052 < row["error_of_principal_components"] < 0.06
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints",
        "config.json", "history.jsonl", "history.png", "index.html", "map.png", "model.safetensors", "plane.png",
        "reconstructions.png", "result.json",
    }  # fmt: skip
    model = tg.training.load_model(
        report.folder / "model.safetensors", classes=[script("autoencoder").Autoencoder]
    )
    assert tg.training.predict(model.encoder, tg.data.load_mnist("sample")[1]).shape == (1000, 2)


@pytest.mark.thorough
def test_a_longer_code_has_no_map_and_keeps_more(run, tables):
    report = run("autoencoder", "--code", 16, "--epochs", 3)
    (row,) = tables(report)[TITLE]
    assert row["error"] < 0.045
    assert not (report.folder / "map.png").exists()


def test_principal_components_are_those_of_a_singular_value_decomposition(script):
    images, others = np.random.default_rng(0).random((2, 30, 6))
    centre = images.mean(axis=0)
    directions = np.linalg.svd(images - centre, full_matrices=False)[2][:2]
    kept = centre + (others - centre) @ directions.T @ directions
    error = script("autoencoder").flat_error(images, others, 2)
    np.testing.assert_allclose(error, np.mean((kept - others) ** 2))


def test_the_gradients_are_right(script):
    model = script("autoencoder").Autoencoder().astype(np.float64)
    images = np.random.default_rng(0).random((2, 784))

    def loss():
        return tg.nn.functional.mse_loss(model(images), images)

    loss().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(loss, parameter, elements=5)


def test_a_code_of_no_numbers_is_refused(run):
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        run("autoencoder", "--code", 0)


@pytest.mark.thorough
def test_a_stopped_experiment_goes_on_in_the_middle_of_its_training(run, tables, monkeypatch):
    """It is stopped in the second of two epochs; only that one is computed again."""
    whole = run("autoencoder", "--epochs", 2, "--out", "whole")
    append, epochs = tg.training.History.append, []

    def stop(history, row):
        epochs.append(row["epoch"])
        if epochs == [1, 2]:
            raise KeyboardInterrupt
        append(history, row)

    monkeypatch.setattr(tg.training.History, "append", stop)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        run("autoencoder", "--epochs", 2, "--out", "stopped")
    resumed = run("autoencoder", "--resume", "stopped")
    assert epochs == [1, 2, 2]
    assert tables(resumed) == tables(whole)
    for name in ("history.jsonl", "model.safetensors"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
