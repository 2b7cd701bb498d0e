"""Whole runs in this process: what they leave, and that stopping, resuming and repeating change no number."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_clips import make_clip
from tiny_runs import assert_same_weights, losses, metrics_text, run_tiny, tiny_cfg, tree, weights
from toy_task import ToyTask

from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import create_task
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import RunFailed, UsageError
from stica_pv.evaluation.results import read_results
from stica_pv.registry import TASKS

TOTAL = 6  # steps: 2 epochs of 12 videos in batches of 4


@pytest.fixture(scope="module")
def straight(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted; nobody may change it."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    assert run_tiny(clips_folder, folder) == {}
    return folder


def assert_same_run(folder: Path, straight: Path) -> None:
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(folder) == metrics_text(straight)
    assert_same_weights(weights(folder), weights(straight))


def test_a_run_leaves_its_numbers_weights_and_facts(straight: Path):
    assert [json.loads(line)["step"] for line in metrics_text(straight).splitlines()] == list(range(1, TOTAL + 1))
    assert all(map(math.isfinite, losses(straight)))
    facts = json.loads((straight / "run.json").read_text())
    assert {key: facts[key] for key in ("videos", "videos_excluded", "batch_size", "negatives", "steps")} == {
        "videos": 12, "videos_excluded": 0, "batch_size": 4, "negatives": 3, "steps": TOTAL,
    }  # fmt: skip
    assert facts["peak_lr"] == pytest.approx(0.05 * 4 / 8)
    assert len(facts["list_hash"]) == 16
    assert (straight / "bad_files.csv").read_text().splitlines() == ["stage,step,path,cause"]
    assert "torch: " in (straight / "env.txt").read_text()
    assert not list(straight.rglob("*.partial"))


def test_a_checkpoint_describes_itself(straight: Path, clips_folder: Path):
    newest = list_checkpoints(straight)[-1]
    content = torch.load(newest, weights_only=True)
    assert content["step"] == TOTAL
    assert content["epoch_size"] == 3
    assert content["list_hash"] == json.loads((straight / "run.json").read_text())["list_hash"]
    assert yaml.safe_load(content["config"])["MODEL"]["ARCH"] == "r2plus1d_10"
    assert content["config"] == (straight / "config.yaml").read_text()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(clips_folder: Path, straight: Path, tmp_path: Path):
    torch.rand(3)
    run_tiny(clips_folder, tmp_path / "same")
    assert_same_run(tmp_path / "same", straight)
    run_tiny(clips_folder, tmp_path / "other", RNG_SEED=1)
    assert losses(tmp_path / "other")[0] != losses(straight)[0]


@pytest.mark.parametrize("stops", [(3,), (2, 5), (1, 2, 3, 4, 5)], ids=str)
def test_a_run_in_parts_is_the_uninterrupted_run_bit_for_bit(
    clips_folder: Path, straight: Path, tmp_path: Path, stops: tuple[int, ...]
):
    for steps in (*stops, 0):
        run_tiny(clips_folder, tmp_path, TRAIN__MAX_STEPS=steps)
        assert len(losses(tmp_path)) == (steps or TOTAL)
    assert_same_run(tmp_path, straight)


def test_a_lost_checkpoint_is_made_up_for(clips_folder: Path, straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    newest = list_checkpoints(tmp_path / "run")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    run_tiny(clips_folder, tmp_path / "run")
    assert_same_run(tmp_path / "run", straight)


def test_when_all_checkpoints_are_broken_nothing_is_begun_anew(clips_folder: Path, straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    for path in list_checkpoints(tmp_path / "run"):
        path.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="all 2 checkpoints"):
        run_tiny(clips_folder, tmp_path / "run")
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(tmp_path / "run") == metrics_text(straight)
    assert [path.read_bytes() for path in list_checkpoints(tmp_path / "run")] == [b"rubbish"] * 2


def test_workers_change_no_number(clips_folder: Path, straight: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, DATA_LOADER__NUM_WORKERS=2)
    assert_same_run(tmp_path, straight)


def test_a_finished_run_trains_no_further_and_gives_its_results_again(
    clips_folder: Path, straight: Path, tmp_path: Path
):
    shutil.copytree(straight, tmp_path / "run")
    first = run_tiny(clips_folder, tmp_path / "run", TEST__ENABLE=True)
    again = run_tiny(clips_folder, tmp_path / "run", TEST__ENABLE=True)
    assert first == again == read_results(tmp_path / "run").numbers
    assert {"retrieval/R@1", "retrieval/R@1/random_init", "knn/top1", "chance/top1"} <= first.keys()
    assert first["chance/top1"] == pytest.approx(100 / 3)
    assert_same_run(tmp_path / "run", straight)


def test_a_different_run_in_a_used_folder_is_refused_and_nothing_is_touched(clips_folder: Path, straight: Path):
    before = tree(straight)
    with pytest.raises(UsageError, match=r"holds another run .*SOLVER\.BASE_LR 0\.05 -> 0\.1"):
        run_tiny(clips_folder, straight, SOLVER__BASE_LR=0.1)
    assert tree(straight) == before


def test_another_list_of_videos_is_another_run(clips_folder: Path, straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    shorter = "".join((clips_folder / "train.csv").read_text().splitlines(keepends=True)[:-1])
    (tmp_path / "train.csv").write_text(shorter)
    with pytest.raises(UsageError, match="DATA.PATH_PREFIX|another list of videos"):
        run_tiny(tmp_path, tmp_path / "run", DATA__PATH_PREFIX=clips_folder)


def test_a_copy_of_the_same_data_elsewhere_continues(clips_folder: Path, straight: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=2)
    shutil.copytree(clips_folder, tmp_path / "copy")
    run_tiny(tmp_path / "copy", tmp_path / "run")
    assert_same_run(tmp_path / "run", straight)


def test_without_resuming_a_used_folder_is_refused(clips_folder: Path, straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    with pytest.raises(UsageError, match="TRAIN.AUTO_RESUME is False"):
        run_tiny(clips_folder, tmp_path / "run", TRAIN__AUTO_RESUME=False)


def test_a_run_that_diverges_ends_by_its_step_without_a_checkpoint_after_it(clips_folder: Path, tmp_path: Path):
    with pytest.raises(RunFailed, match=r"step \d is not finite; no checkpoint was written after it") as raised:
        run_tiny(clips_folder, tmp_path, SOLVER__BASE_LR=1e30, SOLVER__WARMUP_EPOCHS=0, TRAIN__CHECKPOINT_MINUTES=-1)
    bad = int(str(raised.value).split(" is not finite")[0].split()[-1])
    steps = [load_checkpoint(path)["step"] for path in list_checkpoints(tmp_path)]
    assert max(steps, default=0) <= bad


@pytest.mark.parametrize(
    "overrides",
    [
        {"TRAIN__MIXED_PRECISION": True, "TRAIN__AMP_DTYPE": "fp16"},  # bf16 convolutions do not repeat on every CPU
        {"SOLVER__OPTIMIZING_METHOD": "adamw", "SOLVER__LR_POLICY": "cosine", "SOLVER__CLIP_GRAD_L2NORM": 1.0},
        {"SOLVER__ZERO_WD_1D_PARAM": True, "CROP__PER_SAMPLE": True},
        {
            "POOL__NAME": "average",
            "CROP__NUM_LARGE_SPATIAL": 0,
            "CROP__NUM_SMALL_SPATIAL": 0,
            "CONTRASTIVE__CROSS_MODAL_WEIGHT": 1,
        },
        {"DATA__COLOR_STYLE": "released", "AUDIO__LOG_MEL": "released", "AUDIO__N_FFT": 1024, "AUDIO__HEAD_PASSES": 2,
         "CROP__PAIRING": "released", "CROP__EXCLUSIVE_BOUND": True, "DATA__FRAME_CHOICE": "following"},
    ],
    ids=lambda overrides: next(reversed(overrides)),
)  # fmt: skip
def test_every_kind_of_run_stops_and_resumes_with_the_same_losses(
    clips_folder: Path, tmp_path: Path, overrides: dict[str, Any]
):
    run_tiny(clips_folder, tmp_path / "straight", TRAIN__MAX_STEPS=4, **overrides)
    for steps in (3, 4):
        run_tiny(clips_folder, tmp_path / "parts", TRAIN__MAX_STEPS=steps, **overrides)
    assert_same_run(tmp_path / "parts", tmp_path / "straight")
    assert all(map(math.isfinite, losses(tmp_path / "parts")))


def test_a_period_of_logging_that_was_interrupted_by_a_kill_is_logged_as_a_whole(clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path / "straight", LOG_PERIOD=2)
    shutil.copytree(tmp_path / "straight", tmp_path / "killed")  # as after a kill between steps 5 and 6
    list_checkpoints(tmp_path / "killed")[-1].unlink()
    run_tiny(clips_folder, tmp_path / "killed", LOG_PERIOD=2)  # goes on from step 3, in the middle of a period
    assert_same_run(tmp_path / "killed", tmp_path / "straight")


def test_equal_seeds_begin_with_equal_weights_and_named_weights_replace_them(
    clips_folder: Path, straight: Path, tmp_path: Path
):
    first, second = (create_task(tiny_cfg(clips_folder, tmp_path)).state_dict() for _ in range(2))
    assert_same_weights(first, second)
    path = list_checkpoints(straight)[-1]
    loaded = create_task(tiny_cfg(clips_folder, tmp_path, TRAIN__CHECKPOINT_FILE_PATH=path)).state_dict()
    assert_same_weights(loaded, weights(straight))


def test_weights_of_another_network_are_refused(clips_folder: Path, straight: Path, tmp_path: Path):
    path = list_checkpoints(straight)[-1]
    with pytest.raises(UsageError, match=r"tensors match.*TRAIN\.CHECKPOINT_MIN_MATCH"):
        run_tiny(clips_folder, tmp_path / "run", TRAIN__CHECKPOINT_FILE_PATH=path, MODEL__WIDTH=6, AUDIO__WIDTH=6)
    assert tree(tmp_path / "run") == {}


def damage(path: Path) -> Path:
    """Keeps the index of an mp4, which says what is there, and blots out all it points to."""
    content = path.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    path.write_bytes(content[:start] + bytes(end - start) + content[end:])
    return path


def test_files_that_fail_in_reading_are_replaced_and_named_until_there_are_too_many(clips_folder: Path, tmp_path: Path):
    shutil.copytree(clips_folder, tmp_path / "clips")
    names = [line.split()[0] for line in (clips_folder / "train.csv").read_text().splitlines()]
    bad = damage(tmp_path / "clips" / names[5])
    make_clip(tmp_path / "clips" / names[7], 0, seconds=0.25)
    run_tiny(tmp_path / "clips", tmp_path / "run", DATA__MAX_BAD_SHARE=0.1)
    with (tmp_path / "run" / "bad_files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], Path(row["path"]).name) for row in rows] == [("excluded", names[7]), ("read", bad.name)]
    assert all(row["cause"] for row in rows)
    assert rows[1]["step"].isdigit()
    damage(tmp_path / "clips" / names[2])
    with pytest.raises(RunFailed, match=r"2 of 11 files failed in reading, 1 are allowed"):
        run_tiny(tmp_path / "clips", tmp_path / "worse", DATA__MAX_BAD_SHARE=0.01)


def test_clips_without_audio_can_be_kept(clips_folder: Path, tmp_path: Path):
    shutil.copytree(clips_folder, tmp_path / "clips")
    for path in sorted((tmp_path / "clips").glob("*.mp4"))[:6]:
        make_clip(path, 1, audio=False)
    run_tiny(tmp_path / "clips", tmp_path / "run", DATA__MISSING_AUDIO="silence")
    shares = [json.loads(line)["audio_share"] for line in metrics_text(tmp_path / "run").splitlines()]
    assert sum(shares) == pytest.approx(TOTAL * 0.5, abs=1.0)
    assert all(map(math.isfinite, losses(tmp_path / "run")))


@TASKS.named("toy_of_the_tests")
def toy_from_config(cfg: Any) -> ToyTask:
    return ToyTask(TASKS.get("av_contrastive")(cfg).views())


def test_a_method_of_ones_own_runs_through_everything(clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path / "straight", TASK="toy_of_the_tests")
    for steps in (4, 0):
        run_tiny(clips_folder, tmp_path / "parts", TASK="toy_of_the_tests", TRAIN__MAX_STEPS=steps)
    assert_same_run(tmp_path / "parts", tmp_path / "straight")


def test_a_method_learns_the_length_of_the_whole_training_whatever_stops_it(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(ToyTask, "after_step", lambda task, step, total: calls.append((step, total)))
    for steps in (1, 2):
        run_tiny(clips_folder, tmp_path / "run", TASK="toy_of_the_tests", TRAIN__MAX_STEPS=steps)
    assert calls == [(1, TOTAL), (2, TOTAL)]


def test_modules_of_ones_own_are_imported_or_named(clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_method_of_the_tests.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="CUSTOM_IMPORTS: my_method_of_the_tests: SystemExit: imported"):
        run_tiny(clips_folder, tmp_path / "run", CUSTOM_IMPORTS="['my_method_of_the_tests']")
    with pytest.raises(UsageError, match=r"CUSTOM_IMPORTS: no_such_module.*PYTHONPATH"):
        run_tiny(clips_folder, tmp_path / "run", CUSTOM_IMPORTS="['no_such_module']")
