import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_runs import metrics_text, run_tiny, tiny_cfg

from stica_pv.engine.profiling import FOLDER, WARM_UP, StepProfile, next_recorded
from stica_pv.workflows.run import run


def take_steps(folder: Path, record: int, *, count: int, start: int = 0) -> None:
    with StepProfile(folder, record, torch.device("cpu")) as profile:
        numbers = iter(range(count))
        while (number := next_recorded(numbers)) is not None:
            torch.ones(64, 64) @ torch.full((64, 64), float(number))
            profile.after_step(start + number + 1)


def test_the_trace_holds_the_asked_steps_and_the_log_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    take_steps(tmp_path, 3, count=10, start=100)
    (path,) = (tmp_path / FOLDER).iterdir()
    assert path.name == f"steps_{101 + WARM_UP}-{103 + WARM_UP}.json"
    names = [event.get("name", "") for event in json.loads(path.read_text())["traceEvents"]]
    assert len([name for name in names if name == "aten::mm"]) == 3
    (record,) = [record for record in caplog.records if "profile of 3 steps" in record.getMessage()]
    head, columns, *rows, trace = record.getMessage().splitlines()
    assert "data wait" in head
    assert columns.split() == ["operation", "(CPU,", "own", "time)", "calls", "ms/step", "share"]
    assert "aten::mm" in [row.split()[0] for row in rows]
    assert not [row for row in rows if "wait for" in row or "ProfilerStep" in row]
    assert len([name for name in names if name == "wait for a batch"]) == 3
    assert str(path) in trace


def test_a_run_on_the_cpu_of_a_machine_with_gpus_is_profiled_on_its_cpu(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("the GPU is not used"))
    take_steps(tmp_path, 1, count=4)
    assert "operation (CPU, own time)" in caplog.text


def test_a_run_that_ends_early_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    take_steps(tmp_path, 5, count=4)
    assert "ended 3 steps before its trace was complete" in caplog.text
    assert not (tmp_path / FOLDER).exists()


def test_without_steps_nothing_is_recorded(tmp_path: Path):
    take_steps(tmp_path, 0, count=4)
    assert list(tmp_path.iterdir()) == []


def test_the_wait_for_batches_is_its_share_of_the_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    def slow() -> Iterator[int]:
        for number in range(5):
            time.sleep(0.05)
            yield number

    with StepProfile(tmp_path, 2, torch.device("cpu")) as profile:
        numbers = slow()
        while (number := next_recorded(numbers)) is not None:
            profile.after_step(number + 1)
    (share,) = re.findall(r"data wait (\d+)%", caplog.text)
    assert int(share) > 0


@pytest.mark.slow
def test_a_profiled_run_gives_the_same_numbers_and_goes_on_to_its_end(clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path / "plain")
    run(tiny_cfg(clips_folder, tmp_path / "profiled"), torch.device("cpu"), profile_steps=2)
    # exact: the same code with the same shapes, twice
    assert metrics_text(tmp_path / "profiled") == metrics_text(tmp_path / "plain")
    assert [path.name for path in (tmp_path / "profiled" / FOLDER).iterdir()] == ["steps_3-4.json"]
