"""The result of a trace: a straight line of NumPy calls; each result has one name.

A :class:`Program` is a list of :class:`Op`. Each is one call of an :class:`Instruction` and stands for its
result, so an argument of a later call is simply an earlier ``Op``. Nothing is ever overwritten here: where the
traced code wrote in place, a new ``Op`` replaced the old one. Passes turn one program into another; ``memory``
decides at the very end which results share memory.

Everything known about an instruction is declared in ``instructions``, and nowhere else. Passes ask an ``Op``
(``op.is_view``, ``op.takes_out``, ``op.linear_in``); they do not compare names.
"""

from __future__ import annotations

import inspect
import keyword
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, reduce
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Constant",
    "Input",
    "Instruction",
    "Op",
    "Place",
    "Program",
    "Store",
    "evaluate",
    "inputs_of",
    "is_basic",
    "is_name",
    "is_scalar",
    "name_of",
    "swap",
    "take_name",
]

#: A fact about an instruction: the same for all calls, or a function of the call.
Fact = Any

#: Arrays with several axes and more elements than this are views of a single number if all elements are equal.
FEW = 4096


class Place(NamedTuple):
    """The origin of an operation in the user's program."""

    phase: str  # "forward", "backward", "update" or "parameter"
    scope: str  # the module, as in ``0.Linear``
    line: str  # ``model.py:12``
    text: str  # the text of the line


NOWHERE = Place("", "", "", "")


@dataclass(eq=False)
class Instruction:
    """The facts about one kind of call. A fact that depends on the call is a function of the ``Op``.

    Attributes
    ----------
    name : str
        Its name in NumPy's text and in messages: ``np.exp``, or ``add_along`` for one of ours.
    function : callable
        The function that computes it; ``None`` if nothing is computed.
    is_view : bool, or a fact
        Whether the result is a view of the first argument.
    is_new : bool, or a fact
        Whether the result has its own memory although the call has no ``out=``.
    rearranges : bool
        Whether the result has the elements of the arguments in another order or shape.
    is_elementwise : bool
        Whether each element of the result depends only on the elements at its place, with broadcasting.
    overwrites : tuple of int, or a fact
        The arguments whose memory the result may take.
    linear_in : tuple of int, or a fact
        The arguments which, if all are multiplied by a number, multiply the result by it.
    into : str, or a fact
        NumPy's text of the call, as a statement that puts the result into ``{out}``; ``""`` if there is none.
    expression : str, or a fact
        NumPy's text of the call, as an expression whose value is new; by default a call with all arguments.
    batch : str
        The rule for the batch axis; ``""`` if the batch must stay whole.
    machine : str or dict of str
        How machine code computes it: for elementwise functions, a formula for each kind of numbers; for others, a
        rule of ``machine``; ``""`` if it is left to NumPy.
    may_raise : bool, or a fact
        Whether it may raise an error that the uncompiled code raises too, even if the result is not needed.
    is_declared : bool
        Whether anything is known about it except the function.
    jumps : bool
        Whether numbers that differ by a rounding error may have results far apart, as with ``np.floor``.
    is_product, is_reduction, has_parts, has_effect, is_of_numbers, waits : bool
        A matrix product; a ufunc's ``reduce``; a vector made of its arguments, one after the other; it does
        something besides returning a value, in an order that must be kept; it is arithmetic of Python numbers;
        it is placed where its result is needed.
    """

    name: str
    function: Any
    is_view: Fact = False
    is_new: Fact = False
    may_raise: Fact = False
    is_declared: bool = True
    rearranges: bool = False
    is_elementwise: bool = False
    overwrites: Fact = ()
    linear_in: Fact = ()
    into: Fact = ""
    expression: Fact = "{function}({arguments})"
    batch: str = ""
    machine: Any = ""
    jumps: bool = False
    is_product: bool = False
    is_reduction: bool = False
    has_parts: bool = False
    has_effect: bool = False
    is_of_numbers: bool = False
    waits: bool = False

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments in templates."""
        try:
            return tuple(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            return ()

    @cached_property
    def is_ufunc(self) -> bool:
        """Whether the function is one of NumPy's universal functions."""
        return isinstance(self.function, np.ufunc)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Op:
    """One call of an instruction, and its result.

    Attributes
    ----------
    instruction : Instruction
    args : tuple
        Ops, numbers, and lists and tuples of them.
    settings : dict
        Keyword arguments.
    shape, dtype
        Shape and dtype of the result. A Python number has the dtype ``None``, and so has a tuple of results.
    place : Place
    """

    __slots__ = ("args", "dtype", "instruction", "place", "settings", "shape")

    def __init__(
        self,
        instruction: Instruction,
        args: tuple[Any, ...],
        settings: dict[str, Any],
        shape: tuple[int, ...],
        dtype: Any,
        place: Place = NOWHERE,
    ) -> None:
        self.instruction = instruction
        self.args = args
        self.settings = settings
        self.shape = shape
        self.dtype = dtype
        self.place = place

    # -- the result --------------------------------------------------------------------------------------

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
        """Number of bytes of the result."""
        return self.size * self.dtype.itemsize if self.dtype is not None else 0

    @property
    def is_number(self) -> bool:
        """Whether the result is a Python number."""
        return self.instruction.is_of_numbers

    @property
    def is_complex(self) -> bool:
        """Whether this is a Python number computed from a complex one."""
        return self.is_number and any(
            isinstance(x, complex) or (isinstance(x, Op) and x.is_complex) for x in self.args
        )

    # -- facts about the call -----------------------------------------------------------------------------

    def calls(self, function: Any) -> bool:
        """Whether this is a call of a NumPy function, or of an instruction of ours."""
        return self.instruction is function or bool(self.instruction.function == function)

    def _ask(self, fact: Fact) -> Any:
        return fact(self) if callable(fact) else fact

    @property
    def is_ufunc(self) -> bool:
        """Whether this is a plain call of a ufunc: elementwise, with broadcasting, and nothing else."""
        return self.instruction.is_elementwise and not self.settings and self.instruction.is_ufunc

    @property
    def is_elementwise(self) -> bool:
        """Whether each element of the result depends only on the elements at its place."""
        return self.instruction.is_elementwise and not self.settings

    @property
    def is_view(self) -> bool:
        """Whether the result is a view of the first argument."""
        return bool(self._ask(self.instruction.is_view))

    @property
    def is_plain_reduction(self) -> bool:
        """Whether this is a reduction over axes, without ``where=`` and similar."""
        return self.instruction.is_reduction and not self.settings.keys() - {"axis", "keepdims"}

    @property
    def jumps(self) -> bool:
        """Whether arguments that differ by a rounding error may have results far apart."""
        is_counted = self.dtype is not None and self.dtype.kind in "biu"
        return self.instruction.jumps or (
            is_counted and any(arg.dtype is not None and arg.dtype.kind in "fc" for arg in inputs_of(self))
        )

    @property
    def is_given(self) -> bool:
        """Whether this is an input or a constant, for which nothing is computed."""
        return self.instruction.function is None

    @property
    def has_to_run(self) -> bool:
        """Whether the call does something, or may raise an error, besides returning a value."""
        return self.instruction.has_effect or self.may_raise

    @property
    def may_raise(self) -> bool:
        """Whether the call may raise an error that the uncompiled code raises too."""
        return bool(self._ask(self.instruction.may_raise))

    @property
    def into(self) -> str:
        """The text of a statement that writes the result into a buffer, or ``""``."""
        return str(self._ask(self.instruction.into)) if self.ndim and self.dtype is not None else ""

    @property
    def expression(self) -> str:
        """The text of an expression whose value is the result."""
        if self.instruction.is_elementwise and self.settings:
            return "{function}({arguments})"
        return str(self._ask(self.instruction.expression))

    @property
    def takes_out(self) -> bool:
        """Whether the result can be written into a buffer."""
        return self.into != ""

    @property
    def may_be_view(self) -> bool:
        """Whether the result may share memory with an argument.

        Every result may, except numbers and results with an ``out=``.
        """
        is_new = not self.ndim and (self.is_ufunc or self.is_plain_reduction or self.instruction.is_product)
        return not (self.takes_out or is_new or self._ask(self.instruction.is_new))

    @property
    def overwrites(self) -> tuple[int, ...]:
        """The arguments whose memory the result may take."""
        return tuple(self._ask(self.instruction.overwrites))

    @property
    def linear_in(self) -> tuple[int, ...]:
        """The arguments which, if all are multiplied by a number, multiply the result by it."""
        return tuple(self._ask(self.instruction.linear_in))

    @property
    def loop(self) -> tuple[Any, ...]:
        """The dtypes of a ufunc's arguments and of its result, after NumPy's promotion."""
        return loop_of(self.instruction.function, tuple(map(_kind_of, self.args)))

    def with_args(self, change: Callable[[Any], Any]) -> Op:
        """The same operation with other arguments that give the same shape and dtype."""
        settings = {key: swap(arg, change) for key, arg in self.settings.items()}
        return Op(self.instruction, swap(self.args, change), settings, self.shape, self.dtype, self.place)

    def __repr__(self) -> str:
        return f"<{self.instruction.name} {self.dtype}{list(self.shape)}>"


class Input(Op):
    """An input of a program: an array or a Generator, given once or in every call, or a number.

    Attributes
    ----------
    name : str
    kind : "array", "generator", "number" (a learning rate) or "step" (a count)
    """

    __slots__ = ("kind", "name")

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: Any, kind: str = "array", place: Place = NOWHERE
    ) -> None:
        super().__init__(INPUT, (), {}, shape, dtype, place)
        self.name, self.kind = name, kind

    @property
    def is_number(self) -> bool:
        """Whether this is a Python number."""
        return self.kind in ("number", "step")

    def with_args(self, change: Callable[[Any], Any]) -> Op:
        """Return itself: it has no arguments."""
        return self


class Constant(Op):
    """An array that is part of a program."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray, place: Place = NOWHERE) -> None:
        super().__init__(CONSTANT, (), {}, value.shape, value.dtype, place)
        self.value = value

    @property
    def number(self) -> Any:
        """The number that all elements equal, bit by bit, or ``None`` if they differ or there are none."""
        first = self.value.reshape(-1)[:1]
        return first[0] if self.value.size and (self.value == first).all() and not _has_zeros(self) else None

    def with_args(self, change: Callable[[Any], Any]) -> Op:
        """Return itself: it has no arguments."""
        return self


def _has_zeros(constant: Constant) -> bool:
    """Whether there are zeros of both signs."""
    value = constant.value
    if value.dtype.kind not in "fc" or value.reshape(-1)[0] != 0:
        return False
    signs = np.signbit(value.real), np.signbit(value.imag)
    return any(s.any() != s.all() for s in signs)


INPUT = Instruction("input", None)
CONSTANT = Instruction("constant", None, waits=True)


@dataclass(frozen=True)
class Store:
    """A result that outlives the call: it is written into the memory of an input."""

    target: Op
    value: Op


@dataclass(frozen=True)
class Program:
    """A function of arrays as a list of operations.

    Attributes
    ----------
    inputs : arrays and numbers that are given in every call, or once
    ops : in the order in which they run
    results : the returned values
    stores : the values written into the memory of inputs
    """

    inputs: tuple[Op, ...]
    ops: tuple[Op, ...]
    results: tuple[Op, ...]
    stores: tuple[Store, ...] = ()
    name: str = "function"
    notes: Mapping[str, Any] = field(default_factory=dict)

    def roots(self) -> Iterator[Op]:
        """Everything that must be computed: results, stores, and operations with an effect."""
        yield from self.results
        for store in self.stores:
            yield store.value
        yield from (op for op in self.ops if op.has_to_run)


def inputs_of(op: Op) -> Iterator[Op]:
    """Walk over the Ops among the arguments, including those in settings and nested tuples."""
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
    """Replace every leaf of an argument, including those in nested tuples, lists and slices."""
    kind = type(arg)
    if kind is tuple:
        return tuple([swap(part, change) for part in arg])
    if kind is slice:
        return slice(swap(arg.start, change), swap(arg.stop, change), swap(arg.step, change))
    if isinstance(arg, (tuple, list)):
        parts = [swap(part, change) for part in arg]
        return parts if isinstance(arg, list) else kind(*parts) if hasattr(arg, "_fields") else tuple(parts)
    return change(arg)


def name_of(op: Op) -> str:
    """Return the name of an input."""
    return op.name if isinstance(op, Input) else ""


def is_name(key: Any) -> bool:
    """Whether something can be a name in Python's text."""
    return type(key) is str and key.isascii() and key.isidentifier() and not keyword.iskeyword(key)


def take_name(name: str, taken: set[str]) -> str:
    """Take a name that is not taken yet: this one, or one with a number."""
    made, n = name, 1
    while made in taken:
        n += 1
        made = f"{name}_{n}"
    taken.add(made)
    return made


def is_scalar(arg: Any) -> bool:
    """Whether an argument is one number: a Python number, or one that changes from call to call."""
    return (
        arg.is_number if isinstance(arg, Op) else isinstance(arg, (int, float)) and not isinstance(arg, bool)
    )


def is_basic(index: Any) -> bool:
    """Whether an index consists only of slices and numbers, so that it picks a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or (isinstance(part, (slice, int, np.integer)) and not isinstance(part, bool))
        for part in parts
    )


# -- NumPy's promotion -------------------------------------------------------------------------------------


def _kind_of(arg: Any) -> Any:
    """Return the kind that chooses a ufunc's loop: a dtype, or a (weak) Python type."""
    if isinstance(arg, Op):
        return arg.dtype if arg.dtype is not None else float
    if isinstance(arg, np.generic):
        return arg.dtype
    return next((t for t in (bool, int, float, complex) if isinstance(arg, t)), type(arg))


@cache
def loop_of(ufunc: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """The dtypes of a ufunc's arguments and results, for given dtypes and Python types of its inputs."""
    given = [np.dtype(bool) if kind is bool else kind for kind in kinds]
    found: tuple[Any, ...] = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout))
    return found


def evaluate(program: Program, given: Mapping[Op, Any]) -> tuple[list[Any], list[Any]]:
    """Run a program directly, one operation after the other, as a reference for the tests of passes.

    Parameters
    ----------
    program : Program
    given : mapping
        The value of each input.

    Returns
    -------
    results, stored : lists
    """
    values: dict[Op, Any] = dict(given)

    def value(arg: Any) -> Any:
        return values[arg] if isinstance(arg, Op) else arg

    for op in program.ops:
        if isinstance(op, Constant):
            values[op] = op.value
        elif op not in values:
            args = swap(op.args, value)
            settings = {key: swap(arg, value) for key, arg in op.settings.items()}
            values[op] = op.instruction.function(*args, **settings)
    return [values[op] for op in program.results], [values[store.value] for store in program.stores]
