"""Forward mode: the change of a result for a given change of the inputs, through a recorded graph.

No operation has to state a rule for it, because each has a backward rule. If every output element
depends only on the element at its own place, the Jacobian is diagonal, and its product with a change is
the same from either side: the backward rule serves. If an operation is linear, the change of its result
is the operation applied to the change; if it is a reduction, the sum of the contributions of the
elements. A few operations state a forward rule. For all others, the backward rule, which is linear in
its gradient, is itself differentiated with respect to that gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import GradientError
from ..graph import TRANSPOSING, WATCH, Node, _add, _lift_inputs, _set, conjugate, deriving, fit, sweep
from ..primitive import Primitive, Rule, identity
from ..tensor import Tensor, _handle, record
from ..typing import Array

__all__ = ["push", "variable"]


def variable(value: Any, source: Node | None = None) -> Tensor:
    """Make a Tensor that starts its own graph; ``source`` is the node of its value, if tracked."""
    parents = () if source is None else ((0, source),)
    return _handle(value, Node(identity, value, (value,), {}, parents))


def push(
    tangents: Mapping[Node, Array],
    results: Collection[Node],
    *,
    retain: bool = False,
    lift: Callable[[Node], Array] | None = None,
) -> dict[Node, Array]:
    """Propagate changes of some nodes forward to everything that was computed from them.

    Parameters
    ----------
    tangents : mapping of Nodes to Arrays
        The change of each node, with the shape and dtype of its value.
    results : Nodes
        The nodes at which to stop.
    retain, lift
        As for :func:`~tinygrad_mnist.graph.sweep`: whether to keep the saved arrays, and how to record
        what is computed.

    Returns
    -------
    dict
        The change of each result that depends on a changed node.
    """
    changes, watch = dict(tangents), WATCH.get()
    nodes = _find_between(changes, results)
    last_use = {parent: node for node in reversed(nodes) for _, parent in node.parents}
    while nodes:
        node = nodes.pop()
        if node.args is None:
            raise GradientError(
                "jvp: the graph of the function was freed by a backward pass inside it; pass retain_graph=True to that"
            )
        moving = [(i, changes[parent]) for i, parent in node.parents if parent in changes]
        if moving:
            changes[node] = _push(node, moving, lift)
            if watch is not None:
                watch.pushed(node, moving, changes[node])
        for _, parent in node.parents:
            if last_use.get(parent) is node:
                del last_use[parent]
                if parent not in results:
                    changes.pop(parent, None)
        if not retain:
            node.release()
    return changes


def _find_between(sources: Mapping[Node, Array], results: Iterable[Node]) -> list[Node]:
    """All nodes between results and sources, from the youngest to the oldest."""
    oldest = min((node.serial for node in sources), default=0)
    found: set[Node] = set()
    waiting = [node for node in results if node not in sources]
    while waiting:
        node = waiting.pop()
        if node not in found and node.serial > oldest:
            found.add(node)
            waiting.extend(parent for _, parent in node.parents if parent not in sources)
    return sorted(found, key=lambda node: -node.serial)


def _push(node: Node, moving: Sequence[tuple[int, Array]], lift: Callable[[Node], Array] | None) -> Array:
    """The change of an operation's result."""
    primitive, y, args, kwargs = node.primitive, node.value, node.args, node.kwargs
    assert primitive is not None, "a leaf is computed from nothing"
    assert args is not None, "a freed graph was refused"
    if lift is not None:
        y, args = lift(node), _lift_inputs(args, node.parents, lift)
    if primitive.jvp == "linear":
        by_place = dict(moving)
        changed = [
            by_place[i] if i in by_place else _make_still(primitive.rules[i], x) for i, x in enumerate(args)
        ]
        return fit(_apply(primitive, changed, kwargs), node.value)
    total: Any = None
    for i, v in moving:
        if primitive.jvp == "multilinear":
            part = _apply(primitive, [*args[:i], v, *args[i + 1 :]], kwargs)
        elif primitive.pushes:
            part = primitive.pushes[i](v, y, *args, **kwargs)
        elif primitive.jvp == "elementwise":
            part = primitive.rules[i](v, y, *args, **kwargs)
        elif primitive.jvp == "reduction":
            part = np.sum(
                _slopes(primitive, i, y, args, kwargs) * v, axis=kwargs["axis"], keepdims=kwargs["keepdims"]
            )
        else:
            part = _transpose(primitive.rules[i], v, y, args, kwargs, lift)
        part = fit(part, node.value)
        total = part if total is None else _add(total, part)
    return total


def _slopes(primitive: Primitive, i: int, y: Any, args: tuple[Any, ...], kwargs: Any) -> Array:
    """The slope of each element: how far it moves the result that it contributes to."""
    return primitive.rules[i](np.ones(y.shape, y.dtype), y, *args, **kwargs)


def _make_still(rule: Rule | None, x: Any) -> Any:
    """The tangent of an argument that does not change: zeros if it could change."""
    return x if rule is None or x is None else np.zeros_like(x)


def _apply(primitive: Primitive, args: Sequence[Any], settings: Any) -> Any:
    if any(isinstance(x, Tensor) for x in args):
        return record(primitive, args, settings)
    return primitive.forward(*args, **settings)


def _transpose(
    rule: Rule, v: Array, y: Any, args: tuple[Any, ...], kwargs: Any, lift: Callable[[Node], Array] | None
) -> Array:
    """Differentiate ``rule(g, ...)``, a linear function of ``g``, with respect to ``g``."""
    parts = y if isinstance(y, tuple) else (y,)
    gs = tuple(variable(np.ones(part.shape, part.dtype)) for part in parts)  # any numbers work
    with deriving():
        with _set(TRANSPOSING, True):
            r = rule(gs if isinstance(y, tuple) else gs[0], y, *args, **kwargs)
        r = fit(r, v)
        nodes = [g._node for g in gs if g._node is not None]
        seeds = _seeds(r, conjugate(v))
        found = sweep(seeds, targets=nodes, retain=True, lift=lift) if seeds else {}
    changes = tuple(
        conjugate(found[node]) if node in found else np.zeros_like(g.data)
        for node, g in zip(nodes, gs, strict=True)
    )
    return changes if isinstance(y, tuple) else changes[0]


def _seeds(r: Any, v: Any) -> dict[Node, Array]:
    """Pair the nodes of a rule's results with their weights."""
    if isinstance(r, tuple):
        return {node: seed for part, w in zip(r, v, strict=True) for node, seed in _seeds(part, w).items()}
    return {r._node: v} if isinstance(r, Tensor) and r._node is not None else {}
