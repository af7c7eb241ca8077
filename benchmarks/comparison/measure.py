"""What is measured of a trained network's exported file: on validation images to choose, on test images to report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.settings import Settings
from benchmarks.comparison.unseen import unseen_views
from fct.data.store import Split, open_split, read_meta
from fct.evaluate.distortion import distortion_of
from fct.evaluate.sweep import predict
from fct.models.network import Network

FIT = 5_000  # training images on which a network's fit is looked at


def on_validation(settings: Settings, model: Path) -> dict[str, Any]:
    """Return what trials are chosen by."""
    trained = tuple(settings.cache.qualities)
    return {"validation": _accuracies(trained, _correct(settings, model, open_split("val"), trained))}


def on_test(settings: Settings, model: Path, network: Network) -> tuple[dict[str, Any], np.ndarray]:
    """Return what is reported, and which test images are classified rightly: bool [conditions, images]."""
    train, test = open_split("train"), open_split("test")
    qualities = settings.measure.qualities
    fit = _correct(settings, model, train.every(train.step(FIT)), (10,))
    seen = _correct(settings, model, test, qualities)
    unseen = {name: _correct(settings, model, split, ())[0] for name, split in unseen_views(test)}
    found = {
        "fit": _accuracies((10,), fit),
        "test": _accuracies(qualities, seen),
        "unseen": {name: _rounded(correct) for name, correct in unseen.items()},
        "distortion": _distortion(settings, network, test),
        "split": f"{read_meta()['test']}, {len(test)} images",
        "images": len(test),
    }
    return found, np.concatenate([seen, *(correct[np.newaxis] for correct in unseen.values())])


def _correct(settings: Settings, model: Path, split: Split, qualities: tuple[int, ...]) -> np.ndarray:
    """Return which images are classified rightly, raw and at each quality: bool [1 + qualities, images]."""
    return predict(model, split, qualities, settings.jpeg.subsampling, batch_size=settings.measure.batch_size).correct


def _accuracies(qualities: tuple[int, ...], correct: np.ndarray) -> dict[str, float]:
    names = ["raw", *(f"q{quality}" for quality in qualities)]
    return {name: _rounded(row) for name, row in zip(names, correct, strict=True)}


def _distortion(settings: Settings, network: Network, test: Split) -> dict[str, dict[str, float]]:
    found = distortion_of(network, test, settings.measure.features, settings.jpeg.subsampling)
    return {
        layer: {f"q{quality}": round(value, 5) for quality, value in values.items()} for layer, values in found.items()
    }


def _rounded(correct: np.ndarray) -> float:
    return round(float(correct.mean()), 5)
