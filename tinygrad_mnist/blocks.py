"""``with`` blocks that are decorators too: of functions, and of what runs in pieces.

A generator or a coroutine gives way to its caller between two pieces of its work. A setting that was made for
the one must not be seen by the other, so each piece gets a block of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec

__all__ = ["Block", "block"]

P = ParamSpec("P")

# The blocks that this thread or task is in, the innermost last, each with what undoes it. They are kept here
# and not in the blocks, one of which may be entered twice, or by two threads at once.
_ENTERED: ContextVar[tuple[tuple[Any, AbstractContextManager[None]], ...]] = ContextVar("entered", default=())


class Block:
    """A ``with`` block that may be entered again and again, also while it is entered, and decorates functions."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make

    def __enter__(self) -> None:
        undo = self._make()
        undo.__enter__()
        _ENTERED.set((*_ENTERED.get(), (self, undo)))

    def __exit__(self, *error: Any) -> bool | None:
        entered = _ENTERED.get()
        for i in reversed(range(len(entered))):  # a generator may leave its blocks in another order
            block, undo = entered[i]
            if block is self:
                _ENTERED.set(entered[:i] + entered[i + 1 :])
                return undo.__exit__(*error)
        return None  # entered in another task, which took its settings along

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Run a function within the block; of a generator or a coroutine, each piece of its work."""
        if inspect.iscoroutinefunction(f):

            @wraps(f)
            async def function(*args: Any, **kwargs: Any) -> Any:
                return await _Awaited(self, f(*args, **kwargs))

        elif inspect.isasyncgenfunction(f):

            @wraps(f)
            async def function(*args: Any, **kwargs: Any) -> Any:
                pieces = f(*args, **kwargs)
                step, given = pieces.asend, None
                while True:
                    try:
                        value = await _Awaited(self, step(given))
                    except StopAsyncIteration:
                        return
                    try:
                        step, given = pieces.asend, (yield value)
                    except GeneratorExit:
                        await _Awaited(self, pieces.aclose())
                        raise
                    except BaseException as error:
                        step, given = pieces.athrow, error

        elif inspect.isgeneratorfunction(f):

            @wraps(f)
            def function(*args: Any, **kwargs: Any) -> Any:
                return (yield from self._in_pieces(f(*args, **kwargs)))

        else:

            @wraps(f)
            def function(*args: Any, **kwargs: Any) -> Any:
                with self._make():
                    result = f(*args, **kwargs)
                # Of a function that returns a generator, such as an expression `(... for ...)`, this is the work.
                return self._in_pieces(result) if inspect.isgenerator(result) else result

        return function

    def _in_pieces(self, work: Any) -> Generator[Any, Any, Any]:
        """Do the work of a generator or a coroutine, with what is sent and thrown in between."""
        step, given = work.send, None
        while True:
            try:
                with self._make():
                    value = step(given)
            except StopIteration as stop:
                return stop.value
            try:
                step, given = work.send, (yield value)
            except GeneratorExit:
                with self._make():
                    work.close()
                raise
            except BaseException as error:
                step, given = work.throw, error


class _Awaited:
    """A coroutine, each piece of whose work runs within a block."""

    def __init__(self, around: Block, work: Any) -> None:
        self._around, self._work = around, work

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._around._in_pieces(self._work)


def block(function: Callable[P, Iterator[None]]) -> Callable[P, Block]:
    """Turn a generator that yields once into a function that makes a :class:`Block` (a decorator)."""
    make = contextmanager(function)

    @wraps(function)
    def start(*args: P.args, **kwargs: P.kwargs) -> Block:
        return Block(partial(make, *args, **kwargs))

    return start
