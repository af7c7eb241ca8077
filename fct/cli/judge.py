"""Whether any ONNX classifier holds on compressed images of a folder: the command `fct gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fct.cli.folder import read_folder
from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.params import Section, load
from fct.core.paths import PARAMS
from fct.evaluate import record
from fct.evaluate.model import Model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict
from fct.gate import checks as gate
from fct.gate.footprint import footprint
from fct.gate.params import GateParams
from fct.splits.params import JpegParams
from fct.splits.store import Split


class Params(Section):
    """What a judgement reads of params.yaml, or of another file with these sections."""

    jpeg: JpegParams
    evaluate: EvaluateParams
    gate: GateParams


def read_names(path: Path) -> list[str]:
    """Return the names of classes in a file, a line each.

    Raises:
        FctError: there are none, one twice, or it is no text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise FctError(f"--classes {path}: it is no UTF-8 text.") from None
    names = [name for line in lines if (name := line.strip())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        wrong = f"{', '.join(twice)} stands in it more than once" if names else "it is empty"
        raise FctError(f"--classes {path}: {wrong}. Give a name a line, in the order of the model's outputs.")
    return names


def judge_folder(  # noqa: PLR0913  # two models, on what, by which file, and what a file may not say of itself
    model: Model,
    data: Path,
    *,
    champion: Model | None = None,
    params: Path = PARAMS,
    classes: list[str] | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """Judge `model` on the images of a folder and return the verdict, as metrics/gate.json has it.

    Lines that cannot be judged here stand in its `left_out`, each with the reason: parity, which the export measures,
    and those that need a champion where there is none.

    Args:
        model: the classifier.
        data: a folder, one sub-folder of images a class.
        champion: for the lines that name one.
        params: a file with the sections jpeg, evaluate and gate.
        classes: in the order of the model's outputs; what the file says, or the sub-folders' names, where absent.
        size: pixels, height and width, where the file takes images of any size.

    Raises:
        FctError: what is asked for cannot be measured, or the folder's images cannot be used.
    """
    read = load(Params, params)
    gate.refuse_unmeasured_slices(read.gate, read.evaluate, params)
    split, names = _images(model, data, classes, size)
    if champion is not None and (champion.classes != len(names) or champion.class_names not in (None, names)):
        raise FctError(
            f"{champion.path}: its {champion.classes} classes are {champion.class_names or 'not named'}, those of "
            f"{model.path} are {names}: they must be the same, in the same order."
        )
    how, left_out = read.evaluate, {}
    for line in read.gate:
        if line.metric == "parity":
            left_out[line.name] = "the export measures it"
        elif line.champion is not None and champion is None:
            left_out[line.name] = "there is no --champion"
    lines = [line for line in read.gate if line.name not in left_out]

    def answers(of: Model) -> Any:
        asked = read.jpeg.subsampling
        return predict(of, split, how.qualities, asked, batch_size=how.batch_size, unseen=how.unseen)

    ours = answers(model)
    checks = gate.check_lines(lines, ours, footprint(model, split, lines, how), how)
    if champion is not None:
        checks += gate.check_against(lines, ours, answers(champion), how)
    if not checks:
        raise FctError(f"{params}: gate: no line can be judged here: {'; '.join(left_out.values())}.")
    found = gate.verdict(
        checks,
        model_sha256=sha256(model.path),
        images=len(split),
        digest=record.digest(split),
        how=how,
    )
    found["split"]["name"] = split.name
    return found | {"left_out": left_out}


def _images(model: Model, data: Path, classes: list[str] | None, size: int | None) -> tuple[Split, list[str]]:
    """Return the folder's images as the model takes them, and the names of its classes."""
    _, channels, height, width = model.image_shape
    if isinstance(height, int) and height != width:
        raise FctError(f"{model.path}: it takes images of {height} x {width} pixels; a square is needed.")
    pixels = height if isinstance(height, int) else size
    if not isinstance(pixels, int):
        raise FctError(f"{model.path}: it takes images of any number of pixels a side: give --size.")
    if size is not None and size != pixels:
        raise FctError(f"{model.path}: it takes images of {pixels} pixels a side: leave --size out.")
    depth = channels if isinstance(channels, int) else 3
    if depth not in (1, 3):
        raise FctError(f"{model.path}: it takes images of {depth} channels; grey has 1, RGB 3.")
    if classes is not None and model.class_names not in (None, classes):
        raise FctError(f"{model.path} says itself that its classes are {model.class_names}: leave --classes out.")
    split, names = read_folder(data, size=pixels, channels=depth, classes=classes or model.class_names)
    if len(names) != model.classes:
        raise FctError(
            f"{data} has {len(names)} classes, {model.path} has {model.classes}. Give --classes, a file with a name a "
            "line, in the order of the model's outputs."
        )
    return split, names
