"""The `model` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class ModelParams(Section):
    """Which backbone is trained."""

    name: str  # resnet8 | resnet20 | resnet56 | any torchvision classification model
    # Channels of the first stage of the own ResNets; others ignore it. At 4, oneDNN's AVX2 kernel for the gradient of a
    # strided 1x1 convolution's weights never returns (torch 2.14.1, [32, 4, 28, 28], channels last).
    width: int = Field(ge=8, le=512)
