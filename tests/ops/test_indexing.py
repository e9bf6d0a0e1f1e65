"""Indexing, assignment in all its forms, and selection: NumPy's values and errors, and where gradients go."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from helpers import for_each, gradient, is_refused_like_numpy, leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mnist as tg
from tinygrad_mnist import tensor
from tinygrad_mnist.errors import DTypeError, GradientError
from tinygrad_mnist.ops.indexing import HOLE, scatter

RNG = np.random.default_rng(0)
V = RNG.normal(size=4)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
Z = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))
S = np.array(0.7)
MASK = M > 0


def bare(x):
    """The same with arrays in place of Tensors."""
    if isinstance(x, (tuple, list)):
        return type(x)(map(bare, x))
    return x.data if isinstance(x, tg.Tensor) else x


def check(f, *values, order=2) -> None:
    """``f`` computes on Tensors what NumPy computes on arrays, in double and single, and is right to second order."""
    for double, single in (("d", "f"), ("D", "F")):
        arrays = [v.astype(single) if v.dtype.char == double else v.copy() for v in values]
        before = [a.copy() for a in arrays]
        result = f(*(tg.Tensor(a, requires_grad=a.dtype.kind in "fc") for a in arrays))
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)  # inputs stay as they are
        expected = np.asarray(f(*arrays))
        assert isinstance(result, tg.Tensor)
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(result.data, expected, rtol=4 * np.finfo(expected.dtype).eps)
    assert tg.testing.gradcheck(f, *values, order=order)


def named(x) -> str:
    """What a test is called by: a short index as it is written, an array by its shape."""
    return " ".join(str(bare(x)).replace("(None, None, None)", "").split())[:60]


# -- indexing ------------------------------------------------------------------------------------

SQUARE, J = np.array([[0, 2], [1, -1]]), np.array([3, 0])
INDEXES = [
    (),
    (Ellipsis,),
    (None, Ellipsis, None),
    (0, 0, 0),
    (-1, Ellipsis, slice(None, None, -3)),
    (slice(-2, None), slice(3, 0, -1)),
    (slice(1, 1),),
    (np.int32(1), np.uint8(2)),
    SQUARE % 2,
    (slice(None), SQUARE),
    (slice(None), slice(None), J),
    (Ellipsis, J),
    (J % 2, J % 3, J),
    (J % 2, slice(None), J),
    (slice(None), J % 3, J),
    (SQUARE % 2, None, slice(None), J),
    (SQUARE % 2, J % 3),
    (0, slice(None), J),
    (J % 2, slice(None), 1),
    (None, J % 2),
    (True,),
    (False,),
    (True, J % 2),
    np.True_,
    np.array(True),
    (None, True, 0),
    CUBE > 0,
    CUBE[..., 0] > 0,
    (0, M > 0),
    (slice(None), M[:, 0] > -9),
    (slice(None), slice(None), V > 0),
    (np.array([True, False]), J[:1] % 3),
    (np.array([True, True]), J % 3),
    (slice(1), M > 0),
    [],
    [[]],
    ([], slice(None), []),
    (np.zeros((0, 2), int),),
    [[0, 1], [1, 0]],
    ([0, 1], [[1], [2]]),
    [True, False],
    (0, [True, False, True]),
    range(2),
    (range(2), range(1, 3)),
    np.array(1),
    (np.array(0), np.array(2)),
    (Ellipsis, np.array(3)),
    tensor(1),
    (tensor(0), slice(None), tensor([1, 1])),
    (tensor([0, 1]), tensor([[0], [2]])),
    tensor(CUBE > 0),
    (Ellipsis, tensor(V > 0)),
    [tensor(0), tensor(1)],
    (slice(tensor(1)), slice(tensor(0), tensor(2))),
    tuple(tensor(x) for x in np.nonzero(CUBE > 0)),
    np.ix_([0, 1], [0, 2], [3, 1]),
    np.ix_([True, False], [0, 2], V > 0),
    np.s_[0, ..., 1:3],
]


@for_each("index", INDEXES)
def test_getitem(index):
    expected = CUBE[bare(index)]
    result = leaf(CUBE)[index]
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(result.data, expected)
    picked = np.arange(CUBE.size).reshape(CUBE.shape)[bare(index)]
    times = np.bincount(np.ravel(picked), minlength=CUBE.size).reshape(CUBE.shape)
    np.testing.assert_array_equal(gradient(lambda x: x[index], CUBE), times)
    if result.size:
        assert tg.testing.gradcheck(lambda x: np.sin(x[index]), CUBE, order=2)


@pytest.mark.parametrize("index", [0, (0, slice(1)), [0, 0, 1], (slice(None), [1, 1]), Z.real > 0], ids=str)
def test_getitem_of_complex_numbers(index):
    check(lambda z: z[index] * z[index], Z)


def test_numbers_are_indexed_too():
    for index in [(), (None, None), Ellipsis, True, np.array(False)]:
        check(lambda x, index=index: x[index] * 3, S)


BAD_INDEXES = [
    3,
    -4,
    (0, 4),
    (0, 0, 0),
    [0, 3],
    ([0], [-5]),
    np.array([[7]]),
    1.0,
    [0.5],
    np.array([1.0]),
    "a",
    (slice(None), None, 9),
    (Ellipsis, Ellipsis),
    np.ones(2, bool),
    np.ones((3, 3), bool),
    ([0, 1], [0, 1, 2]),
    slice(0, 1, 0),
    slice(0.5),
    {0: 1},
]


@for_each("index", BAD_INDEXES, ids=named)
def test_bad_indexes_are_refused_alike(index):
    is_refused_like_numpy(lambda x: x[index], M)
    is_refused_like_numpy(lambda x: operator.setitem(x, index, 0.0), M)


def test_a_tracked_index_is_no_index():
    for index in (leaf(1.0), leaf([0.0, 1.0])):
        with pytest.raises((IndexError, GradientError)):
            leaf(M)[index]


def test_iteration_unpacking_and_reversal():
    check(lambda x: np.stack(list(x)[::-1]), M)
    check(lambda x: np.stack(list(reversed(x))), M)

    def f(x):
        first, *rest = x
        return first * rest[-1]

    check(f, M)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    axis=st.integers(0, 2),
    n=st.integers(0, 400),
    seed=st.integers(0, 99),
    kind=st.sampled_from("dfDF"),
)
def test_adding_in_along_an_axis(shape, axis, n, seed, kind):
    """Rows, columns, … of a large gradient go one by one, which is faster: they end where add.at puts them."""
    axis %= len(shape)
    rng = np.random.default_rng(seed)
    index = (slice(None),) * axis + (HOLE,)
    places = rng.integers(-shape[axis], shape[axis], (n, 2))
    g = rng.normal(size=(*shape[:axis], n, 2, *shape[axis + 1 :])).astype(kind)
    expected = np.zeros(shape, kind)
    np.add.at(expected, (slice(None),) * axis + (places,), g)
    result = scatter(g, places, index=index, shape=tuple(shape))
    assert result.dtype == kind
    np.testing.assert_allclose(result, expected, rtol=1e-4 if kind in "fF" else 1e-11, atol=1e-5)


# -- assignment ----------------------------------------------------------------------------------


def weighed(x):
    """Every element times its number, so that none can stand for another."""
    return x * np.arange(1, x.size + 1, dtype=np.float32).reshape(x.shape)


def assigned(index):
    """A function that assigns to part of a copy."""

    def f(x, v):
        x = x * 1.0
        x[index] = v
        return weighed(x)

    return f


ASSIGNMENTS = [
    (0, V),
    (-1, S),
    ((0, 1), S),
    (Ellipsis, M[::-1]),
    (Ellipsis, S),
    (slice(None), V),
    (slice(None), M[:, :1]),
    (slice(None), M[None]),
    (slice(1, 1), V),
    ((slice(None, None, -2), slice(1, 3)), M[:2, :2]),
    ((slice(None), None, 0), S),
    ((slice(None), 0), V[:3]),
    ((slice(None), [0, 2]), M[:, :2]),
    ([2, 0], M[:2]),
    ([2, 0], V),
    ([0, 0, 0], M),  # the last one stays
    ([0, 0, 1], V),
    (([0, 0, 2], [1, 1, 3]), V[:3]),
    (([0, 0, 2], [1, 1, 3]), S),
    ((slice(None), [1, 1]), M[:, :2]),
    ((np.array([[0], [2]]), np.array([[1, 1]])), M[:2, :2]),
    (MASK, S),
    (MASK, RNG.normal(size=MASK.sum())),
    (MASK[:, 0], V),
    ((slice(None), MASK[0]), S),
    (True, M),
    (False, S),
    ([], S),
    (np.ix_([0, 2], [1, 3]), M[:2, :2]),
    (tensor([1, 1]), M[:2]),
    (tensor(MASK), S),
]


@for_each("index, value", ASSIGNMENTS)
def test_setitem(index, value):
    if isinstance(index, tg.Tensor):
        assert tg.testing.gradcheck(assigned(index), M, value, order=2)
        np.testing.assert_array_equal(
            assigned(index)(leaf(M), leaf(value)).data, assigned(index.data)(M, value)
        )
        return
    check(assigned(index), M, value)


@pytest.mark.thorough
@for_each("index, value", ASSIGNMENTS)
def test_updates_in_place(index, value):
    value = value[0] if value.ndim == 3 else value
    for update in ("+=", "-=", "*=", "/="):

        def f(x, v, update=update):
            x = x * 1.0
            exec(f"x[index] {update} v", {"x": x, "index": index, "v": v})
            return x * x

        if isinstance(index, tg.Tensor):
            assert tg.testing.gradcheck(f, M, value + 3, order=2)
        else:
            check(f, M, value + 3)


def test_updates_as_they_are_written():
    def f(x, v):
        y = x * 1.0
        y[0] += v
        y[:, 1] -= v[0]
        y[[0, 2], [3, 3]] *= v[1]
        y[y > 0] /= 2.0 + v[2] ** 2
        y[1:, ::2] **= 2
        return y

    check(f, M, V)


def test_assignments_in_a_loop():
    def cumulative(x):
        y = np.zeros_like(x)
        total = 0.0
        for i in range(len(x)):
            total = total * 0.5 + x[i]
            y[i] = total * x[i]
        return y

    check(cumulative, V)
    check(cumulative, M)

    def recurrence(x):
        y = x * 1.0
        for i in range(1, len(x)):
            y[i] = y[i - 1] * y[i] + np.sin(y[i - 1])
        return y

    check(recurrence, V)


def test_the_last_of_several_values_at_one_place():
    x, v = gradient(lambda x, v: operator.setitem(y := x * 1, [1, 1, 0], v) or y, [1.0, 2, 3], [4.0, 5, 6])
    np.testing.assert_array_equal(x, [0, 0, 1])
    np.testing.assert_array_equal(v, [0, 1, 1])


def test_what_was_overwritten_has_no_gradient():
    t = leaf(M)
    y = t * 2
    y[1] = 0.0
    y[:, 3] = y[:, 0]
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad.data, [[4, 2, 2, 0], [0, 0, 0, 0], [4, 2, 2, 0]])


def test_assigned_values_may_be_lists_with_tensors():
    a, b = leaf(2.0), leaf(3.0)
    t = tensor(np.zeros((2, 2)))
    t[0] = [a * b, 1.0]
    t[1] = [[b, a]]
    np.testing.assert_array_equal(t.data, [[6.0, 1.0], [3.0, 2.0]])
    (t * [[1.0, 2.0], [3.0, 4.0]]).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (3.0 + 4.0, 2.0 + 3.0)


def test_assignment_leaves_others_alone():
    values = M.copy()
    t = tg.Tensor(values)
    view = t[0]
    t[0] = 5.0
    np.testing.assert_array_equal(values, M)
    np.testing.assert_array_equal(view.data, M[0])
    np.testing.assert_array_equal(t.data[0], 5.0)
    old, new = (x := leaf(M)), x
    new[0] = 1.0
    assert old is new  # one handle, as an array is one array


# -- NumPy's functions that write ----------------------------------------------------------------


def written(function, *args, **kwargs):
    """What a function that writes leaves behind; ``v`` among the arguments is what is tracked."""

    def f(x, *values):
        x = x.copy()
        filling = iter(values)
        assert (
            function(x, *(next(filling) if isinstance(arg, str) else arg for arg in args), **kwargs) is None
        )
        return weighed(x)

    return f


WRITES = [
    ("copyto", written(np.copyto, "v"), M, M[::-1]),
    ("copyto a row", written(np.copyto, "v"), M, V),
    ("copyto a number", written(np.copyto, 3), M),
    ("copyto a number everywhere but", written(np.copyto, 3.0, where=MASK), M),
    ("copyto where", written(np.copyto, "v", where=MASK), M, V),
    ("copyto where nowhere", written(np.copyto, "v", where=False), M, V),
    ("copyto where, in rows", written(np.copyto, "v", where=MASK[0]), M, M[::-1]),
    ("copyto, more axes of one", written(np.copyto, "v"), M, M[None, None]),
    ("copyto, casting", written(np.copyto, "v", casting="unsafe"), M, V),
    ("copyto a list", written(np.copyto, [1, 2, 3, 4]), M),
    ("put", written(np.put, [0, 5, -1], "v"), M, V[:3]),
    ("put a number", written(np.put, [[0, 5], [7, -1]], "v"), M, S),
    ("put too few", written(np.put, [0, 5, 7, 9, 2], "v"), M, V[:2]),
    ("put too many", written(np.put, [3, 1], "v"), M, M),
    ("put twice", written(np.put, [3, 1, 3], "v"), M, V),
    ("put round", written(np.put, [13, -14, 25], "v", mode="wrap"), M, V),
    ("put to the ends", written(np.put, [13, -14, 2], "v", mode="clip"), M, V),
    ("put nothing", written(np.put, [3, 1], []), M),
    ("put nowhere", written(np.put, [], "v"), M, V),
    ("put into a number", written(np.put, 0, "v"), S, S + 1),
    ("putmask", written(np.putmask, MASK, "v"), M, M[::-1]),
    ("putmask of few", written(np.putmask, MASK, "v"), M, V[:3]),
    ("putmask a number", written(np.putmask, MASK, "v"), M, S),
    ("putmask of another shape", written(np.putmask, MASK.ravel(), "v"), M, M[0]),
    ("putmask nothing", written(np.putmask, MASK, []), M),
    ("putmask, a list", written(np.putmask, MASK.tolist(), "v"), M, V),
    ("place", written(np.place, MASK, "v"), M, V),
    ("place too few", written(np.place, MASK, "v"), M, V[:2]),
    ("place too many", written(np.place, MASK, "v"), M, CUBE),
    ("place a number", written(np.place, MASK, "v"), M, S),
    ("place nowhere", written(np.place, MASK & False, []), M),
    ("place, by integers", written(np.place, MASK.astype(int), "v"), M, V),
    ("put_along_axis", written(np.put_along_axis, np.argsort(M, 1), "v", 1), M, M[::-1]),
    ("put_along_axis, one", written(np.put_along_axis, np.array([[1], [0], [3]]), "v", axis=1), M, M[:, :1]),
    ("put_along_axis, a number", written(np.put_along_axis, np.array([[1, 0, 2, 2]]), "v", 0), M, S),
    ("put_along_axis twice", written(np.put_along_axis, np.array([[1, 1]] * 3), "v", -1), M, M[:, :2]),
    ("put_along_axis, flat", written(np.put_along_axis, np.array([3, 0, 3]), "v", None), M, V[:3]),
    ("fill_diagonal", written(np.fill_diagonal, "v"), M, S),
    ("fill_diagonal in turns", written(np.fill_diagonal, "v"), M.T, V[:2]),
    ("fill_diagonal with too many", written(np.fill_diagonal, "v"), M, V),
    ("fill_diagonal, wrapped", written(np.fill_diagonal, "v", wrap=True), np.tile(M, (3, 1))[:, :2], V[:3]),
    ("fill_diagonal, not wrapped", written(np.fill_diagonal, "v", False), np.tile(M, (3, 1))[:, :2], S),
    ("fill_diagonal of a cube", written(np.fill_diagonal, "v"), np.stack([M[:, :3]] * 3), V[:3]),
    ("complex: put", written(np.put, [0, 5], "v"), Z, Z[0]),
    ("complex: a real number", written(np.copyto, "v", where=Z.real > 0), Z, S),
]


@for_each("f, values", [pytest.param(f, xs, id=name) for name, f, *xs in WRITES])
def test_writes(f, values):
    check(f, *values)


REFUSED_WRITES = [
    ("copyto, shapes", lambda x: np.copyto(x, np.ones(3))),
    ("copyto, larger", lambda x: np.copyto(x, np.ones((2, 3, 4)))),
    ("copyto, dtype", lambda x: np.copyto(x, 1j)),
    ("copyto, no casting", lambda x: np.copyto(x, np.ones(4, np.float32), casting="no")),
    ("copyto, where", lambda x: np.copyto(x, 1.0, where=np.ones((2, 3, 4), bool))),
    ("put, out of range", lambda x: np.put(x, [12], 1.0)),
    ("put, far out of range", lambda x: np.put(x, [-13], 1.0)),
    ("put, fractions", lambda x: np.put(x, np.array([0.5]), 1.0)),
    ("put, no mode", lambda x: np.put(x, [0], 1.0, mode="around")),
    ("putmask, shapes", lambda x: np.putmask(x, [True], 1.0)),
    ("place, shapes", lambda x: np.place(x, [True], 1.0)),
    ("place, nothing", lambda x: np.place(x, MASK, [])),
    ("put_along_axis, fractions", lambda x: np.put_along_axis(x, np.zeros((3, 1)), 1.0, 1)),
    ("put_along_axis, axes", lambda x: np.put_along_axis(x, np.array([0]), 1.0, 1)),
    ("put_along_axis, range", lambda x: np.put_along_axis(x, np.array([[9]]), 1.0, 1)),
    ("put_along_axis, axis", lambda x: np.put_along_axis(x, np.array([[0]]), 1.0, 2)),
    ("fill_diagonal of a row", lambda x: np.fill_diagonal(x[0], 1.0)),
    ("fill_diagonal of a box", lambda x: np.fill_diagonal(x[None], 1.0)),
    ("no argument", lambda x: np.put(x)),
]


@for_each("f", [pytest.param(f, id=name) for name, f in REFUSED_WRITES])
def test_refused_writes(f):
    is_refused_like_numpy(f, M)


WRITERS = [
    lambda a, v: np.copyto(a, v),
    lambda a, v: np.copyto(dst=a, src=v),
    lambda a, v: np.put(a, [0], v),
    lambda a, v: np.putmask(a, MASK, v),
    lambda a, v: np.place(a, MASK, v),
    lambda a, v: np.put_along_axis(a, np.array([[0]]), v, 1),
]


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_tracked_goes_into_a_plain_array(write):
    array = M.copy()
    with pytest.raises(GradientError, match="plain array"):
        write(array, leaf(2.0))
    np.testing.assert_array_equal(array, M)
    write(array, tensor(2.0))  # untracked, it may
    assert array[0, 0] == 2.0 or MASK[0, 0] == (array[0, 0] == 2.0)
    with tg.no_grad():
        write(array, leaf(3.0))
    assert (array == 3.0).any()


def test_an_array_takes_no_diagonal_or_part_of_a_tracked_tensor():
    array = M.copy()
    for write in (lambda: np.fill_diagonal(array, leaf(2.0)), lambda: operator.setitem(array, 0, leaf(V))):
        with pytest.raises(GradientError):
            write()
    np.testing.assert_array_equal(array, M)


@for_each("write", [*WRITERS, lambda a, v: np.fill_diagonal(a, v), lambda a, v: operator.setitem(a, 0, v)])
def test_integers_have_no_place_for_a_tracked_value(write):
    integers = tensor(np.zeros((3, 4), int))
    with pytest.raises(DTypeError):
        write(integers, leaf(2.0))
    with pytest.raises(DTypeError, match=r"astype"):
        integers[0, :2] = [leaf(2.0), 1]
    assert not integers.data.any()


def test_a_leaf_that_is_written_into_still_has_its_gradient():
    x = leaf(M)
    np.put(x, [0, 5], 7.0)
    assert x.data[0, 0] == x.data[1, 1] == 7.0
    (x**2).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)  # of what it is now, as after x[0, 0] = 7


def test_a_leaf_is_overwritten_within_no_grad():
    x = leaf(M)
    with tg.no_grad():
        np.fill_diagonal(x, 0.0)
        np.copyto(x, 5.0, where=MASK)
    assert x.is_leaf
    expected = M.copy()
    np.fill_diagonal(expected, 0.0)
    np.copyto(expected, 5.0, where=MASK)
    np.testing.assert_array_equal(x.data, expected)


def test_full_like():
    check(lambda x, v: np.full_like(x, v) + 0 * x, M, S)
    check(lambda x, v: np.full_like(x, fill_value=v, shape=(2, 3, 4), order="F") * V, M, V)
    check(lambda x, v: np.full_like(x, [v, 1, v * 2, 3.0], dtype=np.complex128), M, S)
    check(lambda v: np.full_like(v, v, shape=5, subok=False), S)
    assert not np.full_like(leaf(M), 2.0).requires_grad
    assert np.full_like(leaf(M), 2, dtype=int).dtype == int
    assert np.full_like(leaf(M), 2.5, dtype=int).data[0, 0] == 2
    with pytest.raises(OverflowError):  # as NumPy's
        np.full_like(tensor(np.zeros(2, np.uint8)), 10**30)
    with pytest.raises(DTypeError):
        np.full_like(tensor([1, 2]), leaf(0.5))


# -- taking --------------------------------------------------------------------------------------

TAKES = [
    ("a number", lambda x: np.take(x, 5), M),
    ("from the end", lambda x: np.take(x, [-1, -12, 0]), M),
    ("by position", lambda x: np.take(x, [2, 0], 1), M),
    ("along the last", lambda x: np.take(x, [[2, 0], [1, 1]], axis=-1), CUBE),
    ("along the middle", lambda x: np.take(x, np.array([2, 2, 0]), axis=1), CUBE),
    ("a number along an axis", lambda x: np.take(x, np.int8(1), axis=1), CUBE),
    ("round", lambda x: np.take(x, [13, -14, 5], mode="wrap"), M),
    ("round an axis", lambda x: np.take(x, [4, -7, 2], axis=0, mode="wrap"), M),
    ("to the ends", lambda x: np.take(x, [13, -14, 5], mode="clip"), M),
    ("to the ends of an axis", lambda x: np.take(x, [[4, -7], [2, 0]], axis=1, mode="clip"), M),
    ("nothing", lambda x: np.take(x, np.array([], int), axis=1), M),
    ("of a number", lambda x: np.take(x, [0, 0, -1]), S),
    ("an empty list", lambda x: np.take(x, [], axis=0), M),
    ("a list of fractions, which NumPy cuts", lambda x: np.take(x, [1.9, 0.1]), M),
    ("a list of Tensors", lambda x: np.take(x, [tensor(1), 0], axis=1), M),
    ("by a Tensor", lambda x: np.take(x, tensor([0, 2]), axis=0), M),
    ("by booleans, which are 0 and 1", lambda x: np.take(x, [True, False]), M),
    ("out=None, mode by position", lambda x: np.take(x, [7], 1, None, "wrap"), M),
    ("by small integers", lambda x: np.take(x, np.array([1, 2], np.uint8), axis=1), M),
    ("along, unsorted", lambda x: np.take_along_axis(x, np.argsort(M, 0)[::-1], 0), M),
    ("along, by default the last", lambda x: np.take_along_axis(x, np.array([[0], [0], [2]]), axis=-1), M),
    ("along, broadcast", lambda x: np.take_along_axis(x, np.array([[0, 1, 1]]), axis=1), M),
    ("along, flat", lambda x: np.take_along_axis(x, np.array([3, 3]), None), M),
    ("along, of one row", lambda x: np.take_along_axis(x, np.array([[3, 3], [0, 1], [2, 2]]), 1), M[:1]),
    ("along, by a Tensor", lambda x: np.take_along_axis(x, tensor([[1], [2], [0]]), 1), M),
    ("compress flat", lambda x: np.compress([0, 1, 1, 0, 1], x), M),
    ("compress", lambda x: np.compress(condition=[True, False, True], a=x, axis=0), M),
    ("compress the last", lambda x: np.compress(V > 0, x, axis=-1), CUBE),
    ("compress to nothing", lambda x: np.compress([], x, axis=0), M),
    ("compress by a Tensor", lambda x: np.compress(tensor(V) > 0, x, axis=1), M),
    ("extract", lambda x: np.extract(MASK, x), M),
    ("extract fewer", lambda x: np.extract([0, 1], x), M),
    ("extract by a Tensor", lambda x: np.extract(x > 0, x), M),
    ("extract from a number", lambda x: np.extract(True, x), S),
]


@for_each("f, x", [pytest.param(*case, id=name) for name, *case in TAKES])
def test_taking(f, x):
    check(f, x)


REFUSED_TAKES = [
    ("out of range", lambda x: np.take(x, 12)),
    ("out of range, negative", lambda x: np.take(x, [-4], axis=0)),
    ("axis", lambda x: np.take(x, [0], axis=2)),
    ("fractions", lambda x: np.take(x, np.array([0.5]))),
    ("nothing, but of floats", lambda x: np.take(x, np.array([]))),
    ("no mode", lambda x: np.take(x, [0], mode="around")),
    ("from nothing", lambda x: np.take(x[:0], [0], axis=0, mode="wrap")),
    ("from nothing, clipped", lambda x: np.take(x[:0], [0], axis=0, mode="clip")),
    ("along, fractions", lambda x: np.take_along_axis(x, np.zeros((3, 1)), 1)),
    ("along, booleans", lambda x: np.take_along_axis(x, MASK, 1)),
    ("along, axes", lambda x: np.take_along_axis(x, np.array([1]), 1)),
    ("along, flat but square", lambda x: np.take_along_axis(x, np.array([[1]]), None)),
    ("along, shapes", lambda x: np.take_along_axis(x, np.array([[0], [1]]), 1)),
    ("along, range", lambda x: np.take_along_axis(x, np.array([[4]] * 3), 1)),
    ("along, axis", lambda x: np.take_along_axis(x, np.array([[4]] * 3), 2)),
    ("compress too far", lambda x: np.compress([0, 0, 0, 1], x, axis=0)),
    ("compress by a square", lambda x: np.compress(MASK, x)),
    ("compress, axis", lambda x: np.compress([1], x, axis=2)),
    ("extract too far", lambda x: np.extract([0] * 12 + [1], x)),
]


@for_each("f", [pytest.param(f, id=name) for name, f in REFUSED_TAKES])
def test_refused_takes(f):
    is_refused_like_numpy(f, M)


def test_gradients_of_what_is_taken_more_than_once():
    np.testing.assert_array_equal(gradient(lambda x: np.take(x, [0, 0, -3], axis=0), M)[:, 0], [3, 0, 0])
    np.testing.assert_array_equal(
        gradient(lambda x: np.take(x, [5, -1, 3], mode="wrap"), [0.0, 0, 0]), [1, 0, 2]
    )
    np.testing.assert_array_equal(
        gradient(lambda x: np.take(x, [5, -1, 3], mode="clip"), [0.0, 0, 0]), [1, 0, 2]
    )


# -- choosing ------------------------------------------------------------------------------------

WHICH = np.array([[0, 2, 1, 0], [1, 1, 2, 2], [2, 0, 0, 1]])
CHOICES = [
    ("choose", lambda x, y: np.choose(WHICH, [x, y, 5.0]), M, V),
    ("choose of rows", lambda x: np.choose([2, 0, 1, 0], x), M),
    ("choose, broadcast", lambda x: np.choose(np.array([[1], [0]]), [x, x * 2]), V),
    ("choose one", lambda x: np.choose([0, 0, 0, 0], [x]), V),
    ("choose with a number", lambda x: np.choose(1, [x, x * 2]), V),
    ("choose round", lambda x, y: np.choose(WHICH * 5 - 4, (x, y), mode="wrap"), M, V),
    ("choose to the ends", lambda x, y: np.choose(WHICH * 5 - 4, [x, y], mode="clip"), M, V),
    ("choose, out None", lambda x, y: np.choose(WHICH % 2, [x, y], None, "raise"), M, V),
    ("choose by a Tensor", lambda x, y: np.choose(tensor(WHICH % 2), [x, y]), M, V),
    ("choose from lists", lambda x: np.choose([1, 0], [[1.0, 2.0], [x, 3.0], x]), S),
    ("choose from many", lambda x: np.choose([1, 59], [x] * 60), S),
    ("choose, complex", lambda z: np.choose([[0], [1]], [z, 1.0]), Z),
    ("select", lambda x, y: np.select([x > 0.5, x > -0.5], [x**2, y]), M, V),
    ("select, default", lambda x, y: np.select([x > 0.5, x < -0.5], [x, -x], y), M, V),
    ("select, by name", lambda x: np.select(condlist=[x > 0], choicelist=[x], default=-1.0), M),
    ("select numbers", lambda x: np.select([x > 0, True], [1.0, x]), M),
    ("select one number", lambda x: np.select([np.True_], [x]), S),
    ("select, broadcast", lambda x: np.select([MASK], [x], default=x * 2), V),
    ("select, plain conditions", lambda x: np.select([MASK, ~MASK], [x, [1.0, 2.0, 3.0, 4.0]]), M),
    ("select, complex", lambda z: np.select([Z.real > 0], [z], 1j), Z),
    ("piecewise", lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda t: t**2, np.sin]), M),
    (
        "piecewise, otherwise",
        lambda x: np.piecewise(x, [x < -0.5, x > 0.5], [np.exp, 2.0, lambda t: t**3]),
        M,
    ),
    ("piecewise, one condition", lambda x: np.piecewise(x, x > 0, [np.sin, np.cos]), V),
    ("piecewise of a row by a list", lambda x: np.piecewise(x, [True, False, True, False], [np.sin]), V),
    ("piecewise of a number", lambda x: np.piecewise(x, [x < 0, x >= 0], [np.sin, np.cos]), S),
    ("piecewise, a number's condition", lambda x: np.piecewise(x, [True], [np.cos]), S),
    (
        "piecewise, arguments",
        lambda x, s: np.piecewise(x, [x > 0], [lambda t, a, b=1.0: a * t + b], s, b=s),
        M,
        S,
    ),
    ("piecewise, overlapping", lambda x: np.piecewise(x, [x > -1, x > 0], [np.exp, np.sin]), M),
    ("piecewise, a tracked value", lambda x, s: np.piecewise(x, [x > 0], [s, np.sin]), M, S),
    ("piecewise, nowhere", lambda x: np.piecewise(x, [x > 99], [np.log, np.sin]), M),
    ("piecewise, plain conditions", lambda x: np.piecewise(x, [MASK], [np.exp]), M),
    ("piecewise of an array", lambda s: np.piecewise(M, [s < M], [lambda t: t * s]), S - 0.65),
    ("piecewise, complex", lambda z: np.piecewise(z, [Z.real > 0], [np.square]), Z),
]


@for_each("f, values", [pytest.param(f, xs, id=name) for name, f, *xs in CHOICES])
def test_choosing(f, values):
    check(f, *values)


REFUSED_CHOICES = [
    ("choose, out of range", lambda x: np.choose([0, 3], [x[0, 0], x[0, 1]])),
    ("choose, negative", lambda x: np.choose([0, -1], [x[0, 0], x[0, 1]])),
    ("choose, fractions", lambda x: np.choose([0.5], [x])),
    ("choose, shapes", lambda x: np.choose([0, 0], [x, x])),
    ("choose, no mode", lambda x: np.choose([0], [x], mode="around")),
    ("select, lengths", lambda x: np.select([x > 0], [x, x])),
    ("select, nothing", lambda x: np.select([], [x])),
    ("select, no condition", lambda x: np.select([x], [x])),
    ("select, shapes", lambda x: np.select([x > 0], [x.T])),
    ("piecewise, too many functions", lambda x: np.piecewise(x, [x > 0], [1, 2, 3])),
    ("piecewise, too few functions", lambda x: np.piecewise(x, [x > 0, x < 0, x == 0], [1])),
]


@for_each("f", [pytest.param(f, id=name) for name, f in REFUSED_CHOICES])
def test_refused_choices(f):
    is_refused_like_numpy(f, M)


def test_more_choices_than_numpy_takes():
    x = leaf(3.0)
    y = np.select([np.array([i == 70, True]) for i in range(80)], [x * i for i in range(80)])
    np.testing.assert_array_equal(y.data, [210.0, 0.0])
    y.sum().backward()
    assert x.grad.item() == 70.0


def test_what_is_not_chosen_may_be_anything():
    bad = leaf([np.nan, np.inf, 1.0])
    np.select([np.isfinite(bad)], [bad], 7.0).sum().backward()
    np.testing.assert_array_equal(bad.grad.data, [0, 0, 1])
    bad.zero_grad()
    np.choose([1, 1, 0], [bad, 7.0]).sum().backward()
    np.testing.assert_array_equal(bad.grad.data, [0, 0, 1])
    x = leaf([-1.0, 4.0])
    y = np.piecewise(x, [x > 0], [np.sqrt, 0.0])  # the root of -1 is never asked for
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0.25])


def test_what_numpy_does_not_look_at_is_not_lost_silently():
    for f in (
        lambda: np.select([MASK], [M], leaf(2.0)),  # only the conditions and the choices are looked at
        lambda: np.choose([0, 1], [[1.0, leaf(2.0)], [3.0, 4.0]]),
        lambda: np.full_like(M, leaf(2.0)),
        lambda: np.piecewise(M, [MASK], [leaf(2.0)]),
        lambda: np.pad(M, 1, constant_values=leaf(2.0)),
    ):
        with pytest.raises(GradientError):
            f()


def test_choices_keep_single_precision():
    x = leaf(V, np.float32)
    for y in (np.select([x > 0], [x], 0.5), np.select([x > 0], [1], x), np.piecewise(x, [x > 0], [1.5])):
        assert y.dtype == np.float32
    y = np.choose([0, 1, 0, 1], [x, np.float32(2)])
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


# -- questions about places ----------------------------------------------------------------------


def test_places_are_plain_or_untracked():
    t = leaf(M)
    for f in (np.nonzero, np.flatnonzero, np.argwhere):
        found, expected = f(t), f(M)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(a), b)
    np.testing.assert_array_equal(t[np.nonzero(t > 0)].data, M[M > 0])
    corner = np.unravel_index(tensor([5, 2]), (3, 4))
    np.testing.assert_array_equal(np.asarray(corner), np.unravel_index([5, 2], (3, 4)))
    places = np.ravel_multi_index((tensor([1, 2]), tensor([0, 3])), (3, 4))
    np.testing.assert_array_equal(np.asarray(places), [4, 11])
    square = leaf(M[:, :3])
    for f in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from):
        rows, _ = f(square)
        assert isinstance(rows, np.ndarray)
        np.testing.assert_array_equal(rows, f(M[:, :3])[0])
        check(lambda x, f=f: x[f(x)] ** 2, M[:, :3])
    np.testing.assert_array_equal(np.tril_indices_from(arr=square, k=1)[1], np.tril_indices(3, 1)[1])


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint64])
def test_indices_of_any_integers_find_their_way_back(dtype):
    index = np.array([[0, 2, 2, 2], [1, 1, 0, 1]], dtype)
    for axis, x, chosen in ((0, M, index), (1, M.T, index.T), (-1, M.T, index.T)):
        expected = np.zeros_like(x)
        other = np.arange(4) if axis == 0 else np.arange(4)[:, None]
        np.add.at(expected, (chosen, other) if axis == 0 else (other, chosen), 1)
        found = gradient(lambda a, i=chosen, axis=axis: np.take_along_axis(a, i, axis).sum(), x)
        np.testing.assert_array_equal(found, expected)
    many = np.resize(index.ravel(), 3000)
    expected = np.bincount(many.astype(int), minlength=3)[:, None] * np.ones(4)
    np.testing.assert_array_equal(gradient(lambda a: a[many].sum(), M), expected)
    np.testing.assert_array_equal(gradient(lambda a: a[:, many].sum(), M.T), expected.T)


def test_negative_indices_count_from_the_end_on_the_way_back_too():
    index = np.array([[-1, -3, 0, 2]])
    x = leaf(M)
    np.take_along_axis(x, np.concatenate([index, index]), 0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 2, 2, 0], [0, 0, 0, 0], [2, 0, 0, 2]])
    for shape, axis in (((0, 3), 1), ((3, 0), 0), ((2, 3), 1)):
        empty = np.zeros([0 if i == axis or n == 0 else n for i, n in enumerate(shape)], int)
        y = leaf(np.ones(shape))
        np.take_along_axis(y, empty, axis).sum().backward()
        np.testing.assert_array_equal(y.grad.data, np.zeros(shape))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_in_fortrans_order_is_added_where_it_belongs(compiled):
    indices, rng = np.arange(30) % 7, np.random.default_rng(0)
    x, w = rng.normal(size=(20, 11, 30)), rng.normal(size=(30, 11, 20))
    expected = np.zeros(x.shape)
    np.add.at(expected, (slice(None), slice(None), indices), w.T)
    gradient = tg.grad(lambda x, w: (x[:, :, indices] * w.T).sum())
    np.testing.assert_allclose((tg.compile(gradient) if compiled else gradient)(x, w), expected)
    t = tg.tensor(x, requires_grad=True)
    t[:, :, indices].backward(w.T)
    np.testing.assert_allclose(t.grad.data, expected)
