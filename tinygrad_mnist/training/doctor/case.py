"""What the checks look at: a sample of the data, a copy of the model, and one step that was observed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ...data import DataLoader
from ...errors import TinygradError
from ...graph import WATCH, Node, Watch, no_grad
from ...nn import Module
from ...optim import Optimizer
from ...tensor import Tensor
from ...typing import Array, NDArray
from .activations import activation_at, origin_of, through_moves

__all__ = ["Case", "class_labels", "first_output", "is_product", "products", "uses", "weight_of"]

#: Operations of a weight and an input that are linear in both.
PRODUCTS = {"linear", "matmul", "dot", "einsum", "convolution", "conv2d"}


class Case:
    """One training to examine. Nothing of the user's is changed: model, loss and optimizer are copies.

    Parameters
    ----------
    model, data, loss, optimizer
        As :func:`~tinygrad_mnist.training.fit` takes them, made.
    samples : int
        How many samples to look at; they are spread evenly over the data.
    """

    def __init__(
        self,
        model: Module,
        loader: DataLoader,
        loss: Callable[[Array, Array], Array],
        optimizer: Optimizer | None,
        samples: int = 512,
    ) -> None:
        self.loader, self.original = loader, model
        self.model, self.loss, self.optimizer = copy.deepcopy((model, loss, optimizer))
        self._given = optimizer
        n = len(loader.dataset)
        self.x, self.y = loader.dataset[np.linspace(0, n - 1, min(n, samples)).astype(int)]
        self.is_loader = True
        self.outputs: Any = None
        self.loss_node: Node | None = None
        self.start = float("nan")
        self.nodes: list[Node] = []
        self.gradients: dict[Node, NDArray] = {}

    def run(self, training: bool = True) -> None:
        """Compute the loss and its gradients once, and keep every operation."""
        before = [(p, p.grad) for p in self._all_parameters() if p.requires_grad]
        model = copy.deepcopy(self.model).train(training)
        model.zero_grad()
        watch = _Recorder()
        token = WATCH.set(watch)
        try:
            output = model(self.x)
            value = self.loss(output, self.y)
            if isinstance(value, Tensor) and value.requires_grad:
                (value if value.ndim == 0 else np.sum(value)).backward(retain_graph=True)
        finally:
            WATCH.reset(token)
            for p, grad in before:
                p.grad = grad
        self.outputs = output
        self.start = float(np.mean(np.asarray(value.detach() if isinstance(value, Tensor) else value)))
        self.loss_node = value.node if isinstance(value, Tensor) and value.requires_grad else None
        self.nodes, self.gradients = watch.nodes, watch.gradients
        self.named = dict(model.named_parameters())

    def record(self, model: Module) -> list[Node]:
        """Run a model, and list its operations."""
        watch = _Recorder()
        token = WATCH.set(watch)
        try:
            model(self.x)
        finally:
            WATCH.reset(token)
        return watch.nodes

    def gradient_of(self, rows: NDArray) -> float:
        """The length of the gradient of some samples."""
        if not len(rows):
            return 0.0
        kept = [(p, p.grad) for p in self.original.parameters() if p.requires_grad]
        model = copy.deepcopy(self.model).train()
        model.zero_grad()
        try:
            value = self.loss(model(np.asarray(self.x)[rows]), np.asarray(self.y)[rows])
            if isinstance(value, Tensor) and value.node is not None:
                np.sum(value).backward()
        except TinygradError:
            return 0.0
        finally:
            for p, grad in kept:
                p.grad = grad
        found = [
            np.asarray(p.grad, np.float64)
            for p in model.parameters()
            if p.requires_grad and p.grad is not None
        ]
        return float(np.sqrt(sum(np.sum(g**2) for g in found)))

    def _all_parameters(self) -> Iterator[Tensor]:
        """The parameters that a loss may reach although it was not copied with them."""
        yield from self.original.parameters()
        yield from self.model.parameters()

    @cached_property
    def output(self) -> NDArray:
        """The outputs as one plain array, the first one if there are several."""
        return first_output(self.outputs)

    @cached_property
    def output_node(self) -> Node | None:
        """Where the output was recorded."""
        output = self.outputs
        return output.node if isinstance(output, Tensor) and output.requires_grad else None

    @cached_property
    def output_source(self) -> Node | None:
        """The operation that computed the numbers of the output."""
        return None if self.output_node is None else origin_of(self.output_node)[0]

    @cached_property
    def last_activation(self) -> str:
        """The name of the activation that gives the output, or ``""``."""
        found = None if self.output_source is None else activation_at(self.output_source)
        return found.name if found else ""

    @cached_property
    def is_scaled_after(self) -> bool:
        """Whether the output is a multiple of what its last activation gives."""
        return self.output_node is not None and origin_of(self.output_node)[1]

    def outputs_of_model(self) -> int:
        """The number of outputs for each sample, also if the loss cannot be computed; 0 if there are none."""
        output = self.evaluate(self.x)
        return output.shape[1] if output.ndim == 2 else 0

    @cached_property
    def classes(self) -> int:
        """The number of classes if the targets are classes and the loss compares them, otherwise 0."""
        y = np.asarray(self.y)
        shape = self.output.shape
        if y.dtype.kind not in "iu" or len(shape) != y.ndim + 1 or (shape[0], *shape[2:]) != y.shape:
            return 0
        return shape[1]

    @cached_property
    def logits(self) -> list[Node]:
        """The nodes on which the loss applies a softmax of its own."""
        found = ((node, activation_at(node)) for node in self.after_model)
        return [node for node, activation in found if activation and activation.name == "log_softmax"]

    @cached_property
    def after_model(self) -> list[Node]:
        """The operations of the loss, which come after the last output of the model."""
        nodes = [x.node for x in _tensors(self.outputs)]
        last = max((node.serial for node in nodes if node is not None), default=-1)
        return [node for node in self.nodes if node.serial > last]

    def evaluate(self, x: NDArray) -> NDArray:
        """The outputs of the model, in ``eval()`` mode, for inputs."""
        model = copy.deepcopy(self.model).eval()
        with no_grad():
            return first_output(model(x))

    def is_adaptive(self) -> bool:
        """Whether the optimizer divides by the size of the gradients."""
        return self.optimizer is not None and "SGD" not in type(self.optimizer).__name__

    def lr(self) -> float:
        """The largest learning rate."""
        return (
            max((float(group["lr"]) for group in self.optimizer.param_groups), default=0.0)
            if self.optimizer
            else 0.0
        )


def first_output(output: Any) -> NDArray:
    """The output of a model as one plain array, the first one if there are several."""
    while isinstance(output, (tuple, list, dict)):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return np.asarray(output.detach() if isinstance(output, Tensor) else output)


class _Recorder(Watch):
    """It keeps every operation, and the gradient that arrives at each."""

    keeps_graph = True

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.gradients: dict[Node, NDArray] = {}

    def computed(self, node: Node) -> None:
        self.nodes.append(node)

    def arrived(self, node: Node, g: Array) -> None:
        if isinstance(g, (np.ndarray, np.generic)):
            self.gradients[node] = np.asarray(g)


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, (tuple, list)):
        for output in outputs:
            yield from _tensors(output)
    elif isinstance(outputs, dict):
        yield from _tensors(list(outputs.values()))


def weight_of(node: Node) -> Node | None:
    """Return the leaf by which a product multiplies its input, or None if there is none."""
    if node.primitive is None or node.primitive.name not in PRODUCTS:
        return None
    leaves = [
        leaf for _, parent in node.parents[:2] if (leaf := _leaf(parent)) is not None and leaf.value.ndim > 1
    ]
    return leaves[0] if len(leaves) == 1 else None


def _leaf(node: Node) -> Node | None:
    node = through_moves(node)
    return node if node.primitive is None else None


def is_product(node: Node) -> bool:
    """Whether the operation multiplies a parameter with its input."""
    return weight_of(node) is not None


def input_of(node: Node) -> tuple[NDArray | None, Node | None]:
    """The data of a product: its value, and where it was computed (None for a constant)."""
    for position in (0, 1):
        parent = dict(node.parents).get(position)
        if parent is None:
            return (np.asarray(node.args[position]) if node.args else None), None
        if _leaf(parent) is None:
            return (node.args[position] if node.args else parent.value), parent
    return None, None


def products(nodes: list[Node]) -> list[Node]:
    """The products with a parameter, the first use of each parameter, in the order of computation."""
    return [found[0] for found in uses(nodes).values()]


def uses(nodes: list[Node]) -> dict[Node, list[Node]]:
    """The products with each parameter, in the order of computation."""
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        weight = weight_of(node)
        if weight is not None:
            found.setdefault(weight, []).append(node)
    return found


def class_labels(y: NDArray) -> NDArray | None:
    """The class of each sample, if the targets are classes: whole numbers, 0 and 1, or one-hot rows."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        if y.dtype.kind in "iub":
            return y.astype(np.int64)
        return y.astype(np.int64) if y.dtype.kind == "f" and np.isin(y, (0, 1)).all() else None
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        return y.argmax(axis=1)
    return None
