"""The loops behind convolutions and pools, on images with the batch as their last axis.

Users see images as (batch, channels, height, width). In memory the batch comes last here: then each row of an image
is a run of ``width × batch`` numbers, which NumPy copies, adds and compares quickly, and a matrix of weights times a
matrix of windows is the result in its final order. :func:`batch_last` and :func:`batch_first` turn the axes. The
second one only looks at the memory in another way, and NumPy's elementwise functions keep the order in memory. So
the layers of a network pass such arrays on, and copies are made only where a network begins and ends.

A convolution multiplies the weights by *columns*: each column holds one window of one image. All of them together
would take as many times the memory of the images as a window has elements. So only some of them are copied at a time,
as many as a processor's cache holds, and where windows share rows, these are copied once (:mod:`.row_kernels`).

Each of the three convolutions is the derivative of another: with ``<y, correlate(x, w)>`` all three arguments appear
in the same way, as ``<x, spread(y, w)>`` and as ``<w, filters(x, y)>``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import UnsupportedError
from ..sparse import sum_rows
from ..tensor import is_known
from ..typing import Array, NDArray
from .arguments import is_foreign
from .row_kernels import correlate_rows, filter_rows, spread_rows

__all__ = [
    "add_rows", "batch_first", "batch_last", "correlate", "filters", "spread", "spread_max", "spread_sum",
    "spread_windows", "take_max", "window_max", "window_sum", "windows",
]  # fmt: skip

Pair = tuple[int, int]
#: The numbers before and after the image, for each of the two axes.
Padding = tuple[Pair, Pair]

_ONE: Pair = (1, 1)
_NO_PADDING: Padding = ((0, 0), (0, 0))

#: The bytes of columns that are computed at a time. A core's cache holds them beside the weights and the results.
BLOCK = 1 << 19
#: A single row of windows may take more, before its images are split into several blocks.
ROW = 1 << 22

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def kernel(function: _Kernel) -> _Kernel:
    """Let stand-ins take over a call of this function, as they do for NumPy's own: a program calls it, too."""

    @wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        for x in args:
            if type(x) is not np.ndarray and hasattr(x, "__array_function__"):
                found = x.__array_function__(call, (type(x),), args, settings)
                if found is NotImplemented:
                    raise _foreign()
                return found
        return function(*args, **settings)

    return call  # type: ignore[return-value]


def _foreign() -> UnsupportedError:
    return UnsupportedError(
        "convolutions and pools loop over the memory of NumPy's arrays, and this is an array of another library"
    )


def batch_last(x: Array) -> Array:
    """(batch, channels, height, width) as (channels, height, width, batch), in this order in memory."""
    if is_foreign(x):
        raise _foreign()
    x = np.transpose(x, (1, 2, 3, 0))
    # A program writes the copy down. It leaves it out where the array is in this order already.
    return np.ascontiguousarray(x) if is_known(x) else x.copy()


def batch_first(x: Array) -> Array:
    """(channels, height, width, batch) seen as (batch, channels, height, width)."""
    return np.transpose(x, (3, 0, 1, 2))


class _Columns:
    """The windows of padded images as the columns of matrices, one for each group of channels, block by block.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    kernel, stride, dilation : pairs of int
        The size of a window, the steps from one to the next, and the steps between its elements.
    groups : int

    Attributes
    ----------
    windows : ndarray, shape (groups, channels, *kernel, rows, columns, batch)
        A view that shows elements as often as there are windows that hold them.
    """

    def __init__(self, x: NDArray, kernel: Pair, stride: Pair, dilation: Pair, groups: int) -> None:
        channels, height, width, images = x.shape
        rows, columns = (
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
        )
        plane, down, across, step = x.strides
        strides = (down * dilation[0], across * dilation[1], down * stride[0], across * stride[1], step)
        self.windows = as_strided(
            x,
            (groups, channels // groups, *kernel, rows, columns, images),
            (plane * (channels // groups), plane, *strides),
        )
        self.shape = groups, channels // groups * math.prod(kernel), -1  # of the matrices
        self.rows, self.columns, self.images = rows, columns, images
        row = channels * math.prod(kernel) * columns
        fitting = BLOCK // max(row * x.itemsize, 1)  # rows of one image
        self.is_whole = row * images * x.itemsize <= ROW
        self.at_once = (_even(rows, fitting // max(images, 1)), images) if self.is_whole else (
            1, _even(images, max(fitting, 16)))  # fmt: skip
        self.row, self.dtype = row, x.dtype

    def __iter__(self) -> Iterator[tuple[Any, NDArray, NDArray]]:
        """For each block of rows and images: its index, its windows, and memory for a copy of them."""
        rows, images = self.at_once
        memory = np.empty(self.row * rows * images, self.dtype)
        for n in range(0, self.images, images or 1):
            for r in range(0, self.rows, rows):
                index = ..., slice(r, r + rows), slice(None), slice(n, n + images)
                windows = self.windows[index]
                yield index, windows, memory[: windows.size].reshape(windows.shape)

    def copies(self) -> Iterator[tuple[Any, NDArray]]:
        """For each block: its index, and its windows as matrices."""
        for index, windows, memory in self:
            if math.prod(windows.shape[2:4]) == 1:  # they do not overlap, and need no copy
                yield index, windows.reshape(self.shape)
                continue
            np.copyto(memory, windows)
            yield index, memory.reshape(self.shape)

    def of_result(self, y: NDArray, index: Any) -> NDArray:
        """The part of a result (channels, rows, columns, batch) in a block: a matrix for each group."""
        groups = self.shape[0]
        return y[index].reshape(groups, len(y) // groups, -1)


def _add_windows(windows: NDArray, values: NDArray) -> None:
    """Add values to a view of windows, which overlap: one element of all of them after the other."""
    for i in range(windows.shape[2]):
        for j in range(windows.shape[3]):
            windows[:, :, i, j] += values[:, :, i, j]


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
    whole: NDArray = np.empty((channels, top + height + bottom, left + width + right, images), x.dtype)
    rows, columns = slice(top, top + height), slice(left, left + width)
    whole[:, :top] = whole[:, rows.stop :] = value
    whole[:, rows, :left] = whole[:, rows, columns.stop :] = value
    whole[:, rows, columns] = x
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


def _zeros(shape: tuple[int, ...], padding: Padding, dtype: Any, out: NDArray | None) -> NDArray:
    """Zeros to add to, with a margin: the memory of the result, if there is no margin."""
    if out is not None and padding == _NO_PADDING:
        out.fill(0)
        return out
    channels, height, width, images = shape
    (top, bottom), (left, right) = padding
    return np.zeros((channels, top + height + bottom, left + width + right, images), dtype)


# -- convolutions ----------------------------------------------------------------------------------------------


@kernel
def correlate(
    x: NDArray, w: NDArray, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Multiply weights by every window: (channels, height, width, batch) to (features, rows, columns, batch)."""
    if dilation[0] == 1 and math.prod(w.shape[2:]) > 1:
        return correlate_rows(x, w, stride, padding, dilation, groups, out)
    x = _padded(x, padding)
    features, _, *kernel = w.shape
    columns = _Columns(x, (kernel[0], kernel[1]), stride, dilation, groups)
    w = w.reshape(groups, features // groups, -1)
    if out is None:
        out = np.empty((features, columns.rows, columns.columns, columns.images), np.result_type(x, w))
    for index, matrices in columns.copies():
        if columns.is_whole:
            np.matmul(w, matrices, out=columns.of_result(out, index))
        else:
            part = out[index]
            part[...] = np.matmul(w, matrices).reshape(part.shape)
    return out


@kernel
def spread(
    g: NDArray, w: NDArray, size: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add the weights, times each number, at the places of its window: back to images of a given size."""
    features, channels, *kernel = w.shape
    is_flat = features > 4 * channels * groups * kernel[1]  # too flat a product by rows; see spread_rows
    if dilation[0] == stride[0] == 1 and math.prod(kernel) > 1 and not is_flat:
        images = (
            np.zeros((channels * groups, *size, g.shape[3]), np.result_type(g, w)) if out is None else out
        )
        images.fill(0)
        return spread_rows(g, w, images, padding, stride[1], dilation[1], groups)
    whole = _zeros((channels * groups, *size, g.shape[3]), padding, np.result_type(g, w), out)
    columns = _Columns(whole, (kernel[0], kernel[1]), stride, dilation, groups)
    w = w.reshape(groups, features // groups, -1).swapaxes(1, 2)
    for index, windows, memory in columns:
        np.matmul(w, columns.of_result(g, index), out=memory.reshape(columns.shape))
        _add_windows(windows, memory)
    return _without_margin(whole, padding, out)


@kernel
def filters(
    x: NDArray, g: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    groups: int = 1, out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add up every window, times the numbers at its place: to weights (features, channels, *kernel)."""
    if dilation[0] == 1 and math.prod(kernel) > 1:
        return filter_rows(x, g, kernel, stride, padding, dilation, groups, out)
    x = _padded(x, padding)
    columns = _Columns(x, kernel, stride, dilation, groups)
    shape = (groups, len(g) // groups, columns.shape[1])
    total = np.empty(shape, np.result_type(x, g)) if out is None else out.reshape(shape)
    total.fill(0)
    for index, matrices in columns.copies():
        total += np.matmul(columns.of_result(g, index), matrices.swapaxes(1, 2))
    return total.reshape(len(g), len(x) // groups, *kernel) if out is None else out


@kernel
def windows(
    x: NDArray, kernel: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Copy every window: (channels, height, width, batch) to (channels, *kernel, rows, columns, batch)."""
    view = _Columns(_padded(x, padding), kernel, stride, dilation, 1).windows[0]
    out = np.empty(view.shape, x.dtype) if out is None else out
    np.copyto(out, view)
    return out


@kernel
def spread_windows(
    g: NDArray, size: Pair, stride: Pair = _ONE, padding: Padding = _NO_PADDING, dilation: Pair = _ONE,
    out: NDArray | None = None,
) -> NDArray:  # fmt: skip
    """Add every window at its place: back to images of a given size."""
    channels, *kernel = g.shape[:3]
    whole = _zeros((channels, *size, g.shape[5]), padding, g.dtype, out)
    _add_windows(_Columns(whole, (kernel[0], kernel[1]), stride, dilation, 1).windows, g[None])
    return _without_margin(whole, padding, out)


# -- rows ------------------------------------------------------------------------------------------------------


@kernel
def add_rows(values: NDArray, places: NDArray, rows: int, out: NDArray | None = None) -> NDArray:
    """Zeros with rows added at places, perhaps several at one."""
    if out is None:
        out = np.zeros((rows, *values.shape[1:]), values.dtype)
    else:
        out.fill(0)
    if not values.size:
        return out
    places, values = sum_rows(values, places % rows)  # a negative index counts from the end
    out[places] = values
    return out


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
    whole = _zeros(x.shape, padding, g.dtype, out)
    is_apart = dilation == _ONE and all(s >= k for s, k in zip(stride, kernel, strict=True))
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
    if (
        stride == kernel
        and padding == _NO_PADDING
        and (g.shape[1] * kernel[0], g.shape[2] * kernel[1]) == size
    ):
        out = np.empty((len(g), *size, g.shape[3]), g.dtype) if out is None else out
        parts = out.reshape(len(g), g.shape[1], kernel[0], g.shape[2], kernel[1], g.shape[3])
        parts[...] = g[:, :, None, :, None]  # each element is in one window
        return out
    whole = _zeros((len(g), *size, g.shape[3]), padding, g.dtype, out)
    rows = np.zeros((len(g), g.shape[1], *whole.shape[2:]), g.dtype)
    for columns in _steps(rows.shape[2], kernel[1], stride[1], 1):
        rows[:, :, columns] += g
    for part in _steps(whole.shape[1], kernel[0], stride[0], 1):
        whole[:, part] += rows
    return _without_margin(whole, padding, out)
