"""The notebooks of examples/notebooks: without stored output, shown on the site, and they run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import for_each

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(path):
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def stored(notebook):
    """What a notebook holds that is not its text: outputs, counts, and settings of the machine it was made on."""
    cells = notebook["cells"]
    found = [cell["source"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    found += [cell["source"] for cell in cells if cell["metadata"]]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    if notebook["metadata"] != {"kernelspec": kernel, "language_info": {"name": "python"}}:
        found.append("the metadata")
    return found


def test_there_are_notebooks():
    assert {"tensors", "network_from_scratch", "teaching_backpropagation"} <= set(NAMES)


@for_each("path", NOTEBOOKS)
def test_no_output_is_stored(path):
    assert stored(read(path)) == [], "in Jupyter: Edit > Clear Outputs of All Cells, then save"


def test_stored_output_is_noticed():
    notebook = read(NOTEBOOKS[0])
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["6\n"]}]
    assert stored(notebook) == [cell["source"]]
    cell["outputs"], cell["execution_count"] = [], 3
    assert stored(notebook) == [cell["source"]]
    cell["execution_count"], notebook["metadata"]["language_info"]["version"] = None, "3.12.1"
    assert stored(notebook) == ["the metadata"]


def test_the_site_shows_each_of_them():
    contents = (ROOT / "docs" / "site" / "contents.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^examples/notebooks/(\w+)$", contents, flags=re.M)) == NAMES


@for_each("path", NOTEBOOKS)
def test_links_lead_somewhere(path):
    cells = ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
    for link in re.findall(r"\]\(([^)#\s]+)", "\n".join(cells)):
        assert (path.parent / link).exists(), link


@for_each("path", NOTEBOOKS)
def test_nothing_is_downloaded(path):
    """The sample of MNIST and scikit-learn's digits are on the machine; the full MNIST may not be."""
    code = "\n".join(code_of(path))
    assert not re.search(r"load_mnist\((?!\"sample\"\))|load_fashion_mnist|fetch|urlopen|https?:", code)


def run_cells(path, names):
    """Run the cells in this process, without showing what a notebook would show."""
    for number, code in enumerate(code_of(path)):
        exec(compile(code, f"{path.name}, cell {number}", "exec"), names)


@pytest.mark.parametrize("name", ["tensors", "teaching_backpropagation"])
def test_the_quick_ones_run(name, capsys):
    run_cells(ROOT / "examples" / "notebooks" / f"{name}.ipynb", {})


EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
print([output.text for output in outputs if output.get("name") == "stderr"])
"""


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_each_is_executed_by_a_kernel(path, tmp_path):
    """As in Jupyter, in an empty folder: without an error, and with nothing in red."""
    for name in ("nbclient", "ipykernel", "sklearn", "matplotlib"):
        pytest.importorskip(name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "default",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(path), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
