"""The command ``play``: a page to play with."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import require
from ..experiments.options import Whole
from ..training.runs import Run

__all__ = ["play"]


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open it in the browser.")
@click.option(
    "--port", type=Whole(0, 65535), default=0, help="Port of the page.  [default: one that is free]"
)
def play(run: Path | None, opens: bool, port: int) -> None:
    """Open a page to play with: train, wind back and compare.

    The page starts with the model of RUN, if you name one. The page is seen on this machine only, needs no network, and
    ends with Ctrl-C.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        require(module, extra="play", purpose="the page")
    from ..play.engine import Engine
    from ..play.rooms import ROOMS
    from ..play.server import serve

    runs = {} if run is None else {run.name or str(run): Run(run).folder}
    serve(Engine(ROOMS, runs), port=port, opens=opens)
