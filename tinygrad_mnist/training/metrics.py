"""Measures of the quality of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..tensor import Tensor
from ..typing import NDArray

__all__ = ["accuracy", "confusion_matrix"]


def accuracy(targets: Any, outputs: Any) -> float:
    """The share of samples whose largest output belongs to the right class.

    Parameters
    ----------
    targets : array of int, shape (N,)
        The right classes; they come first, as in scikit-learn.
    outputs : Tensor or array, shape (N, C)
        Logits or probabilities.

    Examples
    --------
    >>> accuracy(np.array([1, 1]), np.array([[0.1, 0.9], [0.8, 0.2]]))
    0.5
    """
    shapes = np.shape(targets), np.shape(outputs)
    if shapes[0] != shapes[1][:-1]:
        raise ShapeError(
            f"accuracy: targets of shape {shapes[0]} do not fit outputs of shape {shapes[1]}; expected "
            "accuracy(targets, outputs), shapes (N,) and (N, C)"
        )
    classes, targets = _classes(outputs), np.asarray(targets)
    return float(np.mean(classes == targets))


def confusion_matrix(targets: Any, outputs: Any, classes: int | None = None) -> NDArray:
    """Count how often each true class (row) was predicted as each class (column).

    Parameters
    ----------
    targets : array of int, shape (N,)
        The right classes; they come first, as in scikit-learn.
    outputs : Tensor or array, shape (N, C) or (N,)
        Logits or probabilities, or the predicted classes themselves.
    classes : int, optional
        The default is the number of classes that occur.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]))
    array([[1, 1],
           [0, 1]])
    """
    targets = np.asarray(targets)
    predicted = _classes(outputs) if np.ndim(outputs) > 1 else np.asarray(outputs)
    if predicted.shape != targets.shape:
        raise ShapeError(
            f"confusion_matrix: targets of shape {targets.shape} do not fit predictions of shape {predicted.shape}; "
            "expected confusion_matrix(targets, outputs)"
        )
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
