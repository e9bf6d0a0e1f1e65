"""Models by name, as ``tinygrad-mnist train --model`` makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .. import nn
from ..errors import OptionError

__all__ = ["MODELS", "ModelRecipe"]


class ModelRecipe(NamedTuple):
    """A network for square images of one channel.

    Attributes
    ----------
    about : str
        What it is, in a line.
    make : callable
        ``make(side, classes, rng)`` returns a model that takes images as vectors of ``side²`` numbers, in batches.
    """

    about: str
    make: Callable[[int, int, np.random.Generator], nn.Module]


def mlp(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """A multi-layer perceptron with one hidden layer."""
    return nn.MLP([side * side, 128, classes], rng=rng)


def noisy_mlp(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """A multi-layer perceptron of five hidden layers, with batch norm and noise at each [1]_.

    References
    ----------
    .. [1] A. Rasmus et al., "Semi-supervised learning with ladder networks", NIPS 2015: the baseline.
    """
    sizes = [side * side, 1000, 500, 250, 250, 250]
    modules: list[nn.Module] = [nn.GaussianNoise(0.3, rng=rng)]
    for before, after in pairwise(sizes):
        modules.append(nn.Linear(before, after, bias=False, rng=rng))
        modules += [nn.BatchNorm1d(after), nn.GaussianNoise(0.3, rng=rng), nn.ReLU()]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], classes, rng=rng))


def lenet(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """LeNet-5 [1]_, with ReLU and maximum pools.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proceedings of the IEEE 86 (1998).
    """
    # Convolutions of 5 × 5, the first one with padding, each with a pool after it.
    rest = (side // 2 - 4) // 2
    if rest < 1:
        raise OptionError(
            f"lenet needs images of 12×12 or more, not {side}×{side}; use --model mlp, small-cnn or cnn"
        )
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        nn.Conv2d(1, 6, 5, padding=2, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rest * rest, 120, rng=rng), nn.ReLU(),
        nn.Linear(120, 84, rng=rng), nn.ReLU(),
        nn.Linear(84, classes, rng=rng),
    )  # fmt: skip


def _block(channels: Sequence[int], kernel: int, rng: np.random.Generator) -> Iterator[nn.Module]:
    """Convolutions with batch norm and ReLU, from each number of channels to the next."""
    for before, after in pairwise(channels):
        yield nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False, rng=rng)
        yield nn.BatchNorm2d(after)
        yield nn.ReLU()


def _stack(
    side: int, classes: int, layers: Sequence[tuple[int, int, int]], dropout: float, rng: np.random.Generator
) -> nn.Module:
    """Convolutions with batch norm, each of so many channels, a kernel and a pool; then a linear layer.

    The pools come before the norms, which then read a quarter of the numbers. Images lose their margins, which hold
    little; small ones keep them.
    """
    given, is_small, before = side, side < 20, 1
    modules: list[nn.Module] = [nn.Unflatten(1, (1, side, side))]
    for channels, kernel, pool in layers:
        margin = kernel // 2 if is_small or side < 5 else 0
        modules.append(nn.Conv2d(before, channels, kernel, padding=margin, bias=False, rng=rng))
        if pool > 1:
            modules.append(nn.MaxPool2d(pool))
        modules += [nn.BatchNorm2d(channels), nn.ReLU()]
        side, before = (side + 2 * margin - kernel + 1) // pool, channels
    if side < 1:
        raise OptionError(f"images of {given}×{given} are too small for this model; use --model mlp")
    modules.append(nn.Flatten())
    if dropout:
        modules.append(nn.Dropout(dropout, rng=rng))
    return nn.Sequential(*modules, nn.Linear(before * side * side, classes, rng=rng))


def small_cnn(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """Three narrow convolutions with batch norm: as accurate as possible after some seconds."""
    return _stack(side, classes, [(16, 5, 2), (32, 3, 2), (64, 3, 1)], 0.0, rng)


def cnn(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """Four convolutions with batch norm, and dropout before the last layer: for some minutes."""
    return _stack(side, classes, [(24, 5, 2), (48, 3, 1), (48, 3, 2), (96, 3, 1)], 0.4, rng)


def committee(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """Five networks of :func:`cnn`, which vote."""
    return nn.Committee(*(cnn(side, classes, rng) for _ in range(5)))


def resnet(side: int, classes: int, rng: np.random.Generator) -> nn.Module:
    """A residual network [1]_ of seven convolutions.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def residual(channels: int) -> nn.Module:
        body = [*_block((channels,) * 3, 3, rng)][:-1]  # the last ReLU comes after the sum
        return nn.Sequential(nn.Residual(nn.Sequential(*body)), nn.ReLU())

    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        *_block((1, 16), 3, rng), residual(16), nn.MaxPool2d(2),
        *_block((16, 32), 3, rng), residual(32), nn.MaxPool2d(2),
        *_block((32, 64), 3, rng), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, classes, rng=rng),
    )  # fmt: skip


#: Add your own: ``MODELS["mine"] = ModelRecipe("…", make_mine)``. ``mlp`` has its own options on the command line.
MODELS: dict[str, ModelRecipe] = {
    "mlp": ModelRecipe("layers that connect everything (--hidden, --activation, --dropout)", mlp),
    "noisy-mlp": ModelRecipe("five hidden layers with batch norm and noise", noisy_mlp),
    "lenet": ModelRecipe("two convolutions and three layers (LeNet-5)", lenet),
    "small-cnn": ModelRecipe("three narrow convolutions with batch norm: 99 % in seconds", small_cnn),
    "cnn": ModelRecipe("four convolutions with batch norm and dropout", cnn),
    "committee": ModelRecipe(
        "five networks like cnn: each learns from a fifth of every batch, and they vote", committee
    ),
    "resnet": ModelRecipe("a residual network of seven convolutions", resnet),
}
