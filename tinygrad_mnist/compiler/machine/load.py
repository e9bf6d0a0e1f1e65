"""Programs as machine code: the second back end of ``tg.compile``.

:func:`load` writes a program as loops and products, which numba compiles into one call; chains of elementwise
operations become single loops. What has no machine code is left to NumPy, operation by operation (``calls``). If that
is not possible, the whole program runs as NumPy calls, and a warning says so. Generators draw before the program runs.

Results are NumPy's up to rounding, because sums are computed in a different order.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import require
from ..instructions import as_array, draw
from ..program import Constant, Input, Op, Program, inputs_of
from ..rewrite.builder import replaced
from ..source.run import run_source
from ..source.text import Source
from .addresses import Address, Addresses
from .build import Draw, Machine, build
from .formulas import type_of
from .groups import NoMachineCodeError, base_of, grouped, rule_of
from .nests import contiguous
from .text import Writer, expression

__all__ = ["load", "machine_of"]


def require_packages() -> None:
    """Import the packages for machine code, or say how to install them."""
    require("numba", extra="fast", purpose="compile(backend='numba')")


def load(source: Source, arrays: dict[str, Any]) -> Callable[..., Any]:
    """Compile a program to machine code, or to NumPy calls if that is not possible."""
    require_packages()
    try:
        return build(source, machine_of(source, arrays))
    except (NoMachineCodeError, _numba_errors()) as reason:
        warnings.warn(
            f"compile: there is no machine code for {reason}, which this function uses; it runs with "
            "backend='numpy' instead",
            UserWarning,
            stacklevel=5,
        )
        return run_source(source, arrays)


def _numba_errors() -> type[Exception]:
    """The errors that numba raises if it cannot compile a text."""
    from numba.core.errors import NumbaError

    error: type[Exception] = NumbaError
    return error


def machine_of(source: Source, arrays: dict[str, Any]) -> Machine:
    """Write a program for machine code."""
    drawn, program = _drawn_before(source.program)
    found = grouped(program)
    program = found.program
    if any(op.size == 0 for op in (*program.inputs, *program.ops)):
        raise NoMachineCodeError("arrays without elements")
    for op in (*program.inputs, *program.ops):
        if op.dtype is not None:
            type_of(op.dtype)
    names = {op: f"a{i}" for i, op in enumerate(source.arguments)}
    given = {op: (names[op], np.empty(op.shape, op.dtype)) for op in source.arguments if op.dtype is not None}
    known = {op: arrays[name] for name, op in source.given.items()}
    draws = [_draw(op, drawing, known, f"g{i}") for i, (op, drawing) in enumerate(drawn.items())]
    extra = {draw.name: np.empty(draw.op.shape, draw.op.dtype) for draw in draws}
    given |= {op: (draw.name, extra[draw.name]) for op, draw in zip(drawn, draws, strict=True)}
    known |= {op: op.value for op in program.ops if isinstance(op, Constant)}
    used = {base_of(arg) for op in program.ops for arg in inputs_of(op)} | set(map(base_of, program.results))
    used |= {base_of(op) for store in program.stores for op in (store.target, store.value)}
    for op, array in known.items():
        if op in used:
            if not isinstance(array, np.ndarray) or not array.flags.aligned:
                raise NoMachineCodeError(f"a {type(array).__name__} of this kind")
            name = f"g{len(extra)}"
            extra[name], given[op] = array, (name, array)
    places = Addresses(found, given)
    _check_order(program, places)
    written = {given[base_of(store.target)][0] for store in program.stores}
    _check_apart(extra, written)

    writer = Writer(found, places)
    for i, group in enumerate(found.groups):
        writer.write(group, i)
    bounds = _bounds(writer)
    writer.begin()
    for store in program.stores:
        if store.value not in found.direct:
            writer.copy(store.value, places.of(store.target))
    writer.begin()
    returned = [_result(writer, op, i) for i, op in enumerate(program.results)]
    numbers = [(places.of(op), expression(op, names)) for op in places.numbers]
    first = _layout_tests(source, names)
    made = [text for op, text in zip(program.results, returned, strict=True) if op.ndim]
    return Machine(
        first, numbers, writer.pieces, made, returned, extra, places.sizes, draws, bounds, writer.calls
    )  # fmt: skip


def _bounds(writer: Writer) -> list[str]:
    """Write the code that bounds the elements of some matrices if they may have changed since the last call."""
    if not writer.bounds:
        return []
    seen = writer.places.lasting(np.int64)
    now, at = "writes + 2", f"{seen.array}, {seen.start}"  # it is zero at first
    lines = [f"if not 0 <= {now} - peek({at}) <= 1:"]
    for matrix, bound in writer.bounds.items():
        whole = f"peek({matrix.array}, {matrix.start} + i)"
        lines += [
            "    size = 0.0",
            f"    for i in range({math.prod(matrix.shape)}):",
            f"        size = add_freely(size, float64(abs({whole})))",
            f"    poke({bound.array}, {bound.start}, size)",
        ]
    return [*lines, f"poke({at}, {now})"]


def _drawn_before(program: Program) -> tuple[dict[Op, Op], Program]:
    """Replace all draws by inputs; the first result maps each input to its draw."""
    drawn: dict[Op, Op] = {
        Input(f"drawn_{i}", op.shape, op.dtype, place=op.place): op
        for i, op in enumerate(op for op in program.ops if op.instruction is draw)
    }
    if not drawn:
        return {}, program
    if any(op.dtype is None for op in drawn):
        raise NoMachineCodeError("a single random number")
    return drawn, replaced(program, {op: given for given, op in drawn.items()})


def _draw(given: Op, op: Op, known: dict[Op, Any], name: str) -> Draw:
    rng = known.get(op.args[0])
    if rng is None or any(isinstance(arg, Op) for arg in list(inputs_of(op))[1:]):
        raise NoMachineCodeError("random numbers from a Generator that is an argument, or depending on one")
    return Draw(op, getattr(rng, op.args[1]), name)


def _check_order(program: Program, places: Addresses) -> None:
    """Refuse programs in which something would be read after it has been overwritten."""
    found, written = places.found, list[Address]()
    changed = {base_of(store.target) for store in program.stores}
    stored_inputs = [s for s in program.stores if isinstance(base_of(s.value), Input)]
    if stored_inputs or any(base_of(op) in changed for op in program.results):
        raise NoMachineCodeError("a result that is a parameter")
    if any(places.given[op][0].startswith("a") for op in changed):
        raise NoMachineCodeError("an argument that is written into")
    for group in found.groups:
        own = [places.of(found.direct[op]) for op in group.ops if op in found.direct]
        for op in group.ops:
            for arg in inputs_of(op):
                is_target = rule_of(op) == "update" and arg is op.args[0]
                if arg.dtype is None or not isinstance(base_of(arg), Input) or is_target:
                    continue
                place = places.of(arg)
                mixed = any(place.overlaps(other) and place != other for other in own)
                if mixed or any(place.overlaps(other) for other in written):
                    raise NoMachineCodeError("an update that reads what it has overwritten")
        written += own


def _check_apart(arrays: dict[str, np.ndarray], written: set[str]) -> None:
    """Refuse arrays with two names if one of them is written."""
    for name in written:
        for other, array in arrays.items():
            if other != name and np.may_share_memory(arrays[name], array):
                raise NoMachineCodeError("an array that shares memory with one that is written")


def _layout_tests(source: Source, names: dict[Op, str]) -> list[str]:
    """Check that arguments have the memory layout that the text assumes; ``guards`` check the addresses."""
    tests = []
    for op in source.arguments:
        if op.dtype is None:
            continue
        name, step = names[op], op.dtype.itemsize
        if step > 1:
            tests.append(f"address({name}) % {step} != 0")
        for axis in reversed(range(op.ndim)):
            if op.shape[axis] != 1:
                tests.append(f"{name}.strides[{axis}] != {step}")
            step *= op.shape[axis]
    return [f"if {' or '.join(tests)}:", '    raise TypeError("layout")'] if tests else []


def _result(writer: Writer, op: Op, i: int) -> str:
    """Copy a result into its own array; a single number is read from its place."""
    if op.dtype is None:
        raise NoMachineCodeError("a result that is a Python number")
    if not op.ndim:
        place = writer.places.lasting(op.dtype)
        writer.copy(op, place)
        number = f"{place.array}[{place.start}]"
        return f"array({number})" if op.instruction is as_array or isinstance(op, Constant) else number
    shape = ", ".join(map(str, op.shape))
    writer.lines.append(f"r{i} = np.empty(({shape},), np.{op.dtype.type.__name__})")
    writer.copy(op, Address(f"r{i}", 0, op.shape, contiguous(op.shape)))
    return f"r{i}"
