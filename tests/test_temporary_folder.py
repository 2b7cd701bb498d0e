"""A killed process leaves its temporary folders, and the next start removes them and nothing else."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from stica_pv.temporary_folder import LOCK, PREFIX, temporary_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die_within(parent: Path) -> None:
    with temporary_folder(parent, ".data.") as folder:
        (folder / "half").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_has_left_is_removed_at_the_next_start(tmp_path: Path):
    process = multiprocessing.get_context("fork").Process(target=die_within, args=(tmp_path,))
    process.start()
    process.join()
    (left,) = names(tmp_path)
    with temporary_folder(tmp_path, ".data.") as folder:
        assert left != folder.name
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []


def test_what_is_in_use_of_another_machine_or_not_ours_stays(tmp_path: Path):
    elsewhere, theirs = tmp_path / ".data.elsewhere", tmp_path / ".data.theirs"
    for folder in (elsewhere, theirs):
        folder.mkdir()
    (elsewhere / LOCK).write_text("another host")
    (theirs / "precious").touch()
    (tmp_path / ".data.file").touch()
    with temporary_folder(tmp_path, ".data.") as used, temporary_folder(tmp_path, ".data.") as second:
        assert used.is_dir()
        assert second.is_dir()
    assert names(tmp_path) == [".data.elsewhere", ".data.file", ".data.theirs"]


def test_a_folder_can_be_found_locked_only(tmp_path: Path):
    with temporary_folder(tmp_path, "a") as folder, (folder / LOCK).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = False
        except BlockingIOError:
            locked = True
    assert locked


SHARING = """
import multiprocessing, multiprocessing.util, os, signal, sys
from stica_pv.temporary_folder import keep_sockets_together
keep_sockets_together()
keep_sockets_together()
print(multiprocessing.util.get_temp_dir(), flush=True)
child = multiprocessing.get_context("fork").Process(target=int)  # multiprocessing forgets in it what is to be tidied up
child.start()
child.join()
assert os.path.isdir(multiprocessing.util.get_temp_dir())
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sockets_of_multiprocessing_are_in_such_a_folder(tmp_path: Path):
    with tempfile.TemporaryDirectory(prefix="t") as short:
        for how, left in (("killed", 1), ("ended", 0)):
            command = [sys.executable, "-c", SHARING, how]
            done = subprocess.run(command, env={**os.environ, "TMPDIR": short}, capture_output=True, text=True)
            assert done.stdout.startswith(f"{short}/{PREFIX}"), done.stderr
            assert len(names(Path(short))) == left
