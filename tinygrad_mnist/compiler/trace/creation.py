"""Arrays that the traced code makes itself: ``np.eye(10)``, ``np.zeros(3)``, ``np.array([x[0], x[1]])``.

NumPy does not dispatch when it makes an array, so a stand-in could not be put into it, nor index it. During a trace,
NumPy's functions that make arrays therefore return stand-ins to the user's code: known ones, whose numbers Python
may use. Other threads, NumPy itself, this package and installed packages get plain arrays.
"""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import numpy as np

from ...errors import CompileError
from ...graph import _set
from ...origins import caller, is_internal, line_of, users_line
from ...tensor import Tensor
from ..instructions import as_array, astype, copy
from .standins import Tracer, known, written
from .tape import Trace, is_stand_in, value_of

__all__ = ["making_stand_ins"]

_TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_MAKERS = (
    "arange", "empty", "eye", "fromfunction", "geomspace", "identity", "indices", "linspace", "logspace", "ones",
    "tri", "zeros",
)  # fmt: skip
_LOOKERS = ("repeat", "roll", "take")
_CONVERTERS = ("array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray")


@contextmanager
def making_stand_ins(trace: Trace) -> Iterator[None]:
    """Give the user's code stand-ins for the arrays that it makes within the block."""
    with _set(_TRACE, trace):
        before = _global_randomness()
        try:
            for name, stand_in in _STAND_INS.items():
                setattr(np, name, stand_in)
            np.random.default_rng = _seeded
            yield
            if trace.refused:  # an error that the user's code has caught; in a program, it would not occur
                raise trace.refused[0][1]
            if _global_randomness() != before:
                raise _random("np.random or random themselves")
        finally:
            for name in _STAND_INS:
                setattr(np, name, _ORIGINALS[name])
            np.random.default_rng = _default_rng


_default_rng = np.random.default_rng


@wraps(_default_rng)
def _seeded(seed: Any = None) -> Any:
    if seed is None and _TRACE.get() is not None:
        raise _random(f"a new Generator without a seed ({line_of(users_line())})")
    return _default_rng(seed)


def _random(what: str) -> CompileError:
    return CompileError(
        f"compile: random numbers were drawn from {what}, and would be the same in every call. Draw them from a "
        "numpy.random.Generator that is an argument, an attribute of a Module or a variable that the function names"
    )


def _global_randomness() -> Any:
    """The states of the global generators of Python and NumPy."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), state["state"]["key"].tobytes(), repr(state["gauss"]), state["state"]["pos"]


_ORIGINALS: dict[str, Any] = {
    name: getattr(np, name) for name in (*_MAKERS, *_CONVERTERS, *_LOOKERS, "full", "fromiter", "ndenumerate")
}


def _making(original: Any, name: str) -> Callable[..., Any]:
    @wraps(original)
    def make(*args: Any, **settings: Any) -> Any:
        made = original(*args, **settings)
        return _for_the_user(made, caller(), name)

    return make


def _filling(original: Any) -> Callable[..., Any]:
    @wraps(original)
    def fill(shape: Any, fill_value: Any, dtype: Any = None, **settings: Any) -> Any:
        if _TRACE.get() is None or not _holds_stand_ins(fill_value):
            return _for_the_user(original(shape, fill_value, dtype, **settings), caller(), original.__name__)
        value = _stacked(fill_value)
        return np.broadcast_to(value if dtype is None else value.astype(dtype), shape).copy()

    return fill


def _looking(original: Any) -> Callable[..., Any]:
    """Functions for which NumPy dispatches only on the first argument."""

    @wraps(original)
    def look(a: Any, *args: Any, **settings: Any) -> Any:
        trace = _TRACE.get()
        if trace is not None and type(a) is np.ndarray and _holds_stand_ins([*args, *settings.values()]):
            a = known(trace, a)
        return original(a, *args, **settings)

    return look


def _collecting(original: Any) -> Callable[..., Any]:
    @wraps(original)
    def collect(iterable: Any, dtype: Any, count: int = -1, **settings: Any) -> Any:
        if _TRACE.get() is None:
            return original(iterable, dtype, count, **settings)
        parts = list(iterable)
        if _holds_stand_ins(parts):
            return _stacked(parts if count < 0 else parts[:count]).astype(dtype)
        return _for_the_user(original(parts, dtype, count, **settings), caller(), original.__name__)

    return collect


def _counting(original: Any) -> Callable[..., Any]:
    @wraps(original)
    def count(arr: Any) -> Any:
        return ((place, arr[place]) for place in np.ndindex(arr.shape)) if is_stand_in(arr) else original(arr)

    return count


def _converting(original: Any) -> Callable[..., Any]:
    is_ordered = original.__name__ in ("ascontiguousarray", "asfortranarray")

    @wraps(original)
    def convert(x: Any, dtype: Any = None, **settings: Any) -> Any:
        if _TRACE.get() is None or not _holds_stand_ins(x):
            made = original(x, dtype, **settings)
            if isinstance(x, np.ndarray) and np.may_share_memory(made, x):
                return made  # what is written into one of them is in the other, too
            return _for_the_user(made, caller(), original.__name__)
        given = made = _stacked(x)
        value = value_of(given)
        wanted = original(value, dtype, **settings)
        given.tape.is_by_layout |= is_ordered or "order" in settings  # which decides whether it is a copy
        is_shared = wanted is value or np.may_share_memory(wanted, value)
        if is_shared and isinstance(x, Tensor) and wanted.shape == x.shape:
            return x.data
        if wanted.dtype != given.dtype:
            made = written(given.tape, astype, (given, wanted.dtype), {}, value.astype(wanted.dtype))
        if given.is_number:
            made = written(given.tape, as_array, (made,), {}, np.array(made.value))
        elif not is_shared and made is given and not isinstance(x, (list, tuple)):
            made = written(given.tape, copy, (given,), {}, wanted.reshape(given.shape))
        return made if made.shape == wanted.shape else made.reshape(wanted.shape)

    return convert


def _for_the_user(made: Any, origin: Any, name: str) -> Any:
    """Return a stand-in if the user's own code called the function with this name."""
    trace = _TRACE.get()
    if trace is None or type(made) is not np.ndarray or made.dtype.kind not in "biufc":
        return made
    code = origin[0]
    # Compiled extensions leave no frame: the functions they call are not named in the user's code.
    is_users = (
        not is_internal(origin) and not code.co_filename.startswith(_LIBRARIES) and name in code.co_names
    )
    return known(trace, made) if is_users else made


def _holds_stand_ins(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_stand_ins, x))
    return is_stand_in(x._array if isinstance(x, Tensor) and x._node is None else x)


def _stacked(x: Any) -> Any:
    """Make an array from nested lists that contain stand-ins."""
    if isinstance(x, (list, tuple)):
        return np.stack([_stacked(part) for part in x])
    x = x._array if isinstance(x, Tensor) and x._node is None else x
    return x if type(x) is Tracer else _ORIGINALS["asarray"](x)


_STAND_INS: dict[str, Any] = {
    **{name: _making(_ORIGINALS[name], name) for name in _MAKERS},
    **{name: _looking(_ORIGINALS[name]) for name in _LOOKERS},
    "empty": _making(
        _ORIGINALS["zeros"], "empty"
    ),  # uninitialised memory is 0, so that every trace is the same
    "full": _filling(_ORIGINALS["full"]),
    "fromiter": _collecting(_ORIGINALS["fromiter"]),
    "ndenumerate": _counting(_ORIGINALS["ndenumerate"]),
    **{name: _converting(_ORIGINALS[name]) for name in _CONVERTERS},
}
