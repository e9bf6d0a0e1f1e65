"""Replacements, during a trace, for built-in functions that get attributes and variables by computed names.

Such a name is known when the function is called, and is watched from then on like the names in the code.
``type`` is replaced too, because it would distinguish a stand-in from the original.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import CompileError
from .tape import is_stand_in

if TYPE_CHECKING:
    from .reach import Reach

__all__ = ["ASKING", "WHY_UNSEEN", "stand_in_for"]

_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr"})
_UNSEEN = frozenset({"globals", "eval", "exec", "open", "input"})
#: Built-in functions that are replaced during a trace.
ASKING = _BY_NAME | _UNSEEN | {"vars", "type"}
WHY_UNSEEN = (
    "reaches things that a program cannot watch; name the variables, and pass what it reads as an argument"
)


def stand_in_for(name: str, place: str, reach: Reach) -> Callable[..., Any]:
    """Return the function that the user's code calls instead of a built-in one."""
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

    if name == "type":
        return _TYPE
    return by_name if name in _BY_NAME else refuse if name in _UNSEEN else all_of


class _Type:
    """A replacement for ``type``: for a stand-in, it returns the type of the original."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if len(args) != 1 or settings:
            return type(*args, **settings)
        found = args[0].kind if is_stand_in(args[0]) else type(args[0])
        return self if found is type else found

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, type)

    def __subclasscheck__(self, x: Any) -> bool:
        return issubclass(x, type)

    def __mro_entries__(self, bases: Any) -> tuple[type]:
        return (type,)

    def __getattr__(self, name: str) -> Any:
        return getattr(type, name)


_TYPE = _Type()
