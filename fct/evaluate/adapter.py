"""Turns pixels into the input of an ONNX classifier, and its output into logits, also for files made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.preprocessing import Numbers, Scale
from fct.images.tables import UNKNOWN_QUALITY

SUMS = (1, 100)  # of a row of probabilities, and of percents
ROUNDING = 0.01  # share by which the sum of a row may differ from these; half precision needs it
SURE = 50.0  # logit of the predicted class if the file gives only labels


class OutputError(ValueError):
    """The output of a session is not what was expected. The message does not name the file."""


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
    dtype: type[np.generic] = np.float32  # of normalised pixels
    bgr: bool = False
    scale: Scale = "logits"
    background: bool = False  # whether class 0 of the output is the background, not a class of the data
    classes: int | None = None  # of the data; needed if the file gives only labels

    def logits(self, session: Any, images: NDArray[np.uint8], quality: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logits [B, K] of images [B, H, W, C]. If the file gives probabilities, return their logarithms.

        If it gives labels, the label's logit is large and the others are 0. A label that is the background gets
        the column K.

        Raises:
            OutputError: the output is not what `scale` says.
        """
        output = self.run(session, images, quality)
        if self.scale == "labels":
            return self._of_labels(output)
        if self.background:
            output = output[:, 1:]
        if self.scale == "logits":
            return output
        if output.min() < 0:
            raise OutputError(
                f"The output {self.output} has the value {output.min():.4g}, which is not a probability. Give --set "
                "scale=logits."
            )
        return np.log(np.maximum(output, 1e-12))

    def run(self, session: Any, images: NDArray[np.uint8], quality: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the output of the file, [B, numbers of an image], for images [B, H, W, C].

        Raises:
            OutputError: the file does not answer for each image.
        """
        step = self.batch or len(images)
        parts = []
        for start in range(0, len(images), step):
            chunk, chunk_quality = images[start : start + step], quality[start : start + step]
            missing = step - len(chunk) if self.batch else 0
            if missing:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)])
                chunk_quality = np.concatenate([chunk_quality, np.repeat(chunk_quality[-1:], missing)])
            feed: dict[str, NDArray[Any]] = {self.image: self.pixels(chunk)}
            if self.quality is not None:
                feed[self.quality] = np.where(chunk_quality == UNKNOWN_QUALITY, self.no_tables, chunk_quality).astype(
                    np.int64
                )
            output = np.asarray(session.run([self.output], feed)[0], np.float64)
            if len(output) != len(chunk):
                raise OutputError(
                    f"The output {self.output} has {len(output)} rows for {len(chunk)} images. Export the model "
                    "with a batch size of its own."
                )
            parts.append(output.reshape(len(chunk), -1)[: len(chunk) - missing])
        return np.concatenate(parts)

    def pixels(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the input for images [B, H, W, C]."""
        pixels: NDArray[Any] = images
        if self.normalisation is not None:
            mean, deviation = (np.array(numbers, np.float32) for numbers in self.normalisation)
            pixels = (images.astype(np.float32) / 255 - mean) / deviation
        if self.bgr:
            pixels = pixels[..., ::-1]
        if not self.channels_last:
            pixels = pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels, None if self.normalisation is None else self.dtype)

    def _of_labels(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        classes = self.classes or 0
        labels = np.rint(output[:, 0]).astype(np.int64) - self.background
        if labels.max() >= classes or labels.min() < -self.background:
            wrong = int(labels.max() if labels.max() >= classes else labels.min()) + self.background
            raise OutputError(
                f"The output {self.output} has the label {wrong}, but there are {classes} classes. Give --classes "
                "with a name for every label, or --set background=true if label 0 is the background."
            )
        logits = np.zeros((len(labels), classes + self.background))
        logits[np.arange(len(labels)), labels] = SURE  # -1 is the last column
        return logits


def scale_of(output: NDArray[np.float64]) -> Scale:
    """Return what rows of the output [B, K] are: probabilities if each row has a sum of 1 (or 100, of percents)."""
    sums = output.sum(1)
    are_shares = output.min() >= 0 and any(np.allclose(sums, total, rtol=ROUNDING, atol=0) for total in SUMS)
    return "probabilities" if are_shares else "logits"


def is_channels_last(shape: Sequence[Any], layout: str | None) -> bool:
    """Return whether the input is [B, H, W, C]: by the axis that has the length 1 or 3, or else by `layout`.

    Raises:
        FctError: both axes, or neither, may be the channels and there is no `layout`; or the shape contradicts it.
    """
    first, last = (shape[axis] in (1, 3) for axis in (1, 3))
    if layout is None and first == last:
        if not first and all(isinstance(shape[axis], int) for axis in (1, 3)):
            raise FctError(
                f"The shape {list(shape)} of the input has no axis of 1 or 3 channels, for grey or RGB images."
            )
        raise FctError(
            f"The shape {list(shape)} of the input does not show which axis has the channels. Give --layout."
        )
    if layout is not None and last not in (first, layout == "nhwc"):
        raise FctError(
            f"The shape {list(shape)} of the input is {'nhwc' if last else 'nchw'}. Give this to --layout "
            f"instead of {layout}."
        )
    return last if first != last else layout == "nhwc"
