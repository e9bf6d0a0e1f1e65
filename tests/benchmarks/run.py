"""Time the training steps against each other, in one run, and report ratios.

Every implementation runs in a process of its own, started once per workload and told when to take a sample
(``workers`` says why). Every round visits them in a new random order. One sample is a fresh build (its
weights are the first ones again, and no implementation keeps a lucky memory address; what was compiled
stays so), some untimed steps until its memory has settled, and then enough steps to fill the sample's time.
A ratio is taken within a round, so that a machine that slows down slows down both sides; reported are its
median and, in brackets, its quartiles. The garbage collector and the number of threads stay as a user has
them, unless ``--threads`` sets the latter. Nothing is timed before it agrees with hand-written NumPy.

Only an idle machine gives good numbers: where a threaded BLAS has to share its cores, it waits far longer
than it computes, and all ratios drift towards 1. PyTorch's threads suffer most: while something else used one
of two cores, steps of half a millisecond took 8 to 100. ``--threads 1`` is less easily disturbed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from . import handwritten
from .agreement import assert_same_training
from .compilers import module_of
from .implementations import BASELINE, BUILDS, runnable
from .ours import OURS
from .peers import PEERS
from .workers import THREAD_VARIABLES, Worker, limit_threads, wait_for_threads
from .workloads import WORKLOADS, Build, Problem, Workload, problem

#: What each of ours is compared with, directly.
RIVALS = {
    "eager": ("autograd", "mygrad", "torch"),
    "compiled": ("torch", "torch.compile", "jax.jit"),
    "compiled numba": ("torch", "torch.compile", "jax.jit"),
}

WARM_UP = 3  # steps
LEAST_STEPS = 5

Samples = dict[str, list[float]]
Quartiles = tuple[float, float, float]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workload", "numbers", type=click.IntRange(1, 7), multiple=True, help="Only these.")
@click.option(
    "--only", type=click.Choice(list(BUILDS)[1:]), multiple=True, help="Only these implementations."
)
@click.option("--threads", type=click.IntRange(1), help="Threads and cores of each; all unless given.")
@click.option("--repeats", default=15, show_default=True, help="Samples of each implementation.")
@click.option("--sample-ms", default=20.0, show_default=True, help="Least duration of one sample.")
@click.option("--json", "json_file", type=click.File("w"), help="Also write all samples to this file.")
@click.option("--chart", type=click.Path(path_type=Path), help="Also draw the ratios, to this PNG file.")
def main(
    numbers: tuple[int, ...],
    only: tuple[str, ...],
    threads: int | None,
    repeats: int,
    sample_ms: float,
    json_file: Any,
    chart: Path | None,
) -> None:
    """Time one training step of seven networks: tinygrad_mnist and peers against hand-written NumPy."""
    limit_threads(threads)
    names = [BASELINE, *runnable(only, list(BUILDS)[1:])]
    facts = environment(names)
    click.echo("\n".join(f"{key:9} {value}" for key, value in facts.items()))
    click.echo(
        f"\nOne training step (forward, backward, update): time relative to {BASELINE} NumPy, "
        f"median of {repeats} rounds [quartiles].\n"
    )
    print_row(["workload", f"{BASELINE}, µs", *(f"{name} ×" for name in names[1:])])
    print_row(["---"] * (len(names) + 1))
    measured = []
    for workload in WORKLOADS:
        if not numbers or workload.number in numbers:
            samples = measure(workload, names, repeats=repeats, least_seconds=sample_ms / 1000)
            measured.append((workload, samples))
            report(workload, samples)
    for name in OURS:
        if name in names:
            compare(name, measured)
    if json_file:
        json.dump({"environment": facts, "results": [result(*m) for m in measured]}, json_file, indent=1)
    if chart:
        from .chart import draw

        ratios = {title(w): {n: quartiles(s, n, BASELINE) for n in names[1:]} for w, s in measured}
        draw(ratios, chart, f"{facts['processor']}, threads: {facts['threads']}")


# ---- tables ----------------------------------------------------------------------------------------


def report(workload: Workload, samples: Samples) -> None:
    """Print the row of one workload: the yardstick in microseconds, the others relative to it."""
    ratios = [quartiles(samples, name, BASELINE) for name in samples if name != BASELINE]
    microseconds = f"{statistics.median(samples[BASELINE]) * 1e6:,.1f}"
    print_row([title(workload), microseconds, *map(spread, ratios)])
    if any((high - low) / middle > 0.5 for low, middle, high in ratios):
        click.echo(
            f"Workload {workload.number}: wide quartiles, the machine was busy; run it again.", err=True
        )


def compare(name: str, measured: list[tuple[Workload, Samples]]) -> None:
    """Print how many times faster ``name`` is than each of its rivals."""
    rivals = [rival for rival in RIVALS[name] if measured and rival in measured[0][1]]
    if not rivals:
        return
    click.echo(f"\nHow many times faster “{name}” is, median [quartiles].\n")
    print_row(["workload", *(f"than {rival}" for rival in rivals)])
    print_row(["---"] * (len(rivals) + 1))
    table = [[quartiles(samples, rival, name) for rival in rivals] for _, samples in measured]
    for (workload, _), ratios in zip(measured, table, strict=True):
        print_row([title(workload), *map(spread, ratios)])
    means = [
        statistics.geometric_mean(middle for _, middle, _ in column) for column in zip(*table, strict=True)
    ]
    print_row(["geometric mean", *(f"{mean:.2f}" for mean in means)])


def result(workload: Workload, samples: Samples) -> dict[str, Any]:
    """Return all samples of one workload, and what the tables say about it."""
    pairs = [(name, rival) for name in samples for rival in RIVALS.get(name, ()) if rival in samples]
    return {
        "workload": workload.title,
        "number": workload.number,
        "microseconds_per_step": {k: [round(s * 1e6, 3) for s in v] for k, v in samples.items()},
        "ratio_quartiles_to_handwritten": {
            name: quartiles(samples, name, BASELINE) for name in samples if name != BASELINE
        },
        "times_faster_quartiles": {
            f"{name} than {rival}": quartiles(samples, rival, name) for name, rival in pairs
        },
    }


def title(workload: Workload) -> str:
    return f"{workload.number}. {workload.title}"


def quartiles(samples: Samples, name: str, reference: str) -> Quartiles:
    """Return the lower quartile, median and upper quartile of the ratio within each round."""
    ratios = [a / b for a, b in zip(samples[name], samples[reference], strict=True)]
    if len(ratios) == 1:
        ratios *= 2
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def spread(ratio: Quartiles) -> str:
    low, middle, high = ratio
    return f"{middle:.2f} [{low:.2f}–{high:.2f}]"


def print_row(cells: Sequence[str]) -> None:
    click.echo("| " + " | ".join(cells) + " |")


# ---- measuring -------------------------------------------------------------------------------------


def measure(workload: Workload, names: list[str], *, repeats: int, least_seconds: float) -> Samples:
    """Return seconds per step, ``repeats`` samples of each implementation, in rounds of random order."""
    samples: Samples = {name: [] for name in names}
    order = random.Random(workload.number)
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            wait_for_threads()
            workers[name] = stack.enter_context(Worker(sampler, name, workload, least_seconds))
        for _ in range(repeats):
            for name in order.sample(names, len(names)):
                wait_for_threads()
                samples[name].append(workers[name].ask())
    return samples


def sampler(name: str, workload: Workload, least_seconds: float) -> Callable[[], float]:
    """Prepare one implementation, and return the function that takes a sample: what a worker does."""
    build, start = BUILDS[name], problem(workload)
    settle_allocator()
    if name != BASELINE:
        assert_same_training(name, build, handwritten.build, workload, start)
    wait_for_threads()
    steps = steps_to_fill(least_seconds, build, workload, start)
    return lambda: sample(build, workload, start, steps)


def settle_allocator() -> None:
    """Free one large array, as every process does that has loaded its data.

    From then on glibc keeps freed memory up to twice that size. Before, it may hand the memory of each step
    back to the system and fetch it again, which adds up to 40 % to large batches, or not, by accident of
    what was allocated earlier.
    """
    np.empty(31 << 20, np.uint8)


def sample(build: Build, workload: Workload, start: Problem, steps: int) -> float:
    """Return the seconds that one of ``steps`` steps takes, from a fresh build."""
    step, _ = build(workload, *start)
    for _ in range(WARM_UP):
        step()
    began = perf_counter()
    for _ in range(steps):
        step()
    return (perf_counter() - began) / steps


def steps_to_fill(seconds: float, build: Build, workload: Workload, start: Problem) -> int:
    """Return how many steps take at least ``seconds``, and no fewer than five."""
    steps = LEAST_STEPS
    while (taken := sample(build, workload, start, steps) * steps) < seconds:
        steps = max(steps + 1, min(10 * steps, int(1.2 * steps * seconds / taken)))
    return steps


# ---- the machine -----------------------------------------------------------------------------------


def environment(names: Sequence[str]) -> dict[str, str]:
    """Describe what a reader needs to judge the numbers."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"{os.getloadavg()[0]:.1f} in the last minute" if hasattr(os, "getloadavg") else "unknown"
    limits = [f"{v}={os.environ[v]}" for v in (*THREAD_VARIABLES, "XLA_FLAGS") if v in os.environ]
    with Worker(thread_counter, "torch" in names) as worker:
        threads = ", ".join(f"{count} in {library}" for library, count in worker.ask().items())
    modules = dict.fromkeys(module_of(name) for name in names if name in PEERS)
    if "compiled numba" in names:
        modules |= {"numba": None, "scipy": None}
    return {
        "python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "processor": processor(),
        "numpy": f"{np.__version__} with {blas['name']} {blas['version']}",
        "threads": f"{threads or 'unknown'}, {cores} cores",
        "limits": ", ".join(limits) or "none",
        "load": load,
        "others": ", ".join(f"{module} {version(module)}" for module in modules) or "none",
    }


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def thread_counter(with_torch: bool) -> Callable[[], dict[str, int]]:
    """Return a function that counts the threads of each library: what a worker does."""

    def count() -> dict[str, int]:
        counts = {}
        with contextlib.suppress(ImportError):
            from threadpoolctl import threadpool_info

            pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
            counts["the BLAS"] = max(pools, default=1)
        if with_torch:
            import torch

            counts["torch"] = torch.get_num_threads()
        return counts

    return count
