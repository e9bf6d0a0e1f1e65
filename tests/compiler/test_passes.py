"""Each pass alone, on small programs: the same results from less, and what it is there for has happened."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim
from tinygrad_mnist.compiler.instructions import astype, copy, getitem, instruction_of
from tinygrad_mnist.compiler.memory import plan
from tinygrad_mnist.compiler.program import Constant, Op, Program, evaluate
from tinygrad_mnist.compiler.rewrite import algebra as simplify
from tinygrad_mnist.compiler.rewrite.algebra import SIMPLIFICATIONS
from tinygrad_mnist.compiler.rewrite.builder import rebuilt, without_dead_code
from tinygrad_mnist.compiler.rewrite.factors import cost, scaled_early
from tinygrad_mnist.compiler.rewrite.lowering import LOWERINGS, ordered
from tinygrad_mnist.compiler.source import arena
from tinygrad_mnist.compiler.source.loop import local_buffers, run_at
from tinygrad_mnist.compiler.trace.agreement import require_agreement
from tinygrad_mnist.compiler.trace.step import record
from tinygrad_mnist.errors import CompileError

X = np.random.default_rng(0).normal(size=(3, 4))
Y = np.random.default_rng(1).normal(size=(3, 4))


def traced(function, *args, **settings) -> tuple[Program, dict[Op, object]]:
    """The program of a call as it was traced, and what its inputs are."""
    recorded = record(function, args, {}, **settings)
    arrays = [x for x in args if isinstance(x, np.ndarray)]
    given = {**recorded.given, **dict(zip(recorded.arguments, arrays, strict=True))}
    for op in recorded.program.inputs:
        if op.name in ("lr", "step"):
            given[op] = {"lr": 0.25, "step": 1}[op.name]
    return recorded.program, given


def functions(program: Program) -> Counter:
    return Counter(op.instruction.name for op in program.ops if not op.is_given)


def assert_same_results(program: Program, other: Program, given, rtol=1e-12):
    for before, after in zip(evaluate(program, given), evaluate(other, given), strict=True):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_allclose(y, x, rtol=rtol, atol=rtol)


RULES = [
    (simplify.uniform_constant, np.ufunc, lambda x: x * np.full((3, 4), 2.0), {"np.multiply": 1}),
    (simplify.divided_by_number, np.divide, lambda x: x / 4, {"np.multiply": 1}),
    (simplify.transposed, np.transpose, lambda x: x.T.T, {}),
    (simplify.transposed, np.transpose, lambda x: (x @ Y.T).T, {"np.matmul": 1, "np.transpose": 1}),
    (simplify.transposed, np.transpose, lambda x: x[:1].T, {"getitem": 1, "np.reshape": 1}),
    (simplify.reshaped, np.reshape, lambda x: x.reshape(12).reshape(3, 4), {}),
    (simplify.new_axes, getitem, lambda x: x[:, None], {"np.reshape": 1}),
    (simplify.broadcast, np.ufunc, lambda x: np.broadcast_to(x[:1], (3, 4)) + x, {"getitem": 1, "np.add": 1}),
    (simplify.same_shape, np.ufunc, lambda x: x[:1] + x[0], {"getitem": 2, "np.reshape": 1, "np.add": 1}),
    (simplify.transposed_last, np.ufunc, lambda x: np.exp(x.T), {"np.exp": 1, "np.transpose": 1}),
    (simplify.reshaped_last, np.ufunc, lambda x: np.exp(x.reshape(12)), {"np.exp": 1, "np.reshape": 1}),
    (simplify.reduction_of_transposed, np.add.reduce, lambda x: np.sum(x.T, axis=0), {"np.add.reduce": 1}),
    (simplify.reduction_to_one, np.maximum.reduce, lambda x: np.max(x), None),
    (simplify.unneeded_copy, copy, lambda x: np.exp(x).copy(), {"np.exp": 1}),
    (
        simplify.sum_of_reshaped,
        np.add.reduce,
        lambda x: np.sum(x[0].reshape(2, 2)),
        {"getitem": 2, "np.add.reduce": 1},
    ),
    (
        simplify.sum_of_squares,
        np.add.reduce,
        lambda x: np.sum(np.square(x)),
        {"np.reshape": 1, "np.dot": 1, "getitem": 1},
    ),
    (simplify.product, np.dot, lambda x: np.dot(x, Y.T), {"np.transpose": 1, "np.matmul": 1}),
]


@for_each("rule, where, function, expected", RULES)
def test_rule(rule, where, function, expected):
    fired = []

    def watched(builder, op):
        better = rule(builder, op)
        fired.extend([] if better is None else [op])
        return better

    program, given = traced(function, X)
    simpler = rebuilt(program, {where: [watched]})
    assert fired
    assert_same_results(program, simpler, given)
    if expected is not None:
        assert functions(simpler) == expected
    assert_same_results(program, rebuilt(program, SIMPLIFICATIONS), given)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.3, -7.25, np.inf, -np.inf, np.nan, 1e-30, -1e30, 1e-300, 1e300]
NUMBERS = [1, -1, 0.5, -3, 2.0, 1e-3, -0.25, 1e6, 1e-20, -1e20]


@for_each("dtype", [np.float64, np.float32, np.int64, np.int8])
@for_each("equation", simplify.EQUATIONS)
def test_both_sides_of_an_equation(equation, dtype):
    """Wherever an equation holds, both sides have the same special values, and the same numbers but for rounding."""
    is_float = np.issubdtype(dtype, np.floating)
    with np.errstate(all="ignore"):
        values = np.array(SPECIAL if is_float else [0, 1, -1, 7, -128, 127]).astype(dtype)
    x, y = (grid.reshape(-1) for grid in np.meshgrid(values, values))
    op = Op(instruction_of(np.add), (), {}, x.shape, np.dtype(dtype))
    for c, d in itertools.product(NUMBERS if is_float else [1, -1, 3], repeat=2):
        letters = {"x": Constant(x), "y": Constant(y), "c": c, "d": d}
        if not equation.holds(op, **letters):
            continue
        found = {"x": x, "y": y, "c": c, "d": d}
        with np.errstate(all="ignore"):
            left, right = equation.left.evaluate(found), equation.right.evaluate(found)
        if left.dtype != right.dtype:
            continue  # then it is not used
        info = np.finfo(dtype) if is_float else None
        atol = 2 * float(info.smallest_subnormal) if info else 0
        np.testing.assert_allclose(right, left, rtol=4 * float(info.eps) if info else 0, atol=atol)
        if is_float:
            zeros = (left == 0) & (right == 0)
            np.testing.assert_array_equal(np.signbit(right)[zeros], np.signbit(left)[zeros])


def test_equations_that_hold_on_some_ranges_only():
    """They are used where the softmax makes the range known, and nowhere else."""
    softmax, given = traced(lambda x: np.exp(nn.functional.log_softmax(x)), X)
    assert functions(rebuilt(rebuilt(softmax, SIMPLIFICATIONS), SIMPLIFICATIONS))["np.exp"] == 1
    other, _ = traced(lambda x: np.exp(x - np.log(np.sum(np.exp(x)))), X)
    assert functions(rebuilt(rebuilt(other, SIMPLIFICATIONS), SIMPLIFICATIONS))["np.exp"] == 2
    assert_same_results(softmax, rebuilt(softmax, SIMPLIFICATIONS), given)


def test_nothing_is_computed_twice_or_for_nobody():
    def f(x):
        np.sin(x)
        return np.exp(x) + np.exp(x)

    program, given = traced(f, X)
    assert functions(without_dead_code(program)) == {"np.exp": 2, "np.add": 1}
    assert functions(rebuilt(program)) == {"np.exp": 1, "np.add": 1}
    assert_same_results(program, rebuilt(program), given)


def test_bits_of_integers():
    program, given = traced(lambda n: n.astype(np.uint64), np.array([1, -1]))
    simpler = rebuilt(program, {astype: [simplify.same_bits]})
    assert functions(simpler) == {"view_as": 1}
    assert_same_results(program, simpler, given)


def test_the_sigmoid_needs_no_bound():
    program, given = traced(nn.functional.sigmoid, X)
    simpler = rebuilt(program, SIMPLIFICATIONS)
    assert functions(simpler) == {"np.negative": 1, "np.exp": 1, "np.add": 1, "np.reciprocal": 1}
    assert "overflow" in simpler.notes
    assert_same_results(program, simpler, given)


def network(loss, batch=5, lr=0.5):
    """A training step of a small network, as it was traced."""
    rng = np.random.default_rng(0)
    model = nn.MLP([6, 4, 3], activation="tanh", rng=0, dtype=np.float64)
    x, labels = rng.normal(size=(batch, 6)), rng.integers(0, 3, batch)
    y = labels if isinstance(loss, nn.CrossEntropyLoss) else np.eye(3)[labels]
    return traced(lambda x, y: loss(model(x), y), x, y, optimizer=optim.SGD(model.parameters(), lr=lr))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_minus_target(smoothing):
    program, given = network(nn.CrossEntropyLoss(label_smoothing=smoothing))
    simpler = rebuilt(rebuilt(program, SIMPLIFICATIONS), SIMPLIFICATIONS)
    counted = functions(simpler)
    assert functions(program)["call"] == 1
    assert counted["call"] == 0
    assert counted["add_along"] == counted["np.exp"] == 1
    assert counted["np.divide"] == 2  # by the sums, and of the loss by the number of rows
    assert_same_results(program, simpler, given)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss()])
@pytest.mark.parametrize("batch", [1, 5])
def test_factors_move_to_the_beginning(loss, batch):
    program, given = network(loss, batch)
    program = rebuilt(rebuilt(program, SIMPLIFICATIONS), SIMPLIFICATIONS)
    (join,) = (op for op in program.ops if op.instruction.has_parts)
    assert any(op.calls(np.multiply) and join in op.args for op in program.ops)
    moved = scaled_early(program)
    (join,) = (op for op in moved.ops if op.instruction.has_parts)
    assert not any(op.calls(np.multiply) and join in op.args for op in moved.ops)
    assert cost(moved) < cost(program)
    assert_same_results(program, moved, given)


def test_factors_stay_where_they_cannot_move():
    w = tg.tensor(np.ones(3), requires_grad=True)
    program, given = traced(lambda x: np.sum(np.exp(w * x)), X[0, :3], optimizer=optim.Adam([w]))
    assert_same_results(program, scaled_early(rebuilt(program, SIMPLIFICATIONS)), given)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss()])
@pytest.mark.parametrize("batch", [1, 5])
def test_lowering_and_order(loss, batch):
    program, given = network(loss, batch)
    simpler = rebuilt(rebuilt(program, SIMPLIFICATIONS), SIMPLIFICATIONS)
    lowered = rebuilt(simpler, LOWERINGS)
    assert functions(lowered)["np.matmul"] == 0
    assert functions(lowered)["take_along"] == functions(lowered)["add_along"] == 0
    assert_same_results(program, lowered, given)
    put = ordered(lowered)
    assert sorted(map(id, put.ops)) == sorted(map(id, lowered.ops))
    seen = set(put.inputs)
    for op in put.ops:
        assert all(arg in seen for arg in op.args if isinstance(arg, Op))
        seen.add(op)
    assert_same_results(program, put, given)


def test_a_transposed_copy_is_computed_transposed():
    program, given = traced(lambda x: np.exp((x + Y[0]).T.copy()), X)
    lowered = rebuilt(program, LOWERINGS)
    assert functions(lowered)["copy"] == 0
    assert_same_results(program, lowered, given)


# -- memory ------------------------------------------------------------------------------------------


def planned(function, *args, **settings):
    program, _ = traced(function, *args, **settings)
    program = ordered(rebuilt(rebuilt(program, SIMPLIFICATIONS), LOWERINGS))
    return program, plan(program)


def test_results_take_the_places_of_arguments():
    _, places = planned(lambda x: np.exp(np.sin(x) * 2), X)
    assert len(places.buffers) == 1
    _, places = planned(lambda x: (np.exp(x), np.sin(np.exp(x))), X)
    assert len(places.buffers) == 2
    _, places = planned(lambda x: np.exp(x.T @ np.sin(x)) @ np.cos(x).T, X)
    assert all(b.root.until >= b.since for b in places.buffers)


def test_running_sums_have_a_buffer():
    def f(x):
        return np.exp(np.cumsum(x, axis=1)) + np.cumprod(np.cumsum(x, 0), 0)

    compiled = tg.compile(f)
    np.testing.assert_allclose(compiled(X), f(X))
    assert "cumsum(x, axis=1, out=h1)" in compiled.source
    assert compiled(X).base is None


def test_gradients_lie_in_one_vector():
    program, _ = network(nn.MSELoss())
    program = ordered(rebuilt(rebuilt(rebuilt(program, SIMPLIFICATIONS), SIMPLIFICATIONS), LOWERINGS))
    places = plan(program)
    (join,) = (op for op in program.ops if op.instruction.has_parts)
    assert not places.copied
    parts = [b for b in places.buffers if b.root is places.at[join] and b is not places.at[join]]
    spans = sorted((b.start, b.start + b.size) for b in parts)
    assert spans[0][0] == 0
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert spans[-1][1] == places.at[join].size


def test_updates_happen_in_the_parameters():
    program, _ = network(nn.MSELoss())
    program = ordered(rebuilt(rebuilt(rebuilt(program, SIMPLIFICATIONS), SIMPLIFICATIONS), LOWERINGS))
    places = plan(program)
    for store in program.stores:
        assert places.at[store.value].root.input is store.target


def test_large_buffers_share_memory():
    x = np.ones((500, 1000))

    def f(x):
        a = np.exp(x)
        b = np.sum(a, axis=1, keepdims=True) * np.ones((1, 600))
        c = np.sin(b)
        return np.sum(c) + np.sum(np.cos(x @ np.ones((1000, 700))))

    program, places = planned(f, x)
    arena.share(program, places)
    own = [b for b in places.buffers if b.of is None and b.place is not None]
    assert len(own) >= 2
    assert sum(places.arenas.values()) * 8 < 0.9 * sum(b.nbytes for b in own)
    for i, a in enumerate(own):
        for b in own[:i]:
            apart = a.place + a.size <= b.place or b.place + b.size <= a.place
            assert apart or a.until < b.since or b.until < a.since
    np.testing.assert_allclose(tg.compile(f)(x), f(x))


def test_runs_of_long_arrays():
    x = np.ones((300, 400))
    program, places = planned(lambda x: np.sum(np.exp(x * 2) + 1), x)
    run = run_at(program, places, 0)
    assert [op.instruction.name for op in run] == ["np.multiply", "np.exp", "np.add"]
    assert not local_buffers(program, places, run)  # the sum looks at the result


def test_a_run_ends_where_memory_is_looked_at_in_two_ways():
    x = np.random.default_rng(0).normal(size=(300, 400))

    def f(x):
        a = np.sin(x)
        b = np.exp(a[::-1] * 0.1)  # of other rows, which may be overwritten in the meantime
        return np.sum(b * np.cos(a))

    np.testing.assert_allclose(tg.compile(f)(x), f(x))


# -- two traces --------------------------------------------------------------------------------------


def test_traces_that_differ():
    (a, _), (b, _) = (traced(lambda x, k=k: np.exp(x) * k, X) for k in (2, 3))
    require_agreement("f", a, a)
    with pytest.raises(CompileError, match="did something different"):
        require_agreement("f", a, b)
    with pytest.raises(CompileError, match="did something different"):
        require_agreement("f", a, replace(a, ops=a.ops[:-1]))


@pytest.mark.thorough
def test_chains_may_be_longer_than_the_stack_is_deep():
    def far(x):
        h = x
        for _ in range(2000):
            h = np.exp(h) - x
        return np.sum(-h)

    x = np.zeros(3)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(tg.compile(far)(x), far(x))
