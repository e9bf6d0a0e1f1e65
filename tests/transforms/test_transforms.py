"""Derivatives of functions: values, forms, composition, and what they refuse."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from tinygrad_mnist.errors import DTypeError, GradientError, LostGradientWarning, OptionError, ShapeError
from tinygrad_mnist.nn import functional as F  # noqa: N812

X = np.array([0.3, -1.2, 2.0])
M = np.random.default_rng(0).normal(size=(3, 3))


def cubic(x):
    return np.sum(x**3) / 6


# -- grad ----------------------------------------------------------------------------------------


def test_grad_of_an_array_is_an_array():
    g = grad(cubic)(X)
    assert type(g) is np.ndarray
    np.testing.assert_allclose(g, X**2 / 2)


@pytest.mark.parametrize("x", [2.0, 2, np.float32(2.0), np.array(2.0)], ids=["float", "int", "scalar", "0-d"])
def test_grad_of_a_number(x):
    g = grad(lambda x: x**3)(x)
    assert g == 12.0
    assert isinstance(g, np.float32 if isinstance(x, np.float32) else np.float64)


def test_argnums():
    def f(a, b, c=1.0):
        return np.sum(a * b**2 * c)

    a, b = X, X + 1
    np.testing.assert_allclose(grad(f, 1)(a, b), 2 * a * b)
    np.testing.assert_allclose(grad(f, -1)(a, b), 2 * a * b)
    both = grad(f, (0, 1))(a, b, c=2.0)
    assert isinstance(both, tuple)
    np.testing.assert_allclose(both[0], 2 * b**2)
    np.testing.assert_allclose(both[1], 4 * a * b)
    (only,) = grad(f, [0])(a, b)
    np.testing.assert_allclose(only, b**2)


def test_argnums_out_of_range_and_by_keyword():
    with pytest.raises(OptionError, match=r"argnums = 1: <lambda> was called with 1 argument by position"):
        grad(lambda x: x, 1)(1.0)
    with pytest.raises(OptionError, match="with 0 arguments by position"):
        grad(lambda x: x)(x=1.0)


class Pair(NamedTuple):
    a: object
    b: object


def test_trees_keep_their_form():
    p = {"w": [M, X], "rest": (Pair(1.0, np.float32(2.0)), None)}

    def f(p):
        pair = p["rest"][0]
        return np.sum(p["w"][0] @ p["w"][1]) * pair.a + pair.b**2

    g = grad(f)(p)
    assert list(g) == ["w", "rest"]
    assert isinstance(g["rest"][0], Pair)
    assert g["rest"][1] is None
    np.testing.assert_allclose(g["w"][0], np.tile(X, (3, 1)))
    np.testing.assert_allclose(g["w"][1], M.sum(0))
    assert g["rest"][0].b == 4
    assert g["rest"][0].b.dtype == np.float32
    assert grad(lambda p: 1.0)([]) == []


def test_has_aux():
    def f(x):
        y = x**2
        return np.sum(y), {"y": y, "note": "kept", "n": 3}

    g, aux = grad(f, has_aux=True)(X)
    np.testing.assert_allclose(g, 2 * X)
    assert type(aux["y"]) is np.ndarray
    assert (aux["note"], aux["n"]) == ("kept", 3)
    (value, aux), g = value_and_grad(f, has_aux=True)(X)
    assert value == pytest.approx(np.sum(X**2))
    _, pull, aux = vjp(f, X, has_aux=True)
    np.testing.assert_allclose(pull(2.0)[0], 4 * X)
    _, change, aux = jvp(f, X, X, has_aux=True)
    assert change == pytest.approx(2 * np.sum(X**2))
    h, aux = hessian(f, has_aux=True)(X)
    np.testing.assert_allclose(h, 2 * np.eye(3))
    np.testing.assert_allclose(aux["y"], X**2)
    j, aux = jacobian(lambda x: (x**2, x), has_aux=True)(X)
    np.testing.assert_allclose(j, np.diag(2 * X))
    np.testing.assert_allclose(aux, X)
    with pytest.raises(GradientError, match=r"has_aux: cubic returned Tensor .*, not a pair"):
        grad(cubic, has_aux=True)(X)


def test_the_result_has_to_be_one_real_number():
    with pytest.raises(GradientError, match=r"returned Tensor of shape \(3,\).*np.sum"):
        grad(lambda x: x * 2)(X)
    with pytest.raises(GradientError, match="complex128"):
        grad(lambda x: np.sum(x * 1j))(X)
    with pytest.raises(GradientError, match="returned tuple"):
        grad(lambda x: (x[0], x[1]))(X)
    with pytest.raises(GradientError, match=r"returned None \(it may lack a `return`\)"):
        grad(lambda x: None)(X)
    assert grad(lambda x: x * 2)(np.array([1.0])) == 2  # a single element is enough


@pytest.mark.parametrize("x", [np.arange(3), np.array([True]), "text", [1.0, np.arange(2)]], ids=str)
def test_what_cannot_be_differentiated_by(x):
    with pytest.raises(DTypeError, match="cannot differentiate with respect to an argument of dtype"):
        grad(lambda x: 1.0)(x)


def test_a_result_that_does_not_depend_on_the_argument():
    np.testing.assert_array_equal(grad(lambda x: 3.0)(X), np.zeros(3))
    np.testing.assert_array_equal(grad(lambda x: np.sum(np.floor(x)))(X), np.zeros(3))
    np.testing.assert_array_equal(grad(lambda x, y: np.sum(y), 0)(X, M), np.zeros(3))
    np.testing.assert_array_equal(jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    np.testing.assert_array_equal(hessian(lambda x: np.sum(x))(X), np.zeros((3, 3)))
    np.testing.assert_array_equal(jvp(lambda x: (np.ones(2), x), X, X)[1][0], np.zeros(2))


def test_inputs_stay_untouched_and_results_are_ones_own():
    x = X.copy()

    def f(t):
        t[0] = 5.0
        t *= 2
        t[1:] += t[0]
        return np.sum(t**2)

    np.testing.assert_allclose(grad(f)(x), [0, 2 * 2 * (2 * X[1] + 10), 2 * 2 * (2 * X[2] + 10)])
    np.testing.assert_array_equal(x, X)
    value, _ = vjp(lambda t: t, x)
    value[0] = 99
    value, _ = jvp(lambda t: t[:2], x, x)
    value[0] = 99
    g = grad(lambda t: np.sum(t))(x)
    g[0] = 7.0
    np.testing.assert_array_equal(x, X)


def test_it_works_within_no_grad_and_leaves_no_grad_on_leaves():
    w = tg.tensor(2.0, requires_grad=True)
    with tg.no_grad():
        assert grad(lambda x: x * w)(3.0) == 2.0
        assert not tg.is_recording()
    assert w.grad is None


# -- Tensors -------------------------------------------------------------------------------------


def test_tensors_give_tensors_that_are_recorded():
    w = tg.tensor(M, requires_grad=True)
    x = tg.tensor(X, requires_grad=True)
    g = grad(lambda x: np.sum(np.tanh(w @ x)))(x)
    assert isinstance(g, tg.Tensor)
    np.sum(g**2).backward()

    def by_hand(w, x):
        return np.sum(((1 - np.tanh(w @ x) ** 2) @ w) ** 2)

    expected = tg.testing.numerical_gradient(by_hand, M, X)
    np.testing.assert_allclose(w.grad.data, expected[0], atol=1e-8)
    np.testing.assert_allclose(x.grad.data, expected[1], atol=1e-8)


def test_untracked_tensors_give_untracked_ones():
    g = grad(cubic)(tg.Tensor(X))
    assert isinstance(g, tg.Tensor)
    assert not g.requires_grad
    y, change = jvp(np.sin, tg.Tensor(X), tg.Tensor(X))
    assert not y.requires_grad
    assert not change.requires_grad


def test_a_models_gradient_with_respect_to_its_input():
    model = tg.nn.MLP([3, 4, 2], activation="tanh", rng=0, dtype=np.float64)
    slope = grad(lambda x: F.cross_entropy(model(x), np.array([1])))
    with tg.no_grad():
        g = slope(X[None])
    assert type(g) is np.ndarray
    np.testing.assert_array_equal(slope(X[None]).data, g)
    expected = tg.testing.numerical_gradient(
        lambda x: F.cross_entropy(model(x), np.array([1])).item(), X[None]
    )[0]
    np.testing.assert_allclose(g, expected, atol=1e-8)
    assert all(p.grad is None for p in model.parameters())


def derivatives(model, x):
    """One number, each time made of another derivative of a model by its input."""
    total = lambda x: np.sum(model(x))  # noqa: E731
    _, pull = vjp(model, x)
    return {
        "grad": lambda: np.sum(grad(total)(x) ** 2),
        "value": lambda: value_and_grad(total)(x)[0] ** 2,
        "pull": lambda: np.sum(pull(np.ones((len(x), 2)))[0] ** 2),
        "jvp": lambda: np.sum(jvp(model, x, np.ones_like(x))[1] ** 2),
        "jacobian": lambda: np.sum(jacobian(model)(x) ** 2),
        "hessian": lambda: np.sum(hessian(total)(x) ** 2),
        "hvp": lambda: np.sum(hvp(total, x, np.ones_like(x)) ** 2),
        "aux": lambda: np.sum(grad(lambda x: (np.sum(x), model(x)), has_aux=True)(x)[1] ** 2),
        "checkpoint": lambda: np.sum(grad(tg.checkpoint(total))(x) ** 2),
    }


@for_each("how", derivatives(np.sin, X[None, :2]))
@for_each("as_tensor", [False, True])
def test_a_derivative_at_an_array_keeps_the_way_to_a_models_parameters(how, as_tensor):
    """A penalty on a derivative is trained on, whether the derivative was taken at an array or at a Tensor."""
    model = tg.nn.MLP([3, 4, 2], activation="tanh", rng=0, dtype=np.float64)
    weight = model[0].weight
    derivatives(model, tg.Tensor(X[None]) if as_tensor else X[None])[how]().backward()
    start = weight.data.copy()

    def penalty(w):
        with tg.no_grad():
            weight[...] = w
            return derivatives(model, X[None])[how]().item()

    expected = tg.testing.numerical_gradient(penalty, start)[0]
    np.testing.assert_allclose(weight.grad.data, expected, rtol=1e-6, atol=1e-8)


def test_arrays_come_out_where_nothing_tracked_went_in():
    w = tg.tensor(2.0, requires_grad=True)
    assert type(grad(lambda x: np.sum(x * x))(X)) is np.ndarray
    assert type(grad(lambda x: np.sum(x * w.detach()))(X)) is np.ndarray
    # The value depends on w, the derivative does not.
    value, slope = value_and_grad(lambda x: np.sum(x * x) + w)(X)
    assert value.requires_grad
    assert type(slope) is np.ndarray
    with tg.no_grad():
        assert type(grad(lambda x: np.sum(x * w))(X)) is np.ndarray
    assert grad(lambda x: np.sum(x * w))(X).requires_grad
    slopes = grad(lambda p: np.sum(p["a"] * w) + np.sum(p["b"] ** 2))({"a": X, "b": X})
    assert slopes["a"].requires_grad
    assert type(slopes["b"]) is np.ndarray
    # A leaf of the function's own is tracked, as it is when the function is called alone.
    assert grad(lambda x: np.sum(x * tg.tensor(3.0, requires_grad=True)))(X).requires_grad


# -- composition ---------------------------------------------------------------------------------


def test_higher_orders():
    f = lambda x: np.sin(x) * x  # noqa: E731
    x = 0.7
    assert grad(grad(f))(x) == pytest.approx(2 * np.cos(x) - x * np.sin(x))
    assert grad(grad(grad(f)))(x) == pytest.approx(-3 * np.sin(x) - x * np.cos(x))
    third = jvp(lambda x: jvp(lambda x: jvp(f, x, 1.0)[1], x, 1.0)[1], x, 1.0)[1]
    assert third == pytest.approx(-3 * np.sin(x) - x * np.cos(x))


def test_an_inner_variable_is_not_an_outer_one():
    # The derivative of x * d(x y)/dy at y = x is 2x; confusing x and y gives another number.
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0) == 6.0
    assert grad(lambda x: x * jvp(lambda y: x * y, x, 1.0)[1])(3.0) == 6.0
    assert jvp(lambda x: x * jvp(lambda y: x + y, 1.0, 1.0)[1], 1.0, 1.0)[1] == 1.0
    assert grad(lambda x: grad(lambda y: x * x)(x) + x)(3.0) == 1.0


def test_an_inner_transform_of_constants_depends_on_what_it_captures():
    assert grad(lambda a: grad(lambda x: a * x**2)(3.0))(5.0) == 6.0
    assert grad(lambda a: jvp(lambda x: a * x**2, 3.0, 1.0)[1])(5.0) == 6.0
    assert grad(lambda a: vjp(lambda x: a * x**2, 3.0)[1](1.0)[0])(5.0) == 6.0
    assert jvp(lambda a: np.sum(jacobian(lambda x: a * x**2)(np.array([3.0]))), 5.0, 1.0)[1] == 6.0


def quartic(x):
    return np.sum(np.sin(x) * np.roll(x, 1) ** 2)


def test_all_ways_to_a_hessian_agree():
    expected = hessian(quartic)(X)
    np.testing.assert_allclose(expected, expected.T)
    ways = [
        jacobian(jacobian(quartic)),
        jacobian(lambda x: grad(quartic)(x)),
        lambda x: np.stack([hvp(quartic, x, e) for e in np.eye(3)]),
        lambda x: np.stack([vjp(grad(quartic), x)[1](e)[0] for e in np.eye(3)]),
        lambda x: np.stack([grad(lambda x: np.sum(grad(quartic)(x) * e))(x) for e in np.eye(3)]),  # noqa: B023
        lambda x: np.stack([grad(lambda x: jvp(quartic, x, e)[1])(x) for e in np.eye(3)]),  # noqa: B023
    ]
    for way in ways:
        np.testing.assert_allclose(way(X), expected, rtol=1e-10, atol=1e-12)


def test_checkpoint_inside_everything():
    layer = checkpoint(lambda x: np.tanh(M @ x) * x)
    plain = lambda x: np.tanh(M @ x) * x  # noqa: E731
    for transform in (
        jacobian,
        lambda f: grad(lambda x: np.sum(f(x))),
        lambda f: hessian(lambda x: np.sum(f(f(x)))),
    ):
        np.testing.assert_allclose(transform(layer)(X), transform(plain)(X), rtol=1e-10)
    np.testing.assert_allclose(jvp(layer, X, X)[1], jvp(plain, X, X)[1], rtol=1e-10)
    np.testing.assert_allclose(
        hvp(lambda x: np.sum(layer(x)), X, X), hvp(lambda x: np.sum(plain(x)), X, X), rtol=1e-10
    )
    third = grad(lambda x: np.sum(hvp(lambda z: np.sum(layer(z)), x, X)))
    np.testing.assert_allclose(
        third(X), grad(lambda x: np.sum(hvp(lambda z: np.sum(plain(z)), x, X)))(X), rtol=1e-9
    )


# -- vjp, jvp, jacobian --------------------------------------------------------------------------


def test_vjp_pulls_trees_any_number_of_times():
    y, pull = vjp(lambda a, b: {"s": a + b, "p": [a * b]}, X, M)
    np.testing.assert_allclose(y["p"][0], X * M)
    for _ in range(2):
        ga, gb = pull({"s": np.ones((3, 3)), "p": [np.zeros((3, 3))]})
        np.testing.assert_allclose(ga, [3, 3, 3])
        np.testing.assert_allclose(gb, np.ones((3, 3)))
    with pytest.raises(ShapeError, match="has another form: found ndarray, expected a dict of 's', 'p'"):
        pull(np.ones((3, 3)))
    with pytest.raises(ShapeError, match=r"has shape \(2,\), but should have shape \(3, 3\)"):
        pull({"s": np.ones(2), "p": [np.ones((3, 3))]})


def test_pull_remembers_where_it_was():
    x = X.copy()
    _, pull = vjp(lambda x: np.sum(x**2), x)
    x[:] = 0
    np.testing.assert_allclose(pull(1.0)[0], 2 * X)


def test_a_result_named_twice_gets_both_gradients():
    _, pull = vjp(lambda x: [x, x], X)
    np.testing.assert_array_equal(pull([np.ones(3), 2 * np.ones(3)])[0], [3, 3, 3])


def test_jvp_forms():
    value, change = jvp(lambda a, b: a @ b, (M, X), (np.zeros((3, 3)), np.ones(3)))
    np.testing.assert_allclose(value, M @ X)
    np.testing.assert_allclose(change, M.sum(1))
    _, change = jvp(lambda p: p["a"] * p["b"], {"a": X, "b": 2.0}, {"a": X, "b": 1.0})
    np.testing.assert_allclose(change, 3 * X)
    with pytest.raises(ShapeError, match=r"jvp: the tangent has shape \(2,\)"):
        jvp(np.sin, X, np.ones(2))
    assert jvp(np.sin, np.float32(0), 1.0)[1].dtype == np.float32


def test_jvp_calls_the_function_once():
    calls = []

    def f(x):
        calls.append(1)
        return np.linalg.norm(np.exp(x))

    jvp(f, X, X)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "shapes", [((2,), (3, 2)), ((4, 2), (2,)), ((), (3,)), ((2,), ()), ((0,), (2,))], ids=str
)
def test_jacobian_shapes(shapes):
    inner, outer = shapes
    x = np.linspace(0.1, 0.9, int(np.prod(inner))).reshape(inner)

    def f(x):
        return np.broadcast_to(np.sum(np.sin(x)), outer) * np.linspace(1, 2, int(np.prod(outer))).reshape(
            outer
        )

    j = jacobian(f)(x)
    assert j.shape == outer + inner
    expected = np.multiply.outer(np.linspace(1, 2, int(np.prod(outer))).reshape(outer), np.cos(x))
    np.testing.assert_allclose(j, expected)


def test_jacobian_of_trees():
    j = jacobian(lambda a, p: {"y": a * p["b"], "z": p["b"]}, (0, 1))(X, {"b": 2.0})
    np.testing.assert_allclose(j["y"][0], 2 * np.eye(3))
    np.testing.assert_allclose(j["y"][1]["b"], X)
    np.testing.assert_allclose(j["z"][0], np.zeros(3))
    h = hessian(lambda p: np.sum(p["a"] ** 2) * p["b"])({"a": X, "b": 2.0})
    np.testing.assert_allclose(h["a"]["a"], 4 * np.eye(3))
    np.testing.assert_allclose(h["a"]["b"], 2 * X)
    np.testing.assert_allclose(h["b"]["b"], 0)


def test_complex_results_and_arguments():
    z = np.array([1 + 2j, -0.5j])
    np.testing.assert_allclose(grad(lambda z: np.sum(np.abs(z) ** 2))(z), 2 * z)  # PyTorch's convention
    np.testing.assert_allclose(jacobian(lambda x: np.exp(1j * x))(X), np.diag(1j * np.exp(1j * X)))
    _, change = jvp(lambda z: z**2, z, 1j * np.ones(2))
    np.testing.assert_allclose(change, 2j * z)
    with pytest.raises(DTypeError, match="ambiguous"):
        jacobian(lambda z: z)(z)


# -- checkpoint ----------------------------------------------------------------------------------


def test_checkpoint_finds_what_a_function_captures():
    plain = tg.nn.MLP([3, 5, 3], activation="tanh", rng=0, dtype=np.float64)
    other = tg.nn.MLP([3, 5, 3], activation="tanh", rng=0, dtype=np.float64)
    x, y = tg.tensor(X[None], requires_grad=True), tg.tensor(X[None], requires_grad=True)
    np.sum(plain(plain(x)) ** 2).backward()
    kept = checkpoint(other)
    np.sum(kept(kept(y)) ** 2).backward()
    np.testing.assert_allclose(x.grad.data, y.grad.data)
    for p, q in zip(plain.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.data)
    constant = tg.tensor(X[None])
    other.zero_grad()
    np.sum(kept(constant)).backward()
    assert all(p.grad is not None for p in other.parameters())


def test_checkpoint_keeps_less():
    def deep(x):
        for _ in range(50):
            x = np.sin(x)
        return x

    def nodes(t):
        seen, waiting = set(), [t.node]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting.extend(parent for _, parent in node.parents)
        return len(seen)

    x = tg.tensor(X, requires_grad=True)
    assert nodes(checkpoint(deep)(x)) < 6 < 50 < nodes(deep(x))


def test_checkpoint_of_trees_and_of_what_is_untracked():
    f = checkpoint(lambda p, n: {"y": p["a"] * n, "same": p["a"], "n": n})
    a = tg.tensor(X, requires_grad=True)
    out = f({"a": a}, n=3)
    assert out["n"] == 3
    np.sum(out["y"] + out["same"]).backward()
    np.testing.assert_array_equal(a.grad.data, [4, 4, 4])
    assert type(f({"a": X}, n=3)["y"]) is np.ndarray
    with tg.no_grad():
        assert not f({"a": a}, n=3)["y"].requires_grad


def test_checkpoint_of_what_cannot_be_repeated():
    rng = np.random.default_rng(0)
    x = tg.tensor(X, requires_grad=True)
    y = np.sum(checkpoint(lambda x: F.dropout(x, 0.5, rng=rng))(np.broadcast_to(x, (20, 3))))
    with pytest.raises(GradientError, match=r"something different the second time.*random"):
        y.backward()
    w = tg.tensor(2.0, requires_grad=True)
    y = checkpoint(lambda x: x * w)(x)
    with tg.no_grad():
        w *= 2
    with pytest.raises(GradientError, match="changed in place"):
        np.sum(y).backward()


def test_checkpoint_twice_and_two_results():
    f = checkpoint(lambda a, b: (a * b, np.exp(a), 7))
    a, b = tg.tensor(X, requires_grad=True), tg.tensor(X + 1, requires_grad=True)
    p, e, seven = f(a, b)
    assert seven == 7
    np.sum(p).backward(retain_graph=True)
    np.sum(e).backward()
    np.testing.assert_allclose(a.grad.data, X + 1 + np.exp(X))
    np.testing.assert_allclose(b.grad.data, X)
    g = f(a, a)
    np.sum(g[0]).backward()
    np.testing.assert_allclose(a.grad.data, X + 1 + np.exp(X) + 2 * X)
    assert tg.testing.gradcheck(lambda a, b: f(a, b)[:2], X, X + 1, order=2)


# -- what belongs to whom ------------------------------------------------------------------------


def test_a_pull_is_not_disturbed_by_what_happened_to_the_value():
    value, pull = vjp(np.exp, X)
    value -= 1  # the residual of a fit, say
    np.testing.assert_allclose(pull(np.ones(3))[0], np.exp(X))
    value, pull = vjp(np.exp, tg.tensor(X, requires_grad=True))
    value *= 2
    np.testing.assert_allclose(pull(np.ones(3))[0].data, np.exp(X))


def test_a_pull_is_not_disturbed_by_what_happened_to_a_leaf():
    x = tg.tensor(X, requires_grad=True)
    _, pull = vjp(np.square, x)
    with tg.no_grad():
        x *= 0
    np.testing.assert_allclose(pull(np.ones(3))[0].data, 2 * X)


def test_changes_have_memory_of_their_own():
    tangent = X.copy()
    _, (one, two) = jvp(lambda x: (x, x), X, tangent)
    one[0] = 99
    np.testing.assert_array_equal(two, X)
    np.testing.assert_array_equal(tangent, X)
    _, wide = jvp(lambda x: np.broadcast_to(x, (2, 3)), X, X)
    wide[0, 0] = 99
    assert wide[1, 0] == X[0]


@pytest.mark.parametrize(
    "f", [lambda x: x, np.real, lambda x: x[:], lambda x: x.T, lambda x: np.split(x, 1)[0]]
)
def test_results_that_are_their_arguments_are_copies(f):
    x, tangent = X.copy(), X.copy()
    for result in jvp(f, x, tangent):
        result[...] = 99
    grad(lambda x: (np.sum(x), f(x)), has_aux=True)(x)[1][...] = 99
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(tangent, X)


def test_aux_does_not_open_a_door_to_a_parameter():
    w = tg.tensor(X, requires_grad=True)
    for x in (2.0, tg.Tensor(2.0)):
        _, aux = grad(lambda x: (np.sum(x * w), w), has_aux=True)(x)
        aux[0] = 99
        np.testing.assert_array_equal(w.data, X)


def test_a_tracked_gradient_may_be_pulled_through_a_graph_of_arrays():
    _, pull = vjp(lambda x: 3 * x, X)
    g = tg.tensor(X, requires_grad=True)
    np.sum(pull(g)[0] ** 2).backward()
    np.testing.assert_allclose(g.grad.data, 18 * X)
    _, pull = vjp(lambda x: 3 * x, tg.Tensor(X))
    g = tg.tensor(X, requires_grad=True)  # younger than the graph
    np.sum(pull(g)[0] ** 2).backward()
    np.testing.assert_allclose(g.grad.data, 18 * X)
    assert type(pull(X)[0]) is tg.Tensor
    assert not pull(X)[0].requires_grad


def test_within_no_grad_nothing_is_tracked():
    w = tg.tensor(2.0, requires_grad=True)
    with tg.no_grad():
        assert not grad(lambda x: x * w)(tg.Tensor(3.0)).requires_grad
        assert not any(t.requires_grad for t in jvp(lambda x: x * w, tg.Tensor(3.0), 1.0))


EVERY = {
    "grad": lambda f, x: grad(lambda x: np.sum(f(x)))(x),
    "tensors": lambda f, x: grad(lambda x: np.sum(f(x)))(tg.tensor(x, requires_grad=True)),
    "vjp": lambda f, x: vjp(f, x)[1](x),
    "jvp": lambda f, x: jvp(f, x, x),
    "jacobian": lambda f, x: jacobian(f)(x),
    "hvp": lambda f, x: hvp(lambda x: np.sum(f(x)), x, x),
    "checkpoint": lambda f, x: hvp(checkpoint(lambda x: np.sum(f(x))), x, x),
    "aux": lambda f, x: grad(lambda p: (np.sum(f(p["x"])), p), has_aux=True)({"x": x}),
}


@for_each("transform", EVERY.values(), ids=EVERY)
def test_nothing_waits_for_the_garbage_collector(transform):
    def f(x):
        x[0] += x[1]
        return np.linalg.norm(np.stack(np.split(np.sort(x) * x, 3))) * np.tanh(x)

    transform(f, X)
    while gc.collect():  # what other tests left may take several rounds
        pass
    gc.freeze()  # all that is older need not be looked through again
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        transform(f, X)
        gc.collect()
        assert gc.garbage == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_jvp_lets_go_of_changes_on_the_way():
    def deep(x):
        for _ in range(40):
            x = np.sin(x)
        return np.sum(x)

    x = np.ones(20_000)
    tracemalloc.start()
    jvp(deep, x, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * x.nbytes  # 40 values, not 40 changes as well


def test_jvp_of_a_graph_that_was_freed():
    def f(x, **how):
        y = x * 2
        np.sum(y).backward(**how)
        return y

    with pytest.raises(GradientError, match="was freed by a backward pass inside it; pass retain_graph=True"):
        jvp(f, X, X)
    np.testing.assert_array_equal(jvp(lambda x: f(x, retain_graph=True), X, X)[1], 2 * X)


# -- what would lose a gradient ------------------------------------------------------------------


def test_numbers_do_not_leave_a_function_that_is_differentiated():
    for f in (math.sin, float, lambda x: complex(x).real):
        with pytest.raises(GradientError, match=r"\(t\), or array\[i\] = t .*np.sin, not math.sin"):
            grad(f)(1.0)

    def assigns(x):
        total = np.zeros(2)
        total[0] = x[1]
        return np.sum(total)

    with pytest.raises((GradientError, ValueError)) as raised:
        grad(assigns)(X)
    assert "write into a Tensor" in str(raised.value.__cause__ or raised.value)
    with pytest.warns(LostGradientWarning):
        assert grad(lambda x: np.sum(x) * int(x[2]) * len(x))(X)[0] == 6
    with tg.no_grad():
        assert grad(lambda x: x * float(x.detach()) + x.item())(3.0) == 3.0


def test_forms_are_matched_by_name_not_by_order():
    f = lambda p: 2 * p["a"] + 3 * p["b"]  # noqa: E731
    assert jvp(f, {"a": 1.0, "b": 1.0}, {"b": 0.0, "a": 1.0})[1] == 2.0
    _, pull = vjp(lambda x: {"a": 2 * x, "b": 3 * x}, 1.0)
    assert pull({"b": 0.0, "a": 1.0})[0] == 2.0
    for wrong in ({"a": 1.0}, {"a": 1.0, "c": 1.0}, [1.0, 1.0], None, {"a": 1.0, "b": None}):
        with pytest.raises(ShapeError, match="jvp: the tangent has another form: found"):
            jvp(f, {"a": 1.0, "b": 1.0}, wrong)
    with pytest.raises(ShapeError, match="found float, expected a list of 2"):
        jvp(lambda p: p[0] * p[1][0], ([1.0, [1.0, 1.0]],), ([[1.0, 1.0], 1.0],))
    np.testing.assert_allclose(
        jvp(np.sin, X, [1.0, 0.0, 0.0])[1], [np.cos(X[0]), 0, 0]
    )  # a list for an array


def test_complex_directions_of_real_arrays_are_refused():
    with pytest.raises(DTypeError, match="jvp: the tangent is complex"):
        jvp(np.sin, X, 1j * X)
    with pytest.raises(DTypeError, match="pull: the gradient is complex"):
        vjp(np.sin, X)[1](1j * X)


def test_an_argument_named_twice():
    with pytest.raises(OptionError, match="an argument is named twice"):
        grad(lambda a, b: a * b, (0, -2))(1.0, 2.0)


def test_a_tree_keeps_its_kind():
    p = defaultdict(dict)
    p["a"]["b"], p["c"] = X, 2.0
    g = grad(lambda p: np.sum(p["a"]["b"]) * p["c"])(p)
    assert type(g) is defaultdict
    np.testing.assert_array_equal(g["a"]["b"], [2, 2, 2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_jacobians_have_the_dtype_of_the_argument(dtype):
    x = X.astype(dtype)
    for f in (lambda x: x.astype(float)[:2], lambda x: np.concatenate([x, x]).astype(float)):
        assert jacobian(f)(x).dtype == dtype
    assert jacobian(np.fft.fft)(x).dtype == np.result_type(dtype, np.complex64)


# -- inside checkpoints --------------------------------------------------------------------------


def test_a_transform_inside_a_checkpoint():
    inner = lambda x: grad(lambda y: x * y**2)(3.0)  # noqa: E731
    assert grad(checkpoint(inner))(2.0) == 6.0
    assert jvp(checkpoint(inner), 2.0, 1.0)[1] == 6.0
    assert hessian(checkpoint(lambda x: inner(x) ** 2))(2.0) == 72.0


def test_a_checkpoint_whose_argument_was_overwritten():
    x = tg.tensor(X, requires_grad=True)
    y = checkpoint(lambda x: x * 2)(x)
    with tg.no_grad():
        x *= 2
    with pytest.raises(GradientError, match="was changed in place"):
        np.sum(y).backward()


def test_what_runs_again_runs_in_the_module_it_ran_in():
    class Net(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(2, 2, rng=0)

        def forward(self, x):
            return checkpoint(lambda x: np.log(self.layer(x) * 0))(x)

    class Outer(tg.nn.Module):
        def __init__(self):
            self.net = Net()

        def forward(self, x):
            return self.net(x)

    with np.errstate(all="ignore"):
        y = Outer()(np.ones((1, 2), np.float32))
    with pytest.raises(tg.errors.NonFiniteError, match=r"in the module net.Net"), tg.detect_anomaly():
        np.sum(y).backward()


# -- with others ---------------------------------------------------------------------------------


def test_scipy_minimizes_with_it():
    optimize = pytest.importorskip("scipy.optimize")

    def rosenbrock(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    found = optimize.minimize(value_and_grad(rosenbrock), np.zeros(4), jac=True, method="BFGS")
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-5)
    found = optimize.minimize(
        rosenbrock,
        np.zeros(4),
        jac=grad(rosenbrock),
        hessp=lambda x, v: hvp(rosenbrock, x, v),
        method="Newton-CG",
        options={"xtol": 1e-10},
    )
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-5)
