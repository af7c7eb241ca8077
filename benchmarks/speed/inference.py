"""The exported ONNX file against eager torch: the time of one image, and images of 64 at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.speed.measure import Row, compare, photographs
from fct.export.onnx import export
from fct.train.candidate import Description

BATCHES = (1, 64)
NETWORK = ("resnet20", 16)
SIZE = 32


def rows() -> list[Row]:
    """Measure each batch size with one thread and with all."""
    name, width = NETWORK
    description = Description(
        backbone=name,
        width=width,
        classes=[str(number) for number in range(10)],
        channels=3,
        size=SIZE,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        layers=["stage1", "stage2", "stage3"],
        block=None,
        stem="own",
        qualities=[50],
        data_digest="",
        params_digest="",
    )
    torch.manual_seed(0)
    network = description.build().eval()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(network, description, path)
        for threads in sorted({1, os.cpu_count() or 1}):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            torch.set_num_threads(threads)
            for batch in BATCHES:
                images = np.ascontiguousarray(photographs(batch, SIZE).transpose(0, 3, 1, 2))
                tensor, quality = torch.from_numpy(images), torch.full((batch,), 100)

                def eager(tensor: torch.Tensor = tensor, quality: torch.Tensor = quality) -> None:
                    with torch.inference_mode():
                        network(tensor, quality)

                def by_onnx(images: object = images, session: onnxruntime.InferenceSession = session) -> None:
                    session.run(["logits"], {"image": images})

                ways: dict[str, Callable[[], object]] = {"torch, eager": eager, "ONNX Runtime": by_onnx}
                work = f"inference of {name}, width {width}, batch {batch}"
                found += compare(work, SIZE, ways, dict.fromkeys(ways, batch), threads=threads)
    return found
