"""Indexing of every kind, assignment, and their common adjoint.

``t[index]`` picks elements. Its gradient puts them back where they came from, and adds up where one
element was picked twice. Index *arrays* are array arguments of the operations, like all arrays;
slices, integers and the positions of the arrays in the index are settings.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..errors import ShapeError, choice
from ..operands import asarray, operand
from ..primitive import REGISTRY, Sample, as_plain, constant, implements, primitive
from ..tensor import GETITEM, SETITEM, Tensor, record
from ..typing import Array, NDArray
from . import kernels
from .arguments import beside, gather, is_foreign, places, plain, refuse_to_round

_ROWS, _COLUMNS = np.array([0, 2, 0]), np.array([1, 1, 1])
_MASK = np.array([[True, False], [False, True], [True, True]])


class _Hole:
    """A placeholder for an array in an index."""

    def __repr__(self) -> str:
        return "array"


HOLE = _Hole()


def split_index(index: Any) -> tuple[list[Any], Any]:
    """Split an index into its arrays and the rest, with a hole for each array."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays, rest = [], []
    for part in parts:
        if isinstance(part, (np.ndarray, Tensor)):
            arrays.append(part)
            rest.append(HOLE)
        elif isinstance(part, (list, tuple, range)):
            array = np.asarray(operand(part))
            arrays.append(array if array.size else array.astype(int))  # an empty list picks nothing
            rest.append(HOLE)
        else:
            rest.append(part)
    return arrays, tuple(rest) if isinstance(index, tuple) else rest[0]


def join_index(arrays: tuple[Any, ...], index: Any) -> Any:
    """Fill the holes of an index."""
    if not arrays:
        return index
    if index is HOLE:
        return arrays[0]
    filling = iter(arrays)
    return tuple(next(filling) if part is HOLE else part for part in index)


def along(axis: int, part: Any) -> tuple[Any, ...]:
    """The index of a part along one axis: ``[:, :, part]``."""
    return (slice(None),) * axis + (part,)


@primitive(
    samples=[
        Sample((3, 2), index=1),
        Sample((3, 2), index=(slice(None, None, -2), None, 1)),
        Sample((3, 2), index=(Ellipsis, slice(1, None)), complex=True),
        Sample((3, 2), _ROWS, index=HOLE),
        Sample((3, 2), _ROWS, _COLUMNS, index=(HOLE, HOLE), complex=True),
        Sample((3, 2), _MASK, index=HOLE),
        Sample((3, 4), _ROWS, index=(slice(None), HOLE)),
    ],
    jvp="linear",
)
def getitem(a: Array, /, *arrays: NDArray, index: Any) -> Array:
    """``a[index]``, with the index arrays as separate arguments."""
    return a[join_index(arrays, index)]


@primitive(
    samples=[
        Sample((2,), index=1, shape=(3, 2)),
        Sample((3, 2), _ROWS, index=HOLE, shape=(3, 2)),
        Sample((3,), _ROWS, _COLUMNS, index=(HOLE, HOLE), shape=(3, 2), complex=True),
        Sample((4,), _MASK, index=HOLE, shape=(3, 2)),
    ],
    jvp="linear",
)
def scatter(g: Array, /, *arrays: NDArray, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``g`` added at ``index``: the adjoint of ``getitem``."""
    arrays = tuple(beside(g, a) for a in arrays)
    axis = only_axis(index) if len(shape) > 1 and g.size > 2000 and not is_foreign(g) else None
    if axis == 0 and arrays[0].dtype.kind in "iu":
        values, places = np.reshape(g, (arrays[0].size, *shape[1:])), np.reshape(arrays[0], -1)
        return kernels.add_rows(values, places, shape[0])
    result = np.zeros_like(g, shape=shape, order="C")
    if all(a.dtype == bool for a in arrays):
        result[join_index(arrays, index)] = g  # slices and masks pick no element twice
    elif axis is not None:
        add_along(result, arrays[0], g, axis)
    else:
        np.add.at(result, join_index(arrays, index), g)
    return result


def only_axis(index: Any) -> int | None:
    """The axis along which ``[array]``, ``[:, array]``, … picks; ``None`` for any other index."""
    *before, last = index if isinstance(index, tuple) else (index,)
    return len(before) if last is HOLE and all(part == slice(None) for part in before) else None


def add_along(a: NDArray, indices: NDArray, values: NDArray, axis: int) -> None:
    """Add values at indices along one axis."""
    before, after = math.prod(a.shape[:axis]), math.prod(a.shape[axis + 1 :])
    here = np.arange(before)[:, None, None], indices.reshape(-1, 1), np.arange(after)
    add_at(a.reshape(before, a.shape[axis], after), here, values)


def add_at(a: NDArray, here: tuple[NDArray, ...], values: NDArray) -> None:
    """``np.add.at``, up to six times as fast, by flat indices."""
    indices = [beside(a, index).astype(np.intp, copy=False) for index in here]
    if values.size:
        numbers = np.ravel_multi_index(indices, a.shape, mode="wrap")  # a negative index counts from the end
        np.add.at(a.reshape(-1), numbers.reshape(-1), values.reshape(-1))


getitem.vjp(lambda g, y, a, *arrays, index: scatter(g, *arrays, index=index, shape=a.shape))
scatter.vjp(lambda g, y, x, *arrays, index, shape: getitem(g, *arrays, index=index))


@primitive(
    samples=[
        Sample((3, 2), (2,), index=1),
        Sample((3, 2), (), index=(slice(None), 0), complex=True),
        Sample((3, 2), (3,), np.array([0, 2, 1]), np.array([1, 1, 0]), index=(HOLE, HOLE)),
        Sample((3, 2), (3, 2), _ROWS, index=HOLE),
        Sample((3, 2), (4,), _MASK, index=HOLE),
    ],
    jvp="linear",
)
def setitem(a: Array, value: Array, /, *arrays: NDArray, index: Any) -> Array:
    """A copy of ``a`` with ``value`` assigned at ``index``."""
    result = asarray(a, copy=True)
    result[join_index(arrays, index)] = beside(result, value)
    return result


def setitem_value_rule(g: Array, y: Array, a: Array, value: Array, *arrays: NDArray, index: Any) -> Array:
    """The gradient where the value went; where an index repeats, NumPy keeps only the last value."""
    part = getitem(g, *arrays, index=index)
    if all(array.dtype == bool for array in arrays):
        return part
    here = join_index(arrays, index)
    written = beside(y, np.full(y.shape, -1))
    order = beside(y, np.arange(written[here].size).reshape(written[here].shape))
    written[here] = order
    return np.where(written[here] == order, part, 0)


setitem.vjp(
    lambda g, y, a, value, *arrays, index: setitem(g, 0, *arrays, index=index),
    setitem_value_rule,
)


def _getitem(t: Tensor, index: Any) -> Array:
    arrays, rest = split_index(index)
    return record(
        getitem, (t, *arrays), {"index": rest}
    )  # without a further call, because rows are read often


def _setitem(t: Tensor, value: Any, index: Any) -> Array:
    arrays, rest = split_index(index)
    value = gather(value)
    refuse_to_round("t[index] = value", t.dtype, value)
    return setitem(t, value, *arrays, index=rest)


REGISTRY[GETITEM] = _getitem
REGISTRY[SETITEM] = _setitem


@primitive(
    samples=[
        Sample((2, 3), _ROWS, axis=1),
        Sample((3, 2), np.array([[0, -1], [2, 2]]), axis=-2, complex=True),
        Sample((2, 3), np.array(5)),
    ],
    jvp="linear",
)
def take(a: Array, indices: NDArray, /, axis: int | None = None, mode: Any = "raise") -> Array:
    """Elements along an axis, by index; from the flattened array unless an axis is given."""
    return np.take(a, indices, axis=axis, mode=mode)


def take_rule(g: Array, y: Array, a: Array, indices: NDArray, axis: int | None, mode: str) -> Array:
    """Put each element back where it was taken."""
    if axis is None or not a.ndim:
        taken = inside(indices, a.size, mode)
        return np.reshape(scatter(g, taken, index=HOLE, shape=(a.size,)), a.shape)
    taken = inside(indices, a.shape[axis], mode)
    return scatter(g, taken, index=along(axis % a.ndim, HOLE), shape=a.shape)


def inside(indices: NDArray, n: int, mode: str) -> NDArray:
    """Bring indices into the range of ``n`` elements: by wrapping around or by clipping."""
    if mode not in ("raise", "wrap", "clip"):
        raise choice("mode of an index", mode, ("raise", "wrap", "clip"))
    if mode == "raise" or not n:
        return indices
    return indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)


take.vjp(take_rule, None)


@implements(
    np.take,
    samples=[
        Sample((2, 3), prepare=lambda a: (a, [0, 7, -1]), mode="wrap"),
        Sample((2, 3), prepare=lambda a: (a, [[0, 7], [-1, 1]]), axis=1, mode="clip", complex=True),
        Sample((), prepare=lambda a: (a, 0)),
    ],
)
def _take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: Any = "raise") -> Array:
    return take(gather(a), places(indices), axis=axis, mode=mode)


def places_along(shape: tuple[int, ...], indices: NDArray, axis: int) -> tuple[NDArray, ...]:
    """The index arrays that pick ``indices`` along ``axis``, at each position of the other axes."""
    ndim = len(shape)
    axis %= ndim
    return tuple(
        indices if i == axis else np.arange(n).reshape((n,) + (1,) * (ndim - i - 1))
        for i, n in enumerate(shape)
    )


@primitive(
    samples=[
        Sample((2, 3), np.array([[0, 0], [2, 1]]), axis=1),
        Sample((3, 2), np.array([[1, 0]]), axis=0, complex=True),
    ],
    jvp="linear",
)
def take_along(a: Array, indices: NDArray, /, axis: int) -> Array:
    """Elements along an axis, with one index for each place."""
    return a[places_along(a.shape, indices, axis)]


@primitive(
    samples=[
        Sample((2, 2), np.array([[0, 0], [2, 1]]), axis=1, length=3),
        Sample((2, 1), np.array([[0], [2]]), axis=1, length=3),
    ],
    jvp="linear",
)
def put_along(g: Array, indices: NDArray, /, axis: int, length: int) -> Array:
    """Zeros of ``length`` along an axis, with ``g`` added: the adjoint of ``take_along``."""
    shape = list(g.shape)
    shape[axis] = length
    result = np.zeros_like(g, shape=shape, order="C")
    here = places_along(result.shape, indices, axis)
    if indices.shape[axis] == 1:
        result[here] = g  # one index for each place, so none can occur twice
    else:
        add_at(result, here, g)
    return result


take_along.vjp(lambda g, y, a, indices, axis: put_along(g, indices, axis=axis, length=a.shape[axis]), None)
put_along.vjp(lambda g, y, x, indices, axis, length: take_along(g, indices, axis=axis), None)


@implements(
    np.take_along_axis,
    samples=[
        Sample((2, 3), prepare=lambda a: (a, np.array([[0, 2], [1, 1]])), axis=1),
        Sample((2, 3), prepare=lambda a: (a, np.array([[0, -1, 1]])), axis=0, complex=True),
        Sample((2, 3), prepare=lambda a: (a, np.array([5, 0, 5])), axis=None),
    ],
)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Array:
    """NumPy's name and arguments for :data:`take_along`; other axes are broadcast."""
    arr, indices, axis = check_along("take_along_axis", gather(arr), indices, axis)
    picked = [*arr.shape[:axis], indices.shape[axis], *arr.shape[axis + 1 :]]
    try:
        shape = np.broadcast_shapes(indices.shape, picked)
    except ValueError:
        raise IndexError(
            f"take_along_axis: indices of shape {indices.shape} along axis {axis} of an array of shape {arr.shape}"
        ) from None
    return take_along(arr, np.broadcast_to(indices, shape), axis=axis)


def check_along(name: str, arr: Array, indices: Any, axis: int | None) -> tuple[Array, NDArray, int]:
    """Check the arguments of ``..._along_axis``; without an axis, the array is flattened."""
    indices = plain(indices)
    if indices.dtype.kind not in "iu":
        raise IndexError(f"{name}: indices must be integers, not {indices.dtype}")
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = normalize_axis_index(axis, np.ndim(arr))
    if np.ndim(arr) != indices.ndim:
        raise ShapeError(
            f"{name}: indices of shape {indices.shape} for an array of shape {np.shape(arr)}; "
            "the numbers of axes must be equal"
        )
    return arr, indices, axis


# Functions that return positions: no small change of the values changes them.
constant(np.nonzero, np.flatnonzero, np.argwhere, np.unravel_index, np.ravel_multi_index)
as_plain(np.diag_indices_from, np.tril_indices_from, np.triu_indices_from)
