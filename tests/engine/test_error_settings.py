"""``np.seterr(all="raise")`` breaks nothing of ours: where the numbers are fine, nothing is raised on the way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers import OPERATIONS, for_each, outputs

import tinygrad_mnist as tg
from tinygrad_mnist import Tensor
from tinygrad_mnist.nn import functional as F  # noqa: N812

OPTIMIZERS = tg.optim.SGD, tg.optim.Adam, tg.optim.AdamW, tg.optim.RMSprop, tg.optim.Adagrad


def value_and_gradients(function, values):
    """The results of a function and the gradients of their sum."""
    inputs = [
        Tensor(v, requires_grad=True) if isinstance(v, np.ndarray) and v.dtype.kind in "fc" else v
        for v in values
    ]
    results = [y for y in outputs(function(*inputs)) if isinstance(y, Tensor)]
    total = sum(np.sum(np.real(y)) for y in results if y.requires_grad)
    if isinstance(total, Tensor):
        total.backward()
    gradients = [x.grad for x in inputs if isinstance(x, Tensor) and x.grad is not None]
    return [np.asarray(t.data if isinstance(t, Tensor) else t) for t in [*results, *gradients]]


def test_operations_raise_nothing_where_their_values_are_fine():
    broken = []
    for operation in OPERATIONS:
        for sample in operation.samples:

            def call(*values, operation=operation, sample=sample):
                return operation(*sample.arguments(*values), **sample.settings)

            values = sample.draw(dtype=np.float32)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                if not all(np.isfinite(x).all() for x in value_and_gradients(call, values)):
                    continue
                try:
                    with np.errstate(all="raise", under="ignore"):  # NumPy's own functions may underflow
                        value_and_gradients(call, values)
                except FloatingPointError as error:
                    broken.append(f"{operation.name} {sample}: {error}")
    assert not broken


TARGETS = np.array([0, 1])


@for_each("size", [1e-30, 1.0, 1000.0])
@for_each("dtype", [np.float32, np.float64])
@for_each("function", [
        F.relu, F.leaky_relu, F.elu, F.gelu, F.sigmoid, F.softplus, F.erf, F.softmax, F.log_softmax, F.logsumexp,
        lambda x: F.linear(x, x), lambda x: F.cross_entropy(x, TARGETS), lambda x: F.mse_loss(x, 0 * x.data),
        lambda x: F.huber_loss(x, 0 * x.data), lambda x: F.l1_loss(x, 0 * x.data),
        lambda x: F.binary_cross_entropy_with_logits(x, (x.data > 0) + np.zeros_like(x.data)),
        tg.nn.MLP([3, 4, 2], activation="tanh", rng=0),
    ])  # fmt: skip
def test_functions_of_networks_let_numbers_vanish(function, dtype, size):
    x = (np.array([[1.0, -0.5, 0.25], [-1.0, 0.7, 0.1]]) * size).astype(dtype)
    with np.errstate(all="raise"):
        assert all(np.isfinite(y).all() for y in value_and_gradients(function, [x]))


@pytest.mark.parametrize(
    ("optimizer", "backend"),
    [
        *((o, None) for o in OPTIMIZERS),
        (tg.optim.Adam, "numpy"),
        pytest.param(tg.optim.Adam, "numba", marks=pytest.mark.thorough),
    ],
)
def test_training_steps_let_numbers_vanish(optimizer, backend):
    x = np.linspace(-300, 300, 60, dtype=np.float32).reshape(20, 3)
    model = tg.nn.MLP([3, 4, 2], rng=0)
    step = tg.training.TrainingStep(
        lambda x, y: F.cross_entropy(model(x), y), optimizer(model.parameters(), lr=0.01),
        compile=backend or False, clip_norm=1.0,
    )  # fmt: skip
    with np.errstate(all="raise"):
        losses = [step(x, np.arange(20) % 2) for _ in range(10)]
    assert np.isfinite(losses).all()


def test_a_fit_and_its_pictures_let_numbers_vanish():
    x = np.linspace(-300, 300, 60, dtype=np.float32).reshape(20, 3)
    data = x, np.arange(20) % 2
    model = tg.nn.MLP([3, 4, 2], rng=0)
    with np.errstate(all="raise"):
        history = tg.training.fit(model, data, epochs=2, validation=data, progress=False, rng=0)
        tg.viz.plot_history(history)
        tg.viz.draw_graph(model(x).sum(), values=True)
        tg.viz.plot_confusion(data[1], tg.training.predict(model, x).argmax(1))
    assert np.isfinite(history[-1]["validation_loss"])


def test_errors_that_were_asked_for_are_raised():
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError, match="divide"):
            np.log(tg.tensor([0.0]))
        with pytest.raises(FloatingPointError, match="underflow"):
            np.exp(tg.tensor([-1000.0]))  # as of an array
