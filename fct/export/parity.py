"""Checks on real images that the ONNX file computes the same as the network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.models.network import Network

BATCH = 50  # images; a large network takes 10 MiB per image


class Parity(NamedTuple):
    """The differences between the logits of onnxruntime and torch."""

    difference: float  # largest of any logit
    disagreements: int  # images whose class differs although torch's margin is over twice the tolerance
    images: int


def compare(
    network: Network, path: Path, images: NDArray[np.uint8], quality: NDArray[np.int64], *, tolerance: float
) -> Parity:
    """Run `images`, uint8 [N, C, H, W], of the given JPEG quality [N], through torch and through the file at `path`.

    Raises:
        FctError: a logit differs by more than `tolerance`, or a class differs although the margin is large.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = [entry.name for entry in session.get_inputs()]
    batches = []
    for start in range(0, len(images), BATCH):
        feeds = {"image": images[start : start + BATCH], "quality": quality[start : start + BATCH]}
        with torch.inference_mode():
            logits, _ = network(*map(torch.from_numpy, feeds.values()))
        batches.append((logits.float().numpy(), *session.run(["logits"], {name: feeds[name] for name in inputs})))
    expected, actual = (np.concatenate(each) for each in zip(*batches, strict=True))
    top = np.sort(expected, axis=1)[:, -2:]
    decided = top[:, 1] - top[:, 0] > 2 * tolerance  # each of the two logits may differ by the tolerance
    parity = Parity(
        difference=float(np.abs(actual - expected).max()),
        disagreements=int((decided & (actual.argmax(1) != expected.argmax(1))).sum()),
        images=len(images),
    )
    if not parity.difference <= tolerance or parity.disagreements:
        raise FctError(
            f"{path} does not compute the same as the network: on {parity.images} images a logit differs by up to "
            f"{parity.difference:.2g} (params.yaml: export.tolerance is {tolerance:g}), and {parity.disagreements} "
            "classes differ. Raise the tolerance if this is rounding. Otherwise the exporter converts a layer wrongly."
        )
    return parity
