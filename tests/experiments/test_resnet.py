"""A residual network on clothes, with and without its shortcuts."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DataError

ARGUMENTS = ("--channels", 4, "--blocks", 1, "--epochs", 2, "--compile", "numpy")


@pytest.mark.thorough
def test_it_learns_whatever_has_this_shape(run, tables, few_digits):
    report = run("resnet", "--data", few_digits, *ARGUMENTS)
    without, shortcuts = tables(report)["Clothes that were not used for training"]
    assert without["weights"] == shortcuts["weights"]
    assert (without["shortcuts"], shortcuts["shortcuts"]) == ("without", "with")
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints", "config.json", "confusion.png", "index.html", "model.safetensors", "result.json",
        "shortcuts.png",
    }  # fmt: skip


def test_where_there_are_no_clothes_it_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGRAD_FASHION_MNIST_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tinygrad_mnist.data.mnist.FASHION_DEBIAN", tmp_path / "none")
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        run("resnet")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_adds_nothing_hands_on_what_it_got(script):
    block = script("resnet").Block(3, True, np.random.default_rng(0)).eval()
    x = np.random.default_rng(1).random((2, 3, 5, 5)).astype(np.float32)
    with tg.no_grad():
        assert np.any(block(x).data != x)
        block.norm2.weight[:] = 0
        np.testing.assert_array_equal(block(x).data, x)
        block.shortcut = False
        np.testing.assert_array_equal(block(x).data, 0 * x)


def test_the_gradients_are_right(script):
    model = script("resnet").ResNet(2, 1).astype(np.float64)
    images, labels = np.random.default_rng(0).random((3, 784)), np.array([1, 5, 9])

    def loss():
        return tg.nn.functional.cross_entropy(model(images), labels)

    loss().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(loss, parameter, elements=4)
