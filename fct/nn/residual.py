"""The residual mapping block: it reduces JPEG's distortion of a feature, given the quality.

The paper's abstract says that the block uses the quality factor as extra information and further reduces the
distortion. The rest is this project's reconstruction:

    R(phi, q) = phi + s(q) * bottleneck(phi; q),    s(q) = (100 - q) / 100

The bottleneck has 1x1, 3x3 and 1x1 convolutions, or three linear maps for a feature of tokens. s(100) = 0, so the block
does not change a feature of a raw image. The last map starts at zero, so an untrained block changes nothing at any
quality. The quality enters in one of three ways:

    film    a small network of s(q) scales and shifts the bottleneck (FiLM: Perez et al., AAAI 2018)
    table   like film, but the input is the 128 entries of the quantisation tables of quality q, JPEG's real divisors
    plane   s(q) is an additional channel of the bottleneck's input
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from fct.images.tables import all_tables
from fct.nn.layout import LAYOUTS, Layout, named_layout

QualityInput = Literal["film", "plane", "table"]
QUALITY_INPUTS: tuple[QualityInput, ...] = get_args(QualityInput)
FILM_WIDTH = 32  # hidden units of the small network that computes scales and shifts from a quality


class ResidualMappingBlock(nn.Module):
    """Reduce JPEG's distortion of a feature, given the quality: R(phi, q) = phi + s(q) * bottleneck(phi; q).

    Wan et al., IEEE TCSVT 2020, reconstructed from the abstract; `fct.nn.residual` has the equations. An untrained
    block changes nothing, and no block ever changes a feature at quality 100.

    Args:
        channels: number of channels of the features.
        layout: layout of features: "map" [B, C, H, W], "tokens" [B, N, C], "channels-last" [B, H, W, C], or a `Layout`.
        width: the width of the bottleneck, relative to `channels`.
        quality: how the quality enters: "film", "plane" or "table".

    Shape:
        phi: float, in the layout.
        quality: [B], 0..100. It need not be an integer, since it may be an estimate. Here 0 is the lowest quality; in
            `QualityAware` it is an unknown one. The range is checked on the CPU.
        output: as phi.

    Raises:
        ValueError: an argument is out of range, or a feature does not fit.

    Example:
        >>> block = ResidualMappingBlock(64)
        >>> block(torch.randn(2, 64, 7, 7), torch.tensor([10, 90])).shape
        torch.Size([2, 64, 7, 7])
        >>> tokens = ResidualMappingBlock(192, "tokens", quality="table")
        >>> tokens(torch.randn(2, 50, 192), torch.tensor([10, 90])).shape
        torch.Size([2, 50, 192])
    """

    def __init__(
        self, channels: int, layout: Layout | str = "map", *, width: float = 1.0, quality: QualityInput = "film"
    ) -> None:
        super().__init__()
        layout = named_layout(layout) if isinstance(layout, str) else layout
        if layout == LAYOUTS["vector"]:
            raise ValueError("a feature [B, C] has no residual mapping block; choose a map or tokens.")
        if not isinstance(channels, int) or channels < 1 or not 0 < width < math.inf:
            raise ValueError(
                f"channels are {channels!r}, width is {width!r}; they are an integer and a number above 0."
            )
        if quality not in QUALITY_INPUTS:
            raise ValueError(f"quality is {quality!r}; it is one of {', '.join(QUALITY_INPUTS)}.")
        self.channels = channels
        inner = max(4, round(channels * width))
        self.axis, self.ndim = layout.axis, layout.ndim
        self.has_plane = quality == "plane"
        inputs = channels + self.has_plane
        if layout.is_map:
            self.reduce: nn.Module = nn.Conv2d(inputs, inner, 1)
            self.mix: nn.Module = nn.Conv2d(inner, inner, 3, padding=1)
            expand: nn.Conv2d | nn.Linear = nn.Conv2d(inner, channels, 1)
        else:
            self.reduce, self.mix = nn.Linear(inputs, inner), nn.Linear(inner, inner)
            expand = nn.Linear(inner, channels)
        self.expand = expand
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)  # type: ignore[arg-type]  # there is a bias
        self.film = None if self.has_plane else Film(inner, table=quality == "table")

    def forward(self, phi: Tensor, quality: Tensor) -> Tensor:
        """Return R(phi, quality)."""
        if phi.ndim != self.ndim or phi.shape[self.axis] != self.channels or quality.shape != phi.shape[:1]:
            raise ValueError(
                f"the feature has shape {list(phi.shape)}, the quality {list(quality.shape)}; this block takes "
                f"{self.ndim} axes, {self.channels} channels at axis {self.axis}, and one quality for each image."
            )
        if quality.device.type == "cpu" and not torch.compiler.is_compiling():
            check_quality(quality)
        strength = ((100 - quality) / 100).to(phi.dtype)  # s(q), [B]
        scale = strength.view(-1, *[1] * (phi.ndim - 1))
        x = phi
        if self.has_plane:
            plane = scale.expand_as(phi.narrow(self.axis, 0, 1))
            x = torch.cat([phi, plane], dim=self.axis)
        hidden = self.mix(functional.relu(self.reduce(x)))
        if self.film is not None:
            hidden = self.film(hidden, quality, self.axis)
        return torch.addcmul(phi, scale, self.expand(functional.relu(hidden)))


class Film(nn.Module):
    """Scale and shift a feature's channels by the quality."""

    tables: Tensor | None

    def __init__(self, channels: int, *, table: bool) -> None:
        super().__init__()
        self.register_buffer("tables", _standardised_tables() if table else None, persistent=False)
        inputs = 1 if self.tables is None else self.tables.shape[1]
        self.net = nn.Sequential(nn.Linear(inputs, FILM_WIDTH), nn.ReLU(), nn.Linear(FILM_WIDTH, 2 * channels))

    def forward(self, feature: Tensor, quality: Tensor, axis: int) -> Tensor:
        """Return (1 + scale) * feature + shift, channels at `axis`."""
        x = (100 - quality[:, None]) / 100 if self.tables is None else self.tables[(quality + 0.5).long()]
        scales_and_shifts = self.net(x.to(feature.dtype))
        shape = [1] * feature.ndim
        shape[0], shape[axis] = -1, feature.shape[axis]
        scale, shift = (half.reshape(shape) for half in scales_and_shifts.chunk(2, dim=1))
        modulated: Tensor = feature * (1 + scale) + shift
        return modulated


def _standardised_tables() -> Tensor:
    """Return the logarithms of both quantisation tables of each quality, standardised by entry: [101, 128].

    Row q belongs to quality q. An estimate can be 0; its row is equal to that of quality 1.
    """
    entries = torch.tensor(all_tables()).reshape(100, 128).float().log2()
    entries = (entries - entries.mean(0)) / entries.std(0)
    return torch.cat([entries[:1], entries])


def check_quality(quality: Tensor) -> None:
    """Check qualities on the CPU.

    Raises:
        ValueError: a quality is not from 0 to 100.
    """
    outside = quality[~((quality >= 0) & (quality <= 100))]  # nan is outside, too
    if len(outside):
        raise ValueError(f"quality is {outside[0].item()}; it is from 1 to 100, or 0 if it is unknown.")
