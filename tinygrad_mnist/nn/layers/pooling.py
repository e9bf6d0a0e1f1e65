"""Layers without weights that make images smaller or larger."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError
from ...typing import Array
from .. import functional as F  # noqa: N812
from ..module import Module

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d", "Upsample"]

Numbers = int | tuple[int, int]


class MaxPool2d(Module):
    """Take the largest element of every window; see :func:`~tinygrad_mnist.nn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        The stride is the size of a window by default.
    return_indices : bool, default False
        Whether to return also where each result comes from.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the margin.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPool2d(2)(np.zeros((32, 16, 28, 28))).shape
    (32, 16, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        dilation: Numbers = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Array) -> Any:
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool2d(Module):
    """Take the mean of every window; see :func:`~tinygrad_mnist.nn.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As for :class:`MaxPool2d`.
    count_include_pad : bool, default True
        Whether the margin of zeros counts as elements.
    divisor_override : int, optional
        The number by which all sums are divided.

    Examples
    --------
    >>> import numpy as np
    >>> AvgPool2d(2)(np.zeros((32, 16, 28, 28))).shape
    (32, 16, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Array) -> Array:
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AdaptiveAvgPool2d(Module):
    """Take means of windows chosen for a result of a given size.

    See :func:`~tinygrad_mnist.nn.functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int, or a pair of int and None
        The height and width of the result; None keeps that of the input.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveAvgPool2d(1)(np.zeros((32, 16, 7, 5))).shape
    (32, 16, 1, 1)
    """

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        self.output_size = output_size

    def forward(self, x: Array) -> Array:
        return F.adaptive_avg_pool2d(x, self.output_size)


class Upsample(Module):
    """Make images larger; see :func:`~tinygrad_mnist.nn.functional.interpolate`.

    Parameters
    ----------
    size : int or tuple of int, optional
        The new length of each axis after the second.
    scale_factor : float or tuple of float, optional
        How many times as long each axis becomes; instead of ``size``.
    mode : {'nearest', 'nearest-exact', 'bilinear', 'linear', 'trilinear'}
    align_corners : bool, optional
        For straight lines: whether the first and last elements stay where they are, rather than the edges.

    Examples
    --------
    >>> import numpy as np
    >>> Upsample(scale_factor=2, mode="bilinear")(np.zeros((32, 16, 7, 7))).shape
    (32, 16, 14, 14)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise OptionError("Upsample: pass size or scale_factor, and not both")
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Array) -> Array:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)
