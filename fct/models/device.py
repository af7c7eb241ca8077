"""Where tensors live, and how images get there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pick_device() -> torch.device:
    """Return the first GPU where CUDA is available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_device(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return uint8 [B, H, W, C] pixels as a tensor [B, C, H, W] in channels-last memory: no byte moves on a CPU."""
    return move_to(np.ascontiguousarray(images), device).permute(0, 3, 1, 2)


def move_to(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on `device`: to a GPU from pinned memory, so that the host does not wait for it."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
