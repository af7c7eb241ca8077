"""The `evaluate` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from fct.core.params import Section
from fct.splits.params import Quality

Direction = Literal["at least", "at most"]  # of a threshold: which side is the good one
Unseen = Literal[
    "webp",
    "jpeg2000",
    "avif",
    "jpegxl",
    "jpegli",
    "double",
    "444",
    "off-grid",
    "noise",
    "blur",
    "contrast",
    "pixelate",
]


class EvaluateParams(Section):
    """The section `evaluate`: how the exported model is measured."""

    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]  # of the sweep, besides the raw images
    unseen: tuple[Unseen, ...]  # distortions of fct.evaluate.unseen that are measured too, at all their severities
    batch_size: Annotated[int, Field(ge=1)]  # images
    resamples: Annotated[int, Field(ge=100)]  # of the bootstrap over images
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of every two-sided interval
    seed: Annotated[int, Field(ge=0)]  # of the bootstrap

    @property
    def conditions(self) -> dict[str, Any]:
        """What the gate's lines mean by it: JSON of the confidence, and of the views that slices are made of."""
        return {"confidence": self.confidence, "qualities": list(self.qualities), "unseen": list(self.unseen)}

    @field_validator("qualities", "unseen")
    @classmethod
    def _unique(cls, each: tuple[object, ...]) -> tuple[object, ...]:
        twice = dict.fromkeys(one for one in each if each.count(one) > 1)
        if twice:
            raise ValueError(f"name each once; {', '.join(map(str, twice))} stands there more than once")
        return each
