"""Pools: the largest element, or the mean, of every window of an image.

The gradient of a maximum goes to the element that is the largest, and to the first of several. The windows are
compared again on the way back, so nothing has to be kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..primitive import Sample, primitive
from ..typing import Array, ArrayT
from . import kernels
from .arguments import untracked
from .geometry import as_images, pair, require_windows
from .kernels import Padding, Pair, batch_first, batch_last

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]

_PLAIN: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
_OVERLAPPING: dict[str, Any] = {"kernel": (2, 3), "stride": (1, 2), "padding": ((0, 1), (1, 1))}
_APART: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2)}


def _unusual(**settings: Any) -> dict[str, Any]:
    """The settings that a call has to name."""
    return {name: value for name, value in settings.items() if value != _PLAIN[name]}


# -- the largest -----------------------------------------------------------------------------------------------


@primitive(
    name="max_pool2d",
    samples=[
        Sample((2, 2, 4, 2), **_APART),
        Sample((1, 2, 3, 4), **_OVERLAPPING),
        Sample((2, 1, 4, 3), kernel=(2, 2), dilation=(2, 1)),
    ],
)
def _max_pool2d(
    x: Array,
    /,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Array:
    """The largest element of every window."""
    settings = _unusual(stride=stride, padding=padding, dilation=dilation)
    return batch_first(kernels.window_max(batch_last(x), kernel, **settings))


# Integers: they do not move.
_X = np.random.default_rng(0).permutation(32).reshape(2, 1, 4, 4)
_Y = _X.reshape(2, 1, 2, 2, 2, 2).max((3, 5))


@primitive(samples=[Sample((2, 1, 2, 2), _X, _Y, **_APART)])
def spread_max(
    g: Array, x: Array, y: Array, /, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Array:  # fmt: skip
    """A number for each window, at the place of its largest element in ``x``; the windows' maxima are ``y``."""
    settings = _unusual(stride=stride, padding=padding, dilation=dilation)
    return batch_first(kernels.spread_max(batch_last(g), batch_last(x), batch_last(y), kernel, **settings))


@primitive(samples=[Sample((2, 1, 4, 4), _X, _Y, **_APART)])
def take_max(
    v: Array, x: Array, y: Array, /, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Array:  # fmt: skip
    """The number in ``v`` where each window of ``x`` has its largest element: the adjoint of ``spread_max``."""
    settings = _unusual(stride=stride, padding=padding, dilation=dilation)
    return batch_first(kernels.take_max(batch_last(v), batch_last(x), batch_last(y), kernel, **settings))


def _nothing(*_: Any, **__: Any) -> float:
    """The place of a maximum jumps, but does not move."""
    return 0.0


_max_pool2d.vjp(lambda g, y, x, **s: spread_max(g, x, y, **s))
_max_pool2d.tangents(lambda v, y, x, **s: take_max(v, x, y, **s))
spread_max.vjp(lambda h, z, g, x, y, **s: take_max(h, x, y, **s), _nothing, _nothing)
spread_max.tangents(lambda v, z, g, x, y, **s: spread_max(v, x, y, **s), _nothing, _nothing)
take_max.vjp(lambda h, z, v, x, y, **s: spread_max(h, x, y, **s), _nothing, _nothing)
take_max.tangents(lambda t, z, v, x, y, **s: take_max(t, x, y, **s), _nothing, _nothing)


# -- the sum ---------------------------------------------------------------------------------------------------


@primitive(samples=[Sample((2, 2, 4, 2), **_APART), Sample((1, 2, 3, 4), **_OVERLAPPING)], jvp="linear")
def window_sum(
    x: Array, /, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0))
) -> Array:
    """The sum of every window."""
    return batch_first(kernels.window_sum(batch_last(x), kernel, **_unusual(stride=stride, padding=padding)))


@primitive(
    samples=[
        Sample((2, 2, 2, 1), size=(4, 2), **_APART),
        Sample((1, 2, 3, 2), size=(3, 4), **_OVERLAPPING),
    ],
    jvp="linear",
)
def spread_sum(
    g: Array, /, size: Pair, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0))
) -> Array:
    """A number for each window, added to all of its elements."""
    settings = _unusual(stride=stride, padding=padding)
    return batch_first(kernels.spread_sum(batch_last(g), size, kernel, **settings))


window_sum.vjp(lambda g, y, x, **s: spread_sum(g, size=x.shape[2:], **s))
spread_sum.vjp(lambda h, z, g, size, **s: window_sum(h, **s))


# -- for users -------------------------------------------------------------------------------------------------


def max_pool2d(
    input: ArrayT, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Take the largest element of every window of an image [1]_.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W), or (C, H, W) for a single image
    kernel_size : int or (int, int)
        The height and width of a window.
    stride : int or (int, int), optional
        The step from one window to the next; the default is the size of a window.
    padding : int or (int, int), default 0
        The margin on each side, at most half a window. It is never the largest.
    dilation : int or (int, int), default 1
        The step from one element of a window to the next.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the margin.
    return_indices : bool, default False
        Whether to return also where each result comes from: the number of the element in its image, row by row.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')
        With ``return_indices``, a tuple of it and an array of integers.

    References
    ----------
    .. [1] M. Ranzato et al., "Unsupervised learning of invariant feature hierarchies", CVPR (2007).

    Examples
    --------
    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]])
    """
    name = "max_pool2d"
    x, is_single = as_images(name, input)
    kernel, steps, margin = _windows(name, x, kernel_size, stride, padding)
    apart = pair(name, "dilation", dilation)
    margin = _reaching(x, kernel, steps, margin, apart, ceil_mode)
    require_windows(name, x, kernel, steps, margin, apart)
    how = {"kernel": kernel, "stride": steps, "padding": margin, "dilation": apart}
    y = _max_pool2d(x, **how)
    if not return_indices:
        return np.squeeze(y, 0) if is_single else y
    numbers = np.broadcast_to(np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:]), x.shape)
    found = take_max(numbers, untracked(x), untracked(y), **how)
    return (np.squeeze(y, 0), np.squeeze(found, 0)) if is_single else (y, found)


def avg_pool2d(
    input: ArrayT, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> ArrayT:  # fmt: skip
    """Take the mean of every window of an image.

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode
        As for :func:`max_pool2d`. The margin holds zeros.
    count_include_pad : bool, default True
        Whether the margin counts as elements.
    divisor_override : int, optional
        The number by which all sums are divided.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')

    Examples
    --------
    >>> avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    name = "avg_pool2d"
    x, is_single = as_images(name, input)
    kernel, steps, margin = _windows(name, x, kernel_size, stride, padding)
    if divisor_override is not None and not divisor_override:
        raise OptionError(f"{name}: divisor_override={divisor_override!r}; it must not be 0")
    wide = _reaching(x, kernel, steps, margin, (1, 1), ceil_mode)
    require_windows(name, x, kernel, steps, wide, (1, 1))
    y = window_sum(x, kernel=kernel, stride=steps, padding=wide)
    if divisor_override is None:
        edges = margin if count_include_pad else ((0, 0), (0, 0))
        rows, columns = (
            _counts(x.shape[2 + i], y.shape[2 + i], kernel[i], steps[i], margin[i][0], edges[i][0])
            for i in (0, 1)
        )
        count = rows[:, None] * columns
        divisor: Any = int(count[0, 0]) if (count == count[0, 0]).all() else count.astype(y.dtype)
    else:
        divisor = divisor_override
    y = y / divisor
    return np.squeeze(y, 0) if is_single else y


def _counts(n: int, windows: int, kernel: int, stride: int, margin: int, edge: int) -> Any:
    """How many elements each window has along an axis, of which ``edge`` elements of the margin count."""
    start = np.arange(windows) * stride - margin
    return np.minimum(start + kernel, n + edge) - np.maximum(start, -edge)


def adaptive_avg_pool2d(input: ArrayT, output_size: Any) -> ArrayT:
    """Take means of windows that are chosen so that the result has a given size.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W), or (C, H, W) for a single image
    output_size : int or (int, int)
        The height and width of the result; None keeps that of the input.

    Returns
    -------
    Tensor or array, shape (N, C, height, width)

    Examples
    --------
    >>> adaptive_avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 1)
    array([[[7.5]]])
    >>> adaptive_avg_pool2d(np.arange(5.0).reshape(1, 1, 5), (1, 3))  # windows of 2, 3 and 2 elements
    array([[[0.5, 2. , 3.5]]])
    """
    name = "adaptive_avg_pool2d"
    x, is_single = as_images(name, input)
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    if len(wanted) == 2:
        wanted = tuple(n if size is None else size for size, n in zip(wanted, x.shape[2:], strict=True))
    size = pair(name, "output_size", wanted)
    if 0 in x.shape[1:]:
        raise ShapeError(f"{name}: an input of shape {np.shape(input)} has no elements to take the mean of")
    if all(n % m == 0 for n, m in zip(x.shape[2:], size, strict=True)):
        kernel = x.shape[2] // size[0], x.shape[3] // size[1]
        y = window_sum(x, kernel=kernel, stride=kernel) / (kernel[0] * kernel[1])
    else:
        rows, columns = (_means(n, m, x.dtype) for n, m in zip(x.shape[2:], size, strict=True))
        y = np.matmul(np.matmul(rows, x), columns.T)
    return np.squeeze(y, 0) if is_single else y


def _means(n: int, parts: int, dtype: Any) -> Any:
    """The matrix that takes the means of so many windows of an axis; together they cover it."""
    starts = np.arange(parts)[:, None] * n // parts
    ends = -(-(np.arange(parts)[:, None] + 1) * n // parts)
    is_inside = (np.arange(n) >= starts) & (np.arange(n) < ends)
    kind = dtype if np.dtype(dtype).kind in "fc" else np.dtype(np.float64)
    return (is_inside / (ends - starts)).astype(kind)


def _windows(name: str, x: Array, kernel_size: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Padding]:
    kernel = pair(name, "kernel_size", kernel_size)
    steps = kernel if stride is None or stride == () else pair(name, "stride", stride)
    margin = pair(name, "padding", padding, least=0)
    if any(2 * p > k for p, k in zip(margin, kernel, strict=True)):
        raise OptionError(
            f"{name}: padding={padding!r} is more than half a window of {kernel[0]} × {kernel[1]}; some windows would "
            "hold nothing but margin"
        )
    return kernel, steps, ((margin[0], margin[0]), (margin[1], margin[1]))


def _reaching(
    x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Padding:
    """A larger margin at the end, so that the last window fits; it must start in the image or in the first margin."""
    if not ceil_mode:
        return padding
    made = []
    for n, k, s, (before, after), d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        rest = n + before + after - d * (k - 1) - 1
        count = -(-rest // s)
        if count * s >= n + before:
            count -= 1
        made.append((before, max(after, count * s + d * (k - 1) + 1 - n - before)))
    return made[0], made[1]
