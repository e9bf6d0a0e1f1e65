"""Sweeps: parallel, kept as they come, never computed twice; here and on a Dask cluster."""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinygrad_mnist.errors import DataError, MissingExtraError, OptionError
from tinygrad_mnist.experiments import grid, sweep

joblib = pytest.importorskip("joblib", reason="sweeps need joblib")


def scaled_sum(x, factor=1, array=None):
    return {"y": x * factor if array is None else float(array.sum()) * x}


def fails_at_three(x):
    if x == 3:
        raise ArithmeticError("three is too many")
    return {"y": x}


def test_grid_is_every_combination():
    assert grid(a=[1, 2], b="xy") == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert grid(a=[]) == []


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_settings(tmp_path, workers):
    found = sweep(scaled_sum, grid(x=range(5)), tmp_path, shared={"factor": 10}, workers=workers)
    assert found == [{"x": x, "y": 10 * x} for x in range(5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"x={x}.json" for x in range(5)]


def test_what_is_done_is_not_done_again(tmp_path):
    sweep(scaled_sum, grid(x=[1, 2]), tmp_path, workers=1)
    kept = tmp_path / "x=1.json"
    kept.write_text(json.dumps({"setting": {"x": 1}, "result": {"y": "as it was"}}))
    found = sweep(scaled_sum, grid(x=[1, 2, 3]), tmp_path, workers=1)
    assert [run["y"] for run in found] == ["as it was", 2, 3]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_does_not_keep_the_others_from_being_done(tmp_path, workers, capsys):
    with pytest.raises(ArithmeticError, match="three is too many") as raised:
        sweep(fails_at_three, grid(x=range(20)), tmp_path, workers=workers)
    assert "in the run with x=3" in raised.value.__notes__[0]
    assert "fails_at_three" in raised.value.__notes__[0]
    assert {path.name for path in tmp_path.iterdir()} == {f"x={x}.json" for x in range(20) if x != 3}
    assert re.search("19 of 20 runs are done and kept in .*, 1 failed", capsys.readouterr().err)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"setting": {"x": 2}, "result": {"y": 1}}'])
def test_a_damaged_result_is_named(tmp_path, damage):
    (tmp_path / "x=1.json").write_text(damage)
    with pytest.raises(DataError, match=r"x=1\.json: is not a result of this sweep .* remove it"):
        sweep(scaled_sum, grid(x=[1]), tmp_path, workers=1)


def test_misuse_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"unknown backend 'dusk' .did you mean 'dask'"):
        sweep(scaled_sum, grid(x=[1]), tmp_path, backend="dusk")
    with pytest.raises(OptionError, match="scheduler= works only with backend='dask'"):
        sweep(scaled_sum, grid(x=[1]), tmp_path, scheduler="tcp://somewhere:1")
    with pytest.raises(OptionError, match="two settings are equal"):
        sweep(scaled_sum, grid(x=[1, 1]), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("missing", "extra"), [("joblib", "sweep"), ("distributed", "cluster")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, missing, extra):
    found = importlib.import_module

    def without(name, *args):
        if name == missing:
            raise ImportError(name)
        return found(name, *args)

    monkeypatch.setattr("tinygrad_mnist.errors.importlib.import_module", without)
    with pytest.raises(MissingExtraError, match=rf"pip install 'tinygrad-mnist\[{extra}\]'"):
        sweep(scaled_sum, grid(x=[1]), tmp_path, backend="dask")
    if missing == "joblib":
        with pytest.raises(MissingExtraError, match="sweep"):
            sweep(scaled_sum, grid(x=[1]), tmp_path, workers=2)


def test_without_joblib_one_run_follows_the_other(tmp_path, monkeypatch, capsys):
    expected = sweep(scaled_sum, grid(x=[1, 2]), tmp_path / "a", shared={"array": np.arange(3)}, workers=1)
    monkeypatch.setattr(
        "tinygrad_mnist.errors.importlib.import_module", lambda name: __import__("no_" + name)
    )
    found = sweep(scaled_sum, grid(x=[1, 2]), tmp_path / "b", shared={"array": np.arange(3)})
    assert found == expected
    assert "one run after the other" in capsys.readouterr().err


class Counted:
    """Something to share that counts how often it is sent."""

    sent = 0

    def __init__(self):
        self.array = np.ones(300_000)

    def __getstate__(self):
        Counted.sent += 1
        return self.__dict__

    def sum(self):
        return self.array.sum()


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of the cluster's own libraries
def test_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs a Dask cluster")
    Counted.sent = 0
    where = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**where) as cluster:
        found = sweep(
            scaled_sum,
            grid(x=range(40)),
            tmp_path,
            shared={"array": Counted()},
            backend="dask",
            scheduler=cluster.scheduler_address,
        )
    assert [run["y"] for run in found] == [3e5 * x for x in range(40)]
    assert Counted.sent < 10, "it was sent with every call"


SLOW = """
import sys, time
from tinygrad_mnist.experiments import grid, sweep

def slow(x):
    time.sleep(0.05 if x < 3 else 60)
    return {"y": x}

sweep(slow, grid(x=range(8)), sys.argv[1], workers=2)
"""


@pytest.mark.thorough
def test_ctrl_c_keeps_what_was_done(tmp_path):
    script, results = tmp_path / "slow.py", tmp_path / "results"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, script, results],
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""},
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while len(list(results.glob("x=?.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "3 of 8 runs are done and kept" in said
    assert {path.name for path in results.iterdir()} == {"x=0.json", "x=1.json", "x=2.json"}
