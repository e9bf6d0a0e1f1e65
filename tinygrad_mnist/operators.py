"""The operators and methods that a Tensor shares with ndarray.

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


def _operators(ufunc: np.ufunc) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Make the two methods behind an operator: ``tensor + other`` and ``other + tensor``."""

    def left(self: Any, other: Any) -> Any:
        handler = REGISTRY[ufunc]
        is_recorded = isinstance(handler, Primitive)
        return self.__primitive__(handler, (self, other), _NOTHING) if is_recorded else handler(self, other)

    def right(self: Any, other: Any) -> Any:
        handler = REGISTRY[ufunc]
        is_recorded = isinstance(handler, Primitive)
        return self.__primitive__(handler, (other, self), _NOTHING) if is_recorded else handler(other, self)

    return left, right


_EQUAL, _UNEQUAL = _operators(np.equal)[0], _operators(np.not_equal)[0]


class Operators:
    """Arithmetic, comparison, and ndarray's methods, for :class:`~tinygrad_mnist.tensor.Tensor`."""

    __slots__ = ()

    @staticmethod
    def __primitive__(primitive: Primitive, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Run an operation on Tensors; implemented by Tensor."""
        raise TypeError("only Tensor implements these operators")

    # -- arithmetic: with the Tensor on the left, and on the right ---------------------------------

    __add__, __radd__ = _operators(np.add)
    __sub__, __rsub__ = _operators(np.subtract)
    __mul__, __rmul__ = _operators(np.multiply)
    __truediv__, __rtruediv__ = _operators(np.divide)
    __floordiv__, __rfloordiv__ = _operators(np.floor_divide)
    __mod__, __rmod__ = _operators(np.remainder)
    __pow__, __rpow__ = _operators(np.power)
    __matmul__, __rmatmul__ = _operators(np.matmul)
    __and__, __rand__ = _operators(np.bitwise_and)
    __or__, __ror__ = _operators(np.bitwise_or)
    __xor__, __rxor__ = _operators(np.bitwise_xor)
    __lshift__, __rlshift__ = _operators(np.left_shift)
    __rshift__, __rrshift__ = _operators(np.right_shift)

    __neg__ = _method(np.negative)
    __pos__ = _method(np.positive)
    __abs__ = _method(np.absolute)
    __invert__ = _method(np.invert)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    # -- comparison: elementwise, untracked ------------------------------------------------------

    __lt__ = _operators(np.less)[0]
    __le__ = _operators(np.less_equal)[0]
    __gt__ = _operators(np.greater)[0]
    __ge__ = _operators(np.greater_equal)[0]

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None or isinstance(other, str) else _EQUAL(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None or isinstance(other, str) else _UNEQUAL(self, other)

    # -- ndarray's methods: each is the NumPy function of its name -------------------------------

    all = _method(np.all)
    any = _method(np.any)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    argpartition = _method(np.argpartition)
    argsort = _method(np.argsort)
    choose = _method(np.choose)
    clip = _method(np.clip)
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
        """The elements in one row, for reading; setting it sets all of them."""
        return _call(np.ravel, self)

    @flat.setter
    def flat(self: Any, values: Any) -> None:
        self.put(np.arange(self.size), values)

    def conjugate(self: Any) -> Tensor:
        """The complex conjugate; a Tensor of real numbers is returned as it is, as in NumPy."""
        return _call(np.conjugate, self) if self.dtype.kind == "c" else self

    conj = conjugate

    def flatten(self, order: Any = "C") -> Tensor:
        """The elements in one row; writing into it is allowed."""
        return _call(np.ravel, self, order=order)._unshared()

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


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = REGISTRY[function](*args, **kwargs)
    return result
