"""A second opinion on reductions, running sums, spreads and orders: PyTorch computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.ops.accumulations import cummax, cummin, logcumsumexp

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
Z = X + 1j * RNG.normal(size=(4, 5))
TIES = np.array([[2.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, -1.0, 3.0, 3.0]])
ZEROS = np.array([[2.0, 0.0, 3.0, 4.0], [0.0, 2.0, 0.0, 5.0], [1.0, 2.0, 3.0, 0.0]])
HOLES = np.where(np.abs(X) < 0.3, np.nan, X)
FAR = np.array([-1000.0, 0.0, 800.0, 799.0, -np.inf, 3.0])


def results(y, xs, library):
    """Value, gradients, and the gradients of the gradients, of a weighted sum of ``y``."""
    weights = np.linspace(0.5, 1.5, y.size if library is tg else y.numel()).reshape(tuple(y.shape))
    if library is tg:
        total = np.sum(np.real(y * weights))
        total.backward(create_graph=True)
        slopes = [x.grad for x in xs]
        for x in xs:
            x.zero_grad()
        again = sum(np.sum(np.real(g * np.conj(g))) for g in slopes)
        if again.requires_grad:
            again.backward()
        seconds = [np.zeros(x.shape) if x.grad is None else x.grad.data for x in xs]
        return [y.data, *(g.data for g in slopes), *seconds]
    total = (y * torch.tensor(weights)).sum().real
    slopes = torch.autograd.grad(total, xs, create_graph=True)
    again = sum((g * g.conj()).real.sum() for g in slopes)
    if again.requires_grad:
        seconds = torch.autograd.grad(again, xs, allow_unused=True)
        seconds = [np.zeros(x.shape) if s is None else s.numpy() for s, x in zip(seconds, xs, strict=True)]
    else:
        seconds = [np.zeros(x.shape) for x in xs]
    return [y.detach().numpy(), *(g.detach().numpy() for g in slopes), *seconds]


CASES = [
    ("sum", lambda x: np.sum(x, (0, 1)), lambda x: torch.sum(x, (0, 1)), X),
    ("mean", lambda x: np.mean(x, 1), lambda x: torch.mean(x, 1), X),
    ("mean, complex", lambda x: np.mean(x, 1), lambda x: torch.mean(x, 1), Z),
    ("prod", lambda x: np.prod(x, 1), lambda x: torch.prod(x, 1), X),
    ("prod with zeros", lambda x: np.prod(x, 1), lambda x: torch.prod(x, 1), ZEROS),
    ("prod, complex", lambda x: np.prod(x, 0), lambda x: torch.prod(x, 0), Z),
    ("max of ties", lambda x: np.max(x, 1), lambda x: torch.amax(x, 1), TIES),
    ("min of ties", lambda x: np.min(x, 0), lambda x: torch.amin(x, 0), TIES),
    ("max of all", lambda x: np.max(x), lambda x: torch.amax(x), TIES),
    ("ptp", lambda x: np.ptp(x, 1), lambda x: torch.amax(x, 1) - torch.amin(x, 1), TIES),
    ("var", lambda x: np.var(x, 0, ddof=1), lambda x: torch.var(x, 0), X),
    ("var, axes", lambda x: np.var(x, (0, 1), correction=2), lambda x: torch.var(x, (0, 1), correction=2), X),
    ("var, complex", lambda x: np.var(x, 1), lambda x: torch.var(x, 1, correction=0), Z),
    ("std", lambda x: np.std(x, 1), lambda x: torch.std(x, 1, correction=0), X),
    ("std, complex", lambda x: np.std(x, 1, ddof=1), lambda x: torch.std(x, 1), Z),
    ("cumsum", lambda x: np.cumsum(x, 1), lambda x: torch.cumsum(x, 1), X),
    ("cumsum, complex", lambda x: np.cumsum(x, 0), lambda x: torch.cumsum(x, 0), Z),
    ("cumprod", lambda x: np.cumprod(x, 1), lambda x: torch.cumprod(x, 1), X),
    ("cumprod with zeros", lambda x: np.cumprod(x, 1), lambda x: torch.cumprod(x, 1), ZEROS),
    ("cumprod, complex", lambda x: np.cumprod(x, 0), lambda x: torch.cumprod(x, 0), Z),
    ("cummax", lambda x: cummax(x, axis=1), lambda x: torch.cummax(x, 1).values, TIES),
    ("cummin", lambda x: cummin(x, axis=0), lambda x: torch.cummin(x, 0).values, TIES),
    ("logcumsumexp", lambda x: logcumsumexp(x, axis=1), lambda x: torch.logcumsumexp(x, 1), X),
    ("logcumsumexp of the far", lambda x: logcumsumexp(x[2:4]), lambda x: torch.logcumsumexp(x[2:4], 0), FAR),
    ("logsumexp of the far", lambda x: F.logsumexp(x), lambda x: torch.logsumexp(x, 0), FAR),
    ("sort", lambda x: np.sort(x, 1), lambda x: torch.sort(x, 1).values, X),
    ("sort of ties", lambda x: np.sort(x, 1), lambda x: torch.sort(x, dim=1, stable=True).values, TIES),
    ("sort, flat", lambda x: np.sort(x, None), lambda x: torch.sort(x.flatten(), stable=True).values, TIES),
    ("median", lambda x: np.median(x, 1), lambda x: torch.median(x, 1).values, X),
    ("median of two", lambda x: np.median(x, 0), lambda x: torch.quantile(x, 0.5, 0), X),
    ("nansum", lambda x: np.nansum(x, 1), lambda x: torch.nansum(x, 1), HOLES),
    ("nanmean", lambda x: np.nanmean(x, 1), lambda x: torch.nanmean(x, 1), HOLES),
    ("nanmean, where", lambda x: np.mean(x, 0, where=~np.isnan(x)), lambda x: torch.nanmean(x, 0), HOLES),
    ("nanmedian", lambda x: np.nanmedian(x, 0), lambda x: torch.nanquantile(x, 0.5, 0), HOLES),
    ("nanquantile", lambda x: np.nanquantile(x, 0.3, 1), lambda x: torch.nanquantile(x, 0.3, 1), HOLES),
    ("cov", np.cov, torch.cov, X),
    ("cov, complex", np.cov, torch.cov, Z),
    ("corrcoef", np.corrcoef, torch.corrcoef, X),
]


@for_each("f, g, x", [pytest.param(*case, id=name) for name, *case in CASES])
def test_values_and_gradients_to_second_order(f, g, x):
    mine, yours = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for a, b in zip(results(f(mine), [mine], tg), results(g(yours), [yours], torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@for_each("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@for_each("q", [0.0, 0.25, 0.37, 0.5, 1.0, [0.1, 0.9]])
def test_quantile(method, q):
    q = torch.tensor(q, dtype=torch.float64)
    mine, yours = tg.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    f = np.quantile(mine, q.numpy(), axis=1, method=method, keepdims=True)
    g = torch.quantile(yours, q, 1, interpolation=method, keepdim=True)
    for a, b in zip(results(f, [mine], tg), results(g, [yours], torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_covariance_by_its_weights():
    w, n = np.array([0.5, 1.0, 2.0, 0.1, 1.5]), [1, 2, 1, 3, 0]
    mine = [tg.tensor(v, requires_grad=True) for v in (X, w)]
    yours = [torch.tensor(v, requires_grad=True) for v in (X, w)]
    f = np.cov(mine[0], aweights=mine[1], fweights=n, ddof=1)
    g = torch.cov(yours[0], aweights=yours[1], fweights=torch.tensor(n), correction=1)
    for a, b in zip(results(f, mine, tg), results(g, yours, torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@for_each(
    "f, g, x",
    [
        (np.std, lambda x: torch.std(x, correction=0), [2.0, 2.0, 2.0]),
        (np.nansum, torch.nansum, [np.nan, 1.0]),
        (np.max, torch.max, [1.0, np.nan, 3.0]),
        (np.median, torch.median, [1.0, np.nan, 3.0]),
        (np.sort, lambda x: torch.sort(x, stable=True).values, [np.nan, 2.0, np.nan, 2.0]),
        (lambda x: np.max(x, axis=0), lambda x: torch.amax(x, 0), [[1.0, np.inf], [1.0, np.inf]]),
        (logcumsumexp, lambda x: torch.logcumsumexp(x, 0), [-1e300, 0.0, 1.0]),
        (cummax, lambda x: torch.cummax(x, 0).values, [1.0, np.nan, 3.0]),
        (np.prod, torch.prod, [0.0, 0.0, 3.0]),
        (np.cumprod, lambda x: torch.cumprod(x, 0), [0.0, 0.0, 3.0]),
    ],
    ids=["std", "nansum", "max", "median", "sort", "ties", "logcumsumexp", "cummax", "prod", "cumprod"],
)
def test_gradients_at_the_edge(f, g, x):
    mine, yours = tg.tensor(x, requires_grad=True), torch.tensor(x, dtype=torch.float64, requires_grad=True)
    np.sum(f(mine)).backward()
    g(yours).sum().backward()
    np.testing.assert_allclose(mine.grad.data, yours.grad.numpy(), rtol=1e-12)
