"""Draw the graph that computed a Tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import GradientError, OptionError, UnsupportedError, choice
from ...graph import Node
from ...palette import AMBER, BLUE, GREEN, INK, PALE, PAPER, SOFT, mix
from ...tensor import Tensor
from .collapse import shrink
from .labels import cluster_words, words
from .rendering import render_graph
from .sketch import Box, Path, Sketch, survey

if TYPE_CHECKING:
    import graphviz

__all__ = ["draw_graph"]

#: The largest graph that is passed to Graphviz: a larger, tangled one takes minutes.
MOST_NODES = 1_000

# Placing a recurrent net of 300 boxes takes Graphviz a minute, nearly all of it spent on the last few
# percent; with this limit on the rounds of improvement (a multiple of the boxes), a second.
LARGE, ROUNDS = 60, "5"

DIRECTIONS = {"TB": "top to bottom", "BT": "bottom to top", "LR": "left to right", "RL": "right to left"}

# One hue per kind of box; the outline differs as well, for colour-blind readers and in print.
LOOKS: dict[str, dict[str, str]] = {
    "operation": {},
    "leaf": {"fillcolor": mix(AMBER, 0.15), "color": AMBER},
    "constant": {"fillcolor": mix(PALE, 0.1), "color": PALE, "style": "rounded,filled,dashed"},
    "module": {"fillcolor": mix(BLUE, 0.12), "color": BLUE, "penwidth": "1.4"},
    "rest": {"fillcolor": PAPER, "color": PALE, "style": "rounded,filled,dotted", "penwidth": "1.6"},
}
RESULT = {"fillcolor": mix(GREEN, 0.15), "color": GREEN, "penwidth": "2.2"}
NODE = {
    "shape": "box", "style": "rounded,filled", "fillcolor": PAPER, "color": BLUE,
    "fontname": "Helvetica", "fontsize": "11", "fontcolor": INK, "height": "0.3", "margin": "0.13,0.06",
}  # fmt: skip
EDGE = {"color": SOFT, "arrowsize": "0.6", "penwidth": "1.0"}
CLUSTER = {"style": "rounded,filled", "fillcolor": mix(BLUE, 0.03), "color": mix(PALE, 0.5), "margin": "10"}
TITLE = {
    "shape": "plaintext", "style": "solid", "fontcolor": SOFT, "fontsize": "10", "width": "0", "height": "0",
    "margin": "0.02",
}  # fmt: skip
GRAPH = {
    "bgcolor": PAPER,
    "fontname": "Helvetica",
    "fontsize": "10",
    "nodesep": "0.25",
    "ranksep": "0.35",
    "newrank": "true",
}


def draw_graph(
    tensor: Tensor | Sequence[Tensor],
    *,
    names: Mapping[str, Any] | None = None,
    collapse: bool | str = "auto",
    max_nodes: int = 300,
    values: bool = False,
    direction: str = "TB",
    path: str | os.PathLike[str] | None = None,
) -> graphviz.Digraph:
    """Draw the graph that computed a Tensor.

    Arrows point in the direction of the data. Operations are white, leaves (which receive a gradient)
    amber, constants grey and dashed, and the result is green with a thick line. Operations are
    grouped by the module in which they ran, and parameters are named as in ``state_dict()``.

    Parameters
    ----------
    tensor : Tensor, or sequence of Tensors
        The results. Draw before ``backward()``, which frees the graph unless called with
        ``retain_graph``.
    names : mapping of str to Tensor or array, optional
        Names of leaves, constants and intermediate results, such as
        ``{"images": x, "hidden": h}`` or ``dict(model.named_parameters())``.
    collapse : bool or 'auto', default 'auto'
        Whether to draw each module as one box; ``'auto'`` does so if there would otherwise be more
        than ``max_nodes`` boxes.
    max_nodes : int, default 300
        The largest number of boxes, up to 1,000. If there would be more, shallower modules are
        collapsed, then long runs of operations are summarised, and then the middle; a note in the
        drawing says so.
    values : bool, default False
        Also write values of up to six elements, and their gradients after a backward pass.
    direction : {'TB', 'BT', 'LR', 'RL'}
        Direction of the data flow: top to bottom, left to right, and so on.
    path : path, optional
        Also write the drawing to this file; see :func:`render_graph`.

    Returns
    -------
    graphviz.Digraph
        It is shown in notebooks. ``.source`` is the DOT text, which is the same each time the same
        computation is drawn.

    Raises
    ------
    GradientError
        If the Tensor is untracked, or a backward pass has freed its graph.

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x, y = tg.tensor(0.5, requires_grad=True), tg.tensor(4.2, requires_grad=True)
    >>> graph = tg.viz.draw_graph(x * y + np.sin(x), names={"x": x, "y": y}, direction="LR")
    >>> print(graph.source.splitlines()[-2].strip())  # the last arrow: from the sine to the sum
    n3 -> n4
    """
    _, drawing = lay_out(_roots(tensor), names or {}, collapse, max_nodes, direction, values)
    if path is not None:
        render_graph(drawing, path)
    return drawing


def lay_out(
    roots: Sequence[Node],
    names: Mapping[str, Any],
    collapse: bool | str,
    max_nodes: int,
    direction: str,
    values: bool,
) -> tuple[Sketch, graphviz.Digraph]:
    """Make the sketch of a graph, and the drawing: box number 3 is the drawing's node ``n3``."""
    from .digraph import Drawing

    _check(collapse, max_nodes, direction)
    sketch, note = shrink(survey(roots, _names(names)), collapse, max_nodes)
    drawing = Drawing(graph_attr={**GRAPH, "rankdir": direction}, node_attr=NODE, edge_attr=EDGE)
    if len(sketch.boxes) > LARGE:
        drawing.attr(nslimit=ROUNDS)
    if note:
        drawing.attr(label=_label(note, [], is_title_bold=False), labelloc="b", fontcolor=SOFT)
    _add_boxes(drawing, sketch, values)
    for source, target in sketch.arrows:
        drawing.edge(f"n{source}", f"n{target}")
    return sketch, drawing


def _check(collapse: bool | str, max_nodes: int, direction: str) -> None:
    if collapse not in (True, False, "auto"):
        raise OptionError(f"draw_graph: collapse={collapse!r}; valid: True, False, 'auto'")
    if not 10 <= max_nodes <= MOST_NODES:
        raise OptionError(
            f"draw_graph: max_nodes={max_nodes!r}; valid: 10 to {MOST_NODES:,}, because Graphviz takes minutes "
            "to lay out more; collapse=True draws each module as one box"
        )
    if direction not in DIRECTIONS:
        raise choice("direction", direction, DIRECTIONS)


def _roots(tensor: Tensor | Sequence[Tensor]) -> list[Node]:
    tensors = list(tensor) if isinstance(tensor, (list, tuple)) else [tensor]
    if not tensors:
        raise OptionError("draw_graph: no Tensor was given")
    nodes = []
    for each in tensors:
        if not isinstance(each, Tensor):
            raise UnsupportedError(
                f"draw_graph: expects a Tensor, or several in a list, got {type(each).__name__}; pass what a model "
                "returns, as in draw_graph(model(x))"
            )
        if each.node is None:
            raise GradientError(
                "draw_graph: this Tensor is untracked, so nothing was recorded; make an input with "
                "requires_grad=True, and compute outside no_grad()"
            )
        nodes.append(each.node)
    return nodes


def _names(names: Mapping[str, Any]) -> dict[int, str]:
    """Turn names of things into names by identity: of the node, or of the array of a constant."""
    things = {}
    for name, thing in names.items():
        if isinstance(thing, Tensor):
            things[id(thing._array if thing.node is None else thing.node)] = str(name)
        elif isinstance(thing, np.ndarray):
            things[id(thing)] = str(name)
    return things


def _add_boxes(drawing: Any, sketch: Sketch, values: bool) -> None:
    """Add the boxes; those of a module go inside a frame with its name."""
    frames: dict[Path, list[int]] = {(): []}
    for place, box in enumerate(sketch.boxes):
        around = box.path[:-1] if box.kind == "module" else box.path
        for depth in range(1, len(around) + 1):
            frames.setdefault(around[:depth], [])
        frames[around].append(place)
    numbers = {path: f"cluster_{number}" for number, path in enumerate(frames)}
    inside: dict[Path, list[Path]] = {path: [] for path in frames}
    for path in list(frames)[1:]:
        inside[path[:-1]].append(path)

    def fill(frame: Any, path: Path) -> None:
        for place in frames[path]:
            _add_box(frame, place, sketch.boxes[place], place in sketch.results, values)
        for inner in inside[path]:
            with frame.subgraph(name=numbers[inner]) as cluster:
                head, *kind = cluster_words(inner)
                title = _label(head, [], " ".join(kind))
                if (place := first(inner)) in frames[inner]:
                    _add_title(cluster, numbers[inner].replace("cluster", "title"), title, place)
                else:  # the frame that comes first inside this one keeps the arrows from its left corner
                    cluster.attr(label=title, labeljust="l", labelloc="t", fontcolor=SOFT, **CLUSTER)
                fill(cluster, inner)

    def first(path: Path) -> int:
        """Find the box that the data reach first, in a frame or in those inside it."""
        return min([*frames[path], *map(first, inside[path])])

    fill(drawing, ())


def _add_title(cluster: Any, name: str, title: str, first: int) -> None:
    """Write what a frame is called at the left of its first box, and not above it where arrows come from.

    The title is a box itself, without a border: arrows go round boxes, but across the labels of frames.
    """
    cluster.attr(label="", **CLUSTER)
    cluster.node(name, label=title, **TITLE)
    with cluster.subgraph() as row:
        row.attr(rank="same")
        row.edge(name, f"n{first}", style="invis")


def _add_box(frame: Any, place: int, box: Box, is_result: bool, values: bool) -> None:
    title, lines = words(box, values=values)
    looks = {**LOOKS[box.kind], **(RESULT if is_result else {})}
    frame.node(f"n{place}", label=_label(title, lines), **looks)


def _label(title: str, lines: list[str], after: str = "", *, is_title_bold: bool = True) -> str:
    """Write an HTML-like label; names are escaped."""
    head = f"<b>{_safe(title)}</b>" if is_title_bold else _safe(title)
    below = "".join(f'<br/><font point-size="9" color="{SOFT}">{_safe(line)}</font>' for line in lines)
    return f"<{head}{' ' + _safe(after) if after else ''}{below}>"


def _safe(text: str) -> str:
    return escape("".join(c if c.isprintable() else "�" for c in text), quote=False)
