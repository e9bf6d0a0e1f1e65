"""The operands that an operation accepts, the kinds of array that it refuses, and sources of random numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .errors import OptionError, ShapeError, UnsupportedError, pluralise
from .sparse import SparseMatrix
from .trees import leaves

__all__ = ["alike", "as_array", "asarray", "generator", "operand"]

_PYTHON = (float, int, complex, list, tuple)


def operand(x: Any) -> Any:
    """Return an operand for an operation: a list becomes an array, a sparse matrix is wrapped.

    What NumPy can only convert, such as a table of pandas or a Tensor of PyTorch, becomes an array, too. All else is
    unchanged: numbers, and the arrays of libraries that follow NumPy's protocols.

    Raises
    ------
    UnsupportedError
        For arrays with an arithmetic of their own: masked arrays and matrices.
    ShapeError
        For a list of rows that differ in length.
    """
    if isinstance(x, np.generic):
        return x
    if isinstance(x, (list, tuple)):
        for part in leaves(x):
            if isinstance(part, np.ndarray):
                operand(part)
        try:
            return np.asarray(x)
        except ValueError as error:
            if "inhomogeneous" not in str(error):
                raise
            rows = pluralise(len(x), "row")
            raise ShapeError(f"{rows} that differ in length or depth make no array") from None
    masked = sys.modules.get("numpy.ma")  # NumPy imports it only when somebody uses it
    if masked is not None and isinstance(x, masked.MaskedArray):
        raise UnsupportedError(
            f"a masked array of shape {x.shape} was given, but its mask would be lost, here or in the gradient. Give "
            "the masked elements a value with array.filled(value), or keep the mask separately and choose with "
            "np.where(mask, value, ...)"
        )
    if isinstance(x, np.matrix):
        raise UnsupportedError(
            f"an np.matrix of shape {x.shape} was given, whose * is a matrix product; pass np.asarray(matrix), "
            "and multiply matrices with @"
        )
    if hasattr(x, "tocsr"):
        return SparseMatrix(x)
    return np.asarray(x) if hasattr(x, "__array__") and not hasattr(x, "__array_function__") else x


def asarray(x: Any, dtype: Any = None, *, copy: bool = False) -> Any:
    """``np.asarray``; an array of another library that NumPy may not convert, such as CuPy's, stays what it is."""
    try:
        return np.array(x, dtype) if copy else np.asarray(x, dtype)
    except TypeError:
        if hasattr(x, "__array_function__") and hasattr(x, "astype"):
            return x.astype(x.dtype if dtype is None else dtype, copy=copy)
        raise


def alike(values: list[Any]) -> bool:
    """Make NumPy's arrays in a list arrays of another library, if there is one of such among them; say whether."""
    other = next(
        (x for x in values if hasattr(x, "__array_function__") and not isinstance(x, np.ndarray)), None
    )
    if not hasattr(other, "astype"):
        return False
    values[:] = [np.asarray(x, like=other) if isinstance(x, np.ndarray) else x for x in values]
    return True


def as_array(x: Any) -> Any:
    """Turn a number or a list into an array; return an array, or a stand-in for one, unchanged."""
    return x if type(x) is np.ndarray else np.asarray(operand(x)) if type(x) in _PYTHON else operand(x)


def generator(rng: Any) -> np.random.Generator:
    """Return a Generator unchanged, or make one from a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise OptionError(
            f"rng = {rng!r} is neither a numpy.random.Generator nor a seed, which is an integer, 0 or more"
        ) from None
