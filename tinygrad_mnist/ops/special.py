"""NumPy's special functions. Their derivatives are not elementary, so each rule refers to the next function."""

from __future__ import annotations

import math

import numpy as np

from ..primitive import Sample, primitive
from ..typing import Array
from .arguments import beside
from .network import widen


@primitive(
    name="sinc_derivative",
    samples=[Sample((7,), order=1), Sample((7,), order=2), Sample((), order=3)],
    jvp="elementwise",
)
@widen
def sinc_derivative(x: Array, /, order: int) -> Array:
    """The derivative of the given order of ``sin(πx) / (πx)``, also at 0.

    The equation ``x sinc(x) = sin(πx) / π`` yields each derivative from the one before, with a division by
    ``x``; near 0, where that would cancel, the power series is summed.
    """
    near = np.abs(x) < 1
    apart = np.where(near, 1, x)
    far = np.sin(math.pi * apart) / (math.pi * apart)
    for n in range(1, order + 1):
        wave = np.sin(math.pi * apart + n * math.pi / 2) * math.pi ** (n - 1)
        far = (wave - n * far) / apart
    close = np.where(near, x, 0)
    series = 0 * close
    for k in reversed(range((order + 1) // 2, order // 2 + 16)):
        power = 2 * k - order
        term = (-1) ** k * math.pi ** (2 * k) / ((2 * k + 1) * math.factorial(power))
        series = series * close * close + term
    if order % 2:
        series = series * close
    return np.where(near, series, far).astype(x.dtype)


sinc_derivative.vjp(lambda g, y, x, order: g * sinc_derivative(x, order=order + 1))


@primitive(np.sinc, samples=[Sample((7,)), Sample(np.array([0.0, 1.0, -2.0]))], jvp="elementwise")
def sinc(x: Array, /) -> Array:
    """``sin(πx) / (πx)``, and 1 at 0."""
    return np.sinc(x)


sinc.vjp(lambda g, y, x: g * sinc_derivative(x, order=1))


@primitive(samples=[Sample((5,), order=0), Sample((), order=1)], jvp="elementwise")
@widen
def i0_derivative(x: Array, /, order: int) -> Array:
    """The derivative of the given order of ``I0(x)``, the mean of ``exp(x cos(t))`` over a turn.

    Equally spaced angles integrate a periodic function to full precision.
    """
    t = np.arange(128) * (math.pi / 128) + math.pi / 256
    cosine = beside(x, np.cos(t).astype(x.dtype))
    part = np.sinh if order % 2 else np.cosh  # the other half of the exponential sums to 0
    return np.mean(cosine**order * part(np.expand_dims(x, -1) * cosine), axis=-1)


i0_derivative.vjp(lambda g, y, x, order: g * i0_derivative(x, order=order + 1))


@primitive(np.i0, samples=[Sample((5,)), Sample((2, 3))], jvp="elementwise")
def i0(x: Array, /) -> Array:
    """The modified Bessel function of the first kind, of order 0."""
    return np.i0(x)


i0.vjp(lambda g, y, x: g * i0_derivative(x, order=1))
