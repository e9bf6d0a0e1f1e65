"""Checks of the recorded graph: what the loss gets, and what lies between the layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import TinygradError
from ...graph import Node
from ...tensor import Tensor
from ...typing import NDArray
from .activations import MOVES, activation_at, origin_of
from .case import Case, class_labels, input_of, is_product, products, weight_of
from .findings import Finding, where

__all__ = ["check_between_layers", "check_broadcast", "check_limit", "check_loss_input", "check_targets"]

#: Activations, with the range of their results.
_LINEAR = {"negative", "concatenate", "stack", "pad", "mean", "sum", "batch_norm"}
LOGARITHMS = ("log", "log2", "log10", "log1p")
RANGES = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
}


def check_loss_input(case: Case) -> Iterator[Finding]:
    """See what the loss does with the outputs of the model: something may come twice, or be missing.

    Notes
    -----
    NeuraLint has rules for a missing softmax or sigmoid, for a wrong last activation and for doubled ones, UMLAUT
    looks for the softmax before the loss, and Karpathy's list names a softmax before a loss that takes logits.
    The graph says it exactly, so there is no threshold.
    """
    seen: set[tuple[str, int]] = set()
    for node in case.nodes:
        if node.primitive is None or not node.parents:
            continue
        activation = activation_at(node)
        name = activation.name if activation is not None else node.primitive.name
        source, scaled = origin_of(node.parents[0][1] if activation is None else activation.input)
        while (
            name in LOGARITHMS
            and source.primitive is not None
            and source.primitive.name in ("absolute", "square")
        ):
            source, scaled = origin_of(source.parents[0][1], scaled)
        applied = activation_at(source)
        before = (
            applied.name
            if applied is not None
            else source.primitive.name
            if source.primitive is not None
            else ""
        )
        place = source.scope or "output", where(source.line)
        code, said = "", ""
        if name in ("log_softmax", "softmax", "logsumexp"):
            if before in ("softmax", "log_softmax"):
                code, said = "softmax-twice", f"a {before} feeds a {name}"
            elif before == "sigmoid" and not scaled:
                code, said = "bounded-logits", f"a sigmoid feeds a {name}: the logits lie between 0 and 1"
            elif (
                before in ("tanh", "softsign", "clip")
                and not scaled
                and node in case.after_model
                and _is_narrow(source)
            ):
                low, high = np.min(source.value), np.max(source.value)
                code, said = (
                    "bounded-logits",
                    f"a {before} feeds a {name}: the logits lie between {low:.3g} and {high:.3g}",
                )
            elif before == "relu" and (node in case.after_model or node is case.output_source):
                code, said = (
                    "relu-on-output",
                    f"a ReLU feeds a {name}; {_share_of_zeros(source)} of the logits are 0",
                )
        elif name in ("softplus", "sigmoid") and before in ("sigmoid", "softmax"):
            code, said = (
                "sigmoid-twice",
                f"a {before} feeds a {'binary cross-entropy with logits' if name == 'softplus' else name}",
            )
        elif (
            name in ("softplus", "sigmoid")
            and before == "relu"
            and (node in case.after_model or node is case.output_source)
        ):
            code, said = (
                "relu-on-output",
                f"a ReLU feeds a {'binary cross-entropy with logits' if name == 'softplus' else name}; "
                f"{_share_of_zeros(source)} of the logits are 0",
            )
        elif name in LOGARITHMS and node in case.after_model and source is case.output_source:
            value = np.asarray(source.value)
            if before == "relu":
                code, said = (
                    "relu-on-output",
                    f"the loss takes the logarithm; {_share_of_zeros(source)} of the outputs are 0",
                )
            elif is_product(source) or before in ("add", "tanh"):
                code = "logits-as-probabilities"
                said = f"the loss takes the logarithm of outputs from {value.min():.3g} to {value.max():.3g}"
            elif before == "sigmoid" and not scaled and _is_categorical(case):
                code, said = (
                    "logits-as-probabilities",
                    "the loss takes the logarithm of the right class alone, and sigmoids need not add up to 1",
                )
        if code and (code, id(source)) not in seen:
            seen.add((code, id(source)))
            yield Finding(code, said, *place)


def _is_categorical(case: Case) -> bool:
    """Whether the loss looks at the output of the right class, and not at those of the others."""
    labels = class_labels(np.asarray(case.y))
    counts = [
        n for n in case.after_model
        if n.primitive is not None and n.primitive.name in LOGARITHMS and n.parents
        and origin_of(n.parents[0][1])[0] is case.output_source
    ]  # fmt: skip
    return labels is not None and case.output.ndim == 2 and case.output.shape[1] > 1 and len(counts) == 1


def _is_narrow(node: Node) -> bool:
    """Whether logits are so close together that no class can be nearly certain."""
    if node.primitive is None or node.primitive.name not in ("clip", "maximum", "minimum"):
        return True
    bounds = [x for i, x in enumerate(node.args or ()) if i != node.parents[0][0]]
    return all(np.max(np.abs(bound)) <= 2 for bound in bounds)


def _share_of_zeros(node: Node) -> str:
    return f"{np.mean(np.asarray(node.value) == 0):.0%}"


def check_targets(case: Case) -> Iterator[Finding]:
    """Compare the range of the targets with that of the last activation, and with the number of outputs.

    Notes
    -----
    DeepDiagnosis compares the range of the targets with that of the last activation.
    """
    source = case.output_source
    y = np.asarray(case.y)
    if source is None or source.primitive is None or not y.size:
        return
    name = case.last_activation
    output = case.output
    if name == "softmax" and np.ndim(source.value) == 2 and source.value.shape[-1] > 1:
        total = np.sum(np.asarray(source.value, np.float64), axis=1)
        if not np.allclose(total, 1, atol=1e-2):
            yield Finding(
                "logits-as-probabilities",
                f"the softmax does not run over the classes: rows add up to {total.min():.3g} to {total.max():.3g}",
                source.scope or "output",
                where(source.line),
            )
            return
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
        if not beyond and name == "relu" and class_labels(y) is not None:
            yield Finding(
                "relu-on-output",
                f"targets are classes; a ReLU has no upper end, and {_share_of_zeros(source)} of the outputs are 0",
                source.scope or "output",
                where(source.line),
            )
        if (
            name == "softmax"
            and not beyond
            and output.ndim == 2
            and not np.allclose(values.sum(axis=1), 1, atol=0.02)
        ):
            total = values.sum(axis=1)
            yield Finding(
                "targets-out-of-range",
                f"rows of targets add up to {total.min():.3g} to {total.max():.3g}; those of a softmax add up to 1",
                source.scope or "output",
                where(source.line),
            )
        if beyond > 0:
            yield Finding(
                "relu-on-output" if name == "relu" and beyond > 0.05 else "targets-out-of-range",
                f"targets go from {values.min():.3g} to {values.max():.3g}; {name} cannot reach {beyond:.0%} of them",
                source.scope or "output",
                where(source.line),
            )
    if compares and _is_binary_cross_entropy(case):
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
            and _uses_targets(case)
        ):
            yield Finding(
                "too-few-outputs", f"{len(kinds)} classes as integer targets, but one output", "output"
            )
    if case.logits and output.ndim > 1 and output.shape[1] == 1:
        yield Finding("too-few-outputs", "cross-entropy of one class is always 0", "output")


def _uses_targets(case: Case) -> bool:
    """Whether the loss depends on the targets; a model may compute it without them, as a variational one does."""
    first, second = (case.loss(case.outputs, y) for y in (case.y, np.asarray(case.y)[::-1]))
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return not np.array_equal(first.data, second.data)
    return not np.array_equal(np.asarray(first), np.asarray(second))


def _is_binary_cross_entropy(case: Case) -> bool:
    """Whether the loss compares sigmoids of the outputs, or their logarithms, with targets."""
    names = {n.primitive.name for n in case.after_model if n.primitive is not None}
    for node in case.after_model:
        if node.primitive is None or not node.parents:
            continue
        activation = activation_at(node)
        is_sigmoid = activation is not None and activation.name == "sigmoid" and names & set(LOGARITHMS)
        if (activation is not None and activation.name == "softplus") or is_sigmoid:
            before = node.parents[0][1] if activation is None else activation.input
            # The logistic loss of -1 and 1 multiplies outputs with targets first.
            if not _is_multiplied_by_array(before):
                return True
    return "cross_entropy_of_bits" in names


def _is_multiplied_by_array(node: Node) -> bool:
    while node.primitive is not None and len(node.parents) == 1 and activation_at(node) is None:
        others = [x for i, x in enumerate(node.args or ()) if i != node.parents[0][0]]
        if node.primitive.name == "multiply" and np.size(others[0]) > 1:
            return True
        if node.primitive.name not in MOVES | {"negative", "multiply"}:
            return False
        node = node.parents[0][1]
    return False


def check_limit(case: Case) -> Iterator[Finding]:
    """See whether the loss can fall without limit when the outputs change.

    Notes
    -----
    No published check: a loss that takes the logarithm of probabilities has the limit 0.
    """
    output = case.outputs
    if not isinstance(output, Tensor) or not np.isfinite(case.start) or not _uses_targets(case):
        return
    start = np.asarray(output.detach())

    def look(o: NDArray) -> tuple[float, NDArray]:
        moved = Tensor(o.astype(start.dtype), requires_grad=True)
        loss = case.loss(moved, case.y)
        if not isinstance(loss, Tensor) or loss.node is None:
            return np.nan, np.zeros_like(start)
        np.sum(loss).backward()
        return float(np.mean(np.asarray(loss.detach()))), (
            np.zeros_like(start) if moved.grad is None else np.asarray(moved.grad)
        )

    kept = [(p, p.grad) for p in case.original.parameters() if p.requires_grad]
    try:
        _, g = look(start)
        size = float(np.sqrt(np.mean(g.astype(np.float64) ** 2)))
        if not size or not np.isfinite(size):
            return
        near, far = (look(start - t / size * g) for t in (1e2, 1e4))
    except TinygradError:  # a loss that refuses such outputs
        return
    finally:
        for p, grad in kept:
            p.grad = grad
    if not (far[0] < 30 * near[0] < 0):
        return
    is_linear = np.allclose(far[1], g, rtol=1e-3, atol=1e-3 * size)
    if is_linear and not case.logits and class_labels(np.asarray(case.y)) is not None:
        yield Finding(
            "logits-as-probabilities",
            f"the loss is {case.start:.3g}, and falls to {far[0]:.3g} when the outputs grow: it takes no logarithm",
            "loss",
        )
    else:
        yield Finding(
            "cannot-overfit-one-batch",
            f"the loss is {case.start:.3g}, and falls to {far[0]:.3g} when the outputs move away from the targets: "
            "its sign is wrong",
            "loss",
        )


def check_broadcast(case: Case) -> Iterator[Finding]:
    """Find an operation of the loss that makes N × N numbers from N outputs and N targets.

    Notes
    -----
    No threshold: the shapes say it exactly.
    """
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
    """Find layers that follow each other without a nonlinearity.

    Notes
    -----
    NeuraLint has a rule for missing activations between layers.
    """
    for node in products(case.nodes):
        parent = input_of(node)[1]
        before = _linear_source(parent, 0) if parent is not None else None
        if before is not None and not _is_on_purpose(case, before, node):
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


def _is_on_purpose(case: Case, before: Node, node: Node) -> bool:
    """Whether two products in a row are more than one: a separable convolution, a low rank, queries and keys."""
    if before.kwargs.get("groups", 1) != 1 or ".out_proj." in f".{before.scope}":  # the end of an attention
        return True
    first, second = weight_of(before), weight_of(node)
    assert first is not None
    assert second is not None
    width, given = (before.value.shape[-1], first.value.size // max(before.value.shape[-1], 1))
    if before.value.ndim == 2 and node.value.ndim == 2 and 2 * width <= min(given, node.value.shape[-1]):
        return True
    return any(
        n.primitive is not None
        and n.primitive.name in ("matmul", "einsum", "scaled_dot_product_attention")
        and weight_of(n) is None
        and any(origin_of(parent)[0] is node for _, parent in n.parents)
        for n in case.nodes
    )


def _linear_source(node: Node, depth: int) -> Node | None:
    """The product from which a value comes by linear operations alone, or None."""
    if node.primitive is None or depth > 50 or activation_at(node) is not None:
        return None
    if is_product(node):
        return node
    name = node.primitive.name
    if name in MOVES | _LINEAR:
        found = [_linear_source(parent, depth + 1) for _, parent in node.parents]
        return found[0] if found and all(found) else None
    if name in ("add", "subtract", "multiply", "divide"):
        inner = [parent for _, parent in node.parents if not _is_parameter(parent)]
        if not inner or (name in ("multiply", "divide") and len(inner) > 1):
            return None
        found = [_linear_source(parent, depth + 1) for parent in inner]
        if len(inner) > 1 and not all(map(_is_linear, inner)):
            return None  # a connection around something that is not linear
        return found[0] if all(found) else None
    return None


def _is_linear(node: Node) -> bool:
    """Whether a value is a linear function of the inputs."""
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node.serial in seen or node.primitive is None:
            continue
        seen.add(node.serial)
        if activation_at(node) is not None:
            return False
        if is_product(node):
            inner = input_of(node)[1]
            waiting += [inner] if inner is not None else []
        elif node.primitive.name in MOVES | _LINEAR | {"add", "subtract"} or (
            node.primitive.name in ("multiply", "divide")
            and sum(not _is_parameter(parent) for _, parent in node.parents) < 2
        ):
            waiting += [parent for _, parent in node.parents]
        else:
            return False
    return True


def _is_parameter(node: Node) -> bool:
    while node.primitive is not None and node.primitive.name in MOVES and len(node.parents) == 1:
        node = node.parents[0][1]
    return node.primitive is None
