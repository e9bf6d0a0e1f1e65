"""The operators and methods a Tensor shares with ndarray, written out by hand.

Each is a call of the NumPy function of the same meaning, looked up where NumPy's own dispatch would
end up, without the detour. (NumPy's ``NDArrayOperatorsMixin`` would break hashing and in-place
operators.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .primitive import REGISTRY, Primitive

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Operators"]

_NOTHING: dict[str, Any] = {}


class Operators:
    """Arithmetic, comparison, and ndarray's methods, for :class:`~tinygrad_mnist.tensor.Tensor`."""

    __slots__ = ()

    @staticmethod
    def __primitive__(primitive: Primitive, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Run an operation on Tensors; Tensor says how."""
        raise TypeError("Operators are those of a Tensor")

    # -- arithmetic ------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _binary(np.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(np.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(np.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(np.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(np.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(np.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(np.divide, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _binary(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _binary(np.floor_divide, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _binary(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _binary(np.remainder, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _binary(np.power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(np.power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _binary(np.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(np.matmul, other, self)

    def __neg__(self) -> Tensor:
        return _call(np.negative, self)

    def __pos__(self) -> Tensor:
        return _call(np.positive, self)

    def __abs__(self) -> Tensor:
        return _call(np.absolute, self)

    # -- comparison: elementwise, untracked ------------------------------------------------------

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None else _binary(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None else _binary(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _binary(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _binary(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _binary(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _binary(np.greater_equal, self, other)

    def __invert__(self) -> Tensor:
        return _call(np.invert, self)

    def __and__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_and, other, self)

    def __or__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_or, other, self)

    def __xor__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return _binary(np.bitwise_xor, other, self)

    # -- ndarray's methods -----------------------------------------------------------------------

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The axes reversed."""
        return _call(np.transpose, self)

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The last two axes swapped."""
        return _call(np.swapaxes, self, -1, -2)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.sum`."""
        return _call(np.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.mean`."""
        return _call(np.mean, self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.prod`."""
        return _call(np.prod, self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.max`."""
        return _call(np.max, self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.min`."""
        return _call(np.min, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.var`."""
        return _call(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.std`."""
        return _call(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """As :func:`numpy.cumsum`."""
        return _call(np.cumsum, self, axis=axis)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.argmax`; untracked."""
        return _call(np.argmax, self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.argmin`; untracked."""
        return _call(np.argmin, self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.all`; untracked."""
        return _call(np.all, self, axis=axis, keepdims=keepdims)

    def any(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """As :func:`numpy.any`; untracked."""
        return _call(np.any, self, axis=axis, keepdims=keepdims)

    def round(self, decimals: int = 0) -> Tensor:
        """As :func:`numpy.round`; untracked."""
        return _call(np.round, self, decimals)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """As :func:`numpy.clip`."""
        return _call(np.clip, self, min, max)

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """As :func:`numpy.reshape`; the shape as one tuple or as several integers."""
        return _call(np.reshape, self, shape[0] if len(shape) == 1 else shape, order=order)

    def ravel(self, order: str = "C") -> Tensor:
        """As :func:`numpy.ravel`."""
        return _call(np.reshape, self, -1, order=order)

    flatten = ravel

    def transpose(self, *axes: Any) -> Tensor:
        """As :func:`numpy.transpose`; the axes as one tuple or as several integers."""
        return _call(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """As :func:`numpy.swapaxes`."""
        return _call(np.swapaxes, self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        """As :func:`numpy.squeeze`."""
        return _call(np.squeeze, self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """As :func:`numpy.repeat`."""
        return _call(np.repeat, self, repeats, axis=axis)

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """As :func:`numpy.take`."""
        return _call(np.take, self, indices, axis=axis)

    def dot(self, other: Any) -> Tensor:
        """As :func:`numpy.dot`."""
        return _call(np.dot, self, other)


def _binary(ufunc: Any, a: Any, b: Any) -> Tensor:
    handler = REGISTRY[ufunc]
    tensor = a if isinstance(a, Operators) else b
    result: Tensor = (
        tensor.__primitive__(handler, (a, b), _NOTHING) if isinstance(handler, Primitive) else handler(a, b)
    )
    return result


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = REGISTRY[function](*args, **kwargs)
    return result
