"""The attributes ``flat`` and ``flags`` of stand-ins for arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...origins import caller, is_internal
from .pen import untraceable

__all__ = ["Flags", "Flat"]


class Flat:
    """``x.flat``: reading returns a copy, and writing goes into ``x``."""

    def __init__(self, row: Any) -> None:
        self.row = row

    def __getitem__(self, index: Any) -> Any:
        part = self.row[index]
        return part if getattr(part, "is_number", True) else part.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.row[index] = value

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.row)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row.copy(), name)


class Flags:
    """``x.flags``, for reading; this package makes some arrays read-only."""

    def __init__(self, array: Any) -> None:
        self.__dict__["array"] = array

    def __getitem__(self, name: str) -> Any:
        return self._flags[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flags, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not is_internal(caller()):
            raise untraceable(self.__dict__["array"].tape, f"array.flags.{name} would be set")
        setattr(self._flags, name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        raise untraceable(self.__dict__["array"].tape, f"array.flags[{name!r}] would be set")

    @property
    def _flags(self) -> Any:
        return self.__dict__["array"].value.flags
