"""The file whose types mypy and Pyright check also runs."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_typed_face_runs():
    runpy.run_path(str(Path(__file__).with_name("face.py")))
