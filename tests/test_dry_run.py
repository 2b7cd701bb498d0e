"""The rehearsal of a run: what it tells, and that it leaves nothing."""

import logging
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import REPOSITORY, losses, run_tiny, tiny_cfg, tree, words, write_tiny
from torch import nn

from stica_pv.create import create_task
from stica_pv.errors import UsageError
from stica_pv.run import rehearse

TOOL = REPOSITORY / "tools" / "run_net.py"


class Heard(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run said and what it left of its passing files."""

    text: str
    left: list[Path]


def rehearsal(clips: Path, output: Path, **overrides: Any) -> Rehearsal:
    temporary = output.with_name(output.name + "_temporary")
    temporary.mkdir()
    log, heard = logging.getLogger("stica_pv"), Heard()
    level = log.level
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary))
            rehearse(tiny_cfg(clips, output, **overrides), torch.device("cpu"))
    finally:
        log.removeHandler(heard)
        log.setLevel(level)
    return Rehearsal(heard.text, list(temporary.iterdir()))


@pytest.fixture(scope="module")
def fresh(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    output = tmp_path_factory.mktemp("fresh") / "run"
    done = rehearsal(clips_folder, output)
    assert not output.exists()
    return done


def test_it_leaves_nothing(fresh: Rehearsal):
    assert fresh.left == []
    assert "nothing was written into" in fresh.text


def test_it_tells_modules_with_sizes_and_shapes(fresh: Rehearsal, clips_folder: Path, tmp_path: Path):
    task = create_task(tiny_cfg(clips_folder, tmp_path))
    for name in ("backbone", "pool", "video_head", "audio_tower", "audio_head"):
        size = sum(p.numel() for p in getattr(task, name).parameters())
        assert re.search(rf"^  {name} +{size:,}  float32\(", fresh.text, re.MULTILINE), name
    assert f"  all {sum(p.numel() for p in task.parameters()):>24,}\n" in fresh.text
    assert "float32(14, 4, 8)" in fresh.text  # of the video head: 2 views x (map and 6 crops), 4 videos


def test_it_tells_what_follows_from_the_settings_and_what_a_step_gave(fresh: Rehearsal):
    assert "windows 14, terms_within 24, terms_cross 4" in fresh.text
    assert "batch_size 4, processes 1, negatives 3" in fresh.text
    assert "steps_per_epoch 3, videos_left_over 0, steps 6" in fresh.text
    assert re.search(r"one step: loss \d.*grad_norm", fresh.text)
    parts = re.search(
        r"weights ([\d.]+), gradients ([\d.]+), .* backward pass ([\d.]+), batch ([\d.]+); together", fresh.text
    )
    assert parts
    assert all(float(part) > 0 for part in parts.groups())
    assert re.search(r"measured peak of this process on the CPU, libraries included: \d+ MB", fresh.text)


def macs_of_convolutions(module: nn.Module, clip: torch.Tensor) -> int:
    """Counts by hand: for every output value of a convolution, as many products as its kernel has weights."""
    found = []

    def count(part: nn.Module, _: object, result: torch.Tensor) -> None:
        found.append(result.numel() * part.weight[0].numel())  # type: ignore[union-attr,index]

    hooks = [part.register_forward_hook(count) for part in module.modules() if isinstance(part, nn.Conv2d | nn.Conv3d)]
    with torch.no_grad():
        module.eval()(clip)
    for hook in hooks:
        hook.remove()
    return sum(found)


def test_gmacs_of_the_trunk_are_those_counted_by_hand(fresh: Rehearsal, clips_folder: Path, tmp_path: Path):
    line = r"video uint8\(1, 3, 4, 32, 32\): [\d.]+ \(backbone ([\d.]+), pool [\d.e-]+\)\n    not counted: \w"
    found = re.search(line, fresh.text)
    assert found
    backbone = create_task(tiny_cfg(clips_folder, tmp_path)).encoders()["video"].backbone
    by_hand = macs_of_convolutions(backbone, torch.zeros(1, 3, 4, 32, 32)) / 1e9
    assert by_hand <= float(found[1]) < 1.2 * by_hand  # batch-norm comes on top


def test_a_used_folder_stays_as_it_is_its_manifest_is_used_and_the_step_is_that_of_the_run(
    clips_folder: Path, tmp_path: Path
):
    run_tiny(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)
    before = tree(tmp_path / "run")
    done = rehearsal(clips_folder, tmp_path / "run")
    assert tree(tmp_path / "run") == before
    assert "reading the headers" not in done.text
    found = re.search(r"one step: loss ([\d.]+)", done.text)
    assert found
    assert float(found[1]) == pytest.approx(losses(tmp_path / "run")[0], abs=1e-3)


def test_chunks_are_rehearsed_too_and_a_named_manifest_is_kept(clips_folder: Path, tmp_path: Path):
    settings = {"TRAIN__CHUNK_SIZE": 2, "DATA__MANIFEST": tmp_path / "facts.csv"}
    assert "one step: loss" in rehearsal(clips_folder, tmp_path / "run", **settings).text
    assert (tmp_path / "facts.csv").is_file()


def test_an_evaluation_cannot_be_rehearsed(clips_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="TRAIN.ENABLE is False"):
        rehearse(tiny_cfg(clips_folder, tmp_path / "run", TRAIN__ENABLE=False), torch.device("cpu"))


@pytest.mark.slow
def test_the_command_line_rehearses_with_two_processes(clips_folder: Path, tmp_path: Path):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    command = [sys.executable, str(TOOL), "--cfg", str(cfg), "--dry_run"]
    given = words(clips_folder, tmp_path / "run", CPU_PROCESSES=2)
    done = subprocess.run(
        [*command, *given],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.count("one step: loss") == 1
    assert "processes 2" in done.stdout
    assert not (tmp_path / "run").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("stica_pv_")]


def test_a_profile_of_no_steps_is_refused():
    done = subprocess.run(
        [sys.executable, str(TOOL), "--cfg", "a.yaml", "--profile", "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--profile: expected a number of steps >= 1, got 0" in done.stderr
