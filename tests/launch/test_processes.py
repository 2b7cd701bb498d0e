"""Two processes that a command has started: where they listen, how a signal ends them, and what they leave: nothing."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from sockets import family_of, listening
from tiny_runs import REPOSITORY, arguments, metrics_text, write_tiny

from stica_pv.launch import processes
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.launch.processes import End, _Started
from stica_pv.launch.rendezvous import declare_failure, open_local_store
from stica_pv.launch.watchdog import EXIT_CODE

PATIENCE_S = 90
PASSING = ("pymp-", "pytorch-errorfile-", "stica_pv-")

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for TMPDIR, short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


def command(clips: Path, output: Path, folder: Path, processes: int) -> list[str]:
    settings = {"SOLVER__MAX_EPOCH": 100_000, "DATA_LOADER__NUM_WORKERS": 1, "CPU_PROCESSES": processes}
    tool = REPOSITORY / "tools" / "run_net.py"
    cfg = write_tiny(folder / "tiny.yaml")
    return [sys.executable, str(tool), "--cfg", str(cfg), *arguments(clips, output, **settings)]


def await_that(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def has_steps(output: Path) -> bool:
    return (output / "metrics.jsonl").is_file() and metrics_text(output).count("\n") >= 2


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def assert_nothing_is_left(pids: list[int], temporary: Path) -> None:
    await_that(lambda: not any(map(is_alive, pids)), f"processes are left of {pids}")
    assert [path.name for path in temporary.iterdir() if path.name.startswith(PASSING)] == []


def assert_last_step_is_saved(output: Path) -> None:
    assert (output / "checkpoints" / f"step_{metrics_text(output).count(chr(10)):08d}.pyth").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "number"), [(2, signal.SIGINT), (2, signal.SIGTERM), (1, signal.SIGHUP)])
def test_a_signal_to_the_command_saves_and_ends_all_and_they_listened_at_loopback(
    clips_folder: Path, tmp_path: Path, temporary: Path, processes: int, number: signal.Signals
):
    output = tmp_path / "run"
    env = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    given = command(clips_folder, output, tmp_path, processes)
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as run:
        await_that(lambda: has_steps(output) or run.poll() is not None, "the run does not get going")
        assert run.poll() is None, run.communicate()
        pids = family_of(run.pid)
        found = listening(pids)
        assert len(found) == (3 if processes == 2 else 0)  # the store, and gloo of both
        assert all(address.startswith("127.0.0.1:") for address in found)
        os.kill(run.pid, number)
        out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 128 + number
    assert re.fullmatch(r"stopped: training was interrupted after step \d+; the same command continues it\n", err)
    assert "stopped by a signal after step" in out
    assert_last_step_is_saved(output)
    assert_nothing_is_left(pids, temporary)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_terminal_that_is_closed_ends_the_run_with_its_last_step_saved(
    clips_folder: Path, tmp_path: Path, temporary: Path, processes: int
):
    output = tmp_path / "run"
    given = command(clips_folder, output, tmp_path, processes)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TMPDIR=str(temporary), OMP_NUM_THREADS="1")
        os.execv(given[0], given)
    await_that(lambda: has_steps(output), "the run does not get going")
    pids = family_of(pid)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert_last_step_is_saved(output)
    assert_nothing_is_left(pids, temporary)


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_run_and_leaves_nothing(clips_folder: Path, tmp_path: Path, temporary: Path):
    output = tmp_path / "run"
    env = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    given = command(clips_folder, output, tmp_path, 2)
    with subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as run:
        await_that(lambda: has_steps(output), "the run does not get going")
        pids = family_of(run.pid)
        children = map(int, Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split())
        ranks = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(ranks[-1], signal.SIGKILL)
        _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert err.splitlines()[-1].startswith("failed: process ")
    assert err.splitlines()[-1].endswith(" of 2 was killed by SIGKILL")
    assert_nothing_is_left(pids, temporary)


@pytest.mark.parametrize(
    ("code", "reason", "end"),
    [
        (EXIT_CODE, "process 1 of 2 hangs", End("PeerFailed", "process 1 of 2 hangs")),
        (EXIT_CODE, "", End("RunFailed", f"process 0 of 2 exited with code {EXIT_CODE}")),
        (-signal.SIGKILL, "process 1 of 2 hangs", End("RunFailed", "process 0 of 2 was killed by SIGKILL", 9)),
    ],
)
def test_a_process_that_the_watchdog_ended_leaves_the_reason_in_the_store(code: int, reason: str, end: End):
    store, its_spec = open_local_store(0), ProcessSpec(0, 0, 2, "", False, "", one_machine=True, token="of the run")
    if reason:
        declare_failure(store, its_spec, reason)
    started = _Started.__new__(_Started)
    started.spec, (started._pipe, theirs) = its_spec, Pipe(duplex=False)
    theirs.close()
    started.process = SimpleNamespace(join=lambda: None, exitcode=code)
    assert started.end(store) == end


def test_a_process_whose_command_was_killed_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_outcome", lambda *given: End("RunStopped", "by a signal", signal.SIGTERM))
    ours, theirs = Pipe(duplex=False)
    ours.close()
    with pytest.raises(SystemExit, match="1"):
        processes._run(print, {}, None, theirs, 0)
