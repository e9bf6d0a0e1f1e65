"""How good predictions are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..tensor import Tensor
from ..typing import NDArray

__all__ = ["accuracy", "confusion_matrix"]


def accuracy(outputs: Any, targets: Any) -> float:
    """Share of samples whose largest output is that of the right class.

    Parameters
    ----------
    outputs : Tensor or array, shape (N, C)
        Logits or probabilities.
    targets : array of int, shape (N,)

    Examples
    --------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    classes, targets = _classes(outputs), np.asarray(targets)
    if classes.shape != targets.shape:
        raise ShapeError(f"accuracy: outputs for {classes.shape} samples, targets of shape {targets.shape}")
    return float(np.mean(classes == targets))


def confusion_matrix(outputs: Any, targets: Any, classes: int | None = None) -> NDArray:
    """Count how often each class (row) was taken for each (column).

    Parameters
    ----------
    outputs : Tensor or array, shape (N, C) or (N,)
        Logits or probabilities, or the predicted classes themselves.
    targets : array of int, shape (N,)
    classes : int, optional
        By default as many as occur.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]))
    array([[1, 1],
           [0, 1]])
    """
    targets = np.asarray(targets)
    predicted = _classes(outputs) if np.ndim(outputs) > 1 else np.asarray(outputs)
    if predicted.shape != targets.shape:
        raise ShapeError(f"confusion_matrix: {predicted.shape} predictions, targets of shape {targets.shape}")
    n = classes or int(max(predicted.max(initial=0), targets.max(initial=0))) + 1
    for what, found in (("target", targets), ("prediction", predicted)):
        if found.size and not (found.min() >= 0 and found.max() < n):
            raise OptionError(
                f"confusion_matrix: a {what} of {found.min()} to {found.max()} is not one of {n} classes"
            )
    return np.bincount(targets * n + predicted, minlength=n * n).reshape(n, n)


def _classes(outputs: Any) -> NDArray:
    values = outputs.data if isinstance(outputs, Tensor) else np.asarray(outputs)
    return np.argmax(values, axis=-1)
