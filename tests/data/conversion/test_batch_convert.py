import csv
import errno
import os
import resource
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_media import make_media

from stica_pv.data.conversion import batch_convert as light_copy
from stica_pv.data.conversion import conversion_log as copy_notes
from stica_pv.data.conversion.batch_convert import (
    TRANSCODING,
    Conversion,
    ConversionPlan,
    ConversionReport,
    convert_files,
    plan_conversion,
)
from stica_pv.data.conversion.conversion_log import open_conversion_log
from stica_pv.data.conversion.decode_speed import measure_decode_speed
from stica_pv.data.conversion.optical_flow import CONVERSION as flow  # noqa: N811 - the name of the other instance
from stica_pv.data.conversion.transcode import TranscodeSettings, transcode
from stica_pv.data.sources.sources import read_csv
from stica_pv.errors import UnreadableClip, UsageError

RECEIPTS, FAILURES = TRANSCODING.log, TRANSCODING.failures
REPOSITORY = Path(__file__).resolve().parents[3]
SETTINGS = TranscodeSettings(short_side=32)
LIST = "a b/one.avi 1\na b/two.mp4 0\nbad.mkv 1\naudio.ogg 0\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four good files, a bad one, a name that is there twice, a list above the files and one in their folder."""
    root = tmp_path_factory.mktemp("made") / "set"
    (root / "a b").mkdir(parents=True)
    make_media(root / "a b" / "one.avi", video="mpeg4", audio="mp3", seconds=1.0)
    make_media(root / "a b" / "two.mp4", seconds=1.0)
    make_media(root / "audio.ogg", video=None, audio="libopus", rate_hz=48000, seconds=1.0)
    shutil.copy(root / "a b" / "two.mp4", root / "audio.mp4")
    (root / "bad.mkv").write_bytes(b"nothing")
    (root / "train.csv").write_text(LIST)
    (root / "a b" / "names.txt").write_text("file,what\none.avi,first\n./two.mp4,second\n")
    (root / "splits").mkdir()
    (root / "readme.txt").write_text("of no use\n")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(made, tmp_path / "set"))
    (root / "splits" / "test.csv").write_text(f"a b/one.avi 5\n{root / 'audio.mp4'} 6\n")
    return root


def copy(root: Path, **settings: int) -> ConversionReport:
    target = root.parent / "copy"
    chosen = TranscodeSettings(short_side=32, **settings)
    return convert_files(plan_conversion(str(root), str(target)), chosen, processes=2)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_copy_has_the_same_names_and_lists_names_failures_and_goes_on_where_it_was(root: Path):
    target = root.parent / "copy"
    report = copy(root)
    media = {"a b/one.mp4", "a b/two.mp4", "audio.mp4", "audio.ogg.mp4"}
    assert tree(target) == media | {"train.csv", "splits/test.csv", "a b/names.txt", RECEIPTS, FAILURES}
    assert (len(report.copied), report.kept, report.lists) == (4, (), 3)
    assert list(report.failures) == ["bad.mkv"]
    assert list(csv.reader((target / FAILURES).open())) == [["name", "cause"], ["bad.mkv", report.failures["bad.mkv"]]]
    assert "invalid data" in report.failures["bad.mkv"]

    listed = read_csv(path=str(target / "train.csv"))
    assert list(listed.names) == ["a b/one.mp4", "a b/two.mp4", "audio.ogg.mp4"]
    assert list(listed.labels or ()) == [1, 0, 0]
    assert (target / "a b" / "names.txt").read_text() == "file,what\none.mp4,first\ntwo.mp4,second\n"

    assert (target / "splits" / "test.csv").read_text() == "a b/one.mp4 5\n../audio.mp4 6\n"

    times = {name: (target / name).stat().st_mtime_ns for name in media}
    (target / "a b" / "two.mp4").unlink()  # lost
    (root / "audio.mp4").touch()  # another time of change
    (target / "x.mp4.partial").touch()  # left by a killed run
    shutil.copy(root / "a b" / "two.mp4", root / "bad.mkv")  # fixed
    again = copy(root)
    assert set(again.copied) == {"a b/two.mp4", "audio.mp4", "bad.mkv"}
    assert set(again.kept) == {"a b/one.avi", "audio.ogg"}
    assert again.failures == {}
    assert (target / "a b" / "one.mp4").stat().st_mtime_ns == times["a b/one.mp4"]
    assert not (target / "x.mp4.partial").exists()
    assert read_csv(path=str(target / "train.csv")).names[2] == "bad.mp4"


def test_other_settings_and_a_torn_receipt_make_files_anew(root: Path):
    for name in ("bad.mkv", "audio.ogg", "audio.mp4"):
        (root / name).unlink()
    receipts = root.parent / "copy" / RECEIPTS
    assert len(copy(root).copied) == 2
    receipts.write_text(receipts.read_text()[:-4])
    assert len(copy(root).copied) == 1
    assert len(copy(root).copied) == 0
    assert len(copy(root, gop=3).copied) == 2


def test_a_list_alone_can_be_the_source(root: Path):
    (root / "some.csv").write_text("a b/two.mp4,7\n")
    plan = plan_conversion(str(root / "some.csv"), str(root.parent / "copy"), ",")
    assert plan.names == {"a b/two.mp4": "a b/two.mp4"}
    assert plan.lists == ("some.csv",)


def test_wrong_sources_and_targets_are_refused(root: Path, tmp_path: Path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").touch()
    (root / "out.csv").write_text("../set/audio.mp4 1\n")
    for source, target, message in (
        (root, root, "is inside the source"),
        (root, root / "light", "is inside the source"),
        (root, tmp_path / "used", "holds other files"),
        (root, root.parent, "holds other files"),
        (root, root / ".." / "set" / "x", "is inside the source"),
        (root / "out.csv", tmp_path / "copy", "outside of its folder"),
        (tmp_path / "none", tmp_path / "copy", "there is no folder"),
    ):
        with pytest.raises(UsageError, match=message):
            plan_conversion(str(source), str(target))
    with pytest.raises(UsageError, match="processes"):
        convert_files(plan_conversion(str(root), str(tmp_path / "copy")), SETTINGS, processes=0)
    assert not (root / "light").exists()


def test_names_that_collide_are_refused(tmp_path: Path):
    for name in ("x.avi", "x.mp4", "x.avi.mkv", "x.avi.mp4"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).touch()
    with pytest.raises(UsageError, match="several files would be named x.avi.mp4"):
        plan_conversion(str(tmp_path / "set"), str(tmp_path / "copy"))


def test_speed_is_measured_on_originals_and_copies(made: Path):
    names = ["a b/two.mp4", "audio.ogg", "bad.mkv"]
    speed = measure_decode_speed([(str(made / n),) * 2 for n in names], short_side=32, audio_rate_hz=16000)
    assert speed is not None
    assert speed.files == 2
    assert speed.before / speed.after == pytest.approx(1, abs=0.9)
    assert measure_decode_speed([], short_side=32, audio_rate_hz=16000) is None


def test_the_tool_reports_files_failures_size_and_speed(root: Path, capsys: pytest.CaptureFixture[str]):
    main = runpy.run_path(str(REPOSITORY / "tools" / "transcode.py"))["main"]
    command = [str(root), str(root.parent / "copy"), "--processes", "1"]
    assert main(command) == 0
    report = capsys.readouterr().out
    for part in ("4 copied, 0 already present, 1 failed", "MB before", "clips/s before", FAILURES):
        assert part in report
    assert main([str(root), str(root)]) == 2
    assert capsys.readouterr().err.startswith("error: the target")


def test_what_is_made_is_sorted_out_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checked: list[Path] = []
    monkeypatch.setattr(light_copy, "_is_made", lambda target, size: checked.append(target) or True)
    monkeypatch.setattr(light_copy, "record_of", lambda path, name, settings: (name, "", "", ""))
    names = {f"{number}.avi": f"{number}.mp4" for number in range(30_000)}
    plan = ConversionPlan(TRANSCODING, tmp_path, tmp_path / "copy", names, ())
    begin = time.process_time()
    report = convert_files(plan, SETTINGS, processes=1)
    assert (len(report.kept), len(checked), report.copied) == (30_000, 30_000, ())
    assert time.process_time() - begin < 5  # in 0.1 s; a set of the names for each of them takes half a minute


def test_a_target_that_cannot_be_written_is_reported(root: Path):
    (root.parent / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*file/copy: Not a directory"):
        convert_files(plan_conversion(str(root), str(root.parent / "file" / "copy")), SETTINGS, processes=1)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of a set with a list; what is made of them is made in this process."""

    def here(answer: Callable[[str], str], names: list[str], **_: float) -> Iterator[tuple[str, str]]:
        yield from ((name, answer(name)) for name in names)

    monkeypatch.setattr(light_copy, "answer_all", here)
    root = tmp_path / "small"
    root.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (root / name).write_text(name)
    (root / "train.csv").write_text("a.mp4 0\nb.mp4 1\nc.mp4 2\n")
    return root


def duplicate(source: str, target: Path, settings: dict[str, int]) -> None:
    """Replaces a conversion; for the names in `settings` it fails with that error, as a conversion does."""
    try:
        code = settings.get(Path(source).name, 0)
        if code:
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise UnreadableClip(source, "cannot be decoded") from error
    shutil.copy(source, target)


DUPLICATION = Conversion("transcode", ".mp4", duplicate)


def duplicated(source: Path, **failing: int) -> ConversionReport:
    plan = plan_conversion(str(source), str(source.parent / f"{source.name}+"), conversion=DUPLICATION)
    return convert_files(plan, {f"{name}.mp4": code for name, code in failing.items()}, processes=1)


def test_a_copy_of_a_copy_keeps_receipts_and_failures_of_its_own(small: Path):
    (small / "my_failures.csv").write_text("a.mp4 3\n")
    assert duplicated(small, c=errno.EIO).failures == {"c.mp4": "cannot be decoded"}
    first = small.parent / "small+"
    (first / flow.failures).write_text("name,cause\na.mp4,it is short\n")
    (first / FAILURES).write_text("name,cause\na.mp4,it is short\n")
    assert duplicated(first).copied == ("a.mp4", "b.mp4")
    second = small.parent / "small++"
    receipts = (second / RECEIPTS).read_text()
    again = duplicated(first)
    assert (again.copied, again.kept, again.lists) == ((), ("a.mp4", "b.mp4"), 2)
    assert (second / RECEIPTS).read_text().rstrip("\n") == receipts.rstrip("\n")
    assert (second / FAILURES).read_text() == "name,cause\n"
    assert tree(second) == {"a.mp4", "b.mp4", "train.csv", "my_failures.csv", RECEIPTS, FAILURES}


def test_a_second_command_with_the_same_target_is_refused_and_harms_nothing(small: Path):
    target = small.parent / "small+"
    part = target / "a.mp4.partial"
    target.mkdir()
    with open_conversion_log(target / RECEIPTS):
        part.touch()
        with pytest.raises(UsageError, match=r"another command is writing to the target .*small\+; wait for its end"):
            duplicated(small)
    assert tree(target) == {part.name, RECEIPTS}
    assert len(duplicated(small).copied) == 3


def test_a_file_system_without_locks_is_reported_and_used(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(copy_notes.fcntl, "flock", refuse)
    assert len(duplicated(small).copied) == 3
    assert "cannot lock (No locks available)" in caplog.text


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_target_that_takes_no_more_stops_the_copy_and_leaves_lists_and_failures_as_they_were(small: Path, code: int):
    target = small.parent / "small+"
    duplicated(small, c=errno.EIO)
    before = {name: (target / name).read_text() for name in ("train.csv", FAILURES)}
    with pytest.raises(UsageError, match=rf"cannot write to .*small\+: {os.strerror(code)}$"):
        duplicated(small, b=code)
    assert {name: (target / name).read_text() for name in before} == before


def lose(source: str, target: Path, settings: dict[str, int]) -> None:
    """Copy a file; those named crash and hang do so, and one is killed from outside while others are converted."""
    name = Path(source).stem
    with (Path(source).parent.parent / f"{name}.log").open("a") as log:
        log.write("once more\n")
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang":
        time.sleep(100)
    if name == "killed" and (Path(source).parent.parent / f"{name}.log").read_text().count("more") < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    shutil.copy(source, target)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files are converted in this process")
def test_a_file_that_crashes_or_hangs_is_named_and_one_killed_for_memory_is_converted_at_the_end(tmp_path: Path):
    (tmp_path / "set").mkdir()
    for name in ("a", "crash", "hang", "killed", "z"):
        (tmp_path / "set" / f"{name}.mp4").write_text(name)
    plan = plan_conversion(
        str(tmp_path / "set"), str(tmp_path / "copy"), conversion=Conversion("transcode", ".mp4", lose)
    )
    report = convert_files(plan, {}, processes=2, limit_s=1)
    assert report.failures == {
        "crash.mp4": "the decoder killed its process (SIGSEGV)",
        "hang.mp4": "time-out after 1 s",
    }
    assert (set(report.copied), report.copied[-1]) == ({"a.mp4", "killed.mp4", "z.mp4"}, "killed.mp4")


def too_large(source: str, target: Path, settings: TranscodeSettings) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # of a process of its own
    transcode(source, target, settings)


@pytest.mark.slow
def test_what_ffmpeg_says_of_a_full_disk_comes_through(root: Path):
    plan = plan_conversion(str(root), str(root.parent / "copy"), conversion=Conversion("transcode", ".mp4", too_large))
    with pytest.raises(UsageError, match="cannot write to .*copy: File too large$"):
        convert_files(plan, SETTINGS, processes=1)
    assert tree(root.parent / "copy") == {RECEIPTS}
