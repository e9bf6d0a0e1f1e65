"""Losses, optimizers and schedules by name, for the command line and for saved settings."""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import nn, optim
from ..errors import OptionError, choice
from ..nn import functional as F  # noqa: N812
from ..typing import Array

__all__ = ["LEARNING_RATES", "LOSSES", "OPTIMIZERS", "SCHEDULES", "learning_rate", "make_loss"]

#: Losses that compare numbers with one-hot rows, and the one that takes the classes as they are.
_COMPARING: dict[str, Callable[[Array, Array], Array]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy_with_logits,
}
LOSSES = ("cross-entropy", *_COMPARING)

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": lambda params, lr, decay: optim.SGD(params, lr, weight_decay=decay),
    "momentum": lambda params, lr, decay: optim.SGD(
        params, lr, momentum=0.9, nesterov=True, weight_decay=decay
    ),
    "adam": lambda params, lr, decay: optim.Adam(params, lr, weight_decay=decay),
    "adamw": lambda params, lr, decay: optim.AdamW(params, lr, weight_decay=decay),
    "rmsprop": lambda params, lr, decay: optim.RMSprop(params, lr, weight_decay=decay),
    "adagrad": lambda params, lr, decay: optim.Adagrad(params, lr, weight_decay=decay),
}

#: What suits a network that reads digits, in batches of 128, with a hidden layer of 128 units.
LEARNING_RATES = {"sgd": 0.5, "momentum": 0.05, "adam": 6e-3, "adamw": 6e-3, "rmsprop": 1e-3, "adagrad": 2e-2}

#: These move every weight by about the learning rate, however many there are, so that the output of a
#: wider layer moves further: they take smaller steps there.
_ADAPTIVE = ("adam", "adamw", "rmsprop", "adagrad")

#: Functions of an optimizer and the number of all its steps.
SCHEDULES: dict[str, Callable[[optim.Optimizer, int], optim.Schedule] | None] = {
    "none": None,
    "cosine": optim.CosineAnnealingLR,
    "one-cycle": optim.OneCycleLR,
    "step": lambda optimizer, steps: optim.StepLR(optimizer, max(steps // 3, 1), 0.1),
    "warm-up": lambda optimizer, steps: optim.WarmupLR(optimizer, max(steps // 20, 1)),
}


def make_loss(name: str, label_smoothing: float = 0.0) -> Callable[[Array, Array], Array]:
    """Return a loss by its name: a function of outputs, and of targets of their shape or integer classes.

    Where the targets are classes, and the loss compares numbers, they are compared as one-hot rows.

    Raises
    ------
    OptionError
        If there is no such loss, or smoothing goes with another than cross-entropy.

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
        raise OptionError(f"label smoothing goes with the loss cross-entropy only, not with {name}")
    compare = _COMPARING[name]

    def loss(outputs: Array, targets: Array) -> Array:
        if targets.dtype.kind in "iu" and targets.ndim == outputs.ndim - 1:
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
    if optimizer not in LEARNING_RATES:
        raise choice("optimizer", optimizer, LEARNING_RATES)
    narrower = math.sqrt(128 / max(widest, 128)) if optimizer in _ADAPTIVE else 1.0
    return LEARNING_RATES[optimizer] * narrower
