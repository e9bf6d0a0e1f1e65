"""When and with what ``fit`` updates: gradients of several batches, rates that follow the loss, averages of weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.data import DataLoader
from tinygrad_mnist.errors import OptionError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.integers(0, 2, 40)


def trained(batch_size, compile=False, optimizer=None, model=None, data=(X, Y), **settings):
    model = model or nn.MLP([3, 5, 2], "tanh", rng=0, dtype=np.float64)
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    loader = DataLoader(data, batch_size)
    settings = {"epochs": 2, "progress": False, "compile": compile, **settings}
    history = tg.training.fit(model, loader, optimizer=optimizer, **settings)
    return model.state_dict(), history


def require_same(a, b, rtol=1e-9):
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], rtol=rtol, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.05}, {"schedule": optim.OneCycleLR}], ids=str)
def test_accumulating_is_a_larger_batch(compile, settings):
    few, history = trained(5, compile, accumulate=4, **settings)
    many, expected = trained(20, **settings)
    require_same(few, many)
    np.testing.assert_allclose(history[-1]["train_loss"], expected[-1]["train_loss"], rtol=1e-9)
    assert not np.allclose(few["0.weight"], trained(5, **settings)[0]["0.weight"])


@pytest.mark.parametrize("compile", [False, True])
def test_the_last_batches_of_an_epoch_are_an_update_too(compile):
    few, _ = trained(10, compile, accumulate=3)  # three batches, then one
    model = nn.MLP([3, 5, 2], "tanh", rng=0, dtype=np.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    for _ in range(2):
        for part in (slice(0, 30), slice(30, 40)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[part]), Y[part]).backward()
            optimizer.step()
    require_same(few, model.state_dict())


def test_a_schedule_steps_with_the_updates():
    totals, model = [], nn.MLP([3, 5, 2], rng=0, dtype=np.float64)

    def make(optimizer, total):
        totals.append((optim.LambdaLR(optimizer, lambda n: 1.0), total))
        return totals[-1][0]

    trained(8, model=model, accumulate=2, schedule=make)
    ((schedule, total),) = totals
    assert schedule.steps == total == 2 * 3  # five batches an epoch


def test_training_step_accumulates():
    w = nn.Parameter([0.0, 0.0], dtype=np.float64)
    step = tg.training.TrainingStep(
        lambda x: np.sum((w - x) ** 2) / 2, optim.SGD([w], lr=1.0), compile=True, accumulate=3
    )
    for i, x in enumerate(([1.0, 2.0], [3.0, 2.0], [5.0, 2.0])):
        assert (w.data == 0).all()
        assert step.gathered == i
        step(np.array(x))
    np.testing.assert_allclose(w.data, [3.0, 2.0])
    step(np.array([9.0, 2.0]))
    step.finish()
    np.testing.assert_allclose(w.data, [9.0, 2.0])
    step.finish()  # nothing is left
    np.testing.assert_allclose(w.data, [9.0, 2.0])


@pytest.mark.parametrize("compile", [False, "numpy", pytest.param("numba", marks=pytest.mark.thorough)])
def test_what_a_group_of_batches_leaves_out_stays(compile):
    """A parameter without a gradient is not moved, not even by weight decay, although it had one before."""
    if compile == "numba":
        pytest.importorskip("numba")
    first, second = (nn.Parameter([1.0, 1.0], dtype=np.float64) for _ in range(2))
    step = tg.training.TrainingStep(
        lambda x, both: np.sum((first * x + (second * x if both else 0)) ** 2),
        optim.AdamW([first, second], lr=0.1, weight_decay=0.5),
        compile=compile,
        accumulate=2,
    )
    seen = []
    for both in (True, False, False, False, True, True):
        step(np.ones(2), both)
        if not step.gathered:
            seen.append((first.data[0], second.data[0]))
    (a, b), (c, d), (e, f) = seen
    assert len({a, c, e}) == 3
    assert b == d != f


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_impossible_numbers_of_batches(bad):
    with pytest.raises(OptionError, match="accumulate"):
        trained(5, accumulate=bad)


@pytest.mark.parametrize("compile", [False, True])
def test_an_interrupted_training_keeps_what_was_added_up(compile, tmp_path):
    """A training that a signal ends in the middle of a group goes on bit for bit."""
    whole, _ = trained(5, compile, accumulate=3)

    class Stop(tg.training.Callback):
        only_watches = True

        def on_batch(self, training):
            if (training.epoch, training.batch) == (2, 5):
                raise KeyboardInterrupt

    model = nn.MLP([3, 5, 2], "tanh", rng=0, dtype=np.float64)
    with pytest.raises(KeyboardInterrupt):
        trained(
            5, compile, model=model, accumulate=3, callbacks=Stop(), resume=tmp_path, checkpoint_every=1e-9
        )
    resumed, _ = trained(5, compile, accumulate=3, resume=tmp_path)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


def test_a_plateau_watches_the_validation_loss():
    model = nn.MLP([3, 5, 2], rng=0, dtype=np.float64)
    optimizer = optim.SGD(model.parameters(), lr=1e-12)  # nothing improves
    schedule = optim.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
    _, history = trained(10, model=model, optimizer=optimizer, schedule=schedule, epochs=5, validation=(X, Y))
    assert [row["lr"] for row in history] == pytest.approx([1e-12, 1e-12, 1e-12, 0.5e-12, 0.5e-12])
    assert schedule.best == history[0]["validation_loss"]
    for make in (optim.ReduceLROnPlateau, partial(optim.ReduceLROnPlateau, patience=0)):
        if make is optim.ReduceLROnPlateau:
            trained(10, schedule=make)
        else:
            trained(10, schedule=lambda optimizer, updates, make=make: make(optimizer))


@pytest.mark.parametrize("compile", [False, True])
def test_averages_of_weights(compile):
    seen = []

    class Look(tg.training.Callback):
        def on_batch(self, training):
            seen.append(training.model.state_dict())

    state, _ = trained(10, compile, callbacks=[tg.training.AverageWeights(0.8), Look()])
    expected = seen[0]
    for now in seen[1:]:
        expected = {name: 0.8 * value + 0.2 * now[name] for name, value in expected.items()}
    require_same(state, expected)


def test_averages_go_on_where_they_were(tmp_path):
    whole, _ = trained(10, callbacks=tg.training.AverageWeights(0.8))

    class Stop(tg.training.Callback):
        only_watches = True

        def on_epoch(self, training):
            if training.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(10, callbacks=[tg.training.AverageWeights(0.8), Stop()], resume=tmp_path)
    resumed, _ = trained(10, callbacks=tg.training.AverageWeights(0.8), resume=tmp_path)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


def test_a_training_that_fails_keeps_its_weights():
    model = nn.MLP([3, 5, 2], rng=0, dtype=np.float64)
    before = model.state_dict()

    class Fail(tg.training.Callback):
        def on_batch(self, training):
            if training.batch == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(10, model=model, callbacks=[tg.training.AverageWeights(0.5), Fail()])
    assert not np.array_equal(model.state_dict()["0.weight"], before["0.weight"])
    with pytest.raises(OptionError, match="AverageWeights"):
        tg.training.AverageWeights(1.0)
