"""Models by name: each learns, can be saved, and is the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import OptionError
from tinygrad_mnist.training.models import MODELS, ModelRecipe


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_and_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    make = MODELS[name].make
    model, twin = make(16, 10, np.random.default_rng(0)), make(16, 10, np.random.default_rng(0))
    for key, value in twin.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[key])
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 60)
    x = (rng.random((3, 256))[y] + 0.1 * rng.normal(size=(60, 256))).astype(np.float32)
    history = tg.training.fit(model, (x, y), epochs=6, batch_size=20, rng=0, progress=False)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    tg.training.save_model(model, tmp_path / "m.safetensors")
    loaded = tg.training.load_model(tmp_path / "m.safetensors").eval()
    np.testing.assert_array_equal(tg.training.predict(loaded, x), tg.training.predict(model, x))


def test_compiled_steps_of_a_residual_network_are_the_same() -> None:
    results = []
    x, y = np.random.default_rng(0).random((8, 64), np.float32), np.arange(8)
    for compile in (False, "numpy"):
        model = MODELS["resnet"].make(8, 10, np.random.default_rng(0))
        tg.training.fit(model, (x, y), epochs=2, batch_size=4, rng=0, progress=False, compile=compile)
        results.append(model.state_dict())
    for key, value in results[0].items():
        np.testing.assert_allclose(results[1][key], value, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["lenet", "small-cnn"])
def test_images_that_are_too_small_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"images of .*3×3"):
        MODELS[name].make(3, 10, np.random.default_rng(0))


def run(*arguments: object) -> int:
    from click.testing import CliRunner

    from tinygrad_mnist.cli.commands import cli

    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False).exit_code


@pytest.mark.thorough
def test_the_command_trains_a_model_with_augmentation_and_uses_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    quick = ("train", "--dataset", "digits", "--epochs", 1, "--no-plots")
    assert run(*quick, "--model", "cnn", "--augment", "shift,rotate", "--out", folder) == 0
    for command in ("evaluate", "explain", "doctor"):
        assert run(command, folder) in (0, 1 if command == "doctor" else 0)
    saved = tg.training.runs.Run(folder)
    assert (saved.settings.model, saved.settings.augment) == ("cnn", ("shift", "rotate"))
    assert any(isinstance(module, tg.nn.Conv2d) for module in saved.model().modules())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mlp", "small-cnn", "resnet"])
def test_the_pictures_of_a_run_show_filters_and_feature_maps(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "run"
    few = ("train", "--dataset", "digits", "--epochs", 1, "--batch-size", 1000, "--compile", "no")
    assert run(*few, "--model", name, "--augment", "shift", "--out", folder) == 0
    drawn = {path.name for path in folder.glob("*.png")}
    assert {"first_layer.png", "augmented.png"} <= drawn
    assert ("feature_maps.png" in drawn) == (name != "mlp")
    page = (folder / "index.html").read_text()
    assert all(picture in page for picture in drawn)


def test_what_belongs_to_another_model_is_refused(tmp_path: Path) -> None:
    quick = ("train", "--dataset", "digits", "--epochs", 1, "--no-plots", "--out", tmp_path / "run")
    assert run(*quick, "--model", "cnn", "--hidden", "30") == 2
    assert run(*quick, "--augment", "shake") == 2
    assert not (tmp_path / "run").exists()


def test_ones_own_model_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(side: int, classes: int, rng: np.random.Generator) -> tg.nn.Module:
        return tg.nn.Linear(side * side, classes, rng=rng)

    monkeypatch.setitem(MODELS, "plain", ModelRecipe("one layer", plain))
    data, _ = tg.data.load_digits()
    options = {
        "dataset": "digits", "path": None, "hidden": (), "activation": "relu", "dropout": 0.0, "loss": "cross-entropy",
        "label_smoothing": 0.0, "optimizer": "adamw", "lr": None, "weight_decay": 0.05, "schedule": "one-cycle",
        "epochs": 1, "batch_size": 128, "clip_norm": None, "validation": 0.05, "keep": None, "patience": None,
        "compile": False, "seed": 0, "model": "plain", "augment": (),
    }  # fmt: skip
    assert isinstance(tg.training.settings.Settings.choose(options, data).make_model(64), tg.nn.Linear)
