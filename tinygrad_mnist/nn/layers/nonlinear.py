"""Activations as layers, and their names."""

from __future__ import annotations

import numpy as np

from ...errors import choice
from ...typing import Array
from .. import functional as F  # noqa: N812
from ..module import Module

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "activations",
]


class ReLU(Module):
    """``max(x, 0)``.

    Examples
    --------
    >>> ReLU()(np.array([-2.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    def forward(self, x: Array) -> Array:
        return F.relu(x)


class LeakyReLU(Module):
    """``x`` where positive, ``slope * x`` elsewhere.

    Examples
    --------
    >>> LeakyReLU(0.1)(np.array([-2.0, 0.0, 2.0]))
    array([-0.2,  0. ,  2. ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return F.leaky_relu(x, slope=self.slope)

    def extra_repr(self) -> str:
        return f"{self.slope}"


class ELU(Module):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Examples
    --------
    >>> ELU()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.865,  0.   ,  2.   ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        return F.elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"{self.alpha}"


class GELU(Module):
    """``x`` times the normal distribution function of ``x``; see :func:`~tinygrad_mnist.nn.functional.gelu`.

    Examples
    --------
    >>> GELU()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.046,  0.   ,  1.954])
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise choice("approximation of GELU", approximate, ("none", "tanh"))
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        return F.gelu(x, self.approximate)


class SiLU(Module):
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> SiLU()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.238,  0.   ,  1.762])
    """

    def forward(self, x: Array) -> Array:
        return F.silu(x)


class Softplus(Module):
    """``log(1 + exp(x))``.

    Examples
    --------
    >>> Softplus()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([0.127, 0.693, 2.127])
    """

    def forward(self, x: Array) -> Array:
        return F.softplus(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> Sigmoid()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([0.119, 0.5  , 0.881])
    """

    def forward(self, x: Array) -> Array:
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent.

    Examples
    --------
    >>> Tanh()(np.array([-2.0, 0.0, 2.0])).round(3)
    array([-0.964,  0.   ,  0.964])
    """

    def forward(self, x: Array) -> Array:
        return np.tanh(x)


class Softmax(Module):
    """``exp(x)``, normalised to a sum of 1 along an axis.

    Examples
    --------
    >>> Softmax()(np.array([[0.0, 0.0], [0.0, 2.0]])).round(3)
    array([[0.5  , 0.5  ],
           [0.119, 0.881]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return F.softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Module):
    """``log(softmax(x))`` along an axis.

    Examples
    --------
    >>> LogSoftmax()(np.array([[0.0, 0.0], [0.0, 2.0]])).round(3)
    array([[-0.693, -0.693],
           [-2.127, -0.127]])
    """

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
    "silu": (SiLU, "kaiming_normal"),
    "softplus": (Softplus, "kaiming_normal"),
    "sigmoid": (Sigmoid, "xavier_normal"),
    "tanh": (Tanh, "xavier_normal"),
    "softmax": (Softmax, "xavier_normal"),
    "log_softmax": (LogSoftmax, "xavier_normal"),
}
