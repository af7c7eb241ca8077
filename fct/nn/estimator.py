"""Estimate the JPEG quality of an image from its pixels, for files without JPEG tables.

A screenshot, a WebP, or a crop that was saved as PNG shows artefacts of JPEG or a similar codec, but has no
quantisation tables. Three convolutions detect the artefacts at any position of the 8x8 grid. They see each pixel's
difference from its neighbourhood: the image itself varies far more than its artefacts, and would hide them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

WIDTH = 16  # channels of the first convolution


class QualityEstimator(nn.Module):
    """Normalised images, float [B, C, H, W] of any size -> quality float32 [B], 0..100."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((channels, WIDTH, 1), (WIDTH, WIDTH, 2), (WIDTH, 2 * WIDTH, 2)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.detect = nn.Sequential(*layers)  # both names are in the files of saved networks
        self.tell = nn.Linear(2 * WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the quality of each image."""
        detail = image - functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
        score = self.tell(self.detect(detail).mean((2, 3)))
        quality: Tensor = 100 * (1 - score.float().sigmoid().squeeze(1))
        return quality
