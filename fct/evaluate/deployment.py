"""Differences between deployment and training for the same photograph: decoders, resizers, colours, chains.

SysNoise (Wang et al., MLSys 2023, arXiv 2307.00280) measured what such differences cost models on ImageNet. A ResNet-18
loses about one point of accuracy with another decoder, and about one with another resizer.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fct.core.errors import FctError
from fct.evaluate.codecs import Images, import_jpegli, map_images
from fct.images.fit import Interpolation, Pixels, Scale, pillow_scale
from fct.jpeg.arrays import roundtrip


def decoder(**options: bool) -> Callable[[Images, int], Images]:
    """Return JPEG at a quality, decoded by libjpeg-turbo with these options of simplejpeg.

    Without options the pixels equal Pillow's and OpenCV's, which use the same library with its defaults.
    """

    def apply(images: Images, quality: int) -> Images:
        try:
            import simplejpeg
        except ImportError:
            raise FctError("simplejpeg is not installed. Install it: pip install simplejpeg") from None

        def distort_one(image: Images) -> Images:
            space = "GRAY" if image.shape[-1] == 1 else "RGB"
            decoded: Images = simplejpeg.decode_jpeg(_jpeg_file(image, quality), space, **options)
            return decoded

        return map_images(distort_one, images)

    return apply


def jpegli_decoder(images: Images, quality: int) -> Images:
    """Compress by libjpeg-turbo, decompress by jpegli, which dequantises and computes in floating point."""
    pyjpegli = import_jpegli()

    def distort_one(image: Images) -> Images:
        height, width, channels = image.shape
        pixels, _, _ = pyjpegli.decode(_jpeg_file(image, quality))
        return np.frombuffer(pixels, np.uint8).reshape(height, width, -1)[..., :channels]

    return map_images(distort_one, images)


def pillow(interpolation: Interpolation) -> Scale:
    """Return one of Pillow's resizers. All but nearest average over all pixels that they shrink."""
    return lambda image, shape: pillow_scale(image, shape, interpolation)


def opencv(interpolation: str) -> Scale:
    """Return OpenCV's resizer `interpolation`, such as INTER_LINEAR, which looks at only four pixels."""

    def scale(image: Pixels, shape: tuple[int, int]) -> Pixels:
        try:
            import cv2
        except ImportError:
            raise FctError("OpenCV is not installed. Install it: pip install opencv-python-headless") from None
        scaled = cv2.resize(image, shape[::-1], interpolation=getattr(cv2, interpolation))
        return np.asarray(scaled, np.uint8).reshape(*shape, image.shape[2])

    return scale


def without_antialias(image: Pixels, shape: tuple[int, int]) -> Pixels:
    """Scale as torchvision's resize does to tensors with antialias=False."""
    import torch
    from torchvision.transforms.v2 import functional

    scaled = functional.resize(torch.from_numpy(image.transpose(2, 0, 1).copy()), list(shape), antialias=False)
    return np.ascontiguousarray(scaled.numpy().transpose(1, 2, 0))


def draft(image: Pixels, shape: tuple[int, int]) -> Pixels:
    """Scale as Pillow's `thumbnail` does to JPEG files: first by a smaller DCT, to at least twice the size."""
    height, width = shape
    with Image.open(io.BytesIO(_jpeg_file(image, 95))) as file:
        file.draft(None, (2 * width, 2 * height))
        reduced = np.asarray(file).reshape(file.height, file.width, image.shape[2])
    return pillow_scale(reduced, shape, "bicubic")


def half_pixel(image: Pixels, shape: tuple[int, int]) -> Pixels:
    """Scale with the centre half a pixel of the result too far down and to the right."""
    down, right = (before / after / 2 for before, after in zip(image.shape[:2], shape, strict=True))
    padding = ((0, int(down) + 1), (0, int(right) + 1), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    picture = Image.fromarray(padded[:, :, 0] if image.shape[2] == 1 else padded)
    box = (right, down, right + image.shape[1], down + image.shape[0])
    scaled = picture.resize(shape[::-1], Image.Resampling.BILINEAR, box=box)
    return np.asarray(scaled).reshape(*shape, image.shape[2])


def range_mistaken(images: Images, kind: str) -> Images:
    """Mistake the range of luma and chroma (ITU-R BT.601).

    Video has luma 16..235 and chroma 16..240, JPEG has 0..255. `expanded` reads JPEG's values as video's. `washed`
    reads video's values as JPEG's.
    """
    luma, chroma = (255 / 219, 255 / 224) if kind == "expanded" else (219 / 255, 224 / 255)
    offset = -16 * luma if kind == "expanded" else 16
    if images.shape[-1] == 1:
        return _round(images * luma + offset)
    planes = images @ _RGB_TO_YCBCR.T
    planes[..., 0] = planes[..., 0] * luma + offset
    planes[..., 1:] *= chroma
    return _round(planes @ _YCBCR_TO_RGB.T)


def swapped(images: Images, _level: Any) -> Images:
    """Mistake BGR for RGB, as when OpenCV reads an image for a model that was trained with Pillow."""
    return np.ascontiguousarray(images[..., ::-1])


@dataclass(frozen=True)
class Resize:
    """A step of a chain: shrink the image until its longer side has at most `longest` pixels."""

    longest: int


@dataclass(frozen=True)
class Jpeg:
    """A step of a chain: compress, 4:2:0."""

    quality: int


@dataclass(frozen=True)
class Screenshot:
    """A step of a chain: show the image on a screen, take its picture and cut it out by hand.

    The screen shrinks larger images and enlarges smaller ones. The cut misses some pixels at the left and at the top,
    which shifts the grid of blocks.
    """

    screen: int = 1080  # pixels along the longer side of the image
    largest_zoom: float = 1.25
    cut: tuple[int, int] = (3, 5)  # pixels, down and right


Step = Resize | Jpeg | Screenshot


def chain(images: Images, steps: Sequence[Step]) -> Images:
    """Take the steps one after the other. The results may have another size."""
    return map_images(lambda image: _take(image, steps), images)


def _take(image: Pixels, steps: Sequence[Step]) -> Pixels:
    for step in steps:
        height, width = image.shape[:2]
        if isinstance(step, Jpeg):
            image = roundtrip(image[None], step.quality, "4:2:0")[0]
        elif isinstance(step, Screenshot):
            down, right = (min(cut, side // 8) for cut, side in zip(step.cut, (height, width), strict=True))
            zoom = min(step.largest_zoom, step.screen / max(height, width))
            image = _zoom(image[down:, right:], zoom, "bilinear")
        elif max(height, width) > step.longest:
            image = _zoom(image, step.longest / max(height, width), "bicubic")
    return image


def last_quality(steps: Sequence[Step]) -> int:
    """Return the quality of a chain's last JPEG, which is the file that a classifier gets."""
    return [step.quality for step in steps if isinstance(step, Jpeg)][-1]


def _zoom(image: Pixels, factor: float, interpolation: Interpolation) -> Pixels:
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return pillow_scale(image, (height, width), interpolation)


def _jpeg_file(image: Pixels, quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _round(values: Any) -> Images:
    return np.asarray(np.clip(values, 0, 255) + 0.5, np.uint8)


# ITU-T T.871 (JFIF), without the offset of 128, which range_mistaken does not need
_RGB_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_YCBCR_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
