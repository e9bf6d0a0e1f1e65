"""A run knows which data it has seen: it is measured on the same, or on others that it has not learned from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import command, elsewhere, fail, json_line, own_data, sample, succeed  # noqa: F401

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.data import DATASETS, Dataset, load_mnist, to_images, to_vectors
from tinygrad_mnist.data.formats import npz
from tinygrad_mnist.data.origin import MNIST_TRAIN, digest
from tinygrad_mnist.errors import OptionError, RunError
from tinygrad_mnist.training import evaluate, save_run
from tinygrad_mnist.training.runs import Run

TRAIN = ["train", "--hidden", "8", "--epochs", "1", "--no-plots"]


@pytest.fixture
def mnist(monkeypatch, own_data):  # noqa: F811
    """A folder of data that passes for the official MNIST."""
    monkeypatch.setattr("tinygrad_mnist.data.mnist.identify", lambda corpus: "MNIST")
    return own_data


@pytest.fixture
def copied_sample(tmp_path):
    """The bundled sample under another name."""
    folder = tmp_path / "copied"
    folder.mkdir()
    shutil.copy(Path(npz.__file__).parents[1] / "sample" / "mnist_sample.npz", folder / "mnist.npz")
    return folder


def seen(run):
    return json.loads((Path(run) / "config.json").read_text())["seen"]


def test_a_run_records_what_it_saw(own_data):  # noqa: F811
    succeed(*TRAIN, "--data", own_data, "--validation", "0.1", "--seed", "3", "--out", "run")
    found, (train, test) = seen("run"), load_mnist(own_data)
    file = own_data / "mnist.npz"
    assert found["name"] == "MNIST train"
    assert found["files"] == {"mnist.npz": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert found["train"] == {"count": 300, "sha256": digest(train), "within": ""}
    assert found["test"] == {"count": 100, "sha256": digest(test), "within": ""}
    assert found["split"] == {"train": 270, "validation": 30, "seed": 3}


def test_the_sample_knows_what_it_is_a_part_of(full_mnist):
    (train, _), parts = load_mnist(full_mnist), load_mnist("sample")
    digits = {(image.tobytes(), label) for image, label in zip(train.inputs, train.targets, strict=True)}
    for part in parts:
        assert all((x.tobytes(), y) in digits for x, y in zip(part.inputs, part.targets, strict=True))
        assert part.origin.within == train.origin.within == MNIST_TRAIN


def test_the_same_data_in_another_format_are_the_same(own_data, tmp_path):  # noqa: F811
    succeed(*TRAIN, "--data", own_data, "--out", "run")
    before = json_line(succeed("evaluate", "run", "--json").out)
    train, test = load_mnist(own_data)
    (own_data / "mnist.npz").unlink()
    for name, part in (("mnist_train.csv", train), ("mnist_test.csv", test)):
        np.savetxt(own_data / name, np.c_[part.targets, part.inputs.reshape(len(part), -1)], "%d", ",")
    assert json_line(succeed("evaluate", "run", "--json").out) == before


class TestEvaluate:
    def test_without_its_data_is_an_error(self, mnist):
        succeed(*TRAIN, "--data", mnist, "--out", "run")
        shutil.rmtree(mnist)
        for arguments in (["evaluate", "run"], ["gradcheck", "run"]):
            error = fail(*arguments).err
            assert "its data cannot be read" in error
            assert "pass them with --data" in error
            assert "data fetch" in error

    def test_never_falls_back_on_the_sample(self, mnist, monkeypatch):
        monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(mnist))
        succeed(*TRAIN, "--out", "run")
        right = json_line(succeed("evaluate", "run", "--json").out)["test_accuracy"]
        for value in (None, "sample"):
            monkeypatch.delenv("TINYGRAD_MNIST_DATA")
            if value:
                monkeypatch.setenv("TINYGRAD_MNIST_DATA", value)
            done = fail("evaluate", "run")
            assert done.out == ""
            assert "its test data (100 of official MNIST" in done.err
            assert "found instead 1,000 of bundled sample" in done.err
            assert "pass them with --data" in done.err
            monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(mnist))
        assert json_line(succeed("evaluate", "run", "--json").out)["test_accuracy"] == right

    def test_of_other_digits_at_the_same_place_is_an_error(self, own_data):  # noqa: F811
        succeed(*TRAIN, "--data", own_data, "--out", "run")
        with np.load(own_data / "mnist.npz") as archive:
            parts = dict(archive)
        parts["x_test"][0, 0, 0] ^= 1
        np.savez(own_data / "mnist.npz", **parts)
        assert "its test data (100 of unverified" in fail("evaluate", "run").err

    def test_refuses_the_sample_for_a_model_of_mnist(self, mnist, copied_sample):
        succeed(*TRAIN, "--data", mnist, "--out", "run")
        done = fail("evaluate", "run", "--data", copied_sample)
        assert done.out == ""
        assert f"all 1,000 of these are a part of {MNIST_TRAIN}" in done.err
        assert "says nothing about new images" in done.err

    def test_refuses_the_training_data(self, own_data):  # noqa: F811
        succeed(*TRAIN, "--data", own_data, "--out", "run")
        train, _ = load_mnist(own_data)
        labels = train.targets.astype(np.uint8)
        np.savez(
            own_data / "mnist.npz", x_train=train.inputs, y_train=labels, x_test=train.inputs, y_test=labels
        )
        assert (
            "these are the 300 examples that the model was trained with"
            in fail("evaluate", "run", "--data", own_data).err
        )

    def test_of_an_earlier_version_needs_the_same_words(self, own_data, monkeypatch):  # noqa: F811
        succeed(*TRAIN, "--data", own_data, "--out", "run")
        file = Path("run/config.json")
        config = json.loads(file.read_text())
        del config["seen"]
        file.write_text(json.dumps(config))
        succeed("evaluate", "run")
        file.write_text(json.dumps({**config, "data": "official MNIST, verified: /elsewhere"}))
        assert "its test data (official MNIST" in fail("evaluate", "run").err

    @pytest.mark.parametrize(
        "damage", [1, {}, {"name": 1}, {"train": 2}, {"train": {}}, {"test": {"count": "3"}}]
    )
    def test_of_a_damaged_description_is_an_error(self, own_data, damage):  # noqa: F811
        succeed(*TRAIN, "--data", own_data, "--out", "run")
        file = Path("run/config.json")
        config = json.loads(file.read_text())
        config["seen"] = {**config["seen"], **damage} if damage and isinstance(damage, dict) else damage
        file.write_text(json.dumps(config))
        assert "is damaged" in fail("evaluate", "run").err


class Net(nn.Module):
    """A layer of one's own."""

    def __init__(self):
        self.inner = nn.Linear(784, 10, rng=0)

    def forward(self, x):
        return self.inner(x)


class Two(Net):
    """Several outputs."""

    def forward(self, x):
        return self.inner(x), self.inner(x)


class TestSaveRun:
    def test_makes_a_run_that_every_command_takes(self, sample):  # noqa: F811
        train, test = load_mnist("sample")
        model = nn.MLP([784, 16, 10], rng=0)
        history = tg.training.fit(model, train, epochs=1, rng=0, progress=False, compile=True)
        folder = save_run(model, "run", data=(train, test), history=history)
        expected = evaluate(model, test)["accuracy"]
        assert json_line(succeed("evaluate", folder, "--json").out)["test_accuracy"] == expected
        np.save("digit.npy", sample.inputs[0])
        said = json_line(succeed("predict", folder, "digit.npy", "--json").out)
        assert said["prediction"] == str(sample.targets[0])
        assert sum(said["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        explained = succeed("explain", folder)
        assert "does not say how it was trained" in explained.err
        assert "this program, as calls of NumPy" in explained.out
        assert (folder / "program.py").read_text().startswith('"""MLP, compiled for x (64, 784) float32.')
        succeed("draw-graph", folder, "--out", "graph.dot")
        succeed("gradcheck", folder, "--elements", "5")
        assert Run(folder).history() == history
        with pytest.raises(RunError, match="not empty"):
            save_run(model, "run", data=train)

    def test_invents_no_settings(self):
        train, test = load_mnist("sample")
        folder = save_run(nn.MLP([784, 10], rng=0), "run", data=(train, test))
        config = json.loads((folder / "config.json").read_text())
        assert config["made_by"] == "tinygrad_mnist.training.save_run"
        assert not {"optimizer", "lr", "epochs", "seed", "batch_size", "hidden"} & config.keys()
        with pytest.raises(RunError, match="saved from Python"):
            _ = Run(folder).settings

    def test_of_images_gets_images(self, sample):  # noqa: F811
        train, test = load_mnist("sample", transform=to_images)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, rng=0))
        folder = save_run(model, "run", data=(train, test))
        expected = evaluate(model, test)["accuracy"]
        assert json_line(succeed("evaluate", folder, "--json").out)["test_accuracy"] == expected
        np.save("digit.npy", sample.inputs[0])
        succeed("predict", folder, "digit.npy")
        succeed("explain", folder)

    def test_with_a_loss_of_ones_own_says_no_probabilities(self, sample):  # noqa: F811
        train, _ = load_mnist("sample")
        folder = save_run(
            nn.MLP([784, 10], rng=0), "run", data=train, loss=lambda outputs, targets: outputs.sum()
        )
        np.save("digit.npy", sample.inputs[0])
        assert json_line(succeed("predict", folder, "digit.npy", "--json").out).keys() == {
            "image",
            "prediction",
        }
        assert "%" not in succeed("predict", folder, "digit.npy").out
        assert "a loss of your own" in fail("gradcheck", folder).err
        succeed("draw-graph", folder, "--out", "graph.dot")
        succeed("evaluate", folder)

    def test_of_arrays_needs_data_for_evaluate(self, own_data):  # noqa: F811
        rng = np.random.default_rng(0)
        made = Dataset(rng.integers(0, 255, (20, 28, 28)).astype(np.uint8), rng.integers(0, 10, 20),
                       transform=to_vectors, classes="0123456789")  # fmt: skip
        folder = save_run(nn.MLP([784, 10], rng=0), "run", data=made)
        assert "does not say where its data are" in fail("evaluate", folder).err
        assert json_line(succeed("evaluate", folder, "--data", own_data, "--json").out)["count"] == 100

    def test_of_a_part_of_mnist_refuses_the_sample(self, mnist, copied_sample):
        train, test = load_mnist(mnist)
        part, held_out = train.split(200)
        folder = save_run(nn.MLP([784, 10], rng=0), "run", data=(part, test))
        assert json_line(succeed("evaluate", folder, "--json").out)["count"] == 100
        assert "a part of MNIST's training set" in fail("evaluate", folder, "--data", copied_sample).err
        other = save_run(nn.MLP([784, 10], rng=0), "other", data=(part, held_out))
        assert "its test data (100 of" in fail("evaluate", other).err

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"model": Net()}, "the command line cannot make this model"),
            (
                {"model": nn.MLP([784, 3], rng=0)},
                r"returns \(3,\) for an image, but the data have 10 classes",
            ),
            ({"model": Two()}, "returns a tuple; a run needs one output"),
            ({"data": (np.zeros((3, 784)), np.zeros(3))}, "pass a Dataset"),
            ({"data": Dataset(np.zeros((3, 4)), np.zeros(3))}, "square images"),
            (
                {"data": load_mnist("sample", transform=lambda x: to_vectors(x) - 0.5)},
                "the transform is '<lambda>'",
            ),
            ({"loss": "mess"}, "there is no loss 'mess'"),
        ],
    )
    def test_refuses_what_no_command_could_use(self, change, words):
        given = {"model": nn.MLP([784, 10], rng=0), "data": load_mnist("sample"), **change}
        with pytest.raises(OptionError, match=words):
            save_run(given.pop("model"), "run", **given)
        assert not Path("run").exists()

    def test_by_names_of_losses(self):
        for loss in ("bce", nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss()):
            name = f"run-{type(loss).__name__}"
            save_run(nn.MLP([784, 10], rng=0), name, data=load_mnist("sample"), loss=loss)
            assert Run(name).facts.loss == "bce"
        assert set(DATASETS) >= {"mnist", "sample"}


def test_commands_that_need_no_data_work_without(mnist):
    succeed(*TRAIN, "--data", mnist, "--out", "run")
    shutil.rmtree(mnist)
    succeed("draw-graph", "run", "--out", "graph.dot")
    succeed("explain", "run")
    assert command("evaluate", "run").status == 1
