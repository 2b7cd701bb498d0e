"""Headers that hang or kill their reader, and a manifest that cannot be written."""

import ctypes
import os
import signal
from pathlib import Path

import pytest

from stica_pv.data.manifest import manifest
from stica_pv.data.manifest.manifest import MediaInfo, probe, probe_all
from stica_pv.data.manifest.manifest_csv import load_media_info
from stica_pv.errors import UsageError


class Trap:
    """Probes, but some headers hang in C, kill their process, or raise a bug."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self.kinds = kinds

    def __call__(self, path: str) -> MediaInfo:
        match self.kinds.get(path):
            case "hang":
                ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock: no Python code runs meanwhile
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "bug":
                raise KeyError("a bug")
        return probe(path)


def test_a_header_that_hangs_or_kills_costs_itself_alone_and_is_remembered_with_its_cause(
    clips, tmp_path, monkeypatch, probed
):
    monkeypatch.setattr(manifest, "probe", Trap({clips[0]: "hang", clips[1]: "crash"}))
    monkeypatch.setattr(manifest, "_TIMEOUT_S", 0.4)
    for _ in range(2):  # the second time it is known
        found = probe_all(clips, tmp_path / "m.csv", 2)
        assert [facts.error for facts in found][:2] == [
            "time-out after 0.4 s",
            "the decoder killed its process (SIGSEGV)",
        ]
        assert list(found)[2:] == [probe(path) for path in clips[2:]]
        assert (found[0].size_bytes, found[0].mtime_ns) == (
            os.stat(clips[0]).st_size,
            os.stat(clips[0]).st_mtime_ns,
        )
        monkeypatch.setattr(manifest, "probe", probed)
    assert probed.paths == []


def test_a_disk_that_stands_still_ends_the_pass_and_is_not_written_down_as_the_fault_of_its_files(
    clips, tmp_path, monkeypatch
):
    monkeypatch.setattr(manifest, "probe", Trap(dict.fromkeys(clips[1:3], "hang")))
    monkeypatch.setattr(manifest, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(manifest, "_TIMEOUTS_IN_A_ROW", 2)
    with pytest.raises(UsageError, match=r"2 consecutive headers: time-out after 0.2 s.*check that the disk"):
        probe_all(clips[:3], tmp_path / "m.csv", 1)
    assert [facts.path for facts in load_media_info(tmp_path / "m.csv")] == [clips[0]]
    answered = [clips[1], clips[0], clips[2]]  # not consecutive
    assert [bool(facts.error) for facts in probe_all(answered, None, 1)] == [True, False, True]


def test_a_bug_of_ours_is_not_taken_for_a_bad_header(clips, monkeypatch):
    monkeypatch.setattr(manifest, "probe", Trap({clips[1]: "bug"}))
    with pytest.raises(KeyError, match="a bug"):
        probe_all(clips, None, 2)


def test_a_manifest_that_cannot_be_written_gives_one_clear_line(clips, tmp_path):
    (tmp_path / "full").touch()
    with pytest.raises(UsageError, match=r"cannot write the manifest .*m\.csv: .*; set DATA\.MANIFEST to another"):
        probe_all(clips, tmp_path / "full" / "m.csv", 1)
    if Path("/dev/full").exists():
        with pytest.raises(UsageError, match=r"cannot write the manifest /dev/full: No space left on device"):
            probe_all(clips, Path("/dev/full"), 1)
