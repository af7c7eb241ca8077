"""Distortions that training on baseline JPEG never shows: does robustness carry over to them?

    codec        other codecs, and other uses of JPEG. Their levels are chosen so that images of 32 px lose about as
                 much as with JPEG at qualities 10, 20 and 50 (PSNR 23, 25.5 and 28 dB on CIFAR-10)
    corruption   as in CIFAR-10-C, with its five severities
    decoder, resizer, colour, precision, chain
                 differences between a deployment and the training's machine, and what happens to images before they
                 arrive (fct.evaluate.deployment, fct.evaluate.precision)

Every distortion is deterministic. Its result depends on the image alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from numpy.lib.format import open_memmap

from fct.core.errors import FctError
from fct.evaluate import codecs, corruptions, deployment, precision
from fct.evaluate.codecs import Images
from fct.evaluate.deployment import Jpeg, Resize, Screenshot
from fct.evaluate.model import Model
from fct.images.decode import UnusableImage
from fct.images.fit import Fit, Pixels, Scale, pillow_scale
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits.store import Originals, Split, drop_pages
from fct.splits.views import read_original

CHUNK = 500  # images distorted at a time
ENLARGEMENT = 2  # of images that have the model's size already, so that a resizer has something to do

Kind = Literal["codec", "corruption", "decoder", "resizer", "colour", "precision", "chain"]


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion: of an image's pixels, of the way it gets the model's size, or of the model's numbers."""

    kind: Kind
    title: str  # for tables
    # From strong to mild; but corruptions from mild to strong, as their authors order them.
    levels: tuple[Any, ...] = (None,)
    apply: Callable[[Images, Any], Images] = lambda images, _level: images
    scale: Scale | None = None  # instead of the fit's own resizer
    convert: Callable[[Model], Model] | None = None  # the model that is measured
    quality: Callable[[Any], int] = lambda _level: UNKNOWN_QUALITY  # in the file, by level
    colour: bool = False  # only for colour images: grey ones stay as they are


def distort(images: Images, name: str, severity: int) -> Images:
    """Return `images`, uint8 [N, H, W, C] with C 1 or 3, under the distortion `name` at its `severity`, from 1.

    Resizers act when an image gets the model's size (`distorted`), precisions on the model: they return the images.
    Chains may return another size.

    Raises:
        FctError: there is no such distortion or severity, or its package is not installed.
    """
    distortion = UNSEEN.get(name)
    if distortion is None:
        raise FctError(f"There is no distortion {name!r}. Choose one of {', '.join(UNSEEN)}.")
    if not 1 <= severity <= len(distortion.levels):
        raise FctError(f"{name} has severities 1 to {len(distortion.levels)} (not {severity}).")
    return distortion.apply(images, distortion.levels[severity - 1])


def distorted(split: Split, name: str, severity: int) -> Images:
    """Distort every image of `split` at its native size, then resize it to the model's size.

    Images that already have the model's size are enlarged by 2 before a resizer acts, as on a screen of high density.
    Memory stays bounded, as with `fct.splits.views.compress_split`.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    scale = UNSEEN[name].scale
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(joblib.cpu_count()) as pool:
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape)
        for start in range(0, len(split), CHUNK):
            rows = slice(start, start + CHUNK)
            if split.originals is None:
                done = distort(np.asarray(split.images[rows]), name, severity)
                views[rows] = done if _fits(done, split.fit, scale) else [_fit(one, split.fit, scale) for one in done]
            else:
                # Threads are enough: decoders release the interpreter's lock.
                from_file = partial(_from_file, split, split.originals, name, severity)
                views[rows] = list(pool.map(from_file, range(*rows.indices(len(split)))))
            drop_pages(split.images, views)
    return views  # the mapping outlives the file's name


def every(channels: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, severity, JPEG quality that a classifier reads) of every distortion for these channels."""
    for name, distortion in UNSEEN.items():
        if channels == 3 or not distortion.colour:
            for severity, level in enumerate(distortion.levels, start=1):
                yield name, severity, distortion.quality(level)


def _from_file(split: Split, originals: Originals, name: str, severity: int, index: int) -> Pixels:
    native = read_original(originals, index, split.images.shape[-1])
    try:
        return _fit(distort(native[None], name, severity)[0], split.fit, UNSEEN[name].scale)
    except UnusableImage as error:
        raise FctError(
            f"params.yaml: evaluate.unseen: {name} cannot be measured on an image of the split {split.name}, which is "
            f"{error}. Or remove {name} from the list."
        ) from None


def _fits(images: Images, fit: Fit, scale: Scale | None) -> bool:
    return scale is None and images.shape[1:3] == (fit.size, fit.size) and fit == Fit(fit.size)


def _fit(image: Pixels, fit: Fit, scale: Scale | None) -> Pixels:
    if scale is None:
        return fit(image)
    if image.shape[:2] == (fit.size, fit.size):
        image = pillow_scale(image, (ENLARGEMENT * fit.size, ENLARGEMENT * fit.size), "lanczos")
    return fit.scale_and_crop(image, scale)


UPLOADS = (50, 75, 90)  # JPEG qualities that other decoders decompress

UNSEEN: Mapping[str, Distortion] = {
    "webp": Distortion("codec", "WebP", (1, 10, 30), codecs.codec("webp", lossless=False)),
    "jpeg2000": Distortion("codec", "JPEG 2000", (24, 26, 28.5), codecs.codec("jpeg2k")),  # dB
    "avif": Distortion("codec", "AVIF", (14, 26, 42), codecs.codec("avif", speed=8)),
    "jpegxl": Distortion("codec", "JPEG XL", (12.0, 7.0, 3.7), codecs.codec("jpegxl", key="distance", lossless=False)),
    # jpegli's tables are its own; at these levels the nearest of IJG's are those of 40, 62 and 80.
    "jpegli": Distortion("codec", "jpegli", (10, 20, 50), codecs.jpegli, quality={10: 40, 20: 62, 50: 80}.__getitem__),
    "double": Distortion(
        "codec", "double JPEG", ((10, 50), (20, 70), (50, 90)), codecs.double, quality=lambda level: int(level[1])
    ),
    "444": Distortion("codec", "4:4:4", (10, 20, 50), codecs.fine_chroma, quality=int, colour=True),
    "off-grid": Distortion("codec", "off-grid JPEG", (10, 20, 50), codecs.off_grid),
    "noise": Distortion("corruption", "Gaussian noise", (0.04, 0.06, 0.08, 0.09, 0.10), corruptions.noise),
    "blur": Distortion("corruption", "Gaussian blur", (0.4, 0.6, 0.7, 0.8, 1.0), corruptions.blur),
    "contrast": Distortion("corruption", "contrast", (0.75, 0.5, 0.4, 0.3, 0.15), corruptions.contrast),
    "pixelate": Distortion("corruption", "pixelate", (0.95, 0.9, 0.85, 0.75, 0.65), corruptions.pixelate),
    "decode-fast": Distortion(
        "decoder", "libjpeg-turbo's fast DCT", UPLOADS, deployment.decoder(fastdct=True), quality=int
    ),
    "decode-plain": Distortion(
        "decoder",
        "chroma enlarged without interpolation",
        UPLOADS,
        deployment.decoder(fastupsample=True),
        quality=int,
        colour=True,
    ),
    "decode-jpegli": Distortion("decoder", "jpegli's decoder", UPLOADS, deployment.jpegli_decoder, quality=int),
    "resize-nearest": Distortion("resizer", "Pillow nearest", scale=deployment.pillow("nearest")),
    "resize-box": Distortion("resizer", "Pillow box", scale=deployment.pillow("box")),
    "resize-bilinear": Distortion("resizer", "Pillow bilinear", scale=deployment.pillow("bilinear")),
    "resize-bicubic": Distortion("resizer", "Pillow bicubic", scale=deployment.pillow("bicubic")),
    "resize-lanczos": Distortion("resizer", "Pillow Lanczos", scale=deployment.pillow("lanczos")),
    "resize-opencv": Distortion("resizer", "OpenCV linear", scale=deployment.opencv("INTER_LINEAR")),
    "resize-opencv-area": Distortion("resizer", "OpenCV area", scale=deployment.opencv("INTER_AREA")),
    "resize-aliased": Distortion("resizer", "torchvision without antialiasing", scale=deployment.without_antialias),
    "resize-draft": Distortion("resizer", "JPEG's smaller DCT", scale=deployment.draft),
    "resize-shifted": Distortion("resizer", "half a pixel off", scale=deployment.half_pixel),
    "range": Distortion("colour", "range mistaken", ("expanded", "washed"), deployment.range_mistaken),
    "bgr": Distortion("colour", "BGR for RGB", apply=deployment.swapped, colour=True),
    "fp16": Distortion("precision", "16-bit model", convert=precision.fp16),
    "int8": Distortion("precision", "8-bit model", convert=precision.int8),
    # What services do is not published and changes. These are sizes and qualities that people have measured.
    "messenger": Distortion(
        "chain",
        "messenger",
        ((Resize(1024), Jpeg(60)), (Resize(1600), Jpeg(70)), (Resize(1600), Jpeg(80))),
        deployment.chain,
        quality=deployment.last_quality,
    ),
    "social": Distortion(
        "chain",
        "social network",
        ((Resize(1080), Jpeg(70)), (Resize(1920), Jpeg(77)), (Resize(2048), Jpeg(85))),
        deployment.chain,
        quality=deployment.last_quality,
    ),
    "repost": Distortion(
        "chain",
        "screenshot, posted again",
        (
            (Resize(1600), Jpeg(75), Screenshot(), Jpeg(60)),
            (Resize(1600), Jpeg(75), Screenshot(), Jpeg(75)),
            (Resize(1600), Jpeg(80), Screenshot(), Jpeg(90)),
        ),
        deployment.chain,
        quality=deployment.last_quality,
    ),
}
