"""Modules that some methods need only during training: a teacher and projections. They are not deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fct.core.errors import FctError
from fct.core.params import location
from fct.core.paths import STANDARD_PT
from fct.images.tables import UNKNOWN_QUALITY
from fct.losses.projection import projections
from fct.methods.batch import Context
from fct.methods.params import MethodParams
from fct.models import saved
from fct.models.backbones import OWN
from fct.models.network import Network
from fct.models.params import ModelParams
from fct.models.weights import find_weights, refuse_not_finite

BASELINE = "baseline"  # method.teacher: the network that the stage `baseline` trains


class TrainingAids:
    """The teacher and the projections that the method of a training needs."""

    def __init__(self, network: Network, method: MethodParams, images: Tensor, *, label_smoothing: float = 0.0) -> None:
        """Create the projections, and create or load the teacher.

        Args:
            network: the student, on the device to train on.
            method: the training method. `check_teacher` must have passed.
            images: a sample of the training images, uint8 [B, C, H, W], on the same device, which gives the shapes of
                the features.
            label_smoothing: passed to the method.

        Raises:
            FctError: the teacher's file cannot be read.
        """
        self.label_smoothing = label_smoothing
        self.teacher: nn.Module | None = None
        self.average: AveragedModel | None = None
        self.projections: nn.ModuleDict | None = None
        if method.needs_teacher_file:
            self.teacher = _make_teacher(method, images.device)
        if method.needs_ema_teacher:
            averaging = get_ema_multi_avg_fn(method.ema_momentum)  # type: ignore[no-untyped-call]  # torch's own
            self.average = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
            self.average.update_parameters(network)  # the first update copies
            _disable_flip_tta(self.average.module)
            self.teacher = self.average.requires_grad_(requires_grad=False).eval()
        if method.needs_projections:
            self.projections = projections(_feature_channels(network, images, method.layers))
            self.projections.to(images.device)

    @property
    def weights(self) -> list[nn.Parameter]:
        """Weights that the optimiser trains in addition to the network's."""
        return list(self.projections.parameters()) if self.projections else []

    def at(self, progress: float) -> Context:
        """Return the method's context at `progress`, the share of the training that is done, 0..1."""
        return Context(progress, self.teacher, self.projections, self.label_smoothing)

    def update(self, network: Network) -> None:
        """Update the moving average, if there is one, with the network's weights after a step."""
        if self.average is not None:
            self.average.update_parameters(network)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint. A frozen teacher is not part of it: it has its own file."""
        modules = {"average": self.average, "projections": self.projections}
        return {name: module.state_dict() for name, module in modules.items() if module is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """Load what `state` returned."""
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.projections is not None:
            self.projections.load_state_dict(state["projections"])


def baseline_file(key: str) -> Path:
    """Return the file of the network that the stage `baseline` trains. `key` is the key of params.yaml that needs it.

    Raises:
        FctError: the file is missing.
    """
    if not STANDARD_PT.is_file():
        raise FctError(f"{location(key)}: {BASELINE}: {STANDARD_PT} is not here. Make it with `dvc repro {BASELINE}`.")
    return STANDARD_PT


def teacher_file(method: MethodParams) -> Path:
    """Return the file of the method's frozen teacher.

    Raises:
        FctError: the file is missing, or is in a folder where DVC does not see changes.
    """
    return (
        baseline_file("method.teacher")
        if method.teacher == BASELINE
        else find_weights(method.teacher, "method.teacher")
    )


def check_teacher(method: MethodParams, model: ModelParams, meta: Mapping[str, Any]) -> None:
    """Check that the method's teacher fits the data and the network.

    Args:
        method: the training method.
        model: the network that is trained.
        meta: channels and size of the data, and their classes where they are known.

    Raises:
        FctError: the teacher has other classes (or another order of them) or other channels; its features are of
            another architecture, which the student cannot learn; or its file cannot be read or has weights that are not
            finite.
    """
    network, teacher = _load_teacher(path := teacher_file(method))
    refuse_not_finite(network.state_dict(), path, "method.teacher")
    if "classes" in meta and teacher.classes != list(meta["classes"]):
        raise FctError(
            f"{location('method.teacher')}: {path} has the classes {', '.join(teacher.classes)}; the data have "
            f"{', '.join(meta['classes'])}. Train a teacher on these data."
        )
    if teacher.channels != meta["channels"]:
        raise FctError(
            f"{location('method.teacher')}: {path} takes images of {teacher.channels} channels, the data have "
            f"{meta['channels']}. Train a teacher on these data."
        )
    teachers = _architecture(teacher.backbone, teacher.width, teacher.stem, teacher.size)
    students = _architecture(model.name, model.width, model.stem, meta["size"])
    if method.uses_features and teachers != students:
        raise FctError(
            f"{location('method.teacher')}: {path} is {teachers}; the network that is trained is {students}. "
            "A teacher of features needs the same architecture. Train such a teacher."
        )


def _architecture(name: str, width: int, stem: str, size: int) -> str:
    return f"{name}{f' of width {width}' if name in OWN else ''}, with stem: {stem}, for images of {size} pixels"


def _load_teacher(path: Path) -> tuple[Network, saved.Description]:
    remedy = None if path == STANDARD_PT else f"Set {location('method.teacher')} to the model.pt of another training."
    return saved.load(path, remedy=remedy)


def _make_teacher(method: MethodParams, device: torch.device) -> Network:
    path = teacher_file(method)
    teacher, _ = _load_teacher(path)
    teacher.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    teacher.requires_grad_(requires_grad=False)
    if method.uses_features:
        teacher.watch(method.layers, key="method.layers")
        _disable_flip_tta(teacher)
    return teacher


def _disable_flip_tta(teacher: object) -> None:
    """Skip the pass of the mirror image in a teacher: its features do not depend on it."""
    if isinstance(teacher, Network):
        teacher.flip_tta = False


@torch.no_grad()
def _feature_channels(network: Network, images: Tensor, layers: Sequence[str]) -> dict[str, int]:
    """Return the number of channels of each layer's feature."""
    training = network.training
    _, features = network.eval()(images, torch.full((len(images),), UNKNOWN_QUALITY, device=images.device))
    network.train(training)
    return {layer: features[layer].shape[1] for layer in layers}
