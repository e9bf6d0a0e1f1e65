"""What a compiled function raises, and what it has changed until then: all that the uncompiled one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812


class Scales:
    """Something a function finds by its name, and writes into."""

    def __init__(self) -> None:
        self.seen = np.zeros(3)
        self.rng = np.random.default_rng(3)


def writes_then_picks(s: Scales, x: Any, i: Any) -> Any:
    x += 1
    s.seen *= 0.5
    s.seen += x
    y = x[i]
    x *= 2
    s.seen[:] = 7
    return y


def picks_before_it_writes(s: Scales, x: Any, i: Any) -> Any:
    y = x[i]
    x += 1
    s.seen += x
    return y


def draws_between(s: Scales, x: Any, i: Any) -> Any:
    x += s.rng.random(3)
    s.seen += x
    y = x[i] * s.rng.random()
    x += s.rng.random(3)
    return y


def raises_while_it_is_traced(s: Scales, x: Any, i: Any) -> Any:
    x += 1
    s.seen += s.rng.random(3)
    return x | i


def shapes_that_do_not_fit(s: Scales, x: Any, i: Any) -> Any:
    s.seen -= 1
    return F.linear(x, np.ones((2, 5)))


def a_class_out_of_range(s: Scales, x: Any, i: Any) -> Any:
    s.seen -= 1
    return F.cross_entropy(x.reshape(1, 3), i.reshape(1))


def draws_and_meets_a_class_out_of_range(s: Scales, x: Any, i: Any) -> Any:
    return F.cross_entropy((x * s.rng.random(3)).reshape(1, 3), i.reshape(1))


@pytest.mark.parametrize(
    "f",
    [
        writes_then_picks, picks_before_it_writes, draws_between, raises_while_it_is_traced, shapes_that_do_not_fit,
        a_class_out_of_range, draws_and_meets_a_class_out_of_range,
    ],
)  # fmt: skip
def test_after_an_error_everything_is_as_the_function_leaves_it(f: Any) -> None:
    found = []
    for change in (lambda g: g, tg.compile):
        s = Scales()
        g = change(lambda x, i: f(s, x, i))  # noqa: B023
        for index in (1, 9, 2):
            x, error = np.arange(3.0), None
            try:
                g(x, np.array(index))
            except Exception as raised:
                error = type(raised), str(raised)
            found.append((error, x.tolist(), s.seen.tolist(), s.rng.bit_generator.state))
    assert found[: len(found) // 2] == found[len(found) // 2 :]
    assert any(error is not None for error, *_ in found)


def test_after_an_error_in_a_training_step_nothing_was_updated_but_what_the_function_did() -> None:
    found = []
    for compiled in (False, True):
        w, seen = tg.tensor(np.ones((3, 3)), requires_grad=True), np.zeros(3)
        optimizer = tg.optim.SGD([w], lr=0.1)

        def loss(x: Any, y: Any) -> Any:
            seen.__iadd__(x[0])  # noqa: B023
            return F.cross_entropy(x @ w, y)  # noqa: B023

        step = tg.compile(loss, optimizer=optimizer)
        for label in (1, 9, 2):
            x, y, error = np.ones((1, 3)), np.array([label]), None
            try:
                if compiled:
                    step(x, y)
                else:
                    optimizer.zero_grad()
                    loss(x, y).backward()
                    optimizer.step()
            except ValueError as raised:
                error = type(raised), str(raised)
            found.append((error, w.data.round(12).tolist(), seen.tolist()))
    assert found[:3] == found[3:]
    assert found[1][0] is not None


@pytest.mark.parametrize("check", [False, True])
def test_an_error_of_the_program_alone_is_a_warning_and_the_right_result(check: bool) -> None:
    program = tg.compile(lambda i: np.bincount(i, minlength=2), check=check)
    program(np.array([0, 1]))
    with pytest.warns(UserWarning, match="ran uncompiled"):
        np.testing.assert_array_equal(program(np.array([0, 3])), [1, 0, 0, 1], strict=True)


def test_what_is_given_is_overwritten_in_place_where_nothing_raises_any_more() -> None:
    """Else the function could not begin anew; and else every step would copy its parameters."""
    seen = np.zeros(3)
    for f, is_in_place in (
        (lambda x: seen.__imul__(x), True),
        (lambda x: x[seen.__imul__(x).astype(int)], False),
    ):
        program = tg.compile(f)
        program(np.ones(3))
        assert ("multiply(seen, x, seen)" in program.source) is is_in_place, program.source


@pytest.mark.parametrize(
    "f",
    [lambda x, i: np.take(x, i), lambda x, i: np.take_along_axis(x, i, 0), lambda x, i: np.quantile(x, i)],
)
def test_indices_out_of_range_raise_though_nobody_needs_the_result(f: Any) -> None:
    def g(x: Any, i: Any) -> Any:
        f(x, i)
        return x

    program = tg.compile(g)
    program(np.ones(3), np.array([1]))
    with pytest.raises((IndexError, ValueError)):
        program(np.ones(3), np.array([5]))
