"""The page of an experiment."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import Report
from tinygrad_mnist.experiments.page import circumstances, picture, prose


class Balance(HTMLParser):
    """Fail where a tag is closed that was not the last one opened."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(report):
    page = Balance()
    page.feed((report.folder / "index.html").read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page.text


def test_text_is_escaped(tmp_path, capsys):
    report = Report(tmp_path, "A <b> title", "1 < 2\n\n    if a & b:\n        pass")
    report.heading("x < y")
    report.text("R&D")
    report.listing("a\n  b <c>", caption="'quoted'")
    report.table("T<1>").add(**{"a<b": "<i>"})
    text = read(report)
    for said in (
        "A <b> title",
        "1 < 2",
        "if a & b:\n    pass",
        "x < y",
        "R&D",
        "a\n  b <c>",
        "'quoted'",
        "T<1>",
        "a<b",
        "<i>",
    ):
        assert said in text
    assert "R&D" in capsys.readouterr().out


def test_the_page_is_complete_at_any_time(tmp_path):
    report = Report(tmp_path, "Title")
    assert "running" in read(report)
    table = report.table("runs", mean=True)
    table.add(seed=0, accuracy=0.5)
    assert "50.00%" in read(report)
    assert "mean" not in read(report)
    table.add(seed=1, accuracy=0.7)
    assert "60.00%" in read(report)
    report.finish("finished in 1 s")
    assert "finished in 1 s" in read(report)


def test_the_numbers_are_json(tmp_path):
    report = Report(tmp_path, "Title")
    table = report.table("runs", mean=True)
    table.add(seed=np.int64(0), accuracy=np.float32(0.5), name="a")
    table.add(seed=1, accuracy=0.75, name="b")
    report.table("nothing")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["tables"] == [
        {
            "title": "runs",
            "rows": [{"seed": 0, "accuracy": 0.5, "name": "a"}, {"seed": 1, "accuracy": 0.75, "name": "b"}],
            "mean": {"accuracy": 0.625},
            "lowest": {"accuracy": 0.5},
            "highest": {"accuracy": 0.75},
        }
    ]


def test_means_only_where_asked_for(tmp_path):
    table = Report(tmp_path, "Title").table("different things")
    table.add(lr=0.1, accuracy=0.5)
    table.add(lr=0.2, accuracy=0.7)
    assert table.summary() == {}
    assert str(table) == ""


def test_pictures_and_weights(tmp_path):
    pytest.importorskip("matplotlib")
    report = Report(tmp_path, "Title")
    model = tg.nn.MLP([4, 2], rng=0)
    report.model(model)
    report.history([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}])
    report.picture("zeros.png", tg.viz.plot_images, np.zeros((2, 9)), caption="Two of <nothing>")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "history.jsonl",
        "history.png",
        "index.html",
        "model.safetensors",
        "result.json",
        "zeros.png",
    }
    page = (tmp_path / "index.html").read_text()
    assert all(f'"{name}"' in page for name in names - {"index.html", "result.json"})
    assert "Two of <nothing>" in read(report)


def test_without_matplotlib_it_is_said_once(tmp_path, capsys):
    def plot(path):
        raise tg.errors.MissingExtraError(
            "drawing plots needs matplotlib: pip install 'tinygrad-mnist[plots]'"
        )

    report = Report(tmp_path, "Title")
    report.picture("a.png", plot)
    report.picture("b.png", plot)
    assert read(report).count("pip install 'tinygrad-mnist[plots]'") == 1
    assert capsys.readouterr().out.count("pip install") == 1


def test_prose():
    assert prose("") == ""
    assert prose("a\n\n\n\nb") == "<p>a</p>\n<p>b</p>"


def test_how_to_have_the_same_again():
    settings = {"hidden": (512, 256), "lr": 0.1, "show": None, "as_written": True, "layers": ()}
    facts = circumstances("train --out 'a & b'", settings, "made up")
    for said in (
        "<code>train --out &#x27;a &amp; b&#x27;</code>",
        "<dd>hidden 512-256, lr 0.1, show none, as written yes, layers none</dd>",
        "<dt>data</dt><dd>made up</dd>",
        f"tinygrad_mnist {tg.__version__}, NumPy {np.__version__}",
    ):
        assert said in facts
    assert "<dt>data</dt>" not in circumstances("train", {}, "")


def test_pages_follow_the_readers_screen(tmp_path):
    """A picture says how wide it is meant to be, tables scroll in themselves, and colours have a dark twin."""
    Report(tmp_path, "Title").table("wide").add(**{f"a_long_column_{i}": i for i in range(30)})
    page = (tmp_path / "index.html").read_text()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    style, _, body = page.partition("</style>")
    light, dark = re.findall(r":root \{([^}]*)\}", style)
    names = re.compile(r"--(\w+): (\S+);")
    assert dict(names.findall(light)).keys() == dict(names.findall(dark)).keys()
    assert not set(names.findall(light)) & set(names.findall(dark))
    assert set(re.findall(r"var\(--(\w+)", style)) - {"wide"} == dict(names.findall(light)).keys()
    assert '<div class="wide"><table>' in body
    assert ".wide { overflow-x: auto;" in style
    assert '--wide: 6.40in"' in picture("a.png", "A", 6.4)


def test_an_experiment_says_how_it_was_run(run):
    report = run("small_digits", "--cycles", 1, "--seed", 3)
    page = (report.folder / "index.html").read_text()
    assert "<code>tinygrad-mnist experiment run small_digits --cycles 1 --seed 3</code>" in page
    assert "cycles 1, " in page
