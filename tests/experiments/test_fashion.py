"""Fashion-MNIST: the network that reads digits, on clothes."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.data.places import FASHION_DEBIAN
from tinygrad_mnist.errors import DataError

FILES = {
    "checkpoints",
    "config.json", "confusion.png", "history.jsonl", "history.png", "index.html", "kinds.png", "mistakes.png",
    "model.safetensors", "result.json",
}  # fmt: skip


@pytest.fixture
def stand_in(tmp_path):
    """Write digits where clothes are looked for, in the same format."""
    train, test = tg.data.load_mnist("sample")
    np.savez(
        tmp_path / "mnist.npz",
        x_train=train.inputs[:2400],
        y_train=train.targets[:2400],
        x_test=test.inputs,
        y_test=test.targets,
    )
    return tmp_path / "mnist.npz"


@pytest.mark.thorough
def test_it_learns_whatever_has_this_shape(run, tables, stand_in, capsys):
    report = run("fashion", "--data", stand_in, "--epochs", 4)
    (row,) = tables(report)["Clothes that were not used for training"]
    assert row["test_accuracy"] > 0.85
    assert {path.name for path in report.folder.iterdir()} == FILES
    assert "Most often confused: " in capsys.readouterr().out


def test_it_learns_clothes(run, tables):
    if not FASHION_DEBIAN.is_dir():
        pytest.skip("Fashion-MNIST is not here; Debian's package dataset-fashion-mnist has it")
    report = run("fashion", "--data", FASHION_DEBIAN, "--epochs", 1, "--neurons", 16)
    (row,) = tables(report)["Clothes that were not used for training"]
    assert row["test_accuracy"] > 0.75
    assert {path.name for path in report.folder.iterdir()} == FILES - {"history.png"}


def test_where_there_are_no_clothes_it_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGRAD_FASHION_MNIST_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tinygrad_mnist.data.mnist.FASHION_DEBIAN", tmp_path / "none")
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        run("fashion")
    assert list(tmp_path.iterdir()) == []


def test_the_most_confused_are_named(script):
    counts = np.array([[5, 0, 1], [4, 9, 0], [0, 2, 1000]])
    said = script("fashion").most_confused(counts, ["coat", "shirt", "bag"])
    assert said == "Most often confused: shirt is taken for coat in 4 of 13 cases."


def test_the_gradients_are_right(script):
    model = script("fashion").Classifier(neurons=5, dropout=0.0).astype(np.float64)
    images, labels = np.random.default_rng(0).random((3, 784)), np.array([1, 5, 9])

    def loss():
        return tg.nn.functional.cross_entropy(model(images), labels)

    loss().backward()
    for parameter in model.parameters():
        tg.testing.check_parameter(loss, parameter, elements=10)
