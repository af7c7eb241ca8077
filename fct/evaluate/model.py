"""Opens ONNX classifiers: those that this project exported, and those that were made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fct.core.errors import FctError
from fct.core.paths import INT8_ONNX, MODEL_ONNX, STANDARD_ONNX
from fct.evaluate.adapter import Adapter, is_channels_last, normalisation
from fct.serving.classifier import no_tables_value, open_session

MADE_BY = {MODEL_ONNX: "export@model", INT8_ONNX: "int8", STANDARD_ONNX: "export@standard"}  # stages


@dataclass(frozen=True)
class Model:
    """An open classifier."""

    path: Path
    session: Any  # onnxruntime.InferenceSession
    adapter: Adapter
    image_shape: tuple[int | str | None, ...]  # [B, C, H, W] in the file; no int where any size fits
    classes: int
    class_names: list[str] | None  # None if the file does not name them


def open_model(path: Path) -> Model:
    """Open a model that this project exported, and check its inputs and its output.

    Raises:
        FctError: the file is missing, is not ONNX, or has other inputs or outputs.
    """
    session = _session(path)
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    if set(inputs) not in ({"image"}, {"image", "quality"}) or set(outputs) != {"logits"}:
        raise FctError(
            f"{path}: its inputs are {', '.join(inputs) or 'none'}, its outputs {', '.join(outputs) or 'none'}. It "
            "needs the input image, the output logits and, with residual mapping blocks, the input quality. Make such "
            "a file with `dvc repro export`."
        )
    _check_tensor(path, inputs["image"], "tensor(uint8)", rank=4)
    if "quality" in inputs:
        _check_tensor(path, inputs["quality"], "tensor(int64)", rank=1)
    logits = outputs["logits"]
    _check_tensor(path, logits, "tensor(float)", rank=2)
    if not isinstance(logits.shape[1], int):
        raise FctError(f"{path}: logits has shape {logits.shape}, but its number of classes must be fixed.")
    metadata = session.get_modelmeta().custom_metadata_map
    names = json.loads(metadata["fct.classes"]) if "fct.classes" in metadata else None
    quality = "quality" if "quality" in inputs else None
    no_tables = no_tables_value(metadata)
    adapter = Adapter(
        "image", quality, "logits", channels_last=False, normalisation=None, batch=None, no_tables=no_tables
    )
    return Model(path, session, adapter, tuple(inputs["image"].shape), logits.shape[1], names)


def open_foreign_model(path: Path, *, normalise: str | None = None, layout: str | None = None) -> Model:
    """Open a classifier that was made elsewhere.

    Args:
        path: an ONNX file. Its one input takes square images, float32 or uint8. Its first output is logits or
            probabilities. A file of this project is opened by `open_model`.
        normalise: how its pixels are normalised: a name or numbers (fct.evaluate.adapter.normalisation).
        layout: "nchw" or "nhwc". None derives it from the shape of the input.

    Raises:
        FctError: the file is missing, is not ONNX or not such a classifier, or an option is needed to use it.
    """
    session = _session(path)
    inputs, output = session.get_inputs(), session.get_outputs()[0]
    if "fct.classes" in session.get_modelmeta().custom_metadata_map:
        return open_model(path)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in ("tensor(float)", "tensor(uint8)"):
        description = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in inputs)
        raise FctError(
            f"{path}: its inputs are {description}. One input of images is needed: float32 or uint8, four axes."
        )
    image, is_float = inputs[0], inputs[0].type == "tensor(float)"
    if is_float and normalise is None:
        raise FctError(
            f"{path}: it takes float32 pixels. Say how they are normalised: --normalise unit (0..1), symmetric "
            "(-1..1), imagenet, bytes (0..255), or mean/deviation."
        )
    if len(output.shape) != 2 or not isinstance(output.shape[1], int):
        raise FctError(
            f"{path}: {output.name} has shape {output.shape}. It must be [images, classes], with a fixed "
            "number of classes."
        )
    last = is_channels_last(image.shape, layout)
    batch = image.shape[0] if isinstance(image.shape[0], int) else None
    scaling = normalisation(normalise) if is_float and normalise else None
    adapter = Adapter(image.name, None, output.name, channels_last=last, normalisation=scaling, batch=batch)
    shape = [image.shape[axis] for axis in ((0, 3, 1, 2) if last else (0, 1, 2, 3))]
    return Model(path, session, adapter, tuple(shape), output.shape[1], None)


def _session(path: Path) -> Any:
    if not path.is_file():
        remedy = f" Make it with `dvc repro {MADE_BY[path]}`." if path in MADE_BY else ""
        raise FctError(f"{path} is not here.{remedy}")
    with translate_errors(path):
        return open_session(path)


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of onnxruntime into an `FctError`. They have no common class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        yield
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoModel,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        stage = MADE_BY.get(path)
        remedy = f" Rebuild it with `dvc repro --force --single-item {stage}`." if stage else ""
        raise FctError(f"{path}: onnxruntime cannot use it: {error}.{remedy}") from None


def _check_tensor(path: Path, tensor: Any, dtype: str, *, rank: int) -> None:
    if tensor.type != dtype or len(tensor.shape) != rank:
        raise FctError(f"{path}: {tensor.name} is {tensor.type} {tensor.shape}, but must be {dtype} with {rank} axes.")
    if isinstance(tensor.shape[0], int):
        raise FctError(
            f"{path}: {tensor.name} has the fixed batch size {tensor.shape[0]}. Export it with a dynamic one."
        )
