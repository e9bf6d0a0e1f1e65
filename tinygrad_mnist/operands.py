"""What an operation can compute with, and the kinds of array that it refuses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .errors import UnsupportedError
from .trees import leaves

__all__ = ["as_array", "operand"]

_PYTHON = (float, int, complex, list, tuple)


def operand(x: Any) -> Any:
    """Return what an operation can compute with: of a list an array, anything else as it is.

    Raises
    ------
    UnsupportedError
        For the kinds of array whose arithmetic is another than an ndarray's: masked ones, matrices.
    """
    if isinstance(x, (list, tuple)):
        for part in leaves(x):
            if isinstance(part, np.ndarray):
                operand(part)
        return np.asarray(x)
    masked = sys.modules.get("numpy.ma")  # which NumPy imports only where somebody uses it
    if masked is not None and isinstance(x, masked.MaskedArray):
        raise UnsupportedError(
            f"a masked array of shape {x.shape} was given; its mask would be lost, here or in the gradient. Say what "
            "the masked elements count as, with array.filled(value), or keep the mask apart and choose with "
            "np.where(mask, value, ...)"
        )
    if isinstance(x, np.matrix):
        raise UnsupportedError(
            f"an np.matrix of shape {x.shape} was given, whose * is a product of matrices; pass np.asarray(matrix), "
            "and multiply matrices with @"
        )
    return x


def as_array(x: Any) -> Any:
    """Return an array of a number or a list; what is an array already, or stands for one, as it is."""
    return x if type(x) is np.ndarray else np.asarray(operand(x)) if type(x) in _PYTHON else operand(x)
