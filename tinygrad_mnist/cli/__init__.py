"""The command line: train a digit classifier, look at what it learned, ask it about pictures."""

from .commands import cli, main

__all__ = ["cli", "main"]
