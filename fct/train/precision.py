"""Which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision to train in: as params.yaml says, or by "auto" bf16 where the hardware has it.

    CPUs without AVX512-BF16 or AMX emulate bf16 and are four to seven times slower with it than without.
    """
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    return "bf16" if precision == "bf16" else "fp32"


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch since 2.11 tells what the CPU has.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network runs; `precision` is fp32 or bf16.

    Raises:
        ValueError: it is "auto", which is resolved once, before the training.
    """
    if precision == "auto":
        raise ValueError(
            "precision: auto is to be resolved before the training (fct.train.precision.resolve_precision)"
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
