"""Recognise activations in a graph: those of the library, and those that somebody wrote in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...graph import Node

__all__ = ["MOVES", "Activation", "activation_at", "mask_of", "origin_of", "through_moves"]

#: Operations that only move numbers.
MOVES = {
    "astype", "broadcast_to", "expand_dims", "flip", "getitem", "identity", "moveaxis", "reshape", "roll", "squeeze",
    "swapaxes", "take", "transpose",
}  # fmt: skip


class Activation(NamedTuple):
    """An activation, and the value that it was applied to."""

    name: str
    input: Node


def activation_at(node: Node) -> Activation | None:
    """The activation whose result a node is, such as sigmoid, softmax, relu or clip; or None."""
    if node.primitive is None or not node.parents or node.args is None:
        return None
    name, before = node.primitive.name, node.parents[0][1]
    if name in ("sigmoid", "softmax", "log_softmax", "softplus", "tanh", "relu"):
        return Activation(name, before)
    if name == "logsumexp":
        return Activation("log_softmax", before)
    if name in ("log", "log1p"):
        return _softplus(node, name)
    if name in ("maximum", "minimum", "clip", "multiply", "where"):
        return _bounded(node, name, before)
    if name in ("divide", "reciprocal"):
        return _quotient(node)
    if name == "subtract" and len(node.parents) == 2:
        return _log_softmax(node)
    return None


def _bounded(node: Node, name: str, before: Node) -> Activation | None:
    if len(node.parents) != 1 or is_guard(node):
        return None
    others = [x for i, x in enumerate(node.args or ()) if i != node.parents[0][0]]
    if name == "clip":
        bounds = [x for x in others if x is not None]
        is_relu = len(bounds) == 1 and others[0] is not None and not np.any(bounds[0])
        return (
            Activation("relu", before)
            if is_relu
            else Activation("clip", before)
            if len(bounds) == 2
            else None
        )
    if name in ("maximum", "minimum"):
        if name == "maximum" and not np.any(others[0]):
            return Activation("relu", before)
        opposite = "minimum" if name == "maximum" else "maximum"
        is_between = _is(before, opposite) and len(before.parents) == 1
        return Activation("clip", before.parents[0][1]) if is_between else None
    x, y = np.asarray(before.value), np.asarray(node.value)
    if y.shape != x.shape or x.dtype.kind != "f" or (name == "multiply" and np.shape(others[0]) != x.shape):
        return None
    # A product with (x > 0), or a choice between x and something else, has one slope on each side of 0.
    if name == "where" and (x.min() >= 0 or x.max() <= 0) and any(np.ndim(o) == 0 and not o for o in others):
        return Activation("relu", before)
    slopes = [np.unique(np.round(y[side] / x[side], 5)) for side in (x > 0, x < 0)]
    if any(len(slope) != 1 for slope in slopes) or slopes[0] == slopes[1]:
        return None
    return Activation("relu" if slopes[1] == 0 else "leaky_relu", before)


def _quotient(node: Node) -> Activation | None:
    """``exp(x) / sum(exp(x))``, ``1 / (1 + exp(-x))`` or ``exp(x) / (1 + exp(x))``."""
    parents = dict(node.parents)
    is_reciprocal = _is(node, "reciprocal")
    below = parents.get(0 if is_reciprocal else 1)
    if below is None:
        return None
    total = _without_guard(through_moves(below))
    if not is_reciprocal and 0 in parents:
        above = through_moves(parents[0])
        inner = through_moves(total.parents[0][1]) if _is(total, "sum") else _one_plus_exp(total)
        if _is(total, "add") and len(total.parents) == 1 and np.all(_other(total) == 1):
            size = through_moves(total.parents[0][1])
            if _is(size, "absolute") and np.array_equal(size.parents[0][1].value, above.value):
                return Activation("softsign", above)
        if _is(above, "exp") and inner is not None and _is(inner, "exp"):
            given = through_moves(above.parents[0][1])
            if inner is above or through_moves(inner.parents[0][1]) is given:
                return Activation("softmax" if _is(total, "sum") else "sigmoid", _shifted(given))
        return None
    power = _one_plus_exp(total)
    if power is not None and (is_reciprocal or (node.args and np.all(np.equal(node.args[0], 1)))):
        return Activation("sigmoid", power.parents[0][1])
    return None


def _one_plus_exp(node: Node) -> Node | None:
    """The power in ``1 + exp(x)``."""
    if not _is(node, "add") or len(node.parents) != 1:
        return None
    power = through_moves(node.parents[0][1])
    return power if _is(power, "exp") and np.all(_other(node) == 1) else None


def _softplus(node: Node, name: str) -> Activation | None:
    """``log(1 + exp(x))``, also with ``-abs(x)`` for ``x``."""
    before = through_moves(node.parents[0][1])
    power = before if name == "log1p" else _one_plus_exp(before)
    if power is None or not _is(power, "exp"):
        return None
    given = power.parents[0][1]
    while _is(given, "negative") or _is(given, "absolute"):
        given = given.parents[0][1]
    return Activation("softplus", given)


def _log_softmax(node: Node) -> Activation | None:
    """``x - log(sum(exp(x)))``."""
    left, right = (through_moves(parent) for _, parent in node.parents)
    if _is(right, "logsumexp"):
        return Activation("log_softmax", _shifted(left))
    if not _is(right, "log"):
        return None
    total = _without_guard(through_moves(right.parents[0][1]))
    if _is(total, "sum"):
        power = through_moves(total.parents[0][1])
        if _is(power, "exp") and through_moves(power.parents[0][1]) is left:
            return Activation("log_softmax", _shifted(left))
    return None


def _is(node: Node, name: str) -> bool:
    return node.primitive is not None and node.primitive.name == name and bool(node.parents)


def _without_guard(node: Node) -> Node:
    """A value before a tiny number was added, against a division by 0."""
    while _is(node, "add") and len(node.parents) == 1 and np.all(np.abs(_other(node)) < 1e-3):
        node = through_moves(node.parents[0][1])
    return node


def _other(node: Node) -> np.ndarray:
    return np.asarray(next(x for i, x in enumerate(node.args or ()) if i != node.parents[0][0]), float)


def _shifted(node: Node) -> Node:
    """A value before its own maximum was subtracted, as softmax does against overflow."""
    node = through_moves(node)
    if _is(node, "subtract") and len(node.parents) == 2:
        left, right = node.parents[0][1], through_moves(node.parents[1][1])
        if _is(right, "max") and through_moves(right.parents[0][1]) is through_moves(left):
            return through_moves(left)
    return node


def through_moves(node: Node) -> Node:
    """Follow a value back through operations that only move numbers."""
    while node.primitive is not None and node.primitive.name in MOVES and len(node.parents) == 1:
        node = node.parents[0][1]
    return node


def origin_of(node: Node, scaled: bool = False) -> tuple[Node, bool]:
    """Follow a value back through operations that only move numbers, or combine it with constants.

    Returns
    -------
    (Node, bool)
        The operation that computed the numbers, and whether they were scaled on the way.
    """
    node = _shifted(node) if _is(node, "subtract") else node
    while node.primitive is not None and len(node.parents) == 1 and activation_at(node) is None:
        name = node.primitive.name
        if name in ("multiply", "divide"):
            scaled = True
        elif name not in MOVES | {"add", "subtract", "negative"} and not is_guard(node):
            break
        node = node.parents[0][1]
    return node, scaled


def is_guard(node: Node) -> bool:
    """Whether a bound only keeps numbers from an exact 0 or 1, and is no activation."""
    if node.primitive is None or node.primitive.name not in ("clip", "maximum", "minimum"):
        return False
    bounds = [x for i, x in enumerate(node.args or ()) if i != node.parents[0][0] and x is not None]
    near_0 = [np.size(b) == 1 and 0 < abs(float(b)) < 1e-3 for b in bounds]
    near_1 = [np.size(b) == 1 and 0.999 < float(b) <= 1 for b in bounds]
    if not any(near_0):
        return len(bounds) == 1 and near_1[0] and node.primitive.name == "minimum"
    return all(a or b for a, b in zip(near_0, near_1, strict=True))


def mask_of(node: Node) -> np.ndarray | None:
    """The zeros and equal numbers that an operation multiplies with, if it does."""
    if node.primitive is None or node.primitive.name not in ("multiply", "divide", "where") or not node.args:
        return None
    tracked = {position for position, _ in node.parents}
    for position, mask in enumerate(node.args):
        if position in tracked or not isinstance(mask, np.ndarray) or mask.size < 64:
            continue
        values = np.unique(mask)
        if len(values) == 2 and values[0] == 0 and values[1] > 0:
            return mask
    return None
