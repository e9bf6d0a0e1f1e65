"""What training in several processes gains: a step of some networks with 1, 2 and 4 processes, on one machine.

``python -m tests.benchmarks.parallel`` prints the tables of docs/parallel.md. Each measurement is a program of its own,
started by ``mpiexec``; the rounds visit them in turn. The time of a step is the least of all rounds, since whatever
else the machine does only makes it longer. Even so, it should have nothing else to do. Every process has one BLAS
thread.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.training.models import MODELS
from tinygrad_mnist.training.parallel import Parallel

from .run import print_row

#: The networks: how a model is made, and whether the optimizer is Adam.
NETWORKS: dict[str, Callable[[], tg.nn.Module]] = {
    "784-128-10": lambda: tg.nn.MLP([784, 128, 10], rng=0),
    "784-512-256-10": lambda: tg.nn.MLP([784, 512, 256, 10], rng=0),
    "small-cnn": lambda: MODELS["small-cnn"].make(28, 10, np.random.default_rng(0)),
    "lenet": lambda: MODELS["lenet"].make(28, 10, np.random.default_rng(0)),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--network", "networks", type=click.Choice(list(NETWORKS)), multiple=True, help="Only these.")
@click.option("--batch-size", "sizes", type=int, multiple=True, default=[128, 1024], show_default=True)
@click.option("--processes", "counts", type=int, multiple=True, default=[1, 2, 4], show_default=True)
@click.option("--compile", default="numpy", show_default=True, help="numpy, numba or no.")
@click.option("--repeats", default=5, show_default=True, help="Rounds.")
@click.option("--seconds", default=1.0, show_default=True, help="Duration of one measurement.")
@click.option("--worker", hidden=True)
def main(
    networks: tuple[str, ...],
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    compile: str,
    repeats: int,
    seconds: float,
    worker: str | None,
) -> None:
    """Time a training step in several processes, and the sum of a vector of the same length."""
    if worker is not None:
        work(json.loads(worker))
        return
    heads = [f"{n} processes, ms (of which the sum)" for n in counts]
    print_row(["network", "batch", "numbers", "1 process, ms", *heads, *(f"speed-up of {n}" for n in counts)])
    print_row(["---"] * (4 + 2 * len(counts)))
    for name in networks or NETWORKS:
        for size in sizes:
            task = {"network": name, "batch": size, "compile": False if compile == "no" else compile}
            found: dict[int, list[dict[str, Any]]] = {n: [] for n in (0, *counts)}
            for _ in range(repeats):
                for n, results in found.items():
                    results.append(start({**task, "seconds": seconds, "is_parallel": n > 0}, n or 1))
            best = {n: min(r["step"] for r in results) for n, results in found.items()}
            added = {n: min(r["sum"] for r in results) for n, results in found.items()}
            cells = [f"{best[n] * 1e3:.2f} ({added[n] * 1e3:.2f})" for n in counts]
            gains = [f"{best[0] / best[n]:.2f}" for n in counts]
            print_row(
                [name, str(size), f"{found[0][0]['numbers']:,}", f"{best[0] * 1e3:.2f}", *cells, *gains]
            )


def start(task: dict[str, Any], processes: int) -> dict[str, Any]:
    """Run a measurement as a program of its own, in so many processes."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec") or "mpiexec"
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [
        mpiexec,
        "-n",
        str(processes),
        sys.executable,
        "-m",
        __spec__.name,
        "--worker",
        json.dumps(task),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **one})
    return json.loads(done.stdout)


def work(task: dict[str, Any]) -> None:
    """Train for a while; the first process prints the seconds that a step took, and the sum of such a vector."""
    parallel = Parallel.start("mpi") if task["is_parallel"] else Parallel()
    model, loss = NETWORKS[task["network"]](), tg.nn.CrossEntropyLoss()
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    data = rng.random((4096, 784), np.float32), rng.integers(0, 10, 4096)
    loader = tg.data.DataLoader(data, task["batch"], shuffle=True, rng=0)
    step = tg.training.TrainingStep(
        lambda x, y: loss(model(x), y), optimizer, compile=task["compile"], parallel=parallel
    )

    batches = itertools.chain.from_iterable(loader.batches(0, parallel.part) for _ in itertools.count())
    weight = parallel.weigh(loader, 1)[1]
    gradients = [p.data.copy() for p in model.parameters()]
    times = {"step": spend(lambda: step(*next(batches), weight=weight), parallel, task["seconds"])}
    times["sum"] = spend(lambda: parallel.add([0.0], gradients), parallel, task["seconds"] / 4)
    if not parallel.rank:
        print(json.dumps({**times, "numbers": sum(p.size for p in model.parameters())}))


def spend(act: Callable[[], Any], parallel: Parallel, seconds: float) -> float:
    """Act for so many seconds, all processes at the same time; return the least time that an act took."""
    act()
    started, least = perf_counter(), np.inf
    while parallel.share(perf_counter() - started) < seconds:
        parallel.gather(None)
        before = perf_counter()
        act()
        least = min(least, perf_counter() - before)
    return least


if __name__ == "__main__":
    main()
