"""The record of one call of a function, from its arguments to the last update.

The forward code runs on stand-ins, then the backward pass, then the optimizer's formula: the same lines as
always. Parameters that a formula updates in the same way are joined into one long vector (see
:class:`Vector`), so a single line of the program updates all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...errors import CompileError, GradientError
from ...graph import Node, sweep
from ...optim import Optimizer
from ...tensor import Tensor
from ...transforms.call import described, named
from ...trees import leaves, rebuild, tree_map
from ..instructions import as_array, getitem
from ..program import Input, Op, Program, name_of
from ..rewrite.builder import replaced
from .capture import Capture
from .creation import making_stand_ins
from .numbers import Dice
from .standins import Tracer, known
from .tape import Trace, is_pythons, is_stand_in
from .vectors import Vector, arrange, same_steps
from .watch import Test

__all__ = ["Recorded", "argument_names", "is_numeric", "record"]


@dataclass
class Recorded:
    """The record of a call, and everything needed for the next one.

    Attributes
    ----------
    program : Program
    arguments : the inputs that are arguments of the call, in the order of its leaves
    sources : for each of them, the number of its leaf
    writes : the numbers of the leaves that the call writes into; their new values are the last results
    given : the arrays and Generators that the program gets once
    form : the tree of the results, with an Op instead of each array
    tests : writes the conditions for another call
    is_by_layout : whether these include the memory layout of arrays
    vectors : the vectors that the optimizer updates
    same : arguments that are Tensors and that the function or the optimizer can also reach otherwise
    are_tensors : for each leaf of the results, whether it is a Tensor
    """

    program: Program
    arguments: list[Op]
    sources: list[int]
    writes: list[int]
    given: dict[Op, Any]
    form: Any
    tests: Callable[[], tuple[list[Test], list[Test]]]
    is_by_layout: bool
    vectors: list[Vector]
    same: dict[int, Tensor]
    are_tensors: list[bool]


def record(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any
) -> Recorded:
    """Call a function on stand-ins for its arguments, and record what it does.

    Arrays of integers that it finds are inputs of the program, like others. But they may determine how often a
    loop runs, or which item of a list is used, and then stand-ins cannot replace them. So if such a trace
    fails, they are constants in a second trace.
    """
    capture = Capture(function)
    try:
        return _recorded(capture, args, kwargs, **options)
    except Exception:
        if not capture.reach.has_integers:
            raise
    return _recorded(Capture(function, integers=False), args, kwargs, **options)


def _recorded(
    capture: Capture,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    optimizer: Optimizer | None = None,
    has_aux: bool = False,
    clip_norm: float | None = None,
    turn_for_one_row: bool = False,
) -> Recorded:
    trace, function = capture.trace, capture.user_function
    parameters = [p for group in optimizer.param_groups for p in group["params"]] if optimizer else []
    with capture:
        for parameter in parameters:
            capture.reach.look(parameter.name or "weight", parameter)
        given = list(leaves([args, kwargs]))
        same = {i: x for i, x in enumerate(given) if id(x) in capture.tensors}
        arguments = Arguments(capture, given, argument_names(function, args, kwargs))
        stood_in = rebuild([list(args), dict(kwargs)], arguments.stand_ins)
        before = dict(_containers(stood_in))
        with making_stand_ins(trace), np.errstate(all="ignore"):  # the program warns when it runs
            result = capture.function(*stood_in[0], **stood_in[1])
        vectors: list[Vector] = []
        prelude: dict[Op, Op] = {}
        if optimizer is not None:
            loss, aux = _loss_and_aux(function, result, has_aux)
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
        if any(not _has_items(x, items) for x, items in before.values()):
            raise CompileError(
                f"compile: {named(function)} changes a list or a dict that is an argument, which a program would not "
                "repeat; return the changed value"
            )
        writes = arguments.written()
        stores = [*capture.stores, *(store for vector in vectors for store in vector.stores)]
        form = tree_map(lambda x: _result(trace, function, x), result), list(writes.values())
        new = {old: view for vector in vectors for old, view in vector.updated().items()}
        form = tree_map(lambda x: _after_update(trace, x, new), form)
    program = Program(
        inputs=tuple(trace.inputs),
        ops=tuple(trace.ops),
        results=tuple(x for x in leaves(form) if isinstance(x, Op)),
        stores=tuple(stores),
        name=named(function),
    )
    known = {**capture.given, **{op: array for vector in vectors for op, array in vector.given.items()}}
    program, form = _with_views(program, prelude, form)
    return Recorded(
        program,
        arguments.ops,
        arguments.sources,
        list(writes),
        known,
        form[0],
        partial(_tests, capture, optimizer, vectors),
        trace.is_by_layout,
        vectors,
        same,
        are_tensors=[isinstance(x, Tensor) for x in leaves(result)],
    )


def _tests(
    capture: Capture, optimizer: Optimizer | None, vectors: list[Vector]
) -> tuple[list[Test], list[Test]]:
    """Write the conditions for another call, after the parameters have moved to their final places."""
    tests, counted = capture.tests(optimizer)
    if optimizer is not None:
        tests += [*same_steps(vectors), *(test for vector in vectors for test in vector.tests(optimizer))]
    return tests, counted


class Arguments:
    """Make stand-ins for the leaves of the arguments: one for each object, however often it is passed."""

    def __init__(self, capture: Capture, given: list[Any], names: Iterator[str]) -> None:
        self.given = given
        self.ops: list[Op] = []
        self.sources: list[int] = []
        self.stand_ins: list[Any] = []
        self._capture = capture
        known: dict[int, Any] = {}
        for i, x in enumerate(given):
            name = next(names)
            if id(x) not in known:
                known[id(x)] = self._stand_in(i, x, name)
            self.stand_ins.append(known[id(x)])
        self.names = [name_of(op) for op in self.ops]

    def _stand_in(self, i: int, x: Any, name: str) -> Any:
        trace = self._capture.trace
        if isinstance(x, np.random.Generator):
            dice = Dice.input(trace, name, x)
            self._add(i, dice.op)
            return dice
        if isinstance(x, Tensor) and is_stand_in(x._array):  # one that was also found in the function
            return x
        is_array = isinstance(x, (np.ndarray, np.generic)) or hasattr(x, "__array_function__")
        is_converted = hasattr(type(x), "__array__") and not is_array
        if not is_numeric(x) and not is_converted:
            return self._capture.reach.look(name, x)
        if is_converted or (isinstance(x, np.ndarray) and type(x) not in (np.ndarray, np.memmap)):
            raise CompileError(
                f"compile: the argument {name!r} is a {type(x).__name__}, not a plain array; pass np.asarray(x)"
            )
        tracer = Tracer.input(trace, name, x._array if isinstance(x, Tensor) else x)
        self._add(i, tracer.op)
        if not isinstance(x, Tensor):
            return tracer
        tensor = Tensor(tracer)
        if x._node is not None:
            tensor._node = Node(None, tracer)
        return tensor

    def _add(self, i: int, op: Op) -> None:
        self.ops.append(op)
        self.sources.append(i)

    def written(self) -> dict[int, Op]:
        """Find the leaves that the call wrote into, and their new values."""
        found = {}
        for i, op, name in zip(self.sources, self.ops, self.names, strict=True):
            stand_in, x = self.stand_ins[i], self.given[i]
            now: Any = stand_in._array if isinstance(stand_in, Tensor) else stand_in
            if not is_stand_in(now) or now.op is op or isinstance(x, np.generic):
                continue
            if isinstance(x, Tensor):
                raise CompileError(
                    f"compile: the call changes the Tensor {name!r}, an argument, which a program would not repeat; "
                    "return the new value"
                )
            found[i] = now.op
        return found


def is_numeric(x: Any) -> bool:
    """Whether something is an array of numbers, or a Tensor or a NumPy number."""
    return isinstance(x, (np.ndarray, np.generic, Tensor)) and x.dtype.kind in "biufc"


def _containers(tree: Any) -> Iterator[tuple[int, tuple[Any, list[Any]]]]:
    """Walk over all lists and dicts of a tree, with their contents."""
    if isinstance(tree, (list, tuple, dict)):
        parts = [*tree.values()] if isinstance(tree, dict) else [*tree]
        yield id(tree), (tree, [*tree, *parts] if isinstance(tree, dict) else parts)
        for part in parts:
            yield from _containers(part)


def _has_items(tree: Any, items: list[Any]) -> bool:
    now = [*tree, *tree.values()] if isinstance(tree, dict) else [*tree]
    return len(now) == len(items) and all(a is b for a, b in zip(now, items, strict=True))


def argument_names(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[str]:
    """Name the leaves of the arguments, in their order."""
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
        x: Any = g._array if isinstance(g, Tensor) else g
        gradients[node] = x if is_stand_in(x) else known(trace, np.asarray(x))
    return gradients


def _clip(vectors: list[Vector], max_norm: float) -> None:
    """Scale all gradients together, like ``clip_grad_norm_``, without overflow or underflow of their squares."""
    flat = [np.reshape(vector.gradient, -1) for vector in vectors]
    parts = [part for g in flat for part in ((np.real(g), np.imag(g)) if g.dtype.kind == "c" else (g,))]
    largest: Any = 1
    if any(part.dtype == np.float64 for part in parts):
        largest = np.max(np.stack([np.max(np.abs(part)) for part in parts])).astype(np.float64)
        largest = np.where((largest > 0) & (largest < np.inf), largest, 1)
    wide = [part.astype(np.float64) / largest for part in parts]  # no square of a float32 overflows there
    square: Any = 0
    for part in wide:
        square = np.dot(part, part) + square
    norm = largest * np.sqrt(square)
    scale = np.where(norm <= max_norm, 1, max_norm / norm)  # NaN, if a gradient is
    for vector in vectors:
        g = vector.gradient
        real = np.promote_types(
            g.dtype.type().real.dtype, np.float32
        )  # float16 cannot represent small factors
        g_wide = g.astype(np.promote_types(g.dtype, real))
        vector.gradient = (g_wide * scale.astype(real)).astype(g.dtype)


def _result(trace: Trace, function: Callable[..., Any], x: Any) -> Any:
    if type(x) is Tracer:
        if is_pythons(x):  # a result that NumPy returns as a Python number stays one
            return x.op.args[0]
        if x.ndim:
            return x.op
        # A program does not distinguish numbers from arrays without axes, but users of its results do.
        args: tuple[Any, ...] = (x, ()) if x.is_number else (x,)
        made = trace.record(getitem if x.is_number else as_array, args, {}, x.value)
        made.place = x.op.place
        return made
    if isinstance(x, (Tensor, np.ndarray)):
        return trace.operand(x)
    if isinstance(x, Dice):
        raise CompileError(f"compile: {named(function)} returned a Generator")
    if isinstance(x, (np.generic, int, float, complex, bool, str)):
        return x
    raise CompileError(
        f"compile: {named(function)} returned a {type(x).__name__}; a program returns arrays, Tensors, numbers, and "
        "lists, tuples and dicts of them"
    )


def _after_update(trace: Trace, op: Any, new: Mapping[Op, Op]) -> Any:
    """A result that is a parameter, or a view of one, shows the parameter after the update, as it does uncompiled."""
    if not isinstance(op, Op):
        return op
    chain = [op]
    while chain[-1].is_view and chain[-1] not in new:
        chain.append(chain[-1].args[0])
    if chain[-1] not in new:
        return op
    made = new[chain.pop()]
    views, view = list[Op](), made
    while view not in trace.ops and not isinstance(view, Input):
        views.append(view)
        view = view.args[0]
    trace.ops += reversed(views)
    for op in reversed(chain):
        made = Op(op.instruction, (made, *op.args[1:]), op.settings, op.shape, op.dtype, op.place)
        trace.ops.append(made)
    return made


def _with_views(program: Program, views: Mapping[Op, Op], form: Any) -> tuple[Program, Any]:
    """Replace the parameters that were joined into a vector by its views."""
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
