"""The loops behind convolutions and pools, on images with the batch as their last axis.

Users see images as (batch, channels, height, width). In memory the batch comes last here: then each row of an image
is a run of ``width × batch`` numbers, which NumPy copies, adds and compares quickly, and a matrix of weights times a
matrix of windows is the result in its final order. :func:`batch_last` and :func:`batch_first` turn the axes. The
second one only looks at the memory in another way, and NumPy's elementwise functions keep the order in memory. So
the layers of a network pass such arrays on, and copies are made only where a network begins and ends.

A convolution multiplies the weights by *columns*: each column holds one window of one image. All of them together
would take as many times the memory of the images as a window has elements. So a few rows of windows are copied at a
time, as many as a processor's cache holds.

Each of the three convolutions is the derivative of another: with ``<y, correlate(x, w)>`` all three arguments appear
in the same way, as ``<x, spread(y, w)>`` and as ``<w, filters(x, y)>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..tensor import is_known
from ..typing import Array, NDArray

__all__ = [
    "batch_first", "batch_last", "correlate", "filters", "spread", "spread_max", "spread_sum", "spread_windows",
    "take_max", "window_max", "window_sum", "windows",
]  # fmt: skip

Pair = tuple[int, int]
#: The numbers before and after the image, for each of the two axes.
Padding = tuple[Pair, Pair]

_ONE: Pair = (1, 1)
_NO_PADDING: Padding = ((0, 0), (0, 0))

#: The bytes of columns that are computed at a time. A core's cache holds them beside the weights and the results.
BLOCK = 1 << 19

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def kernel(function: _Kernel) -> _Kernel:
    """Let stand-ins for arrays take over a call, as they do for NumPy's own functions: it is one call of a program."""

    @wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        for x in args:
            if type(x) is not np.ndarray and hasattr(x, "__array_function__"):
                return x.__array_function__(call, (type(x),), args, settings)
        return function(*args, **settings)

    return call  # type: ignore[return-value]


def batch_last(x: Array) -> Array:
    """(batch, channels, height, width) as (channels, height, width, batch), in this order in memory."""
    x = np.transpose(x, (1, 2, 3, 0))
    # A program writes the copy down. It leaves it out where the array is in this order already.
    return np.ascontiguousarray(x) if is_known(x) else x.copy()


def batch_first(x: Array) -> Array:
    """(channels, height, width, batch) seen as (batch, channels, height, width)."""
    return np.transpose(x, (3, 0, 1, 2))


class _Block(NamedTuple):
    """A part of the windows: some rows of windows of some images."""

    rows: slice
    images: slice


class _Columns:
    """The windows of padded images as the columns of matrices, one for each group of channels, block by block.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    kernel, stride, dilation : pairs of int
        The size of a window, the steps from one to the next, and the steps between its elements.
    groups : int
    """

    def __init__(self, x: NDArray, kernel: Pair, stride: Pair, dilation: Pair, groups: int) -> None:
        channels, height, width, self.images = x.shape
        self.x = x.reshape(groups, channels // groups, *x.shape[1:])
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.rows, self.width = (
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
        )
        self.count = channels // groups * kernel[0] * kernel[1]  # the rows of a matrix
        row = groups * self.count * self.width * x.itemsize
        self.is_whole = row * self.images <= BLOCK
        self.at_once = (
            (_even(self.rows, BLOCK // max(row * self.images, 1)), self.images)
            if self.is_whole
            else (1, _even(self.images, max(BLOCK // row, 16)))
        )

    @cached_property
    def memory(self) -> NDArray:
        """Memory for the columns of one block."""
        rows, images = self.at_once
        return np.empty(self.x.shape[0] * self.count * rows * self.width * images, self.x.dtype)

    def blocks(self) -> Iterator[_Block]:
        """All blocks."""
        rows, images = self.at_once
        for n in range(0, self.images, images or 1):
            for r in range(0, self.rows, rows):
                yield _Block(slice(r, min(r + rows, self.rows)), slice(n, min(n + images, self.images)))

    def part(self, y: NDArray, block: _Block) -> NDArray:
        """The columns of a result (channels, rows, width, batch) in a block: a matrix for each group."""
        groups = len(self.x)
        return y[:, block.rows, :, block.images].reshape(groups, len(y) // groups, -1)

    def empty(self, block: _Block) -> NDArray:
        """Memory for the columns of a block, as (groups, channels, *kernel, rows, width, images)."""
        rows, images = (part.stop - part.start for part in block)
        shape = (*self.x.shape[:2], *self.kernel, rows, self.width, images)
        return self.memory[: np.prod(shape, dtype=int)].reshape(shape)

    def places(self, block: _Block) -> Iterator[tuple[Any, Any]]:
        """For each element of a window: its index in the memory, and that of its places in the images."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        top, bottom = block.rows.start * sh, (block.rows.stop - 1) * sh + 1
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows = slice(top + i * dh, bottom + i * dh, sh)
                columns = slice(j * dw, j * dw + (self.width - 1) * sw + 1, sw)
                yield (..., i, j, slice(None), slice(None), slice(None)), (..., rows, columns, block.images)

    def copied(self, block: _Block) -> NDArray:
        """The windows of a block as matrices."""
        memory = self.empty(block)
        for inside, outside in self.places(block):
            memory[inside] = self.x[outside]
        return memory.reshape(len(self.x), self.count, -1)

    def added(self, columns: NDArray, block: _Block) -> None:
        """Add the elements of windows at their places in the images."""
        memory = columns.reshape(self.empty(block).shape)
        for inside, outside in self.places(block):
            self.x[outside] += memory[inside]


def _even(n: int, at_most: int) -> int:
    """The size of equal parts of at most so many elements."""
    parts = -(-n // max(at_most, 1))
    return -(-n // parts) if n else 1


def _padded(x: NDArray, padding: Padding, value: Any = 0) -> NDArray:
    """Images in their order in memory, with a margin."""
    if padding == _NO_PADDING:
        return np.ascontiguousarray(x)
    (top, bottom), (left, right) = padding
    channels, height, width, images = x.shape
    whole = np.full((channels, top + height + bottom, left + width + right, images), value, x.dtype)
    whole[:, top : top + height, left : left + width] = x
    return whole


def _without_margin(x: NDArray, padding: Padding, out: NDArray | None) -> NDArray:
    """Images without their margin."""
    if x is out:
        return x
    (top, bottom), (left, right) = padding
    x = x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]
    if out is None:
        return np.ascontiguousarray(x)
    np.copyto(out, x)
    return out


def _with_margin(size: Pair, padding: Padding) -> Pair:
    return size[0] + sum(padding[0]), size[1] + sum(padding[1])


# -- convolutions ----------------------------------------------------------------------------------------------


@kernel
def correlate(
    x: NDArray, w: NDArray, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Multiply weights by every window: (channels, height, width, batch) to (features, rows, columns, batch)."""
    x = _padded(x, padding)
    features, _, *kernel = w.shape
    columns = _Columns(x, (kernel[0], kernel[1]), stride, dilation, groups)
    w = w.reshape(groups, features // groups, -1)
    if out is None:
        shape = (features, columns.rows, columns.width, columns.images)
        out = np.empty(shape, np.result_type(x, w))
    for block in columns.blocks():
        windows = columns.copied(block)
        if columns.is_whole:
            np.matmul(w, windows, out=columns.part(out, block))
        else:
            part = out[:, block.rows, :, block.images]
            part[...] = np.matmul(w, windows).reshape(part.shape)
    return out


@kernel
def spread(
    g: NDArray, w: NDArray, size: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add the weights, times each number, at the places of its window: back to images of a given size."""
    features, channels, *kernel = w.shape
    dtype = np.result_type(g, w)
    shape = (channels * groups, *_with_margin(size, padding), g.shape[3])
    whole = np.zeros(shape, dtype) if out is None or padding != _NO_PADDING else out
    if whole is out:
        out.fill(0)
    columns = _Columns(whole, (kernel[0], kernel[1]), stride, dilation, groups)
    w = w.reshape(groups, features // groups, -1).swapaxes(1, 2)
    for block in columns.blocks():
        part = columns.part(g, block)
        memory = columns.empty(block).reshape(groups, columns.count, -1)
        columns.added(np.matmul(w, part, out=memory), block)
    return _without_margin(whole, padding, out)


@kernel
def filters(
    x: NDArray, g: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add up every window, times the numbers at its place: to weights (features, channels, *kernel)."""
    x = _padded(x, padding)
    columns = _Columns(x, kernel, stride, dilation, groups)
    shape = (groups, len(g) // groups, columns.count)
    total = np.zeros(shape, np.result_type(x, g)) if out is None else out.reshape(shape)
    total.fill(0)
    for block in columns.blocks():
        total += np.matmul(columns.part(g, block), columns.copied(block).swapaxes(1, 2))
    return total.reshape(len(g), len(x) // groups, *kernel) if out is None else out


@kernel
def windows(
    x: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Copy every window: (channels, height, width, batch) to (channels, *kernel, rows, columns, batch)."""
    x = _padded(x, padding)
    columns = _Columns(x, kernel, stride, dilation, 1)
    if out is None:
        out = np.empty((len(x), *kernel, columns.rows, columns.width, columns.images), x.dtype)
    every = _Block(slice(0, columns.rows), slice(0, columns.images))
    for inside, outside in columns.places(every):
        out[inside] = columns.x[0][outside]
    return out


@kernel
def spread_windows(
    g: NDArray, size: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add every window at its place: back to images of a given size."""
    channels, *kernel, rows, _, images = g.shape
    whole = np.zeros((channels, *_with_margin(size, padding), images), g.dtype)
    columns = _Columns(whole, (kernel[0], kernel[1]), stride, dilation, 1)
    for inside, outside in columns.places(_Block(slice(0, rows), slice(0, images))):
        columns.x[0][outside] += g[inside]
    return _without_margin(whole, padding, out)


# -- pools -----------------------------------------------------------------------------------------------------


def _steps(n: int, kernel: int, stride: int, dilation: int) -> list[slice]:
    """The places of the first element of every window, of the second, and so on, along an axis of n elements."""
    last = (n - dilation * (kernel - 1) - 1) // stride * stride + 1
    return [slice(i, i + last, stride) for i in range(0, dilation * kernel, dilation)]


def _reduced(
    ufunc: np.ufunc, x: NDArray, kernel: Pair, stride: Pair, dilation: Pair, out: NDArray | None
) -> NDArray:
    """Combine the elements of every window: first along the columns, where runs in memory are long."""
    down = _steps(x.shape[1], kernel[0], stride[0], dilation[0])
    rows = x[:, down[0]] if len(down) == 1 else ufunc(x[:, down[0]], x[:, down[1]])
    for part in down[2:]:
        ufunc(rows, x[:, part], out=rows)
    across = _steps(x.shape[2], kernel[1], stride[1], dilation[1])
    out = np.empty_like(rows[:, :, across[0]], order="C") if out is None else out
    if len(across) == 1:
        np.copyto(out, rows[:, :, across[0]])
    else:
        ufunc(rows[:, :, across[0]], rows[:, :, across[1]], out=out)
    for part in across[2:]:
        ufunc(out, rows[:, :, part], out=out)
    return out


@kernel
def window_max(
    x: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """The largest element of every window."""
    return _reduced(np.maximum, _padded(x, padding, _lowest(x.dtype)), kernel, stride, dilation, out)


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _firsts(
    x: NDArray, y: NDArray, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Iterator[tuple[Any, NDArray]]:
    """For each element of a window: its places in the padded images, and where it is the first of the largest."""
    is_float = x.dtype.kind == "f"
    is_nan = _padded(np.isnan(x), padding) if is_float and np.isnan(y).any() else None
    x = _padded(x, padding, np.nan if is_float else _lowest(x.dtype))  # the margin is never the largest
    left = None
    down = _steps(x.shape[1], kernel[0], stride[0], dilation[0])
    across = _steps(x.shape[2], kernel[1], stride[1], dilation[1])
    for rows in down:
        for columns in across:
            is_largest = x[:, rows, columns] == y
            if is_nan is not None:
                is_largest |= is_nan[:, rows, columns]
            if left is not None:
                is_largest &= left
            yield (slice(None), rows, columns), is_largest
            left = ~is_largest if left is None else left & ~is_largest


@kernel
def spread_max(
    g: NDArray, x: NDArray, y: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING,
    dilation: Pair = _ONE, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Put a number for every window at the place of its largest element; the first, if several are."""
    shape = (len(x), *_with_margin((x.shape[1], x.shape[2]), padding), x.shape[3])
    whole = np.empty(shape, g.dtype) if out is None or padding != _NO_PADDING else out
    is_apart = (
        dilation == _ONE
        and stride == kernel
        and all(n % k == 0 for n, k in zip(shape[1:3], kernel, strict=True))
    )
    if not is_apart:
        whole.fill(0)
    for places, is_first in _firsts(x, y, kernel, stride, padding, dilation):
        if is_apart:  # each element is in one window
            np.multiply(g, is_first, out=whole[places])
        else:
            whole[places] += g * is_first
    return _without_margin(whole, padding, out)


@kernel
def take_max(
    v: NDArray, x: NDArray, y: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING,
    dilation: Pair = _ONE, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Take the number that lies where each window of ``x`` has its largest element."""
    v = _padded(v, padding)
    out = np.empty(y.shape, v.dtype) if out is None else out
    out.fill(0)
    for places, is_first in _firsts(x, y, kernel, stride, padding, dilation):
        out += v[places] * is_first
    return out


@kernel
def window_sum(
    x: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, out: NDArray | None = None
) -> NDArray:
    """The sum of every window."""
    return _reduced(np.add, _padded(x, padding), kernel, stride, _ONE, out)


@kernel
def spread_sum(
    g: NDArray, size: Pair, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add a number for every window to each of its elements."""
    height, width = _with_margin(size, padding)
    rows = np.zeros((len(g), g.shape[1], width, g.shape[3]), g.dtype)
    for columns in _steps(width, kernel[1], stride[1], 1):
        rows[:, :, columns] += g
    whole = np.zeros((len(g), height, width, g.shape[3]), g.dtype)
    for part in _steps(height, kernel[0], stride[0], 1):
        whole[:, part] += rows
    return _without_margin(whole, padding, out)
