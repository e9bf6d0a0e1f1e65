"""A process of its own for a task that computes, so that it runs at its own speed whatever the page does.

The task gets a :class:`Line`, over which it tells what happens and is told what to do. If the page's process ends, in
whatever way, the line ends, and so does the task. Ctrl-C in a terminal goes to all processes; here, it is ignored.
"""

from __future__ import annotations

import importlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ..errors import TinygradError

__all__ = ["Line", "LineEnded", "Worker"]

Message = dict[str, Any]

#: How long a task may take to end by itself, in seconds.
PATIENCE = 3.0


class LineEnded(BaseException):
    """The page's process has gone, or wants the task to end."""


class Line:
    """What a task hears and says.

    Parameters
    ----------
    connection : Connection
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, what: str, **facts: Any) -> None:
        """Say something."""
        try:
            self._connection.send({"what": what, **facts})
        except (OSError, ValueError) as error:
            raise LineEnded from error

    def hear(self, seconds: float | None = 0.0) -> Message | None:
        """Return the next message, or None if there is none after some seconds; ``None`` seconds wait for ever.

        Raises
        ------
        LineEnded
        """
        try:
            if not self._connection.poll(seconds):
                return None
            message: Message | None = self._connection.recv()
        except (OSError, EOFError) as error:
            raise LineEnded from error
        if message is None:
            raise LineEnded
        return message


class Worker:
    """A process that runs a task.

    Parameters
    ----------
    task : callable
        A function of a module, ``task(line, **given)``.
    hear : callable
        Gets each message of the task, in a thread of its own. The last one is ``{"what": "ended", "error": …}``, with
        an error in words or ``""``.
    given
        What the task gets; it must be picklable.
    """

    def __init__(self, task: Callable[..., None], hear: Callable[[Message], None], **given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._lock, self._told = threading.Lock(), math.inf
        self.process = context.Process(
            target=_run, args=(task.__module__, task.__qualname__, other, given), daemon=True
        )
        self.process.start()
        other.close()
        self._reader = threading.Thread(target=self._read, args=(hear,), daemon=True)
        self._reader.start()

    def send(self, do: str, **facts: Any) -> None:
        """Tell the task something; one that has ended does not hear it."""
        with self._lock, suppress(OSError, ValueError):
            self._connection.send({"do": do, **facts})

    @property
    def is_alive(self) -> bool:
        """Whether the task still runs."""
        return self.process.is_alive()

    def begin_to_end(self) -> None:
        """Tell the task to end, without waiting for it."""
        with self._lock, suppress(OSError, ValueError):
            self._connection.send(None)
        self._told = min(self._told, time.monotonic())

    def close(self) -> None:
        """End the task, and wait until it has ended."""
        self.begin_to_end()
        self.process.join(max(0.0, self._told + PATIENCE - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._reader.join(PATIENCE)
        self._connection.close()

    def _read(self, hear: Callable[[Message], None]) -> None:
        error = "the process ended unexpectedly"
        with suppress(OSError, EOFError):
            while True:
                message = self._connection.recv()
                if message["what"] == "ended":
                    error = message["error"]
                    break
                hear(message)
        hear({"what": "ended", "error": error})


def _run(module: str, name: str, connection: Connection, given: dict[str, Any]) -> None:
    """Run a task in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    error, line = "", Line(connection)
    try:
        getattr(importlib.import_module(module), name)(line, **given)
    except LineEnded:
        pass
    except (TinygradError, OSError) as failure:
        error = str(failure)
    except MemoryError as failure:
        error = f"there is not enough memory: {failure}"
    except Exception as failure:
        traceback.print_exc(file=sys.stderr)
        error = f"a mistake in the program: {failure!r}; the terminal says where it happened"
    with suppress(LineEnded):
        line.tell("ended", error=error)
    connection.close()
    sys.stderr.flush()
    os._exit(0)  # nothing here has to be tidied up; files are whole at any time
