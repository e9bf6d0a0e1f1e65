"""How many threads matrix products get: chosen by the work and the machine, kept to, and put back."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tinygrad_mnist import nn
from tinygrad_mnist.data import DataLoader
from tinygrad_mnist.errors import OptionError
from tinygrad_mnist.training import Callback, fit, threads
from tinygrad_mnist.training.threads import VARIABLES, choose_threads, largest_product, limit_threads

X, Y = np.zeros((40, 8), np.float32), np.zeros(40, np.int64)


@pytest.fixture
def library(monkeypatch):
    """A BLAS with eight threads, on a machine whose user says nothing about them."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    blas = SimpleNamespace(num_threads=8)
    blas.set_num_threads = lambda count: setattr(blas, "num_threads", count)
    monkeypatch.setattr(threads, "_libraries", lambda: [blas])
    return blas


def loader(*shape, batch):
    return DataLoader((np.zeros(shape, np.float32), np.zeros(shape[0], np.int64)), batch)


class Watch(Callback):
    def __init__(self, library):
        self.blas, self.seen = library, set()

    def on_batch(self, training):
        self.seen.add(self.blas.num_threads)


def train(library, **options):
    watch = Watch(library)
    history = fit(
        nn.MLP([8, 4, 2], rng=0), (X, Y), epochs=2, rng=0, progress=False, callbacks=watch, **options
    )
    return watch.seen, history.threads


def test_small_products_get_one_thread_and_the_rest_is_put_back(library):
    assert train(library) == ({1}, 1)
    assert library.num_threads == 8


def test_fit_obeys_its_argument(library):
    assert train(library, threads=3) == ({3}, 3)
    assert library.num_threads == 8


@pytest.mark.parametrize("name", VARIABLES)
def test_fit_obeys_variables(library, monkeypatch, name):
    monkeypatch.setenv(name, "8")
    assert train(library) == ({8}, 8)
    assert train(library, threads=2) == ({2}, 2)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_threads(library, bad):
    with pytest.raises(OptionError, match="is not a positive integer"):
        train(library, threads=bad)
    assert library.num_threads == 8


def test_it_is_put_back_after_an_error(library):
    def fail(outputs, targets):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        train(library, loss=fail)
    assert library.num_threads == 8


@pytest.mark.parametrize(
    ("seconds", "cores", "chosen"),
    [
        ({1: 1.0, 8: 0.5}, {1: 1.0, 8: 7.9}, 8),
        ({1: 1.0, 8: 0.95}, {1: 1.0, 8: 7.9}, 1),
        ({1: 1.0, 8: 9.0}, {1: 1.0, 8: 7.9}, 1),
        ({1: 1.0, 8: 0.5}, {1: 1.0, 8: 4.0}, 1),  # others have half of each core
        ({1: 1.0, 8: 0.5}, {1: 0.6, 8: 7.9}, 1),
    ],
)
def test_large_products_are_tried(library, monkeypatch, seconds, cores, chosen):
    tried = []

    def time(a, b):
        tried.append(a.shape + b.shape)
        return seconds[library.num_threads], cores[library.num_threads]

    monkeypatch.setattr(threads, "_time", time)
    large = nn.MLP([784, 512, 10], rng=0), loader(200, 784, batch=128)
    assert choose_threads(*large) == chosen
    assert set(tried) == {(128, 784, 784, 512)}
    assert library.num_threads == 8
    with limit_threads(1):  # another training
        assert choose_threads(*large) == 1


def test_small_products_are_not_tried(library, monkeypatch):
    monkeypatch.setattr(threads, "_time", None)
    for sizes, batch in (((784, 16, 16, 10), 100), ((784, 548, 548, 10), 1), ((784, 128, 10), 64)):
        assert choose_threads(nn.MLP(sizes, rng=0), loader(200, 784, batch=batch)) == 1


@pytest.mark.parametrize(
    ("model", "data", "product"),
    [
        (nn.MLP([784, 72, 10], rng=0), loader(20, 28, 28, batch=16), (16, 784, 72)),
        (nn.MLP([784, 72, 10], rng=0), loader(20, 28, 28, batch=64), (20, 784, 72)),
        (nn.Linear(6, 5, rng=0), loader(20, 9, 6, batch=4), (36, 6, 5)),
        (nn.Conv2d(3, 8, 5, rng=0), loader(20, 3, 10, 10, batch=4), (1200, 75, 8)),
        (nn.ReLU(), loader(20, 3, batch=4), (1, 1, 1)),
    ],
)
def test_the_largest_product(model, data, product):
    assert largest_product(model, data) == product


def test_overlapping_limits_take_the_least_and_restore_the_first(library):
    with limit_threads(4):
        assert library.num_threads == 4
        with limit_threads(None):
            assert library.num_threads == 4
        with limit_threads(2):
            assert library.num_threads == 2
        assert library.num_threads == 4
        with limit_threads(6):
            assert library.num_threads == 4
    assert library.num_threads == 8


def test_limits_of_several_threads_may_end_in_any_order(library):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with limit_threads(2):
            inside.set()
            leave.wait(10)

    worker = threading.Thread(target=other)
    with limit_threads(1):
        worker.start()
        inside.wait(10)
        assert library.num_threads == 1
    assert library.num_threads == 2
    leave.set()
    worker.join()
    assert library.num_threads == 8


def test_a_training_beside_another_keeps_its_threads_when_that_ends(library):
    watch = Watch(library)

    class Ends(Callback):
        def on_epoch(self, training):
            first.close()

    def hold():
        with limit_threads(1):
            yield

    first = hold()
    next(first)
    fit(nn.MLP([8, 4, 2], rng=0), (X, Y), epochs=2, rng=0, progress=False, callbacks=[watch, Ends()])
    assert watch.seen == {1}
    assert library.num_threads == 8


def test_fits_in_several_threads_put_back_what_was(library):
    workers = [threading.Thread(target=train, args=(library,), kwargs={"threads": n}) for n in (1, 2, 3, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert library.num_threads == 8


def test_without_a_library_that_can_be_told(monkeypatch, library):
    monkeypatch.setattr(threads, "_libraries", list)
    assert train(library) == ({8}, None)


def test_a_resumed_training_keeps_its_number(library, tmp_path):
    model = nn.MLP([8, 4, 2], rng=0)
    fit(model, (X, Y), epochs=1, rng=0, progress=False, resume=tmp_path / "run", threads=3)
    watch = Watch(library)
    fit(
        nn.MLP([8, 4, 2], rng=0),
        (X, Y),
        epochs=2,
        rng=0,
        progress=False,
        resume=tmp_path / "run",
        callbacks=watch,
    )
    assert watch.seen == {3}


def test_the_real_library_does_what_it_is_told(monkeypatch):
    before = threads.count_threads()
    with limit_threads(1):
        assert threads.count_threads() in (1, None)
    assert threads.count_threads() == before
