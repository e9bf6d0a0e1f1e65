"""A compiled function that is called from several threads gives each its right answer, also at its first call."""

from __future__ import annotations

import importlib.util
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim

BACKENDS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]
#: Where NumPy's programs show the same, and machine code for each thread takes its time.
MOSTLY_NUMPY = [pytest.param(b, marks=pytest.mark.thorough if b == "numba" else ()) for b in BACKENDS]
THREADS = 4
CALLS = 60


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """What ``work`` returns in each of some threads that start at once; what it raises is raised."""
    barrier = threading.Barrier(threads)

    def started(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(started, range(threads)))


def chain(x: Any) -> Any:
    h = np.tanh(x) * 2
    for _ in range(6):
        h = np.sin(h) + x
    return h, np.sum(h, axis=0), h[::-1]


def assert_same(got: Any, expected: Any) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("backend", "warm", "shapes"),
    [
        pytest.param(
            backend, warm, shapes, id=f"{backend} {when}, {which}",
            marks=pytest.mark.thorough if backend == "numba" and (warm or len(shapes) > 1) else (),
        )
        for backend in BACKENDS
        for warm, when in ((True, "made before"), (False, "at its first call"))
        for shapes, which in (([(40, 30)], "one shape"), ([(40, 30), (7,), (3, 5), (64, 64)], "a shape each"))
    ],
)  # fmt: skip
def test_a_function(backend, warm, shapes):
    compiled = tg.compile(chain, backend=backend)
    if warm:
        compiled(np.ones(shapes[0]))

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        kept = []
        for _ in range(CALLS):
            x = rng.normal(size=shapes[number % len(shapes)])
            kept.append((x, compiled(x)))
            assert_same(kept[-1][1], chain(x))
        for x, result in kept:  # and nobody wrote into them since
            assert_same(result, chain(x))

    together(work)


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_large_arrays_whose_calls_take_long(backend):
    """NumPy lets other threads run within such calls."""
    compiled = tg.compile(chain, backend=backend)

    def work(number: int) -> None:
        x = np.full((400, 500), 0.1 * (number + 1))
        for _ in range(5):
            assert_same(compiled(x), chain(x))

    together(work)


@pytest.mark.parametrize("backend", BACKENDS)
def test_matrix_products(backend):
    w = np.random.default_rng(0).normal(size=(120, 120))

    def f(x: Any) -> Any:
        return np.maximum(x @ w, 0) @ w.T

    compiled = tg.compile(f, backend=backend)

    def work(number: int) -> None:
        x = np.random.default_rng(number).normal(size=(200, 120))
        for _ in range(20):
            np.testing.assert_allclose(compiled(x), f(x), rtol=1e-9, atol=1e-9)

    together(work)


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_gradients(backend):
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * np.exp(-x * x))

    compiled, expected = tg.compile(tg.value_and_grad(f), backend=backend), tg.value_and_grad(f)

    def work(number: int) -> None:
        for k in range(CALLS):
            x = np.linspace(-1, 1 + k / 20, 5 + number % 2)
            assert_same(compiled(x), expected(x))

    together(work)


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_captured_state_that_does_not_change(backend):
    settings = types.SimpleNamespace(scale=np.arange(30.0))
    model = nn.MLP([30, 8, 4], activation="tanh", rng=0, dtype=np.float64)

    def f(x: Any) -> Any:
        return model(x * settings.scale)

    compiled = tg.compile(f, backend=backend)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(CALLS):
            x = rng.normal(size=(number + 1, 30))
            np.testing.assert_allclose(compiled(x).data, f(x).data, rtol=1e-10, atol=1e-12)

    together(work)


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_the_uncompiled_function_runs_meanwhile(backend):
    """While a thread traces, another one sees the model as it is."""
    model = nn.MLP([6, 5, 3], activation="tanh", rng=0, dtype=np.float64)
    x = np.ones((4, 6))
    expected = model(x).data.copy()
    scale = [np.array([2.0])]

    def f(x: Any) -> Any:
        return model(x) * scale[0]

    def work(number: int) -> None:
        for _ in range(15 if backend == "numpy" else 2):
            if number == 0:
                np.testing.assert_allclose(tg.compile(f, backend=backend)(x).data, expected * 2, rtol=1e-12)
            else:
                for _ in range(20):
                    result = model(x)
                    np.testing.assert_allclose(result.data, expected, rtol=1e-12)

    together(work)


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_a_function_each(backend):
    """Threads that compile functions of their own, of the same model."""
    model = nn.MLP([6, 5, 3], activation="tanh", rng=0, dtype=np.float64)

    def work(number: int) -> None:
        def f(x: Any) -> Any:
            return model(x) * (number + 1)

        for k in range(10 if backend == "numpy" else 2):
            x = np.full((k + 1, 6), 0.1 * number)
            np.testing.assert_allclose(tg.compile(f, backend=backend)(x).data, f(x).data, rtol=1e-12)

    together(work)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("warm", [True, False], ids=["made before", "first call"])
def test_training_steps_of_one_program(backend, warm):
    """Steps do not mix: the loss does not depend on the order, so the parameter is what it has to be."""
    w = tg.tensor(np.zeros(200), requires_grad=True)
    opt = optim.SGD([w], lr=1.0)
    step = tg.compile(lambda x: np.sum(w * x), optimizer=opt, backend=backend)
    if warm:
        step(np.zeros(200))

    def work(number: int) -> None:
        for k in range(CALLS):
            x = np.zeros(200)
            x[number * 50 : number * 50 + 50] = k
            step(x)

    together(work)
    np.testing.assert_array_equal(w.data, np.full(200, -sum(range(CALLS))))


@pytest.mark.parametrize("backend", MOSTLY_NUMPY)
def test_training_of_a_model_each(backend):
    def trained(number: int, compiled: bool) -> Any:
        model = nn.MLP([6, 5, 3], activation="tanh", rng=number, dtype=np.float64)
        opt = optim.Adam(model.parameters(), lr=0.01)
        loss = nn.CrossEntropyLoss()

        def f(x: Any, y: Any) -> Any:
            return loss(model(x), y)

        step = tg.compile(f, optimizer=opt, backend=backend) if compiled else None
        rng = np.random.default_rng(number)
        for _ in range(10):
            x, y = rng.normal(size=(8, 6)), rng.integers(0, 3, 8)
            if step is not None:
                step(x, y)
            else:
                opt.zero_grad()
                f(x, y).backward()
                opt.step()
        return [p.data for p in model.parameters()]

    for number, got in enumerate(together(lambda n: trained(n, True), THREADS if backend == "numpy" else 2)):
        for a, b in zip(got, trained(number, False), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_many_shapes_at_once():
    """More programs than are kept."""
    compiled = tg.compile(chain)

    def work(number: int) -> None:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in range(24):
                x = np.full((k % 20 + 1, number + 1), 0.3)
                assert_same(compiled(x), chain(x))

    together(work)


def test_dropout_draws_each_number_once():
    """Each call's draws are whole: the program's generator is not shared out within a call."""
    rng = np.random.default_rng(0)
    compiled = tg.compile(lambda x: x + rng.random(100))

    results = together(lambda number: [compiled(np.zeros(100)) for _ in range(20)])
    drawn = {tuple(r) for part in results for r in part}
    fresh = np.random.default_rng(0)
    assert drawn == {tuple(fresh.random(100)) for _ in range(20 * THREADS)}


def test_a_function_that_calls_itself_through_a_thread():
    """A program whose function is called while it is traced, elsewhere."""
    inner = tg.compile(lambda x: np.sin(x) * 2)

    def outer(x: Any) -> Any:
        return inner(x) + 1

    compiled = tg.compile(outer)

    def work(number: int) -> None:
        x = np.full(10, 0.1 * number)
        for _ in range(20):
            np.testing.assert_allclose((compiled if number % 2 else inner)(x), np.sin(x) * 2 + number % 2)

    together(work)


@pytest.mark.parametrize("kind", ["raises", "refused"])
def test_errors_do_not_reach_other_threads(kind):
    def f(x: Any, bad: bool) -> Any:
        if bad and kind == "raises":
            raise KeyError("mine")
        if bad and np.sum(x) > 0:
            return x
        return np.cos(x) * 3

    compiled = tg.compile(f)
    error = KeyError if kind == "raises" else tg.errors.CompileError

    def work(number: int) -> None:
        x = np.ones(number + 1)
        for _ in range(20):
            if number % 2:
                with pytest.raises(error):
                    compiled(x, True)
            else:
                np.testing.assert_allclose(compiled(x, False), np.cos(x) * 3)

    together(work)
