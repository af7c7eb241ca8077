"""What an exported model says about every image of a split, raw and at each JPEG quality.

    answers = predict(Path("model/model.onnx"), open_split("gate"), [5, 50, 95], "4:2:0", batch_size=256)
    accuracy = answers.correct.mean(axis=1)  # raw first, then one number a quality

Only the ONNX file is read, in onnxruntime on the CPU: what is measured is the file that would be deployed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fct.cache.views import compressed
from fct.core.errors import FctError
from fct.data.store import Split, let_go
from fct.evaluate.answers import Answers
from fct.evaluate.unseen import distorted, every
from fct.portable.classifier import open_session

View = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images [N, H, W, C], and the quality of each [N]


@dataclass(frozen=True)
class Model:
    """An exported model, opened."""

    path: Path
    session: Any  # onnxruntime.InferenceSession
    takes_quality: bool  # it has residual mapping blocks
    image_shape: tuple[int | str | None, ...]  # [B, C, H, W], as the file declares it; not an int where any size fits
    classes: int
    class_names: list[str] | None  # None where the file does not say


def open_model(path: Path) -> Model:
    """Open an exported model and check that its inputs and output are a candidate's.

    Raises:
        FctError: the file is missing, is not ONNX, or has other inputs or outputs.
    """
    session = _session(path)
    inputs = {each.name: each for each in session.get_inputs()}
    outputs = {each.name: each for each in session.get_outputs()}
    if set(inputs) not in ({"image"}, {"image", "quality"}) or set(outputs) != {"logits"}:
        raise FctError(
            f"{path}: it has inputs {', '.join(inputs) or 'none'} and outputs {', '.join(outputs) or 'none'}. "
            "A candidate has the inputs image and, with residual mapping blocks, quality, and the output logits. "
            "Make one with `dvc repro export`."
        )
    _expect(path, inputs["image"], "tensor(uint8)", rank=4)
    if "quality" in inputs:
        _expect(path, inputs["quality"], "tensor(int64)", rank=1)
    logits = outputs["logits"]
    _expect(path, logits, "tensor(float)", rank=2)
    if not isinstance(logits.shape[1], int):
        raise FctError(f"{path}: logits has shape {logits.shape}; the number of classes must be fixed.")
    said = session.get_modelmeta().custom_metadata_map.get("fct.classes")
    names = None if said is None else json.loads(said)
    return Model(path, session, "quality" in inputs, tuple(inputs["image"].shape), logits.shape[1], names)


def predict(  # noqa: PLR0913 (what is measured, on what, how; the how by keyword)
    model_path: Path,
    split: Split,
    qualities: Sequence[int],
    subsampling: str,
    *,
    batch_size: int,
    unseen: Sequence[str] = (),
    threads: int | None = None,
) -> Answers:
    """Return what the model at `model_path` answers on raw, compressed and otherwise distorted images.

    The model is told the raw images' own quality, and for the compressed ones the quality they were just compressed
    with: that is what a deployment reads from the tables of the file in its hands. One view is in memory at a time.

    Args:
        model_path: The ONNX file.
        split: N images.
        qualities: Q JPEG qualities, 1..100.
        subsampling: Of the chroma planes: 4:2:0 | 4:2:2 | 4:4:4.
        batch_size: Images in the model at a time, over all threads.
        unseen: Distortions, each at all its severities (fct.evaluate.unseen).
        threads: Threads that each run the model on a share of them; None for one a usable core.

    Raises:
        FctError: the model is missing, invalid, or made for other images or classes.
    """
    model = open_model(model_path)
    _check_fit(model, split)
    views = list(_views(split, qualities, subsampling, unseen))
    classes = np.empty((len(views), len(split)), np.int64)
    confidence = np.empty(classes.shape)
    workers = threads or joblib.cpu_count()
    share = max(1, batch_size // workers)  # images
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=classes.size, desc=f"sweep {split.name}", unit="image", unit_scale=True, disable=None) as bar,
    ):
        for row, (name, make) in enumerate(views):
            bar.set_postfix_str(name)
            images, told = make()
            parts = [slice(start, start + share) for start in range(0, len(split), share)]
            answers = pool.map(answer, repeat(model), (images[part] for part in parts), (told[part] for part in parts))
            for part, (predicted, probability) in zip(parts, answers, strict=True):
                classes[row, part], confidence[row, part] = predicted, probability
                bar.update(len(predicted))
                let_go(images)
            del images, answers  # before the next view is made
    return Answers(tuple(name for name, _ in views), classes, confidence, split.labels)


def _views(
    split: Split, qualities: Sequence[int], subsampling: str, unseen: Sequence[str]
) -> Iterator[tuple[str, Callable[[], View]]]:
    """Yield each view's name, and how to make it."""
    yield "raw", partial(_raw, split)
    for quality in qualities:
        yield f"q{quality}", partial(_jpeg, split, quality, subsampling)
    for name, severity, quality in every(split.images.shape[-1]):
        if name in unseen:
            yield f"{name}/{severity}", partial(_unseen, split, name, severity, quality)


def _raw(split: Split) -> View:
    return split.images, split.quality


def _jpeg(split: Split, quality: int, subsampling: str) -> View:
    return compressed(split, quality, subsampling), np.full(len(split), quality, np.int64)


def _unseen(split: Split, name: str, severity: int, quality: int) -> View:
    return distorted(split, name, severity), np.full(len(split), quality, np.int64)


def answer(
    model: Model, images: NDArray[np.uint8], quality: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes [B] of images [B, H, W, C], and how probable the model holds each."""
    feed: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}  # [B, C, H, W]
    if model.takes_quality:
        feed["quality"] = np.ascontiguousarray(quality, np.int64)
    with _readable(model.path):
        logits: NDArray[np.float32] = model.session.run(["logits"], feed)[0]
    if not np.isfinite(logits).all():
        raise FctError(f"{model.path}: it gives logits that are not finite numbers. Train and export it again.")
    below = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return logits.argmax(axis=1), 1 / below.sum(axis=1)


def _session(path: Path) -> Any:
    if not path.is_file():
        raise FctError(f"{path} is not here. Make it with `dvc repro export`.")
    with _readable(path):
        return open_session(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what onnxruntime raises, which has no class of its own in common, into an error for people."""
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
        raise FctError(f"{path}: onnxruntime cannot use it: {error}. Make it anew with `dvc repro export`.") from None


def _expect(path: Path, tensor: Any, dtype: str, *, rank: int) -> None:
    if tensor.type != dtype or len(tensor.shape) != rank:
        raise FctError(
            f"{path}: {tensor.name} is {tensor.type} {tensor.shape}; a candidate has {dtype} of {rank} axes."
        )
    if isinstance(tensor.shape[0], int):
        raise FctError(
            f"{path}: {tensor.name} has the fixed batch size {tensor.shape[0]}. Export it with a dynamic one."
        )


def _check_fit(model: Model, split: Split) -> None:
    """Refuse images of another size or channels than the model's, and labels that it has no class for."""
    _, height, width, channels = split.images.shape
    for name, has, wants in zip(
        ("channels", "height", "width"), (channels, height, width), model.image_shape[1:], strict=True
    ):
        if isinstance(wants, int) and wants != has:
            raise FctError(
                f"{model.path}: it takes images with {name} {wants}, the split {split.name} has {has}. "
                "Export a model that was trained on these data."
            )
    if not len(split):
        raise FctError(f"The split {split.name} has no images. Give it some in params.yaml: data.fractions.")
    if int(split.labels.max()) >= model.classes:
        raise FctError(
            f"{model.path}: it knows {model.classes} classes, the split {split.name} has a label "
            f"{int(split.labels.max())}. Export a model that was trained on these data."
        )
