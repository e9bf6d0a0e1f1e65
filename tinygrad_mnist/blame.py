"""Check every operation of a recorded graph on its own, and name the one whose gradient is wrong.

``gradcheck`` says that the gradient of a whole function is wrong. :func:`check_graph` says whose fault
it is: it replays each node on the very numbers that were recorded, compares its rules with finite
differences, and tells a wrong rule from a kink, where no derivative exists that could be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import GradcheckError, GradientError
from .graph import RECORDING, Node, _set, fit
from .tensor import Tensor
from .typing import NDArray

__all__ = ["Finding", "GraphReport", "check_graph"]

# Arrays up to this size are checked element by element; of larger ones a random direction is checked
# in which all elements take part, and cut in halves until one of the wrong ones is found.
SMALL = 200


@dataclass(frozen=True)
class Finding:
    """Something about one input of one operation.

    Attributes
    ----------
    operation, argument : str
    element : tuple of int
        Which element of the argument: the worst.
    result : tuple of int, or None
        Which element of the result was differentiated by it; ``None`` where the result has too many to
        look at them one by one, and a random mixture was differentiated.
    by_rule, by_differences : float
        The derivative, in two ways.
    line, scope : str
        Where the operation was called, and in which module.
    """

    operation: str
    argument: str
    element: tuple[int, ...]
    result: tuple[int, ...] | None
    by_rule: float
    by_differences: float
    line: str
    scope: str

    def __str__(self) -> str:
        place = f" at {list(self.element)}" if self.element else ""
        of = " of a mixture of all results" if self.result is None else ""
        of = f" of the result at {list(self.result)}" if self.result else of
        text = f"{self.operation}, argument {self.argument}{place}: the slope{of}"
        text += f" is {self.by_rule:.6g} by its rule, {self.by_differences:.6g} by finite differences"
        text += f"\n    at {self.line}" if self.line else ""
        return text + (f"\n    in the module {self.scope}" if self.scope else "")


@dataclass
class GraphReport:
    """What :func:`check_graph` found in a graph without a wrong rule.

    Attributes
    ----------
    operations, inputs : int
        How many were checked.
    worst : float
        The largest difference found, relative where the gradient is above 1.
    kinks : list of Finding
        Inputs that lie on a kink, or within ``eps`` of one: the derivative from the left is not that
        from the right, and the rule returns something between.
    skipped : list of str
        Operations that cannot be checked, and why.
    """

    operations: int = 0
    inputs: int = 0
    worst: float = 0.0
    kinks: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.operations} operations, {self.inputs} inputs: all rules agree with finite differences, "
            f"the worst by {self.worst:.1e}"
        ]
        lines += [f"  kink: {kink}" for kink in self.kinks]
        lines += [f"  not checked: {text}" for text in self.skipped]
        return "\n".join(lines)


def check_graph(
    loss: Tensor, *, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-4, seed: int = 0
) -> GraphReport:
    """Compare the rules of every operation that led to ``loss`` with finite differences, in float64.

    Parameters
    ----------
    loss : Tensor
        Any recorded Tensor whose graph has not been freed: check it before ``backward()``.
    eps : float, default 1e-6
        Step of the differences.
    atol, rtol : float
        Tolerated difference: ``atol + rtol * abs(numerical)``.
    seed : int
        For the random weights with which results of several elements are combined.

    Returns
    -------
    GraphReport
        Print it. It lists the kinks, which are no mistakes.

    Raises
    ------
    GradcheckError
        Names each wrong operation, the line of your program that called it, its module, and the
        worst element; or the operation whose recorded value is no longer what its inputs give,
        because an array was changed in the meantime.
    GradientError
        If the graph was freed, or there is none.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([0.0, 1.0, 2.0], requires_grad=True)
    >>> report = check_graph(np.sum(tg.nn.functional.relu(x) * np.exp(x)))
    >>> report.operations, report.inputs, report.worst < 1e-8
    (4, 5, True)
    >>> kink = report.kinks[0]
    >>> kink.operation, kink.element, kink.line.split(": ")[-1]
    ('relu', (0,), 'report = check_graph(np.sum(tg.nn.functional.relu(x) * np.exp(x)))')
    """
    if loss.node is None:
        raise GradientError("check_graph: this Tensor is untracked, there is no graph to check")
    report, wrong = GraphReport(), []
    rng = np.random.default_rng(seed)
    with _set(RECORDING, False):
        for node in _operations(loss.node):
            wrong += _check(node, report, rng, eps, lambda n: atol + rtol * abs(n))
    if wrong:
        raise GradcheckError(
            f"check_graph: {len(wrong)} wrong in {report.operations} operations\n  "
            + "\n  ".join(map(str, wrong))
        )
    return report


def _operations(root: Node) -> list[Node]:
    """Every operation below, in the order in which they ran."""
    found: set[Node] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node not in found and node.primitive is not None:
            if node.args is None:
                raise GradientError(
                    f"check_graph: the graph through {node.primitive.name} was freed by backward(); check it before, "
                    "or call backward(retain_graph=True)"
                )
            found.add(node)
            waiting.extend(parent for _, parent in node.parents)
    return sorted(found, key=lambda node: node.serial)


def _check(
    node: Node, report: GraphReport, rng: np.random.Generator, eps: float, tolerance: Callable[[Any], float]
) -> list[Finding | str]:
    """Check one operation; return what is wrong with it, and note the rest in the report."""
    primitive = node.primitive
    assert primitive is not None, "leaves are not checked"
    report.operations += 1
    name, settings, recorded = primitive.name, node.kwargs, node.args or ()
    if not _alike(primitive.forward(*recorded, **settings), node.value):
        return [
            f"{name}: its inputs do not give the recorded value any more; an array was changed{_place(node)}"
        ]
    args = [_precise(x) for x in recorded]
    y = primitive.forward(*args, **settings)
    if any(part.dtype.itemsize < 8 for part in _parts(y)):
        report.skipped.append(f"{name}: its result is {_parts(y)[0].dtype}, too coarse for differences")
        return []
    weights = [_random(part, rng) for part in _parts(y)]
    g = tuple(weights) if isinstance(y, tuple) else weights[0]

    def combined(position: int, value: Any) -> float:
        moved = primitive.forward(*args[:position], value, *args[position + 1 :], **settings)
        return math.fsum(
            float(np.real(np.sum(w * part))) for w, part in zip(weights, _parts(moved), strict=True)
        )

    wrong: list[Finding | str] = []
    for position in {position for position, _ in node.parents}:
        report.inputs += 1
        slopes = fit(primitive.rules[position](g, y, *args, **settings), args[position])
        for part, (x, slope, function) in enumerate(_each_array(args[position], slopes, position, combined)):
            whose = primitive.argument(position) + (f"[{part}]" if isinstance(args[position], tuple) else "")
            test = _Input(function, x, np.asarray(slope), eps, tolerance, rng)
            report.worst = max(report.worst, test.worst)
            for verdict, element, by_rule, by_differences in test.findings():
                entry: tuple[tuple[int, ...] | None, float, float] = (None, by_rule, by_differences)
                if isinstance(y, np.ndarray) and y.size <= SMALL and "c" not in (y.dtype.kind + x.dtype.kind):
                    entry = _worst_entry(node, args, y, position, element, eps) or entry
                line = str(node.line) if node.line is not None else ""
                finding = Finding(name, whose, element, *entry, line, node.scope)
                (wrong if verdict == "wrong" else report.kinks).append(finding)
    return wrong


def _worst_entry(
    node: Node, args: list[Any], y: NDArray, position: int, element: tuple[int, ...], eps: float
) -> tuple[tuple[int, ...], float, float] | None:
    """The element of the result whose derivative by one element of an argument is the most wrong."""
    primitive, x = node.primitive, args[position]
    if primitive is None or not isinstance(x, np.ndarray):
        return None

    def moved(by: float) -> NDArray:
        shifted = x.copy()
        shifted[element] += by
        return np.asarray(primitive.forward(*args[:position], shifted, *args[position + 1 :], **node.kwargs))

    column = (moved(eps) - moved(-eps)) / (2 * eps)
    entries = []
    for k in np.ndindex(y.shape):
        g = np.zeros_like(y)
        g[k] = 1
        slope = fit(primitive.rules[position](g, y, *args, **node.kwargs), x)
        entries.append((abs(slope[element] - column[k]), k, float(slope[element]), float(column[k])))
    return max(entries, key=lambda entry: np.nan_to_num(entry[0], nan=np.inf))[1:]


class _Input:
    """One array that an operation depends on, and how well its slopes agree with differences."""

    def __init__(
        self,
        function: Callable[[NDArray], float],
        x: NDArray,
        slope: NDArray,
        eps: float,
        tolerance: Callable[[Any], float],
        rng: np.random.Generator,
    ) -> None:
        self.function, self.x, self.slope = function, x, slope
        self.eps, self.tolerance = eps, tolerance
        self.worst = 0.0
        units = range(x.size) if x.size <= SMALL else self._suspects(rng)
        self.suspects = [unit for unit in units if not self._agrees(self._unit(unit))]

    def findings(self) -> Iterator[tuple[str, tuple[int, ...], Any, Any]]:
        """The worst wrong element and the worst kink, if there are any."""
        judged = [(self._verdict(i), self._error(self._unit(i)), i) for i in self.suspects]
        for verdict in ("wrong", "kink"):
            of_this_kind = [(error, i) for v, error, i in judged if v == verdict]
            if of_this_kind:
                _, worst = max(of_this_kind, key=lambda pair: np.nan_to_num(pair[0], nan=np.inf))
                element = tuple(int(i) for i in np.unravel_index(worst, self.x.shape))
                direction = self._unit(worst)
                yield verdict, element, self._by_rule(direction), self._by_differences(direction, self.eps)

    def _suspects(self, rng: np.random.Generator) -> list[int]:
        """Look for one wrong element of a large array, by halving a direction that is wrong."""
        direction = _random(self.x, rng)
        if self._agrees(direction):
            return []
        indices = np.arange(self.x.size)
        while indices.size > 1:
            halves = np.array_split(indices, 2)
            errors = [self._error(self._only(direction, half)) for half in halves]
            indices = halves[int(np.argmax(np.nan_to_num(errors, nan=np.inf)))]
        return [int(indices[0])]

    def _only(self, direction: NDArray, indices: NDArray) -> NDArray:
        part = np.zeros_like(direction)
        part.flat[indices] = direction.flat[indices]
        return part

    def _unit(self, i: int) -> NDArray:
        unit = np.zeros_like(self.x)
        unit.flat[i] = 1
        return unit

    def _agrees(self, direction: NDArray) -> bool:
        error, n = self._error(direction), self._by_differences(direction, self.eps)
        agrees = bool(error <= self.tolerance(n))  # so that NaN does not
        if agrees:
            self.worst = max(self.worst, error / max(1.0, abs(n)))
        return agrees

    def _error(self, direction: NDArray) -> float:
        return abs(self._by_rule(direction) - self._by_differences(direction, self.eps))

    def _by_rule(self, direction: NDArray) -> float:
        return float(np.real(np.sum(self.slope * direction)))

    def _by_differences(self, direction: NDArray, eps: float) -> float:
        step = eps * direction
        return (self.function(self.x + step) - self.function(self.x - step)) / (2 * eps)

    def _verdict(self, i: int) -> str:
        """Tell a kink from a wrong rule.

        At a kink the slopes from both sides differ, however small the step, and a rule is as good as
        any whose slope lies between them. Beside one they differ only for steps that reach it.
        """
        unit, here, a = self._unit(i), self.function(self.x), self._by_rule(self._unit(i))

        def sides(eps: float) -> tuple[float, float]:
            right = (self.function(self.x + eps * unit) - here) / eps
            left = (here - self.function(self.x - eps * unit)) / eps
            return left, right

        wide, narrow = sides(self.eps), sides(self.eps / 16)
        tolerance = self.tolerance(max(map(abs, wide)))
        if not abs(wide[0] - wide[1]) > tolerance:
            return "wrong"
        if abs(narrow[0] - narrow[1]) > abs(wide[0] - wide[1]) / 4:
            return "kink" if min(wide) - tolerance <= a <= max(wide) + tolerance else "wrong"
        return "kink" if abs(sum(narrow) / 2 - a) <= 16 * self.tolerance(a) else "wrong"


def _each_array(
    value: Any, slopes: Any, position: int, combined: Callable[[int, Any], float]
) -> Iterator[tuple[NDArray, Any, Callable[[NDArray], float]]]:
    """The arrays in an argument, which may be a tuple of them, each with the function of it alone."""
    if not isinstance(value, tuple):
        yield np.asarray(value), slopes, lambda x: combined(position, x)
        return
    for i, part in enumerate(value):

        def function(x: NDArray, i: int = i) -> float:
            return combined(position, (*value[:i], x, *value[i + 1 :]))

        yield part, slopes[i], function


def _parts(y: Any) -> Sequence[NDArray]:
    return [np.asarray(part) for part in (y if isinstance(y, tuple) else (y,))]


def _precise(x: Any) -> Any:
    """The same numbers in double precision."""
    if isinstance(x, tuple):
        return tuple(map(_precise, x))
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return np.array(x, np.complex128 if kind == "c" else np.float64) if kind in ("f", "c") else x


def _random(like: NDArray, rng: np.random.Generator) -> NDArray:
    weights: NDArray = rng.uniform(0.9, 1.1, like.shape) * rng.choice([-1, 1], like.shape)
    return weights * np.exp(1j * rng.uniform(0, 6, like.shape)) if like.dtype.kind == "c" else weights


def _alike(y: Any, recorded: Any) -> bool:
    """Whether two results are the same but for the order of additions."""
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e3 * np.finfo(b.dtype).eps, atol=1e-30, equal_nan=True)
        for a, b in zip(_parts(y), _parts(recorded), strict=True)
        if b.dtype.kind in "fc"
    )


def _place(node: Node) -> str:
    text = f"\n    at {node.line}" if node.line is not None else ""
    return text + (f"\n    in the module {node.scope}" if node.scope else "")
