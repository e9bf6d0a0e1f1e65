"""Peak memory of one training step: `python -m tests.benchmarks.memory`.

Counted is what a step needs beyond data, weights and the optimizer's state: gradients, intermediate results,
and what is kept from step to step. tinygrad_mnist is measured by tracemalloc, to which NumPy reports its
arrays; beside the compiled step stands what it says of itself (``step.stats``). PyTorch is measured by the
allocations that its profiler reports, which leave out what its libraries take for themselves.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import click
import numpy as np

from .implementations import BUILDS, runnable
from .ours import OURS, start_compiled
from .run import print_row, title
from .workloads import WORKLOADS, Step, Workload, problem

MEASURED = *OURS, "torch", "torch.compile"
STEPS = 3  # untimed ones, until everything that is kept has been made


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workload", "numbers", type=click.IntRange(1, 7), multiple=True, help="Only these.")
@click.option("--only", type=click.Choice(MEASURED), multiple=True, help="Only these implementations.")
def main(numbers: tuple[int, ...], only: tuple[str, ...]) -> None:
    """Measure the peak memory of one training step of seven networks."""
    names = runnable(only, MEASURED)
    click.echo("Peak memory of one training step beyond data, weights and the optimizer's state, in KiB.\n")
    print_row(
        ["workload", "weights", *names, *(["compiled, by its own count"] if "compiled" in names else [])]
    )
    print_row(["---"] * (len(names) + 2 + ("compiled" in names)))
    for workload in WORKLOADS:
        if numbers and workload.number not in numbers:
            continue
        peaks = [(peak_of_numpy if name in OURS else peak_of_torch)(name, workload) for name in names]
        if "compiled" in names:
            peaks.append(stated(workload))
        print_row([title(workload), *(f"{size / 1024:,.0f}" for size in (weight_bytes(workload), *peaks))])


def weight_bytes(workload: Workload) -> int:
    """Return the size of all weights, which is that of all gradients too."""
    return sum(w.nbytes for w in problem(workload, batch=1).weights)


def peak_of_numpy(name: str, workload: Workload) -> int:
    """Return the bytes of arrays that a step keeps, and of everything that it allocates meanwhile."""
    start = problem(workload)
    states = 3 if workload.optimizer == "adam" else 1  # weights, and Adam's two moments
    return peak_of_arrays(lambda: BUILDS[name](workload, *start)[0]) - states * weight_bytes(workload)


def peak_of_arrays(build: Callable[[], Step]) -> int:
    """Return the bytes of arrays that are there after some steps, and of everything that one more allocates."""
    gc.collect()
    tracemalloc.start()
    try:
        step = build()
        for _ in range(STEPS):
            step()
        gc.collect()
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        return kept + tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def peak_of_torch(name: str, workload: Workload) -> int:
    """Return the highest sum of the allocations of a step, and of the gradients that it finds."""
    start = problem(workload)
    found = weight_bytes(workload) if name == "torch" else 0
    return peak_of_profile(lambda: BUILDS[name](workload, *start)[0]) + found


def peak_of_profile(build: Callable[[], Step]) -> int:
    """Return the highest sum of the allocations of a step, as PyTorch's profiler reports them."""
    from torch.profiler import ProfilerActivity, profile

    step = build()
    for _ in range(STEPS):
        step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    running = np.cumsum([0, *(size for _, size in sorted(changes, key=lambda change: change[0]))])
    return int(running.max())


def stated(workload: Workload) -> int:
    """Return the memory that a compiled step says it keeps."""
    start = problem(workload)
    step = start_compiled(workload, start.weights, len(start.x)).step
    step(start.x, start.y)
    return step.stats.bytes


if __name__ == "__main__":
    main()
