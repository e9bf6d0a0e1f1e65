"""Arrays that are mostly zeros: gradients of tables of which a step reads a few rows, and SciPy's matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import CompileError, UnsupportedError
from .typing import NDArray

__all__ = ["SparseGradient", "SparseMatrix", "sum_rows"]


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


class SparseMatrix:
    """A matrix of ``scipy.sparse`` as an operand: NumPy's functions of products take it, and no others do.

    It speaks NumPy's protocols, so the rules of products run on it as on an array. It is a constant.

    Parameters
    ----------
    matrix : sparse array or matrix of SciPy, of two axes
    """

    ndim = 2

    def __init__(self, matrix: Any) -> None:
        if matrix.ndim != 2:
            raise UnsupportedError(
                f"a sparse array of shape {matrix.shape}: products take matrices of two axes"
            )
        self.matrix = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
        self.shape, self.dtype = matrix.shape, matrix.dtype

    @property
    def T(self) -> SparseMatrix:  # noqa: N802
        """The transposed matrix, which shares the memory."""
        return SparseMatrix(self.matrix.T)

    def __matmul__(self, other: Any) -> Any:
        return self._times(other) if issubclass(type(other), np.ndarray) else NotImplemented

    def _times(self, other: Any) -> NDArray:
        """Multiply by an array of one or two axes."""
        if other.ndim not in (1, 2):
            raise UnsupportedError(f"{self}, times an array of shape {other.shape}: give it one or two axes")
        if self.shape[1] != other.shape[0]:
            raise ValueError("the core dimensions differ")
        product: NDArray = self.matrix @ other
        return product

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if ufunc is not np.matmul or method != "__call__" or settings:
            raise self._refuse(f"np.{ufunc.__name__}")
        a, b = inputs
        self._refuse_programs(*inputs)
        return a @ b if a is self else (self.T @ a.T).T

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self._refuse_programs(*args)
        if func in _FUNCTIONS and not kwargs:
            return _FUNCTIONS[func](*args)
        raise self._refuse(f"np.{func.__name__}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        raise self._refuse("an array")

    def _refuse_programs(self, *operands: Any) -> None:
        """Refuse what stands for an array while a program is made of a function."""
        if any(hasattr(type(x), "__refuse__") for x in operands):
            raise CompileError(
                f"compile: {self}; a program multiplies arrays only. Run this function without compile, or give it "
                "X.toarray()"
            )

    def _refuse(self, what: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self} in {what}: it takes part in products only (X @ w, np.dot(X, w), nn.Linear); for anything else, "
            "write it out with X.toarray()"
        )

    def __repr__(self) -> str:
        return f"a sparse matrix of shape {self.shape}"


def _tensordot(a: Any, b: Any, axes: Any) -> Any:
    """Sum products over one axis of each."""
    (i,), (j,) = axes
    if isinstance(b, SparseMatrix):
        return np.moveaxis(a, i, -1) @ (b.T if j else b)
    return (a if i else a.T) @ np.moveaxis(b, j, 0)


def _reshape(x: SparseMatrix, shape: Any) -> SparseMatrix:
    """The same matrix, which is all that the rules of products ask for."""
    if tuple(shape) != x.shape:
        raise x._refuse("np.reshape")
    return x


_FUNCTIONS: dict[Any, Any] = {
    np.dot: lambda a, b: a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else a @ b,
    np.tensordot: _tensordot,
    np.swapaxes: lambda x, *axes: x.T,
    np.moveaxis: lambda x, *axes: x.T,
    np.transpose: lambda x, axes=(1, 0): x if tuple(axes) == (0, 1) else x.T,
    np.reshape: _reshape,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: 2,
}
