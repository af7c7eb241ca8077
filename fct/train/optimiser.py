"""The optimiser of a training, the groups of weights that it treats alike, and the schedule of its learning rate."""

from __future__ import annotations

import difflib
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from fct.core.errors import FctError, install
from fct.core.params import location
from fct.models.backbones import unwrap_grey
from fct.models.network import Network
from fct.train.params import TIMM, TrainParams


def make_optimiser(
    network: Network, others: Iterable[nn.Parameter], params: TrainParams, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return an optimiser of the trainable weights of a network, and the schedule of its learning rate.

    Biases and the weights of norms have no weight decay. With `params.layer_decay` below 1, each layer of the backbone
    learns more slowly than the one after it.

    Args:
        network: the network to train.
        others: further weights to train.
        params: optimiser and schedule.
        steps: number of steps of the whole training.

    Raises:
        FctError: timm is not installed, or has no optimiser of this name.
    """
    groups = _groups(network, list(others), params)
    if params.optimiser == "sgd":
        optimiser: torch.optim.Optimizer = torch.optim.SGD(
            groups, lr=params.learning_rate, momentum=params.momentum, nesterov=params.momentum > 0, fused=True
        )
    elif params.optimiser == "adamw":
        optimiser = torch.optim.AdamW(groups, lr=params.learning_rate, betas=(params.momentum, 0.999), fused=True)
    else:
        optimiser = _of_timm(params.optimiser.removeprefix(TIMM), groups, params)
    return optimiser, _schedule(optimiser, params, steps)


def check_optimiser(params: TrainParams) -> None:
    """Check that the optimiser exists and that all it needs is installed.

    Raises:
        FctError: timm is not installed, or has no optimiser of this name.
    """
    if params.optimiser.startswith(TIMM):
        _of_timm(params.optimiser.removeprefix(TIMM), [{"params": [nn.Parameter(torch.zeros(1))]}], params)


def _groups(network: Network, others: list[nn.Parameter], params: TrainParams) -> list[dict[str, Any]]:
    """Return all trainable weights in groups, which differ only in learning rate and weight decay."""
    if params.layer_decay == 1:
        return _by_decay([*network.parameters(), *others], params.weight_decay)
    layers: dict[str, list[nn.Parameter]] = defaultdict(list)  # as the backbone lists them: from the input up
    for name, weight in unwrap_grey(network.backbone).named_parameters():
        layers[layer_of(name)].append(weight)
    groups = []
    for above, weights in enumerate(reversed(layers.values())):
        rate = params.learning_rate * params.layer_decay**above
        groups += [group | {"lr": rate} for group in _by_decay(weights, params.weight_decay)]
    of_backbone = set(network.backbone.parameters())
    rest = [weight for weight in network.parameters() if weight not in of_backbone]
    groups += _by_decay([*rest, *others], params.weight_decay)
    return [group for group in groups if group["params"]]


def layer_of(name: str) -> str:
    """Return the layer to which a weight of this name belongs when `train.layer_decay` slows down lower layers.

    It is the first module of its path with a number, and numbers that follow: "layer1.0" of "layer1.0.conv1.weight".

    Example:
        >>> layer_of("features.3.0.block.1.weight"), layer_of("encoder.layers.layer_2.ln.bias"), layer_of("fc.weight")
        ('features.3.0', 'encoder.layers.layer_2', 'fc')
    """
    found = re.match(r"(?:[^.\d]+\.)*?[^.]*\d(?:\.\d+)*(?=\.)", name)
    return found[0] if found else name.rpartition(".")[0]


def _by_decay(weights: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable weights as two groups: with weight decay, and biases and norms without."""
    trained = [weight for weight in weights if weight.requires_grad]
    return [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]


def _of_timm(name: str, groups: list[dict[str, Any]], params: TrainParams) -> torch.optim.Optimizer:
    try:
        from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]  # not declared
    except ImportError:
        raise FctError(
            f"{location('train.optimiser')}: {TIMM}{name} needs timm. Install it: {install('timm')}"
        ) from None
    names = [str(known) for known in list_optimizers()]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or ["lion", "lamb", "adan"]
        raise FctError(
            f"{location('train.optimiser')}: timm has no optimiser {name!r}. Nearest: "
            f"{', '.join(TIMM + known for known in near)}."
        )
    optimiser: torch.optim.Optimizer = create_optimizer_v2(
        groups, name, lr=params.learning_rate, momentum=params.momentum
    )
    return optimiser


def _schedule(optimiser: torch.optim.Optimizer, params: TrainParams, steps: int) -> LRScheduler:
    """Return the schedule: the rate rises in the share `params.warm_up` of the steps, then falls as a cosine."""
    total = max(2, steps) + 1  # the schedule also computes the rate after the last step
    if params.rate_schedule == "one-cycle":
        return OneCycleLR(
            optimiser,
            [group["lr"] for group in optimiser.param_groups],
            total_steps=total,
            pct_start=max(params.warm_up, 2 / total),  # OneCycleLR divides by the number of rising steps minus one
            cycle_momentum=False,
        )
    rising = round(params.warm_up * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + math.cos(math.pi * (step - rising) / (total - rising))) / 2

    return LambdaLR(optimiser, factor)
