"""The type names that signatures use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Array", "ArrayT", "NDArray"]

#: An ndarray *or* a Tensor. Code with this type is plain NumPy and runs on either: NumPy's own
#: dispatch decides which, so no static type could say more.
Array: TypeAlias = Any

#: A NumPy array and nothing else.
NDArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: A Tensor or an ndarray; the result has the same type as this argument.
ArrayT = TypeVar("ArrayT", "Tensor", NDArray)
