"""The gradient check itself: it finds wrong rules and says where."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DTypeError, GradcheckError, GradientError, OptionError
from tinygrad_mnist.testing import gradcheck, numerical_gradient

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def wrong(rule):
    """Make x**2 with a rule of our own."""

    @tg.primitive()
    def square(x, /):
        return x * x

    return square.vjp(rule)


def test_right_gradients_pass():
    assert gradcheck(lambda x: x * x, X) is True
    assert gradcheck(lambda x, y: (np.sin(x) @ y, x.sum()), X, X.T, order=2)
    assert gradcheck(wrong(lambda g, y, x: 2 * g * x), X, order=2)


@for_each(
    "rule",
    [
        lambda g, y, x: g * x,
        lambda g, y, x: -2 * g * x,
        lambda g, y, x: 2 * g * np.abs(x),
        lambda g, y, x: 2 * x,
        lambda g, y, x: 2 * g * x * (1 + 1e-3),
        lambda g, y, x: g * np.nan,
        lambda g, y, x: 2 * np.abs(g) * x,  # wrong for negative gradients only
        lambda g, y, x: -2 * np.abs(g) * x,
        lambda g, y, x: g * 0.0,
    ],
)
def test_wrong_rules_are_caught(rule):
    with pytest.raises(GradcheckError):
        gradcheck(wrong(rule), X)


@pytest.mark.parametrize("wrong_part", [lambda g: np.abs(g.real), lambda g: 1j * np.abs(g.imag)])
def test_rules_that_are_wrong_for_negative_complex_gradients_only(wrong_part):
    @tg.primitive()
    def double(z, /):
        return 2 * z

    right = double.vjp(lambda g, y, z: 2 * g)
    assert gradcheck(right, X + 1j * X)

    def rule(g, y, z):
        part = wrong_part(g)
        return 2 * (part + (1j * g.imag if np.all(np.isreal(part)) else g.real))

    with pytest.raises(GradcheckError):
        gradcheck(double.vjp(rule), X + 1j * X)


def test_a_wrong_element_is_named_with_both_values():
    error = np.zeros_like(X)
    error[1, 2] = 0.5
    with pytest.raises(AssertionError) as caught:
        gradcheck(lambda x: np.sum(wrong(lambda g, y, x: 2 * g * x + error)(x)), X)
    message = str(caught.value)
    assert "argument 0 (shape (2, 3))" in message
    assert "1 of 6 elements" in message
    assert "[1, 2]" in message
    numbers = [
        float(word)
        for word in message.replace(":", " ").split()
        if word.lstrip("-")[:1].isdigit() and "." in word
    ]
    assert abs(numbers[0] - numbers[1]) == pytest.approx(0.5, rel=1e-4)


def test_the_wrong_argument_is_named():
    @tg.primitive()
    def product(a, b, /):
        return a * b

    product.vjp(lambda g, y, a, b: g * b, lambda g, y, a, b: g * b)
    with pytest.raises(GradcheckError, match="argument 1"):
        gradcheck(product, X, X + 1)
    with pytest.raises(GradcheckError, match="argument 3"):
        gradcheck(lambda i, a, n, b: product(a[i], b[i]), np.array([0, 1]), X, None, X + 1)


def test_a_rule_wrong_in_second_order_only():
    detached = wrong(lambda g, y, x: 2 * g * (x.detach() if isinstance(x, tg.Tensor) else x))
    assert gradcheck(detached, X)
    with pytest.raises(GradcheckError, match="second-order gradient of argument 0"):
        gradcheck(detached, X, order=2)


def test_arguments_that_are_not_floats_are_passed_on():
    seen = []

    def f(x, index, mask, nothing):
        seen.append((index.dtype, mask.dtype, nothing))
        return x[index] * 2 + np.where(mask, x, 0).sum()

    assert gradcheck(f, X, np.array([1, 0, 1]), X > 0, None)
    assert {(str(i), str(m), n) for i, m, n in seen} == {("int64", "bool", None)}


@pytest.mark.parametrize("inputs", [(), (np.array([1, 2]),), (None,), (True,)])
def test_nothing_to_check(inputs):
    with pytest.raises(DTypeError, match="no floating-point input"):
        gradcheck(lambda *xs: tg.tensor(1.0), *inputs)


@pytest.mark.parametrize("order", [0, 3, "2", None])
def test_unknown_order(order):
    with pytest.raises(OptionError, match="1 or 2"):
        gradcheck(lambda x: x, X, order=order)


def test_a_function_that_returns_no_tensor():
    with pytest.raises(GradientError, match="float"):
        gradcheck(lambda x: 3.0, X)
    with pytest.raises(GradientError):
        gradcheck(lambda x: x.data * 2, X)


def test_a_function_that_ignores_an_input():
    assert gradcheck(lambda x, y: y * 2, X, X, order=2)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: tg.tensor(x.data * 2), X)  # the gradient is lost on the way


def test_a_function_that_draws_random_numbers():
    rng = np.random.default_rng(0)
    with pytest.raises((GradcheckError, GradientError)):
        gradcheck(lambda x: x * rng.normal(size=x.shape), X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_inputs_of_any_precision_are_checked_in_float64(dtype):
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return np.exp(x)

    assert gradcheck(f, X.astype(dtype), order=2)
    assert seen == {np.dtype(np.float64)}


@for_each(
    "x", [np.asfortranarray(X), X.T, X[:, ::2], X[::-1], np.float64(0.5), 0.5, [0.5, 1.0], np.zeros((0, 2))]
)
def test_inputs_of_any_layout(x):
    before = np.copy(x)
    assert gradcheck(lambda t: t * t * t, x, order=2)
    np.testing.assert_array_equal(x, before)
    if np.size(x):
        with pytest.raises(GradcheckError):
            gradcheck(wrong(lambda g, y, x: 3 * g * x), x)


def test_tensors_as_inputs_keep_their_gradients():
    w = tg.nn.Parameter(X)
    w.grad = np.ones_like(X)
    assert gradcheck(lambda t: t * t, w)
    np.testing.assert_array_equal(w.grad.data, np.ones_like(X))


def test_it_works_inside_no_grad():
    with tg.no_grad():
        assert gradcheck(lambda x: x * x, X, order=2)
        with pytest.raises(GradcheckError):
            gradcheck(wrong(lambda g, y, x: g * x), X)


def test_tolerances():
    slightly = wrong(lambda g, y, x: 2 * g * x * 1.01)
    with pytest.raises(GradcheckError):
        gradcheck(slightly, X)
    assert gradcheck(slightly, X, rtol=0.02)
    assert gradcheck(slightly, X, atol=1.0)


def test_numerical_gradient():
    x, y = X, X + 3
    found = numerical_gradient(lambda a, b: np.sum(a**2 * b), x, y)
    np.testing.assert_allclose(found[0], 2 * x * y, rtol=1e-6)
    np.testing.assert_allclose(found[1], x**2, rtol=1e-6)
    (some,) = numerical_gradient(lambda a: np.sum(a**2), x, indices=[[0, 5]])
    np.testing.assert_allclose(some, [[2 * x[0, 0], 0, 0], [0, 0, 2 * x[1, 2]]], rtol=1e-6)
    for layout in (np.asfortranarray(x), x.T):
        np.testing.assert_allclose(
            numerical_gradient(lambda a: np.sum(a**3), layout)[0], 3 * layout**2, rtol=1e-5
        )


def test_a_kink_is_called_one():
    with pytest.raises(
        GradcheckError, match=r"The slope from the left is 0 .*: this is a kink; check next to it"
    ):
        gradcheck(tg.nn.functional.relu, np.array([1.0, 0.0]))
    with pytest.raises(GradcheckError) as raised:
        gradcheck(wrong(lambda g, y, x: 3 * g), np.array([1.0, 0.0]))
    assert "kink" not in str(raised.value)
