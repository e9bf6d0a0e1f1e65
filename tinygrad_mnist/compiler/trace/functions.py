"""NumPy's functions on stand-ins: they compute with the values, and are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...graph import is_recording
from ...primitive import REGISTRY
from ...tensor import Tensor, _handle
from ...trees import tree_map
from ..instructions import as_bool, call
from ..program import swap
from .pen import PYTHON_NUMBERS, as_array, known, unshaped, untraceable, values_of, written
from .tape import Callee, StandIn, Trace, is_pythons, is_stand_in, is_traced, value_of
from .views import VIEWS

__all__ = [
    "call_function",
    "call_ufunc",
    "is_unknown",
    "laid_out_as",
    "refuse_tracked",
    "rewrite",
    "take_view",
]


_repeat = np.repeat  # np.repeat is replaced for traced code


_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}
#: Ufuncs that Python's operators call too; on Python numbers, these return Python numbers or other errors.
_OPERATORS = _COMPARISONS | {
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.divmod, np.power, np.matmul,
    np.negative, np.positive, np.absolute, np.invert, np.left_shift, np.right_shift, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.square, np.reciprocal, np.sqrt,
}  # fmt: skip


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], out: Any = None, **kwargs: Any) -> Any:
    """Handle a call of ``__array_ufunc__``."""
    if any(isinstance(x, Tensor) for x in (*inputs, *(out or ()))):
        return NotImplemented
    trace = _trace_of(inputs, out, kwargs)
    if trace.is_elsewhere():
        kwargs |= {} if out is None else {"out": swap(out, value_of)}
        return getattr(ufunc, method)(*swap(inputs, value_of), **values_of(kwargs))
    settings = {key: arg for key, arg in kwargs.items() if key == "axis" or _says_something(arg)}
    targets = out if out is not None else ()
    if method in ("reduce", "accumulate", "reduceat") and is_traced(out and out[0]):
        settings.setdefault("dtype", out[0].dtype)  # they compute in the dtype of out=
    is_of_python = any(map(is_pythons, inputs)) and all(
        type(x) in PYTHON_NUMBERS or is_pythons(x) for x in inputs
    )
    if ufunc in _OPERATORS and is_of_python:
        if ufunc not in _COMPARISONS or out is not None:
            raise untraceable(
                trace, "a Python number that changes from call to call was used in a computation"
            )
        value = ufunc(*map(value_of, inputs))
        return written(trace, as_bool, (written(trace, ufunc, inputs, {}, value),), {}, bool(value))
    if method == "at" and is_traced(inputs[0]):
        return rewrite(ufunc.at, *inputs)
    inputs = tuple(map(made_array, inputs))
    if method == "at" or not all(is_traced(x) or x is None for x in targets):
        raise untraceable(trace, f"np.{ufunc.__name__} would write a traced value into a plain array")
    where = settings.pop("where", True) if method == "__call__" else True
    if where is not True:
        if not targets or any(t is None for t in targets):
            raise untraceable(trace, f"np.{ufunc.__name__} with where= leaves numbers undefined without out=")
        inputs = tuple(
            x if type(x) in PYTHON_NUMBERS else np.where(where, x, np.ones((), _dtype_of(x))) for x in inputs
        )
    value = getattr(ufunc, method)(*swap(inputs, value_of), **values_of(settings))
    if any(is_pythons(x) and x.op.dtype.kind in "ic" for x in inputs):
        exact = getattr(ufunc, method)(*(_of_python(x) for x in inputs), **values_of(settings))
        if getattr(exact, "dtype", None) != getattr(value, "dtype", None):
            raise untraceable(
                trace,
                "a Python number that changes from call to call was combined with an array of another dtype",
            )
    values = value if isinstance(value, tuple) else (value,)
    if ufunc.signature is not None and any(
        t is not None and t.shape != x.shape for t, x in zip(targets, values, strict=False)
    ):
        raise untraceable(trace, f"np.{ufunc.__name__} would write a result of another shape into out=")
    pairs = zip(targets, values, strict=False)
    if any(t is not None and (t.shape, t.dtype) != (x.shape, x.dtype) for t, x in pairs):
        copies = tuple(None if t is None else laid_out_as(t.value, t.value) for t in targets)
        # For NumPy's own error, if the results do not fit.
        getattr(ufunc, method)(*swap(inputs, value_of), out=copies, **values_of(settings))
    if method == "__call__" and not all(map(is_of_numbers, inputs)):
        raise untraceable(trace, f"np.{ufunc.__name__} was given something that is not a number")
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


def _of_python(x: Any) -> Any:
    return x.value.item() if is_pythons(x) else value_of(x)


def call_function(func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """Handle a call of ``__array_function__``."""
    trace = _trace_of(args, kwargs)
    if trace.is_elsewhere() and not any(issubclass(kind, Tensor) for kind in types):
        return func(*swap(args, value_of), **values_of(kwargs))
    if func in _AT_LEAST and len(args) > 1:
        return tuple(map(func, args))
    if func is np.broadcast_arrays and not kwargs:
        return _broadcast(args)
    if func in VIEWS and (args and is_traced(args[0])):
        return take_view(func, *args, **kwargs)
    if func in _TEXTS:
        return str(args[0])
    if func in _SHAPE_ONLY:
        return func(*swap(args, value_of), **values_of(kwargs))
    if func in _LIKE:
        return known(trace, _LIKE[func](*swap(args, value_of), **values_of(kwargs)))
    if any(issubclass(kind, Tensor) for kind in types):
        return NotImplemented  # Tensors know what to do
    if func not in _UNKNOWN_SHAPE and any(map(_is_users, (*args, *kwargs.values()))):
        return _taken_apart(trace, func, args, kwargs)
    if func in _DEFINED and not trace.is_inside and _is_float(args) and _is_plain(args, kwargs):
        return REGISTRY[func](*args, **kwargs)
    out = kwargs.pop("out", None)
    name = getattr(func, "__name__", "a function")
    settings = {key: arg for key, arg in kwargs.items() if arg is not np._NoValue}
    if func in _MUTATORS and is_traced(args[0]):
        return rewrite(func, *args, **settings)
    if func in _MUTATORS or (out is not None and not is_traced(out)):
        raise untraceable(trace, f"np.{name} would write a traced value into a plain array")
    if _has_unknown_shape(func, args, settings):
        raise unshaped(trace, f"np.{name} returns")
    refuse_tracked((args, tuple(settings.values())))
    value = func(*swap(args, value_of), **values_of(settings))
    if out is not None:
        if func in _IN_DTYPE_OF_OUT and settings.get("dtype") is None and value.dtype != out.dtype:
            return call_function(func, types, args, {**settings, "dtype": out.dtype, "out": out})
        if func in _DEFINED and value.dtype != out.dtype:
            raise untraceable(trace, f"np.{name} would compute in the dtype of out=, {out.dtype}")
        if np.shape(value) != out.shape:
            raise untraceable(trace, f"np.{name} would write a result of another shape into out=")
        # NumPy checks whether its dtype fits
        func(*swap(args, value_of), out=laid_out_as(out.value, out.value), **values_of(settings))
    if type(value) in PYTHON_NUMBERS:
        return written(trace, func, args, settings, value)
    if not _holds_arrays(value):
        raise untraceable(trace, f"np.{name} returned a {type(value).__name__} that depends on values")
    if func in _REDUCTIONS and len(args) <= 2 and not (settings.keys() - {"axis", "keepdims"}):
        axis = args[1] if len(args) == 2 else settings.pop("axis", None)
        result = _reduced(trace, _REDUCTIONS[func].reduce, args[:1], {"axis": axis, **settings}, value)
    else:
        result = written(trace, func, args, settings, value)
    if out is not None:
        return out._become(_fitted(trace, result, out))
    for part in result if isinstance(result, (tuple, list)) else (result,):
        if is_traced(part):
            part._alias(_tracers_in(args))
    return result


def _broadcast(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """Broadcast arrays: each is itself or a view, as in NumPy."""
    arrays = tuple(map(made_array, arrays))
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(x if x.shape == shape else np.broadcast_to(x, shape) for x in arrays)


#: Functions that use only shapes and dtypes: their results are constants.
_SHAPE_ONLY = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.common_type,
    np.may_share_memory, np.shares_memory,
}  # fmt: skip


#: Functions that make arrays of a shape. Uninitialised memory is 0, so that every trace is the same.
_LIKE = {np.zeros_like: np.zeros_like, np.ones_like: np.ones_like, np.empty_like: np.zeros_like}


_TEXTS = {np.array2string, np.array_repr, np.array_str}


#: Functions of one array, or of each of several.
_AT_LEAST = {np.atleast_1d, np.atleast_2d, np.atleast_3d}


_MUTATORS = {np.copyto, np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal}


#: Functions that compute in the dtype of ``out=``, unless they are told another.
_IN_DTYPE_OF_OUT = {np.sum, np.prod, np.cumsum, np.cumprod}


_REDUCTIONS: dict[Any, np.ufunc] = {
    np.sum: np.add, np.prod: np.multiply, np.max: np.maximum, np.amax: np.maximum, np.min: np.minimum,
    np.amin: np.minimum, np.all: np.logical_and, np.any: np.logical_or,
}  # fmt: skip


#: Floating-point functions that are expanded by their definitions in ``ops``.
_DEFINED = {np.mean, np.var, np.std}


#: Functions whose result has a length that depends on values.
_UNKNOWN_SHAPE = {
    np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.unique_all, np.unique_counts, np.unique_inverse,
    np.unique_values, np.compress, np.extract, np.trim_zeros, np.union1d, np.intersect1d, np.setdiff1d,
    np.setxor1d, np.delete, np.split, np.array_split, np.insert, np.piecewise,
}  # fmt: skip


def _has_unknown_shape(func: Any, args: Any, settings: Any) -> bool:
    """Whether the shape of a result depends on numbers that may change."""
    if func is np.where:
        return len(args) == 1 and is_unknown(args[0])
    if func is _repeat:
        return len(args) > 1 and is_unknown(args[1]) and np.ndim(args[1]) > 0
    if func in (np.delete, np.split, np.array_split, np.insert):
        return len(args) > 1 and any(map(is_unknown, _tracers_in(args[1:2])))
    if func in (np.tile, np.resize):
        return any(map(is_unknown, _tracers_in((*args[1:2], *settings.values()))))
    if func is np.bincount:
        return is_unknown(args[0]) and not _has_bound(*args, **settings)
    if func in (np.histogram, np.histogram_bin_edges):
        return any(isinstance(bins, str) for bins in (*args[1:2], settings.get("bins")))
    return func in _UNKNOWN_SHAPE and any(map(is_unknown, _tracers_in(args)))


def _has_bound(x: Any, weights: Any = None, minlength: Any = 0) -> bool:
    """Whether the number of counts is the requested minimum; each call then tests this."""
    if x.value.size and x.value.max() >= minlength:
        return False
    brief = f"np.bincount: a number is not below minlength={minlength}, and the result would be longer than compiled"
    is_beyond: Any = np.any(x >= minlength)
    is_beyond.__refuse__(brief)
    return True


def is_unknown(x: Any) -> bool:
    """Whether something stands for an array whose numbers may change in the next call."""
    return is_traced(x) and not x.is_known


def _is_float(args: Any) -> bool:
    return bool(args) and is_traced(args[0]) and args[0].dtype in (np.float32, np.float64)


def _is_plain(args: Any, kwargs: Any) -> bool:
    """Whether a reduction was called with axes only."""
    return len(args) <= 2 and not {name for name, arg in kwargs.items() if arg is not np._NoValue} - {
        "axis",
        "keepdims",
        "ddof",
    }


def _tracers_in(tree: Any) -> Iterator[Any]:
    for part in tree:
        if is_traced(part):
            yield part
        elif isinstance(part, (list, tuple)):
            yield from _tracers_in(part)


def _dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else as_array(x).dtype


def laid_out_as(old: Any, new: Any) -> Any:
    """The same numbers in another memory layout, which decides what later becomes a view."""
    if not old.size or 0 in old.strides:
        return np.array(new, old.dtype)
    reach = [(n - 1) * step for n, step in zip(old.shape, old.strides, strict=True)]
    memory = np.empty(sum(map(abs, reach)) + old.itemsize, np.uint8)
    made: Any = np.ndarray(old.shape, old.dtype, memory, -sum(min(step, 0) for step in reach), old.strides)
    made[...] = new
    return made


def _fitted(trace: Trace, y: Any, like: Any) -> Any:
    """Convert a result to the shape and dtype of the array into which it is written."""
    y = y if is_traced(y) else known(trace, as_array(y))
    y = y if y.shape == like.shape else np.broadcast_to(y, like.shape)
    return y.astype(like.dtype, copy=False)


def _is_users(x: Any) -> bool:
    """Whether this is a function written in Python."""
    return (
        callable(x) and not isinstance(x, (type, np.ufunc, StandIn, Tensor)) and not isinstance(x, np.dtype)
    )


def _taken_apart(trace: Trace, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a NumPy function that calls a function of the user: by its definition here, so that it is recorded too."""
    if func not in REGISTRY:
        raise untraceable(trace, f"np.{func.__name__} calls a function, which")
    args = tuple(_handle(x, None) if is_traced(x) else x for x in args)
    return tree_map(
        lambda y: y._array if isinstance(y, Tensor) and y._node is None else y,
        REGISTRY[func](*args, **kwargs),
    )


def refuse_tracked(tree: Any) -> None:
    """Refuse a tracked Tensor if only its numbers would be used."""
    if is_recording():
        swap(tree, lambda x: x.__array__() if isinstance(x, Tensor) and x._node is not None else x)


def rewrite(function: Any, target: Any, *args: Any, **settings: Any) -> None:
    """Call a function that writes into its first argument."""

    def change(x: Any, *others: Any, **keywords: Any) -> Any:
        changed = x.copy()
        function(changed, *others, **keywords)
        return changed

    refuse_tracked((args, tuple(settings.values())))
    if function in (
        np.putmask,
        np.place,
    ):  # they convert numbers like a write, but arrays only if that is safe
        args = (*args[:-1], *(_converted(x, target.dtype) for x in args[-1:]))
        settings = {name: _converted(x, target.dtype) for name, x in settings.items()}
    value = change(value_of(target), *swap(args, value_of), **values_of(settings))
    target._become(written(target.tape, call, (Callee(change), target, *args), settings, value))


def _converted(x: Any, dtype: Any) -> Any:
    is_number = isinstance(x, np.generic) or (is_traced(x) and x.is_number and not is_pythons(x))
    return x.astype(dtype) if is_number else x


def _trace_of(*trees: Any) -> Trace:
    for tree in trees:
        for part in tree.values() if isinstance(tree, dict) else tree or ():
            if is_stand_in(part):
                return part.tape
            if isinstance(part, (list, tuple)) and (found := _trace_of(part)):
                return found
    return None  # type: ignore[return-value]


def _reduced(trace: Trace, function: Any, inputs: Any, settings: dict[str, Any], value: Any) -> Any:
    """Normalise all reductions: axes become a tuple of nonnegative integers."""
    ndim = inputs[0].ndim
    axis = settings.pop("axis", 0) if len(inputs) == 1 else inputs[1]
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    keepdims = bool(settings.pop("keepdims", False))
    kept = {"axis": tuple(sorted(int(i) % max(ndim, 1) for i in axes)), "keepdims": keepdims, **settings}
    if not ndim:
        kept["axis"] = ()
    return written(trace, function, inputs[:1], kept, value)


def take_view(func: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """Normalise all views, too."""
    if a.is_number and isinstance(func(value_of(a), *args, **kwargs), np.generic):
        return a  # NumPy returns some views of a number as a number
    order = kwargs.get("order", args[-1] if args and isinstance(args[-1], str) else "C")
    if order in ("F", "f"):
        wanted = func(a.value, *args, **kwargs).shape
        return a.transpose().reshape(wanted[::-1]).transpose()
    if order not in ("C", "c", None):
        raise untraceable(
            a.tape, f"np.{func.__name__} in order={order!r}, which depends on the memory layout,"
        )
    function, argument, value = VIEWS[func](func, a.value, *args, **kwargs)
    view = a._viewed(function, argument, value)
    if function is np.reshape and a.ndim > 1 and is_traced(view):
        view._is_reshaped = True
        array = a
        while array is not None:  # the memory layout decides whether the result is a view
            array._is_reshaped, array = True, array._source
    return view


def is_of_numbers(x: Any) -> bool:
    """Whether NumPy treats it as numbers."""
    return is_stand_in(x) or as_array(x).dtype.kind in "biufc"


def _says_something(arg: Any) -> bool:
    return arg is not None and arg is not np._NoValue


def _holds_arrays(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_holds_arrays, value))
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"


def made_array(x: Any) -> Any:
    """Make an array from a list that may contain stand-ins."""
    return np.array(x) if isinstance(x, (list, tuple)) else x
