"""Operations with several results, of which only some may be used."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist import tensor

A = np.arange(12.0).reshape(4, 3)


@for_each(
    "function, how, axis",
    [
        (np.split, 2, 0),
        (np.split, 3, 1),
        (np.split, 3, -1),
        (np.split, [1, 3], 0),
        (np.split, [], 0),
        (np.split, [-1], 0),
        (np.split, np.array([2]), 1),
        (np.split, (0, 4), 0),
        (np.split, [2, 9], 0),
        (np.array_split, 3, 0),
        (np.array_split, 5, 0),
        (np.array_split, np.int64(2), 1),
        (np.array_split, [1], -1),
    ],
)
def test_parts_are_numpys_and_differentiable(function, how, axis):
    expected = function(A, how, axis=axis)
    parts = function(leaf(A), how, axis=axis)
    assert isinstance(parts, list)
    assert len(parts) == len(expected)
    for part, value in zip(parts, expected, strict=True):
        assert isinstance(part, tg.Tensor)
        np.testing.assert_array_equal(part.data, value)

    def f(x):
        return np.concatenate(
            [np.sin(p) * (i + 1) for i, p in enumerate(function(x, how, axis=axis))], axis=axis
        )

    assert tg.testing.gradcheck(f, A, order=2)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_unused_parts_get_zeros(used):
    x = leaf(A)
    parts = np.split(x, [1, 2])
    (parts[used] ** 2).sum().backward()
    expected = np.zeros_like(A)
    rows = [slice(0, 1), slice(1, 2), slice(2, 4)][used]
    expected[rows] = 2 * A[rows]
    np.testing.assert_array_equal(x.grad.data, expected)
    assert tg.testing.gradcheck(lambda t: np.split(t, [1, 2])[used] ** 3, A, order=2)


def test_one_part_used_twice_and_one_as_it_is():
    def f(x):
        a, b = np.split(x, 2)
        return a * a * b + a

    assert tg.testing.gradcheck(f, A, order=2)


def test_parts_in_two_losses():
    x = leaf(A)
    a, b = np.split(x, 2)
    a.sum().backward(retain_graph=True)
    (b * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[1.0] * 3] * 2 + [[2.0] * 3] * 2)


def test_hooks_and_retained_gradients_on_a_part():
    x = leaf(A)
    a, b = np.split(x, 2)
    a.retain_grad()
    b.register_hook(lambda g: g * 10)
    (a * 2 + b * 3).sum().backward()
    np.testing.assert_array_equal(a.grad.data, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(x.grad.data, [[2.0] * 3] * 2 + [[30.0] * 3] * 2)


def test_nested_splits():
    def f(x):
        top, bottom = np.split(x, 2)
        left, middle, right = np.split(top, 3, axis=1)
        return np.sum(bottom * left * np.sin(right)) + np.sum(middle**2)

    assert tg.testing.gradcheck(f, A / 5, order=2)


def test_untracked_parts():
    for parts in (np.split(tensor(A), 2),):
        assert [p.requires_grad for p in parts] == [False, False]
    with tg.no_grad():
        assert not np.split(leaf(A), 2)[0].requires_grad


def test_dtype_is_kept():
    x = tensor(A, dtype=np.float32, requires_grad=True)
    a, _ = np.split(x, 2)
    (a * 2).sum().backward()
    assert x.grad.dtype == np.float32


def test_parts_that_do_not_come_out_even():
    with pytest.raises(ValueError, match="equal"):
        np.split(leaf(A), 3)
    with pytest.raises(ValueError, match=r"sections|parts|division"):
        np.split(leaf(A), 0)


def test_a_users_primitive_with_two_results():
    @tg.primitive()
    def sincos(x, /):
        return np.sin(x), np.cos(x)

    sincos.vjp(lambda g, y, x: g[0] * np.cos(x) - g[1] * np.sin(x))
    values = np.linspace(-1, 1, 5)
    s, c = sincos(leaf(values))
    np.testing.assert_array_equal(s.data, np.sin(values))
    np.testing.assert_array_equal(c.data, np.cos(values))
    assert tg.testing.gradcheck(lambda x: sincos(x)[0] * sincos(x)[1] ** 2, values, order=2)
    assert tg.testing.gradcheck(lambda x: sincos(x), values, order=2)  # a tuple of outputs
    assert tg.testing.gradcheck(lambda x: sincos(x)[1], values, order=2)
