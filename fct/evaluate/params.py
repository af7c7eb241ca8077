"""The `evaluate` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from fct.core.params import Section
from fct.splits.params import Quality

Direction = Literal["at least", "at most"]  # the good side of a threshold
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
    "decode-fast",
    "decode-plain",
    "decode-jpegli",
    "resize-nearest",
    "resize-box",
    "resize-bilinear",
    "resize-bicubic",
    "resize-lanczos",
    "resize-opencv",
    "resize-opencv-area",
    "resize-aliased",
    "resize-draft",
    "resize-shifted",
    "range",
    "bgr",
    "fp16",
    "int8",
    "messenger",
    "social",
    "repost",
]
CONTROLS: tuple[Unseen, ...] = ("bgr",)  # mistakes that a model must notice; the slices unseen, worst-unseen omit them


class EvaluateParams(Section):
    """The section `evaluate`: the measurement of the exported model."""

    qualities: Annotated[
        tuple[Quality, ...], Field(min_length=1)
    ]  # JPEG qualities that are measured, besides raw images
    unseen: tuple[Unseen, ...]  # distortions of fct.evaluate.unseen that are measured, each at all severities
    unseen_images: Annotated[int, Field(ge=1, le=10**9)] | None  # of a split, evenly spread, for these; None for all
    batch_size: Annotated[int, Field(ge=1, le=2**20)]  # images
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of every two-sided interval

    @property
    def conditions(self) -> dict[str, Any]:
        """All that a value depends on beside model and split, as JSON: confidence, views, and images of unseen ones."""
        return self.model_dump(mode="json", exclude={"batch_size"})

    @property
    def judged_unseen(self) -> tuple[Unseen, ...]:
        """The distortions that the slices unseen and worst-unseen are about."""
        return tuple(name for name in self.unseen if name not in CONTROLS)

    @field_validator("qualities", "unseen")
    @classmethod
    def _check_unique(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        duplicates = dict.fromkeys(value for value in values if values.count(value) > 1)
        if duplicates:
            raise ValueError(f"name each once; {', '.join(map(str, duplicates))} appears more than once")
        return values
