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
    """Return ONNX files by the name that the page shows: the champion, the baseline, and the files in `named`.

    A champion or baseline that is missing, or has other classes than the data, is left out with a message. A champion
    whose alias was moved by hand is called unproven.

    Args:
        named: names with files, such as `mine=a.onnx`.
        folder: folder for the download of the champion.
        champion: whether to ask the registry for the champion.

    Raises:
        FctError: an entry of `named` lacks its name or its file, or has the name of another model.
    """
    models: dict[str, Path] = {}
    if champion:
        try:
            _, state = registry.status()
            if state.champion is None:
                print("The page does not show a champion: there is none yet.")
            else:
                path = registry.fetch("champion", folder)
                models["champion" if state.is_proven else "champion (unproven)"] = _check_classes(path)
        except FctError as error:
            print(f"The page does not show a champion: {error}")
    if STANDARD_ONNX.is_file():
        try:
            models["standard"] = _check_classes(STANDARD_ONNX)
        except FctError as error:
            print(f"The page does not show {STANDARD_ONNX}: {error}")
    for entry in named:
        name, _, file = entry.partition("=")
        if not name or not file:
            raise FctError(f"--beside {entry!r}: give a name and a file, such as mine=other.onnx.")
        if name in {*models, "candidate"}:
            raise FctError(f"--beside {entry!r}: another model on the page is called {name}. Choose another name.")
        models[name] = Path(file)
    return models


def _check_classes(path: Path) -> Path:
    """Return `path` if its model has the classes of the data, or raise an error."""
    names, classes = open_model(path).class_names, list(read_meta()["classes"])
    if names not in (None, classes):
        raise FctError(f"its classes are {names}, but the data have {classes}.")
    return path
