"""The training that one would write without this project: what `benchmarks.speed` holds it against.

A Dataset that compresses item by item, a DataLoader with two workers, float32, the two views one after the other.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, Dataset

WORKERS = 2
BATCH = 128  # images


class Pairs(Dataset[tuple[Tensor, Tensor, int]]):
    """Each image raw and compressed by Pillow or torchvision, under one crop and flip, normalised."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], codec: str) -> None:
        self.images, self.labels, self.codec = images, labels, codec
        from torchvision.transforms import v2  # seconds to import

        self.v2 = v2
        self.augment = v2.Compose([v2.RandomCrop(images.shape[1], padding=2), v2.RandomHorizontalFlip()])
        self.normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        """Return the raw view, the compressed view and the label."""
        quality = random.randrange(10, 100, 10)  # noqa: S311  # no secret
        if self.codec == "Pillow":
            image, buffer = Image.fromarray(self.images[index]), io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            views = [self.v2.functional.pil_to_tensor(each) for each in (image, Image.open(buffer).convert("RGB"))]
        else:
            raw = torch.from_numpy(self.images[index]).permute(2, 0, 1).contiguous()
            views = [raw, self.v2.JPEG((quality, quality))(raw)]
        raw, compressed = self.normalise(self.augment(torch.stack(views)))
        return raw, compressed, int(self.labels[index])


class Plain:
    """The script: `batches` and `step`."""

    def __init__(
        self, network: nn.Module, layers: list[str], images: NDArray[np.uint8], labels: NDArray[np.int64], codec: str
    ) -> None:
        self.network = network
        self.features: list[Tensor] = []
        for layer in layers:
            network.get_submodule(layer).register_forward_hook(lambda *seen: self.features.append(seen[2]))
        self.optimiser = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
        self.loader = DataLoader(
            Pairs(images, labels, codec),
            128,
            shuffle=True,
            num_workers=WORKERS,
            drop_last=True,
            persistent_workers=True,
        )

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield batches without end."""
        while True:
            yield from self.loader

    def step(self, raw: Tensor, compressed: Tensor, label: Tensor) -> float:
        """Take a step of feature consistency training."""
        first = self.network(raw)
        raw_features = [feature.detach() for feature in self.features]
        self.features.clear()
        second = self.network(compressed)
        distances = [mse_loss(a, b) / b.var() for a, b in zip(self.features, raw_features, strict=True)]
        self.features.clear()
        entropy = (cross_entropy(first, label) + cross_entropy(second, label)) / 2
        loss = entropy + 0.3 * torch.stack(distances).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimiser.step()
        return loss.item()
