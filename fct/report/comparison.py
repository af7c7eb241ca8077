"""The models that the page shows beside the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fct import registry
from fct.core.errors import FctError
from fct.core.paths import STANDARD_ONNX
from fct.evaluate.model import open_model
from fct.splits.store import read_meta


def models_beside(named: Sequence[str], folder: Path, *, champion: bool) -> dict[str, Path]:
    """Return ONNX files by the name to show them under: the champion, the baseline, and what a person names.

    A champion or baseline that cannot be had, or is of other classes than the data, is said and left out. A champion
    whose alias was moved by hand is called unproven.

    Args:
        named: each a name and a file, such as `mine=a.onnx`.
        folder: where to download the champion to.
        champion: whether to ask the registry for it.

    Raises:
        FctError: what a person names has no name or no file, or the name of another.
    """
    found: dict[str, Path] = {}
    if champion:
        try:
            path = registry.fetch("champion", folder)
            _, state = registry.status()
            found["champion" if state.is_proven else "champion (unproven)"] = _fitting(path)
        except FctError as error:
            print(f"without a champion: {error}")
    if STANDARD_ONNX.is_file():
        try:
            found["standard"] = _fitting(STANDARD_ONNX)
        except FctError as error:
            print(f"without {STANDARD_ONNX}: {error}")
    for given in named:
        name, _, file = given.partition("=")
        if not name or not file:
            raise FctError(f"--beside {given!r}: give a name and a file, such as mine=other.onnx.")
        if name in {*found, "candidate"}:
            raise FctError(f"--beside {given!r}: {name} is the name of another model on the page; give it its own.")
        found[name] = Path(file)
    return found


def _fitting(path: Path) -> Path:
    """Return `path`, unless it is of other classes than the data."""
    theirs, classes = open_model(path).class_names, list(read_meta()["classes"])
    if theirs not in (None, classes):
        raise FctError(f"its classes are {theirs}, those of the data {classes}.")
    return path
