"""``check=True`` says nothing where a program is right, and names the operation where it is not."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.compiler.checking import difference
from tinygrad_mnist.compiler.instructions import instruction_of
from tinygrad_mnist.errors import CompileError

X = np.random.default_rng(0).normal(size=(5, 4))


def test_right_programs_run_as_ever():
    f = tg.compile(lambda x: (np.sum(np.sin(x) ** 2), x[0] * 2), check=True)
    for x in (X, -X):
        total, row = f(x)
        np.testing.assert_allclose(total, np.sum(np.sin(x) ** 2))
        np.testing.assert_allclose(row, x[0] * 2)


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p, lr=0.1)]
)
def test_a_training_step_moves_once(make):
    models = [nn.MLP([4, 3, 2], dropout=0.3, rng=1, dtype=np.float64) for _ in range(2)]
    steps = []
    for model, check in zip(models, (True, False), strict=True):
        loss = nn.MSELoss()
        steps.append(
            tg.compile(
                lambda x, y, model=model, loss=loss: loss(model(x), y),
                optimizer=make(model.parameters()),
                clip_norm=0.5,
                check=check,
            )
        )
    for _ in range(3):
        a, b = (step(X, X[:, :2]).item() for step in steps)
        assert a == b
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_what_is_written_into_is_compared_too():
    def f(x, rng):
        x += rng.normal(size=x.shape)
        return np.sum(x)

    x, y = X.copy(), X.copy()
    tg.compile(f, check=True)(x, np.random.default_rng(1))
    f(y, np.random.default_rng(1))
    np.testing.assert_array_equal(x, y)


def test_the_first_operation_that_differs_is_named(monkeypatch):
    monkeypatch.setattr(instruction_of(np.cosh), "into", "np.sinh({0}, {out})")

    def f(x):
        a = np.sin(x)
        b = np.cosh(a)  # which is written down wrongly
        return np.exp(b) * 2

    with pytest.raises(CompileError, match=r"first operation that differs is np\.cosh .*b = np\.cosh"):
        tg.compile(f, check=True)(X)


def test_differences():
    assert not difference(np.float64(1.0), np.float64(1.0 + 1e-14))
    assert not difference(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]))
    assert "at (1,)" in difference(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert "dtype" in difference(np.float32(1), np.float64(1))
    assert "not" in difference(np.array([1, 2]), np.array([1, 3]))
    assert difference(np.array([np.nan]), np.array([1.0]))
