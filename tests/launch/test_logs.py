import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminals import logging_restored, on_terminal, open_terminal, read_all, screen, without_times
from tiny_runs import REPOSITORY, arguments, write_tiny

from stica_pv.launch.logs import set_up_logging
from stica_pv.progress import SHOWN_BY_BAR

log = logging.getLogger("stica_pv.of_the_tests")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    with logging_restored():
        yield


def speak_of_three_steps() -> None:
    log.info("begin")
    log.info("step 1, with a longer text", extra=SHOWN_BY_BAR)
    log.info("step 2", extra=SHOWN_BY_BAR)
    log.info("a message")
    log.info("step 3", extra=SHOWN_BY_BAR)


def test_a_pipe_and_the_file_get_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    expected = ["begin", "step 1, with a longer text", "step 2", "a message", "step 3"]
    set_up_logging(str(tmp_path), 0)
    speak_of_three_steps()
    out = capsys.readouterr().out
    assert without_times(out.splitlines()) == expected
    assert "\r" not in out
    assert without_times((tmp_path / "stdout.log").read_text().splitlines()) == expected


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def speak() -> None:
        set_up_logging("", 0)
        speak_of_three_steps()

    on_terminal(monkeypatch, speak)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_on_a_terminal_ends_with_one_summary_line(clips_folder: Path, tmp_path: Path):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    master, slave = open_terminal(200)
    command = [sys.executable, str(REPOSITORY / "tools" / "run_net.py"), "--cfg", str(cfg)]
    overrides = arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=3)
    process = subprocess.Popen([*command, *overrides], stdout=slave, stderr=slave)
    os.close(slave)
    written = read_all(master)
    assert process.wait(timeout=300) == 0
    received = without_times(screen(written))
    assert "training:   0%" in written
    assert "| 0/3 [" in written
    assert not [line for line in received if line.startswith("step ")]
    summary = next(line for line in received if line.startswith("trained 3 steps in 0:"))
    assert "last loss" in summary
    assert summary.endswith(f"checkpoint {tmp_path / 'run' / 'checkpoints' / 'step_00000003.pyth'}")
