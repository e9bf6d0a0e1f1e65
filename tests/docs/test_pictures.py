"""The pictures of the docs: each is what its sources make now, as far as that can be told without training."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import tinygrad_mnist as tg

pytest.importorskip("matplotlib")

DOCS = Path(__file__).resolve().parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
maker = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(maker)
PICTURES = [*maker.GRAPHS, *maker.CURVES, *maker.SCREENS, *maker.RUNS]


@pytest.mark.parametrize("picture", PICTURES)
def test_no_picture_is_stale(picture):
    why = maker.is_stale(picture, maker.read_manifest())
    assert not why, f"{picture} {why}: python docs/make_pictures.py draws it again"


def test_every_picture_of_the_docs_is_made_by_the_command():
    files = {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*")
        if path.suffix in {".png", ".svg", ".gif", ".jpg"}
    }
    assert files == set(PICTURES) == set(maker.read_manifest())


# -- that the check above can fail, and does so for what can be seen -------------------------------------

SCRIPT = '''
"""What it is about."""

import click
import tinygrad_mnist as tg
from tinygrad_mnist.viz.figures import tidy


@click.option("--epochs", default=5, help="Times.")
def main(report, epochs):
    """Say more."""
    report.text("done")  # aloud
    if epochs < 0:
        raise ValueError("too few")
    report.picture("a.png", tg.viz.plot_lines, [1], {"a": [epochs]}, xlabel="epoch", caption="A")
'''


def essence(text):
    return maker.essence(ast.parse(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("What it is about", "What this is about"),
        ("Say more", "Say less"),
        ("  # aloud", ""),
        ("too few", "at least 0"),
        ('help="Times."', 'help="How often."'),
        ('caption="A"', 'caption="B"'),
        ('report.text("done")', 'report.text("ready")'),
        ("tinygrad_mnist.viz.figures", "tinygrad_mnist.viz.plots.figures"),
        ("report, epochs)", "report: Report, epochs: int) -> None"),
    ],
)
def test_what_cannot_be_seen_makes_no_picture_stale(old, new):
    assert old in SCRIPT
    assert essence(SCRIPT.replace(old, new)) == essence(SCRIPT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("default=5", "default=6"),
        ('xlabel="epoch"', 'xlabel="epochs"'),
        ("plot_lines", "plot_history"),
        ("[epochs]", "[-epochs]"),
        ("epochs < 0", "epochs < 1"),
    ],
)
def test_what_can_be_seen_makes_it_stale(old, new):
    assert old in SCRIPT
    assert essence(SCRIPT.replace(old, new)) != essence(SCRIPT)


def test_the_functions_that_draw_count_too():
    found = maker.drawing_functions(ast.parse(SCRIPT))
    assert tg.viz.plot_lines in found
    text = "\n".join(maker.reach(found))
    for name in (
        "plot_lines",
        "finish",
        "tidy",
        "new_figure",
        "_beyond",
    ):  # called, and called by what is called
        assert f"FunctionDef(name='{name}'" in text
    assert "DPI = 150" in text
    assert "FunctionDef(name='plot_confusion'" not in text


def test_a_change_of_a_drawing_function_is_noticed(monkeypatch):
    picture = "systems/images/five_experiments_e2.png"
    before = maker.source_of(picture)
    monkeypatch.setattr(maker.inspect, "getsource", _changed(maker.inspect.getsource))
    assert maker.source_of(picture) != before


def _changed(getsource):
    """Read the sources as they would be after somebody has drawn thinner lines."""
    return lambda thing: getsource(thing).replace("linewidth=1.6", "linewidth=1.2")


def test_a_change_of_a_graph_is_noticed(monkeypatch):
    picture = "images/expression.svg"
    before = maker.source_of(picture)
    monkeypatch.setitem(maker.GRAPHS, picture, maker.fan_out)
    assert maker.source_of(picture) != before


def test_a_changed_file_is_noticed(monkeypatch, tmp_path):
    """Pictures are drawn, listed and compared in a copy of the docs."""
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    for name in maker.GRAPHS:
        shutil.copyfile(DOCS / name, docs / name)
    monkeypatch.setattr(maker, "DOCS", docs)
    monkeypatch.setattr(maker, "MANIFEST", docs / "pictures.json")
    monkeypatch.setattr(maker, "RUNS", {})
    monkeypatch.setattr(maker, "CURVES", {})
    monkeypatch.setattr(maker, "SCREENS", {})
    monkeypatch.setattr(maker, "EXPERIMENTS", [])

    def say(*arguments):
        done = CliRunner().invoke(maker.main, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    assert len(say("--list").splitlines()) == len(maker.GRAPHS)  # nothing is known yet
    say()
    assert say("--list") == ""
    assert json.loads((docs / "pictures.json").read_text()).keys() == maker.GRAPHS.keys()
    with (docs / "images" / "fan_out.svg").open("a") as file:
        file.write("<!-- by hand -->")
    assert say("--list") == "images/fan_out.svg was changed by hand\n"
    say("--accept", "fan_out")
    assert say("--list") == ""
    done = CliRunner().invoke(maker.main, ["fan_in"])
    assert done.exit_code == 2
    assert "no picture is called fan_in" in done.output
