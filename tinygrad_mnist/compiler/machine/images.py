"""Machine code of the kernels for images: the loops of ``ops.kernels``, with the margins left out, around the BLAS.

This is only imported if numba compiles a program with such kernels. Images are (channels, height, width, batch), the
windows of a block of rows are copied as the columns of a matrix, and everything is passed as vectors and whole numbers.
"""

from __future__ import annotations

from typing import Any

from .intrinsics import compiled, part, peek, poke

__all__ = ["KERNELS"]

_N, _T = 78, 84  # matrices as they are, and transposed ones


def _set(memory: Any, start: int, stop: int, value: Any) -> None:
    for k in range(start, stop):
        poke(memory, k, value)


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


set_to: Any = compiled(_set)

#: The names that the text of a program refers to.
KERNELS: dict[str, Any] = {
    "window_max": compiled(_window_max),
    "spread_max": compiled(_spread_max),
}
