"""The nodes of an ONNX file, one after the other, with their constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnsupportedError, require
from ...typing import NDArray
from .recording import SIZES, Call, Operand, Size

if TYPE_CHECKING:
    import onnx

__all__ = ["OPSET", "Writer"]

#: The version of the operators that files use; runtimes have known it since 2023.
OPSET = 18


class Writer:
    """A growing list of nodes.

    Call it with an operator to add a node; it returns the names of its outputs, or the name if there is one. An
    input is such a name, an :class:`~.recording.Operand`, or an array or a number, which becomes a constant.

    Attributes
    ----------
    nodes : list of NodeProto
    call : Call
        The operation whose nodes are being written.
    made, uses : dict
        By the id of an Operand, the call that returned it, and the calls that take it.
    """

    def __init__(self, batch: tuple[str, int] | None, calls: Sequence[Call] = ()) -> None:
        self._onnx: Any = require("onnx", extra="onnx", purpose="writing an ONNX file")
        self.nodes: list[onnx.NodeProto] = []
        self.call: Call | None = None
        self.names: dict[int, str] = {}
        self.made = {id(x): call for call in calls for x in call.results}
        self.uses: dict[int, list[Call]] = {}
        for call in calls:
            for x in call.operands:
                self.uses.setdefault(id(x), []).append(call)
        self._batch, self._size = batch, ""
        self._constants: dict[Any, str] = {}
        self._taken: set[str] = set()

    def __call__(self, operator: str, *inputs: Any, outputs: int = 1, **settings: Any) -> Any:
        """Add a node."""
        names = ["" if x is None else self.name_of(x) for x in inputs]
        scope = f"{self.call.scope}/" if self.call is not None and self.call.scope else ""
        node = self._take(f"{scope}{operator}")
        made = [node, *(self._take(node) for _ in range(1, outputs))]
        self.nodes.append(self._onnx.helper.make_node(operator, names, made, node, **settings))
        return made[0] if outputs == 1 else made

    def _take(self, name: str) -> str:
        taken, n = name, 1
        while taken in self._taken:
            n += 1
            taken = f"{name}_{n}"
        self._taken.add(taken)
        return taken

    def reserve(self, name: str) -> None:
        """Keep a name from being given to a node."""
        self._taken.add(name)

    def name_of(self, x: Any) -> str:
        """The name under which later nodes find an input."""
        if isinstance(x, str):
            return x
        if not isinstance(x, Operand):
            return self.constant(np.asarray(x))
        if id(x) in self.names:
            return self.names[id(x)]
        return x.name or self.constant_of(x)

    def as_type(self, x: Operand | None, dtype: Any) -> Any:
        """An operand, converted to a dtype if it has another one."""
        if x is None or x.dtype == dtype:
            return x
        if not self.is_known(x):
            return self.cast(x, dtype)
        if np.array_equal(*x.values):
            return np.asarray(x.value).astype(dtype)
        return self.cast(self.constant_of(x), dtype)

    def is_known(self, x: Operand) -> bool:
        """Whether an operand is a constant."""
        return not x.name and id(x) not in self.names

    def cast(self, x: Any, dtype: Any) -> str:
        """Add a conversion."""
        return str(self("Cast", x, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))))

    def constant(self, array: NDArray) -> str:
        """A constant, written once however often it is used."""
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            call, self.call = self.call, None
            tensor = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
            self._constants[key] = self("Constant", value=tensor)
            self.call = call
        return self._constants[key]

    def constant_of(self, x: Operand) -> str:
        """A constant that no operation made; it may have an axis of the length of the batch."""
        first, second = map(np.asarray, x.values)
        if first.shape == second.shape and first.dtype == second.dtype:
            if np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
                return self.constant(first)
            if not first.ndim and first.dtype.kind in "iu":
                return self.cast(
                    self("Squeeze", self.lengths([Size.of(int(first), int(second))])), first.dtype
                )
        elif first.ndim == second.ndim:
            grown = [a != b for a, b in zip(first.shape, second.shape, strict=True)]
            one = tuple(slice(0, 1) if grows else slice(None) for grows in grown)
            if all(
                np.array_equal(np.broadcast_to(y[one], y.shape), y) for y in (first, second)
            ) and np.array_equal(first[one], second[one]):
                return str(self("Expand", self.constant(first[one]), self.lengths(x.sizes)))
            if all(np.array_equal(y, np.arange(len(y))) for y in (first, second)) and first.ndim == 1:
                zero, step = np.zeros((), np.int64), np.ones((), np.int64)
                length = self("Squeeze", self.lengths(x.sizes))
                return self.cast(self("Range", zero, length, step), first.dtype)
        if self.call is None:
            raise UnsupportedError(
                f"export_onnx: an output of shape {first.shape} is not the same for every input, but was computed "
                "outside the graph, from .data, with float() or at random; compute it from the Tensors with NumPy's "
                "functions"
            )
        raise UnsupportedError(
            f"export_onnx: {self.call.primitive.name} uses an array of shape {first.shape} that is not the same for "
            "every input, but was computed outside the graph, from .data, with float() or at random"
            f"{self.call.place}; compute it from the Tensors with NumPy's functions"
        )

    def lengths(self, sizes: Sequence[int | Size], *, rest: bool = False) -> str:
        """A vector of integers, some of which depend on the batch; with ``rest``, a single one may be -1."""
        grown = [x for x in sizes if isinstance(x, Size)]
        if not grown:
            return self.constant(np.array(sizes, np.int64))
        if rest and len(grown) == 1:
            return self.constant(np.array([-1 if isinstance(x, Size) else x for x in sizes], np.int64))
        parts = []
        for x in sizes:
            if isinstance(x, Size):
                part = self._batch_size()
                part = self("Mul", part, np.array([x.factor])) if x.factor != 1 else part
                parts.append(self("Add", part, np.array([x.offset])) if x.offset else part)
            else:
                parts.append(self.constant(np.array([x], np.int64)))
        return str(self("Concat", *parts, axis=0)) if len(parts) > 1 else parts[0]

    def _batch_size(self) -> str:
        """The size of the batch, as a vector of one number."""
        if not self._size:
            if self._batch is None:
                named = f"{self.call.primitive.name} has" if self.call is not None else "outputs have"
                raise UnsupportedError(
                    f"export_onnx: {named} arrays of other shapes for other numbers"
                    f"{self.call.place if self.call is not None else ''}; in a file, shapes depend on shapes alone"
                )
            name, axis = self._batch
            self._size = self("Shape", name, start=axis, end=axis + 1)
        return self._size

    def number(self, size: int | Size) -> int:
        """A number that a file can only hold if it is always the same."""
        if isinstance(size, Size):
            found = size.factor * SIZES[0] + size.offset
            assert self.call is not None, "only operations have settings"
            raise UnsupportedError(
                f"export_onnx: {self.call.primitive.name} has a setting that is {found} for a batch of {SIZES[0]}, and "
                f"grows with it{self.call.place}; a file holds one number"
            )
        return int(size)
