"""Named configurations for whole needs: files beside this one.

    title: what it is, in a line
    use: when to take it, and what it costs and buys, for a person
    params: {method: {...}, model: {...}, train: {...}}   the values that `fct recipe apply` writes into params.yaml

Nothing reads a recipe but the command `fct recipe`: what a stage sees is params.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fct.core import params
from fct.core.edit import edit_yaml
from fct.core.errors import FctError
from fct.core.files import write_text
from fct.core.params import Section
from fct.core.paths import PARAMS

FOLDER = Path(__file__).parent


class Recipe(Section):
    """One file."""

    title: str
    use: str
    params: dict[str, dict[str, Any]]


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> Recipe:
    """Return the recipe `name`.

    Raises:
        FctError: there is none; it lists those there are.
    """
    if name not in names():
        raise FctError(f"there is no recipe {name!r}. Known: {', '.join(names())}.")
    return params.read(Recipe, FOLDER / f"{name}.yaml")


def apply(name: str, path: Path = PARAMS, *, dry_run: bool = False) -> dict[str, tuple[Any, Any]]:
    """Write a recipe's values into params.yaml, whose comments and other values stay.

    Args:
        name: of the recipe.
        path: of the file.
        dry_run: whether to leave the file as it is.

    Returns:
        By dotted key, the old and the new value of what the recipe changes.

    Raises:
        FctError: there is no such recipe, or the file cannot be read or lacks a key; the file is as it was.
    """
    recipe = read(name)
    before = params.parse(path)
    text = edit_yaml(path.read_text("utf-8"), recipe.params, name=str(path))
    changes = {key: (old, value) for key, value in _flat(recipe.params) if (old := _value(before, key)) != value}
    if changes and not dry_run:
        write_text(path, text)
    return changes


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _value(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document[part]
    return document
