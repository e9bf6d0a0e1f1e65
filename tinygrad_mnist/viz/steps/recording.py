"""Record a forward pass and a sweep: every value, every gradient, every contribution along an arrow."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...graph import WATCH, Node, Watch, sweep
from ...origins import Line
from ...primitive import Primitive
from ...typing import Array, NDArray
from .words import WORDS

__all__ = ["Passed", "Sweep", "line_text", "numbers_of", "record_sweep", "rule_text", "users_line"]

#: The most rows and columns of an array that a page shows.
CORNER = 32


@dataclass
class Passed:
    """The contribution of one operation to the gradient of one of its inputs.

    Gradients of an operation with several results are tuples. ``broadcast`` is the shape that the rule gave, if it is
    another than that of the contribution.
    """

    node: Node
    position: int
    parent: Node
    gradient: Any
    contribution: Any
    broadcast: tuple[int, ...] | None
    local: NDArray | None


@dataclass
class Sweep:
    """What happened in a sweep, in order: a gradient that arrived at a node, or a contribution that was passed on."""

    events: list[tuple[Node, Any] | Passed] = field(default_factory=list)


class _Recorder(Watch):
    """It keeps what the sweep computes."""

    def __init__(self) -> None:
        self.sweep = Sweep()
        self._raw: NDArray | None = None

    def run(self, primitive: Primitive, args: Sequence[Any], settings: Any, rule: int | None = None) -> Any:
        result = super().run(primitive, args, settings, rule)
        self._raw = result if rule is not None else None
        return result

    def arrived(self, node: Node, g: Array) -> None:
        self.sweep.events.append((node, _copy(g)))

    def passed(self, node: Node, position: int, g: Array, contribution: Array) -> None:
        parent = next(parent for i, parent in node.parents if i == position)
        # A rule may return a plain number; what goes back to an operation of several results is a tuple.
        raw = None if isinstance(contribution, tuple) else getattr(self._raw, "shape", ())
        local = None if raw is None else _local(node, position, raw)
        broadcast = None if raw is None or raw == contribution.shape else raw
        self.sweep.events.append(
            Passed(node, position, parent, _copy(g), _copy(contribution), broadcast, local)
        )


def _copy(g: Any) -> Any:
    return tuple(map(np.array, g)) if isinstance(g, tuple) else np.array(g)


def _local(node: Node, position: int, shape: tuple[int, ...]) -> NDArray | None:
    """The derivative of an elementwise operation, by its own rule for a gradient of ones."""
    primitive, value = node.primitive, node.value
    if primitive is None or isinstance(value, tuple) or node.args is None or shape != value.shape:
        return None
    rng = np.random.default_rng(0)
    ones, probe = np.ones_like(value), rng.normal(size=value.shape).astype(value.dtype)
    rule = primitive.rules[position]
    local = np.asarray(rule(ones, value, *node.args, **node.kwargs))
    # It is elementwise if every gradient is multiplied by the same numbers.
    is_elementwise = np.allclose(rule(probe, value, *node.args, **node.kwargs), probe * local, equal_nan=True)
    return local if is_elementwise and local.shape == value.shape else None


def record_sweep(root: Node) -> Sweep:
    """Sweep from a result with the gradient 1, and keep the graph as it is.

    Parameters
    ----------
    root : Node
        A result of one element.
    """
    recorder = _Recorder()
    token = WATCH.set(recorder)
    try:
        sweep({root: np.ones_like(root.value)}, retain=True)
    finally:
        WATCH.reset(token)
    return recorder.sweep


def rule_text(primitive: Primitive, position: int) -> tuple[str, str]:
    """Write the rule of an operation for one of its inputs: in words, if it has some, and in NumPy."""
    rule: Callable[..., Any] = primitive.rules[position]
    words = WORDS.get(f"{primitive.name}.{primitive.argument(position)}", WORDS.get(primitive.name, ""))
    words = words or (inspect.getdoc(rule) or "").split("\n")[0].replace("``", "")
    try:
        lines, start = inspect.getsourcelines(rule)
    except (OSError, TypeError):
        return words, ""
    if rule.__name__ != "<lambda>":
        body = ast.parse(textwrap.dedent("".join(lines))).body[0]
        returned = [part for part in ast.walk(body) if isinstance(part, ast.Return) and part.value]
        return words, ast.unparse(returned[-1].value) if len(returned) == 1 and returned[-1].value else ""
    return words, _lambda_text("".join(lines), rule, start)


def _lambda_text(source: str, rule: Callable[..., Any], start: int) -> str:
    """The body of a lambda, found among others on the same lines by its code."""
    for cut in (source, source.strip().rstrip(","), f"({source.strip().rstrip(',')})"):
        try:
            tree = ast.parse(textwrap.dedent(cut))
        except SyntaxError:
            continue
        found = [part for part in ast.walk(tree) if isinstance(part, ast.Lambda)]
        code = rule.__code__
        names = code.co_varnames[: code.co_argcount]
        same = [
            part for part in found if tuple(a.arg for a in (*part.args.posonlyargs, *part.args.args)) == names
        ]
        for part in same if len(same) > 1 else found[:1]:
            made = compile(ast.Expression(part), "<rule>", "eval").co_consts[0]
            if len(found) == 1 or (made.co_code == code.co_code and made.co_names == code.co_names):
                return ast.unparse(part.body)
    return ""


def numbers_of(value: Any) -> dict[str, Any]:
    """The numbers of an array, as a page shows them: all of them, or those of its first rows and columns.

    A long single row is wrapped; the ``width`` of its lines is that of an image, if it could be a square one.
    """
    array = np.asarray(value)
    rows = math.prod(array.shape[:-1])  # 1 if there are fewer than two axes
    matrix = array.reshape(rows, array.size if array.ndim < 2 else array.shape[-1])
    width = 0
    if rows == 1 and matrix.size > CORNER:
        side = math.isqrt(matrix.size)
        width = side if side**2 == matrix.size and side <= CORNER else CORNER
    shown = matrix[:CORNER, :CORNER].tolist()
    if width:
        flat = matrix[0, : width * CORNER].tolist()
        shown = [flat[i : i + width] for i in range(0, len(flat), width)]
    finite = array[np.isfinite(array)]
    sizes = np.abs(finite.astype(np.complex128 if array.dtype.kind == "c" else np.float64))
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "numbers": [[_json(x) for x in row] for row in shown],
        "width": width,
        "largest": float(sizes.max(initial=0)),
    }


def _json(x: Any) -> float | str | list[Any]:
    """A number; its name, if JSON does not know it as a number; of a complex number, both parts."""
    if isinstance(x, (complex, np.complexfloating)):
        return [_json(x.real), _json(x.imag)]
    if isinstance(x, int) and abs(x) > 2**53:  # what JavaScript counts to
        return str(x)
    number = float(x)
    return number if math.isfinite(number) else str(number)


def users_line(node: Node | None) -> Line | None:
    """The line of the user's program that computed a node; lines of this package do not count."""
    line = None if node is None else node.line
    return None if line is None or line.is_internal else line


def line_text(line: Line | None) -> dict[str, Any] | None:
    """A line of the user's program."""
    return (
        None
        if line is None
        else {"file": line.file.rsplit("/", 1)[-1], "number": line.number, "text": line.text}
    )
