"""The command `fct`."""

from fct.cli.main import main

__all__ = ["main"]
