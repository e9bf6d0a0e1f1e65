"""The training step as a user of tinygrad_mnist writes it: eager, and compiled for NumPy or for Numba."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import numpy as np

import tinygrad_mnist as tg

from .training import Start, Training, fixed_batch
from .workloads import ADAM_BETAS, ADAM_EPS, Build, Workload

LOSSES = {"mse": "MSELoss", "cross_entropy": "CrossEntropyLoss"}


def parts(workload: Workload, weights: list[np.ndarray]) -> tuple[Any, Any, Any]:
    """Make ``nn.MLP``, a loss and an optimizer."""
    model = tg.nn.MLP(workload.sizes, activation=workload.activation, output=workload.output, rng=0)
    model.load_state_dict({name: w.copy() for name, w in zip(model.state_dict(), weights, strict=True)})
    loss_fn = getattr(tg.nn, LOSSES[workload.loss])()
    if workload.optimizer == "adam":
        opt = tg.optim.Adam(model.parameters(), lr=workload.lr, betas=ADAM_BETAS, eps=ADAM_EPS)
    else:
        opt = tg.optim.SGD(model.parameters(), lr=workload.lr)
    return model, loss_fn, opt


def start_eager(workload: Workload, weights: list[np.ndarray], batch: int) -> Training:
    """Start the training that records every step anew."""
    model, loss_fn, opt = parts(workload, weights)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        opt.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        opt.step()
        return loss.item()

    return Training(step, lambda: [p.data for p in model.parameters()])


def start_compiled(workload: Workload, weights: list[np.ndarray], batch: int, **settings: Any) -> Training:
    """Start the training whose whole step `tg.compile` made into one program."""
    model, loss_fn, opt = parts(workload, weights)
    step = tg.compile(lambda x, y: loss_fn(model(x), y), optimizer=opt, **settings)
    return Training(step, lambda: [p.data for p in model.parameters()])


def start_numba(workload: Workload, weights: list[np.ndarray], batch: int) -> Training:
    """Start the compiled training with Numba as back end."""
    return start_compiled(workload, weights, batch, backend="numba")


STARTS: dict[str, Start] = {"eager": start_eager, "compiled": start_compiled, "compiled numba": start_numba}
OURS: dict[str, Build] = {name: fixed_batch(start) for name, start in STARTS.items()}
build, build_compiled, build_numba = OURS.values()


def why_missing(name: str) -> str | None:
    """Say what ``name`` needs that is not here, or return None."""
    if name == "eager":
        return None
    if not hasattr(tg, "compile"):
        return "this version has no tg.compile"
    if name == "compiled numba":
        if "backend" not in inspect.signature(tg.compile).parameters:
            return "tg.compile of this version has no backends"
        if not all(importlib.util.find_spec(module) for module in ("numba", "scipy")):
            return "pip install numba scipy"
        try:
            tg.compile(lambda x: x, backend="numba")
        except (TypeError, ValueError, ImportError) as error:
            return f"tg.compile refuses backend='numba': {error}"
    return None
