"""The command `fct gate`: judges any ONNX classifier on compressed images of a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fct.cli import guess
from fct.cli.folder import read_folder
from fct.core.errors import FctError
from fct.core.params import Section, load, present_or_defaults
from fct.evaluate import record
from fct.evaluate.model import Model, image_channels, image_size, settle_scale
from fct.evaluate.model_file import model_digest
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict_views
from fct.gate import checks
from fct.gate.footprint import footprint
from fct.gate.params import GateParams
from fct.images.fit import Fit
from fct.splits.params import JpegParams
from fct.splits.store import Split

MOST_NAMES = 10  # of classes, in an error
DEFAULTS_HINT = "Its thresholds are for Fashion-MNIST. Choose yours with --params FILE."
IMAGES_FOR_SCALE = 16  # raw images whose outputs show whether they are logits or probabilities


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
        problem = f"{', '.join(duplicates)} appears more than once" if names else "the file is empty"
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

    Some lines of the gate cannot be judged here: parity, which only the export measures; lines over trainings; lines
    against a champion if none is given; and ece if a model gives only labels. The verdict lists them in `left_out`,
    each with the reason. A champion that no line needs is listed there, too.
    Its `read_as` says how a foreign model is read, and its `warnings` why that may be wrong.

    Args:
        model: the classifier.
        data: a folder with one sub-folder of images per class.
        champion: the model for the lines that name a champion. It gets the same files, read in its own way.
        params_file: a file with the section gate, and with jpeg and evaluate where they differ from the package's
            defaults. None takes params.yaml. If there is none, the package's defaults take its place.
        classes: names in the order of the model's outputs. None takes the model file's, or else the sub-folders'.
        size: height and width in pixels, for a model of this project that takes images of any size.

    Raises:
        FctError: a line of the gate cannot be measured, or the folder's images cannot be used.
    """
    params_file = params_file or present_or_defaults(DEFAULTS_HINT)
    params = load(Params, params_file, with_defaults=("jpeg", "evaluate"))
    checks.refuse_unmeasured_slices(params.gate, params.evaluate, params_file)
    model, split, names = _read_images(model, data, classes, size)
    if champion is not None:
        champion, champion_split = _read_champion(champion, data, model, split, names)
    evaluate, left_out = params.evaluate, {}
    for line in params.gate:
        sides = (model,) if line.champion is None or champion is None else (model, champion)
        if line.metric == "parity":
            left_out[line.name] = "the export measures it"
        elif line.over == "trainings":
            left_out[line.name] = "trainings of a foreign model are not known"
        elif line.champion is not None and champion is None:
            left_out[line.name] = "there is no --champion"
        elif line.metric == "ece" and any(side.adapter.scale == "labels" for side in sides):
            left_out[line.name] = "a label has no probability"
    lines = [line for line in params.gate if line.name not in left_out]
    if not lines:
        raise FctError(f"{params_file}: gate: no line can be judged here: {'; '.join(left_out.values())}.")
    if champion is not None and all(line.champion is None for line in lines):
        left_out["--champion"] = "no line that is judged names a champion"
        champion = None

    subsampling = params.jpeg.subsampling
    predictions = predict_views(model, split, evaluate, subsampling)
    judged = checks.check_lines(lines, predictions, footprint(model, split, lines, evaluate), evaluate)
    if champion is not None:
        judged += checks.check_against(
            lines, predictions, predict_views(champion, champion_split, evaluate, subsampling), evaluate
        )
    verdict = checks.verdict(
        judged,
        model_sha256=model_digest(model.path),
        images=len(split),
        digest=record.digest(split),
        params=evaluate,
    )
    verdict["split"]["name"] = split.name
    return verdict | {
        "left_out": left_out,
        "read_as": model.preprocessing and model.preprocessing.describe(),
        "warnings": guess.doubts(model, split, names if classes is None else None, predictions.classes[0]),
    }


def _read_images(
    model: Model, data: Path, classes: list[str] | None, size: int | None
) -> tuple[Model, Split, list[str]]:
    """Return the model, the folder's images as it needs them, and the class names.

    For a foreign model, the names and images decide what its file leaves open.
    """
    if classes is not None and model.class_names not in (None, classes):
        raise FctError(f"{model.path} names its classes itself: {_list(model.class_names)}. Leave out --classes.")
    split, names = read_folder(
        data,
        fit=_fit(model, size),
        channels=image_channels(model.path, model.image_shape),
        classes=classes or model.class_names,
    )
    model = _settle(model, split, names)
    if len(names) != model.classes:
        background = (
            " If class 0 of the model is the background, give --set background=true."
            if model.preprocessing and model.classes == len(names) + 1 and not model.adapter.background
            else ""
        )
        source = f"{data} has {len(names)}" if classes is None else f"--classes names {len(names)}"
        raise FctError(
            f"{source} classes, {model.path} has {model.classes}. Give --classes FILE with one name per line, in the "
            f"order of the model's outputs.{background}"
        )
    return model, split, names


def _read_champion(champion: Model, data: Path, model: Model, split: Split, names: list[str]) -> tuple[Model, Split]:
    """Return the champion, and the same files as in the `split` of the model, as the champion needs them."""
    if champion.classes not in (None, len(names)) or champion.class_names not in (None, names):
        raise FctError(
            f"Both models need the same classes in the same order. {champion.path} has {champion.classes}: "
            f"{_list(champion.class_names or ['without names'])}; {model.path} has {len(names)}: {_list(names)}."
        )
    fit, channels = _fit(champion, split.fit.size), image_channels(champion.path, champion.image_shape)
    if (fit, channels) != (split.fit, split.images.shape[-1]):
        split, _ = read_folder(data, fit=fit, channels=channels, classes=names)
    return _settle(champion, split, names), split


def _list(names: Sequence[str]) -> str:
    """Return the first names; a model may have thousands."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _fit(model: Model, size: int | None) -> Fit:
    if model.preprocessing is not None:
        return model.preprocessing.fit(image_size(model.path, model.image_shape, model.preprocessing.size))
    return Fit(image_size(model.path, model.image_shape, size))


def _settle(model: Model, split: Split, names: list[str]) -> Model:
    """Return the model, read in the way that its images and classes show. Print that way to stderr."""
    if model.preprocessing is None:
        return model
    if model.classes is None:
        model = replace(model, classes=len(names), adapter=replace(model.adapter, classes=len(names)))
    sample = split.every(split.step(IMAGES_FOR_SCALE))
    model = settle_scale(model, sample.images, sample.quality)
    if model.preprocessing is not None:
        print(f"{model.path} is read as: {model.preprocessing.describe()}", file=sys.stderr)
    return model
