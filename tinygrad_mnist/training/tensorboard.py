"""A callback that writes what TensorBoard shows: scalars, histograms, images and the graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, require
from ..graph import Node
from ..nn.modes import evaluating
from ..tensor import Tensor
from ..trees import leaves
from .callbacks import Callback, Training
from .folders import writable

__all__ = ["TensorBoard"]

#: Images by name: of shape (H, W), (H, W, 3), (N, H, W) or (N, H, W, 3), from 0 to 1, or integers from 0 to 255.
Images = Callable[[Training], Mapping[str, Any]]


class TensorBoard(Callback):
    """Write event files while a model is trained, for ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder : path
        One folder for each training.
    every : int, default 1
        The number of batches from one loss, ``batch/loss``, to the next.
    histograms : bool, default True
        Whether to write, after each epoch, how the numbers of each parameter are distributed; and of each gradient, if
        the training is not compiled.
    graph : bool, default True
        Whether to write the graph of the model, grouped by layers.
    images : callable, optional
        ``images(training)`` returns images by name, after each epoch: arrays of shape (H, W) or (H, W, 3), or several
        of them, of floats from 0 to 1 or integers from 0 to 255.

    Raises
    ------
    MissingExtraError
        Without the package tensorboardX.

    Notes
    -----
    The scalars of an epoch are those of the history, such as ``train_loss`` and ``validation_accuracy``; their steps
    are epochs, those of ``batch/loss`` are batches.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_mnist as tg
    >>> x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = tg.training.TensorBoard(folder)
    ...     history = tg.training.fit(tg.nn.MLP([4, 3, 2], rng=0), (x, y), callbacks=watch, rng=0, progress=False)
    ...     [path.name.partition(".")[0] for path in Path(folder).iterdir()]
    ['events']
    """

    only_watches = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int = 1,
        histograms: bool = True,
        graph: bool = True,
        images: Images | None = None,
    ) -> None:
        if every < 1:
            raise OptionError(f"TensorBoard: every={every!r} is not a positive number of batches")
        self._library = require("tensorboardX", extra="tensorboard", purpose="writing files for TensorBoard")
        self.folder = Path(folder)
        self.every, self.histograms, self.graph, self.images = every, histograms, graph, images
        self._writer: Any = None

    def on_start(self, training: Training) -> None:
        with writable(self.folder):
            self._writer = self._library.SummaryWriter(str(self.folder), flush_secs=10)
        if self.graph and training.data is not None:
            self._write_graph(training, np.asarray(training.data.dataset[:2][0]))

    def on_batch(self, training: Training) -> None:
        step = (training.epoch - 1) * training.batches + training.batch
        if step % self.every == 0:
            self._writer.add_scalar("batch/loss", training.loss, step)

    def on_epoch(self, training: Training) -> None:
        epoch = training.epoch
        for name, value in training.history[-1].items():
            if isinstance(value, (int, float)) and name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        if self.histograms:
            for name, parameter in training.model.named_parameters():
                self._write_histogram(f"parameters/{name}", parameter.data, epoch)
                if parameter.grad is not None:
                    self._write_histogram(f"gradients/{name}", np.asarray(parameter.grad), epoch)
        for name, image in (self.images(training) if self.images is not None else {}).items():
            self._write_image(name, np.asarray(image), epoch)
        self._writer.flush()

    def on_end(self, training: Training) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_histogram(self, name: str, values: Any, step: int) -> None:
        finite = values[np.isfinite(values)]
        if finite.size:
            self._writer.add_histogram(name, finite, step)

    def _write_image(self, name: str, image: Any, step: int) -> None:
        layouts = {2: "HW", 3: "HWC" if image.shape[-1] in (1, 3, 4) else "NHW", 4: "NHWC"}
        if image.ndim not in layouts or not image.size:
            raise ShapeError(
                f"TensorBoard: the image {name!r} has shape {image.shape}; pass (H, W), (H, W, 3), (N, H, W) or "
                "(N, H, W, 3)"
            )
        layout = layouts[image.ndim]
        image, layout = (image[..., None], "NHWC") if layout == "NHW" else (image, layout)
        write = self._writer.add_images if layout == "NHWC" else self._writer.add_image
        write(name, image, step, dataformats=layout)

    def _write_graph(self, training: Training, inputs: Any) -> None:
        """Run the model once, and write the operations that it recorded."""
        from tensorboardX.proto import graph_pb2, node_def_pb2, versions_pb2

        x = Tensor(inputs, requires_grad=inputs.dtype.kind == "f")
        if x.requires_grad:
            x.name = "input"
        with evaluating(training.model):
            outputs = [y for y in leaves(training.model(x)) if isinstance(y, Tensor) and y.node is not None]
        known = {p.node: name for name, p in training.model.named_parameters()}
        names: dict[Node, str] = {}
        made = []
        for node in _sorted([y.node for y in outputs if y.node is not None]):
            names[node] = name = _name(node, known.get(node, node.name), set(names.values()))
            kind = "Parameter" if node.is_leaf else node.primitive.name if node.primitive is not None else ""
            made.append(
                node_def_pb2.NodeDef(name=name, op=kind, input=[names[parent] for _, parent in node.parents])
            )
        graph = graph_pb2.GraphDef(node=made, versions=versions_pb2.VersionDef(producer=22))
        self._writer.file_writer.add_onnx_graph(graph)  # which takes the graph as it is


def _sorted(outputs: list[Node]) -> list[Node]:
    """All nodes below, the oldest first."""
    found, waiting = set(outputs), list(outputs)
    while waiting:
        for _, parent in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted(found, key=lambda node: node.serial)


def _name(node: Node, leaf: str, taken: set[str]) -> str:
    """The place of a node as a path, by which TensorBoard groups: ``0/Linear/linear``, ``0/weight``."""
    what = leaf or "value" if node.primitive is None else f"{node.scope}.{node.primitive.name}"
    path = what.replace(".", "/").strip("/")
    name, n = path, 1
    while name in taken:
        n += 1
        name = f"{path}_{n}"
    return name
