"""The `model` and `features` sections of params.yaml, and `method.block`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fct.core.params import Section
from fct.splits.params import Quality


def _each_once(layers: list[str]) -> list[str]:
    if len(set(layers)) != len(layers):
        raise ValueError("name each layer once")
    return layers


Stem = Literal["own", "small"]
LayerNames = Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]


class ModelParams(Section):
    """Which backbone is trained, and from what."""

    name: str  # resnet8 | resnet20 | resnet56 | speednet | torchvision's | timm/...
    width: int = Field(ge=4, le=512)  # channels of the first stage of the own networks; others ignore it
    stem: Stem  # small: one that keeps the resolution of small images, where the model's own is for large ones
    weights: str | None  # a file in weights/ to start from
    flip_tta: bool  # at inference: the mean of the logits of the image and of its mirror image


class BlockParams(Section):
    """Residual mapping blocks: where, how large, and how they know the quality (fct.nn.residual)."""

    layers: LayerNames
    width: float = Field(gt=0, le=4)  # of the bottleneck, relative to the layer's channels
    quality: Literal["film", "plane", "table"]
    consistency: Literal["after", "before"]  # which feature the consistency term sees
    unknown_quality: Literal["bypass", "estimate"]  # what is made of an image without JPEG tables


class FeaturesParams(Section):
    """Where it is measured how far compression moves features (fct.features.distortion)."""

    layers: LayerNames  # whether the method pulls at them or not
    images: int = Field(ge=2)  # of the test split, evenly spread
    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]
