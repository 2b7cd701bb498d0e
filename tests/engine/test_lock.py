"""Two runs never share a folder, and a dead one never keeps it."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stica_pv.engine import lock
from stica_pv.engine.lock import NAME, STALE_S, RunLock
from stica_pv.errors import UsageError


def leave_lock(folder: Path, *, host: str = "elsewhere", pid: int = 1, job: str = "", attempt: str = "0") -> Path:
    path = folder / NAME
    path.write_text(json.dumps({"host": host, "pid": pid, "job": job, "life": attempt}))
    return path


def test_lock_is_there_while_held_and_gone_after(tmp_path: Path):
    with RunLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert not (tmp_path / NAME).exists()


def test_a_living_holder_elsewhere_is_named_and_its_lock_left_alone(tmp_path: Path):
    path = leave_lock(tmp_path, pid=4711, job="12")
    with pytest.raises(UsageError, match=r"in use by process 4711 on elsewhere \(job 12\), last heartbeat 0 s ago"):
        RunLock(tmp_path).__enter__()
    assert json.loads(path.read_text())["pid"] == 4711


def test_a_holder_whose_heart_stopped_is_replaced(tmp_path: Path):
    path = leave_lock(tmp_path)
    long_ago = time.time() - STALE_S - 1
    os.utime(path, (long_ago, long_ago))
    with RunLock(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_process_that_ended_on_this_host_is_replaced_at_once(tmp_path: Path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leave_lock(tmp_path, host=lock.socket.gethostname(), pid=ended.pid)
    with RunLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_living_process_on_this_host_is_refused(tmp_path: Path):
    leave_lock(tmp_path, host=lock.socket.gethostname(), pid=os.getppid())
    with pytest.raises(UsageError, match="is in use"):
        RunLock(tmp_path).__enter__()


def test_the_next_attempt_of_a_slurm_job_takes_its_lock_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    leave_lock(tmp_path, job="77")
    with RunLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["life"] == "1"


def test_two_runs_in_the_same_attempt_of_a_slurm_job_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    leave_lock(tmp_path, job="77")
    with pytest.raises(UsageError, match=r"in use by process 1 on elsewhere \(job 77\)"):
        RunLock(tmp_path).__enter__()


ROBBED = """
import sys, time
from pathlib import Path
from stica_pv.engine import lock
lock.HEARTBEAT_S = 0.01
with lock.RunLock(Path(sys.argv[1])):
    time.sleep(900)
"""


def test_a_process_whose_lock_was_taken_ends(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", ROBBED, str(tmp_path)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not (tmp_path / NAME).exists() and time.monotonic() < end:
        time.sleep(0.01)
    leave_lock(tmp_path, pid=99)
    assert process.wait(300) == lock.ROBBED
    assert json.loads((tmp_path / NAME).read_text())["pid"] == 99


def test_of_two_that_take_a_stale_lock_over_the_later_gives_the_new_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other has replaced the lock between the check and its removal."""
    path = leave_lock(tmp_path)
    late, check = RunLock(tmp_path), lock.check_free

    def clip_format(folder: Path, name: str = NAME) -> None:
        if name == NAME:
            leave_lock(tmp_path, pid=4711)  # a new one, and alive
        else:
            check(folder, name)

    monkeypatch.setattr(lock, "check_free", clip_format)
    with pytest.raises(UsageError, match="in use by process 4711"):
        late.__enter__()
    assert json.loads(path.read_text())["pid"] == 4711
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_cannot_be_read_may_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    leave_lock(tmp_path)

    def fail(self: Path, **settings: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(UsageError, match=r"run\.lock cannot be read \(Input/output error\).*try again"):
        RunLock(tmp_path).__enter__()
    assert (tmp_path / NAME).exists()


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_lock_cut_off_in_writing_does_not_block(tmp_path: Path, content: str):
    (tmp_path / NAME).write_text(content)
    with RunLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    with RunLock(tmp_path):
        os.utime(tmp_path / NAME, (0, 0))
        deadline = time.monotonic() + 300
        while (tmp_path / NAME).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / NAME).stat().st_mtime > 0


@pytest.mark.parametrize("broken", ["utime", "read_lock"])
def test_the_heartbeat_continues_when_the_file_system_does_not_answer_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
):
    where = lock.os if broken == "utime" else lock
    original, failed = getattr(where, broken), threading.Event()

    def fail_once(path: Path, *rest: object) -> object:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.ESTALE, "Stale file handle")
        return original(path, *rest)

    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(where, broken, fail_once)
    with RunLock(tmp_path) as held:
        assert failed.wait(300)
        before = (tmp_path / NAME).stat().st_mtime_ns
        deadline = time.monotonic() + 300
        while (tmp_path / NAME).stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / NAME).stat().st_mtime_ns > before
        assert held._thread.is_alive()
