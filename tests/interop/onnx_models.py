"""Networks of the kinds that people send to other programs, small, each with an example of its input.

``python tests/interop/onnx_models.py`` sends them to ONNX and back, and prints how much is lost on the way.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.training.models import MODELS

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


class Gpt(nn.Module):
    """One block of a transformer that continues a text."""

    def __init__(self, words: int = 11, length: int = 7, size: int = 8) -> None:
        self.words = nn.Embedding(words, size, rng=0)
        self.places = nn.Parameter(floats(length, size))
        self.norm_1, self.norm_2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, 2, batch_first=True, rng=0)
        self.body = nn.Sequential(nn.Linear(size, 16, rng=0), nn.GELU(), nn.Linear(16, size, rng=0))
        self.head = nn.Linear(size, words, bias=False, rng=0)

    def forward(self, text: Any) -> Any:
        x = self.words(text) + self.places
        h = self.norm_1(x)
        x = x + self.attention(h, h, h, need_weights=False, is_causal=True)[0]
        return self.head(x + self.body(self.norm_2(x)))


class Recurrent(nn.Module):
    """What a sequence ends with, and all states."""

    def __init__(self, kind: Any, **settings: Any) -> None:
        self.layer = kind(3, 5, batch_first=True, rng=0, **settings)
        self.head = nn.Linear(10 if settings.get("bidirectional") else 5, 2, rng=0)

    def forward(self, x: Any) -> Any:
        y, last = self.layer(x)
        return self.head(y[:, -1]), last


def resnet_block() -> nn.Module:
    rng = np.random.default_rng(0)
    body = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Conv2d(3, 3, 3, padding=1, rng=rng), nn.GroupNorm(3, 3),
    )  # fmt: skip
    model = nn.Sequential(
        nn.Residual(body), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4, rng=rng)
    )
    model(floats(8, 3, 6, 6))  # so that the running mean is not 0
    return model


def make(name: str) -> tuple[nn.Module, Any]:
    """A model and an example of its input."""
    if name in MODELS:
        return MODELS[name].make(28, 10, np.random.default_rng(0)), floats(2, 784)
    return {
        "gpt": lambda: (Gpt(), RNG.integers(0, 11, (3, 7))),
        "resnet block": lambda: (resnet_block(), floats(2, 3, 6, 6)),
        "rnn": lambda: (Recurrent(nn.RNN, nonlinearity="relu"), floats(2, 6, 3)),
        "lstm": lambda: (Recurrent(nn.LSTM), floats(2, 6, 3)),
        "gru": lambda: (Recurrent(nn.GRU), floats(2, 6, 3)),
        "lstm, both ways": lambda: (Recurrent(nn.LSTM, bidirectional=True, num_layers=2), floats(2, 6, 3)),
        "gru, both ways": lambda: (Recurrent(nn.GRU, bidirectional=True, num_layers=2), floats(2, 6, 3)),
        "decoder": lambda: (
            nn.Sequential(
                nn.Linear(4, 12, rng=0), nn.SiLU(), nn.Unflatten(1, (3, 2, 2)),
                nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1, rng=0), nn.Upsample(scale_factor=2),
                nn.MaxPool2d(3, 2, ceil_mode=True), nn.Softplus(), nn.AdaptiveAvgPool2d(3),
            ),
            floats(2, 4),
        ),
        "activations": lambda: (
            nn.Sequential(
                nn.Linear(4, 6, rng=0), nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.BatchNorm1d(6),
                nn.Dropout(0.5), nn.LogSoftmax(),
            ),
            floats(2, 4),
        ),
    }[name]()  # fmt: skip


QUICK = ["mlp", "lenet", "resnet block", "lstm", "gpt", "gru, both ways", "decoder", "activations"]
OTHERS = [*(name for name in MODELS if name not in QUICK), "rnn", "gru", "lstm, both ways"]


def gradients(model: nn.Module, x: Any) -> dict[str, Any]:
    """The gradient of a sum of squares of all outputs, by parameter."""
    model.zero_grad()
    loss = sum(np.sum(y * y) for y in tg.trees.leaves(model(x)))
    loss.backward()
    return {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


def main() -> None:
    """Print how far onnxruntime, and what is read again, are from each model: outputs and gradients."""
    print(f"{'':18}{'nodes':>6}{'onnxruntime':>13}{'read again':>12}{'gradients':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for name in QUICK + OTHERS:
            model, x = make(name)
            model.eval()
            made = tg.export_onnx(model, x, Path(folder) / "model.onnx")
            again = tg.import_onnx(made.path)
            pairs = zip(tg.trees.leaves(model(x)), tg.trees.leaves(again(x)), strict=True)
            outputs = max(float(np.abs(a.data - b.data).max()) for a, b in pairs)
            ours, theirs = gradients(model, x), gradients(again, x)
            slopes = max(float(np.abs(ours[key] - theirs[key]).max()) for key in ours)
            print(f"{name:18}{made.nodes:6}{made.difference:13.1e}{outputs:12.1e}{slopes:11.1e}")


if __name__ == "__main__":
    main()
