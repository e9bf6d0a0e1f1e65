"""The doctor at the bedside: a callback that watches a training and says what goes wrong."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ...errors import TinygradError
from ...typing import NDArray
from ..callbacks import Callback, Training
from .case import Case
from .data_checks import check_overlap
from .examination import examine
from .findings import Finding
from .history_checks import check_history, check_losses
from .model_checks import SATURATED_LATER, check_gradients, check_units

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

    only_watches = True

    def __init__(self, say: Callable[[Finding], Any] | None = None) -> None:
        self.say = say or _print
        self.findings: list[Finding] = []
        self._losses: list[list[float]] = []
        self._case: Case | None = None
        self._first: list[NDArray] = []
        self._spread = math.inf

    def on_start(self, training: Training) -> None:
        self.findings, self._losses, self._case = [], [], None
        self._spread = math.inf
        self._first = [np.array(p.data) for p in training.model.parameters()]
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

    def state_dict(self) -> dict[str, Any]:
        """The losses and findings so far."""
        losses = [loss for epoch in self._losses for loss in epoch]
        return {
            "losses": np.array(losses, np.float64),
            "lengths": np.array([len(epoch) for epoch in self._losses], np.int64),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with those of an interrupted training."""
        ends = np.cumsum(state["lengths"])[:-1]
        self._losses = (
            [part.tolist() for part in np.split(state["losses"], ends)] if len(state["lengths"]) else []
        )
        self.findings = [Finding(**finding) for finding in state["findings"]]

    def on_batch(self, training: Training) -> None:
        if training.batch == 1 or not self._losses:
            self._losses.append([])
        self._losses[-1].append(training.loss)

    def on_epoch(self, training: Training) -> None:
        rate = training.optimizer.param_groups[0]["lr"]
        self._note(check_losses(self._losses, rate))
        for finding in check_history(list(training.history), self._losses[0][0]):
            self._note(iter([finding]))
            if finding.code == "plateau":
                self._note(self._moved(training))
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

    def _moved(self, training: Training) -> Iterator[Finding]:
        """See whether a loss stands still because the weights do.

        Notes
        -----
        CS231n takes updates of 1e-3 of the weights in each step for good; these did not move so far in all steps.
        """
        now = [np.asarray(p.data, np.float64) for p in training.model.parameters()]
        if len(now) != len(self._first):
            return
        way = math.sqrt(sum(np.sum((p - first) ** 2) for p, first in zip(now, self._first, strict=True)))
        size = math.sqrt(sum(np.sum(first.astype(np.float64) ** 2) for first in self._first))
        if 0 < way < 1e-3 * size:
            rate = training.optimizer.param_groups[0]["lr"]
            said = f"with lr = {rate:g} the weights moved by {way / size:.1g} of their size in {training.epoch} epochs"
            yield Finding("learning-rate-too-low", said, "optimizer")

    def _look_at_model(self, training: Training) -> Iterator[Finding]:
        """Judge what the model makes of a sample."""
        if self._case is None:
            return
        case = Case(training.model, self._case.loader, self._case.loss, None, 256)
        try:
            case.run(training=False)
        except TinygradError:
            return
        yield from check_units(case, SATURATED_LATER)
        yield from check_gradients(case)
        if case.classes < 2 or len(case.output) < 32:
            return
        spread, before = float(case.output.std(axis=0).max()), self._spread
        self._spread = spread
        if training.epoch < 2 or spread > 1.1 * before:  # outputs that move apart are on their way
            return
        labels = np.bincount(np.ravel(case.y), minlength=case.classes) / np.size(case.y)
        said = np.bincount(case.output.argmax(axis=1).ravel(), minlength=case.classes)
        entropy = -float(np.sum(labels * np.log(np.maximum(labels, 1e-12))))
        is_blind = bool(case.logits) and float(np.mean(self._losses[-1])) > 0.99 * entropy
        is_constant = spread < 0.02
        had_time = sum(map(len, self._losses)) >= 100
        is_stuck = (is_blind and (is_constant or had_time)) or (is_constant and training.epoch >= 5)
        if is_stuck and said.max() > 0.99 * said.sum() and labels.max() < 0.9:
            yield Finding(
                "one-class-predicted",
                f"{said.max() / said.sum():.0%} of the predictions are class {said.argmax()}; "
                f"{labels.max():.0%} of the labels have the most common class",
                "output",
            )


def _print(finding: Finding) -> None:
    if sys.stderr is not None:
        print(finding, file=sys.stderr, flush=True)
