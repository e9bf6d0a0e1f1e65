"""Convolutions of networks: correlations of images with learned weights.

Three operations are derivatives of each other, so that derivatives of every order are at hand: the convolution
itself; the transposed one, which is its derivative by the images; and that by the weights. Images have the shape
(batch, channels, height, width). How they lie in memory, and how the numbers are computed, is in ``kernels``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, pluralise
from ..primitive import Sample, primitive
from ..typing import Array, ArrayT
from . import kernels
from .arguments import array
from .geometry import as_images, margins, pair, require_windows
from .kernels import Padding, Pair, batch_first, batch_last
from .network import widen

__all__ = ["conv1d", "conv2d", "conv_transpose2d"]

_PLAIN: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"stride": (2, 1), "padding": ((1, 0), (2, 1))},
    {"dilation": (2, 1), "padding": ((1, 1), (0, 0)), "groups": 2},
]


def unusual(**settings: Any) -> dict[str, Any]:
    """The settings that a call has to name."""
    return {name: value for name, value in settings.items() if value != _PLAIN[name]}


@primitive(
    name="conv2d",
    samples=[
        Sample((2, 2, 4, 3), (2, 2, 3, 2), (2,), **_SETTINGS[0]),
        Sample((2, 2, 4, 3), (3, 2, 3, 2), None, **_SETTINGS[1]),
        Sample((1, 4, 4, 3), (2, 2, 2, 2), (2,), **_SETTINGS[2]),
        Sample((2, 2, 3, 2), (2, 2, 1, 1), None, complex=True),
    ],
)
@widen
def _conv2d(
    x: Array, weight: Array, bias: Array | None = None, /, stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)), dilation: Pair = (1, 1), groups: int = 1,
) -> Array:  # fmt: skip
    """Products of the weights with every window of the images, plus a number for each feature."""
    settings = unusual(stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = kernels.correlate(batch_last(x), weight, **settings)
    if bias is None:
        return batch_first(y)
    bias = np.reshape(bias, (-1, 1, 1, 1))
    if bias.dtype == y.dtype:
        y += bias
        return batch_first(y)
    return batch_first(y + bias)


@primitive(
    name="conv_transpose2d",
    samples=[
        Sample((2, 2, 2, 2), (2, 2, 3, 2), size=(4, 3), **_SETTINGS[0]),
        Sample((2, 3, 2, 5), (3, 2, 3, 2), size=(4, 3), **_SETTINGS[1]),
        Sample((1, 2, 4, 2), (2, 2, 2, 2), size=(4, 3), **_SETTINGS[2]),
    ],
    jvp="multilinear",
)
@widen
def _conv_transpose2d(
    g: Array, weight: Array, /, size: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1), groups: int = 1,
) -> Array:  # fmt: skip
    """The weights, times each number, added up at the places of its window in images of a given size."""
    settings = unusual(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return batch_first(kernels.spread(batch_last(g), weight, size, **settings))


@primitive(
    samples=[
        Sample((2, 2, 4, 3), (2, 2, 2, 2), kernel=(3, 2), **_SETTINGS[0]),
        Sample((2, 2, 4, 3), (2, 3, 2, 5), kernel=(3, 2), **_SETTINGS[1]),
        Sample((1, 4, 4, 3), (1, 2, 4, 2), kernel=(2, 2), **_SETTINGS[2]),
    ],
    jvp="multilinear",
)
@widen
def conv2d_filters(
    x: Array, g: Array, /, kernel: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1), groups: int = 1,
) -> Array:  # fmt: skip
    """All windows, times the numbers at their places, added up: the derivative of a convolution by its weights."""
    settings = unusual(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return kernels.filters(batch_last(x), batch_last(g), kernel, **settings)


_conv2d.vjp(
    lambda g, y, x, weight, bias, **s: _conv_transpose2d(g, weight, size=x.shape[2:], **s),
    lambda g, y, x, weight, bias, **s: conv2d_filters(x, g, kernel=weight.shape[2:], **s),
    lambda g, y, x, weight, bias, **s: np.sum(g, axis=(0, 2, 3)),
)
_conv2d.tangents(
    lambda v, y, x, weight, bias, **s: _conv2d(v, weight, **s),
    lambda v, y, x, weight, bias, **s: _conv2d(x, v, **s),
    lambda v, y, x, weight, bias, **s: np.reshape(v, (-1, 1, 1)),
)
_conv_transpose2d.vjp(
    lambda g, y, x, weight, size, **s: _conv2d(g, weight, **s),
    lambda g, y, x, weight, size, **s: conv2d_filters(g, x, kernel=weight.shape[2:], **s),
)
conv2d_filters.vjp(
    lambda g, y, x, v, kernel, **s: _conv_transpose2d(v, g, size=x.shape[2:], **s),
    lambda g, y, x, v, kernel, **s: _conv2d(x, g, **s),
)


# -- for users -------------------------------------------------------------------------------------------------


def conv2d(
    input: ArrayT, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> ArrayT:  # fmt: skip
    r"""Convolve images with learned weights [1]_: a product of the weights with every window of every image.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W), or (C, H, W) for a single image
    weight : Tensor or array, shape (F, C / groups, height, width)
        One filter for each of F features.
    bias : Tensor or array, shape (F,), optional
    stride : int or (int, int), default 1
        The step from one window to the next, along the height and the width.
    padding : int, (int, int), 'same' or 'valid', default 0
        The margin of zeros on each side. ``'same'`` keeps height and width, if the stride is 1; ``'valid'`` is no
        margin.
    dilation : int or (int, int), default 1
        The step from one element of a window to the next.
    groups : int, default 1
        The channels and the features are split into so many parts, each of which is convolved alone.

    Returns
    -------
    Tensor or array, shape (N, F, H', W')
        H' = (H + 2 padding - dilation (height - 1) - 1) // stride + 1, and W' likewise.

    Raises
    ------
    ShapeError
        If channels, groups or the shape of ``bias`` do not fit, or if no window does.
    OptionError
        If a stride, a padding or a dilation is not a whole number of the right kind.

    Notes
    -----
    .. math:: y_{nfij} = b_f + \sum_{c, k, l} w_{fckl}\, x_{n, c, i s + k d, j s + l d}

    As in all frameworks, the filter is not flipped, unlike that of ``np.convolve``.

    References
    ----------
    .. [1] Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998).

    Examples
    --------
    >>> # A filter that finds vertical edges.
    >>> image = np.array([[[0.0, 0.0, 1.0, 1.0]] * 3])
    >>> conv2d(image, np.array([[[[-1.0, 1.0]]]]))
    array([[[0., 1., 0.],
            [0., 1., 0.],
            [0., 1., 0.]]])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv1d(
    input: ArrayT, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> ArrayT:  # fmt: skip
    """Convolve sequences with learned weights: :func:`conv2d` along one axis.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, L), or (C, L) for a single sequence
    weight : Tensor or array, shape (F, C / groups, length)
    bias : Tensor or array, shape (F,), optional
    stride, padding, dilation, groups
        As for :func:`conv2d`; one number instead of two.

    Returns
    -------
    Tensor or array, shape (N, F, L')

    Examples
    --------
    >>> # The mean of each element and its two neighbours.
    >>> conv1d(np.array([[3.0, 6.0, 9.0, 0.0]]), np.full((1, 1, 3), 1 / 3), padding="same").round(6)
    array([[3., 6., 5., 3.]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def _convolve(
    name: str,
    axes: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    x, is_single = as_images(name, input, axes)
    weight, bias = array(weight), None if bias is None else array(bias)
    _require_groups(name, groups)
    wanted = "(F, C / groups, height, width)" if axes == 2 else "(F, C / groups, length)"
    if weight.ndim != axes + 2 or 0 in weight.shape:
        raise ShapeError(f"{name}: a weight of shape {weight.shape}; expected {wanted}")
    features, channels = weight.shape[:2]
    if x.shape[1] != channels * groups:
        parts = f" in each of {groups} groups" if groups != 1 else ""
        raise ShapeError(
            f"{name}: an input with {x.shape[1]} channels, of shape {np.shape(input)}, does not fit a weight of shape "
            f"{weight.shape}, which takes {pluralise(channels, 'channel')}{parts}: {x.shape[1]} ≠ {channels * groups}"
            f"{_where_channels_are(np.shape(input), channels * groups, axes)}"
        )
    if features % groups:
        raise ShapeError(
            f"{name}: {features} features cannot be split into {groups} groups; weight.shape[0] must be a multiple "
            f"of groups"
        )
    _require_bias(name, bias, features)
    weight = np.expand_dims(weight, -1) if axes == 1 else weight
    kernel = weight.shape[2:]
    steps = pair(name, "stride", stride, axes), pair(name, "dilation", dilation, axes)
    margin = margins(name, padding, kernel, *steps, axes)
    require_windows(name, x, kernel, steps[0], margin, steps[1], axes)
    y = _conv2d(x, weight, bias, stride=steps[0], padding=margin, dilation=steps[1], groups=groups)
    y = np.squeeze(y, -1) if axes == 1 else y
    return np.squeeze(y, 0) if is_single else y


def _where_channels_are(shape: tuple[int, ...], channels: int, axes: int) -> str:
    """Say what to do with images whose channels come last, or that have none."""
    if shape[-1] == channels and len(shape) == axes + 2:
        return "; channels come before the pixels: np.moveaxis(x, -1, 1)"
    if channels == 1 and len(shape) == axes + 1:
        return "; if this is a batch of grey images, x[:, np.newaxis] gives each its channel"
    return ""


def conv_transpose2d(
    input: ArrayT, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> ArrayT:  # fmt: skip
    """Spread each number of an image over a window of a larger one: the transposed map of :func:`conv2d` [1]_.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W), or (C, H, W) for a single image
    weight : Tensor or array, shape (C, F / groups, height, width)
        The weights of the convolution from F to C channels of which this is the transposed map.
    bias : Tensor or array, shape (F,), optional
    stride, padding, groups, dilation
        Those of that convolution. A padding makes the result smaller.
    output_padding : int or (int, int), default 0
        Rows and columns to add at the end, fewer than the stride or the dilation: a convolution with a stride has
        the same result for inputs of several sizes.

    Returns
    -------
    Tensor or array, shape (N, F, H', W')
        H' = (H - 1) stride - 2 padding + dilation (height - 1) + output_padding + 1, and W' likewise.

    References
    ----------
    .. [1] M. D. Zeiler et al., "Deconvolutional networks", CVPR (2010).

    Examples
    --------
    >>> # Twice as large.
    >>> conv_transpose2d(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2, 2)), stride=2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """
    name = "conv_transpose2d"
    x, is_single = as_images(name, input)
    weight, bias = array(weight), None if bias is None else array(bias)
    _require_groups(name, groups)
    if weight.ndim != 4 or 0 in weight.shape:
        raise ShapeError(f"{name}: a weight of shape {weight.shape}; expected (C, F / groups, height, width)")
    channels, features = weight.shape[0], weight.shape[1] * groups
    if x.shape[1] != channels or channels % groups:
        raise ShapeError(
            f"{name}: an input with {x.shape[1]} channels, of shape {np.shape(input)}, does not fit a weight of shape "
            f"{weight.shape} in {groups} groups; weight.shape[0] must be {x.shape[1]}, a multiple of groups"
        )
    _require_bias(name, bias, features)
    steps, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    inside = pair(name, "padding", padding, least=0)
    more = pair(name, "output_padding", output_padding, least=0)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, dilation, strict=True)):
        raise OptionError(
            f"{name}: output_padding={output_padding!r} must be smaller than the stride {steps} or the dilation "
            f"{dilation}"
        )
    height, width = (
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(x.shape[2:], steps, inside, dilation, weight.shape[2:], more, strict=True)
    )
    if height < 1 or width < 1 or 0 in x.shape[2:]:
        raise ShapeError(
            f"{name}: an input of shape {np.shape(input)} gives an image of {height} × {width} elements; use a larger "
            "input or a smaller padding"
        )
    # What is added at the end was cut off there before, or is beyond all windows.
    ends = [p - m // s * s for p, m, s in zip(inside, more, steps, strict=True)]
    beyond = [max(-end, 0) for end in ends]
    y: Any = _conv_transpose2d(
        x, weight, size=(height - beyond[0], width - beyond[1]), stride=steps,
        padding=((inside[0], max(ends[0], 0)), (inside[1], max(ends[1], 0))), dilation=dilation, groups=groups,
    )  # fmt: skip
    y = np.pad(y, ((0, 0), (0, 0), (0, beyond[0]), (0, beyond[1]))) if any(beyond) else y
    y = y if bias is None else y + np.reshape(bias, (-1, 1, 1))
    return np.squeeze(y, 0) if is_single else y


def _require_groups(name: str, groups: Any) -> None:
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise OptionError(f"{name}: groups={groups!r}; pass an integer of at least 1")


def _require_bias(name: str, bias: Any, features: int) -> None:
    if bias is not None and bias.shape != (features,):
        raise ShapeError(
            f"{name}: a bias of shape {bias.shape}; expected ({features},), a number for each feature"
        )
