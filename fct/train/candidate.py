"""A trained network on disk, with all that is needed to build it again: model.pt."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fct.core.errors import FctError
from fct.core.files import write_bytes
from fct.models import backbones
from fct.models.estimator import QualityEstimator
from fct.models.network import Network
from fct.models.params import BlockParams, Stem
from fct.train.checkpoint import read, serialised

MODEL = Path("model/model.pt")
BASELINE = Path("model/standard.pt")  # the same network, trained on raw images alone
AGAIN = "Make it again with `dvc repro --force --single-item {}`."  # the stage


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
    mirror: bool = False  # files of versions before it have none

    def build(self) -> Network:
        """Return the network, untrained."""
        backbone = backbones.build(
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
            mirror=self.mirror,
        )


def save(network: Network, description: Description, path: Path = MODEL) -> None:
    """Write weights and description to `path`, whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, serialised({"description": description.model_dump_json(), "state": state}))


def load(path: Path = MODEL, *, remedy: str = AGAIN.format("train")) -> tuple[Network, Description]:
    """Read a network, in evaluation mode on the CPU.

    Raises:
        FctError: it is not there, damaged, or something else; the error ends with `remedy`.
    """
    if not path.exists():
        raise FctError(f"{path} is not here. Make it with `dvc repro train`.")
    saved = read(path, remedy)
    try:
        description = Description.model_validate_json(saved["description"])
        network = description.build()
        if any(name.startswith("estimator.") for name in saved["state"]):
            network.estimator = QualityEstimator(description.channels)
        network.load_state_dict(saved["state"])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError):
        raise FctError(f"{path} is no model.pt of this version of the project. {remedy}") from None
    return network.eval(), description
