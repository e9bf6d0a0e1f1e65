"""Losses as modules: objects that hold their settings and are called with (input, target)."""

from __future__ import annotations

from typing import Any

from ..typing import Array
from . import functional as F  # noqa: N812
from .module import Module

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    """A loss function with its settings."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._settings().items())

    def _settings(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "training"
        }


class MSELoss(_Loss):
    """Mean squared error: see :func:`~tinygrad_mnist.nn.functional.mse_loss`."""

    def forward(self, input: Array, target: Array) -> Array:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Mean absolute error: see :func:`~tinygrad_mnist.nn.functional.l1_loss`."""

    def forward(self, input: Array, target: Array) -> Array:
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Squared error near zero, absolute error beyond: see :func:`~tinygrad_mnist.nn.functional.huber_loss`."""

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        self.delta, self.reduction = delta, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """Softmax and cross-entropy in one: see :func:`~tinygrad_mnist.nn.functional.cross_entropy`."""

    def __init__(self, *, label_smoothing: float = 0.0, reduction: str = "mean") -> None:
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.cross_entropy(input, target, label_smoothing=self.label_smoothing, reduction=self.reduction)


class NLLLoss(_Loss):
    """Negative log-likelihood: see :func:`~tinygrad_mnist.nn.functional.nll_loss`."""

    def forward(self, input: Array, target: Array) -> Array:
        return F.nll_loss(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one.

    See :func:`~tinygrad_mnist.nn.functional.binary_cross_entropy_with_logits`.
    """

    def forward(self, input: Array, target: Array) -> Array:
        return F.binary_cross_entropy_with_logits(input, target, reduction=self.reduction)
