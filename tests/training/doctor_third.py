"""A third exam for the doctor, written without a look at its checks; all of it is thorough."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
from doctor_cases import adam, blobs, chain, digits, lin, line, mlp, moons, of, sgd, wave, write
from doctor_reports import Of, cnn, column, houses, images, one_hot, sequences, softmax, standard, trained

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

FAULTY, FAILING, HEALTHY = {}, {}, {}


def faulty(codes):
    return lambda make: FAULTY.setdefault(make.__name__, (codes, make))[1]


def failing(codes):
    return lambda make: FAILING.setdefault(make.__name__, (codes, make))[1]


def healthy(make):
    return HEALTHY.setdefault(make.__name__, make)


D = tg.data


def rng0(s=0):
    return np.random.default_rng(s)


def iris(n=150):
    r = rng0(1)
    y = np.repeat([0, 1, 2], n // 3)
    m = np.array([[5, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3, 5.6, 2]])[y]
    return (m + r.normal(0, 0.3, m.shape)).astype(np.float32), y


def mixed(data, s=0):
    x, y = data
    o = rng0(s).permutation(len(x))
    return x[o], y[o]


def chars(T=12, V=8, n=300):
    s = np.arange(n + T) % V
    s = (s * 3 + (s // 3)) % V
    x = np.stack([s[i : i + T] for i in range(n)])
    y = np.stack([s[i + 1 : i + T + 1] for i in range(n - 1)] + [np.roll(s, -1)[n - 1 : n - 1 + T]])
    return x, y


@faulty("inputs-not-scaled")
def wine():
    r = rng0()
    y = r.integers(0, 3, 180)
    x = np.stack(
        [
            r.normal(13, 0.8, 180) + y * 0.1,
            r.normal(2, 1, 180),
            r.normal(750, 300, 180) + 200 * y,
            r.normal(100, 14, 180),
        ],
        1,
    ).astype(np.float32)
    return of(mlp(4, 16, 3), (x, y), adam(1e-3))


@faulty("input-ignored inputs-scaled-twice non-finite-data")
def whole_division():
    x, y = digits(scale=254.9)
    return of(mlp(784, 32, 10), ((x // 255).astype(np.float32), y), adam(1e-3))


@faulty("logits-as-probabilities")
def softmax_over_the_batch():
    return of(
        Of(lambda m, x: F.softmax(m.b(x), axis=0), b=mlp(784, 32, 10)),
        digits(),
        adam(1e-3),
        loss=lambda o, t: -np.mean(np.log(o[np.arange(len(t)), t] + 1e-9)),
    )


@faulty("targets-out-of-range")
def sigmoid_for_minus_one_and_one():
    x, y = moons()
    return of(chain(mlp(2, 16, 1), nn.Sigmoid()), column((x, 2 * y - 1)), adam(3e-3), loss="mse")


@faulty("targets-out-of-range")
def tanh_for_grey_values():
    x, _ = digits()
    return of(Of(lambda m, x: np.tanh(m.b(x)), b=mlp(784, 32, 784)), (x, x * 255), adam(1e-3), loss="mse")


@faulty("dropout-too-high")
def input_dropout():
    return of(chain(nn.Dropout(0.95, rng=0), mlp(784, 64, 10)), digits(), adam(1e-3))


@faulty("no-gradient")
def loss_of_data():
    return of(mlp(5, 16, 1), line(), adam(1e-3), loss=lambda o, t: np.mean((o.data - t) ** 2))


@faulty("not-in-optimizer")
def layer_made_in_forward():
    return of(Of(lambda m, x: m.b(F.relu(nn.Linear(4, 16, rng=0)(x))), b=lin(16, 3)), blobs(), adam(1e-3))


@faulty("not-in-optimizer")
def layer_outside():
    hidden = lin(4, 16)
    return of(Of(lambda m, x: m.b(F.relu(hidden(x))), b=lin(16, 3)), blobs(), adam(1e-3))


@faulty("learning-rate-too-low")
def lr_zero():
    return of(mlp(4, 16, 3), blobs(), sgd(0.0))


@faulty("learning-rate-too-high")
def momentum_99():
    return of(mlp(784, 32, 10), digits(), sgd(1.0, momentum=0.99))


@faulty("learning-rate-too-high")
def adam_tenth_conv():
    return of(cnn(), images(), adam(0.3))


@faulty("learning-rate-too-high")
def rnn_sgd_10():
    x, y = sequences()
    return of(
        Of(lambda m, x: m.h(m.r(x)[0][:, -1]), r=nn.LSTM(2, 16, batch_first=True, rng=0), h=lin(16, 2)),
        (x, y),
        sgd(50.0),
    )


@faulty("non-finite-data")
def nan_weights():
    m = mlp(4, 16, 3)
    write(next(iter(m.parameters())), lambda w: w * np.nan)
    return of(m, blobs(), adam(1e-3))


@faulty("exploding-gradients non-finite-data")
def root_at_zero():
    return of(
        mlp(5, 16, 1),
        line(),
        adam(1e-3),
        loss=lambda o, t: np.mean(np.sqrt(np.maximum((o - t) ** 2 - 1e6, 0))),
    )


@faulty("class-imbalance")
def bools():
    x, y = blobs(2, n=600)
    y = np.zeros(600, bool)
    y[::25] = True
    return of(mlp(4, 16, 1), (x, y[:, None]), adam(3e-3), loss=lambda o, t: np.mean(F.softplus(o) - t * o))


@faulty("weight-decay-too-high")
def l1_of_one():
    m = mlp(784, 32, 10)
    return of(
        m,
        digits(),
        adam(1e-3),
        loss=lambda o, t: F.cross_entropy(o, t) + 0.1 * sum(np.sum(np.abs(p)) for p in m.parameters()),
    )


@faulty("train-eval-mixed-up")
def bn_left_in_eval():
    m = chain(lin(784, 32), nn.BatchNorm1d(32), nn.ReLU(), lin(32, 10))
    m[1].eval()
    return of(m, digits(), adam(1e-3))


@faulty("softmax-twice")
def conv_softmax_numpy():
    return of(
        Of(lambda m, x: softmax(m.c(x)), c=cnn()),
        images(),
        adam(1e-3),
        loss=lambda o, t: -np.mean((o - np.log(np.exp(o).sum(axis=1, keepdims=True)))[np.arange(len(t)), t]),
    )


@faulty("softmax-twice")
def rnn_softmax():
    x, y = sequences()
    return of(
        Of(
            lambda m, x: F.softmax(m.h(m.r(x)[0][:, -1])),
            r=nn.GRU(2, 16, batch_first=True, rng=0),
            h=lin(16, 2),
        ),
        (x, y),
        adam(1e-2),
    )


@faulty("missing-nonlinearity")
def linear_xor():
    return of(
        chain(lin(2, 8), lin(8, 1, 1)),
        (np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)),
        adam(1e-2),
        loss="bce",
    )


@faulty("missing-nonlinearity")
def deep_autoencoder_linear():
    x, _ = digits()
    return of(mlp_(784, 128, 64, 128, 784), (x, x), adam(1e-3), loss="mse")


def mlp_(*s):
    return chain(*[nn.Linear(a, b, rng=i) for i, (a, b) in enumerate(itertools.pairwise(s))])


@faulty("labels-out-of-step")
def labels_reversed():
    x, y = digits()
    return of(mlp(784, 32, 10), (x, y[::-1].copy()), adam(1e-3))


@faulty("labels-out-of-step")
def table_sorted():
    x, y = houses(400)
    return of(mlp(3, 32, 1), (standard(x), standard(np.sort(y, axis=0))), adam(3e-3), loss="mse")


@faulty("data-not-shuffled")
def iris_in_order():
    return of(mlp(4, 16, 3), D.DataLoader(iris(), 16), adam(1e-2))


@faulty("labels-out-of-range")
def species_1_to_3():
    x, y = mixed(iris())
    return of(mlp(4, 16, 3), (x, y + 1), adam(1e-2))


@faulty("too-few-outputs")
def two_for_iris():
    return of(mlp(4, 16, 2), mixed(iris()), adam(1e-2))


@faulty("broadcast-in-loss")
def targets_column():
    x, y = line()
    return of(Of(lambda m, x: np.squeeze(m.b(x), axis=1), b=mlp(5, 16, 1)), (x, y), adam(1e-3), loss=nnmse)


def nnmse(o, t):
    return ((o - t) * (o - t)).sum() / (o - t).size


@faulty("relu-on-output")
def temperatures():
    return of(Of(lambda m, x: F.relu(m.b(x)), b=mlp(1, 32, 1)), wave(), adam(3e-3), loss="l1")


@faulty("bounded-logits")
def hard_tanh():
    return of(Of(lambda m, x: np.maximum(np.minimum(m.b(x), 1), -1), b=mlp(4, 16, 3)), blobs(), adam(3e-3))


@faulty("bounded-logits")
def softsign():
    return of(Of(lambda m, x: m.b(x) / (1 + np.abs(m.b(x))), b=mlp(4, 16, 3)), blobs(), adam(3e-3))


@faulty("gradients-not-zeroed")
def zero_once():
    m = mlp(784, 32, 10)
    o = optim.Adam(m.parameters(), lr=1e-3)
    o.zero_grad()
    return trained(m, digits(), o, 25, zero=False)


@faulty("frozen-parameters")
def conv_frozen():
    m = cnn()
    for p in m.parameters():
        p.requires_grad = p.ndim < 4
    return of(m, images(), adam(1e-3))


@faulty("saturated-units")
def big_bias_sigmoid():
    m = mlp(784, 32, 10, activation="sigmoid")
    write(list(m.parameters())[1], lambda b: b + 10)
    return of(m, digits(), sgd(0.5))


@faulty("leak")
def val_in_train():
    x, y = mixed(iris())
    return of(mlp(4, 16, 3), (x, y), adam(1e-2), validation=(x[:50], y[:50]))


@faulty("sum-for-mean")
def sum_conv():
    return of(cnn(), images(), sgd(0.05), loss=lambda o, t: F.cross_entropy(o, t, reduction="sum"))


@faulty("input-ignored")
def overwritten():
    def f(m, x):
        x = np.ones(x.shape, np.float32)
        return m.b(x)

    return of(Of(f, b=mlp(784, 32, 10)), digits(), adam(1e-3))


@failing("overfitting")
def thirty_digits_by_heart():
    x, y = digits(600)
    return {
        "model": mlp(784, 256, 256, 10),
        "train": (x[:30], y[:30]),
        "validation": (x[100:], y[100:]),
        "optimizer": adam(1e-3),
        "epochs": 40,
        "batch_size": 10,
    }


@failing("learning-rate-too-high")
def a_line_that_explodes():
    return {"model": lin(5, 1), "train": line(), "optimizer": sgd(1.5), "loss": "mse", "epochs": 3}


@failing("plateau one-class-predicted dead-units")
def weights_that_switch_all_off():
    m = mlp(784, 32, 10)
    for p in list(m.parameters())[:2]:
        write(p, lambda w: w * 0 - 1)
    return {"model": m, "train": digits(), "optimizer": sgd(0.1), "epochs": 7}


@failing("oscillation learning-rate-too-high dead-units one-class-predicted")
def large_steps_with_momentum():
    return {
        "model": mlp(784, 32, 10),
        "train": digits(),
        "optimizer": sgd(0.6, momentum=0.9),
        "epochs": 5,
        "batch_size": 16,
    }


# healthy
@healthy
def iris_raw():
    return of(mlp(4, 16, 3), mixed(iris()), adam(1e-2))


@healthy
def iris_logistic():
    return of(lin(4, 3), mixed(iris()), sgd(0.1))


@healthy
def digits16():
    d = D.load_digits()
    x, y = (d[0] if isinstance(d, tuple) else d)[:]
    return of(mlp(64, 32, 10), (np.asarray(x).reshape(len(x), -1) * 16, y), adam(1e-3))


@healthy
def char_rnn():
    x, y = chars()
    return of(
        Of(
            lambda m, x: m.h(m.r(m.e(x))[0]),
            e=nn.Embedding(8, 8, rng=0),
            r=nn.GRU(8, 16, batch_first=True, rng=0),
            h=lin(16, 8),
        ),
        (x, y),
        adam(1e-2),
        loss=lambda o, t: F.cross_entropy(o.reshape(-1, 8), t.reshape(-1)),
    )


@healthy
def segmentation():
    x, _ = images(150)
    y = (x[:, 0] > 0.5).astype(int)
    return of(
        chain(nn.Conv2d(1, 8, 3, padding=1, rng=0), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1, rng=1)),
        (x, y),
        adam(1e-2),
    )


@healthy
def siamese():
    x, y = digits(600)
    p = np.stack([x[:300], x[300:]], 1)
    t = (y[:300] == y[300:]).astype(np.float32)

    def loss(o, t):
        d = np.sqrt(np.sum((o[:, 0] - o[:, 1]) ** 2, axis=1) + 1e-6)
        return np.mean(t * d**2 + (1 - t) * np.maximum(1 - d, 0) ** 2)

    return of(Of(lambda m, x: m.b(x), b=mlp(784, 32, 8)), (p, t), adam(1e-3), loss=loss)


@healthy
def multi_regression():
    r = rng0()
    x = r.normal(size=(300, 4)).astype(np.float32)
    return of(
        mlp(4, 32, 3), (x, np.tanh(x @ r.normal(size=(4, 3))).astype(np.float32)), adam(3e-3), loss="mse"
    )


@healthy
def y_bool():
    x, y = moons()
    return of(
        mlp(2, 32, 1), (x, (y == 1)[:, None]), adam(5e-3), loss=lambda o, t: np.mean(F.softplus(o) - t * o)
    )


@healthy
def mixup():
    x, y = digits()
    share = rng0().beta(0.4, 0.4, (1000, 1)).astype(np.float32)
    o = rng0(1).permutation(1000)
    Y = one_hot(y)
    return of(
        mlp(784, 32, 10),
        (share * x + (1 - share) * x[o], share * Y + (1 - share) * Y[o]),
        adam(1e-3),
        loss=F.cross_entropy,
    )


@healthy
def xor_textbook():
    return of(
        chain(mlp(2, 4, 1, activation="sigmoid"), nn.Sigmoid()),
        (np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)),
        sgd(2.0),
        loss="mse",
    )


@healthy
def full_batch_lr1():
    x, y = moons()
    return of(lin(2, 1), D.DataLoader(column((x, y)), 400), sgd(1.0), loss="bce")


@healthy
def tutorial_sgd_1e_3():
    return of(mlp(784, 512, 512, 10), digits(), sgd(1e-3))


@healthy
def sgd_1e_2():
    return of(mlp(784, 64, 10), digits(), sgd(1e-2))


@healthy
def svm():
    x, y = moons()
    m = lin(2, 1)
    return of(
        m,
        column((x, 2 * y - 1)),
        sgd(0.05),
        loss=lambda o, t: np.mean(np.maximum(0, 1 - t * o)) + 0.01 * np.sum(m.weight**2),
    )


@healthy
def tiny():
    return of(mlp(4, 8, 2), (blobs(2, n=12)), adam(1e-2))


@healthy
def tied():
    x, y = chars()

    class Net(nn.Module):
        def __init__(self):
            self.e = nn.Embedding(8, 16, rng=0)
            self.l = lin(16, 16)

        def forward(self, x):
            return np.tanh(self.l(self.e(x[:, -1]))) @ self.e.weight.T

    return of(Net(), (x, y[:, -1]), adam(1e-2))


@healthy
def frozen_embedding():
    x = rng0().integers(0, 30, (300, 6))
    e = nn.Embedding(30, 8, rng=0)
    e.weight.requires_grad = False
    m = Of(lambda m, x: m.h(np.mean(m.e(x), axis=1)), e=e, h=mlp(8, 32, 2))
    return of(
        m,
        (x, (x.sum(axis=1) > 87).astype(int)),
        optim.Adam([p for p in m.parameters() if p.requires_grad], lr=1e-2),
    )


@healthy
def resnet_bn():
    def b(s):
        return chain(
            nn.Conv2d(4, 4, 3, padding=1, bias=False, rng=s),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False, rng=s + 1),
            nn.BatchNorm2d(4),
        )

    return of(
        Of(
            lambda m, x: m.h(np.mean(F.relu(m.s(x) + m.b(m.s(x))), axis=(2, 3))),
            s=chain(nn.Conv2d(1, 4, 5, stride=3, rng=0), nn.ReLU()),
            b=b(3),
            h=lin(4, 10),
        ),
        images(200),
        adam(1e-2),
    )


@healthy
def residual_module():
    return of(
        chain(
            lin(784, 32),
            nn.ReLU(),
            nn.Residual(chain(lin(32, 32, 1), nn.ReLU(), lin(32, 32, 2))),
            nn.ReLU(),
            lin(32, 10, 3),
        ),
        digits(),
        adam(1e-3),
    )


@healthy
def positional():
    x, y = sequences()
    return of(
        Of(
            lambda m, x: m.h(np.mean(m.a(m.e(x) + m.p, m.e(x) + m.p, m.e(x) + m.p)[0], axis=1)),
            e=lin(2, 8),
            p=nn.Parameter(rng0().normal(0, 0.1, (8, 8)).astype(np.float32)),
            a=nn.MultiheadAttention(8, 2, batch_first=True, rng=0),
            h=mlp(8, 16, 2),
        ),
        (x, y),
        adam(1e-2),
    )


@healthy
def bottleneck_vae_like():
    x, _ = digits(400)
    return of(
        chain(lin(784, 64), nn.Tanh(), lin(64, 2, 1), lin(2, 64, 2), nn.Tanh(), lin(64, 784, 3)),
        (x, x),
        adam(3e-3),
        loss="mse",
    )


@healthy
def gaussian_mixture_loss():
    def loss(o, t):
        a = o[:, :2]
        mu = o[:, 2:4]
        ls = o[:, 4:]
        lp = F.log_softmax(a) - ls - 0.5 * ((t - mu) / np.exp(ls)) ** 2
        return -np.mean(F.logsumexp(lp, axis=1))

    return of(mlp(1, 32, 6, activation="tanh"), wave(), adam(3e-3), loss=loss)


@healthy
def cosine():
    x, y = digits()
    e = np.eye(10, dtype=np.float32)
    return of(
        mlp(784, 32, 10),
        (x, e[y]),
        adam(1e-3),
        loss=lambda o, t: 1 - np.mean(np.sum(o * t, axis=1) / np.sqrt(np.sum(o**2, axis=1) + 1e-6)),
    )


@healthy
def mae_raw_targets():
    x, y = houses()
    return of(mlp(3, 64, 1), (standard(x), y), adam(5e-2), loss="l1")


@healthy
def log_targets():
    x, y = houses()
    return of(
        mlp(3, 32, 1), (standard(x), np.log(np.maximum(y, 1)).astype(np.float32)), adam(1e-2), loss="mse"
    )


@healthy
def sequence_regress():
    x, _ = sequences()
    return of(
        Of(lambda m, x: m.h(m.r(x)[0]), r=nn.RNN(2, 16, batch_first=True, rng=0), h=lin(16, 1)),
        (x, np.cumsum(x[:, :, :1], axis=1)),
        adam(1e-2),
        loss="mse",
    )


@healthy
def onecycle_high():
    return of(mlp(784, 64, 10), digits(), sgd(0.4))


@healthy
def adagrad():
    return of(mlp(784, 32, 10), digits(), partial(optim.Adagrad, lr=1e-2))


@healthy
def swish_bn_do():
    return of(
        chain(lin(784, 64), nn.BatchNorm1d(64), nn.SiLU(), nn.Dropout(0.5, rng=0), lin(64, 10, 1)),
        digits(),
        adam(3e-3),
    )


@healthy
def glu():
    return of(
        Of(lambda m, x: m.o(m.a(x) * F.sigmoid(m.b(x))), a=lin(784, 32), b=lin(784, 32, 1), o=lin(32, 10, 2)),
        digits(),
        adam(1e-3),
    )


@healthy
def maxout():
    return of(
        Of(lambda m, x: m.o(np.maximum(m.a(x), m.b(x))), a=lin(784, 32), b=lin(784, 32, 1), o=lin(32, 10, 2)),
        digits(),
        adam(1e-3),
    )


@healthy
def rbf():
    return of(
        Of(
            lambda m, x: m.o(np.exp(-np.sum((x[:, None] - m.c) ** 2, axis=2))),
            c=nn.Parameter(rng0().uniform(-2, 2, (16, 2)).astype(np.float32)),
            o=lin(16, 2),
        ),
        moons(),
        adam(1e-2),
    )


@healthy
def polynomial():
    return of(
        Of(lambda m, x: m.o(np.concatenate([x, x**2, x**3], axis=1)), o=lin(3, 1)),
        (lambda x: (x, (x**3 - x).astype(np.float32)))(
            rng0().uniform(-1.5, 1.5, (300, 1)).astype(np.float32)
        ),
        adam(5e-2),
        loss="mse",
    )


@healthy
def poisson_counts():
    x = rng0().normal(size=(300, 3)).astype(np.float32)
    return of(
        mlp(3, 16, 1), (x, rng0(1).poisson(np.exp(x[:, :1] * 0.5)).astype(np.float32)), adam(1e-2), loss="mse"
    )


@healthy
def a_model_that_returns_its_own_loss():
    x, y = digits()
    model = Of(lambda m, x: np.mean((m.body(x) - x) ** 2, axis=1), body=mlp(784, 32, 784))
    return of(model, (x, y), adam(1e-3), loss=lambda output, target: np.mean(output))
