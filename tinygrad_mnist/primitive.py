"""Differentiable operations: their definition, their registry, and inputs to test them on.

An operation is declared in one place, in plain NumPy: its value, then one rule per array argument
for the gradient. ::

    @primitive(np.logaddexp, samples=[((2, 3), (3,))])
    def logaddexp(a, b, /):
        \"\"\"``log(exp(a) + exp(b))`` without overflow, elementwise with broadcasting.\"\"\"
        return np.logaddexp(a, b)

    logaddexp.vjp(
        lambda g, y, a, b: g * np.exp(a - y),
        lambda g, y, a, b: g * np.exp(b - y),
    )

Positional-only parameters (before the ``/``, or ``*arrays``) are the arrays; all others are
settings. A rule gets the gradient ``g`` of the result, the result ``y``, and then exactly what the
operation got. It neither undoes broadcasting nor converts dtypes: the sweep does both. Complex
numbers need no special treatment if a function has a complex derivative: ``g`` is then the plain
derivative of the final result, unconjugated, so that the rule for real numbers holds.

A NumPy function that other operations can express needs no rules: :func:`implements` declares it by
its definition in terms of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .errors import GradientError, UnsupportedError, choice, pluralise
from .operands import as_array
from .typing import Array, NDArray

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "REGISTRY",
    "Composite",
    "Primitive",
    "Sample",
    "as_plain",
    "composites",
    "constant",
    "elementwise",
    "identity",
    "implements",
    "operation",
    "pack",
    "pick",
    "primitive",
    "primitives",
]

Rule = Callable[..., Array]

#: The implementation of each NumPy function for calls with a Tensor among the arguments.
REGISTRY: dict[Callable[..., Any], Callable[..., Any]] = {}

_ALL: dict[str, Primitive] = {}
_COMPOSITES: list[Composite] = []
_CONSTANTS: dict[str, Constant] = {}
_NO_SETTINGS: dict[str, Any] = {}
_STRUCTURES = ("", "elementwise", "linear", "multilinear", "reduction")


class Primitive:
    """A differentiable operation: call it with arrays or Tensors.

    Called with arrays, it computes with NumPy and nothing else; called with a Tensor anywhere among
    its array arguments, it is recorded. Make one with :func:`primitive`.

    Attributes
    ----------
    jvp : {"elementwise", "linear", "multilinear", "reduction", ""}
        The structure of its derivative, if known, for a fast forward mode; see
        :func:`primitive`.
    inside : callable, or None
        For an operation that was recorded as a whole (a checkpoint): records its contents again and
        returns the nodes of its results.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> exp = REGISTRY[np.exp]
    >>> exp, exp.jvp
    (<primitive exp>, 'elementwise')
    >>> exp(np.array([0.0, 1.0])).round(3)  # an array: nothing is recorded
    array([1.   , 2.718])
    >>> exp(tg.tensor(0.0, requires_grad=True)).node.primitive is exp
    True
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        *,
        name: str,
        samples: Sequence[Any],
        arrays: tuple[str, ...],
        optional: tuple[Any, ...] = (),
        variadic: bool = False,
        settings: dict[str, Any] | None = None,
        positional: Sequence[str] = (),
        jvp: str = "",
    ) -> None:
        if jvp not in _STRUCTURES:
            raise choice("structure of a derivative", jvp, _STRUCTURES)
        self.forward = forward
        self.jvp = jvp
        self.name = name
        self.__name__ = name
        self.__module__ = getattr(forward, "__module__", __name__)
        self.__doc__ = forward.__doc__
        self.__wrapped__ = forward
        self.samples = [s if isinstance(s, Sample) else Sample(*s) for s in samples]
        self.rules: Any = _Rules()
        self.pushes: Sequence[Rule] = ()
        self.inside: Callable[[], list[Any]] | None = None
        self.covers: list[Callable[..., Any]] = []
        self._arrays = arrays
        self._optional = optional
        self._variadic = variadic
        self._settings = settings or _NO_SETTINGS
        self._positional = positional
        self._required = [name for name, value in self._settings.items() if value is inspect.Parameter.empty]
        self._otherwise: Callable[..., Any] | None = None

    def otherwise(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Implement calls with NumPy's rarer arguments (``where=``, ``dtype=``); a decorator.

        The decorated function takes all of NumPy's arguments, and expresses such a call in terms of
        other operations and of this one without those arguments. Plain calls do not use it.
        """
        self._otherwise = Composite(function, [self], ())
        return function

    def vjp(self, *rules: Rule | None, each: Rule | None = None) -> Primitive:
        """State the gradient, one rule per array argument.

        Parameters
        ----------
        *rules : callable or None
            ``rule(g, y, *arrays, **settings)`` returns the vector-Jacobian product: the gradient of
            that argument, given the gradient ``g`` of the result. ``None`` marks an argument
            without a gradient, such as a mask or an index.
        each : callable
            For an operation on any number of arrays, one rule for all of them:
            ``each(position, g, y, *arrays, **settings)``.

        Returns
        -------
        Primitive
            This one, so that declarations chain.
        """
        if each is not None:
            self.rules = _Each(each)
        else:
            if len(rules) != len(self._arrays):
                raise UnsupportedError(
                    f"{self.name}.vjp: {pluralise(len(rules), 'rule')} for "
                    f"{pluralise(len(self._arrays), 'array argument')} ({', '.join(self._arrays)}); give "
                    "one each, None where there is no gradient"
                )
            self.rules = _Rules(enumerate(rules))
        return self

    def tangents(self, *rules: Rule) -> Primitive:
        """State how a change of each argument changes the result, if that saves time.

        Parameters
        ----------
        *rules : callable
            ``rule(v, y, *arrays, **settings)`` returns the change of the result for a change ``v`` of
            one argument; one for each rule of :meth:`vjp`.
        """
        self.pushes = rules
        return self

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort a call's arguments, however they were passed, into arrays and settings."""
        if not kwargs and len(args) == len(self._arrays) and self._settings is _NO_SETTINGS:
            return args, _NO_SETTINGS
        settings = dict(self._settings)
        if not self._variadic and len(args) > len(self._arrays):
            extra = args[len(self._arrays) :]
            args = args[: len(self._arrays)]
            settings.update(zip(self._positional, extra, strict=False))
            if not all(map(_is_default, extra[len(self._positional) :])):
                named = ", ".join([*self._arrays, *self._positional])
                raise UnsupportedError(
                    f"{self.name}: a Tensor version takes {named} by position; pass other settings by name"
                )
        if kwargs:
            by_name = []
            for name in self._arrays[len(args) :]:
                if name in kwargs:
                    args = (*args, kwargs[name])
                    by_name.append(name)
            for name, value in kwargs.items():
                if name in settings:
                    settings[name] = value if value is not np._NoValue else self._settings[name]
                elif name not in by_name and not _is_default(value):
                    raise _unsupported(self.name, name, value, [*self._arrays, *settings])
        missing = len(self._arrays) - len(args)
        if missing > 0:
            if missing > len(self._optional):
                raise TypeError(f"{self.name}: missing the argument {self._arrays[len(args)]!r}")
            args += self._optional[len(self._optional) - missing :]
        for name in self._required:
            if settings[name] is inspect.Parameter.empty:
                raise TypeError(f"{self.name}: missing the argument {name!r}")
        return args, settings

    @overload
    def __call__(self, *args: NDArray | float | None, **kwargs: Any) -> NDArray: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Tensor: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute with arrays, or record with Tensors."""
        try:
            args, settings = self.bind(args, kwargs)
        except UnsupportedError:
            if self._otherwise is None:
                raise
            return self._otherwise(*args, **kwargs)
        for arg in args:
            if hasattr(arg, "__primitive__"):  # a Tensor: it knows how to record
                return arg.__primitive__(self, args, settings)
        return self.forward(*map(as_array, args), **settings)

    def argument(self, position: int) -> str:
        """Name an array argument for messages: by its name, or its number among ``*arrays``."""
        return self._arrays[position] if position < len(self._arrays) else str(position)

    def missing_rule(self, position: int) -> GradientError:
        """Build the error for a tracked input that has no rule."""
        return GradientError(
            f"{self.name}: there is no gradient with respect to its argument {self.argument(position)!r}; "
            "pass a plain array or t.detach(), or state the rule with .vjp(...)"
        )

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


class Constant(Primitive):
    """A function that is locally constant, such as a comparison: no gradient passes through it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function, name=function.__name__, samples=(), arrays=(), variadic=True)
        self.rules, self.covers, _CONSTANTS[self.name] = None, [function], self

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Pass every argument on as it was given."""
        return args, kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; Tensors may come by name too."""
        by_name = {name: x for name, x in kwargs.items() if hasattr(x, "__primitive__")}
        if not by_name:
            return super().__call__(*args, **kwargs)
        kwargs.update((name, value.data) for name, value in by_name.items())
        return next(iter(by_name.values())).__primitive__(self, args, kwargs)


class _Rules(dict[int, Rule | None]):
    """Rules by position: ``None`` for the arrays of ``*arrays``, and where no rule was stated."""

    def __missing__(self, position: int) -> None:
        return None


class _Each:
    """Rules for any number of arguments, which differ only in the position."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __getitem__(self, position: int) -> Rule:
        return partial(self.rule, position)

    def __len__(self) -> int:
        return 1


class Composite:
    """A NumPy function expressed by other operations: the operations it calls are recorded, not the function itself.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> REGISTRY[np.ptp]
    <composite ptp>
    >>> y = np.ptp(tg.tensor([3.0, 1.0, 7.0], requires_grad=True))
    >>> y.item(), y.node.primitive
    (6.0, <primitive subtract>)
    """

    def __init__(
        self, function: Callable[..., Any], covers: Sequence[Callable[..., Any]], samples: Sequence[Any]
    ) -> None:
        wraps(function)(self)
        self.function = function
        self.name = covers[0].__name__
        self.covers = list(covers)
        self.samples = [s if isinstance(s, Sample) else Sample(*s) for s in samples]
        parameters = inspect.signature(function).parameters
        self._takes = dict(parameters)
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._out = list(parameters).index("out") if "out" in parameters else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; a keyword that the definition does not know is an error, unless it has its default value."""
        kwargs = {name: value for name, value in kwargs.items() if value is not np._NoValue}
        if self._out is not None and len(args) > self._out and args[self._out] is not None:
            raise UnsupportedError(f"{self.name}: pass out= by name, so that the gradient can follow")
        if not self._takes_any and not self._takes.keys() >= kwargs.keys():
            for name in [name for name in kwargs if name not in self._takes]:
                value = kwargs.pop(name)
                if not _is_default(value):
                    raise _unsupported(self.name, name, value, self._takes)
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<composite {self.name}>"


def primitive(
    *covers: Callable[..., Any], samples: Sequence[Any] = (), name: str | None = None, jvp: str = ""
) -> Callable[[Callable[..., Any]], Primitive]:
    """Declare a differentiable operation (a decorator).

    Parameters
    ----------
    *covers : NumPy functions
        The functions that this operation replaces when they are called on Tensors; none for an
        operation that NumPy lacks.
    samples : sequence of Sample, or of tuples of shapes
        Inputs from which the tests are generated.
    name : str, optional
        The default is the function's name.
    jvp : {"elementwise", "linear", "multilinear", "reduction"}, optional
        How tangents are pushed forward. ``"elementwise"``: each output element depends only on the
        elements at its own place, so the rules serve in both directions. ``"linear"``: linear in all
        arrays together, like joining; ``"multilinear"``: linear in each of them alone, like a product.
        ``"reduction"``: each input element goes into one output element only, along the settings
        ``axis`` and ``keepdims``. For other operations, use :meth:`Primitive.tangents` or nothing: the
        rules are then transposed, which is always right and costs more.

    Returns
    -------
    decorator
        Turns a function of arrays into a :class:`Primitive`; state its rules with ``.vjp(...)``.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> @tg.primitive(samples=[((3,),)])
    ... def swish(x, /):
    ...     return x / (1 + np.exp(-x))
    >>> swish.vjp(lambda g, y, x: g * (y + (1 - y) / (1 + np.exp(-x))))  # deliberately simple
    <primitive swish>
    >>> x = tg.tensor([0.0], requires_grad=True)
    >>> swish(x).backward()
    >>> x.grad
    tensor([0.5])
    """
    for cover in covers:
        if inspect.isfunction(cover) and not cover.__module__.startswith(("numpy", "scipy")):
            raise UnsupportedError(
                f"primitive: write @tg.primitive() with parentheses above {cover.__name__}; they may hold the NumPy "
                "functions that it replaces"
            )

    def declare(function: Callable[..., Any]) -> Primitive:
        parameters = inspect.signature(function).parameters.values()
        before_slash = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        after = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not before_slash and not variadic:
            raise UnsupportedError(
                f"primitive {function.__name__}: which arguments are arrays? Put them before a '/' in the "
                "signature, as in def f(x, /, axis=0)"
            )
        declared = Primitive(
            function,
            name=name or function.__name__,
            samples=samples,
            arrays=tuple(p.name for p in before_slash),
            optional=tuple(p.default for p in before_slash if p.default is not p.empty),
            variadic=variadic,
            settings={p.name: p.default for p in after},
            positional=[p.name for p in after if p.kind is p.POSITIONAL_OR_KEYWORD],
            jvp=jvp,
        )
        return _register(declared, covers)

    return declare


def elementwise(ufunc: np.ufunc, *, domain: tuple[float, float] = (-2.0, 2.0)) -> Primitive:
    """Declare an operation whose body is a NumPy ufunc; state its rules with ``.vjp(...)``.

    Parameters
    ----------
    ufunc : np.ufunc
        Of one or two arguments. If it takes complex numbers, it is tested on them too.
    domain : (float, float)
        The interval from which its random test inputs are drawn.

    Examples
    --------
    >>> from scipy import special
    >>> import tinygrad_mnist as tg
    >>> entr = elementwise(special.entr, domain=(0.1, 2.0)).vjp(lambda g, y, x: -g * (np.log(x) + 1))
    >>> tg.grad(special.entr)(1.0)
    np.float64(-1.0)
    >>> forgotten = _ALL.pop("entr"), REGISTRY.pop(special.entr)  # what a docstring declares should not stay
    """
    shapes = [((),), ((2, 3),)] if ufunc.nin == 1 else [((2, 3), (3,)), ((), (2, 1)), ((2, 1), (1, 3))]
    samples = [Sample(*s, domain=domain) for s in shapes]
    if any(types.startswith("D" * ufunc.nin + "->") for types in ufunc.types):
        samples.append(Sample(*shapes[1], domain=domain, complex=True))
    declared = Primitive(
        ufunc,
        name=ufunc.__name__,
        samples=samples,
        arrays=("x",) if ufunc.nin == 1 else ("a", "b"),
        jvp="elementwise",
    )
    return _register(declared, (ufunc,))


def constant(*functions: Callable[..., Any]) -> None:
    """List NumPy functions whose gradient is zero wherever it exists: their results are untracked.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> constant(np.rint)
    >>> np.rint(tg.tensor([0.4, 1.6], requires_grad=True)).requires_grad
    False
    """
    REGISTRY.update((function, Constant(function)) for function in functions)


def implements(
    *functions: Callable[..., Any], samples: Sequence[Any] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Implement NumPy functions for Tensors in terms of other operations (a decorator).

    The decorated function takes NumPy's own arguments, by NumPy's names. The operations it calls are
    recorded, not the function itself.

    Parameters
    ----------
    *functions : NumPy functions
        The functions it replaces.
    samples : sequence of Sample, or of tuples of shapes
        Inputs from which the tests are generated.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> ours = REGISTRY[np.ptp]
    >>> @implements(np.ptp)
    ... def range_of(a):
    ...     return np.max(a) - np.min(a)
    >>> y = np.ptp(tg.tensor([3.0, 1.0, 7.0], requires_grad=True))
    >>> y.item(), y.node.primitive
    (6.0, <primitive subtract>)
    >>> REGISTRY[np.ptp], forgotten = ours, _COMPOSITES.pop()  # as it was
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        declared = Composite(function, functions, samples)
        _COMPOSITES.append(declared)
        REGISTRY.update(dict.fromkeys(functions, declared))
        return function

    return register


def _is_default(value: Any) -> bool:
    """Whether passing this value is the same as passing nothing."""
    return value is None or value is np._NoValue


def _unsupported(function: str, name: str, value: Any, supported: Iterable[str]) -> UnsupportedError:
    what = f"{name}= (an array)" if hasattr(value, "shape") else f"{name}={value!r}"
    known = ", ".join(supported)
    return UnsupportedError(f"{function}: argument {what} is not supported on a Tensor; supported: {known}")


def as_plain(*functions: Callable[..., Any]) -> None:
    """List NumPy functions that ask about arrays: NumPy itself answers, and the answer is not a Tensor.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> as_plain(np.ndim)
    >>> np.ndim(tg.tensor([[1.0, 2.0]], requires_grad=True))
    2
    """

    def bare(x: Any) -> Any:
        return x.data if hasattr(x, "__primitive__") else x

    def plain(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **named: function(*map(bare, args), **{k: bare(x) for k, x in named.items()})

    REGISTRY.update((function, plain(function)) for function in functions)


def primitives() -> Iterable[Primitive]:
    """Every declared operation that has, or should have, a gradient, in order of declaration.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> [p for p in primitives() if np.matmul in p.covers]
    [<primitive matmul>]
    """
    return list(_ALL.values())


def operation(name: str) -> Primitive | None:
    """Find a declared operation by its name, or a locally constant function.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> operation("tanh"), operation("floor"), operation("no such operation")
    (<primitive tanh>, <primitive floor>, None)
    """
    return _ALL.get(name) or _CONSTANTS.get(name)


def composites() -> Iterable[Composite]:
    """Every NumPy function that is expressed by others, in order of declaration.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> [c for c in composites() if np.ptp in c.covers]
    [<composite ptp>]
    """
    return list(_COMPOSITES)


def _register(declared: Primitive, covers: Sequence[Callable[..., Any]]) -> Primitive:
    _ALL[declared.name] = declared
    for function in covers:
        REGISTRY[function] = declared
        declared.covers.append(function)
    return declared


class Sample:
    """Inputs on which an operation is tested.

    Parameters
    ----------
    *arrays : tuple of int, ndarray, or anything else
        For each array argument: the shape of random floats, or the array itself (an index, a mask),
        or any other value to pass (``None`` for an optional array that is left out).
    domain : (float, float)
        The interval from which random values are drawn.
    complex : bool
        Whether the random values are complex: the real and the imaginary part are both drawn from the domain.
    prepare : callable, optional
        Turns the arrays drawn into the operation's positional arguments (a tuple): for example a list
        of them, or the symmetric matrix that a decomposition needs. It is called with Tensors too.
    **settings
        Passed to the operation by name.

    Examples
    --------
    >>> sample = Sample((2, 2), np.array([1, 0]), domain=(0.5, 1.5), axis=0)
    >>> sample
    (2, 2) int64(2,) axis=0
    >>> drawn, index = sample.draw(seed=1)
    >>> drawn.shape, index, bool(0.5 < drawn.min() < drawn.max() < 1.5)
    ((2, 2), array([1, 0]), True)
    """

    def __init__(
        self,
        *arrays: Any,
        domain: tuple[float, float] = (-2.0, 2.0),
        complex: bool = False,
        prepare: Callable[..., tuple[Any, ...]] | None = None,
        **settings: Any,
    ) -> None:
        self.arrays = arrays
        self.domain = domain
        self.complex = complex
        self.prepare = prepare
        self.settings = settings

    def draw(self, seed: int = 0, dtype: Any = np.float64) -> list[Any]:
        """Make the inputs: the same for the same seed, with the values of each array well apart.

        The gaps keep finite differences away from ties, where a maximum has no derivative.

        Parameters
        ----------
        seed : int
        dtype : dtype
            A real dtype; complex samples have the complex dtype of the same precision.
        """
        rng = np.random.default_rng(seed)
        kind = np.result_type(dtype, np.complex64) if self.complex else dtype

        def random(shape: tuple[int, ...]) -> NDArray:
            values: NDArray = np.empty(shape, kind)
            values.real = self._draw_apart(shape, rng)
            if self.complex:
                values.imag = self._draw_apart(shape, rng)
            return values

        return [random(spec) if isinstance(spec, tuple) else spec for spec in self.arrays]

    def _draw_apart(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        size = int(np.prod(shape, dtype=int))
        low, high = self.domain
        places = (rng.permutation(size) + rng.uniform(0.3, 0.7, size)) / max(size, 1)
        return (low + (high - low) * places).reshape(shape)

    def arguments(self, *arrays: Any) -> tuple[Any, ...]:
        """Return the operation's positional arguments, made from the arrays drawn or from Tensors instead."""
        return arrays if self.prepare is None else self.prepare(*arrays)

    def __repr__(self) -> str:
        shapes = [f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else str(a) for a in self.arrays]
        shapes += ["complex"] if self.complex else []
        return " ".join(shapes + [f"{name}={_short(value)}" for name, value in self.settings.items()])


def _short(value: Any) -> str:
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else str(value)


@primitive(samples=[((2, 3),)], jvp="linear")
def identity(x: Array, /) -> Array:
    """``x`` itself, as a new node of the graph.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> y = identity(x)
    >>> y.item(), y.node is x.node
    (2.0, False)
    """
    return x


identity.vjp(lambda g, y, x: g)


@primitive(samples=[((2,), ())], jvp="linear")
def pack(*arrays: Array) -> tuple[Array, ...]:
    """Several arrays as the single result of one operation.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> first, second = pack(x, x * x)
    >>> first.node.parents == second.node.parents  # both are picked from one operation
    True
    """
    return arrays


pack.vjp(each=lambda i, g, y, *arrays: g[i])


@primitive(name="pick", jvp="linear")
def pick(results: Any, /, index: int) -> Any:
    """One result of an operation that has several (``split``, ``svd``).

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> u, s, vt = np.linalg.svd(tg.tensor([[3.0, 0.0], [0.0, 2.0]], requires_grad=True))
    >>> s.node.primitive is pick, s.node.kwargs
    (True, {'index': 1})
    """
    return results[index]


pick.vjp(
    lambda g, y, results, index: tuple(
        g if i == index else np.zeros_like(part) for i, part in enumerate(results)
    )
)
