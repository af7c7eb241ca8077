"""Quantises the exported file to 8-bit weights and activations: smaller, and faster on processors with such arithmetic.

Static quantisation in QDQ format rounds the tensors around each convolution and each matrix product to 8 bits. The
scales come from calibration images. These are what a deployment gets: raw images and images compressed at the trained
qualities.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fct.core.files import write_bytes
from fct.core.paths import INT8_ONNX

QUANTISED = ["Conv", "Gemm", "MatMul"]  # the slow operations; all others stay in float32
BATCH = 64  # images in the model at a time

Feed = dict[str, NDArray[Any]]


def quantise(model: Path, images: NDArray[np.uint8], quality: NDArray[np.int64], path: Path = INT8_ONNX) -> None:
    """Write the 8-bit form of `model` to `path`, whole or not at all, after onnx's full check.

    Args:
        model: an exported ONNX file.
        images: for calibration, uint8 [N, C, H, W].
        quality: int64 [N], the JPEG quality of each.
        path: the path of the new file.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().addFilter(_is_no_advice)  # onnxruntime advises pre-processing that is done here
    original = onnx.load(model)
    names = [tensor.name for tensor in original.graph.input]
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            _Feeds(_feeds(names, images, quality)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        result = onnx.load(quantised)
    del result.metadata_props[:]
    result.metadata_props.extend(original.metadata_props)
    onnx.checker.check_model(result, full_check=True)
    write_bytes(path, result.SerializeToString(deterministic=True))


class _Feeds:
    """The calibration batches, in the interface that onnxruntime reads."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self.feeds, None)


def _feeds(names: list[str], images: NDArray[np.uint8], quality: NDArray[np.int64]) -> Iterator[Feed]:
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        inputs: Feed = {"image": np.ascontiguousarray(images[rows]), "quality": np.ascontiguousarray(quality[rows])}
        yield {name: inputs[name] for name in names}


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
