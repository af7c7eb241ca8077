"""Reads dvc.lock: the checksum of every out, which identifies a version of the data, and of every dep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


@dataclass(frozen=True)
class Dep:
    """What a stage read, as dvc.lock has it."""

    stage: str
    path: str
    md5: str  # of a folder it ends in .dir


def checksums(text: str, name: str) -> dict[str, str]:
    """Return DVC's MD5 of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return {path: md5 for _, path, md5 in _entries(text, name, "outs")}


def deps(text: str, name: str) -> list[Dep]:
    """Return every dep of every stage in the text of a dvc.lock.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return [Dep(*entry) for entry in _entries(text, name, "deps")]


def _entries(text: str, name: str, kind: str) -> list[tuple[str, str, str]]:
    """Return the stage, path and MD5 of every entry of one kind."""
    try:
        stages: dict[str, Any] = (YAML(typ="safe").load(text) or {}).get("stages", {})
        return [
            (stage, entry["path"], str(entry.get("md5", "")))
            for stage, body in stages.items()
            for entry in body.get(kind, ())
        ]
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise FctError(f"{name} is damaged ({type(error).__name__}). Run `dvc repro`.") from None
