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
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import errors, graph, ops
from .files import load, save
from .graph import enable_grad, is_recording, no_grad
from .primitive import Sample
from .tensor import Tensor
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .transforms.checkpointing import checkpoint

if TYPE_CHECKING:
    from . import data, nn, optim, testing, training, viz
    from .compiler import compile
    from .interop import sklearn
    from .interop.onnx import export_onnx, import_onnx
    from .interop.torch import from_torch, to_torch
    from .primitive import primitive
    from .tensor import tensor
    from .testing.anomaly import detect_anomaly

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
    "export_onnx",
    "from_torch",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "import_onnx",
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
    "sklearn",
    "tensor",
    "testing",
    "to_torch",
    "training",
    "value_and_grad",
    "viz",
    "vjp",
]


class _Callable(ModuleType):
    """A module that can be called like its function of the same name.

    ``tg.tensor`` is both: the function that users call, and what ``import tinygrad_mnist.tensor as m`` imports.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


if not TYPE_CHECKING:  # type checkers and editors see the functions themselves
    from . import primitive, tensor

    for _module, _function in ((primitive, primitive.primitive), (tensor, tensor.tensor)):
        _module.__class__, _module.__wrapped__, _module.__doc__ = _Callable, _function, _function.__doc__

# These are imported on first use, so that importing the core is about as quick as importing NumPy.
_LAZY = ("data", "nn", "optim", "testing", "training", "viz")
_LAZY_FUNCTIONS = {
    "compile": "compiler",
    "detect_anomaly": "testing.anomaly",
    "export_onnx": "interop.onnx",
    "from_torch": "interop.torch",
    "import_onnx": "interop.onnx",
    "to_torch": "interop.torch",
}


_LAZY_ROOMS = {"sklearn": "interop.sklearn"}


def __getattr__(name: str) -> Any:
    if name in _LAZY_ROOMS:
        return import_module(f"{__name__}.{_LAZY_ROOMS[name]}")
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY_FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_LAZY_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__", "__doc__"]
