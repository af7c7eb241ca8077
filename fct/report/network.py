"""How the model was made: its architecture, from model/model.pt, and its method, from search/best.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fct.core.errors import FctError
from fct.core.params import read
from fct.core.paths import BEST_METHOD, MODEL_ONNX, MODEL_PT
from fct.evaluate.model import Model
from fct.methods.params import MethodParams
from fct.report.method import describe
from fct.serving.metadata import read_entries

if TYPE_CHECKING:
    from fct.models.network import Network
    from fct.models.saved import Description

QUALITY_INPUTS = {"film": "scales and shifts (FiLM)", "plane": "a plane", "table": "the quantisation tables"}


@dataclass(frozen=True)
class Making:
    """How the model was made, in words by title."""

    architecture: Mapping[str, str]
    method: Mapping[str, str]
    unknown: str = ""  # a sentence about what is not known, and why


def read_making(model: Model) -> Making:
    """Return how the exported model was made, as far as the files of its own training are here."""
    try:
        network, description = _read_network(model)
    except FctError as error:
        return Making({}, {}, f"Architecture and method are not known: {error}")
    architecture = _architecture(network, description)
    try:
        method = _read_method(description)
    except FctError as error:
        return Making(architecture, {}, f"The method is not known: {error}")
    return Making(architecture, describe(method, description.qualities))


def _read_network(model: Model) -> tuple[Network, Description]:
    if not MODEL_PT.is_file():  # do not import torch for a missing file
        raise FctError(f"{MODEL_PT} is not here.")
    from fct.models import saved

    network, description = saved.load(MODEL_PT)
    entries = read_entries(model.session)
    digests = {"fct.params_digest": description.params_digest, "fct.data_digest": description.data_digest}
    if any(entries.get(key) != digest for key, digest in digests.items()):
        raise FctError(f"{MODEL_PT} is not the network that {MODEL_ONNX} was made from. Run `dvc repro export@model`.")
    return network, description


def _read_method(description: Description) -> MethodParams:
    """Return the method of the training, if it is the one that made the network."""
    from fct.methods.registry import WITH_BLOCKS
    from fct.train.__main__ import Best

    if not BEST_METHOD.is_file():
        raise FctError(f"{BEST_METHOD} is not here.")
    method = read(Best, BEST_METHOD).method
    layers = method.layers if method.uses_features else []
    block = method.block if method.name in WITH_BLOCKS else None
    if (description.layers, description.block) != (layers, block):
        raise FctError(f"{BEST_METHOD} is of another training than {MODEL_PT}. Run `dvc repro train`.")
    return method


def _architecture(network: Network, description: Description) -> dict[str, str]:
    from fct.models.backbones import OWN

    block, stem = description.block, "for small images" if description.stem == "small" else "its own"
    lines = {
        "backbone": description.backbone,
        **({"width": f"{description.width} channels in the first stage"} if description.backbone in OWN else {}),
        "stem": stem,
        "input": f"{description.size} x {description.size} pixels, "
        f"{'grey' if description.channels == 1 else 'colour'}; {len(description.classes)} classes",
        "residual mapping blocks": "none"
        if block is None
        else f"behind {', '.join(block.layers)}; width {block.width:g}; the quality enters as "
        f"{QUALITY_INPUTS[block.quality]}",
    }
    if block is not None:
        lines["without JPEG tables"] = (
            "blocks change nothing" if network.estimator is None else "the estimator estimates the quality"
        )
    if description.flip_tta:
        lines["inference"] = "mean of the logits of the image and of its mirror image"
    return lines | {"parameters": _parameters(network)}


def _parameters(network: Network) -> str:
    parts = {"blocks": network.blocks, "estimator": network.estimator}
    sizes = {
        name: sum(weight.numel() for weight in part.parameters()) for name, part in parts.items() if part is not None
    }
    total = sum(weight.numel() for weight in network.parameters())
    return "; ".join([f"{total:,}", *(f"{size:,} in the {name}" for name, size in sizes.items())])
