"""Calls of NumPy from machine code: what has no machine code is left to NumPy, group by group.

A call is a small program of its own, with the text that a NumPy program has. It reads and writes the memory of the
machine code, where everything has a fixed address; arguments, which come from elsewhere, are copied there first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..instructions import as_array
from ..memory import Buffer, Plan, plan
from ..program import Constant, Input, Op, Program, Store
from ..source.run import run_source
from ..source.text import Source, write
from .addresses import Address
from .groups import Group, NoMachineCodeError, base_of
from .nests import contiguous

__all__ = ["Call", "StoppedError", "call_of", "function_of"]


class StoppedError(Exception):
    """A call of NumPy ended in an error."""


class Call(NamedTuple):
    """A program for NumPy, and what it reads and writes: each argument of the program, and its address."""

    source: Source
    operands: list[tuple[Op, Address]]


def call_of(writer: Any, group: Group, turn: int) -> Call:
    """Write a group as a program for NumPy; say in machine code what has to be copied for it."""
    new: dict[Op, Op] = {}
    operands: dict[Input, tuple[Op, Address]] = {}

    def given(op: Op, name: str, place: Address) -> Input:
        kind = op.kind if isinstance(op, Input) else "number" if op.is_number else "array"
        made = Input(f"{name}{len(operands)}", op.shape, op.dtype, kind)
        operands[made] = op, place
        return made

    def renewed(arg: Any) -> Any:
        if not isinstance(arg, Op) or isinstance(base_of(arg), Constant):
            return arg
        if arg not in new:
            is_inside = base_of(arg) in group.ops
            new[arg] = arg.with_args(renewed) if is_inside else given(arg, "x", _place(writer, arg, turn))
        return new[arg]

    for op in group.ops:
        new[op] = op.with_args(renewed)
    places = writer.places
    stored = [op for op in group.ops if op in places.stored or op in writer.found.direct]
    stores = tuple(Store(given(op, "out", places.of(op)), new[op]) for op in stored)
    ops = tuple(op for op in new.values() if op not in operands)
    program = Program(tuple(operands), ops, (), stores)
    return Call(write(program, _plan(program), list(operands)), list(operands.values()))


def _place(writer: Any, arg: Op, turn: int) -> Address:
    """The place of an argument in memory that stays."""
    if arg.dtype is None and not arg.is_number:
        raise NoMachineCodeError("several results at once")
    place: Address = writer.places.of(arg)
    if not place.array.startswith("a"):
        return place
    scratch = writer.places.scratch(turn, arg.dtype, arg.size)
    copied = Address(scratch.array, scratch.start, arg.shape, contiguous(arg.shape))
    writer.copy(arg, copied)
    return copied


def _plan(program: Program) -> Plan:
    """A single result is written where it has to be; several are written when all of them are there."""
    (op, *others), (store, *_) = program.ops, program.stores or [None]
    if store is None or others or not op.takes_out:
        return plan(program)
    out = Buffer(op.shape, op.dtype, input=store.target)
    return Plan({store.target: out, op: out}, [], {(op, i) for i in range(len(op.args))}, {})


class _Array:
    """A part of an array, for NumPy."""

    def __init__(self, array: np.ndarray, place: Address, dtype: Any) -> None:
        self.array, size = array, array.itemsize
        start = array.__array_interface__["data"][0] + place.start * size
        self.__array_interface__ = {
            "version": 3, "data": (start, False), "shape": place.shape, "typestr": np.dtype(dtype).str,
            "strides": tuple(step * size for step in place.steps),
        }  # fmt: skip


def function_of(calls: list[Call], arrays: dict[str, np.ndarray], errors: list[BaseException]) -> Any:
    """Make the function for machine code: it runs the call with this number, and returns whether it has failed."""
    steps = [_bound(call, arrays) for call in calls]

    def run(i: int) -> bool:
        try:
            steps[i]()
        except BaseException as error:
            errors.append(error)
            return True
        return False

    return ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_int64)(run)


def _bound(call: Call, arrays: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A call, with its arguments; those that are single numbers are read again each time."""
    step = run_source(call.source, call.source.objects)
    targets = {store.target for store in call.source.program.stores}
    reads = []
    for given, (op, place) in zip(call.source.arguments, call.operands, strict=True):
        array = arrays[place.array]
        found = np.asarray(_Array(array, place, array.dtype if op.dtype is None else op.dtype))
        is_array = (
            op.ndim or given in targets or op.instruction is as_array or (op.is_given and not op.is_number)
        )
        reads.append(partial(np.asarray, found) if is_array else partial(_number, op, found))
    if all(read.func is np.asarray for read in reads):
        return partial(step, *(read() for read in reads))
    return lambda: step(*(read() for read in reads))


def _number(op: Op, array: np.ndarray) -> Any:
    """A single number, as it is without machine code."""
    if op.dtype is not None:
        return array[()]
    return int(array) if isinstance(op, Input) and op.kind == "step" else float(array)
