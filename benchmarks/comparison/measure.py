"""What is measured of a trained network: on validation images to choose, on test images to report.

On the CPU it is the exported file that answers, in onnxruntime, as it would be deployed. Where there is a GPU it is the
network itself, in full fp32: the same answers but for a rounding here and there, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.comparison.settings import Settings
from benchmarks.comparison.views import jpeg_views, unseen_views
from fct.core.errors import FctError
from fct.evaluate.sweep import predict
from fct.features.distortion import measure_distortion
from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.store import Split, open_split, read_meta


def on_validation(settings: Settings, model: Path | Network) -> dict[str, Any]:
    """Return what trials are chosen by."""
    trained = tuple(settings.cache.qualities)
    return {"validation": _accuracies(trained, _at_qualities(settings, model, open_split("val"), trained))}


def on_test(settings: Settings, model: Path | Network, network: Network) -> tuple[dict[str, Any], np.ndarray]:
    """Return what is reported, and which test images are classified rightly: bool [conditions, images]."""
    train, test, measure = open_split("train"), open_split("test"), settings.measure
    test = test.every(test.step(measure.images or len(test)))
    qualities = measure.qualities
    fit = _at_qualities(settings, model, train.every(train.step(measure.fit)), (10,))
    seen = _at_qualities(settings, model, test, qualities)
    unseen = {name: _correct(settings, model, split) for name, split in unseen_views(test, measure.unseen)}
    found = {
        "fit": _accuracies((10,), fit),
        "test": _accuracies(qualities, seen),
        "unseen": {name: _rounded(correct) for name, correct in unseen.items()},
        "distortion": _distortion(settings, network, test),
        "split": f"{read_meta()['test']}, {len(test)} images",
        "images": len(test),
    }
    return found, np.concatenate([seen, *(correct[np.newaxis] for correct in unseen.values())])


def _at_qualities(settings: Settings, model: Path | Network, split: Split, qualities: Sequence[int]) -> np.ndarray:
    """Return which images are classified rightly, raw and at each quality: bool [1 + qualities, images]."""
    views = jpeg_views(split, qualities, settings.jpeg.subsampling)
    return np.stack([_correct(settings, model, each) for each in (split, *views)])


def _correct(settings: Settings, model: Path | Network, split: Split) -> np.ndarray:
    """Return which images are classified rightly: bool [images]."""
    batch_size = settings.measure.batch_size
    if isinstance(model, Path):
        correct: np.ndarray = predict(model, split, (), settings.jpeg.subsampling, batch_size=batch_size).correct[0]
    else:
        correct = classify(model, split, batch_size) == split.labels
    return correct


@torch.inference_mode()
def classify(network: Network, split: Split, batch_size: int) -> np.ndarray:
    """Return the class of each image of `split`, computed on the device of the network."""
    device, classes = network.mean.device, []
    with _full_fp32():
        for start in range(0, len(split), batch_size):
            rows = slice(start, start + batch_size)
            logits, _ = network(
                to_device(np.array(split.images[rows]), device),
                torch.from_numpy(np.array(split.quality[rows])).to(device),
            )
            if not logits.isfinite().all():
                raise FctError("The network gives logits that are not finite numbers. Lower its learning rate.")
            classes.append(logits.argmax(1).cpu().numpy())
    return np.concatenate(classes)


def accuracy(network: Network, split: Split, batch_size: int) -> float:
    """Return the share of images that a network classifies rightly."""
    return _rounded(classify(network, split, batch_size) == split.labels)


def _full_fp32() -> AbstractContextManager[None]:
    """Return the context in which a GPU's convolutions keep all digits; torch lets them drop some."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _accuracies(qualities: tuple[int, ...], correct: np.ndarray) -> dict[str, float]:
    names = ["raw", *(f"q{quality}" for quality in qualities)]
    return {name: _rounded(row) for name, row in zip(names, correct, strict=True)}


def _distortion(settings: Settings, network: Network, test: Split) -> dict[str, dict[str, float]]:
    with _full_fp32():
        found = measure_distortion(network, test, settings.measure.features, settings.jpeg.subsampling)
    return {
        layer: {f"q{quality}": round(value, 5) for quality, value in values.items()} for layer, values in found.items()
    }


def _rounded(correct: np.ndarray) -> float:
    return round(float(correct.mean()), 5)
