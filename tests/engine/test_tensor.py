"""The Tensor: what it holds, how it meets NumPy and Python, and what it refuses."""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import pickle
import warnings

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist import Tensor, tensor
from tinygrad_mnist.errors import DTypeError, GradientError, ShapeError, UnsupportedError
from tinygrad_mnist.nn import Parameter
from tinygrad_mnist.primitive import REGISTRY

A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]])
FLOATS = [np.float16, np.float32, np.float64]


# -- making one ----------------------------------------------------------------------------------


def test_a_constant_shares_the_array_and_a_leaf_owns_its_memory():
    array = A.copy()
    assert np.shares_memory(Tensor(array).data, array)
    owner = Tensor(array, requires_grad=True)
    array[:] = 0
    np.testing.assert_array_equal(owner.data, A)
    assert not np.shares_memory(tensor(array).data, array)


def test_requires_grad_set_later_copies_too():
    array = A.copy()
    t = Tensor(array)
    t.requires_grad = True
    array[:] = 0
    np.testing.assert_array_equal(t.data, A)
    assert t.is_leaf


@pytest.mark.parametrize("data", [[1, 2], [True, False], np.uint8([1])])
def test_integers_cannot_require_a_gradient(data):
    with pytest.raises(DTypeError, match=r"cannot require a gradient.*float"):
        Tensor(data, requires_grad=True)
    with pytest.raises(TypeError):
        tensor(data, requires_grad=True)
    t = Tensor(data)
    with pytest.raises(DTypeError):
        t.requires_grad = True
    assert not t.requires_grad


@pytest.mark.parametrize("data", ["a", None, [None, 1.0], {}, np.array(["x"]), np.datetime64("2020-01-01")])
def test_a_tensor_holds_numbers(data):
    with pytest.raises(DTypeError, match="holds numbers"):
        Tensor(data)


def test_a_tracked_tensor_inside_a_new_one_is_an_error():
    with pytest.raises(GradientError):
        Tensor(leaf(A))
    with pytest.raises(GradientError):
        tensor([leaf(1.0), leaf(2.0)])
    np.testing.assert_array_equal(tensor(tensor(A)).data, A)


def test_attributes():
    t = leaf(A, np.float32)
    assert (t.shape, t.ndim, t.size, t.nbytes, t.dtype) == ((2, 3), 2, 6, 24, np.float32)
    assert t.tolist() == A.tolist()
    assert t.sum().item() == pytest.approx(A.sum())
    assert isinstance(t.sum().item(), float)
    np.testing.assert_array_equal(t.T.data, A.T)
    np.testing.assert_array_equal(t.mT.data, A.T)


def test_data_is_a_read_only_view():
    t = leaf(A)
    assert np.shares_memory(t.data, t.data)
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 1
    with pytest.raises(GradientError, match=r"t\.data is for reading"):
        t.data = A


def test_requires_grad_can_be_dropped_from_a_leaf_only():
    t = leaf(A)
    y = t * 2
    with pytest.raises(GradientError, match="detach"):
        y.requires_grad = False
    t.requires_grad = False
    assert not (t * 2).requires_grad


def test_detach_shares_values_and_forgets_the_graph():
    y = leaf(A) * 2
    d = y.detach()
    assert np.shares_memory(d.data, y.data)
    assert not d.requires_grad
    assert d.is_leaf
    assert not y.is_leaf
    d[0] = 0  # rebinds d alone
    np.testing.assert_array_equal(y.data, A * 2)


def test_only_a_leaf_has_a_name():
    t = leaf(A)
    t.name = "weight"
    assert t.name == "weight"
    assert (t * 2).name == ""
    with pytest.raises(GradientError):
        (t * 2).name = "x"
    with pytest.raises(GradientError):
        tensor(A).name = "x"


# -- operators -----------------------------------------------------------------------------------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@for_each("op", BINARY)
@for_each("other", [2, 2.5, np.float64(2.5), np.int64(2), np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], True])
def test_binary_operators_are_numpys_from_both_sides(op, other):
    x = np.abs(A)
    for t in (tensor(x), leaf(x)):
        result, mirrored = op(t, other), op(other, t)
        assert isinstance(result, Tensor)
        assert isinstance(mirrored, Tensor)
        np.testing.assert_allclose(result.data, op(x, other), rtol=1e-15)
        np.testing.assert_allclose(mirrored.data, op(np.asarray(other), x), rtol=1e-15)


def test_matmul_from_both_sides():
    b = np.arange(12.0).reshape(3, 4)
    for left, right in [
        (leaf(A), leaf(b)),
        (A, leaf(b)),
        (leaf(A), b),
        (A.tolist(), leaf(b)),
        (leaf(A), b.tolist()),
    ]:
        result = left @ right
        assert isinstance(result, Tensor)
        assert result.requires_grad
        np.testing.assert_array_equal(result.data, A @ b)


@pytest.mark.parametrize("op", [operator.neg, operator.pos, operator.abs])
def test_unary_operators(op):
    np.testing.assert_array_equal(op(leaf(A)).data, op(A))


def test_bit_operators_on_masks():
    a, b = np.array([True, False, True]), np.array([True, True, False])
    t = tensor(a)
    for op in (operator.and_, operator.or_, operator.xor):
        np.testing.assert_array_equal(op(t, b).data, op(a, b))
        np.testing.assert_array_equal(op(b, t).data, op(b, a))
    np.testing.assert_array_equal((~t).data, ~a)


@pytest.mark.parametrize("op", BINARY[7:])
def test_comparisons_are_untracked(op):
    result = op(leaf(A), 1.0)
    assert result.dtype == bool
    assert not result.requires_grad


def test_comparison_with_none_is_by_identity():
    t = leaf(A)
    assert (t == None) is False  # noqa: E711
    assert (t != None) is True  # noqa: E711


def test_an_operand_that_is_no_number():
    for wrong in (None, "a", object()):
        with pytest.raises(TypeError):
            leaf(A) + wrong


@for_each("dtype", FLOATS)
@for_each(
    "f",
    [
        lambda t: t + 1.0,
        lambda t: 1 / (2.5 + t * t),
        lambda t: (t * t + 1) ** 0.5,
        lambda t: 2.0**t,
        lambda t: t.mean(),
        lambda t: t.var(axis=0),
        lambda t: t.std(),
        lambda t: t.max(axis=1),
        lambda t: t.prod(),
        lambda t: t.clip(-1.0, 1.0),
        lambda t: np.where(t > 0, t, 0.1),
        lambda t: np.maximum(t, 0.5),
        lambda t: np.minimum(0, t),
        lambda t: np.clip(t, 0, None),
        lambda t: tg.nn.functional.gelu(t),
        lambda t: tg.nn.functional.softmax(t),
        lambda t: np.logaddexp(t, 0.0),
        lambda t: np.log10(t * t + 1),
        lambda t: np.exp2(t),
        lambda t: t[0] * t[1, 0],
        lambda t: np.hypot(t, 1.0),
        lambda t: np.pad(t, 1, constant_values=2.0),
        lambda t: np.einsum("ij,kj->ik", t, t),
        lambda t: np.arctan2(t, 2.0),
        lambda t: np.cumsum(t),
        lambda t: t.T @ t,
        lambda t: np.float16(3) * t,
    ],
)
def test_python_scalars_are_weak_and_gradients_keep_the_dtype(f, dtype):
    t = leaf(A, dtype)
    y = f(t)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape))
    assert t.grad.dtype == dtype
    assert t.grad.shape == t.shape


def test_a_numpy_float64_widens_as_in_numpy_but_not_the_gradient():
    t = leaf(A, np.float32)
    for y in (np.float64(2.0) * t, t * np.float64(2.0), t + A):
        assert y.dtype == np.float64
        t.zero_grad()
        y.sum().backward()
        assert t.grad.dtype == np.float32


def test_integers_and_booleans_compute_untracked():
    t = tensor([1, 2, 3])
    assert (t + 1).dtype == np.int64
    assert (t / 2).dtype == np.float64
    assert t.mean().item() == 2.0
    assert not (t * 2.0).requires_grad
    assert (t * leaf([1.0, 1.0, 1.0])).requires_grad


def test_astype_of_integers_is_where_the_gradient_ends():
    t = leaf(A)
    assert not t.astype(int).requires_grad
    half = t.astype(np.float16)
    assert half.dtype == np.float16
    half.sum().backward()
    assert t.grad.dtype == np.float64
    assert t.astype(np.float64, copy=False) is t
    with pytest.raises(DTypeError):
        t.astype(str)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_astype_to_the_same_dtype_is_another_tensor(requires_grad):
    t = tensor([1.0, 2.0], requires_grad=requires_grad)
    with tg.no_grad():
        t.astype(np.float64)[0] = 5.0
    assert t.tolist() == [1.0, 2.0]


# -- meeting NumPy -------------------------------------------------------------------------------


@for_each(
    "f",
    [
        np.asarray,
        np.array,
        np.ascontiguousarray,
        lambda t: np.array([t, t]),
        lambda t: t.numpy(),
        lambda t: np.array([1.0, t[0, 0]]),
        lambda t: np.mean([t, t]),
        lambda t: memoryview(t.numpy()),
        lambda t: np.zeros((2, 3)).__setitem__(slice(None), t),
    ],
)
def test_a_gradient_is_never_lost_silently(f):
    with pytest.raises(GradientError, match=r"detach\(\)"):
        f(leaf(A))
    with pytest.raises(GradientError):
        f(leaf(A) * 2)


@for_each(
    "view",
    [
        lambda t: t,
        lambda t: t.reshape(-1),
        lambda t: t.reshape(-1).reshape(3, 2)[1:],
        lambda t: t.T,
        lambda t: t[0],
        lambda t: next(iter(t)),
        lambda t: np.split(t, 2)[0],
        lambda t: np.broadcast_to(t, (2, 2, 3)),
        lambda t: np.real(t),
    ],
)
def test_a_detached_part_of_a_leaf_owns_its_memory(view):
    t = Parameter(A)
    part = view(t).detach()
    before = part.data.copy()
    with tg.no_grad():
        t += 1
    np.testing.assert_array_equal(part.data, before)
    computed = leaf(A) * 2
    assert np.shares_memory(view(computed).detach().data, computed.data)  # nothing overwrites it: no copy


def test_what_is_untracked_becomes_an_array():
    t = tensor(A)
    np.testing.assert_array_equal(np.asarray(t), A)
    np.testing.assert_array_equal(np.array([t, t]), [A, A])
    assert np.asarray(t, np.float32).dtype == np.float32
    with tg.no_grad():
        np.testing.assert_array_equal(np.asarray(leaf(A)), A)
    copied = t.numpy()
    copied[:] = 0  # writable, and ours
    np.testing.assert_array_equal(t.data, A)


@pytest.mark.filterwarnings("ignore::tinygrad_mnist.errors.LostGradientWarning")
def test_numbers_may_be_read_off_a_tracked_scalar():
    t = leaf(2.0) * 3
    assert float(t) == 6.0
    assert int(t) == 6
    assert complex(t) == 6
    assert math.sqrt(t) == math.sqrt(6)
    assert t.item() == 6.0
    with pytest.raises(TypeError):
        float(leaf(A))
    with pytest.raises(ValueError, match="size 1"):
        leaf(A).item()


def test_index_of_an_integer_tensor():
    assert [10, 20, 30][tensor(1)] == 20
    assert list(range(tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError):
        [10, 20, 30][tensor(1.0)]


@pytest.mark.parametrize(
    "f",
    [
        lambda a, t: operator.iadd(a, t),
        lambda a, t: operator.imul(a, t),
        lambda a, t: np.add(a, t, out=a),
        lambda a, t: np.exp(t, out=a),
        lambda a, t: np.add.reduce(t, out=a[0]),
        lambda a, t: np.add(a, t, a),
    ],
)
def test_writing_a_tracked_result_into_an_array_is_refused(f):
    array = A.copy()
    with pytest.raises(GradientError, match=r"array = array \+ t"):
        f(array, leaf(A))
    np.testing.assert_array_equal(array, A)


def test_out_may_be_a_tensor_as_in_t_plus_equals():
    x, t, total, again = leaf(A), tensor(np.zeros((2, 3))), tensor(np.zeros(3)), tensor(np.zeros(3))
    assert np.multiply(x, 2, out=t) is t
    assert np.sum(x, axis=0, out=total) is total
    assert x.sum(axis=0, out=again) is again
    (np.sum(t) + np.sum(total) + np.sum(again)).backward()
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 4.0))
    with pytest.raises(ShapeError, match="in-place"):
        np.multiply(x, 2, out=tensor(np.zeros(2)))
    for function in (np.sum, np.exp):
        with pytest.raises((UnsupportedError, GradientError), match="out="):
            function(leaf(A), out=np.zeros((2, 3)))
    with pytest.raises(UnsupportedError, match="out="):
        np.concatenate([leaf(A), leaf(A)], out=np.zeros((4, 3)))


def test_constants_may_be_written_into_arrays():
    array = A.copy()
    array += tensor(A)
    np.testing.assert_array_equal(array, 2 * A)
    with tg.no_grad():
        array += leaf(A)
    np.testing.assert_array_equal(array, 3 * A)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.linalg.norm, "np.linalg.norm"),
        (np.median, "np.median"),
        (np.exp, "np.exp"),
        (np.vstack, "np.vstack"),
    ],
)
def test_a_function_without_a_rule_is_named_and_works_on_constants(function, name, monkeypatch):
    monkeypatch.delitem(REGISTRY, function)
    with pytest.raises(
        UnsupportedError, match=rf"(?s)^{name} has no gradient rule.*detach.*@tg.primitive\({name}\)"
    ):
        function(leaf(A))
    result = function(tensor(A))
    assert isinstance(result, tg.Tensor)
    np.testing.assert_array_equal(result.data, function(A))
    with tg.no_grad():
        assert not function(leaf(A)).requires_grad
    with pytest.raises(UnsupportedError, match=name):
        function([leaf(A), leaf(A)] if function is np.vstack else leaf(A))


def test_ufunc_reduce_is_the_function():
    t = leaf(A)
    np.testing.assert_array_equal(np.add.reduce(t).data, A.sum(0))
    np.testing.assert_array_equal(np.add.reduce(t, axis=None).data, A.sum())
    np.testing.assert_array_equal(np.maximum.reduce(t, axis=1).data, A.max(1))
    np.testing.assert_array_equal(np.minimum.reduce(t, 1).data, A.min(1))
    np.testing.assert_array_equal(
        np.multiply.reduce(t, axis=(0, 1), keepdims=True).data, A.prod(keepdims=True)
    )
    assert np.add.reduce(t).requires_grad


def test_shapes_that_do_not_fit_name_operation_and_shapes():
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\)"):
        leaf(A) @ leaf(A)
    with pytest.raises(ShapeError, match=r"add: shapes \(2, 3\) and \(2,\)"):
        leaf(A) + np.ones(2)
    with pytest.raises(ValueError, match="concatenate"):
        np.concatenate([leaf(A), np.ones((2, 2))])
    with pytest.raises(ShapeError, match="reshape"):
        leaf(A).reshape(4, 4)


def test_shape_ndim_and_size_are_plain_integers():
    t = leaf(A)
    assert np.shape(t) == (2, 3)
    assert all(type(n) is int for n in np.shape(t))
    assert type(np.ndim(t)) is int
    assert type(np.size(t)) is int


@for_each(
    "f",
    [
        np.zeros_like,
        np.ones_like,
        np.argmax,
        np.sign,
        np.floor,
        np.isnan,
        np.round,
        lambda t: np.full_like(t, 2.0),
    ],
)
def test_locally_constant_functions_are_untracked(f):
    result = f(leaf(A))
    assert not result.requires_grad
    np.testing.assert_array_equal(result.data, f(A))


def test_methods_are_numpys():
    t, cube = leaf(A), np.arange(24.0).reshape(2, 3, 4)
    for name, args, kwargs in [
        ("sum", (), {}),
        ("sum", (0,), {"keepdims": True}),
        ("mean", (1,), {}),
        ("prod", (), {"axis": 0}),
        ("max", (), {}),
        ("min", (-1,), {}),
        ("var", (), {"ddof": 1}),
        ("std", (0,), {}),
        ("cumsum", (), {}),
        ("cumsum", (1,), {}),
        ("argmax", (), {}),
        ("argmin", (1,), {"keepdims": True}),
        ("all", (), {}),
        ("any", (0,), {}),
        ("round", (1,), {}),
        ("clip", (-1.0, 1.0), {}),
        ("clip", (), {"min": 0.0}),
        ("clip", (), {"max": 0.0}),
        ("reshape", (3, 2), {}),
        ("reshape", ((3, 2),), {}),
        ("reshape", (-1,), {"order": "F"}),
        ("ravel", (), {}),
        ("flatten", (), {}),
        ("transpose", (), {}),
        ("transpose", (1, 0), {}),
        ("transpose", ((-1, 0),), {}),
        ("transpose", (None,), {}),
        ("swapaxes", (0, 1), {}),
        ("squeeze", (), {}),
        ("repeat", (2,), {}),
        ("repeat", ([1, 2],), {"axis": 0}),
        ("take", ([0, 0, 2],), {"axis": 1}),
        ("take", (4,), {}),
        ("dot", (A.T,), {}),
        ("copy", (), {}),
        ("astype", (np.float32,), {}),
    ]:
        expected = getattr(A, name)(*args, **kwargs)
        result = getattr(t, name)(*args, **kwargs)
        np.testing.assert_allclose(result.data, expected, rtol=1e-15, err_msg=name)
        assert result.shape == np.shape(expected), name
    np.testing.assert_array_equal(leaf(cube).transpose(2, 0, 1).data, cube.transpose(2, 0, 1))
    np.testing.assert_array_equal(leaf(cube).mT.data, cube.mT)


def test_arrays_of_objects_lose_no_gradient_silently():
    objects = np.array([1, 2], dtype=object)
    for t in (tg.tensor([3.0, 4.0], requires_grad=True), tg.tensor([3.0, 4.0])):
        for wrong in (lambda t=t: t * objects, lambda t=t: objects + t, lambda t=t: np.outer(t, objects)):
            with pytest.raises(DTypeError, match=r"object.*astype\(float\)"):
                wrong()
        np.testing.assert_array_equal((t * objects.astype(float)).data, [3.0, 8.0])


# -- a Python object among others ----------------------------------------------------------------


def test_len_iteration_and_membership():
    t = leaf(A)
    assert len(t) == 2
    rows = list(t)
    assert [r.shape for r in rows] == [(3,), (3,)]
    (rows[0] * 2 + rows[1]).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [[2, 2, 2], [1, 1, 1]])
    many = leaf(np.arange(13.0))
    for i, number in enumerate(many):
        assert number.item() == i
        (number * number).backward(retain_graph=True)
    np.testing.assert_array_equal(many.grad.data, 2 * np.arange(13))
    assert 4.0 in t
    assert 7.0 not in t
    with pytest.raises(TypeError):
        iter(leaf(1.0))
    with pytest.raises(TypeError):
        len(leaf(1.0))


def test_truth_is_numpys():
    assert leaf(1.0)
    assert not leaf(0.0)
    assert tensor([[3.0]])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(leaf(A))


def test_hash_is_by_identity():
    a, b = leaf(A), leaf(A)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


@for_each("copier", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
@for_each("cls", [leaf, tensor, Parameter])
def test_copies_are_leaves_of_their_own(copier, cls):
    t = cls(A)
    if t.requires_grad:
        t.name = "weight"
        (t * 2).sum().backward()
    twin = copier(t)
    assert type(twin) is type(t)
    assert (twin.dtype, twin.requires_grad, twin.name) == (t.dtype, t.requires_grad, t.name)
    np.testing.assert_array_equal(twin.data, t.data)
    if t.requires_grad:
        assert not np.shares_memory(twin.data, t.data)
        np.testing.assert_array_equal(twin.grad.data, t.grad.data)
        (twin * 3).sum().backward()
        np.testing.assert_array_equal(twin.grad.data, np.full(A.shape, 5.0))
        np.testing.assert_array_equal(t.grad.data, np.full(A.shape, 2.0))


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_computed_tensor_is_not_copied_with_its_graph(copier):
    with pytest.raises(GradientError, match="detach"):
        copier(leaf(A) * 2)


def test_copy_method_lets_the_gradient_through():
    t = leaf(A)
    t.copy().sum().backward()
    np.testing.assert_array_equal(t.grad.data, np.ones_like(A))
    assert not np.shares_memory(t.copy().data, t.data)


@for_each(
    "t, text",
    [
        (tensor(1.5), "tensor(1.5)"),
        (tensor([1, 2]), "tensor([1, 2])"),
        (tensor([True]), "tensor([ True])"),
        (tensor([1.0], dtype=np.float32), "tensor([1.], dtype=float32)"),
        (tensor(2.0, requires_grad=True), "tensor(2., requires_grad=True)"),
        (tensor(2.0, requires_grad=True) * 3, "tensor(6., op=multiply)"),
        (tensor([1, 2], dtype=np.uint8), "tensor([1, 2], dtype=uint8)"),
        (tensor([[1.0, 2.0], [3.0, 4.0]]), "tensor([[1., 2.],\n        [3., 4.]])"),
        (Parameter([1.0]), "tensor([1.], dtype=float32, requires_grad=True)"),
        (tensor([]), "tensor([])"),
    ],
)
def test_repr(t, text):
    assert repr(t) == text
    assert str(t) == text


def test_format():
    assert f"{leaf(math.pi):.3f}" == "3.142"
    assert f"{leaf([[math.pi]]) * 1:8.2f}" == "    3.14"
    assert f"{leaf(1.0)}" == "tensor(1., requires_grad=True)"
    with pytest.raises(ValueError, match="size 1"):
        f"{leaf(A):.3f}"


# -- arrays of other kinds -----------------------------------------------------------------------

MASKED = np.ma.array([1.0, 100.0], mask=[False, True])
MASK = np.ma.array([True, False], mask=[False, True])
PLACES = np.ma.array([0, 1], mask=[False, True])


@for_each("requires_grad", [False, True])
@for_each(
    "f",
    [
        *(lambda t, op=op: op(t, MASKED) for op in BINARY),
        *(lambda t, op=op: op(MASKED, t) for op in BINARY),
        lambda t: MASKED.copy().__iadd__(t),
        lambda t: t * np.ma.masked,
        lambda t: np.add(t, [np.ma.masked, 1.0]),
        lambda t: np.add(MASKED, t),
        lambda t: np.maximum(t, MASKED),
        lambda t: np.add.outer(t, MASKED),
        lambda t: np.add(t, 1, where=MASK),
        lambda t: np.where(MASK, t, t),
        lambda t: np.where([True, False], MASKED, t),
        lambda t: np.concatenate([MASKED, t]),
        lambda t: np.stack([t, MASKED]),
        lambda t: np.block([t, MASKED]),
        lambda t: np.average(t, weights=MASKED),
        lambda t: np.sum(t, where=MASK),
        lambda t: np.isclose(t, MASKED),
        lambda t: np.array_equal(t, MASKED),
        lambda t: np.interp(t, MASKED, [1.0, 2.0]),
        lambda t: np.take(t, PLACES),
        lambda t: t[MASK],
        lambda t: t[[PLACES]],
        lambda t: t.__setitem__(slice(None), MASKED),
        lambda t: np.copyto(t, MASKED),
        lambda t: tg.nn.functional.mse_loss(t, MASKED),
        lambda t: t.dot(MASKED),
        lambda t: tensor(MASKED),
        lambda t: tensor([MASKED, MASKED]),
        lambda t: tg.Tensor(MASKED),
        lambda t: Parameter(MASKED),
        lambda t: leaf([1.0, 2.0]).backward(MASKED),
        lambda t: setattr(leaf([1.0, 2.0]), "grad", MASKED),
        lambda t: tg.grad(np.sum)(MASKED),
        lambda t: tg.jvp(np.sin, np.ones(2), MASKED),
        lambda t: tg.nn.functional.softmax(MASKED),
    ],
)
def test_masked_arrays_are_refused(f, requires_grad):
    with pytest.raises((UnsupportedError, GradientError), match=r"filled\(value\)|detach\(\)"):
        f(tensor([1.0, 2.0], requires_grad=requires_grad) * 1)


def calls_of_masked_functions():
    """Each function of ``np.ma`` that takes arrays, called in the simplest way that it allows."""
    for name in np.ma.__all__:
        function = getattr(np.ma, name)
        for arguments in (lambda t: (t,), lambda t: (t, t), lambda t: (t, 1), lambda t: (1, t)):
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(*arguments(np.array([1.0, 2.0])))
                yield pytest.param(function, arguments, id=name)
                break


@for_each("function, arguments", list(calls_of_masked_functions()))
def test_functions_of_masked_arrays_never_see_the_values_of_a_tracked_tensor(function, arguments):
    try:
        result = function(*arguments(leaf([1.0, 2.0])))
    except (UnsupportedError, GradientError, TypeError, AttributeError):
        return
    assert not isinstance(result, (np.floating, np.ndarray)) or result.dtype == bool


def test_functions_of_masked_arrays_are_right_on_constants():
    np.testing.assert_array_equal(np.ma.median(tensor([1.0, 2.0, 9.0])), 2.0)
    np.testing.assert_array_equal(np.ma.masked_where([True, False], tensor([1.0, 2.0])).compressed(), [2.0])
    assert not np.ma.getdata(tensor([1.0])).flags.writeable


def test_matrices_are_refused():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    for f in (lambda t: t * matrix, lambda t: matrix * t, lambda t: tensor(matrix)):
        with pytest.raises(UnsupportedError, match="asarray"):
            f(leaf(np.ones((2, 2))))


# -- in place: by rebinding ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "plain"),
    [
        (operator.iadd, operator.add),
        (operator.isub, operator.sub),
        (operator.imul, operator.mul),
        (operator.itruediv, operator.truediv),
        (operator.ipow, operator.pow),
    ],
)
def test_in_place_operators_compute_and_differentiate(op, plain):
    x = np.abs(A)

    def f(t, use):
        y = t * 1.5
        z = np.exp(-y)
        y = use(y, z + 1)
        return (y * z).sum()

    gradients = []
    for use in (op, plain):
        t = leaf(x)
        f(t, use).backward()
        gradients.append(t.grad.data)
    np.testing.assert_allclose(*gradients, rtol=1e-14)
    assert tg.testing.gradcheck(lambda t: f(t, op), x, order=2)


def test_in_place_matmul():
    m = np.array([[0.0, 1.0], [1.0, 1.0]])
    t = leaf(m)
    y = t * 2
    y @= m
    np.testing.assert_array_equal(y.data, 2 * m @ m)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.data, 2 * np.ones((2, 2)) @ m.T)


def test_in_place_keeps_other_handles_and_arrays_as_they_were():
    array = A.copy()
    t = Tensor(array)
    other = t
    view = t[0]
    alias = t.detach()
    t += 1
    t[0, 0] = 9
    assert other is t
    np.testing.assert_array_equal(array, A)
    np.testing.assert_array_equal(view.data, A[0])
    np.testing.assert_array_equal(alias.data, A)
    assert t.data[0, 0] == 9


def test_in_place_has_to_fit():
    t = leaf(A) * 1
    with pytest.raises(ShapeError):
        t += np.ones((4, 2, 3))
    integers = tensor([1, 2, 3])
    with pytest.raises(DTypeError):
        integers += 0.5
    np.testing.assert_array_equal(t.data, A)
    np.testing.assert_array_equal(integers.data, [1, 2, 3])
    single = leaf(A, np.float32) * 1
    single += A  # float64 into float32, as NumPy allows
    assert single.dtype == np.float32


INDEXES = [
    0,
    -1,
    (1, 2),
    slice(None),
    slice(None, None, -2),
    (slice(None), 1),
    Ellipsis,
    (Ellipsis, None, 0),
    [0, 1],
    (np.array([0, 1, 1]), np.array([2, 0, 1])),
    A > 0,
    (slice(None), np.array([2, 0])),
    tensor([1, 0]),
    tensor(A > 1),
    ((0, 1), (2, 2)),
]


@for_each("index", INDEXES, ids=str)
def test_assignment(index):
    plain_index = index.data if isinstance(index, Tensor) else index
    region = A[plain_index].shape
    value = np.linspace(5.0, 6.0, int(np.prod(region))).reshape(region)
    expected = A.copy()
    expected[plain_index] = value

    def f(t, v):
        y = t * 1
        y[index] = v
        return y * y

    np.testing.assert_array_equal(f(leaf(A), leaf(value)).data, expected**2)
    assert tg.testing.gradcheck(f, A, value, order=2)
    assert tg.testing.gradcheck(f, A, 3.0, order=2)  # one value for the whole region


@pytest.mark.parametrize(
    "rows", [[0, 0, 1], np.array([0, 0, 1]), ((0, 0, 1),)], ids=["list", "array", "tuple"]
)
def test_assignment_through_repeated_indices_keeps_the_last(rows):
    t, v = leaf(np.zeros(3)), leaf([1.0, 2.0, 3.0])
    y = t * 1
    y[rows] = v
    np.testing.assert_array_equal(y.data, [2.0, 3.0, 0.0])
    (y * [1.0, 10.0, 100.0]).sum().backward()
    np.testing.assert_array_equal(v.grad.data, [0.0, 1.0, 10.0])
    np.testing.assert_array_equal(t.grad.data, [0.0, 0.0, 100.0])


def test_augmented_assignment_to_a_part():
    def f(t):
        y = t * 2
        y[0] *= t[1]
        y[:, 1] += y[:, 0]
        y[y > 3] = 1.0
        return y

    y = A * 2
    y[0] *= A[1]
    y[:, 1] += y[:, 0]
    y[y > 3] = 1.0
    np.testing.assert_array_equal(f(leaf(A)).data, y)
    assert tg.testing.gradcheck(f, A, order=2)


def test_a_tracked_value_is_not_lost_in_integers():
    t = tensor([1, 2, 3])
    with pytest.raises(DTypeError):
        t[0] = leaf(2.5)
    np.testing.assert_array_equal(t.data, [1, 2, 3])


def test_assigning_a_tracked_value_makes_a_constant_tracked():
    t, x = tensor(np.zeros(3)), leaf(2.0)
    t[1] = x * 3
    assert t.requires_grad
    t.sum().backward()
    assert x.grad.item() == 3.0


def test_a_leaf_changed_in_place_still_gets_a_gradient():
    t = leaf([1.0, 2.0])
    t[0] = 5.0
    (t * t).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [10.0, 4.0])


def test_wrong_index_is_an_index_error():
    with pytest.raises(IndexError):
        leaf(A)[5]
    with pytest.raises(IndexError):
        leaf(A)[0] = leaf(A)[0, 0, 0]
    with pytest.raises(IndexError):
        leaf(A)[1.5]


@pytest.mark.parametrize(
    "change",
    [
        lambda w: operator.iadd(w, 1),
        lambda w: operator.imul(w, 2),
        lambda w: operator.setitem(w, 0, 7.0),
        lambda w: operator.ipow(w, 2),
        lambda w: operator.imod(w, 2),
        lambda w: operator.ifloordiv(w, 2),
    ],
)
def test_in_place_under_no_grad_writes_into_a_leafs_memory(change):
    for w in (leaf([5.0, 3.0]), Parameter([5.0, 3.0])):
        memory, node = w.data, w.node
        serial = node.serial
        with tg.no_grad():
            change(w)
        assert w.node is node
        assert w.is_leaf
        assert np.shares_memory(w.data, memory)
        assert w.data[0] != 5.0
        assert node.serial > serial


@pytest.mark.parametrize(
    "change",
    [
        lambda w: operator.iadd(w, 1),
        lambda w: operator.setitem(w, 0, 7.0),
        lambda w: operator.imod(w, 2),
        lambda w: operator.ifloordiv(w, 2),
    ],
)
def test_a_parameter_refuses_recorded_changes_in_place(change):
    w = Parameter([5.0, 3.0])
    w.name = "weight"
    with pytest.raises(GradientError, match=r"'weight'.*no_grad"):
        change(w)
    np.testing.assert_array_equal(w.data, [5, 3])


PARTS = {
    "t[0]": lambda t: t[0],
    "t[None]": lambda t: t[None],
    "t[:]": lambda t: t[:],
    "t.T": lambda t: t.T,
    "t.T[0]": lambda t: t.T[0],
    "t[:, 1:][0]": lambda t: t[:, 1:][0],
    "reshape": lambda t: t.reshape(6),
    "np.reshape": lambda t: np.reshape(t, 6),
    "ravel": lambda t: t.ravel(),
    "flat": lambda t: t.flat,
    "swapaxes": lambda t: t.swapaxes(0, 1),
    "moveaxis": lambda t: np.moveaxis(t, 0, 1),
    "expand_dims": lambda t: np.expand_dims(t, 0),
    "squeeze": lambda t: t.squeeze(),
    "flip": lambda t: np.flip(t, 0),
    "atleast_3d": lambda t: np.atleast_3d(t),
    "real": lambda t: t.real,
    "split": lambda t: np.split(t, 2)[1],
    "iteration": lambda t: [*t][1],
    "iteration by halves": lambda t: [*t.reshape(6, 1)][4],
}


@for_each("requires_grad", [False, True])
@for_each("name", PARTS)
def test_writing_into_a_part_of_a_tensor_is_refused(name, requires_grad):
    """NumPy would write into the whole, too; here nothing would happen to it."""
    t = tensor(A, requires_grad=requires_grad) * 1
    part = PARTS[name](t)
    for write in (
        lambda: part.__setitem__(..., 1.0),
        lambda: part.fill(1.0),
        lambda: part.sort(),
        lambda: part.put([0], [1.0]),
        lambda: np.copyto(part, 1.0),
        lambda: np.add(part, 1.0, out=part),
        lambda: np.add.at(part, 0, 1.0),
        lambda: np.negative(part, out=part),
        lambda: np.max(part[None], axis=0, out=part),
    ):
        with pytest.raises(UnsupportedError, match="Index once"):
            write()
    np.testing.assert_array_equal(t.data, A)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_chained_assignment_is_refused(requires_grad):
    t = tensor(A, requires_grad=requires_grad)
    with pytest.raises(UnsupportedError, match=r"t\[0, 1\] = value"):
        t[0][1] = 5.0
    with pytest.raises(UnsupportedError):
        t[0][1] += 5.0
    with pytest.raises(UnsupportedError), tg.no_grad():
        t[0][1] = 5.0


@pytest.mark.parametrize("requires_grad", [False, True])
def test_writing_into_what_is_no_part_of_another_tensor(requires_grad):
    t = tensor(A, requires_grad=requires_grad) * 1
    results = [
        t.copy()[0],
        t[0].copy(),
        t[0] * 2,
        t[[0, 1]],
        t[t > 0],
        np.exp(t).T,
        (t * 2).reshape(6),
        t.flatten(),
    ]
    results += [
        t.astype(float),
        t.detach(),
        tg.nn.functional.softmax(t, axis=0),
        np.concatenate([t, t])[1],
        *(t * 2),
    ]
    for result in results:
        result[0] = 7.0
        assert np.all(result.data[0] == 7.0)
    np.testing.assert_array_equal(t.data, A)
    t[0] += 1
    t[0, 1] *= 2
    t[1:] = 0.0
    np.testing.assert_array_equal(t.data, [[2.0, -2.0, 4.0], [0.0, 0.0, 0.0]])
    t = t[0]
    t[0] = 9.0  # the whole is gone
    assert t.tolist() == [9.0, -2.0, 4.0]


# -- shapes at the edge --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1)])
def test_0d_and_empty(shape):
    t = leaf(np.ones(shape))
    for y in (
        t * 2 + 1,
        np.exp(t),
        t.reshape(-1).sum(),
        t.ravel(),
        t.T,
        np.where(t > 0, t, 0.0),
        np.maximum(t, 0.0),
    ):
        t.zero_grad()
        y.backward(np.ones(y.shape))
        assert t.grad.shape == shape
    assert isinstance(t.data, np.ndarray)


def test_nothing_broadcast_against_nothing():
    x, e = leaf(np.ones((1, 3))), leaf(np.ones((0, 3)))
    (x + e).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.zeros((1, 3)))
    assert e.grad.shape == (0, 3)


def test_shapes_that_do_not_broadcast_say_the_rule():
    t = tg.tensor(np.ones((3, 4)), requires_grad=True)
    with pytest.raises(
        tg.errors.ShapeError,
        match=r"^add: shapes \(3, 4\) and \(3,\) do not fit: counted from the last one, two lengths",
    ):
        t + np.ones(3)
