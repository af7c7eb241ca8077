"""A small, fast convolutional network for small images, like those of speed records on CIFAR-10.

Sources: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, and Page, "How to Train Your ResNet", 2018.
It takes from them the stem of 2x2 patches, whose filters decorrelate pixels, and three stages of two convolutions with
pooling between them. Stages start as the identity and have no shortcuts. Pooling before the norm makes that cheaper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 2  # pixels, height and width of the stem's filters
SMALLEST = 16  # pixels, smallest height and width of an image
SCALE = 1 / 9  # of the logits, since the pooled features are large


class SpeedNet(nn.Module):
    """[B, channels, H, W], H and W at least SMALLEST -> logits [B, classes].

    Its inner layers are `stem`, `stage1`, `stage2` and `stage3`. The stem has 8 times the image's channels, the stages
    have width, 4 width and 4 width.
    """

    def __init__(self, *, width: int, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = Stem(channels)
        self.stage1 = Stage(2 * PATCH**2 * channels, width)
        self.stage2 = Stage(width, 4 * width)
        self.stage3 = Stage(4 * width, 4 * width)
        self.head = nn.Linear(4 * width, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, classes]."""
        features = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.head(torch.amax(features, dim=(2, 3)))
        return logits * SCALE


class Stem(nn.Module):
    """Decorrelated 2x2 patches, and their negatives: [B, C, H, W] -> [B, 8 C, H - 1, W - 1].

    A filter is the product of a Haar wavelet over the patch and a cosine over the channels. These products are close to
    the principal components of patches of natural images, so the norm after them whitens. The filters are not trained.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, PATCH**2 * channels, PATCH, bias=False)
        self.norm = nn.BatchNorm2d(PATCH**2 * channels, affine=False)
        step = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
        haar = torch.einsum("ai,bj->abij", step, step).flatten(0, 1)  # [4, 2, 2]
        filters = torch.einsum("kc,pij->kpcij", _opponent(channels), haar).flatten(0, 1)
        # Not trained, which saves a third of the backward pass.
        self.conv.weight = nn.Parameter(filters, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stem's feature."""
        x = self.norm(self.conv(x))
        return functional.gelu(torch.cat([x, -x], dim=1))


class Stage(nn.Module):
    """Convolution, 2x2 pooling, convolution: [B, inputs, H, W] -> [B, outputs, H // 2, W // 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        """Return the stage's feature."""
        x = functional.gelu(self.norm1(functional.max_pool2d(self.conv1(x), 2)))
        return functional.gelu(self.norm2(self.conv2(x)))


def _opponent(channels: int) -> Tensor:
    """Return an orthonormal basis [channels, channels] of the cosine transform. Its first vector is the mean."""
    k, n = torch.arange(channels)[:, None], torch.arange(channels)[None]
    basis: Tensor = torch.cos(torch.pi * k * (2 * n + 1) / (2 * channels)) * (2 / channels) ** 0.5
    basis[0] /= 2**0.5
    return basis
