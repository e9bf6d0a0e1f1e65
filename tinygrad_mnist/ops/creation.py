"""NumPy's functions that make an array from numbers, lists and arrays, or of points on a line or a grid.

Those that take lists turn everything into plain arrays, Tensors too, unless ``like=`` names a Tensor:
``np.array([a, 2 * b], like=a)`` makes an array like ``a``, which is a Tensor, and keeps the gradients
of ``a`` and ``b``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, UnsupportedError
from ..primitive import Sample, implements, primitive
from ..tensor import unshared
from ..typing import Array
from .arguments import beside, lift

_NESTED = Sample((2,), (), prepare=lambda a, b: ([[a[0], a[1]], [b, 2.0]],))


@implements(np.array, samples=[_NESTED, Sample((3,), ndmin=2), Sample((2, 2), complex=True)])
def array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0
) -> Array:
    """A Tensor from anything made of numbers, arrays and Tensors."""
    if copy is False:
        raise UnsupportedError(
            "array: copy=False is not supported on a Tensor; np.asarray copies only if necessary"
        )
    return _shaped(np.copy(lift(object)) if copy else lift(object), dtype, ndmin)


@implements(np.asarray, np.asanyarray, samples=[_NESTED, Sample((2, 3))])
def asarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None) -> Array:
    """A Tensor from anything; a Tensor is returned unchanged."""
    return array(a, dtype, copy=copy)


@implements(np.ascontiguousarray, samples=[Sample((2, 3)), Sample(())])
def ascontiguousarray(a: Any, dtype: Any = None) -> Array:
    """A Tensor with at least one axis, copied where NumPy copies; the layout of a copy is not promised."""
    result = lift(array(a, dtype, copy=None, ndmin=1))
    return result if result._array.flags.c_contiguous else np.copy(result)


@implements(np.asfortranarray, samples=[Sample((2, 3)), Sample(())])
def asfortranarray(a: Any, dtype: Any = None) -> Array:
    """As :func:`ascontiguousarray`."""
    result = lift(array(a, dtype, copy=None, ndmin=1))
    return result if result._array.flags.f_contiguous else np.copy(result)


@implements(
    np.full, samples=[Sample((), prepare=lambda x: ((2, 3), x)), Sample((3,), prepare=lambda x: ((2, 3), x))]
)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Array:
    """An array of a given shape, filled with one value or with values that are broadcast."""
    return np.copy(np.broadcast_to(_shaped(lift(fill_value), dtype, 0), shape))


def _shaped(x: Any, dtype: Any, ndmin: int) -> Any:
    x = x if dtype is None else x.astype(dtype)
    return np.reshape(x, (1,) * (ndmin - x.ndim) + x.shape) if ndmin > x.ndim else x


def progress(y: Array, num: int, endpoint: bool, axis: int) -> Array:
    """The position of each point between start (0) and stop (1), along its axis of ``y``."""
    steps = np.arange(num, dtype=np.result_type(y.dtype, np.float64)) / max(num - 1 if endpoint else num, 1)
    return beside(y, steps.astype(y.dtype).reshape((-1,) + (1,) * (y.ndim - 1 - axis % y.ndim)))


@primitive(
    samples=[
        Sample((), (), num=4),
        Sample((2,), (3, 1), num=3, axis=-1),
        Sample((2,), (), num=3, endpoint=False, axis=1, complex=True),
        Sample((2,), (), num=1),
    ],
    jvp="linear",
)
def linspace(
    start: Array, stop: Array, /, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """Points at equal distances."""
    return np.linspace(start, stop, num, endpoint, dtype=dtype, axis=axis)


linspace.vjp(
    lambda g, y, start, stop, num, endpoint, dtype, axis: np.sum(
        g * (1 - progress(y, num, endpoint, axis)), axis=axis
    ),
    lambda g, y, start, stop, num, endpoint, dtype, axis: np.sum(
        g * progress(y, num, endpoint, axis), axis=axis
    ),
)


@implements(
    np.linspace,
    samples=[
        Sample((), (), num=5),
        Sample((2,), 3.0, num=4, retstep=True),
        Sample((2,), (2,), num=3, endpoint=False, retstep=True, axis=-1),
    ],
)
def _linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    y = linspace(start, stop, num=num, endpoint=endpoint, dtype=dtype, axis=axis)
    if not retstep:
        return y
    steps = num - 1 if endpoint else num
    return y, (np.subtract(stop, start) / steps if steps > 0 else math.nan)


@primitive(
    np.geomspace,
    samples=[
        Sample((), (), num=4, domain=(0.5, 3.0)),
        Sample((2,), (3, 1), num=3, axis=-1, domain=(-3.0, -0.5)),
        Sample((2,), (), num=3, endpoint=False, axis=1, domain=(0.5, 3.0), complex=True),
    ],
)
def geomspace(
    start: Array, stop: Array, /, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """Points with equal ratios: ``start**(1-w) * stop**w`` as ``w`` goes from 0 to 1."""
    return np.geomspace(start, stop, num, endpoint, dtype=dtype, axis=axis)


geomspace.vjp(
    lambda g, y, start, stop, num, endpoint, dtype, axis: (
        np.sum(g * y * (1 - progress(y, num, endpoint, axis)), axis=axis) / start
    ),
    lambda g, y, start, stop, num, endpoint, dtype, axis: (
        np.sum(g * y * progress(y, num, endpoint, axis), axis=axis) / stop
    ),
)


@implements(
    np.logspace,
    samples=[
        Sample((), (), num=4),
        Sample((2,), (2,), (), prepare=lambda a, b, base: (a, b, 3, False, base + 3.0)),
        Sample((2,), (), (3, 1), prepare=lambda a, b, base: (a, b, 4, True, base + 3.0), axis=-1),
    ],
)
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
    axis: int = 0,
) -> Array:  # fmt: skip
    """``base`` to the power of points at equal distances."""
    if np.ndim(base):
        ndim = max(map(np.ndim, (start, stop, base)))
        start, stop, base = (
            np.reshape(x, (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (start, stop, base)
        )
        base = np.expand_dims(base, axis)
    exponents = linspace(start, stop, num=num, endpoint=endpoint, axis=axis)
    y = np.power(base, exponents)
    return y if dtype is None else y.astype(dtype)


def _across(x: Array, i: int, ndim: int) -> Array:
    """A row along axis ``i`` of ``ndim``."""
    return np.reshape(x, (1,) * i + (-1,) + (1,) * (ndim - i - 1))


@implements(
    np.meshgrid,
    samples=[
        Sample((2,), (3,)),
        Sample((2,), (3,), (), indexing="ij", complex=True),
        Sample((2,), (3,), (2,), sparse=True),
        Sample((3,), copy=False),
    ],
)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Array, ...]:
    """Coordinates at every point of a grid, one array for each axis."""
    if indexing not in ("xy", "ij"):
        raise OptionError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = 1, 0
    grid = tuple(_across(lift(x), i, len(xi)) for x, i in zip(xi, order, strict=True))
    grid = grid if sparse else tuple(np.broadcast_arrays(*grid))
    return tuple(map(unshared, grid)) if copy else grid


@implements(np.ix_, samples=[((2,), (3,)), ((2,),)])
def ix_(*args: Any) -> tuple[Array, ...]:
    """Vectors turned into the index of the rectangle they span; a mask stands for the places where it holds."""
    rows: list[Array] = [lift(x) for x in args]
    for x in rows:
        if x.ndim != 1:
            raise ShapeError(f"ix_: an index of shape {x.shape}; each must have one axis")
    rows = [np.flatnonzero(x) if x.dtype == bool else x if x.size else x.astype(np.intp) for x in rows]
    return tuple(_across(x, i, len(rows)) for i, x in enumerate(rows))
