"""What notebooks show of Tensors, models, histories and data sets: values, escaped text, and never too much."""

from __future__ import annotations

import base64
import io
import re
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist import nn, notebook
from tinygrad_mnist.data import Dataset
from tinygrad_mnist.data.sheet import as_pixels
from tinygrad_mnist.errors import NonFiniteError, OptionError, ShapeError
from tinygrad_mnist.graph import COUNTS
from tinygrad_mnist.training import Callback, EarlyStopping, History, fit, progress

HOSTILE = "<script>alert('1')</script>&amp;\"'"


class Reader(HTMLParser):
    """Reads HTML as a browser does: its text, its tags, and whether each is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.attributes, self.open = "", [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def read(thing) -> str:
    """The text of what a notebook shows, which has to be HTML and not too long."""
    html = thing._repr_html_()
    assert len(html) < 40_000
    reader = Reader(html)
    assert "script" not in reader.tags
    assert "white" not in html.replace("white-space", "") and "#fff" not in html  # noqa: PT018
    return reader.text


# -- Tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (2.5, "shape () · float642.5not in a graph"),
        ([], "shape (0,) · float64[]not"),
        (np.zeros((3, 0, 2), np.float32), "shape (3, 0, 2) · float32[]not"),
        ([1 + 2j, -3j], "shape (2,) · complex128[ 1.+2.j, -0.-3.j]not"),
        ([True, False], "shape (2,) · bool[ True, False]not"),
        (np.array([[1, 2], [3, 40]], np.uint8), "shape (2, 2) · uint8[[ 1,  2],\n [ 3, 40]]not"),
        ([np.nan, np.inf], "[nan, inf]"),
    ],
)
def test_a_tensor_shows_its_values(data, text):
    assert text in read(tg.tensor(data))


@pytest.mark.parametrize(
    "shape", [(1_000_000,), (1000, 1000), (2,) * 20, (10,) * 6, (100, 28, 28), (1,) * 60]
)
def test_a_large_tensor_shows_a_part(shape):
    text = read(tg.tensor(np.arange(float(np.prod(shape))).reshape(shape)))
    assert f"shape {shape}" in text
    assert "0" in text.partition("float64")[2]
    assert len(text) < 3000


def test_a_large_tensor_says_which_part():
    assert notebook.numbers(np.arange(4000).reshape(10, 100, 2, 2)) == "[0, 0]:\n[[0, 1],\n [2, 3]]"
    rows = notebook.numbers(np.arange(30_000).reshape(3, 100, 100)).splitlines()
    assert rows[:2] == ["[0]:", "[[   0,    1,    2, ...,   97,   98,   99],"]
    with np.printoptions(threshold=sys.maxsize, edgeitems=1000):
        assert len(notebook.numbers(np.zeros(10**6))) < 100


def test_a_tensor_says_where_it_is_in_the_graph():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    assert read(w).endswith("a leaf of the graph: requires_grad=True, no gradient yet")
    w.name = HOSTILE
    assert f"a leaf of the graph {HOSTILE}: " in read(w)
    y = np.exp(w)
    loss = np.sum(y * w)
    assert f"computed by multiply from exp, {HOSTILE}, test_notebook.py:" in read(y * w)
    assert read(loss).endswith(": loss = np.sum(y * w)")
    loss.backward()
    assert "computed by sum; a backward pass has freed its graph, test_notebook.py:" in read(loss)
    assert read(w).endswith("requires_grad=True, has a gradient")
    many = np.stack([w * i for i in range(100)])
    assert "from multiply, multiply, multiply, multiply, multiply, multiply and others, " in read(many)
    layer = nn.Sequential(nn.Linear(2, 1, rng=0))
    assert "computed by linear in 0.Linear from weight, bias, " in read(layer(np.ones((1, 2), np.float32)))
    assert read(layer[0].weight).startswith("Parameter shape (1, 2) · float32")


def test_a_line_of_a_program_is_escaped_and_cut():
    source = "y = x * 2  # " + HOSTILE * 20
    names = {"x": tg.tensor(1.0, requires_grad=True)}
    exec(compile(source, "<b>cell</b>", "exec"), names)
    text = read(names["y"])
    assert "computed by multiply from a leaf, cell<" not in text
    assert ":1" in text


def test_looking_changes_nothing():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    y = w * w
    y.sum().backward(retain_graph=True)
    node, before = y.node, COUNTS.changes
    arguments, gradient = node.args, w.node.grad
    with tg.detect_anomaly():
        for thing in (w, y):
            read(thing)
    assert COUNTS.changes == before
    assert node.args is arguments
    assert w.node.grad is gradient
    assert type(w.node.grad) is np.ndarray
    with tg.no_grad():
        assert read(y) == read(y)


def test_looking_leaves_programs_alone():
    model = nn.MLP([3, 4, 2], dropout=0.5, rng=0).eval()
    compiled = tg.compile(model)
    x = np.ones((5, 3), np.float32)
    expected = compiled(x).data.copy()
    before = COUNTS.changes
    for thing in (model, model[0].weight, compiled(x), model.summary((3,))):
        read(thing)
    assert COUNTS.changes == before
    assert np.array_equal(compiled(x).data, expected)
    model.train()
    compiled(x)
    programs, state = compiled._entries, model[2].rng.bit_generator.state
    read(model)
    assert model[2].rng.bit_generator.state == state
    compiled(x)
    assert compiled._entries is programs


# -- models --------------------------------------------------------------------------------------


def test_a_summary_prints_itself():
    model = nn.MLP([784, 128, 10], "tanh", dropout=0.1, rng=0)
    lines = repr(model.summary()).splitlines()
    assert str(model.summary()).splitlines() == lines
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "count"]
    assert lines[2].split() == [
        "0",
        "Linear",
        "(1,",
        "128)",
        "weight",
        "(128,",
        "784),",
        "bias",
        "(128,)",
        "100,480",
    ]
    assert lines[4].split() == ["2", "Dropout", "(1,", "128)", "0"]
    assert lines[-2].split() == ["MLP", "4", "arrays,", "float32", "101,770"]
    assert lines[-1] == "outputs for an input of shape (1, 784)"
    assert len({len(line) for line in lines[:-1]}) == 1


def test_a_model_shows_its_summary():
    model = nn.MLP([784, 128, 10], rng=0)
    text = read(model)
    assert text == read(model.summary())
    assert text.startswith(
        "MLP 101,770 parameters · float32 · outputs for an input of shape (1, 784)layerkind"
    )
    assert "0Linear(1, 128)weight (128, 784), bias (128,)100,480" in text
    assert text.endswith("MLP4 arrays, float32101,770")


def test_output_shapes_of_what_was_given():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, rng=0), nn.ReLU())
    assert "output" not in str(model.summary())
    assert [layer.output for layer in model.summary((3, 4)).layers] == ["(1, 12)", "(1, 5)", "(1, 5)"]
    for x in (np.zeros((7, 12), np.float32), tg.tensor(np.zeros((7, 12)))):
        assert [layer.output for layer in model.summary(x).layers] == ["(7, 12)", "(7, 5)", "(7, 5)"]
    assert nn.Linear(3, 2, rng=0).summary(3).layers[0].output == "(1, 2)"
    assert nn.Linear(3, 2, rng=0, dtype=np.float64).summary().dtypes == ["float64"]
    assert nn.Sequential().summary().layers[0].output == ""
    assert "1 array, float32" in str(nn.Linear(3, 2, bias=False).summary())


class Pair(nn.Module):
    """Two inputs, two results, and a layer that is used on two shapes."""

    calls = 0

    def __init__(self):
        self.shared, self.dropout = nn.Linear(3, 2, rng=0), nn.Dropout(0.5, rng=0)
        self.unused = nn.Tanh()

    def forward(self, x, y):
        Pair.calls += 1
        assert not self.training
        assert not tg.is_recording()
        return self.dropout(self.shared(x)), {"again": self.shared(y), "nothing": None}


def test_a_model_with_several_inputs_and_results():
    model = Pair()
    outputs = {layer.path: layer.output for layer in model.summary((3,), np.ones((4, 3), np.float32)).layers}
    assert outputs == {"shared": "(1, 2) and (4, 2)", "dropout": "(1, 2)", "unused": ""}
    assert str(model.summary(3, 3)).endswith("outputs for an input of shape (1, 3) and (1, 3)")


def test_a_model_of_ones_own_is_not_run_unless_asked():
    Pair.calls = 0
    for model in (Pair(), nn.Sequential(nn.Linear(3, 3, rng=0), Pair())):
        assert "output" not in read(model)
    assert Pair.calls == 0


def test_a_summary_leaves_modes_as_they_were():
    model = nn.MLP([3, 4, 2], dropout=0.5, rng=0)
    model[2].eval()
    model.summary()
    assert [module.training for module in model.modules()] == [True, True, True, False, True]
    with pytest.raises(ShapeError, match=r"expects an input of shape \(…, 3\), got \(1, 5\)"):
        model.summary((5,))
    assert [module.training for module in model.modules()] == [True, True, True, False, True]


@pytest.mark.parametrize("given", ["784", (1.5,), None, -3, (2, -1), {"x": 1}])
def test_summaries_of_what_is_no_input(given):
    with pytest.raises(OptionError, match="summary: "):
        nn.Linear(3, 2).summary(given)


def test_a_model_of_many_layers_shows_some():
    model = nn.Sequential(*(nn.Linear(1, 1, rng=0) for _ in range(1000)))
    text = read(model)
    assert "14Linear(1, 1)weight (1, 1), bias (1,)2⋮⋮⋮⋮⋮955Linear" in text
    assert text.endswith("Sequential2,000 arrays, float322,000")
    assert len(str(model.summary()).splitlines()) == 1005


def test_hostile_names_of_layers():
    model = nn.Sequential()
    setattr(model, HOSTILE, type(HOSTILE, (nn.Linear,), {})(3, 2, rng=0))
    assert read(model).count(HOSTILE) == 2


# -- curves and histories ------------------------------------------------------------------------


def test_a_history_shows_a_table_and_curves():
    history = History(
        [
            {"epoch": i, "lr": 0.1, "train_loss": 1 / i, "validation_loss": 2 / i, "train_accuracy": 0.5}
            for i in (1, 2, 3)
        ]
    )
    history.stopped, history.backend = "it is <enough>", "numpy"
    text = read(history)
    assert text.startswith("History 3 epochs · numpy · it is <enough>")
    assert "epochlrtrain lossvalidation losstrain accuracy10.11250.00%20.10.5150.00%3" in text
    html = history._repr_html_()
    assert html.count("<svg") == 2
    assert html.count("<path") == 3
    assert html.count("<circle") == 9


def test_a_history_of_one_epoch():
    text = read(History([{"epoch": 1, "loss": None, "train_loss": 1.0, "lr": 0.1}]))
    assert text == "History 1 epochloss" + "0.60.811.21.4" + "1train" + "epochlosstrain losslr1–10.1"


def test_a_long_history_shows_some_epochs():
    rows = [{"epoch": i, "train_loss": 1 / i, **{f"extra_{j}": j for j in range(50)}} for i in range(1, 5001)]
    html = History(rows)._repr_html_()
    assert len(html) < 60_000
    assert html.count("<svg") <= 4
    shown = re.findall(r'<tr><td class="tg-right">([^<]+)</td>', html)
    assert shown == [
        "1", "2", "3", "⋮", "4,992", "4,993", "4,994", "4,995", "4,996", "4,997", "4,998", "4,999", "5,000"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}],
        [{"epoch": 1, "train_loss": 0.5}],
        [{"epoch": 1, "train_loss": np.nan}, {"epoch": 2, "train_loss": np.inf}],
        [{"epoch": 1, "train_loss": None}, {"train_loss": 0.5}, {"other": "text"}],
        [{"epoch": "one", "train_loss": 0.1}, {"epoch": "two", "train_loss": 0.2}],
        [{"epoch": 1, "loss": 3e-320}, {"epoch": 2, "loss": 1.7e308}, {"epoch": 3, "loss": -1.7e308}],
        [{"epoch": 1, "loss": 1e-320}, {"epoch": 2, "loss": 0.0}],
        [{"epoch": 1, "loss": 1e16}, {"epoch": 2, "loss": 1e16 + 2}],
        [{"epoch": 1, HOSTILE: 1.0, "x_" + HOSTILE: HOSTILE}, {"epoch": 2, HOSTILE: 1}],
        [
            {
                "epoch": np.int64(1),
                "norm": np.float32(0.5),
                "flag": True,
                "z": 1j,
                "huge": 10**400,
                "huger": 10**5000,
                "half": np.float16(2),
                "array": np.ones(100),
            }
        ],
    ],
)
def test_odd_histories(rows):
    read(History(rows))


def points(html: str) -> list[tuple[str, float, float]]:
    """The pen, the place across and the place up of each point of the curve."""
    path = re.search(r'<path d="([^"]*)"', html)[1]
    return [(pen, float(x), float(y)) for pen, x, y in re.findall(r"([ML])([\d.]+) ([\d.]+)", path)]


def test_a_curve_goes_where_the_numbers_say():
    html = notebook.chart("loss", {"train": list(enumerate([4.0, 2.0, np.nan, 0.0, 2.0], 1))})
    pens, across, up = zip(*points(html), strict=True)
    assert "".join(pens) == "MLML"
    steps = np.diff(across)
    assert np.allclose(steps, [steps[0], 2 * steps[0], steps[0]], atol=0.2)
    assert up[0] < up[1] < up[2]  # down the page
    assert up[1] == up[3] == pytest.approx((up[0] + up[2]) / 2, abs=0.1)
    assert Reader(html).text == "loss01234" + "12345" + "train"


def test_a_measure_that_is_taken_now_and_then_is_a_line():
    rows = [{"epoch": i, "loss": 1 / i, "norm": i if i % 17 == 0 else None} for i in range(1, 1001)]
    rows[100]["odd"] = 1.0
    html = History(rows)._repr_html_()
    loss, norm, odd = (points(part) for part in html.split("<svg")[1:])
    assert (len(loss), len(norm), len(odd)) == (251, 1000 // 17, 1)
    assert "".join(pen for pen, _, _ in norm) == "M" + "L" * (len(norm) - 1)
    assert 0.9 < norm[-1][1] / loss[-1][1] <= 1.0
    assert html.count("<circle") == 1


def test_a_long_curve_keeps_its_ends():
    html = notebook.chart("loss", {"train": [(i, 1 - i / 100_000) for i in range(100_001)]})
    places = points(html)
    assert len(places) <= 302
    short = points(notebook.chart("loss", {"train": [(0, 1.0), (1, 0.0)]}))
    assert [place[1:] for place in (places[0], places[-1])] == [place[1:] for place in short]


def test_training_and_validation_keep_their_colours():
    both = notebook.chart("loss", {"train": [(1, 1.0)], "validation": [(1, 1.0)]})
    alone = notebook.chart("loss", {"validation": [(1, 1.0)]})
    blue, orange = notebook.LOOKS[0][0], notebook.LOOKS[1][0]
    assert blue in both
    assert orange in both
    assert blue not in alone
    assert orange in alone


# -- data sets -----------------------------------------------------------------------------------


def pictures(html: str) -> list[np.ndarray]:
    image = pytest.importorskip("PIL.Image")
    contents = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.array(image.open(io.BytesIO(base64.b64decode(content)))) for content in contents]


def test_images_are_shown_as_they_are():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (70_000, 9, 12), np.uint8)
    data = Dataset(
        pixels, np.arange(70_000) % 3, classes=["zero", HOSTILE, "two"], name=HOSTILE, source=HOSTILE
    )
    text = read(data)
    assert f"Dataset {HOSTILE} · 70,000 × uint8[9, 12] · 3 classes · {HOSTILE}zero{HOSTILE}twozero" in text
    assert text.endswith("and 69,980 more")
    shown = pictures(data._repr_html_())
    assert len(shown) == 20
    assert np.array_equal(shown, pixels[:20])


@for_each(
    "shape, store",
    [
        ((8, 8), lambda images: images),
        ((8, 8), lambda images: images.reshape(3, 64)),
        ((8, 9), lambda images: images[:, np.newaxis]),
        ((8, 9), lambda images: images[..., np.newaxis]),
        ((8, 9, 3), lambda images: images),
        ((8, 9, 3), lambda images: np.moveaxis(images, 3, 1)),
        ((8, 9, 4), lambda images: images),
        ((96, 24), lambda images: images.repeat(40, 1).repeat(40, 2)),
    ],
)
def test_kinds_of_images(shape, store):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    images[0, 0, 0] = 255
    assert np.array_equal(pictures(Dataset(store(images), np.arange(3))._repr_html_()), images)


def test_numbers_become_shades():
    shades = np.zeros((1, 16, 16))
    shades[0, 0, :4] = [0.25, 0.5, 1.0, 0.0]
    assert as_pixels(shades)[0, 0, :4].tolist() == [64, 128, 255, 0]
    assert as_pixels(shades.reshape(1, 256))[0, 0, :4].tolist() == [64, 128, 255, 0]
    assert as_pixels(shades * 4 - 1)[0, 0, :4].tolist() == [64, 128, 255, 0]
    assert as_pixels((shades * 16).astype(np.uint8))[0, 0, :4].tolist() == [64, 128, 255, 0]
    assert as_pixels(shades > 0.3)[0, 0, :4].tolist() == [0, 255, 255, 0]
    shades[0, 1, :3] = [np.nan, np.inf, -np.inf]
    assert as_pixels(shades)[0, 1, :3].tolist() == [0, 255, 0]
    assert as_pixels(np.full((2, 8, 8), np.nan)).max() == 0
    assert as_pixels(np.full((2, 8, 8), -1e308)).shape == (2, 8, 8)


@for_each(
    "inputs",
    [
        np.arange(5.0),
        np.random.default_rng(0).normal(size=(5, 3)),
        np.random.default_rng(0).normal(size=(5, 1024)),
        np.random.default_rng(0).random((5, 64)),
        np.zeros((5, 50, 16)),
        np.zeros((5, 3, 4), np.uint8),
        np.zeros((5, 2, 8, 8, 8)),
        np.zeros((5, 8, 8), complex),
        np.zeros((5, 0)),
        np.array(["a", HOSTILE, "c" * 10_000, "d", "e"]),
        np.array([None, HOSTILE, 3, [1], {"x": 1}], dtype=object),
    ],
)
def test_what_is_no_image_is_a_table(inputs):
    is_text = inputs.dtype.kind == "U"  # which only a transform makes something to learn from
    data = Dataset(inputs, np.arange(5), transform=np.char.str_len if is_text else None)
    html = data._repr_html_()
    assert "<img" not in html
    assert html.count("<tr>") == 6
    text = read(data)
    assert ("alert" in text) == (inputs.dtype.kind in "UO")


def test_a_table_of_numbers():
    data = Dataset(np.arange(30.0).reshape(3, 10) / 8, np.array([1, 7, -1]), classes=["no", "yes"])
    text = read(data)
    assert "targetinput 0input 1" in text
    assert "0yes00.1250.250.3750.50.6250.750.875…17" in text  # a target that is no class is shown as it is
    assert "2-12.5" in text
    assert text.endswith("…")
    assert read(Dataset(np.zeros((0, 28, 28), np.uint8), np.zeros(0))).startswith("Dataset 0 × uint8[28, 28]")
    assert "[0., 1., 0.]" in read(Dataset(np.zeros((3, 2)), np.eye(3)[[1, 1, 1]]))


def test_only_the_first_examples_are_read(tmp_path):
    path = tmp_path / "images"
    written = np.memmap(path, np.uint8, "w+", shape=(1000, 28, 28))
    written[:20] = 200
    written.flush()

    class Watched(np.memmap):
        read = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            Watched.read = max(Watched.read, len(found) if np.ndim(found) == 3 else 1)
            return found

    Reader(Dataset(Watched(path, np.uint8, "r", shape=(1000, 28, 28)), np.arange(1000))._repr_html_())
    assert 0 < Watched.read <= 20


# -- a training under way ------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Display:
    """Stands for IPython: keeps what a notebook would show."""

    def __init__(self, monkeypatch):
        self.shown = []
        module, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        module.get_ipython = lambda: types.SimpleNamespace(kernel=object())
        display.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, thing, *, display_id):
        assert display_id is True
        self.update(thing)
        return self

    def update(self, thing):
        self.shown.append((read(thing), thing._repr_html_(), repr(thing)))


def test_in_a_notebook_training_is_a_table_and_curves(monkeypatch, capsys):
    display = Display(monkeypatch)
    monkeypatch.setattr(progress, "PAUSE_OF_NOTEBOOKS", 0)
    model = nn.MLP([3, 4, 2], rng=0)
    history = fit(model, (X, Y), validation=(X, Y), epochs=3, batch_size=10, rng=0)
    assert capsys.readouterr() == ("", "")
    assert len(display.shown) == 1 + 3 * (4 + 1) + 1
    texts = [text for text, _, _ in display.shown]
    assert texts[0] == "Training starts"
    assert re.match(
        r"Training epoch 2 of 3, step 3 of 4 · loss \d\.\d{4} · \S+ ms a step · \d\.\d s", texts[8]
    )
    assert "width:58.3%" in display.shown[8][1]
    assert display.shown[8][1].count("<svg") == 2
    assert re.match(r"Training 3 epochs · \S+ ms a step · \d\.\d sloss", texts[-1])
    assert 'tg-bar"' not in display.shown[-1][1]
    assert texts[-1].endswith(read(history).partition("epochlr")[2])
    assert display.shown[-1][2].splitlines()[2].startswith("epoch 3/3  train loss ")


def test_a_notebook_is_not_flooded(monkeypatch):
    display = Display(monkeypatch)
    now = [0.0]

    def clock():
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(progress.time, "perf_counter", clock)
    fit(nn.MLP([3, 4, 2], rng=0), (X, Y), epochs=100, batch_size=10, rng=0)
    assert now[0] > 4
    assert now[0] / 0.25 - 5 < len(display.shown) < now[0] / 0.25 + 5
    assert "10 ms a step" in display.shown[-1][0]


def test_what_a_notebook_says_of_a_training_that_ended_early(monkeypatch):
    display = Display(monkeypatch)
    model = nn.MLP([3, 4, 2], rng=0)
    fit(model, (X, Y), validation=(X, -Y + 1), epochs=50, rng=0, callbacks=[EarlyStopping(1)])
    assert re.match(r"Training 2 epochs · .* · no better validation_loss since epoch 1", display.shown[-1][0])

    class Fail(Callback):
        def on_epoch(self, training):
            raise NonFiniteError(HOSTILE)

    with pytest.raises(NonFiniteError):
        fit(model, (X, Y), epochs=5, rng=0, callbacks=[Fail()])
    assert display.shown[-1][0].startswith("Training ended in epoch 1 of 5, step 1 of 1 · ")


def test_a_stream_that_is_asked_for_is_used_in_a_notebook_too(monkeypatch):
    display = Display(monkeypatch)
    stream = io.StringIO()
    fit(
        nn.MLP([3, 4, 2], rng=0),
        (X, Y),
        epochs=2,
        rng=0,
        progress=False,
        callbacks=[tg.training.Progress(stream)],
    )
    assert display.shown == []
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [([], ""), ([0.5, 0.0012345, 0.001], "1.23 ms a step"), ([20.0], "20,000 ms a step")],
)
def test_how_long_a_step_takes(seconds, text):
    clock = progress._Clock(0)
    clock.seconds.extend(seconds)
    assert str(clock) == text
