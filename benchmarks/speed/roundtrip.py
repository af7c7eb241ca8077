"""Compressing and decompressing in memory: one core, each image at a quality of its own, 4:2:0."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
import torch
from PIL import Image

from benchmarks.speed.measure import Row, compare, photographs
from fct import jpeg
from fct.jpeg.tensors import by_tensors

COUNTS = {32: 512, 64: 256, 224: 32}  # images, by size
QUALITIES = np.arange(10, 100, 10)


def rows() -> list[Row]:
    """Measure every way at every size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found: list[Row] = []
    for size, count in COUNTS.items():
        ways = _ways(size, count)
        found += compare("round trip", size, ways, dict.fromkeys(ways, count))
    torch.set_num_threads(threads)
    return found


def _ways(size: int, count: int) -> dict[str, Callable[[], object]]:
    import kornia
    from torchvision.transforms import v2

    images = photographs(count, size)
    quality = np.resize(QUALITIES, count)
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    told, floats = torch.from_numpy(quality), tensor.float() / 255
    torchvision = {int(q): v2.JPEG((int(q), int(q))) for q in QUALITIES}
    differentiable = kornia.augmentation.RandomJPEG(jpeg_quality=(10.0, 90.0), p=1.0)

    def pillow() -> None:
        for image, q in zip(images, quality, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=int(q))
            np.asarray(Image.open(buffer))

    def by_torchvision() -> None:
        for image, q in zip(tensor, quality, strict=True):
            torchvision[int(q)](image)

    def opencv() -> None:
        for image, q in zip(images, quality, strict=True):
            cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(q)])[1], cv2.IMREAD_COLOR)

    def by_imagecodecs() -> None:
        for image, q in zip(images, quality, strict=True):
            imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(image, level=int(q), subsampling="420"))

    return {
        "Pillow": pillow,
        "torchvision v2.JPEG": by_torchvision,
        "OpenCV": opencv,
        "imagecodecs": by_imagecodecs,
        "kornia RandomJPEG (not exact)": lambda: differentiable(floats),
        "fct.jpeg.roundtrip": lambda: jpeg.roundtrip(tensor, told),
        "fct.jpeg.roundtrip without numba": lambda: by_tensors(tensor, told, "4:2:0"),
    }


def scaling() -> list[Row]:
    """Measure one thread against all cores."""
    import os

    found: list[Row] = []
    for size, count in COUNTS.items():
        tensor = torch.from_numpy(np.ascontiguousarray(photographs(8 * count, size).transpose(0, 3, 1, 2)))
        told = torch.from_numpy(np.resize(QUALITIES, len(tensor)))

        def on(threads: int, tensor: torch.Tensor = tensor, told: torch.Tensor = told) -> None:
            torch.set_num_threads(threads)
            jpeg.roundtrip(tensor, told)

        every = os.cpu_count() or 1
        ways = {"1 thread": lambda: on(1), f"{every} threads": lambda: on(every)}  # noqa: B023  # run at once
        one, more = compare("round trip, threads", size, ways, dict.fromkeys(ways, len(tensor)))
        found += [one, more._replace(threads=every)]
    return found
