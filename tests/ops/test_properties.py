"""What holds for any shapes, axes and indices: values are NumPy's, gradients agree with differences."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import assume, given
from hypothesis.extra import numpy as hnp

import tinygrad_mnist as tg
from tinygrad_mnist import tensor
from tinygrad_mnist.graph import fit

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
shapes_with_empty = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def distinct(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers in (-2, 2) without ties, away from 0."""
    rng = np.random.default_rng(seed)
    size = math.prod(shape)
    values = (rng.permutation(size) + rng.uniform(0.3, 0.7, size)) / max(size, 1) * 1.8 + 0.1
    return (values * rng.choice([-1.0, 1.0], size)).reshape(shape)


seeds = st.integers(0, 2**32 - 1)
arrays = st.builds(distinct, shapes, seeds)
pairs = st.builds(
    lambda both, seed: (distinct(both.input_shapes[0], seed), distinct(both.input_shapes[1], seed + 1)),
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    st.integers(0, 2**31),
)

BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
    "logaddexp": np.logaddexp,
    "power": lambda a, b: np.power(np.abs(a) + 0.5, b),
    "where": lambda a, b: np.where(np.asarray(a.data if isinstance(a, tg.Tensor) else a) > 0, a * b, b),
}
REDUCTIONS = [np.sum, np.mean, np.prod, np.max, np.min, np.var, tg.nn.functional.logsumexp]


@given(st.sampled_from(sorted(BINARY)), pairs)
def test_binary_operations_broadcast(name, pair):
    f = BINARY[name]
    result = f(*(tensor(x, requires_grad=True) for x in pair))
    expected = f(*pair)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.data, expected, rtol=1e-14)
    assert tg.testing.gradcheck(f, *pair, order=2)


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=4, max_side=3))
def test_fit_undoes_any_broadcasting(both):
    g = np.random.default_rng(0).normal(size=both.result_shape)
    for shape in both.input_shapes:
        fitted = fit(g, np.zeros(shape))
        assert fitted.shape == shape
        stretched = np.broadcast_to(np.ones(shape), both.result_shape)
        np.testing.assert_allclose(np.sum(fitted), np.sum(g * stretched), atol=1e-12)


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_dims=3, max_side=3))
def test_broadcasting_of_empty_and_0d_shapes(three):
    leaves = [tensor(np.ones(s), requires_grad=True) for s in three.input_shapes]
    a, b, c = leaves
    y = np.where(a > 0, a * b, c) + np.maximum(b, c)
    assert y.shape == three.result_shape
    y.sum().backward()
    assert [x.grad.shape for x in leaves] == list(three.input_shapes)


@st.composite
def reductions(draw):
    x = draw(arrays)
    axes = st.none() | (hnp.valid_tuple_axes(x.ndim) if x.ndim else st.just(()))
    if x.ndim:
        axes |= st.integers(-x.ndim, x.ndim - 1)
    return draw(st.sampled_from(REDUCTIONS)), x, draw(axes), draw(st.booleans())


@given(reductions())
def test_reductions(case):
    f, x, axis, keepdims = case
    result = f(tensor(x), axis=axis, keepdims=keepdims)
    expected = f(x, axis=axis, keepdims=keepdims)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result.data, expected, rtol=1e-13, atol=1e-15)
    assert tg.testing.gradcheck(lambda t: f(t, axis=axis, keepdims=keepdims), x, order=2)


@st.composite
def basic_indices(draw):
    x = draw(st.builds(distinct, shapes_with_empty, seeds))
    return x, draw(hnp.basic_indices(x.shape, allow_newaxis=True, allow_ellipsis=True))


@given(basic_indices())
def test_basic_indexing(case):
    x, index = case
    np.testing.assert_array_equal(tensor(x)[index].data, x[index])
    assert tg.testing.gradcheck(lambda t: t[index] ** 2, x, order=2)


@st.composite
def advanced_indices(draw):
    """Any mixture of slices, integers, integer arrays, lists and one mask."""
    x = draw(st.builds(distinct, hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), seeds))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    index = []
    for size in x.shape[: draw(st.integers(1, x.ndim))]:
        places = hnp.arrays(np.intp, shape, elements=st.integers(-size, size - 1))
        index.append(
            draw(
                st.one_of(
                    places, places.map(np.ndarray.tolist), st.integers(-size, size - 1), st.just(slice(None))
                )
            )
        )
    if draw(st.booleans()):
        return x, draw(hnp.arrays(bool, x.shape))
    return x, tuple(index)


@given(advanced_indices())
def test_advanced_indexing(case):
    x, index = case
    np.testing.assert_array_equal(tensor(x)[index].data, x[index])
    leaf = tensor(x, requires_grad=True)
    picked = leaf[index]
    weights = np.linspace(1, 2, picked.size).reshape(picked.shape)
    picked.backward(weights)
    expected = np.zeros_like(x)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(leaf.grad.data, expected, rtol=1e-13)


@given(advanced_indices())
def test_assignment(case):
    x, index = case
    picked = x[index]
    value = np.linspace(5, 6, picked.size).reshape(picked.shape)
    expected = x.copy()
    expected[index] = value

    def assign(t, v):
        y = t * 1
        y[index] = v
        return y

    np.testing.assert_array_equal(assign(tensor(x), tensor(value)).data, expected)
    assert tg.testing.gradcheck(lambda t, v: assign(t, v) ** 2, x, value, order=2)


@given(
    hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3).map(
        lambda both: both.input_shapes
    ),
    seeds,
)
def test_matmul(two, seed):
    a, b = distinct(two[0], seed), distinct(two[1], seed)
    result = tensor(a, requires_grad=True) @ tensor(b)
    np.testing.assert_allclose(result.data, a @ b, rtol=1e-12, atol=1e-14)
    assert tg.testing.gradcheck(np.matmul, a, b, order=2)


@given(arrays, st.data())
def test_moving_elements_about_and_back(x, data):
    order = data.draw(st.permutations(range(x.ndim)))
    shift = data.draw(st.integers(-4, 4))
    t = tensor(x, requires_grad=True)
    there = np.roll(np.flip(np.transpose(t, order)), shift)
    back = np.transpose(np.flip(np.roll(there, -shift)), np.argsort(order)) if x.ndim else there
    np.testing.assert_array_equal(back.data, x)
    weights = distinct(x.shape, 1)
    (back * weights).sum().backward()
    np.testing.assert_array_equal(t.grad.data, weights)


@given(arrays, st.data())
def test_split_and_concatenate_are_inverse(x, data):
    assume(x.ndim)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=3)))
    t = tensor(x, requires_grad=True)
    whole = np.concatenate(np.split(t, cuts, axis=axis), axis=axis)
    np.testing.assert_array_equal(whole.data, x)
    (whole**2).sum().backward()
    np.testing.assert_allclose(t.grad.data, 2 * x)


@given(arrays, st.data())
def test_pad_and_tile(x, data):
    assume(x.ndim)
    widths = tuple(data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in x.shape)
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    reps = tuple(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4)))
    for f in (lambda t: np.pad(t, widths, mode=mode), lambda t: np.tile(t, reps)):
        np.testing.assert_array_equal(f(tensor(x)).data, f(x))
        assert tg.testing.gradcheck(f, x)


@given(st.integers(1, 3), st.integers(1, 3), seeds, st.data())
def test_einsum_of_random_subscripts(operands, letters, seed, data):
    sizes = dict(
        zip(
            "abc"[:letters],
            data.draw(st.lists(st.integers(1, 3), min_size=letters, max_size=letters)),
            strict=True,
        )
    )
    terms = [
        "".join(data.draw(st.lists(st.sampled_from(sorted(sizes)), max_size=3))) for _ in range(operands)
    ]
    present = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(present))[: data.draw(st.integers(0, len(present)))])
    subscripts = ",".join(terms) + "->" + output
    xs = [distinct(tuple(sizes[c] for c in term), seed + i) for i, term in enumerate(terms)]
    np.testing.assert_allclose(
        np.einsum(subscripts, *map(tensor, xs)).data, np.einsum(subscripts, *xs), rtol=1e-12, atol=1e-14
    )
    assert tg.testing.gradcheck(lambda *ts: np.einsum(subscripts, *ts), *xs, order=2)


@given(arrays, st.sampled_from([np.float16, np.float32, np.float64]), seeds)
def test_dtype_is_kept_through_a_random_expression(x, dtype, seed):
    rng = np.random.default_rng(seed)
    leaf = tensor(x, dtype=dtype, requires_grad=True)
    y = leaf
    steps = [
        lambda y: y * 0.5,
        lambda y: 1 - y,
        lambda y: np.tanh(y),
        lambda y: y / 2,
        lambda y: np.maximum(y, 0.0),
        lambda y: y**2,
        lambda y: y - y.mean(),
        lambda y: np.clip(y, -1.0, 1.0),
        lambda y: np.where(y > 0, y, 0.1 * y),
        lambda y: y.reshape(-1),
    ]
    for _ in range(5):
        y = steps[rng.integers(len(steps))](y)
        assert y.dtype == dtype
    y.sum().backward()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.shape == x.shape


@given(arrays)
def test_a_gradient_is_linear_in_what_is_passed(x):
    def vjp(v):
        t = tensor(x, requires_grad=True)
        (np.sin(t) * t).backward(v)
        return t.grad.data

    u, v = distinct(x.shape, 1), distinct(x.shape, 2)
    np.testing.assert_allclose(vjp(2 * u - 3 * v), 2 * vjp(u) - 3 * vjp(v), rtol=1e-9, atol=1e-12)
