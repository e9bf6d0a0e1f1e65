"""Machine code of the kernels for images: the loops of ``ops.kernels``, with the margins left out, around the BLAS.

This is only imported if numba compiles a program with such kernels. Images are (channels, height, width, batch), the
windows of a block of rows are copied as the columns of a matrix, and everything is passed as vectors and whole numbers.
"""

from __future__ import annotations

from typing import Any

from .intrinsics import compiled, gemm, part, peek, poke

__all__ = ["KERNELS"]

_N, _T = 78, 84  # matrices as they are, and transposed ones


def _inside(n: int, windows: int, step: int, offset: int) -> tuple[int, int]:
    """The windows whose element at an offset is inside of ``n`` elements: the first, and the one after the last."""
    first = min(max(0, -(offset // step)), windows)
    return first, max(min(windows, (n - 1 - offset) // step + 1), first)


def _set(memory: Any, start: int, stop: int, value: Any) -> None:
    for k in range(start, stop):
        poke(memory, k, value)


def _add(
    x: Any, memory: Any, channels: int, height: int, width: int, images: int, kh: int, kw: int, first: int, last: int,
    columns: int, sh: int, sw: int, dh: int, dw: int, top: int, left: int,
) -> None:  # fmt: skip
    """Add columns at the places of their windows; what lies in the margin is left out."""
    to = 0
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                begin, end = inside(width, columns, sw, j * dw - left)
                for r in range(first, last):
                    row = r * sh + i * dh - top
                    if 0 <= row < height:
                        at = ((c * height + row) * width + begin * sw + j * dw - left) * images
                        if sw == 1:
                            for k in range((end - begin) * images):
                                poke(x, at + k, peek(x, at + k) + peek(memory, to + begin * images + k))
                        else:
                            for q in range(end - begin):
                                for k in range(images):
                                    here = at + q * sw * images + k
                                    value = peek(memory, to + (begin + q) * images + k)
                                    poke(x, here, peek(x, here) + value)
                    to += columns * images


def _spread(
    out: Any, w: Any, g_: Any, memory: Any, groups: int, channels: int, features: int, height: int, width: int,
    images: int, kh: int, kw: int, rows: int, columns: int, sh: int, sw: int, dh: int, dw: int, top: int, left: int,
    at_once: int, zero: Any, one: Any,
) -> None:  # fmt: skip
    k, plane, size = channels * kh * kw, height * width * images, rows * columns * images
    set_to(out, 0, groups * channels * plane, zero)
    for g in range(groups):
        own = part(out, g * channels * plane, channels * plane)
        weights = part(w, g * features * k, features * k)
        for first in range(0, rows, at_once):
            last = min(first + at_once, rows)
            n = (last - first) * columns * images
            source = part(g_, g * features * size + first * columns * images, n)
            gemm(_N, _T, n, k, features, one, source, size, weights, k, zero, memory, n)
            add(
                own,
                memory,
                channels,
                height,
                width,
                images,
                kh,
                kw,
                first,
                last,
                columns,
                sh,
                sw,
                dh,
                dw,
                top,
                left,
            )


def _window_max(
    x: Any, out: Any, channels: int, height: int, width: int, images: int, kh: int, kw: int, rows: int, columns: int,
    sh: int, sw: int, dh: int, dw: int, top: int, left: int, lowest: Any,
) -> None:  # fmt: skip
    for c in range(channels):
        for r in range(rows):
            for q in range(columns):
                here = part(out, ((c * rows + r) * columns + q) * images, images)
                set_to(here, 0, images, lowest)
                for i in range(kh):
                    row = r * sh + i * dh - top
                    if row < 0 or row >= height:
                        continue
                    for j in range(kw):
                        column = q * sw + j * dw - left
                        if 0 <= column < width:
                            there = part(x, ((c * height + row) * width + column) * images, images)
                            for k in range(images):
                                a, b = peek(here, k), peek(there, k)
                                poke(here, k, a if a > b or a != a else b)


def _spread_max(
    g: Any, x: Any, y: Any, out: Any, waiting: Any, channels: int, height: int, width: int, images: int, kh: int,
    kw: int, rows: int, columns: int, sh: int, sw: int, dh: int, dw: int, top: int, left: int, zero: Any,
) -> None:  # fmt: skip
    """Each number waits until it meets the largest element of its window, the first if there are several."""
    set_to(out, 0, channels * height * width * images, zero)
    for c in range(channels):
        for r in range(rows):
            for q in range(columns):
                at = ((c * rows + r) * columns + q) * images
                largest = part(y, at, images)
                for k in range(images):
                    poke(waiting, k, peek(g, at + k))
                for i in range(kh):
                    row = r * sh + i * dh - top
                    if row < 0 or row >= height:
                        continue
                    for j in range(kw):
                        column = q * sw + j * dw - left
                        if 0 <= column < width:
                            place = ((c * height + row) * width + column) * images
                            there, target = part(x, place, images), part(out, place, images)
                            for k in range(images):
                                v, number = peek(there, k), peek(waiting, k)
                                is_here = (v == peek(largest, k)) | (v != v)
                                poke(target, k, peek(target, k) + (number if is_here else zero))
                                poke(waiting, k, zero if is_here else number)


def _window_sum(
    x: Any, out: Any, channels: int, height: int, width: int, images: int, kh: int, kw: int, rows: int, columns: int,
    sh: int, sw: int, dh: int, dw: int, top: int, left: int, is_back: bool, zero: Any,
) -> None:  # fmt: skip
    """Add the elements of each window; or on the way back, each sum to the elements of its window."""
    if is_back:
        set_to(x, 0, channels * height * width * images, zero)
    for c in range(channels):
        for r in range(rows):
            for q in range(columns):
                here = part(out, ((c * rows + r) * columns + q) * images, images)
                if not is_back:
                    set_to(here, 0, images, zero)
                for i in range(kh):
                    row = r * sh + i * dh - top
                    if row < 0 or row >= height:
                        continue
                    for j in range(kw):
                        column = q * sw + j * dw - left
                        if 0 <= column < width:
                            there = part(x, ((c * height + row) * width + column) * images, images)
                            if is_back:
                                for k in range(images):
                                    poke(there, k, peek(there, k) + peek(here, k))
                            else:
                                for k in range(images):
                                    poke(here, k, peek(here, k) + peek(there, k))


inside: Any = compiled(_inside)
set_to: Any = compiled(_set)
add: Any = compiled(_add)

#: The names that the text of a program refers to.
KERNELS: dict[str, Any] = {
    "spread": compiled(_spread),
    "window_max": compiled(_window_max),
    "spread_max": compiled(_spread_max),
    "window_sum": compiled(_window_sum),
}
