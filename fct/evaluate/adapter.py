"""How an image's pixels enter an ONNX classifier, and what comes out: of our own files, and of those made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.images.tables import NO_TABLES

Numbers = tuple[float, ...]  # one for all channels, or one for each
NORMALISATIONS: dict[str, tuple[Numbers, Numbers]] = {  # of pixels on the scale 0..1: mean, deviation
    "unit": ((0.0,), (1.0,)),  # 0..1
    "symmetric": ((0.5,), (0.5,)),  # -1..1
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((0.0,), (1 / 255,)),  # 0..255
}


@dataclass(frozen=True)
class Adapter:
    """What a session is fed, and what is read from it."""

    image: str  # names of the inputs and of the output
    quality: str | None
    output: str
    channels_last: bool
    normalisation: tuple[Numbers, Numbers] | None  # None for pixels as bytes
    batch: int | None  # images that the file takes at a time, where it is not free
    no_tables: int = NO_TABLES  # what the file takes for an image whose quality no JPEG table tells

    def logits(self, session: Any, images: NDArray[np.uint8], quality: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logits [B, K] of images [B, H, W, C]; of probabilities, their logarithms."""
        step = self.batch or len(images)
        parts = []
        for start in range(0, len(images), step):
            some, told = images[start : start + step], quality[start : start + step]
            missing = step - len(some) if self.batch else 0
            if missing:
                some = np.concatenate([some, np.repeat(some[-1:], missing, axis=0)])
                told = np.concatenate([told, np.repeat(told[-1:], missing)])
            feed: dict[str, NDArray[Any]] = {self.image: self._pixels(some)}
            if self.quality is not None:
                feed[self.quality] = np.where(told == NO_TABLES, self.no_tables, told).astype(np.int64)
            parts.append(np.asarray(session.run([self.output], feed)[0], np.float64)[: step - missing])
        found: NDArray[np.float64] = np.concatenate(parts)
        return _logarithms(found)

    def _pixels(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        pixels: NDArray[Any] = images if self.channels_last else images.transpose(0, 3, 1, 2)
        if self.normalisation is None:
            return np.ascontiguousarray(pixels)
        shape = (-1,) if self.channels_last else (-1, 1, 1)
        mean, deviation = (np.array(each, np.float32).reshape(shape) for each in self.normalisation)
        return np.ascontiguousarray((pixels.astype(np.float32) / 255 - mean) / deviation)


def normalisation(text: str) -> tuple[Numbers, Numbers]:
    """Return mean and deviation from a name, or from numbers such as 0.5,0.5,0.5/0.2,0.2,0.2.

    Raises:
        FctError: it is neither.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        mean, deviation = (tuple(float(each) for each in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean, deviation = (), ()
    if len(mean) not in (1, 3) or len(deviation) not in (1, 3) or not min(deviation) > 0:
        raise FctError(
            f"--normalise {text!r} is neither {', '.join(NORMALISATIONS)} nor mean/deviation of pixels on the scale "
            "0..1, such as 0.485,0.456,0.406/0.229,0.224,0.225."
        )
    return mean, deviation


def is_channels_last(shape: Sequence[Any], layout: str | None) -> bool:
    """Return whether images enter as [B, H, W, C], by what a person says or else by which axis has 1 or 3.

    Raises:
        FctError: both axes may be the channels, or neither.
    """
    if layout is not None:
        return layout == "nhwc"
    first, last = (shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise FctError(f"of an input of shape {list(shape)} it is not clear which axis is the channels: give --layout.")
    return last


def _logarithms(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits as they are, and rows of probabilities (all of them 0..1 and of sum 1) as their logarithms."""
    is_share = found.min() >= 0 and np.allclose(found.sum(1), 1, atol=1e-3)
    return np.log(np.maximum(found, 1e-12)) if is_share else found
