"""The parts of a number: real and imaginary, sign and size, whole and fraction, mantissa and exponent.

A function of complex numbers without a complex derivative passes on ``dL/da - i dL/db``, as
:mod:`tinygrad_mnist.graph` explains. At 0, where a direction is undefined, the gradient is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import conjugate
from ..primitive import Constant, Sample, elementwise, implements, primitive
from ..tensor import Tensor, forbid_writes
from ..typing import Array

# -- complex numbers -----------------------------------------------------------------------------

elementwise(np.conjugate).vjp(lambda g, y, x: conjugate(g))


@primitive(np.real, samples=[Sample((2, 3)), Sample((2, 3), complex=True)], jvp="elementwise")
def real(val: Array, /) -> Array:
    """The real part."""
    return np.real(val)


real.vjp(lambda g, y, x: g)


@primitive(samples=[Sample((2, 3), complex=True)], jvp="elementwise")
def imag(x: Array, /) -> Array:
    """The imaginary part."""
    return np.imag(x)


imag.vjp(lambda g, y, x: g * (-1j if x.dtype.kind == "c" else 0))


@implements(np.imag, samples=[Sample((2, 3), complex=True)])
def _imag(val: Array) -> Array:
    return imag(val) if val.dtype.kind == "c" else forbid_writes(imag(val))


@primitive(
    np.angle,
    samples=[Sample((), complex=True), Sample((2, 3), complex=True, deg=True), Sample((2, 3))],
    jvp="elementwise",
)
def angle(z: Array, /, deg: bool = False) -> Array:
    """The argument of a complex number, in radians or degrees; the gradient at 0 is 0."""
    return np.angle(z, deg=deg)


angle.vjp(lambda g, y, z, deg: g * ((180 / math.pi if deg else 1) * -1j) / (z + (z == 0)) * (z != 0))


@primitive(samples=[Sample((2, 3), complex=True)])
def direction(z: Array, /) -> Array:
    """``z / |z|``, and 0 at 0, where the gradient is 0 too."""
    return np.sign(z)


def direction_rule(g: Array, y: Array, z: Array) -> Array:
    """The part of ``g`` orthogonal to the direction, divided by the distance."""
    across = (g - np.conj(g) * np.conj(y) ** 2) / 2
    return across / (np.abs(z) + (z == 0)) * (z != 0)


direction.vjp(direction_rule)


@implements(np.sign, samples=[Sample((2, 3), complex=True)])
def sign(x: Array) -> Array:
    """The sign of a real number, which is constant; the direction of a complex one, which is not."""
    return direction(x) if x.dtype.kind == "c" else _sign(x)


_sign = Constant(np.sign)


# -- signs, and the parts of a number ------------------------------------------------------------

elementwise(np.copysign).vjp(
    lambda g, y, a, b: g * np.sign(a) * np.copysign(1.0, b),
    lambda g, y, a, b: 0.0,
)
elementwise(np.heaviside).vjp(lambda g, y, a, b: 0.0, lambda g, y, a, b: g * (a == 0))
elementwise(np.nextafter).vjp(lambda g, y, a, b: g, lambda g, y, a, b: 0.0)


@primitive(np.ldexp, samples=[Sample((2, 3), np.array([1, -2, 0]))], jvp="elementwise")
def ldexp(x: Array, exponent: Array, /) -> Array:
    """``x`` times a power of two."""
    return np.ldexp(x, exponent)


ldexp.vjp(lambda g, y, x, exponent: np.ldexp(g, exponent), None)


@implements(np.frexp, samples=[Sample((2, 3))])
def frexp(x: Array) -> tuple[Array, Array]:
    """A number between 1/2 and 1, and the power of two that scales it to ``x``."""
    exponent = np.frexp(x.data)[1]
    return np.ldexp(x, -exponent), Tensor(exponent)


@implements(np.modf, samples=[Sample((2, 3))])
def modf(x: Array) -> tuple[Array, Array]:
    """The parts after and before the decimal point, both with the sign of ``x``."""
    finite = np.where(np.isinf(x), 0, x)
    return finite - np.trunc(finite), np.trunc(x)


@implements(np.divmod, samples=[Sample((2, 3), (3,), domain=(0.5, 3.0))])
def divmod(a: Array, b: Array) -> tuple[Array, Array]:
    """Floor of the quotient, and remainder."""
    return np.floor_divide(a, b), np.remainder(a, b)


@implements(
    np.nan_to_num,
    samples=[
        Sample((2, 3)),
        Sample((2, 3), complex=True),
        Sample(np.array([math.inf, 1.0, -math.inf, math.nan]), nan=1.0, posinf=2.0, neginf=3.0),
    ],
)
def nan_to_num(
    x: Array, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Array:
    """Replace NaN and infinities by numbers, which pass no gradient; in place if ``copy`` is false."""
    parts = [np.real(x), np.imag(x)] if x.dtype.kind == "c" else [x]
    settings: Any = {"nan": nan, "posinf": posinf, "neginf": neginf}
    parts = [np.where(np.isfinite(part), part, np.nan_to_num(part.data, **settings)) for part in parts]
    y = parts[0] + 1j * parts[1] if len(parts) == 2 else parts[0]
    return y if copy else x._write(y)


@implements(np.real_if_close, samples=[Sample((2, 3), complex=True), Sample((2, 3))])
def real_if_close(a: Array, tol: float = 100) -> Array:
    """The real part, if all imaginary parts are a few rounding errors; otherwise the number itself."""
    return a if np.iscomplexobj(np.real_if_close(a.data, tol)) or a.dtype.kind != "c" else np.real(a)
