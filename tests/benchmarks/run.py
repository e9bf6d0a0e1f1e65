"""Time the training steps against each other, in one run, and report ratios.

Every round visits the implementations in a new random order. One sample is a fresh build (its weights are
the first ones again, and no implementation keeps a lucky memory address), some untimed steps until its
memory has settled, and then enough steps to fill the sample's time. A ratio is taken within a round, so
that a machine that slows down slows down both sides; reported are its median and, in brackets, its
quartiles. The garbage collector and the number of threads stay as a user has them. Nothing is timed before
all implementations agree.

Only an idle machine gives good numbers: where a threaded BLAS has to share its cores, it waits far longer
than it computes, and all ratios drift towards 1.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from time import perf_counter

import click
import numpy as np

from . import handwritten
from .agreement import assert_same_training
from .peers import PEERS, installed_peers
from .workloads import WORKLOADS, Build, Problem, Workload, problem

BASELINE = "hand-written"
OURS = "tinygrad_mnist"

WARM_UP = 3  # steps
LEAST_STEPS = 5

Samples = dict[str, list[float]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workload", "numbers", type=click.IntRange(1, 7), multiple=True, help="Only these.")
@click.option("--repeats", default=15, show_default=True, help="Samples of each implementation.")
@click.option("--sample-ms", default=20.0, show_default=True, help="Least duration of one sample.")
@click.option("--json", "json_file", type=click.File("w"), help="Also write all samples to this file.")
def main(numbers: tuple[int, ...], repeats: int, sample_ms: float, json_file) -> None:
    """Time one training step of seven networks: tinygrad_mnist and peers against hand-written NumPy."""
    builds = implementations()
    facts = environment(builds)
    click.echo("\n".join(f"{key:9} {value}" for key, value in facts.items()))
    for name in PEERS:
        if name not in builds:
            click.echo(f"missing   {name}: pip install 'tinygrad-mnist[bench]'")
    names = [name for name in builds if name != BASELINE]
    ours_against = [name for name in names if name != OURS] if OURS in names else []
    click.echo(
        f"\nOne training step (forward, backward, update): time relative to {BASELINE} NumPy, "
        f"median of {repeats} rounds [quartiles].\n"
    )
    header = ["workload", f"{BASELINE}, µs", *(f"{name} ×" for name in names)]
    header += [f"{OURS} / {name}" for name in ours_against]
    click.echo(row(header))
    click.echo(row("---" for _ in header))

    results = []
    for workload in WORKLOADS:
        if numbers and workload.number not in numbers:
            continue
        samples = measure(workload, builds, repeats=repeats, least_seconds=sample_ms / 1000)
        to_baseline = {name: quartiles(samples, name, BASELINE) for name in names}
        to_peers = {name: quartiles(samples, OURS, name) for name in ours_against}
        click.echo(
            row(
                [
                    f"{workload.number}. {workload.title}",
                    f"{statistics.median(samples[BASELINE]) * 1e6:,.1f}",
                    *map(spread, to_baseline.values()),
                    *map(spread, to_peers.values()),
                ]
            )
        )
        results.append(
            {
                "workload": workload.title,
                "number": workload.number,
                "microseconds_per_step": {k: [round(s * 1e6, 3) for s in v] for k, v in samples.items()},
                "ratio_quartiles_to_handwritten": to_baseline,
                "ratio_quartiles_of_ours_to_peers": to_peers,
            }
        )
        busy = max((high - low) / middle for low, middle, high in [*to_baseline.values(), *to_peers.values()])
        if busy > 0.5:
            click.echo(
                f"Workload {workload.number}: wide quartiles, the machine was busy; run it again.", err=True
            )
    if json_file:
        json.dump({"environment": facts, "results": results}, json_file, indent=1)


def implementations() -> dict[str, Build]:
    """Return what is installed here, the yardstick first."""
    from . import ours

    return {BASELINE: handwritten.build, OURS: ours.build, **installed_peers()}


def measure(workload: Workload, builds: dict[str, Build], *, repeats: int, least_seconds: float) -> Samples:
    """Return seconds per step, ``repeats`` samples of each implementation, in rounds of random order."""
    start = problem(workload)
    settle_allocator()
    for name, build in builds.items():
        assert_same_training(name, build, handwritten.build, workload, start)
    steps = {name: steps_to_fill(least_seconds, build, workload, start) for name, build in builds.items()}
    samples: Samples = {name: [] for name in builds}
    order = random.Random(workload.number)
    for _ in range(repeats):
        for name in order.sample(list(builds), len(builds)):
            samples[name].append(sample(builds[name], workload, start, steps[name]))
    return samples


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


def quartiles(samples: Samples, name: str, reference: str) -> tuple[float, float, float]:
    """Return the lower quartile, median and upper quartile of the ratio within each round."""
    ratios = [a / b for a, b in zip(samples[name], samples[reference], strict=True)]
    if len(ratios) == 1:
        ratios *= 2
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def spread(ratio: tuple[float, float, float]) -> str:
    low, middle, high = ratio
    return f"{middle:.2f} [{low:.2f}–{high:.2f}]"


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def environment(builds: dict[str, Build]) -> dict[str, str]:
    """Describe what a reader needs to judge the numbers."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    limits = "".join(f", {k}={v}" for k, v in os.environ.items() if k.endswith("_NUM_THREADS"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    peers = ", ".join(f"{name} {version(name)}" for name in builds if name in PEERS)
    load = f", load {os.getloadavg()[0]:.1f} in the last minute" if hasattr(os, "getloadavg") else ""
    return {
        "python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "numpy": f"{np.__version__} with {blas['name']} {blas['version']}",
        "threads": f"{blas_threads() or 'unknown'} in the BLAS, {cores} cores{load}{limits}",
        "peers": peers or "none",
    }


def blas_threads() -> int | None:
    """Return how many threads the BLAS uses, if threadpoolctl is there to say so."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(threads, default=None)
