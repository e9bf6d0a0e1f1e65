"""The pen under the arrays: stand-ins that compute as arrays do, and write down what was called.

Everything else in this package, from a layer's forward code to the rules of the backward pass and the
optimizers' formulas, is plain NumPy on whatever it is given. A :class:`Tracer` is given in place of an
array. It holds the array's value, so that every call is made and every shape and dtype is NumPy's own;
and each call leaves an :class:`~tinygrad_mnist.compiler.program.Op` behind.

- A Tracer whose Op is a constant is *known*: nothing that may change took part in it. What is computed from
  known arrays is known too, and Python may ask for its numbers. All others keep them to themselves.
- A view follows the array that it looks at: when that was written into, it looks again, and writing into a
  view is writing into that array. So programs need no memory that two names share.

What a straight line of calls cannot hold, such as a branch on a value, raises
:class:`~tinygrad_mnist.errors.UntraceableError`. Inside an operation or a rule that is caught, and the
operation is written down as a whole.
"""

from __future__ import annotations

import dis
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ...errors import CompileError, UntraceableError
from ...graph import Node, is_recording
from ...origins import caller, is_internal, line_of, users_line
from ...primitive import REGISTRY, Primitive, operation
from ...tensor import Tensor, _handle, _qualified
from ...trees import tree_map
from .. import instructions
from ..instructions import as_array, astype, call, check, getitem, pick, setitem, view_as
from ..program import Constant, Op, inputs_of, is_basic, swap
from .tape import Callee, StandIn, Trace, is_stand_in, value_of
from .views import VIEWS

__all__ = ["Tracer", "known", "untraceable", "written"]


def written(trace: Trace, function: Any, args: Sequence[Any], settings: dict[str, Any], value: Any) -> Any:
    """Write down a call whose result is known; return the result's stand-in, or a tuple of them."""
    if trace.is_elsewhere():
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in "biufc":
        raise untraceable(trace, f"the result is an array of dtype {value.dtype}, which no program computes with")
    op = trace.record(function, tuple(args), settings, value)
    if isinstance(value, (tuple, list)):
        parts = [written(trace, pick, (op, i), {}, part) for i, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if not op.instruction.has_effect and all(isinstance(arg, Constant) for arg in inputs_of(op)):
        trace.ops.pop()
        return value if isinstance(value, np.generic) else known(trace, value)
    return Tracer(trace, op, _as_array(value), is_number=isinstance(value, np.generic))


def known(trace: Trace, value: Any) -> Tracer:
    """Put a stand-in in the place of an array that is the same in every call."""
    return Tracer(trace, trace.constant(value), value)


_Error = TypeVar("_Error", bound=CompileError)


def as_a_whole(trace: Trace, primitive: Primitive, args: Any, settings: Any, rule: int | None = None) -> Any:
    """Write down an operation or a rule that cannot be taken apart, and run it on the values."""
    here = users_line()
    trace.refused = [(line, error) for line, error in trace.refused if line != here]
    function: Any = primitive.forward if rule is None else primitive.rules[rule]
    is_found = operation(primitive.name) is primitive
    callee = Callee(function, primitive.name, rule) if is_found else Callee(function)
    value = function(*swap(tuple(args), value_of), **_values(settings))
    result = written(trace, call, (callee, *args), dict(settings), value)
    parents = [(i, x._node) for i, x in enumerate(args) if isinstance(x, Tensor) and x._node is not None]
    if not parents or not is_recording() or type(result) is not Tracer:
        return result
    # A rule that is itself recorded: whoever differentiates the result learns that it cannot be done.
    return _handle(result, Node(_final(primitive), result, tuple(args), {}, parents))


def _final(primitive: Primitive) -> Primitive:
    """An operation without a derivative, in the place of a gradient that was written down as a whole."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise CompileError(
            f"compile: the gradient of {primitive.name} decides something by values, and is to be differentiated "
            "again: no program can do both"
        )

    final = Primitive(refuse, name=f"gradient of {primitive.name}", samples=(), arrays=(), variadic=True)
    return final.vjp(each=refuse)


_as_array, _repeat = np.asarray, np.repeat  # which are others for the code that is traced


def untraceable(trace: Trace, what: str) -> UntraceableError:
    """Build the error for what a program cannot hold; it names the user's line."""
    return _refused(trace, UntraceableError(f"compile: {what}{_where()}", partial(as_a_whole, trace)))


def unshaped(trace: Trace, what: str) -> CompileError:
    """Build the error for a result as long as values say, which no operation called as a whole could return either."""
    message = (
        f"compile: how many elements {what} depends on values. A program has fixed shapes: use np.where with three "
        f"arguments, or multiply by a mask{_where()}"
    )
    return _refused(trace, CompileError(message))


def _refused(trace: Trace, error: _Error) -> _Error:
    """Remember an error, in case that the user's code catches it."""
    trace.refused.append((users_line(), error))
    return error


def _culprit() -> str:
    """The NumPy function that the user called, if it is not his own code that asks for a number."""
    frame: Any = sys._getframe(3)
    function = None
    while frame is not None and is_internal((frame.f_code, 0)):
        if frame.f_code.co_name == "__array_function__":
            function = frame.f_locals.get("func")
        frame = frame.f_back
    return "" if function is None else _qualified(function)


def _decision() -> str:
    """What in the user's line asked whether something is true."""
    code, place = users_line()
    name = dis.opname[code.co_code[place]]
    if "JUMP" in name:
        return "a Python `if`, `while`, `assert`, `and` or `or`"
    return {"UNARY_NOT": "`not`", "CONTAINS_OP": "`in`"}.get(
        name, "a function of Python's, such as `bool` or `max`,"
    )


def _where() -> str:
    origin = users_line()
    return "" if is_internal(origin) else f" ({line_of(origin)})"


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: function(self, *args, **kwargs)


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    """An operator in place; a single number is replaced instead."""
    operator_in_place = getattr(np.lib.mixins.NDArrayOperatorsMixin, name)
    return lambda self, other: NotImplemented if self.is_number else operator_in_place(self, other)


def _of_value(name: str) -> Any:
    return property(lambda self: getattr(self.value, name), _refusing_to_set(name))


def _refusing_to_set(name: str) -> Any:
    def refuse(self: Any, value: Any) -> None:
        raise untraceable(self.tape, f"array.{name} was to be set")

    return refuse


def _comparison(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    """An operator that has an answer for what is no number too, such as ``None`` or a text."""

    def compare(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        if not _is_of_numbers(other):
            raise untraceable(self.tape, f"an array was compared with a {type(other).__name__}")
        return ufunc(self, other)

    return compare


def _made_array(x: Any) -> Any:
    """An array of a list, in which stand-ins may be."""
    return np.array(x) if isinstance(x, (list, tuple)) else x


def _asked(what: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    """Let Python ask a known array for its numbers."""

    def answer(self: Any, *args: Any) -> Any:
        return ask(self.numbers(what), *args)

    return answer


class Tracer(StandIn, np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array: computes with its value, and writes down what was called.

    It passes for an ``ndarray`` where code asks (``isinstance``, ``.__class__``), but NumPy's own C code
    cannot look inside: what would read the numbers without a trace ends in an error.

    Attributes
    ----------
    op, value : what it is in the program, and its numbers now
    is_number : whether it stands for a single number, as a sum returns it, which nobody can write into
    """

    __slots__ = ("__weakref__", "_op", "_seen", "_source", "_take", "_value", "_version", "is_number")

    def __init__(self, trace: Trace, op: Op, value: Any, is_number: bool = False) -> None:
        self.tape, self._op, self._value = trace, op, value
        self.is_number = is_number
        self._version = 0  # goes up when this array is written into
        self._source: Tracer | None = None  # what it is a view of
        self._seen = 0  # the version of that
        self._take: tuple[Any, Any] | None = None  # how the view is taken; None if nobody knows

    @classmethod
    def input(cls, trace: Trace, name: str, value: Any) -> Tracer:
        """Put a stand-in in the place of an array that is given to the program."""
        op = trace.input(name, value)
        return cls(trace, op, _as_array(value), is_number=isinstance(value, np.generic))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What it passes for: an array; the user's own code asks whether ``x[0]`` is a number."""
        return type(self.value[()]) if self.is_number and not is_internal(caller()) else np.ndarray

    # -- views ---------------------------------------------------------------------------------------

    @property
    def op(self) -> Op:  # type: ignore[override]
        """What it is in the program now."""
        self._follow()
        return self._op

    @property
    def value(self) -> Any:
        """Its numbers now."""
        self._follow()
        return self._value

    def _follow(self) -> None:
        """Look again, if what this is a view of was written into."""
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
        """A view of this array, as NumPy would make it."""
        made: Any = written(self.tape, function, (self, argument), {}, value)
        if type(made) is Tracer and np.may_share_memory(value, self.value):
            made._source, made._seen, made._take = self, self._version, (function, argument)
        return made  # type: ignore[no-any-return]

    def _alias(self, others: Any) -> Tracer:
        """Take note of whose memory this result may share, in a way that nobody knows."""
        for other in others:
            if (
                type(other) is Tracer
                and self._source is None
                and np.may_share_memory(self._value, other.value)
            ):
                self._source, self._seen = other, other._version
        return self

    def _become(self, new: Any) -> Tracer:
        """Stand for the result of writing into this array."""
        if self.tape.is_elsewhere():
            raise untraceable(
                self.tape, "another thread wrote into an array while a function that uses it was traced"
            )
        if new.shape != self.shape:
            raise ValueError(f"an array of shape {self.shape} was to take a result of shape {new.shape}")
        if new.dtype != self.dtype:
            np.empty(0, new.dtype).astype(self.dtype, casting="same_kind")  # NumPy's own error
            new = written(self.tape, astype, (new, self.dtype), {}, value_of(new).astype(self.dtype))
        if not isinstance(new, Tracer):
            new = known(self.tape, np.array(new))
        source = self._source
        if source is not None:
            if self._take is None:
                raise untraceable(self.tape, "a view of an array was written into")
            if not self.value.flags.writeable:
                raise ValueError("assignment destination is read-only")
            source._become(_put_back(source, *self._take, new))
            self._seen = source._version
        self._op, self._value = new.op, _laid_out_as(self._value, new.value)
        self._version += 1
        return self

    # -- what it looks like --------------------------------------------------------------------------

    shape, dtype, ndim = _of_value("shape"), _of_value("dtype"), _of_value("ndim")
    size, nbytes, itemsize = _of_value("size"), _of_value("nbytes"), _of_value("itemsize")
    base = property(lambda self: self._source)
    flags = property(lambda self: self.value.view().flags)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.value)))

    def __round__(self, ndigits: int | None = None) -> Any:
        return round(self.numbers("`round()`").item()) if ndigits is None else np.round(self, ndigits)

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape} and dtype {self.dtype}>"

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # -- NumPy's protocols ---------------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        trace = _trace_of(inputs, out, kwargs)
        settings = {key: arg for key, arg in kwargs.items() if key == "axis" or _says_something(arg)}
        targets = out if out is not None else ()
        if method == "at" and type(inputs[0]) is Tracer:
            return _rewrite(ufunc.at, *inputs)
        inputs = tuple(map(_made_array, inputs))
        if method == "at" or not all(type(x) is Tracer or x is None for x in targets):
            raise untraceable(trace, f"np.{ufunc.__name__} was to write into a plain array what is traced")
        where = settings.pop("where", True) if method == "__call__" else True
        if where is not True:
            if not targets or any(t is None for t in targets):
                raise untraceable(
                    trace, f"np.{ufunc.__name__} with where= leaves numbers undefined without out="
                )
            inputs = tuple(
                x if type(x) in (bool, int, float, complex) else np.where(where, x, np.ones((), _dtype_of(x)))
                for x in inputs
            )
        if targets:  # NumPy says whether the result fits
            copies = tuple(None if t is None else _laid_out_as(t.value, t.value) for t in targets)
            getattr(ufunc, method)(*swap(inputs, value_of), out=copies, **_values(settings))
        value = getattr(ufunc, method)(*swap(inputs, value_of), **_values(settings))
        if method == "__call__" and not all(map(_is_of_numbers, inputs)):
            raise untraceable(trace, f"np.{ufunc.__name__} was given what is no number")
        if method == "reduce":
            result = _reduced(trace, ufunc.reduce, inputs, settings, value)
        else:
            function = ufunc if method == "__call__" else getattr(ufunc, method)
            result = written(trace, function, inputs, settings, value)
        if out is None:
            return result
        results = result if isinstance(result, tuple) else (result,)
        results = tuple(y if t is None else _fitted(trace, y, t) for t, y in zip(out, results, strict=True))
        if where is not True:
            results = tuple(np.where(where, y, t) for t, y in zip(out, results, strict=True))
        kept = tuple(y if t is None else t._become(y) for t, y in zip(out, results, strict=True))
        return kept if isinstance(result, tuple) else kept[0]

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if func in VIEWS and (args and type(args[0]) is Tracer):
            return _take_view(func, *args, **kwargs)
        trace = _trace_of(args, kwargs)
        if func in _TEXTS:
            return str(args[0])
        if func in _SHAPE_ONLY:
            return func(*swap(args, value_of), **_values(kwargs))
        if func in _LIKE:
            return known(trace, _LIKE[func](*swap(args, value_of), **_values(kwargs)))
        if any(issubclass(kind, Tensor) for kind in types):
            return REGISTRY[func](*args, **kwargs) if func in REGISTRY else NotImplemented
        if func not in _UNKNOWN_SHAPE and any(map(_is_users, (*args, *kwargs.values()))):
            return _taken_apart(trace, func, args, kwargs)
        if func in _DEFINED and not trace.is_inside and _is_float(args) and _is_plain(args, kwargs):
            return REGISTRY[func](*args, **kwargs)
        out = kwargs.pop("out", None)
        name = getattr(func, "__name__", "a function")
        settings = {key: arg for key, arg in kwargs.items() if arg is not np._NoValue}
        if func in _MUTATORS and type(args[0]) is Tracer:
            return _rewrite(func, *args, **settings)
        if func in _MUTATORS or (out is not None and type(out) is not Tracer):
            raise untraceable(trace, f"np.{name} was to write into an array what is traced")
        if _has_unknown_shape(func, args, settings):
            raise unshaped(trace, f"np.{name} returns")
        _refuse_tracked((args, tuple(settings.values())))
        if out is not None:  # NumPy says whether the result fits
            func(*swap(args, value_of), out=_laid_out_as(out.value, out.value), **_values(settings))
        value = func(*swap(args, value_of), **_values(settings))
        if type(value) in (bool, int, float, complex):  # as np.array_equal returns, for example
            number = trace.record(func, tuple(args), settings, value)
            return written(trace, as_array, (number,), {}, _as_array(value))
        if not _holds_arrays(value):
            raise untraceable(
                trace, f"np.{name} was asked for a {type(value).__name__} that depends on values"
            )
        if func in _REDUCTIONS and len(args) <= 2 and not (settings.keys() - {"axis", "keepdims"}):
            axis = args[1] if len(args) == 2 else settings.pop("axis", None)
            result = _reduced(trace, _REDUCTIONS[func].reduce, args[:1], {"axis": axis, **settings}, value)
        else:
            result = written(trace, func, args, settings, value)
        if out is not None:
            if np.shape(result) != out.shape:
                raise untraceable(trace, f"np.{name} was to write a result of another shape into out=")
            return out._become(_fitted(trace, result, out))
        for part in result if isinstance(result, (tuple, list)) else (result,):
            if type(part) is Tracer:
                part._alias(_tracers_in(args))
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(
            self.numbers(
                "a plain array (one that is indexed, written into, or made of a list: np.stack), or another library,"
            ),
            dtype=dtype,
        )

    def __primitive__(self, primitive: Primitive, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """Run an operation of this package on arrays, one of which is this."""
        if any(isinstance(arg, Tensor) for arg in args):
            tensor: Any = next(arg for arg in args if isinstance(arg, Tensor))
            return tensor.__primitive__(primitive, args, settings)
        try:
            with self.tape.inside():
                return primitive.forward(*args, **settings)
        except UntraceableError as error:
            return error.as_a_whole(primitive, args, settings)

    @property
    def is_known(self) -> bool:
        """Whether the numbers are the same in every call."""
        return isinstance(self.op, Constant)

    def __refuse__(self, brief: str) -> None:
        """Check at every call what the code checks here."""
        if self.is_known:
            if self.value:
                raise ValueError(brief)
            return
        self.tape.record(check, (self, brief), {}, None)

    # -- operators and methods -----------------------------------------------------------------------

    __eq__, __ne__ = _comparison(np.equal), _comparison(np.not_equal)

    def __pow__(self, exponent: Any) -> Any:
        is_quick = type(exponent) in (int, float) and exponent in _POWERS
        if is_quick and (self.dtype.kind in "fc" or (self.dtype == bool and exponent == 2)):
            return _POWERS[exponent](self)
        return np.power(self, exponent)

    def __ipow__(self, other: Any) -> Any:
        return NotImplemented if self.is_number else self._become(self**other)

    __iadd__, __isub__, __imul__ = _in_place("__iadd__"), _in_place("__isub__"), _in_place("__imul__")
    __itruediv__, __ifloordiv__ = _in_place("__itruediv__"), _in_place("__ifloordiv__")
    __imod__, __imatmul__ = _in_place("__imod__"), _in_place("__imatmul__")
    __iand__, __ior__, __ixor__ = _in_place("__iand__"), _in_place("__ior__"), _in_place("__ixor__")
    __ilshift__, __irshift__ = _in_place("__ilshift__"), _in_place("__irshift__")

    def __getitem__(self, index: Any) -> Any:
        index = swap(_index(index), _pinned_mask)
        numbers = swap(index, _number_of)
        if _picks_unknown(index):
            raise unshaped(self.tape, "a boolean index picks")
        if is_basic(numbers):
            return self._viewed(getitem, index, self.value[numbers])
        return written(self.tape, getitem, (self, index), {}, self.value[numbers])

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.is_number:
            raise TypeError(f"{type(self.value[()]).__name__!r} object does not support item assignment")
        index = _index(index)
        if _picks_unknown(index) and np.size(value_of(value)) != 1:
            raise unshaped(self.tape, "a boolean index picks")
        _refuse_tracked(value)
        value = _made_array(value)
        changed = self.value.copy()
        changed[swap(index, value_of)] = value_of(value)
        self._become(written(self.tape, setitem, (self, index, value), {}, changed))

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        """Convert, or copy."""
        value = self.value.astype(dtype, *args, **kwargs)
        if value.dtype == self.dtype:
            return written(self.tape, instructions.copy, (self,), {}, value) if copy else self
        return written(self.tape, astype, (self, value.dtype), {}, value)

    def copy(self, order: Any = "C") -> Any:
        """Copy."""
        return written(self.tape, instructions.copy, (self,), {}, self.value.copy(order))

    def _flat(self) -> Any:
        """All elements in a row, to be read, and to be written if they lie so."""
        row = self.reshape(-1)
        if row._source is None:
            row._source, row._seen = self, self._version
        return _Flat(row)

    def view(self, dtype: Any = None) -> Any:
        """Look at the same memory, as another dtype if one is given."""
        if dtype is None:
            return self._viewed(getitem, Ellipsis, self.value[...])
        return self._viewed(view_as, np.dtype(dtype), self.value.view(dtype))

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Give another shape: as one tuple or as several integers."""
        return _take_view(np.reshape, self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes: as one tuple or as several integers."""
        return _take_view(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self, order: str = "C") -> Any:
        """Copy into one axis."""
        return self.ravel(order).copy()

    def clip(self, min: Any = None, max: Any = None, **settings: Any) -> Any:
        """Move what is outside two bounds, one of which may be missing, to the nearest."""
        return np.clip(self, min, max, **settings)

    def compress(self, condition: Any, axis: Any = None) -> Any:
        """The slices for which a condition holds."""
        return np.compress(condition, self, axis)

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """Write at places counted through all elements."""
        _rewrite(np.put, self, indices, values, mode)

    def fill(self, value: Any) -> None:
        """Write one number everywhere."""
        self[...] = value

    def partition(self, kth: Any, axis: int = -1, **settings: Any) -> None:
        """Bring some elements to their places in the order."""
        self._become(np.partition(self, kth, axis, **settings))

    def sort(self, axis: int = -1, **settings: Any) -> None:
        """Sort in place."""
        self._become(np.sort(self, axis, **settings))

    ravel = _function(np.ravel)
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
        """A method of arrays that NumPy has a function for."""
        if name in _METHODS:
            function = getattr(np, name)
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise untraceable(self.tape, f"array.{name} reads or changes an array that is traced")
        raise AttributeError(f"an array has no attribute {name!r}")

    # -- the numbers in it ---------------------------------------------------------------------------

    def numbers(self, what: str) -> Any:
        """The numbers, for Python to decide by them: an error unless they are the same in every call."""
        if self.tape.is_elsewhere():
            return self.value
        if not self.is_known:
            value = self.tape.pinned(self.op)
            if value is None:
                who = _culprit() or what or _decision()
                raise untraceable(
                    self.tape, f"{who} asked for a value that changes from call to call. A compiled program is a "
                    "straight line: choose with np.where, use NumPy's functions, and look at results after the call",
                )  # fmt: skip
            return value
        return self.value

    __bool__ = _asked("", bool)
    __float__, __int__ = _asked("`float()`, or a function of `math`,", float), _asked("`int()`", int)
    __index__ = _asked("an index of a list, a count or a shape", operator.index)
    __format__ = _asked(
        "a text (`print`, `str`, an f-string)",
        lambda array, spec: format(array.item(), spec) if spec else str(array),
    )
    __str__ = _asked("a text (`print`, `str`, an f-string)", str)
    __complex__ = _asked("`complex()`", complex)
    __contains__ = _asked("`in`", lambda array, x: x in array)
    item = _asked("`.item()`", lambda array, *args: array.item(*args))
    tolist = _asked("`.tolist()`", lambda array: array.tolist())


_BOOLEAN_INDEX = (
    "how many elements a boolean index picks depends on values. A program has fixed shapes: use np.where with three "
    "arguments, or multiply by the mask"
)


class _Flat:
    """``x.flat``: what is taken out is a copy, what is written goes into ``x``."""

    def __init__(self, row: Tracer) -> None:
        self.row = row

    def __getitem__(self, index: Any) -> Any:
        part = self.row[index]
        return part if getattr(part, "is_number", True) else part.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.row[index] = value

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.row)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row.copy(), name)


_METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "conj", "conjugate",
    "cumprod", "cumsum", "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted",
    "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
)  # fmt: skip

#: What the operator ``**`` knows of exponents, unlike ``np.power``.
_POWERS: dict[Any, Callable[[Any], Any]] = {
    1: np.positive,
    2: np.square,
    -1: np.reciprocal,
    0.5: np.sqrt,
}

#: Functions that look at shapes and dtypes only: their results are constants.
_SHAPE_ONLY = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.common_type,
    np.may_share_memory, np.shares_memory,
}  # fmt: skip
#: Functions that make arrays of a shape. What is in memory by chance is 0, the same in every trace.
_LIKE = {np.zeros_like: np.zeros_like, np.ones_like: np.ones_like, np.empty_like: np.zeros_like}
_TEXTS = {np.array2string, np.array_repr, np.array_str}
_MUTATORS = {np.copyto, np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal}
_REDUCTIONS: dict[Any, np.ufunc] = {
    np.sum: np.add, np.prod: np.multiply, np.max: np.maximum, np.amax: np.maximum, np.min: np.minimum,
    np.amin: np.minimum, np.all: np.logical_and, np.any: np.logical_or,
}  # fmt: skip
#: Functions of floating point numbers that are taken apart, as they are defined in ``ops``.
_DEFINED = {np.mean, np.var, np.std}
#: Functions whose result is as long as values say.
_UNKNOWN_SHAPE = {
    np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.unique_all, np.unique_counts, np.unique_inverse,
    np.unique_values, np.compress, np.extract, np.trim_zeros, np.union1d, np.intersect1d, np.setdiff1d,
    np.setxor1d, np.delete, np.split, np.array_split, np.insert,
    np.piecewise,
}  # fmt: skip


def _has_unknown_shape(func: Any, args: Any, settings: Any) -> bool:
    """Whether the shape of a result depends on numbers that may change."""
    if func is np.where:
        return len(args) == 1 and _is_unknown(args[0])
    if func is _repeat:
        return len(args) > 1 and _is_unknown(args[1]) and np.ndim(args[1]) > 0
    if func in (np.delete, np.split, np.array_split, np.insert):
        return len(args) > 1 and any(map(_is_unknown, _tracers_in(args[1:2])))
    if func in (np.tile, np.resize):
        return any(map(_is_unknown, _tracers_in((*args[1:2], *settings.values()))))
    if func is np.bincount:
        return _is_unknown(args[0]) and not _has_bound(*args, **settings)
    if func in (np.histogram, np.histogram_bin_edges):
        return any(isinstance(bins, str) for bins in (*args[1:2], settings.get("bins")))
    return func in _UNKNOWN_SHAPE and any(map(_is_unknown, _tracers_in(args)))


def _has_bound(x: Any, weights: Any = None, minlength: Any = 0) -> bool:
    """Whether counts are as many as they were asked to be at least, which is then tested at every call."""
    if x.value.size and x.value.max() >= minlength:
        return False
    brief = f"np.bincount: a number is not below minlength={minlength}, and the result would be longer than compiled"
    is_beyond: Any = np.any(x >= minlength)
    is_beyond.__refuse__(brief)
    return True


def _is_unknown(x: Any) -> bool:
    return type(x) is Tracer and not x.is_known


def _picks_unknown(index: Any) -> bool:
    """Whether an index is a mask that may change."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(_is_unknown(part) and part.dtype == bool for part in parts)


def _pinned_mask(part: Any) -> Any:
    """A mask that may be taken for a constant as one."""
    value = part.tape.pinned(part.op) if _is_unknown(part) and part.dtype == bool else None
    return part if value is None else known(part.tape, value)


def _is_float(args: Any) -> bool:
    return bool(args) and type(args[0]) is Tracer and args[0].dtype in (np.float32, np.float64)


def _is_plain(args: Any, kwargs: Any) -> bool:
    """Whether a reduction was called with nothing rarer than axes."""
    return len(args) <= 2 and not {name for name, arg in kwargs.items() if arg is not np._NoValue} - {
        "axis",
        "keepdims",
        "ddof",
    }


def _tracers_in(tree: Any) -> Iterator[Tracer]:
    for part in tree:
        if type(part) is Tracer:
            yield part
        elif isinstance(part, (list, tuple)):
            yield from _tracers_in(part)


def _dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else _as_array(x).dtype


def _laid_out_as(old: Any, new: Any) -> Any:
    """The same numbers, lying in memory as others do, for what is a view later depends on it."""
    made = np.empty_like(old)
    made[...] = new
    return made


def _fitted(trace: Trace, y: Any, like: Any) -> Any:
    """A result in the shape and dtype of the array that it goes into."""
    y = y if type(y) is Tracer else known(trace, _as_array(y))
    y = y if y.shape == like.shape else np.broadcast_to(y, like.shape)
    return y.astype(like.dtype, copy=False)


def _number_of(part: Any) -> Any:
    """The value of a part of an index; a single integer picks a view, as a Python integer does."""
    is_integer = type(part) is Tracer and part.is_number and part.dtype.kind in "iu"
    return int(part.value) if is_integer else value_of(part)


def _view_of(function: Any, x: Any, argument: Any) -> Any:
    if function is getitem:
        return x[swap(argument, _number_of)]
    return function.function(x, argument) if hasattr(function, "function") else function(x, argument)


def _put_back(source: Tracer, function: Any, argument: Any, new: Tracer) -> Tracer:
    """What an array is once a view of it, taken by a function with an argument, has become new."""
    if function is getitem:
        changed = source.value.copy()
        changed[swap(argument, _number_of)] = new.value
        result: Tracer = written(source.tape, setitem, (source, argument, new), {}, changed)
        return result
    if function is view_as:
        return new.view(source.dtype)  # type: ignore[no-any-return]
    if function is np.transpose:
        return new.transpose(tuple(map(int, np.argsort(argument))))  # type: ignore[no-any-return]
    return new.reshape(source.shape)  # type: ignore[no-any-return]


def _is_users(x: Any) -> bool:
    """Whether this is a function that somebody wrote in Python."""
    return (
        callable(x) and not isinstance(x, (type, np.ufunc, StandIn, Tensor)) and not isinstance(x, np.dtype)
    )


def _taken_apart(trace: Trace, func: Any, args: Any, kwargs: Any) -> Any:
    """Call what calls a function of the user's: by its definition here, so that this is written down too."""
    if func not in REGISTRY:
        raise untraceable(trace, f"np.{func.__name__} calls a function, which")
    args = tuple(_handle(x, None) if type(x) is Tracer else x for x in args)
    return tree_map(
        lambda y: y._data if isinstance(y, Tensor) and y._node is None else y, REGISTRY[func](*args, **kwargs)
    )


def _refuse_tracked(tree: Any) -> None:
    """Refuse to use a tracked Tensor where only its numbers would be seen."""
    if is_recording():
        swap(tree, lambda x: x.__array__() if isinstance(x, Tensor) and x._node is not None else x)


def _rewrite(function: Any, target: Tracer, *args: Any, **settings: Any) -> None:
    """Call a function that writes into its first argument."""

    def change(x: Any, *others: Any, **keywords: Any) -> Any:
        changed = x.copy()
        function(changed, *others, **keywords)
        return changed

    _refuse_tracked((args, tuple(settings.values())))
    value = change(target.value, *swap(args, value_of), **_values(settings))
    target._become(written(target.tape, call, (Callee(change), target, *args), settings, value))


def _trace_of(*trees: Any) -> Trace:
    for tree in trees:
        for part in tree.values() if isinstance(tree, dict) else tree or ():
            if is_stand_in(part):
                return part.tape  # type: ignore[no-any-return]
            if isinstance(part, (list, tuple)) and (found := _trace_of(part)):
                return found
    return None  # type: ignore[return-value]


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: swap(arg, value_of) for key, arg in settings.items()}


def _reduced(trace: Trace, function: Any, inputs: Any, settings: dict[str, Any], value: Any) -> Any:
    """Write all reductions in one way: axes as a tuple of numbers from 0 up."""
    ndim = inputs[0].ndim
    axis = settings.pop("axis", 0) if len(inputs) == 1 else inputs[1]
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    keepdims = bool(settings.pop("keepdims", False))
    kept = {"axis": tuple(sorted(int(i) % max(ndim, 1) for i in axes)), "keepdims": keepdims, **settings}
    if not ndim:
        kept["axis"] = ()
    return written(trace, function, inputs[:1], kept, value)


def _take_view(func: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """Write all views in a few ways too."""
    order = kwargs.get("order", args[-1] if args and isinstance(args[-1], str) else "C")
    if order in ("F", "f"):
        wanted = func(a.value, *args, **kwargs).shape
        return a.transpose().reshape(wanted[::-1]).transpose()
    if order not in ("C", "c", None):
        raise untraceable(a.tape, f"np.{func.__name__} in order={order!r}, as the array lies in memory,")
    function, argument, value = VIEWS[func](func, a.value, *args, **kwargs)
    return a._viewed(function, argument, value)


def _is_of_numbers(x: Any) -> bool:
    return is_stand_in(x) or _as_array(x).dtype.kind in "biufc"


def _says_something(arg: Any) -> bool:
    return arg is not None and arg is not np._NoValue


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_holds_arrays, value))
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"


def _index(index: Any) -> Any:
    """An index whose lists are arrays, and whose NumPy integers are Python's."""
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(map(_part_of_index, parts))
    return made if isinstance(index, tuple) else made[0]


def _part_of_index(part: Any) -> Any:
    part = part._data if isinstance(part, Tensor) else part
    if isinstance(part, (list, range)):
        part = _as_array(part)
        part = part if part.size else part.astype(int)  # an empty list picks nothing
    if isinstance(part, np.integer) or (type(part) is Tracer and not part.ndim and not _is_unknown(part)):
        return part if part.dtype == bool else int(part)
    if isinstance(part, slice):
        ends = part.start, part.stop, part.step
        return slice(*(None if x is None else operator.index(x) for x in ends))
    return part
