"""Builds the backbone that a command's argument names."""

from __future__ import annotations

from torch import nn

from fct.core.errors import FctError
from fct.core.params import location
from fct.models.backbones import build_backbone

WIDTH = 8  # of the project's networks; it does not change the names of their layers


def build_named(name: str, argument: str, *, classes: int, channels: int, size: int, width: int = WIDTH) -> nn.Module:  # noqa: PLR0913  # those of `build_backbone`
    """Return the untrained backbone `name`. The other arguments are those of `build_backbone`.

    Raises:
        FctError: there is no such backbone, or it does not fit. The message begins with `argument`, such as "--model".
    """
    try:
        return build_backbone(name, width=width, classes=classes, channels=channels, size=size)
    except FctError as error:
        raise FctError(str(error).replace(f"{location('model.name')}:", f"{argument}:")) from None
