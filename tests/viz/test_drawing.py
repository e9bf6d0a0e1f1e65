"""Drawings of graphs: their exact text, what is grouped and collapsed, and both layout engines."""

from __future__ import annotations

import gc
import re
from xml.etree import ElementTree as ET

import graphviz
import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.errors import GradientError, MissingExtraError, OptionError, UnsupportedError
from tinygrad_mnist.palette import AMBER, BLUE, GREEN, INK, PALE, SOFT, mix
from tinygrad_mnist.viz import draw_graph, render_graph
from tinygrad_mnist.viz.graph import rendering

HEAD = f"""digraph {{
	graph [bgcolor=white fontname=Helvetica fontsize=10 newrank=true nodesep=0.25 rankdir=TB ranksep=0.35]
	node [color="{BLUE}" fillcolor=white fontcolor="{INK}" fontname=Helvetica fontsize=11 height=0.3 margin="0.13,0.06" shape=box style="rounded,filled"]
	edge [arrowsize=0.6 color="{SOFT}" penwidth=1.0]
"""  # noqa: E501
LEAF = f'color="{AMBER}" fillcolor="{mix(AMBER, 0.15)}"'
RESULT = f'color="{GREEN}" fillcolor="{mix(GREEN, 0.15)}" penwidth=2.2'
CONSTANT = f'color="{PALE}" fillcolor="{mix(PALE, 0.1)}" style="rounded,filled,dashed"'
TITLE = f'fontcolor="{SOFT}" fontsize=10 height=0 margin=0.02 shape=plaintext style=solid width=0'


def small(*lines: str) -> str:
    return "".join(f'<br/><font point-size="9" color="{SOFT}">{line}</font>' for line in lines)


def scalars() -> tuple[tg.Tensor, tg.Tensor]:
    return tg.tensor(0.5, requires_grad=True), tg.tensor(4.2, requires_grad=True)


class Layer(nn.Module):
    """Written out, so that no other choice of operations in ``nn`` changes a drawing here."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        self.weight = nn.Parameter(np.ones((fan_in, fan_out)))
        self.bias = nn.Parameter(np.zeros(fan_out))

    def forward(self, x):
        return x @ self.weight + self.bias


class Tanh(nn.Module):
    def forward(self, x):
        return np.tanh(x)


class Error(nn.Module):
    def forward(self, x, y):
        return np.mean(np.square(x - y), axis=(0, 1))


def two_layers() -> tuple[nn.Module, np.ndarray, tg.Tensor]:
    model = nn.Sequential(Layer(4, 3), Tanh(), Layer(3, 2))
    images = np.ones((5, 4), np.float32)
    return model, images, Error()(model(images), np.ones((5, 2), np.float32))


def titles(graph: graphviz.Digraph) -> list[str]:
    """The bold words of all boxes and frames, in the order of the text."""
    return re.findall(r"label=<<b>(.*?)</b>", graph.source)


class Cell(nn.Module):
    def __init__(self) -> None:
        self.inner = Layer(4, 3)
        self.outer = Layer(3, 3)

    def forward(self, x, h):
        return np.tanh(self.inner(x) + self.outer(h))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        self.cell = Cell()
        self.head = Layer(3, 2)

    def forward(self, xs):
        h = np.zeros((1, 3), np.float32)
        for x in xs:
            h = self.cell(x, h)
        return self.head(h)


def steps(count: int) -> list[np.ndarray]:
    return [np.ones((1, 4), np.float32) for _ in range(count)]


# -- the text ------------------------------------------------------------------------------------


def test_an_expression_as_text():
    x, y = scalars()
    graph = draw_graph(x * y + np.sin(x) ** 2, names={"x": x, "y": y})
    assert isinstance(graph, graphviz.Digraph)
    assert (
        graph.source
        == HEAD
        + "".join(
            f"\t{line}\n"
            for line in (
                f"n0 [label=<<b>x</b>{small('scalar float64')}> {LEAF}]",
                f"n1 [label=<<b>y</b>{small('scalar float64')}> {LEAF}]",
                f"n2 [label=<<b>multiply</b>{small('scalar float64')}>]",
                f"n3 [label=<<b>sin</b>{small('scalar float64')}>]",
                f"n4 [label=<<b>power(·, 2)</b>{small('scalar float64')}>]",
                f"n5 [label=<<b>add</b>{small('scalar float64')}> {RESULT}]",
                *("n0 -> n2", "n1 -> n2", "n0 -> n3", "n3 -> n4", "n2 -> n5", "n4 -> n5"),
            )
        )
        + "}\n"
    )


def test_a_network_as_text():
    _, images, loss = two_layers()
    text = draw_graph(loss, names={"images": images}).source
    text = re.sub(
        r"color=\S+ fillcolor=\S+ (?:fontcolor=\S+ )?(label=(?:<.*?>|\"\"))(?= margin| labeljust).*",
        r"\1",
        text,
    )
    assert (
        text
        == HEAD
        + "".join(
            f"\t{line}\n"
            for line in (
                f"n0 [label=<<b>images</b>{small('(5, 4) float32')}> {CONSTANT}]",
                f"n10 [label=<<b>constant</b>{small('(5, 2) float32')}> {CONSTANT}]",
                "subgraph cluster_1 {",
                "\tlabel=<<b>Sequential</b>>",
                "\tsubgraph cluster_2 {",
                '\t\tlabel=""',
                f"\t\ttitle_2 [label=<<b>0</b> Layer> {TITLE}]",
                "\t\t{",
                "\t\t\trank=same",
                "\t\t\ttitle_2 -> n1 [style=invis]",
                "\t\t}",
                f"\t\tn1 [label=<<b>0.weight</b>{small('(4, 3) float32')}> {LEAF}]",
                f"\t\tn2 [label=<<b>matmul</b>{small('(5, 3) float32')}>]",
                f"\t\tn3 [label=<<b>0.bias</b>{small('(3,) float32')}> {LEAF}]",
                f"\t\tn4 [label=<<b>add</b>{small('(5, 3) float32')}>]",
                "\t}",
                "\tsubgraph cluster_3 {",
                '\t\tlabel=""',
                f"\t\ttitle_3 [label=<<b>1</b> Tanh> {TITLE}]",
                "\t\t{",
                "\t\t\trank=same",
                "\t\t\ttitle_3 -> n5 [style=invis]",
                "\t\t}",
                f"\t\tn5 [label=<<b>tanh</b>{small('(5, 3) float32')}>]",
                "\t}",
                "\tsubgraph cluster_4 {",
                '\t\tlabel=""',
                f"\t\ttitle_4 [label=<<b>2</b> Layer> {TITLE}]",
                "\t\t{",
                "\t\t\trank=same",
                "\t\t\ttitle_4 -> n6 [style=invis]",
                "\t\t}",
                f"\t\tn6 [label=<<b>2.weight</b>{small('(3, 2) float32')}> {LEAF}]",
                f"\t\tn7 [label=<<b>matmul</b>{small('(5, 2) float32')}>]",
                f"\t\tn8 [label=<<b>2.bias</b>{small('(2,) float32')}> {LEAF}]",
                f"\t\tn9 [label=<<b>add</b>{small('(5, 2) float32')}>]",
                "\t}",
                "}",
                "subgraph cluster_5 {",
                '\tlabel=""',
                f"\ttitle_5 [label=<<b>Error</b>> {TITLE}]",
                "\t{",
                "\t\trank=same",
                "\t\ttitle_5 -> n11 [style=invis]",
                "\t}",
                f"\tn11 [label=<<b>subtract</b>{small('(5, 2) float32')}>]",
                f"\tn12 [label=<<b>square</b>{small('(5, 2) float32')}>]",
                f"\tn13 [label=<<b>mean</b>{small('axis=(0, 1)', 'scalar float32')}> {RESULT}]",
                "}",
                *(
                    "n0 -> n2",
                    "n1 -> n2",
                    "n2 -> n4",
                    "n3 -> n4",
                    "n4 -> n5",
                    "n5 -> n7",
                    "n6 -> n7",
                    "n7 -> n9",
                ),
                *("n8 -> n9", "n9 -> n11", "n10 -> n11", "n11 -> n12", "n12 -> n13"),
            )
        )
        + "}\n"
    )


def test_the_same_computation_is_drawn_the_same():
    model, images, loss = two_layers()
    first = draw_graph(loss).source
    optimizer = tg.optim.SGD(list(model.parameters()), lr=0.1)
    loss.backward()
    optimizer.step()  # the parameters are overwritten, and what is new comes from elsewhere in memory
    gc.collect()
    again = Error()(model(images), np.ones((5, 2), np.float32))
    assert draw_graph(again).source == first == draw_graph(two_layers()[2]).source


@for_each(
    "compute, title, setting",
    [
        (lambda x: x.sum(axis=1), "sum", "axis=1"),
        (lambda x: x.sum(axis=(0, 1), keepdims=True), "sum", "axis=(0, 1), keepdims=True"),
        (lambda x: x.sum(), "sum", ""),
        (lambda x: 1.0001 - x, "subtract(1.0001, ·)", ""),
        (lambda x: np.where(np.eye(2) > 0, x, 0.0), "where(·, ·, 0)", ""),
        (lambda x: np.clip(x, 0, None), "clip(·, 0)", ""),
        (lambda x: x[0], "getitem", "[0]"),
        (lambda x: x[..., ::-1], "getitem", "[..., ::-1]"),
        (lambda x: x[np.array([0, 1]), 1:], "getitem", "[array, 1:]"),
        (lambda x: x.reshape(4, 1), "reshape", "shape=(4, 1)"),
        (lambda x: x.astype(np.float32), "astype", "dtype=float32"),
        (lambda x: np.einsum("ij,kj->ik", x, x), "einsum", "subscripts=ij,kj-&gt;ik"),
        (lambda x: np.linalg.qr(x)[1], "pick", "[1]"),
    ],
)
def test_settings_that_matter_are_written(compute, title, setting):
    graph = draw_graph(compute(tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)))
    (line,) = [line for line in graph.source.splitlines() if RESULT in line]
    written = re.findall(r">([^<>]+)<", line)
    assert written[:-1] == ([title, setting] if setting else [title])  # the last are shape and dtype


def test_values_and_gradients_on_request():
    x, y = scalars()
    z = x * y
    z.backward(retain_graph=True)
    assert "= 2.1<" not in draw_graph(z).source
    source = draw_graph(z, values=True).source
    assert small("scalar float64", "= 0.5", "gradient 4.2") in source
    assert small("scalar float64", "= 2.1") in source


def test_a_value_used_twice_has_two_arrows():
    x, _ = scalars()
    assert draw_graph(x * x).source.count("n0 -> n1") == 2


def test_names_cannot_break_the_text():
    x, y = scalars()
    x.name = '</b>"\\n<\x07'
    source = draw_graph(x * y, names={"a & b": y}).source
    assert '<b>&lt;/b&gt;"\\n&lt;�</b>' in source
    assert "<b>a &amp; b</b>" in source


def test_intermediate_results_can_be_named():
    x, y = scalars()
    hidden = x * y
    assert (
        f"<b>hidden</b>{small('multiply', 'scalar float64')}"
        in draw_graph(np.exp(hidden), names={"hidden": hidden}).source
    )


def test_constants_shared_by_identity():
    w = tg.tensor(np.ones((2, 2)), requires_grad=True)
    mask = tg.tensor(np.eye(2))
    assert titles(draw_graph(w * mask + mask, names={"mask": mask})).count("mask") == 1


def test_several_results():
    x, y = scalars()
    assert draw_graph([x * y, np.sin(x)]).source.count(RESULT) == 2
    assert draw_graph(x).source.count("->") == 0


# -- modules -------------------------------------------------------------------------------------


def test_frames_nest_by_scope():
    with tg.graph.scope("encoder"):
        y = nn.Sequential(Layer(2, 2))(np.ones((1, 2), np.float32))
    graph = draw_graph(y)
    assert titles(graph)[:4] == ["constant", "encoder", "Sequential", "encoder.0"]
    assert "<b>encoder.0</b> Layer>" in graph.source
    assert "encoder.0.weight" in titles(graph)


def test_parameters_are_named_as_in_the_state_dict():
    model = Recurrent()
    drawn = titles(draw_graph(model(steps(2))))
    assert set(model.state_dict()) <= set(drawn)
    assert drawn.count("cell.inner.weight") == 1


def test_operations_outside_of_modules_do_not_move_a_parameter():
    model = nn.Sequential(Layer(2, 2))
    penalty = sum(np.sum(p**2) for p in model.parameters())
    assert "0.weight" in titles(draw_graph(penalty + np.sum(model(np.ones((1, 2), np.float32)))))


def test_a_recorded_backward_pass_can_be_drawn():
    _, _, loss = two_layers()
    loss.backward(create_graph=True)
    x = tg.tensor(2.0, requires_grad=True)
    np.exp(x).backward(create_graph=True)
    assert titles(draw_graph(x.grad, names={"x": x})) == ["x", "exp", "multiply(1, ·)"]


# -- collapsing ----------------------------------------------------------------------------------


def test_collapsed_modules():
    _, images, loss = two_layers()
    graph = draw_graph(loss, names={"images": images}, collapse=True)
    assert titles(graph) == ["images", "constant", "Error", "Sequential", "0 Layer", "1 Tanh", "2 Layer"]
    assert small("2 operations", "15 parameters", "→ (5, 3) float32") in graph.source
    assert small("1 operation", "→ (5, 3) float32") in graph.source
    assert small("3 operations", "→ scalar float32") in graph.source
    assert "8 operations in all; each module is drawn as one box" in graph.source


def test_auto_collapses_only_what_is_too_large():
    model = Recurrent()
    y = model(steps(4))
    assert draw_graph(y).source == draw_graph(y, collapse=False).source
    # In all 26 operations, 6 parameters and 5 constants; the innermost modules as boxes leave the
    # additions and tanhs of the cell itself.
    middle, tiny = draw_graph(y, max_nodes=20), draw_graph(y, max_nodes=10)
    assert "cell.inner Layer" in titles(middle)
    assert titles(middle).count("tanh") == 4
    assert titles(tiny) == ["4 constants", "constant", "Recurrent", "cell Cell", "head Layer"]
    assert small("24 operations", "27 parameters", "→ (1, 3) float32") in tiny.source


def test_collapsed_modules_have_no_arrows_to_themselves():
    source = draw_graph(Recurrent()(steps(6)), max_nodes=10).source
    arrows = re.findall(r"(n\d+) -> (n\d+)", source)
    assert all(a != b for a, b in arrows)
    assert len(set(arrows)) == len(arrows)


@pytest.mark.thorough
def test_a_chain_of_20_000_is_drawn():
    z = tg.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        z = z * 1.0001
    graph = draw_graph(z)
    each = "multiply(·, 1.0001)"
    assert titles(graph) == ["leaf", *[each] * 3, "… 19,994 more operations", *[each] * 3]
    assert "20,000 operations in all; long runs of operations are summed up" in graph.source


def test_a_chain_with_its_own_constants_is_summed_up_too():
    z = tg.tensor(np.ones(2), requires_grad=True)
    w = tg.tensor(np.ones(2), requires_grad=True)
    for _ in range(50):
        z = z * np.ones(2) * w
    graph = draw_graph(z, names={"w": w}, max_nodes=20)
    assert "… 94 more operations" in titles(graph)
    assert titles(graph).count("w") == 1


def test_a_tangle_never_exceeds_the_limit():
    rng = np.random.default_rng(0)
    values = [tg.tensor(1.0, requires_grad=True) for _ in range(4)]
    for _ in range(3000):
        i, j = rng.integers(max(len(values) - 30, 0), len(values), 2)
        values.append(values[i] + values[j])
    graph = draw_graph(sum(values[-30:]), max_nodes=50)
    assert len(titles(graph)) <= 50
    assert "the middle is summarised" in graph.source
    arrows = [tuple(map(int, pair)) for pair in re.findall(r"n(\d+) -> n(\d+)", graph.source)]
    assert all(a < b for a, b in arrows)


# -- refusals ------------------------------------------------------------------------------------


def test_freed_graphs_say_what_to_do():
    x, y = scalars()
    z = np.sin(x * y)
    z.backward()
    with pytest.raises(GradientError, match=r"through sin was freed.*before backward.*retain_graph=True"):
        draw_graph(z)
    shared = x * y
    np.sin(shared).backward()
    with pytest.raises(GradientError, match=r"through multiply was freed"):
        draw_graph(np.cos(shared))


def test_wrong_arguments():
    x, y = scalars()
    with pytest.raises(GradientError, match=r"untracked"):
        draw_graph(tg.tensor(1.0))
    with pytest.raises(UnsupportedError, match=r"expects a Tensor.*ndarray"):
        draw_graph(np.ones(2))
    with pytest.raises(OptionError, match=r"no Tensor"):
        draw_graph([])
    with pytest.raises(OptionError, match=r"collapse='deep'"):
        draw_graph(x * y, collapse="deep")
    with pytest.raises(OptionError, match=r"10 to 1,000.*minutes"):
        draw_graph(x * y, max_nodes=5000)
    with pytest.raises(OptionError, match=r"did you mean 'TB'|valid: BT, LR, RL, TB"):
        draw_graph(x * y, direction="down")


def test_small_values_and_their_gradients_are_written():
    w = tg.tensor([0.5, -0.25], requires_grad=True)
    h = w * np.array([1.0, 2.0])
    h.retain_grad()
    loss = np.sum(h**2)
    loss.backward(retain_graph=True)
    source = draw_graph(loss, values=True).source
    assert "= [0.5, -0.5]" in re.sub(r" +", " ", source).replace("[ ", "[")
    assert "gradient [1., -1.]" in source.replace("[ ", "[")
    assert "= [" not in draw_graph(loss).source
    assert "= [" not in draw_graph(np.sum(tg.tensor(np.ones(9), requires_grad=True)), values=True).source


def test_the_gradient_of_a_complex_number_is_written():
    z = tg.tensor(3 + 4j, requires_grad=True)
    np.abs(z).backward(retain_graph=True)
    y = np.abs(z)
    assert "gradient 0.6" in draw_graph(y, values=True).source


# -- rendering -----------------------------------------------------------------------------------


@pytest.fixture(params=["dot", "graphviz-pure"])
def engine(request, monkeypatch, tmp_path):
    if request.param == "dot":
        if rendering.find_dot() is None:
            pytest.skip("Graphviz's own dot is not installed, or cannot draw")
    else:
        (tmp_path / "empty").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        if rendering._pure() is None:
            pytest.skip("graphviz-pure is not installed")
    return request.param


def test_a_dot_that_cannot_draw_is_passed_over(tmp_path, monkeypatch):
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho 'There is no layout engine support' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    x, y = scalars()
    if rendering._pure() is None:
        with pytest.raises(MissingExtraError, match="neither a working 'dot'"):
            render_graph(draw_graph(x * y), tmp_path / "graph.svg")
    else:
        assert "<svg" in render_graph(draw_graph(x * y), tmp_path / "graph.svg").read_text()
        assert "<svg" in draw_graph(x * y).pipe("svg", encoding="utf-8")


def test_pictures(engine, tmp_path):
    _, _, loss = two_layers()
    graph = draw_graph(loss, path=tmp_path / "new" / "mlp.png")
    png = (tmp_path / "new" / "mlp.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    assert 500 < width < 2500
    assert 500 < height < 3000
    svg = render_graph(graph, tmp_path / "mlp.svg").read_text()
    assert "<svg" in svg
    assert "Sequential" in svg
    assert list(tmp_path.glob("**/.*")) == []
    if engine == "dot":
        assert render_graph(graph, tmp_path / "mlp.pdf").read_bytes()[:4] == b"%PDF"
    else:
        with pytest.raises(OptionError, match=r"PDF needs Graphviz's own"):
            render_graph(graph, tmp_path / "mlp.pdf")


@pytest.mark.usefixtures("engine")
def test_the_methods_of_a_digraph_work(tmp_path):
    x, y = scalars()
    graph = draw_graph(x * y)
    assert "<svg" in graph._repr_mimebundle_()["image/svg+xml"]
    assert graph.pipe(format="png")[:4] == b"\x89PNG"
    assert graph.pipe("svg", encoding="utf-8").startswith("<?xml")
    written = graph.render("product", directory=tmp_path, format="svg", cleanup=True)
    assert written == str(tmp_path / "product.svg")
    assert [file.name for file in tmp_path.glob("*.*")] == ["product.svg"]
    assert graph.render(outfile=tmp_path / "other.png", cleanup=True) == str(tmp_path / "other.png")


def test_without_an_engine_the_text_can_be_saved(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rendering, "_pure", lambda: None)
    x, y = scalars()
    graph = draw_graph(x * y, path=tmp_path / "product.gv")
    assert (tmp_path / "product.gv").read_text(encoding="utf-8") == graph.source
    for attempt in (lambda: render_graph(graph, tmp_path / "a.svg"), lambda: graph.pipe("svg"), graph.render):
        with pytest.raises(
            MissingExtraError, match=r"pip install 'tinygrad-mnist\[render\]'.*save it as .dot or .gv"
        ):
            attempt()
    with pytest.raises(OptionError, match=r"unknown file ending '.bmp'"):
        render_graph(graph, tmp_path / "a.bmp")


# -- how it looks in a browser -----------------------------------------------------------------------

ELEMENT = "{http://www.w3.org/2000/svg}"


def as_svg(graph):
    return ET.fromstring(rendering.layout(graph.source, "svg", "dot"))


def numbers(element):
    found = [float(x) for x in re.findall(r"-?[\d.]+", element.get("d") or element.get("points"))]
    return np.array(found).reshape(-1, 2)


def test_words_are_centred_in_their_boxes_whatever_the_font_is():
    loss = two_layers()[-1]
    boxes = [group for group in as_svg(draw_graph(loss)).iter(f"{ELEMENT}g") if group.get("class") == "node"]
    framed = [box for box in boxes if box.find(f"{ELEMENT}path") is not None]
    assert len(framed) == 14
    for box in framed:
        x = numbers(box.find(f"{ELEMENT}path"))[:, 0]
        for text in box.findall(f"{ELEMENT}text"):
            assert text.get("text-anchor") == "middle"
            assert float(text.get("x")) == pytest.approx((x.min() + x.max()) / 2, abs=0.01)


def test_the_pieces_of_a_line_follow_each_other():
    """As Graphviz 2.43 writes a line in two fonts: where the second piece begins is a guess."""
    box = (
        '<svg xmlns="http://www.w3.org/2000/svg"><g class="{}"><polygon points="0,0 80,0 80,20"/>'
        '<text text-anchor="start" x="7" y="9" font-weight="bold" font-size="10.00" fill="red">0</text>'
        '<text text-anchor="start" x="13" y="9" font-size="9.00" fill="red"> Linear &amp;</text>'
        '<text text-anchor="start" x="11" y="19" font-size="9.00">(2,)</text></g></svg>'
    )
    for kind, x, anchor in (("node", "40.00", "middle"), ("cluster", "7", "start")):
        line, below = ET.fromstring(rendering.centre_text(box.format(kind).encode())).iter(f"{ELEMENT}text")
        assert (line.get("x"), line.get("text-anchor")) == (x, anchor)
        assert "".join(line.itertext()) == "0 Linear &"
        assert [span.get("font-weight") for span in line] == ["bold", "normal"]
        assert [span.get("font-size") for span in line] == ["10.00", "9.00"]
        assert below.text == "(2,)"


class Deep(nn.Module):
    """Frames in frames, a value that skips one, and an operation of its own after them."""

    def __init__(self) -> None:
        self.first, self.second = nn.Sequential(Layer(3, 3), Tanh(), Layer(3, 3)), Layer(3, 3)

    def forward(self, x):
        return self.second(x + self.first(x)) * x


@pytest.mark.parametrize("direction", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("collapse", [False, True])
def test_no_arrow_crosses_a_title(direction, collapse):
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    y = nn.Sequential(Deep(), nn.Sequential(Tanh(), Tanh()))(np.exp(x))
    _, _, loss = two_layers()
    for result in (y, Error()(y, np.zeros((2, 3))), loss):
        svg = as_svg(draw_graph(result, direction=direction, collapse=collapse))
        words, arrows = [], []
        for group in svg.iter(f"{ELEMENT}g"):
            name = group.findtext(f"{ELEMENT}title") or ""
            if group.get("class") == "cluster" or name.startswith("title"):
                words += group.findall(f"{ELEMENT}text")
            if group.get("class") == "edge":
                arrows += map(numbers, (path for path in group.findall(f"{ELEMENT}path")))
        assert words
        assert arrows
        share = np.linspace(0, 1, 20)[:, None]
        for curve in arrows:
            for i in range(0, len(curve) - 1, 3):
                a, b, c, d = curve[i : i + 4]
                along = (
                    (1 - share) ** 3 * a + 3 * (1 - share) ** 2 * share * b
                    + 3 * (1 - share) * share**2 * c + share**3 * d
                )  # fmt: skip
                for text in words:
                    left, bottom = float(text.get("x")), float(text.get("y"))
                    width = 5 * len("".join(text.itertext()))
                    inside = (along > [left, bottom - 7]) & (along < [left + width, bottom + 1])
                    assert not inside.all(axis=1).any(), "".join(text.itertext())
