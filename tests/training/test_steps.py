"""What does a training's steps: the model itself, a NumPy program or machine code, and how that is chosen."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError, MissingExtraError, OptionError, ShapeError
from tinygrad_mnist.training import TrainingStep, steps
from tinygrad_mnist.training.steps import COMPILE, Work, repays, work_of


@pytest.fixture
def digits():
    """Seventy samples: batches of sixteen leave a last one of six."""
    rng = np.random.default_rng(0)
    return rng.random((70, 12), np.float32), rng.integers(0, 3, 70)


@pytest.fixture
def always(monkeypatch):
    """Let machine code repay itself in any training."""
    monkeypatch.setattr(steps, "repays", lambda *counts: True)


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)


@pytest.fixture
def programs(monkeypatch):
    """What is compiled, in the order in which it is: the back end, and what came of it."""
    made = []

    def compile(*args, backend, **settings):
        made.append((backend, tg.compile(*args, backend=backend, **settings)))
        return made[-1][1]

    monkeypatch.setattr(steps, "compile", compile)
    return made


def train(data, compile, batch_size=16, **options):
    model = tg.nn.MLP([12, 8, 3], dropout=0.2, rng=0)
    optimizer = tg.optim.AdamW(model.parameters(), lr=0.01)
    settings = {"epochs": 3, "rng": 1, "progress": False, "optimizer": optimizer, **options}
    return model, tg.training.fit(model, data, batch_size=batch_size, compile=compile, **settings)


def assert_alike(one, other, **tolerance):
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, **(tolerance or {"rtol": 1e-4, "atol": 1e-6}))


# -- the choice ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "work", "expected"),
    [
        (60_000, Work(37, 5_900_000, 33), True),  # 784-548-548-10, one image at a time, one epoch
        (60_000, Work(26, 640_000, 26), True),  # 784-100-10 likewise
        (9_380, Work(63, 13_500_000, 50), True),  # 784-548-548-10, batches of 128, AdamW, twenty epochs
        (1_338, Work(42, 1_800_000, 40), False),  # 784-128-10, batches of 128, AdamW, three epochs
        (1_920, Work(31, 31_000, 31), False),  # the small digits
        (9_000, Work(50, 150_000, 40), False),  # 784-16-16-10, batches of 100, eighteen epochs
        (4_000, Work(26, 640_000, 26), False),  # the bundled sample, one image at a time
        (0, Work(26, 640_000, 26), False),
        (2_000, Work(49, 6_400_000, 50, 9, 19_400_000), False),  # the benchmark's LeNet, two epochs
        (20_000, Work(49, 6_400_000, 50, 9, 19_400_000), True),  # twenty
    ],
)
def test_what_repays_itself(count, work, expected):
    assert repays(count, work) is expected


def test_more_steps_and_more_memory_repay_sooner_and_nothing_else_counts():
    counts = [repays(n, Work(40, 1_000_000, 30)) for n in range(0, 100_000, 1000)]
    assert counts == sorted(counts)
    assert {*counts} == {False, True}
    assert repays(20_000, Work(40, 10_000_000, 30)) > repays(20_000, Work(40, 100_000, 30))
    assert repays(20_000, Work(40, 5_000_000, 30)) > repays(20_000, Work(40, 5_000_000, 30, kernels=9))


def test_what_the_choice_is_told(digits, monkeypatch, programs):
    asked = []
    monkeypatch.setattr(steps, "repays", lambda *counts: asked.append(counts))
    _, history = train(digits, "auto")
    [(backend, program)] = programs
    weights = sum(p.data.nbytes for p in tg.nn.MLP([12, 8, 3]).parameters())
    [(count, work)] = asked
    assert (backend, history.backend) == ("numpy", "numpy")
    assert count == 3 * 5 - 1
    assert 10 < work.kinds <= work.operations + 2
    assert work.memory > 3 * weights + 1000  # weights, two averages, and buffers
    assert len(program._entries) == 2  # for batches of sixteen, and of six


def test_the_work_of_a_step_with_convolutions():
    """The kernels are counted, and what they read and write; a layer that is repeated is of one kind."""
    rng, loss_of = np.random.default_rng(0), tg.nn.CrossEntropyLoss()
    x, y = rng.random((4, 1, 8, 8), np.float32), rng.integers(0, 3, 4)

    def work(layers):
        convolutions = [tg.nn.Conv2d(1 if i == 0 else 2, 2, 3, padding=1) for i in range(layers)]
        model = tg.nn.Sequential(*convolutions, tg.nn.Flatten(), tg.nn.Linear(128, 3))
        step = tg.compile(
            lambda x, y: loss_of(model(x), y), optimizer=tg.optim.SGD(model.parameters(), lr=0.1)
        )
        step(x, y)
        return work_of(step)

    small, large, larger = work(1), work(3), work(5)
    assert [w.kernels for w in (small, large, larger)] == [
        2,
        2 + 2 * 3,
        2 + 4 * 3,
    ]  # none for the gradient of x
    assert small.kinds < large.kinds == larger.kinds
    assert small.moved == 2 * 4 * (4 * 64 + 18 + 4 * 2 * 64)  # the images, the weights, the result
    assert large.operations < larger.operations


@pytest.mark.thorough
def test_auto_takes_machine_code_from_the_second_step_on(digits, always, programs):
    pytest.importorskip("numba")
    (model, history), (again, history_again) = train(digits, "auto"), train(digits, "auto")
    assert history.backend == "numba"
    assert history == history_again
    assert_alike(model, again, rtol=0)
    assert_alike(model, train(digits, True)[0])
    assert [backend for backend, _ in programs] == ["numpy", "numba"] * 2 + ["numpy"]


def test_auto_without_numba(digits, always, without_numba):
    model, history = train(digits, "auto")
    assert history.backend == "numpy"
    assert_alike(model, train(digits, True)[0], rtol=0)


def test_machine_code_without_numba(digits, without_numba):
    with pytest.raises(MissingExtraError, match=r"pip install 'tinygrad-mnist\[fast\]'"):
        train(digits, "numba")


# -- what runs -------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 0.2},
        pytest.param({}, marks=pytest.mark.thorough),
        pytest.param({"schedule": tg.optim.OneCycleLR}, marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_machine_code_is_the_numpy_program_up_to_rounding(digits, options, programs):
    pytest.importorskip("numba")
    (model, history), (twin, expected) = train(digits, "numba", **options), train(digits, True, **options)
    assert (history.backend, expected.backend) == ("numba", "numpy")
    assert_alike(model, twin)
    np.testing.assert_allclose(history["train_loss"], expected["train_loss"], rtol=1e-5)
    # The last batch, which is smaller, has no machine code of its own.
    (_, odd), (_, machine), (_, numpy) = programs[-3:]
    assert [len(program._entries) for program in (odd, machine, numpy)] == [1, 1, 2]


@pytest.mark.parametrize(("compile", "backend"), [(False, "eager"), (True, "numpy"), ("numpy", "numpy")])
def test_the_history_says_what_ran(digits, compile, backend):
    assert train(digits, compile)[1].backend == backend
    assert tg.training.History().backend == ""


def test_a_training_that_is_interrupted_says_what_ran(digits):
    class Stop(tg.training.Callback):
        def on_start(self, training):
            self.history = training.history

        def on_batch(self, training):
            raise KeyboardInterrupt

    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        train(digits, True, callbacks=[stop])
    assert stop.history.backend == "numpy"


def squares(weight, x):
    return np.sum((weight * x) ** 2)


def complex_squares(weight, x):
    """A loss with numbers that have no machine code."""
    return np.sum(np.abs(weight * x * (1 + 0j)) ** 2)


def test_auto_without_machine_code_says_nothing(always):
    pytest.importorskip("numba")
    w = tg.nn.Parameter(np.ones((3, 3), np.float32))
    step = TrainingStep(lambda x: complex_squares(w, x), tg.optim.SGD([w], lr=1e-4), compile="auto", steps=10)
    x = np.random.default_rng(0).random((3, 3), np.float32)
    losses = [step(x) for _ in range(4)]
    assert step.backend == "numpy"
    assert losses == sorted(losses, reverse=True)


def test_machine_code_that_was_asked_for_and_cannot_be_made():
    pytest.importorskip("numba")
    w = tg.nn.Parameter(np.ones((3, 3), np.float32))
    step = TrainingStep(lambda x: complex_squares(w, x), tg.optim.SGD([w], lr=1e-4), compile="numba")
    x = np.random.default_rng(0).random((3, 3), np.float32)
    with pytest.warns(UserWarning, match="no machine code"):
        first = step(x)
    assert step.backend == "numpy"
    assert step(x) < first


def test_other_warnings_are_passed_on():
    pytest.importorskip("numba")
    w = tg.nn.Parameter(np.ones(3, np.float32))

    def loss(x):
        warnings.warn("look here", RuntimeWarning, stacklevel=2)
        return squares(w, x)

    step = TrainingStep(loss, tg.optim.SGD([w], lr=0.01), compile="numba")
    with pytest.warns(RuntimeWarning, match="look here"):
        step(np.ones(3, np.float32))
    assert step.backend == "numba"


@pytest.mark.parametrize("compile", [False, True, "numba", "auto"])
def test_a_step_by_hand(compile):
    if compile == "numba":
        pytest.importorskip("numba")
    w = tg.nn.Parameter(np.ones(3, np.float32))
    step = TrainingStep(lambda x: squares(w, x), tg.optim.SGD([w], lr=0.1), compile=compile, steps=2)
    x = np.array([1, 2, 1], np.float32)
    assert step(x) == 6.0
    np.testing.assert_allclose(w.data, [0.8, 0.2, 0.8], rtol=1e-6)
    assert isinstance(step(x), float)


def test_the_rest_is_returned_beside_the_loss():
    w = tg.nn.Parameter(np.ones(3, np.float32))
    x = np.ones(3, np.float32)
    for compile in (False, True):
        step = TrainingStep(
            lambda x: (squares(w, x), {"weights": w * x}),
            tg.optim.SGD([w], lr=0.0),
            compile=compile,
            has_aux=True,
        )
        loss, rest = step(x)
        assert loss == 3.0
        np.testing.assert_array_equal(rest["weights"].data, x)


@pytest.mark.parametrize("compile", [False, True])
def test_clipping_looks_at_what_the_optimizer_has(compile):
    """Parameters of others keep their gradients from step to step, and would count more and more."""
    w, other = tg.nn.Parameter(np.ones(2, np.float32)), tg.nn.Parameter(np.ones(2, np.float32))
    optimizer = tg.optim.SGD([w], lr=1.0)
    step = TrainingStep(lambda x: np.sum(100 * (w + other) * x), optimizer, compile=compile, clip_norm=0.5)
    for _ in range(2):
        before = w.data.copy()
        step(np.array([3, 4], np.float32))
        np.testing.assert_allclose(before - w.data, [0.3, 0.4], rtol=1e-5)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("compile", ["nunba", "eager", "", None, 1, 0, ["numpy"]], ids=repr)
def test_other_values_are_refused_with_the_valid_ones(digits, compile):
    with pytest.raises(OptionError, match="valid: False, True, auto, numba, numpy"):
        train(digits, compile)
    with pytest.raises(OptionError, match="did you mean 'numba'"):
        train(digits, "nunba")


@pytest.mark.parametrize("compile", [False, True])
def test_a_loss_that_is_no_scalar(digits, compile):
    with pytest.raises(ShapeError, match=r"fit: the loss has shape \(16,\)"):
        train(digits, compile, loss=tg.nn.CrossEntropyLoss(reduction="none"))
    w = tg.nn.Parameter(np.ones(3, np.float32))
    step = TrainingStep(lambda x: w * x, tg.optim.SGD([w], lr=0.1), compile=compile)
    with pytest.raises(GradientError, match=r"shape \(3,\)"):
        step(np.ones(3, np.float32))


@pytest.mark.thorough
def test_every_name_can_be_given(digits):
    pytest.importorskip("numba")
    expected = train(digits, False)[1]["train_loss"]
    for name in COMPILE:
        np.testing.assert_allclose(train(digits, name)[1]["train_loss"], expected, rtol=1e-4)


def test_a_loss_by_comparison_has_machine_code(digits):
    """As the examples write their squared errors."""
    pytest.importorskip("numba")

    def squared_error(outputs, labels):
        wanted = (labels[:, np.newaxis] == np.arange(3)).astype(outputs.dtype)
        return np.mean(np.sum(np.square(tg.nn.functional.sigmoid(outputs) - wanted), axis=1))

    (model, history), (twin, _) = (train(digits, how, loss=squared_error) for how in ("numba", False))
    assert history.backend == "numba"
    assert_alike(model, twin)
