"""The arithmetic of a training: fp32, bf16 or fp16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

from fct.core.errors import FctError
from fct.core.params import location

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision of params.yaml. "auto" is bf16 if the hardware supports it, else fp32.

    CPUs without AVX512-BF16 or AMX emulate bf16, which is four to seven times slower than fp32.

    Raises:
        FctError: `precision` is fp16, and the device is not a GPU.
    """
    if precision == "fp16":
        if device.type != "cuda":
            raise FctError(
                f"{location('train.precision')}: fp16 needs a GPU, and there is none here. Set it to auto, which is "
                "bf16 where the processor has such arithmetic, else fp32."
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
        ValueError: `precision` is "auto", which must be resolved before the training.
    """
    if precision == "auto":
        raise ValueError("precision: resolve auto before the training (fct.train.precision.resolve_precision)")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


@torch.no_grad()
def check_narrow(network: nn.Module, precision: str, images: torch.Tensor) -> None:
    """Check that bf16 gives right gradients for `network` on a CPU.

    The gradients of a convolution whose stride is larger than its input's width are wrong there: oneDNN 3.12 reads
    uninitialised memory. Mostly this memory is zero, and the training goes well; sometimes it is nan.

    Args:
        network: takes images [B, C, H, W] and their qualities [B].
        precision: fp32 or bf16.
        images: images of the size to train on, uint8 [B, C, H, W].

    Raises:
        FctError: `precision` is bf16, and a convolution's input is too narrow.
    """
    if precision != "bf16":
        return
    narrow: list[str] = []

    def look(name: str, convolution: nn.Conv2d, features: torch.Tensor) -> None:
        if convolution.stride[1] > features.shape[-1]:
            narrow.append(f"{name} has stride {convolution.stride[1]}, and its input is {features.shape[-1]} wide")

    hooks = [
        module.register_forward_pre_hook(lambda convolution, args, name=name: look(name, convolution, args[0]))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    was_training = network.training
    network.eval()
    network(images, torch.zeros(len(images), dtype=torch.int64))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    if narrow:
        raise FctError(
            f"{location('train.precision')}: bf16 gives wrong gradients on a CPU where a stride is larger than the "
            f"features: {narrow[0]}. Set it to fp32, or take larger images or model.stem: small."
        )
