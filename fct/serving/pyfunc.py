"""The interface of the registered model for `mlflow.pyfunc.load_model` and `mlflow models serve`.

The input is a table with the column `image`: the bytes of an image file in Python, base64 in JSON. Base64 may be
standard or for URLs, with or without padding and line breaks, in a `data:` URI, or in an object: {"b64": ...}. A cell
may hold a list of images: MLflow makes such a cell from {"inputs": {"image": [...]}}.

The output has one row per image, with the columns of `Prediction.as_json` and the index of the input. The images of a
list share the index of their row.

With the environment variable FCT_COUNTERS, the model counts what it is asked (`counters`).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .classifier import Classifier, Prediction, open_session

URL_ALPHABET = str.maketrans("-_", "+/")


class ServedModel:
    """A model that MLflow has loaded."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, table: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002  # MLflow's interface
        """Return a DataFrame of predictions for `table`, a DataFrame with the column `image`."""
        import pandas as pd

        cells = [_images_of(cell) for cell in table["image"]]
        images = [_to_bytes(value) for values in cells for value in values]
        readable = [image for image in images if image is not None]
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        predictions = self.classifier.classify(readable, threads=threads)
        unreadable = Prediction(error="neither bytes nor base64")
        if self.classifier.counters:
            self.classifier.counters.add((), [str(unreadable.error)] * (len(images) - len(readable)))
        rows = [(unreadable if image is None else next(predictions)).as_json() for image in images]
        # With dtype object, None becomes null in JSON and not NaN.
        index = table.index.repeat([len(values) for values in cells])
        return pd.DataFrame(rows, index, columns=list(unreadable.as_json()), dtype=object)


def _load_pyfunc(path: str) -> ServedModel:
    """Load the ONNX file at `path`; MLflow calls this by its name."""
    return ServedModel(Classifier.of(open_session(Path(path)), Path(path)))


def _images_of(cell: Any) -> list[Any]:
    """Return the values in a cell: those of its list, or its single value. An empty list gives one error."""
    if isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.tolist()
    return list(cell) or [None] if isinstance(cell, list | tuple) else [cell]


def _to_bytes(value: Any) -> bytes | None:
    """Return the bytes of an image file, or None if there are neither bytes nor base64."""
    if isinstance(value, Mapping) and set(value) == {"b64"}:
        value = value["b64"]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        return None
    header, comma, payload = value.partition(",")
    if comma and header[:5].lower() == "data:" and header.lower().endswith(";base64"):
        value = payload
    encoded = "".join(value.split()).translate(URL_ALPHABET).rstrip("=")  # many tools break lines
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return None
