"""A function as a list of operations, with the sizes that depend on the size of the batch.

A function runs twice, on batches of two sizes and with different numbers. Its operations are noted as they are
recorded. What differs between the two lists shows what depends on what: a number in a setting that grows with the
batch is a :class:`Size`; an array that no operation made and that is not the same in both has been computed from the
input outside the graph, and nobody could repeat that for another input: an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...errors import UnsupportedError, quote
from ...graph import SCOPE, WATCH, Scope, Watch, _set, enable_grad, scope_text
from ...nn import Module
from ...nn.modes import evaluating
from ...origins import Origin, is_internal, line_of, users_line
from ...primitive import Primitive
from ...tensor import Tensor
from ...trees import leaves
from ...typing import NDArray

__all__ = ["SIZES", "Call", "Operand", "Recorded", "Size", "record_twice", "run"]

#: The two sizes of the batch. A batch of one is special in some functions, so neither is 1.
SIZES = (2, 3)


class Size(NamedTuple):
    """A number that depends on the size of the batch: ``factor * size + offset``."""

    factor: int
    offset: int

    @classmethod
    def of(cls, first: int, second: int) -> Size:
        """The size that was ``first`` in the first run and ``second`` in the second."""
        factor = (second - first) // (SIZES[1] - SIZES[0])
        return cls(factor, first - factor * SIZES[0])


class Operand:
    """An argument or a result: its values in both runs, and its name in the file, unless it is constant."""

    def __init__(self, values: tuple[Any, Any], name: str = "") -> None:
        self.values, self.name = values, name

    @property
    def value(self) -> Any:
        """The value in the first run."""
        return self.values[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the first run."""
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The kind of the numbers."""
        return np.asarray(self.value).dtype

    @property
    def sizes(self) -> tuple[int | Size, ...]:
        """The shape; a number if a length is always the same."""
        shapes = zip(self.shape, np.shape(self.values[1]), strict=True)
        return tuple(a if a == b else Size.of(a, b) for a, b in shapes)


@dataclass(eq=False)
class Call:
    """One operation: what it got and returned in both runs.

    Attributes
    ----------
    primitive : Primitive
    args : list
        An :class:`Operand` for each array argument, or a list of them, or None.
    settings : dict
        Numbers that depend on the size of the batch are a :class:`Size`.
    results : list of Operand
    fault : str
        A setting that is not the same in both runs, and no number; it counts only if the call is needed.
    """

    primitive: Primitive
    args: list[Any]
    settings: dict[str, Any]
    results: list[Operand]
    within: Scope
    origin: Origin
    fault: str = ""

    @property
    def operands(self) -> Iterator[Operand]:
        """All arguments that are arrays."""
        return leaves(self.args)

    @property
    def scope(self) -> str:
        """The layer, as in ``layers.0.Linear``."""
        return scope_text(self.within)

    @property
    def place(self) -> str:
        """The user's line that asked for it, for messages."""
        origin, within = self.origin, self.within
        while within is not None and (is_internal(origin) or within[4]):
            origin, within = within[3] or origin, within[0]
        layer = f" in the layer {self.scope}" if self.scope else ""
        return f"{layer}, at {line_of(origin)}"


@dataclass
class Recorded:
    """What a function did.

    Attributes
    ----------
    inputs, outputs : dict of Operand, by name
    calls : list of Call
        Those that the outputs depend on, in order.
    parameters : dict of Operand, by name
        The parameters of the model that take part.
    """

    inputs: dict[str, Operand]
    outputs: dict[str, Operand]
    calls: list[Call]
    parameters: dict[str, Operand]


class _Recorder(Watch):
    """Note every operation that runs."""

    keeps_graph = True

    def __init__(self) -> None:
        self.calls: list[tuple[Primitive, tuple[Any, ...], Mapping[str, Any], Any, Scope, Origin]] = []

    def run(self, primitive: Primitive, args: Sequence[Any], settings: Any, rule: int | None = None) -> Any:
        value = primitive.forward(*args, **settings)
        value = tuple(map(np.asarray, value)) if isinstance(value, tuple) else np.asarray(value)
        self.calls.append((primitive, tuple(args), dict(settings), value, SCOPE.get(), users_line()))
        return value


def record_twice(
    function: Callable[..., Any], batches: Sequence[Mapping[str, NDArray]], state: Mapping[str, Tensor]
) -> Recorded:
    """Run a function on two batches, and list its operations.

    Parameters
    ----------
    function : callable, or Module
        A module runs as in ``eval()``.
    batches : two dicts of arrays
        The inputs by name, in order.
    state : mapping of str to Parameter
        What keeps its name.

    Raises
    ------
    UnsupportedError
        If the function takes another way for other numbers, or uses a number that it computed outside the graph.
    """
    (first, given, outputs), (second, given_then, others) = (run(function, batch) for batch in batches)
    for a, b in zip(first, second, strict=False):
        if a[0] is not b[0]:
            raise UnsupportedError(
                f"export_onnx: for other numbers, or a batch of another size, the function computes {b[0].name} "
                f"instead of {a[0].name}{_place(a)}; a file holds one way only: choose with np.where"
            )
    if len(first) != len(second) or outputs.keys() != others.keys():
        raise UnsupportedError(
            f"export_onnx: the function computes {len(first)} operations for one batch and {len(second)} for another; "
            "a file holds one way only: choose with np.where"
        )
    known: dict[Any, Operand] = {}

    def operand(values: tuple[Any, Any], name: str = "") -> Operand:
        """The operand of two arrays, which may be known already."""
        key = _key(values[0])
        found = known.get(key)
        if found is None or name:
            found = Operand(values, name)
            if key is not None:
                known[key] = found
        return found

    inputs = {name: operand((x, given_then[name]), name) for name, x in given.items()}
    for name, x in state.items():
        operand((x._array, x._array), name)
    calls: list[Call] = []
    for a, b in zip(first, second, strict=True):
        args = [_operands(x, y, operand) for x, y in zip(a[1], b[1], strict=True)]
        call = Call(a[0], args, {}, [], a[4], a[5])
        for key, x in a[2].items():
            try:
                call.settings[key] = _merged(x, b[2][key])
            except ValueError as error:
                call.fault = f"{key}={error}"
        if any(x.name for x in call.operands):
            values = zip(*(v if isinstance(v, tuple) else (v,) for v in (a[3], b[3])), strict=True)
            call.results = [operand(pair, f"{len(calls)}.{i}") for i, pair in enumerate(values)]
            calls.append(call)
    found = {name: operand((x, others[name])) for name, x in outputs.items()}
    return _needed(inputs, found, calls, state)


def run(
    function: Callable[..., Any], batch: Mapping[str, NDArray]
) -> tuple[list[tuple[Any, ...]], dict[str, NDArray], dict[str, NDArray]]:
    """Run a function on a batch: its operations, its inputs and its outputs.

    Floats are tracked, so that code which would leave the graph is told.
    """
    recorder = _Recorder()
    tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in batch.values()]
    mode = evaluating(function) if isinstance(function, Module) else nullcontext()
    with enable_grad(), np.errstate(all="ignore"), _set(WATCH, recorder), mode:
        result = function(*tensors)
    named = result.items() if isinstance(result, dict) else enumerate(leaves(result))
    outputs = {
        f"output_{name}" if isinstance(name, int) else str(name): x for name, x in named if x is not None
    }
    if len(outputs) == 1:
        outputs = {"output": next(iter(outputs.values()))}
    arrays = {name: x._array if isinstance(x, Tensor) else np.asarray(x) for name, x in outputs.items()}
    return recorder.calls, {name: x._array for name, x in zip(batch, tensors, strict=True)}, arrays


def _place(noted: tuple[Any, ...]) -> str:
    return Call(noted[0], [], {}, [], noted[4], noted[5]).place


def _key(x: Any) -> Any:
    """What two views of the same numbers have in common; None for what has no memory of its own."""
    if not isinstance(x, np.ndarray):
        return None
    return x.__array_interface__["data"][0] if x.size else id(x), x.shape, x.strides, x.dtype.str


def _operands(x: Any, y: Any, operand: Callable[..., Operand]) -> Any:
    if x is None:
        return None
    if isinstance(x, (tuple, list)):
        return [_operands(a, b, operand) for a, b in zip(x, y, strict=True)]
    return operand((x, y))


def _merged(x: Any, y: Any) -> Any:
    """A setting, with a Size for each number that depends on the batch.

    Raises
    ------
    ValueError
        If it differs otherwise.
    """
    if isinstance(x, (tuple, list)):
        return type(x)(map(_merged, x, y))
    if isinstance(x, slice):
        return slice(*map(_merged, (x.start, x.stop, x.step), (y.start, y.stop, y.step)))
    if x is y or (type(x) is type(y) and np.array_equal(x, y)):
        return x
    if isinstance(x, (int, np.integer)) and isinstance(y, (int, np.integer)):
        return Size.of(int(x), int(y))
    raise ValueError(f"{quote(x)} for one batch and {quote(y)} for another")


def _needed(
    inputs: dict[str, Operand], outputs: dict[str, Operand], calls: list[Call], state: Mapping[str, Tensor]
) -> Recorded:
    """Leave out what the outputs do not depend on."""
    needed = {id(x) for x in outputs.values()}
    kept = []
    for call in reversed(calls):
        if any(id(x) in needed for x in call.results):
            kept.append(call)
            needed.update(id(x) for x in call.operands)
    kept.reverse()
    used = {x.name: x for call in kept for x in call.operands if x.name in state}
    return Recorded(inputs, outputs, kept, used)
