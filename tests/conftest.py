"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    """The folder of the full MNIST; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("TINYGRAD_MNIST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"the full MNIST is neither in $TINYGRAD_MNIST_DATA nor in {beside}")
    return folder
