"""How fast the cache is built: against a Pillow loop on one core, and on one core against all.

    python -m benchmarks.cache

Times `fct.cache.views.compressed` on images made of noise and gradients. Ratios of one run on one machine; run it on an
idle one.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fct.cache.views import compressed
from fct.data.store import LOSSLESS, Split

ROUNDS = 3  # of which the fastest counts
SHAPES = {"28 px, grey": (60_000, 28, 28, 1), "32 px, RGB": (60_000, 32, 32, 3), "96 px, RGB": (20_000, 96, 96, 3)}
PILLOW_SHARE = 40  # the Pillow loop compresses every 40th image


def main() -> None:
    """Print a row a size."""
    print(f"{joblib.cpu_count()} cores; us an image, and ratios")
    print(f"{'':14}{'Pillow':>8}{'1 core':>8}{'all':>8}{'Pillow/1':>10}{'1/all':>8}")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            images = _on_disk(_scenes(shape), folder)
            split = Split(name, images, np.zeros(len(images), np.int64), np.full(len(images), LOSSLESS), None)
            pillow = _time(lambda images=images[::PILLOW_SHARE]: _by_pillow(images)) / len(images[::PILLOW_SHARE])
            one = _time(lambda split=split: _with_cores("1", split)) / len(split)
            every = _time(lambda split=split: _with_cores(None, split)) / len(split)
        print(f"{name:14}{pillow:8.1f}{one:8.1f}{every:8.1f}{pillow / one:10.2f}{one / every:8.2f}")


def _scenes(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, int(np.prod(shape[1:]))).reshape(shape[1:])
    noise = rng.integers(0, 56, (64, *shape[1:]))
    return np.resize((ramp + noise).astype(np.uint8), shape)


def _on_disk(images: NDArray[np.uint8], folder: str) -> NDArray[np.uint8]:
    """Return the images memory-mapped, as splits are."""
    path = Path(folder) / "images.npy"
    np.save(path, images)
    return np.load(path, mmap_mode="r")


def _by_pillow(images: NDArray[np.uint8]) -> None:
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=50)
        np.asarray(Image.open(buffer))


def _with_cores(count: str | None, split: Split) -> None:
    if count:
        os.environ["LOKY_MAX_CPU_COUNT"] = count
    else:
        os.environ.pop("LOKY_MAX_CPU_COUNT", None)
    compressed(split, 50, "4:2:0")


def _time(work: Callable[[], None]) -> float:
    """Return the microseconds of the fastest of `ROUNDS` runs."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


if __name__ == "__main__":
    main()
