"""The command `fct gate`: judges any ONNX classifier on compressed images of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fct.cli.folder import read_folder
from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.params import Section, load, present_or_defaults
from fct.evaluate import record
from fct.evaluate.model import Model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict_views
from fct.gate import checks
from fct.gate.footprint import footprint
from fct.gate.params import GateParams
from fct.splits.params import JpegParams
from fct.splits.store import Split

DEFAULTS_HINT = "Its thresholds are for Fashion-MNIST. Choose yours with --params FILE."


class Params(Section):
    """The sections that `fct gate` reads from params.yaml or from the file of --params."""

    jpeg: JpegParams
    evaluate: EvaluateParams
    gate: GateParams


def read_names(path: Path) -> list[str]:
    """Return the class names in a text file that has one name per line.

    Raises:
        FctError: the file is empty, names a class twice, or is not UTF-8 text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise FctError(f"--classes {path}: the file is not UTF-8 text.") from None
    names = [name for line in lines if (name := line.strip())]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if not names or duplicates:
        problem = f"{', '.join(duplicates)} is there more than once" if names else "the file is empty"
        raise FctError(f"--classes {path}: {problem}. Write one name per line, in the order of the model's outputs.")
    return names


def judge_folder(  # noqa: PLR0913  # two models, the images, the params, and what a model file may lack
    model: Model,
    data: Path,
    *,
    champion: Model | None = None,
    params_file: Path | None = None,
    classes: list[str] | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """Judge `model` on the images of a folder and return the verdict in the format of metrics/gate.json.

    Some lines of the gate cannot be judged here: parity, which only the export measures, lines over trainings, and
    lines against a champion if none is given. The verdict lists them in `left_out`, each with the reason.

    Args:
        model: the classifier.
        data: a folder with one sub-folder of images per class.
        champion: the model for the lines that name a champion.
        params_file: a file with the sections jpeg, evaluate and gate. None takes params.yaml. If there is none, the
            package's defaults take its place.
        classes: names in the order of the model's outputs. None takes the model file's, or else the sub-folders'.
        size: height and width in pixels, for a model that takes images of any size.

    Raises:
        FctError: a line of the gate cannot be measured, or the folder's images cannot be used.
    """
    params_file = params_file or present_or_defaults(DEFAULTS_HINT)
    params = load(Params, params_file)
    checks.refuse_unmeasured_slices(params.gate, params.evaluate, params_file)
    split, names = _read_images(model, data, classes, size)
    if champion is not None and (champion.classes != len(names) or champion.class_names not in (None, names)):
        raise FctError(
            f"{champion.path} has {champion.classes} classes, {champion.class_names or 'without names'}; "
            f"{model.path} has {names}. Both models need the same classes in the same order."
        )
    evaluate, left_out = params.evaluate, {}
    for line in params.gate:
        if line.metric == "parity":
            left_out[line.name] = "the export measures it"
        elif line.over == "trainings":
            left_out[line.name] = "trainings of a foreign model are not known"
        elif line.champion is not None and champion is None:
            left_out[line.name] = "there is no --champion"
    lines = [line for line in params.gate if line.name not in left_out]

    subsampling = params.jpeg.subsampling
    predictions = predict_views(model, split, evaluate, subsampling)
    judged = checks.check_lines(lines, predictions, footprint(model, split, lines, evaluate), evaluate)
    if champion is not None:
        judged += checks.check_against(
            lines, predictions, predict_views(champion, split, evaluate, subsampling), evaluate
        )
    if not judged:
        raise FctError(f"{params_file}: gate: no line can be judged here: {'; '.join(left_out.values())}.")
    verdict = checks.verdict(
        judged,
        model_sha256=sha256(model.path),
        images=len(split),
        digest=record.digest(split),
        params=evaluate,
    )
    verdict["split"]["name"] = split.name
    return verdict | {"left_out": left_out}


def _read_images(model: Model, data: Path, classes: list[str] | None, size: int | None) -> tuple[Split, list[str]]:
    """Return the folder's images in the model's size and channels, and the class names."""
    _, channels, height, width = model.image_shape
    if isinstance(height, int) and height != width:
        raise FctError(f"{model.path}: its images are {height} x {width} pixels. Only square images can be judged.")
    pixels = height if isinstance(height, int) else size
    if not isinstance(pixels, int):
        raise FctError(f"{model.path}: it takes images of any size. Choose one with --size.")
    if size is not None and size != pixels:
        raise FctError(
            f"{model.path}: its images are {pixels} x {pixels} pixels. Leave out --size, or give that number."
        )
    image_channels = channels if isinstance(channels, int) else 3
    if image_channels not in (1, 3):
        raise FctError(
            f"{model.path}: its images have {image_channels} channels. "
            "Only grey images (1) and RGB images (3) can be judged."
        )
    if classes is not None and model.class_names not in (None, classes):
        raise FctError(f"{model.path} names its classes itself: {model.class_names}. Leave out --classes.")
    split, names = read_folder(data, size=pixels, channels=image_channels, classes=classes or model.class_names)
    if len(names) != model.classes:
        raise FctError(
            f"{data} has {len(names)} classes, {model.path} has {model.classes}. Give --classes FILE with one name per "
            "line, in the order of the model's outputs."
        )
    return split, names
