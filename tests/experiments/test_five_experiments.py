"""The five experiments with a hundred hidden neurons."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg

pytest.importorskip("joblib", reason="sweeps need joblib")


@pytest.fixture
def few(tmp_path):
    """A file with 300 digits to learn from, and 200."""
    train, test = tg.data.load_mnist("sample")
    path = tmp_path / "few.npz"
    np.savez(
        path,
        x_train=train.inputs[:300],
        y_train=train.targets[:300],
        x_test=test.inputs[:200],
        y_test=test.targets[:200],
    )
    return path


def test_one_epoch(run, tables):
    report = run("five_experiments", "e1")
    assert tables(report)["One epoch, learning rate 0.3"][0]["test_accuracy"] > 0.8
    assert (report.folder / "model.safetensors").is_file()


@pytest.mark.thorough
def test_all_together(run, tables, few, capsys):
    report = run("five_experiments", "--data", few, "--workers", 1)
    names = {path.name for path in report.folder.iterdir()}
    assert names >= {
        "e1_confusion.png", "e2_learning_rate.png", "e3_epochs.png", "e4_both.png", "e4_both.gif", "e5_backwards.png",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert [line[:2] for line in said.splitlines() if line[:1] == "E"] == ["E1", "E2", "E3", "E4", "E5"]
    assert tables(report)["The best setting, trained on all images"][0]["test_accuracy"] > 0.5


@pytest.mark.parametrize("step", ["gradient", "book"])
def test_the_steps_are_those_derived_by_hand(script, step):
    """The error that goes back to the hidden layer: with the slope of the outputs, and without, as in the book."""
    module = script("five_experiments")
    data = tg.data.Dataset(np.full((1, 28, 28), 100, np.uint8), np.array([4]))
    model = module.Network(seed=0)
    w1, w2 = model.hidden.weight.data.copy(), model.output.weight.data.copy()
    x, t = module.scaled(data.inputs)[0], module.wanted(data.targets)[0]
    h = 1 / (1 + np.exp(-w1 @ x))
    o = 1 / (1 + np.exp(-w2 @ h))
    error = t - o
    slope = o * (1 - o)
    back = w2.T @ (error if step == "book" else error * slope)
    list(module.learn(model, data, lr=0.3, epochs=1, seed=0, step=step))
    np.testing.assert_allclose(
        model.output.weight.data, w2 + 0.3 * np.outer(error * slope, h), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        model.hidden.weight.data, w1 + 0.3 * np.outer(back * h * (1 - h), x), rtol=1e-4, atol=1e-6
    )


def test_pixels_and_targets_are_those_of_the_book(script):
    module = script("five_experiments")
    pixels = module.scaled(np.array([[[0, 255]]], np.uint8).repeat(392, axis=1))
    np.testing.assert_allclose(pixels[0, :2], [0.01, 1.0], rtol=1e-6)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(module.wanted(np.array([1]))[0, :3], [0.01, 0.99, 0.01], rtol=1e-6)


def test_the_inverse_query_goes_back_through_both_layers(script):
    module = script("five_experiments")
    model = module.Network(seed=0)
    image = module.inverse_query(model, 3)
    assert image.shape == (784,)
    np.testing.assert_allclose([image.min(), image.max()], [0.01, 0.99], rtol=1e-5)
    wanted = module.wanted(np.array([3]))[0]
    hidden = np.log(wanted / (1 - wanted)) @ model.output.weight.data
    hidden = 0.01 + 0.98 * (hidden - hidden.min()) / np.ptp(hidden)
    back = np.log(hidden / (1 - hidden)) @ model.hidden.weight.data
    assert np.corrcoef(back, image)[0, 1] > 0.9999


def test_gradient_ascent_finds_what_the_network_takes_for_the_digit(script):
    module = script("five_experiments")
    train, _ = tg.data.load_mnist("sample")
    model = module.Network(0)
    list(module.learn(model, train, 0.3, 1, 0))
    image = module.gradient_ascent(model, 0)
    assert image.min() >= 0
    assert image.max() <= 1
    assert np.argmax(tg.training.predict(model, image[np.newaxis])) == 0


def test_resuming_computes_only_what_is_missing(run, script, few, tmp_path, monkeypatch):
    report = run("five_experiments", "e3", "--data", few, "--workers", 1)
    kept = next((report.folder / "e3").iterdir())
    before = kept.stat().st_mtime_ns
    again = run("five_experiments", "--resume", report.folder)
    assert again.folder == report.folder
    assert kept.stat().st_mtime_ns == before


def test_an_unknown_experiment_is_refused(run):
    with pytest.raises(click.BadParameter, match="'e6' is not one of 'e1', 'e2', 'e3', 'e4', 'e5'"):
        run("five_experiments", "e6")
