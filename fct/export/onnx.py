"""A trained network as one ONNX file: uint8 pixels in, logits out, normalisation inside.

    image    uint8 [B, C, H, W]
    quality  int64 [B]            only where the network has residual mapping blocks; 0 where no JPEG table tells it
    logits   float32 [B, classes]

Only what follows from content is in the file; source paths that the exporter notes are taken out.
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
from fct.images.tables import NO_TABLES
from fct.models.network import Network
from fct.models.saved import Description

OPSET = 20  # ONNX 1.15, of 2023: old enough for the runtimes in use


class _Logits(nn.Module):
    """The network as it is served: images, and their quality where it matters, to float32 logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, quality: Tensor | None = None) -> Tensor:
        if quality is None:
            quality = torch.full(image.shape[:1], NO_TABLES, device=image.device)
        logits: Tensor = self.network(image, quality)[0]
        return logits.float()


def export(network: Network, description: Description, path: Path = MODEL_ONNX) -> None:
    """Write `network` to `path` as ONNX, whole or not at all, after onnx's own full check."""
    network = network.eval().cpu()
    image = torch.zeros(2, description.channels, description.size, description.size, dtype=torch.uint8)
    example: dict[str, Tensor] = {"image": image}
    batch = torch.export.Dim("batch")
    shapes: dict[str, Any] = {"image": {0: batch}}
    if network.uses_quality:
        example["quality"] = torch.tensor([NO_TABLES, 50])
        shapes["quality"] = {0: batch}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        _quiet()
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
    _strip(model)
    onnx.helper.set_model_props(model, _properties(description))
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def _properties(description: Description) -> dict[str, str]:
    return {
        "fct.classes": json.dumps(description.classes),
        "fct.qualities": json.dumps(description.qualities),
        "fct.no_tables": json.dumps(NO_TABLES),
        "fct.layers": json.dumps(description.layers),
        "fct.mean": json.dumps(description.mean),
        "fct.std": json.dumps(description.std),
        "fct.data_digest": description.data_digest,
        "fct.params_digest": description.params_digest,
    }


def _strip(model: onnx.ModelProto) -> None:
    """Take out what names the machine: the exporter notes stack traces, with file paths, at every node."""
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


def _quiet() -> None:
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
