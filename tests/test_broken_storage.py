"""A checkpoint that was cut off, and a disk that is full: what the person at the command line meets."""

import shutil
from pathlib import Path
from typing import Any

import attempts
import pytest
from tiny_runs import arguments, assert_same_weights, metrics_text, tree, weights, write_tiny

from stica_pv.engine.checkpoint import list_checkpoints

EARLY, TOTAL = 6, 12  # steps; three an epoch, each with a checkpoint


@pytest.fixture(scope="module")
def begun(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of runs that nothing interrupted, by their number of steps; nobody may change them."""
    folder = tmp_path_factory.mktemp("begun")
    runs = {steps: folder / str(steps) for steps in (EARLY, TOTAL)}
    for steps, run in runs.items():
        assert run_attempt(clips_folder, run, folder, TRAIN__MAX_STEPS=steps) == (0, [])
    return runs


def run_attempt(
    clips: Path, run: Path, scratch: Path, *, max_file_bytes: int = 0, **overrides: Any
) -> tuple[int, list[str]]:
    """Runs the command to its end; its exit code and the lines of its stderr."""
    cfg = write_tiny(scratch / "tiny.yaml")
    argv = ["--cfg", cfg, *arguments(clips, run, **{"SOLVER__MAX_EPOCH": TOTAL // 3, **overrides})]
    code = attempts.end_of(attempts.begin(argv, scratch, max_file_bytes=max_file_bytes))
    assert code is not None
    return code, (scratch / "err").read_text().splitlines()


def assert_equal_to(run: Path, straight: Path) -> None:
    assert metrics_text(run) == metrics_text(straight)  # exact: the same code with the same shapes, interrupted or not
    assert_same_weights(weights(run), weights(straight))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_newest_checkpoint_that_was_cut_off_is_skipped_with_a_warning(
    clips_folder: Path, begun: dict[int, Path], tmp_path: Path, share: float
):
    run = shutil.copytree(begun[EARLY], tmp_path / "run")
    before, newest = list_checkpoints(run)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    assert run_attempt(clips_folder, run, tmp_path) == (0, [])
    printed = (tmp_path / "out").read_text()
    assert f"skipped: {newest} " in printed
    assert f"resuming from {before} (step {EARLY // 2})" in printed
    assert_equal_to(run, begun[TOTAL])


def test_a_disk_without_room_for_a_checkpoint_leaves_the_last_one_whole(
    clips_folder: Path, begun: dict[int, Path], tmp_path: Path
):
    run = shutil.copytree(begun[EARLY], tmp_path / "run")
    before = tree(run / "checkpoints")
    code, lines = run_attempt(clips_folder, run, tmp_path, max_file_bytes=len(next(iter(before.values()))) // 2)
    failed = run / "checkpoints" / f"step_{EARLY + 3:08d}.pyth"
    assert code == 1
    assert lines == [f"failed: cannot write {failed}: [Errno 27] File too large; older checkpoints are untouched"]
    assert tree(run / "checkpoints") == before
    assert run_attempt(clips_folder, run, tmp_path) == (0, [])  # there is space again
    assert_equal_to(run, begun[TOTAL])


@pytest.mark.parametrize("free_bytes", [-500, 100])  # too little for the lines that stay, or for the next one
def test_a_disk_without_room_for_a_line_of_numbers_ends_with_one_line(
    clips_folder: Path, begun: dict[int, Path], tmp_path: Path, free_bytes: int
):
    run = shutil.copytree(begun[EARLY], tmp_path / "run")
    (run / "stdout.log").unlink()
    before, full = tree(run / "checkpoints"), run / "json_stats.log"
    while full.stat().st_size < 2 * (run / "config.yaml").stat().st_size:  # else that file would not fit either
        full.write_text(2 * full.read_text())
    code, lines = run_attempt(clips_folder, run, tmp_path, max_file_bytes=full.stat().st_size + free_bytes)
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"failed: cannot write {full}: File too large; the checkpoints are untouched")
    assert tree(run / "checkpoints") == before
    assert run_attempt(clips_folder, run, tmp_path) == (0, [])
    assert_equal_to(run, begun[TOTAL])
