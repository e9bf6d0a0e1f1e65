"""Tensors of arrays of other libraries: every operation on a strict stand-in for CuPy's arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign import ForeignArray, foreign
from helpers import OPERATIONS, outputs

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Primitive

_LOOPS = """
    conv2d conv2d_filters conv_transpose2d fold max_pool2d spread_max spread_sum take_max unfold window_sum
"""
_MIXTURES = "delete histogram nanquantile piecewise polydiv quantile"

#: The operations that do not run on other arrays, each with the reason. Take out what does.
NOT_YET = {
    **dict.fromkeys(_LOOPS.split(), "loops over the memory of NumPy's arrays"),
    **dict.fromkeys(_MIXTURES.split(), "makes arrays of NumPy's on its way"),
}
PRIMITIVES = [p for p in OPERATIONS if isinstance(p, Primitive)]


def run(operation, sample, convert, order: int = 1):
    """The results of an operation, and the gradients of their sum."""

    def given(x):
        return convert(x) if isinstance(x, np.ndarray) else x

    inputs = [given(x) for x in sample.draw()]
    inputs = [
        tg.Tensor(x, requires_grad=True) if hasattr(x, "dtype") and x.dtype.kind in "fc" else x
        for x in inputs
    ]
    settings = {name: given(x) for name, x in sample.settings.items()}
    results = [
        y for y in outputs(operation(*sample.arguments(*inputs), **settings)) if isinstance(y, tg.Tensor)
    ]
    total = sum(np.sum(np.real(y)) for y in results if y.requires_grad)
    if isinstance(total, tg.Tensor):
        total.backward(create_graph=order > 1)
    gradients = [x.grad for x in inputs if isinstance(x, tg.Tensor) and x.grad is not None]
    return [getattr(x, "_array", x) for x in (*results, *gradients)]


def check(operation, order: int = 1) -> None:
    for sample in operation.samples:
        found, expected = (run(operation, sample, convert, order) for convert in (foreign, np.copy))
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            assert type(x) is ForeignArray
            np.testing.assert_allclose(x._hidden, np.asarray(y), rtol=1e-9, atol=1e-12)
            assert x.dtype == y.dtype


def failing(operations, order: int = 1) -> set[str]:
    found = set()
    for operation in operations:
        try:
            check(operation, order)
        except Exception:
            found.add(operation.name)
    return found


def test_every_operation_and_rule_runs_but_those_that_are_listed():
    assert failing(PRIMITIVES) == NOT_YET.keys() & {p.name for p in PRIMITIVES}


@pytest.mark.thorough
def test_so_do_functions_expressed_by_others():
    assert failing(OPERATIONS) == NOT_YET.keys()


@pytest.mark.thorough
def test_so_do_rules_that_are_recorded():
    assert failing(OPERATIONS, order=2) == NOT_YET.keys()


def test_what_loops_over_memory_says_so():
    layer = tg.nn.Conv2d(1, 2, 3, rng=0).convert(to_foreign)
    with pytest.raises(
        tg.errors.UnsupportedError, match="convolutions and pools loop over the memory of NumPy's arrays"
    ):
        layer(foreign(np.zeros((1, 1, 5, 5), np.float32)))


def to_foreign(x):
    """What ``cupy.asarray`` does."""
    return foreign(np.array(x)) if isinstance(x, np.ndarray) else x


def test_a_tensor_of_another_array_stays_one():
    x = tg.tensor(foreign(np.array([1.0, 2.0])), requires_grad=True)
    y = np.sum(np.exp(x) * np.array([3.0, 4.0]) + 2)  # a NumPy array beside it becomes one of its kind
    y.backward()
    for array in (x.data, y.data, x.grad.data, x.detach().data, x.copy().data):
        assert type(array) is ForeignArray
    np.testing.assert_allclose(x.grad.data._hidden, np.exp([1, 2]) * [3, 4])
    assert tg.tensor(x.data).data is not x.data
    with pytest.raises(TypeError, match="implicit conversion"):
        x.detach().numpy()
    with tg.no_grad():
        x -= 0.5 * x.grad
    assert type(x.data) is ForeignArray
    assert repr(tg.tensor(foreign(np.array([1.5])))) == "tensor([1.5])"


OPTIMIZERS = {
    "sgd": tg.optim.SGD,
    "momentum": lambda p: tg.optim.SGD(p, momentum=0.9, nesterov=True),
    "adam": tg.optim.Adam,
    "adamw": tg.optim.AdamW,
    "rmsprop": lambda p: tg.optim.RMSprop(p, momentum=0.5),
    "adagrad": tg.optim.Adagrad,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_trains(name):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(32, 10)).astype(np.float32), rng.integers(0, 3, 32)
    weights = []
    for convert in (np.array, to_foreign):
        model = tg.nn.Sequential(
            tg.nn.Linear(10, 8, rng=0),
            tg.nn.BatchNorm1d(8),
            tg.nn.ReLU(),
            tg.nn.LayerNorm(8),
            tg.nn.Linear(8, 3, rng=1),
        ).convert(convert)
        optimizer = OPTIMIZERS[name](model.parameters())
        for _ in range(4):
            optimizer.zero_grad()
            loss = tg.nn.CrossEntropyLoss()(model(convert(x)), convert(labels))
            loss.backward()
            tg.optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        weights.append([p.data for p in model.parameters()])
        kinds = {type(a) for state in optimizer.state.values() for a in state.values() if hasattr(a, "dtype")}
        assert kinds <= {type(weights[-1][0])}
    for a, b in zip(*weights, strict=True):
        assert type(b) is ForeignArray
        np.testing.assert_allclose(b._hidden, a, rtol=1e-5, atol=1e-7)


def test_the_page_says_how_many_there_are():
    lacking = [p for p in PRIMITIVES if p.name in NOT_YET]
    page = (Path(__file__).parents[2] / "docs" / "other_tools.md").read_text()
    assert f"{len(PRIMITIVES) - len(lacking)} of {len(PRIMITIVES)}" in page
