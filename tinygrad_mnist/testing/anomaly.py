"""Find the source of the first NaN or infinity, forward or backward, and name its usual cause.

Also find arrays that were overwritten after an operation had saved them: their gradients would be wrong.

>>> import numpy as np
>>> import tinygrad_mnist as tg
>>> x = tg.tensor([0.0, 4.0], requires_grad=True)
>>> with tg.detect_anomaly():
...     y = np.sum(np.where(x > 1, np.sqrt(x), 0.0))  # looks safe
...     y.backward()
Traceback (most recent call last):
    ...
tinygrad_mnist.errors.NonFiniteError: backward through sqrt: NaN in 1 of 2 elements of the ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any
from weakref import WeakKeyDictionary
from zlib import crc32

import numpy as np

from ..blocks import block
from ..errors import GradientError, NonFiniteError
from ..graph import DERIVING, WATCH, Node, Watch, _set
from ..tensor import Tensor
from ..trees import leaves
from ..typing import Array, NDArray

__all__ = ["detect_anomaly"]


@block
def detect_anomaly() -> Iterator[None]:
    """Stop at the first NaN or infinity that is computed from finite numbers, with an error that explains it.

    Within the block, every recorded operation is examined, and every gradient of a backward pass. An
    infinity that was passed in as a constant (a mask of ``-inf``) may propagate; a NaN may not. If the program
    overwrites an array after an operation has saved it, this is found when the backward pass uses the array.
    All values are read twice more than usual, which takes time: use it to find the mistake, then train
    without it.

    Raises
    ------
    GradientError
        Names the operation whose input was overwritten, and the line.
    NonFiniteError
        Names the operation, the line of your program, the module, the first bad element with the
        numbers it was computed from, and a rule of thumb.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> p = tg.tensor([0.5, 0.0], requires_grad=True)
    >>> with tg.detect_anomaly():
    ...     loss = -np.sum(np.log(p))
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.NonFiniteError: log: infinity in 1 of 2 elements of the result, the first at [1] ...
    """
    with _set(WATCH, _Watch()), np.errstate(all="ignore"):
        yield  # NumPy's warnings would explain less


class _Watch(Watch):
    """Examines everything that is computed, and raises an error for values that are not finite or were overwritten."""

    def __init__(self) -> None:
        self._saved: WeakKeyDictionary[Node, list[int]] = (
            WeakKeyDictionary()
        )  # checksums of each node's arrays

    def computed(self, node: Node) -> None:
        """Examine the result of an operation, and remember its inputs; a rule's result is, not the rule's steps."""
        if DERIVING.get():
            return
        self._saved[node] = [_checksum(x) for _, _, x in _held(node)]
        for value in _parts(node.value):
            kind = _badness(value)
            if kind == "NaN" or (kind and not self._was_passed_in(node, value)):
                raise NonFiniteError(self._explain_forward(node, value, kind))

    def arrived(self, node: Node, g: Array) -> None:
        """Examine a gradient before it is passed on, and the arrays that it will be multiplied by."""
        self._check_unchanged(node)
        for part in _parts(g):
            if kind := _badness(part):
                whose = f"the leaf {node.name}" if node.primitive is None else f"the result of {_name(node)}"
                raise NonFiniteError(
                    f"backward: {kind} in {_count(part, kind)} of the gradient that arrives at {whose.strip()}"
                    f"{_place(_first(part))}{_where(node)}\n{_rule_of_thumb(_ARRIVED)}"
                )

    def passed(self, node: Node, position: int, g: Array, contribution: Array) -> None:
        """Examine the contribution that a rule computed from an incoming gradient."""
        for part in _parts(contribution):
            if kind := _badness(part):
                raise NonFiniteError(self._explain_backward(node, position, g, part, kind))

    def pushed(self, node: Node, tangents: Sequence[tuple[int, Array]], change: Array) -> None:
        """Examine the change of a result in forward mode."""
        self._check_unchanged(node)
        for part in _parts(change):
            if kind := _badness(part):
                raise NonFiniteError(self._explain_push(node, tangents, part, kind))

    def _check_unchanged(self, node: Node) -> None:
        """Raise an error if a saved array was overwritten; parameters have a separate error."""
        if node not in self._saved or node.primitive is None:
            return
        own = {i for i, parent in node.parents if parent.is_leaf}
        is_linear = node.primitive.jvp == "linear" or node.primitive.name in ("add", "subtract")
        # strict=False, because a graph that was freed holds nothing.
        for (what, i, x), before in zip(_held(node), self._saved[node], strict=False):
            needs_values = not (is_linear and x.dtype.kind in "fc") if isinstance(x, np.ndarray) else False
            if needs_values and i not in own and _checksum(x) != before:
                raise GradientError(
                    f"backward through {_name(node)}: its {what}, an array of shape {x.shape}, was overwritten after "
                    "the operation had saved it, so the gradient would be wrong"
                    f"{_where(node)}\n{_rule_of_thumb(_OVERWRITTEN)}"
                )

    def _was_passed_in(self, node: Node, value: NDArray) -> bool:
        """Whether an infinity came in with an input, at the same place if places correspond."""
        inputs = [x for x in _arrays(node) if _badness(x)]
        if node.primitive is None or node.primitive.jvp != "elementwise":
            return bool(inputs)
        came_in = np.zeros(value.shape, bool)
        for x in inputs:
            came_in |= ~np.isfinite(x)
        return bool(np.all(came_in | np.isfinite(value)))

    def _explain_forward(self, node: Node, value: NDArray, kind: str) -> str:
        name = _name(node)
        place = _first(value)
        inputs = [f"{what} is {_at(x, place, value.shape)}" for what, x in _inputs(node)]
        lines = [f"{name}: {kind} in {_count(value, kind)} of the result{_place(place)}{_where(node)}"]
        lines += [f"  there {', '.join(inputs)}"] if inputs else []
        culprits = [what for what, x in _inputs(node) if _badness(x) == "NaN"]
        if culprits:
            lines.append(
                f"  {culprits[0]} already held NaN, which came from outside: look at your data and parameters"
            )
        elif kind == "NaN" and any(_badness(x) for _, x in _inputs(node)):
            lines.append(_rule_of_thumb(_INFINITIES))
        else:
            lines.append(_rule_of_thumb(_FORWARD.get(name, _TOO_LARGE)))
        return "\n".join(lines)

    def _explain_push(
        self, node: Node, tangents: Sequence[tuple[int, Array]], part: NDArray, kind: str
    ) -> str:
        name, place = _name(node), _first(part)
        told = [f"{what} is {_at(x, place, part.shape)}" for what, x in _inputs(node)]
        for position, tangent in tangents:
            whose = node.primitive.argument(position) if node.primitive is not None else ""
            told += [f"the change of {whose} is {_at(x, place, part.shape)}" for x in _parts(tangent)]
        lines = [
            f"forward through {name}: {kind} in {_count(part, kind)} of the change of its result"
            f"{_place(place)}{_where(node)}",
            f"  there {', '.join(told)}",
            _rule_of_thumb(_BACKWARD.get(name, _STEEP.format(name=name))),
        ]
        return "\n".join(lines)

    def _explain_backward(self, node: Node, position: int, g: Array, part: NDArray, kind: str) -> str:
        name = _name(node)
        place = _first(part)
        whose = node.primitive.argument(position) if node.primitive is not None else ""
        inputs = [f"{what} is {_at(x, place, part.shape)}" for what, x in _inputs(node)]
        arrived = _at(_parts(g)[0], place, part.shape)
        lines = [
            f"backward through {name}: {kind} in {_count(part, kind)} of the gradient of its input {whose}"
            f"{_place(place)}{_where(node)}",
            f"  there {', '.join(inputs)}, the incoming gradient is {arrived}",
        ]
        is_masked = kind == "NaN" and arrived in ("0", "-0")
        rule = _MASKED.format(name=name) if is_masked else _BACKWARD.get(name, _STEEP.format(name=name))
        return "\n".join([*lines, _rule_of_thumb(rule)])


def _checksum(x: Any) -> int:
    """A number that tells whether an array has changed."""
    return crc32(np.ascontiguousarray(x).data) if isinstance(x, np.ndarray) and x.size else 0


def _badness(x: Any) -> str:
    """Name the problem of an array: NaN, infinity, or nothing."""
    if not isinstance(x, (np.ndarray, np.generic, float, complex)) or np.isfinite(x).all():
        return ""
    return "NaN" if np.isnan(x).any() else "infinity"


def _parts(x: Any) -> list[NDArray]:
    """The arrays of one or several results, recorded or not."""
    return [
        part.data if isinstance(part, Tensor) else np.asarray(part)
        for part in (x if isinstance(x, tuple) else (x,))
    ]


def _name(node: Node) -> str:
    return node.primitive.name if node.primitive is not None else "leaf"


def _arrays(node: Node) -> list[Any]:
    """The input arrays of an operation."""
    return [x for arg in node.args or () for x in (arg if isinstance(arg, tuple) else (arg,))]


def _held(node: Node) -> Iterator[tuple[str, int | None, Any]]:
    """What an operation keeps for its rules: the name, the position of an input, and the value."""
    if node.args is None or node.primitive is None:
        return
    for i, arg in enumerate(node.args):
        yield from ((f"input {node.primitive.argument(i)}", i, x) for x in leaves(arg))
    for name, setting in node.kwargs.items():
        yield from ((f"setting {name}", None, x) for x in leaves(setting))


def _inputs(node: Node) -> list[tuple[str, Any]]:
    """The input numbers of an operation, with their names."""
    names = {position: parent.name for position, parent in node.parents if parent.name}
    found = []
    for i, x in enumerate(node.args or ()):
        if isinstance(x, (float, int)) or getattr(getattr(x, "dtype", None), "kind", "") in tuple("fc"):
            called = f"input {node.primitive.argument(i) if node.primitive is not None else i}"
            found.append((called + (f" ({names[i]})" if names.get(i, called) not in called else ""), x))
    return found


def _first(value: NDArray) -> list[int]:
    """Find the place of the first NaN, or else of the first infinity."""
    bad = np.isnan(value) if np.isnan(value).any() else ~np.isfinite(value)
    return [int(i) for i in np.unravel_index(np.argmax(bad), value.shape)]


def _count(value: NDArray, kind: str) -> str:
    bad = np.isnan(value) if kind == "NaN" else np.isinf(value)
    return f"{int(bad.sum())} of {value.size} elements"


def _place(place: list[int]) -> str:
    return f", the first at {place}" if place else ""


def _at(x: Any, place: list[int], shape: tuple[int, ...]) -> str:
    """Describe the element that belongs to a place of the result, or the range of all elements."""
    try:
        value = np.broadcast_to(x, shape)[tuple(place)]
        return f"{value:.6g}"
    except ValueError:
        finite = x[np.isfinite(x)]
        return f"between {finite.min():.3g} and {finite.max():.3g}" if finite.size else "nowhere finite"


def _where(node: Node) -> str:
    """The line and the module of an operation."""
    lines = [f"\n  at {node.line}"] if node.line is not None else []
    lines += [f"\n  in the module {node.scope}"] if node.scope else []
    return "".join(lines)


def _rule_of_thumb(text: str) -> str:
    return fill(
        f"rule of thumb: {text}", 100, initial_indent="  ", subsequent_indent="    ", break_long_words=False
    )


_LOGARITHM = (
    "the logarithm of 0 is -inf and of a negative number NaN. For probabilities take log_softmax or cross_entropy of "
    "the logits; elsewhere np.log(np.maximum(x, tiny))"
)
_EXPONENTIAL = (
    "exp overflows above 88 in float32 and above 709 in float64. Subtract the maximum first, or use logsumexp, "
    "softmax, log_softmax, sigmoid or softplus, which do that"
)
_DIVISION = "a division by 0. Guard the divisor: a / np.where(b == 0, 1, b), or add a small number to it"
_OUTSIDE = "the argument lies outside of [-1, 1], perhaps because of rounding: np.clip(x, -1, 1)"
_INFINITIES = (
    "infinity minus infinity, 0 times infinity and infinity over infinity have no value: look at where the infinity "
    "comes from, and keep it out with np.where"
)
_OVERWRITTEN = (
    "`array += ...`, `array[i] = ...` and out= change an array that the graph still refers to. Make a new array, as in "
    "array = array + ..., or pass a copy: w * array.copy()"
)
_ARRIVED = "it was passed to backward(), returned by a hook, or is the sum of gradients that are too large"
_TOO_LARGE = (
    "the numbers have grown too large. Lower the learning rate, clip gradients (optim.clip_grad_norm_), scale the "
    "inputs to about 1, and look at how the weights were initialised"
)

_FORWARD = {
    **dict.fromkeys(("log", "log2", "log10", "log1p", "logit"), _LOGARITHM),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh"), _EXPONENTIAL),
    **dict.fromkeys(("divide", "reciprocal", "remainder", "fmod"), _DIVISION),
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), _OUTSIDE),
    "sqrt": "the square root of a negative number, perhaps because of rounding: np.sqrt(np.maximum(x, 0))",
    "power": "a negative number has no fractional power, and 0 has no negative power: guard the base with np.maximum",
    "mean": "the mean of nothing: the array is empty along this axis",
    "var": "nothing left to average over: fewer elements than ddof + 1",
    "std": "nothing left to average over: fewer elements than ddof + 1",
    "astype": "the number does not fit into the other dtype; float16 ends at 65504",
}

_STEEP = (
    "the slope of {name} is infinite or undefined there. Keep the input away from that point, for instance by adding a "
    "small number before, not after"
)
_MASKED = (
    "a masked branch. Where its result is not used, the incoming gradient is 0, and 0 times the infinite slope of "
    "{name} is NaN. Guard the input, not the output: np.where(ok, {name}(np.where(ok, x, 1)), 0)"
)
_BACKWARD = {
    "sqrt": "the slope of a square root at 0 is infinite: np.sqrt(x + tiny), or np.linalg.norm, whose slope at 0 is 0",
    "divide": _DIVISION,
    "power": "the slope of a power below 1 is infinite at 0, and the logarithm of a negative base is NaN",
    **dict.fromkeys(("log", "log2", "log10", "log1p"), _LOGARITHM),
    **dict.fromkeys(("multiply", "matmul", "linear", "dot", "einsum", "square"), _TOO_LARGE),
}
