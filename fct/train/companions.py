"""What some methods keep beside the network while it trains: a teacher, projections. None of it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fct.core.errors import FctError
from fct.methods.batch import Context
from fct.methods.params import MethodParams
from fct.methods.projection import projections
from fct.models.network import Network
from fct.models.weights import locate
from fct.train import candidate

OF_PIPELINE = "baseline"  # the teacher that the stage of this name trains


class Companions:
    """The teacher and the projections of one training, as its method wants them."""

    def __init__(self, network: Network, method: MethodParams, images: Tensor, *, label_smoothing: float = 0.0) -> None:
        """Make or read them.

        Args:
            network: the student, on the device to train on.
            method: what it is trained with.
            images: a few of the training images, uint8 [B, C, H, W], on the same device: to see what shapes come out.
            label_smoothing: handed on to the method.

        Raises:
            FctError: the teacher's file cannot be read, or what it gives has another shape than the student's.
        """
        self.label_smoothing = label_smoothing
        self.teacher: nn.Module | None = None
        self.average: AveragedModel | None = None
        self.projections: nn.ModuleDict | None = None
        if method.wants_file:
            self.teacher = _read_teacher(network, method, images)
        if method.wants_average:
            averaging = get_ema_multi_avg_fn(method.momentum)  # type: ignore[no-untyped-call]  # torch's own
            self.average = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
            self.average.update_parameters(network)  # the first is a copy
            _needs_no_mirror(self.average.module)
            self.teacher = self.average.requires_grad_(requires_grad=False).eval()
        if method.wants_projections:
            shapes = _shapes(network, images, method.layers)
            self.projections = projections({layer: shape[0] for layer, shape in shapes.items()})
            self.projections.to(images.device)

    @property
    def weights(self) -> list[nn.Parameter]:
        """What the optimiser trains besides the network."""
        return list(self.projections.parameters()) if self.projections else []

    def at(self, progress: float) -> Context:
        """Return what a method sees of them after `progress` of the training."""
        return Context(progress, self.teacher, self.projections, self.label_smoothing)

    def follow(self, network: Network) -> None:
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
        return locate(method.teacher, "method.teacher")
    if not candidate.BASELINE.is_file():
        raise FctError(
            f"params.yaml: method.teacher: {OF_PIPELINE}: {candidate.BASELINE} is not here. "
            "Make it with `dvc repro baseline`."
        )
    return candidate.BASELINE


def check_teacher(method: MethodParams, classes: Sequence[str]) -> None:
    """Refuse a teacher of other classes than `classes`, or of the same in another order.

    Raises:
        FctError: it is one, or its file cannot be read.
    """
    _, description = _open(path := teacher_file(method))
    if description.classes != list(classes):
        raise FctError(
            f"params.yaml: method.teacher: {path} has the classes {', '.join(description.classes)}; these data have "
            f"{', '.join(classes)}. Train a teacher on these data."
        )


def _open(path: Path) -> tuple[Network, candidate.Description]:
    own = candidate.AGAIN.format("baseline")
    other = "params.yaml: method.teacher: name the model.pt of another training."
    return candidate.load(path, remedy=own if path == candidate.BASELINE else other)


def _read_teacher(network: Network, method: MethodParams, images: Tensor) -> Network:
    path = teacher_file(method)
    teacher, description = _open(path)
    teacher.to(device=images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    teacher.requires_grad_(requires_grad=False)
    if teacher.mean.shape != network.mean.shape:
        raise FctError(
            f"params.yaml: method.teacher: {path} takes images of {teacher.mean.shape[1]} channels, these have "
            f"{network.mean.shape[1]}. Train a teacher on these data."
        )
    if method.wants_features:
        teacher.watch(method.layers, key=f"method.layers, of the teacher {path}")
        _needs_no_mirror(teacher)
    layers = method.layers if method.wants_features else []
    ours, theirs = _shapes(network, images, layers), _shapes(teacher, images, layers)
    for what in theirs:
        if ours[what] != theirs[what]:
            raise FctError(
                f"params.yaml: method.teacher: {path} is {description.backbone} of width {description.width}, whose "
                f"{what} has shape {list(theirs[what])}; the network that is trained has {list(ours[what])}. "
                "Name a teacher of the same architecture and classes."
            )
    return teacher


def _needs_no_mirror(teacher: object) -> None:
    """Spare a teacher the pass of the mirror image, which its features are not of."""
    if isinstance(teacher, Network):
        teacher.mirror = False


@torch.no_grad()
def _shapes(network: Network, images: Tensor, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes, without the batch, of the logits and of each layer's feature."""
    training = network.training
    logits, features = network.eval()(images, torch.full((len(images),), 100, device=images.device))
    network.train(training)
    shown = {"logits": logits} | {layer: features[layer] for layer in layers}
    return {name: tuple(value.shape[1:]) for name, value in shown.items()}
