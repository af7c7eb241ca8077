"""An ONNX file as a registered MLflow model, all or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.files import sha256
from fct.data.store import Split
from fct.evaluate.sweep import Model
from fct.registry.versions import Version, Versions
from fct.tracking.server import calm

NEEDS = ("numpy", "onnx", "onnxruntime")  # to load the registered model
EXAMPLES = 2  # images in the input example


def register(versions: Versions, model: Model, split: Split, *, run: str | None, tags: Mapping[str, str]) -> Version:
    """Register an exported model as a new version; where that fails, nothing is registered.

    Args:
        versions: Where.
        model: The exported model.
        split: What the input example is taken from.
        run: The id of the run that made it.
        tags: Of the version; they are there from its first moment on.
    """
    from mlflow.exceptions import MlflowException

    client = versions.server.client
    logged = client.create_logged_model(versions.server.experiment, name="model", source_run_id=run)
    try:
        with TemporaryDirectory() as folder:
            packed = Path(folder) / "model"
            _pack(model, _example(model, split), packed, logged, run)
            client.log_model_artifacts(logged.model_id, str(packed))
        client.finalize_logged_model(logged.model_id, "READY")
        try:
            client.create_registered_model(versions.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"models:/{logged.model_id}"
        made = client.create_model_version(versions.name, source, run_id=run, tags=dict(tags), model_id=logged.model_id)
    except BaseException:
        with suppress(Exception):  # what stopped it is what counts
            client.delete_logged_model(logged.model_id)
        raise
    return Version(str(made.version), dict(tags))


def _pack(model: Model, example: dict[str, NDArray[Any]], folder: Path, logged: Any, run: str | None) -> None:
    with calm():
        import mlflow.models
        import mlflow.onnx
        import mlflow.pyfunc  # which mlflow.onnx imports later, with warnings
        import onnx

    mlflow.onnx.save_model(
        onnx.load(model.path),
        str(folder),
        mlflow_model=mlflow.models.Model(artifact_path=logged.artifact_location, run_id=run, model_id=logged.model_id),
        signature=_signature(model),
        input_example=example,
        pip_requirements=[f"{name}=={installed(name)}" for name in NEEDS],
        save_as_external_data=False,
    )
    packed = folder / "model.onnx"
    if sha256(packed) != sha256(model.path):  # it was parsed and written again; what was judged is the file
        shutil.copyfile(model.path, packed)


def _signature(model: Model) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    size = [each if isinstance(each, int) else -1 for each in model.image_shape[1:]]
    inputs: list[Any] = [TensorSpec(np.dtype(np.uint8), (-1, *size), "image")]
    if model.takes_quality:
        inputs.append(TensorSpec(np.dtype(np.int64), (-1,), "quality"))
    outputs: list[Any] = [TensorSpec(np.dtype(np.float32), (-1, model.classes), "logits")]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _example(model: Model, split: Split) -> dict[str, NDArray[Any]]:
    """Return the first images of a split as the model's inputs."""
    images = np.ascontiguousarray(split.images[:EXAMPLES].transpose(0, 3, 1, 2))  # [B, C, H, W]
    quality = np.asarray(split.quality[:EXAMPLES], np.int64)
    return {"image": images, **({"quality": quality} if model.takes_quality else {})}
