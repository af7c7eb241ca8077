"""Weights that a training leaves as they are."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import nn

from fct.core.errors import FctError
from fct.core.params import location
from fct.models.backbones import unwrap_grey


def freeze(backbone: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Freeze the weights of a backbone whose names match one of `patterns`, such as "stage1.*" or "*.bn1.*".

    Returns:
        The modules whose weights are all frozen. They must stay in evaluation mode, so that a frozen norm keeps its
        statistics.

    Raises:
        FctError: a pattern matches no weight, or no weight is left to be trained.
    """
    model = unwrap_grey(backbone)
    weights = dict(model.named_parameters())
    first, *_, last = weights
    for pattern in patterns:
        names = fnmatch.filter(weights, pattern)
        if not names:
            raise FctError(
                f"{location('train.freeze')}: no weight is called {pattern!r}. The first is {first}, the last {last}; "
                f"a star stands for any characters, as in {first.partition('.')[0]}.*"
            )
        for name in names:
            weights[name].requires_grad = False
    if patterns and not any(weight.requires_grad for weight in weights.values()):
        raise FctError(f"{location('train.freeze')}: no weight of the backbone is left to be trained. Freeze fewer.")
    owners = {module: list(module.parameters(recurse=False)) for module in model.modules()}
    return [module for module, own in owners.items() if own and not any(weight.requires_grad for weight in own)]
