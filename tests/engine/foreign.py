"""A strict array of another library, as CuPy's are: it follows NumPy's protocols, and becomes no NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ForeignArray", "foreign", "native"]


class ForeignArray:
    """An array whose numbers only its own library can read; here they are in a NumPy array, out of sight.

    Like CuPy's, it takes part in NumPy's functions and ufuncs with its like, with numbers, and with no NumPy array;
    a NumPy array may be an index.
    """

    __slots__ = ("__weakref__", "_hidden", "base")
    __array_priority__ = 100

    def __init__(self, hidden: np.ndarray, base: Any = None) -> None:
        self._hidden, self.base = hidden, base

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("implicit conversion of a ForeignArray to a NumPy array")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if any(hasattr(x, "__primitive__") for x in inputs):
            return NotImplemented
        return foreign(getattr(ufunc, method)(*native(inputs), **native(settings)), inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, settings: Any) -> Any:
        if any(hasattr(kind, "__primitive__") for kind in types) or not func.__module__.startswith("numpy"):
            return NotImplemented
        if func in (np.array, np.asarray):  # the one door for NumPy's arrays, as in np.asarray(x, like=y)
            return foreign(func(args[0], *args[1:], **settings))
        return foreign(func(*native(args), **native(settings)), args)

    def __getitem__(self, index: Any) -> Any:
        return foreign(self._hidden[native(index, indexing=True)], [self])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._hidden[native(index, indexing=True)] = native(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._hidden, name)
        if callable(found):
            return lambda *args, **settings: foreign(found(*native(args), **native(settings)), [self])
        return foreign(found, [self])

    def __len__(self) -> int:
        return len(self._hidden)

    def __float__(self) -> float:
        return float(self._hidden)

    def __int__(self) -> int:
        return int(self._hidden)

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def __complex__(self) -> complex:
        return complex(self._hidden)

    def __index__(self) -> int:
        return self._hidden.__index__()

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"ForeignArray({self._hidden!r})"


def _operator(name: str) -> Any:
    def method(self: Any, *others: Any) -> Any:
        if any(hasattr(x, "__primitive__") for x in others):
            return NotImplemented
        found = getattr(self._hidden, name)(*native(others))
        return self if found is self._hidden else foreign(found, [self])

    return method


for _name in [
    *(
        f"{kind}{name}"
        for kind in ("", "r", "i")
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
    ),
    *(
        "and",
        "or",
        "xor",
        "rand",
        "ror",
        "rxor",
        "neg",
        "pos",
        "abs",
        "invert",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
    ),
]:
    setattr(ForeignArray, f"__{_name}__", _operator(f"__{_name}__"))
ForeignArray.__hash__ = object.__hash__


def native(x: Any, *, indexing: bool = False) -> Any:
    """The NumPy arrays behind foreign ones; a NumPy array among them is refused."""
    if isinstance(x, ForeignArray):
        return x._hidden
    if isinstance(x, np.ndarray) and not indexing:
        raise TypeError("a NumPy array in a function of a ForeignArray")
    if type(x) in (tuple, list):
        return type(x)(native(part, indexing=indexing) for part in x)
    if type(x) is dict:
        return {name: native(part) for name, part in x.items()}
    return x


def foreign(x: Any, sources: Any = ()) -> Any:
    """The foreign arrays for NumPy's; a number becomes an array without axes."""
    if isinstance(x, (np.ndarray, np.generic)):
        return ForeignArray(np.asarray(x), None)
    if isinstance(x, (tuple, list)):
        parts = [foreign(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x
