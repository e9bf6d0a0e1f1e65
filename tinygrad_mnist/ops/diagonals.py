"""Parts of matrices, and matrices made from parts: diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..primitive import Sample, implements
from ..tensor import forbid_writes
from ..typing import Array


@implements(
    np.diagonal,
    samples=[
        ((2, 3),),
        Sample((3, 2), offset=-1),
        Sample((2, 3, 4), offset=1, axis1=-1, axis2=0),
        Sample((2, 2), offset=5),
    ],
)
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements on a diagonal of two axes, along a new last axis."""
    # NumPy checks the axes and counts the elements, on an array that takes no memory.
    length = np.diagonal(np.broadcast_to(False, np.shape(a)), offset, axis1, axis2).shape[-1]
    rows = np.arange(length) + max(-offset, 0)
    return forbid_writes(np.moveaxis(np.moveaxis(a, (axis1, axis2), (0, 1))[rows, rows + offset], 0, -1))


@implements(np.linalg.diagonal, samples=[Sample((2, 3, 3), offset=-1)])
def _diagonal(x: Array, /, *, offset: int = 0) -> Array:
    return diagonal(x, offset, -2, -1)


@implements(
    np.trace, samples=[((3, 3),), Sample((2, 3, 2), offset=1, axis1=-1, axis2=1, dtype=np.complex128)]
)
def trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
    """Sum over a diagonal."""
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@implements(np.linalg.trace, samples=[Sample((2, 3, 3), offset=1)])
def _trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    return trace(x, offset, -2, -1, dtype)


@implements(
    np.diag,
    samples=[((3,),), Sample((2,), k=1), Sample((2,), k=-2), ((2, 3),), Sample((3, 2), k=-1)],
)
def diag(v: Array, k: int = 0) -> Array:
    """A diagonal of a matrix, or the matrix with a vector on a diagonal and zeros elsewhere."""
    if np.ndim(v) == 2:
        return diagonal(v, k)
    if np.ndim(v) != 1:
        raise ShapeError(f"diag: shape {np.shape(v)}; pass a vector or a matrix; np.diagonal takes more axes")
    return diagflat(v, k)


@implements(np.diagflat, samples=[((2, 2),), Sample((), k=1), Sample((2,), k=-1)])
def diagflat(v: Array, k: int = 0) -> Array:
    """The matrix with all elements on a diagonal."""
    v = np.ravel(v)
    padded = np.concatenate([v, np.zeros(abs(k), v.dtype)])
    here = np.eye(len(padded), k=k, dtype=bool)
    return np.where(here, np.expand_dims(padded, 1) if k > 0 else padded, np.zeros(1, v.dtype))


_TRIANGLES = [((3, 3),), Sample((2, 2, 3), k=1), Sample((3, 2), k=-1), ((2,),)]


@implements(np.tril, samples=_TRIANGLES)
def tril(m: Array, k: int = 0) -> Array:
    """The lower triangle, zeros above the diagonal ``k``."""
    return np.where(triangle(m, k), m, np.zeros(1, m.dtype))


@implements(np.triu, samples=_TRIANGLES)
def triu(m: Array, k: int = 0) -> Array:
    """The upper triangle, zeros below the diagonal ``k``."""
    return np.where(triangle(m, k - 1), np.zeros(1, m.dtype), m)


def triangle(m: Array, k: int) -> Array:
    """A mask of the lower triangle up to and including diagonal ``k``; a vector stands for a square matrix."""
    shape = np.shape(m)
    if not shape:
        raise ShapeError(
            "tril, triu: pass a matrix, or a vector that stands for its rows; a scalar has no triangle"
        )
    return np.tri(shape[-2:][0], shape[-1], k=k, dtype=bool)
