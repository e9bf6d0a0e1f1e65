"""What threads cost: the seven networks with one BLAS thread, with all, and as ``fit`` chooses, idle and busy.

``python -m tests.benchmarks.threads`` prints the table of docs/threads.md. "Busy" means that a process computes
on every core. Each step is timed in rounds that visit the three settings in turn; a ratio is taken to one thread,
within a round. What `fit` chooses is chosen anew in each round, on the machine as it is.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import click
import numpy as np

from tinygrad_mnist.data import DataLoader
from tinygrad_mnist.nn import MLP
from tinygrad_mnist.training.threads import VARIABLES, choose_threads, count_threads, limit_threads

from .ours import build, build_compiled
from .run import print_row
from .workers import wait_for_threads
from .workloads import WORKLOADS, Workload, problem

STEPS = {"eager": build, "compiled": build_compiled}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workload", "numbers", type=click.IntRange(1, 7), multiple=True, help="Only these.")
@click.option("--repeats", default=5, show_default=True, help="Rounds.")
@click.option("--sample-ms", default=200.0, show_default=True, help="Duration of one sample.")
def main(numbers: tuple[int, ...], repeats: int, sample_ms: float) -> None:
    """Time one step of seven networks with one thread, all threads, and as many as `fit` takes."""
    if any(os.environ.get(name) for name in VARIABLES):
        raise click.UsageError(f"unset {', '.join(VARIABLES)}: they decide how many threads there are")
    every = count_threads()
    if every is None or every == 1:
        raise click.UsageError("the BLAS has one thread, so there is nothing to choose")
    heads = [
        f"{state}: {what}"
        for state in ("idle", "busy")
        for what in ("one, ms", f"{every} ×", "fit ×", "fit's")
    ]
    print_row(["network", "step", *heads])
    print_row(["---"] * (len(heads) + 2))
    for workload in WORKLOADS:
        if not numbers or workload.number in numbers:
            for name in STEPS:
                idle = measure(workload, name, every, repeats, sample_ms / 1000)
                with busy():
                    used = measure(workload, name, every, repeats, sample_ms / 1000)
                print_row([f"{workload.number}. {workload.title}", name, *idle, *used])


def measure(workload: Workload, name: str, every: int, repeats: int, seconds: float) -> list[str]:
    """Return the milliseconds of a step with one thread, the ratios of all threads and of `fit`'s, and those."""
    start = problem(workload)
    step, _ = STEPS[name](workload, *start)
    loader = DataLoader((start.x, start.y), workload.batch)
    model = MLP(workload.sizes, rng=0)
    samples: dict[str, list[float]] = {"one": [], "all": [], "fit": []}
    chosen = []
    for _ in range(repeats):
        chosen.append(choose_threads(model, loader))
        for what, threads in (("one", 1), ("all", every), ("fit", chosen[-1])):
            with limit_threads(threads):
                wait_for_threads()
                samples[what].append(sample(step, seconds))
    one = samples["one"]
    ratios = {
        what: statistics.median(a / b for a, b in zip(samples[what], one, strict=True))
        for what in ("all", "fit")
    }
    counts = " ".join(
        f"{n}×{chosen.count(n)}" if len(set(chosen)) > 1 else f"{n}" for n in sorted(set(chosen), key=str)
    )
    return [f"{statistics.median(one) * 1e3:.3g}", f"{ratios['all']:.2f}", f"{ratios['fit']:.2f}", counts]


def sample(step: Callable[[], float], seconds: float) -> float:
    """Return the seconds that a step takes."""
    for _ in range(3):
        step()
    started, steps = perf_counter(), 0
    while steps < 3 or perf_counter() - started < seconds:
        step()
        steps += 1
    return (perf_counter() - started) / steps


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy with another process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        wait_for_threads()
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    np.empty(31 << 20, np.uint8)  # see run.settle_allocator
    main()
