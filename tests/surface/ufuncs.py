"""What works with ufuncs besides calling them: keywords and methods, found out by trying.

Each way of using a ufunc is tried on numbers from its domain. Its value has to be NumPy's, and its gradient
that of finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import REGISTRY, Sample
from tinygrad_mnist.testing import numerical_gradient

from .checks import combination, differentiate, flattened
from .names import DIFFERENTIABLE, functions

RIGHT, WRONG, REFUSED, NONE = "right", "wrong", "refused", "NumPy has none"


def _at(ufunc: np.ufunc, x: Any, index: Any, *operand: Any) -> Any:
    """``ufunc.at`` on a copy, which it returns."""
    x = x.copy()
    ufunc.at(x, index, *operand)
    return x


def _reduce(ufunc: np.ufunc, x: Any) -> Any:
    """``ufunc.reduce``. For plain arrays as the last of ``accumulate``, since NumPy's own is wrong for power
    and arctan2 on processors with AVX-512: ``np.power.reduce([2.0, 3.0, 2.0])`` is 4 there, not 64.
    """
    return ufunc.reduce(x) if isinstance(x, tg.Tensor) else ufunc.accumulate(x)[-1]


def _out(ufunc: np.ufunc, *x: Any) -> Any:
    """The result written into an array, or into a Tensor."""
    like = np.zeros(np.broadcast_shapes(*(v.shape for v in x)))
    out = tg.Tensor(like) if any(isinstance(v, tg.Tensor) for v in x) else like
    return ufunc(*x, out=out)


_MASK = np.array([True, False, True])

#: Ways of using a ufunc of one array, and of two.
UNARY: dict[str, Callable[..., Any]] = {
    "where=": lambda f, x: f(x, where=_MASK, out=x.copy()),
    "dtype=": lambda f, x: f(x, dtype=np.float64),
    "out=": _out,
    "at": lambda f, x: _at(f, x, [2, 0]),
}
BINARY: dict[str, Callable[..., Any]] = {
    "where=": lambda f, x, y: f(x, y, where=_MASK, out=x.copy()),
    "dtype=": lambda f, x, y: f(x, y, dtype=np.float64),
    "out=": _out,
    "reduce": lambda f, x, y: _reduce(f, x),
    "accumulate": lambda f, x, y: f.accumulate(x),
    "reduceat": lambda f, x, y: f.reduceat(x, [0, 2, 1]),
    "outer": lambda f, x, y: f.outer(x, y),
    "at": lambda f, x, y: _at(f, x, [0, 2, 0], y),
}


def outcomes() -> dict[str, dict[str, str]]:
    """For each differentiable elementwise ufunc what came of each way of using it."""
    ufuncs = [f.function for f in functions() if f.kind == DIFFERENTIABLE]
    with np.errstate(all="ignore"):
        return {u.__name__: outcome(u) for u in ufuncs if isinstance(u, np.ufunc) and not u.signature}


def outcome(ufunc: np.ufunc) -> dict[str, str]:
    """What came of each way of using one ufunc."""
    domain = REGISTRY[ufunc].samples[0].domain
    arrays = Sample(*[(3,)] * ufunc.nin, domain=domain).draw()
    ways = UNARY if ufunc.nin == 1 else BINARY
    return {name: attempt(way, ufunc, arrays) for name, way in ways.items()}


def attempt(way: Callable[..., Any], ufunc: np.ufunc, arrays: list[np.ndarray]) -> str:
    """Use a ufunc on arrays, then on Tensors, and compare values and gradients."""
    try:
        value = way(ufunc, *arrays)
        expected = numerical_gradient(lambda *x: float(combination(way(ufunc, *x))), *arrays)
    except (TypeError, ValueError, RuntimeError):
        return NONE
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    try:
        result = way(ufunc, *leaves)
    except tg.errors.TinygradError:
        return REFUSED
    gradients = differentiate(combination(result), leaves)
    values = zip(flattened(result), flattened(value), strict=True)
    pairs = [(y.data, v, 1e-15) for y, v in values]
    pairs += [(g.data, e, 1e-4) for g, e in zip(gradients, expected, strict=True)]
    return RIGHT if all(np.allclose(a, b, rtol, 1e-6) for a, b, rtol in pairs) else WRONG
