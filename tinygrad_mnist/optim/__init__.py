"""Optimizers, learning-rate schedules and gradient clipping; none of them knows about networks."""

from .averaging import ExponentialMovingAverage
from .clip import clip_grad_norm_, clip_grad_value_
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .rules import SGD, Adagrad, Adam, AdamW, RMSprop, SparseAdam
from .schedules import (
    CosineAnnealingLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
    WarmupLR,
)

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialMovingAverage",
    "LambdaLR",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SparseAdam",
    "StepLR",
    "WarmupLR",
    "clip_grad_norm_",
    "clip_grad_value_",
]


def __dir__() -> list[str]:
    return __all__
