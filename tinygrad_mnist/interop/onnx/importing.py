"""An ONNX file as a model that can be trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...errors import (
    DataError,
    DTypeError,
    OptionError,
    UnsupportedError,
    describe_briefly,
    quote,
)
from ...graph import scope
from ...nn import Module, Parameter
from ...reading import LARGEST_ARRAYS
from ...tensor import Tensor
from ...trees import leaves
from ...typing import NDArray
from .operators import OPERATORS, Setting
from .operators.table import Operator, require_room, room_for
from .reading import File, read_onnx

__all__ = ["OnnxModel", "import_onnx"]

#: How many times as large as all inputs and weights together a result may be, if that is more than ``max_bytes``.
RATIO = 100


def import_onnx(path: str | os.PathLike[str], *, max_bytes: int = LARGEST_ARRAYS) -> OnnxModel:
    """Read an ONNX file [1]_, written here or by another program, as a model whose parameters can be trained.

    Parameters
    ----------
    path : path
    max_bytes : int, default 2**28
        The largest size of the weights, and of a result, unless it is less than a hundred times the inputs and
        weights. A file from somebody else could ask for more memory than you have.

    Returns
    -------
    OnnxModel
        It is in ``eval()`` mode, and computes what the file says; ``train()`` it to go on with training.

    Raises
    ------
    MissingFileError
        If there is no such file; it is a FileNotFoundError too.
    DataError
        If it is damaged, larger than ``max_bytes``, or newer than the installed package ``onnx``; if its graph has a
        cycle, or its weights lie in a file outside its folder.
    UnsupportedError
        If it uses operators that are not known here; the message lists them.
    MissingExtraError
        Without the packages of the extra ``onnx``.

    References
    ----------
    .. [1] Open Neural Network Exchange, https://onnx.ai.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_mnist as tg
    >>> x = np.ones((2, 4), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = tg.export_onnx(tg.nn.MLP([4, 8, 3], rng=0), x, f"{folder}/model.onnx")
    ...     model = tg.import_onnx(f"{folder}/model.onnx")
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model(x).shape
    (2, 3)
    """
    return OnnxModel(read_onnx(path, max_bytes), max_bytes).eval()


class OnnxModel(Module):
    """The graph of an ONNX file; :func:`import_onnx` makes it.

    Weights of floats are parameters by their names in the file, if they have an axis and an operator learns from
    them; running means and variances are buffers. Everything else is constant. Call it with arrays by position or by
    the names of the file's inputs.

    Attributes
    ----------
    inputs, outputs : lists of str
        Their names.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_mnist as tg
    >>> x = np.ones((2, 4), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = tg.export_onnx(tg.nn.Linear(4, 3, rng=0), x, f"{folder}/model.onnx")
    ...     model = import_onnx(f"{folder}/model.onnx")
    >>> type(model).__name__, model.inputs, model.outputs
    ('OnnxModel', ['x'], ['output'])
    """

    def __init__(self, file: File, max_bytes: int) -> None:
        self.inputs, self.outputs = file.inputs, file.outputs
        self._where = str(file.path)
        self._opset, self._rng, self._room = file.opset, np.random.default_rng(0), max_bytes
        fixed, used = _places(file.nodes)
        self._constants: dict[str, NDArray] = {}
        weights = {}
        for name, array in file.initializers.items():
            if array.dtype.kind == "f" and array.ndim and name in used and name not in fixed:
                weights[name] = Parameter(array, dtype=array.dtype)
            else:
                self._constants[name] = array
        self.__dict__["_weights"] = weights
        for name, parameter in weights.items():
            parameter.name = name
        self._nodes = [_Node(file, node) for node in file.nodes]
        needed = {*self.outputs, ""}
        for node in reversed(self._nodes):
            node.last_uses = {*node.inputs, *node.outputs} - needed
            needed |= node.last_uses
        for node in self._nodes:
            if node.name == "BatchNormalization":
                for name in node.inputs[3:5]:
                    if name in self._constants:
                        self.register_buffer(name, self._constants.pop(name))

    def _own_parts(self) -> Iterator[tuple[str, Any]]:
        yield from self._weights.items()

    @property
    def _weights(self) -> dict[str, Parameter]:
        return self.__dict__["_weights"]

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute the outputs: one, or a tuple of them."""
        values = {**self._constants, **self._weights, **self._given(inputs, named)}
        values.update((name, getattr(self, name)) for name in self._buffers)
        with room_for(max(self._room, RATIO * sum(x.nbytes for x in values.values()))):
            for node in self._nodes:
                node.run(values, self)
                for name in node.last_uses:
                    values.pop(name, None)  # a node may name outputs that it does not have
        if missing := [name for name in self.outputs if name not in values]:
            raise DataError(
                f"{self._where}: the output {quote(missing[0])} is one that a node names more than it has"
            )
        found = tuple(values[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found

    def _given(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs by name, as arrays or Tensors."""
        if len(inputs) > len(self.inputs):
            raise OptionError(
                f"{len(inputs)} inputs for a model that takes {len(self.inputs)}: {', '.join(self.inputs)}"
            )
        given = {**dict(zip(self.inputs, inputs, strict=False)), **named}
        missing, unknown = (
            [x for x in self.inputs if x not in given],
            [x for x in given if x not in self.inputs],
        )
        if missing or unknown:
            raise OptionError(
                f"the model takes {', '.join(self.inputs)}; missing: {', '.join(missing) or 'none'}, unknown: "
                f"{', '.join(unknown) or 'none'}"
            )
        arrays = {name: x if isinstance(x, Tensor) else np.asarray(x) for name, x in given.items()}
        for name, x in arrays.items():
            if x.dtype.kind not in "biufc" or x.dtype.isbuiltin != 1:  # those of other packages are not
                raise DTypeError(f"the input {name!r} is of {x.dtype}; pass numbers that NumPy computes with")
        return arrays

    def extra_repr(self) -> str:
        """How large it is, and what it takes and returns."""
        return f"{len(self._nodes)} nodes; {', '.join(self.inputs)} → {', '.join(self.outputs)}"


class _Node:
    """A node, ready to run."""

    def __init__(self, file: File, node: Any) -> None:
        self.name, self.label = node.op_type, node.name or node.op_type
        self.inputs, self.outputs = [*node.input], [*node.output]
        self.operator: Operator = OPERATORS[node.op_type]
        if not all(self.inputs[: self.operator.needed]):
            raise DataError(f"{file.path}: {self.name} (in {quote(self.label)}) lacks an input that it needs")
        self.last_uses: set[str] = set()  # what no later node needs
        self.attributes = file.attributes(node)

    def run(self, values: dict[str, Any], model: OnnxModel) -> None:
        """Compute the outputs from the values before."""
        settings = self.attributes
        if self.operator.takes_setting:
            outputs = max((i + 1 for i, name in enumerate(self.outputs) if name), default=1)
            settings = {**settings, "setting": Setting(model._opset, model.training, outputs, model._rng)}
        try:
            args: list[Any] = [values[name] if name else None for name in self.inputs]
        except KeyError as error:
            raise DataError(
                f"{model._where}: {self.name} (in {quote(self.label)}) takes {quote(error.args[0])}, which a node "
                "names as an output more than it has"
            ) from error
        try:
            if self.operator.broadcasts:
                require_room(np.broadcast_shapes(*(x.shape for x in args)), args[0].dtype)
            with scope(self.label):
                made = self.operator.function(*args, **settings)
            results = [y if isinstance(y, Tensor) else np.asarray(y) for y in leaves(made)]
            for y in results:
                require_room(y.shape, y.dtype)
        except Exception as error:  # whatever a file can lead to
            shapes = ", ".join(str(np.shape(x)) for x in args if x is not None)
            raise UnsupportedError(
                f"{model._where}: {self.name} (in {quote(self.label)}) cannot be computed for inputs of shape "
                f"{quote(shapes, 200)[1:-1]}: {describe_briefly(error)}"
            ) from error
        values.update(zip(self.outputs, results, strict=False))


def _places(nodes: list[Any]) -> tuple[set[str], set[str]]:
    """The names that operators take as settings, and all that they take."""
    fixed, used = set(), set()
    for node in nodes:
        for i, name in enumerate(node.input):
            used.add(name)
            if i in OPERATORS[node.op_type].fixed:
                fixed.add(name)
    return fixed, used
