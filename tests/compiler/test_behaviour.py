"""What a user of compile() relies on: the same results as without it, or an error."""

from __future__ import annotations

import copy
import math
import random
import warnings

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import CompileError, GradientError, OptionError

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adam with decay": lambda p: optim.Adam(p, lr=1e-2, weight_decay=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-2),
    "rmsprop with momentum": lambda p: optim.RMSprop(p, lr=1e-2, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-1),
}
LOSSES = {
    "cross entropy": (nn.CrossEntropyLoss(), "classes"),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), "classes"),
    "probabilities": (nn.CrossEntropyLoss(), "probabilities"),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), "classes"),
    "mse": (nn.MSELoss(), "probabilities"),
    "l1": (nn.L1Loss(), "probabilities"),
    "huber": (nn.HuberLoss(delta=0.5), "probabilities"),
    "bce": (nn.BCEWithLogitsLoss(), "probabilities"),
}


def data(batch: int, dtype=np.float64, seed: int = 0, features: int = 6, classes: int = 4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, features)).astype(dtype)
    labels = rng.integers(0, classes, batch)
    return x, {"classes": labels, "probabilities": np.eye(classes, dtype=dtype)[labels]}


def mlp(activation: str = "tanh", dtype=np.float64, **settings):
    return nn.MLP([6, 7, 5, 4], activation=activation, rng=1, dtype=dtype, **settings)


def eager_step(function, optimizer, *args):
    optimizer.zero_grad()
    loss = function(*args)
    loss.backward()
    optimizer.step()
    return loss.item()


def assert_same_trajectory(model, loss, make_optimizer, batches, rtol, atol=0.0):
    twin = copy.deepcopy(model)
    optimizer, twins = make_optimizer(model.parameters()), make_optimizer(twin.parameters())
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    for x, y in batches:
        got = step(x, y).item()
        expected = eager_step(lambda x, y: loss(twin(x), y), twins, x, y)
        assert got == pytest.approx(expected, rel=rtol, abs=atol)
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=rtol, atol=atol, err_msg=name)
    for state, other in zip(
        optimizer.state_dict()["state"].values(), twins.state_dict()["state"].values(), strict=True
    ):
        assert state["step"] == other["step"]
        for key in state:
            np.testing.assert_allclose(state[key], other[key], rtol=rtol, atol=atol, err_msg=key)


# -- whole trajectories ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_float64(name, batch):
    batches = [(x, y["classes"]) for x, y in (data(batch, seed=i) for i in range(20))]
    assert_same_trajectory(mlp(), nn.CrossEntropyLoss(), OPTIMIZERS[name], batches, 1e-12, 1e-13)


@for_each("batch", [1, 5])
@for_each("name", LOSSES)
def test_every_loss_float64(name, batch):
    loss, kind = LOSSES[name]
    batches = [(x, y[kind]) for x, y in (data(batch, seed=i) for i in range(10))]
    assert_same_trajectory(mlp(), loss, OPTIMIZERS["sgd"], batches, 1e-12, 1e-13)


@for_each("activation", [*nn.activations, "gelu"])
def test_every_activation(activation):
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 1e-5)):
        batches = [(x, y["classes"]) for x, y in (data(5, dtype, seed=i) for i in range(10))]
        model = mlp(activation, dtype)
        assert_same_trajectory(model, nn.CrossEntropyLoss(), OPTIMIZERS["sgd"], batches, rtol, rtol / 10)


def test_large_layers_piece_by_piece():
    """Layers long enough for loops over pieces, with a batch of one and with many rows."""
    for batch in (1, 300):
        x, y = data(batch, np.float64, features=300)
        model = nn.MLP([300, 400, 4], activation="sigmoid", rng=0, dtype=np.float64)
        for name in ("sgd", "adam"):
            assert_same_trajectory(
                model, nn.MSELoss(), OPTIMIZERS[name], [(x, y["probabilities"])] * 4, 1e-11, 1e-13
            )


def test_clip_norm_and_aux():
    model = mlp()
    twin = copy.deepcopy(model)
    optimizer, twins = (optim.SGD(m.parameters(), lr=0.5) for m in (model, twin))
    loss = nn.CrossEntropyLoss()

    def with_output(x, y):
        output = model(x)
        return loss(output, y), {"output": output, "name": "batch"}

    step = tg.compile(with_output, optimizer=optimizer, has_aux=True, clip_norm=0.1)
    for seed in range(5):
        x, y = data(5, seed=seed)
        value, aux = step(x, y["classes"])
        twins.zero_grad()
        output = twin(x)
        expected = loss(output, y["classes"])
        expected.backward()
        optim.clip_grad_norm_(twin.parameters(), 0.1)
        twins.step()
        assert value.item() == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(aux["output"].data, output.data, rtol=1e-12)
        assert aux["name"] == "batch"


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_parameter_that_is_returned_is_that_after_the_update_and_a_copy_that_before(name):
    found = []
    for compiled in (False, True):
        model = mlp()
        optimizer, loss_of = OPTIMIZERS[name](model.parameters()), nn.CrossEntropyLoss()
        first = next(model.parameters())

        def loss(x, y, model=model, first=first, loss_of=loss_of):
            views = [
                first,
                first.T,
                first.data[1:],
                first.reshape(-1)[::2],
                np.broadcast_to(first, (2, *first.shape)),
            ]
            return loss_of(model(x), y), [*views, np.copy(first), first.detach(), first.T.detach(), first * 1]

        def step(x, y, loss=loss, optimizer=optimizer):
            optimizer.zero_grad()
            value, aux = loss(x, y)
            value.backward()
            optimizer.step()
            return value, aux

        if compiled:
            step = tg.compile(loss, optimizer=optimizer, has_aux=True)
        for seed in range(3):
            x, y = data(5, seed=seed)
            found.append([np.array(getattr(part, "data", part)) for part in step(x, y["classes"])[1]])
    for expected, got in zip(found[:3], found[3:], strict=True):
        for a, b in zip(expected, got, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-12)


# -- functions and modules ---------------------------------------------------------------------------


def test_a_function_of_arrays_returns_arrays():
    f = tg.compile(lambda a, b: {"sum": a + b, "parts": (np.exp(a), [2, b])})
    got = f(np.arange(3.0), 1 + np.arange(3.0))
    assert isinstance(got["sum"], np.ndarray)
    np.testing.assert_allclose(got["sum"], [1, 3, 5])
    assert got["parts"][1][0] == 2


def test_results_belong_to_the_caller():
    f = tg.compile(lambda x: (np.exp(x) + 1, np.transpose(np.exp(x) * 2), x))
    x = np.ones((2, 3))
    first = f(x)
    kept = [part.copy() for part in first]
    f(x * 5)
    for part, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(part, before)
        part += 1  # writeable
    np.testing.assert_array_equal(x, np.ones((2, 3)))


def test_gradients_of_functions_compile():
    def f(p, x):
        return np.sum(np.tanh(x @ p["w"]) ** 2) + p["b"] ** 2

    p = {"w": np.linspace(-1, 1, 6).reshape(3, 2), "b": 2.0 * np.ones(())}
    compiled = tg.compile(tg.value_and_grad(f))
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(4, 3))
        value, slopes = compiled(p, x)
        expected, others = tg.value_and_grad(f)(p, x)
        assert float(value) == pytest.approx(float(expected))
        np.testing.assert_allclose(slopes["w"], others["w"])
        np.testing.assert_allclose(slopes["b"], others["b"])


def test_second_derivatives_compile():
    f = lambda x: np.sum(np.exp(np.sin(x)) * x)  # noqa: E731
    x = np.linspace(-1, 1, 4)
    np.testing.assert_allclose(tg.compile(tg.hessian(f))(x), tg.hessian(f)(x))
    np.testing.assert_allclose(tg.compile(lambda x, v: tg.hvp(f, x, v))(x, x), tg.hvp(f, x, x))


def test_a_module_for_use():
    model = mlp().eval()
    predict = tg.compile(model)
    x, _ = data(5)
    np.testing.assert_allclose(predict(x).data, model(x).data, rtol=1e-13)
    assert not predict(x).requires_grad
    with tg.no_grad():
        model[0].weight *= 2.0
    np.testing.assert_allclose(predict(x).data, model(x).data, rtol=1e-13)


def test_parameters_that_are_plain_tensors():
    w = tg.tensor(np.eye(3), requires_grad=True)
    f = tg.compile(lambda x: np.exp(w * 2) @ x)
    x = np.arange(3.0)
    np.testing.assert_allclose(f(x).data, np.exp(w.data * 2) @ x)
    with tg.no_grad():
        w += 1
    np.testing.assert_allclose(f(x).data, np.exp(w.data * 2) @ x)


def test_a_parameter_passed_as_argument():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    step = tg.compile(lambda w, x: np.sum(w * x), optimizer=optim.SGD([w], lr=0.1))
    step(w, np.ones(2))
    np.testing.assert_allclose(w.data, [0.9, 1.9])


def test_tied_and_unused_parameters():
    class Tied(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.linspace(0, 1, 6).reshape(2, 3), dtype=np.float64)
            self.unused = nn.Parameter(np.ones(3), dtype=np.float64)

        def forward(self, x):
            return np.tanh(x @ self.weight) @ self.weight.T

    x = np.random.default_rng(0).normal(size=(4, 2))
    model, twin = Tied(), Tied()
    optimizer, twins = optim.SGD(model.parameters(), lr=0.1), optim.SGD(twin.parameters(), lr=0.1)
    step = tg.compile(lambda x: np.mean(model(x) ** 2), optimizer=optimizer)
    for _ in range(5):
        assert step(x).item() == pytest.approx(
            eager_step(lambda x: np.mean(twin(x) ** 2), twins, x), rel=1e-12
        )
    np.testing.assert_array_equal(model.unused.data, np.ones(3))
    np.testing.assert_allclose(model.weight.data, twin.weight.data, rtol=1e-12)


def test_groups_with_settings_of_their_own():
    def groups(m):
        return [
            {"params": [m[0].weight, m[0].bias], "lr": 0.2},
            {"params": [*m[2].parameters()], "momentum": 0.9},
        ]

    model = nn.MLP([6, 5, 4], rng=0, dtype=np.float64)
    twin = copy.deepcopy(model)
    optimizer, twins = (optim.SGD(groups(m), lr=0.1, momentum=0.0) for m in (model, twin))
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    for seed in range(4):
        x, y = data(5, seed=seed)
        step(x, y["classes"])
        eager_step(lambda x, y: loss(twin(x), y), twins, x, y["classes"])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


# -- what changes from call to call ------------------------------------------------------------------


def test_learning_rates_need_no_new_program():
    model = mlp()
    twin = copy.deepcopy(model)
    optimizer, twins = (optim.Adam(m.parameters(), lr=0.01) for m in (model, twin))
    schedules = [optim.CosineAnnealingLR(o, T_max=10) for o in (optimizer, twins)]
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    for seed in range(8):
        x, y = data(5, seed=seed)
        step(x, y["classes"])
        eager_step(lambda x, y: loss(twin(x), y), twins, x, y["classes"])
        for schedule in schedules:
            schedule.step()
    assert len(step._entries) == 1
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_shapes_and_dtypes_get_programs_of_their_own():
    f = tg.compile(lambda x: x * 2)
    for x in (np.ones(3), np.ones((2, 3)), np.ones(3, np.float32), np.ones(3)):
        assert f(x).dtype == x.dtype
        assert f(x).shape == x.shape
    assert len(f._entries) == 3


def test_batches_of_other_sizes_share_the_parameters():
    batches = [(x, y["classes"]) for x, y in (data(n, seed=n) for n in (5, 5, 3, 5, 1, 3, 5))]
    assert_same_trajectory(mlp(), nn.CrossEntropyLoss(), OPTIMIZERS["adam"], batches, 1e-12, 1e-13)


def test_eager_steps_in_between():
    model = mlp()
    twin = copy.deepcopy(model)
    optimizer, twins = (optim.Adam(m.parameters(), lr=0.01) for m in (model, twin))
    loss = nn.CrossEntropyLoss()
    function = lambda x, y: loss(model(x), y)  # noqa: E731
    step = tg.compile(function, optimizer=optimizer)
    for seed in range(9):
        x, y = data(5, seed=seed)
        if seed % 3:
            step(x, y["classes"])
        else:
            eager_step(function, optimizer, x, y["classes"])
        eager_step(lambda x, y: loss(twin(x), y), twins, x, y["classes"])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_a_saved_state_is_taken_over():
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    x, y = data(5)
    step(x, y["classes"])
    saved, state = model.state_dict(), optimizer.state_dict()
    after = step(x, y["classes"]), step(x, y["classes"])
    model.load_state_dict(saved)
    optimizer.load_state_dict(state)
    again = step(x, y["classes"]), step(x, y["classes"])
    assert [v.item() for v in after] == [v.item() for v in again]


def test_large_parameters_are_updated_by_eager_optimizers_too():
    """The compiled step stores weights transposed: a new eager optimizer has to write through all the same."""
    model = nn.MLP([300, 200, 4], rng=0, dtype=np.float64)
    twin = copy.deepcopy(model)
    loss = nn.CrossEntropyLoss()
    x, y = data(5, features=300)
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    step(x, y["classes"])
    eager_step(lambda x, y: loss(twin(x), y), optim.SGD(twin.parameters(), lr=0.1), x, y["classes"])
    fresh, other = (optim.Adam(m.parameters(), lr=0.01) for m in (model, twin))
    for _ in range(3):
        eager_step(lambda x, y: loss(model(x), y), fresh, x, y["classes"])
        eager_step(lambda x, y: loss(twin(x), y), other, x, y["classes"])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10)


def test_train_and_eval_each_have_a_program():
    model = nn.Sequential(nn.Linear(6, 4, rng=0), nn.Dropout(0.5, rng=3))
    f = tg.compile(model)
    x, _ = data(5, np.float32)
    dropped = f(x).data
    assert (dropped == 0).any()
    model.eval()
    np.testing.assert_allclose(f(x).data, model(x).data, rtol=1e-6)
    model.train()
    assert (f(x).data == 0).any()
    assert len(f._entries) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_numbers_are_drawn_in_their_order(dtype):
    class Noisy(nn.Module):
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            later = self.rng.random()
            x = x * self.rng.random() + self.rng.normal(size=3).astype(dtype)
            return (x - 2 * later) * self.rng.integers(3) + self.rng.normal() ** 2 / 3

    compiled, eager = tg.compile(Noisy()), Noisy()
    x = np.ones((4, 3), dtype)
    for _ in range(3):
        got, expected = np.asarray(compiled(x)), np.asarray(eager(x))
        np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
        assert got.dtype == expected.dtype


def test_dropout_draws_what_the_eager_code_draws():
    batches = [(x, y["classes"]) for x, y in (data(5, seed=i) for i in range(6))]
    assert_same_trajectory(mlp(dropout=0.4), nn.CrossEntropyLoss(), OPTIMIZERS["sgd"], batches, 1e-12, 1e-13)


def test_noise_from_generators_of_all_kinds():
    class Noisy(nn.Module):
        def __init__(self):
            self.rng = np.random.default_rng(5)

        def forward(self, x):
            return x + self.rng.normal(0.0, 2.0, size=x.shape)

    x = np.zeros((2, 3))
    noisy, twin = Noisy(), Noisy()
    f = tg.compile(noisy)
    for _ in range(3):
        np.testing.assert_array_equal(f(x).data if isinstance(f, tg.Tensor) else np.asarray(f(x)), twin(x))
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    g = tg.compile(lambda x: x * rng.uniform(size=3))
    h = tg.compile(lambda x, rng: x * rng.uniform(size=3))
    for _ in range(3):
        np.testing.assert_array_equal(g(np.ones(3)), other.uniform(size=3))
    np.testing.assert_array_equal(h(np.ones(3), rng), other.uniform(size=3))


def test_running_statistics_advance():
    class Norm(nn.Module):
        def __init__(self):
            self.register_buffer("mean", np.zeros(6))
            self.register_buffer("count", np.array(0))

        def forward(self, x):
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * np.mean(x, axis=0)
                self.count += 1
            return x - self.mean

    norm, twin = Norm(), Norm()
    f = tg.compile(norm)
    for seed in range(4):
        x, _ = data(5, seed=seed)
        np.testing.assert_allclose(np.asarray(f(x)), np.asarray(twin(x)), rtol=1e-12)
    np.testing.assert_allclose(norm.mean, twin.mean, rtol=1e-12)
    assert norm.count == twin.count == 4
    norm.eval(), twin.eval()
    np.testing.assert_allclose(np.asarray(f(x)), np.asarray(twin(x)), rtol=1e-12)
    assert norm.count == 4


def test_a_replaced_or_frozen_parameter_is_noticed():
    model = mlp()
    predict = tg.compile(model)
    x, y = data(5)
    predict(x)
    model[0].weight = nn.Parameter(np.ones((7, 6)), dtype=np.float64)
    np.testing.assert_allclose(predict(x).data, model(x).data, rtol=1e-12)

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    step(x, y["classes"])
    model[2].weight.requires_grad = False
    frozen = model[2].weight.data.copy()
    before = model[0].weight.data.copy()
    step(x, y["classes"])
    np.testing.assert_array_equal(model[2].weight.data, frozen)
    assert (model[0].weight.data != before).any()
    model.astype(np.float32)
    step(x.astype(np.float32), y["classes"])
    np.testing.assert_allclose(predict(x).data, model(x).data, rtol=1e-6)


def test_a_replaced_variable_or_setting_is_noticed():
    scale = 2.0
    f = tg.compile(lambda x: x * scale)
    assert f(np.ones(1)) == 2
    scale = 3.0
    assert f(np.ones(1)) == 3
    w = tg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0, momentum=0.0)
    step = tg.compile(lambda: np.sum(w), optimizer=optimizer)
    step()
    assert w.data == 0
    optimizer.param_groups[0]["weight_decay"] = 0.5
    step()
    assert w.data == -1
    step()
    assert w.data == -1.5


def test_captured_arrays_may_change_in_place():
    offset = np.zeros(2)
    f = tg.compile(lambda x: x + offset)
    f(np.ones(2))
    offset += 5
    np.testing.assert_array_equal(f(np.ones(2)), [6, 6])


def test_python_arguments_are_part_of_the_program():
    f = tg.compile(lambda x, power, *, axis=None: np.sum(x**power, axis=axis))
    x = np.arange(4.0).reshape(2, 2)
    assert f(x, 2) == 14
    assert f(x, 3) == 36
    np.testing.assert_array_equal(f(x, 2, axis=0), [4, 10])


def test_a_program_that_what_it_uses_refers_to():
    class Trainer:
        def __init__(self):
            self.w = tg.tensor([1.0], requires_grad=True)
            self.step = tg.compile(self.loss, optimizer=optim.SGD([self.w], lr=0.5))

        def loss(self, x):
            return np.sum(self.w * x)

    trainer = Trainer()
    for expected in (1.0, 0.5, 0.0):
        assert trainer.step(np.ones(1)).item() == expected
    model = mlp()
    model.predict = tg.compile(model)
    x, _ = data(5)
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x).data, model(x).data, rtol=1e-12)


def test_programs_that_share_parameters():
    model = mlp()
    twin = copy.deepcopy(model)
    loss = nn.CrossEntropyLoss()
    predict = tg.compile(model)
    x, y = data(5)
    predict(x)
    own, others = (
        [optim.SGD(m[0].parameters(), lr=0.1), optim.SGD([*m[2].parameters(), *m[4].parameters()], lr=0.1)]
        for m in (model, twin)
    )
    steps = [tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer) for optimizer in own]
    for k in range(6):
        steps[k % 2](x, y["classes"])
        twin.zero_grad()
        eager_step(lambda x, y: loss(twin(x), y), others[k % 2], x, y["classes"])
        np.testing.assert_allclose(predict(x).data, twin(x).data, rtol=1e-12)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_a_program_within_another():
    inner = tg.compile(lambda x: np.exp(x) * 2)
    outer = tg.compile(lambda x: inner(x) + inner(x + 1))
    for x in (np.zeros(2), np.ones(2)):
        np.testing.assert_allclose(outer(x), 2 * np.exp(x) + 2 * np.exp(x + 1))
        inner(x)


def test_numbers_that_are_not_finite():
    f = tg.compile(
        lambda x: (x * np.nan, x + float("inf"), np.where(x > 0, x, -np.inf), x * complex(1, np.inf))
    )
    with np.errstate(invalid="ignore"):
        for got, expected in zip(f(np.ones(2)), f.function(np.ones(2)), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_too_many_programs_are_warned_of():
    f = tg.compile(lambda x, k: x * k)
    for k in range(16):
        assert f(np.ones(1), k) == k
    with pytest.warns(UserWarning, match="pass numbers that change as arrays"):
        f(np.ones(1), 16)
    assert f(np.ones(1), 17) == 17
    assert len(f._entries) == 16


def test_gradient_penalty():
    w = tg.tensor(np.linspace(0.1, 1, 3), requires_grad=True)
    twin = tg.tensor(np.linspace(0.1, 1, 3), requires_grad=True)

    def penalty(w, x):
        slope = tg.grad(lambda x: np.sum(np.tanh(x * w) ** 2))(tg.tensor(x, requires_grad=True))
        return np.sum(slope**2)

    step = tg.compile(lambda x: penalty(w, x), optimizer=optim.SGD([w], lr=0.01))
    other = optim.SGD([twin], lr=0.01)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=3)
        assert step(x).item() == pytest.approx(eager_step(lambda x: penalty(twin, x), other, x), rel=1e-12)


# -- errors ------------------------------------------------------------------------------------------


def test_a_branch_on_a_value_names_the_line():
    def f(x):
        if x.sum() > 0:  # the line that is named
            return x
        return -x

    with pytest.raises(
        CompileError, match=r"test_behaviour.py:\d+, in f: if x.sum\(\) > 0: # the line|the line that"
    ):
        tg.compile(f)(np.ones(3))


@for_each(
    "f",
    [
        lambda x: float(np.sum(x)),
        lambda x: np.sum(x).item(),
        lambda x: math.sin(x[0]),
        lambda x: x[x > 0],
        lambda x: np.unique(x),
        lambda x: [1, 2, 3][np.argmax(x)],
        lambda x: x * random.random(),
        lambda x: x * np.random.default_rng().random(),
        lambda x: object(),
    ],
)
def test_what_no_program_can_do(f):
    with pytest.raises(CompileError):
        tg.compile(f)(np.ones(3))


def test_counters_outside_of_arrays_are_refused():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * 1.5

    model = Counting()
    with pytest.raises(CompileError, match="calls"):
        tg.compile(model)(np.ones(3))
    assert model.calls == 0


def test_bad_training_steps():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    sgd = optim.SGD([w], lr=0.1)
    x = np.ones(2)
    for function, error in (
        (lambda x: np.sum(x), CompileError),
        (lambda x: w * x, GradientError),
        (lambda x: 3.0, CompileError),
        (lambda x: np.sum(w * x).backward(), CompileError),
    ):
        with pytest.raises(error):
            tg.compile(function, optimizer=sgd)(x)
    assert (w.data == [1, 2]).all()
    assert w.grad is None
    other = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(GradientError, match="no parameter has a gradient"):
        tg.compile(lambda x: np.sum(w * x), optimizer=optim.SGD([other], lr=0.1))(x)
    with pytest.raises(CompileError, match="not an Optimizer"):
        tg.compile(lambda x: x, optimizer=3)
    with pytest.raises(CompileError, match="not a function"):
        tg.compile(3)
    with pytest.raises(OptionError, match="back end"):
        tg.compile(lambda x: x, backend="fortran")
    with pytest.raises(CompileError, match="before its first call"):
        _ = tg.compile(lambda x: x).source


def test_an_optimizer_that_is_no_formula():
    class Strange(optim.Optimizer):
        @staticmethod
        def update(p, g, state, *, lr):
            if p.max() > 0:
                return p - lr * g, state
            return p, state

    w = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(CompileError, match="straight line"):
        tg.compile(lambda: np.sum(w), optimizer=Strange([w], lr=0.1))()


def test_classes_out_of_range_are_refused_at_every_call():
    model = mlp()
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    x, y = data(5)
    step(x, y["classes"])
    before = model.state_dict()
    for wrong in (4, -1):
        y["classes"][2] = wrong
        with pytest.raises(ValueError, match="out of range"):
            step(x, y["classes"])
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_failed_trace_leaves_everything_as_it_was():
    model = mlp(dropout=0.5)
    before = copy.deepcopy(model)

    def f(x):
        return model(x) if model(x).sum() > 0 else None

    with pytest.raises(CompileError):
        tg.compile(f)(data(5)[0])
    assert type(model[0].weight._array) is np.ndarray
    np.testing.assert_array_equal(model(data(5)[0]).data, before(data(5)[0]).data)


def test_overflow_in_the_sigmoid_is_silent():
    f = tg.compile(nn.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(np.asarray(f(np.array([-1e4, 0.0, 1e4]))), [0, 0.5, 1])


@pytest.mark.parametrize("name", ["numpy.ufunc.extobj", "a name that NumPy does not use"])
def test_all_other_error_settings_are_the_callers(monkeypatch, name):
    monkeypatch.setattr("tinygrad_mnist.quiet._NAME", name)
    sigmoid = nn.Sigmoid()
    f = tg.compile(lambda x, y: sigmoid(x) / y)
    x, zero = np.array([-1e4, 1.0]), np.zeros(2)  # exp(1e4) overflows
    f(x, x)
    assert "errstate" in f.source
    with np.errstate(all="ignore"):
        before = np.geterr()
        assert f(x, zero).data[1] == np.inf
        assert np.geterr() == before
    with np.errstate(divide="raise", over="raise"):
        np.testing.assert_allclose(f(x, x).data, [0, sigmoid(x).data[1]])
        with pytest.raises(FloatingPointError, match="divide by zero"):
            f(x, zero)
        assert np.geterr()["over"] == "raise"
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        f(-x, zero)


# -- the source --------------------------------------------------------------------------------------


def test_the_source_runs_on_its_own():
    model = mlp("sigmoid")
    twin = copy.deepcopy(model)
    loss = nn.CrossEntropyLoss()
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    x, y = data(5)
    step(x, y["classes"])
    eager_step(lambda x, y: loss(twin(x), y), optim.SGD(twin.parameters(), lr=0.1), x, y["classes"])
    namespace: dict = {}
    exec(step.source, namespace)
    arrays = {name: array.copy() for name, array in step.arrays.items()}
    alone = namespace["prepare"](**arrays)
    for _ in range(3):
        assert alone(x, y["classes"], 0.1) == step(x, y["classes"]).item()
    for name, array in step.arrays.items():
        np.testing.assert_array_equal(array, arrays[name])
    assert "tinygrad_mnist.primitive" not in step.source


def test_the_source_is_deterministic_and_says_where_it_comes_from():
    def made():
        model, loss = mlp("sigmoid"), nn.MSELoss()
        step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optim.Adam(model.parameters()))
        x, y = data(5)
        step(x, y["probabilities"])
        return step

    step = made()
    text = step.source
    assert text == made().source
    for part in ("# 0.Linear", "# back through 2.Linear", "# update", "test_behaviour.py:", "weight_0"):
        assert part in text
    assert step.stats.operations > 30
    assert step.stats.bytes < 20_000


def test_operations_that_are_called_whole():
    f = tg.compile(lambda a, b: np.linalg.solve(a, b) + np.linalg.eigvalsh(a @ a.T))
    a, b = np.eye(3) + np.arange(9.0).reshape(3, 3) / 10, np.arange(3.0)
    np.testing.assert_allclose(f(a, b), np.linalg.solve(a, b) + np.linalg.eigvalsh(a @ a.T))
    namespace: dict = {}
    exec(f.source, namespace)
    np.testing.assert_allclose(namespace["prepare"](**f.arrays)(a, b), f(a, b))
