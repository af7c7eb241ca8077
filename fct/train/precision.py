"""The arithmetic of a training: fp32, bf16 or fp16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from fct.core.errors import FctError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision of params.yaml. "auto" is bf16 if the hardware supports it, else fp32.

    CPUs without AVX512-BF16 or AMX emulate bf16, which is four to seven times slower than fp32.

    Raises:
        FctError: it is fp16, and the device is not a GPU.
    """
    if precision == "fp16":
        if device.type != "cuda":
            raise FctError(
                "params.yaml: train.precision: fp16 needs a GPU, and there is none here. Set it to auto, which is bf16 "
                "where the processor has such arithmetic, else fp32."
            )
        return "fp16"
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    return "bf16" if precision == "bf16" else "fp32"


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch since 2.11 reports the CPU's capabilities.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network runs; `precision` is fp32, bf16 or fp16.

    Raises:
        ValueError: it is "auto", which must be resolved before the training.
    """
    if precision == "auto":
        raise ValueError("precision: resolve auto before the training (fct.train.precision.resolve_precision)")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
