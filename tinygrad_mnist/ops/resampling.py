"""Images in other forms: their windows side by side, and other sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, choice
from ..primitive import Sample, primitive
from ..typing import Array, ArrayT
from . import kernels
from .arguments import array
from .geometry import as_images, margins, pair, require_windows
from .kernels import Padding, Pair, batch_first, batch_last

__all__ = ["fold", "interpolate", "unfold"]

_SETTINGS: dict[str, Any] = {"stride": (2, 1), "padding": ((1, 1), (0, 0)), "dilation": (1, 2)}

# -- windows ---------------------------------------------------------------------------------------------------


@primitive(
    name="unfold",
    samples=[Sample((2, 2, 3, 3), kernel=(2, 2)), Sample((1, 2, 3, 4), kernel=(2, 2), **_SETTINGS)],
    jvp="linear",
)
def _unfold(
    x: Array,
    /,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Array:
    """All windows of images, each as a column."""
    y = kernels.windows(batch_last(x), kernel, stride, padding, dilation)
    y = np.reshape(y, (math.prod(y.shape[:3]), math.prod(y.shape[3:5]), y.shape[5]))
    return np.transpose(y, (2, 0, 1))


@primitive(
    name="fold",
    samples=[
        Sample((2, 8, 4), size=(3, 3), kernel=(2, 2)),
        Sample((1, 8, 4), size=(3, 4), kernel=(2, 2), **_SETTINGS),
    ],
    jvp="linear",
)
def _fold(
    x: Array, /, size: Pair, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
) -> Array:  # fmt: skip
    """Columns at the places of their windows, added up: the adjoint of ``unfold``."""
    rows, columns = _counts(size, kernel, stride, padding, dilation)
    shape = x.shape[1] // math.prod(kernel), *kernel, rows, columns, x.shape[0]
    windows = np.reshape(np.transpose(x, (1, 2, 0)), shape)
    return batch_first(kernels.spread_windows(windows, size, stride, padding, dilation))


def _counts(size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """The number of windows along each axis."""
    rows, columns = (
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return rows, columns


_unfold.vjp(lambda g, y, x, **s: _fold(g, size=x.shape[2:], **s))
_fold.vjp(lambda g, y, x, size, **s: _unfold(g, **s))


def unfold(input: ArrayT, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> ArrayT:
    """Lay all windows of an image side by side, each as a column.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W), or (C, H, W) for a single image
    kernel_size, dilation, padding, stride : int or (int, int)
        As for :func:`conv2d`.

    Returns
    -------
    Tensor or array, shape (N, C * height * width, L)
        L is the number of windows.

    Examples
    --------
    >>> unfold(np.arange(6.0).reshape(1, 2, 3), 2)
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    x, is_single = as_images("unfold", input)
    how = _window("unfold", kernel_size, dilation, padding, stride)
    require_windows("unfold", x, how["kernel"], how["stride"], how["padding"], how["dilation"])
    y: Any = _unfold(x, **how)
    return np.squeeze(y, 0) if is_single else y


def fold(
    input: ArrayT, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> ArrayT:
    """Add up the columns of :func:`unfold` at the places of their windows.

    Parameters
    ----------
    input : Tensor or array, shape (N, C * height * width, L), or (C * height * width, L)
    output_size : int or (int, int)
        The height and width of the images.
    kernel_size, dilation, padding, stride : int or (int, int)
        As for :func:`unfold`.

    Returns
    -------
    Tensor or array, shape (N, C, height, width)

    Examples
    --------
    >>> # Each pixel as often as there are windows that hold it.
    >>> fold(np.ones((4, 2)), (2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    x = array(input)
    is_single = x.ndim == 2
    x = np.expand_dims(x, 0) if is_single else x
    size, how = (
        pair("fold", "output_size", output_size),
        _window("fold", kernel_size, dilation, padding, stride),
    )
    rows, columns = _counts(size, **how)
    if (
        x.ndim != 3
        or rows < 1
        or columns < 1
        or x.shape[2] != rows * columns
        or x.shape[1] % math.prod(how["kernel"])
    ):
        raise ShapeError(
            f"fold: an input of shape {np.shape(input)}; images of {size[0]} × {size[1]} elements have "
            f"{max(rows, 0)} × {max(columns, 0)} windows of {how['kernel'][0]} × {how['kernel'][1]}, so it must be "
            f"(N, C * {math.prod(how['kernel'])}, {max(rows, 0) * max(columns, 0)})"
        )
    y: Any = _fold(x, size=size, **how)
    return np.squeeze(y, 0) if is_single else y


def _window(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Any]:
    kernel, steps = pair(name, "kernel_size", kernel_size), pair(name, "stride", stride)
    apart = pair(name, "dilation", dilation)
    margin = margins(name, padding, kernel, steps, apart)
    return {"kernel": kernel, "stride": steps, "padding": margin, "dilation": apart}


# -- sizes -----------------------------------------------------------------------------------------------------

#: For each mode, the numbers of axes that an input may have.
_MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "trilinear": (5,),
}


def interpolate(
    input: ArrayT, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> ArrayT:  # fmt: skip
    """Make images larger or smaller.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
        Or (N, C, L) for sequences, (N, C, D, H, W) for volumes.
    size : int or tuple of int, optional
        The new length of each axis after the second.
    scale_factor : float or tuple of float, optional
        How many times as long each axis becomes, rounded down; instead of ``size``.
    mode : {'nearest', 'nearest-exact', 'bilinear', 'linear', 'trilinear'}
        The nearest element, as seen from the left edge or from the middle of a new one; or a straight line between the
        nearest two of each axis.
    align_corners : bool, optional
        For lines: whether the first and last elements stay where they are, rather than the edges.
    recompute_scale_factor : bool, optional
        Whether distances are those of the new size, rather than those of ``scale_factor``.

    Returns
    -------
    Tensor or array, shape (N, C, …)

    Examples
    --------
    >>> image = np.array([[[[0.0, 1.0]]]])
    >>> interpolate(image, (1, 4))
    array([[[[0., 0., 1., 1.]]]])
    >>> interpolate(image, (1, 4), mode="bilinear")
    array([[[[0.  , 0.25, 0.75, 1.  ]]]])
    """
    x: Any = array(input)
    if mode not in _MODES:
        raise choice("mode of interpolate", mode, _MODES)
    if x.ndim not in _MODES[mode]:
        raise ShapeError(
            f"interpolate: an input of shape {x.shape} with mode={mode!r}, which takes "
            f"{' or '.join(map(str, _MODES[mode]))} axes: a batch, channels, and the axes of an image"
        )
    is_nearest = mode.startswith("nearest")
    if is_nearest and align_corners is not None:
        raise OptionError(
            f"interpolate: align_corners is for straight lines; leave it out with mode={mode!r}"
        )
    old = x.shape[2:]
    new: Any
    new, scales = _sizes(old, size, scale_factor, bool(recompute_scale_factor))
    if min(new) < 1 or min(old) < 1:
        raise ShapeError(f"interpolate: an input of shape {x.shape} would become {(*x.shape[:2], *new)}")
    y = np.moveaxis(x, 0, -1)  # as convolutions do, so that whole rows are copied
    for axis, (n, m, scale) in enumerate(zip(old, new, scales, strict=True), start=1):
        if is_nearest:
            # PyTorch computes the places in single precision.
            seen = np.arange(m, dtype=np.float32) + np.float32(0.5 if mode == "nearest-exact" else 0)
            places = np.floor(seen * np.float32(scale)).astype(np.intp)
            y = y if n == m and scale == 1 else np.take(y, np.minimum(places, n - 1), axis)
        else:
            y = _along_lines(y, axis, m, scale, bool(align_corners))
    return np.moveaxis(y, -1, 0)


def _sizes(
    old: tuple[int, ...], size: Any, factor: Any, recomputed: bool
) -> tuple[tuple[int, ...], list[float]]:
    """The new lengths, and how many old steps a new one is."""
    if (size is None) == (factor is None):
        raise OptionError("interpolate: pass either size or scale_factor")
    given = size if factor is None else factor
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(old)
    if len(values) != len(old):
        raise OptionError(f"interpolate: {given!r} for {len(old)} axes; pass one number, or one for each")
    if factor is None:
        return tuple(map(int, values)), [n / m if m else 0.0 for n, m in zip(old, values, strict=True)]
    new = tuple(math.floor(n * float(f)) for n, f in zip(old, values, strict=True))
    if recomputed:
        return new, [n / m if m else 0.0 for n, m in zip(old, new, strict=True)]
    return new, [1 / float(f) for f in values]


def _along_lines(x: Array, axis: int, m: int, scale: float, align_corners: bool) -> Array:
    """Values between two elements of an axis, for each of ``m`` places."""
    n = x.shape[axis]
    if align_corners:
        places = np.arange(m) * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        places = np.maximum((np.arange(m) + 0.5) * scale - 0.5, 0)
    if n == m and np.array_equal(places, np.arange(n)):
        return x
    before = np.minimum(places.astype(np.intp), n - 1)
    after = np.minimum(before + 1, n - 1)
    part = np.reshape((places - before).astype(x.dtype), (-1,) + (1,) * (x.ndim - axis - 1))
    return np.take(x, before, axis) * (1 - part) + np.take(x, after, axis) * part
