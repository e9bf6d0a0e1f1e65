"""Small versions of the programs that people write: three steps, or calls, compiled as without."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
from helpers import some_or_all
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

#: Programs by name: each makes parameters, a loss and the batches that it is trained on.
TRAINED: dict[str, Callable[[], tuple[list, Callable, list]]] = {}
#: Functions by name: each makes one, and several calls of it.
CALLED: dict[str, Callable[[], tuple[Callable, list]]] = {}


def trained(make):
    TRAINED[make.__name__] = make
    return make


def called(make):
    CALLED[make.__name__] = make
    return make


def parameter(value):
    return nn.Parameter(value, dtype=np.float64)


def weights(*shapes, seed=0, scale=0.5):
    rng = np.random.default_rng(seed)
    return [parameter(scale * rng.normal(size=shape)) for shape in shapes]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def plain(tree):
    return [np.asarray(x.data if isinstance(x, tg.Tensor) else x) for x in tg.trees.leaves(tree)]


def assert_close(got, expected, what=""):
    for x, y in zip(plain(got), plain(expected), strict=True):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12, err_msg=str(what))


def train(make, compiled, make_optimizer):
    """The losses and the parameters of three steps."""
    parameters, loss, batches = make()
    optimizer = make_optimizer(parameters)
    step = tg.compile(loss, optimizer=optimizer) if compiled else None
    losses = []
    for batch in batches:
        if step is not None:
            losses.append(step(*batch).item())
            continue
        optimizer.zero_grad()
        value = loss(*batch)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses, [p.data.copy() for p in parameters]


@some_or_all
@pytest.mark.parametrize("name", TRAINED)
def test_training(name, are_all):
    optimizers = [lambda p: optim.SGD(p, lr=0.05), lambda p: optim.Adam(p, lr=0.01)]
    if not are_all:  # the two take turns
        optimizers = [optimizers[[*TRAINED].index(name) % 2]]
    for optimizer in optimizers:
        got, parameters = train(TRAINED[name], True, optimizer)
        expected, others = train(TRAINED[name], False, optimizer)
        assert len(got) >= 3
        assert_close(got, expected, name)
        assert_close(parameters, others, name)


@pytest.mark.parametrize("name", CALLED)
def test_calls(name):
    f, calls = CALLED[name]()
    compiled = tg.compile(f)
    assert len(calls) >= 2
    for args in calls:
        assert_close(compiled(*copy.deepcopy(args)), f(*copy.deepcopy(args)), name)


# -- sequences ---------------------------------------------------------------------------------------


@trained
def rnn():
    wx, wh, wo = ws = weights((3, 4), (4, 4), (4, 1))

    def loss(x, y):
        h = np.zeros((x.shape[0], 4))
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ wx + h @ wh)
        return np.mean((h @ wo - y) ** 2)

    return ws, loss, [(normal(2, 5, 3, seed=i), normal(2, 1, seed=i + 9)) for i in range(3)]


@trained
def rnn_of_outputs_in_a_list():
    wx, wh = ws = weights((3, 4), (4, 4))

    def loss(x):
        h, outputs = np.zeros(4), []
        for row in x:
            h = np.tanh(row @ wx + h @ wh)
            outputs.append(h)
        return np.mean(np.stack(outputs)[1:] ** 2) + outputs[-1][0] * outputs[0][-1]

    return ws, loss, [(normal(5, 3, seed=i),) for i in range(3)]


@trained
def lstm():
    class Cell(nn.Module):
        def __init__(self, n, m, rng):
            self.gates = nn.Linear(n + m, 4 * m, rng=rng, dtype=np.float64)
            self.m = m

        def forward(self, x, state):
            h, c = state
            i, f, g, o = np.split(self.gates(np.concatenate([x, h], axis=-1)), 4, axis=-1)
            c = F.sigmoid(f) * c + F.sigmoid(i) * np.tanh(g)
            return F.sigmoid(o) * np.tanh(c), c

    cell, head = Cell(3, 4, np.random.default_rng(0)), nn.Linear(4, 2, rng=1, dtype=np.float64)

    def loss(x, y):
        state = np.zeros((x.shape[0], 4)), np.zeros((x.shape[0], 4))
        for t in range(x.shape[1]):
            state = cell(x[:, t], state)
        return F.cross_entropy(head(state[0]), y)

    parameters = [*cell.parameters(), *head.parameters()]
    return parameters, loss, [(normal(3, 4, 3, seed=i), np.array([0, 1, i % 2])) for i in range(3)]


@trained
def gru():
    wz, wr, wn, wo = ws = weights((5, 3), (5, 3), (5, 3), (3, 2))

    def loss(x, y):
        h = np.zeros((len(x), 3))
        for t in range(x.shape[1]):
            both = np.concatenate([x[:, t, :], h], axis=1)
            z, r = F.sigmoid(both @ wz), F.sigmoid(both @ wr)
            h = (1 - z) * h + z * np.tanh(np.concatenate([x[:, t, :], r * h], axis=1) @ wn)
        return F.cross_entropy(h @ wo, y)

    return ws, loss, [(normal(2, 4, 2, seed=i), np.array([i % 2, 1])) for i in range(3)]


@trained
def gpt():
    n, d, heads, vocabulary = 5, 8, 2, 7

    class Block(nn.Module):
        def __init__(self, rng):
            self.qkv = nn.Linear(d, 3 * d, rng=rng, dtype=np.float64)
            self.out = nn.Linear(d, d, rng=rng, dtype=np.float64)
            self.mlp = nn.Sequential(
                nn.Linear(d, 2 * d, rng=rng, dtype=np.float64),
                nn.GELU(),
                nn.Linear(2 * d, d, rng=rng, dtype=np.float64),
            )
            self.gain = [parameter(np.ones(d)) for _ in range(2)]

        def norm(self, x, i):
            x = x - x.mean(axis=-1, keepdims=True)
            return self.gain[i] * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = np.split(self.qkv(self.norm(x, 0)), 3, axis=-1)
            q, k, v = (np.reshape(a, (b, t, heads, d // heads)).transpose(0, 2, 1, 3) for a in (q, k, v))
            scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(d // heads)
            scores = np.where(np.tril(np.ones((t, t), bool)), scores, -np.inf)
            y = F.softmax(scores, axis=-1) @ v
            x = x + self.out(y.transpose(0, 2, 1, 3).reshape(b, t, d))
            return x + self.mlp(self.norm(x, 1))

    class GPT(nn.Module):
        def __init__(self, rng):
            self.embedding = parameter(0.3 * rng.normal(size=(vocabulary, d)))
            self.position = parameter(0.3 * rng.normal(size=(n, d)))
            self.blocks = [Block(rng) for _ in range(2)]

        def forward(self, ids):
            x = self.embedding[ids] + self.position[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            return x @ self.embedding.T  # the weights are tied

    model = GPT(np.random.default_rng(0))

    def loss(ids):
        logits = model(ids[:, :-1])
        return F.cross_entropy(logits.reshape(-1, vocabulary), ids[:, 1:].reshape(-1))

    ids = np.random.default_rng(1).integers(0, vocabulary, (3, 2, n))
    return model.parameters(), loss, [(batch,) for batch in ids]


@trained
def attention_by_einsum():
    ws = weights((4, 2, 3), (4, 2, 3), (4, 2, 3))

    def loss(x, mask):
        q, k, v = (np.einsum("btd,dhe->bhte", x, w) for w in ws)
        scores = np.einsum("bhte,bhse->bhts", q, k) / 3**0.5
        scores = np.where(mask[:, None, None, :], scores, -1e9)
        a = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        a = a / a.sum(-1, keepdims=True)
        return np.mean(np.einsum("bhts,bhse->bthe", a, v) ** 2)

    masks = np.arange(5) < np.array([[5], [3]])
    return ws, loss, [(normal(2, 5, 4, seed=i), np.roll(masks, i, axis=0)) for i in range(3)]


# -- generative models -------------------------------------------------------------------------------


@trained
def vae():
    rng = np.random.default_rng(3)
    encode, decode = (nn.MLP([n, 4, m], rng=0, dtype=np.float64) for n, m in ((6, 4), (2, 6)))

    def loss(x):
        mean, logvar = np.split(encode(x), 2, axis=-1)
        z = mean + np.exp(0.5 * logvar) * rng.normal(size=mean.shape)
        divergence = -0.5 * np.mean(1 + logvar - mean**2 - np.exp(logvar))
        return F.binary_cross_entropy_with_logits(decode(z), x) + divergence

    parameters = [*encode.parameters(), *decode.parameters()]
    return parameters, loss, [((normal(3, 6, seed=i) > 0).astype(float),) for i in range(3)]


@trained
def mixture_density_network():
    net = nn.MLP([1, 5, 9], rng=0, dtype=np.float64, activation="tanh")

    def loss(x, y):
        out = net(x)
        logits, mean, log_sigma = out[:, :3], out[:, 3:6], out[:, 6:]
        z = (y - mean) / np.exp(log_sigma)
        return -np.mean(F.logsumexp(F.log_softmax(logits, axis=1) - 0.5 * z**2 - log_sigma, axis=1))

    return net.parameters(), loss, [(normal(4, 1, seed=i), normal(4, 1, seed=i + 5)) for i in range(3)]


def gan(compiled):
    rng = np.random.default_rng(0)
    make, judge = (nn.MLP(sizes, rng=i, dtype=np.float64) for i, sizes in enumerate(([2, 5, 1], [1, 5, 1])))
    adams = [optim.Adam(net.parameters(), lr=1e-2) for net in (make, judge)]

    def judge_loss(real, z):
        fake = make(z).detach()
        right = F.binary_cross_entropy_with_logits(judge(real), np.ones((len(real), 1)))
        return right + F.binary_cross_entropy_with_logits(judge(fake), np.zeros((len(z), 1)))

    def make_loss(z):
        return F.binary_cross_entropy_with_logits(judge(make(z)), np.ones((len(z), 1)))

    steps = tg.compile(judge_loss, optimizer=adams[1]), tg.compile(make_loss, optimizer=adams[0])
    values = []
    for _ in range(4):
        real, z = 1 + rng.normal(size=(3, 1)), rng.normal(size=(3, 2))
        for step, loss, adam, args in zip(
            steps, (judge_loss, make_loss), adams[::-1], ((real, z), (z,)), strict=True
        ):
            if compiled:
                values.append(step(*args))
                continue
            for other in adams:
                other.zero_grad()
            value = loss(*args)
            value.backward()
            adam.step()
            values.append(value.detach())
    return values, list(make.parameters()), list(judge.parameters())


def test_gan_of_two_optimizers():
    assert_close(gan(True), gan(False))


# -- physics -----------------------------------------------------------------------------------------


def _network():
    return nn.MLP([1, 6, 1], activation="tanh", rng=0, dtype=np.float64)


@trained
def pinn_by_jvp():
    net = _network()

    def loss(x):
        u, du = tg.jvp(net, tg.tensor(x), np.ones_like(x))
        return np.mean((du + u) ** 2) + np.mean((net(np.zeros((1, 1))) - 1) ** 2)

    return net.parameters(), loss, [(normal(4, 1, seed=i),) for i in range(3)]


@trained
def pinn_by_two_gradients():
    net = _network()

    def loss(x):
        u = lambda x: np.sum(net(x))  # noqa: E731
        second = tg.grad(lambda x: np.sum(tg.grad(u)(x)))(tg.tensor(x))
        return np.mean((second + np.sin(x)) ** 2)

    return net.parameters(), loss, [(normal(4, 1, seed=i),) for i in range(3)]


@trained
def pinn_by_hessian():
    net = nn.MLP([2, 4, 1], activation="tanh", rng=0, dtype=np.float64)

    def loss(points):
        total = 0.0
        for i in range(len(points)):
            h = tg.hessian(lambda p: net(p[None])[0, 0])(tg.tensor(points[i]))
            total = total + (h[0, 0] + h[1, 1]) ** 2
        return total / len(points)

    return net.parameters(), loss, [(normal(2, 2, seed=i),) for i in range(3)]


@trained
def derivatives_of_all_kinds():
    net = _network()

    def loss(x, v):
        x, v = tg.tensor(x), tg.tensor(v)
        f = lambda x: np.sum(net(x) ** 2)  # noqa: E731
        y, pull = tg.vjp(net, x)
        jacobian = tg.jacobian(lambda x: net(x)[:, 0])(x)
        return np.mean(tg.hvp(f, x, v) ** 2) + np.mean(pull(y)[0] ** 2) + np.mean(jacobian**2)

    return net.parameters(), loss, [(normal(3, 1, seed=i), normal(3, 1, seed=i + 7)) for i in range(3)]


@trained
def derivatives_at_plain_arrays():
    net = _network()

    def loss(x):
        slope = tg.grad(lambda q: np.sum(net(q)))(x)
        _, change = tg.jvp(net, x, np.ones_like(x))
        return np.mean((slope - np.cos(x)) ** 2) + np.mean(change**2) + np.mean(net(x) ** 2)

    return net.parameters(), loss, [(normal(4, 1, seed=i),) for i in range(3)]


@trained
def running_means_written_in_place():
    class Norm(nn.Module):
        def __init__(self):
            self.gain = parameter(np.ones(3))
            self.register_buffer("mean", np.zeros(3))
            self.register_buffer("rounds", np.array(0.0))

        def forward(self, x):
            self.rounds += 1
            self.mean *= 0.9
            self.mean[:] += x.mean(axis=0) / self.rounds
            self.mean[1:] = self.mean[:-1]
            return self.gain * (x - self.mean)

    norm = Norm()
    return norm.parameters(), lambda x: np.mean(norm(x) ** 2), [(normal(4, 3, seed=i),) for i in range(4)]


@trained
def pendulum_by_euler():
    length, friction = ws = [parameter(np.array(1.2)), parameter(np.array(0.1))]

    def loss(start, seen):
        angle, speed, total = start[0], start[1], 0.0
        for t in range(len(seen)):
            speed = speed + 0.05 * (-9.81 / length * np.sin(angle) - friction * speed)
            angle = angle + 0.05 * speed
            total += (angle - seen[t]) ** 2
        return total

    return ws, loss, [(normal(2, seed=i), normal(6, seed=i + 3)) for i in range(3)]


@trained
def pendulum_by_runge_kutta():
    (p,) = ws = [parameter(np.array([1.2, 0.1]))]

    def change(s):
        return np.stack([s[1], -9.81 / p[0] * np.sin(s[0]) - p[1] * s[1]])

    def loss(state, seen, h):
        for _ in range(3):
            a = change(state)
            b = change(state + h / 2 * a)
            c = change(state + h / 2 * b)
            state = state + h / 6 * (a + 2 * b + 2 * c + change(state + h * c))
        return np.sum((state - seen) ** 2)

    return ws, loss, [(normal(2, seed=i), normal(2, seed=i + 3), 0.05) for i in range(3)]


@trained
def lotka_volterra():
    (rates,) = ws = [parameter(np.array([1.0, 0.4, 0.3, 0.9]))]

    def loss(start, seen):
        a, b, c, d = np.exp(np.log(rates))
        x, y = start
        path = []
        for _ in range(len(seen)):
            x, y = x + 0.1 * (a * x - b * x * y), y + 0.1 * (c * x * y - d * y)
            path.append([x, y])
        return np.mean((np.stack([np.stack(p) for p in path]) - seen) ** 2)

    return ws, loss, [(1 + np.abs(normal(2, seed=i)), np.abs(normal(4, 2, seed=i))) for i in range(3)]


@trained
def neural_ode():
    net = nn.MLP([2, 5, 2], activation="tanh", rng=0, dtype=np.float64)

    def loss(z, target, times):
        for t in range(len(times) - 1):
            z = z + (times[t + 1] - times[t]) * net(z)
        return F.mse_loss(z, target)

    return (
        net.parameters(),
        loss,
        [(normal(3, 2, seed=i), normal(3, 2, seed=i + 4), np.linspace(0, 1 + i, 5)) for i in range(3)],
    )


@trained
def kalman_filter():
    (log_noise, drift) = ws = [
        parameter(np.array([-1.0, 0.2])),
        parameter(np.array([[1.0, 0.1], [0.0, 1.0]])),
    ]
    seen = np.array([[1.0, 0.0]])

    def loss(z):
        q, r = np.exp(log_noise[0]) * np.eye(2), np.exp(log_noise[1])
        mean, spread, total = np.zeros(2), np.eye(2), 0.0
        for t in range(len(z)):
            mean, spread = drift @ mean, drift @ spread @ drift.T + q
            s = seen @ spread @ seen.T + r
            gap = z[t] - seen @ mean
            gain = spread @ seen.T / s
            mean, spread = mean + gain @ gap, (np.eye(2) - gain @ seen) @ spread
            total = total + 0.5 * (np.log(s[0, 0]) + gap[0] ** 2 / s[0, 0])
        return total

    return ws, loss, [(normal(4, seed=i),) for i in range(3)]


# -- linear algebra ----------------------------------------------------------------------------------


@trained
def gaussian_process():
    (log,) = ws = [parameter(np.array([0.0, -0.3, -1.0]))]

    def loss(x, y):
        length, size, noise = np.exp(log)
        k = size**2 * np.exp(-0.5 * ((x[:, None] - x[None, :]) / length) ** 2) + noise * np.eye(len(x))
        a = np.linalg.solve(np.linalg.cholesky(k), y)
        return (
            0.5 * np.sum(a**2)
            + 0.5 * np.linalg.slogdet(k)[1]
            + np.sum(np.log(np.diag(np.linalg.cholesky(k))))
        )

    return ws, loss, [(normal(5, seed=i), normal(5, seed=i + 6)) for i in range(3)]


@called
def newtons_method():
    def f(p):
        return np.sum(np.exp(p) + p**2) + p[0] * p[1]

    def solve(p):
        for _ in range(3):
            p = p - np.linalg.solve(tg.hessian(f)(p), tg.grad(f)(p))
        return p

    return solve, [(normal(3, seed=i),) for i in range(3)]


@called
def power_iteration():
    def largest(a):
        def value(a):
            v = np.ones(len(a))
            for _ in range(5):
                v = a @ v
                v = v / np.linalg.norm(v)
            return v @ a @ v

        return tg.value_and_grad(value)(a)

    return largest, [((lambda a: (a @ a.T,))(normal(3, 3, seed=i))) for i in range(3)]


@called
def k_means_step():
    def step(points, centres):
        far = np.sum((points[:, None] - centres) ** 2, axis=-1)
        nearest = np.argmin(far, axis=1)
        members = np.eye(len(centres))[nearest]
        return members.T @ points / np.maximum(members.sum(axis=0), 1)[:, None], nearest

    return step, [(normal(7, 2, seed=i), normal(3, 2, seed=i + 2)) for i in range(3)]


# -- learning to learn -------------------------------------------------------------------------------


@called
def hypergradients():
    def outer(log_lr, w, x, y):
        inner = lambda w: np.mean((x @ w - y) ** 2)  # noqa: E731
        for _ in range(3):
            w = w - np.exp(log_lr) * tg.grad(inner)(w)
        return inner(w)

    return tg.value_and_grad(outer, (0, 1)), [
        (np.array(-2.0 - i), normal(2, seed=i), normal(4, 2, seed=i), normal(4, seed=i + 1)) for i in range(3)
    ]


@trained
def gradient_penalty():
    judge = nn.MLP([2, 4, 1], activation="tanh", rng=0, dtype=np.float64)

    def loss(real, fake, share):
        between = tg.tensor(share * real + (1 - share) * fake)
        slope = tg.grad(lambda x: np.sum(judge(x)))(between)
        size = np.sqrt(np.sum(slope**2, axis=1) + 1e-12)
        return np.mean(judge(fake)) - np.mean(judge(real)) + 10 * np.mean((size - 1) ** 2)

    return (
        judge.parameters(),
        loss,
        [(normal(3, 2, seed=i), normal(3, 2, seed=i + 4), np.abs(normal(3, 1, seed=i))) for i in range(3)],
    )


@trained
def policy_gradient():
    policy = nn.MLP([3, 4, 2], rng=0, dtype=np.float64)

    def loss(states, actions, rewards):
        returns, running = [], 0.0
        for t in reversed(range(len(rewards))):
            running = rewards[t] + 0.9 * running
            returns.insert(0, running)
        returns = np.array(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
        logp = F.log_softmax(policy(states), axis=1)
        return -np.mean(logp[np.arange(len(actions)), actions] * returns)

    return (
        policy.parameters(),
        loss,
        [(normal(4, 3, seed=i), np.array([0, 1, i % 2, 0]), normal(4, seed=i + 3)) for i in range(3)],
    )


# -- regression and classification -------------------------------------------------------------------


@trained
def network2_of_the_book():
    rng = np.random.default_rng(0)
    biases = [parameter(rng.normal(size=(n, 1))) for n in (5, 10)]
    ws = [parameter(rng.normal(size=shape)) for shape in ((5, 6), (10, 5))]

    def loss(x, y):
        target, a = np.eye(10)[y].T, x.T
        for b, w in zip(biases, ws, strict=True):
            a = 1 / (1 + np.exp(-(w @ a + b)))
        cross_entropy = np.sum(np.nan_to_num(-target * np.log(a) - (1 - target) * np.log(1 - a)))
        return (cross_entropy + 0.5 * np.linalg.norm(a - target) ** 2) / len(y) + 0.05 * sum(
            np.sum(w**2) for w in ws
        )

    return [*biases, *ws], loss, [(normal(4, 6, seed=i), np.array([3, i, 9, 0])) for i in range(3)]


@trained
def logistic_regression_of_theta():
    (theta,) = ws = weights((3,))

    def loss(x, y):
        z = theta[0] + theta[1] * x[:, 0] + theta[2] * x[:, 1]
        p = 1.0 / (1.0 + np.exp(-z))
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.01 * np.sum(theta[1:] ** 2)

    return ws, loss, [(normal(4, 2, seed=i), (normal(4, seed=i) > 0).astype(float)) for i in range(3)]


@trained
def matrix_factorization():
    users, items, bias = ws = weights((4, 2), (5, 2), (4,))

    def loss(u, i, stars):
        guess = np.sum(users[u] * items[i], axis=1) + bias[u]
        return np.mean((guess - stars) ** 2) + 0.01 * (np.sum(users**2) + np.sum(items**2))

    return ws, loss, [(np.array([0, 3, 3]), np.array([1, k, 4]), normal(3, seed=k)) for k in range(3)]


@trained
def word2vec():
    inner, outer = ws = weights((6, 3), (6, 3))

    def loss(word, context, others):
        near = np.sum(inner[word] * outer[context], axis=-1)
        far = np.einsum("bd,bkd->bk", inner[word], outer[others])
        return -np.mean(np.log(F.sigmoid(near))) - np.mean(np.sum(np.log(F.sigmoid(-far)), axis=1))

    rng = np.random.default_rng(0)
    return ws, loss, [tuple(rng.integers(0, 6, shape) for shape in ((3,), (3,), (3, 2))) for _ in range(3)]


@trained
def one_word_after_the_other():
    table, out = ws = weights((6, 3), (3, 6))

    def loss(ids):
        total = 0.0
        for t in range(len(ids) - 1):
            total = total - F.log_softmax(table[ids[t]] @ out, axis=-1)[ids[t + 1]]
        return total

    return ws, loss, [(np.array(ids),) for ids in ([0, 3, 5, 1], [2, 2, 4, 0], [5, 1, 0, 3])]


@trained
def temperature_and_label_smoothing():
    (w,) = ws = weights((3, 4))

    def loss(x, y, temperature):
        p = F.softmax(x @ w / temperature, axis=1)
        target = 0.9 * np.eye(4)[y] + 0.1 / 4
        return -np.mean(np.sum(target * np.log(p), axis=1))

    x, y = normal(3, 3), np.array([0, 3, 1])
    return ws, loss, [(x, y, t) for t in (2.0, np.array(2.0), 0.5, np.float64(0.5), np.array(3.0))]


@trained
def focal_loss():
    (w,) = ws = weights((3, 4))

    def loss(x, y):
        p = np.take_along_axis(F.softmax(x @ w, axis=1), y[:, None], axis=1)
        return -np.mean((1 - p) ** 2 * np.log(p))

    return ws, loss, [(normal(3, 3, seed=i), np.array([0, 3, i])) for i in range(3)]


@trained
def triplet_loss():
    net = nn.MLP([3, 4, 2], rng=0, dtype=np.float64)

    def loss(a, p, n):
        a, p, n = net(a), net(p), net(n)
        return np.mean(np.maximum(np.linalg.norm(a - p, axis=1) - np.linalg.norm(a - n, axis=1) + 1, 0))

    return net.parameters(), loss, [tuple(normal(4, 3, seed=3 * i + k) for k in range(3)) for i in range(3)]


@trained
def contrastive_loss():
    net = nn.MLP([3, 4, 2], activation="tanh", rng=0, dtype=np.float64)

    def loss(x, labels):
        z = net(x)
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        same = (labels[:, None] == labels[None, :]) & ~np.eye(len(x), dtype=bool)
        logits = np.where(np.eye(len(x), dtype=bool), -1e9, z @ z.T / 0.5)
        logp = F.log_softmax(logits, axis=1)
        return -np.mean(np.sum(logp, axis=1, where=same) / np.maximum(np.sum(same, axis=1), 1))

    return net.parameters(), loss, [(normal(4, 3, seed=i), np.array([0, 1, 0, i % 2])) for i in range(3)]


@trained
def quantile_regression():
    (w,) = ws = weights((3,))

    def loss(x, y, q):
        gap = y - x @ w
        return (
            np.mean(np.maximum(q * gap, (q - 1) * gap)) + 0.1 * np.quantile(gap, 0.9) + 0.1 * np.median(gap)
        )

    return ws, loss, [(normal(5, 3, seed=i), normal(5, seed=i + 5), 0.3) for i in range(3)]


@trained
def huber_by_where():
    (w,) = ws = weights((3,))

    def loss(x, y):
        gap = y - x @ w
        return np.where(np.abs(gap) < 1, 0.5 * gap**2, np.abs(gap) - 0.5).mean()

    return ws, loss, [(normal(5, 3, seed=i), 2 * normal(5, seed=i + 5)) for i in range(3)]


@trained
def fourier_features():
    frequencies = normal(2, 4, seed=8)
    net = nn.MLP([8, 4, 1], rng=0, dtype=np.float64)

    def loss(x, y):
        angles = 2 * np.pi * x @ frequencies
        return F.mse_loss(net(np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)), y)

    return net.parameters(), loss, [(normal(4, 2, seed=i), normal(4, 1, seed=i)) for i in range(3)]


# -- parts of models ---------------------------------------------------------------------------------


@trained
def batch_norm_by_hand():
    class Norm(nn.Module):
        def __init__(self, n):
            self.gain, self.shift = parameter(np.ones(n)), parameter(np.zeros(n))
            self.register_buffer("mean", np.zeros(n))
            self.register_buffer("var", np.ones(n))

        def forward(self, x):
            mean, var = np.mean(x, axis=0), np.var(x, axis=0)
            self.mean = 0.9 * self.mean + 0.1 * tg.Tensor(mean).detach().data
            self.var = 0.9 * self.var + 0.1 * tg.Tensor(var).detach().data
            return self.gain * (x - mean) / np.sqrt(var + 1e-5) + self.shift * np.mean(self.mean)

    norm, head = Norm(3), nn.Linear(3, 1, rng=0, dtype=np.float64)

    def loss(x, y):
        return F.mse_loss(head(norm(x)), y)

    parameters = [*norm.parameters(), *head.parameters()]
    return parameters, loss, [(normal(4, 3, seed=i), normal(4, 1, seed=i)) for i in range(3)]


@trained
def dropout_by_hand():
    class Net(nn.Module):
        def __init__(self):
            self.generators = {"mask": np.random.default_rng(5)}
            self.layers = [nn.Linear(3, 6, rng=0, dtype=np.float64), nn.Linear(6, 1, rng=1, dtype=np.float64)]
            self.rng = np.random.default_rng(6)

        def forward(self, x):
            h = np.maximum(self.layers[0](x), 0)
            h = h * (self.generators["mask"].random(h.shape) < 0.5) * 2.0
            return self.layers[1](h + 0.1 * self.rng.normal(size=h.shape))

    net = Net()
    return (
        net.parameters(),
        lambda x, y: F.mse_loss(net(x), y),
        [(normal(4, 3, seed=i), normal(4, 1, seed=i)) for i in range(3)],
    )


@trained
def weight_tying():
    encode = nn.Linear(4, 2, rng=0, dtype=np.float64)

    def loss(x):
        return F.mse_loss(np.tanh(encode(x)) @ encode.weight, x)

    return encode.parameters(), loss, [(normal(3, 4, seed=i),) for i in range(3)]


@trained
def residual_blocks_in_a_list():
    blocks = [nn.Sequential(nn.Linear(3, 3, rng=i, dtype=np.float64), nn.Tanh()) for i in range(3)]
    scale = parameter(np.ones(3))

    def loss(x, y):
        for i, block in enumerate(blocks):
            x = x + scale[i] * block(x)
        return F.mse_loss(x, y)

    parameters = [*(p for block in blocks for p in block.parameters()), scale]
    return parameters, loss, [(normal(4, 3, seed=i), normal(4, 3, seed=i + 1)) for i in range(3)]


@trained
def lenet_by_windows():
    kernel, head = ws = weights((2, 3, 3), (2 * 2 * 2, 3))

    def loss(x, y):
        windows = sliding_window_view(x, (3, 3), axis=(1, 2))
        maps = np.maximum(np.einsum("bijkl,ckl->bcij", windows, kernel), 0)
        b, c, h, w = maps.shape
        pooled = maps.reshape(b, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
        return F.cross_entropy(pooled.reshape(b, -1) @ head, y)

    return ws, loss, [(normal(2, 6, 6, seed=i), np.array([0, i])) for i in range(3)]


@tg.primitive(samples=[((3,),)])
def softsign(x, /):
    return x / (1 + np.abs(x))


softsign.vjp(lambda g, y, x: g / (1 + np.abs(x)) ** 2)


@trained
def custom_primitive():
    (w,) = ws = weights((3, 2))
    return ws, lambda x: np.mean(softsign(x @ w) ** 2), [(normal(4, 3, seed=i),) for i in range(3)]


@trained
def varying_and_empty_batches():
    net = nn.MLP([3, 4, 2], activation="tanh", rng=0, dtype=np.float64)

    def loss(x, y):
        return np.sum((net(x) - y) ** 2) / max(len(x), 1)

    return (
        net.parameters(),
        loss,
        [(normal(n, 3, seed=n), normal(n, 2, seed=n)) for n in (4, 0, 2, 1, 4, 0, 5)],
    )


@trained
def checkpointed_blocks():
    blocks = [nn.MLP([3, 5, 3], activation="tanh", rng=i, dtype=np.float64) for i in range(2)]

    def loss(x):
        for block in blocks:
            x = tg.checkpoint(block)(x)
        return np.mean(x**2)

    return [p for b in blocks for p in b.parameters()], loss, [(normal(4, 3, seed=i),) for i in range(3)]


# -- the loop around the step ------------------------------------------------------------------------


def averaged(compiled):
    """Gradient clipping, a schedule, and an exponential moving average of the weights."""
    net = nn.MLP([3, 4, 1], rng=0, dtype=np.float64)
    mean = [p.data.copy() for p in net.parameters()]
    optimizer = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    schedule = optim.StepLR(optimizer, step_size=2, gamma=0.1)
    loss = lambda x, y: F.mse_loss(net(x), y)  # noqa: E731
    step = tg.compile(loss, optimizer=optimizer, clip_norm=0.1)
    values = []
    for i in range(5):
        x, y = normal(4, 3, seed=i), normal(4, 1, seed=i)
        if compiled:
            values.append(step(x, y))
        else:
            optimizer.zero_grad()
            value = loss(x, y)
            value.backward()
            optim.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            values.append(value.detach())
        schedule.step()
        mean = [0.9 * m + 0.1 * p.data for m, p in zip(mean, net.parameters(), strict=True)]
    return values, mean, list(net.parameters())


def test_clipping_schedule_and_moving_average():
    assert_close(averaged(True), averaged(False))
