"""What the page of ``tinygrad-mnist play`` costs: a training with it open over one without, its start, a replay's size.

``python -m tests.benchmarks.watching`` prints what docs/play.md says. Trainings with the page open in a browser and
trainings of the same process without any watcher take turns; a ratio is taken within a round, once of the time on the
wall, in which browser and server compete for the cores, and once of the processor's time of the training itself. The
median of the rounds is shown. Without Chromium, nobody looks at the page, and the table says so.
"""

from __future__ import annotations

import importlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click

from tinygrad_mnist.play.engine import Engine
from tinygrad_mnist.play.train import DEFAULTS, Train
from tinygrad_mnist.play.worker import Line, Worker

from .run import print_row

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = {"model": "mlp", "hidden": [128], "optimizer": "adamw", "batch_size": 128, "epochs": 40}


def alone(line: Line, *, options: dict[str, Any], folder: str) -> None:
    """Train as the room Train does, without a watcher."""
    from tinygrad_mnist import data, training
    from tinygrad_mnist.training.sessions import fit_run
    from tinygrad_mnist.training.settings import Settings

    train_data, _ = data.load(options["dataset"])
    settings = Settings.choose(options, train_data)

    class Clock(training.Callback):
        def on_start(self, training: Any) -> None:
            self.began = process_time(), perf_counter()

        def on_batch(self, training: Any) -> None:
            self.ended = process_time(), perf_counter()

    clock, path = Clock(), Path(folder)
    callbacks = [training.Doctor(), training.Checkpoint(path), clock]
    fit_run(settings.make_model(784), train_data, settings, path, callbacks, threads=1)
    line.tell("took", seconds=[end - start for start, end in zip(clock.began, clock.ended, strict=True)])


def train_alone(options: dict[str, Any]) -> tuple[float, float]:
    """Return the processor's seconds and those on the wall."""
    heard: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        # The process imports this module by its name, which is not that of the program.
        task = importlib.import_module("tests.benchmarks.watching").alone
        worker = Worker(task, heard.append, options={**options, "path": None}, folder=folder)
        worker.process.join()
        worker.close()
    if heard[0]["what"] != "took":
        raise click.ClickException(f"a training failed: {heard[0]['error']}")
    return tuple(heard[0]["seconds"])


@contextmanager
def started(folder: str) -> Iterator[tuple[str, float]]:
    """Start the command; give its address, and when it was typed."""
    began = perf_counter()
    command = [sys.executable, "-m", "tinygrad_mnist", "play", "--no-open"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), began
        finally:
            process.send_signal(2)


def train_watched(page: Any, options: dict[str, Any]) -> tuple[float, float, float, int, int]:
    """Train in an open page; return seconds as :func:`train_alone` does, the share of watching, and counts."""
    return tuple(
        page.evaluate(
            """async (options) => {
                const token = new URLSearchParams(location.search).get("token");
                const socket = new WebSocket(`ws://${location.host}/socket?token=${token}`);
                await new Promise((resolve) => { socket.onopen = resolve; });
                let count = 0;
                const waiting = new Map();
                socket.onmessage = ({ data }) => { const x = JSON.parse(data); waiting.get(x.id)?.(x); };
                const ask = (what, given) => new Promise((resolve) => {
                    waiting.set(++count, resolve);
                    socket.send(JSON.stringify({ id: count, room: "train", do: what, with: given }));
                });
                const run = (await ask("start", { options })).result;
                let news;
                do {
                    await new Promise((resolve) => setTimeout(resolve, 500));
                    news = (await ask("news", { run, event: 0, step: 0 })).result;
                } while (news.state !== "done" && news.state !== "failed");
                const last = news.events.filter((x) => x.what === "steps").at(-1);
                const looks = news.events.filter((x) => x.what === "frame").length;
                await ask("remove", { run });
                socket.close();
                return [last.pace * last.step, last.wall, last.watching, looks, last.step];
            }""",
            options,
        )
    )


def replay_size(epochs: int) -> int:
    """The bytes of a replay."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine([])
        room = engine.rooms["train"] = Train(engine, Path(folder))
        run = room.start({**OPTIONS, "epochs": epochs})
        while room.records[run].state not in ("done", "failed"):
            room.records[run].worker.process.join(0.2)  # type: ignore[union-attr]
        path = room.export(run, "replay")
        engine.close()
    return len(engine.files[path.split("/")[1]].content)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True)
@click.option("--epochs", default=300, show_default=True)
def main(rounds: int, epochs: int) -> None:
    """Measure what the page costs."""
    from playwright.sync_api import sync_playwright

    options = {**OPTIONS, "epochs": epochs}
    full = {**DEFAULTS, "lr": None, **options, "hidden": (128,), "augment": ()}
    walls, processors, shares, starts, looks = [], [], [], [], 0
    with (
        tempfile.TemporaryDirectory() as folder,
        started(folder) as (address, _),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}#train")
        page.wait_for_selector("form")
        for _ in range(rounds):
            cpu, wall = train_alone(full)
            cpu_watched, wall_watched, share, looks, _ = train_watched(page, options)
            processors.append(cpu_watched / cpu)
            walls.append(wall_watched / wall)
            shares.append(share)
        for _ in range(rounds):
            with started(folder) as (second, began):
                fresh = browser.new_page()
                fresh.goto(second)
                fresh.wait_for_selector("h1")
                starts.append(perf_counter() - began)
                fresh.close()
        browser.close()
    print_row(["what", "figure"])
    print_row(["---"] * 2)
    print_row(["training with the page open over without, wall", f"{statistics.median(walls):.3f}"])
    print_row(["the same, of the processor's time", f"{statistics.median(processors):.3f}"])
    print_row(
        [
            "share of watching, as the training itself counts it",
            f"{statistics.median(shares):.1%}, {looks} looks",
        ]
    )
    print_row(["from the command to the page", f"{min(starts):.2f} to {max(starts):.2f} s"])
    print_row(["a replay of 10 epochs", f"{replay_size(10) / 1000:,.0f} kB"])


if __name__ == "__main__":
    main()
