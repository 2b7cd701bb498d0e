"""A dry run: what it logs, and that it leaves no file."""

import logging
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tiny_runs import REPOSITORY, arguments, losses, run_tiny, tiny_cfg, tree, write_tiny
from torch import nn
from torch.multiprocessing import start_processes

from stica_pv.data.manifest import videos
from stica_pv.data.manifest.videos import open_videos
from stica_pv.data.sources.sources import read_folder
from stica_pv.engine.build_task import create_task
from stica_pv.errors import UsageError
from stica_pv.structures import Views
from stica_pv.workflows.dry_run import borrowed_manifest
from stica_pv.workflows.run import check_run

TOOL = REPOSITORY / "tools" / "run_net.py"


class Heard(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


@dataclass(frozen=True)
class DryRun:
    """Log of a dry run, and the files that it left next to the folder of the run."""

    text: str
    left: list[Path]


def dry_run_of(clips: Path, output: Path, **overrides: Any) -> DryRun:
    before = set(output.parent.iterdir())
    log, heard = logging.getLogger("stica_pv"), Heard()
    level = log.level
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    try:
        check_run(tiny_cfg(clips, output, **overrides), torch.device("cpu"))
    finally:
        log.removeHandler(heard)
        log.setLevel(level)
    return DryRun(heard.text, [path for path in output.parent.iterdir() if path not in before])


@pytest.fixture(scope="module")
def fresh(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    output = tmp_path_factory.mktemp("fresh") / "run"
    done = dry_run_of(clips_folder, output)
    assert not output.exists()
    return done


def test_it_leaves_nothing(fresh: DryRun):
    assert fresh.left == []
    assert "nothing was written to" in fresh.text


def test_it_logs_modules_with_sizes_and_shapes(fresh: DryRun, clips_folder: Path, tmp_path: Path):
    task = create_task(tiny_cfg(clips_folder, tmp_path))
    for name in ("backbone", "pool", "video_head", "audio_tower", "audio_head"):
        size = sum(p.numel() for p in getattr(task, name).parameters())
        assert re.search(rf"^  {name} +{size:,}  float32\(", fresh.text, re.MULTILINE), name
    assert f"  all {sum(p.numel() for p in task.parameters()):>24,}\n" in fresh.text
    assert "float32(14, 4, 8)" in fresh.text  # of the video head: 2 views x (map and 6 crops), 4 videos


def test_it_logs_what_follows_from_the_settings_and_what_a_step_gave(fresh: DryRun):
    for row in (
        r"data +12 videos \(0 excluded, 0 without audio\), list \w+",
        r"method +av_contrastive: windows 14, terms_within 24, terms_cross 4",
        r"model +[\d,]+ parameters: backbone [\d,]+, pool [\d,]+, ",
        r"batch +4 videos, 3 negatives per query",
        r"optimizer +\w+, peak learning rate [\d.]+, weight decay [\de.-]+, fp32",
        r"schedule +\w+, [\d.]+ epochs of warm-up; 6 steps, 3 per epoch \(0 videos left over, others in each epoch\)",
        r"devices +1 process on cpu",
    ):
        assert re.search(rf"^  {row}", fresh.text, re.MULTILINE), row
    assert re.search(r"one step: loss \d.*grad_norm", fresh.text)
    parts = re.search(
        r"weights ([\d.]+), gradients ([\d.]+), .* backward pass ([\d.]+), batch ([\d.]+); total", fresh.text
    )
    assert parts
    assert all(float(part) > 0 for part in parts.groups())
    assert re.search(r"measured peak of this process on the CPU, libraries included: \d+ MB", fresh.text)


def open_as_one_of_two(rank: int, clips: str, folder: str) -> None:
    """One of two processes; leaves what it logged and whether it found the passing folder gone."""
    folder_of_test, log, heard = Path(folder), logging.getLogger("stica_pv"), Heard()
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    rendezvous = f"file://{folder_of_test / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2, timeout=timedelta(minutes=5))
    try:
        cfg, listed = tiny_cfg(Path(clips), folder_of_test / "a" / "run"), read_folder(path=clips)
        views = Views((), lambda seconds, rng: {}, min_seconds=0.0, needs_audio=False)
        with borrowed_manifest(cfg, folder_of_test / "a" / "run") as manifest, pytest.MonkeyPatch.context() as patch:
            if rank == 1:  # it comes late
                patch.setattr(videos, "open_videos", lambda *a, **k: time.sleep(0.5) or open_videos(*a, **k))
            videos.open_in_turn(listed, manifest, views)
        dist.barrier()
        (folder_of_test / f"{rank}.txt").write_text(f"{heard.text}{manifest.parent.exists()}")
    finally:
        dist.destroy_process_group()


def test_headers_are_read_once_for_all_processes_and_nothing_is_left(clips_folder: Path, tmp_path: Path):
    start_processes(open_as_one_of_two, args=(str(clips_folder), str(tmp_path)), nprocs=2, start_method="fork")
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert re.fullmatch(r"(.* are skipped\n)?reading the headers of \d+ of \d+ files\nFalse", first)
    assert re.fullmatch(r"(.* are skipped\n)?False", second)
    assert {path.name for path in tmp_path.iterdir()} <= {"0.txt", "1.txt", "rendezvous"}


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(UsageError, match=r"OUTPUT_DIR .*run: .* cannot be written \(Permission denied\)"),
        borrowed_manifest(tiny_cfg(tmp_path, tmp_path / "run"), tmp_path / "run"),
    ):
        pass


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


def test_gmacs_of_the_trunk_are_those_counted_by_hand(fresh: DryRun, clips_folder: Path, tmp_path: Path):
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
    done = dry_run_of(clips_folder, tmp_path / "run")
    assert tree(tmp_path / "run") == before
    assert done.left == []
    assert "reading the headers" not in done.text
    found = re.search(r"one step: loss ([\d.]+)", done.text)
    assert found
    assert float(found[1]) == pytest.approx(losses(tmp_path / "run")[0], abs=1e-3)


def test_chunks_are_rehearsed_too_and_a_named_manifest_is_kept(clips_folder: Path, tmp_path: Path):
    settings = {"TRAIN__GRAD_CACHE_CHUNK": 2, "DATA__MANIFEST": tmp_path / "facts.csv"}
    assert "one step: loss" in dry_run_of(clips_folder, tmp_path / "run", **settings).text
    assert (tmp_path / "facts.csv").is_file()


def test_an_evaluation_cannot_be_rehearsed(clips_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="TRAIN.ENABLE is False"):
        check_run(tiny_cfg(clips_folder, tmp_path / "run", TRAIN__ENABLE=False), torch.device("cpu"))


@pytest.mark.slow
def test_the_command_line_rehearses_with_two_processes(clips_folder: Path, tmp_path: Path):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    command = [sys.executable, str(TOOL), "--cfg", str(cfg), "--dry_run"]
    given = arguments(clips_folder, tmp_path / "run", CPU_PROCESSES=2)
    done = subprocess.run(
        [*command, *given],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.count("one step: loss") == 1
    assert "devices    2 processes on cpu" in done.stdout
    assert not (tmp_path / "run").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_profile_of_no_steps_is_refused():
    done = subprocess.run(
        [sys.executable, str(TOOL), "--cfg", "a.yaml", "--profile", "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--profile: expected a number of steps >= 1, got 0" in done.stderr
