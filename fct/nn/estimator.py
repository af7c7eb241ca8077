"""The JPEG quality of an image that no table tells, estimated from its pixels.

A screenshot, a WebP, or a crop that was saved as PNG shows what JPEG or a codec like it has done, but has no
quantisation tables to read. Three convolutions look for the traces, wherever the 8x8 grid lies.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = 16  # channels of the first convolution


class QualityEstimator(nn.Module):
    """Images float [B, C, H, W] of any size, normalised -> quality float32 [B], 0..100."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((channels, WIDTH, 1), (WIDTH, WIDTH, 2), (WIDTH, 2 * WIDTH, 2)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.look = nn.Sequential(*layers)
        self.tell = nn.Linear(2 * WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the quality of each image."""
        traces = self.tell(self.look(image).mean((2, 3)))
        quality: Tensor = 100 * (1 - traces.float().sigmoid().squeeze(1))
        return quality
