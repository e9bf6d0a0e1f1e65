"""What can be seen inside a model at one moment: histograms for each layer, pictures of weights, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import Dataset
from ..graph import Node
from ..nn import Module
from ..nn.modes import evaluating
from ..training.doctor.case import input_of, products, weight_of
from ..training.loop import predict
from ..training.runs import probabilities
from ..typing import NDArray

__all__ = ["BINS", "find_mistakes", "histogram", "look", "pictures_of", "some"]

#: Units of the first layer that are shown; most images of mistakes.
UNITS, MISTAKES = 16, 24

#: Elements of an array that a histogram counts.
ELEMENTS = 20_000

#: The edges of the histograms: of activations, after asinh; of the sizes of gradients and of updates relative to their
#: weights, after log10.
BINS = {
    "activations": np.linspace(-5, 5, 41),
    "gradients": np.linspace(-9, 1, 41),
    "updates": np.linspace(-7, 0, 41),
}


def look(
    model: Module, loss: Callable[[Any, Any], Any], x: NDArray, y: NDArray
) -> tuple[float, list[dict[str, Any]]]:
    """Look inside a model, which stays as it is: the loss of some samples, and histograms for each layer.

    Parameters
    ----------
    model : Module
    loss : callable
    x, y : ndarray
        The samples.

    Returns
    -------
    (float, list of dict)
    """
    named = dict(model.named_parameters())
    before = [(p, p.grad) for p in named.values()]
    layers: list[dict[str, Any]] = []
    try:
        with evaluating(model):
            for p, _ in before:
                p.grad = None
            output = model(x)
            value = loss(output, y)
            names = {p.node: name for name, p in named.items() if p.node is not None}
            found = products(_nodes(value.node))
            inputs = [(given, _nodes(origin) if origin else []) for given, origin in map(input_of, found)]
            after = {node: next((given for given, path in inputs if node in path), None) for node in found}
            ends = [node for node in found if after[node] is None]  # several, if networks vote
            for node in found:
                name = names.get(leaf, "") if (leaf := weight_of(node)) is not None else ""
                if name.endswith("weight"):
                    given = after[node] if node not in ends else output.data if len(ends) == 1 else node.value
                    values = np.asarray(given)
                    layers.append(
                        {
                            "name": name.removesuffix(".weight"),
                            "shape": list(named[name].shape),
                            "activations": histogram("activations", np.arcsinh(some(values))),
                            "zeros": float(np.mean(values == 0)),
                        }
                    )
            value.backward()
        for layer in layers:
            gradient = named[f"{layer['name']}.weight"].grad
            g = np.zeros(1, np.float32) if gradient is None else gradient.data
            layer["gradients"] = histogram("gradients", np.log10(np.abs(some(g))))
            layer["gradient"] = float(np.sqrt(np.mean(np.square(g))))
    finally:
        for p, grad in before:
            p.grad = grad
    return value.item(), layers


def _nodes(root: Node) -> list[Node]:
    """The operations behind a value, in the order in which they were computed."""
    found, waiting = {root}, [root]
    while waiting:
        for _, parent in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted((node for node in found if node.primitive is not None), key=lambda node: node.serial)


def some(x: NDArray) -> NDArray:
    """Some elements of an array, evenly spread; those that are exactly zero are counted elsewhere."""
    flat = x.ravel()
    flat = flat[:: max(1, len(flat) // ELEMENTS)]
    return flat[flat != 0]


def histogram(kind: str, x: NDArray) -> NDArray:
    """Count numbers in the bins of a kind, as shares of the largest bin from 0 to 255; the outer bins take the rest."""
    edges = BINS[kind]
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    places = np.clip((x[np.isfinite(x)] - edges[0]) / width, 0, len(edges) - 2).astype(np.intp)
    counts = np.bincount(places, minlength=len(edges) - 1)
    return np.round(255 * counts / max(counts.max(), 1)).astype(np.uint8)


def pictures_of(weight: NDArray, side: int) -> NDArray | None:
    """The weights of some units of the first layer as pictures."""
    if weight.ndim == 2 and weight.shape[1] == side * side:
        return weight[:UNITS].reshape(-1, side, side)
    return weight[: 2 * UNITS, 0] if weight.ndim == 4 else None


def find_mistakes(
    model: Module, test: Dataset, loss: str, *, truth: int | None = None, said: int | None = None
) -> dict[str, Any]:
    """Tell test images apart: the confusion matrix, and the mistakes of which the model is most sure.

    Parameters
    ----------
    model : Module
    test : Dataset
    loss : str
        It says what the outputs mean.
    truth, said : int, optional
        Only mistakes with this class, and with this answer.
    """
    shares = probabilities(np.asarray(predict(model, test)), loss)
    answers, targets = shares.argmax(axis=1), np.asarray(test.targets)
    classes = shares.shape[1]
    matrix = np.bincount(targets * classes + answers, minlength=classes**2).reshape(classes, classes)
    wrong = answers != targets
    if truth is not None and said is not None and truth == said:
        wrong = answers == targets  # a cell of the diagonal: the least sure of the right ones
    if truth is not None:
        wrong &= targets == truth
    if said is not None:
        wrong &= answers == said
    where = np.flatnonzero(wrong)
    sure = shares[where, answers[where]]
    where = where[np.argsort(sure if truth is not None and truth == said else -sure)[:MISTAKES]]
    return {
        "matrix": matrix,
        "accuracy": float(np.mean(answers == targets)),
        "count": int(wrong.sum()),
        "images": np.asarray(test.inputs[where], np.uint8),
        "truth": targets[where].tolist(),
        "said": answers[where].tolist(),
        "sure": shares[where, answers[where]].tolist(),
    }
