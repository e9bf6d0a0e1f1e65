"""Draw the pictures of these pages, with the project itself.

    python docs/make_pictures.py                      (draw what is stale; --list says what that is)
    python docs/make_pictures.py five_experiments_e5  (draw one, or several, in any case)
    python docs/make_pictures.py teaching_            (draw all whose names begin so)
    python docs/make_pictures.py --all

Drawings of graphs take seconds. Pictures of experiments come from a run with all the data, and take as long
as its training; MNIST is looked for as always (``tinygrad-mnist data info``).

``pictures.json`` holds for each picture a digest of its file, and one of what it was made from: the text
of a graph; or the script of an experiment with its arguments, and every function of ``viz`` that it draws
with. Comments, docstrings, messages, help texts, type annotations and the names of modules do not count.
A test compares both with what is there now. ``--accept NAME`` says that a change cannot be seen in a picture,
without training again. What else the numbers come from (optimizers, say) is not looked at.
"""

import ast
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import FunctionType

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.palette import BLUE, ORANGE
from tinygrad_mnist.training.broken import BROKEN
from tinygrad_mnist.viz import figures
from tinygrad_mnist.viz.steps.expression import compute, read_values

DOCS = Path(__file__).resolve().parent
MANIFEST = DOCS / "pictures.json"

# -- graphs -----------------------------------------------------------------------------------------


def expression():
    """The running example of how_it_works.md."""
    x = tg.tensor(2.0, requires_grad=True)
    y = tg.tensor(3.0, requires_grad=True)
    x.name, y.name = "x", "y"
    return tg.viz.draw_graph(x * y + np.sin(x))


def fan_out():
    """A value used twice: its gradient is a sum."""
    x = tg.tensor(2.0, requires_grad=True)
    x.name = "x"
    a = x * x
    return tg.viz.draw_graph(a + np.exp(a))


def second_order():
    """The gradient of a gradient is a graph like any other."""
    x = tg.tensor(2.0, requires_grad=True)
    x.name = "x"
    (x**3).backward(create_graph=True)
    return tg.viz.draw_graph(x.grad)


def classifier():
    """One training step of a two-layer network."""
    model = tg.nn.MLP([784, 128, 10], rng=0)
    images, labels = np.zeros((64, 784), np.float32), np.zeros(64, int)
    return tg.viz.draw_graph(tg.nn.CrossEntropyLoss()(model(images), labels))


def collapsed():
    """A deep network, each module one box."""
    model = tg.nn.MLP([784, 512, 256, 128, 10], dropout=0.2, rng=0)
    images, labels = np.zeros((64, 784), np.float32), np.zeros(64, int)
    loss = tg.nn.CrossEntropyLoss()(model(images), labels)
    return tg.viz.draw_graph(loss, collapse=True)


GRAPHS = {
    f"images/{graph.__name__}.svg": graph
    for graph in (expression, fan_out, second_order, classifier, collapsed)
}

# -- experiments ------------------------------------------------------------------------------------

#: Script, arguments, and which pictures of its folder are shown: their names there and in the docs.
EXPERIMENTS = [
    ("sigmoid_network", "--full --seeds 3", {"history": "history", "first_layer": "first_layer"}),
    ("sigmoid_network", "--full --seeds 3 --study", {"activations": "activations"}),
    ("small_digits", "--seeds 3", {"cycles": "cycles", "images": "images", "outputs": "outputs"}),
    ("five_experiments", "e2 --full --seeds 3", {"e2_learning_rate": "e2"}),
    ("five_experiments", "e3 --full --seeds 3", {"e3_epochs": "e3"}),
    ("five_experiments", "e4 --full", {"e4_both": "e4"}),
    ("five_experiments", "e5 --full", {"e5_backwards": "e5"}),
    ("linked_layers", "--full --seed 2", {"mistakes": "mistakes"}),
    ("linked_layers", "--bugs --full", {"weights": "weights"}),
    ("full_batch", "--full", {"before": "before", "after": "after", "history": "history"}),
    ("fashion", "--full", {"kinds": "kinds", "confusion": "confusion", "mistakes": "mistakes"}),
    ("curve_regression", "--full --seeds 5", {"curve": "fit"}),
    (
        "adversarial_examples", "--full --neurons 200 --defend",
        {"attack_usual": "usual", "attack_defended": "defended", "accuracy": "accuracy"},
    ),
    ("row_by_row", "--full", {"beliefs": "beliefs", "changes": "changes", "rows": "rows"}),
    ("autoencoder", "--full", {"reconstructions": "reconstructions", "map": "map", "plane": "plane"}),
    ("variational_autoencoder", "--full", {"new_digits": "new_digits", "walks": "walks"}),
    ("variational_autoencoder", "--full --code 2", {"map": "map", "plane": "plane"}),
    ("convolution", "--full --seeds 3 --compile numpy", {"distance": "distance", "moved": "moved"}),
    ("speedrun", "--full --seeds 3 --compile numpy", {"lengths": "lengths"}),
    ("elastic", "--epochs 30 --neurons 200 --seeds 3 --compile numpy", {"bent": "bent", "epochs": "epochs"}),
    ("resnet", "--channels 8 --blocks 8 --epochs 5", {"shortcuts": "shortcuts", "confusion": "confusion"}),
    ("char_rnn", "--full --compile numpy", {"bits": "bits"}),
    ("tiny_gpt", "--full --compile numpy", {"looks": "looks"}),
    ("tiny", "--full --compile numba", {"weights": "weights", "mistakes": "mistakes"}),
]  # fmt: skip

#: What the pictures of an experiment begin with, where that is not its name.
SHORT = {"adversarial_examples": "adversarial", "curve_regression": "curve", "variational_autoencoder": "vae"}


def shown(script, pictures):
    """Return which file of a run's folder is which picture of the docs."""
    return {
        f"{there}.png": f"systems/images/{SHORT.get(script, script)}_{here}.png"
        for there, here in pictures.items()
    }


RUNS = {
    picture: (script, arguments)
    for script, arguments, pictures in EXPERIMENTS
    for picture in shown(script, pictures).values()
}

# -- broken trainings ---------------------------------------------------------------------------------


def broken(code):
    """Draw the losses of a broken training, and of the mended one beside it."""
    training = BROKEN[code]
    figure = figures.new_figure(3.1, 1.7)
    axes = figure.add_subplot()
    for mended, colour, label in ((False, ORANGE, "broken"), (True, BLUE, "mended")):
        losses = training.losses(mended=mended)
        axes.plot(np.linspace(0, 1, len(losses)), losses, color=colour, lw=1.2, label=label)
    if code in LOGARITHMIC:
        axes.set_yscale("log")
    axes.set_xticks([])
    axes.set_xlabel("epochs" if training.in_time else "batches", fontsize=8)
    axes.set_ylabel("validation loss" if training.in_time else "loss", fontsize=8)
    axes.legend(frameon=False, fontsize=7)
    figures.tidy(axes)
    axes.tick_params(labelsize=7)
    return figure


#: Losses that differ by powers of ten.
LOGARITHMIC = {"sum-for-mean", "inputs-not-scaled", "learning-rate-too-high"}
CURVES = {f"images/broken_{code.replace('-', '_')}.png": code for code in BROKEN}

# -- screens of the step player and of the page ---------------------------------------------------------


def played(formula, values, steps):
    """The step player on a formula, after some steps."""
    result, names = compute(formula, read_values(values))
    page = tg.viz.step_through(result if result.size == 1 else result.sum(), names=names)

    def act(screen):
        screen.set_content(page.html)
        for _ in range(steps):
            screen.keyboard.press("ArrowRight")

    return act


def forward():
    return played("x * w + b", "x=2 w=0.5 b=-1", 4)


def backward():
    return played("x * w + b", "x=2 w=0.5 b=-1", 9)


def meeting():
    return played("(w * x - y) ** 2 + 0.1 * w ** 2", "w=0.5 x=2 y=3", 23)


def product():
    """A product of matrices, with the row and the column behind a number of the result."""
    play = played("mean(tanh(x @ w))", "x=[[1,2,0],[0,1,-1]] w=[[0.5,1],[-1,0.2],[0.3,-0.7]]", 2)

    def act(screen):
        play(screen)
        screen.locator("#panel figure").last.locator("td").nth(1).click()

    return act


def room(name, act):
    """A room of the page, in use."""

    def show(screen):
        command = [sys.executable, "-m", "tinygrad_mnist", "play", "--no-open"]
        with tempfile.TemporaryDirectory() as folder:
            server = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
                env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
            )  # fmt: skip
            try:
                screen.goto(f"{server.stdout.readline().strip()}#{name}")
                act(screen)
                screen.wait_for_timeout(500)
                yield
            finally:
                server.terminate()
                server.wait()

    return show


def seven():
    def act(screen):
        box = screen.locator(".pad").bounding_box()
        line = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        screen.mouse.move(*places[0])
        screen.mouse.down()
        for x, y in places[1:]:
            screen.mouse.move(x, y, steps=10)
        screen.mouse.up()
        screen.wait_for_selector('.answer[data-said="7"]')

    return room("draw", act)


def trainings():
    """A training, and a fork of it with a higher rate."""

    def act(screen):
        screen.get_by_label("Learning rate").fill("0.03")
        screen.get_by_role("button", name="Start").click()
        screen.locator('.state[data-state="done"]').wait_for()
        scrub = screen.get_by_label("Step", exact=True)
        scrub.evaluate("e => { e.value = 300; e.dispatchEvent(new Event('input')); }")
        screen.get_by_label("to", exact=True).fill("0.3")
        screen.get_by_role("button", name="Fork from here").click()
        screen.locator('.state[data-state="done"]').nth(1).wait_for()
        screen.wait_for_timeout(8000)  # until its last message is gone

    return room("train", act)


def mended():
    """A broken training, what the doctor says of it, and the mended one beside it."""

    def act(screen):
        screen.get_by_label("What somebody did").select_option("dead-units")
        screen.get_by_role("button", name="Train it").click()
        screen.locator("#cure").click()
        screen.locator('.state[data-state="done"]').nth(1).wait_for()
        screen.evaluate("scrollTo(0, 0)")

    return room("train", act)


def spirals():
    def act(screen):
        screen.locator(".unit").first.wait_for()
        screen.get_by_label("Speed").select_option("0")
        screen.get_by_role("button", name="Play").click()
        screen.wait_for_timeout(4000)
        screen.get_by_role("button", name="Pause").click()

    return room("plane?data=spirals&noise=0.08&hidden=8-6-4&decay=0.003", act)


#: What makes each screen, and its size.
SCREENS = {
    "images/play_train.png": (trainings, 1180, 1010),
    "images/play_broken.png": (mended, 1180, 1010),
    "images/play_plane.png": (spirals, 1240, 900),
    "images/teaching_forward.png": (forward, 900, 430),
    "images/teaching_backward.png": (backward, 900, 560),
    "images/teaching_meeting.png": (meeting, 900, 560),
    "images/teaching_product.png": (product, 900, 560),
    "images/teaching_seven.png": (seven, 1300, 760),
}


def photograph(pictures):
    """Take pictures of screens, with a browser."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for picture in pictures:
            make, width, height = SCREENS[picture]
            screen = started.new_page(viewport={"width": width, "height": height})
            shown = make()(screen)  # a room is shown until its server is closed
            if shown is not None:
                next(shown)
            screen.screenshot(path=DOCS / picture)
            if shown is not None:
                shown.close()
            screen.close()
            note([picture])


# -- what a picture is made from --------------------------------------------------------------------

UNSEEN_KEYWORDS = {"help", "caption", "show_default", "metavar"}
UNSEEN_CALLS = {("report", "text"), ("report", "heading"), ("report", "listing"), ("click", "echo")}


def source_of(picture):
    """Return a digest of what a picture is made from."""
    if picture in GRAPHS:
        parts = [GRAPHS[picture]().source, *reach([sys.modules[tg.viz.render_graph.__module__].centre_text])]
    elif picture in SCREENS:
        make, *size = SCREENS[picture]
        parts = [inspect.getsource(make), repr(size)]
    elif picture in CURVES:
        code = CURVES[picture]
        parts = [inspect.getsource(BROKEN[code].make), inspect.getsource(broken), repr(code in LOGARITHMIC)]
    else:
        script, arguments = RUNS[picture]
        tree = ast.parse((DOCS.parent / "examples" / f"{script}.py").read_text(encoding="utf-8"))
        parts = [arguments, essence(tree), *reach(drawing_functions(tree))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def drawing_functions(tree):
    """List the functions of ``viz`` that a script names, or that a report draws with by itself."""
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = [getattr(tg.viz, name) for name in sorted(names & set(tg.viz.__all__))]
    if "history" in names:
        found.append(tg.viz.plot_history)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinygrad_mnist.viz"):
            module = sys.modules.get(node.module) or __import__(node.module, fromlist=["*"])
            found += [getattr(module, alias.name) for alias in node.names]
    return found


def reach(functions):
    """Return the essence of functions of ``viz``, of all those they call, and the values they use."""
    found, seen, waiting = [], set(), list(functions)
    while waiting:
        thing = inspect.unwrap(waiting.pop()) if callable(waiting[-1]) else waiting.pop()
        if not isinstance(thing, (FunctionType, type)):
            found.append(repr(thing))
            continue
        if id(thing) in seen or not thing.__module__.startswith("tinygrad_mnist.viz"):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
        seen.add(id(thing))
        found.append(essence(tree))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        scope = vars(sys.modules[thing.__module__])
        for name in sorted(names & set(scope)):
            value = scope[name]
            if isinstance(value, (FunctionType, type)) or hasattr(value, "__wrapped__"):
                waiting.append(value)
            elif isinstance(value, (str, int, float, tuple, list, dict)):
                found.append(f"{name} = {value!r}")
    return sorted(set(found))


def essence(node):
    """Write a piece of a program without what cannot be seen in a picture."""
    if isinstance(node, list):
        return f"[{', '.join(filter(None, map(essence, node)))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise)) or is_unseen_statement(node):
        return ""
    if isinstance(node, ast.keyword) and node.arg in UNSEEN_KEYWORDS:
        return ""
    fields = (
        f"{name}={essence(value)}"
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("annotation", "returns", "ctx", "type_comment", "kind")
    )
    return f"{type(node).__name__}({', '.join(fields)})"


def is_unseen_statement(node):
    """Tell whether a statement is a docstring, or only says something."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    call = node.value.func if isinstance(node.value, ast.Call) else None
    return (
        isinstance(call, ast.Attribute)
        and isinstance(call.value, ast.Name)
        and (call.value.id, call.attr) in UNSEEN_CALLS
    )


# -- the manifest -----------------------------------------------------------------------------------


def digest(picture):
    return hashlib.sha256((DOCS / picture).read_bytes()).hexdigest()[:16]


def read_manifest():
    return json.loads(MANIFEST.read_text()) if MANIFEST.is_file() else {}


def note(pictures):
    """Write down what pictures are made from now."""
    known = read_manifest()
    for picture in pictures:
        entry = {"source": source_of(picture), "file": digest(picture)}
        if picture in RUNS:
            entry["command"] = "python examples/{}.py {}".format(*RUNS[picture])
        known[picture] = entry
    kept = {
        picture: known[picture] for picture in sorted(known) if picture in {*GRAPHS, *CURVES, *SCREENS, *RUNS}
    }
    MANIFEST.write_text(json.dumps(kept, indent=1) + "\n")


def is_stale(picture, manifest):
    """Tell why a picture has to be drawn again, or return ''."""
    if picture not in manifest or not (DOCS / picture).is_file():
        return "is missing"
    if manifest[picture]["file"] != digest(picture):
        return "was changed by hand"
    return "" if manifest[picture]["source"] == source_of(picture) else "is made from something else now"


def draw_graphs(folder):
    """Draw all graphs into a folder."""
    for picture, graph in GRAPHS.items():
        tg.viz.render_graph(graph(), Path(folder) / Path(picture).name)


def run(script, arguments, pictures):
    """Run an experiment, and take over its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, f"examples/{script}.py", *arguments.split()]
        click.echo(f"{' '.join(command[1:])}  → {', '.join(pictures.values())}")
        subprocess.run([*command, "--out", folder], cwd=DOCS.parent, check=True)
        for there, here in pictures.items():
            shutil.copyfile(Path(folder) / there, DOCS / here)
        note(pictures.values())


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Draw all pictures, stale or not.")
@click.option("--list", "only_list", is_flag=True, help="Say what is stale, and draw nothing.")
@click.option(
    "--accept", is_flag=True, help="Take pictures for what would be drawn now: NAMES, or all that are stale."
)
def main(names, everything, only_list, accept):
    manifest = read_manifest()
    known = {Path(picture).stem: picture for picture in [*GRAPHS, *CURVES, *SCREENS, *RUNS]}
    names = [
        n
        for name in names
        for n in ([k for k in known if k.startswith(name)] if name.endswith("_") else [name])
    ]
    if unknown := set(names) - set(known):
        raise click.BadParameter(
            f"no picture is called {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    why = {picture: is_stale(picture, manifest) for picture in known.values()}
    if only_list:
        for picture in filter(why.get, why):
            click.echo(f"{picture} {why[picture]}")
        return
    wanted = {known[name] for name in names} or {picture for picture in why if everything or why[picture]}
    if accept:
        note(picture for picture in wanted if (DOCS / picture).is_file())
        return
    if wanted & set(GRAPHS):
        draw_graphs(DOCS / "images")
        note(GRAPHS)
    for picture in sorted(wanted & set(CURVES)):
        broken(CURVES[picture]).savefig(DOCS / picture, dpi=110)
        note([picture])
    if wanted & set(SCREENS):
        photograph(sorted(wanted & set(SCREENS)))
    for script, arguments, pictures in EXPERIMENTS:
        if wanted & set(shown(script, pictures).values()):
            run(script, arguments, shown(script, pictures))


if __name__ == "__main__":
    main()
