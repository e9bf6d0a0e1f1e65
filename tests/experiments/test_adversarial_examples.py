"""Attacks on a classifier, and training against them."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg

TITLE = "Test images, with pixels changed by at most 0.1"


@pytest.mark.thorough
def test_attacks_lower_the_accuracy_and_noise_does_not(run, tables):
    report = run("adversarial_examples", "--epochs", 4)
    (row,) = tables(report)[TITLE]
    assert row["unchanged_accuracy"] > 0.9
    assert row["noise_accuracy"] > row["unchanged_accuracy"] - 0.05
    assert row["10_steps_accuracy"] <= row["one_step_accuracy"] + 0.01 < 0.3
    assert {path.name for path in report.folder.iterdir()} == {
        "accuracy.png", "attack_usual.png", "config.json", "index.html", "model_usual.safetensors", "result.json",
    }  # fmt: skip


@pytest.mark.thorough
def test_a_defended_network_withstands_more(run, tables):
    report = run("adversarial_examples", "--defend", "--epochs", 6, "--neurons", 50, "--steps", 2)
    usual, defended = tables(report)[TITLE]
    assert defended["2_steps_accuracy"] > usual["2_steps_accuracy"] + 0.3
    assert defended["unchanged_accuracy"] > 0.75
    assert (report.folder / "attack_defended.png").is_file()


@pytest.fixture
def digits():
    return tg.data.load_mnist("sample")[1][:40]


@pytest.fixture
def trained():
    model = tg.nn.MLP([784, 30, 10], rng=0)
    tg.training.fit(model, tg.data.load_mnist("sample")[0], epochs=2, rng=0, progress=False)
    return model


@pytest.mark.parametrize("steps", [1, 4])
def test_pixels_stay_within_the_size_and_from_0_to_1(script, digits, steps):
    images, labels = digits
    before = images.copy()
    changed = script("adversarial_examples").attack(
        tg.nn.MLP([784, 8, 10], rng=0), images, labels, 0.1, steps
    )
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert 0.09 < np.abs(changed - images).max() <= 0.1 + 1e-6
    np.testing.assert_array_equal(images, before)


def test_more_steps_raise_the_loss_further(script, digits, trained):
    images, labels = digits
    attack = script("adversarial_examples").attack
    losses = [
        tg.training.evaluate(trained, (changed, labels))["loss"]
        for changed in (
            images,
            attack(trained, images, labels, 0.05),
            attack(trained, images, labels, 0.05, 10),
        )
    ]
    assert losses[0] + 0.5 < losses[1] <= losses[2] * 1.001


def test_one_step_is_the_fast_gradient_sign(script, digits, trained):
    images, labels = digits
    module = script("adversarial_examples")
    signs = np.sign(module.slope(trained, images, labels))
    np.testing.assert_allclose(
        module.attack(trained, images, labels, 0.07), np.clip(images + 0.07 * signs, 0, 1), atol=1e-6
    )


def test_noise_moves_every_pixel_as_far(script):
    images = np.full((5, 784), 0.5, np.float32)
    noisy = script("adversarial_examples").add_noise(images, 0.2, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(noisy - images), 0.2, atol=1e-6)
    assert noisy.dtype == np.float32
    assert abs(np.mean(noisy) - 0.5) < 0.02


def test_the_gradient_with_respect_to_the_image_is_right(script):
    rng = np.random.default_rng(0)
    images, labels = rng.random((3, 784)), np.array([1, 5, 9])
    model = tg.nn.MLP([784, 6, 10], activation="tanh", rng=0, dtype=np.float64)
    slope = script("adversarial_examples").slope(model, images, labels)
    pixels = rng.choice(images.size, 40, replace=False)
    (expected,) = tg.testing.numerical_gradient(
        lambda x: tg.nn.functional.cross_entropy(model(x), labels, reduction="sum").item(),
        images,
        indices=[pixels],
    )
    np.testing.assert_allclose(slope.ravel()[pixels], expected.ravel()[pixels], rtol=1e-5, atol=1e-9)


def test_asking_the_pixels_leaves_no_gradient_on_the_weights(script, digits):
    model = tg.nn.MLP([784, 6, 10], rng=0)
    script("adversarial_examples").attack(model, *digits, 0.1, 2)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("size", [0, 1.5])
def test_a_size_that_makes_no_sense_is_refused(run, tmp_path, size):
    with pytest.raises(click.BadParameter, match="is not in the range"):
        run("adversarial_examples", "--size", size)
    assert list(tmp_path.iterdir()) == []
