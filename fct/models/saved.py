"""A trained network on disk, with all that is needed to build it again: model.pt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fct.core.errors import FctError
from fct.core.files import write_bytes
from fct.core.paths import MODEL_PT, STANDARD_PT
from fct.models import backbones
from fct.models.network import Network
from fct.models.params import BlockParams, Stem
from fct.models.state import load_state, serialise
from fct.nn.estimator import QualityEstimator

TRAINED_BY = {MODEL_PT: "train", STANDARD_PT: "baseline"}  # stages


class Description(BaseModel):
    """What a network is, apart from its weights: content only, so that the same training gives the same file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    width: int
    stem: Stem
    classes: list[str]
    channels: int
    size: int  # pixels, height and width
    mean: list[float]  # of the training images' channels, 0..1
    std: list[float]
    layers: list[str]
    block: BlockParams | None
    qualities: list[int]  # trained
    data_digest: str
    params_digest: str
    flip_tta: bool = False  # older files have none
    precision: str | None = None  # that it was trained in, fp32 | bf16; files of versions before do not say

    def build(self) -> Network:
        """Return the network, untrained."""
        backbone = backbones.build_backbone(
            self.backbone,
            width=self.width,
            classes=len(self.classes),
            channels=self.channels,
            size=self.size,
            stem=self.stem,
        )
        return Network(
            backbone,
            mean=self.mean,
            std=self.std,
            layers=self.layers,
            block=self.block,
            size=self.size,
            flip_tta=self.flip_tta,
        )


def save(network: Network, description: Description, path: Path = MODEL_PT) -> None:
    """Write weights and description to `path`, whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, serialise({"description": description.model_dump_json(), "state": state}))


def load(path: Path = MODEL_PT, *, remedy: str | None = None) -> tuple[Network, Description]:
    """Read a network, in evaluation mode on the CPU.

    Args:
        path: of the file.
        remedy: what to do about a file that is damaged; for those of the pipeline, to run their stage.

    Raises:
        FctError: it is not there, damaged, or something else; the error ends with `remedy`.
    """
    stage = TRAINED_BY.get(path, "train")
    if not path.exists():
        raise FctError(f"{path} is not here. Make it with `dvc repro {stage}`.")
    remedy = remedy or f"Make it again with `dvc repro --force --single-item {stage}`."
    saved = load_state(path, remedy)
    try:
        description = Description.model_validate(_with_new_names(json.loads(saved["description"])))
        network = description.build()
        if any(name.startswith("estimator.") for name in saved["state"]):
            network.estimator = QualityEstimator(description.channels)
        network.load_state_dict(saved["state"])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError):
        raise FctError(f"{path} is no model.pt of this version of the project. {remedy}") from None
    return network.eval(), description


def _with_new_names(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the keys of this version, given one of any version."""
    if "mirror" in description:
        description["flip_tta"] = description.pop("mirror")
    block = description.get("block") or {}
    if "unknown" in block:
        block["unknown_quality"] = block.pop("unknown")
    return description
