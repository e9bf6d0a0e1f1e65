"""Every declared operation, on the samples it was declared with: these tests write themselves."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Primitive, Sample, primitives

ALL = list(primitives())
#: Operations that are tested by hand, with the reason.
BY_HAND = {
    "astype": "changes the dtype, which float64 checks cannot vary: test_tensor.py",
    "split": "returns several results: test_multiple_results.py",
    "pick": "takes a tuple of arrays: test_multiple_results.py",
}
CASES = [pytest.param(p, s, id=f"{p.name} {s}") for p in ALL for s in p.samples]
UFUNCS = [p for p in ALL if p.covers and isinstance(p.covers[0], np.ufunc) and p.covers[0].signature is None]


def floats(sample: Sample, dtype: type = np.float64, seed: int = 0) -> list[np.ndarray]:
    return sample.draw(seed, dtype)


def tracked(values: list) -> list:
    return [
        tg.tensor(v, requires_grad=True) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for v in values
    ]


def test_every_primitive_has_samples_and_rules():
    untested = [p.name for p in ALL if not p.samples and p.name not in BY_HAND]
    assert not untested, f"declare samples for {untested}"
    assert not [p.name for p in ALL if all(p.rules[i] is None for i in range(len(p.rules)))]
    assert set(BY_HAND) <= {p.name for p in ALL}, "a stale exception"


@pytest.mark.parametrize(("p", "sample"), CASES)
def test_value_is_numpys(p: Primitive, sample: Sample):
    values = floats(sample)
    expected = p.forward(*values, **p.bind(tuple(values), dict(sample.settings))[1])
    result = p(*tracked(values), **sample.settings)
    assert isinstance(result, tg.Tensor)
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result.data, expected)
    if p.covers and all(v is not None for v in values):
        for function in p.covers:
            np.testing.assert_allclose(result.data, function(*values, **sample.settings), rtol=1e-12)


@pytest.mark.parametrize(("p", "sample"), CASES)
@pytest.mark.parametrize("order", [1, 2])
def test_gradient(p: Primitive, sample: Sample, order: int):
    assert tg.testing.gradcheck(lambda *xs: p(*xs, **sample.settings), *floats(sample), order=order)


@pytest.mark.parametrize(("p", "sample"), CASES)
def test_rule_on_tensors_is_rule_on_arrays(p: Primitive, sample: Sample):
    def gradients(create_graph: bool) -> list[np.ndarray]:
        leaves = tracked(floats(sample))
        y = p(*leaves, **sample.settings)
        y.backward(np.linspace(1, 2, y.size).reshape(y.shape), create_graph=create_graph)
        return [leaf.grad.data for leaf in leaves if isinstance(leaf, tg.Tensor)]

    for a, b in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize(("p", "sample"), CASES)
def test_dtype_is_kept(p: Primitive, sample: Sample, dtype: type):
    values = [
        v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for v in floats(sample, dtype)
    ]
    leaves = tracked(values)
    y = p(*leaves, **sample.settings)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape))
    for leaf in leaves:
        if isinstance(leaf, tg.Tensor):
            assert leaf.grad.dtype == dtype
            assert leaf.grad.shape == leaf.shape


@pytest.mark.parametrize(("p", "sample"), CASES)
def test_inputs_are_left_alone_and_may_be_strided(p: Primitive, sample: Sample):
    values = floats(sample)
    strided = []
    for v in values:
        if isinstance(v, np.ndarray) and v.dtype.kind == "f" and v.ndim:
            wide = np.zeros((*v.shape[:-1], 2 * v.shape[-1]))
            wide[..., ::2] = v
            v = wide[..., ::2]
            v.flags.writeable = False
        strided.append(v)
    before = [np.copy(v) for v in strided]
    y = p(*tracked(strided), **sample.settings)
    plain = p(*tracked(values), **sample.settings)
    np.testing.assert_allclose(y.data, plain.data, rtol=1e-12)
    y.backward(np.ones(y.shape))
    for v, b in zip(strided, before, strict=True):
        np.testing.assert_array_equal(v, b)


@pytest.mark.parametrize("p", UFUNCS, ids=lambda p: p.name)
def test_ufunc_on_empty_and_0d(p: Primitive):
    domain = p.samples[0].domain
    for shape in [(0,), (2, 0), ()]:
        xs = [tg.tensor(np.full(shape, domain[1] * 0.9), requires_grad=True) for _ in p.samples[0].arrays]
        y = p.covers[0](*xs)
        y.backward(np.ones(y.shape))
        assert y.shape == shape
        assert all(x.grad.shape == shape for x in xs)
