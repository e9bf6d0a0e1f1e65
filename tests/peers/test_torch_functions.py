"""A second opinion: PyTorch computes the same values, gradients, losses and training steps."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
KINKS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
EXTREMES = np.array([-1e4, -100.0, -30.0, -1e-8, 0.0, 1e-8, 30.0, 100.0, 1e4])


def ours(f, *values):
    leaves = [tg.tensor(v, requires_grad=True) for v in values]
    y = f(*leaves)
    y.sum().backward()
    return [y.data, *(x.grad.data for x in leaves)]


def theirs(f, *values):
    leaves = [torch.tensor(v, requires_grad=True) for v in values]
    y = f(*leaves)
    y.sum().backward()
    return [y.detach().numpy(), *(x.grad.numpy() for x in leaves)]


UNARY = [
    ("abs", np.abs, torch.abs, KINKS),
    ("relu", F.relu, torch.relu, KINKS),
    ("leaky_relu", F.leaky_relu, torch.nn.functional.leaky_relu, KINKS),
    ("elu", F.elu, torch.nn.functional.elu, EXTREMES),
    ("gelu", F.gelu, torch.nn.functional.gelu, np.linspace(-6, 6, 25)),
    (
        "softplus",
        F.softplus,
        lambda x: torch.nn.functional.softplus(x, threshold=1e9),
        np.linspace(-30, 30, 13),
    ),
    ("sigmoid", F.sigmoid, torch.sigmoid, EXTREMES),
    ("tanh", np.tanh, torch.tanh, EXTREMES),
    ("erf", F.erf, torch.erf, np.linspace(-6, 6, 25)),
    ("softmax", lambda x: F.softmax(x) * X, lambda x: torch.softmax(x, -1) * torch.tensor(X), X * 50),
    (
        "log_softmax",
        lambda x: F.log_softmax(x, axis=0) * X,
        lambda x: torch.log_softmax(x, 0) * torch.tensor(X),
        X * 50,
    ),
    ("logsumexp", lambda x: F.logsumexp(x, axis=1), lambda x: torch.logsumexp(x, 1), X * 500),
    ("clip", lambda x: np.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1.0, 1.0), KINKS),
    ("max of ties", np.max, torch.amax, np.array([1.0, 3.0, 3.0])),
    ("prod", np.prod, torch.prod, np.array([0.0, 2.0, 3.0])),
    ("power", lambda x: x**3, lambda x: x**3, KINKS),
    ("power 0", lambda x: x**0, lambda x: x**0, KINKS),
    ("var", lambda x: np.var(x, axis=0, ddof=1), lambda x: torch.var(x, 0), X),
    ("std", lambda x: np.std(x), lambda x: torch.std(x, correction=0), X),
    ("cumsum", lambda x: np.cumsum(x, axis=1) * X, lambda x: torch.cumsum(x, 1) * torch.tensor(X), X),
    ("indexing", lambda x: x[[0, 0, 2], 1:] ** 2, lambda x: x[[0, 0, 2], 1:] ** 2, X),
    (
        "roll",
        lambda x: np.roll(x, (1, -2), (0, 1)) * X,
        lambda x: torch.roll(x, (1, -2), (0, 1)) * torch.tensor(X),
        X,
    ),
]


@for_each("f, g, x", [pytest.param(*case, id=name) for name, *case in UNARY])
def test_functions(f, g, x):
    for a, b in zip(ours(f, x), theirs(g, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("f", "g"),
    [
        (np.maximum, torch.maximum),
        (np.minimum, torch.minimum),
        (np.arctan2, torch.atan2),
        (np.logaddexp, torch.logaddexp),
        (np.remainder, torch.remainder),
        (np.fmod, torch.fmod),
    ],
)
def test_binary_functions(f, g):
    a, b = np.meshgrid(KINKS, KINKS[KINKS != 0])
    for mine, other in zip(ours(f, a, b), theirs(g, a, b), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


LOGITS, CLASSES, SOFT = RNG.normal(size=(6, 4)) * 3, RNG.integers(0, 4, 6), RNG.dirichlet(np.ones(4), 6)
LOSSES = [
    ("mse", F.mse_loss, torch.nn.functional.mse_loss, LOGITS, SOFT),
    ("l1", F.l1_loss, torch.nn.functional.l1_loss, LOGITS, SOFT),
    ("huber", F.huber_loss, torch.nn.functional.huber_loss, LOGITS, SOFT),
    (
        "bce",
        F.binary_cross_entropy_with_logits,
        torch.nn.functional.binary_cross_entropy_with_logits,
        LOGITS * 30,
        SOFT,
    ),
    ("nll", F.nll_loss, torch.nn.functional.nll_loss, -abs(LOGITS), CLASSES),
    ("classes", F.cross_entropy, torch.nn.functional.cross_entropy, LOGITS * 100, CLASSES),
    ("probabilities", F.cross_entropy, torch.nn.functional.cross_entropy, LOGITS, SOFT),
    (
        "images",
        F.cross_entropy,
        torch.nn.functional.cross_entropy,
        RNG.normal(size=(2, 4, 3)),
        RNG.integers(0, 4, (2, 3)),
    ),
    (
        "soft images",
        F.cross_entropy,
        torch.nn.functional.cross_entropy,
        RNG.normal(size=(2, 4, 3)),
        RNG.dirichlet(np.ones(3), (2, 4)),
    ),
    ("one sample", F.cross_entropy, torch.nn.functional.cross_entropy, LOGITS[0], np.array(2)),
]


@for_each("reduction", ["mean", "sum", "none"])
@for_each("f, g, x, target", [pytest.param(*case, id=name) for name, *case in LOSSES])
def test_losses(f, g, x, target, reduction):
    mine = ours(lambda t: f(t, target, reduction=reduction), x)
    other = theirs(lambda t: g(t, torch.tensor(target), reduction=reduction), x)
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("target", [CLASSES, SOFT], ids=["classes", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing(target, smoothing):
    mine = ours(lambda t: F.cross_entropy(t, target, label_smoothing=smoothing), LOGITS)
    other = theirs(
        lambda t: torch.nn.functional.cross_entropy(t, torch.tensor(target), label_smoothing=smoothing),
        LOGITS,
    )
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.3}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
]


@for_each("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 2e-5)])
@for_each("name, settings", OPTIMIZERS, ids=str)
def test_optimizers(name, settings, dtype, tolerance):
    start = RNG.normal(size=(2, 3)).astype(dtype)
    p, q = tg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    mine = getattr(optim, name)([p], **settings)
    other = getattr(torch.optim, name)([q], **settings)
    for _ in range(20):
        mine.zero_grad()
        other.zero_grad()
        np.sum(np.sin(p * 3) + p**2).backward()
        (torch.sin(q * 3) + q**2).sum().backward()
        mine.step()
        other.step()
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("mine", "other", "steps"),
    [
        (
            lambda o: optim.StepLR(o, 3, gamma=0.5),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.5),
            10,
        ),
        (
            lambda o: optim.CosineAnnealingLR(o, 9, eta_min=0.1),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 9, eta_min=0.1),
            9,
        ),
        (lambda o: optim.OneCycleLR(o, 20), lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.8, 20), 19),
        (
            lambda o: optim.OneCycleLR(o, 15, pct_start=0.5, div_factor=10, final_div_factor=100),
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, 0.8, 15, pct_start=0.5, div_factor=10, final_div_factor=100
            ),
            14,
        ),
        (lambda o: optim.WarmupLR(o, 5), lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.2, 1.0, 4), 8),
    ],
)
def test_schedules(mine, other, steps):
    p, q = tg.tensor([1.0], requires_grad=True), torch.ones(1, requires_grad=True)
    a, b = optim.SGD([p], lr=0.8), torch.optim.SGD([q], lr=0.8)
    schedule, reference = mine(a), other(b)
    for _ in range(steps):
        assert a.param_groups[0]["lr"] == pytest.approx(b.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        b.step()
        schedule.step()
        reference.step()
    assert a.param_groups[0]["lr"] == pytest.approx(b.param_groups[0]["lr"], rel=1e-9, abs=1e-12)


def test_clipping():
    grads = [RNG.normal(size=s) * 5 for s in [(3,), (2, 2)]]
    params = [tg.tensor(np.ones(g.shape), requires_grad=True) for g in grads]
    reference = [torch.ones(g.shape, dtype=torch.float64, requires_grad=True) for g in grads]
    for p, q, g in zip(params, reference, grads, strict=True):
        p.grad, q.grad = g, torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_(reference, 1.0).item()
    assert optim.clip_grad_norm_(params, 1.0) == pytest.approx(norm)
    for p, q in zip(params, reference, strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-5)  # PyTorch adds 1e-6 to the norm


def test_a_whole_training():
    model = nn.MLP([5, 8, 3], activation="tanh", rng=0, dtype=np.float64)
    reference = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    reference.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    mine, other = optim.Adam(model.parameters(), lr=0.02), torch.optim.Adam(reference.parameters(), lr=0.02)
    x, y = RNG.normal(size=(30, 5)), RNG.integers(0, 3, 30)
    for _ in range(30):
        mine.zero_grad()
        other.zero_grad()
        loss = F.cross_entropy(model(x), y)
        expected = torch.nn.functional.cross_entropy(reference(torch.tensor(x)), torch.tensor(y))
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        loss.backward()
        expected.backward()
        mine.step()
        other.step()


def test_second_derivatives():
    x = RNG.normal(size=(3, 3))
    t, u = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    np.sum(np.tanh(t @ t) ** 2).backward(create_graph=True)
    (first,) = torch.autograd.grad((torch.tanh(u @ u) ** 2).sum(), u, create_graph=True)
    np.testing.assert_allclose(t.grad.data, first.detach().numpy(), rtol=1e-12)
    slope = t.grad
    t.zero_grad()
    np.sum(slope**2).backward()
    (second,) = torch.autograd.grad((first**2).sum(), u)
    np.testing.assert_allclose(t.grad.data, second.numpy(), rtol=1e-10)
