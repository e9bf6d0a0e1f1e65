"""Make a large sketch small enough to look at: modules, runs and the middle become single boxes.

Graphviz takes minutes to lay out a few thousand tangled nodes, and nobody reads the result. Each
step here groups boxes of a :class:`~tinygrad_mnist.viz.graph.sketch.Sketch` and returns a smaller one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import cast

from ...errors import pluralise
from .sketch import Box, Kind, Path, Sketch, common

__all__ = ["shrink"]

#: The number of operations that stay visible at either end of a summarised run.
ENDS = 3


def shrink(sketch: Sketch, collapse: bool | str, max_nodes: int) -> tuple[Sketch, str]:
    """Collapse as requested, and then more until it fits.

    Parameters
    ----------
    sketch : Sketch
    collapse : bool or 'auto'
        Whether modules become boxes; ``'auto'`` does so if there are too many boxes.
    max_nodes : int

    Returns
    -------
    sketch : Sketch
        A sketch of at most ``max_nodes`` boxes.
    note : str
        A note for the reader about what was omitted; ``""`` if nothing was.
    """
    total, done = sketch.operations, ""
    if collapse is True or (collapse == "auto" and len(sketch.boxes) > max_nodes):
        for smaller in _module_steps(sketch):
            sketch, done = _without_crowds(smaller), "each module is drawn as one box"
            if len(sketch.boxes) <= max_nodes:
                break
    if len(sketch.boxes) > max_nodes:
        sketch, done = _without_crowds(_without_runs(sketch)), "long runs of operations are summed up"
    if len(sketch.boxes) > max_nodes:
        sketch, done = _without_middle(sketch, max_nodes), "the middle is summarised"
    return sketch, f"{pluralise(total, 'operation')} in all; {done}" if done else ""


def _module_steps(sketch: Sketch) -> Iterator[Sketch]:
    """Turn modules into boxes: first the innermost ones, then shallower and shallower ones."""
    paths = {box.path for box in sketch.boxes if box.operations and box.path}
    if not paths:
        return
    outer = {path[:depth] for path in paths for depth in range(len(path))}
    innermost = paths - outer
    yield _group(sketch, [box.path if box.path in innermost else None for box in sketch.boxes], "module")
    for depth in range(max(map(len, paths)) - 1, 0, -1):
        keys = [box.path[:depth] if len(box.path) >= depth else None for box in sketch.boxes]
        yield _group(sketch, keys, "module")


def _without_runs(sketch: Sketch) -> Sketch:
    """Summarise the inside of each long chain of operations."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for source, target in dict.fromkeys(sketch.arrows):
        if sketch.boxes[source].operations:  # constants and parameters join a chain without breaking it
            before.setdefault(target, []).append(source)
            after.setdefault(source, []).append(target)
    keys: list[Hashable] = [None] * len(sketch.boxes)
    results = set(sketch.results)

    def following(place: int) -> int | None:
        """Find the next box of a chain: the only user of this one, with no other input."""
        users = after.get(place, [])
        if len(users) == 1 and len(before[users[0]]) == 1 and place not in results:
            return users[0]
        return None

    for start, box in enumerate(sketch.boxes):
        feeds = before.get(start, [])
        if not box.operations or (len(feeds) == 1 and following(feeds[0]) == start):
            continue  # not the start of a chain
        run, place = [start], following(start)
        while place is not None:
            run.append(place)
            place = following(place)
        if len(run) > 2 * ENDS + 1:
            for inner in run[ENDS:-ENDS]:
                keys[inner] = start
    return _group(sketch, _with_own_constants(sketch, keys), "rest")


def _without_middle(sketch: Sketch, max_nodes: int) -> Sketch:
    """Keep the boxes near the first inputs and near the results, and summarise everything in between."""
    head = (max_nodes - 1) // 2
    tail = len(sketch.boxes) - (max_nodes - 1 - head)
    return _group(sketch, ["middle" if head <= i < tail else None for i in range(len(sketch.boxes))], "rest")


def _without_crowds(sketch: Sketch) -> Sketch:
    """Summarise equal nameless constants with the same single user, such as the inputs of a recurrent network."""
    crowds: dict[Hashable, list[int]] = {}
    for place, users in _users_of_constants(sketch).items():
        if len(users) == 1 and not sketch.boxes[place].name:
            value = sketch.boxes[place].value
            crowds.setdefault((users.pop(), value.shape, value.dtype), []).append(place)
    keys: list[Hashable] = [None] * len(sketch.boxes)
    for alike, places in crowds.items():
        if len(places) > ENDS:
            for place in places:
                keys[place] = alike
    return _group(sketch, keys, "constant")


def _with_own_constants(sketch: Sketch, keys: list[Hashable]) -> list[Hashable]:
    """Put a constant into the group that is its only user."""
    for place, users in _users_of_constants(sketch).items():
        groups = {keys[user] for user in users}
        if len(groups) == 1:
            keys[place] = groups.pop()
    return keys


def _users_of_constants(sketch: Sketch) -> dict[int, set[int]]:
    users: dict[int, set[int]] = {}
    for source, target in sketch.arrows:
        if sketch.boxes[source].kind == "constant":
            users.setdefault(source, set()).add(target)
    return users


def _group(sketch: Sketch, keys: Sequence[Hashable], kind: Kind) -> Sketch:
    """Merge the boxes that share a key; a box with the key ``None`` is kept."""
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(place if key is None else ("group", key), []).append(place)
    leaving = {
        source for source, target in sketch.arrows if keys[source] is None or keys[source] != keys[target]
    }
    leaving.update(sketch.results)
    new, where = Sketch(), [0] * len(keys)
    for places in groups.values():
        for place in places:
            where[place] = len(new.boxes)
        key, boxes = keys[places[0]], [sketch.boxes[place] for place in places]
        if key is not None:
            path = (
                cast(Path, key) if kind == "module" else common(box.path for box in boxes if box.operations)
            )
            out = max((place for place in places if place in leaving), default=places[-1])
            new.boxes.append(_merge(boxes, kind, sketch.boxes[out].value, path))
        else:
            new.boxes.append(boxes[0])
    seen: set[tuple[int, int]] = set()
    for source, target in sketch.arrows:
        arrow = where[source], where[target]
        is_kept = keys[source] is None and keys[target] is None  # x * x keeps its two arrows
        if is_kept or (arrow[0] != arrow[1] and arrow not in seen):
            new.arrows.append(arrow)
            seen.add(arrow)
    new.results = list(dict.fromkeys(where[place] for place in sketch.results))
    return new


def _merge(boxes: list[Box], kind: Kind, value: object, path: Path) -> Box:
    return Box(
        kind,
        value,
        path=path,
        operations=sum(box.operations for box in boxes),
        leaves=sum(box.leaves for box in boxes),
        constants=sum(box.constants for box in boxes),
        numbers=sum(box.numbers for box in boxes),
    )
