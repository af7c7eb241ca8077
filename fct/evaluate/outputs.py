"""Chooses the output of an ONNX classifier that gives the class, by types and shapes of the outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.adapter import Adapter
from fct.evaluate.preprocessing import Preprocessing


@dataclass(frozen=True)
class Output:
    """One output of a session for a batch of images."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """The number of values per image."""
        return math.prod(self.shape[1:])

    @property
    def is_label(self) -> bool:
        """Whether this output is the number of a class for each image, [B] or [B, 1]."""
        return self.dtype.kind in "iu" and bool(self.shape) and self.numbers == 1

    @property
    def is_scores(self) -> bool:
        """Whether this output is a number for each class, [B, K], also with further axes of length 1."""
        classes = self.shape[1:2]
        return self.dtype.kind == "f" and bool(classes) and classes[0] > 1 and self.numbers == classes[0]

    def __str__(self) -> str:
        """Return the type, and the shape without the batch: `float32 [10]`."""
        return f"{self.dtype} {list(self.shape[1:])}"


def probe(session: Any, adapter: Adapter, images: NDArray[np.uint8]) -> dict[str, Output]:
    """Return the outputs of a session by name. The session runs once, since files often leave shapes open.

    Args:
        session: an onnxruntime session.
        adapter: for the input.
        images: uint8 [B, H, W, C].
    """
    names = [tensor.name for tensor in session.get_outputs()]
    arrays = session.run(names, {adapter.image: adapter.pixels(images)})
    return {
        name: Output(array.dtype, array.shape)
        for name, array in zip(names, arrays, strict=True)
        if isinstance(array, np.ndarray)  # others are sequences and maps
    }


def choose_output(path: Path, outputs: dict[str, Output], wanted: Preprocessing) -> str:
    """Return the name of the output to judge: the wanted one, or the only one that can give the class.

    Scores of the classes come before a label, since a label has no confidence.

    Raises:
        FctError: no output gives the class, or several may and none is named. The message lists them.
    """
    scores = [name for name, output in outputs.items() if output.is_scores]
    labels = [name for name, output in outputs.items() if output.is_label]
    usable = labels if wanted.scale == "labels" else scores if wanted.scale else scores + labels
    candidates = usable if wanted.scale else scores or labels
    if wanted.output is not None:
        candidates = [name for name in usable if name == wanted.output]
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(f"{name} {output}" for name, output in outputs.items())
    if candidates:
        choices = " or ".join(f"--set output={name}" for name in candidates)
        raise FctError(f"{path}: its outputs are {listed}. Say which has the scores of the classes: {choices}.")
    named = "" if wanted.output is None else f"{wanted.output} cannot be judged. "
    as_scale = f" as {wanted.scale}" if wanted.scale else ""
    label, scores_of = "the number of the class as an integer", "a float for each of two or more classes"
    needed = {"labels": label, None: f"{scores_of}, or {label}"}.get(wanted.scale, scores_of)
    raise FctError(f"{path}: {named}Its outputs are {listed}. One that can be judged{as_scale} has {needed}.")
