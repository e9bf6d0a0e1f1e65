"""A fifth exam for the doctor: written before its checks were read, run once they were mended after the fourth."""

from __future__ import annotations

import numpy as np
from doctor_cases import adam, blobs, chain, digits, lin, line, mlp, moons, of, sgd, wave, write
from doctor_fourth import Block, cars, colours, conv, fitted, last, many, small, spiral, table, tokens, waves
from doctor_reports import Of, column, images, standard

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

FAULTY, FAILING, HEALTHY = {}, {}, {}


def faulty(codes, origin):
    return lambda make: FAULTY.setdefault(f"{make.__name__} ({origin})", (codes, make))[1]


def failing(codes, origin):
    return lambda make: FAILING.setdefault(f"{make.__name__} ({origin})", (codes, make))[1]


def healthy(make):
    return HEALTHY.setdefault(make.__name__, make)


@faulty("inputs-not-scaled", "SO: house areas beside numbers of rooms")
def one_large_column():
    x, y = table()
    x[:, 5] = x[:, 5] * 3000 + 12000
    return of(mlp(8, 32, 1), column((x, y)), adam(1e-3), loss="bce")


@faulty("labels-out-of-step", "SO: X shuffled, y not")
def table_shuffled_alone():
    x, y = table(600)
    return of(mlp(8, 32, 2), (np.random.default_rng(0).permutation(x), y), adam(3e-3))


@faulty("labels-out-of-step", "SO: pictures and masks in different orders")
def denoiser_of_other_pictures():
    x, _ = small()
    return of(mlp(196, 64, 196), (x, np.random.default_rng(0).permutation(x)), adam(1e-3), loss="mse")


@faulty("softmax-twice", "SO: softmax in an attention classifier")
def softmax_after_words():
    return of(
        Of(
            lambda m, x: F.softmax(m.h(np.mean(m.e(x), axis=1)), axis=-1),
            e=nn.Embedding(20, 16, rng=0),
            h=lin(16, 2),
        ),
        tokens(),
        adam(1e-2),
    )


@faulty("sigmoid-twice", "SO: own sigmoid in NumPy")
def sigmoid_in_numpy():
    return of(
        Of(lambda m, x: 1 / (1 + np.exp(-m.b(x))), b=mlp(8, 16, 1)), column(table()), adam(1e-2), loss="bce"
    )


@faulty("relu-on-output", "SO: relu on the last layer of an autoencoder of centred data")
def relu_decoder():
    x, _ = small()
    x = x - x.mean(0)
    return of(chain(lin(196, 32), nn.ReLU(), lin(32, 196), nn.ReLU()), (x, x), adam(1e-3), loss="mse")


@faulty("targets-out-of-range", "SO: sigmoid and standardised targets")
def sigmoid_standardised():
    x, y = cars()
    return of(chain(mlp(3, 32, 1), nn.Sigmoid()), (standard(x), standard(y)), adam(1e-2), loss="l1")


@faulty("logits-as-probabilities", "SO: loss becomes negative")
def own_cross_entropy_of_logits():
    return of(
        mlp(2, 32, 3),
        spiral(),
        adam(1e-3),
        loss=lambda o, t: -np.mean(np.log(np.abs(o[np.arange(len(t)), t]) + 1e-9)),
    )


@faulty("broadcast-in-loss", "SO: huber of (N, 1) and (N,)")
def broadcast_huber():
    x, y = line()

    def loss(o, t):
        e = o - t
        return np.mean(np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5))

    return of(mlp(5, 32, 1), (x, y[:, 0]), adam(1e-2), loss=loss)


@faulty("missing-nonlinearity", "NeuraLint: consecutive dense layers without activation at the end")
def two_lines_at_the_end():
    return of(chain(lin(196, 64), nn.ReLU(), lin(64, 64, 1), lin(64, 10, 2)), small(), adam(1e-3))


@faulty("input-ignored", "K: cuts the wrong axis")
def border_only():
    x, y = images()
    return of(Of(lambda m, x: m.b(x[:, 0, :2].reshape(len(x), 56)), b=mlp(56, 32, 10)), (x, y), adam(1e-3))


@faulty("equal-weights", "SO: constant initialisation")
def all_halves():
    m = mlp(8, 16, 16, 1)
    for p in m.parameters():
        write(p, lambda w: np.full_like(w, 0.05))
    return of(m, column(table()), adam(1e-2), loss="bce")


@faulty("vanishing-gradients", "DeepDiagnosis: eight tanh layers with small weights")
def narrow_sigmoids():
    return of(mlp(196, *[20] * 7, 10, activation="sigmoid"), small(), adam(1e-4))


@faulty("dropout-too-high", "SO: nn.Dropout(0.9) twice in a convolutional network")
def dropped_maps():
    return of(
        chain(nn.Conv2d(3, 8, 3, rng=0), nn.ReLU(), nn.Dropout2d(0.9, rng=0), nn.Flatten(), lin(800, 3)),
        colours(),
        adam(1e-3),
    )


@faulty("no-gradient", "SO: numpy on the way")
def data_in_the_middle():
    return of(
        Of(lambda m, x: m.b(F.relu(tg.tensor(m.a(x).data))), a=lin(8, 16), b=lin(16, 2)), table(), adam(1e-3)
    )


@faulty("not-in-optimizer", "SO: optimizer of another model")
def optimizer_of_another_model():
    return of(mlp(8, 16, 2), table(), optim.Adam(mlp(8, 16, 2).parameters(), lr=1e-2))


@faulty("learning-rate-too-high", "SO: LSTM with Adam(0.5)")
def lstm_of_half():
    return of(last(nn.LSTM, 1, 16, 1), waves(), adam(0.5), loss="mse")


@faulty("learning-rate-too-low", "SO: fine-tuning rate for a new network")
def conv_of_a_millionth():
    return of(conv(), colours(), sgd(1e-6))


@faulty("frozen-parameters", "SO: base frozen, base is not trained")
def random_body_frozen():
    m = conv()
    for p in list(m.parameters())[:4]:
        p.requires_grad = False
    return of(m, colours(), adam(1e-2))


@faulty("class-imbalance", "defect4ML: rare disease")
def rare_disease():
    return of(mlp(12, 32, 2), table(1500, 12, share=0.02), adam(1e-3))


@faulty("data-not-shuffled", "SO: csv sorted by label, shuffle=False")
def sorted_table():
    x, y = blobs(6, 5, 600)
    o = np.argsort(y, kind="stable")
    return of(mlp(5, 32, 6), tg.data.DataLoader((x[o], y[o]), 20), adam(1e-2))


@failing("overfitting", "SO: validation accuracy stays, training goes to 100 %")
def noise_by_heart():
    x, y = table(300, 40)
    m = mlp(40, 256, 2)
    return {
        "model": m,
        "train": (x[:60], y[:60]),
        "validation": (x[60:], y[60:]),
        "optimizer": optim.Adam(m.parameters(), lr=1e-2),
        "epochs": 40,
    }


@failing("learning-rate-too-high oscillation one-class-predicted plateau", "SO: accuracy stuck at 10 %")
def stuck_after_the_first_step():
    m = mlp(196, 64, 10)
    return {"model": m, "train": small(), "optimizer": optim.Adam(m.parameters(), lr=0.7), "epochs": 6}


# -- healthy --------------------------------------------------------------------------------------------------------


@healthy
def moons_small_net():
    return of(mlp(2, 8, 8, 2), moons(), adam(1e-2))


@healthy
def moons_sigmoid_units():
    return of(mlp(2, 16, 2, activation="sigmoid"), moons(), sgd(1.0))


@healthy
def moons_bce_probabilities():
    return of(mlp(2, 16, 1, output="sigmoid"), column(moons()), adam(1e-2), loss=nn.BCELoss())


@healthy
def digits_two_classes():
    x, y = small()
    keep = (y == 3) | (y == 5)
    return of(mlp(196, 16, 1), column((x[keep], (y[keep] == 5).astype(int))), adam(3e-3), loss="bce")


@healthy
def digits_gelu_layer_norm():
    return of(chain(lin(196, 64), nn.LayerNorm(64), nn.GELU(), lin(64, 10)), small(), adam(1e-3))


@healthy
def digits_leaky():
    return of(
        chain(lin(196, 64), nn.LeakyReLU(0.2), lin(64, 32, 1), nn.LeakyReLU(0.2), lin(32, 10, 2)),
        small(),
        sgd(0.2),
    )


@healthy
def digits_batch_norm_dropout():
    return of(
        chain(lin(196, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5, rng=0), lin(64, 10)),
        small(),
        sgd(0.1, momentum=0.9),
    )


@healthy
def digits_onecycle_like_small_start():
    return of(mlp(196, 64, 10), small(), adam(3e-4))


@healthy
def large_batch():
    return of(mlp(784, 128, 10), tg.data.DataLoader(digits(), 500, shuffle=True, rng=0), adam(3e-3))


@healthy
def conv_dropout2d():
    return of(
        chain(
            nn.Conv2d(1, 8, 5, stride=2, rng=0),
            nn.ReLU(),
            nn.Dropout2d(0.2, rng=0),
            nn.Flatten(),
            lin(1152, 10),
        ),
        images(),
        adam(1e-3),
    )


@healthy
def conv_regression():
    x, _ = images()
    return of(
        chain(nn.Conv2d(1, 4, 5, rng=0), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), lin(144, 1)),
        (x, x.mean((1, 2, 3))[:, None] * 10),
        adam(3e-3),
        loss="mse",
    )


@healthy
def upscaler():
    x, _ = small(300)
    big = digits(300)[0].reshape(-1, 1, 28, 28)
    return of(
        chain(
            nn.Upsample(scale_factor=2),
            nn.Conv2d(1, 8, 3, padding=1, rng=0),
            nn.ReLU(),
            nn.Conv2d(8, 1, 3, padding=1, rng=1),
        ),
        (x.reshape(-1, 1, 14, 14), big),
        adam(3e-3),
        loss="mse",
    )


@healthy
def next_value_of_every_step():
    x, _ = waves()
    return of(
        Of(lambda m, x: m.h(m.r(x)[0]), r=nn.RNN(1, 16, batch_first=True, rng=0), h=lin(16, 1)),
        (x[:, :-1].copy(), x[:, 1:].copy()),
        adam(1e-2),
        loss="mse",
    )


@healthy
def attention_over_points():
    x, y = blobs(3, 4, 300)
    return of(
        Of(
            lambda m, x: m.h(np.mean(m.b(m.i(x.reshape(-1, 4, 1))), axis=1)),
            i=lin(1, 16),
            b=Block(16, 2),
            h=lin(16, 3),
        ),
        (x, y),
        adam(3e-3),
    )


@healthy
def five_targets():
    r = np.random.default_rng(0)
    x = r.normal(size=(300, 6)).astype(np.float32)
    return of(mlp(6, 32, 5), (x, (x @ r.normal(size=(6, 5))).astype(np.float32)), adam(1e-2), loss="mse")


@healthy
def angles():
    r = np.random.default_rng(0)
    t = r.uniform(0, 2 * np.pi, (300, 1))
    x = np.concatenate([np.cos(t), np.sin(t)], 1) + r.normal(0, 0.05, (300, 2))
    return of(
        mlp(2, 32, 2, output="tanh"),
        (x.astype(np.float32), np.concatenate([np.sin(2 * t), np.cos(2 * t)], 1).astype(np.float32)),
        adam(1e-2),
        loss="mse",
    )


@healthy
def quantile():
    return of(
        mlp(1, 32, 1),
        wave(),
        adam(1e-2),
        loss=lambda o, t: np.mean(np.maximum(0.9 * (t - o), -0.1 * (t - o))),
    )


@healthy
def variance_too():
    return of(
        mlp(1, 32, 2),
        wave(),
        adam(3e-3),
        loss=lambda o, t: np.mean(o[:, 1:] + (o[:, :1] - t) ** 2 * np.exp(-2 * o[:, 1:]) / 2),
    )


@healthy
def rare_but_weighted():
    x, y = table(1000, share=0.1)
    return of(mlp(8, 16, 2), (x, y), adam(3e-3), loss=nn.CrossEntropyLoss(np.array([1.0, 9.0])))


@healthy
def tags_probabilities():
    return of(mlp(10, 32, 5, output="sigmoid"), many(), adam(1e-2), loss=nn.BCELoss())


@healthy
def fine_tuned_conv():
    m = fitted(conv(), colours(), epochs=10, optimizer=optim.Adam)
    for p in list(m.parameters())[:2]:
        p.requires_grad = False
    return of(m, colours(), optim.Adam([p for p in m.parameters() if p.requires_grad], lr=1e-3))


@healthy
def teacher_and_student():
    x, y = small()
    teacher = fitted(mlp(196, 64, 10), (x, y), epochs=5, optimizer="adam")
    return of(
        mlp(196, 16, 10),
        (x, F.softmax(teacher(x)).data),
        adam(3e-3),
        loss=lambda o, t: -np.mean(np.sum(t * F.log_softmax(o), axis=1)),
    )


@healthy
def noisy_labels():
    x, y = small()
    r = np.random.default_rng(0)
    return of(mlp(196, 64, 10), (x, np.where(r.random(600) < 0.2, r.integers(0, 10, 600), y)), adam(1e-3))


@healthy
def weak_signal():
    x, y = table(1000)
    x[:, :3] -= 1.0 * y[:, None]
    return of(mlp(8, 16, 2), (x, y), adam(3e-3))


@healthy
def shared_encoder_two_heads():
    x, y = small()
    return of(
        Of(
            lambda m, x: np.concatenate([m.a(F.relu(m.b(x))), m.c(F.relu(m.b(x)))], axis=1),
            b=lin(196, 32),
            a=lin(32, 10, 1),
            c=lin(32, 1, 2),
        ),
        (x, np.stack([y, y % 2], 1)),
        adam(1e-3),
        loss=lambda o, t: (
            F.cross_entropy(o[:, :10], t[:, 0])
            + F.binary_cross_entropy_with_logits(o[:, 10], t[:, 1].astype(np.float32))
        ),
    )


@healthy
def momentum_ninety_five():
    return of(mlp(196, 64, 10), small(), sgd(0.02, momentum=0.95))


@healthy
def linear_svm_for_digits():
    return of(lin(196, 10), small(), adam(3e-3), loss=nn.MultiMarginLoss())
