"""What test_parallel.py runs in several processes: ``mpiexec -n 2 python together.py CASE …``; all cases without names.

Every process runs every case. An assertion that fails ends them all with its traceback. After the last case, the last
process dies of an error of its own, which must end them all, too.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import NonFiniteError, OptionError, RunError
from tinygrad_mnist.training import AverageWeights, Callback, EarlyStopping, identity
from tinygrad_mnist.training.parallel import Parallel

#: 61 examples in batches of 16: the last batch has 13, so shares differ.
X = np.random.default_rng(0).random((61, 6))
Y = np.random.default_rng(1).integers(0, 3, 61)
COMPILE = (False, "numpy")
TOGETHER = Parallel.start("mpi") if __name__ == "__main__" else Parallel()
RANK, SIZE = TOGETHER.rank, TOGETHER.size


def digest(model):
    """A checksum of all weights and buffers."""
    return hashlib.sha256(b"".join(array.tobytes() for array in model.state_dict().values())).hexdigest()


def fit(model, data=(X, Y), *, parallel="mpi", **options):
    """Train; return the model and its history."""
    settings = {"epochs": 3, "batch_size": 16, "rng": 5, "progress": False, "validation": (X[:20], Y[:20])}
    settings |= {"optimizer": lambda params: optim.AdamW(params, lr=0.02, weight_decay=0.1), **options}
    history = tg.training.fit(model, data, parallel=parallel, **settings)
    if parallel:
        everyones = TOGETHER.gather((digest(model), history.to_jsonl()))
        assert everyones == everyones[:1] * SIZE, "the model and the history are not the same everywhere"
    return model, history


def require_as_alone(make, **options):
    """Train together and alone: both give the same, within rounding."""
    extra = options.pop("callbacks", list)
    (model, history), (alone, expected) = (
        fit(make(), parallel=parallel, callbacks=extra(), **options) for parallel in ("mpi", None)
    )
    for (name, a), (_, b) in zip(model.state_dict().items(), alone.state_dict().items(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=name)
    assert len(history) == len(expected)
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-7)


def mlp(**options):
    return nn.MLP([6, 8, 3], rng=0, dtype=np.float64, **options)


# -- the same as one process -----------------------------------------------------------------------


def case_the_same_as_alone():
    for compile in COMPILE:
        require_as_alone(
            mlp,
            compile=compile,
            loss=nn.CrossEntropyLoss(label_smoothing=0.1),
            schedule=optim.OneCycleLR,
            clip_norm=0.3,
            metrics={"share": lambda targets, outputs: np.mean(outputs.argmax(1) == targets)},
            callbacks=lambda: [EarlyStopping(2), AverageWeights(0.8)],
        )


def case_accumulated():
    for compile in COMPILE:
        require_as_alone(mlp, compile=compile, accumulate=3, clip_norm=0.3)


def case_single_precision_and_machine_code():
    pytest.importorskip("numba")
    model, _ = fit(mlp().astype(np.float32), (X.astype(np.float32), Y), compile="numba")
    alone, _ = fit(mlp().astype(np.float32), (X.astype(np.float32), Y), compile="numba", parallel=None)
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-3, atol=1e-4)


class Odd(nn.Module):
    """Two outputs, one of them complex inside; a frozen parameter, and one that is never used."""

    def __init__(self):
        self.body = nn.Linear(6, 4, rng=0, dtype=np.float64)
        self.head = nn.Linear(4, 3, rng=1, dtype=np.float64)
        self.turn = nn.Parameter(np.ones(4) + 1j, dtype=np.complex128)
        self.narrow = nn.Parameter(np.ones(4), dtype=np.float16)
        self.frozen = nn.Parameter(np.ones(4), dtype=np.float64)
        self.frozen.requires_grad = False
        self.unused = nn.Parameter(np.ones(4), dtype=np.float64)

    def forward(self, x):
        hidden = np.tanh(self.body(x)) * self.frozen
        turned = np.real(hidden * self.turn) * self.narrow
        return {"logits": self.head(turned), "size": np.mean(hidden**2, axis=1)}


def odd_loss(output, y):
    return nn.functional.cross_entropy(output["logits"], y) + 0.1 * np.mean(output["size"])


def case_odd_models():
    def make(params):
        first, *others = params
        groups = [{"params": [first], "lr": 0.05}, {"params": others}]
        return optim.AdamW(groups, lr=0.01, weight_decay=0.5)

    for compile in COMPILE:
        model, _ = fit(Odd(), loss=odd_loss, optimizer=make, compile=compile, validation=None)
        alone, _ = fit(Odd(), loss=odd_loss, optimizer=make, compile=compile, validation=None, parallel=None)
        for (name, a), (_, b) in zip(model.named_parameters(), alone.named_parameters(), strict=True):
            tolerance = 0.01 if name == "narrow" else 1e-3  # half precision rounds what follows from it
            np.testing.assert_allclose(a.data, b.data, rtol=tolerance, err_msg=name)
        assert (model.unused.data == 1).all()  # no decay either: it has no gradient


# -- what is each process's own ----------------------------------------------------------------------


def normed():
    return nn.Sequential(
        nn.Linear(6, 8, rng=0), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3, rng=4), nn.Linear(8, 3, rng=1)
    ).astype(np.float64)


def case_running_statistics_are_those_of_the_first():
    class Look(Callback):
        def on_batch(self, training):
            self.last = np.array(training.model[1].running_mean)

    look = Look()
    model, _ = fit(normed(), callbacks=[look])
    lasts = TOGETHER.gather(look.last)
    assert not np.array_equal(lasts[0], lasts[1])
    np.testing.assert_array_equal(model[1].running_mean, lasts[0])


class Counted(nn.Module):
    """Buffers that are numbers, and a layer that only the first process uses."""

    def __init__(self):
        self.layer, self.extra = nn.Linear(6, 3, rng=0, dtype=np.float64), nn.Parameter(np.ones(3))
        self.register_buffer("steps", np.array(0))
        self.register_buffer("mean", np.array(0.0))

    def forward(self, x):
        if self.training:
            self.steps, self.mean = self.steps + 1, self.mean * 0.9 + np.mean(np.asarray(x))
        return self.layer(x) * (1 if RANK else self.extra)


def case_numbers_as_buffers_and_layers_that_not_all_use():
    model, _ = fit(Counted())
    assert model.steps == 3 * 4
    assert (model.extra.data != 1).all()


def case_dropout_is_seeded_and_differs():
    class Look(Callback):
        def on_start(self, training):
            self.states = []

        def on_batch(self, training):
            self.states.append(repr(training.model[3].rng.bit_generator.state))

    looks = Look(), Look()
    first, second = (fit(normed(), callbacks=[look])[0] for look in looks)
    assert digest(first) == digest(second)
    assert looks[0].states == looks[1].states
    for epoch in range(3):  # the shares of the first batch are equally large
        assert len({*TOGETHER.gather(looks[0].states[4 * epoch])}) == SIZE


def case_one_generator_for_everything():
    """The order is the same everywhere, although layers draw from the same generator."""
    rng = np.random.default_rng(3)
    seen = []

    class Look(Callback):
        def on_epoch(self, training):
            seen.append(training.history[-1]["train_loss"])

    data = tg.data.DataLoader((X, np.arange(61) % 3), 16, shuffle=True, rng=rng)
    taken = []
    batch = data.dataset.batch
    data.dataset.batch = lambda rows, augment: (taken.append(rows), batch(rows, augment))[1]
    model = nn.Sequential(nn.Dropout(0.2, rng=rng), nn.Linear(6, 3, rng=0)).astype(np.float64)
    fit(model, data, callbacks=[Look()], epochs=2)
    everyones = [np.concatenate(rows) for rows in zip(*TOGETHER.gather(taken), strict=True)]
    for epoch in (everyones[:4], everyones[4:]):
        assert sorted(np.concatenate(epoch)) == [*range(61)]


def case_the_first_gives_the_weights():
    """Models and random numbers that nobody has seeded become the first process's."""
    model = nn.MLP([6, 8, 3], rng=np.random.default_rng(RANK), dtype=np.float64)
    fit(model, rng=None)


def case_only_the_first_watches():
    class Watch(Callback):
        only_watches, count = True, 0

        def on_epoch(self, training):
            self.count += 1

    watch = Watch()
    fit(mlp(), callbacks=[watch])
    assert TOGETHER.gather(watch.count) == [3] + [0] * (SIZE - 1)


# -- ends ------------------------------------------------------------------------------------------


def case_stopping_together():
    class Stop(Callback):
        def on_epoch(self, training):
            if RANK == SIZE - 1:
                training.stop = "enough"

    _, history = fit(mlp(), callbacks=[Stop()])
    assert (len(history), history.stopped) == (1, "enough")


def case_a_bad_number_in_one_share():
    x = X.copy()
    x[60] = np.nan
    for compile in COMPILE:
        for accumulate in (1, 3):
            model = mlp()
            before = digest(model)
            with pytest.raises(NonFiniteError, match="the loss became nan in epoch 1"):
                fit(model, (x, Y), compile=compile, accumulate=accumulate)
            assert digest(model) == before


def case_weights_that_drift():
    class Nudge(Callback):
        def on_batch(self, training):
            if RANK == SIZE - 1:
                with tg.no_grad():
                    next(training.model.parameters())[0, 0] += 1e-3

    with pytest.raises(RunError, match=f"the weights of process {SIZE - 1} are no longer those of process 0"):
        fit(mlp(), callbacks=[Nudge()])


class Signal(Callback):
    """Sends a signal to one process, the last, in the middle of an epoch."""

    def __init__(self, epoch, batch, rank=SIZE - 1):
        self.when, self.rank = (epoch, batch), rank

    def on_batch(self, training):
        self.last = training.epoch, training.batch
        if self.last == self.when and self.rank == RANK:
            signal.raise_signal(signal.SIGINT)


def case_a_signal_to_one_stops_all_and_the_training_goes_on():
    for compile in COMPILE:
        for accumulate in (1, 2):
            options = {"compile": compile, "accumulate": accumulate, "checkpoint_every": 1e9}
            whole, expected = fit(normed(), callbacks=[EarlyStopping()], **options)
            folder = TOGETHER.share(tempfile.mkdtemp())
            for when in ((1, 1), (2, 2)):
                interrupt = Signal(*when)
                with pytest.raises(KeyboardInterrupt):
                    fit(normed(), callbacks=[EarlyStopping(), interrupt], resume=folder, **options)
                assert interrupt.last == (when[0], when[1] + (1 if accumulate == 1 or when[1] == 1 else 2))
            model, history = fit(normed(), callbacks=[EarlyStopping()], resume=folder, **options)
            assert history.to_jsonl() == expected.to_jsonl()
            assert digest(model) == digest(whole)


def case_going_on_alone():
    """A training of several processes goes on in one, and the other way round."""
    folder = Path(TOGETHER.share(tempfile.mkdtemp()))
    expected, _ = fit(mlp(), parallel=None, epochs=4)
    fit(mlp(), resume=folder, epochs=1)
    if not RANK:
        fit(mlp(), parallel=None, resume=folder, epochs=2, accumulate=1)
    TOGETHER.gather(None)
    model, _ = fit(mlp(), resume=folder, epochs=4)
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-7)


def case_going_on_in_the_middle_of_a_group():
    """What one process has added up until then counts once."""
    folder = Path(TOGETHER.share(tempfile.mkdtemp()))
    expected, _ = fit(mlp(), parallel=None, accumulate=3)
    if not RANK:
        interrupt = Signal(2, 2, rank=0)
        with pytest.raises(KeyboardInterrupt):
            fit(mlp(), parallel=None, accumulate=3, resume=folder, callbacks=[interrupt])
    TOGETHER.gather(None)
    model, _ = fit(mlp(), accumulate=3, resume=folder)
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-7)


# -- what is refused -------------------------------------------------------------------------------


def case_different_data_settings_and_versions():
    last = RANK == SIZE - 1
    other = X.copy()
    other[3, 3] += 1
    for name, options in {
        "the data": {"data": (other, Y)},
        "the validation data": {"validation": None},
        "the number of epochs": {"epochs": 4},
        "the optimizer": {"optimizer": "sgd"},
        "the loss": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
        "clip_norm": {"clip_norm": 1.0},
        "compile": {"compile": True},
        "the callbacks": {"callbacks": [EarlyStopping()]},
    }.items():
        with pytest.raises(RunError, match=f"given the same: {name}: .* in process {SIZE - 1}, but"):
            fit(mlp(), **(options if last else {}))
    with pytest.raises(RunError, match="the model: "):
        fit(mlp(dropout=0.1) if last else mlp())
    with pytest.MonkeyPatch.context() as patch:
        if last:
            patch.setattr(identity.np, "__version__", "0.1")
        with pytest.raises(RunError, match=r"given the same: NumPy: 0\.1"):
            fit(mlp())


def case_batches_that_cannot_be_shared():
    class Backwards(tg.data.DataLoader):
        def __iter__(self):
            return reversed([*super().__iter__()])

    class Foreign:
        dataset, batch_size = [(x, y) for x, y in zip(X, Y, strict=True)], 16

        def __len__(self):
            return 4

        def __iter__(self):
            return iter([(X[:16], Y[:16])] * 4)

    for loader in (Backwards((X, Y), 16), Foreign()):
        with pytest.raises(OptionError, match="an order of its own"):
            fit(mlp(), loader)
    for loss in (nn.CrossEntropyLoss(reduction="sum"), partial(nn.functional.cross_entropy, reduction="sum")):
        with pytest.raises(OptionError, match="reduction='sum'"):
            fit(mlp(), loss=loss)
    with pytest.raises(OptionError, match=f"a batch of 1 cannot be shared by {SIZE} processes"):
        fit(mlp(), batch_size=60)


CASES = {name.removeprefix("case_"): f for name, f in list(globals().items()) if name.startswith("case_")}


def main():
    for name in sys.argv[1:] or CASES:
        CASES[name]()
        if not RANK:
            print(name, flush=True)
    TOGETHER.gather(None)
    if RANK == SIZE - 1:
        raise ArithmeticError("the last process has a fault")
    TOGETHER.gather(None)  # would wait for ever


if __name__ == "__main__":
    main()
