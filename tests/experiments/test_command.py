"""What every experiment has: options, data, a run folder, resuming, and clear messages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import tinygrad_mnist as tg
from tinygrad_mnist.cli import cli
from tinygrad_mnist.experiments import catalogue, experiment, run_experiment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGRAD_MNIST_DATA", raising=False)


def make(body, data=None):
    @experiment(data)
    @click.option("--size", default=1)
    def main(report, **given):
        """Do something."""
        return body(report, **given)

    return main


def call(command, *args):
    return command.main([str(arg) for arg in args], standalone_mode=False)


def test_it_is_given_what_was_asked_for(tmp_path):
    seen = {}
    command = make(lambda report, **given: seen.update(given), "mnist")
    report = call(command, "--seed", 3, "--seeds", 2, "--size", 7)
    assert seen["seeds"] == range(3, 5)
    assert seen["size"] == 7
    assert not seen["full"]
    assert [len(seen[part]) for part in ("train", "test")] == [4000, 1000]
    assert report.folder == Path("runs/test_command-1")
    assert call(command).folder == Path("runs/test_command-2")
    config = json.loads((report.folder / "config.json").read_text())
    assert config["options"] == {"size": 7, "full": False, "data": None, "seed": 3, "seeds": 2}
    assert config["data"] == tg.data.SAMPLE


def test_those_that_train_can_be_told_how():
    seen = []

    @experiment()
    def main(report, full, seeds, compile):
        """Train something."""
        seen.append(compile)
        if seen == [compile]:
            raise KeyboardInterrupt

    with pytest.raises(click.Abort):
        call(main, "--compile", "numba")
    call(main, "--resume", "runs/test_command-1")
    for arguments in ([], ["--compile"], ["--compile", "numpy"], ["--no-compile"]):
        call(main, *arguments)
    assert seen == ["numba", "numba", "auto", "auto", "numpy", False]
    assert "--compile [auto|numpy|numba|no]" in CliRunner().invoke(main, ["--help"]).output
    assert "--compile" not in CliRunner().invoke(make(lambda report, **given: None), ["--help"]).output
    with pytest.raises(click.UsageError, match="'nunba' is not one of 'auto', 'numpy', 'numba', 'no'"):
        call(main, "--compile", "nunba")


def test_a_run_from_before_it_could_be_said_goes_on_uncompiled(tmp_path):
    seen = []

    @experiment()
    def main(report, full, seeds, compile):
        """Train something."""
        seen.append(compile)

    call(main, "--out", "made")
    file = tmp_path / "made" / "config.json"
    config = json.loads(file.read_text())
    assert config["options"].pop("compile") == "auto"
    file.write_text(json.dumps(config))
    call(main, "--resume", "made")
    assert seen == ["auto", False]


def test_data_of_ones_own_are_used_in_full(tmp_path):
    train, test = tg.data.load_mnist("sample")
    np.savez(
        "mnist.npz",
        x_train=train.inputs[:50],
        y_train=train.targets[:50],
        x_test=test.inputs[:20],
        y_test=test.targets[:20],
    )
    seen = {}
    call(make(lambda report, **given: seen.update(given), "mnist"), "--data", "mnist.npz")
    assert len(seen["train"]) == 50
    assert seen["full"]


def test_full_does_not_fall_back_to_the_sample(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.cwd()))
    monkeypatch.setattr("tinygrad_mnist.data.mnist._can_download", lambda folder: False)
    with pytest.raises(tg.errors.DataError, match=r"--full needs the 60,000 digits of MNIST.*data info"):
        call(make(lambda report, **given: None, "mnist"), "--full")
    assert not Path("runs").exists()


def test_nothing_is_overwritten():
    Path("out").mkdir()
    Path("out/mine.txt").write_text("dear to me")
    with pytest.raises(tg.errors.RunError, match="already exists and is not empty"):
        call(make(lambda report, **given: None), "--out", "out")
    assert Path("out/mine.txt").read_text() == "dear to me"


def test_a_failure_keeps_what_was_measured(capsys):
    def fails(report, **given):
        report.table("so far").add(seed=0, accuracy=0.5)
        raise tg.errors.NonFiniteError("the loss became nan")

    with pytest.raises(tg.errors.NonFiniteError):
        call(make(fails))
    result = json.loads(Path("runs/test_command-1/result.json").read_text())
    assert result["status"].startswith("failed: the loss became nan")
    assert result["tables"][0]["rows"] == [{"seed": 0, "accuracy": 0.5}]
    assert "--resume runs/test_command-1" in capsys.readouterr().err.replace(os.sep, "/")


def test_resuming_takes_the_settings_of_the_run():
    seen = []
    command = make(lambda report, **given: seen.append(given), "mnist")
    folder = call(command, "--size", 5, "--seeds", 2).folder
    assert call(command, "--resume", folder).folder == folder
    assert [given["size"] for given in seen] == [5, 5]
    assert [given["seeds"] for given in seen] == [range(2), range(2)]


def test_what_cannot_be_resumed():
    command = make(lambda report, **given: None, "mnist")
    folder = call(command).folder
    with pytest.raises(click.UsageError, match="leave out --size, --seed"):
        call(command, "--size", 2, "--seed", 1, "--resume", folder)
    with pytest.raises(tg.errors.RunError, match="no run here that could be resumed"):
        call(command, "--resume", "nowhere")
    config = json.loads((folder / "config.json").read_text())
    for change, problem in [
        ({"experiment": "another"}, "is a run of 'another', not of 'test_command'"),
        ({"data": "the moon"}, "was started with other data"),
        ({"options": None}, "does not hold the settings of an experiment"),
    ]:
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(tg.errors.RunError, match=re.escape(problem)):
            call(command, "--resume", folder)


def test_unknown_data_are_refused():
    with pytest.raises(tg.errors.OptionError, match=r"unknown data 'mnits'.*did you mean 'mnist'"):
        experiment("mnits")


def test_the_list_names_every_experiment():
    listed = CliRunner().invoke(cli, ["experiment", "list"]).output.splitlines()
    assert [line.split()[0] for line in listed] == list(catalogue())
    scripts = {path.stem for path in EXAMPLES.glob("*.py") if "@experiment" in path.read_text()}
    assert set(catalogue()) == scripts
    assert {"sigmoid_network", "small_digits", "five_experiments", "linked_layers", "full_batch"} <= scripts
    assert all(len(line.split()) > 3 for line in listed)


def test_an_unknown_experiment_lists_the_others():
    with pytest.raises(
        tg.errors.OptionError, match=r"unknown experiment 'sigmoid_netwrok'.*did you mean 'sigmoid_network'"
    ):
        run_experiment("sigmoid_netwrok", [])


def program(*args, **settings):
    return subprocess.Popen(
        [sys.executable, "-W", "error", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            "PYTHONPATH": str(EXAMPLES.parent),
            "PATH": "",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        start_new_session=True,
        **settings,
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    "way",
    [
        ["-m", "tinygrad_mnist", "experiment", "run", "sigmoid-network"],
        pytest.param([str(EXAMPLES / "sigmoid_network.py")], marks=pytest.mark.thorough),
    ],
)
def test_both_ways_to_run_one(way):
    process = program(*way, "--epochs", "1", "--out", "here")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "validation accuracy" in out
    assert Path("here/index.html").is_file()
    process = program(*way, "--neurons", "many")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'many' is not a valid integer" in err


def test_a_file_of_the_wrong_kind_is_named():
    Path("digits.csv").write_text("not,numbers\n")
    process = program("-m", "tinygrad_mnist", "experiment", "run", "sigmoid_network", "--data", "digits.csv")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: ")
    assert "digits.csv" in err
    assert "Traceback" not in err


@pytest.mark.thorough
def test_ctrl_c_keeps_what_was_done():
    process = program(str(EXAMPLES / "sigmoid_network.py"), "--epochs", "100000")
    for line in process.stderr:
        if "epoch      2/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume runs" in err
    assert err.endswith("stopped\n")
    status = json.loads(Path("runs/sigmoid_network-1/result.json").read_text())["status"]
    assert status.startswith("stopped after")


@pytest.mark.parametrize("name", catalogue())
def test_help_shows_what_it_is_about(name, script):
    result = CliRunner().invoke(script(name).main, ["--help"])
    assert result.exit_code == 0, result.output
    assert f"examples/{name}.py" in result.output, "the help says how to call it"
    assert "--full" in result.output


@pytest.mark.thorough
def test_a_usage_that_can_be_typed():
    beginnings = {
        (
            "-m",
            "tinygrad_mnist",
            "experiment",
            "run",
        ): "Usage: tinygrad-mnist experiment run small_digits [OPTIONS]",
        (): f"Usage: python {EXAMPLES / 'small_digits.py'} [OPTIONS]",
    }
    for program_, beginning in beginnings.items():
        name = "small_digits" if program_ else str(EXAMPLES / "small_digits.py")
        process = program(*program_, name, "--epochs", "3")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert err.startswith(beginning)
