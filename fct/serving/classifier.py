"""Classifies image files with an exported ONNX file: bytes in, a class and probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.decode import UnusableImage, decode, resize
from ..images.tables import UNKNOWN_QUALITY, Encoding, identify
from .counters import Counters, Observation, counters_of
from .metadata import read_entries, read_metadata

BATCH = 32  # images that a thread decodes and classifies at a time
LARGEST_FILE = 64 << 20  # bytes: more than any photograph has, and little enough not to block other requests


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image. For an image that cannot be used it has only the error."""

    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)  # by class
    quality: int | None = None  # JPEG quality by the file's tables, 1..100; None without tables
    below_trained: bool = False  # whether the quality is below every quality of the training
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the prediction with its names in JSON."""
        return {
            "class": self.label,
            "probabilities": self.probabilities or None,
            "quality": self.quality,
            "below_trained": self.below_trained,
            "error": self.error,
        }


@dataclass(frozen=True)
class _Readable:
    """An image that was decoded."""

    pixels: NDArray[np.uint8]  # at the model's size, [H, W, C]
    encoding: Encoding
    side: int  # pixels, the longer side of the file's image


@dataclass(frozen=True)
class Classifier:
    """An open model and the facts in its file."""

    session: Any  # onnxruntime.InferenceSession
    channels: int
    size: int  # pixels, height and width
    takes_quality: bool
    classes: tuple[str, ...]
    qualities: tuple[int, ...]  # of the training; empty if the file does not name them
    no_tables: int = UNKNOWN_QUALITY  # the quality input for an image without JPEG tables
    counters: Counters | None = None  # count what is classified

    @classmethod
    def of(cls, session: Any, path: Path | None = None) -> Classifier:
        """Return the classifier of an open file.

        Args:
            session: the open file.
            path: its path, if images may be counted: the environment decides whether they are (`fct.serving.counters`).

        Raises:
            OSError: the folder for the counts cannot be made or written to.
            UnusableImage: the file does not take square images of a fixed size, grey or RGB.
            UnusableMetadata: its metadata cannot be used.
        """
        inputs = {tensor.name: tensor for tensor in session.get_inputs()}
        _, channels, height, width = inputs["image"].shape
        if not isinstance(height, int) or height != width or channels not in (1, 3):
            raise UnusableImage(f"its images are {channels} x {height} x {width}: they must be square, and grey or RGB")
        count = session.get_outputs()[0].shape[1]
        metadata = read_metadata(read_entries(session), count)
        classes = metadata.classes or tuple(map(str, range(count)))
        qualities = metadata.qualities
        counters = counters_of(path, classes, qualities) if path else None
        takes_quality = "quality" in inputs
        return cls(session, channels, height, takes_quality, classes, qualities, metadata.no_tables, counters)

    def classify(self, images: Iterable[bytes | Path], *, threads: int = 1) -> Iterator[Prediction]:
        """Yield the prediction for each image, in order. An unusable image does not affect the others.

        Args:
            images: the content of files, or their paths. A path is read when its turn comes.
            threads: number of threads that decode and classify.
        """
        with ThreadPoolExecutor(threads) as pool:
            for predictions in pool.map(self._classify_batch, _batches(iter(images))):
                yield from predictions

    def _classify_batch(self, images: Iterable[bytes | Path]) -> list[Prediction]:
        results = [self._read(image) for image in images]
        usable = [result for result in results if isinstance(result, _Readable)]
        predicted = self._predict(usable) if usable else []
        remaining = iter(predicted)
        predictions = [
            next(remaining) if isinstance(result, _Readable) else Prediction(error=str(result)) for result in results
        ]
        if self.counters:
            errors = [prediction.error for prediction in predictions if prediction.error is not None]
            self.counters.add(map(_observe, usable, predicted), errors)
        return predictions

    def _read(self, image: bytes | Path) -> _Readable | UnusableImage:
        try:
            content = image if isinstance(image, bytes) else read_file(image)
            if len(content) > LARGEST_FILE:
                raise _too_large(len(content))
            pixels = decode(content, self.channels)
            return _Readable(resize(pixels, self.size), identify(content), max(pixels.shape[:2]))
        except UnusableImage as error:
            return error

    def _predict(self, usable: list[_Readable]) -> list[Prediction]:
        images = np.stack([image.pixels for image in usable])
        feed: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
        if self.takes_quality:
            qualities = np.array([image.encoding.quality for image in usable], np.int64)
            feed["quality"] = np.where(qualities == UNKNOWN_QUALITY, self.no_tables, qualities)
        logits = np.asarray(self.session.run(["logits"], feed)[0], np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        predictions = []
        for row, image in zip(powers / powers.sum(1, keepdims=True), usable, strict=True):
            quality = image.encoding.quality
            table_quality = None if quality == UNKNOWN_QUALITY else quality
            if not np.isfinite(row).all():
                predictions.append(
                    Prediction(quality=table_quality, error="the model gives logits that are not finite numbers")
                )
                continue
            by_class = dict(zip(self.classes, row.tolist(), strict=True))
            below = table_quality is not None and table_quality < min(self.qualities, default=1)
            predictions.append(Prediction(self.classes[row.argmax()], by_class, table_quality, below))
        return predictions


def _observe(image: _Readable, prediction: Prediction) -> Observation | None:
    """Return what is counted about an image. It is nothing if the model gave no probabilities, which is an error."""
    if prediction.label is None:
        return None
    confidence = prediction.probabilities[prediction.label]
    return Observation(image.encoding.quality, image.encoding.family, image.side, prediction.label, confidence)


def open_session(path: Path) -> Any:
    """Open an ONNX file for several threads of the caller, each with its own images.

    On an idle machine this is as fast as threads that share the work of every layer. On a busy one it is faster, since
    sharing would make all threads wait for the slowest one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only: its warnings about graphs are for authors of exporters
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UnusableImage: the file cannot be read or is too large.
    """
    try:
        if not path.is_file():
            raise UnusableImage("not a file" if path.exists() else "not here: there is no such file")
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise _too_large(size)
        return path.read_bytes()
    except OSError as error:
        raise UnusableImage(f"cannot be read: {error.strerror or type(error).__name__}") from None


def _batches(images: Iterator[bytes | Path]) -> Iterator[list[bytes | Path]]:
    while batch := list(islice(images, BATCH)):
        yield batch


def _too_large(size: int) -> UnusableImage:
    return UnusableImage(f"too large a file: {size:,} bytes; at most {LARGEST_FILE:,} are read")
