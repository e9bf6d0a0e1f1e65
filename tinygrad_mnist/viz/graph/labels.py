"""The words in a box: its name, its shape and dtype, and its important settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from ...graph import Node
from ...primitive import Primitive
from .sketch import Box, Path, dotted

__all__ = ["cluster_words", "words"]

#: Longer settings are cut: a box should be readable at a glance.
LONGEST = 36


def words(box: Box, *, values: bool = False) -> tuple[str, list[str]]:
    """Return a box's title and the smaller lines under it."""
    if box.kind == "module":
        title = " ".join(cluster_words(box.path))
        lines = [count(box.operations, "operation")]
        if box.numbers:
            lines.append(count(box.numbers, "parameter"))
        return title, [*lines, f"→ {shape(box.value)}"]
    if box.kind == "rest":
        parts = [count(box.operations, "operation")] if box.operations else []
        parts += [count(box.leaves, "leaf", "leaves")] if box.leaves else []
        parts += [] if parts else [count(box.constants, "constant")]
        return "… " + " and ".join(parts).replace(" ", " more ", 1), [f"→ {shape(box.value)}"]
    if box.constants > 1:
        return count(box.constants, "constant"), [f"{shape(box.value)} each"]
    if box.node is None or box.node.primitive is None:
        return box.name or box.kind, [shape(box.value), *_numbers(box, values)]
    title = box.node.primitive.name + _scalars(box.node)
    settings = _settings(box.node)
    lines = [settings] if settings else []
    if box.name:
        title, lines = box.name, [title, *lines]
    return title, [*lines, shape(box.value), *_numbers(box, values)]


def cluster_words(path: Path) -> tuple[str, ...]:
    """Return a module's place and kind: ``("encoder.0", "Linear")``, or whichever is known."""
    name, kind = path[-1]
    return tuple(part for part in (dotted(path) if name else "", kind) if part) or ("module",)


def count(number: int, one: str, several: str = "") -> str:
    """Write a number with its noun: ``1 leaf``, ``1,200 operations``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def shape(value: Any) -> str:
    """Write shape and dtype, or those of each part if there are several."""
    if isinstance(value, tuple):
        return cut(", ".join(str(part.shape) for part in value)) + f" {value[0].dtype}"
    return f"{value.shape if value.shape else 'scalar'} {value.dtype}"


def cut(text: str) -> str:
    """Shorten a text that is too long for a box."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip(" ,") + "…"


def _scalars(node: Node) -> str:
    """List the numbers among an operation's inputs at their places: ``(·, 2)``."""
    tracked = {position for position, _ in node.parents}
    slots = []
    for position, arg in enumerate(node.args or ()):
        is_array = position in tracked or (isinstance(arg, np.ndarray) and arg.ndim)
        slots.append("·" if is_array else _spell(arg))
    while slots and slots[-1] == "None":  # an omitted optional array
        slots.pop()
    return "" if set(slots) <= {"·"} else cut(f"({', '.join(slots)})")


def _settings(node: Node) -> str:
    """List the settings that differ from their defaults."""
    defaults = _defaults(node.primitive) if node.primitive else {}
    chosen = {
        name: value
        for name, value in node.kwargs.items()
        if not _is_default(value, defaults.get(name, _NONE))
    }
    if list(chosen) == ["index"]:
        index = chosen["index"]
        return cut(f"[{_spell_all(index) if isinstance(index, tuple) else _spell(index)}]")
    return cut(", ".join(f"{name}={_spell(value)}" for name, value in chosen.items()))


@cache
def _defaults(primitive: Primitive) -> dict[str, Any]:
    try:
        parameters = inspect.signature(primitive.forward).parameters
    except ValueError:  # NumPy's ufuncs have no settings
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


_NONE = object()


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (
        type(value) is type(default) and not isinstance(value, np.ndarray) and value == default
    )


#: A value of up to so many elements is written into its box.
FEW = 6


def _numbers(box: Box, values: bool) -> Iterable[str]:
    """Write a small value, and its gradient if it has one."""
    if values and not isinstance(box.value, tuple) and box.value.size <= FEW:
        yield cut(f"= {_spell_elements(box.value)}")
        grad = box.node.grad if box.node is not None else None
        if grad is not None:
            yield cut(f"gradient {_spell_elements(getattr(grad, 'data', grad))}")


def _spell_elements(value: Any) -> str:
    value = np.asarray(value)
    if not value.ndim:
        return _spell(value)
    return np.array2string(value, precision=4, separator=", ", suppress_small=True).replace("\n", "")


def _spell(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array{value.shape}"
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.item()
    if isinstance(value, (float, complex)):
        return f"{value:.6g}"
    if isinstance(value, slice):
        ends = ["" if end is None else _spell(end) for end in (value.start, value.stop)]
        return ":".join(ends) + ("" if value.step is None else f":{_spell(value.step)}")
    if isinstance(value, tuple):
        return f"({_spell_all(value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{_spell_all(value)}]"
    if value is Ellipsis:
        return "..."
    if isinstance(value, (type, np.dtype)):
        return str(np.dtype(value))
    return value if isinstance(value, str) else repr(value)


def _spell_all(values: Iterable[Any]) -> str:
    return ", ".join(map(_spell, values))
