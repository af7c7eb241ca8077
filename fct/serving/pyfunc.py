"""The interface of the registered model for `mlflow.pyfunc.load_model` and `mlflow models serve`.

The input is a table with the column `image`: the bytes of an image file in Python, base64 in JSON. The output has one
row per image, with the columns of `Prediction.as_json`.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from .classifier import Classifier, Prediction, open_session


class ServedModel:
    """A model that MLflow has loaded."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, table: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002  # MLflow's interface
        """Return a DataFrame of predictions for `table`, a DataFrame with the column `image`."""
        import pandas as pd

        images = [_to_bytes(value) for value in table["image"]]
        readable = [image for image in images if image is not None]
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        predictions = self.classifier.classify(readable, threads=threads)
        unreadable = Prediction(error="neither bytes nor base64")
        rows = [(unreadable if image is None else next(predictions)).as_json() for image in images]
        # With dtype object, None becomes null in JSON and not NaN.
        return pd.DataFrame(rows, columns=list(unreadable.as_json()), dtype=object)


def _load_pyfunc(path: str) -> ServedModel:
    """Load the ONNX file at `path`; MLflow calls this by its name."""
    return ServedModel(Classifier.of(open_session(Path(path))))


def _to_bytes(value: Any) -> bytes | None:
    """Return the bytes in a cell, or None if it has neither bytes nor base64."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        return base64.b64decode("".join(value.split()), validate=True)  # many tools break lines
    except (AttributeError, TypeError, ValueError):
        return None
