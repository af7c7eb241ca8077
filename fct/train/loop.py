"""The training loop: paired batches, a checkpoint after each epoch, and the best epoch's weights.

All random choices of an epoch follow from (seed, epoch). A training that was killed and resumed therefore takes the
same steps as an uninterrupted one.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.params import location
from fct.methods.batch import Batch, Context, Loss, Share
from fct.methods.params import MethodParams
from fct.methods.registry import METHODS
from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.shards import Images
from fct.splits.store import Split
from fct.train.aids import TrainingAids
from fct.train.average import average_of
from fct.train.batches import Source, epoch
from fct.train.checkpoint import Checkpoint
from fct.train.crop import Augmentation
from fct.train.freeze import freeze
from fct.train.group import ALONE, Group
from fct.train.optimiser import make_optimiser
from fct.train.params import SMALLEST_SHARE, TrainParams
from fct.train.precision import autocast
from fct.train.prefetch import prefetch
from fct.train.sampler import balanced, probabilities
from fct.train.sync import synchronise_norms
from fct.train.validation import validate

Metrics = dict[str, float]
DIVERGED = 10.0  # multiple of the cross entropy of guessing
PREFETCH = 2  # batches that are made in advance
# Each process has the running statistics of its own images, and they are averaged where they matter. To broadcast them
# before each forward pass would lose those of the others, and fails with two passes a step (pytorch #175024). Before
# torch 2.14 the argument is broadcast_buffers.
_SYNC = "forward_sync_buffers"
_SYNC = _SYNC if _SYNC in signature(DistributedDataParallel).parameters else "broadcast_buffers"
OWN_BUFFERS: dict[str, Any] = {_SYNC: False}
CHECK_EVERY = 16  # steps between two checks of the loss; each check makes the host wait for the GPU


class DivergenceError(FctError):
    """The loss is not a number, or far above that of guessing."""


@dataclass(frozen=True)
class Data:
    """The data of a training."""

    train: Split
    source: Source  # of compressed views of `train`
    val: Split
    val_views: Mapping[int, Images]


def train(  # noqa: PLR0913  # independent parts
    network: Network,
    data: Data,
    method: MethodParams,
    params: TrainParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, Metrics], None] = lambda _epoch, _metrics: None,
    group: Group = ALONE,
) -> list[Metrics]:
    """Train `network` in place. It ends with the weights of its best epoch, in evaluation mode.

    Args:
        network: on the device to train on.
        data: raw images and compressed views.
        method: computes the loss from both views.
        params: the schedule.
        checkpoint: to resume from, and to save after each epoch. Without it the training starts at epoch 0.
        on_epoch: called with the number and the metrics of each epoch at its end. A resumed training first calls it for
            the earlier epochs.
        group: the processes that train together. All of them make this call, and end with the same weights and history.
            The first one saves the checkpoint.

    Returns:
        A dict of metrics for each epoch: loss and its parts, validation accuracies, learning rate.

    Raises:
        DivergenceError: the loss is not a number or far above that of guessing. The message has the step and the last
            checkpoint.
        FctError: the teacher does not fit, or the checkpoint is damaged.
    """
    training = Training(network, data, method, params, checkpoint, group)
    training.resume()
    for number, metrics in enumerate(training.history):
        on_epoch(number, metrics)
    while not training.finished:
        number = len(training.history)
        training.run_epoch(number)
        on_epoch(number, training.history[number])
    network.load_state_dict(training.best_state)
    network.eval()
    return training.history


class LossModule(nn.Module):
    """The network, the projections and the loss as one module: what DistributedDataParallel needs to see all weights.

    It also counts all forward passes of a step, such as those of both views, as one.
    """

    def __init__(self, network: Network, projections: nn.ModuleDict | None, method: MethodParams) -> None:
        super().__init__()
        self.network, self.projections, self.method = network, projections, method

    def forward(self, batch: Batch, context: Context) -> Loss:
        """Return the loss of a batch."""
        return METHODS[self.method.name].loss(self.network, batch, self.method, context)


class Training:
    """The state of one training between steps and epochs. The arguments are those of `train`."""

    def __init__(  # noqa: PLR0913, PLR0917  # those of `train`
        self,
        network: Network,
        data: Data,
        method: MethodParams,
        params: TrainParams,
        checkpoint: Checkpoint | None = None,
        group: Group = ALONE,
    ) -> None:
        self.network, self.data, self.method, self.params, self.checkpoint = network, data, method, params, checkpoint
        self.group = group
        self.batch_size = min(params.batch_size, len(data.train))
        batches = len(data.train) // self.batch_size
        self.accumulate = min(params.accumulate, batches)
        self.steps = batches - batches % self.accumulate  # batches of an epoch
        self.device = network.mean.device
        if params.sync_batch_norm and group.size > 1:
            synchronise_norms(network)
        sample = to_device(np.array(data.val.images[:2]), self.device)  # those of train may be kept larger
        self.aids = TrainingAids(network, method, sample, label_smoothing=params.label_smoothing)
        self.frozen = freeze(network.backbone, params.freeze)
        self.average = average_of(network, params.ema) if params.ema is not None else None
        # Images of this process relative to their mean number: what turns the mean of the processes' mean losses, and
        # of their gradients, into that of the batch's images.
        self.portion = len(group.places(self.batch_size)) * group.size / self.batch_size
        self.share: Share | None = None
        self.parallel: DistributedDataParallel | None = None
        if group.size > 1:
            self._check_share()
            generator = torch.Generator(self.device)
            self.share = Share(group.rank, group.size, self.batch_size, generator, group.handle)
            self.parallel = DistributedDataParallel(
                LossModule(network, self.aids.projections, method),
                # Some backbones have weights that do not reach the logits. It also keeps the order of gradients in a
                # sum, which torch otherwise changes after the first step: a resumed training would then differ.
                find_unused_parameters=True,
                **OWN_BUFFERS,
            )
        self.optimiser, self.schedule = make_optimiser(
            network, self.aids.weights, params, params.epochs * self.steps // self.accumulate
        )
        # The gradients of a loss in fp16 would be rounded to zero; those of a scaled loss are not.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=params.precision == "fp16")
        self.steps_taken = 0  # batches
        self.max_cross_entropy = DIVERGED * math.log(max(2, int(data.train.labels.max()) + 1))
        self.history: list[Metrics] = []
        self.best_epoch = -1
        self.best_state: dict[str, Tensor] = {}

    def _check_share(self) -> None:
        """Check that each process has enough images, in a split that is smaller than a batch."""
        if self.batch_size < SMALLEST_SHARE * self.group.size:
            raise FctError(
                f"{location('train.processes')}: {self.group.size} processes are too many for {len(self.data.train)} "
                f"training images: each needs at least {SMALLEST_SHARE} of a batch. Set it lower."
            )

    @property
    def finished(self) -> bool:
        """Whether the training has ended, by the number of epochs or by patience."""
        stale = len(self.history) - 1 - self.best_epoch  # epochs since the best one
        return len(self.history) >= self.params.epochs or (bool(self.history) and stale >= self.params.patience)

    def resume(self) -> None:
        """Load the last checkpoint, if there is one."""
        saved = self.group.first(self.checkpoint.load() if self.checkpoint and self.group.leads else None)
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        self.scaler.load_state_dict(saved["scaler"])
        self.aids.restore(saved["aids"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.steps_taken = len(saved["history"]) * self.steps
        self.history, self.best_epoch, self.best_state = saved["history"], saved["best_epoch"], saved["best_state"]

    def run_epoch(self, number: int) -> None:
        """Train for one epoch, validate, store the weights if they are the best so far, and save a checkpoint."""
        metrics = self._train_epoch(number)
        judged = self.network if self.average is None else cast("Network", self.average.module)
        self.group.average_statistics(self.network)
        accuracy = validate(
            judged, self.data.val, self.data.val_views, precision=self.params.precision, group=self.group
        )
        if not accuracy.finite:  # caused by the last step, after the last check of the loss
            raise self._divergence("the logits of validation images are not numbers", number, self.steps - 1)
        metrics |= {"val_raw": accuracy.raw, "val_compressed": accuracy.compressed}
        self.history.append(metrics)
        if self.best_epoch < 0 or score(metrics) > score(self.history[self.best_epoch]):
            self.best_epoch = number
            self.best_state = {name: value.detach().clone() for name, value in judged.state_dict().items()}
        if self.checkpoint and self.group.leads:
            self.checkpoint.save(
                {
                    "network": self.network.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "aids": self.aids.state(),
                    "average": None if self.average is None else self.average.state_dict(),
                    "history": self.history,
                    "best_epoch": self.best_epoch,
                    "best_state": self.best_state,
                }
            )

    def batches(self, number: int) -> Generator[Batch]:
        """Return the batches of an epoch, and seed the random choices of its steps."""
        rng = np.random.default_rng([self.params.seed, number])
        seed = int(rng.integers(2**62))
        torch.manual_seed(seed + self.group.rank)  # a dropout of the network differs between processes
        if self.share is not None:
            self.share.generator.manual_seed(seed)  # a random choice of the method does not
        batches = epoch(
            self.data.train,
            self.data.source,
            Augmentation.of(self.params, self.data.val.images.shape[1]),
            batch_size=self.batch_size,
            rng=rng,
            device=self.device,
            weights=balanced(self.data.train.labels) if self.params.balance == "classes" else None,
            probabilities=probabilities(
                self.params.quality_sampler, self.data.source.qualities, progress=number / self.params.epochs
            ),
            group=self.group,
        )
        return prefetch(itertools.islice(batches, self.steps), PREFETCH, device=self.device)

    def step(self, batch: Batch) -> Loss:
        """Train on one batch and return its loss before the step. The network must be in training mode.

        The weights change after every `params.accumulate` batches. With several processes, the batch and its loss are
        those of this process.
        """
        changes_weights = (self.steps_taken + 1) % self.accumulate == 0
        context = self.aids.at(self.steps_taken / (self.params.epochs * self.steps))
        # Gradients of several batches are summed here first, and over the processes only once.
        with self.parallel.no_sync() if self.parallel and not changes_weights else nullcontext():
            with autocast(self.params.precision, batch.raw.device):
                loss = self._loss(batch, replace(context, share=self.share))
            self.scaler.scale(loss.total * self.portion / self.accumulate).backward()  # type: ignore[no-untyped-call]  # torch's own
        self.steps_taken += 1
        if changes_weights:
            self._change_weights()
        return loss

    def _loss(self, batch: Batch, context: Context) -> Loss:
        if self.parallel is None:
            return METHODS[self.method.name].loss(self.network, batch, self.method, context)
        loss: Loss = self.parallel(batch, context)
        return loss

    def _change_weights(self) -> None:
        self.scaler.unscale_(self.optimiser)
        if self.params.clip_norm is not None:
            trained = [weight for group in self.optimiser.param_groups for weight in group["params"]]
            clip_grad_norm_(trained, self.params.clip_norm)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if (
            self.scaler.get_scale() < scale
        ):  # a gradient overflowed: no weight has changed, and the next loss is smaller
            return
        self.schedule.step()
        if self.average is not None or self.aids.average is not None:
            self.group.average_statistics(self.network)
        self.aids.update(self.network)
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _train_epoch(self, number: int) -> Metrics:
        """Train on all batches of an epoch; return the mean of each part of the loss, and the learning rate."""
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        batches = self.batches(number)
        self.network.train()
        for module in self.frozen:
            module.eval()
        title = f"epoch {number + 1}/{self.params.epochs}"
        hide = None if self.group.leads else True  # None: only a terminal shows it
        unchecked: list[Tensor] = []  # total loss and cross entropy of each step since the last check
        with closing(batches), tqdm(batches, total=self.steps, desc=title, unit="step", disable=hide) as bar:
            for step, batch in enumerate(bar, start=1):
                loss = self.step(batch)
                for name, value in {"loss": loss.total, **loss.parts}.items():
                    sums[name] += value.detach()
                unchecked.append(torch.stack([loss.total.detach(), loss.parts["cross_entropy"].detach()]))
                if len(unchecked) == CHECK_EVERY or step == self.steps:
                    losses = self._mean(torch.stack(unchecked)).tolist()
                    unchecked.clear()
                    self._check_losses(losses, number, step - len(losses))
                    bar.set_postfix(loss=f"{losses[-1][0]:.3f}", refresh=False)
        means = {name: value / self.steps for name, value in self._means(sums).items()}
        return means | {"learning_rate": float(self.schedule.get_last_lr()[0])}

    def _mean(self, losses: Tensor) -> Tensor:
        """Return the mean of losses over the images of all processes."""
        return losses if self.parallel is None else self.group.sum(losses * self.portion) / self.group.size

    def _means(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        values = self._mean(torch.stack(list(losses.values()))).tolist()
        return dict(zip(losses, values, strict=True))

    def _check_losses(self, losses: list[list[float]], number: int, first: int) -> None:
        """Raise DivergenceError if a loss is not a number, or a cross entropy is far above that of guessing."""
        for step, (total, cross_entropy) in enumerate(losses, start=first):
            if not (math.isfinite(total) and cross_entropy < self.max_cross_entropy):
                raise self._divergence(f"the loss is {total:.3g}", number, step)

    def _divergence(self, what: str, number: int, step: int) -> DivergenceError:
        checkpoint = (
            f"The last good checkpoint is {self.checkpoint.path}."
            if self.checkpoint and self.checkpoint.path.exists()
            else "There is no checkpoint yet."
        )
        divides_by_variance = (
            self.method.uses_features and self.method.needs_teacher_file and self.method.distance == "centred-mse"
        )
        hint = (
            " If the teacher has learnt so little that its features hardly vary, raise train.epochs or set "
            "method.distance to cosine."
        )
        return DivergenceError(
            f"Training diverged: {what} at step {step + 1} of epoch {number + 1}. {checkpoint} "
            f"Lower train.learning_rate or method.weight in params.yaml.{hint if divides_by_variance else ''}"
        )


def score(metrics: Metrics) -> float:
    """Return the score that decides the best epoch: the mean of raw and compressed validation accuracy."""
    return (metrics["val_raw"] + metrics["val_compressed"]) / 2
