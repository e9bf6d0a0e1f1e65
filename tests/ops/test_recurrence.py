"""Recurrent operations: a loop written by hand, derivatives of both orders and directions, dtypes, empty batches."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import parts

import tinygrad_mnist as tg
from tinygrad_mnist.ops.recurrence import gru, lstm, rnn

STEPS, N, SIZE = 4, 3, 2


def drawn(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def relu_rnn(x, h, weight):
    return rnn(x, h, weight, "relu")


STATE = (N, SIZE)
CASES = {
    rnn: [(STEPS, N, SIZE), STATE, (SIZE, SIZE)],
    relu_rnn: [(STEPS, N, SIZE), STATE, (SIZE, SIZE)],
    lstm: [(STEPS, N, 4 * SIZE), STATE, STATE, (4 * SIZE, SIZE)],
    gru: [(STEPS, N, 3 * SIZE), STATE, (3 * SIZE, SIZE), (3 * SIZE,)],
}
every = pytest.mark.parametrize(("f", "shapes"), CASES.items(), ids=lambda v: getattr(v, "__name__", ""))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_by_hand():
    x, h, c, w = drawn(*CASES[lstm])
    states, cells = lstm(x, h, c, w)
    for t in range(STEPS):
        i, f, n, o = np.split(x[t] + h @ w.T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(states[t], h, rtol=1e-12)
        np.testing.assert_allclose(cells[t], c, rtol=1e-12)


def test_gru_by_hand():
    x, h, w, b = drawn(*CASES[gru])
    states = gru(x, h, w, b)
    for t in range(STEPS):
        (xr, xz, xn), (hr, hz, hn) = np.split(x[t], 3, axis=1), np.split(h @ w.T + b, 3, axis=1)
        n = np.tanh(xn + sigmoid(xr + hr) * hn)
        z = sigmoid(xz + hz)
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(states[t], h, rtol=1e-12)


@pytest.mark.parametrize("function", [np.tanh, lambda a: np.maximum(a, 0)])
def test_rnn_by_hand(function):
    x, h, w = drawn(*CASES[rnn])
    states = (rnn if function is np.tanh else relu_rnn)(x, h, w)
    for t in range(STEPS):
        h = function(x[t] + h @ w.T)
        np.testing.assert_allclose(states[t], h, rtol=1e-12)


@every
@pytest.mark.parametrize("order", [1, 2])
def test_gradient(f, shapes, order):
    assert tg.testing.gradcheck(f, *drawn(*shapes), order=order)


@every
def test_tangents_go_forward_as_gradients_go_back(f, shapes):
    values, tangents = drawn(*shapes), drawn(*shapes[::-1])[::-1]
    ys, pull = tg.vjp(f, *values)
    weights = drawn(*(y.shape for y in parts(ys)))
    _, change = tg.jvp(f, tuple(values), tuple(tangents))
    forward = sum(np.vdot(u, v) for u, v in zip(weights, parts(change), strict=True))
    gradients = pull(tuple(weights) if isinstance(ys, tuple) else weights[0])
    back = sum(np.vdot(g, v) for g, v in zip(gradients, tangents, strict=True))
    np.testing.assert_allclose(forward, back, rtol=1e-10)


@every
def test_only_some_arguments_are_tracked(f, shapes):
    values = drawn(*shapes)
    every_one = [tg.tensor(v, requires_grad=True) for v in values]
    np.sum(parts(f(*every_one))[0] ** 2).backward()
    for i, value in enumerate(values):
        one = tg.tensor(value, requires_grad=True)
        np.sum(parts(f(*values[:i], one, *values[i + 1 :]))[0] ** 2).backward()
        np.testing.assert_allclose(one.grad.data, every_one[i].grad.data, rtol=1e-12)
    assert not any(y.requires_grad for y in parts(f(*map(tg.Tensor, values))))
    with tg.no_grad():
        assert not any(y.requires_grad for y in parts(f(*every_one)))


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtype_is_kept(f, shapes, dtype):
    leaves = [tg.tensor(v, requires_grad=True) for v in drawn(*shapes, dtype=dtype)]
    results = parts(f(*leaves))
    sum(np.sum(y) for y in results).backward()
    assert {x.dtype for x in results} | {x.grad.dtype for x in leaves} == {np.dtype(dtype)}


@every
def test_no_sequences(f, shapes):
    leaves = [
        tg.tensor(v, requires_grad=True)
        for v in drawn(*[[0 if n == N else n for n in s] for s in shapes[:1]])
    ]
    rest = drawn(*[[0, *s[1:]] if s == STATE else s for s in shapes[1:]])
    results = parts(f(*leaves, *rest))
    sum(np.sum(y) for y in results).backward()
    assert results[0].shape == (STEPS, 0, SIZE)


@every
def test_graph_is_checked_and_drawn(f, shapes):
    leaves = [tg.tensor(v, requires_grad=True) for v in drawn(*shapes)]
    total = sum(np.sum(np.sin(y)) for y in parts(f(*leaves)))
    report = tg.testing.check_graph(total)
    assert report.inputs >= len(shapes)
    assert report.worst < 1e-6
    assert not report.skipped
    assert f.__name__.removeprefix("relu_") in str(tg.viz.draw_graph(total))
