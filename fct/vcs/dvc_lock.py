"""What dvc.lock says: the checksum of every out, which names a version of the data for good."""

from __future__ import annotations

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


def checksums(text: str, place: str) -> dict[str, str]:
    """Return DVC's MD5 of every out in the text of a dvc.lock, by path.

    Raises:
        FctError: it is no dvc.lock; the message names `place`.
    """
    try:
        stages = (YAML(typ="safe").load(text) or {}).get("stages", {}).values()
        return {out["path"]: str(out.get("md5", "")) for stage in stages for out in stage.get("outs", ())}
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise FctError(f"{place} is damaged ({type(error).__name__}). Run `dvc repro`.") from None
