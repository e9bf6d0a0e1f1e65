"""A second opinion on elementwise functions and reductions: PyTorch's values, gradients and second derivatives.

Besides ordinary numbers there are the edges where PyTorch's answer is a sane one: ties, kinks, zeros,
infinities and numbers whose squares overflow. Where it is not (the slope of ``hypot`` at 0 is NaN there),
the point is left out; ``tests/surface/edges.py`` lists what is right.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

RNG = np.random.default_rng(0)
INF = np.inf


def scalar(y, kind):
    """A real number in which real and imaginary parts take part with different weights."""
    return ((kind.real(y) - 0.5 * kind.imag(y)) if "complex" in str(y.dtype) else y).sum()


def ours(f, *values):
    leaves = [tg.tensor(v, requires_grad=True) for v in values]
    y = f(*leaves)
    first, second = grads(y, leaves), None
    total = sum((scalar(g, np) for g in first if g is not None and g.requires_grad), tg.Tensor(0.0))
    if total.requires_grad:
        second = grads(total, leaves)
    return [y.data, *plain(first, values), *plain(second or [None] * len(values), values)]


def grads(y, leaves):
    for leaf in leaves:
        leaf.zero_grad()
    scalar(y, np).backward(create_graph=True)
    return [leaf.grad for leaf in leaves]


def plain(gradients, values):
    return [np.zeros_like(v) if g is None else g.data for g, v in zip(gradients, values, strict=True)]


def theirs(f, *values):
    leaves = [torch.tensor(v, requires_grad=True) for v in values]
    y = f(*leaves)
    first = torch.autograd.grad(scalar(y, torch), leaves, create_graph=True, allow_unused=True)
    total = sum(scalar(g, torch) for g in first if g is not None and g.requires_grad)
    second = [None] * len(leaves)
    if isinstance(total, torch.Tensor) and total.requires_grad:
        second = torch.autograd.grad(total, leaves, allow_unused=True)
    gradients = [
        np.zeros_like(v) if g is None else g.detach().resolve_conj().numpy(force=True)
        for g, v in zip([*first, *second], [*values, *values], strict=True)
    ]
    return [y.detach().resolve_conj().numpy(), *gradients]


def agree(f, g, *values, rtol=1e-9, atol=1e-12):
    with np.errstate(all="ignore"):
        mine = ours(f, *values)
    for a, b in zip(mine, theirs(g, *values), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# -- one argument --------------------------------------------------------------------------------

ALL = np.array(
    [-INF, -1e200, -700.0, -30.0, -2.5, -1.0, -0.5, -1e-8, 0.0, 1e-8, 0.5, 1.0, 2.5, 30.0, 700.0, 1e200, INF]
)
POSITIVE = np.array([1e-200, 1e-8, 0.5, 1.0, 2.5, 30.0, 1e200, INF])
MODERATE = np.array([-30.0, -2.5, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 1.0, 2.5, 30.0])
INSIDE = np.array([-1.0, -0.999, -0.5, -1e-8, 0.0, 0.3, 0.999, 1.0])

UNARY = [
    ("absolute", np.absolute, torch.abs, ALL),
    ("fabs", np.fabs, torch.abs, ALL),
    ("negative", np.negative, torch.neg, ALL),
    ("positive", np.positive, torch.positive, ALL),
    ("reciprocal", np.reciprocal, torch.reciprocal, ALL),
    ("square", np.square, torch.square, ALL),
    ("sqrt", np.sqrt, torch.sqrt, np.append(POSITIVE, 0.0)),
    ("exp", np.exp, torch.exp, ALL),
    ("exp2", np.exp2, torch.exp2, ALL),
    ("expm1", np.expm1, torch.expm1, ALL),
    ("log", np.log, torch.log, np.append(POSITIVE, 0.0)),
    ("log2", np.log2, torch.log2, np.append(POSITIVE, 0.0)),
    ("log10", np.log10, torch.log10, np.append(POSITIVE, 0.0)),
    ("log1p", np.log1p, torch.log1p, np.append(POSITIVE, [-1.0, -0.5, 0.0])),
    ("sin", np.sin, torch.sin, MODERATE),
    ("cos", np.cos, torch.cos, MODERATE),
    ("tan", np.tan, torch.tan, MODERATE),
    ("arcsin", np.arcsin, torch.asin, INSIDE),
    ("arccos", np.arccos, torch.acos, INSIDE),
    ("arctan", np.arctan, torch.atan, ALL),
    ("sinh", np.sinh, torch.sinh, ALL),
    ("cosh", np.cosh, torch.cosh, ALL),
    ("tanh", np.tanh, torch.tanh, ALL),
    ("arcsinh", np.arcsinh, torch.asinh, ALL),
    ("arccosh", np.arccosh, torch.acosh, np.array([1.0, 1 + 1e-4, 1.5, 30.0, 1e200])),
    ("arctanh", np.arctanh, torch.atanh, INSIDE),
    ("deg2rad", np.deg2rad, torch.deg2rad, ALL),
    ("radians", np.radians, torch.deg2rad, ALL),
    ("rad2deg", np.rad2deg, torch.rad2deg, ALL),
    ("degrees", np.degrees, torch.rad2deg, ALL),
    ("sinc", np.sinc, torch.sinc, MODERATE[np.abs(MODERATE) > 0.01]),
    ("i0", np.i0, torch.i0, MODERATE),
    ("real", np.real, torch.real, ALL),
    ("conjugate", np.conjugate, torch.conj, ALL),
    ("nan_to_num", np.nan_to_num, torch.nan_to_num, np.append(ALL, np.nan)),
    ("frexp", lambda x: np.frexp(x)[0], lambda x: torch.frexp(x)[0], MODERATE),
    ("sigmoid", F.sigmoid, torch.sigmoid, ALL),
    ("erf", F.erf, torch.erf, ALL[np.isfinite(ALL)]),
    ("relu", F.relu, torch.relu, ALL),
    ("leaky_relu", F.leaky_relu, torch.nn.functional.leaky_relu, ALL),
    ("elu", F.elu, torch.nn.functional.elu, ALL[ALL != 0]),
    ("gelu", F.gelu, torch.nn.functional.gelu, MODERATE),
    ("softplus", F.softplus, lambda x: torch.nn.functional.softplus(x, threshold=700.0), MODERATE),
    ("clip", lambda x: np.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1.0, 1.0), ALL),
    ("clip below", lambda x: np.clip(x, 0.5, None), lambda x: torch.clamp(x, 0.5), ALL),
    ("where", lambda x: np.where(x > 0, x, x**2), lambda x: torch.where(x > 0, x, x**2), MODERATE),
    ("remainder", lambda x: x % 2.5, lambda x: torch.remainder(x, 2.5), MODERATE),
    ("fmod", lambda x: np.fmod(x, 2.5), lambda x: torch.fmod(x, 2.5), MODERATE),
    *((f"power {p}", lambda x, p=p: x**p, lambda x, p=p: x**p, MODERATE) for p in (0, 1, 2, 3, -1, -2)),
    *((f"power {p}", lambda x, p=p: x**p, lambda x, p=p: x**p, POSITIVE) for p in (0.5, 1.5, -0.5)),
    ("2 to the", lambda x: 2.0**x, lambda x: 2.0**x, ALL),
    ("0 to the", lambda x: 0.0**x, lambda x: 0.0**x, np.array([-2.0, -0.5])),
]


@for_each("f, g, x", [pytest.param(*case, id=name) for name, *case in UNARY])
def test_unary(f, g, x):
    agree(f, g, x)


CONSTANT = [
    (np.sign, torch.sign), (np.floor, torch.floor), (np.ceil, torch.ceil), (np.trunc, torch.trunc),
    (np.rint, torch.round),
]  # fmt: skip


@for_each("f, g", CONSTANT, ids=lambda f: f.__name__)
def test_locally_constant(f, g):
    agree(lambda x: f(x) * x, lambda x: g(x) * x, MODERATE)


# -- two arguments -------------------------------------------------------------------------------

POINTS = np.array([-INF, -2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, INF])
FINITE = POINTS[1:-1]


def pairs(a, b):
    return [m.ravel() for m in np.meshgrid(a, b)]


TIED = pairs(POINTS, POINTS)
APART = [m[TIED[0] != TIED[1]] for m in TIED]
DIVISORS = pairs(FINITE, FINITE[FINITE != 0])
# Without the exponent 0, where PyTorch leaves the mixed second derivative 1/a out.
POWERS = pairs(FINITE[FINITE > 0], POINTS[POINTS != 0])

BINARY = [
    ("add", np.add, torch.add, TIED),
    ("subtract", np.subtract, torch.sub, TIED),
    ("multiply", np.multiply, torch.mul, TIED),
    ("divide", np.divide, torch.div, TIED),
    ("power", np.power, torch.pow, POWERS),
    ("power of 0", lambda a, b: a ** b.detach(), lambda a, b: a ** b.detach(), pairs([0.0], [1.0, 2.0, 2.5])),
    ("power of a negative", lambda a, b: a ** b.detach(), lambda a, b: a ** b.detach(), pairs([-2.0], [2.0, 3.0])),
    ("float_power", np.float_power, torch.float_power, POWERS),
    ("maximum", np.maximum, torch.maximum, TIED),
    ("minimum", np.minimum, torch.minimum, TIED),
    ("fmax", np.fmax, torch.fmax, [np.append(m, v) for m, v in zip(APART, ([np.nan, 1], [1, np.nan]), strict=True)]),
    ("fmin", np.fmin, torch.fmin, [np.append(m, v) for m, v in zip(APART, ([np.nan, 1], [1, np.nan]), strict=True)]),
    ("remainder", np.remainder, torch.remainder, DIVISORS),
    ("fmod", np.fmod, torch.fmod, DIVISORS),
    ("hypot", np.hypot, torch.hypot, DIVISORS),
    ("arctan2", np.arctan2, torch.atan2, DIVISORS),
    ("logaddexp", np.logaddexp, torch.logaddexp, pairs(FINITE * 20, FINITE * 20)),
    ("logaddexp2", np.logaddexp2, torch.logaddexp2, pairs(FINITE * 20, FINITE * 20)),
    ("copysign", np.copysign, torch.copysign, pairs(FINITE[FINITE != 0], FINITE[FINITE > 0])),
    (
        "clip",
        lambda x, a: np.clip(x, a, 1.5),
        lambda x, a: torch.clamp(x, a, torch.tensor(1.5, dtype=torch.float64)),
        pairs(FINITE, FINITE),
    ),
    ("ldexp", lambda a, b: np.ldexp(a, 3) * b, lambda a, b: torch.ldexp(a, torch.tensor(3)) * b, DIVISORS),
]  # fmt: skip


@for_each("f, g, values", [pytest.param(*case, id=name) for name, *case in BINARY])
def test_binary(f, g, values):
    agree(f, g, *map(np.asarray, values))


@for_each(
    "f, g",
    [(np.add, torch.add), (np.multiply, torch.mul), (np.divide, torch.div), (np.power, torch.pow)],
    ids=["add", "multiply", "divide", "power"],
)
@for_each("shapes", [((2, 3), (3,)), ((), (2, 2)), ((2, 1), (1, 3)), ((0, 2), (2,))], ids=str)
def test_broadcasting(f, g, shapes):
    agree(f, g, *(RNG.uniform(0.5, 2.0, shape) for shape in shapes))


# -- complex numbers -----------------------------------------------------------------------------

Z = RNG.normal(size=12) * 2 + 1j * RNG.normal(size=12) * 2
Z = np.concatenate([Z, [0.3 + 0j, -0.3 + 0j, 0.5j, -0.5j, 2j, -2j, -1.5 + 1e-9j, -1.5 - 1e-9j]])

COMPLEX = [
    ("absolute", np.absolute, torch.abs), ("negative", np.negative, torch.neg),
    ("positive", np.positive, torch.positive), ("sign", np.sign, torch.sgn),
    ("reciprocal", np.reciprocal, torch.reciprocal), ("square", np.square, torch.square),
    ("sqrt", np.sqrt, torch.sqrt), ("exp", np.exp, torch.exp), ("exp2", np.exp2, torch.exp2),
    ("expm1", np.expm1, torch.expm1), ("log", np.log, torch.log), ("log2", np.log2, torch.log2),
    ("log10", np.log10, torch.log10), ("log1p", np.log1p, torch.log1p), ("sin", np.sin, torch.sin),
    ("cos", np.cos, torch.cos), ("tan", np.tan, torch.tan), ("arcsin", np.arcsin, torch.asin),
    ("arccos", np.arccos, torch.acos), ("arctan", np.arctan, torch.atan), ("sinh", np.sinh, torch.sinh),
    ("cosh", np.cosh, torch.cosh), ("tanh", np.tanh, torch.tanh), ("arcsinh", np.arcsinh, torch.asinh),
    ("arccosh", np.arccosh, torch.acosh), ("arctanh", np.arctanh, torch.atanh), ("sinc", np.sinc, torch.sinc),
    ("real", np.real, torch.real), ("imag", np.imag, torch.imag), ("conjugate", np.conjugate, torch.conj),
    ("angle", np.angle, torch.angle), ("z**2", lambda z: z**2, lambda z: z**2),
    ("z**0.5", lambda z: z**0.5, lambda z: z**0.5), ("z**-1", lambda z: z**-1, lambda z: z**-1),
]  # fmt: skip


@for_each("f, g", [pytest.param(*case, id=name) for name, *case in COMPLEX])
def test_complex_unary(f, g):
    agree(f, g, Z)


@for_each(
    "f, g",
    [
        (np.absolute, torch.abs),
        (np.square, torch.square),
        (lambda z: z**3, lambda z: z**3),
        (np.conjugate, torch.conj),
        (lambda z: np.abs(z) ** 2, lambda z: torch.abs(z) ** 2),
    ],
    ids=["absolute", "square", "cube", "conjugate", "squared distance"],
)
def test_complex_at_0(f, g):
    agree(f, g, np.array([0j, 1j]))


@for_each("other", [Z[::-1], Z.real, np.abs(Z)], ids=["complex", "real", "positive"])
@for_each(
    "f, g",
    [(np.add, torch.add), (np.subtract, torch.sub), (np.multiply, torch.mul), (np.divide, torch.div)],
    ids=["add", "subtract", "multiply", "divide"],
)
def test_complex_binary(f, g, other):
    a, b = Z[other != 0], other[other != 0]
    agree(f, g, a, b)
    agree(f, g, b, a)


def test_complex_power():
    agree(np.power, torch.pow, Z, Z[::-1].copy())
    agree(np.power, torch.pow, Z, Z.real.copy())
    agree(np.power, torch.pow, np.abs(Z), Z)


# -- reductions ----------------------------------------------------------------------------------

X = RNG.normal(size=(3, 4))
TIES = np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 2.0], [2.0, 0.0, 0.0]])
ZEROS = np.array([[0.0, 2.0, 3.0], [1.0, 0.0, 0.0]])
ARRAYS = {"ordinary": X, "ties": TIES, "zeros": ZEROS, "single": np.array([[3.0]])}
every_array = for_each("x", ARRAYS.values(), ids=ARRAYS)


def all_axes(f):
    return lambda x, axis: f(x) if axis is None else f(x, dim=axis)


REDUCTIONS = {
    "sum": (np.sum, all_axes(torch.sum)),
    "mean": (np.mean, all_axes(torch.mean)),
    "prod": (np.prod, all_axes(torch.prod)),
    "max": (np.max, all_axes(torch.amax)),
    "min": (np.min, all_axes(torch.amin)),
    "var": (np.var, lambda x, axis: torch.var(x, dim=axis, correction=0)),
    "logsumexp": (F.logsumexp, lambda x, axis: torch.logsumexp(x, (0, 1) if axis is None else axis)),
    "softmax": (
        lambda x, axis: F.softmax(x, axis=axis or 0) * x,
        lambda x, axis: torch.softmax(x, axis or 0) * x,
    ),
    "log_softmax": (
        lambda x, axis: F.log_softmax(x, axis=axis or 0) * x,
        lambda x, axis: torch.log_softmax(x, axis or 0) * x,
    ),
    "nansum": (np.nansum, all_axes(torch.nansum)),
    "nanmean": (np.nanmean, all_axes(torch.nanmean)),
    "median": (np.median, lambda x, axis: torch.quantile(x, 0.5, dim=axis)),
    "quantile": (
        lambda x, axis: np.quantile(x, 0.3, axis=axis),
        lambda x, axis: torch.quantile(x, 0.3, dim=axis),
    ),
    "distance": (
        lambda x, axis: np.linalg.norm(np.ravel(x) if axis is None else x, axis=axis),
        lambda x, axis: torch.linalg.vector_norm(x, dim=axis),
    ),
}


@for_each("axis", [None, 0, 1])
@for_each("f, g", REDUCTIONS.values(), ids=REDUCTIONS)
@every_array
def test_reductions(f, g, axis, x):
    agree(lambda x: f(x, axis=axis) ** 2, lambda x: g(x, axis) ** 2, x)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_variance_of_a_sample(axis):
    agree(lambda x: np.var(x, axis, ddof=1), lambda x: torch.var(x, dim=axis), X)
    agree(lambda x: np.std(x, axis, ddof=1), lambda x: torch.std(x, dim=axis), X)


ACCUMULATIONS = {
    "cumsum": (np.cumsum, torch.cumsum),
    "cumprod": (np.cumprod, torch.cumprod),
    "cummax": (np.maximum.accumulate, lambda x, axis: torch.cummax(x, axis)[0]),
    "cummin": (np.minimum.accumulate, lambda x, axis: torch.cummin(x, axis)[0]),
    "logcumsumexp": (np.logaddexp.accumulate, torch.logcumsumexp),
    "sort": (
        lambda x, axis: np.sort(x, axis=axis, kind="stable"),
        lambda x, axis: torch.sort(x, dim=axis, stable=True)[0],
    ),
    "diff": (np.diff, lambda x, axis: torch.diff(x, dim=axis)),
    "flip": (np.flip, lambda x, axis: torch.flip(x, (axis,))),
}  # fmt: skip


@for_each("axis", [0, 1])
@for_each("f, g", ACCUMULATIONS.values(), ids=ACCUMULATIONS)
@every_array
def test_accumulations(f, g, axis, x):
    weights = np.linspace(1, 2, f(x, axis=axis).size).reshape(f(x, axis=axis).shape)
    agree(
        lambda x: (f(x, axis=axis) + 0.3) ** 2 * weights,
        lambda x: (g(x, axis) + 0.3) ** 2 * torch.tensor(weights),
        x,
    )


def test_reductions_of_complex_numbers():
    z = Z[:12].reshape(3, 4)
    for f, g in [(np.sum, torch.sum), (np.mean, torch.mean), (np.prod, torch.prod)]:
        agree(f, g, z)
    agree(np.prod, torch.prod, np.array([0j, 1 + 1j, 2.0]))
    agree(np.var, lambda z: torch.var(z, correction=0), z)
    agree(np.std, lambda z: torch.std(z, correction=0), z)
    agree(lambda z: np.cumprod(z, axis=0), lambda z: torch.cumprod(z, 0), z)
    agree(np.linalg.norm, torch.linalg.norm, z)


def test_reductions_beside_nan_and_infinity():
    x = np.array([1.0, np.nan, 3.0, 3.0])
    agree(np.nansum, torch.nansum, x)
    agree(np.nanmean, torch.nanmean, x)
    agree(np.nanmax, lambda x: torch.amax(torch.nan_to_num(x, nan=-9.0)), x)
    agree(np.nanmedian, lambda x: torch.nanquantile(x, 0.5), x)
    agree(np.max, torch.amax, np.array([1.0, INF, 3.0, INF]))
    agree(F.logsumexp, lambda x: torch.logsumexp(x, 0), np.array([-INF, 1.0, 2.0]))
    agree(lambda x: F.softmax(x)[1], lambda x: torch.softmax(x, 0)[1], np.array([-INF, 1.0, 2.0]))
