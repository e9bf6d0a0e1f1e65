"""Write a model or a function as an ONNX file, and check the file against it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import files
from ...errors import OptionError, UnsupportedError, describe_briefly, pluralise, require
from ...nn import Module
from ...tensor import Tensor
from ...typing import NDArray
from .forms import FORMS
from .recording import SIZES, Operand, Recorded, Size, record_twice, run
from .writing import OPSET, Writer

if TYPE_CHECKING:
    pass

__all__ = ["Exported", "export_onnx"]

#: The version of the file format that came with the operators.
IR_VERSION = 8

#: How far onnxruntime may be from our results: absolute, and relative to the largest of them; float16 is coarser.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    path : Path
    nodes : int
        How many operators the file has.
    parameters : list of str
        The names of the weights in it.
    difference : float
        The largest difference between an output of onnxruntime and ours, relative to the largest output above 1.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_mnist as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = export_onnx(tg.nn.Linear(4, 3, rng=0), np.zeros((1, 4), np.float32), f"{folder}/model.onnx")
    >>> made.nodes, made.parameters, made.difference < 1e-5
    (1, ['weight', 'bias'], True)
    """

    path: Path
    nodes: int
    parameters: list[str]
    difference: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {pluralise(self.nodes, 'node')}, {pluralise(len(self.parameters), 'parameter')}; "
            f"onnxruntime agrees within {self.difference:.1e}"
        )


def export_onnx(
    function: Callable[..., Any], example: Any, path: str | os.PathLike[str], *, batch_axis: int | None = 0
) -> Exported:
    """Write a model or a function as an ONNX file [1]_, which other programs run without this package or Python.

    The function runs twice, on batches of two and of three examples; what was computed is written, the layers of a
    model as in ``eval()``. The file takes batches of any size. Then onnxruntime runs it on those batches and on a
    single example, and must find the same results.

    Parameters
    ----------
    function : Module or callable
        It takes arrays and returns an array, or a tuple, list or dict of them.
    example : array, or tuple of arrays
        One or more examples of each input. Only shapes, kinds and the range of numbers matter. All lengths but the
        batch's are fixed in the file.
    path : path
        The file, which usually ends in ``.onnx``. It is written whole or not at all.
    batch_axis : int or None, default 0
        The axis of the batch in all inputs; 1 for sequences of shape (L, N, features), None if there is no batch.

    Returns
    -------
    Exported
        Its text says how far onnxruntime was from our results.

    Raises
    ------
    UnsupportedError
        If an operation has no form in ONNX: the message names it and your line. If what is computed depends on the
        numbers in the input other than through recorded operations, or if onnxruntime finds other results. Nothing is
        written then.
    MissingExtraError
        Without the packages of the extra ``onnx``.

    Notes
    -----
    Parameters keep their names. Branches of Python that depend on numbers cannot be seen, only that another way was
    taken for the second batch: choose with ``np.where``.

    References
    ----------
    .. [1] Open Neural Network Exchange, https://onnx.ai.

    Examples
    --------
    >>> import tempfile
    >>> import tinygrad_mnist as tg
    >>> model = tg.nn.MLP([4, 8, 3], rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = tg.export_onnx(model, np.zeros((1, 4), np.float32), f"{folder}/model.onnx")
    >>> made.nodes, made.parameters
    (3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """
    path = Path(path)
    function = getattr(function, "__compiled__", function)
    runtime = require("onnxruntime", extra="onnx", purpose="checking an ONNX file")
    arrays = {name: _array(x) for name, x in _named(function, example).items()}
    for name, x in arrays.items():
        if batch_axis is not None and not -x.ndim <= batch_axis < x.ndim:
            raise OptionError(
                f"export_onnx: the input {name!r} of shape {x.shape} has no axis {batch_axis} for the batch; pass "
                "examples with that axis, as in x[:1], or batch_axis=None"
            )
        if batch_axis is not None and not x.shape[batch_axis]:
            raise OptionError(f"export_onnx: the input {name!r} of shape {x.shape} holds no example")
    batches = [_batch(arrays, batch_axis, size, seed) for seed, size in enumerate(SIZES)]
    recorded = record_twice(function, batches, _state(function))
    model = write(recorded, batch_axis)
    content = model.SerializeToString()
    if batch_axis is not None:
        batches.append(_batch(arrays, batch_axis, 1, 9))
    difference = _difference(function, runtime, content, batches)
    coarsest = max(
        (np.finfo(x.dtype).eps for x in recorded.outputs.values() if x.dtype.kind == "f"), default=0
    )
    if not difference <= max(TOLERANCE, 8 * coarsest):
        raise UnsupportedError(
            f"export_onnx: onnxruntime finds other results, by {difference:.1e} of the largest; nothing was written. "
            "Numbers that overflow there, or a function that is random or takes another way for other numbers, are "
            "the usual reasons"
        )
    files.replace(path, content)
    return Exported(path, len(model.graph.node) - _constants(model), [*recorded.parameters], difference)


def write(recorded: Recorded, batch_axis: int | None) -> Any:
    """Write what a function did as an ONNX model."""
    onnx = require("onnx", extra="onnx", purpose="writing an ONNX file")
    first = next(iter(recorded.inputs), "")
    w = Writer(
        (first, batch_axis % recorded.inputs[first].ndim) if first and batch_axis is not None else None,
        recorded.calls,
    )
    for name in (*recorded.inputs, *recorded.outputs, *recorded.parameters):
        w.reserve(name)
    for call in recorded.calls:
        w.call = call
        is_complex = any(x.dtype.kind == "c" for x in call.results)
        if call.primitive.name not in FORMS or is_complex:
            what = " of complex numbers" if is_complex else ""
            raise UnsupportedError(
                f"export_onnx: {call.primitive.name}{what} has no form in ONNX{call.place}"
            )
        if call.fault:
            raise UnsupportedError(
                f"export_onnx: {call.primitive.name} gets {call.fault}{call.place}; a file holds one of them only"
            )
        made = FORMS[call.primitive.name](w, call)
        for x, name in zip(call.results, made if isinstance(made, list) else [made], strict=False):
            w.names[id(x)] = name
    w.call = None
    outputs = []
    for name, x in recorded.outputs.items():
        made = w.name_of(x)
        w.nodes.append(onnx.helper.make_node("Identity", [made], [name], w._take(f"{name}/Identity")))
        outputs.append(_described(onnx, name, x))
    _rename_outputs(w.nodes, [*recorded.outputs], {*recorded.inputs, *recorded.parameters})
    graph = onnx.helper.make_graph(
        _used(w.nodes, [*recorded.outputs]),
        "tinygrad_mnist",
        [_described(onnx, name, x) for name, x in recorded.inputs.items()],
        outputs,
        [_weight(onnx, name, x) for name, x in recorded.parameters.items()],
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(
        graph, opset_imports=[opset], producer_name="tinygrad_mnist", ir_version=IR_VERSION
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise UnsupportedError(
            f"export_onnx: ONNX does not allow what was computed: {describe_briefly(error)}"
        ) from error
    return model


def _named(function: Callable[..., Any], example: Any) -> dict[str, Any]:
    """The inputs, by the names of the function's parameters."""
    given = example if isinstance(example, tuple) else (example,)
    try:
        parameters = [*inspect.signature(getattr(function, "forward", function)).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {known[i] if i < len(known) else f"input_{i}": x for i, x in enumerate(given)}


def _array(x: Any) -> NDArray:
    array = np.asarray(x.data if isinstance(x, Tensor) else x)
    if array.dtype.kind not in "biuf":
        raise OptionError(
            f"export_onnx: an example of {array.dtype}; pass numbers that are not complex, or booleans"
        )
    return array


def _state(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a model, also for a method of one; buffers are constants in the file."""
    model = function if isinstance(function, Module) else getattr(function, "__self__", None)
    if not isinstance(model, Module):
        return {}
    return dict(model.named_parameters())


def _batch(arrays: Mapping[str, NDArray], axis: int | None, size: int, seed: int) -> dict[str, NDArray]:
    """A batch of examples like those given: their numbers in another order, and floats a little smaller."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, x in arrays.items():
        y = x if axis is None else np.take(x, np.arange(size) % x.shape[axis], axis)
        y = rng.permutation(y.reshape(-1)).reshape(y.shape)
        if y.dtype.kind == "f":
            factor = rng.uniform(0.5, 1, y.shape).astype(y.dtype)
            y = np.asarray(y * factor if y.any() else factor)
        made[name] = y
    return made


def _described(onnx: Any, name: str, x: Operand) -> Any:
    """The type of an input or an output; a length that depends on the batch has a name."""
    sizes = [
        n if not isinstance(n, Size) else "batch" if n == (1, 0) else f"{n.factor}*batch+{n.offset}"
        for n in x.sizes
    ]
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), sizes)


def _weight(onnx: Any, name: str, x: Operand) -> Any:
    return onnx.numpy_helper.from_array(np.ascontiguousarray(x.value).reshape(x.shape), name)


def _rename_outputs(nodes: list[Any], outputs: Sequence[str], fixed: set[str]) -> None:
    """Let the nodes that compute the outputs bear their names, instead of a copy."""
    made = {name: node for node in nodes for name in node.output}
    for copy in [node for node in nodes if node.op_type == "Identity" and node.output[0] in outputs]:
        source = copy.input[0]
        uses = sum(source in node.input for node in nodes)
        if source in made and source not in fixed and source not in outputs and uses == 1:
            node = made[source]
            node.output[[*node.output].index(source)] = copy.output[0]
            nodes.remove(copy)


def _used(nodes: list[Any], outputs: Sequence[str]) -> list[Any]:
    """Leave out nodes that no output depends on."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]


def _constants(model: Any) -> int:
    return sum(node.op_type == "Constant" for node in model.graph.node)


def _difference(
    function: Callable[..., Any], runtime: Any, content: bytes, batches: Sequence[Mapping[str, NDArray]]
) -> float:
    """How far the outputs of onnxruntime are from ours, on some batches."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is an exception as well
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    worst = 0.0
    for batch in batches:
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            known = {x.name for x in session.get_inputs()}
            theirs = session.run(None, {name: x for name, x in batch.items() if name in known})
        except Exception as error:  # its own, which have no class in common
            hint = ""
            if any(x.dtype == np.float64 for x in batch.values()):
                hint = "; it has few operators for float64: export model.astype(np.float32) and an example of float32"
            raise UnsupportedError(
                f"export_onnx: onnxruntime cannot run what was computed: {describe_briefly(error)}{hint}"
            ) from error
        _, _, ours = run(function, batch)
        for a, b in zip(ours.values(), theirs, strict=True):
            finite = np.isfinite(a)
            if a.dtype != b.dtype or a.shape != b.shape or not np.array_equal(finite, np.isfinite(b)):
                return float("inf")
            if finite.any():
                a, b = a[finite].astype(float), b[finite].astype(float)
                worst = max(worst, float(np.abs(a - b).max() / max(1.0, np.abs(a).max())))
    return worst
