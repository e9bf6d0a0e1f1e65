"""Built-in functions that ask for attributes and variables by computed names: what stands for them during a trace.

Such a name is known when it is asked for, and is watched from then on like those that the code says.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import CompileError

if TYPE_CHECKING:
    from .reach import Reach

__all__ = ["ASKING", "WHY_UNSEEN", "stand_in_for"]

_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr"})
_UNSEEN = frozenset({"globals", "eval", "exec", "open", "input"})
#: Built-in functions that are replaced during a trace.
ASKING = _BY_NAME | _UNSEEN | {"vars"}
WHY_UNSEEN = "reaches what a program cannot watch; name the variables, and pass what is read as an argument"


def stand_in_for(name: str, place: str, reach: Reach) -> Callable[..., Any]:
    """Return what a function of the user's calls in the place of a built-in one."""
    original = getattr(builtins, name)

    def refuse(*_: Any, **__: Any) -> Any:
        raise CompileError(f"compile: {place}{name} {WHY_UNSEEN}")

    def by_name(x: Any, key: str, *more: Any) -> Any:
        reach.name(key)
        return original(x, key, *more)

    def all_of(*args: Any) -> Any:
        if not args:
            return refuse()
        reach.name_all(args[0])
        return original(*args)

    return by_name if name in _BY_NAME else refuse if name in _UNSEEN else all_of
