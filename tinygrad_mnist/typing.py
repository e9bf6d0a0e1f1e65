"""The type names that signatures use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Array", "ArrayT", "NDArray"]

#: An ndarray *or* a Tensor. Code typed so is plain NumPy and runs on either: NumPy's own
#: dispatch decides which, so no static type says more than this one does.
Array: TypeAlias = Any

#: A NumPy array and nothing else.
NDArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: A Tensor or an ndarray, and the result is what this argument is.
ArrayT = TypeVar("ArrayT", "Tensor", NDArray)
