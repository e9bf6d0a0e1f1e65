"""NumPy's elementwise functions: arithmetic, powers, logarithms, trigonometry, choices.

Each line is a function and its derivative. The function is NumPy's own; the sweep, not the rules,
undoes broadcasting. For complex numbers the rules are the same. At kinks they follow PyTorch: the
gradient of ``abs`` at zero is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import DTypeError
from ..graph import conjugate
from ..primitive import Sample, as_plain, constant, elementwise, implements, primitive
from ..typing import Array
from .network import sigmoid

_LN2, _LN10 = math.log(2), math.log(10)  # Python floats: a NumPy scalar would widen float32

# -- arithmetic ----------------------------------------------------------------------------------

elementwise(np.add).vjp(lambda g, y, a, b: g, lambda g, y, a, b: g)
elementwise(np.subtract).vjp(lambda g, y, a, b: g, lambda g, y, a, b: -g)
elementwise(np.multiply).vjp(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
elementwise(np.divide, domain=(0.5, 2.0)).vjp(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
elementwise(np.negative).vjp(lambda g, y, x: -g)
elementwise(np.positive).vjp(lambda g, y, x: g)
elementwise(np.reciprocal, domain=(0.5, 2.0)).vjp(lambda g, y, x: -g * y * y)
elementwise(np.square).vjp(lambda g, y, x: g * 2 * x)
elementwise(np.absolute).vjp(lambda g, y, x: g * conjugate(np.sign(x)))
elementwise(np.fabs).vjp(lambda g, y, x: g * np.sign(x))

# The remainder grows with a, and shrinks with b once for each time that b goes into a.
elementwise(np.remainder, domain=(0.5, 3.0)).vjp(
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * np.floor_divide(a, b),
)
elementwise(np.fmod, domain=(0.5, 3.0)).vjp(
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * np.trunc(a / b),
)


# -- powers and roots ----------------------------------------------------------------------------


def power_base_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``b * a**(b-1)``, which is 0 if the exponent is 0, even at a = 0."""
    if not isinstance(b, (int, float)) or b == 0:
        a = a + ((a == 0) & (b == 0))  # 0 * 1**-1 rather than 0 * 0**-1
    return g * b * a ** (b - 1)


def power_exponent_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``y * log(a)``, and its limit 0 where ``a`` and ``y`` are 0."""
    return g * (y * np.log(a + ((a == 0) & np.isfinite(y))))


@primitive(
    np.power,
    samples=[
        Sample((2, 3), (3,), domain=(0.3, 2.0)),
        Sample((2, 3), 3),
        Sample((3,), np.array([2.0, 0.0, -1.0]), domain=(0.3, 2.0)),
        Sample((), (2, 1), domain=(0.3, 2.0)),
        Sample((2, 3), (3,), domain=(0.3, 2.0), complex=True),
    ],
    jvp="elementwise",
)
def power(a: Array, b: Array, /) -> Array:
    """``a`` to the power ``b``, elementwise with broadcasting."""
    return a**b  # the operator knows squares and roots, the ufunc does not


power.vjp(power_base_rule, power_exponent_rule)


@implements(np.float_power, samples=[Sample((2, 3), (3,), domain=(0.3, 2.0))])
def float_power(a: Array, b: Array) -> Array:
    """``a**b`` in at least float64."""
    dtype = np.result_type(np.float64, *(x.dtype for x in (a, b) if hasattr(x, "dtype")))
    return power(*(x.astype(dtype) if hasattr(x, "astype") else x for x in (a, b)))


elementwise(np.sqrt, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (2 * y))
elementwise(np.cbrt, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (3 * y * y))
# At the origin, distances have a kink and angles are undefined: the gradient is 0.
elementwise(np.hypot).vjp(
    lambda g, y, a, b: g * (a / (y + (y == 0))),
    lambda g, y, a, b: g * (b / (y + (y == 0))),
)

# -- exponentials and logarithms -----------------------------------------------------------------

elementwise(np.exp).vjp(lambda g, y, x: g * y)
elementwise(np.exp2).vjp(lambda g, y, x: g * y * _LN2)
elementwise(np.expm1).vjp(lambda g, y, x: g * np.exp(x))
elementwise(np.log, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / x)
elementwise(np.log2, domain=(0.3, 3.0)).vjp(lambda g, y, x: g * (1 / _LN2) / x)
elementwise(np.log10, domain=(0.3, 3.0)).vjp(lambda g, y, x: g * (1 / _LN10) / x)
elementwise(np.log1p, domain=(-0.5, 2.0)).vjp(lambda g, y, x: g / (1 + x))
elementwise(np.logaddexp).vjp(
    lambda g, y, a, b: g * sigmoid(gap(a, b)),
    lambda g, y, a, b: g * sigmoid(gap(b, a)),
)
elementwise(np.logaddexp2).vjp(
    lambda g, y, a, b: g * sigmoid(gap(a, b) * _LN2),
    lambda g, y, a, b: g * sigmoid(gap(b, a) * _LN2),
)


def gap(a: Array, b: Array) -> Array:
    """``a - b``, and 0 between equal infinities: both then share the maximum equally."""
    same = (a == b) & np.isinf(a)
    return np.where(same, 0, a) - np.where(same, 0, b)


# -- trigonometry --------------------------------------------------------------------------------
# The slopes of inverse functions contain roots of x² + 1, 1 - x² and x² - 1. Written as a distance or as a product of
# two factors, they neither overflow nor cancel.


def root_with(x: Array) -> Array:
    """``sqrt(1 + x²)``."""
    return np.hypot(x, 1)


@primitive(samples=[((),), ((2, 3),), Sample((2, 3), complex=True)], jvp="elementwise")
def one_less_square(x: Array, /) -> Array:
    """``1 - x²``, with all its digits near 1."""
    return (1 - x) * (1 + x)


one_less_square.vjp(
    lambda g, y, x: g * -2 * x
)  # written as a product, because g may be infinite where 1 - x is 0


def root_below(x: Array) -> Array:
    """``sqrt(1 - x²)``."""
    return np.sqrt(one_less_square(x))


@primitive(samples=[Sample((), domain=(1.3, 3.0)), Sample((2, 3), domain=(1.3, 3.0))], jvp="elementwise")
def root_above(x: Array, /) -> Array:
    """``sqrt(x² - 1)``."""
    return np.sqrt(x - 1) * np.sqrt(x + 1)


root_above.vjp(lambda g, y, x: g * (x / y))  # written as a product, because g may be infinite where y is 0


def by_value(f: Callable[[Array], Array], y: Array, x: Array, root: Callable[[Array], Array]) -> Array:
    """The root; for complex numbers ``f(y)``, because only the value knows its branch."""
    return f(y) if x.dtype.kind == "c" else root(x)


def arctan_rule(g: Array, y: Array, x: Array) -> Array:
    """``1 / (1 + x²)``."""
    return g / (1 + x * x) if x.dtype.kind == "c" else g / root_with(x) / root_with(x)


elementwise(np.sin).vjp(lambda g, y, x: g * np.cos(x))
elementwise(np.cos).vjp(lambda g, y, x: -g * np.sin(x))
elementwise(np.tan, domain=(-1.2, 1.2)).vjp(lambda g, y, x: g * (1 + y * y))
elementwise(np.arcsin, domain=(-0.8, 0.8)).vjp(lambda g, y, x: g / by_value(np.cos, y, x, root_below))
elementwise(np.arccos, domain=(-0.8, 0.8)).vjp(lambda g, y, x: -g / by_value(np.sin, y, x, root_below))
elementwise(np.arctan).vjp(arctan_rule)
elementwise(np.arctan2, domain=(0.3, 2.0)).vjp(
    lambda g, y, a, b: g * over_square(b, a, b),
    lambda g, y, a, b: -g * over_square(a, a, b),
)


def over_square(x: Array, a: Array, b: Array) -> Array:
    """``x / (a² + b²)`` without overflow; 0 at the origin."""
    distance = np.hypot(a, b)
    distance = distance + (distance == 0)
    return x / distance / distance


elementwise(np.sinh).vjp(lambda g, y, x: g * np.cosh(x))
elementwise(np.cosh).vjp(lambda g, y, x: g * np.sinh(x))
elementwise(np.tanh).vjp(lambda g, y, x: g * (1 - y * y))
elementwise(np.arcsinh).vjp(lambda g, y, x: g / by_value(np.cosh, y, x, root_with))
elementwise(np.arccosh, domain=(1.3, 3.0)).vjp(lambda g, y, x: g / by_value(np.sinh, y, x, root_above))
elementwise(np.arctanh, domain=(-0.8, 0.8)).vjp(lambda g, y, x: g / one_less_square(x))


elementwise(np.deg2rad).vjp(lambda g, y, x: g * (math.pi / 180))
elementwise(np.radians).vjp(lambda g, y, x: g * (math.pi / 180))
elementwise(np.rad2deg).vjp(lambda g, y, x: g * (180 / math.pi))
elementwise(np.degrees).vjp(lambda g, y, x: g * (180 / math.pi))


@primitive(np.astype, samples=[], jvp="elementwise")
def astype(x: Array, /, dtype: np.dtype[np.generic], copy: bool = True) -> Array:
    """``x`` converted to another dtype; the sweep converts the gradient back."""
    if np.dtype(dtype).kind not in "biufc":
        raise DTypeError(f"astype: a Tensor holds numbers, not {np.dtype(dtype)}")
    return x.astype(dtype, copy=copy)


astype.vjp(lambda g, y, x, dtype, copy: g)

constant(
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
    np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert,
    np.left_shift, np.right_shift, np.gcd, np.lcm,
    np.isnan, np.isinf, np.isfinite, np.isclose, np.signbit, np.isposinf, np.isneginf, np.isreal, np.iscomplex,
    np.floor, np.ceil, np.rint, np.round, np.around, np.trunc, np.fix, np.floor_divide, np.spacing,
    np.zeros_like, np.ones_like, np.empty_like,
)  # fmt: skip
constant(*(getattr(np, name) for name in ("bitwise_count",) if hasattr(np, name)))
as_plain(
    np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.array_equiv, np.iscomplexobj, np.isrealobj,
    np.result_type, np.can_cast, np.common_type, np.min_scalar_type, np.may_share_memory, np.shares_memory,
    np.array_repr, np.array_str, np.array2string,
)  # fmt: skip
