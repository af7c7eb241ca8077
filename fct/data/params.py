"""The `data` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fct.core.params import Name, Section, Seed, check_folder

SHAPES = {"fashion-mnist": (1, 28), "cifar-10": (3, 32), "cifar-100": (3, 32)}  # channels, and pixels a side
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Fractions(Section):
    """Share of the images that each split gets, apart from an official test set. The rest is train."""

    val: Fraction
    gate: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _check_rest_for_train(self) -> Self:
        total = self.val + self.gate + self.test
        if total >= 1:
            raise ValueError(f"val + gate + test is {total:g}. It must be below 1: train gets the rest")
        return self


class FolderParams(Section):
    """A folder of the user's own images."""

    path: Annotated[str, AfterValidator(check_folder)]
    pixels: Annotated[int, Field(ge=8, le=4096)]  # height and width. Not `size`: DVC's run cache ignores such a key
    keep: Annotated[float, Field(ge=1, le=4)]  # height and width of the images of train, relative to `pixels`
    channels: Literal[1, 3]
    on_error: Literal["fail", "skip"]

    @property
    def kept_pixels(self) -> int:
        """Height and width of the images of train, from which a training takes crops of `pixels`."""
        return round(self.pixels * self.keep)


class DataParams(Section):
    """The source of labelled images, and their division."""

    source: Literal["fashion-mnist", "cifar-10", "cifar-100", "folder"]
    mirror: Name | None
    seed: Seed
    fractions: Fractions
    folder: FolderParams

    @property
    def channels(self) -> int:
        """Channels of the images: 1 for grey, 3 for RGB."""
        return SHAPES.get(self.source, (self.folder.channels, self.folder.pixels))[0]

    @property
    def pixels(self) -> int:
        """Height and width of the images at the model's size."""
        return SHAPES.get(self.source, (self.folder.channels, self.folder.pixels))[1]
