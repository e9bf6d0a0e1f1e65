"""Operators that move numbers: shapes, axes, parts and elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....errors import UnsupportedError
from .table import Setting, dtype_of, integers, number, operator, plain, require_room


@operator("Reshape")
def _reshape(x: Any, shape: Any, allowzero: int = 0) -> Any:
    """A zero keeps a length."""
    sizes = [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(integers(shape))]
    return np.reshape(x, sizes)


@operator("Flatten")
def _flatten(x: Any, axis: int = 1) -> Any:
    axis += x.ndim if axis < 0 else 0
    return np.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Squeeze")
def _squeeze(x: Any, axes: Any = None) -> Any:
    return np.squeeze(x, None if axes is None else tuple(integers(axes)))


@operator("Unsqueeze")
def _unsqueeze(x: Any, axes: Any) -> Any:
    return np.expand_dims(x, tuple(integers(axes)))


@operator("Transpose")
def _transpose(x: Any, perm: Any = None) -> Any:
    return np.transpose(x, perm)


@operator("Concat")
def _concat(*arrays: Any, axis: int) -> Any:
    return np.concatenate(arrays, axis=axis)


@operator("Split")
def _split(
    x: Any, split: Any = None, axis: int = 0, num_outputs: int | None = None, *, setting: Setting
) -> Any:
    if split is None:
        count = num_outputs or setting.outputs
        part = -(-x.shape[axis] // count)
        ends = [part * i for i in range(1, count)]
    else:
        ends = np.cumsum(integers(split))[:-1].tolist()
        if sum(integers(split)) != x.shape[axis]:
            raise UnsupportedError(f"parts of {integers(split)} for an axis of {x.shape[axis]}")
    return tuple(np.split(x, ends, axis=axis))


@operator("Slice")
def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = integers(starts), integers(ends)
    along = range(len(first)) if axes is None else integers(axes)
    by = [1] * len(first) if steps is None else integers(steps)
    index: list[Any] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(along, first, last, by, strict=True):
        n = x.shape[axis]
        # A negative end counts from the end; one before the beginning means all, backwards.
        stop: int | None = end + n if end < 0 else end
        stop = None if step < 0 and stop is not None and stop < 0 else max(stop or 0, 0)
        index[axis] = slice(max(start + n, -1 if step < 0 else 0) if start < 0 else start, stop, step)
        if step < 0 and start < -n:
            index[axis] = slice(0, 0)
    return x[tuple(index)]


@operator("Expand")
def _expand(x: Any, shape: Any) -> Any:
    sizes = np.broadcast_shapes(x.shape, tuple(integers(shape)))
    require_room(sizes, x.dtype)
    return np.broadcast_to(x, sizes)


@operator("Tile")
def _tile(x: Any, repeats: Any) -> Any:
    times = integers(repeats)
    require_room([n * k for n, k in zip(x.shape, times, strict=True)], x.dtype)
    return np.tile(x, times)


@operator("Pad", fixed=(2,))
def _pad(
    x: Any,
    pads: Any,
    constant_value: Any = None,
    axes: Any = None,
    mode: str = "constant",
    value: float = 0.0,
) -> Any:
    widths, along = integers(pads), list(range(x.ndim)) if axes is None else integers(axes)
    margins = [(0, 0)] * x.ndim
    for i, axis in enumerate(along):
        margins[axis] = widths[i], widths[i + len(along)]
    require_room([n + sum(map(abs, m)) for n, m in zip(x.shape, margins, strict=True)], x.dtype)
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, margins, strict=True))]
    margins = [(max(a, 0), max(b, 0)) for a, b in margins]
    if mode == "constant":
        fill = value if constant_value is None else number(constant_value)
        return np.pad(x, margins, constant_values=x.dtype.type(fill)) if any(map(any, margins)) else x
    if mode not in ("reflect", "edge", "wrap"):
        raise UnsupportedError(f"mode={mode!r}")
    how: Any = mode
    return np.pad(x, margins, mode=how)


@operator("Shape")
def _shape(x: Any, start: int = 0, end: int | None = None) -> Any:
    return np.array(x.shape[slice(start, end)], np.int64)


@operator("Size")
def _size(x: Any) -> Any:
    return np.array(math.prod(x.shape), np.int64)


@operator("Constant")
def _constant(**given: Any) -> Any:
    (kind, value), *rest = given.items()
    kinds = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    if rest or (kind != "value" and kind not in kinds):
        raise UnsupportedError(f"the attributes {', '.join(given)}")
    return value if kind == "value" else np.array(value, kinds[kind])


@operator("ConstantOfShape")
def _constant_of_shape(shape: Any, value: Any = None) -> Any:
    value = np.zeros(1, np.float32) if value is None else value
    require_room(integers(shape), value.dtype)
    return np.full(integers(shape), value.reshape(-1)[0], value.dtype)


@operator("Range", fixed=(0, 1, 2))
def _range(start: Any, limit: Any, delta: Any) -> Any:
    a, b, step = number(start), number(limit), number(delta)
    if not step:
        raise UnsupportedError("steps of 0")
    count = max(math.ceil((b - a) / step), 0)
    require_room([count], plain(start).dtype)
    return (a + step * np.arange(count)).astype(plain(start).dtype)


@operator("OneHot", fixed=(1, 2))
def _one_hot(indices: Any, depth: Any, values: Any, axis: int = -1) -> Any:
    n, (off, on) = int(number(depth)), plain(values)
    require_room([*indices.shape, n], values.dtype)
    places = np.asarray(plain(indices)).astype(np.int64)
    is_valid = (places >= -n) & (places < n)
    hot = (places % max(n, 1))[..., None] == np.arange(n)
    found = np.where(hot & is_valid[..., None], on, off).astype(values.dtype)
    return np.moveaxis(found, -1, axis)


@operator("EyeLike")
def _eye_like(x: Any, dtype: int | None = None, k: int = 0) -> Any:
    rows, columns = x.shape
    return np.eye(rows, columns, k, dtype=x.dtype if dtype is None else dtype_of(dtype))


@operator("Trilu", fixed=(1,))
def _trilu(x: Any, k: Any = None, upper: int = 1) -> Any:
    return (np.triu if upper else np.tril)(x, 0 if k is None else int(number(k)))


# -- elements ------------------------------------------------------------------------------------------------------


@operator("Gather")
def _gather(x: Any, indices: Any, axis: int = 0) -> Any:
    return np.take(x, plain(indices), axis=axis)


@operator("GatherElements")
def _gather_elements(x: Any, indices: Any, axis: int = 0) -> Any:
    places = plain(indices)
    if x.ndim != places.ndim:
        raise UnsupportedError(f"shapes {x.shape} and {places.shape}")
    part = x[tuple(slice(None) if i == axis % x.ndim else slice(n) for i, n in enumerate(places.shape))]
    return np.take_along_axis(part, places, axis)


@operator("GatherND")
def _gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Any:
    places = np.moveaxis(plain(indices), -1, 0)
    batch = np.meshgrid(*map(np.arange, x.shape[:batch_dims]), indexing="ij")
    wide = [np.reshape(b, b.shape + (1,) * (places.ndim - 1 - batch_dims)) for b in batch]
    return x[(*wide, *places)]


@operator("TopK", fixed=(1,))
def _top_k(x: Any, k: Any, axis: int = -1, largest: int = 1, sorted: int = 1) -> Any:
    values = plain(x)
    order = np.argsort(-values if largest and values.dtype.kind != "u" else values, axis=axis, kind="stable")
    if largest and values.dtype.kind == "u":
        order = np.argsort(values.max(initial=0) - values, axis=axis, kind="stable")
    places = np.take(order, np.arange(int(number(k))), axis=axis)
    return np.take_along_axis(x, places, axis), places


@operator("NonZero")
def _non_zero(x: Any) -> Any:
    return np.array(np.nonzero(plain(x)), np.int64)


@operator("DepthToSpace")
def _depth_to_space(x: Any, blocksize: int, mode: str = "DCR") -> Any:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = np.transpose(np.reshape(x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = np.transpose(np.reshape(x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return np.reshape(y, (n, c // (b * b), h * b, w * b))


@operator("SpaceToDepth")
def _space_to_depth(x: Any, blocksize: int, mode: str = "DCR") -> Any:
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    y = np.transpose(np.reshape(x, (n, c, h // b, b, w // b, b)), order)
    return np.reshape(y, (n, c * b * b, h // b, w // b))
