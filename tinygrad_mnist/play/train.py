"""The room Train: trainings that can be watched, stopped, wound back and forked."""

from __future__ import annotations

import binascii
import io
import itertools
import re
import shutil
import tempfile
import threading
import zipfile
from base64 import b64decode
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from .. import nn
from ..data import AUGMENTATIONS, DATASETS
from ..errors import OptionError, RunError, choice, quote
from ..training.broken import BROKEN
from ..training.doctor import FAULTS
from ..training.explaining import explain_run
from ..training.folders import make_folder
from ..training.models import MODELS
from ..training.resuming import CHECKPOINT
from ..training.runs import Run
from ..training.settings import LOSSES, OPTIMIZERS, SCHEDULES, Settings
from .engine import Engine, Room, command
from .measuring import BINS
from .pages import replay_page
from .running import train, train_broken
from .watching import KNOBS
from .worker import Message, Worker

__all__ = ["Record", "Train"]

#: The most trainings side by side, and the most looks inside that are kept of one.
MOST_RUNS, MOST_FRAMES = 4, 240

#: The most looks inside that a replay shows.
MOST_IN_REPLAY = 120

#: The largest file that can be uploaded, in bytes, and the seconds that an answer of a training may take.
LARGEST_UPLOAD, PATIENCE = 2**25, 60.0

#: What the form begins with: quick, and good.
DEFAULTS: dict[str, Any] = {
    "dataset": "sample", "path": None, "model": "mlp", "hidden": [64], "activation": "relu", "dropout": 0.0,
    "loss": "cross-entropy", "label_smoothing": 0.0, "optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0,
    "schedule": "none", "epochs": 20, "batch_size": 64, "clip_norm": None, "validation": 0.1, "keep": None,
    "patience": None, "compile": "numpy", "seed": 0, "augment": [],
}  # fmt: skip


class Record:
    """What is known of one training.

    Attributes
    ----------
    folder : Path or None
        None for a broken training, which leaves nothing behind.
    log : list
        What its process told, but for the losses; looks that were thinned out are None.
    losses : list of float
        One for each step.
    """

    def __init__(self, name: str, number: int, folder: Path | None, options: dict[str, Any]) -> None:
        self.name, self.number, self.folder, self.options = name, number, folder, options
        self.state = "starting"
        self.log: list[Message | None] = []
        self.losses: list[float] = []
        self.changes: list[tuple[int, str, float]] = []
        self.moments: list[int] = []
        self.step, self.steps = 0, 0
        self.worker: Worker | None = None
        self.lock = threading.Lock()
        self.answers: dict[int, Message] = {}
        self.answered = threading.Condition()

    def add(self, message: Message) -> None:
        """Take over what the process told."""
        what = message["what"]
        with self.lock:
            if what == "steps":
                self.losses += message.pop("losses").tolist()
                self.step = message["step"]
                if self.log and (last := self.log[-1]) is not None and last["what"] == "steps":
                    self.log[-1] = None  # only the last one counts
            elif what == "began":
                self.state = "running"
                self.steps = message["epochs"] * message["batches"]
            elif what in ("paused", "going", "done"):
                self.state = "running" if what == "going" else str(what)
            elif what == "turned":
                change = message["step"], message["knob"], message["value"]
                if change not in self.changes:
                    self.changes.append(change)
            elif what == "moments":
                self.moments = message["steps"]
            elif what == "ended":
                self.state = "failed" if message["error"] else "done"
            self.log.append(message)
            if what == "frame":
                self._thin_out()

    def _thin_out(self) -> None:
        """Keep every second look of the older ones if there are too many."""
        places = [i for i, entry in enumerate(self.log) if entry is not None and entry["what"] == "frame"]
        if len(places) > MOST_FRAMES:
            for i in places[1:-1:2]:
                self.log[i] = None

    def branch(self, other: Record, step: int) -> None:
        """Begin as another one, up to a step."""
        with other.lock:
            self.losses = other.losses[:step]
            self.log = [
                entry
                for entry in other.log
                if entry is not None and entry["what"] in ("epoch", "frame") and entry["step"] <= step
            ]
            self.step = step


class Train(Room):
    """Trainings that can be watched, stopped, wound back and forked."""

    name, title = "train", "Train"

    def __init__(self, engine: Engine, parent: Path = Path("runs")) -> None:
        super().__init__(engine)
        self.parent = parent
        self.records: dict[str, Record] = {}
        self._numbers, self._ids = itertools.count(1), itertools.count(1)
        self._uploads: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """End all trainings; their folders stay."""
        records = list(self.records.values())
        for record in records:  # all at the same time
            if record.worker is not None:
                record.worker.begin_to_end()
        for record in records:
            self._end(record)
        if self._uploads is not None:
            self._uploads.cleanup()

    # -- beginning -------------------------------------------------------------------------------------

    @command
    def options(self) -> dict[str, Any]:
        """What can be chosen, what is chosen at first, and the trainings that there are."""
        chosen = dict(DEFAULTS)
        for folder in self.engine.runs.values():
            if folder not in [record.folder for record in self.records.values()]:
                chosen |= self._settings_of(folder)
        return {
            "defaults": chosen,
            "dataset": {name: source.shows for name, source in DATASETS.items()},
            "model": {name: recipe.about for name, recipe in MODELS.items()},
            "optimizer": {name: recipe.lr for name, recipe in OPTIMIZERS.items()},
            "schedule": list(SCHEDULES),
            "loss": list(LOSSES),
            "activation": sorted(nn.activations),
            "augment": list(AUGMENTATIONS),
            "knobs": list(KNOBS),
            "bins": {kind: edges.tolist() for kind, edges in BINS.items()},
            "broken": {
                code: {"title": broken.title, "cure": FAULTS[code].cure} for code, broken in BROKEN.items()
            },
            "runs": [record.name for record in self.records.values()],
            "most": MOST_RUNS,
        }

    @staticmethod
    def _settings_of(folder: Path) -> dict[str, Any]:
        try:
            settings = Run(folder).settings.as_dict()
        except RunError:  # it was saved from Python, and has none
            return {}
        return {name: settings[name] for name in DEFAULTS}

    @command
    def start(self, options: dict[str, Any], paused: bool = False) -> str:
        """Start a training, and return its name."""
        known = {field.name for field in fields(Settings)} - {"data", "classes", "side"}
        if unknown := set(options) - known:
            raise choice("setting", min(unknown), sorted(known))
        given = {**DEFAULTS, **({"lr": None} if "optimizer" in options else {}), **options}
        if given["dataset"] not in list(DATASETS):
            raise choice("data set", str(given["dataset"]), DATASETS)
        for name in ("hidden", "augment"):
            if not isinstance(given[name], (list, tuple)):
                raise OptionError(f"{name} must be a list, not {quote(given[name])}")
            given[name] = tuple(given[name])
        if given["path"] is not None and not isinstance(given["path"], str):
            raise OptionError("the path of the data must be text")
        record = self._add(given)
        self._run(record, resumes=False, pause_at=0 if paused else None)
        return record.name

    @command
    def start_broken(self, code: str, mended: bool = False, paused: bool = False) -> str:
        """Start one of the broken trainings, or its mended one, and return its name."""
        if code not in BROKEN:
            raise choice("broken training", code, BROKEN)
        record = self._add({"broken": code, "mended": mended})
        self._work(record, train_broken, code=code, mended=mended, pause_at=0 if paused else None)
        return record.name

    @command
    def fork(
        self, run: str, step: int, knob: str = "", value: float = 0.0, paused: bool = False
    ) -> dict[str, Any]:
        """Repeat a training exactly up to a step, and go on from there, with one knob turned or as it was."""
        parent = self._record(run)
        self._folder(parent)
        if knob and knob not in KNOBS:
            raise choice("knob", knob, KNOBS)
        if not 0 <= step <= parent.step:
            raise OptionError(
                f"{run} has done {parent.step:,} steps, so it cannot be forked at step {step:,}"
            )
        if knob and step >= parent.steps:
            raise OptionError("the training has ended at this step, so nothing can be changed any more")
        moments = [moment for moment in parent.moments if moment <= step]
        if not moments:
            raise OptionError(f"{run} has not begun yet")
        moment, source = max(moments), self._folder(parent)
        files = {
            "config.json": source / "config.json",
            CHECKPOINT: source / "moments" / f"{moment:08}.safetensors",
        }
        if not all(path.is_file() for path in files.values()):
            raise OptionError(f"{run}: its folder {source} no longer has what a fork needs")
        record = self._add(parent.options)
        for name, path in files.items():
            shutil.copyfile(path, self._folder(record) / name)
        record.branch(parent, moment)
        record.log.insert(0, {"what": "forked", "run": run, "step": step, "knob": knob, "value": value})
        record.changes = [change for change in parent.changes if change[0] <= step]
        if knob:
            record.changes.append((step, knob, float(value)))
        self._run(record, resumes=True, pause_at=step if paused else None)
        return {"run": record.name, "from": moment}

    def _add(self, options: dict[str, Any]) -> Record:
        if len(self.records) >= MOST_RUNS:
            raise OptionError(f"{MOST_RUNS} trainings are side by side already; remove one first")
        number = next(self._numbers)
        folder = make_folder(self.parent, f"play-{options['dataset']}") if "dataset" in options else None
        taken = {record.number for record in self.records.values()}
        place = next(i for i in range(MOST_RUNS) if i not in taken)
        record = Record(f"run {number}", place, folder, options)
        self.records[record.name] = record
        return record

    @staticmethod
    def _folder(record: Record) -> Path:
        """The folder of a run."""
        if record.folder is None:
            raise OptionError(
                f"{record.name} is one of the broken trainings, which leave no folder behind; in Python, it is "
                f"tinygrad_mnist.training.broken.BROKEN[{record.options['broken']!r}]"
            )
        if not record.folder.is_dir():
            raise OptionError(f"{record.name}: its folder {record.folder} is gone")
        return record.folder

    def _run(self, record: Record, *, resumes: bool, pause_at: int | None) -> None:
        self._work(
            record,
            train,
            options={name: record.options[name] for name in DEFAULTS},
            folder=str(self._folder(record)),
            resumes=resumes,
            changes=record.changes.copy(),
            pause_at=pause_at,
        )

    def _work(self, record: Record, task: Callable[..., None], **given: Any) -> None:
        """Let a process do a task."""

        def hear(message: Message) -> None:
            if message["what"] == "mistakes":
                with record.answered:
                    record.answers[message["id"]] = message
                    record.answered.notify_all()
                return
            record.add(message)
            if message["what"] == "epoch" and record.folder is not None:
                self.engine.runs[record.name] = record.folder  # it has a model from now on
            if record.name in self.records:
                self.publish("news", key=record.name, run=record.name)

        record.worker = Worker(task, hear, **given)
        self.publish("runs", runs=list(self.records))

    # -- watching and steering -------------------------------------------------------------------------

    def _record(self, run: str) -> Record:
        if run not in self.records:
            raise choice("run", str(run), self.records)
        return self.records[run]

    @command
    def news(self, run: str, event: int, step: int) -> dict[str, Any]:
        """What has happened after so many events and steps."""
        record = self._record(run)
        with record.lock:
            return {
                "number": record.number,
                "state": record.state,
                "folder": record.folder or "",
                "events": [entry for entry in record.log[event:] if entry is not None],
                "event": len(record.log),
                "first": step,
                "losses": np.array(record.losses[step:], np.float32),
            }

    @command
    def steer(self, run: str, what: str, until: int | None = None) -> None:
        """Pause a training, let it go on (until it has done so many steps), or let it take one step."""
        if what not in ("pause", "go", "step"):
            raise choice("command", what, ("pause", "go", "step"))
        self._worker(run).send(what, until=until)

    @command
    def turn(self, run: str, knob: str, value: float) -> None:
        """Turn a knob of a training that runs."""
        if knob not in KNOBS:
            raise choice("knob", knob, KNOBS)
        most = 1.0 if knob == "dropout" else 1e6
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < most:
            raise OptionError(f"{knob} is {value!r}, but must be a number from 0 to {most:g}")
        self._worker(run).send("turn", knob=knob, value=float(value))

    @command
    def mistakes(
        self, run: str, truth: int | None = None, said: int | None = None, step: int | None = None
    ) -> Message:
        """The mistakes of which a model is most sure; ``step`` asks for the model as it was then."""
        record, number = self._record(run), next(self._ids)
        self._worker(run).send("mistakes", id=number, truth=truth, said=said, step=step)
        with record.answered:
            if not record.answered.wait_for(
                lambda: number in record.answers or record.state == "failed", PATIENCE
            ):
                raise OptionError(f"{run} does not answer")
            if number not in record.answers:
                raise OptionError(f"{run} has failed")
            found = record.answers.pop(number)
        if "error" in found:
            raise OptionError(found["error"])
        return found

    def _worker(self, run: str) -> Worker:
        worker = self._record(run).worker
        if worker is None or not worker.is_alive:
            raise OptionError(f"{run} has ended")
        return worker

    @command
    def remove(self, run: str) -> None:
        """End a training and take it off the page; its folder stays."""
        record = self._record(run)
        del self.records[run]
        self._end(record)
        self.publish("runs", runs=list(self.records))

    def _end(self, record: Record) -> None:
        if record.worker is not None:
            record.worker.close()
        if record.folder is None:
            return
        shutil.rmtree(record.folder / "moments", ignore_errors=True)
        if not (record.folder / "model.safetensors").is_file():  # it never began
            self.engine.runs.pop(record.name, None)
            shutil.rmtree(record.folder, ignore_errors=True)

    # -- files -----------------------------------------------------------------------------------------

    @command
    def upload(self, name: str, content: str) -> dict[str, str]:
        """Take a file with data; the result is the data set and the path to start a training with."""
        if not isinstance(content, str) or len(content) > LARGEST_UPLOAD * 4 / 3 + 4:
            raise OptionError(
                f"{name}: is larger than {LARGEST_UPLOAD // 2**20} MiB; start `play` beside it, and type its path"
            )
        try:
            data = b64decode(content, validate=True)
        except binascii.Error as error:
            raise OptionError(f"{name}: did not arrive as a whole") from error
        if self._uploads is None:
            self._uploads = tempfile.TemporaryDirectory(prefix="tinygrad-mnist-")
        folder = make_folder(self._uploads.name, "upload")
        last = PurePath(name.replace("\\", "/")).name
        path = folder / (re.sub(r"[^\w.-]", "_", last).lstrip(".")[-100:] or "data")
        path.write_bytes(data)
        return {"dataset": "files", "path": str(path)}

    @command
    def export(self, run: str, what: str) -> str:
        """Offer the folder of a run as a zip file, its training step as a NumPy program, or a replay as one page."""
        record = self._record(run)
        if what == "replay":
            page = replay_page({"name": run, **self._replay(run)}, self.options()["bins"])
            name = record.folder.name if record.folder else record.options["broken"]
            return self.engine.offer(f"{name}.html", page)
        folder = self._folder(record)
        if not (folder / "model.safetensors").is_file():
            raise OptionError(f"{run} has no model yet")
        if what == "program":
            source = explain_run(Run(folder)).source
            return self.engine.offer(f"{folder.name}.py", source.encode())
        if what != "folder":
            raise choice("export", what, ("folder", "program", "replay"))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    archive.write(path, f"{folder.name}/{path.name}")
        return self.engine.offer(f"{folder.name}.zip", packed.getvalue())

    def _replay(self, run: str) -> Message:
        """What a replay shows: all that a training told, with some of the looks, and without paths of this machine."""
        news = self.news(run, 0, 0)
        looks = [entry for entry in news["events"] if entry["what"] == "frame"]
        every = -(-len(looks) // MOST_IN_REPLAY)
        shown = {id(entry) for entry in looks[::every]} | {id(entry) for entry in looks[-1:]}
        events = [
            {**entry, "settings": {**entry["settings"], "path": None}}
            if entry["what"] == "settings"
            else entry
            for entry in news["events"]
            if (entry["what"] != "frame" or id(entry) in shown) and entry["what"] != "done"
        ]
        return {"state": news["state"], "events": events, "losses": news["losses"]}
