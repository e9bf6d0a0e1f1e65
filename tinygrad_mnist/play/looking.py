"""What the room Draw computes: a model looks at one image, and every number on the way is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..data import Dataset
from ..errors import OptionError, choice
from ..graph import CALLED, WATCH, Node, Watch, _set, no_grad
from ..nn import Conv2d, Linear, Module
from ..tensor import Tensor
from ..training.doctor.case import input_of, weight_of
from ..training.loop import predict
from ..training.runs import probabilities
from ..training.settings import Facts
from ..typing import NDArray

__all__ = ["Edit", "Looker"]

#: Layers whose results are not shown: they only arrange numbers, or do nothing in use.
PLAIN = ("Flatten", "Unflatten", "Dropout", "Dropout2d", "GaussianNoise", "Identity")
#: The most numbers of one layer that are shown, the images that excite a neuron, and the terms of its sum.
MOST_NUMBERS, MOST_EXCITING, MOST_TERMS = 20_000, 8, 10
#: The images with which accuracy is measured, and how many of them go through a model at a time.
MOST_TESTED, BATCH = 1000, 50
#: The steps on the way along a slope.
STEPS = 10


class Edit(NamedTuple):
    """A change of one neuron: its sum is set to 0 (``nudge`` is None), or something is added to it."""

    layer: str
    unit: int
    nudge: float | None


class Looker:
    """A model, and what can be asked about it.

    Parameters
    ----------
    model : Module
    facts : Facts
        What its run says of it.
    test : Dataset or None
        Images that it has not learned from, if there are any.

    Examples
    --------
    >>> from tinygrad_mnist import data, nn
    >>> train, test = data.load_mnist("sample")
    >>> model = nn.MLP([784, 8, 10], rng=0)
    >>> facts = Facts("sample", None, "", tuple("0123456789"), 28, "cross-entropy", (784,))
    >>> found = Looker(model, facts, test).look(np.zeros((28, 28), np.float32))
    >>> found["shares"].shape, [layer["name"] for layer in found["layers"]]
    ((10,), ['0', '1', '2'])
    """

    def __init__(self, model: Module, facts: Facts, test: Dataset | None) -> None:
        self.model, self.facts = copy.deepcopy(model).eval(), facts
        self._test = test
        self._edited: dict[tuple[Edit, ...], Module] = {}

    # -- one image -------------------------------------------------------------------------------------

    def look(self, image: NDArray, edits: Iterable[Edit] = (), towards: int | None = None) -> dict[str, Any]:
        """Read an image.

        Parameters
        ----------
        image : ndarray, shape (side, side), from 0 to 1
        edits : iterable of Edit
        towards : int, optional
            The class whose output is explained; by default the one that the model says.

        Returns
        -------
        dict
            ``shares`` (C,), ``said``, ``explained``, ``speaks`` (side, side): gradient × input of the explained
            output; and ``layers``: the name, the kind and the values of each, and whether its neurons can be asked.
        """
        model = self.edited(edits)
        results, outputs, slope = self._run(model, image, towards)
        shares = probabilities(np.asarray(outputs), self.facts.loss or "cross-entropy")[0]
        said = int(shares.argmax())
        return {
            "shares": shares,
            "outputs": np.asarray(outputs)[0],
            "said": said,
            "explained": said if towards is None else towards,
            "speaks": slope * image,
            "layers": [
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "values": values[0],
                    "asks": isinstance(module, (Linear, Conv2d)),
                }
                for name, module, values in results
                if type(module).__name__ not in PLAIN and values.size <= MOST_NUMBERS
            ],
        }

    def _run(
        self, model: Module, image: NDArray, towards: int | None
    ) -> tuple[list[tuple[str, Module, NDArray]], NDArray, NDArray]:
        """The results of all layers, the outputs, and the slope of an output in the image."""
        x = Tensor(image.reshape(1, *self.facts.input).astype(np.float32), requires_grad=True)
        with _Results(model) as results:
            outputs = model(x)
        if towards is None:
            towards = int(np.argmax(outputs.data[0]))
        if not 0 <= towards < outputs.shape[1]:
            raise OptionError(f"class {towards} does not exist; there are {outputs.shape[1]}")
        outputs[0, towards].backward()
        slope = np.zeros(image.size) if x.grad is None else np.asarray(x.grad)
        return results.found, np.array(outputs.data), slope.reshape(image.shape)

    def moved(self, image: NDArray, target: int, amount: float, *, signs: bool) -> NDArray:
        """Change an image so that a class becomes more likely.

        Parameters
        ----------
        image : ndarray, shape (side, side)
        target : int
        amount : float
            With ``signs``, how much each pixel may change [1]_, which hardly shows and deceives the model; otherwise,
            the length of the way along the slope, in which the image begins to look like the class.

        References
        ----------
        .. [1] I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
        """
        if not 0 <= amount <= 100:
            raise OptionError(f"the amount is {amount!r}, but must be from 0 to 100")
        now = image.astype(np.float64)
        for _ in range(STEPS if amount else 0):
            x = Tensor(now.reshape(1, *self.facts.input).astype(np.float32), requires_grad=True)
            outputs = self.model(x)
            others = np.delete(np.arange(outputs.shape[1]), target)
            rival = int(others[np.argmax(outputs.data[0, others])])
            (outputs[0, target] - outputs[0, rival]).backward()
            slope = np.asarray(x.grad, np.float64).reshape(image.shape)
            size = float(np.sqrt(np.sum(slope**2)))
            if not size:
                break
            now = now + amount / STEPS * (np.sign(slope) if signs else slope / size)
            if signs:
                now = np.clip(now, image - amount, image + amount)
            now = np.clip(now, 0, 1)
        return now.astype(np.float32)

    # -- one neuron ------------------------------------------------------------------------------------

    def neuron(
        self,
        image: NDArray,
        layer: str,
        unit: int,
        place: tuple[int, int] | None = None,
        edits: Iterable[Edit] = (),
    ) -> dict[str, Any]:
        """Take a neuron apart; one that is switched off, as it would be.

        Parameters
        ----------
        image : ndarray, shape (side, side)
        layer : str
            A linear or convolutional layer.
        unit : int
            Which of its units, or channels.
        place : (row, column), optional
            In a convolution, where the kernel lies; by default, where the result is largest.

        Returns
        -------
        dict
            ``sum``, ``bias``, ``terms``: the largest products, each with index, weight, input and product; ``rest``,
            the sum of the others; ``weights`` as a picture, if they are one; ``exciting``: images and what they do.
        """
        model = self.edited(edit for edit in edits if edit != Edit(layer, unit, None))
        module = self._layer(model, layer, unit)
        products_of: dict[Any, Node] = {}
        with _Results(model) as kept, watching(products_of):
            model(image.reshape(1, *self.facts.input).astype(np.float32))
        given = input_of(products_of[module.weight.node])[0]
        if given is None:
            raise OptionError(f"layer {layer} does not say what it was given")
        weight = np.asarray(module.weight.data[unit], np.float64)
        bias = 0.0 if module.bias is None else float(module.bias.data[unit])
        if isinstance(module, Conv2d):
            result = next(values for name, _, values in kept.found if name == layer)[0, unit]
            row, column = place or tuple(map(int, np.unravel_index(np.argmax(result), result.shape)))
            if not (0 <= row < result.shape[0] and 0 <= column < result.shape[1]):
                raise OptionError(f"({row}, {column}) is outside of {result.shape}")
            given, place = _patch(module, given[0], unit, row, column), (row, column)
            weight = weight.reshape(given.shape)
        else:
            given, place = given[0].reshape(weight.shape), None
        products = (weight * given).reshape(-1)
        order = np.argsort(-np.abs(products))[:MOST_TERMS]
        names = [tuple(map(int, np.unravel_index(i, weight.shape))) for i in order]
        return {
            "layer": layer,
            "unit": unit,
            "place": place,
            "bias": bias,
            "sum": float(products.sum() + bias),
            "terms": [
                {
                    "index": list(name),
                    "weight": weight.reshape(-1)[i],
                    "input": given.reshape(-1)[i],
                    "product": products[i],
                }
                for name, i in zip(names, order, strict=True)
            ],
            "rest": float(products.sum() - products[order].sum()),
            "count": products.size,
            "weights": self._picture(weight),
            "exciting": [] if self._test is None else self._exciting(layer, unit),
        }

    def _picture(self, weight: NDArray) -> NDArray | None:
        """Weights as one picture, if they belong to pixels."""
        if weight.ndim == 1:
            side = self.facts.side
            return weight.reshape(side, side).astype(np.float32) if weight.size == side * side else None
        return np.concatenate(list(weight), axis=1).astype(np.float32)

    def _layer(self, model: Module, layer: str, unit: int) -> Any:
        modules = {name: m for name, m in model.named_modules() if isinstance(m, (Linear, Conv2d))}
        if layer not in modules:
            raise choice("layer", layer, modules)
        module = modules[layer]
        if not 0 <= unit < len(module.weight):
            raise OptionError(f"layer {layer} has {len(module.weight)} units, so there is no {unit}")
        return module

    def _exciting(self, layer: str, unit: int) -> list[dict[str, Any]]:
        """The test images that make a neuron's sum largest."""
        values = self._sums[layer][:, unit]
        order = np.argsort(-values)[:MOST_EXCITING]
        side = self.facts.side
        return [
            {
                "image": np.asarray(self.tested[0][i], np.float32).reshape(side, side),
                "label": int(self.tested[1][i]),
                "value": float(values[i]),
            }
            for i in order
        ]

    @cached_property
    def tested(self) -> tuple[NDArray, NDArray]:
        """Test images and their labels."""
        if self._test is None:
            raise OptionError("this model was trained with data made in Python, so there are no test images")
        x, y = self._test[: min(len(self._test), MOST_TESTED)]
        return np.asarray(x).reshape(len(y), *self.facts.input), np.asarray(y)

    @cached_property
    def _sums(self) -> dict[str, NDArray]:
        """What each neuron makes of all test images; of a channel, the largest place."""
        found: dict[str, list[NDArray]] = {}
        images = self.tested[0]
        for start in range(0, len(images), BATCH):
            with _Results(self.model) as kept, no_grad():
                self.model(images[start : start + BATCH])
            for name, module, values in kept.found:
                if isinstance(module, (Linear, Conv2d)) and values.ndim >= 2:
                    found.setdefault(name, []).append(values.reshape(*values.shape[:2], -1).max(axis=2))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    # -- changed neurons -------------------------------------------------------------------------------

    def edited(self, edits: Iterable[Edit]) -> Module:
        """The model with some neurons changed."""
        key = tuple(edits)
        if not key:
            return self.model
        if key not in self._edited:
            model = copy.deepcopy(self.model)
            for edit in key:
                module = self._layer(model, edit.layer, edit.unit)
                if edit.nudge is not None and not np.isfinite(edit.nudge):
                    raise OptionError(f"the nudge is {edit.nudge}, but must be a finite number")
                with no_grad():
                    if module.bias is None:
                        module.bias = Tensor(np.zeros(len(module.weight), module.weight.dtype))
                    if edit.nudge is None:
                        module.weight[edit.unit] = 0.0
                    now = 0.0 if edit.nudge is None else module.bias[edit.unit] + edit.nudge
                    module.bias[edit.unit] = now
            self._edited = {key: model}  # one is enough: sliders move on
        return self._edited[key]

    def accuracy(self, edits: Iterable[Edit] = ()) -> float:
        """The share of test images that are read rightly."""
        outputs = np.asarray(predict(self.edited(edits), self.tested[0], batch_size=BATCH))
        return float(np.mean(outputs.argmax(axis=1) == self.tested[1]))


class _Results:
    """Keeps the results of all layers that are called in a block, in their order."""

    def __init__(self, model: Module) -> None:
        self.found: list[tuple[str, Module, NDArray]] = []
        self._names: Mapping[int, str] = {id(module): name for name, module in model.named_modules()}

    def __enter__(self) -> _Results:
        def called(module: Module) -> Any:
            has_parts = any(name for name, _ in module.named_modules())

            def ended(result: Any) -> None:
                if not has_parts and isinstance(result, (Tensor, np.ndarray)):
                    values = np.array(result.data if isinstance(result, Tensor) else result)
                    self.found.append((self._names.get(id(module), ""), module, values))

            return ended

        self._block = _set(CALLED, called)
        self._block.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)


@contextmanager
def watching(products: dict[Any, Node]) -> Iterator[None]:
    """Note which operation multiplies each weight, in a block."""

    class _Products(Watch):
        keeps_graph = True

        def computed(self, node: Node) -> None:
            weight = weight_of(node)
            if weight is not None:
                products[weight] = node

    token = WATCH.set(_Products())
    try:
        yield
    finally:
        WATCH.reset(token)


def _patch(module: Any, given: NDArray, unit: int, row: int, column: int) -> NDArray:
    """The part of an image of channels that the kernel of a unit covers at a place."""
    channels, *kernel = module.weight.shape[1:]
    (down, right), (top, left), (far, wide) = map(_pair, (module.stride, module.padding, module.dilation))
    first = channels * (unit * module.groups // len(module.weight))
    padded = np.pad(given[first : first + channels], ((0, 0), (top, top), (left, left)))
    rows, columns = row * down + far * np.arange(kernel[0]), column * right + wide * np.arange(kernel[1])
    return padded[:, rows[:, None], columns]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
