"""The table of operators, and what many of them use."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....errors import UnsupportedError, quote
from ....reading import LARGEST_ARRAYS
from ....tensor import Tensor

__all__ = [
    "OPERATORS",
    "Operator",
    "Setting",
    "dtype_of",
    "integers",
    "number",
    "operator",
    "require_room",
    "room_for",
]


@dataclass
class Setting:
    """What an operator may want to know besides its inputs.

    Attributes
    ----------
    opset : int
        The version of the operators in the file.
    training : bool
        Whether the model is being trained.
    outputs : int
        How many outputs the node has.
    rng : Generator
    """

    opset: int
    training: bool
    outputs: int
    rng: np.random.Generator = field(repr=False)


@dataclass(frozen=True)
class Operator:
    """A function of the table.

    Attributes
    ----------
    function : callable
    fixed : tuple of int
        The inputs that are not learned, though they may be floats, such as a running mean.
    takes_setting : bool
    broadcasts : bool
        Whether it combines arrays number by number.
    needed : int or None
        How many inputs may not be left out; None stands for all.
    """

    function: Callable[..., Any]
    fixed: tuple[int, ...] = ()
    takes_setting: bool = False
    broadcasts: bool = False
    needed: int | None = None


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str, fixed: tuple[int, ...] = (), broadcasts: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table; see :class:`Operator`."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = _parameters(function)
        kinds = {p.kind for p in parameters.values()}
        needed = None  # a ufunc's inputs, or as many as there are
        if parameters and not broadcasts and inspect.Parameter.VAR_POSITIONAL not in kinds:
            needed = sum(p.kind in _BY_POSITION and p.default is p.empty for p in parameters.values())
        made = Operator(function, fixed, "setting" in parameters, broadcasts, needed)
        OPERATORS.update(dict.fromkeys(names, made))
        return function

    return enter


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    if isinstance(function, np.ufunc):
        return {}
    return inspect.signature(function).parameters


def plain(x: Any) -> Any:
    """The array behind a Tensor."""
    return x.data if isinstance(x, Tensor) else x


def integers(x: Any) -> list[int]:
    """The integers in an attribute or an input."""
    return [int(n) for n in np.asarray(plain(x)).reshape(-1)]


def number(x: Any) -> Any:
    """The number in an attribute or an input."""
    return np.asarray(plain(x)).reshape(-1)[0].item()


#: The size of the largest result.
_room: ContextVar[int] = ContextVar("room", default=LARGEST_ARRAYS)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Allow results of this size within the block."""
    token = _room.set(size)
    try:
        yield
    finally:
        _room.reset(token)


def require_room(shape: Any, dtype: Any = np.float32) -> None:
    """Refuse a result that is out of proportion: a few bytes in a file can ask for any amount of memory."""
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    if size > _room.get():
        raise UnsupportedError(
            f"a result of shape {quote(tuple(shape))} is larger than {_room.get():,} bytes; if you trust the file, "
            "pass import_onnx a larger max_bytes"
        )


def dtype_of(code: int) -> np.dtype[Any]:
    """The dtype that a number in a file stands for.

    Raises
    ------
    UnsupportedError
        If NumPy has none, as for bfloat16 and text.
    """
    from onnx import TensorProto, helper

    known = (
        TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL,
        TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
        TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
    )  # fmt: skip
    if code not in known:
        name = TensorProto.DataType.Name(code) if code in TensorProto.DataType.values() else code
        raise UnsupportedError(f"numbers of type {name}")
    return helper.tensor_dtype_to_np_dtype(code)
