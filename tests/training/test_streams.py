"""A training goes on without a place to show it."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.training import Progress

DATA = np.ones((8, 4), np.float32), np.zeros(8, int)


class Gone(io.StringIO):
    """A terminal or a pipe that takes nothing any more."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        raise BrokenPipeError("nobody reads this")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def fit(**settings):
    return tg.training.fit(tg.nn.MLP([4, 3], rng=0), DATA, epochs=2, rng=0, **settings)


@pytest.mark.parametrize("stream", [lambda: None, closed, lambda: Gone(False), lambda: Gone(True)])
def test_a_training_without_stderr(monkeypatch, stream):
    expected = fit(progress=False)
    monkeypatch.setattr(sys, "stderr", stream())
    assert fit()["train_loss"] == expected["train_loss"]


def test_a_stream_that_was_asked_for_must_work():
    with pytest.raises(BrokenPipeError):
        fit(callbacks=Progress(Gone(False)), progress=False)


def test_other_errors_of_a_display_are_not_swallowed(monkeypatch):
    monkeypatch.setattr("tinygrad_mnist.training.progress._line", lambda *args: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        fit()


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_a_process_with_closed_descriptors(tmp_path):
    code = f"""
import numpy as np, tinygrad_mnist as tg
tg.training.fit(tg.nn.MLP([4, 3]), (np.ones((8, 4), np.float32), np.zeros(8, int)), epochs=1)
open({str(tmp_path / "done")!r}, "w").close()
"""
    program = tmp_path / "train.py"
    program.write_text(code, encoding="utf-8")
    done = subprocess.run(["sh", "-c", 'exec "$0" "$1" >&- 2>&-', sys.executable, str(program)], check=False)
    assert (done.returncode, (tmp_path / "done").exists()) == (0, True)
