"""Functions of sequences: differences, slopes and areas, convolution, windows.

Three of them are linear, and their rules are of the same kind as the functions: a convolution goes back
through the flipped filter, a difference through a difference, and windows go back to their places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import DTypeError, OptionError, ShapeError, UnsupportedError, pluralise
from ..graph import conjugate
from ..primitive import Sample, implements, primitive
from ..tensor import certainly
from ..typing import Array
from .arguments import gather, lift
from .indexing import along

# -- differences ---------------------------------------------------------------------------------


@primitive(
    samples=[Sample((4,), n=1, axis=0), Sample((2, 4), n=3, axis=1), Sample((3, 2), n=3, axis=0)],
    jvp="linear",
)
def difference(a: Array, /, n: int, axis: int) -> Array:
    """Each element minus the one before it, along an axis, ``n`` times."""
    return np.diff(a, n, axis)


def difference_rule(g: Array, y: Array, a: Array, n: int, axis: int) -> Array:
    """Each element has the sign + in one difference and - in the next: the negative difference of ``g``."""
    end = np.zeros_like(g, shape=(*g.shape[:axis], 1, *g.shape[axis + 1 :]), order="C")
    for _ in range(n):
        g = np.concatenate([end, g, end], axis)
        g = g[along(axis, slice(None, -1))] - g[along(axis, slice(1, None))]
    return g


difference.vjp(difference_rule)


@implements(
    np.diff,
    samples=[
        Sample((4,)),
        Sample((2, 3), n=2),
        Sample((3, 2), n=5, axis=0),
        Sample((3, 2), axis=0, prepend=1.0, append=np.array([[2.0, 3.0], [5.0, 1.0]])),
        Sample((3,), (2,), (), prepare=lambda a, b, c: (a, 1, -1, b, c)),
        Sample((4,), complex=True),
    ],
)
def diff(
    a: Array, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
) -> Array:
    """Differences of neighbours, including prepended and appended values."""
    if n == 0:
        return a
    if n < 0:
        raise OptionError(f"diff: order n={n}; it must be 0 or more")
    a = lift(a)
    if a.ndim == 0:
        raise ShapeError("diff: a number has no neighbours; pass at least one axis")
    axis = normalize_axis_index(axis, a.ndim)
    parts = [_as_slab(part, a, axis) for part in (prepend, a, append) if part is not np._NoValue]
    if len(parts) > 1:
        a = np.concatenate(parts, axis)
    return difference(a, n=min(n, a.shape[axis]), axis=axis)


def _as_slab(part: Any, a: Array, axis: int) -> Array:
    """Broadcast a number to the first slice of ``a`` along the axis; return an array unchanged."""
    part = lift(part)
    return part if part.ndim else np.broadcast_to(part, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


@implements(
    np.ediff1d,
    samples=[
        Sample((2, 3)),
        Sample((3,), to_end=[1.0, 2.0], to_begin=0.5),
        Sample((3,), (2,), (2, 1), prepare=lambda a, end, begin: (a, end, begin)),
    ],
)
def ediff1d(ary: Array, to_end: Any = None, to_begin: Any = None) -> Array:
    """Differences of neighbours in the flattened array, with optional values before and after."""
    ary = np.reshape(lift(ary), -1)
    parts = [np.diff(ary)]
    for name, part in (("to_begin", to_begin), ("to_end", to_end)):
        if part is not None:
            part = np.reshape(lift(part), -1)
            if not np.can_cast(part.dtype, ary.dtype, "same_kind"):
                raise DTypeError(f"ediff1d: {name} of {part.dtype} does not fit an array of {ary.dtype}")
            parts.insert(0 if name == "to_begin" else len(parts), part.astype(ary.dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@primitive(samples=[Sample((5,), np.array(2.5)), Sample((3, 2), np.array(3.0), axis=0)], jvp="elementwise")
def unwrap(p: Array, period: Any, /, discont: float | None = None, axis: int = -1) -> Array:
    """Phases without jumps, made by adding whole periods."""
    return np.unwrap(p, discont, axis, period=period)


unwrap.vjp(
    lambda g, y, p, period, discont, axis: g,
    lambda g, y, p, period, discont, axis: g * np.rint((y - p) / period),
)


@implements(
    np.unwrap,
    samples=[
        Sample((5,), domain=(-9.0, 9.0)),
        Sample((4, 2), axis=0, period=1.5, discont=1.1),
        Sample((4,), period=3),
    ],
)
def _unwrap(p: Array, discont: float | None = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Array:
    return unwrap(lift(p), period, discont=discont, axis=axis)


# -- slopes and areas ----------------------------------------------------------------------------


@implements(
    np.gradient,
    samples=[
        Sample((4,)),
        Sample((3, 4), 0.5, axis=1, edge_order=2),
        Sample((3, 3), 0.5, np.array([0.0, 1.0, 1.5]), edge_order=2),
        Sample((4, 2), np.array([0.0, 0.5, 2.0, 2.2]), axis=0),
        Sample((2, 3), (), (), domain=(0.5, 2.0)),
        Sample((4,), complex=True, edge_order=2),
    ],
)
def gradient(f: Array, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes along each axis: inside, of the parabola through three neighbours; at the edges, one-sided.

    With ``edge_order=1``, the slope at an edge is that between the last two elements.
    """
    f = lift(f)
    if f.dtype.kind not in "fc":
        f = f.astype(np.float64)
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim)
    spacings = _spacings(f, tuple(axes), [gather(h) for h in varargs])
    if edge_order not in (1, 2):
        raise OptionError(f"gradient: edge_order={edge_order}; valid: 1, 2")
    for i in axes:
        if f.shape[i] < edge_order + 1:
            raise ShapeError(
                f"gradient: axis {i} has {pluralise(f.shape[i], 'element')}; edge_order={edge_order} needs "
                f"at least {edge_order + 1}"
            )
    slopes = tuple(slope_along(f, h, i, edge_order) for h, i in zip(spacings, axes, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _spacings(f: Array, axes: Sequence[int], given: Sequence[Any]) -> list[Any]:
    """For each axis, one spacing or an array of them."""
    if not given:
        return [1.0] * len(axes)
    if len(given) == 1 and np.ndim(given[0]) == 0:
        return list(given) * len(axes)
    if len(given) != len(axes):
        raise TypeError(
            f"gradient: {pluralise(len(given), 'spacing')} for {pluralise(len(axes), 'axis')}; pass none, one "
            "number, or one each"
        )
    return [_spacing(h, f.shape[axis]) for h, axis in zip(given, axes, strict=True)]


def _spacing(h: Any, n: int) -> Any:
    """The differences of coordinates; only one if all are equal and need no gradients."""
    if np.ndim(h) == 0:
        return h
    h = lift(h)
    if h.shape != (n,):
        raise ShapeError(f"gradient: coordinates of shape {h.shape} for an axis of {pluralise(n, 'element')}")
    steps = np.diff(h.astype(np.float64) if h.dtype.kind in "iu" else h)
    steps = steps.astype(np.float64) if steps.dtype == bool else steps
    is_even = not h.requires_grad and certainly(np.all(steps == steps[0]))
    return steps[0] if is_even else steps


def slope_along(f: Array, h: Any, axis: int, edge_order: int) -> Array:
    """Slopes along one axis, for one spacing ``h`` or an array of them.

    The slope of a parabola at the second of three points is the mean of the slopes of the lines between
    them, with a greater weight for the shorter line.
    """

    def part(x: Array, start: int | None, stop: int | None) -> Array:
        return x[along(axis, slice(start, stop))] if np.ndim(x) else x

    if np.ndim(h):
        h = np.reshape(h, (1,) * axis + (-1,) + (1,) * (f.ndim - axis - 1))
        lines, before, after = np.diff(f, axis=axis) / h, part(h, None, -1), part(h, 1, None)
        inside = (part(lines, None, -1) * after + part(lines, 1, None) * before) / (before + after)
    else:
        inside = (part(f, 2, None) - part(f, None, -2)) / (2.0 * h)
    start = np.diff(part(f, None, edge_order + 1), axis=axis) / part(h, None, edge_order)
    end = np.diff(part(f, -edge_order - 1, None), axis=axis) / part(h, -edge_order, None)
    if edge_order == 2:
        start = beyond(part(start, 0, 1), part(start, 1, 2), part(h, 0, 1), part(h, 1, 2))
        end = beyond(part(end, 1, 2), part(end, 0, 1), part(h, -1, None), part(h, -2, -1))
    slopes = np.concatenate([start, inside, end], axis)
    return slopes if slopes.dtype == f.dtype else slopes.astype(f.dtype)


def beyond(near: Array, far: Array, h_near: Array, h_far: Array) -> Array:
    """The slope of a parabola at its first point: it is linear, and equals each line's slope in its middle."""
    return near + (near - far) * (h_near / (h_near + h_far))


@implements(
    np.trapezoid,
    samples=[
        Sample((4,)),
        Sample((2, 3), dx=0.5, axis=0),
        Sample((2, 3), (3,)),
        Sample((3, 2), (3,), prepare=lambda y, x: (y, x, 1.0, 0)),
        Sample((2, 3), (2, 3), complex=True),
        Sample((3,), (), prepare=lambda y, dx: (y, None, dx)),
    ],
)
def trapezoid(y: Array, x: Array | None = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The area under the line through the points."""
    y = lift(y)
    axis = normalize_axis_index(axis, y.ndim)
    width = dx
    if x is not None:
        x = lift(x)
        width = np.diff(x, axis=-1 if x.ndim == 1 else axis)
        if x.ndim == 1:
            width = np.reshape(width, (-1,) + (1,) * (y.ndim - axis - 1))
    return np.sum(width * (y[along(axis, slice(1, None))] + y[along(axis, slice(None, -1))]) / 2.0, axis=axis)


# -- convolution ---------------------------------------------------------------------------------


@primitive(
    samples=[
        *(Sample((5,), (2,), mode=mode) for mode in ("full", "same", "valid")),
        *(Sample((3,), (4,), mode=mode) for mode in ("full", "same", "valid")),
        Sample((3,), (2,), mode="full", complex=True),
    ],
    jvp="multilinear",
)
def convolution(a: Array, v: Array, /, mode: Any) -> Array:
    """The sum of copies of ``v``, each shifted to an element of ``a`` and multiplied by it."""
    return np.convolve(a, v, mode)


def convolution_rule(g: Array, y: Array, a: Array, v: Array) -> Array:
    """Each element of ``a`` collects ``g`` from the place of its copy of ``v``: ``g`` convolved with flipped ``v``.

    The rule serves for either argument. One of the modes yields as many elements as ``a`` has, except for
    "same": there, the ends that were cut off are first added to ``g`` again.
    """
    n, v = len(a), np.flip(v)
    if len(g) + len(v) - 1 == n:
        return np.convolve(g, v, "full")
    cut = n + len(v) - 1 - len(g)
    if cut and abs(len(g) - len(v)) + 1 != n:
        g = np.pad(g, (cut // 2, cut - cut // 2))
    return np.convolve(g, v, "valid")


convolution.vjp(
    lambda g, y, a, v, mode: convolution_rule(g, y, a, v),
    lambda g, y, a, v, mode: convolution_rule(g, y, v, a),
)


@implements(
    np.convolve, samples=[Sample((4,), (3,)), Sample((2,), (5,), mode="same"), Sample((), (2,), mode="valid")]
)
def convolve(a: Array, v: Array, mode: Any = "full") -> Array:
    """Discrete convolution of two sequences; numbers count as sequences with one element."""
    a, v = (np.reshape(x, 1) if x.ndim == 0 else x for x in map(lift, (a, v)))
    return convolution(a, v, mode=mode)


@implements(
    np.correlate,
    samples=[
        Sample((4,), (2,)),
        Sample((2,), (4,), mode="same", complex=True),
        Sample((4,), (2,), mode="same", complex=True),
        Sample((2,), (3,), mode="full", complex=True),
    ],
)
def correlate(a: Array, v: Array, mode: Any = "valid") -> Array:
    """Products of ``a`` with ``conj(v)`` at each place: a convolution with the flipped, always the shorter one.

    That determines where the middle is that "same" keeps.
    """
    a, v = lift(a), conjugate(lift(v))
    if a.ndim != 1 or v.ndim != 1:
        raise ShapeError(f"correlate: shapes {a.shape} and {v.shape}; pass two sequences (1-d arrays)")
    if len(a) >= len(v):
        return convolution(a, np.flip(v), mode=mode)
    return np.flip(convolution(v, np.flip(a), mode=mode))


# -- windows -------------------------------------------------------------------------------------


@primitive(
    samples=[Sample((5,), size=2, axis=0), Sample((2, 4), size=3, axis=1), Sample((3, 2), size=2, axis=0)],
    jvp="linear",
)
def windows(x: Array, /, size: int, axis: int) -> Array:
    """All windows of a given size along an axis, as a new last axis, without copying."""
    return sliding_window_view(x, size, axis)


@primitive(
    samples=[Sample((4, 2), axis=0), Sample((2, 2, 3), axis=1), Sample((2, 2, 2), axis=0)], jvp="linear"
)
def overlap_add(x: Array, /, axis: int) -> Array:
    """Put windows back to their places, and add up where they overlap: the adjoint of ``windows``."""
    x = np.moveaxis(x, axis, -2)
    count, size = x.shape[-2:]
    result: Any = np.zeros_like(x, shape=(*x.shape[:-2], count + size - 1), order="C")
    if size <= count:
        for i in range(size):
            result[..., i : i + count] += x[..., i]
    else:
        for i in range(count):
            result[..., i : i + size] += x[..., i, :]
    return np.moveaxis(result, -1, axis)


windows.vjp(lambda g, y, x, size, axis: overlap_add(g, axis=axis))
overlap_add.vjp(lambda g, y, x, axis: windows(g, size=x.shape[-1], axis=axis))


@implements(
    sliding_window_view,
    samples=[
        Sample((5,), window_shape=3),
        Sample((3, 4), window_shape=(2, 3)),
        Sample((4, 2), window_shape=(2, 2), axis=(0, 0)),
        Sample((2, 4), window_shape=2, axis=-1),
    ],
)
def _sliding_window_view(
    x: Array, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Array:
    """All windows of a shape: along one axis, then along the next."""
    if writeable:
        raise UnsupportedError(
            "sliding_window_view: writeable=True would share memory with a Tensor; write t[...] = value instead"
        )
    sizes = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim, allow_duplicate=True)
    if len(sizes) != len(axes):
        raise ShapeError(
            f"sliding_window_view: window_shape {sizes} for {pluralise(len(axes), 'axis')}; pass a length for each"
        )
    for size, i in zip(sizes, axes, strict=True):
        x = windows(x, size=size, axis=i)
    return x
