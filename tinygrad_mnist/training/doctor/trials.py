"""Short trainings on copies, to see whether the loss falls, and at which learning rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

from ...nn import Module
from ...optim import Adam, Optimizer
from ...tensor import Tensor
from ...typing import NDArray
from .case import Case, first_output
from .findings import Finding

__all__ = ["check_initial_loss", "check_learning_rate", "check_one_batch", "check_reduction"]

#: The length of a trial, in steps, and the size of its batches.
STEPS, BATCH = 60, 64


def train(
    case: Case, model: Module, optimizer: Optimizer, x: NDArray, y: NDArray, steps: int, batch: int
) -> list[float]:
    """Train for some steps on random batches; return their losses, up to the first that is not finite."""
    rng = np.random.default_rng(0)
    losses: list[float] = []
    with np.errstate(all="ignore"):
        for _ in range(steps):
            rows = rng.choice(len(x), min(batch, len(x)), replace=False)
            optimizer.zero_grad()
            value = case.loss(model(x[rows]), y[rows])
            losses.append(float(np.mean(np.asarray(value.detach() if isinstance(value, Tensor) else value))))
            if not math.isfinite(losses[-1]) or not isinstance(value, Tensor) or not value.requires_grad:
                break
            value.backward()
            optimizer.step()
    return losses


def _trial(case: Case, factor: float) -> list[float]:
    model, optimizer = copy.deepcopy((case.model, case.optimizer))
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    return train(case, model.train(), optimizer, np.asarray(case.x), np.asarray(case.y), STEPS, BATCH)


def check_initial_loss(case: Case) -> Iterator[Finding]:
    """Compare the first loss with that of equal probabilities."""
    if case.classes > 1 and case.logits and math.isfinite(case.start):
        chance = math.log(case.classes)
        if case.start > 3 * chance + 2 and not _grows(case):
            yield Finding(
                "initial-loss", f"the loss is {case.start:.3g}; ln({case.classes}) is {chance:.3g}", "loss"
            )


def check_reduction(case: Case) -> Iterator[Finding]:
    """See whether the loss grows with the batch."""
    if _grows(case) and not case.is_adaptive() and case.lr() * min(BATCH, len(case.x)) > 1:
        yield Finding(
            "sum-for-mean",
            f"twice the samples make twice the loss; the learning rate is {case.lr():g}",
            "loss",
        )


def _grows(case: Case) -> bool:
    """Whether the loss of a batch that contains every sample twice is twice that of the batch."""
    model = copy.deepcopy(case.model).eval()
    x, y = np.asarray(case.x)[:32], np.asarray(case.y)[:32]

    def loss(x: NDArray, y: NDArray) -> float:
        value = case.loss(model(x), y)
        return float(np.sum(np.asarray(value.detach() if isinstance(value, Tensor) else value)))

    one, two = loss(x, y), loss(np.concatenate([x, x]), np.concatenate([y, y]))
    return one != 0 and abs(two / one - 2) < 0.05


def check_learning_rate(case: Case) -> Iterator[Finding]:
    """Train a little with the optimizer's learning rate; if that goes badly, with others too."""
    if case.optimizer is None or not any(group["params"] for group in case.optimizer.param_groups):
        return
    start, end = _ends(_trial(case, 1))
    said = f"with lr = {case.lr():g} the loss went from {start:.4g} to {end:.4g} in {STEPS} steps"
    if not math.isfinite(start):
        return
    if not math.isfinite(end) or end > 0.8 * start:
        lower = _ends(_trial(case, 0.1))[1]
        worse = not math.isfinite(end) or end > 1.5 * start
        if (worse and (lower < 0.8 * end or not math.isfinite(end))) or lower < 0.7 * min(start, end):
            yield Finding(
                "learning-rate-too-high", f"{said}; with a tenth of that, to {lower:.4g}", "optimizer"
            )
            return
    if not case.lr():
        yield Finding("learning-rate-too-low", "lr is 0", "optimizer")
    elif start - end < 0.1 * abs(start):
        model = copy.deepcopy(case.model).train()
        adam = Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
        best = (
            start - _ends(train(case, model, adam, np.asarray(case.x), np.asarray(case.y), STEPS, BATCH))[1]
        )
        higher = start - _ends(_trial(case, 10))[1]
        if best > 0.1 * abs(start) and start - end < 0.04 * best and higher > 2.5 * (start - end):
            yield Finding(
                "learning-rate-too-low",
                f"{said}; with Adam and lr = 0.003, to {start - best:.4g}",
                "optimizer",
            )


def _ends(losses: list[float]) -> tuple[float, float]:
    """The first loss and the typical one at the end; infinity if it was not finite."""
    if not losses:
        return math.nan, math.nan
    if not math.isfinite(losses[-1]):
        return losses[0], math.inf
    return losses[0], float(np.median(losses[-10:]))


def check_one_batch(case: Case, steps: int = 150) -> Iterator[Finding]:
    """See whether a copy of the model can learn a few samples by heart (Karpathy's recipe [1]_)."""
    model = copy.deepcopy(case.model).eval()
    if not any(p.requires_grad for p in model.parameters()):
        return
    x, y = np.asarray(case.x), np.asarray(case.y)
    rows = np.linspace(0, len(x) - 1, min(16, len(x))).astype(int)
    x, y = x[rows], y[rows]
    losses = train(case, model, Adam(model.parameters(), lr=3e-3), x, y, steps, len(x))
    start, end = losses[0], _ends(losses)[1]
    if not math.isfinite(start):
        return
    if case.classes > 1 and len(np.unique(y)) > 1:
        right = float(np.mean(first_output(model(x)).argmax(axis=1) == y))
        if right < 0.7 and end > 0.5 * start:
            yield Finding(
                "cannot-overfit-one-batch",
                f"after {steps} steps on {len(x)} samples the loss is {end:.3g} (it was {start:.3g}), and "
                f"{right:.0%} are right",
                "model",
            )
    elif (
        start > 0
        and end > 0.97 * start
        and np.ptp(y.astype(np.float64)) > 0
        and start > 0.05 * np.mean(y.astype(np.float64) ** 2)
    ):
        yield Finding(
            "cannot-overfit-one-batch",
            f"after {steps} steps on {len(x)} samples the loss is {end:.3g}; it was {start:.3g}",
            "model",
        )
