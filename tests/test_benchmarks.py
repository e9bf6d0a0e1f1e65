"""The benchmark's programs compute the same training steps: it compares the speed of like with like."""

import pytest
from benchmarks import handwritten, ours
from benchmarks.agreement import assert_same_training, trained
from benchmarks.peers import PEERS, installed_peers
from benchmarks.workloads import WORKLOADS, problem

workloads = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: f"workload{workload.number}")


def start(workload):
    return problem(workload, batch=min(workload.batch, 300))


@workloads
def test_handwritten_program_learns(workload):
    losses, _ = trained(handwritten.build, workload, start(workload))
    assert losses[-1] < losses[0]


@workloads
def test_tinygrad_mnist_agrees_with_handwritten_numpy(workload):
    assert_same_training("tinygrad_mnist", ours.build, handwritten.build, workload, start(workload))


@workloads
@pytest.mark.parametrize("peer", PEERS)
def test_peer_agrees_with_handwritten_numpy(peer, workload):
    if peer not in installed_peers():
        pytest.skip(f"{peer} is not installed: pip install 'tinygrad-mnist[bench]'")
    assert_same_training(peer, PEERS[peer], handwritten.build, workload, start(workload))
