"""The `model` and `features` sections of params.yaml, and `method.block`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from fct.core.params import KIND, Name, Section
from fct.splits.params import Quality


def check_unique(layers: list[str]) -> list[str]:
    """Return the names of layers.

    Raises:
        ValueError: a layer is listed twice.
    """
    if len(set(layers)) != len(layers):
        raise ValueError("a layer is listed twice; list each layer once")
    return layers


Stem = Literal["own", "small"]
LayerNames = Annotated[list[Name], Field(min_length=1), AfterValidator(check_unique)]


class Channels(Section):
    """Mean and standard deviation of each channel, on the scale 0..1."""

    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=3)]
    std: Annotated[list[Annotated[float, Field(ge=0.001, le=1)]], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError("mean and std need one value for each channel, 1 or 3")
        return self


def _kind_of_normalisation(value: object) -> str:
    return f"{KIND}channels" if isinstance(value, (Mapping, Channels)) else f"{KIND}name"


Normalisation = Annotated[  # auto: as the weights were trained, if that is known | images: theirs
    Annotated[Literal["auto", "images"], Tag(f"{KIND}name")] | Annotated[Channels, Tag(f"{KIND}channels")],
    Discriminator(_kind_of_normalisation),
]


class ModelParams(Section):
    """The backbone that is trained, and the weights that it starts from."""

    name: Name  # resnet8 | resnet20 | resnet56 | speednet | torchvision's | timm/...
    width: int = Field(ge=4, le=512)  # channels of the first stage of the project's networks; other models ignore it
    stem: Stem  # own: the model's stem | small: a stem for small images, which keeps the resolution
    weights: Name | None  # a file in weights/ to start from
    normalisation: Normalisation
    flip_tta: bool  # at inference: the mean of the logits of the image and of its mirror image


class BlockParams(Section):
    """Residual mapping blocks: their layers, their width, and how they get the quality (fct.nn.residual)."""

    layers: LayerNames
    width: float = Field(gt=0, le=4)  # of the bottleneck, relative to the layer's channels
    quality: Literal["film", "plane", "table"]
    consistency: Literal["after", "before"]  # whether the consistency term compares features after or before the block
    unknown_quality: Literal["bypass", "estimate"]  # which quality blocks get (fct.models.network)


class FeaturesParams(Section):
    """Where and how the change of features by compression is measured (fct.features.distortion)."""

    layers: LayerNames  # need not be those of the method
    images: int = Field(ge=2, le=10**9)  # of the test split, evenly spaced
    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]
