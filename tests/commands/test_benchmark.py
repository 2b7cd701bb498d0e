"""The cost tool counts what can be known beforehand, and its command line says what is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import stica_pv.compat  # noqa: F401 - repairs torchvision

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torchvision.models.video import MViT_V1_B_Weights, R2Plus1D_18_Weights

from stica_pv.commands import benchmark
from stica_pv.commands.benchmarks.backbones import cost
from stica_pv.commands.benchmarks.counting import Live, count
from stica_pv.commands.benchmarks.heads import CROPS
from stica_pv.commands.benchmarks.measuring import time_trunk
from stica_pv.models import create_backbone
from stica_pv.registry import BACKBONES

ROOT = Path(__file__).resolve().parents[2]

LIMITS = dict.fromkeys(("r2plus1d_18", "r2plus1d_10"), 0.02)
LIMITS |= dict.fromkeys((n for n in BACKBONES.names() if n.endswith(("50", "101"))), 0.04)
LIMITS |= dict.fromkeys((n for n in BACKBONES.names() if "x3d" in n), 0.10)


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_parameters_multiply_adds_and_kept_bytes_of_a_convolution_are_those_of_arithmetic() -> None:
    conv = nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1), bias=False)
    found = count(conv, torch.zeros(2, 3, 4, 8, 8), clips=2)
    assert found.parameters == 3 * 5 * 9
    assert found.gmacs == pytest.approx(3 * 5 * 9 * 4 * 8 * 8 / 1e9)
    assert found.kept_mb == pytest.approx(4 * 3 * 4 * 8 * 8 / 2**20)  # its input in fp32, and not its weights
    twice = nn.Sequential(nn.Sigmoid(), nn.Sigmoid()).to("meta")
    assert count(twice, torch.zeros(2, 1, 64, requires_grad=True, device="meta"), clips=2).kept_mb == 2 * 4 * 64 / 2**20


@pytest.mark.parametrize("name", ["r2plus1d_10", "slow_r50"])
def test_multiply_adds_are_those_of_fvcore_without_normalization(name: str) -> None:
    trunk, video = create_backbone(name, width=8).eval(), torch.zeros(1, 3, 4, 32, 32)
    analysis = FlopCountAnalysis(trunk, video).unsupported_ops_warnings(False).tracer_warnings("none")
    theirs = sum(value for op, value in analysis.by_operator().items() if "norm" not in op)
    assert count(trunk, video, clips=1).gmacs * 1e9 == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("name", "published"),
    [("r2plus1d_18", R2Plus1D_18_Weights.DEFAULT.meta["_ops"]), ("mvit_v1_b", MViT_V1_B_Weights.DEFAULT.meta["_ops"])],
)
def test_multiply_adds_at_the_standard_input_are_the_published_ones(name: str, published: float) -> None:
    assert cost(name, "none", 1).trunk.gmacs == pytest.approx(published, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_heads_add_no_more_than_promised_to_multiply_adds_and_memory(name: str) -> None:
    row = cost(name, "none", 1)
    assert (CROPS.space_large, CROPS.space_small, CROPS.time_large, CROPS.time_small) == (2, 4, 2, 1)
    assert 0 < row.heads.gmacs / row.trunk.gmacs <= LIMITS[name]
    assert 0 < row.heads.kept_mb / row.trunk.kept_mb <= LIMITS[name]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_peak_memory_is_the_most_that_lives_at_one_time(device: str) -> None:
    weight = torch.ones(2**18, device=device, requires_grad=True)
    with Live() as live:
        a = torch.zeros(2**18, device=device)  # 1 MB
        b = a + 1
        del a
        c = b.view(2, -1) + 1
        del b, c
        assert live.peak == 2 * 2**20
        d = weight * 2
        (d * d).sum().backward()  # d, its square, two factors of the gradient ...
    assert 3 * 2**20 <= live.peak <= 6 * 2**20


def test_peak_memory_of_a_step_exceeds_what_is_kept_and_that_of_a_forward_pass_does_not() -> None:
    row = cost("r2plus1d_10", "none", 1)
    gradients_mb = 4 * row.trunk.parameters / 2**20
    assert row.trunk.peak_forward_mb < 2 * row.trunk.kept_mb < row.trunk.peak_step_mb
    assert row.trunk.peak_step_mb < 3 * row.trunk.kept_mb + gradients_mb


def test_times_are_those_of_the_work() -> None:
    timings = time_trunk(create_backbone("r2plus1d_10", width=4), frames=4, size=64, repeats=1)
    assert 0 < timings.forward < timings.step
    assert 0 < timings.heads_forward < timings.heads_step


@pytest.mark.slow
def test_the_table_has_a_line_for_each_backbone(tmp_path: Path) -> None:
    done = tool("backbones", "x3d_xs", "slowfast_r50", "--timing", "none", "--markdown", str(tmp_path / "table.md"))
    assert done.returncode == 0, done.stderr
    written, note = (tmp_path / "table.md").read_text().rstrip("\n").split("\n\n")
    assert f"{written}\n\n{note}" in done.stdout
    head, rule, *rows = written.splitlines()
    assert len({line.count("|") for line in (head, rule, *rows)}) == 1
    assert [row.split(" | ")[0] for row in rows] == ["| x3d_xs", "| slowfast_r50"]
    assert "| 32 × 224 | 2048×8×7×7 + 256×32×7×7 | 33.6 | 50.3 |" in rows[1]
    row = r"\| x3d_xs: multiply-adds of the heads \| 0\.022\d GMACs \| the trunk \| 0\.825 GMACs \| 0\.026\d \|"
    assert re.search(row, done.stdout)


def test_what_was_finished_is_written_when_all_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if command[5] == "step":
            raise KeyboardInterrupt
        Path(command[-1]).write_text(json.dumps({"reports": [command[5]]}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(benchmark.subprocess, "run", one)
    assert benchmark.main(["all", "--json", str(tmp_path / "all.json")]) == 130
    assert json.loads((tmp_path / "all.json").read_text())["reports"] == ["loader", "startup"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "got nothing"),
        (("backbone",), "backbones, all; got backbone"),
        (("backbones", "slow_r5"), "no video backbone is called 'slow_r5' (did you mean slow_r50?)"),
        (("backbones", "--repeats", "0"), "--repeats: expected a number >= 1, got 0"),
        (("backbones", "--timing", "large"), "invalid choice: 'large'"),
    ],
)
def test_a_wrong_command_is_reported_and_ends_with_2(arguments: tuple[str, ...], message: str, capsys) -> None:
    try:
        code = benchmark.main(list(arguments))
    except SystemExit as stopped:  # argparse
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
