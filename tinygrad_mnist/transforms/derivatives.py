"""Derivatives of functions: each takes a function of arrays and returns another one.

>>> import numpy as np
>>> import tinygrad_mnist as tg
>>> f = lambda x: np.sum(np.sin(x) ** 2)
>>> tg.grad(f)(np.array([0.0, 1.0])).round(4)
array([0.    , 0.9093])

Arguments to differentiate with respect to may be arrays, numbers, or lists, tuples and dicts of them.
Given arrays, the transforms return arrays. Given Tensors, they return Tensors that are recorded; the
same happens when they are nested, so any transform can be applied to any other. If the function uses
tracked Tensors that are not arguments, such as a model's parameters, results that depend on them are
recorded too, unless within :func:`~tinygrad_mnist.no_grad`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ..errors import DTypeError, GradientError
from ..tensor import Tensor
from ..trees import rebuild, tree_map
from .call import Argnums, Function, Trace, described, fit_tree, named, require_function, value_of

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

P = ParamSpec("P")
R = TypeVar("R")


def grad(f: Callable[P, Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[P, Any]:
    """Differentiate a function whose result is one real number.

    Parameters
    ----------
    f : callable
        It takes arrays and anything else; it is called with Tensors for the arguments to differentiate.
    argnums : int or sequence of int, default 0
        The positional arguments to differentiate with respect to.
    has_aux : bool, default False
        Whether ``f`` returns a pair whose second part is passed on unchanged.

    Returns
    -------
    callable
        It takes the arguments of ``f`` and returns the gradient, in the form of the argument (a tuple of
        gradients if ``argnums`` is a sequence), or the pair ``(gradient, aux)``.

    Raises
    ------
    GradientError
        If the result is not a single real number.
    DTypeError
        If an argument to differentiate with respect to holds integers or anything else without a derivative.

    Examples
    --------
    >>> import numpy as np
    >>> # The slope of a line's squared error, with respect to a dict of parameters
    >>> def error(p, x, y):
    ...     return np.mean((p["slope"] * x + p["offset"] - y) ** 2)
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> grad(error)({"slope": 1.0, "offset": 0.0}, x, 2 * x)
    {'slope': np.float64(-3.33), 'offset': np.float64(-2.0)}
    >>> # Derivatives of derivatives
    >>> float(grad(grad(lambda x: x**4))(2.0))
    48.0
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    @wraps(f, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, slopes = both(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return gradient


def value_and_grad(
    f: Callable[P, R], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[P, tuple[R, Any]]:
    """Compute a function and its gradient together.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        It takes the arguments of ``f`` and returns ``(value, gradient)``, or ``((value, aux), gradient)``.

    Examples
    --------
    >>> import numpy as np
    >>> value, slope = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), slope
    (5.0, array([2., 4.]))
    """
    require_function("grad", f, argnums)

    @wraps(f, updated=())
    def both(*args: Any, **kwargs: Any) -> Any:
        run = Trace(f, args, kwargs, argnums, has_aux)
        y = value_of(run.outputs[0]) if len(run.outputs) == 1 else None
        if y is None or y.size != 1 or y.dtype.kind not in "fiub":
            raise GradientError(
                f"grad: {named(f)} returned {described(run.result)}, and only one real number has a gradient; reduce "
                "it with np.sum or np.mean, or use jacobian or vjp"
            )
        value = run.plain(run.result)
        return (value, run.aux) if has_aux else value, run.pull([np.ones_like(y)])

    return both


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Compute a function, and a function that pulls gradients of its result back to its arguments.

    Parameters
    ----------
    f : callable
    *primals
        Its arguments, with respect to all of which it is differentiated.
    has_aux : bool, default False
        As for :func:`grad`.

    Returns
    -------
    value, pull : the result of ``f``, and a callable
        ``pull(gradient)`` takes a tree in the form of the value and returns a tuple of gradients, one
        for each argument. It can be called any number of times. With ``has_aux``, ``aux`` comes third.

    Examples
    --------
    >>> import numpy as np
    >>> y, pull = vjp(lambda x, w: x @ w, np.ones((2, 3)), np.ones(3))
    >>> y
    array([3., 3.])
    >>> [g.shape for g in pull(np.array([1.0, 0.0]))]
    [(2, 3), (3,)]
    """
    # The caller may change the arrays before calling pull.
    primals = tree_map(lambda x: x.copy() if isinstance(x, (np.ndarray, Tensor)) else x, primals)
    run = Trace(f, primals, {}, range(len(primals)), has_aux, is_kept=True)

    def pull(gradient: Any) -> Any:
        values = [value_of(y) for y in run.outputs]
        seeds = fit_tree(gradient, run.result, values, "pull: the gradient")
        return run.with_tensors(seeds).pull(seeds, retain=True)

    value = run.plain(run.result)
    return (value, pull, run.aux) if has_aux else (value, pull)


def jvp(f: Function, primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """Compute a function, and how its result changes when its arguments change.

    The function is run once, and the change is pushed forward through its operations, whatever the number
    of arguments. This takes as long as 2.5 evaluations for a network, 3 to 4 for elementwise functions, and
    more for some decompositions (``tests/benchmarks/README.md``).

    Parameters
    ----------
    f : callable
    primals : tuple of arguments, or a single one
    tangents : in the form of ``primals``
        The direction in which the arguments change.
    has_aux : bool, default False
        As for :func:`grad`.

    Returns
    -------
    value, change : two trees of the same form
        The result, and its derivative in the direction ``tangents``; with ``has_aux``, ``aux`` comes third.

    Examples
    --------
    >>> import numpy as np
    >>> value, change = jvp(np.sin, 0.0, 1.0)
    >>> float(value), float(change)
    (0.0, 1.0)
    """
    args, directions = _arguments(primals), _arguments(tangents)
    run = Trace(f, args, {}, range(len(args)), has_aux, also=directions)
    value, change = run.plain(run.result), run.push(directions)
    return (value, change, run.aux) if has_aux else (value, change)


def hvp(f: Function, primals: Any, tangents: Any) -> Any:
    """Multiply the Hessian of a function by a vector, without computing the Hessian.

    Parameters
    ----------
    f : callable
        A function that returns one real number.
    primals : tuple of arguments, or a single one
    tangents : in the form of ``primals``
        The vector.

    Returns
    -------
    The product, in the form of ``primals``.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))  # 6x
    array([ 6., 12.])
    """
    args = _arguments(primals)
    product = jvp(grad(f, range(len(args))), args, _arguments(tangents))[1]
    return product if isinstance(primals, tuple) else product[0]


def jacobian(f: Callable[P, Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[P, Any]:
    """Differentiate every element of a result with respect to every element of the arguments.

    If the result is smaller than the arguments, the Jacobian is computed row by row, by pulling back;
    otherwise column by column, by pushing forward.

    Parameters
    ----------
    f : callable
        A function of real arguments; the result may be complex, and have any form.
    argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        It takes the arguments of ``f`` and returns a tree in the form of the result. Each leaf is a tree in
        the form of the arguments, with arrays of shape ``result.shape + argument.shape``.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    require_function("jacobian", f, argnums)

    @wraps(f, updated=())
    def every(*args: Any, **kwargs: Any) -> Any:
        run = Trace(f, args, kwargs, argnums, has_aux)
        if any(x.dtype.kind == "c" for x in run.values):
            raise DTypeError(
                "jacobian: the Jacobian of a complex function is ambiguous; write it as a function of the real and the "
                "imaginary part"
            )
        results = [value_of(y) for y in run.outputs]
        is_complex = any(y.dtype.kind == "c" for y in results)
        rows, columns = (sum(x.size for x in side) for side in (results, run.values))
        blocks = run.by_columns() if is_complex or columns < rows else run.by_rows()
        tree = rebuild(run.result, [run.like_arguments(row) for row in blocks])
        return (tree, run.aux) if has_aux else tree

    return every


def hessian(f: Callable[P, Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[P, Any]:
    """Differentiate a function twice, with respect to every pair of elements of its arguments.

    Parameters
    ----------
    f : callable
        A function that returns one real number.
    argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        It takes the arguments of ``f``. For an array ``x``, it returns an array of shape
        ``x.shape + x.shape``; for a tree of arrays, a tree of such trees.

    Examples
    --------
    >>> import numpy as np
    >>> hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 2.0]))
    array([[0., 4.],
           [4., 2.]])
    """
    return jacobian(grad(f, argnums, has_aux=has_aux), argnums, has_aux=has_aux)


def _arguments(primals: Any) -> tuple[Any, ...]:
    return primals if isinstance(primals, tuple) else (primals,)
