"""Random networks: trained compiled, they do what they do uncompiled, step by step and in ``fit``, or are refused.

After each step, losses, other results, weights, buffers, Generators, what the optimizer remembers and means of weights
are compared. A failure prints the smallest network that shows it, which can be pasted, and its seed. ``--programs`` and
``--seed`` choose which are drawn.
"""

from __future__ import annotations

import importlib.util

import pytest
from comparing_trainings import check, told
from network_programs import draw, small

HAS_NUMBA = importlib.util.find_spec("numba") is not None
#: How many networks, and how many with --thorough; machine code takes some seconds for each.
AMOUNTS = {"numpy": (12, 1500), "numba": (0, 100)}
PART = 4
#: Networks that have shown a fault: a step returned its parameters as they were before the update.
FOUND = [range(57, 58), range(82, 83)]
#: The largest share of the networks that may be refused, or end in an error of their own.
MOST_UNCOMPARED = 0.5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for every few seeds, so that they run side by side."""
    option = metafunc.config.getoption
    cases = []
    for backend, amount in AMOUNTS.items():
        first, count = option("--seed"), option("--programs") or amount[bool(option("--thorough"))]
        marks = [] if HAS_NUMBA or backend == "numpy" else [pytest.mark.skip(reason="numba is not installed")]
        parts = [range(i, min(i + PART, first + count)) for i in range(first, first + count, PART)]
        parts += FOUND if backend == "numpy" else []
        cases += [pytest.param(backend, p, id=f"{backend}-{p[0]}-{p[-1]}", marks=marks) for p in parts]
    metafunc.parametrize(("backend", "seeds"), cases)


def test_networks(backend, seeds):
    faults, uncompared = [], []
    for seed in seeds:
        network = draw(seed) if backend == "numpy" else small(draw(seed))
        verdict = check(network, backend)
        if verdict.kind:
            faults.append(told(network, backend, verdict.kind))
        elif verdict.refused or verdict.unstable or not verdict.steps:
            uncompared.append(verdict)
    if faults:
        pytest.fail(f"{len(faults)} of {len(seeds)} networks\n\n" + "\n\n".join(faults), pytrace=False)
    # If all were refused, nothing would be wrong either.
    assert len(seeds) < PART or len(uncompared) <= MOST_UNCOMPARED * len(seeds), uncompared
