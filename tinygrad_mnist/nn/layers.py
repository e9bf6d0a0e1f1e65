"""The layers of a multi-layer perceptron, and the containers that chain them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, choice, misfit
from ..typing import Array, NDArray
from . import functional as F  # noqa: N812
from . import init
from .module import Module, Parameter

__all__ = [
    "ELU",
    "GELU",
    "MLP",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "activations",
]

Initialiser = str | Callable[..., NDArray]


class Linear(Module):
    """``x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Length of the last axis of the input, and of the output.
    bias : bool, default True
    weight_init, bias_init : str or callable
        An initialiser of :mod:`tinygrad_mnist.nn.init`, by name, or any function of a shape and
        ``rng=``. By default both are drawn from U(±1/√in_features), as in PyTorch.
    rng : numpy.random.Generator or seed
        Source of the random numbers.
    dtype : dtype, default float32

    Examples
    --------
    >>> layer = Linear(784, 10, rng=0)
    >>> layer(np.zeros((32, 784), np.float32)).shape
    (32, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: Initialiser = "fan_in_uniform",
        bias_init: Initialiser | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        in_features, out_features = _sizes("Linear", (in_features, out_features))
        rng = np.random.default_rng(rng)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.get(weight_init)((out_features, in_features), rng=rng), dtype=dtype)
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(in_features)
            shape = (out_features,)
            drawn = (
                init.uniform(shape, -bound, bound, rng=rng)
                if bias_init is None
                else init.get(bias_init)(shape, rng=rng)
            )
            self.bias = Parameter(drawn, dtype=dtype)

    def forward(self, x: Array) -> Array:
        x = x if hasattr(x, "shape") else np.asarray(x, self.weight.dtype)
        if not x.shape or x.shape[-1] != self.in_features:
            place = f" (at {self._name!r})" if self._name else ""
            hint = ""
            if math.prod(x.shape[1:]) == self.in_features:
                hint = "; nn.Flatten() joins the other axes"
            elif math.prod(x.shape) == self.in_features:
                hint = "; if this is a single example, make it a batch of one: x.reshape(1, -1)"
            raise ShapeError(
                f"Linear({self.in_features}, {self.out_features}){place}: expects an input of shape "
                f"(…, {self.in_features}), got {x.shape}{hint}"
            )
        return F.linear(x, self.weight, self.bias)

    def _sample_shape(self) -> tuple[int, ...]:
        return (self.in_features,)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")


class Flatten(Module):
    """Flatten all axes except the first: ``(N, 28, 28)`` becomes ``(N, 784)``."""

    def forward(self, x: Array) -> Array:
        return np.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Dropout(Module):
    """Set a random share of the elements to zero during training; see :func:`~tinygrad_mnist.nn.functional.dropout`.

    Parameters
    ----------
    p : float in [0, 1)
        The share of elements to zero.
    rng : numpy.random.Generator or seed
        Source of the random numbers, used in each call.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        if not 0 <= p < 1:
            raise OptionError(f"Dropout: p = {p!r} is not a probability in [0, 1)")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Array) -> Array:
        return F.dropout(x, self.p, rng=self.rng, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.p}"


class ReLU(Module):
    """``max(x, 0)``."""

    def forward(self, x: Array) -> Array:
        return F.relu(x)


class LeakyReLU(Module):
    """``x`` where positive, ``slope * x`` elsewhere."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return F.leaky_relu(x, slope=self.slope)

    def extra_repr(self) -> str:
        return f"{self.slope}"


class ELU(Module):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        return F.elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"{self.alpha}"


class GELU(Module):
    """``x`` times the normal distribution function of ``x``."""

    def forward(self, x: Array) -> Array:
        return F.gelu(x)


class Softplus(Module):
    """``log(1 + exp(x))``."""

    def forward(self, x: Array) -> Array:
        return F.softplus(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Array) -> Array:
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        return np.tanh(x)


class Softmax(Module):
    """``exp(x)``, normalised to a sum of 1 along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return F.softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Module):
    """``log(softmax(x))`` along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return F.log_softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


#: Activations by name, with an initialiser that suits the weights before them.
activations: dict[str, tuple[type[Module], str]] = {
    "relu": (ReLU, "kaiming_normal"),
    "leaky_relu": (LeakyReLU, "kaiming_normal"),
    "elu": (ELU, "kaiming_normal"),
    "gelu": (GELU, "kaiming_normal"),
    "softplus": (Softplus, "kaiming_normal"),
    "sigmoid": (Sigmoid, "xavier_normal"),
    "tanh": (Tanh, "xavier_normal"),
    "softmax": (Softmax, "xavier_normal"),
    "log_softmax": (LogSoftmax, "xavier_normal"),
}


class Sequential(Module):
    """Modules called one after the other, each with the result of the one before.

    Examples
    --------
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
        sizes = _sizes("MLP", sizes)
        rng = np.random.default_rng(rng)
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


def _sizes(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """Check that sizes are positive integers."""
    if not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
        raise OptionError(f"{name}: sizes {', '.join(map(repr, sizes))} must be positive integers")
    return tuple(sizes)


def _stray(module: Any) -> str:
    """Say what stands in the place of a module, and what to write instead."""
    if isinstance(module, type):
        return f"the class {module.__name__}; pass an object, as in {module.__name__}()"
    if isinstance(module, (list, tuple)):
        return f"a {type(module).__name__}; pass its modules one by one, as in Sequential(*layers)"
    what = f"the function {module.__name__}" if hasattr(module, "__name__") else repr(module)
    return f"{what}; pass a Module, such as nn.ReLU(), or one of your own whose forward calls the function"
