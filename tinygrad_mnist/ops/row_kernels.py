"""Convolutions row by row: of the windows of an image, each row is copied only once for every column of a window.

The columns of a matrix that holds all windows repeat each element as often as a window has elements. But a window's
rows are also rows of the windows above and below. So the rows of an image are *lowered* one by one: channel by channel,
each row once for every column of a window, shifted. As many lowered rows as a window has rows, one after the other in
memory, are the columns for one row of windows, and those for the next row begin one lowered row later [1]_. With
windows of 3 × 3, that is a third of the copies. A product is faster if all of its numbers are in the nearest cache, so
a block has about as many columns of windows as fit into it, and all rows.

The gradient of the images is the convolution of the results' gradient with turned weights, if there are about as many
windows as elements. Otherwise each row of it is a product of the weights and as many rows of the results' gradient as a
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

__all__ = ["LOWERED", "as_convolution", "best_run", "correlate_rows", "filter_rows", "spread_rows"]

Pair = tuple[int, int]

#: The bytes of lowered rows at a time: they are written and soon read again, and should stay in a cache.
LOWERED = 1 << 22
#: OpenBLAS multiplies matrices with up to this many products of numbers as they are, and others after a copy.
SMALL = 1_000_000
#: The bytes of the columns of such a product, which it reads again and again: a core's first cache has a little more.
NEAREST = 40_000
#: The numbers that a processor multiplies at a time, a few times over: products with fewer columns waste time.
FEWEST = 64


class _Blocks:
    """Memory for blocks of rows, each with as many rows more as the last window needs.

    Parameters
    ----------
    rows : int
        How many windows there are, one below the other.
    taps, step : int
        The rows of a window, and from one window to the next.
    groups, lines, run : int
        Each row has so many lines for each group, of so many elements.
    """

    def __init__(
        self, rows: int, taps: int, step: int, groups: int, lines: int, run: int, dtype: Any
    ) -> None:
        self.rows, self.taps, self.step, self.groups, self.lines = rows, taps, step, groups, lines
        row = groups * lines * run
        fitting = (LOWERED // max(row * dtype.itemsize, 1) - taps) // step + 1
        self.at_once = min(max(fitting, taps), rows)
        self.memory = np.empty(self._extent(self.at_once) * row, dtype)
        self._views: dict[Pair, tuple[NDArray, NDArray]] = {}

    def _extent(self, windows: int) -> int:
        return (windows - 1) * self.step + self.taps

    def block(self, windows: int, run: int) -> tuple[NDArray, NDArray]:
        """Memory for the rows that so many windows need, and the windows as matrices."""
        if (windows, run) not in self._views:
            shape = self.groups, self._extent(windows), self.lines, run
            memory = self.memory[: math.prod(shape)].reshape(shape)
            group, row, line, item = memory.strides
            matrices = self.groups, windows, self.taps * self.lines, run
            steps = group, row * self.step, line, item
            self._views[windows, run] = memory, as_strided(memory, matrices, steps)
        return self._views[windows, run]

    def parts(self) -> Iterator[slice]:
        """Which windows each block has."""
        for start in range(0, self.rows, self.at_once):
            yield slice(start, min(start + self.at_once, self.rows))


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
    """The rows of images (channels, height, width, batch), lowered: see the module.

    Parameters
    ----------
    fitting : int
        How many columns of the matrices, at most, one block has.
    """

    def __init__(
        self, x: NDArray, kernel: Pair, stride: Pair, padding: Any, dilation: Pair, groups: int, fitting: int
    ) -> None:
        channels, height, width, self.images = x.shape
        (self.top, bottom), (self.left, right) = padding
        self.columns = (width + self.left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
        rows = (height + self.top + bottom - kernel[0]) // stride[0] + 1
        own = channels // groups
        self.across = min(max(fitting // max(self.images, 1), 1), self.columns)  # windows, and images of each
        parts = -(-self.images // max(fitting, 1))
        self.at_a_time = -(-self.images // parts) if self.across == 1 and parts else self.images
        run = self.across * self.at_a_time
        super().__init__(rows, kernel[0], stride[0], groups, own * kernel[1], run, x.dtype)
        self.x = np.swapaxes(x.reshape(groups, own, height, width, self.images), 1, 2)
        self.offsets = [j * dilation[1] - self.left for j in range(kernel[1])]
        self.stride = stride[1]
        # The windows without a margin on the left or the right, which are copied at once.
        self.first = min(-(-self.left // stride[1]), self.columns)
        self.stop = max(min(self.columns, (width - 1 - self.offsets[-1]) // stride[1] + 1), self.first)
        group, row, line, step, item = self.x.strides
        start = min(self.first * stride[1] - self.left, width - 1)
        self.inner = as_strided(
            self.x[:, :, :, start:],
            (groups, height, own, kernel[1], self.stop - self.first, self.images),
            (group, row, line, step * dilation[1], step * stride[1], item),
        )

    def __iter__(self) -> Iterator[tuple[slice, slice, NDArray]]:
        """For each block: its rows and its columns of the result, and its windows as matrices."""
        for q in range(0, self.columns, self.across):
            stop = min(q + self.across, self.columns)
            for n in range(0, self.images, self.at_a_time or 1):
                last = min(n + self.at_a_time, self.images)
                columns = slice(q * self.images + n, (stop - 1) * self.images + last)
                for rows in self.parts():
                    memory, windows = self.block(rows.stop - rows.start, columns.stop - columns.start)
                    self._lower(memory, rows.start, slice(q, stop), slice(n, last))
                    yield rows, columns, windows

    def _lower(self, memory: NDArray, row: int, columns: slice, images: slice) -> None:
        groups, height, own, width, _ = self.x.shape
        first = row * self.step - self.top
        rows, places = _inside(first, first + memory.shape[1], height)
        memory[:, : rows.start], memory[:, rows.stop :] = 0, 0
        q, n = columns.start, columns.stop - columns.start
        whole = memory.reshape(groups, -1, own, len(self.offsets), n, images.stop - images.start)[:, rows]
        if self.first <= q and columns.stop <= self.stop:
            whole[...] = self.inner[:, places, :, :, q - self.first : columns.stop - self.first, images]
            return
        for j, offset in enumerate(self.offsets):
            inside, elements = _across(width, n, self.stride, q * self.stride + offset)
            part = whole[:, :, :, j]
            part[:, :, :, : inside.start], part[:, :, :, inside.stop :] = 0, 0
            part[:, :, :, inside] = self.x[:, places, :, elements, images]


def best_run(features: int, products: int, itemsize: int) -> int:
    """The number of columns with which a matrix (features, products) is multiplied fastest."""
    run = max(NEAREST // max(products * itemsize, 1) // 16 * 16, FEWEST)
    return run if features * products * run <= SMALL else LOWERED


def _as_rows(y: NDArray, groups: int) -> NDArray:
    """(features, rows, columns, batch) seen as (groups, rows, features of one, columns × batch)."""
    features, rows = y.shape[:2]
    return np.swapaxes(y.reshape(groups, features // groups, rows, math.prod(y.shape[2:])), 1, 2)


def correlate_rows(
    x: NDArray, w: NDArray, stride: Pair, padding: Any, dilation: Pair, groups: int, out: NDArray | None
) -> NDArray:
    """See :func:`kernels.correlate`."""
    features, own, height, width = w.shape
    run = best_run(features // groups, own * height * width, x.itemsize)
    lowered = _Lowered(x, (height, width), stride, padding, dilation, groups, run)
    if out is None:
        shape = features, lowered.rows, lowered.columns, lowered.images
        out = np.empty(shape, np.result_type(x, w))
    # A view that is turned would be multiplied without the BLAS.
    weights = np.ascontiguousarray(np.swapaxes(w, 1, 2)).reshape(groups, 1, features // groups, -1)
    result = _as_rows(out, groups)
    for rows, columns, windows in lowered:
        np.matmul(weights, windows, out=result[:, rows, :, columns])
    return out


def filter_rows(
    x: NDArray, g: NDArray, kernel: Pair, stride: Pair, padding: Any, dilation: Pair, groups: int,
    out: NDArray | None,
) -> NDArray:  # fmt: skip
    """See :func:`kernels.filters`."""
    lowered = _Lowered(x, kernel, stride, padding, dilation, groups, x.size + g.size)
    gradient = np.swapaxes(_as_rows(g, groups), 2, 3)
    own = len(x) // groups
    total: Any = np.zeros((groups, lowered.taps * lowered.lines, len(g) // groups), np.result_type(x, g))
    for rows, columns, windows in lowered:
        # The long side first: the BLAS takes two thirds of the time.
        total += np.add.reduce(np.matmul(windows, gradient[:, rows, columns]), axis=1)
    found = total.reshape(groups, kernel[0], own, kernel[1], len(g) // groups).transpose(0, 4, 2, 1, 3)
    if out is None:
        return np.ascontiguousarray(found).reshape(len(g), own, *kernel)
    np.copyto(out.reshape(found.shape), found)
    return out


def as_convolution(
    results: tuple[int, ...],
    images: tuple[int, ...],
    kernel: Pair,
    padding: Any,
    stride: Pair,
    dilation: Pair,
) -> Any:
    """The padding with which the gradient of images is a convolution with turned weights; ``None`` if it costs more.

    ``results`` and ``images`` are the shapes of the gradient of a convolution's results and of its images.
    """
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    around = tuple((r - before, r - after) for r, (before, after) in zip(reach, padding, strict=True))
    is_alike = 6 * math.prod(results[1:3]) >= 5 * math.prod(images[1:3])
    return around if is_alike and stride == (1, 1) and min(map(min, around)) >= 0 else None


def spread_rows(
    g: NDArray, w: NDArray, out: NDArray, padding: Any, stride: int, dilation: int, groups: int
) -> NDArray:
    """See :func:`kernels.spread`; this needs windows in every row."""
    features, own, height, width = w.shape
    (top, _), (left, _) = padding
    columns, images = g.shape[2:]
    around = as_convolution(g.shape, out.shape, (height, width), padding, (1, stride), (1, dilation))
    if around is not None:
        turned = w.reshape(groups, features // groups, own, height, width)[..., ::-1, ::-1]
        turned = np.swapaxes(turned, 1, 2).reshape(groups * own, features // groups, height, width)
        return correlate_rows(g, turned, (1, 1), around, (1, dilation), groups, out)
    run = columns * images
    lines = features // groups
    blocks = _Blocks(out.shape[1], height, 1, groups, lines, run, np.result_type(g, w))
    weights = w.reshape(groups, lines, own, height, width)[:, :, :, ::-1]
    weights = np.ascontiguousarray(weights.transpose(0, 2, 4, 3, 1)).reshape(groups, 1, own * width, -1)
    source = _as_rows(g, groups)
    target = np.swapaxes(out.reshape(groups, own, *out.shape[1:]), 1, 2)
    products = np.empty((groups, blocks.at_once, own * width, run), out.dtype)
    out.fill(0)
    for rows in blocks.parts():
        memory, windows = blocks.block(rows.stop - rows.start, run)
        first = rows.start + top - height + 1
        here, there = _inside(first, first + memory.shape[1], g.shape[1])
        memory[:, : here.start], memory[:, here.stop :] = 0, 0
        memory[:, here] = source[:, there]
        part = np.matmul(weights, windows, out=products[:, : rows.stop - rows.start])
        part = part.reshape(groups, part.shape[1], own, width, columns, images)
        for j in range(width):
            inside, elements = _across(out.shape[2], columns, stride, j * dilation - left)
            target[:, rows, :, elements] += part[:, :, :, j, inside]
    return out
