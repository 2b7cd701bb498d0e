"""Runs as processes: stopped by signals, killed, spread over processes; none of it changes a number."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import (
    REPOSITORY,
    arguments,
    assert_same_weights,
    losses,
    metric,
    metrics_text,
    run_tiny,
    tiny_cfg,
    weights,
    write_tiny,
)

from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import create_task
from stica_pv.engine.checkpoint import checkpoint_path

ENDLESS: dict[str, Any] = {"SOLVER__MAX_EPOCH": 100_000}
PATIENCE_S = 300


def start(
    cfg: Path, clips: Path, output: Path, env: dict[str, str] | None = None, **overrides: Any
) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPOSITORY / "tools" / "run_net.py"), "--cfg", str(cfg)]
    return subprocess.Popen(
        [*command, *arguments(clips, output, **overrides)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


def wait_for_steps(process: subprocess.Popen[str], output: Path, steps: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while not (output / "metrics.jsonl").is_file() or metrics_text(output).count("\n") < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the run does not get going"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cfg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("settings") / "tiny.yaml")


def assert_goes_on_as_if_nothing_had_been(clips: Path, output: Path, tmp_path: Path) -> None:
    steps = max(metrics_text(output).count("\n"), 5) + 2
    run_tiny(clips, output, TRAIN__MAX_STEPS=steps, **ENDLESS)
    run_tiny(clips, tmp_path / "straight", TRAIN__MAX_STEPS=steps, **ENDLESS)
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(output) == metrics_text(tmp_path / "straight")
    assert_same_weights(weights(output), weights(tmp_path / "straight"))


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_run_saves_and_the_same_command_continues(
    cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    output = tmp_path / "run"
    process = start(cfg_file, clips_folder, output, DATA_LOADER__NUM_WORKERS=1, **ENDLESS)
    wait_for_steps(process, output, 2)
    os.killpg(process.pid, signal.SIGTERM)  # as Slurm does, to loader workers too
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert err.startswith("stopped: training was interrupted after step ")
    assert err.count("\n") == 1
    done = metrics_text(output).count("\n")
    assert f"stopped by a signal after step {done}" in out
    assert (output / "checkpoints" / f"step_{done:08d}.pyth").is_file()
    assert_goes_on_as_if_nothing_had_been(clips_folder, output, tmp_path)


def test_a_killed_run_continues_from_its_last_checkpoint(cfg_file: Path, clips_folder: Path, tmp_path: Path):
    output = tmp_path / "run"
    process = start(cfg_file, clips_folder, output, **ENDLESS)
    wait_for_steps(process, output, 4)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert_goes_on_as_if_nothing_had_been(clips_folder, output, tmp_path)


def as_torchrun_sets_them() -> list[dict[str, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    return [{**rendezvous, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]


def test_two_processes_give_the_losses_gradients_and_weights_of_one(cfg_file: Path, clips_folder: Path, tmp_path: Path):
    # Two steps, full batches and a small lr: through this net a rounding error grows a thousandfold in a step.
    settings: dict[str, Any] = {"HEAD__DROPOUT": 0.0, "MODEL__CHANNELS_LAST": False, "SOLVER__WARMUP_EPOCHS": 0}
    settings |= {"SOLVER__BASE_LR": 1e-4, "TRAIN__BATCH_SIZE": 12}
    ranks = as_torchrun_sets_them()
    processes = [start(cfg_file, clips_folder, tmp_path / "two", rank, **settings) for rank in ranks]
    run_tiny(clips_folder, tmp_path / "one", **settings)
    reports = [process.communicate(timeout=PATIENCE_S) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], reports
    assert "step 2/2" in reports[0][0]
    assert reports[1][0] == ""  # only the first process speaks
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert metric(tmp_path / "two", "grad_norm") == pytest.approx(metric(tmp_path / "one", "grad_norm"), rel=2e-2)
    before = create_task(tiny_cfg(clips_folder, tmp_path, **settings)).state_dict()
    one, two = (load_checkpoint(checkpoint_path(tmp_path / name, 1))["model"] for name in ("one", "two"))
    for name, value in before.items():
        moved = float((one[name] - value).float().norm())
        assert float((one[name] - two[name]).float().norm()) <= 1e-2 * moved + 1e-6, name
