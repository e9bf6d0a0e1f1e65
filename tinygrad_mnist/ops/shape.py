"""Functions that rearrange or repeat elements; their gradients undo that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..primitive import Sample, implements, primitive
from ..tensor import Tensor, record, unshared
from ..typing import Array
from .arguments import lift, places

Axes = int | tuple[int, ...] | None


# -- the same elements in another shape ----------------------------------------------------------


@primitive(
    samples=[
        Sample((2, 6), shape=(3, 4)),
        Sample((2, 3), shape=-1),
        Sample((2, 3), shape=(3, 2), order="F", complex=True),
    ],
    jvp="linear",
)
def reshape(a: Array, /, shape: Any, order: str = "C", copy: bool | None = None) -> Array:
    """The same elements in another shape."""
    settings: Any = {"order": order} if copy is None else {"order": order, "copy": copy}
    return np.reshape(a, shape, **settings)


reshape.vjp(lambda g, y, a, shape, order, copy: np.reshape(g, a.shape, order=order))


@implements(
    np.reshape,
    samples=[
        Sample((2, 6), prepare=lambda a: (a, (3, 4))),
        Sample((2, 6), prepare=lambda a: (a.T, -1), order="A"),
    ],
)
def _reshape(
    a: Array, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: bool | None = None
) -> Array:
    shape = newshape if shape is None else shape  # its name is newshape in NumPy 2.0
    settings = {"shape": shape, "order": _order(a, order), "copy": copy}
    return record(reshape, (a,), settings) if isinstance(a, Tensor) else reshape(a, **settings)


def _order(a: Array, order: str) -> str:
    """Resolve an order that depends on the memory layout, so that the gradient can use the same one."""
    if order not in ("A", "a"):
        return order
    flags = a.data.flags
    return "F" if flags.f_contiguous and not flags.c_contiguous else "C"


@implements(
    np.ravel,
    samples=[
        Sample((2, 3)),
        Sample((2, 3), order="F"),
        Sample((2, 3, 2), prepare=lambda a: (np.transpose(a, (2, 0, 1)),), order="K"),
    ],
)
def ravel(a: Array, order: str = "C") -> Array:
    """The elements as a vector; with order ``"K"``, in memory order."""
    if order in ("K", "k"):
        strides = a.data.strides
        a, order = np.transpose(a, sorted(range(a.ndim), key=lambda i: -abs(strides[i]))), "C"
    return reshape(a, shape=-1, order=_order(a, order))


@primitive(
    np.squeeze,
    samples=[Sample((1, 3, 1)), Sample((1, 3, 1), axis=0), Sample((1, 3, 1), axis=(0, -1), complex=True)],
    jvp="linear",
)
def squeeze(a: Array, /, axis: Axes = None) -> Array:
    """Axes of length one removed."""
    return np.squeeze(a, axis=axis)


squeeze.vjp(lambda g, y, a, axis: np.reshape(g, a.shape))


@primitive(np.expand_dims, samples=[Sample((2, 3), axis=1), Sample((2,), axis=(0, -1))], jvp="linear")
def expand_dims(a: Array, /, axis: int | tuple[int, ...]) -> Array:
    """Axes of length one inserted."""
    return np.expand_dims(a, axis)


expand_dims.vjp(lambda g, y, a, axis: np.reshape(g, a.shape))


def _each(*arrays: Any, shape: Any) -> Any:
    """Reshape one array, or several into a tuple, with ``shape`` applied to the shape of each."""
    results = tuple(np.reshape(a, shape(a.shape)) for a in map(lift, arrays))
    return results[0] if len(results) == 1 else results


@implements(np.atleast_1d, samples=[((),), ((), (2, 3))])
def atleast_1d(*arys: Any) -> Any:
    """A number as a vector with one element."""
    return _each(*arys, shape=lambda shape: shape or (1,))


@implements(np.atleast_2d, samples=[((),), ((3,), (2, 3))])
def atleast_2d(*arys: Any) -> Any:
    """A vector as a matrix with one row."""
    return _each(*arys, shape=lambda shape: (1,) * (2 - len(shape)) + shape)


@implements(np.atleast_3d, samples=[((),), ((3,),), ((2, 3), (2, 1, 2))])
def atleast_3d(*arys: Any) -> Any:
    """A vector of N as ``(1, N, 1)``; a matrix gets another axis at the end."""
    return _each(
        *arys,
        shape=lambda shape: {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}.get(len(shape), shape),
    )


# -- axes in another order -----------------------------------------------------------------------


@primitive(
    np.transpose,
    samples=[
        Sample((2, 3)),
        Sample((2, 3, 4), axes=(1, 2, 0), complex=True),
        Sample((2, 3), axes=(-1, 0)),
    ],
    jvp="linear",
)
def transpose(a: Array, /, axes: Any = None) -> Array:
    """The axes in another order, by default reversed."""
    return np.transpose(a, axes)


transpose.vjp(
    lambda g, y, a, axes: np.transpose(
        g, None if axes is None else np.argsort([i % a.ndim for i in axes]).tolist()
    )
)


@implements(np.matrix_transpose, np.linalg.matrix_transpose, samples=[((2, 3, 4),)])
def matrix_transpose(x: Array, /) -> Array:
    """The last two axes swapped."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: an array of shape {x.shape} is not a matrix; it needs two axes")
    return np.swapaxes(x, -1, -2)


@primitive(np.swapaxes, samples=[Sample((2, 3, 4), axis1=0, axis2=-1)], jvp="linear")
def swapaxes(a: Array, /, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    return np.swapaxes(a, axis1, axis2)


swapaxes.vjp(lambda g, y, a, axis1, axis2: np.swapaxes(g, axis1, axis2))


@primitive(
    np.moveaxis,
    samples=[
        Sample((2, 3, 4), source=0, destination=-1),
        Sample((2, 3, 4), source=(0, 1), destination=(2, 0)),
    ],
    jvp="linear",
)
def moveaxis(a: Array, /, source: Any, destination: Any) -> Array:
    """Axes moved to other places, with the rest in their old order."""
    return np.moveaxis(a, source, destination)


moveaxis.vjp(lambda g, y, a, source, destination: np.moveaxis(g, destination, source))


@implements(
    np.rollaxis,
    samples=[
        Sample((2, 3, 4), axis=2),
        Sample((2, 3, 4), axis=-3, start=3),
        Sample((2, 3, 4), axis=1, start=-1),
    ],
)
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """An axis moved before the one that is now at ``start``."""
    axis = normalize_axis_index(axis, a.ndim)
    start = normalize_axis_index(start, a.ndim + (start >= 0))
    return np.moveaxis(a, axis, start - (axis < start))


# -- reversing and rolling ------------------------------------------------------------------------


@primitive(
    np.flip,
    samples=[Sample((2, 3)), Sample((2, 3), axis=1), Sample((2, 3, 2), axis=(0, 2), complex=True)],
    jvp="linear",
)
def flip(m: Array, /, axis: Axes = None) -> Array:
    """The order along axes reversed."""
    return np.flip(m, axis=axis)


flip.vjp(lambda g, y, m, axis: np.flip(g, axis=axis))


@implements(np.flipud, samples=[((3, 2),), ((3,),)])
def flipud(m: Array) -> Array:
    """The first axis reversed: upside down."""
    return np.flip(m, 0)


@implements(np.fliplr, samples=[((2, 3, 2),)])
def fliplr(m: Array) -> Array:
    """The second axis reversed: left and right swapped."""
    return np.flip(m, 1)


@implements(
    np.rot90,
    samples=[
        Sample((2, 3)),
        Sample((2, 3), k=-1),
        Sample((2, 3, 2), k=2, axes=(2, 0)),
        Sample((2, 3, 2), k=7, axes=(1, -1)),
        Sample((2, 3), k=4),
    ],
)
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Rotated by ``k`` right angles, from the first axis towards the second."""
    first, second = normalize_axis_tuple(axes, m.ndim)
    turns = k % 4
    if turns % 2 == 0:
        return np.flip(m, axes) if turns else m[...]
    if turns == 1:
        return np.swapaxes(np.flip(m, second), first, second)
    return np.flip(np.swapaxes(m, first, second), second)


@primitive(
    np.roll,
    samples=[
        Sample((2, 3), shift=2),
        Sample((2, 3), shift=1, axis=1, complex=True),
        Sample((2, 3), shift=(1, -1), axis=(0, 1)),
    ],
    jvp="linear",
)
def roll(a: Array, /, shift: Any, axis: Any = None) -> Array:
    """Elements moved along axes; those that fall off come back at the other end."""
    return np.roll(a, shift, axis=axis)


roll.vjp(lambda g, y, a, shift, axis: np.roll(g, np.negative(shift).tolist(), axis=axis))


# -- elements repeated ---------------------------------------------------------------------------


@primitive(
    np.broadcast_to,
    samples=[
        Sample((3,), shape=(2, 3)),
        Sample((2, 1), shape=(2, 3), complex=True),
        Sample((), shape=2),
        Sample((2, 1), shape=(2, 0)),
    ],
    jvp="linear",
)
def broadcast_to(array: Array, /, shape: Any, subok: bool = False) -> Array:
    """The array repeated, without copying, to a larger shape."""
    return np.broadcast_to(array, shape)


broadcast_to.vjp(lambda g, y, array, shape, subok: g)  # the sweep undoes broadcasting


@implements(np.broadcast_arrays, samples=[((2, 1), (3,), ()), ((2,),)])
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    """Arrays broadcast to their common shape."""
    arrays = [lift(a) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(np.broadcast_to(a, shape) for a in arrays)


@implements(
    np.repeat,
    samples=[
        Sample((2, 3), repeats=2),
        Sample((2, 3), repeats=[3], axis=-1),
        Sample((3, 2), repeats=[2, 0, 1], axis=0, complex=True),
        Sample((), repeats=3),
    ],
)
def repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    """Each element several times in a row; an array of ``repeats`` gives the number for each."""
    if axis is None or (not a.ndim and axis in (0, -1)):
        a, axis = np.ravel(a), 0
    axis = normalize_axis_index(axis, a.ndim)
    before, n, after = a.shape[:axis], a.shape[axis], a.shape[axis + 1 :]
    counts = places(repeats)
    if counts.size != 1:
        return np.take(a, np.repeat(np.arange(n), counts), axis=axis)
    times = len(np.repeat((0,), counts))  # NumPy's own errors for invalid counts
    apart = np.broadcast_to(np.expand_dims(a, axis + 1), (*before, n, times, *after))
    return unshared(np.reshape(apart, (*before, n * times, *after)))


@implements(
    np.tile,
    samples=[
        Sample((2, 3), reps=2),
        Sample((2, 3), reps=(2, 1, 3)),
        Sample((2, 1, 2), reps=(2,), complex=True),
        Sample((), reps=(2, 2)),
    ],
)
def tile(A: Any, reps: Any) -> Array:
    """The whole array several times along each axis: broadcast new axes, then join them."""
    A, reps = lift(A), tuple(np.ravel(reps).tolist())
    ndim = max(A.ndim, len(reps))
    shape = (1,) * (ndim - A.ndim) + A.shape
    reps = (1,) * (ndim - len(reps)) + reps
    apart = np.reshape(A, [n for size in shape for n in (1, size)])
    apart = np.broadcast_to(apart, [n for rep, size in zip(reps, shape, strict=True) for n in (rep, size)])
    return unshared(np.reshape(apart, [rep * size for rep, size in zip(reps, shape, strict=True)]))


@implements(
    np.resize,
    samples=[
        Sample((2, 3), new_shape=(3, 5)),
        Sample((2, 3), new_shape=4),
        Sample((), new_shape=(2, 2), complex=True),
    ],
)
def resize(a: Any, new_shape: Any) -> Array:
    """Fill another shape with the elements: repeated if it is larger, only the first if it is smaller."""
    flat = np.ravel(lift(a))
    shape = tuple(np.ravel(new_shape).tolist())
    if any(n < 0 for n in shape):
        raise ValueError(f"resize: a shape of {shape}; lengths cannot be negative")
    size = math.prod(shape)
    if not flat.size:
        return np.zeros_like(flat, shape=shape)
    return unshared(np.reshape(np.tile(flat, -(-size // flat.size))[:size], shape))


@implements(np.copy, samples=[Sample((2, 3)), Sample((2,), order="F", complex=True)])
def copy(a: Array, order: str = "K", subok: bool = False) -> Array:
    """The same elements in their own memory."""
    return a.copy()
