"""The pen under the arrays: stand-ins that compute as arrays do, and write down what was called.

Everything else in this package, from a layer's forward code to the rules of the backward pass and the
optimizers' formulas, is plain NumPy on whatever it is given. A :class:`Tracer` is given in place of an
array. It holds the array's value, so that every call is made and every shape and dtype is NumPy's own;
and each call leaves an :class:`~tinygrad_mnist.compiler.program.Op` behind. Calls that no Tracer takes
part in leave nothing: their results are constants.

What a straight line of calls cannot hold, such as a branch on a value, raises
:class:`~tinygrad_mnist.errors.UntraceableError`. Inside an operation or a rule that is caught, and the
operation is written down as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...errors import CompileError, UntraceableError
from ...graph import Node, is_recording
from ...origins import is_internal, line_of, users_line
from ...primitive import REGISTRY, Primitive, operation
from ...tensor import Tensor, _handle
from ..program import Op, is_basic, swap
from .tape import Callee, StandIn, Trace, is_stand_in, value_of
from .views import VIEWS

__all__ = ["Tracer", "untraceable", "written"]


def written(trace: Trace, function: str, args: Sequence[Any], settings: dict[str, Any], value: Any) -> Any:
    """Write down a call whose result is known; return the result's stand-in, or a tuple of them."""
    op = trace.record(function, tuple(args), settings, value)
    if isinstance(value, (tuple, list)):
        parts = [written(trace, "pick", (op, i), {}, part) for i, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return Tracer(trace, op, np.asarray(value))


def as_a_whole(trace: Trace, primitive: Primitive, args: Any, settings: Any, rule: int | None = None) -> Any:
    """Write down an operation or a rule that cannot be taken apart, and run it on the values."""
    function: Any = primitive.forward if rule is None else primitive.rules[rule]
    which = "forward" if rule is None else f"rules[{rule}]"
    is_known = operation(primitive.name) is primitive
    callee = Callee(function, f"operation({primitive.name!r}).{which}" if is_known else "")
    value = function(*swap(tuple(args), value_of), **_values(settings))
    result = written(trace, "call", (callee, *args), dict(settings), value)
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


def untraceable(trace: Trace, what: str) -> UntraceableError:
    """Build the error for what a program cannot hold; it names the user's line."""
    origin = users_line()
    where = "" if is_internal(origin) else f" ({line_of(origin)})"
    return UntraceableError(f"compile: {what}{where}", partial(as_a_whole, trace))


def _operator(ufunc: np.ufunc, reflected: bool = False) -> Callable[[Any, Any], Any]:
    if reflected:
        return lambda self, other: ufunc(other, self)
    return lambda self, other: ufunc(self, other)


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: function(self, *args, **kwargs)


def _in_place(ufunc: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._become(ufunc(self, other))


def _of_value(name: str) -> Any:
    return property(lambda self: getattr(self.value, name))


class Tracer(StandIn):
    """Stands for an array: computes with its value, and writes down what was called.

    It passes for an ``ndarray`` where code asks (``isinstance``, ``.__class__``), but NumPy's own C code
    cannot look inside: what would read the numbers without a trace ends in an error.
    """

    __slots__ = ("__weakref__", "relatives")

    def __init__(self, trace: Trace, op: Op, value: Any, relatives: list[int] | None = None) -> None:
        super().__init__(trace, op, value)
        self.relatives = [1] if relatives is None else relatives  # how many share its memory
        if relatives is not None:
            relatives[0] += 1

    @classmethod
    def input(cls, trace: Trace, name: str, value: Any) -> Tracer:
        """Put a stand-in in the place of an array that is given to the program."""
        value = np.asarray(value)
        return cls(trace, trace.input(name, value), value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What it passes for."""
        return np.ndarray

    # -- what it looks like --------------------------------------------------------------------------

    shape, dtype, ndim = _of_value("shape"), _of_value("dtype"), _of_value("ndim")
    size, nbytes, itemsize = _of_value("size"), _of_value("nbytes"), _of_value("itemsize")
    strides = _of_value("strides")
    base = property(lambda self: None)
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
            raise untraceable(trace, f"np.{ufunc.__name__} was to write into a plain array what is traced")
        settings = {key: arg for key, arg in kwargs.items() if key == "axis" or _says_something(arg)}
        value = getattr(ufunc, method)(*swap(inputs, value_of), **_values(settings))
        name = f"np.{ufunc.__name__}"
        if method == "reduce":
            result = _reduced(trace, name, inputs, settings, value)
        else:
            name += "" if method == "__call__" else f".{method}"
            result = written(trace, name, inputs, settings, value)
        if out is None:
            return result
        results = result if isinstance(result, tuple) else (result,)
        kept = tuple(y if t is None else t._become(y) for t, y in zip(out, results, strict=True))
        return kept if isinstance(result, tuple) else kept[0]

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if func in VIEWS:
            return _viewed(func, *args, **kwargs)
        if func in _SHAPE_ONLY:
            return func(*swap(args, value_of), **_values(kwargs))
        if any(issubclass(kind, Tensor) for kind in types):
            return REGISTRY[func](*args, **kwargs) if func in REGISTRY else NotImplemented
        trace = _trace_of(args, kwargs)
        out = kwargs.pop("out", None)
        name = f"{func.__module__}.{func.__name__}".replace("numpy.", "np.", 1)
        if func in _MUTATORS or (out is not None and type(out) is not Tracer):
            raise untraceable(trace, f"{name} was to write into an array what is traced")
        settings = {key: arg for key, arg in kwargs.items() if arg is not np._NoValue}
        value = func(*swap(args, value_of), **_values(settings))
        if not _holds_arrays(value):
            raise untraceable(trace, f"{name} was asked for a {type(value).__name__} that depends on values")
        if func in _REDUCTIONS and len(args) <= 2 and not (settings.keys() - {"axis", "keepdims"}):
            axis = args[1] if len(args) == 2 else settings.pop("axis", None)
            return _reduced(trace, _REDUCTIONS[func], args[:1], {"axis": axis, **settings}, value)
        result = written(trace, name, args, settings, value)
        return result if out is None else out._become(result)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise untraceable(
            self.trace,
            "an array that changes from call to call was to become a plain one, or be written into one; use NumPy's "
            "functions on it, and np.stack rather than np.array",
        )

    def __primitive__(self, primitive: Primitive, args: Sequence[Any], settings: dict[str, Any]) -> Any:
        """Run an operation of this package on arrays, one of which is this."""
        if any(isinstance(arg, Tensor) for arg in args):
            tensor: Any = next(arg for arg in args if isinstance(arg, Tensor))
            return tensor.__primitive__(primitive, args, settings)
        try:
            return primitive.forward(*args, **settings)
        except UntraceableError as error:
            return error.as_a_whole(primitive, args, settings)

    def __refuse__(self, brief: str) -> None:
        """Check at every call what the code checks here."""
        self.trace.record("check", (self, brief), {}, None)

    # -- in place ------------------------------------------------------------------------------------

    def _become(self, new: Any) -> Tracer:
        """Stand for the result of an operation in place."""
        if self.relatives[0] > 1:
            raise untraceable(self.trace, "an array was changed in place while a view of it was in use")
        if new.shape != self.shape:
            raise ValueError(f"in place: a result of shape {new.shape} does not fit {self.shape}")
        if new.dtype != self.dtype:
            np.empty(0, new.dtype).astype(self.dtype, casting="same_kind")  # NumPy's own error
            new = new.astype(self.dtype)
        self.op, self.value = new.op, new.value
        return self

    __iadd__, __isub__ = _in_place(np.add), _in_place(np.subtract)
    __imul__, __itruediv__ = _in_place(np.multiply), _in_place(np.divide)

    def __ipow__(self, other: Any) -> Any:
        return self._become(self**other)

    def __setitem__(self, index: Any, value: Any) -> None:
        changed = self.value.copy()
        changed[swap(index, value_of)] = value_of(value)
        self._become(written(self.trace, "setitem", (self, _index(index), value), {}, changed))

    # -- operators and methods -----------------------------------------------------------------------

    __add__, __radd__ = _operator(np.add), _operator(np.add, reflected=True)
    __sub__, __rsub__ = _operator(np.subtract), _operator(np.subtract, reflected=True)
    __mul__, __rmul__ = _operator(np.multiply), _operator(np.multiply, reflected=True)
    __truediv__, __rtruediv__ = _operator(np.divide), _operator(np.divide, reflected=True)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide), _operator(np.floor_divide, reflected=True)
    __mod__, __rmod__ = _operator(np.remainder), _operator(np.remainder, reflected=True)
    __matmul__, __rmatmul__ = _operator(np.matmul), _operator(np.matmul, reflected=True)
    __and__, __rand__ = _operator(np.bitwise_and), _operator(np.bitwise_and, reflected=True)
    __or__, __ror__ = _operator(np.bitwise_or), _operator(np.bitwise_or, reflected=True)
    __xor__, __rxor__ = _operator(np.bitwise_xor), _operator(np.bitwise_xor, reflected=True)
    __lt__, __le__ = _operator(np.less), _operator(np.less_equal)
    __gt__, __ge__ = _operator(np.greater), _operator(np.greater_equal)
    __eq__, __ne__ = _operator(np.equal), _operator(np.not_equal)
    __neg__, __pos__ = _function(np.negative), _function(np.positive)
    __abs__, __invert__ = _function(np.absolute), _function(np.invert)
    __rpow__ = _operator(np.power, reflected=True)
    __hash__ = object.__hash__

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, (int, float)) and self.dtype.kind in "fc" and exponent in _POWERS:
            return _POWERS[exponent](self)
        return np.power(self, exponent)

    def __getitem__(self, index: Any) -> Any:
        value, index = self.value[swap(index, value_of)], _index(index)
        if is_basic(index):
            return self._view("getitem", (self, index), value)
        return written(self.trace, "getitem", (self, index), {}, value)

    def _view(self, function: str, args: tuple[Any, ...], value: Any) -> Tracer:
        """A result that shares this array's memory."""
        value = np.asarray(value)
        return Tracer(self.trace, self.trace.record(function, args, {}, value), value, self.relatives)

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        """Convert, or copy."""
        value = self.value.astype(dtype, *args, **kwargs)
        if value.dtype == self.dtype:
            return self.copy() if copy else self
        return written(self.trace, "astype", (self, value.dtype), {}, value)

    def copy(self, order: str = "C") -> Any:
        """Copy."""
        return written(self.trace, "copy", (self,), {}, self.value.copy())

    def view(self, dtype: Any = None) -> Any:
        """Look at the same memory, as another dtype if one is given."""
        if dtype is None:
            return Tracer(self.trace, self.op, self.value, self.relatives)
        return self._view("view", (self, np.dtype(dtype)), self.value.view(dtype))

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Give another shape: as one tuple or as several integers."""
        return _viewed(np.reshape, self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes: as one tuple or as several integers."""
        return _viewed(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    ravel = flatten = _function(np.ravel)
    T = property(lambda self: self.transpose())
    mT = property(  # noqa: N815
        lambda self: np.swapaxes(self, -1, -2)
    )
    real = property(lambda self: np.real(self) if self.dtype.kind == "c" else self)
    imag = property(lambda self: np.imag(self))
    flat = property(lambda self: self.reshape(-1))

    def __getattr__(self, name: str) -> Any:
        """A method of arrays that NumPy has a function for."""
        if name in _METHODS:
            function = getattr(np, name)
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise untraceable(self.trace, f"array.{name} reads or changes an array that is traced")
        raise AttributeError(f"an array has no attribute {name!r}")

    # -- the numbers in it ---------------------------------------------------------------------------

    def _branch(self, *_: Any) -> Any:
        raise untraceable(
            self.trace,
            "a Python `if`, `while`, `float()` or `.item()` asked for a value that changes from call to call. A "
            "compiled program is a straight line: choose with np.where, and look at results after the call",
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __contains__ = item = tolist = _branch


_METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "conj", "conjugate", "cumprod",
    "cumsum", "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted",
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
            if is_stand_in(part):
                return part.trace  # type: ignore[no-any-return]
            if isinstance(part, (list, tuple)) and (found := _trace_of(part)):
                return found
    return None  # type: ignore[return-value]


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: swap(arg, value_of) for key, arg in settings.items()}


def _reduced(trace: Trace, name: str, inputs: Any, settings: dict[str, Any], value: Any) -> Any:
    """Write all reductions in one way: axes as a tuple of numbers from 0 up."""
    ndim = inputs[0].ndim
    axis = settings.pop("axis", 0) if len(inputs) == 1 else inputs[1]
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    keepdims = bool(settings.pop("keepdims", False))
    kept = {"axis": tuple(sorted(int(i) % max(ndim, 1) for i in axes)), "keepdims": keepdims, **settings}
    return written(trace, f"{name}.reduce", inputs[:1], kept, value)


def _viewed(func: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """Write all views in one way too."""
    if type(a) is not Tracer:
        return func(a, *args, **kwargs)
    if kwargs.get("order", "C") not in ("C", None):
        raise untraceable(a.trace, f"np.{func.__name__} in order={kwargs['order']!r}")
    function, argument, value = VIEWS[func](func, a.value, *args, **kwargs)
    is_same = argument in (a.shape, tuple(range(a.ndim))) and value.shape == a.shape
    if is_same and function != "np.transpose":
        return Tracer(a.trace, a.op, a.value, a.relatives)
    return a._view(function, (a, argument), value)


def _says_something(arg: Any) -> bool:
    return arg is not None and arg is not np._NoValue


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_holds_arrays, value))
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"


def _index(index: Any) -> Any:
    """An index whose lists are arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(np.asarray(part) if isinstance(part, (list, range)) else part for part in parts)
    return made if isinstance(index, tuple) else made[0]
