"""The precision is that of params.yaml, or with "auto" the best of the hardware."""

from pathlib import Path

import pytest
import torch

from fct.core.errors import FctError
from fct.models.device import pick_device
from fct.train.assemble import make_network, open_data
from fct.train.precision import autocast, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_fixed_precision_is_used(precision, dtype):
    """fp32 and bf16 are used on any hardware."""
    with autocast(precision, CPU):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_auto_on_a_cpu_depends_on_its_instructions():
    """It is bf16 only if /proc/cpuinfo lists AVX512-BF16 or AMX-BF16."""
    flags = Path("/proc/cpuinfo").read_text()
    assert resolve_precision("auto", CPU) == ("bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32")


def test_fp16_is_refused_without_a_gpu():
    """The error names the key and what to set."""
    with pytest.raises(FctError, match=r"train\.precision: fp16 needs a GPU, .* Set it to auto"):
        resolve_precision("fp16", CPU)
    assert resolve_precision("fp16", torch.device("cuda")) == "fp16"


def test_auto_is_resolved_before_the_training():
    """A training with "auto" is an error: its checkpoint would not have the precision."""
    with pytest.raises(ValueError, match="auto"):
        autocast("auto", CPU)


def test_the_picked_device_exists():
    """A tensor can be created on the picked device."""
    assert torch.ones(1, device=pick_device()).device.type == pick_device().type


def test_bf16_is_refused_where_a_cpu_computes_wrong_gradients(toy):
    """At 16 pixels a convolution of MobileNet strides over features one pixel wide: its gradient is at times nan."""
    setup = toy.setup(model="mobilenet_v3_small", precision="bf16")
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=r"features\.9\.block\.1\.0 has stride 2, and its input is 1 wide"):
        make_network(setup, toy.method(name="standard"), data.train, meta)


def test_fp32_has_no_such_limit(toy):
    """The same network is made for fp32."""
    setup = toy.setup(model="mobilenet_v3_small", precision="fp32")
    data, meta = open_data(setup)
    make_network(setup, toy.method(name="standard"), data.train, meta)
