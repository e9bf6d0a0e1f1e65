"""Common to the command line and all experiments: messages instead of tracebacks, and kinds of arguments."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import click
from click.core import ParameterSource

from ..errors import TinygradError, choice

__all__ = [
    "CompileOption",
    "Group",
    "Names",
    "Number",
    "RememberingCommand",
    "Sizes",
    "Terminated",
    "Whole",
    "command_line",
    "refuse_beside_resume",
    "report_error",
    "run_command",
]


class Terminated(KeyboardInterrupt):
    """The process got SIGTERM, which stops it as Ctrl-C does."""


def run_command(command: click.Command, name: str, args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; errors of the project become a message and exit status 1.

    Parameters
    ----------
    command : click.Command
        If it returns an int, that is the exit status.
    name : str
        The name of the program in messages.
    args : sequence of str, optional
        The default is the program's own arguments.
    """
    is_main = threading.current_thread() is threading.main_thread()
    must_hear = is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if must_hear:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        status = command.main(args, prog_name=name, standalone_mode=False)
    except BrokenPipeError:  # the reader of the pipe has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (or Python complains again at exit)
        sys.exit(1)
    except (
        click.ClickException,
        click.Abort,
        KeyboardInterrupt,
        TinygradError,
        OSError,
        MemoryError,
    ) as error:
        sys.exit(report_error(error))
    finally:
        if must_hear:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(status if isinstance(status, int) else 0)


def report_error(error: BaseException) -> int:
    """Say what happened, and return the exit status; an error that is nobody's mistake has a traceback."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):  # click makes an Abort of it
        click.echo("stopped", err=True)
        return 143 if isinstance(error.__cause__ or error, Terminated) else 130
    if isinstance(error, PermissionError) and error.filename is not None:
        click.echo(f"error: {_denied(Path(os.fsdecode(error.filename)))}", err=True)
    elif isinstance(error, (TinygradError, OSError)):
        click.echo(f"error: {error}", err=True)
    elif isinstance(error, MemoryError):
        click.echo("error: not enough memory; use smaller layers or batches", err=True)
    else:
        traceback.print_exception(error)
    return 1


def _denied(path: Path) -> str:
    """Say what may not be read, or where nothing may be written, and what to do."""
    folder = path.absolute().parent
    if os.path.lexists(path) or not os.access(folder, os.X_OK):
        return f"{path}: permission denied; change its permissions, or ask its owner to"
    return (
        f"{folder}: nothing may be written into this folder (permission denied); name another one with --out, "
        "or start in a folder of your own"
    )


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def refuse_beside_resume(*allowed: str) -> None:
    """Refuse all options that were given beside ``--resume``, but for some.

    Raises
    ------
    click.UsageError
        If there are others.
    """
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name not in ("resume", *allowed)
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--resume uses the settings of the stopped run; leave out {', '.join(given)}")


class Group(click.Group):
    """Commands, with a suggestion for an unknown name."""

    #: Other names of the commands.
    ALIASES: ClassVar = {"download": "fetch", "draw": "draw-graph", "test": "evaluate", "fit": "train"}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or suggest one with a similar name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            names = self.list_commands(ctx)
            alias = self.ALIASES.get(args[0])
            near = [alias] if alias in names else get_close_matches(args[0], names, n=1)
            if not near or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None


class RememberingCommand(click.Command):
    """A command that can say later how it was called; see :func:`command_line`."""

    #: What others call its options.
    ALIASES: ClassVar = {"--learning-rate": "--lr", "--layers": "--hidden", "--output": "--out"}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, before they are understood."""
        ctx.meta[__name__] = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            alias = self.ALIASES.get(error.option_name)
            if alias not in [name for option in self.params for name in option.opts]:
                raise
            raise click.UsageError(f"{error.message} Did you mean {alias!r}?", ctx) from None


def command_line(program: str) -> str:
    """Write the command that is running as one would type it: the program, and the arguments it was given."""
    return shlex.join([*program.split(), *click.get_current_context().meta[__name__]])


class Sizes(click.ParamType[tuple[int, ...]]):
    """Layer sizes, such as ``512,256``."""

    name = "sizes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Read numbers separated by commas; ``none`` means no layer at all."""
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
                f"{value!r} is not a list of layer sizes; write it like 128 or 512,256 (or none)", param, ctx
            )
        return sizes


class Names(click.ParamType[tuple[str, ...]]):
    """Some of several names, such as ``shift,rotate``."""

    name = "names"

    def __init__(self, valid: Iterable[str]) -> None:
        self.valid = tuple(valid)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Read names separated by commas; nothing, or ``none``, means none of them."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in value.split(",")) if value not in ("", "none") else ()
        for name in names:
            if name not in self.valid:
                self.fail(str(choice("name", name, self.valid)), param, ctx)
        return names


class Whole(click.IntRange):
    """An integer in a range."""

    name = "integer"


class Number(click.FloatRange):
    """A finite float in a range."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read a number, and refuse one that is not finite."""
        try:
            float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class CompileOption(click.Option):
    """``--compile [auto|numpy|numba]``; without a value, it is ``auto``, and ``--no-compile`` makes it False.

    Parameters
    ----------
    declarations : sequence of str
        The name, as for any option.
    backends : sequence of str
        The valid values; the first is the default.
    settings
        The settings of any option.
    """

    def __init__(self, declarations: Sequence[str], *, backends: Sequence[str], **settings: Any) -> None:
        super().__init__(
            declarations,
            type=_Backend([*backends, "no"]),
            is_flag=False,
            flag_value=backends[0],
            default=backends[0],
            show_default=True,
            help="Train with a compiled program, which is faster (see explain): numpy, or numba for machine code; auto "
            "uses machine code if the training is long enough to make up for the time it takes to compile. "
            "--no-compile turns this off.",
            **settings,
        )

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Make ``--no-compile`` another spelling of the option."""
        super().add_to_parser(parser, ctx)
        parser.add_option(self, ["--no-compile"], dest=self.name, action="store_const", const="no")


class _Backend(click.Choice[str]):
    """The name of a back end, or False for none."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return False if value is False or super().convert(value, param, ctx) == "no" else value
