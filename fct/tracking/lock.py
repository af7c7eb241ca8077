"""What dvc.lock says: the checksum of every out, which names a version of the data for good."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError
from fct.tracking import content

LOCK = Path("dvc.lock")


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


def datasets(*paths: Path) -> dict[str, str]:
    """Return what a stage's run says that it read: DVC's MD5 of each path, or a digest of what DVC does not hold."""
    known = checksums(LOCK.read_text(), str(LOCK)) if LOCK.exists() else {}
    return {path.as_posix(): known.get(path.as_posix()) or content.of(path) for path in paths}
