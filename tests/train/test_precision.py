"""The arithmetic is what params say, or what the hardware is fast at."""

from pathlib import Path

import pytest
import torch

from fct.models.device import pick_device
from fct.train.precision import autocast, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_what_is_told_is_used(precision, dtype):
    """fp32 and bf16 hold on any hardware."""
    with autocast(precision, CPU):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_auto_on_a_cpu_asks_for_the_instructions():
    """Bf16 where /proc/cpuinfo lists AVX512-BF16 or AMX-BF16, and nowhere else."""
    flags = Path("/proc/cpuinfo").read_text()
    assert resolve_precision("auto", CPU) == ("bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32")


def test_auto_is_resolved_before_the_training():
    """A training never sees "auto": its checkpoint would not say in which arithmetic it was made."""
    with pytest.raises(ValueError, match="auto"):
        autocast("auto", CPU)


def test_the_device_is_there():
    """A tensor can be made on the device that is picked."""
    assert torch.ones(1, device=pick_device()).device.type == pick_device().type
