"""Where a feature has its channels: convolutional maps, tokens, and maps with channels last."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """How a feature is laid out."""

    axis: int  # of the channels
    is_map: bool  # [B, C, H, W], which convolutions take


def layout_of(shape: tuple[int, ...]) -> Layout | None:
    """Return the layout of a feature of a square image, or None where its shape tells none.

    - [B, C] and [B, C, H, W], H = W: channels second.
    - [B, N, C]: tokens, channels last.
    - [B, H, W, C], H = W, C another number: channels last. Where all three are one number, they are taken to be second.
    """
    if len(shape) == 2:
        return Layout(1, is_map=False)
    if len(shape) == 3:
        return Layout(2, is_map=False)
    if len(shape) == 4:
        last = shape[1] == shape[2] != shape[3]
        return Layout(3, is_map=False) if last else Layout(1, is_map=True)
    return None


def channels_second(feature: Tensor) -> Tensor:
    """Return a feature of a square image as [B, C, ...], a view."""
    layout = layout_of(tuple(feature.shape))
    return feature if layout is None or layout.axis == 1 else feature.movedim(layout.axis, 1)
