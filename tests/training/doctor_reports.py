"""A second exam for the doctor: faults in other idioms than those of doctor_cases, and healthy programs like them.

Loops are written by hand, layers and losses in NumPy; there are convolutional and recurrent networks, autoencoders,
regression and binary classification. Where a public report of such a fault was found, it is named: a thread on GitHub
(owner/repository#number), or a question on Stack Overflow, most of them from the benchmark of DeepLocalize [1]_. All
programs are written anew for this library.

.. [1] M. Wardat, W. Le and H. Rajan, "DeepLocalize: Fault Localization for Deep Neural Networks", ICSE 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import doctor_cases as first
import numpy as np
from doctor_cases import Case, adam, blobs, chain, digits, lin, line, mlp, moons, of, sgd, wave, write

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.nn import functional as F  # noqa: N812

#: Codes of the fault (one of them must be found), and a function that makes the training.
FAULTY: dict[str, tuple[str, Callable[[], Case]]] = {}
#: The same for faults that show while it trains.
FAILING: dict[str, tuple[str, Callable[[], Case]]] = {}
HEALTHY: dict[str, Callable[[], Case]] = {}


def faulty(codes: str, source: str = "") -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        FAULTY[make.__name__ + (f" ({source})" if source else "")] = codes, make
        return make

    return keep


def failing(codes: str, source: str = "") -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        FAILING[make.__name__ + (f" ({source})" if source else "")] = codes, make
        return make

    return keep


def healthy(make: Callable[[], Case]) -> Callable[[], Case]:
    HEALTHY[make.__name__] = make
    return make


class Of(nn.Module):
    """A model of some layers and a function of them and the input."""

    def __init__(self, function: Callable[..., Any], **layers: Any) -> None:
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def images(n: int = 400, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = digits(n, scale)
    return x.reshape(n, 1, 28, 28), y


def cnn(*end: Any, **settings: Any) -> nn.Module:
    return chain(
        nn.Conv2d(1, 4, 5, rng=0), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), lin(4 * 36, 10, 1), *end
    )  # fmt: skip


def column(data: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x, y = data
    return x, y[:, None].astype(np.float32)


def one_hot(y: np.ndarray, classes: int = 10) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[y]


def houses(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    x = np.stack([rng.uniform(20, 250, n), rng.integers(1, 8, n), rng.uniform(1900, 2020, n)], 1)
    y = 3 * x[:, 0] + 20 * x[:, 1] + 0.5 * (x[:, 2] - 1900) + rng.normal(0, 20, n)
    return x.astype(np.float32), y[:, None].astype(np.float32)


def standard(x: np.ndarray) -> np.ndarray:
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)


def sequences(n: int = 300, steps: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(n, steps, 2)).astype(np.float32)
    return x, (x.sum(axis=(1, 2)) > 0).astype(int)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def squares(output: Any, target: Any) -> Any:
    return np.mean((output - target) ** 2)


def trained(
    model: nn.Module, data: Any, optimizer: Any, steps: int, zero: bool = True, batch: int = 32
) -> Case:
    """A loop by hand."""
    rng = np.random.default_rng(0)
    x, y = data
    for _ in range(steps):
        rows = rng.integers(0, len(x), batch)
        if zero:
            optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return {"model": model, "data": data, "optimizer": optimizer}


# -- the data -----------------------------------------------------------------------------------------------------


@faulty("inputs-not-scaled")
def house_prices_as_they_are() -> Case:
    x, y = houses()
    return of(mlp(3, 32, 1), (x, standard(y)), adam(1e-3), loss="mse")


@faulty("inputs-not-scaled")
def convolution_of_bytes() -> Case:
    return of(cnn(), images(scale=255), sgd(0.05))


@faulty("inputs-not-scaled")
def sequence_of_years() -> Case:
    x, y = sequences()
    return of(
        Of(
            lambda m, x: m.head(m.rnn(x)[0][:, -1]),
            rnn=nn.RNN(2, 16, batch_first=True, rng=0),
            head=lin(16, 2),
        ),
        (x * 50 + 1990, y),
    )


@faulty("inputs-scaled-twice")
def convolution_of_pixels_divided_twice() -> Case:
    return of(cnn(), images(scale=1 / 255), adam(1e-3))


@faulty("inputs-scaled-twice")
def scaled_in_the_loader_and_in_the_model() -> Case:
    return of(Of(lambda m, x: m.body(x / 255.0), body=mlp(784, 64, 10)), digits())


@faulty("non-finite-data")
def logarithm_of_a_zero_feature() -> Case:
    x, y = line()
    x = np.abs(x)
    x[::40, 1] = 0
    with np.errstate(all="ignore"):
        x[:, 1] = np.log(x[:, 1])
    return of(mlp(5, 16, 1), (x, y), loss="mse")


@faulty("non-finite-data")
def standardised_constant_feature() -> Case:
    x, y = blobs()
    x[:, 3] = 7
    with np.errstate(all="ignore"):
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return of(mlp(4, 16, 3), (x, y))


@faulty("labels-out-of-step")
def rows_of_a_table_shuffled_alone() -> Case:
    x, y = blobs(3, 6, 600)
    return of(mlp(6, 32, 3), (np.random.default_rng(1).permutation(x), y), adam(3e-3))


@faulty("labels-out-of-step")
def prices_sorted_without_their_houses() -> Case:
    x, y = line(400)
    return of(mlp(5, 32, 1), (x, np.random.default_rng(1).permutation(y)), adam(3e-3), loss="mse")


@faulty("labels-out-of-step")
def images_of_a_convolution_shuffled_alone() -> Case:
    x, y = images(600)
    return of(cnn(), (x[np.random.default_rng(2).permutation(600)], y), adam(3e-3))


@faulty("labels-out-of-range", "pytorch/pytorch#15666")
def three_classes_from_1_to_3() -> Case:
    x, y = blobs()
    return of(mlp(4, 16, 3), (x, y + 1), sgd(0.1))


@faulty("targets-out-of-range labels-out-of-range", "EricFillion/happy-transformer#248")
def binary_labels_1_and_2() -> Case:
    x, y = moons()

    def loss(output: Any, target: Any) -> Any:
        p = np.clip(sigmoid(output), 1e-7, 1 - 1e-7)
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))

    return of(mlp(2, 16, 1), column((x, y + 1)), adam(5e-3), loss=loss)


@faulty("class-imbalance", "amanshenoy/multilogue-net#8")
def rare_disease_with_one_output() -> Case:
    x, y = blobs(2, n=800)
    y[:] = 0
    y[::40] = 1
    return of(mlp(4, 16, 1), column((x, y)), adam(3e-3), loss="bce")


@faulty("class-imbalance", "keras-team/keras#2005")
def rare_class_one_hot() -> Case:
    x, y = blobs(3, n=800)
    y[y == 2] = np.where(np.arange((y == 2).sum()) % 15 == 0, 2, 0)
    return of(mlp(4, 16, 3), (x, one_hot(y, 3)), adam(3e-3), loss=F.cross_entropy)


@faulty("data-not-shuffled")
def first_all_of_class_0_with_one_output() -> Case:
    x, y = moons()
    order = np.argsort(y, kind="stable")
    return of(mlp(2, 16, 1), tg.data.DataLoader(column((x[order], y[order])), 20), adam(3e-3), loss="bce")


@faulty("data-not-shuffled")
def one_hot_digits_in_order() -> Case:
    x, y = digits()
    order = np.argsort(y, kind="stable")
    return of(mlp(784, 32, 10), tg.data.DataLoader((x[order], one_hot(y[order])), 50), loss=F.cross_entropy)


@faulty("data-not-shuffled")
def regression_sorted_by_its_target() -> Case:
    x, y = line()
    order = np.argsort(y[:, 0])
    return of(mlp(5, 16, 1), tg.data.DataLoader((x[order], y[order]), 16), adam(3e-3), loss="mse")


@faulty("leak")
def validated_with_the_training_data() -> Case:
    data = digits()
    return of(mlp(784, 32, 10), data, adam(1e-3), validation=data)


@faulty("leak")
def oversampled_before_the_split() -> Case:
    x, y = blobs(2, 6, 200)
    rows = np.random.default_rng(0).permutation(np.concatenate([np.arange(200), np.arange(100)]))
    x, y = x[rows], y[rows]
    return of(mlp(6, 16, 2), (x[:200], y[:200]), adam(3e-3), validation=(x[200:], y[200:]))


@faulty("leak")
def the_answer_is_a_column() -> Case:
    x, y = line()
    return of(mlp(6, 16, 1), (np.concatenate([x, y], 1), y), adam(3e-3), loss="mse")


# -- the end of the network ---------------------------------------------------------------------------------------


@faulty("softmax-twice", "gitabcworld/MatchingNetworks#5")
def softmax_written_in_numpy() -> Case:
    return of(Of(lambda m, x: softmax(m.body(x)), body=mlp(784, 32, 10)), digits(), adam(1e-3))


@faulty("softmax-twice", "ariecattan/SciCo#2")
def convolution_with_softmax() -> Case:
    return of(cnn(nn.Softmax()), images(), adam(1e-3))


@faulty("softmax-twice", "tflearn/tflearn#562")
def softmax_and_a_cross_entropy_by_hand() -> Case:
    def loss(output: Any, target: Any) -> Any:
        shifted = output - np.max(output, axis=1, keepdims=True)
        log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return -np.mean(log_p[np.arange(len(target)), target])

    return of(chain(mlp(4, 16, 3), nn.Softmax()), blobs(), adam(3e-3), loss=loss)


@faulty("sigmoid-twice", "aidotse/LeakPro#229")
def sigmoid_written_in_numpy() -> Case:
    return of(
        Of(lambda m, x: sigmoid(m.body(x)), body=mlp(2, 16, 1)), column(moons()), adam(3e-3), loss="bce"
    )


@faulty("sigmoid-twice", "cvg/glue-factory#89")
def sigmoid_in_the_model_and_in_the_loss() -> Case:
    def loss(output: Any, target: Any) -> Any:
        p = np.clip(F.sigmoid(output), 1e-7, 1 - 1e-7)
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))

    return of(chain(mlp(2, 16, 1), nn.Sigmoid()), column(moons()), adam(3e-3), loss=loss)


@faulty("bounded-logits")
def numpy_sigmoid_before_cross_entropy() -> Case:
    return of(Of(lambda m, x: sigmoid(m.body(x)), body=mlp(784, 32, 10)), digits(), adam(1e-3))


@faulty("bounded-logits")
def clipped_logits() -> Case:
    return of(Of(lambda m, x: np.clip(m.body(x), -1, 1), body=mlp(784, 32, 10)), digits(), adam(1e-3))


@faulty("relu-on-output")
def convolution_that_ends_with_relu() -> Case:
    return of(cnn(nn.ReLU()), images(), adam(1e-3))


@faulty("relu-on-output")
def maximum_for_standardised_prices() -> Case:
    x, y = houses()
    data = standard(x), standard(y)
    return of(Of(lambda m, x: np.maximum(m.body(x), 0), body=mlp(3, 32, 1)), data, adam(3e-3), loss=squares)


@faulty("relu-on-output")
def relu_before_the_sigmoid() -> Case:
    return of(
        chain(mlp(2, 16, 1), nn.ReLU(), nn.Sigmoid()),
        column(moons()),
        adam(3e-3),
        loss=F.binary_cross_entropy,
    )


@faulty("logits-as-probabilities")
def cross_entropy_by_hand_of_clipped_logits() -> Case:
    def loss(output: Any, target: Any) -> Any:
        p = np.clip(output, 1e-9, 1.0)
        return -np.mean(np.sum(target * np.log(p), axis=1))

    x, y = digits()
    return of(mlp(784, 32, 10), (x, one_hot(y)), adam(1e-3), loss=loss)


@faulty("logits-as-probabilities")
def binary_cross_entropy_by_hand_of_logits() -> Case:
    def loss(output: Any, target: Any) -> Any:
        p = np.clip(output, 1e-7, 1 - 1e-7)
        return -np.mean(target * np.log(p) + (1 - target) * np.log1p(-p))

    return of(mlp(2, 16, 1), column(moons()), adam(3e-3), loss=loss)


@faulty("logits-as-probabilities")
def likelihood_of_probabilities_without_a_logarithm() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return -np.mean(np.sum(output * target, axis=1))

    x, y = blobs()
    return of(mlp(4, 16, 3), (x, one_hot(y, 3)), adam(3e-3), loss=loss)


@faulty("broadcast-in-loss", "pytorch/pytorch#16045")
def absolute_errors_of_a_column_and_a_row() -> Case:
    x, y = wave()
    return of(mlp(1, 32, 1), (x, y[:, 0]), adam(3e-3), loss=lambda o, t: np.mean(np.abs(t - o)))


@faulty("broadcast-in-loss")
def binary_cross_entropy_of_a_column_and_a_row() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return np.mean(F.softplus(output) - target * output)

    return of(mlp(2, 16, 1), moons(), adam(3e-3), loss=loss)


@faulty("broadcast-in-loss", "pytorch/pytorch#19699")
def huber_by_hand_of_a_column_and_a_row() -> Case:
    def loss(output: Any, target: Any) -> Any:
        d = np.abs(output - target)
        return np.mean(np.where(d < 1, 0.5 * d**2, d - 0.5))

    x, y = line()
    return of(mlp(5, 16, 1), (x, y.ravel()), adam(3e-3), loss=loss)


@faulty("targets-out-of-range")
def autoencoder_of_standardised_inputs_with_a_sigmoid() -> Case:
    x, _ = blobs(3, 12, 400)
    x = standard(x)
    return of(chain(mlp(12, 6, 12), nn.Sigmoid()), (x, x), adam(3e-3), loss="mse")


@faulty("targets-out-of-range")
def autoencoder_of_bytes_to_a_sigmoid() -> Case:
    x, _ = digits()
    return of(chain(mlp(784, 32, 784), nn.Sigmoid()), (x, x * 255), adam(1e-3), loss="mse")


@faulty("targets-out-of-range")
def numpy_sigmoid_for_degrees() -> Case:
    x, y = wave()
    return of(
        Of(lambda m, x: sigmoid(m.body(x)), body=mlp(1, 16, 1)), (x, 20 + 5 * y), adam(3e-3), loss=squares
    )


@faulty("too-few-outputs targets-out-of-range")
def one_sigmoid_for_three_classes() -> Case:
    return of(chain(mlp(4, 16, 1), nn.Sigmoid()), column(blobs()), adam(3e-3), loss="mse")


@faulty("too-few-outputs")
def softmax_in_numpy_of_one_output() -> Case:
    return of(
        Of(lambda m, x: softmax(m.body(x)), body=mlp(2, 16, 1)), column(moons()), adam(3e-3), loss=squares
    )


@faulty("too-few-outputs")
def two_outputs_for_three_classes() -> Case:
    return of(mlp(4, 16, 2), blobs(), sgd(0.1))


@faulty("sum-for-mean")
def half_a_sum_of_squares() -> Case:
    return of(
        mlp(1, 32, 1, activation="tanh"), wave(), sgd(0.05), loss=lambda o, t: 0.5 * ((o - t) ** 2).sum()
    )


@faulty("sum-for-mean")
def summed_likelihood_with_momentum() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return -np.sum(F.log_softmax(output)[np.arange(len(target)), target])

    return of(mlp(784, 32, 10), digits(), sgd(0.05, momentum=0.9), loss=loss)


@faulty("initial-loss")
def last_layer_of_a_convolution_far_too_large() -> Case:
    model = cnn()
    write(list(model.parameters())[2], lambda w: w * 60)
    return of(model, images(), adam(1e-3))


@faulty("initial-loss weights-too-large")
def binary_logits_of_fifty() -> Case:
    model = mlp(2, 32, 1)
    write(list(model.parameters())[2], lambda w: w * 60)
    return of(model, column(moons()), adam(1e-3), loss="bce")


# -- the model ------------------------------------------------------------------------------------------------------


@faulty("missing-nonlinearity")
def dropout_between_linear_layers() -> Case:
    return of(
        chain(lin(784, 64), nn.Dropout(0.2, rng=0), lin(64, 32, 1), nn.Dropout(0.2, rng=1), lin(32, 10, 2)),
        digits(),
    )


@faulty("missing-nonlinearity")
def convolution_after_convolution() -> Case:
    model = chain(
        nn.Conv2d(1, 4, 3, rng=0),
        nn.Conv2d(4, 4, 3, stride=4, rng=1),
        nn.ReLU(),
        nn.Flatten(),
        lin(4 * 36, 10),
    )
    return of(model, images(), adam(1e-3))


@faulty("missing-nonlinearity")
def batch_norm_between_linear_layers() -> Case:
    return of(chain(lin(784, 64), nn.BatchNorm1d(64), lin(64, 32, 1), lin(32, 10, 2)), digits())


@faulty("missing-nonlinearity")
def products_in_numpy() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.w1 = nn.Parameter(rng.normal(size=(2, 16)) / 2)
            self.b1 = nn.Parameter(np.zeros(16))
            self.w2 = nn.Parameter(rng.normal(size=(16, 2)) / 4)

        def forward(self, x: Any) -> Any:
            return (x @ self.w1 + self.b1) @ self.w2

    return of(Net(), moons(), adam(3e-3))


@faulty("input-ignored")
def recurrent_network_reads_the_first_step_only() -> Case:
    x, y = sequences()
    return of(
        Of(
            lambda m, x: m.head(m.rnn(x)[0][:, 0]),
            rnn=nn.RNN(2, 16, batch_first=True, rng=0),
            head=lin(16, 2),
        ),
        (x, y),
        adam(3e-3),
    )


@faulty("input-ignored")
def image_is_cut_to_its_corner() -> Case:
    return of(Of(lambda m, x: m.body(x[:, :196]), body=mlp(196, 32, 10)), digits())


@faulty("input-ignored")
def buffer_of_zeros_is_returned() -> Case:
    def forward(m: Any, x: Any) -> Any:
        h = np.zeros((len(x), 4), np.float32)
        return m.body(h)

    return of(Of(forward, body=mlp(4, 16, 3)), blobs())


@faulty("equal-weights")
def zeros_in_numpy() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.w1, self.b1 = nn.Parameter(np.zeros((784, 32))), nn.Parameter(np.zeros(32))
            self.w2, self.b2 = nn.Parameter(np.zeros((32, 10))), nn.Parameter(np.zeros(10))

        def forward(self, x: Any) -> Any:
            return np.tanh(x @ self.w1 + self.b1) @ self.w2 + self.b2

    return of(Net(), digits(), sgd(0.1))


@faulty("equal-weights")
def convolution_of_ones() -> Case:
    model = cnn()
    for p in list(model.parameters()):
        write(p, lambda w: np.full_like(w, 0.02))
    return of(model, images(), sgd(0.1))


@faulty("weights-too-large")
def random_normal_weights_in_numpy() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.w1 = nn.Parameter(rng.normal(size=(784, 64)).astype(np.float32))
            self.w2 = nn.Parameter(rng.normal(size=(64, 10)).astype(np.float32))

        def forward(self, x: Any) -> Any:
            return F.relu(x @ self.w1) @ self.w2

    return of(Net(), digits(), sgd(0.01))


@faulty("weights-too-large")
def uniform_from_0_to_1() -> Case:
    model = mlp(784, 64, 10, activation="tanh")
    rng = np.random.default_rng(0)
    for p in model.parameters():
        write(p, lambda w: rng.random(w.shape))
    return of(model, digits(), sgd(0.1))


@faulty("weights-too-small")
def normal_weights_of_1e_4() -> Case:
    return of(first._normal(mlp(784, 64, 32, 10), 1e-4), digits(), sgd(0.1))


@faulty("dead-units")
def convolution_with_dead_maps() -> Case:
    model = cnn()
    write(list(model.parameters())[1], lambda b: b - 20)
    return of(model, images(), adam(1e-3))


@faulty("dead-units")
def maximum_of_negative_weights() -> Case:
    model = Of(lambda m, x: m.b(np.maximum(0, m.a(x))), a=lin(784, 64), b=lin(64, 10, 1))
    write(next(iter(model.parameters())), lambda w: -np.abs(w))
    return of(model, digits(), adam(1e-3))


@faulty("saturated-units inputs-not-scaled weights-too-large")
def tanh_of_hundreds() -> Case:
    model = mlp(784, 64, 10, activation="tanh")
    write(next(iter(model.parameters())), lambda w: w * 30)
    return of(model, digits(), sgd(0.1))


@faulty("saturated-units")
def recurrent_state_that_saturates() -> Case:
    x, y = sequences()
    model = Of(
        lambda m, x: m.head(m.rnn(x)[0][:, -1]), rnn=nn.RNN(2, 16, batch_first=True, rng=0), head=lin(16, 2)
    )
    for name, p in model.named_parameters():
        if "bias" in name and "rnn" in name:
            write(p, lambda b: b + 5)
    return of(model, (x, y), adam(3e-3))


@faulty("vanishing-gradients")
def eight_layers_of_numpy_sigmoids() -> Case:
    def forward(m: Any, x: Any) -> Any:
        for layer in m.layers:
            x = sigmoid(layer(x))
        return m.head(x)

    model = Of(forward, layers=[lin(784, 32), *(lin(32, 32, i) for i in range(1, 9))], head=lin(32, 10))
    return of(model, digits(), sgd(0.1))


@faulty("exploding-gradients weights-too-large")
def recurrent_weights_of_three() -> Case:
    x, y = sequences(steps=30)

    class Net(nn.Module):
        def __init__(self) -> None:
            self.inner, self.outer, self.head = lin(2, 16), lin(16, 16, 1), lin(16, 2, 2)
            write(self.outer.weight, lambda w: np.eye(16) * 1.5)

        def forward(self, x: Any) -> Any:
            h = np.zeros((len(x), 16), np.float32)
            for t in range(x.shape[1]):
                h = F.relu(self.inner(x[:, t]) + self.outer(h))
            return self.head(h)

    return of(Net(), (x, y), sgd(0.01))


@faulty("dropout-too-high")
def keep_rate_taken_for_the_drop_rate() -> Case:
    return of(chain(lin(784, 128), nn.ReLU(), nn.Dropout(0.8, rng=0), lin(128, 10, 1)), digits(), adam(1e-3))


@faulty("dropout-too-high")
def dropout_by_hand_that_keeps_a_tenth() -> Case:
    rng = np.random.default_rng(0)

    def forward(m: Any, x: Any) -> Any:
        h = F.relu(m.a(x))
        if m.training:
            h = h * ((rng.random(h.shape) < 0.1) / 0.1).astype(np.float32)
        return m.b(h)

    return of(Of(forward, a=lin(784, 128), b=lin(128, 10, 1)), digits(), adam(1e-3))


@faulty("train-eval-mixed-up", "udacity/deep-learning-v2-pytorch#3")
def dropout_by_hand_without_a_mode() -> Case:
    rng = np.random.default_rng(0)

    def forward(m: Any, x: Any) -> Any:
        h = F.relu(m.a(x))
        return m.b(h * (rng.random(h.shape) < 0.5).astype(np.float32) * 2)

    return of(Of(forward, a=lin(784, 64), b=lin(64, 10, 1)), digits(), adam(1e-3))


@faulty("train-eval-mixed-up", "wkentaro/pytorch-fcn#57")
def loop_that_never_goes_back_to_training() -> Case:
    model = mlp(784, 64, 10, dropout=0.3)
    model.eval()
    return trained(model, digits(), optim.Adam(model.parameters()), 5)


@faulty("train-eval-mixed-up", "ando-khachatryan/HiDDeN#13")
def batch_norm_that_ignores_the_mode() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.a, self.b = lin(784, 64), lin(64, 10, 1)

        def forward(self, x: Any) -> Any:
            h = self.a(x)
            h = (h - np.mean(h, axis=0)) / np.sqrt(np.var(h, axis=0) + 1e-5)
            return self.b(F.relu(h))

    return of(Net(), digits(), adam(1e-3))


@faulty("no-gradient")
def steps_in_the_forward_pass() -> Case:
    return of(Of(lambda m, x: m.b(np.sign(m.a(x))), a=lin(4, 16), b=lin(16, 3, 1)), blobs())


@faulty("no-gradient")
def accuracy_as_the_loss() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return 1 - np.mean(np.argmax(output, axis=1) == target)

    return of(mlp(4, 16, 3), blobs(), loss=loss)


@faulty("no-gradient")
def plain_arrays_on_the_way() -> Case:
    return of(Of(lambda m, x: m.b(np.maximum(m.a(x).data, 0)), a=lin(4, 16), b=lin(16, 3, 1)), blobs())


@faulty("no-gradient")
def frozen_features_by_no_grad() -> Case:
    def forward(m: Any, x: Any) -> Any:
        with tg.no_grad():
            h = F.relu(m.a(x))
        return m.b(h)

    return of(Of(forward, a=lin(4, 16), b=lin(16, 3, 1)), blobs())


@faulty("not-in-optimizer")
def only_the_last_layer_is_optimized() -> Case:
    model = mlp(4, 16, 3)
    return of(model, blobs(), optim.SGD(model[2].parameters(), lr=0.1))


@faulty("not-in-optimizer")
def weights_that_are_no_parameters() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.w = tg.tensor(rng.normal(size=(4, 16)).astype(np.float32), requires_grad=True)
            self.head = lin(16, 3)

        def forward(self, x: Any) -> Any:
            return self.head(F.relu(x @ self.w))

    return of(Net(), blobs())


@faulty("frozen-parameters not-in-optimizer")
def first_layers_frozen_and_forgotten() -> Case:
    model = cnn()
    for p in list(model.parameters())[:2]:
        p.requires_grad = False
    return of(model, images(), adam(1e-3))


@faulty("gradients-not-zeroed", "IBM/aihwkit#446")
def loop_without_zero_grad() -> Case:
    model = mlp(784, 32, 10)
    return trained(model, digits(), optim.SGD(model.parameters(), lr=0.01), 30, zero=False)


@faulty("gradients-not-zeroed", "pytorch/pytorch#47175")
def adam_loop_without_zero_grad() -> Case:
    model = mlp(4, 16, 3)
    return trained(model, blobs(), optim.Adam(model.parameters(), lr=1e-3), 40, zero=False)


# -- the settings ----------------------------------------------------------------------------------------------------


@faulty("learning-rate-too-high")
def convolution_with_lr_10() -> Case:
    return of(cnn(), images(), sgd(10.0))


@faulty("learning-rate-too-high")
def regression_of_prices_in_thousands() -> Case:
    x, y = houses()
    return of(mlp(3, 32, 1), (standard(x), y), sgd(0.1), loss="mse")


@faulty("learning-rate-too-high")
def momentum_with_lr_5() -> Case:
    return of(mlp(4, 32, 3), blobs(), sgd(5.0, momentum=0.9))


@faulty("learning-rate-too-low")
def convolution_with_lr_1e_6() -> Case:
    return of(cnn(), images(), adam(1e-6))


@faulty("learning-rate-too-low")
def regression_with_lr_1e_6() -> Case:
    return of(mlp(5, 32, 1), line(), sgd(1e-6), loss="mse")


@faulty("learning-rate-too-low")
def autoencoder_with_sgd_1e_4() -> Case:
    x, _ = digits()
    return of(mlp(784, 32, 784), (x, x), sgd(1e-5), loss="mse")


@faulty("weight-decay-too-high")
def penalty_of_one() -> Case:
    model = mlp(784, 32, 10)

    def loss(output: Any, target: Any) -> Any:
        return F.cross_entropy(output, target) + 1.0 * sum(np.sum(p**2) for p in model.parameters())

    return of(model, digits(), adam(1e-3), loss=loss)


@faulty("weight-decay-too-high")
def sgd_with_weight_decay_of_a_half() -> Case:
    return of(cnn(), images(), sgd(0.1, weight_decay=0.5))


@faulty("cannot-overfit-one-batch")
def the_loss_has_the_wrong_sign() -> Case:
    return of(mlp(5, 16, 1), line(), adam(3e-3), loss=lambda o, t: -np.mean((o - t) ** 2))


@faulty("cannot-overfit-one-batch bounded-logits")
def a_bottleneck_of_one_sign() -> Case:
    """Ten classes behind a single number between 0 and 1."""
    return of(chain(lin(784, 1), nn.Sigmoid(), lin(1, 10, 1)), digits(), adam(3e-3))


@faulty("cannot-overfit-one-batch")
def the_gain_instead_of_the_loss() -> Case:
    return of(
        mlp(4, 16, 3), blobs(), adam(3e-3), loss=lambda o, t: np.mean(F.log_softmax(o)[np.arange(len(t)), t])
    )


@faulty("input-ignored")
def recurrent_network_takes_the_batch_for_time() -> Case:
    x, y = sequences()
    return of(
        Of(lambda m, x: m.head(m.rnn(x)[0][:, -1]), rnn=nn.RNN(2, 16, rng=0), head=lin(16, 2)),
        (x, y),
        adam(3e-3),
    )


# -- the benchmark of DeepLocalize, by the number of the question on Stack Overflow ---------------------------------


@faulty("inputs-not-scaled", "Stack Overflow 31627380")
def passengers_of_the_titanic() -> Case:
    rng = np.random.default_rng(0)
    n = 400
    x = np.stack(
        [rng.integers(1, 4, n), rng.integers(0, 2, n), rng.uniform(1, 80, n), rng.integers(0, 5, n),
         rng.integers(0, 700, n), rng.exponential(32, n), rng.integers(0, 140, n), rng.integers(0, 4, n)], 1,
    ).astype(np.float32)  # fmt: skip
    y = ((x[:, 1] + rng.normal(0, 0.4, n)) > 0.5).astype(int)
    return of(chain(lin(8, 128), nn.ReLU(), nn.Dropout(0.5, rng=0), lin(128, 2, 1)), (x, y), adam(1e-3))


@faulty("inputs-not-scaled")
def one_column_of_years_among_small_ones() -> Case:
    x, y = blobs(3, 12, 400)
    x[:, 4] = np.random.default_rng(0).uniform(18, 70, 400)
    return of(mlp(12, 32, 3), (x / np.where(np.arange(12) == 4, 1, 4), y), adam(1e-3))


def _binary(output: Any, target: Any) -> Any:
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))


def _categorical(output: Any, target: Any) -> Any:
    return -np.mean(np.sum(target * np.log(np.clip(output, 1e-7, 1)), axis=1))


@faulty("too-few-outputs", "Stack Overflow 31880720")
def all_ones_against_all_zeros() -> Case:
    x = np.repeat([np.ones(128), np.zeros(128)], 150, axis=0).astype(np.float32)
    y = np.repeat([[1.0], [0.0]], 150, axis=0).astype(np.float32)
    model = chain(mlp(128, 50, 50, 1, dropout=0.2), nn.Softmax())
    return of(model, (x, y), partial(optim.RMSprop, lr=1e-3), loss=_binary)


@faulty("too-few-outputs inputs-not-scaled", "Stack Overflow 33969059")
def a_softmax_for_a_sum() -> Case:
    x = np.random.default_rng(0).uniform(0, 10000, (400, 3)).astype(np.float32)
    y = (x @ np.array([[2.0], [1.0], [0.5]]) + 2.2).astype(np.float32)
    return of(
        chain(mlp(3, 3, 2, 1, activation="tanh"), nn.Softmax()), (x, y), sgd(0.1, momentum=0.9), loss="mse"
    )


@faulty("too-few-outputs", "Stack Overflow 34311586")
def exclusive_or_by_a_softmax_of_one() -> Case:
    x = np.array([[1, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    y = np.array([[0], [0], [1], [1], [0], [0]], np.float32)
    return of(
        chain(mlp(2, 2, 3, 1, activation="sigmoid"), nn.Softmax()),
        (x, y),
        sgd(0.001, momentum=0.9),
        loss="mse",
    )


@faulty("targets-out-of-range", "Stack Overflow 38648195")
def softmax_for_several_labels_at_once() -> Case:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 20)).astype(np.float32)
    y = (x @ rng.normal(size=(20, 3)) > 0).astype(np.float32)
    return of(chain(mlp(20, 20, 20, 3, dropout=0.5), nn.Softmax()), (x, y), sgd(0.1), loss="mse")


@faulty("targets-out-of-range", "Stack Overflow 39525358")
def binary_cross_entropy_for_a_quantity() -> Case:
    x, y = line(features=3, scale=30)
    return of(chain(mlp(3, 12, 3, 1), nn.Sigmoid()), (x, y), adam(1e-3), loss=_binary)


@faulty("missing-nonlinearity weights-too-large", "Stack Overflow 48385830")
def the_first_chapter_without_its_sigmoids() -> Case:
    x, y = digits()
    model = first._normal(chain(lin(784, 30), lin(30, 10, 1)), 1.0)
    return of(model, (x, one_hot(y)), sgd(3.0), loss="mse")


@faulty("learning-rate-too-high", "Stack Overflow 48934338")
def a_parabola_up_to_125() -> Case:
    x = np.arange(0, 5, 0.1, dtype=np.float32)[:, None]
    y = (5 * x**2 + np.random.default_rng(7).normal(size=x.shape) ** 3).astype(np.float32)
    return of(mlp(1, 50, 30, 1), (x, y), sgd(0.1), loss="mse")


@faulty("missing-nonlinearity", "Stack Overflow 55328966")
def a_linear_layer_in_front() -> Case:
    return of(chain(lin(784, 784), lin(784, 50, 1), nn.ReLU(), lin(50, 10, 2)), digits(), sgd(1e-2))


@faulty("logits-as-probabilities bounded-logits", "Stack Overflow 51930566")
def irises_by_sigmoids() -> Case:
    x, y = blobs(3, 4, 150)
    return of(chain(mlp(4, 8, 3), nn.Sigmoid()), (x, one_hot(y, 3)), adam(1e-3), loss=_categorical)


@faulty("relu-on-output", "Stack Overflow 47352366")
def relu_where_the_softmax_should_be() -> Case:
    x, y = images()
    return of(cnn(nn.ReLU()), (x, one_hot(y)), adam(1e-3), loss=_categorical)


@faulty("too-few-outputs", "Stack Overflow 45442843")
def a_single_neuron_and_a_softmax() -> Case:
    x, y = blobs(2, 1, 200)
    model = chain(lin(1, 1), nn.Sigmoid(), lin(1, 1, 1), nn.Softmax())
    return of(model, column((x, y)), partial(optim.RMSprop, lr=1e-3), loss="l1")


@faulty("labels-out-of-range", "Stack Overflow 59325381")
def labels_divided_by_255() -> Case:
    x, y = images()
    return of(cnn(), (x, y / 255), adam(1e-3))


@faulty("relu-on-output", "Stack Overflow 48251943")
def relu_for_two_classes() -> Case:
    return of(chain(mlp(2, 8, 1), nn.ReLU()), column(moons()), sgd(0.01), loss="mse")


@faulty("logits-as-probabilities targets-out-of-range")
def tanh_before_a_logarithm() -> Case:
    return of(chain(mlp(2, 16, 1), nn.Tanh()), column(moons()), adam(1e-3), loss=_binary)


# -- while it trains ---------------------------------------------------------------------------------------------------


@failing("learning-rate-too-high", "keras-team/keras#3040")
def prices_become_nan() -> Case:
    x, y = houses()
    return {
        "model": mlp(3, 32, 1),
        "train": (standard(x), y),
        "optimizer": sgd(0.1),
        "loss": "mse",
        "epochs": 3,
    }


@failing("learning-rate-too-low plateau")
def schedule_that_ends_after_a_few_batches() -> Case:
    def schedule(optimizer: Any, steps: int) -> Any:
        return optim.StepLR(optimizer, 1, 0.5)

    return {
        "model": mlp(784, 32, 10),
        "train": digits(),
        "optimizer": sgd(0.05),
        "schedule": schedule,
        "epochs": 8,
    }


@failing("overfitting")
def convolution_learns_noise() -> Case:
    x, y = images(300)
    y[::2] = np.random.default_rng(0).integers(0, 10, 150)
    return {
        "model": chain(nn.Flatten(), mlp(784, 200, 10)), "train": (x[:100], y[:100]), "validation": (x[100:], y[100:]),
        "optimizer": adam(3e-3), "epochs": 40, "batch_size": 20,
    }  # fmt: skip


@failing("overfitting")
def polynomial_through_twelve_points() -> Case:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 20)).astype(np.float32)
    y = (x[:, :1] + rng.normal(0, 1, (60, 1))).astype(np.float32)
    return {
        "model": mlp(20, 128, 128, 1), "train": (x[:30], y[:30]), "validation": (x[30:], y[30:]), "loss": "mse",
        "optimizer": adam(3e-3), "epochs": 60, "batch_size": 10,
    }  # fmt: skip


@failing("plateau vanishing-gradients")
def deep_tanh_network_that_does_not_move() -> Case:
    model = first._normal(mlp(784, *[32] * 6, 10, activation="tanh"), 1e-3)
    return {"model": model, "train": digits(), "optimizer": sgd(0.05), "epochs": 7}


@failing("one-class-predicted learning-rate-too-high", "keras-team/keras#2975")
def convolution_says_one_class() -> Case:
    return {"model": cnn(), "train": images(), "optimizer": adam(0.5), "epochs": 4}


@failing("oscillation learning-rate-too-high")
def autoencoder_jumps() -> Case:
    x, _ = digits(500)
    return {"model": mlp(784, 32, 784), "train": (x, x), "loss": "mse", "optimizer": adam(0.3), "epochs": 5}


# -- healthy programs ----------------------------------------------------------------------------------------------


@healthy
def small_convolution() -> Case:
    return of(cnn(), images(), adam(3e-3))


@healthy
def convolution_with_batch_norm() -> Case:
    model = chain(
        nn.Conv2d(1, 4, 5, rng=0), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Dropout(0.25, rng=0),
        lin(144, 10),
    )  # fmt: skip
    return of(model, images(), adam(3e-3))


@healthy
def average_pool_at_the_end() -> Case:
    model = chain(
        nn.Conv2d(1, 8, 5, stride=2, rng=0),
        nn.ReLU(),
        nn.Conv2d(8, 10, 5, rng=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return of(model, images(), adam(5e-3))


for _kind in (nn.RNN, nn.LSTM, nn.GRU):
    HEALTHY[f"rows by {_kind.__name__}"] = partial(
        lambda kind: of(
            Of(
                lambda m, x: m.head(m.rnn(x)[0][:, -1]),
                rnn=kind(28, 32, batch_first=True, rng=0),
                head=lin(32, 10),
            ),
            (digits(400)[0].reshape(400, 28, 28), digits(400)[1]),
            adam(5e-3),
        ),
        _kind,
    )


@healthy
def rows_by_a_recurrence_in_numpy() -> Case:
    def forward(m: Any, x: Any) -> Any:
        h = np.zeros((len(x), 24), np.float32)
        for t in range(28):
            h = np.tanh(m.inner(x[:, t]) + m.outer(h))
        return m.head(h)

    x, y = digits(300)
    return of(
        Of(forward, inner=lin(28, 24), outer=lin(24, 24, 1), head=lin(24, 10, 2)),
        (x.reshape(300, 28, 28), y),
        adam(5e-3),
    )


@healthy
def layers_in_numpy() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.w1 = nn.Parameter((rng.normal(size=(784, 32)) * np.sqrt(2 / 784)).astype(np.float32))
            self.b1 = nn.Parameter(np.zeros(32, np.float32))
            self.w2 = nn.Parameter((rng.normal(size=(32, 10)) * np.sqrt(2 / 32)).astype(np.float32))
            self.b2 = nn.Parameter(np.zeros(10, np.float32))

        def forward(self, x: Any) -> Any:
            return np.maximum(x @ self.w1 + self.b1, 0) @ self.w2 + self.b2

    return of(Net(), digits(), sgd(0.1))


@healthy
def cross_entropy_in_numpy() -> Case:
    def loss(output: Any, target: Any) -> Any:
        shifted = output - np.max(output, axis=1, keepdims=True)
        log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return -np.mean(log_p[np.arange(len(target)), target])

    return of(mlp(784, 32, 10), digits(), adam(2e-3), loss=loss)


@healthy
def softmax_in_numpy_and_a_logarithm() -> Case:
    def loss(output: Any, target: Any) -> Any:
        return -np.mean(np.log(output[np.arange(len(target)), target] + 1e-9))

    return of(Of(lambda m, x: softmax(m.body(x)), body=mlp(784, 32, 10)), digits(), adam(2e-3), loss=loss)


@healthy
def sigmoid_in_numpy_and_binary_cross_entropy() -> Case:
    def loss(output: Any, target: Any) -> Any:
        p = np.clip(output, 1e-7, 1 - 1e-7)
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))

    return of(Of(lambda m, x: sigmoid(m.body(x)), body=mlp(2, 32, 1)), column(moons()), adam(5e-3), loss=loss)


@healthy
def binary_cross_entropy_of_probabilities() -> Case:
    return of(chain(mlp(2, 32, 1), nn.Sigmoid()), column(moons()), adam(5e-3), loss=nn.BCELoss())


@healthy
def one_output_without_its_axis() -> Case:
    x, y = moons()
    model = Of(lambda m, x: m.body(x)[:, 0], body=mlp(2, 32, 1))
    return of(model, (x, y.astype(np.float32)), adam(5e-3), loss="bce")


@healthy
def labels_of_minus_one_and_one_with_a_hinge() -> Case:
    x, y = moons()
    loss = lambda o, t: np.mean(np.maximum(0, 1 - o * t))  # noqa: E731
    return of(mlp(2, 32, 1), column((x, 2 * y - 1)), adam(5e-3), loss=loss)


@healthy
def logistic_loss_of_minus_one_and_one() -> Case:
    x, y = moons()
    return of(
        mlp(2, 32, 1), column((x, 2 * y - 1)), adam(5e-3), loss=lambda o, t: np.mean(F.softplus(-t * o))
    )


@healthy
def house_prices_standardised() -> Case:
    x, y = houses()
    return of(mlp(3, 32, 1), (standard(x), standard(y)), adam(3e-3), loss="mse")


@healthy
def house_prices_by_a_line() -> Case:
    x, y = houses()
    return of(lin(3, 1), (standard(x), standard(y)), sgd(0.1), loss="mse")


@healthy
def counts_by_poisson() -> Case:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    y = rng.poisson(np.exp(0.5 + 0.4 * x[:, :1])).astype(np.float32)
    return of(lin(3, 1), (x, y), adam(1e-2), loss=lambda o, t: np.mean(np.exp(o) - t * o))


@healthy
def a_mean_and_its_spread() -> Case:
    def loss(output: Any, target: Any) -> Any:
        mean, log_s = output[:, :1], output[:, 1:]
        return np.mean(log_s + 0.5 * ((target - mean) / np.exp(log_s)) ** 2)

    return of(mlp(1, 32, 2, activation="tanh"), wave(), adam(3e-3), loss=loss)


@healthy
def quantiles() -> Case:
    def loss(output: Any, target: Any) -> Any:
        d = target - output
        return np.mean(np.maximum(0.9 * d, -0.1 * d))

    return of(mlp(5, 32, 1), line(noise=0.5), adam(5e-3), loss=loss)


@healthy
def softplus_for_positive_targets() -> Case:
    x, y = line()
    return of(
        Of(lambda m, x: F.softplus(m.body(x)), body=mlp(5, 32, 1)), (x, np.abs(y)), adam(5e-3), loss="mse"
    )


@healthy
def relu_for_positive_targets() -> Case:
    x, y = line()
    return of(chain(mlp(5, 32, 1), nn.ReLU()), (x, np.abs(y) + 0.5), adam(5e-3), loss="mse")


@healthy
def tanh_for_targets_from_minus_one_to_one() -> Case:
    return of(chain(mlp(1, 32, 1, activation="tanh"), nn.Tanh()), wave(), adam(5e-3), loss="mse")


@healthy
def convolutional_autoencoder() -> Case:
    x, _ = images(200)
    model = chain(
        nn.Conv2d(1, 4, 4, stride=2, padding=1, rng=0), nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1, rng=1), nn.Sigmoid(),
    )  # fmt: skip
    return of(model, (x, x), adam(5e-3), loss="mse")


@healthy
def denoising_autoencoder() -> Case:
    x, _ = digits()
    noisy = np.clip(x + np.random.default_rng(0).normal(0, 0.3, x.shape), 0, 1).astype(np.float32)
    return of(chain(mlp(784, 64, 784), nn.Sigmoid()), (noisy, x), adam(3e-3), loss="mse")


@healthy
def linear_autoencoder_is_pca() -> Case:
    x, _ = blobs(3, 12, 400)
    x = standard(x)
    return of(chain(lin(12, 3), lin(3, 12, 1)), (x, x), adam(1e-2), loss="mse")


@healthy
def softmax_of_attention_inside() -> Case:
    def forward(m: Any, x: Any) -> Any:
        weights = F.softmax(m.score(x), axis=1)
        return m.head(np.sum(weights * x, axis=1))

    x, y = sequences()
    return of(Of(forward, score=lin(2, 1), head=mlp(2, 16, 2)), (x, y), adam(1e-2))


@healthy
def transformer_block() -> Case:
    def forward(m: Any, x: Any) -> Any:
        x = m.embed(x)
        x = x + m.attention(m.norm(x))
        x = x + m.mlp(m.norm2(x))
        return m.head(np.mean(x, axis=1))

    x, y = sequences()
    model = Of(
        lambda m, x: forward(m, x), embed=lin(2, 16), norm=nn.LayerNorm(16), norm2=nn.LayerNorm(16),
        attention=Of(lambda m, x: m.o(F.softmax(m.q(x) @ np.swapaxes(m.k(x), 1, 2) / 4) @ m.v(x)),
                     q=lin(16, 16, 1), k=lin(16, 16, 2), v=lin(16, 16, 3), o=lin(16, 16, 4)),
        mlp=mlp(16, 32, 16), head=lin(16, 2, 5),
    )  # fmt: skip
    return of(model, (x, y), adam(5e-3))


@healthy
def multihead_attention_module() -> Case:
    def forward(m: Any, x: Any) -> Any:
        h = m.embed(x)
        a = m.attention(h, h, h)
        return m.head(np.mean(h + (a[0] if isinstance(a, tuple) else a), axis=1))

    x, y = sequences()
    return of(
        Of(
            forward,
            embed=lin(2, 16),
            attention=nn.MultiheadAttention(16, 4, batch_first=True, rng=0),
            head=lin(16, 2),
        ),
        (x, y),
        adam(5e-3),
    )


@healthy
def words_by_their_embeddings() -> Case:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 40, (400, 10))
    y = (np.sum(x < 20, axis=1) > 5).astype(int)
    return of(
        Of(
            lambda m, x: m.head(np.mean(m.table(x), axis=1)),
            table=nn.Embedding(40, 16, rng=0),
            head=mlp(16, 16, 2),
        ),
        (x, y),
        adam(1e-2),
    )


@healthy
def exclusive_or() -> Case:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    return of(chain(mlp(2, 8, 1, activation="tanh"), nn.Sigmoid()), (x, y), adam(3e-2), loss="mse")


@healthy
def exclusive_or_with_two_outputs() -> Case:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return of(mlp(2, 16, 2), (x, np.array([0, 1, 1, 0])), adam(3e-2))


@healthy
def lists_of_lists() -> Case:
    x, y = blobs()
    return of(
        mlp(4, 16, 3), tg.data.Dataset(np.asarray(x.tolist(), np.float32), np.asarray(y.tolist())), adam(5e-3)
    )


@healthy
def doubles() -> Case:
    x, y = blobs()
    return of(mlp(4, 16, 3).astype(np.float64), (x.astype(np.float64), y), sgd(0.1))


@healthy
def pixels_from_minus_one_to_one() -> Case:
    x, y = digits()
    return of(mlp(784, 32, 10), (2 * x - 1, y), adam(1e-3))


@healthy
def pixels_standardised() -> Case:
    x, y = digits()
    return of(mlp(784, 32, 10), (((x - 0.1307) / 0.3081).astype(np.float32), y), sgd(0.05))


@healthy
def batch_norm_and_sgd() -> Case:
    model = chain(lin(784, 64), nn.BatchNorm1d(64), nn.ReLU(), lin(64, 10, 1))
    return of(model, digits(), sgd(0.1, momentum=0.9))


@healthy
def layer_norm_first() -> Case:
    return of(chain(nn.LayerNorm(784), mlp(784, 32, 10)), digits(scale=255), adam(1e-3))


@healthy
def batch_norm_first() -> Case:
    x, y = houses()
    return of(chain(nn.BatchNorm1d(3), mlp(3, 32, 1)), (x, standard(y)), adam(3e-3), loss="mse")


@healthy
def loop_by_hand() -> Case:
    model = mlp(784, 32, 10)
    return trained(model, digits(), optim.SGD(model.parameters(), lr=0.1), 60)


@healthy
def loop_by_hand_until_it_knows_all() -> Case:
    model = mlp(4, 32, 3)
    return trained(model, blobs(), optim.Adam(model.parameters(), lr=5e-3), 300, batch=8)


@healthy
def dropout_by_hand() -> Case:
    rng = np.random.default_rng(0)

    def forward(m: Any, x: Any) -> Any:
        h = F.relu(m.a(x))
        if m.training:
            h = h * (rng.random(h.shape) < 0.5).astype(np.float32) * 2
        return m.b(h)

    return of(Of(forward, a=lin(784, 64), b=lin(64, 10, 1)), digits(), adam(1e-3))


@healthy
def word_dropout_of_inputs() -> Case:
    return of(chain(nn.Dropout(0.2, rng=0), mlp(784, 64, 10, dropout=0.5)), digits(), adam(1e-3))


@healthy
def weight_decay_of_1e_3() -> Case:
    return of(mlp(784, 32, 10), digits(), sgd(0.1, weight_decay=1e-3))


@healthy
def adamw_with_its_default() -> Case:
    return of(cnn(), images(), partial(optim.AdamW, lr=3e-3))


@healthy
def l1_penalty() -> Case:
    model = mlp(784, 32, 10)

    def loss(output: Any, target: Any) -> Any:
        return F.cross_entropy(output, target) + 1e-4 * sum(np.sum(np.abs(p)) for p in model.parameters())

    return of(model, digits(), adam(2e-3), loss=loss)


@healthy
def three_to_one_with_one_output() -> Case:
    x, y = blobs(2, n=600)
    keep = (y == 0) | (np.arange(600) % 3 == 0)
    return of(mlp(4, 16, 1), column((x[keep], y[keep])), adam(5e-3), loss="bce")


@healthy
def weighted_rare_class() -> Case:
    x, y = blobs(2, n=500)
    keep = (y == 0) | (np.arange(500) % 4 == 0)
    return of(
        mlp(4, 16, 2),
        (x[keep], y[keep]),
        adam(5e-3),
        loss=nn.CrossEntropyLoss(weight=np.array([1.0, 4.0], np.float32)),
    )


@healthy
def several_labels_at_once() -> Case:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    y = (x @ rng.normal(size=(6, 4)) > 0).astype(np.float32)
    return of(mlp(6, 32, 4), (x, y), adam(5e-3), loss="bce")


@healthy
def series_in_its_order() -> Case:
    t = np.arange(420) * 0.1
    series = np.sin(t).astype(np.float32)
    x = np.stack([series[i : i + 400] for i in range(10)], 1)
    return of(
        mlp(10, 16, 1, activation="tanh"),
        tg.data.DataLoader((x, series[10:410, None]), 32),
        adam(5e-3),
        loss="mse",
    )


@healthy
def two_heads() -> Case:
    def loss(output: Any, target: Any) -> Any:
        digit, is_even = output
        return F.cross_entropy(digit, target) + F.binary_cross_entropy_with_logits(
            is_even[:, 0], (target % 2 == 0).astype(np.float32)
        )

    model = Of(
        lambda m, x: (m.a(F.relu(m.body(x))), m.b(F.relu(m.body(x)))),
        body=lin(784, 32),
        a=lin(32, 10, 1),
        b=lin(32, 1, 2),
    )
    return of(model, digits(), adam(2e-3), loss=loss)


@healthy
def a_constant_that_learns() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.scale, self.body = nn.Parameter(np.ones((), np.float32)), mlp(4, 16, 3)

        def forward(self, x: Any) -> Any:
            return self.scale * self.body(x)

    return of(Net(), blobs(), adam(5e-3))


@healthy
def temperature_of_a_tanh() -> Case:
    return of(Of(lambda m, x: 10 * np.tanh(m.body(x)), body=mlp(784, 32, 10)), digits(), adam(1e-3))


@healthy
def swish_in_numpy() -> Case:
    def forward(m: Any, x: Any) -> Any:
        h = m.a(x)
        return m.b(h * sigmoid(h))

    return of(Of(forward, a=lin(784, 32), b=lin(32, 10, 1)), digits(), adam(2e-3))


@healthy
def gates() -> Case:
    def forward(m: Any, x: Any) -> Any:
        return m.c(np.tanh(m.a(x)) * F.sigmoid(m.b(x)))

    return of(Of(forward, a=lin(784, 32), b=lin(784, 32, 1), c=lin(32, 10, 2)), digits(), adam(2e-3))


@healthy
def low_rank_layer() -> Case:
    model = Of(lambda m, x: m.c(F.relu(m.b(m.a(x)))), a=lin(784, 8), b=lin(8, 64, 1), c=lin(64, 10, 2))
    return of(model, digits(), adam(3e-3))


@healthy
def squeeze_and_excite() -> Case:
    def forward(m: Any, x: Any) -> Any:
        h = F.relu(m.conv(x))
        s = F.sigmoid(m.up(F.relu(m.down(np.mean(h, axis=(2, 3))))))
        return m.head(np.mean(h * s[:, :, None, None], axis=(2, 3)))

    model = Of(
        forward, conv=nn.Conv2d(1, 8, 5, stride=2, rng=0), down=lin(8, 4), up=lin(4, 8, 1), head=lin(8, 10, 2)
    )
    return of(model, images(), adam(1e-2))
