"""The exported ONNX file: against eager torch, and with an estimator of unknown qualities against one without."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.speed.measure import Row, compare, photographs
from fct.export.onnx import export
from fct.models.network import Network
from fct.models.params import BlockParams
from fct.models.saved import Description
from fct.nn.estimator import QualityEstimator

BATCHES = (1, 64)
NETWORK = ("resnet20", 16)
SIZE = 32
WITH_BLOCKS = (("resnet8", 8, 32, "stage"), ("speednet", 32, 32, "stage"), ("resnet18", 64, 224, "layer"))


def rows() -> list[Row]:
    """Measure each batch size with one thread and with all."""
    name, width = NETWORK
    description = _description(name, width, SIZE, "stage", block=None)
    network = _built(description)
    found: list[Row] = []
    for threads in sorted({1, os.cpu_count() or 1}):
        session = _session(network, description, threads)
        torch.set_num_threads(threads)
        for batch in BATCHES:
            images = _images(batch, SIZE)
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


def estimator() -> list[Row]:
    """Measure one image at a time on one thread, in files with blocks: what an estimator adds."""
    found: list[Row] = []
    for name, width, size, layers in WITH_BLOCKS:
        block = {"width": 1.0, "quality": "film", "consistency": "after", "unknown_quality": "estimate"}
        description = _description(name, width, size, layers, block=block)
        network = _built(description)
        ways: dict[str, Callable[[], object]] = {}
        feeds = {"image": _images(1, size), "quality": np.full(1, 100)}
        for title, made in {"bypass": None, "estimate": QualityEstimator(3)}.items():
            network.estimator = made
            session = _session(network, description, 1)
            ways[title] = partial(session.run, ["logits"], feeds)
        work = f"inference of {name}, width {width}, with blocks, at an unknown quality"
        found += compare(work, size, ways, dict.fromkeys(ways, 1))
    return found


def _description(name: str, width: int, size: int, layers: str, *, block: dict[str, object] | None) -> Description:
    names = [f"{layers}{number}" for number in (1, 2, 3)]
    return Description(
        backbone=name,
        width=width,
        classes=[str(number) for number in range(10)],
        channels=3,
        size=size,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        layers=names,
        block=BlockParams.model_validate(block | {"layers": names}) if block else None,
        stem="own",
        qualities=[50],
        data_digest="",
        params_digest="",
    )


def _built(description: Description) -> Network:
    torch.manual_seed(0)
    return description.build().eval()


def _session(network: Network, description: Description, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(network, description, path)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _images(count: int, size: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(photographs(count, size).transpose(0, 3, 1, 2))
