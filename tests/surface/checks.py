"""Measure how exact the gradients are: every operation, on every sample it was declared with.

The reference has to be better than what it judges. It is a central difference, twice extrapolated
(Richardson): steps ``4h, 2h, h`` cancel the errors of order ``h²`` and ``h⁴``, which in float64 leaves about
1e-12 for the functions and inputs here. Of several ``h`` the one is taken whose two last extrapolations agree
best; the gradient under test has no part in that choice.

At first order NumPy's own function is differentiated this way, at second order our gradient of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Composite, Primitive, Sample, composites, primitives

Operation = Primitive | Composite

STEPS = (2e-3, 2e-4, 2e-5)


@dataclass(frozen=True)
class Check:
    """One operation on one sample at one order: the largest error of its gradients."""

    operation: str
    sample: str
    order: int
    error: float  # |analytic - numeric| / max(1, |numeric|), the largest of all elements
    doubt: float  # the same for the numeric value's own uncertainty, where the error is largest
    elements: int


def cases() -> Iterator[tuple[Operation, Sample]]:
    """Every operation with each of its samples that has something to differentiate by.

    Operations that other tests declare, wrong ones among them, are not those of the package.
    """
    ours = [p for p in primitives() if p.forward.__module__.startswith(tg.__name__)]
    for operation in [*ours, *composites()]:
        for sample in operation.samples:
            if any(is_differentiable(v) for v in sample.draw()):
                yield operation, sample


def checks(operation: Operation, sample: Sample) -> Iterator[Check]:
    """Compare first and second derivatives with the reference."""
    values = sample.draw()
    places = [i for i, v in enumerate(values) if is_differentiable(v)]
    points = [values[i] for i in places]

    def call(function: Callable[..., Any], changed: Any) -> Any:
        every = list(values)
        for i, value in zip(places, changed, strict=True):
            every[i] = value
        return combination(function(*sample.arguments(*every), **sample.settings))

    def value(*changed: Any) -> float:
        return float(call(operation.covers[0] if operation.covers else operation, changed))

    def slope(*changed: Any, create_graph: bool = False) -> Any:
        leaves = [tg.tensor(x, requires_grad=True) for x in changed]
        gradients = differentiate(call(operation, leaves), leaves, create_graph=create_graph)
        total = combination(gradients, seed=2)
        return differentiate(total, leaves) if create_graph else float(total)

    leaves = [tg.tensor(x, requires_grad=True) for x in points]
    first = differentiate(call(operation, leaves), leaves)
    second = slope(*points, create_graph=True)
    for order, analytic, function in ((1, first, value), (2, second, slope)):
        numeric, doubts = reference(function, points)
        error, doubt = worst([g.data for g in analytic], numeric, doubts)
        yield Check(operation.name, repr(sample), order, error, doubt, sum(x.size for x in points))


def differentiate(total: Any, leaves: list[tg.Tensor], *, create_graph: bool = False) -> list[tg.Tensor]:
    """The gradients of a number with respect to leaves, 0 where it does not depend on them."""
    if isinstance(total, tg.Tensor) and total.requires_grad:
        total.backward(create_graph=create_graph)
    gradients = [tg.Tensor(np.zeros_like(leaf.data)) if leaf.grad is None else leaf.grad for leaf in leaves]
    gradients = [g if isinstance(g, tg.Tensor) else tg.Tensor(g.toarray()) for g in gradients]  # sparse ones
    for leaf in leaves:
        leaf.zero_grad()
    return gradients


def combination(results: Any, seed: int = 1, xp: Any = np) -> Any:
    """A real number in which every floating-point element of the results takes part, with a random weight.

    ``xp`` is the NumPy to compute with: that of another library for its arrays.
    """
    generator = np.random.default_rng(seed)
    total: Any = 0.0
    for y in flattened(results):
        if y.dtype.kind in "fc":
            for part in (xp.real(y), xp.imag(y)) if y.dtype.kind == "c" else (y,):
                weights = generator.uniform(0.5, 1.5, y.shape) * generator.choice([-1, 1], y.shape)
                total = total + xp.sum(part * weights)
    return total


def flattened(results: Any) -> Iterator[Any]:
    """The arrays in a nested tuple or list."""
    if hasattr(results, "dtype"):
        yield results
    elif isinstance(results, (bool, int, float, complex, str)) or results is None:
        yield np.asarray(results)
    else:
        for part in results:
            yield from flattened(part)


def reference(
    function: Callable[..., float], points: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Differentiate a scalar function numerically; return the gradients, and how far to trust them."""
    moved = [np.array(x, order="C") for x in points]
    gradients, doubts = [np.zeros_like(x) for x in moved], [np.zeros_like(x) for x in moved]
    for x, gradient, doubt in zip(moved, gradients, doubts, strict=True):
        flat, slopes, spreads = (a.reshape(-1).view(np.float64) for a in (x, gradient, doubt))
        for i in range(flat.size):
            slopes[i], spreads[i] = extrapolated(function, moved, flat, i)
    return gradients, doubts


def extrapolated(
    function: Callable[..., float], moved: list[np.ndarray], flat: np.ndarray, i: int
) -> tuple[float, float]:
    """The derivative by one element, and the difference of its last two extrapolations."""
    kept = float(flat[i])

    def central(h: float) -> float:
        flat[i] = above = kept + h
        high = function(*moved)
        flat[i] = below = kept - h
        low = function(*moved)
        flat[i] = kept
        return (high - low) / (above - below if np.isfinite(kept) else 2 * h)

    best = (np.nan, np.inf)
    for h in STEPS:
        far, middle, near = central(4 * h), central(2 * h), central(h)
        first, second = middle + (middle - far) / 3, near + (near - middle) / 3
        value = second + (second - first) / 15
        if abs(value - second) < best[1]:
            best = (value, abs(value - second))
        if best[1] < 1e-11:
            break
    return best


def worst(
    analytic: list[np.ndarray], numeric: list[np.ndarray], doubts: list[np.ndarray]
) -> tuple[float, float]:
    """The largest error among all elements, and the reference's doubt there; NaN counts as infinite."""
    largest = (0.0, 0.0)
    for a, n, d in zip(analytic, numeric, doubts, strict=True):
        if a.size:
            scale = np.maximum(1, np.abs(n))
            error = np.nan_to_num(np.abs(a - n) / scale, nan=np.inf)
            where = int(np.argmax(error))
            largest = max(largest, (float(error.flat[where]), float(np.abs(d / scale).flat[where])))
    return largest


def is_differentiable(x: Any) -> bool:
    """Whether it is an array of floating-point or complex numbers."""
    return isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def measure() -> Iterator[Check]:
    """Make all checks; NumPy's warnings at the edge of a domain are not what is measured."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for operation, sample in cases():
            yield from checks(operation, sample)


def report() -> Iterator[str]:
    """Say how many checks were made, and the worst errors at each order."""
    found = list(measure())
    names = {c.operation for c in found}
    yield f"{len(names)} operations, {len(found)} checks: each (operation, sample) at first and second order"
    yield "error = |analytic - numeric| / max(1, |numeric|), the largest of a check's derivatives"
    for order in (1, 2):
        mine = sorted((c for c in found if c.order == order), key=lambda c: -c.error)
        yield ""
        yield (
            f"order {order}: {len(mine)} checks of {sum(c.elements for c in mine)} derivatives; "
            f"worst error {mine[0].error:.1e}, median {mine[len(mine) // 2].error:.1e}. The largest:"
        )
        for c in mine[:5]:
            yield f"  {c.error:.1e}  (of the reference itself: {c.doubt:.0e})  {c.operation}  {c.sample}"
