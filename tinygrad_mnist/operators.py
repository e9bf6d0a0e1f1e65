"""The operators and methods that a Tensor shares with ndarray, written out by hand.

Each is a call of the NumPy function with the same meaning, looked up directly where NumPy's dispatch
would end. (NumPy's ``NDArrayOperatorsMixin`` would break hashing and in-place operators.)
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


def _method(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Make a method that calls a NumPy function with the Tensor as its first argument."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            return self.__array_function__(function, (), (self, *args), kwargs)
        return REGISTRY[function](self, *args, **kwargs)

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = f"As :func:`numpy.{function.__name__}`."
    return method


class Operators:
    """Arithmetic, comparison, and ndarray's methods, for :class:`~tinygrad_mnist.tensor.Tensor`."""

    __slots__ = ()

    @staticmethod
    def __primitive__(primitive: Primitive, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Run an operation on Tensors; implemented by Tensor."""
        raise TypeError("only Tensor implements these operators")

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

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __lshift__(self, other: Any) -> Tensor:
        return _binary(np.left_shift, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return _binary(np.left_shift, other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return _binary(np.right_shift, self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return _binary(np.right_shift, other, self)

    # -- ndarray's methods: each is the NumPy function of its name -------------------------------

    all = _method(np.all)
    any = _method(np.any)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    argpartition = _method(np.argpartition)
    argsort = _method(np.argsort)
    choose = _method(np.choose)
    clip = _method(np.clip)
    conj = _method(np.conjugate)
    conjugate = _method(np.conjugate)
    cumprod = _method(np.cumprod)
    cumsum = _method(np.cumsum)
    diagonal = _method(np.diagonal)
    dot = _method(np.dot)
    max = _method(np.max)
    mean = _method(np.mean)
    min = _method(np.min)
    nonzero: Callable[..., tuple[Tensor, ...]] = _method(np.nonzero)  # type: ignore[assignment]
    prod = _method(np.prod)
    ravel = _method(np.ravel)
    repeat = _method(np.repeat)
    round = _method(np.round)
    searchsorted = _method(np.searchsorted)
    squeeze = _method(np.squeeze)
    std = _method(np.std)
    sum = _method(np.sum)
    swapaxes = _method(np.swapaxes)
    take = _method(np.take)
    trace = _method(np.trace)
    var = _method(np.var)

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The axes reversed."""
        return _call(np.transpose, self)

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The last two axes swapped."""
        return _call(np.matrix_transpose, self)

    @property
    def real(self) -> Tensor:
        """The real part."""
        return _call(np.real, self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return _call(np.imag, self)

    @property
    def flat(self) -> Tensor:
        """The elements in one row, for reading; to write, assign to ``t[...]``."""
        return _call(np.ravel, self)

    def flatten(self, order: Any = "C") -> Tensor:
        """The elements in one row; writing into it is allowed."""
        row = _call(np.ravel, self, order=order)
        row._owners = ()
        return row

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        """Reshape like :func:`numpy.reshape`; the shape is one tuple or several integers."""
        return _call(np.reshape, self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes like :func:`numpy.transpose`; they are one tuple or several integers."""
        return _call(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        """As :func:`numpy.compress`."""
        return _call(np.compress, condition, self, axis=axis)

    # -- ndarray's in-place methods: the handle is bound to the result ------------

    def sort(self, axis: int = -1, **how: Any) -> None:
        """Sort in place, like :meth:`numpy.ndarray.sort`."""
        self._write(_call(np.sort, self, axis=axis, **how))

    def partition(self, kth: Any, axis: int = -1, **how: Any) -> None:
        """Partition in place, like :meth:`numpy.ndarray.partition`."""
        self._write(_call(np.partition, self, kth, axis=axis, **how))

    def fill(self, value: Any) -> None:
        """Set all elements to one value."""
        self[...] = value  # type: ignore[index]

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Set elements of the flattened array, like :func:`numpy.put`."""
        _call(np.put, self, indices, values, mode=mode)

    def _write(self, new: Any) -> Any:
        """Make this handle stand for another value, unless it is a part of another Tensor; implemented by Tensor."""
        raise TypeError("only Tensor implements these operators")


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
