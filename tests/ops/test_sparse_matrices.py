"""Sparse matrices of SciPy as constants, against the same matrices written out."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

sparse = pytest.importorskip("scipy.sparse")
F = tg.nn.functional

FORMATS = [
    getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "lil", "dia")
    for kind in ("array", "matrix")
]


def make(kind=sparse.csr_array, dtype=np.float64, shape=(5, 4)):
    dense = np.random.default_rng(0).normal(size=shape)
    dense[np.abs(dense) < 0.7] = 0
    dense = (dense * 10).astype(dtype)
    return kind(dense), dense


def weight(*shape, dtype=np.float64):
    return tg.tensor(np.random.default_rng(1).normal(size=shape).astype(dtype), requires_grad=True)


PRODUCTS = {
    "X @ w": ((4, 3), lambda X, w: X @ w),
    "X @ vector": ((4,), lambda X, w: X @ w),
    "X @ column": ((4, 1), lambda X, w: X @ w),
    "w @ X": ((3, 5), lambda X, w: w @ X),
    "vector @ X": ((5,), lambda X, w: w @ X),
    "np.matmul(X, w)": ((4, 3), lambda X, w: np.matmul(X, w)),
    "np.dot(X, w)": ((4, 3), lambda X, w: np.dot(X, w)),
    "np.dot(X, vector)": ((4,), lambda X, w: np.dot(X, w)),
    "np.dot(w, X)": ((3, 5), lambda X, w: np.dot(w, X)),
    "np.dot(vector, X)": ((5,), lambda X, w: np.dot(w, X)),
    "X.dot(w)": ((4, 3), lambda X, w: X.dot(w) if sparse.issparse(X) else X @ w),
    "w.dot(X)": ((3, 5), lambda X, w: w.dot(X)),
    "X.T @ w": ((5, 2), lambda X, w: X.T @ w),
    "linear": ((3, 4), lambda X, w: F.linear(X, w)),
    "linear of one row": ((3, 4), lambda X, w: F.linear(X[:1], w)),
    "bias": ((3, 4), lambda X, w: F.linear(X, w, w[:, 0])),
}


@for_each("name", PRODUCTS)
def test_value_and_gradient_are_those_of_the_matrix_written_out(name):
    shape, product = PRODUCTS[name]
    (X, dense), w = make(), weight(*shape)
    found = {}
    for x in (X, dense):
        y = product(x, w)
        w.zero_grad()
        (y * np.arange(1.0, y.size + 1).reshape(y.shape)).sum().backward()
        found[type(x)] = y.data, w.grad.data
    (y, g), (expected_y, expected_g) = found.values()
    np.testing.assert_allclose(y, expected_y, rtol=1e-12)
    np.testing.assert_allclose(g, expected_g, rtol=1e-12)
    assert tg.testing.gradcheck(lambda w: product(X, w), w.data, order=2)


@for_each("kind", FORMATS, ids=lambda kind: kind.__name__)
def test_every_kind_of_sparse_matrix(kind):
    (X, dense), w = make(kind, np.float32), weight(4, 3, dtype=np.float32)
    (X @ w).sum().backward()
    assert (X @ w).dtype == w.grad.dtype == np.float32
    np.testing.assert_allclose((X @ w).data, dense @ w.data, rtol=1e-5)
    np.testing.assert_allclose(w.grad.data, dense.T @ np.ones((5, 3), np.float32), rtol=1e-5)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_counts_and_masks(dtype):
    (X, dense), w = make(dtype=dtype), weight(4, 3)
    assert (X @ w).dtype == (dense @ w).dtype
    np.testing.assert_allclose((X @ w).data, (dense @ w).data)


def test_an_untracked_tensor_stays_one():
    (X, dense), w = make(), weight(4, 3)
    with tg.no_grad():
        assert isinstance(X @ w, tg.Tensor)
    assert isinstance(X @ w.detach(), tg.Tensor)
    np.testing.assert_allclose((X @ w.detach()).data, dense @ w.data)


def test_transforms():
    (X, dense), w = make(), weight(4, 3)
    f, g = (lambda x: lambda w: (x @ w) ** 2)(X), (lambda x: lambda w: (x @ w) ** 2)(dense)
    for transform in (tg.jacobian, lambda f: tg.hessian(lambda w: f(w).sum())):
        np.testing.assert_allclose(transform(f)(w.data), transform(g)(w.data), rtol=1e-12)
    for a, b in zip(tg.jvp(f, (w.data,), (w.data,)), tg.jvp(g, (w.data,), (w.data,)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_network_trains_on_sparse_batches():
    (X, dense), labels = make(dtype=np.float32, shape=(12, 20)), np.arange(12) % 3
    losses = []
    for x in (X, dense):
        model = tg.nn.MLP([20, 8, 3], rng=0)
        optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(10):
            optimizer.zero_grad()
            loss = tg.nn.CrossEntropyLoss()(model(x), labels)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] < 0.8


@for_each(
    "name, function",
    [
        ("np.add", lambda X, w: w + X),
        ("np.multiply", lambda X, w: w * X),
        ("np.stack", lambda X, w: np.stack([w, X])),
        ("np.where", lambda X, w: np.where(X, w, 0)),
        ("np.einsum", lambda X, w: np.einsum("ij,ij", X, w)),
        ("an array", lambda X, w: tg.tensor(X)),
        ("an array", lambda X, w: tg.grad(lambda x: (x @ w.T).sum())(X)),
        ("an array", lambda X, w: tg.training.fit(tg.nn.Linear(4, 2), (X, np.arange(5) % 2), progress=False)),
    ],
)
def test_anything_but_a_product_is_refused_by_name(name, function):
    (X, _), w = make(), weight(5, 4)
    with pytest.raises(
        tg.errors.UnsupportedError, match=rf"a sparse matrix of shape \(5, 4\) in {name}.*X.toarray\(\)"
    ):
        function(X, w)


def test_shapes_that_do_not_fit():
    (X, _), w = make(), weight(3, 4)
    with pytest.raises(tg.errors.ShapeError, match="4 columns of the first meet 3 rows of the second"):
        X @ w
    with pytest.raises(tg.errors.ShapeError, match="4 columns of the first meet 5 rows of the second"):
        w @ X
    with pytest.raises(
        tg.errors.UnsupportedError, match=r"times an array of shape \(2, 4, 1\): give it one or two axes"
    ):
        np.matmul(X, weight(2, 4, 1))
    with pytest.raises(tg.errors.UnsupportedError, match="products take matrices of two axes"):
        sparse.coo_array(np.arange(3.0)) @ weight(3)


@pytest.mark.parametrize(
    "function",
    [lambda X, w: (X @ w).sum(), lambda X, w: np.dot(X, w).sum(), lambda X, w: F.linear(X, w.T).sum()],
    ids=["@", "dot", "linear"],
)
def test_a_program_refuses_it(function):
    (X, _), w = make(), weight(4, 3)
    with pytest.raises(
        tg.errors.CompileError, match=r"sparse matrix of shape|another library, asked for a value"
    ):
        tg.compile(lambda w: function(X, w))(w)
    with pytest.raises(
        tg.errors.CompileError, match=r"sparse matrix of shape|another library, asked for a value"
    ):
        tg.compile(function)(X, w)
