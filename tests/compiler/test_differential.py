"""Random programs: compiled, a function returns, raises and changes what it does uncompiled, or is refused.

A failure prints the program, which can be pasted and run, and its seed. ``--programs`` and ``--seed`` choose which are
drawn: 20,000 are feasible in parts, such as ``--programs 500 --seed 3000`` for those of the seeds 3000 to 3499.
"""

from __future__ import annotations

import importlib.util
from collections import Counter

import pytest
from comparing import check, check_all, references, shrink
from programs import Program, draw

#: By what is compiled: how many programs by default, how many among the deeper tests, and how many where hours do not
#: matter.
AMOUNTS = {"values": (40, 80, 20_000), "gradient": (10, 20, 6_000), "training": (10, 20, 3_000)}
AS_MACHINE_CODE = {
    "machine": (4, 12, 20_000),
    "values": (2, 4, 2_000),
    "gradient": (2, 4, 3_000),
    "training": (1, 4, 1_000),
}
MARKS = ([], [pytest.mark.thorough], [pytest.mark.thorough, pytest.mark.soak])
PART = 20
#: Of fewer programs, any number may be refused.
FEW = 10
#: The largest share of the programs of a part that may be refused; about a quarter is.
MOST_REFUSED = 0.7

HAS_NUMBA = importlib.util.find_spec("numba") is not None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for every few seeds, so that they run side by side."""
    if "seeds" not in metafunc.fixturenames:
        return
    amounts = AS_MACHINE_CODE if "machine_code" in metafunc.function.__name__ else AMOUNTS
    option = metafunc.config.getoption
    cases = []
    for kind, counts in amounts.items():
        first = start = option("--seed")
        asked = list(zip(counts, MARKS, strict=True)) if option("--thorough") else [(counts[0], [])]
        for count, marks in [(option("--programs"), [])] if option("--programs") else asked:
            while start < first + count:
                seeds = range(start, min(start + PART, first + count))
                cases.append(pytest.param(kind, seeds, id=f"{kind}-{seeds[0]}-{seeds[-1]}", marks=marks))
                start = seeds.stop
    metafunc.parametrize(("kind", "seeds"), cases)


def compare(backend: str, kind: str, seeds: range) -> None:
    """Check some programs, and fail with the smallest form of each that is wrong, or if nearly all are refused."""
    faults, reasons = [], Counter[str]()
    for seed in seeds:
        verdict, program = check_all(draw(seed, kind), backend)
        if verdict.refused:
            reasons[verdict.message.partition("(<program>")[0][:90]] += 1
        if verdict.difference is not None:
            faults.append(
                told(program, backend, verdict.difference.kind, most=300 if backend == "numpy" else 25)
            )
    if faults:
        pytest.fail(f"{len(faults)} of {len(seeds)} programs\n\n" + "\n\n".join(faults), pytrace=False)
    # If all were refused, nothing would be wrong either.
    assert len(seeds) < FEW or reasons.total() <= MOST_REFUSED * len(seeds), reasons.most_common(5)


def told(program: Program, backend: str, kind: str, most: int) -> str:
    """A fault: what is wrong, and a program that shows it."""
    small = shrink(program, backend, kind, most)
    difference = check(small, backend, references(small)).difference
    head = f"# seed {program.seed} ({program.kind}), {difference}"
    optimizer = ", optimizer=..." if small.optimizer else ""
    how = f"# tg.compile({small.differentiate or 'f'}{optimizer}, backend={backend!r})"
    return f"{head}\n{how}\n{small.source()}"


def test_programs(kind, seeds):
    compare("numpy", kind, seeds)


@pytest.mark.skipif(not HAS_NUMBA, reason="machine code needs numba: pip install 'tinygrad-mnist[fast]'")
def test_programs_as_machine_code(kind, seeds):
    compare("numba", kind, seeds)
