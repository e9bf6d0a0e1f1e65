"""A small autodiff framework on NumPy: Tensors, layers, optimizers, and MNIST from one command.

>>> import numpy as np
>>> import tinygrad_mnist as tg
>>> w = tg.tensor([1.0, -2.0], requires_grad=True)
>>> loss = np.sum(np.tanh(w) ** 2)
>>> loss.backward()
>>> w.grad
tensor([ 0.63970001, -0.13621868])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, graph, ops
from .anomaly import detect_anomaly
from .checkpointing import checkpoint
from .files import load, save
from .graph import enable_grad, is_recording, no_grad
from .primitive import primitive
from .samples import Sample
from .tensor import Tensor, tensor
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from . import data, nn, optim, testing, training, viz
    from .compiler import compile

__version__ = "0.2.0"

__all__ = [
    "Sample",
    "Tensor",
    "checkpoint",
    "compile",
    "data",
    "detect_anomaly",
    "enable_grad",
    "errors",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "is_recording",
    "jacobian",
    "jvp",
    "load",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "primitive",
    "save",
    "tensor",
    "testing",
    "training",
    "value_and_grad",
    "viz",
    "vjp",
]

# These are imported when first used, so that importing the core stays about as quick as importing NumPy.
_LAZY = ("data", "nn", "optim", "testing", "training", "viz")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name == "compile":
        return import_module(f"{__name__}.compiler").compile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "compile"})
