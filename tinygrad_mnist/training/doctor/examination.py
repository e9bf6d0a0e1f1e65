"""The examination before training: all checks, in an order in which earlier ones explain later ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import TinygradError
from ...nn import Module
from ...optim import Optimizer
from ..loop import Data, as_loader
from ..making import Loss, check_model, make_optimizer, named_loss
from . import data_checks, graph_checks, model_checks, optimizer_checks
from . import trials as tried
from .case import Case
from .findings import Finding

__all__ = ["diagnose", "examine"]


def diagnose(
    model: Module,
    data: Data,
    *,
    loss: Loss | str | None = None,
    optimizer: Optimizer | Any = None,
    validation: Data | None = None,
    trials: bool = True,
) -> list[Finding]:
    """Look for mistakes before training: in the data, the model, the loss and the optimizer.

    Nothing is changed: the checks work with copies.

    Parameters
    ----------
    model, data, loss, optimizer
        As for :func:`~tinygrad_mnist.training.fit`.
    validation : as ``data``, optional
        Data to compare with the training data.
    trials : bool, default True
        Whether to train copies for some hundred steps, to see how the loss behaves.

    Returns
    -------
    list of Finding
        Empty for a healthy training.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, test = tg.data.load_mnist("sample")
    >>> model = tg.nn.Sequential(tg.nn.MLP([784, 32, 10], rng=0), tg.nn.Softmax())
    >>> [finding.code for finding in diagnose(model, train)]
    ['softmax-twice']
    """
    check_model("diagnose", model)
    loader = as_loader(data, 64, 0)
    made = None if optimizer is None else make_optimizer(optimizer, model)
    case = Case(model, loader, named_loss(loss), made)
    case.is_loader = loader is data
    found = list(examine(case, trials=trials, chooses_mode=True))
    if validation is not None:
        second = as_loader(validation, 64, 0).dataset
        first = loader.dataset
        found += data_checks.check_overlap(
            *(np.asarray(part[: min(len(part), 10_000)][0]) for part in (first, second))
        )
    return found


def examine(case: Case, *, trials: bool, chooses_mode: bool = False) -> Iterator[Finding]:
    """Run all checks; later ones are skipped if earlier ones explain what they would find.

    With ``chooses_mode``, it is the user who puts the model into ``train()`` mode, and not :func:`fit`.
    """
    codes: set[str] = set()
    said: set[tuple[str, str]] = set()

    def note(findings: Iterator[Finding]) -> Iterator[Finding]:
        for finding in findings:
            codes.add(finding.code)
            if (finding.code, finding.layer) not in said:
                said.add((finding.code, finding.layer))
                yield finding

    yield from note(data_checks.check_data(case))
    if "non-finite-data" in codes:
        return
    try:
        with np.errstate(all="ignore"):
            case.run()
    except (TinygradError, IndexError):
        refused = list(tried.check_refusal(case))
        yield from note(iter(refused) if refused else data_checks.check_range(case, case.outputs_of_model()))
        if not codes:
            raise
        return
    with np.errstate(all="ignore"):
        yield from note(graph_checks.check_loss_input(case))
        yield from note(graph_checks.check_targets(case))
        yield from note(graph_checks.check_broadcast(case))
        if not codes & {"logits-as-probabilities", "relu-on-output", "softmax-twice"}:
            yield from note(graph_checks.check_limit(case))
        yield from note(graph_checks.check_between_layers(case))
        yield from note(data_checks.check_scale(case))
        yield from note(data_checks.check_labels(case))
        yield from note(optimizer_checks.check_parameters(case))
        yield from note(optimizer_checks.check_optimizer(case))
        yield from note(model_checks.check_weights(case))
        yield from note(model_checks.check_modes(case, is_given=chooses_mode))
        yield from note(model_checks.check_units(case))
        is_explained = bool(codes & {"dead-units", "equal-weights"})
        if not is_explained or not model_checks.is_read(case):
            yield from note(model_checks.check_input(case))
        yield from note(model_checks.check_gradients(case))
        yield from note(tried.check_reduction(case))
        if "inputs-not-scaled" not in codes:
            yield from note(tried.check_initial_loss(case))
        if trials and not codes & {
            "no-gradient",
            "input-ignored",
            "equal-weights",
            "not-in-optimizer",
            "sum-for-mean",
        }:
            yield from note(tried.check_learning_rate(case))
            if not codes:
                yield from note(tried.check_one_batch(case))
            if not codes:
                yield from note(tried.check_dependence(case))
