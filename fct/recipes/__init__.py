"""Recipes: named configurations, each for one purpose. Each is a YAML file in this folder.

    title: what it is, in one line
    use: when to choose it, its cost and its benefit
    params: {method: {...}, model: {...}, train: {...}}   the values that `fct recipe apply` writes into params.yaml

Only the command `fct recipe` reads recipes. Stages read params.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fct.core import params
from fct.core.document import parse
from fct.core.errors import FctError
from fct.core.files import write_text
from fct.core.params import Section
from fct.core.paths import PARAMS
from fct.recipes.edit import edit_yaml, value_of

FOLDER = Path(__file__).parent


class Recipe(Section):
    """One recipe."""

    title: str
    use: str
    params: dict[str, dict[str, Any]]


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> Recipe:
    """Return the recipe `name`.

    Raises:
        FctError: there is no such recipe. The message lists all recipes.
    """
    if name not in names():
        raise FctError(f"There is no recipe {name!r}. Choose one of {', '.join(names())}.")
    return params.read(Recipe, FOLDER / f"{name}.yaml")


def apply(name: str, path: Path = PARAMS, *, dry_run: bool = False) -> dict[str, tuple[Any, Any]]:
    """Write a recipe's values into params.yaml. Its comments and other values stay.

    Args:
        name: the recipe's name.
        path: params.yaml.
        dry_run: do not write the file.

    Returns:
        The changes: old and new value by dotted key.

    Raises:
        FctError: there is no such recipe, or the file cannot be read or lacks a key. The file does not change.
    """
    return write(read(name).params, path, dry_run=dry_run)


def write(values: Mapping[str, Any], path: Path = PARAMS, *, dry_run: bool = False) -> dict[str, tuple[Any, Any]]:
    """Write values into params.yaml. Its comments and other values stay.

    Args:
        values: by key, dotted or nested.
        path: params.yaml.
        dry_run: do not write the file.

    Returns:
        The changes: old and new value by dotted key.

    Raises:
        FctError: the file cannot be read or lacks a key. It does not change.
    """
    document = parse(path)
    params.refuse_old_keys(document, path)
    path = path.resolve()  # write to the file, not over a link to it
    old_text, mode = path.read_bytes().decode(), path.stat().st_mode
    text = edit_yaml(old_text, values, name=path.name)
    changes = {key: (old, value) for key, value in _flatten(values) if (old := value_of(document, key)) != value}
    if changes and not dry_run:
        if not mode & 0o222:
            raise FctError(f"{path.name} is read-only. Make it writable, then try again.")
        write_text(path, text)
        path.chmod(mode)
    return changes


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
