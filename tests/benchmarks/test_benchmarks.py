"""The benchmark's programs compute the same training steps: it compares the speed of like with like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import handwritten, networks
from benchmarks.agreement import assert_same_training, trained
from benchmarks.implementations import BASELINE, BUILDS, why_missing
from benchmarks.workloads import WORKLOADS, problem

workloads = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: f"workload{workload.number}")

# Compilers and large libraries take seconds; PyTorch's imports deprecated parts of PyTorch. What is ours is also in
# test_numba.py.
slow = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
implementations = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=slow if name in ("torch", "torch.compile", "jax.jit", "compiled numba") else []
        )
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


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(n, id=f"network{n.number}", marks=[] if n.number in (8, 11) else slow)
        for n in networks.NETWORKS
    ],
)
def test_networks_learn(network):
    losses, _ = trained(networks.BUILDS["eager"], network, networks.start_of(network))
    assert losses[-1] < losses[0]


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("network", networks.NETWORKS, ids=lambda network: f"network{network.number}")
def test_networks_agree_with_pytorch(network):
    pytest.importorskip("torch")
    for name, build in networks.BUILDS.items():
        if networks.why_not(name, network) is None and name != networks.REFERENCE:
            start = networks.start_of(network)
            assert_same_training(name, build, networks.BUILDS[networks.REFERENCE], network, start)


@pytest.mark.thorough
def test_command_measures_and_writes_what_it_measured(tmp_path):
    command = "-m tests.benchmarks --only eager --workload 2 --repeats 2 --sample-ms 1 --threads 1 --json"
    root = Path(__file__).parents[2]
    run = [sys.executable, *command.split(), str(tmp_path / "samples.json")]
    result = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "| 2. 64-40-10" in result.stdout
    (workload,) = json.loads((tmp_path / "samples.json").read_text())["results"]
    assert len(workload["microseconds_per_step"]["eager"]) == 2
