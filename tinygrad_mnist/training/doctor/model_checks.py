"""Checks of the model: its weights, its units, its gradients, and what the optimizer knows of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from ...errors import pluralise
from ...graph import Node
from ...tensor import Tensor
from ...typing import NDArray
from .case import Case, input_of, products, weight_of
from .findings import Finding, where

__all__ = [
    "DEAD_LATER",
    "check_gradients",
    "check_input",
    "check_modes",
    "check_optimizer",
    "check_parameters",
    "check_units",
    "check_weights",
]

#: The spread of weights times the root of the number of inputs: about 1.4 after He, 1 after Glorot.
TOO_LARGE, TOO_SMALL = 5.0, 0.02
#: Shares of units that are dead or saturated. AutoTrainer [1]_ speaks of dying ReLUs at 70 % of zero gradients;
#: a healthy layer has a few per cent before training, and may have more afterwards.
DEAD, DEAD_LATER, SATURATED = 0.4, 0.6, 0.6
#: How many times smaller or larger the gradients of the first layer may be than those of the last (AutoTrainer:
#: 1e-3 and 70).
VANISHED, EXPLODED = 1e-3, 70.0


def check_weights(case: Case) -> Iterator[Finding]:
    """Look at the first values of the weights that multiply something."""
    layers = products(case.nodes)
    for i, node in enumerate(layers):
        leaf = weight_of(node)
        assert leaf is not None
        weight, name = np.asarray(leaf.value, np.float64), _parameter_name(case, leaf)
        is_last = i == len(layers) - 1
        if weight.size < 8:
            continue
        if not np.isfinite(weight).all():
            yield Finding("non-finite-data", "weights are NaN or infinite", name)
            continue
        inputs = (
            weight.size // len(weight) if node.primitive and node.primitive.name != "matmul" else len(weight)
        )
        spread = float(np.sqrt(np.mean(weight**2))) * np.sqrt(inputs)
        g = case.gradients.get(leaf)
        if _are_rows_equal(weight) and (g is None or _are_rows_equal(np.asarray(g, np.float64))):
            # Different gradients would make different units of them.
            if not is_last:
                equal = np.ptp(weight) == 0
                said = (
                    f"all {weight.size:,} weights are {weight.flat[0]:.3g}"
                    if equal
                    else "all units have the same weights"
                )
                yield Finding("equal-weights", f"{said}, and so are their gradients" if equal else said, name)
        elif spread > TOO_LARGE and inputs >= 4:
            yield Finding("weights-too-large", _size_of(weight, spread, inputs), name)
        elif 0 < spread < TOO_SMALL and not is_last:
            yield Finding("weights-too-small", _size_of(weight, spread, inputs), name)


def _parameter_name(case: Case, leaf: Node) -> str:
    return next((name for name, p in case.named.items() if p.node is leaf), leaf.name or "a weight")


def _size_of(weight: NDArray, spread: float, inputs: int) -> str:
    size = np.sqrt(np.mean(weight**2))
    return f"their root mean square is {size:.3g}, which is {spread:.3g} / sqrt(inputs) for {inputs:,} inputs"


def _are_rows_equal(weight: NDArray) -> bool:
    rows = weight.reshape(len(weight), -1)
    return min(rows.shape) > 1 and any(not np.ptp(rows, axis=axis).any() for axis in (0, 1))


def check_units(case: Case, limit: float = DEAD) -> Iterator[Finding]:
    """Find units that are dead or saturated on the whole sample; ``limit`` is the share of dead ones."""
    last = max((node.serial for node in products(case.nodes)), default=-1)
    for node in case.nodes:
        if (
            node.primitive is None
            or node.serial > last
            or isinstance(node.value, tuple)
            or node.value.ndim < 2
        ):
            continue
        y, name = np.asarray(node.value), node.primitive.name
        if y.shape[0] != len(case.x) or y.size // y.shape[0] < 2:
            continue
        if name == "relu" or (name == "maximum" and not y.min()):
            axes = (0, *range(2, y.ndim))
            dead = np.mean(np.all(y == 0, axis=axes))
            if dead >= limit and len(y) >= 16:
                yield Finding(
                    "dead-units",
                    f"{dead:.0%} of {pluralise(y.shape[1], 'unit')} are 0 for all {len(y):,} samples",
                    node.scope,
                    where(node.line),
                )
        elif name in ("sigmoid", "tanh"):
            centre, half = (0.5, 0.5) if name == "sigmoid" else (0.0, 1.0)
            share = float(np.mean(np.abs(y - centre) > 0.98 * half))
            if share >= SATURATED:
                yield Finding(
                    "saturated-units",
                    f"{share:.0%} of the results of {name} are within 2 % of its ends",
                    node.scope,
                    where(node.line),
                )


def check_gradients(case: Case) -> Iterator[Finding]:
    """Compare the gradients of the layers with each other."""
    sizes = []
    for node in products(case.nodes):
        leaf = weight_of(node)
        assert leaf is not None
        g = case.gradients.get(leaf)
        if g is not None and g.size:
            with np.errstate(all="ignore"):
                # The gradient of a weight is a product of the errors behind it and its inputs: only errors compare.
                error = case.gradients.get(node, g)
                sizes.append(
                    (node, float(np.sqrt(np.mean(np.abs(error.astype(np.float64)) ** 2) * error[0].size)))
                )
    if len(sizes) < 3:
        return
    (first, start), (last, end) = sizes[0], sizes[-1]
    if not np.isfinite([size for _, size in sizes]).all():
        yield Finding("exploding-gradients", "gradients are infinite or NaN", first.scope, where(first.line))
    elif end > 0 and start < VANISHED * end:
        yield Finding(
            "vanishing-gradients", _compare(first, last, start, end), first.scope, where(first.line)
        )
    elif end > 0 and start > EXPLODED * end:
        yield Finding(
            "exploding-gradients", _compare(first, last, start, end), first.scope, where(first.line)
        )


def _compare(first: Node, last: Node, start: float, end: float) -> str:
    return (
        f"errors that reach {first.scope or 'the first layer'} are {start / end:.2g} times those at "
        f"{last.scope or 'the last layer'}"
    )


def check_parameters(case: Case) -> Iterator[Finding]:
    """Find parameters that the loss does not reach."""
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
    """Compare the optimizer's parameters with the model's, and look at what it does with gradients."""
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
    yield from _check_zeroing(case)


def _check_zeroing(case: Case) -> Iterator[Finding]:
    """Whether gradients are left over from many steps, or zero_grad() leaves them."""
    for p, copied in zip(case.original.parameters(), case.named.values(), strict=True):
        g = p.grad if p.requires_grad else None
        fresh = case.gradients.get(copied.node) if copied.node is not None else None
        if g is None or fresh is None or not np.any(fresh):
            continue
        times = float(np.linalg.norm(np.asarray(g)) / np.linalg.norm(fresh))
        if times > 5:
            yield Finding(
                "gradients-not-zeroed",
                f"grad is {times:.3g} times as long as the gradient of one step",
                p.name,
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


def check_input(case: Case) -> Iterator[Finding]:
    """See whether the output depends on the input."""
    x = np.asarray(case.x)
    if len(x) < 4 or not np.any(x != x[:1]):
        return
    outputs = case.evaluate(case.x).astype(np.float64)
    if outputs.ndim < 1 or len(outputs) != len(x) or not np.isfinite(outputs).all():
        return
    size = np.abs(outputs).max()
    spread = np.ptp(outputs, axis=0).max()
    if (spread <= 1e-6 * size or size == 0) and not _reaches_a_weight(case):
        yield Finding("input-ignored", f"the output is the same for all {len(x):,} samples", "model")
    elif spread > 1e-6 * size:
        yield from _check_features(case)


def _reaches_a_weight(case: Case) -> bool:
    """Whether a weight that multiplies the input gets a gradient: then it can become something other than 0."""
    for node in products(case.nodes):
        value, parent = input_of(node)
        g = case.gradients.get(weight_of(node) or node)
        if parent is None and value is not None and g is not None and np.any(g) and np.ptp(value):
            return True
    return False


def _check_features(case: Case) -> Iterator[Finding]:
    """See whether a large part of each input makes no difference."""
    x = np.asarray(case.x)
    if x.dtype.kind != "f" or x.ndim < 2 or x[0].size < 4:
        return
    model = copy.deepcopy(case.model).eval()
    few = Tensor(x[: min(len(x), 64)].copy(), requires_grad=True)
    output = model(few)
    if not isinstance(output, Tensor) or not output.requires_grad:
        return
    weights = np.random.default_rng(0).normal(size=output.shape).astype(output.dtype)
    np.sum(output * weights).backward()
    if few.grad is None:
        yield Finding("input-ignored", "the output does not depend on the input", "model")
        return
    g = np.asarray(few.grad)
    varied = np.ptp(x, axis=0) > 0
    idle = ~np.any(g != 0, axis=0) & varied
    if varied.sum() >= 4 and idle.sum() >= 0.5 * varied.sum():
        yield Finding(
            "input-ignored",
            f"{idle.sum() / varied.sum():.0%} of the numbers of an input make no difference",
            "model",
        )


def check_modes(case: Case) -> Iterator[Finding]:
    """Look for dropout that is too strong, or that acts in ``eval()`` mode."""
    model = case.original
    different = [name for name, module in model.named_modules() if name and module.training != model.training]
    if different:
        now, other = ("training", "eval()") if model.training else ("eval()", "training")
        yield Finding(
            "train-eval-mixed-up",
            f"the model is in {now} mode, but {different[0]} is in {other} mode",
            different[0],
        )
    for node in case.nodes:
        share = _dropped(node)
        if share > 0.75:
            yield Finding(
                "dropout-too-high", f"{share:.0%} of the units are switched off", node.scope, where(node.line)
            )
            break
    quiet = Case(case.original, case.loader, case.loss, None, 64)
    quiet.run(training=False)
    for node in quiet.nodes:
        if _dropped(node) > 0.02:
            yield Finding(
                "train-eval-mixed-up", "dropout acts in eval() mode too", node.scope, where(node.line)
            )
            break


def _dropped(node: Node) -> float:
    """The share of zeros in a mask of dropout, or 0 if the operation is none."""
    if node.primitive is None or node.primitive.name not in ("multiply", "divide", "where") or not node.args:
        return 0.0
    tracked = {position for position, _ in node.parents}
    for position, mask in enumerate(node.args):
        if (
            position in tracked
            or not isinstance(mask, np.ndarray)
            or mask.shape != node.value.shape
            or mask.size < 64
        ):
            continue
        values = np.unique(mask)
        if len(values) == 2 and values[0] == 0 and values[1] > 1.001:
            return float(np.mean(mask == 0))
    return 0.0
