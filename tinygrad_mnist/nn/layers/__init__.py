"""The layers, by what they do; each file lists its own."""

from .containers import MLP, Sequential
from .dropout import Dropout
from .linear import Linear
from .nonlinear import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh, activations
from .shapes import Flatten

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
