"""The command ``sweep``: trainings whose settings Optuna chooses."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import cli
from tinygrad_mnist.cli import sweeping
from tinygrad_mnist.training.runs import Run

optuna = pytest.importorskip("optuna")

QUICK = ["--dataset", "digits", "--epochs", "1"]
SPACE = ["--search", "lr=1e-3..1e-1,log", "--search", "hidden=4|8"]


def command(*arguments, status=0):
    """What a command prints."""
    out = io.StringIO()
    argv = mock.patch.object(sys, "argv", ["tinygrad-mnist", *map(str, arguments)])
    with redirect_stdout(out), redirect_stderr(io.StringIO()), argv, pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    return out.getvalue()


def sweep(folder, *arguments, trials=2, space=SPACE, **settings):
    return command("sweep", "--out", folder, "--trials", trials, *space, *arguments, *QUICK, **settings)


def test_it_searches_goes_on_and_prints_a_command_that_gives_the_same(tmp_path):
    first = sweep(tmp_path / "s")
    assert re.findall(r"^(\S+)  --lr \S+ --hidden [48]: validation accuracy [\d.]+%$", first, re.M) == [
        "trial-0000",
        "trial-0001",
    ]
    second = sweep(tmp_path / "s", trials=3)  # one more
    assert re.findall(r"^(\S+)  --lr", second, re.M) == ["trial-0002"]
    assert sorted(p.name for p in (tmp_path / "s").glob("trial-*")) == [f"trial-000{i}" for i in range(3)]
    assert "best of 3 trainings" in second
    histories = [Run(p).history() for p in sorted((tmp_path / "s").glob("trial-*"))]
    best = max(histories, key=lambda h: h[-1]["validation_accuracy"])
    *_, line = second.splitlines()
    program, *arguments = shlex.split(line)
    assert program == "tinygrad-mnist"
    command(*arguments, "--no-plots", "--out", tmp_path / "again")
    assert Run(tmp_path / "again").history()[-1] == best[-1]
    assert (
        sweep(tmp_path / "s", trials=3) == "\n" + second[second.index("best of") :]
    )  # nothing is left to do


def test_it_minimises_a_loss(tmp_path):
    out = sweep(tmp_path, "--objective", "loss", trials=1)
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code":6,"wor')  # all that fitted on the disk
    out += sweep(tmp_path, "--objective", "loss")
    losses = [float(x) for x in re.findall(r": validation loss ([\d.]+)$", out, re.M)]
    assert f"best of 2 trainings: validation loss {min(losses):.4f}" in out


def test_it_stops_trainings_that_are_worse(tmp_path, monkeypatch):
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(upper=0.0))
    out = sweep(tmp_path, "--epochs", 3, trials=1)  # the last --epochs counts: one
    assert "stopped early" not in out
    out = command("sweep", "--out", tmp_path / "3", *SPACE, "--trials", 1, *QUICK[:-1], 3)
    assert "stopped early, worse than the others" in out
    assert "best of" not in out
    assert len(Run(tmp_path / "3" / "trial-0000").history()) == 1
    out = command("sweep", "--no-prune", "--out", tmp_path / "4", *SPACE, "--trials", 1, *QUICK[:-1], 2)
    assert "best of 1 training" in out


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("lr", "has no values"),
        ("lr=", "has no values"),
        ("lrr=1..2", r"unknown option of `train` in --search 'lrr' \(did you mean 'lr'\?\)"),
        ("out=a|b", "unknown option of `train` in --search 'out'"),
        ("plots=1|0", "unknown option of `train` in --search 'plots'"),
        ("lr=1..x", "'x' is not a number"),
        ("lr=0.1..0.01", "the first number must be smaller"),
        ("dropout=0..0.5,log", "log needs numbers above 0"),
        ("lr=0.1..1,exp", "after the range comes nothing, or `,log`"),
        ("hidden=8", "give two or more different values"),
        ("hidden=8|8", "give two or more different values"),
        ("lr=1e-3|0.001", "give two or more different values"),
        ("hidden=8|x", "'x' is not a list of layer sizes"),
        ("dropout=0..2", "2 is not in the range|not in the range"),
        ("optimizer=adam|adamm", "'adamm' is not one of"),
        ("optimizer=a..b", "'a' is not one of"),
    ],
)
def test_searches_that_are_wrong(search, message):
    with pytest.raises(tg.errors.OptionError, match=message):
        cli.commands.sweep.main(["--search", search], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "0 is not in the range"),
        (["--epocs", "1"], "No such option"),
        (["--lr", "0.1"], "--lr is searched for, and cannot have a fixed value too"),
        (["--resume", "x"], "--resume belongs to a single training"),
        (["--no-plots"], "--plots belongs to a single training"),
        (["--validation", "0"], "--validation must be larger than 0"),
    ],
)
def test_options_that_are_wrong(arguments, message):
    with pytest.raises(cli.commands.click.UsageError, match=message):
        cli.commands.sweep.main([*SPACE, *arguments], standalone_mode=False)


def test_the_same_option_twice(tmp_path):
    with pytest.raises(tg.errors.OptionError, match="lr appears twice"):
        cli.commands.sweep.main(["--search", "lr=0.1..1", "--search", "lr=0.2..1"], standalone_mode=False)


def test_another_sweep_in_the_folder(tmp_path):
    sweep(tmp_path, trials=1)
    for space in (["--search", "lr=1e-3..1e-2"], [*SPACE, "--objective", "loss"], [*SPACE, "--seed", "1"]):
        with pytest.raises(
            tg.errors.OptionError, match=r"holds a sweep with .*or choose another folder with --out"
        ):
            cli.commands.sweep.main([*space, "--out", str(tmp_path), *QUICK], standalone_mode=False)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    for out, found in (("file", "is a file"), ("file/sweep", "cannot be written: Not a directory")):
        with pytest.raises(tg.errors.RunError, match=f"{out}: {found}"):
            cli.commands.sweep.main([*SPACE, "--out", str(tmp_path / out), *QUICK], standalone_mode=False)


def test_a_journal_of_another_version(tmp_path):
    sweep(tmp_path, trials=1)
    journal = tmp_path / "study.journal"
    text = journal.read_text()
    journal.write_text(text.replace(r"[\"4\", \"8\"]", r"[\"4\", \"16\"]"))
    assert journal.read_text() != text
    with pytest.raises(tg.errors.DataError, match=r"study\.journal: not a readable journal of this sweep"):
        cli.commands.sweep.main([*SPACE, "--out", str(tmp_path), *QUICK], standalone_mode=False)


def test_a_lock_that_a_killed_process_has_left_is_given_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, link = [], os.symlink
    monkeypatch.setattr(os, "symlink", lambda to, name: (link(to, name), made.append(Path(name).stat())))
    sweeping._open(optuna, Path("s"), "accuracy", {})
    assert made  # each had a time, without which Optuna would wait for ever


def test_without_optuna(tmp_path):
    lacking = pytest.raises(tg.errors.MissingExtraError, match=r"pip install 'tinygrad-mnist\[sweep\]'")
    with mock.patch.dict(sys.modules, {"optuna": None}), lacking:
        cli.commands.sweep.main([*SPACE, "--out", str(tmp_path), *QUICK], standalone_mode=False)


@pytest.mark.thorough
def test_several_processes_share_a_sweep(tmp_path):
    line = [
        sys.executable,
        "-m",
        "tinygrad_mnist",
        "sweep",
        "--out",
        tmp_path,
        "--trials",
        "6",
        *SPACE,
        *QUICK,
    ]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    numbers = [n for out in outputs for n in re.findall(r"^trial-(\d+)  --lr", out, re.M)]
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) in (6, 7)  # one may begin while the other ends the last one


def test_a_journal_that_is_damaged_and_a_training_without_validation(tmp_path):
    (tmp_path / "study.journal").write_text("no journal\n{")
    said = io.StringIO()
    for search, out, expected in (
        ("seed=0|1", tmp_path, "study.journal: not a readable journal of a sweep"),
        ("recipe=fast|best", tmp_path / "new", "a sweep compares by the validation data, but"),
    ):
        argv = ["tinygrad-mnist", "sweep", "--out", str(out), "--trials", "1", "--search", search]
        with (
            mock.patch.object(sys, "argv", [*argv, *QUICK]),
            redirect_stderr(said),
            pytest.raises(SystemExit),
        ):
            cli.main()
        assert expected in said.getvalue()
