"""What derivatives of functions cost, in evaluations of the function: `python -m tests.benchmarks.transforms`.

One evaluation is the function called with plain arrays. Every round visits the function and its derivatives
in turn, and a ratio is taken within a round; reported are the median of the ratios and, in brackets, their
quartiles. ``jvp`` returns value and change, ``value_and_grad`` value and gradient (of a weighted sum of the
results), ``hvp`` a product with the Hessian of that sum.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812

LEAST_SECONDS = 0.02


def cases() -> dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]]:
    """Functions and where to differentiate them: by all of their arguments."""
    rng = np.random.default_rng(0)
    images = rng.random((128, 784))
    sizes = (784, 512, 256, 10)
    weights = tuple(rng.normal(size=(n, m)) / n**0.5 for n, m in itertools.pairwise(sizes))
    square, matrix = rng.normal(size=(300, 300)), rng.normal(size=(200, 200)) + 20 * np.eye(200)

    def network(a, b, c):
        return F.log_softmax(np.tanh(np.maximum(images @ a, 0) @ b) @ c)

    def elementwise(x):
        return np.exp(np.sin(x)) * np.cos(x) + np.sqrt(x * x + 1)

    def attention(q, k):
        return F.softmax(q @ k.T) @ k

    return {
        "784-512-256-10, batch 128, by all weights": (network, weights),
        "exp(sin x) cos x + √(x² + 1), 300 × 300": (elementwise, (square,)),
        "softmax(q kᵀ) k, 300 × 300": (attention, (square, square * 0.1)),
        "logsumexp over rows, 300 × 300": (lambda x: F.logsumexp(x, axis=1), (square,)),
        "solve, 200 × 200, 200 columns": (np.linalg.solve, (matrix, square[:200, :200])),
        "eigvalsh, 200 × 200": (np.linalg.eigvalsh, (matrix + matrix.T,)),
    }


def derivatives(f: Callable[..., Any], args: tuple[np.ndarray, ...]) -> dict[str, Callable[[], Any]]:
    """Everything that is timed for one function."""
    rng = np.random.default_rng(1)
    tangents = tuple(rng.normal(size=x.shape) for x in args)
    weights = rng.normal(size=np.shape(f(*args)))

    def total(*args):
        return np.sum(f(*args) * weights)

    return {
        "f": lambda: f(*args),
        "jvp": lambda: tg.jvp(f, args, tangents),
        "value_and_grad": lambda: tg.value_and_grad(total, range(len(args)))(*args),
        "hvp": lambda: tg.hvp(total, args, tangents),
    }


def seconds(call: Callable[[], Any]) -> float:
    """Time per call, over enough calls to fill the least duration."""
    calls, start = 0, perf_counter()
    while (spent := perf_counter() - start) < LEAST_SECONDS or not calls:
        call()
        calls += 1
    return spent / calls


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repeats", default=9, show_default=True, help="Rounds.")
def main(repeats: int) -> None:
    """Time jvp, value_and_grad and hvp of some functions, in evaluations of the function."""
    click.echo("| function | one evaluation, ms | jvp × | value_and_grad × | hvp × |")
    click.echo("| --- | ---: | --- | --- | --- |")
    for title, (f, args) in cases().items():
        calls = derivatives(f, args)
        for call in calls.values():
            call()
        rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(repeats)]
        cells = [f"{statistics.median(r['f'] for r in rounds) * 1e3:.2f}"]
        for name in list(calls)[1:]:
            low, middle, high = statistics.quantiles([r[name] / r["f"] for r in rounds], n=4)
            cells.append(f"{middle:.2f} [{low:.2f}–{high:.2f}]")
        click.echo(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
