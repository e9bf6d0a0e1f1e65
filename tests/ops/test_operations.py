"""Every declared operation, on the samples it was declared with: these tests write themselves."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import OPERATIONS, Operation, check_cases, compute, for_each, for_each_room, outputs

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Primitive, Sample

#: Operations that are tested by hand, with the reason.
BY_HAND = {
    "astype": "changes the dtype, which float64 checks cannot vary: test_tensor.py",
    **dict.fromkeys(("determined", "final"), "lets gradients through, or refuses: test_linalg.py"),
    **dict.fromkeys(("rnn", "lstm", "gru"), "takes a tuple of arrays: test_recurrence.py"),
    "pick": "takes a tuple of arrays: test_multiple_results.py",
    **dict.fromkeys(
        ("copyto", "put", "putmask", "place", "put_along_axis", "fill_diagonal"),
        "writes into its first argument and returns nothing: test_indexing.py",
    ),
}
UFUNCS = [
    p
    for p in OPERATIONS
    if isinstance(p, Primitive)
    and p.covers
    and isinstance(p.covers[0], np.ufunc)
    and not p.covers[0].signature
]


def told(p: Operation, sample: Sample, seed: int, *variant: Any) -> str:
    return ", ".join(map(str, (f"{p.name} {sample}", f"seed {seed}", *variant)))


def on_every_sample(*variants: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test for each room of operations out of a check of one sample, one seed and perhaps a variant."""

    def made(check: Callable[..., None]) -> Callable[..., None]:
        @for_each_room
        def test(operations: list[Operation], request: pytest.FixtureRequest) -> None:
            seeds = range(5 if request.config.getoption("--thorough") else 1)
            cases = (
                (p, *case)
                for p in operations
                for case in itertools.product(p.samples, seeds, *([variants] if variants else []))
            )
            check_cases(check, ((told(*case), *case) for case in cases))

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return made


def tracked(values: list) -> list:
    return [
        tg.tensor(v, requires_grad=True) if isinstance(v, np.ndarray) and v.dtype.kind in "fc" else v
        for v in values
    ]


def leaves_of(values: list) -> list[tg.Tensor]:
    return [v for v in values if isinstance(v, tg.Tensor)]


def differentiate(p: Operation, sample: Sample, values: list, **how: bool) -> list[np.ndarray]:
    leaves = tracked(values)
    results = compute(p, sample, leaves)
    total = 0.0
    for y in results:
        if isinstance(y, tg.Tensor) and y.requires_grad:
            total = total + np.sum(np.real(y * np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype)))
    total.backward(**how)
    return [leaf.grad for leaf in leaves_of(leaves)]


def numpys(p: Operation, sample: Sample, values: list) -> list[np.ndarray]:
    """What NumPy's own function returns, or the body of an operation that NumPy lacks."""
    args = sample.arguments(*values)
    if p.covers:
        return list(outputs(p.covers[0](*args, **sample.settings)))
    return list(outputs(p(*args, **sample.settings)))


def test_every_operation_has_samples_and_rules():
    untested = [p.name for p in OPERATIONS if not p.samples and p.name not in BY_HAND]
    assert not untested, f"declare samples for {untested}"
    assert not [
        p.name
        for p in OPERATIONS
        if isinstance(p, Primitive) and all(p.rules[i] is None for i in range(len(p.rules)))
    ]
    assert set(BY_HAND) <= {p.name for p in OPERATIONS}, "a stale exception"


@on_every_sample()
def test_value_is_numpys(p: Operation, sample: Sample, seed: int):
    values = sample.draw(seed)
    expected = numpys(p, sample, values)
    results = compute(p, sample, tracked(values))
    assert len(results) == len(expected)
    assert any(isinstance(y, tg.Tensor) and y.requires_grad for y in results)
    for y, value in zip(results, expected, strict=True):
        plain = y.data if isinstance(y, tg.Tensor) else y
        assert np.shape(plain) == np.shape(value)
        assert np.asarray(plain).dtype == np.asarray(value).dtype
        np.testing.assert_allclose(plain, value, rtol=1e-12, atol=1e-14)


def differentiable(p: Operation, sample: Sample, values: list) -> list[tg.Tensor]:
    return [y for y in compute(p, sample, values) if isinstance(y, tg.Tensor) and y.dtype.kind in "fc"]


@on_every_sample()
def test_gradients_of_both_orders(p: Operation, sample: Sample, seed: int):
    """Along two random directions, which involve every element of every argument."""
    values, rng = sample.draw(seed), np.random.default_rng(seed)

    def direction(x):
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
            return None
        v = rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1, 1], x.shape)
        return v * np.exp(1j * rng.uniform(0, 2 * np.pi, x.shape)) if x.dtype.kind == "c" else v

    along = [(direction(x), direction(x)) for x in values]

    def f(s, t):
        moved = [x if v is None else x + s * v + t * w for x, (v, w) in zip(values, along, strict=True)]
        return differentiable(p, sample, moved)

    assert tg.testing.gradcheck(f, 0.0, 0.0, order=2)


@pytest.mark.thorough
@on_every_sample()
def test_gradients_of_both_orders_element_by_element(p: Operation, sample: Sample, seed: int):
    assert tg.testing.gradcheck(
        lambda *values: differentiable(p, sample, list(values)), *sample.draw(seed), order=2
    )


@on_every_sample()
def test_rule_on_tensors_is_rule_on_arrays(p: Operation, sample: Sample, seed: int):
    on_arrays = differentiate(p, sample, sample.draw(seed))
    on_tensors = differentiate(p, sample, sample.draw(seed), create_graph=True)
    for a, b in zip(on_arrays, on_tensors, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(np.asarray(a), b.data, rtol=1e-11, atol=1e-13)


@on_every_sample()
def test_tangents_go_forward_as_gradients_go_back(p: Operation, sample: Sample, seed: int):
    """``<u, J v>`` is the same number, whichever of the two products is taken first."""
    values = sample.draw(seed)
    moved = [i for i, v in enumerate(values) if isinstance(v, np.ndarray) and v.dtype.kind in "fc"]

    def f(*chosen):
        every = list(values)
        for i, v in zip(moved, chosen, strict=True):
            every[i] = v
        return tuple(
            y for y in compute(p, sample, every) if isinstance(y, tg.Tensor) and y.dtype.kind in "fc"
        )

    rng = np.random.default_rng(0)

    def like(x):
        v = rng.normal(size=x.shape)
        return (v + 1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else v).astype(x.dtype)

    primals = tuple(values[i] for i in moved)
    tangents = tuple(like(x) for x in primals)
    ys, pull = tg.vjp(f, *primals)
    weights = tuple(like(y) for y in ys)
    for chosen in (primals, tuple(map(tg.Tensor, primals))):  # on arrays, and recorded
        out, change = tg.jvp(f, chosen, tangents)
        assert [(y.shape, y.dtype) for y in out] == [(y.shape, y.dtype) for y in change]
        forward = sum(np.vdot(u, getattr(c, "data", c)).real for u, c in zip(weights, change, strict=True))
        back = sum(np.vdot(g, v).real for g, v in zip(pull(weights), tangents, strict=True))
        np.testing.assert_allclose(forward, back, rtol=1e-9, atol=1e-11)


@on_every_sample(np.float32, np.float16, np.longdouble)
def test_dtype_is_kept(p: Operation, sample: Sample, seed: int, dtype: type):
    """Results have the dtype that NumPy gives them, and gradients that of their inputs."""
    values = [
        v.astype(np.result_type(dtype, np.complex64) if v.dtype.kind == "c" else dtype)
        if isinstance(v, np.ndarray) and v.dtype.kind in "fc"
        else v
        for v in sample.draw(seed, dtype=dtype)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # float16 overflows soon
        try:
            expected = numpys(p, sample, values)
        except TypeError:  # NumPy's linear algebra knows single and double precision only
            with pytest.raises(TypeError):
                compute(p, sample, tracked(values))
            return
        results = compute(p, sample, tracked(values))
        for y, value in zip(results, expected, strict=True):
            assert np.asarray(y.data if isinstance(y, tg.Tensor) else y).dtype == np.asarray(value).dtype
        gradients = differentiate(p, sample, values)
    for leaf, g in zip(leaves_of(tracked(values)), gradients, strict=True):
        assert g is None or (g.dtype, g.shape) == (leaf.dtype, leaf.shape)


@on_every_sample()
def test_inputs_are_left_alone_and_may_be_strided(p: Operation, sample: Sample, seed: int):
    values = sample.draw(seed)
    strided = []
    for v in values:
        if isinstance(v, np.ndarray) and v.dtype.kind in "fc" and v.ndim:
            wide = np.zeros((*v.shape[:-1], 2 * v.shape[-1]), v.dtype)
            wide[..., ::2] = v
            v = wide[..., ::2]
            v.flags.writeable = False
        strided.append(v)
    before = [np.copy(v) if isinstance(v, np.ndarray) else v for v in strided]
    for a, b in zip(compute(p, sample, tracked(strided)), compute(p, sample, tracked(values)), strict=True):
        np.testing.assert_allclose(
            *(x.data if isinstance(x, tg.Tensor) else x for x in (a, b)), rtol=1e-10, atol=1e-12
        )
    constants = [tg.Tensor(v) if isinstance(v, np.ndarray) and v.dtype.kind in "fc" else v for v in strided]
    compute(p, sample, constants)  # untracked Tensors share the very arrays
    differentiate(p, sample, strided)
    for v, b in zip(strided, before, strict=True):
        np.testing.assert_array_equal(v, b)


@for_each("p", UFUNCS)
def test_ufunc_on_empty_and_0d(p: Primitive):
    domain = p.samples[0].domain
    for shape in [(0,), (2, 0), ()]:
        xs = [
            np.ones(shape, int)
            if p.rules[i] is None
            else tg.tensor(np.full(shape, domain[1] * 0.9), requires_grad=True)
            for i in range(p.covers[0].nin)
        ]
        y = p.covers[0](*xs)
        y.backward(np.ones(y.shape))
        assert y.shape == shape
        assert all(x.grad.shape == shape for x in leaves_of(xs))
