"""The contents of a container, an object or a variable: saved, compared and restored.

A trace puts stand-ins into the user's own objects, and must leave nothing behind. So it saves everything that it
looks into: :meth:`Kept.restore` is all there is to undo, and the changes that :meth:`Kept.changes` finds
after the call were made by the function itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["MISSING", "Constants", "Found", "Kept"]

#: Marks a missing value.
MISSING = object()


class Kept:
    """The saved slots of one owner.

    Attributes
    ----------
    owner : the object with the slots
    kind : "dict", "list", "set", "cell", "class" or "object"
    name : its name in messages
    keys : the slots that count, or None for all
    before : the original values of the slots
    now : the values with stand-ins instead
    """

    def __init__(self, owner: Any, kind: str, name: str, keys: Iterable[Any] | None) -> None:
        self.owner, self.kind, self.name = owner, kind, name
        self.keys = None if keys is None else list(keys)
        self.before: dict[Any, Any] = self.read()
        self.now = dict(self.before)

    def also(self, keys: Iterable[Any]) -> None:
        """Save more slots."""
        if self.keys is not None:
            for key in keys:
                if key not in self.before:
                    self.keys.append(key)
                    self.before[key] = self.now[key] = self._slot(key)

    def put(self, key: Any, value: Any) -> None:
        """Put a stand-in into a slot."""
        self._write(key, value)
        self.now[key] = value

    def changes(self) -> Iterator[tuple[Any, Any, Any]]:
        """Walk over the slots that were changed by others: key, old value, new value."""
        read = self.read()
        for key in {**self.now, **read}:
            old, new = self.now.get(key, MISSING), read.get(key, MISSING)
            if old is not new:
                yield key, old, new

    def restore(self) -> None:
        """Restore everything."""
        read = self.read()
        if read.keys() == self.before.keys() and all(read[key] is x for key, x in self.before.items()):
            return
        if self.kind == "list":
            owner, parts = self.owner, self.before.values()
            if isinstance(owner, deque):
                owner.clear()
                owner.extend(parts)
            else:
                list.__setitem__(owner, slice(None), list(parts))
        elif self.kind == "set":
            self.owner.clear()
            self.owner.update(self.before.values())
        else:
            for key in {**read, **self.before}:
                if read.get(key, MISSING) is not self.before.get(key, MISSING):
                    self._write(key, self.before.get(key, MISSING))

    def read(self) -> dict[Any, Any]:
        """Read the slots."""
        if self.kind == "list":
            return dict(enumerate(self.owner))
        if self.kind == "set":
            return {id(x): x for x in self.owner}
        if self.keys is None:
            return dict(dict.items(self.owner))
        return {key: self._slot(key) for key in self.keys}

    def _slot(self, key: Any) -> Any:
        owner = self.owner
        if self.kind == "dict":
            return dict.get(owner, key, MISSING)
        if self.kind == "class":
            return vars(owner).get(key, MISSING)
        try:
            return owner.cell_contents if self.kind == "cell" else object.__getattribute__(owner, key)
        except (AttributeError, ValueError):  # a slot that is not set yet
            return MISSING

    def _write(self, key: Any, value: Any) -> None:
        owner = self.owner
        if self.kind == "dict":
            if value is MISSING:
                dict.pop(owner, key, None)
            else:
                dict.__setitem__(owner, key, value)
        elif self.kind == "list":
            owner[key] = value
        elif self.kind == "cell":
            if value is MISSING:
                del owner.cell_contents
            else:
                owner.cell_contents = value
        else:
            write, remove = (
                (type.__setattr__, type.__delattr__)
                if self.kind == "class"
                else (object.__setattr__, object.__delattr__)
            )
            if value is MISSING:
                remove(owner, key)
            else:
                write(owner, key, value)


class Constants:
    """Arrays that are not inputs of a program, with their original bytes."""

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[str, np.ndarray, bytes]] = {}

    def add(self, name: str, x: np.ndarray) -> None:
        """Save an array."""
        self.arrays.setdefault(id(x), (name, x, x.tobytes()))

    def written(self) -> Iterator[str]:
        """Walk over the names of those that were written into."""
        return (name for name, x, before in self.arrays.values() if x.tobytes() != before)

    def restore(self) -> None:
        """Restore the numbers."""
        for _, x, before in self.arrays.values():
            if x.tobytes() != before:
                x[...] = np.frombuffer(before, x.dtype).reshape(x.shape)


@dataclass
class Found:
    """An object or a class with watched attributes."""

    name: str
    x: Any
    is_whole: bool = False  # whether all attributes are watched
    is_called: bool = False  # for a class: whether it may be called
    done: set[Any] = field(default_factory=set)
