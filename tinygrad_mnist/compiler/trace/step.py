"""One call of a function, written down from its arguments to the last update.

The forward code runs on stand-ins, then the backward pass does, then the optimizer's formula: the same
lines as always. The parameters that one formula updates in the same way are joined into one long vector
(see :class:`Vector`), so that a single line of the program updates them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CompileError, GradientError
from ...graph import RECORDING, Node, _set, sweep
from ...optim import Optimizer
from ...tensor import Tensor
from ...tracing import described, named
from ...trees import leaves, tree_map
from ..instructions import as_array, copy, getitem
from ..program import Input, Op, Program
from ..rewrite.builder import replaced
from .capture import Capture, Links
from .creation import making_stand_ins
from .numbers import Dice
from .standins import Tracer, written
from .tape import Trace, is_stand_in
from .vectors import Vector, arrange

__all__ = ["Recorded", "record"]


@dataclass
class Recorded:
    """A call that was written down, and what it takes to make another.

    Attributes
    ----------
    program : Program
    arguments : the inputs that are arguments of the call, in the order of its leaves
    given : the arrays and Generators that are given to the program once
    form : the tree of the results, with an Op in place of each array
    links : looks at everything that the function uses, so that it is noticed when something is replaced
    vectors : what the optimizer updates
    same : arguments that are Tensors which the function, or the optimizer, knows by other ways too
    returns_tensors : whether results are Tensors, as the function's own would be
    """

    program: Program
    arguments: list[Op]
    given: dict[Op, Any]
    form: Any
    links: Callable[[], Links]
    vectors: list[Vector]
    same: dict[int, Tensor]
    returns_tensors: bool


def record(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    optimizer: Optimizer | None = None,
    has_aux: bool = False,
    clip_norm: float | None = None,
    turn_for_one_row: bool = False,
) -> Recorded:
    """Call a function on stand-ins for its arguments, and write down what it does."""
    trace = Trace()
    parameters = [p for group in optimizer.param_groups for p in group["params"]] if optimizer else []
    with Capture(trace, function, parameters) as capture:
        arguments: list[Op] = []
        names = _argument_names(function, args, kwargs)
        same = {i: x for i, x in enumerate(leaves([args, kwargs])) if id(x) in capture.tensors}
        stood_in = tree_map(lambda x: _stand_in(trace, x, next(names), arguments), [list(args), dict(kwargs)])
        if optimizer is not None:
            capture.watch(optimizer)
        with making_stand_ins(trace):
            result = function(*stood_in[0], **stood_in[1])
        vectors: list[Vector] = []
        prelude: dict[Op, Op] = {}
        if optimizer is not None:
            loss, aux = _loss_and_aux(function, result, has_aux)
            with _set(RECORDING, True):
                gradients = _backward(trace, loss)
            trace.phase, trace.node = "update", None
            vectors = arrange(trace, optimizer, capture, gradients, turn_for_one_row)
            if clip_norm is not None:
                _clip(vectors, clip_norm)
            for vector in vectors:
                vector.update(trace, optimizer, capture)
            for vector in vectors:
                prelude.update(vector.views)
            result = (loss, aux) if has_aux else loss
        capture.look_for_changes()
        stores = [*capture.stores, *(store for vector in vectors for store in vector.stores)]
        form = tree_map(lambda x: _result(trace, function, x), result)
    program = Program(
        inputs=tuple(trace.inputs),
        ops=tuple(trace.ops),
        results=tuple(x for x in leaves(form) if isinstance(x, Op)),
        stores=tuple(stores),
        name=named(function),
    )
    given = {**capture.given, **{op: array for vector in vectors for op, array in vector.given.items()}}
    program, form = _with_views(program, prelude, form)
    returns_tensors = any(isinstance(x, Tensor) for x in leaves(result))
    return Recorded(program, arguments, given, form, capture.links, vectors, same, returns_tensors)


def _argument_names(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the leaves of the arguments are called, in their order."""
    target = getattr(function, "forward", function)
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    trees = [
        *((positional[i] if i < len(positional) else f"argument_{i}", arg) for i, arg in enumerate(args)),
        *kwargs.items(),
    ]
    for name, tree in trees:
        parts = list(leaves(tree))
        yield from ([name] if len(parts) == 1 else (f"{name}_{i}" for i in range(len(parts))))


def _stand_in(trace: Trace, x: Any, name: str, arguments: list[Op]) -> Any:
    if isinstance(x, np.random.Generator):
        dice = Dice.input(trace, name, x)
        arguments.append(dice.op)
        return dice
    if not isinstance(x, (np.ndarray, np.generic, Tensor)):
        return x
    if isinstance(x, Tensor) and is_stand_in(x._data):  # one that was found in the function too
        return x
    array = x._data if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind not in "biufc":
        return x
    tracer = Tracer.input(trace, name, array)
    arguments.append(tracer.op)
    if not isinstance(x, Tensor):
        return tracer
    tensor = Tensor(tracer)
    if x._node is not None:
        tensor._node = Node(None, tracer)
    return tensor


def _loss_and_aux(function: Callable[..., Any], result: Any, has_aux: bool) -> tuple[Tensor, Any]:
    if has_aux and (not isinstance(result, tuple) or len(result) != 2):
        raise CompileError(
            f"compile: has_aux: {named(function)} returned {described(result)}, not (loss, aux)"
        )
    loss, aux = result if has_aux else (result, None)
    if not isinstance(loss, Tensor) or loss._node is None:
        raise CompileError(
            f"compile: {named(function)} returned {described(loss)}, which depends on no parameter; a training step "
            "needs the loss, a Tensor computed from what the optimizer updates"
        )
    if loss.size != 1 or loss.dtype.kind != "f":
        raise GradientError(
            f"compile: {named(function)} returned {described(loss)}; a loss is one real number, such as a mean over "
            "the batch"
        )
    return loss, aux


def _backward(trace: Trace, loss: Tensor) -> dict[Node, Tracer]:
    assert loss._node is not None, "checked"
    found = sweep({loss._node: np.ones(loss.shape, loss.dtype)})
    gradients: dict[Node, Any] = {}
    for node, g in found.items():
        x: Any = g._data if isinstance(g, Tensor) else g
        gradients[node] = x if is_stand_in(x) else written(trace, copy, (x,), {}, x)
    return gradients


def _clip(vectors: list[Vector], max_norm: float) -> None:
    """Scale all gradients together, as ``clip_grad_norm_`` does."""
    gradients = [vector.gradient for vector in vectors]
    square: Any = 0
    for g in gradients:
        flat = np.reshape(g, -1)
        square = np.dot(flat, flat) + square
    norm = np.sqrt(square)
    scale = np.where(norm > max_norm, max_norm / norm, 1).astype(norm.dtype)
    for vector in vectors:
        vector.gradient = vector.gradient * scale


def _result(trace: Trace, function: Callable[..., Any], x: Any) -> Any:
    if isinstance(x, (Tensor, np.ndarray)):
        op = trace.operand(x)
        if type(x) is not Tracer:
            return op
        # What NumPy returns as a number stays one, and so does what it returns as one of Python's.
        return (
            op.args[0]
            if op.calls(as_array)
            else trace.record(getitem, (x, ()), {}, x.value)
            if x.is_single
            else op
        )
    if isinstance(x, Dice):
        raise CompileError(f"compile: {named(function)} returned a Generator")
    if isinstance(x, (np.generic, int, float, complex, bool, str)):
        return x
    raise CompileError(
        f"compile: {named(function)} returned a {type(x).__name__}; a program returns arrays, Tensors, numbers, and "
        "lists, tuples and dicts of them"
    )


def _with_views(program: Program, views: Mapping[Op, Op], form: Any) -> tuple[Program, Any]:
    """Put views of a vector in the place of the parameters that were joined in it."""
    if not views:
        return program, form
    first: list[Op] = []
    for view in views.values():
        chain = [view]
        while chain[-1].args and not isinstance(chain[-1].args[0], Input):
            chain.append(chain[-1].args[0])
        first.extend(reversed(chain))
    result = replaced(program, views, first)
    new = dict(zip(program.results, result.results, strict=True))
    return result, tree_map(lambda x: new.get(x, x) if isinstance(x, Op) else x, form)
