"""The training step as a user of tinygrad_mnist writes it."""

from __future__ import annotations

import numpy as np

import tinygrad_mnist as tg

from .workloads import ADAM_BETAS, ADAM_EPS, Read, Step, Workload

LOSSES = {"mse": "MSELoss", "cross_entropy": "CrossEntropyLoss"}


def build(workload: Workload, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
    """Build an eager training step: ``nn.MLP``, a loss, an optimizer."""
    model = tg.nn.MLP(workload.sizes, activation=workload.activation, output=workload.output, rng=0)
    model.load_state_dict({name: w.copy() for name, w in zip(model.state_dict(), weights, strict=True)})
    loss_fn = getattr(tg.nn, LOSSES[workload.loss])()
    if workload.optimizer == "adam":
        opt = tg.optim.Adam(model.parameters(), lr=workload.lr, betas=ADAM_BETAS, eps=ADAM_EPS)
    else:
        opt = tg.optim.SGD(model.parameters(), lr=workload.lr)

    def step() -> float:
        opt.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        opt.step()
        return loss.item()

    return step, lambda: [p.data for p in model.parameters()]
