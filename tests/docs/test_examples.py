"""The examples: each runs as it is, and does what its first lines promise."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import catalogue
from tinygrad_mnist.training import load_model, save_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Import an example by name; operations that it declares are forgotten afterwards."""
    operations = sys.modules["tinygrad_mnist.primitive"]
    monkeypatch.setattr(operations, "_ALL", dict(operations._ALL))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_mnist_mlp(example, capsys):
    mnist_mlp = example("mnist_mlp")
    accuracy = mnist_mlp.main(epochs=3)
    assert accuracy > 0.88
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", str(epoch)] for epoch in (1, 2, 3)]
    assert mnist_mlp.main(epochs=1, seed=5) == mnist_mlp.main(epochs=1, seed=5)


def test_the_model_of_mnist_mlp_can_be_saved(example, tmp_path):
    classifier = example("mnist_mlp").Classifier
    model = classifier(16, np.random.default_rng(0))
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors", classes=[classifier])
    images = tg.data.load_mnist("sample")[1][:20][0]
    with tg.no_grad():
        np.testing.assert_array_equal(loaded(images).data, model(images).data)


def test_custom_model(example, capsys):
    custom_model = example("custom_model")
    assert custom_model.main(steps=600) > 0.98
    assert "gradients agree" in capsys.readouterr().out


def test_custom_op(example, capsys):
    custom_op = example("custom_op")
    custom_op.main()
    assert "second order agree" in capsys.readouterr().out
    x = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(custom_op.snake(x, 2.0), x + np.sin(2 * x) ** 2 / 2)


def test_minimize(example, capsys):
    pytest.importorskip("scipy", reason="the example minimizes with SciPy")
    minimize = example("minimize")
    for seed in (0, 1):
        found, again, errors = minimize.main(seed)
        np.testing.assert_allclose(found, again, rtol=1e-4)
        assert np.all(np.abs(found - minimize.TRUE) < 4 * errors)
        assert np.all(errors < 0.05)
    assert "±" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "last_line"),
    [
        pytest.param("mnist_mlp", r"epoch 8  loss .*  test accuracy 9\d", marks=pytest.mark.thorough),
        pytest.param("custom_model", r"(99\.\d|100\.0)% of the points", marks=pytest.mark.thorough),
        ("custom_op", "agree with finite differences"),
        ("minimize", r"BFGS: \d+ evaluations"),
    ],
)
def test_as_a_script(name, last_line, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(EXAMPLES.parent),
            "PATH": "",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(last_line, done.stdout.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_tested():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    experiments = {
        path.stem.removeprefix("test_") for path in Path(__file__).parents[1].glob("experiments/*.py")
    }
    assert set(catalogue()) <= experiments
    assert names - set(catalogue()) == {"mnist_mlp", "custom_model", "custom_op", "minimize"}
