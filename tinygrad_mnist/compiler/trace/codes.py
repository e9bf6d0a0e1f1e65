"""The names in the code of a function, and the names that it computes."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any

__all__ = [
    "BACK_DOORS",
    "COMPUTED",
    "IMPORTERS",
    "MAKERS",
    "SAID_UNSEEN",
    "codes_of",
    "places_of",
    "strings_of",
]


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """Walk over a function's code and that of the functions within it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from codes_of(part)


@functools.lru_cache(1024)
def places_of(code: CodeType, kind: str) -> dict[str, int]:
    """The names in instructions of a given kind, with the place of the first occurrence."""
    steps = [step for step in dis.get_instructions(code) if kind in step.opname and type(step.argval) is str]
    return {step.argval: step.offset for step in reversed(steps)}


def strings_of(constants: Any) -> Iterator[str]:
    """The strings in the code that may be names of attributes."""
    for x in constants:
        if type(x) is str and x.isidentifier():
            yield x
        elif isinstance(x, (tuple, frozenset)):
            yield from strings_of(x)


#: Functions that get attributes by computed names, or all attributes.
COMPUTED = frozenset({"dir", "__dict__", "asdict", "astuple", "__getattribute__", "attrgetter"})
#: Functions that import a module by a string.
IMPORTERS = frozenset({"__import__", "import_module"})
#: Attributes that lead to variables that cannot be seen.
BACK_DOORS = frozenset(
    {"__globals__", "f_globals", "f_locals", "f_back", "__closure__", "cell_contents", "is_recording"}
)
#: Attributes of classes that contain no numbers.
SAID_UNSEEN = frozenset(
    {
        "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__slots__", "__repr__",
        "__match_args__", "__dataclass_fields__", "__dataclass_params__", "__str__", "__orig_bases__", "__parameters__",
        "__abstractmethods__", "_abc_impl", "__static_attributes__", "__firstlineno__", "__annotate__", "__reduce__",
        "__del__", "_is_ours", "__set_name__", "__init_subclass__", "__getstate__", "__setstate__", "__reduce_ex__",
    }
)  # fmt: skip
#: Methods that only run when a class is called.
MAKERS = frozenset({"__init__", "__new__", "__post_init__"})
