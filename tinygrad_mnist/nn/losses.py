"""Losses as modules: objects that hold their settings and are called with (input, target)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operands import operand
from ..typing import Array, NDArray
from . import functional as F  # noqa: N812
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MultiMarginLoss",
    "NLLLoss",
]


class _Loss(Module):
    """A loss function with its settings."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    weight: NDArray | None

    def _keep_weight(self, weight: Any) -> None:
        """Keep weights as a buffer, which is part of the state."""
        self.weight = None
        if weight is not None:
            self.register_buffer("weight", np.asarray(operand(weight), np.float32))

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self._settings().items()
            if value is not None and name not in self._buffers
        )

    def _settings(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "training"
        }


class MSELoss(_Loss):
    """Mean squared error: see :func:`~tinygrad_mnist.nn.functional.mse_loss`.

    Examples
    --------
    >>> MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """

    def forward(self, input: Array, target: Array) -> Array:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Mean absolute error: see :func:`~tinygrad_mnist.nn.functional.l1_loss`.

    Examples
    --------
    >>> L1Loss(reduction="none")(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    array([0., 2.])
    """

    def forward(self, input: Array, target: Array) -> Array:
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Squared error near zero, absolute error beyond: see :func:`~tinygrad_mnist.nn.functional.huber_loss`.

    Examples
    --------
    >>> HuberLoss(delta=1.0, reduction="none")(np.array([0.1, 10.0]), np.zeros(2))
    array([5.0e-03, 9.5e+00])
    """

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        self.delta, self.reduction = delta, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """Softmax and cross-entropy in one: see :func:`~tinygrad_mnist.nn.functional.cross_entropy`.

    Parameters
    ----------
    weight : array, shape (C,), optional
        The weight of each class; a buffer, as in PyTorch.
    ignore_index : int, optional
        A class, or another number, whose targets do not count.
    label_smoothing : float in [0, 1), default 0
    reduction : {'mean', 'sum', 'none'}

    Examples
    --------
    >>> scores, classes = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0, 1])
    >>> CrossEntropyLoss(reduction="none")(scores, classes).round(3)
    array([0.24 , 1.099])
    >>> CrossEntropyLoss(weight=[1, 3, 1])(scores, classes).round(3)  # the second counts three times
    np.float64(0.884)
    """

    def __init__(
        self,
        weight: Array | None = None,
        *,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        self._keep_weight(weight)
        self.ignore_index = ignore_index
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


class NLLLoss(_Loss):
    """Negative log-likelihood: see :func:`~tinygrad_mnist.nn.functional.nll_loss`.

    Parameters are those of :class:`CrossEntropyLoss`, except for the smoothing.

    Examples
    --------
    >>> NLLLoss()(np.log([[0.7, 0.2, 0.1]]), np.array([0])).round(3)
    np.float64(0.357)
    """

    def __init__(
        self, weight: Array | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
    ) -> None:
        self._keep_weight(weight)
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence: see :func:`~tinygrad_mnist.nn.functional.kl_div`.

    Examples
    --------
    >>> KLDivLoss(reduction="sum")(np.log([0.25, 0.75]), np.array([0.5, 0.5])).round(4)
    np.float64(0.1438)
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Array, target: Array) -> Array:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class MultiMarginLoss(_Loss):
    """How far other classes come too close: see :func:`~tinygrad_mnist.nn.functional.multi_margin_loss`.

    Examples
    --------
    >>> MultiMarginLoss()(np.array([[3.0, 2.5, 0.0]]), np.array([0])).round(4)  # (1 - 0.5) / 3
    np.float64(0.1667)
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Array | None = None, *, reduction: str = "mean"
    ) -> None:
        self._keep_weight(weight)
        self.p, self.margin, self.reduction = p, margin, reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class BCELoss(_Loss):
    """Cross-entropy between probabilities: see :func:`~tinygrad_mnist.nn.functional.binary_cross_entropy`.

    Examples
    --------
    >>> BCELoss()(np.array([0.5, 1.0]), np.array([1.0, 1.0])).round(4)
    np.float64(0.3466)
    """

    def __init__(self, weight: Array | None = None, *, reduction: str = "mean") -> None:
        self._keep_weight(weight)
        self.reduction = reduction

    def forward(self, input: Array, target: Array) -> Array:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one.

    See :func:`~tinygrad_mnist.nn.functional.binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> BCEWithLogitsLoss()(np.array([0.0, 40.0]), np.array([1.0, 1.0])).round(4)
    np.float64(0.3466)
    """

    def forward(self, input: Array, target: Array) -> Array:
        return F.binary_cross_entropy_with_logits(input, target, reduction=self.reduction)
