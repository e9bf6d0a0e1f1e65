"""Run the text of a program."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from ...quiet import let_vanish, quiet
from .text import Source

__all__ = ["run_source"]


def run_source(source: Source, arrays: dict[str, Any]) -> Callable[..., Any]:
    """Execute the text of a program, and return the step."""
    namespace: dict[str, Any] = {}
    exec(builtins.compile(source.text, "<compiled by tinygrad_mnist>", "exec"), namespace)
    prepared: Callable[..., Any] = namespace[source.prepare](**arrays)
    unguarded = getattr(prepared, "__wrapped__", None)  # wrapped by np.errstate
    return quiet(unguarded, over="ignore", under="ignore") if unguarded else let_vanish(prepared)
