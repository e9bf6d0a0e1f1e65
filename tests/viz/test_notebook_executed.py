"""A notebook, executed by a kernel of its own: what its cells show; and what Tab offers in IPython."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_mnist as tg

ROOT = Path(tg.__file__).resolve().parents[1]

CELLS = {
    "dataset": "import tinygrad_mnist as tg\ntrain, test = tg.data.load_mnist('sample')\ntrain",
    "module": "model = tg.nn.MLP([784, 16, 10], rng=0)\nmodel",
    "tensor": "loss = tg.nn.CrossEntropyLoss()(model(test[:9][0]), test[:9][1])\nloss",
    "graph": "tg.viz.draw_graph(loss)",
    "fit": "history = tg.training.fit(model, train, validation=test, epochs=3, rng=0)",
    "history": "history",
    "summary": "model.summary()",
}

NOTEBOOK = """
import json, sys, nbformat
from nbclient import NotebookClient

cells = json.loads(sys.argv[1])
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells.values()])
notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
NotebookClient(notebook, timeout=120).execute()
print(json.dumps({name: cell.outputs for name, cell in zip(cells, notebook.cells)}))
"""

COMPLETIONS = """
import json, sys
import numpy as np
import tinygrad_mnist as tg
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(user_ns={"tg": tg, "np": np})
shell.Completer.use_jedi = True
shell.Completer.jedi_compute_type_timeout = 60_000  # a busy machine takes its time
shell.run_cell("x = np.ones((4, 3), np.float32)\\nmodel = tg.nn.MLP([3, 2], rng=0)")
shell.run_cell("loss = tg.nn.CrossEntropyLoss()(model(x), np.array([0, 1, 1, 0]))")
found = {}
for text in json.loads(sys.argv[1]):
    with provisionalcompleter():
        found[text] = [completion.text for completion in shell.Completer.completions(text, len(text))]
print(json.dumps(found))
"""


def run(code, argument, tmp_path):
    """Run code in an interpreter of its own, with IPython's files in a folder of its own; it prints JSON."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),  # without the user's kernels: this interpreter is one
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argument)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason=f"a notebook is executed with {name}, which is not installed")
    return run(NOTEBOOK, CELLS, tmp_path_factory.mktemp("notebook"))


def html(outputs) -> str:
    """The HTML of the only output."""
    (output,) = outputs
    return "".join(output["data"]["text/html"])


def test_nothing_is_red(shown):
    assert [
        output for outputs in shown.values() for output in outputs if output["output_type"] == "stream"
    ] == []


def test_each_cell_shows_one_thing(shown):
    assert {name: len(outputs) for name, outputs in shown.items()} == dict.fromkeys(CELLS, 1)


def test_the_faces(shown):
    assert html(shown["dataset"]).count("<img") == 20
    assert "12,730 parameters" in html(shown["module"])
    assert "(1, 16)" in html(shown["module"])
    assert html(shown["summary"]) == html(shown["module"])
    assert "line 1 of the cell: <code>loss = tg.nn.CrossEntropyLoss()" in html(shown["tensor"])
    assert html(shown["history"]).count("<svg") == 2


def test_a_training_is_overwritten_by_its_end(shown):
    text = html(shown["fit"])
    assert re.search(r"<b>Training</b> <span[^>]*>3 epochs · \S+ ms a step", text)
    assert text.count("<svg") == 2
    assert text.partition("<tbody>")[2] == html(shown["history"]).partition("<tbody>")[2]
    assert shown["fit"][0]["output_type"] == "display_data"


def test_a_graph_is_a_picture(shown):
    (output,) = shown["graph"]
    if "image/svg+xml" not in output["data"]:
        pytest.skip("neither dot nor graphviz-pure is installed")
    assert "cross" in "".join(output["data"]["image/svg+xml"]).lower()


@pytest.mark.thorough  # jedi takes seconds
def test_tab_offers_what_a_tensor_has(tmp_path):
    pytest.importorskip("IPython", reason="completions are IPython's, which is not installed")
    pytest.importorskip("jedi", reason="IPython completes calls with jedi, which is not installed")
    found = run(COMPLETIONS, ["loss.", "loss.back", "model(x)."], tmp_path)
    for text in ("loss.", "model(x)."):
        assert {"backward", "grad", "shape", "item", "detach"} <= set(found[text])
        assert not any(name.startswith("_") for name in found[text])
    assert found["loss.back"] == ["backward"]
