"""Backward passes: what they find, how often they run, and what they refuse."""

from __future__ import annotations

import _thread
import asyncio
import functools
import gc
import inspect
import sys
import threading
import time

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist import nn, optim, tensor
from tinygrad_mnist.errors import DTypeError, GradientError, LostGradientWarning, ShapeError
from tinygrad_mnist.graph import WATCH, Watch, _set, fit

X = np.array([0.5, -1.0, 2.0])


def assert_grad(t: tg.Tensor, expected) -> None:
    np.testing.assert_allclose(t.grad.data, expected, rtol=1e-13)


# -- graphs of every shape -----------------------------------------------------------------------


@for_each(
    "f, slope",
    [
        (lambda x: x + x, lambda x: 2 + 0 * x),
        (lambda x: x * x * x, lambda x: 3 * x**2),
        (lambda x: x - x, lambda x: 0 * x),
        (lambda x: x / x, lambda x: 0 * x),
        (lambda x: np.sin(x) * x + np.sin(x), lambda x: np.cos(x) * x + np.sin(x) + np.cos(x)),
        (lambda x: (x * 2) * (x * 3), lambda x: 12 * x),
        (lambda x: np.concatenate([x, x, x * x]), lambda x: 2 + 2 * x),
        (lambda x: np.where(x > 0, x, x), lambda x: 1 + 0 * x),
        (lambda x: np.einsum("i,i,i->i", x, x, x), lambda x: 3 * x**2),
        (lambda x: np.stack([x, x[::-1]]), lambda x: 2 + 0 * x),
        (lambda x: +x, lambda x: 1 + 0 * x),
    ],
)
def test_a_tensor_used_several_times_adds_up(f, slope):
    x = leaf(X)
    f(x).sum().backward()
    assert_grad(x, slope(X))


def test_diamonds_visit_each_node_once():
    x = leaf(1.0)
    y = x
    calls = []
    for _ in range(40):  # 2**40 paths
        y = y * 0.5 + y * 0.5
    y.register_hook(lambda g: calls.append(g))
    y.backward()
    assert x.grad.item() == 1.0
    assert len(calls) == 1


def test_matmul_with_itself():
    m = np.array([[1.0, 2.0], [3.0, 4.0]])
    a, b, left = leaf(m), leaf(m), leaf(m)
    (left @ left).sum().backward()
    (a @ b).sum().backward()
    assert_grad(left, a.grad.data + b.grad.data)
    assert tg.testing.gradcheck(lambda t: t @ t.T @ t, m, order=2)


def test_a_deep_and_a_shallow_use_of_one_leaf():
    x = leaf(0.5)
    y = x
    for _ in range(10):
        y = np.sin(y)
    (y * x).backward()
    assert tg.testing.gradcheck(lambda t: np.sin(np.sin(np.sin(t))) * t, 0.5, order=2)
    y, slope = 0.5, 1.0
    for _ in range(10):
        slope, y = slope * np.cos(y), np.sin(y)
    assert_grad(x, slope * 0.5 + y)


def test_a_leaf_in_two_losses_accumulates():
    x = leaf(X)
    (x * 2).sum().backward()
    (x * x).sum().backward()
    assert_grad(x, 2 + 2 * X)
    x.zero_grad()
    assert x.grad is None


def test_only_what_is_tracked_gets_a_gradient():
    x, constant = leaf(X), tensor(X)
    (x * constant).sum().backward()
    assert_grad(x, X)
    assert constant.grad is None


def test_a_leaf_is_its_own_derivative():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0
    x.backward()
    assert x.grad.item() == 2.0


def test_every_leaf_of_several_outputs():
    x = leaf(X)
    first, second = np.exp(x), np.sin(x)
    first.sum().backward()
    second.sum().backward()
    assert_grad(x, np.exp(X) + np.cos(X))


# -- once, twice, three times --------------------------------------------------------------------


def test_a_second_pass_names_retain_graph_and_changes_nothing():
    x = leaf(X)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()
    assert_grad(x, 2 * X)


def test_a_freed_shared_part_is_an_error_that_leaves_grads_alone():
    x, w = leaf(X), leaf(X)
    shared = np.exp(x)
    first, second = (shared * 2).sum(), (shared * w).sum()
    first.backward()
    with pytest.raises(GradientError, match="retain_graph"):
        second.backward()
    assert w.grad is None
    assert_grad(x, 2 * np.exp(X))


def test_retain_graph():
    x = leaf(X)
    y = (x**3).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert_grad(x, 9 * X**2)
    with pytest.raises(GradientError):
        y.backward()


def test_higher_orders():
    x = leaf(1.5)
    y = np.exp(x * 2) + x**4
    exact = [
        4 * 1.5**3 + 2 * np.exp(3.0),
        12 * 1.5**2 + 4 * np.exp(3.0),
        24 * 1.5 + 8 * np.exp(3.0),
        24 + 16 * np.exp(3.0),
    ]
    for expected in exact:
        x.zero_grad()
        y.backward(create_graph=True)
        y = x.grad
        assert y.requires_grad
        assert y.item() == pytest.approx(expected, rel=1e-13)


def test_create_graph_implies_retain_and_accumulates_tracked():
    x = leaf(X)
    y = (x**3).sum()
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    grad = x.grad
    assert grad.requires_grad
    np.testing.assert_allclose(grad.data, 6 * X**2)
    x.zero_grad()
    grad.sum().backward()
    assert_grad(x, 12 * X)


def test_a_gradient_penalty():
    w = np.array([[0.3, -0.2], [0.1, 0.4]])

    def penalty(t):
        x = leaf(np.array([1.0, 2.0]))
        np.tanh(t @ x).sum().backward(create_graph=True)
        return (x.grad * x.grad).sum()

    def slope(values):
        t = leaf(values)
        loss = penalty(t)
        t.zero_grad()
        loss.backward()
        return t.grad.data

    numeric = tg.testing.numerical_gradient(lambda v: penalty(leaf(v)).item(), w)[0]
    np.testing.assert_allclose(slope(w), numeric, rtol=1e-6)


def test_grad_is_untracked_without_create_graph():
    x = leaf(X)
    (x * x).sum().backward()
    assert not x.grad.requires_grad
    assert isinstance(x.grad, tg.Tensor)


def test_create_graph_inside_no_grad_still_records():
    x = leaf(X)
    y = (x**3).sum()
    with tg.no_grad():
        y.backward(create_graph=True)
    grad = x.grad
    x.zero_grad()
    grad.sum().backward()
    assert_grad(x, 6 * X)


# -- the gradient passed in ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, list, tensor, lambda v: np.asarray(v, np.float32), leaf])
def test_gradient_argument(kind):
    x = leaf(X)
    (x * 2).backward(kind([1.0, 2.0, -1.0]))
    assert_grad(x, [2.0, 4.0, -2.0])
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize("gradient", [1.0, np.ones(2), np.ones((1, 3)), np.ones((3, 1))])
def test_gradient_of_another_shape(gradient):
    x = leaf(X)
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        (x * 2).backward(gradient)
    assert x.grad is None


def test_gradient_takes_the_dtype_of_what_it_belongs_to():
    x = leaf(X, dtype=np.float32)
    (x * 2).backward([1, 2, 3])
    assert x.grad.dtype == np.float32
    with pytest.raises(DTypeError):
        (x * 2).backward(["a", "b", "c"])


def test_a_gradient_can_be_differentiated_through():
    x, v = leaf(X), leaf([1.0, 1.0, 2.0])
    (x * x).backward(v, create_graph=True)
    grad = x.grad
    x.zero_grad()
    grad.sum().backward()
    assert_grad(v, 2 * X)


def test_a_non_scalar_says_what_to_pass():
    x = leaf(X)
    with pytest.raises(GradientError, match=r"shape \(3,\).*sum\(\)\.backward\(\)"):
        (x * 2).backward()
    one = leaf([[2.0]])
    (one * one).backward()  # a single element, whatever its shape, is as good as a scalar
    assert_grad(one, [[4.0]])


def test_an_untracked_tensor_says_why():
    with pytest.raises(GradientError, match=r"untracked.*requires_grad=True"):
        tensor(X).sum().backward()
    with tg.no_grad():
        y = leaf(X).sum()
    with pytest.raises(GradientError, match="no_grad"):
        y.backward()


# -- grad: whose memory, and how it is set -------------------------------------------------------


@for_each(
    "f",
    [
        lambda x, y: x + y,
        lambda x, y: x * 1 + y * 1,
        lambda x, y: np.concatenate([x, y]),
        lambda x, y: np.stack([x, y]),
        lambda x, y: x.reshape(3, 1) + y.reshape(1, 3),
        lambda x, y: (x + y).T.ravel(),
        lambda x, y: np.broadcast_to(x, (2, 3)) + y,
        lambda x, y: x[:] + y[::-1],
        lambda x, y: np.where([True, False, True], x, y),
        lambda x, y: np.expand_dims(x, 0) - np.flip(y),
        lambda x, y: x.sum() + y.mean(),
    ],
)
def test_grads_own_their_memory(f):
    x, y = leaf(X), leaf(X)
    out = f(x, y)
    seed = np.ones(out.shape)
    out.backward(seed, retain_graph=True)
    assert not np.shares_memory(x.grad.data, y.grad.data)
    for t in (x, y):
        assert not np.shares_memory(t.grad.data, seed)
        assert not np.shares_memory(t.grad.data, t.data)
        assert not np.shares_memory(t.grad.data, out.data)
        assert t.grad.data.strides != (0,)
    kept = x.grad.data.copy()
    out.backward(seed)  # adds to x.grad without touching what was handed out before
    np.testing.assert_array_equal(x.grad.data, 2 * kept)


def test_a_gradient_passed_in_is_copied():
    seed = np.ones(3)
    x = leaf(X)
    x.backward(seed)
    y = leaf(X) * 2
    y.retain_grad()
    y.backward(seed)
    seed[:] = 9
    assert_grad(x, np.ones(3))
    assert_grad(y, np.ones(3))


def test_retained_grads_own_their_memory_too():
    x = leaf(X)
    a, b = x * 2, x * 3
    a.retain_grad()
    b.retain_grad()
    (a + b).sum().backward()
    assert not np.shares_memory(a.grad.data, b.grad.data)


def test_grad_can_be_set():
    x = leaf(X, dtype=np.float32)
    x.grad = [1, 2, 3]
    assert x.grad.dtype == np.float32
    (x * 2).sum().backward()
    assert_grad(x, [3.0, 4.0, 5.0])
    x.grad *= 2
    assert_grad(x, [6.0, 8.0, 10.0])
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        x.grad = np.ones(2)
    x.grad = None
    assert x.grad is None
    with pytest.raises(GradientError, match="untracked"):
        tensor(X).grad = X


def test_assigning_to_part_of_a_grad_is_not_ignored():
    x = leaf(X)
    (x * 2).sum().backward()
    try:
        x.grad[0] = 7.0
    except (GradientError, TypeError, ValueError):
        return  # a refusal says so; silence would be a mistake
    assert_grad(x, [7.0, 2.0, 2.0])


def test_mutating_the_input_array_after_the_forward_pass():
    array = X.copy()
    x = tg.Tensor(array, requires_grad=True)
    y = (x * x).sum()
    array[:] = 100
    y.backward()
    assert_grad(x, 2 * X)


# -- hooks and retained gradients ----------------------------------------------------------------


def test_retain_grad_on_inner_tensors():
    x = leaf(X)
    y = x * 2
    y.retain_grad()
    z = np.exp(y)
    z.sum().backward()
    assert_grad(y, np.exp(2 * X))
    with pytest.warns(LostGradientWarning, match="retain_grad"):
        assert z.grad is None
    with pytest.raises(GradientError, match="retain_grad"):
        tensor(X).retain_grad()


def test_hooks_see_the_whole_gradient_once_and_in_order():
    x = leaf(X)
    seen = []
    x.register_hook(lambda g: seen.append(("first", g.data.copy())))
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(("third", g.data.copy())))
    (x + x * x).sum().backward()
    assert [name for name, _ in seen] == ["first", "third"]
    np.testing.assert_allclose(seen[0][1], 1 + 2 * X)
    np.testing.assert_allclose(seen[1][1], 10 * (1 + 2 * X))
    assert_grad(x, 10 * (1 + 2 * X))


def test_a_hook_on_an_inner_tensor_changes_what_flows_on():
    x = leaf(X)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: np.clip(g.data, -1, 1))
    (y * [10.0, -10.0, 0.5]).sum().backward()
    assert_grad(y, [1.0, -1.0, 0.5])
    assert_grad(x, [2.0, -2.0, 1.0])


def test_hooks_can_be_removed_twice():
    x = leaf(X)
    remove = x.register_hook(lambda g: g * 0)
    keep = x.register_hook(lambda g: g * 3)
    remove()
    remove()
    (x * 1).sum().backward()
    assert_grad(x, 3 * np.ones(3))
    keep()
    (x * 1).sum().backward()
    assert_grad(x, 4 * np.ones(3))


def test_a_hook_may_remove_itself():
    x = leaf(X)
    calls = []

    def once(g):
        calls.append(g)
        remove()

    remove = x.register_hook(once)
    x.register_hook(lambda g: calls.append(g))
    (x * 1).sum().backward()
    (x * 1).sum().backward()
    assert len(calls) == 3


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("wrong", [lambda g: g.sum(), lambda g: np.ones((3, 3))])
def test_a_hook_has_to_keep_the_shape(create_graph, wrong):
    x = leaf(X)
    x.register_hook(wrong)
    with pytest.raises(ShapeError, match="hook"):
        (x * x).sum().backward(create_graph=create_graph)
    assert x.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_cannot_change_the_dtype(create_graph):
    x = leaf(X, dtype=np.float32)
    x.register_hook(lambda g: g * np.ones(3))  # float64
    (x * x).sum().backward(create_graph=create_graph)
    assert x.grad.dtype == np.float32


def test_hooks_are_recorded_with_create_graph():
    x = leaf(X)
    x.register_hook(lambda g: g * g)
    (x**3).sum().backward(create_graph=True)  # the hook makes it 9 x**4
    grad = x.grad
    np.testing.assert_allclose(grad.data, 9 * X**4)
    y = leaf(X)
    (y**3).sum().backward(create_graph=True)
    inner = (y.grad**2).sum()
    y.zero_grad()
    inner.backward()
    assert_grad(y, 36 * X**3)


def test_hooks_need_a_tracked_tensor():
    with pytest.raises(GradientError, match="register_hook"):
        tensor(X).register_hook(print)


def test_an_exception_in_a_hook_gets_out_and_leaves_grads_alone():
    x = leaf(X)

    def broken(g):
        raise KeyError("broken")

    y = x * 2
    y.register_hook(broken)
    with pytest.raises(KeyError):
        y.sum().backward()
    assert x.grad is None


# -- recording on and off ------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest():
    x = leaf(X)
    with tg.no_grad():
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
            with tg.no_grad():
                assert not tg.is_recording()
            assert tg.is_recording()
        assert not tg.is_recording()
    assert tg.is_recording()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        1 / 0  # noqa: B018
    assert (leaf(X) * 2).requires_grad


def test_no_grad_as_a_decorator():
    @tg.no_grad()
    def f(x):
        return x * 2

    assert not f(leaf(X)).requires_grad
    assert not f(leaf(X)).requires_grad
    assert tg.is_recording()


def test_blocks_without_parentheses():
    @tg.no_grad
    def quiet():
        with tg.enable_grad:
            loud = tg.is_recording()
        return loud, tg.is_recording()

    assert quiet() == (True, False)
    with tg.no_grad, tg.no_grad():
        assert not tg.is_recording()
    assert tg.is_recording()
    assert "with tg.no_grad():" in tg.no_grad.__doc__  # what help() shows


def test_no_grad_belongs_to_its_thread():
    inside, outside, seen = threading.Event(), threading.Event(), []

    def other():
        with tg.no_grad():
            inside.set()
            outside.wait(10)
            seen.append((leaf(X) * 2).requires_grad)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    seen.append((leaf(X) * 2).requires_grad)
    outside.set()
    thread.join()
    assert seen == [True, False]


def test_no_grad_belongs_to_its_task():
    async def main():
        inside, done = asyncio.Event(), asyncio.Event()

        async def quiet():
            with tg.no_grad():
                inside.set()
                await done.wait()
                return (leaf(X) * 2).requires_grad

        async def loud():
            await inside.wait()
            found = (leaf(X) * 2).requires_grad
            done.set()
            return found

        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(main()) == [False, True]


def test_many_threads_differentiate_their_own_graphs():
    found = []

    def work(seed):
        values = np.random.default_rng(seed).normal(size=5)
        for _ in range(50):
            x = leaf(values)
            y = x
            for _ in range(10):
                y = np.sin(y) + x
            y.sum().backward()
        expected, y = np.ones(5), values
        for _ in range(10):
            expected, y = np.cos(y) * expected + 1, np.sin(y) + values
        found.append(np.allclose(x.grad.data, expected))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_a_generator_that_is_left_inside_no_grad_and_closed():
    def batches():
        with tg.no_grad():
            yield 1
            yield 2

    generator = batches()
    next(generator)
    generator.close()
    assert tg.is_recording()
    assert list(batches()) == [1, 2]
    assert tg.is_recording()


def test_one_no_grad_is_entered_again_while_it_is_entered():
    quiet = tg.no_grad()
    for _ in range(2):
        with quiet:
            with quiet:
                with tg.enable_grad():
                    assert tg.is_recording()
                assert not tg.is_recording()
            assert not tg.is_recording()
        assert tg.is_recording()


def test_decorators_of_functions_that_call_each_other():
    quiet, loud, seen = tg.no_grad(), tg.enable_grad(), []

    @quiet
    def silent(n):
        seen.append(tg.is_recording())
        if n:
            recorded(n - 1)
        seen.append(tg.is_recording())

    @loud
    def recorded(n):
        seen.append(tg.is_recording())
        if n:
            silent(n - 1)
        seen.append(tg.is_recording())

    silent(3)
    assert seen == [False, True, False, True, True, False, True, False]
    assert tg.is_recording()


def test_one_no_grad_serves_many_threads():
    quiet, wrong = tg.no_grad(), []

    def work():
        for _ in range(500):
            with quiet:
                wrong.append(tg.is_recording())
            wrong.append(not tg.is_recording())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(wrong)


def test_a_decorated_generator_computes_without_recording_and_its_caller_with_it():
    @tg.no_grad()
    def numbers():
        sent = []
        try:
            while True:
                try:
                    sent.append((yield tg.is_recording()))
                except KeyError:
                    sent.append("thrown")
                if len(sent) == 3:
                    return [*sent, tg.is_recording()]
        finally:
            sent.append(tg.is_recording())
            left.append(sent)

    def outer():
        result = yield from numbers()
        assert result == [None, 5, "thrown", False]

    left = []
    assert inspect.isgeneratorfunction(numbers)
    generator = outer()
    assert next(generator) is False
    assert tg.is_recording()
    assert next(generator) is False
    assert tg.is_recording()
    assert generator.send(5) is False
    assert tg.is_recording()
    with pytest.raises(StopIteration):
        generator.throw(KeyError)
    generator = numbers()
    next(generator)
    generator.close()
    assert left[1] == [False]
    assert tg.is_recording()


def test_a_decorated_function_that_returns_a_generator():
    results = tg.no_grad()(lambda: (leaf(X) * i for i in range(2)))()
    for y in results:
        assert not y.requires_grad
        assert tg.is_recording()


def test_a_decorated_generator_ends_with_its_exception():
    @tg.no_grad()
    def numbers():
        yield 1
        raise KeyError

    generator = numbers()
    next(generator)
    with pytest.raises(KeyError):
        next(generator)
    assert tg.is_recording()


def test_decorated_coroutines_compute_without_recording():
    @tg.no_grad()
    async def quiet(n):
        await asyncio.sleep(0)
        before = tg.is_recording()
        return [before, *(await quiet(n - 1) if n else []), tg.is_recording()]

    @tg.no_grad()
    async def batches():
        try:
            yield tg.is_recording()
            await asyncio.sleep(0)
            yield tg.is_recording()
        except KeyError:
            yield "caught"

    async def main():
        task = asyncio.create_task(quiet(1))
        seen = []
        while not task.done():
            seen.append(tg.is_recording())
            await asyncio.sleep(0)
        assert all(seen)
        assert task.result() == [False] * 4
        assert await quiet(0) == [False] * 2
        assert tg.is_recording()
        assert [(inside, tg.is_recording()) async for inside in batches()] == [(False, True)] * 2
        generator = batches()
        await anext(generator)
        assert await generator.athrow(KeyError) == "caught"
        assert tg.is_recording()
        await generator.aclose()

    assert inspect.iscoroutinefunction(quiet)
    assert inspect.isasyncgenfunction(batches)
    asyncio.run(main())


def test_scope_decorates_a_generator():
    @tg.graph.scope("made here")
    def results():
        yield leaf(X) * 2

    assert next(results()).node.scope == "made here"
    assert (leaf(X) * 2).node.scope == ""


# -- versions ------------------------------------------------------------------------------------


def model_and_loss():
    model = nn.Linear(3, 2, rng=0)
    return model, (model(np.ones((4, 3), np.float32)) ** 2).sum()


def step(model):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    optimizer.step()
    optimizer.zero_grad()


def in_place(model):
    with tg.no_grad():
        model.weight += 1


@pytest.mark.parametrize(
    "change",
    [step, in_place, lambda m: m.load_state_dict(m.state_dict())],
    ids=["step", "in place", "load_state_dict"],
)
def test_a_parameter_changed_between_forward_and_backward(change):
    model, loss = model_and_loss()
    change(model)
    with pytest.raises(GradientError, match=r"parameter 'weight' was changed in place.*linear") as caught:
        loss.backward()
    assert "Linear" in str(caught.value)
    assert model.weight.grad is None
    fresh = (model(np.ones((4, 3), np.float32)) ** 2).sum()
    fresh.backward()
    assert model.weight.grad is not None


def test_step_after_backward_is_fine_and_again():
    model, loss = model_and_loss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        loss = (model(np.ones((4, 3), np.float32)) ** 2).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == sorted(losses, reverse=True)


def test_a_graph_kept_over_a_step_is_stale():
    model, loss = model_and_loss()
    loss.backward(retain_graph=True)
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(GradientError, match="changed in place"):
        loss.backward()


def test_an_unnamed_leaf_is_named_by_its_shape():
    x = leaf(X)
    y = (x * x).sum()
    with tg.no_grad():
        x += 1
    with pytest.raises(GradientError, match=r"a leaf of shape \(3,\)"):
        y.backward()


# -- scopes and the parts of the engine ----------------------------------------------------------


def test_every_node_knows_its_scope():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Sequential(nn.Tanh()))
    y = model(np.ones((1, 3), np.float32))
    assert y.node.scope == "1.0.Tanh"
    assert y.node.parents[0][1].scope == "0.Linear"
    with tg.graph.scope("encoder"):
        assert (leaf(X) * 2).node.scope == "encoder"
    assert (leaf(X) * 2).node.scope == ""


def test_a_scope_ends_with_an_exception():
    model = nn.Sequential(nn.Linear(3, 2, rng=0))
    with pytest.raises(ShapeError):
        model(np.ones((1, 4), np.float32))
    assert (leaf(X) * 2).node.scope == ""


def decorated(f):
    return lambda *args: f(*args)


@decorated
def exponential(x):
    return np.exp(x)  # in a decorated function


def test_every_node_knows_its_line():
    x = leaf(X)
    total = [np.sin(v) for v in x][1]  # in a comprehension
    whole = np.linalg.norm(
        np.cosh(x)  # on a line of its own
    )
    for t, place in [
        (exponential(x), "in exponential: return np.exp(x)  # in a decorated function"),
        ((lambda t: t * 2)(x), "in <lambda>: ((lambda t: t * 2)(x), "),
        (next(map(np.exp, [x])), "(next(map(np.exp, [x])), "),
        (functools.reduce(np.add, [x, x]), "(functools.reduce(np.add, [x, x]), "),
        (np.apply_along_axis(np.sum, 0, x), "(np.apply_along_axis(np.sum, 0, x), "),
        (total, "# in a comprehension"),
        (whole, "whole = np.linalg.norm("),
        (whole.node.parents[0][1], "np.cosh(x)  # on a line of its own"),
    ]:
        line = str((t.node if isinstance(t, tg.Tensor) else t).line)
        assert "test_graph.py:" in line
        assert place in line


def test_an_operation_that_nobody_calls_has_a_line_too():
    results = []
    _thread.start_new_thread(results.extend, (map(np.exp, [leaf(X)]),))  # without a frame of Python's
    for _ in range(500):
        if results:
            break
        time.sleep(0.01)
    assert results[0].requires_grad


@for_each(
    "g, like, expected",
    [
        (np.ones((3, 2)), np.zeros(2), [3.0, 3.0]),
        (np.ones((3, 2)), np.zeros((3, 1)), [[2.0], [2.0], [2.0]]),
        (np.ones((3, 2)), np.zeros((1, 1)), [[6.0]]),
        (np.ones((4, 3, 2)), np.zeros((3, 1)), [[8.0], [8.0], [8.0]]),
        (np.ones((3, 2)), np.zeros(()), 6.0),
        (np.float64(2.0), np.zeros((2, 1)), [[2.0], [2.0]]),
        (np.ones((1, 2)), np.zeros((3, 2)), np.ones((3, 2))),
        (2.5, np.zeros(2), [2.5, 2.5]),
        (np.ones((0, 2)), np.zeros((1, 2)), [[0.0, 0.0]]),
        (np.ones(2) * (1 + 2j), np.zeros(2), [1.0, 1.0]),
    ],
)
@for_each("dtype", [np.float32, np.float64])
def test_fit_undoes_broadcasting_and_promotion(g, like, expected, dtype):
    fitted = fit(g, like.astype(dtype))
    np.testing.assert_array_equal(fitted, expected)
    assert fitted.dtype == dtype
    assert fitted.shape == like.shape


def test_fit_refuses_what_never_fitted():
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        fit(np.ones(3), np.zeros(2))


def test_a_rule_of_the_wrong_shape_is_named():
    @tg.primitive()
    def lopsided(x, /):
        return x * 2

    lopsided.vjp(lambda g, y, x: np.ones(7))
    with pytest.raises(ShapeError, match="rule 0 of lopsided"):
        lopsided(leaf(X)).sum().backward()


def test_an_argument_without_a_rule_is_named():
    @tg.primitive()
    def half(x, mask, /):
        return x * mask

    half.vjp(lambda g, y, x, mask: g * mask, None)
    x = leaf(X)
    half(x, np.ones(3)).sum().backward()
    with pytest.raises(GradientError, match=r"half.*'mask'"):
        half(x, leaf(X))


def test_no_gradient_is_computed_for_constants():
    calls = []

    @tg.primitive()
    def product(a, b, /):
        return a * b

    product.vjp(lambda g, y, a, b: calls.append("a") or g * b, lambda g, y, a, b: calls.append("b") or g * a)
    product(X, leaf(X)).sum().backward()
    product(leaf(X), tensor(X)).sum().backward()
    assert calls == ["b", "a"]


def test_a_user_primitive_runs_on_arrays_and_lists():
    @tg.primitive(samples=[((3,),)])
    def double(x, /, by=2):
        return np.asarray(x) * by

    double.vjp(lambda g, y, x, by: g * by)
    assert type(double(X)) is np.ndarray
    np.testing.assert_array_equal(double([1.0, 2.0], by=3), [3.0, 6.0])
    x = leaf(X)
    double(x, by=5).sum().backward()
    assert_grad(x, 5 * np.ones(3))
    with pytest.raises(TypeError, match="double"):
        double(x, 2, 3)
    with pytest.raises(TypeError, match="wrong"):
        double(x, wrong=1)


def test_a_primitive_says_what_its_declaration_lacks():
    with pytest.raises(TypeError, match="before a '/'"):

        @tg.primitive()
        def f(x):
            return x

    @tg.primitive()
    def two(a, b, /):
        return a * b

    with pytest.raises(TypeError, match="1 rule for 2"):
        two.vjp(lambda g, y, a, b: g)


# -- what the sweep gives away, and what it costs ------------------------------------------------


def test_a_gradient_that_was_the_seed_has_memory_of_its_own():
    seed = np.ones(3)
    t = leaf(np.zeros(3))
    t.backward(seed)
    seed[:] = 7
    assert t.grad.tolist() == [1, 1, 1]
    given = tensor(seed)
    t.zero_grad()
    t.backward(given)
    t.grad[0] = 0
    assert given.tolist() == [7, 7, 7]


def test_a_retained_gradient_has_memory_of_its_own():
    t = leaf(np.ones(3))
    y = t + 0.0
    y.retain_grad()
    np.sum(y * 2).backward()
    assert not np.shares_memory(y.grad.data, t.grad.data)
    y.grad[0] = 100.0
    assert t.grad.tolist() == [2, 2, 2]


def calls_of(function, *args):
    """How many functions written in Python a call runs through: a measure of time that no busy machine disturbs."""
    count = 0

    def see(frame, event, arg):
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # what other tests left behind may call functions when it goes
    sys.setprofile(see)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def multiplied(x, n):
    for _ in range(n):
        x = x * 1.5
    return x


@pytest.mark.parametrize(
    ("value", "forward", "backward"),
    [
        (np.ones(3), 5, 2),  # backward: the rule, and the release of the node
        (1.0, 5, 3),  # and the fit: rules of 0-d arrays return scalars of NumPy
    ],
)
def test_an_operation_takes_few_calls_of_python(value, forward, backward):
    found = []
    for n in (50, 150):
        x = leaf(value)
        result = []
        found.append([calls_of(lambda n=n, x=x, result=result: result.append(multiplied(x, n)))])
        total = np.sum(result[0])
        found[-1].append(calls_of(total.backward))
    each = [(b - a) / 100 for a, b in zip(*found, strict=True)]
    assert each[0] <= forward
    assert each[1] <= backward


# -- watches -------------------------------------------------------------------------------------


class Doubling(Watch):
    """Runs every operation and every rule, and returns twice what it computed."""

    def __init__(self):
        self.ran = []

    def run(self, primitive, args, settings, rule=None):
        self.ran.append((primitive.name, rule))
        return 2 * super().run(primitive, args, settings, rule)


def test_a_watch_runs_operations_and_rules():
    x, watch = leaf(X), Doubling()
    with _set(WATCH, watch):
        y = np.sum(x * 3)
        y.backward()
    assert watch.ran == [("multiply", None), ("sum", None), ("sum", 0), ("multiply", 0)]
    assert y.item() == 2 * np.sum(2 * X * 3)
    assert_grad(x, np.full(3, 2 * 2 * 3.0))


def test_a_watch_runs_what_is_not_recorded_and_is_told_of_nothing():
    x, watch = leaf(X), Doubling()
    watch.computed = lambda node: pytest.fail("nothing was recorded")
    with tg.no_grad(), _set(WATCH, watch):
        assert np.array_equal((x * 3).data, 2 * X * 3)


def test_a_watch_runs_the_operations_of_a_rule_that_is_recorded():
    x, watch = leaf(X), Watch()
    ran = []
    watch.run = lambda p, *args: ran.append((p.name, *args[2:])) or Watch.run(watch, p, *args)
    with _set(WATCH, watch):
        np.sum(np.sin(x)).backward(create_graph=True)
    assert ran.index(("sin", 0)) < ran.index(("cos",))
    assert_grad(x, np.cos(X))
