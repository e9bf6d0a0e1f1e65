"""Regression of a curve, with an ensemble that shows where it knows nothing."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_it_learns_the_curve_and_knows_where_it_does_not(run, tables):
    report = run("curve_regression", "--seeds", 2, "--members", 6, "--steps", 1000)
    (rows,) = tables(report).values()
    among, gap, beyond = rows
    assert [row["where"] for row in rows] == ["among the points", "in the gap", "beyond the points"]
    assert among["error"] < 0.15  # no more than the noise
    assert among["slope_error"] < 0.7
    assert among["error"] < gap["error"] < 0.5
    assert among["spread_of_networks"] < gap["spread_of_networks"] < beyond["spread_of_networks"]
    assert {path.name for path in report.folder.iterdir()} == {
        "config.json", "curve.png", "index.html", "model.safetensors", "result.json",
    }  # fmt: skip


def test_there_are_no_points_in_the_gap(script):
    module = script("curve_regression")
    x, y = module.measure(1000, 0.1, np.random.default_rng(0))
    low, high = module.GAP
    assert x.dtype == y.dtype == np.float32
    assert not np.any((x > low + 1e-6) & (x < high - 1e-6))
    assert x.min() < -2.9
    assert 2.9 < x.max() <= 3
    assert 0.09 < np.std(y - module.true_curve(x)) < 0.11
    assert sum(where.sum() for where in module.PLACES.values()) == len(module.GRID)


def test_the_slope_is_that_of_the_curve(script):
    module = script("curve_regression")
    x = np.linspace(-4, 4, 33)
    value, slope = tg.jvp(module.true_curve, x, np.ones_like(x))
    np.testing.assert_array_equal(value, module.true_curve(x))
    np.testing.assert_allclose(slope, 2 * np.cos(2 * x) + 1 / 3)


def test_the_slope_is_that_of_the_networks(script):
    networks = script("curve_regression").Networks(3, 5).astype(np.float64)
    x, step = np.linspace(-2, 2, 9), 1e-6
    with tg.no_grad():
        _, slopes = tg.jvp(networks, x, np.ones_like(x))
        pulled = tg.grad(lambda x: np.sum(networks(x)[1]))(x)  # backwards instead of forwards
        differences = (networks(x + step).data - networks(x - step).data) / (2 * step)
    assert slopes.shape == (3, 9)
    np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(pulled, slopes[1], rtol=1e-12)


def test_each_network_learns_as_if_it_were_alone(script):
    module = script("curve_regression")
    rng = np.random.default_rng(0)
    x, y = module.measure(20, 0.1, rng)
    draws = rng.integers(20, size=(2, 20))
    both, alone = module.Networks(2, 8), module.Networks(1, 8)
    alone.load_state_dict({name: value[1:] for name, value in both.state_dict().items()})
    module.learn(both, x[draws], y[draws], 30)
    module.learn(alone, x[draws[1:]], y[draws[1:]], 30)
    for name, value in alone.state_dict().items():
        np.testing.assert_allclose(both.state_dict()[name][1:], value, atol=1e-5)


def test_the_gradients_are_right(script):
    module = script("curve_regression")
    networks = module.Networks(3, 4).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(3, 7))
    module.squared_error(networks(x), module.true_curve(x)).backward()
    for parameter in networks.parameters():
        tg.testing.check_parameter(
            lambda: module.squared_error(networks(x), module.true_curve(x)), parameter, elements=12
        )


def test_the_model_can_be_used_again(run, script):
    report = run("curve_regression", "--members", 3, "--steps", 5)
    networks = tg.training.load_model(
        report.folder / "model.safetensors", classes=[script("curve_regression").Networks]
    )
    with tg.no_grad():
        assert networks(np.zeros(4, np.float32)).shape == (3, 4)


@pytest.mark.parametrize("option", [("--noise", -1), ("--points", 1), ("--members", 1)])
def test_settings_that_make_no_sense_are_refused(run, tmp_path, option):
    with pytest.raises(click.BadParameter, match="is not in the range"):
        run("curve_regression", *option)
    assert list(tmp_path.iterdir()) == []
