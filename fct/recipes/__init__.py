"""Named configurations for whole needs: files beside this one, one of which params.yaml may select.

    title: what it is, in a line
    use: when to take it, and what it costs and buys, for a person
    params: {method: {...}, model: {...}, train: {...}}   what takes the place of params.yaml's own values

`fct recipe list` and `fct recipe show NAME` tell them; `recipe: NAME` in params.yaml selects one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section, Sections
from fct.core.paths import PARAMS

FOLDER = Path(__file__).parent
Name = Annotated[str | None, Field(min_length=1)]  # the value of `recipe` in params.yaml


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
        raise FctError(f"params.yaml: recipe: there is no recipe {name!r}. Known: {', '.join(names())}.")
    return params.read(Recipe, FOLDER / f"{name}.yaml")


def load(sections: type[Sections], path: Path = PARAMS) -> Sections:
    """Return sections of params.yaml, one field of which is `recipe`, with what the recipe names in their place.

    Errors as for `fct.core.params.load`.
    """
    chosen = params.value("recipe", path)
    return params.load(sections, path, instead=read(str(chosen)).params if chosen is not None else None)
