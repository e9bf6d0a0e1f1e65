"""Trainings with one fault each, after reports of people who had it, and healthy ones like them.

Where the reports come from: ``S``, questions that are asked again and again on Stack Overflow and in forums; ``K``,
Karpathy's list of common mistakes and his recipe; ``A``, AutoTrainer; ``D``, DeepDiagnosis; ``N``, NeuraLint; ``U``,
UMLAUT; ``C``, CS231n. Single threads are named in :mod:`doctor_reports`, and here where a case is that of one. All
programs are written anew for this library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

SGD, Adam = optim.SGD, optim.Adam
Case = dict[str, Any]

#: Code of the fault, and a function that makes the training.
FAULTY: dict[str, tuple[str, Callable[[], Case]]] = {}
#: The same for faults that show while it trains.
FAILING: dict[str, tuple[str, Callable[[], Case]]] = {}
HEALTHY: dict[str, Callable[[], Case]] = {}


def faulty(code: str, source: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        FAULTY[f"{make.__name__} ({source})"] = code, make
        return make

    return keep


def failing(code: str, source: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        FAILING[f"{make.__name__} ({source})"] = code, make
        return make

    return keep


def healthy(make: Callable[[], Case]) -> Callable[[], Case]:
    HEALTHY[make.__name__] = make
    return make


# -- data ---------------------------------------------------------------------------------------------------------


@cache
def _digits(n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    train, _ = tg.data.load_mnist("sample")
    x, y = train[:n]
    return x.reshape(n, -1), y


def digits(n: int = 1000, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = _digits(n)
    return (x * scale).astype(np.float32), y.copy()


def blobs(classes: int = 3, features: int = 4, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.normal(size=(classes, features))[y] * 2 + rng.normal(size=(n, features))
    return x.astype(np.float32), y


def moons(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    t, y = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    x = np.stack([np.cos(t) * (1 - 2 * y) + y, np.sin(t) * (1 - 2 * y) + y / 2], 1)
    return (x + rng.normal(size=(n, 2)) * 0.1).astype(np.float32), y


def line(
    n: int = 300, noise: float = 0.1, features: int = 5, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, features))
    y = x @ rng.normal(size=(features, 1)) + noise * rng.normal(size=(n, 1)) + 0.5
    return x.astype(np.float32), (y * scale).astype(np.float32)


def wave(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).uniform(-3, 3, (n, 1))
    return x.astype(np.float32), np.sin(2 * x).astype(np.float32)


def write(p: tg.Tensor, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with tg.no_grad():
        p[...] = change(p.data)


def mlp(*sizes: int, **settings: Any) -> nn.Module:
    return nn.MLP(list(sizes), rng=0, **settings)


def chain(*parts: Any) -> nn.Module:
    return nn.Sequential(*parts)


def lin(a: int, b: int, seed: int = 0) -> nn.Linear:
    return nn.Linear(a, b, rng=seed)


def of(model: nn.Module, data: Any, optimizer: Any = "adam", **rest: Any) -> Case:
    made = optimizer(model.parameters()) if callable(optimizer) else optimizer
    return {"model": model, "data": data, "optimizer": made, **rest}


def sgd(lr: float, **settings: Any) -> Any:
    return partial(SGD, lr=lr, **settings)


def adam(lr: float, **settings: Any) -> Any:
    return partial(Adam, lr=lr, **settings)


# -- faults of the data ---------------------------------------------------------------------------------------------


@faulty("inputs-not-scaled", "S, U")
def pixels_from_0_to_255() -> Case:
    return of(mlp(784, 64, 10), digits(scale=255), sgd(0.01))


@faulty("inputs-not-scaled", "S")
def bytes_as_they_are() -> Case:
    x, y = digits(scale=255)
    return of(mlp(784, 64, 10), (x.astype(np.uint8), y), adam(1e-3))


@faulty("inputs-not-scaled", "S")
def salaries_beside_ages() -> Case:
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(50_000, 20_000, 300), rng.normal(40, 12, 300)], 1).astype(np.float32)
    return of(mlp(2, 16, 2), (x, (x[:, 0] > 50_000).astype(int)), adam(1e-3))


@faulty("inputs-scaled-twice", "S")
def divided_by_255_twice() -> Case:
    return of(mlp(784, 64, 10), digits(scale=1 / 255), sgd(0.1))


@faulty("non-finite-data", "S, D")
def a_nan_in_a_table() -> Case:
    x, y = blobs()
    x[17, 2] = np.nan
    return of(mlp(4, 16, 3), (x, y))


@faulty("non-finite-data", "S")
def a_target_is_infinite() -> Case:
    x, y = line()
    y[3] = np.inf
    return of(mlp(5, 16, 1), (x, y), loss="mse")


@faulty("labels-out-of-step", "S, K")
def inputs_shuffled_without_their_labels() -> Case:
    x, y = digits()
    return of(mlp(784, 64, 10), (np.random.default_rng(0).permutation(x), y))


@faulty("labels-out-of-step", "S")
def labels_one_row_late() -> Case:
    x, y = digits()
    return of(mlp(784, 64, 10), (x, np.roll(y, 1)))


@faulty("labels-out-of-range", "S; pytorch/pytorch#15666")
def labels_from_1_to_10() -> Case:
    x, y = digits()
    return of(mlp(784, 64, 10), (x, y + 1))


@faulty("labels-out-of-range", "S; EricFillion/happy-transformer#248")
def minus_one_for_unknown() -> Case:
    x, y = blobs()
    y[::50] = -1
    return of(mlp(4, 16, 3), (x, y))


@faulty("too-few-outputs", "S, N")
def nine_outputs_for_ten_digits() -> Case:
    return of(mlp(784, 64, 9), digits())


@faulty("too-few-outputs", "S; Stack Overflow 31880720")
def softmax_of_one_output() -> Case:
    x, y = moons()
    return of(chain(mlp(2, 16, 1), nn.Softmax()), (x, y[:, None].astype(np.float32)), loss="mse")


@faulty("too-few-outputs", "S, N")
def classes_as_a_number() -> Case:
    x, y = digits()

    def loss(output: Any, target: Any) -> Any:
        return np.mean((output[:, 0] - target) ** 2)

    return of(mlp(784, 64, 1), (x, y), loss=loss)


@faulty("class-imbalance", "S; keras-team/keras#10292")
def one_fraud_in_fifty() -> Case:
    x, y = blobs(2, n=600)
    y[:] = 0
    y[::50] = 1
    x[::50] += 1
    return of(mlp(4, 16, 2), (x, y))


@faulty("data-not-shuffled", "S, K")
def digits_in_order() -> Case:
    x, y = digits()
    order = np.argsort(y, kind="stable")
    return of(mlp(784, 64, 10), tg.data.DataLoader((x[order], y[order]), 32))


@faulty("targets-out-of-range", "S, N; Stack Overflow 39525358")
def sigmoid_for_prices() -> Case:
    x, y = line(scale=10)
    return of(chain(mlp(5, 16, 1), nn.Sigmoid()), (x, y), loss="mse")


@faulty("targets-out-of-range", "S")
def tanh_for_targets_up_to_3() -> Case:
    x, y = wave()
    return of(chain(mlp(1, 32, 1), nn.Tanh()), (x, 3 * y), loss="mse")


@faulty("targets-out-of-range", "S")
def bce_of_minus_one_and_one() -> Case:
    x, y = moons()

    def loss(output: Any, target: Any) -> Any:  # the package's own refuses these targets
        return np.mean(target * F.softplus(-output) + (1 - target) * F.softplus(output))

    return of(mlp(2, 16, 1), (x, (2 * y - 1)[:, None].astype(np.float32)), loss=loss)


@faulty("leak", "S")
def split_after_copying() -> Case:
    x, y = blobs(n=300)
    return of(mlp(4, 16, 3), (x, y), validation=(x[:60], y[:60]))


# -- faults at the end of the network -------------------------------------------------------------------------------


@faulty("softmax-twice", "S, K; nishnik/Deep-Semantic-Similarity-Model-PyTorch#2")
def softmax_before_cross_entropy() -> Case:
    return of(chain(mlp(784, 64, 10), nn.Softmax()), digits())


@faulty("softmax-twice", "S; NaJaeMin92/pytorch-DANN#7")
def softmax_in_forward() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(4, 16, 3)

        def forward(self, x: Any) -> Any:
            return F.softmax(self.body(x), axis=1)

    return of(Net(), blobs(), sgd(0.1))


@faulty("softmax-twice", "S")
def softmax_by_hand() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return F.cross_entropy(F.softmax(output), target)

    return of(mlp(4, 16, 3), blobs(), loss=loss)


@faulty("sigmoid-twice", "S, K; Turoad/lanedet#32")
def sigmoid_before_bce_with_logits() -> Case:
    x, y = moons()
    return of(chain(mlp(2, 16, 1), nn.Sigmoid()), (x, y[:, None].astype(np.float32)), loss="bce")


@faulty("bounded-logits", "S, N; Stack Overflow 51930566")
def sigmoid_before_cross_entropy() -> Case:
    return of(chain(mlp(784, 64, 10), nn.Sigmoid()), digits())


@faulty("bounded-logits", "S")
def tanh_before_cross_entropy() -> Case:
    return of(chain(mlp(4, 16, 3), nn.Tanh()), blobs())


@faulty("relu-on-output", "S, N; Stack Overflow 47352366")
def relu_before_cross_entropy() -> Case:
    return of(chain(mlp(784, 64, 10), nn.ReLU()), digits())


@faulty("relu-on-output", "S")
def relu_for_targets_below_zero() -> Case:
    return of(chain(mlp(1, 32, 1), nn.ReLU()), wave(), loss="mse")


@faulty("logits-as-probabilities", "S")
def nll_of_logits() -> Case:
    def loss(output: Any, target: Any) -> Any:  # the package's own refuses these outputs
        return -np.mean(output[np.arange(len(target)), target])

    return of(mlp(784, 64, 10), digits(), loss=loss)


@faulty("logits-as-probabilities", "S")
def logarithm_of_outputs() -> Case:
    x, y = blobs()

    def loss(output: Any, target: Any) -> Any:
        return -np.mean(np.sum(np.log(output + 1e-9) * target, axis=1))

    return of(mlp(4, 16, 3), (x, np.eye(3, dtype=np.float32)[y]), loss=loss)


@faulty("broadcast-in-loss", "S; pytorch/pytorch#19699")
def column_minus_row() -> Case:
    x, y = line()

    def loss(output: Any, target: Any) -> Any:
        return np.mean((output - target) ** 2)

    return of(mlp(5, 16, 1), (x, y[:, 0]), loss=loss)


@faulty("broadcast-in-loss", "S; pytorch/pytorch#16045")
def row_minus_column() -> Case:
    x, y = line()

    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(5, 16, 1)

        def forward(self, x: Any) -> Any:
            return self.body(x)[:, 0]

    return of(Net(), (x, y), loss=lambda output, target: np.mean(np.abs(output - target)))


@faulty("sum-for-mean", "S")
def sum_of_squares_over_the_batch() -> Case:
    return of(mlp(5, 16, 1), line(), sgd(0.05), loss=lambda o, t: np.sum((o - t) ** 2))


@faulty("sum-for-mean", "S")
def cross_entropy_summed() -> Case:
    return of(mlp(784, 64, 10), digits(), sgd(0.1), loss=nn.CrossEntropyLoss(reduction="sum"))


@faulty("initial-loss", "K, C")
def logits_ten_times_too_large() -> Case:
    model = mlp(784, 64, 10)
    write(list(model.parameters())[2], lambda w: w * 40)
    return of(model, digits(), adam(1e-3))


# -- faults of the model --------------------------------------------------------------------------------------------


@faulty("missing-nonlinearity", "S, N; Stack Overflow 55328966")
def three_linear_layers() -> Case:
    return of(chain(lin(784, 64), lin(64, 32, 1), lin(32, 10, 2)), digits())


@faulty("missing-nonlinearity", "S")
def forgot_one_activation() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b, self.c = lin(2, 16), lin(16, 16, 1), lin(16, 2, 2)

        def forward(self, x: Any) -> Any:
            return self.c(self.b(F.relu(self.a(x))))

    return of(Net(), moons())


@faulty("input-ignored", "K")
def forward_returns_its_bias() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(4, 16, 3)

        def forward(self, x: Any) -> Any:
            return self.body(x * 0)

    return of(Net(), blobs())


@faulty("input-ignored", "S")
def only_the_first_features() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(8, 16, 3)

        def forward(self, x: Any) -> Any:
            return self.body(np.concatenate([x[:, :2]] * 4, axis=1))

    return of(Net(), blobs(features=8))


def _filled(model: nn.Module, value: float) -> nn.Module:
    for p in model.parameters():
        write(p, lambda w: np.full_like(w, value))
    return model


@faulty("equal-weights", "S, C, A")
def all_weights_zero() -> Case:
    return of(_filled(mlp(784, 64, 10), 0.0), digits())


@faulty("equal-weights", "S, C")
def all_weights_one_half() -> Case:
    return of(_filled(mlp(4, 16, 3), 0.5), blobs())


def _normal(model: nn.Module, spread: float) -> nn.Module:
    rng = np.random.default_rng(0)
    for p in model.parameters():
        if p.ndim > 1:
            write(p, lambda w: rng.normal(0, spread, w.shape))
    return model


@faulty("weights-too-large", "S, C; Stack Overflow 48385830")
def standard_normal_weights() -> Case:
    return of(_normal(mlp(784, 100, 10, activation="sigmoid"), 1.0), digits(), sgd(0.5))


@faulty("weights-too-small", "C, A")
def weights_of_a_millionth() -> Case:
    return of(_normal(mlp(784, 64, 64, 10, activation="tanh"), 1e-6), digits(), sgd(0.1))


@faulty("dead-units", "S, A, D")
def biases_of_minus_ten() -> Case:
    model = mlp(784, 64, 10)
    write(list(model.parameters())[1], lambda b: b - 10)
    return of(model, digits())


@faulty("saturated-units", "C, A")
def biases_that_saturate() -> Case:
    model = mlp(4, 32, 32, 3, activation="tanh")
    write(list(model.parameters())[1], lambda b: b + 8)
    return of(model, blobs())


@faulty("vanishing-gradients", "S, A, D")
def ten_sigmoid_layers() -> Case:
    return of(mlp(784, *[32] * 10, 10, activation="sigmoid"), digits(), sgd(0.1))


@faulty("exploding-gradients", "A, C")
def twelve_layers_of_large_weights() -> Case:
    return of(_normal(mlp(32, *[32] * 12, 3), 0.6), blobs(features=32), sgd(0.01))


@faulty("dropout-too-high", "S, N")
def nine_of_ten_switched_off() -> Case:
    return of(mlp(784, 64, 10, dropout=0.9), digits())


@faulty("train-eval-mixed-up", "K, S; pliang279/MultiBench#26")
def dropout_that_never_stops() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b = lin(784, 64), lin(64, 10, 1)
            self.rng = np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            return self.b(F.dropout(F.relu(self.a(x)), 0.5, training=True, rng=self.rng))

    return of(Net(), digits())


@faulty("train-eval-mixed-up", "K; fartashf/vsepp#4")
def one_layer_left_in_eval_mode() -> Case:
    model = mlp(784, 64, 10, dropout=0.5)
    model[2].eval()
    return of(model, digits())


@faulty("no-gradient", "S")
def detached_on_the_way() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b = lin(4, 16), lin(16, 3, 1)

        def forward(self, x: Any) -> Any:
            return self.b(F.relu(self.a(x)).detach())

    return of(Net(), blobs())


@faulty("no-gradient", "S")
def a_layer_that_nobody_calls() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b, self.c = lin(4, 16), lin(16, 16, 1), lin(16, 3, 2)

        def forward(self, x: Any) -> Any:
            return self.c(F.relu(self.a(x)))

    return of(Net(), blobs())


@faulty("not-in-optimizer", "S")
def optimizer_of_another_model() -> Case:
    return of(mlp(4, 16, 3), blobs(), Adam(mlp(4, 16, 3).parameters()))


@faulty("not-in-optimizer", "S, K")
def last_layer_replaced_after_the_optimizer() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body, self.head = mlp(4, 16, 16), lin(16, 5)

        def forward(self, x: Any) -> Any:
            return self.head(F.relu(self.body(x)))

    net = Net()
    optimizer = Adam(net.parameters())
    net.head = lin(16, 3)
    return {"model": net, "data": blobs(), "optimizer": optimizer}


@faulty("frozen-parameters", "S")
def everything_frozen_but_the_biases() -> Case:
    model = mlp(4, 16, 3)
    for p in model.parameters():
        p.requires_grad = p.ndim == 1
    return of(model, blobs())


@faulty("gradients-not-zeroed", "K, S; IBM/aihwkit#446")
def trained_without_zero_grad() -> Case:
    model, (x, y) = mlp(4, 16, 3), blobs()
    optimizer = SGD(model.parameters(), lr=0.001)
    for _ in range(20):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return {"model": model, "data": (x, y), "optimizer": optimizer}


# -- faults of the settings -------------------------------------------------------------------------------------------


@faulty("learning-rate-too-high", "S, A")
def sgd_with_lr_50() -> Case:
    return of(mlp(784, 64, 10), digits(), sgd(50.0))


@faulty("learning-rate-too-high", "S")
def adam_with_lr_1() -> Case:
    return of(mlp(784, 64, 10), digits(), adam(1.0))


@faulty("learning-rate-too-high", "S, D; Stack Overflow 48934338")
def regression_that_explodes() -> Case:
    return of(mlp(5, 64, 1), line(scale=100), sgd(0.5), loss="mse")


@faulty("learning-rate-too-low", "S, A")
def sgd_with_lr_1e_5() -> Case:
    return of(mlp(784, 64, 10), digits(), sgd(1e-5))


@faulty("learning-rate-too-low", "S")
def adam_with_lr_1e_7() -> Case:
    return of(mlp(4, 16, 3), blobs(), adam(1e-7))


@faulty("weight-decay-too-high", "S")
def adam_with_weight_decay_1() -> Case:
    return of(mlp(784, 64, 10), digits(), adam(1e-3, weight_decay=1.0))


# -- faults that show in time -----------------------------------------------------------------------------------------


@failing("learning-rate-too-high", "S, A; keras-team/keras#3040")
def loss_becomes_nan() -> Case:
    return {
        "model": mlp(5, 32, 1),
        "train": line(scale=10),
        "optimizer": sgd(5.0),
        "loss": "mse",
        "epochs": 3,
    }


@failing("overfitting", "S, A")
def forty_samples_by_heart() -> Case:
    x, y = digits(400)
    y[::4] = np.random.default_rng(0).integers(0, 10, 100)
    return {
        "model": mlp(784, 256, 10), "train": (x[:80], y[:80]), "validation": (x[80:], y[80:]),
        "optimizer": adam(3e-3), "epochs": 40, "batch_size": 16,
    }  # fmt: skip


@failing("oscillation", "A, D")
def steps_back_and_forth() -> Case:
    return {
        "model": mlp(784, 32, 10),
        "train": digits(),
        "optimizer": sgd(0.1, momentum=0.9),
        "epochs": 5,
        "batch_size": 8,
    }


@failing("plateau", "A, S")
def nothing_moves() -> Case:
    model = mlp(784, *[32] * 8, 10, activation="sigmoid")
    return {"model": model, "train": digits(), "optimizer": sgd(0.1), "epochs": 7}


@failing("one-class-predicted", "S; keras-team/keras#2975")
def always_the_same_digit() -> Case:
    return {"model": mlp(784, 32, 10), "train": digits(), "optimizer": sgd(8.0), "epochs": 2}


# -- healthy trainings ------------------------------------------------------------------------------------------------

for _sizes in ((784, 10), (784, 32, 10), (784, 128, 64, 10), (784, 30, 30, 30, 10)):
    for _name, _optimizer in (
        ("adam", adam(1e-3)), ("sgd", sgd(0.1)), ("momentum", sgd(0.02, momentum=0.9)),
        ("adamw", partial(optim.AdamW, lr=3e-3)), ("rmsprop", partial(optim.RMSprop, lr=1e-3)),
    ):  # fmt: skip
        HEALTHY[f"digits {_sizes} {_name}"] = partial(
            lambda sizes, optimizer: of(mlp(*sizes), digits(), optimizer), _sizes, _optimizer
        )
for _activation in ("tanh", "leaky_relu", "gelu", "elu", "sigmoid"):
    HEALTHY[f"blobs {_activation}"] = partial(
        lambda activation: of(mlp(4, 16, 16, 3, activation=activation), blobs(), adam(5e-3)), _activation
    )


@healthy
def three_blue_one_brown() -> Case:
    return of(mlp(784, 16, 16, 10, activation="sigmoid"), digits(), sgd(3.0), loss="mse")


@healthy
def make_your_own_network() -> Case:
    return of(chain(mlp(784, 100, 10, activation="sigmoid"), nn.Sigmoid()), digits(), sgd(1.0), loss="mse")


@healthy
def dropout_of_a_half() -> Case:
    return of(mlp(784, 64, 10, dropout=0.5), digits())


@healthy
def bytes_through_a_dataset() -> Case:
    return of(mlp(784, 64, 10), tg.data.load_mnist("sample")[0])


@healthy
def shuffling_loader() -> Case:
    x, y = digits()
    order = np.argsort(y)
    return of(mlp(784, 64, 10), tg.data.DataLoader((x[order], y[order]), 32, shuffle=True, rng=0))


@healthy
def loader_of_mixed_data() -> Case:
    return of(mlp(784, 64, 10), tg.data.DataLoader(digits(), 32))


@healthy
def linear_regression() -> Case:
    return of(lin(5, 1), line(), sgd(0.05), loss="mse")


@healthy
def linear_regression_from_zero() -> Case:
    return of(_filled(lin(5, 1), 0.0), line(), sgd(0.05), loss="mse")


@healthy
def logistic_regression_from_zero() -> Case:
    x, y = moons()
    return of(_filled(lin(2, 1), 0.0), (x, y[:, None].astype(np.float32)), sgd(0.5), loss="bce")


@healthy
def softmax_regression_from_zero() -> Case:
    return of(_filled(lin(784, 10), 0.0), digits(), sgd(0.3))


@healthy
def regression_of_a_wave() -> Case:
    return of(mlp(1, 64, 64, 1, activation="tanh"), wave(), adam(3e-3), loss="mse")


@healthy
def sigmoid_output_with_mse() -> Case:
    x, y = moons()
    return of(chain(mlp(2, 16, 1), nn.Sigmoid()), (x, y[:, None].astype(np.float32)), adam(5e-3), loss="mse")


@healthy
def binary_with_two_outputs() -> Case:
    return of(mlp(2, 32, 2), moons(), adam(5e-3))


@healthy
def log_softmax_and_nll() -> Case:
    return of(chain(mlp(784, 64, 10), nn.LogSoftmax()), digits(), adam(1e-3), loss=F.nll_loss)


@healthy
def probabilities_and_their_logarithm() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return -np.mean(np.sum(target * np.log(output + 1e-9), axis=1))

    x, y = blobs()
    return of(chain(mlp(4, 16, 3), nn.Softmax()), (x, np.eye(3, dtype=np.float32)[y]), adam(5e-3), loss=loss)


@healthy
def autoencoder() -> Case:
    x, _ = digits()
    return of(chain(mlp(784, 32, 784), nn.Sigmoid()), (x, x), adam(2e-3), loss="mse")


@healthy
def autoencoder_of_logits() -> Case:
    x, _ = digits()
    return of(mlp(784, 64, 16, 64, 784), (x, x), adam(2e-3), loss="bce")


@healthy
def variational_autoencoder() -> Case:
    class VAE(nn.Module):
        def __init__(self) -> None:
            self.body, self.mean, self.log_var, self.decoder = (
                lin(784, 64),
                lin(64, 8, 1),
                lin(64, 8, 2),
                mlp(8, 64, 784),
            )
            self.rng = np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            h = np.tanh(self.body(x))
            mean, log_var = self.mean(h), self.log_var(h)
            noise = self.rng.normal(size=mean.shape).astype(np.float32)
            return self.decoder(mean + noise * np.exp(log_var / 2)), mean, log_var

    def loss(output: Any, target: Any) -> Any:
        logits, mean, log_var = output
        kl = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var))
        return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") + kl

    x, _ = digits()
    return of(VAE(), (x, x), adam(1e-3), loss=loss)


@healthy
def residual_network() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.first, self.last = lin(784, 64), lin(64, 10, 9)
            self.blocks = [mlp(64, 64, 64) for _ in range(3)]

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            for block in self.blocks:
                x = x + block(F.relu(x))
            return self.last(F.relu(x))

    return of(Net(), digits(), adam(1e-3))


@healthy
def embedding_of_words() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.table, self.head = nn.Parameter(rng.normal(size=(50, 16))), mlp(16, 32, 2)

        def forward(self, x: Any) -> Any:
            return self.head(np.mean(self.table[x], axis=1))

    rng = np.random.default_rng(1)
    x = rng.integers(0, 50, (400, 12))
    return of(Net(), (x, (np.sum(x < 25, axis=1) > 6).astype(int)), adam(1e-2))


@healthy
def recurrent_network() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.inner, self.outer, self.head = lin(1, 16), lin(16, 16, 1), lin(16, 2, 2)

        def forward(self, x: Any) -> Any:
            h = np.zeros((len(x), 16), np.float32)
            for t in range(x.shape[1]):
                h = np.tanh(self.inner(x[:, t]) + self.outer(h))
            return self.head(h)

    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 6, 1)).astype(np.float32)
    return of(Net(), (x, (x.sum(axis=(1, 2)) > 0).astype(int)), adam(5e-3))


@healthy
def attention() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.q, self.k, self.v, self.o = (lin(8, 8, i) for i in range(4))
            self.head = lin(8, 3, 5)

        def forward(self, x: Any) -> Any:
            q, k, v = self.q(x), self.k(x), self.v(x)
            weights = F.softmax(q @ np.swapaxes(k, 1, 2) / 8**0.5)
            return self.head(F.relu(np.mean(self.o(weights @ v), axis=1)))

    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 5, 8)) + rng.normal(size=(3, 8))[y][:, None]
    return of(Net(), (x.astype(np.float32), y), adam(5e-3))


@healthy
def only_the_head_is_trained() -> Case:
    model = mlp(784, 64, 10)
    first = list(model.parameters())[:2]
    for p in first:
        p.requires_grad = False
    return {"model": model, "data": digits(), "optimizer": Adam(list(model.parameters())[2:], lr=3e-3)}


@healthy
def label_smoothing() -> Case:
    return of(mlp(784, 64, 10), digits(), loss=nn.CrossEntropyLoss(label_smoothing=0.1))


@healthy
def summed_loss_with_adam() -> Case:
    return of(mlp(784, 64, 10), digits(), adam(1e-3), loss=nn.CrossEntropyLoss(reduction="sum"))


@healthy
def summed_loss_with_a_small_rate() -> Case:
    return of(mlp(5, 16, 1), line(), sgd(1e-3), loss=lambda o, t: np.sum((o - t) ** 2))


@healthy
def scales_inside_the_model() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(784, 64, 10)

        def forward(self, x: Any) -> Any:
            return self.body(x / 255)

    return of(Net(), digits(scale=255))


@healthy
def one_hot_targets() -> Case:
    x, y = digits()
    return of(mlp(784, 64, 10), (x, np.eye(10, dtype=np.float32)[y]), loss=F.cross_entropy)


@healthy
def huber_with_outliers() -> Case:
    x, y = line()
    y[::30] *= 8
    return of(mlp(5, 32, 1), (x, y), adam(5e-3), loss="huber")


@healthy
def penalty_on_the_weights() -> Case:
    model = mlp(4, 16, 3)

    def loss(output: Any, target: Any) -> Any:
        return F.cross_entropy(output, target) + 1e-3 * sum(np.sum(p**2) for p in model.parameters())

    return of(model, blobs(), adam(5e-3), loss=loss)


@healthy
def after_some_training() -> Case:
    model = mlp(784, 64, 10)
    tg.training.fit(model, digits(), epochs=3, rng=0, progress=False)
    return of(model, digits(), adam(1e-4))


@healthy
def two_to_one() -> Case:
    x, y = blobs(2, n=600)
    keep = (y == 0) | (np.arange(600) % 2 == 0)
    return of(
        mlp(4, 16, 2), (x[keep][:250], y[keep][:250]), adam(5e-3), validation=(x[keep][250:], y[keep][250:])
    )


@healthy
def soft_capped_logits() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = mlp(4, 16, 3)

        def forward(self, x: Any) -> Any:
            return 15 * np.tanh(self.body(x) / 15)

    return of(Net(), blobs(), adam(5e-3))


@healthy
def zero_residual_branch() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b, self.c, self.d = (
                lin(4, 16),
                lin(16, 16, 1),
                _filled(lin(16, 16, 2), 0.0),
                lin(16, 3, 3),
            )

        def forward(self, x: Any) -> Any:
            h = F.relu(self.a(x))
            return self.d(F.relu(h + self.c(F.relu(self.b(h)))))

    return of(Net(), blobs(), adam(5e-3))
