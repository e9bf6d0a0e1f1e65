"""Programs as NumPy's calls: their text is executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .quiet import quiet
from .text import Source

__all__ = ["run_source"]


def run_source(source: Source, arrays: dict[str, Any]) -> Callable[..., Any]:
    """Execute the text of a program."""
    namespace: dict[str, Any] = {}
    exec(compile(source.text, "<compiled by tinygrad_mnist>", "exec"), namespace)
    prepared: Callable[..., Any] = namespace[source.prepare](**arrays)
    unguarded = getattr(prepared, "__wrapped__", None)  # by np.errstate
    return quiet(unguarded) if unguarded else prepared
