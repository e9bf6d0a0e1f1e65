"""The common parts of the experiments in ``examples/``: a command, a page of results, sweeps that can be resumed."""

from .command import Experiment, experiment
from .report import Report, Table
from .scripts import catalogue, run_experiment
from .sweeps import grid, sweep

__all__ = [
    "Experiment",
    "Report",
    "Table",
    "catalogue",
    "experiment",
    "grid",
    "run_experiment",
    "sweep",
]


def __dir__() -> list[str]:
    return __all__
