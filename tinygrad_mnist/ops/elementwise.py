"""NumPy's elementwise functions: arithmetic, powers, logarithms, trigonometry, choices.

Each line is a function and its derivative. The body is NumPy's own; the rules never undo
broadcasting, the sweep does. At kinks and ties the rules follow PyTorch: 0 for ``abs`` at zero,
halves for ``maximum`` of equals, the inner derivative for ``clip`` at its bounds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DTypeError
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
elementwise(np.absolute).vjp(lambda g, y, x: g * np.sign(x))
elementwise(np.fabs).vjp(lambda g, y, x: g * np.sign(x))

# The remainder moves with a, and against b once for each time b went into a.
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
    """``b * a**(b-1)``, which is 0 for an exponent of 0, even at 0."""
    if not isinstance(b, (int, float)) or b == 0:
        a = a + ((a == 0) & (b == 0))  # 0 * 1**-1 rather than 0 * 0**-1
    return g * (b * a ** (b - 1))


def power_exponent_rule(g: Array, y: Array, a: Array, b: Array) -> Array:
    """``y * log(a)``, and its limit 0 where ``a`` is 0."""
    return g * (y * np.log(a + (a == 0)))


@primitive(
    np.power,
    samples=[
        Sample((2, 3), (3,), domain=(0.3, 2.0)),
        Sample((2, 3), 3),
        Sample((3,), np.array([2.0, 0.0, -1.0]), domain=(0.3, 2.0)),
        Sample((), (2, 1), domain=(0.3, 2.0)),
    ],
)
def power(a: Array, b: Array, /) -> Array:
    """``a`` to the power ``b``, elementwise with broadcasting."""
    return a**b  # the operator knows squares and roots, the ufunc does not


power.vjp(power_base_rule, power_exponent_rule)


@implements(np.float_power)
def float_power(a: Array, b: Array) -> Array:
    """``a**b`` in float64 at the least."""
    dtype = np.result_type(np.float64, *(x.dtype for x in (a, b) if hasattr(x, "dtype")))
    return power(*(x.astype(dtype) if hasattr(x, "astype") else x for x in (a, b)))


elementwise(np.sqrt, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (2 * y))
elementwise(np.cbrt, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (3 * y * y))
elementwise(np.hypot).vjp(lambda g, y, a, b: g * a / y, lambda g, y, a, b: g * b / y)

# -- exponentials and logarithms -----------------------------------------------------------------

elementwise(np.exp).vjp(lambda g, y, x: g * y)
elementwise(np.exp2).vjp(lambda g, y, x: g * y * _LN2)
elementwise(np.expm1).vjp(lambda g, y, x: g * (y + 1))
elementwise(np.log, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / x)
elementwise(np.log2, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (x * _LN2))
elementwise(np.log10, domain=(0.3, 3.0)).vjp(lambda g, y, x: g / (x * _LN10))
elementwise(np.log1p, domain=(-0.5, 2.0)).vjp(lambda g, y, x: g / (1 + x))
elementwise(np.logaddexp).vjp(
    lambda g, y, a, b: g * sigmoid(a - b),
    lambda g, y, a, b: g * sigmoid(b - a),
)
elementwise(np.logaddexp2).vjp(
    lambda g, y, a, b: g * sigmoid((a - b) * _LN2),
    lambda g, y, a, b: g * sigmoid((b - a) * _LN2),
)

# -- trigonometry --------------------------------------------------------------------------------

elementwise(np.sin).vjp(lambda g, y, x: g * np.cos(x))
elementwise(np.cos).vjp(lambda g, y, x: -g * np.sin(x))
elementwise(np.tan, domain=(-1.2, 1.2)).vjp(lambda g, y, x: g * (1 + y * y))
elementwise(np.arcsin, domain=(-0.8, 0.8)).vjp(lambda g, y, x: g / np.sqrt(1 - x * x))
elementwise(np.arccos, domain=(-0.8, 0.8)).vjp(lambda g, y, x: -g / np.sqrt(1 - x * x))
elementwise(np.arctan).vjp(lambda g, y, x: g / (1 + x * x))
elementwise(np.arctan2, domain=(0.3, 2.0)).vjp(
    lambda g, y, a, b: g * b / (a * a + b * b),
    lambda g, y, a, b: -g * a / (a * a + b * b),
)
elementwise(np.sinh).vjp(lambda g, y, x: g * np.cosh(x))
elementwise(np.cosh).vjp(lambda g, y, x: g * np.sinh(x))
elementwise(np.tanh).vjp(lambda g, y, x: g * (1 - y * y))
elementwise(np.arcsinh).vjp(lambda g, y, x: g / np.sqrt(x * x + 1))
elementwise(np.arccosh, domain=(1.3, 3.0)).vjp(lambda g, y, x: g / np.sqrt(x * x - 1))
elementwise(np.arctanh, domain=(-0.8, 0.8)).vjp(lambda g, y, x: g / (1 - x * x))
elementwise(np.deg2rad).vjp(lambda g, y, x: g * (math.pi / 180))
elementwise(np.radians).vjp(lambda g, y, x: g * (math.pi / 180))
elementwise(np.rad2deg).vjp(lambda g, y, x: g * (180 / math.pi))
elementwise(np.degrees).vjp(lambda g, y, x: g * (180 / math.pi))

# -- choices -------------------------------------------------------------------------------------
# (a > b) + (a >= b) is 2 where a is larger, 1 at a tie, 0 elsewhere.

for _larger in (np.maximum, np.fmax):
    elementwise(_larger).vjp(
        lambda g, y, a, b: g * (a > b) / 2 + g * (a >= b) / 2,
        lambda g, y, a, b: g * (b > a) / 2 + g * (b >= a) / 2,
    )
for _smaller in (np.minimum, np.fmin):
    elementwise(_smaller).vjp(
        lambda g, y, a, b: g * (a < b) / 2 + g * (a <= b) / 2,
        lambda g, y, a, b: g * (b < a) / 2 + g * (b <= a) / 2,
    )


@primitive(
    samples=[
        Sample(np.array([[True, False, True], [False, False, True]]), (2, 3), (3,)),
        Sample(np.array([True, False]), (), (3, 1)),
    ],
)
def where(condition: Array, a: Array, b: Array, /) -> Array:
    """``a`` where the condition holds, ``b`` elsewhere, with broadcasting."""
    return np.where(condition, a, b)


where.vjp(
    None,
    lambda g, y, condition, a, b: np.where(condition, g, 0),
    lambda g, y, condition, a, b: np.where(condition, 0, g),
)


@primitive(
    samples=[
        Sample((3, 4), np.array(-0.51), np.array(1.01)),
        Sample((3, 4), (4,), None),
        Sample((2, 2), None, (2, 1)),
    ],
)
def clip(a: Array, a_min: Array | None = None, a_max: Array | None = None, /) -> Array:
    """``a`` limited to the interval ``[a_min, a_max]``; at a bound the gradient passes to ``a``."""
    return np.clip(a, a_min, a_max)


def _below(a: Array, a_min: Array | None) -> Array:
    return False if a_min is None else a < a_min


def _above(a: Array, a_min: Array | None, a_max: Array | None) -> Array:
    # NumPy clips from below first: what a_min raised above a_max ends at a_max.
    return False if a_max is None else (a > a_max if a_min is None else np.maximum(a, a_min) > a_max)


clip.vjp(
    lambda g, y, a, low, high: np.where(_below(a, low) | _above(a, low, high), 0, g),
    lambda g, y, a, low, high: np.where(_below(a, low) & ~np.asarray(_above(a, low, high), bool), g, 0),
    lambda g, y, a, low, high: np.where(_above(a, low, high), g, 0),
)


@implements(np.where)
def _where(condition: Array, *choices: Array) -> Any:
    return where(condition, *choices) if choices else np.nonzero(condition)


@implements(np.clip)
def _clip(a: Array, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Array:
    return clip(a, a_min if min is None else min, a_max if max is None else max)


@primitive(np.astype, samples=[])
def astype(x: Array, /, dtype: np.dtype[np.generic], copy: bool = True) -> Array:
    """``x`` converted to another dtype; the sweep converts the gradient back."""
    if np.dtype(dtype).kind not in "biufc":
        raise DTypeError(f"astype: a Tensor holds numbers, not {np.dtype(dtype)}")
    return x.astype(dtype)


astype.vjp(lambda g, y, x, dtype, copy: g)

constant(
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
    np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert,
    np.isnan, np.isinf, np.isfinite, np.isclose, np.signbit,
    np.sign, np.floor, np.ceil, np.rint, np.round, np.trunc, np.floor_divide,
    np.zeros_like, np.ones_like, np.full_like, np.empty_like,
)  # fmt: skip
as_plain(
    np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.array_equiv, np.iscomplexobj, np.isrealobj
)
