"""The types of what users call, as type checkers see them: mypy and Pyright check this file, and it runs."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

import tinygrad_mnist as tg
import tinygrad_mnist.nn.functional as F  # noqa: N812

Array = np.ndarray[Any, np.dtype[Any]]

x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
array = np.ones((2, 2))

# A Tensor's own operators and methods.
assert_type(x + 1, tg.Tensor)
assert_type(2 * x, tg.Tensor)
assert_type(x @ array, tg.Tensor)
assert_type(-x, tg.Tensor)
assert_type(x > 0, tg.Tensor)
assert_type(x[0], tg.Tensor)
assert_type(x.T, tg.Tensor)
assert_type(x.sum(), tg.Tensor)
assert_type(x.mean(axis=0), tg.Tensor)
assert_type(x.max(axis=1, keepdims=True), tg.Tensor)
assert_type(x.reshape(4), tg.Tensor)
assert_type(x.astype(np.float32), tg.Tensor)
assert_type(x.nonzero(), tuple[tg.Tensor, ...])
assert_type(x.detach(), tg.Tensor)
assert_type(x.grad, tg.Tensor | None)
assert_type(x.shape, tuple[int, ...])
assert_type(x.data, Array)

# What NumPy lacks: a Tensor gives a Tensor, an array an array.
weight = tg.tensor(np.ones((3, 2)), requires_grad=True)
bias = tg.tensor(np.zeros(3))
assert_type(F.relu(x), tg.Tensor)
assert_type(F.relu(array), Array)
assert_type(F.softmax(x, axis=1), tg.Tensor)
assert_type(F.linear(array, weight, bias), tg.Tensor)
assert_type(F.dropout(x, 0.1, rng=0), tg.Tensor)
assert_type(F.mse_loss(x, array), tg.Tensor)
assert_type(F.cross_entropy(x, np.array([0, 1])), tg.Tensor)

# Modules and losses.
model = tg.nn.MLP([2, 3, 2], rng=0)
output = model(array)
assert_type(output, tg.Tensor)
loss = tg.nn.CrossEntropyLoss()(output, np.array([0, 1]))
assert_type(loss, tg.Tensor)
loss.backward()


# Transforms and compiled functions keep the parameters, and the result where it is the function's own.
def error(scale: float, shift: float = 0.0) -> float:
    return (scale - shift) ** 2


assert_type(tg.value_and_grad(error)(1.0, shift=2.0), tuple[float, Any])
assert_type(tg.compile(error)(1.0, shift=2.0), float)
assert_type(tg.compile(model)(array), tg.Tensor)

# NumPy's stubs know nothing of Tensors. After these it is at least not a NumPy number; a method says more.
np.sum(x**2).backward()
np.mean(x**2).backward()
np.max(x).backward()
np.exp(x).sum().backward()
assert_type((x**2).mean(), tg.Tensor)
