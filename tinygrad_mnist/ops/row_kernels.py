"""Convolutions row by row: of the windows of an image, each row is copied only once for every column of a window.

The columns of a matrix that holds all windows repeat each element as often as a window has elements. But a window's
rows are also rows of the windows above and below. So the rows of an image are *lowered* one by one: channel by channel,
each row once for every column of a window, shifted. As many lowered rows as a window has rows, one after the other in
memory, are the columns for one row of windows, and those for the next row begin one lowered row later [1]_. With
windows of 3 × 3, that is a third of the copies.

On the way back to images, each row of the result is a product of the weights and as many rows of the gradient as a
window has rows; only the columns of the windows are then added up.

This needs windows whose rows lie next to each other (no dilation along the height).

.. [1] M. Cho, D. Brand, "MEC: memory-efficient convolution for deep neural network", ICML (2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..typing import NDArray

__all__ = ["correlate_rows", "filter_rows", "spread_rows"]

Pair = tuple[int, int]

#: The bytes of lowered rows at a time: they are written and soon read again, and should stay in a cache.
LOWERED = 1 << 22
#: OpenBLAS multiplies matrices with fewer products of numbers than this as they are, and others after rearranging them.
SMALL = 1_000_000
#: Below this number of columns, the time for the calls outweighs it.
FEW_COLUMNS = 256


class _Blocks:
    """Blocks of a number of rows, each with as many rows more as the last window needs.

    Parameters
    ----------
    rows : int
        How many windows there are, one below the other.
    taps, step : int
        The rows of a window, and from one window to the next.
    size : tuple of int
        Groups, then the shape of a row of each group: its last axis is one row of all images.
    """

    def __init__(self, rows: int, taps: int, step: int, size: tuple[int, int, int], dtype: Any) -> None:
        self.rows, self.taps, self.step, self.size = rows, taps, step, size
        row = math.prod(size) * dtype.itemsize
        fitting = (LOWERED // max(row, 1) - taps) // step + 1
        self.at_once = min(max(fitting, taps), rows)
        self.memory = np.empty((size[0], self._extent(self.at_once), *size[1:]), dtype)

    def _extent(self, windows: int) -> int:
        return (windows - 1) * self.step + self.taps

    def __iter__(self) -> Iterator[tuple[slice, NDArray, NDArray]]:
        """For each block: which windows it has, memory for the rows that they need, and the windows as matrices."""
        _, lines, run = self.size
        group, row, line, item = self.memory.strides
        for start in range(0, self.rows, self.at_once):
            stop = min(start + self.at_once, self.rows)
            shape = (self.size[0], stop - start, self.taps * lines, run)
            windows = as_strided(self.memory, shape, (group, row * self.step, line, item))
            yield slice(start, stop), self.memory[:, : self._extent(stop - start)], windows


def _inside(first: int, last: int, n: int) -> tuple[slice, slice]:
    """Which of the places ``first`` to ``last`` are among ``n``: counted from ``first``, and from 0."""
    begin, end = min(max(first, 0), n), max(min(last, n), 0)
    begin, end = (begin, end) if begin < end else (0, 0)
    return slice(begin - first, end - first) if end else slice(0, 0), slice(begin, end)


def _across(width: int, columns: int, step: int, offset: int) -> tuple[slice, slice]:
    """The windows whose element at an offset is inside of an image, and the places of these elements."""
    begin = min(max(0, -(offset // step)), columns)
    end = max(min(columns, (width - 1 - offset) // step + 1), begin)
    first = begin * step + offset
    return slice(begin, end), slice(
        first, first + (end - begin - 1) * step + 1 if end > begin else first, step
    )


class _Lowered(_Blocks):
    """The rows of images (channels, height, width, batch), lowered: see the module."""

    def __init__(
        self, x: NDArray, kernel: Pair, stride: Pair, padding: Any, dilation: Pair, groups: int
    ) -> None:
        channels, height, width, self.images = x.shape
        (self.top, bottom), (self.left, right) = padding
        self.columns = (width + self.left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
        rows = (height + self.top + bottom - kernel[0]) // stride[0] + 1
        own = channels // groups
        super().__init__(
            rows, kernel[0], stride[0], (groups, own * kernel[1], self.columns * self.images), x.dtype
        )
        self.x = np.swapaxes(x.reshape(groups, own, height, width, self.images), 1, 2)
        self.offsets = [j * dilation[1] - self.left for j in range(kernel[1])]
        self.across = stride[1]

    def __iter__(self) -> Iterator[tuple[slice, NDArray, NDArray]]:
        groups, height, own, width, _ = self.x.shape
        for block, memory, windows in super().__iter__():
            first = block.start * self.step - self.top
            rows, places = _inside(first, first + memory.shape[1], height)
            memory[:, : rows.start], memory[:, rows.stop :] = 0, 0
            whole = memory.reshape(groups, memory.shape[1], own, len(self.offsets), self.columns, self.images)
            for j, offset in enumerate(self.offsets):
                part = whole[:, rows, :, j]
                inside, elements = _across(width, self.columns, self.across, offset)
                part[:, :, :, : inside.start], part[:, :, :, inside.stop :] = 0, 0
                part[:, :, :, inside] = self.x[:, places, :, elements]
            yield block, memory, windows


def _multiply(weights: NDArray, windows: NDArray, out: NDArray) -> None:
    """Multiply (groups, 1, n, k) by (groups, rows, k, columns), in parts that are small enough."""
    columns = windows.shape[-1]
    fitting = SMALL // max(math.prod(weights.shape[-2:]), 1) // 16 * 16
    width = fitting if fitting >= FEW_COLUMNS else max(columns, 1)
    for c in range(0, columns, width):
        np.matmul(weights, windows[..., c : c + width], out=out[..., c : c + width])


def _as_rows(y: NDArray, groups: int) -> NDArray:
    """(features, rows, columns, batch) seen as (groups, rows, features of one, columns × batch)."""
    features, rows = y.shape[:2]
    return np.swapaxes(y.reshape(groups, features // groups, rows, math.prod(y.shape[2:])), 1, 2)


def correlate_rows(
    x: NDArray, w: NDArray, stride: Pair, padding: Any, dilation: Pair, groups: int, out: NDArray | None
) -> NDArray:
    """See :func:`kernels.correlate`."""
    features, _, height, width = w.shape
    lowered = _Lowered(x, (height, width), stride, padding, dilation, groups)
    if out is None:
        shape = features, lowered.rows, lowered.columns, lowered.images
        out = np.empty(shape, np.result_type(x, w))
    weights = np.swapaxes(w, 1, 2).reshape(groups, 1, features // groups, math.prod(w.shape[1:]))
    rows = _as_rows(out, groups)
    for block, _, windows in lowered:
        _multiply(weights, windows, rows[:, block])
    return out


def filter_rows(
    x: NDArray, g: NDArray, kernel: Pair, stride: Pair, padding: Any, dilation: Pair, groups: int,
    out: NDArray | None,
) -> NDArray:  # fmt: skip
    """See :func:`kernels.filters`."""
    lowered = _Lowered(x, kernel, stride, padding, dilation, groups)
    gradient = np.swapaxes(_as_rows(g, groups), 2, 3)
    total: Any = 0
    for block, _, windows in lowered:
        # The long side first: the BLAS takes two thirds of the time.
        total = total + np.add.reduce(np.matmul(windows, gradient[:, block]), axis=1)
    own = len(x) // groups
    found = total.reshape(groups, kernel[0], own, kernel[1], len(g) // groups).transpose(0, 4, 2, 1, 3)
    if out is None:
        return np.ascontiguousarray(found).reshape(len(g), own, *kernel)
    np.copyto(out.reshape(found.shape), found)
    return out


def spread_rows(
    g: NDArray, w: NDArray, out: NDArray, padding: Any, across: int, dilation: int, groups: int
) -> NDArray:
    """See :func:`kernels.spread`; this needs windows in every row, and adds to zeros."""
    features, own, height, width = w.shape
    (top, _), (left, _) = padding
    columns, images = g.shape[2:]
    size = groups, features // groups, columns * images
    blocks = _Blocks(out.shape[1], height, 1, size, np.result_type(g, w))
    weights = w.reshape(groups, features // groups, own, height, width)[:, :, :, ::-1]
    weights = weights.transpose(0, 2, 4, 3, 1).reshape(groups, 1, own * width, size[1] * height)
    rows = _as_rows(g, groups)
    target = np.swapaxes(out.reshape(groups, own, *out.shape[1:]), 1, 2)
    products = np.empty((groups, blocks.at_once, own * width, size[2]), out.dtype)
    for block, memory, windows in blocks:
        first = block.start + top - height + 1
        here, there = _inside(first, first + memory.shape[1], g.shape[1])
        memory[:, : here.start], memory[:, here.stop :] = 0, 0
        memory[:, here] = rows[:, there]
        part = products[:, : block.stop - block.start]
        _multiply(weights, windows, part)
        part = part.reshape(groups, part.shape[1], own, width, columns, images)
        for j in range(width):
            inside, elements = _across(out.shape[2], columns, across, j * dilation - left)
            target[:, block, :, elements] += part[:, :, :, j, inside]
    return out
