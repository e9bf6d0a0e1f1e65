"""Gradients of tables of which a step reads a few rows: those rows, and nothing for the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import UnsupportedError
from .typing import NDArray

__all__ = ["SparseGradient", "sum_rows"]


def sum_rows(values: NDArray, places: NDArray) -> tuple[NDArray, NDArray]:
    """Add up the rows of each place: pairs for one place are added, then pairs of these.

    Returns
    -------
    (places, sums)
        The places in order, each once.
    """
    order = np.argsort(places, kind="stable")
    places, values, at = places[order], values[order], np.arange(len(places))
    while (is_same := places[1:] == places[:-1]).any():
        number = np.arange(len(places))
        first = np.maximum.accumulate(np.where(np.concatenate([[True], ~is_same]), number, 0))
        is_even = (number - first) % 2 == 0
        left = np.flatnonzero(is_even[:-1] & is_same)
        values[at[left]] += values[at[left + 1]]
        places, at = places[is_even], at[is_even]
    return places, values if len(at) == len(values) else values[at]


class SparseGradient:
    """The gradient of a table, such as that of ``nn.Embedding(..., sparse=True)``: some rows; all others are 0.

    Attributes
    ----------
    rows : ndarray of int, shape (K,)
        The numbers of the rows, in order, each once.
    values : ndarray, shape (K, ...)
        Their gradients.
    shape : tuple of int
        That of the table.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> layer = tg.nn.Embedding(50_000, 2, sparse=True, rng=0)
    >>> layer(np.array([7, 3, 7])).sum().backward()
    >>> layer.weight.grad
    SparseGradient(2 of 50,000 rows, shape=(50000, 2), dtype=float32)
    >>> layer.weight.grad.rows, layer.weight.grad.values
    (array([3, 7]), array([[1., 1.], [2., 2.]], dtype=float32))
    >>> layer.weight.grad.toarray().sum()
    np.float32(6.0)
    """

    base = None  #: it owns its memory, as an array without a base does

    def __init__(self, rows: NDArray, values: NDArray, shape: tuple[int, ...]) -> None:
        self.rows, self.values = sum_rows(values, rows)
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.values.dtype

    def toarray(self) -> NDArray:
        """Write it out: an array of the table's shape."""
        out = np.zeros(self.shape, self.dtype)
        out[self.rows] = self.values
        return out

    def with_values(self, values: NDArray) -> SparseGradient:
        """The same rows with other values."""
        made = object.__new__(SparseGradient)
        made.rows, made.values, made.shape = self.rows, values, self.shape
        return made

    def astype(self, dtype: Any) -> SparseGradient:
        """Convert to another dtype."""
        return self.with_values(self.values.astype(dtype))

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, SparseGradient):
            return self.toarray() + other
        pairs = (self.rows, other.rows), (self.values, other.values)
        return SparseGradient(np.concatenate(pairs[0]), np.concatenate(pairs[1]), self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self.toarray() if dtype is None else self.toarray().astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if ufunc is np.add and method == "__call__" and not settings:
            return self + inputs[0]  # what came before was no SparseGradient, or __add__ had been called
        raise UnsupportedError(
            f"np.{ufunc.__name__} of a sparse gradient: write it out with grad.toarray(), or compute with its numbers "
            "in grad.values, which belong to the rows grad.rows; optimizers and clip_grad_norm_ take it as it is"
        )

    def __repr__(self) -> str:
        return f"SparseGradient({len(self.rows):,} of {self.shape[0]:,} rows, shape={self.shape}, dtype={self.dtype})"
