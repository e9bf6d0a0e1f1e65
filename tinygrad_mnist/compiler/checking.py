"""``tg.compile(..., check=True)``: the uncompiled function runs next to the program, and every call compares them.

Everything that a call may change (parameters and their optimizer state, buffers, Generators, arguments) is saved
before the call, so that both start from the same state. Where the two differ, :meth:`Checker.find` searches for the
first operation that differs: it compiles the beginning of the traced program, and bisects.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import CompileError
from ..optim import Optimizer
from ..tensor import Tensor
from ..transforms.call import named
from ..trees import leaves
from .guards import Entry
from .pipeline import write_down
from .program import Input, Op, Program, evaluate
from .source.driver import Loader, loaded
from .trace.step import Recorded
from .uncompiled import Uncompiled

__all__ = ["Checker", "difference"]

#: The tolerated difference, relative to the largest number: sums are computed in a different order.
TOLERANCE = {"e": 1e-2, "f": 1e-4, "d": 1e-10, "F": 1e-4, "D": 1e-10}


def difference(got: Any, expected: Any) -> str:
    """Say how two arrays or numbers differ; ``""`` if they do not."""
    got, expected = (np.asarray(x.data if isinstance(x, Tensor) else x) for x in (got, expected))
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        return f"shape {got.shape} and dtype {got.dtype}, not {expected.shape} and {expected.dtype}"
    if expected.dtype.kind not in "fc":
        return "" if np.array_equal(got, expected) else f"{got!r}, not {expected!r}"
    rtol = TOLERANCE.get(expected.dtype.char, 1e-10)
    finite = np.abs(expected[np.isfinite(expected)])
    atol = rtol * float(finite.max(initial=0)) + float(np.finfo(expected.dtype).tiny)
    if np.allclose(got, expected, rtol, atol, equal_nan=True):
        return ""
    with np.errstate(all="ignore"):
        worst = np.unravel_index(np.nanargmax(np.nan_to_num(np.abs(got - expected), nan=np.inf)), got.shape)
    return f"{got[worst]} at {tuple(map(int, worst))}, not {expected[worst]}"


class State:
    """A copy of everything that a call may change."""

    def __init__(self, things: list[Any], optimizer: Optimizer | None) -> None:
        self.things = [x for x in things if isinstance(x, (np.ndarray, np.random.Generator))]
        self.values: list[Any] = [
            x.copy() if isinstance(x, np.ndarray) else copy.deepcopy(x.bit_generator.state)
            for x in self.things
        ]
        self.counts = [(state, state["step"]) for state in optimizer.state.values()] if optimizer else []

    def restore(self) -> None:
        """Put everything back."""
        for x, value in zip(self.things, self.values, strict=True):
            if isinstance(x, np.random.Generator):
                x.bit_generator.state = value
            elif x.flags.writeable:
                x[...] = value
        for state, count in self.counts:
            state["step"] = count

    def arrays(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The arrays, each with a copy of its old numbers."""
        pairs = zip(self.things, self.values, strict=True)
        return [(x, value) for x, value in pairs if isinstance(x, np.ndarray)]


class Checker:
    """Runs the uncompiled function next to the programs of a compiled one."""

    def __init__(
        self,
        function: Callable[..., Any],
        uncompiled: Uncompiled,
        load: Callable[[], Loader],
    ) -> None:
        self.function, self.uncompiled, self.load = function, uncompiled, load
        self.optimizer = uncompiled.optimizer
        self.args: Any = ()
        self.kwargs: Any = {}
        self.expected: Any = None
        self.after: State | None = None
        self.where: Callable[[], str] = str

    def call(self, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the program, and compare its results and changes."""
        self.args, self.kwargs, self.after = args, kwargs, None
        result = run(*args, **kwargs)
        if self.after is None:  # the function itself ran, and a warning said why
            return result
        for got, expected in zip(leaves(result), leaves(self.expected), strict=True):
            if isinstance(expected, (np.ndarray, np.generic, Tensor)) and (
                found := difference(got, expected)
            ):
                raise self.error(f"it returned {found}")
        for x, value in self.after.arrays():
            if found := difference(x, value):
                raise self.error(f"an array of shape {x.shape} that it may change was left as {found}")
        return result

    def attach(self, entry: Entry, recorded: Recorded) -> None:
        """Make the uncompiled function run whenever a program runs."""
        program = entry.program

        def checked(*given: Any) -> Any:
            passed = [x._array if isinstance(x, Tensor) else x for x in leaves([self.args, self.kwargs])]
            things = [*entry.arrays.values(), *passed, *given]
            before = State(things, self.optimizer)
            result = program(*given)
            after = State(things, self.optimizer)
            before.restore()
            self.expected = self.uncompiled(self.args, self.kwargs)
            self.after = State(things, None)
            after.restore()
            self.where = lambda: self.find(
                recorded, before, dict(zip(entry.source.arguments, given, strict=True))
            )
            return result

        entry.replace(checked)

    def error(self, what: str) -> CompileError:
        """Build the error for a program that does something different."""
        return CompileError(
            f"compile: check: the program of {named(self.function)} does not do what the function does: {what}. "
            f"{self.where()}"
        )

    def find(self, recorded: Recorded, before: State, given: Mapping[Op, Any]) -> str:
        """Name the first operation that differs."""
        values: dict[Op, Any] = dict(given)
        remembered = {id(x): value for x, value in zip(before.things, before.values, strict=True)}
        for op, x in recorded.given.items():
            values[op] = remembered.get(id(x), x)
        program = recorded.program
        values = {op: value for op, value in values.items() if isinstance(op, Input)}
        places = [i for i, op in enumerate(program.ops) if op.dtype is not None and not op.is_given]
        low, high = 0, len(places)
        while low < high:
            middle = (low + high) // 2
            if self.differs(program, places[: middle + 1], values, recorded.arguments):
                high = middle
            else:
                low = middle + 1
        if low == len(places):
            return "Each operation is right by itself; arrays that share memory are mixed up"
        op = program.ops[places[low]]
        where = f" ({op.place.line}: {op.place.text})" if op.place.line else ""
        return f"The first operation that differs is {op.instruction.name}{where}"

    def differs(
        self, program: Program, places: list[int], values: Mapping[Op, Any], arguments: list[Op]
    ) -> bool:
        """Whether the beginning of a program does something different when it is compiled."""
        ops = program.ops[: places[-1] + 1]
        part = replace(program, ops=ops, results=tuple(ops[i] for i in places), stores=())
        with np.errstate(all="ignore"):
            expected, _ = evaluate(part, copy.deepcopy(dict(values)) if _draws(values) else values)
            source = write_down(part, [op for op in arguments if op in values])
            arrays = {name: _copied(values[op]) for name, op in source.given.items()} | source.objects
            step = loaded(self.load(), source, arrays)
            got: Any = None
            with suppress(Exception):
                got = step(*(_copied(values[op]) for op in source.arguments))
        got = got if isinstance(got, tuple) else (got,)
        return len(got) != len(expected) or any(map(difference, got, expected))


def _draws(values: Mapping[Op, Any]) -> bool:
    return any(isinstance(value, np.random.Generator) for value in values.values())


def _copied(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else copy.deepcopy(x)
