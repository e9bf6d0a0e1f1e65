"""A faster ``np.errstate(over="ignore")``: NumPy's takes nearly a microsecond, and small programs run in a few.

NumPy keeps its error settings in a context variable. The value that ``np.errstate`` would set is made once here, and
again if the settings have changed. The variable is looked up by its name, which NumPy does not promise: if it does
not exist, ``np.errstate`` itself is used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import numpy as np

__all__ = ["quiet"]

_NAME = "numpy.ufunc.extobj"


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let numbers overflow without a warning or an error while a function runs."""
    variable = _variable()
    if variable is None:
        return np.errstate(over="ignore")(function)
    loud = silent = None

    def call(*args: Any) -> Any:
        nonlocal loud, silent
        if variable.get(None) is not loud or silent is None:
            loud, silent = variable.get(None), copy_context().run(_silent, variable)
        before = variable.set(silent)
        try:
            return function(*args)
        finally:
            variable.reset(before)

    return call


def _variable() -> ContextVar[Any] | None:
    context = copy_context()
    context.run(np.seterr, over="ignore")
    return next((variable for variable in context if variable.name == _NAME), None)


def _silent(variable: ContextVar[Any]) -> Any:
    np.seterr(over="ignore")
    return variable.get()
