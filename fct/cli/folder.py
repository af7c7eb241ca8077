"""Reads a folder of images, one sub-folder per class, as a split. `fct gate` judges models on it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.text import same_name
from fct.data.scan import Problem, format_problems, scan
from fct.images.decode import UnusableImage, decode
from fct.images.fit import Fit
from fct.images.tables import estimate_quality
from fct.splits.store import Originals, Split


def read_folder(root: Path, *, fit: Fit, channels: int, classes: Sequence[str] | None) -> tuple[Split, list[str]]:
    """Read every image of a folder into memory: its pixels and its encoded file.

    Args:
        root: the folder.
        fit: how images become the model's square. Compressed views are fitted in the same way, after the compression.
        channels: 1 or 3.
        classes: the model's class names, in the order of its outputs. None takes the sub-folders' names, sorted.

    Returns:
        The images as a split with the folder's name, and the class names.

    Raises:
        FctError: an image or a class cannot be used. The message names up to ten of them.
    """
    scanned = scan(root)
    names = list(scanned.classes if classes is None else classes)
    common_names = [same_name(name) for name in names]  # as `scanned.classes` are
    unknown = [name for name in scanned.classes if name not in common_names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(names[:10])}{', ...' * (len(names) > 10)}."
        raise FctError(f"{root / unknown[0]}: the model has no such class. {hint}")
    problems = list(scanned.problems)
    images = np.empty((len(scanned.files), fit.size, fit.size, channels), np.uint8)
    quality = np.empty(len(scanned.files), np.int64)
    contents: list[bytes] = []

    def read_image(index: int) -> bytes | Problem:
        name = scanned.files[index]
        try:
            content = (root / name).read_bytes()
            images[index] = fit(decode(content, channels))
        except (UnusableImage, OSError) as error:
            return Problem.of(name, error)
        quality[index] = estimate_quality(content)
        return content

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        results = pool.map(read_image, range(len(scanned.files)))
        for result in tqdm(results, total=len(scanned.files), desc="images", unit="image", disable=None):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                contents.append(result)
    if problems:
        raise FctError(
            f"{root}: {len(problems)} files cannot be used:{format_problems(problems)}\n       Correct or remove them."
        )
    labels = np.array([common_names.index(scanned.classes[label]) for label in scanned.labels], np.int64)
    bounds = np.array([0, *accumulate(len(content) for content in contents)])
    packed = np.frombuffer(b"".join(contents), np.uint8)
    return Split(root.name, images, labels, quality, Originals(packed, bounds[:-1], bounds[1:]), fit), names
