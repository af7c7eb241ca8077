"""Turns pixels into the input of an ONNX classifier, and its output into logits, also for files made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.images.tables import UNKNOWN_QUALITY

Numbers = tuple[float, ...]  # one for all channels, or one per channel
NORMALISATIONS: dict[str, tuple[Numbers, Numbers]] = {  # of pixels on the scale 0..1: mean, deviation
    "unit": ((0.0,), (1.0,)),  # 0..1
    "symmetric": ((0.5,), (0.5,)),  # -1..1
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((0.0,), (1 / 255,)),  # 0..255
}


@dataclass(frozen=True)
class Adapter:
    """The inputs and the output of a session."""

    image: str  # names of the inputs and of the output
    quality: str | None
    output: str
    channels_last: bool
    normalisation: tuple[Numbers, Numbers] | None  # None for pixels as bytes
    batch: int | None  # fixed batch size of the file; None if any will do
    no_tables: int = UNKNOWN_QUALITY  # the quality input for an image without JPEG tables

    def logits(self, session: Any, images: NDArray[np.uint8], quality: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logits [B, K] of images [B, H, W, C]. If the file gives probabilities, return their logarithms."""
        step = self.batch or len(images)
        parts = []
        for start in range(0, len(images), step):
            chunk, chunk_quality = images[start : start + step], quality[start : start + step]
            missing = step - len(chunk) if self.batch else 0
            if missing:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)])
                chunk_quality = np.concatenate([chunk_quality, np.repeat(chunk_quality[-1:], missing)])
            feed: dict[str, NDArray[Any]] = {self.image: self._pixels(chunk)}
            if self.quality is not None:
                feed[self.quality] = np.where(chunk_quality == UNKNOWN_QUALITY, self.no_tables, chunk_quality).astype(
                    np.int64
                )
            parts.append(np.asarray(session.run([self.output], feed)[0], np.float64)[: step - missing])
        output: NDArray[np.float64] = np.concatenate(parts)
        return _to_logits(output)

    def _pixels(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        pixels: NDArray[Any] = images if self.channels_last else images.transpose(0, 3, 1, 2)
        if self.normalisation is None:
            return np.ascontiguousarray(pixels)
        shape = (-1,) if self.channels_last else (-1, 1, 1)
        mean, deviation = (np.array(numbers, np.float32).reshape(shape) for numbers in self.normalisation)
        return np.ascontiguousarray((pixels.astype(np.float32) / 255 - mean) / deviation)


def normalisation(text: str) -> tuple[Numbers, Numbers]:
    """Return mean and deviation from a name, or from numbers such as 0.5,0.5,0.5/0.2,0.2,0.2.

    Raises:
        FctError: the text is neither a name nor such numbers.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        mean, deviation = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean, deviation = (), ()
    if len(mean) not in (1, 3) or len(deviation) not in (1, 3) or not min(deviation) > 0:
        raise FctError(
            f"--normalise {text!r} is neither {', '.join(NORMALISATIONS)} nor mean/deviation of pixels on the scale "
            "0..1, such as 0.485,0.456,0.406/0.229,0.224,0.225."
        )
    return mean, deviation


def is_channels_last(shape: Sequence[Any], layout: str | None) -> bool:
    """Return whether the input is [B, H, W, C]: by `layout`, or else by the axis that has the length 1 or 3.

    Raises:
        FctError: both axes, or neither, may be the channels.
    """
    if layout is not None:
        return layout == "nhwc"
    first, last = (shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise FctError(
            f"The shape {list(shape)} of the input does not tell which axis has the channels. Give --layout."
        )
    return last


def _to_logits(output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits unchanged, and rows of probabilities (each 0..1, with the sum 1) as their logarithms."""
    are_probabilities = output.min() >= 0 and np.allclose(output.sum(1), 1, atol=1e-3)
    return np.log(np.maximum(output, 1e-12)) if are_probabilities else output
