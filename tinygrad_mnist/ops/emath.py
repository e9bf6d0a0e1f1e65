"""``np.emath``: functions that return complex numbers where the real ones return NaN.

A real array becomes complex if one of its elements requires it. Its gradient is the real part of the
complex one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Sample, implements
from ..typing import Array, NDArray
from .arguments import lift

_SMALL = (np.int8, np.int16, np.uint8, np.uint16, np.float32, np.complex64)  # dtypes that fit into complex64


def below_zero(x: NDArray) -> Any:
    """Whether a real number among ``x`` is negative."""
    return np.any(np.isreal(x) & (x < 0))


def beyond_one(x: NDArray) -> Any:
    """Whether a real number among ``x`` is larger than 1, or smaller than -1."""
    return np.any(np.isreal(x) & (np.abs(x) > 1))


def as_complex(x: Array) -> Array:
    """``x`` as complex numbers of single or double precision."""
    return x.astype(np.complex64 if x.dtype.type in _SMALL else np.complex128)


def extend_below_zero(x: Any) -> Array:
    """``x``, made complex if it is negative anywhere."""
    x = lift(x)
    return as_complex(x) if below_zero(x.data) else x


def bound(x: Any) -> Array:
    """``x``, made complex if it is outside ``[-1, 1]`` anywhere."""
    x = lift(x)
    return as_complex(x) if beyond_one(x.data) else x


_INSIDE = [Sample((2, 3), domain=(0.2, 0.8)), Sample((3,), domain=(0.2, 0.8), complex=True)]
_BOTH = [*_INSIDE, Sample((4,))]


@implements(np.emath.sqrt, samples=_BOTH)
def sqrt(x: Array) -> Array:
    """The square root; that of a negative number is imaginary."""
    return np.sqrt(extend_below_zero(x))


@implements(np.emath.log, samples=_BOTH)
def log(x: Array) -> Array:
    """The natural logarithm; that of a negative number has the imaginary part pi."""
    return np.log(extend_below_zero(x))


@implements(np.emath.log2, samples=_BOTH)
def log2(x: Array) -> Array:
    """The logarithm to base 2."""
    return np.log2(extend_below_zero(x))


@implements(np.emath.log10, samples=_BOTH)
def log10(x: Array) -> Array:
    """The logarithm to base 10."""
    return np.log10(extend_below_zero(x))


@implements(
    np.emath.logn, samples=[Sample((3,), (2, 3), domain=(0.2, 0.8)), Sample((), (4,)), Sample(3, (4,))]
)
def logn(n: Array, x: Array) -> Array:
    """The logarithm to base ``n``."""
    return np.log(extend_below_zero(x)) / np.log(extend_below_zero(n))


@implements(
    np.emath.power,
    samples=[
        Sample((2, 3), (3,), domain=(0.2, 0.8)),
        Sample((4,), (4,)),
        Sample((4,), np.array([2, -1, 0, 3])),
    ],
)
def power(x: Array, p: Array) -> Array:
    """``x**p``, for negative numbers too."""
    p = lift(p)
    return np.power(extend_below_zero(x), p * 1.0 if below_zero(p.data) else p)


@implements(np.emath.arcsin, samples=_BOTH)
def arcsin(x: Array) -> Array:
    """The angle with this sine."""
    return np.arcsin(bound(x))


@implements(np.emath.arccos, samples=_BOTH)
def arccos(x: Array) -> Array:
    """The angle with this cosine."""
    return np.arccos(bound(x))


@implements(np.emath.arctanh, samples=_BOTH)
def arctanh(x: Array) -> Array:
    """The number with this hyperbolic tangent."""
    return np.arctanh(bound(x))
