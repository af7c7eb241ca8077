"""Reads dvc.lock: the checksum and the size of every out, and of every dep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


@dataclass(frozen=True)
class Dep:
    """An input of a stage, as dvc.lock records it."""

    stage: str
    path: str
    md5: str  # that of a folder ends in .dir


def checksums(text: str, name: str) -> dict[str, str]:
    """Return DVC's MD5 of every out in the text of a dvc.lock, by path. It identifies a version of the data.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return {out["path"]: str(out.get("md5", "")) for _, out in _entries(text, name, "outs")}


def sizes(text: str, name: str) -> dict[str, int]:
    """Return the bytes of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return {out["path"]: out.get("size", 0) for _, out in _entries(text, name, "outs")}


def deps(text: str, name: str) -> list[Dep]:
    """Return every dep of every stage in the text of a dvc.lock.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return [Dep(stage, dep["path"], str(dep.get("md5", ""))) for stage, dep in _entries(text, name, "deps")]


def _entries(text: str, name: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the stage and the content of every entry of one kind."""
    try:
        stages: dict[str, Any] = (YAML(typ="safe").load(text) or {}).get("stages", {})
        return [(stage, entry) for stage, body in stages.items() for entry in body.get(kind, ()) if entry["path"]]
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise FctError(f"{name} is damaged ({type(error).__name__}). Run `dvc repro`.") from None
