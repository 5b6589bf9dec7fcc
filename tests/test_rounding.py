"""The bounds of tests/rounding.py: what they let pass, what they stop, and which instructions are in force."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from gholm_lib.config import Config
from gholm_lib.model import GHOLMNet
from tests.rounding import assert_same, of_network, share_off

pytestmark = pytest.mark.numeric

on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 instruction sets"
)


def test_methods_are_compared_in_float64():
    value = torch.rand(5, dtype=torch.float64)
    assert_same(value * (1 + 1e-9), value)
    for other in (value * (1 + 1e-7), value.float(), value[:4], value * torch.nan):
        with pytest.raises(AssertionError):
            assert_same(other, value)


def test_a_coarser_type_is_seen():
    """The bound of float32 holds for rounding all weights to float32, and not for rounding them to bf16."""
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 5, False, Config(weights="none")).double().eval()
    images = torch.randn(4, 3, 64, 64).double()
    with torch.no_grad():
        exact, found = net(images).raw_logits, []
        for dtype in (torch.float32, torch.bfloat16):
            net.load_state_dict({k: v.to(dtype).double() for k, v in net.state_dict().items()})
            found.append(share_off(net(images).raw_logits, exact))
    assert found[0] <= of_network(net) < found[1] <= of_network(net, torch.bfloat16)


@on_x86
def test_pytorch_takes_the_instructions_that_it_is_told_to_take():
    wanted = os.environ.get("ATEN_CPU_CAPABILITY")
    assert wanted in (None, torch.backends.cpu.get_cpu_capability().lower())


@on_x86
@pytest.mark.parametrize(("wanted", "named"), [("SSE41", "SSE4.1"), ("AVX2", "AVX2")])
def test_onednn_takes_the_instructions_that_it_is_told_to_take(wanted, named):
    code = "import torch; torch.conv2d(torch.ones(2, 16, 64, 64), torch.ones(16, 16, 3, 3))"
    settings = {"DNNL_MAX_CPU_ISA": wanted, "ONEDNN_VERBOSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    (line,) = (line for line in done.stdout.splitlines() if "cpu,isa:" in line)
    assert line.endswith(named)
