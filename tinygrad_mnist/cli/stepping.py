"""The command ``step-through``: a page that plays backpropagation."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from .. import data, viz
from ..errors import OptionError, pluralise
from ..experiments.options import Whole
from ..training.runs import Run
from ..viz.steps.expression import compute, read_values

__all__ = ["step_through"]


@click.command("step-through")
@click.argument("what", nargs=-1, required=True)
@click.option(
    "--formula", is_flag=True, help="Play a formula: step-through --formula 'tanh(w*x + b)' w=2 x=[1,2] b=-1"
)
@click.option("--label", type=Whole(0), help="The class of the image.  [default: what the model says]")
@click.option(
    "--out", type=click.Path(path_type=Path), default="steps.html", show_default=True, help="File to write."
)
def step_through(what: tuple[str, ...], formula: bool, label: int | None, out: Path) -> None:
    """Play forward and backward pass, step by step.

    WHAT is RUN IMAGE, or with --formula a formula and the values of its names. The page needs no network.
    """
    page = _of_formula(what) if formula else _of_image(what, label)
    page.save(out)
    click.echo(f"page: {out} ({len(page.steps)} steps)")


def _of_formula(what: tuple[str, ...]) -> viz.StepThrough:
    """Play a formula; a result of several numbers is summed up."""
    result, named = compute(what[0], read_values(what[1:]))
    return viz.step_through(result if result.size == 1 else result.sum(), names=named)


def _of_image(what: tuple[str, ...], label: int | None) -> viz.StepThrough:
    if len(what) != 2:
        raise OptionError(
            f"give a run and an image, as in `step-through runs/mnist-1 seven.png`; got {pluralise(len(what), 'word')}"
        )
    saved = Run(what[0])
    facts, model = saved.facts, saved.model()
    image = data.read_digit(what[1], size=facts.side, fill=saved.fill).reshape(1, *facts.input)
    outputs = model(image)
    target = int(np.argmax(outputs.data)) if label is None else label
    loss = facts.make_loss()(outputs, np.array([target]))
    return viz.step_through(loss, names={"image": image, **dict(model.named_parameters())}, model=model)
