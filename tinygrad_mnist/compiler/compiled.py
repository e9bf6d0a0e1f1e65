"""``tg.compile``: the function that users call, and the object it returns."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from ..errors import CompileError, OptionError, choice, pluralise
from ..graph import TRACING, WATCH
from ..optim import Optimizer
from ..transforms.call import named
from .checking import Checker
from .guards import MISSED, Entry
from .pipeline import write_down
from .program import Program
from .source.driver import Loader
from .source.run import run_source
from .trace.agreement import require_agreement
from .trace.capture import Capture
from .trace.step import Recorded, record
from .uncompiled import FINAL, Uncompiled, detach

__all__ = ["Compiled", "Stats", "compile"]

P = ParamSpec("P")
R = TypeVar("R")

#: The number of programs that are kept for one function: for shapes, modes and other arguments.
MOST_PROGRAMS = 16
#: Held while a function is traced, because stand-ins then replace the user's objects.
_TRACING = threading.RLock()


class Stats(NamedTuple):
    """The contents of a program.

    Attributes
    ----------
    operations : calls of NumPy functions
    buffers : arrays that are made once and reused for intermediate results
    bytes : their memory
    traced : operations that were traced, before simplification

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> f = tg.compile(lambda x: np.sum(np.tanh(x) * 2))
    >>> y = f(np.ones(3))
    >>> f.stats
    Stats(operations=3, buffers=1, bytes=24, traced=4)
    """

    operations: int
    buffers: int
    bytes: int
    traced: int


def compile(
    function: Callable[P, R],
    *,
    optimizer: Optimizer | None = None,
    has_aux: bool = False,
    clip_norm: float | None = None,
    backend: str = "numpy",
    check: bool = False,
) -> Compiled[P, R]:
    """Turn a function, or a whole training step, into a straight line of NumPy calls.

    In the first call, the function runs on stand-ins that record the NumPy calls, including the backward pass
    and the optimizer's formula if there is one. The record is simplified, given preallocated memory, and
    compiled; later calls run that program.

    Parameters
    ----------
    function : callable
        It takes arrays and Tensors, and lists, tuples and dicts of them; it may be a Module. Other arguments are
        part of the program: each new value makes a new program.
    optimizer : Optimizer, optional
        Makes a training step: ``function`` returns the loss, and every call updates the parameters as
        ``zero_grad``, ``backward`` and ``step`` would. The parameters keep no ``grad``.
    has_aux : bool, default False
        Whether a training step's function returns a pair ``(loss, aux)``; the step then returns it, too.
    clip_norm : float, optional
        Limit for the joint norm of the gradients, as in ``clip_grad_norm_``.
    backend : {"numpy", "numba"}
        What runs the program. ``"numba"`` compiles it to machine code (``pip install 'tinygrad-mnist[fast]'``),
        which takes some seconds.
    check : bool, default False
        Whether to run the uncompiled function next to the program in every call, compare them, and raise a
        ``CompileError`` that names the first operation that differs. It takes as long as both together.

    Returns
    -------
    Compiled
        It is called like the function. Its ``source`` is the program.

    Raises
    ------
    CompileError
        In a call: if the function makes a decision based on a value that changes, does something different in the
        second call, changes or uses something that cannot be watched, or cannot be a straight line of calls for
        another reason. The message names the line, the object and what to do.

    Notes
    -----
    A compiled function returns, raises and changes the same as the uncompiled one, or it raises a
    ``CompileError``: ``docs/compile.md`` has the details, with examples.

    A program is made for the shapes and dtypes of the arguments, and for the state of everything that the
    function can reach by name: a new one is made for another shape, another setting, after ``model.eval()``, or
    when a parameter is frozen. Learning rates and the numbers in arrays may change at any time. For the trace, the
    function is called twice, and no other thread may change what it uses meanwhile. Threads take turns.

    The first training step moves the parameters into one long array; their ``data`` become views of it.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_mnist as tg
    >>> f = tg.compile(lambda x: np.sum(np.sin(x) ** 2))
    >>> f(np.array([0.0, 1.0])).round(4)
    np.float64(0.7081)
    >>> model = tg.nn.MLP([784, 16, 10], rng=0)
    >>> loss = tg.nn.CrossEntropyLoss()
    >>> step = tg.compile(lambda x, y: loss(model(x), y), optimizer=tg.optim.SGD(model.parameters(), lr=0.1))
    >>> x, y = np.random.default_rng(0).random((8, 784), np.float32), np.arange(8)
    >>> step(x, y).item() > step(x, y).item()
    True
    """
    if not callable(function):
        raise CompileError(
            f"compile: {type(function).__name__} is not a function; pass the function, not what it returns"
        )
    if backend not in BACKENDS:
        raise choice("back end", backend, BACKENDS)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise CompileError(f"compile: optimizer= is a {type(optimizer).__name__}, not an Optimizer")
    if optimizer is None and (has_aux or clip_norm is not None):
        raise OptionError("compile: has_aux= and clip_norm= are for training steps, with optimizer=")
    if clip_norm is not None and not clip_norm > 0:
        raise OptionError(f"compile: clip_norm = {clip_norm!r} is not positive")
    load = BACKENDS[backend]
    load()  # a missing package should be reported here rather than in the first call
    options = {"has_aux": has_aux, "clip_norm": clip_norm, "turn_for_one_row": backend == "numba"}
    return (Checked if check else Compiled)(function, optimizer, options, load)


class Compiled(Generic[P, R]):
    """A function that runs as a program: the result of :func:`compile`.

    Attributes
    ----------
    source : str
        The program that ran last, as a Python module whose ``prepare`` returns the step.
    stats : Stats

    Examples
    --------
    >>> import numpy as np, tinygrad_mnist as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> step = tg.compile(lambda x: np.sum((x * w) ** 2), optimizer=tg.optim.SGD([w], lr=0.1))
    >>> step(np.array([1.0, 1.0])), w
    (tensor(5.), tensor([0.8, 1.6], requires_grad=True))
    >>> "def prepare(" in step.source
    True
    """

    def __init__(
        self,
        function: Callable[P, R],
        optimizer: Optimizer | None,
        options: dict[str, Any],
        load: Callable[[], Loader],
    ) -> None:
        self.function = function
        self.optimizer = optimizer
        self._options = options
        self._load = load
        self._uncompiled = Uncompiled(function, optimizer, options["has_aux"], options["clip_norm"])
        self.__compiled__ = function
        self._made_so_far = 0
        self._entries: list[Entry] = []
        self._last: Entry | None = None
        self._lock = threading.RLock()  # a program has buffers, which only serve one call at a time
        self._acquire, self._release = self._lock.acquire, self._lock.release
        if hasattr(function, "__name__"):
            update_wrapper(self, function, updated=())

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the program for these arguments; make it first if there is none."""
        if WATCH.get() is None:
            self._acquire()  # twice as fast as "with"
            try:
                if self._last is not None:
                    result = self._last.call(args, kwargs)
                    if result is not MISSED:
                        return result
            finally:
                self._release()
            return self._search(args, kwargs)
        if isinstance(WATCH.get(), Capture):  # part of another program
            return detach(self.function(*args, **kwargs))
        raise CompileError(
            f"compile: {named(self.function)} is compiled, and detect_anomaly() cannot see inside a program; call "
            "the uncompiled function there"
        )

    def _search(self, args: Any, kwargs: Any) -> Any:
        """Run a program other than the last one, or make one."""
        with self._lock:
            result = self._run_one(args, kwargs)
        if result is not MISSED:
            return result
        # Another thread may be tracing, so that the objects of this function seem to have changed: search again.
        with _TRACING, self._lock:
            result = self._run_one(args, kwargs)
            if result is not MISSED:
                return result
            try:
                entry = self._made(args, kwargs)
            except FINAL:
                raise
            except Exception as raised:
                error = raised
            else:
                self._keep(entry, args, kwargs)
                result = entry.call(args, kwargs)
                if result is MISSED:
                    raise CompileError(
                        f"compile: {entry.reason(args, kwargs)}, which {named(self.function)} uses, is a different "
                        "object every time, so no program fits twice"
                    )
                return result
        return self._uncompiled.after(error, args, kwargs)

    def _run_one(self, args: Any, kwargs: Any) -> Any:
        """Run the first program that fits."""
        for entry in reversed(self._entries):
            result = entry.call(args, kwargs)
            if result is not MISSED:
                self._last = entry
                return result
        return MISSED

    def _keep(self, entry: Entry, args: Any, kwargs: Any) -> None:
        self._made_so_far += 1
        if self._made_so_far == MOST_PROGRAMS + 1:
            warnings.warn(
                f"compile: {named(self.function)} has needed {MOST_PROGRAMS} programs so far and now makes another, "
                f"{_told_apart(self._entries, args, kwargs)}",
                stacklevel=4,
            )
        self._entries = [*self._entries[-MOST_PROGRAMS + 1 :], entry]
        self._last = entry

    def _made(self, args: Any, kwargs: Any) -> Entry:
        if TRACING.get():
            raise CompileError(
                f"compile: {named(self.function)} is compiled, but was called inside a function that is being "
                "differentiated; differentiate the function itself, and compile the result"
            )
        recorded = record(self.function, args, kwargs, optimizer=self.optimizer, **self._options)
        again = record(self.function, args, kwargs, optimizer=self.optimizer, **self._options)
        require_agreement(named(self.function), recorded.program, again.program)
        source = write_down(recorded.program, recorded.arguments)
        entry = Entry(self._uncompiled, recorded, source, self._load(), args, kwargs)
        self._look_at(entry, recorded)
        return entry

    def _look_at(self, entry: Entry, recorded: Recorded) -> None:
        """Observe a new program and its record, which holds the numbers of the trace and is not kept otherwise."""

    @property
    def source(self) -> str:
        """The program that ran last, as text that can be run on its own."""
        return self._entry().source.text

    @property
    def arrays(self) -> dict[str, Any]:
        """The arguments of ``prepare`` in the :attr:`source`, by name: the parameters and other arrays that it uses."""
        return self._entry().arrays

    @property
    def program(self) -> Program:
        """The program that ran last, as a list of operations."""
        return self._entry().source.program

    @property
    def stats(self) -> Stats:
        """The numbers of operations and buffers in the program that ran last."""
        entry = self._entry()
        source = entry.source
        return Stats(source.calls, source.buffers, source.buffer_bytes, entry.traced)

    def _entry(self) -> Entry:
        if self._last is None:
            raise CompileError(f"compile: {named(self.function)} has no program before its first call")
        return self._last

    def __repr__(self) -> str:
        return f"<compiled {named(self.function)}, {pluralise(len(self._entries), 'program')}>"


class Checked(Compiled[P, R]):
    """A compiled function that runs the uncompiled function next to the program."""

    def __init__(self, function: Callable[P, R], *rest: Any) -> None:
        super().__init__(function, *rest)
        self._checker = Checker(function, self._uncompiled, self._load)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the program and the function, and compare."""
        if WATCH.get() is not None:
            return super().__call__(*args, **kwargs)
        with self._lock:
            return self._checker.call(super().__call__, args, kwargs)

    def _look_at(self, entry: Entry, recorded: Recorded) -> None:
        self._checker.attach(entry, recorded)


def _told_apart(entries: list[Entry], args: Any, kwargs: Any) -> str:
    """Say how the programs of one function differ, and what to do."""
    reason = entries[-1].reason(args, kwargs)
    name = reason.removeprefix("the argument ")
    position = next((i for i, known in enumerate(entries[-1].names) if repr(known) == name), None)
    values = (
        [x for entry in entries if (x := entry.value(position)) is not None] if position is not None else []
    )
    if not values:
        return f"for {reason} changed again: keep what changes out of what it uses, or in an array"
    shown = f"{', '.join(dict.fromkeys(values[:3]))}, …"
    if values[0].startswith("("):
        return f"for {reason} has the shapes {shown}: pad to one length, or to a few"
    return f"for {reason} is {shown}: pass numbers that change as arrays (np.float32(x))"


def _numpy_back_end() -> Loader:
    return run_source


def _numba_back_end() -> Loader:
    from .machine.load import load, require_packages  # numba is only imported if it is requested

    require_packages()
    return load


#: The back ends by name: each returns a function that makes a program from its source.
BACKENDS: dict[str, Callable[[], Loader]] = {
    "numpy": _numpy_back_end,
    "numba": _numba_back_end,
}
