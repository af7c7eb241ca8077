"""What some methods keep beside the network while it trains: a teacher, projections. None of it is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fct.core.errors import FctError
from fct.core.paths import STANDARD_PT
from fct.images.tables import NO_TABLES
from fct.losses.projection import projections
from fct.methods.batch import Context
from fct.methods.params import MethodParams
from fct.models import saved
from fct.models.backbones import OWN
from fct.models.network import Network
from fct.models.params import ModelParams
from fct.models.weights import find_weights

OF_PIPELINE = "baseline"  # the teacher that the stage of this name trains


class TrainingAids:
    """The teacher and the projections of one training, as its method wants them."""

    def __init__(self, network: Network, method: MethodParams, images: Tensor, *, label_smoothing: float = 0.0) -> None:
        """Make or read them.

        Args:
            network: the student, on the device to train on.
            method: what it is trained with; `check_teacher` has passed.
            images: a few of the training images, uint8 [B, C, H, W], on the same device: to see what shapes come out.
            label_smoothing: handed on to the method.

        Raises:
            FctError: the teacher's file cannot be read.
        """
        self.label_smoothing = label_smoothing
        self.teacher: nn.Module | None = None
        self.average: AveragedModel | None = None
        self.projections: nn.ModuleDict | None = None
        if method.needs_teacher_file:
            self.teacher = _read_teacher(method, images.device)
        if method.needs_ema_teacher:
            averaging = get_ema_multi_avg_fn(method.ema_momentum)  # type: ignore[no-untyped-call]  # torch's own
            self.average = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
            self.average.update_parameters(network)  # the first is a copy
            _without_flip(self.average.module)
            self.teacher = self.average.requires_grad_(requires_grad=False).eval()
        if method.needs_projections:
            self.projections = projections(_channels(network, images, method.layers))
            self.projections.to(images.device)

    @property
    def weights(self) -> list[nn.Parameter]:
        """What the optimiser trains besides the network."""
        return list(self.projections.parameters()) if self.projections else []

    def at(self, progress: float) -> Context:
        """Return what a method sees of them after `progress` of the training."""
        return Context(progress, self.teacher, self.projections, self.label_smoothing)

    def update(self, network: Network) -> None:
        """Let a moving average take in the network's weights after a step."""
        if self.average is not None:
            self.average.update_parameters(network)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of them. A frozen teacher is in its own file."""
        kept = {"average": self.average, "projections": self.projections}
        return {name: module.state_dict() for name, module in kept.items() if module is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.projections is not None:
            self.projections.load_state_dict(state["projections"])


def teacher_file(method: MethodParams) -> Path:
    """Return where the frozen teacher of a method that wants one is read from; it is there.

    Raises:
        FctError: it is not, or lies where DVC would not see it change.
    """
    if method.teacher != OF_PIPELINE:
        return find_weights(method.teacher, "method.teacher")
    if not STANDARD_PT.is_file():
        raise FctError(
            f"params.yaml: method.teacher: {OF_PIPELINE}: {STANDARD_PT} is not here. Make it with `dvc repro baseline`."
        )
    return STANDARD_PT


def check_teacher(method: MethodParams, model: ModelParams, meta: Mapping[str, Any]) -> None:
    """Refuse a teacher that has not the data's classes in their order, or of whose features none can learn.

    Args:
        method: what is trained.
        model: the network that it is trained on.
        meta: of the data: classes, channels, size.

    Raises:
        FctError: it is one, or its file cannot be read.
    """
    _, teacher = _open(path := teacher_file(method))
    if teacher.classes != list(meta["classes"]):
        raise FctError(
            f"params.yaml: method.teacher: {path} has the classes {', '.join(teacher.classes)}; these data have "
            f"{', '.join(meta['classes'])}. Train a teacher on these data."
        )
    if teacher.channels != meta["channels"]:
        raise FctError(
            f"params.yaml: method.teacher: {path} takes images of {teacher.channels} channels, these have "
            f"{meta['channels']}. Train a teacher on these data."
        )
    theirs = _architecture(teacher.backbone, teacher.width, teacher.stem, teacher.size)
    ours = _architecture(model.name, model.width, model.stem, meta["size"])
    if method.uses_features and theirs != ours:
        raise FctError(
            f"params.yaml: method.teacher: {path} is {theirs}; the network that is trained is {ours}. Features are "
            "pulled to those of the same architecture: train such a teacher."
        )


def _architecture(name: str, width: int, stem: str, size: int) -> str:
    return f"{name}{f' of width {width}' if name in OWN else ''}, with stem: {stem}, for images of {size} pixels"


def _open(path: Path) -> tuple[Network, saved.Description]:
    other = None if path == STANDARD_PT else "params.yaml: method.teacher: name the model.pt of another training."
    return saved.load(path, remedy=other)


def _read_teacher(method: MethodParams, device: torch.device) -> Network:
    path = teacher_file(method)
    teacher, _ = _open(path)
    teacher.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    teacher.requires_grad_(requires_grad=False)
    if method.uses_features:
        teacher.watch(method.layers, key=f"method.layers, of the teacher {path}")
        _without_flip(teacher)
    return teacher


def _without_flip(teacher: object) -> None:
    """Spare a teacher the pass of the mirror image, which its features are not of."""
    if isinstance(teacher, Network):
        teacher.flip_tta = False


@torch.no_grad()
def _channels(network: Network, images: Tensor, layers: Sequence[str]) -> dict[str, int]:
    """Return how many channels each layer's feature has."""
    training = network.training
    _, features = network.eval()(images, torch.full((len(images),), NO_TABLES, device=images.device))
    network.train(training)
    return {layer: features[layer].shape[1] for layer in layers}
