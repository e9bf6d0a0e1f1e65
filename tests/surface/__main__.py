"""The command ``python -m tests.surface``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from . import checks, edge_page, names, page, peers


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Write docs/numpy_functions.md and docs/edge_values.md.")
@click.option("--peers", "with_peers", is_flag=True, help="Compare with autograd and MyGrad (extra: bench).")
@click.option(
    "--checks", "with_checks", is_flag=True, help="Measure the error of every operation's gradients."
)
@click.option("--edges", "with_edges", is_flag=True, help="Print what other libraries answer at the edges.")
def main(write: bool, with_peers: bool, with_checks: bool, with_edges: bool) -> None:
    """Say what is covered of NumPy, and how exactly."""
    every = names.functions()
    for kind in (names.DIFFERENTIABLE, names.ZERO, names.PLAIN, names.NOT_COVERED):
        click.echo(f"{kind:16}{sum(f.kind == kind for f in every):5}")
    for title, found in {
        "neither covered nor listed with a reason": names.unaccounted(),
        "listed as not covered, but covered": names.listed_but_registered(),
        "registered, but NumPy never asks a Tensor": names.unreachable(),
        "methods of ndarray that are nowhere": names.missing_methods(),
    }.items():
        if found:
            click.echo(f"\n{title}: {', '.join(found)}")
    if write:
        record_answers()
        if len(peers.installed()) == len(peers.PEERS):
            write_json(peers.COUNTS, peers.record())
        for made in (page, edge_page):
            made.PAGE.write_text(made.page(), encoding="utf-8")
            click.echo(f"\nwritten: {made.PAGE}")
    reports = ((with_peers, peers.report), (with_checks, checks.report), (with_edges, edge_page.report))
    for wanted, report in reports:
        if wanted:
            click.echo()
            for line in report():
                click.echo(line)


def record_answers() -> None:
    """Write down what the installed libraries answer at the edges; of the others, what they answered before."""
    answers = edge_page.ask()
    if edge_page.ANSWERS.exists():
        before = json.loads(edge_page.ANSWERS.read_text(encoding="utf-8"))
        answers = {part: before[part] | answers[part] for part in answers}
    write_json(edge_page.ANSWERS, answers)


def write_json(path: Path, content: Any) -> None:
    """Write a file that a page is made of."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
