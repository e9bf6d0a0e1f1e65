"""Forms of what moves numbers: shapes, axes, parts and elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ....ops.indexing import HOLE
from ..recording import Call, Size
from ..writing import Writer
from .table import form, refuse, slice_


@form("reshape")
def _reshape(w: Writer, call: Call) -> str:
    if call.settings["order"] not in ("C", None):
        raise refuse(call, f"with order={call.settings['order']!r}")
    sizes = call.results[0].sizes
    if 0 in sizes:
        return str(w("Reshape", call.args[0], w.lengths(sizes), allowzero=1))
    return str(w("Reshape", call.args[0], w.lengths(sizes, rest=True)))


@form("squeeze")
def _squeeze(w: Writer, call: Call) -> str:
    x, axis = call.args[0], call.settings["axis"]
    axes = (
        [i for i, n in enumerate(x.shape) if n == 1] if axis is None else normalize_axis_tuple(axis, x.ndim)
    )
    return str(w("Squeeze", x, np.array(axes, np.int64)) if axes else w("Identity", x))


@form("expand_dims")
def _expand_dims(w: Writer, call: Call) -> str:
    axes = normalize_axis_tuple(call.settings["axis"], call.results[0].ndim)
    return str(w("Unsqueeze", call.args[0], np.array(axes, np.int64)))


@form("transpose", "swapaxes", "moveaxis")
def _transpose(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    places = np.empty(range(x.ndim))  # the shape of its transposed array tells where each axis went
    turned = {
        "transpose": lambda: np.transpose(places, s["axes"]),
        "swapaxes": lambda: np.swapaxes(places, s["axis1"], s["axis2"]),
        "moveaxis": lambda: np.moveaxis(places, s["source"], s["destination"]),
    }[call.primitive.name]()
    return str(w("Transpose", x, perm=turned.shape) if x.ndim else w("Identity", x))


@form("broadcast_to")
def _broadcast_to(w: Writer, call: Call) -> str:
    return str(w("Expand", call.args[0], w.lengths(call.results[0].sizes)))


@form("concatenate")
def _concatenate(w: Writer, call: Call) -> str:
    axis, dtype = call.settings["axis"], call.results[0].dtype
    parts = [w.as_type(x, dtype) for x in call.args]
    if axis is None:
        parts = [w("Reshape", part, np.array([-1])) for part in parts]
    return str(w("Concat", *parts, axis=int(axis or 0)))


@form("stack")
def _stack(w: Writer, call: Call) -> str:
    axis = normalize_axis_index(call.settings["axis"], call.results[0].ndim)
    dtype = call.results[0].dtype
    parts = [w("Unsqueeze", w.as_type(x, dtype), np.array([axis])) for x in call.args]
    return str(w("Concat", *parts, axis=axis))


@form("flip")
def _flip(w: Writer, call: Call) -> str:
    x, axis = call.args[0], call.settings["axis"]
    axes = list(range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim))
    return str(slice_(w, x, {i: slice(None, None, -1) for i in axes}))


@form("roll")
def _roll(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    if s["axis"] is None:
        k = -s["shift"] % math.prod(w.number(n) for n in x.sizes)
        flat = w("Reshape", x, np.array([-1]))
        parts = slice_(w, flat, {0: slice(k, None)}), slice_(w, flat, {0: slice(0, k)})
        return str(w("Reshape", w("Concat", *parts, axis=0), w.lengths(x.sizes)))
    y: Any = x
    shifts, axes = np.broadcast_arrays(s["shift"], normalize_axis_tuple(s["axis"], x.ndim))
    for shift, axis in zip(shifts.ravel().tolist(), axes.ravel().tolist(), strict=True):
        k = -shift % w.number(x.sizes[axis]) if x.shape[axis] else 0
        if k:
            parts = slice_(w, y, {axis: slice(k, None)}), slice_(w, y, {axis: slice(0, k)})
            y = w("Concat", *parts, axis=axis)
    return str(w("Identity", y))


@form("pad")
def _pad(w: Writer, call: Call) -> str:
    x, values = call.args
    if not w.is_known(values) or np.unique(values.value).size != 1:
        raise refuse(call, "with several or with computed values")
    widths = [w.number(side[i]) for i in (0, 1) for side in call.settings["widths"]]
    value = np.asarray(values.value).reshape(-1)[0].astype(x.dtype)
    return str(w("Pad", x, np.array(widths, np.int64), np.asarray(value)))


# -- elements ------------------------------------------------------------------------------------------------------


@form("getitem")
def _getitem(w: Writer, call: Call) -> str:
    x, *arrays = call.args
    index = call.settings["index"]
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis in [part for part in parts if part is Ellipsis]:
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (x.ndim - used)
    parts += [slice(None)] * (x.ndim - sum(part is not None for part in parts))
    along = [part for part in parts if part is not None]
    slices = {i: part for i, part in enumerate(along) if isinstance(part, slice) and part != slice(None)}
    y: Any = slice_(w, x, slices) if slices else x
    holes = [i for i, part in enumerate(along) if part is HOLE]
    numbers = {i: part for i, part in enumerate(along) if not isinstance(part, slice) and part is not HOLE}
    if holes:
        if any(a.dtype.kind not in "iu" for a in arrays):
            raise refuse(call, "with a mask")
        if numbers or None in parts or (len(holes) > 1 and holes != list(range(len(holes)))):
            raise refuse(call, f"with the index {index!r}")
        if len(holes) == 1:
            return str(w("Gather", y, w.as_type(arrays[0], np.int64), axis=holes[0]))
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        if any(a.shape != shape for a in arrays):
            raise refuse(call, "with index arrays of several shapes")
        columns = [w("Unsqueeze", w.as_type(a, np.int64), np.array([-1])) for a in arrays]
        return str(w("GatherND", y, w("Concat", *columns, axis=-1)))
    for axis in sorted(numbers, reverse=True):
        y = w("Gather", y, w("Squeeze", w.lengths([numbers[axis]]), np.array([0])), axis=axis)
    kept = [part for i, part in enumerate(parts) if part is None or _position(parts, i) not in numbers]
    new = [i for i, part in enumerate(kept) if part is None]
    y = w("Unsqueeze", y, np.array(new)) if new else y
    return str(w("Identity", y) if y is x else y)


@form("look_up")
def _look_up(w: Writer, call: Call) -> str:
    table, rows = call.args
    return str(w("Gather", table, w.as_type(rows, np.int64), axis=0))


def _position(parts: list[Any], i: int) -> int:
    """The axis that a part of an index is for."""
    return sum(part is not None for part in parts[:i])


@form("setitem")
def _setitem(w: Writer, call: Call) -> str:
    """The value, with a margin around it up to the shape of the whole, where a mask says so."""
    x, value, *arrays = call.args
    index = call.settings["index"]
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if part is Ellipsis]:
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (x.ndim - len(parts) + 1)
    parts += [slice(None)] * (x.ndim - len(parts))
    is_longer = len(parts) > x.ndim  # a mask of a single number
    if (
        arrays
        or is_longer
        or any(
            part is None or isinstance(part, Size) or (isinstance(part, slice) and part.step not in (None, 1))
            for part in parts
        )
    ):
        raise refuse(call, f"with the index {index!r}")
    # What is written along each axis: all of it, or from one place to another.
    spans: list[tuple[int, int] | None] = []
    for part, size in zip(parts, x.sizes, strict=True):
        if part == slice(None):
            spans.append(None)
            continue
        ends = (part.start, part.stop) if isinstance(part, slice) else (part, part + 1 or None)
        start, stop, _ = slice(*(n if n is None else w.number(n) for n in ends)).indices(w.number(size))
        spans.append((start, max(start, stop)))
    dtype = call.results[0].dtype
    y = w.as_type(value, dtype)
    numbers = [i - x.ndim for i, part in enumerate(parts) if not isinstance(part, slice)]
    y = w("Unsqueeze", y, np.array(numbers)) if numbers and value.ndim else y
    region = [n if span is None else span[1] - span[0] for n, span in zip(x.sizes, spans, strict=True)]
    before = [0 if span is None else span[0] for span in spans]
    after = [0 if span is None else n - span[1] for n, span in zip(x.shape, spans, strict=True)]
    y = w("Pad", w("Expand", y, w.lengths(region)), np.array([*before, *after]), np.zeros((), dtype))
    mask = np.zeros([1 if span is None else n for n, span in zip(x.shape, spans, strict=True)], bool)
    mask[tuple(slice(None) if span is None else slice(*span) for span in spans)] = True
    return str(w("Where", mask, y, w.as_type(x, dtype)))


@form("sort", "argsort")
def _sort(w: Writer, call: Call) -> str:
    x, s = call.args[0], call.settings
    axis = call.args[1].value if len(call.args) > 1 and call.args[1] is not None else s.get("axis", -1)
    if axis is None:
        raise refuse(call, "without an axis")
    count = w.number(x.sizes[axis])
    values, places = w("TopK", x, np.array([count]), axis=int(axis), largest=0, outputs=2)
    return str(values if call.primitive.name == "sort" else places)


@form("take")
def _take(w: Writer, call: Call) -> str:
    x, indices = call.args
    if call.settings["mode"] != "raise":
        raise refuse(call, f"with mode={call.settings['mode']!r}")
    axis = call.settings["axis"]
    y = w("Reshape", x, np.array([-1])) if axis is None else x
    return str(w("Gather", y, w.as_type(indices, np.int64), axis=int(axis or 0)))


@form("take_along")
def _take_along(w: Writer, call: Call) -> str:
    x, indices = call.args
    axis = normalize_axis_index(call.settings["axis"], x.ndim)
    if any(n != m for i, (n, m) in enumerate(zip(x.shape, indices.shape, strict=True)) if i != axis):
        raise refuse(call, f"of shape {x.shape} with indices of shape {indices.shape}")
    return str(w("GatherElements", x, w.as_type(indices, np.int64), axis=axis))
