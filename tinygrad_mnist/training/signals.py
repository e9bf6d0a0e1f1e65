"""Signals that wait: Ctrl-C and SIGTERM come after the batch, and not while something is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["PatientSignals"]

#: Those that ask a process to end. SIGHUP says that its terminal was closed; Windows has none.
ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class PatientSignals:
    """Notes the signals that ask the process to end, and delivers them when it is told to.

    A second one is delivered at once, except inside :meth:`waiting`. What a signal then does is not decided here: it
    is what it would have done without, such as ``KeyboardInterrupt`` after Ctrl-C. Signals that are ignored stay
    ignored. Python only tells its main thread of signals; in others, this class does nothing.

    Attributes
    ----------
    pending : list of int
        The signals that came and were not delivered.
    must_wait : int
        Above 0, even a second signal waits.
    """

    def __init__(self) -> None:
        self.pending: list[int] = []
        self._before: dict[int, Any] = {}
        self.must_wait = 0

    def __enter__(self) -> PatientSignals:
        if threading.current_thread() is threading.main_thread():
            for number in ASKING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.must_wait = 0
        self.deliver()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let all signals wait until the end of the block, even a second one."""
        self.must_wait += 1
        try:
            yield
        finally:
            self.must_wait -= 1

    def deliver(self) -> None:
        """Let everything happen that the signals so far would have done."""
        while self.pending:
            self._deliver(self.pending.pop(0), None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending.append(number)
        if len(self.pending) > 1 and not self.must_wait:
            self.pending.clear()
            self._deliver(number, frame)

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        handler = self._before[number]
        if callable(handler):
            handler(number, frame)
        else:  # the system's: the process ends
            signal.signal(number, handler)
            signal.raise_signal(number)
