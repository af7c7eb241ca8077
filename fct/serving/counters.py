"""Counts of what a model is asked, for `fct counters` and the flow `watch`.

    export FCT_COUNTERS=/srv/counters      # a folder; unset, nothing is counted

Only numbers are kept: no image, no name, no time of a request. Each process has its own file in the folder, one a day
(UTC), and writes it whole every few seconds, so a killed process loses only those. Readers add the files up.

    <day>-<first 12 digits of the model's SHA-256>-<random>.json

    format          1
    day             such as 2026-11-29
    model           SHA-256 of the ONNX file
    qualities       the trained ones, by the model's metadata; empty if it does not name them
    classes         names of the model's classes
    counts          by aspect (`ASPECTS`), then by value; values that did not occur are left out
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

VARIABLE = "FCT_COUNTERS"
FORMAT = 1
PERIOD = 5.0  # seconds between two writes
CONFIDENCE_BINS = 10
MOST_ERRORS = 50  # kinds; this package has fewer, so that more would be a fault
ASPECTS = {
    "quality": "JPEG quality by the file's tables; 0 without tables",
    "family": "whose quantisation tables: ijg, mozjpeg, other; none without tables",
    "side": "pixels of the longer side, rounded up to a power of two",
    "class": "the predicted class",
    "confidence": "probability of the predicted class, rounded down to a tenth",
    "error": "why an image was not classified",
}


@dataclass(frozen=True)
class Observation:
    """What is counted about one image that was classified."""

    quality: int
    family: str
    side: int  # pixels, the longer side of the file's image
    label: str
    confidence: float  # 0..1


class Counters:
    """The counts of one process. All methods may be called by several threads."""

    def __init__(self, folder: Path, model: str, classes: Sequence[str], qualities: Sequence[int]) -> None:
        """Make the folder if it is missing.

        Args:
            folder: gets the files.
            model: SHA-256 of the model.
            classes: names of its classes.
            qualities: JPEG qualities of its training.

        Raises:
            OSError: the folder cannot be made or written to. The message names the variable.
        """
        self._folder = folder
        self._facts = {"model": model, "qualities": list(qualities), "classes": list(classes)}
        self._begin()
        probe = folder / f".{self._process}.probe"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = f"{VARIABLE}: counts cannot be written there ({error.strerror})"
            raise OSError(error.errno, reason, str(folder)) from None

    def _begin(self) -> None:
        """Start from zero with a file of its own: in a new process, also in one that was forked from another."""
        self._pid = os.getpid()
        self._process = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_warned = False
        self._clear(_today())

    def _clear(self, day: str) -> None:
        self._day = day
        self._is_written = True
        self._counts: dict[str, dict[Any, int]] = {aspect: {} for aspect in ASPECTS}

    def add(self, images: Iterable[Observation | None], errors: Iterable[str] = ()) -> None:
        """Count images that were classified, and the messages of those that were not. None counts nothing."""
        if os.getpid() != self._pid:
            self._begin()
        with self._lock:
            counts = self._counts
            quality, family, side = counts["quality"], counts["family"], counts["side"]
            label, confidence, error = counts["class"], counts["confidence"], counts["error"]
            for image in images:
                if image is None:
                    continue
                quality[image.quality] = quality.get(image.quality, 0) + 1
                family[image.family] = family.get(image.family, 0) + 1
                power = (image.side - 1).bit_length()
                side[power] = side.get(power, 0) + 1
                label[image.label] = label.get(image.label, 0) + 1
                part = min(int(image.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
                confidence[part] = confidence.get(part, 0) + 1
            for message in errors:
                kind = message.partition(":")[0]  # what follows the colon may be about this image
                kind = kind if kind in error or len(error) < MOST_ERRORS else "other"
                error[kind] = error.get(kind, 0) + 1
            self._is_written = False
            if self._thread is None:
                self._start()

    def write(self) -> None:
        """Write the file, unless nothing was counted since the last time. A fault is told once, on stderr."""
        with self._write_lock:
            with self._lock:
                day, is_written = self._day, self._is_written
                counts = {aspect: dict(values) for aspect, values in self._counts.items()}
                if (today := _today()) != day:
                    self._clear(today)
                self._is_written = True
            if is_written:
                return
            try:
                _write_whole(self._path(day), self._document(day, counts))
                self._has_warned = False
            except OSError as error:
                with self._lock:
                    self._is_written = False  # the next write has them, unless the day is over
                if not self._has_warned:
                    self._has_warned = True
                    message = f"warning: {VARIABLE}: {self._folder}: counts cannot be written: {error.strerror}"
                    print(message, file=sys.stderr)

    def _start(self) -> None:
        import atexit

        self._thread = threading.Thread(target=self._write_often, name="fct-counters", daemon=True)
        self._thread.start()
        atexit.register(self.write)

    def _write_often(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(PERIOD)
            self.write()

    def _path(self, day: str) -> Path:
        return self._folder / f"{day}-{self._facts['model'][:12]}-{self._process}.json"

    def _document(self, day: str, counts: dict[str, dict[Any, int]]) -> dict[str, Any]:
        renamed = {
            **counts,
            "side": {1 << power: count for power, count in counts["side"].items()},
            "confidence": {part / CONFIDENCE_BINS: count for part, count in counts["confidence"].items()},
        }
        sorted_counts = {
            aspect: {str(value): values[value] for value in sorted(values)} for aspect, values in renamed.items()
        }
        return {"format": FORMAT, "day": day, **self._facts, "counts": sorted_counts}


def counters_of(model: Path, classes: Sequence[str], qualities: Sequence[int]) -> Counters | None:
    """Return counters for a model if the environment asks for them, else None.

    Args:
        model: the ONNX file.
        classes: names of its classes.
        qualities: JPEG qualities of its training.

    Raises:
        OSError: the folder of the environment's variable cannot be made or written to.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return Counters(Path(folder), digest, classes, qualities)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _write_whole(path: Path, document: dict[str, Any]) -> None:
    """Write JSON through another file, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
