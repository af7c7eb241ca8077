"""model.pt: a trained network in a file, with everything that is needed to build it again."""

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

STAGES = {MODEL_PT: "train", STANDARD_PT: "baseline"}  # stage that writes the file


class Description(BaseModel):
    """Everything about a network except its weights. It has no time or path: the same training gives the same file."""

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
    flip_tta: bool = False  # not in older files
    precision: str | None = None  # of the training, fp32 | bf16 | fp16; None in older files

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
        path: the path of the file.
        remedy: last sentence of the errors: what to do about a damaged file; by default, run the stage that writes it.

    Raises:
        FctError: the file is missing, damaged, or not a model.pt.
    """
    stage = STAGES.get(path, "train")
    if not path.exists():
        raise FctError(f"{path} is not here. Make it with `dvc repro {stage}`.")
    remedy = remedy or f"Make it again with `dvc repro --force --single-item {stage}`."
    content = load_state(path, remedy)
    try:
        description = Description.model_validate(_rename_old_keys(json.loads(content["description"])))
        network = description.build()
        if any(name.startswith("estimator.") for name in content["state"]):
            network.estimator = QualityEstimator(description.channels)
        network.load_state_dict(content["state"])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError):
        raise FctError(f"{path} is not a model.pt of this version of the project. {remedy}") from None
    return network.eval(), description


def _rename_old_keys(description: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of a description that an older version wrote to those of this version."""
    if "mirror" in description:
        description["flip_tta"] = description.pop("mirror")
    block = description.get("block") or {}
    if "unknown" in block:
        block["unknown_quality"] = block.pop("unknown")
    return description
