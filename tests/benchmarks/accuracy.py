"""Time to 97 % and 98 % accuracy on MNIST's test images: `python -m tests.benchmarks.accuracy`.

All train the network of workload 7 (784-512-256-10, relu, batches of 128, Adam with 1e-3) from the same first
weights, on the same batches in the same order, and leave out each epoch's incomplete last one. Every 100
steps the clock stops, and the same NumPy code measures the test accuracy; before the clock goes on, NumPy's
threads get time to go to sleep (see ``workers``). Batches are NumPy arrays, handed over at every step.

The clock starts before the network is made, when imports are done and the images are loaded. It thus counts
compilation, and each training compiles anew: in a process of its own, with empty caches on disk. The table
also shows the start alone, until the first step is done; PyTorch's contains what it imports late.

Rounding decides at which test a goal is first met, and may move it by some hundred steps: the network is the
same, its luck is not. Compare the times of a step, and the medians of many seeds.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import click
import numpy as np

import tinygrad_mnist as tg

from .compilers import module_of
from .implementations import STARTS, runnable
from .run import environment, print_row
from .training import Training
from .workers import Worker, limit_threads, wait_for_threads
from .workloads import WORKLOADS, problem

GOALS = 0.97, 0.98
MOST_EPOCHS = 10
STEPS_BETWEEN_TESTS = 100

WORKLOAD = WORKLOADS[6]


@dataclass
class Race:
    """How one training went."""

    name: str
    seed: int
    start_seconds: float = 0.0  # making the network, compiling, the first step
    curve: list[tuple[int, float, float]] = field(default_factory=list)  # steps, seconds, accuracy

    def seconds_to(self, goal: float) -> float | None:
        """Return when a test first found this accuracy."""
        return next((seconds for _, seconds, accuracy in self.curve if accuracy >= goal), None)

    def steps_to(self, goal: float) -> int | None:
        """Return after how many steps a test first found this accuracy."""
        return next((steps for steps, _, accuracy in self.curve if accuracy >= goal), None)

    @property
    def step_milliseconds(self) -> float:
        """Time of a step, after the first."""
        steps, seconds, _ = self.curve[-1]
        return (seconds - self.start_seconds) / (steps - 1) * 1e3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", default=3, show_default=True, help="Trainings of each implementation.")
@click.option("--only", type=click.Choice(list(STARTS)), multiple=True, help="Only these implementations.")
@click.option("--threads", type=click.IntRange(1), help="Threads and cores of each; all unless given.")
@click.option("--json", "json_file", type=click.File("w"), help="Also write all trainings to this file.")
def main(seeds: int, only: tuple[str, ...], threads: int | None, json_file: Any) -> None:
    """Measure how long training on MNIST takes to reach 97 % and 98 % accuracy on the test images."""
    limit_threads(threads)
    names = runnable(only, STARTS)
    facts = environment(names)
    click.echo("\n".join(f"{key:9} {value}" for key, value in facts.items()))
    races: list[Race] = []
    for seed in range(seeds):
        for name in random.Random(seed).sample(names, len(names)):
            races.append(race_apart(name, seed))
            steps, seconds, reached = races[-1].curve[-1]
            click.echo(
                f"seed {seed}, {name}: {100 * reached:.2f} % after {steps} steps and {seconds:.1f} s",
                err=True,
            )
    click.echo(f"\n{WORKLOAD.title}: median of {seeds} seeds (lowest–highest).\n")
    goals = [f"{100 * goal:.0f} %, {unit}" for goal in GOALS for unit in ("s", "steps")]
    print_row(["implementation", *goals, "start, s", "one step, ms"])
    print_row(["---"] * (len(goals) + 3))
    for name in names:
        print_row(cells(name, [race for race in races if race.name == name]))
    if json_file:
        json.dump({"environment": facts, "trainings": [asdict(race) for race in races]}, json_file, indent=1)


def cells(name: str, races: list[Race]) -> list[str]:
    """Return the row of one implementation."""
    row = [name]
    for goal in GOALS:
        row.append(spread([race.seconds_to(goal) for race in races], "{:.2f}"))
        row.append(spread([race.steps_to(goal) for race in races], "{:.0f}"))
    row.append(spread([race.start_seconds for race in races], "{:.2f}"))
    row.append(spread([race.step_milliseconds for race in races], "{:.2f}"))
    return row


def spread(values: list[Any], form: str) -> str:
    """Write the median, the lowest and the highest, if there is a value for every seed."""
    if None in values:
        return f"not reached by {values.count(None)} of {len(values)}"
    middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
    return f"{middle} ({low}–{high})"


# ---- one training ----------------------------------------------------------------------------------


def race_apart(name: str, seed: int) -> Race:
    """Train in a process of its own, which finds nothing that an earlier one compiled."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(TORCHINDUCTOR_CACHE_DIR=f"{folder}/torch", NUMBA_CACHE_DIR=f"{folder}/numba")
        with Worker(racer, name, seed) as worker:
            wait_for_threads()
            return worker.ask()


def racer(name: str, seed: int) -> Callable[[], Race]:
    """Import what is needed, load the images, and return the training: what a worker does."""
    if name not in ("eager", "compiled", "compiled numba"):
        __import__(module_of(name))
    train, test = tg.data.load_mnist()
    images, labels = vectors(train)
    test_images, test_labels = vectors(test)
    if len(images) < 60_000:
        raise RuntimeError(
            "only the bundled sample is here: set TINYGRAD_MNIST_DATA to the full MNIST's folder"
        )

    def accuracy(training: Training) -> float:
        guesses = predicted(training.read(), test_images)
        wait_for_threads()
        return float(np.mean(guesses == test_labels))

    return lambda: race(name, seed, batches(images, labels, seed), accuracy)


def race(
    name: str,
    seed: int,
    data: Iterator[tuple[np.ndarray, np.ndarray]],
    accuracy: Callable[[Training], float],
) -> Race:
    """Train until the last goal is reached, or ten epochs have passed."""
    weights = problem(WORKLOAD, batch=1, seed=seed).weights
    result, seconds = Race(name, seed), 0.0
    began = perf_counter()
    training = STARTS[name](WORKLOAD, weights, WORKLOAD.batch)
    for steps, (x, y) in enumerate(data, start=1):
        training.step(x, y)
        if steps == 1:
            result.start_seconds = perf_counter() - began
        if steps % STEPS_BETWEEN_TESTS == 0:
            seconds += perf_counter() - began
            result.curve.append((steps, seconds, accuracy(training)))
            if result.curve[-1][2] >= max(GOALS):
                break
            began = perf_counter()
    return result


def batches(images: np.ndarray, labels: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give ten epochs' batches: one permutation for each epoch, all from one seed."""
    rng = np.random.default_rng(seed)
    for _ in range(MOST_EPOCHS):
        order = rng.permutation(len(images))
        for first in range(0, len(order) - WORKLOAD.batch + 1, WORKLOAD.batch):
            chosen = order[first : first + WORKLOAD.batch]
            yield images[chosen], labels[chosen]


def predicted(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the classes that a network with these weights sees in ``x``."""
    *hidden, last = zip(weights[::2], weights[1::2], strict=True)
    for W, b in hidden:
        x = np.maximum(x @ W.T + b, 0)
    return np.argmax(x @ last[0].T + last[1], axis=1)


def vectors(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 images in 0 to 1, one a row, and integer classes."""
    return tg.data.to_vectors(dataset.inputs), np.ascontiguousarray(dataset.targets, np.int64)


if __name__ == "__main__":
    main()
