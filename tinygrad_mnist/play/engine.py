"""What a page can ask, and what it is told: commands in, updates out. Nothing here knows how they travel.

A command is a dict of JSON, ``{"id": 1, "room": "train", "do": "start", "with": {…}}``. Its answer has the same ``id``,
and a ``result`` or an ``error`` in words. An update is a dict with ``room`` and ``what``.
"""

from __future__ import annotations

import json
import math
import secrets
import sys
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from .. import __version__
from ..errors import OptionError, TinygradError, choice, misfit, quote

__all__ = ["Engine", "File", "Room", "command", "to_json"]

#: The most files that are kept for the page; the oldest goes first.
MOST_FILES = 32

Listener = Callable[[dict[str, Any]], None]
Method = TypeVar("Method", bound=Callable[..., Any])


def command(method: Method) -> Method:
    """Let the page call a method of a room.

    Its arguments are values of JSON by name; it returns what :func:`to_json` can write, or nothing.
    """
    method.__dict__["is_command"] = True
    return method


class Room:
    """A part of the page with its own commands. Derive from it, and name the class in ``rooms.py``.

    Parameters
    ----------
    engine : Engine
        Who tells the page what a room publishes, and knows the runs.
    """

    #: The name in messages and in the URL; ``static/NAME.js`` is its page.
    name: ClassVar[str]
    #: The name on its tab.
    title: ClassVar[str]

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def publish(self, what: str, *, key: str = "", **facts: Any) -> None:
        """Tell all pages something; one that was not sent yet is replaced by a later one of that ``what`` and ``key``.

        Any thread may call it, as often as it likes; pages get at most 20 updates a second.
        """
        self.engine.publish({"room": self.name, "what": what, "key": key, **facts})

    def close(self) -> None:
        """End what the room has started."""


class File(NamedTuple):
    """A file that the page may fetch.

    Attributes
    ----------
    name : str
        What it is called when it is saved.
    content : bytes
    """

    name: str
    content: bytes


class Engine:
    """Answers commands and spreads updates. Every thread may use it.

    Parameters
    ----------
    rooms : iterable of Room classes
    runs : mapping of str to Path, optional
        Run folders by name.

    Examples
    --------
    >>> class Echo(Room):
    ...     name, title = "echo", "Echo"
    ...
    ...     @command
    ...     def say(self, text):
    ...         self.publish("said", text=text)
    ...         return text.upper()
    >>> engine = Engine([Echo])
    >>> forget = engine.subscribe(print)
    >>> engine.answer({"id": 1, "room": "echo", "do": "say", "with": {"text": "a"}})
    {'room': 'echo', 'what': 'said', 'key': '', 'text': 'a'}
    {'id': 1, 'result': 'A'}
    >>> engine.answer({"id": 2, "room": "echo", "do": "sing", "with": {}})["error"]
    "unknown command 'sing'; valid: say"
    """

    def __init__(self, rooms: Iterable[type[Room]], runs: Mapping[str, Path] | None = None) -> None:
        self.runs: dict[str, Path] = dict(runs or {})
        self.files: dict[str, File] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self.rooms = {room.name: room(self) for room in rooms}

    def answer(self, message: Any) -> dict[str, Any]:
        """Carry out a command; what goes wrong is part of the answer."""
        name = message.get("id") if isinstance(message, dict) else None
        try:
            return {"id": name, "result": self._carry_out(message)}
        except (TinygradError, OSError) as error:
            return {"id": name, "error": str(error)}
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return {
                "id": name,
                "error": "this is a mistake in the program; the terminal says where it happened",
            }

    def _carry_out(self, message: Any) -> Any:
        if not isinstance(message, dict) or not isinstance(message.get("with", {}), dict):
            raise OptionError("a command is an object with id, room, do and with")
        room, do, arguments = str(message.get("room")), str(message.get("do")), message.get("with", {})
        if room == "page" and do == "hello":
            return self.describe()
        if room not in self.rooms:
            raise choice("room", room, self.rooms)
        place = self.rooms[room]
        known = [
            key
            for cls in type(place).__mro__
            for key, value in vars(cls).items()
            if getattr(value, "is_command", False)
        ]
        if do not in known:
            raise choice("command", do, known)
        method = getattr(place, do)
        if words := misfit(method, (), arguments) or _wrong_kind(method, arguments):
            raise OptionError(f"{room}.{do}: {words}")
        return method(**arguments)

    def describe(self) -> dict[str, Any]:
        """The rooms, and the runs that were opened: what a page asks first."""
        return {
            "version": __version__,
            "rooms": [{"name": room.name, "title": room.title} for room in self.rooms.values()],
            "runs": list(self.runs),
        }

    def publish(self, update: dict[str, Any]) -> None:
        """Tell all listeners something."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(update)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear updates, from any thread; the result ends that."""
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def offer(self, name: str, content: bytes) -> str:
        """Keep a file for the page, and return its address there, such as ``files/d41d8cd9/run.zip``."""
        key = secrets.token_hex(8)
        with self._lock:
            self.files[key] = File(name, content)
            while len(self.files) > MOST_FILES:
                del self.files[next(iter(self.files))]
        return f"files/{key}/{name}"

    def close(self) -> None:
        """End what all rooms have started."""
        for room in self.rooms.values():
            room.close()


#: What the kinds of values are called.
KINDS = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "an object",
}  # fmt: skip


def _wrong_kind(method: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Say which argument is of another kind than the method's hints say, or nothing."""
    hints = get_type_hints(method)
    for name, value in arguments.items():
        hint = hints.get(name, Any)
        kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
        kinds = tuple(get_origin(kind) or kind for kind in kinds)
        if not any(_is_of_kind(value, kind) for kind in kinds):
            known = [KINDS[kind] for kind in kinds if kind is not NoneType]
            return f"{name} is {quote(value)}, but must be {' or '.join(known)}"
    return ""


def _is_of_kind(value: Any, kind: Any) -> bool:
    if kind in (int, float) and type(value) is int:
        return abs(value) < 2**53  # what a page can count to
    if kind is float:
        return type(value) is float and math.isfinite(value)
    return kind is Any or type(value) is kind


def to_json(message: Any) -> str:
    """Write a message; an array becomes its dtype, its shape and its bytes, and NaN becomes null.

    Examples
    --------
    >>> to_json({"x": np.arange(3, dtype=np.uint8), "loss": float("nan")})
    '{"x": {"dtype": "uint8", "shape": [3], "bytes": "AAEC"}, "loss": null}'
    """
    return json.dumps(_plain(message), allow_nan=False)


def _plain(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        if x.dtype == np.int64 or x.dtype == np.float64:
            x = x.astype(np.int32 if x.dtype.kind == "i" else np.float32)
        array = np.ascontiguousarray(x)
        return {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "bytes": b64encode(array.tobytes()).decode(),
        }
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    if isinstance(x, Mapping):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(value) for value in x]
    return str(x) if isinstance(x, Path) else x
