"""Reads dvc.lock: the checksum of every out, which identifies a version of the data, and its size."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


def checksums(text: str, name: str) -> dict[str, str]:
    """Return DVC's MD5 of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return {out["path"]: str(out.get("md5", "")) for out in _outs(text, name)}


def sizes(text: str, name: str) -> dict[str, int]:
    """Return the bytes of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    return {out["path"]: out.get("size", 0) for out in _outs(text, name)}


def _outs(text: str, name: str) -> list[dict[str, Any]]:
    try:
        stages = (YAML(typ="safe").load(text) or {}).get("stages", {}).values()
        return [out for stage in stages for out in stage.get("outs", ()) if out["path"]]
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise FctError(f"{name} is damaged ({type(error).__name__}). Run `dvc repro`.") from None
