"""Norms of layers: numbers with mean 0 and variance 1 over a batch, a layer or a group of channels.

They differ only in the axes over which mean and variance are taken, so there is one operation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..primitive import Sample, primitive
from ..tensor import Tensor
from ..typing import Array, ArrayT
from .arguments import array, untracked
from .network import widen

__all__ = ["batch_norm", "group_norm", "layer_norm"]

Axes = tuple[int, ...]


@primitive(
    samples=[
        Sample((3, 2), axis=(0,)),
        Sample((2, 4), axis=(1,), eps=0.5),
        Sample((2, 2, 2, 3), axis=(0, 2, 3), eps=0.1),
    ]
)
@widen
def standardize(x: Array, /, axis: Axes, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """``(x - mean) / sqrt(variance + eps)`` over axes; also the mean and the variance, which keep the axes."""
    mean = np.mean(x, axis=axis, keepdims=True)
    y = x - mean
    variance = np.mean(np.square(y), axis=axis, keepdims=True)
    y *= 1 / np.sqrt(variance + eps)
    return y, mean, variance


def standardize_rule(
    g: tuple[Array, ...], results: tuple[Array, ...], x: Array, axis: Axes, eps: float
) -> Array:
    """What is left of ``g / deviation`` without its parts along 1 and along ``y``, which no change of x can bring."""
    g_y, g_mean, g_variance = g
    y, _, variance = results
    n = math.prod(x.shape[i] for i in axis)
    scale = 1 / np.sqrt(variance + eps)
    along_y = g_variance * (2 / n) / scale - scale * np.mean(g_y * y, axis=axis, keepdims=True)
    along_1 = g_mean / n - scale * np.mean(g_y, axis=axis, keepdims=True)
    total = g_y * scale  # in the same memory, because these may be large
    total += y * along_y
    total += along_1
    return total


standardize.vjp(standardize_rule)


# -- for users -------------------------------------------------------------------------------------------------


def batch_norm(
    input: ArrayT, running_mean: Any = None, running_var: Any = None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> ArrayT:  # fmt: skip
    r"""Give each channel the mean 0 and the variance 1, then a scale and a shift [1]_.

    Parameters
    ----------
    input : Tensor or array, shape (N, C), (N, C, L) or (N, C, H, W)
    running_mean, running_var : ndarray, shape (C,), optional
        Mean and variance of earlier batches. In training they are updated in place; otherwise they are used instead
        of those of the batch.
    weight, bias : Tensor or array, shape (C,), optional
        Scale and shift of each channel.
    training : bool, default False
        Whether to use the mean and variance of this batch.
    momentum : float, default 0.1
        The share of this batch in the updated mean and variance.
    eps : float, default 1e-5
        Added to the variance, so that nothing is divided by 0.

    Returns
    -------
    Tensor or array, of the shape of ``input``

    Raises
    ------
    ShapeError
        If a shape does not fit, or in training if there is only one value for each channel.

    Notes
    -----
    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}\, w + b

    The variance is divided by n here, and by n - 1 for ``running_var``, as in PyTorch.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
       covariate shift", ICML (2015).

    Examples
    --------
    >>> batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]), training=True).round(4)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    x: Any = array(input)
    if x.ndim < 2:
        raise ShapeError(
            f"batch_norm: an input of shape {x.shape} has no axis of channels; expected (N, C, …)"
        )
    channels, axis = x.shape[1], (0, *range(2, x.ndim))
    for what, value in (
        ("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)
    ):  # fmt: skip
        if value is not None and np.shape(value) != (channels,):
            raise ShapeError(
                f"batch_norm: {what} has the shape {np.shape(value)}; an input of shape {x.shape} has {channels} "
                f"channels, so it must be ({channels},)"
            )
    if (running_mean is None) != (running_var is None) or not (training or running_mean is not None):
        raise OptionError(
            "batch_norm: pass running_mean and running_var, or training=True for those of the batch"
        )

    def wide(value: Any) -> Any:
        return np.reshape(array(value), (-1, *(1,) * (x.ndim - 2)))

    if not training:
        scale = 1 / np.sqrt(array(running_var) + eps)
        scale = scale if weight is None else scale * weight
        shift = -running_mean * scale
        shift = shift if bias is None else shift + bias
        return x * _cast(wide(scale), x) + _cast(wide(shift), x)
    n = math.prod(x.shape[i] for i in axis)
    if n < 2:
        raise ShapeError(
            f"batch_norm: an input of shape {x.shape} has a single value for each channel, which has no variance; "
            "train with a larger batch, leave out a last batch of one with DataLoader(..., drop_last=True), or call "
            "eval() first"
        )
    y, mean, variance = standardize(x, axis=axis, eps=eps)
    for running, value in ((running_mean, mean), (running_var, variance)):
        if running is not None:
            found = np.reshape(untracked(value), -1)
            found = found * (n / (n - 1)) if value is variance else found
            running *= 1 - momentum
            running += _bare(_cast(found * momentum, running))
    return _scaled(y, None if weight is None else wide(weight), None if bias is None else wide(bias))


def layer_norm(
    input: ArrayT,
    normalized_shape: Any,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> ArrayT:
    """Give the last axes of each sample the mean 0 and the variance 1, then a scale and a shift [1]_.

    Parameters
    ----------
    input : Tensor or array, whose last axes have the lengths ``normalized_shape``
    normalized_shape : int or tuple of int
    weight, bias : Tensor or array, shape normalized_shape, optional
    eps : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Tensor or array, of the shape of ``input``

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016).

    Examples
    --------
    >>> layer_norm(np.array([[1.0, 3.0], [50.0, 70.0]]), 2).round(4)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    x: Any = array(input)
    shape = tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"layer_norm: an input of shape {x.shape} does not end with normalized_shape={shape}"
        )
    for what, value in (("weight", weight), ("bias", bias)):
        if value is not None and np.shape(value) != shape:
            raise ShapeError(f"layer_norm: {what} has the shape {np.shape(value)}; expected {shape}")
    y, _, _ = standardize(x, axis=tuple(range(x.ndim - len(shape), x.ndim)), eps=eps)
    return _scaled(y, weight, bias)


def group_norm(
    input: ArrayT, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> ArrayT:
    """Give each group of channels of each sample the mean 0 and the variance 1, then a scale and a shift [1]_.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, …)
    num_groups : int
        A divisor of C; 1 takes all channels together, and C each of them alone.
    weight, bias : Tensor or array, shape (C,), optional
    eps : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Tensor or array, of the shape of ``input``

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV (2018).

    Examples
    --------
    >>> group_norm(np.array([[1.0, 3.0, 50.0, 70.0]]), 2).round(4)
    array([[-1.,  1., -1.,  1.]])
    """
    x: Any = array(input)
    if x.ndim < 2:
        raise ShapeError(
            f"group_norm: an input of shape {x.shape} has no axis of channels; expected (N, C, …)"
        )
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise OptionError(
            f"group_norm: {channels} channels cannot be split into {num_groups} groups of equal size"
        )
    for what, value in (("weight", weight), ("bias", bias)):
        if value is not None and np.shape(value) != (channels,):
            raise ShapeError(f"group_norm: {what} has the shape {np.shape(value)}; expected ({channels},)")
    groups = np.reshape(x, (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))
    y, _, _ = standardize(groups, axis=(2,), eps=eps)
    wide = (-1, *(1,) * (x.ndim - 2))
    weight, bias = (None if value is None else np.reshape(array(value), wide) for value in (weight, bias))
    return _scaled(np.reshape(y, x.shape), weight, bias)


def _scaled(y: Array, weight: Array | None, bias: Array | None) -> Array:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _cast(value: Array, like: Array) -> Array:
    """Statistics in the dtype of the numbers that they belong to."""
    return value if value.dtype == like.dtype or like.dtype.kind not in "fc" else value.astype(like.dtype)


def _bare(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value
