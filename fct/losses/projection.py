"""A learnt projection before the distance: it can undo a linear effect of compression, so the network need not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fct.nn.layout import layer_key


class Projection(nn.Module):
    """A linear map of the channels that starts as the identity: [B, C, ...] -> [B, C, ...]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the projected feature."""
        return torch.einsum("oc,bc...->bo...", self.weight, feature)


def projections(channels: Mapping[str, int]) -> nn.ModuleDict:
    """Return a projection for each layer, under its `layer_key`."""
    return nn.ModuleDict({layer_key(layer): Projection(count) for layer, count in channels.items()})
