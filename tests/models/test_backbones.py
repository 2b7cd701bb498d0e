"""One function builds every trunk: by name, by library and name, or by a function of one's own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from library_models import MODELS
from torch import nn

from stica_pv.errors import UsageError
from stica_pv.models import STANDARD_INPUTS, create_backbone, measure_map, trunk_from_source
from stica_pv.models.backbones import accepted_settings

ROOT = Path(__file__).resolve().parents[2]


def own_map(*, width: int = 5) -> nn.Module:
    return nn.Conv3d(3, width, 2, stride=2)


def own_net() -> nn.Module:
    return MODELS["x3d_xs"].build()


def own_number() -> int:
    return 3


def own_reader() -> nn.Module:
    class Reader(nn.Module):
        """Reads a value of its input, which has none on the meta device."""

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            return video if video.sum().item() < 1 else video[:, :, :1]

    return Reader()


@pytest.mark.slow
def test_the_command_line_lists_every_backbone() -> None:
    command = [sys.executable, str(ROOT / "tools" / "run_net.py"), "--list", "backbones"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout.split()
    assert {"r2plus1d_18", "slow_r50", "x3d_m", "csn_r101", "slowfast_r50", "mvit_base_16x4", "swin3d_t"} < set(listed)
    assert listed == sorted(STANDARD_INPUTS)


def test_functions_of_ones_own_give_trunks() -> None:
    assert measure_map(create_backbone(f"{__name__}:own_map", width=7), frames=4, size=8) == (7, 2, 4, 4)
    assert measure_map(trunk_from_source(f"{__name__}:own_net"), frames=4, size=64) == (192, 4, 2, 2)


def test_a_module_that_reads_values_is_measured_by_a_pass(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert measure_map(create_backbone(f"{__name__}:own_reader"), frames=4, size=8) == (3, 4, 8, 8)
    assert "measured by a pass on the CPU" in caplog.text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("slow_r5", r"no video backbone is called 'slow_r5' \(did you mean slow_r50\?\)"),
        ("pytorchvideo:slow_r5", r"pytorchvideo has no video model called 'slow_r5' \(did you mean slow_r50\?\)"),
        ("torchvision:r3d_81", r"torchvision has no video model called 'r3d_81' \(did you mean r3d_18\?\)"),
        ("torchvision:resnet18", "torchvision has no video model called 'resnet18'"),
        ("no_such_module:build", "no_such_module:build: No module named 'no_such_module'; expected a name of --list"),
        ("os:getppid", "backbone os:getppid: os is part of Python's standard library and builds no network"),
        (":build", "expected a model as <library>:<name> or <module>:<function>, got ':build'"),
        ("torchvision:", "expected a model as <library>:<name> or <module>:<function>, got 'torchvision:'"),
        (f"{__name__}:missing", "has no function missing"),
        (f"{__name__}:own_number", "expected a function that returns a torch.nn.Module, got int"),
    ],
)
def test_a_wrong_source_is_reported(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_backbone(source)


def test_a_source_needs_its_library() -> None:
    with pytest.raises(UsageError, match="expected a model as <library>:<name> .*, got 'slow_r50'"):
        trunk_from_source("slow_r50")


def test_own_function_without_pretrained_weights_has_none() -> None:
    with pytest.raises(UsageError, match="there are no published weights"):
        create_backbone(f"{__name__}:own_map", pretrained=True)


def test_arguments_of_the_library_are_passed_on() -> None:
    shallow = create_backbone(
        "mvit_base_16x4", frames=4, size=32, depth=2, embed_dim_mul=[[1, 2.0]], atten_head_mul=[], pool_q_stride_size=[]
    )
    assert len(shallow.blocks) == 2
    with pytest.raises(TypeError, match="widht"):
        create_backbone("slow_r50", widht=8)


def test_stated_settings_are_known_in_every_form() -> None:
    assert "width" in accepted_settings("slow_r50")
    assert "width" not in accepted_settings("s3d")
    assert {"frames", "size"} <= accepted_settings("mvit_v2_s")
    assert accepted_settings(f"{__name__}:own_map") == {"width"}


@pytest.mark.parametrize(
    ("name", "width", "millions"),
    [("r3d_50", 64, 31.672128), ("r3d_50", 128, 126.5), ("r3d_101", 64, 59.6), ("tsm_resnet50", 64, 23.500352)],
)
def test_trunks_of_cvrl_and_brave_have_as_many_parameters_as_published(name: str, width: int, millions: float) -> None:
    with torch.device("meta"):
        trunk = create_backbone(name, width=width)
    digits = len(str(millions).split(".")[1])
    assert round(sum(p.numel() for p in trunk.parameters()) / 1e6, digits) == millions


def test_the_trunk_of_cvrl_begins_with_its_weights() -> None:
    torch.manual_seed(0)
    trunk = create_backbone("r3d_50", width=8)
    norms = [part for part in trunk.modules() if isinstance(part, nn.BatchNorm3d)]
    assert all(bool((part.weight == 1).all()) for part in norms)
    convolutions = [part for part in trunk.modules() if isinstance(part, nn.Conv3d)]
    assert (len(norms), len(convolutions)) == (53, 53)
    for part in (part for part in convolutions if part.weight.numel() > 10_000):
        drawn, fan_in = part.weight.detach(), part.weight[0].numel()
        assert drawn.std().item() == pytest.approx(fan_in**-0.5, rel=0.05)
        assert 1.9 < drawn.abs().max() / (fan_in**-0.5 / 0.8796) <= 2  # cut at two standard deviations of the normal


def test_a_trunk_for_optical_flow_takes_two_channels_and_is_measured_with_them() -> None:
    trunk = create_backbone("tsm_resnet14", width=8, channels=2)
    assert measure_map(trunk, frames=3, size=32) == (256, 3, 1, 1)
    assert trunk(torch.zeros(1, 2, 3, 32, 32)).shape == (1, 256, 3, 1, 1)
