"""Programs as machine code: the second back end of ``tg.compile``.

:func:`load` writes a program as one function of loops and products, which numba compiles: one call, in which
chains of elementwise operations are one loop each. Where a program holds something that has no machine code
here, it runs as NumPy's calls, and a warning says so. Random numbers are drawn before it runs, by their Generator.

Results are NumPy's up to rounding: sums are taken in another order. One thing differs: where a vector is
multiplied by a matrix, or the product of a column and a row is subtracted from one, numbers that are zero are
skipped with the rows they meet, and so an infinity in such a row is not noticed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...errors import require
from ..memory import has_out
from ..program import Op, Program, inputs_of
from ..rewrite.builder import replaced
from ..source.text import Source
from .addresses import Place, Places
from .formulas import type_of
from .groups import NoMachineCodeError, base_of, grouped
from .nests import contiguous
from .text import Writer

__all__ = ["load", "text_of"]


def require_packages() -> None:
    """Import what machine code needs, or say how to install it."""
    require("numba", extra="fast", purpose="compile(backend='numba')")


def load(source: Source, arrays: dict[str, Any]) -> Callable[..., Any]:
    """Make machine code of a program, or NumPy's calls where that cannot be done."""
    require_packages()
    from ..compiled import run_source

    try:
        return _compiled(source, *text_of(source, arrays))
    except (NoMachineCodeError, _numba_errors()) as reason:
        warnings.warn(
            f"compile: there is no machine code for {reason}, which this function uses; it runs with "
            "backend='numpy' instead",
            UserWarning,
            stacklevel=5,
        )
        return run_source(source, arrays)


def _numba_errors() -> type[Exception]:
    """What numba raises where it cannot compile a text."""
    from numba.core.errors import NumbaError

    error: type[Exception] = NumbaError
    return error


class Draw(NamedTuple):
    """Random numbers, and the array that the machine code finds them in."""

    op: Op
    draw: Callable[..., Any]
    name: str


def text_of(
    source: Source, arrays: dict[str, Any]
) -> tuple[str, dict[str, np.ndarray], dict[str, int], list[Draw]]:
    """Write a program down.

    Returns
    -------
    text : str
        A function ``machine`` of the program's arguments, the given arrays, and memory for results.
    given : dict
        The given arrays, by their names in the text.
    sizes : dict
        How many elements of each dtype are needed as memory.
    draws : list
        What has to be drawn before each call, in this order.
    """
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
    extra: dict[str, np.ndarray] = {}
    known = {op: arrays[name] for name, op in source.given.items()}
    draws: list[Draw] = []
    for op, drawing in drawn.items():
        rng = known.get(drawing.args[0])
        if rng is None or any(isinstance(arg, Op) for arg in list(inputs_of(drawing))[1:]):
            raise NoMachineCodeError(
                "random numbers from a Generator that is an argument, or depending on one"
            )
        draws.append(Draw(drawing, getattr(rng, drawing.args[1]), f"g{len(draws)}"))
        array = np.empty(op.shape, op.dtype)
        extra[draws[-1].name], given[op] = array, (draws[-1].name, array)
    known |= {op: op.settings["value"] for op in program.ops if op.function == "constant"}
    used = {base_of(arg) for op in program.ops for arg in _arguments(op)} | {
        base_of(r) for r in program.results
    }
    used |= {base_of(store.target) for store in program.stores} | {base_of(s.value) for s in program.stores}
    for op, array in known.items():
        if op in used:
            if not isinstance(array, np.ndarray):
                raise NoMachineCodeError(f"a {type(array).__name__}")
            name = f"g{len(extra)}"
            extra[name], given[op] = array, (name, array)
    places = Places(found, given)
    writer = Writer(found, places, names)
    _check_order(writer)
    for i, group in enumerate(found.groups):
        writer.write(group, i)
    for store in program.stores:
        if store.value not in found.direct:
            writer.copy(store.value, places.of(store.target))
    returned = [_result(writer, op) for op in program.results]
    memory = [f"memory_{name}" for name in places.sizes]
    lines = [
        f"def machine({', '.join([*names.values(), *extra, *memory])}):",
        *_layout_tests(source, names),
        *(
            f"    {name} = {type_of(dtype)}({writer.expression(op)})"
            for (op, dtype), name in writer.numbers.items()
        ),
        *(f"    {line}" for line in writer.lines),
        f"    return {', '.join(returned) or 'None'}",
    ]
    return "\n".join([*lines, ""]), extra, places.sizes, draws


def _drawn_before(program: Program) -> tuple[dict[Op, Op], Program]:
    """Put an input in the place of all that is drawn; the first result has the drawing behind each."""
    drawn = {
        Op("input", (), {"name": f"drawn_{i}"}, op.shape, op.dtype, op.place): op
        for i, op in enumerate(op for op in program.ops if op.function == "draw")
    }
    if not drawn:
        return drawn, program
    if any(op.dtype is None for op in drawn):
        raise NoMachineCodeError("a single random number")
    return drawn, replaced(program, {op: given for given, op in drawn.items()})


def _arguments(op: Op) -> list[Op]:
    return [arg for arg in op.args if isinstance(arg, Op)] + (list(op.args) if op.function == "join" else [])


def _check_order(writer: Writer) -> None:
    """Refuse programs in which something would be read after it has been overwritten."""
    found, written = writer.found, list[Place]()
    changed = {base_of(store.target) for store in found.program.stores}
    stored_inputs = [s for s in found.program.stores if base_of(s.value).function == "input"]
    if stored_inputs or any(base_of(op) in changed for op in found.program.results):
        raise NoMachineCodeError("a result that is a parameter")
    for group in found.groups:
        own = [writer.places.of(found.direct[op]) for op in group.ops if op in found.direct]
        for op in group.ops:
            for arg in _arguments(op):
                if (
                    arg.dtype is None
                    or base_of(arg).function != "input"
                    or (op.function == "product" and arg is op.args[0])
                ):
                    continue
                place = writer.places.of(arg)
                mixed = any(place.overlaps(other) and place != other for other in own)
                if mixed or any(place.overlaps(other) for other in written):
                    raise NoMachineCodeError("an update that reads what it has overwritten")
        written += own


def _layout_tests(source: Source, names: dict[Op, str]) -> list[str]:
    """Make sure that arguments lie in memory as the text takes them to."""
    tests = []
    for op in source.arguments:
        if op.dtype is None:
            continue
        step = op.dtype.itemsize
        for axis in reversed(range(op.ndim)):
            if op.shape[axis] != 1:
                tests.append(f"{names[op]}.strides[{axis}] != {step}")
            step *= op.shape[axis]
    return [f"    if {' or '.join(tests)}:", '        raise TypeError("layout")'] if tests else []


def _result(writer: Writer, op: Op) -> str:
    """Copy a result into an array of its own."""
    if not op.ndim:
        return writer.whole(op, op.dtype)
    name = writer.name("r")
    shape = ", ".join(map(str, op.shape))
    writer.lines.append(f"{name} = np.empty(({shape},), np.{op.dtype.type.__name__})")
    writer.copy(op, Place(name, 0, op.shape, contiguous(op.shape)))
    return name


def _compiled(
    source: Source, text: str, given: dict[str, np.ndarray], sizes: dict[str, int], draws: list[Draw]
) -> Callable[..., Any]:
    """Compile a text, and wrap what comes of it."""
    import numba

    from .intrinsics import FAST, NAMES

    types = {t: getattr(numba.types, t) for t in ("float32", "float64", *_INTEGERS)}
    namespace: dict[str, Any] = {**NAMES, **types}
    exec(compile(text, "<machine code by tinygrad_mnist>", "exec"), namespace)
    memory = [_aligned(np.dtype(name), size) for name, size in sizes.items()]
    kinds: list[Any] = []
    for op in source.arguments:
        if op.dtype is None:
            kinds.append(numba.int64 if op.settings["name"].startswith("step") else numba.float64)
        else:
            kinds.append(_any_array(op.dtype, op.ndim))
    kinds += [_any_array(a.dtype, a.ndim) for a in given.values()]
    kinds += [numba.types.Array(numba.from_dtype(a.dtype), 1, "C") for a in memory]
    machine = numba.njit(tuple(kinds), **FAST)(namespace["machine"])
    return _wrapped(source, machine, [*given.values(), *memory], draws)


def _any_array(dtype: Any, ndim: int) -> Any:
    """Numba's type of arrays in any layout: where their elements lie is known here, or tested."""
    import numba

    return numba.types.Array(numba.from_dtype(dtype), ndim, "A" if ndim else "C")


_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _wrapped(source: Source, machine: Any, rest: list[np.ndarray], draws: list[Draw]) -> Callable[..., Any]:
    """Make the step: arguments that do not lie in memory as expected are copied, scalars get their dtype."""
    (made,) = machine.overloads.values()
    names = [f"a{i}" for i in range(len(source.arguments))]
    given = [
        f"asarray({n})" if op.dtype is not None and not op.ndim else n
        for n, op in zip(names, source.arguments, strict=True)
    ]
    orderly = [
        n if op.dtype is None else f"ascontiguousarray({n}).reshape({op.shape})"
        for n, op in zip(names, source.arguments, strict=True)
    ]
    more = [f"g{i}" for i in range(len(rest))]
    results = source.program.results
    out = "result"
    if len(results) == 1 and not results[0].ndim:
        out = f"as_{type_of(results[0].dtype)}(result)"
    elif len(results) > 1:
        out = ", ".join(
            f"result[{i}]" if op.ndim else f"as_{type_of(op.dtype)}(result[{i}])"
            for i, op in enumerate(results)
        )
    drawing = [f"    draw_{draw.name}({draw.name})\n" for draw in draws]
    text = f"""
def step({", ".join(names)}):
{"".join(drawing)}    try:
        result = machine({", ".join([*given, *more])})
    except TypeError:
        result = machine({", ".join([*orderly, *more])})
    return {out}
"""
    # The dispatcher would look at the types of the arguments once more: its only function does not.
    namespace: dict[str, Any] = {"machine": made.entry_point, "asarray": np.asarray, "keep": machine}
    namespace |= {"ascontiguousarray": np.ascontiguousarray, **dict(zip(more, rest, strict=True))}
    namespace |= {f"as_{type_of(op.dtype)}": np.dtype(op.dtype).type for op in results if not op.ndim}
    namespace |= {f"draw_{draw.name}": _drawing(draw) for draw in draws}
    exec(text, namespace)
    step: Callable[..., Any] = namespace["step"]
    return step


def _drawing(draw: Draw) -> Callable[[np.ndarray], None]:
    """Draw into an array, as the program of NumPy's calls would."""
    op, drawn = draw.op, draw.draw
    if has_out(op):
        dtype = op.dtype.type
        return lambda out: drawn(None, dtype, out)

    def into(out: np.ndarray) -> None:
        out[...] = drawn(*op.args[2:], **op.settings)

    return into


def _aligned(dtype: np.dtype, size: int) -> np.ndarray:
    """Memory that begins with a line of the processor's cache."""
    line = 64 // dtype.itemsize
    whole = np.zeros(size + line + 1, dtype)
    start = (-whole.__array_interface__["data"][0] % 64) // dtype.itemsize
    return whole[start : start + size]
