"""The pen under the arrays: stand-ins that compute as arrays do, and write down what was called.

Everything else in this package, from a layer's forward code to the rules of the backward pass and the
optimizers' formulas, is plain NumPy on whatever it is given. A :class:`Tracer` is given in place of an
array. It holds the array's value, so that every call is made and every shape and dtype is NumPy's own;
and each call leaves an :class:`~tinygrad_mnist.compiler.program.Op` behind. Calls that no Tracer takes
part in leave nothing: their results are constants.

What a straight line of calls cannot hold, such as a branch on a value, raises :class:`Untraceable`. Inside
an operation or a rule that is caught, and the operation is written down as a whole.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import CompileError, Untraceable
from ..graph import SCOPE, Node, scope_text
from ..origins import is_internal, line_of, users_line
from ..primitive import REGISTRY, Primitive, operation
from ..tensor import Tensor
from .program import Op, Place, is_basic, swap

__all__ = ["Callee", "Dice", "Number", "Trace", "Tracer"]


class Callee:
    """A function that is called as a whole, and how a program that stands on its own finds it."""

    def __init__(self, function: Callable[..., Any], reference: str) -> None:
        self.function = function
        self.reference = reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Callee) and self.reference == other.reference != ""

    def __hash__(self) -> int:
        return hash(self.reference)


class Trace:
    """What was called, in order."""

    def __init__(self) -> None:
        self.inputs: list[Op] = []
        self.ops: list[Op] = []
        self.phase = "forward"
        self.node: Node | None = None  # whose rules are running, in the backward pass
        self._constants: dict[int, tuple[Any, Op]] = {}
        self._places: dict[Any, Place] = {}

    # -- what a program is given -------------------------------------------------------------------

    def input(self, name: str, value: Any) -> Tracer:
        """Put a stand-in in the place of an array that is given to the program."""
        value = np.asarray(value)
        op = Op("input", (), {"name": name}, value.shape, value.dtype)
        self.inputs.append(op)
        return Tracer(self, op, value)

    def number(self, name: str, value: Any) -> Number:
        """Put a stand-in in the place of a Python number, such as a learning rate."""
        op = Op("input", (), {"name": name}, (), None)
        self.inputs.append(op)
        return Number(self, op, value)

    def generator(self, name: str, rng: np.random.Generator) -> Dice:
        """Put a stand-in in the place of a Generator; what is drawn while tracing is not drawn from it."""
        op = Op("input", (), {"name": name, "kind": "generator"}, (), None)
        self.inputs.append(op)
        return Dice(self, op, copy.deepcopy(rng))

    # -- what it does --------------------------------------------------------------------------------

    def call(self, function: str, args: tuple[Any, ...], settings: dict[str, Any], value: Any) -> Any:
        """Write down a call whose result is known; the result's stand-in, or a tuple of them."""
        op = self.record(function, args, settings, value)
        if isinstance(value, (tuple, list)):
            parts = [self.call("pick", (op, i), {}, part) for i, part in enumerate(value)]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return Tracer(self, op, np.asarray(value))

    def record(self, function: str, args: tuple[Any, ...], settings: dict[str, Any], value: Any) -> Op:
        """Write down a call."""
        args = swap(args, self.operand)
        settings = {key: swap(arg, self.operand) for key, arg in settings.items()}
        is_array = isinstance(value, (np.ndarray, np.generic))
        shape, dtype = (value.shape, value.dtype) if is_array else ((), None)
        op = Op(function, args, settings, shape, dtype, self.place())
        self.ops.append(op)
        return op

    def operand(self, arg: Any) -> Any:
        """What an argument is in the program."""
        kind = type(arg)
        if kind in (Tracer, Number, Dice):
            return arg.op
        if kind is Tensor or isinstance(arg, Tensor):
            return self.operand(arg._data)
        if isinstance(arg, np.ndarray):
            return self.constant(arg)
        if isinstance(arg, np.generic) and not isinstance(arg, (np.bool_, np.integer)):
            return self.constant(np.asarray(arg))
        return arg

    def constant(self, value: np.ndarray) -> Op:
        """An array that no Tracer took part in."""
        if id(value) not in self._constants:
            op = Op("constant", (), {"value": value}, value.shape, value.dtype)
            self.ops.append(op)
            self._constants[id(value)] = value, op
        return self._constants[id(value)][1]

    def whole(self, primitive: Primitive, args: Any, settings: Any, rule: int | None = None) -> Any:
        """Write down an operation or a rule that cannot be taken apart, and run it on the values."""
        settings = dict(settings)
        function: Any = primitive.forward if rule is None else primitive.rules[rule]
        which = "forward" if rule is None else f"rules[{rule}]"
        reference = f"operation({primitive.name!r}).{which}" if operation(primitive.name) is primitive else ""
        value = function(*swap(tuple(args), value_of), **{k: swap(v, value_of) for k, v in settings.items()})
        return self.call("call", (Callee(function, reference), *args), settings, value)

    def place(self) -> Place:
        """Where in the user's program this happens."""
        if self.node is not None:
            if self.node not in self._places:
                self._places[self.node] = self._place("backward", self.node.scope, self.node.line)
            return self._places[self.node]
        within = SCOPE.get()
        origin = users_line()
        while within is not None and within[3] is not None and is_internal(within[3]):
            within = within[0]
        if within is not None and within[4] and within[3] is not None:
            origin = within[3]
        key = self.phase, SCOPE.get(), origin
        if key not in self._places:
            tells = not is_internal(origin) and "site-packages" not in origin[0].co_filename
            line = line_of(origin) if tells and self.phase != "update" else None
            self._places[key] = self._place(self.phase, scope_text(SCOPE.get()), line)
        return self._places[key]

    def _place(self, phase: str, scope: str, line: Any) -> Place:
        if line is None:
            return Place(phase, scope, "", "")
        name = line.file.replace("\\", "/").rpartition("/")[2]
        return Place(phase, scope, f"{name}:{line.number}", line.text)

    def untraceable(self, what: str) -> Untraceable:
        """Build the error for what a program cannot hold; it names the user's line."""
        origin = users_line()
        where = "" if is_internal(origin) else f" ({line_of(origin)})"
        return Untraceable(f"compile: {what}{where}", self)


def value_of(arg: Any) -> Any:
    """The value behind a stand-in."""
    if type(arg) in (Tracer, Number, Dice):
        return arg.value
    return arg._data.value if isinstance(arg, Tensor) and type(arg._data) is Tracer else arg


# -- Python numbers ----------------------------------------------------------------------------------


class Number:
    """Stands for a Python number that may be another at the next call."""

    __slots__ = ("op", "trace", "value")

    def __init__(self, trace: Trace, op: Op, value: Any) -> None:
        self.trace, self.op, self.value = trace, op, value

    def _with(self, sign: str, function: Callable[..., Any], *args: Any) -> Any:
        if any(isinstance(arg, (np.ndarray, Tensor)) for arg in args):
            return NotImplemented
        value = function(*map(value_of, args))
        return Number(self.trace, self.trace.record(sign, args, {}, value), value)

    __add__ = lambda a, b: a._with("+", operator.add, a, b)
    __radd__ = lambda a, b: a._with("+", operator.add, b, a)
    __sub__ = lambda a, b: a._with("-", operator.sub, a, b)
    __rsub__ = lambda a, b: a._with("-", operator.sub, b, a)
    __mul__ = lambda a, b: a._with("*", operator.mul, a, b)
    __rmul__ = lambda a, b: a._with("*", operator.mul, b, a)
    __truediv__ = lambda a, b: a._with("/", operator.truediv, a, b)
    __rtruediv__ = lambda a, b: a._with("/", operator.truediv, b, a)
    __pow__ = lambda a, b: a._with("**", operator.pow, a, b)
    __rpow__ = lambda a, b: a._with("**", operator.pow, b, a)
    __neg__ = lambda a: a._with("neg", operator.neg, a)

    def _leaves(self, *_: Any) -> Any:
        raise self.trace.untraceable(
            f"the number {self.op.settings.get('name', '')!r} changes from call to call, and was compared or converted"
        )

    __bool__ = __float__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _leaves
    __hash__ = object.__hash__


# -- random numbers ----------------------------------------------------------------------------------


class Dice:
    """Stands for a ``numpy.random.Generator``: every draw becomes a line of the program."""

    __slots__ = ("op", "trace", "value")

    def __init__(self, trace: Trace, op: Op, value: np.random.Generator) -> None:
        self.trace, self.op, self.value = trace, op, value

    @property
    def __class__(self) -> Any:
        """What it passes for, so that ``np.random.default_rng(rng)`` returns it."""
        return np.random.Generator

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.value, name)
        if not callable(method) or name in ("spawn", "shuffle"):
            raise self.trace.untraceable(f"Generator.{name} cannot be part of a program")

        def draw(*args: Any, **settings: Any) -> Any:
            value = method(*swap(args, value_of), **{k: swap(v, value_of) for k, v in settings.items()})
            return self.trace.call("draw", (self, name, *args), settings, value)

        return draw


# -- arrays ------------------------------------------------------------------------------------------


class Tracer:
    """Stands for an array: computes with its value, and writes down what was called.

    It passes for an ``ndarray`` where code asks (``isinstance``, ``.__class__``), but NumPy's own C code
    cannot look inside: what would read the numbers without a trace ends in an error.
    """

    __slots__ = ("__weakref__", "op", "relatives", "trace", "value")

    def __init__(self, trace: Trace, op: Op, value: np.ndarray, relatives: list[int] | None = None) -> None:
        self.trace, self.op, self.value = trace, op, value
        self.relatives = [1] if relatives is None else relatives  # how many share its memory
        if relatives is not None:
            relatives[0] += 1

    @property
    def __class__(self) -> Any:
        """What it passes for."""
        return np.ndarray

    # -- what it looks like --------------------------------------------------------------------------

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    nbytes = property(lambda self: self.value.nbytes)
    itemsize = property(lambda self: self.value.itemsize)
    base = property(lambda self: None)
    strides = property(lambda self: self.value.strides)
    flags = property(lambda self: self.value.view().flags)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.value)))

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape} and dtype {self.dtype}>"

    # -- NumPy's protocols ---------------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        trace = _trace_of(inputs, out, kwargs)
        if method == "at" or (out is not None and not all(type(x) is Tracer or x is None for x in out)):
            raise trace.untraceable(f"np.{ufunc.__name__} was to write into a plain array what is traced")
        settings = {key: arg for key, arg in kwargs.items() if key == "axis" or _says_something(arg)}
        function = getattr(ufunc, method)
        value = function(*swap(inputs, value_of), **{k: swap(v, value_of) for k, v in settings.items()})
        name = f"np.{ufunc.__name__}"
        if method == "reduce":
            inputs, settings, name = _reduction(name, inputs, settings)
        elif method != "__call__":
            name += f".{method}"
        result = trace.call(name, inputs, settings, value)
        if out is None:
            return result
        results = result if isinstance(result, tuple) else (result,)
        written = tuple(y if t is None else t._become(y) for t, y in zip(out, results, strict=True))
        return written if isinstance(result, tuple) else written[0]

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if func in _VIEWS:
            return _VIEWS[func](*args, **kwargs)
        if func in _SHAPE_ONLY:
            return func(*swap(args, value_of), **{k: swap(v, value_of) for k, v in kwargs.items()})
        if any(issubclass(kind, Tensor) for kind in types):
            return REGISTRY[func](*args, **kwargs) if func in REGISTRY else NotImplemented
        trace = _trace_of(args, kwargs)
        out = kwargs.pop("out", None)
        name = _qualified(func)
        if func in _MUTATORS or (out is not None and type(out) is not Tracer):
            raise trace.untraceable(f"{name} was to write into an array what is traced")
        settings = {key: arg for key, arg in kwargs.items() if arg is not np._NoValue}
        value = func(*swap(args, value_of), **{k: swap(v, value_of) for k, v in settings.items()})
        if not _holds_arrays(value):
            raise trace.untraceable(f"{name} was asked for a {type(value).__name__} that depends on values")
        if func in _REDUCTIONS and len(args) <= 2 and not (settings.keys() - {"axis", "keepdims"}):
            axis = args[1] if len(args) == 2 else settings.pop("axis", None)
            inputs, settings, name = _reduction(_REDUCTIONS[func], args[:1], {"axis": axis, **settings})
            return trace.call(name, inputs, settings, value)
        result = trace.call(name, tuple(args), settings, value)
        return result if out is None else out._become(result)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise self.trace.untraceable(
            "an array that changes from call to call was to become a plain one, or be written into one; use NumPy's "
            "functions on it, and np.stack rather than np.array"
        )

    def __primitive__(self, primitive: Primitive, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """Run an operation of this package on arrays, one of which is this."""
        if any(isinstance(arg, Tensor) for arg in args):
            tensor = next(arg for arg in args if isinstance(arg, Tensor))
            return tensor.__primitive__(primitive, args, settings)
        try:
            return primitive.forward(*args, **settings)
        except Untraceable as error:
            return error.trace.whole(primitive, args, settings)

    # -- in place ------------------------------------------------------------------------------------

    def _become(self, new: Any) -> Tracer:
        """Stand for the result of an operation in place."""
        if self.relatives[0] > 1:
            raise self.trace.untraceable("an array was changed in place while a view of it was in use")
        if new.shape != self.shape:
            raise ValueError(f"in place: a result of shape {new.shape} does not fit {self.shape}")
        if new.dtype != self.dtype:
            np.empty(0, new.dtype).astype(self.dtype, casting="same_kind")  # NumPy's own error
            new = new.astype(self.dtype)
        self.op, self.value = new.op, new.value
        return self

    __iadd__ = lambda self, other: self._become(np.add(self, other))
    __isub__ = lambda self, other: self._become(np.subtract(self, other))
    __imul__ = lambda self, other: self._become(np.multiply(self, other))
    __itruediv__ = lambda self, other: self._become(np.divide(self, other))
    __ipow__ = lambda self, other: self._become(self**other)

    def __setitem__(self, index: Any, value: Any) -> None:
        changed = self.value.copy()
        changed[swap(index, value_of)] = value_of(value)
        self._become(self.trace.call("setitem", (self, _index(index), value), {}, changed))

    # -- operators and methods -----------------------------------------------------------------------

    __add__ = lambda a, b: np.add(a, b)
    __radd__ = lambda a, b: np.add(b, a)
    __sub__ = lambda a, b: np.subtract(a, b)
    __rsub__ = lambda a, b: np.subtract(b, a)
    __mul__ = lambda a, b: np.multiply(a, b)
    __rmul__ = lambda a, b: np.multiply(b, a)
    __truediv__ = lambda a, b: np.divide(a, b)
    __rtruediv__ = lambda a, b: np.divide(b, a)
    __floordiv__ = lambda a, b: np.floor_divide(a, b)
    __rfloordiv__ = lambda a, b: np.floor_divide(b, a)
    __mod__ = lambda a, b: np.remainder(a, b)
    __rmod__ = lambda a, b: np.remainder(b, a)
    __matmul__ = lambda a, b: np.matmul(a, b)
    __rmatmul__ = lambda a, b: np.matmul(b, a)
    __and__ = lambda a, b: np.bitwise_and(a, b)
    __rand__ = lambda a, b: np.bitwise_and(b, a)
    __or__ = lambda a, b: np.bitwise_or(a, b)
    __ror__ = lambda a, b: np.bitwise_or(b, a)
    __xor__ = lambda a, b: np.bitwise_xor(a, b)
    __neg__ = lambda a: np.negative(a)
    __pos__ = lambda a: np.positive(a)
    __abs__ = lambda a: np.absolute(a)
    __invert__ = lambda a: np.invert(a)
    __lt__ = lambda a, b: np.less(a, b)
    __le__ = lambda a, b: np.less_equal(a, b)
    __gt__ = lambda a, b: np.greater(a, b)
    __ge__ = lambda a, b: np.greater_equal(a, b)
    __eq__ = lambda a, b: np.equal(a, b)  # type: ignore[assignment]
    __ne__ = lambda a, b: np.not_equal(a, b)  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, (int, float)) and self.dtype.kind in "fc" and exponent in _POWERS:
            return _POWERS[exponent](self)
        return np.power(self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return np.power(base, self)

    def __getitem__(self, index: Any) -> Any:
        value = self.value[swap(index, value_of)]
        index = _index(index)
        return (
            self._view("getitem", (self, index), value)
            if is_basic(index)
            else self.trace.call("getitem", (self, index), {}, value)
        )

    def _view(self, function: str, args: tuple[Any, ...], value: Any, **settings: Any) -> Tracer:
        """A result that shares this array's memory."""
        value = np.asarray(value)
        if function in ("np.reshape", "np.broadcast_to") and value.shape == self.shape:
            return Tracer(self.trace, self.op, self.value, self.relatives)
        return Tracer(self.trace, self.trace.record(function, args, settings, value), value, self.relatives)

    T = property(lambda self: self.transpose())
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self) if self.dtype.kind == "c" else self)
    imag = property(lambda self: np.imag(self))
    flat = property(lambda self: self.reshape(-1))

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        value = self.value.astype(dtype, *args, **kwargs)
        if value.dtype == self.dtype:
            return self.copy() if copy else self
        return self.trace.call("astype", (self, value.dtype), {}, value)

    def copy(self, order: str = "C") -> Any:
        return self.trace.call("copy", (self,), {}, self.value.copy())

    def view(self, dtype: Any = None) -> Any:
        return (
            self._view("view", (self, np.dtype(dtype)), self.value.view(dtype))
            if dtype
            else Tracer(self.trace, self.op, self.value, self.relatives)
        )

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def ravel(self, order: str = "C") -> Any:
        return np.ravel(self, order=order)

    flatten = ravel

    def __getattr__(self, name: str) -> Any:
        """A method of arrays that NumPy has a function for."""
        if name not in _METHODS:
            if hasattr(np.ndarray, name) and not name.startswith("__"):
                raise self.trace.untraceable(f"array.{name} reads or changes an array that is traced")
            raise AttributeError(f"an array has no attribute {name!r}")
        function = getattr(np, _METHODS[name])
        return lambda *args, **kwargs: function(self, *args, **kwargs)

    # -- the numbers in it ---------------------------------------------------------------------------

    def _branch(self, *_: Any) -> Any:
        raise self.trace.untraceable(
            "a Python `if`, `while`, `float()` or `.item()` asked for a value that changes from call to call. A "
            "compiled program is a straight line: choose with np.where, and look at results after the call"
        )

    def __refuse__(self, brief: str) -> None:
        """Check at every call what the code checks here."""
        self.trace.record("check", (self, brief), {}, None)

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __contains__ = item = tolist = _branch


_METHODS = {
    name: name
    for name in (
        "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "conj", "conjugate", "cumprod",
        "cumsum", "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted",
        "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
    )
}  # fmt: skip

_POWERS: dict[Any, Callable[[Any], Any]] = {
    1: np.positive,
    2: np.square,
    -1: np.reciprocal,
    0.5: np.sqrt,
}

#: Functions that look at shapes and dtypes only: their results are constants.
_SHAPE_ONLY = {
    np.zeros_like, np.ones_like, np.empty_like, np.shape, np.ndim, np.size, np.result_type, np.can_cast,
    np.iscomplexobj, np.isrealobj, np.common_type, np.may_share_memory, np.shares_memory,
}  # fmt: skip
_MUTATORS = {np.copyto, np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal}
_REDUCTIONS: dict[Any, str] = {
    np.sum: "np.add", np.prod: "np.multiply", np.max: "np.maximum", np.amax: "np.maximum", np.min: "np.minimum",
    np.amin: "np.minimum", np.all: "np.logical_and", np.any: "np.logical_or",
}  # fmt: skip


def _trace_of(*trees: Any) -> Trace:
    for tree in trees:
        for part in tree.values() if isinstance(tree, dict) else tree or ():
            if type(part) in (Tracer, Number, Dice):
                return part.trace  # type: ignore[no-any-return]
            if isinstance(part, (list, tuple)) and (found := _trace_of(part)):
                return found
    return None  # type: ignore[return-value]


def _reduction(name: str, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any], str]:
    """Write all reductions in one way: axes as a tuple of numbers from 0 up."""
    ndim = inputs[0].ndim
    axis = settings.pop("axis", 0) if len(inputs) == 1 else inputs[1]
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    keepdims = bool(settings.pop("keepdims", False))
    kept = {"axis": tuple(sorted(int(i) % max(ndim, 1) for i in axes)), "keepdims": keepdims, **settings}
    return inputs[:1], kept, f"{name}.reduce"


def _says_something(arg: Any) -> bool:
    return arg is not None and arg is not np._NoValue


def _qualified(func: Callable[..., Any]) -> str:
    return f"{func.__module__}.{func.__name__}".replace("numpy.", "np.", 1)


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_holds_arrays, value))
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"


def _index(index: Any) -> Any:
    """An index whose lists are arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(np.asarray(part) if isinstance(part, (list, range)) else part for part in parts)
    return made if isinstance(index, tuple) else made[0]


# -- functions whose results are views ---------------------------------------------------------------


def _transposing(func: Callable[..., Any]) -> Callable[..., Any]:
    def transpose(a: Any, *args: Any, **kwargs: Any) -> Any:
        if type(a) is not Tracer:
            return func(a, *args, **kwargs)
        value = func(a.value, *args, **kwargs)
        # Which axis went where, seen on an array whose strides tell the axes apart.
        probe = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), a.shape, range(1, a.ndim + 1))
        axes = tuple(stride - 1 for stride in func(probe, *args, **kwargs).strides)
        return a._view("np.transpose", (a, axes), value) if axes != tuple(range(a.ndim)) else a

    return transpose


def _reshaping(func: Callable[..., Any]) -> Callable[..., Any]:
    def reshape(a: Any, *args: Any, **kwargs: Any) -> Any:
        if type(a) is not Tracer:
            return func(a, *args, **kwargs)
        if kwargs.get("order", "C") not in ("C", None):
            raise a.trace.untraceable(f"np.{func.__name__} in order={kwargs['order']!r}")
        value = func(a.value, *args, **kwargs)
        return a._view("np.reshape", (a, value.shape), np.ascontiguousarray(value).reshape(value.shape))

    return reshape


def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    value = np.broadcast_to(array.value, shape)
    return array._view("np.broadcast_to", (array, value.shape), value)


_VIEWS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: _broadcast_to,
    **{
        f: _transposing(f) for f in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose)
    },
    **{f: _reshaping(f) for f in (np.reshape, np.ravel, np.expand_dims, np.squeeze)},
}
