"""The pages: what they link to is there, no picture lies about unused, and the engine in 60 lines is right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page):
    """The names of the headings of a page, as they are linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@for_each("page", PAGES)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_every_picture_is_shown():
    links = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    pictures = {path for path in (ROOT / "docs").rglob("*") if path.suffix in {".png", ".svg", ".gif"}}
    assert pictures - links == set()


def test_nothing_is_left_to_fill_in():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\b(TODO|FIXME|XXX)\b|<!--", text), page


ENGINE = ROOT / "docs" / "engine_in_60_lines.md"
PROGRAM = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", flags=re.S)


def engine():
    """What the engine's page defines, once its programs have run one after the other."""
    names = {}
    for program, _ in PROGRAM.findall(ENGINE.read_text(encoding="utf-8")):
        exec(program, names)
    return names


def test_the_engine_has_60_lines():
    programs = PROGRAM.findall(ENGINE.read_text(encoding="utf-8"))
    assert len(programs[0][0].splitlines()) <= 60


def test_the_engine_prints_what_its_page_shows(capsys):
    names = {}
    for program, shown in PROGRAM.findall(ENGINE.read_text(encoding="utf-8")):
        exec(program, names)
        assert capsys.readouterr().out == shown


def test_the_engine_agrees_with_the_package():
    names = engine()
    tensor = names["Tensor"]
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in [(2, 4, 3), (3, 5), (5,), (4, 1), ()]]

    def compute(tanh, mean, a, w, b, column, number):
        hidden = tanh(a @ w + b)
        total = 2 * hidden * hidden - column * hidden + number
        return mean((np.ones((4, 4)) @ total) * (1 - total))

    ours, theirs = [tensor(a) for a in arrays], [tg.tensor(a, requires_grad=True) for a in arrays]
    value, expected = compute(names["tanh"], names["mean"], *ours), compute(np.tanh, np.mean, *theirs)
    value.backward()
    expected.backward()
    assert value.value == pytest.approx(expected.item(), rel=1e-12)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad.data, rtol=1e-12, atol=1e-14)


def test_the_check_of_the_engine_finds_wrong_rules():
    names = engine()
    x = np.array([0.3, -0.7])
    half = names["operation"](np.square, lambda g, y, x: g * x)
    right = names["operation"](np.square, lambda g, y, x: g * 2 * x)
    assert names["worst_error"](half, x) > 0.1
    assert names["worst_error"](right, x) < 1e-8


def test_the_engine_refuses_what_it_cannot_differentiate():
    tensor = engine()["Tensor"]
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.sin(tensor(1.0))
    with pytest.raises(ValueError, match="ndim"):
        tensor(np.ones((2, 2))) @ np.ones(2)
    with pytest.raises(ValueError, match="read-only"):
        tensor(np.ones(2)).value[0] = 5
