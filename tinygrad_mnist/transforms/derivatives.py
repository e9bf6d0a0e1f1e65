"""Derivatives of functions: a function of arrays goes in, another comes out.

>>> import numpy as np
>>> import tinygrad_mnist as tg
>>> f = lambda x: np.sum(np.sin(x) ** 2)
>>> tg.grad(f)(np.array([0.0, 1.0])).round(4)
array([0.    , 0.9093])

Arguments that are differentiated may be arrays, numbers, or lists, tuples and dicts of them. Given
arrays, the transforms return arrays. Given Tensors they return Tensors that are recorded, and so they
do inside each other: any transform can be applied to any other. What depends on tracked Tensors that the
function uses without taking them as arguments, such as a model's parameters, is recorded too, unless
within :func:`~tinygrad_mnist.no_grad`.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from ..errors import DTypeError, GradientError
from ..tensor import Tensor
from ..trees import rebuild, tree_map
from .call import Argnums, Function, Trace, described, fit_tree, named, value_of

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]


def grad(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """Differentiate a function whose result is one real number.

    Parameters
    ----------
    f : callable
        Takes arrays, and what else it likes; is called with Tensors for those it is differentiated by.
    argnums : int or sequence of int, default 0
        Which positional arguments to differentiate by.
    has_aux : bool, default False
        Whether ``f`` returns a pair, of which the second is passed on as it is.

    Returns
    -------
    callable
        Takes the arguments of ``f``; returns the gradient, of the form of the argument (a tuple of them
        if ``argnums`` is a sequence), or the pair ``(gradient, aux)``.

    Raises
    ------
    GradientError
        When the result is no single real number.
    DTypeError
        When an argument to differentiate by holds integers or anything else without a derivative.

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


def value_and_grad(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """Compute a function and its gradient together.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        Takes the arguments of ``f``; returns ``(value, gradient)``, or ``((value, aux), gradient)``.

    Examples
    --------
    >>> import numpy as np
    >>> value, slope = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), slope
    (5.0, array([2., 4.]))
    """

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
        Its arguments, all of which are differentiated by.
    has_aux : bool, default False
        As for :func:`grad`.

    Returns
    -------
    value, pull : the result of ``f``, and a callable
        ``pull(gradient)`` takes a tree of the form of the value, and returns a tuple of gradients, one
        for each argument. It may be called any number of times. With ``has_aux``, ``aux`` comes third.

    Examples
    --------
    >>> import numpy as np
    >>> y, pull = vjp(lambda x, w: x @ w, np.ones((2, 3)), np.ones(3))
    >>> y
    array([3., 3.])
    >>> [g.shape for g in pull(np.array([1.0, 0.0]))]
    [(2, 3), (3,)]
    """
    # The caller may change his arrays before he pulls.
    primals = tree_map(lambda x: x.copy() if isinstance(x, (np.ndarray, Tensor)) else x, primals)
    run = Trace(f, primals, {}, range(len(primals)), has_aux, is_kept=True)

    def pull(gradient: Any) -> Any:
        values = [value_of(y) for y in run.outputs]
        seeds = fit_tree(gradient, run.result, values, "pull: the gradient")
        return run.with_tensors(seeds).pull(seeds, retain=True)

    value = run.plain(run.result)
    return (value, pull, run.aux) if has_aux else (value, pull)


def jvp(f: Function, primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """Compute a function, and how its result changes when its arguments do.

    The function is run once, and the change is pushed forward through what it did, however many
    arguments there are. A network takes 2.5 evaluations, elementwise functions 3 to 4, some
    decompositions more (``tests/benchmarks/README.md``).

    Parameters
    ----------
    f : callable
    primals : tuple of arguments, or a single one
    tangents : of the form of ``primals``
        The direction in which the arguments change.
    has_aux : bool, default False
        As for :func:`grad`.

    Returns
    -------
    value, change : two trees of one form
        The result, and its derivative in the direction ``tangents``; ``aux`` comes third.

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
        Returns one real number.
    primals : tuple of arguments, or a single one
    tangents : of the form of ``primals``
        The vector.

    Returns
    -------
    The product, of the form of ``primals``.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))  # 6x
    array([ 6., 12.])
    """
    args = _arguments(primals)
    product = jvp(grad(f, range(len(args))), args, _arguments(tangents))[1]
    return product if isinstance(primals, tuple) else product[0]


def jacobian(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """Differentiate every element of a result by every element of the arguments.

    Rows are computed by pulling back where the result is the smaller side, columns by pushing forward
    where the argument is.

    Parameters
    ----------
    f : callable
        Of real arguments; the result may be complex, and of any form.
    argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        Takes the arguments of ``f``; returns a tree of the form of the result, each leaf replaced by a
        tree of the form of the arguments, of arrays of shape ``result.shape + argument.shape``.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @wraps(f, updated=())
    def every(*args: Any, **kwargs: Any) -> Any:
        run = Trace(f, args, kwargs, argnums, has_aux)
        if any(x.dtype.kind == "c" for x in run.values):
            raise DTypeError(
                "jacobian: of a function of complex numbers it is ambiguous; make it a function of the real and the "
                "imaginary part"
            )
        results = [value_of(y) for y in run.outputs]
        is_complex = any(y.dtype.kind == "c" for y in results)
        rows, columns = (sum(x.size for x in side) for side in (results, run.values))
        blocks = run.by_columns() if is_complex or columns < rows else run.by_rows()
        tree = rebuild(run.result, [run.like_arguments(row) for row in blocks])
        return (tree, run.aux) if has_aux else tree

    return every


def hessian(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """Differentiate a function twice by every pair of elements of its arguments.

    Parameters
    ----------
    f : callable
        Returns one real number.
    argnums, has_aux
        As for :func:`grad`.

    Returns
    -------
    callable
        Takes the arguments of ``f``; returns an array of shape ``x.shape + x.shape`` for an array ``x``,
        and for a tree of them the tree of such trees.

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
