"""The command line: train a digit classifier, look at what it learned, let it read pictures."""

from .commands import cli, main

__all__ = ["cli", "main"]
