"""NumPy's functions that make an array of numbers, lists and arrays.

They turn whatever they get into plain arrays, Tensors too, unless one is named with ``like=``:
``np.array([a, 2 * b], like=a)`` asks for an array like ``a``, which is a Tensor, and keeps the
gradients of ``a`` and ``b``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..primitive import Sample, implements
from ..typing import Array
from .arguments import lift

_NESTED = Sample((2,), (), prepare=lambda a, b: ([[a[0], a[1]], [b, 2.0]],))


@implements(np.array, samples=[_NESTED, Sample((3,), ndmin=2), Sample((2, 2), complex=True)])
def array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0
) -> Array:
    """A Tensor of anything made of numbers, arrays and Tensors."""
    if copy is False:
        raise UnsupportedError(
            "array: copy=False is not supported on a Tensor; np.asarray copies only where it must"
        )
    return _shaped(np.copy(lift(object)) if copy else lift(object), dtype, ndmin)


@implements(np.asarray, np.asanyarray, samples=[_NESTED, Sample((2, 3))])
def asarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None) -> Array:
    """A Tensor of anything, itself if it is one."""
    return array(a, dtype, copy=copy)


@implements(np.ascontiguousarray, np.asfortranarray, samples=[Sample((2, 3)), Sample(())])
def ascontiguousarray(a: Any, dtype: Any = None) -> Array:
    """A Tensor of one axis at the least; how it lies in memory is its own affair."""
    return array(a, dtype, copy=None, ndmin=1)


@implements(
    np.full, samples=[Sample((), prepare=lambda x: ((2, 3), x)), Sample((3,), prepare=lambda x: ((2, 3), x))]
)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Array:
    """One value, or values that are broadcast, in an array of a given shape."""
    return np.copy(np.broadcast_to(_shaped(lift(fill_value), dtype, 0), shape))


def _shaped(x: Any, dtype: Any, ndmin: int) -> Any:
    x = x if dtype is None else x.astype(dtype)
    return np.reshape(x, (1,) * (ndmin - x.ndim) + x.shape) if ndmin > x.ndim else x
