"""The checkpoint of a training: everything that it needs to go on, in one file.

The file is replaced as a whole, once the new one is on the disk: whenever a process is killed, the last complete one is
there. It is a safetensors file. What is not an array is JSON in its header, so reading it executes nothing.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import DataLoader
from ..errors import DataError, OptionError, RunError, ShapeError, StateDictError, TinygradError
from ..files import load, save
from ..graph import changed
from ..nn import Module
from ..optim import Schedule
from ..tensor import Tensor, buffer
from ..typing import NDArray
from .callbacks import Callback, Training
from .folders import claim
from .generators import fork_generators, read_generators, write_generators
from .identity import describe_training, differences, versions
from .parallel import Parallel
from .signals import PatientSignals
from .steps import TrainingStep

__all__ = ["CHECKPOINT", "Parts", "Resumption"]

CHECKPOINT = "checkpoint.safetensors"


class Parts(NamedTuple):
    """Everything of a training that changes while it runs, or that decides what happens."""

    training: Training
    step: TrainingStep
    schedule: Schedule | None
    callbacks: Sequence[Callback]
    loader: DataLoader
    loss: Callable[..., Any]
    metrics: Mapping[str, Any]
    parallel: Parallel

    def stateful(self) -> dict[str, Any]:
        """The callbacks that remember something, by name."""
        found: dict[str, Any] = {}
        for callback in self.callbacks:
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
                name = type(callback).__name__
                while name in found:
                    name += "'"
                found[name] = callback
        return found

    def random(self) -> dict[str, Any]:
        """Where random numbers may come from."""
        return {
            "model": self.training.model,
            "train": self.loader,
            "validation": self.training.validation,
            "loss": self.loss,
            "optimizer": self.training.optimizer,
            "schedule": self.schedule,
            "callbacks": [callback for callback in self.callbacks if not callback.only_watches],
        }

    def strays(self) -> list[Tensor]:
        """What the optimizer learns besides the model's parameters."""
        own = {id(p) for p in self.training.model.parameters()}
        groups = self.training.optimizer.param_groups
        return [p for group in groups for p in group["params"] if id(p) not in own]


class Resumption:
    """Saves a training into a folder while it runs, and goes on from there.

    As a context, it claims the folder, and lets signals wait until everything is saved. Of several processes that train
    together, the first has the folder. The others get from it what it reads there, and all act on a signal after the
    same batch.

    Parameters
    ----------
    folder : path or None
        None saves nothing.
    minutes : float
        The longest time between two checkpoints.
    parts : Parts

    Attributes
    ----------
    seconds : float
        How long the training took in earlier processes.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, minutes: float, parts: Parts) -> None:
        if not minutes > 0:
            raise OptionError(f"fit: checkpoint_every = {minutes!r} is not a positive number of minutes")
        self.path = None if folder is None or parts.parallel.rank else Path(folder) / CHECKPOINT
        self._folder = folder
        self.parts, self.seconds = parts, 0.0
        self._pause = 60 * minutes
        self._saved = time.monotonic()
        self._started: float | None = None  # when it went on
        self._identity = describe_training(parts)
        self._versions = versions({**parts.random(), "metrics": parts.metrics})
        self._state: dict[str, Any] = {}  # that of the checkpoint
        self._starts: dict[str, Any] = {}  # the states of all generators when the epoch began
        self._signals = PatientSignals()
        parts.parallel.wants = self._wants

    def __enter__(self) -> Resumption:
        with ExitStack() as contexts:
            if self.path is not None:
                contexts.enter_context(claim(self.path.parent))
            contexts.enter_context(self._signals)
            self._contexts = contexts.pop_all()
        epochs = {"the number of epochs": str(self.parts.training.epochs)}
        self.parts.parallel.require_same({**self._versions, **self._identity, **epochs})
        return self

    def __exit__(self, *error: Any) -> None:
        if self.parts.parallel.size > 1 and error[0] is not None:
            self._signals.pending.clear()  # mpiexec sends them to all processes, but not at the same moment
        self._contexts.__exit__(*error)

    # -- going on --------------------------------------------------------------------------------------

    def load(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        RunError
            If the folder belongs to another training, or has more epochs.
        DataError
            If the file is damaged.
        """
        with self._explained():
            self._state = self.parts.parallel.share(_read(self.path) if self.path else {})
            if self._state:
                self._restore()

    def load_callbacks(self) -> dict[str, Any]:
        """Give back what ``on_start`` has reset, and return where an epoch was interrupted, or nothing.

        The first checkpoint is written here: another process begins with the same weights and random numbers. So do
        those that train together with this one.
        """
        parallel, is_new = self.parts.parallel, not self._state
        if is_new and parallel.size > 1:
            self._state = parallel.share(self._gathered({}, []))
            self._restore()
        within: dict[str, Any] = {}
        if self._state:
            with self._explained():
                self._restore_callbacks()
                within = self._state["within"]
                self._state = {}
        if is_new:
            self.save()
        return within

    def batches(self, done: int) -> Iterator[tuple[NDArray, Any]]:
        """Begin an epoch, or go on with the one that was interrupted after so many batches."""
        self._started = self._started or time.monotonic()
        loader, sources, parallel = self.parts.loader, self.parts.random(), self.parts.parallel
        now = read_generators(sources)
        if not done:
            self._starts = parallel.share(now)
        # The order of the batches was drawn when the epoch began; since then, others may have drawn as well.
        if done or parallel.rank:
            write_generators(sources, self._starts)
        if parallel.size > 1:
            stream = loader.batches(done, parallel.part)
        elif type(loader).__iter__ is DataLoader.__iter__:
            stream = loader.batches(done)
        else:
            stream = iter(loader)
            for _ in islice(stream, done):
                pass
        if done:
            write_generators(sources, now)
        elif parallel.rank:  # the order is the same for all; what is drawn for the examples must not be
            fork_generators(sources, parallel.rank)
        return stream

    def _restore(self) -> None:
        state, parts, training = self._state, self.parts, self.parts.training
        about = state["training"]
        rows = [json.loads(line) for line in state["history"].tobytes().splitlines()]
        known, done = about["identity"], len(rows)
        is_longer = training.epochs != about["epochs"]
        differing = differences(known, self._identity, is_longer)
        if differing:
            raise RunError(
                f"{self._folder}: holds another training: {'; '.join(differing)}. Choose another folder, or the "
                "same settings"
            )
        if done > training.epochs:
            raise RunError(
                f"{self._folder}: has {done} epochs already, and epochs={training.epochs} asks for fewer"
            )
        others = [
            name
            for name, version in about["versions"].items()
            if self._versions.get(name, version) != version
        ]
        if others and not parts.parallel.rank:
            warnings.warn(
                f"fit: goes on with another version of {', '.join(others)} than before, so the result may differ from "
                "that of a training without the interruption",
                stacklevel=5,
            )
        _load_weights(training.model, state["model"], about["joined"])
        for p, value in zip(parts.strays(), state["strays"].values(), strict=True):
            np.copyto(buffer(p), value)
        parts.step.load_state_dict(state["step"])
        # The optimizer's rate counts; but for more epochs than were planned, the schedule is another.
        loading = [(parts.schedule, "schedule"), (training.optimizer, "optimizer")]
        for part, name in reversed(loading) if is_longer else loading:
            if part is not None:
                part.load_state_dict(state[name])
        training.history.rows[:] = rows
        training.epoch, training.batch = done, training.batches if done else 0
        training.stop = "" if is_longer else about["stop"]
        training.loss = about["loss"]
        if about.get("processes", 1) == parts.parallel.size:
            training.threads = about["threads"]
        self.seconds, self._starts = about["seconds"], state["starts"]

    def _restore_callbacks(self) -> None:
        state, sources, parallel = self._state, self.parts.random(), self.parts.parallel
        for name, callback in self.parts.stateful().items():
            if name in state["callbacks"] or not callback.only_watches:
                callback.load_state_dict(state["callbacks"][name])
        streams = state.get("streams", {})
        is_known = len(streams) == parallel.size
        write_generators(sources, streams[str(parallel.rank)] if is_known else state["generators"])
        if parallel.rank and not is_known:
            fork_generators(sources, parallel.rank)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors about a checkpoint name its file."""
        try:
            yield
        except (StateDictError, ShapeError) as error:
            raise RunError(f"{self.path}: does not fit this training: {error}") from error
        except (TinygradError, OSError, Warning):
            raise
        except Exception as error:
            raise DataError(f"{self.path}: is not the checkpoint of a training: {error!r}") from error

    # -- saving ----------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether an epoch should be saved in its middle, where all processes have the same."""
        if self.parts.parallel.size > 1:
            return self.parts.parallel.is_wanted and not self.parts.step.gathered
        return self._wants()

    def _wants(self) -> bool:
        return bool(self._signals.pending) or time.monotonic() - self._saved > self._pause

    @property
    def total(self) -> float:
        """The seconds of training so far, in all processes."""
        now = time.monotonic()
        return self.seconds + now - (self._started or now)

    def save(self, within: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint, and then let the signals that came do what they do.

        Parameters
        ----------
        within : mapping, optional
            Where in an epoch the training is; by default, at its end.
        """
        parallel = self.parts.parallel
        own = read_generators(self.parts.random()) if within and parallel.size > 1 else None
        streams = parallel.gather(own) if own is not None else []
        if self.path is not None:
            try:
                with self._signals.waiting():
                    save(self._gathered(within or {}, streams), self.path, sync=True)
            except OSError as error:
                warnings.warn(
                    f"fit: no checkpoint was written, and training goes on; the last one is still whole: {error}",
                    stacklevel=3,
                )
        self._saved = time.monotonic()
        pending = parallel.gather([*self._signals.pending])
        if came := [number for numbers in pending for number in numbers]:
            self._signals.pending += [number for number in {*came} if number not in self._signals.pending]
            with parallel.in_common():
                self._signals.deliver()

    def finish(self) -> None:
        """From now on, let all signals wait until everything is saved."""
        self._signals.must_wait += 1

    def _gathered(self, within: Mapping[str, Any], streams: Sequence[dict[str, Any]]) -> dict[str, Any]:
        parts, training = self.parts, self.parts.training
        return {
            "training": {
                "identity": self._identity,
                "versions": self._versions,
                "epochs": training.epochs,
                "stop": training.stop,
                "loss": training.loss,
                "threads": training.threads,
                "processes": parts.parallel.size,
                "seconds": self.total,
                "joined": [n for n, p in training.model.named_parameters() if _is_joined(p.data)],
            },
            # Not among the JSON, which must be short.
            "history": np.frombuffer(training.history.to_jsonl().encode(), np.uint8),
            "model": training.model.state_dict(),
            "strays": {str(i): p.data for i, p in enumerate(parts.strays())},
            "optimizer": training.optimizer.state_dict(),
            "schedule": {} if parts.schedule is None else parts.schedule.state_dict(),
            "step": parts.step.state_dict(),
            "callbacks": {name: callback.state_dict() for name, callback in parts.stateful().items()},
            "generators": read_generators(parts.random()),
            **({"streams": {str(i): states for i, states in enumerate(streams)}} if streams else {}),
            "starts": self._starts if within else {},
            "within": dict(within),
        }


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint, if there is one."""
    if path.is_file():
        return load(path, max_bytes=path.stat().st_size)
    history = path.with_name("history.jsonl")
    if history.is_file() and history.stat().st_size:  # it would be overwritten
        raise RunError(
            f"{path.parent}: holds a training without {CHECKPOINT}, so it cannot go on; choose another folder"
        )
    return {}


def _load_weights(model: Module, state: Mapping[str, NDArray], joined: Sequence[str]) -> None:
    """Load a state dict; parameters lie in memory as they lay when it was made.

    Products are rounded in an order that depends on that, and compiled programs decide by it where to put parameters.
    """
    model.load_state_dict(state)
    for name, p in model.named_parameters():
        value, is_joined = state[name], name in joined
        order: Any = "C" if value.flags.c_contiguous else "F"
        is_so = p.data.flags.c_contiguous if order == "C" else p.data.flags.f_contiguous
        if is_so and _is_joined(p.data) == is_joined:
            continue
        p._array = np.array(value, p.dtype, order=order)
        if is_joined:
            flat = p._array.ravel(order).copy()
            p._array = flat.reshape(value.shape, order=order)
        if p._node is not None:
            p._node.value = p._array
        changed()


def _is_joined(array: NDArray) -> bool:
    """Whether an array is a piece of a vector of a compiled program."""
    return array.base is not None and array.base.ndim == 1
