"""The training loop: one-cycle SGD on paired batches, a checkpoint an epoch, the best epoch kept.

Everything random in an epoch is drawn from (seed, epoch), so that a training that was killed and resumed takes the same
steps as one that was not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fct.core.errors import FctError
from fct.methods.batch import Batch, Loss
from fct.methods.params import MethodParams
from fct.methods.registry import METHODS
from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.store import Split
from fct.train.aids import TrainingAids
from fct.train.batches import Images, Source, epoch
from fct.train.checkpoint import Checkpoint
from fct.train.crop import Augmentation
from fct.train.optimiser import make_optimiser
from fct.train.params import TrainParams
from fct.train.precision import autocast
from fct.train.prefetch import prefetch
from fct.train.sampler import probabilities
from fct.train.validation import validate

Metrics = dict[str, float]
DIVERGED = 10.0  # times the cross entropy of guessing
AHEAD = 2  # batches that are made before they are asked for
LOOK = 16  # steps between two looks at the loss: a look makes the host wait for the GPU


class DivergenceError(FctError):
    """A loss that is not a number, or far above guessing."""


@dataclass(frozen=True)
class Data:
    """What a training sees."""

    train: Split
    source: Source  # of the views of `train`
    val: Split
    val_views: Mapping[int, Images]


def train(  # noqa: PLR0913  # each is a part of its own
    network: Network,
    data: Data,
    method: MethodParams,
    params: TrainParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, Metrics], None] = lambda _epoch, _metrics: None,
) -> list[Metrics]:
    """Train `network` in place and leave it with the weights of its best epoch, in evaluation mode.

    Args:
        network: on the device to train on.
        data: raw images and compressed views.
        method: what turns both views into a loss.
        params: the schedule.
        checkpoint: where to resume from and to save after each epoch; nowhere if absent.
        on_epoch: told each epoch's metrics as it ends, and those of a resumed training's earlier epochs at the start.

    Returns:
        One dict of metrics an epoch: loss and its parts, validation accuracies, learning rate.

    Raises:
        DivergenceError: the loss is not a number or far above guessing; it names the step and the last good checkpoint.
        FctError: the teacher does not fit, or the checkpoint is damaged.
    """
    training = Training(network, data, method, params, checkpoint)
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


class Training:
    """The state of one training between steps and epochs; arguments as for `train`."""

    def __init__(
        self,
        network: Network,
        data: Data,
        method: MethodParams,
        params: TrainParams,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.network, self.data, self.method, self.params, self.checkpoint = network, data, method, params, checkpoint
        self.batch_size = min(params.batch_size, len(data.train))
        self.steps = len(data.train) // self.batch_size  # an epoch
        self.device = network.mean.device
        few = to_device(np.array(data.train.images[:2]), self.device)
        self.companions = TrainingAids(network, method, few, label_smoothing=params.label_smoothing)
        self.optimiser, self.schedule = make_optimiser(
            [*network.parameters(), *self.companions.weights], params, self.steps
        )
        self.taken = 0  # steps
        self.ceiling = DIVERGED * math.log(max(2, int(data.train.labels.max()) + 1))
        self.history: list[Metrics] = []
        self.best_epoch = -1
        self.best_state: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """Whether there is no further epoch to take."""
        stale = len(self.history) - 1 - self.best_epoch
        return len(self.history) >= self.params.epochs or (bool(self.history) and stale >= self.params.patience)

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        self.companions.restore(saved["companions"])
        self.taken = len(saved["history"]) * self.steps
        self.history, self.best_epoch, self.best_state = saved["history"], saved["best_epoch"], saved["best_state"]

    def run_epoch(self, number: int) -> None:
        """Train for one epoch, validate, keep the weights if they are the best so far, and save a checkpoint."""
        metrics = self._run(number)
        accuracy = validate(self.network, self.data.val, self.data.val_views, precision=self.params.precision)
        if not accuracy.finite:  # the last step's doing: no loss has shown it yet
            raise self._diverged("logits of validation images are not numbers", number, self.steps - 1)
        metrics |= {"val_raw": accuracy.raw, "val_compressed": accuracy.compressed}
        self.history.append(metrics)
        if self.best_epoch < 0 or score(metrics) > score(self.history[self.best_epoch]):
            self.best_epoch = number
            self.best_state = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        if self.checkpoint:
            self.checkpoint.save(
                {
                    "network": self.network.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "companions": self.companions.state(),
                    "history": self.history,
                    "best_epoch": self.best_epoch,
                    "best_state": self.best_state,
                }
            )

    def batches(self, number: int) -> Generator[Batch]:
        """Return the batches of an epoch, and seed what its steps draw."""
        rng = np.random.default_rng([self.params.seed, number])
        torch.manual_seed(int(rng.integers(2**62)))
        batches = epoch(
            self.data.train,
            self.data.source,
            Augmentation(
                self.params.crop_padding, self.params.flip, self.params.cutout, shared=self.params.crops == "shared"
            ),
            batch_size=self.batch_size,
            rng=rng,
            device=self.device,
            probabilities=probabilities(
                self.params.quality_sampler, self.data.source.qualities, progress=number / self.params.epochs
            ),
        )
        return prefetch(batches, AHEAD)

    def step(self, batch: Batch) -> Loss:
        """Take one step, of a network in training mode; return the loss before it."""
        with autocast(self.params.precision, batch.raw.device):
            context = self.companions.at(self.taken / (self.params.epochs * self.steps))
            loss = METHODS[self.method.name].loss(self.network, batch, self.method, context)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimiser.step()
        self.schedule.step()
        self.companions.update(self.network)
        self.taken += 1
        return loss

    def _run(self, number: int) -> Metrics:
        """Take one pass over the training images; return the mean of each part of the loss."""
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        batches = self.batches(number)
        self.network.train()
        title = f"epoch {number + 1}/{self.params.epochs}"
        unseen: list[Tensor] = []  # total loss and cross entropy of steps that were not looked at yet
        with closing(batches), tqdm(batches, total=self.steps, desc=title, unit="step", disable=None) as bar:
            for step, batch in enumerate(bar, start=1):
                loss = self.step(batch)
                for name, value in {"loss": loss.total, **loss.parts}.items():
                    sums[name] += value.detach()
                unseen.append(torch.stack([loss.total.detach(), loss.parts["cross_entropy"].detach()]))
                if len(unseen) == LOOK or step == self.steps:
                    losses = torch.stack(unseen).tolist()
                    unseen.clear()
                    self._check(losses, number, step - len(losses))
                    bar.set_postfix(loss=f"{losses[-1][0]:.3f}", refresh=False)
        means = {name: float(value) / self.steps for name, value in sums.items()}
        return means | {"learning_rate": float(self.schedule.get_last_lr()[0])}

    def _check(self, losses: list[list[float]], number: int, first: int) -> None:
        """Stop a training whose loss is not a number, or whose cross entropy is far above guessing."""
        for step, (total, cross_entropy) in enumerate(losses, start=first):
            if not (math.isfinite(total) and cross_entropy < self.ceiling):
                raise self._diverged(f"the loss is {total:.3g}", number, step)

    def _diverged(self, what: str, number: int, step: int) -> DivergenceError:
        kept = (
            f"The last good checkpoint is {self.checkpoint.path}."
            if self.checkpoint and self.checkpoint.path.exists()
            else "There is no checkpoint yet."
        )
        by_variance = (
            self.method.uses_features and self.method.needs_teacher_file and self.method.distance == "centred-mse"
        )
        little = (
            " Or the teacher has learnt so little that its features hardly vary: raise train.epochs, or set "
            "method.distance to cosine."
        )
        return DivergenceError(
            f"Training diverged: {what} at step {step + 1} of epoch {number + 1}. {kept} "
            f"Lower train.learning_rate or method.weight in params.yaml.{little if by_variance else ''}"
        )


def score(metrics: Metrics) -> float:
    """Return what the best epoch is best at: the mean of raw and compressed validation accuracy."""
    return (metrics["val_raw"] + metrics["val_compressed"]) / 2
