"""One call of a function with variables instead of some arguments, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np

from ..errors import DTypeError, GradientError, OptionError, ShapeError, pluralise, quote
from ..graph import RECORDING, SERIALS, TRACING, Node, _set, deriving, is_recording, sweep
from ..operands import operand
from ..tensor import Tensor, _handle, _lift, part_of
from ..trees import leaves, matching, rebuild, tree_map
from ..typing import Array
from .forward import push, variable

__all__ = [
    "Argnums",
    "Function",
    "Trace",
    "add_seeds",
    "described",
    "fit_tree",
    "is_tracked",
    "named",
    "parts_of",
    "value_of",
]

Function = Callable[..., Any]
Argnums = int | Sequence[int]


class Trace:
    """One call of a function, with variables instead of the arguments to differentiate with respect to."""

    def __init__(
        self,
        f: Function,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        argnums: Argnums,
        has_aux: bool,
        also: Any = (),
        is_kept: bool = False,
    ) -> None:
        self.is_kept = is_kept  # whether the graph is needed after the results were returned
        self.numbers, self.is_single = _positions(argnums, len(args), f)
        self.chosen = [args[i] for i in self.numbers]
        # Inside another transform, the outer one differentiates the results of this one.
        self.takes_tensors = TRACING.get() or any(isinstance(x, Tensor) for x in leaves([args, kwargs, also]))
        self.start = next(SERIALS)
        self.variables = [_check(x) for x in leaves(self.chosen)]
        swapped = list(args)
        for i, part in zip(self.numbers, rebuild(self.chosen, self.variables), strict=True):
            swapped[i] = part
        # Kept separately from the variables, because f may assign to those.
        self.nodes: list[Any] = [x._node for x in self.variables]
        self.values = [x._array for x in self.variables]
        with _set(RECORDING, True), _set(TRACING, True):
            result = f(*swapped, **kwargs)
        aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise GradientError(
                    f"has_aux: {named(f)} returned {described(result)}, not a pair (result, aux)"
                )
            result, aux = result
        # If a function uses tracked Tensors, its derivatives depend on them, like its value.
        self.is_recorded = self.takes_tensors or (
            is_recording() and _reach_a_leaf(y._node for y in leaves([result, aux]) if is_tracked(y))
        )
        self.aux = self.plain(aux)
        self.result = result
        # New handles, because f or its caller may assign to those that f returned.
        self.outputs: list[Any] = [
            _handle(y._array, y._node) if isinstance(y, Tensor) else y for y in leaves(result)
        ]

    def with_tensors(self, others: Sequence[Any]) -> Trace:
        """The same call; its derivatives are recorded too if one of the other Tensors is tracked."""
        if self.is_recorded or not any(map(is_tracked, others)):
            return self
        recorded = copy(self)
        recorded.is_recorded = True
        return recorded

    def pull(self, seeds: Sequence[Any], *, retain: bool = False) -> Any:
        """Compute gradients of the arguments, in their form, from gradients of the results."""
        return self.like_arguments(self._pull(seeds, retain=retain))

    def _pull(self, seeds: Sequence[Any], *, retain: bool) -> list[Array]:
        pairs = [(y._node, s) for y, s in zip(self.outputs, seeds, strict=True) if is_tracked(y)]
        lift, retain = _lift if self.is_recorded else None, retain or self.is_recorded
        with deriving():
            found = sweep(
                add_seeds((node, self._lift_constant(s)) for node, s in pairs),
                targets=self.nodes,
                retain=retain,
                lift=lift,
            )
        return [
            found[node] if node in found else self._lift_constant(np.zeros_like(value))
            for node, value in zip(self.nodes, self.values, strict=True)
        ]

    def push(self, directions: Any) -> Any:
        """Compute changes of the results, in their form, from changes of the arguments."""
        given = fit_tree(directions, self.chosen, self.values, "jvp: the tangent")
        changes: list[Array] = []
        for x in self._push_directions(given, retain=False):
            is_shared = isinstance(x, np.ndarray) and (
                x.base is not None or any(x is other for other in (*given, *changes))
            )
            changes.append(x.copy() if is_shared else x)
        return rebuild(self.result, map(self._out, changes))

    def _push_directions(self, directions: Sequence[Any], *, retain: bool) -> list[Array]:
        tangents = {node: self._lift_constant(d) for node, d in zip(self.nodes, directions, strict=True)}
        lift = _lift if self.is_recorded else None
        with deriving():
            results = {y._node for y in self.outputs if is_tracked(y)}
            changes = push(tangents, results, retain=retain or self.is_recorded, lift=lift)
        return [
            changes[y._node]
            if is_tracked(y) and y._node in changes
            else self._lift_constant(np.zeros_like(value_of(y)))
            for y in self.outputs
        ]

    def by_rows(self) -> list[list[Array]]:
        """Compute the Jacobian of each result by each argument, with a backward pass per element of the results."""
        blocks = []
        for k, y in enumerate(self.outputs):
            rows = []
            for unit in _units(value_of(y)):
                seeds = [
                    unit if i == k else np.zeros_like(value_of(other)) for i, other in enumerate(self.outputs)
                ]
                rows.append(self._pull(seeds, retain=True))
            blocks.append([self._block(y, i, [row[i] for row in rows], 0) for i in range(len(self.values))])
        return blocks

    def by_columns(self) -> list[list[Array]]:
        """Compute the same with a forward pass per element of the arguments."""
        blocks: list[list[Array]] = [[] for _ in self.outputs]
        for i, value in enumerate(self.values):
            columns = []
            for unit in _units(value):
                directions = [unit if j == i else np.zeros_like(other) for j, other in enumerate(self.values)]
                columns.append(self._push_directions(directions, retain=True))
            for k, y in enumerate(self.outputs):
                blocks[k].append(self._block(y, i, [column[k] for column in columns], -1))
        return blocks

    def _block(self, y: Any, i: int, parts: list[Array], axis: int) -> Array:
        shape, dtype = value_of(y).shape + self.values[i].shape, self.values[i].dtype
        if not parts:
            return self._lift_constant(np.zeros(shape, dtype))
        block = np.reshape(np.stack(parts, axis=axis), shape)
        return block.astype(np.result_type(dtype, np.complex64) if block.dtype.kind == "c" else dtype)

    def like_arguments(self, parts: Sequence[Array]) -> Any:
        """Arrange arrays for the variables in the form of the arguments."""
        form = rebuild(self.chosen, map(self._out, parts))
        return form[0] if self.is_single else tuple(form)

    def plain(self, tree: Any) -> Any:
        """Return the form of a result that the user of the transform sees."""
        return tree_map(self._out, tree)

    def _out(self, x: Any) -> Any:
        if not self.is_recorded:
            if isinstance(x, Tensor):
                x = x._array if self._is_own(x) else x._array.copy()
            return x[()] if isinstance(x, np.ndarray) else x
        if not isinstance(x, Tensor):
            return x
        if is_recording() and (TRACING.get() or _reach_a_leaf([x._node])):
            own = _handle(x._array, x._node)  # writing into this one does not change the function's
            return part_of(own, leaves(self.chosen))
        # A value that depends only on this call's own variables is a constant outside.
        return x.detach() if self.takes_tensors else x._array.copy()[()]

    def _is_own(self, x: Tensor) -> bool:
        """Whether the values were computed here, and nothing else refers to them."""
        node = x._node
        return (
            not self.is_kept
            and x._array.base is None
            and node is not None
            and node.serial > self.start
            and not any(x._array is arg for arg in node.args or ())
        )

    def _lift_constant(self, x: Any) -> Any:
        """Prepare a constant for use with recorded values, if they are recorded."""
        if isinstance(x, Tensor):
            return x if self.is_recorded else x._array
        return Tensor(x) if self.is_recorded else x


def value_of(y: Any) -> Any:
    """The array in a Tensor, or an array made from a number."""
    return y._array if isinstance(y, Tensor) else _as_array(y)


def _units(value: Array) -> Iterator[Array]:
    """Yield arrays of zeros with a single one, which visits each place."""
    for i in range(value.size):
        unit = np.zeros_like(value)
        unit.flat[i] = 1
        yield unit


def _check(x: Any) -> Tensor:
    value, node = parts_of(x)
    if value.dtype.kind not in "fc":
        raise DTypeError(
            f"cannot differentiate with respect to an argument of dtype {value.dtype}: only floats and complex "
            "numbers have derivatives; convert it with .astype(float), or choose other arguments with argnums="
        )
    return variable(value, node)


def fit_tree(tree: Any, like: Any, values: Sequence[Array], what: str) -> list[Any]:
    """Check that a tree has the form and the shapes of another, and convert it to the dtypes of that."""
    try:
        given = list(matching(tree, like))
    except ShapeError as error:
        raise ShapeError(f"{what} has another form: {error}") from None
    results = []
    for x, value in zip(given, values, strict=True):
        if np.shape(x) != value.shape:
            raise ShapeError(f"{what} has shape {np.shape(x)}, but should have shape {value.shape}")
        x = _handle(x._array, x._node) if isinstance(x, Tensor) else _as_array(x)
        if x.dtype.kind == "c" and value.dtype.kind != "c":
            raise DTypeError(f"{what} is complex ({x.dtype}), but should have dtype {value.dtype}")
        results.append(x if x.dtype == value.dtype else x.astype(value.dtype))
    return results


def _positions(argnums: Argnums, count: int, f: Function) -> tuple[list[int], bool]:
    is_single = isinstance(argnums, (int, np.integer))
    numbers = [int(argnums)] if isinstance(argnums, (int, np.integer)) else [int(i) for i in argnums]
    for i in numbers:
        if not -count <= i < count:
            raise OptionError(
                f"argnums = {argnums}: {named(f)} was called with {pluralise(count, 'argument')} by position; pass "
                "those to differentiate with respect to by position, not by name"
            )
    numbers = [i % count for i in numbers]
    if len(set(numbers)) < len(numbers):
        raise OptionError(f"argnums = {argnums}: an argument is named twice")
    return numbers, is_single


def require_function(name: str, f: object, argnums: Any = 0) -> None:
    """Refuse what cannot be called, such as a loss that is computed already, and what numbers no argument."""
    if not callable(f):
        raise GradientError(
            f"{name}: differentiates a function, as in tg.{name}(f)(x), and got {described(f)}; the gradient of a "
            "loss that is computed already is in x.grad after loss.backward()"
        )
    numbers = argnums if isinstance(argnums, Sequence) else (argnums,)
    if isinstance(argnums, str) or not all(isinstance(i, (int, np.integer)) for i in numbers):
        raise OptionError(
            f"{name}: argnums = {quote(argnums)} is neither an integer nor several of them; the arguments of the "
            f"function come afterwards, as in tg.{name}(f)(x)"
        )


def named(f: Function) -> str:
    """Name a function for a message."""
    name = getattr(f, "__name__", None)
    return name if isinstance(name, str) else type(f).__name__


def described(result: Any) -> str:
    """Describe a result for a message."""
    if result is None:
        return "None (it may lack a `return`)"
    shape = getattr(result, "shape", None)
    kind = result.__class__.__name__
    return f"{kind} of shape {shape} and dtype {result.dtype}" if shape is not None else kind


def is_tracked(x: Any) -> bool:
    """Whether something is a Tensor with a node in a graph."""
    return isinstance(x, Tensor) and x._node is not None


def add_seeds(pairs: Iterable[tuple[Any, Array]]) -> dict[Node, Array]:
    """Collect seeds, and add up those of the same node."""
    total: dict[Node, Array] = {}
    for node, seed in pairs:
        total[node] = total[node] + seed if node in total else seed
    return total


def parts_of(x: Any) -> tuple[Array, Node | None]:
    """The value of an argument, and its node if it is tracked at the moment."""
    if isinstance(x, Tensor):
        return x._array, x._node if is_recording() else None
    if isinstance(x, int) and not isinstance(x, bool):
        x = float(x)
    return _as_array(x), None


def find_older(results: Iterable[Tensor], start: int) -> list[Node]:
    """Find the nodes recorded before a point in time from which results were computed after it."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    waiting = [y._node for y in results]
    while waiting:
        node = waiting.pop()
        assert node is not None, "results are tracked"
        if node.serial < start:
            found[node] = None
        elif node not in seen:
            seen.add(node)
            waiting.extend(parent for _, parent in node.parents)
    return list(found)


def _reach_a_leaf(nodes: Iterable[Node | None]) -> bool:
    """Whether a node was computed from a leaf, or from a node that was freed."""
    waiting = [node for node in nodes if node is not None]
    seen = set(waiting)
    for node in waiting:  # the list grows during the loop
        if node.primitive is None or node.args is None:
            return True
        for _, parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False


def _as_array(x: Any) -> Any:
    """An array, or a stand-in for one."""
    x = operand(x)
    return x if isinstance(x, np.ndarray) else np.asarray(x)
