"""SGD with Nesterov momentum and a one-cycle schedule of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from fct.train.params import TrainParams

WARM_UP = 0.2  # share of the steps in which the learning rate rises


def make_optimiser(
    weights: Iterable[nn.Parameter], params: TrainParams, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return an optimiser of the trainable `weights`, and its schedule over `params.epochs` epochs of `steps` steps.

    Biases and the weights of norms have no weight decay.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    decayed = [weight for weight in trained if weight.ndim > 1]
    not_decayed = [weight for weight in trained if weight.ndim <= 1]  # biases and norms
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": not_decayed, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(
        groups, lr=params.learning_rate, momentum=params.momentum, nesterov=params.momentum > 0, fused=True
    )
    total = max(2, params.epochs * steps) + 1  # the schedule also computes the rate after the last step
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        params.learning_rate,
        total_steps=total,
        pct_start=max(WARM_UP, 2 / total),  # OneCycleLR divides by the number of rising steps minus one
        cycle_momentum=False,
    )
    return optimiser, schedule
