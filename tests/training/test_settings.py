"""The settings of a training: what is chosen, filled in, refused and read again."""

from __future__ import annotations

import dataclasses
import json

import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DataError, OptionError, RunError
from tinygrad_mnist.training.runs import Run
from tinygrad_mnist.training.settings import OPTIMIZERS, OptimizerRecipe, Settings

OPTIONS = {
    "dataset": "sample", "path": None, "hidden": (512, 16), "activation": "tanh", "dropout": 0.1, "loss": "mse",
    "label_smoothing": 0.0, "optimizer": "adamw", "lr": None, "weight_decay": 0.05, "schedule": "one-cycle",
    "epochs": 2, "batch_size": 50, "clip_norm": None, "validation": 0.05, "keep": None, "patience": None,
    "compile": "auto", "seed": 0,
}  # fmt: skip


@pytest.fixture
def train_data():
    return tg.data.load("sample")[0]


def test_what_is_left_open_is_filled_in(train_data):
    settings = Settings.choose(OPTIONS, train_data)
    assert (settings.lr, settings.keep) == (0.003, "last")
    assert (settings.data, settings.side, settings.classes) == (tg.data.SAMPLE, 28, tuple("0123456789"))
    assert Settings.choose({**OPTIONS, "patience": 3}, train_data).keep == "best"
    assert Settings.choose({**OPTIONS, "lr": 0.1}, train_data).lr == 0.1


def test_they_are_frozen(train_data):
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.choose(OPTIONS, train_data).lr = 1.0


def test_they_make_what_is_trained(train_data):
    settings = Settings.choose(OPTIONS, train_data)
    model = settings.make_model(784)
    assert [type(layer).__name__ for layer in model] == [
        "Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear", "Sigmoid",
    ]  # fmt: skip
    optimizer = settings.make_optimizer(model.parameters())
    assert isinstance(optimizer, tg.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 0.05
    x, y = train_data[:4]
    assert settings.make_loss()(model(x), y).item() > 0


def test_they_are_read_again_as_they_were(train_data):
    settings = Settings.choose(OPTIONS, train_data)
    assert Settings.of(json.loads(json.dumps(settings.as_dict()))) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adma"}, r"unknown optimizer 'adma' \(did you mean 'adam'\?\)"),
        ({"dataset": ["mnist"]}, "unknown dataset"),
        ({"label_smoothing": 0.1}, "--label-smoothing works only with --loss cross-entropy"),
        ({"keep": "last", "patience": 2}, "--patience returns to the best epoch"),
        ({"keep": "best", "validation": 0.0}, "so --validation must be larger"),
        ({"hidden": (16, 1.5)}, "hidden is 1.5, but must be of type int"),
        ({"lr": "fast"}, "lr is 'fast', but must be of type int"),
        ({"epochs": True}, "epochs is True, but must be of type int"),
    ],
)
def test_what_cannot_be_is_refused(train_data, change, message):
    with pytest.raises(OptionError, match=message):
        Settings.choose({**OPTIONS, **change}, train_data)


def test_a_run_says_which_settings_are_missing_or_damaged(train_data, tmp_path):
    config = Settings.choose(OPTIONS, train_data).as_dict()
    tg.training.save_model(tg.nn.Linear(2, 2, rng=0), tmp_path / "model.safetensors")
    for change, error, message in (
        ({"lr": "fast"}, DataError, "`tinygrad-mnist train` does not write: lr is 'fast'"),
        ({"side": None}, DataError, "side is None"),
        (None, RunError, "has no lr, side, so the run is damaged"),
    ):
        damaged = (
            {**config, **change} if change else {k: v for k, v in config.items() if k not in ("lr", "side")}
        )
        (tmp_path / "config.json").write_text(json.dumps(damaged))
        with pytest.raises(error, match=message):
            _ = Run(tmp_path).settings


def test_a_new_optimizer_is_one_entry(train_data, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "heavy", OptimizerRecipe(tg.optim.SGD, 0.25, is_adaptive=True))
    settings = Settings.choose({**OPTIONS, "optimizer": "heavy"}, train_data)
    assert settings.lr == 0.125
    assert isinstance(settings.make_optimizer(settings.make_model(784).parameters()), tg.optim.SGD)
