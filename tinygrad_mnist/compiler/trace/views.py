"""NumPy's many functions that return views, expressed by the few that programs know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..instructions import getitem

__all__ = ["VIEWS"]

View = tuple[Any, Any, Any]


def _transposing(func: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> View:
    # Find out which axis went where, with an array whose strides identify the axes.
    probe = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), a.shape, range(1, a.ndim + 1))
    axes = tuple(stride - 1 for stride in func(probe, *args, **kwargs).strides)
    return np.transpose, axes, func(a, *args, **kwargs)


def _reshaping(func: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> View:
    value = func(a, *args, **kwargs)
    return np.reshape, value.shape, value


def _broadcasting(func: Callable[..., Any], a: Any, shape: Any, subok: bool = False) -> View:
    value = np.broadcast_to(a, shape)
    return np.broadcast_to, value.shape, value


def _reversing(func: Callable[..., Any], a: Any, axis: Any = None) -> View:
    value = func(a, axis) if func is np.flip else func(a)
    axis = {np.fliplr: 1, np.flipud: 0}.get(func, axis)
    axes = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    turned = {int(i) % max(a.ndim, 1) for i in axes}
    return getitem, tuple(slice(None, None, -1 if i in turned else None) for i in range(a.ndim)), value


#: For each function, a function of ``(function, array, ...)`` that returns the program's instruction, its one
#: argument (axes, a shape or an index) and the result.
VIEWS: dict[Any, Callable[..., View]] = {
    np.broadcast_to: _broadcasting,
    **dict.fromkeys((np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose), _transposing),
    **dict.fromkeys((np.reshape, np.ravel, np.expand_dims, np.squeeze), _reshaping),
    **dict.fromkeys((np.atleast_1d, np.atleast_2d, np.atleast_3d), _reshaping),
    **dict.fromkeys((np.flip, np.fliplr, np.flipud), _reversing),
}
