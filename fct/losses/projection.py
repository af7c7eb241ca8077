"""A learnt projection in front of the distance: it may turn what compression did to a feature, the network need not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fct.nn.layout import layer_key


class Projection(nn.Module):
    """A linear map of the channels, the identity at first: [B, C, ...] -> [B, C, ...]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the projected feature."""
        return torch.einsum("oc,bc...->bo...", self.weight, feature)


def projections(channels: Mapping[str, int]) -> nn.ModuleDict:
    """Return a projection for each layer, by `layer_key` its name."""
    return nn.ModuleDict({layer_key(layer): Projection(count) for layer, count in channels.items()})
