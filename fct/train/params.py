"""The `train` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fct.core.params import Section

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]
Sharing = Literal["shared", "own"]


class TrainParams(Section):
    """The schedule, the augmentation and the precision of a training."""

    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)  # epochs without a better validation accuracy before training stops
    batch_size: int = Field(ge=2)  # images; each has all its views
    learning_rate: float = Field(gt=0)  # at the peak of the one-cycle schedule
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    crop_padding: int = Field(ge=0)  # pixels around an image before the random crop
    flip: bool  # horizontally, at random
    crops: Sharing  # shared: both views of an image have the same crop and flip | own: each view has its own
    cutout: int = Field(ge=0)  # pixels, height and width of a square that is black in each image; 0: none
    label_smoothing: float = Field(ge=0, lt=1)  # share of the label's probability that is spread over all classes
    quality_sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, during training
    precision: Literal["auto", "fp32", "bf16"]
