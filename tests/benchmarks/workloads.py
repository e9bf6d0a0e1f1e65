"""The seven training steps: shapes, activation, loss and optimizer, with their data and first weights.

Every implementation is a function ``build(workload, weights, x, y) -> (step, read_weights)``:

- ``weights`` is ``[W1, b1, W2, b2, …]``, float32, each ``W`` of shape ``(out, in)``; ``build`` copies it.
- ``x`` is ``(batch, features)``, float32; ``y`` is one-hot float32 for ``"mse"`` and integer classes for
  ``"cross_entropy"``. Both are C-contiguous and stay as they are.
- ``step()`` runs forward, backward and update once, and returns the loss before the update as a float.
- ``read_weights()`` returns the current weights, in the form and order of ``weights``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Step = Callable[[], float]
Read = Callable[[], list[np.ndarray]]
Build = Callable[["Workload", list[np.ndarray], np.ndarray, np.ndarray], tuple[Step, Read]]

ADAM_BETAS = 0.9, 0.999
ADAM_EPS = 1e-8


@dataclass(frozen=True)
class Workload:
    """One network and how it is trained."""

    number: int
    sizes: tuple[int, ...]
    batch: int
    activation: str  # after each hidden layer: "sigmoid" or "relu"
    output: str | None  # after the last layer
    loss: str  # "mse", a mean over all elements, or "cross_entropy" on logits, a mean over rows
    optimizer: str  # "sgd" or "adam"
    lr: float

    @property
    def title(self) -> str:
        return (
            f"{'-'.join(map(str, self.sizes))}, batch {self.batch:,}, "
            f"{self.activation}, {self.loss.replace('_', ' ')}, {self.optimizer}"
        )


WORKLOADS = (
    Workload(1, (784, 16, 16, 10), 100, "sigmoid", "sigmoid", "mse", "sgd", 0.1),
    Workload(2, (64, 40, 10), 15, "sigmoid", "sigmoid", "mse", "sgd", 0.1),
    Workload(3, (784, 100, 10), 1, "sigmoid", "sigmoid", "mse", "sgd", 0.1),
    Workload(4, (784, 548, 548, 10), 1, "relu", None, "cross_entropy", "sgd", 0.01),
    Workload(5, (784, 72, 36, 10), 10_000, "sigmoid", None, "cross_entropy", "sgd", 0.1),
    Workload(6, (784, 128, 10), 64, "relu", None, "cross_entropy", "sgd", 0.01),
    Workload(7, (784, 512, 256, 10), 128, "relu", None, "cross_entropy", "adam", 1e-3),
)


class Problem(NamedTuple):
    """What an implementation starts from."""

    weights: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray


def problem(workload: Workload, *, batch: int | None = None, seed: int = 0) -> Problem:
    """Weights uniform in ±1/√in, images with a digit's share of ink (19 % of pixels), random classes."""
    rng = np.random.default_rng(seed)
    batch = batch or workload.batch
    weights = []
    for n_in, n_out in zip(workload.sizes, workload.sizes[1:], strict=False):
        bound = n_in**-0.5
        weights.append(rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32))
        weights.append(rng.uniform(-bound, bound, n_out).astype(np.float32))
    shape = batch, workload.sizes[0]
    x = rng.random(shape, np.float32) * (rng.random(shape) < 0.19)
    classes = rng.integers(0, workload.sizes[-1], batch)
    y = np.eye(workload.sizes[-1], dtype=np.float32)[classes] if workload.loss == "mse" else classes
    return Problem(weights, x, y)
