"""A run folder with a page of the results of an experiment: numbers, pictures, weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import viz
from ..errors import MissingExtraError
from ..files import replace
from ..nn import Module
from ..training import History, save_model
from ..viz.figures import DPI
from .page import file_link, page, picture, table

__all__ = ["Report", "Table"]


class Table:
    """Rows of measured values, printed as they are added; see :meth:`Report.table`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Report(folder, "Two seeds").table(mean=True)
    ...     table.add(seed=0, loss=0.25)
    ...     table.add(seed=1, loss=0.75)
       seed     loss
          0     0.25
          1     0.75
    >>> table.summary()
    {'mean': {'loss': 0.5}, 'lowest': {'loss': 0.25}, 'highest': {'loss': 0.75}}
    """

    def __init__(self, report: Report, title: str, mean: bool) -> None:
        self.report, self.title, self.mean = report, title, mean
        self.rows: list[dict[str, Any]] = []
        self._widths: dict[str, int] = {}

    def add(self, **values: Any) -> None:
        """Add a row, and print it."""
        row = {name: v.item() if isinstance(v, np.generic) else v for name, v in values.items()}
        self.rows.append(row)
        self._print(row)
        self.report.write()

    def _print(self, row: dict[str, Any]) -> None:
        """Print a row, below the names of its columns where they are new."""
        cells = {name: _spell(name, value) for name, value in row.items()}
        if list(cells) != list(self._widths):
            room = {
                name: 16 if isinstance(value, str) else 7 for name, value in row.items()
            }  # for rows to come
            self._widths = {
                name: max(len(_heading(name)), len(cell), room[name]) for name, cell in cells.items()
            }
            self._echo({name: _heading(name) for name in cells}, row)
        self._echo(cells, row)

    def _echo(self, cells: dict[str, str], row: dict[str, Any]) -> None:
        click.echo(
            "  ".join(
                cell.ljust(self._widths[name])
                if isinstance(row[name], str)
                else cell.rjust(self._widths[name])
                for name, cell in cells.items()
            ).rstrip()
        )

    def summary(self) -> dict[str, dict[str, float]]:
        """Return mean, lowest and highest value of each column of floats, if the table has means."""
        if not self.mean or len(self.rows) < 2:
            return {}
        columns = {
            name: [row[name] for row in self.rows]
            for name in self.rows[0]
            if all(isinstance(row.get(name), float) for row in self.rows)
        }
        ways: dict[str, Callable[[list[float]], Any]] = {"mean": np.mean, "lowest": min, "highest": max}
        return {way: {name: float(sum_up(v)) for name, v in columns.items()} for way, sum_up in ways.items()}

    def numbers(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {"title": self.title, "rows": self.rows, **self.summary()}

    def html(self) -> str:
        """Return the table as HTML."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        rows = ([_spell(name, row.get(name, "")) for name in names] for row in self.rows)
        foot = (
            [way, *(_spell(name, values.get(name, "")) for name in names[1:])]
            for way, values in self.summary().items()
        )
        return table(self.title, [_heading(name) for name in names], rows, foot)

    def __str__(self) -> str:
        """Return the means as a line, with the lowest and the highest values."""
        ways = self.summary()
        return "  ".join(
            f"{_heading(name)} {_spell(name, mean)} ({_spell(name, ways['lowest'][name])} to "
            f"{_spell(name, ways['highest'][name])})"
            for name, mean in ways.get("mean", {}).items()
        )


class Report:
    """The results of an experiment, written to its folder as they are added.

    ``index.html`` shows everything, and ``result.json`` has the tables. Both are complete at any time, so an
    experiment that is stopped loses nothing.

    Parameters
    ----------
    folder : path
        The folder; it is made if it is missing.
    title, description : str
        What the page begins with.
    circumstances : str, optional
        How it came about, as HTML; see ``experiments.page.circumstances``.

    Attributes
    ----------
    folder : Path

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = Report(folder, "Guessing", "No digit is looked at.")
    ...     runs = report.table("three seeds", mean=True)
    ...     for seed, accuracy in enumerate([0.12, 0.09, 0.1]):
    ...         runs.add(seed=seed, test_accuracy=accuracy)
    ...     report.finish("done")
    ...     sorted(path.name for path in report.folder.iterdir())
       seed  test accuracy
          0         12.00%
          1          9.00%
          2         10.00%
    mean of 3: test accuracy 10.33% (9.00% to 12.00%)
    ['index.html', 'result.json']
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        title: str,
        description: str = "",
        *,
        circumstances: str = "",
    ) -> None:
        self.folder = Path(folder)
        self.title, self.description, self.circumstances = title, description, circumstances
        self.status = "running"
        self._parts: list[str | Table] = []
        self._lacks_plots = False
        self.write()

    def heading(self, text: str) -> None:
        """Start a section, on the page and on the terminal."""
        click.echo(f"\n{text}")
        self._add(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Write text, on the page and on the terminal."""
        click.echo(text)
        self._add(f"<p>{escape(text)}</p>")

    def listing(self, text: str, caption: str = "") -> None:
        """Show preformatted text, such as a model or an error message, on the page and on the terminal."""
        click.echo("\n".join(part for part in (caption, text) if part))
        caption = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._add(f"<figure><pre>{escape(text)}</pre>{caption}</figure>")

    def table(self, title: str = "", *, mean: bool = False) -> Table:
        """Start a table, to which measured rows are added: ``table.add(seed=0, accuracy=0.97)``.

        A column whose name ends with ``accuracy`` is shown in per cent, one that ends with ``seconds`` in
        seconds. With ``mean``, the rows are repeated runs: if there are several, the mean, lowest and highest
        value of each column of floats are shown below them.
        """
        table = Table(self, title, mean)
        self._parts.append(table)
        return table

    def picture(
        self, name: str, plot: Callable[..., Any], *args: Any, caption: str = "", **settings: Any
    ) -> None:
        """Draw a picture into the folder and show it: ``plot(*args, path=folder / name, **settings)``.

        Without the extra ``plots`` there are no pictures; one message says what to install.
        """
        if self._lacks_plots:
            return
        try:
            plot(*args, path=self.folder / name, **settings)
        except MissingExtraError as error:
            self._lacks_plots = True
            self.text(f"No pictures: {error}")
            return
        self.image(name, caption)

    def image(self, name: str, caption: str = "") -> None:
        """Show a picture that is in the folder already."""
        inches = None
        if name.endswith(".png"):  # where the file says how wide it is
            inches = int.from_bytes(self.folder.joinpath(name).read_bytes()[16:20]) / DPI
        self._add(picture(name, caption, inches))

    def history(
        self,
        history: History | Iterable[Mapping[str, Any]],
        name: str = "history",
        *,
        xlabel: str = "epoch",
        caption: str = "",
    ) -> None:
        """Write and draw the measurements of each epoch, or of each row."""
        rows = [dict(row) for row in history]
        History(rows).save(self.folder / f"{name}.jsonl")
        self._link(f"{name}.jsonl")
        if len(rows) > 1:
            caption = caption or f"Progress, {xlabel} by {xlabel}"
            self.picture(f"{name}.png", viz.plot_history, rows, xlabel=xlabel, caption=caption)

    def model(self, model: Module, name: str = "model") -> None:
        """Write the weights, with the description of their model."""
        save_model(model, self.folder / f"{name}.safetensors")
        self._link(f"{name}.safetensors")

    def checkpoints(self, seed: int) -> Path:
        """The folder where the training with this seed saves what it needs to go on: ``fit(…, resume=…)``."""
        return self.folder / "checkpoints" / str(seed)

    def finish(self, status: str) -> None:
        """Write the final status, and print the means."""
        self.status = status
        self.write()
        for part in self._parts:
            if isinstance(part, Table) and str(part):
                click.echo(f"mean of {len(part.rows)}: {part}")

    def write(self) -> None:
        """Write the current page and numbers."""
        tables = [part.numbers() for part in self._parts if isinstance(part, Table) and part.rows]
        result = {"status": self.status, "tables": tables}
        replace(self.folder / "result.json", json.dumps(result, indent=2).encode() + b"\n")
        parts = [part.html() if isinstance(part, Table) else part for part in self._parts]
        body = "\n".join([*parts, self.circumstances])
        replace(self.folder / "index.html", page(self.title, self.description, self.status, body).encode())

    def _add(self, html: str) -> None:
        self._parts.append(html)
        self.write()

    def _link(self, name: str) -> None:
        self._add(file_link(name))


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _spell(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if name.endswith("accuracy"):
        return f"{value:.2%}"
    return f"{value:.2f} s" if name.endswith("seconds") else f"{value:.4g}"
