"""The moving average of a network's weights during its training, which is often better than the last weights."""

from __future__ import annotations

from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from fct.models.network import Network


def average_of(network: Network, decay: float) -> AveragedModel:
    """Return a copy of `network` whose weights and buffers follow those of the network.

    At step n, a weight of the average becomes d times its old value plus 1 - d times the network's. d is `decay`, or
    (1 + n) / (10 + n) if that is smaller: otherwise a short training would keep the weights that it began with.
    """

    def follow(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        steps = int(updates)
        share = min(decay, (1 + steps) / (10 + steps))
        return average * share + current * (1 - share)

    average = AveragedModel(network, avg_fn=follow, use_buffers=True)
    average.requires_grad_(requires_grad=False)
    return average
