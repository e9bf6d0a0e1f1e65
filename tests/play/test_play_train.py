"""The room Train: what is watched is what would have happened, and every moment can be repeated, bit for bit."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.play.engine import Engine
from tinygrad_mnist.play.measuring import find_mistakes, histogram, look, some
from tinygrad_mnist.play.pages import replay_page
from tinygrad_mnist.play.train import MOST_FRAMES, MOST_RUNS, Record, Train
from tinygrad_mnist.play.watching import Watcher, digest
from tinygrad_mnist.training.broken import BROKEN
from tinygrad_mnist.training.doctor import FAULTS
from tinygrad_mnist.training.runs import Run
from tinygrad_mnist.training.sessions import fit_run

OPTIONS = {"epochs": 3, "hidden": [16], "dropout": 0.1, "optimizer": "adam", "schedule": "cosine", "seed": 3}
BATCHES = 57  # 3,600 images in batches of 64


def wait(is_so: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


class Page:
    """Asks as the page does."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine([])
        self.room = Train(self.engine, folder)
        self.engine.rooms["train"] = self.room

    def ask(self, do: str, **given: Any) -> Any:
        answer = self.engine.answer({"id": 1, "room": "train", "do": do, "with": given})
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def fail(self, do: str, **given: Any) -> str:
        return str(self.engine.answer({"id": 1, "room": "train", "do": do, "with": given})["error"])

    def state(self, run: str) -> str:
        return self.room.records[run].state

    def events(self, run: str, what: str) -> list[Any]:
        return [
            event for event in self.ask("news", run=run, event=0, step=0)["events"] if event["what"] == what
        ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = Page(tmp_path_factory.mktemp("runs"))
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def run(page: Page) -> str:
    """A training that was paused, stepped, changed while it ran, and ended."""
    name: str = page.ask("start", options=OPTIONS, paused=True)
    wait(lambda: page.state(name) == "paused")
    record = page.room.records[name]
    assert record.losses == []
    for count in (1, 2):
        page.ask("steer", run=name, what="step")
        wait(lambda n=count: len(record.losses) == n and page.state(name) == "paused")  # type: ignore[misc]
    page.ask("turn", run=name, knob="dropout", value=0.3)
    wait(lambda: record.changes)
    page.ask("steer", run=name, what="go", until=60)
    wait(lambda: len(record.losses) == 60 and page.state(name) == "paused")
    page.ask("turn", run=name, knob="lr", value=0.002)
    page.ask("steer", run=name, what="go")
    wait(lambda: page.state(name) == "done")
    return name


def test_watching_changes_nothing(page: Page, run: str) -> None:
    record = page.room.records[run]
    assert record.changes == [(2, "dropout", 0.3), (60, "lr", 0.002)]
    settings = Run(record.folder).settings
    train, test = tg.data.load_mnist("sample")

    class Turn(tg.training.Callback):
        schedule: Any = None
        step, losses = 0, list[float]()

        def make(self, make: Any) -> Any:
            def made(*args: Any) -> Any:
                self.schedule = make(*args)
                return self.schedule

            return made

        def on_batch(self, training: Any) -> None:
            self.step += 1
            self.losses.append(training.loss)
            for step, knob, value in record.changes:
                if step == self.step and knob == "dropout":
                    (layer,) = [
                        layer for layer in training.model.modules() if isinstance(layer, tg.nn.Dropout)
                    ]
                    layer.p = value
                elif step == self.step:
                    rate = training.optimizer.param_groups[0]["lr"]
                    self.schedule.base_lrs = [base * value / rate for base in self.schedule.base_lrs]
                    training.optimizer.param_groups[0]["lr"] = value

    turn = Turn()
    model = settings.make_model(784)
    fit_run(
        model, train, settings, record.folder.parent / "plain", [turn], threads=1, around_schedule=turn.make
    )
    np.testing.assert_array_equal(np.float32(record.losses), np.float32(turn.losses))
    ends = page.events(run, "epoch")
    assert ends[-1]["digest"] == digest(model.parameters())
    assert [event["step"] for event in ends] == [BATCHES, 2 * BATCHES, 3 * BATCHES]
    assert (
        page.events(run, "done")[0]["result"]["test_accuracy"]
        == tg.training.evaluate(model, test)["accuracy"]
    )


@pytest.mark.thorough
def test_a_fork_repeats_and_then_differs(page: Page, run: str) -> None:
    parent = page.room.records[run]
    step = BATCHES + 20
    same = page.ask("fork", run=run, step=step, paused=True)
    assert same["from"] == BATCHES
    wait(lambda: page.state(same["run"]) == "paused")
    record = page.room.records[same["run"]]
    assert record.losses == parent.losses[:step]
    page.ask("steer", run=same["run"], what="go")
    other = page.ask("fork", run=run, step=step, knob="lr", value=0.05)["run"]
    wait(lambda: {page.state(same["run"]), page.state(other)} == {"done"})
    differs = page.room.records[other]
    assert record.changes == parent.changes
    assert record.losses == parent.losses
    digests = [[event["digest"] for event in page.events(name, "epoch")] for name in (run, same["run"])]
    assert digests[0] == digests[1]
    assert differs.changes == [*parent.changes, (step, "lr", 0.05)]
    assert differs.losses[: step + 1] == parent.losses[: step + 1]
    assert differs.losses[step + 1] != parent.losses[step + 1]
    for name in (same["run"], other):
        page.ask("remove", run=name)
        assert "unknown run" in page.fail("news", run=name, event=0, step=0)
    assert (differs.folder / "model.safetensors").is_file()
    assert not (differs.folder / "moments").exists()


def test_what_is_seen(page: Page, run: str) -> None:
    frames = page.events(run, "frame")
    steps = [frame["step"] for frame in frames]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 3 * BATCHES
    layer = frames[0]["layers"][0]
    assert (layer["name"], layer["shape"]) == ("0", [16, 784])
    assert frames[0]["weights"].shape == (16, 28, 28)
    with_updates = [frame for frame in frames if "updates" in frame["layers"][0]]
    assert 1e-5 < with_updates[0]["layers"][0]["update"] < 1
    assert frames[-1]["matrix"].sum() == 1000
    accuracy = page.events(run, "done")[0]["result"]["test_accuracy"]
    assert np.trace(frames[-1]["matrix"]) == round(1000 * accuracy)
    watched = page.events(run, "steps")[-1]["watching"]
    assert 0 < watched < 1
    everything = page.ask("mistakes", run=run)
    assert everything["count"] == round(1000 * (1 - accuracy))
    assert everything["sure"] == sorted(everything["sure"], reverse=True)
    matrix = everything["matrix"] - np.diag(np.diag(everything["matrix"]))
    truth, said = (int(i) for i in np.unravel_index(matrix.argmax(), matrix.shape))
    some = page.ask("mistakes", run=run, truth=truth, said=said)
    assert (set(some["truth"]), set(some["said"])) == ({truth}, {said})
    assert some["count"] == matrix.max()
    first = page.ask("mistakes", run=run, step=BATCHES - 1)
    assert (first["step"], first["at"]) == (0, 0)  # the last moment before it that was kept
    assert (everything["step"], everything["at"]) == (None, 3 * BATCHES)
    assert first["count"] > everything["count"]


def test_exports(page: Page, run: str, tmp_path: Path) -> None:
    def fetch(what: str) -> bytes:
        path = page.ask("export", run=run, what=what)
        return page.engine.files[path.split("/")[1]].content

    with zipfile.ZipFile(io.BytesIO(fetch("folder"))) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    again = Run(folder)
    assert again.settings.hidden == (16,)
    assert [change["knob"] for change in json.loads((folder / "changes.json").read_text())] == [
        "dropout",
        "lr",
    ]
    assert "np." in fetch("program").decode()
    text = fetch("replay").decode()
    assert not re.search(r"(src|href)=.|https?://(?!www\.w3\.org)|^import |^export ", text, re.MULTILINE)
    assert str(page.room.records[run].folder) not in text
    assert len(text) < 2_000_000
    assert "choose" in page.fail("export", run=run, what="x") or "valid" in page.fail(
        "export", run=run, what="x"
    )


def test_what_is_refused(page: Page, run: str) -> None:
    assert "unknown setting 'lrr'" in page.fail("start", options={"lrr": 1})
    assert "unknown data set" in page.fail("start", options={"dataset": "x"})
    assert "hidden must be a list" in page.fail("start", options={"hidden": 3})
    assert "has done 171 steps" in page.fail("fork", run=run, step=172)
    assert "has ended at this step" in page.fail("fork", run=run, step=171, knob="lr", value=1)
    assert "unknown knob" in page.fail("fork", run=run, step=1, knob="seed", value=1)
    for value in (-1, "1", True, None, [1], 1e9):
        assert "must be a number" in page.fail("turn", run=run, knob="lr", value=value)
    assert "larger than 32 MiB" in page.fail("upload", name="x.csv", content="A" * 2**26)
    assert "did not arrive" in page.fail("upload", name="x.csv", content="%%%")
    content = base64.b64encode(b"1,2\n").decode()
    path = Path(page.ask("upload", name="../../x.csv", content=content)["path"])
    assert (path.name, path.read_bytes()) == ("x.csv", b"1,2\n")
    for name in ("..", "", ".", "\0", "\ud800", "a" * 5000, "/", "..\\.."):
        inside = Path(page.ask("upload", name=name, content=content)["path"])
        assert inside.read_bytes() == b"1,2\n"
        assert inside.parents[1] == path.parents[1]
    # A folder that was moved away.
    folder, known = page.room.records[run].folder, list(page.room.records)
    folder.rename(folder.with_name("away"))
    for do, given in (
        ("fork", {"step": 60}),
        ("export", {"what": "folder"}),
        ("export", {"what": "program"}),
    ):
        assert f"its folder {folder} is gone" in page.fail(do, run=run, **given)
    folder.mkdir()
    assert "no longer has what a fork needs" in page.fail("fork", run=run, step=60)
    folder.rmdir()
    folder.with_name("away").rename(folder)
    assert list(page.room.records) == known
    # What only the training can find out is said there, and no folder is left behind.
    name = page.ask("start", options={"dataset": "files", "path": str(path)})
    bad = page.ask("start", options={"dataset": "sample", "lr": "fast"})
    wait(lambda: {page.state(name), page.state(bad)} == {"failed"})
    assert str(path) in page.events(name, "ended")[0]["error"]
    assert "lr is 'fast'" in page.events(bad, "ended")[0]["error"]
    folders = [page.room.records[one].folder for one in (name, bad)]
    for one in (name, bad):
        page.ask("remove", run=one)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.thorough
@pytest.mark.parametrize("code", ["softmax-twice", "missing-nonlinearity"])
def test_a_broken_training_is_watched_and_mended(page: Page, code: str) -> None:
    names = [page.ask("start_broken", code=code), page.ask("start_broken", code=code, mended=True)]
    wait(lambda: [page.state(name) for name in names] == ["done", "done"])
    for name, mended in zip(names, (False, True), strict=True):
        record, training = page.room.records[name], BROKEN[code]
        np.testing.assert_array_equal(
            np.array(record.losses, np.float32), training.losses(mended=mended).astype(np.float32)
        )
        found = [(event["code"], event["cure"]) for event in page.events(name, "finding")]
        assert ((code, FAULTS[code].cure) in found) == (not mended)
        (settings,) = page.events(name, "settings")
        assert settings["settings"]["looks"] == training.looks
        # It leaves nothing behind, and says so.
        assert record.folder is None
        assert page.engine.runs.get(name) is None
        for do, given in (
            ("fork", {"step": 0}),
            ("export", {"what": "folder"}),
            ("export", {"what": "program"}),
        ):
            assert "leave no folder behind" in page.fail(do, run=name, **given)
        assert page.ask("export", run=name, what="replay").endswith(f"{code}.html")
        if code == "softmax-twice":
            assert page.ask("mistakes", run=name)["accuracy"] > 0.7
        else:
            assert "learns no images" in page.fail("mistakes", run=name)
    for name in names:
        page.ask("remove", run=name)
    assert "unknown broken training" in page.fail("start_broken", code="x")


def test_no_more_than_four(page: Page, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.room, "records", {f"run {i}": page.room.records[run] for i in range(MOST_RUNS)})
    assert "remove one first" in page.fail("start", options=OPTIONS)


def test_a_look_leaves_the_model_as_it_was() -> None:
    train, test = tg.data.load_mnist("sample")
    model = tg.nn.Sequential(
        tg.nn.Unflatten(1, (1, 28, 28)), tg.nn.Conv2d(1, 4, 5, rng=0), tg.nn.BatchNorm2d(4), tg.nn.ReLU(),
        tg.nn.Flatten(), tg.nn.Dropout(0.5, rng=0), tg.nn.Linear(4 * 24 * 24, 10, rng=0),
    ).train()  # fmt: skip
    x, y = train[:32]
    before, modes = model.state_dict(), [layer.training for layer in model.modules()]
    grads = [np.full(p.shape, 2, np.float32) for p in model.parameters()]
    for p, g in zip(model.parameters(), grads, strict=True):
        p.grad = tg.tensor(g)
    loss, layers = look(model, tg.nn.CrossEntropyLoss(), x, y)
    assert [layer["name"] for layer in layers] == ["1", "6"]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert [layer.training for layer in model.modules()] == modes
    assert all(
        p.grad.data is g or (p.grad.data == g).all() for p, g in zip(model.parameters(), grads, strict=True)
    )
    other = tg.training.evaluate(model, (x, y))["loss"]
    assert loss == pytest.approx(other, rel=1e-5)
    value = tg.nn.CrossEntropyLoss()(model.eval()(x), y)
    model.zero_grad()
    value.backward()
    expected = [float(np.sqrt(np.mean(p.grad.data**2))) for p in model.parameters() if p.ndim > 1]
    assert [layer["gradient"] for layer in layers] == pytest.approx(expected, rel=1e-5)
    found = find_mistakes(model, test.subset(slice(0, 50)), "cross-entropy", truth=3, said=3)
    assert found["truth"] == found["said"]


def test_each_voter_has_activations_of_its_own() -> None:
    """The layer after a voter's last one belongs to another voter, which is given the image."""
    train, _ = tg.data.load_mnist("sample")
    x, y = train[:32]
    model = tg.nn.Committee(tg.nn.MLP([784, 5, 10], rng=0), tg.nn.Linear(784, 10, rng=1))
    _, layers = look(model, tg.nn.CrossEntropyLoss(), x, y)
    assert [layer["name"] for layer in layers] == ["members.0.0", "members.0.2", "members.1"]
    hidden = model.members[0][1](model.members[0][0](x)).data
    assert layers[0]["zeros"] == pytest.approx(np.mean(hidden == 0))
    for layer, member in zip(layers[1:], model.members, strict=True):
        expected = histogram("activations", np.arcsinh(some(member(x).data)))
        np.testing.assert_array_equal(layer["activations"], expected)


def test_looks_are_thinned_out_but_the_last_stay() -> None:
    record = Record("run 1", 0, Path(), {})
    for step in range(3 * MOST_FRAMES):
        record.add({"what": "frame", "step": step})
    kept = [entry["step"] for entry in record.log if entry is not None]
    assert len(kept) <= MOST_FRAMES + 1
    assert kept[0] == 0
    assert kept[-1] == 3 * MOST_FRAMES - 1


def test_a_replay_is_the_same_text_for_the_same_training() -> None:
    news = {"name": "<b>", "state": "done", "events": [], "losses": np.zeros(3, np.float32)}
    page = replay_page(news, {})
    assert page == replay_page(news, {})
    assert b"<title>&lt;b&gt;" in page
    assert page.count(b"</script>") == 2


def test_the_watcher_only_watches() -> None:
    assert Watcher.only_watches
