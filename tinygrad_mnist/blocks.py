"""``with`` blocks that are also decorators: of functions, generators and coroutines.

A generator or a coroutine returns control to its caller between two pieces of its work. The caller must not
see a setting that was made for the work, so each piece gets its own block.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import update_wrapper, wraps
from typing import Any, TypeVar, overload

__all__ = ["Block", "block"]

F = TypeVar("F", bound=Callable[..., Any])

# The blocks that this thread or task is in, the innermost last, each with the block that undoes it. They are
# kept here and not in the blocks, because a block may be entered twice, or by two threads at once.
_ENTERED: ContextVar[tuple[tuple[Any, AbstractContextManager[None]], ...]] = ContextVar("entered", default=())


class Block:
    """A reentrant and reusable ``with`` block that also decorates functions.

    It may be written with or without parentheses, because a call without a function returns the block itself.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make

    def __enter__(self) -> None:
        undo = self._make()
        undo.__enter__()
        _ENTERED.set((*_ENTERED.get(), (self, undo)))

    def __exit__(self, *error: Any) -> bool | None:
        entered = _ENTERED.get()
        for i in reversed(range(len(entered))):  # a generator may leave its blocks in a different order
            block, undo = entered[i]
            if block is self:
                _ENTERED.set(entered[:i] + entered[i + 1 :])
                return undo.__exit__(*error)
        return None  # entered in another task, which has its own settings

    @overload
    def __call__(self) -> Block: ...
    @overload
    def __call__(self, f: F) -> F: ...
    def __call__(self, f: Any = None) -> Any:
        """Run a function within the block; for a generator or a coroutine, run each piece of its work there."""
        if f is None:
            return self
        if inspect.isclass(f) or not callable(f):
            what = f"the class {f.__name__}" if inspect.isclass(f) else f"a {type(f).__name__}"
            raise TypeError(f"this decorates functions and methods, not {what}")
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
                # If the function returns a generator, such as an expression `(... for ...)`, this is the work.
                return self._in_pieces(result) if inspect.isgenerator(result) else result

        return function

    def _in_pieces(self, work: Any) -> Generator[Any, Any, Any]:
        """Do the work of a generator or a coroutine, and pass on what is sent and thrown into it."""
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
    """A coroutine that runs each piece of its work within a block."""

    def __init__(self, around: Block, work: Any) -> None:
        self._around, self._work = around, work

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._around._in_pieces(self._work)


def block(function: Callable[[], Iterator[None]]) -> Block:
    """Turn a generator that yields once into a :class:`Block` (a decorator)."""
    made = Block(contextmanager(function))
    update_wrapper(made, function)  # it looks like the function, and help() shows its text
    return made
