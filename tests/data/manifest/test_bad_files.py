import csv
import logging
from pathlib import Path

import pytest

from stica_pv.data.isolation.worker_process import ENDED, KILLED, TIMED_OUT
from stica_pv.data.manifest.bad_files import BadFiles, read_bad_files
from stica_pv.errors import RunFailed
from stica_pv.structures import ReadFailure


def failures(*names: str) -> tuple[ReadFailure, ...]:
    return tuple(ReadFailure(name, f"cause of {name}") for name in names)


def begin(folder: Path, usable: int = 100, max_share: float = 0.03, excluded: tuple[ReadFailure, ...] = ()) -> BadFiles:
    files = BadFiles(folder / "bad_files.csv", usable, max_share)
    files.begin(excluded)
    return files


def paths(folder: Path) -> list[str]:
    return [row["path"] for row in read_bad_files(folder / "bad_files.csv")]


def test_every_file_is_listed_with_its_stage_step_and_cause(tmp_path: Path):
    begin(tmp_path, excluded=failures("short.mp4")).report(7, failures("torn, really.mp4"))
    with (tmp_path / "bad_files.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["stage", "step", "path", "cause"],
            ["excluded", "", "short.mp4", "cause of short.mp4"],
            ["read", "7", "torn, really.mp4", "cause of torn, really.mp4"],
        ]


def test_exclusions_are_no_error_however_many(tmp_path: Path):
    begin(tmp_path, usable=1, max_share=0.0, excluded=failures(*map(str, range(50))))
    assert len(paths(tmp_path)) == 50


@pytest.mark.parametrize(
    ("cause", "logged"),
    [(ENDED, True), (f"{KILLED} (SIGSEGV)", True), (f"{TIMED_OUT} 60 s", True), ("no key frame", False)],
)
def test_a_file_that_another_run_might_read_is_reported_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, cause: str, logged: bool
):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    files = begin(tmp_path)
    for step in (3, 9):
        files.report(step, (ReadFailure("a.mp4", cause),))
    line = f"step 3: a.mp4 could not be read: {cause}; it is replaced by another file, so the losses differ from those "
    assert [message.startswith(line) for message in caplog.messages] == [True] * logged


def test_a_file_is_named_once(tmp_path: Path):
    files = begin(tmp_path)
    files.report(1, failures("a", "a"))
    files.report(9, failures("a", "b"))
    assert paths(tmp_path) == ["a", "b"]


def test_more_than_the_allowed_share_ends_the_run(tmp_path: Path):
    files = begin(tmp_path, usable=100, max_share=0.02)
    files.report(1, failures("a", "b"))
    with pytest.raises(RunFailed, match=r"3 of 100 files failed in reading, 2 are allowed .*0\.02.*c: cause of c"):
        files.report(2, failures("c"))
    assert paths(tmp_path) == ["a", "b", "c"]


def test_the_share_is_rounded_up_to_whole_files(tmp_path: Path):
    begin(tmp_path, usable=10, max_share=0.01).report(1, failures("a"))
    with pytest.raises(RunFailed):
        begin(tmp_path, usable=10, max_share=0.0).report(1, failures("b"))


def test_a_resume_remembers_what_failed_and_takes_exclusions_anew(tmp_path: Path):
    begin(tmp_path, excluded=failures("old")).report(1, failures("a", "b"))
    again = begin(tmp_path, max_share=0.02, excluded=failures("new"))
    assert paths(tmp_path) == ["new", "a", "b"]
    again.report(2, failures("a"))
    with pytest.raises(RunFailed, match="3 of 100"):
        again.report(3, failures("c"))


def test_the_share_is_counted_over_all_processes(tmp_path: Path):
    first = begin(tmp_path, max_share=0.02)
    second = BadFiles(first.path, 100, 0.02)  # another rank: the main one wrote the head of the list
    first.report(1, failures("a"))
    second.report(1, failures("a", "b"))
    assert paths(tmp_path) == ["a", "b"]
    with pytest.raises(RunFailed, match="3 of 100"):
        first.report(2, failures("c"))


def test_names_that_are_no_text_are_listed_too(tmp_path: Path):
    name = b"caf\xe9.mp4".decode(errors="surrogateescape")
    begin(tmp_path, excluded=failures(name)).report(1, failures("x" + name))
    assert paths(tmp_path) == [name, "x" + name]


def test_a_list_that_cannot_be_written_ends_the_run_with_one_clear_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match=r"^cannot write .*/file/gone/bad_files\.csv: Not a directory$"):
        begin(tmp_path / "file" / "gone")
    files = begin(tmp_path)
    files.path.unlink()
    files.path.mkdir()
    with pytest.raises(RunFailed, match=r"^cannot write .*/bad_files\.csv: Is a directory$"):
        files.report(1, failures("a"))


def test_no_file_is_no_bad_file(tmp_path: Path):
    assert read_bad_files(tmp_path / "bad_files.csv") == []
