"""Indexing of every kind, assignment, and their common adjoint.

``t[index]`` picks elements; its gradient puts them back where they came from, adding up where one
element was picked twice. Index *arrays* are array arguments of the operations, like all arrays;
slices, integers and the places where the arrays go are settings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import REGISTRY, Sample, constant, implements, primitive
from ..tensor import GETITEM, SETITEM, Tensor
from ..typing import Array, NDArray

_ROWS, _COLUMNS = np.array([0, 2, 0]), np.array([1, 1, 1])
_MASK = np.array([[True, False], [False, True], [True, True]])


class _Hole:
    """Where in an index an array goes."""

    def __repr__(self) -> str:
        return "array"


HOLE = _Hole()


def take_apart(index: Any) -> tuple[list[Any], Any]:
    """Split an index into its arrays and the rest, with a hole for each array."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays, rest = [], []
    for part in parts:
        if isinstance(part, Tensor) and part.ndim == 0 and part.dtype != bool:
            part = part.item()
        if isinstance(part, (np.ndarray, Tensor)):
            arrays.append(part)
            rest.append(HOLE)
        elif isinstance(part, (list, tuple, range)):
            arrays.append(np.asarray(part, None if len(part) else int))
            rest.append(HOLE)
        else:
            rest.append(part)
    return arrays, tuple(rest) if isinstance(index, tuple) else rest[0]


def put_together(arrays: tuple[Any, ...], index: Any) -> Any:
    """Fill the holes of an index."""
    if not arrays:
        return index
    if index is HOLE:
        return arrays[0]
    filling = iter(arrays)
    return tuple(next(filling) if part is HOLE else part for part in index)


@primitive(
    samples=[
        Sample((3, 2), index=1),
        Sample((3, 2), index=(slice(None, None, -2), None, 1)),
        Sample((3, 2), index=(Ellipsis, slice(1, None))),
        Sample((3, 2), _ROWS, index=HOLE),
        Sample((3, 2), _ROWS, _COLUMNS, index=(HOLE, HOLE)),
        Sample((3, 2), _MASK, index=HOLE),
        Sample((3, 4), _ROWS, index=(slice(None), HOLE)),
    ],
)
def getitem(a: Array, /, *arrays: NDArray, index: Any) -> Array:
    """``a[index]``, with the index arrays apart."""
    return a[put_together(arrays, index)]


@primitive(
    samples=[
        Sample((2,), index=1, shape=(3, 2)),
        Sample((3, 2), _ROWS, index=HOLE, shape=(3, 2)),
        Sample((3,), _ROWS, _COLUMNS, index=(HOLE, HOLE), shape=(3, 2)),
        Sample((4,), _MASK, index=HOLE, shape=(3, 2)),
    ],
)
def scatter(g: Array, /, *arrays: NDArray, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``g`` added in at ``index``: the adjoint of ``getitem``."""
    result = np.zeros(shape, g.dtype)
    where = put_together(arrays, index)
    if all(a.dtype == bool for a in arrays):
        result[where] = g  # slices and masks pick no element twice
    else:
        np.add.at(result, where, g)
    return result


getitem.vjp(lambda g, y, a, *arrays, index: scatter(g, *arrays, index=index, shape=a.shape))
scatter.vjp(lambda g, y, x, *arrays, index, shape: getitem(g, *arrays, index=index))


@primitive(
    samples=[
        Sample((3, 2), (2,), index=1),
        Sample((3, 2), (), index=(slice(None), 0)),
        Sample((3, 2), (3,), np.array([0, 2, 1]), np.array([1, 1, 0]), index=(HOLE, HOLE)),
        Sample((3, 2), (4,), _MASK, index=HOLE),
    ],
)
def setitem(a: Array, value: Array, /, *arrays: NDArray, index: Any) -> Array:
    """A copy of ``a`` with ``value`` assigned at ``index``."""
    result = np.array(a)
    result[put_together(arrays, index)] = value
    return result


def setitem_value_rule(g: Array, y: Array, a: Array, value: Array, *arrays: NDArray, index: Any) -> Array:
    """The gradient where the value went; where an index repeats, NumPy keeps the last value only."""
    if not all(part.dtype == bool for part in arrays):
        shape = y.shape
        written = np.full(shape, -1)
        here = put_together(arrays, index)
        order = np.arange(written[here].size).reshape(written[here].shape)
        written[here] = order
        return getitem(g, *arrays, index=index) * (written[here] == order)
    return getitem(g, *arrays, index=index)


setitem.vjp(
    lambda g, y, a, value, *arrays, index: setitem(g, 0, *arrays, index=index),
    setitem_value_rule,
)


def _getitem(t: Tensor, index: Any) -> Array:
    arrays, rest = take_apart(index)
    return getitem(t, *arrays, index=rest)


def _setitem(t: Tensor, value: Any, index: Any) -> Array:
    arrays, rest = take_apart(index)
    return setitem(t, value, *arrays, index=rest)


REGISTRY[GETITEM] = _getitem
REGISTRY[SETITEM] = _setitem


@implements(np.take)
def take(a: Array, indices: Any, axis: int | None = None) -> Array:
    """Elements along an axis, by index: ``a[..., indices, ...]``."""
    if axis is None:
        a, axis = np.ravel(a), 0
    return a[(slice(None),) * (axis % a.ndim) + (np.asarray(indices),)]


def places_along(shape: tuple[int, ...], indices: NDArray, axis: int) -> tuple[NDArray, ...]:
    """The index arrays that pick ``indices`` along ``axis``, at every place of the other axes."""
    ndim = len(shape)
    axis %= ndim
    return tuple(
        indices if i == axis else np.arange(n).reshape((n,) + (1,) * (ndim - i - 1))
        for i, n in enumerate(shape)
    )


@primitive(
    samples=[Sample((2, 3), np.array([[0, 0], [2, 1]]), axis=1), Sample((3, 2), np.array([[1, 0]]), axis=0)]
)
def take_along(a: Array, indices: NDArray, /, axis: int) -> Array:
    """Elements along an axis, by an index for each place."""
    return a[places_along(a.shape, indices, axis)]


@primitive(
    samples=[
        Sample((2, 2), np.array([[0, 0], [2, 1]]), axis=1, length=3),
        Sample((2, 1), np.array([[0], [2]]), axis=1, length=3),
    ]
)
def put_along(g: Array, indices: NDArray, /, axis: int, length: int) -> Array:
    """Zeros of ``length`` along an axis, with ``g`` added in: the adjoint of ``take_along``."""
    shape = list(g.shape)
    shape[axis] = length
    result = np.zeros(shape, g.dtype)
    places = places_along(result.shape, indices, axis)
    if indices.shape[axis] == 1:
        result[places] = g  # one index for each place: none can occur twice
    else:
        np.add.at(result, places, g)
    return result


take_along.vjp(lambda g, y, a, indices, axis: put_along(g, indices, axis=axis, length=a.shape[axis]), None)
put_along.vjp(lambda g, y, x, indices, axis, length: take_along(g, indices, axis=axis), None)


@implements(np.take_along_axis)
def take_along_axis(arr: Array, indices: Any, axis: int | None = -1) -> Array:
    """NumPy's name and arguments for :data:`take_along`; other axes are broadcast."""
    if axis is None:
        return take_along(np.reshape(arr, -1), np.asarray(indices), axis=0)
    indices = np.asarray(indices)
    others = list(np.shape(arr))
    others[axis] = indices.shape[axis]
    return take_along(
        arr, np.broadcast_to(indices, np.broadcast_shapes(indices.shape, tuple(others))), axis=axis
    )


constant(np.unravel_index, np.flatnonzero, np.argwhere)
