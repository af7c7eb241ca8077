"""The `model` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class ModelParams(Section):
    """Which backbone is trained."""

    name: str  # resnet8 | resnet20 | resnet56 | speednet | any torchvision classification model
    width: int = Field(ge=4, le=512)  # channels of the first stage of the own networks; others ignore it
