"""The page of a run of ``tinygrad-mnist train``: what was learned, how, and how to go on."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from ..data import DATASETS
from ..errors import pluralise
from ..files import replace
from ..training.runs import Run
from ..viz.figures import DPI
from .page import circumstances, file_link, page, picture, table

__all__ = ["write_training_page"]

#: Pictures of a run, with what they show.
CAPTIONS = {
    "learning_curve.png": "How loss and accuracy went, epoch by epoch",
    "confusion_matrix.png": "Which class is taken for which: green is right, orange is wrong",
    "worst_mistakes.png": "The mistakes it was surest of: true → predicted, and how sure it was",
    "augmented.png": "Training images at the left, and beside them what the network saw: the same, changed at random",
    "first_layer.png": "What the strongest units of the first layer look for: red speaks for a unit, blue against it",
    "feature_maps.png": "What the channels of each convolution see of the first test image, the busiest first",
}

#: Files that a reader may want, beside the pictures.
FILES = (".safetensors", ".json", ".jsonl")

#: Columns of the history that are shares, and all others that are shown.
SHARES = ("train_accuracy", "validation_accuracy")
COLUMNS = ("epoch", "train_loss", "validation_loss", *SHARES, "lr", "seconds")


def write_training_page(run: Run, command: str) -> Path:
    """Write ``index.html`` into the folder of a run that is complete.

    Parameters
    ----------
    run : Run
    command : str
        What was typed.
    """
    result, config = run.result, run.settings.as_dict()
    settings = {name: value for name, value in config.items() if name not in ("data", "classes", "side")}
    body = [
        picture(name, caption, _inches(run.folder / name))
        for name, caption in CAPTIONS.items()
        if (run.folder / name).is_file()
    ]
    body += [
        "<h2>Epoch by epoch</h2>",
        _history(list(run.history())),
        *(file_link(path.name) for path in sorted(run.folder.iterdir()) if path.suffix in FILES),
        "<h2>Again, and further</h2>",
        circumstances(command, settings, str(config["data"])),
        "<pre>" + "\n".join(
            f"tinygrad-mnist {step.format(quote(str(run.folder)))}"
            for step in ("evaluate {}", "predict {} digit.png", "draw-graph {}")
        ) + "</pre>",
    ]  # fmt: skip
    status = (
        f"{pluralise(result['epochs'], 'epoch')} in {result['seconds']:.1f} s"
        f"{', ' + result['stopped'] if result['stopped'] else ''} · {result['parameters']:,} parameters"
    )
    words = f"{result['test_accuracy']:.2%} of the test images are right."
    path = run.folder / "index.html"
    replace(
        path,
        page(
            f"A network that reads {DATASETS[config['dataset']].shows}", words, status, "\n".join(body)
        ).encode(),
    )
    return path


def _inches(path: Path) -> float:
    return int.from_bytes(path.read_bytes()[16:20]) / DPI  # where a PNG file says how wide it is


def _history(rows: list[Any]) -> str:
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    cells = ([_spell(name, row.get(name)) for name in columns] for row in rows)
    return table("", [name.replace("_", " ") for name in columns], cells)


def _spell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if name in SHARES else f"{value:.4g}"
