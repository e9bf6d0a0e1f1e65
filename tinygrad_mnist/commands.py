"""What the command line and every experiment share: messages instead of tracebacks, and kinds of arguments."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from .errors import TinygradError

__all__ = ["CompileOption", "Number", "RememberingCommand", "Sizes", "command_line", "run_command"]


def run_command(command: click.Command, name: str, args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; errors of the project become a message and exit status 1.

    Parameters
    ----------
    command : click.Command
        If it returns an int, that is the exit status.
    name : str
        What messages call the program.
    args : sequence of str, optional
        By default those the program was started with.
    """
    try:
        status = command.main(args, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (or Python complains again at exit)
        sys.exit(1)
    except (TinygradError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except MemoryError:
        click.echo("error: that does not fit into memory; use smaller layers or batches", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


class RememberingCommand(click.Command):
    """A command that can say later how it was called; see :func:`command_line`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, before they are understood."""
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


def command_line(program: str) -> str:
    """Write the command that is running as one would type it: the program, and the arguments it was given."""
    return shlex.join([*program.split(), *click.get_current_context().meta[__name__]])


class Sizes(click.ParamType[tuple[int, ...]]):
    """Layer sizes, as in ``512,256``."""

    name = "sizes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Read numbers between commas; ``none`` is no layer at all."""
        if isinstance(value, tuple):
            return value
        if value in ("", "none", "0"):
            return ()
        try:
            sizes = tuple(int(part) for part in value.split(","))
        except ValueError:
            sizes = (0,)
        if min(sizes) < 1:
            self.fail(
                f"{value!r} is no list of layer sizes; write it as 128 or 512,256 (or none)", param, ctx
            )
        return sizes


class Number(click.FloatRange):
    """A float in a range; NaN and infinity are not."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read a number, and refuse one that is not finite."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class CompileOption(click.Option):
    """``--compile [auto|numpy|numba]``; without a value it is ``auto``, and ``--no-compile`` makes it False.

    Parameters
    ----------
    declarations : sequence of str
        As for any option: its name.
    backends : sequence of str
        What it may be; the first is taken where nothing is said.
    settings
        As for any option.
    """

    def __init__(self, declarations: Sequence[str], *, backends: Sequence[str], **settings: Any) -> None:
        super().__init__(
            declarations,
            type=_Backend([*backends, "no"]),
            is_flag=False,
            flag_value=backends[0],
            default=backends[0],
            show_default=True,
            help="Train by a compiled program (see explain), which is faster: of NumPy's calls, or machine code "
            "(numba); auto is machine code where the training is long enough to repay the seconds it takes to make. "
            "--no-compile is none.",
            **settings,
        )

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let ``--no-compile`` be another way to give it."""
        super().add_to_parser(parser, ctx)
        parser.add_option(self, ["--no-compile"], dest=self.name, action="store_const", const="no")


class _Backend(click.Choice[str]):
    """A back end by name, or False for none."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return False if value is False or super().convert(value, param, ctx) == "no" else value
