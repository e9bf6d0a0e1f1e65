"""Checks of the recorded graph: what the loss gets, and what lies between the layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...graph import Node
from .case import MOVES, Case, input_of, is_product, origin_of, products
from .findings import Finding, where

__all__ = ["check_between_layers", "check_broadcast", "check_loss_input", "check_targets"]

#: Activations, with the range of their results.
RANGES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}


def check_loss_input(case: Case) -> Iterator[Finding]:
    """See what the loss does with the outputs of the model: something may come twice, or be missing."""
    seen: set[tuple[str, int]] = set()
    for node in case.nodes:
        if node.primitive is None or not node.parents:
            continue
        name = node.primitive.name
        source, scaled = origin_of(node.parents[0][1])
        before = source.primitive.name if source.primitive is not None else ""
        place = source.scope or "output", where(source.line)
        code, said = "", ""
        if name in ("log_softmax", "softmax", "logsumexp"):
            if before in ("softmax", "log_softmax"):
                code, said = "softmax-twice", f"a {before} feeds a {name}"
            elif before == "sigmoid" and not scaled:
                code, said = "bounded-logits", f"a sigmoid feeds a {name}: the logits lie between 0 and 1"
            elif before == "tanh" and not scaled and node in case.after_model:
                code, said = "bounded-logits", f"a tanh feeds a {name}: the logits lie between -1 and 1"
            elif before in ("relu", "maximum") and node in case.after_model:
                code, said = (
                    "relu-on-output",
                    f"a ReLU feeds a {name}; {_share_of_zeros(source)} of the logits are 0",
                )
        elif name in ("softplus", "sigmoid") and before in ("sigmoid", "softmax"):
            code, said = (
                "sigmoid-twice",
                f"a {before} feeds a {'binary cross-entropy with logits' if name == 'softplus' else name}",
            )
        elif name == "softplus" and before == "relu" and node in case.after_model:
            code, said = (
                "relu-on-output",
                f"a ReLU feeds a binary cross-entropy with logits; {_share_of_zeros(source)} of the logits are 0",
            )
        elif name in ("log", "log2", "log10") and node in case.after_model and source is case.output_source:
            value = np.asarray(source.value)
            if is_product(source) or before == "add":
                code = "logits-as-probabilities"
                said = f"the loss takes the logarithm of outputs from {value.min():.3g} to {value.max():.3g}"
        if code and (code, id(source)) not in seen:
            seen.add((code, id(source)))
            yield Finding(code, said, *place)
    yield from _check_log_probabilities(case)


def _share_of_zeros(node: Node) -> str:
    return f"{np.mean(np.asarray(node.value) == 0):.0%}"


def _check_log_probabilities(case: Case) -> Iterator[Finding]:
    """See whether a loss picks numbers that are no log-probabilities."""
    for node in case.after_model:
        if node.primitive is None or node.primitive.name not in ("take_along", "getitem") or not node.parents:
            continue
        source, _ = origin_of(node.parents[0][1])
        value = np.asarray(source.value)
        if source is not case.output_source or value.ndim < 2 or case.classes < 2 or np.ndim(node.value) == 0:
            continue
        total = np.sum(np.exp(value.astype(np.float64)), axis=1)
        if not np.allclose(total, 1, atol=1e-2):
            yield Finding(
                "logits-as-probabilities",
                f"the loss picks from numbers whose exponentials add up to {total.min():.3g}–{total.max():.3g}",
                source.scope or "output",
                where(source.line),
            )
            return


def check_targets(case: Case) -> Iterator[Finding]:
    """Compare the range of the targets with that of the last activation, and with the number of outputs."""
    source = case.output_source
    y = np.asarray(case.y)
    if source is None or source.primitive is None or not y.size:
        return
    name = source.primitive.name
    output = case.output
    if name == "softmax" and source.value.shape[-1] == 1:
        yield Finding(
            "too-few-outputs",
            "a softmax of one number is always 1",
            source.scope or "output",
            where(source.line),
        )
        return
    compares = not case.classes and y.dtype.kind in "fiub" and y.size == output.size
    if compares and name in RANGES and not case.is_scaled_after:
        low, high = RANGES[name]
        values = y.astype(np.float64)
        beyond = np.mean((values < low - 1e-6) | (values > high + 1e-6))
        if beyond > 0:
            yield Finding(
                "relu-on-output" if name == "relu" and beyond > 0.05 else "targets-out-of-range",
                f"targets go from {values.min():.3g} to {values.max():.3g}; {name} cannot reach {beyond:.0%} of them",
                source.scope or "output",
                where(source.line),
            )
    if compares and any(n.primitive and n.primitive.name == "softplus" for n in case.after_model):
        values = y.astype(np.float64)
        if values.min() < 0 or values.max() > 1:
            yield Finding(
                "targets-out-of-range",
                f"targets go from {values.min():.3g} to {values.max():.3g}; binary cross-entropy needs 0 to 1",
                "targets",
            )
    if y.dtype.kind in "iu" and y.ndim == 1 and output.size == len(y) and not case.logits:
        kinds = np.unique(y)
        if (
            3 <= len(kinds) <= 20
            and kinds[0] == 0
            and kinds[-1] == len(kinds) - 1
            and len(y) >= 10 * len(kinds)
        ):
            yield Finding(
                "too-few-outputs", f"{len(kinds)} classes as integer targets, but one output", "output"
            )
    if case.logits and output.ndim > 1 and output.shape[1] == 1:
        yield Finding("too-few-outputs", "cross-entropy of one class is always 0", "output")


def check_broadcast(case: Case) -> Iterator[Finding]:
    """Find an operation of the loss that makes N × N numbers from N outputs and N targets."""
    for node in case.after_model:
        args = [x for x in (node.args or ())[:2] if hasattr(x, "shape")]
        n = len(np.atleast_1d(case.y))
        if len(args) < 2 or n < 2 or isinstance(node.value, tuple) or is_product(node):
            continue
        sizes = [np.size(x) for x in args]
        if node.primitive is None or node.primitive.name in ("matmul", "dot", "einsum", "outer"):
            continue
        if node.value.size >= n * n and max(sizes) < node.value.size and node.value.shape[-2:] == (n, n):
            shapes = " and ".join(str(np.shape(x)) for x in args)
            yield Finding(
                "broadcast-in-loss",
                f"{shapes} became {node.value.shape} in {node.primitive.name}",
                "loss",
                where(node.line),
            )
            return


def check_between_layers(case: Case) -> Iterator[Finding]:
    """Find layers that follow each other without a nonlinearity."""
    for node in products(case.nodes):
        parent = input_of(node)[1]
        before = _linear_source(parent, 0) if parent is not None else None
        if before is not None and not _is_separable(before):
            yield Finding(
                "missing-nonlinearity",
                f"nothing but linear operations between {_name(before)} and {_name(node)}",
                node.scope,
                where(node.line),
            )
            return


def _name(node: Node) -> str:
    assert node.primitive is not None
    return node.scope or f"the {node.primitive.name} of shape {node.value.shape}"


def _is_separable(node: Node) -> bool:
    """Whether a convolution has groups: it is then the first half of a separable one."""
    return node.kwargs.get("groups", 1) != 1


def _linear_source(node: Node, depth: int) -> Node | None:
    """The product from which a value comes by linear operations alone, or None."""
    if node.primitive is None or depth > 50:
        return None
    if is_product(node):
        return node
    name = node.primitive.name
    if name in MOVES | {"negative", "concatenate", "stack", "pad", "mean", "sum"}:
        found = [_linear_source(parent, depth + 1) for _, parent in node.parents]
        return found[0] if found and all(found) else None
    if name in ("add", "subtract", "multiply", "divide"):
        inner = [parent for _, parent in node.parents if not _is_parameter(parent)]
        if not inner or (name in ("multiply", "divide") and len(inner) > 1):
            return None
        found = [_linear_source(parent, depth + 1) for parent in inner]
        return found[0] if all(found) else None
    return None


def _is_parameter(node: Node) -> bool:
    while node.primitive is not None and node.primitive.name in MOVES and len(node.parents) == 1:
        node = node.parents[0][1]
    return node.primitive is None
