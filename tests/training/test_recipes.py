"""Recipes: named settings of ``train``, which other options override and a run remembers."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import tinygrad_mnist as tg
from tinygrad_mnist.cli.commands import cli
from tinygrad_mnist.cli.training import train
from tinygrad_mnist.training.recipes import RECIPES, Recipe
from tinygrad_mnist.training.runs import Run
from tinygrad_mnist.training.settings import Settings


def understood(*arguments: str) -> dict[str, object]:
    """What the command understands, as far as it belongs to the settings."""
    with train.make_context("train", [*arguments]) as context:
        others = {"plots", "as_json", "out", "doctor", "checkpoint_every", "resume", "threads", "parallel"}
        return {name: value for name, value in context.params.items() if name not in others}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_understood_and_makes_a_model(name: str) -> None:
    options, usual = understood("--recipe", name), understood()
    changed = {option for option in usual if options[option] != usual[option]}
    assert changed - {"recipe"} <= set(RECIPES[name].options) <= set(usual)
    typed = understood(*str(RECIPES[name]).split())
    assert {**typed, "recipe": name} == options  # a recipe is what it says
    settings = Settings.choose(options, tg.data.load("sample")[0])
    assert settings.recipe == name
    assert settings.make_model(784)


def test_what_is_typed_beside_a_recipe_takes_precedence_on_either_side() -> None:
    for arguments in (["--recipe", "fast", "--epochs", "3"], ["--epochs", "3", "--recipe", "fast"]):
        assert understood(*arguments) == {**understood("--recipe", "fast"), "epochs": 3}
    assert (
        understood("--recipe", "fast", "--validation", "0.05")["validation"] == 0.05
    )  # the usual value, typed


def test_an_unknown_recipe_is_refused_and_all_are_listed() -> None:
    with pytest.raises(click.BadParameter, match="'fast'"):
        understood("--recipe", "fats")
    listed = run("train", "--help").output
    assert all(name in listed for name in RECIPES)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)


def test_a_run_remembers_its_recipe_and_settings_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "mine", Recipe("two units", {"hidden": "2", "lr": "0.3", "epochs": "1"}))
    # The choices of the option are those that there were when the command was made.
    recipe = next(option for option in train.params if option.name == "recipe")
    monkeypatch.setattr(recipe, "type", click.Choice([*RECIPES]))
    folder = tmp_path / "run"
    done = run(
        "train", "--dataset", "digits", "--recipe", "mine", "--lr", "0.1", "--no-plots", "--out", folder
    )
    assert done.exit_code == 0
    assert "recipe: --hidden 2 --lr 0.3 --epochs 1\n" in done.output
    config = json.loads((folder / "config.json").read_text())
    assert (config["recipe"], config["hidden"], config["lr"], config["epochs"]) == ("mine", [2], 0.1, 1)
    refused = run("train", "--resume", folder, "--recipe", "mine")
    assert refused.exit_code == 2
    assert "leave out --recipe" in refused.output
    monkeypatch.delitem(RECIPES, "mine")  # the settings are the run's own
    assert run("train", "--resume", folder, "--epochs", 2, "--no-plots").exit_code == 0
    assert (Run(folder).settings.recipe, Run(folder).settings.epochs) == ("mine", 2)
