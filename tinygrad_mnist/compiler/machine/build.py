"""Machine code from the pieces of a program; repeated pieces are compiled once.

A deep network does the same in every layer, with other arrays. Such pieces become functions of pointers, and a
table lists which function runs on which arrays. The other pieces are written one after the other into one
function, which runs rows of the table at their places.
"""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ...graph import COUNTS
from ..program import Input, Op
from ..source.text import Source
from .addresses import Address
from .calls import Call, StoppedError, function_of
from .pieces import Piece

__all__ = ["Draw", "Machine", "build", "memory_of"]

#: A piece that occurs this often becomes a function.
OFTEN = 3
#: The largest number of pieces in one function: its compile time grows with the square of its length.
MOST_PIECES = 40


class Draw(NamedTuple):
    """Random numbers, and the array from which the machine code reads them."""

    op: Op
    draw: Callable[..., Any]
    name: str


class Machine(NamedTuple):
    """A program in the form for machine code.

    Attributes
    ----------
    first : the initial tests
    numbers : Python numbers that are needed in memory, each with its formula
    pieces : the code, one group after the other
    made : the arrays that are made in each call, by name
    returned : the results: a new array, or a single number read from its place
    given : arrays that are passed once, by their names in the text
    sizes : the number of elements of memory for each dtype
    draws : the random numbers to draw before each call, in this order
    bounds : code that renews the bounds of matrices if something else has written into Tensors
    calls : what is left to NumPy
    """

    first: list[str]
    numbers: list[tuple[Address, str]]
    pieces: list[Piece]
    made: list[str]
    returned: list[str]
    given: dict[str, np.ndarray]
    sizes: dict[str, int]
    draws: list[Draw]
    bounds: list[str]
    calls: list[Call]


def build(source: Source, machine: Machine) -> Callable[..., Any]:
    """Compile a program, and wrap the result."""
    import numba

    from .intrinsics import FAST, run_of

    memory = memory_of(machine.sizes)
    arrays = {**machine.given, **memory}
    shared = _Shared(machine.pieces, arrays)
    arrays["table"] = shared.table
    text = _text(source, machine, shared, arrays)
    namespace: dict[str, Any] = {**_names(), "run": run_of(shared.width), **_types()}
    errors: list[BaseException] = []
    namespace |= {"call_numpy": function_of(machine.calls, arrays, errors), "StoppedError": StoppedError}
    exec(compile(text, "<machine code by tinygrad_mnist>", "exec"), namespace)
    kinds: list[Any] = []
    for op in source.arguments:
        if op.dtype is None:
            kinds.append(numba.int64 if isinstance(op, Input) and op.kind == "step" else numba.float64)
        else:
            kinds.append(_any_array(op.dtype, op.ndim))
    if machine.bounds:
        kinds.append(numba.int64)
    with _without_collecting():
        made = numba.njit(tuple(kinds), **{**FAST, "no_cfunc_wrapper": True})(namespace["machine"])
    return _wrapped(source, made, arrays, machine, (shared, namespace), errors)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Pause Python's garbage collection: a compiler makes many lasting objects, and each collection costs more."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def memory_of(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Make the memory for results, by its name in the text."""
    return {f"memory_{name}": _aligned(np.dtype(name), size) for name, size in sizes.items()}


def _text(source: Source, machine: Machine, shared: _Shared, arrays: dict[str, np.ndarray]) -> str:
    """Write the function that does everything in order; it contains the addresses of the arrays passed once."""
    lines = [f"{name} = lies_at({_address_of(x)}, {_kind(x.dtype)})" for name, x in arrays.items() if x.size]
    lines += [*machine.first, *machine.bounds]
    lines += [f"poke({place.array}, {place.start}, {formula})" for place, formula in machine.numbers]
    rows: list[int] = []
    for i, piece in enumerate([*machine.pieces, Piece()]):
        row = shared.rows.get(i)
        if row is not None:
            rows.append(row)
            continue
        if rows:
            lines.append(f"run(table, {rows[0]}, {rows[-1] + 1})")
            rows = []
        lines += piece.inline(i)
    names = [f"a{i}" for i in range(len(source.arguments))]
    return "\n".join(
        [
            f"def machine({', '.join([*names, *(['writes'] if machine.bounds else [])])}):",
            *(f"    {line}" for line in lines),
            f"    return {', '.join(machine.made) or 'None'}",
            "",
        ]
    )


class _Shared:
    """The pieces that are functions, and the table of their calls; each row has a function and its arrays."""

    def __init__(self, pieces: list[Piece], arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.names = _names()
        self.rows: dict[int, int] = {}  # by the number of the piece
        self.functions: dict[Any, Any] = {}
        keys = {i: key for i, piece in enumerate(pieces) if (key := self._key(piece)) is not None}
        often = Counter(keys.values())
        if sum(n for n in often.values() if n < OFTEN) <= MOST_PIECES:
            keys = {i: key for i, key in keys.items() if often[key] >= OFTEN}
        self.width = 1 + max((len(pieces[i].starts) for i in keys), default=0)
        calls = [self._call(pieces[i], key) for i, key in keys.items()]
        self.rows = {i: row for row, i in enumerate(keys)}
        self.table = np.array([call + [0] * (self.width - len(call)) for call in calls], np.int64).reshape(-1)

    def _key(self, piece: Piece) -> Any:
        """The key of a piece: pieces with equal keys can share a function; their arrays have fixed places."""
        is_fixed = all(name in self.arrays for name, _ in piece.starts)
        if not piece.lines or not is_fixed or any("raise" in line for line in piece.lines):
            return None
        places = list(piece.touched)
        is_apart = all(
            (p.array, p.start) == (q.array, q.start) or not p.overlaps(q)
            for i, p in enumerate(places)
            for q in places[:i]
        )
        return tuple(piece.lines), tuple(self.arrays[name].dtype for name, _ in piece.starts), is_apart

    def _call(self, piece: Piece, key: Any) -> list[int]:
        if key not in self.functions:
            self.functions[key] = self._compiled(*key)
        starts = [
            _address_of(self.arrays[name]) + start * self.arrays[name].itemsize
            for name, start in piece.starts
        ]
        return [self.functions[key].address, *starts]

    def _compiled(self, lines: tuple[str, ...], dtypes: tuple[Any, ...], is_apart: bool) -> Any:
        import numba
        from numba import types

        from .intrinsics import FAST, Apart

        names = [f"p{i}" for i in range(self.width - 1)]
        body = [re.sub(r"@(\d+), ", r"p\1, ", line) for line in lines]
        text = "\n".join([f"def piece({', '.join(names)}):", *(f"    {line}" for line in body), ""])
        namespace: dict[str, Any] = {**self.names, **_types()}
        exec(compile(text, "<machine code by tinygrad_mnist>", "exec"), namespace)
        pointer: Any = types.CPointer
        kinds: list[Any] = [pointer(numba.from_dtype(dtype)) for dtype in dtypes]
        kinds += [types.voidptr] * (self.width - 1 - len(kinds))
        options = {**FAST, "pipeline_class": Apart} if is_apart else FAST
        return numba.cfunc(types.void(*kinds), **options)(namespace["piece"])


def _names() -> dict[str, Any]:
    """The names that the text refers to."""
    from . import images, intrinsics, rows

    return {**intrinsics.NAMES, **images.KERNELS, **rows.KERNELS}


def _kind(dtype: np.dtype) -> str:
    """Name one of numba's types for the text."""
    return "boolean" if dtype.kind == "b" else dtype.name


def _types() -> dict[str, Any]:
    """Numba's types, with which the text converts numbers."""
    import numba

    names = "boolean int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64"
    return {t: getattr(numba.types, t) for t in names.split()}


def _any_array(dtype: Any, ndim: int) -> Any:
    """Numba's type of arrays in any layout: the places of their elements are known here, or tested."""
    import numba

    return numba.types.Array(numba.from_dtype(dtype), ndim, "A" if ndim else "C")


def _wrapped(
    source: Source,
    compiled: Any,
    arrays: dict[str, np.ndarray],
    machine: Machine,
    keep: Any,
    errors: list[BaseException],
) -> Callable[..., Any]:
    """Make the step: arguments with an unexpected memory layout are copied, and scalars get their dtype."""
    (made,) = compiled.overloads.values()
    arguments = list(enumerate(source.arguments))
    given = [f"asarray(a{i})" if op.dtype is not None and not op.ndim else f"a{i}" for i, op in arguments]
    copied = [f"a{i}" if op.dtype is None else f"array(a{i}, order='C')" for i, op in arguments]
    more = ["COUNTS.writes"] if machine.bounds else []
    received = f"{', '.join(machine.made)} = " if machine.made else ""
    drawing = [f"    draw_{draw.name}({draw.name})\n" for draw in machine.draws]
    text = f"""
def step({", ".join(f"a{i}" for i, _ in arguments)}):
{"".join(drawing)}    try:
        try:
            {received}machine({", ".join([*given, *more])})
        except TypeError:
            {received}machine({", ".join([*copied, *more])})
    except StoppedError:
        raise errors.pop()
    except SystemError as error:
        raise cause_of(error)
    return {", ".join(machine.returned) or None}
"""
    # The dispatcher would check the types of the arguments again; its only function does not.
    namespace: dict[str, Any] = {"machine": made.entry_point, "asarray": np.asarray, "array": np.array}
    namespace |= {"cause_of": _cause_of, "keep": (compiled, keep), "COUNTS": COUNTS, **arrays}
    namespace |= {"StoppedError": StoppedError, "errors": errors}
    namespace |= {f"draw_{draw.name}": _drawing(draw) for draw in machine.draws}
    exec(text, namespace)
    step: Callable[..., Any] = namespace["step"]
    return step


def _cause_of(error: BaseException) -> BaseException:
    """Find the error that numba wraps: a Ctrl-C during machine code arrives while results become Python objects."""
    while isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _drawing(draw: Draw) -> Callable[[np.ndarray], None]:
    """Draw into an array, like the program of NumPy calls."""
    op, drawn = draw.op, draw.draw
    if op.takes_out:
        dtype = op.dtype.type
        return lambda out: drawn(None, dtype, out)

    def into(out: np.ndarray) -> None:
        out[...] = drawn(*op.args[2:], **op.settings)

    return into


def _aligned(dtype: np.dtype, size: int) -> np.ndarray:
    """Allocate memory that starts at a line of the processor's cache."""
    line = 64 // dtype.itemsize
    whole = np.zeros(size + line + 1, dtype)
    start = (-_address_of(whole) % 64) // dtype.itemsize
    return whole[start : start + size]


def _address_of(array: np.ndarray) -> int:
    """Return the address of an array's first element."""
    address: int = array.__array_interface__["data"][0]
    return address
