import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminals import WIDTH, logging_restored, on_terminal, open_terminal, read_all, screen, without_times

from stica_pv.command_line import exit_code
from stica_pv.errors import RunFailed
from stica_pv.launch.logs import set_up_logging
from stica_pv.progress import SHOWN_BY_BAR, Progress
from stica_pv.terminal import over_bar

log = logging.getLogger("stica_pv.of_the_tests")


class FakeTime:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    time = FakeTime()
    monkeypatch.setattr("tqdm.std.time", time)
    return time


def work(clock: FakeTime, steps: int, seconds: float = 1.0, **settings) -> None:
    """Does steps of a work of 4 that each take some seconds."""
    with Progress("work", 4, unit="steps", clock=clock, delay_s=0.0, **settings) as progress:
        for step in range(steps):
            clock.now += seconds
            progress.add()
            log.info("step %d", step + 1, extra=SHOWN_BY_BAR)


def test_without_a_terminal_there_are_lines_by_time_and_one_at_the_end(clock: FakeTime, caplog):
    caplog.set_level(logging.INFO)
    with Progress("headers", 10, unit="files", clock=clock) as progress:
        for _ in range(10):
            clock.now += 6.0
            progress.add()
    assert caplog.messages == [
        "headers: 2 of 10 files (20%), 0.2 files/s, 0:00:48 left",
        "headers: 4 of 10 files (40%), 0.2 files/s, 0:00:36 left",
        "headers: 6 of 10 files (60%), 0.2 files/s, 0:00:24 left",
        "headers: 8 of 10 files (80%), 0.2 files/s, 0:00:12 left",
        "headers: 10 files in 0:01:00, 0.2 files/s",
    ]


def test_short_work_and_other_processes_log_nothing_and_slow_work_a_line_per_minute(clock: FakeTime, caplog):
    caplog.set_level(logging.INFO)
    for settings, total, seconds in (({}, 5, 1.0), ({"shown": False}, 5, 100.0), ({"lines": False}, 5, 100.0)):
        with Progress("x", total, clock=clock, **settings) as progress:
            for _ in range(total):
                clock.now += seconds
                progress.add()
    assert not caplog.messages
    with Progress("x", 100_000, clock=clock) as progress:
        for _ in range(13):
            clock.now += 10.0
            progress.add()
    assert [line.split(" files")[0] for line in caplog.messages[:-1]] == ["x: 6 of 100000", "x: 12 of 100000"]


def test_a_rate_counts_only_what_this_attempt_did(clock: FakeTime, caplog):
    caplog.set_level(logging.INFO)
    with Progress("x", 100, unit="steps", initial=90, clock=clock) as progress:
        clock.now += 10.0
        progress.add(5)
    assert caplog.messages[0] == "x: 95 of 100 steps (95%), 0.5 steps/s, 0:00:10 left"
    assert caplog.messages[1] == "x: 5 steps in 0:00:10, 0.5 steps/s"


def test_a_bar_is_below_the_log_and_takes_the_place_of_its_lines(
    clock: FakeTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    shown: list[str] = []

    def act() -> None:
        set_up_logging(str(tmp_path), 0)
        log.info("begin")
        with Progress("work", 4, unit="steps", clock=clock, delay_s=0.0) as progress:
            for step in range(3):
                clock.now += 20.0
                progress.note(f"loss {step}")
                progress.add()
                log.info("step %d", step, extra=SHOWN_BY_BAR)
            log.warning("m" * 100)
        log.info("end")

    written = on_terminal(monkeypatch, act, width=80)
    shown = without_times(screen(written))
    assert shown == ["begin", "m" * 100, "work: 3 steps in 0:01:00, 0.1 steps/s", "end", ""]
    drawn = [part for part in written.split("\r") if part.startswith("work: ")]
    assert "75%" in drawn[-1]
    assert "3/4" in drawn[-1]
    assert "loss 2" in drawn[-1]
    file = without_times((tmp_path / "stdout.log").read_text().splitlines())
    assert file[-1].endswith("end")
    assert sum("step " in line for line in file) == 3
    assert any("work: 2 of 4 steps (50%)" in line for line in file)


def test_a_bar_is_drawn_a_few_times_per_second_and_not_for_short_work(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def act() -> None:
        set_up_logging("", 0)
        with Progress("fast", 10_000, clock=clock) as progress:
            for _ in range(10_000):
                clock.now += 0.001
                progress.add()
        with Progress("short", 9, clock=clock) as progress:
            progress.add(9)

    written = on_terminal(monkeypatch, act)
    assert 10 <= written.count("fast: ") <= 20  # in 10 seconds
    assert "short" not in written


def test_a_resumed_bar_begins_where_the_work_does(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def act() -> None:
        set_up_logging("", 0)
        with Progress("training", 400, initial=100, clock=clock, delay_s=0.0):
            pass

    written = on_terminal(monkeypatch, act, width=60)
    assert "training:  25%" in written
    assert "100/400" in written


@pytest.mark.parametrize("width", [1, 12, 40])
def test_a_bar_fits_a_narrow_terminal(width: int, clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def act() -> None:
        set_up_logging("", 0)
        with Progress("a long name of the work", 4, clock=clock, delay_s=0.0) as progress:
            for _ in range(3):
                clock.now += 1.0
                progress.note("much to say about it")
                progress.add()

    written = on_terminal(monkeypatch, act, width=width)
    assert max(map(len, written.replace("\n", "\r").split("\r"))) < max(2, width)
    assert "\n" not in written


def test_an_error_line_follows_the_whole_bar(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def fails() -> None:
        set_up_logging("", 0)
        with Progress("work", 4, clock=clock, delay_s=0.0) as progress:
            clock.now += 1.0
            progress.add()
            raise RunFailed("no more")

    shown = screen(on_terminal(monkeypatch, lambda: assert_code(exit_code(fails), 1)))
    assert shown[0].startswith("work:  25%")
    assert shown[1:] == ["failed: no more", ""]


def assert_code(code: int, expected: int) -> None:
    assert code == expected


def test_an_error_line_replaces_the_bar_of_a_killed_process(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def fails() -> None:
        child = os.fork()
        if not child:
            set_up_logging("", 0)
            Progress("work", 4, clock=clock, delay_s=0.0).__enter__()
            sys.stderr.flush()
            os._exit(9)
        os.waitpid(child, 0)
        raise RunFailed("process 0 was killed")

    written = on_terminal(monkeypatch, lambda: assert_code(exit_code(fails), 1))
    assert "work:" in written
    assert screen(written) == ["failed: process 0 was killed", ""]


class WrittenTerminal(io.StringIO):
    """A terminal whose text can be read at any time."""

    def isatty(self) -> bool:
        return True


def test_an_inner_bar_hides_the_outer_one(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    terminal = WrittenTerminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    set_up_logging("", 0)
    with Progress("outer", 4, clock=clock, delay_s=0.0) as outer:
        with Progress("inner", 4, clock=clock, delay_s=0.0) as inner:
            clock.now += 1.0
            inner.add()
            log.info("said")
            first = without_times(screen(terminal.getvalue()))
        clock.now += 1.0
        outer.add()
        second = without_times(screen(terminal.getvalue()))
    assert first[0] == second[0] == "said"
    assert first[1].startswith("inner:  25%")
    assert second[1].startswith("outer:  25%")
    assert len(first) == len(second) == 2


def test_a_piped_log_gets_lines_and_no_bar_is_shown(clock: FakeTime, monkeypatch: pytest.MonkeyPatch, capfd):
    master, slave = open_terminal()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        set_up_logging("", 0)  # to stdout, which is not a terminal
        work(clock, 3, seconds=11.0)
    assert read_all(master) == ""
    lines = without_times(capfd.readouterr().out.splitlines())
    assert [line.split(" steps")[0] for line in lines] == [
        "work: 1 of 4", "step 1", "work: 2 of 4", "step 2", "work: 3 of 4", "step 3", "work: 3",
    ]  # fmt: skip


def test_nothing_is_drawn_without_a_log_of_this_package(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    assert on_terminal(monkeypatch, lambda: work(clock, 4)) == ""


@pytest.mark.parametrize("how", ["none", "closed", "gone"])
def test_work_goes_on_when_stderr_closes(how: str, clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    out, out_slave = open_terminal()
    err, err_slave = open_terminal()
    stderr = os.fdopen(err_slave, "w", encoding="utf-8")
    with os.fdopen(out_slave, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        set_up_logging("", 0)
        if how == "none":
            monkeypatch.setattr(sys, "stderr", None)
        with Progress("work", 4, clock=clock, delay_s=0.0) as progress:
            if how == "closed":
                stderr.close()
            elif how == "gone":
                os.close(err)
            for _ in range(4):
                clock.now += 1.0
                progress.note("x")
                progress.add()
                log.info("said")
    assert without_times(screen(read_all(out))) == ["said"] * 4 + [""]
    if how != "gone":
        os.close(err)


def test_a_forked_worker_does_not_draw_the_bar_of_its_parent(clock: FakeTime, monkeypatch: pytest.MonkeyPatch):
    def act() -> None:
        set_up_logging("", 0)
        with Progress("work", 4, clock=clock, delay_s=0.0) as progress:
            child = os.fork()
            if not child:
                log.info("from a worker")
                os._exit(0)
            os.waitpid(child, 0)
            clock.now += 1.0
            progress.add()

    written = on_terminal(monkeypatch, act)
    assert without_times(screen(written)) == ["from a worker", ""]
    assert written.count("work: ") == 2


def test_text_replaces_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch):
    assert over_bar("x\n") == "x\n"

    def act() -> None:
        sys.stderr.write("b" * (WIDTH - 1))
        sys.stderr.write(over_bar("x\n"))

    assert screen(on_terminal(monkeypatch, act)) == ["x", ""]
