"""compile(backend="numba"): the same results as NumPy's, or a warning and NumPy itself."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from benchmarks import handwritten
from benchmarks.agreement import assert_same_training
from benchmarks.ours import LOSSES
from benchmarks.workloads import ADAM_BETAS, ADAM_EPS, WORKLOADS, problem

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.compiler.machine.load import machine_of
from tinygrad_mnist.training.settings import make_loss

pytest.importorskip("numba", reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'")

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-2),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-1),
}
LOSS_FUNCTIONS = {
    "mse": nn.MSELoss(),
    "cross entropy": nn.CrossEntropyLoss(),
    "bce": nn.BCEWithLogitsLoss(),
    "huber": nn.HuberLoss(delta=0.5),
    "l1": nn.L1Loss(),
}
ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "elu", "softplus", "leaky_relu")

QUICK = [
    ("relu", "cross entropy", "sgd", 7),
    ("sigmoid", "mse", "adam", 1),
    ("gelu", "huber", "adamw", 7),
    ("leaky_relu", "mse", "nesterov", 7),
]
#: Each activation, loss and optimizer, and most with one row and with several.
THOROUGH = [
    ("tanh", "bce", "momentum", 7),
    ("elu", "l1", "rmsprop", 1),
    ("softplus", "cross entropy", "adagrad", 1),
    *((activation, "mse", "sgd", batch) for activation in ACTIVATIONS for batch in (1, 7)),
    *(("tanh", loss, "sgd", batch) for loss in LOSS_FUNCTIONS for batch in (1, 7)),
    *(("sigmoid", "mse", optimizer, batch) for optimizer in OPTIMIZERS for batch in (1, 7)),
]


def numba_step(function, **settings):
    """Compile, and fail where NumPy would run instead."""
    step = tg.compile(function, backend="numba", **settings)

    def called(*args):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return step(*args)

    return called


def data(loss: str, batch: int, dtype=np.float64, features: int = 6, classes: int = 4):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(batch, features)) * (rng.random((batch, features)) < 0.6)).astype(dtype)
    y = (
        rng.integers(0, classes, batch)
        if loss == "cross entropy"
        else rng.random((batch, classes)).astype(dtype)
    )
    return x, y


def assert_same_as_eager(activation: str, loss: str, optimizer: str, batch: int):
    loss_fn = LOSS_FUNCTIONS[loss]
    model = nn.MLP([6, 5, 4], activation=activation, rng=1, dtype=np.float64)
    twin = copy.deepcopy(model)
    step_of, twin_optimizer = (OPTIMIZERS[optimizer](m.parameters()) for m in (model, twin))
    x, y = data(loss, batch)
    step = numba_step(lambda x, y: loss_fn(model(x), y), optimizer=step_of)
    for _ in range(20):
        twin_optimizer.zero_grad()
        expected = loss_fn(twin(x), y)
        expected.backward()
        twin_optimizer.step()
        np.testing.assert_allclose(step(x, y).item(), expected.item(), rtol=1e-12, atol=1e-15)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12, atol=1e-14)


@pytest.mark.thorough
@pytest.mark.parametrize("case", QUICK, ids=lambda case: "-".join(map(str, case)))
def test_training_is_the_same(case):
    assert_same_as_eager(*case)


@pytest.mark.thorough
@pytest.mark.parametrize("case", THOROUGH, ids=lambda case: "-".join(map(str, case)))
def test_training_is_the_same_in_all_settings(case):
    assert_same_as_eager(*case)


def build(workload, weights, x, y):
    model = nn.MLP(workload.sizes, activation=workload.activation, output=workload.output, rng=0)
    model.load_state_dict(dict(zip(model.state_dict(), map(np.copy, weights), strict=True)))
    loss_fn = getattr(nn, LOSSES[workload.loss])()
    if workload.optimizer == "adam":
        optimizer = optim.Adam(model.parameters(), lr=workload.lr, betas=ADAM_BETAS, eps=ADAM_EPS)
    else:
        optimizer = optim.SGD(model.parameters(), lr=workload.lr)
    step = numba_step(lambda x, y: loss_fn(model(x), y), optimizer=optimizer)
    return lambda: float(step(x, y)), lambda: [p.data for p in model.parameters()]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(w, marks=() if w.number == 4 else pytest.mark.thorough, id=str(w.number))
        for w in WORKLOADS
    ],
)
def test_the_benchmarks_steps_are_the_same(workload):
    assert_same_training("numba", build, handwritten.build, workload, problem(workload))


# -- what goes in and comes out --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def affine():
    """A function of a matrix that returns a matrix, a row and two numbers."""

    def function(x):
        y = np.tanh(x) * 2 + x
        return y, y.sum(axis=0), y.max(), y.sum()

    return function, numba_step(function)


def test_results_are_fresh_and_have_their_dtypes(affine):
    function, compiled = affine
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    first, second = compiled(x), compiled(x)
    for got, again, expected in zip(first, second, function(x), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        if got.ndim:
            assert not np.shares_memory(got, again)
            assert got.flags.writeable


def test_arguments_in_any_layout(affine):
    function, compiled = affine
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    locked = x.copy()
    locked.flags.writeable = False
    wide = np.zeros((10, 6), np.float32)
    wide[::2, ::2] = x
    for other in (np.asfortranarray(x), locked, wide[::2, ::2], x[::-1].copy()[::-1]):
        for got, expected in zip(compiled(other), function(x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_no_number_stays_none(affine):
    function, compiled = affine
    x = np.ones((5, 3), np.float32)
    x[2, 1] = np.nan
    with np.errstate(invalid="ignore"):
        for got, expected in zip(compiled(x), function(x), strict=True):
            np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 87), (np.float64, 708)])
def test_exp_is_right_to_the_last_digit(dtype, most):
    special = np.array([np.nan, np.inf, -np.inf, 1e5, -1e5, 0], dtype)
    x = np.concatenate([special, np.linspace(-most, most, 10_001, dtype=dtype)])
    with np.errstate(over="ignore"):
        got = numba_step(np.exp)(x)
    np.testing.assert_array_equal(got[:6], np.array([np.nan, np.inf, 0, np.inf, 0, 1], dtype))
    expected = np.exp(x[6:].astype(np.longdouble))
    assert np.max(np.abs(got[6:] - expected) / expected) < np.finfo(dtype).eps


@pytest.mark.thorough
def test_a_class_out_of_range_is_an_error():
    model = nn.MLP([6, 5, 4], rng=0)
    before = [p.data.copy() for p in model.parameters()]
    loss = nn.CrossEntropyLoss()
    step = numba_step(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    x, y = data("cross entropy", 3, np.float32)
    step(x, y)
    after = [p.data.copy() for p in model.parameters()]
    assert not all(map(np.array_equal, before, after))
    y[1] = 4
    with pytest.raises(ValueError, match="out of range; there are 4, 0 to 3"):
        step(x, y)
    assert all(np.array_equal(p.data, old) for p, old in zip(model.parameters(), after, strict=True))


def test_classes_written_as_rows_have_machine_code():
    model, loss = nn.MLP([6, 5, 4], rng=0), make_loss("mse")
    step = numba_step(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    x, y = data("cross entropy", 3, np.float32)
    expected = loss(model(x), y).item()
    assert step(x, y).item() == pytest.approx(expected, rel=1e-6)
    y[1] = -1
    with pytest.raises(ValueError, match="there are 4 classes, 0 to 3"):
        step(x, y)


# -- what has no machine code ----------------------------------------------------------------------------------


def test_a_program_with_numbers_without_machine_code_runs_as_numpy_and_says_so():
    function = tg.compile(lambda x: np.real(np.exp(1j * x)), backend="numba")
    x = np.arange(4.0)
    with pytest.warns(UserWarning, match=r"no machine code for dtype complex128, .* backend='numpy' instead"):
        got = function(x)
    np.testing.assert_allclose(got, np.cos(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(function(x), np.cos(x))  # said once


def solved(x, i):
    """What NumPy does within machine code: several results, an argument, numbers, an array that changes twice."""
    values, vectors = np.linalg.eigh(x + x.T)
    total = np.cumsum(x[i] * values.max(), axis=1)
    total[1:3] *= 2
    return np.concatenate([vectors @ total, np.stack([total, total + x[0, 0] // 0.25])[1]]), values[-1] * 3


def test_numpy_runs_what_has_no_machine_code():
    function, rng = numba_step(solved), np.random.default_rng(0)
    for _ in range(3):
        x, i = rng.random((5, 5)), rng.integers(0, 5, 5)
        for got, expected in zip(function(x, i), solved(x, i), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        np.testing.assert_allclose(function(x.T, i)[0], solved(x.T, i)[0], rtol=1e-12)  # in another layout


def test_numpys_errors_are_raised_and_nothing_has_changed():
    w = nn.Parameter(np.ones((3, 2)))
    step = numba_step(lambda i: np.sum(w[i] ** 2), optimizer=optim.SGD([w], lr=0.1))
    step(np.array([0, 1]))
    before = w.data.copy()
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        step(np.array([0, 3]))
    np.testing.assert_array_equal(w.data, before)
    assert step(np.array([0, 0])) > 0


class Reader(nn.Module):
    """A small GPT: words, places, attention and a wide layer."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(7, 8, rng=0), nn.Embedding(5, 8, rng=1)
        self.norm, self.inputs, self.scores = nn.LayerNorm(8), nn.Linear(8, 24, rng=2), nn.Linear(8, 7, rng=3)
        self.wide, self.narrow, self.gelu = nn.Linear(8, 16, rng=4), nn.Linear(16, 8, rng=5), nn.GELU()

    def forward(self, x):
        y = self.words(x) + self.places.weight
        parts = self.inputs(self.norm(y)).reshape(len(x), 5, 3, 2, 4)
        query, key, value = (parts[:, :, i].swapaxes(1, 2) for i in range(3))
        found = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        y = y + found.swapaxes(1, 2).reshape(len(x), 5, 8)
        return self.scores(y + self.narrow(self.gelu(self.wide(y)))).reshape(-1, 7)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "make",
    [
        Reader,
        pytest.param(lambda: Recurrent(nn.LSTM), marks=pytest.mark.thorough),
        pytest.param(lambda: Recurrent(nn.GRU), marks=pytest.mark.thorough),
        pytest.param(lambda: Recurrent(nn.RNN), marks=pytest.mark.thorough),
    ],
    ids=["GPT", "LSTM", "GRU", "RNN"],
)
def test_sequences_train_as_they_do_without_a_program(make):
    model, rng = make(), np.random.default_rng(0)
    batches = [(rng.integers(0, 7, (3, 5)), rng.integers(0, 7, 15)) for _ in range(4)]
    assert_trains_as_its_twin(model, copy.deepcopy(model), nn.CrossEntropyLoss(), batches, lr=0.3)


def assert_trains_as_its_twin(model, twin, loss, batches, lr):
    """Train one as machine code and the other eagerly: the same losses, and the same weights in the end."""
    optimizer, other = (optim.SGD(m.parameters(), lr=lr) for m in (model, twin))
    step = numba_step(lambda x, y: loss(model(x), y), optimizer=optimizer)
    for x, y in batches:
        other.zero_grad()
        expected = loss(twin(x), y)
        expected.backward()
        other.step()
        assert step(x, y).item() == pytest.approx(expected.item(), rel=1e-5)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-4, atol=1e-6)


class Recurrent(nn.Module):
    """Words, read one after the other."""

    def __init__(self, kind):
        super().__init__()
        self.words, self.scores = nn.Embedding(7, 8, rng=0), nn.Linear(6, 7, rng=1)
        self.layer = kind(8, 6, batch_first=True, rng=2)

    def forward(self, x):
        return self.scores(self.layer(self.words(x))[0]).reshape(-1, 7)


def test_dropout_draws_what_the_eager_code_draws():
    def made():
        return nn.Sequential(
            nn.Linear(6, 5, rng=0), nn.Dropout(0.5, rng=2), nn.Linear(5, 4, rng=1), nn.Dropout(0.2, rng=3)
        )

    batches = [data("mse", 7, np.float32)] * 5
    assert_trains_as_its_twin(made(), made(), nn.MSELoss(), batches, lr=0.1)


class Noisy(nn.Module):
    """All kinds of numbers from one Generator, in their order."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        x = x + self.rng.normal(0, 2, size=x.shape) * self.rng.random(3)
        return x * self.rng.integers(1, 5, size=3)


def test_numbers_are_drawn_in_their_order():
    function, eager = numba_step(Noisy()), Noisy()
    x = np.ones((4, 3))
    for _ in range(3):
        np.testing.assert_allclose(np.asarray(function(x)), np.asarray(eager(x)), rtol=1e-12)


def test_a_generator_among_the_arguments_runs_as_numpy():
    function = tg.compile(lambda x, rng: x + rng.random(3), backend="numba")
    x = np.ones(3)
    with pytest.warns(
        UserWarning, match="no machine code for random numbers from a Generator that is an argument"
    ):
        got = function(x, np.random.default_rng(0))
    np.testing.assert_allclose(got, x + np.random.default_rng(0).random(3))


# -- numbers that are zero -------------------------------------------------------------------------------------


def sparse_step():
    """A step of one row, with a zero in it, and what runs beside it."""
    model = nn.Linear(3, 2, rng=0, dtype=np.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = nn.MSELoss()
    step = numba_step(lambda x, y: loss(model(x), y), optimizer=optimizer)
    return model, optimizer, step, np.array([[1.0, 0.0, 2.0]]), np.zeros((1, 2))


def put_infinity(model):
    weight = model.weight.data.copy()
    weight[0, 1] = np.inf
    return weight


def by_loading(model, _):
    model.load_state_dict({**model.state_dict(), "weight": put_infinity(model)})


def by_assigning(model, _):
    with tg.no_grad():
        model.weight[0, 1] = np.inf


def by_an_optimizer(model, optimizer):
    for p in model.parameters():
        p.grad = np.where(np.arange(p.size).reshape(p.shape) == 1, -np.inf, 0.0)
    optimizer.step()


def by_another_program(model, _):
    def loss(x):
        return (model.weight * x).sum()

    tg.compile(loss, optimizer=optim.SGD(model.parameters(), lr=1))(np.array([[0, -np.inf, 0], [0, 0, 0]]))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("way", "calls"),
    [
        (by_loading, 0),
        *((way, 2) for way in (by_loading, by_assigning, by_an_optimizer, by_another_program)),
        *(
            pytest.param(way, 0, marks=pytest.mark.thorough)
            for way in (by_assigning, by_an_optimizer, by_another_program)
        ),
    ],
)
def test_a_zero_does_not_hide_an_infinity_in_the_weights(way, calls):
    model, optimizer, step, x, y = sparse_step()
    for _ in range(calls):
        assert np.isfinite(step(x, y).item())
    with np.errstate(all="ignore"):
        way(model, optimizer)
        assert np.isinf(model.weight.data[0, 1])
        assert np.isnan(step(x, y).item())


def test_a_zero_does_not_hide_an_infinity_in_the_gradient():
    model, _, step, x, y = sparse_step()
    twin = copy.deepcopy(model)
    y[0, 0] = np.inf
    optimizer = optim.SGD(twin.parameters(), lr=0.1)
    with np.errstate(all="ignore"):
        step(x, y)
        nn.MSELoss()(twin(x), y).backward()
        optimizer.step()
    np.testing.assert_array_equal(model.weight.data, twin.weight.data)


def test_a_zero_does_not_hide_an_infinity_in_an_array_of_the_users():
    weight = np.ones((3, 2))
    step = numba_step(lambda x: x @ weight)
    x = np.array([[1.0, 0.0, 2.0]])
    assert np.isfinite(step(x)).all()
    weight[1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(step(x), x @ weight)


def masked_step():
    """A step of one row through two layers, whose second hidden unit is below zero, and what runs beside it."""
    model = nn.Sequential(
        nn.Linear(3, 4, rng=0, dtype=np.float64), nn.ReLU(), nn.Linear(4, 2, rng=1, dtype=np.float64)
    )
    with tg.no_grad():
        model[0].bias[:] = [1.0, -9.0, 1.0, 1.0]
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = nn.MSELoss()
    return model, numba_step(lambda x, y: loss(model(x), y), optimizer=optimizer)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("weight", "target"),
    [
        (1.0, 1.0),
        (1e308, 200.0),
        pytest.param(1e304, 1e6, marks=pytest.mark.thorough),
        pytest.param(1.0, np.inf, marks=pytest.mark.thorough),
    ],
)
def test_what_is_multiplied_by_zero_afterwards_may_be_infinite(weight, target):
    model, step = masked_step()
    with tg.no_grad():
        model[2].weight[:, 1] = weight
    twin = copy.deepcopy(model)
    optimizer = optim.SGD(twin.parameters(), lr=0.1)
    x, y = np.array([[1.0, -1.0, 0.5]]), np.full((1, 2), -target)
    with np.errstate(all="ignore"):
        step(x, y)
        nn.MSELoss()(twin(x), y).backward()
        optimizer.step()
    assert np.isnan(twin[0].bias.data[1]) == (target * weight > 1e300)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


@pytest.mark.thorough
def test_what_is_multiplied_by_zero_afterwards_is_left_out():
    model, _ = masked_step()
    step = tg.compile(
        lambda x: (model(x) ** 2).sum(), backend="numba", optimizer=optim.SGD(model.parameters(), lr=0.1)
    )
    step(np.ones((1, 3)))
    entry = step._entry()
    pieces = machine_of(entry.source, entry.arrays).pieces
    assert any(line.startswith("row_dot_where(") for piece in pieces for line in piece.lines)


@pytest.mark.thorough
def test_zeros_below_zero_stay_so_where_they_are_returned():
    weight, mask = nn.Parameter(-np.ones((3, 2))), np.array([[1, 0]], np.float32)

    def loss(x):
        y = x @ weight.T
        return (y**2).sum(), (np.exp(y) @ weight) * mask

    x = np.array([[1, 2]], np.float32)
    expected = loss(x)[1].data
    step = numba_step(loss, optimizer=optim.SGD([weight], lr=0.0), has_aux=True)
    got = step(x)[1].data
    assert np.signbit(expected).all()
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.thorough
def test_a_product_that_is_multiplied_by_what_is_computed_with_it():
    """A factor that only exists within a loop can leave nothing out before it."""
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1))

    def loss(x):
        hidden = model[0](x)  # returned, so that its cosine is computed late
        return (model[1](np.sin(hidden)) ** 2).sum(), hidden

    twin, x = copy.deepcopy(model), np.ones((1, 3), np.float32)
    numba_step(loss, optimizer=optim.SGD(model.parameters(), lr=0.1), has_aux=True)(x)
    (twin[1](np.sin(twin[0](x))) ** 2).sum().backward()
    optim.SGD(twin.parameters(), lr=0.1).step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-5)


def test_an_update_by_a_row_with_gaps():
    weight, factors = nn.Parameter(np.ones((5, 3))), np.array([[1.0, 0.0, 2.0]])
    step = numba_step(
        lambda x: ((x[:, ::100] @ weight) * factors).sum(), optimizer=optim.SGD([weight], lr=1.0)
    )
    x = np.arange(500, dtype=np.float32)[None]
    step(x)
    np.testing.assert_array_equal(weight.data, 1 - x[0, ::100, None] * factors)


# -- where arguments lie ---------------------------------------------------------------------------------------


def unaligned(x):
    made = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    made[...] = x
    return made


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: np.broadcast_to(x, (2, *x.shape))[1],
        unaligned,
    ],
    ids=["by columns", "strided", "backwards", "read-only", "unaligned"],
)
def test_arguments_may_lie_anywhere(change):
    def function(x):
        return np.exp(x) @ x.T, x.sum(axis=0)

    compiled = numba_step(function)
    x = np.random.default_rng(0).normal(size=(3, 4))
    compiled(x)
    for got, expected in zip(compiled(change(x)), function(x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_arguments_may_overlap_each_other():
    compiled = numba_step(lambda x, y: (x * 2 + y, x @ y))
    memory = np.arange(8.0)
    x, y = memory[:5], memory[3:]
    for got, expected in zip(compiled(x, y), (x * 2 + y, x @ y), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.thorough
def test_a_layer_that_comes_again_is_compiled_once():
    from tinygrad_mnist.compiler.machine import build, load

    model = nn.MLP([8] * 13, activation="tanh", rng=0, dtype=np.float64)
    twin = copy.deepcopy(model)
    loss = nn.MSELoss()
    x = np.random.default_rng(0).normal(size=(5, 8))
    step = tg.compile(
        lambda x: loss(model(x), x), optimizer=optim.SGD(model.parameters(), lr=0.1), backend="numba"
    )
    step(x)
    optimizer = optim.SGD(twin.parameters(), lr=0.1)
    loss(twin(x), x).backward()
    optimizer.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12, atol=1e-15)
    entry = step._last
    machine = load.machine_of(entry.source, entry.arrays)
    shared = build._Shared(machine.pieces, {**machine.given, **build.memory_of(machine.sizes)})
    assert len(shared.rows) > 40  # of each of the layers between
    assert len(shared.functions) < 10
