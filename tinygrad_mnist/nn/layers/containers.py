"""Layers that chain others, and the multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import OptionError, choice, misfit
from ...operands import generator
from ...typing import Array
from .. import functional as F  # noqa: N812
from ..module import Module
from .arguments import Initialiser, positive
from .dropout import Dropout
from .linear import Linear
from .nonlinear import activations

__all__ = ["MLP", "Committee", "Residual", "Sequential"]


class Sequential(Module):
    """Modules called one after the other, each with the result of the one before.

    Examples
    --------
    >>> from tinygrad_mnist.nn import Tanh
    >>> model = Sequential(Linear(4, 3, rng=0), Tanh(), Linear(3, 2, rng=1))
    >>> model(np.ones((5, 4), np.float32)).shape
    (5, 2)
    >>> model[0]
    Linear(4, 3)
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise OptionError(f"{type(self).__name__}: argument {i + 1} is {_stray(module)}")
            setattr(self, str(i), module)

    def forward(self, x: Array) -> Array:
        for module in self:
            x = module(x)
        return x

    def _sample_shape(self) -> tuple[int, ...] | None:
        return next((module._sample_shape() for module in self), None)

    def __iter__(self) -> Iterator[Module]:
        return iter([part for part in vars(self).values() if isinstance(part, Module)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int | slice) -> Module:
        modules = list(self)
        return Sequential(*modules[index]) if isinstance(index, slice) else modules[index]


class Residual(Module):
    """A module whose input is added to its output: ``body(x) + shortcut(x)``.

    Parameters
    ----------
    body : Module
    shortcut : Module, optional
        What brings the input into the shape of the output; by default, nothing.

    Examples
    --------
    >>> Residual(Linear(3, 3, rng=0))(np.ones((2, 3), np.float32)).shape
    (2, 3)
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        for module in (body, shortcut):
            if module is not None and not isinstance(module, Module):
                raise OptionError(f"Residual: one argument is {_stray(module)}")
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Array) -> Array:
        y = self.body(x)
        return y + (x if self.shortcut is None else self.shortcut(x))

    def _sample_shape(self) -> tuple[int, ...] | None:
        return self.body._sample_shape()


class Committee(Module):
    """Networks that each learn from their own part of every batch, and vote [1]_.

    In ``train()`` mode, the outputs for the first part of the batch are those of the first member, for the second
    part those of the second, and so on. So an epoch computes as much as one of a single member, and a committee of five
    needs five times the epochs. In ``eval()`` mode, the outputs are the mean of all members' log-probabilities.

    Parameters
    ----------
    *members : Module
        Classifiers, whose outputs are logits of shape (N, C).

    References
    ----------
    .. [1] D. Cireșan, U. Meier, J. Schmidhuber, "Multi-column deep neural networks for image classification", CVPR
       2012.

    Examples
    --------
    >>> model = Committee(Linear(3, 2, rng=0), Linear(3, 2, rng=1))
    >>> x = np.ones((4, 3), np.float32)
    >>> np.array_equal(model(x)[:2], model.members[0](x[:2]))
    True
    """

    def __init__(self, *members: Module) -> None:
        for number, module in enumerate(members or [None], 1):
            if not isinstance(module, Module):
                raise OptionError(f"Committee: argument {number} is {_stray(module)}")
        self.members = list(members)

    def forward(self, x: Array) -> Array:
        count, n = len(self.members), len(x)
        if not self.training or n < count:
            return sum(F.log_softmax(member(x), -1) for member in self.members) / count
        cuts = [n * i // count for i in range(count + 1)]
        parts = zip(self.members, pairwise(cuts), strict=True)
        return np.concatenate([member(x[start:stop]) for member, (start, stop) in parts])

    def _sample_shape(self) -> tuple[int, ...] | None:
        return self.members[0]._sample_shape()


class MLP(Sequential):
    """A multi-layer perceptron: linear layers with activations between them.

    Parameters
    ----------
    sizes : sequence of int
        Number of units of each layer, from the input to the output, such as ``[784, 128, 10]``.
    activation : str, or a function that makes a Module
        Activation after each hidden layer: a name in :data:`activations`, or a class.
    output : str, callable or None, default None
        Activation after the last layer. With ``None``, the outputs are the logits that
        :class:`~tinygrad_mnist.nn.CrossEntropyLoss` takes.
    dropout : float in [0, 1), default 0
        Dropout after each hidden activation.
    weight_init : str or callable, optional
        The default suits the activation that follows.
    rng : numpy.random.Generator or seed
        Source of the weights and of the dropout.
    dtype : dtype, default float32

    Examples
    --------
    >>> MLP([784, 16, 10], activation="sigmoid", rng=0)
    MLP(
      (0): Linear(784, 16)
      (1): Sigmoid()
      (2): Linear(16, 10)
    )
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Callable[[], Module] = "relu",
        output: str | Callable[[], Module] | None = None,
        *,
        dropout: float = 0.0,
        weight_init: Initialiser | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if not np.iterable(sizes) or isinstance(sizes, str) or len(sizes) < 2:
            raise OptionError(
                f"MLP: sizes are {sizes!r}; pass a list, from input to output, as in [784, 128, 10]"
            )
        sizes = positive("MLP", sizes)
        rng = generator(rng)
        modules: list[Module] = []
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            is_last = i == len(sizes) - 2
            follows = output if is_last else activation
            make, suits = _activation(follows)
            modules.append(
                Linear(
                    fan_in,
                    fan_out,
                    weight_init=weight_init or suits,
                    bias_init="constant",
                    rng=rng,
                    dtype=dtype,
                )
            )
            if make is not None:
                modules.append(_make(make))
            if dropout and not is_last:
                modules.append(Dropout(dropout, rng=rng))
        super().__init__(*modules)


def _activation(which: str | Callable[[], Module] | None) -> tuple[Callable[[], Module] | None, str]:
    if isinstance(which, str):
        if which not in activations:
            raise choice("activation", which, activations)
        return activations[which]
    return which, "xavier_normal"


def _make(activation: Callable[[], Module]) -> Module:
    """Make the layer of an activation."""
    if isinstance(activation, Module) or misfit(activation, (), {}):
        name = getattr(activation, "__name__", type(activation).__name__)
        raise OptionError(
            f"MLP: the activation {name} does not make a layer; pass a name, such as 'relu', or a class, such as "
            "nn.ReLU"
        )
    return activation()


def _stray(module: Any) -> str:
    """Say what stands in the place of a module, and what to write instead."""
    if isinstance(module, type):
        return f"the class {module.__name__}; pass an object, as in {module.__name__}()"
    if isinstance(module, (list, tuple)):
        return f"a {type(module).__name__}; pass its modules one by one, as in Sequential(*layers)"
    what = f"the function {module.__name__}" if hasattr(module, "__name__") else repr(module)
    return f"{what}; pass a Module, such as nn.ReLU(), or one of your own whose forward calls the function"
