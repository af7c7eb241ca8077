"""The command `fct init`: values of params.yaml that fit a folder of images, each with its reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fct import recipes
from fct.cli.backbone import WIDTH, build_named
from fct.cli.check import fault_with
from fct.cli.probe import LARGER, Probed, probe
from fct.core.errors import FctError
from fct.core.params import location
from fct.core.paths import PARAMS
from fct.core.text import printable
from fct.data.division import split_sizes
from fct.data.params import DataParams, Fractions
from fct.data.survey import Survey
from fct.models.params import ModelParams
from fct.models.weights import find_weights, load_pretrained

SIDES = (32, 48, 64)  # pixels, for a training from scratch: it has many epochs, and time grows with the area
GATE_IMAGES = 600  # images that the gate should have: an accuracy of 90 % is then known to 2.5 points
FEWEST = 4  # images of a class: train, val, gate and test need one each
LARGEST_REACH = 0.05  # half the width of an accuracy's interval; a wider one says too little
SHARES = (0.08, 0.15)  # smallest and largest share of the images for the gate
FINE_TUNE, FROM_SCRATCH = "photographs", "photographs-from-scratch"  # recipes


class Proposal(NamedTuple):
    """A value for a key of params.yaml."""

    key: str
    value: Any
    why: str


def refuse_small_classes(folder: Path, survey: Survey) -> None:
    """Check that each split can have an image of each class.

    Raises:
        FctError: a class has too few images.
    """
    name, images = min(survey.classes.items(), key=lambda item: item[1])
    if images < FEWEST:
        raise FctError(
            f"{folder}: the class {printable(name)} has {images} of the {FEWEST} images that it needs: one each for "
            "train, val, gate and test. Add images, or remove the class."
        )


def look(folder: Path, survey: Survey, model: str, weights: Path, hours: float) -> list[Probed]:
    """Return how well the backbone with these weights tells the images' classes apart at each size.

    Larger sizes than the first one at which the trainings take longer than `hours` are not tried.

    Raises:
        FctError: there is no such backbone, the weights are not in weights/ or do not fit it, or too few images can be
            used.
    """
    values = {"name": model, "width": WIDTH, "stem": "own", "weights": str(weights), "normalisation": "auto"}
    largest, epochs = round(LARGER * survey.median_side), int(recipes.read(FINE_TUNE).params["train"]["epochs"])
    params = ModelParams.model_validate(values | {"flip_tta": False})
    probed: list[Probed] = []
    try:
        for each in probe(folder, params, largest, _channels(survey), epochs):
            probed.append(each)
            if each.hours > hours:
                break
    except FctError as error:
        told = str(error).replace(f"{location('model.weights')}:", "--weights:")
        raise FctError(told.replace(f"{location('model.name')}:", "--model:")) from None
    return probed


def propose(  # noqa: PLR0913  # all that decides
    folder: Path,
    survey: Survey,
    model: str | None,
    weights: Path | None,
    chosen: Probed | None = None,
    *,
    fractions: Fractions,
) -> Iterator[Proposal]:
    """Yield values that fit the images.

    Args:
        folder: the folder of the images.
        survey: what the images are like.
        model: name of a backbone; None for the recipe's.
        weights: a file in weights/, of this backbone; None to train from scratch.
        chosen: the size that the trial of the weights says.
        fractions: `data.fractions` of params.yaml as it is now.

    Raises:
        FctError: the weights are not in weights/ or do not fit the model.
    """
    yield Proposal("data.source", "folder", f"{len(survey.classes)} classes")
    yield Proposal("data.folder.path", str(folder), _place(folder))
    channels = _channels(survey)
    if chosen:
        side = chosen.side
        why_side = f"the smallest that is as good as the best within --hours, as far as {chosen.images} images can tell"
    else:
        side = max((each for each in SIDES if each <= survey.median_side), default=SIDES[0])
        why_side = f"the median of the images' shorter sides is {survey.median_side}"
    yield Proposal("data.folder.pixels", side, why_side)
    yield Proposal("data.folder.channels", channels, "all are grey" if survey.is_grey else "there is colour")
    share = round(min(max(GATE_IMAGES / survey.images, SHARES[0]), SHARES[1]), 2)
    yield Proposal("data.fractions.gate", share, _precision(_gate_images(survey, fractions, share)))
    name = FROM_SCRATCH if weights is None else FINE_TUNE
    values = recipes.read(name).params
    is_chosen, model = model is not None, model or str(values["model"]["name"])
    own = _of_model(model, weights, side, channels)
    own["train"] = {"crop_padding": side // 8}
    why = {
        "model": "as --model and --weights say" if is_chosen else "no --model was given",
        "method": f"layers of {model}",
        "features": f"layers of {model}",
        "train": f"for {side} pixels",
    }
    for section in {**values, **own}:
        for key, value in {**values.get(section, {}), **own.get(section, {})}.items():
            is_own = key in own.get(section, {})
            yield Proposal(f"{section}.{key}", value, why[section] if is_own else f"recipe {name}")


def propose_name(folder: Path, present: DataParams) -> Iterator[Proposal]:
    """Yield a name for the registered models, unless params.yaml already has a folder of images and so a name for them.

    Models of other images would otherwise become versions of one model, and the gate compare them.

    Args:
        folder: the folder of the images.
        present: the section `data` of params.yaml as it is now.
    """
    if present.source != "folder":
        plain = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "photographs"
        yield Proposal(
            "registry.name", f"fct-{plain[:100]}", "of the registered models; choose another one if you like"
        )


def _place(folder: Path) -> str:
    if folder.resolve().is_relative_to(Path.cwd()):
        return "one sub-folder per class"
    return "one sub-folder per class; outside of this folder, where `dvc add` cannot version them: move them to images/"


def _channels(survey: Survey) -> int:
    return 1 if survey.is_grey else 3


def _gate_images(survey: Survey, fractions: Fractions, share: float) -> int:
    """Return how many images the gate gets if all can be used: the split is made, and rounded, by class."""
    shares = fractions.model_dump() | {"gate": share}
    return sum(split_sizes(images, shares)["gate"] for images in survey.classes.values())


def _precision(images: int) -> str:
    """Return in words how precise a gate with this number of images is."""
    reach = 1.96 * math.sqrt(0.9 * 0.1 / images)
    warning = "; too few to tell good models from bad ones" if reach > LARGEST_REACH else ""
    return f"{images:,} images decide promotions: an accuracy of 90 % is known to ±{100 * reach:.1f} points{warning}"


def _of_model(model: str, weights: Path | None, side: int, channels: int) -> dict[str, dict[str, Any]]:
    """Return the keys that name a backbone, its weights and its layers."""
    from fct.models.layers import propose_layers

    backbone = build_named(model, "--model", classes=2, channels=channels, size=side)
    if weights is not None:
        load_pretrained(backbone, find_weights(str(weights), "model.weights"), "own")
    layers = propose_layers(backbone, channels=channels, size=side)
    stages = layers.stages
    return {
        "model": {"name": model, "stem": "own", "weights": None if weights is None else str(weights)},
        "method": {"layers": [*stages[-1:], layers.head], "block.layers": stages},
        "features": {"layers": stages},
    }


def write(proposals: list[Proposal], path: Path = PARAMS) -> None:
    """Write proposals into params.yaml, if the result passes `fct check`. Its comments and other values stay.

    Raises:
        FctError: the file cannot be read or lacks a key, or its other values do not fit the proposals.
    """
    values = {proposal.key: proposal.value for proposal in proposals}
    if fault := fault_with(values, path):
        raise FctError(f"Nothing was written, because {path.name} would not pass `fct check`: {fault}")
    recipes.write(values, path)
