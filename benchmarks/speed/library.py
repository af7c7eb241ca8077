"""The library in a loop of one's own: importing it, `RandomJPEG` in a DataLoader, and a step with taps and loss."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

import fct
from benchmarks.speed.measure import Row, compare, photographs

RANGE = (10, 90)
WORKERS = 2
BATCH = 64
LOADED = {32: 4096, 224: 512}  # images of an epoch, by size
STEPS = {("resnet18", 64): 32, ("resnet18", 224): 8, ("resnet50", 64): 16}  # raw images in a step, by model and size


def imports() -> list[Row]:
    """Measure the process `python -c "import fct"` against one that imports nothing, and one that uses torch."""

    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    subjects = {"python": run("pass"), "import fct": run("import fct"), "import torch": run("import torch")}
    return compare("a process", 0, subjects, dict.fromkeys(subjects, 1))


def loader() -> list[Row]:
    """Measure an epoch of a DataLoader whose workers compress each image at a random quality."""
    rows: list[Row] = []
    for size, count in LOADED.items():
        images = torch.from_numpy(np.ascontiguousarray(photographs(count, size).transpose(0, 3, 1, 2)))
        in_loader = {name: _epoch(images, transform) for name, transform in _transforms().items()}
        jpeg, plain = fct.RandomJPEG(RANGE), _loader(images, None)
        epochs = in_loader | {"fct.RandomJPEG on the batch": lambda plain=plain, jpeg=jpeg: list(map(jpeg, plain))}
        rows += compare(f"DataLoader, {WORKERS} workers", size, epochs, dict.fromkeys(epochs, count), threads=WORKERS)
    return rows


class _Images(Dataset[Tensor]):
    def __init__(self, images: Tensor, transform: Callable[[Tensor], Tensor] | None) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Tensor:
        image = self.images[number]
        return image if self.transform is None else self.transform(image)


def _loader(images: Tensor, transform: Callable[[Tensor], Tensor] | None) -> DataLoader[Tensor]:
    return DataLoader(_Images(images, transform), BATCH, num_workers=WORKERS, persistent_workers=True)


def _epoch(images: Tensor, transform: Callable[[Tensor], Tensor] | None) -> Callable[[], object]:
    batches = _loader(images, transform)
    return lambda: sum(len(batch) for batch in batches)


def _transforms() -> dict[str, Callable[[Tensor], Tensor] | None]:
    import kornia
    from torchvision.transforms import v2

    differentiable = kornia.augmentation.RandomJPEG(jpeg_quality=tuple(map(float, RANGE)), p=1.0)

    def pillow(image: Tensor) -> Tensor:
        buffer, quality = io.BytesIO(), int(torch.randint(RANGE[0], RANGE[1] + 1, ()))
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
        return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)

    return {
        "torchvision v2.JPEG": v2.JPEG(RANGE),
        "Pillow": pillow,
        "kornia RandomJPEG (not exact)": lambda image: differentiable(image / 255)[0],
        "fct.RandomJPEG": fct.RandomJPEG(RANGE),
        "no compression": None,
    }


def taps() -> list[Row]:
    """Measure a step on raw and compressed images with cross entropy alone, and with taps and consistency."""
    rows = []
    for (name, size), count in STEPS.items():
        with ExitStack() as stack:
            ways = {
                "cross entropy of both views": _step(name, size, count, None),
                "and consistency of two layers": _step(name, size, count, stack),
            }
            rows += compare(f"step of {name}", size, ways, dict.fromkeys(ways, count), threads=torch.get_num_threads())
    return rows


def _step(name: str, size: int, count: int, stack: ExitStack | None) -> Callable[[], object]:
    """Return a training step. With `stack`, which closes the taps, its loss has the consistency of two layers."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    model: nn.Module = get_model(name, num_classes=10)
    tap = None if stack is None else stack.enter_context(fct.FeatureTaps(model, ["layer3", "layer4"]))
    jpeg, consistency = fct.RandomJPEG(RANGE), fct.FeatureConsistencyLoss()
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    images = torch.from_numpy(np.ascontiguousarray(photographs(count, size).transpose(0, 3, 1, 2)))
    labels = torch.arange(count) % 10

    def step() -> None:
        both = torch.cat([images, jpeg(images)])
        logits = model(both.float() / 255 - 0.5)
        loss = cross_entropy(logits, labels.repeat(2))
        if tap is not None:
            loss = loss + consistency(*tap.halves())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()

    return step
