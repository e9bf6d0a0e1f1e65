"""Layers that give their input the mean 0 and the variance 1, over a batch, a sample or groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...errors import OptionError, ShapeError
from ...typing import Array, NDArray
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import numbers, positive

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"]


class _BatchNorm(Module):
    """Batch normalization for inputs with certain numbers of axes."""

    _shapes: ClassVar[dict[int, str]]
    running_mean: NDArray
    running_var: NDArray
    num_batches_tracked: NDArray

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        (self.num_features,) = positive(type(self).__name__, (num_features,))
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (self.num_features,)
        self.weight = Parameter(init.constant(shape, 1.0), dtype=dtype) if affine else None
        self.bias = Parameter(init.constant(shape), dtype=dtype) if affine else None
        if track_running_stats:
            self.register_buffer("running_mean", init.constant(shape, 0.0, dtype=dtype))
            self.register_buffer("running_var", init.constant(shape, 1.0, dtype=dtype))
            self.register_buffer("num_batches_tracked", 0)

    def forward(self, input: Array) -> Array:
        x = numbers(input, np.float32)
        if x.ndim not in self._shapes or x.shape[1] != self.num_features:
            shapes = " or ".join(self._shapes.values()).replace("C", str(self.num_features))
            raise ShapeError(f"expects an input of shape {shapes}, got {x.shape}")
        if not self.track_running_stats:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        momentum: Any = self.momentum
        if self.training:
            self.num_batches_tracked[...] = self.num_batches_tracked + 1  # in place, for compiled programs
            if momentum is None:  # the mean of all batches so far
                momentum = 1 / self.num_batches_tracked
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )


class BatchNorm1d(_BatchNorm):
    """Give each feature the mean 0 and the variance 1 over a batch, then a learned scale and shift [1]_.

    Parameters
    ----------
    num_features : int
        The length of the second axis of the input, which is (N, C) or (N, C, L).
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        The share of a batch in the running mean and variance; with None they are the means over all batches.
    affine : bool, default True
        Whether there are a scale and a shift, ``weight`` and ``bias``; they begin at 1 and 0.
    track_running_stats : bool, default True
        Whether a running mean and variance are kept, and used in ``eval()`` instead of those of the batch.
    dtype : dtype, default float32

    Raises
    ------
    ShapeError
        If a shape does not fit, or in training if there is a single value for each feature.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
       covariate shift", ICML 2015.

    Examples
    --------
    >>> layer = BatchNorm1d(2)
    >>> layer(np.array([[1, 5], [3, 5]], np.float32)).data.round(3)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> layer.running_mean
    array([0.2, 0.5], dtype=float32)
    """

    _shapes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Give each channel of images, (N, C, H, W), the mean 0 and the variance 1; see :class:`BatchNorm1d`.

    Examples
    --------
    >>> BatchNorm2d(3)(np.zeros((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    _shapes: ClassVar = {4: "(N, C, H, W)"}


class LayerNorm(Module):
    """Give the last axes of each sample the mean 0 and the variance 1, then a learned scale and shift [1]_.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The lengths of these axes.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether there is a scale for each element, ``weight``, which begins at 1.
    bias : bool, default True
        Whether there is a shift too, which begins at 0.
    dtype : dtype, default float32

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016).

    Examples
    --------
    >>> LayerNorm(2)(np.array([[1, 3], [50, 70]], np.float32)).data.round(3)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = positive("LayerNorm", sizes)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape, has_bias = self.normalized_shape, elementwise_affine and bias
        self.weight = Parameter(init.constant(shape, 1.0), dtype=dtype) if elementwise_affine else None
        self.bias = Parameter(init.constant(shape), dtype=dtype) if has_bias else None

    def forward(self, input: Array) -> Array:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def _sample_shape(self) -> tuple[int, ...]:
        return self.normalized_shape


class GroupNorm(Module):
    """Give each group of channels of each sample the mean 0 and the variance 1, then a learned scale and shift [1]_.

    Parameters
    ----------
    num_groups, num_channels : int
        The number of groups, a divisor of the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether there are a scale and a shift for each channel, ``weight`` and ``bias``; they begin at 1 and 0.
    dtype : dtype, default float32

    References
    ----------
    .. [1] Y. Wu, K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> GroupNorm(2, 4)(np.array([[1, 3, 50, 70]], np.float32)).data.round(3)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        self.num_groups, self.num_channels = positive("GroupNorm", (num_groups, num_channels))
        if num_channels % num_groups:
            raise OptionError(
                f"GroupNorm: {num_channels} channels cannot be split into {num_groups} equal groups"
            )
        self.eps, self.affine = eps, affine
        shape = (self.num_channels,)
        self.weight = Parameter(init.constant(shape, 1.0), dtype=dtype) if affine else None
        self.bias = Parameter(init.constant(shape), dtype=dtype) if affine else None

    def forward(self, input: Array) -> Array:
        if np.ndim(input) < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(f"expects an input of shape (N, {self.num_channels}, …), got {np.shape(input)}")
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
