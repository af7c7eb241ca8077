"""The command `fct predict`: classifies image files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib

from fct.core.errors import FctError
from fct.core.paths import MODEL_ONNX, SPLITS
from fct.core.text import printable
from fct.data.scan import is_litter, is_note
from fct.evaluate.model import Model, open_model
from fct.images.decode import UnusableImage
from fct.serving.classifier import Classifier, Prediction
from fct.serving.metadata import read_entries
from fct.splits.store import read_meta

VERSION = re.compile(r"champion|challenger|previous|\d+")  # what `registry.fetch` takes
NAME_WIDTH = 40  # characters of a file's name in the table


@contextmanager
def open_classifier(model: str) -> Iterator[Classifier]:
    """Open an ONNX file, or a registered version: champion, challenger, previous, or its number.

    Raises:
        FctError: there is no such model, or this project did not export it.
    """
    with TemporaryDirectory() as folder:
        if model.endswith(".onnx"):
            path = Path(model)
        elif not VERSION.fullmatch(model):
            raise FctError(
                f"--model {model}: this is not an ONNX file. Give one whose name ends in .onnx, such as {MODEL_ONNX}, "
                "or a registered version: champion, challenger, previous, or a number."
            )
        else:
            from fct import registry

            path = registry.fetch(model, Path(folder))
        opened = open_model(path)
        _warn_if_stale(path, opened)
        try:
            yield Classifier.of(opened.session, path)
        except UnusableImage as error:
            raise FctError(f"{path}: {error}.") from None


def _warn_if_stale(path: Path, model: Model) -> None:
    """Warn on stderr if the pipeline's model was trained on other data than the splits have now."""
    if path != MODEL_ONNX or not (SPLITS / "meta.json").exists():
        return
    trained_on = read_entries(model.session).get("fct.data_digest")
    if trained_on != read_meta()["digest"]:
        print(f"{path} was trained on other data than {SPLITS} has now. Train again with `dvc repro`.", file=sys.stderr)


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files among `paths`, and in order the files at any depth of the folders among them.

    Raises:
        FctError: a folder has no file, or READMEs alone.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if _is_wanted(file, path))
        if not inside:
            raise FctError(f"{path}: this folder has no image. Name one that has.")
        files += inside
    return files


def classify_files(classifier: Classifier, files: Sequence[Path]) -> Iterator[tuple[Path, Prediction]]:
    """Yield each file with its prediction, in the order of `files`; classify on all usable cores."""
    return zip(files, classifier.classify(files, threads=joblib.cpu_count()), strict=True)


def format_header() -> str:
    """Return the head line of the table."""
    return f"{'file':<{NAME_WIDTH}}  {'class':<20}{'probability':>11}{'quality':>9}"


def format_row(file: Path, prediction: Prediction) -> str:
    """Return a prediction as a line of the table."""
    name = printable(str(file))
    name = name if len(name) <= NAME_WIDTH else f"...{name[3 - NAME_WIDTH :]}"
    if prediction.error is not None:
        return f"{name:<{NAME_WIDTH}}  {prediction.error}"
    label = str(prediction.label)
    note = "  below every trained quality" if prediction.below_trained else ""
    return (
        f"{name:<{NAME_WIDTH}}  {label:<20}{prediction.probabilities[label]:>11.1%}{prediction.quality or '-':>9}{note}"
    )


def _is_wanted(file: Path, folder: Path) -> bool:
    """Return whether a file somewhere in `folder` is neither hidden, nor a note, nor left by an operating system."""
    if is_note(file.name) or any(part.startswith(".") or is_litter(part) for part in file.relative_to(folder).parts):
        return False
    try:
        return file.is_file()
    except OSError:  # reading it reports the error
        return True
