"""Memory is freed when the last handle goes, without the garbage collector's help."""

from __future__ import annotations

import contextlib
import gc
import os
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim, tensor


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def chain(x: tg.Tensor, length: int) -> tg.Tensor:
    y = x
    for _ in range(length):
        y = y + 1.0
    return y


def test_a_chain_of_100_000_operations_differentiates_and_is_freed():
    with collector_off():
        x = tensor(1.0, requires_grad=True)
        y = chain(x, 100_000)
        first = y.node
        for _ in range(99_999):
            first = first.parents[0][1]
        watched = weakref.ref(first)
        del first
        y.backward()
        assert x.grad.item() == 1.0
        assert watched() is None, "backward() keeps the nodes it has used"


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_graph_never_differentiated_is_freed(length):
    with collector_off():
        x = tensor(1.0, requires_grad=True)
        y = chain(x, length)
        watched = weakref.ref(y.node)
        deepest = y.node
        while deepest.parents[0][1].parents:
            deepest = deepest.parents[0][1]
        last = weakref.ref(deepest)
        del y, deepest
        assert watched() is None
        assert last() is None


def test_a_deep_graph_with_create_graph():
    x = tensor(0.5, requires_grad=True)
    y, value, slope, curve = x, 0.5, 1.0, 0.0
    for _ in range(2_000):
        y = np.sin(y)
        curve = np.cos(value) * curve - np.sin(value) * slope**2
        value, slope = np.sin(value), np.cos(value) * slope
    y.backward(create_graph=True)
    grad = x.grad
    assert grad.item() == pytest.approx(slope, rel=1e-9)
    x.zero_grad()
    grad.backward()
    assert x.grad.item() == pytest.approx(curve, rel=1e-9)


def test_saved_arrays_go_with_the_backward_pass():
    x = tensor(np.ones(1000), requires_grad=True)
    middle = np.exp(x)
    saved = weakref.ref(middle.node)
    y = np.sum(middle * middle)
    del middle
    assert saved() is not None
    y.backward()
    assert saved() is None


def training_step(model: nn.Module, optimizer: optim.Optimizer, x: np.ndarray, y: np.ndarray) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def small_problem(Optimizer: type = optim.Adam):
    rng = np.random.default_rng(0)
    model = nn.MLP([5, 4, 3], dropout=0.1, rng=0)
    optimizer = Optimizer(model.parameters(), lr=0.01)
    return model, optimizer, rng.normal(size=(6, 5)).astype(np.float32), rng.integers(0, 3, 6)


def test_a_training_step_leaves_no_reference_cycles():
    problem = small_problem()
    training_step(*problem)
    with collector_off():
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                training_step(*problem)
            gc.collect()
            left = [type(thing).__name__ for thing in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert not left


@for_each(
    "use",
    [
        lambda x: [p.sum() for p in np.split(x, 2)],
        lambda x: x.register_hook(lambda g: g * 2),
        lambda x: (x * 2).retain_grad(),
        lambda x: x[np.array([0, 1])].sum().backward(),
        lambda x: np.einsum("ij->i", x).sum().backward(),
        lambda x: np.concatenate([x, x]).sum().backward(retain_graph=True),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: tg.testing.gradcheck(lambda t: t * t, x.data, order=2),
    ],
)
def test_nothing_needs_the_collector(use):
    values = np.arange(6.0).reshape(2, 3)
    with collector_off():
        x = tensor(values, requires_grad=True)
        watched = weakref.ref(x.node)
        result = use(x)
        del x, result
        assert watched() is None


def test_a_step_leaves_no_object_behind():
    problem = small_problem(optim.SGD)
    with collector_off():
        for _ in range(3000):  # NumPy fills its caches of small blocks
            training_step(*problem)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(300):
                training_step(*problem)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 300 * 16  # bytes: less than the smallest object for each step


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("resident memory is read from /proc")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.thorough  # the test above finds every object of Python's; this one also what else may stay
def test_10_000_steps_keep_resident_memory_flat_after_the_first_100():
    problem = small_problem()
    for _ in range(100):
        training_step(*problem)
    before = resident_bytes()
    for _ in range(9_900):
        training_step(*problem)
    assert resident_bytes() - before < 1_000_000  # 100 bytes for each step


def test_the_peak_of_a_step_is_that_of_one_graph():
    x = np.ones((64, 256), np.float32)
    w = nn.Parameter(np.ones((256, 256)))
    peaks = []
    for steps in (2, 20):
        tracemalloc.start()
        for _ in range(steps):
            w.zero_grad()
            np.sum(np.tanh(x @ w)).backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.05


@pytest.mark.parametrize(
    "run",
    [
        lambda f: tg.grad(f)(1.0),
        lambda f: tg.jvp(f, 1.0, 1.0)[1],
        lambda f: tg.vjp(f, 1.0)[1](1.0)[0],
        lambda f: tg.jacobian(f)(1.0),
        lambda f: tg.grad(tg.checkpoint(f))(1.0),
        lambda f: tg.jvp(tg.checkpoint(f), 1.0, 1.0)[1],
    ],
    ids=["grad", "jvp", "vjp", "jacobian", "checkpoint", "jvp of checkpoint"],
)
def test_transforms_of_20_000_operations(run):
    assert run(lambda x: chain(x, 20_000)) == 1.0


@pytest.mark.thorough
def test_a_long_graph_is_checked_and_watched():
    x = tensor(1.0, requires_grad=True)
    assert tg.testing.check_graph(chain(x, 5000)).operations == 5000
    with tg.detect_anomaly():
        chain(x, 5000).backward()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.linalg.multi_dot([x, x, x]),
        lambda x: np.block([[x, x], [x, x]]),
        lambda x: np.linalg.svd(x)[1],
        lambda x: np.concatenate(np.split(x, 2)),
    ],
    ids=["multi_dot", "block", "svd", "split"],
)
def test_an_operation_leaves_no_circle_behind(f):
    x = tensor(np.array([[2.0, 1.0], [0.5, 3.0]]), requires_grad=True)
    np.sum(f(x)).backward()
    with collector_off():
        np.sum(f(x)).backward()
        assert gc.collect() == 0


def test_a_function_without_a_rule_leaves_no_circle_behind():
    flags = tensor([True, False, True])
    with collector_off():
        assert np.packbits(flags).tolist() == [160]
        assert gc.collect() == 0


def test_a_program_keeps_no_numbers_of_its_trace():
    model = nn.MLP([16, 64, 4], rng=0)
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    x, y = np.ones((2000, 16), np.float32), np.zeros(2000, int)
    tracemalloc.start()
    try:
        step(x, y)
        gc.collect()
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)
    finally:
        tracemalloc.stop()
    assert kept < step.stats.bytes + x.nbytes
