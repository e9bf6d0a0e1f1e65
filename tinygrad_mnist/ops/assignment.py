"""NumPy's functions that write into their first argument.

A Tensor that they write into becomes a new one: as with ``t[index] = value``, the handle is bound to
a copy with the new values, and the gradient goes to the values written and to the old ones that are
left. A tracked Tensor cannot be written into a plain array, which would lose its gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..errors import GradientError, ShapeError
from ..graph import is_recording
from ..primitive import Sample, implements
from ..tensor import SETITEM, Tensor, is_known
from ..typing import Array, NDArray
from .arguments import array, bare, gather, is_tracked, lift, places, refuse_to_round
from .indexing import check_along, inside, places_along


def writes(function: Callable[..., Any]) -> Callable[[Callable[..., Array]], Callable[..., None]]:
    """Implement a NumPy function that changes its first argument by one that returns the new value (a decorator)."""
    name = function.__name__

    def register(definition: Callable[..., Array]) -> Callable[..., None]:
        signature = inspect.signature(definition)

        @implements(function)
        @wraps(definition)
        def write(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            target, *others = map(gather, bound.args)
            if isinstance(target, Tensor):
                refuse_to_round(name, target.dtype, *others)
                target._write(definition(target, *others))
            elif is_recording() and is_tracked(*others):
                raise GradientError(
                    f"np.{name}: a tracked Tensor would be written into a plain array, and its gradient would be "
                    "lost; turn the array into a Tensor first, as in tg.tensor(array)"
                )
            else:
                function(target, *map(bare, others))

        return write

    return register


@writes(np.copyto)
def copyto(dst: Array, src: Any, casting: Any = "same_kind", where: Any = True) -> Array:
    """``src`` instead of the old values, everywhere or at some places."""
    src = np.asarray(src) if isinstance(src, (list, tuple)) else src
    like_src = np.zeros((), src.dtype) if hasattr(src, "dtype") else src
    np.copyto(np.zeros((), dst.dtype), like_src, casting=casting)  # NumPy's own error for a wrong dtype
    written = SETITEM(dst, src, Ellipsis)
    return written if where is True else np.where(where, written, dst)


@writes(np.put)
def put(a: Array, ind: Any, v: Any, mode: Any = "raise") -> Array:
    """Values at flat indices; too few values are repeated."""
    return put_flat(a, inside(np.ravel(places(ind)), a.size, mode), v)


def put_flat(a: Array, where: NDArray, values: Any) -> Array:
    """A copy of ``a`` with values at flat indices."""
    if not where.size or not np.size(values):
        return a
    row: Any = np.ravel(a)
    return np.reshape(SETITEM(row, np.resize(values, where.shape), where), a.shape)


@writes(np.putmask)
def putmask(a: Array, mask: Any, values: Any) -> Array:
    """Values where a mask holds, each from its own place; too few values are repeated."""
    mask = _mask("putmask", a, mask)
    if not np.size(values):
        return a
    if not is_known(mask):
        return _put_where(mask, np.resize(values, a.shape), a)
    return SETITEM(a, np.resize(values, a.shape)[mask], mask)


@writes(np.place)
def place(arr: Array, mask: Any, vals: Any) -> Array:
    """Values where a mask holds, one after the other; too few values are repeated."""
    mask = _mask("place", arr, mask)
    if not is_known(mask) and np.size(vals):
        turns = np.reshape(np.cumsum(mask) - 1, arr.shape) % np.size(vals)
        return _put_where(mask, np.take(np.ravel(lift(vals)), turns), arr)
    n = np.count_nonzero(mask)
    if n and not np.size(vals):
        raise ShapeError(f"place: no values for {n} places")
    return SETITEM(arr, np.resize(vals, n), mask) if n else arr


def _put_where(mask: NDArray, values: Array, a: Array) -> Array:
    """A copy of ``a`` with the values where a mask holds; the mask changes from call to call."""
    return np.where(mask, array(values, a.dtype), a)


def _mask(name: str, a: Array, mask: Any) -> NDArray:
    mask = np.asarray(bare(mask), bool)
    if mask.size != a.size:
        raise ShapeError(f"{name}: a mask of shape {mask.shape} for an array of shape {a.shape}")
    return np.reshape(mask, a.shape)


@writes(np.put_along_axis)
def put_along_axis(arr: Array, indices: Any, values: Any, axis: int | None) -> Array:
    """Values along an axis, at one index for each place."""
    rows, indices, axis = check_along("put_along_axis", arr, indices, axis)
    return np.reshape(SETITEM(rows, values, places_along(rows.shape, indices, axis)), arr.shape)


@writes(np.fill_diagonal)
def fill_diagonal(a: Array, val: Any, wrap: bool = False) -> Array:
    """Values on the main diagonal; with ``wrap``, on those below it in a tall matrix too."""
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ShapeError(f"fill_diagonal: shape {a.shape} is neither a matrix nor a cube")
    step = int(np.sum(np.cumprod((1, *a.shape[:0:-1]))))  # one further along every axis
    end = a.shape[1] ** 2 if a.ndim == 2 and not wrap else a.size
    return put_flat(a, np.arange(a.size)[:end:step], val)


@implements(
    np.full_like,
    samples=[
        Sample((2, 3), ()),
        Sample((2,), (2, 1), shape=(2, 3), dtype=np.float64),
        Sample((2,), (2,), complex=True),
    ],
)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None,
    *, device: Any = None,
) -> Array:  # fmt: skip
    """An array like another, filled with one value or with values that are broadcast."""
    fill_value = gather(fill_value)
    if not isinstance(fill_value, Tensor):
        return Tensor(np.full_like(a.data, fill_value, dtype, order, shape=shape))
    result: Any = Tensor(np.zeros_like(a.data, dtype=dtype, order=order, shape=shape))
    np.copyto(result, fill_value, casting="unsafe")
    return result
