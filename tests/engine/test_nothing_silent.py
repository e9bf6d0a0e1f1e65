"""Ways to lose a gradient, or a change: each counts, warns, is refused, or was asked for by its name.

A row is a piece of a program. It finds a vector ``x`` = [1, 2, 3] and a number ``s`` = 2, both leaves, a matrix ``w``
that was computed from a leaf, a plain array ``a`` of zeros, and a layer ``net``.
"""

from __future__ import annotations

import array
import cmath
import copy
import decimal
import io
import json
import math
import operator
import pickle
import random
import statistics
import struct
import warnings

import numpy as np
import pytest
from helpers import for_each, leaf

import tinygrad_mnist as tg
from tinygrad_mnist.errors import DTypeError, GradientError, LostGradientWarning, ShapeError, UnsupportedError


def setting():
    return {
        **{m.__name__: m for m in (array, cmath, copy, decimal, io, json, math, operator, pickle, random, statistics)},
        "struct": struct, "np": np, "tg": tg, "F": tg.nn.functional, "rng": np.random.default_rng(0),
        "x": leaf([1.0, 2.0, 3.0]),
        "s": leaf(2.0),
        "w": leaf(np.arange(6.0).reshape(2, 3)) * 1,
        "a": np.zeros(3),
        "net": tg.nn.Linear(2, 2, rng=0),
    }  # fmt: skip


# A number that has left the graph cannot be told from one that was asked for, so Python computes on, and we warn.
WARNS = """
    math.sin(s)
    cmath.exp(s)
    math.hypot(s, 1)
    math.fsum([s, 1])
    math.isclose(s, 2)
    statistics.fmean([s, 1])
    float(s)
    float(x[0] * 2)
    int(s)
    complex(s)
    math.floor(s)
    math.ceil(s)
    np.float64(s)
    a[0] = s
    a[0] += s
    a[1:][0] = x[1]
    a.fill(s)
    a.flat[0] = s
    np.zeros(3, int)[0] = s
    np.zeros(1, [('height', float)])['height'][0] = s
    np.fromiter(x, float)
    np.fromiter((2 * e for e in x), float)
    np.sum(a, initial=s)
    np.prod(a, initial=s)
    np.max(a, initial=s)
    a.sum(initial=s)
    np.add.reduce(a, initial=s)
    array.array('d', [s])
    array.array('d', x)
    struct.pack('f', s)
    '%f' % s
    '%d' % s
    o = np.empty(2, object); o[:] = [s.data, 1.0]; o[0] = s; np.mean(o)
    o = np.empty(2, object); o[0] = o[1] = s; o.astype(float)
    random.uniform(0, 1) * float(s)
"""

# What was asked for by its name does not warn.
ASKED_FOR = """
    s.item()
    x.tolist()
    x.data
    x.detach()
    x.detach().numpy()
    float(s.item())
    float(s.detach())
    np.asarray(x.detach())
    f'{s}'
    f'{s:.3f}'
    f'{x}'
    f'{s!r}'
    '{:.2f}'.format(s)
    '{}'.format(x)
    '%s' % s
    str(s)
    repr(x)
    print(s, x, file=io.StringIO())
    np.array2string(x)
    bool(s)
    1 if s > 1 else 2
    [1 for e in x if e > 1]
    s in [1.0, 2.0]
    sorted(x)
    max(x, key=lambda e: -e)
    len(x)
    x.shape
    np.ndim(x)
    np.argmax(x)
    np.allclose(x, x)
    np.array_equal(x, x)
    x.astype(int)
    x > 1
    with tg.no_grad(): float(s), int(s), np.asarray(x), a.fill(s)
    with tg.no_grad: float(s)
"""

# The gradient of the sum of `y` is that on the right.
COUNTS = {
    "y = sum(x)": [1, 1, 1],
    "y = math.prod(x)": [6, 3, 2],
    "y = max(x)": [0, 0, 1],
    "y = abs(-x)": [1, 1, 1],
    "y = x; y += 1.0; y = y * x.data": [2, 3, 4],
    "y = x * 1; y[0] = 5": [0, 1, 1],
    "y = x * 1; y[0] += x[1]": [1, 2, 1],
    "y = x * 1; y[1:] *= 3": [1, 3, 3],
    "y = x * 1; y[[0, 1]] *= 3": [3, 3, 1],
    "y = x * 1; i = 1; y[i:] /= y[:2].data": [1, 1, 0.5],
    "net.t = [x * 1]; net.t[0][1:] *= 3; y = net.t[0]": [1, 3, 3],
    "def f(t): t[i := 1] += t[0]\ny = x * 1; f(y)": [2, 1, 1],
    "y = x[0]\nfor e in x[1:]: y += e": [1, 1, 1],
    "y = np.reshape(x * 1, (3, 1)); y += 1; y = y * y.data": [2, 3, 4],
    "y = np.diagonal(np.outer(x, x.data)).copy(); y[0] = 0; y = y + 1": [0, 2, 3],
    "y = x * 1; y.fill(0); y = y + x": [1, 1, 1],
    "y = x * 1; y.flat = [5, 6]; y = y + x": [1, 1, 1],
    "y = x * 1; y.conj()[0] = 5": [0, 1, 1],
    "y = x * 1; np.add(a, a, out=y); y = y + x": [1, 1, 1],
    "y = x * 1; y.sort(); y = y * [1, 2, 3]": [1, 2, 3],
    "y = x * 1; np.copyto(y, 2 * x)": [2, 2, 2],
    "y = x * 1; np.put(y, [0], x[1])": [0, 2, 1],
    "y = x * 1; np.add.at(y, [0, 0], x[1])": [1, 3, 1],
    "y = x * 1; np.multiply(y, 3, out=y)": [3, 3, 3],
    "y = x * 1; np.nan_to_num(y, copy=False)": [1, 1, 1],
    "y = x * 1; random.Random(0).shuffle(y); y = y * y.data": [1, 2, 3],
    "y = a + x": [1, 1, 1],
    "y = np.float64(2) * x": [2, 2, 2],
    "y = np.full(3, x, like=x)": [1, 1, 1],
    "y = np.array([x[0], 2 * x[1]], like=x)": [1, 2, 0],
    "y = np.linspace(0, x, 3)": [1.5, 1.5, 1.5],
    "y = np.clip(a, x, 9)": [1, 1, 1],
    "y = np.interp(x[0], [0.0, 3.0], x[1:])": [1 / 3, 2 / 3, 1 / 3],
    "y = np.apply_along_axis(np.sum, 0, x)": [1, 1, 1],
    "y = np.piecewise(x, [x < 2], [lambda e: 5 * e, 0])": [5, 0, 0],
    "o = np.empty(2, object); o[0], o[1] = x[0], x[1]; y = np.sum(o * 2)": [2, 2, 0],
    "y = tg.checkpoint(lambda t: t * x)(x)": [2, 4, 6],
    "x.register_hook(lambda g: g * 10); y = x * 1": [10, 10, 10],
    "x.register_hook(lambda g: g.__setitem__(0, 100)); y = x * 1": [100, 1, 1],
    "x.register_hook(lambda g: g.fill(7)); y = x * 1": [7, 7, 7],
    "x.register_hook(lambda g: g.__imul__(10)); y = x * 1": [10, 10, 10],
    "x.register_hook(lambda g: [g.__imul__(10), None][1]); y = x * 1": [10, 10, 10],
    "z = x * 2; z.register_hook(lambda g: [g.__imul__(10), None][1]); y = z + x": [21, 21, 21],
    "b = np.ones(3); x.register_hook(lambda g: b); (x * 1).sum().backward(); b[0] = 9": [1, 1, 1],
    "b = np.ones(3); x.backward(b); b[0] = 9": [1, 1, 1],
    "b = np.ones(3); x.grad = b; b[0] = 9": [1, 1, 1],
    "x.sum().backward(); x.grad[0] = 5": [5, 1, 1],
    "x.sum().backward(); x.grad *= 5": [5, 5, 5],
    "x.sum().backward(); np.clip(x.grad, 0, 0.5, out=x.grad)": [0.5, 0.5, 0.5],
}

# These are errors, with a message that says what to do.
REFUSED = {
    "np.asarray(x)": r"detach\(\)",
    "np.array([s, s])": r"np\.stack",
    "np.array([[x, x], [x, x]])": r"np\.stack",
    "np.array(x, dtype=object)": r"detach\(\)",
    "np.float32(s)": r"detach\(\)",
    "np.full(3, s)": r"detach\(\)",
    "np.arange(s)": r"detach\(\)",
    "np.mean([s, s])": r"detach\(\)",
    "x.numpy()": r"detach\(\)",
    "tg.tensor(x)": r"detach\(\)",
    "tg.nn.Parameter(x * 2)": r"detach\(\)",
    "np.save(io.BytesIO(), x)": r"detach\(\)",
    "copy.copy(x * 2)": r"detach\(\)",
    "pickle.dumps(x * 2)": r"detach\(\)",
    "rng.normal(x)": r"detach\(\)",
    "np.random.permutation(x)": r"detach\(\)",
    "np.vectorize(math.sin)(x)": r"detach\(\)",
    "np.frompyfunc(math.sin, 1, 1)(x)": r"detach\(\)",
    "a[:] = x": r"detach\(\)",
    "a[a > 1] = x": r"detach\(\)",
    "a += x": r"array = array \+ t",
    "a @= np.ones((3, 3)) * s": r"array = array \+ t",
    "np.exp(x, out=a)": r"array = array \+ t",
    "np.add.at(a, [0], s)": "lost",
    "np.copyto(a, x)": "lost",
    "np.put(a, [0], s)": "lost",
    "np.fill_diagonal(np.zeros((3, 3)), x)": "lost|detach",
    "tg.tensor([1, 2, 3])[0:1] = x[:1]": "its gradient would be lost",
    "t = tg.tensor([1, 2, 3]); t += x": "dtype",
    "w[0][1] = 5": r"t\[0, 1\] = value",
    "w.T[0] = 5": r"t\[0, 1\] = value",
    "w.reshape(-1)[0] = 5": r"t\[0, 1\] = value",
    "w.ravel().fill(0)": r"t\[0, 1\] = value",
    "w.flat[0] = 5": r"t\[0, 1\] = value",
    "w[0].sort()": r"t\[0, 1\] = value",
    "np.copyto(w[0], 5)": r"t\[0, 1\] = value",
    "np.multiply(w, 2, out=w.T.T)": r"t\[0, 1\] = value",
    "for row in w: row[0] = 5": r"t\[0, 1\] = value",
    "for row in w: row += 1": r"row = row \+ 1",
    "for row in w.T: row **= 2": r"row = row \+ 1",
    "for row in reversed(w): row -= row": r"row = row \+ 1",
    "for part in np.split(w, 2): part /= 2": r"row = row \+ 1",
    "first, *rest = w; first *= 2": r"row = row \+ 1",
    "def f(t): row = t[0]; row += 1\nf(w)": r"row = row \+ 1",
    "rows = list(w); rows[0] += 1": r"row = row \+ 1",
    "named = {'row': w[0]}; named['row'] += 1": r"row = row \+ 1",
    "net.row = w[0]; net.row += 1": r"row = row \+ 1",
    "operator.iadd(w[0], 1)": r"row = row \+ 1",
    "w.T += 1": r"row = row \+ 1",
    "with tg.no_grad():\n for row in w.detach()[:]: row += 1": r"row = row \+ 1",
    "with tg.no_grad():\n for row in net.weight: row += 1": r"row = row \+ 1",
    "e = w[..., 0, 0]; e += 1": r"row = row \+ 1",
    "e = np.squeeze(w[:1, :1]); e += 1": r"row = row \+ 1",
    "w.imag[0] = 5": "imaginary part of real numbers",
    "w.view()": r"t\.reshape\(shape\)",
    "np.diagonal(w)[0] = 0": r"np\.fill_diagonal",
    "row = np.diag(w); row += 1": r"np\.fill_diagonal",
    "d = w.diagonal(); d[0:1].fill(5)": r"t\[0, 1\] = value",
    "x.sum().backward(); x.grad[1:][0] = 0": r"t\[0, 1\] = value",
    "(x * w).sum().backward(); x.grad.reshape(3, 1)[0][0] = 0": r"t\[0, 1\] = value",
    "x.data[0] = 5": "read-only",
    "x.sum().backward(); x.grad.data[0] = 5": "read-only",
    "x.register_hook(lambda g: g[1:].fill(0)); x.sum().backward()": r"t\[0, 1\] = value",
    "x.register_hook(lambda g: g.data.fill(0)); x.sum().backward()": "read-only",
    "y = x * 2; y.sum().backward(); y.retain_grad()": r"call retain_grad before backward\(\)",
    "y = x * 2; y.sum().backward(); y.register_hook(print)": r"call register_hook before backward\(\)",
    "y = (x * 2).sum(); y.backward(); y.backward()": "retain_graph=True",
    "(x > 1).sum().backward()": "untracked",
    "with tg.no_grad(): y = x.sum()\ny.backward()": "no_grad",
    "tg.grad(math.sin)(1.0)": r"np\.sin",
    "np.ma.masked_array(x, [1, 0, 0])": r"detach\(\)",
    "np.ma.median(x)": r"detach\(\)",
    "np.ma.getdata(x)": r"detach\(\)",
    "np.ma.exp(x)": r"detach\(\)",
    "np.ma.squeeze(x)": r"filled\(value\)",
    "x * np.ma.masked_array([1.0, 2.0, 3.0], [1, 0, 0])": r"filled\(value\)",
    "tg.data.Dataset(np.ma.masked_array([[1.0]], [[1]]), [0])": r"filled\(value\)",
    "tg.testing.gradcheck(np.sin, np.ma.masked_array([1.0], [1]))": r"filled\(value\)",
    "@tg.no_grad()\nclass Net: pass": "decorates functions and methods, not the class Net",
    "tg.no_grad(False)": "decorates functions and methods, not a bool",
    "x.data = a": r"with tg\.no_grad\(\): t\[\.\.\.\] = values",
    "x.sum().backward(); x.data -= 0.1 * x.grad": r"with tg\.no_grad\(\): t -= change",
    "tg.nn.Linear(2, 2, rng='0')": "rng = '0' is neither a numpy.random.Generator nor a seed",
    "tg.nn.Dropout(0.5, rng=0.5)": "rng = 0.5 is neither",
    "tg.data.DataLoader((np.ones((2, 2)), [0, 1]), 2, rng=-1)": "rng = -1 is neither",
    "tg.optim.SGD(net.parameters)": r"got a method; pass its parameters, as in SGD\(model\.parameters\(\)\)",
    "tg.optim.clip_grad_norm_(net, 1.0)": r"got a Linear; pass its parameters",
    "p = net.parameters(); list(p); tg.optim.clip_grad_norm_(p, 1.0)": "empty after its first use",
    "p = net.parameters(); list(p); tg.optim.clip_grad_value_(p, 1.0)": "empty after its first use",
    "tg.optim.SGD(net.parameters(), lr=0.1).lr = 0.5": r"param_groups\[0\]\['lr'\] = 0.5",
    "with tg.detect_anomaly(): y = x * a; a += 1; y.sum().backward()": "overwritten",
    "i = np.array([0]); \nwith tg.detect_anomaly: y = x[i]; i += 1; y.sum().backward()": "overwritten",
}  # fmt: skip


def rows(text):
    return [line.strip() for line in text.strip().splitlines()]


def run(code):
    """Run a row, with every warning as an error except the one that is the subject here."""
    names = setting()
    exec(compile(code, __file__, "exec"), names)
    return names


@for_each("code", rows(WARNS))
def test_what_warns(code):
    with pytest.warns(LostGradientWarning, match=r"t\.item\(\) or t\.detach\(\)") as caught:
        run(code)
    assert {warning.filename for warning in caught} == {__file__}


def test_a_leaf_that_was_changed_after_it_was_used():
    with pytest.warns(LostGradientWarning, match="changed in place.*before: its .grad is None"):
        assert run("y = x**2; x[0] = 100; y.sum().backward(); g = x.grad")["g"] is None
    assert run("y = x**2; y.sum().backward(); g = x.grad; x[0] = 100")["g"].tolist() == [2, 4, 6]
    assert run("x[0] = 100; g = x.grad; x.sum().backward(); h = x.grad")["h"].tolist() == [1, 1, 1]


def test_a_line_warns_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run("for _ in range(3): np.sum(a, initial=s); statistics.fmean(x)\nfloat(s)")
    assert [warning.lineno for warning in caught] == [1, 2]


def test_a_leaf_of_a_module_that_is_no_parameter_warns():
    class Net(tg.nn.Module):
        def __init__(self):
            self.layer, self.scales = tg.nn.Linear(2, 2), [leaf([1.0])]
            self.fixed, self.computed = tg.tensor([1.0]), leaf([1.0]) * 2

    net = Net()
    with pytest.warns(
        LostGradientWarning, match=r"^Net\.scales\.0 is a Tensor .* tg\.nn\.Parameter"
    ) as caught:
        tg.optim.SGD(net.parameters())
    assert [warning.filename for warning in caught] == [__file__]
    assert net.scales[0].name == "scales.0"


@for_each("code", rows(ASKED_FOR))
def test_what_was_asked_for(code):
    run(code)


@for_each("code", COUNTS)
def test_what_counts(code):
    names = run(code)
    x = names["x"]
    if "y" in names:
        names["y"].sum().backward()
    np.testing.assert_allclose(x.grad.data, COUNTS[code])


# What NumPy may return as a view, or as the array itself: then a write counts there, too, or is refused.
VIEWS = """
    x.conj()
    x.conjugate()
    np.conjugate(x)
    x.real
    x.imag
    +x
    x[...]
    x[()]
    x[..., 0]
    x[..., 0, 0]
    x[0, 0, ...]
    x.T
    x.ravel()
    x.reshape(3, 2)
    x.squeeze()
    x[:1, :1].squeeze()
    x.reshape(-1)[:1].reshape(())
    x.astype(float)
    x.astype(float, copy=False)
    np.astype(x, float, copy=False)
    np.array(x, copy=None, like=x)
    np.asarray(x, like=x)
    np.asanyarray(x, like=x)
    np.ascontiguousarray(x, like=x)
    np.ascontiguousarray(x.T, like=x)
    np.asfortranarray(x, like=x)
    np.asfortranarray(x.T, like=x)
    np.asfortranarray(x[0], like=x)
    np.atleast_1d(x)
    np.atleast_3d(x)
    np.broadcast_arrays(x, x)[0]
    np.broadcast_to(x, (2, 3))
    np.diagonal(x)
    np.diag(x)
    np.einsum('ij->ij', x)
    np.expand_dims(x, 0)
    np.fft.fftshift(x)
    np.flip(x)
    np.meshgrid(x[0], x[0], copy=False)[0]
    np.moveaxis(x, 0, 1)
    np.nan_to_num(x, copy=False)
    np.rot90(x, 4)
    np.real_if_close(x)
    np.require(x)
    np.select([x > 0], [x])
    np.split(x, 1)[0]
    np.stack([x])[0]
    np.sum(x, axis=())
    np.where(True, x, 0)
    tg.nn.Flatten()(x)
    tg.nn.Dropout(0.5).eval()(x)
    tg.checkpoint(lambda t: t)(x)
    tg.checkpoint(lambda t: t.T)(x)
"""
WRITES = [
    "y[...] = 7",
    "y[:1] = 7",
    "y += 7",
    "y.fill(7)",
    "np.add(y, 7, out=y)",
    "np.copyto(y, 7)",
    "y.sort()",
]

COPIES = """
    x.flatten()
    np.pad(x, 0)
    np.tile(x, 1)
    np.repeat(x, 1)
    np.resize(x, 3)
    np.meshgrid(x)[0]
    np.meshgrid(x, sparse=True)[0]
    np.block(x)
    np.take(x, [0, 1, 2])
    np.ones((1, 3)) * x
"""


@for_each("code", rows(COPIES))
def test_what_numpy_copies_is_no_part(code):
    names = run(f"y = {code}; y += 1; y[...] += 1\nwith tg.no_grad:\n y = {code}; y += 1; z = {code}; x -= 5")
    assert np.ravel(names["y"].data).tolist() == [2, 3, 4]
    assert np.ravel(names["z"].data).tolist() == [1, 2, 3]


def succeeds(code, x):
    try:
        exec(code, {"np": np, "tg": tg, "x": x})
    except Exception:
        return False
    return True


@for_each("code, is_tracked", [(code, is_tracked) for code in rows(VIEWS) for is_tracked in (True, False)])
def test_writes_into_views(code, is_tracked):
    for write in WRITES:
        for kind in (float, complex):
            values = np.array([[3, 1, 2], [6, 5, 4]], kind)
            array, x = values.copy(), tg.tensor(values, requires_grad=is_tracked)
            x = x * 1 if is_tracked else x
            is_allowed = succeeds(f"y = {code}; {write}", array)
            expected = values
            if succeeds(f"y = {code}; {write}", x):
                assert is_allowed, (write, kind)
                expected = array
            assert x.tolist() == expected.tolist(), (write, kind)


@for_each("code", REFUSED)
def test_what_is_refused(code):
    errors = GradientError, UnsupportedError, DTypeError, ShapeError, TypeError, ValueError
    with pytest.raises(errors, match=REFUSED[code]):
        run(code)
