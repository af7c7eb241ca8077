"""The interpreter and packages that a version was promoted with, and the differences from those of this process."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from fct.core.errors import DISTRIBUTION

PYTHON_TAG = "fct.python"  # such as 3.11.7
PACKAGES_TAG = "fct.packages"  # JSON: the installed version of each package that the pipeline requires, by its name
EXTRA = "pipeline"


def tags() -> dict[str, str]:
    """Return the tags of a version that name this process's interpreter and packages."""
    return {PYTHON_TAG: platform.python_version(), PACKAGES_TAG: json.dumps(_installed())}


def differences(made_with: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the differences between a version's toolchain and that of this process: by name, the version then and now.

    Args:
        made_with: Tags of the registered version. If the tags of `tags()` are missing, there are no known differences.
    """
    then = json.loads(made_with.get(PACKAGES_TAG, "{}"))
    now = {name: _version(name) for name in then}
    if PYTHON_TAG in made_with:
        then, now = {"Python": made_with[PYTHON_TAG], **then}, {"Python": platform.python_version(), **now}
    return {name: (then[name], now[name]) for name in then if then[name] != now[name]}


def _installed() -> dict[str, str]:
    return {name: found for name in _required() if (found := _version(name)) != "none"}


def _required() -> list[str]:
    """Return the packages that the library and the pipeline directly require, in alphabetical order."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from a folder, without an installation
        return []
    needed = (line for line in lines if "extra ==" not in line or re.search(rf"""extra == ['"]{EXTRA}['"]""", line))
    return sorted({re.split(r"[^\w.-]", line)[0].lower() for line in needed})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
