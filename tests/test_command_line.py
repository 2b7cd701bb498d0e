"""How a command ends: the message and the exit code of each error, in one process and from several."""

import argparse
import os
import signal
import sys
from pathlib import Path

import pytest

from stica_pv.command_line import ENVIRONMENT, add_cfg_arguments, exit_code, parse_cfg_arguments, set_environment
from stica_pv.errors import RunFailed, RunStopped, SignalReceived, UnreadableClip, UsageError
from stica_pv.launch.processes import End, raise_end


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such key"), 2, "error: no such key\n"),
        (RunFailed("step 3: not finite"), 1, "failed: step 3: not finite\n"),
        (UnreadableClip("a.mp4", "no frame"), 1, "failed: a.mp4: no frame\n"),
        (RunStopped("by a signal"), 130, "stopped: by a signal\n"),
        (RunStopped("by a signal", signal.SIGTERM), 143, "stopped: by a signal\n"),
        (KeyboardInterrupt(), 130, "nothing was written\n"),
        (SignalReceived(signal.SIGHUP), 129, "nothing was written\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_person_is_meant_to_read_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
):
    def act() -> None:
        raise error

    assert exit_code(act, interrupted="nothing was written") == code
    assert capsys.readouterr() == ("", line)


def test_work_that_is_done_gives_0_or_its_own_code_and_a_mistake_of_ours_keeps_its_traceback():
    assert (exit_code(lambda: None), exit_code(lambda: 7)) == (0, 7)
    with pytest.raises(KeyError):
        exit_code(lambda: {}["absent"])


KILLED = End("RunFailed", "process 1 of 2 was killed by SIGKILL", signal.SIGKILL)
ENDED_BY_US = End("RunFailed", "process 0 of 2 was killed by SIGTERM", signal.SIGTERM)
STOPPED = End("RunStopped", "by a signal", signal.SIGTERM)
FAILED = End("RunFailed", "not finite")
OF_ANOTHER = End("PeerFailed", "process 1 of 2 on here: UsageError: TASK: no: such")


@pytest.mark.parametrize(
    ("ends", "number", "code", "line"),
    [
        ([End(), End()], 0, 0, ""),
        ([End("UsageError", "TASK: no: such"), FAILED], 0, 2, "error: TASK: no: such\n"),
        ([End(), FAILED], 0, 1, "failed: not finite\n"),
        ([OF_ANOTHER, End("UsageError", "TASK: no: such")], 0, 2, "error: TASK: no: such\n"),
        ([OF_ANOTHER, End()], 0, 1, f"failed: {OF_ANOTHER.text}\n"),
        ([KILLED, FAILED], 0, 1, "failed: process 1 of 2 was killed by SIGKILL\n"),
        ([STOPPED, STOPPED], 0, 143, "stopped: by a signal\n"),
        ([STOPPED, STOPPED], signal.SIGINT, 130, "stopped: by a signal\n"),
        ([ENDED_BY_US, End("SignalReceived", "", signal.SIGTERM)], signal.SIGHUP, 129, "stopped\n"),
        ([ENDED_BY_US, FAILED], signal.SIGINT, 1, "failed: not finite\n"),
        ([End("SignalReceived", "", signal.SIGTERM), STOPPED], 0, 143, "stopped: by a signal\n"),
    ],
)
def test_processes_that_were_started_end_the_command_as_the_first_of_them_that_failed(
    ends: list[End], number: int, code: int, line: str, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(lambda: raise_end(ends, number)) == code
    assert capsys.readouterr().err == line


def test_what_libraries_read_is_set_unless_the_caller_has_set_it(monkeypatch: pytest.MonkeyPatch):
    first, second = ENVIRONMENT
    monkeypatch.setenv(first, "by the caller")
    monkeypatch.delenv(second, raising=False)
    set_environment()
    assert (os.environ[first], os.environ[second]) == ("by the caller", ENVIRONMENT[second])


def test_a_reader_of_the_output_that_has_gone_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def act() -> None:
        for number in range(3):
            print(number, flush=True)  # noqa: T201 - as tools do
        (tmp_path / "done").touch()
        print("left in the buffer")  # noqa: T201

    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert exit_code(act) == 0
        assert sys.stdout is stream
    assert (tmp_path / "done").exists()
    assert capsys.readouterr().err == ""


def test_a_pipe_that_breaks_elsewhere_keeps_its_traceback():
    def act() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        exit_code(act)


@pytest.mark.parametrize(
    ("arguments", "files", "overrides"),
    [
        ("--cfg a.yaml --opts A 1 --opts B 2", "a.yaml", "A 1 B 2"),
        ("--cfg a.yaml A 1 --cfg b.yaml c.yml B 2", "a.yaml b.yaml c.yml", "A 1 B 2"),
        ("--opts A 1 --dry A 2 --cfg a.yaml A 3", "a.yaml", "A 1 A 2 A 3"),
        ("A 1 --opts A -2 --cfg a.yaml A 3 --opts A -.4 --dry A -5e-1", "a.yaml", "A 1 A -2 A 3 A -.4 A -5e-1"),
        ("--sweep A -1,2 --opts B 3 --sweep C 4", "", "B 3"),
    ],
)
def test_files_and_overrides_of_every_group_count_in_the_order_of_typing(arguments: str, files: str, overrides: str):
    parser = argparse.ArgumentParser()
    add_cfg_arguments(parser, "files")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--sweep", nargs=2, action="append", default=[])
    args = parse_cfg_arguments(parser, arguments.split())
    assert (args.cfg, args.overrides) == (files.split(), overrides.split())
    assert all(type(argument) is str for argument in (*args.cfg, *args.overrides))  # which can be written as YAML
    assert args.sweep in ([], [["A", "-1,2"], ["C", "4"]])
