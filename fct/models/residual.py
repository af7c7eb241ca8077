"""The residual mapping block: takes JPEG's distortion out of a feature, knowing the quality.

The paper's abstract says that such a block uses the quality factor as extra information and reduces the distortion
further. The rest is this project's reconstruction:

    R(phi, q) = phi + s(q) * bottleneck(phi; FiLM(q)),    s(q) = (100 - q) / 100

with a bottleneck of 1x1, 3x3 and 1x1 convolutions, modulated by the quality after the second (FiLM: Perez et al., AAAI
2018). s(100) = 0, so that a feature of a raw image passes unchanged; the last convolution starts at zero, so that an
untrained block does nothing at any quality.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FILM_WIDTH = 32  # hidden units of the small network that turns a quality into scales and shifts


class ResidualMappingBlock(nn.Module):
    """R(phi, q): features [B, C, H, W] and quality int64 [B] -> features [B, C, H, W]."""

    def __init__(self, channels: int, *, bottleneck: float) -> None:
        """Make a block for `channels` channels, `bottleneck` times as many of them between its 1x1 convolutions."""
        super().__init__()
        inner = max(4, round(channels * bottleneck))
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1)
        self.expand = nn.Conv2d(inner, channels, 1)
        self.film = nn.Sequential(nn.Linear(1, FILM_WIDTH), nn.ReLU(), nn.Linear(FILM_WIDTH, 2 * inner))
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)  # type: ignore[arg-type]  # there is a bias

    def forward(self, phi: Tensor, quality: Tensor) -> Tensor:
        """Return R(phi, quality)."""
        strength = ((100 - quality) / 100).to(phi.dtype)  # s(q), [B]
        scale, shift = self.film(strength[:, None]).chunk(2, dim=1)  # each [B, inner]
        hidden = functional.relu(self.reduce(phi))
        hidden = functional.relu(self.mix(hidden) * (1 + scale[:, :, None, None]) + shift[:, :, None, None])
        return torch.addcmul(phi, strength[:, None, None, None], self.expand(hidden))
