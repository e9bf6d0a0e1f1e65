"""A second opinion on shapes, joining, indexing, padding and grids: PyTorch's values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed; these tests compare with it")

RNG = np.random.default_rng(0)
V = RNG.normal(size=4)
M = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
S = np.array(0.7)
ROWS, COLUMNS = [0, 2, 0, -1], [1, 1, 1, 3]
MASK = M > 0
ALONG = np.array([[0, 3, 3], [1, 1, 0], [2, 0, 2]])


def complex_of(x):
    return x + 1j * RNG.normal(size=x.shape)


def weights(shape, kind):
    """Random, so that no element of the result can stand for another; the same for both sides."""
    generator = np.random.default_rng(1)
    w = generator.normal(size=shape)
    return w + 1j * generator.normal(size=shape) if kind == "c" else w


def ours(f, values):
    """Values, gradients, and the gradients of the sum of the squared gradients."""
    leaves = [tg.tensor(v, requires_grad=True) for v in values]
    results = f(*leaves)
    results = results if isinstance(results, (tuple, list)) else [results]
    total = 0.0
    for y in results:
        total = total + np.sum(np.real(y * y * weights(y.shape, y.dtype.kind)))
    total.backward(create_graph=True)
    first = [x.grad for x in leaves]
    for x in leaves:
        x.zero_grad()
    sum(np.sum(np.real(g * np.conj(g))) for g in first).backward()
    return [y.data for y in results], [g.data for g in first], [x.grad.data for x in leaves]


def theirs(f, values):
    leaves = [torch.tensor(v, requires_grad=True) for v in values]
    results = f(*leaves)
    results = results if isinstance(results, (tuple, list)) else [results]
    total = 0.0
    for y in results:
        w = torch.tensor(weights(tuple(y.shape), "c" if y.is_complex() else "f"))
        product = y * y * w
        total = total + (product.real if y.is_complex() else product).sum()
    first = torch.autograd.grad(total, leaves, create_graph=True)
    second = torch.autograd.grad(sum((g * g.conj()).real.sum() for g in first), leaves)
    return (
        [y.detach().resolve_conj().numpy() for y in results],
        [g.detach().resolve_conj().numpy() for g in first],
        [g.detach().resolve_conj().numpy() for g in second],
    )


def torch_assigned(index, x, value):
    x = x.clone()
    x[index] = value
    return x


def assigned(index, x, value):
    x = x * 1.0
    x[index] = value
    return x


def written(write, x, *values):
    x = x * 1.0
    write(x, *values)
    return x


CASES = [
    ("reshape", lambda x: np.reshape(x, (4, -1)), lambda x: x.reshape(4, -1), M),
    ("reshape F", lambda x: np.reshape(x, (2, 6), "F"), lambda x: x.T.reshape(6, 2).T, M),
    ("transpose", lambda x: np.transpose(x, (2, 0, 1)), lambda x: x.permute(2, 0, 1), CUBE),
    ("swapaxes", lambda x: np.swapaxes(x, 0, -1), lambda x: x.swapaxes(0, -1), CUBE),
    ("moveaxis", lambda x: np.moveaxis(x, (0, 1), (-1, 0)), lambda x: x.movedim((0, 1), (-1, 0)), CUBE),
    ("squeeze", lambda x: np.squeeze(x[:, :1], 1), lambda x: x[:, :1].squeeze(1), CUBE),
    ("expand_dims", lambda x: np.expand_dims(x, -2), lambda x: x.unsqueeze(-2), M),
    ("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), lambda x: x.broadcast_to(2, 3, 4), M),
    ("broadcast_arrays", np.broadcast_arrays, lambda x, y: torch.broadcast_tensors(x, y), M, V),
    ("atleast_3d", np.atleast_3d, torch.atleast_3d, M),
    ("flip", lambda x: np.flip(x, (0, 2)), lambda x: x.flip(0, 2), CUBE),
    ("rot90", lambda x: np.rot90(x, 3, (2, 0)), lambda x: torch.rot90(x, 3, (2, 0)), CUBE),
    ("roll", lambda x: np.roll(x, (1, -2), (0, 1)), lambda x: x.roll((1, -2), (0, 1)), M),
    ("roll flat", lambda x: np.roll(x, 5), lambda x: x.roll(5), M),
    ("repeat", lambda x: np.repeat(x, 3, axis=1), lambda x: x.repeat_interleave(3, 1), M),
    (
        "repeat each its own",
        lambda x: np.repeat(x, [0, 2, 1], axis=0),
        lambda x: x.repeat_interleave(torch.tensor([0, 2, 1]), 0),
        M,
    ),
    ("tile", lambda x: np.tile(x, (2, 1, 3)), lambda x: x.tile(2, 1, 3), M),
    (
        "concatenate",
        lambda x, y: np.concatenate([x, y, x], 1),
        lambda x, y: torch.cat([x, y, x], 1),
        M,
        M[:, :1],
    ),
    ("stack", lambda x, y: np.stack([x, y], -1), lambda x, y: torch.stack([x, y], -1), M, M),
    ("hstack", lambda x, y: np.hstack([x, y]), lambda x, y: torch.hstack([x, y]), M, M[:, :2]),
    ("vstack", lambda x, y: np.vstack([x, y]), lambda x, y: torch.vstack([x, y]), M, V),
    ("dstack", lambda x, y: np.dstack([x, y]), lambda x, y: torch.dstack([x, y]), M, M),
    (
        "column_stack",
        lambda x, y: np.column_stack([x, y]),
        lambda x, y: torch.column_stack([x, y]),
        M,
        M[:, 0],
    ),
    ("split", lambda x: np.split(x, 2, 1), lambda x: torch.tensor_split(x, 2, 1), M),
    ("array_split", lambda x: np.array_split(x, 3, 1), lambda x: torch.tensor_split(x, 3, 1), M),
    ("split back and forth", lambda x: np.split(x, [3, 1], 1), lambda x: torch.tensor_split(x, (3, 1), 1), M),
    ("dsplit", lambda x: np.dsplit(x, [1]), lambda x: torch.dsplit(x, [1]), CUBE),
    ("unstack", lambda x: list(np.moveaxis(x, 1, 0)), lambda x: torch.unbind(x, 1), CUBE),
    ("append", np.append, lambda x, y: torch.cat([x.ravel(), y.ravel()]), M, V),
    ("delete", lambda x: np.delete(x, [1, -1], 1), lambda x: x[:, [0, 2]], M),
    (
        "insert",
        lambda x, v: np.insert(x, [3, 1], v, axis=1),
        lambda x, v: torch.cat([x[:, :1], v[:, 1:], x[:, 1:3], v[:, :1], x[:, 3:]], 1),
        M,
        M[:, :2],
    ),
    ("resize", lambda x: np.resize(x, 30), lambda x: x.ravel().tile(3)[:30], M),
    ("pad constant", lambda x: np.pad(x, ((0, 0), (1, 2), (2, 0))), lambda x: pad(x, (2, 0, 1, 2)), CUBE),
    (
        "pad reflect",
        lambda x: np.pad(x, ((0, 0), (1, 2), (3, 0)), "reflect"),
        lambda x: pad(x[None], (3, 0, 1, 2), mode="reflect")[0],
        CUBE,
    ),
    (
        "pad edge",
        lambda x: np.pad(x, ((0, 0), (1, 2), (5, 0)), "edge"),
        lambda x: pad(x[None], (5, 0, 1, 2), mode="replicate")[0],
        CUBE,
    ),
    (
        "pad wrap",
        lambda x: np.pad(x, ((0, 0), (1, 2), (3, 0)), "wrap"),
        lambda x: pad(x[None], (3, 0, 1, 2), mode="circular")[0],
        CUBE,
    ),
    (
        "pad symmetric",
        lambda x: np.pad(x, ((0, 0), (2, 1)), "symmetric"),
        lambda x: torch.cat([x[:, :2].flip(1), x, x[:, -1:]], 1),
        M,
    ),
    (
        "pad odd",
        lambda x: np.pad(x, (2, 0), "reflect", reflect_type="odd"),
        lambda x: torch.cat([2 * x[:1] - x[1:3].flip(0), x]),
        V,
    ),
    (
        "pad with a tracked constant",
        lambda x, v: np.pad(x, (1, 2), constant_values=v),
        lambda x, v: torch.cat([v[None], x, v[None], v[None]]),
        V,
        S,
    ),
    (
        "pad mean",
        lambda x: np.pad(x, (0, 2), "mean", stat_length=3),
        lambda x: torch.cat([x, x[-3:].mean()[None].tile(2)]),
        V,
    ),
    ("basic index", lambda x: x[1, ..., ::2], lambda x: x[1, ..., ::2], CUBE),
    ("index with None", lambda x: x[:, None, 1:], lambda x: x[:, None, 1:], M),
    ("rows", lambda x: x[ROWS], lambda x: x[ROWS], M),
    ("rows and columns", lambda x: x[ROWS, COLUMNS], lambda x: x[ROWS, COLUMNS], M),
    ("index apart", lambda x: x[[0, 1, 1], :, [3, 3, 0]], lambda x: x[[0, 1, 1], :, [3, 3, 0]], CUBE),
    ("mask", lambda x: x[MASK], lambda x: x[torch.tensor(MASK)], M),
    (
        "take",
        lambda x: np.take(x, [[0, 5], [5, 11]]),
        lambda x: torch.take(x, torch.tensor([[0, 5], [5, 11]])),
        M,
    ),
    (
        "take along an axis",
        lambda x: np.take(x, [2, 0, 2], 1),
        lambda x: x.index_select(1, torch.tensor([2, 0, 2])),
        M,
    ),
    (
        "take_along_axis",
        lambda x: np.take_along_axis(x, ALONG, 1),
        lambda x: x.gather(1, torch.tensor(ALONG)),
        M,
    ),
    ("compress", lambda x: np.compress([0, 1, 0, 1], x, 1), lambda x: x[:, [1, 3]], M),
    ("extract", lambda x: np.extract(MASK, x), lambda x: x.masked_select(torch.tensor(MASK)), M),
    (
        "choose",
        lambda x, y: np.choose(MASK.astype(int), [x, y]),
        lambda x, y: torch.where(torch.tensor(MASK), y, x),
        M,
        V,
    ),
    (
        "select",
        lambda x, y, d: np.select([MASK, M < -0.5], [x, y], d),
        lambda x, y, d: torch.where(torch.tensor(MASK), x, torch.where(torch.tensor(M < -0.5), y, d)),
        M,
        V,
        S,
    ),
    (
        "assign a row",
        lambda x, v: assigned((slice(None), 1), x, v),
        lambda x, v: torch_assigned((slice(None), 1), x, v),
        M,
        V[:3],
    ),
    (
        "assign a number",
        lambda x, v: assigned((slice(None, None, 2), [0, 2]), x, v),
        lambda x, v: torch_assigned((slice(None, None, 2), [0, 2]), x, v),
        M,
        S,
    ),
    (
        "assign by index arrays",
        lambda x, v: assigned(([0, 2, 1], [1, 1, 3]), x, v),
        lambda x, v: torch_assigned(([0, 2, 1], [1, 1, 3]), x, v),
        M,
        V[:3],
    ),
    (
        "assign by a mask",
        lambda x, v: assigned(MASK, x, v),
        lambda x, v: torch_assigned(torch.tensor(MASK), x, v),
        M,
        RNG.normal(size=MASK.sum()),
    ),
    (
        "put",
        lambda x, v: written(lambda x, v: np.put(x, [3, 11], v), x, v),
        lambda x, v: x.put(torch.tensor([3, 11]), v),
        M,
        V[:2],
    ),
    (
        "put_along_axis",
        lambda x, v: written(lambda x, v: np.put_along_axis(x, ALONG[:, :1], v, 1), x, v),
        lambda x, v: x.scatter(1, torch.tensor(ALONG[:, :1]), v),
        M,
        M[:, :1],
    ),
    (
        "place",
        lambda x, v: written(lambda x, v: np.place(x, MASK, v), x, v),
        lambda x, v: x.masked_scatter(torch.tensor(MASK), v),
        M,
        RNG.normal(size=MASK.sum()),
    ),
    (
        "copyto where",
        lambda x, v: written(lambda x, v: np.copyto(x, v, where=MASK), x, v),
        lambda x, v: torch.where(torch.tensor(MASK), v, x),
        M,
        V,
    ),
    (
        "fill_diagonal",
        lambda x, v: written(np.fill_diagonal, x, v),
        lambda x, v: x.diagonal_scatter(v),
        M,
        V[:3],
    ),
    ("meshgrid", np.meshgrid, lambda x, y: torch.meshgrid(x, y, indexing="xy"), V, V[:2]),
    (
        "linspace",
        lambda a, b: np.linspace(a, b, 5, axis=-1),
        lambda a, b: torch.lerp(a[:, None], b[:, None], torch.linspace(0, 1, 5, dtype=a.dtype)),
        V,
        V[::-1].copy(),
    ),
]
pad = torch.nn.functional.pad


@for_each("is_complex", [False, True], ids=["real", "complex"])
@for_each("f, g, values", [pytest.param(f, g, xs, id=name) for name, f, g, *xs in CASES])
def test_values_and_two_orders(f, g, values, is_complex):
    values = [complex_of(v) for v in values] if is_complex else values
    for a, b in zip(ours(f, values), theirs(g, values), strict=True):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert x.shape == y.shape
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


POWERS = [
    ("logspace", lambda a, b: np.logspace(a, b, 4), lambda a, b, w: 10 ** (a + (b - a) * w)),
    ("geomspace", lambda a, b: np.geomspace(a, b, 4), lambda a, b, w: a ** (1 - w) * b**w),
    (
        "logspace, base",
        lambda a, b: np.logspace(0.5, b, 4, base=a),
        lambda a, b, w: a ** (0.5 + (b - 0.5) * w),
    ),
]


@pytest.mark.parametrize(("f", "g"), [pytest.param(*case, id=name) for name, *case in POWERS])
def test_grids_of_powers(f, g):
    way = torch.linspace(0, 1, 4, dtype=torch.float64)
    values = [np.array(1.3), np.array(2.1)]
    for a, b in zip(ours(f, values), theirs(lambda a, b: g(a, b, way), values), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11)


def test_piecewise():
    def f(x):
        return np.piecewise(x, [x < -0.5, x > 0.5], [np.exp, np.sqrt, lambda t: t**3])

    def g(x):
        safe = torch.where(x > 0.5, x, torch.ones_like(x))
        return torch.where(x < -0.5, x.exp(), torch.where(x > 0.5, safe.sqrt(), x**3))

    for a, b in zip(ours(f, [M]), theirs(g, [M]), strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-12, atol=1e-14)


def test_what_is_indexed_many_times_adds_up_as_theirs():
    places = RNG.integers(0, 50, 3000)
    table = RNG.normal(size=(50, 8))

    def f(x):
        return x[places]

    a, b = ours(f, [table]), theirs(f, [table])
    np.testing.assert_allclose(a[1][0], b[1][0], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(a[2][0], b[2][0], rtol=1e-10, atol=1e-9)


def test_maximum_padding_at_a_tie():
    """The gradient is shared among equals, as torch.amax shares it."""
    x = tg.tensor([2.0, 1.0, 2.0], requires_grad=True)
    np.pad(x, (3, 0), "maximum").sum().backward()
    t = torch.tensor([2.0, 1.0, 2.0], requires_grad=True)
    torch.cat([torch.amax(t)[None].tile(3), t]).sum().backward()
    np.testing.assert_array_equal(x.grad.data, t.grad.numpy())
