"""The command `fct`, also as `python -m fct`. If its packages are not installed, it says how to install them."""

from __future__ import annotations

from fct.core.errors import exit_on_error


def main() -> None:
    """Run the command."""
    with exit_on_error():
        from fct.cli import main as command
    command()


if __name__ == "__main__":
    main()
