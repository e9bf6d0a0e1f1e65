"""Optimizers, schedules and clipping against their formulas, written again in plain NumPy."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import GradientError, OptionError, StateDictError, TinygradError
from tinygrad_mnist.optim import optimizer as optimizer_module

STEPS = 20


def sgd(p, g, s, t, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * p
    if momentum:
        s["v"] = momentum * s.get("v", 0) + g
        g = g + momentum * s["v"] if nesterov else s["v"]
    return p - lr * g


def adam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    mean, square = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return p - lr * mean / (np.sqrt(square) + eps)


def adamw(p, g, s, t, lr=1e-3, weight_decay=0.01, **settings):
    return adam(p * (1 - lr * weight_decay), g, s, t, lr, **settings)


def rmsprop(p, g, s, t, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
    g = g + weight_decay * p
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    step = g / (np.sqrt(s["v"]) + eps)
    if momentum:
        step = s["b"] = momentum * s.get("b", 0) + step
    return p - lr * step


def adagrad(p, g, s, t, lr=0.01, eps=1e-10, weight_decay=0.0):
    g = g + weight_decay * p
    s["v"] = s.get("v", 0) + g**2
    return p - lr * g / (np.sqrt(s["v"]) + eps)


RULES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.0}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.0, 0.9)}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 0.2}),
    (optim.RMSprop, rmsprop, {}),
    (optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.Adagrad, adagrad, {}),
    (optim.Adagrad, adagrad, {"lr": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
]
rules = for_each("Optimizer, formula, settings", RULES, ids=lambda v: getattr(v, "__name__", None) or str(v))
kinds = pytest.mark.parametrize(
    "Optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad]
)


def gradients(shape, steps=STEPS, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, *shape))


def parameter(values, dtype=np.float64):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def run(optimizer, params, grads):
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = g
        optimizer.step()


@rules
@for_each("dtype, rtol", [(np.float64, 1e-12), (np.float32, 1e-5)])
@for_each("shape", [(), (3,), (2, 3), (0,)])
def test_formula(Optimizer, formula, settings, dtype, rtol, shape):
    start = np.random.default_rng(1).normal(size=shape)
    p = parameter(start, dtype)
    memory = p.data
    grads = gradients(shape)
    run(Optimizer([p], **settings), [p], grads[:, None])
    expected, state = start, {}
    full = {"lr": inspect.signature(Optimizer).parameters["lr"].default, **settings}
    for t, g in enumerate(grads, 1):
        expected = formula(expected, g, state, t, **full)
    np.testing.assert_allclose(p.data, expected, rtol=rtol, atol=rtol)
    assert p.dtype == dtype
    assert np.shares_memory(p.data, memory) or not p.size
    np.testing.assert_array_equal(p.grad.data, grads[-1].astype(dtype))  # the gradient is left as it was


@rules
@for_each("dtype", [np.complex128, np.complex64])
@for_each("shape", [(), (2, 3)])
def test_complex_parameters_are_two_real_ones(Optimizer, formula, settings, dtype, shape):
    rng = np.random.default_rng(1)
    parts, grads = rng.normal(size=(2, *shape)), rng.normal(size=(STEPS, 2, *shape))
    z = parameter(parts[0] + 1j * parts[1], dtype)
    optimizer = Optimizer([z], **settings)
    run(optimizer, [z], [[g[0] + 1j * g[1]] for g in grads])
    real = np.finfo(dtype).dtype
    p, q = (parameter(part, real) for part in parts)
    run(Optimizer([p, q], **settings), [p, q], grads)
    np.testing.assert_allclose(z.data, p.data + 1j * q.data, rtol=1e-4 if real == np.float32 else 1e-12)
    assert z.dtype == dtype
    assert all(v.dtype == dtype for v in optimizer.state[z].values() if isinstance(v, np.ndarray))


def test_complex_parameters_as_pytorch_updates_them():
    expected = {  # PyTorch 2.13, five steps
        optim.Adam: 1.49203634073566 + 0.0014810400359j,
        optim.RMSprop: 2.0 - 2.04038519590369j,
        optim.Adagrad: 1.30228513794565 + 0.18238327916766j,
    }
    for Optimizer, value in expected.items():
        z = parameter([1 + 0.5j], complex)
        optimizer = Optimizer([z], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            np.sum(np.abs(z - (2 - 3j)) ** 2).backward()
            optimizer.step()
        np.testing.assert_allclose(z.data, [value], rtol=1e-6)


@rules
def test_state_keeps_the_dtype(Optimizer, formula, settings):
    p = parameter(np.ones(3), np.float32)
    optimizer = Optimizer([p], **settings)
    run(optimizer, [p], gradients((3,), 2)[:, None])
    for value in optimizer.state[p].values():
        assert not isinstance(value, np.ndarray) or value.dtype == np.float32


@rules
@for_each("order", ["C", "F"])
def test_blocks_change_nothing(Optimizer, formula, settings, order, monkeypatch):
    start = np.random.default_rng(1).normal(size=(7, 9))
    grads = [np.asarray(g, order=order) for g in gradients((7, 9), 5)]
    found = []
    for block in (10**9, 10, 63, 62, 1):
        monkeypatch.setattr(optimizer_module, "BLOCK", block)
        p = parameter(start)
        run(Optimizer([p], **settings), [p], [[g] for g in grads])
        found.append(p.data.copy())
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-13)


@kinds
def test_a_parameter_of_several_real_blocks(Optimizer):
    size = 2 * optimizer_module.BLOCK + 5
    start, grads = np.linspace(-1, 1, size), gradients((size,), 3)
    whole = parameter(start)
    run(Optimizer([whole], lr=0.1), [whole], grads[:, None])
    for some in (
        slice(0, 7),
        slice(optimizer_module.BLOCK - 3, optimizer_module.BLOCK + 3),
        slice(size - 4, size),
    ):
        part = parameter(start[some])
        run(Optimizer([part], lr=0.1), [part], grads[:, None, some])
        np.testing.assert_allclose(whole.data[some], part.data, rtol=1e-13)


@kinds
def test_a_network_learns(Optimizer):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = nn.MLP([2, 16, 2], activation="tanh", rng=0)
    optimizer = Optimizer(model.parameters(), lr=0.5 if Optimizer is optim.SGD else 0.02)
    losses = []
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# -- which parameters ----------------------------------------------------------------------------


@kinds
def test_parameters_without_gradients_are_passed_over(Optimizer):
    p, q = parameter([1.0]), parameter([1.0])
    optimizer = Optimizer([p, q], lr=0.1)
    p.grad = [1.0]
    optimizer.step()
    assert p.data[0] != 1.0
    assert q.data[0] == 1.0
    assert q not in optimizer.state
    optimizer.zero_grad()
    assert p.grad is None


@kinds
def test_no_gradient_at_all_is_an_error(Optimizer):
    p = parameter([1.0])
    with pytest.raises(
        GradientError, match=rf"{Optimizer.__name__}\.step: no parameter has a gradient.*backward"
    ):
        Optimizer([p]).step()
    assert p.data[0] == 1.0


def test_a_gradient_that_is_itself_tracked():
    p = parameter([2.0])
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    (p**2).sum().backward(create_graph=True)
    optimizer.step()
    np.testing.assert_allclose(p.data, [1.6])
    assert type(optimizer.state[p]["velocity"]) is np.ndarray


def test_parameter_groups():
    p, q, r = (parameter([1.0]) for _ in range(3))
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": [r], "weight_decay": 1.0})
    run(optimizer, [p, q, r], np.ones((1, 3, 1)))
    np.testing.assert_allclose([p.item(), q.item(), r.item()], [0.9, 0.0, 0.8])
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.1]


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (list, "no parameters"),
        (lambda: [np.ones(2)], "got a ndarray among the parameters"),
        (lambda: [parameter([1.0]) * 2], "computed Tensor"),
        (lambda: [parameter([1.0])] * 2, "twice"),
        (lambda: nn.Linear(2, 2).named_parameters(), "got a tuple among the parameters"),
        (
            lambda: [{"params": [parameter([1.0])], "learning_rate": 1}],
            r"unknown settings.*learning_rate.*valid: lr",
        ),
        (lambda: [{"params": [parameter([1.0])], "lr": -1}], "lr = -1"),
    ],
)
def test_parameters_that_cannot_be_optimized(params, problem):
    with pytest.raises(TinygradError, match=problem):
        optim.SGD(params(), lr=0.1)


def test_a_group_that_is_refused_is_not_added():
    p = parameter([1.0])
    optimizer = optim.SGD([p])
    for bad in (
        {"params": [p]},
        {"params": [parameter([2.0])], "lr": -1},
        {"params": [parameter([2.0])], "x": 1},
    ):
        with pytest.raises(OptionError):
            optimizer.add_param_group(bad)
    assert len(optimizer.param_groups) == 1


@for_each(
    "Optimizer, settings",
    [
        (optim.SGD, {"lr": -0.1}),
        (optim.SGD, {"lr": math.nan}),
        (optim.SGD, {"lr": 0.1, "momentum": -1}),
        (optim.SGD, {"lr": 0.1, "nesterov": True}),
        (optim.SGD, {"lr": 0.1, "weight_decay": -1}),
        (optim.Adam, {"betas": (1.0, 0.9)}),
        (optim.Adam, {"betas": (0.9, -0.1)}),
        (optim.Adam, {"eps": -1e-8}),
        (optim.RMSprop, {"alpha": 1.5}),
        (optim.Adagrad, {"lr": -1}),
    ],
)
def test_settings_outside_their_values(Optimizer, settings):
    with pytest.raises(OptionError, match=Optimizer.__name__):
        Optimizer([parameter([1.0])], **settings)


def test_repr():
    p = parameter([1.0])
    assert repr(optim.SGD([p], lr=0.1)) == "SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)"
    assert repr(optim.Adam([p])) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"


def test_an_optimizer_of_ones_own():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)

        @staticmethod
        def update(p, g, state, *, lr):
            return p - lr * np.sign(g), state

    p = parameter([1.0, -1.0])
    run(Sign([p]), [p], [[[3.0, -2.0]]])
    np.testing.assert_allclose(p.data, [0.9, -0.9])
    with pytest.raises(TypeError, match="update"):
        run(optim.Optimizer([p], lr=0.1), [p], [[[1.0, 1.0]]])


# -- state ---------------------------------------------------------------------------------------


@rules
def test_state_goes_on_bit_for_bit(Optimizer, formula, settings):
    start, grads = np.random.default_rng(1).normal(size=(2, 5)), gradients((2, 5))
    through = [parameter(s, np.float32) for s in start]
    run(Optimizer(through, **settings), through, grads)

    halfway = [parameter(s, np.float32) for s in start]
    first = Optimizer(halfway, **settings)
    run(first, halfway, grads[:10])
    state = copy.deepcopy(first.state_dict())
    resumed = [parameter(p.data, np.float32) for p in halfway]
    second = Optimizer(resumed, lr=9.9)
    second.load_state_dict(state)
    run(first, halfway, grads[10:])  # must not disturb the other
    run(second, resumed, grads[10:])
    for a, b, c in zip(through, resumed, halfway, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        np.testing.assert_array_equal(a.data, c.data)
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]


def test_state_dict_is_a_copy():
    p = parameter([1.0])
    optimizer = optim.Adam([p])
    run(optimizer, [p], [[[1.0]]])
    state = optimizer.state_dict()
    state["state"][0]["first"][:] = 99
    state["param_groups"][0]["lr"] = 99
    assert optimizer.state[p]["first"][0] != 99
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_state_that_does_not_fit_changes_nothing():
    p, q = parameter([1.0]), parameter([1.0, 2.0])
    optimizer = optim.Adam([p, q])
    run(optimizer, [p, q], [[[1.0], [1.0, 1.0]]])
    before = optimizer.state_dict()
    other = optim.Adam([q])
    run(other, [q], [[[1.0, 1.0]]])
    swapped = copy.deepcopy(before)
    swapped["state"] = {0: before["state"][1], 1: before["state"][0]}
    sgd_state = optim.SGD([parameter([1.0]), parameter([1.0, 2.0])], momentum=0.9).state_dict()
    beyond = {**copy.deepcopy(before), "state": {7: before["state"][0]}}
    for bad in (other.state_dict(), swapped, sgd_state, beyond):
        with pytest.raises(TinygradError):
            optimizer.load_state_dict(bad)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for i, state in before["state"].items():
            for name, value in state.items():
                np.testing.assert_array_equal(after["state"][i][name], value)
    with pytest.raises(StateDictError, match="groups"):
        optimizer.load_state_dict(other.state_dict())


def stepped_adam():
    p, q = parameter([1.0]), parameter([1.0, 2.0])
    optimizer = optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.1}])
    run(optimizer, [p, q], [[[1.0], [1.0, 1.0]]])
    return optimizer


def put(*path, value):
    """A change of a state dict: what is at a path is replaced, or removed."""

    def change(state):
        *first, last = path
        for key in first:
            state = state[key]
        if value is None:
            del state[last]
        else:
            state[last] = value

    return change


IMPOSSIBLE = {
    "lr below zero": put("param_groups", 0, "lr", value=-1),
    "lr nan": put("param_groups", 1, "lr", value=float("nan")),
    "lr infinite": put("param_groups", 1, "lr", value=float("inf")),
    "lr as text": put("param_groups", 0, "lr", value="0.1"),
    "lr as a list": put("param_groups", 0, "lr", value=[0.1]),
    "lr as an object": put("param_groups", 0, "lr", value={}),
    "one beta": put("param_groups", 0, "betas", value=(0.9,)),
    "beta of one": put("param_groups", 0, "betas", value=(0.9, 1.0)),
    "beta nan": put("param_groups", 0, "betas", value=(0.9, float("nan"))),
    "no eps": put("param_groups", 0, "eps", value=None),
    "no params": put("param_groups", 0, "params", value=None),
    "other numbers": put("param_groups", 0, "params", value=[1]),
    "no group": put("param_groups", 1, value=None),
    "no state": put("state", value=None),
    "state as a list": put("state", value=[1, 2]),
    "state of one as text": put("state", 0, value="text"),
    "no steps": put("state", 0, "step", value=None),
    "steps below zero": put("state", 0, "step", value=-1),
    "half a step": put("state", 0, "step", value=0.5),
    "steps as text": put("state", 0, "step", value="1"),
    "no moment": put("state", 1, "second", value=None),
    "a moment of another shape": put("state", 1, "second", value=np.zeros(3)),
    "a moment as text": put("state", 1, "second", value=np.array(["a", "b"])),
    "a complex moment": put("state", 1, "second", value=np.zeros(2, complex)),
    "a parameter too many": put("state", 2, value={"step": 0}),
    "a parameter twice": put("state", "1", value={"step": 0}),
    "a parameter without a number": put("state", "x", value={"step": 0}),
}


@for_each("change", IMPOSSIBLE.values())
def test_an_impossible_state_is_refused_and_changes_nothing(change):
    optimizer = stepped_adam()
    before, state = str(optimizer.state_dict()), optimizer.state_dict()
    change(state)
    with pytest.raises(TinygradError):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == before


@pytest.mark.parametrize("bad", [None, 1, "text", [], {}, {"state": {}}, {"state": {}, "param_groups": None}])
def test_what_is_no_state_dict_is_refused(bad):
    with pytest.raises(StateDictError):
        stepped_adam().load_state_dict(bad)


@for_each("ending", [".safetensors", ".npz"])
@rules
def test_state_goes_through_a_file(Optimizer, formula, settings, ending, tmp_path):
    p = [parameter(np.arange(6.0).reshape(2, 3), np.float32)]
    optimizer = Optimizer(p, **settings)
    run(optimizer, p, [[g] for g in gradients((2, 3))])
    tg.save(optimizer.state_dict(), tmp_path / f"state{ending}")
    other = Optimizer([parameter(np.zeros((2, 3)), np.float32)], lr=9.9)
    other.load_state_dict(tg.load(tmp_path / f"state{ending}"))
    assert str(other.state_dict()) == str(optimizer.state_dict())


def test_state_is_whole_after_a_setting_asked_for_more():
    """A momentum that begins in the next step has a velocity of zero until then."""
    p = [parameter([1.0])]
    optimizer = optim.SGD(p, lr=0.1)
    run(optimizer, p, [[[1.0]]])
    optimizer.param_groups[0]["momentum"] = 0.9
    state = optimizer.state_dict()
    np.testing.assert_array_equal(state["state"][0]["velocity"], [0.0])
    optimizer.load_state_dict(state)


def test_settings_changed_midway():
    p = parameter([1.0])
    optimizer = optim.SGD([p], lr=0.1)
    run(optimizer, [p], [[[1.0]]])
    optimizer.param_groups[0]["momentum"] = 0.9
    run(optimizer, [p], [[[1.0]], [[1.0]]])
    np.testing.assert_allclose(p.data, [1 - 0.1 - 0.1 - 0.19])


# -- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(dtype, max_norm):
    params = [
        parameter(np.ones((2, 3)), dtype),
        parameter(np.ones(4), dtype),
        parameter(1.0, dtype),
        parameter(np.ones(2), dtype),
    ]
    grads = [np.random.default_rng(i).normal(size=p.shape) * 3 for i, p in enumerate(params[:3])]
    for p, g in zip(params, grads, strict=False):
        p.grad = g
    norm = math.sqrt(sum(np.sum(g**2) for g in grads))
    assert optim.clip_grad_norm_(iter(params), max_norm) == pytest.approx(norm, rel=1e-6)
    scale = min(1.0, max_norm / norm)
    for p, g in zip(params, grads, strict=False):
        np.testing.assert_allclose(p.grad.data, g * scale, rtol=1e-6)
        assert p.grad.dtype == dtype
    assert params[3].grad is None


@for_each(
    "dtype, size",
    [
        (np.float16, 1e4),
        (np.float16, 1e-5),
        (np.float32, 1e20),
        (np.float32, 1e38),
        (np.float32, 1e-30),
        (np.float64, 1e200),
        (np.float64, 1e-200),
        (np.complex64, 1e30),
    ],
)
@for_each("max_norm", [1.0, 1e-4])
def test_clip_grad_norm_where_squares_leave_the_range(dtype, size, max_norm):
    direction = np.array([0.6, 0.8j] if dtype == np.complex64 else [0.6, -0.8])
    p, q = parameter([0.0, 0.0], dtype), parameter([0.0], dtype)
    p.grad, q.grad = (direction * size).astype(dtype), [0.0]
    limit = max_norm * min(size, 1.0)
    rtol = 2e-2 if dtype == np.float16 else 1e-6
    assert optim.clip_grad_norm_([p, q], limit) == pytest.approx(size, rel=rtol)
    np.testing.assert_allclose(p.grad.data, (direction * limit).astype(dtype), rtol=rtol)
    assert p.grad.dtype == dtype
    assert q.grad.tolist() == [0.0]


@pytest.mark.parametrize(
    ("grad", "norm", "expected"),
    [
        ([math.inf, 1.0], math.inf, [math.nan, 0.0]),
        ([-math.inf, 1.0], math.inf, [math.nan, 0.0]),
        ([math.nan, 1.0], math.nan, [math.nan, math.nan]),
        ([math.nan, math.inf], math.nan, [math.nan, math.nan]),
        ([0.0, 0.0], 0.0, [0.0, 0.0]),
    ],
)
def test_clip_grad_norm_of_what_is_not_finite(grad, norm, expected):
    """As PyTorch's."""
    p = parameter([0.0, 0.0])
    p.grad = grad
    np.testing.assert_equal(optim.clip_grad_norm_([p], 1.0), norm)
    np.testing.assert_array_equal(p.grad.data, expected)


def test_clip_grad_value():
    p, q = parameter([1.0, 2.0, 3.0], np.float32), parameter([1.0])
    p.grad = [-5.0, 0.2, 5.0]
    optim.clip_grad_value_([p, q], 0.5)
    np.testing.assert_allclose(p.grad.data, [-0.5, 0.2, 0.5])
    assert p.grad.dtype == np.float32
    assert q.grad is None


def test_clipping_a_single_tensor():
    p = parameter([1.0, 1.0])
    p.grad = [3.0, 4.0]
    assert optim.clip_grad_norm_(p, 1.0) == 5.0
    np.testing.assert_allclose(p.grad.data, [0.6, 0.8])
    optim.clip_grad_value_(p, 0.7)
    np.testing.assert_allclose(p.grad.data, [0.6, 0.7])


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_clipping_to_nothing(limit):
    with pytest.raises(OptionError, match="max_norm"):
        optim.clip_grad_norm_([parameter([1.0])], limit)
    with pytest.raises(OptionError, match="clip_value"):
        optim.clip_grad_value_([parameter([1.0])], limit)


# -- schedules -----------------------------------------------------------------------------------


def rates(make, steps, lr=0.8):
    optimizer = optim.SGD(
        [{"params": [parameter([1.0])]}, {"params": [parameter([1.0])], "lr": lr / 2}], lr=lr
    )
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        first, second = schedule.get_last_lr()
        assert first == optimizer.param_groups[0]["lr"]
        assert second == pytest.approx(first / 2)
        found.append(first)
        schedule.step()
    return found


def test_step_lr():
    found = rates(lambda o: optim.StepLR(o, step_size=3, gamma=0.5), 8)
    np.testing.assert_allclose(found, [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2])


def test_cosine():
    found = rates(lambda o: optim.CosineAnnealingLR(o, T_max=4), 6)
    np.testing.assert_allclose(
        found, [0.8 * (1 + math.cos(math.pi * t / 4)) / 2 for t in (0, 1, 2, 3, 4, 4)], atol=1e-15
    )
    optimizer = optim.SGD([{"params": [parameter([1.0])]}, {"params": [parameter([1.0])], "lr": 0.4}], lr=0.8)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=4, eta_min=0.1)
    for expected in ([0.45, 0.25], [0.1, 0.1]):  # half way, and at the end
        schedule.step()
        schedule.step()
        assert schedule.get_last_lr() == pytest.approx(expected)


def test_one_cycle():
    found = rates(lambda o: optim.OneCycleLR(o, total_steps=10, pct_start=0.3), 12)
    assert found[0] == pytest.approx(0.8 / 25)
    assert found[2] == max(found) == pytest.approx(0.8)
    assert found[9] == pytest.approx(0.8 / 25 / 1e4)
    assert found[11] == found[9]
    schedule = optim.OneCycleLR(optim.SGD([parameter([1.0])], lr=0.8), max_lr=0.2, total_steps=10)
    assert schedule.base_lrs == [0.2]
    assert found[:3] == sorted(found[:3])
    assert found[2:] == sorted(found[2:], reverse=True)


def test_warm_up():
    np.testing.assert_allclose(rates(lambda o: optim.WarmupLR(o, 4), 6), [0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    found = rates(lambda o: optim.WarmupLR(o, 2, after=optim.StepLR(o, 2, gamma=0.5)), 7)
    np.testing.assert_allclose(found, [0.4, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2])
    found = rates(lambda o: optim.WarmupLR(o, 2, after=optim.OneCycleLR(o, 10)), 6)
    np.testing.assert_allclose(found[2:5], rates(lambda o: optim.OneCycleLR(o, 10), 3), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: optim.StepLR(o, 2),
        lambda o: optim.CosineAnnealingLR(o, 9, eta_min=0.1),
        lambda o: optim.OneCycleLR(o, 10),
        lambda o: optim.WarmupLR(o, 3, after=optim.CosineAnnealingLR(o, 9)),
        lambda o: optim.LambdaLR(o, lambda steps: 1 / (1 + steps)),
        lambda o: optim.WarmupLR(o, 3, after=optim.LambdaLR(o, lambda steps: 0.9**steps)),
    ],
)
def test_a_schedule_goes_on_where_it_was(make):
    optimizer = optim.SGD([parameter([1.0])], lr=0.8)
    schedule = make(optimizer)
    for _ in range(4):
        schedule.step()
    state, expected = schedule.state_dict(), []
    for _ in range(4):
        schedule.step()
        expected += schedule.get_last_lr()
    resumed = make(optim.SGD([parameter([1.0])], lr=0.8))
    resumed.load_state_dict(state)
    found = []
    for _ in range(4):
        resumed.step()
        found += resumed.get_last_lr()
    assert found == expected


@for_each(
    "bad",
    [
        None,
        [],
        {},
        {"steps": 1},
        {"base_lrs": [0.8]},
        *({"steps": steps, "base_lrs": [0.8]} for steps in (-1, 1.5, "1", None, [1], float("nan"))),
        *(
            {"steps": 1, "base_lrs": r}
            for r in (0.8, [], [0.8, 0.8], [-1], [float("nan")], [float("inf")], ["a"], None)
        ),
    ],
    ids=str,
)
def test_an_impossible_progress_of_a_schedule_is_refused_and_changes_nothing(bad):
    schedule = optim.StepLR(optim.SGD([parameter([1.0])], lr=0.8), 1)
    schedule.step()
    before = schedule.state_dict(), schedule.get_last_lr()
    with pytest.raises(StateDictError, match="StepLR"):
        schedule.load_state_dict(bad)
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_progress_of_a_schedule_goes_through_a_file(ending, tmp_path):
    schedule = optim.StepLR(optim.SGD([parameter([1.0])], lr=1 / 3), 2)
    for _ in range(3):
        schedule.step()
    tg.save(schedule.state_dict(), tmp_path / f"x{ending}")
    other = optim.StepLR(optim.SGD([parameter([1.0])], lr=0.8), 2)
    other.load_state_dict(tg.load(tmp_path / f"x{ending}"))
    assert (other.state_dict(), other.get_last_lr()) == (schedule.state_dict(), schedule.get_last_lr())


@pytest.mark.parametrize(
    "make",
    [
        lambda o: optim.StepLR(o, 0),
        lambda o: optim.CosineAnnealingLR(o, -1),
        lambda o: optim.OneCycleLR(o, 0),
        lambda o: optim.OneCycleLR(o, 10, pct_start=1.0),
        lambda o: optim.OneCycleLR(o, 10, pct_start=0.0),
        lambda o: optim.WarmupLR(o, 0),
    ],
)
def test_schedules_of_no_length_leave_the_rate_alone(make):
    optimizer = optim.SGD([parameter([1.0])], lr=0.8)
    with pytest.raises(OptionError):
        make(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.8


def test_a_schedule_without_a_formula():
    with pytest.raises(TypeError, match="factor"):
        optim.Schedule(optim.SGD([parameter([1.0])]))


def plateau_rates(values, **settings):
    optimizer = optim.SGD([parameter([1.0])], lr=1.0)
    schedule, found = optim.ReduceLROnPlateau(optimizer, **settings), []
    for value in values:
        schedule.step(value)
        found += schedule.get_last_lr()
    return found


PLATEAUS = [
    ({"patience": 1}, [3, 2, 2.5, 2.1, 2.2, 1.9999, 1.5]),
    ({"patience": 0, "cooldown": 2, "factor": 0.5}, [1, 2, 2, 2, 2, 0.5, 2]),
    ({"patience": 1, "mode": "max", "threshold": 0.1}, [0.5, 0.54, 0.549, 0.56, 0.5, 0.6]),
    ({"patience": 1, "threshold": 0.5, "threshold_mode": "abs"}, [3, 2.6, 2.4, 2, 1, 0.9, 0.8]),
    ({"patience": 0, "min_lr": 0.02}, [1, 1, 1, 1]),
    ({"patience": 0}, [1, math.nan, math.inf, 0.5]),
]


@pytest.mark.parametrize(("settings", "values"), PLATEAUS, ids=str)
def test_plateaus_are_pytorchs(settings, values):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    schedule, expected = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings), []
    for value in values:
        schedule.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(plateau_rates(values, **settings), expected, rtol=1e-12)
    assert min(expected) < 1


def test_a_plateau_by_hand():
    assert plateau_rates([3, 2, 2.5, 2.1, 2.2, 2.1], patience=1) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01])
    assert plateau_rates([-1, -1.5, -2], patience=0, threshold=0.3) == [1, 1, 1]
    assert plateau_rates([-1, -1.1], patience=0, threshold=0.3) == pytest.approx([1, 0.1])


def test_a_plateau_goes_on_where_it_was(tmp_path):
    values = np.abs(np.random.default_rng(0).normal(size=12))
    settings = {"patience": 1, "cooldown": 1, "factor": 0.5}
    whole = plateau_rates(values, **settings)
    for at in (0, 5):
        first = optim.ReduceLROnPlateau(optim.SGD([parameter([1.0])], lr=1.0), **settings)
        for value in values[:at]:
            first.step(value)
        tg.save(first.state_dict(), tmp_path / "state.safetensors")
        second = optim.ReduceLROnPlateau(optim.SGD([parameter([1.0])], lr=9.9), **settings)
        second.load_state_dict(tg.load(tmp_path / "state.safetensors"))
        found = []
        for value in values[at:]:
            second.step(value)
            found += second.get_last_lr()
        assert found == whole[at:]
    good = first.state_dict()
    for change in ({"bad": -1}, {"best": "low"}, {"reductions": 0.5}, {"steps": -1}, {"base_lrs": [1, 2]}):
        with pytest.raises(StateDictError):
            second.load_state_dict({**good, **change})
        assert second.get_last_lr() == whole[-1:]
    with pytest.raises(StateDictError, match="ReduceLROnPlateau"):
        second.load_state_dict(optim.StepLR(optim.SGD([parameter([1.0])], lr=1.0), 2).state_dict())


def test_lambda_lr():
    np.testing.assert_allclose(rates(lambda o: optim.LambdaLR(o, lambda n: 0.5**n), 4), [0.8, 0.4, 0.2, 0.1])
    optimizer = optim.SGD([{"params": [parameter([1.0])]}, {"params": [parameter([1.0])]}], lr=1.0)
    schedule = optim.LambdaLR(optimizer, [lambda n: 1 / (1 + n), lambda n: 1.0])
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 1.0]
    with pytest.raises(OptionError, match="2 functions"):
        optim.LambdaLR(optimizer, [lambda n: 1.0])
    with pytest.raises(OptionError, match="each group"):
        schedule.factor(1)


def test_what_a_plateau_refuses():
    optimizer = optim.SGD([parameter([1.0])], lr=0.8)
    for settings in (
        {"mode": "low"},
        {"factor": 1.0},
        {"patience": -1},
        {"threshold_mode": "x"},
        {"cooldown": -1},
    ):
        with pytest.raises(OptionError):
            optim.ReduceLROnPlateau(optimizer, **settings)
    schedule = optim.ReduceLROnPlateau(optimizer)
    with pytest.raises(OptionError, match="number to watch"):
        schedule.step()
    with pytest.raises(OptionError, match="cannot follow"):
        optim.WarmupLR(optimizer, 3, after=schedule)


# -- averages ------------------------------------------------------------------------------------


def test_averages_of_weights(tmp_path):
    p, q = parameter([1.0, 2.0], np.float32), parameter(3.0)
    average = optim.ExponentialMovingAverage([p, q], decay=0.9)
    expected = None
    for step in range(5):
        with tg.no_grad():
            p += step
            q *= 0.5
        average.update()
        now = [p.data.copy(), q.data.copy()]
        expected = (
            now if expected is None else [0.9 * e + 0.1 * n for e, n in zip(expected, now, strict=True)]
        )
    for found, wanted in zip(average.averages, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert average.averages[0].dtype == np.float32
    with average.applied():
        np.testing.assert_array_equal(p.data, average.averages[0])
    np.testing.assert_array_equal(p.data, now[0])
    tg.save(average.state_dict(), tmp_path / "average.safetensors")
    other = optim.ExponentialMovingAverage([parameter([0.0, 0.0], np.float32), parameter(0.0)], decay=0.9)
    other.load_state_dict(tg.load(tmp_path / "average.safetensors"))
    other.apply()
    np.testing.assert_array_equal(other.params[0].data, average.averages[0])
    good = average.state_dict()
    for bad in (None, {}, {**good, "steps": -1}, {**good, "averages": {0: good["averages"][0]}}):
        with pytest.raises(StateDictError, match="ExponentialMovingAverage"):
            other.load_state_dict(bad)
    for params, decay in (([], 0.9), ([np.ones(1)], 0.9), ([p], 1.0)):
        with pytest.raises(OptionError, match="ExponentialMovingAverage"):
            optim.ExponentialMovingAverage(params, decay)


# -- formulas of one's own -----------------------------------------------------------------------------


class Rows(optim.Optimizer):
    """A step of the same length for each row, so that every number depends on its row."""

    @staticmethod
    def update(p, g, state, *, lr):
        return p - lr * g / np.sqrt(np.sum(g * g, axis=-1, keepdims=True)), state


class Whole(optim.Optimizer):
    """A step of a given length along the gradient."""

    @staticmethod
    def update(p, g, state, *, lr):
        return p - lr * g / np.sqrt(np.sum(g * g)), state


@pytest.mark.parametrize("shape", [(3, 4), (500, 100)])  # the latter is longer than a block
@pytest.mark.parametrize("formula", [Rows, Whole])
def test_a_formula_that_is_not_elementwise_gets_whole_arrays(formula, shape):
    start = np.random.default_rng(0).normal(size=shape)
    w = tg.tensor(start, requires_grad=True)
    np.sum(w**2).backward()
    formula([w], lr=0.1).step()
    np.testing.assert_allclose(w.data, formula.update(start, 2 * start, {}, lr=0.1)[0])


def test_a_formula_that_is_not_elementwise_is_not_compiled():
    w = tg.tensor([3.0, 4.0], requires_grad=True)
    step = tg.compile(lambda: np.sum(w**2), optimizer=Whole([w], lr=0.1))
    with pytest.raises(tg.errors.CompileError, match=r"Whole\.update is not elementwise"):
        step()


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("size", [3, 50_000])
def test_what_a_formula_remembers_must_be_declared(size, is_compiled):
    class Forgets(optim.Optimizer):
        @staticmethod
        def update(p, g, state, *, lr):
            state["velocity"] = 0.9 * state.get("velocity", 0) + g
            return p - lr * state["velocity"], state

    w = tg.tensor(np.ones(size), requires_grad=True)
    optimizer = Forgets([w], lr=0.1)
    step = tg.compile(lambda: np.sum(w**2), optimizer=optimizer) if is_compiled else optimizer.step
    np.sum(w**2).backward()
    with pytest.raises(
        OptionError, match=r"state\['velocity'\] would be lost.* let that return \('velocity',\)"
    ):
        step()
