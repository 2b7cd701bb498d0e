import logging
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY, arguments, write_tiny

from stica_pv.launch.logs import end_progress, set_up_logging

PROGRESS = {"progress": True}
LAST = {"progress": False}
WIDTH = 40

log = logging.getLogger("stica_pv.of_the_tests")


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    root = logging.getLogger("stica_pv")
    before = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before


def read_all(master: int) -> str:
    """Reads what was written to a terminal that is closed on the other side."""
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux' word for the end
            part = b""
        if not part:
            os.close(master)
            return b"".join(parts).decode()
        parts.append(part)


def screen(written: str) -> list[str]:
    """Lines visible on a terminal, which overwrites."""
    lines, column = [""], 0
    for letter in written:
        if letter == "\n":
            lines.append("")
        elif letter == "\r":
            column = 0
        else:
            lines[-1] = lines[-1][:column].ljust(column) + letter + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def on_terminal(monkeypatch: pytest.MonkeyPatch, speak: Callable[[], None], folder: str = "") -> str:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        set_up_logging(folder, 0)
        speak()
    return read_all(master)


def without_times(lines: list[str]) -> list[str]:
    return [line.partition("] ")[2] or line for line in lines]


def speak_of_three_steps() -> None:
    log.info("begin")
    log.info("step 1, with a longer text", extra=PROGRESS)
    log.info("step 2", extra=PROGRESS)
    log.info("a message")
    log.info("step 3", extra=PROGRESS)


def test_on_a_terminal_steps_share_a_line_and_messages_stand_above_it(monkeypatch: pytest.MonkeyPatch):
    received = screen(on_terminal(monkeypatch, speak_of_three_steps))
    assert without_times(received) == ["begin", "a message", "step 3"]


def test_the_summary_takes_the_place_of_the_progress_line(monkeypatch: pytest.MonkeyPatch):
    def speak() -> None:
        speak_of_three_steps()
        log.info("summary", extra=LAST)
        log.info("behind")

    assert without_times(screen(on_terminal(monkeypatch, speak))) == ["begin", "a message", "summary", "behind", ""]


def test_a_progress_line_is_cut_to_the_width_and_a_message_is_not(monkeypatch: pytest.MonkeyPatch):
    def speak() -> None:
        log.info("p" * 100, extra=PROGRESS)
        log.info("m" * 100)

    message, progress = screen(on_terminal(monkeypatch, speak))
    assert message.endswith("m" * 100)
    assert len(progress) == WIDTH - 1


def test_what_follows_an_ended_progress_line_begins_a_new_one(monkeypatch: pytest.MonkeyPatch):
    def speak() -> None:
        end_progress()
        speak_of_three_steps()
        end_progress()
        end_progress()
        sys.stdout.write("error: x\n")

    assert without_times(screen(on_terminal(monkeypatch, speak)))[-3:] == ["step 3", "error: x", ""]


def test_a_pipe_and_the_file_get_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    expected = ["begin", "step 1, with a longer text", "step 2", "a message", "step 3"]
    set_up_logging(str(tmp_path), 0)
    speak_of_three_steps()
    end_progress()
    out = capsys.readouterr().out
    assert without_times(out.splitlines()) == expected
    assert "\r" not in out
    written = on_terminal(monkeypatch, speak_of_three_steps, str(tmp_path))
    assert "\r" in written
    assert without_times((tmp_path / "stdout.log").read_text().splitlines()) == expected * 2


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    on_terminal(monkeypatch, speak_of_three_steps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_on_a_terminal_ends_with_one_summary_line(clips_folder: Path, tmp_path: Path):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    master, slave = pty.openpty()
    command = [sys.executable, str(REPOSITORY / "tools" / "run_net.py"), "--cfg", str(cfg)]
    overrides = arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=3)
    process = subprocess.Popen([*command, *overrides], stdout=slave, stderr=subprocess.PIPE, text=True)
    os.close(slave)
    written = read_all(master)
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 0)
    received = without_times(screen(written))
    assert written.count("step ") == 3
    assert not [line for line in received if line.startswith("step ")]
    summary = next(line for line in received if line.startswith("trained 3 steps in 0:"))
    assert "last loss" in summary
    assert summary.endswith(f"checkpoint {tmp_path / 'run' / 'checkpoints' / 'step_00000003.pyth'}")
