"""Models by name: each learns, can be saved, and is the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import OptionError
from tinygrad_mnist.training.models import MODELS


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


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(OptionError, match="too small"):
        MODELS["small-cnn"].make(5, 10, np.random.default_rng(0))
