"""From the trace to the text: the passes in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .memory import plan
from .program import Op, Program
from .rewrite.algebra import SIMPLIFICATIONS
from .rewrite.blocks import in_blocks
from .rewrite.builder import rebuilt
from .rewrite.factors import scaled_early
from .rewrite.lowering import LOWERINGS, ordered
from .source.arena import share
from .source.driver import blockwise
from .source.text import Source, write

__all__ = ["FIRST", "LAST", "run_pass", "write_down"]

Pass = Callable[[Program], Program]

_simplified = partial(rebuilt, rules=SIMPLIFICATIONS)

#: The passes that improve a program for every back end.
FIRST: Sequence[Pass] = (_simplified, _simplified, scaled_early, _simplified)
#: The passes that choose NumPy's fastest calls and the best order.
LAST: Sequence[Pass] = (partial(rebuilt, rules=LOWERINGS), ordered)


def run_pass(pass_: Pass, program: Program) -> Program:
    """Turn a program into another one that computes the same."""
    return pass_(program)


def write_down(program: Program, arguments: list[Op]) -> Source:
    """Run all passes on a traced program, and write its text."""
    for pass_ in FIRST:
        program = run_pass(pass_, program)
    blocks = in_blocks(program, arguments)
    if blocks is None:
        return _placed(program, arguments)
    return blockwise(program, blocks, arguments, _placed)


def _placed(program: Program, arguments: list[Op], *names: str) -> Source:
    """Give the results of a program memory, and write its text."""
    for pass_ in LAST:
        program = run_pass(pass_, program)
    places = plan(program)
    share(program, places)
    return write(program, places, arguments, *names)
