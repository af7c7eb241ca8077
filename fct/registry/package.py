"""Registers an ONNX file as an MLflow model, whole or not at all."""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fct import images, serving
from fct.core.files import sha256
from fct.evaluate.model import Model
from fct.registry import training_images
from fct.registry.existence import create_if_missing
from fct.registry.limits import check_tags
from fct.registry.versions import Version, Versions
from fct.splits.store import Split
from fct.tracking.server import silence_mlflow

PACKAGE = "fct_portable"  # name of the copy of `ROOMS` in a registered model
ROOMS = (images, serving)
FILE = "model.onnx"
REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pandas", "pillow")  # to load the registered model, beside MLflow
EXAMPLES = 2  # images in the input example


def register(  # noqa: PLR0913  # all parts of a version, by name
    versions: Versions,
    model: Model,
    split: Split,
    training: NDArray[np.uint64],
    *,
    run: str | None,
    tags: Mapping[str, str],
    card: str,
) -> Version:
    """Register an exported model as a new version. If that fails, nothing is registered.

    Args:
        versions: The registered model that gets the version.
        model: The exported model.
        split: The source of the input example.
        training: The fingerprints of the images that made it, sorted.
        run: The id of the run that made it.
        tags: The version's tags, which it has from the start.
        card: The version's description, in Markdown.

    Raises:
        FctError: a tag is longer than MLflow's databases take.
    """
    check_tags(tags)
    client = versions.server.client
    logged = client.create_logged_model(versions.server.experiment, name="model", source_run_id=run)
    try:
        with TemporaryDirectory() as folder:
            packed = Path(folder) / "model"
            _pack(model, _example(split), packed, logged, run)
            tags = {**tags, training_images.TAG: sha256(training_images.write(training, packed))}
            client.log_model_artifacts(logged.model_id, str(packed))
        client.finalize_logged_model(logged.model_id, "READY")
        create_if_missing(client, versions.name)
        source = f"models:/{logged.model_id}"
        registered = client.create_model_version(
            versions.name, source, run_id=run, tags=dict(tags), model_id=logged.model_id, description=card
        )
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            client.delete_logged_model(logged.model_id)
        raise
    return Version(str(registered.version), dict(tags))


def _pack(model: Model, example: list[bytes], folder: Path, logged: Any, run: str | None) -> None:
    """Write the folder that MLflow stores: the judged file, once, and two flavours that load it.

    The flavour `python_function` takes encoded images (fct.serving.pyfunc). The flavour `onnx` takes tensors.
    """
    import pandas as pd

    with silence_mlflow():
        import mlflow.models
        import mlflow.pyfunc
        import onnx

    mlmodel = mlflow.models.Model(artifact_path=logged.artifact_location, run_id=run, model_id=logged.model_id)
    with TemporaryDirectory() as code, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how MLflow uses pandas
        # The copy has its own name, so that it does not hide an installed fct or a checkout, nor they it.
        package = Path(code) / PACKAGE
        for room in ROOMS:
            source = Path(str(room.__file__)).parent
            shutil.copytree(source, package / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=f"{PACKAGE}.serving.pyfunc",
            data_path=str(model.path),
            code_paths=[str(package)],
            mlflow_model=mlmodel,
            signature=_signature(),
            input_example=pd.DataFrame({"image": example}),
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
        )
    (folder / mlmodel.flavors["python_function"]["data"]).rename(folder / FILE)
    (folder / "data").rmdir()
    mlmodel.flavors["python_function"]["data"] = FILE
    mlmodel.add_flavor("onnx", onnx_version=onnx.__version__, data=FILE, providers=["CPUExecutionProvider"])
    mlmodel.save(str(folder / "MLmodel"))


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Map

    outputs: list[tuple[str, Any]] = [
        ("class", DataType.string),
        ("probabilities", Map(DataType.double)),
        ("quality", DataType.long),
        ("below_trained", DataType.boolean),
        ("error", DataType.string),
    ]
    # Not `binary`: MLflow would decode its base64 itself, and one invalid cell would fail the whole request.
    return ModelSignature(
        Schema([ColSpec(AnyType(), "image")]),  # type: ignore[no-untyped-call]  # MLflow's own
        Schema([ColSpec(kind, name, required=name == "below_trained") for name, kind in outputs]),
    )


def _example(split: Split) -> list[bytes]:
    """Return the first images of a split as PNG files."""
    return [_png(image) for image in split.images[:EXAMPLES]]


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
