"""Damage files of every format, use them, and tell what happens: ``python tests/hostile/mutants.py COUNT``.

Whatever the damage, using a file ends well or with an error of the project, within seconds and without much
memory. Each mutant has a number, which makes it again: ``python tests/hostile/mutants.py --only NUMBER``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from bombs import BOMBS
from kinds import make_kinds

from tinygrad_mnist.errors import TinygradError

SECONDS, BYTES = 5, 2**30

#: Numbers that programs do not expect.
NUMBERS = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
]

#: Values that JSON can hold in the place of any other.
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 0.5, 2, 28, 10**6, 2**31, 2**63, 10**20, 10**299, 10**301, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "x", "0", "nan", "\x1b[2J", "\0", "ä\ud800", "x" * 100_000,
    "/dev/zero", "/dev/tty", "/proc/self/mem", "~nobody-of-this-name", "..", "sample", "mnist", "digits", "float64",
    "O", "S1000000000", "relu", "os.system", [], {}, [[]], [None], [1, 2, 3], [10**9, 10**9], [1] * 10_000,
    ["a"] * 5_000, {"": {}}, {"class": "MLP"}, {"class": "Linear", "args": [10**6, 10**6]},
    {"class": "Sequential", "args": []}, {"layer": "Linear"}, {"generator": None}, {"class": "Flatten"},
    {"array": "x"}, {"tuple": 5},
]  # fmt: skip


class Outcome(NamedTuple):
    number: int
    kind: str
    seconds: float
    verdict: str  # "used", "refused", or what is wrong
    message: str


# -- damage --------------------------------------------------------------------------------------


def damage(content: bytes, others: list[bytes], rng: np.random.Generator, *, is_json: bool) -> bytes:
    """Damage a file, in most cases in one or two ways."""
    ways = [change_json] if is_json and rng.random() < 0.8 else WAYS
    for _ in range(rng.geometric(0.6)):
        content = ways[rng.integers(len(ways))](content, others, rng)
    return content


def place(content: bytes, rng: np.random.Generator) -> int:
    """A position; the first and the last bytes say most, and are damaged most."""
    end = len(content) + 1
    start, stop = [(0, min(end, 200)), (0, end), (max(0, end - 200), end)][rng.choice(3, p=[0.4, 0.4, 0.2])]
    return int(rng.integers(start, stop))


def flip(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9) if changed else 0):
        changed[place(content, rng) % len(changed)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def randomise(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    at, count = place(content, rng), int(rng.integers(1, 20))
    return content[:at] + rng.bytes(count) + content[at + count :]


def cut(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return content[: place(content, rng)]


def lengthen(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return content + [rng.bytes(50), bytes(10_000), content, b"\n" * 5_000][rng.integers(4)]


def remove(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    at = place(content, rng)
    return content[:at] + content[at + int(rng.integers(1, 300)) :]


def repeat(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Repeat a piece, up to a million bytes of it."""
    at, length = place(content, rng), int(rng.integers(1, 60))
    piece = content[at : at + length]
    times = min(int(10 ** rng.uniform(0, 5)), 10**6 // (len(piece) + 1))
    return content[:at] + piece * times + content[at:]


def splice(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Put in a piece of another file."""
    other = others[rng.integers(len(others))]
    start, at = place(other, rng), place(content, rng)
    piece = other[start : start + int(10 ** rng.uniform(0, 3))]
    return content[:at] + piece + content[at + (len(piece) if rng.random() < 0.5 else 0) :]


def number(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Overwrite some bytes by a number."""
    at, size = place(content, rng), int(rng.choice([1, 2, 4, 8]))
    value = NUMBERS[rng.integers(len(NUMBERS))] % 256**size
    order = ("little", "big")[rng.integers(2)]
    return content[:at] + value.to_bytes(size, order) + content[at + size :]


def numeral(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Replace a number that is written in digits, as in a table, in JSON, or in the header of an array."""
    found = list(re.finditer(rb"[0-9]+", content[:5_000]))
    if not found:
        return content
    match = found[rng.integers(len(found))]
    value = [*map(str, NUMBERS), "-1", "9" * 50, "9" * 5_000, "1e9", "0x10", "nan", "", " "][rng.integers(23)]
    return content[: match.start()] + value.encode() + content[match.end() :]


def swap(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Exchange two pieces."""
    a, b = sorted((place(content, rng), place(content, rng)))
    length = int(rng.integers(1, 50))
    return content[:a] + content[b : b + length] + content[a:b] + content[b + length :]


WAYS = [flip, flip, randomise, cut, lengthen, remove, repeat, splice, number, number, numeral, swap]


def change_json(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Replace, remove or wrap a part of a JSON value."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    root = [whole]
    homes = [(root, 0), *walk(whole)]
    home, key = homes[rng.integers(len(homes))]
    way = rng.integers(10)
    if way == 0 and home is not root:
        del home[key]
    elif way == 1:
        home[key] = [home[key]] * int(10 ** rng.uniform(0, 3))
    elif way == 2:
        depth = int(10 ** rng.uniform(0, 5))
        head, tail = ('{"a":', "}") if rng.random() < 0.5 else ("[", "]")
        home[key] = "DEEP"
        return json.dumps(root[0]).replace('"DEEP"', head * depth + "1" + tail * depth).encode()
    elif way == 3:
        other, place_there = homes[rng.integers(len(homes))]
        home[key] = json.loads(json.dumps(other[place_there]))
    elif way == 4 and isinstance(home, dict):
        home[["", "experiment", "class", "x" * 1_000, "\x1b"][rng.integers(5)]] = home[key]
    else:
        home[key] = VALUES[rng.integers(len(VALUES))]
    return json.dumps(root[0]).encode()


def walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a JSON value: where it is, and its key there."""
    todo = [value]
    while todo:
        home = todo.pop()
        if isinstance(home, (dict, list)):
            for key in list(home) if isinstance(home, dict) else range(min(len(home), 100)):
                yield home, key
                todo.append(home[key])


# -- use -----------------------------------------------------------------------------------------


class Zoo:
    """A whole file of every kind, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.kinds = root, make_kinds()
        self.inner: dict[str, bytes] = {}
        for name, kind in self.kinds.items():
            (root / name).mkdir()
            kind.write(root / name)
            self.inner[name] = kind.unpack((root / name / kind.file).read_bytes())
            outcome = watch(name, partial(kind.use, root / name))
            assert outcome.verdict == ("refused" if name.startswith("two") else "used"), outcome
        self.quick = [name for name, kind in self.kinds.items() if not kind.is_slow]
        self.slow = [name for name, kind in self.kinds.items() if kind.is_slow]

    def use(self, number: int) -> Outcome:
        """Make a mutant and use it; one of fifty is of a kind that takes long."""
        turn, is_slow = divmod(number, 50)[0], number % 50 == 49
        name = self.slow[turn % len(self.slow)] if is_slow else self.quick[number % len(self.quick)]
        kind, rng = self.kinds[name], np.random.default_rng(number)
        content = kind.pack(damage(self.inner[name], list(self.inner.values()), rng, is_json=kind.is_json))
        (self.root / name / kind.file).write_bytes(content)
        return watch(name, partial(kind.use, self.root / name), number)


def watch(name: str, use: Callable[[], Any], number: int = -1) -> Outcome:
    """Use a file, and judge what happens."""
    started, verdict, message = time.process_time(), "used", ""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            use()
        except (TinygradError, click.ClickException) as error:
            verdict = "refused"
            message = error.message if isinstance(error, click.ClickException) else str(error)
            causes: list[BaseException] = [error]
            while cause := causes[-1].__cause__ or causes[-1].__context__:
                causes.append(cause)
            if any(isinstance(cause, MemoryError) for cause in causes):
                verdict = "too large"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # even what Rust calls a panic
            verdict, message = "foreign", "".join(traceback.format_exception(error)[-3:])
    seconds = time.process_time() - started
    return Outcome(number, name, seconds, "too slow" if seconds > SECONDS else verdict, message)


def limit_memory() -> None:
    """Leave this process a gigabyte more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def work(numbers: list[int]) -> None:
    """Use mutants, and print a line for each before and after; somebody reads how far this process came."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        zoo = Zoo(Path(folder))
        limit_memory()
        for number in numbers:
            print(json.dumps({"begun": number}), flush=True)
            print(json.dumps(zoo.use(number)), flush=True)


def explode(names: list[str]) -> Iterator[Outcome]:
    """Use bombs, with little memory."""
    with tempfile.TemporaryDirectory() as root:
        folders = {name: Path(root) / str(i) for i, name in enumerate(names)}
        uses = {}
        for name, folder in folders.items():
            folder.mkdir()
            uses[name] = BOMBS[name](folder)
        limit_memory()
        for name in names:
            yield watch(name, uses[name])


def run(numbers: list[int], workers: int = 2) -> list[Outcome]:
    """Use mutants in processes of their own."""
    with ThreadPoolExecutor(workers) as pool:
        shares = pool.map(_oversee, [numbers[i::workers] for i in range(workers)])
        return sorted(outcome for share in shares for outcome in share)


def _oversee(numbers: list[int]) -> list[Outcome]:
    """Start a process, and another one when it dies."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(numbers):
        rest = numbers[len(outcomes) :]
        process = subprocess.Popen(
            [sys.executable, __file__, "--work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(rest))
        process.stdin.close()
        begun = False
        for line in process.stdout:
            match json.loads(line):
                case {"begun": _}:
                    begun = True
                case found:
                    outcomes.append(Outcome(*found))
        if process.wait() != 0:
            assert begun, "the process died before its first mutant"
            if len(outcomes) < len(numbers):
                outcomes.append(
                    Outcome(numbers[len(outcomes)], "?", 0.0, "died", f"exit {process.returncode}")
                )
    return outcomes


def report(outcomes: list[Outcome]) -> str:
    """A table: one line a kind."""
    verdicts = sorted({outcome.verdict for outcome in outcomes})
    lines = [f"{'kind':<22}" + "".join(f"{verdict:>18}" for verdict in verdicts) + f"{'slowest (s)':>14}"]
    for kind in sorted({outcome.kind for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if outcome.kind == kind]
        count = Counter(outcome.verdict for outcome in mine)
        slowest = max(mine, key=lambda outcome: outcome.seconds)
        lines.append(
            f"{kind:<22}"
            + "".join(f"{count[v]:>18,}" for v in verdicts)
            + f"{slowest.seconds:>8.2f} {slowest.number}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first mutant")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="use one mutant, in this process")
    parser.add_argument("--bombs", action="store_true", help="use all files of bombs.py, in this process")
    parser.add_argument("--work", action="store_true", help="use the mutants whose numbers are in the input")
    options = parser.parse_args()
    if options.work:
        work(json.loads(sys.stdin.read()))
    elif options.only is not None:
        work([options.only])
    elif options.bombs:
        for outcome in explode(list(BOMBS)):
            print(f"{outcome.seconds:5.2f} s  {outcome.kind}: {outcome.verdict}: {outcome.message[-400:]}")
    else:
        outcomes = run([*range(options.seed, options.seed + options.count)], options.workers)
        for outcome in outcomes:
            if outcome.verdict not in ("used", "refused"):
                print(f"{outcome.number} {outcome.kind}: {outcome.verdict}: {outcome.message}")
        print(report(outcomes))


if __name__ == "__main__":
    main()
