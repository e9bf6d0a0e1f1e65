"""What the constructors of layers check, and the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import DTypeError, OptionError, ShapeError, pluralise
from ...operands import operand
from ...tensor import Tensor
from ...trees import leaves
from ...typing import Array, NDArray

Initialiser = str | Callable[..., NDArray]


def numbers(x: Any, dtype: Any) -> Array:
    """Return the input of a layer as an array or a Tensor; numbers of Python get a dtype."""
    if hasattr(x, "__array_function__"):
        return x
    if isinstance(x, (tuple, list)) and any(isinstance(part, Tensor) for part in leaves(x)):
        raise ShapeError(
            f"expects an array, got a {type(x).__name__} of {pluralise(len(x), 'part')}; join equal shapes with "
            "np.stack, or pick one: an LSTM returns its outputs and its state"
        )
    if x is None or isinstance(x, str):
        raise DTypeError(f"expects an array of numbers, got {x!r}")
    found = operand(x)
    is_pythons = isinstance(x, (tuple, list)) or not hasattr(found, "__array_function__")
    return np.asarray(found, dtype) if is_pythons else found


def positive(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """Check that sizes are positive integers."""
    if not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
        raise OptionError(f"{name}: sizes {', '.join(map(repr, sizes))} must be positive integers")
    return tuple(sizes)


def probability(name: str, what: str, p: float) -> float:
    """Check that a number is a probability below 1."""
    if not isinstance(p, (int, float, np.number)) or not 0 <= p < 1:
        raise OptionError(f"{name}: {what} = {p!r} is not a probability in [0, 1)")
    return p
