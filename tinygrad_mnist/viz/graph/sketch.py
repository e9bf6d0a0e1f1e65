"""What is in a drawing, before it has any looks: boxes and the arrows between them.

:func:`survey` walks a recorded graph and lists it as a :class:`Sketch`. Boxes stand in the order in
which the data flows, found from the structure alone: the same computation gives the same sketch,
whatever was recorded, updated or freed elsewhere in the meantime.
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

#: The modules around an operation, from the outermost in, each as (name, kind): ``(("0", "Linear"),)``.
Path = tuple[tuple[str, str], ...]

#: What a box may stand for. A ``leaf`` receives a gradient, a ``constant`` is an array that does
#: not, and the last two are made of several operations.
Kind = Literal["operation", "leaf", "constant", "module", "rest"]


@dataclass(eq=False, slots=True)
class Box:
    """One box of a drawing.

    Attributes
    ----------
    kind : Kind
    value : ndarray, or a tuple of ndarrays
        What comes out of it.
    node : Node or None
        What it stands for, if that is one node.
    path : Path
        The modules to draw it in.
    name : str
        What a leaf, a constant, or a result the caller named is called.
    operations, leaves, constants : int
        How many of each it holds.
    numbers : int
        How many numbers its leaves hold.
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
        """How many operations are drawn or summed up."""
        return sum(box.operations for box in self.boxes)


def survey(roots: Sequence[Node], names: Mapping[int, str]) -> Sketch:
    """List everything the roots were computed from.

    Parameters
    ----------
    roots : sequence of Nodes
        The results.
    names : mapping of int to str
        What the caller calls nodes and constant arrays, by their ``id``.

    Raises
    ------
    GradientError
        If a backward pass has freed part of the graph.
    """
    sketch = Sketch()
    places: dict[
        int, int
    ] = {}  # where in the list a node or an array is, by its id: all stay alive meanwhile
    paths: dict[int, Path] = {}

    def add(thing: Any) -> None:
        places[id(thing)] = len(sketch.boxes)
        sketch.boxes.append(_box(thing, names.get(id(thing), ""), paths))

    # An explicit stack, for chains longer than Python's own; inputs are finished before what they feed.
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
    """Spell a path as ``state_dict`` does: ``encoder.0``."""
    return ".".join(name for name, _ in path if name)


def common(paths: Iterable[Path]) -> Path:
    """Return the innermost module that all the paths lie in."""
    levels = takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return tuple(level[0] for level in levels)


def _box(thing: Any, name: str, paths: dict[int, Path]) -> Box:
    if not isinstance(thing, Node):
        return Box("constant", thing, name=name, constants=1)
    if thing.is_leaf:
        return Box("leaf", thing.value, thing, name=name, leaves=1, numbers=thing.value.size)
    return Box("operation", thing.value, thing, path=_path(thing.within, paths), name=name, operations=1)


def _inputs(node: Node) -> Iterator[Any]:
    """Yield the nodes and the constant arrays an operation was given, in the order of its arguments."""
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
    """Turn a node's scope, innermost first, round."""
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
    """Put each parameter where its users are, and call it as ``state_dict`` does.

    A leaf knows its own name alone (``weight``). The module it belongs to is taken to be that of
    the first operation that uses it; operations outside of modules (a penalty on the weights, a
    recorded backward pass) do not count where there are others.
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
