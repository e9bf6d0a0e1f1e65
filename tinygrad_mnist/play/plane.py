"""The room Plane: points in two dimensions, and the network that tells them apart."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np

from ..data import DataLoader
from ..errors import OptionError, choice
from ..nn import MLP, CrossEntropyLoss
from ..nn.functional import cross_entropy
from ..training.loop import predict
from ..training.settings import OPTIMIZERS
from ..training.steps import TrainingStep
from ..typing import NDArray
from .engine import Engine, Room, command
from .points import FEATURES, KINDS, REACH, features_of, make_points, view
from .worker import Line, Message, Worker

__all__ = ["Plane"]

ACTIVATIONS = ("tanh", "relu", "sigmoid", "leaky_relu", "silu")

DEFAULTS: dict[str, Any] = {
    "data": "moons", "noise": 0.15, "count": 200, "inputs": ["x", "y"], "hidden": [4, 3], "activation": "tanh",
    "optimizer": "adam", "lr": 0.03, "batch": 16, "decay": 0.0, "seed": 0,
}  # fmt: skip

#: The most layers, units in one, points and classes; the most points of a curve.
MOST_LAYERS, MOST_UNITS, MOST_POINTS, MOST_CLASSES, MOST_HISTORY = 6, 10, 2000, 4, 600

#: The cells of a side of the plane, and of each neuron's view; seconds between two pictures.
SIDE, SMALL, PAUSE = 60, 24, 0.05


class Plane(Room):
    """Points in two dimensions, and the network that tells them apart."""

    name, title = "plane", "Plane"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.options: dict[str, Any] | None = None
        self.points: list[list[float]] | None = None
        self._worker: Worker | None = None
        self._number = 0  # of the network, so that a picture of one before is known
        self._begun: dict[str, Any] = {}
        self._last: Message = {}
        self._history: list[tuple[float, ...]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the training."""
        if self._worker is not None:
            self._worker.close()

    @command
    def choices(self) -> dict[str, Any]:
        """What can be chosen, what is chosen at first, and what each kind of points looks like."""
        return {
            "defaults": DEFAULTS,
            "data": {kind: self._listed(*make_points(kind, 90, 0.1, 1)) for kind in KINDS},
            "inputs": list(FEATURES),
            "activation": list(ACTIVATIONS),
            "optimizer": {name: recipe.lr for name, recipe in OPTIMIZERS.items()},
            "reach": REACH,
            "most": {
                "layers": MOST_LAYERS,
                "units": MOST_UNITS,
                "points": MOST_POINTS,
                "classes": MOST_CLASSES,
            },
        }

    @command
    def begin(
        self, options: dict[str, Any], points: list[list[float]] | None = None, go: bool = False
    ) -> dict[str, Any]:
        """Make the points and a new network; ``points`` are the user's own, each ``[x, y, class]``."""
        chosen = check_options(options)
        own = None if points is None else check_points(points)
        where, classes = (
            make_points(chosen["data"], chosen["count"], chosen["noise"], chosen["seed"])
            if own is None
            else own
        )
        order = np.random.default_rng(chosen["seed"]).permutation(len(where))
        where, classes = where[order], classes[order]
        cut = max(1, len(where) // 2)
        with self._lock:
            self._number += 1
            self.options, self.points, self._history, self._last = chosen, points, [], {}
            self._begun = {
                "number": self._number,
                "train": self._listed(where[:cut], classes[:cut]),
                "test": self._listed(where[cut:], classes[cut:]),
            }
            if self._worker is None or not self._worker.is_alive:
                self._worker = Worker(train, self._hear)
            self._worker.send(
                "begin", number=self._number, options=chosen, points=where, classes=classes, cut=cut, go=go
            )
            return {"options": chosen, **self._begun}

    @command
    def steer(self, what: str, speed: float = 0.0) -> None:
        """Pause, go on, or take one step; go on at so many steps a second, or with 0 as fast as possible."""
        if what not in ("pause", "go", "step"):
            raise choice("command", what, ("pause", "go", "step"))
        if self._worker is None:
            raise OptionError("nothing has begun yet")
        self._worker.send(what, speed=speed)

    @command
    def turn(self, lr: float) -> None:
        """Change the learning rate."""
        if self._worker is not None and self.options is not None:
            self.options = {**self.options, "lr": number("lr", lr, 0, 100)}
            self._worker.send("turn", lr=lr)

    @command
    def state(self) -> dict[str, Any]:
        """What is shown now: settings, points, the last picture, and the losses so far."""
        with self._lock:
            return {
                "options": self.options,
                "points": self.points,
                **self._begun,
                "last": self._last or None,
                "history": np.array(self._history, np.float32).reshape(-1, 3),
            }

    @staticmethod
    def _listed(points: NDArray, classes: NDArray) -> NDArray:
        return np.column_stack([points, classes]).astype(np.float32)

    def _hear(self, message: Message) -> None:
        if message["what"] == "picture":
            with self._lock:
                if message["number"] != self._number:  # of a network that was replaced since then
                    return
                self._last = message
                self._history.append((message["step"], message["train"], message["test"]))
                if len(self._history) > MOST_HISTORY:
                    del self._history[1:-1:2]
            self.publish("picture", **{key: value for key, value in message.items() if key != "what"})
        elif message["what"] == "ended" and message["error"]:
            self.publish("failed", error=message["error"])


def number(name: str, value: Any, least: float, most: float, *, whole: bool = False) -> Any:
    """Check a number that a page sent."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise OptionError(
            f"{name} is {str(value)[:40]!r}, but must be a {'whole ' * whole}number from {least:g} to {most:g}"
        )
    return value


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Check the settings that a page sent, and complete them."""
    if unknown := set(options) - set(DEFAULTS):
        raise choice("setting", min(unknown), DEFAULTS)
    chosen = {**DEFAULTS, **options}
    number("noise", chosen["noise"], 0, 2)
    number("count", chosen["count"], 4, MOST_POINTS, whole=True)
    number("lr", chosen["lr"], 0, 100)
    number("batch", chosen["batch"], 1, MOST_POINTS, whole=True)
    number("decay", chosen["decay"], 0, 10)
    number("seed", chosen["seed"], 0, 2**31, whole=True)
    for name, known in (("data", KINDS), ("activation", ACTIVATIONS), ("optimizer", OPTIMIZERS)):
        if chosen[name] not in list(known):
            raise choice(name, str(chosen[name]), known)
    if not isinstance(chosen["hidden"], list) or len(chosen["hidden"]) > MOST_LAYERS:
        raise OptionError(f"hidden must be a list of at most {MOST_LAYERS} numbers")
    for units in chosen["hidden"]:
        number("a number of units", units, 1, MOST_UNITS, whole=True)
    if not isinstance(chosen["inputs"], list):
        raise OptionError("inputs must be a list of names")
    features_of(np.zeros((1, 2)), list(map(str, chosen["inputs"])))
    return chosen


def check_points(points: Any) -> tuple[NDArray, NDArray]:
    """Check points that a page sent, each ``[x, y, class]``."""
    wrong = OptionError(
        f"points must be 2 to {MOST_POINTS:,} lists [x, y, class], with classes from 0 to {MOST_CLASSES - 1}"
    )
    if not isinstance(points, list) or not 2 <= len(points) <= MOST_POINTS:
        raise wrong
    for point in points:
        if not (isinstance(point, list) and len(point) == 3 and all(type(x) in (int, float) for x in point)):
            raise wrong
    values = np.array(points, np.float64)
    classes = values[:, 2]
    if not np.isfinite(values).all() or not np.isin(classes, np.arange(MOST_CLASSES)).all():
        raise wrong
    return np.clip(values[:, :2], -1e3, 1e3).astype(np.float32), classes.astype(np.int64)


# -- in a process of its own -------------------------------------------------------------------------------


class Network:
    """The network of the plane, and its training.

    Parameters
    ----------
    options : dict
    points, classes : ndarray
    cut : int
        How many of the points are trained with.
    """

    def __init__(self, options: dict[str, Any], points: NDArray, classes: NDArray, cut: int) -> None:
        self.options = options
        x = features_of(points, options["inputs"])
        self.train, self.test = (x[:cut], classes[:cut]), (x[cut:], classes[cut:])
        sizes = [x.shape[1], *options["hidden"], max(2, int(classes.max()) + 1)]
        self.model = MLP(sizes, activation=options["activation"], rng=options["seed"])
        recipe = OPTIMIZERS[options["optimizer"]]
        self.optimizer = recipe.make(self.model.parameters(), options["lr"], weight_decay=options["decay"])
        loss, model = CrossEntropyLoss(), self.model
        self.update = TrainingStep(lambda x, y: loss(model(x), y), self.optimizer, compile="numpy")
        loader = DataLoader(self.train, options["batch"], shuffle=True, rng=options["seed"])
        self.batches = _endless(loader)
        self.step = 0

    def advance(self) -> None:
        """Train one step."""
        self.update(*next(self.batches))
        self.step += 1

    def picture(self) -> dict[str, Any]:
        """What the page shows."""
        return {
            "step": self.step,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "train": self._loss(self.train),
            "test": self._loss(self.test),
            "right": self._share(self.test if len(self.test[1]) else self.train),
            **view(self.model, self.options["inputs"], SIDE, SMALL),
        }

    def _loss(self, data: tuple[NDArray, NDArray]) -> float:
        return float(cross_entropy(predict(self.model, data[0]), data[1])) if len(data[1]) else math.nan

    def _share(self, data: tuple[NDArray, NDArray]) -> float:
        return float(np.mean(predict(self.model, data[0]).argmax(axis=1) == data[1]))


def _endless(loader: DataLoader) -> Any:
    while True:
        yield from loader


def train(line: Line) -> None:
    """Train the networks that the page asks for, at the speed it asks for."""
    network: Network | None = None
    number = 0
    is_going, speed, due, shown = False, 0.0, 0.0, 0.0

    def show(state: str) -> None:
        assert network is not None
        line.tell("picture", number=number, state=state, **network.picture())

    while True:
        message = line.hear(0.0 if is_going and network is not None else None)
        if message is not None:
            if message["do"] == "begin":
                network = Network(*(message[name] for name in ("options", "points", "classes", "cut")))
                number, is_going = message["number"], message["go"]
            elif network is None:
                continue
            elif message["do"] == "step":
                is_going = False
                network.advance()
            elif message["do"] == "turn":
                for group in network.optimizer.param_groups:
                    group["lr"] = message["lr"]
            else:
                is_going, speed, due = message["do"] == "go", message["speed"], time.perf_counter()
            show("running" if is_going else "paused")
            continue
        assert network is not None
        now = time.perf_counter()
        if speed and now < due:
            time.sleep(min(due - now, PAUSE))
            continue
        due = max(due + 1 / speed, now - PAUSE) if speed else now
        network.advance()
        if now - shown >= PAUSE:
            shown = now
            show("running")
            if not all(np.isfinite(p.data).all() for p in network.model.parameters()):
                is_going = False
                show("diverged")
