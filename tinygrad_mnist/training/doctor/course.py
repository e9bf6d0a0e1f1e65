"""The doctor at the bedside: a callback that watches a training and says what goes wrong."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...errors import TinygradError
from ..callbacks import Callback, Training
from .case import Case
from .data_checks import check_overlap
from .examination import examine
from .findings import Finding
from .model_checks import DEAD_LATER, check_gradients, check_units

__all__ = ["Doctor"]


class Doctor(Callback):
    """Watch a training, and say once what goes wrong.

    It looks at the data and the graph before the first step, at the losses after each epoch, and at the units and
    gradients of a sample. It works on copies: the training is the same, bit for bit, with and without it.

    Parameters
    ----------
    say : callable, optional
        What to do with each new :class:`Finding`; by default, it is printed to the standard error stream.

    Attributes
    ----------
    findings : list of Finding

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, _ = tg.data.load_mnist("sample")
    >>> doctor = Doctor()
    >>> model = tg.nn.MLP([784, 32, 10], rng=0)
    >>> history = tg.training.fit(model, train, epochs=2, rng=0, progress=False, callbacks=doctor)
    >>> doctor.findings
    []
    """

    def __init__(self, say: Callable[[Finding], Any] | None = None) -> None:
        self.say = say or _print
        self.findings: list[Finding] = []
        self._losses: list[list[float]] = []
        self._case: Case | None = None

    def on_start(self, training: Training) -> None:
        self.findings, self._losses, self._case = [], [], None
        if training.data is None or training.loss_function is None:
            return
        self._case = Case(training.model, training.data, training.loss_function, training.optimizer, 256)
        self._note(examine(self._case, trials=False))
        if training.validation is not None:
            first, second = (
                loader.dataset[: min(len(loader.dataset), 5000)][0]
                for loader in (training.data, training.validation)
            )
            self._note(check_overlap(np.asarray(first), np.asarray(second)))

    def on_batch(self, training: Training) -> None:
        if training.batch == 1:
            self._losses.append([])
        self._losses[-1].append(training.loss)

    def on_epoch(self, training: Training) -> None:
        self._note(self._look_at_losses(training))
        self._note(self._look_at_history(training))
        self._note(self._look_at_model(training))

    def on_end(self, training: Training) -> None:
        if self._losses and not math.isfinite(training.loss):
            self._note(self._after_a_bad_loss(training))

    def _note(self, findings: Iterator[Finding]) -> None:
        for finding in findings:
            if all((finding.code, finding.layer) != (old.code, old.layer) for old in self.findings):
                self.findings.append(finding)
                self.say(finding)

    def _after_a_bad_loss(self, training: Training) -> Iterator[Finding]:
        if {"non-finite-data", "logits-as-probabilities"} & {finding.code for finding in self.findings}:
            return
        rate = training.optimizer.param_groups[0]["lr"]
        yield Finding(
            "learning-rate-too-high",
            f"with lr = {rate:g} the loss went from {self._losses[0][0]:.3g} to {training.loss:.3g} in batch "
            f"{training.batch} of epoch {training.epoch}",
            "optimizer",
        )

    def _look_at_losses(self, training: Training) -> Iterator[Finding]:
        """Judge the batches of the epoch that just ended."""
        first, losses = self._losses[0][0], np.asarray(self._losses[-1])
        rate = training.optimizer.param_groups[0]["lr"]
        mean, spread = float(losses.mean()), float(losses.std())
        peak = (
            max(
                float(np.convolve(epoch, np.ones(3) / 3, "valid").max())
                for epoch in self._losses
                if len(epoch) > 2
            )
            if len(losses) > 2
            else first
        )
        if (
            first > 0
            and len(losses) >= 5
            and (mean > 2 * first or (mean > 0.8 * first and peak > 1.8 * first))
        ):
            yield Finding(
                "learning-rate-too-high",
                f"the loss began at {first:.3g}, went up to {peak:.3g}, and is {mean:.3g} on average in epoch {training.epoch} "
                f"(lr = {rate:g})",
                "optimizer",
            )
        elif training.epoch >= 2 and len(losses) >= 8:
            before = np.asarray(self._losses[-2])
            swings = np.mean(np.diff(losses)[1:] * np.diff(losses)[:-1] < 0)
            if mean > 0.9 * before.mean() and mean > 0.6 * first and spread > 0.35 * mean and swings > 0.55:
                yield Finding(
                    "oscillation",
                    f"losses of epoch {training.epoch} lie between {losses.min():.3g} and {losses.max():.3g}; their mean "
                    f"was {before.mean():.3g} an epoch before, and is {mean:.3g} now (lr = {rate:g})",
                    "optimizer",
                )

    def _look_at_history(self, training: Training) -> Iterator[Finding]:
        rows, first = list(training.history), self._losses[0][0]
        losses = [row["train_loss"] for row in rows]
        if (
            len(rows) >= 5
            and losses[-1] > 0.7 * first
            and max(losses[-4:]) - min(losses[-4:]) < 0.005 * first
        ):
            yield Finding(
                "plateau",
                f"the loss began at {first:.3g}, and has been {losses[-1]:.3g} for four epochs",
                "training",
            )
        if not training.validates or len(rows) < 3:
            return
        validation = [row["validation_loss"] for row in rows]
        best = int(np.argmin(validation))
        if (
            len(rows) - 1 - best >= 2
            and validation[-1] > 1.3 * validation[best]
            and losses[-1] < min(losses[best], 0.5 * validation[-1])
        ):
            yield Finding(
                "overfitting",
                f"the validation loss was {validation[best]:.3g} after epoch {rows[best]['epoch']}, and is {validation[-1]:.3g} "
                f"now; the training loss is {losses[-1]:.3g}",
                "training",
            )

    def _look_at_model(self, training: Training) -> Iterator[Finding]:
        """Judge what the model makes of a sample."""
        if self._case is None:
            return
        case = Case(training.model, self._case.loader, self._case.loss, None, 256)
        try:
            case.run(training=False)
        except TinygradError:
            return
        yield from check_units(case, DEAD_LATER)
        yield from check_gradients(case)
        if case.classes < 2 or len(case.output) < 32 or training.epoch < 2:
            return
        labels = np.bincount(np.ravel(case.y), minlength=case.classes) / np.size(case.y)
        said = np.bincount(case.output.argmax(axis=1).ravel(), minlength=case.classes)
        entropy = -float(np.sum(labels * np.log(np.maximum(labels, 1e-12))))
        learned_nothing = bool(case.logits) and float(np.mean(self._losses[-1])) > 0.99 * entropy
        is_constant = float(case.output.std(axis=0).max()) < 0.02 or sum(map(len, self._losses)) >= 100
        is_stuck = (learned_nothing and is_constant) or (is_constant and training.epoch >= 5)
        if said.max() > 0.99 * said.sum() and labels.max() < 0.9 and is_stuck:
            yield Finding(
                "one-class-predicted",
                f"{said.max() / said.sum():.0%} of the predictions are class {said.argmax()}, and {labels.max():.0%} of the labels",
                "output",
            )


def _print(finding: Finding) -> None:
    if sys.stderr is not None:
        print(finding, file=sys.stderr, flush=True)
