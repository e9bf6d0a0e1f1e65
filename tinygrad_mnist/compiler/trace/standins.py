"""Stand-ins for arrays: they compute like arrays, and record the calls.

Everything else in this package, from a layer's forward code to the rules of the backward pass and the
optimizers' formulas, is plain NumPy on whatever it gets. A :class:`Tracer` takes the place of an array. It holds
the array's value, so every call runs and every shape and dtype is NumPy's own; and each call leaves an
:class:`~tinygrad_mnist.compiler.program.Op` behind.

- A Tracer whose Op is a constant is *known*: nothing that may change took part in it. Results of known arrays are
  known too, and Python may use their numbers. For all others, this is an error.
- A view follows its array: after a write into the array, the view is taken again, and writing into a view
  writes into the array. So programs need no memory with two names.

Anything that a straight line of calls cannot contain, such as a branch on a value, raises
:class:`~tinygrad_mnist.errors.UntraceableError`. Inside an operation or a rule, this error is caught, and the
operation is recorded as a whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...errors import CompileError
from ...origins import caller, is_internal
from ...primitive import Primitive
from ...tensor import Tensor
from .. import instructions
from ..instructions import arithmetic, astype, check, getitem, setitem, view_as
from ..program import Constant, Op, is_basic, swap
from .attributes import Flags, Flat
from .functions import (
    call_function,
    call_ufunc,
    is_of_numbers,
    laid_out_as,
    made_array,
    refuse_tracked,
    rewrite,
    take_view,
)
from .indices import number_of, picks_unknown, pinned_mask, plain_index
from .pen import as_array, known, run, unshaped, untraceable, values_of, what_decides, who_asks, written
from .tape import ArrayStandIn, Trace, is_pythons, is_traced, is_weak, value_of

__all__ = ["Tracer", "known", "untraceable", "written"]


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: function(self, *args, **kwargs)


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    """Make an in-place operator; a single number is replaced instead."""
    operator_in_place = getattr(np.lib.mixins.NDArrayOperatorsMixin, name)
    return lambda self, other: NotImplemented if self.is_number else operator_in_place(self, other)


def _arithmetic(name: str, sign: str) -> Callable[..., Any]:
    """Make an operator that returns a Python number for Python's: one is a complex number beside a ``np.float64``."""
    of_arrays = getattr(np.lib.mixins.NDArrayOperatorsMixin, name)

    def compute(self: Any, *other: Any) -> Any:
        numbers = (*other, self) if name.startswith("__r") else (self, *other)
        is_complex = type(numbers[0]) is complex and self.kind is np.float64
        if not (is_complex or all(type(x) in (int, float, complex) or is_weak(x) for x in numbers)):
            return of_arrays(self, *other)
        value = arithmetic[sign].function(*map(value_of, numbers))
        return written(self.tape, arithmetic[sign], numbers, {}, value)

    return compute


def _of_value(name: str) -> Any:
    return property(lambda self: getattr(self.value, name), _refusing_to_set(name))


def _refusing_to_set(name: str) -> Any:
    def refuse(self: Any, value: Any) -> None:
        raise untraceable(self.tape, f"array.{name} would be set")

    return refuse


def _comparison(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    """Make an operator that also works for non-numbers, such as ``None`` or a string."""

    def compare(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        if not is_of_numbers(other):
            raise untraceable(self.tape, f"an array was compared with a {type(other).__name__}")
        return ufunc(self, other)

    return compare


def _asked(what: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    """Let Python use the numbers of a known array."""

    def answer(self: Any, *args: Any) -> Any:
        return ask(self.numbers(what), *args)

    return answer


class Tracer(ArrayStandIn, np.lib.mixins.NDArrayOperatorsMixin):
    """A stand-in for an array: it computes with its value, and records the calls.

    It passes for an ``ndarray`` where code checks (``isinstance``, ``.__class__``), but NumPy's own C code cannot
    look inside: reading the numbers without a trace is an error.

    Attributes
    ----------
    op, value : its operation in the program, and its current numbers
    is_number : whether it stands for a single number, such as a sum, which cannot be written into
    """

    __slots__ = (
        "__weakref__", "_is_reshaped", "_op", "_seen", "_source", "_take", "_value", "_version", "is_number",
    )  # fmt: skip

    def __init__(self, trace: Trace, op: Op, value: Any, is_number: bool = False) -> None:
        self.tape, self._op, self._value = trace, op, value
        self.is_number = is_number
        self._version = 0  # increases when this array is written into
        self._source: Tracer | None = None  # the array of which it is a view
        self._seen = 0  # the version of that array
        self._take: tuple[Any, Any] | None = None  # how the view is taken; None if unknown
        self._is_reshaped = False  # whether it is the result of a reshape, which may be a view or a copy

    @classmethod
    def input(cls, trace: Trace, name: str, value: Any) -> Tracer:
        """Make a stand-in for an array that is an input of the program."""
        if not value.dtype.isnative:
            raise CompileError(
                f"compile: {name!r} is an array with a byte order other than this machine's; pass "
                "x.astype(x.dtype.newbyteorder('='))"
            )
        op = trace.input(name, value)
        return cls(trace, op, as_array(value), is_number=isinstance(value, np.generic))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class that it passes for: an array, or for the user's own code the type of a number, such as ``x[0]``."""
        return np.ndarray if is_internal(caller()) else self.kind

    @property
    def kind(self) -> type:
        """The type of the original."""
        if is_pythons(self):
            return type(self.value.item())
        return type(self.value[()]) if self.is_number else np.ndarray

    # -- views ---------------------------------------------------------------------------------------

    @property
    def op(self) -> Op:  # type: ignore[override]
        """Its current operation in the program."""
        self._follow()
        return self._op

    @property
    def value(self) -> Any:
        """Its current numbers."""
        self._follow()
        return self._value

    def _follow(self) -> None:
        """Take the view again if its array was written into."""
        source = self._source
        if source is None:
            return
        source._follow()
        if source._version == self._seen:
            return
        if self._take is None:
            raise untraceable(self.tape, "an array was written into while a view of it was in use")
        function, argument = self._take
        again = source._viewed(function, argument, _view_of(function, source._value, argument))
        self._op, self._value, self._seen = again._op, again._value, source._version
        self._version += 1

    def _viewed(self, function: Any, argument: Any, value: Any) -> Tracer:
        """Make a view of this array, as NumPy would."""
        made: Any = written(self.tape, function, (self, argument), {}, value)
        if is_traced(made) and np.may_share_memory(value, self.value):
            made._source, made._seen, made._take = self, self._version, (function, argument)
        return made

    def _alias(self, others: Any) -> Tracer:
        """Note an array whose memory this result may share in an unknown way."""
        for other in others:
            if is_traced(other) and self._source is None and np.may_share_memory(self._value, other.value):
                self._source, self._seen = other, other._version
        return self

    def _become(self, new: Any) -> Tracer:
        """Become the result of writing into this array."""
        if self.tape.is_elsewhere():
            raise untraceable(
                self.tape, "another thread wrote into an array while a function that uses it was traced"
            )
        if new.shape != self.shape:
            raise ValueError(f"an array of shape {self.shape} cannot hold a result of shape {new.shape}")
        if new.dtype != self.dtype:
            np.empty(0, new.dtype).astype(self.dtype, casting="same_kind")  # NumPy's own error
            new = written(self.tape, astype, (new, self.dtype), {}, value_of(new).astype(self.dtype))
        if not isinstance(new, Tracer):
            new = known(self.tape, np.array(new))
        self.tape.is_by_layout |= self._is_reshaped
        if not self.value.flags.writeable:
            raise ValueError("assignment destination is read-only")
        source = self._source
        if source is not None:
            if self._take is None:
                raise untraceable(self.tape, "a view of an array was written into")
            source._become(_put_back(source, *self._take, new))
            self._seen = source._version
        self._op, self._value = new.op, laid_out_as(self._value, new.value)
        self._version += 1
        return self

    # -- representation ------------------------------------------------------------------------------

    shape, dtype, ndim = _of_value("shape"), _of_value("dtype"), _of_value("ndim")
    size, nbytes, itemsize = _of_value("size"), _of_value("nbytes"), _of_value("itemsize")
    strides = property(lambda self: self._strides(), _refusing_to_set("strides"))
    base = property(lambda self: self._source)
    flags = property(lambda self: Flags(self))

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.value)))

    def __round__(self, ndigits: int | None = None) -> Any:
        round(self._itself(), 0)  # arrays refuse
        return round(self.numbers("`round()`").item()) if ndigits is None else np.round(self, ndigits)

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape} and dtype {self.dtype}>"

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # -- NumPy's protocols ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return call_ufunc(ufunc, method, inputs, **kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return call_function(func, types, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(
            self.numbers(
                "converting to a plain array (an index, a write, or a list: use np.stack), or another library,"
            ),
            dtype=dtype,
        )

    def __primitive__(self, primitive: Primitive, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """Run an operation of this package on arrays that include this one."""
        if any(isinstance(arg, Tensor) for arg in args):
            tensor: Any = next(arg for arg in args if isinstance(arg, Tensor))
            return tensor.__primitive__(primitive, args, settings)
        if self.tape.is_elsewhere():
            return primitive.forward(*swap(tuple(args), value_of), **values_of(settings))
        with self.tape.inside():
            return run(self.tape, primitive, args, settings)

    @property
    def is_known(self) -> bool:
        """Whether the numbers are the same in every call."""
        return isinstance(self.op, Constant)

    def __refuse__(self, brief: str) -> None:
        """Check in every call the condition that the code checks here."""
        if self.is_known:
            if self.value:
                raise ValueError(brief)
            return
        self.tape.record(check, (self, brief), {}, None)

    def _strides(self) -> tuple[int, ...]:
        self.tape.is_by_layout = True
        return self.value.strides

    # -- operators and methods -----------------------------------------------------------------------

    __eq__, __ne__ = _comparison(np.equal), _comparison(np.not_equal)

    def __pow__(self, exponent: Any) -> Any:
        if is_weak(self) and type(exponent) is int:
            return written(self.tape, arithmetic["**"], (self, exponent), {}, value_of(self) ** exponent)
        is_quick = type(exponent) in (int, float) and exponent in _POWERS
        # For numbers, -inf ** 0.5 is inf, not a root; and True**2 is of another type.
        is_quick = is_quick and not (self.is_number and (exponent == 0.5 or self.dtype == bool))
        if is_quick and (self.dtype.kind in "fc" or (self.dtype == bool and exponent == 2)):
            return _POWERS[exponent](self)
        return np.power(self, exponent)

    def __ipow__(self, other: Any) -> Any:
        is_quick = not self.is_number and type(other) in (int, float) and other in _POWERS
        if is_quick and self.dtype.kind in "fc":
            return self._become(self**other)
        return _in_place("__ipow__")(self, other)

    __add__, __radd__ = _arithmetic("__add__", "+"), _arithmetic("__radd__", "+")
    __sub__, __rsub__ = _arithmetic("__sub__", "-"), _arithmetic("__rsub__", "-")
    __mul__, __rmul__ = _arithmetic("__mul__", "*"), _arithmetic("__rmul__", "*")
    __truediv__, __rtruediv__ = _arithmetic("__truediv__", "/"), _arithmetic("__rtruediv__", "/")
    __neg__ = _arithmetic("__neg__", "neg")
    __iadd__, __isub__, __imul__ = _in_place("__iadd__"), _in_place("__isub__"), _in_place("__imul__")
    __itruediv__, __ifloordiv__ = _in_place("__itruediv__"), _in_place("__ifloordiv__")
    __imod__, __imatmul__ = _in_place("__imod__"), _in_place("__imatmul__")
    __iand__, __ior__, __ixor__ = _in_place("__iand__"), _in_place("__ior__"), _in_place("__ixor__")
    __ilshift__, __irshift__ = _in_place("__ilshift__"), _in_place("__irshift__")

    def __getitem__(self, index: Any) -> Any:
        index = swap(plain_index(index), pinned_mask)
        numbers = swap(index, number_of)
        if picks_unknown(index):
            raise unshaped(self.tape, "a boolean index picks")
        if is_basic(numbers):
            return self._viewed(getitem, index, self.value[numbers])
        return written(self.tape, getitem, (self, index), {}, self.value[numbers])

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.is_number:
            raise TypeError(f"{type(self.value[()]).__name__!r} object does not support item assignment")
        index = plain_index(index)
        if picks_unknown(index) and np.size(value_of(value)) != 1:
            raise unshaped(self.tape, "a boolean index picks")
        numbers = swap(index, value_of)
        # NumPy converts a Tensor to an array, which a tracked one refuses; for one element, to a number.
        if not (isinstance(value, Tensor) and not value.ndim and not np.ndim(self.value[numbers])):
            refuse_tracked(value)
        value = made_array(value)
        changed = self.value.copy()
        changed[numbers] = value_of(value)
        self._become(written(self.tape, setitem, (self, index, value), {}, changed))

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        """Convert, or copy."""
        value = self._itself().astype(dtype, *args, **kwargs)
        if value.dtype == self.dtype:
            return written(self.tape, instructions.copy, (self,), {}, value) if copy else self
        return written(self.tape, astype, (self, value.dtype), {}, value)

    def _itself(self) -> Any:
        """Return its array, or its number: a method of a number returns a number."""
        return self.value[()] if self.is_number else self.value

    def copy(self, order: Any = "C") -> Any:
        """Copy."""
        return written(self.tape, instructions.copy, (self,), {}, self._itself().copy(order))

    def _flat(self) -> Any:
        """All elements as a vector, for reading; and for writing, if they are contiguous."""
        row = self.reshape(-1)
        if row._source is None:
            row._source, row._seen = self, self._version
        return Flat(row)

    def view(self, dtype: Any = None) -> Any:
        """Make a view of the same memory, with another dtype if one is given."""
        if dtype is None and not self.is_number:
            return self._viewed(getitem, Ellipsis, self.value[...])
        return self if dtype is None else self._viewed(view_as, np.dtype(dtype), self._itself().view(dtype))

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Reshape; the shape is one tuple or several integers."""
        return take_view(np.reshape, self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes; they are one tuple or several integers."""
        return take_view(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def clip(self, min: Any = None, max: Any = None, **settings: Any) -> Any:
        """Clip to two bounds, one of which may be missing."""
        return np.clip(self, min, max, **settings)

    def compress(self, condition: Any, axis: Any = None) -> Any:
        """The slices for which a condition holds."""
        return np.compress(condition, self, axis)

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """Write at flat indices."""
        rewrite(np.put, self, indices, values, mode)

    def fill(self, value: Any) -> None:
        """Write one number everywhere; NumPy numbers ignore it."""
        if not self.is_number:
            self[...] = value

    def partition(self, kth: Any, axis: int = -1, **settings: Any) -> None:
        """Put some elements at their places in the sorted order."""
        self._become(np.partition(self, kth, axis, **settings))

    def sort(self, axis: int = -1, **settings: Any) -> None:
        """Sort in place."""
        self._become(np.sort(self, axis, **settings))

    ravel = _function(np.ravel)
    flatten = _function(lambda x, order="C": x.ravel(order).copy())
    conj = conjugate = lambda self: np.conjugate(self) if self.dtype.kind == "c" else self
    T = property(lambda self: self.transpose())
    mT = property(  # noqa: N815
        lambda self: np.swapaxes(self, -1, -2)
    )
    real = property(lambda self: np.real(self) if self.dtype.kind == "c" else self, _refusing_to_set("real"))
    imag = property(lambda self: np.imag(self), _refusing_to_set("imag"))
    flat = property(lambda self: self._flat(), lambda self, value: np.copyto(self._flat().row, value))

    def __hash__(self) -> int:
        if self.ndim:
            raise TypeError("unhashable type: 'numpy.ndarray'")
        return hash(self.numbers("a key of a dict, or a set,").item())

    def __getattr__(self, name: str) -> Any:
        """Return a method of arrays that is also a NumPy function."""
        if name.startswith("__") or not hasattr(self._itself(), name):
            raise AttributeError(f"an array has no attribute {name!r}")
        if name in _METHODS:
            function = getattr(np, name)
            return lambda *args, **kwargs: function(self, *swap(args, _seen_by_arrays), **kwargs)
        raise untraceable(self.tape, f"array.{name} reads or changes an array that is traced")

    # -- numbers -------------------------------------------------------------------------------------

    def numbers(self, what: str) -> Any:
        """Return the numbers to Python; this is an error unless they are the same in every call."""
        if self.tape.is_elsewhere():
            return self.value
        if not self.is_known:
            value = self.tape.pinned(self.op)
            if value is None:
                who = who_asks() or what or what_decides()
                raise untraceable(
                    self.tape, f"{who} asked for a value that changes from call to call. A compiled program is a "
                    "straight line: choose with np.where, use NumPy's functions, and use results after the call",
                )  # fmt: skip
            return value
        return self.value

    __bool__ = _asked("", bool)
    __float__, __int__ = _asked("`float()`, or a function of `math`,", float), _asked("`int()`", int)
    __index__ = _asked("an index of a list, a count or a shape", operator.index)
    __format__ = _asked(
        "formatting (`print`, `str`, an f-string)",
        lambda array, spec: format(array.item(), spec) if spec else str(array),
    )
    __str__ = _asked("formatting (`print`, `str`, an f-string)", str)
    __complex__ = _asked("`complex()`", complex)
    __contains__ = _asked("`in`", lambda array, x: x in array)
    item = _asked("`.item()`", lambda array, *args: array.item(*args))
    tolist = _asked("`.tolist()`", lambda array: array.tolist())


_METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "cumprod", "cumsum", "diagonal",
    "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted", "squeeze", "std", "sum",
    "swapaxes", "take", "trace", "var",
)  # fmt: skip


def _seen_by_arrays(x: Any) -> Any:
    """Convert an argument like an array's own method: a Tensor becomes its array, which a tracked one refuses."""
    refuse_tracked(x)
    return x._array if isinstance(x, Tensor) else x


#: What the operator ``**`` knows of exponents, unlike ``np.power``.
_POWERS: dict[Any, Callable[[Any], Any]] = {1: np.positive, 2: np.square, -1: np.reciprocal, 0.5: np.sqrt}


def _view_of(function: Any, x: Any, argument: Any) -> Any:
    if function is getitem:
        return x[swap(argument, number_of)]
    return function.function(x, argument) if hasattr(function, "function") else function(x, argument)


def _put_back(source: Tracer, function: Any, argument: Any, new: Tracer) -> Tracer:
    """Return the new array after a write into a view of it."""
    if function is getitem:
        changed = source.value.copy()
        changed[swap(argument, number_of)] = new.value
        result: Tracer = written(source.tape, setitem, (source, argument, new), {}, changed)
        return result
    if function is view_as:
        return new.view(source.dtype)
    if function is np.transpose:
        return new.transpose(tuple(map(int, np.argsort(argument))))
    return new.reshape(source.shape)
