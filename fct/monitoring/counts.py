"""Read the counts that serving processes wrote, and add them up for each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fct.core.errors import FctError
from fct.core.os_errors import describe_os_error
from fct.core.params import in_plain_words
from fct.core.text import printable
from fct.serving.counters import ASPECTS, FORMAT

OF_AN_IMAGE = tuple(aspect for aspect in ASPECTS if aspect != "error")  # each classified image has one value of each
WHICH = "Give the folder that FCT_COUNTERS names where the model is served."

Occurrences = Annotated[int, Field(ge=0, le=10**15)]


class _File(BaseModel):
    """One file, checked. `fct.serving.counters` describes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1]
    day: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    model: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    qualities: list[Annotated[int, Field(ge=1, le=100)]]
    classes: list[str]
    counts: dict[str, dict[str, Occurrences]]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if set(self.counts) != set(ASPECTS):
            raise ValueError(f"it counts {', '.join(sorted(self.counts))}, not {', '.join(ASPECTS)}")
        totals = {aspect: sum(self.counts[aspect].values()) for aspect in OF_AN_IMAGE}
        if len(set(totals.values())) > 1:
            raise ValueError(f"its sums differ: {totals}")
        if unknown := [value for value in self.counts["quality"] if not (value.isdecimal() and int(value) <= 100)]:
            raise ValueError(f"it counts a quality {unknown[0]!r}")
        return self


@dataclass(frozen=True)
class Counts:
    """The sums over all processes that served one model."""

    model: str  # SHA-256 of the ONNX file
    qualities: Sequence[int]  # trained ones, by the model's metadata; empty if it does not name them
    classes: Sequence[str]
    values: Mapping[str, Mapping[str, int]]  # by aspect (`fct.serving.counters.ASPECTS`), then by value
    files: int

    @property
    def images(self) -> int:
        """Number of images that were classified."""
        return sum(self.values["class"].values())

    @property
    def errors(self) -> int:
        """Number of images that were not classified."""
        return sum(self.values["error"].values())

    @property
    def by_quality(self) -> dict[int, int]:
        """Images by JPEG quality, ascending; 0 without tables."""
        return dict(sorted((int(quality), count) for quality, count in self.values["quality"].items()))


@dataclass(frozen=True)
class Reading:
    """What a folder of counts holds."""

    models: Mapping[str, Counts]  # by SHA-256
    damaged: Sequence[str]  # "name: reason" of each file that was skipped


def read_counts(folder: Path, since: date | None = None) -> Reading:
    """Add up the counts in a folder, separately for each model. A damaged file is skipped and named.

    Args:
        folder: what FCT_COUNTERS names where models are served.
        since: the first day (UTC) that counts; None for all.

    Raises:
        FctError: the folder is missing, is a file, or cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except NotADirectoryError:
        raise FctError(f"{folder} is a file, not a folder. {WHICH}") from None
    except OSError as error:
        raise FctError(f"{folder}: {error.strerror}. {WHICH}") from None
    files: dict[str, list[_File]] = {}
    damaged = []
    for path in paths:
        try:
            file = _read(path)
        except ValueError as error:
            damaged.append(f"{printable(path.name)}: {error}")
            continue
        if since is None or file.day >= since.isoformat():
            files.setdefault(file.model, []).append(file)
    return Reading({model: _add(parts) for model, parts in sorted(files.items())}, damaged)


def _read(path: Path) -> _File:
    """Return a checked file.

    Raises:
        ValueError: the file cannot be used. The message says why.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(describe_os_error(error)) from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        message = in_plain_words(dict(problem))
        if problem["loc"] == ("format",):
            message = f"another version of fct wrote it; this one reads format {FORMAT}"
        raise ValueError(f"{where}: {message}" if where else message) from None
    if not path.name.startswith(f"{file.day}-{file.model[:12]}-"):
        raise ValueError(f"its name is not that of {file.day} and the model {file.model[:12]}")
    return file


def _add(files: Sequence[_File]) -> Counts:
    sums: dict[str, Counter[str]] = {aspect: Counter() for aspect in ASPECTS}
    for file in files:
        for aspect, values in file.counts.items():
            sums[aspect].update(values)
    last = files[-1]
    return Counts(last.model, tuple(last.qualities), tuple(last.classes), sums, len(files))
