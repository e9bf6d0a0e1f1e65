"""The training loop: that it learns, repeats itself bit for bit, stops well, and keeps what it should."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.data import DataLoader, Dataset
from tinygrad_mnist.errors import NonFiniteError, OptionError, ShapeError, TinygradError
from tinygrad_mnist.training import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    Progress,
    accuracy,
    confusion_matrix,
    evaluate,
    fit,
    load_model,
    predict,
)


def clusters(n=90, seed=0):
    """Points around three centres, and which of them each belongs to."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    points = rng.normal(0, 0.6, (n, 4)) + 2 * np.eye(4)[classes]
    return points.astype(np.float32), classes


X, Y = clusters()
VALIDATION = clusters(60, seed=1)


def small(**options):
    return nn.MLP([4, 6, 3], rng=0, **options)


def train(model=None, data=(X, Y), **options):
    return fit(small() if model is None else model, data, **{"progress": False, "rng": 0, **options})


def assert_same_weights(a, b):
    a, b = (part if isinstance(part, dict) else part.state_dict() for part in (a, b))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


class Log(Callback):
    """Writes down what it is called with."""

    def __init__(self):
        self.events = []
        self.losses = []
        self.rates = []
        self.weights = []

    def on_start(self, training):
        self.events.append("start")

    def on_batch(self, training):
        self.events.append((training.epoch, training.batch))
        self.losses.append(training.loss)
        self.rates.append(training.optimizer.param_groups[0]["lr"])

    def on_epoch(self, training):
        self.events.append(f"epoch {training.history[-1]['epoch']}")
        self.weights.append(training.model.state_dict())

    def on_end(self, training):
        self.events.append("end")


class Weight(nn.Module):
    """One number, which every input is given as its output."""

    def __init__(self):
        self.w = nn.Parameter(0.0)

    def forward(self, x):
        return self.w + 0 * x


def distance(output, target):
    """For targets of 0 a slope that moves the weight by -1 an epoch; for others, how far off it is."""
    return np.mean(np.where(target == 0, output, (output - target) ** 2))


def descend(epochs, aim, *callbacks, **options):
    """Train a weight that is 0, -1, -2, … while it is validated by its distance from ``aim``."""
    model = Weight()
    sgd = optim.SGD(model.parameters(), 1.0)
    zeros = np.zeros(4, np.float32)
    history = fit(
        model,
        (zeros, zeros),
        epochs=epochs,
        batch_size=4,
        loss=distance,
        optimizer=sgd,
        validation=(zeros, np.full(4, aim, np.float32)),
        callbacks=callbacks,
        progress=False,
        **options,
    )
    return model, history


# -- learning ------------------------------------------------------------------------------------


def test_learns_real_digits():
    digits, test = tg.data.load_mnist("sample")
    model = nn.MLP([784, 32, 10], rng=0)
    history = train(model, digits, epochs=3, validation=test)
    assert history[-1]["validation_accuracy"] > 0.87
    assert history["train_loss"] == sorted(history["train_loss"], reverse=True)
    assert evaluate(model, test)["accuracy"] == history[-1]["validation_accuracy"]


@pytest.mark.parametrize(
    "make", [lambda data: data, list, lambda data: Dataset(*data)], ids=["tuple", "list", "Dataset"]
)
def test_every_kind_of_data(make):
    model, reference = small(), small()
    history = train(model, make((X, Y)), epochs=3, validation=make(VALIDATION))
    assert history == train(reference, (X, Y), epochs=3, validation=VALIDATION)
    assert_same_weights(model, reference)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}, {"activation": "tanh", "dropout": 0.2}], ids=str)
def test_the_same_seed_gives_the_same_bits(options):
    def once(seed):
        model = nn.MLP([4, 6, 3], rng=seed, **options)
        optimizer = optim.AdamW(model.parameters(), 0.01)
        schedule = optim.OneCycleLR
        history = train(
            model,
            epochs=3,
            batch_size=16,
            optimizer=optimizer,
            schedule=schedule,
            validation=VALIDATION,
            rng=seed,
        )
        return model, history

    (model, history), (again, history_again), (other, other_history) = once(3), once(3), once(4)
    assert history == history_again
    assert history.to_jsonl() == history_again.to_jsonl()
    assert_same_weights(model, again)
    assert history != other_history
    assert not np.array_equal(model[0].weight.data, other[0].weight.data)


def test_watching_changes_nothing(tmp_path):
    watched, alone = small(dropout=0.3), small(dropout=0.3)
    callbacks = [Log(), Checkpoint(tmp_path), Progress(io.StringIO())]
    history = train(watched, epochs=2, validation=VALIDATION, callbacks=callbacks)
    assert history == train(alone, epochs=2, validation=VALIDATION)
    assert_same_weights(watched, alone)


def test_seed_and_generator_are_the_same_thing():
    assert train(epochs=2, rng=5) == train(epochs=2, rng=np.random.default_rng(5))
    assert train(epochs=2, rng=5) != train(epochs=2, rng=6)


def test_each_epoch_is_a_permutation_of_its_own():
    seen = []

    def loss(output, target):
        seen.append(target)
        return np.mean(output**2)

    numbers = np.arange(10)
    train(data=(X[:10], numbers), epochs=2, batch_size=4, loss=loss)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    np.testing.assert_array_equal(np.sort(first), numbers)
    np.testing.assert_array_equal(np.sort(second), numbers)
    assert not np.array_equal(first, second)


def test_a_loader_is_used_as_it_is():
    seen = []

    def loss(output, target):
        seen.append(list(target))
        return np.mean(output**2)

    loader = DataLoader((X[:10], np.arange(10)), 4, drop_last=True)
    train(data=loader, epochs=2, batch_size=1, loss=loss, validation=None)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2


def test_only_what_the_optimizer_has_is_trained():
    model = small()
    before = model.state_dict()
    train(model, epochs=1, optimizer=optim.SGD(model[2].parameters(), 0.5))
    np.testing.assert_array_equal(model[0].weight.data, before["0.weight"])
    assert not np.array_equal(model[2].weight.data, before["2.weight"])


def test_the_averages_are_over_samples():
    log = Log()
    model = Weight()
    targets = np.array([1.0, 2.0, 3.0, 4.0, 5.0], np.float32)
    loss = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), 0.0)
    history = fit(
        model, (np.zeros(5, np.float32), targets), epochs=1, batch_size=2, loss=loss, optimizer=optimizer,
        callbacks=[log], progress=False, rng=0,
    )  # fmt: skip
    assert len(log.losses) == 3
    assert history[0]["train_loss"] == pytest.approx(np.mean(targets**2))


def test_regression_has_no_accuracy():
    model = nn.Linear(4, 2, rng=0)
    target = X @ np.ones((4, 2), np.float32)
    history = train(model, (X, target), epochs=2, loss=nn.MSELoss(), validation=(X, target))
    assert list(history[0]) == ["epoch", "lr", "train_loss", "validation_loss"]
    assert set(evaluate(model, (X, target), loss=nn.MSELoss())) == {"loss", "count"}


def test_rows():
    history = train(epochs=2, validation=VALIDATION)
    assert [row["epoch"] for row in history] == [1, 2]
    measures = ["epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    assert all(list(row) == measures for row in history)
    assert all(type(row[name]) is float for row in history for name in measures[1:])
    assert list(train(epochs=1)[0]) == measures[:4]
    assert history.stopped == ""


# -- training and evaluation mode ----------------------------------------------------------------


class Witness(nn.Module):
    """Notes in which mode it is called, and whether it is recorded."""

    def __init__(self):
        self.inner = nn.Linear(4, 3, rng=0)
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, self.inner.training, tg.is_recording(), len(x)))
        return self.inner(x)


def test_modes_in_training():
    model = Witness().eval()
    train(model, (X[:8], Y[:8]), epochs=2, batch_size=4, validation=(X[:3], Y[:3]))
    epoch = [(True, True, True, 4)] * 2 + [(False, False, False, 3)]
    assert model.seen == epoch * 2
    assert not model.training
    assert not model.inner.training


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    "measure", [lambda m: evaluate(m, (X, Y)), lambda m: predict(m, X)], ids=["evaluate", "predict"]
)
def test_measuring_restores_the_mode(mode, measure):
    model = Witness().train(mode)
    measure(model)
    assert model.seen == [(False, False, False, len(X))]
    assert model.training is model.inner.training is mode
    model.seen = None  # breaks forward
    with pytest.raises(AttributeError):
        measure(model)
    assert model.training is model.inner.training is mode


def test_the_mode_after_a_failure():
    class Stop(Exception):
        pass

    class Fails(Callback):
        def on_batch(self, training):
            raise Stop

    model, log = small(), Log()
    with pytest.raises(Stop):
        train(model, callbacks=[log, Fails()])
    assert not model.training
    assert log.events[-1] == "end"


# -- losses that are not finite ------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite(value):
    calls = 0

    def loss(output, target):
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(output, target) + (value if calls == 7 else 0)

    model, log = small(), Log()
    with pytest.raises(NonFiniteError, match=rf"{value} in epoch 2, batch 2\b") as caught:
        train(model, (X[:50], Y[:50]), epochs=3, batch_size=10, loss=loss, callbacks=[log])
    assert "lr" in str(caught.value) or "learning rate" in str(caught.value)
    assert isinstance(caught.value, FloatingPointError)
    assert log.events[-2:] == [(2, 1), "end"]
    assert log.events.count("end") == 1
    assert_same_weights(model, log.weights[0])
    assert not model.training


def test_a_loss_that_is_never_finite_leaves_the_weights():
    model = small()
    before = model.state_dict()
    with pytest.raises(NonFiniteError, match="epoch 1, batch 1"):
        train(model, (X * np.nan, Y))
    assert_same_weights(model, before)


def test_real_divergence_is_one_error_without_warnings():
    model = small()
    optimizer = optim.SGD(model.parameters(), 1e30)
    with pytest.raises(NonFiniteError, match=r"1e\+30"):
        train(model, epochs=20, batch_size=10, optimizer=optimizer)
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


def test_a_validation_loss_that_is_not_finite():
    model, log = small(), Log()
    points = VALIDATION[0].copy()
    points[7] = np.inf
    before = model.state_dict()
    with pytest.raises(NonFiniteError, match=r"validation.*epoch 1|epoch 1.*validation"):
        train(model, epochs=2, validation=(points, VALIDATION[1]), callbacks=[log])
    assert_same_weights(model, before)
    assert log.events[-1] == "end"


@pytest.mark.parametrize("compile", [False, True])
def test_after_a_bad_step_the_same_optimizer_can_go_on(compile):
    model = small()
    optimizer = optim.Adam(model.parameters())
    points = X.copy()
    points[-1] = np.nan
    with pytest.raises(NonFiniteError):
        train(model, (points, Y), epochs=1, optimizer=optimizer, compile=compile)
    history = train(model, epochs=2, optimizer=optimizer, compile=compile)
    assert history[1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("scale", [1, 1000], ids=["finite", "infinite"])
@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["alone", "validated"])
def test_a_last_update_that_breaks_the_weights(validation, scale):
    model = small()
    optimizer = optim.SGD(model.parameters(), 1e38)
    before = model.state_dict()
    with pytest.raises(NonFiniteError, match="epoch 1"):
        train(model, (scale * X, Y), epochs=1, batch_size=len(X), optimizer=optimizer, validation=validation)
    assert_same_weights(model, before)


# -- callbacks -----------------------------------------------------------------------------------


def test_callbacks_are_called_in_order():
    log = Log()
    train(data=(X[:20], Y[:20]), epochs=2, batch_size=10, callbacks=[log])
    assert log.events == ["start", (1, 1), (1, 2), "epoch 1", (2, 1), (2, 2), "epoch 2", "end"]
    assert all(type(loss) is float for loss in log.losses)


def test_what_callbacks_see():
    class Look(Callback):
        def on_start(self, training):
            self.start = (training.epochs, training.batches, training.validates, len(training.history))
            assert training.model is model
            assert training.optimizer is optimizer

    look = Look()
    model = small()
    optimizer = optim.SGD(model.parameters(), 0.1)
    train(model, epochs=4, batch_size=20, optimizer=optimizer, callbacks=[look])
    assert look.start == (4, 5, False, 0)
    train(
        epochs=1,
        batch_size=90,
        validation=VALIDATION,
        callbacks=iter([look := Look()]),
        model=model,
        optimizer=optimizer,
    )
    assert look.start == (1, 1, True, 0)


def test_any_object_with_the_methods_will_do_and_stop_ends_after_the_epoch():
    class Enough(Callback):
        def on_batch(self, training):
            if (training.epoch, training.batch) == (2, 1):
                training.stop = "enough"

    log = Log()
    history = train(epochs=5, batch_size=30, callbacks=[Enough(), log])
    assert len(history) == 2
    assert history.stopped == "enough"
    assert log.events[-3:] == [(2, 3), "epoch 2", "end"]


def test_a_callback_that_cannot_start_closes_the_others():
    log = Log()
    with pytest.raises(OptionError):
        train(callbacks=[log, EarlyStopping(2)])
    assert log.events == ["start", "end"]


# -- early stopping ------------------------------------------------------------------------------


def test_the_best_weights_are_kept():
    model, history = descend(6, -3.0, EarlyStopping())
    assert history["validation_loss"] == [4.0, 1.0, 0.0, 1.0, 4.0, 9.0]
    assert model.w.item() == -3.0
    assert history.stopped == ""


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience(patience):
    stopping = EarlyStopping(patience)
    model, history = descend(20, -3.0, stopping)
    assert len(history) == 3 + patience
    assert model.w.item() == -3.0
    assert stopping.best_epoch == 3
    assert "validation_loss" in history.stopped
    assert "epoch 3" in history.stopped


def test_the_best_epoch_may_be_the_last():
    model, history = descend(3, -10.0, EarlyStopping(1))
    assert len(history) == 3
    assert model.w.item() == -3.0


def test_of_equal_epochs_the_first_is_kept():
    model, history = descend(4, -1.5, EarlyStopping())
    assert history["validation_loss"][:2] == [0.25, 0.25]
    assert model.w.item() == -1.0


def test_other_measures():
    model, history = descend(4, -2.0, EarlyStopping(monitor="train_loss"))
    assert history.best("train_loss")["epoch"] == 4
    assert model.w.item() == -4.0
    # Accuracy is to be high: nothing beats the first epoch here.
    points, classes = VALIDATION
    model, log = small(), Log()
    stopping = EarlyStopping(2, monitor="validation_accuracy")
    optimizer = optim.SGD(model.parameters(), 0.0)
    history = train(
        model, epochs=9, optimizer=optimizer, validation=(points, classes), callbacks=[stopping, log]
    )
    assert len(history) == 3
    assert stopping.best_epoch == 1


def test_early_stopping_can_be_used_again():
    stopping = EarlyStopping(2)
    descend(20, -3.0, stopping)
    model, history = descend(20, -1.0, stopping)
    assert model.w.item() == -1.0
    assert len(history) == 3


def test_interrupted_training_keeps_the_best_weights():
    class Interrupt(Callback):
        def on_batch(self, training):
            if training.epoch == 6:
                raise KeyboardInterrupt

    kept = []

    class Keep(Callback):
        def on_start(self, training):
            kept.append(training.model)

    with pytest.raises(KeyboardInterrupt):
        descend(20, -3.0, Keep(), EarlyStopping(), Interrupt())
    assert kept[0].w.item() == -3.0


def test_early_stopping_refuses():
    with pytest.raises(OptionError, match="validation"):
        train(callbacks=[EarlyStopping(2)])
    for patience in (0, -1):
        with pytest.raises(OptionError, match="patience"):
            EarlyStopping(patience)
    with pytest.raises(TinygradError, match=r"validation_los\b.*validation_loss"):
        train(epochs=1, validation=VALIDATION, callbacks=[EarlyStopping(1, monitor="validation_los")])


# -- checkpoints ---------------------------------------------------------------------------------


def test_checkpoints_follow_every_epoch(tmp_path):
    class Compare(Callback):
        seen = 0

        def on_start(self, training):
            assert_same_weights(load_model(tmp_path / "model.safetensors"), training.model)

        def on_epoch(self, training):
            assert_same_weights(load_model(tmp_path / "model.safetensors"), training.model)
            assert History.load(tmp_path / "history.jsonl") == training.history
            self.seen += 1

    compare = Compare()
    model = small()
    history = train(model, epochs=3, callbacks=[Checkpoint(tmp_path), compare])
    assert compare.seen == 3
    assert_same_weights(load_model(tmp_path / "model.safetensors"), model)
    assert History.load(tmp_path / "history.jsonl") == history
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "model.safetensors"]


@pytest.mark.parametrize("when", [(1, 2), (3, 1)], ids=str)
def test_a_checkpoint_survives_an_interruption(tmp_path, when):
    class Interrupt(Callback):
        def on_batch(self, training):
            if (training.epoch, training.batch) == when:
                raise KeyboardInterrupt

    model = small()
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=9, batch_size=30, callbacks=[Checkpoint(tmp_path / "run"), Interrupt()])
    assert_same_weights(load_model(tmp_path / "run" / "model.safetensors"), model)
    assert len(History.load(tmp_path / "run" / "history.jsonl")) == when[0] - 1
    assert not model.training


def test_after_divergence_the_checkpoint_has_the_last_good_weights(tmp_path):
    model = small()
    optimizer = optim.SGD(model.parameters(), 1e20)
    with pytest.raises(NonFiniteError), np.errstate(all="ignore"):
        train(model, epochs=50, batch_size=10, optimizer=optimizer, callbacks=[Checkpoint(tmp_path)])
    loaded = load_model(tmp_path / "model.safetensors")
    assert_same_weights(loaded, model)
    assert all(np.isfinite(array).all() for array in loaded.state_dict().values())


@pytest.mark.parametrize("order", [1, -1])
def test_the_file_holds_the_best_weights_in_whichever_order(tmp_path, order):
    model, _ = descend(6, -3.0, *[EarlyStopping(), Checkpoint(tmp_path)][::order])
    assert model.w.item() == -3.0
    assert load_model(tmp_path / "model.safetensors", classes=[Weight]).w.item() == -3.0


# -- schedules and clipping ----------------------------------------------------------------------


def test_a_schedule_made_by_a_function_gets_the_number_of_batches():
    made = []

    def schedule(optimizer, steps):
        made.append((optimizer, steps))
        return optim.StepLR(optimizer, 3, 0.5)

    model, log = small(), Log()
    optimizer = optim.SGD(model.parameters(), 0.8)
    history = train(model, epochs=4, batch_size=32, optimizer=optimizer, schedule=schedule, callbacks=[log])
    assert made == [(optimizer, 12)]
    assert history["lr"] == [0.8, 0.4, 0.2, 0.1]  # at the beginning of each epoch
    np.testing.assert_allclose(log.rates, np.repeat([0.8, 0.4, 0.2, 0.1, 0.05], [2, 3, 3, 3, 1]))


def test_a_schedule_class_and_an_instance():
    def run(make):
        model = small()
        optimizer = optim.SGD(model.parameters(), 0.5)
        return train(model, epochs=3, batch_size=30, optimizer=optimizer, schedule=make(optimizer)), model

    history, model = run(lambda optimizer: optim.CosineAnnealingLR)
    again, same = run(lambda optimizer: optim.CosineAnnealingLR(optimizer, 9))
    assert history == again
    assert_same_weights(model, same)
    np.testing.assert_allclose(history["lr"], [0.25 * (1 + math.cos(math.pi * k / 9)) for k in (0, 3, 6)])


def test_without_a_schedule_the_rate_stays():
    assert train(epochs=2)["lr"] == [1e-3, 1e-3]


def test_clipping():
    def longest_step(clip_norm):
        model = Weight()
        lengths = []

        class Measure(Callback):
            before = 0.0

            def on_batch(self, training):
                lengths.append(abs(model.w.item() - self.before))
                self.before = model.w.item()

        zeros = np.zeros(6, np.float32)
        fit(
            model, (zeros, zeros + 50), epochs=2, batch_size=2, loss=nn.MSELoss(), clip_norm=clip_norm,
            optimizer=optim.SGD(model.parameters(), 0.1), callbacks=[Measure()], progress=False,
        )  # fmt: skip
        return max(lengths)

    assert longest_step(None) == pytest.approx(10)  # 0.1 · 2 · 50
    assert longest_step(2.0) == pytest.approx(0.2, rel=1e-4)
    assert longest_step(1e6) == pytest.approx(10)


# -- what fit refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": -3}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"clip_norm": 0.0}, "norm"),
        ({"clip_norm": math.nan}, "norm"),
        ({"data": (X[:0], Y[:0])}, "empty"),
        ({"validation": (X[:0], Y[:0])}, "empty"),
        ({"data": (X, Y[:-1])}, "inputs"),
        ({"data": X}, "inputs, targets"),
        ({"data": (X[:, :3], Y)}, r"Linear\(4, 6\)"),
        ({"data": (X, Y + 1)}, "3"),
        ({"data": (X, Y.astype(float))}, "float64"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "scalar"),
    ],
    ids=str,
)
def test_fit_refuses(options, named):
    model = small()
    before = model.state_dict()
    with pytest.raises(TinygradError, match=named):
        train(model, **{"epochs": 1, **options})
    assert_same_weights(model, before)


# -- evaluate and predict ------------------------------------------------------------------------


def test_evaluate_by_hand():
    model = small()
    logits = model(X).numpy() if not model(X).requires_grad else model(X).data
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    for batch_size in (1, 7, 1000):
        measured = evaluate(model, (X, Y), batch_size=batch_size)
        assert measured["loss"] == pytest.approx(-logp[np.arange(len(Y)), Y].mean(), rel=1e-5)
        assert measured["accuracy"] == np.mean(logits.argmax(axis=1) == Y)
        assert measured["count"] == len(X)


def test_evaluate_takes_every_kind_of_data():
    model = small()
    measured = evaluate(model, (X, Y))
    assert evaluate(model, Dataset(X, Y)) == measured
    assert evaluate(model, DataLoader((X, Y), 1000)) == measured
    assert evaluate(model, DataLoader((X, Y), 25, drop_last=True))["count"] == 75
    one = evaluate(model, (X, np.eye(3, dtype=np.float32)[Y]), loss=nn.MSELoss())
    assert set(one) == {"loss", "count"}


def test_evaluate_draws_nothing_and_keeps_gradients():
    model = small(dropout=0.5)
    assert evaluate(model, (X, Y)) == evaluate(model, (X, Y))
    nn.functional.cross_entropy(model(X), Y).backward()
    before = [parameter.grad.data.copy() for parameter in model.parameters()]
    evaluate(model, (X, Y))
    for parameter, grad in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.grad.data, grad)


def test_predict():
    model = small(dropout=0.5)
    outputs = predict(model, X)
    assert type(outputs) is np.ndarray
    assert outputs.shape == (len(X), 3)
    np.testing.assert_array_equal(outputs, model.eval()(X).data)
    np.testing.assert_allclose(predict(model, X, batch_size=7), outputs, rtol=1e-5)
    np.testing.assert_array_equal(predict(model, Dataset(X, Y)), outputs)


def test_a_number_among_several_outputs():
    class Two(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(3, 2, rng=0)

        def forward(self, x):
            y = self.layer(x)
            return y, np.sum(y)

    x, model = np.ones((5, 3), np.float32), Two()
    outputs, sums = tg.training.predict(model, x, batch_size=2)
    assert outputs.shape == (5, 2)
    assert sums == pytest.approx([outputs[:2].sum(), outputs[2:4].sum(), outputs[4:].sum()])
    loss = lambda y, targets: np.mean((y[0] - targets) ** 2) + 0.1 * y[1] ** 2  # noqa: E731
    assert len(tg.training.fit(model, (x, x[:, :2]), epochs=2, loss=loss, progress=False)) == 2


def test_predict_applies_the_transform():
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 2), dtype=np.uint8)
    data = Dataset(images, np.zeros(5, int), transform=tg.data.to_vectors)
    model = small()
    np.testing.assert_array_equal(predict(model, data), predict(model, tg.data.to_vectors(images)))


def test_predict_takes_what_evaluate_takes():
    model = small()
    outputs = predict(model, X)
    np.testing.assert_array_equal(predict(model, (X, Y)), outputs)
    np.testing.assert_allclose(predict(model, DataLoader((X, Y), 25)), outputs, rtol=1e-5)


def test_nothing_to_predict():
    assert predict(small(), X[:0]).shape == (0, 3)
    assert predict(small(), Dataset(X[:0], Y[:0])).shape == (0, 3)
    with pytest.raises(TinygradError, match="batch_size"):
        predict(small(), X, batch_size=0)


def test_nothing_to_evaluate():
    for data in ((X[:0], Y[:0]), Dataset(X[:0], Y[:0])):
        with pytest.raises(TinygradError, match="empty"):
            evaluate(small(), data)


# -- measures ------------------------------------------------------------------------------------


def test_accuracy():
    outputs = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.0, 0.2, 0.8], [1.0, 2.0, 3.0]])
    assert accuracy(np.array([1, 0, 2, 0]), outputs) == 0.75
    assert accuracy([1, 0, 2, 0], tg.tensor(outputs, requires_grad=True) * 2) == 0.75
    with pytest.raises(ShapeError, match="4"):
        accuracy(np.array([1, 0]), outputs)
    with pytest.raises(ShapeError, match=r"expected accuracy\(targets, outputs\)"):
        accuracy(outputs, np.array([1, 0, 2, 0]))


def test_confusion_matrix():
    outputs = np.eye(3)[[0, 1, 1, 2, 0]]
    targets = np.array([0, 1, 2, 2, 2])
    expected = [[1, 0, 0], [0, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(confusion_matrix(targets, outputs), expected)
    np.testing.assert_array_equal(confusion_matrix(targets, tg.tensor(outputs)), expected)
    np.testing.assert_array_equal(confusion_matrix(targets, outputs.argmax(axis=1)), expected)
    assert confusion_matrix(targets, outputs, 5).shape == (5, 5)
    assert confusion_matrix(targets, outputs, 5).sum() == 5
    np.testing.assert_array_equal(confusion_matrix(np.zeros(0, int), np.zeros((0, 2)), 2), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("predicted", "targets", "classes"),
    [([0, 5], [0, 1], 3), ([0, 1], [0, 5], 3), ([0, 3], [0, 1], 3), ([0, -1], [0, 1], 3), ([0], [0, 1], 2)],
    ids=str,
)
def test_a_confusion_matrix_of_classes_that_are_not_there(predicted, targets, classes):
    with pytest.raises(TinygradError):
        confusion_matrix(np.array(targets), np.array(predicted), classes)


# -- progress ------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_an_epoch_where_nobody_watches():
    stream = io.StringIO()
    train(epochs=10, validation=VALIDATION, callbacks=[Progress(stream)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert re.fullmatch(
        r"epoch  3/10  train loss \d\.\d{4}  train accuracy \d+\.\d\d%"
        r"  validation loss \d\.\d{4}  validation accuracy \d+\.\d\d%",
        lines[2],
    )
    assert lines[9].startswith("epoch 10/10  ")
    assert "\r" not in stream.getvalue()


def test_progress_is_a_bar_on_a_terminal():
    stream = Terminal()
    train(epochs=2, batch_size=1, validation=VALIDATION, callbacks=[Progress(stream)])
    text = stream.getvalue()
    assert "\r" in text
    assert re.search(r"loss \d\.\d{4}, \S+ ms a step", text)
    assert "batch/s" not in text
    assert re.search(r"epoch 1/2  train loss \d\.\d{4}.*  \S+ ms a step", text)
    assert re.search(r"epoch 2/2  train loss \d\.\d{4}", text)
    assert text.count("train loss") == 2
    assert f"/{len(X)}" in text


def test_the_bar_is_closed_when_training_fails():
    stream = Terminal()
    progress = Progress(stream)
    with pytest.raises(NonFiniteError):
        train(data=(X * np.nan, Y), callbacks=[progress])
    length = len(stream.getvalue())
    train(epochs=1, callbacks=[progress])  # starts anew
    assert "epoch 1/1" in stream.getvalue()[length:]


def test_progress_goes_to_the_error_stream(capsys):
    fit(small(), (X, Y), epochs=2, rng=0)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 2
    fit(small(), (X, Y), epochs=2, rng=0, progress=False)
    assert capsys.readouterr() == ("", "")
