"""Functions that join arrays or split them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..errors import OptionError, ShapeError, pluralise
from ..primitive import Sample, implements, primitive
from ..tensor import unshared
from ..typing import Array, NDArray
from .arguments import beside, gather, lift, refuse_to_round
from .indexing import along

# -- joining -------------------------------------------------------------------------------------


def _list(*arrays: Any) -> tuple[Any, ...]:
    """Prepare samples for functions that take their arrays as one list."""
    return (list(arrays),)


@primitive(
    samples=[
        Sample((2, 3), (1, 3)),
        Sample((2, 1), (2, 3), (2, 2), axis=-1, complex=True),
        Sample((2, 2), (3,), axis=None),
    ],
    jvp="linear",
)
def concatenate(*arrays: Array, axis: int | None = 0, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Arrays joined along an existing axis."""
    return np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting)


def concatenate_rule(i: int, g: Array, y: Array, *arrays: Array, axis: int | None, **_: Any) -> Array:
    """The part of the gradient at the place of array ``i``."""
    if axis is None:
        shape = np.shape(arrays[i])
        start = sum(math.prod(np.shape(a)) for a in arrays[:i])
        return np.reshape(g[start : start + math.prod(shape)], shape)
    start = sum(a.shape[axis] for a in arrays[:i])
    return g[along(axis % y.ndim, slice(start, start + arrays[i].shape[axis]))]


concatenate.vjp(each=concatenate_rule)


@implements(
    np.concatenate,
    samples=[
        Sample((2, 3), (2, 1), prepare=_list, axis=1),
        Sample((2, 3), (), prepare=lambda a, b: ((a, [b]),), axis=None),
        Sample((2,), (1,), prepare=_list, dtype=np.float64, casting="safe"),
    ],
)
def _concatenate(
    arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind"
) -> Array:
    return concatenate(*map(gather, arrays), axis=axis, dtype=dtype, casting=casting)


@primitive(
    samples=[Sample((2, 3), (2, 3)), Sample((3,), (3,), (3,), axis=-1, complex=True), Sample((), ())],
    jvp="linear",
)
def stack(*arrays: Array, axis: int = 0, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Arrays of the same shape joined along a new axis."""
    return np.stack(arrays, axis=axis, dtype=dtype, casting=casting)


stack.vjp(each=lambda i, g, y, *arrays, axis, **_: g[along(axis % y.ndim, i)])


@implements(np.stack, samples=[Sample((2, 3), (2, 3), prepare=_list, axis=1)])
def _stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind"
) -> Array:
    return stack(*map(gather, arrays), axis=axis, dtype=dtype, casting=casting)


@implements(np.vstack, samples=[Sample((3,), (2, 3), prepare=_list)])
def vstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Rows on top of each other."""
    return np.concatenate([np.atleast_2d(lift(a)) for a in tup], dtype=dtype, casting=casting)


@implements(np.hstack, samples=[Sample((2, 1), (2, 2), prepare=_list), Sample((), (2,), prepare=_list)])
def hstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Arrays side by side."""
    parts = [np.atleast_1d(lift(a)) for a in tup]
    return np.concatenate(parts, axis=0 if parts[0].ndim == 1 else 1, dtype=dtype, casting=casting)


@implements(np.dstack, samples=[Sample((2, 3), (2, 3, 2), prepare=_list), Sample((3,), (3,), prepare=_list)])
def dstack(tup: Any) -> Array:
    """Arrays behind each other, along the third axis."""
    return np.concatenate([np.atleast_3d(lift(a)) for a in tup], axis=2)


@implements(np.column_stack, samples=[Sample((2,), (2, 3), (2,), prepare=_list)])
def column_stack(tup: Any) -> Array:
    """Vectors as the columns of a matrix; matrices side by side."""
    return np.concatenate([a if a.ndim > 1 else np.reshape(a, (-1, 1)) for a in map(lift, tup)], axis=1)


@implements(
    np.block,
    samples=[
        Sample((2, 2), (2, 1), (3,), prepare=lambda a, b, c: ([[a, b], [c]],)),
        Sample((2,), (), prepare=_list),
        Sample((1, 2), (), prepare=lambda a, b: ([[[a, a]], [[b, np.array([1.0, 2.0, 3.0])]]],)),
        Sample((2,)),
    ],
)
def block(arrays: Any) -> Array:
    """Blocks arranged like nested lists: the innermost side by side along the last axis."""
    depth, blocks = _depth(arrays), list(_innermost(arrays))
    ndim = max(depth, *(np.ndim(a) for a in blocks))
    return unshared(_join(arrays, depth, ndim))


def _join(blocks: Any, depth: int, ndim: int) -> Array:
    """Join the contents of nested lists of this depth along the same number of last axes."""
    if not depth:
        return np.reshape(blocks, (1,) * (ndim - np.ndim(blocks)) + np.shape(blocks))
    return concatenate(*(_join(block, depth - 1, ndim) for block in blocks), axis=-depth)


def _depth(arrays: Any) -> int:
    """The depth of nested lists, which must be the same everywhere."""
    if isinstance(arrays, tuple):
        raise TypeError("block: found a tuple among the lists; use nested lists only")
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(part) for part in arrays}
    if len(depths) != 1:
        raise ShapeError(
            f"block: lists of depths {sorted(depths)} side by side" if depths else "block: an empty list"
        )
    return 1 + depths.pop()


def _innermost(arrays: Any) -> Any:
    if isinstance(arrays, list):
        for part in arrays:
            yield from _innermost(part)
    else:
        yield arrays


@implements(
    np.append,
    samples=[((2, 3), (2,)), Sample((2, 3), (1, 3), axis=0, complex=True), Sample((2, 1), (2, 2), axis=-1)],
)
def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """Values after those of an array; both flattened unless an axis is given."""
    arr, values = lift(arr), lift(values)
    if axis is None:
        arr, values, axis = np.ravel(arr), np.ravel(values), 0
    return np.concatenate((arr, values), axis=axis)


# -- inserting and deleting ----------------------------------------------------------------------


@primitive(
    name="insert",
    samples=[
        Sample((3,), (2,), obj=1, axis=0),
        Sample((2, 3), (), obj=-1, axis=1),
        Sample((2, 3), (3,), obj=2, axis=0, complex=True),
        Sample((2, 3), (2, 3), obj=[2, 0, 2], axis=1),
        Sample((2, 3), (2, 2), obj=[1], axis=1),
        Sample((4,), (2,), obj=slice(0, 4, 2), axis=0),
    ],
    jvp="linear",
)
def insert_at(arr: Array, values: Array, /, obj: Any, axis: int) -> Array:
    """``arr`` with values inserted before the given places."""
    return np.insert(arr, obj, values, axis=axis)


def insert_parts(y: Array, arr: Array, obj: Any, axis: int) -> NDArray:
    """For each place along ``axis`` of the result, the number of the value inserted there, or -1 for ``arr``."""
    n = arr.shape[axis]
    return np.insert(np.full(n, -1), obj, np.arange(y.shape[axis] - n))


def insert_values_rule(g: Array, y: Array, arr: Array, values: Array, obj: Any, axis: int) -> Array:
    """The gradient where the values went, in their order."""
    came_from = insert_parts(y, arr, obj, axis)
    places = np.argsort(came_from, kind="stable")[arr.shape[axis] :]
    part = np.take(g, beside(g, places), axis=axis)
    # Before a single place a whole block is inserted; its first axis is that of the places.
    return np.moveaxis(part, axis, 0) if not isinstance(obj, slice) and np.ndim(obj) == 0 else part


insert_at.vjp(
    lambda g, y, arr, values, obj, axis: g[along(axis, insert_parts(y, arr, obj, axis) < 0)],
    insert_values_rule,
)


@implements(
    np.insert,
    samples=[
        Sample((2, 3), (2,), prepare=lambda a, v: (a, [1, 4], v)),
        Sample((2, 3), (3,), prepare=lambda a, v: (a, 1, v), axis=0),
        Sample((2, 3), (), prepare=lambda a, v: (a, [0, 3], [v, 5.0]), axis=-1),
        Sample((), (), prepare=lambda a, v: (a, 0, v)),
    ],
)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """``arr`` with values inserted before the given places; flattened unless an axis is given."""
    arr, axis = _row(lift(arr), axis)
    values = gather(values)
    refuse_to_round("insert", arr.dtype, values)
    return insert_at(arr, values, obj=_places(obj), axis=axis)


@implements(
    np.delete,
    samples=[
        Sample((2, 3), obj=-2),
        Sample((2, 3), obj=[0, 2, 2], axis=1, complex=True),
        Sample((3, 2), obj=slice(None, None, 2), axis=0),
        Sample((3,), obj=np.array([True, False, True])),
    ],
)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Array:
    """``arr`` without the given places; flattened unless an axis is given."""
    arr, axis = _row(lift(arr), axis)
    left = np.delete(np.arange(arr.shape[axis]), _places(obj))
    return arr[along(axis, np.isin(np.arange(arr.shape[axis]), left))]


def _row(a: Array, axis: int | None) -> tuple[Array, int]:
    """An array and its axis; the flattened array if none is given."""
    return (np.ravel(a), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))


def _places(obj: Any) -> Any:
    """Places in the form that NumPy takes: slices, numbers, lists and arrays, but not Tensors."""
    return np.asarray(obj) if hasattr(obj, "__primitive__") else obj


# -- splitting -----------------------------------------------------------------------------------


@implements(
    np.array_split,
    samples=[
        Sample((5, 2), prepare=lambda a: (a, 3)),
        Sample((2, 5), prepare=lambda a: (a, [1, -1, 9]), axis=1, complex=True),
        Sample((5,), prepare=lambda a: (a, [4, 1, 3])),
        Sample((2, 6), prepare=lambda a: (a, [1, 1, 4, 5]), axis=-1),
    ],
)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """``ary`` split into nearly equal parts, or before the given places."""
    ary = lift(ary)
    axis = normalize_axis_index(axis, ary.ndim)
    n = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        parts = int(indices_or_sections)
        if parts < 1:
            raise OptionError(f"split: {parts} parts were requested; there must be at least 1")
        cuts = np.cumsum([n // parts + (i < n % parts) for i in range(parts - 1)]).astype(int).tolist()
    else:
        cuts = [int(i) for i in indices_or_sections]
    if len(cuts) > 2 and [0, *cuts, n] == sorted([0, *cuts, n]):
        return pieces(ary, [end - start for start, end in pairwise([0, *cuts, n])], axis)
    # Cuts need not be in order: pieces then overlap or are empty.
    return [ary[along(axis, slice(*ends))] for ends in pairwise([0, *cuts, n])]


def pieces(a: Array, sizes: list[int], axis: int) -> list[Array]:
    """The pieces of these sizes along an axis.

    The array is cut in two, and each half again. So the gradients of k pieces are joined pairwise, too;
    padding each of them with zeros and adding these up would take k times as long.
    """
    half = len(sizes) // 2
    if not half:
        return [a]
    middle = sum(sizes[:half])
    first, second = (a[along(axis, part)] for part in (slice(middle), slice(middle, None)))
    return [*pieces(first, sizes[:half], axis), *pieces(second, sizes[half:], axis)]


@implements(
    np.split,
    samples=[Sample((4, 2), prepare=lambda a: (a, 2)), Sample((2, 3), prepare=lambda a: (a, (1,), 1))],
)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """``ary`` split into equal parts, or before the given places."""
    parts, n = indices_or_sections, np.shape(ary)[axis]
    if np.ndim(parts) == 0 and int(parts) > 0 and n % int(parts):
        raise ShapeError(
            f"split: axis {axis} of length {n} does not divide into {parts} equal parts; use np.array_split"
        )
    return array_split(ary, parts, axis)


@implements(np.vsplit, samples=[Sample((4, 2), prepare=lambda a: (a, 2))])
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Split along the first axis of two or more."""
    return split(_with_axes("vsplit", ary, 2), indices_or_sections, 0)


@implements(
    np.hsplit, samples=[Sample((2, 4), prepare=lambda a: (a, [1, 3])), Sample((4,), prepare=lambda a: (a, 2))]
)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Split along the second axis; along the first if there is only one."""
    ary = _with_axes("hsplit", ary, 1)
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@implements(np.dsplit, samples=[Sample((1, 2, 4), prepare=lambda a: (a, 2))])
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Split along the third axis."""
    return split(_with_axes("dsplit", ary, 3), indices_or_sections, 2)


def _with_axes(name: str, a: Any, ndim: int) -> Array:
    a = lift(a)
    if a.ndim < ndim:
        raise ShapeError(
            f"{name}: needs an array of {pluralise(ndim, 'axis')} or more, but this one has shape {a.shape}"
        )
    return a


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The parts along an axis, without that axis."""
    if x.ndim == 0:
        raise ShapeError("unstack: a scalar has no axis to unstack")
    axis = normalize_axis_index(axis, x.ndim)
    n = x.shape[axis]
    if n < 4:
        return tuple(x[along(axis, i)] for i in range(n))
    return tuple(np.squeeze(piece, axis) for piece in pieces(x, [1] * n, axis))


if hasattr(np, "unstack"):  # since NumPy 2.1
    implements(np.unstack, samples=[Sample((3, 2)), Sample((2, 5), axis=-1, complex=True)])(unstack)
