"""The versions of the packages that decide a training's weights: `environment.yaml`, which dvc.yaml tracks as params.

    python -m fct.core.environment     # writes the versions that are installed; `make setup` and `make repro` do it

So another torch or numba makes the trainings stale.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from fct.core import params
from fct.core.errors import FctError
from fct.core.files import write_text
from fct.core.params import Section
from fct.core.paths import ENVIRONMENT

HEADING = "# Written by `python -m fct.core.environment`: packages that decide a training's weights, as installed.\n"


class Environment(Section):
    """What environment.yaml holds."""

    numba: str
    torch: str


def installed() -> Environment:
    """Return the releases that are installed, without importing the packages; builds of one release count as one."""
    return Environment.model_validate({name: version(name).partition("+")[0] for name in Environment.model_fields})


def write(path: Path = ENVIRONMENT) -> None:
    """Bring environment.yaml up to date; a file that is right already is left alone."""
    content = HEADING + params.to_yaml(installed().model_dump())
    if not path.is_file() or path.read_text() != content:
        write_text(path, content)


def check() -> None:
    """Refuse to train with other versions than environment.yaml names: dvc.lock would name the wrong ones.

    Raises:
        FctError: the file is missing, or names other versions.
    """
    written, here = params.read(Environment, ENVIRONMENT), installed()
    for name, told in written:
        if told != getattr(here, name):
            raise FctError(
                f"{ENVIRONMENT}: {name}: it says {told}, installed is {getattr(here, name)}. "
                "Write it anew with `python -m fct.core.environment`, then run `dvc repro`."
            )


if __name__ == "__main__":
    write()
