"""Layers that drop a random share of their input while they are trained."""

from __future__ import annotations

import numpy as np

from ...errors import OptionError
from ...typing import Array
from .. import functional as F  # noqa: N812
from ..module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Set a random share of the elements to zero during training; see :func:`~tinygrad_mnist.nn.functional.dropout`.

    Parameters
    ----------
    p : float in [0, 1)
        The share of elements to zero.
    rng : numpy.random.Generator or seed
        Source of the random numbers, used in each call.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        if not 0 <= p < 1:
            raise OptionError(f"Dropout: p = {p!r} is not a probability in [0, 1)")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Array) -> Array:
        return F.dropout(x, self.p, rng=self.rng, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.p}"
