"""Other image codecs, and JPEG that differs from the training's: twice, off its grid, or with full chroma."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.jpeg.arrays import roundtrip

Images = NDArray[np.uint8]  # [N, H, W, C]
OFFSET = (3, 5)  # pixels by which an off-grid JPEG's 8x8 blocks are shifted, down and right


def codec(name: str, *, key: str = "level", **fixed: Any) -> Callable[[Images, Any], Images]:
    """Return the round trip through a codec of imagecodecs. Its parameter `key` gets the level."""

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

        return map_images(distort_one, images)

    return apply


def jpegli(images: Images, quality: int) -> Images:
    """Compress and decompress with jpegli, whose quantisation tables are its own."""
    pyjpegli = import_jpegli()

    def distort_one(image: Images) -> Images:
        height, width, channels = image.shape
        rgb = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))
        pixels, _, _ = pyjpegli.decode(pyjpegli.encode(rgb.tobytes(), width, height, quality))
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[..., :channels]

    return map_images(distort_one, images)


def double(images: Images, qualities: tuple[int, int]) -> Images:
    """Compress, crop so that the grid of blocks shifts, and compress again, as happens when an image is reposted."""
    first, second = qualities
    return roundtrip(off_grid(images, first), second, "4:2:0")


def fine_chroma(images: Images, quality: int) -> Images:
    """Compress without averaging chroma."""
    return roundtrip(images, quality, "4:4:4")


def off_grid(images: Images, quality: int) -> Images:
    """Compress a larger image (padded by reflection) and cut the image out: the JPEG grid then misses its corner."""
    down, right = OFFSET
    padded = np.pad(images, ((0, 0), (down, 0), (right, 0), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(roundtrip(padded, quality, "4:2:0")[:, down:, right:])


def map_images(function: Callable[[Images], Images], images: Images) -> Images:
    """Apply `function` to each image, in threads: codecs release the interpreter's lock while they work."""
    if len(images) == 1:  # the caller has threads, if any
        return function(images[0])[None]
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        return np.stack(list(pool.map(function, images))) if len(images) else images


def import_jpegli() -> Any:
    """Return the package that binds jpegli."""
    try:
        import pyjpegli
    except ImportError:
        raise FctError("jpegli is not installed. Install it: pip install pyjpegli") from None
    return pyjpegli
