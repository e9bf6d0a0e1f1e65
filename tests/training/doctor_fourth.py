"""A fourth exam for the doctor, written without a look at its checks.

Faults after public reports, each with its origin in a word or a thread: ``SO``, Stack Overflow; AutoTrainer,
DeepDiagnosis, UMLAUT, DeepLocalize, NeuraLint and defect4ML, the benchmarks; ``K``, Karpathy's list. All programs are
written anew for this library.
"""

from __future__ import annotations

import numpy as np
from doctor_cases import adam, blobs, chain, digits, lin, line, mlp, moons, of, sgd, wave, write
from doctor_reports import Of, column, images, one_hot, sequences, standard

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

FAULTY, FAILING, HEALTHY = {}, {}, {}


#: Faults that are not named, with the reason.
MISSED = {
    "loop_without_zero_grad (SO: zero_grad forgotten)": "twenty gradients that were added up are hardly longer than "
    "one of a few samples"
}


def faulty(codes, origin):
    return lambda make: FAULTY.setdefault(f"{make.__name__} ({origin})", (codes, make))[1]


def failing(codes, origin):
    return lambda make: FAILING.setdefault(f"{make.__name__} ({origin})", (codes, make))[1]


def healthy(make):
    return HEALTHY.setdefault(make.__name__, make)


# -- data ---------------------------------------------------------------------------------------------------------


def small(n=600):
    """Digits of 14×14."""
    x, y = digits(n)
    return x.reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(n, 196), y


def spiral(n=450, arms=3, scale=1.0):
    r = np.random.default_rng(11)
    y = r.integers(0, arms, n)
    t = r.uniform(0.1, 1, n)
    a = 4 * t + y * 2 * np.pi / arms + r.normal(0, 0.1, n)
    return (scale * np.stack([t * np.cos(a), t * np.sin(a)], 1)).astype(np.float32), y


def table(n=500, features=8, share=0.3, seed=12):
    """A table of two classes; one row in ``1 / share`` is of the second."""
    r = np.random.default_rng(seed)
    y = (r.random(n) < share).astype(int)
    x = r.normal(size=(n, features))
    x[:, :3] += 1.5 * y[:, None]
    return x.astype(np.float32), y


def tokens(n=400, steps=10, words=20):
    """Sentences of numbers; the label says whether a small word is in it."""
    r = np.random.default_rng(13)
    x = r.integers(3, words, (n, steps))
    y = r.integers(0, 2, n)
    x[np.arange(n), r.integers(0, steps, n)] = np.where(y, 1, 2)
    return x, y


def waves(n=300, steps=20):
    """Pieces of sine waves, and the next value."""
    r = np.random.default_rng(14)
    t = r.uniform(0, 6, (n, 1)) + np.arange(steps + 1) * r.uniform(0.2, 0.6, (n, 1))
    s = np.sin(t).astype(np.float32)
    return s[:, :steps, None], s[:, steps:]


def colours(n=240, scale=1.0):
    """Pictures of 3×12×12 with a bright square in one of three colours."""
    r = np.random.default_rng(15)
    y = r.integers(0, 3, n)
    x = r.uniform(0, 0.4, (n, 3, 12, 12))
    for i, c in enumerate(y):
        a, b = r.integers(0, 8, 2)
        x[i, c, a : a + 4, b : b + 4] += 0.6
    return (scale * x).astype(np.float32), y


def conv(classes=3, channels=3, *end):
    return chain(
        nn.Conv2d(channels, 8, 3, padding=1, rng=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, rng=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        lin(8, classes, 2),
        *end,
    )


def many(n=400, features=10, tags=5):
    """Samples with several tags each."""
    r = np.random.default_rng(16)
    x = r.normal(size=(n, features)).astype(np.float32)
    return x, (x @ r.normal(size=(features, tags)) > 0.5).astype(np.float32)


def cars(n=300):
    """Power, weight and age of cars, and their price in thousands."""
    r = np.random.default_rng(17)
    x = np.stack([r.uniform(40, 300, n), r.uniform(700, 2500, n), r.uniform(0, 20, n)], 1)
    y = 0.1 * x[:, 0] + 0.01 * x[:, 1] - 0.8 * x[:, 2] + r.normal(0, 2, n)
    return x.astype(np.float32), y[:, None].astype(np.float32)


def last(kind, inputs, hidden, outputs, **rest):
    """A recurrent network that answers at its last step."""
    return Of(
        lambda m, x: m.h(m.r(x)[0][:, -1]),
        r=kind(inputs, hidden, batch_first=True, rng=0, **rest),
        h=lin(hidden, outputs, 1),
    )


# -- faults ---------------------------------------------------------------------------------------------------------


@faulty("inputs-not-scaled", "SO: regression on raw columns does not converge")
def raw_cars():
    return of(mlp(3, 32, 1), cars(), sgd(1e-3), loss="mse")


@faulty("inputs-not-scaled", "UMLAUT: image range")
def raw_colours():
    return of(conv(), colours(scale=255), adam(1e-3))


@faulty("inputs-not-scaled", "defect4ML: missing normalisation of time stamps")
def years_in_a_sequence():
    x, y = sequences()
    return of(last(nn.LSTM, 2, 16, 2), (x * 20 + 1990, y), adam(1e-3))


@faulty("inputs-scaled-twice", "SO: ToTensor divides already")
def colours_over_255_again():
    return of(conv(), colours(scale=1 / 255), sgd(0.05))


@faulty("inputs-scaled-twice", "SO: generator rescales, and the array was scaled before")
def small_digits_twice():
    x, y = small()
    return of(mlp(196, 64, 10), (x / 255, y), adam(1e-3))


@faulty("non-finite-data", "keras-team/keras#2134: loss is nan from the first epoch")
def log_of_zero_counts():
    r = np.random.default_rng(0)
    x = r.poisson(2, (300, 6))
    with np.errstate(divide="ignore"):
        x = np.log(x).astype(np.float32)
    return of(mlp(6, 16, 2), (x, r.integers(0, 2, 300)), adam(1e-3))


@faulty("non-finite-data", "SO: division by a standard deviation of zero")
def constant_column_standardised():
    x, y = table()
    x[:, 4] = 1
    with np.errstate(invalid="ignore"):
        x = (x - x.mean(0)) / x.std(0)
    return of(mlp(8, 16, 2), (x, y), adam(1e-3))


@faulty("labels-out-of-step", "K: augmentation permutes inputs only")
def small_digits_permuted():
    x, y = small()
    return of(mlp(196, 64, 10), (x, np.random.default_rng(3).permutation(y)), adam(1e-3))


@faulty("labels-out-of-step", "SO: sorted file list against an unsorted label file")
def colours_in_another_order():
    x, y = colours()
    return of(conv(), (x[np.random.default_rng(1).permutation(len(x))], y), adam(3e-3))


@faulty("labels-out-of-step", "SO: target shifted by the wrong sign")
def spiral_labels_late():
    x, y = spiral()
    return of(mlp(2, 32, 32, 3), (x, np.roll(y, 7)), adam(1e-2))


@faulty("labels-out-of-range", "SO: Assertion t >= 0 && t < n_classes failed")
def tags_1_to_3():
    x, y = spiral()
    return of(mlp(2, 32, 3), (x, y + 1), adam(1e-2))


@faulty("labels-out-of-range targets-out-of-range", "SO: labels of -1 and 1 with binary cross-entropy")
def minus_one_for_no():
    x, y = table()
    return of(mlp(8, 16, 1), column((x, 2 * y - 1)), adam(1e-2), loss="bce")


@faulty("too-few-outputs", "SO: Dense(1, softmax) gives accuracy of one half")
def one_softmax_output_for_spam():
    x, y = table()
    return of(chain(mlp(8, 16, 1), nn.Softmax()), column((x, y)), adam(1e-3), loss="mse")


@faulty("too-few-outputs labels-out-of-range", "NeuraLint: last layer differs from classes")
def two_colours():
    return of(conv(2), colours(), adam(1e-3))


@faulty("targets-out-of-range", "SO: sigmoid on the last layer, prices in thousands")
def car_price_through_sigmoid():
    x, y = cars()
    return of(mlp(3, 32, 1, output="sigmoid"), (standard(x), y), adam(1e-2), loss="mse")


@faulty("targets-out-of-range", "SO: tanh generator with images of 0 to 255")
def grey_through_tanh():
    x, _ = small()
    return of(chain(lin(196, 32), nn.ReLU(), lin(32, 196), nn.Tanh()), (x, x * 255), adam(1e-3), loss="mse")


@faulty("targets-out-of-range relu-on-output bounded-logits", "SO: LSTM with softmax for the next value")
def next_value_through_softmax():
    m = chain(last(nn.LSTM, 1, 16, 1), nn.Sigmoid())
    return of(m, waves(), adam(1e-2), loss="mse")


@faulty("class-imbalance", "SO: 99 % accuracy, all predictions are zero")
def one_in_forty():
    return of(mlp(8, 16, 1), column(table(2000, share=0.025)), adam(1e-2), loss="bce")


@faulty("class-imbalance", "keras issue: five classes, one has nearly all rows")
def five_classes_one_rules():
    x, y = blobs(5, 6, 1000)
    keep = (y == 0) | (np.random.default_rng(0).random(1000) < 0.02)
    x, y = np.tile(x[keep], (4, 1)), np.tile(y[keep], 4)
    x = x + np.random.default_rng(1).normal(0, 0.1, x.shape).astype(np.float32)
    return of(mlp(6, 16, 5), (x, y), adam(1e-3))


@faulty("data-not-shuffled", "SO: folder after folder")
def colours_by_folder():
    x, y = colours()
    o = np.argsort(y, kind="stable")
    return of(conv(), tg.data.DataLoader((x[o], y[o]), 32), adam(1e-3))


@faulty("leak", "SO: oversampled before the split")
def oversampled_first():
    x, y = table()
    r = np.random.default_rng(0)
    rows = np.concatenate([np.arange(500), r.choice(np.flatnonzero(y), 200)])
    r.shuffle(rows)
    return of(
        mlp(8, 16, 2), (x[rows[:500]], y[rows[:500]]), adam(1e-3), validation=(x[rows[500:]], y[rows[500:]])
    )


@faulty("softmax-twice", "SO: nn.Softmax before nn.CrossEntropyLoss")
def colours_softmax():
    return of(conv(3, 3, nn.Softmax()), colours(), adam(1e-3))


@faulty("softmax-twice", "SO: F.softmax in forward, log_softmax in the loss")
def softmax_then_log_softmax():
    return of(
        Of(lambda m, x: F.softmax(m.b(x), axis=1), b=mlp(2, 32, 3)),
        spiral(),
        sgd(0.5),
        loss=lambda o, t: F.nll_loss(F.log_softmax(o), t),
    )


@faulty("sigmoid-twice", "SO: Sigmoid before BCEWithLogitsLoss")
def tags_sigmoid_twice():
    return of(mlp(10, 32, 5, output="sigmoid"), many(), adam(1e-2), loss=nn.BCEWithLogitsLoss())


@faulty("sigmoid-twice", "SO: torch.sigmoid in forward of an LSTM")
def sigmoid_twice_in_a_recurrent_network():
    x, y = sequences()
    return of(
        Of(lambda m, x: F.sigmoid(m.b(x)), b=last(nn.GRU, 2, 16, 1)), column((x, y)), adam(1e-2), loss="bce"
    )


@faulty("bounded-logits", "SO: tanh before cross-entropy")
def tanh_colours():
    return of(conv(3, 3, nn.Tanh()), colours(), adam(3e-3))


@faulty("bounded-logits", "NeuraLint: sigmoid on ten outputs with cross-entropy")
def sigmoid_digits():
    return of(mlp(196, 64, 10, output="sigmoid"), small(), adam(1e-3))


@faulty("relu-on-output", "DeepDiagnosis: relu on the last layer of a classifier")
def relu_logits():
    return of(conv(3, 3, nn.ReLU()), colours(), adam(1e-3))


@faulty("relu-on-output targets-out-of-range", "SO: relu output, targets below zero")
def relu_for_changes():
    x, y = waves()
    return of(Of(lambda m, x: F.relu(m.b(x)), b=last(nn.GRU, 1, 16, 1)), (x, y), adam(1e-2), loss="mse")


@faulty("logits-as-probabilities", "SO: NLLLoss is negative")
def nll_of_logits():
    return of(conv(), colours(), adam(1e-3), loss=nn.NLLLoss())


@faulty("logits-as-probabilities", "SO: binary_crossentropy without a sigmoid")
def bce_of_logits():
    return of(
        mlp(8, 16, 1),
        column(table()),
        adam(1e-3),
        loss=lambda o, t: (
            -np.mean(t * np.log(np.clip(o, 1e-7, 1)) + (1 - t) * np.log(np.clip(1 - o, 1e-7, 1)))
        ),
    )


@faulty("logits-as-probabilities", "SO: nll_loss of a softmax")
def nll_of_softmax():
    return of(chain(mlp(2, 32, 3), nn.Softmax()), spiral(), adam(1e-2), loss=F.nll_loss)


@faulty("broadcast-in-loss", "pytorch warning: target size differs from input size")
def flat_prices():
    x, y = cars()
    return of(
        mlp(3, 32, 1), (standard(x), standard(y)[:, 0]), adam(1e-2), loss=lambda o, t: np.mean(np.abs(o - t))
    )


@faulty("broadcast-in-loss", "SO: sequence regression learns the mean")
def flat_next_values():
    x, y = waves()
    return of(last(nn.LSTM, 1, 16, 1), (x, y[:, 0]), adam(1e-2), loss=lambda o, t: ((o - t) ** 2).mean())


@faulty("sum-for-mean", "SO: reduction='sum' and the same learning rate")
def sum_of_squares():
    x, y = cars()
    return of(mlp(3, 32, 1), (standard(x), standard(y)), sgd(0.05), loss=lambda o, t: np.sum((o - t) ** 2))


@faulty("sum-for-mean", "SO: loss of an autoencoder in the thousands")
def sum_of_tags():
    return of(mlp(10, 32, 5), many(), sgd(0.1), loss=nn.BCEWithLogitsLoss(reduction="sum"))


@faulty("initial-loss weights-too-large", "K: loss at the start is 27, not 3.3")
def embedding_and_wide_head():
    m = Of(lambda m, x: m.h(np.mean(m.e(x), axis=1)), e=nn.Embedding(20, 16, rng=0), h=lin(16, 2))
    write(m.h.weight, lambda w: w * 200)
    return of(m, tokens(), adam(1e-2))


@faulty("missing-nonlinearity", "SO: stacked Linear layers, XOR not learnt")
def spiral_through_lines():
    return of(chain(lin(2, 32), lin(32, 32, 1), lin(32, 3, 2)), spiral(), adam(1e-2))


@faulty("missing-nonlinearity", "UMLAUT: no activation in a convolution")
def conv_conv():
    return of(
        chain(
            nn.Conv2d(3, 8, 3, rng=0),
            nn.Conv2d(8, 8, 3, rng=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            lin(8, 3),
        ),
        colours(),
        adam(3e-3),
    )


@faulty("input-ignored", "K: x is overwritten in forward")
def zeros_like_x():
    return of(Of(lambda m, x: m.b(F.relu(x * 0)), b=mlp(196, 32, 10)), small(), adam(1e-3))


@faulty("input-ignored", "SO: LSTM takes the hidden state of the first step of padding")
def reads_the_padding():
    x, y = tokens()
    x = np.concatenate([np.zeros((len(x), 1), int), x], 1)
    return of(
        Of(
            lambda m, x: m.h(m.r(m.e(x))[0][:, 0]),
            e=nn.Embedding(20, 8, rng=0),
            r=nn.LSTM(8, 16, batch_first=True, rng=0),
            h=lin(16, 2),
        ),
        (x, y),
        adam(1e-2),
    )


@faulty("equal-weights", "DeepLocalize: all weights are zero")
def zeros_everywhere():
    m = mlp(8, 16, 2)
    for p in m.parameters():
        write(p, np.zeros_like)
    return of(m, table(), sgd(0.1))


@faulty("equal-weights", "SO: kernel_initializer='ones' in a convolution")
def ones_in_a_convolution():
    m = conv()
    write(m[0].weight, lambda w: np.full_like(w, 0.1))
    return of(m, colours(), adam(1e-3))


@faulty("weights-too-large initial-loss exploding-gradients", "AutoTrainer: normal weights of 1 in deep nets")
def unit_normal_weights():
    r = np.random.default_rng(0)
    m = mlp(196, 128, 128, 64, 10)
    for p in m.parameters():
        if p.ndim == 2:
            write(p, lambda w: r.normal(size=w.shape).astype(np.float32))
    return of(m, small(), adam(1e-3))


@faulty("weights-too-small vanishing-gradients", "CS231n: weights of 0.01 through six layers of tanh")
def tiny_weights_tanh():
    r = np.random.default_rng(0)
    m = mlp(196, 64, 64, 64, 64, 10, activation="tanh")
    for p in m.parameters():
        if p.ndim == 2:
            write(p, lambda w: 0.01 * r.normal(size=w.shape).astype(np.float32))
    return of(m, small(), sgd(0.1))


@faulty("dead-units", "SO: dying ReLU after a bad step")
def biases_of_minus_five():
    m = mlp(8, 32, 32, 2)
    write(list(m.parameters())[1], lambda b: b - 9)
    return of(m, table(), adam(1e-3))


@faulty("saturated-units weights-too-large", "DeepDiagnosis: saturated activation")
def saturated_tanh():
    m = mlp(8, 32, 2, activation="tanh")
    write(next(iter(m.parameters())), lambda w: w * 60)
    return of(m, table(), sgd(0.1))


@faulty("vanishing-gradients", "AutoTrainer: ten layers of sigmoid")
def ten_sigmoids():
    return of(mlp(8, *[16] * 10, 2, activation="sigmoid"), table(), sgd(0.1))


@faulty("exploding-gradients weights-too-large initial-loss", "AutoTrainer: deep net with wide weights")
def deep_growth():
    m = mlp(8, *[32] * 8, 1)
    for p in m.parameters():
        write(p, lambda w: w * 6)
    return of(m, line(features=8), sgd(1e-3), loss="mse")


@faulty("dropout-too-high", "SO: Dropout takes the share to drop, not to keep")
def keep_of_nine_tenths():
    return of(mlp(196, 64, 32, 10, dropout=0.9), small(), adam(1e-3))


@faulty("train-eval-mixed-up", "SO: F.dropout without training=")
def dropout_always_on():
    return of(
        Of(lambda m, x: m.b(F.dropout(F.relu(m.a(x)), 0.5, training=True)), a=lin(196, 64), b=lin(64, 10)),
        small(),
        adam(1e-3),
    )


@faulty("train-eval-mixed-up", "SO: model.eval() before the loop")
def eval_before_training():
    m = mlp(8, 32, 2, dropout=0.3)
    m.eval()
    return of(m, table(), adam(1e-3))


@faulty("no-gradient", "SO: .detach() between encoder and head")
def encoder_detached():
    return of(
        Of(lambda m, x: m.b(F.relu(m.a(x)).detach()), a=lin(196, 64), b=lin(64, 10)), small(), adam(1e-3)
    )


@faulty("no-gradient", "SO: argmax in the middle")
def layer_never_called():
    return of(
        Of(lambda m, x: m.c(F.relu(m.a(x))), a=lin(8, 16), b=lin(16, 16), c=lin(16, 2)), table(), adam(1e-3)
    )


@faulty("not-in-optimizer", "SO: layers kept in a plain list")
def layers_in_a_tuple_of_functions():
    hidden = [lin(8, 16), lin(16, 16, 1)]

    def forward(m, x):
        for layer in hidden:
            x = F.relu(layer(x))
        return m.h(x)

    return of(Of(forward, h=lin(16, 2)), table(), adam(1e-3))


@faulty("not-in-optimizer", "SO: optimizer made for the head only, body forgotten")
def optimizer_of_the_decoder():
    x, _ = small()
    e, d = mlp(196, 32), mlp(32, 196)
    m = chain(e, nn.ReLU(), d)
    return of(m, (x, x), optim.Adam(d.parameters()), loss="mse")


@faulty("not-in-optimizer", "SO: head replaced after the optimizer was made")
def new_head_after_the_optimizer():
    m = Of(lambda m, x: m.b(F.relu(m.a(x))), a=lin(8, 16), b=lin(16, 4))
    o = optim.Adam(m.parameters())
    m.b = lin(16, 2)
    return of(m, table(), o)


@faulty("frozen-parameters", "SO: requires_grad=False on everything but biases")
def only_biases_learn():
    m = mlp(196, 64, 10)
    for p in m.parameters():
        p.requires_grad = p.ndim == 1
    return of(m, small(), adam(1e-3))


@faulty("gradients-not-zeroed", "SO: zero_grad forgotten")
def loop_without_zero_grad():
    m = mlp(8, 16, 2)
    o = optim.SGD(m.parameters(), lr=0.05)
    x, y = table()
    for i in range(20):
        F.cross_entropy(m(x[i * 16 : i * 16 + 16]), y[i * 16 : i * 16 + 16]).backward()
        o.step()
    return {"model": m, "data": (x, y), "optimizer": o}


@faulty("learning-rate-too-high", "SO: SGD of 1 for regression gives nan")
def regression_with_one():
    x, y = cars()
    return of(mlp(3, 32, 1), (standard(x), 10 * standard(y)), sgd(1.0), loss="mse")


@faulty("learning-rate-too-high", "SO: Adam(lr=1)")
def adam_of_one():
    return of(conv(), colours(), adam(1.0))


@faulty("learning-rate-too-high", "DeepDiagnosis: rate of 0.5 with RMSprop")
def rmsprop_half():
    m = mlp(196, 64, 10)
    return of(m, small(), optim.RMSprop(m.parameters(), lr=0.5))


@faulty("learning-rate-too-low", "SO: mxnet issue 1546, learning rate 2e-6")
def sgd_two_millionths():
    x, y = line()
    return of(mlp(5, 64, 32, 5, 1), (x, y), sgd(2e-6, momentum=0.9), loss="mse")


@faulty("learning-rate-too-low", "SO: Adam(1e-8) by mistake for eps")
def adam_of_eps():
    return of(last(nn.LSTM, 2, 16, 2), sequences(), adam(1e-8))


@faulty("weight-decay-too-high", "SO: l2 of 1")
def decay_of_one():
    return of(mlp(196, 64, 10), small(), adam(1e-3, weight_decay=1.0))


@faulty("weight-decay-too-high", "SO: weight_decay given in place of the learning rate")
def adamw_of_fifty():
    m = mlp(8, 16, 2)
    return of(m, table(), optim.AdamW(m.parameters(), lr=1e-2, weight_decay=50))


@failing("learning-rate-too-high oscillation", "SO: loss jumps up and down")
def jumps():
    m = mlp(5, 32, 1)
    return {
        "model": m,
        "train": line(),
        "loss": "mse",
        "optimizer": optim.SGD(m.parameters(), lr=0.5, momentum=0.9),
        "epochs": 10,
    }


@failing("overfitting", "SO: validation loss rises")
def small_sample_by_heart():
    x, y = small()
    r = np.random.default_rng(0)
    y = np.where(r.random(len(y)) < 0.3, r.integers(0, 10, len(y)), y)
    m = mlp(196, 256, 10)
    return {
        "model": m,
        "train": (x[:150], y[:150]),
        "validation": (x[300:], y[300:]),
        "optimizer": optim.Adam(m.parameters(), lr=3e-3),
        "epochs": 30,
    }


@failing("one-class-predicted class-imbalance plateau", "SO: every row gets the same class")
def one_class():
    r = np.random.default_rng(0)
    x = r.normal(size=(600, 6)).astype(np.float32)
    m = mlp(6, 16, 3)
    y = r.choice(3, 600, p=[0.7, 0.15, 0.15])
    return {
        "model": m,
        "train": (x, y),
        "validation": (x[:100], y[:100]),
        "optimizer": optim.SGD(m.parameters(), lr=0.05),
        "epochs": 12,
    }


@failing("plateau one-class-predicted vanishing-gradients", "SO: loss stays at 0.693")
def stays_at_ln_2():
    m = mlp(2, *[8] * 7, 2, activation="sigmoid")
    return {"model": m, "train": moons(), "optimizer": optim.SGD(m.parameters(), lr=0.1), "epochs": 15}


@failing("dead-units learning-rate-too-high", "SO: all ReLUs die in the first epoch")
def die_in_time():
    x, y = line(scale=3)
    m = mlp(5, 32, 32, 1)
    return {
        "model": m,
        "train": (x, y),
        "loss": "mse",
        "optimizer": optim.SGD(m.parameters(), lr=0.3),
        "epochs": 8,
    }


@failing("learning-rate-too-low", "SO: nothing moves in ten epochs")
def crawls():
    m = mlp(196, 32, 10)
    return {"model": m, "train": small(), "optimizer": optim.SGD(m.parameters(), lr=1e-6), "epochs": 8}


# -- healthy programs --------------------------------------------------------------------------------------------


@healthy
def spiral_adam():
    return of(mlp(2, 64, 64, 3), spiral(), adam(1e-2))


@healthy
def spiral_tanh_momentum():
    return of(mlp(2, 32, 32, 3, activation="tanh"), spiral(), sgd(0.1, momentum=0.9))


@healthy
def small_digits_sgd_half():
    return of(mlp(196, 64, 10), small(), sgd(0.5))


@healthy
def wide_digits():
    return of(mlp(784, 512, 10), digits(), adam(1e-3))


@healthy
def deep_digits():
    return of(mlp(196, 64, 64, 64, 64, 10), small(), adam(1e-3))


@healthy
def logistic_regression():
    return of(lin(8, 1), column(table()), sgd(0.5), loss="bce")


@healthy
def softmax_regression():
    return of(lin(784, 10), digits(), sgd(0.1))


@healthy
def cars_standardised():
    x, y = cars()
    return of(mlp(3, 32, 1), (standard(x), standard(y)), adam(1e-2), loss="mse")


@healthy
def cars_batch_norm_first():
    x, y = cars()
    return of(
        chain(lin(3, 32), nn.BatchNorm1d(32), nn.ReLU(), lin(32, 1)),
        (standard(x), standard(y)),
        adam(1e-2),
        loss="mse",
    )


@healthy
def cars_huber():
    x, y = cars()
    return of(mlp(3, 32, 1), (standard(x), standard(y)), sgd(0.05), loss="huber")


@healthy
def price_in_thousands():
    x, y = cars()
    return of(mlp(3, 64, 64, 1), (standard(x), y), adam(1e-2), loss="mse")


@healthy
def colours_cnn():
    return of(conv(), colours(), adam(1e-2))


@healthy
def colours_strided():
    return of(
        chain(nn.Conv2d(3, 8, 3, stride=2, rng=0), nn.ReLU(), nn.Flatten(), lin(8 * 25, 3)),
        colours(),
        adam(1e-3),
    )


@healthy
def colours_batch_norm():
    return of(
        chain(
            nn.Conv2d(3, 8, 3, bias=False, rng=0),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            lin(200, 3),
        ),
        colours(),
        sgd(0.1, momentum=0.9),
    )


@healthy
def colours_group_norm_silu():
    return of(
        chain(
            nn.Conv2d(3, 8, 3, rng=0),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            lin(8, 3),
        ),
        colours(),
        adam(1e-2),
    )


@healthy
def lenet():
    return of(
        chain(
            nn.Conv2d(1, 6, 5, padding=2, rng=0), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5, rng=1), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), lin(400, 120), nn.Tanh(), lin(120, 84, 1), nn.Tanh(), lin(84, 10, 2),
        ),
        images(),
        adam(2e-3),
    )  # fmt: skip


@healthy
def separable_conv():
    return of(
        chain(
            nn.Conv2d(3, 6, 3, groups=3, rng=0),
            nn.ReLU(),
            nn.Conv2d(6, 12, 1, rng=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            lin(12, 3),
        ),
        colours(),
        adam(1e-2),
    )


@healthy
def depthwise_then_pointwise_without_activation():
    return of(
        chain(
            nn.Conv2d(3, 3, 3, groups=3, rng=0),
            nn.Conv2d(3, 12, 1, rng=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            lin(12, 3),
        ),
        colours(),
        adam(1e-2),
    )


@healthy
def digits_dropout_half():
    return of(mlp(196, 128, 10, dropout=0.5), small(), adam(1e-3))


@healthy
def digits_input_dropout():
    return of(chain(nn.Dropout(0.2, rng=0), mlp(196, 128, 10, dropout=0.5)), small(), adam(1e-3))


@healthy
def digits_weight_decay():
    m = mlp(196, 64, 10)
    return of(m, small(), optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.05))


@healthy
def digits_adagrad():
    m = mlp(196, 64, 10)
    return of(m, small(), optim.Adagrad(m.parameters(), lr=0.02))


@healthy
def digits_rmsprop():
    m = mlp(196, 64, 10)
    return of(m, small(), optim.RMSprop(m.parameters(), lr=1e-3))


@healthy
def digits_nesterov():
    return of(mlp(196, 64, 10), small(), sgd(0.05, momentum=0.9, nesterov=True))


@healthy
def digits_centred():
    x, y = small()
    return of(mlp(196, 64, 10), (x * 2 - 1, y), adam(1e-3))


@healthy
def digits_standardised():
    x, y = small()
    return of(mlp(196, 64, 10), ((x - x.mean()) / x.std(), y), sgd(0.05))


@healthy
def digits_bytes_dataset():
    train, _ = tg.data.load_mnist("sample")
    return of(mlp(784, 64, 10), train, adam(1e-3))


@healthy
def digits_label_smoothing():
    return of(mlp(196, 64, 10), small(), adam(1e-3), loss=nn.CrossEntropyLoss(label_smoothing=0.1))


@healthy
def digits_class_weights():
    return of(mlp(196, 64, 10), small(), adam(1e-3), loss=nn.CrossEntropyLoss(np.linspace(0.5, 1.5, 10)))


@healthy
def digits_one_hot_mse():
    x, y = small()
    return of(mlp(196, 64, 10), (x, one_hot(y)), adam(1e-3), loss="mse")


@healthy
def digits_one_hot_sigmoid_bce():
    x, y = small()
    return of(mlp(196, 64, 10, output="sigmoid"), (x, one_hot(y)), adam(1e-3), loss=nn.BCELoss())


@healthy
def digits_log_softmax_nll():
    return of(chain(mlp(196, 64, 10), nn.LogSoftmax()), small(), adam(1e-3), loss=nn.NLLLoss())


@healthy
def softmax_and_log_by_hand():
    return of(
        chain(mlp(2, 32, 3), nn.Softmax()),
        spiral(),
        adam(1e-2),
        loss=lambda o, t: -np.mean(np.log(o[np.arange(len(t)), t] + 1e-9)),
    )


@healthy
def multi_label():
    return of(mlp(10, 32, 5), many(), adam(1e-2), loss=nn.BCEWithLogitsLoss())


@healthy
def multi_label_rare_tags():
    x, y = many()
    return of(
        mlp(10, 32, 5), (x, y * (np.random.default_rng(0).random(y.shape) < 0.3)), adam(1e-2), loss="bce"
    )


@healthy
def autoencoder_sigmoid():
    x, _ = small()
    return of(chain(lin(196, 64), nn.ReLU(), lin(64, 196), nn.Sigmoid()), (x, x), adam(3e-3), loss="mse")


@healthy
def autoencoder_bce():
    x, _ = small()
    return of(
        chain(lin(196, 64), nn.ReLU(), lin(64, 16), nn.ReLU(), lin(16, 64), nn.ReLU(), lin(64, 196)),
        (x, x),
        adam(1e-3),
        loss="bce",
    )


@healthy
def autoencoder_conv():
    x, _ = images(200)
    return of(
        chain(
            nn.Conv2d(1, 4, 4, stride=4, rng=0),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 4, stride=4, rng=0),
            nn.Sigmoid(),
        ),
        (x, x),
        adam(1e-2),
        loss="mse",
    )


@healthy
def denoiser():
    x, _ = small()
    return of(
        mlp(196, 64, 196),
        (x + np.random.default_rng(0).normal(0, 0.3, x.shape).astype(np.float32), x),
        adam(1e-3),
        loss="mse",
    )


@healthy
def linear_bottleneck():
    x, _ = small()
    return of(
        chain(lin(196, 64), nn.ReLU(), lin(64, 8), lin(8, 64), nn.ReLU(), lin(64, 196)),
        (x, x),
        adam(1e-3),
        loss="mse",
    )


@healthy
def rnn_sums():
    return of(last(nn.RNN, 2, 16, 2), sequences(), adam(1e-2))


@healthy
def lstm_sums():
    return of(last(nn.LSTM, 2, 16, 2), sequences(), adam(1e-2))


@healthy
def gru_next_value():
    return of(last(nn.GRU, 1, 16, 1), waves(), adam(1e-2), loss="mse")


@healthy
def two_layer_lstm_next_value():
    return of(last(nn.LSTM, 1, 16, 1, num_layers=2), waves(), adam(1e-2), loss="mse")


@healthy
def bidirectional_words():
    return of(
        Of(
            lambda m, x: m.h(np.mean(m.r(m.e(x))[0], axis=1)),
            e=nn.Embedding(20, 8, rng=0),
            r=nn.GRU(8, 8, batch_first=True, bidirectional=True, rng=0),
            h=lin(16, 2),
        ),
        tokens(),
        adam(1e-2),
    )


@healthy
def bag_of_words():
    return of(
        Of(lambda m, x: m.h(np.mean(m.e(x), axis=1)), e=nn.Embedding(20, 16, rng=0), h=lin(16, 2)),
        tokens(),
        adam(2e-2),
    )


@healthy
def bag_of_words_large_vocabulary():
    return of(
        Of(lambda m, x: m.h(np.mean(m.e(x), axis=1)), e=nn.Embedding(5000, 16, rng=0), h=lin(16, 2)),
        tokens(),
        adam(2e-2),
    )


@healthy
def text_cnn():
    return of(
        Of(
            lambda m, x: m.h(np.max(F.relu(m.c(m.e(x).transpose(0, 2, 1))), axis=2)),
            e=nn.Embedding(20, 8, rng=0),
            c=nn.Conv1d(8, 16, 3, padding=1, rng=0),
            h=lin(16, 2),
        ),
        tokens(),
        adam(1e-2),
    )


@healthy
def conv1d_signal():
    x, y = waves()
    return of(
        chain(nn.Conv1d(1, 8, 5, rng=0), nn.ReLU(), nn.Flatten(), lin(128, 1)),
        (x.transpose(0, 2, 1).copy(), y),
        adam(3e-3),
        loss="mse",
    )


class Block(nn.Module):
    def __init__(self, width, heads):
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, rng=0)
        self.mlp = chain(lin(width, 4 * width), nn.GELU(), lin(4 * width, width, 1))

    def forward(self, x):
        n = self.n1(x)
        x = x + self.attention(n, n, n)[0]
        return x + self.mlp(self.n2(x))


class Letters(nn.Module):
    """A GPT in small."""

    def __init__(self, words=12, width=16, steps=10):
        self.words, self.places = nn.Embedding(words, width, rng=0), nn.Embedding(steps, width, rng=1)
        self.block, self.norm, self.head = Block(width, 2), nn.LayerNorm(width), lin(width, words, 2)

    def forward(self, x):
        h = self.words(x) + self.places(np.arange(x.shape[1]))
        return self.head(self.norm(self.block(h)))


def letters(n=200, steps=10, words=12):
    r = np.random.default_rng(0)
    s = (r.integers(0, words, (n, 1)) + np.arange(steps + 1) * r.integers(1, 3, (n, 1))) % words
    return s[:, :-1], s[:, 1:]


@healthy
def gpt_like():
    return of(
        Letters(),
        letters(),
        adam(3e-3),
        loss=lambda o, t: F.cross_entropy(o.reshape(-1, 12), np.reshape(t, -1)),
    )


@healthy
def attention_classifier():
    return of(
        Of(
            lambda m, x: m.h(np.mean(m.b(m.e(x)), axis=1)),
            e=nn.Embedding(20, 16, rng=0),
            b=Block(16, 2),
            h=lin(16, 2),
        ),
        tokens(),
        adam(3e-3),
    )


@healthy
def imbalanced_but_fine():
    return of(mlp(8, 16, 1), column(table(800, share=0.15)), adam(1e-2), loss="bce")


@healthy
def tiny_batches():
    return of(mlp(2, 32, 2), tg.data.DataLoader(moons(), 4, shuffle=True, rng=0), adam(3e-3))


@healthy
def twelve_rows():
    x, y = blobs(2, 3, 12)
    return of(mlp(3, 8, 2), (x, y), adam(1e-2))


@healthy
def and_gate():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return of(lin(2, 1), (x, x.min(1, keepdims=True)), sgd(1.0), loss="bce")


@healthy
def head_only_on_purpose():
    m = chain(mlp(196, 64), nn.ReLU(), lin(64, 10))
    for p in m[0].parameters():
        p.requires_grad = False
    return of(m, small(), optim.Adam(m[2].parameters(), lr=1e-2))


def fitted(model, data, **rest):
    tg.training.fit(model, data, rng=0, progress=False, **rest)
    return model


@healthy
def fine_tuning():
    x, y = small()
    m = fitted(mlp(196, 64, 10), (x[:300], y[:300]), epochs=8, optimizer="adam")
    return of(m, (x[300:], y[300:]), adam(3e-4))


@healthy
def trained_to_the_end():
    m = fitted(mlp(2, 32, 2), moons(), epochs=40, optimizer="adam")
    return of(m, moons(), adam(1e-3))


@healthy
def new_head_for_old_body():
    x, y = small()
    m = fitted(mlp(196, 64, 10), (x, y), epochs=5, optimizer="adam")
    return of(chain(m, nn.ReLU(), lin(10, 2)), (x, y % 2), adam(1e-3))


@healthy
def residual_mlp():
    return of(
        chain(
            lin(196, 32),
            nn.Residual(chain(nn.ReLU(), lin(32, 32, 1))),
            nn.Residual(chain(nn.ReLU(), lin(32, 32, 2))),
            lin(32, 10, 3),
        ),
        small(),
        adam(1e-3),
    )


@healthy
def two_inputs_in_one_table():
    return of(
        Of(
            lambda m, x: m.h(np.concatenate([F.relu(m.a(x[:, :4])), F.relu(m.b(x[:, 4:]))], axis=1)),
            a=lin(4, 8),
            b=lin(4, 8),
            h=lin(16, 2),
        ),
        table(),
        adam(1e-2),
    )


@healthy
def categories_and_numbers():
    r = np.random.default_rng(0)
    x = np.concatenate([r.integers(0, 6, (400, 1)), r.normal(size=(400, 3))], 1).astype(np.float32)
    y = ((x[:, 0] > 2) ^ (x[:, 1] > 0)).astype(int)
    return of(
        Of(
            lambda m, x: m.b(np.concatenate([m.e(np.asarray(x[:, 0]).astype(int)), x[:, 1:]], axis=1)),
            e=nn.Embedding(6, 4, rng=0),
            b=mlp(7, 32, 2),
        ),
        (x, y),
        adam(1e-2),
    )


@healthy
def one_hot_columns():
    r = np.random.default_rng(0)
    c = r.integers(0, 30, 500)
    return of(
        mlp(30, 16, 1),
        (np.eye(30, dtype=np.float32)[c], r.normal(size=30)[c][:, None].astype(np.float32)),
        adam(1e-2),
        loss="mse",
    )


@healthy
def hinge():
    x, y = table()
    return of(
        lin(8, 1), column((x, 2 * y - 1)), sgd(0.05), loss=lambda o, t: np.mean(np.maximum(0, 1 - o * t))
    )


@healthy
def noisy_regression():
    return of(mlp(5, 16, 1), line(noise=2.0), adam(3e-3), loss="mse")


@healthy
def sine_of_one_number():
    return of(mlp(1, 64, 64, 1, activation="tanh"), wave(), adam(5e-3), loss="mse")


@healthy
def elu_softplus():
    x, y = cars()
    return of(
        chain(lin(3, 32), nn.ELU(), lin(32, 1), nn.Softplus()),
        (standard(x), np.abs(standard(y))),
        adam(1e-2),
        loss="mse",
    )


@healthy
def relu_output_for_counts():
    r = np.random.default_rng(0)
    x = r.normal(size=(300, 4)).astype(np.float32)
    y = r.poisson(np.exp(0.4 * x[:, :1] + 0.5)).astype(np.float32)
    return of(mlp(4, 16, 1), (x, y), adam(1e-2), loss=lambda o, t: np.mean(np.exp(o) - t * o))


@healthy
def double_precision():
    x, y = moons()
    return of(nn.MLP([2, 16, 2], rng=0, dtype=np.float64), (x.astype(np.float64), y), adam(1e-2))


@healthy
def orthogonal_start():
    return of(nn.MLP([196, 64, 64, 10], "tanh", weight_init=nn.init.orthogonal, rng=0), small(), sgd(0.1))


@healthy
def zero_last_layer():
    m = mlp(196, 64, 10)
    write(list(m.parameters())[-2], np.zeros_like)
    return of(m, small(), adam(1e-3))


@healthy
def sum_with_a_small_rate():
    return of(mlp(8, 16, 2), table(), sgd(0.002), loss=nn.CrossEntropyLoss(reduction="sum"))


@healthy
def l2_in_the_loss():
    m = mlp(8, 16, 2)
    return of(
        m,
        table(),
        adam(1e-2),
        loss=lambda o, t: F.cross_entropy(o, t) + 1e-4 * sum(np.sum(p**2) for p in m.parameters()),
    )


@healthy
def validated():
    x, y = small()
    return of(mlp(196, 64, 10), (x[:450], y[:450]), adam(1e-3), validation=(x[450:], y[450:]))
