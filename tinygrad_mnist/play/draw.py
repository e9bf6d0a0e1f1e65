"""The room Draw: a digit is drawn, and the model is seen reading it."""

from __future__ import annotations

import binascii
import threading
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, nn, optim, training
from ..data import DATASETS
from ..data.dataset import DIGITS
from ..data.images import prepare_digit
from ..errors import OptionError, choice
from ..nn import Module
from ..training.runs import Run
from ..training.settings import Facts
from ..typing import NDArray
from .engine import Engine, Room, command
from .looking import Edit, Looker

__all__ = ["Draw", "Models"]

#: The largest side of a drawing, in pixels.
LARGEST = 600

#: The networks that are trained on the spot, so that there is one before there is a run.
SMALL = "a small network"
CONVOLUTION = "a small convolution"


class Models:
    """The models of the page by name: those of runs, and two that are trained when they are first asked for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._known: dict[Any, Looker] = {}

    def names(self) -> list[str]:
        """The names, the one that is shown first at the beginning."""
        return [*reversed(self.engine.runs), SMALL, CONVOLUTION]

    def get(self, name: str) -> Looker:
        """Load a model, or train it."""
        if name not in self.names():
            raise choice("model", str(name), self.names())
        with self._lock:
            key = name if name not in self.engine.runs else _version(Run(self.engine.runs[name]).weights)
            if key not in self._known:
                self._known[key] = (
                    self._of_run(Run(self.engine.runs[name])) if key != name else _trained(name)
                )
                while len(self._known) > 4:
                    del self._known[next(iter(self._known))]
            return self._known[key]

    @staticmethod
    def _of_run(run: Run) -> Looker:
        facts = run.facts
        test = None if facts.dataset is None else DATASETS[facts.dataset].load(facts.path)[1]
        return Looker(run.model(), facts, test)


def _version(path: Path) -> tuple[str, int]:
    return str(path), path.stat().st_mtime_ns


def _trained(name: str) -> Looker:
    """Train one of the small models, in a second or a few."""
    train, test = data.load_mnist("sample")
    model: Module = nn.MLP([784, 32, 10], rng=0)
    if name == CONVOLUTION:
        model = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 8, 5, stride=2, rng=0), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, rng=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 10, rng=2),
        )  # fmt: skip
    training.fit(
        model, train, epochs=6, optimizer=optim.Adam(model.parameters(), lr=3e-3), rng=0, progress=False
    )
    facts = Facts("sample", None, "a sample of MNIST", DIGITS, 28, "cross-entropy", (784,))
    return Looker(model, facts, test)


class Draw(Room):
    """A digit is drawn, and the model is seen reading it."""

    name, title = "draw", "Draw"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.models = Models(engine)

    @command
    def options(self) -> dict[str, Any]:
        """The models that can be asked."""
        return {"models": self.models.names()}

    @command
    def prepare(self, model: str, side: int, drawing: str) -> NDArray:
        """Bring a drawing into the form that the model knows, as ``predict`` does.

        ``drawing`` holds the bytes of ``side`` × ``side`` grey pixels, dark on light, in base 64.
        """
        looker = self.models.get(model)
        return prepare_digit(
            _pixels(side, drawing), size=looker.facts.side, fill=_fill(looker.facts), where="the drawing"
        )

    @command
    def sample(self, model: str, number: int) -> dict[str, Any]:
        """One of the test images, and what it shows."""
        looker = self.models.get(model)
        images, labels = looker.tested
        i = int(number) % len(labels)
        side = looker.facts.side
        return {"image": images[i].reshape(side, side), "label": int(labels[i])}

    @command
    def look(
        self,
        model: str,
        image: str,
        edits: list[list[Any]] | None = None,
        towards: int | None = None,
        target: int | None = None,
        amount: float = 0.0,
        signs: bool = False,
    ) -> dict[str, Any]:
        """Read an image; with a ``target``, after it was changed towards that class.

        ``image`` holds its numbers as bytes of float32, in base 64.
        """
        looker = self.models.get(model)
        pixels = _image(looker.facts.side, image)
        if target is not None:
            if not 0 <= target < len(looker.facts.classes):
                raise OptionError(f"class {target} does not exist; there are {len(looker.facts.classes)}")
            pixels = looker.moved(pixels, target, amount, signs=signs)
        found = looker.look(pixels, _edits(edits), towards)
        return {**found, "image": pixels, "classes": list(looker.facts.classes)}

    @command
    def neuron(
        self,
        model: str,
        image: str,
        layer: str,
        unit: int,
        place: list[int] | None = None,
        edits: list[list[Any]] | None = None,
    ) -> dict[str, Any]:
        """Take a neuron apart: its sum with the numbers, its weights, and what excites it most."""
        looker = self.models.get(model)
        if place is not None and [type(x) for x in place] != [int, int]:
            raise OptionError("a place is [row, column]")
        where = None if place is None else (place[0], place[1])
        return looker.neuron(_image(looker.facts.side, image), layer, unit, where, _edits(edits))

    @command
    def accuracy(self, model: str, edits: list[list[Any]] | None = None) -> dict[str, float]:
        """The share of test images that are read correctly, without and with changes of neurons."""
        looker = self.models.get(model)
        return {
            "before": looker.accuracy(),
            "after": looker.accuracy(_edits(edits)),
            "images": len(looker.tested[1]),
        }


def _fill(facts: Facts) -> float:
    return DATASETS[facts.dataset or "mnist"].fill or 20 / 28


def _bytes(text: str, count: int) -> bytes:
    try:
        content = (
            b64decode(text, validate=True) if isinstance(text, str) and len(text) < 2 * count + 8 else b""
        )
    except binascii.Error:
        content = b""
    if len(content) != count:
        raise OptionError(f"the image did not arrive as a whole: {count:,} bytes are expected")
    return content


def _pixels(side: int, drawing: str) -> NDArray:
    if not isinstance(side, int) or not 40 < side <= LARGEST:
        raise OptionError(f"a drawing has 41 to {LARGEST} pixels a side, not {side!r}")
    return np.frombuffer(_bytes(drawing, side * side), np.uint8).reshape(side, side)


def _image(side: int, text: str) -> NDArray:
    image = np.frombuffer(_bytes(text, 4 * side * side), np.float32).reshape(side, side)
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise OptionError("the numbers of an image lie between 0 and 1")
    return image


def _edits(edits: list[list[Any]] | None) -> list[Edit]:
    try:
        return [
            Edit(str(layer), int(unit), None if nudge is None else float(nudge))
            for layer, unit, nudge in edits or []
        ]
    except (TypeError, ValueError, OverflowError):
        raise OptionError("a change of a neuron is [layer, unit, number or null]") from None
