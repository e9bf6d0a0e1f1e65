"""Check every operation of a recorded graph on its own, and name the one whose gradient is wrong.

``gradcheck`` says that the gradient of a whole function is wrong. :func:`check_graph` says which operation
is responsible: it replays each node on the recorded numbers, compares its rules with finite differences,
and distinguishes a wrong rule from a kink, where no derivative exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import GradcheckError, GradientError, UnsupportedError, pluralise
from ..graph import RECORDING, Node, _set, fit
from ..tensor import Tensor
from ..typing import NDArray
from .slopes import SMALL, Judgement, Slopes

__all__ = ["Finding", "GraphReport", "check_graph"]


@dataclass(frozen=True)
class Finding:
    """A finding about one input of one operation.

    Attributes
    ----------
    operation, argument : str
    element : tuple of int
        The worst element of the argument.
    result : tuple of int, or None
        The element of the result that was differentiated; ``None`` if the result has too many elements
        to check each of them, and a random combination was differentiated instead.
    by_rule, by_differences : float
        The derivative, computed in two ways.
    line, scope : str
        The line that called the operation, and its module.
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
    """The findings of :func:`check_graph` in a graph without a wrong rule.

    Attributes
    ----------
    operations, inputs : int
        The numbers of operations and inputs that were checked.
    worst : float
        The largest difference found, relative if the gradient is above 1.
    kinks : list of Finding
        Inputs on a kink, or within ``eps`` of one: the derivative from the left differs from the
        derivative from the right, and the rule returns something in between.
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
            f"{pluralise(self.operations, 'operation')}, {pluralise(self.inputs, 'input')}: all rules agree with "
            f"finite differences, the worst by {self.worst:.1e}"
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
        How near a kink must be to be listed; relative for numbers above 1. It is also the first step of
        the differences: where they disagree with a rule, shorter and longer steps are tried too, so that
        strong curvature and very large or small numbers do not count as mistakes.
    atol, rtol : float
        Tolerated difference: ``atol + rtol * abs(numerical)``; if all slopes of an argument are below
        1, ``atol`` is relative to the largest.
    seed : int
        Seed of the random weights that combine results with several elements.

    Returns
    -------
    GraphReport
        Print it. It lists the kinks, which are not mistakes.

    Raises
    ------
    GradcheckError
        Names each wrong operation, the line of your program that called it, its module, and the
        worst element; or the operation whose recorded value no longer follows from its inputs, because
        an array was changed in the meantime.
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
    if not isinstance(loss, Tensor):
        raise UnsupportedError(f"check_graph: expects a Tensor, such as a loss, got {type(loss).__name__}")
    if loss.node is None:
        raise GradientError("check_graph: this Tensor is untracked, so there is no graph to check")
    report, wrong = GraphReport(), []
    rng = np.random.default_rng(seed)
    with _set(RECORDING, False), np.errstate(all="ignore"):
        for node in _operations(loss.node):
            wrong += _check(node, report, rng, eps, atol, rtol)
    if wrong:
        raise GradcheckError(
            f"check_graph: {len(wrong)} wrong in {report.operations} operations\n  "
            + "\n  ".join(map(str, wrong))
        )
    return report


def _operations(root: Node) -> list[Node]:
    """All operations below, in the order in which they ran; a checkpoint is replaced by the operations inside it."""
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
            if node.primitive.inside is not None:
                waiting.extend(node.primitive.inside())
    checked = (node for node in found if node.primitive is not None and node.primitive.inside is None)
    return sorted(checked, key=lambda node: node.serial)


def _check(
    node: Node, report: GraphReport, rng: np.random.Generator, eps: float, atol: float, rtol: float
) -> list[Finding | str]:
    """Check one operation; return its mistakes, and note the rest in the report."""
    primitive = node.primitive
    assert primitive is not None, "leaves are not checked"
    report.operations += 1
    name, recorded = primitive.name, node.args or ()
    if not _are_alike(primitive.forward(*recorded, **node.kwargs), node.value):
        return [
            f"{name}: its inputs no longer give the recorded value; an array was changed, or it draws random "
            f"numbers{_place(node)}"
        ]
    args = [_precise(x) for x in recorded]
    y = primitive.forward(*args, **node.kwargs)
    if any(part.dtype.itemsize < 8 for part in _parts(y)):
        report.skipped.append(
            f"{name}: its result is {_parts(y)[0].dtype}, too coarse for finite differences"
        )
        return []
    g: Any = [np.where(np.isfinite(part), _random(part, rng), 0) for part in _parts(y)]
    g = tuple(g) if isinstance(y, tuple) else g[0]
    wrong: list[Finding | str] = []
    for position in sorted({position for position, _ in node.parents}):
        report.inputs += 1
        whose = primitive.argument(position)
        settings = {"is_elementwise": primitive.jvp == "elementwise", "eps": eps, "atol": atol, "rtol": rtol}
        try:
            tests = list(_tests(node, args, g, position, settings))
        except GradientError as refusal:
            report.skipped.append(f"{name}, argument {whose}: {refusal}")
            continue
        except Exception as error:
            wrong.append(f"{name}, argument {whose}: its rule fails: {error}{_place(node)}")
            continue
        for part, test in tests:
            called = f"{whose}{part}"
            wrong += _report(node, args, position, called, test.judge(rng), report)
            report.worst = max(report.worst, test.worst)
            if test.overlooked:
                report.skipped.append(
                    f"{name}, argument {called}: {test.overlooked} or more elements near kinks"
                )
    return wrong


def _tests(
    node: Node, args: list[Any], g: Any, position: int, settings: dict[str, Any]
) -> Iterator[tuple[str, Slopes]]:
    """List the parts of an argument to check: an array or several in a tuple, and their complex parts."""
    primitive, value = node.primitive, args[position]
    assert primitive is not None, "leaves are not checked"

    def results(x: Any) -> Sequence[NDArray]:
        return _parts(primitive.forward(*args[:position], x, *args[position + 1 :], **node.kwargs))

    def slope_of(x: Any) -> Any:
        moved = (*args[:position], x, *args[position + 1 :])
        given = map(_read_only, (g, primitive.forward(*moved, **node.kwargs), *moved))
        return fit(primitive.rules[position](*given, **node.kwargs), x)

    for i, x in enumerate(value if isinstance(value, tuple) else (value,)):

        def inside(x: NDArray, i: int = i) -> Any:
            return (*value[:i], x, *value[i + 1 :]) if isinstance(value, tuple) else x

        def results_of_one(x: NDArray, inside: Any = inside) -> Sequence[NDArray]:
            return results(inside(x))

        def slope_of_one(x: NDArray, inside: Any = inside, i: int = i) -> NDArray:
            slope = slope_of(inside(x))
            return np.asarray(slope[i] if isinstance(value, tuple) else slope)

        for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
            part = f"[{i}]" if isinstance(value, tuple) else ""
            yield part, Slopes(results_of_one, _parts(g), x, slope_of_one, unit=unit, **settings)


def _report(
    node: Node, args: list[Any], position: int, whose: str, judged: Iterable[Judgement], report: GraphReport
) -> list[Finding | str]:
    """Report the worst mistake among an argument's elements, the worst kink, and the unsettled elements."""
    worst: dict[str, Judgement] = {}
    for found in judged:
        if found.verdict not in worst or _error(found) > _error(worst[found.verdict]):
            worst[found.verdict] = found
    findings = {}
    for verdict, found in worst.items():
        entry = _worst_entry(node, args, position, found) or (None, found.by_rule, found.by_differences)
        result, by_rule, by_differences = entry
        line = str(node.line) if node.line is not None else ""
        operation = node.primitive.name if node.primitive is not None else ""
        findings[verdict] = Finding(
            operation, whose, found.element, result, by_rule, by_differences, line, node.scope
        )
    if "kink" in findings:
        report.kinks.append(findings["kink"])
    if "unsettled" in findings:
        report.skipped.append(f"finite differences do not converge: {findings['unsettled']}")
    return [findings["wrong"]] if "wrong" in findings else []


def _error(found: Judgement) -> float:
    return float(np.nan_to_num(abs(found.by_rule - found.by_differences), nan=np.inf))


def _worst_entry(
    node: Node, args: list[Any], position: int, found: Judgement
) -> tuple[tuple[int, ...], float, float] | None:
    """The element of the result with the worst slope with respect to one element of an argument, if there are few."""
    primitive, x = node.primitive, args[position]
    assert primitive is not None, "leaves are not checked"
    y = primitive.forward(*args, **node.kwargs)
    if any(isinstance(v, tuple) or v.dtype.kind == "c" for v in (x, y)) or np.size(y) > SMALL:
        return None

    def moved(by: float) -> NDArray:
        shifted = x.copy()
        shifted[found.element] += by
        return np.asarray(primitive.forward(*args[:position], shifted, *args[position + 1 :], **node.kwargs))

    entries = []
    try:
        column = (moved(found.step) - moved(-found.step)) / (2 * found.step)
        for k in (k for k in np.ndindex(np.shape(y)) if np.isfinite(y[k])):
            g = np.zeros_like(y)
            g[k] = 1
            slope = float(fit(primitive.rules[position](g, y, *args, **node.kwargs), x)[found.element])
            entries.append((abs(slope - column[k]), k, slope, float(column[k])))
    except (
        Exception
    ):  # the operation refuses the moved point, or its rule refuses the gradient of a single element
        return None
    if not entries:
        return None
    return max(entries, key=lambda entry: np.nan_to_num(entry[0], nan=np.inf, posinf=np.inf))[1:]


def _parts(y: Any) -> Sequence[NDArray]:
    return [np.asarray(part) for part in (y if isinstance(y, tuple) else (y,))]


def _precise(x: Any) -> Any:
    """The same numbers in double precision."""
    if isinstance(x, tuple):
        return tuple(map(_precise, x))
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return np.array(x, np.complex128 if kind == "c" else np.float64) if kind in ("f", "c") else x


def _read_only(x: Any) -> Any:
    """A read-only view for a rule, which must not write into its inputs."""
    if isinstance(x, tuple):
        return tuple(map(_read_only, x))
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def _random(like: NDArray, rng: np.random.Generator) -> NDArray:
    weights: NDArray = rng.uniform(0.9, 1.1, like.shape) * rng.choice([-1, 1], like.shape)
    return weights * np.exp(1j * rng.uniform(0, 6, like.shape)) if like.dtype.kind == "c" else weights


def _are_alike(y: Any, recorded: Any) -> bool:
    """Whether two results are the same except for the order of additions."""
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e3 * np.finfo(b.dtype).eps, atol=1e-30, equal_nan=True)
        for a, b in zip(_parts(y), _parts(recorded), strict=True)
        if b.dtype.kind in "fc"
    )


def _place(node: Node) -> str:
    text = f"\n    at {node.line}" if node.line is not None else ""
    return text + (f"\n    in the module {node.scope}" if node.scope else "")
