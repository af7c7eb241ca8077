"""Residual networks for small images.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: a 3x3 stem and three stages of
(depth - 2) / 6 blocks, with projection shortcuts where the shape changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTHS = {"resnet8": 8, "resnet20": 20, "resnet56": 56}


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut: [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        # The stride is applied here, not in the 1x1 convolution. With few input channels, oneDNN's gradient of a
        # strided 1x1 convolution writes beyond its memory, and hangs or crashes
        # (github.com/uxlfoundation/oneDNN/issues/6035).
        shortcut = self.shortcut(x[:, :, :: self.stride, :: self.stride])
        return functional.relu(self.norm2(self.conv2(hidden)) + shortcut, inplace=True)


class ResNet(nn.Module):
    """A residual network for images of CIFAR's size: [B, channels, H, W] -> logits [B, classes].

    Its inner layers are `stem`, `stage1`, `stage2` and `stage3`, with width, width, 2 width and 4 width channels.
    """

    def __init__(self, depth: int, *, width: int, classes: int, channels: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.stage1 = _stage(width, width, blocks, stride=1)
        self.stage2 = _stage(width, 2 * width, blocks, stride=2)
        self.stage3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.head = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, classes]."""
        features = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.head(torch.mean(features, dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *(Block(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1) for i in range(blocks))
    )
