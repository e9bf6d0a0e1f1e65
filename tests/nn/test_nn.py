"""Modules: what they consist of, their state, and the layers built from them."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, tensor
from tinygrad_mnist.errors import DataError, OptionError, ShapeError, StateDictError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.nn import init

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


class Nested(nn.Module):
    """Parameters and modules in every kind of container."""

    def __init__(self):
        self.scale = nn.Parameter(2.0)
        self.weights = [nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))]
        self.layers = (nn.Linear(4, 4, rng=0), [nn.Linear(4, 2, rng=1)])
        self.heads = {"a": nn.Linear(2, 1, rng=2), "b": {"c": nn.Parameter([1.0])}}
        self.register_buffer("mean", np.zeros(2, np.float32))
        self.register_buffer("count", 0)
        self.note = "not a parameter"
        self.constant = tensor([1.0, 2.0])

    def forward(self, x):
        hidden = self.layers[1][0](np.tanh(self.layers[0](x)))
        return self.heads["a"](hidden * self.weights[0]) * self.scale + self.heads["b"]["c"]


class Tied(nn.Module):
    def __init__(self):
        self.encode = nn.Linear(4, 4, rng=0)
        self.again = self.encode
        self.weight = self.encode.weight

    def forward(self, x):
        return self.again(self.encode(x)) @ self.weight


NESTED = [
    "scale",
    "weights.0",
    "weights.1",
    "heads.b.c",
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.0.weight",
    "layers.1.0.bias",
    "heads.a.weight",
    "heads.a.bias",
]


# -- what a module consists of -------------------------------------------------------------------


def test_parameters_in_containers():
    model = Nested()
    assert sorted(name for name, _ in model.named_parameters()) == sorted(NESTED)
    assert all(name.startswith("net.") for name, _ in model.named_parameters(prefix="net"))
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert [name for name, _ in model.named_buffers()] == ["mean", "count"]
    assert [name for name, _ in model.named_modules()] == ["", "layers.0", "layers.1.0", "heads.a"]
    assert len(list(model.children())) == 3
    model(X).sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == ["weights.1"]
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_what_is_shared_counts_once():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["weight", "encode.bias"] or [
        name for name, _ in model.named_parameters()
    ] == ["encode.weight", "encode.bias"]
    assert len(list(model.modules())) == 2
    model(X).sum().backward()
    weight = model.encode.weight.data.astype(float)
    assert tg.testing.gradcheck(
        lambda w: F.linear(F.linear(X, w, model.encode.bias.data), w, model.encode.bias.data) @ w, weight
    )
    numeric = tg.testing.numerical_gradient(
        lambda w: float(np.sum(((X @ w.T + model.encode.bias.data) @ w.T + model.encode.bias.data) @ w)),
        weight,
    )[0]
    np.testing.assert_allclose(model.encode.weight.grad.data, numeric, rtol=1e-3, atol=1e-3)


def test_one_module_twice_in_a_sequential():
    layer = nn.Linear(4, 4, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(model.parameters())) == 2
    np.testing.assert_allclose(model(X).data, layer(np.tanh(layer(X))).data)


def test_parameters_added_and_replaced_later():
    model = nn.Sequential(nn.Linear(4, 3, rng=0))
    model.extra = nn.Parameter([1.0])
    assert "extra" in dict(model.named_parameters())
    del model.extra
    assert "extra" not in dict(model.named_parameters())
    grown = Nested()
    grown.weights.append(nn.Parameter([1.0]))
    assert "weights.2" in dict(grown.named_parameters())


def test_private_attributes_are_not_forgotten():
    class Hidden(nn.Module):
        def __init__(self):
            self._inner = nn.Linear(2, 2)
            self._scale = nn.Parameter([1.0])

    assert {name for name, _ in Hidden().named_parameters()} == {"_inner.weight", "_inner.bias", "_scale"}


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match=r"Empty.*forward"):
        type("Empty", (nn.Module,), {})()(X)


def test_parameters_are_float32_leaves_with_names():
    layer = nn.Linear(3, 2)
    assert layer.weight.dtype == np.float32
    assert (layer.weight.name, layer.bias.name) == ("weight", "bias")
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad
    assert nn.Parameter([1, 2]).dtype == np.float32
    assert nn.Parameter([1.0], dtype=np.float64).dtype == np.float64


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5)), nn.Tanh())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())


def test_apply_visits_all():
    kinds = []
    nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh())).apply(lambda m: kinds.append(type(m).__name__))
    assert kinds == ["Sequential", "Linear", "Sequential", "Tanh"]


# -- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [Nested, Tied, lambda: nn.MLP([4, 3, 2], rng=3), lambda: nn.Linear(4, 2, bias=False)]
)
def test_state_round_trip(make):
    source, target = make(), make()
    for p in source.parameters():
        with tg.no_grad():
            p += 1
    state = source.state_dict()
    assert all(type(value) is np.ndarray for value in state.values())
    assert target.load_state_dict(state) == ([], [])
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    np.testing.assert_array_equal(target(X).data, source(X).data)
    next(iter(state.values()))[...] = 99  # a copy: the modules keep theirs
    assert not np.array_equal(next(iter(source.state_dict().values())), next(iter(state.values())))
    assert not np.array_equal(next(iter(target.state_dict().values())), next(iter(state.values())))


def test_every_difference_is_listed_and_nothing_overwritten():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Linear(3, 2, rng=1))
    before = model.state_dict()
    state = {
        "0.weight": np.zeros((4, 3)),
        "0.bias": np.zeros(3),
        "1.bias": np.zeros((2, 1)),
        "2.weight": np.zeros(1),
        "more": 1.0,
    }
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "5 entries",
        "0.weight: shape (4, 3), expected (3, 4)",
        "1.bias: shape (2, 1), expected (2,)",
        "1.weight: missing",
        "2.weight: unexpected",
        "more: unexpected",
    ):
        assert part in message, part
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_not_strict():
    model = nn.Linear(4, 3, rng=0)
    bias = model.bias.data.copy()
    missing, unexpected = model.load_state_dict(
        {"weight": np.ones((3, 4)), "other": np.ones(1)}, strict=False
    )
    assert (missing, unexpected) == (["bias"], ["other"])
    np.testing.assert_array_equal(model.weight.data, np.ones((3, 4)))
    np.testing.assert_array_equal(model.bias.data, bias)
    with pytest.raises(StateDictError, match="weight"):
        model.load_state_dict({"weight": np.ones((4, 3))}, strict=False)


@pytest.mark.parametrize(
    "bad",
    [np.ones(3) * 1j, np.array(["a"] * 3), np.array([{}] * 3, object)],
    ids=["complex", "text", "object"],
)
def test_values_that_cannot_be_converted_change_nothing(bad):
    model = nn.Linear(4, 3, rng=0)
    weight = model.weight.data.copy()
    with pytest.raises(StateDictError, match="bias"):
        model.load_state_dict({"weight": np.zeros((3, 4)), "bias": bad})
    np.testing.assert_array_equal(model.weight.data, weight)


def test_loading_converts_and_keeps_memory_and_identity():
    model = nn.Linear(2, 2, rng=0)
    weight, memory = model.weight, model.weight.data
    model.load_state_dict({"weight": [[1, 2], [3, 4]], "bias": tensor([1.0, 2.0], requires_grad=True)})
    assert model.weight is weight
    assert np.shares_memory(model.weight.data, memory)
    assert model.weight.dtype == np.float32
    np.testing.assert_array_equal(memory, [[1, 2], [3, 4]])


def test_buffers_are_state_whatever_becomes_of_them():
    class Counter(nn.Module):
        def __init__(self):
            self.register_buffer("count", 0)
            self.register_buffer("mean", np.zeros(2))

        def forward(self, x):
            self.count = self.count + 1
            self.mean = 0.5 * self.mean + x
            return x

    model, other = Counter(), Counter()
    for _ in range(3):
        model(np.ones(2))
        other(np.zeros(2))
    assert list(model.parameters()) == []
    state = model.state_dict()
    np.testing.assert_array_equal(state["mean"], [1.75, 1.75])
    other.load_state_dict(state)
    assert other.count == 3
    np.testing.assert_array_equal(other.mean, [1.75, 1.75])
    other(np.ones(2))
    assert (model.count, other.count) == (3, 4)
    np.testing.assert_array_equal(state["mean"], [1.75, 1.75])


def test_astype():
    model = nn.MLP([4, 3, 2], rng=0)
    model(X).sum().backward()
    assert model.astype(np.float64) is model
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert {p.name for p in model.parameters()} == {"weight", "bias"}
    y = model(X.astype(np.float64))
    assert y.dtype == np.float64
    y.sum().backward()
    assert model[0].weight.grad.dtype == np.float64
    tied = Tied().astype(np.float64)
    assert tied.weight is tied.encode.weight


@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("make", [Nested, Tied, lambda: nn.MLP([4, 3, 2], dropout=0.2, rng=0)])
def test_copies_are_independent(copier, make):
    model = make().eval()
    twin = copier(model)
    np.testing.assert_array_equal(twin(X).data, model(X).data)
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert not twin.training
    before = model(X).data.copy()
    with tg.no_grad():
        for p in twin.parameters():
            p += 1
    np.testing.assert_array_equal(model(X).data, before)
    twin(X).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    if make is Tied:
        assert twin.weight is twin.encode.weight


# -- how it looks --------------------------------------------------------------------------------


def test_repr():
    assert repr(nn.Linear(3, 2)) == "Linear(3, 2)"
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(3, 2, bias=False)"
    assert repr(nn.Dropout(0.25)) == "Dropout(0.25)"
    assert repr(nn.Softmax(axis=0)) == "Softmax(axis=0)"
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(0.2)"
    model = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Tanh(), nn.ELU()))
    assert repr(model) == (
        "Sequential(\n  (0): Linear(3, 2)\n  (1): Sequential(\n    (0): Tanh()\n    (1): ELU(1.0)\n  )\n)"
    )


def test_summary_counts_everything_once():
    for model in (nn.MLP([784, 128, 10], rng=0), Nested(), Tied()):
        summary = model.summary()
        assert summary.count == sum(p.size for p in model.parameters())
        assert sum(layer.numbers for layer in summary.layers) == summary.count


def test_describe_and_build():
    models = [
        nn.Linear(3, 2, bias=False),
        nn.MLP([4, 3, 2], "tanh", output="softmax", dropout=0.1, rng=0),
        nn.MLP((4, 2), activation=nn.GELU, rng=np.random.default_rng(0)),
        nn.Sequential(
            nn.Flatten(),
            nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(0.3)),
            nn.ELU(alpha=0.5),
            nn.Softmax(axis=0),
        ),
        nn.Linear(np.int64(3), 2, weight_init="xavier_normal", dtype=np.float64),
        nn.Linear(3, 2, dtype="float64"),
        nn.Linear(3, 2, dtype=np.dtype("float64")),
        nn.Linear(3, 2, dtype=float),
        nn.Dropout(p=0.3, rng=1),
    ]
    for model in models:
        description = json.loads(json.dumps(nn.describe(model)))
        twin = nn.build(description)
        assert repr(twin) == repr(model)
        assert nn.describe(twin) == nn.describe(model)
        assert [(n, p.shape, p.dtype) for n, p in twin.named_parameters()] == [
            (n, p.shape, p.dtype) for n, p in model.named_parameters()
        ]
        twin.load_state_dict(model.state_dict())


def test_classes_of_ones_own():
    class Block(nn.Module):
        def __init__(self, size, inner, *, gain=1.0):
            self.linear, self.inner, self.gain = nn.Linear(size, size), inner, gain

        def forward(self, x):
            return self.inner(self.linear(x)) * self.gain

    model = nn.Sequential(Block(4, nn.Tanh(), gain=2.0), Block(4, nn.Sequential(nn.ReLU())))
    description = json.loads(json.dumps(nn.describe(model)))
    with pytest.raises(DataError, match=r"'Block'.*classes="):
        nn.build(description)
    twin = nn.build(description, classes=[Block])
    twin.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(twin(X).data, model(X).data)


@for_each(
    "bad",
    [
        None,
        3,
        [],
        "Linear",
        {},
        {"class": "os.system"},
        {"class": None},
        {"class": []},
        {"class": "Linear", "args": 5},
        {"class": "Linear"},
        {"class": "Linear", "args": [3, 2], "kwargs": [1]},
        {"class": "Linear", "args": ["a", 2]},
        {"class": "Linear", "args": [3, 2], "kwargs": {"unknown": 1}},
        {"class": "Sequential", "args": [{"class": "Nope"}]},
        {"class": "Module"},
    ],
    ids=str,
)
def test_descriptions_that_are_none(bad):
    with pytest.raises(DataError):
        nn.build(bad)


def test_what_has_no_json_form():
    with pytest.raises(OptionError, match=r"Linear.*cannot be saved"):
        nn.describe(nn.Linear(3, 2, weight_init=lambda shape, rng: np.zeros(shape)))


# -- layers --------------------------------------------------------------------------------------


def test_linear():
    layer = nn.Linear(4, 3, rng=0)
    assert (layer.weight.shape, layer.bias.shape) == ((3, 4), (3,))
    np.testing.assert_allclose(layer(X).data, X @ layer.weight.data.T + layer.bias.data, rtol=1e-6)
    assert layer(X[0]).shape == (3,)
    assert layer(X.reshape(2, 3, 4)).shape == (2, 3, 3)
    assert layer(X[:0]).shape == (0, 3)
    assert nn.Linear(4, 3, bias=False).bias is None
    assert np.abs(layer.weight.data).max() <= 0.5
    with pytest.raises(OptionError, match="positive"):
        nn.Linear(0, 3)


def test_an_input_that_does_not_fit_names_the_layer():
    model = nn.Sequential(nn.Linear(784, 3), nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(
        ShapeError, match=r"Linear\(784, 3\) \(at '0'\).*\(…, 784\), got \(5, 28, 28\); nn\.Flatten"
    ):
        model(np.zeros((5, 28, 28), np.float32))
    with pytest.raises(ShapeError, match=r"Linear\(4, 2\).*got \(5, 3\)"):
        model(np.zeros((5, 784), np.float32))
    with pytest.raises(ShapeError, match=r"got \(\)"):
        nn.Linear(4, 2)(np.float32(1))
    with pytest.raises((ShapeError, TypeError), match="Linear"):
        nn.Linear(4, 2)([1.0, 2.0])


def test_flatten():
    assert nn.Flatten()(np.zeros((5, 2, 3))).shape == (5, 6)
    assert nn.Flatten()(np.zeros((0, 2, 3))).shape == (0, 6)
    assert nn.Flatten()(np.zeros(5)).shape == (5, 1)


def test_sequential_is_a_sequence():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    assert len(model) == 3
    assert isinstance(model[-1], nn.Linear)
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "Linear"]
    np.testing.assert_array_equal(model[:2](X).data, np.tanh(model[0](X)).data)
    with pytest.raises(IndexError):
        model[3]
    assert nn.Sequential()(X) is X


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_statistics(p):
    x = np.ones((200, 500), np.float32)
    y = nn.Dropout(p, rng=0)(x)
    assert y.dtype == np.float32
    kept = y != 0
    assert kept.mean() == pytest.approx(1 - p, abs=0.005)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=0.02)


def test_dropout_in_eval_is_the_identity():
    layer = nn.Dropout(0.5, rng=0)
    assert layer.eval()(X) is X
    assert nn.Dropout(0.0)(X) is X


def test_dropout_seeds():
    a, b = nn.Dropout(0.5, rng=7), nn.Dropout(0.5, rng=7)
    first, second = a(X), a(X)
    np.testing.assert_array_equal(first, b(X))
    assert not np.array_equal(first, second)
    t = tensor(X, requires_grad=True)
    y = F.dropout(t, 0.5, rng=3)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.data, (y.data != 0) * np.float32(2))
    for p in (1.0, -0.1, math.nan):
        with pytest.raises(OptionError, match="probability"):
            nn.Dropout(p)


@for_each("name", nn.activations)
@for_each("output", [None, "sigmoid"])
def test_mlp_with_every_activation(name, output):
    model = nn.MLP([4, 5, 3, 2], activation=name, output=output, rng=0)
    kinds = [type(m).__name__ for m in model]
    assert kinds[0::2][:3] == ["Linear"] * 3
    assert len(kinds) == (5 if output is None else 6)
    assert type(model[1]) is nn.activations[name][0]
    y = model(X)
    assert (y.shape, y.dtype) == ((6, 2), np.float32)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in model.parameters())
    exact = model.astype(np.float64)
    assert tg.testing.gradcheck(exact, X.astype(np.float64), order=2)


def test_mlp_options():
    model = nn.MLP([4, 3, 3, 2], dropout=0.5, rng=0)
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert (model[0].bias.data == 0).all()
    with pytest.raises(OptionError, match=r"unknown activation 'rleu' .*did you mean 'relu'.*valid: .*tanh"):
        nn.MLP([4, 2, 2], activation="rleu")
    with pytest.raises(OptionError, match="unknown initialiser 'xavier'"):
        nn.MLP([4, 2], weight_init="xavier")
    for sizes in ([], [4]):
        with pytest.raises(OptionError, match="sizes"):
            nn.MLP(sizes)
    with pytest.raises(OptionError):
        nn.MLP([4, 0, 2])


def test_the_same_seed_gives_the_same_bits():
    a, b, c = (nn.MLP([8, 5, 2], rng=seed) for seed in (0, 0, 1))
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(value, b.state_dict()[name])
    assert not np.array_equal(a[0].weight.data, c[0].weight.data)
    shared = np.random.default_rng(0)
    np.testing.assert_array_equal(nn.MLP([8, 5, 2], rng=shared)[0].weight.data, a[0].weight.data)


def test_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    nn.MLP([8, 5, 2], dropout=0.5)(np.ones((1, 8), np.float32))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# -- initial weights -----------------------------------------------------------------------------

OUT, IN = 300, 400


@for_each(
    "name, std",
    [
        ("xavier_uniform", math.sqrt(2 / (IN + OUT))),
        ("xavier_normal", math.sqrt(2 / (IN + OUT))),
        ("kaiming_uniform", math.sqrt(2 / IN)),
        ("kaiming_normal", math.sqrt(2 / IN)),
        ("lecun_uniform", math.sqrt(1 / IN)),
        ("lecun_normal", math.sqrt(1 / IN)),
        ("fan_in_uniform", math.sqrt(1 / IN / 3)),
        ("book_normal", math.sqrt(1 / OUT)),
        ("uniform", math.sqrt(1 / 12)),
        ("normal", 0.01),
        ("standard_normal", 1.0),
        ("orthogonal", math.sqrt(1 / IN)),
    ],
)
def test_initialisers(name, std):
    w = init.get(name)((OUT, IN), rng=0)
    assert w.dtype == np.float32
    assert w.shape == (OUT, IN)
    assert w.std() == pytest.approx(std, rel=0.01)
    assert abs(w.mean()) < 4 * std / math.sqrt(w.size)
    kurtosis = np.mean((w / w.std()) ** 4.0)
    assert kurtosis == pytest.approx(1.8 if "uniform" in name else 3.0, abs=0.1)
    np.testing.assert_array_equal(w, init.get(name)((OUT, IN), rng=0))
    assert init.get(name)((OUT, IN), rng=0, dtype=np.float64).dtype == np.float64


def test_all_initialisers_are_tested_and_unknown_ones_listed():
    assert len(init.INITIALISERS) == 14
    with pytest.raises(OptionError, match=r"unknown initialiser.*kaiming_normal"):
        nn.Linear(2, 2, weight_init="kaiming")
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        init.xavier_normal((3,))
    np.testing.assert_array_equal(init.constant((2,), 3.0), [3, 3])
    assert init.xavier_uniform((OUT, IN), gain=2.0, rng=0).std() == pytest.approx(
        2 * math.sqrt(2 / 700), rel=0.01
    )


@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (6, 4), (6, 2, 3), (2, 3, 2, 2)])
def test_orthogonal(shape):
    w = init.orthogonal(shape, gain=2.0, rng=0, dtype=np.float64)
    assert w.shape == shape
    w = w.reshape(shape[0], -1)
    square = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_truncated_normal():
    w = init.truncated_normal((300, 400), mean=1.0, std=0.5, rng=0)
    assert (w.dtype, np.abs(w - 1).max() <= 1) == (np.float32, True)
    assert w.mean() == pytest.approx(1, abs=0.01)
    assert w.std() == pytest.approx(0.5 * 0.8796, rel=0.01)
    assert init.truncated_normal((), rng=0).shape == ()
