"""Several processes that train one model, each with its share of every batch; MPI carries what they tell each other.

What all must decide in the same way, they decide from sums and objects that all of them have. An error that only one
of them meets would leave the others waiting for it, so it ends them all.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ..data import DataLoader
from ..errors import MissingExtraError, OptionError, RunError, choice, describe_briefly, require
from ..nn import Module
from ..typing import NDArray

__all__ = ["Parallel", "count_apart"]

#: How long the other processes leave it to the first to report an error, which is often the same in all, and how long
#: a process leaves it to mpiexec to pass on what it says, in seconds.
COURTESY, HANDOVER = 0.5, 0.2

#: After how many seconds a process says that it waits for others to begin.
PATIENCE = 20

#: What mpiexec tells a process of how many there are, and which it is: that of MPICH and Intel, and that of Open MPI.
_STARTED = ("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")

E = TypeVar("E", bound=BaseException)


class Parallel:
    """One of several processes that train together, or one alone, which has nobody to talk to.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    wants : callable
        Whether this process wants to save, as after a signal; :meth:`add` asks.
    is_wanted : bool
        Whether one of the processes wanted to at the last :meth:`add`.
    report : callable
        Says what an error is that ends all processes, and returns the exit status: by default a traceback, and 1.
    """

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm
        self.rank: int = 0 if comm is None else comm.rank
        self.size: int = 1 if comm is None else comm.size
        self.wants: Callable[[], bool] = bool
        self.is_wanted = False
        self.report: Callable[[BaseException], int | None] = traceback.print_exception
        self._message = np.empty(0, np.float32)
        self._orders: list[Any] = []
        self._common: BaseException | None = None

    @classmethod
    def start(cls, asked: str | Parallel | None) -> Parallel:
        """Meet the other processes that ``mpiexec`` has started.

        Raises
        ------
        OptionError
            If there is no such way.
        MissingExtraError
            If mpi4py is not installed.
        """
        if isinstance(asked, Parallel):
            return asked
        if asked is None:
            return cls()
        if asked != "mpi":
            raise choice("parallel", asked, ["mpi"])
        if int(os.environ.get("MPI_LOCALNRANKS", 1)) > _cores():
            # MPICH, as a rule, waits by asking without a pause: no use where the others have no core to answer on.
            os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
        try:
            with _waiting():
                parallel = cls(require("mpi4py.MPI", extra="mpi", purpose="parallel='mpi'").COMM_WORLD)
        except RuntimeError as error:
            raise MissingExtraError(
                f"parallel='mpi': mpi4py finds no MPI ({describe_briefly(error)}): pip install 'tinygrad-mnist[mpi]', "
                "or make the MPI of this machine known, as with `module load mpi`"
            ) from error
        if parallel.size > 1:
            sys.excepthook = parallel._last_words
        return parallel

    # -- shares ----------------------------------------------------------------------------------------

    def part(self, count: int) -> slice:
        """Which of so many examples of a batch are this process's; it has as many as others, or one more or less."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def weigh(self, loader: DataLoader, number: int) -> tuple[int | None, float]:
        """How many examples a batch has, and how much of its mean this process contributes; alone, it is all."""
        if self.size == 1:
            return None, 1.0
        count = loader.size_of(number)
        part = self.part(count)
        return count, (part.stop - part.start) / count

    def require_shares(self, loader: DataLoader, loss: Any) -> None:
        """Check that each process has a share of each batch, and knows which; and that the loss is a mean.

        Raises
        ------
        OptionError
            If not.
        """
        kind = type(loader)
        if kind.__iter__ is not DataLoader.__iter__ or kind.batches is not DataLoader.batches:
            raise OptionError(
                f"fit: parallel= cannot cut the batches of a {loader!r}, which has an order of its own; pass its data "
                "set, or a tg.data.DataLoader"
            )
        reduction = getattr(loss, "keywords", {}).get("reduction", getattr(loss, "reduction", "mean"))
        if reduction != "mean":
            raise OptionError(
                f"fit: parallel= takes the mean of the losses of all processes, but the loss has "
                f"reduction={reduction!r}; take the mean over the batch"
            )
        least = min(loader.size_of(number) for number in (1, len(loader)))
        if least < self.size:
            raise OptionError(
                f"fit: a batch of {least} cannot be shared by {self.size} processes; choose another batch_size, or "
                "pass a DataLoader with drop_last=True"
            )

    # -- talking ---------------------------------------------------------------------------------------

    def add(self, numbers: Sequence[float], arrays: Sequence[NDArray]) -> tuple[list[float], list[NDArray]]:
        """Return the sums over all processes, of numbers and of arrays, with one message.

        The sums of the arrays are only valid until the next call.
        """
        if self.size == 1:
            return list(numbers), list(arrays)
        if arrays and len(arrays) != len(self._orders):
            # Copies are fast in the order of memory, which compiled programs choose.
            self._orders = self.share(["C" if a.flags.c_contiguous else "F" for a in arrays])
        kind = np.result_type(np.float32, *(a.real.dtype for a in arrays))
        kinds = [np.result_type(kind, a.dtype) for a in arrays]
        head = [*numbers, float(self.wants())]
        ends = np.cumsum(
            [len(head), *(a.size * k.itemsize // kind.itemsize for a, k in zip(arrays, kinds, strict=True))]
        )
        if self._message.size != ends[-1] or self._message.dtype != kind:
            self._message = np.empty(ends[-1], kind)
        self._message[: len(head)] = head
        sums = (
            [
                self._message[start:stop].view(k).reshape(a.shape, order=order)
                for a, k, order, start, stop in zip(
                    arrays, kinds, self._orders, ends[:-1], ends[1:], strict=True
                )
            ]
            if arrays
            else []
        )
        for total, a in zip(sums, arrays, strict=True):
            np.copyto(total, a)
        self._comm.Allreduce(None, self._message)  # in its place
        *added, wanted = self._message[: len(head)].tolist()
        self.is_wanted = wanted > 0
        return added, sums

    def share(self, x: Any) -> Any:
        """Return the first process's object."""
        return x if self.size == 1 else self._comm.bcast(x, 0)

    def share_buffers(self, model: Module) -> None:
        """Give all processes the running statistics of the first."""
        if self.size > 1:
            state, rebound = dict(model.named_buffers()), dict[str, Any]()
            for name, first in self.share(state).items():
                if isinstance(own := state[name], np.ndarray):
                    np.copyto(own, first)  # programs know the array
                else:  # a number
                    rebound[name] = first
            model.load_state_dict(rebound, strict=False)

    def gather(self, x: Any) -> list[Any]:
        """Return the objects of all processes."""
        return [x] if self.size == 1 else self._comm.allgather(x)

    # -- what all must agree on ------------------------------------------------------------------------

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Check that all processes were started with the same.

        Raises
        ------
        RunError
            In all processes, if not; it names what differs.
        """
        first, *others = self.gather(dict(facts))
        differing = [
            f"{name}: {_shorten(theirs.get(name))} in process {rank}, but {_shorten(first.get(name))} in process 0"
            for rank, theirs in enumerate(others, 1)
            for name in sorted({*first, *theirs})
            if theirs.get(name) != first.get(name)
        ]
        if differing:
            raise self.common(
                RunError(f"fit: processes that train together must be given the same: {'; '.join(differing)}")
            )

    def require_equal(self, model: Module, stop: str) -> str:
        """Check that the weights are the same everywhere; return the first reason to stop that a process has, or "".

        Raises
        ------
        RunError
            In all processes, if weights differ.
        """
        if self.size == 1:
            return stop
        checksum = 0
        for p in model.parameters():
            checksum = zlib.crc32(np.ascontiguousarray(p.data).data, checksum)
        found = self.gather((checksum, stop))
        if different := [rank for rank, (other, _) in enumerate(found) if other != found[0][0]]:
            raise self.common(
                RunError(
                    f"fit: the weights of process {different[0]} are no longer those of process 0. A callback that "
                    "changes the model or the optimizer must do the same in all processes; processors of different "
                    "kinds may round differently"
                )
            )
        return next((reason for _, reason in found if reason), "")

    # -- ends ------------------------------------------------------------------------------------------

    def common(self, error: E) -> E:
        """Return an error that all processes are about to raise, so that it need not end them."""
        self._common = error
        return error

    @contextmanager
    def in_common(self) -> Iterator[None]:
        """What is raised in this block, is raised in all processes."""
        try:
            yield
        except BaseException as error:
            self.common(error)
            raise

    @contextmanager
    def guard(self) -> Iterator[None]:
        """End all processes at an error that only this one meets, since the others would wait for it."""
        try:
            yield
        except BaseException as error:
            if self.size > 1 and error is not self._common:
                self._end_all(error)
            raise

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let only the first process print, and errors."""
        with ExitStack() as contexts:
            if self.rank:
                nowhere = contexts.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                contexts.enter_context(redirect_stdout(nowhere))
                contexts.enter_context(redirect_stderr(nowhere))
            yield

    def _end_all(self, error: BaseException) -> None:
        time.sleep(COURTESY if self.rank else 0)
        status, said = None, io.StringIO()
        try:
            with redirect_stderr(said):
                status = self.report(error)
            said.write(f"process {self.rank} of {self.size} has ended all of them\n")
            # At once, and some time before the end: what mpiexec has not read by then, it does not pass on.
            print(said.getvalue(), end="", file=sys.__stderr__, flush=True)
            sys.stdout.flush()
            time.sleep(HANDOVER)
        finally:
            self._comm.Abort(status or 1)
            os._exit(status or 1)  # it may take a moment until they are ended

    def _last_words(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """What Python does with an error that nobody catches: without this, it would wait for the others."""
        self._end_all(error)


def _shorten(fact: str | None) -> str:
    """A fact, or the beginning of a long one with a checksum."""
    if fact is None:
        return "missing"
    return fact if len(fact) < 100 else f"{fact[:60]}… ({zlib.crc32(fact.encode()):08x})"


def count_apart(parallel: Parallel) -> int:
    """How many processes mpiexec has started, of which this is the first, though they do not train together."""
    for size, rank in _STARTED:
        if size in os.environ and os.environ.get(rank) == "0" and parallel.size == 1:
            return int(os.environ[size])
    return 1


@contextmanager
def _waiting() -> Iterator[None]:
    """What a process that meets the others does meanwhile: it says so after a while, and a signal ends it at once.

    MPI runs no Python until all are there, so that another process has to say it, and no handler would be called.
    """
    size, rank = next(
        ((os.environ[s], os.environ.get(r)) for s, r in _STARTED if s in os.environ), ("1", "0")
    )
    if size == "1" or "mpi4py.MPI" in sys.modules or os.name == "nt":
        yield
        return
    text = (
        f"process {rank} of {size} has waited {PATIENCE} seconds for the others. All of them must train with "
        "--parallel mpi, or parallel='mpi'; Ctrl-C stops them"
    )
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _SIGNALS} if is_main else {}
    speaker = [sys.executable, "-ISc", _SPEAKER, str(PATIENCE), text]
    try:
        with subprocess.Popen(speaker, stdin=subprocess.PIPE):  # it ends when its input does
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SPEAKER = "import select as s, sys; s.select([0], [], [], float(sys.argv[1]))[0] or sys.exit(sys.argv[2])"


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
