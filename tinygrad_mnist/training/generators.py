"""The random generators that a training draws from, wherever they are: in layers, data, losses and callbacks."""

from __future__ import annotations

import functools
import hashlib
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import StateDictError
from ..tensor import Tensor

__all__ = ["fork_generators", "read_generators", "users_functions", "write_generators"]


class _Kind(NamedTuple):
    """How the state of one kind of generator is read and written, and how it is seeded with a list of integers."""

    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    seed: Callable[[Any, list[int]], None]


_KINDS: dict[type, _Kind] = {
    np.random.Generator: _Kind(
        lambda rng: rng.bit_generator.state,
        lambda rng, state: setattr(rng.bit_generator, "state", state),
        lambda rng, seed: setattr(rng.bit_generator, "state", type(rng.bit_generator)(seed).state),
    ),
    np.random.BitGenerator: _Kind(
        lambda rng: rng.state,
        lambda rng, state: setattr(rng, "state", state),
        lambda rng, seed: setattr(rng, "state", type(rng)(seed).state),
    ),
    np.random.RandomState: _Kind(
        lambda rng: rng.get_state(legacy=False),
        lambda rng, state: rng.set_state(state),
        lambda rng, seed: rng.seed(seed),
    ),
    random.Random: _Kind(
        lambda rng: rng.getstate(),
        lambda rng, state: rng.setstate(state),
        lambda rng, seed: rng.seed(repr(seed)),
    ),
}

#: Values that hold nothing else.
_ATOMS = (bool, int, float, complex, str, bytes, np.ndarray, np.generic, Tensor, type(None), types.ModuleType)


def read_generators(roots: Mapping[str, Any]) -> dict[str, Any]:
    """The states of all generators that can be reached from some objects, by their paths.

    They are searched for in attributes, lists, tuples and dicts; in what functions and methods refer to: their
    closures, defaults and, in the user's own code, global variables; and beyond. One that is shared appears once, under
    its first path. NumPy's global generator and that of :mod:`random` are always among them.

    Parameters
    ----------
    roots : mapping of str to object
        The names with which paths begin.

    Examples
    --------
    >>> from tinygrad_mnist import nn
    >>> rng = np.random.default_rng(0)
    >>> model = nn.Sequential(nn.Dropout(rng=rng), nn.Dropout(rng=rng))
    >>> [*read_generators({"model": model})]
    ['np.random', 'random', 'model.0.rng']
    """
    return {path: kind.read(rng) for path, rng, kind in _found(roots)}


def write_generators(roots: Mapping[str, Any], states: Mapping[str, Any]) -> None:
    """Bring generators into the states that :func:`read_generators` returned.

    Raises
    ------
    StateDictError
        If other generators are found than those that were read; nothing is changed in that case.
    """
    found = {path: (rng, kind) for path, rng, kind in _found(roots)}
    if found.keys() != states.keys():
        differing = sorted(found.keys() ^ states.keys())
        raise StateDictError(
            f"random numbers came from other Generators then than now; only one of both has {', '.join(differing)}"
        )
    for path, (rng, kind) in found.items():
        try:
            kind.write(rng, states[path])
        except (TypeError, ValueError, KeyError) as error:
            raise StateDictError(f"{path}: a {type(rng).__name__} has no such state: {error}") from error


def fork_generators(roots: Mapping[str, Any], number: int) -> None:
    """Let generators that are in equal states in several processes go on with other random numbers in each of them.

    Parameters
    ----------
    roots : mapping of str to object
    number : int
        That of the process, above 0.
    """
    for path, rng, kind in _found(roots):
        digest = hashlib.blake2b(repr((path, kind.read(rng))).encode(), digest_size=16).digest()
        kind.seed(rng, [number, *np.frombuffer(digest, np.uint32).tolist()])


def users_functions(roots: Mapping[str, Any]) -> Iterator[types.FunctionType]:
    """The functions and methods of the user's own that can be reached from some objects, as generators are."""
    for _, x in _reached(roots):
        if isinstance(x, types.FunctionType) and _is_users(x.__module__):
            yield x


def _found(roots: Mapping[str, Any]) -> Iterator[tuple[str, Any, _Kind]]:
    """Walk over all generators, each once."""
    everywhere = {"np.random": np.random.mtrand._rand, "random": random._inst}
    for path, x in _reached({**everywhere, **roots}):
        kind = _kind(x)
        if kind is not None:
            yield path, x, kind


def _kind(x: Any) -> _Kind | None:
    return next((kind for cls, kind in _KINDS.items() if isinstance(x, cls)), None)


def _reached(roots: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Walk over all that some objects hold or refer to, each once, with its path."""
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [*roots.items()][::-1]
    kept = []  # bound methods are made when they are looked at; an id must not be used twice
    while pending:
        path, x = pending.pop()
        if isinstance(x, _ATOMS) or id(x) in seen:
            continue
        seen.add(id(x))
        kept.append(x)
        yield path, x
        if _kind(x) is None:
            pending += reversed([(f"{path}.{name}", part) for name, part in _parts(x)])


def _parts(x: Any) -> Iterator[tuple[Any, Any]]:
    """What an object holds or refers to, with names."""
    if isinstance(x, Mapping):
        yield from (
            (key if isinstance(key, (str, int)) else i, part) for i, (key, part) in enumerate(x.items())
        )
    elif isinstance(x, (list, tuple)):
        yield from enumerate(x)
    elif isinstance(x, functools.partial):
        yield from (("func", x.func), ("args", x.args), ("keywords", x.keywords))
    elif isinstance(x, (types.MethodType, types.BuiltinMethodType)):
        yield from (("__self__", x.__self__), ("__func__", getattr(x, "__func__", None)))
    elif isinstance(x, types.FunctionType):
        yield from _of_function(x)
    elif isinstance(x, type):
        if _is_users(x.__module__):
            yield from ((name, part) for name, part in vars(x).items() if name != "__dict__")
        return
    elif isinstance(x, (property, classmethod, staticmethod, functools.cached_property)):
        yield from ((name, getattr(x, name, None)) for name in ("fget", "__func__", "func"))
        return
    else:
        for base in type(x).__mro__:
            slots = base.__dict__.get("__slots__", ())
            yield from (
                (name, getattr(x, name, None)) for name in ([slots] if isinstance(slots, str) else slots)
            )
            if _is_users(base.__module__):
                yield base.__name__, base
    # A module's arguments are in its other attributes, too, under better names.
    yield from ((name, part) for name, part in getattr(x, "__dict__", {}).items() if name != "_arguments")


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function refers to besides its arguments."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    yield "__defaults__", function.__defaults__
    yield "__kwdefaults__", function.__kwdefaults__
    if _is_users(function.__module__):
        codes = [function.__code__]
        for code in codes:
            codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
            for name in code.co_names:
                yield name, function.__globals__.get(name)


def _is_users(module: str | None) -> bool:
    """Whether a module is the user's own, and not a library's."""
    top = (module or "builtins").partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    if top == __name__.partition(".")[0]:
        return False
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return "site-packages" not in file and "dist-packages" not in file
