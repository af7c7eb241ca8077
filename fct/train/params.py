"""The `train` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fct.core.params import Section, Seed

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]
Sharing = Literal["shared", "own"]
MOST_EPOCHS = 100_000


class TrainParams(Section):
    """The schedule, the augmentation and the precision of a training."""

    seed: Seed
    epochs: int = Field(ge=1, le=MOST_EPOCHS)
    patience: int = Field(ge=1, le=MOST_EPOCHS)  # epochs without a better validation accuracy before training stops
    batch_size: int = Field(ge=2, le=2**20)  # images; each has all its views
    learning_rate: float = Field(gt=0, le=1000)  # at the peak of the one-cycle schedule
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1000)
    crop_padding: int = Field(ge=0, le=4096)  # pixels around an image before the random crop
    flip: bool  # horizontally, at random
    crops: Sharing  # shared: both views of an image have the same crop and flip | own: each view has its own
    cutout: int = Field(ge=0, le=4096)  # pixels, height and width of a square that is black in each image; 0: none
    label_smoothing: float = Field(ge=0, lt=1)  # share of the label's probability that is spread over all classes
    quality_sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, during training
    precision: Literal["auto", "fp32", "bf16"]
