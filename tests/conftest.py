"""What all tests share."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Test processes run side by side: with more BLAS threads than cores they would wait for each other. NumPy reads
# this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest

import tinygrad_mnist as tg

# The test processes and all programs that they start read the same files, which need not be compiled by each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

hypothesis.settings.register_profile("fast", max_examples=30, deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None)


#: Pages whose examples train for seconds: they are read where the deeper tests are run.
DEEP_PAGES = {"broken_trainings.md"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="also run the deeper and slower checks")
    parser.addoption("--programs", type=int, help="how many random programs to compile of each kind")
    parser.addoption("--seed", type=int, default=0, help="the seed of the first random program")


def pytest_configure(config: pytest.Config) -> None:
    # In the background we are deaf to Ctrl-C, which the programs that tests start would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.load_profile("thorough" if config.getoption("--thorough") else "fast")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in DEEP_PAGES:
            item.add_marker(pytest.mark.thorough)
    if not config.getoption("--thorough"):
        deep = [item for item in items if item.get_closest_marker("thorough")]
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=deep)
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if isinstance(item, pytest.DoctestItem) and "import torch\n" in item.dtest.docstring:
                item.add_marker(pytest.mark.skip(reason="the example uses PyTorch, which is not installed"))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the run: it would walk through thousands of tests each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Every test leaves recording switched on and no module scope open, as it found them."""
    yield
    assert tg.is_recording(), "the test left no_grad() switched on"
    assert tg.graph.SCOPE.get() is None, "the test left a module scope open"


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    """The folder of the full MNIST; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("TINYGRAD_MNIST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"the full MNIST is neither in $TINYGRAD_MNIST_DATA nor in {beside}")
    return folder
