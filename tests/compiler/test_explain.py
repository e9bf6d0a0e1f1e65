"""``tinygrad-mnist explain``, ``train --compile`` and ``fit(compile=True)``."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from click.testing import CliRunner

import tinygrad_mnist as tg
from tinygrad_mnist.cli import cli
from tinygrad_mnist.errors import CompileError, NonFiniteError

QUICK = ["train", "--dataset", "digits", "--hidden", "8", "--epochs", "2", "--no-plots", "--dropout", "0.2"]


def run(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return rng.random((70, 12), np.float32), rng.integers(0, 3, 70)


@pytest.mark.parametrize("extra", [[], ["--loss", "mse"], ["--optimizer", "momentum", "--clip-norm", "0.5"]])
def test_a_run_is_explained(tmp_path, extra):
    folder = tmp_path / "run"
    run(*QUICK, *extra, "--out", str(folder))
    weights = (folder / "model.safetensors").read_bytes()
    assert "operations" in run("explain", str(folder))
    source = (folder / "program.py").read_text()
    assert "# back through 0.Linear" in source
    assert (folder / "model.safetensors").read_bytes() == weights
    run("explain", str(folder), "--use", "--batch-size", "3", "--out", str(tmp_path / "use.py"))
    text = (tmp_path / "use.py").read_text()
    assert "x (3, 64) float32" in text
    assert "back" not in text
    compile(source, "program.py", "exec")


def test_train_compiled_or_not(tmp_path):
    losses = []
    for name in ("--compile", "--no-compile"):
        run(*QUICK, name, "--out", str(tmp_path / name))
        losses.append(
            [row["train_loss"] for row in tg.training.History.load(tmp_path / name / "history.jsonl")]
        )
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.3}, {"schedule": tg.optim.OneCycleLR}])
def test_fit_compiled(digits, settings):
    model = tg.nn.MLP([12, 8, 3], dropout=0.3, rng=0)
    twin = copy.deepcopy(model)
    histories = [
        tg.training.fit(m, digits, epochs=3, batch_size=16, rng=1, progress=False, compile=how, **settings)
        for m, how in ((model, True), (twin, False))
    ]
    for key in ("train_loss", "train_accuracy"):
        got, expected = ([row[key] for row in h] for h in histories)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-4, atol=1e-6)


def test_fit_compiled_puts_good_weights_back(digits):
    model = tg.nn.MLP([12, 8, 3], rng=0)
    before = model.state_dict()
    with pytest.raises(NonFiniteError, match="epoch 1"):
        tg.training.fit(
            model, digits, optimizer=tg.optim.SGD(model.parameters(), lr=1e30), progress=False, compile=True
        )
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_detect_anomaly_does_not_go_with_programs(digits):
    model = tg.nn.MLP([12, 8, 3], rng=0)
    with tg.detect_anomaly(), pytest.raises(CompileError, match="detect_anomaly"):
        tg.training.fit(model, digits, progress=False, compile=True)
