"""Short trainings on copies, to see whether the loss falls, and at which learning rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

from ...errors import TinygradError
from ...graph import no_grad
from ...nn import Module
from ...nn import functional as F  # noqa: N812
from ...optim import Adam, Optimizer
from ...tensor import Tensor
from ...typing import NDArray
from .activations import activation_at
from .case import Case, class_labels, first_output
from .findings import Finding

__all__ = [
    "check_dependence",
    "check_initial_loss",
    "check_learning_rate",
    "check_one_batch",
    "check_reduction",
    "check_refusal",
]

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


def _trial(case: Case, factor: float) -> tuple[float, float, float]:
    """Train a copy: the first loss, the typical one of the last steps, and by how much that of all samples fell."""
    model, optimizer = copy.deepcopy((case.model, case.optimizer))
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    return _judged(case, model.train(), optimizer)


def _judged(case: Case, model: Module, optimizer: Optimizer) -> tuple[float, float, float]:
    x, y = np.asarray(case.x), np.asarray(case.y)
    before = _measure(case, model)
    losses = train(case, model, optimizer, x, y, STEPS, BATCH)
    return *_ends(losses), before - _measure(case, model)


def _measure(case: Case, model: Module) -> float:
    """The loss of all samples, in batches of the size that the trial uses."""
    rows = np.array_split(np.arange(len(case.x)), max(1, len(case.x) // BATCH))
    with np.errstate(all="ignore"), no_grad():
        values = [case.loss(copy.deepcopy(model)(np.asarray(case.x)[r]), np.asarray(case.y)[r]) for r in rows]
    return float(np.mean([np.mean(np.asarray(v.detach() if isinstance(v, Tensor) else v)) for v in values]))


def check_refusal(case: Case) -> Iterator[Finding]:
    """Ask a loss that refuses the outputs and targets which others it would take.

    Notes
    -----
    No threshold: the loss says it exactly.
    """
    output, y = case.evaluate(case.x), np.asarray(case.y)

    def takes(output: NDArray, y: NDArray) -> bool:
        try:
            with np.errstate(all="ignore"), no_grad():
                case.loss(output, y)
        except (TinygradError, IndexError):
            return False
        return True

    if output.dtype.kind != "f" or takes(output, y) or (y.dtype.kind in "iu" and takes(output, y * 0)):
        return  # the model itself failed, or the labels are beyond the outputs
    said = f"the loss refuses outputs from {output.min():.3g} to {output.max():.3g}, and takes"
    if takes(F.sigmoid(output), y):
        yield Finding("logits-as-probabilities", f"{said} their sigmoid", "loss")
    elif takes(F.log_softmax(output), y):
        yield Finding("logits-as-probabilities", f"{said} their log_softmax", "loss")
    elif takes(output, np.clip(y, 0, 1)):
        said = f"targets go from {y.min():.3g} to {y.max():.3g}; the loss takes 0 to 1"
        yield Finding("targets-out-of-range", said, "targets")
    elif y.size == output.size and y.shape != output.shape and takes(output, y.reshape(output.shape) * 1.0):
        said = f"the loss refuses outputs of shape {output.shape} and targets of {y.shape}"
        yield Finding("broadcast-in-loss", said, "loss")
    elif y.ndim == 2 == output.ndim and y.shape[1] > output.shape[1] and class_labels(y) is not None:
        said = f"rows of {y.shape[1]} for each class, and {output.shape[1]} outputs"
        yield Finding("too-few-outputs", said, "output")


def check_initial_loss(case: Case) -> Iterator[Finding]:
    """Compare the first loss with that of equal probabilities.

    Notes
    -----
    CS231n and Karpathy compare the first loss with that of equal probabilities, ln(C). How far it may be away was
    chosen by our exam.
    """
    found = (activation_at(node) for node in case.after_model)
    names = {activation.name for activation in found if activation is not None}
    if "softplus" in names and case.start > 4 * math.log(2) + 3 and _is_of_bits(case) and not _grows(case):
        yield Finding("initial-loss", f"the loss is {case.start:.3g}; ln(2) is {math.log(2):.3g}", "loss")
    if case.classes > 1 and case.logits and math.isfinite(case.start):
        chance = math.log(case.classes)
        if case.start > 4 * chance + 3 and not _grows(case):
            yield Finding(
                "initial-loss", f"the loss is {case.start:.3g}; ln({case.classes}) is {chance:.3g}", "loss"
            )


def _is_of_bits(case: Case) -> bool:
    """Whether the targets are 0 and 1, and the loss that of the outputs alone."""
    y = np.asarray(case.y)
    return bool(np.isin(y, (0, 1)).all()) and y.size == case.output.size


def check_reduction(case: Case) -> Iterator[Finding]:
    """See whether the loss grows with the batch.

    Notes
    -----
    No published check: twice the samples make twice a sum.
    """
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
    """Train a little with the optimizer's learning rate; if that goes badly, with others too.

    Notes
    -----
    CS231n takes updates of about 1e-3 of the weights for good, and DeepDiagnosis judges a rate by that; it
    depends on the optimizer and on the age of a training. So a copy is trained for some steps; the bounds were
    chosen by our exam.
    """
    if case.optimizer is None or not any(group["params"] for group in case.optimizer.param_groups):
        return
    start, end, gain = _trial(case, 1)
    said = f"with lr = {case.lr():g} the loss went from {start:.4g} to {end:.4g} in {STEPS} steps"
    if not math.isfinite(start):
        return
    if not math.isfinite(end) or end > 0.1 * start:
        for times in (10, 100, 1000):
            lower = _trial(case, 1 / times)[1]
            if end <= 0.8 * start and lower > 0.25 * end:  # it learns, and a smaller rate is not much better
                break
            worse = not math.isfinite(end) or end > 1.5 * start
            if (worse and (lower < 0.8 * end or not math.isfinite(end))) or lower < 0.7 * min(start, end):
                how = "a tenth" if times == 10 else f"1/{times:,}"
                yield Finding(
                    "learning-rate-too-high", f"{said}; with {how} of that, to {lower:.4g}", "optimizer"
                )
                return
    if not case.lr():
        yield Finding("learning-rate-too-low", "lr is 0", "optimizer")
    elif gain < 0.1 * abs(start):
        model = copy.deepcopy(case.model).train()
        adam = Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
        gains = {f"{times:,} times that rate": _trial(case, times)[2] for times in (10, 100, 1000)}
        higher = next(iter(gains.values()))
        gains["Adam and lr = 0.003"] = _judged(case, model, adam)[2]
        finite = {how: found for how, found in gains.items() if math.isfinite(found)}
        how, best = max(finite.items(), key=lambda pair: pair[1])
        if best > 0.1 * abs(start) and gain < 0.04 * best and higher > 2.5 * gain:
            yield Finding("learning-rate-too-low", f"{said}; with {how}, to {start - best:.4g}", "optimizer")


def _ends(losses: list[float]) -> tuple[float, float]:
    """The first loss and the typical one at the end; infinity if it was not finite."""
    if not losses:
        return math.nan, math.nan
    if not math.isfinite(losses[-1]):
        return losses[0], math.inf
    return losses[0], float(np.median(losses[-10:]))


def check_one_batch(case: Case) -> Iterator[Finding]:
    """See whether a copy of the model can learn a few samples by heart (Karpathy's recipe).

    Notes
    -----
    Karpathy overfits a batch of a few samples, CS231n one of 20. The bounds were chosen by our exam.
    """
    for steps, rate in ((150, 3e-3), (400, 1e-2)):
        found = list(_learn_by_heart(case, steps, rate))
        if not found:
            return
    yield from found


def _learn_by_heart(case: Case, steps: int, rate: float) -> Iterator[Finding]:
    model = copy.deepcopy(case.model).eval()
    if not any(p.requires_grad for p in model.parameters()):
        return
    x, y = np.asarray(case.x), np.asarray(case.y)
    rows = np.linspace(0, len(x) - 1, min(16, len(x))).astype(int)
    x, y = x[rows], y[rows]
    losses = train(case, model, Adam(model.parameters(), lr=rate), x, y, steps, len(x))
    start, end = losses[0], _ends(losses)[1]
    if not math.isfinite(start):
        return
    said = f"after {steps} steps on {len(x)} samples the loss is {end:.3g} (it was {start:.3g})"
    if case.classes > 1 and len(np.unique(y)) > 1:
        right = float(np.mean(first_output(model(x)).argmax(axis=1) == y))
        if right < 0.7 and end > 0.5 * start:
            yield Finding("cannot-overfit-one-batch", f"{said}, and {right:.0%} are right", "model")
        return
    values = y.astype(np.float64)
    if (
        start > 0
        and end > 0.97 * start
        and np.ptp(values) > 0
        and np.mean((values - values.mean(axis=0)) ** 2) > 0
        and start > 0.05 * np.mean(values**2)
    ):
        yield Finding("cannot-overfit-one-batch", said, "model")


#: The samples that a look at new ones needs, and the standard deviations by which something must be learned from the
#: others.
ENOUGH, LEARNED = 200, 2.5


def check_dependence(case: Case) -> Iterator[Finding]:
    """See whether anything that is learned from half of the samples is true for the other half.

    Notes
    -----
    No published check; the bound is 2.5 standard deviations.
    """
    x, y = np.asarray(case.x), np.asarray(case.y)
    labels = class_labels(y)
    is_number = labels is None and (y.size == len(y) or y.shape == case.output.shape) and y.dtype.kind == "f"
    if len(x) < ENOUGH or (labels is None and not is_number) or not isinstance(case.outputs, Tensor):
        return
    values = y.reshape(len(y), -1) if labels is None else y
    axis = np.ones((1, 1))
    if is_number and values.shape[1] > 1:  # of rows of targets, look along the direction in which most differ
        axis = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)[2][:1].T
        values = values @ axis
    if labels is not None and (
        len(np.unique(labels)) > 20 or np.bincount(labels - labels.min()).max() > 0.9 * len(y)
    ):
        return
    order = np.random.default_rng(0).permutation(len(x))
    first, second = order[: len(x) // 2], order[len(x) // 2 :]
    model = copy.deepcopy(case.model).train()
    adam = Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = train(case, model, adam, x[first], y[first], 2 * STEPS, BATCH)
    if not losses or not math.isfinite(losses[-1]) or case.output.shape[:1] != y.shape[:1]:
        return
    with no_grad():
        said = first_output(model.eval()(x[second]))
    if axis.size > 1:
        said = said.reshape(len(said), -1) @ axis
    scores = [_score(said, values[second], labels is not None)]
    flat = x.reshape(len(x), -1).astype(np.float64)
    flat = (flat - flat.mean(axis=0)) / np.maximum(flat.std(axis=0), 1e-9)
    wanted = values if labels is None else np.eye(labels.max() + 1)[labels - min(labels.min(), 0)]
    wanted = wanted.astype(np.float64)
    distances = (
        np.sum(flat[second] ** 2, 1)[:, None] + np.sum(flat[first] ** 2, 1) - 2 * flat[second] @ flat[first].T
    )
    near = np.argsort(distances, axis=1)[:, :5]
    scores.append(_score(wanted[first][near].mean(axis=1), values[second], labels is not None))
    gram = flat[first].T @ flat[first] + 0.1 * len(first) * np.eye(flat.shape[1])
    line = np.linalg.solve(gram, flat[first].T @ (wanted[first] - wanted[first].mean(axis=0)))
    scores.append(
        _score(flat[second] @ line + wanted[first].mean(axis=0), values[second], labels is not None)
    )
    scores.append(_twins(flat, labels if labels is not None else values.reshape(-1)))
    if max(scores) < LEARNED:
        yield Finding(
            "labels-out-of-step",
            f"trained on half of {len(x)} samples, neither the model nor the nearest neighbours nor a line tell more "
            f"of the other half than chance ({max(scores):.1f} standard deviations)",
            "labels",
        )


def _twins(flat: NDArray, y: NDArray) -> float:
    """By how many standard deviations samples with equal inputs have equal targets more often than chance."""
    _, groups = np.unique(flat, axis=0, return_inverse=True)
    order = np.argsort(groups.reshape(-1), kind="stable")
    pairs = np.flatnonzero(np.diff(groups.reshape(-1)[order]) == 0)
    if len(pairs) < 10:
        return 0.0
    chance = float(np.sum((np.unique(y, return_counts=True)[1] / len(y)) ** 2))
    same = float(np.mean(y[order][pairs] == y[order][pairs + 1]))
    return (same - chance) / math.sqrt(max(chance * (1 - chance), 1e-6) / len(pairs))


def _score(said: NDArray, y: NDArray, is_class: bool) -> float:
    """By how many standard deviations predictions are better than chance."""
    n = len(y)
    if is_class:
        labels = class_labels(y)
        assert labels is not None
        said = said.reshape(n, -1)
        guess = said.argmax(axis=1) if said.shape[1] > 1 else (said[:, 0] > np.median(said[:, 0])).astype(int)
        kinds = range(int(max(labels.max(), guess.max())) + 1)
        chance = sum(float(np.mean(labels == k)) * float(np.mean(guess == k)) for k in kinds)
        return (float(np.mean(labels == guess)) - chance) / math.sqrt(max(chance * (1 - chance), 1e-6) / n)
    said, y = said.reshape(-1).astype(np.float64), y.reshape(-1).astype(np.float64)
    if said.size != n or not np.ptp(said) or not np.ptp(y):
        return 0.0
    first, second = (np.argsort(np.argsort(values)).astype(np.float64) for values in (said, y))
    return float(np.corrcoef(first, second)[0, 1]) * math.sqrt(n)
