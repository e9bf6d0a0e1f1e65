"""The page that plays a sweep: its numbers are those of backward(), and it contains nothing that runs by itself."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradientError, OptionError, ShapeError, UnsupportedError
from tinygrad_mnist.primitive import primitives
from tinygrad_mnist.viz.steps.expression import FUNCTIONS, compute
from tinygrad_mnist.viz.steps.program import compile_graph, nodes_before
from tinygrad_mnist.viz.steps.recording import numbers_of
from tinygrad_mnist.viz.steps.words import WORDS

CHROMIUM = next(
    (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None
)


def leaf(value: Any) -> tg.Tensor:
    return tg.tensor(value, requires_grad=True)


def simple() -> tuple[tg.Tensor, dict[str, Any]]:
    w, b, x = leaf(0.5), leaf(-1.0), np.array([1.0, 2.0, 3.0])
    return np.mean(np.tanh(w * x + b) ** 2) + w * b, {"w": w, "b": b, "x": x}


def network() -> tuple[tg.Tensor, dict[str, Any]]:
    model = tg.nn.MLP([6, 5, 3], rng=0).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(4, 6))
    return tg.nn.CrossEntropyLoss()(model(x), np.array([0, 1, 2, 0])), dict(model.named_parameters())


@pytest.mark.parametrize("make", [simple, network])
def test_every_number_is_the_engines(make: Any) -> None:
    loss, names = make()
    page = tg.viz.step_through(loss, names=names)
    arrays = [np.array(array["numbers"], float) for array in page.arrays]
    final = {step["place"]: arrays[step["gradient"]] for step in page.steps if step["kind"] == "gradient"}
    added: dict[int, list[int]] = {}
    for step in page.steps:
        if step["kind"] == "pass":
            added.setdefault(step["to"], []).append(step["contribution"])
            if step["local"] is not None and step["broadcast"] is None:
                product = arrays[step["gradient"]] * arrays[step["local"]]
                np.testing.assert_allclose(arrays[step["contribution"]], product, rtol=1e-12)
    loss.backward(retain_graph=True)
    leaves = {step["place"]: step["name"] for step in page.steps if step.get("what") == "leaf"}
    assert len(leaves) == sum(isinstance(x, tg.Tensor) for x in names.values())
    for place, name in leaves.items():
        gradient = np.asarray(names[name].grad)
        np.testing.assert_array_equal(final[place].ravel(), gradient.ravel())
        np.testing.assert_allclose(sum(arrays[i] for i in added[place]).ravel(), gradient.ravel(), rtol=1e-12)
    # The same page again, from the graph that was kept.
    assert tg.viz.step_through(loss, names=names).steps == page.steps


def test_values_appear_before_the_sweep_and_lines_are_named() -> None:
    loss, names = simple()
    page = tg.viz.step_through(loss, names=names)
    kinds = [step["kind"] for step in page.steps]
    assert kinds == sorted(kinds, key=lambda kind: kind != "forward")
    assert any(step.get("rule") == "g * (1 - y * y)" for step in page.steps)
    assert {step["line"]["text"] for step in page.steps if step.get("line")} == {
        'return np.mean(np.tanh(w * x + b) ** 2) + w * b, {"w": w, "b": b, "x": x}'
    }
    assert [step.get("broadcast") for step in page.steps].count([3]) == 2


@pytest.mark.parametrize("make", [simple, network])
def test_the_compiled_program_is_lit_line_by_line(make: Any) -> None:
    loss, names = make()
    page = tg.viz.step_through(loss, names=names)
    assert any(step["lines"] for step in page.steps)
    for step in page.steps:
        for line in step["lines"]:
            text = page.program[line]
            back = step["kind"] != "forward"
            comment = next(
                text for text in reversed(page.program[: line + 1]) if text.strip().startswith("#")
            )
            assert ("# back through " in comment) == back, (step, text)
            assert step.get("name", "") in comment
    # Every line of the program's body is lit at some step, but the comments have no step's number left.
    body = page.program[next(i for i, text in enumerate(page.program) if "# " in text) :]
    seen = {i for step in page.steps for i in step["lines"]}
    first = len(page.program) - len(body)
    assert all(
        i in seen
        for i, text in enumerate(page.program)
        if i >= first and text.strip() and "return" not in text
    )
    assert not any(re.search(r"# (back through )?step \d", text) for text in page.program)
    # The program computes what the engine does.
    compiled, values, _ = compile_graph(loss.node, names)  # type: ignore[arg-type]
    value, gradients = compiled(*values)
    assert value == loss.data
    loss.backward()
    leaves = sorted((x for x in names.values() if isinstance(x, tg.Tensor)), key=lambda x: x.node.serial)  # type: ignore[union-attr]
    for leaf, gradient in zip(leaves, gradients, strict=True):
        np.testing.assert_allclose(np.asarray(gradient), np.asarray(leaf.grad), rtol=1e-12, atol=1e-15)


def test_a_program_that_cannot_be_compiled_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise tg.errors.CompileError("it is refused")

    monkeypatch.setattr("tinygrad_mnist.viz.steps.program.compile_graph", refuse)
    page = tg.viz.step_through(simple()[0])
    assert page.program == []
    assert '"whyNot": "it is refused"' in page.html


def test_large_graphs_are_played_by_modules() -> None:
    model = tg.nn.MLP([8, *[8] * 12, 3], rng=0)
    loss = tg.nn.CrossEntropyLoss()(model(np.ones((2, 8), np.float32)), np.array([0, 1]))
    page = tg.viz.step_through(loss, max_nodes=30)
    assert {step["kind"] for step in page.steps} == {"forward", "pass", "gradient"}
    assert len(page.html) < 1_000_000


def test_the_layers_of_a_model_are_lit() -> None:
    model = tg.nn.Sequential(
        tg.nn.Sequential(tg.nn.Linear(3, 4, rng=0), tg.nn.Tanh()), tg.nn.Linear(4, 2, rng=1)
    )
    with ThreadPoolExecutor() as pool:  # no line of this file calls it there
        output = pool.submit(model, np.ones((1, 3), np.float32)).result()
    page = tg.viz.step_through(np.sum(output), model=model)
    lit = {
        step["name"]: step["line"]["text"]
        for step in page.steps
        if step.get("line") and step["kind"] == "forward"
    }
    assert lit["tanh"] == "    (1): Tanh()"
    assert lit["linear"] == "  (1): Linear(4, 2)"
    collapsed = tg.viz.step_through(np.sum(output), model=model, collapse=True)
    boxes = [step["line"]["text"] for step in collapsed.steps if step.get("what") == "module"]
    assert boxes == ["    (0): Linear(3, 4)", "    (1): Tanh()", "  (1): Linear(4, 2)"]
    # Its own program is a line of this file, which comes first.
    (line,) = {step["line"]["text"] for step in page.steps if step.get("name") == "sum" and step.get("line")}
    assert line == "page = tg.viz.step_through(np.sum(output), model=model)"


def test_a_long_row_is_wrapped() -> None:
    for size, width, lines in ((784, 28, 28), (100, 10, 10), (50, 32, 2), (5000, 32, 32)):
        made = numbers_of(np.arange(size, dtype=float)[None])
        assert (made["width"], len(made["numbers"])) == (width, lines)
        flat = [x for row in made["numbers"] for x in row]
        assert flat == list(range(len(flat)))
    assert numbers_of(np.ones((2, 784)))["width"] == 0


def test_numbers_of_every_kind_are_what_they_are() -> None:
    for x, numbers, largest in (
        (np.array([3 + 4j, complex(0, np.inf)]), [[[3, 4], [0, "inf"]]], 5),
        (np.array([2**62, -1]), [[str(2**62), -1]], 2**62),
        (np.array([np.nan, -np.inf, True]), [["nan", "-inf", 1]], 1),
        (np.array(2.5), [[2.5]], 2.5),
        (np.zeros((3, 0)), [[], [], []], 0),
        (np.zeros((0, 3)), [], 0),
    ):
        made = numbers_of(x)
        assert (made["numbers"], made["largest"]) == (numbers, largest)


def test_results_of_several_arrays_and_rules_that_give_a_number_are_played() -> None:
    a, b = leaf([[2.0, 1.0], [1.0, 3.0]]), leaf([1.0, -2.0])
    values, vectors = np.linalg.eigh(a)
    loss = np.sum(values**2) + np.sum(vectors[0]) + np.sum(np.copysign(b, 2.0)) + np.sum(np.copysign(2.0, b))
    page = tg.viz.step_through(loss, names={"a": a, "b": b})
    final = {step["place"]: step["gradient"] for step in page.steps if step["kind"] == "gradient"}
    (both,) = [gradient for gradient in final.values() if isinstance(gradient, list)]
    assert [page.arrays[i]["shape"] for i in both] == [[2], [2, 2]]
    loss.backward()
    for step in page.steps:
        if step.get("what") == "leaf":
            shown = np.array(page.arrays[final[step["place"]]]["numbers"])
            np.testing.assert_array_equal(shown.ravel(), np.ravel({"a": a, "b": b}[step["name"]].grad))


def test_rules_are_said_in_words() -> None:
    for name, rules in WORDS.items():
        assert rules.endswith(".")
        assert name.partition(".")[0] in {primitive.name for primitive in primitives()}, name
    result, named = compute("sum(x * w / b)", {"x": [1.0, 2.0], "w": 0.5, "b": 2.0})
    steps = tg.viz.step_through(result, names=named).steps
    assert all(step["words"] for step in steps if step["kind"] == "pass")


def test_the_graph_has_colours_for_the_dark() -> None:
    loss, names = network()
    pages = [tg.viz.step_through(loss, names=names, collapse=collapse).html for collapse in (False, True)]
    sheet = re.search(r"<style>(.*?)</style>", pages[0], re.DOTALL)
    assert sheet is not None
    drawn = {
        found
        for page in pages
        for found in re.findall(r'(?:fill|stroke)="#\w+"', re.search(r"<svg.*?</svg>", page, re.DOTALL)[0])  # type: ignore[index]
    }
    assert len(drawn) > 6
    dark = sheet[1].split("(prefers-color-scheme: dark)", 2)[2]
    assert {colour for colour in drawn if f"[{colour}]" not in dark} == set()


def test_the_page_is_one_file_without_a_network(tmp_path: Path) -> None:
    x = leaf([1.0, np.inf])
    loss = np.sum(x * 1)
    page = tg.viz.step_through(loss, names={"</script><b>x": x})
    text = page.save(tmp_path / "steps.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.https?:", text)
    assert text.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["steps"] == page.steps
    assert "<iframe srcdoc=" in page._repr_html_()


def test_what_cannot_be_played_is_said() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"shape \(2,\); it must be a single number"):
        tg.viz.step_through(x * 2)
    with pytest.raises(GradientError, match="untracked"):
        tg.viz.step_through(tg.tensor(1.0))
    with pytest.raises(UnsupportedError, match="expects a Tensor, got float"):
        tg.viz.step_through(1.0)  # type: ignore[arg-type]
    loss = np.sum(x * x)
    loss.backward()
    with pytest.raises(GradientError, match="freed"):
        tg.viz.step_through(loss)


@for_each("formula", [
        "__import__('os').system('true')", "().__class__", "x.__class__", "open('/etc/passwd')", "lambda: 0",
        "[y for y in x]",
        "x if x else x", "f'{x}'", "x[0]", "exec('1')", "np.load('a')", "np.linalg.inv(x)", "(x := 1)",
        "x" + "+x" * 600,
        "x ** 1000000", "(" * 400, "sum(x, axis=0)", "'text'", "x\x00", "", "1 +", "2 ** 3", "y", "np.__loader__(x)",
    ])  # fmt: skip
def test_formulas_are_no_programs(formula: str) -> None:
    with pytest.raises(OptionError):
        compute(formula, {"x": 1.0})


def test_formulas_give_what_numpy_gives() -> None:
    values = {"w": [[1.0, 2.0], [3.0, 4.0]], "x": [0.5, -0.5], "b": 0.25}
    w, x, b = (np.asarray(value) for value in values.values())
    result, named = compute("mean(np.tanh(w @ x + b) ** 2) - 3 / exp(-b)", values)
    np.testing.assert_allclose(result.item(), np.mean(np.tanh(w @ x + b) ** 2) - 3 / np.exp(-b))
    assert {node.line.text for node in nodes_before(result.node) if node.primitive} == {  # type: ignore[arg-type, union-attr]
        "mean(np.tanh(w @ x + b) ** 2) - 3 / exp(-b)"
    }
    result.backward()
    assert named["w"].grad is not None
    for name in FUNCTIONS:
        if name not in ("dot", "matmul", "maximum", "minimum"):
            assert isinstance(
                compute(f"{name}(b)" if name != "softmax" else "softmax(x)", values)[0], tg.Tensor
            )


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_plays_to_the_end(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    loss, names = simple()
    page = tg.viz.step_through(loss, names=names)
    path = page.save(tmp_path / "steps.html")
    loss.backward()
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        screen = browser.new_page(viewport={"width": 390, "height": 800}, offline=True)
        failures: list[str] = []
        screen.on("pageerror", lambda error: failures.append(str(error)))
        screen.goto(path.as_uri())
        for _ in page.steps[1:]:
            screen.keyboard.press("ArrowRight")
        assert screen.locator("#count").text_content() == f"{len(page.steps)} / {len(page.steps)}, backward"
        shown = screen.locator("#panel figure").last.locator("td").get_attribute("title")
        assert shown is not None
        assert float(shown.split()[-1]) in (names["w"].grad.item(), names["b"].grad.item())
        assert screen.evaluate("document.documentElement.scrollWidth") <= 390
        lit = screen.locator("#compiled .lit").all_text_contents()
        assert lit == [page.program[i] for i in page.steps[-1]["lines"]] or not page.steps[-1]["lines"]
        screen.keyboard.press("Home")
        assert "Forward" in (screen.locator("#panel h1").text_content() or "")
        # Rounded numbers keep their zeros; a product says which numbers it adds, also of a row that is wrapped.
        row = tg.tensor(np.full((1, 40), 100.4), requires_grad=True)
        product = tg.tensor(np.array([[1.0], [3.0]])) @ row
        screen.goto(tg.viz.step_through(np.sum(product)).save(tmp_path / "row.html").as_uri())
        while "matmul" not in (screen.locator("#title").text_content() or ""):
            screen.keyboard.press("ArrowRight")
        tables = screen.locator("#parts table")
        assert set(tables.nth(1).locator("td").all_text_contents()) == {"100"}
        tables.nth(2).locator("td").first.focus()
        for key in ("ArrowDown", *["ArrowRight"] * 30, "Enter"):
            screen.keyboard.press(key)
        assert screen.locator("#parts > p").text_content() == "3·100 = 301"
        # Within another page, which stays where it is.
        screen.set_content(f"<p style='height: 200vh'>Text.</p>{page._repr_html_()}")
        inside = screen.frame_locator("iframe").locator("#count")
        inside.wait_for(state="attached")
        assert (inside.text_content() or "").startswith("1 / ")
        assert screen.evaluate("scrollY") == 0
        assert failures == []
        browser.close()
