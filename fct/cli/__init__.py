"""What a person types: the command `fct`."""

from fct.cli.main import main

__all__ = ["main"]
