"""Twenty broken trainings, each with one fault of :data:`~tinygrad_mnist.training.doctor.FAULTS`, and mended ones.

The page ``tinygrad-mnist play`` and ``docs/broken_trainings.md`` show them. All of them learn digits of the sample
of MNIST, or a curve, in a few seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import data, nn, optim
from ..errors import NonFiniteError
from ..graph import no_grad
from ..nn import functional as F  # noqa: N812
from ..typing import NDArray
from .callbacks import Callback, Training
from .doctor import Doctor, Finding, diagnose
from .loop import fit

__all__ = ["BROKEN", "Broken"]

Settings = dict[str, Any]


class Broken(NamedTuple):
    """A broken training.

    Attributes
    ----------
    code : str
        The fault, as the doctor calls it.
    title : str
        What somebody did, in a few words.
    looks : str
        What the curve looks like.
    make : callable
        ``make(False)`` returns the arguments of :func:`fit`, by name, and ``make(True)`` those of the mended training.
    in_time : bool
        Whether the fault shows only while it trains.
    """

    code: str
    title: str
    looks: str
    make: Callable[[bool], Settings]
    in_time: bool = False

    def findings(self, *, mended: bool = False) -> list[Finding]:
        """Ask the doctor."""
        settings = self.make(mended)
        model, train = settings.pop("model"), settings.pop("train")
        if self.in_time:
            doctor = Doctor(say=lambda finding: None)
            with contextlib.suppress(NonFiniteError):
                fit(model, train, rng=0, progress=False, callbacks=doctor, **settings)
            return doctor.findings
        settings = {key: settings[key] for key in ("loss", "optimizer", "validation") if key in settings}
        return diagnose(model, train, **settings)

    def losses(self, *, mended: bool = False) -> NDArray:
        """Train, and return the loss of each batch; for a training with validation data, that of each epoch."""
        settings = self.make(mended)
        watch = _Losses()
        with contextlib.suppress(NonFiniteError), np.errstate(all="ignore"):
            history = fit(
                settings.pop("model"),
                settings.pop("train"),
                rng=0,
                progress=False,
                callbacks=watch,
                **settings,
            )
            if "validation" in settings:
                return np.array([row["validation_loss"] for row in history])
        return np.array(watch.losses)

    def unseen(self, train: Any) -> data.Dataset | None:
        """Digits to test the training with, as it gets its own; None if it learns no digits.

        Parameters
        ----------
        train : (inputs, targets) or DataLoader
            What ``make`` has made.
        """
        x = train.dataset.inputs if isinstance(train, data.DataLoader) else train[0]
        if x.shape[1] != 784:
            return None
        _, test = data.load_mnist("sample")
        return data.Dataset(
            test.inputs,
            test.targets,
            transform=_as_bytes if x.max() > 1 else test.transform,
            classes=test.classes,
        )


def _as_bytes(images: NDArray) -> NDArray:
    """Images as vectors of numbers from 0 to 255."""
    return images.reshape(len(images), -1).astype(np.float32)


class _Losses(Callback):
    only_watches = True

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_batch(self, training: Training) -> None:
        self.losses.append(training.loss)


#: The trainings by the code of their fault.
BROKEN: dict[str, Broken] = {}


Make = Callable[[bool], Settings]


def _broken(code: str, title: str, looks: str, in_time: bool = False) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        BROKEN[code] = Broken(code, title, looks, make, in_time)
        return make

    return keep


# -- what they learn ------------------------------------------------------------------------------------------------


def _digits(n: int = 1000) -> tuple[NDArray, NDArray]:
    train, _ = data.load_mnist("sample")
    x, y = train[:n]
    return x.reshape(n, -1), y


def _wave(n: int = 300) -> tuple[NDArray, NDArray]:
    x = np.random.default_rng(3).uniform(-3, 3, (n, 1))
    return x.astype(np.float32), np.sin(2 * x).astype(np.float32)


def _mlp(*end: nn.Module, **settings: Any) -> nn.Module:
    model = nn.MLP([784, 64, 10], rng=0, **settings)
    return nn.Sequential(model, *end) if end else model


def _change(p: Any, change: Callable[[NDArray], NDArray]) -> None:
    with no_grad():
        p[...] = change(np.array(p.data))


def _of(model: nn.Module, train: Any = None, optimizer: Any = None, **rest: Any) -> Settings:
    return {
        "model": model,
        "train": _digits() if train is None else train,
        "optimizer": partial(optim.Adam, lr=1e-3) if optimizer is None else optimizer,
        "epochs": 5,
        **rest,
    }


def _sgd(lr: float, **settings: Any) -> Any:
    return partial(optim.SGD, lr=lr, **settings)


# -- the end of the network -----------------------------------------------------------------------------------------


@_broken(
    "softmax-twice",
    "a softmax before a loss that has its own",
    "The loss falls, slowly, and cannot come below 1.46.",
)
def _softmax_twice(mended: bool) -> Settings:
    return _of(_mlp() if mended else _mlp(nn.Softmax()))


@_broken(
    "relu-on-output",
    "a ReLU after the last layer",
    "The loss falls for a while; classes whose unit is always 0 are never predicted.",
)
def _relu_on_output(mended: bool) -> Settings:
    return _of(_mlp() if mended else _mlp(nn.ReLU()), optimizer=_sgd(0.1))


@_broken(
    "logits-as-probabilities",
    "the likelihood of numbers that are no probabilities",
    "The loss is negative, and falls without end.",
)
def _logits_as_probabilities(mended: bool) -> Settings:
    def loss(output: Any, target: Any) -> Any:
        picked = (F.log_softmax(output) if mended else output)[np.arange(len(target)), target]
        return -np.mean(picked)

    return _of(_mlp(), loss=loss)


@_broken(
    "broadcast-in-loss",
    "a column minus a row",
    "The loss stops at the variance of the targets: the best answer to all of them at once is their mean.",
)
def _broadcast_in_loss(mended: bool) -> Settings:
    x, y = _wave()

    def loss(output: Any, target: Any) -> Any:
        return np.mean((output - target) ** 2)

    model = nn.MLP([1, 32, 32, 1], activation="tanh", rng=0)
    return _of(model, (x, y if mended else y[:, 0]), partial(optim.Adam, lr=5e-3), loss=loss, epochs=60)


@_broken(
    "sum-for-mean",
    "the sum over the batch in place of the mean",
    "Steps are 64 times too long: the loss jumps and does not fall.",
)
def _sum_for_mean(mended: bool) -> Settings:
    loss = nn.CrossEntropyLoss(reduction="mean" if mended else "sum")
    return _of(_mlp(), optimizer=_sgd(0.1), loss=loss)


# -- the data -------------------------------------------------------------------------------------------------------


@_broken(
    "inputs-not-scaled",
    "pixels from 0 to 255",
    "The first losses are far above ln 10 = 2.3; then units are dead, and the loss stays there.",
)
def _inputs_not_scaled(mended: bool) -> Settings:
    x, y = _digits()
    return _of(_mlp(), (x if mended else x * 255, y), _sgd(0.01, momentum=0.9))


@_broken(
    "labels-out-of-step",
    "inputs shuffled without their labels",
    "The training loss falls, because labels can be learned by heart; new images are guessed.",
)
def _labels_out_of_step(mended: bool) -> Settings:
    x, y = _digits()
    return _of(_mlp(), (x if mended else np.random.default_rng(0).permutation(x), y))


@_broken(
    "class-imbalance",
    "one class in nearly all samples",
    "The loss is low after a few batches: to say the frequent class every time is nearly always right.",
)
def _class_imbalance(mended: bool) -> Settings:
    x, y = _digits(4000)
    keep = (y == 1) | (np.arange(len(y)) % (1 if mended else 60) == 0)
    return _of(_mlp(), (x[keep], y[keep]))


@_broken(
    "data-not-shuffled",
    "all zeros first, then all ones, …",
    "The loss looks like saw teeth: each class is learned, and forgotten with the next one.",
)
def _data_not_shuffled(mended: bool) -> Settings:
    x, y = _digits()
    order = np.argsort(y, kind="stable")
    return _of(_mlp(), data.DataLoader((x[order], y[order]), 32, shuffle=mended, rng=0))


# -- the model ------------------------------------------------------------------------------------------------------


@_broken(
    "missing-nonlinearity",
    "two layers with nothing between them",
    "The network learns no more than one layer could: a sine becomes a line.",
)
def _missing_nonlinearity(mended: bool) -> Settings:
    between = [nn.Tanh()] if mended else []
    model = nn.Sequential(nn.Linear(1, 64, rng=0), *between, nn.Linear(64, 1, rng=1))
    return _of(model, _wave(), partial(optim.Adam, lr=2e-2), loss="mse", epochs=60)


@_broken(
    "equal-weights",
    "all weights zero",
    "The loss stays at ln 10 = 2.3: no unit becomes different from the others.",
)
def _equal_weights(mended: bool) -> Settings:
    model = _mlp()
    for p in model.parameters():
        if not mended:
            _change(p, np.zeros_like)
    return _of(model, optimizer=_sgd(0.1))


@_broken(
    "weights-too-large",
    "weights from a standard normal distribution",
    "The first loss is huge, and much of the training repairs it.",
)
def _weights_too_large(mended: bool) -> Settings:
    model, rng = _mlp(), np.random.default_rng(0)
    for p in model.parameters():
        if not mended and p.ndim > 1:
            _change(p, lambda w: np.asarray(rng.standard_normal(w.shape)))
    return _of(model, optimizer=_sgd(0.02))


@_broken(
    "dead-units",
    "biases of -10 before a ReLU",
    "The loss stays at ln 10 = 2.3: all hidden units give 0, and no gradient comes through.",
)
def _dead_units(mended: bool) -> Settings:
    model = _mlp()
    if not mended:
        _change(list(model.parameters())[1], lambda b: b - 10)
    return _of(model)


@_broken(
    "vanishing-gradients",
    "ten layers of sigmoids",
    "The loss stays at ln 10 = 2.3 for a long time.",
)
def _vanishing_gradients(mended: bool) -> Settings:
    model = nn.MLP([784, *[32] * 9, 10], activation="relu" if mended else "sigmoid", rng=0)
    return _of(model, optimizer=_sgd(0.05, momentum=0.9), epochs=8)


@_broken(
    "dropout-too-high",
    "nine of ten units switched off",
    "The loss falls slowly, and is rough to the end.",
)
def _dropout_too_high(mended: bool) -> Settings:
    return _of(_mlp(dropout=0.3 if mended else 0.9))


# -- the settings ---------------------------------------------------------------------------------------------------


@_broken(
    "learning-rate-too-high",
    "a learning rate of 5",
    "The loss jumps far above its first value, or becomes NaN.",
)
def _learning_rate_too_high(mended: bool) -> Settings:
    return _of(_mlp(), optimizer=_sgd(0.1 if mended else 5.0))


@_broken(
    "learning-rate-too-low",
    "a learning rate of 0.00001",
    "The loss is a straight line that hardly falls.",
)
def _learning_rate_too_low(mended: bool) -> Settings:
    return _of(_mlp(), optimizer=_sgd(0.1 if mended else 1e-5))


@_broken(
    "weight-decay-too-high",
    "weight decay of 1",
    "The loss falls, and comes back to ln 10 = 2.3: the weights are pulled to 0.",
)
def _weight_decay_too_high(mended: bool) -> Settings:
    return _of(_mlp(), optimizer=_sgd(0.1, weight_decay=1e-4 if mended else 1.0))


@_broken(
    "not-in-optimizer",
    "an optimizer made before a layer was replaced",
    "The network learns less: the new layer stays as it began.",
)
def _not_in_optimizer(mended: bool) -> Settings:
    old, new, last = nn.Linear(784, 64, rng=9), nn.Linear(784, 64, rng=0), nn.Linear(64, 10, rng=1)
    known = [*(new if mended else old).parameters(), *last.parameters()]
    return _of(nn.Sequential(new, nn.ReLU(), last), optimizer=optim.Adam(known, lr=1e-3))


@_broken(
    "overfitting",
    "forty wrong labels among eighty samples, and 60 epochs",
    "The validation loss falls, turns, and grows from then on.",
    in_time=True,
)
def _overfitting(mended: bool) -> Settings:
    x, y = _digits()
    n = 800 if mended else 80
    if not mended:
        y[:80:2] = np.random.default_rng(0).integers(0, 10, 40)
    return _of(
        nn.MLP([784, 128, 10], rng=0), (x[:n], y[:n]), partial(optim.Adam, lr=1e-3), epochs=8 if mended else 60,
        batch_size=16, validation=(x[800:], y[800:]),
    )  # fmt: skip
