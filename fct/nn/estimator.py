"""Estimate the JPEG quality of an image from its pixels, where the file has no JPEG tables, or they mislead.

A screenshot, a WebP, or a crop that was saved as PNG shows artefacts of JPEG or a similar codec, but has no
quantisation tables. Three convolutions detect the artefacts at any position of the 8x8 grid. The filters of the first
sum to zero, so that they see differences between neighbours alone: the image itself varies far more than its artefacts,
and would hide them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

WIDTH = 16  # channels of the first convolution


class QualityEstimator(nn.Module):
    """Normalised images, float [B, C, H, W] of any size -> quality float32 [B], 0..100."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [Differences(channels, WIDTH, 3, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
        for outputs in (WIDTH, 2 * WIDTH):
            layers += [nn.Conv2d(WIDTH, outputs, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.detect = nn.Sequential(*layers)  # both names are in the files of saved networks
        self.tell = nn.Linear(2 * WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the quality of each image."""
        score = self.tell(self.detect(image).mean((2, 3)))
        quality: Tensor = 100 * (1 - score.float().sigmoid().squeeze(1))
        return quality


class Differences(nn.Conv2d):
    """A convolution whose filters sum to zero in each channel, without padding: an even area gives zeros."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the filtered image."""
        weight = self.weight - self.weight.mean((2, 3), keepdim=True)
        return functional.conv2d(image, weight, self.bias, self.stride)
