"""Convolutions of images and sequences, and the transposed map, which makes images larger."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ...errors import OptionError
from ...operands import generator
from ...ops.geometry import margins, pair
from ...typing import Array
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import Initialiser, positive

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]

Numbers = int | tuple[int, ...]


class _Convolution(Module):
    """Filters and biases of a convolution, and the settings of its windows."""

    _axes: ClassVar[int]
    _is_transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight_init: Initialiser = "fan_in_uniform",
        bias_init: Initialiser | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        name, axes = type(self).__name__, self._axes
        self.in_channels, self.out_channels, self.groups = positive(name, (in_channels, out_channels, groups))
        if in_channels % groups or out_channels % groups:
            raise OptionError(
                f"{name}: {in_channels} and {out_channels} channels cannot be split into {groups} groups of equal size"
            )
        kernel, steps, apart = (
            pair(name, what, value, axes)
            for what, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation))
        )
        margins(name, padding, kernel, steps, apart, axes)  # raises the errors of the settings
        self.stride, self.padding, self.dilation = stride, padding, dilation
        rng = generator(rng)
        first, second = (in_channels, out_channels) if self._is_transposed else (out_channels, in_channels)
        shape = (first, second // groups, *kernel[:axes])
        self.weight = Parameter(init.get(weight_init)(shape, rng=rng), dtype=dtype)
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(init.fans(shape)[0])
            drawn = (
                init.uniform((out_channels,), -bound, bound, rng=rng)
                if bias_init is None
                else init.get(bias_init)((out_channels,), rng=rng)
            )
            self.bias = Parameter(drawn, dtype=dtype)


class Conv2d(_Convolution):
    """Convolve images with learned filters; see :func:`~tinygrad_mnist.nn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input, and of features.
    kernel_size, stride, dilation : int or (int, int)
        Height and width of the windows, the steps between them, and those between their elements.
    padding : int, (int, int), 'same' or 'valid', default 0
        The margin of zeros on each side.
    groups : int, default 1
        Channels and features are split into so many parts, each of which is convolved alone.
    bias : bool, default True
    weight_init, bias_init : str or callable
        Initialisers of :mod:`tinygrad_mnist.nn.init`; by default both are drawn from U(±1/√fan_in), as in PyTorch.
    rng : numpy.random.Generator or seed
        Source of the random numbers.
    dtype : dtype, default float32

    Examples
    --------
    >>> layer = Conv2d(1, 16, 5, padding="same", rng=0)
    >>> layer.weight.shape
    (16, 1, 5, 5)
    >>> layer(np.zeros((32, 1, 28, 28), np.float32)).shape
    (32, 16, 28, 28)
    """

    _axes = 2

    def forward(self, x: Array) -> Array:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(_Convolution):
    """Convolve sequences, (N, C, L), with learned filters; parameters as for :class:`Conv2d`, one number each.

    Examples
    --------
    >>> Conv1d(3, 8, 5, stride=2, rng=0)(np.zeros((4, 3, 21), np.float32)).shape
    (4, 8, 9)
    """

    _axes = 1

    def forward(self, x: Array) -> Array:
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(_Convolution):
    """Spread each number of an image over a window of a larger one.

    See :func:`~tinygrad_mnist.nn.functional.conv_transpose2d`. Parameters are those of :class:`Conv2d`, in
    PyTorch's order, and ``output_padding``, rows and columns to add at the end.

    Examples
    --------
    >>> layer = ConvTranspose2d(16, 1, 2, stride=2, rng=0)
    >>> layer.weight.shape
    (16, 1, 2, 2)
    >>> layer(np.zeros((32, 16, 14, 14), np.float32)).shape
    (32, 1, 28, 28)
    """

    _axes = 2
    _is_transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        *,
        weight_init: Initialiser = "fan_in_uniform",
        bias_init: Initialiser | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            weight_init=weight_init, bias_init=bias_init, rng=rng, dtype=dtype,
        )  # fmt: skip
        self.output_padding = output_padding

    def forward(self, x: Array) -> Array:
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
