"""Confusion matrices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DTypeError, OptionError, ShapeError
from ...palette import GRID, INK, PALE, RIGHT, SOFT, WRONG
from ...typing import NDArray
from ..figures import array, finish, library, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_confusion"]

#: Up to this many classes, each cell holds its count.
READABLE = 20


def plot_confusion(
    targets: Any,
    predictions: Any = None,
    *,
    classes: Sequence[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot how often each true class was predicted as each class.

    What is right lies on the diagonal, in green. Mistakes are orange, on a scale of their own, so
    that they can be seen in a good classifier too.

    Parameters
    ----------
    targets : array_like of int, shape (N,)
        The true classes; or, without ``predictions``, the counts themselves, of shape ``(C, C)``:
        true classes down, predicted ones across.
    predictions : array_like of int, shape (N,), optional
        The predicted classes.
    classes : sequence, optional
        The names of the classes; by default ``0 … C - 1``.
    path : path, optional
        Also write the figure to this file, as ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, DTypeError, OptionError
        If the shapes do not fit, there is nothing to count, or a class is not in ``0 … C - 1``.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> figure = tg.viz.plot_confusion([0, 1, 1, 0], [0, 1, 0, 0], classes=["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '4 samples, 75.00% right'
    """
    names = None if classes is None else [str(name) for name in classes]
    counts = (
        _square(array(targets)) if predictions is None else _count(array(targets), array(predictions), names)
    )
    size, total = len(counts), int(counts.sum())
    if names is None:
        names = [str(i) for i in range(size)]
    if len(names) != size:
        raise ShapeError(f"plot_confusion: {len(names)} names for {size} classes")
    if not total:
        raise OptionError("plot_confusion: there are no samples to count")

    rows = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(rows, 1)
    side = min(max(2.2 + 0.42 * size, 3.4), 11)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(_colours(shares), interpolation="nearest")
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    axes.set_title(
        f"{total:,} samples, {np.trace(counts) / total:.2%} right", fontsize=10, color=INK, loc="left"
    )
    axes.spines[:].set_color(PALE)
    step = -(-size // 25)
    longest = max(map(len, names))
    axes.set_xticks(range(0, size, step), names[::step], rotation=90 if longest > 3 else 0)
    axes.set_yticks(range(0, size, step), names[::step])
    axes.tick_params(colors=INK, labelsize=9, length=0)
    if size <= READABLE:
        for i, j in zip(*np.nonzero(counts), strict=True):
            is_dark = i != j and shares[i, j] > 0.85 * _largest_mistake(shares)
            colour = "white" if is_dark else INK
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
        axes.grid(which="minor", color=GRID, linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        _add_recall(axes, shares, rows)
    return finish(figure, path)


def _square(counts: NDArray) -> NDArray:
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(
            f"plot_confusion: counts of shape {counts.shape}; expected (C, C), "
            "or targets and predictions of shape (N,)"
        )
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise DTypeError(
            f"plot_confusion: counts must be integers from 0, not {counts.dtype} from {counts.min()}"
        )
    return counts


def _count(targets: NDArray, predictions: NDArray, names: list[str] | None) -> NDArray:
    if targets.ndim != 1 or targets.shape != predictions.shape:
        raise ShapeError(
            f"plot_confusion: targets of shape {targets.shape} and predictions of shape {predictions.shape}; "
            "expected the same shape (N,) for both"
        )
    if not targets.size:
        raise OptionError("plot_confusion: there are no samples to count")
    if targets.dtype.kind not in "iu" or predictions.dtype.kind not in "iu":
        raise DTypeError(
            f"plot_confusion: classes must be integers, not {targets.dtype} and {predictions.dtype}; "
            "for probabilities use np.argmax(…, axis=1)"
        )
    size = len(names) if names is not None else int(max(targets.max(), predictions.max())) + 1
    low, high = min(targets.min(), predictions.min()), max(targets.max(), predictions.max())
    if low < 0 or high >= size:
        raise OptionError(f"plot_confusion: a class of {low} … {high} is out of range for {size} classes")
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (targets, predictions), 1)
    return counts


def _largest_mistake(shares: NDArray) -> float:
    return float((shares - np.diag(np.diag(shares))).max()) or 1.0


def _colours(shares: NDArray) -> NDArray:
    """Mix white with green on the diagonal and with orange elsewhere, by the share of the true class."""
    to_rgb = library("matplotlib.colors").to_rgb
    right = np.eye(len(shares), dtype=bool)[..., None]
    strength = np.where(right, shares[..., None], shares[..., None] / _largest_mistake(shares))
    full = np.where(right, to_rgb(RIGHT), to_rgb(WRONG))
    return 1 - strength * (1 - full)


def _add_recall(axes: Any, shares: NDArray, rows: NDArray) -> None:
    """Write the share of each class that was recognised next to its row."""
    edge = len(shares) - 0.35
    axes.text(edge, -0.65, "recall", fontsize=8, color=SOFT)
    for i, share in enumerate(np.diag(shares)):
        if rows[i, 0]:
            axes.text(edge, i, f"{share:.1%}", va="center", fontsize=8, color=SOFT, clip_on=False)
