"""A folder of images, one sub-folder a class, as a split: for judging a model anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from fct.core.errors import FctError
from fct.data.scan import Problem, format_problems, scan
from fct.images.decode import UnusableImage, decode, resize
from fct.images.tables import jpeg_quality
from fct.splits.store import Originals, Split


def read_folder(root: Path, *, size: int, channels: int, classes: Sequence[str] | None) -> tuple[Split, list[str]]:
    """Read every image of a folder into memory, its encoded file too.

    Args:
        root: the folder.
        size: pixels, height and width, that images are resized to after whatever compresses them.
        channels: 1 or 3.
        classes: the model's, in its order; where absent, the sub-folders' names in theirs.

    Returns:
        The images as a split, named after the folder, and the classes.

    Raises:
        FctError: an image or a class cannot be used; up to ten are named.
    """
    found = scan(root)
    names = list(found.classes if classes is None else classes)
    strangers = [name for name in found.classes if name not in names]
    if strangers:
        raise FctError(f"{root / strangers[0]}: the model knows no such class. It knows {', '.join(names)}.")
    problems = list(found.problems)
    images = np.empty((len(found.files), size, size, channels), np.uint8)
    quality = np.empty(len(found.files), np.int64)
    contents: list[bytes] = []

    def read(place: int) -> bytes | Problem:
        name = found.files[place]
        try:
            content = (root / name).read_bytes()
            images[place] = resize(decode(content, channels), size)
        except UnusableImage as error:
            return Problem(name, str(error))
        except OSError as error:
            return Problem(name, "cannot be read", error.strerror or type(error).__name__)
        quality[place] = jpeg_quality(content)
        return content

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        each = pool.map(read, range(len(found.files)))
        for content in tqdm(each, total=len(found.files), desc="images", unit="image", disable=None):
            if isinstance(content, Problem):
                problems.append(content)
            else:
                contents.append(content)
    if problems:
        raise FctError(
            f"{root}: {len(problems)} cannot be used:{format_problems(problems)}\n       Correct or remove them."
        )
    labels = np.array([names.index(found.classes[label]) for label in found.labels], np.int64)
    bounds = np.array([0, *accumulate(len(content) for content in contents)])
    packed = np.frombuffer(b"".join(contents), np.uint8)
    return Split(root.name, images, labels, quality, Originals(packed, bounds[:-1], bounds[1:])), names
