"""A table of a model: its layers, the shapes that they return, and their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import OptionError, pluralise
from ..graph import CALLED, _set, no_grad
from ..notebook import card, ends, shorten, table
from ..tensor import Tensor
from ..trees import leaves
from .modes import evaluating

if TYPE_CHECKING:
    from .module import Module

__all__ = ["Layer", "Summary", "summarize"]

#: The most layers that a notebook shows; the text names all.
MOST_ROWS = 60


class Layer(NamedTuple):
    """One row of a summary."""

    path: str
    kind: str
    output: str  #: the shape of its result, or ""
    parameters: str  #: names and shapes
    numbers: int


class Summary:
    """A table of a model's layers that prints itself, in a terminal and in a notebook.

    Attributes
    ----------
    kind : str
        The class of the model.
    layers : list of Layer
        The layers with their own parameters, or without layers below. Each parameter counts once.
    inputs : tuple of shapes
        The input shapes to which the output shapes belong; empty if they are not known.
    arrays, count : int
        The number of parameter arrays, and of the numbers they hold.
    dtypes : list of str
    """

    def __init__(self, model: Module, inputs: tuple[Any, ...], outputs: dict[int, str]) -> None:
        self.kind = type(model).__name__
        self.inputs = tuple(leaf.shape for leaf in inputs)
        self.layers = list(_layers(model, outputs))
        every = list(model.parameters())
        self.arrays, self.count = len(every), sum(p.size for p in every)
        self.dtypes = sorted({str(p.dtype) for p in every})

    @property
    def _cells(self) -> tuple[list[str], list[list[str]], list[str]]:
        """Head, rows and foot; without the column of shapes where none is known."""
        total = ", ".join([pluralise(self.arrays, "array"), *self.dtypes])
        head = ["layer", "kind", "output", "parameters", "count"]
        rows = [[*layer[:-1], f"{layer.numbers:,}"] for layer in self.layers]
        foot = [self.kind, "", "", total, f"{self.count:,}"]
        if not self.inputs:
            for cells in (head, foot, *rows):
                del cells[2]
        return head, rows, foot

    def __repr__(self) -> str:
        head, rows, foot = self._cells
        widths = [max(map(len, column)) for column in zip(head, foot, *rows, strict=True)]
        rule = ["-" * width for width in widths]
        lines = []
        for row in (head, rule, *rows, rule, foot):
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
            lines.append("  ".join([*cells, row[-1].rjust(widths[-1])]))
        if self.inputs:
            lines.append(self._describe_inputs())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, rows, foot = self._cells
        facts = [pluralise(self.count, "parameter"), *self.dtypes, self._describe_inputs()]
        shown = [row and [shorten(cell) for cell in row] for row in ends(rows, MOST_ROWS)]
        return card(shorten(self.kind), facts, table(head, shown, foot, left=len(head) - 1))

    def _describe_inputs(self) -> str:
        """Say which input shapes the output shapes belong to."""
        shapes = " and ".join(map(str, self.inputs))
        return shapes and f"outputs for an input of shape {shapes}"


def summarize(model: Module, inputs: tuple[Any, ...]) -> Summary:
    """Make the summary of a model, for inputs or the shapes of one sample; see :meth:`Module.summary`."""
    if inputs:
        given = tuple(_example(model, one) for one in inputs)
        return Summary(model, given, _outputs(model, given))
    known = model._sample_shape() if all(module._is_ours for module in model.modules()) else None
    if known is None:
        return Summary(model, (), {})
    return summarize(model, (known,))


def _example(model: Module, given: Any) -> Any:
    """An input unchanged, or a batch of one sample of the given shape."""
    shape = (given,) if isinstance(given, (int, np.integer)) else given
    if isinstance(shape, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in shape):
        dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
        if any(n < 0 for n in shape):
            raise OptionError(f"summary: {given!r} is not the shape of a sample; a length is negative")
        return np.zeros((1, *shape), dtype)
    if isinstance(given, (np.ndarray, Tensor)):
        return given
    raise OptionError(
        f"summary: got {given!r}; pass the shape of one sample, such as (784,), or an input as an array"
    )


def _outputs(model: Module, inputs: tuple[Any, ...]) -> dict[int, str]:
    """Run the model, and note the shape that each layer returns (by its ``id``); nothing is recorded or learned."""
    found: dict[int, list[str]] = {}

    def watch(module: Module) -> Any:
        def note(output: Any) -> None:
            shapes = ", ".join(str(getattr(leaf, "shape", ())) for leaf in leaves([output]))
            seen = found.setdefault(id(module), [])
            if shapes not in seen:  # a layer that is used twice may return two shapes
                seen.append(shapes)

        return note

    with evaluating(model), no_grad(), np.errstate(all="ignore"), _set(CALLED, watch):
        model(*inputs)
    return {key: " and ".join(shapes) for key, shapes in found.items()}


def _layers(model: Module, outputs: dict[int, str]) -> Iterator[Layer]:
    first_seen_at = {id(p): path for path, p in model.named_parameters()}
    for path, module in model.named_modules():
        own = [
            (name, p)
            for name, p in module._own_parts()
            if first_seen_at.get(id(p)) == (f"{path}.{name}" if path else name)
        ]
        if own or not list(module.children()):
            shapes = ", ".join(f"{name} {p.shape}" for name, p in own)
            yield Layer(
                path, type(module).__name__, outputs.get(id(module), ""), shapes, sum(p.size for _, p in own)
            )
