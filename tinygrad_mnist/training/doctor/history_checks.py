"""Checks of a course: the losses of all batches, and the rows of a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .findings import Finding

__all__ = ["check_history", "check_losses"]


def check_losses(epochs: Sequence[Sequence[float]], rate: float) -> Iterator[Finding]:
    """Judge the batches of the last epoch.

    Parameters
    ----------
    epochs : sequence of sequences
        The losses of all batches so far, epoch by epoch.
    rate : float
        The learning rate.

    Notes
    -----
    AutoTrainer speaks of oscillation if accuracy swings by 0.03 or more in a fifth of the epochs, and of an
    explosion if the loss is above 1e5 or NaN. A sample of batches tells it earlier; the bounds for them were
    chosen by our exam.

    Examples
    --------
    >>> losses = [[2.3, 2.5, 4.0, 7.1, 9.3, 8.8], [9.0, 7.7, 9.1, 8.9, 9.4, 8.6]]
    >>> [finding.code for finding in check_losses(losses, rate=3.0)]
    ['learning-rate-too-high']
    """
    first, losses = epochs[0][0], np.asarray(epochs[-1])
    if len(losses) < 5 or first <= 0:
        return
    mean, spread = float(losses.mean()), float(losses.std())
    peak = max(float(np.convolve(epoch, np.ones(3) / 3, "valid").max()) for epoch in epochs)
    if mean > 2 * first or (mean > 0.8 * first and peak > 1.8 * first):
        yield Finding(
            "learning-rate-too-high",
            f"the loss began at {first:.3g}, went up to {peak:.3g}, and is {mean:.3g} on average in epoch {len(epochs)}"
            f" (lr = {rate:g})",
            "optimizer",
        )
    elif len(epochs) >= 2 and len(losses) >= 8:
        before, steps = float(np.mean(epochs[-2])), np.diff(losses)
        swings = np.mean(steps[1:] * steps[:-1] < 0)
        if mean > 0.9 * before and mean > 0.6 * first and spread > 0.35 * mean and swings > 0.55:
            yield Finding(
                "oscillation",
                f"losses of epoch {len(epochs)} lie between {losses.min():.3g} and {losses.max():.3g}; their mean was "
                f"{before:.3g} an epoch before, and is {mean:.3g} now (lr = {rate:g})",
                "optimizer",
            )


def check_history(rows: Sequence[Mapping[str, Any]], first: float) -> Iterator[Finding]:
    """Judge the epochs so far.

    Parameters
    ----------
    rows : sequence of mappings
        The history.
    first : float
        The loss of the first batch, or of the first epoch.

    Notes
    -----
    AutoTrainer speaks of slow convergence if accuracy never grows by 0.01 in an epoch. UMLAUT speaks of
    overfitting as soon as the validation loss grows in an epoch in which the training loss falls; noise does
    that, too, so 30 % above the best is asked for here. The bounds were chosen by our exam.

    Examples
    --------
    >>> rows = [{"train_loss": loss} for loss in (2.301, 2.302, 2.301, 2.301, 2.301)]
    >>> [finding.code for finding in check_history(rows, first=2.302)]
    ['plateau']
    """
    losses = [row["train_loss"] for row in rows]
    last = losses[-4:]
    if len(rows) >= 5 and losses[-1] > 0.7 * first and max(last) - min(last) < 0.005 * first:
        yield Finding(
            "plateau",
            f"the loss began at {first:.3g}, and has been {losses[-1]:.3g} for four epochs",
            "training",
        )
    validation = [row["validation_loss"] for row in rows if "validation_loss" in row]
    if len(validation) < max(3, len(rows)):
        return
    best, end = int(np.argmin(validation)), validation[-1]
    is_worse = len(rows) - 1 - best >= 2 and end > 1.3 * validation[best]
    # Or nothing is left to learn from the training data, and validation stands still far from good.
    is_far = (
        len(rows) >= 8
        and losses[-1] < 0.1 * end
        and min(validation[-3:]) > 0.95 * min(validation[:-3])
        and end > 0.4 * first
    )
    if (is_worse and losses[-1] < min(losses[best], 0.5 * end)) or is_far:
        yield Finding(
            "overfitting",
            f"the validation loss was {validation[best]:.3g} after epoch {rows[best]['epoch']}, and is {end:.3g} now; "
            f"the training loss is {losses[-1]:.3g}",
            "training",
        )
