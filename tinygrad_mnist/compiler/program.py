"""What a trace leaves behind: a straight line of NumPy calls, each of whose results has one name.

A :class:`Program` is a list of :class:`Op`. Each is one call and stands for its result, so that an
argument of a later call is simply an earlier ``Op``. Nothing is ever overwritten here: where the traced
code wrote in place, a new ``Op`` took the place of the old one. Passes turn one program into another;
which results share memory is decided at the very end, by ``memory``.

A function is known by its name, which is how it is written in the end: ``np.exp``, ``np.add.reduce``.
The few that are no NumPy function are in :data:`FUNCTIONS`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "EFFECTS",
    "Op",
    "Place",
    "Program",
    "Store",
    "evaluate",
    "function_named",
    "inputs_of",
    "is_basic",
    "is_view",
    "swap",
]


class Place(NamedTuple):
    """Where in the user's program an operation comes from."""

    phase: str  # "forward", "backward" or "update"
    scope: str  # the module, as in ``0.Linear``
    line: str  # ``model.py:12``
    text: str  # what the line says


NOWHERE = Place("", "", "", "")


class Op:
    """One call of a function, and its result.

    Attributes
    ----------
    function : str
        ``"np.add"``, or a name in :data:`FUNCTIONS`. ``"input"`` and ``"constant"`` compute nothing.
    args : tuple
        Ops, numbers, and lists and tuples of them.
    settings : dict
        Keyword arguments. Of an input its ``name``; of a constant its ``value``.
    shape, dtype
        Those of the result. A Python number has the dtype ``None``; so has a tuple of results.
    place : Place
    """

    __slots__ = ("args", "dtype", "function", "place", "settings", "shape")

    def __init__(
        self,
        function: str,
        args: tuple[Any, ...],
        settings: dict[str, Any],
        shape: tuple[int, ...],
        dtype: Any,
        place: Place = NOWHERE,
    ) -> None:
        self.function = function
        self.args = args
        self.settings = settings
        self.shape = shape
        self.dtype = dtype
        self.place = place

    @property
    def size(self) -> int:
        """Number of elements."""
        return reduce(operator.mul, self.shape, 1)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes the result takes."""
        return self.size * self.dtype.itemsize if self.dtype is not None else 0

    @property
    def is_number(self) -> bool:
        """Whether the result is a Python number."""
        return self.dtype is None and not self.function.startswith(("np.", "call"))

    def with_args(self, change: Callable[[Any], Any]) -> Op:
        """The same operation of other arguments, which result in the same shape and dtype."""
        settings = {key: swap(arg, change) for key, arg in self.settings.items()}
        return Op(self.function, swap(self.args, change), settings, self.shape, self.dtype, self.place)

    def __repr__(self) -> str:
        return f"<{self.function} {self.dtype}{list(self.shape)}>"


@dataclass(frozen=True)
class Store:
    """A result that outlives the call: it is written into the memory of an input."""

    target: Op
    value: Op


@dataclass(frozen=True)
class Program:
    """A function of arrays, written out.

    Attributes
    ----------
    inputs : arrays and numbers that are given at every call, or once and for all
    ops : in the order in which they run
    results : what is returned
    stores : what is written into the memory of inputs
    """

    inputs: tuple[Op, ...]
    ops: tuple[Op, ...]
    results: tuple[Op, ...]
    stores: tuple[Store, ...] = ()
    name: str = "function"
    notes: Mapping[str, Any] = field(default_factory=dict)

    def roots(self) -> Iterator[Op]:
        """What has to be computed: results, stores, and what has an effect of its own."""
        yield from self.results
        for store in self.stores:
            yield store.value
        yield from (op for op in self.ops if op.function in EFFECTS)


#: Functions that do something besides returning a value, in an order that has to be kept.
EFFECTS = ("check", "draw")


def inputs_of(op: Op) -> Iterator[Op]:
    """Walk over the Ops among the arguments, those in settings and nested tuples too."""
    for arg in (*op.args, *op.settings.values()):
        yield from _ops_in(arg)


def _ops_in(arg: Any) -> Iterator[Op]:
    if isinstance(arg, Op):
        yield arg
    elif isinstance(arg, (tuple, list)):
        for part in arg:
            yield from _ops_in(part)
    elif isinstance(arg, slice):
        yield from _ops_in((arg.start, arg.stop, arg.step))


def swap(arg: Any, change: Callable[[Any], Any]) -> Any:
    """Replace every leaf of an argument, in nested tuples and lists too."""
    if isinstance(arg, tuple):
        return tuple(swap(part, change) for part in arg)
    if isinstance(arg, list):
        return [swap(part, change) for part in arg]
    return change(arg)


def is_basic(index: Any) -> bool:
    """Whether an index is made of slices and numbers only, so that it picks a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer))
        for part in parts
        if not isinstance(part, (bool, np.bool_))
    ) and not any(isinstance(part, (bool, np.bool_)) for part in parts)


def is_view(op: Op) -> bool:
    """Whether a result is another look at the memory of an argument."""
    if op.function == "getitem":
        return is_basic(op.args[1])
    return op.function in ("np.transpose", "np.broadcast_to", "view") or (
        op.function == "np.reshape" and is_contiguous(op.args[0])
    )


def is_contiguous(op: Op) -> bool:
    """Whether the elements of a result lie in memory in their order."""
    if op.function == "np.transpose":
        return sum(n != 1 for n in op.shape) <= 1
    if op.function == "getitem" and is_basic(op.args[1]):
        return op.ndim == 1 and isinstance(op.args[1], slice) and op.args[1].step is None
    if op.function in ("np.reshape", "view"):
        return is_contiguous(op.args[0])
    return op.function != "np.broadcast_to"


# -- what the names mean ---------------------------------------------------------------------------


def _set(x: Any, index: Any, value: Any) -> Any:
    changed = np.array(x)
    changed[index] = value
    return changed


def _add_at(x: Any, index: Any, value: Any) -> Any:
    changed = np.array(x)
    changed[index] += value
    return changed


def _take_along(x: Any, labels: Any) -> Any:
    return x[labels, np.arange(len(labels))]


def _add_along(x: Any, labels: Any, value: Any) -> Any:
    return _add_at(x, (labels, np.arange(len(labels))), value)


def _check(condition: Any, message: str) -> None:
    if condition:
        raise ValueError(message)


def _join(*parts: Any) -> Any:
    return np.concatenate([np.reshape(part, -1) for part in parts])


#: Functions that are no NumPy functions, by the names they have in programs.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getitem": lambda x, index: x[index],
    "pick": lambda results, index: results[index],
    "setitem": _set,
    "take_along": _take_along,  # in each column, the element in the row that its label names
    "add_along": _add_along,  # the same elements, increased
    "astype": lambda x, dtype: x.astype(dtype),
    "copy": lambda x: x.copy(),
    "join": _join,  # several arrays as one vector
    "view": lambda x, dtype: x.view(dtype),
    "check": _check,
    "call": lambda callee, *args, **settings: callee.function(*args, **settings),
    "draw": lambda rng, method, *args, **settings: getattr(rng, method)(*args, **settings),
    "take_flat": lambda x, places: np.reshape(x, -1)[places],  # by number, counted through all elements
    "add_flat": lambda x, places, value: np.reshape(_add_at(np.reshape(x, -1), places, value), x.shape),
    # of Python numbers
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "neg": operator.neg,
}


@cache
def function_named(name: str) -> Callable[..., Any]:
    """Find a function by the name it has in programs."""
    if name.startswith("np."):
        found: Callable[..., Any] = operator.attrgetter(name[3:])(np)
        return found
    if name.startswith("."):
        method = name[1:]
        return lambda x, *args, **settings: getattr(x, method)(*args, **settings)
    return FUNCTIONS[name]


def evaluate(program: Program, given: Mapping[Op, Any]) -> tuple[list[Any], list[Any]]:
    """Run a program as it stands, one operation after the other: what passes are tested against.

    Parameters
    ----------
    program : Program
    given : mapping
        The value of each input.

    Returns
    -------
    results, stored : lists
    """
    values: dict[Op, Any] = {
        op: op.settings["value"] for op in program.ops if op.function == "constant"
    } | dict(given)

    def value(arg: Any) -> Any:
        if isinstance(arg, slice):
            return slice(value(arg.start), value(arg.stop), value(arg.step))
        return values[arg] if isinstance(arg, Op) else arg

    for op in program.ops:
        if op not in values:
            args = swap(op.args, value)
            settings = {key: swap(arg, value) for key, arg in op.settings.items()}
            values[op] = function_named(op.function)(*args, **settings)
    return [values[op] for op in program.results], [values[store.value] for store in program.stores]
