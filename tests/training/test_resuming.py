"""A training that is interrupted and goes on ends as one that is not, bit for bit."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import random
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import files
from tinygrad_mnist.errors import DataError, MissingExtraError, OptionError, RunError, StateDictError
from tinygrad_mnist.training import AverageWeights, Callback, Checkpoint, EarlyStopping, History, steps
from tinygrad_mnist.training.folders import claim, make_folder
from tinygrad_mnist.training.resuming import CHECKPOINT
from tinygrad_mnist.training.settings import OPTIMIZERS, SCHEDULES

RNG = np.random.default_rng(5)
X, Y = RNG.random((70, 12), dtype=np.float32), RNG.integers(0, 3, 70)
BATCHES, EPOCHS = 5, 3
ALL = BATCHES * EPOCHS
#: So short that every batch is followed by a checkpoint; and so long that only epochs are.
OFTEN, SELDOM = 1e-9, 1e9


class Killed(BaseException):
    """Stands for the end of the process."""


class Killer(Callback):
    """Raises an error after some batches of this process."""

    def __init__(self, after):
        self.left = after

    def on_batch(self, training):
        self.left -= 1
        if self.left == 0:
            raise Killed


def digits_model(**options):
    return tg.nn.MLP([12, 8, 3], **{"dropout": 0.2, "rng": 0, **options})


def train(
    folder=None,
    after=0,
    *,
    optimizer="adamw",
    schedule="one-cycle",
    make=digits_model,
    callbacks=(),
    **options,
):
    """Train as a new process would; return the model and the history."""
    model, total = make(), options.pop("epochs", EPOCHS)
    settings = {
        "batch_size": 16,
        "rng": 1,
        "validation": (X[:30], Y[:30]),
        "checkpoint_every": OFTEN,
        **options,
    }
    history = tg.training.fit(
        model,
        settings.pop("data", (X, Y)),
        epochs=total,
        optimizer=OPTIMIZERS[optimizer].make(model.parameters(), 0.05)
        if isinstance(optimizer, str)
        else optimizer,
        schedule=SCHEDULES[schedule] if isinstance(schedule, str) else schedule,
        progress=False,
        callbacks=[*callbacks, *([Killer(after)] if after else [])],
        resume=folder,
        **settings,
    )
    return model, history


def in_pieces(folder, *kills, **options):
    """Train, be killed after so many batches, go on, be killed …, and finish."""
    for after in kills:
        with pytest.raises(Killed):
            train(folder, after, **options)
    return train(folder, **options)


def assert_same(one, other):
    """The same model and history, bit for bit."""
    for (name, a), (_, b) in zip(one[0].state_dict().items(), other[0].state_dict().items(), strict=True):
        assert a.tobytes() == b.tobytes(), name
    assert one[1].to_jsonl() == other[1].to_jsonl()
    assert (one[1].stopped, one[1].backend) == (other[1].stopped, other[1].backend)


def epochs_in(folder):
    """How many epochs a checkpoint has."""
    return tg.load(folder / CHECKPOINT)["history"].tobytes().count(b"\n")


# -- the matrix ------------------------------------------------------------------------------------

KINDS = [*itertools.product(OPTIMIZERS, SCHEDULES, [False, "numpy"])]
#: Each optimizer and each schedule, eager and compiled.
SOME = [
    *zip(OPTIMIZERS, [*SCHEDULES] * 2, itertools.repeat(False)),
    *zip(OPTIMIZERS, [*SCHEDULES][::-1] * 2, itertools.repeat("numpy")),
]


@pytest.mark.parametrize(("number", "kind"), [*enumerate(SOME)], ids=map(str, SOME))
def test_every_kind_of_training_goes_on_bit_for_bit(tmp_path, number, kind):
    """At one place in each: they differ from kind to kind."""
    optimizer, schedule, compile = kind
    options = {"optimizer": optimizer, "schedule": schedule, "compile": compile}
    after, every = 1 + 7 * number % (ALL - 1), OFTEN if number % 3 else SELDOM
    assert_same(in_pieces(tmp_path, after, checkpoint_every=every, **options), train(**options))


@pytest.mark.thorough
@pytest.mark.parametrize(("optimizer", "schedule", "compile"), KINDS)
def test_every_kind_of_training_goes_on_from_every_batch(tmp_path, optimizer, schedule, compile):
    options = {"optimizer": optimizer, "schedule": schedule, "compile": compile}
    whole = train(**options)
    for after in range(1, ALL + 1):
        for every in (OFTEN, SELDOM):
            folder = tmp_path / f"{after} {every}"
            assert_same(in_pieces(folder, after, checkpoint_every=every, **options), whole)


@pytest.mark.parametrize("compile", [False, "numpy"])
def test_killed_after_every_single_batch(tmp_path, compile):
    """The last kill comes after the last batch, before the epoch is over."""
    options = {"compile": compile, "callbacks": [EarlyStopping()]}
    assert_same(in_pieces(tmp_path, *[1] * (ALL - EPOCHS), **options), train(**options))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("compile", "after"),
    [
        ("auto", 1),
        *(
            pytest.param(*kind, marks=pytest.mark.thorough)
            for kind in itertools.product(["numba", "auto"], [1, 5, 7])
        ),
    ],
)
def test_machine_code_goes_on_bit_for_bit(tmp_path, compile, after, monkeypatch):
    """After one batch, only the first program of "auto" ran; the smaller last batch runs as NumPy calls."""
    pytest.importorskip("numba")
    monkeypatch.setattr(steps, "repays", lambda *counts: True)
    whole = train(compile=compile)
    assert whole[1].backend == "numba"
    assert_same(in_pieces(tmp_path, after, compile=compile), whole)


@pytest.mark.thorough
def test_a_training_by_machine_code_needs_machine_code_to_go_on(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(steps, "repays", lambda *counts: True)
    with pytest.raises(Killed):
        train(tmp_path, 3, compile="auto")
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    with pytest.raises(MissingExtraError, match="fast"):
        train(tmp_path, compile="auto")


# -- layers, losses and updates that remember something --------------------------------------------


class Image(tg.nn.Module):
    """Makes a small image of a row."""

    def forward(self, x):
        return np.reshape(x, (-1, 1, 3, 4))


class Recurrent(tg.nn.Module):
    """Reads three numbers at a time, and returns two outputs."""

    def __init__(self):
        self.layer, self.norm = tg.nn.GRU(4, 5, rng=0), tg.nn.BatchNorm1d(5)
        self.head, self.other = tg.nn.Linear(5, 3, rng=1), tg.nn.Linear(5, 1, rng=2)

    def forward(self, x):
        states, _ = self.layer(np.transpose(np.reshape(x, (-1, 3, 4)), (1, 0, 2)))
        return {"class": self.head(self.norm(states[-1])), "size": self.other(states[-1])}


def convolutional():
    nn = tg.nn
    block = nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=1), nn.BatchNorm2d(4), nn.ReLU()))
    return nn.Sequential(
        Image(), nn.Conv2d(1, 4, 3, padding=1, rng=0), nn.BatchNorm2d(4), block, nn.Dropout2d(0.2, rng=2),
        nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 3, rng=3),
    )  # fmt: skip


def two_losses(outputs, targets):
    return tg.nn.functional.cross_entropy(outputs["class"], targets) + 0.1 * np.mean(outputs["size"] ** 2)


def augmented():
    augment = tg.data.Augment("shift,elastic", rng=4)
    return tg.data.DataLoader((X.reshape(-1, 3, 4), Y), 16, shuffle=True, rng=1, augment=augment)


class Plateau(tg.optim.ReduceLROnPlateau):
    """One that is reached at once."""

    def __init__(self, optimizer):
        super().__init__(optimizer, patience=0, factor=0.5)


FEATURES = {
    "convolutions": lambda: {"make": convolutional, "schedule": "cosine"},
    "means of gradients": lambda: {"make": convolutional, "accumulate": 3, "clip_norm": 0.1},
    "averages": lambda: {"callbacks": [AverageWeights(0.9), EarlyStopping(1)]},
    "a plateau": lambda: {"schedule": Plateau},
    "several outputs": lambda: {"make": Recurrent, "loss": two_losses},
    "augmentation": lambda: {
        "make": lambda: tg.nn.Sequential(tg.nn.Flatten(), digits_model()),
        "data": augmented(),
    },
}


@pytest.mark.parametrize(
    ("after", "what", "compile"),
    [  # eager and compiled take turns; both where all are wanted
        pytest.param(after, what, compile, marks=pytest.mark.thorough if (after + j) % 2 else ())
        for after, what in enumerate(FEATURES, 6)
        for j, compile in enumerate([False, "numpy"])
    ],
)
def test_what_remembers_something_goes_on_bit_for_bit(tmp_path, what, after, compile):
    parts = in_pieces(tmp_path, after - 4, 4, compile=compile, **FEATURES[what]())
    assert_same(parts, train(compile=compile, **FEATURES[what]()))


def test_the_doctor_says_nothing_of_a_training_that_is_finished(tmp_path):
    said = []
    for _ in range(2):
        train(tmp_path, validation=None, callbacks=[tg.training.Doctor(said.append)])
    assert "learning-rate-too-high" not in [finding.code for finding in said]


# -- what is remembered ----------------------------------------------------------------------------


STOPS = {"schedule": "none", "validation": (X, (Y + 1) % 3), "callbacks": [EarlyStopping(1)]}


@pytest.mark.parametrize("after", [2, 4, 6, 9])
def test_early_stopping_goes_on(tmp_path, after):
    options = {"epochs": 8, **STOPS}
    whole = train(**options)
    assert whole[1].stopped
    assert_same(in_pieces(tmp_path, min(after, len(whole[1]) * BATCHES), **options), whole)


def test_a_training_that_stopped_early_stays_so_unless_more_is_asked_for(tmp_path):
    whole = train(tmp_path, epochs=8, **STOPS)
    assert_same(train(tmp_path, epochs=8, **STOPS), whole)
    assert len(train(tmp_path, epochs=9, **STOPS)[1]) > len(whole[1])


@pytest.mark.parametrize("compile", [False, "numpy"])
def test_without_validation_and_with_clipping(tmp_path, compile):
    options = {"validation": None, "clip_norm": 0.1, "compile": compile}
    assert_same(in_pieces(tmp_path, 4, 4, **options), train(**options))


def test_one_generator_for_everything(tmp_path):
    def options():
        rng = np.random.default_rng(7)
        noisy = tg.data.Dataset(X, Y, transform=lambda x: x + rng.normal(size=x.shape).astype(np.float32))
        return {"data": noisy, "rng": rng, "make": lambda: digits_model(rng=rng)}

    for after in (2, 7):
        with pytest.raises(Killed):
            train(tmp_path / str(after), after, **options())
        assert_same(train(tmp_path / str(after), **options()), train(**options()))


def test_generators_without_a_seed(tmp_path):
    """The second process has other generators and weights, and goes on with those of the first."""

    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def on_start(self, training):
            self.seen.append(training.model.state_dict()["0.weight"])

    watch, options = Watch(), {"make": lambda: digits_model(rng=None), "rng": None}
    with pytest.raises(Killed):
        train(tmp_path, 1, callbacks=[watch], **options)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes())
    assert_same(train(tmp_path, **options), train(tmp_path / "copy", **options))
    np.random.seed(0)  # noqa: NPY002


GLOBAL = np.random.default_rng(11)


class OwnLayer(tg.nn.Module):
    """Draws from a global variable, from NumPy's and Python's own generators, and from a bound method."""

    def __init__(self):
        self.inner = tg.nn.MLP([12, 8, 3], rng=0)
        self.draw = np.random.default_rng(12).random
        self.legacy = np.random.RandomState(13)
        self.mean = np.zeros(12, np.float32)
        self.register_buffer("mean", np.zeros(12, np.float32))

    def forward(self, x):
        if self.training:
            self.mean += np.mean(x, axis=0)
            numbers = GLOBAL.random(), np.random.random(), random.random(), self.draw(), self.legacy.rand()  # noqa: NPY002
            x = x * np.float32(1 + sum(numbers) / 10)
        return self.inner(x - self.mean / 1000)


def test_all_other_sources_of_random_numbers(tmp_path):
    def reset():
        np.random.seed(1)  # noqa: NPY002
        random.seed(2)
        GLOBAL.bit_generator.state = np.random.default_rng(11).bit_generator.state

    reset()
    whole = train(make=OwnLayer)
    reset()
    with pytest.raises(Killed):
        train(tmp_path, 7, make=OwnLayer)
    random.random()
    GLOBAL.random()
    assert_same(train(tmp_path, make=OwnLayer), whole)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_all_bit_generators(tmp_path, kind):
    def options():
        return {"rng": np.random.Generator(kind(3))}

    with pytest.raises(Killed):
        train(tmp_path, 7, **options())
    assert_same(train(tmp_path, **options()), train(**options()))


class Counting(Callback):
    """Remembers how many batches it saw, and makes the learning rate depend on it."""

    def __init__(self):
        self.count = 0

    def on_batch(self, training):
        self.count += 1
        training.optimizer.param_groups[0]["lr"] = 0.1 / self.count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_callbacks_of_ones_own_remember(tmp_path):
    def options():
        return {"schedule": "none", "callbacks": [Counting()]}

    with pytest.raises(Killed):
        train(tmp_path, 7, **options())
    assert_same(train(tmp_path, **options()), train(**options()))


class Backwards(tg.data.DataLoader):
    """A loader with an order of its own."""

    def __iter__(self):
        return iter(list(super().__iter__())[::-1])


def test_a_loader_with_an_order_of_its_own(tmp_path):
    def options():
        return {"data": Backwards((X, Y), 16, shuffle=True, rng=3)}

    with pytest.raises(Killed):
        train(tmp_path, 7, **options())
    assert_same(train(tmp_path, **options()), train(**options()))


def test_what_the_optimizer_learns_besides_the_model(tmp_path):
    def options():
        model, scale = digits_model(), tg.tensor(np.float32(1.5), requires_grad=True)
        loss = tg.nn.CrossEntropyLoss()
        optimizer = tg.optim.Adam([*model.parameters(), scale], lr=0.05)
        return {"make": lambda: model, "optimizer": optimizer, "loss": lambda a, b: loss(a * scale, b)}

    with pytest.raises(Killed):
        train(tmp_path, 7, **options())
    assert_same(train(tmp_path, **options()), train(**options()))


@pytest.mark.parametrize(("batch", "rest"), [(17, 1), (2060, 5)])
def test_parameters_lie_in_memory_as_before(tmp_path, batch, rest):
    """Programs put a weight in another order for one row, few rows and many rows; the first batch decides.

    The process that goes on begins with the last batch, which has another number of rows.
    """
    x, y = np.resize(X, (batch + rest, 12)), np.resize(Y, batch + rest)
    options, after = {"data": (x, y), "batch_size": batch, "compile": True}, 2
    whole = train(**options)
    parts = in_pieces(tmp_path, after, 1, **options)
    assert_same(parts, whole)
    for a, b in zip(parts[0].parameters(), whole[0].parameters(), strict=True):
        assert a.data.strides == b.data.strides


def test_eager_training_of_transposed_weights(tmp_path):
    """A model that was compiled before is trained further: its weights stay in the order of the program."""
    folder = tmp_path / "first"
    first, _ = train(folder, compile=True)
    assert not first[0].weight.data.flags.c_contiguous
    whole = train(make=lambda: train(compile=True)[0])
    with pytest.raises(Killed):
        train(tmp_path, 7, make=lambda: train(compile=True)[0])
    resumed = train(tmp_path)
    assert_same(resumed, whole)
    assert resumed[0][0].weight.data.strides == whole[0][0].weight.data.strides


def test_more_epochs(tmp_path):
    options = {"schedule": "none"}
    train(tmp_path, epochs=2, **options)
    assert_same(train(tmp_path, epochs=4, **options), train(epochs=4, **options))
    with pytest.raises(RunError, match="4 epochs already"):
        train(tmp_path, epochs=3, **options)
    rates = train(tmp_path, epochs=5, schedule="none")[1]["lr"]
    assert len(rates) == 5


def test_more_epochs_with_a_schedule_follow_the_longer_schedule(tmp_path):
    train(tmp_path, epochs=2, schedule="cosine")
    rates = train(tmp_path, epochs=4, schedule="cosine")[1]["lr"]
    longer = train(epochs=4, schedule="cosine")[1]["lr"]
    assert rates[2:] == longer[2:]
    assert rates[1] != longer[1]


def test_nothing_is_left_to_do(tmp_path):
    whole = train(tmp_path, callbacks=[EarlyStopping()])
    assert_same(train(tmp_path, callbacks=[EarlyStopping()]), whole)


def test_a_resumed_epoch_that_fails_goes_back_to_its_beginning(tmp_path):
    class Explode(Callback):
        def on_batch(self, training):
            if (training.epoch, training.batch) == (2, 4):
                training.optimizer.param_groups[0]["lr"] = 1e30

    options = {"schedule": "none", "optimizer": "sgd", "callbacks": [Explode()]}
    weights = []
    for after in ((), (7,)):
        model = digits_model()
        for kill in after:
            with pytest.raises(Killed):
                train(tmp_path, kill, make=digits_model, **options)
        with pytest.raises(tg.errors.NonFiniteError):
            train(tmp_path if after else None, make=lambda model=model: model, **options)
        weights.append(model.state_dict())
    for name, value in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], value)


# -- what is refused -------------------------------------------------------------------------------

OTHERS = {
    "the model": {"make": lambda: digits_model(activation="tanh")},
    "the loss": {"loss": "mse", "data": (X, np.eye(3, dtype=np.float32)[Y]), "validation": None},
    "the optimizer": {"optimizer": "sgd"},
    "the schedule": {"schedule": "none"},
    "clip_norm": {"clip_norm": 1.0},
    "compile": {"compile": True},
    "the batches": {"batch_size": 15},
    "the data": {"data": (X[::-1], Y)},
    "the validation data": {"validation": (X[:20], Y[:20])},
    "the metrics": {"metrics": {"size": lambda targets, outputs: len(targets)}},
    "the callbacks": {"callbacks": [EarlyStopping()]},
    "the loss.*cross_entropy.label_smoothing=0.1": {
        "loss": partial(tg.nn.functional.cross_entropy, label_smoothing=0.1)
    },
    "the augmentation": {
        "data": tg.data.DataLoader((X, Y), 16, shuffle=True, rng=1, augment=tg.data.Augment("shift"))
    },
    "the model was .*": {"make": lambda: frozen(digits_model())},
}


def frozen(model):
    model[0].weight.requires_grad = False
    return model


@pytest.mark.parametrize("what", OTHERS)
def test_another_training_is_refused(tmp_path, what):
    train(tmp_path, epochs=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    model = OTHERS[what].get("make", digits_model)()
    weights = model.state_dict()
    with pytest.raises(RunError, match=f"holds another training: .*{what}"):
        train(tmp_path, **{**OTHERS[what], "make": lambda: model})
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, weights[name])


def test_another_schedule_of_the_same_kind_is_refused(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, 3)
    with pytest.raises(RunError, match=r"the schedule was OneCycleLR.*pct_start=0\.3.*pct_start=0\.5"):
        train(tmp_path, schedule=partial(tg.optim.OneCycleLR, pct_start=0.5))


def test_data_that_changed_anywhere_are_refused(tmp_path):
    x, y = np.tile(X, (20, 1)), np.tile(Y, 20)
    train(tmp_path, epochs=1, data=(x, y), batch_size=500)
    x[1001, 3] += 1
    with pytest.raises(RunError, match="the data was"):
        train(tmp_path, data=(x, y), batch_size=500)


def test_other_averages_are_refused(tmp_path):
    train(tmp_path, epochs=1, callbacks=[AverageWeights(0.9)])
    with pytest.raises(RunError, match=r"decay is 0\.5, but 0\.9"):
        train(tmp_path, callbacks=[AverageWeights(0.5)])


def test_code_that_changed_warns(tmp_path):
    """A comment may change; a person may also want to go on with code that was mended."""

    def loss_of(text):
        names = {"F": tg.nn.functional, "__name__": "mine"}
        exec(f"def loss(outputs, targets):\n    {text}", names)
        return names["loss"]

    train(tmp_path, epochs=1, loss=loss_of("return F.cross_entropy(outputs, targets)"))
    train(
        tmp_path, epochs=2, loss=loss_of("'Measure.'\n\n    return F.cross_entropy(outputs, targets)  # nats")
    )
    with pytest.warns(UserWarning, match=r"goes on with another version of loss \(Python"):
        train(tmp_path, epochs=3, loss=loss_of("return 2 * F.cross_entropy(outputs, targets)"))


def test_another_library_warns(tmp_path, monkeypatch):
    train(tmp_path, epochs=1)
    monkeypatch.setattr(np, "__version__", "9.9")
    with pytest.warns(UserWarning, match="another version of NumPy than before"):
        train(tmp_path)


def test_other_generators_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    train(tmp_path, epochs=1, rng=rng, make=lambda: digits_model(rng=rng))
    with pytest.raises(RunError, match=r"Generators.*train\.rng"):
        train(tmp_path, rng=0, make=lambda: digits_model(rng=np.random.default_rng(0)))


def test_early_stopping_with_another_measure_is_refused(tmp_path):
    train(tmp_path, epochs=1, callbacks=[EarlyStopping()])
    with pytest.raises(RunError, match="validation_accuracy"):
        train(tmp_path, callbacks=[EarlyStopping(monitor="validation_accuracy")])
    with pytest.raises(StateDictError):
        EarlyStopping().load_state_dict({"monitor": "train_loss", "best_epoch": 1, "best_weights": None})


def test_a_training_without_a_checkpoint_is_not_overwritten(tmp_path):
    train(callbacks=[Checkpoint(tmp_path)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match="without checkpoint"):
        train(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("every", [0, -1, float("nan")])
def test_impossible_intervals(tmp_path, every):
    with pytest.raises(OptionError, match="checkpoint_every"):
        train(tmp_path, checkpoint_every=every)


def test_damaged_checkpoints(tmp_path):
    train(tmp_path, epochs=1, callbacks=[EarlyStopping()])
    path = tmp_path / CHECKPOINT
    whole, state = path.read_bytes(), tg.load(path)
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=CHECKPOINT):
            train(tmp_path, callbacks=[EarlyStopping()])
    for part in state:
        tg.save({name: value for name, value in state.items() if name != part}, path)
        with pytest.raises((DataError, RunError), match=CHECKPOINT):
            train(tmp_path, callbacks=[EarlyStopping()])
    path.write_bytes(whole)
    train(tmp_path, callbacks=[EarlyStopping()])


# -- disks and signals -----------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch, broken):
    """The disk is full from the second epoch on, and has space again in the third."""
    whole, found = train(schedule="none", epochs=4), []

    class Fill(Callback):
        def on_epoch(self, training):
            if training.epoch == 2:
                self.before = (tmp_path / CHECKPOINT).read_bytes()
                fail = pytest.MonkeyPatch()
                fail.setattr(
                    *{
                        "write": (files.tempfile, "mkstemp"),
                        "fsync": (os, "fsync"),
                        "replace": (Path, "replace"),
                    }[broken],
                    self.full,
                )
                self.fail = fail
            elif training.epoch == 3:
                self.fail.undo()
                found.append((tmp_path / CHECKPOINT).read_bytes() == self.before)

        def full(self, *args, **settings):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.warns(UserWarning, match="No space left.*"):
        result = train(tmp_path, schedule="none", epochs=4, callbacks=[Fill()], checkpoint_every=SELDOM)
    assert found == [True]
    assert_same(result, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT]
    assert_same(train(tmp_path, schedule="none", epochs=4), whole)


def test_a_full_disk_at_the_end_is_an_error(tmp_path, monkeypatch):
    saved = Checkpoint(tmp_path)

    def full(*args, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Fill(Callback):
        def on_epoch(self, training):
            monkeypatch.setattr(os, "fdopen", full)

    with (
        pytest.raises(OSError, match="No space left"),
        pytest.warns(UserWarning, match="epoch 1 was not saved"),
    ):
        train(epochs=1, callbacks=[Fill(), saved])


class Signal(Callback):
    """Sends this process a signal in some batch."""

    def __init__(self, number, at):
        self.number, self.at = number, at

    def on_batch(self, training):
        if (training.epoch, training.batch) == self.at:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("at", [(1, 1), (2, 3), (2, BATCHES), (EPOCHS, BATCHES)])
def test_ctrl_c_loses_nothing(tmp_path, at):
    """The batch that is running ends, and the checkpoint is that of this batch."""
    options = {"checkpoint_every": SELDOM, "callbacks": [Checkpoint(tmp_path / "saved")]}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **{**options, "callbacks": [*options["callbacks"], Signal(signal.SIGINT, at)]})
    state = tg.load(tmp_path / CHECKPOINT)
    done = epochs_in(tmp_path) * BATCHES + state["within"].get("batch", 0)
    assert done == (at[0] - 1) * BATCHES + at[1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(train(tmp_path, **options), train())


def test_ctrl_c_while_saving_loses_nothing(tmp_path, monkeypatch):
    """However often it comes: at every call in which a file is written."""
    synced = os.fsync

    def interrupted(handle):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        synced(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    for done in range(EPOCHS):  # the first checkpoint, and that of each epoch but the last
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, checkpoint_every=SELDOM)
        assert epochs_in(tmp_path) == done
    monkeypatch.undo()
    assert_same(train(tmp_path), train())


def test_a_second_ctrl_c_comes_at_once(tmp_path):
    class Impatient(Callback):
        def on_batch(self, training):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it did not come")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[Impatient()])


def test_handlers_of_ones_own_are_called_after_the_batch(tmp_path):
    """A handler that only notes the signal lets training go on."""
    noted = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    try:
        assert_same(train(tmp_path, callbacks=[Signal(signal.SIGTERM, (2, 2))]), train())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted == [signal.SIGTERM]


def test_other_threads_train_too(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert_same(results[0], train())


# -- folders ---------------------------------------------------------------------------------------


def test_a_folder_belongs_to_one(tmp_path):
    refused = []

    def other():
        try:
            train(tmp_path)
        except RunError as error:
            refused.append(str(error))

    with claim(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        train(tmp_path)  # the thread that has it may
    assert len(refused) == 1
    assert str(os.getpid()) in refused[0]
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_folder_that_cannot_be_written(tmp_path):
    """For root no folder is read-only, so something else is in the way."""
    (tmp_path / ".lock").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be written: .*copy its folder"):
        train(tmp_path)
    with (
        pytest.raises(RunError, match="cannot be written: Not a directory"),
        claim(tmp_path / "file" / "run"),
    ):
        pass
    with pytest.raises(RunError, match="cannot be written"):
        make_folder(tmp_path / "file", "run")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:os.fork")  # JAX, if it was imported, fears for its threads
def test_a_fork_does_not_inherit_a_folder(tmp_path):
    with claim(tmp_path):
        child = multiprocessing.get_context("fork").Process(target=_claim_or_exit, args=(tmp_path,))
        child.start()
        child.join()
    assert child.exitcode == 3


def _claim_or_exit(folder):
    try:
        with claim(folder):
            pass
    except RunError:
        os._exit(3)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / f".{CHECKPOINT}.x1y2.unfinished").write_bytes(b"half")
    (tmp_path / ".mine").write_bytes(b"mine")
    train(tmp_path, epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine", CHECKPOINT]


def test_seconds_add_up(tmp_path):
    first = train(tmp_path, epochs=2, schedule="none")[1].seconds
    second = train(tmp_path, epochs=3, schedule="none")[1].seconds
    assert 0 < first < second
    assert History().seconds == 0
