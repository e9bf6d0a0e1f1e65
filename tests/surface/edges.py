"""Values and gradients at kinks, ties, poles, and of arrays with one element or none: the one table of them.

Each line is an expression, its inputs, its value, and the gradient of the sum of that value. The test is
``test_edge_values.py``, the page ``docs/edge_values.md``, and ``python -m tests.surface --edges`` prints what
other libraries return for the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

inf, nan = float("inf"), float("nan")

LIBRARIES = ("torch", "autograd", "mygrad")


@dataclass(frozen=True)
class Edge:
    """One line of the table.

    Attributes
    ----------
    expression : str
        Of ``np``, ``F`` (``tg.nn.functional``), ``w = [1, 2, 3, …]`` and the inputs; or an assignment to one of them.
    inputs : dict
        Numbers and lists of them by name, all of them tracked.
    value : number or nested lists; the name of an exception where the expression is an error
    gradient : dict
        The gradient of each input; the name of an exception where asking for it is an error.
    why : str
    words : dict
        The expression in the words of other libraries, where these are not the same; ``""`` where they have none.
    """

    expression: str
    inputs: dict[str, Any]
    value: Any
    gradient: dict[str, Any] | str
    why: str
    words: dict[str, str]


def at(expression: str, value: Any, gradient: Any, why: str, **inputs: Any) -> Edge:
    """A line of the table; keywords are its inputs, and expressions in the words of other libraries."""
    words = {name: inputs.pop(name) for name in LIBRARIES if name in inputs}
    if not isinstance(gradient, (dict, str)):
        gradient = {next(iter(inputs)): gradient}
    return Edge(expression, inputs, value, gradient, why, words)


_ZEROS, _ONE = [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
_SINGULAR = [[1.0, 2.0], [2.0, 4.0]]

TABLE: dict[str, list[Edge]] = {
    "Norms and distances": [
        at("np.linalg.norm(x)", 0.0, [0.0, 0.0], "the bottom of a cone: the subgradient of least norm",
           x=[0.0, 0.0]),
        at("np.linalg.norm(x, 1)", 2.0, [0.0, 1.0], "like abs at 0", x=[0.0, 2.0]),
        at("np.linalg.norm(x, 3)", 0.0, [0.0, 0.0], "least norm", x=[0.0, 0.0]),
        at("np.linalg.norm(x, 3)", 2.0, [0.0, 1.0], "the derivative, as x |x| / |x|²", x=[0.0, 2.0]),
        at("np.linalg.norm(x, np.inf)", 3.0, [0.5, -0.5], "equal shares", x=[3.0, -3.0]),
        at("np.linalg.norm(x, np.inf)", 0.0, [0.0, 0.0], "least norm", x=[0.0, 0.0]),
        at("np.linalg.norm(x, -np.inf)", 0.0, [0.0, 0.0], "like abs at 0", x=[0.0, 2.0]),
        at("np.linalg.norm(x)", 0.0, _ZEROS, "Frobenius: as for a vector", x=_ZEROS),
        at("np.linalg.norm(x, 1)", 1.0, [[0.5, 0.0], [0.0, 0.5]], "equal shares for columns that tie", x=_ONE),
        at("np.linalg.norm(x, 2)", 0.0, _ZEROS, "least norm", x=_ZEROS),
        at("np.linalg.norm(x, 2)", 1.0, [[0.5, 0.0], [0.0, 0.5]], "equal shares for singular values that tie", x=_ONE),
        at("np.linalg.norm(x, 'nuc')", 0.0, _ZEROS, "least norm", x=_ZEROS),
        at("np.linalg.norm(x, 'nuc')", 1.0, [[1.0, 0.0], [0.0, 0.0]], "least norm",
           x=[[1.0, 0.0], [0.0, 0.0]]),
        at("np.linalg.norm(x, 'nuc')", 5.0, [[0.2, 0.4], [0.4, 0.8]], "least norm", x=_SINGULAR),
        at("np.hypot(x, y)", 0.0, {"x": 0.0, "y": 0.0}, "a norm, like any other", x=0.0, y=0.0),
        at("np.hypot(x, y)", 5e200, {"x": 0.6, "y": 0.8}, "no overflow in between", x=3e200, y=4e200),
        at("np.abs(x)", 0.0, 0.0, "the middle of −1 … 1", x=0.0),
        at("np.abs(x)", 0.0, 0j, "the bottom of a cone in the complex plane", x=0j),
    ],
    "Products": [
        at("np.prod(x)", 0.0, [6.0, 0.0, 0.0], "each element is multiplied by the others", x=[0.0, 2.0, 3.0]),
        at("np.prod(x)", 0.0, [0.0, 0.0, 0.0], "with two zeros, every product of the others is 0",
           x=[0.0, 2.0, 0.0]),
        at("np.cumprod(x)", [2.0, 0.0, 0.0], [1.0, 8.0, 0.0], "like prod", x=[2.0, 0.0, 3.0],
           torch="torch.cumprod(x, 0)"),
        at("np.cumprod(x)", [0.0, 0.0, 0.0], [3.0, 0.0, 0.0], "like prod", x=[0.0, 2.0, 0.0],
           torch="torch.cumprod(x, 0)"),
        at("np.linalg.det(x)", 0.0, [[4.0, -2.0], [-2.0, 1.0]], "the adjugate, which needs no inverse",
           x=_SINGULAR),
        at("np.linalg.det(x)", 0.0, _ZEROS, "the adjugate is 0", x=_ZEROS),
        at("np.linalg.det(x)", 0.0, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "the adjugate",
           x=[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    ],
    "Powers and roots": [
        at("np.sqrt(x)", 0.0, inf, "a vertical slope; add a small number inside the root", x=0.0),
        at("np.cbrt(x)", 0.0, inf, "a vertical slope", x=0.0),
        at("np.reciprocal(x)", inf, -inf, "a pole", x=0.0),
        at("x**2", 0.0, 0.0, "2x", x=0.0),
        at("x**1", 0.0, 1.0, "1, and not 1 · 0⁰", x=0.0),
        at("x**0", 1.0, 0.0, "the power is 1 everywhere, as in NumPy", x=0.0),
        at("x**0.5", 0.0, inf, "like sqrt", x=0.0),
        at("x**-1", inf, -inf, "like reciprocal", x=0.0),
        at("x**3", -8.0, 12.0, "whole exponents allow negative numbers", x=-2.0),
        at("x**y", -8.0, {"x": 12.0, "y": nan}, "no slope in y: (-2)**3.01 is not real", x=-2.0, y=3.0),
        at("x**y", 1.0, {"x": 0.0, "y": 0.0}, "the power is 1 for every x, and jumps in y", x=0.0, y=0.0),
        at("x**y", 0.0, {"x": 1.0, "y": 0.0}, "0**y is 0 near this y", x=0.0, y=1.0),
        at("x**y", 0.0, {"x": 0.0, "y": 0.0}, "0**y is 0 near this y", x=0.0, y=2.0),
        at("x**0.5", nan, nan, "outside the domain", x=-1.0),
        at("x**2", 0j, 0j, "2z", x=0j),
        at("x / y", inf, {"x": inf, "y": -inf}, "a pole", x=1.0, y=0.0),
    ],
    "Logarithms and exponentials": [
        at("np.log(x)", -inf, inf, "a pole", x=0.0),
        at("np.exp(x)", inf, inf, "an overflow is infinite", x=1000.0),
        at("np.logaddexp(x, y)", -inf, {"x": 0.5, "y": 0.5}, "a tie", x=-inf, y=-inf),
        at("np.logaddexp(x, y)", 1.0, {"x": 0.0, "y": 1.0}, "exp(-inf) is 0", x=-inf, y=1.0),
        at("np.logaddexp(x, y)", inf, {"x": 0.5, "y": 0.5}, "a tie", x=inf, y=inf),
        at("np.logaddexp(x, y)", 1000.0, {"x": 1.0, "y": 0.0}, "no overflow in between", x=1000.0, y=-1000.0),
        at("F.logsumexp(x)", -inf, [0.5, 0.5], "like logaddexp", x=[-inf, -inf], torch="torch.logsumexp(x, 0)"),
        at("F.logsumexp(x)", 0.0, [0.0, 1.0], "exp(-inf) is 0", x=[-inf, 0.0], torch="torch.logsumexp(x, 0)"),
        at("F.logsumexp(x)", inf, [1.0, 0.0], "the largest takes all", x=[inf, 0.0],
           torch="torch.logsumexp(x, 0)"),
        at("F.softmax(x) * w[:2]", [1.0, 0.0], [0.0, 0.0], "no overflow", x=[1000.0, 0.0],
           torch="torch.softmax(x, 0) * w[:2]",
           mygrad="mygrad.nnet.softmax(x, axis=0) * w[:2]"),
        at("F.softmax(x) * w[:2]", [0.0, 2.0], [0.0, 0.0], "a masked class", x=[-inf, 0.0],
           torch="torch.softmax(x, 0) * w[:2]",
           mygrad="mygrad.nnet.softmax(x, axis=0) * w[:2]"),
        at("F.log_softmax(x) * w[:2]", [0.0, -2000.0], [-2.0, 2.0], "no underflow", x=[1000.0, 0.0],
           torch="torch.log_softmax(x, 0) * w[:2]", mygrad="mygrad.nnet.logsoftmax(x, axis=0) * w[:2]"),
        at("F.log_softmax(x)[1]", 0.0, [0.0, 0.0], "a masked class", x=[-inf, 0.0],
           torch="torch.log_softmax(x, 0)[1]",
           mygrad="mygrad.nnet.logsoftmax(x, axis=0)[1]"),
        at("F.sigmoid(x)", [0.0, 1.0], [0.0, 0.0], "saturated", x=[-1000.0, 1000.0], torch="torch.sigmoid(x)",
           mygrad="mygrad.nnet.sigmoid(x)"),
        at("F.softplus(x)", [0.0, 1000.0], [0.0, 1.0], "no overflow", x=[-1000.0, 1000.0],
           torch="torch.nn.functional.softplus(x)"),
        at("np.tanh(x)", [-1.0, 1.0], [0.0, 0.0], "saturated", x=[-1000.0, 1000.0]),
    ],
    "Angles and complex numbers": [
        at("np.arctan2(x, y)", 0.0, {"x": 0.0, "y": 0.0}, "the origin has no direction", x=0.0, y=0.0,
           torch="torch.atan2(x, y)"),
        at("np.angle(x)", 0.0, 0j, "the origin has no direction", x=0j),
        at("np.sign(x)", 0j, 0j, "the origin has no direction", x=0j, torch="torch.sgn(x)"),
        at("np.arcsin(x)", 1.5707963267948966, inf, "a vertical slope", x=1.0),
        at("np.arctanh(x)", inf, inf, "a pole", x=1.0),
        at("np.sinc(x)", 1.0, 0.0, "the derivative, although the formula divides by 0", x=0.0),
    ],
    "Ties": [
        at("np.max(x)", 3.0, [0.0, 0.5, 0.5], "equal shares", x=[1.0, 3.0, 3.0]),
        at("np.min(x)", 1.0, [0.5, 0.5, 0.0], "equal shares", x=[1.0, 1.0, 3.0]),
        at("np.ptp(x)", 2.0, [-0.5, -0.5, 1.0], "max - min", x=[1.0, 1.0, 3.0]),
        at("np.maximum(x, y)", 2.0, {"x": 0.5, "y": 0.5}, "equal shares", x=2.0, y=2.0),
        at("np.minimum(x, y)", 2.0, {"x": 0.5, "y": 0.5}, "equal shares", x=2.0, y=2.0),
        at("np.fmax(x, y)", 2.0, {"x": 0.5, "y": 0.5}, "equal shares", x=2.0, y=2.0),
        at("np.sort(x) * w[:3]", [1.0, 4.0, 6.0], [2.0, 1.0, 3.0], "stable: equal elements keep their order",
           x=[2.0, 1.0, 2.0],
           torch="torch.sort(x, stable=True).values * w[:3]"),
        at("np.median(x)", 2.5, [0.0, 0.5, 0.5, 0.0], "the mean of the middle two", x=[1.0, 2.0, 3.0, 4.0],
           torch="torch.quantile(x, 0.5)"),
        at("np.median(x)", 2.0, [0.0, 1.0, 0.0], "the element that a stable sort puts there", x=[2.0, 2.0, 2.0],
           torch="torch.quantile(x, 0.5)"),
        at("np.unique(x) * w[:2]", [1.0, 4.0], [2.0, 1.0, 0.0], "the first of the equal elements", x=[2.0, 1.0, 2.0]),
        at("np.clip(x, 0, 1)", [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], "at a bound, x may still move inside",
           x=[0.0, 1.0, 2.0]),
        at("np.clip(x, y, z)", 0.0, {"x": 1.0, "y": 0.0, "z": 0.0}, "at a tie, x comes before its bounds",
           x=0.0, y=0.0, z=1.0),
        at("np.clip(x, y, z)", 1.0, {"x": 0.0, "y": 0.0, "z": 1.0}, "crossed bounds: the upper one wins",
           x=0.5, y=2.0, z=1.0),
        at("F.relu(x)", 0.0, 0.0, "the negative side", x=0.0, torch="torch.relu(x)", mygrad="mygrad.nnet.relu(x)"),
        at("F.leaky_relu(x)", 0.0, 0.01, "the negative side", x=0.0, torch="torch.nn.functional.leaky_relu(x)"),
    ],
    "Choices": [
        at("np.where(x > 0, np.log(x), 0)", [0.0, 0.0], [nan, 1.0], "0 · inf in the backward pass; see the next line",
           x=[0.0, 1.0],
           torch="torch.where(x > 0, torch.log(x), 0)"),
        at("np.log(x, where=x > 0)", [0.0, 0.0], [0.0, 1.0], "the logarithm never sees the 0", x=[0.0, 1.0],
           torch="", autograd="", mygrad=""),
        at("np.heaviside(x, 0.5)", 0.5, 0.0, "a jump", x=0.0),
        at("np.floor(x)", 1.0, 0.0, "a jump", x=1.0),
        at("np.remainder(x, y)", 0.0, {"x": 1.0, "y": -2.0}, "x − 2y, from the right", x=6.0, y=3.0),
        at("np.fmod(x, y)", 0.0, {"x": 1.0, "y": 2.0}, "x + 2y", x=-6.0, y=3.0),
        at("np.interp(x, [0, 1, 2], [0, 1, 4])", 1.0, 3.0, "at a knot, the slope to its right", x=1.0),
        at("np.interp(x, [0, 1], [0, 1])", 1.0, 0.0, "constant beyond the last knot", x=3.0),
        at("np.copysign(x, y)", -0.0, {"x": 0.0, "y": 0.0}, "like abs at 0", x=0.0, y=-1.0),
    ],
    "Spread": [
        at("np.std(x)", 0.0, [0.0, 0.0], "the bottom of a cone", x=[2.0, 2.0],
           torch="torch.std(x, correction=0)"),
        at("np.var(x)", 0.0, [0.0, 0.0], "the bottom of a bowl", x=[2.0, 2.0],
           torch="torch.var(x, correction=0)"),
        at("np.std(x)", 0.0, [0.0], "one element has no spread", x=[2.0], torch="torch.std(x, correction=0)"),
        at("np.std(x, ddof=1)", nan, [nan], "0 / 0, as in NumPy", x=[2.0], torch="torch.std(x)"),
    ],
    "NaN among the inputs": [
        at("np.nansum(x)", 1.0, [0.0, 1.0], "an element that is left out has no gradient", x=[nan, 1.0]),
        at("np.nanmean(x)", 2.0, [0.0, 1.0], "left out", x=[nan, 2.0]),
        at("np.nanprod(x)", 6.0, [0.0, 3.0, 2.0], "left out", x=[nan, 2.0, 3.0]),
        at("np.nanmax(x)", 3.0, [0.0, 0.0, 1.0], "left out", x=[nan, 1.0, 3.0]),
        at("np.nanstd(x)", 1.0, [0.0, -0.5, 0.5], "left out", x=[nan, 1.0, 3.0]),
        at("np.nanmedian(x)", 2.0, [0.0, 0.5, 0.5], "left out", x=[nan, 1.0, 3.0],
           torch="torch.nanquantile(x, 0.5)"),
        at("np.fmax(x, y)", 2.0, {"x": 0.0, "y": 1.0}, "left out", x=nan, y=2.0),
        at("np.nan_to_num(x, posinf=9.0)", [0.0, 9.0, 1.0], [0.0, 0.0, 1.0], "replaced by constants",
           x=[nan, inf, 1.0]),
        at("np.max(x)", nan, [0.0, 1.0], "NaN is the maximum", x=[1.0, nan]),
        at("np.sort(x)[:2] * w[:2]", [0.0, 2.0], [0.0, 2.0, 1.0], "NaN is sorted to the end", x=[nan, 1.0, 0.0],
           torch="torch.sort(x).values[:2] * w[:2]"),
        at("np.nancumsum(x)", [1.0, 1.0, 3.0], [3.0, 0.0, 1.0], "left out", x=[1.0, nan, 2.0]),
        at("np.nanmean(x)", nan, [0.0, 0.0], "all elements are left out", x=[nan, nan]),
    ],
    "Little or nothing": [
        at("np.sum(x)", 0.0, [], "nothing to differentiate, and no error", x=[]),
        at("np.prod(x)", 1.0, [], "an empty product", x=[]),
        at("np.mean(x)", nan, [], "0 / 0, as in NumPy", x=[]),
        at("np.max(x)", "ValueError", "ValueError", "as in NumPy", x=[], torch="torch.amax(x, 0)"),
        at("np.linalg.norm(x)", 0.0, [], "an empty sum", x=[]),
        at("np.cumsum(x)", [], [], "an empty array", x=[], torch="torch.cumsum(x, 0)"),
        at("np.sort(x)", [], [], "an empty array", x=[], torch="torch.sort(x).values"),
        at("np.max(x)", 3.0, 1.0, "0-d", x=3.0),
        at("np.prod(x)", 3.0, 1.0, "0-d", x=3.0),
        at("np.std(x)", 0.0, 0.0, "0-d", x=3.0, torch="torch.std(x, correction=0)"),
        at("np.cumsum(x)", [3.0], 1.0, "0-d: NumPy returns a vector", x=3.0, torch="torch.cumsum(x, 0)"),
        at("F.softmax(x)", [1.0], [0.0], "one class is certain", x=[3.0], torch="torch.softmax(x, 0)",
           mygrad="mygrad.nnet.softmax(x, axis=0)"),
        at("np.diff(x)", [], [0.0], "nothing to subtract", x=[3.0]),
    ],
    "Repeated indices": [
        at("x[[0, 0, 1]]", [1.0, 1.0, 2.0], [2.0, 1.0], "picked twice, so counted twice", x=[1.0, 2.0]),
        at("np.take(x, [0, 0, 1])", [1.0, 1.0, 2.0], [2.0, 1.0], "picked twice", x=[1.0, 2.0],
           torch="torch.take(x, torch.tensor([0, 0, 1]))"),
        at("x[[0, 0]] = y", [4.0, 2.0], {"x": [0.0, 1.0], "y": [0.0, 1.0]}, "the last assignment wins",
           x=[1.0, 2.0], y=[3.0, 4.0]),
        at("np.add.at(x, [0, 0], y)", [8.0, 2.0], {"x": [1.0, 1.0], "y": [1.0, 1.0]}, "both are added",
           x=[1.0, 2.0], y=[3.0, 4.0]),
    ],
    "Decompositions": [
        at("np.linalg.eigvalsh(x)", [1.0, 1.0], _ONE, "their sum is the trace, even if they are equal",
           x=_ONE),
        at("np.linalg.eigh(x)[1]", _ONE, "GradientError", "eigenvectors of equal eigenvalues may rotate freely",
           x=_ONE),
        at("np.linalg.svd(x)[0]", _ONE, "GradientError", "so may singular vectors of equal singular values",
           x=_ONE),
        at("np.linalg.inv(x)", "LinAlgError", "LinAlgError", "as in NumPy", x=_SINGULAR),
        at("np.linalg.slogdet(x)[1]", -inf, "GradientError", "log 0; the gradient would be the inverse", x=_ZEROS),
        at("np.linalg.matrix_power(x, 0)", _ONE, _ZEROS, "constant", x=_SINGULAR),
        at("np.linalg.pinv(x) * 25", [[1.0, 2.0], [2.0, 4.0]], [[0.12, -0.36], [-0.36, -1.92]],
           "the derivative for a constant rank", x=_SINGULAR),
        at("np.linalg.lstsq(x, y)[0]", [0.2, 0.4], "GradientError", "the solution jumps when the rank changes",
           x=_SINGULAR, y=[1.0, 2.0], autograd=""),
        at("np.linalg.qr(x)[0] * 5**0.5", [[-1.0, -2.0], [-2.0, 1.0]], "GradientError",
           "q jumps where columns are linearly dependent", x=_SINGULAR),
        at("np.linalg.eigvals(x)", [0.0, 0.0], "GradientError", "they leave 0 infinitely fast, like a square root",
           x=[[0.0, 1.0], [0.0, 0.0]]),
        at("np.roots(x)", [1.0, 1.0], "GradientError", "double roots separate infinitely fast", x=[1.0, -2.0, 1.0]),
    ],
}  # fmt: skip


def edges() -> Iterator[Edge]:
    """All lines."""
    for lines in TABLE.values():
        yield from lines
