"""Layers that disturb their input at random while they are trained."""

from __future__ import annotations

import numpy as np

from ...errors import OptionError, ShapeError
from ...operands import generator
from ...typing import Array
from .. import functional as F  # noqa: N812
from ..module import Module
from .arguments import probability

__all__ = ["Dropout", "Dropout2d", "GaussianNoise"]


class Dropout(Module):
    """Set a random share of the elements to zero during training; see :func:`~tinygrad_mnist.nn.functional.dropout`.

    Parameters
    ----------
    p : float in [0, 1)
        The share of elements to zero.
    rng : numpy.random.Generator or seed
        Source of the random numbers, used in each call.

    Examples
    --------
    >>> layer = Dropout(0.5, rng=0)
    >>> layer(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> layer.eval()(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        self.p = probability(type(self).__name__, "p", p)
        self.rng = generator(rng)

    def forward(self, x: Array) -> Array:
        return F.dropout(x, self.p, rng=self.rng, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.p}"


class Dropout2d(Dropout):
    """Set a random share of the channels to zero during training, all elements of a channel together [1]_.

    Parameters are those of :class:`Dropout`. Its input has the shape (N, C, H, W), or another that begins so.

    References
    ----------
    .. [1] J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Examples
    --------
    >>> y = Dropout2d(0.5, rng=0)(np.ones((1, 4, 2, 2)))
    >>> y.reshape(4, 4).tolist()
    [[2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]
    """

    def forward(self, x: Array) -> Array:
        if not self.training or not self.p:
            return x
        if x.ndim < 3:
            raise ShapeError(
                f"expects an input of shape (N, C, …), got {x.shape}; nn.Dropout drops single elements"
            )
        ones = np.ones((*x.shape[:2], *(1,) * (x.ndim - 2)), x.dtype)
        return x * F.dropout(ones, self.p, rng=self.rng)


class GaussianNoise(Module):
    """Add random numbers to all elements during training: a mean of zero, and a given standard deviation.

    Parameters
    ----------
    std : float, default 0.1
        The standard deviation, in the unit of the input.
    rng : numpy.random.Generator or seed
        Source of the random numbers, used in each call.

    Raises
    ------
    OptionError
        If the standard deviation is negative, or no finite number.

    Examples
    --------
    >>> layer = GaussianNoise(0.5, rng=0)
    >>> layer(np.ones(4, np.float32))
    array([1.558811  , 0.30643755, 0.7867142 , 0.5982064 ], dtype=float32)
    >>> layer.eval()(np.ones(4, np.float32))
    array([1., 1., 1., 1.], dtype=float32)
    """

    def __init__(self, std: float = 0.1, *, rng: np.random.Generator | int | None = None) -> None:
        if not 0 <= std < np.inf:
            raise OptionError(f"GaussianNoise: std is a standard deviation, from 0; got {std!r}")
        self.std = float(std)
        self.rng = generator(rng)

    def forward(self, x: Array) -> Array:
        if not self.training or not self.std:
            return x
        is_double = x.dtype.itemsize > 4
        noise = self.rng.standard_normal(x.shape, dtype=np.float64 if is_double else np.float32)
        return x + noise * self.std

    def extra_repr(self) -> str:
        return f"{self.std:g}"
