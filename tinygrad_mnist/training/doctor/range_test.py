"""The learning rate range test: train with rates that grow at every step, and watch the loss."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from ...errors import OptionError
from ...nn import Module
from ...optim import Optimizer
from ...tensor import Tensor
from ...typing import NDArray
from ..loop import Data, as_loader
from ..making import Loss, make_optimizer, named_loss

__all__ = ["RangeTest", "lr_find"]


class RangeTest(NamedTuple):
    """What :func:`lr_find` measured.

    Attributes
    ----------
    rates, losses : ndarray, shape (steps,)
        The learning rate of each step, and its loss, smoothed.
    suggestion : float
        A third of the rate with the lowest loss.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> found = lr_find(tg.nn.Linear(1, 1, rng=0), (x, 3 * x), loss="mse", optimizer="sgd")
    >>> bool(np.isclose(found.suggestion, found.rates[found.losses.argmin()] / 3))
    True
    """

    rates: NDArray
    losses: NDArray
    suggestion: float


def lr_find(
    model: Module,
    data: Data,
    *,
    loss: Loss | str | None = None,
    optimizer: Optimizer | Any = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    rng: np.random.Generator | int | None = 0,
) -> RangeTest:
    """Find learning rates that work: train a copy with rates that grow from ``low`` to ``high`` [1]_.

    Parameters
    ----------
    model, data, loss, optimizer, batch_size, rng
        As for :func:`~tinygrad_mnist.training.fit`. The model and the optimizer are not changed, and a loader's
        random order is left as it was.
    low, high : float
        The first and the last learning rate.
    steps : int, default 100
        The test ends earlier if the loss becomes four times its lowest value.

    Returns
    -------
    RangeTest
        A good rate lies where the losses fall most steeply.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, _ = tg.data.load_mnist("sample")
    >>> found = lr_find(tg.nn.MLP([784, 32, 10], rng=0), train, optimizer="sgd")
    >>> 0.01 < found.suggestion < 2
    True
    """
    if not 0 < low < high or steps < 10:
        raise OptionError(
            f"lr_find: needs 0 < low < high and 10 steps or more; got {low}, {high} and {steps}"
        )
    loader, loss_function = as_loader(data, batch_size, rng), named_loss(loss)
    made = make_optimizer(optimizer, model)
    model, made = copy.deepcopy((model, made))
    model.train()
    loader = copy.copy(loader)
    loader.rng = copy.deepcopy(loader.rng)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    batches = iter(loader)
    with np.errstate(all="ignore"):
        for i, rate in enumerate(np.geomspace(low, high, steps)):
            try:
                x, y = next(batches)
            except StopIteration:
                batches = iter(loader)
                x, y = next(batches)
            for group in made.param_groups:
                group["lr"] = float(rate)
            made.zero_grad()
            value = loss_function(model(x), y)
            number = float(value) if not isinstance(value, Tensor) else value.item()
            mean = 0.9 * mean + 0.1 * number
            smooth = mean / (1 - 0.9 ** (i + 1))
            if not math.isfinite(smooth) or (losses and smooth > 4 * min(losses)):
                break
            rates.append(float(rate))
            losses.append(smooth)
            value.backward()
            made.step()
    best = int(np.argmin(losses))
    return RangeTest(np.array(rates), np.array(losses), rates[best] / 3)
