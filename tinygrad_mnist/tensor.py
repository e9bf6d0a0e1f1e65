"""The handle users hold: a NumPy array that remembers how it was computed.

A :class:`Tensor` is two slots, the array and the :class:`~tinygrad_mnist.graph.Node` it came from.
It implements NumPy's dispatch protocols, so NumPy is its operator namespace: ``np.exp(t)`` finds
the registered primitive, :func:`record` runs it and leaves a node behind.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

import numpy as np

from .errors import DTypeError, GradientError, LostGradientWarning, ShapeError, UnsupportedError, pluralise
from .graph import COUNTS, RECORDING, SCOPE, TRACING, WATCH, Node, changed, deriving, scope_text, sweep
from .operands import alike, asarray, operand
from .operators import Operators
from .origins import assigns_element, users_line, warn
from .primitive import REGISTRY, Primitive, pick
from .sparse import SparseGradient
from .trees import leaves, tree_map
from .typing import Array, NDArray

__all__ = [
    "Tensor", "buffer", "certainly", "forbid_writes", "is_known", "part_of", "possibly", "qualified", "record",
    "refuse", "tensor", "unshared",
]  # fmt: skip

if TYPE_CHECKING:

    class Unknown(np.object_):  # type: ignore[misc]  # final, which only mypy minds
        """The element type for type checkers: NumPy's stubs would otherwise say that ``np.mean(t)`` is a number."""

        def __getattr__(self, name: str) -> Any: ...


def _in_place(compute: Callable[[Any, Any], Any]) -> Callable[..., Tensor]:
    """Make the method behind an in-place operator such as ``t += other``."""

    def method(self: Any, other: Any) -> Any:
        # For `t[0] += 5`, Python adds to a part that nobody else holds, and then assigns that to `t[0]`.
        if hasattr(self, "_owners") and not (assigns_element() and sys.getrefcount(self) <= _UNSHARED):
            self._refuse_part()
        return self._rebind(compute(self, other))

    return method


class _Probe:
    """Finds out how many references Python counts in ``method`` above, if nobody else holds the part."""

    def __getitem__(self, index: Any) -> _Probe:
        return _Probe()

    def __setitem__(self, index: Any, value: int) -> None:
        self.count = value

    def __iadd__(self, other: Any) -> Any:
        return sys.getrefcount(self)


_probe = _Probe()
_probe[0] += 0
_UNSHARED = _probe.count


class Tensor(Operators):
    """An array that records what is computed from it.

    Parameters
    ----------
    data : array_like
        Numbers. An ndarray is not copied unless ``requires_grad`` is set: a leaf owns its memory.
    requires_grad : bool, default False
        Whether to record the operations on this Tensor, so that :meth:`backward` stores a
        gradient here.

    Raises
    ------
    DTypeError
        If ``data`` is not numeric, or if a gradient is required of integers or booleans.

    See Also
    --------
    tensor : always copies, and takes a dtype.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = np.sum(x**2)
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_array", "_node", "_owners")

    _array: NDArray
    _node: Node | None
    #: The Tensors that this one may be a part of, or None if NumPy forbids writing here. Most Tensors do not have it.
    _owners: tuple[ref[Tensor], ...] | None

    def __init__(self, data: Any, *, requires_grad: bool = False) -> None:
        self._array = _numbers(data)
        self._node = None
        if requires_grad:
            self.requires_grad = True

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def data(self) -> NDArray:
        """The values, as a read-only view that never copies."""
        view = self._array.view()
        if view.__class__ is np.ndarray:  # other libraries have no such flag
            view.flags.writeable = False
        return view

    @data.setter
    def data(self, value: Any) -> None:
        raise read_only_data()

    @property
    def node(self) -> Node | None:
        """The node of the graph that this Tensor stands for; ``None`` if it is untracked."""
        return self._node

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def nbytes(self) -> int:
        """Bytes the elements take."""
        return self._array.nbytes

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded.

        Setting it to ``True`` turns an untracked Tensor into a leaf; setting it to ``False`` turns a
        leaf into a constant.
        """
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._node is None:
            if self._array.dtype.kind not in "fc":
                raise DTypeError(
                    f"a Tensor of dtype {self._array.dtype} cannot require a gradient: only floating-point and "
                    "complex ones have derivatives; convert it first, as in Tensor(data.astype(float))"
                )
            self._array = self._array.copy()
            self._node = Node(None, self._array)
        elif not value and self._node is not None:
            if not self._node.is_leaf:
                raise GradientError("requires_grad = False on a computed Tensor: use .detach() instead")
            self._node = None
        changed()

    @property
    def is_leaf(self) -> bool:
        """Whether the user made it, rather than computed it from tracked Tensors."""
        return self._node is None or self._node.is_leaf

    @property
    def name(self) -> str:
        """The name of a leaf in drawings and messages; a module names its parameters."""
        return self._node.name if self._node is not None else ""

    @name.setter
    def name(self, value: str) -> None:
        if self._node is None or not self._node.is_leaf:
            raise GradientError("only a leaf (requires_grad=True) carries a name")
        self._node.name = value

    def numpy(self) -> NDArray:
        """Copy the values into a plain array.

        Raises
        ------
        GradientError
            If this Tensor is tracked: anything computed from an array has no gradient. Use
            ``t.detach().numpy()``, or look at ``t.data``.
        """
        return np.array(self)

    def item(self) -> Any:
        """Return the value of a one-element Tensor as a Python number."""
        return self._array.item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self._array.tolist()

    def detach(self) -> Tensor:
        """Return an untracked Tensor of the same values.

        They are copied if this is a leaf, or a part of one, whose memory an optimizer may overwrite.
        """
        is_mutable = any(t.requires_grad and t.is_leaf for t in (self, *self._wholes()))
        return _handle(self._array.copy() if is_mutable else self._array, None)

    def _wholes(self) -> Iterator[Tensor]:
        """The Tensors that this one is a part of."""
        for owner in getattr(self, "_owners", ()) or ():
            whole = owner()
            if whole is not None and np.may_share_memory(whole._array, self._array):
                yield whole

    def _unshared(self) -> Tensor:
        """Return a Tensor that is no part of another; a copy only if an optimizer may overwrite this one's memory."""
        if any(whole.requires_grad and whole.is_leaf for whole in self._wholes()):
            return self.copy()
        if hasattr(self, "_owners"):
            self._owners = ()
        return self

    # -- gradients -------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by :meth:`backward`, or ``None``.

        Leaves have one, and so do computed Tensors after :meth:`retain_grad`. It is itself tracked
        only after ``backward(create_graph=True)``. That of an ``nn.Embedding(..., sparse=True)`` is
        a :class:`~tinygrad_mnist.sparse.SparseGradient`.
        """
        watch = WATCH.get()
        if watch is not None and self._node is not None:
            watch.looked_at(self._node)
        if self._node is None:
            return None
        if self._node.grad is None:
            if not (self._node.is_leaf or self._node.retains):
                warn(
                    f"this Tensor was computed ({_op_name(self._node)}), and backward() keeps the gradients of leaves "
                    "only: its .grad is None. Call .retain_grad() on it before backward(), or use the .grad of the "
                    "Tensors it was computed from",
                    LostGradientWarning,
                )
            if isinstance(self._node.retains, Node) and self._node.retains.grad is not None:
                warn(
                    "this leaf was changed in place, and the gradient belongs to its values before: its .grad is None. "
                    "Change a copy, as in y = x.copy(), or call backward() before the change",
                    LostGradientWarning,
                )
            return None
        if not isinstance(self._node.grad, (Tensor, SparseGradient)):
            self._node.grad = _handle(self._node.grad, None)  # kept, so that t.grad[0] = 1 has an effect
        return cast("Tensor", self._node.grad)  # or a SparseGradient, which few programs meet

    @grad.setter
    def grad(self, value: Any) -> None:
        if self._node is None:
            raise GradientError("grad: this Tensor is untracked; give it requires_grad=True")
        if value is not None:
            value = value if isinstance(value, (Tensor, SparseGradient)) else Tensor(value)
            if value.shape != self.shape:
                raise ShapeError(f"grad: shape {value.shape} for a Tensor of shape {self.shape}")
            if getattr(value, "_node", None) is None:
                value = getattr(value, "_array", value).astype(self.dtype)
        self._node.grad = value

    def zero_grad(self) -> None:
        """Forget the accumulated gradient."""
        if self._node is not None:
            self._node.grad = None

    def backward(
        self, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the derivative of this Tensor with respect to every leaf to that leaf's ``grad``.

        Parameters
        ----------
        gradient : array_like, same shape as this Tensor, optional
            The derivative of the final result with respect to this Tensor. Optional for a Tensor with
            one element; the default is 1.
        retain_graph : bool, default False
            Keep the saved arrays, so that another backward pass can run through the same graph.
        create_graph : bool, default False
            Record the backward pass itself, so that the gradients can be differentiated. Implies
            ``retain_graph``. A leaf's ``grad`` then refers to a graph that refers to the leaf: this
            cycle is freed by the garbage collector, or at once by :meth:`zero_grad`.

        Raises
        ------
        GradientError
            If this Tensor is untracked; if it has more than one element and no ``gradient`` was given; if
            an earlier pass freed its graph; or if a value that the graph saved was overwritten since.

        Examples
        --------
        >>> x = Tensor(3.0, requires_grad=True)
        >>> (x**3).backward(create_graph=True)
        >>> slope = x.grad
        >>> x.zero_grad()
        >>> slope.backward()  # the second derivative, 6x
        >>> x.grad
        tensor(18.)
        """
        root = self._node
        if root is None:
            raise GradientError(
                "backward: this Tensor is untracked: nothing that it was computed from requires a gradient; "
                "make an input with requires_grad=True, and compute outside no_grad()"
            )
        seed = self._seed(gradient)
        if create_graph:
            with deriving():
                found = sweep({root: seed}, retain=True, lift=_lift)
        else:
            found = sweep({root: seed._array}, retain=retain_graph)
        for node, g in found.items():
            node.grad = g if node.grad is None else node.grad + g

    def _seed(self, gradient: Any) -> Tensor:
        if gradient is None:
            if self.dtype.kind == "c":
                raise GradientError(
                    "backward: this Tensor is complex, and only a real number can grow or shrink; differentiate a real "
                    "number, such as np.real(t) or np.abs(t), or pass the gradient of the final result"
                )
            if self.size != 1:
                raise GradientError(
                    f"backward: this Tensor has shape {self.shape}, and only a scalar has a gradient of its "
                    "own; reduce it first, as in t.sum().backward(), or pass the gradient of the "
                    f"final result with respect to it, of shape {self.shape}"
                )
            return _handle(np.ones_like(self._array), None)
        seed = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
        if seed.shape != self.shape:
            raise ShapeError(f"backward: gradient of shape {seed.shape} for a Tensor of shape {self.shape}")
        return seed.astype(self.dtype, copy=False)

    def retain_grad(self) -> None:
        """Keep the gradient of this computed Tensor too, in its ``grad``."""
        self._require_node("retain_grad").retains = True

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Callable[[], None]:
        """Call ``hook(gradient)`` when a backward pass reaches this Tensor.

        Parameters
        ----------
        hook : callable
            Gets the gradient as a Tensor, and may change it in place. What it returns replaces the gradient,
            unless that is ``None``.

        Returns
        -------
        callable
            Call it to remove the hook.

        Examples
        --------
        >>> x = Tensor(2.0, requires_grad=True)
        >>> remove = x.register_hook(lambda g: g * 10)
        >>> (x * 3).backward()
        >>> x.grad
        tensor(30.)
        """
        node = self._require_node("register_hook")

        def on_gradient(g: Array) -> Array:
            lifted = isinstance(g, Tensor)
            own = _handle(g._array, g._node) if lifted else _handle(g, None)
            result = hook(own)
            if result is None:
                result = own
            elif not isinstance(result, Tensor):
                result = tensor(result)  # a copy: the user may change the array
            if result.shape != g.shape:
                raise ShapeError(f"hook: returned shape {result.shape} for a gradient of shape {g.shape}")
            result = result.astype(g.dtype, copy=False)
            return result if lifted else result._array

        hooks = node.hooks = node.hooks or []
        hooks.append(on_gradient)
        changed()

        def remove() -> None:
            if on_gradient in hooks:
                hooks.remove(on_gradient)
                changed()

        return remove

    def _require_node(self, what: str) -> Node:
        if self._node is None:
            raise GradientError(f"{what}: this Tensor is untracked; give an input requires_grad=True")
        if self._node.args is None:
            raise GradientError(
                f"{what}: a backward pass has freed the graph through {_op_name(self._node)}, and no other will come "
                f"here; call {what} before backward(), or pass retain_graph=True to it"
            )
        return self._node

    # -- NumPy's protocols -----------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, np.dtype[Unknown]]:
        asking = sys._getframe(1)
        if "_matmul_dispatch" in (asking.f_code.co_name, asking.f_back and asking.f_back.f_code.co_name):
            # SciPy's `X @ t` asks so whether this is an array, and looks at nothing else, such as __array_priority__
            # (https://github.com/scipy/scipy/issues/24614). No, and __rmatmul__ gets its turn.
            return np.array(None)
        if self._node is not None and RECORDING.get():
            raise GradientError(
                "cannot turn a tracked Tensor into a plain array: its gradient would be lost. Use .detach() (or .data "
                "to look at the values), NumPy functions that take Tensors, np.stack([...]) rather than "
                "np.array([...]) to join them, and tg.tensor(array) to assign into, as in array[i] = t"
            )
        if type(self._array) is not np.ndarray:  # a stand-in, which may refuse
            return self._array.__array__(dtype, copy=copy)
        return np.array(self.data, dtype=dtype, copy=copy)

    @property
    def _mask(self) -> Any:
        """Refuse ``np.ma``, which looks for this: masked arrays know nothing of gradients."""
        raise UnsupportedError(_NO_MASK)

    def view(self, *dtype_or_shape: Any) -> Any:
        """Refuse ``np.ma``, which makes its results with this, and a second name for the same memory."""
        raise UnsupportedError(
            "t.view: a Tensor has no views. Use t.reshape(shape) or t.astype(dtype). If you called a function of "
            f"np.ma: {_NO_MASK}"
        )

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        handler = REGISTRY.get(ufunc)
        if method == "__call__" and out is None and not kwargs and isinstance(handler, Primitive):
            return record(handler, inputs, _NOTHING)
        return REGISTRY[UFUNC](ufunc, method, inputs, out, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        handler = REGISTRY.get(func)
        for kind in types:
            if kind is not np.ndarray and issubclass(kind, np.ndarray):
                tree_map(operand, [args, kwargs])
        if kwargs.get("out") is not None:
            return self._into(func, args, kwargs)
        if handler is None:
            return unregistered(qualified(func), func, args, kwargs)
        return handler(*args, **kwargs)

    @classmethod
    def __torch_function__(cls, func: Any, *args: Any) -> Any:
        """Refuse PyTorch's functions, whose own error would be that they take a Tensor and no Tensor."""
        raise UnsupportedError(
            f"PyTorch's {func.__name__} takes no Tensor of tinygrad_mnist; use NumPy's functions, or tg.nn.functional"
        )

    @staticmethod
    def _into(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let a Tensor that was passed as ``out=`` become the result."""
        out = kwargs.pop("out")
        if not isinstance(out, Tensor):
            raise UnsupportedError(
                f"{qualified(func)}: out= must be a Tensor, because the result is computed from one"
            )
        new = out.__array_function__(func, (), args, kwargs)
        return out._write(new if isinstance(new, Tensor) else Tensor(new))

    # -- in place: the handle is bound to a new node, and the old value does not change ----------

    __iadd__ = _in_place(operator.add)
    __isub__ = _in_place(operator.sub)
    __imul__ = _in_place(operator.mul)
    __itruediv__ = _in_place(operator.truediv)
    __ipow__ = _in_place(operator.pow)
    __ifloordiv__ = _in_place(operator.floordiv)
    __imod__ = _in_place(operator.mod)
    __imatmul__ = _in_place(operator.matmul)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, Tensor) and value._node is not None and self.dtype.kind not in "fc":
            raise DTypeError(
                f"t[index] = value: the value is tracked, and its gradient would be lost in a Tensor of {self.dtype}; "
                "convert the Tensor with .astype(float) first"
            )
        self._write(SETITEM(self, value, index))

    def _write(self, new: Any) -> Tensor:
        """Make this handle stand for ``new``, unless NumPy would have written into another Tensor too."""
        self._refuse_part()
        return self._rebind(new)

    def _refuse_part(self) -> None:
        """Refuse to write into a part of a Tensor that somebody holds."""
        if getattr(self, "_owners", ()) is None:
            raise UnsupportedError(
                "cannot write into a diagonal, or into the imaginary part of real numbers: it is read-only, as in "
                "NumPy. Use np.fill_diagonal(t, value), or write into a copy, as in np.diagonal(t).copy()"
            )
        for whole in self._wholes():
            raise UnsupportedError(
                f"cannot write into a part (shape {self.shape}) of a Tensor of shape {whole.shape}: unlike in "
                "NumPy, the Tensor itself would not change. Index once, as in t[0, 1] = value for t[0][1] = value "
                "and t[i] += 1 for a loop over rows; or compute a new one, as in row = row + 1, or write into a copy, "
                "as in row = t[0].copy()"
            )

    def _rebind(self, new: Any) -> Tensor:
        """Make this handle stand for ``new``, which must fit by the rules of NumPy's in-place operators.

        Within ``no_grad()`` a leaf stays a leaf and its memory is overwritten: this is how an
        optimizer written by hand updates a weight.
        """
        if new.shape != self.shape:
            raise ShapeError(f"an in-place operation cannot change shape {self.shape} to {new.shape}")
        if new.dtype != self.dtype:
            if not np.can_cast(new.dtype, self.dtype, "same_kind"):
                raise DTypeError(f"an in-place operation cannot change dtype {self.dtype} to {new.dtype}")
            new = new.astype(self.dtype)
        if self._node is not None and not RECORDING.get():
            if not self._node.is_leaf:
                raise GradientError(
                    "in-place change within no_grad(): this Tensor was computed, so it would be cut off from its "
                    "graph; if that is what you want, write t = t.detach() first"
                )
            np.copyto(buffer(self), new._array)
            return self
        was_leaf = self._node is None or self._node.is_leaf
        if self._node is not None and was_leaf and new._node is not None:
            new._node.retains = self._node  # the user made this leaf and still expects its grad
        self._array, self._node = new._array, new._node
        if was_leaf:
            changed()
        return self

    __hash__ = object.__hash__  # by identity, although == compares elements

    # -- a Python object among others ------------------------------------------------------------

    def __getitem__(self, index: Any) -> Tensor:
        return GETITEM(self, index)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d Tensor")
        n = len(self)
        if n < 4 or self._node is None:
            return (self[i] for i in range(n))
        # By halves, so that n gradients are joined pairwise: to pad each with zeros takes n times as long.
        halves = self[: n // 2], self[n // 2 :]
        return (part for half in halves for part in half)

    def __contains__(self, value: Any) -> bool:
        return bool((self == value)._array.any())

    def __bool__(self) -> bool:
        try:
            return bool(self._array)
        except ValueError as error:
            advice = "to choose for each element, use np.where(t > 0, ...) or np.maximum(t, 0)"
            raise ValueError(f"{error}; {advice}") from None

    def __float__(self) -> float:
        return float(self._leave_graph("float"))

    def __int__(self) -> int:
        return int(self._leave_graph("int"))

    def __complex__(self) -> complex:
        return complex(self._leave_graph("complex"))

    def _leave_graph(self, what: str) -> NDArray:
        """Return the value for conversion to a Python number, which passes no gradient."""
        if self._node is not None and RECORDING.get():
            if TRACING.get() and what != "int":  # a step function, whose slope is 0
                raise GradientError(
                    f"{what}(t), or array[i] = t into a plain array, inside a function that is being differentiated: "
                    f"the gradient would be lost. {_NO_NUMBER}"
                )
            warn(
                f"{what}(t) turns a tracked Tensor into a Python number, and its gradient ends there. {_NO_NUMBER}",
                LostGradientWarning,
            )
        return self._array

    def __index__(self) -> int:
        return self._array.__index__()

    def __round__(self, ndigits: int = 0) -> Any:
        return self.round(ndigits)

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        text = np.array2string(self._array, separator=", ", prefix="tensor(")
        if self.dtype not in (np.float64, np.int64, np.bool_, np.complex128):
            text += f", dtype={self.dtype}"
        if self._node is not None:
            text += ", requires_grad=True" if self._node.is_leaf else f", op={_op_name(self._node)}"
        return f"tensor({text})"

    def _repr_html_(self) -> str:
        from .notebook import block, card, numbers, place  # which terminals do not need

        facts = [f"shape {self.shape}", str(self.dtype)]
        return card(type(self).__name__, facts, block(numbers(self._array)), place(self._node))

    def __reduce__(self) -> Any:
        if self._node is not None and not self._node.is_leaf:
            raise GradientError(
                "a computed Tensor cannot be copied or pickled with its graph; use t.detach()"
            )
        grad = getattr(self.grad, "_array", self.grad)
        return _rebuild, (type(self), self._array, self.requires_grad, self.name, grad)

    def astype(
        self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Tensor:
        """Convert to another dtype; the gradient has the original dtype."""
        dtype = np.dtype(dtype)
        if casting != "unsafe":
            # For NumPy's own error, if it forbids the conversion.
            np.empty(0, self.dtype).astype(dtype, casting=casting)
        if self.dtype == dtype:
            return self.copy() if copy else self
        return REGISTRY[np.astype](self, dtype)

    def copy(self, order: Any = "C") -> Tensor:
        """Copy the values; gradients pass through the copy."""
        return REGISTRY[np.positive](self) if self._node is not None else _handle(self._array.copy(), None)


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor from a copy of ``data``.

    Parameters
    ----------
    data : array_like
        Numbers: nested lists, an ndarray, an untracked Tensor.
    dtype : dtype, optional
        By default ``data``'s own, as NumPy determines it.
    requires_grad : bool, default False
        Whether to record the operations on it.

    Examples
    --------
    >>> tensor([1, 2, 3], dtype=np.float32)
    tensor([1., 2., 3.], dtype=float32)
    """
    if isinstance(data, Tensor) and data._node is None:
        array = data._array.copy() if dtype is None else data._array.astype(dtype)
    else:
        array = _checked(asarray(operand(data), dtype, copy=True), data)
    result = Tensor(array)
    if requires_grad:
        result.requires_grad = True
    return result


def record(primitive: Primitive, args: Sequence[Any], settings: dict[str, Any]) -> Any:
    """Run an operation, and add a node to the graph if an input is tracked.

    Parameters
    ----------
    primitive : Primitive
    args : sequence of Tensor, ndarray or number
        Its array arguments.
    settings : dict
        Its settings, with the defaults filled in.

    Returns
    -------
    Tensor, or a tuple of Tensors for an operation with several results

    Examples
    --------
    >>> from tinygrad_mnist.primitive import operation
    >>> y = record(operation("exp"), [Tensor(0.0, requires_grad=True)], {})
    >>> y.item(), y.node.primitive
    (1.0, <primitive exp>)
    """
    watch = WATCH.get()
    rules = primitive.rules if RECORDING.get() else None
    values: list[Any] = []
    parents: list[tuple[int, Node]] = []
    for position, arg in enumerate(args):
        if isinstance(arg, Tensor):
            values.append(arg._array)
            node = arg._node
            if node is not None and rules is not None:
                if rules[position] is None:
                    raise primitive.missing_rule(position)
                parents.append((position, node))
        else:
            values.append(arg if arg.__class__ in _PLAIN else operand(arg))
    try:
        value = (
            primitive.forward(*values, **settings)
            if watch is None
            else watch.run(primitive, values, settings)
        )
    except ValueError as error:
        raise _misfit(primitive, values, error) from None
    except TypeError:
        if not alike(values):
            raise
        value = primitive.forward(*values, **settings)
    if value.__class__ is not np.ndarray:
        if isinstance(value, tuple):
            if not parents:
                return tuple(_handle(part, None) for part in value)
            node = Node(primitive, value, tuple(values), settings, parents, SCOPE.get(), users_line())
            if watch is not None:
                watch.computed(node)
            return _lift(node)
        value = asarray(value)
    result = _new(Tensor)
    result._array = value
    result._node = None
    if args and (value.base is not None or value is values[0]):
        result._owners = _owners(args[0])
    # Integers and booleans are locally constant: no gradient passes through them.
    if parents and value.dtype.kind in "fc":
        within = SCOPE.get()
        origin = None if within is not None and within[4] else users_line()
        result._node = node = Node(primitive, value, tuple(values), settings, parents, within, origin)
        if watch is not None:
            watch.computed(node)
    elif value.dtype.kind not in "biufc":
        raise DTypeError(
            f"{primitive.name}: the result would be an array of {value.dtype}, which passes no gradient; "
            "convert that array first, as in array.astype(float)"
        )
    return result


Tensor.__primitive__ = staticmethod(record)  # type: ignore[method-assign]


def _owners(viewed: Any) -> tuple[ref[Tensor], ...]:
    """The Tensors whose memory a result may share: the one it was made from, and those that this one is a part of."""
    return (ref(viewed), *(getattr(viewed, "_owners", ()) or ())) if isinstance(viewed, Tensor) else ()


def forbid_writes(t: Any) -> Any:
    """Mark a Tensor that is a copy here, but a read-only view in NumPy: what is written there would be lost.

    Examples
    --------
    >>> t = forbid_writes(Tensor([1.0, 2.0]))
    >>> t[0] = 3.0
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.UnsupportedError: cannot write into a diagonal, or into the imaginary part of
        real numbers: it is read-only, as in NumPy. Use np.fill_diagonal(t, value), or write into a copy, as in
        np.diagonal(t).copy()
    """
    if isinstance(t, Tensor):
        t._owners = None
    return t


def part_of(t: Any, wholes: Iterable[Any]) -> Any:
    """Note that a result may share the memory of Tensors.

    Examples
    --------
    >>> whole = Tensor([1.0, 2.0, 3.0])
    >>> part = part_of(Tensor(whole.data[:2]), [whole])
    >>> part[0] = 5.0
    Traceback (most recent call last):
    tinygrad_mnist.errors.UnsupportedError: cannot write into a part ...
    """
    if isinstance(t, Tensor):
        t._owners = tuple(owner for whole in wholes for owner in _owners(whole))
    return t


def unshared(t: Any) -> Any:
    """Part a result from the Tensor that it shares memory with, because NumPy would have returned a copy.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0])
    >>> copied = unshared(x[:2])
    >>> copied[0] = 5.0
    >>> x, copied
    (tensor([1., 2., 3.]), tensor([5., 2.]))
    """
    return t._unshared() if isinstance(t, Tensor) else t


def buffer(t: Tensor) -> NDArray:
    """Return a Tensor's own memory, for overwriting in place.

    Optimizers and ``load_state_dict`` update parameters through it. Graphs that saved the older
    value become out of date: a backward pass through one is an error.

    Examples
    --------
    >>> t = Tensor([1.0, 2.0], requires_grad=True)
    >>> buffer(t)[:] = 0
    >>> t
    tensor([0., 0.], requires_grad=True)
    """
    COUNTS.writes += 1
    if t._node is not None:
        t._node.touch()
    return t._array


def read_only_data() -> GradientError:
    """Build the error for a program that writes into ``t.data``."""
    return GradientError(
        "t.data is for reading; to change the values in place, write `with tg.no_grad(): t -= change` or "
        "`with tg.no_grad(): t[...] = values`"
    )


def refuse(condition: Any, error: Callable[[], Exception], brief: str) -> None:
    """Raise an error if a condition on values holds; a compiled program checks it in every call.

    Parameters
    ----------
    condition : bool, or Tensor or array of one
    error : callable
        Makes the error; it may look at the values.
    brief : str
        The message of the ``ValueError`` that a program raises; it cannot look at the values.

    Examples
    --------
    >>> x = Tensor([1.0, -1.0])
    >>> refuse(np.any(x < 0), lambda: ValueError(f"the least is {x.data.min()}"), "a number is negative")
    Traceback (most recent call last):
        ...
    ValueError: the least is -1.0
    """
    value = condition._array if isinstance(condition, Tensor) else condition
    if hasattr(value, "__refuse__"):
        value.__refuse__(brief)
    elif value:
        raise error()


def certainly(condition: Any) -> bool:
    """Whether a condition on values holds; in a compiled program, it has to hold in every call.

    Code asks this before it takes a shortcut, because a program must not take one that suits a single call.

    Examples
    --------
    >>> certainly(Tensor([1.0, 2.0]).sum() > 0)
    True
    """
    return is_known(condition) and bool(condition)


def possibly(condition: Any) -> bool:
    """Whether a condition on values may hold; in a compiled program it may, unless it holds in no call.

    Examples
    --------
    >>> possibly(Tensor([1.0, 2.0]).sum() > 0)
    True
    """
    return not is_known(condition) or bool(condition)


def is_known(x: Any) -> bool:
    """Whether Python may look at the numbers of an array; in a compiled program, only if they never change.

    Examples
    --------
    >>> is_known(Tensor(1.0)), is_known(np.ones(2))  # as always outside of compiled programs
    (True, True)
    """
    value = x._array if isinstance(x, Tensor) else x
    return bool(getattr(value, "is_known", True))


_NO_NUMBER = (
    "Use NumPy's functions (np.sin, not math.sin), write into a Tensor (np.zeros_like(t), tg.tensor(array)), or say "
    "t.item() or t.detach() where only the value is meant"
)
_NO_MASK = (
    "a masked array and a Tensor cannot be combined: the gradient would be lost; give the masked elements a "
    "value with array.filled(value), or keep the mask separately and choose with np.where(mask, value, ...)"
)
_NOTHING: dict[str, Any] = {}
_PLAIN = (np.ndarray, float, int)  # types that an operation takes unchanged, without a check
_new = object.__new__


def _handle(value: Any, node: Node | None) -> Tensor:
    """Make a Tensor without checking anything."""
    t = _new(Tensor)
    t._array = value if isinstance(value, np.ndarray) else asarray(value)
    t._node = node
    return t


def _lift(node: Node) -> Any:
    """Make the Tensor that stands for a node, or a tuple of Tensors if it has several results."""
    if node.value.__class__ is not tuple:
        return _handle(node.value, node)
    return tuple(
        _handle(part, Node(pick, part, (node.value,), {"index": i}, ((0, node),), node.within))
        for i, part in enumerate(node.value)
    )


def _numbers(data: Any) -> NDArray:
    if isinstance(data, Tensor) and data._node is None:
        data = data._array
    return _checked(data if data.__class__ is np.ndarray else asarray(operand(data)), data)


def _checked(array: NDArray, data: Any) -> NDArray:
    """Check that what became of data are numbers."""
    if array.dtype.kind not in "biufc":
        raise DTypeError(f"a Tensor holds numbers, not dtype {array.dtype} (from {type(data).__name__})")
    return array


def unregistered(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a NumPy function that has no rule: this works on constants and is an error on tracked Tensors."""
    if RECORDING.get() and any(isinstance(x, Tensor) and x._node is not None for x in leaves([args, kwargs])):
        raise _no_rule(name)
    given = leaves([args, kwargs])
    args, kwargs = tree_map(lambda x: x._array if isinstance(x, Tensor) else operand(x), [args, kwargs])
    result = function(*args, **kwargs)
    is_array = isinstance(result, (np.ndarray, np.generic))
    return part_of(_handle(result, None), given) if is_array else result


def _no_rule(name: str) -> UnsupportedError:
    if name == "scipy.special.expit":
        return UnsupportedError(f"{name} has no gradient rule here; use tg.nn.functional.sigmoid")
    return UnsupportedError(
        f"{name} has no gradient rule here. If no gradient should flow, call it on t.detach(). "
        "To add the rule:\n\n"
        f"    @tg.primitive({name})\n"
        "    def f(x, /):\n"
        f"        return {name}(x)\n"
        "    f.vjp(lambda g, y, x: ...)  # the gradient of x, given that of the result, in NumPy functions\n\n"
        "docs/adding_an_op.md shows an example and its tests"
    )


def qualified(func: Callable[..., Any]) -> str:
    """Return a function's name as its users write it: ``np.linalg.norm``, ``scipy.special.gammaln``.

    Examples
    --------
    >>> qualified(np.linalg.norm), qualified(np.exp)
    ('np.linalg.norm', 'np.exp')
    """
    name = func.__name__
    if isinstance(func, np.ufunc):  # ufuncs do not know their module
        places = ("numpy", "scipy.special")
        known = (m for m in places if getattr(sys.modules.get(m), name, None) is func)
        module = next(known, "")
    else:
        module = str(func.__module__)
        if module in ("numpy.lib.scimath", "numpy.lib._scimath_impl"):  # its name depends on NumPy's version
            module = "numpy.emath"
    return f"{module}.{name}".lstrip(".").replace("numpy.", "np.", 1)


def _misfit(primitive: Primitive, values: list[Any], error: ValueError) -> Exception:
    """Make the error that says which shapes NumPy refused."""
    if type(error) is not ValueError:
        return error  # AxisError, LinAlgError and our own already explain themselves
    found = [np.shape(v) for v in values]
    shapes = " and ".join(map(str, found))
    scope = scope_text(SCOPE.get())
    where = f" in {scope}" if scope else ""
    why = str(error)
    if len(found) == 2 and "core dimension" in why and all(found):  # a matrix product
        inner = found[0][-1], found[1][-2 if len(found[1]) > 1 else 0]
        why = f"{pluralise(inner[0], 'column')} of the first meet {pluralise(inner[1], 'row')} of the second"
        if found[1][-1] == found[0][-1]:
            why += "; its transpose would fit, as in a @ b.T"
    elif len(found) == 2 and () in found and "enough dimensions" in why:
        why = "a number is no matrix; multiply by it with *"
    elif "could not be broadcast" in why:
        why = "counted from the last one, two lengths must be equal, or one of them 1"
    if len(found) == 1:
        return ShapeError(f"{primitive.name}{where}: an input of shape {shapes}: {why}")
    return ShapeError(f"{primitive.name}{where}: shapes {shapes} do not fit: {why}")


def _op_name(node: Node) -> str:
    return node.primitive.name if node.primitive is not None else "leaf"


def _rebuild(cls: type[Tensor], data: NDArray, requires_grad: bool, name: str, grad: Any) -> Tensor:
    t = _new(cls)
    t._array, t._node = data, None
    if requires_grad:
        t.requires_grad = True
        t.name, t.grad = name, grad
    return t


def GETITEM(t: Tensor, index: Any) -> Any:  # noqa: N802
    """Index a Tensor; ``ops.indexing`` registers the implementation under this function."""
    return REGISTRY[GETITEM](t, index)


def UFUNC(*args: Any) -> Any:  # noqa: N802
    """Call a ufunc with keywords, or one of its methods; ``ops.ufuncs`` registers the implementation."""
    return REGISTRY[UFUNC](*args)


def SETITEM(t: Tensor, value: Any, index: Any) -> Any:  # noqa: N802
    """Assign to part of a Tensor; ``ops.indexing`` registers the implementation under this function."""
    return REGISTRY[SETITEM](t, value, index)
