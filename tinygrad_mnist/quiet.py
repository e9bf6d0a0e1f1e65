"""A faster ``np.errstate(…="ignore")``: NumPy's takes nearly a microsecond, and small programs run in a few.

NumPy keeps its error settings in a context variable. The value that ``np.errstate`` would set is made once here, and
again if the settings have changed. The variable is looked up by its name, which NumPy does not promise: if it does
not exist, ``np.errstate`` itself is used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np

__all__ = ["let_vanish", "quiet"]

F = TypeVar("F", bound=Callable[..., Any])

_NAME = "numpy.ufunc.extobj"


def quiet(function: F, **errors: Any) -> F:
    """Run a function with settings of ``np.errstate``, such as ``over="ignore"``."""
    variable = _variable()
    if variable is None:
        return np.errstate(**errors)(function)
    is_default = errors == {"under": "ignore"}  # as long as nobody has changed a setting
    settings = tuple(errors.items())

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        loud = variable.get(None)
        if loud is None and is_default:
            return function(*args, **kwargs)
        before = variable.set(_silenced(variable, loud, settings))
        try:
            return function(*args, **kwargs)
        finally:
            variable.reset(before)

    return call  # type: ignore[return-value]


def let_vanish(function: F) -> F:
    """Let numbers that are too small become 0 in a function, also after ``np.seterr(all="raise")``."""
    return quiet(function, under="ignore")


def _variable() -> ContextVar[Any] | None:
    context = copy_context()
    context.run(np.seterr, over="ignore")
    return next((variable for variable in context if variable.name == _NAME), None)


# A cache of functools, because a compiled program must see no state change when a function first runs.
@lru_cache(maxsize=64)
def _silenced(variable: ContextVar[Any], loud: Any, settings: tuple[tuple[str, Any], ...]) -> Any:
    """What the variable holds after a change of the settings that it holds now, ``loud``."""

    def silence() -> Any:
        np.seterr(**dict(settings))
        return variable.get()

    return copy_context().run(silence)
