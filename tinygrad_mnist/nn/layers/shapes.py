"""Layers that only change the shape of their input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...errors import OptionError, ShapeError
from ...typing import Array
from ..module import Module

__all__ = ["Flatten", "Identity", "Unflatten"]


class Flatten(Module):
    """Flatten all axes except the first: ``(N, 28, 28)`` becomes ``(N, 784)``.

    Examples
    --------
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    def forward(self, x: Array) -> Array:
        return np.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Identity(Module):
    """The input itself, in the place of a layer that is left out.

    Examples
    --------
    >>> Identity()(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    def forward(self, x: Array) -> Array:
        return x


class Unflatten(Module):
    """Split one axis into several: the inverse of :class:`Flatten`.

    Parameters
    ----------
    dim : int
        The axis; a negative one counts from the end.
    unflattened_size : sequence of int
        The lengths of the axes in its place. One of them may be -1, which stands for what is left.

    Examples
    --------
    >>> Unflatten(1, (1, 28, 28))(np.zeros((5, 784))).shape
    (5, 1, 28, 28)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        sizes = tuple(unflattened_size) if np.iterable(unflattened_size) else ()
        if (
            not sizes
            or not all(isinstance(n, (int, np.integer)) and n >= -1 for n in sizes)
            or sizes.count(-1) > 1
        ):
            raise OptionError(
                f"Unflatten: {unflattened_size!r} are not the lengths of axes; pass them as in (1, 28, 28)"
            )
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, x: Array) -> Array:
        if not -x.ndim <= self.dim < x.ndim:
            raise ShapeError(f"an input of shape {x.shape} has no axis {self.dim}")
        axis, known = self.dim % x.ndim, math.prod(n for n in self.unflattened_size if n != -1)
        is_exact = -1 not in self.unflattened_size
        if x.shape[axis] != known if is_exact else not known or x.shape[axis] % known:
            raise ShapeError(
                f"axis {axis} of an input of shape {x.shape} has the length {x.shape[axis]}, which is not "
                + (f"the product, {known}" if is_exact else f"a multiple of {known}")
            )
        return np.reshape(x, (*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))
