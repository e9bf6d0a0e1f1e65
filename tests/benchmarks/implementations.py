"""All implementations by their names in the tables, and which of them can run here."""

from __future__ import annotations

from collections.abc import Iterable

import click

from . import compilers, handwritten, ours, peers
from .workloads import Build

BASELINE = "hand-written"

BUILDS: dict[str, Build] = {BASELINE: handwritten.build, **ours.OURS, **peers.PEERS}
STARTS = {**ours.STARTS, **compilers.STARTS}  # those that can train on any batch


def why_missing(name: str) -> str | None:
    """Say what ``name`` needs that is not here, or return None."""
    if name == BASELINE:
        return None
    return ours.why_missing(name) if name in ours.OURS else compilers.why_missing(name)


def runnable(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return those of ``known`` (or of ``wanted``, if any) that can run here, and say what the others need."""
    wanted, names = set(wanted), []
    for name in known:
        if wanted and name not in wanted:
            continue
        if reason := why_missing(name):
            click.echo(f"missing   {name}: {reason}", err=True)
        else:
            names.append(name)
    return names
