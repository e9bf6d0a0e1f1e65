"""The compiled program of a graph, line by line, with the step of the sweep that each line belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ...compiler import Compiled, compile
from ...compiler.program import take_name
from ...compiler.source.names import identifier
from ...errors import TinygradError
from ...graph import Node, scope
from ...transforms import value_and_grad
from .recording import users_line

__all__ = ["compile_graph", "nodes_before", "program_lines"]

_COMMENT = re.compile(r"( *)# (back through )?step (\d+)(, |$)")


def nodes_before(root: Node) -> list[Node]:
    """Collect a node and everything that it was computed from, the oldest first."""
    seen, waiting = {root.serial: root}, [root]
    while waiting:
        for _, parent in waiting.pop().parents:
            if parent.serial not in seen:
                seen[parent.serial] = parent
                waiting.append(parent)
    return [seen[serial] for serial in sorted(seen)]


def compile_graph(root: Node, names: Mapping[str, Any]) -> tuple[Compiled[..., Any], list[Any], list[Node]]:
    """Compile a recorded graph and its backward pass.

    Parameters
    ----------
    root : Node
    names : mapping of str to Tensor or array
        Names for leaves and constants.

    Returns
    -------
    compiled : Compiled
        It takes the values of the leaves, then those of the constants, and returns the result and the gradients of
        the leaves.
    values : list
        What to call it with.
    operations : list of Node
        In the comments of the program, ``step 3`` is the operation with this index.
    """
    nodes = nodes_before(root)
    leaves = [node for node in nodes if node.primitive is None]
    operations = [node for node in nodes if node.primitive is not None]
    constants = _constants(operations)
    given = {id(getattr(value, "node", None) or value): name for name, value in names.items()}
    taken: set[str] = {"graph"}
    called = [
        take_name(identifier(given.get(id(x), x.name if isinstance(x, Node) else "") or "x"), taken)
        for x in (*leaves, *constants)
    ]

    def graph(*values: Any) -> Any:
        known = dict(zip(leaves, values, strict=False))
        data = {id(x): value for x, value in zip(constants, values[len(leaves) :], strict=True)}
        for i, node in enumerate(operations):
            assert node.primitive is not None
            assert node.args is not None
            parents = dict(node.parents)
            args = [
                known[parents[j]] if j in parents else data.get(id(x), x) for j, x in enumerate(node.args)
            ]
            with scope(f"step {i}"):
                known[node] = node.primitive(*args, **node.kwargs)
        return known[root]

    graph.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_ONLY) for name in called])  # type: ignore[attr-defined]
    compiled = compile(value_and_grad(graph, argnums=tuple(range(len(leaves)))))
    return compiled, [*(leaf.value for leaf in leaves), *constants], operations


def _constants(operations: Sequence[Node]) -> list[Any]:
    """The arrays of numbers that operations use and that no gradient goes to."""
    found = {}
    for node in operations:
        tracked = {position for position, _ in node.parents}
        for position, x in enumerate(node.args or ()):
            if position not in tracked and isinstance(x, np.ndarray) and x.ndim and x.dtype.kind == "f":
                found[id(x)] = x
    return list(found.values())


def program_lines(root: Node, names: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Write the compiled program of a graph, and say which operation each line belongs to.

    Returns
    -------
    lines : list of dict
        The ``text`` of each line, the ``node`` that it computes something for (or None), and whether it belongs to the
        backward pass (``back``).
    why_not : str
        Why there is no program; ``""`` if there is one.
    """
    try:
        compiled, values, operations = compile_graph(root, names)
        compiled(*values)
        source = compiled.source
    except TinygradError as error:
        return [], str(error)
    lines: list[dict[str, Any]] = []
    node: Node | None = None
    back = False
    for text in source.rstrip().split("\n"):
        written = text
        found = _COMMENT.match(text)
        if found is not None:
            node, back = operations[int(found[3])], bool(found[2])
            written = f"{found[1]}# {'back through ' if back else ''}{_told(node, not back)}"
        elif text.strip().startswith(("return ", "# ")):  # a comment of another kind, such as "# back"
            node = None
        lines.append({"text": written, "node": node if text.strip() else None, "back": back})
    return lines, ""


def _told(node: Node, has_text: bool) -> str:
    assert node.primitive is not None
    line, within = users_line(node), node.scope
    where = "" if line is None else f", {line.file.rpartition('/')[2]}:{line.number}"
    text = f": {line.text}" if line is not None and line.text and has_text else ""
    return f"{node.primitive.name}{f' of {within}' if within else ''}{where}{text}"[:108]
