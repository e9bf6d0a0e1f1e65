"""Rows of a table, by number: the vectors of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, ShapeError
from ..tensor import refuse
from ..typing import Array, ArrayT
from .arguments import array, untracked

__all__ = ["embedding"]


def embedding(input: Any, weight: ArrayT, padding_idx: int | None = None) -> ArrayT:
    r"""Take the row of each index.

    Parameters
    ----------
    input : array of int, of any shape
        Each in [0, rows).
    weight : Tensor or array, shape (rows, features)
    padding_idx : int, optional
        The index of a row that gets no gradient; a negative one counts from the end.

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
    y = weight[indices]
    if padding_idx is None:
        return y
    if not -rows <= padding_idx < rows:
        raise OptionError(f"embedding: padding_idx={padding_idx} is out of range; there are {rows} rows")
    is_padding: Array = (indices == padding_idx % rows)[..., None]
    chosen: Any = np.where(is_padding, untracked(y), y)
    return chosen
