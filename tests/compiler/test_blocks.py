"""Large batches block by block: the same results, or no blocks."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest
from helpers import for_each
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.compiler.program import Program, evaluate
from tinygrad_mnist.compiler.rewrite import blocks
from tinygrad_mnist.compiler.rewrite.algebra import SIMPLIFICATIONS
from tinygrad_mnist.compiler.rewrite.blocks import in_blocks
from tinygrad_mnist.compiler.rewrite.builder import rebuilt
from tinygrad_mnist.compiler.rewrite.factors import scaled_early
from tinygrad_mnist.compiler.trace.step import record

N, FEATURES, CLASSES = 12, 6, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, FEATURES))
LABELS = RNG.integers(0, CLASSES, N)
ONE_HOT = np.eye(CLASSES)[LABELS]

LOSSES = {
    "cross entropy": (nn.CrossEntropyLoss(), LABELS),
    "probabilities": (nn.CrossEntropyLoss(), ONE_HOT),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), LABELS),
    "mse": (nn.MSELoss(), ONE_HOT),
    "l1": (nn.L1Loss(), ONE_HOT),
    "huber": (nn.HuberLoss(delta=0.5), ONE_HOT),
    "bce": (nn.BCEWithLogitsLoss(), ONE_HOT),
}
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=1e-2),
}
MACHINE_CODE = pytest.mark.skipif(
    not importlib.util.find_spec("numba"), reason="pip install 'tinygrad-mnist[fast]'"
)
BACKENDS = ["numpy", pytest.param("numba", marks=MACHINE_CODE)]


def small(patch) -> None:
    """Let small batches be cut too, into blocks of four rows."""
    patch.setattr(blocks, "LEAST", 0)
    patch.setattr(blocks, "FEWEST", 2)
    patch.setattr(blocks, "AGAIN", 1e9)
    patch.setattr(blocks, "_rows_of_a_block", lambda n, nbytes: 4 if n > 4 and n % 4 == 0 else 0)


@pytest.fixture
def _small(monkeypatch):
    small(monkeypatch)


def mlp(activation="tanh"):
    return nn.MLP([FEATURES, 7, 5, CLASSES], activation=activation, rng=1, dtype=np.float64)


def is_cut(compiled) -> bool:
    return "in blocks of" in compiled.source


def trained(model, loss, make_optimizer, x, y, *, compiled: bool, steps: int = 4, **options):
    """The losses and the last weights of a copy."""
    model = copy.deepcopy(model)
    optimizer = make_optimizer(model.parameters())
    losses = []
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer, **options) if compiled else None
    for _ in range(steps):
        if step:
            losses.append(step(x, y).item())
        else:
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            if options.get("clip_norm"):
                optim.clip_grad_norm_(model.parameters(), options["clip_norm"])
            optimizer.step()
            losses.append(value.item())
    assert step is None or is_cut(step)
    return [np.array(losses), *(p.data for p in model.parameters())]


def assert_same(found, expected):
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


# -- the pass --------------------------------------------------------------------------------------------------


def simplified(function, *args, **options) -> tuple[Program, list, dict]:
    recorded = record(function, args, {}, **options)
    program = rebuilt(rebuilt(recorded.program, SIMPLIFICATIONS), SIMPLIFICATIONS)
    program = rebuilt(scaled_early(program), SIMPLIFICATIONS)
    values = {**recorded.given, **dict(zip(recorded.arguments, args, strict=True))}
    values |= {op: {"lr": 0.25, "step": 1}[op.name] for op in program.inputs if op.is_number}
    return program, recorded.arguments, values


def evaluated_in_blocks(made, values):
    """What the two parts compute, one after the other."""
    sums = {op: np.zeros(op.shape, op.dtype) for op in made.sums}
    rows = []
    for start in range(0, made.of, made.rows):
        cut = {made.cut[op]: values[op][start : start + made.rows] for op in made.cut}
        results, stored = evaluate(made.block, {**values, **cut, **sums})
        sums = {store.target: x for store, x in zip(made.block.stores, stored, strict=True)}
        rows.append(results)
    joined = iter([np.concatenate(parts) for parts in zip(*rows, strict=True)])
    results, stored = evaluate(made.rest, {**values, **sums})
    others = iter(results)
    return [next(joined if is_cut else others) for is_cut in made.results], stored


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("loss", LOSSES)
def test_two_parts_compute_what_the_whole_does(loss):
    model, (function, y) = mlp(), LOSSES[loss]
    optimizer = OPTIMIZERS["adam"](model.parameters())

    def both(x, y):
        logits = model(x)
        return function(logits, y), logits

    program, arguments, values = simplified(both, X, y, optimizer=optimizer, has_aux=True)
    made = in_blocks(program, arguments)
    assert made is not None
    assert (made.rows, made.of, made.results) == (4, N, [False, True])
    assert max(op.size for op in made.block.ops if op.place.phase == "forward") <= 4 * 7
    found, expected = evaluated_in_blocks(made, values), evaluate(program, values)
    for x, y in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("n", "bytes_of_a_row", "rows"),
    [(10_000, 3144, 1000), (60_000, 3136, 1000), (10_007, 3144, 0), (400, 80_000, 0), (4_096, 8, 2_048)],
)
def test_blocks_are_equal_and_neither_small_nor_large(n, bytes_of_a_row, rows):
    assert blocks._rows_of_a_block(n, n * bytes_of_a_row) == rows


W = RNG.normal(size=(FEATURES, 3))
PER_ROW = RNG.normal(size=(N, 1))
WHOLE = {
    "the mean of the batch": lambda x: x - x.mean(axis=0),
    "the largest of all": lambda x: x / np.max(x),
    "softmax over the batch": lambda x: np.exp(x) / np.exp(x).sum(axis=0),
    "rows by rows": lambda x: x @ x.T,
    "a row": lambda x: x - x[0],
    "every other row": lambda x: x[::2] * 2,
    "rows backwards": lambda x: x[::-1] * x,
    "one number for each row": lambda x: x * PER_ROW,
    "columns": lambda x: (2 * x).T,
    "all in one row": lambda x: np.reshape(np.sin(x), (-1,)),
    "sums so far": lambda x: np.cumsum(x, axis=0),
    "the order of rows": lambda x: np.sort(x, axis=0),
}
CUT = {
    "each alone": lambda x: np.sin(x) * 2,
    "a product": lambda x: np.tanh(x @ W),
    "sums along": lambda x: x - x.sum(axis=1, keepdims=True),
    "one for each": lambda x: np.max(x, axis=1),
    "another shape": lambda x: np.reshape(x, (N, 2, 3)).sum(axis=2),
    "half of the columns": lambda x: x[:, ::2] + 1,
    "there and back": lambda x: (np.exp(x).T * 2).T,
    "by cases": lambda x: np.where(x > 0, x, 0.1 * x),
    "a sum": lambda x: (x * x).sum(),
    "what columns have in common": lambda x: np.exp(x).T @ x,
    "sums, and what is made of them": lambda x: np.log(np.exp(x).sum(axis=0)) / 3,
    "several": lambda x: [np.sin(x), x.sum(), np.cos(x)[:, 0]],
    "twice the same": lambda x: (np.sin(x), np.sin(x)),
    "what it was given": lambda x: (x, x.sum()),
}
#: As machine code, every seventh; the others with --thorough.
CUT_BY_NUMPY = [(name, "numpy") for name in CUT]
CUT_BY_MACHINE_CODE = [
    pytest.param(name, "numba", marks=[MACHINE_CODE, *([pytest.mark.thorough] if i % 7 else [])])
    for i, name in enumerate(CUT)
]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(("name", "backend"), [*CUT_BY_NUMPY, *CUT_BY_MACHINE_CODE])
def test_functions_that_are_cut(name, backend):
    compiled = tg.compile(CUT[name], backend=backend)
    for x in (X, 2 * X):
        found, expected = compiled(x), CUT[name](x)
        if not isinstance(expected, (list, tuple)):
            found, expected = [found], [expected]
        assert_same(found, expected)
    assert is_cut(compiled)


@pytest.mark.usefixtures("_small")
@for_each("name", WHOLE)
def test_functions_that_are_not(name):
    compiled = tg.compile(WHOLE[name])
    np.testing.assert_allclose(compiled(X), WHOLE[name](X), rtol=1e-12)
    assert not is_cut(compiled)


STEPS = {
    "tanh": lambda x: np.tanh(x),
    "centred rows": lambda x: x - x.mean(axis=-1, keepdims=True),
    "centred columns": lambda x: x - x.mean(axis=0, keepdims=True),
    "turned": lambda x: x.T,
    "turned twice": lambda x: (x.T * 0.5).T,
    "longer": lambda x: np.concatenate([x, x * 2], axis=-1),
    "in pairs": lambda x: np.reshape(x, (x.shape[0], 2, -1)) if x.ndim == 2 and x.shape[1] % 2 == 0 else x,
    "flat": lambda x: np.reshape(x, (x.shape[0], -1)) if x.ndim == 3 else x,
    "times itself": lambda x: x @ x.T if x.ndim == 2 else x * x,
    "by itself": lambda x: x.T @ x / 10 if x.ndim == 2 else x,
    "summed": lambda x: x.sum(axis=0),
    "summed along": lambda x: x.sum(axis=-1),
    "largest": lambda x: x - x.max(axis=-1, keepdims=True),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(axis=-1, keepdims=True),
    "with ones": lambda x: np.ones(x.shape[0]) @ x if x.ndim == 2 else x,
    "plus a row": lambda x: x + np.arange(x.shape[-1]),
}  # fmt: skip


@given(
    st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6),
    st.sampled_from([(12, 6), (12, 12), (12, 4)]),
)
def test_any_chain(names, shape):
    x = np.random.default_rng(1).normal(size=shape)

    def chain(x):
        for name in names:
            x = STEPS[name](x) if x.ndim else x
        return x

    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        np.testing.assert_allclose(tg.compile(chain)(x), chain(x), rtol=1e-9, atol=1e-9)
        gradient = tg.grad(lambda x: (chain(x) ** 2).sum())
        np.testing.assert_allclose(tg.compile(gradient)(x), gradient(x), rtol=1e-7, atol=1e-7)


# -- training --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss):
    function, y = LOSSES[loss]
    found = trained(mlp(), function, OPTIMIZERS["sgd"], X, y, compiled=True)
    assert_same(found, trained(mlp(), function, OPTIMIZERS["sgd"], X, y, compiled=False))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("optimizer", "backend"),
    [
        *((name, "numpy") for name in OPTIMIZERS),
        *(pytest.param(name, "numba", marks=[MACHINE_CODE, pytest.mark.thorough]) for name in OPTIMIZERS),
    ],
)
def test_optimizers(optimizer, backend):
    model, (loss, y) = mlp("sigmoid"), LOSSES["cross entropy"]
    found = trained(model, loss, OPTIMIZERS[optimizer], X, y, compiled=True, backend=backend)
    assert_same(found, trained(model, loss, OPTIMIZERS[optimizer], X, y, compiled=False))


@pytest.mark.usefixtures("_small")
def test_gradients_are_clipped_when_they_are_complete():
    arguments = mlp("relu"), nn.MSELoss(), OPTIMIZERS["sgd"], X, ONE_HOT
    found = trained(*arguments, compiled=True, clip_norm=0.01)
    assert_same(found, trained(*arguments, compiled=False, clip_norm=0.01))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("layer", ["normalization", "dropout"])
def test_layers_for_which_the_batch_stays_whole(layer):
    class Normalization(nn.Module):
        def forward(self, x):
            return x - x.mean(axis=0)

    made = Normalization() if layer == "normalization" else nn.Dropout(0.5, rng=0)
    model = nn.Sequential(nn.Linear(FEATURES, 7, rng=0, dtype=np.float64), made)
    loss = nn.MSELoss()
    y = RNG.normal(size=(N, 7))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    step(X, y)
    assert not is_cut(step)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_class_in_the_last_block_changes_nothing(backend):
    model, (loss, y) = mlp(), LOSSES["cross entropy"]
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer, backend=backend)
    step(X, y)
    assert is_cut(step)
    before = [p.data.copy() for p in model.parameters()]
    wrong = y.copy()
    wrong[-1] = CLASSES
    with pytest.raises(ValueError, match="out of range"):
        step(X, wrong)
    assert_same([p.data for p in model.parameters()], before)
    expected = loss(model(X), y).item()
    assert step(X, y).item() == pytest.approx(expected, rel=1e-12)  # nothing is left of the failed call


@pytest.mark.usefixtures("_small")
def test_learning_rates_and_other_sizes():
    model, (loss, y) = mlp(), LOSSES["cross entropy"]
    twin = copy.deepcopy(model)
    optimizer, other = (OPTIMIZERS["sgd"](m.parameters()) for m in (model, twin))
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    for n, lr in ((N, 0.1), (N - 4, 0.2), (N - 1, 0.3), (N, 0.4)):
        optimizer.param_groups[0]["lr"] = other.param_groups[0]["lr"] = lr
        step(X[:n], y[:n])
        other.zero_grad()
        loss(twin(X[:n]), y[:n]).backward()
        other.step()
    assert_same([p.data for p in model.parameters()], [p.data for p in twin.parameters()])


# -- as they are -----------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_batch():
    loss = nn.CrossEntropyLoss()
    sizes = {}
    for n in (1_250, 5_000, 10_000):
        model = nn.MLP([784, 24, 10], activation="sigmoid", rng=0)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step = tg.compile(lambda x, y, model=model: loss(model(x), y), optimizer=optimizer)
        step(np.zeros((n, 784), np.float32), np.zeros(n, int))
        sizes[n] = step.stats.bytes, is_cut(step)
    assert [cut for _, cut in sizes.values()] == [False, True, True]
    assert sizes[10_000][0] == sizes[5_000][0]


@pytest.mark.parametrize(("columns", "cut"), [(20, True), (784, False)])
def test_what_is_done_again_for_every_block_is_little(columns, cut):
    weights = RNG.normal(size=(784, columns)).astype(np.float32)
    x = np.ones((6_000, 784), np.float32)
    compiled = tg.compile(lambda x: x @ np.tanh(weights))
    np.testing.assert_allclose(compiled(x), x @ np.tanh(weights), rtol=1e-4)
    assert is_cut(compiled) is cut


def test_the_text_runs_on_its_own():
    model = nn.MLP([784, 24, 10], activation="sigmoid", rng=0)
    twin = copy.deepcopy(model)
    loss = nn.CrossEntropyLoss()
    x, y = RNG.random((10_000, 784), np.float32), RNG.integers(0, 10, 10_000)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = tg.compile(lambda x, y: loss(model(x), y), optimizer=optimizer)
    first = step(x, y).item()
    namespace: dict = {}
    exec(step.source, namespace)
    arrays = {name: np.concatenate([p.data.ravel() for p in twin.parameters()]) for name in step.arrays}
    assert len(arrays) == 1
    again = namespace["prepare"](**arrays)(x, y, 0.1)
    assert float(again) == pytest.approx(first, rel=1e-6)
    (weights,) = arrays.values()
    np.testing.assert_allclose(weights, step.arrays["parameters"], rtol=1e-5, atol=1e-7)
