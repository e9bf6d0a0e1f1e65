"""Conversion of NumPy's other arguments: numbers, lists, and lists that contain Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError
from ..operands import asarray, operand
from ..tensor import Tensor
from ..typing import Array, NDArray


def lift(x: Any) -> Tensor:
    """Return a Tensor, made from an array, a number or a list if necessary."""
    x = gather(x)
    return x if isinstance(x, Tensor) else Tensor(x)


def gather(x: Any) -> Any:
    """Join a list that contains Tensors, at any depth, into one Tensor; return anything else unchanged."""
    if isinstance(x, (list, tuple)):
        parts = [gather(part) for part in x]
        if any(isinstance(part, Tensor) for part in parts):
            return np.stack(parts)
    return x if isinstance(x, (Tensor, list, tuple)) else operand(x)


def bare(x: Any) -> Any:
    """Return the array of a Tensor that selects elements; return anything else unchanged."""
    return x.data if isinstance(x, Tensor) else x


def plain(x: Any) -> NDArray:
    """The values of an array or a Tensor, for questions that have no gradient."""
    x = x.data if isinstance(x, Tensor) else operand(x)
    values: NDArray = x if isinstance(x, np.ndarray) else asarray(x)
    return values


def beside(x: Array, constant: NDArray) -> NDArray:
    """A constant to compute with beside ``x``: an array of another library, if ``x`` is one."""
    if not is_foreign(x) or is_foreign(constant):
        return constant
    return np.asarray(constant, like=x._array if isinstance(x, Tensor) else x)


def is_foreign(x: Array) -> bool:
    """Whether this is an array of another library, such as CuPy, or a Tensor of one."""
    x = x._array if isinstance(x, Tensor) else x
    return not isinstance(x, np.ndarray) and hasattr(x, "__array_function__")


def untracked(x: Array) -> Array:
    """The same numbers, through which no gradient passes."""
    return x.detach() if isinstance(x, Tensor) else x


def array(x: Any, dtype: Any = None) -> Array:
    """``x`` as an array, or as a Tensor if it is or contains one; in another dtype if one is given."""
    x = gather(x)
    if not isinstance(x, (Tensor, np.ndarray)):
        return asarray(x, dtype)
    return x if dtype is None or x.dtype == dtype else x.astype(dtype)


def is_tracked(*arrays: Any) -> bool:
    """Whether operations on these are recorded."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in arrays)


def places(x: Any) -> NDArray:
    """Return indices as integers; NumPy converts the numbers of a list, but not those of an array."""
    if hasattr(x, "dtype"):
        return plain(x).astype(np.intp, casting="same_kind", copy=False)
    return np.array(x, np.intp)


def refuse_to_round(name: str, dtype: np.dtype[Any], *values: Any) -> None:
    """Raise an error if tracked values would be written into integers, which have no gradient."""
    if dtype.kind not in "fc" and is_tracked(*values):
        raise DTypeError(
            f"{name}: a value is tracked, and its gradient would be lost in an array of {dtype}; "
            "convert the array with .astype(float) first"
        )
