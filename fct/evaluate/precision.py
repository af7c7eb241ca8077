"""A model's file in fewer bits, as phones and accelerators run it."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fct.core.errors import FctError
from fct.evaluate.model import Model
from fct.serving.classifier import open_session


def fp16(model: Model) -> Model:
    """Return the model with weights and results of layers in half precision. Its inputs and outputs stay as they are.

    onnxruntime's CPU kernels compute each layer in single precision and round its result.

    Raises:
        FctError: onnxruntime cannot convert the file.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    def convert(source: Path, path: Path) -> None:
        onnx.save(convert_float_to_float16(onnx.load(source, format="protobuf"), keep_io_types=True), path)

    return _converted(model, "fp16", convert)


def int8(model: Model) -> Model:
    """Return the model with weights in 8 bits and, at run time, the inputs of its convolutions and products too.

    These inputs get their scales at run time (dynamic quantisation), so no calibration images are needed. Each batch
    has its own scales, and each image is a batch of its own: else an answer would depend on the images beside it. A
    file that is already quantised stays as it is.

    Raises:
        FctError: onnxruntime cannot convert the file.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(model.path, format="protobuf", load_external_data=False).graph
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        return model

    def convert(source: Path, path: Path) -> None:
        quantize_dynamic(onnx.load(source, format="protobuf"), path, weight_type=QuantType.QUInt8)

    converted = _converted(model, "int8", convert)
    return replace(converted, adapter=replace(model.adapter, batch=model.adapter.batch or 1))


def _converted(model: Model, name: str, convert: Callable[[Path, Path], None]) -> Model:
    logging.disable(logging.WARNING)  # a warning for every tensor that stays as it is
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that are zero in half precision
        path = Path(folder) / "model.onnx"
        try:
            convert(model.path, path)
            return replace(model, session=open_session(path))
        except Exception as error:  # noqa: BLE001 the converters raise many exceptions
            raise FctError(
                f"{model.path}: onnxruntime cannot convert it to {name}: {error}. Remove {name} from evaluate.unseen."
            ) from None
        finally:
            logging.disable(logging.NOTSET)
