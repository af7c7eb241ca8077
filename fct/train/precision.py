"""Which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bf16: as told, or by "auto" where the hardware has it.

    CPUs without AVX512-BF16 or AMX emulate bf16 and are four to seven times slower with it than without.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch since 2.11 tells what the CPU has.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device))
