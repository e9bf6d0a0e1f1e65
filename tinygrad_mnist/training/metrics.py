"""Measures of the quality of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import nn
from ..errors import OptionError, ShapeError, quote
from ..nn import functional as F  # noqa: N812
from ..tensor import Tensor
from ..trees import leaves, rebuild, tree_map
from ..typing import NDArray

__all__ = [
    "Metric",
    "Tally",
    "accuracy",
    "class_axis",
    "confusion_matrix",
    "join",
    "measure",
    "named_metrics",
    "plain",
]

#: A function of all targets and all outputs.
Metric = Callable[[Any, Any], Any]


def accuracy(targets: Any, outputs: Any, *, axis: int = -1) -> float:
    """The share of positions whose largest output belongs to the right class.

    Parameters
    ----------
    targets : array of int, shape (N,) or (N, d1, …)
        The right classes; they come first, as in scikit-learn.
    outputs : Tensor or array, shape (N, C) or (N, d1, …, C)
        Logits or probabilities.
    axis : int, default -1
        The axis of the classes; it is 1 for outputs of shape (N, C, d1, …), which ``cross_entropy`` takes.

    Examples
    --------
    >>> accuracy(np.array([1, 1]), np.array([[0.1, 0.9], [0.8, 0.2]]))
    0.5

    Two sequences of three positions each, with two classes:

    >>> outputs = np.array([[[2, 0, 1], [1, 1, 0]], [[0, 0, 0], [1, 1, 1]]])
    >>> accuracy(np.array([[0, 1, 0], [1, 1, 0]]), outputs, axis=1).__round__(3)
    0.833
    """
    shape, targets = np.shape(outputs), np.asarray(targets)
    if not -len(shape) <= axis < len(shape) or targets.shape != _without(shape, axis):
        raise ShapeError(
            f"accuracy: targets of shape {targets.shape} do not fit outputs of shape {shape} with the classes on axis "
            f"{axis}; expected accuracy(targets, outputs), shapes (N,) and (N, C), or axis=1 and shapes (N, d1, …) and "
            "(N, C, d1, …)"
        )
    return float(np.mean(_classes(outputs, axis) == targets))


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


class Tally:
    """Averages over samples and positions, collected batch by batch.

    Its attributes are numbers, so that it can be saved in the middle of an epoch.

    Parameters
    ----------
    axis : int, optional
        The axis on which the loss has the classes; see :func:`class_axis`.

    Notes
    -----
    There is an accuracy if the outputs are one array and the targets are classes: integers, one for each position,
    which is every element of the outputs but for one axis. The shapes say which axis that is. If several fit, as in
    outputs of shape (N, 5, 5) with targets of shape (N, 5), it is the loss's. Where that is not known either, there
    is no accuracy, rather than one that may be wrong.
    """

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self.loss = 0.0
        self.count = 0  # samples
        self.correct = 0
        self.positions = 0
        self.classifies = True

    def add(self, loss: float, outputs: Any, targets: Any, count: int | None = None) -> None:
        """Add a batch: its mean loss, its outputs and targets, each an array or a tree of them.

        If these are only a share of the batch, ``count`` says how many samples the batch has.
        """
        n = len(next(leaves(targets))) if count is None else count
        self.loss += loss * n
        self.count += n
        axis = self._axis(outputs, targets) if self.classifies else None
        if axis is None:
            self.classifies = False
        else:
            self.correct += int(np.count_nonzero(_classes(outputs, axis) == targets))
            self.positions += targets.size

    def join(self, shares: Iterable[tuple[int, int, bool]]) -> None:
        """Take together what :attr:`share` says in all processes that have a share of each batch."""
        correct, positions, classify = zip(*shares, strict=True)
        self.correct, self.positions, self.classifies = sum(correct), sum(positions), all(classify)

    @property
    def share(self) -> tuple[int, int, bool]:
        """What a process knows of its own shares only."""
        return self.correct, self.positions, self.classifies

    def means(self, prefix: str = "") -> dict[str, float]:
        """Return ``loss``, and ``accuracy`` if there is one."""
        means = {f"{prefix}loss": self.loss / self.count}
        if self.classifies and self.positions:
            means[f"{prefix}accuracy"] = self.correct / self.positions
        return means

    def _axis(self, outputs: Any, targets: Any) -> int | None:
        """The axis of the classes; None if there are none, or if it is not known."""
        if not (isinstance(outputs, (Tensor, np.ndarray)) and isinstance(targets, np.ndarray)):
            return None
        if targets.dtype.kind not in "iu" or outputs.ndim != targets.ndim + 1:
            return None
        shape = outputs.shape
        # Two classes at least: a single output, as of a regression or of a logit, has no largest one.
        fitting = [i for i in range(1, len(shape)) if shape[i] > 1 and targets.shape == _without(shape, i)]
        if len(fitting) > 1:
            fitting = [i for i in fitting if self.axis is not None and i == self.axis % len(shape)]
        if not fitting or (targets.size and not 0 <= targets.min() <= targets.max() < shape[fitting[0]]):
            return None
        return fitting[0]


def class_axis(loss: Any) -> int | None:
    """Return the axis on which a loss has the classes; None if that is not known.

    Parameters
    ----------
    loss : callable, str or None
        As :func:`fit` takes it.

    Examples
    --------
    >>> class_axis("cross-entropy"), class_axis("mse"), class_axis(lambda outputs, targets: 0)
    (1, -1, None)
    """
    loss = loss.func if isinstance(loss, partial) else loss
    kind = loss if isinstance(loss, type) else type(loss)
    if loss is None or loss == "cross-entropy" or kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        return 1
    if loss is F.cross_entropy or loss is F.nll_loss:
        return 1
    return -1 if isinstance(loss, str) else None


def named_metrics(metrics: Mapping[str, Metric] | Iterable[Metric] | Metric | None) -> dict[str, Metric]:
    """Return functions of targets and outputs by their names.

    Raises
    ------
    OptionError
        If something is no function, or has no name of its own.
    """
    if not isinstance(metrics, Mapping):
        is_several = isinstance(metrics, Iterable) and not isinstance(metrics, str)
        given: list[Any] = list(metrics) if is_several else [] if metrics is None else [metrics]  # type: ignore[arg-type]
        metrics = {getattr(metric, "__name__", repr(metric)): metric for metric in given}
        if len(metrics) < len(given):
            raise OptionError("metrics: several have the same name; pass a dict, as in {'f1': f1, 'f2': f2}")
    for name, metric in metrics.items():
        if not callable(metric):
            raise OptionError(
                f"metrics: {metric!r} is not a function; pass functions of (targets, outputs) by their names, as in "
                "{'f1': f1}"
            )
        if name in ("loss", "count", "<lambda>") or not isinstance(name, str):
            raise OptionError(
                f"metrics: {name!r} cannot be the name of a metric; pass a dict, as in {{'f1': f1}}"
            )
    return dict(metrics)


def measure(metrics: Mapping[str, Metric], targets: Any, outputs: Any) -> dict[str, float]:
    """Call each metric with all targets and outputs.

    Raises
    ------
    OptionError
        If a metric does not return a number.
    """
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        value = metric(targets, outputs)
        if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.size == 1:
            value = value.item()
        if not isinstance(value, (int, float)):
            raise OptionError(f"metrics: {name!r} returned {quote(value)}; it must return a number")
        values[name] = value
    return values


def plain(outputs: Any) -> Any:
    """Return the outputs of a model as plain arrays, in the same tree."""
    return tree_map(lambda x: x.data if isinstance(x, Tensor) else np.asarray(x), outputs)


def join(batches: list[Any]) -> Any:
    """Join the arrays of all batches; each batch is an array or a tree of arrays. Of a number, there is one a batch."""
    parts = (map(np.atleast_1d, of_batches) for of_batches in zip(*map(leaves, batches), strict=True))
    return rebuild(batches[0], (np.concatenate([*arrays]) for arrays in parts))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """A shape without an axis."""
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def _classes(outputs: Any, axis: int = -1) -> NDArray:
    return np.argmax(plain(outputs), axis=axis)
