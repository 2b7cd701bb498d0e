import json
from pathlib import Path

import pytest

from stica_pv.engine import Records, read_metrics
from stica_pv.engine.records import METRICS, STATS
from stica_pv.engine.trackers.tensorboard import TensorBoard


def write(folder: Path, steps: range, resume: int = 0) -> None:
    records = Records(folder, resume_step=resume)
    for step in steps:
        records.write(step, {"loss": 1 / step}, {"step_time": 0.5})
    records.close()


def test_numbers_that_repeat_stand_apart_from_timings(tmp_path: Path):
    write(tmp_path, range(1, 3))
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    stats = [json.loads(line) for line in (tmp_path / STATS).read_text().splitlines()]
    assert stats[0] == {"_type": "train_iter", "step": 1, "loss": 1.0, "step_time": 0.5}


def test_numbers_survive_the_file_bit_for_bit(tmp_path: Path):
    write(tmp_path, range(3, 4))
    assert read_metrics(tmp_path)[0]["loss"] == 1 / 3


def test_a_resume_truncates_what_is_after_the_checkpoint(tmp_path: Path):
    write(tmp_path, range(1, 6))
    write(tmp_path, range(4, 6), resume=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    assert len((tmp_path / STATS).read_text().splitlines()) == 5


def test_the_torn_line_of_a_killed_run_is_dropped(tmp_path: Path):
    write(tmp_path, range(1, 3))
    for name in (METRICS, STATS):
        with (tmp_path / name).open("a") as file:
            file.write('{"step": 3, "lo')
    write(tmp_path, range(3, 4), resume=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_run_that_begins_anew_begins_with_empty_files(tmp_path: Path):
    write(tmp_path, range(1, 6))
    write(tmp_path, range(1, 2))
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_lines_are_on_disk_at_once(tmp_path: Path):
    records = Records(tmp_path, resume_step=0)
    records.write(1, {"loss": 1.0}, {})
    assert len(read_metrics(tmp_path)) == 1
    records.close()


def test_the_end_of_an_epoch_has_a_line_of_its_own_and_is_cut_back_like_the_others(tmp_path: Path):
    first = Records(tmp_path, resume_step=0)
    for step, epoch in ((2, 1), (4, 2)):
        first.write(step, {"loss": 1.0}, {})
        first.write_epoch(step, epoch, {"online_knn/top1": 50.0})
    first.close()
    stats = [json.loads(line) for line in (tmp_path / STATS).read_text().splitlines()]
    assert stats[1] == {"_type": "val_epoch", "step": 2, "epoch_end": 1, "online_knn/top1": 50.0}
    resumed = Records(tmp_path, resume_step=3)
    assert resumed.recorded == {2}
    assert read_metrics(tmp_path)[1:] == [{"step": 2, "epoch_end": 1, "online_knn/top1": 50.0}]
    resumed.close()


def test_no_file_is_no_metrics(tmp_path: Path):
    assert read_metrics(tmp_path) == []


def test_tensorboard_gets_the_same_numbers(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    records = Records(tmp_path, resume_step=0, trackers=[TensorBoard(tmp_path / "tb", resume_step=0)])
    records.write(1, {"loss": 0.25}, {"step_time": 0.5})
    records.write_epoch(1, 1, {"online_knn/top1": 75.0})
    records.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert events.Scalars("Train/loss")[0].value == 0.25
    assert events.Scalars("Train/step_time")[0].step == 1
    assert events.Scalars("online_knn/top1")[0].value == 75.0
