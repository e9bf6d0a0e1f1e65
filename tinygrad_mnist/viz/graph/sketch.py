"""The content of a drawing without its design: boxes and the arrows between them.

:func:`survey` walks a recorded graph and lists it as a :class:`Sketch`. Boxes are in the order of the
data flow, which depends only on the structure: the same computation gives the same sketch, whatever was
recorded, updated or freed elsewhere in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

import numpy as np

from ...errors import GradientError
from ...graph import Node, Scope

__all__ = ["Box", "Kind", "Path", "Sketch", "common", "dotted", "survey"]

#: The modules around an operation, from the outermost to the innermost, each as (name, kind): ``(("0", "Linear"),)``.
Path = tuple[tuple[str, str], ...]

#: The kinds of boxes. A ``leaf`` receives a gradient, a ``constant`` is an array that does not, and the
#: last two kinds combine several operations.
Kind = Literal["operation", "leaf", "constant", "module", "rest"]


@dataclass(eq=False, slots=True)
class Box:
    """One box of a drawing.

    Attributes
    ----------
    kind : Kind
    value : ndarray, or a tuple of ndarrays
        Its output.
    node : Node or None
        The node that it stands for, if there is only one.
    path : Path
        The modules in which it is drawn.
    name : str
        The name of a leaf, of a constant, or of a result that the caller named.
    operations, leaves, constants : int
        The numbers of operations, leaves and constants in it.
    numbers : int
        The number of elements in its leaves.
    """

    kind: Kind
    value: Any
    node: Node | None = None
    path: Path = ()
    name: str = ""
    operations: int = 0
    leaves: int = 0
    constants: int = 0
    numbers: int = 0


@dataclass(eq=False, slots=True)
class Sketch:
    """Boxes, arrows between their positions in the list, and the positions of the results."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[int, int]] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """The number of operations that are drawn or summarised."""
        return sum(box.operations for box in self.boxes)


def survey(roots: Sequence[Node], names: Mapping[int, str]) -> Sketch:
    """List everything that the roots were computed from.

    Parameters
    ----------
    roots : sequence of Nodes
        The results.
    names : mapping of int to str
        The caller's names of nodes and constant arrays, by their ``id``.

    Raises
    ------
    GradientError
        If a backward pass has freed part of the graph.
    """
    sketch = Sketch()
    places: dict[
        int, int
    ] = {}  # the positions of nodes and arrays in the list, by id; all of them stay alive meanwhile
    paths: dict[int, Path] = {}

    def add(thing: Any) -> None:
        places[id(thing)] = len(sketch.boxes)
        sketch.boxes.append(_box(thing, names.get(id(thing), ""), paths))

    # An explicit stack, for chains longer than Python's stack; inputs are finished before their users.
    for root in roots:
        stack = [] if id(root) in places else [(root, _inputs(root))]
        while stack:
            node, inputs = stack[-1]
            for thing in inputs:
                if id(thing) in places:
                    continue
                if isinstance(thing, Node):
                    stack.append((thing, _inputs(thing)))
                    break
                add(thing)
            else:
                stack.pop()
                add(node)
                here = places[id(node)]
                sketch.arrows.extend((places[id(thing)], here) for thing in _inputs(node))
        if places[id(root)] not in sketch.results:
            sketch.results.append(places[id(root)])
    _place_leaves(sketch)
    return sketch


def dotted(path: Path) -> str:
    """Write a path as in ``state_dict``: ``encoder.0``."""
    return ".".join(name for name, _ in path if name)


def common(paths: Iterable[Path]) -> Path:
    """Return the innermost module that contains all the paths."""
    levels = takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return tuple(level[0] for level in levels)


def _box(thing: Any, name: str, paths: dict[int, Path]) -> Box:
    if not isinstance(thing, Node):
        return Box("constant", thing, name=name, constants=1)
    if thing.is_leaf:
        return Box("leaf", thing.value, thing, name=name, leaves=1, numbers=thing.value.size)
    return Box("operation", thing.value, thing, path=_path(thing.within, paths), name=name, operations=1)


def _inputs(node: Node) -> Iterator[Any]:
    """Yield the nodes and the constant arrays that are inputs of an operation, in the order of its arguments."""
    if node.is_leaf:
        return
    if node.args is None:
        name = node.primitive.name if node.primitive else "a node"
        raise GradientError(
            f"draw_graph: the graph through {name} was freed by a backward pass; draw it before backward(), "
            "or call backward(retain_graph=True)"
        )
    tracked = dict(node.parents)
    for position, arg in enumerate(node.args):
        if position in tracked:
            yield tracked[position]
        elif isinstance(arg, np.ndarray) and arg.ndim:
            yield arg


def _path(within: Scope, known: dict[int, Path]) -> Path:
    """Reverse a node's scope, which has the innermost module first."""
    if within is None:
        return ()
    if id(within) not in known:
        reverse = []
        scope: Scope = within
        while scope is not None:
            reverse.append((scope[1], scope[2]))
            scope = scope[0]
        known[id(within)] = tuple(reversed(reverse))
    return known[id(within)]


def _place_leaves(sketch: Sketch) -> None:
    """Put each parameter next to its users, and name it as in ``state_dict``.

    A leaf only knows its own name (``weight``). Its module is taken to be that of the first operation
    that uses it; operations outside of modules (a penalty on the weights, a recorded backward pass) do
    not count if there are others.
    """
    users: dict[int, list[Path]] = {}
    for source, target in sketch.arrows:
        if sketch.boxes[source].kind == "leaf" and sketch.boxes[target].path:
            users.setdefault(source, []).append(sketch.boxes[target].path)
    for place, box in enumerate(sketch.boxes):
        if box.kind == "leaf" and box.node is not None and box.node.name:
            paths = users.get(place, [()])
            box.path = common(paths)
            box.name = box.name or ".".join(part for part in (dotted(paths[0]), box.node.name) if part)
