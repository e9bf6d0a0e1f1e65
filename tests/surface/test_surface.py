"""What is covered of NumPy: every public function is known here, and the page about them is up to date."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import for_each, some_or_all

import tinygrad_mnist as tg
from surface import checks, names, page, peers, probing, ufuncs
from surface.__main__ import main
from tinygrad_mnist.primitive import _ALL, REGISTRY


def test_every_function_is_covered_or_says_why_not():
    assert names.unaccounted() == [], "register them, or give a reason in tests/surface/names.py"


def test_no_reason_is_stale():
    assert names.listed_but_registered() == []
    assert [name for name in names.NO_METHODS if names.has_method(name)] == []


def test_reasons_are_given_to_names_that_exist():
    """A misspelt name would hide a missing function; names of other NumPy versions are few."""
    known = {name.removeprefix("np.") for name, _ in names.public()}
    assert set(names.NOT_DIFFERENTIATED) - known <= {"row_stack", "in1d", "trapz", "__array_namespace_info__"}
    elsewhere = {"itemset", "newbyteorder", "ptp", "tostring", "__buffer__"}
    assert set(names.NO_METHODS) - set(dir(np.ndarray)) <= elsewhere


def test_every_method_is_there_or_says_why_not():
    assert names.missing_methods() == []


X = np.array([[2.1, 0.3, 0.4], [0.2, 1.7, 0.5], [0.1, 0.6, 2.9]])


def in_place(name, *args):
    """A method that changes what it belongs to, as a function that returns a changed copy."""

    def call(x):
        x = x.copy()
        assert getattr(x, name)(*args) is None
        return x

    return call


#: Every method and attribute of ndarray that Tensor has, in use.
METHODS = {
    "T": lambda x: x.T,
    "all": lambda x: x.all(axis=0),
    "any": lambda x: x.any(0),
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(axis=0, keepdims=True),
    "argpartition": lambda x: x.argpartition(1),
    "argsort": lambda x: x.argsort(0, kind="stable"),
    "astype": lambda x: x.astype(complex, casting="safe", copy=False),
    "choose": lambda x: (x > 1).astype(int).choose([x, -x]),
    "clip": lambda x: x.clip(0.35, max=2.0),
    "compress": lambda x: x.compress([True, False, True], axis=1),
    "conj": lambda x: (x + 1j * x).conj(),
    "conjugate": lambda x: x.conjugate(),
    "copy": lambda x: x.copy(order="F"),
    "cumprod": lambda x: x.cumprod(axis=1),
    "cumsum": lambda x: x.cumsum(0, dtype=np.float64),
    "data": lambda x: x.shape,
    "diagonal": lambda x: x.diagonal(offset=1),
    "dot": lambda x: x.dot(x[0]),
    "dtype": lambda x: x.dtype.itemsize,
    "fill": in_place("fill", 2.0),
    "flat": lambda x: x.flat[2],
    "flatten": lambda x: x.flatten("F"),
    "imag": lambda x: (x * (1 + 2j)).imag,
    "item": lambda x: x[0, 1].item(),
    "mT": lambda x: x.mT,
    "max": lambda x: x.max(0, initial=1.0),
    "mean": lambda x: x.mean(axis=(0, 1), keepdims=True),
    "min": lambda x: x.min(1, where=X > 0.15, initial=9.0),
    "nbytes": lambda x: x.nbytes,
    "ndim": lambda x: x.ndim,
    "nonzero": lambda x: (x > 1).nonzero(),
    "partition": in_place("partition", 1, 0),
    "prod": lambda x: x.prod(0),
    "put": in_place("put", [0, 4], [7.0, 8.0]),
    "ravel": lambda x: x.ravel("F"),
    "real": lambda x: (x * (1 + 2j)).real,
    "repeat": lambda x: x.repeat([1, 0, 2], axis=0),
    "reshape": lambda x: x.reshape(9, 1, order="F"),
    "round": lambda x: x.round(1),
    "searchsorted": lambda x: x[1].cumsum().searchsorted(x[0], side="right"),
    "shape": lambda x: x.shape,
    "size": lambda x: x.size,
    "sort": in_place("sort", 0),
    "squeeze": lambda x: x[:, :1].squeeze(axis=1),
    "std": lambda x: x.std(0, ddof=1),
    "sum": lambda x: x.sum(1, where=X > 0.3),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "take": lambda x: x.take([0, 3], axis=1, mode="wrap"),
    "tolist": lambda x: x.tolist(),
    "trace": lambda x: x.trace(1),
    "transpose": lambda x: x.transpose(1, 0),
    "var": lambda x: x.var(axis=1, keepdims=True),
}


def test_every_method_is_used():
    assert set(METHODS) == {n for n in names.methods() if names.has_method(n) and not n.startswith("__")}


@for_each("name", METHODS)
def test_method(name):
    """Value and gradient of a method are those of ndarray's."""
    method = METHODS[name]
    expected, results = (
        list(checks.flattened(method(X))),
        list(checks.flattened(method(tg.tensor(X, requires_grad=True)))),
    )
    assert len(results) == len(expected)
    for y, value in zip(results, expected, strict=True):
        plain = np.asarray(y.data if isinstance(y, tg.Tensor) else y)
        assert (plain.dtype, plain.shape) == (np.asarray(value).dtype, np.shape(value))
        np.testing.assert_allclose(plain, value, rtol=1e-14)
    if name in ("item", "tolist"):  # numbers, which leave the graph on purpose
        return
    numeric = tg.testing.numerical_gradient(lambda x: float(checks.combination(method(x))), X)[0]
    gradient = probing.Ours().gradients(method, [X])[0]
    np.testing.assert_allclose(0 if gradient is None else gradient, numeric, rtol=1e-6, atol=1e-7)


def test_registered_functions_are_reached():
    assert names.unreachable() == []


@some_or_all
def test_no_gradient_is_lost(are_all):
    """Whatever of NumPy's is called on a Tensor, the result has the right gradient, or there is an error."""
    functions = [function.name for function in probing.functions()]
    assert len(functions) > 400
    assert probing.lost(functions[:: 1 if are_all else 2]) == []


def test_a_lost_gradient_is_found(monkeypatch):
    """The test above can fail."""
    monkeypatch.setitem(REGISTRY, np.exp, lambda x: tg.Tensor(np.exp(x.data)))
    assert [line for line in probing.lost(["np.exp"]) if line.startswith("np.exp: lost")]


def test_every_way_of_using_a_ufunc():
    bad = {
        f"{name} {way}": outcome
        for name, ways in ufuncs.outcomes().items()
        for way, outcome in ways.items()
        if outcome == ufuncs.WRONG
    }
    assert bad == {}


def test_page_is_up_to_date():
    written = page.PAGE.read_text(encoding="utf-8")
    if f"NumPy {page.minor_version()}'s" not in written:
        pytest.skip(f"the page was made with another version of NumPy than {np.__version__}")
    assert written == page.page(), "run: python -m tests.surface --write"


def test_error_of_a_derivative(monkeypatch):
    """The measure behind ``--checks``: right to 1e-10 on a smooth function, and it sees a wrong rule."""

    monkeypatch.setitem(_ALL, "cubed", None)  # so that it is forgotten afterwards

    @tg.primitive(samples=[((3,),)])
    def cubed(x, /):
        return x**3

    cubed.vjp(lambda g, y, x: 3 * g * x**2)
    first, second = checks.checks(cubed, cubed.samples[0])
    assert (first.order, second.order, first.elements) == (1, 2, 3)
    assert max(first.error, second.error) < 1e-10

    cubed.vjp(lambda g, y, x: 3.001 * g * x**2)
    first, second = checks.checks(cubed, cubed.samples[0])
    assert 1e-4 < first.error < 1e-2
    assert second.error < 1e-10  # the rule's own derivative is right


@pytest.mark.thorough
def test_every_derivative_is_exact():
    """All operations on all samples, at both orders; ``python -m tests.surface --checks`` prints the errors."""
    found = list(checks.measure())
    assert len(found) > 2000
    worst = max(found, key=lambda check: check.error)
    assert worst.error < 1e-8, worst


def test_the_command():
    printed = CliRunner().invoke(main, [])
    assert printed.exit_code == 0
    numbers = dict(line.rsplit(maxsplit=1) for line in printed.output.splitlines())
    assert list(numbers) == ["differentiable", "zero gradient", "plain answer", "not covered"]
    assert sum(map(int, numbers.values())) == len(names.functions())


@pytest.mark.skipif(
    len(peers.installed()) < len(peers.PEERS), reason="needs the peers: pip install 'tinygrad-mnist[bench]'"
)
def test_peers_differentiate_nothing_more():
    found = peers.verdicts()
    assert peers.behind(found) == {name: [] for name in peers.PEERS}
    recorded = json.loads(peers.COUNTS.read_text(encoding="utf-8"))
    if recorded["versions"] == peers.versions():
        assert recorded["counts"] == peers.counts(found), "run: python -m tests.surface --write"
    for name in peers.PEERS:  # they were really asked
        assert sum(verdict == probing.RIGHT for verdict in found[name].values()) > 60
