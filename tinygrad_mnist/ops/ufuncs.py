"""Ufuncs beyond plain calls: their keywords, ``out=``, and their methods.

Where NumPy has a function for it, ``np.add.reduce``, ``np.multiply.accumulate`` and so on are that function.
For all other ufuncs, a method does what it says: it applies the ufunc again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce as fold
from typing import Any

import numpy as np

from ..errors import CompileError, DTypeError, GradientError, UnsupportedError, pluralise
from ..graph import RECORDING
from ..primitive import REGISTRY, Constant
from ..tensor import GETITEM, SETITEM, UFUNC, Tensor, is_known, qualified, read_only_data, unregistered
from ..typing import Array
from .accumulations import cummax, cummin, logcumsumexp
from .arguments import array, bare, plain
from .indexing import scatter, split_index
from .network import logsumexp


def on_tensors(
    ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], out: tuple[Any, ...] | None, kwargs: dict[str, Any]
) -> Any:
    """Handle a call of ``__array_ufunc__``."""
    handler = REGISTRY.get(ufunc)
    if out is not None:
        return write_into(out, ufunc, method, inputs, kwargs)
    if handler is None or isinstance(handler, Constant):
        name = qualified(ufunc) + ("" if method == "__call__" else f".{method}")
        if isinstance(handler, Constant):
            inputs = tuple(x.detach() if isinstance(x, Tensor) else x for x in inputs)
        if method != "__call__" or kwargs.get("where", True) is True:
            return unregistered(name, getattr(ufunc, method), inputs, kwargs)
    return METHODS[method](ufunc, *inputs, **kwargs)


def write_into(
    out: tuple[Any, ...], ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Write results into ``out=``: into Tensors, like ``t += ...``, but not into plain arrays.

    ``array += tensor`` arrives here too.
    """
    plain = [x for x in out if x is not None and not isinstance(x, Tensor)]
    is_tracked = RECORDING.get() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    if plain and (is_tracked or len(plain) < len(out)):
        raise GradientError(
            f"np.{ufunc.__name__}: the result would be written into an existing array, and its gradient would "
            "be lost. Instead of `array += t` write `array = array + t`; instead of out= use the result; "
            "`t += array` on a Tensor is fine, and so is out=t"
        )
    if plain:
        if any(isinstance(x, np.ndarray) and not x.flags.writeable for x in plain):
            raise read_only_data()
        inputs = tuple(x.data if isinstance(x, Tensor) else x for x in inputs)
        return getattr(ufunc, method)(*inputs, out=out, **kwargs)
    if kwargs.get("where", True) is not True and method == "__call__":
        kwargs["base"] = out[0]
    if not any(isinstance(x, Tensor) for x in (*inputs, kwargs.get("where"))):
        inputs = Tensor(inputs[0]), *inputs[1:]  # or the ufunc would not come here again
    results = on_tensors(ufunc, method, inputs, None, kwargs)
    pairs = zip(out, results if isinstance(results, tuple) else (results,), strict=True)
    written = tuple(y if t is None else t._write(y) for t, y in pairs)
    return written if isinstance(results, tuple) else written[0]


def call(
    ufunc: np.ufunc,
    *inputs: Any,
    dtype: Any = None,
    casting: Any = "same_kind",
    order: str = "K",
    subok: bool = True,
    where: Any = True,
    base: Any = None,
    **rest: Any,
) -> Any:
    """Call with keywords: in another dtype, or at some places only.

    At the other places the result is that of ``base``, the ``out=`` of the call, or 0 where NumPy would
    leave arbitrary memory. The ufunc never sees those places, so that no bad value there can spoil a
    gradient.
    """
    if dtype is not None:
        inputs = tuple(_cast(ufunc, x, dtype, casting) for x in inputs)
    if where is True:
        y = REGISTRY[ufunc](*inputs, **rest)
        if dtype is not None and getattr(y, "dtype", dtype) != dtype:
            raise DTypeError(
                f"np.{ufunc.__name__}: the result for {inputs[0].dtype} is {y.dtype}, not {np.dtype(dtype)}"
            )
        return y
    mask = plain(where)
    shape = np.broadcast_shapes(mask.shape, np.shape(base), *(np.shape(x) for x in inputs))
    mask = np.broadcast_to(mask, shape)
    if not is_known(mask):  # the ufunc sees a harmless number at the other places
        number = 2 if ufunc is np.arccosh else 0.5
        safe = (np.where(mask, x, _like(x, number)) for x in inputs)
        y = _function(ufunc)(*safe, **rest)
        if base is None:
            return np.where(mask, y, np.zeros((), y.dtype))
        return np.where(mask, y if y.dtype == base.dtype else y.astype(base.dtype), base)
    y = _function(ufunc)(*(np.broadcast_to(x, shape)[mask] for x in inputs), **rest)
    return SETITEM(Tensor(np.zeros(shape, y.dtype)) if base is None else base, y, mask)


def _like(x: Any, number: float) -> Any:
    """A number, or 1 among integers, of the dtype of an array."""
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    return np.asarray(number if dtype.kind in "fc" else 1, dtype)


def _cast(ufunc: np.ufunc, x: Any, dtype: Any, casting: Any) -> Any:
    if hasattr(x, "dtype") and not np.can_cast(x.dtype, dtype, casting):
        raise DTypeError(
            f"np.{ufunc.__name__}: dtype={np.dtype(dtype)} was requested, but {x.dtype} cannot be cast to it with "
            f"casting={casting!r}; convert it first, with .astype"
        )
    return x.astype(dtype) if hasattr(x, "astype") else np.asarray(x, dtype)


def reduce(ufunc: np.ufunc, a: Array, axis: Any = 0, dtype: Any = None, **keywords: Any) -> Any:
    """Combine all elements along an axis into one."""
    keywords = {name: value for name, value in keywords.items() if value is not np._NoValue}
    if ufunc in _REDUCTIONS:
        keywords.update({} if dtype is None else {"dtype": dtype})
        return _function(_REDUCTIONS[ufunc])(a, axis=axis, **keywords)
    keepdims, initial = keywords.pop("keepdims", False), keywords.pop("initial", None)
    axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    if keywords.pop("where", True) is not True or isinstance(axis, tuple) or keywords:
        raise UnsupportedError(
            f"np.{ufunc.__name__}.reduce: on a Tensor only one axis, dtype=, keepdims= and initial= are supported"
        )
    # An array of one element gives NumPy's errors and the dtype of the result.
    kind = ufunc.reduce(np.ones((1,) * np.ndim(a), a.dtype), axis, dtype).dtype
    parts = _along(a, axis, dtype)
    start = [] if initial is None else [initial]
    if not len(parts) and initial is None:
        if ufunc.identity is None:
            raise UnsupportedError(f"np.{ufunc.__name__}.reduce: nothing to reduce, and no identity")
        start = [ufunc.identity]
    result = fold(ufunc, [*start, *parts])
    result = result if result.dtype == kind else result.astype(kind)
    if not keepdims or not np.ndim(a):
        return result
    return np.expand_dims(result, tuple(range(np.ndim(a))) if axis is None else axis)


def accumulate(ufunc: np.ufunc, a: Array, axis: int = 0, dtype: Any = None) -> Any:
    """Combine each element along an axis with all before it."""
    axis = _one_axis(ufunc, "accumulate", a, axis)
    if ufunc in _ACCUMULATIONS:
        a = a if dtype is not None or ufunc is not np.logaddexp else _inexact(ufunc, a)
        return _function(_ACCUMULATIONS[ufunc])(a if dtype is None else a.astype(dtype), axis=axis)
    running: list[Array] = []
    for part in _along(a, axis, dtype):
        running.append(ufunc(running[-1], part) if running else part)
    return np.stack(running, axis=axis) if running else a


def reduceat(ufunc: np.ufunc, a: Array, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Combine the elements from each index up to the next; only one element if the next index is not larger."""
    axis = _one_axis(ufunc, "reduceat", a, axis, [0])
    starts, length = [int(i) for i in np.asarray(indices)], np.shape(a)[axis]
    for i in starts:
        if not 0 <= i < length:
            raise IndexError(
                f"np.{ufunc.__name__}.reduceat: index {i} is out of range for an axis of {pluralise(length, 'element')}"
            )
    if not starts:
        return Tensor(ufunc.reduceat(bare(a), [], axis=axis, dtype=dtype))
    stops = [*starts[1:], length]
    moved = np.moveaxis(a, axis, 0)
    parts = [reduce(ufunc, moved[i : max(j, i + 1)], dtype=dtype) for i, j in zip(starts, stops, strict=True)]
    return np.stack(parts, axis=axis)


def outer(ufunc: np.ufunc, a: Array, b: Array, **keywords: Any) -> Any:
    """Apply to all pairs of an element of ``a`` and one of ``b``."""
    return call(ufunc, np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **keywords)


def at(ufunc: np.ufunc, t: Any, index: Any, *operand: Any) -> None:
    """Apply in place at ``t[index]``, once for each time an element occurs.

    Repeated occurrences of an element go into separate rounds, so that no element repeats within a
    round.
    """
    if not isinstance(t, Tensor):
        raise GradientError(
            f"np.{ufunc.__name__}.at: a Tensor would be written into a plain array, and its gradient would be lost; "
            "turn the array into a Tensor first"
        )
    if not is_known(index):
        arrays, rest = split_index(index)
        if ufunc not in (np.add, np.subtract):
            raise CompileError(
                f"compile: np.{ufunc.__name__}.at has no gradient where the index changes from call to call"
            )
        value = np.broadcast_to(array(operand[0], t.dtype), np.shape(GETITEM(t, index)))
        t._rebind(ufunc(t, scatter(value, *arrays, index=rest, shape=t.shape)))
        return
    places = np.arange(t.size).reshape(t.shape)[index.data if isinstance(index, Tensor) else index]
    operands = [np.broadcast_to(x, places.shape) for x in operand]
    operands = [np.reshape(x, -1) for x in operands]
    places = places.reshape(-1)
    flat: Any = np.reshape(t, -1)
    rounds = _occurrence(places)
    for now in (rounds == n for n in range(max(rounds, default=-1) + 1)):
        y = call(ufunc, flat[places[now]], *(x[now] for x in operands))
        flat = SETITEM(flat, y, places[now])
    t._write(np.reshape(flat, t.shape))


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The definition for Tensors; if the only Tensor is a mask, NumPy would call back into this."""
    return REGISTRY.get(function, function)


def _occurrence(places: Any) -> Any:
    """How often each element has occurred before."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.searchsorted(ordered, ordered)
    counts = np.empty_like(places)
    counts[order] = np.arange(places.size) - first
    return counts


def _along(a: Array, axis: int | None, dtype: Any) -> list[Array]:
    """The parts of an array along an axis, or its elements; for a number, the number itself."""
    a = a if dtype is None else a.astype(dtype)
    if not np.ndim(a) and axis in (0, -1):
        return [a]
    return list(np.reshape(a, -1) if axis is None else np.moveaxis(a, axis, 0))


def _one_axis(ufunc: np.ufunc, method: str, a: Array, axis: int | None, *places: Any) -> int:
    """The axis to go along; ``None`` means the axis of a vector. Otherwise, raise NumPy's error."""
    axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    if axis is None or not np.ndim(a):
        getattr(ufunc, method)(np.ones((1,) * np.ndim(a), a.dtype), *places, axis=axis)
        return 0
    return axis


def _inexact(ufunc: np.ufunc, a: Array) -> Array:
    """``a`` converted to the dtype of the ufunc's result."""
    kind = ufunc(np.ones(1, a.dtype), np.ones(1, a.dtype)).dtype
    return a if a.dtype == kind else a.astype(kind)


METHODS: dict[str, Callable[..., Any]] = {
    "__call__": call,
    "reduce": reduce,
    "accumulate": accumulate,
    "reduceat": reduceat,
    "outer": outer,
    "at": at,
}


def _logsumexp(a: Array, axis: Any, keepdims: bool = False, **keywords: Any) -> Array:
    if keywords:
        raise UnsupportedError(f"np.logaddexp.reduce: {', '.join(keywords)}= are not supported on a Tensor")
    return logsumexp(_inexact(np.logaddexp, a), axis=axis, keepdims=keepdims)


#: The functions behind reductions and accumulations.
_REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logaddexp: _logsumexp,
}
_ACCUMULATIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.cumsum,
    np.multiply: np.cumprod,
    np.maximum: cummax,
    np.minimum: cummin,
    np.logaddexp: logcumsumexp,
}

REGISTRY[UFUNC] = on_tensors
