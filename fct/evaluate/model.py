"""Opens ONNX classifiers: those that this project exported, and those that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.paths import INT8_ONNX, MODEL_ONNX, STANDARD_ONNX
from fct.evaluate.adapter import Adapter, OutputError, is_channels_last, scale_of
from fct.evaluate.model_file import model_files
from fct.evaluate.outputs import choose_output, probe
from fct.evaluate.preprocessing import PRESETS, Preprocessing, parse_normalisation
from fct.serving.classifier import open_session
from fct.serving.metadata import CLASSES, LONGEST_NAME, UnusableMetadata, read_entries, read_metadata

MADE_BY = {MODEL_ONNX: "export@model", INT8_ONNX: "int8", STANDARD_ONNX: "export@standard"}  # stages
PIXEL_TYPES: dict[str, type[np.generic]] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class Model:
    """An open classifier."""

    path: Path
    session: Any  # onnxruntime.InferenceSession
    adapter: Adapter
    image_shape: tuple[int | str | None, ...]  # [B, C, H, W] in the file; no int where any size fits
    classes: int | None  # None if the file gives labels and does not say how many classes there are
    class_names: list[str] | None  # None if the file does not name them
    preprocessing: Preprocessing | None = None  # how it is used; None for a file of this project


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
    with translate_errors(path):
        metadata = read_metadata(read_entries(session), logits.shape[1])
    quality = "quality" if "quality" in inputs else None
    adapter = Adapter(
        "image", quality, "logits", channels_last=False, normalisation=None, batch=None, no_tables=metadata.no_tables
    )
    names = None if metadata.classes is None else list(metadata.classes)
    return Model(path, session, adapter, tuple(inputs["image"].shape), logits.shape[1], names)


def open_foreign_model(path: Path, wanted: Preprocessing | None = None) -> Model:
    """Open a classifier that was made elsewhere.

    Args:
        path: an ONNX file. Its one input takes square images as float16, float32, float64 or uint8. One of its outputs
            is logits, probabilities or labels. A file of this project is opened by `open_model`.
        wanted: what the model needs, as far as the file does not say so.

    Returns:
        The model. Its `preprocessing` has every key that matters, except `scale`, which `settle_scale` finds.

    Raises:
        FctError: the file is missing, is not ONNX or not such a classifier, or a key is needed to use it.
    """
    if path.is_file():
        model_files(path)  # before onnxruntime reads what they name
    session = _session(path)
    with translate_errors(path):
        is_own = CLASSES in read_entries(session)
    if is_own:
        return open_model(path)
    wanted = wanted or Preprocessing()
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in PIXEL_TYPES:
        description = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in inputs)
        aware = " Export a fct.QualityAware with its image alone, without the quality." if len(inputs) > 1 else ""
        raise FctError(
            f"{path}: its inputs are {description}. One input of images is needed: float16, float32, float64 or uint8, "
            f"four axes.{aware}"
        )
    image, dtype = inputs[0], PIXEL_TYPES[inputs[0].type]
    is_float = dtype is not np.uint8
    if is_float and wanted.normalise is None:
        raise FctError(
            f"{path}: it takes {dtype.__name__} pixels. Say how they are normalised: --normalise unit (0..1), "
            "symmetric (-1..1), imagenet, bytes (0..255), caffe, or mean/deviation; or take a --preset: "
            f"{', '.join(PRESETS)}."
        )
    last = is_channels_last(image.shape, wanted.layout)
    shape = tuple(image.shape[axis] for axis in ((0, 3, 1, 2) if last else (0, 1, 2, 3)))
    size, channels = image_size(path, shape, wanted.size), image_channels(path, shape)
    normalisation = parse_normalisation(wanted.normalise) if is_float and wanted.normalise else None
    if channels == 1 and (wanted.channels == "bgr" or (normalisation and len(normalisation[0] + normalisation[1]) > 2)):
        raise FctError(f"{path}: its images are grey. Choose channels and normalise for one channel, such as unit.")
    batch = shape[0] if isinstance(shape[0], int) else None
    adapter = Adapter(
        image.name,
        None,
        "",
        channels_last=last,
        normalisation=normalisation,
        batch=batch,
        dtype=dtype,
        bgr=wanted.channels == "bgr",
        background=bool(wanted.background),
    )
    with translate_errors(path):
        outputs = probe(session, adapter, np.zeros((batch or 1, size, size, channels), np.uint8))
    output = choose_output(path, outputs, wanted)
    scale = "labels" if outputs[output].is_label else wanted.scale
    fit = wanted.fit(size)
    resolved = Preprocessing(
        size=size,
        shorter=fit.shorter,
        stretch=fit.stretch,
        interpolation=wanted.interpolation or "bilinear",
        layout="nhwc" if last else "nchw",
        channels=(wanted.channels or "rgb") if channels == 3 else None,
        normalise=wanted.normalise if is_float else None,
        output=output if len(session.get_outputs()) > 1 else None,
        scale=scale,
        background=adapter.background,
    )
    classes = None if scale == "labels" else outputs[output].numbers - adapter.background
    adapter = replace(adapter, output=output, scale=scale or "logits")
    return Model(path, session, adapter, shape, classes, None, resolved)


def settle_scale(model: Model, images: NDArray[np.uint8], quality: NDArray[np.int64]) -> Model:
    """Return the model with the scale of its output. If the user did not name it, derive it from some outputs.

    Args:
        model: the classifier.
        images: uint8 [B, H, W, C], as the model takes them.
        quality: [B], of each image.
    """
    if model.preprocessing is None or model.preprocessing.scale is not None:
        return model
    with translate_errors(model.path):
        scale = scale_of(model.adapter.run(model.session, images, quality))
    preprocessing = model.preprocessing.override(Preprocessing(scale=scale))
    return replace(model, adapter=replace(model.adapter, scale=scale), preprocessing=preprocessing)


def image_size(path: Path, shape: Sequence[int | str | None], size: int | None) -> int:
    """Return the height and width of the images that a model takes, in pixels.

    Args:
        path: the file, for errors.
        shape: [B, C, H, W] in the file.
        size: what the user says. None leaves it to the file.

    Raises:
        FctError: the images are not square, or the file and the user do not agree on one size.
    """
    _, _, height, width = shape
    if isinstance(height, int) and isinstance(width, int) and height != width:
        raise FctError(f"{path}: its images are {height} x {width} pixels. Only square images can be judged.")
    pixels = next((side for side in (height, width, size) if isinstance(side, int)), None)
    if pixels is None:
        raise FctError(f"{path}: it takes images of any size. Choose one with --size.")
    if size is not None and size != pixels:
        raise FctError(f"{path}: its images are {pixels} x {pixels} pixels. Leave out --size, or give that number.")
    return pixels


def image_channels(path: Path, shape: Sequence[int | str | None]) -> int:
    """Return the channels of the images that a model takes: 1 or 3.

    Raises:
        FctError: the model takes another number.
    """
    channels = shape[1] if isinstance(shape[1], int) else 3
    if channels not in (1, 3):
        raise FctError(
            f"{path}: its images have {channels} channels. Only grey images (1) and RGB images (3) can be judged."
        )
    return channels


def _session(path: Path) -> Any:
    if not path.is_file():
        remedy = f" Make it with `dvc repro {MADE_BY[path]}`." if path in MADE_BY else ""
        raise FctError(f"{path} is not here.{remedy}")
    with translate_errors(path):
        session = open_session(path)
        for tensor in (*session.get_inputs(), *session.get_outputs()):
            _ = tensor.name, tensor.shape  # onnxruntime decodes these texts now
    return session


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of onnxruntime, which have no common class, and faults of a file into an `FctError` with the path."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        yield
    except OutputError as error:
        raise FctError(f"{path}: {error}") from None
    except UnusableMetadata as error:
        raise FctError(f"{path}: {error}. Export the model again.") from None
    except UnicodeDecodeError as error:
        raise FctError(
            f"{path}: the name {error.object[:LONGEST_NAME]!r} in it is not UTF-8. Export the model again."
        ) from None
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
        reason = str(error).rpartition(f"{path} failed:")[2].rstrip(".")
        raise FctError(f"{path}: onnxruntime cannot use it: {reason}.{remedy}") from None


def _check_tensor(path: Path, tensor: Any, dtype: str, *, rank: int) -> None:
    if tensor.type != dtype or len(tensor.shape) != rank:
        raise FctError(f"{path}: {tensor.name} is {tensor.type} {tensor.shape}, but must be {dtype} with {rank} axes.")
    if isinstance(tensor.shape[0], int):
        raise FctError(
            f"{path}: {tensor.name} has the fixed batch size {tensor.shape[0]}. Export it with a dynamic one."
        )
