"""What the constructors of layers check, and the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import OptionError
from ...typing import NDArray

Initialiser = str | Callable[..., NDArray]


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
