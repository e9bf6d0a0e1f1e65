"""The settings of a training on the command line: losses, optimizers and schedules by name, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from .. import nn, optim
from ..data import AUGMENTATIONS, DATASETS, Dataset
from ..errors import OptionError, ShapeError, choice, quote
from ..nn import functional as F  # noqa: N812
from ..tensor import Tensor
from ..typing import Array
from .models import MODELS
from .steps import COMPILE

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Facts",
    "OptimizerRecipe",
    "Settings",
    "learning_rate",
    "make_loss",
]

#: Losses that compare numbers with one-hot rows, and the one that takes integer classes.
_COMPARING: dict[str, Callable[[Array, Array], Array]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy_with_logits,
}
LOSSES = ("cross-entropy", *_COMPARING)


class OptimizerRecipe(NamedTuple):
    """An optimizer, with settings that suit a network that reads digits in batches of 128.

    Attributes
    ----------
    make : callable
        ``make(parameters, lr, weight_decay=...)`` returns the optimizer.
    lr : float
        A learning rate for a hidden layer of 128 units.
    is_adaptive : bool
        Whether it moves every weight by about the learning rate, however many weights there are. The
        output of a wider layer then moves further, so its steps must be smaller.
    """

    make: Callable[..., optim.Optimizer]
    lr: float
    is_adaptive: bool = False


OPTIMIZERS = {
    "sgd": OptimizerRecipe(optim.SGD, 0.5),
    "momentum": OptimizerRecipe(partial(optim.SGD, momentum=0.9, nesterov=True), 0.05),
    "adam": OptimizerRecipe(optim.Adam, 6e-3, is_adaptive=True),
    "adamw": OptimizerRecipe(optim.AdamW, 6e-3, is_adaptive=True),
    "rmsprop": OptimizerRecipe(optim.RMSprop, 1e-3, is_adaptive=True),
    "adagrad": OptimizerRecipe(optim.Adagrad, 2e-2, is_adaptive=True),
}

#: Functions of an optimizer and its total number of steps.
SCHEDULES: dict[str, Callable[[optim.Optimizer, int], optim.Schedule] | None] = {
    "none": None,
    "cosine": optim.CosineAnnealingLR,
    "one-cycle": optim.OneCycleLR,
    "step": lambda optimizer, steps: optim.StepLR(optimizer, max(steps // 3, 1), 0.1),
    "warm-up": lambda optimizer, steps: optim.WarmupLR(optimizer, max(steps // 20, 1)),
}


def make_loss(name: str, label_smoothing: float = 0.0) -> Callable[[Array, Array], Array]:
    """Return a loss by its name: a function of outputs and targets (of the same shape, or classes).

    If the targets are classes and the loss compares numbers, the classes become one-hot rows.

    Raises
    ------
    OptionError
        If there is no such loss, or if label smoothing is used without cross-entropy.

    Examples
    --------
    >>> import numpy as np
    >>> make_loss("mse")(np.array([[0.0, 1.0]]), np.array([1]))
    np.float64(0.0)
    """
    if name not in LOSSES:
        raise choice("loss", name, LOSSES)
    if name == "cross-entropy":
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    if label_smoothing:
        raise OptionError(f"label smoothing works only with the loss cross-entropy, not with {name}")
    compare = _COMPARING[name]

    def loss(outputs: Array, targets: Array) -> Array:
        if targets.dtype.kind in "iu" and targets.ndim == outputs.ndim - 1:
            if outputs.shape[-1] == 1:
                raise ShapeError(
                    f"{name}: targets of shape {targets.shape} would be classes, but outputs of shape {outputs.shape} "
                    "have only one; if they are numbers, give them the shape of the outputs, as in targets[:, None]"
                )
            targets = F.one_hot(targets, outputs.shape[-1], outputs.dtype)
        return compare(outputs, targets)

    return loss


def learning_rate(optimizer: str, widest: int) -> float:
    """Return a learning rate for an optimizer and the number of units of the widest hidden layer.

    Raises
    ------
    OptionError
        If there is no such optimizer.

    Examples
    --------
    >>> learning_rate("adamw", 128), learning_rate("adamw", 512), learning_rate("sgd", 512)
    (0.006, 0.003, 0.5)
    """
    if optimizer not in OPTIMIZERS:
        raise choice("optimizer", optimizer, OPTIMIZERS)
    recipe = OPTIMIZERS[optimizer]
    return recipe.lr * (math.sqrt(128 / max(widest, 128)) if recipe.is_adaptive else 1.0)


@dataclass(frozen=True)
class Settings:
    """All settings of ``tinygrad-mnist train``, checked and complete.

    A run folder keeps them in ``config.json``. Three are not chosen but found: the source of the data, the
    names of the classes, and the side of an image. Runs of earlier versions have no ``model``, ``augment`` and
    ``recipe``. The last one only says where settings came from: here are all of them.

    Raises
    ------
    OptionError
        If a setting has an invalid value, or if two settings contradict each other.
    """

    dataset: str
    path: str | None
    hidden: tuple[int, ...]
    activation: str
    dropout: float
    loss: str
    label_smoothing: float
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    epochs: int
    batch_size: int
    clip_norm: float | None
    validation: float
    keep: str
    patience: int | None
    compile: str | bool
    seed: int
    data: str
    classes: tuple[str, ...]
    side: int
    model: str = "mlp"
    augment: tuple[str, ...] = ()
    recipe: str | None = None

    def __post_init__(self) -> None:
        _check_values(vars(self))
        if self.label_smoothing and self.loss != "cross-entropy":
            raise OptionError("--label-smoothing works only with --loss cross-entropy")
        for change in self.augment:
            if change not in AUGMENTATIONS:
                raise choice("augmentation", change, AUGMENTATIONS)
        if self.keep == "last" and self.patience:
            raise OptionError("--patience returns to the best epoch; it cannot be combined with --keep last")

    @classmethod
    def choose(cls, options: Mapping[str, Any], train_data: Dataset) -> Settings:
        """Complete the options with the defaults that depend on them.

        Parameters
        ----------
        options : mapping
            The options of ``tinygrad-mnist train``; ``lr`` and ``keep`` may be None.
        train_data : Dataset
            The training data, including a part held out for validation.
        """
        path, keep = options["path"], options["keep"] or ("best" if options["patience"] else "last")
        if keep == "best" and not round(len(train_data) * options["validation"]):
            raise OptionError(
                "--keep best and --patience need the validation loss, so --validation must be larger"
            )
        widest = max(options["hidden"], default=0)
        chosen = {
            "path": None if path is None else str(path.resolve()),
            "lr": options["lr"] or learning_rate(options["optimizer"], widest),
            "keep": keep,
        }
        found = {
            "data": train_data.source,
            "classes": tuple(train_data.classes),
            "side": train_data.inputs.shape[1],
        }
        return cls(**{**options, **chosen, **found})

    def make_model(self, inputs: int) -> nn.Module:
        """Make the model; for losses that compare with 0 and 1, the outputs of an MLP lie between these."""
        if self.model != "mlp":
            return MODELS[self.model].make(self.side, len(self.classes), np.random.default_rng(self.seed))
        return nn.MLP(
            [inputs, *self.hidden, len(self.classes)],
            activation=self.activation,
            output="sigmoid" if self.loss in ("mse", "l1", "huber") else None,
            dropout=self.dropout,
            rng=self.seed,
        )

    def make_loss(self) -> Callable[[Array, Array], Array]:
        """Make the loss, a function of outputs and classes."""
        return make_loss(self.loss, self.label_smoothing)

    def make_optimizer(self, parameters: Iterable[Tensor]) -> optim.Optimizer:
        """Make the optimizer."""
        return OPTIMIZERS[self.optimizer].make(parameters, self.lr, weight_decay=self.weight_decay)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings by name, to be written as JSON."""
        return asdict(self)

    @classmethod
    def missing(cls, config: Mapping[str, Any]) -> list[str]:
        """List the settings that are missing in a mapping."""
        return [f.name for f in fields(cls) if f.name not in config and f.default is MISSING]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Take the settings from a mapping that may contain more."""
        values: dict[str, Any] = {field.name: config.get(field.name, field.default) for field in fields(cls)}
        for name in ("hidden", "classes", "augment"):  # JSON has no tuples
            values[name] = tuple(values[name]) if isinstance(values[name], list) else values[name]
        return cls(**values)


@dataclass(frozen=True)
class Facts:
    """What a run says of its model and its data, whether ``tinygrad-mnist train`` or ``save_run`` made it.

    Attributes
    ----------
    dataset, path : str or None
        The data set by its name, and the path that was named; None if the data were made in Python.
    data : str
        The source of the data, in words.
    classes : tuple of str
    side : int
        The side of an image.
    loss : str or None
        The loss by its name; None if it was a function of the user's.
    input : tuple of int
        The shape of one example, as the model takes it.
    label_smoothing : float
        That of the loss.

    Raises
    ------
    OptionError
        If one of them has an impossible value.
    """

    dataset: str | None
    path: str | None
    data: str
    classes: tuple[str, ...]
    side: int
    loss: str | None
    input: tuple[int, ...]
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check_values({name: value for name, value in vars(self).items() if value is not None})
        if math.prod(self.input) != self.side**2:
            raise OptionError(
                f"input is {quote(self.input)}, but an image has {self.side}×{self.side} pixels"
            )

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Facts:
        """Take the facts from a mapping that may contain more; without ``input``, an example is one row of pixels."""
        values: dict[str, Any] = {field.name: config.get(field.name) for field in fields(cls)}
        for name in ("input", "classes"):
            values[name] = tuple(values[name]) if isinstance(values[name], list) else values[name]
        if "input" not in config and isinstance(values["side"], int):
            values["input"] = (values["side"] ** 2,)
        if missing := [name for name in ("data", "classes", "side", "input") if values[name] is None]:
            raise OptionError(f"it has no {', '.join(missing)}")
        return cls(**{**values, "label_smoothing": values["label_smoothing"] or 0.0})

    def make_loss(self) -> Callable[[Array, Array], Array]:
        """Make the loss, a function of outputs and classes.

        Raises
        ------
        OptionError
            If the run does not know it by a name.
        """
        if self.loss is None:
            raise OptionError("the model was trained with a loss of your own, which the run cannot know")
        return make_loss(self.loss, self.label_smoothing)


_CHOICES: dict[str, Iterable[Any]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "activation": nn.activations,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "keep": ("last", "best"),
    "compile": (*COMPILE, False),
}
#: The types of each setting, and the least and the greatest number, or the lengths of a text.
_RANGES: dict[str, tuple[tuple[type, ...], float, float]] = {
    "path": ((str, NoneType), 0, 5_000),
    "data": ((str,), 0, 10_000),
    "classes": ((str,), 0, 100),
    "augment": ((str,), 1, 20),
    "recipe": ((str, NoneType), 1, 100),
    "hidden": ((int,), 1, 10**12),
    "side": ((int,), 1, 1_000),
    "input": ((int,), 1, 10**6),
    "epochs": ((int,), 1, 10**9),
    "patience": ((int, NoneType), 1, 10**9),
    "batch_size": ((int,), 1, 10**7),
    "seed": ((int,), 0, 10**100),
    "dropout": ((int, float), 0, 1),
    "label_smoothing": ((int, float), 0, 1),
    "validation": ((int, float), 0, 0.9),
    "lr": ((int, float), 0, 1e100),
    "weight_decay": ((int, float), 0, 1e100),
    "clip_norm": ((int, float, NoneType), 0, 1e100),
}
_LISTS, MOST_PARTS = ("hidden", "classes", "input", "augment"), 1_000


def _check_values(given: Mapping[str, Any]) -> None:
    """Check the values of settings by their names."""
    for name, valid in _CHOICES.items():
        if name in given and given[name] not in list(valid):
            raise choice(name, given[name], map(str, valid))
    for name, (kinds, least, most) in _RANGES.items():
        if name not in given:
            continue
        values = given[name]
        if name not in _LISTS:
            values = (values,)
        elif not isinstance(values, tuple) or len(values) > MOST_PARTS:
            raise OptionError(
                f"{name} is {quote(values)}, but must be a tuple of at most {MOST_PARTS:,} parts"
            )
        for value in values:
            _check(name, value, kinds, least, most)


def _check(name: str, value: Any, kinds: tuple[type, ...], least: float, most: float) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise OptionError(f"{name} is {quote(value)}, but must be of type {names}")
    size: Any = len(value) if isinstance(value, str) else least if value is None else value
    if not least <= size <= most:
        raise OptionError(
            f"{name} is {quote(value)}, but must {'have a length' if isinstance(value, str) else 'be'} "
            f"from {least:g} to {most:g}"
        )
    if name == "classes" and not str(value).isprintable():  # terminals act on some characters
        raise OptionError(f"{name} has {quote(value)}, which cannot be printed")
