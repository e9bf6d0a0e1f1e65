"""Polynomials: NumPy's values, dtypes and errors, and gradients where coefficients or roots are special."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import for_each, gradients, is_refused_like_numpy, leaf

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError, UnsupportedError

RNG = np.random.default_rng(0)
P, Q = np.array([2.0, -1.0, 0.5, 3.0]), np.array([1.5, 2.0])


def results(y: Any) -> list[np.ndarray]:
    return [
        part.data if isinstance(part, tg.Tensor) else part for part in (y if isinstance(y, tuple) else (y,))
    ]


def check_values(f: Any, *values: Any) -> None:
    """The same numbers and dtypes from Tensors as from arrays, whichever argument is one."""
    expected = results(f(*values))
    for i, v in enumerate(values):
        if np.asarray(v).dtype.kind in "fc":
            for part, value in zip(results(f(*values[:i], leaf(v), *values[i + 1 :])), expected, strict=True):
                assert (np.shape(part), part.dtype) == (np.shape(value), np.asarray(value).dtype)
                np.testing.assert_allclose(part, value, rtol=1e-13, atol=1e-15)


# -- polyval and vander --------------------------------------------------------------------------


def test_polyval_values():
    for p in (
        P,
        P[:1],
        [1.0, 2.0],
        P * 1j,
        np.float32(P),
        RNG.normal(size=(3, 2)),
        np.ones(0),
        np.poly1d([1, 2]),
    ):
        for x in (
            1.5,
            2,
            RNG.normal(size=(3, 2)),
            [1.0, 2.0],
            np.array([1 + 1j, 2.0]),
            np.float32([0.5, 1.5]),
        ):
            if not isinstance(p, np.poly1d):
                check_values(np.polyval, p, x)
            check_values(lambda x, p=p: np.polyval(p, x), x)


def test_polyval_in_numbers():
    p, x = gradients(np.polyval, [1.0, 2.0, 3.0], [0.0, 2.0])
    assert p == [4.0, 2.0, 2.0]
    assert x == [2.0, 6.0]
    assert gradients(lambda x: np.polyval([1.0, 2.0, 3.0], x), 2.0) == 6.0
    assert gradients(np.polyval, [5.0], [1.0, 2.0]) == [[2.0], [0.0, 0.0]]  # a constant
    p, x = gradients(
        np.polyval, [[1.0, 2.0], [3.0, 4.0]], [[10.0], [20.0]]
    )  # two polynomials, at two places each
    assert p == [[30.0, 30.0], [2.0, 2.0]]
    assert x == [[3.0], [3.0]]
    assert gradients(np.poly1d([1.0, 2.0, 3.0]), 2.0) == 6.0  # calls polyval


def test_polyval_with_a_list_of_tensors():
    w, b, x = leaf(2.0), leaf(1.0), leaf([3.0, 4.0])
    np.sum(np.polyval([w, b], x)).backward()
    assert (w.grad.item(), b.grad.item(), x.grad.tolist()) == (7.0, 2.0, [2.0, 2.0])


def test_polyval_of_a_polynomial_is_refused():
    with pytest.raises(UnsupportedError, match="poly1d"):
        np.polyval(leaf(P), np.poly1d([1, 2]))


def test_polyval_to_second_order():
    assert tg.testing.gradcheck(np.polyval, P, RNG.normal(size=(2, 3)), order=2)
    assert tg.testing.gradcheck(np.polyval, P * 1j, np.array([0.0, 1 + 1j]), order=2)
    assert tg.testing.gradcheck(np.polyval, RNG.normal(size=(3, 2, 1)), RNG.normal(size=(2, 2)), order=2)


def test_vander():
    for x in (P, np.float32(P), np.float16(P), np.longdouble(P), P + 1j, np.complex64(P), P[:0]):
        for n in (None, 0, 1, 2, 5):
            for increasing in (False, True):
                check_values(lambda x, n=n, i=increasing: np.vander(x, n, i), x)
                t = leaf(x)
                np.sum(np.real(np.vander(t, N=n, increasing=increasing))).backward()
                assert (t.grad.shape, t.grad.dtype) == (x.shape, x.dtype)
    assert gradients(np.vander, [0.0, 2.0, 3.0]) == [1.0, 5.0, 7.0]
    assert gradients(lambda x: np.vander(x, 3, increasing=True), [0.0, 2.0], seed=[[0, 0, 1], [1, 1, 1]]) == [
        0.0,
        5.0,
    ]
    is_refused_like_numpy(np.vander, np.ones((2, 2)))


# -- arithmetic ----------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [np.polyadd, np.polysub, np.polymul, np.polydiv])
def test_arithmetic_values(f):
    for a in (P, Q, P[:1], P * (1 + 1j), np.float32(P), np.array([0.0, 0.0, 2.0, 1.0])):
        for b in (P[::-1], Q, 3.0, [1.0, 2.0], np.float32(Q), Q * 1j, np.array([1, 2])):
            check_values(f, a, b)
            if np.ravel(a)[0] != 0 or f is not np.polydiv:
                check_values(f, b, a)


def test_sums_in_numbers():
    assert gradients(np.polyadd, [1.0, 2.0], [5.0], seed=[1.0, 10.0]) == [[1.0, 10.0], [10.0]]
    assert gradients(np.polysub, [5.0], [1.0, 2.0], seed=[1.0, 10.0]) == [[10.0], [-1.0, -10.0]]


def test_a_poly1d_counts_as_its_coefficients():
    """NumPy returns a poly1d then, which cannot hold Tensors."""
    q = np.poly1d([1.5, 2.0])
    for f in (np.polyadd, np.polysub, np.polymul):
        for y, expected in ((f(leaf(P), q), f(P, Q)), (f(q, leaf(P)), f(Q, P))):
            assert isinstance(y, tg.Tensor)
            np.testing.assert_array_equal(y.data, expected)


def test_products_in_numbers():
    assert gradients(np.polymul, [1.0, 2.0], [3.0, 4.0], seed=[1, 10, 100]) == [[43.0, 430.0], [21.0, 210.0]]


def test_products_without_leading_zeros():
    """NumPy cuts them off; the coefficients that remain depend on them all the same."""
    y = np.polymul(leaf([0.0, 0.0, 1.0, 2.0]), [0.0, 3.0])
    assert y.tolist() == [3.0, 6.0]
    a, b = gradients(np.polymul, [0.0, 1.0, 2.0], [3.0, 4.0], seed=[1, 10, 100])
    assert a == [4.0, 43.0, 430.0]  # the first coefficient times 4 is added to the first that is left
    assert b == [21.0, 210.0]
    for zero in ([0.0, 0.0], 0.0):
        np.testing.assert_array_equal(np.polymul(leaf(zero), P).data, np.polymul(zero, P))


def test_division_in_numbers():
    """(3 x² + 5 x + 7) / (x + 2) = 3 x - 1, remainder 9."""
    u, v = leaf([3.0, 5.0, 7.0]), leaf([1.0, 2.0])
    q, r = np.polydiv(u, v)
    assert (q.tolist(), r.tolist()) == ([3.0, -1.0], [9.0])
    r[0].backward()  # u(-2), by u; by v = (a, b), the same at -b / a
    assert u.grad.tolist() == [4.0, -2.0, 1.0]
    assert v.grad.tolist() == [-14.0, 7.0]


def test_division_where_the_remainder_is_short():
    """The remainder has no leading zeros, by NumPy's measure."""
    for u, v in [
        ([1.0, 3.0, 3.0, 1.0], [1.0, 1.0]),
        ([1.0, 0.0, 0.0, 5.0], [1.0, 0.0]),
        ([1.0, 1e-9, 2.0], [1.0]),
    ]:
        check_values(np.polydiv, np.array(u), np.array(v))
    check_values(np.polydiv, np.array([1e12, 1e11, 3e10, 7.0]) / 3, np.array([0.7, 0.1]))


def test_division_to_second_order():
    assert tg.testing.gradcheck(np.polydiv, P, Q, order=2)
    assert tg.testing.gradcheck(np.polydiv, P + 1j, Q - 2j, order=2)


@pytest.mark.parametrize("m", [0, 1, 2, 3, 5])
def test_derivatives_and_integrals(m):
    for p in (P, np.float32(P), P * 1j, P[:1], np.longdouble(P)):
        check_values(lambda p: np.polyder(p, m), p)
        check_values(lambda p: np.polyint(p, m), p)
        check_values(lambda p: np.polyint(p, m=m, k=2.0), p)
        check_values(lambda p: np.polyint(p, m=m, k=[1.0, 2.0, 3.0, 4.0, 5.0]), p)


def test_derivatives_and_integrals_in_numbers():
    assert gradients(np.polyder, [1.0, 2.0, 3.0, 4.0], seed=[1, 10, 100]) == [3.0, 20.0, 100.0, 0.0]
    assert gradients(lambda p: np.polyder(p, 2), [1.0, 2.0, 3.0, 4.0]) == [6.0, 2.0, 0.0, 0.0]
    p, k = gradients(lambda p, k: np.polyint(p, 2, k), [6.0, 2.0], [5.0, 7.0], seed=[1, 10, 100, 1000])
    np.testing.assert_allclose(p, [1 / 6, 5.0])
    assert k == [100.0, 1000.0]
    assert gradients(lambda p, k: np.polyint(p, 2, k), [6.0], 5.0)[1] == 2.0  # one constant, used twice


@for_each(
    "f",
    [
        lambda p: np.polyder(p, -1),
        lambda p: np.polyint(p, -1),
        lambda p: np.polyint(p, 3, [1.0, 2.0]),
        lambda p: np.polymul(p, np.ones((2, 2))),
        lambda p: np.polyadd(p, np.ones((2, 2, 2))),
        lambda p: np.polyval(p[0], p),
        lambda p: np.roots(np.multiply.outer(p, p)),
        lambda p: np.poly(np.ones((2, 3)) * p[0]),
    ],
)
def test_bad_arithmetic(f):
    is_refused_like_numpy(f, P)


# -- roots and poly ------------------------------------------------------------------------------


def test_roots_values():
    for p in (
        P,
        P + 1j,
        Q,
        P[:1],
        np.array([0.0, 0.0, 1.0, -3.0, 2.0, 0.0, 0.0]),
        np.zeros(3),
        np.float32(P),
    ):
        check_values(np.roots, p)


def test_roots_in_numbers():
    """Of a x² + b x + c with roots 1 and 2, from the formula."""
    r = np.roots(leaf([1.0, -3.0, 2.0]))
    assert r.tolist() == [2.0, 1.0]
    np.testing.assert_allclose(
        gradients(np.roots, [1.0, -3.0, 2.0], seed=[1.0, 0.0]), [-4.0, -2.0, -1.0], rtol=1e-14
    )
    np.testing.assert_allclose(
        gradients(np.roots, [1.0, -3.0, 2.0], seed=[0.0, 1.0]), [1.0, 1.0, 1.0], rtol=1e-14
    )


def test_the_sum_and_product_of_roots_are_coefficients():
    """Vieta: -b / a and c / a, though the roots themselves are complex."""
    for p in ([1.0, 1.0, 5.0], [2.0, -1.0, 3.0]):
        a, b, c = p
        np.testing.assert_allclose(
            gradients(lambda p: np.real(np.sum(np.roots(p))), p),
            [b / a**2, -1 / a, 0],
            rtol=1e-13,
            atol=1e-15,
        )
        np.testing.assert_allclose(
            gradients(lambda p: np.real(np.prod(np.roots(p))), p),
            [-c / a**2, 0, 1 / a],
            rtol=1e-13,
            atol=1e-15,
        )


def test_roots_with_zeros_at_the_ends():
    """Leading zeros are no roots, trailing ones are roots at 0; both kinds of coefficients have gradients."""
    assert np.roots(leaf([0.0, 1.0, -2.0, 0.0])).tolist() == [2.0, 0.0]
    assert gradients(np.roots, [0.0, 1.0, -2.0, 0.0], seed=[1.0, 0.0]) == [-4.0, -2.0, -1.0, -0.5]
    assert gradients(np.roots, [0.0, 1.0, -2.0, 0.0], seed=[0.0, 1.0]) == [0.0, 0.0, 0.0, 0.5]
    assert gradients(np.roots, [3.0], seed=[]) == [0.0]
    assert gradients(np.roots, [0.0, 0.0], seed=[]) == [0.0, 0.0]


@pytest.mark.parametrize("p", [[1.0, -2.0, 1.0], [1.0, 0.0, 0.0], [1.0, -3.0, 3.0, -1.0, 0.0, 0.0]])
def test_double_roots_have_no_gradient(p):
    r = np.roots(leaf(p))
    with pytest.raises(GradientError, match="not all simple"):
        np.sum(np.real(r)).backward()


def test_roots_to_second_order():
    assert tg.testing.gradcheck(np.roots, P, order=2)
    assert tg.testing.gradcheck(np.roots, P + np.array([1j, 2j, 3j, -1j]), order=2)


def test_poly_values():
    pairs = np.array([1 + 2j, 1 - 2j, 3.0])
    for zeros in (P, P * 1j, pairs, np.complex64(pairs), np.float32(P), np.float16(P), P[:1]):
        check_values(np.poly, zeros)
    for matrix in (RNG.normal(size=(3, 3)), np.array([[0.0, -1.0], [1.0, 0.0]]), np.eye(3) * 1j, np.eye(1)):
        check_values(np.poly, matrix)
    assert np.poly(leaf(np.ones(0))) == 1.0
    is_refused_like_numpy(np.poly, np.ones((2, 2, 2)))
    is_refused_like_numpy(np.poly, np.ones((0, 0)))


def test_poly_in_numbers():
    assert gradients(np.poly, [2.0, 3.0], seed=[1, 10, 100]) == [290.0, 190.0]  # x² - (a + b) x + a b
    assert gradients(np.poly, [2.0, 2.0], seed=[1, 10, 100]) == [190.0, 190.0]  # a double root is fine here
    a, b = leaf(2.0), leaf(3.0)
    np.poly([a, b]).backward([1.0, 10.0, 100.0])  # a list of roots
    assert (a.grad.item(), b.grad.item()) == (290.0, 190.0)
    pairs = leaf(np.array([1 + 2j, 1 - 2j]))  # the result is real
    np.poly(pairs).backward([0.0, 0.0, 1.0])
    np.testing.assert_allclose(pairs.grad.data, [1 + 2j, 1 - 2j])  # of the real part of a b


def test_the_characteristic_polynomial():
    """Of trace and determinant; equal eigenvalues, which have no gradient themselves, do no harm."""
    a = gradients(np.poly, [[1.0, 2.0], [3.0, 4.0]], seed=[0.0, 1.0, 10.0])
    np.testing.assert_allclose(a, [[39.0, -30.0], [-20.0, 9.0]], rtol=1e-13)
    assert gradients(np.poly, np.eye(2), seed=[0.0, 1.0, 10.0]) == [[9.0, 0.0], [0.0, 9.0]]
    assert gradients(np.poly, np.zeros((2, 2)), seed=[0.0, 1.0, 10.0]) == [[-1.0, 0.0], [0.0, -1.0]]
    assert tg.testing.gradcheck(np.poly, RNG.normal(size=(3, 3)), order=2)
    assert tg.testing.gradcheck(np.poly, RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3)), order=2)


def test_roots_and_poly_undo_each_other():
    p = leaf([1.0, -6.0, 11.0, -6.0])
    np.poly(np.roots(p)).backward([0.0, 1.0, 10.0, 100.0])
    np.testing.assert_allclose(p.grad.data, [6 - 110 + 600, 1.0, 10.0, 100.0], rtol=1e-11)  # p / p[0]


# -- polyfit -------------------------------------------------------------------------------------

X, Y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])


@pytest.mark.parametrize("deg", [0, 1, 2, 3])
def test_polyfit_values(deg):
    w = np.array([1.0, 2.0, 0.5, 1.5])
    for y in (Y, np.stack([Y, Y**2], axis=1), Y + 1j, np.float32(Y)):
        check_values(lambda x, y: np.polyfit(x, y, deg), X, y)
        check_values(lambda x, y, w: np.polyfit(x, y, deg, w=w), X, y, w)
        check_values(lambda x, y: np.polyfit(x, y, deg, 1e-12, False, w), X, y)


def test_polyfit_in_numbers():
    """Slope and intercept of a line through two points; the mean."""
    x, y = gradients(lambda x, y: np.polyfit(x, y, 1), [0.0, 2.0], [1.0, 5.0], seed=[1.0, 0.0])
    np.testing.assert_allclose(x, [1.0, -1.0], rtol=1e-12)
    np.testing.assert_allclose(y, [-0.5, 0.5], rtol=1e-12)
    y, w = gradients(lambda y, w: np.polyfit(X, y, 0, w=w), Y, [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(y, [0.25] * 4, rtol=1e-12)
    np.testing.assert_allclose(w, (Y - Y.mean()) / 2, rtol=1e-11)


def test_polyfit_to_second_order():
    assert tg.testing.gradcheck(lambda x, y: np.polyfit(x, y, 2), X, Y, order=2)
    assert tg.testing.gradcheck(
        lambda x, y, w: np.polyfit(x, y, 1, w=w), X, np.stack([Y, Y**2], 1), Y, order=2
    )


def test_polyfit_of_too_few_places_warns():
    x = np.array([1.0, 1.0, 2.0])
    with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned") as found:
        c = np.polyfit(x, leaf([1.0, 2.0, 3.0]), 2)
    assert found[0].filename == __file__
    with pytest.warns(np.exceptions.RankWarning):
        np.testing.assert_allclose(c.data, np.polyfit(x, [1.0, 2.0, 3.0], 2), rtol=1e-12)


@for_each("y", [Y, np.stack([Y, Y**2], axis=1), np.float32(Y)], ids=["one", "two", "float32"])
@for_each("settings", [{"full": True}, {"cov": True}, {"cov": "unscaled"}, {"cov": True, "w": Y}])
def test_polyfit_with_all_that_numpy_returns(y, settings):
    expected = np.polyfit(X, y, 1, **settings)
    found = np.polyfit(leaf(X), leaf(y), 1, **settings)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        a = a.data if isinstance(a, tg.Tensor) else a
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)

    def tracked_results(x, y):
        return [r for r in np.polyfit(x, y, 1, **settings) if isinstance(r, tg.Tensor)]

    assert tg.testing.gradcheck(tracked_results, X, y, order=2)


@for_each(
    "f",
    [
        lambda y: np.polyfit(X, y, -1),
        lambda y: np.polyfit(X[:2], y, 1),
        lambda y: np.polyfit(X[:, None], y, 1),
        lambda y: np.polyfit(X, y[:, None, None], 1),
        lambda y: np.polyfit(X[:0], y[:0], 1),
        lambda y: np.polyfit(X, y, 3, cov=True),
        lambda y: np.polyfit(X, y, 1, w=X[:2]),
        lambda y: np.polyfit(X, y, 1, w=X[:, None]),
    ],
)
def test_bad_polyfit(f):
    is_refused_like_numpy(f, Y)


def test_division_of_less_by_more():
    quotient, remainder = np.polydiv(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))
    assert isinstance(quotient, tg.Tensor)
    assert (quotient.tolist(), remainder.tolist()) == ([0.0], [1.0, 2.0])
