"""Write ``docs/edge_values.md`` from the table, beside what other libraries answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .edges import TABLE, Edge, edges
from .evaluation import PEERS, Answer, installed, is_as_expected, is_same

PAGE = Path(__file__).resolve().parents[2] / "docs" / "edge_values.md"
#: What other libraries answered, kept so that the page can be made without them.
ANSWERS = Path(__file__).with_name("edge_answers.json")

TITLES = {"torch": "PyTorch", "autograd": "autograd", "mygrad": "MyGrad"}
AGREES, NONE = "✓", "–"

INTRODUCTION = """\
# Edge values

This page lists values and gradients at kinks, ties and poles, for infinities and NaN, and for arrays with one element
or none. Each line is a test. The gradient is that of the sum of the value, with respect to every input. `w` is
`[1, 2, 3, …]`, and `F` is `tg.nn.functional`. The last columns say what {told} return:
{agrees} for the same value and gradient, {none} if they have no such function or no gradient for it, otherwise the
gradient that they return. The page is written by `python -m tests.surface --write`, which asks them.

These rules decide, in this order:

1. **Values and shapes** are NumPy's.
2. Where there is **a derivative**, it is the gradient, even if its formula divides 0 by 0. An infinite derivative is
   infinite.
3. At a kink or a tie, it is **PyTorch's choice**, if that is a number and treats equal elements alike.
4. Otherwise it is **the subgradient of least norm**: 0 at the bottom of a norm, equal shares among ties. An optimizer
   that gets there stays well behaved.
5. Where no number would be right, there is **an error** that says why, or NaN if the value already shows a NaN.\
"""


def page() -> str:
    """The page, whole."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """The page, line by line."""
    recorded = json.loads(ANSWERS.read_text(encoding="utf-8"))
    *first, last = (f"{TITLES[name]} {v}" for name, v in recorded["versions"].items())
    told = f"{', '.join(first)} and {last}"
    yield INTRODUCTION.format(told=told, agrees=AGREES, none=NONE)
    for title, found in TABLE.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield f"| expression | at | value | gradient | why | {' | '.join(TITLES.values())} |"
        yield f"| --- | --- | --- | --- | --- |{' --- |' * len(TITLES)}"
        for edge in found:
            cells = [
                f"`{edge.expression}`",
                by_name(edge.inputs),
                code(edge.value),
                code(edge.gradient) if isinstance(edge.gradient, str) else by_name(edge.gradient),
                edge.why,
                *(recorded["answers"].get(name, {}).get(key(edge), NONE) for name in TITLES),
            ]
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def key(edge: Edge) -> str:
    """What a line is known by among the recorded answers."""
    return f"{edge.expression} at {edge.inputs}"


def ask() -> dict[str, Any]:
    """Ask the libraries that are installed, as ``edge_answers.json`` records it."""
    return {
        "versions": {name: version(name).partition("+")[0] for name in installed()},
        "answers": {name: {key(edge): told(name, edge) for edge in edges()} for name in installed()},
    }


def told(name: str, edge: Edge) -> str:
    """What a library answers to a line, in few words."""
    answer = PEERS[name]().answer(edge)
    if answer is None:
        return NONE
    return AGREES if is_as_expected(edge, answer) else difference(edge, answer)


def difference(edge: Edge, answer: Answer) -> str:
    """An answer that is not the expected one: the gradient, if not already the value differs."""
    if isinstance(answer.gradient, Exception):
        kind = type(answer.gradient).__name__.strip("_")
        return kind if kind in ("LinAlgError", "IndexError", "ZeroDivisionError") else NONE
    text = by_name(answer.gradient)
    return text if is_same(answer.value, edge.value) else f"{text}, of {code(answer.value)}"


def by_name(values: dict[str, Any]) -> str:
    """Numbers by the names of the inputs, which one input does not need."""
    if len(values) == 1:
        return code(*values.values())
    return ", ".join(f"{name}: {code(value)}" for name, value in values.items())


def code(value: Any) -> str:
    """A number, list or exception's name, as code."""
    return f"`{value if isinstance(value, str) else spelled(np.asarray(value))}`"


def spelled(x: np.ndarray) -> str:
    """Numbers as short as possible."""
    if x.ndim:
        return "[" + ", ".join(map(spelled, x)) + "]"
    if x.dtype.kind == "c":
        return f"{complex(x):.4g}"
    return f"{0.0 if abs(x) < 1e-12 else float(x):.4g}"


def report() -> Iterator[str]:
    """Print every line beside what each library answers, here and now."""
    yield f"{'':52}{'gradient':34}" + "".join(f"{TITLES[name]:34}" for name in installed())
    for edge in edges():
        expected = code(edge.gradient) if isinstance(edge.gradient, str) else by_name(edge.gradient)
        cells = [f"{edge.expression} at {by_name(edge.inputs)}", expected]
        cells += [told(name, edge) for name in installed()]
        widths = [52, *[34] * (len(cells) - 1)]
        yield "".join(f"{cell.replace('`', ''):{width}}" for cell, width in zip(cells, widths, strict=True))
