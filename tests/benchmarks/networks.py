"""Training steps of networks with images, sequences and words: `python -m tests.benchmarks.networks`.

They continue the seven of ``workloads`` with the numbers 8 to 13. There is no hand-written program to compare with,
so times are ratios to PyTorch (eager), whose networks are made by the same text: the names of layers and functions are
the same. All start from the same weights and data, and nothing is timed unless five steps agree with PyTorch's.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

import tinygrad_mnist as tg

from .agreement import assert_same_training
from .compilers import why_missing
from .jax_networks import start_jax
from .memory import peak_of_arrays, peak_of_profile
from .ours import why_missing as why_ours_is_missing
from .run import Samples, environment, print_row, quartiles, sample, settle_allocator, spread, steps_to_fill
from .workers import Worker, limit_threads, wait_for_threads
from .workloads import Build, Problem, Read, Step

REFERENCE = "torch"


@dataclass(frozen=True)
class Network:
    """A network, made from the layers of PyTorch or of tinygrad_mnist, and its data."""

    number: int
    title: str
    make: Callable[..., Any]  # from the module `nn`
    data: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    lr: float = 0.1
    optimizer: str = "sgd"


# ---- networks ----------------------------------------------------------------------------------------


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def residual(nn: Any) -> Any:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16),
            )  # fmt: skip
            self.last = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.last(x + self.body(x))

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


def recurrent(kind: str) -> Callable[[Any], Any]:
    def make(nn: Any) -> Any:
        class Reader(nn.Module):
            """Reads an image row by row."""

            def __init__(self) -> None:
                super().__init__()
                self.rows = getattr(nn, kind)(28, 128, batch_first=True)
                self.classes = nn.Linear(128, 10)

            def forward(self, x: Any) -> Any:
                states, _ = self.rows(x)
                return self.classes(states[:, -1])

        return Reader()

    return make


def gpt(nn: Any) -> Any:
    size, heads, symbols, length = 128, 4, 64, 64

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
            self.inputs, self.outputs = nn.Linear(size, 3 * size, bias=False), nn.Linear(size, size)
            self.wide, self.narrow = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
            self.gelu = nn.GELU()

        def forward(self, x: Any) -> Any:
            n, length, _ = x.shape
            parts = self.inputs(self.norm1(x)).reshape(n, length, 3, heads, size // heads)
            query, key, value = (parts[:, :, i].swapaxes(1, 2) for i in range(3))
            found = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.outputs(found.swapaxes(1, 2).reshape(n, length, size))
            return x + self.narrow(self.gelu(self.wide(self.norm2(x))))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.symbols, self.places = nn.Embedding(symbols, size), nn.Embedding(length, size)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm, self.scores = nn.LayerNorm(size), nn.Linear(size, symbols, bias=False)

        def forward(self, x: Any) -> Any:
            y = self.scores(self.norm(self.blocks(self.symbols(x) + self.places.weight)))
            return y.reshape(-1, symbols)

    return Model()


def words(nn: Any, **settings: Any) -> Any:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors, self.classes = nn.Embedding(50_000, 64, **settings), nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.classes(self.vectors(x).mean(1))

    return Bag()


def images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.random((64, 1, 28, 28), np.float32) * (rng.random((64, 1, 28, 28)) < 0.19)
    return x.astype(np.float32), rng.integers(0, 10, 64)


def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x, y = images(rng)
    return x[:, 0], y


def texts(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 64, (16, 64)), rng.integers(0, 64, 16 * 64)


def sentences(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 50_000, (64, 32)), rng.integers(0, 10, 64)


NETWORKS = (
    Network(8, "LeNet: 1-16 (5×5), pool, 16-32 (5×5), pool, 512-10, batch 64", lenet, images),
    Network(9, "residual block: 1-16, 16-16-16 (3×3, batch norm), 28×28, batch 64", residual, images),
    Network(10, "LSTM: 28 rows, 28-128-10, batch 64", recurrent("LSTM"), rows),
    Network(11, "GRU: 28 rows, 28-128-10, batch 64", recurrent("GRU"), rows),
    Network(12, "GPT: 2 blocks of 128, 4 heads, 64 symbols, length 64, batch 16", gpt, texts),
    Network(13, "50,000 words of 64, 32 in a sentence, batch 64", words, sentences, lr=10.0),
)


def start_of(network: Network, seed: int = 0) -> Problem:
    """The first weights, as ``state_dict()`` names them, and a batch."""
    rng = np.random.default_rng(seed)
    parameters = network.make(tg.nn).parameters()
    weights = []
    for p in parameters:
        bound = p.shape[-1] ** -0.5 if p.ndim < 3 else float(np.prod(p.shape[1:])) ** -0.5
        is_norm = p.ndim == 1 and (p.data == 1).all()
        weights.append(
            np.ones(p.shape, np.float32)
            if is_norm
            else rng.uniform(-bound, bound, p.shape).astype(np.float32)
        )
    return Problem(weights, *network.data(rng))


# ---- implementations ---------------------------------------------------------------------------------


def start_ours(network: Network, weights: list[np.ndarray], how: str | None) -> tuple[Any, Read]:
    model = words(tg.nn, sparse=True) if how == "sparse" else network.make(tg.nn)
    loss_of = tg.nn.CrossEntropyLoss()
    parameters = list(model.parameters())
    with tg.no_grad():
        for p, w in zip(parameters, weights, strict=True):
            p[...] = w
    opt = tg.optim.SGD(parameters, lr=network.lr)

    def step(x: Any, y: Any) -> float:
        opt.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        opt.step()
        return loss.item()

    train = step
    if how in ("numpy", "numba"):
        train = tg.compile(lambda x, y: loss_of(model(x), y), optimizer=opt, backend=how)
    return train, lambda: [p.data for p in parameters]


def start_torch(network: Network, weights: list[np.ndarray], how: str) -> tuple[Any, Read]:
    """Start PyTorch; ``torch.compile`` gets forward and loss as one function, and makes the way back of it."""
    import torch

    model = words(torch.nn, sparse=True) if how == "sparse" else network.make(torch.nn)
    parameters = list(model.parameters())
    with torch.no_grad():
        for p, w in zip(parameters, weights, strict=True):
            p.copy_(torch.from_numpy(w))
    opt = torch.optim.SGD(parameters, lr=network.lr, foreach=False)

    def loss_at(x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x), y)

    if how == "compiled":
        torch.compiler.reset()
        loss_at = torch.compile(loss_at, dynamic=False)

    def step(x: Any, y: Any) -> float:
        opt.zero_grad(set_to_none=True)
        loss = loss_at(x, y)
        loss.backward()
        opt.step()
        return loss.item()

    return step, lambda: [p.detach().numpy() for p in parameters]


def build_ours(how: str | None) -> Build:
    def build(network: Any, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
        train, read = start_ours(network, weights, how)
        return lambda: float(train(x, y)), read

    return build


def build_torch(how: str) -> Build:
    def build(network: Any, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[Step, Read]:
        import torch

        train, read = start_torch(network, weights, how)
        given = torch.from_numpy(x), torch.from_numpy(y)
        return lambda: train(*given), read

    return build


BUILDS: dict[str, Build] = {
    REFERENCE: build_torch("eager"),
    "eager": build_ours(None),
    "eager, sparse": build_ours("sparse"),
    "compiled": build_ours("numpy"),
    "compiled numba": build_ours("numba"),
    "torch, sparse": build_torch("sparse"),
    "torch.compile": build_torch("compiled"),
    "jax.jit": start_jax,
}


def why_not(name: str, network: Network) -> str | None:
    """Say why an implementation cannot run a network here, or return None."""
    if name.endswith(", sparse") and network.number != 13:
        return "only for words"
    if name == "jax.jit" and network.number not in (8, 9):
        return "not written"
    name = name.removesuffix(", sparse")
    return why_missing(name) if name.startswith(("torch", "jax")) else why_ours_is_missing(name)


# ---- measuring ---------------------------------------------------------------------------------------


def sampler(name: str, number: int, least_seconds: float) -> Callable[[str], Any]:
    """Prepare one implementation, and return the function that takes a sample: what a worker does."""
    network = next(n for n in NETWORKS if n.number == number)
    build, start = BUILDS[name], start_of(network)
    settle_allocator()
    if name != REFERENCE:
        assert_same_training(name, build, BUILDS[REFERENCE], network, start)  # type: ignore[arg-type]
    wait_for_threads()
    steps = steps_to_fill(least_seconds, build, network, start)  # type: ignore[arg-type]

    def ask(what: str) -> Any:
        if what == "seconds":
            return sample(build, network, start, steps)  # type: ignore[arg-type]
        size = sum(w.nbytes for w in start.weights)
        if name.startswith("torch"):
            return peak_of_profile(lambda: build(network, *start)[0]) + size * (name != "torch.compile")  # type: ignore[arg-type]
        return peak_of_arrays(lambda: build(network, *start)[0]) - size  # type: ignore[arg-type]

    return ask


def measure(
    network: Network, names: list[str], repeats: int, least_seconds: float
) -> tuple[Samples, dict[str, int]]:
    """Seconds per step, in rounds of random order, and the peak memory of a step."""
    samples: Samples = {name: [] for name in names}
    peaks: dict[str, int] = {}
    order = random.Random(network.number)
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            wait_for_threads()
            workers[name] = stack.enter_context(Worker(sampler, name, network.number, least_seconds))
        for _ in range(repeats):
            for name in order.sample(names, len(names)):
                wait_for_threads()
                samples[name].append(workers[name].ask("seconds"))
        for name in names:
            if not name.startswith("jax"):
                peaks[name] = workers[name].ask("bytes")
    return samples, peaks


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workload", "numbers", type=click.IntRange(8, 13), multiple=True, help="Only these.")
@click.option(
    "--only", type=click.Choice(list(BUILDS)[1:]), multiple=True, help="Only these implementations."
)
@click.option("--threads", type=click.IntRange(1), help="Threads and cores of each; all unless given.")
@click.option("--repeats", default=15, show_default=True, help="Samples of each implementation.")
@click.option("--sample-ms", default=100.0, show_default=True, help="Least duration of one sample.")
@click.option("--json", "json_file", type=click.File("w"), help="Also write all samples to this file.")
def main(
    numbers: tuple[int, ...], only: tuple[str, ...], threads: int | None, repeats: int, sample_ms: float,
    json_file: Any,
) -> None:  # fmt: skip
    """Time one training step of networks with images, sequences and words, relative to PyTorch."""
    limit_threads(threads)
    names = [name for name in BUILDS if name == REFERENCE or not only or name in only]
    facts = environment(
        [n for n in names if n.startswith(("torch.", "jax")) or n == REFERENCE or n == "compiled numba"]
    )
    click.echo("\n".join(f"{key:9} {value}" for key, value in facts.items()))
    click.echo(
        f"\nTime of a training step relative to eager PyTorch, median of {repeats} rounds [quartiles].\n"
    )
    print_row(["workload", f"{REFERENCE}, ms", *(f"{name} ×" for name in names[1:])])
    print_row(["---"] * (len(names) + 1))
    found = []
    for network in NETWORKS:
        if numbers and network.number not in numbers:
            continue
        reasons = {name: why_not(name, network) for name in names}
        able = [name for name in names if reasons[name] is None]
        samples, peaks = measure(network, able, repeats, sample_ms / 1000)
        found.append((network, samples, peaks))
        base = f"{np.median(samples[REFERENCE]) * 1e3:.2f}"
        cells = [spread(quartiles(samples, n, REFERENCE)) if n in samples else "–" for n in names[1:]]
        print_row([f"{network.number}. {network.title}", base, *cells])
    click.echo("\nPeak memory of a step beyond data and weights, in KiB.\n")
    measured = [name for name in names if not name.startswith("jax")]
    print_row(["workload", *measured])
    print_row(["---"] * (len(measured) + 1))
    for network, _, peaks in found:
        print_row(
            [str(network.number), *(f"{peaks[n] / 1024:,.0f}" if n in peaks else "–" for n in measured)]
        )
    if json_file:
        results = [
            {"number": n.number, "title": n.title, "seconds_per_step": s, "bytes": p} for n, s, p in found
        ]
        json.dump({"environment": facts, "results": results}, json_file, indent=1)


if __name__ == "__main__":
    main()
