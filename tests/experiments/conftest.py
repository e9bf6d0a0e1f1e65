"""Run the experiments as the command line does, each in an empty folder."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import catalogue


@pytest.fixture
def script():
    """Import the script of an experiment by name."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"experiment_{name}", catalogue()[name][0])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run(script, tmp_path, monkeypatch):
    """Run an experiment with arguments, and return its report.

    Every picture that its page shows is there, and every number is finite.
    """
    monkeypatch.chdir(tmp_path)

    def call(name, *args):
        report = script(name).main.main([str(arg) for arg in args], standalone_mode=False)
        page = (report.folder / "index.html").read_text()
        assert page.count("<img") == len(list(report.folder.glob("*.png"))) + len(
            list(report.folder.glob("*.gif"))
        )
        result = (report.folder / "result.json").read_text()
        assert "NaN" not in result
        assert "Infinity" not in result
        assert json.loads(result)["status"].startswith("finished")
        return report

    return call


@pytest.fixture
def tables():
    """Read the tables of a report, by title."""

    def read(report):
        result = json.loads((report.folder / "result.json").read_text())
        return {table["title"]: table["rows"] for table in result["tables"]}

    return read


@pytest.fixture
def few_digits(tmp_path):
    """Write a small part of the sample as a data set of its own."""
    train, test = tg.data.load_mnist("sample")
    arrays = {
        "x_train": train.inputs,
        "y_train": train.targets,
        "x_test": test.inputs,
        "y_test": test.targets,
    }
    np.savez(
        tmp_path / "digits.npz",
        **{name: array[: 600 if name.endswith("train") else 100] for name, array in arrays.items()},
    )
    return tmp_path / "digits.npz"


@pytest.fixture
def rhyme(monkeypatch):
    """Give the experiments with text a short one to learn by heart."""
    text = "The cat sat on the mat.\n" * 600
    monkeypatch.setattr("tinygrad_mnist.experiments.text.documentation", lambda: text)
