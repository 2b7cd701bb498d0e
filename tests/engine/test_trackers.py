"""Trackers log each number once over all attempts of a run; tested with stand-ins and the libraries."""

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from made_trackers import make_mlflow, make_wandb

from stica_pv.config import CfgNode
from stica_pv.defaults import get_cfg
from stica_pv.engine import Records
from stica_pv.engine.trackers import check_trackers, trackers_from_config
from stica_pv.engine.trackers.tracker import NAME
from stica_pv.errors import UsageError
from stica_pv.registry import TRACKERS

MAKE = {"WANDB": make_wandb, "MLFLOW": make_mlflow}


def cfg_of(service: str, **changes: Any) -> CfgNode:
    cfg = get_cfg()
    cfg[service].ENABLE = True
    cfg.WANDB.MODE = "offline"
    for key, value in changes.items():
        cfg[service][key] = value
    return cfg


def record_attempt(cfg: CfgNode, folder: Path, steps: range, resume: int) -> None:
    """Runs one attempt that logs each step, and at step 2 the end of an epoch."""
    records = Records(folder, resume_step=resume, trackers=trackers_from_config(cfg, folder, resume))
    for step in steps:
        records.write(step, {"loss": 1 / step}, {"step_time": 0.5})
        if step == 2 and step not in records.recorded:
            records.write_epoch(2, 1, {"online_knn/R@1": 50.0})
    records.close()


@pytest.mark.parametrize("service", MAKE)
def test_a_resumed_run_continues_the_same_curve_and_logs_no_point_twice(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recorded = MAKE[service](monkeypatch)
    record_attempt(cfg_of(service), tmp_path / "run", range(1, 5), 0)
    record_attempt(cfg_of(service), tmp_path / "run", range(2, 7), 1)  # the last checkpoint was that of step 1
    assert recorded.points["Train/loss"] == [(step, 1 / step) for step in range(1, 7)]
    assert [step for step, _ in recorded.points["Train/step_time"]] == list(range(1, 7))
    assert recorded.points["online_knn/R_1" if service == "MLFLOW" else "online_knn/R@1"] == [(2, 50.0)]
    assert [begun["id"] for begun in recorded.begun] == [None, "run7"]
    assert recorded.ended == 2
    assert recorded.begun[0]["name"] == "run"
    settings = recorded.begun[0]["config"] if service == "WANDB" else recorded.begun[0]
    assert str(settings["SOLVER.BASE_LR"]) == "0.01"


@pytest.mark.parametrize("service", MAKE)
def test_an_epoch_whose_end_an_earlier_attempt_did_not_reach_is_logged(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recorded = MAKE[service](monkeypatch)
    records = Records(tmp_path, resume_step=0, trackers=trackers_from_config(cfg_of(service), tmp_path, 0))
    records.write(2, {"loss": 0.5}, {})
    records.close()  # ended between the step and what is found at the end of its epoch
    record_attempt(cfg_of(service), tmp_path, range(1, 3), 0)
    assert recorded.points["Train/loss"] == [(2, 0.5), (1, 1.0)]
    assert len([name for name in recorded.points if name.startswith("online_knn")]) == 1


@pytest.mark.parametrize("service", ["TENSORBOARD", "WANDB", "MLFLOW"])
def test_a_library_that_is_not_there_is_named_in_one_line(service: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=rf"{service}\.ENABLE needs the extra: pip install 'stica_pv\[{service.lower()}"
    ):
        check_trackers(cfg_of(service))
    check_trackers(get_cfg())


@pytest.mark.parametrize(
    ("service", "changes", "message"),
    [
        ("WANDB", {"MODE": "online"}, r"W&B cannot start \(no API key\): run `wandb login`, or set WANDB.MODE offline"),
        ("MLFLOW", {"TRACKING_URI": "http://nowhere"}, r"http://nowhere cannot be used \(no answer\): see MLFLOW"),
    ],
)
def test_a_service_that_does_not_begin_ends_the_run_at_its_start(
    service: str, changes: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    MAKE[service](monkeypatch)
    with pytest.raises(UsageError, match=message):
        trackers_from_config(cfg_of(service, **changes), tmp_path, 0)
    assert not (tmp_path / NAME).exists()


def test_a_server_that_goes_away_is_reported_once_and_the_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    recorded = make_mlflow(monkeypatch)
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    (tracker,) = trackers_from_config(cfg_of("MLFLOW"), tmp_path, 0)
    for step, value in ((1, 1.0), (2, 13.0), (3, 3.0)):
        tracker.log(step, {"loss": value})
    tracker.close()
    assert recorded.points == {"loss": [(1, 1.0)]}
    assert recorded.ended == 0
    assert [record.message for record in caplog.records] == [
        "MLflow does not answer; nothing is logged there from step 2 on: gone away"
    ]


@pytest.mark.slow
def test_mlflow_itself_holds_one_curve_after_a_resume(tmp_path: Path):
    tracking = pytest.importorskip("mlflow.tracking")
    record_attempt(cfg_of("MLFLOW"), tmp_path / "run", range(1, 5), 0)
    record_attempt(cfg_of("MLFLOW"), tmp_path / "run", range(2, 7), 1)
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    run = json.loads((tmp_path / "run" / NAME).read_text())["mlflow"]
    history = client.get_metric_history(run, "Train/loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 7)]
    assert client.get_run(run).data.params["SOLVER.BASE_LR"] == "0.01"
    assert client.get_run(run).info.status == "FINISHED"


@pytest.mark.slow
def test_wandb_itself_takes_both_attempts_offline_as_one_run(tmp_path: Path):
    pytest.importorskip("wandb")
    record_attempt(cfg_of("WANDB"), tmp_path / "run", range(1, 5), 0)
    record_attempt(cfg_of("WANDB"), tmp_path / "run", range(2, 7), 1)
    run = json.loads((tmp_path / "run" / NAME).read_text())["wandb"]
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert [path.name for path in files] == [f"run-{run}.wandb"] * 2


class RecordingTracker:
    """Keeps the numbers that it receives."""

    takes_back = False

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config, self.points, self.closed = folder, config, [], False

    def log(self, step: int, numbers: dict[str, float]) -> None:
        self.points.append((step, dict(numbers)))

    def close(self) -> None:
        self.closed = True


def test_a_tracker_of_another_module_receives_the_numbers_and_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(TRACKERS, "_obj_map", {})
    built: list[RecordingTracker] = []

    @TRACKERS.named("recording")
    def create(folder: Path, config: dict[str, Any]) -> RecordingTracker:
        built.append(RecordingTracker(folder, config))
        return built[0]

    cfg = get_cfg()
    cfg.TRACKERS = ["recording"]
    record_attempt(cfg, tmp_path, range(1, 3), 0)
    (tracker,) = built
    assert tracker.folder == tmp_path
    assert tracker.config["SOLVER.BASE_LR"] == 0.01
    assert [step for step, numbers in tracker.points if "Train/loss" in numbers] == [1, 2]
    assert tracker.closed


def test_a_tracker_that_is_not_registered_is_named():
    cfg = get_cfg()
    cfg.TRACKERS = ["absent"]
    with pytest.raises(UsageError, match="no tracker is called 'absent'; there are none"):
        check_trackers(cfg)
