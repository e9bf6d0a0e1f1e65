"""The page that plays a sweep: one HTML file, which needs no network."""

from __future__ import annotations

import json
import linecache
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GradientError, ShapeError, UnsupportedError
from ...files import replace
from ...graph import Node
from ...nn import Module
from ...tensor import Tensor
from ..graph.drawing import lay_out
from ..graph.rendering import layout
from ..graph.sketch import Box, Sketch
from .program import program_lines
from .recording import Passed, line_text, numbers_of, record_sweep, rule_text, users_line

__all__ = ["StepThrough", "step_through"]

#: The lines of the user's program that are shown before and after those that ran.
AROUND = 2


class StepThrough:
    """A page that plays forward and backward pass. It is shown in notebooks; :meth:`save` writes it to a file.

    Attributes
    ----------
    html : str
        The page.
    steps : list of dict
        What it plays; arrays are numbers in ``arrays``.
    arrays : list of dict
    program : list of str
        The lines of the compiled program; each step has the numbers of its ``lines``.

    Examples
    --------
    >>> from tinygrad_mnist.viz import step_through
    >>> player = step_through(np.tanh(2.0 * Tensor(3.0, requires_grad=True)))
    >>> type(player).__name__, [step["kind"] for step in player.steps][:3]
    ('StepThrough', ['forward', 'forward', 'forward'])
    """

    def __init__(
        self,
        svg: str,
        steps: list[dict[str, Any]],
        arrays: list[dict[str, Any]],
        source: Any,
        program: list[str],
        why_not: str = "",
    ) -> None:
        self.steps, self.arrays, self.program = steps, arrays, program
        data = json.dumps(
            {"steps": steps, "arrays": arrays, "source": source, "program": program, "whyNot": why_not},
            allow_nan=False,
        )
        page = resources.files(__package__).joinpath("player.html").read_text(encoding="utf-8")
        # A "</script>" in the user's program would end the data.
        self.html = page.replace("<!-- graph -->", svg).replace("/* data */", data.replace("</", "<\\/"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, either completely or not at all."""
        replace(Path(path), self.html.encode())
        return Path(path)

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" style="width: 100%; height: 640px; border: 0" '
            'title="backpropagation, step by step"></iframe>'
        )


def step_through(
    loss: Tensor,
    *,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    collapse: bool | str = "auto",
    max_nodes: int = 60,
) -> StepThrough:
    """Play how a loss was computed, and how its gradient goes back through the graph.

    First the values appear, operation by operation. Then the sweep runs backward: each step shows the gradient that
    arrives, the local derivative, and their product, which goes on along an arrow; where arrows meet, contributions
    are added. All numbers are the engine's own. The user's line is lit beside it, and the compiled program's lines.

    Parameters
    ----------
    loss : Tensor of one element
        Call it before ``backward()``, which frees the graph. No gradient is stored.
    names : mapping of str to Tensor or array, optional
        As for :func:`draw_graph`.
    model : Module, optional
        Its layers are listed, and lit where no line of yours is: for a model whose program is not yours.
    collapse : bool or 'auto', default 'auto'
        Whether each module is one box; ``'auto'`` does so if there would otherwise be more than ``max_nodes``.
    max_nodes : int, default 60

    Returns
    -------
    StepThrough

    Raises
    ------
    GradientError
        If the Tensor is untracked, or a backward pass has freed its graph.
    ShapeError
        If it has more than one element.
    MissingExtraError
        If no layout engine is installed; see :func:`render_graph`.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> w, b = tg.tensor(3.0, requires_grad=True), tg.tensor(1.0, requires_grad=True)
    >>> player = step_through(np.tanh(2.0 * w + b), names={"w": w, "b": b})
    >>> [step["kind"] for step in player.steps].count("pass")  # along an arrow
    4
    """
    if not isinstance(loss, Tensor):
        raise UnsupportedError(f"step_through: expects a Tensor, got {type(loss).__name__}")
    if loss.node is None:
        raise GradientError("step_through: this Tensor is untracked, so there is nothing to go back through")
    if loss.size != 1:
        raise ShapeError(
            f"step_through: the Tensor has shape {loss.shape}; it must be a single number, such as a loss"
        )
    sketch, drawing = lay_out([loss.node], names or {}, collapse, max_nodes, "LR", False)
    svg = layout(drawing.source, "svg", drawing.engine).decode()
    lines, why_not = program_lines(loss.node, names or {})
    tape = _Tape(sketch, lines, [] if model is None else _layers(model))
    steps = tape.play(loss.node)
    program = [line["text"] for line in lines]
    source = [line for _, line in tape.layers] + _program(sketch)
    return StepThrough(svg[svg.index("<svg") :], steps, tape.arrays, source, program, why_not)


class _Tape:
    """The steps of a page, and the arrays that they show."""

    def __init__(
        self, sketch: Sketch, lines: list[dict[str, Any]], layers: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self.sketch, self.lines, self.layers = sketch, lines, layers
        self._forward_lines: dict[int | None, list[int]] = {}
        for i, line in enumerate(lines):
            if line["node"] is not None and not line["back"]:
                self._forward_lines.setdefault(self._place(line["node"]), []).append(i)
        self.arrays: list[dict[str, Any]] = []
        self._kept: dict[int, int] = {}
        self._alive: list[Any] = []

    def play(self, root: Node) -> list[dict[str, Any]]:
        """Write down the forward pass in the order of computation, then the sweep."""
        steps = []
        operations = [(i, box) for i, box in enumerate(self.sketch.boxes)]
        for place, box in sorted(operations, key=lambda pair: _age(pair[1])):
            steps.append(self._forward(place, box))
        meetings: dict[int, list[dict[str, Any]]] = {}
        for event in record_sweep(root).events:
            if isinstance(event, Passed):
                step = self._passed(event)
                if step is not None:
                    steps.append(step)
                    meetings.setdefault(id(event.parent), []).append(step)
            else:
                node, g = event
                here = self._place(node)
                if here is not None and self.sketch.boxes[here].value is node.value:
                    parts = meetings.get(id(node), [])
                    if len(parts) != 1 or node.primitive is None:
                        steps.append(
                            {
                                "kind": "gradient",
                                "place": here,
                                "gradient": self._keep(g),
                                "parts": [part["contribution"] for part in parts],
                                "line": self._line(node)
                                or self._layer(self.sketch.boxes[here].name.split(".")),
                                "lines": [i for part in parts for i in part["lines"]],
                            }
                        )
        return steps

    def _forward(self, place: int, box: Box) -> dict[str, Any]:
        node = box.node
        primitive = node.primitive if node is not None else None
        step: dict[str, Any] = {"kind": "forward", "place": place, "what": box.kind, "name": box.name}
        step["lines"] = self._forward_lines.get(place, [])
        if box.kind == "module":
            step["line"] = self._layer([name for name, _ in box.path if name])
        elif box.kind == "leaf":
            step["line"] = self._layer(box.name.split("."))
        if not isinstance(box.value, tuple):
            step["value"] = self._keep(box.value)
        if node is not None and primitive is not None:
            step |= {"name": primitive.name, "line": self._line(node)}
            step["args"] = [
                self._keep(x) for x in node.args or () if isinstance(x, (np.ndarray, np.generic, float, int))
            ]
            step["product"] = primitive.name if primitive.name in ("matmul", "linear") else ""
        return step

    def _passed(self, event: Passed) -> dict[str, Any] | None:
        source, target = self._place(event.node), self._place(event.parent)
        if source is None or target is None or source == target:
            return None
        primitive = event.node.primitive
        assert primitive is not None
        words, text = rule_text(primitive, event.position)
        return {
            "kind": "pass",
            "place": source,
            "to": target,
            "name": primitive.name,
            "argument": primitive.argument(event.position),
            "words": words,
            "rule": text,
            "gradient": self._keep(event.gradient),
            "local": None if event.local is None else self._keep(event.local),
            "contribution": self._keep(event.contribution),
            "broadcast": None if event.broadcast is None else list(event.broadcast),
            "line": self._line(event.node),
            "lines": [i for i, line in enumerate(self.lines) if line["back"] and line["node"] is event.node],
        }

    def _line(self, node: Node) -> dict[str, Any] | None:
        """The line of the user's program, or the layer."""
        return line_text(users_line(node)) or self._layer(node.scope.split("."))

    def _layer(self, scope: Sequence[str]) -> dict[str, Any] | None:
        """The line of the innermost layer of a scope."""
        layers = {path: line for path, line in self.layers if path}
        paths = (".".join(scope[:i]) for i in range(len(scope), 0, -1))
        return next((layers[path] for path in paths if path in layers), None)

    def _place(self, node: Node) -> int | None:
        """Find the box in which a node is drawn."""
        for place, box in enumerate(self.sketch.boxes):
            if box.node is node:
                return place
        scope = [name for name in node.scope.split(".") if name]
        for place, box in enumerate(self.sketch.boxes):
            path = [name for name, _ in box.path if name]
            if box.kind == "module" and scope[: len(path)] == path:
                return place
        return next((place for place, box in enumerate(self.sketch.boxes) if box.kind == "rest"), None)

    def _keep(self, value: Any) -> int | list[Any]:
        """Number an array; the same object gets the same number. A tuple gives a list of numbers."""
        if isinstance(value, tuple):
            return [self._keep(part) for part in value]
        if id(value) not in self._kept:
            self._kept[id(value)] = len(self.arrays)
            self._alive.append(value)
            self.arrays.append(numbers_of(value))
        return self._kept[id(value)]


def _age(box: Box) -> tuple[int, int]:
    """Leaves and constants first, then operations in the order in which they ran."""
    if box.kind in ("leaf", "constant"):
        return 0, 0
    return 1, box.node.serial if box.node is not None else 0


def _program(sketch: Sketch) -> list[dict[str, Any]]:
    """The lines of the user's program that computed something, with their neighbours, file by file."""
    lines: dict[str, set[int]] = {}
    for box in sketch.boxes:
        line = users_line(box.node)
        if line is not None and line.text:
            lines.setdefault(line.file, set()).update(range(line.number - AROUND, line.number + AROUND + 1))
    return [
        {"file": file.rsplit("/", 1)[-1], "number": number, "text": linecache.getline(file, number).rstrip()}
        for file, numbers in lines.items()
        for number in sorted(numbers)
        if number > 0 and linecache.getline(file, number)
    ]


def _layers(model: Module) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a printed model, each with the path of its layer, such as ``4.0.body``."""
    path: list[str] = []
    found = []
    for number, text in enumerate(str(model).splitlines(), 1):
        layer = re.match(r"( +)\((.+?)\): ", text)
        if layer is not None:
            path = [*path[: len(layer[1]) // 2 - 1], layer[2]]
        found.append((".".join(path) if layer else "", {"file": "", "number": number, "text": text}))
    return found
