"""What a ufunc does besides being called: keywords, ``out=``, and its methods."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist import tensor
from tinygrad_mnist.errors import DTypeError, GradientError, UnsupportedError
from tinygrad_mnist.primitive import REGISTRY

A = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])
B = np.array([[2.1, 0.6, 1.6], [-1.1, 3.1, 0.8]])
MASK = np.array([[True, False, True], [False, True, True]])


def same(result, expected):
    assert isinstance(result, tg.Tensor)
    assert result.shape == np.shape(expected)
    assert result.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(result.data, expected, rtol=1e-13)


# -- keywords ------------------------------------------------------------------------------------


def test_where_computes_only_there_and_leaves_zeros_elsewhere():
    x = leaf(np.array([-1.0, 0.0, 4.0]))
    y = np.log(x, where=np.array([False, False, True]))  # no warning, no NaN
    np.testing.assert_allclose(y.data, [0, 0, np.log(4.0)])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0, 0.25])


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.arctan2], ids=lambda u: u.__name__)
def test_where_is_numpys_with_out(ufunc):
    base = np.full((2, 3), 7.0)
    expected = ufunc(A, B, out=base.copy(), where=MASK)
    out = tensor(base)
    x = leaf(A)
    assert ufunc(x, B, out=out, where=MASK) is out
    same(out, expected)
    np.testing.assert_array_equal(base, 7)
    assert tg.testing.gradcheck(lambda a, b: ufunc(a, b, where=MASK), A, B, order=2)

    def into(a, b, o):
        o = o * 1
        ufunc(a, b, out=o, where=MASK)
        return o

    assert tg.testing.gradcheck(into, A, B, base, order=2)


def test_where_broadcasts():
    expected = np.add(A, 1.0, out=np.zeros((2, 3)), where=MASK[0])
    same(np.add(leaf(A), 1.0, where=MASK[0]), expected)
    wide = np.broadcast_to(MASK, (2, 2, 3))
    same(np.add(leaf(A), 1.0, where=wide), np.add(A, 1.0, out=np.zeros((2, 2, 3)), where=wide))
    same(np.add(leaf(A), 1.0, where=tensor(MASK)), np.add(A, 1.0, out=np.zeros((2, 3)), where=MASK))
    same(np.sin(leaf(A), where=True), np.sin(A))


@for_each("mask", [[True, False, True], [False] * 3, [[True], [False]], True])
@for_each("x", [2.0, np.arange(3.0), np.ones((2, 1))])
def test_where_and_the_inputs_broadcast_to_out(mask, x):
    mask = np.array(mask)

    def total(base):
        out = base * 1
        np.add(x, 1, out=out, where=mask)
        return np.sum(out * B)

    expected = np.where(mask, 0, B)
    np.testing.assert_array_equal(tg.grad(total)(A), expected)
    np.testing.assert_array_equal(tg.compile(tg.grad(total))(A), expected)
    np.testing.assert_allclose(tg.value_and_grad(total)(A)[0], total(A), rtol=1e-13)


def test_dtype_and_casting():
    same(np.add(leaf(A), 1, dtype=np.float32), np.add(A, 1, dtype=np.float32))
    x = leaf(A)
    np.sum(np.multiply(x, x, dtype=np.float32)).backward()
    assert x.grad.dtype == np.float64
    with pytest.raises(DTypeError, match=r"np.add: dtype=float32 was requested, but float64 cannot be cast"):
        np.add(leaf(A), 1, dtype=np.float32, casting="safe")
    with pytest.raises(TypeError):
        np.add(A, 1, dtype=np.float32, casting="safe")
    same(np.add(leaf(A), 1, casting="same_kind", order="C", subok=False), A + 1)


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError):
        np.add(leaf(A), 1, wherever=MASK)
    with pytest.raises(TypeError):
        np.add(leaf(A), 1, axes=[(0,), (0,)])


def test_several_results_and_out():
    x, fraction, whole = leaf(A), tensor(np.zeros((2, 3))), tensor(np.zeros((2, 3)))
    result = np.modf(x, out=(fraction, whole))
    assert result[0] is fraction
    assert result[1] is whole
    np.testing.assert_array_equal(fraction.data, np.modf(A)[0])
    fraction.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones((2, 3)))
    fraction = tensor(np.zeros((2, 3)))
    np.testing.assert_array_equal(np.modf(leaf(A), out=(fraction, None))[1].data, np.modf(A)[1])


def test_out_within_no_grad_writes_into_the_leaf():
    w = leaf(A)
    memory = w.data
    with tg.no_grad():
        np.multiply(w, 2, out=w)
    assert w.is_leaf
    np.testing.assert_array_equal(memory, 2 * A)


def test_comparisons_with_out_and_where():
    flags = tensor(np.zeros((2, 3), bool))
    np.greater(leaf(A), 0, out=flags)
    np.testing.assert_array_equal(flags.data, A > 0)
    assert not flags.requires_grad
    np.less(leaf(A), 0, out=flags, where=MASK)
    np.testing.assert_array_equal(flags.data, np.where(MASK, A < 0, A > 0))


@pytest.mark.parametrize("ufunc", [np.floor, np.rint, np.sign, np.isfinite], ids=lambda u: u.__name__)
def test_constants_where_a_mask_holds(ufunc):
    expected = ufunc(A, out=np.full((2, 3), 7.0), where=MASK)
    x, base = leaf(A), leaf(np.full((2, 3), 7.0))
    out = base * 1
    assert ufunc(x, out=out, where=MASK) is out
    same(out, expected)
    out.sum().backward()
    np.testing.assert_array_equal(base.grad.data, ~MASK)  # what stays keeps its gradient
    assert x.grad is None or not x.grad.data.any()
    same(ufunc(x, where=MASK), np.where(MASK, ufunc(A), ufunc(A).dtype.type(0)))


# -- reduce and accumulate -----------------------------------------------------------------------

BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp,
    np.logaddexp2, np.hypot, np.copysign,
]  # fmt: skip


@for_each("ufunc", BINARY)
@for_each("axis", [0, 1, -1])
def test_reduce_and_accumulate(ufunc, axis):
    same(ufunc.reduce(leaf(A), axis=axis), ufunc.reduce(A, axis=axis))
    same(ufunc.reduce(leaf(A), axis=axis, keepdims=True), ufunc.reduce(A, axis=axis, keepdims=True))
    same(ufunc.accumulate(leaf(A), axis=axis), ufunc.accumulate(A, axis=axis))
    assert tg.testing.gradcheck(lambda a: ufunc.reduce(a, axis=axis), A, order=2)
    assert tg.testing.gradcheck(lambda a: ufunc.accumulate(a, axis=axis), A, order=2)


def test_reduce_defaults_to_the_first_axis_and_takes_none_and_tuples():
    same(np.add.reduce(leaf(A)), np.add.reduce(A))
    same(np.hypot.reduce(leaf(A)), np.hypot.reduce(A))
    same(np.add.reduce(leaf(A), axis=None), np.add.reduce(A, axis=None))
    same(np.hypot.reduce(leaf(A), axis=None), np.hypot.reduce(A, axis=None))
    same(np.hypot.reduce(leaf(A), axis=None, keepdims=True), np.hypot.reduce(A, axis=None, keepdims=True))
    same(np.multiply.reduce(leaf(A), axis=(0, 1)), np.multiply.reduce(A, axis=(0, 1)))
    same(np.logaddexp.reduce(leaf(A), axis=(0, 1)), np.logaddexp.reduce(A, axis=(0, 1)))
    same(np.add.reduce(leaf(A[0])), A[0].sum())


def test_reduce_with_the_rest_of_its_keywords():
    same(np.add.reduce(leaf(A), 1, dtype=np.float32), np.add.reduce(A, 1, dtype=np.float32))
    same(np.add.reduce(leaf(A), initial=2.0), np.add.reduce(A, initial=2.0))
    same(np.add.reduce(leaf(A), where=MASK), np.add.reduce(A, where=MASK))
    same(np.maximum.reduce(leaf(A), initial=1.0, where=MASK), np.maximum.reduce(A, initial=1.0, where=MASK))
    same(np.hypot.reduce(leaf(A), initial=2.0), np.hypot.reduce(A, initial=2.0))
    same(np.hypot.reduce(leaf(A), dtype=np.float32), np.hypot.reduce(A, dtype=np.float32))
    with pytest.raises(UnsupportedError, match=r"np.hypot.reduce: on a Tensor only one axis"):
        np.hypot.reduce(leaf(A), axis=(0, 1))
    with pytest.raises(UnsupportedError, match=r"np.hypot.reduce"):
        np.hypot.reduce(leaf(A), where=MASK)


def test_reduce_where_the_mask_is_the_only_tensor():
    mask = tensor(MASK)
    np.testing.assert_array_equal(np.add.reduce(A, where=mask), np.add.reduce(A, where=MASK))
    np.testing.assert_array_equal(np.sum(A, where=mask), np.sum(A, where=MASK))
    np.testing.assert_array_equal(
        np.multiply.reduce(A, axis=1, where=mask), np.multiply.reduce(A, axis=1, where=MASK)
    )


def test_reduce_of_nothing():
    same(np.add.reduce(leaf(np.zeros((0, 2)))), np.zeros(2))
    same(np.multiply.reduce(leaf(np.zeros((0, 2)))), np.ones(2))
    with pytest.raises(ValueError, match=r"identity|zero-size"):
        np.maximum.reduce(leaf(np.zeros(0)))


def test_reduce_of_comparisons_is_plain():
    t = leaf(A)
    assert bool(np.logical_and.reduce(t > -5, axis=None))
    np.testing.assert_array_equal(np.logical_or.reduce(t > 1).data, np.logical_or.reduce(A > 1))
    np.testing.assert_array_equal(np.bitwise_xor.accumulate(t > 1).data, np.bitwise_xor.accumulate(A > 1))


def test_out_of_methods():
    x, out = leaf(A), tensor(np.zeros(3))
    assert np.add.reduce(x, out=out) is out
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones((2, 3)))
    with pytest.raises(GradientError, match="existing array"):
        np.add.accumulate(leaf(A), out=np.zeros((2, 3)))


# -- outer, reduceat, at -------------------------------------------------------------------------


@for_each("ufunc", [*BINARY, np.arctan2], ids=lambda u: u.__name__)
def test_outer(ufunc):
    same(ufunc.outer(leaf(A), B[0]), ufunc.outer(A, B[0]))
    same(ufunc.outer(2.0, leaf(B[0])), ufunc.outer(2.0, B[0]))
    assert tg.testing.gradcheck(lambda a, b: ufunc.outer(a, b), A[0], B, order=2)


@for_each("ufunc", [np.add, np.multiply, np.maximum, np.subtract], ids=lambda u: u.__name__)
@for_each("indices", [[0, 2], [1, 0, 2], [2, 2, 1], [0]])
def test_reduceat(ufunc, indices):
    same(ufunc.reduceat(leaf(A), indices, axis=1), ufunc.reduceat(A, indices, axis=1))
    x = np.arange(1.0, 6.0)
    same(ufunc.reduceat(leaf(x), indices), ufunc.reduceat(x, indices))
    assert tg.testing.gradcheck(lambda a: ufunc.reduceat(a, indices), x, order=2)


@pytest.mark.parametrize("indices", [[-1, 1], [0, 3], [-3]])
def test_reduceat_knows_no_index_from_the_end(indices):
    for a in (A, leaf(A)):
        with pytest.raises(IndexError, match=str(next(i for i in indices if not 0 <= i < 3))):
            np.add.reduceat(a, indices, axis=1)


def test_reduceat_at_no_index():
    for ufunc in (np.add, np.subtract):
        same(ufunc.reduceat(leaf(A), [], axis=1), ufunc.reduceat(A, [], axis=1))
    counts = np.arange(6, dtype=np.int8)
    same(np.add.reduceat(tensor(counts), []), np.add.reduceat(counts, []))


def test_a_dtype_that_the_result_cannot_have():
    for x in (np.array([1, 2]), tensor([1, 2])):
        with pytest.raises(TypeError):
            np.true_divide(x, 2, dtype=int)
        with pytest.raises(TypeError):
            np.sqrt(x, dtype=int)


@for_each("ufunc", [np.add, np.subtract, np.multiply, np.divide])
@for_each("index", [[0, 1], [1, 1, 1, 0], (0, [2, 2, 0]), (slice(None), [0, 0]), MASK, 1, ([1, 1], [2, 2])])
def test_at(ufunc, index):
    values = np.linspace(1.5, 2.5, A[index].size).reshape(A[index].shape)
    expected = A.copy()
    ufunc.at(expected, index, values)
    t = leaf(A) * 1
    ufunc.at(t, index, values)
    same(t, expected)

    def f(a, v):
        a = a * 1
        ufunc.at(a, index, v)
        return a

    assert tg.testing.gradcheck(f, A, values, order=2)


def test_at_of_one_operand_and_with_a_number():
    t = leaf(A) * 1
    np.negative.at(t, ([0, 0, 1], [1, 1, 2]))
    expected = A.copy()
    np.negative.at(expected, ([0, 0, 1], [1, 1, 2]))
    same(t, expected)
    t = leaf(A) * 1
    np.add.at(t, [0, 0], 1.0)
    np.testing.assert_array_equal(t.data, A + np.array([[2.0], [0.0]]))
    t = leaf(A) * 1
    np.add.at(t, tensor(np.array([], int)), 1.0)
    np.testing.assert_array_equal(t.data, A)


def test_at_on_an_array_would_lose_the_gradient():
    array = A.copy()
    with pytest.raises(GradientError, match=r"np.add.at: a Tensor would be written into a plain array"):
        np.add.at(array, [0], leaf(A[:1]))
    np.testing.assert_array_equal(array, A)


def test_methods_of_a_ufunc_without_a_rule_are_refused(monkeypatch):
    monkeypatch.delitem(REGISTRY, np.hypot)
    for method in ("reduce", "accumulate"):
        with pytest.raises(UnsupportedError, match=f"np.hypot.{method} has no gradient rule"):
            getattr(np.hypot, method)(leaf(A))


def test_on_plain_numbers_nothing_is_lost_within_no_grad():
    with tg.no_grad():
        same(np.add.reduce(leaf(A)), A.sum(0))
        same(np.hypot.accumulate(leaf(A)), np.hypot.accumulate(A))
