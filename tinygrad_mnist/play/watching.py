"""What can be seen of a training while it runs, and how it is steered, without slowing it down.

Losses are told at most 20 times a second. A look inside costs more, so there is one whenever all of them together took
less than 3 % of the time (of the processor's, which others may use; answers to questions count, too). A look changes
nothing: the training stays the same, bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import Dataset
from ..errors import OptionError, TinygradError
from ..files import load
from ..nn import Dropout, Module
from ..optim import Schedule
from ..tensor import Tensor
from ..training.callbacks import Callback, Training
from ..training.resuming import CHECKPOINT
from ..typing import NDArray
from .measuring import find_mistakes, histogram, look, pictures_of, some
from .worker import Line, Message

__all__ = ["KNOBS", "Change", "Watcher", "answer_mistakes", "digest", "turn"]

#: Seconds between two messages, and the share of the time for watching.
PAUSE, SHARE = 0.05, 0.03

#: Samples that a look computes with.
SAMPLES = 128

#: Images that are told apart while a training runs; in the end, it is all of them.
TESTED = 500

#: The most checkpoints of a run that are kept to fork from, besides the last one.
MOST_MOMENTS = 40

#: What can be changed while a training runs.
KNOBS = ("lr", "weight_decay", "dropout")


class Change(NamedTuple):
    """A knob that was turned after so many steps."""

    step: int
    knob: str
    value: float


class Watcher(Callback):
    """Tells what happens, and does what it is told: pause, go on, one step, turn a knob, stop.

    Parameters
    ----------
    line : Line
    test : Dataset or None
        Images to test with.
    loss : str
        The name of the loss.
    folder : Path or None
        Where the run is; its checkpoints are kept in ``moments`` there. None keeps nothing.
    changes : sequence of Change
        Knobs to turn again: those of an earlier training that this one repeats.
    pause_at : int, optional
        The step before which it waits.
    """

    only_watches = True  # as far as a checkpoint is concerned: the changes are kept beside it

    def __init__(
        self,
        line: Line,
        test: Dataset | None,
        loss: str,
        folder: Path | None,
        *,
        changes: Iterable[Change] = (),
        pause_at: int | None = None,
    ) -> None:
        self.line, self.test, self.loss, self.folder = line, test, loss, folder
        self.changes = sorted((Change(*change) for change in changes), key=lambda change: change.step)
        self.pause_at = pause_at
        self.schedule: Schedule | None = None
        self.step, self.paused = 0, False
        self._first = 0
        self._losses: list[float] = []
        self._told, self._looks = -math.inf, 0
        self._began = self._spent = self._clock = 0.0
        self._frame: tuple[dict[str, Any], dict[str, NDArray]] | None = None
        self._moments: list[int] = []
        self._samples: tuple[NDArray, NDArray] | None = None
        self._training: Training | None = None

    def make_schedule(self, make: Callable[..., Schedule] | None) -> Callable[..., Schedule] | None:
        """Wrap the function that makes a schedule, in order to change its rates later."""
        if make is None:
            return None

        def made(*args: Any) -> Schedule:
            self.schedule = make(*args)
            return self.schedule

        return made

    # -- what fit calls --------------------------------------------------------------------------------

    def on_start(self, training: Training) -> None:
        self._training = training
        self._first = self.step = max(training.epoch - 1, 0) * training.batches + training.batch
        assert training.data is not None
        assert training.loss_function is not None
        data = training.data.dataset
        self._samples = data[np.linspace(0, len(data) - 1, min(len(data), SAMPLES)).astype(int)]
        for change in self.changes:
            # A checkpoint holds what an optimizer was told; the last change may be newer than it.
            if change.step == self.step or (change.step < self.step and change.knob == "dropout"):
                self._turn(change)
        self.line.tell(
            "began",
            step=self.step,
            epochs=training.epochs,
            batches=training.batches,
            rows=list(training.history),
            parameters=sum(p.size for p in training.model.parameters()),
            layers=str(training.model),
            has_dropout=any(isinstance(layer, Dropout) for layer in training.model.modules()),
        )
        self._look(training)
        self._spent, self._began, self._clock = 0.0, time.process_time(), time.perf_counter()
        self._obey(training)

    def on_batch(self, training: Training) -> None:
        self.step += 1
        self._losses.append(training.loss)
        if self._frame is not None:
            self._end_look()
        if training.batch == 1:
            self._keep_moment(training)
        for change in self.changes:
            if change.step == self.step:
                self._turn(change)
        now = time.perf_counter()
        if now - self._told >= PAUSE or self.paused or self.step == self.pause_at:
            if self._may_look() or self.paused or self.step == self.pause_at:
                self._look(training)
            self._tell(training)
            self._obey(training)

    def on_epoch(self, training: Training) -> None:
        self._tell(training)
        start = time.process_time()
        self.line.tell(
            "epoch",
            row=training.history[-1],
            step=self.step,
            digest=digest(training.model.parameters()),
        )
        self._spent += time.process_time() - start
        is_last = training.epoch == training.epochs or bool(training.stop)
        if is_last or self._may_look():
            self._look(training)

    def on_end(self, training: Training) -> None:
        if self._frame is not None:
            self._end_look()
        self._tell(training)
        self._keep_moment(training)

    # -- telling ---------------------------------------------------------------------------------------

    def _tell(self, training: Training) -> None:
        start = time.process_time()
        self.line.tell(
            "steps",
            step=self.step,
            losses=np.array(self._losses, np.float32),
            lr=float(training.optimizer.param_groups[0]["lr"]),
            pace=(start - self._began) / max(self.step - self._first, 1),
            wall=time.perf_counter() - self._clock,
            watching=self._spent / max(start - self._began, 1e-9),
        )
        self._losses.clear()
        self._told = time.perf_counter()
        self._spent += time.process_time() - start

    def _may_look(self) -> bool:
        """Whether looking has taken little enough of the time so far."""
        return self._spent < SHARE * (time.process_time() - self._began)

    def _look(self, training: Training) -> None:
        """Look inside the model; the first step afterwards shows how large the updates are."""
        assert self._samples is not None
        assert training.loss_function is not None
        start = time.process_time()
        try:
            loss, layers = look(training.model, training.loss_function, *self._samples)
        except TinygradError:
            return
        named = dict(training.model.named_parameters())
        weights = {layer["name"]: named[f"{layer['name']}.weight"].data for layer in layers}
        frame: dict[str, Any] = {"step": self.step, "layers": layers, "loss": loss}
        first = next(iter(weights.values()), None)
        side = 0 if self.test is None else self.test.inputs.shape[-1]
        pictures = None if first is None else pictures_of(first, side)
        if pictures is not None:
            scale = float(np.abs(pictures).max()) or 1.0
            frame["scale"] = scale
            frame["weights"] = np.round(127.5 + 127.5 * pictures / scale).astype(np.uint8)
        is_end = self.step == training.epochs * training.batches
        if self.test is not None and (self._looks % 3 == 0 or is_end or self.paused):
            some = self.test if is_end else self.test.subset(slice(0, TESTED))
            found = find_mistakes(training.model, some, self.loss)
            frame |= {"matrix": found["matrix"].astype(np.int32), "accuracy": found["accuracy"]}
        self._looks += 1
        self._frame = frame, {name: weight.copy() for name, weight in weights.items()}
        if self.paused or self.step == 0 or is_end:
            self.line.tell("frame", **frame)  # no step may follow
        self._spent += time.process_time() - start

    def _end_look(self) -> None:
        """Add to the last look how far each weight moved in the step after it."""
        assert self._frame is not None
        assert self._training is not None
        start = time.process_time()
        frame, before = self._frame
        self._frame = None
        now = dict(self._training.model.named_parameters())
        for layer in frame["layers"]:
            old, new = before[layer["name"]], now[f"{layer['name']}.weight"].data
            if frame["step"] < self.step:
                moved = new - old
                share = some(moved / np.maximum(np.abs(old), np.float32(1e-8)))
                layer["updates"] = histogram("updates", np.log10(np.abs(share)))
                layer["update"] = float(np.linalg.norm(moved)) / max(float(np.linalg.norm(old)), 1e-12)
        self.line.tell("frame", **frame)
        self._spent += time.process_time() - start

    def _keep_moment(self, training: Training) -> None:
        """Keep the checkpoint of the last whole epoch, so that it can be forked."""
        if self.folder is None:
            return
        start = time.process_time()
        done = len(training.history) * training.batches
        path = self.folder / CHECKPOINT
        if done in self._moments or not path.is_file():
            return
        folder = self.folder / "moments"
        folder.mkdir(exist_ok=True)
        (folder / f"{done:08}.safetensors").hardlink_to(path)  # it is replaced as a whole, so this one stays
        self._moments.append(done)
        if len(self._moments) > MOST_MOMENTS:
            for step in self._moments[1:-1:2]:
                (folder / f"{step:08}.safetensors").unlink(missing_ok=True)
                self._moments.remove(step)
        self.line.tell("moments", steps=list(self._moments))
        self._spent += time.process_time() - start

    # -- obeying ---------------------------------------------------------------------------------------

    def _obey(self, training: Training) -> None:
        """Do what the page said; while it is paused, wait for more."""
        if self.pause_at is not None and self.step >= self.pause_at:
            self.pause_at, self.paused = None, True
            self.line.tell("paused", step=self.step)
        while (message := self.line.hear(None if self.paused else 0.0)) is not None:
            if self._do(message, training):
                break

    def _do(self, message: Message, training: Training) -> bool:
        """Do one thing; return whether the training goes on at once."""
        do = message["do"]
        if do == "pause" and not self.paused:
            self.paused = True
            self._look(training)
            self._tell(training)
            self.line.tell("paused", step=self.step)
        elif do == "go":
            self.paused, self.pause_at = False, message["until"]
            self.line.tell("going", step=self.step)
            return True
        elif do == "step":
            self.paused, self.pause_at = False, self.step + 1
            return True
        elif do == "turn":
            self.change(Change(self.step, message["knob"], message["value"]))
        elif do == "mistakes":
            start = time.process_time()
            answer_mistakes(
                self.line, training.model, self.test, self.loss, self.folder, message, now=self.step
            )
            self._spent += time.process_time() - start
        return False

    def change(self, change: Change) -> None:
        """Turn a knob, and write it down."""
        self.changes.append(change)
        self._turn(change)

    def _turn(self, change: Change) -> None:
        assert self._training is not None
        turn(self._training, self.schedule, change)
        self.line.tell("turned", **change._asdict())


def answer_mistakes(
    line: Line,
    model: Module,
    test: Dataset | None,
    loss: str,
    folder: Path | None,
    message: dict[str, Any],
    *,
    now: int,
) -> None:
    """Tell the mistakes of a model, as it is now or as it was at the last moment kept before a step."""
    if test is None:
        line.tell("mistakes", id=message["id"], error="this training learns no images")
        return
    step = message.get("step") if folder is not None else None
    if step is not None and folder is not None:
        kept = [path for path in (folder / "moments").glob("*.safetensors") if int(path.stem) <= step]
        if kept:
            path = max(kept)
            model = copy.deepcopy(model)
            model.load_state_dict(load(path, max_bytes=path.stat().st_size)["model"])
            step = int(path.stem)
    found = find_mistakes(model, test, loss, truth=message["truth"], said=message["said"])
    line.tell("mistakes", id=message["id"], step=step, at=now if step is None else step, **found)


def turn(training: Training, schedule: Schedule | None, change: Change) -> None:
    """Turn a knob of a training.

    A new learning rate is the rate now; a schedule goes on from there, scaled.

    Raises
    ------
    OptionError
        If there is no such knob.
    """
    groups = training.optimizer.param_groups
    if change.knob == "lr":
        now = float(groups[0]["lr"])
        for group in groups:
            group["lr"] = change.value
        if schedule is not None and now > 0:
            schedule.base_lrs = [rate * change.value / now for rate in schedule.base_lrs]
    elif change.knob == "weight_decay":
        for group in groups:
            group["weight_decay"] = change.value
    elif change.knob == "dropout":
        for layer in training.model.modules():
            if isinstance(layer, Dropout):
                layer.p = change.value
    else:
        raise OptionError(f"there is no knob {change.knob!r}; there are {', '.join(KNOBS)}")


def digest(parameters: Iterable[Tensor]) -> str:
    """A digest of all weights: two trainings with the same one are equal, bit for bit."""
    hashed = hashlib.sha256()
    for p in parameters:
        hashed.update(np.ascontiguousarray(p.data).tobytes())
    return hashed.hexdigest()[:16]
