"""Checks of the data alone: their range, their labels, their order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...typing import NDArray
from .case import Case, class_labels, input_of, products
from .findings import Finding, where

__all__ = ["check_data", "check_labels", "check_scale"]

#: Inputs of a layer count as unscaled from this root mean square on (pixels from 0 to 255 have about 80), and as
#: scaled twice below this maximum (1 / 255 is 0.004).
UNSCALED, SCALED_TWICE = 8.0, 0.02
#: How many times as frequent the most frequent class may be as the rarest one.
IMBALANCE = 14.0
#: Standard deviations by which neighbours agree more often than chance, if labels belong to their inputs.
SIGNIFICANT = 3.0


def check_data(case: Case) -> Iterator[Finding]:
    """Find what needs no model: numbers that are not finite, rare classes, sorted samples.

    Notes
    -----
    CS231n and Karpathy say to look at the balance of the classes and at single samples, and give no number. How
    many times as frequent a class may be was chosen by our exam.
    """
    for name, values in (("inputs", case.x), ("targets", case.y)):
        values = np.asarray(values)
        if values.dtype.kind in "fc" and not np.isfinite(values).all():
            bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
            yield Finding("non-finite-data", f"{bad.sum():,} of {len(bad):,} samples are not finite", name)
    x = np.asarray(case.x)
    if len(x) > 3 and x.size and not (x != x[:1]).any():
        yield Finding(
            "input-ignored", f"all {len(x):,} inputs are the same: {np.ravel(x)[0]:.3g}, …", "inputs"
        )
    yield from _check_answers(case)
    y = class_labels(np.asarray(case.y))
    if y is None or len(y) < 50:
        return
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) > max(50, len(y) // 10):
        return
    if len(classes) == 1:
        yield Finding("class-imbalance", f"all {len(y):,} labels are {classes[0]}", "labels")
    elif counts.max() / counts.min() >= IMBALANCE and counts.max() >= 50:
        most, least = classes[counts.argmax()], classes[counts.argmin()]
        yield Finding(
            "class-imbalance",
            f"{counts.max() / len(y):.0%} of the labels are {most}, and {counts.min() / len(y):.1%} are {least}",
            "labels",
        )
    if not case.loader.shuffle and case.is_loader and len(case.loader) > 1:
        # The labels were taken evenly and in order: sorted ones change as often as there are classes.
        changes, chance = np.count_nonzero(np.diff(y)), (len(y) - 1) * (1 - np.sum((counts / len(y)) ** 2))
        if changes <= 0.2 * chance:
            yield Finding(
                "data-not-shuffled",
                f"neighbours have different labels {changes:,} times; in random order it would be {chance:,.0f}",
                "labels",
            )


def _check_answers(case: Case) -> Iterator[Finding]:
    """See whether the targets are sorted, or are among the inputs.

    Notes
    -----
    A target among the inputs is a leak, as in Karpathy's recipe: look at the data before anything else.
    """
    x, y = np.asarray(case.x), np.asarray(case.y)
    if y.size != len(y) or len(y) < 20 or y.dtype.kind not in "fiub" or not np.ptp(y.astype(np.float64)):
        return
    y = y.reshape(-1)
    if x.ndim == 2 and x.shape[1] > 1 and x.dtype.kind == "f":
        same = np.flatnonzero((x == y[:, None]).all(axis=0))
        if same.size:
            yield Finding("leak", f"column {same[0]} of the inputs is the target itself", "inputs")
    if class_labels(y) is None and not case.loader.shuffle and case.is_loader and len(case.loader) > 1:
        steps = np.diff(y)
        if (steps >= 0).all() or (steps <= 0).all():
            yield Finding("data-not-shuffled", "the samples are sorted by their targets", "targets")


def check_scale(case: Case) -> Iterator[Finding]:
    """Look at the numbers that the first layers multiply, after whatever the model does to the inputs.

    Notes
    -----
    UMLAUT warns of inputs outside of -1 to 1, and CS231n advises mean 0 and standard deviation 1. Healthy
    standardised data have single numbers beyond 1, so the root mean square counts here; its bounds were chosen by
    our exam.
    """
    for node in products(case.nodes):
        value, parent = input_of(node)
        if value is None or parent is not None or value.dtype.kind not in "fiu" or value.size < 2:
            continue
        values = value.astype(np.float64)
        if not np.isfinite(values).all():
            continue
        size, top = float(np.sqrt(np.mean(values**2))), float(np.abs(values).max())
        if values.ndim == 2 and 1 < values.shape[1] <= 64:  # a table: each column has a scale of its own
            size = max(size, float(np.sqrt(np.mean(values**2, axis=0)).max()) / 3)
        span = f"they go from {values.min():.3g} to {values.max():.3g}"
        if size > UNSCALED:
            yield Finding(
                "inputs-not-scaled",
                f"{span}; their root mean square is {size:.3g}",
                node.scope,
                where(node.line),
            )
        elif 0 < top < SCALED_TWICE:
            yield Finding("inputs-scaled-twice", span, node.scope, where(node.line))
        return


def check_labels(case: Case) -> Iterator[Finding]:
    """Compare integer targets with the outputs, and with the labels of similar inputs."""
    y = np.asarray(case.y)
    if y.dtype.kind not in "iu" or y.ndim != 1:
        return
    yield from _check_pairs(np.asarray(case.x), y)


def check_range(case: Case, outputs: int) -> Iterator[Finding]:
    """Whether each integer target has an output."""
    y = np.asarray(case.y)
    if y.dtype.kind == "f" and y.ndim == 1 and outputs > 1 and np.any(y % 1):
        yield Finding(
            "labels-out-of-range",
            f"labels are {y.min():.3g} to {y.max():.3g}; {outputs} outputs stand for 0, 1, …, {outputs - 1}",
            "labels",
        )
    is_whole = y.dtype.kind == "f" and y.ndim == 1 and not np.any(y % 1)
    if (y.dtype.kind not in "iu" and not is_whole) or not y.size or outputs < 1:
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or (high == outputs and low >= 1):
        yield Finding(
            "labels-out-of-range",
            f"labels go from {low} to {high}; {outputs} outputs stand for 0 to {outputs - 1}",
            "labels",
        )
    elif high >= outputs:
        yield Finding(
            "too-few-outputs", f"labels go from {low} to {high}, but there are {outputs} outputs", "output"
        )


def _check_pairs(x: NDArray, y: NDArray) -> Iterator[Finding]:
    """See whether inputs that are alike have the same label, or the label of a sample before or after.

    Notes
    -----
    No published check; the bound is three standard deviations.
    """
    n = len(y)
    flat = x.reshape(n, -1)
    if n < 150 or flat.dtype.kind not in "fiu" or flat.shape[1] < 16 or not np.isfinite(flat).all():
        return
    if x.dtype.kind in "iu" and x.ndim < 3 and np.unique(x).size > 300:
        return
    flat = flat.astype(np.float64)
    chance = float(np.sum((np.unique(y, return_counts=True)[1] / n) ** 2))
    if chance > 0.9 or not _is_smooth(flat):
        return
    squares = np.sum(flat**2, axis=1)
    distances = squares[:, None] + squares - 2 * (flat @ flat.T)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    spread = np.sqrt(chance * (1 - chance) / n)
    agreement = float(np.mean(y == y[nearest]))
    if agreement < chance + SIGNIFICANT * spread:
        yield Finding(
            "labels-out-of-step",
            f"the most similar sample has the same label in {agreement:.0%} of {n} cases; chance gives {chance:.0%}",
            "labels",
        )


def _is_smooth(flat: NDArray) -> bool:
    """Whether features beside each other go together, as in pictures; random numbers say nothing about labels."""
    varied = flat[:, flat.std(axis=0) > 0]
    if varied.shape[1] < 16:
        return False
    centred = (varied - varied.mean(axis=0)) / varied.std(axis=0)
    return float(np.median(np.abs(np.mean(centred[:, 1:] * centred[:, :-1], axis=0)))) > 0.25


def check_overlap(first: NDArray, second: NDArray) -> Iterator[Finding]:
    """Whether samples of one part of the data are in the other too.

    Notes
    -----
    UMLAUT warns if validation accuracy is above 95 % or above that of the training data. Both may be true of
    healthy trainings, so the samples themselves are compared.
    """
    known = {row.tobytes() for row in np.ascontiguousarray(first.reshape(len(first), -1))}
    rows = np.ascontiguousarray(second.reshape(len(second), -1).astype(first.dtype))
    same = sum(row.tobytes() in known for row in rows)
    if same > 0.02 * len(rows) and rows.shape[1] > 3 and same > 2:
        yield Finding(
            "leak", f"{same:,} of {len(rows):,} samples are among the training samples too", "validation data"
        )
