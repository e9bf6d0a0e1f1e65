"""Layers that only change the shape of their input."""

from __future__ import annotations

import math

import numpy as np

from ...typing import Array
from ..module import Module

__all__ = ["Flatten"]


class Flatten(Module):
    """Flatten all axes except the first: ``(N, 28, 28)`` becomes ``(N, 784)``."""

    def forward(self, x: Array) -> Array:
        return np.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
