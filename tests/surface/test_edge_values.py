"""Values and gradients at the edges: the table of ``tests/surface/edges.py``, line by line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from surface import edge_page
from surface.edges import Edge, edges
from surface.evaluation import Answer, Library, installed, is_as_expected
from tinygrad_mnist.nn import functional as F  # noqa: N812


@for_each("edge", list(edges()))
def test_edge(edge: Edge):
    answer = Library().answer(edge)
    assert is_as_expected(edge, answer), f"{answer} instead of {edge.value}, {edge.gradient}"


def fits_float32(edge: Edge) -> bool:
    return not any(np.any(np.isfinite(x) & (np.abs(x) > 1e38)) for x in map(np.asarray, edge.inputs.values()))


@for_each("edge", [e for e in edges() if not isinstance(e.gradient, str) and fits_float32(e)])
def test_float32_stays_float32(edge: Edge):
    class Single(Library):
        def leaf(self, x):
            return tg.tensor(
                x.astype(np.complex64 if x.dtype.kind == "c" else np.float32), requires_grad=True
            )

    answer = Single().answer(edge)
    assert {g.dtype.itemsize // (2 if g.dtype.kind == "c" else 1) for g in answer.gradient.values()} == {4}
    for name, g in edge.gradient.items():
        np.testing.assert_allclose(answer.gradient[name], g, rtol=1e-6, atol=1e-6)


def test_lines_differ():
    keys = [edge_page.key(edge) for edge in edges()]
    assert len(set(keys)) == len(keys)


def test_the_comparison_sees_differences():
    edge = Edge("x", {"x": [0.0]}, [0.0], {"x": [1.0]}, "", {})
    zero, one = np.array([0.0]), np.array([1.0])
    assert is_as_expected(edge, Answer(zero, {"x": one}))
    for value, gradient in [(one, one), (zero, zero), (np.array(0.0), one), (zero, np.array([np.nan]))]:
        assert not is_as_expected(edge, Answer(value, {"x": gradient}))
    assert not is_as_expected(edge, Answer(zero, ValueError()))


def test_page_is_up_to_date():
    assert edge_page.PAGE.read_text(encoding="utf-8") == edge_page.page(), (
        "run: python -m tests.surface --write"
    )


@pytest.mark.parametrize("name", edge_page.TITLES)
def test_what_others_answer_is_true(name: str):
    recorded = json.loads(edge_page.ANSWERS.read_text(encoding="utf-8"))
    if name not in installed() or edge_page.version(name).partition("+")[0] != recorded["versions"][name]:
        pytest.skip(f"{name} {recorded['versions'][name]}, whose answers the page lists, is not installed")
    answers = {edge_page.key(edge): edge_page.told(name, edge) for edge in edges()}
    assert answers == recorded["answers"][name], "run: python -m tests.surface --write"


def test_the_largest_numbers_pass_through_gelu() -> None:
    assert F.gelu(np.array([1e308]))[0] == 1e308


def test_the_sigmoid_ends_at_zero() -> None:
    np.testing.assert_array_equal(F.sigmoid(np.array([-1e308, -np.inf, -800.0])), [0.0, 0.0, 0.0])
