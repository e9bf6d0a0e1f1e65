"""Inputs on which an operation is tested: it is declared with them, and the tests write themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .typing import NDArray

__all__ = ["Sample"]


class Sample:
    """Inputs on which an operation is tested.

    Parameters
    ----------
    *arrays : tuple of int, ndarray, or anything else
        For each array argument the shape of random floats, or the very array to use (an index, a
        mask), or what else to pass (``None`` for an optional array left out).
    domain : (float, float)
        The interval random values are drawn from.
    complex : bool
        Whether the random values are complex: real and imaginary part each from the domain.
    prepare : callable, optional
        Makes the operation's positional arguments, as a tuple, of the arrays drawn: a list of them,
        or the symmetric matrix that a decomposition asks for. It is given Tensors too.
    **settings
        Passed to the operation by name.
    """

    def __init__(
        self,
        *arrays: Any,
        domain: tuple[float, float] = (-2.0, 2.0),
        complex: bool = False,
        prepare: Callable[..., tuple[Any, ...]] | None = None,
        **settings: Any,
    ) -> None:
        self.arrays = arrays
        self.domain = domain
        self.complex = complex
        self.prepare = prepare
        self.settings = settings

    def draw(self, seed: int = 0, dtype: Any = np.float64) -> list[Any]:
        """Make the inputs: the same for the same seed, the values of each array well apart.

        The gaps keep finite differences clear of ties, where a maximum has no derivative.

        Parameters
        ----------
        seed : int
        dtype : dtype
            A real one; complex samples are of the complex dtype of that precision.
        """
        rng = np.random.default_rng(seed)
        kind = np.result_type(dtype, np.complex64) if self.complex else dtype

        def random(shape: tuple[int, ...]) -> NDArray:
            values: NDArray = np.empty(shape, kind)
            values.real = self._apart(shape, rng)
            if self.complex:
                values.imag = self._apart(shape, rng)
            return values

        return [random(spec) if isinstance(spec, tuple) else spec for spec in self.arrays]

    def _apart(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        size = int(np.prod(shape, dtype=int))
        low, high = self.domain
        places = (rng.permutation(size) + rng.uniform(0.3, 0.7, size)) / max(size, 1)
        return (low + (high - low) * places).reshape(shape)

    def arguments(self, *arrays: Any) -> tuple[Any, ...]:
        """Return the operation's positional arguments, of the arrays drawn or of Tensors in their place."""
        return arrays if self.prepare is None else self.prepare(*arrays)

    def __repr__(self) -> str:
        shapes = [f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else str(a) for a in self.arrays]
        shapes += ["complex"] if self.complex else []
        return " ".join(shapes + [f"{name}={_short(value)}" for name, value in self.settings.items()])


def _short(value: Any) -> str:
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else str(value)
