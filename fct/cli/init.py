"""The command `fct init`: values of params.yaml that fit a folder of images, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fct import recipes
from fct.core.errors import FctError
from fct.core.paths import PARAMS, WEIGHTS
from fct.data.survey import Survey
from fct.models import backbones

SIDES = (32, 48, 64, 96, 128)  # pixels that are proposed; more is slow without a GPU
LARGEST_FROM_SCRATCH = 64  # pixels; a small network that starts from nothing learns no more from larger images
GATE_IMAGES = 600  # that a share of the images should give the gate: an accuracy of 90 % is then known to 2.5 points
SHARES = (0.08, 0.15)  # of the images, least and most for the gate
WIDTH = 8  # of the project's networks; it does not change the names of their layers
FINE_TUNE, FROM_SCRATCH = "photographs", "photographs-from-scratch"  # recipes


class Proposal(NamedTuple):
    """A value for a key of params.yaml."""

    key: str
    value: Any
    why: str


def propose(folder: Path, survey: Survey, model: str | None, weights: Path | None) -> Iterator[Proposal]:
    """Yield values that fit the images.

    Args:
        folder: of the images.
        survey: what they are like.
        model: name of a backbone; None for the one of the recipe.
        weights: a file in weights/, of this backbone; None to train from nothing.

    Raises:
        FctError: there are weights, but no model that they are of, or they are not in weights/.
    """
    if weights is not None and model is None:
        raise FctError(f"--weights {weights}: name the backbone that they are of with --model, such as resnet18.")
    yield Proposal("data.source", "folder", f"{survey.images:,} images in {len(survey.classes)} classes")
    yield Proposal("data.folder.path", str(folder), "one sub-folder a class")
    side = _side(survey, LARGEST_FROM_SCRATCH if weights is None else SIDES[-1])
    yield Proposal(
        "data.folder.pixels", side, f"half of the images have a shorter side of {survey.median_side} pixels or more"
    )
    yield Proposal(
        "data.folder.channels", 1 if survey.is_grey else 3, "all are grey" if survey.is_grey else "there is colour"
    )
    share = round(min(max(GATE_IMAGES / survey.images, SHARES[0]), SHARES[1]), 2)
    yield Proposal("data.fractions.gate", share, f"{round(share * survey.images):,} images decide promotions")
    name = FROM_SCRATCH if weights is None else FINE_TUNE
    recipe = recipes.read(name)
    own: dict[str, dict[str, Any]] = {}
    if model is not None:
        own = _of_model(model, weights, side, 1 if survey.is_grey else 3)
    for section in {**recipe.params, **own}:
        for key, value in {**recipe.params.get(section, {}), **own.get(section, {})}.items():
            of_model = key in own.get(section, {})
            yield Proposal(f"{section}.{key}", value, f"of {model}" if of_model else f"recipe {name}")


def _side(survey: Survey, largest: int) -> int:
    fitting = [side for side in SIDES if side <= min(survey.median_side, largest)]
    return max(fitting, default=SIDES[0])


def _of_model(model: str, weights: Path | None, side: int, channels: int) -> dict[str, dict[str, Any]]:
    """Return the keys that name a backbone, its weights and its layers."""
    from fct.cli.layers import stages_of

    if weights is not None and not weights.resolve().is_relative_to(WEIGHTS.resolve()):
        raise FctError(f"--weights {weights}: it is not in {WEIGHTS}/. Put it there: DVC watches that folder.")
    backbone = backbones.build_backbone(model, width=WIDTH, classes=2, channels=channels, size=side)
    stages, head = stages_of(backbone, channels=channels, size=side)
    return {
        "model": {"name": model, "weights": None if weights is None else str(weights)},
        "method": {"layers": [*stages[-1:], head]},
        "features": {"layers": stages},
    }


def write(proposals: list[Proposal], path: Path = PARAMS) -> None:
    """Write proposals into params.yaml. Its comments and other values stay.

    Raises:
        FctError: the file cannot be read, lacks a key, or would not be valid.
    """
    recipes.write({proposal.key: proposal.value for proposal in proposals}, path)
