"""The versions of the packages that decide a training's weights: `environment.yaml`, which dvc.yaml tracks as params.

    python -m fct.core.environment     # writes the installed versions; `make setup` and `make repro` run it

Therefore another version of torch or numba makes the trainings stale.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from fct.core import params
from fct.core.errors import FctError, exit_on_error
from fct.core.files import write_bytes
from fct.core.params import Section
from fct.core.paths import ENVIRONMENT

HEADING = "# Written by `python -m fct.core.environment`: packages that decide a training's weights, as installed.\n"

REMEDY = "Write the file with `python -m fct.core.environment`, then run `dvc repro`."


class Environment(Section):
    """The content of environment.yaml."""

    numba: str
    torch: str


def installed() -> Environment:
    """Return the installed releases, without importing the packages; all builds of a release count as one."""
    return Environment.model_validate({name: version(name).partition("+")[0] for name in Environment.model_fields})


def write(path: Path = ENVIRONMENT) -> None:
    """Write the installed releases to environment.yaml, unless it has them already."""
    content = (HEADING + params.to_yaml(installed().model_dump())).encode()
    if path.is_dir():
        raise FctError(f"{path} is a folder. Remove it.")
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def check() -> None:
    """Check that the installed versions are those of environment.yaml. Otherwise dvc.lock would have the wrong ones.

    Raises:
        FctError: the file is missing, or has other versions.
    """
    try:
        expected, actual = params.read(Environment, ENVIRONMENT), installed()
    except FctError as error:
        raise FctError(f"{error}\n       {REMEDY}") from None
    for name, version_in_file in expected:
        if version_in_file != getattr(actual, name):
            raise FctError(
                f"{ENVIRONMENT}: {name} is {version_in_file}, but {getattr(actual, name)} is installed. {REMEDY}"
            )


if __name__ == "__main__":
    with exit_on_error():
        write()
