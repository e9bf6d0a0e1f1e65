"""Functions that rearrange elements: their gradients are the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..primitive import Sample, implements, primitive
from ..typing import Array

Axes = int | tuple[int, ...] | None


@primitive(
    samples=[Sample((2, 6), shape=(3, 4)), Sample((2, 3), shape=-1), Sample((2, 3), shape=(3, 2), order="F")]
)
def reshape(a: Array, /, shape: Any, order: str = "C") -> Array:
    """The same elements in another shape."""
    settings: Any = {"order": order}
    return np.reshape(a, shape, **settings)


reshape.vjp(lambda g, y, a, shape, order: np.reshape(g, a.shape, order=order))


@implements(np.reshape)
def _reshape(a: Array, shape: Any, order: str = "C") -> Array:
    return reshape(a, shape=shape, order=_order(a, order))


@implements(np.ravel)
def ravel(a: Array, order: str = "C") -> Array:
    """The elements in one row."""
    return reshape(a, shape=-1, order=_order(a, order))


def _order(a: Array, order: str) -> str:
    """Decide the orders that depend on how an array lies in memory, so that the gradient can follow."""
    if order in ("C", "F"):
        return order
    flags = a.data.flags
    if order == "K" and not (flags.c_contiguous or flags.f_contiguous):
        raise UnsupportedError(
            "np.ravel: order 'K' of an array in pieces has no gradient rule; use 'C', 'F' or 'A'"
        )
    return "F" if flags.f_contiguous and not flags.c_contiguous else "C"


@primitive(
    np.transpose, samples=[Sample((2, 3)), Sample((2, 3, 4), axes=(1, 2, 0)), Sample((2, 3), axes=(-1, 0))]
)
def transpose(a: Array, /, axes: Any = None) -> Array:
    """The axes in another order, by default reversed."""
    return np.transpose(a, axes)


transpose.vjp(
    lambda g, y, a, axes: np.transpose(g, None if axes is None else np.argsort([i % a.ndim for i in axes]))
)


@primitive(np.swapaxes, samples=[Sample((2, 3, 4), axis1=0, axis2=-1)])
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
)
def moveaxis(a: Array, /, source: Any, destination: Any) -> Array:
    """Axes moved to other places, the rest in their order."""
    return np.moveaxis(a, source, destination)


moveaxis.vjp(lambda g, y, a, source, destination: np.moveaxis(g, destination, source))


@primitive(
    np.squeeze, samples=[Sample((1, 3, 1)), Sample((1, 3, 1), axis=0), Sample((1, 3, 1), axis=(0, -1))]
)
def squeeze(a: Array, /, axis: Axes = None) -> Array:
    """Axes of length one removed."""
    return np.squeeze(a, axis=axis)


squeeze.vjp(lambda g, y, a, axis: np.reshape(g, a.shape))


@primitive(np.expand_dims, samples=[Sample((2, 3), axis=1), Sample((2,), axis=(0, -1))])
def expand_dims(a: Array, /, axis: int | tuple[int, ...]) -> Array:
    """Axes of length one inserted."""
    return np.expand_dims(a, axis)


expand_dims.vjp(lambda g, y, a, axis: np.reshape(g, a.shape))


@primitive(
    np.broadcast_to,
    samples=[Sample((3,), shape=(2, 3)), Sample((2, 1), shape=(2, 3)), Sample((), shape=(2,))],
)
def broadcast_to(a: Array, /, shape: Any) -> Array:
    """Repeated, without copying, to a larger shape."""
    return np.broadcast_to(a, shape)


broadcast_to.vjp(lambda g, y, a, shape: g)  # the sweep undoes broadcasting


@primitive(np.flip, samples=[Sample((2, 3)), Sample((2, 3), axis=1), Sample((2, 3, 2), axis=(0, 2))])
def flip(a: Array, /, axis: Axes = None) -> Array:
    """The order along axes reversed."""
    return np.flip(a, axis=axis)


flip.vjp(lambda g, y, a, axis: np.flip(g, axis=axis))


@primitive(
    np.roll,
    samples=[
        Sample((2, 3), shift=2),
        Sample((2, 3), shift=1, axis=1),
        Sample((2, 3), shift=(1, -1), axis=(0, 1)),
    ],
)
def roll(a: Array, /, shift: Any, axis: Any = None) -> Array:
    """Elements moved along axes, those that fall off coming back at the other end."""
    return np.roll(a, shift, axis=axis)


roll.vjp(lambda g, y, a, shift, axis: np.roll(g, np.negative(shift), axis=axis))


@implements(np.repeat)
def repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    """Each element several times in a row: ``take`` with repeated indices."""
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis=axis)


@implements(np.tile)
def tile(A: Array, reps: Any) -> Array:
    """The whole array several times along each axis: broadcast new axes, then join them."""
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    ndim = max(A.ndim, len(reps))
    shape = (1,) * (ndim - A.ndim) + A.shape
    reps = (1,) * (ndim - len(reps)) + reps
    apart = np.reshape(A, [n for size in shape for n in (1, size)])
    apart = np.broadcast_to(apart, [n for rep, size in zip(reps, shape, strict=True) for n in (rep, size)])
    return np.reshape(apart, [rep * size for rep, size in zip(reps, shape, strict=True)])


@primitive(
    name="pad", samples=[Sample((2, 3), widths=((1, 0), (2, 1))), Sample((3,), widths=((1, 2),), value=5.0)]
)
def pad_constant(a: Array, /, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """``a`` with a constant around it."""
    return np.pad(a, widths, constant_values=value)


pad_constant.vjp(
    lambda g, y, a, widths, value: g[
        tuple(slice(w, w + n) for (w, _), n in zip(widths, a.shape, strict=True))
    ]
)

_INDEXABLE_PADS = ("edge", "reflect", "symmetric", "wrap")


@implements(np.pad)
def pad(array: Array, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Array:
    """Pad with a constant, or with elements of the array itself.

    Where the border repeats elements, padding the *indices* the same way tells which: the gradient
    is then that of indexing.
    """
    widths = tuple(tuple(int(n) for n in pair) for pair in np.broadcast_to(pad_width, (array.ndim, 2)))
    if mode == "constant":
        return pad_constant(array, widths=widths, value=constant_values)
    if mode not in _INDEXABLE_PADS:
        raise UnsupportedError(
            f"np.pad: mode {mode!r} has no gradient rule; valid: constant, {', '.join(_INDEXABLE_PADS)}"
        )
    kind: Any = mode
    for axis, (before, after) in enumerate(widths):
        if before or after:
            array = np.take(
                array, np.pad(np.arange(array.shape[axis]), (before, after), mode=kind), axis=axis
            )
    return array
