"""The construction of one program from another: every operation is added again, and rules may replace it.

Operations are added to a :class:`Builder`. It knows the existing ones, so that nothing is computed twice, and asks
the rules of the function at hand for something better. A pass is then :func:`rebuilt` with its rules;
:func:`without_dead_code` removes what is no longer needed.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ..instructions import arithmetic, instruction_of
from ..program import NOWHERE, Constant, Input, Op, Program, Store, inputs_of, is_scalar

__all__ = ["Builder", "Rule", "rebuilt", "replaced", "without_dead_code"]

Rule = Callable[["Builder", Op], "Op | None"]
Rules = Mapping[Any, Sequence[Rule]]


class Builder:
    """The operations of a new program, each once.

    Attributes
    ----------
    ops : list of Op
    rules : mapping of functions to rules
        The rules for a NumPy function or an instruction of ours; the first one that returns something decides. Rules
        under ``np.ufunc`` apply to all elementwise functions.
    place
        The place of operations that a rule adds.
    is_exact : bool
        Whether the operation at hand must not be rounded differently: see :func:`_before_jumps`.
    """

    def __init__(self, rules: Rules = MappingProxyType({})) -> None:
        self.ops: list[Op] = []
        self.rules = {key if key is np.ufunc else instruction_of(key): found for key, found in rules.items()}
        self.place = NOWHERE
        self.is_exact = False
        self.notes: dict[str, Any] = {}
        self.uses: dict[Op, int] = {}  # how often the old program used the original of this
        self._known: dict[Any, Op] = {}

    def add(self, op: Op) -> Op:
        """Add an operation or its replacement by the rules, or find an existing one."""
        for rule in self.rules.get(np.ufunc, ()) if op.is_ufunc else ():
            if (better := rule(self, op)) is not None:
                return better
        for rule in self.rules.get(op.instruction, ()):
            if (better := rule(self, op)) is not None:
                return better
        key = _key(op)
        if key not in self._known or op.instruction.has_effect:
            self._known[key] = op
            self.ops.append(op)
        return self._known[key]

    def put(self, op: Op) -> Op:
        """Add an operation of the old program."""
        return self.add(op)

    def ufunc(self, function: Any, *args: Any) -> Op:
        """Add an elementwise operation; its shape and dtype are determined by its arguments."""
        if all(map(is_scalar, args)):
            raise TypeError(f"{function} of numbers")
        shape = np.broadcast_shapes(*(a.shape for a in args if isinstance(a, Op)))
        op = Op(instruction_of(function), tuple(args), {}, shape, None, self.place)
        op.dtype = op.loop[-1]
        return self.add(op)

    def call(self, function: Any, args: tuple[Any, ...], like: Op, settings: Any = None) -> Op:
        """Add an operation whose result has the shape, dtype and place of another."""
        return self.add(
            Op(instruction_of(function), args, settings or {}, like.shape, like.dtype, like.place)
        )

    def view(self, function: Any, x: Op, argument: Any, shape: tuple[int, ...]) -> Op:
        """Add an operation whose result is a view."""
        return self.add(Op(instruction_of(function), (x, argument), {}, shape, x.dtype, self.place))

    def transpose(self, x: Op, axes: tuple[int, ...] | None = None) -> Op:
        """Add a transposition."""
        axes = tuple(reversed(range(x.ndim))) if axes is None else axes
        return self.view(np.transpose, x, axes, tuple(x.shape[i] for i in axes))

    def reshape(self, x: Op, shape: tuple[int, ...]) -> Op:
        """Add a change of shape."""
        return self.view(np.reshape, x, shape, shape)

    def number(self, sign: str, *args: Any) -> Any:
        """Add an operation on Python numbers, or evaluate it."""
        if not any(isinstance(arg, Op) for arg in args):
            return arithmetic[sign].function(*args)
        return self.add(Op(arithmetic[sign], args, {}, (), None, self.place))

    def is_used_once(self, op: Op) -> bool:
        """Whether a single operation of the old program used this result."""
        return self.uses.get(op, 1) <= 1


def rebuilt(program: Program, rules: Rules = MappingProxyType({}), builder: Builder | None = None) -> Program:
    """Add all operations of a program to a new one, by rules or by a builder that does more."""
    counted = Counter(arg for op in program.ops for arg in inputs_of(op))
    counted.update(program.roots())
    builder = builder or Builder(rules)
    new: dict[Op, Op] = {}

    def changed(arg: Any) -> Any:
        return new.get(arg, arg) if isinstance(arg, Op) else arg

    exact = _before_jumps(program)
    for op in program.ops:
        builder.place, builder.is_exact = op.place, op in exact
        new[op] = added = builder.put(op.with_args(changed))
        builder.uses[added] = builder.uses.get(added, 0) + counted[op]
    return without_dead_code(
        replace(
            program,
            ops=tuple(builder.ops),
            results=tuple(changed(op) for op in program.results),
            stores=tuple(Store(s.target, changed(s.value)) for s in program.stores),
            notes={**program.notes, **builder.notes},
        )
    )


_DOUBLE = (np.dtype(np.float64), np.dtype(np.complex128))


def _before_jumps(program: Program) -> set[Op]:
    """Find operations whose results are rounded to integers, compared or counted: there, the last digit matters.

    ``np.floor(49 * (1 / 49))`` is 0. The last digit of a float32 is not the last one of the float64 that it becomes.
    Sums end the search: their last digits depend on the order anyway.
    """
    found: set[Op] = set()
    for op in reversed(program.ops):
        inputs = inputs_of(op)
        if op.jumps or (op in found and (op.is_elementwise or op.instruction.rearranges)):
            found.update(inputs)
        elif op.dtype in _DOUBLE:
            found.update(arg for arg in inputs if arg.dtype is not None and arg.dtype not in _DOUBLE)
    return found


def replaced(program: Program, new: Mapping[Op, Op], first: Sequence[Op] = ()) -> Program:
    """Replace some results by others; the old ones are no longer computed.

    The operations that compute the other results come ``first``, unless these are inputs.
    """
    made = dict(new)

    def changed(arg: Any) -> Any:
        return made.get(arg, arg) if isinstance(arg, Op) else arg

    ops = list(first)
    for op in program.ops:
        if op not in made:
            made[op] = op.with_args(changed)
            ops.append(made[op])
    gone = [op for op in program.inputs if op in new]
    given = [op for op in dict.fromkeys(new.values()) if isinstance(op, Input)]
    return replace(
        program,
        inputs=(*(op for op in program.inputs if op not in gone), *given),
        ops=tuple(ops),
        results=tuple(map(changed, program.results)),
        stores=tuple(Store(changed(store.target), changed(store.value)) for store in program.stores),
    )


def without_dead_code(program: Program) -> Program:
    """Remove operations on which nothing depends."""
    needed: set[Op] = set()
    waiting = list(program.roots())
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting.extend(inputs_of(op))
    return replace(program, ops=tuple(op for op in program.ops if op in needed))


#: Constants up to this many bytes are compared by content.
_COMPARED = 1 << 20


def _key(op: Op) -> Any:
    if isinstance(op, Constant):
        value = op.value
        content = value.tobytes() if value.nbytes <= _COMPARED else id(value)
        return "constant", value.dtype, value.shape, content
    settings = tuple((key, _key_of(arg)) for key, arg in sorted(op.settings.items()))
    return op.instruction, op.shape, op.dtype, _key_of(op.args), settings


def _key_of(arg: Any) -> Any:
    if isinstance(arg, Op):
        return arg
    if isinstance(arg, (tuple, list)):
        return type(arg), tuple(map(_key_of, arg))
    if isinstance(arg, slice):
        return slice, _key_of((arg.start, arg.stop, arg.step))
    if isinstance(arg, float):
        return float, struct.pack("d", arg)
    if isinstance(arg, complex):
        return complex, struct.pack("dd", arg.real, arg.imag)
    try:
        hash(arg)
    except TypeError:
        return id(arg)
    return type(arg), arg
