"""Every door to another tool names the pip line of what it needs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn

DOORS = {
    "onnxruntime": (lambda: tg.export_onnx(nn.Linear(2, 1), np.ones((1, 2), np.float32), "m.onnx"), "onnx"),
    "onnx": (lambda: tg.import_onnx("m.onnx"), "onnx"),
    "pandas": (lambda: tg.training.History().to_pandas(), "pandas"),
    "tensorboardX": (lambda: tg.training.TensorBoard("folder"), "tensorboard"),
    "torch": (lambda: tg.to_torch(nn.ReLU()), "torch"),
}


@pytest.mark.parametrize("package", DOORS)
def test_the_line_that_installs_what_is_missing(package, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    use, extra = DOORS[package]
    with pytest.raises(
        tg.errors.MissingExtraError, match=rf"{package}.*pip install 'tinygrad-mnist\[{extra}\]'"
    ):
        use()
    assert not [*tmp_path.iterdir()]


def test_estimators_without_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None; import tinygrad_mnist as tg; tg.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "tg.sklearn needs the package 'sklearn'" in done.stderr
    assert "pip install 'tinygrad-mnist[digits]'" in done.stderr
