"""Rows of a table, by number: the vectors of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError
from ..primitive import Sample, primitive
from ..sparse import SparseGradient
from ..tensor import refuse
from ..typing import Array, ArrayT, NDArray
from .arguments import array, untracked
from .indexing import HOLE, scatter

__all__ = ["embedding"]


@primitive(samples=[Sample((4, 2), np.array([[2, 0], [2, 1]]))], jvp="linear")
def look_up(table: Array, rows: NDArray, /) -> Array:
    """``table[rows]``, with a gradient of these rows only."""
    return table[rows]


def look_up_rule(g: Array, y: Array, table: Array, rows: NDArray) -> Array:
    """The gradient of the rows; written out if it is recorded or complex, or becomes part of a program."""
    if type(g) is not np.ndarray or g.dtype.kind == "c":
        return scatter(g, rows, index=HOLE, shape=table.shape)
    return SparseGradient(np.reshape(rows, -1), np.reshape(g, (rows.size, *table.shape[1:])), table.shape)


look_up.vjp(look_up_rule, None)


def embedding(input: Any, weight: ArrayT, padding_idx: int | None = None, *, sparse: bool = False) -> ArrayT:
    r"""Take the row of each index.

    Parameters
    ----------
    input : array of int, of any shape
        Each in [0, rows).
    weight : Tensor or array, shape (rows, features)
    padding_idx : int, optional
        The index of a row that gets no gradient; a negative one counts from the end.
    sparse : bool, default False
        Whether a parameter's gradient holds the rows that were taken and no others: a
        :class:`~tinygrad_mnist.sparse.SparseGradient`, in time that does not grow with the number of rows.

    Returns
    -------
    Tensor or array, shape (\*input.shape, features)

    Raises
    ------
    DTypeError, OptionError
        If an index is not an integer, or out of range.

    Examples
    --------
    >>> embedding(np.array([2, 0]), np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]]))
    array([[2. , 2.1],
           [0. , 0.1]])
    """
    weight, indices = array(weight), array(input)
    if weight.ndim != 2:
        raise ShapeError(f"embedding: a weight of shape {weight.shape}; expected (rows, features)")
    if indices.dtype.kind not in "iu":
        raise DTypeError(
            f"embedding: indices must be integers, not {indices.dtype}; the indices come first, as in "
            "embedding(words, weight)"
        )
    rows = len(weight)
    if indices.size:
        refuse(
            indices.astype(np.uint64).max() >= rows,  # a negative index becomes a huge number
            lambda: OptionError(
                f"embedding: indices from {int(indices.min())} to {int(indices.max())} are out of range; there are "
                f"{rows} rows, 0 to {rows - 1}"
            ),
            f"embedding: an index is out of range; there are {rows} rows, 0 to {rows - 1}",
        )
    y = look_up(weight, indices) if sparse else weight[indices]
    if padding_idx is None:
        return y
    if not -rows <= padding_idx < rows:
        raise OptionError(f"embedding: padding_idx={padding_idx} is out of range; there are {rows} rows")
    is_padding: Array = (indices == padding_idx % rows)[..., None]
    chosen: Any = np.where(is_padding, untracked(y), y)
    return chosen
