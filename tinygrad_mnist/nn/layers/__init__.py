"""The layers, by what they do; each file lists its own."""

from .attention import MultiheadAttention
from .containers import MLP, Committee, Residual, Sequential
from .convolution import Conv1d, Conv2d, ConvTranspose2d
from .dropout import Dropout, Dropout2d, GaussianNoise
from .embedding import Embedding
from .linear import Linear
from .nonlinear import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    activations,
)
from .norms import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, Upsample
from .recurrent import GRU, LSTM, RNN
from .shapes import Flatten, Identity, Unflatten

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Committee",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "MultiheadAttention",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "activations",
]
