r"""The graph that an expression leaves behind, and the sweep that differentiates it.

A :class:`Node` is one recorded operation: which primitive ran, on which arrays, with what result.
:func:`sweep` walks the nodes backward from a result and applies each primitive's rules. It knows
nothing of Tensors. Given arrays, it computes with arrays. Given a ``lift`` that wraps values in
something that records, the same lines record the backward pass itself; gradients of gradients need
nothing else.

Every node carries a serial number, handed out in order of creation, and one invariant holds the
file together: **a node's parents are older than the node**. Visiting nodes from the youngest to the
oldest is therefore a topological order, found with a heap and without recursion. A parameter that is
overwritten gets a new serial, so a graph that saved its older value breaks the invariant and is
caught.

For complex values the gradient that users see is PyTorch's, :math:`\partial L/\partial a + i\,\partial L/\partial b`
for a real :math:`L` and :math:`z = a + ib`. The sweep passes on its conjugate, the plain derivative
:math:`\partial L/\partial z`, so the rules of calculus hold unchanged: ``g * b`` is the rule of a
product whether the numbers are real or complex.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from .blocks import Block, block
from .errors import GradientError, ShapeError
from .origins import Line, Origin, is_internal, line_of
from .quiet import let_vanish
from .sparse import SparseGradient
from .typing import Array

if TYPE_CHECKING:
    from .primitive import Primitive

__all__ = ["Node", "changed", "conjugate", "enable_grad", "fit", "is_recording", "no_grad", "scope", "sweep"]

# Context variables, not globals: a thread or an asyncio task that turns recording off
# does so only for itself.
RECORDING: ContextVar[bool] = ContextVar("recording", default=True)
WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)
# Whether a derivative is being computed in recorded steps. They are not steps of the user's program.
DERIVING: ContextVar[bool] = ContextVar("deriving", default=False)
# Whether a function that a transform differentiates is running.
TRACING: ContextVar[bool] = ContextVar("tracing", default=False)

# Whether forward mode is calling a rule to transpose it. The gradient that the rule gets then stands for
# any gradient, and no rule may make a decision based on its values.
TRANSPOSING: ContextVar[bool] = ContextVar("transposing", default=False)


class _Counts:
    """Numbers that tell compiled programs at every call, at little cost, that something may have changed.

    Attributes
    ----------
    changes : int
        A new number at every call of :func:`changed`. While it stays the same, nothing that is reported there has to
        be examined.
    writes : int
        Goes up whenever the memory of a Tensor is written in place, by an optimizer, a program or other code.
    """

    __slots__ = ("changes", "writes")

    def __init__(self) -> None:
        self.changes = self.writes = 0


COUNTS = _Counts()
_NUMBERS = itertools.count(1)


def changed() -> None:
    """Report a change that compiled programs must notice.

    That is an attribute of a module or of its class, or the memory, the place in the graph or the hooks of a leaf.
    Call it after the change was made. No number occurs twice, so a change is noticed even if other threads make
    changes at the same time.

    Examples
    --------
    >>> before = COUNTS.changes
    >>> changed()
    >>> COUNTS.changes == before
    False
    """
    COUNTS.changes = next(_NUMBERS)


# Called with every module that is called, before its forward code runs. If it returns a function, that function
# is called with the result of the module.
CALLED: ContextVar[Callable[[Any], Any] | None] = ContextVar("called", default=None)

# Where a node was recorded, as nested (outer scope, name, kind, origin, whether it is a layer of this
# package). It stays in this form while recording, and becomes text only when somebody reads it.
Scope = tuple["Scope", str, str, Origin | None, bool] | None
SCOPE: ContextVar[Scope] = ContextVar("scope", default=None)

SERIALS = itertools.count()


class Watch:
    """An observer that runs everything that is computed, forward and backward, and is told what came of it.

    Attributes
    ----------
    keeps_graph : bool
        Whether to keep everything that is recorded, so that a checkpoint forgets nothing.
    """

    keeps_graph = False

    def run(self, primitive: Primitive, args: Sequence[Any], settings: Any, rule: int | None = None) -> Any:
        """Run an operation, or one of its rules."""
        function = primitive.forward if rule is None else primitive.rules[rule]
        return function(*args, **settings)

    def computed(self, node: Node) -> None:
        """Observe an operation that was just recorded."""

    def arrived(self, node: Node, g: Array) -> None:
        """Observe the gradient of an operation's result, or of a leaf: the sum of all contributions."""

    def passed(self, node: Node, position: int, g: Array, contribution: Array) -> None:
        """Observe the contribution that a rule computed from an incoming gradient."""

    def pushed(self, node: Node, tangents: Sequence[tuple[int, Array]], change: Array) -> None:
        """Observe how the result of an operation changes when its inputs change."""

    def looked_at(self, node: Node) -> None:
        """Observe that the user's code reads the gradient of a leaf."""


class Node:
    """One recorded operation, or a leaf where gradients arrive.

    Attributes
    ----------
    primitive : Primitive or None
        The operation; ``None`` for a leaf.
    value : ndarray, or a tuple of ndarrays for an operation with several results
    args : tuple of ndarrays, or None
        The raw inputs, tracked or not. ``None`` once a backward pass has freed them.
    kwargs : mapping
        The settings of the call, with the defaults filled in.
    parents : sequence of (position, Node)
        The tracked inputs, with their places in ``args``.
    serial : int
        Larger than the serial of every parent.
    within : nested tuples, or None
        The module in which the operation ran; read it as :attr:`scope`.
    origin : code object and position in it, or None
        Where the user's program called the operation; ``None`` if a layer of this package called it,
        because its scope knows where the layer was called. Read it as :attr:`line`.
    name : str
        For a leaf, the name its owner gave it (``weight``), or ``""``.
    hooks : list of callables, or None
        Each returns the gradient that it was given, or another one in its place.
    retains : bool, or Node
        Whether an inner node keeps its gradient, as a leaf does. A Node if it took the place of that leaf in the user's
        Tensor, by a change in place.
    grad : Array or None
        The gradient accumulated here; a Tensor only if the sweep was recorded.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
    >>> node = np.exp(x).node
    >>> node.primitive, node.value.round(3), node.is_leaf
    (<primitive exp>, array([1.   , 2.718]), False)
    >>> node.parents[0][1] is x.node
    True
    """

    __slots__ = (
        "__weakref__", "args", "grad", "hooks", "kwargs", "name", "origin",
        "parents", "primitive", "retains", "serial", "value", "within",
    )  # fmt: skip

    def __init__(
        self,
        primitive: Primitive | None,
        value: Any,
        args: tuple[Any, ...] | None = (),
        kwargs: Mapping[str, Any] = {},
        parents: Sequence[tuple[int, Node]] = (),
        within: Scope = None,
        origin: Origin | None = None,
    ) -> None:
        self.primitive = primitive
        self.value = value
        self.args = args
        self.kwargs = kwargs
        self.parents = parents
        self.serial = next(SERIALS)
        self.within = within
        self.origin = origin
        self.name = ""
        self.hooks: list[Callable[[Array], Array]] | None = None
        self.retains: bool | Node = False
        self.grad: Array | None = None

    @property
    def scope(self) -> str:
        """The module in which the operation ran, as a path and a kind (``layers.0.Linear``), or ``""``."""
        return scope_text(self.within)

    @property
    def line(self) -> Line | None:
        """The line of the user's program that called the operation, or the layer it belongs to."""
        origin, within = self.origin, self.within
        while within is not None and (origin is None or is_internal(origin)):
            origin = within[3]
            within = within[0]
        return line_of(origin) if origin is not None else None

    @property
    def is_leaf(self) -> bool:
        """Whether no operation computed this node."""
        return self.primitive is None

    def touch(self) -> None:
        """Make this node younger than every graph that saved its value."""
        self.serial = next(SERIALS)

    def release(self) -> None:
        """Drop what the backward pass needed: the saved arrays and the links to the parents."""
        self.args = None
        self.parents = ()

    def __repr__(self) -> str:
        what = "leaf" if self.primitive is None else self.primitive.name
        return f"<Node {what} {self.name or self.scope}>".replace(" >", ">")


@let_vanish
def sweep(
    seeds: Mapping[Node, Array],
    *,
    targets: Collection[Node] | None = None,
    retain: bool = False,
    lift: Callable[[Node], Array] | None = None,
) -> dict[Node, Array]:
    """Propagate gradients from results back to the leaves, or to ``targets``.

    Parameters
    ----------
    seeds : mapping of Nodes to Arrays
        Where to start: each node with the gradient of the final result with respect to it, of the
        shape and dtype of its value.
    targets : collection of Nodes, optional
        The only nodes whose gradients are wanted, leaves or not. They count as independent: the
        sweep ends at them and skips all nodes that are older than all of them and so cannot depend
        on them.
    retain : bool
        Whether to keep the saved arrays for another sweep; by default each node drops its
        own as soon as they have been used.
    lift : callable, optional
        ``lift(node)`` returns a stand-in for ``node.value`` that records what is done to it. With
        a lift, the rules record themselves.

    Returns
    -------
    dict
        The gradient of each leaf reached and of each node that ``retains``; only of the targets, if given.

    Raises
    ------
    GradientError
        If the graph was already freed, or if it saved a value that has since been overwritten.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> sweep({y.node: np.array(1.0)})[x.node]  # what y.backward() adds to x.grad
    np.float64(6.0)
    """
    found: dict[Node, Array] = {}
    pending: dict[Node, Array] = {node: conjugate(seed) for node, seed in seeds.items()}
    youngest_first = [(-node.serial, node) for node in seeds]
    heapify(youngest_first)
    oldest = min((node.serial for node in targets), default=0) if targets is not None else 0
    watch = WATCH.get()
    while youngest_first:
        _, node = heappop(youngest_first)
        g = pending.pop(node)
        if node.hooks:
            g = _call_hooks(node.hooks, g)
        if watch is not None:
            watch.arrived(node, g)
        primitive, args = node.primitive, node.args
        is_wanted = primitive is None or node.retains if targets is None else node in targets
        if is_wanted:
            # A leaf's gradient already has its own memory here, unless it is the seed.
            is_own = lift is not None or (primitive is None and node not in seeds)
            found[node] = conjugate(g if is_own else g.copy())
            if targets is not None:
                continue
        if primitive is None:
            continue
        if args is None:
            raise _freed(primitive)
        y, kwargs, serial = node.value, node.kwargs, node.serial
        if lift is not None:
            y, args = lift(node), _lift_inputs(args, node.parents, lift)
        for position, parent in node.parents:
            if parent.serial > serial:
                raise stale(parent, node)
            if parent.serial < oldest:
                continue
            if watch is None:
                contribution = primitive.rules[position](g, y, *args, **kwargs)
            else:
                contribution = watch.run(primitive, (g, y, *args), kwargs, position)
            value = parent.value
            if (
                contribution.__class__ is not np.ndarray
                or contribution.shape != value.shape
                or contribution.dtype != value.dtype
            ):
                # Only what a leaf keeps may be sparse: rules, hooks and transforms compute with arrays.
                if contribution.__class__ is SparseGradient and (
                    parent.primitive is not None or targets is not None or parent.hooks or watch is not None
                ):
                    contribution = contribution.toarray()
                try:
                    contribution = fit(contribution, value)
                except ShapeError as error:
                    raise ShapeError(f"rule {position} of {primitive.name}: {error}") from None
            if watch is not None:
                watch.passed(node, position, g, contribution)
            if parent in pending:
                pending[parent] = _add(pending[parent], contribution)
            else:
                if parent.primitive is None and lift is None:
                    contribution = _own_memory(contribution, (g, y, *args))
                pending[parent] = contribution
                heappush(youngest_first, (-parent.serial, parent))
        if not retain:
            node.release()
    return found


def _call_hooks(hooks: Sequence[Callable[[Array], Array]], g: Array) -> Array:
    """Call hooks in turn, each with the gradient that the one before returned."""
    for hook in tuple(hooks):
        g = conjugate(hook(conjugate(g)))
    return g


def conjugate(x: Array) -> Array:
    """Return the complex conjugate; a real ``x`` is returned unchanged, at no cost.

    Examples
    --------
    >>> conjugate(np.array([1 + 2j, 3]))
    array([1.-2.j, 3.-0.j])
    """
    if x.__class__ is tuple:
        return tuple(map(conjugate, x))
    return np.conjugate(x) if x.dtype.kind == "c" else x


def fit(g: Array, like: Any) -> Array:
    """Give a gradient the shape and dtype of the value it belongs to.

    This is the one place that undoes broadcasting and dtype promotion, so that no rule needs to.
    Axes that broadcasting added or stretched are summed. A gradient that is smaller than its value,
    such as the rule of a sum returns, is broadcast.

    Parameters
    ----------
    g : Array
        The result of a rule.
    like : ndarray, or tuple of ndarrays
        The value of the input to which the gradient belongs.

    Examples
    --------
    >>> fit(np.ones((3, 2)), np.zeros((1, 2), np.float32))
    array([[3., 3.]], dtype=float32)
    """
    if g.__class__ is tuple:  # the gradients of an operation with several results
        return tuple(fit(part, value) for part, value in zip(g, like, strict=True))
    if not hasattr(g, "dtype"):  # a rule may return a Python number
        if g is None:
            raise ShapeError("it returned None; end it with `return`, or state None in its place")
        g = np.asarray(g, like.dtype) if like.__class__ is np.ndarray else np.full_like(like, g)
    if g.shape != like.shape:
        g = _undo_broadcasting(g, like.shape)
    if g.dtype != like.dtype:
        if g.dtype.kind == "c" and like.dtype.kind != "c":
            g = np.real(g)
        g = g.astype(like.dtype)
    return g


@block
def no_grad() -> Iterator[None]:
    """Compute without recording, within a ``with`` block or a decorated function, generator or coroutine.

    The setting belongs to the current thread or asyncio task. A decorated generator computes without
    recording; the code that takes values from it records as usual.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """
    with _set(RECORDING, False):
        yield


@block
def enable_grad() -> Iterator[None]:
    """Record again, inside a :func:`no_grad` block.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> with tg.no_grad(), tg.enable_grad():
    ...     tg.is_recording()
    True
    """
    with _set(RECORDING, True):
        yield


def is_recording() -> bool:
    """Whether operations on tracked Tensors are recorded at the moment.

    Examples
    --------
    >>> with no_grad():
    ...     is_recording()
    False
    >>> is_recording()
    True
    """
    return RECORDING.get()


@contextmanager
def deriving() -> Iterator[None]:
    """Record the steps in which a derivative is computed."""
    with _set(RECORDING, True), _set(DERIVING, True):
        yield


def scope(name: str) -> Block:
    """Label the operations recorded within the block.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> with tg.graph.scope("encoder"):
    ...     y = tg.tensor(2.0, requires_grad=True) * 3
    >>> y.node.scope
    'encoder'
    """
    return Block(lambda: _set(SCOPE, (SCOPE.get(), name, "", None, False)))


def scope_text(within: Scope) -> str:
    """Spell out a scope: the names from the outermost to the innermost, then the kind of the innermost."""
    parts = [within[2]] if within is not None else []
    while within is not None:
        parts.append(within[1])
        within = within[0]
    return ".".join(part for part in reversed(parts) if part)


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _undo_broadcasting(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum ``g`` over the axes in which ``shape`` was broadcast, then broadcast it over the missing ones."""
    extra = len(g.shape) - len(shape)
    added = tuple(range(extra))
    is_broadcast = extra >= 0
    stretched = tuple(i + extra for i, n in enumerate(shape) if is_broadcast and n == 1 != g.shape[i + extra])
    if added or stretched:
        settings: Any = {"axis": added + stretched, "keepdims": bool(stretched)}
        g = np.add.reduce(g, **settings)
        if added and stretched:
            g = np.reshape(g, g.shape[extra:])
    if g.shape != shape:
        if type(g) in _PLAIN and g.size == 1 and math.prod(shape) <= _SMALL:
            filled = np.empty(shape, g.dtype)
            filled[...] = g
            return filled
        try:
            g = np.broadcast_to(g, shape)
        except ValueError:
            raise ShapeError(
                f"a gradient of shape {g.shape} does not fit its input of shape {shape}"
            ) from None
    return g


# Up to this size, filling an array takes less time than a call of np.broadcast_to.
_SMALL = 8192
_PLAIN = (np.ndarray, np.float32, np.float64)


def _add(a: Array, b: Array) -> Array:
    """Add two contributions into new memory, because either may be shared with another node."""
    if a.__class__ is tuple:
        return tuple(_add(x, y) for x, y in zip(a, b, strict=True))
    return a + b


def _lift_inputs(
    args: tuple[Any, ...], parents: Sequence[tuple[int, Node]], lift: Callable[[Node], Array]
) -> tuple[Array, ...]:
    """Replace the tracked inputs among ``args`` with stand-ins that record."""
    lifted = list(args)
    for position, parent in parents:
        lifted[position] = lift(parent)
    return tuple(lifted)


def _own_memory(g: Array, others: tuple[Any, ...]) -> Array:
    """Return ``g`` in memory that nothing else refers to.

    A rule may return its incoming gradient, one of its inputs, or a view of either; those are
    copied. An array that it computed itself (possibly behind a transposing view) is not copied.
    """
    memory = g.base
    if memory is None:
        for other in others:
            if other is g:
                return g.copy()
        return g
    if memory.__class__ is not np.ndarray or memory.nbytes != g.nbytes:
        return g.copy()
    for other in others:
        if other is memory or getattr(other, "base", None) is memory:
            return g.copy()
    return g


def _freed(primitive: Primitive) -> GradientError:
    """Build the error for a graph that a backward pass has gone through before."""
    return GradientError(
        f"backward: the graph through {primitive.name} was freed by an earlier backward pass; "
        "compute the loss anew for each backward(), or pass retain_graph=True to the first one to run it twice"
    )


def stale(parent: Node, node: Node) -> GradientError:
    """Build the error for a leaf that was overwritten after a node saved its value."""
    name = f"parameter {parent.name!r}" if parent.name else f"a leaf of shape {parent.value.shape}"
    where = f" (in {node.scope})" if node.scope else ""
    saver = node.primitive.name if node.primitive else "a node"
    return GradientError(
        f"backward: {name} was changed in place after {saver}{where} saved its value, so the gradient would be "
        "wrong; compute the loss again after the update, or call backward() before it"
    )
