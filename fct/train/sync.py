"""Batch norms with the statistics of the whole batch, when several processes share it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from fct.models.backbones import unwrap_grey
from fct.models.network import Network


def synchronise_norms(network: Network) -> None:
    """Replace all batch norms of `network`, on a GPU, by torch's SyncBatchNorm. Names and values stay the same."""
    torchs: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
    convert = torchs
    if type(unwrap_grey(network.backbone)).__module__.startswith("timm."):
        from timm.layers import convert_sync_batchnorm as convert  # type: ignore[attr-defined]  # not declared

        # Some norms of timm contain the activation, which torch's function would drop.
    network.backbone = convert(network.backbone)
    if network.blocks is not None:
        torchs(network.blocks)  # in place, as it is no norm itself
