"""The benchmark's programs compute the same training steps: it compares the speed of like with like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import handwritten
from benchmarks.agreement import assert_same_training, trained
from benchmarks.implementations import BASELINE, BUILDS, why_missing
from benchmarks.workloads import WORKLOADS, problem

workloads = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: f"workload{workload.number}")

# Compilers take seconds; PyTorch's imports deprecated parts of PyTorch. What is ours is also in test_numba.py.
slow = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
implementations = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=slow if name in ("torch.compile", "compiled numba") else [])
        for name in BUILDS
        if name != BASELINE
    ],
)


def start(workload):
    return problem(workload, batch=min(workload.batch, 300))


@workloads
def test_handwritten_program_learns(workload):
    losses, _ = trained(handwritten.build, workload, start(workload))
    assert losses[-1] < losses[0]


@implementations
def test_implementation_agrees_with_handwritten_numpy(name):  # one test: importing PyTorch takes seconds
    if reason := why_missing(name):
        pytest.skip(f"{name} cannot run: {reason}")
    for workload in WORKLOADS:
        assert_same_training(name, BUILDS[name], handwritten.build, workload, start(workload))


def test_command_measures_and_writes_what_it_measured(tmp_path):
    command = "-m tests.benchmarks --only eager --workload 2 --repeats 2 --sample-ms 1 --threads 1 --json"
    root = Path(__file__).parents[2]
    run = [sys.executable, *command.split(), str(tmp_path / "samples.json")]
    result = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "| 2. 64-40-10" in result.stdout
    (workload,) = json.loads((tmp_path / "samples.json").read_text())["results"]
    assert len(workload["microseconds_per_step"]["eager"]) == 2
