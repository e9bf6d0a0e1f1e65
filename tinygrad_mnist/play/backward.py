"""The room Backward: the step player, on a formula that is typed in, or on one image through a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import viz
from ..errors import OptionError
from ..tensor import Tensor
from ..training.settings import Facts
from ..viz.steps.expression import FUNCTIONS, compute, read_values
from .draw import Models, _image
from .engine import Engine, Room, command

__all__ = ["Backward"]

#: Formulas to begin with.
EXAMPLES = {
    "x * w + b": "x=2 w=0.5 b=-1",
    "tanh(w * x + b) ** 2": "w=0.5 x=1.5 b=-1",
    "mean((w @ x - y) ** 2)": "w=[[1,2],[3,4]] x=[1,-1] y=[0,1]",
    "sum(relu(w @ x + b))": "w=[[1,-2],[3,4],[-1,1]] x=[1,2] b=[0.5,0,0]",
    "log(sum(exp(z))) - dot(z, t)": "z=[2,1,-1] t=[1,0,0]",
}


class Backward(Room):
    """Backpropagation step by step."""

    name, title = "backward", "Backward"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.models = Models(engine)

    @command
    def options(self) -> dict[str, Any]:
        """Examples of formulas, the functions that they may use, and the models."""
        return {"examples": EXAMPLES, "functions": sorted(FUNCTIONS), "models": self.models.names()}

    @command
    def formula(self, text: str, values: str) -> dict[str, Any]:
        """Play a formula: the address of a page, and the result."""
        if not isinstance(text, str) or not isinstance(values, str):
            raise OptionError("a formula and its values are text")
        result, named = compute(text, read_values(values))
        loss = result if result.size == 1 else result.sum()
        return self._play(viz.step_through(loss, names=named), loss)

    @command
    def image(self, model: str, number: int = 0, image: str | None = None) -> dict[str, Any]:
        """Play one image through a model, and its loss: a test image by its number, or one that was drawn."""
        looker = self.models.get(model)
        facts: Facts = looker.facts
        if image is None:
            x, labels = looker.tested
            i = int(number) % len(labels)
            pixels, label = x[i : i + 1].astype(np.float32), int(labels[i])
        else:
            pixels = _image(facts.side, image).reshape(1, *facts.input)
            label = int(np.argmax(np.asarray(looker.model(pixels).data)))
        outputs = looker.model(pixels)
        loss = facts.make_loss()(outputs, np.array([label]))
        names = {"image": pixels, **dict(looker.model.named_parameters())}
        page = viz.step_through(loss, names=names, model=looker.model)
        return {**self._play(page, loss), "label": facts.classes[label]}

    def _play(self, page: viz.StepThrough, loss: Tensor) -> dict[str, Any]:
        return {
            "page": self.engine.offer("steps.html", page.html.encode()),
            "steps": len(page.steps),
            "value": float(loss.data),
        }
