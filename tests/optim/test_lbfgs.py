"""L-BFGS: known minima, PyTorch's steps, what it remembers, and what it refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import GradientError, NonFiniteError, OptionError, StateDictError


def rosenbrock(x):
    return np.sum((1 - x[:-1]) ** 2) + 100 * np.sum((x[1:] - x[:-1] ** 2) ** 2)


def closure_of(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


@pytest.mark.parametrize("size", [2, 5, 20])
def test_a_line_search_finds_the_bottom_of_rosenbrocks_valley(size):
    x = tg.tensor(np.linspace(-1.5, 1.2, size), requires_grad=True)
    optimizer = optim.LBFGS(
        [x], max_iter=300, line_search_fn="strong_wolfe", history_size=10, tolerance_change=1e-15
    )
    first = optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    assert first.item() == rosenbrock(np.linspace(-1.5, 1.2, size))
    np.testing.assert_allclose(x.data, 1, rtol=1e-5)


def test_a_quadratic_takes_as_many_steps_as_it_has_axes():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    matrix, b = root @ root.T + np.eye(6), rng.normal(size=6)
    x = tg.tensor(np.zeros(6), requires_grad=True)
    optimizer = optim.LBFGS([x], max_iter=40, line_search_fn="strong_wolfe", tolerance_change=1e-15)
    optimizer.step(closure_of(optimizer, lambda: x @ matrix @ x / 2 - b @ x))
    np.testing.assert_allclose(x.data, np.linalg.solve(matrix, b), rtol=1e-5)
    assert optimizer.iterations <= 20


def test_the_loss_falls_in_every_step():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    model = nn.MLP([3, 4, 2], "tanh", rng=0, dtype=np.float64)
    optimizer = optim.LBFGS(model.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    closure = closure_of(optimizer, lambda: nn.functional.cross_entropy(model(x), y))
    losses = [optimizer.step(closure).item() for _ in range(30)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "settings", [{"lr": 0.5, "max_iter": 5}, {"lr": 0.3, "history_size": 2, "max_iter": 7}]
)
def test_steps_are_pytorchs(settings):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    matrix = root @ root.T + np.eye(5)
    start = rng.normal(size=5)
    x, t = tg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    ours, theirs = optim.LBFGS([x], **settings), torch.optim.LBFGS([t], **settings)
    m = torch.tensor(matrix)
    for _ in range(3):
        ours.step(closure_of(ours, lambda: np.log1p(x @ matrix @ x)))
        theirs.step(closure_of(theirs, lambda: torch.log1p(t @ m @ t)))
        np.testing.assert_allclose(x.data, t.detach().numpy(), rtol=1e-6, atol=1e-8)


def test_it_goes_on_where_it_was(tmp_path):
    def made(start):
        x = tg.tensor(start, requires_grad=True)
        return x, optim.LBFGS([x], max_iter=4, line_search_fn="strong_wolfe")

    x, optimizer = made(np.array([-1.5, 2.0]))
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    tg.save(optimizer.state_dict(), tmp_path / "state.safetensors")
    y, resumed = made(x.data.copy())
    resumed.load_state_dict(tg.load(tmp_path / "state.safetensors"))
    for z, o in ((x, optimizer), (y, resumed)):
        o.step(closure_of(o, lambda z=z: rosenbrock(z)))
    np.testing.assert_array_equal(x.data, y.data)
    assert resumed.iterations == optimizer.iterations > 4


def test_impossible_states_are_refused():
    x = tg.tensor([-1.5, 2.0], requires_grad=True)
    optimizer = optim.LBFGS([x], max_iter=4, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    good = optimizer.state_dict()
    assert len(good["steps"]) > 1
    for change in (
        {"steps": good["steps"][:1]},
        {"steps": -good["steps"]},
        {"steps": good["steps"] * math.nan},
        {"iterations": 0},
        {"iterations": 1.5},
        {"steps": good["steps"][:, :1], "changes": good["changes"][:, :1]},
        {"param_groups": [{**good["param_groups"][0], "lr": -1.0}]},
    ):
        with pytest.raises(StateDictError):
            optimizer.load_state_dict({**copy.deepcopy(good), **change})
        for name in ("steps", "changes"):
            np.testing.assert_array_equal(optimizer.state_dict()[name], good[name])
    for bad in ({}, None, optim.SGD([x]).state_dict()):
        with pytest.raises(StateDictError):
            optimizer.load_state_dict(bad)


def test_what_is_refused():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.LBFGS([x])
    with pytest.raises(OptionError, match="closure"):
        optimizer.step()
    with pytest.raises(OptionError, match="return loss"):
        optimizer.step(lambda: None)
    with pytest.raises(GradientError, match="backward"):
        optimizer.step(lambda: 1.0)
    for make, words in (
        (lambda: optim.LBFGS([x], line_search_fn="armijo"), "armijo.*strong_wolfe"),
        (lambda: optim.LBFGS([x], max_iter=0), "max_iter"),
        (lambda: optim.LBFGS([x], lr=-1), "lr"),
        (
            lambda: optim.LBFGS([{"params": [x]}, {"params": [tg.tensor(1.0, requires_grad=True)]}]),
            "one group",
        ),
        (lambda: optim.LBFGS([tg.tensor(1j, requires_grad=True)]), "real"),
    ):
        with pytest.raises(OptionError, match=words):
            make()
    model = nn.Linear(2, 2)
    for compiled in (False, True):
        with pytest.raises(OptionError, match="closure"):
            tg.training.fit(
                model, (np.ones((4, 2), np.float32), np.zeros(4, int)), optimizer=optim.LBFGS(model.parameters()),
                progress=False, compile=compiled,
            )  # fmt: skip


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_loss_that_is_not_finite_changes_nothing(search):
    x = tg.tensor([1.0], requires_grad=True)
    optimizer = optim.LBFGS([x], line_search_fn=search)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="nothing was changed"):
        optimizer.step(closure_of(optimizer, lambda: np.sum(np.log(x - 2))))
    assert x.data[0] == 1.0
    falls = optim.LBFGS([x], lr=1e9)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="taken back"):
        falls.step(closure_of(falls, lambda: np.sum(np.exp(np.square(x)))))
    assert x.data[0] == 1.0


def test_a_line_search_steps_back_from_where_the_loss_is_not_finite():
    x = tg.tensor([1.0], requires_grad=True)
    optimizer = optim.LBFGS([x], lr=50.0, line_search_fn="strong_wolfe", max_iter=50)
    with np.errstate(all="ignore"):
        optimizer.step(closure_of(optimizer, lambda: np.sum(x - np.log(x) * 0.5)))
    np.testing.assert_allclose(x.data, 0.5, rtol=1e-5)
