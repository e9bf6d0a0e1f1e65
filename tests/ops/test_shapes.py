"""Shapes, joining, splitting and grids: NumPy's values, keywords and errors, and gradients at the edges."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
from helpers import for_each, gradient, is_refused_like_numpy, leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mnist as tg
from tinygrad_mnist import tensor
from tinygrad_mnist.primitive import REGISTRY, Composite, Primitive

RNG = np.random.default_rng(0)
V = RNG.normal(size=4)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
Z = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))
S = np.array(0.7)
NUMPY_2_1 = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


def plain(result):
    """What a Tensor holds, in the tuples and lists that hold Tensors."""
    if isinstance(result, (tuple, list)):
        return type(result)(map(plain, result))
    return result.data if isinstance(result, tg.Tensor) else result


def same(ours, numpys) -> None:
    """The same arrays, in the same kind of container."""
    assert type(ours) is type(numpys) or not isinstance(numpys, (tuple, list))
    if isinstance(numpys, (tuple, list)):
        assert len(ours) == len(numpys)
        for a, b in zip(ours, numpys, strict=True):
            same(a, b)
        return
    assert np.shape(ours) == np.shape(numpys)
    assert np.asarray(ours).dtype == np.asarray(numpys).dtype
    np.testing.assert_allclose(ours, numpys, rtol=1e-13, atol=1e-15)


def check(f, *values, order=2) -> None:
    """``f`` computes on Tensors what NumPy computes on arrays, in double and single, and is right to second order."""
    for kinds in ({"f": "d", "c": "D"}, {"f": "f", "c": "F"}):
        arrays = [v.astype(kinds[v.dtype.kind]) for v in values]
        results = f(*map(leaf, arrays))
        same(plain(results), f(*arrays))
        for part in results if isinstance(results, (tuple, list)) else [results]:
            assert isinstance(part, tg.Tensor)
    assert tg.testing.gradcheck(f, *values, order=order)


# -- values and gradients, call by call ----------------------------------------------------------

CALLS = [
    *(
        [
            ("reshape, copy", lambda x: np.reshape(x, (4, 3), copy=True), M),
            ("reshape, no copy", lambda x: np.reshape(x, shape=(4, 3), copy=False), M),
        ]
        if NUMPY_2_1
        else [("reshape, by the old name", lambda x: np.reshape(x, newshape=(4, 3)), M)]
    ),
    ("reshape, order None of a list", lambda x: np.reshape(x, [2, -1], order="F"), M),
    ("reshape by integers", lambda x: np.reshape(x, 12), M),
    ("reshape by NumPy's integers", lambda x: np.reshape(x, np.array([2, 6])), M),
    ("reshape of nothing", lambda x: np.reshape(x, (0, 5)), M[:0]),
    ("reshape a number", lambda x: np.reshape(x, (1, 1)), S),
    ("reshape, small letter", lambda x: np.reshape(x, (4, 3), "f"), M),
    ("ravel K of C", lambda x: np.ravel(x, "K"), CUBE),
    ("ravel K of F", lambda x: np.ravel(x.T, order="K"), CUBE),
    ("ravel K in pieces", lambda x: np.ravel(x[:, ::2, 1:], order="K"), CUBE),
    ("ravel K of axes mixed", lambda x: np.ravel(np.transpose(x, (1, 2, 0))[::-1], order="K"), CUBE),
    ("ravel a number", np.ravel, S),
    ("transpose one axis", np.transpose, V),
    ("transpose a number", np.transpose, S),
    ("transpose, axes None", lambda x: np.transpose(x, None), CUBE),
    ("permute_dims, axes by name", lambda x: np.permute_dims(x, axes=(1, 0, 2)), CUBE),
    ("matrix_transpose", np.matrix_transpose, CUBE),
    ("matrix_transpose of linalg", np.linalg.matrix_transpose, M),
    ("swapaxes, same", lambda x: np.swapaxes(x, 1, -1), M),
    ("moveaxis to and fro", lambda x: np.moveaxis(x, (0, -1), (1, 0)), CUBE),
    *(
        (f"rollaxis {axis} to {start}", lambda x, axis=axis, start=start: np.rollaxis(x, axis, start), CUBE)
        for axis in (0, 1, 2, -1, -3)
        for start in (0, 1, 2, 3, -1, -3)
    ),
    ("expand_dims of a number", lambda x: np.expand_dims(x, 0), S),
    ("expand_dims, negative", lambda x: np.expand_dims(x, (-1, -4)), M),
    ("squeeze to a number", np.squeeze, V[:1]),
    ("squeeze nothing", np.squeeze, M),
    ("squeeze no axes", lambda x: np.squeeze(x, axis=()), M[:1]),
    ("broadcast_to, subok", lambda x: np.broadcast_to(x, shape=(2, 4), subok=False), V),
    ("broadcast_to a length", lambda x: np.broadcast_to(x, 3), S),
    ("broadcast_to () itself", lambda x: np.broadcast_to(x, ()), S),
    ("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y, 2.0, [[1.0], [2.0]]), V, M[:1]),
    ("broadcast_arrays, one", lambda x: np.broadcast_arrays(x, subok=True), V),
    ("atleast_1d", np.atleast_1d, S),
    ("atleast_1d, several", lambda x, y: np.atleast_1d(x, y, [1.0, 2.0], 3.0), S, M),
    ("atleast_2d", np.atleast_2d, V),
    ("atleast_2d, several", np.atleast_2d, V, S),
    ("atleast_3d of 0", np.atleast_3d, S),
    ("atleast_3d of 1", np.atleast_3d, V),
    ("atleast_3d of 2", np.atleast_3d, M),
    ("atleast_3d of 3", np.atleast_3d, CUBE),
    ("atleast_3d of 4", np.atleast_3d, CUBE[None]),
    *((f"rot90 by {k}", lambda x, k=k: np.rot90(x, k), M) for k in range(-5, 5)),
    ("rot90, other axes", lambda x: np.rot90(x, k=3, axes=(-1, 0)), CUBE),
    ("rot90, half a turn", lambda x: np.rot90(x, 2, axes=[2, 1]), CUBE),
    ("flip, all axes by a tuple", lambda x: np.flip(x, (0, 1)), M),
    ("flip, no axes", lambda x: np.flip(x, ()), M),
    ("flipud", np.flipud, V),
    ("fliplr", np.fliplr, CUBE),
    ("roll round and round", lambda x: np.roll(x, 27), M),
    ("roll a number", lambda x: np.roll(x, 1), S),
    ("roll nothing", lambda x: np.roll(x, 1, axis=0), M[:0]),
    ("roll, NumPy's shifts", lambda x: np.roll(x, np.array([1, 2]), axis=(0, 1)), M),
    ("roll by a constant Tensor", lambda x: np.roll(x, tensor(2), axis=1), M),
    ("repeat a number", lambda x: np.repeat(x, 3), S),
    ("repeat, counts for all", lambda x: np.repeat(x, [0, 1, 2, 3], axis=1), M),
    ("repeat flat, counts for all", lambda x: np.repeat(x, np.arange(12)), M),
    ("repeat, a count in a list", lambda x: np.repeat(x, [2], axis=-2), CUBE),
    ("repeat by a constant Tensor", lambda x: np.repeat(x, tensor([2, 0, 1]), axis=0), M),
    ("repeat along nothing", lambda x: np.repeat(x, 2, axis=0), M[:0]),
    ("repeat nothing by nothing", lambda x: np.repeat(x, []), M[:0]),
    ("tile a number", lambda x: np.tile(x, 3), S),
    ("tile not at all", lambda x: np.tile(x, ()), M),
    ("tile by 1", lambda x: np.tile(x, (1, 1, 1)), M),
    ("tile by a constant Tensor", lambda x: np.tile(x, tensor([2, 2])), M),
    ("resize up", lambda x: np.resize(x, (3, 9)), M),
    ("resize down", lambda x: np.resize(x, 5), M),
    ("resize to nothing", lambda x: np.resize(x, (0, 2)), M),
    ("resize to a number", lambda x: np.resize(x, ()), V),
    ("resize a number", lambda x: np.resize(x, (2, 2)), S),
    ("copy", lambda x: np.copy(x, order="F", subok=True), M),
    ("delete one", lambda x: np.delete(x, 1), M),
    ("delete from the end", lambda x: np.delete(x, -1, axis=1), M),
    ("delete several", lambda x: np.delete(x, [0, 2, 0], axis=-1), M),
    ("delete a slice", lambda x: np.delete(x, slice(3, None, -2), 1), M),
    ("delete by a mask", lambda x: np.delete(x, [True, False, True], axis=0), M),
    ("delete by a constant Tensor", lambda x: np.delete(x, tensor([0, 2]), axis=0), M),
    ("delete nothing", lambda x: np.delete(x, [], axis=0), M),
    ("delete all", lambda x: np.delete(x, slice(None), axis=0), M),
    ("insert a number", lambda x: np.insert(x, 1, 5.0, axis=1), M),
    ("insert flat", lambda x, v: np.insert(x, [0, 12, 5, 5], v), M, V),
    ("insert at the end", lambda x, v: np.insert(x, 3, v, axis=0), M, V),
    ("insert from the end", lambda x, v: np.insert(x, -1, v, axis=0), M, V),
    ("insert columns", lambda x, v: np.insert(x, 1, v, axis=1), M, V[:3]),
    ("insert columns by a list", lambda x, v: np.insert(x, [1], v, axis=1), M, CUBE[0, :, :2]),
    ("insert a block", lambda x, v: np.insert(x, 1, v, axis=1), M, CUBE[0, :2, :3]),
    ("insert at the same place", lambda x, v: np.insert(x, [2, 2, 0], v, axis=1), M, CUBE[0, :, :3]),
    ("insert broadcast values", lambda x, v: np.insert(x, [3, 1], v, axis=0), M, V),
    ("insert by a slice", lambda x, v: np.insert(x, slice(0, 3, 2), v, axis=0), M, M[:2]),
    ("insert by a constant Tensor", lambda x, v: np.insert(x, tensor([1, 2]), v, axis=0), M, V),
    ("insert nowhere", lambda x: np.insert(x, [], 1.0, axis=0), M),
    ("insert values of another dtype", lambda x: np.insert(x, 1, np.ones(4, np.float32), axis=0), M),
    ("append flat", np.append, M, V),
    ("append along", lambda x, y: np.append(x, y, axis=0), M, M[:1]),
    ("append numbers", lambda x: np.append(x, [1.0, 2.0]), M),
    ("append to a list", lambda x: np.append([[1.0, 2.0]], x), V),
    ("concatenate, dtype", lambda x, y: np.concatenate([x, y], dtype=np.float64), V, V),
    ("concatenate, unsafe", lambda x: np.concatenate((x, [1]), 0, dtype="D", casting="unsafe"), V),
    ("concatenate with integers", lambda x: np.concatenate([x, np.arange(3)]), V),
    ("concatenate, lists with Tensors", lambda x: np.concatenate([[x[0], x[1]], x, (x[2], 1.0)]), V),
    ("concatenate, axis None with numbers", lambda x: np.concatenate([x, 1.0, [2.0]], axis=None), M),
    ("concatenate one array's rows", lambda x: np.concatenate(x, axis=1), CUBE),
    ("stack by name", lambda x, y: np.stack(arrays=[x, y], axis=-1, casting="safe"), M, M),
    ("stack numbers", lambda x: np.stack([x, 1.0, np.float64(2)]), S),
    ("stack, dtype", lambda x: np.stack([x, x], dtype=np.complex128), V),
    ("vstack", lambda x, y: np.vstack((x, y, [1.0] * 4)), V, M),
    ("vstack numbers", lambda x: np.vstack([x, 1.0]), S),
    ("vstack cubes", lambda x: np.vstack([x, x]), CUBE),
    ("vstack, dtype", lambda x: np.vstack([x, x], dtype=np.float64, casting="same_kind"), V),
    ("hstack", lambda x, y: np.hstack((x, y)), M, M[:, :1]),
    ("hstack rows and numbers", lambda x: np.hstack([x, 1.0, [2.0]]), V),
    ("hstack, dtype", lambda x: np.hstack([x, x], dtype=np.complex128), V),
    ("dstack", lambda x, y: np.dstack((x, y)), M, M),
    ("dstack rows", lambda x: np.dstack([x, x]), V),
    ("dstack cubes", lambda x: np.dstack([x, x[..., :1]]), CUBE),
    ("column_stack", lambda x, y: np.column_stack((x, y, np.arange(3.0))), M, M[:, 0]),
    ("block of rows", lambda x, y: np.block([[x, np.zeros((3, 2))], [y, 1.0, 2.0]]), M, V),
    ("block of one list", lambda x: np.block([x, 1.0, x]), V),
    ("block of nothing but an array", np.block, M),
    ("block, three deep", lambda x: np.block([[[x], [x]], [[x], [x]]]), CUBE),
    ("block of fewer axes than lists", lambda x: np.block([[[x, x]]]), V),
    ("array_split uneven", lambda x: np.array_split(x, 3, axis=1), M),
    ("array_split in more parts than there are", lambda x: np.array_split(x, 5), M),
    ("array_split, a float", lambda x: np.array_split(x, 2.0), M),
    ("split at an array", lambda x: np.split(x, np.array([1, 3]), axis=-1), M),
    ("split at a constant Tensor", lambda x: np.split(x, tensor([1]), axis=-1), M),
    ("split back and forth", lambda x: np.split(x, [3, 1, 2, -1], axis=1), M),
    ("split out of range", lambda x: np.split(x, [-9, 7]), M),
    ("hsplit", lambda x: np.hsplit(x, 2), M),
    ("hsplit a row", lambda x: np.hsplit(x, [1]), V),
    ("vsplit", lambda x: np.vsplit(x, (1, 2)), M),
    ("dsplit", lambda x: np.dsplit(x, 2), CUBE),
    *(
        [("unstack", np.unstack, CUBE), ("unstack last", lambda x: np.unstack(x, axis=-1), M)]
        if hasattr(np, "unstack")
        else []
    ),
    ("complex: tile", lambda z: np.tile(z, (2, 2)), Z),
    ("complex: insert", lambda z, v: np.insert(z, [0, 2], v, axis=1), Z, Z[:, :2]),
    ("complex: block", lambda z: np.block([[z, z.T[:2, :2]], [np.ones((1, 5))]]), Z),
    ("complex: resize", lambda z: np.resize(z, (2, 5)), Z),
]


@for_each("f, values", [pytest.param(f, xs, id=name) for name, f, *xs in CALLS])
def test_calls(f, values):
    check(f, *values)


GRIDS = [
    ("linspace", lambda a, b: np.linspace(a, b), S, S + 2),
    ("linspace, step", lambda a, b: np.linspace(a, b, 5, retstep=True), S, S + 2),
    ("linspace, open", lambda a, b: np.linspace(a, b, 5, endpoint=False, retstep=True), S, S + 2),
    ("linspace to a number", lambda a: np.linspace(a, 3, num=4), S),
    ("linspace from a number", lambda b: np.linspace(-1.0, b, num=4), S),
    ("linspace of rows", lambda a, b: np.linspace(a, b, 3), V, M),
    ("linspace last", lambda a, b: np.linspace(a, b, 3, axis=-1), V, M),
    ("linspace in the middle", lambda a, b: np.linspace(a, b, 3, axis=1), V, M),
    ("linspace of lists", lambda a: np.linspace(a, [1, 2, 3, 4], 3), V),
    ("linspace, one point", lambda a, b: np.linspace(a, b, 1), S, S + 2),
    ("linspace, one point, open", lambda a, b: np.linspace(a, b, 1, endpoint=False), S, S + 2),
    ("linspace, no point", lambda a, b: np.linspace(a, b, 0), V, V),
    ("linspace, no way", lambda a: np.linspace(a, a, 4), S),
    ("linspace, dtype", lambda a, b: np.linspace(a, b, 4, dtype=np.longdouble), S, S + 2),
    ("linspace, complex", lambda a, b: np.linspace(a, b, 4), Z[0], Z[1]),
    ("linspace, device", lambda a: np.linspace(a, 1.0, 3, device="cpu"), S),
    ("geomspace", lambda a, b: np.geomspace(a, b, 5), S, S + 2),
    ("geomspace downwards and negative", lambda a, b: np.geomspace(a, b, 4), -S - 2, -S),
    ("geomspace of rows", lambda a, b: np.geomspace(a, b, 3, axis=-1), np.abs(V), np.abs(M)),
    ("geomspace, open", lambda a: np.geomspace(a, 8, num=3, endpoint=False), S),
    ("geomspace, complex", lambda a, b: np.geomspace(a, b, 4), Z[0], Z[1]),
    ("geomspace, one point", lambda a, b: np.geomspace(a, b, 1), S, S + 2),
    ("logspace", lambda a, b: np.logspace(a, b, 5), S, S + 2),
    ("logspace, base", lambda a, b, base: np.logspace(a, b, 5, base=base), S, S + 2, S + 3),
    ("logspace, bases", lambda a, b, base: np.logspace(a, b, 3, base=base, axis=-1), V, M, np.abs(V) + 1),
    ("logspace, bases first", lambda b, base: np.logspace(0, b, 3, base=base), V, np.abs(M) + 1),
    ("logspace, a tracked base only", lambda base: np.logspace(0, 2, 3, base=base), S + 3),
    ("logspace, dtype", lambda a: np.logspace(a, 2, 3, False, dtype=np.complex128), S),
    ("meshgrid", np.meshgrid, V, M[0]),
    ("meshgrid ij", lambda a, b: np.meshgrid(a, b, [1.0, 2.0], indexing="ij"), V, M[0]),
    ("meshgrid of three, sparse", lambda a, b, c: np.meshgrid(a, b, c, sparse=True), V, M[0], S),
    ("meshgrid of one", lambda a: np.meshgrid(a, copy=False), V),
    ("meshgrid of a number and nothing", lambda a, b: np.meshgrid(a, b), S, V[:0]),
    ("ix_ of floats", np.ix_, V, M[0]),
]


@for_each("f, values", [pytest.param(f, xs, id=name) for name, f, *xs in GRIDS])
def test_grids(f, values):
    check(f, *values)


def test_the_step_of_linspace():
    y, step = np.linspace(leaf(1.0), leaf(3.0), 5, retstep=True)
    assert step.item() == 0.5
    assert y.shape == (5,)
    a, b = gradient(lambda a, b: np.linspace(a, b, 5, retstep=True)[1], 1.0, 3.0)
    assert (a, b) == (-0.25, 0.25)
    assert math.isnan(np.linspace(leaf(1.0), 3.0, 1, retstep=True)[1])  # as NumPy has it


def test_the_ends_of_a_grid_are_exact():
    a, b = gradient(lambda a, b: np.linspace(a, b, 7)[[0, -1]] * [1.0, 10.0], 0.1, 0.7)
    assert (a, b) == (1.0, 10.0)
    y = np.linspace(leaf(0.1), 0.7, 7)
    assert (y.data[0], y.data[-1]) == (0.1, 0.7)
    a, b = gradient(lambda a, b: np.geomspace(a, b, 4)[[0, -1]] * [1.0, 10.0], 0.1, 0.7)
    np.testing.assert_allclose([a, b], [1.0, 10.0], rtol=1e-15)


def test_grids_of_integers_have_no_gradient():
    y = np.linspace(leaf(0.0), 10.0, 4, dtype=int)
    assert not y.requires_grad
    np.testing.assert_array_equal(y.data, np.linspace(0.0, 10.0, 4, dtype=int))


def test_ix_of_masks_and_lists():
    for args in (([0, 2], [1, 3]), ([True, False, True], [1]), ([], [0])):
        same(plain(np.ix_(*map(tensor, args))), np.ix_(*args))
    rows, columns = np.ix_(tensor([0, 2]), [1, 3])
    np.testing.assert_array_equal(leaf(M)[rows, columns].data, M[np.ix_([0, 2], [1, 3])])
    # A row of no floats is an index too, and of integers.
    assert np.ix_(tensor(np.zeros(0)), [0])[0].dtype == np.intp


def test_a_single_number_has_no_triangle():
    for f in (np.tril, np.triu):
        with pytest.raises(ValueError, match="a scalar has no triangle"):
            f(leaf(S))


# -- what NumPy refuses --------------------------------------------------------------------------

REFUSALS = [
    ("reshape", lambda x: np.reshape(x, (5, 5)), M),
    ("reshape to two unknowns", lambda x: np.reshape(x, (-1, -1)), M),
    ("reshape, order K", lambda x: np.reshape(x, -1, order="K"), M),
    ("reshape, no order", lambda x: np.reshape(x, -1, order="X"), M),
    *([("reshape without a copy", lambda x: np.reshape(x.T, -1, copy=False), M)] if NUMPY_2_1 else []),
    ("transpose, twice", lambda x: np.transpose(x, (0, 0)), M),
    ("transpose, too few", lambda x: np.transpose(x, (0, 1)), CUBE),
    ("transpose, out of range", lambda x: np.transpose(x, (0, 5)), M),
    ("matrix_transpose of a row", np.matrix_transpose, V),
    ("swapaxes", lambda x: np.swapaxes(x, 0, 2), M),
    ("moveaxis", lambda x: np.moveaxis(x, (0, 1), 0), M),
    ("rollaxis", lambda x: np.rollaxis(x, 3), M),
    ("rollaxis to nowhere", lambda x: np.rollaxis(x, 0, 4), M),
    ("rollaxis to before the first", lambda x: np.rollaxis(x, 0, -3), M),
    ("expand_dims", lambda x: np.expand_dims(x, 5), M),
    ("expand_dims twice", lambda x: np.expand_dims(x, (0, 0)), M),
    ("squeeze", lambda x: np.squeeze(x, axis=0), M),
    ("broadcast_to", lambda x: np.broadcast_to(x, (3, 3)), M),
    ("broadcast_to less", lambda x: np.broadcast_to(x, (4,)), M),
    ("broadcast_to negative", lambda x: np.broadcast_to(x, (-1,)), S),
    ("broadcast_arrays", np.broadcast_arrays, V, M[:, 0]),
    ("rot90, one axis", lambda x: np.rot90(x, axes=(0,)), M),
    ("rot90, the same twice", lambda x: np.rot90(x, axes=(0, -2)), M),
    ("rot90, out of range", lambda x: np.rot90(x, axes=(0, 2)), M),
    ("flip", lambda x: np.flip(x, 2), M),
    ("fliplr of a row", np.fliplr, V),
    ("flipud of a number", np.flipud, S),
    ("roll, axis", lambda x: np.roll(x, 1, axis=2), M),
    ("roll, shifts", lambda x: np.roll(x, (1, 2, 3), axis=(0, 1)), M),
    ("repeat, negative", lambda x: np.repeat(x, -1), M),
    ("repeat, negative counts", lambda x: np.repeat(x, [1, -1, 1], axis=0), M),
    ("repeat, counts", lambda x: np.repeat(x, [1, 2], axis=0), M),
    ("repeat, axis", lambda x: np.repeat(x, 2, axis=2), M),
    ("tile, negative", lambda x: np.tile(x, -1), M),
    ("resize, negative", lambda x: np.resize(x, (-1, 2)), M),
    ("delete, out of range", lambda x: np.delete(x, 4, axis=1), M),
    ("delete, out of range among several", lambda x: np.delete(x, [0, -5], axis=1), M),
    ("delete, axis", lambda x: np.delete(x, 0, axis=2), M),
    ("delete, a short mask", lambda x: np.delete(x, [True, False], axis=0), M),
    ("delete, a fraction", lambda x: np.delete(x, 1.5), M),
    ("insert, out of range", lambda x: np.insert(x, 5, 1.0, axis=1), M),
    ("insert, values", lambda x, v: np.insert(x, 1, v, axis=1), M, V),
    ("insert, axis", lambda x: np.insert(x, 0, 1.0, axis=2), M),
    ("insert, places in a square", lambda x: np.insert(x, [[1, 2], [0, 1]], 1.0), M),
    ("append", lambda x, v: np.append(x, v, axis=0), M, V),
    ("concatenate", lambda x, y: np.concatenate([x, y]), M, M[:, :2]),
    ("concatenate, axes", lambda x, y: np.concatenate([x, y]), M, V),
    ("concatenate, numbers", lambda x: np.concatenate([x, x]), S),
    ("concatenate, axis", lambda x: np.concatenate([x, x], axis=2), M),
    ("concatenate, casting", lambda x: np.concatenate([x, x], dtype=int), M),
    ("concatenate, no casting", lambda x: np.concatenate([x, [1]], casting="no"), V),
    ("stack", lambda x, y: np.stack([x, y]), M, V),
    ("stack, axis", lambda x: np.stack([x, x], axis=3), M),
    ("vstack", lambda x, y: np.vstack([x, y]), M, V[:2]),
    ("hstack", lambda x, y: np.hstack([x, y]), M, V),
    ("dstack", lambda x, y: np.dstack([x, y]), M, V),
    ("column_stack", lambda x, y: np.column_stack([x, y]), M, V),
    ("block, a tuple", lambda x: np.block((x, x)), M),
    ("block, depths", lambda x: np.block([[x], x]), M),
    ("block, an empty list", lambda x: np.block([[x], []]), M),
    ("block, shapes", lambda x, y: np.block([[x, y], [x]]), M, V),
    ("split, uneven", lambda x: np.split(x, 2), M),
    ("split, axis", lambda x: np.split(x, 1, axis=2), M),
    ("array_split in nothing", lambda x: np.array_split(x, 0), M),
    ("array_split in less", lambda x: np.array_split(x, -1), M),
    ("hsplit of a number", lambda x: np.hsplit(x, 1), S),
    ("vsplit of a row", lambda x: np.vsplit(x, 2), V),
    ("dsplit of a matrix", lambda x: np.dsplit(x, 2), M),
    *([("unstack a number", np.unstack, S)] if hasattr(np, "unstack") else []),
    ("meshgrid, indexing", lambda x: np.meshgrid(x, x, indexing="xyz"), V),
    ("ix_ of a matrix", np.ix_, M),
    ("linspace, fewer than none", lambda x: np.linspace(x, x, -1), S),
    ("linspace, a fraction", lambda x: np.linspace(x, x, 2.5), S),
    ("linspace, axis", lambda x: np.linspace(x, x, 2, axis=3), S),
    ("geomspace from 0", lambda x: np.geomspace(x, x + 1.0), 0 * S),
    ("logspace, shapes", lambda x, y: np.logspace(x, y, base=[2.0, 3.0]), V, V),
]


@for_each("f, values", [pytest.param(f, xs, id=name) for name, f, *xs in REFUSALS])
def test_refusals(f, values):
    is_refused_like_numpy(f, *values)


# -- edges ---------------------------------------------------------------------------------------

EDGES = [
    ("what is repeated 0 times", lambda x: np.repeat(x, [2, 0, 3]), [1.0, 2.0, 3.0], [2, 0, 3]),
    ("what is tiled 0 times", lambda x: np.tile(x, 0), [1.0, 2.0], [0, 0]),
    ("resize begins again", lambda x: np.resize(x, 7) * np.arange(7), [1.0, 2.0, 3.0], [9, 5, 7]),
    ("resize leaves out", lambda x: np.resize(x, 2), [1.0, 2.0, 3.0], [1, 1, 0]),
    ("delete", lambda x: np.delete(x, [1, -1, 1]), [1.0, 2.0, 3.0], [1, 0, 0]),
    ("overlapping pieces", lambda x: np.concatenate(np.split(x, [2, 1])), [1.0, 2.0, 3.0], [1, 2, 1]),
    (
        "pieces that leave out",
        lambda x: np.concatenate(np.split(x, [1, 2, 2])[::2]),
        [1.0, 2.0, 3.0],
        [1, 0, 0],
    ),
    ("an array joined to itself", lambda x: np.concatenate([x, x[::-1]]) * [1, 2, 3, 4], [1.0, 2.0], [5, 5]),
    ("linspace to itself", lambda x: np.linspace(x, x, 4), 2.0, 4),
    ("meshgrid", lambda x: np.meshgrid(x, np.zeros(5))[0], [1.0, 2.0], [5, 5]),
    ("roll of a row of one", lambda x: np.roll(x, 5), [3.0], [1]),
]


@for_each("f, x, expected", [pytest.param(*case, id=name) for name, *case in EDGES])
def test_gradient_at_the_edge(f, x, expected):
    np.testing.assert_array_equal(gradient(f, x), expected)


def test_where_inserted_values_go():
    x, v = gradient(lambda x, v: np.insert(x, [3, 0, 3, 1], v) * np.arange(7), [0.0, 0, 0], [0.0, 0, 0, 0])
    # [v1, x0, v3, x1, x2, v0, v2]
    np.testing.assert_array_equal(x, [1, 3, 4])
    np.testing.assert_array_equal(v, [5, 0, 6, 2])
    x, v = gradient(lambda x, v: np.insert(x, [1, 0], v, axis=1), M, 2.0)
    np.testing.assert_array_equal(x, np.ones_like(M))
    assert v == 6.0  # the number went to two columns of three


def test_insert_by_a_mask():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # older versions of NumPy take it for integers
        check(lambda x, v: np.insert(x, np.array([True, False, True]), v, axis=0), M, V)


def test_gradients_of_joined_dtypes():
    a, b = leaf([1.0], np.float32), leaf([2.0 + 1j], np.complex128)
    y = np.hstack([a, b, 3])
    assert y.dtype == np.complex128
    np.sum(np.real(y * 2)).backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.complex128)
    assert (a.grad.item(), b.grad.item()) == (2.0, 2.0)


def test_a_gradient_is_never_rounded_away():
    integers = tensor([1, 2, 3])
    with pytest.raises(tg.errors.DTypeError, match=r"insert.*astype"):
        np.insert(integers, 0, leaf(0.5))
    y = np.insert(integers, 0, 0.5)
    np.testing.assert_array_equal(y.data, [0, 1, 2, 3])
    for y in (np.repeat(integers, 2), np.tile(integers, 2), np.resize(integers, 5), np.roll(integers, 1)):
        assert y.dtype == integers.dtype
        assert not y.requires_grad


def test_out_may_be_a_tensor():
    x, out = leaf([1.0, 2.0]), tensor(np.zeros(4))
    assert np.concatenate([x, x], out=out) is out
    (out * [1.0, 2.0, 3.0, 4.0]).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [4.0, 6.0])
    for join in (
        lambda: np.concatenate([x, V], 0, np.zeros(6)),
        lambda: np.stack([x, x], out=np.zeros((2, 2))),
        lambda: np.take(x, [0, 1], 0, np.zeros(2)),
    ):
        with pytest.raises(TypeError, match="out="):
            join()


def test_results_without_a_gradient_are_tensors_too():
    parts = np.broadcast_arrays(tensor(1.0), V)
    assert all(isinstance(part, tg.Tensor) and not part.requires_grad for part in parts)
    first, second = np.atleast_2d(leaf(V), V)
    assert (first.requires_grad, second.requires_grad) == (True, False)


def test_copy_owns_its_memory():
    a = V.copy()
    t = np.copy(tg.Tensor(a))
    a[0] = 100.0
    assert t.data[0] == V[0]


@settings(max_examples=200, deadline=None)
@given(
    st.permutations(range(3)),
    st.tuples(
        *(st.sampled_from([slice(None), slice(None, None, -1), slice(None, None, 2), slice(1, 2)]),) * 3
    ),
    st.sampled_from("CFAK"),
)
def test_ravel_in_any_order_of_any_view(axes, cuts, order):
    values = np.arange(2.0 * 3 * 4).reshape(2, 3, 4)
    expected = np.ravel(np.transpose(values, axes)[cuts], order)
    x = leaf(values)
    y = np.ravel(np.transpose(x, axes)[cuts], order)
    np.testing.assert_array_equal(y.data, expected)
    (y * np.arange(y.size)).sum().backward()
    found = np.zeros(values.size)
    found[expected.astype(int)] = np.arange(y.size)
    np.testing.assert_array_equal(x.grad.data.ravel(), found)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=4),
    st.integers(1, 4),
    st.data(),
)
def test_insert_anywhere(places, n, data):
    places = [p for p in places if -n <= p <= n] or [0]
    values = np.arange(1.0, len(places) + 1)
    x, v = leaf(np.zeros(n)), leaf(values)
    y = np.insert(x, places, v)
    np.testing.assert_array_equal(y.data, np.insert(np.zeros(n), places, values))
    weights = np.arange(10.0, 10 + y.size)
    (y * weights).sum().backward()
    for value, g in zip(values, v.grad.data, strict=True):
        assert y.data[int(g) - 10] == value


# -- signatures ----------------------------------------------------------------------------------

FAMILY = """
    reshape ravel transpose matrix_transpose swapaxes moveaxis rollaxis expand_dims squeeze
    broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d roll rot90 flip fliplr
    flipud repeat tile pad resize delete insert append concatenate
    stack vstack hstack dstack column_stack block split array_split hsplit
    vsplit dsplit unstack take take_along_axis compress choose extract select
    piecewise ix_ meshgrid linspace logspace geomspace full_like copy copyto
    put putmask place put_along_axis fill_diagonal
"""


@for_each("name", FAMILY.split())
def test_every_argument_of_numpy_is_taken_by_its_name(name):
    function = getattr(np, name, None)
    if function is None:
        return  # this NumPy has none
    handler = REGISTRY[function]
    assert isinstance(handler, (Primitive, Composite))
    body = inspect.signature(getattr(handler, "forward", None) or handler.function)
    ours = body.parameters
    try:
        numpys = inspect.signature(function).parameters
    except ValueError:
        return  # this NumPy does not say what it takes
    kinds = {p.name: p.kind for p in numpys.values()}
    missing = set(kinds) - set(ours) - {"out", "kwargs"}  # out= is taken care of before
    assert not missing, f"np.{name} takes {sorted(missing)} as well"
    by_position = [p for p, kind in kinds.items() if kind in (0, 1)]
    assert [p for p in ours if p in by_position and p != "newshape"] == by_position or not NUMPY_2_1


def test_arrays_by_name():
    t = leaf(M)
    same(np.flip(m=t, axis=1).data, np.flip(M, 1))
    same(np.broadcast_to(array=t, shape=(2, 3, 4)).data, np.broadcast_to(M, (2, 3, 4)))
    same(np.roll(a=t, shift=1).data, np.roll(M, 1))
    same(np.rot90(m=t).data, np.rot90(M))
    same(np.insert(arr=t, obj=0, values=1.0).data, np.insert(M, 0, 1.0))
    same(np.take(a=t, indices=[1], axis=0).data, np.take(M, [1], axis=0))
    same(np.tile(A=t, reps=2).data, np.tile(M, 2))
    same(np.squeeze(a=t[:1]).data, np.squeeze(M[:1]))
    same(np.linspace(start=t, stop=1, num=2).data, np.linspace(M, 1, 2))
    same(np.geomspace(start=np.abs(t), stop=1, num=2).data, np.geomspace(np.abs(M), 1, 2))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 33])
def test_any_number_of_pieces(n):
    x = RNG.normal(size=(1, 66))
    for cuts in (n, sorted(RNG.integers(0, 67, n).tolist())):
        check(lambda a, cuts=cuts: tuple(np.array_split(a, cuts, axis=-1)), x, order=1)
    weights = np.arange(66.0)
    a = leaf(x)
    pieces = np.array_split(a, n, axis=1)
    np.sum(np.concatenate(pieces, axis=1) * weights).backward()
    np.testing.assert_array_equal(a.grad.data, weights[None])
    assert all(piece is not a for piece in pieces)


def test_split_along_an_axis_that_is_a_tensor():
    for y, value in zip(np.split(leaf(M), tensor(2), tensor(1)), np.split(M, 2, 1), strict=True):
        same(y.data, value)


@pytest.mark.skipif(not NUMPY_2_1, reason="this NumPy has no unstack")
def test_unstack_many():
    for x in (RNG.normal(size=(13, 2)), RNG.normal(size=(4,))):
        check(lambda a: np.unstack(a), x)
    assert np.unstack(leaf(np.zeros((0, 3)))) == ()
