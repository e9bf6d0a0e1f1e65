"""The shortest training that reaches 99 %."""

from __future__ import annotations

import pytest

import tinygrad_mnist as tg


@pytest.mark.thorough
def test_longer_trainings_read_better(run, tables, few_digits, capsys):
    report = run("speedrun", "--data", few_digits, "--compile", "numpy")
    rows = tables(report)["Trainings of different lengths"]
    assert [row["images_seen"] for row in rows] == [75, 150, 300, 450, 600]
    assert rows[0]["test_accuracy"] < rows[-1]["test_accuracy"] > 0.3
    assert "None of these trainings reached 99.0%" in capsys.readouterr().out
    assert {path.name for path in report.folder.iterdir()} == {
        "checkpoints", "config.json", "index.html", "lengths.png", "model.safetensors", "result.json",
    }  # fmt: skip


def test_the_shortest_that_reached_the_goal_is_found(script):
    shortest = script("speedrun").shortest
    seconds, accuracies = [[1, 2, 4], [1, 4, 6]], [[0.5, 0.98, 1], [0.5, 0.99, 1]]
    assert shortest(seconds, accuracies, goal=0.985) == 3
    assert shortest(seconds, accuracies, goal=0.99) == 5
    assert shortest(seconds, accuracies, goal=1.01) is None


@pytest.mark.parametrize("images", [300, 600])
def test_so_many_images_are_seen(script, tmp_path, monkeypatch, images):
    seen = []

    def fit(model, train, *, epochs, **settings):
        seen.append(epochs * len(train))

    monkeypatch.setattr(tg.training, "fit", fit)
    train = tg.data.load_mnist("sample")[0].subset(slice(600))
    script("speedrun").learn(tg.nn.MLP([784, 10]), train, images, 0, tmp_path, False)
    assert seen == [images]
