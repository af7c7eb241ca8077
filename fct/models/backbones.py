"""Backbones by name: the project's own small networks, or any classification model of torchvision."""

from __future__ import annotations

import difflib

from torch import Tensor, nn

from fct.core.errors import FctError
from fct.models.resnet import DEPTHS, ResNet
from fct.models.speednet import SpeedNet


def build(name: str, *, width: int, classes: int, channels: int) -> nn.Module:
    """Return an untrained backbone: float [B, channels, H, W] -> logits [B, classes].

    `width` is for the own networks only.

    Raises:
        FctError: no model has this name; it lists the nearest.
    """
    if name in DEPTHS:
        return ResNet(DEPTHS[name], width=width, classes=classes, channels=channels)
    if name == "speednet":
        return SpeedNet(width=width, classes=classes, channels=channels)
    from torchvision import models  # seconds to import, and only needed here

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, [*DEPTHS, "speednet", *known], n=3) or list(DEPTHS)
        raise FctError(f"params.yaml: model.name: no model is called {name!r}. Nearest: {', '.join(near)}.")
    # GoogLeNet and Inception build auxiliary heads that return tuples; without them they are plain classifiers.
    extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
    return model if channels == 3 else _FromGrey(model)


class _FromGrey(nn.Module):
    """Shows a greyscale image to a model that expects three channels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x.expand(-1, 3, -1, -1))
        return logits
