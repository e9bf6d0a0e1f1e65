"""`train --resume`: processes that are killed, started at the same moment, or told to stop."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.cli import main
from tinygrad_mnist.training.folders import make_folder
from tinygrad_mnist.training.resuming import CHECKPOINT

SAME = ("model.safetensors", "history.jsonl")
#: With a checkpoint after every batch, and only after each epoch.
OFTEN, SELDOM = ["--checkpoint-every", "1e-9"], []


def start(*arguments, **settings):
    """Start the program as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    command = [sys.executable, "-m", "tinygrad_mnist", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **{**pipes, **settings})


def run(*arguments, status=0):
    """Run the program in this process; return all that it wrote."""
    said = io.StringIO()
    argv = ["tinygrad-mnist", *map(str, arguments)]
    with (
        redirect_stdout(said),
        redirect_stderr(said),
        mock.patch.object(sys, "argv", argv),
        pytest.raises(SystemExit) as exit,
    ):
        main()
    assert exit.value.code == status, said.getvalue()
    return said.getvalue()


def quick(*options, epochs=3):
    """The arguments of a short training."""
    return ["train", "--dataset", "digits", "--hidden", "16", "--no-plots", "--epochs", epochs, *options]


def assert_same(folder, whole):
    for name in SAME:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def epochs_in(folder):
    """How many epochs the checkpoint of a run has."""
    if not (folder / CHECKPOINT).exists():
        return 0
    return tg.load(folder / CHECKPOINT)["history"].tobytes().count(b"\n")


# -- SIGKILL ---------------------------------------------------------------------------------------


def kill_until_done(folder, arguments, often, rng, kills, epochs):
    """Train; kill the process at random moments, so many times, resuming it each time; then let it finish.

    A moment is some time after a random line that the process writes: while it starts, trains, validates, saves or
    measures. After each kill, at most the epoch in progress may be lost.
    """
    left = kills
    while left >= 0:
        is_new = not (folder / "config.json").exists()
        how = [*arguments, "--out", folder] if is_new else ["train", "--no-plots", "--resume", folder]
        with start(*how, *often, stdout=subprocess.DEVNULL) as process:
            lines = int(rng.integers(3 + (epochs - epochs_in(folder)))) if left else math.inf
            said = [process.stderr.readline() for _ in range(lines)] if left else process.stderr.readlines()
            if left:
                time.sleep(rng.uniform(0, 0.05 if lines else 1.0))
                process.kill()
                said += process.stderr.readlines()
        assert process.returncode in (0, -signal.SIGKILL), said
        # It may have been faster than the kill; then there is another one.
        left -= process.returncode == -signal.SIGKILL or not left
        shown = [int(number) for line in said for number in re.findall(r"^epoch +(\d+)/", line)]
        assert epochs_in(folder) >= max(shown, default=1) - 1


KINDS = [
    # optimizer, schedule, and what else
    ("adamw", "one-cycle", "--no-compile", "--dropout", "0.2"),
    ("adamw", "one-cycle", "--compile", "numpy", "--dropout", "0.2", "--keep", "best"),
    ("sgd", "cosine", "--compile", "numpy", "--loss", "mse"),
    ("momentum", "step", "--no-compile", "--patience", "2"),
    ("adam", "warm-up", "--compile", "numpy", "--validation", "0"),
    ("rmsprop", "none", "--compile", "numpy", "--clip-norm", "0.5"),
    ("adagrad", "cosine", "--no-compile", "--label-smoothing", "0.1", "--keep", "best"),
    ("adam", "one-cycle", "--compile", "numba", "--dropout", "0.1"),
    ("momentum", "one-cycle", "--compile", "auto", "--batch-size", "1"),
    ("rmsprop", "step", "--compile", "numba", "--loss", "bce", "--keep", "best"),
]


def arguments_of(kind, epochs):
    optimizer, schedule, *others = kind
    return quick("--optimizer", optimizer, "--schedule", schedule, *others, epochs=epochs)


ARGUMENTS = arguments_of(KINDS[1], 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(*ARGUMENTS, "--out", folder)
    return folder


def test_a_killed_process_goes_on_bit_for_bit(tmp_path, whole):
    with start(*ARGUMENTS, "--out", tmp_path / "killed") as process:
        for line in process.stderr:
            if line.startswith("epoch  7/"):
                process.kill()
                break
    assert process.wait() == -signal.SIGKILL
    assert 6 <= epochs_in(tmp_path / "killed") < 20
    assert "epoch  5/20" not in run("train", "--no-plots", "--resume", tmp_path / "killed")
    assert_same(tmp_path / "killed", whole)


@pytest.mark.thorough
@pytest.mark.soak
@pytest.mark.parametrize(("number", "kind"), [*enumerate(KINDS)], ids=[" ".join(kind) for kind in KINDS])
def test_killed_at_random_moments(tmp_path, number, kind):
    """Ten kills of each kind: five with a checkpoint after each epoch, and five with one after each batch, too."""
    epochs = 2 if "--batch-size" in kind else 12
    rng, arguments = np.random.default_rng(number), arguments_of(kind, epochs)
    run(*arguments, "--out", tmp_path / "whole")
    for often in (OFTEN, SELDOM):
        folder = tmp_path / f"killed {len(often)}"
        kill_until_done(folder, arguments, often, rng, 5, epochs)
        assert_same(folder, tmp_path / "whole")


# -- signals ---------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "status", "why"),
    [
        (signal.SIGTERM, 143, "terminated"),
        pytest.param(signal.SIGINT, 130, "interrupted", marks=pytest.mark.thorough),
    ],
)
def test_a_signal_stops_and_loses_nothing(tmp_path, number, status, why, whole):
    with start(*ARGUMENTS, "--out", tmp_path / "stopped") as process:
        for line in process.stderr:
            if line.startswith("epoch  3/"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.wait() == status
    assert "--resume" in rest
    result = json.loads((tmp_path / "stopped" / "result.json").read_text())
    assert result["stopped"] == why
    assert 3 <= result["epochs"] < 20
    run("train", "--no-plots", "--resume", tmp_path / "stopped")
    assert_same(tmp_path / "stopped", whole)
    assert json.loads((tmp_path / "stopped" / "result.json").read_text())["stopped"] == ""


def test_sigterm_before_the_training(tmp_path):
    with start("data", "info", stdout=subprocess.PIPE) as process:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert process.returncode in (143, -signal.SIGTERM)  # -SIGTERM: Python was still starting


# -- one process for each folder -------------------------------------------------------------------


def claimants(folder, count, action):
    """Let processes that wait for each other do the same at the same moment; return what they print."""
    code = f"""
import os, sys, time
from pathlib import Path
from tinygrad_mnist.training.runs import Run
os.chdir(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    {action}
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate()[0].strip() for process in processes]


NEW = 'for _ in range({n}):\n        with Run.create(None, {{"of": os.getpid()}}, name="x") as folder: print(folder)'
SAME_FOLDER = 'with Run.create("one", {"of": os.getpid()}) as folder: print(folder); time.sleep(0.5)'


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("processes", "each"), [(2, 12), pytest.param(12, 10, marks=pytest.mark.thorough)], ids=["24", "120"]
)
def test_new_runs_never_share_a_folder(tmp_path, processes, each):
    made = [line for text in claimants(tmp_path, processes, NEW.format(n=each)) for line in text.splitlines()]
    assert sorted(made) == sorted(f"runs/x-{i + 1}" for i in range(processes * each))
    owners = [json.loads((tmp_path / folder / "config.json").read_text())["of"] for folder in made]
    assert len(set(owners)) == processes


@pytest.mark.thorough
def test_one_of_several_gets_a_folder_with_a_name(tmp_path):
    printed = claimants(tmp_path, 2, SAME_FOLDER)
    assert sorted(text.partition(" ")[0] for text in printed) == ["RunError", "one"]


@pytest.mark.thorough
def test_trainings_that_start_at_the_same_moment(tmp_path):
    """120 starts of the whole program, a few at a time."""
    for _ in range(30):
        processes = [
            start(*quick(epochs=1), "--no-doctor", cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(4)
        ]
        for process in processes:
            _, err = process.communicate()
            assert process.returncode == 0, err
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 120
    for folder in folders:
        assert json.loads((folder / "result.json").read_text())["run_dir"] == f"runs/{folder.name}"


def test_new_folders_get_the_next_number(tmp_path):
    assert [make_folder(tmp_path, "a").name for _ in range(3)] == ["a-1", "a-2", "a-3"]
    (tmp_path / "b-1").write_text("a file")
    assert make_folder(tmp_path, "b").name == "b-2"


@pytest.mark.thorough
def test_a_running_training_cannot_be_resumed_by_another(tmp_path):
    with start(*quick("--no-doctor", epochs=3000), "--out", tmp_path / "run") as process:
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        said = run("train", "--resume", tmp_path / "run", status=1)
        assert str(process.pid) in said
        said = run(*quick(), "--out", tmp_path / "run", status=1)
        assert "not empty" in said
        process.kill()
    run("train", "--no-plots", "--resume", tmp_path / "run", "--epochs", epochs_in(tmp_path / "run") + 1)


# -- full disks ------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_disk_that_is_really_full(tmp_path):
    """A file system of its own, which has room for the first checkpoints only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        arguments = quick("--no-doctor", epochs=3)
        run(*arguments, "--out", tmp_path / "whole")
        run(*arguments, "--out", disk / "run")
        before = (disk / "run" / CHECKPOINT).read_bytes()
        (disk / "ballast").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
        with start("train", "--no-plots", "--resume", disk / "run", "--epochs", 5) as process:
            _, err = process.communicate()
        assert process.returncode == 1
        assert f"{disk / 'run'}: cannot be written: No space left on device. Choose a folder" in err
        assert "Traceback" not in err
        assert (disk / "run" / CHECKPOINT).read_bytes() == before
        (disk / "ballast").unlink()
        run("train", "--no-plots", "--resume", disk / "run")
    finally:
        subprocess.run(["umount", disk], check=True)


# -- options ---------------------------------------------------------------------------------------


def test_more_epochs(tmp_path):
    run(*quick("--schedule", "none", epochs=2), "--out", tmp_path / "run")
    run("train", "--no-plots", "--resume", tmp_path / "run", "--epochs", 4)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 4
    run(*quick("--schedule", "none", epochs=4), "--out", tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")
    assert "4 epochs already" in run("train", "--resume", tmp_path / "run", "--epochs", 3, status=1)
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    said = run("train", "--no-plots", "--resume", tmp_path / "run")
    assert "nothing was left to train after 4 epochs; --epochs asks for more" in said
    after = json.loads((tmp_path / "run" / "result.json").read_text())
    assert after.pop("seconds") <= before.pop("seconds")
    assert after == before


@pytest.mark.parametrize(
    "option", [["--lr", "0.1"], ["--seed", "0"], ["--out", "x"], ["--data", "x"], ["--no-compile"]]
)
def test_other_settings_are_refused(tmp_path, option):
    run(*quick(epochs=1), "--out", tmp_path / "run")
    said = run("train", "--resume", tmp_path / "run", *option, status=2)
    assert option[0].replace("no-", "") in said


def test_what_cannot_be_resumed(tmp_path):
    assert "nothing: no such folder, and so no config.json; give the folder of a run" in run(
        "train", "--resume", tmp_path / "nothing", status=1
    )
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "config.json").write_text('{"experiment": "small_digits"}')
    assert "experiment run small_digits --resume" in run("train", "--resume", tmp_path, status=1)
    run(*quick(epochs=1), "--out", tmp_path / "run")
    (tmp_path / "run" / CHECKPOINT).unlink()
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert "cannot go on" in run("train", "--resume", tmp_path / "run", status=1)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_run_that_was_killed_before_it_had_settings(tmp_path):
    """It had locked the folder, and begun to write config.json."""
    (tmp_path / ".lock").write_text("1")
    (tmp_path / ".config.json.k9x.unfinished").write_text("{")
    run(*quick(epochs=1), "--out", tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_run_that_was_killed_before_its_first_checkpoint(tmp_path):
    run(*quick(epochs=1), "--out", tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    shutil.copy(tmp_path / "whole" / "config.json", tmp_path / "killed")
    run("train", "--no-plots", "--resume", tmp_path / "killed")
    assert_same(tmp_path / "killed", tmp_path / "whole")
