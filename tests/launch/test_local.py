"""Processes of one machine: spawned here or by torchrun, the same run; their number may change between attempts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attempts import run_in_processes
from tiny_runs import REPOSITORY, arguments, assert_same_weights, losses, metrics_text, run_tiny, weights, write_tiny

from stica_pv.command_line import IMPORTS
from stica_pv.errors import UsageError
from stica_pv.launch.local import launch
from stica_pv.launch.process_spec import count_gpus, specs_of_machine

TOOL = REPOSITORY / "tools" / "run_net.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PATIENCE_S = 400


def run(*argv: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process, or by a command before it."""
    command = [sys.executable, *before, str(TOOL), *map(str, argv)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env)


@pytest.mark.slow
def test_torchrun_gives_the_run_of_processes_started_here_bit_for_bit(clips_folder: Path, tmp_path: Path):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    for name, before, processes in (("spawn", (), 2), ("torchrun", tuple(TORCHRUN), 1)):
        settings: dict[str, Any] = {"CPU_PROCESSES": processes, "TRAIN__MAX_STEPS": 4}
        done = run("--cfg", cfg, *arguments(clips_folder, tmp_path / name, **settings), before=before)
        assert done.returncode == 0, done.stderr
        assert "process 1 of 2: " in done.stdout
    # exact: the same code with the same shapes, twice
    assert metrics_text(tmp_path / "torchrun") == metrics_text(tmp_path / "spawn")
    assert_same_weights(weights(tmp_path / "torchrun"), weights(tmp_path / "spawn"))


@pytest.mark.slow
def test_the_number_of_processes_may_change_between_two_attempts(clips_folder: Path, tmp_path: Path):
    # A tiny lr: a rounding error grows a thousandfold when this net takes a step. tests/distributed does it in float64.
    settings: dict[str, Any] = {"HEAD__DROPOUT": 0.0, "SOLVER__WARMUP_EPOCHS": 0, "SOLVER__BASE_LR": 1e-8}
    settings |= {"TRAIN__BATCH_SIZE": 6, "SOLVER__MAX_EPOCH": 2}
    for steps, processes in ((1, 2), (3, 1), (4, 3)):
        changed = settings | {"CPU_PROCESSES": processes, "TRAIN__MAX_STEPS": steps}
        run_in_processes(clips_folder, tmp_path / "changing", **changed)
    run_tiny(clips_folder, tmp_path / "one", **settings)
    assert losses(tmp_path / "changing") == pytest.approx(losses(tmp_path / "one"), abs=2e-2)


@pytest.mark.slow
def test_a_spawned_process_that_is_killed_ends_the_run_with_its_number(clips_folder: Path, tmp_path: Path):
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "from stica_pv.distributed import rank\n"
        "from stica_pv.engine import loop\n"
        "step = loop.train_step\n"
        "def die(state, *rest):\n"
        "    if rank() == 1 and state.step == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(state, *rest)\n"
        "loop.train_step = die\n"
    )
    cfg = write_tiny(tmp_path / "tiny.yaml")
    given = arguments(
        clips_folder,
        tmp_path / "run",
        CPU_PROCESSES=2,
        CUSTOM_IMPORTS="['deadly']",
        DIST__HEARTBEAT_TIMEOUT_SECONDS=6.0,
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TOOL), "--cfg", str(cfg), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env)
    assert done.returncode == 1
    assert done.stderr == "failed: process 1 of 2 was killed by SIGKILL\n"
    assert len(losses(tmp_path / "run")) == 2


COMPONENTS = """
from stica_pv.config import CfgNode
from stica_pv.launch.process import run_process
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.registry import ALL
cfg = CfgNode({"CUSTOM_IMPORTS": ["named_module"]})
print(run_process(lambda cfg, device: [r.names() for r in ALL.values()], cfg, ProcessSpec(0, 0, 1, "", False, "")))
"""


def test_a_new_process_has_all_components_whatever_its_job_imports(tmp_path: Path):
    for name in ("named_module", "given_module"):
        (tmp_path / f"{name}.py").write_text(f"from stica_pv.registry import TASKS\nTASKS.named('{name}')(print)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), IMPORTS: "given_module", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMPONENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env)
    assert done.returncode == 0, done.stderr
    for name in ("av_contrastive", "r2plus1d_18", "knn", "folder", "named_module", "given_module"):
        assert f"'{name}'" in done.stdout


def cfg_of(**changes: Any) -> Any:
    from stica_pv.defaults import get_cfg

    cfg = get_cfg()
    for key, value in ({"NUM_GPUS": 0} | changes).items():
        cfg[key] = value
    return cfg


def test_a_machine_s_processes_follow_those_of_the_machines_before_it():
    specs = specs_of_machine(cfg_of(CPU_PROCESSES=3, NUM_SHARDS=4, SHARD_ID=2), "tcp://host:1", "out")
    assert [(spec.rank, spec.local_rank, spec.world_size) for spec in specs] == [
        (6, 0, 12),
        (7, 1, 12),
        (8, 2, 12),
    ]
    assert {spec.init_method for spec in specs} == {"tcp://host:1"}


def test_one_process_on_several_machines_is_a_world_too():
    (spec,) = specs_of_machine(cfg_of(NUM_SHARDS=2, SHARD_ID=1), "tcp://host:1", "")
    assert (spec.rank, spec.world_size) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "method", "message"),
    [
        ({"NUM_SHARDS": 2}, None, "needs --init_method tcp://"),
        ({"NUM_SHARDS": 2, "SHARD_ID": 2}, "tcp://h:1", "0 <= SHARD_ID < NUM_SHARDS"),
        ({"NUM_SHARDS": 2}, "file:///x", "expected tcp://"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any], method: str | None, message: str):
    with pytest.raises(UsageError, match=message):
        specs_of_machine(cfg_of(**changes), method, "")


def test_more_gpus_than_there_are_are_refused():
    with pytest.raises(UsageError, match="NUM_GPUS 99: this machine has"):
        count_gpus(cfg_of(NUM_GPUS=99))


@pytest.mark.parametrize(
    ("changes", "init_method", "message"),
    [
        (
            {"NUM_GPUS": -1},
            None,
            "process 5 has local rank 2, but 2 GPUs are used on this machine: .*--nproc-per-node 2",
        ),
        ({"NUM_SHARDS": 2}, None, "NUM_SHARDS 2 cannot be combined with RANK"),
        ({"SHARD_ID": 1}, None, "SHARD_ID 1 cannot be combined with RANK"),
        ({}, "tcp://host:1", "--init_method tcp://host:1 cannot be combined with RANK"),
    ],
)
def test_what_does_not_fit_the_processes_of_torchrun_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], init_method: str | None, message: str
):
    for name, value in {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("stica_pv.launch.process_spec.torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("stica_pv.launch.local.run_process", lambda *rest: pytest.fail("it was started"))
    with pytest.raises(UsageError, match=message):
        launch(print, cfg_of(**changes), init_method=init_method, log_to_file=False)
