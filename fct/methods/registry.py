"""The methods by name. A new method is a module with `loss`, registered here and in `MethodParams.name`.

These are two places because parameters must be checked without importing torch.
"""

from __future__ import annotations

from typing import Protocol

from fct.methods import augment, distill, fct, finetune, jsd, pair, stability, standard
from fct.methods.batch import Batch, Context, Loss
from fct.methods.params import MethodParams
from fct.models.network import Network


class Method(Protocol):
    """The interface of a method's module."""

    def loss(self, network: Network, batch: Batch, params: MethodParams, context: Context, /) -> Loss:
        """Return the loss of one batch."""


METHODS: dict[str, Method] = {
    "standard": standard,
    "augment": augment,
    "finetune": finetune,
    "pair": pair,
    "stability": stability,
    "jsd": jsd,
    "distill": distill,
    "fct": fct,
    "fct-r": fct,
}
WITH_BLOCKS = frozenset({"fct-r"})  # methods whose network has residual mapping blocks
