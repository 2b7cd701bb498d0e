"""Processes that do not connect, die or hang are named by the others, which end within a bounded time."""

import errno
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from attempts import CONTEXT
from sockets import free_port, listening

from stica_pv.config import CfgNode
from stica_pv.defaults import get_cfg
from stica_pv.distributed import HEARTBEAT, barrier, is_main, rank
from stica_pv.errors import RunFailed, RunStopped, UsageError
from stica_pv.launch import process, rendezvous, watchdog
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.launch.watchdog import is_echo, where

PATIENCE_S = 300
RunFunction = Callable[[CfgNode, torch.device], object]


def enter(
    number: int, world: int, port: int, folder: str, job: RunFunction, overrides: dict[str, float], *, token: str = ""
) -> None:
    """Runs a process of a run; writes its failure reason as `said.<rank>`, and how it ended as `end.<rank>`."""
    torch.set_num_threads(1)
    watchdog.EXIT_GRACE_S = 10.0
    process.REPORT_WAIT_S = 2 * PATIENCE_S  # only processes of an environment wait so long for the others
    cfg = get_cfg()
    for key, value in (
        {"RENDEZVOUS_TIMEOUT_MINUTES": 1.0, "HEARTBEAT_TIMEOUT_SECONDS": 6.0, "STEP_TIMEOUT_MINUTES": 1.0} | overrides
    ).items():
        cfg.DIST[key] = value
    cfg.OUTPUT_DIR = folder
    spec = ProcessSpec(
        number, number, world, f"tcp://127.0.0.1:{port}", False, folder, one_machine=bool(token), token=token
    )
    try:
        end = str(process.run_process(job, cfg, spec, on_failure=lambda reason: said(folder, number, reason)))
    except (UsageError, RunFailed, RunStopped, RuntimeError) as error:
        end = f"{type(error).__name__}: {error}"
    with (Path(folder) / f"end.{number}").open("a") as file:
        file.write(end)


def said(folder: str, number: int, reason: str) -> None:
    (Path(folder) / f"said.{number}").write_text(reason)


def start(
    job: RunFunction,
    folder: Path,
    *,
    world: int = 3,
    ranks: list[int] | None = None,
    token: str = "",
    **overrides: float,
) -> dict[int, BaseProcess]:
    """Starts processes as on several machines; with a token, as on one."""
    port = free_port()
    started = {}
    for number in range(world) if ranks is None else ranks:
        given = number, world, port, str(folder), job, overrides
        started[number] = CONTEXT.Process(target=enter, args=given, kwargs={"token": token})
        started[number].start()
    return started


def ends(started: dict[int, BaseProcess], folder: Path) -> list[str]:
    """Returns how each ended, as a message or its exit code."""
    until = time.monotonic() + PATIENCE_S
    for one in started.values():
        one.join(max(0.0, until - time.monotonic()))
    alive = [number for number, one in started.items() if one.exitcode is None]
    for one in started.values():
        one.kill()
    assert not alive, f"processes {alive} did not end"
    paths = [folder / f"end.{number}" for number in started]
    return [
        path.read_text() if path.exists() else str(one.exitcode)
        for path, one in zip(paths, started.values(), strict=True)
    ]


def listen_while_a_stranger_talks(cfg: CfgNode, device: torch.device) -> str:
    """Lets a stranger write what would end a run if keys had no token."""
    barrier()
    ((host, port),) = rendezvous._stores
    if not is_main():
        stranger = torch.distributed.TCPStore(host, port, None, False, timedelta(seconds=5), False)
        for prefix in ("stica_pv/0/1", "stica_pv//0/1"):
            stranger.compare_set(f"{prefix}/failure", "", "the end")
            stranger.set(f"{prefix}/heartbeat/0", json.dumps([0.0, 1e9, 7, "nowhere", "asleep"]))
    time.sleep(2.5 * watchdog.HEARTBEAT_S)
    barrier()
    return " ".join(listening([os.getpid()]))


def end_well(cfg: CfgNode, device: torch.device) -> str:
    barrier()
    if not is_main():
        time.sleep(0.3)  # the main process, whose store the others need, is done first
    return f"done {rank()}"


def stop(cfg: CfgNode, device: torch.device) -> None:
    barrier()
    raise RunStopped("by a signal")


def fail(cfg: CfgNode, device: torch.device) -> None:
    HEARTBEAT.record(7)
    if rank() == 1:
        raise ValueError("the\ndisk is broken")
    barrier()


def fail_while_others_are_busy(cfg: CfgNode, device: torch.device) -> None:
    if rank() == 1:
        raise UsageError("wrong")
    time.sleep(PATIENCE_S)


def die(cfg: CfgNode, device: torch.device) -> None:
    HEARTBEAT.record(4)
    time.sleep(2.5)
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    barrier()


def die_first(cfg: CfgNode, device: torch.device) -> None:
    if is_main():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(PATIENCE_S)


def freeze(cfg: CfgNode, device: torch.device) -> None:
    if rank() == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    barrier()


def hang(cfg: CfgNode, device: torch.device) -> None:
    HEARTBEAT.record(3)
    if rank() == 2:
        read_a_file_for_ever()
    barrier()


def read_a_file_for_ever() -> None:
    time.sleep(PATIENCE_S)


def test_processes_that_end_well_wait_for_each_other(tmp_path: Path):
    assert ends(start(end_well, tmp_path), tmp_path) == ["done 0", "done 1", "done 2"]
    log = (tmp_path / "stdout.log").read_text()
    for number in range(3):
        assert f"process {number} of 3: {socket.gethostname()}, process id " in log
        name = f"stdout.rank{number}.log" if number else "stdout.log"
        assert f"process {number} of 3: " in (tmp_path / name).read_text()
    assert not (tmp_path / ".token").exists()
    assert "stica_pv from " in log
    assert not list(tmp_path.glob("said.*"))


@pytest.mark.parametrize("token", ["secret", ""])
def test_a_stranger_ends_nothing_and_on_one_machine_all_listens_at_loopback(tmp_path: Path, token: str):
    first, second = ends(start(listen_while_a_stranger_talks, tmp_path, world=2, token=token), tmp_path)
    assert len(first.split()) == 2  # of the store and of gloo
    assert len(second.split()) == 1
    if token:
        assert all(address.startswith("127.0.0.1:") for address in (*first.split(), *second.split()))


def test_a_stopped_run_is_no_failure(tmp_path: Path):
    assert ends(start(stop, tmp_path), tmp_path) == ["RunStopped: by a signal"] * 3
    assert not list(tmp_path.glob("said.*"))


def test_the_error_of_one_is_reported_by_all(tmp_path: Path):
    found = ends(start(fail, tmp_path), tmp_path)
    reason = f"process 1 of 3 on {socket.gethostname()}: ValueError: the disk is broken"
    assert found[1] == "1"  # its own error went through
    assert found[0] == found[2] == f"PeerFailed: {reason}"
    assert {path.read_text() for path in tmp_path.glob("said.*")} == {reason}


def test_a_missing_first_process_is_reported_by_the_others(tmp_path: Path):
    (end,) = ends(start(end_well, tmp_path, ranks=[1], RENDEZVOUS_TIMEOUT_MINUTES=0.02), tmp_path)
    assert end.startswith("RunFailed: process 1 of 3 did not reach process 0 within 1 s at 127.0.0.1:")


def check_busy(started: dict[int, BaseProcess], folder: Path) -> None:
    """A process that waits for nobody is ended too."""
    found = ends(started, folder)
    assert found == [str(watchdog.EXIT_CODE), "UsageError: wrong", str(watchdog.EXIT_CODE)]
    assert "UsageError: wrong" in (folder / "said.0").read_text()


def check_killed(started: dict[int, BaseProcess], folder: Path) -> None:
    found = ends(started, folder)
    assert found[1] == str(-signal.SIGKILL)
    reasons = [(folder / f"said.{number}").read_text() for number in (0, 2)]
    assert reasons[0] == reasons[1]
    assert "process 1 of 3 on " in reasons[0]
    assert "no heartbeat for 6 s, the last one in step 4" in reasons[0]


def check_first_killed(started: dict[int, BaseProcess], folder: Path) -> None:
    found = ends(started, folder)
    assert found == [str(-signal.SIGKILL), str(watchdog.EXIT_CODE), str(watchdog.EXIT_CODE)]
    assert "process 0 has ended" in (folder / "said.1").read_text()


def check_frozen(started: dict[int, BaseProcess], folder: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not (folder / "said.0").exists() and time.monotonic() < until:
        time.sleep(0.05)
    started.pop(2).kill()
    for end in ends(started, folder):
        assert end == str(watchdog.EXIT_CODE) or "process 2 of 3" in end
    assert "process 2 of 3 on " in (folder / "said.0").read_text()
    assert "no heartbeat" in (folder / "said.0").read_text()


def check_hanging(started: dict[int, BaseProcess], folder: Path) -> None:
    """It is named with the line it is in."""
    found = ends(started, folder)
    assert str(watchdog.EXIT_CODE) in found
    reasons = [path.read_text() for path in folder.glob("said.*")]
    assert reasons
    for reason in reasons:
        assert "no step was finished for 3 s; process 2 in step 3, " in reason
        assert "read_a_file_for_ever; process 0, 1 in step 3, stica_pv.distributed.environment:" in reason


def check_absent(started: dict[int, BaseProcess], folder: Path) -> None:
    """Missing processes are named, with what to check."""
    for end in ends(started, folder):
        assert "2 of 4 processes (ranks 1, 3) have not connected to 127.0.0.1:" in end
        assert "is each SHARD_ID used once, is the address reachable" in end


def start_twins(folder: Path) -> dict[int, BaseProcess]:
    run = (3, free_port(), str(folder), end_well)
    given = [(0, *run, {"RENDEZVOUS_TIMEOUT_MINUTES": 0.1}), (1, *run, {}), (1, *run, {})]
    started = {number: CONTEXT.Process(target=enter, args=args) for number, args in enumerate(given)}
    for one in started.values():
        one.start()
    return started


def check_twins(started: dict[int, BaseProcess], folder: Path) -> None:
    for one in started.values():
        one.join(PATIENCE_S)
    assert "UsageError: process 1 of 3 connected twice: is each SHARD_ID used once" in (folder / "end.1").read_text()


Start = Callable[[Path], dict[int, BaseProcess]]
Check = Callable[[dict[int, BaseProcess], Path], None]
KILLED: dict[str, tuple[Start, Check]] = {
    "busy": (partial(start, fail_while_others_are_busy), check_busy),
    "killed": (partial(start, die), check_killed),
    "first killed": (partial(start, die_first), check_first_killed),
    "absent": (partial(start, end_well, world=4, ranks=[0, 2], RENDEZVOUS_TIMEOUT_MINUTES=0.1), check_absent),
}
STUCK: dict[str, tuple[Start, Check]] = {
    "frozen": (partial(start, freeze), check_frozen),
    "hanging": (partial(start, hang, STEP_TIMEOUT_MINUTES=0.05), check_hanging),
    "twins": (start_twins, check_twins),
}


@pytest.mark.slow
@pytest.mark.parametrize("runs", [KILLED, STUCK], ids=["killed", "stuck"])
def test_a_process_that_does_not_connect_dies_or_hangs_is_named_by_the_others(
    runs: dict[str, tuple[Start, Check]], tmp_path: Path
):
    """Several runs at a time, since each of them mostly waits."""
    started = {}
    try:
        for name, (begin, _) in runs.items():
            (tmp_path / name).mkdir()
            started[name] = begin(tmp_path / name)
        for name, (_, check) in runs.items():
            check(started[name], tmp_path / name)
    finally:
        for processes in started.values():
            for one in processes.values():
                one.kill()


def wait_with_a_full_disk(folder: str) -> None:
    watchdog.HEARTBEAT_S = watchdog.EXIT_GRACE_S = 0.05

    def on_failure(reason: str) -> None:
        (Path(folder) / "said").write_text(reason)
        raise OSError(errno.ENOSPC, "No space left on device")

    spec = ProcessSpec(0, 0, 1, "tcp://127.0.0.1:1", False, "")
    with watchdog.Watchdog(torch.distributed.HashStore(), spec, watchdog.Limits(60.0, 60.0, 60.0), on_failure) as watch:
        watch.report("it hangs")
        time.sleep(PATIENCE_S)


def test_a_process_that_cannot_write_is_ended_nevertheless(tmp_path: Path):
    process = CONTEXT.Process(target=wait_with_a_full_disk, args=(str(tmp_path),))
    process.start()
    process.join(PATIENCE_S)
    code = process.exitcode
    process.kill()
    assert code == watchdog.EXIT_CODE
    assert (tmp_path / "said").read_text().endswith("it hangs")


@pytest.mark.parametrize(
    ("error", "echo"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:3"), True),
        (RuntimeError("NCCL communicator was aborted on rank 3"), True),
        (torch.distributed.DistNetworkError("reset"), True),
        (RuntimeError("CUDA out of memory"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_the_echo_of_another_end_is_distinguished_from_an_error(error: Exception, echo: bool):
    assert is_echo(error) is echo


def test_where_names_the_line_of_another_thread():
    HEARTBEAT.record(1)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert re.fullmatch(r"threading\.py:\d+ wait", where(thread.ident or 0))
    stop.set()
    thread.join()
    assert where(thread.ident or 0) == "its end"
