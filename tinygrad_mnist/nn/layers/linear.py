"""The linear layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...operands import generator
from ...typing import Array
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import Initialiser, numbers, positive

__all__ = ["Linear"]


class Linear(Module):
    """``x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Length of the last axis of the input, and of the output.
    bias : bool, default True
    weight_init, bias_init : str or callable
        An initialiser of :mod:`tinygrad_mnist.nn.init`, by name, or any function of a shape and
        ``rng=``. By default both are drawn from U(±1/√in_features), as in PyTorch.
    rng : numpy.random.Generator or seed
        Source of the random numbers.
    dtype : dtype, default float32

    Examples
    --------
    >>> layer = Linear(784, 10, rng=0)
    >>> layer(np.zeros((32, 784), np.float32)).shape
    (32, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: Initialiser = "fan_in_uniform",
        bias_init: Initialiser | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        in_features, out_features = positive("Linear", (in_features, out_features))
        rng = generator(rng)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.get(weight_init)((out_features, in_features), rng=rng), dtype=dtype)
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(in_features)
            shape = (out_features,)
            drawn = (
                init.uniform(shape, -bound, bound, rng=rng)
                if bias_init is None
                else init.get(bias_init)(shape, rng=rng)
            )
            self.bias = Parameter(drawn, dtype=dtype)

    def forward(self, x: Array) -> Array:
        x = numbers(x, self.weight.dtype)
        if not x.shape or x.shape[-1] != self.in_features:
            hint = ""
            if math.prod(x.shape[1:]) == self.in_features:
                hint = "; nn.Flatten() joins the other axes"
            elif math.prod(x.shape) == self.in_features:
                hint = "; if this is a single example, make it a batch of one: x.reshape(1, -1)"
            raise ShapeError(f"expects an input of shape (…, {self.in_features}), got {x.shape}{hint}")
        return F.linear(x, self.weight, self.bias)

    def _sample_shape(self) -> tuple[int, ...]:
        return (self.in_features,)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")
