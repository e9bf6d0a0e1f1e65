"""Processes in which implementations are measured, one each, and the threads that they get.

Measured with two OpenBLAS threads on two cores, medians of 11: right after steps of hand-written NumPy, a step
of eager PyTorch took 2.0, 2.3 and 2.2 times as long as after a rest (workloads 1, 6 and 7; 4 was not slowed),
in the same process *and* in another, since OpenBLAS's threads keep a core busy for a while after their last
product, waiting for the next. A pause of 0.1 s before the sample undoes that (0.93, 0.97 and 1.03 times). JAX
was slowed in workload 7 at most, by up to 15 %, and hardly less with the pause, which is within its noise.
So whatever is measured waits out a `PAUSE`. In a process of its own it also is safe from other frameworks'
thread pools, allocators and settings, as with a user.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

PAUSE = 0.1  # seconds

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"
)  # fmt: skip


class Worker:
    """A process that calls ``make(*args)`` once, and then what that returned, as often as it is asked.

    ``make``, the questions and the answers are pickled. A process that starts now reads the environment and
    takes the cores as `limit_threads` has left them.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, make, args), daemon=True)
        self.process.start()
        other.close()
        self.receive()

    def ask(self, *question: Any) -> Any:
        """Call the function in the worker and return its result, or raise RuntimeError with its traceback."""
        self.connection.send(question)
        return self.receive()

    def receive(self) -> Any:
        try:
            answer, error = self.connection.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(f"a worker ended with exit code {self.process.exitcode}") from None
        if error:
            raise RuntimeError(f"in a worker:\n{error}")
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it may have ended
            self.connection.send(None)
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.terminate()


def serve(connection: Connection, make: Callable[..., Callable[..., Any]], args: tuple[Any, ...]) -> None:
    """Answer questions until there comes None: what runs in a worker."""
    call, error = attempt(make, args)
    connection.send((None, error))
    while not error and (question := connection.recv()) is not None:
        connection.send(attempt(call, question))


def attempt(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, str | None]:
    """Return what the function returns, and None; or None, and the traceback of what it raises."""
    try:
        return function(*args), None
    except Exception:
        return None, traceback.format_exc()


def limit_threads(threads: int | None) -> None:
    """Give workers that start from now on ``threads`` threads and as many cores; all of them if None.

    Every library has a variable of its own. XLA has none for a number of threads, but takes no more than the
    process has cores, which is why the cores are limited as well (on Linux, which alone can).
    """
    if threads is None:
        return
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if threads == 1:
        os.environ["XLA_FLAGS"] = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def wait_for_threads() -> None:
    """Wait until the threads of whatever ran last have gone to sleep."""
    time.sleep(PAUSE)
