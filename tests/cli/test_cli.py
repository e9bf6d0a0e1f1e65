"""The command line, used as people use it: every command, every option, and most mistakes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date
from html import escape, unescape
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import tinygrad_mnist as tg
from tinygrad_mnist import cli, data, training
from tinygrad_mnist.data import download, mnist
from tinygrad_mnist.experiments.options import report_error
from tinygrad_mnist.ops import linear
from tinygrad_mnist.training import History, load_model
from tinygrad_mnist.training.settings import OPTIMIZERS

COMMANDS = [
    [],
    ["train"],
    ["evaluate"],
    ["predict"],
    ["draw-graph"],
    ["explain"],
    ["gradcheck"],
    ["doctor"],
    ["step-through"],
    ["export"],
    ["play"],
    ["sweep"],
    ["experiment"],
    ["experiment", "list"],
    ["experiment", "run"],
    ["data"],
    ["data", "info"],
    ["data", "fetch"],
]
PICTURES = {"learning_curve.png", "confusion_matrix.png", "worst_mistakes.png", "first_layer.png"}
QUICK = ["train", "--dataset", "digits", "--hidden", "8", "--epochs", "1", "--no-plots"]


class Done(NamedTuple):
    status: int
    out: str
    err: str


def command(*arguments):
    """Run the program in this process and return its exit status and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["tinygrad-mnist", *map(str, arguments)]
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "argv", argv),
        pytest.raises(SystemExit) as exit,
    ):
        cli.main()
    return Done(exit.value.code, out.getvalue(), err.getvalue())


def succeed(*arguments):
    done = command(*arguments)
    assert done.status == 0, done.err
    return done


def fail(*arguments, status=1):
    done = command(*arguments)
    assert done.status == status, done.out + done.err
    lines = done.err.splitlines()
    assert lines[-1].lower().startswith("error: ")
    assert sum(line.lower().startswith("error: ") for line in lines) == 1
    assert "Traceback" not in done.err
    return done


def json_line(text):
    """The last line as strict JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text.splitlines()[-1], parse_constant=refuse)


@contextmanager
def process(*arguments):
    """Run the program as a process of its own, which is gone in the end."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_mnist", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def no_network(url):
    raise OSError("the network is down")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, with an empty cache, no data set named, and no network."""
    monkeypatch.chdir(tmp_path)
    cache = tmp_path.parent / f"{tmp_path.name}-cache"
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(cache))
    for variable in ("TINYGRAD_MNIST_DATA", "TINYGRAD_FASHION_MNIST_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(download, "_open", no_network)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run on the bundled digits, and what the training wrote. Not to be changed by tests."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    done = succeed(
        "train", "--dataset", "sample", "--hidden", "48", "--epochs", "4", "--out", folder, "--json"
    )
    return folder, done


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, somewhere else, to do with as a test likes."""
    return Path(shutil.copytree(trained[0], tmp_path / "moved" / "run"))


@pytest.fixture(scope="session")
def sample():
    return data.load_mnist("sample")[1]


@pytest.fixture
def own_data(tmp_path, sample):
    """A folder with a little MNIST in it."""
    folder = tmp_path / "own"
    folder.mkdir()
    x, y = sample.inputs, sample.targets.astype(np.uint8)
    np.savez(folder / "mnist.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:400], y_test=y[300:400])
    return folder


# -- help and mistakes in the line itself --------------------------------------------------------


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(arguments, option):
    done = succeed(*arguments, option)
    assert "Usage:" in done.out
    assert done.err == ""


def every_command(group=cli.cli, path=()):
    for name, item in group.commands.items():
        yield (*path, name), item
        if hasattr(item, "commands"):
            yield from every_command(item, (*path, name))


def test_commands_are_documented():
    found = dict(every_command())
    assert {" ".join(path) for path in found} == {" ".join(path) for path in COMMANDS if path}
    for path, item in found.items():
        assert item.help, path
        # The list of commands shows the first sentence whole.
        assert not item.get_short_help_str(limit=76).endswith("..."), path


def test_no_command_shows_the_help():
    done = command()
    assert done.status == 2
    assert "train" in done.out + done.err


def test_version():
    assert tg.__version__ in succeed("--version").out


@pytest.mark.parametrize(
    ("option", "valid"),
    [
        ("--dataset", ["mnist", "fashion", "digits", "sample"]),
        ("--activation", list(tg.nn.activations)),
        ("--loss", ["cross-entropy", "mse", "l1", "huber", "bce"]),
        ("--optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"]),
        ("--schedule", ["none", "cosine", "one-cycle", "step", "warm-up"]),
        ("--compile", ["auto", "numpy", "numba", "no"]),
    ],
)
def test_unknown_values_list_the_valid_ones(option, valid, tmp_path):
    done = fail("train", option, "sigmoidal", status=2)
    for value in [option, "sigmoidal", *valid]:
        assert value in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--epochs", "ten"],
        ["--batch-size", "0"],
        ["--lr", "0"],
        ["--lr", "-0.1"],
        ["--lr", "nan"],
        ["--lr", "inf"],
        ["--dropout", "1"],
        ["--dropout", "-0.5"],
        ["--dropout", "nan"],
        ["--label-smoothing", "1"],
        ["--label-smoothing", "nan"],
        ["--weight-decay", "-1"],
        ["--weight-decay", "nan"],
        ["--weight-decay", "inf"],
        ["--validation", "0.95"],
        ["--validation", "nan"],
        ["--clip-norm", "0"],
        ["--clip-norm", "nan"],
        ["--patience", "0"],
        ["--seed", "-1"],
        ["--seed", "pi"],
        ["--hidden", "0,5"],
        ["--hidden", "-5"],
        ["--hidden", "128,"],
        ["--hidden", "1.5"],
        ["--hidden", "big"],
        ["--bogus"],
        ["surplus"],
        ["--loss", "mse", "--label-smoothing", "0.1"],
        ["--validation", "0", "--patience", "2"],
        ["--validation", "0.00001", "--patience", "2"],
        ["--data", "."],
    ],
    ids=" ".join,
)
def test_mistakes_leave_nothing_behind(arguments, tmp_path):
    done = command("train", "--dataset", "sample", "--out", "made", *arguments)
    assert done.status == 2, done.err
    assert done.err.splitlines()[-1].startswith("Error: ")
    assert arguments[0] in done.err or "--label-smoothing" in done.err or "--patience" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate"],
        ["predict"],
        ["predict", "run"],
        ["draw-graph"],
        ["gradcheck"],
        ["guess"],
        ["data", "guess"],
    ],
    ids=" ".join,
)
def test_missing_arguments_and_unknown_commands(arguments):
    assert command(*arguments).status == 2


def test_more_units_than_memory(tmp_path):
    fail("train", "--dataset", "sample", "--hidden", "100000000000", "--out", "made")
    assert list(tmp_path.iterdir()) == []


# -- train ---------------------------------------------------------------------------------------


def test_what_train_says(trained):
    folder, done = trained
    assert done.err.startswith("data: bundled sample of 5,000 digits")
    assert "784-48-10" in done.err
    assert "38,170 parameters" in done.err
    epochs = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 4
    assert "validation accuracy" in epochs[0]
    assert "test accuracy: " in done.out
    assert str(folder) in done.out


def test_the_line_of_json(trained):
    folder, done = trained
    result = json_line(done.out)
    assert result.keys() >= {"test_accuracy", "seconds", "parameters", "run_dir"}
    assert 0.88 < result["test_accuracy"] <= 1
    assert result["parameters"] == 784 * 48 + 48 + 480 + 10
    assert 0 < result["seconds"] < 1000
    assert result["run_dir"] == str(folder)
    assert result["epochs"] == 4
    assert result["stopped"] == ""
    assert json.loads((folder / "result.json").read_text()) == result


def test_the_run_folder(trained):
    folder, _ = trained
    files = {"config.json", "index.html", "model.safetensors", "history.jsonl", "result.json"} | PICTURES
    assert {path.name for path in folder.iterdir()} == files | {"checkpoint.safetensors"}
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            picture.load()
            assert min(picture.size) > 100
    history = History.load(folder / "history.jsonl")
    assert history["epoch"] == [1, 2, 3, 4]
    assert history["validation_accuracy"][-1] > 0.8
    model = load_model(folder / "model.safetensors")
    assert [layer.weight.shape for layer in model if hasattr(layer, "weight")] == [(48, 784), (10, 48)]


def test_the_page_of_a_run(trained):
    folder, done = trained
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert {name for name in PICTURES if f'src="{name}"' in page} == PICTURES
    result = json.loads((folder / "result.json").read_text())
    words = unescape(re.sub("<[^>]*>", "\n", page.partition("</style>")[2]))
    for said in (
        f"{result['test_accuracy']:.2%} of the test images are right",
        "tinygrad-mnist train --dataset",
        "hidden 48, ",
        "label smoothing 0, ",
        f"tinygrad_mnist {tg.__version__}, NumPy {np.__version__}, Python ",
        f"\n{date.today():%Y-%m-}",
        f"\n{result['data']}\n",
        f"tinygrad-mnist evaluate {folder}",
    ):
        assert said in words, said
    assert f"run: {folder} (index.html shows it)" in done.out
    assert [line for line in words.splitlines() if line in ("1", "2", "3", "4")] == [
        "1",
        "2",
        "3",
        "4",
    ]  # epochs


def test_the_settings(trained):
    config = json.loads((trained[0] / "config.json").read_text())
    expected = {
        "dataset": "sample", "path": None, "hidden": [48], "activation": "relu", "dropout": 0.0,
        "loss": "cross-entropy", "label_smoothing": 0.0, "optimizer": "adamw", "lr": OPTIMIZERS["adamw"].lr,
        "weight_decay": 0.05, "schedule": "one-cycle", "epochs": 4, "batch_size": 128, "clip_norm": None,
        "validation": 0.05, "patience": None, "keep": "last", "seed": 0, "classes": list("0123456789"), "side": 28,
        "data": "bundled sample of 5,000 digits", "version": tg.__version__, "numpy": np.__version__,
    }  # fmt: skip
    assert {name: config.get(name, "missing") for name in expected} == expected


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "setting", "backend", "said"),
    [
        ([], "auto", "numpy", "calls of NumPy"),  # two epochs of a small network repay no machine code
        (["--compile"], "auto", "numpy", "calls of NumPy"),
        (["--compile", "numpy"], "numpy", "numpy", "calls of NumPy"),
        (["--compile", "numba"], "numba", "numba", "machine code"),
        (["--no-compile"], False, "eager", "--no-compile"),
        (["--compile", "numba", "--no-compile"], False, "eager", "--no-compile"),
        (["--no-compile", "--compile=numpy"], "numpy", "numpy", "calls of NumPy"),
    ],
    ids=str,
)
def test_a_run_says_what_trained_it(arguments, setting, backend, said):
    if backend == "numba":
        pytest.importorskip("numba")
    quick = ["--dataset", "digits", "--hidden", "8", "--epochs", "2", "--no-plots", "--out", "made"]
    result = json_line(succeed("train", *quick, *arguments, "--json").out)
    assert result["backend"] == backend
    assert json.loads(Path("made/config.json").read_text())["compile"] == setting
    assert re.search(f"^trained with: .*{said}", succeed("explain", "made").out, re.MULTILINE)


@pytest.mark.thorough
def test_machine_code_is_taken_where_it_repays_itself(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(tg.training.steps, "repays", lambda *counts: True)
    succeed("train", "--dataset", "digits", "--hidden", "8", "--epochs", "2", "--no-plots", "--out", "made")
    assert "trained with: machine code" in succeed("explain", "made").out


def test_machine_code_needs_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    done = fail("train", "--dataset", "digits", "--compile", "numba", "--out", "made")
    assert "pip install 'tinygrad-mnist[fast]'" in done.err
    assert not Path("made").exists()


@pytest.mark.parametrize("result", [None, '{"test_accuracy": 0.9}', '{"backend": 3}'])
def test_a_run_that_does_not_say_what_trained_it(run, result):
    """One that was ended before it was measured, or is from an earlier version."""
    if result is None:
        (run / "result.json").unlink()
    else:
        (run / "result.json").write_text(result)
    assert "trained with: unknown" in succeed("explain", run).out


def test_every_option_at_once(tmp_path):
    done = succeed(
        "train", "--dataset", "digits", "--hidden", "16,8", "--activation", "tanh", "--dropout", "0.1",
        "--loss", "cross-entropy", "--label-smoothing", "0.05", "--optimizer", "momentum", "--lr", "0.02",
        "--weight-decay", "0.001", "--schedule", "cosine", "--epochs", "2", "--batch-size", "50",
        "--clip-norm", "2.5", "--validation", "0.2", "--patience", "5", "--seed", "7", "--out", "here/it/is",
        "--no-plots", "--json",
    )  # fmt: skip
    config = json.loads(Path("here/it/is/config.json").read_text())
    expected = {
        "dataset": "digits", "hidden": [16, 8], "activation": "tanh", "dropout": 0.1, "label_smoothing": 0.05,
        "optimizer": "momentum", "lr": 0.02, "weight_decay": 0.001, "schedule": "cosine", "epochs": 2,
        "batch_size": 50, "clip_norm": 2.5, "validation": 0.2, "patience": 5, "seed": 7, "side": 8,
    }  # fmt: skip
    assert {name: config.get(name, "missing") for name in expected} == expected
    assert json_line(done.out)["parameters"] == 64 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10
    kinds = [type(layer).__name__ for layer in load_model("here/it/is/model.safetensors")]
    assert kinds == ["Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"]


CHOICES = {
    "--optimizer": ("sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"),
    "--schedule": ("none", "cosine", "one-cycle", "step", "warm-up"),
    "--loss": ("cross-entropy", "mse", "l1", "huber", "bce"),
    "--activation": tuple(tg.nn.activations),
}


@pytest.mark.parametrize("turn", range(max(map(len, CHOICES.values()))))
def test_every_choice_trains(turn):
    """As many trainings as the longest list has choices; the choices of the other options take turns."""
    options = [word for name, values in CHOICES.items() for word in (name, values[turn % len(values)])]
    succeed(*QUICK, "--epochs", "2", *options, "--out", "run")
    history = History.load("run/history.jsonl")
    assert history[1]["train_loss"] < history[0]["train_loss"]
    done = succeed("evaluate", "run", "--json")
    assert (
        json_line(done.out)["test_accuracy"]
        == json.loads(Path("run/result.json").read_text())["test_accuracy"]
    )


@pytest.fixture(scope="session")
def usual(tmp_path_factory):
    """The history of a quick run without further options."""
    folder = tmp_path_factory.mktemp("runs") / "usual"
    succeed(*QUICK, "--epochs", "2", "--out", folder)
    return History.load(folder / "history.jsonl")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--activation", "tanh"),
        ("--dropout", "0.2"),
        ("--loss", "bce"),
        ("--label-smoothing", "0.2"),
        ("--optimizer", "sgd"),
        ("--lr", "0.003"),
        ("--weight-decay", "0.3"),
        ("--schedule", "none"),
        ("--batch-size", "10"),
        ("--clip-norm", "0.01"),
        ("--validation", "0.3"),
        ("--seed", "1"),
    ],
)
def test_options_have_an_effect(usual, option, value):
    succeed(*QUICK, "--epochs", "2", option, value, "--out", "run")
    history = History.load("run/history.jsonl")
    assert len(history) == len(usual)
    assert history[-1]["train_loss"] != usual[-1]["train_loss"]


@pytest.mark.parametrize("loss", ["cross-entropy", "mse", "huber", "bce"])
def test_losses_learn(loss):
    done = succeed(
        *("train", "--dataset", "digits", "--loss", loss, "--epochs", "8", "--batch-size", "32"),
        *("--no-plots", "--json"),
    )
    assert json_line(done.out)["test_accuracy"] > 0.75


def test_keep():
    digits = ("train", "--dataset", "digits", "--epochs", "8", "--schedule", "none", "--no-plots")
    digits += ("--lr", "0.05", "--batch-size", "16")
    weights = {}
    for keep in ("last", "best"):
        succeed(*digits, "--keep", keep, "--out", keep)
        history = History.load(f"{keep}/history.jsonl")
        weights[keep] = load_model(f"{keep}/model.safetensors").state_dict()["2.bias"]
    assert history.best("validation_loss")["epoch"] < len(history), "the case does not tell the two apart"
    assert not np.array_equal(weights["last"], weights["best"])
    assert "--patience" in fail("train", "--keep", "last", "--patience", "2", status=2).err
    assert "--validation" in fail("train", "--keep", "best", "--validation", "0", status=2).err


def test_no_hidden_layer():
    done = succeed(
        "train", "--dataset", "digits", "--hidden", "none", "--epochs", "4", "--no-plots", "--json"
    )
    assert json_line(done.out)["parameters"] == 650
    assert json_line(done.out)["test_accuracy"] > 0.55


def test_the_same_seed_gives_the_same_files():
    def contents(name, seed):
        succeed(*QUICK, "--epochs", "3", "--dropout", "0.2", "--seed", seed, "--out", name)
        return [
            Path(name, file).read_bytes() for file in ("history.jsonl", "model.safetensors", "config.json")
        ]

    first, again, other = contents("a", 3), contents("b", 3), contents("c", 4)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_runs_are_numbered(tmp_path):
    for _ in range(2):
        succeed(*QUICK)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["digits-1", "digits-2"]
    Path("runs/digits-3").touch()
    assert "digits-4" in succeed(*QUICK).out


def test_an_existing_folder_is_left_alone(tmp_path):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    done = fail(*QUICK, "--out", "mine")
    assert "mine" in done.err
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    assert Path("mine/thesis.txt").read_text() == "years of work"
    fail(*QUICK, "--out", "mine/thesis.txt")
    assert Path("mine/thesis.txt").read_text() == "years of work"
    Path("empty").mkdir()
    succeed(*QUICK, "--out", "empty")
    fail(*QUICK, "--out", "empty")


def test_a_folder_that_cannot_be_made():
    Path("file").touch()
    done = fail(*QUICK, "--out", "file/run")
    assert "file" in done.err


def test_pictures_are_optional(tmp_path):
    succeed(*QUICK, "--out", "a run")
    assert list(Path("a run").glob("*.png")) == []
    page = Path("a run/index.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert escape("tinygrad-mnist evaluate 'a run'", quote=False) in page
    assert escape("--no-plots --out 'a run'") in page


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = succeed(*QUICK, "--plots", "--out", "run", "--json")
    assert "pip install 'tinygrad-mnist[plots]'" in done.err
    assert list(Path("run").glob("*.png")) == []
    assert json_line(done.out)["run_dir"] == "run"
    succeed("evaluate", "run")


def test_without_scikit_learn(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "pip install 'tinygrad-mnist[digits]'" in fail(*QUICK).err
    assert list(tmp_path.iterdir()) == []


def test_patience():
    done = succeed(
        *QUICK,
        "--epochs",
        "60",
        "--lr",
        "0.5",
        "--schedule",
        "none",
        "--patience",
        "1",
        "--json",
        "--out",
        "r",
    )
    result = json_line(done.out)
    history = History.load("r/history.jsonl")
    assert result["epochs"] == len(history) < 60
    assert "validation_loss" in result["stopped"]
    assert history.best("validation_loss")["epoch"] == len(history) - 1


def test_divergence(tmp_path):
    done = fail(
        *QUICK, "--epochs", "5", "--optimizer", "sgd", "--lr", "1e30", "--schedule", "none", "--out", "run"
    )
    assert "epoch 1" in done.err
    assert "batch" in done.err
    assert "Warning" not in done.err
    assert History.load("run/history.jsonl") == History()
    weights = load_model("run/model.safetensors").state_dict()
    assert all(np.isfinite(array).all() for array in weights.values())
    succeed("evaluate", "run")


def test_divergence_in_the_last_update():
    options = [
        "--optimizer",
        "sgd",
        "--lr",
        "1e38",
        "--schedule",
        "none",
        "--batch-size",
        "2000",
        "--validation",
        "0",
    ]
    done = fail(*QUICK, *options, "--plots", "--json", "--out", "run")
    assert "epoch 1" in done.err
    assert "Warning" not in done.err
    assert "NaN" not in done.out
    succeed("evaluate", "run")


# -- the data ------------------------------------------------------------------------------------


def test_own_data(own_data):
    done = succeed(
        "train", "--data", own_data, "--hidden", "8", "--epochs", "1", "--no-plots", "--out", "run"
    )
    assert "300 to train with, 100 to test with" in done.err
    assert str(own_data) in done.err
    config = json.loads(Path("run/config.json").read_text())
    assert config["dataset"] == "mnist"
    assert config["path"] == str(own_data)
    before = succeed("evaluate", "run").out
    own_data.rename("gone")
    done = fail("evaluate", "run")
    assert str(own_data) in done.err
    moved = succeed("evaluate", "run", "--data", "gone").out
    assert moved.splitlines()[1:] == before.splitlines()[1:]
    np.save("digit.npy", np.load("gone/mnist.npz")["x_test"][0])
    succeed("predict", "run", "digit.npy")


def test_own_data_of_other_classes_and_sizes(sample):
    kinds = ["three", "one", "two"]
    for i in range(90):
        kind = kinds[i % 3]
        Path("own", kind).mkdir(parents=True, exist_ok=True)
        digits = sample.inputs[sample.targets == kinds.index(kind)]
        Image.fromarray(255 - digits[i // 3][4:24, 4:24]).save(f"own/{kind}/{i:02}.png")
    done = succeed("train", "--data", "own", "--hidden", "16", "--epochs", "5", "--no-plots", "--out", "run")
    assert "dark on light, inverted" in done.err
    assert "72 to train with, 18 to test with" in done.err
    config = json.loads(Path("run/config.json").read_text())
    assert (config["dataset"], config["side"], config["classes"]) == ("files", 20, ["one", "three", "two"])
    assert config["fill"] > 0.9
    assert succeed("evaluate", "run").out.splitlines()[1].split()[0] == "one"
    right = [
        json_line(succeed("predict", "run", f"own/{kinds[i % 3]}/{i:02}.png", "--json").out)["prediction"]
        == kinds[i % 3]
        for i in range(12)
    ]
    assert sum(right) >= 9


def test_a_relative_path_is_found_from_elsewhere(own_data, monkeypatch, tmp_path):
    succeed("train", "--data", "own", "--hidden", "8", "--epochs", "1", "--no-plots", "--out", "run")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    succeed("evaluate", tmp_path / "run")


def test_data_that_are_not_there(tmp_path):
    for path in ("nowhere", "."):
        done = fail("train", "--data", path, "--out", "run")
        assert done.err.count("\n") <= 2
    assert list(tmp_path.iterdir()) == []


def test_the_variable(own_data, monkeypatch):
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(own_data))
    done = succeed("train", "--hidden", "8", "--epochs", "1", "--no-plots")
    assert "300 to train with" in done.err
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", "nowhere")
    assert "TINYGRAD_MNIST_DATA" in fail("train", "--hidden", "8", "--epochs", "1", "--no-plots").err


def test_offline_falls_back_loudly(monkeypatch):
    done = succeed("train", "--hidden", "8", "--epochs", "1", "--no-plots", "--json", "--out", "run")
    warning = next(line for line in done.err.splitlines() if line.startswith("warning: "))
    assert "bundled sample" in warning
    assert "5,000" in warning
    assert len(warning) < 140
    assert "data: bundled sample of 5,000 digits" in done.err
    assert "bundled sample" in json_line(done.out)["data"]

    def asked(url):
        raise AssertionError("evaluate asked the network")

    monkeypatch.setattr(download, "_open", asked)
    done = succeed("evaluate", "run")
    assert "bundled sample" in done.out


def test_fashion_where_it_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "FASHION_DEBIAN", tmp_path / "none")
    done = fail("train", "--dataset", "fashion")
    assert "apt install dataset-fashion-mnist" in done.err
    assert list(tmp_path.iterdir()) == []


def test_mistakes_with_clothes_are_called_by_name(own_data, monkeypatch):
    titles, plot = [], tg.viz.plot_mistakes

    def draw(*args, path, **settings):
        titles.extend(text.get_text() for text in plot(*args, **settings).axes[0].texts)

    monkeypatch.setattr(tg.viz, "plot_mistakes", draw)
    succeed("train", "--dataset", "fashion", "--data", own_data, "--hidden", "8", "--epochs", "1")
    kinds = set(data.load_fashion_mnist(own_data)[1].classes)
    assert "Sandal" in kinds
    assert titles
    for title in titles:
        true, arrow, predicted = title.rpartition("  ")[0].partition(" → ")
        assert arrow
        assert {true, predicted} <= kinds


@pytest.mark.thorough
def test_fashion_from_a_path(own_data):
    arguments = ["--dataset", "fashion", "--data", own_data, "--hidden", "8", "--epochs", "1"]
    succeed("train", *arguments, "--out", "run")
    done = succeed("evaluate", "run")
    assert "Ankle boot" in done.out
    np.save("shoe.npy", np.load(own_data / "mnist.npz")["x_test"][0])
    prediction = json_line(succeed("predict", "run", "shoe.npy", "--json").out)
    assert set(prediction["probabilities"]) == set(mnist.CLOTHES)


# -- Ctrl-C --------------------------------------------------------------------------------------


def read_until(stream, beginning):
    for line in stream:
        if line.startswith(beginning):
            return
    raise AssertionError(f"no line begins with {beginning!r}")


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_control_c_leaves_a_usable_run(sample):
    with process(
        "train", "--dataset", "sample", "--hidden", "16", "--epochs", "100000", "--schedule", "none",
        "--lr", "0.001", "--no-plots", "--out", "run", "--json",
    ) as program:  # fmt: skip
        read_until(program.stderr, "epoch      1/")
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in err
    assert "stopped" in err
    result = json_line(out)
    assert result["stopped"] == "interrupted"
    assert result["epochs"] >= 1
    assert result["epochs"] == len(History.load("run/history.jsonl"))
    done = succeed("evaluate", "run", "--json")
    assert json_line(done.out)["test_accuracy"] == result["test_accuracy"]
    np.save("digit.npy", sample.inputs[0])
    succeed("predict", "run", "digit.npy")


def test_control_c_in_the_first_epoch(monkeypatch):
    def interrupt(self, training):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "on_batch", interrupt)
        done = command("train", "--dataset", "digits", "--hidden", "8", "--out", "run", "--json")
    assert done.status == 130
    assert json_line(done.out)["epochs"] == 0
    succeed("evaluate", "run")
    assert History.load("run/history.jsonl") == History()


def test_control_c_elsewhere(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "predict", interrupt)
    done = command("evaluate", run)
    assert done.status == 130
    assert "Traceback" not in done.err


# -- as a process --------------------------------------------------------------------------------


@pytest.mark.thorough
def test_exit_statuses_of_the_process(run):
    for arguments, status, beginning in [
        (["evaluate", "nowhere"], 1, "error: nowhere"),
        (["train", "--loss", "mad"], 2, "Usage: "),
        (["evaluate", run], 0, ""),
    ]:
        with process(*arguments) as program:
            out, err = program.communicate(timeout=60)
        assert program.returncode == status, err
        assert err.startswith(beginning)
        assert "Traceback" not in err
        assert (out == "") == (status != 0)
        if status == 1:
            assert len(err.splitlines()) == 1


# -- evaluate ------------------------------------------------------------------------------------


def test_evaluate(run, trained):
    expected = json_line(trained[1].out)["test_accuracy"]
    lines = succeed("evaluate", run).out.splitlines()
    assert "bundled sample" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == [*"0123456789", "accuracy"]
    assert all(line.endswith("of 100") for line in lines[1:-1])
    right = sum(int(line.split()[2]) for line in lines[1:-1])
    assert right / 1000 == expected
    assert f"{expected:.2%}" in lines[-1]
    result = json_line(succeed("evaluate", run, "--json").out)
    assert result["test_accuracy"] == expected
    assert result["count"] == 1000
    confusion = np.array(result["confusion"])
    assert confusion.sum() == 1000
    assert np.trace(confusion) == right


def test_evaluate_on_other_data(run, own_data):
    result = json_line(succeed("evaluate", run, "--data", own_data, "--json").out)
    assert result["count"] == 100
    assert result["test_accuracy"] > 0.8
    assert str(own_data) in result["data"]


# -- run folders that are not whole --------------------------------------------------------------


def spoil(run, damage):
    config = json.loads((run / "config.json").read_text())
    if damage == "no folder":
        shutil.rmtree(run)
    elif damage == "a file":
        shutil.rmtree(run)
        run.write_text("a file")
    elif damage == "no weights":
        (run / "model.safetensors").unlink()
    elif damage == "half the weights":
        weights = run / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "weights without description":
        tg.save({"w": np.ones(2)}, run / "model.safetensors")
    elif damage == "no settings":
        (run / "config.json").unlink()
    elif damage == "settings in binary":
        (run / "config.json").write_bytes(b"\xff\xfe\x00{")
    elif damage == "settings cut off":
        (run / "config.json").write_text('{"side": 28,')
    elif damage == "settings of another kind":
        (run / "config.json").write_text("[1, 2]")
    elif damage == "empty settings":
        (run / "config.json").write_text("{}")
    elif damage == "unknown data":
        config.update(dataset="bogus", data="somewhere", side="wide", loss="mad", classes=7)
        (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "damage",
    [
        "no folder",
        "a file",
        "no weights",
        "half the weights",
        "weights without description",
        "no settings",
        "settings in binary",
        "settings cut off",
        "settings of another kind",
        "empty settings",
        "unknown data",
    ],
)
@pytest.mark.parametrize("name", ["evaluate", "predict", "draw-graph", "gradcheck"])
def test_a_run_that_is_not_whole(run, sample, damage, name):
    np.save("digit.npy", sample.inputs[0])
    before = sorted(run.iterdir())
    spoil(run, damage)
    done = fail(name, run, *(["digit.npy"] if name == "predict" else []))
    assert "run" in done.err
    assert done.out == ""
    assert not run.is_dir() or set(run.iterdir()) <= set(before)


# -- predict -------------------------------------------------------------------------------------


def test_a_picture_and_a_run_in_each_others_place(run, sample):
    np.save("digit.npy", sample.inputs[0])
    assert "digit.npy: is a file, not the folder of a run" in fail("predict", "digit.npy", run).err
    Path("empty").mkdir()
    assert "holds no pictures and no tables" in fail("predict", run, "empty").err
    assert fail("predict", run, "none.png").err == "error: none.png: no such file\n"


def large_on_paper(image):
    """Dark ink on white paper, five times as large, off the middle of a larger sheet."""
    paper = np.full((220, 260), 255, np.uint8)
    paper[30:170, 60:200] = 255 - np.kron(image, np.ones((5, 5), np.uint8))
    return paper


FORMATS = {
    "light on dark": lambda image: image,
    "dark on light": lambda image: 255 - image,
    "larger": large_on_paper,
    "colour": lambda image: np.stack([large_on_paper(image)] * 3, axis=-1),
    "transparent": lambda image: np.stack([np.zeros_like(image)] * 3 + [image], axis=-1),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_digits_are_read_mostly_right(trained, sample, name, ending):
    paths = []
    for i in range(30):
        pixels = FORMATS[name](sample.inputs[i])
        paths.append(Path(f"{i}{ending}"))
        if ending == ".png":
            Image.fromarray(pixels).save(paths[-1])
        else:
            np.save(paths[-1], pixels)
    lines = succeed("predict", trained[0], *paths).out.splitlines()
    assert len(lines) == 30
    guesses = []
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"{path}: ")
        guesses.append(int(line.removeprefix(f"{path}: ").split()[0]))
    assert np.mean(np.array(guesses) == sample.targets[:30]) >= 0.8


def test_other_sizes_are_read_as_the_model_saw_them():
    succeed("train", "--dataset", "digits", "--epochs", "8", "--no-plots", "--out", "run")
    images = data.load_digits()[1].inputs[:30] * 15
    right = 0
    for image, target in zip(images, data.load_digits()[1].targets, strict=False):
        Image.fromarray(255 - np.kron(image, np.ones((9, 9), np.uint8))).save("digit.png")
        right += json_line(succeed("predict", "run", "digit.png", "--json").out)["prediction"] == str(target)
    assert right > 15


def test_predict_as_json(run, sample):
    for i in (5, 3):
        np.save(f"{i}.npy", sample.inputs[i])
    lines = succeed("predict", run, "5.npy", "3.npy", "--json").out.splitlines()
    assert [json_line(line)["image"] for line in lines] == ["5.npy", "3.npy"]
    for line in lines:
        prediction = json_line(line)
        chances = prediction["probabilities"]
        assert list(chances) == list("0123456789")
        assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
        assert all(0 <= chance <= 1 for chance in chances.values())
        assert prediction["prediction"] == max(chances, key=chances.get)


@pytest.mark.parametrize("loss", ["mse", "bce", "huber"])
def test_a_sure_prediction_looks_sure(loss, sample):
    succeed(
        "train",
        "--dataset",
        "sample",
        "--loss",
        loss,
        "--hidden",
        "32",
        "--epochs",
        "4",
        "--no-plots",
        "--out",
        "run",
    )
    right = []
    for i in range(30):
        np.save(f"{i}.npy", sample.inputs[i])
    lines = succeed("predict", "run", *(f"{i}.npy" for i in range(30)), "--json").out.splitlines()
    for line, target in zip(lines, sample.targets, strict=False):
        prediction = json_line(line)
        if prediction["prediction"] == str(target):
            right.append(prediction["probabilities"][str(target)])
    assert len(right) >= 20
    assert np.median(right) > 0.5


def test_unreadable_images(run, sample):
    np.save("good.npy", sample.inputs[0])
    Path("text.png").write_text("not a picture")
    Path("empty.png").touch()
    Path("digit.npy").write_bytes(Path("good.npy").read_bytes()[:-50])
    np.save("objects.npy", np.array([{}], object))
    np.save("blank.npy", np.zeros((28, 28)))
    np.save("vector.npy", np.arange(784.0) / 784)
    Path("folder.png").mkdir()
    for bad in (
        "text.png",
        "empty.png",
        "digit.npy",
        "objects.npy",
        "blank.npy",
        "vector.npy",
        "folder.png",
        "none.png",
    ):
        if bad == "folder.png":
            assert "folder.png" in fail("predict", run, bad, "good.npy").err
            continue
        done = fail("predict", run, bad, "good.npy")
        assert done.err.splitlines()[-1] == f"error: 1 of 2 files could not be read: {bad}"
        assert done.out.startswith("good.npy: ")
    assert len(done.out.splitlines()) == 1


def test_predict_reads_folders_and_tables(run, sample):
    Path("digits/more").mkdir(parents=True)
    Image.fromarray(sample.inputs[0]).save("digits/a.png")
    np.save("digits/b.npy", sample.inputs[1])
    Image.fromarray(np.tile(np.pad(sample.inputs[2], 10), 2)).save("digits/c.png")
    Image.fromarray(sample.inputs[3]).save("digits/more/d.png")
    Path("digits/readme.txt").write_text("four digits, and two in one")
    done = fail("predict", run, "digits")
    names = [str(Path("digits") / name) for name in ("a.png", "b.npy", "more/d.png")]
    assert [line.partition(": ")[0] for line in done.out.splitlines()] == names
    assert "c.png: holds several digits" in done.err
    assert done.err.splitlines()[-1] == f"error: 1 of 4 files could not be read: {Path('digits') / 'c.png'}"
    rows = [",".join(map(str, image.reshape(-1))) for image in sample.inputs[:30]]
    Path("test.csv").write_text("\n".join([",".join(f"pixel{i}" for i in range(784)), *rows]))
    np.save("stack.npy", sample.inputs[:30])
    answers = []
    for file in ("test.csv", "stack.npy"):
        found = [json_line(line) for line in succeed("predict", run, file, "--json").out.splitlines()]
        assert [answer["image"] for answer in found] == [f"{file}, row {i}" for i in range(1, 31)]
        answers.append([int(answer["prediction"]) for answer in found])
    assert answers[0] == answers[1]
    assert np.mean(np.array(answers[0]) == sample.targets[:30]) > 0.7


def test_a_picture_without_pillow(run, sample, monkeypatch):
    Image.fromarray(sample.inputs[0]).save("digit.png")
    np.save("digit.npy", sample.inputs[0])
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'tinygrad-mnist[pictures]'" in fail("predict", run, "digit.png").err
    succeed("predict", run, "digit.npy")


# -- export --------------------------------------------------------------------------------------


def test_export(run):
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    done = succeed("export", run, "model.onnx")
    assert "model.onnx: " in done.out
    assert "onnxruntime agrees within" in done.out
    session = runtime.InferenceSession("model.onnx")
    x = np.random.default_rng(0).random((5, 784), np.float32)
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, training.predict(load_model(run / "model.safetensors"), x), atol=1e-5)


# -- draw-graph ----------------------------------------------------------------------------------


def test_draw_graph_as_text(run):
    done = succeed("draw-graph", run, "--out", "graph.dot")
    assert "graph.dot" in done.out
    text = Path("graph.dot").read_text()
    assert text.startswith("digraph")
    for part in ("linear", "relu", "weight", "bias", "64", "784"):
        assert part in text
    succeed("draw-graph", run, "--out", "again.gv", "--batch-size", "64")
    assert Path("again.gv").read_text() == text
    succeed("draw-graph", run, "--out", "less.dot", "--batch-size", "3")
    assert Path("less.dot").read_text() != text


def test_draw_graph_as_a_picture(run):
    done = succeed("draw-graph", run)
    assert str(run / "graph.svg") in done.out
    assert "<svg" in (run / "graph.svg").read_text()
    succeed("draw-graph", run, "--out", "graph.png")
    with Image.open("graph.png") as picture:
        assert min(picture.size) > 100


def test_draw_graph_refuses(run):
    done = fail("draw-graph", run, "--out", "graph.bmp")
    assert ".svg" in done.err
    assert ".dot" in done.err
    assert not Path("graph.bmp").exists()
    assert command("draw-graph", run, "--batch-size", "0").status == 2


def test_draw_graph_without_an_engine(run, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    done = fail("draw-graph", run)
    assert "pip install 'tinygrad-mnist[render]'" in done.err
    assert not (run / "graph.svg").exists()
    succeed("draw-graph", run, "--out", "graph.dot")


# -- gradcheck -----------------------------------------------------------------------------------


def test_gradcheck(run):
    before = (run / "model.safetensors").read_bytes()
    lines = succeed("gradcheck", run).out.splitlines()
    assert [line.split()[0] for line in lines] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert all(" ok" in line for line in lines)
    assert "50 of" in lines[0]
    assert (run / "model.safetensors").read_bytes() == before


def test_gradcheck_options(run):
    lines = succeed("gradcheck", run, "--samples", "2", "--elements", "5").out.splitlines()
    assert all("5 of" in line for line in lines)
    succeed(*QUICK, "--hidden", "4", "--dropout", "0.5", "--out", "small")
    lines = succeed("gradcheck", "small", "--every", "--samples", "3").out.splitlines()
    assert "256 of 256" in lines[0]
    assert command("gradcheck", run, "--samples", "0").status == 2


@pytest.mark.parametrize(
    "options", [["--activation", "sigmoid", "--loss", "mse"], ["--activation", "gelu", "--loss", "bce"]]
)
def test_gradcheck_of_other_runs(options):
    succeed(*QUICK, *options, "--out", "run")
    succeed("gradcheck", "run", "--elements", "20")


@pytest.mark.parametrize("options", [[], ["--elements", "0"], ["--samples", "2"]], ids=" ".join)
def test_gradcheck_finds_a_wrong_rule(run, monkeypatch, options):
    input_rule, weight_rule, bias_rule = linear.linear.rules.values()
    wrong = (input_rule, lambda *args: 1.01 * weight_rule(*args), bias_rule)
    monkeypatch.setattr(linear.linear, "rules", wrong)
    done = command("gradcheck", run, *options)
    assert done.status == 1
    lines = done.out.splitlines()
    assert "WRONG" in lines[0]
    assert "0.weight" in lines[0]
    assert " ok" in lines[1]
    assert "WRONG" in lines[2]
    assert "Traceback" not in done.err


# -- data ----------------------------------------------------------------------------------------


def test_a_command_by_another_name():
    assert "Did you mean 'fetch'?" in fail("data", "download", status=2).err
    assert "Did you mean 'train'?" in fail("trian", status=2).err
    assert "--lr" in fail("train", "--learning-rate", "0.1", status=2).err


def test_commands_on_the_folder_of_an_experiment():
    succeed("experiment", "run", "small_digits", "--cycles", "1", "--out", "results")
    for command in (("evaluate",), ("explain",), ("predict", "digit.png"), ("gradcheck",)):
        message = fail(command[0], "results", *command[1:]).err
        assert "holds the results of the experiment 'small_digits'" in message
        assert "index.html" in message


def test_a_folder_without_permission_is_named(tmp_path, capsys):
    report_error(PermissionError(13, "Permission denied", str(tmp_path / ".page.html.x.unfinished")))
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}: nothing may be written into this folder")
    assert "--out" in said
    (tmp_path / "own.csv").touch()
    report_error(PermissionError(13, "Permission denied", str(tmp_path / "own.csv")))
    assert f"error: {tmp_path / 'own.csv'}: permission denied; change" in capsys.readouterr().err


def test_data_info(own_data, monkeypatch):
    lines = succeed("data", "info").out.splitlines()
    assert len(lines) == len(data.describe())
    assert any("bundled sample" in line and line.startswith(">") for line in lines)
    assert any("TINYGRAD_MNIST_DATA" in line and "not set" in line for line in lines)
    assert any("dataset-fashion-mnist" in line for line in lines)
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", str(own_data))
    line = next(line for line in succeed("data", "info").out.splitlines() if "$TINYGRAD_MNIST_DATA" in line)
    assert line.startswith(">")
    assert str(own_data) in line


def test_fetch_without_a_network(tmp_path):
    done = fail("data", "fetch", "--folder", "mnist")
    assert "the network is down" in done.err
    assert "try again with a network" in done.err.lower()  # what to do about it
    assert list(tmp_path.iterdir()) == []


def test_fetch(monkeypatch):
    asked = []

    def fetch(folder):
        asked.append(folder)
        return Path(folder or "the cache")

    monkeypatch.setattr(data, "fetch_mnist", fetch)
    assert "the cache" in succeed("data", "fetch").out
    assert "here" in succeed("data", "fetch", "--folder", "here").out
    assert asked == [None, Path("here")]


def test_fetch_keeps_what_is_there(full_mnist):
    before = {path: path.stat().st_mtime_ns for path in full_mnist.iterdir()}
    succeed("data", "fetch", "--folder", full_mnist)
    assert {path: path.stat().st_mtime_ns for path in full_mnist.iterdir()} == before


# -- the real thing ------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_full_mnist(full_mnist):
    arguments = ["--data", full_mnist, "--hidden", "128", "--epochs", "5", "--no-plots", "--json"]
    results = [json_line(succeed("train", *arguments, "--out", name).out) for name in ("a", "b")]
    assert results[0]["test_accuracy"] >= 0.978
    assert "official" in results[0]["data"]
    for file in ("model.safetensors", "history.jsonl"):
        assert Path("a", file).read_bytes() == Path("b", file).read_bytes()
    succeed("gradcheck", "a")
    assert json_line(succeed("evaluate", "a", "--json").out)["test_accuracy"] == results[0]["test_accuracy"]
