"""Machine code of convolutions row by row: the loops of ``ops.row_kernels``, with the margins left out.

The rows of a few columns of windows are lowered, channel by channel, once for every column of a window. Then each row
of the result is one product of the BLAS, for which everything lies one after the other in memory.
With a dilation along the height, windows have no rows in common, and the rows of each are lowered.
"""

from __future__ import annotations

from typing import Any

from .images import set_to
from .intrinsics import compiled, gemm, part, peek, poke

__all__ = ["KERNELS"]

_N, _T = 78, 84  # matrices as they are, and transposed ones


def _lower(
    x: Any, memory: Any, channels: int, height: int, width: int, images: int, kh: int, kw: int, extent: int, sh: int,
    sw: int, dh: int, dw: int, top: int, left: int, q0: int, q1: int, n0: int, n1: int, zero: Any,
) -> None:  # fmt: skip
    """Copy the rows of some columns of windows, of some images, with zeros for the margin."""
    to, n = 0, n1 - n0
    for r in range(extent):
        row = (r if dh == 1 else r // kh * sh + r % kh * dh) - top
        for c in range(channels):
            for j in range(kw):
                for q in range(q0, q1):
                    column = q * sw + j * dw - left
                    if 0 <= row < height and 0 <= column < width:
                        at = ((c * height + row) * width + column) * images + n0
                        for k in range(n):
                            poke(memory, to + k, peek(x, at + k))
                    else:
                        set_to(memory, to, to + n, zero)
                    to += n


def _correlate_rows(
    x: Any, w: Any, out: Any, memory: Any, groups: int, channels: int, features: int, height: int, width: int,
    images: int, kh: int, kw: int, rows: int, columns: int, sh: int, sw: int, dh: int, dw: int, top: int,
    left: int, across: int, at_a_time: int, is_back: bool, zero: Any, one: Any,
) -> None:  # fmt: skip
    """Multiply weights by every window; on the way back, turned weights, whose features are the channels here."""
    k, plane, size = channels * kh * kw, height * width * images, rows * columns * images
    lines, step = channels * kw, sh if dh == 1 else kh
    extent = (rows - 1) * step + kh
    sizes = channels, height, width, images, kh, kw, extent, sh, sw, dh, dw, top, left
    weights = part(memory, 0, features * k)
    lowered = part(memory, features * k, extent * lines * across * at_a_time)
    for g in range(groups):
        own = part(x, g * channels * plane, channels * plane)
        given = part(w, g * features * k, features * k)
        for f in range(features):
            for c in range(channels):
                for i in range(kh):
                    for j in range(kw):
                        to = ((f * kh + i) * channels + c) * kw + j
                        if is_back:
                            at = ((c * features + f) * kh + kh - 1 - i) * kw + kw - 1 - j
                        else:
                            at = ((f * channels + c) * kh + i) * kw + j
                        poke(weights, to, peek(given, at))
        for q0 in range(0, columns, across):
            q1 = min(q0 + across, columns)
            for n0 in range(0, images, at_a_time):
                n1 = min(n0 + at_a_time, images)
                run = (q1 - q0) * (n1 - n0)
                lower(own, lowered, *sizes, q0, q1, n0, n1, zero)
                for r in range(rows):
                    windows = part(lowered, r * step * lines * run, k * run)
                    target = part(out, g * features * size + (r * columns + q0) * images + n0, run)
                    gemm(_N, _N, run, features, k, one, windows, run, weights, k, zero, target, size)


def _filter_rows(
    x: Any, out: Any, g_: Any, memory: Any, groups: int, channels: int, features: int, height: int, width: int,
    images: int, kh: int, kw: int, rows: int, columns: int, sh: int, sw: int, dh: int, dw: int, top: int,
    left: int, across: int, at_a_time: int, zero: Any, one: Any,
) -> None:  # fmt: skip
    """Add up every window, times the numbers at its place."""
    k, plane, size = channels * kh * kw, height * width * images, rows * columns * images
    lines, step = channels * kw, sh if dh == 1 else kh
    extent = (rows - 1) * step + kh
    sizes = channels, height, width, images, kh, kw, extent, sh, sw, dh, dw, top, left
    total = part(memory, 0, features * k)
    lowered = part(memory, features * k, extent * lines * across * at_a_time)
    for g in range(groups):
        own = part(x, g * channels * plane, channels * plane)
        set_to(total, 0, features * k, zero)
        for q0 in range(0, columns, across):
            q1 = min(q0 + across, columns)
            for n0 in range(0, images, at_a_time):
                n1 = min(n0 + at_a_time, images)
                run = (q1 - q0) * (n1 - n0)
                lower(own, lowered, *sizes, q0, q1, n0, n1, zero)
                for r in range(rows):
                    windows = part(lowered, r * step * lines * run, k * run)
                    source = part(g_, g * features * size + (r * columns + q0) * images + n0, run)
                    gemm(_T, _N, features, k, run, one, source, size, windows, run, one, total, features)
        for f in range(features):
            for c in range(channels):
                for i in range(kh):
                    for j in range(kw):
                        value = peek(total, (((i * channels + c) * kw) + j) * features + f)
                        poke(out, (((g * features + f) * channels + c) * kh + i) * kw + j, value)


lower: Any = compiled(_lower)

#: The names that the text of a program refers to.
KERNELS: dict[str, Any] = {
    "correlate_rows": compiled(_correlate_rows),
    "filter_rows": compiled(_filter_rows),
}
