"""Padding, in all of NumPy's modes.

The padding around an array is a constant, elements of the array itself, a ramp to a value, or a
statistic of the elements near the edge. Axes are padded one after the other, so the corners are
computed from earlier padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, choice
from ..primitive import Sample, implements, primitive
from ..tensor import Tensor, unshared
from ..typing import Array, NDArray
from .arguments import beside, gather, refuse_to_round
from .indexing import HOLE, along, scatter
from .joining import unstack

Widths = tuple[tuple[int, int], ...]


@primitive(
    name="pad",
    samples=[
        Sample((2, 3), 0.0, widths=((1, 0), (2, 1))),
        Sample((3,), (), widths=((1, 2),), complex=True),
        Sample((2, 1), (2, 2), widths=((1, 2), (0, 3))),
    ],
    jvp="linear",
)
def pad_constant(a: Array, values: Array, /, widths: Widths) -> Array:
    """``a`` surrounded by values: one value, or one for each axis and side."""
    return np.pad(a, widths, constant_values=values)


def inside_of(a: Array, widths: Widths) -> tuple[slice, ...]:
    """The place of ``a`` itself within the padded array."""
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, a.shape, strict=True))


def padding_rule(g: Array, y: Array, a: Array, values: Array, widths: Widths) -> Array:
    """For each axis and side, the sum over the padding there; the corners belong to the later axis."""
    inside = inside_of(a, widths)
    sums = [
        np.sum(g[(*(slice(None),) * axis, side, *inside[axis + 1 :])])
        for axis, middle in enumerate(inside)
        for side in (slice(middle.start), slice(middle.stop, None))
    ]
    return np.reshape(np.stack(sums), (-1, 2))


pad_constant.vjp(lambda g, y, a, values, widths: g[inside_of(a, widths)], padding_rule)


@primitive(
    samples=[
        Sample((2, 4), before=2, after=3, axis=1, mode="reflect"),
        Sample((3, 2), before=1, after=7, axis=0, mode="symmetric", complex=True),
        Sample((2,), before=4, after=3, axis=0, mode="reflect"),
    ],
    jvp="linear",
)
def pad_odd(a: Array, /, before: int, after: int, axis: int, mode: Any) -> Array:
    """``a`` with its point reflections at both ends: ``2 * end - reflected``."""
    widths = [(0, 0)] * a.ndim
    widths[axis] = before, after
    return np.pad(a, widths, mode, reflect_type="odd")


def pad_odd_rule(g: Array, y: Array, a: Array, before: int, after: int, axis: int, mode: Any) -> Array:
    """Each padded element is the reflected one times 1 or -1, plus multiples of the first and the last one.

    NumPy itself tells how much of these two: it pads ``[1, 0, …]`` and ``[…, 0, 1]``. All coefficients sum
    to 1, because a constant is padded with itself.
    """
    n = a.shape[axis]
    ends = np.pad(np.eye(n, dtype=g.dtype)[:, [0, -1]], ((before, after), (0, 0)), mode, reflect_type="odd")
    ends = beside(g, ends)
    first, last = (end.reshape((-1,) + (1,) * (a.ndim - 1 - axis)) for end in ends.T)
    reflected = np.pad(np.arange(n), (before, after), mode)

    def put(part: Array, *arrays: NDArray, index: Any) -> Array:
        return scatter(part, *arrays, index=along(axis, index), shape=a.shape)

    return (
        put(g * (1 - first - last), reflected, index=HOLE)
        + put(np.sum(g * first, axis=axis), index=0)
        + put(np.sum(g * last, axis=axis), index=-1)
    )


pad_odd.vjp(pad_odd_rule)


@implements(
    np.pad,
    samples=[
        Sample((2, 3), prepare=lambda a: (a, 1)),
        Sample((2, 3), (2,), prepare=lambda a, v: (a, ((1, 0), (0, 2)), "constant"), constant_values=1.5),
        Sample((2, 3), prepare=lambda a: (a, ((2, 1), (0, 4)), "edge"), complex=True),
        Sample((4, 1), prepare=lambda a: (a, ((5, 4), (1, 1)), "reflect")),
        Sample((2, 3), prepare=lambda a: (a, ((5, 1), (2, 0)), "symmetric")),
        Sample((3, 2), prepare=lambda a: (a, (2, 4), "reflect"), reflect_type="odd"),
        Sample((2, 3), prepare=lambda a: (a, (7, 1), "wrap")),
        Sample(
            (2, 3), prepare=lambda a: (a, ((1, 2), (3, 0)), "linear_ramp"), end_values=((1.0, -1), (2, 3))
        ),
        Sample((3, 4), prepare=lambda a: (a, 2, "maximum"), stat_length=((1, 2), (3, 9))),
        Sample((3, 4), prepare=lambda a: (a, (1, 2), "minimum")),
        Sample((3, 4), prepare=lambda a: (a, 1, "mean"), stat_length=2, complex=True),
        Sample((3, 4), prepare=lambda a: (a, ((0, 1), (2, 0)), "median"), stat_length=(3, 2)),
    ],
)
def pad(array: Array, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """``array`` with padding around it, by one of NumPy's modes or your own function."""
    widths = _widths(pad_width, array.ndim)
    if not callable(mode):
        _check(mode, kwargs)
    if not np.any(widths):
        return unshared(array[...])
    if array.dtype.kind not in "fc":  # integers have no gradient, and NumPy rounds them
        refuse_to_round("pad", array.dtype, *map(gather, kwargs.values()))
        return Tensor(np.pad(array.data, widths, mode, **kwargs))
    if callable(mode):
        return pad_with(array, widths, mode, kwargs)
    if mode in ("constant", "empty"):
        return pad_constant(array, gather(kwargs.get("constant_values", 0)), widths=widths)
    for axis, (before, after) in enumerate(widths):
        if (before or after) and not array.shape[axis]:
            raise ShapeError(f"pad: mode {mode!r} has nothing to extend the empty axis {axis} with")
    build = _MODES[mode][0](mode, array.ndim, **kwargs)
    for axis, (before, after) in enumerate(widths):
        if before or after:
            array = build(array, axis, before, after)
    return array


def pad_with(array: Array, widths: Widths, function: Callable[..., Any], kwargs: dict[str, Any]) -> Array:
    """Call a function on every row along every axis; it writes into both ends of that row."""
    padded = pad_constant(array, 0, widths=widths)
    for axis, pair in enumerate(widths):
        moved = np.moveaxis(padded, axis, -1)
        whole = unstack(np.reshape(moved, (math.prod(moved.shape[:-1]), moved.shape[-1])))
        rows = [row.copy() for row in whole]
        for row in rows:
            function(row, pair, axis, kwargs)
        if rows:
            padded = np.moveaxis(np.reshape(np.stack(rows), moved.shape), -1, axis)
    return padded


# -- the modes: each makes a function that pads one axis -----------------------------------------

Build = Callable[[Array, int, int, int], Array]


def repeating(mode: Any, ndim: int, reflect_type: str = "even") -> Build:
    """Pad with elements of the array; the padded *indices* say which ones."""

    def build(a: Array, axis: int, before: int, after: int) -> Array:
        if reflect_type == "odd" and a.shape[axis] > 1:
            return pad_odd(a, before=before, after=after, axis=axis, mode=mode)
        return np.take(a, np.pad(np.arange(a.shape[axis]), (before, after), mode), axis=axis)

    return build


def ramps(mode: str, ndim: int, end_values: Any = 0) -> Build:
    """Pad with straight lines from outer values to the edges."""
    ends = np.broadcast_to(gather(end_values), (ndim, 2))

    def build(a: Array, axis: int, before: int, after: int) -> Array:
        def ramp(side: int, width: int) -> Array:
            edge = a[along(axis, -side)]
            return np.linspace(ends[axis, side], edge, width, endpoint=False, dtype=a.dtype, axis=axis)

        return np.concatenate([ramp(0, before), a, np.flip(ramp(1, after), axis)], axis=axis)

    return build


def statistics(mode: str, ndim: int, stat_length: Any = None) -> Build:
    """Pad with a statistic of all elements along the axis, or of some near each edge."""
    function = _STATISTICS[mode]
    lengths = None if stat_length is None else _widths(stat_length, ndim)

    def build(a: Array, axis: int, before: int, after: int) -> Array:
        n = a.shape[axis]
        left, right = (n, n) if lengths is None else (min(length, n) for length in lengths[axis])
        if mode in ("maximum", "minimum") and not (left and right):
            raise OptionError(f"pad: mode {mode!r} needs a stat_length of at least 1, not 0")

        def side(start: int, stop: int, width: int) -> Array:
            value = function(a[along(axis, slice(start, stop))], axis=axis, keepdims=True)
            return np.broadcast_to(value, (*a.shape[:axis], width, *a.shape[axis + 1 :]))

        return np.concatenate([side(0, left, before), a, side(n - right, n, after)], axis=axis)

    return build


_STATISTICS: dict[str, Callable[..., Array]] = {
    "maximum": np.max,
    "minimum": np.min,
    "mean": np.mean,
    "median": np.median,
}

#: How each mode pads an axis, and the one keyword it takes.
_MODES: dict[str, tuple[Any, str]] = {
    "constant": (None, "constant_values"),
    "empty": (None, ""),
    "edge": (repeating, ""),
    "wrap": (repeating, ""),
    "reflect": (repeating, "reflect_type"),
    "symmetric": (repeating, "reflect_type"),
    "linear_ramp": (ramps, "end_values"),
    **dict.fromkeys(_STATISTICS, (statistics, "stat_length")),
}


def _check(mode: Any, kwargs: dict[str, Any]) -> None:
    if mode not in _MODES:
        raise choice("mode of np.pad", mode, _MODES)
    if wrong := [name for name in kwargs if name != _MODES[mode][1]]:
        takes = f"only {_MODES[mode][1]}=" if _MODES[mode][1] else "no keyword"
        raise OptionError(f"pad: mode {mode!r} takes {takes}, not {wrong[0]}=")


def _widths(width: Any, ndim: int) -> Widths:
    """Pairs of integers, one for each axis, from any form that NumPy takes."""
    if isinstance(width, dict):
        pairs: list[Any] = [(0, 0)] * ndim
        for axis, pair in width.items():
            pairs[axis] = (pair, pair) if np.ndim(pair) == 0 else pair
        width = pairs
    width = np.asarray(width)
    if width.dtype.kind != "i":
        raise TypeError(f"pad: widths must be integers, not {width.dtype}")
    if np.any(width < 0):
        raise ValueError("pad: widths cannot be negative; cut the array with t[a:b]")
    return tuple((int(before), int(after)) for before, after in np.broadcast_to(width, (ndim, 2)))
