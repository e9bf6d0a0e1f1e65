"""The scripts of the experiments, in the folder ``examples`` or, if installed, in the package."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, choice

__all__ = ["catalogue", "run_experiment"]

PACKAGE = Path(__file__).resolve().parents[1]


def catalogue() -> dict[str, tuple[Path, str]]:
    """Find every experiment: its script and the first line of its docstring, by name.

    Raises
    ------
    DataError
        If the scripts are missing from the installation.

    Examples
    --------
    >>> catalogue()["sigmoid_network"][0].name
    'sigmoid_network.py'
    """
    for folder in (PACKAGE / "examples", PACKAGE.parent / "examples"):
        scripts = {path.stem: path for path in sorted(folder.glob("*.py"))}
        texts = {name: path.read_text(encoding="utf-8") for name, path in scripts.items()}
        found = {
            name: (scripts[name], (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0])
            for name, text in texts.items()
            if "\n@experiment" in text
        }
        if found:
            return found
    raise DataError(
        f"the experiments are missing from this installation: no scripts in {PACKAGE / 'examples'}"
    )


def run_experiment(name: str, args: Sequence[str]) -> None:
    """Run an experiment like ``python examples/NAME.py ARGS``.

    Raises
    ------
    OptionError
        If there is no experiment with this name; the message lists the others.

    Examples
    --------
    >>> run_experiment("tinny", [])
    Traceback (most recent call last):
        ...
    tinygrad_mnist.errors.OptionError: unknown experiment 'tinny' (did you mean 'tiny'?); valid:
        adversarial_examples, autoencoder, char_rnn, convolution, curve_regression, elastic,
        fashion, five_experiments, full_batch, linked_layers, resnet, row_by_row, sigmoid_network,
        small_digits, speedrun, tiny, tiny_gpt, variational_autoencoder
    """
    experiments = catalogue()
    known = name.replace("-", "_")
    if known not in experiments:
        raise choice("experiment", name, experiments)
    path = experiments[known][0]
    before, sys.argv = sys.argv, [str(path), *args]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
