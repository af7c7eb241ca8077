"""What a model says of image files: the command `fct predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib

from fct.core.errors import FctError
from fct.evaluate.model import open_model
from fct.images.decode import UnusableImage
from fct.serving.classifier import Classifier, Prediction

NAME_WIDTH = 40  # characters of a file's name in the table


@contextmanager
def open_classifier(model: str) -> Iterator[Classifier]:
    """Open an ONNX file, or a version of the registered model: champion, challenger, previous or its number.

    Raises:
        FctError: there is no such model, or it is not one of this project's.
    """
    with TemporaryDirectory() as folder:
        if model.endswith(".onnx"):
            path = Path(model)
        else:
            from fct import registry

            path = registry.fetch(model, Path(folder))
        try:
            yield Classifier.of(open_model(path).session)
        except UnusableImage as error:
            raise FctError(f"{path}: {error}.") from None


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that `paths` name, those in folders, however deep, in order.

    Raises:
        FctError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.rglob("*") if each.is_file() and not _is_hidden(each.relative_to(path)))
        if not inside:
            raise FctError(f"{path}: there is no file in this folder.")
        found += inside
    return found


def classify_files(classifier: Classifier, files: Sequence[Path]) -> Iterator[tuple[Path, Prediction]]:
    """Yield each file with the model's answer, in order, from all usable cores."""
    return zip(files, classifier.classify(files, threads=joblib.cpu_count()), strict=True)


def format_header() -> str:
    """Return the table's head."""
    return f"{'file':<{NAME_WIDTH}}  {'class':<20}{'probability':>11}{'quality':>9}"


def format_row(file: Path, answer: Prediction) -> str:
    """Return an answer as a line for a person."""
    name = str(file)
    name = name if len(name) <= NAME_WIDTH else f"...{name[3 - NAME_WIDTH :]}"
    if answer.error is not None:
        return f"{name:<{NAME_WIDTH}}  {answer.error}"
    label = str(answer.label)
    doubt = "  below every trained quality" if answer.below_trained else ""
    return f"{name:<{NAME_WIDTH}}  {label:<20}{answer.probabilities[label]:>11.1%}{answer.quality or '-':>9}{doubt}"


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
