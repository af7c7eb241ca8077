"""Reads dvc.lock: the checksum of every out, which identifies a version of the data."""

from __future__ import annotations

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


def checksums(text: str, name: str) -> dict[str, str]:
    """Return DVC's MD5 of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: the text is not that of a dvc.lock. The message names it `name`.
    """
    try:
        stages = (YAML(typ="safe").load(text) or {}).get("stages", {}).values()
        return {out["path"]: str(out.get("md5", "")) for stage in stages for out in stage.get("outs", ())}
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise FctError(f"{name} is damaged ({type(error).__name__}). Run `dvc repro`.") from None
