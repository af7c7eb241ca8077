"""A trained network as one ONNX file: uint8 pixels in, logits out, normalisation inside.

    image    uint8 [B, C, H, W]
    quality  int64 [B]            only with residual mapping blocks; 0 without JPEG tables
    logits   float32 [B, classes]

The file depends on the network alone: the source paths that the exporter adds are removed.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from fct.core.files import write_bytes
from fct.core.paths import MODEL_ONNX
from fct.images.tables import UNKNOWN_QUALITY
from fct.models.network import Network
from fct.models.saved import Description

OPSET = 20  # ONNX 1.15 of 2023, which common runtimes support


class _Logits(nn.Module):
    """The network as it is deployed: from images, and their quality if it is used, to float32 logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, quality: Tensor | None = None) -> Tensor:
        if quality is None:
            quality = torch.full(image.shape[:1], UNKNOWN_QUALITY, device=image.device)
        logits: Tensor = self.network(image, quality)[0]
        return logits.float()


def export(network: Network, description: Description, path: Path = MODEL_ONNX) -> None:
    """Write `network` to `path` as ONNX, whole or not at all, after onnx's full check."""
    network = network.eval().cpu()
    image = torch.zeros(2, description.channels, description.size, description.size, dtype=torch.uint8)
    example: dict[str, Tensor] = {"image": image}
    batch = torch.export.Dim("batch")
    shapes: dict[str, Any] = {"image": {0: batch}}
    if network.uses_quality:
        example["quality"] = torch.tensor([UNKNOWN_QUALITY, 50])
        shapes["quality"] = {0: batch}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's internals
        _silence_exporter()
        raw = Path(folder) / "raw.onnx"
        torch.onnx.export(
            _Logits(network),
            kwargs=example,
            f=raw,
            input_names=list(example),
            output_names=["logits"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(raw)
    _remove_traces(model)
    onnx.helper.set_model_props(model, _properties(description))
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def _properties(description: Description) -> dict[str, str]:
    return {
        "fct.classes": json.dumps(description.classes),
        "fct.qualities": json.dumps(description.qualities),
        "fct.no_tables": json.dumps(UNKNOWN_QUALITY),
        "fct.layers": json.dumps(description.layers),
        "fct.mean": json.dumps(description.mean),
        "fct.std": json.dumps(description.std),
        "fct.data_digest": description.data_digest,
        "fct.params_digest": description.params_digest,
    }


def _remove_traces(model: onnx.ModelProto) -> None:
    """Remove the stack traces, with file paths of this machine, that the exporter adds to every node."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = [*graph.value_info]
        if isinstance(graph, onnx.GraphProto):
            values += [*graph.input, *graph.output, *graph.initializer]
        for item in [*graph.node, *values]:
            item.doc_string = ""
            del item.metadata_props[:]


def _silence_exporter() -> None:
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
