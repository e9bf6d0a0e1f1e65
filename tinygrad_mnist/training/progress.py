"""The display of a training in progress: a table and curves, a bar, or lines."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any, TextIO

from ..errors import pluralise
from ..notebook import bar, card, is_notebook
from .callbacks import Callback, Training
from .history import Row, show_rows

__all__ = ["Progress"]

#: The shortest time between two updates of the display, in seconds: on a terminal, and in a notebook.
PAUSE, PAUSE_OF_NOTEBOOKS = 0.1, 0.25


class Progress(Callback):
    """Show a table and curves in a notebook, a bar on a terminal, and one line per epoch elsewhere.

    Parameters
    ----------
    file : text stream, optional
        The output of bar and lines; by default, a notebook if one is running, otherwise ``sys.stderr``. If that is
        missing, closed or full, the training goes on without a display.

    Examples
    --------
    >>> import io
    >>> import numpy as np, tinygrad_mnist as tg
    >>> x, y, screen = np.arange(8.0)[:, None], np.arange(8.0)[:, None], io.StringIO()
    >>> history = tg.training.fit(
    ...     tg.nn.Linear(1, 1, rng=0), (x, y), epochs=2, loss="mse", rng=0, progress=False, callbacks=Progress(screen)
    ... )
    >>> len(screen.getvalue().splitlines())
    2
    """

    only_watches = True

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._screen = Callback()

    def on_start(self, training: Training) -> None:
        stream = self.file or sys.stderr
        if self.file is None and is_notebook():
            self._screen = _Live()
        elif stream is not None and not stream.closed:  # a process without a terminal may have none
            self._screen = _Bar(stream) if stream.isatty() else _Lines(stream)
        self._show(self._screen.on_start, training)

    def on_batch(self, training: Training) -> None:
        self._show(self._screen.on_batch, training)

    def on_epoch(self, training: Training) -> None:
        self._show(self._screen.on_epoch, training)

    def on_end(self, training: Training) -> None:
        self._show(self._screen.on_end, training)

    def _show(self, event: Callable[[Training], None], training: Training) -> None:
        try:
            event(training)
        except (OSError, ValueError):
            stream = sys.stderr
            is_gone = stream is None or stream.closed or isinstance(sys.exception(), OSError)
            if self.file is not None or not is_gone:
                raise
            self._screen = Callback()


class _Lines(Callback):
    """One line per epoch. It contains no times, so the same training prints the same lines."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def on_epoch(self, training: Training) -> None:
        print(_line(training, training.history[-1]), file=self.stream, flush=True)


class _Clock:
    """The time of a step: the median of the last ones, so that compiling and validating do not count."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.seconds: deque[float] = deque(maxlen=100)
        self.start = self.last = time.perf_counter()
        self.shown = -math.inf

    def tick(self) -> None:
        """Note that a step ended."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now

    def skip(self) -> None:
        """Ignore the time since the last step."""
        self.last = time.perf_counter()

    def is_due(self) -> bool:
        """Whether the display is out of date; if so, it counts as updated now."""
        is_due = self.last - self.shown >= self.pause
        if is_due:
            self.shown = self.last
        return is_due

    def __str__(self) -> str:
        if not self.seconds:
            return ""
        milliseconds = 1000 * statistics.median(self.seconds)
        return f"{milliseconds:,.0f} ms a step" if milliseconds > 100 else f"{milliseconds:.3g} ms a step"


class _Bar(_Lines):
    """A bar on a terminal, and above it one line per epoch."""

    def on_start(self, training: Training) -> None:
        from tqdm import tqdm

        self.clock = _Clock(PAUSE)
        layout = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
        self.bar = tqdm(total=training.batches, file=self.stream, leave=False, bar_format=layout)

    def on_batch(self, training: Training) -> None:
        if training.batch == 1 or not self.bar.desc:  # an epoch may have been interrupted and go on
            self.bar.reset()
            self.bar.set_description(f"epoch {training.epoch}/{training.epochs}")
            self.bar.update(training.batch - 1)
        self.clock.tick()
        if self.clock.is_due():
            self.bar.set_postfix_str(f"loss {training.loss:.4f}, {self.clock}", refresh=False)
        self.bar.update()

    def on_epoch(self, training: Training) -> None:
        self.bar.write(f"{_line(training, training.history[-1])}  {self.clock}", file=self.stream)
        self.clock.skip()

    def on_end(self, training: Training) -> None:
        self.bar.close()


class _Live(Callback):
    """A table and curves in a notebook's output, updated a few times a second.

    It is one piece of HTML, not a widget: it needs no extension, and is still there when the notebook is
    opened again.
    """

    def on_start(self, training: Training) -> None:
        self.training, self.is_over = training, False
        self.clock = _Clock(PAUSE_OF_NOTEBOOKS)
        # Not an import: nothing here depends on IPython, which is loaded if a notebook is running.
        self.display = import_module("IPython.display").display(self, display_id=True)

    def on_batch(self, training: Training) -> None:
        self.clock.tick()
        self._show()

    def on_epoch(self, training: Training) -> None:
        self._show()
        self.clock.skip()

    def on_end(self, training: Training) -> None:
        self.is_over = True
        self.display.update(self)

    def _show(self) -> None:
        if self.clock.is_due():
            self.display.update(self)

    def __repr__(self) -> str:
        return "\n".join(_line(self.training, row) for row in self.training.history) or "training starts"

    def _repr_html_(self) -> str:
        training, rows = self.training, self.training.history.rows
        where = (
            f"epoch {training.epoch} of {training.epochs}, step {training.batch:,} of {training.batches:,}"
        )
        if self.is_over:
            is_whole = training.stop or len(rows) == training.epochs
            where = pluralise(len(rows), "epoch") if is_whole else f"ended in {where}"
        seconds = f"{self.clock.last - self.clock.start:.1f} s"
        loss = "" if self.is_over or math.isnan(training.loss) else f"loss {training.loss:.4f}"
        steps = (training.epoch - 1) * training.batches + training.batch
        done = "" if self.is_over else bar(steps / (training.epochs * training.batches))
        facts = [where, loss, str(self.clock), seconds, training.stop] if training.epoch else ["starts"]
        return card("Training", facts, done, *show_rows(rows))


def _line(training: Training, row: Row) -> str:
    epoch = f"epoch {row['epoch']:>{len(str(training.epochs))}}/{training.epochs}"
    measures = [
        f"{name.replace('_', ' ')} {_spell(name, row[name])}" for name in row if name not in ("epoch", "lr")
    ]
    return "  ".join([epoch, *measures])


def _spell(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4f}"
