"""The variational autoencoder: its cost, and what it draws."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg

TITLE = "Cost in nats, on digits that were not used for training"


@pytest.fixture
def small(script):
    """A small model in float64, and a function of its cost with the same noise each time."""
    model = script("variational_autoencoder").VariationalAutoencoder(code=3, neurons=6).astype(np.float64)
    images = np.random.default_rng(1).random((2, 784))

    def cost():
        model.rng = np.random.default_rng(2)
        return np.mean(model(images))

    return model, images, cost


@pytest.mark.thorough
def test_it_learns(run, tables, script):
    report = run("variational_autoencoder")
    (row,) = tables(report)[TITLE]
    assert row["cost"] < 150  # a model that knows nothing but the mean image costs about 206
    assert row["divergence"] > 10  # the code is used
    np.testing.assert_allclose(row["reconstruction"] + row["divergence"], row["cost"])
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints",
        "config.json", "history.jsonl", "history.png", "index.html", "model.safetensors", "new_digits.png",
        "result.json", "walks.png",
    }  # fmt: skip
    cls = script("variational_autoencoder").VariationalAutoencoder
    model = tg.training.load_model(report.folder / "model.safetensors", classes=[cls])
    new = model.decode(np.random.default_rng(0).standard_normal((50, 16), np.float32)).data
    assert 0 <= new.min() < 0.05
    assert 0.9 < new.max() <= 1


@pytest.mark.thorough
def test_two_numbers_have_a_map(run):
    report = run("variational_autoencoder", "--code", 2, "--epochs", 1)
    assert (report.folder / "map.png").is_file()
    assert (report.folder / "plane.png").is_file()


def test_the_divergence_is_the_mean_of_the_log_ratio_of_the_densities(script):
    mean, log_variance = np.array([[0.5, -1.0]]), np.array([[0.3, -2.0]])
    noise = np.random.default_rng(0).standard_normal((200_000, 2))
    z = mean + np.exp(log_variance / 2) * noise
    log_ratio = np.sum(z**2 - noise**2 - log_variance, axis=1) / 2
    divergence = script("variational_autoencoder").divergence
    np.testing.assert_allclose(divergence(mean, log_variance), log_ratio.mean(), rtol=0.01)
    np.testing.assert_array_equal(divergence(np.zeros((4, 3)), np.zeros((4, 3))), np.zeros(4))


def test_the_cost_is_likelihood_and_divergence(small, script):
    model, images, cost = small
    mean, log_variance = (value.data for value in model.encode(images))
    noise = np.random.default_rng(2).standard_normal(mean.shape, np.float32)
    p = model.decode(mean + np.exp(log_variance / 2) * noise).data
    likelihood = np.sum(images * np.log(p) + (1 - images) * np.log(1 - p), axis=1)
    divergence = script("variational_autoencoder").divergence(mean, log_variance)
    np.testing.assert_allclose(cost().item(), np.mean(divergence - likelihood))


def test_the_gradients_are_right(small):
    model, _, cost = small
    cost().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(cost, parameter, elements=10)
