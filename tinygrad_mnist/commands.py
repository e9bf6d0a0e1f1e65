"""What the command line and every experiment share: messages instead of tracebacks, and kinds of arguments."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from .errors import TinygradError

__all__ = ["Number", "Sizes", "run_command"]


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
