"""Trade time for memory: forget a function's intermediate results, and compute them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..errors import GradientError
from ..graph import (
    RECORDING,
    SCOPE,
    SERIALS,
    TRACING,
    WATCH,
    Node,
    _set,
    conjugate,
    is_recording,
    stale,
    sweep,
)
from ..primitive import Primitive, pack
from ..tensor import Tensor, _lift, part_of
from ..trees import leaves, tree_map
from ..typing import Array
from .call import add_seeds, find_older, is_tracked, named, parts_of, require_function
from .forward import variable

__all__ = ["checkpoint"]

Function = Callable[..., Any]


def checkpoint(f: Function) -> Function:
    """Make a function forget its intermediate results, and compute them again for the backward pass.

    A chain of such functions needs the memory of one of them, and takes about half as much time again. A
    compiled program is recorded as a whole and forgets nothing: inside it, the function runs unchanged.

    Parameters
    ----------
    f : callable
        It takes and returns arrays, Tensors, or trees of them. Tensors that it uses without taking them as
        arguments, such as a module's parameters, get their gradients too.

    Returns
    -------
    callable
        A function with the same results and gradients.

    Raises
    ------
    GradientError
        In the backward pass, if ``f`` computes something different the second time, because it draws
        random numbers or changes something.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> np.sum(checkpoint(lambda x: np.exp(np.sin(x)))(x)).backward()
    >>> x.grad.data.round(4)
    array([ 1.2534, -1.0331])
    """
    require_function("checkpoint", f)

    @wraps(f, updated=())
    def forgetful(*args: Any, **kwargs: Any) -> Any:
        watch = WATCH.get()
        if not is_recording() or (watch is not None and watch.keeps_graph):
            return f(*args, **kwargs)
        start, within, tracing = next(SERIALS), SCOPE.get(), TRACING.get()
        given = [x for x in leaves([args, kwargs]) if isinstance(x, Tensor) and x.node is not None]
        result = _call_again(f, args, kwargs, given, [x._array for x in given])
        outputs = _find_tracked(result)
        outside = find_older(outputs, start)
        if not outputs:
            return result

        values = tuple(y._array for y in outputs)
        primitive = Primitive(f, name="checkpoint", samples=(), arrays=("inputs",))
        nodes: list[Any] = [*(x._node for x in given), *outside]
        inputs = tuple(node.value for node in nodes)
        packed = Node(pack, inputs, inputs, {}, list(enumerate(nodes)), SCOPE.get())

        def run_again(variables: Sequence[Any]) -> list[Any]:
            with _set(RECORDING, True), _set(SCOPE, within), _set(TRACING, tracing):
                return _find_tracked(_call_again(f, args, kwargs, given, variables))

        def rule(g: Any, y: Any, inputs: Any) -> Any:
            for _, node in packed.parents:
                if node.serial > packed.serial:
                    raise stale(node, packed)
            variables = [variable(*parts_of(x)) for x in inputs[: len(given)]]
            again = run_again(variables)
            if not _same([y._array for y in again], values):
                raise GradientError(
                    f"checkpoint: {named(f)} computed something different the second time; a function that draws "
                    "random numbers (dropout), or changes its inputs, cannot be run again for its gradient"
                )
            nodes: list[Any] = [*(v._node for v in variables), *outside]
            seeds = add_seeds((y._node, conjugate(part)) for y, part in zip(again, g, strict=True))
            is_recorded = any(isinstance(part, Tensor) for part in g)
            found = sweep(seeds, targets=nodes, retain=is_recorded, lift=_lift if is_recorded else None)
            return tuple(
                conjugate(found[node]) if node in found else np.zeros_like(node.value) for node in nodes
            )

        primitive.vjp(rule)
        primitive.inside = lambda: [y._node for y in run_again(packed.value[: len(given)])]
        kept = _lift(Node(primitive, values, (inputs,), {}, ((0, packed),), SCOPE.get()))
        replacements = (part_of(y, given) for y in kept)
        return tree_map(lambda y: next(replacements) if is_tracked(y) else y, result)

    return forgetful


def _call_again(f: Function, args: Any, kwargs: Any, given: list[Tensor], values: Sequence[Any]) -> Any:
    """Run a function again, with variables of these values instead of the tracked Tensors it got."""
    variables = iter([x if isinstance(x, Tensor) else variable(x) for x in values])
    swapped = tree_map(lambda x: next(variables) if any(x is t for t in given) else x, [args, kwargs])
    return f(*swapped[0], **swapped[1])


def _find_tracked(tree: Any) -> list[Any]:
    """The tracked Tensors in a tree."""
    return [x for x in leaves(tree) if is_tracked(x)]


def _same(a: Sequence[Array], b: Sequence[Array]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y, equal_nan=x.dtype.kind in "fc") for x, y in zip(a, b, strict=True)
    )
