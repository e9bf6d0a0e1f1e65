"""A multi-layer perceptron that learns from bent digits."""

from __future__ import annotations

import click
import numpy as np
import pytest

import tinygrad_mnist as tg

TITLE = "Digits that were not used for training"


def test_it_compares_both_kinds_of_digits(run, tables, few_digits):
    report = run("elastic", "--data", few_digits, "--epochs", 4, "--neurons", 50, "--compile", "numpy")
    plain, bent = tables(report)[TITLE]
    assert (plain["digits"], bent["digits"]) == ("as written", "bent")
    assert plain["test_accuracy"] > 0.3 < bent["test_accuracy"]
    assert {path.name for path in report.folder.iterdir()} == {
        "bent.png", "checkpoints", "config.json", "epochs.png", "index.html", "model.safetensors", "result.json",
    }  # fmt: skip


def test_no_digit_is_seen_twice(script):
    images = tg.data.load_mnist("sample")[0].inputs[:5]
    bend = tg.data.Augment(script("elastic").CHANGES, rng=0)
    first, second = bend(images), bend(images)
    assert all(np.any(a != b) for a, b in zip(first, second, strict=True))
    assert all(np.any(a != b) for a, b in zip(first, images, strict=True))


@pytest.mark.thorough
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(run, tables, few_digits, monkeypatch):
    arguments = ("--data", few_digits, "--epochs", 2, "--neurons", 10, "--compile", "numpy")
    whole = run("elastic", *arguments, "--out", "whole")

    class Stop(tg.training.Callback):
        def on_epoch(self, training):
            if "bent" in str(settings["resume"]):
                raise KeyboardInterrupt

    fit, settings = tg.training.fit, {}

    def stopping(*args, **given):
        settings.update(given)
        return fit(*args, **given, callbacks=Stop())

    with monkeypatch.context() as patch:
        patch.setattr(tg.training, "fit", stopping)
        with pytest.raises((KeyboardInterrupt, click.Abort)):
            run("elastic", *arguments, "--out", "stopped")
    resumed = run("elastic", "--resume", "stopped")

    def without_times(report):
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in tables(report)[TITLE]]

    assert without_times(resumed) == without_times(whole)
    assert (resumed.folder / "model.safetensors").read_bytes() == (
        whole.folder / "model.safetensors"
    ).read_bytes()
