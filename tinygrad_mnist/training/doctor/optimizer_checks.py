"""Checks of what the optimizer knows of a model, and of what it does with its gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from ...tensor import Tensor
from .case import Case
from .findings import Finding

__all__ = ["check_optimizer", "check_parameters"]


def check_parameters(case: Case) -> Iterator[Finding]:
    """Find parameters that the loss does not reach.

    Notes
    -----
    It needs no threshold, because the graph is exact.
    """
    reached = set(case.gradients)
    missing = [name for name, p in case.named.items() if p.requires_grad and p.node not in reached]
    if missing and len(missing) < len(case.named):
        yield Finding("no-gradient", f"no gradient arrives at {_list(missing)}", missing[0])
    elif missing or (case.loss_node is None and any(p.requires_grad for p in case.named.values())):
        yield Finding("no-gradient", "the loss depends on no parameter at all", "loss")
    frozen = [name for name, p in case.named.items() if not p.requires_grad]
    known = _in_optimizer(case)
    if known is not None:
        frozen = [name for name in frozen if id(dict(case.model.named_parameters())[name]) in known]
    elif len(frozen) < len(case.named):
        frozen = []
    if frozen:
        yield Finding("frozen-parameters", f"requires_grad is False for {_list(frozen)}", frozen[0])


def _list(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _in_optimizer(case: Case) -> set[int] | None:
    if case.optimizer is None:
        return None
    return {id(p) for group in case.optimizer.param_groups for p in group["params"]}


def check_optimizer(case: Case) -> Iterator[Finding]:
    """Compare the optimizer's parameters with the model's, and look at what it does with gradients.

    Notes
    -----
    What is missing is exact. No publication gives a bound for weight decay; it was chosen by our exam.
    """
    known = _in_optimizer(case)
    if known is None or case.optimizer is None:
        return
    named = dict(case.model.named_parameters())
    missing = [name for name, p in named.items() if p.requires_grad and id(p) not in known]
    if missing:
        share = (
            "none of the model's parameters" if len(missing) == len(named) else f"all but {_list(missing)}"
        )
        yield Finding("not-in-optimizer", f"the optimizer knows {share}", missing[0])
    leaves = {id(p.node) for p in case.named.values()} | {id(p.node) for p in case.original.parameters()}
    leaves |= {id(p.node) for group in case.optimizer.param_groups for p in group["params"]}
    for node in {parent for n in case.nodes for _, parent in n.parents if parent.primitive is None}:
        if id(node) not in leaves and node in case.gradients:
            yield Finding(
                "not-in-optimizer",
                f"a Tensor of shape {node.value.shape} gets a gradient, but is no Parameter",
                node.name or "a Tensor",
            )
    for group in case.optimizer.param_groups:
        decay = float(group.get("weight_decay") or 0)
        if decay >= (0.5 if type(case.optimizer).__name__ == "AdamW" else 0.1):
            yield Finding("weight-decay-too-high", f"weight_decay is {decay:g}", "optimizer")
            break
    else:
        yield from _check_penalty(case)
    yield from _check_zeroing(case)


#: How many times as strong as the pull of the data a penalty may be.
STRONGEST_PENALTY = 5.0


def _check_penalty(case: Case) -> Iterator[Finding]:
    """Compare the gradient of a penalty, which a loss adds by itself, with that of the data."""
    if not isinstance(case.outputs, Tensor):
        return
    parameters = [p for p in case.original.parameters() if p.requires_grad]
    kept = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    try:
        value = case.loss(case.outputs.detach(), case.y)
        if not isinstance(value, Tensor) or value.node is None:
            return
        np.sum(value).backward()
        penalty = np.sqrt(sum(np.sum(np.asarray(p.grad) ** 2) for p in parameters if p.grad is not None))
    finally:
        for p, grad in zip(parameters, kept, strict=True):
            p.grad = grad
    data = np.sqrt(
        sum(np.sum(case.gradients[p.node] ** 2) for p in case.named.values() if p.node in case.gradients)
    )
    if penalty > STRONGEST_PENALTY * data > 0:
        yield Finding(
            "weight-decay-too-high",
            f"the penalty in the loss pulls {penalty / data:.3g} times as strongly at the weights as the data do",
            "loss",
        )


def _check_zeroing(case: Case) -> Iterator[Finding]:
    """Whether gradients are left over from many steps, or zero_grad() leaves them.

    Notes
    -----
    One of the common mistakes that Karpathy's recipe begins with. Three times the longest gradient of a batch was
    chosen by our exam.
    """
    left = [p.grad for p in case.original.parameters() if p.requires_grad and p.grad is not None]
    if left:
        size = np.sqrt(sum(float(np.sum(np.asarray(g, np.float64) ** 2)) for g in left))
        # A batch of one sample may have a gradient much larger than the mean of all.
        largest = max(case.gradient_of(rows) for rows in np.array_split(np.arange(len(case.x)), 64))
        if size > 3 * largest > 0:
            yield Finding(
                "gradients-not-zeroed",
                f"grad is {size / largest:.3g} times as long as the longest gradient of a batch",
                "optimizer",
            )
            return
    optimizer = copy.deepcopy(case.optimizer)
    if optimizer is None:
        return
    tensors: list[Tensor] = [
        t for group in optimizer.param_groups for t in group["params"] if t.requires_grad
    ]
    for tensor in tensors:
        tensor.grad = Tensor(np.ones(tensor.shape, tensor.dtype))
    optimizer.zero_grad()
    if any(tensor.grad is not None and np.any(np.asarray(tensor.grad)) for tensor in tensors):
        yield Finding(
            "gradients-not-zeroed",
            f"{type(optimizer).__name__}.zero_grad() leaves gradients as they are",
            "optimizer",
        )
