"""What a training step depends on changes between steps: the next steps are those without compile, or a CompileError."""

# ruff: noqa: E501 -- lines of programs, and tables of them

from __future__ import annotations

import copy
import importlib.util
import types
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.errors import CompileError

BACKENDS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]
MAKERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
}


class Net(nn.Module):
    """A model with everything that may change: settings, a buffer, lists and dicts of modules, dropout."""

    scale_of_class = 1.5

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.first = nn.Linear(3, 4, rng=rng, dtype=np.float64)
        self.blocks = [nn.Linear(4, 4, rng=rng, dtype=np.float64), nn.Tanh()]
        self.heads = {"a": nn.Linear(4, 2, rng=rng, dtype=np.float64)}
        self.drop = nn.Dropout(0.3, rng=1)
        self.scale = nn.Parameter(np.array([1.0, 2.0]))
        self.factor = 1.25
        self.settings = types.SimpleNamespace(power=2, on=True)
        self.register_buffer("mean", np.zeros(4))
        self.activation = np.tanh

    def forward(self, x: Any) -> Any:
        h = self.activation(self.first(x) - self.mean) * self.factor * self.scale_of_class
        for block in self.blocks:
            h = block(h)
        h = self.drop(h)
        if self.settings.on:
            h = h**self.settings.power
        return self.heads["a"](h) * self.scale


def freeze(model: Any, opt: Any) -> None:
    model.first.weight.requires_grad = False


def unfreeze_later(model: Any, opt: Any) -> None:
    model.first.bias.requires_grad = False
    model.first.bias.requires_grad = True


def set_data(model: Any, opt: Any) -> None:
    with tg.no_grad():
        model.first.weight[...] = 0.5


def set_part(model: Any, opt: Any) -> None:
    with tg.no_grad():
        model.scale[0] = -3.0


def write_data(model: Any, opt: Any) -> None:
    model.scale.data[...] = 7.0


def increase(model: Any, opt: Any) -> None:
    with tg.no_grad():
        model.first.weight += 1.0


def load(model: Any, opt: Any) -> None:
    other = Net()
    for p in other.parameters():
        with tg.no_grad():
            p[...] = np.full(p.shape, 0.3)
    model.load_state_dict(other.state_dict())


def load_optimizer(model: Any, opt: Any) -> None:
    opt.load_state_dict(copy.deepcopy(opt.state_dict()))


def replace_parameter(model: Any, opt: Any) -> None:
    model.scale = nn.Parameter(np.array([0.5, 0.25]))


def replace_module(model: Any, opt: Any) -> None:
    model.first = nn.Linear(3, 4, rng=5, dtype=np.float64)


def replaced_and_trained(model: Any, opt: Any) -> None:
    model.scale = nn.Parameter(np.array([0.5, 0.25]))
    opt.add_param_group({"params": [model.scale]})


def append_module(model: Any, opt: Any) -> None:
    model.blocks.append(nn.Sigmoid())


def insert_module(model: Any, opt: Any) -> None:
    model.blocks.insert(0, nn.ReLU())


def other_module_in_dict(model: Any, opt: Any) -> None:
    model.heads["a"] = nn.Linear(4, 2, rng=9, dtype=np.float64)


def evaluate(model: Any, opt: Any) -> None:
    model.eval()


def evaluate_part(model: Any, opt: Any) -> None:
    model.drop.eval()


def dropout_share(model: Any, opt: Any) -> None:
    model.drop.p = 0.6


def factor(model: Any, opt: Any) -> None:
    model.factor = 2.5


def settings(model: Any, opt: Any) -> None:
    model.settings.power = 3


def switch(model: Any, opt: Any) -> None:
    model.settings.on = False


def class_attribute(model: Any, opt: Any) -> None:
    Net.scale_of_class = 0.5


def instance_beside_class(model: Any, opt: Any) -> None:
    model.scale_of_class = 0.25


def function_attribute(model: Any, opt: Any) -> None:
    model.activation = np.sin


def buffer(model: Any, opt: Any) -> None:
    model.mean = np.ones(4)


def buffer_in_place(model: Any, opt: Any) -> None:
    model.mean[...] = 0.7


def forward_of_instance(model: Any, opt: Any) -> None:
    model.forward = lambda x: model.heads["a"](model.first(x))


def forward_of_part(model: Any, opt: Any) -> None:
    model.first.forward = lambda x: x[:, :1] * np.ones(4)


def forward_of_class(model: Any, opt: Any) -> None:
    Net.forward = lambda self, x: self.heads["a"](self.first(x))


def method_of_class(model: Any, opt: Any) -> None:
    nn.Tanh.forward = lambda self, x: np.sin(x)


def learning_rate(model: Any, opt: Any) -> None:
    opt.param_groups[0]["lr"] = 0.003


def momentum(model: Any, opt: Any) -> None:
    group = opt.param_groups[0]
    if "momentum" in group:
        group["momentum"] = 0.5
    if "betas" in group:
        group["betas"] = (0.5, 0.6)


def decay(model: Any, opt: Any) -> None:
    opt.param_groups[0]["weight_decay"] = 0.3


def new_setting_objects(model: Any, opt: Any) -> None:
    opt.param_groups[0] = dict(opt.param_groups[0], lr=0.01)


def fewer_params(model: Any, opt: Any) -> None:
    opt.param_groups[0]["params"].pop()


def fewer_params_from_the_front(model: Any, opt: Any) -> None:
    del opt.param_groups[0]["params"][0]


def a_param_in_the_middle_is_left_out(model: Any, opt: Any) -> None:
    del opt.param_groups[0]["params"][2]


def params_in_another_order(model: Any, opt: Any) -> None:
    opt.param_groups[0]["params"].reverse()


def a_group_of_their_own(model: Any, opt: Any) -> None:
    params = opt.param_groups[0]["params"]
    last = params.pop()
    opt.param_groups.append(dict(opt.param_groups[0], params=[last], lr=0.001))


def state_cleared(model: Any, opt: Any) -> None:
    opt.state.clear()


def state_of_one_cleared(model: Any, opt: Any) -> None:
    opt.state.pop(next(iter(opt.state), None), None)


def step_count(model: Any, opt: Any) -> None:
    for state in opt.state.values():
        state["step"] = 10


def moments(model: Any, opt: Any) -> None:
    for state in opt.state.values():
        for value in state.values():
            if isinstance(value, np.ndarray):
                value[...] = 0.125


def moments_replaced(model: Any, opt: Any) -> None:
    for state in opt.state.values():
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                state[key] = np.full_like(value, 0.25)


def hook_on_a_parameter(model: Any, opt: Any) -> None:
    model.scale.register_hook(lambda g: g * 0.0)


def hook_on_a_weight(model: Any, opt: Any) -> None:
    model.first.weight.register_hook(lambda g: np.clip(g, -0.001, 0.001))


def step_without_compile(model: Any, opt: Any) -> None:
    opt.zero_grad()
    np.sum(model.scale**2).backward()
    opt.step()


def gradients_left_behind(model: Any, opt: Any) -> None:
    np.sum(model.scale**2).backward()


def generator_drawn(model: Any, opt: Any) -> None:
    x = np.ones((2, 4))
    model.drop(x)


def tied(model: Any, opt: Any) -> None:
    model.blocks[0].bias = model.first.bias


def deleted(model: Any, opt: Any) -> None:
    del model.heads["a"]


def update_rule(model: Any, opt: Any) -> None:
    kind = type(opt)
    opt.__class__ = type(
        "Still", (kind,), {"update": staticmethod(lambda p, g, state, **settings: (p - 0.001 * g, state))}
    )


def nothing(model: Any, opt: Any) -> None:
    pass


CHANGES = [
    value
    for value in list(globals().values())
    if isinstance(value, types.FunctionType) and value.__code__.co_varnames[:2] == ("model", "opt")
]


def trajectory(change: Any, make: Any, backend: str | None) -> list[Any]:
    """Losses and parameters over some steps, between which something changes."""
    model = Net()
    opt = make(model.parameters())
    target = np.random.default_rng(5)

    def loss(x: Any, y: Any) -> Any:
        return np.mean((model(x) - y) ** 2)

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        value = loss(x, y)
        value.backward()
        opt.step()
        return value

    if backend:
        step = tg.compile(loss, optimizer=opt, backend=backend)
    found: list[Any] = []
    for number in range(6):
        x, y = target.normal(size=(5, 3)), target.normal(size=(5, 2))
        try:
            value = step(x, y)
        except CompileError:
            found.append("refused")
            return found
        except Exception as error:
            found.append(type(error))
            return found
        found.append(
            (
                value.item(),
                [np.array(p.data) for p in model.parameters()],
                [s["step"] for s in opt.state.values()],
            )
        )
        if number == 2:
            try:
                change(model, opt)
            except (AttributeError, TypeError, ValueError) as error:
                return [f"cannot be done: {error}"]
    return found


@pytest.fixture
def class_as_it_was():
    forward, scale, tanh = Net.forward, Net.scale_of_class, nn.Tanh.forward

    def again() -> None:
        Net.forward, Net.scale_of_class, nn.Tanh.forward = forward, scale, tanh

    yield again
    again()


@pytest.mark.parametrize(
    ("change", "make"),
    [  # each change with one of the optimizers; with the others too where all are wanted
        pytest.param(
            change,
            make,
            id=f"{change.__name__}-{make}",
            marks=pytest.mark.thorough if (i + j) % len(MAKERS) else (),
        )
        for i, change in enumerate(CHANGES)
        for j, make in enumerate(MAKERS)
    ],
)
def test_changes_between_steps(change, make, class_as_it_was):
    compare_trajectories(change, make, class_as_it_was, "numpy")


def compare_trajectories(change: Any, make: str, class_as_it_was: Any, backend: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = trajectory(change, MAKERS[make], None)
        class_as_it_was()
        got = trajectory(change, MAKERS[make], backend)
    for number, (a, b) in enumerate(zip(expected, got, strict=False)):
        if isinstance(b, str) and b == "refused":
            return
        if not isinstance(a, tuple) or not isinstance(b, tuple):
            assert a is b or a == b, f"step {number}: {b} in the place of {a}"
            return
        assert b[0] == pytest.approx(a[0], rel=1e-10), f"the loss of step {number}"
        for i, (p, q) in enumerate(zip(a[1], b[1], strict=True)):
            close = 1e-5 if p.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(
                q, p, rtol=close, atol=close / 100, err_msg=f"parameter {i} after step {number}"
            )
        assert a[2] == b[2], f"the optimizer's counts after step {number}"
    assert len(expected) == len(got)


@pytest.mark.thorough
@pytest.mark.skipif(
    "numba" not in BACKENDS, reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'"
)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            change,
            id=change.__name__,
            marks=() if change in (set_data, buffer_in_place) else pytest.mark.thorough,
        )
        for change in CHANGES
    ],
)
def test_changes_between_steps_of_machine_code(change, class_as_it_was):
    compare_trajectories(change, "Adam", class_as_it_was, "numba")


# -- several programs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("order", ["010101", "001101", "0110", "0201", "2020"])
def test_programs_share_an_optimizer(order, make):
    """Losses of different parameters, whose steps take turns; 2 is a step without compile."""

    def run(compiled: bool) -> Any:
        a, b = (tg.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [5.0, 1.0]))
        opt = MAKERS[make]([a, b])
        losses = [
            lambda x: np.sum((a * x) ** 2) + np.sum((b * x) ** 2),
            lambda x: np.sum((a * x) ** 2),
            lambda x: np.sum((b * x) ** 2),
        ]
        steps = [tg.compile(f, optimizer=opt) for f in losses]
        for digit in order:
            x = np.array([1.0, 0.5])
            if compiled and digit != "2":
                steps[int(digit)](x)
            else:
                opt.zero_grad()
                losses[int(digit)](x).backward()
                opt.step()
        return [a.data, b.data, [s["step"] for s in opt.state.values()]]

    for got, expected in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "first",
    [
        *("-0.0", "True", "1.0", "np.float32(1)", "None", "(1,)"),
        *(
            pytest.param(text, marks=pytest.mark.thorough)
            for text in (
                *("0.0", "1", "np.float64(1)", "np.nan", "np.True_", "1j", "[1]", "'1'", "b'1'"),
                *("1.0000000000000002", "np.int64(1)", "np.inf", "-np.nan"),
            )
        ),
    ],
)
def test_arguments_that_are_equal_are_not_the_same(first):
    """Every pair of plain arguments, one after the other, in one compiled function."""
    values = [0.0, -0.0, True, 1, 1.0, np.float64(1), np.float32(1), np.True_, np.int64(1), np.int8(1), float("nan"), (1,), (1.0,), (True,), [1], [1.0], {"a": 1}, {"a": 1.0}, {"a": True}, 1 + 0j, None, 1.0000000000000002, float("inf"), (0.0,), (-0.0,)]  # fmt: skip

    def f(x: Any, p: Any) -> Any:
        p = (
            next(iter(p.values()))
            if isinstance(p, dict)
            else p[0]
            if isinstance(p, (tuple, list, bytes, str))
            else p
        )
        if p is None:
            return x
        return (
            (np.copysign(x, p) if not isinstance(p, (complex, str)) else x),
            str(type(p).__name__),
            x + (0 if isinstance(p, str) else p),
            x.astype(np.int8) * (0 if isinstance(p, str) else p),
        )

    x = np.array([1.5, 2.0], np.float32)
    compiled = tg.compile(f)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for value in [eval(first), *values, eval(first)]:
            try:
                expected = f(x, value)
            except Exception as error:
                with pytest.raises((type(error), CompileError)):
                    compiled(x, value)
                continue
            try:
                got = compiled(x, value)
            except CompileError:
                continue
            for a, b in zip(expected, got, strict=True):
                assert str(np.asarray(a).dtype) == str(np.asarray(b).dtype), repr(value)
                np.testing.assert_array_equal(b, a, err_msg=repr(value))
                if np.asarray(a).dtype.kind == "f":
                    np.testing.assert_array_equal(np.signbit(b), np.signbit(a), err_msg=repr(value))
