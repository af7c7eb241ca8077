"""Distortions that training on baseline JPEG never shows, at several severities: does robustness carry over?

The levels of the codecs are chosen so that images of 32 px lose about as much as by JPEG at qualities 10, 20 and 50
(PSNR 23, 25.5 and 28 dB on CIFAR-10). Corruptions have the five severities of CIFAR-10-C (Hendrycks and Dietterich,
ICLR 2019).

Every distortion is deterministic. Its result depends on the image alone: the seed of the noise comes from the pixels.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.images.decode import decode
from fct.images.tables import UNKNOWN_QUALITY
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Split, drop_pages

Images = NDArray[np.uint8]  # [N, H, W, C]
CHUNK = 500  # images distorted at a time
OFFSET = (3, 5)  # pixels by which an off-grid JPEG's 8x8 blocks are shifted, down and right


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion."""

    title: str  # for tables
    levels: tuple[
        Any, ...
    ]  # from strong to mild for codecs, from mild to strong for corruptions, as their authors order them
    apply: Callable[[Images, Any], Images]
    quality: Callable[[Any], int] = lambda _level: UNKNOWN_QUALITY  # that a classifier reads from the file, by level
    colour: bool = False  # only for colour images: on grey ones it is ordinary JPEG


def distort(images: Images, name: str, severity: int) -> Images:
    """Return `images`, uint8 [N, H, W, C] with C 1 or 3, under the distortion `name` at its `severity`, from 1.

    Raises:
        FctError: there is no such distortion or severity, or the codec is not installed.
    """
    distortion = UNSEEN.get(name)
    if distortion is None:
        raise FctError(f"There is no distortion {name!r}. Choose one of {', '.join(UNSEEN)}.")
    if not 1 <= severity <= len(distortion.levels):
        raise FctError(f"{name} has severities 1 to {len(distortion.levels)} (not {severity}).")
    return distortion.apply(images, distortion.levels[severity - 1])


def distorted(split: Split, name: str, severity: int) -> Images:
    """Distort every image of `split` at its native size, then resize it to the model's size.

    Memory stays bounded, as with `fct.splits.views.compress_split`.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    channels = split.images.shape[-1]
    with tempfile.TemporaryDirectory() as folder:
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape)
        for start in range(0, len(split), CHUNK):
            rows = slice(start, start + CHUNK)
            if split.originals is None:
                views[rows] = distort(np.asarray(split.images[rows]), name, severity)
            else:
                for index in range(*rows.indices(len(split))):
                    native = decode(split.originals[index], channels)
                    views[index] = split.fit(distort(native[None], name, severity)[0])
            drop_pages(split.images, views)
    return views  # the mapping outlives the file's name


def every(channels: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, severity, JPEG quality that a classifier reads) of every distortion for these channels."""
    for name, distortion in UNSEEN.items():
        if channels == 3 or not distortion.colour:
            for severity, level in enumerate(distortion.levels, start=1):
                yield name, severity, distortion.quality(level)


def _codec(name: str, *, key: str = "level", **fixed: Any) -> Callable[[Images, Any], Images]:
    """Return the round trip through a codec of imagecodecs; the level is its parameter `key`."""

    def apply(images: Images, level: Any) -> Images:
        import imagecodecs

        if not getattr(imagecodecs, name.upper()).available:
            raise FctError(f"This build of imagecodecs lacks {name}. Install a full one: pip install imagecodecs")
        encode, decode = (getattr(imagecodecs, f"{name}_{direction}") for direction in ("encode", "decode"))

        def distort_one(image: Images) -> Images:
            grey = image.shape[-1] == 1
            rgb = np.repeat(image, 3, axis=-1) if grey else np.ascontiguousarray(image)  # some codecs lack grey
            decoded: Images = decode(encode(rgb, **{key: level}, **fixed))
            return decoded[..., :1] if grey else decoded[..., :3]

        return _map_images(distort_one, images)

    return apply


def _jpegli(images: Images, quality: int) -> Images:
    try:
        import pyjpegli
    except ImportError:
        raise FctError("jpegli is not installed. Install it: pip install pyjpegli") from None

    def distort_one(image: Images) -> Images:
        height, width, channels = image.shape
        rgb = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))
        pixels, _, _ = pyjpegli.decode(pyjpegli.encode(rgb.tobytes(), width, height, quality))
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[..., :channels]

    return _map_images(distort_one, images)


def _map_images(function: Callable[[Images], Images], images: Images) -> Images:
    """Apply `function` to each image, in threads: codecs release the interpreter while they work."""
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        return np.stack(list(pool.map(function, images))) if len(images) else images


def _double(images: Images, qualities: tuple[int, int]) -> Images:
    """Compress, crop so that the grid of blocks shifts, and compress again, as happens when an image is reposted."""
    first, second = qualities
    return roundtrip(_off_grid(images, first), second, "4:2:0")


def _fine_chroma(images: Images, quality: int) -> Images:
    return roundtrip(images, quality, "4:4:4")


def _off_grid(images: Images, quality: int) -> Images:
    """Compress a larger image (padded by reflection) and cut the image out: its JPEG grid starts beside its corner."""
    down, right = OFFSET
    padded = np.pad(images, ((0, 0), (down, 0), (right, 0), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(roundtrip(padded, quality, "4:2:0")[:, down:, right:])


def _noise(images: Images, deviation: float) -> Images:
    noisy = np.empty(images.shape, np.uint8)
    for index, image in enumerate(images):
        noise = np.random.default_rng(zlib.crc32(image.tobytes())).normal(size=image.shape) * deviation
        noisy[index] = _to_pixels(image / 255 + noise)
    return noisy


def _blur(images: Images, deviation: float) -> Images:
    from scipy.ndimage import gaussian_filter

    return _to_pixels(gaussian_filter(images / 255, (0, deviation, deviation, 0), mode="nearest", truncate=4))


def _contrast(images: Images, factor: float) -> Images:
    scaled = images / 255
    mean = scaled.mean((1, 2), keepdims=True)
    return _to_pixels((scaled - mean) * factor + mean)


def _pixelate(images: Images, scale: float) -> Images:
    from PIL import Image

    def distort_one(image: Images) -> Images:
        height, width, channels = image.shape
        whole = Image.fromarray(image[..., 0] if channels == 1 else image)
        small = whole.resize((max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.NEAREST)).reshape(image.shape)

    return _map_images(distort_one, images)


def _to_pixels(values: NDArray[np.float64]) -> Images:
    """Return values on the scale 0..1 as uint8 pixels."""
    return np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8)


UNSEEN: Mapping[str, Distortion] = {
    "webp": Distortion("WebP", (1, 10, 30), _codec("webp", lossless=False)),
    "jpeg2000": Distortion("JPEG 2000", (24, 26, 28.5), _codec("jpeg2k")),  # dB
    "avif": Distortion("AVIF", (14, 26, 42), _codec("avif", speed=8)),
    "jpegxl": Distortion("JPEG XL", (12.0, 7.0, 3.7), _codec("jpegxl", key="distance", lossless=False)),
    # jpegli's tables are its own; at these levels the nearest of IJG's are those of 40, 62 and 80.
    "jpegli": Distortion("jpegli", (10, 20, 50), _jpegli, quality={10: 40, 20: 62, 50: 80}.__getitem__),
    "double": Distortion("double JPEG", ((10, 50), (20, 70), (50, 90)), _double, quality=lambda level: int(level[1])),
    "444": Distortion("4:4:4", (10, 20, 50), _fine_chroma, quality=int, colour=True),
    "off-grid": Distortion("off-grid JPEG", (10, 20, 50), _off_grid),
    "noise": Distortion("Gaussian noise", (0.04, 0.06, 0.08, 0.09, 0.10), _noise),
    "blur": Distortion("Gaussian blur", (0.4, 0.6, 0.7, 0.8, 1.0), _blur),
    "contrast": Distortion("contrast", (0.75, 0.5, 0.4, 0.3, 0.15), _contrast),
    "pixelate": Distortion("pixelate", (0.95, 0.9, 0.85, 0.75, 0.65), _pixelate),
}
