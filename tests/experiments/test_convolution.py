"""LeNet against an MLP with as many weights, and digits that are moved."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_it_compares_networks_of_the_same_size(run, tables, few_digits):
    report = run("convolution", "--data", few_digits, "--epochs", 2, "--seeds", 2, "--compile", "numpy")
    found = tables(report)
    runs, far = found["Test digits, where they were written"], found["Test digits, moved by some pixels"]
    assert [row["seed"] for row in runs] == [0, 1]
    assert (
        runs[0]["weights_of_lenet"] - 795 < runs[0]["weights_of_mlp"] <= runs[0]["weights_of_lenet"] == 61_706
    )
    assert [row["pixels"] for row in far] == [0, 1, 2, 3, 4, 5, 6]
    for name in ("lenet_accuracy", "mlp_accuracy"):
        assert far[0][name] == pytest.approx(np.mean([row[name] for row in runs]))
        assert far[0][name] > 0.3
        assert far[6][name] < far[0][name]
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints", "config.json", "distance.png", "index.html", "model_lenet.safetensors",
        "model_mlp.safetensors", "moved.png", "result.json",
    }  # fmt: skip


def test_images_are_moved_by_whole_pixels(script):
    moved = script("convolution").moved
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3)
    np.testing.assert_array_equal(moved(image, 0, 0), image)
    np.testing.assert_array_equal(moved(image, 1, 0)[0], [[0, 0, 0], [1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(moved(image, 0, -2)[0], [[3, 0, 0], [6, 0, 0], [9, 0, 0]])


def test_what_is_read_is_what_was_moved(script):
    class Place(tg.nn.Module):
        """Answers with the column of the ink."""

        def forward(self, x):
            return np.sum(np.reshape(x, (-1, 28, 28)), axis=1)[:, 9:19]

    images = np.zeros((1, 28, 28), np.uint8)
    images[0, 14, 14] = 255
    data = tg.data.Dataset(images, np.array([5]), transform=tg.data.to_vectors)
    read = script("convolution").read
    assert [read(Place(), data, right=d).item() for d in (-3, 0, 2)] == [2, 5, 7]


@pytest.mark.parametrize(("weights", "expected"), [(1, 805), (1600, 1600), (61_706, 61_225)])
def test_the_mlp_has_no_more_weights(script, weights, expected):
    module = script("convolution")
    assert module.count(module.connected(weights, np.random.default_rng(0))) == expected


def test_an_mlp_is_not_compared_with_itself(run):
    with pytest.raises(click.BadParameter, match="'mlp' is not one of"):
        run("convolution", "--model", "mlp")
