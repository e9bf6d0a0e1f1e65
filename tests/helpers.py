"""What tests of several rooms use."""

from __future__ import annotations

import functools
import inspect
import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from surface.names import module_of

import tinygrad_mnist as tg
from tinygrad_mnist.primitive import Composite, Primitive, Sample, composites, primitives

Operation = Primitive | Composite

# Other test modules may have declared operations of their own by now.
OPERATIONS: list[Operation] = [
    p for p in (*primitives(), *composites()) if module_of(p).startswith("tinygrad_mnist.")
]


#: For tests of the operations that have samples: one for all that are declared in the same file.
for_each_room = pytest.mark.parametrize(
    "operations",
    [
        pytest.param(list(those), id=room.rpartition(".")[2])
        for room, those in itertools.groupby(
            sorted((p for p in OPERATIONS if p.samples), key=module_of), module_of
        )
    ],
)

#: For tests that check some cases by default, and all where these are wanted.
some_or_all = pytest.mark.parametrize(
    "are_all", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["some", "all"]
)


def check_cases(check: Callable[..., None], cases: Iterable[tuple[Any, ...]]) -> None:
    """Run a check on every case, given as its name and its arguments; name all that fail, each with its reason.

    A case that is skipped fails too: pytest would skip the others with it.

    A test for each of thousands of cases would take longer to collect and report than to run.
    """
    faults, count = [], 0
    for name, *args in cases:
        count += 1
        try:
            check(*args)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            lines = traceback.format_exception(error, limit=-3, chain=False)
            faults.append(f"{name}\n{''.join(lines)}")
    assert count, "there are no cases"
    if faults:
        pytest.fail(f"{len(faults)} of {count} cases\n\n" + "\n".join(faults), pytrace=False)


def for_each(
    names: str, cases: Iterable[Any], ids: Iterable[str] | Callable[[Any], Any] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make one test of a check of many cases, each of which takes less time than a test of its own would.

    To be used as ``pytest.mark.parametrize`` is, where a case needs no fixture of its own.
    """
    parameters = [name.strip() for name in names.split(",")]

    def say(value: Any) -> str:
        return str(ids(value) if callable(ids) else getattr(value, "__name__", repr(value)))

    def made(check: Callable[..., None]) -> Callable[..., None]:
        def test(**fixtures: Any) -> None:
            def checked(values: Any) -> None:
                check(**fixtures, **dict(zip(parameters, values, strict=True)))

            named = [
                case
                if isinstance(case, ParameterSet)
                else pytest.param(*(case if len(parameters) > 1 else [case]))
                for case in cases
            ]
            assert not any(case.marks for case in named), "a case has no marks of its own"
            texts = [case.id or ", ".join(map(say, case.values))[:200] for case in named]
            if ids is not None and not callable(ids):
                texts = list(ids)
            check_cases(checked, zip(texts, [case.values for case in named], strict=True))

        signature = inspect.signature(check)
        others = [p for p in signature.parameters.values() if p.name not in parameters]
        functools.update_wrapper(test, check)
        del test.__wrapped__
        test.__signature__ = signature.replace(parameters=others)
        return test

    return made


def outputs(y: Any) -> Iterator[Any]:
    """The results of an operation, one after the other."""
    if isinstance(y, (tuple, list)):
        for part in y:
            yield from outputs(part)
    else:
        yield y


def compute(p: Operation, sample: Sample, values: list) -> list[Any]:
    return list(outputs(p(*sample.arguments(*values), **sample.settings)))


def leaf(values: Any, dtype: Any = None) -> tg.Tensor:
    """A Tensor that a gradient arrives at."""
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def parts(y: Any) -> tuple[Any, ...]:
    """The results of a function that has one or several."""
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)


def one_or_all(found: list[Any]) -> Any:
    """What was found for each argument; of a single one, that."""
    return found[0] if len(found) == 1 else found


def gradient(f: Any, *values: Any) -> Any:
    """The gradients of the sum of all that ``f`` returns, one an argument; ``None`` where there is none."""
    leaves = [leaf(np.asarray(v, np.result_type(np.asarray(v), 0.0))) for v in values]
    total: Any = sum(np.sum(np.real(y)) for y in parts(f(*leaves)) if y.requires_grad)
    total.backward()
    return one_or_all([None if x.grad is None else x.grad.data for x in leaves])


def gradients(f: Any, *values: Any, seed: Any = None) -> Any:
    """The gradients as lists, one an argument, for a gradient of the result, or ones; ``None`` where there is none."""
    leaves = [leaf(np.asarray(v, np.result_type(np.asarray(v), np.float64))) for v in values]
    y = f(*leaves)
    y.backward(np.ones(y.shape) if seed is None else np.asarray(seed))
    return one_or_all([None if t.grad is None else t.grad.data.tolist() for t in leaves])


def is_refused_like_numpy(f: Any, *values: Any) -> None:
    """What NumPy refuses is refused with the same kind of error."""
    with pytest.raises(Exception) as numpys:  # noqa: PT011 - whatever NumPy raises
        f(*(np.array(v) for v in values))
    with pytest.raises(numpys.type):
        f(*(leaf(v) for v in values))
