"""A training step on any batch: what the benchmarks share of a framework's program.

``start(workload, weights, batch)`` makes a ``Training`` from copies of ``weights``; each batch has ``batch``
rows. ``fixed_batch(start)`` is its ``build`` (see ``workloads``), with one batch that stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .workloads import Build, Read, Step, Workload


class Training(NamedTuple):
    """A network in training."""

    step: Callable[[Any, Any], Any]  # trains on arrays, or on what `place` made of them; returns the loss
    read: Read
    place: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]] = lambda x, y: (x, y)


Start = Callable[[Workload, list[np.ndarray], int], Training]


def fixed_batch(start: Start) -> Build:
    """Return the ``build`` that trains on one batch, handed over to the framework once."""

    def build(
        workload: Workload, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray
    ) -> tuple[Step, Read]:
        train, read, place = start(workload, weights, len(x))
        x, y = place(x, y)
        return lambda: float(train(x, y)), read

    return build
