"""Operators of networks: convolutions, pools, norms, dropout, other sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....errors import UnsupportedError
from ....nn import functional as F  # noqa: N812
from ....ops import pools
from ....ops.convolutions import _conv2d
from ....tensor import Tensor
from .table import Setting, integers, number, operator, plain, require_room


def _images(x: Any, axes: int) -> Any:
    """A sequence as an image of width 1."""
    if axes not in (1, 2):
        raise UnsupportedError(
            f"an input of shape {x.shape}; sequences and images have one axis or two beside batch and channels"
        )
    return x if axes == 2 else np.expand_dims(x, -1)


def _back(y: Any, axes: int) -> Any:
    return y if axes == 2 else np.squeeze(y, -1)


def _pairs(values: Sequence[int], axes: int) -> tuple[int, int]:
    """A number for each axis of an image."""
    return (values[0], values[1]) if axes == 2 else (values[0], 1)


def _margins(
    auto_pad: str,
    pads: Any,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """The zeros before and after each axis."""
    axes = len(sizes)
    if auto_pad == "VALID":
        return [(0, 0)] * axes
    if auto_pad.startswith("SAME"):
        found = []
        for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            found.append(
                (total // 2, total - total // 2)
                if auto_pad == "SAME_UPPER"
                else (total - total // 2, total // 2)
            )
        return found
    pads = [0] * (2 * axes) if pads is None else list(pads)
    require_room([n + pads[i] + pads[i + axes] for i, n in enumerate(sizes)])
    return [(pads[i], pads[i + axes]) for i in range(axes)]


def _two(margins: Sequence[tuple[int, int]]) -> Any:
    return (margins[0], margins[1] if len(margins) == 2 else (0, 0))


@operator("Conv")
def _conv(
    x: Any, weight: Any, bias: Any = None, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Any:  # fmt: skip
    axes = x.ndim - 2
    ones = [1] * axes
    strides, dilations = strides or ones, dilations or ones
    margins = _margins(auto_pad, pads, x.shape[2:], weight.shape[2:], strides, dilations)
    image, weight = _images(x, axes), _images(weight, axes)
    if image.shape[1] != weight.shape[1] * group or weight.shape[0] % group:
        raise UnsupportedError(
            f"an input of shape {x.shape} with weights of shape {weight.shape} in {group} groups"
        )
    y = _conv2d(
        image, weight, bias, stride=_pairs(strides, axes), padding=_two(margins), dilation=_pairs(dilations, axes),
        groups=group,
    )  # fmt: skip
    return _back(y, axes)


@operator("ConvTranspose")
def _conv_transpose(
    x: Any, weight: Any, bias: Any = None, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None,
    strides: Any = None,
) -> Any:  # fmt: skip
    axes = x.ndim - 2
    ones = [1] * axes
    strides, dilations, more = strides or ones, dilations or ones, output_padding or [0] * axes
    kernel = weight.shape[2:]
    full = [
        s * (n - 1) + d * (k - 1) + 1 + m
        for n, k, s, d, m in zip(x.shape[2:], kernel, strides, dilations, more, strict=True)
    ]
    if output_shape is not None or auto_pad.startswith("SAME"):
        wanted = output_shape or [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        cuts = [n - m for n, m in zip(full, wanted, strict=True)]
        margins = [(c // 2, c - c // 2) if auto_pad == "SAME_UPPER" else (c - c // 2, c // 2) for c in cuts]
    else:
        margins = _margins(auto_pad, pads, x.shape[2:], kernel, strides, dilations)
    require_room([len(x), weight.shape[1] * group, *full], x.dtype)
    y = F.conv_transpose2d(
        _images(x, axes), _images(weight, axes), None, stride=_pairs(strides, axes), groups=group,
        dilation=_pairs(dilations, axes), output_padding=0,
    )  # fmt: skip
    y = _back(y, axes)
    # What output_padding adds at the end, and margins below 0, are zeros.
    before = [-a for a, _ in margins]
    after = [n - m - b for n, m, (_, b) in zip(full, y.shape[2:], margins, strict=True)]
    y = y[
        (..., *(slice(max(-a, 0), n + min(b, 0)) for n, a, b in zip(y.shape[2:], before, after, strict=True)))
    ]
    if any(n > 0 for n in (*before, *after)):
        y = np.pad(y, [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in zip(before, after, strict=True))])
    return y if bias is None else y + np.reshape(bias, (-1, *ones))


def _reach(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
    margins: list[tuple[int, int]], ceil_mode: int,
) -> list[tuple[int, int]]:  # fmt: skip
    """Larger margins at the end, so that the last windows fit; they must begin in the image or in the first margin."""
    if not ceil_mode:
        return margins
    found = []
    for n, k, s, d, (a, b) in zip(sizes, kernel, strides, dilations, margins, strict=True):
        count = -(-(n + a + b - d * (k - 1) - 1) // s)
        count -= count * s >= n + a
        found.append((a, max(b, count * s + d * (k - 1) + 1 - n - a)))
    return found


def _pool(
    x: Any, kernel: Sequence[int], auto_pad: str, ceil_mode: int, dilations: Any, pads: Any, strides: Any
) -> tuple[Any, dict[str, Any], Any, int]:
    """The image, the windows, and the margins as given, from the attributes of a pool."""
    axes = x.ndim - 2
    ones = [1] * axes
    strides, dilations = strides or ones, dilations or ones
    given = _margins(auto_pad, pads, x.shape[2:], kernel, strides, dilations)
    wide = _reach(x.shape[2:], kernel, strides, dilations, given, ceil_mode)
    windows = {"kernel": _pairs(kernel, axes), "stride": _pairs(strides, axes), "padding": _two(wide)}
    return _images(x, axes), windows | {"dilation": _pairs(dilations, axes)}, _two(given), axes


@operator("MaxPool")
def _max_pool(
    x: Any, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None, pads: Any = None,
    storage_order: int = 0, strides: Any = None, *, setting: Setting,
) -> Any:  # fmt: skip
    if setting.outputs > 1:
        raise UnsupportedError("the places of the largest elements")
    image, windows, _, axes = _pool(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    if image.dtype.kind not in "f":
        return _back(pools._max_pool2d(image.astype(np.float64), **windows).astype(x.dtype), axes)
    return _back(pools._max_pool2d(image, **windows), axes)


@operator("AveragePool")
def _average_pool(
    x: Any, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Any = None, pads: Any = None, strides: Any = None,
) -> Any:  # fmt: skip
    image, windows, given, axes = _pool(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    # The number of elements of each window, from an image of ones; the first margin counts if it is included.
    ones = np.ones((1, 1, *image.shape[2:]), image.dtype)
    if count_include_pad:
        ones = np.pad(ones, [(0, 0), (0, 0), *given], constant_values=1)
        rest = tuple((a - c, b - d) for (a, b), (c, d) in zip(windows["padding"], given, strict=True))
        count = _window_sum(ones, **{**windows, "padding": rest})
    else:
        count = _window_sum(ones, **windows)
    return _back(_window_sum(image, **windows) / count, axes)


def _window_sum(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """Sums of windows; those with gaps are a convolution with ones, channel by channel."""
    if dilation == (1, 1):
        return pools.window_sum(x, kernel=kernel, stride=stride, padding=padding)
    weight = np.ones((x.shape[1], 1, *kernel), x.dtype)
    return _conv2d(x, weight, None, stride=stride, padding=padding, dilation=dilation, groups=x.shape[1])


@operator("GlobalAveragePool")
def _global_average_pool(x: Any) -> Any:
    return np.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def _global_max_pool(x: Any) -> Any:
    return np.max(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@operator("LpPool")
def _lp_pool(
    x: Any, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None, p: int = 2,
    pads: Any = None, strides: Any = None,
) -> Any:  # fmt: skip
    image, windows, _, axes = _pool(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return _back(_window_sum(np.abs(image) ** p, **windows) ** (1 / p), axes)


# -- norms ---------------------------------------------------------------------------------------------------------


def _wide(value: Any, ndim: int) -> Any:
    """A number for each channel, beside a batch of images."""
    return np.reshape(value, (-1, *(1,) * (ndim - 2)))


@operator("BatchNormalization", fixed=(3, 4))
def _batch_norm(
    x: Any, scale: Any, bias: Any, mean: Any, var: Any, epsilon: float = 1e-5, momentum: float = 0.9,
    training_mode: int = 0, spatial: int = 1, *, setting: Setting,
) -> Any:  # fmt: skip
    if training_mode or not spatial:
        raise UnsupportedError("training_mode=1 or spatial=0")
    # A file may hold equal arrays once: these would then be parameters, too.
    mean, var = (s.data.copy() if isinstance(s, Tensor) else s for s in (mean, var))
    return F.batch_norm(
        x, mean, var, scale, bias, training=setting.training, momentum=1 - momentum, eps=epsilon
    )


def _standardize(x: Any, axes: tuple[int, ...], epsilon: float) -> tuple[Any, Any, Any]:
    """The numbers with mean 0 and variance 1 over axes; the mean, and one over the deviation."""
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    inverse = 1 / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + epsilon)
    return centred * inverse, mean, inverse


@operator("LayerNormalization")
def _layer_norm(
    x: Any,
    scale: Any,
    bias: Any = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    *,
    setting: Setting,
) -> Any:
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, mean, inverse = _standardize(x, axes, epsilon)
    y = y * scale if bias is None else y * scale + bias
    return (y, mean, inverse)[: setting.outputs] if setting.outputs > 1 else y


@operator("RMSNormalization")
def _rms_norm(x: Any, scale: Any, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Any:
    square = np.mean(x * x, axis=tuple(range(axis % x.ndim, x.ndim)), keepdims=True)
    return x / np.sqrt(square + epsilon) * scale


@operator("InstanceNormalization")
def _instance_norm(x: Any, scale: Any, bias: Any, epsilon: float = 1e-5) -> Any:
    return _standardize(x, tuple(range(2, x.ndim)), epsilon)[0] * _wide(scale, x.ndim) + _wide(bias, x.ndim)


@operator("GroupNormalization")
def _group_norm(
    x: Any,
    scale: Any,
    bias: Any,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    *,
    setting: Setting,
) -> Any:
    """Before version 21, there was one scale for each group."""
    if setting.opset < 21:
        scale, bias = (np.repeat(v, x.shape[1] // num_groups) for v in (scale, bias))
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@operator("MeanVarianceNormalization")
def _mean_variance_norm(x: Any, axes: Any = (0, 2, 3)) -> Any:
    return _standardize(x, tuple(axes), 1e-9)[0]


@operator("LRN")
def _local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Any:
    """Divide by what the channels beside it have: its squares, added up over a window of channels."""
    if not 1 <= size <= 2 * x.shape[1]:
        raise UnsupportedError(f"size={size} for {x.shape[1]} channels")
    before = (size - 1) // 2
    squares = np.pad(x * x, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
    around = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (bias + alpha / size * around) ** beta


@operator("Dropout", fixed=(1, 2))
def _dropout(
    x: Any, ratio: Any = 0.5, training_mode: Any = None, seed: int | None = None, *, setting: Setting
) -> Any:
    if training_mode is not None and number(training_mode) and setting.outputs > 1:
        raise UnsupportedError("a mask of what was kept")
    kept = np.ones(x.shape, bool)
    y = F.dropout(x, number(ratio), rng=setting.rng, training=setting.training)
    return (y, kept) if setting.outputs > 1 else y


# -- other sizes ---------------------------------------------------------------------------------------------------


@operator("Upsample", fixed=(1,))
def _upsample(x: Any, scales: Any, mode: str = "nearest") -> Any:
    return _resize(
        x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


@operator("Resize", fixed=(1, 2))
def _resize(
    x: Any, roi: Any = None, scales: Any = None, sizes: Any = None, antialias: int = 0, axes: Any = None,
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75, exclude_outside: int = 0,
    extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:  # fmt: skip
    """Along each axis, the new numbers are products of the old ones with a matrix."""
    if (
        antialias
        or mode not in ("nearest", "linear", "cubic")
        or coordinate_transformation_mode == "tf_crop_and_resize"
    ):
        raise UnsupportedError(
            f"antialias={antialias}, mode={mode!r} with {coordinate_transformation_mode!r}"
        )
    along = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    if scales is not None and plain(scales).size:
        factors = [float(f) for f in plain(scales)]
        lengths = [math.floor(x.shape[axis] * f) for axis, f in zip(along, factors, strict=True)]
    else:
        lengths = integers(sizes)
        factors = [m / x.shape[axis] for axis, m in zip(along, lengths, strict=True)]
        if keep_aspect_ratio_policy != "stretch":
            factor = (min if keep_aspect_ratio_policy == "not_larger" else max)(factors)
            factors = [factor] * len(along)
            lengths = [math.floor(x.shape[axis] * factor + 0.5) for axis in along]
    new = list(x.shape)
    for axis, m in zip(along, lengths, strict=True):
        new[axis] = m
    require_room(new, x.dtype)
    y = x
    for axis, m, factor in zip(along, lengths, factors, strict=True):
        if m == x.shape[axis] and factor == 1:
            continue
        places = _places(coordinate_transformation_mode, x.shape[axis], m, factor)
        if mode == "nearest":
            y = np.take(y, _nearest(nearest_mode, places, x.shape[axis]), axis)
        else:
            require_room([m, x.shape[axis]], np.float64)
            matrix = _lines(mode, places, x.shape[axis], cubic_coeff_a, bool(exclude_outside))
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ matrix.T.astype(x.dtype), -1, axis)
    return y


def _places(transform: str, n: int, m: int, factor: float) -> Any:
    """Where the new elements lie among the old ones."""
    i = np.arange(m)
    if transform == "asymmetric":
        return i / factor
    length = n * factor  # which need not be whole
    if transform == "align_corners":
        return i * ((n - 1) / (length - 1)) if length > 1 else np.zeros(m)
    if transform == "pytorch_half_pixel" and length <= 1:
        return np.zeros(m)
    if transform == "half_pixel_symmetric":
        return (i + 0.5) / factor - 0.5 + n / 2 * (1 - m / length)
    if transform in ("half_pixel", "pytorch_half_pixel"):
        return (i + 0.5) / factor - 0.5
    raise UnsupportedError(f"coordinate_transformation_mode={transform!r}")


def _nearest(mode: str, places: Any, n: int) -> Any:
    ways: dict[str, Any] = {
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return np.clip(ways[mode](places).astype(np.int64), 0, n - 1)


def _lines(mode: str, places: Any, n: int, a: float, exclude_outside: bool) -> Any:
    """The weights of the old elements in the new ones: of the nearest two, or of the nearest four."""
    first = np.floor(places).astype(np.int64)
    part = places - first
    if mode == "linear":
        offsets, weights = [0, 1], [1 - part, part]
    else:
        near = [((a + 2) * t - (a + 3)) * t * t + 1 for t in (part, 1 - part)]
        far = [((t - 5) * t + 8) * t * a - 4 * a for t in (1 + part, 2 - part)]
        offsets, weights = [-1, 0, 1, 2], [far[0], *near, far[1]]
    matrix = np.zeros((len(places), n))
    rows = np.arange(len(places))
    for offset, weight in zip(offsets, weights, strict=True):
        column = first + offset
        weight = np.where((column < 0) | (column >= n), 0, weight) if exclude_outside else weight
        np.add.at(matrix, (rows, np.clip(column, 0, n - 1)), weight)
    return matrix / matrix.sum(1, keepdims=True) if exclude_outside else matrix
