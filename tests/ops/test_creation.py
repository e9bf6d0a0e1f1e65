"""``np.array([...], like=t)`` and its kin: arrays made of Tensors, with their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg

INTS = np.arange(3)


def test_array_of_nested_lists():
    a, b = leaf([1.0, 2.0]), leaf(3.0)
    y = np.array([[a[1], b], [4, b * b]], like=a)
    np.testing.assert_array_equal(y.data, [[2.0, 3.0], [4.0, 9.0]])
    np.sum(y * [[1, 10], [100, 1000]]).backward()
    np.testing.assert_array_equal(a.grad.data, [0, 1])
    assert b.grad.item() == 10 + 1000 * 6


@for_each("function", [np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray])
@for_each("value", [[1.0, 2.0], 3.0, INTS, [[1, 2], [3, 4]], np.float32(2)])
def test_values_are_numpys(function, value):
    expected, y = function(value), function(value, like=leaf(0.0))
    assert isinstance(y, tg.Tensor)
    assert not y.requires_grad
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(y.data, expected)


def test_dtype_and_ndmin():
    t = leaf([1.0, 2.0])
    y = np.array(t, dtype=np.float32, ndmin=3, like=t)
    assert (y.shape, y.dtype) == ((1, 1, 2), np.float32)
    np.sum(y * y).backward()
    np.testing.assert_array_equal(t.grad.data, [2, 4])
    assert t.grad.dtype == np.float64
    assert np.ascontiguousarray(leaf(1.0), like=t).shape == (1,)


def test_asarray_is_the_same_tensor():
    t = leaf([1.0, 2.0])
    assert np.asarray(t, like=t) is t
    assert np.array(t, like=t) is not t


def test_copy_false_is_refused():
    t = leaf([1.0])
    with pytest.raises(tg.errors.UnsupportedError, match=r"copy=False .* np\.asarray"):
        np.array(t, copy=False, like=t)


def test_full():
    t = leaf(2.0)
    y = np.full((2, 3), t, like=t)
    np.testing.assert_array_equal(y.data, np.full((2, 3), 2.0))
    np.sum(y * y).backward()
    assert t.grad.item() == 24.0
    row = leaf([1.0, 2.0, 3.0])
    np.sum(np.full((2, 3), row, like=row) * [[1], [10]]).backward()
    np.testing.assert_array_equal(row.grad.data, [11, 11, 11])
    assert np.full(2, 1, like=t).dtype == np.full(2, 1).dtype
    with pytest.raises(ValueError, match="broadcast"):
        np.full((2, 2), row, like=row)


def test_second_order():
    assert tg.testing.gradcheck(
        lambda x: np.array([x[0] * x[1], x[1] ** 3], like=x), np.array([2.0, 3.0]), order=2
    )


@pytest.mark.parametrize("make", [np.array, np.asarray, lambda t: np.full((2,), t)])
def test_without_like_it_is_an_error(make):
    with pytest.raises(tg.errors.GradientError):
        make(leaf(1.0))


def test_plain_arrays_like_a_tensor():
    t = leaf(1.0)
    for y in (np.zeros(2, like=t), np.ones(2, like=t), np.arange(2.0, like=t), np.eye(2, like=t)):
        assert isinstance(y, tg.Tensor)
        assert not y.requires_grad
