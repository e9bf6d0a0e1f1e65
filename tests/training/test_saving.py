"""Models on disk: what comes back is what was saved, and a file can do no harm."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import files, nn
from tinygrad_mnist.errors import DataError, OptionError, RunError, StateDictError, TinygradError
from tinygrad_mnist.training import load_model, save_model


class Doubled(nn.Module):
    """A layer of our own, which a model can be made of."""

    def forward(self, x):
        return 2 * x


class Blended(nn.Module):
    """A model of our own: a module among its arguments, a parameter, a buffer, a setting, a generator."""

    def __init__(self, inner, scale=1.0, *, rng=None):
        rng = np.random.default_rng(rng)
        self.inner = inner
        self.scale = scale
        self.shift = nn.Parameter(rng.normal(size=3))
        self.register_buffer("seen", np.zeros((), np.int64))

    def forward(self, x):
        return x + self.scale * self.inner(x) + self.shift


class Generated(nn.Module):
    """Takes its generator in the middle of its positional arguments."""

    def __init__(self, size, rng, power=2):
        self.weight = nn.Parameter(rng.normal(size=(size, 3)))
        self.power = power

    def forward(self, x):
        return (x @ self.weight.T) ** self.power


OWN = [Doubled, Blended, Generated]
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)

MODELS = {
    "Linear": lambda: nn.Linear(3, 2, rng=0),
    "no bias": lambda: nn.Linear(3, 2, False, weight_init="xavier_normal", rng=0),
    "float64": lambda: nn.Linear(3, 2, dtype=np.float64, rng=0),
    "MLP": lambda: nn.MLP([3, 4, 2], rng=0),
    "MLP with everything": lambda: nn.MLP(
        (3, 5, 4, 2),
        "tanh",
        "softmax",
        dropout=0.25,
        weight_init="lecun_uniform",
        rng=np.random.default_rng(1),
    ),
    "MLP with classes": lambda: nn.MLP([3, 4, 2], activation=nn.GELU, output=nn.LogSoftmax, rng=0),
    "MLP with a class of ours": lambda: nn.MLP([3, 4, 2], activation=Doubled, rng=0),
    "MLP with a function of init": lambda: nn.MLP([3, 4, 2], weight_init=nn.init.kaiming_normal, rng=0),
    "part of an MLP": lambda: nn.MLP([3, 4, 2], rng=0)[:2],
    "Sequential": lambda: nn.Sequential(
        nn.Flatten(),
        nn.Linear(3, 4, rng=0),
        nn.ELU(0.5),
        nn.Sequential(nn.Dropout(0.3, rng=0), nn.LeakyReLU(slope=0.2)),
    ),
    "empty": lambda: nn.Sequential(),
    "of our own": lambda: Blended(nn.MLP([3, 4, 3], rng=0), 0.5, rng=3),
    "of our own, nested": lambda: nn.Sequential(Blended(inner=Blended(Doubled()), scale=2), Doubled()),
    "NumPy numbers": lambda: nn.Linear(np.int64(3), np.int32(2), rng=0),
    "generator by position": lambda: Generated(4, np.random.default_rng(5), 3),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same_model(a, b):
    assert repr(a) == repr(b)
    ours, theirs = a.state_dict(), b.state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])
    with tg.no_grad():
        np.testing.assert_array_equal(a.eval()(tg.tensor(X)).data, b.eval()(tg.tensor(X)).data)


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(path, name):
    model = MODELS[name]()
    for parameter in model.parameters():  # so that it does not pass because of the same seed
        with tg.no_grad():
            parameter += 0.125
    save_model(model, path)
    loaded = load_model(path, classes=OWN)
    assert type(loaded) is type(model)
    assert_same_model(model, loaded)
    for parameter in loaded.parameters():
        assert parameter.requires_grad


def test_saved_again_it_is_the_same_file(path, tmp_path):
    save_model(MODELS["MLP with everything"](), path)
    save_model(load_model(path), tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_settings_come_back(path):
    save_model(MODELS["of our own"](), path)
    loaded = load_model(path, classes=OWN)
    assert loaded.scale == 0.5
    save_model(MODELS["generator by position"](), path)
    assert load_model(path, classes=OWN).power == 3


def test_buffers_come_back(path):
    model = Blended(Doubled())
    model.seen = model.seen + 7
    save_model(model, path)
    assert load_model(path, classes=OWN).seen == 7


def test_a_converted_model_keeps_its_precision(path):
    model = nn.MLP([3, 4, 2], rng=0).astype(np.float64)
    with tg.no_grad():
        model[0].weight += 1e-12
    save_model(model, path)
    assert_same_model(model, load_model(path))


def test_the_file_is_plain_safetensors(path):
    model = MODELS["MLP"]()
    save_model(model, path)
    arrays = tg.load(path)
    assert arrays.keys() == model.state_dict().keys()
    description = json.loads(files.read_metadata(path)["model"])
    assert description == {"class": "MLP", "args": [[3, 4, 2]]}


def test_a_loaded_model_learns_on(path):
    save_model(MODELS["MLP"](), path)
    loaded = load_model(path)
    before = loaded.state_dict()
    tg.training.fit(loaded, (X, np.array([0, 1, 0, 1, 1])), epochs=1, progress=False, rng=0)
    assert not np.array_equal(loaded[0].weight.data, before["0.weight"])


def test_classes_may_be_any_iterable(path):
    model = MODELS["of our own, nested"]()
    save_model(model, path)
    assert_same_model(model, load_model(path, classes=(cls for cls in OWN)))


def test_classes_that_were_not_given(path):
    save_model(MODELS["of our own"](), path)
    with pytest.raises(DataError, match=r"Blended.*classes="):
        load_model(path)
    with pytest.raises(DataError, match="Blended"):
        load_model(path, classes=[Doubled])


# -- what cannot be saved ------------------------------------------------------------------------


class Holder(nn.Module):
    def __init__(self, what):
        self.what = what

    def forward(self, x):
        return x


def tied():
    layer = nn.Linear(3, 3, rng=0)
    return nn.Sequential(layer, nn.Tanh(), layer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.MLP([3, 4, 2], activation=lambda: nn.Tanh()),
        lambda: nn.Linear(3, 2, weight_init=lambda shape, rng=None: np.ones(shape)),
        lambda: Holder(print),
        lambda: Holder(np.ones(3)),
        lambda: Holder({1, 2}),
        lambda: Holder(b"bytes"),
        tied,
    ],
    ids=["activation", "initialiser", "function", "array", "set", "bytes", "tied"],
)
def test_what_could_not_be_loaded_is_not_saved(path, make):
    with pytest.raises(TinygradError):
        save_model(make(), path)
    assert list(path.parent.iterdir()) == []


def test_a_model_that_cannot_be_saved_leaves_the_older_one(path, monkeypatch):
    save_model(MODELS["MLP"](), path)
    before = path.read_bytes()
    with pytest.raises(OptionError, match="Holder"):
        save_model(nn.Sequential(Holder(print)), path)
    assert path.read_bytes() == before

    def fails(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        save_model(MODELS["Linear"](), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_other_file_endings(tmp_path):
    for name in ("model.npz", "model.pt", "model"):
        with pytest.raises(OptionError, match="safetensors"):
            save_model(MODELS["Linear"](), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# -- damaged and hostile files -------------------------------------------------------------------


def test_nothing_there(tmp_path):
    for missing in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(RunError, match=str(missing.name)):
            load_model(missing)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 20, -1, -100])
def test_truncated(path, keep):
    save_model(MODELS["MLP"](), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"model\.safetensors"):
        load_model(path)


def test_other_contents(path):
    for content in (b"\x89PNG\r\n\x1a\n" * 50, b"\xff" * 64, b"\x00" * 64, b"[]" * 40):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"model\.safetensors"):
            load_model(path)


def test_a_promise_of_more_than_there_is(path):
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x00" * 16)
    with pytest.raises(DataError):
        load_model(path)
    path.write_bytes((10**15).to_bytes(8, "little") + header)
    with pytest.raises(DataError):
        load_model(path)


def test_arrays_without_a_description(path):
    tg.save({"weight": np.ones((2, 3))}, path)
    with pytest.raises(DataError, match=r"description.*tg\.load"):
        load_model(path)


def describe_as(path, description, **arrays):
    text = description if isinstance(description, str) else json.dumps(description)
    tg.save(arrays or {"weight": np.ones(1)}, path, metadata={"model": text})


HOSTILE = {
    "no JSON": "{",
    "no text": "",
    "a list": [],
    "a number": 5,
    "null": None,
    "a name": '"MLP"',
    "empty": {},
    "name of a function": {"class": "os.system", "args": ["touch owned"]},
    "name of a builtin": {"class": "eval", "args": ["open('owned', 'w')"]},
    "name of a module": {"class": "antigravity"},
    "a dunder": {"class": "__class__"},
    "the base class's file": {"class": "Module", "args": []},
    "a class of no layer": {"class": "Parameter", "args": [1]},
    "no name": {"class": None},
    "a list for a name": {"class": ["MLP"]},
    "args no list": {"class": "Linear", "args": 5},
    "kwargs no object": {"class": "Linear", "args": [1, 1], "kwargs": [1]},
    "too few arguments": {"class": "Linear", "args": [3]},
    "too many arguments": {"class": "Linear", "args": [3] * 9},
    "unknown arguments": {"class": "Linear", "args": [3, 2], "kwargs": {"colour": "red"}},
    "twice the same argument": {"class": "Linear", "args": [3, 2], "kwargs": {"in_features": 3}},
    "text for a size": {"class": "Linear", "args": ["3", 2]},
    "half a size": {"class": "Linear", "args": [3.5, 2]},
    "infinite size": '{"class": "Linear", "args": [Infinity, 2]}',
    "a layer for a size": {"class": "Linear", "args": [{"layer": "ReLU"}, 2]},
    "negative size": {"class": "Linear", "args": [-3, 2]},
    "terabytes": {"class": "Linear", "args": [10**6, 10**6]},
    "terabytes in steps": {"class": "MLP", "args": [[10**6] * 40]},
    "beyond any address": {"class": "Linear", "args": [10**30, 1]},
    "beyond any C integer": {"class": "Linear", "args": [2**63, 2**63]},
    "unknown initialiser": {"class": "Linear", "args": [3, 2], "kwargs": {"weight_init": "os.system"}},
    "helper as initialiser": {"class": "Linear", "args": [3, 2], "kwargs": {"weight_init": "get"}},
    "unknown activation": {"class": "MLP", "args": [[3, 2, 2]], "kwargs": {"activation": "__import__"}},
    "object as activation": {"class": "MLP", "args": [[3, 2, 2]], "kwargs": {"activation": {"eval": "1"}}},
    "layer as activation": {
        "class": "MLP",
        "args": [[3, 2, 2]],
        "kwargs": {"activation": {"layer": "Linear"}},
    },
    "unknown layer": {"class": "MLP", "args": [[3, 2, 2]], "kwargs": {"activation": {"layer": "system"}}},
    "unknown dtype": {"class": "Linear", "args": [3, 2], "kwargs": {"dtype": "system"}},
    "objects": {"class": "Linear", "args": [3, 2], "kwargs": {"dtype": "O"}},
    "integers": {"class": "Linear", "args": [3, 2], "kwargs": {"dtype": "int64"}},
    "impossible seed": {"class": "Linear", "args": [3, 2], "kwargs": {"rng": -1}},
    "impossible share": {"class": "Dropout", "args": [7]},
    "numbers for layers": {"class": "Sequential", "args": [1, 2]},
    "hidden below": {
        "class": "Sequential",
        "args": [{"class": "Sequential", "args": [{"class": "subprocess.run"}]}],
    },
    "very deep": '{"class":"Sequential","args":[' * 100_000,
    "deep and whole": '{"class":"Sequential","args":[' * 5_000 + "]}" * 5_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions(path, name, monkeypatch):
    monkeypatch.chdir(path.parent)
    describe_as(path, HOSTILE[name])
    loaded = set(sys.modules)
    with pytest.raises((DataError, StateDictError)):
        load_model(path)
    assert list(path.parent.iterdir()) == [path]
    assert "antigravity" not in set(sys.modules) - loaded


def test_weights_that_do_not_fit(path):
    description = {"class": "Linear", "args": [3, 2]}
    describe_as(path, description, weight=np.ones((2, 4)), extra=np.ones(1))
    with pytest.raises(StateDictError) as caught:
        load_model(path)
    for part in ("weight", "(2, 4)", "(2, 3)", "bias", "missing", "extra", "unexpected"):
        assert part in str(caught.value)


def test_the_message_names_the_file(path):
    for description in ({"class": "Linear", "args": [3]}, {"class": "os.system"}, [], "{"):
        describe_as(path, description)
        with pytest.raises(DataError, match=r"model\.safetensors"):
            load_model(path)
