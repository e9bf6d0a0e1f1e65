"""Programs that compute long arrays piece by piece: sums over the other axes belong to a loop over rows, too."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import check
from programs import draw

import tinygrad_mnist as tg
from tinygrad_mnist.compiler.rewrite import lowering
from tinygrad_mnist.compiler.source import loop, text
from tinygrad_mnist.nn import functional as F  # noqa: N812


@pytest.fixture
def runs(monkeypatch):
    """Tiny pieces; the lengths of all loops that were written."""
    lengths = []

    def run_at(*args):
        run = loop.run_at(*args)
        lengths.append(len(run))
        return run

    monkeypatch.setattr(text, "run_at", run_at)
    monkeypatch.setattr(loop, "PIECE", 4)
    monkeypatch.setattr(lowering, "SHORTEST_ROW", 1)
    monkeypatch.setattr(lowering, "LONGEST_DOT", 2)
    return lengths


def centred(x):
    y = np.exp(x) - np.mean(x, axis=1, keepdims=True)
    return y / np.sqrt(np.mean(y * y, axis=1, keepdims=True) + 0.1)


def sums_as_a_row(x):
    """A sum of each row that every row then needs as a whole: no loop over rows."""
    return np.exp(x) * 2 + np.sum(np.exp(x), axis=1)


def sums_of_others(x):
    return np.exp(x) / np.sum(np.exp(x), axis=0)


def turned(x):
    y = np.exp(x) + 1
    return y - y.T + np.sum(y.T * y.T, axis=1)[:, None]


def squares_and_extremes(x):
    y = x * 2
    return np.stack(
        [np.sum(y * x, axis=1), np.max(y, axis=1), np.sum(np.square(y), axis=1), np.min(x, axis=1)]
    )


def weights(x):
    y = np.tanh(x)
    return F.softmax(y * 3, axis=1) * np.sum(y * x, axis=1, keepdims=True)


FUNCTIONS = [centred, sums_as_a_row, sums_of_others, turned, squares_and_extremes, weights]
LOOPS = {centred, squares_and_extremes}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows(function, dtype, runs):
    x = np.random.default_rng(0).normal(size=(6, 6)).astype(dtype)
    compiled = tg.compile(function)
    for _ in range(2):
        np.testing.assert_allclose(compiled(x), function(x), rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert function not in LOOPS or max(runs) > 2, "not written as a loop"

    def loss(x):
        return np.sum(function(x) * np.cos(np.arange(6)))

    gradient = tg.grad(loss)
    np.testing.assert_allclose(tg.compile(gradient)(x), gradient(x), rtol=1e-4, atol=1e-5)


def test_several_axes(runs):
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 5))

    def norm(x):
        y = x - np.mean(x, axis=(1, 2, 3), keepdims=True)
        return y / np.sqrt(np.mean(y * y, axis=(1, 2, 3), keepdims=True)), np.sum(y * x, axis=(2, 3))

    for found, wanted in zip(tg.compile(norm)(x), norm(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert max(runs) > 4


def test_random_programs(runs):
    for seed in range(600_000, 600_012):
        for kind in ("values", "gradient"):
            assert check(draw(seed, kind), "numpy").difference is None, (kind, seed)


def test_products_of_rows_need_no_array():
    x = np.ones((4, 1000), np.float32)
    step = tg.compile(lambda x, y: np.sum(x * y, axis=1))
    np.testing.assert_array_equal(step(x, 2 * x), [2000] * 4)
    assert "vecdot(x, y" in step.source
