"""Surveys a folder of images: sizes, channels and JPEG qualities, from the headers of some of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from PIL import Image

from fct.core.errors import FctError
from fct.core.text import plural
from fct.data.scan import Problem, format_problems, scan
from fct.images.decode import UnusableImage, check_header, open_image, silence_pillow
from fct.images.tables import estimate_quality

LOOKED_AT = 500  # files, evenly spread over all


@dataclass(frozen=True)
class Survey:
    """Facts about a folder. Lengths are those of the shorter side of an image, in pixels."""

    images: int
    classes: dict[str, int]  # number of images by name
    median_side: int
    smallest_side: int
    is_grey: bool  # all images that were looked at have one channel
    looked_at: int  # files
    unusable: Sequence[Problem]  # those of them that are not images, or are damaged or too large
    formats: dict[str, int]  # of the files that were looked at, the most frequent first
    jpeg_quality: int | None  # median of the JPEG files that were looked at; None without any
    problems: Sequence[Problem]  # what else is in the folder, and is no image of a class

    def __str__(self) -> str:
        """Return the facts as one line."""
        smallest, largest = min(self.classes.values()), max(self.classes.values())
        counts = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
        unusable = ""
        if self.unusable:
            unusable = f"; {len(self.unusable)} of {self.looked_at} that were looked at cannot be used"
        quality = "" if self.jpeg_quality is None else f", JPEG quality {self.jpeg_quality} (median)"
        return (
            f"{self.images:,} files in {len(self.classes)} classes of {counts}{unusable}; {', '.join(self.formats)}"
            f"{quality}; shorter side {self.median_side} pixels (median), {self.smallest_side} at least"
        )


def survey(root: Path) -> Survey:
    """Look at a folder of images that has one sub-folder for each class. No pixel is decoded.

    Raises:
        FctError: the folder cannot be listed, has fewer than two classes with files, or none of the files is an image.
    """
    silence_pillow()
    listing = scan(root)
    if len(listing.classes) < 2:
        raise FctError(
            f"{root}: found {plural(len(listing.classes), 'class', 'classes')} with images; at least two are needed. "
            f"Put images directly into one sub-folder per class.{format_problems(listing.problems)}"
        )
    step = max(1, len(listing.files) // LOOKED_AT)
    sides, grey, formats, qualities = [], [], Counter[str](), []
    unusable = []
    for name in listing.files[::step]:
        try:
            content = (root / name).read_bytes()
            with open_image(content) as image:
                check_header(image)
                sides.append(min(image.size))
                grey.append(image.mode in {"L", "1"})
                formats[str(image.format)] += 1
        except (UnusableImage, OSError, Image.DecompressionBombError) as error:
            unusable.append(Problem.of(name, error))
            continue
        if quality := estimate_quality(content):
            qualities.append(quality)
    if not sides:
        raise FctError(f"{root}: none of {len(listing.files[::step])} files that were looked at is an image.")
    return Survey(
        images=len(listing.files),
        classes=dict(sorted(Counter(listing.classes[label] for label in listing.labels).items())),
        median_side=median_low(sides),
        smallest_side=min(sides),
        is_grey=all(grey),
        looked_at=len(sides) + len(unusable),
        unusable=unusable,
        formats=dict(formats.most_common()),
        jpeg_quality=median_low(qualities) if qualities else None,
        problems=listing.problems,
    )
