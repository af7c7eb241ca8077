"""An exported ONNX file that answers for image files: their bytes in, a class and its probabilities out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.decode import UnusableImage, decode, resize
from ..images.tables import NO_TABLES, jpeg_quality

BATCH = 32  # images that a thread decodes and classifies at a time
LARGEST_FILE = 64 << 20  # bytes: above any photograph, below what would hold others up


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image; of one that cannot be used, the error alone."""

    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)  # by class
    quality: int | None = None  # JPEG quality that the file's tables tell, 1..100; None without tables
    below_trained: bool = False  # whether that is lower than any quality in the training
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the answer by the names that it has in JSON."""
        return {
            "class": self.label,
            "probabilities": self.probabilities or None,
            "quality": self.quality,
            "below_trained": self.below_trained,
            "error": self.error,
        }


@dataclass(frozen=True)
class Classifier:
    """A model and what its file says about itself."""

    session: Any  # onnxruntime.InferenceSession
    channels: int
    size: int  # pixels, height and width
    takes_quality: bool
    classes: tuple[str, ...]
    qualities: tuple[int, ...]  # trained; none where the file does not say
    no_tables: int = NO_TABLES  # what the file takes for an image whose quality no JPEG table tells

    @classmethod
    def of(cls, session: Any) -> Classifier:
        """Return the classifier of an opened file.

        Raises:
            UnusableImage: the file does not say which size of images it takes.
        """
        inputs = {each.name: each for each in session.get_inputs()}
        _, channels, height, width = inputs["image"].shape
        if not isinstance(height, int) or height != width or channels not in (1, 3):
            raise UnusableImage(f"its images are {channels} x {height} x {width}: not of one square size, grey or RGB")
        said = session.get_modelmeta().custom_metadata_map
        count = session.get_outputs()[0].shape[1]
        classes = json.loads(said["fct.classes"]) if "fct.classes" in said else [str(index) for index in range(count)]
        trained = json.loads(said.get("fct.qualities", "[]"))
        return cls(
            session, channels, height, "quality" in inputs, tuple(classes), tuple(trained), no_tables_value(said)
        )

    def classify(self, images: Iterable[bytes | Path], *, threads: int = 1) -> Iterator[Prediction]:
        """Yield the answer to each image, in order; what is wrong with one touches no other.

        Args:
            images: encoded files, or where they are. A path is read when its turn comes.
            threads: that decode and classify side by side.
        """
        with ThreadPoolExecutor(threads) as pool:
            for answers in pool.map(self._batch, _batches(iter(images))):
                yield from answers

    def _batch(self, images: Iterable[bytes | Path]) -> list[Prediction]:
        read = [self._read(image) for image in images]
        usable = [each for each in read if not isinstance(each, UnusableImage)]
        answers = iter(self._answers(usable) if usable else [])
        return [Prediction(error=str(each)) if isinstance(each, UnusableImage) else next(answers) for each in read]

    def _read(self, image: bytes | Path) -> tuple[NDArray[np.uint8], int] | UnusableImage:
        """Return the pixels at the model's size, [H, W, C], and the file's quality."""
        try:
            content = image if isinstance(image, bytes) else read_file(image)
            if len(content) > LARGEST_FILE:
                raise _too_large(len(content))
            return resize(decode(content, self.channels), self.size), jpeg_quality(content)
        except UnusableImage as error:
            return error

    def _answers(self, usable: list[tuple[NDArray[np.uint8], int]]) -> list[Prediction]:
        images = np.stack([pixels for pixels, _ in usable])
        feed: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
        if self.takes_quality:
            told = np.array([quality for _, quality in usable], np.int64)
            feed["quality"] = np.where(told == NO_TABLES, self.no_tables, told)
        logits = np.asarray(self.session.run(["logits"], feed)[0], np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        answers = []
        for row, (_, quality) in zip(powers / powers.sum(1, keepdims=True), usable, strict=True):
            known = None if quality == NO_TABLES else quality
            if not np.isfinite(row).all():
                answers.append(Prediction(quality=known, error="the model gives logits that are not finite numbers"))
                continue
            by_class = dict(zip(self.classes, row.tolist(), strict=True))
            below = known is not None and known < min(self.qualities, default=1)
            answers.append(Prediction(self.classes[row.argmax()], by_class, known, below))
        return answers


def no_tables_value(metadata: Mapping[str, str]) -> int:
    """Return what a file takes for an image whose quality no JPEG table tells: older ones take 100, and do not say."""
    return int(metadata.get("fct.no_tables", "100"))


def open_session(path: Path) -> Any:
    """Open an ONNX file for threads of one's own, each with images of its own.

    As fast on an idle machine as threads that share every layer, and faster on a busy one, where all would wait at each
    layer for the slowest.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only: its warnings about graphs are for those who write exporters
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UnusableImage: it cannot be read, or is too large to be looked at.
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
    return UnusableImage(f"too large a file: {size:,} bytes; at most {LARGEST_FILE:,} are looked at")
