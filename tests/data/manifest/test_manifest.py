import csv
import logging
import multiprocessing
import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from iopath.common.file_io import PathHandler, g_pathmgr
from made_media import SAMPLE_DATA, make_media

from stica_pv import progress
from stica_pv.data.isolation import worker_pool as answers
from stica_pv.data.manifest import manifest
from stica_pv.data.manifest import staleness as changes
from stica_pv.data.manifest.manifest import MediaInfo, exclusion_cause, exclusion_causes, probe, probe_all
from stica_pv.data.manifest.media_info import MediaInfoTable

MEDIA = SAMPLE_DATA / "media"


def test_facts_of_a_file_are_those_of_its_making(tmp_path):
    path = make_media(tmp_path / "a.mp4", seconds=2.0, fps=10, size=(80, 48), rate_hz=24000, layout="mono")
    facts = probe(str(path))
    assert (facts.size_bytes, facts.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert (facts.width, facts.height, facts.fps) == (80, 48, 10.0)
    assert facts.video_seconds == pytest.approx(2.0, abs=0.01)
    assert facts.audio_seconds == pytest.approx(2.0, abs=0.06)
    assert (facts.video_codec, facts.audio_codec, facts.audio_rate_hz, facts.audio_channels) == (
        "h264",
        "aac",
        24000,
        1,
    )
    assert facts.error == ""


def test_a_missing_duration_is_measured_from_packets(tmp_path):
    path = make_media(tmp_path / "live.mkv", container_options={"live": "1"}, seconds=2.0)
    facts = probe(str(path))
    assert facts.video_seconds == pytest.approx(2.0, abs=0.05)
    assert facts.audio_seconds == pytest.approx(2.0, abs=0.05)


def test_a_file_cut_short_is_found_by_its_header(tmp_path):
    path = make_media(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    assert probe(str(path)).error.startswith("the file is cut short")


def test_bad_files_give_facts_with_the_cause(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    assert "empty" in probe(str(tmp_path / "empty.mp4")).error
    assert "invalid data" in probe(str(tmp_path / "text.mp4")).error
    assert probe(str(tmp_path / "none.mp4")).error == "no such file"
    assert probe(str(tmp_path)).error


@pytest.mark.parametrize("processes", [1, 4])
def test_probe_all_keeps_the_order_and_equals_probe(clips, tmp_path, processes):
    order = [clips[2], clips[0], clips[3], clips[0], clips[1]]
    assert list(probe_all(order, tmp_path / "m.csv", processes)) == [probe(path) for path in order]
    assert list(probe_all(order, None, processes)) == [probe(path) for path in order]


def test_other_systems_probe_without_worker_processes(clips, monkeypatch):
    expected = list(probe_all(clips, None, 2))
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(answers, "WorkerProcess", None)
    assert list(probe_all(clips, None, 2)) == expected


def test_unchanged_files_come_from_the_cache(clips, tmp_path, probed):
    cache = tmp_path / "sub" / "m.csv"
    first = list(probe_all(clips, cache, 2))
    assert sorted(probed.paths) == sorted(clips)
    assert list(probe_all(clips, cache, 2)) == first
    assert len(probed.paths) == len(clips)
    rows = [row for row in csv.reader(cache.open()) if row]
    assert rows[0][0] == "path"
    assert len(rows) == 1 + len(clips)


def test_a_changed_file_is_read_again(clips, tmp_path, probed):
    cache = tmp_path / "m.csv"
    probe_all(clips, cache, 1)
    probed.clear()
    os.utime(clips[1], ns=(1, 2))
    assert probe_all(clips, cache, 1)[1].mtime_ns == 2
    assert probed.paths == [clips[1]]


def test_a_torn_line_costs_only_itself(clips, tmp_path, probed):
    cache, inner = tmp_path / "m.csv", probe
    probe_all(clips, cache, 1)
    whole = cache.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 9, whole.index(b'"') + 4):  # the last one inside a quoted path
        cache.write_bytes(whole[:cut])
        assert list(probe_all(clips, cache, 1)) == [inner(path) for path in clips]
        probed.clear()
        probe_all(clips, cache, 1)
        assert probed.paths == []


def test_a_trusted_manifest_is_used_without_a_check(clips, tmp_path, probed):
    cache = tmp_path / "m.csv"
    before = list(probe_all(clips, cache, 1))
    probed.clear()
    os.utime(clips[0], ns=(5, 6))
    assert list(probe_all(clips, cache, 1, trust=True)) == before
    assert probed.paths == []


def test_a_file_that_comes_and_goes_is_noticed_and_written_once_for_each_state(tmp_path, probed):
    cache, path = tmp_path / "m.csv", tmp_path / "a.mp4"
    for present in (False, True, False):
        path.write_bytes(b"x") if present else path.unlink(missing_ok=True)
        for _ in range(2):  # the second time it is known
            (facts,) = probe_all([str(path)], cache, 1)
            assert (facts.error == "no such file") == (not present)
    assert probed.paths == [str(path)] * 3


def test_files_behind_a_uri_are_known_again_and_read_again_after_a_change(clips, tmp_path, probed):
    class Kept(PathHandler):
        def _get_supported_prefixes(self):
            return ["manifest-test://"]

        def _get_local_path(self, path, force=False, **kwargs):
            return str(tmp_path / path.removeprefix("manifest-test://"))

    g_pathmgr.register_handler(Kept(), allow_override=True)
    (tmp_path / "a.mp4").write_bytes(Path(clips[0]).read_bytes())
    uri = "manifest-test://a.mp4"
    for _ in range(2):
        (facts,) = probe_all([uri], tmp_path / "m.csv", 1)
        assert (facts.path, facts.error, facts.width) == (uri, "", 64)
    assert probed.paths == [uri]
    (tmp_path / "a.mp4").write_bytes(Path(clips[1]).read_bytes())
    assert probe_all([uri], tmp_path / "m.csv", 1)[0].video_seconds == pytest.approx(0.6, abs=0.05)


def _probe_with_others(clips, cache, barrier):
    barrier.wait()
    probe_all(clips, Path(cache), 2)


def test_two_processes_may_share_a_manifest(clips, tmp_path, probed):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    cache = tmp_path / "m.csv"
    both = [context.Process(target=_probe_with_others, args=(clips, str(cache), barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert list(probe_all(clips, cache, 1)) == [probe(path) for path in clips]
    assert probed.paths == []


def test_an_interrupted_run_goes_on_where_it_was(clips, tmp_path, monkeypatch, probed):
    cache, inner = tmp_path / "m.csv", manifest.answer_all

    def stops(*args, **kwargs):  # noqa: ANN002, ANN003, ANN202
        for path, facts in inner(*args, **kwargs):
            if path == clips[2]:
                raise KeyboardInterrupt
            yield path, facts

    monkeypatch.setattr(manifest, "answer_all", stops)
    with pytest.raises(KeyboardInterrupt):
        probe_all(clips[:3], cache, 1)
    monkeypatch.setattr(manifest, "answer_all", inner)
    probed.clear()
    probe_all(clips[:3], cache, 1)
    assert probed.paths == [clips[2]]


def test_progress_is_logged(clips, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_PERIOD_S", 0.0)
    with caplog.at_level(logging.INFO):
        probe_all(clips, None, 1)
    assert "headers: 3 of 4 files (75%)" in caplog.text
    assert "headers: 4 files in " in caplog.text


GOOD = MediaInfo("a.mp4", 1, 1, 3.0, 2.5, 25.0, 64, 48, "h264", "aac", 44100, 2)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({}, ""),
        ({"video_seconds": 2.0, "audio_seconds": 2.0}, ""),
        ({"video_seconds": 1.0}, "video lasts 1.00 s, the recipe needs 2.00 s"),
        ({"audio_seconds": 1.5}, "audio lasts 1.50 s, the recipe needs 2.00 s"),
        ({"audio_codec": ""}, "no audio stream"),
        ({"video_codec": ""}, "no video stream"),
        ({"error": "no such file"}, "cannot be opened: no such file"),
    ],
)
def test_exclusion_names_the_cause(change, cause):
    assert exclusion_cause(replace(GOOD, **change), min_seconds=2.0, needs_audio=True) == cause


@pytest.mark.parametrize("needs_audio", [False, True])
def test_causes_of_many_files_are_those_of_each(needs_audio):
    values = {"error": ("", "gone"), "video_codec": ("", "h264"), "audio_codec": ("", "aac")}
    values |= {"video_seconds": (1.0, 1.9995, 3.0), "audio_seconds": (1.0, 1.9995, 3.0)}
    files = [replace(GOOD, **dict(zip(values, combination, strict=True))) for combination in product(*values.values())]
    settings = {"min_seconds": 2.0, "needs_audio": needs_audio}
    each = {row: exclusion_cause(facts, **settings) for row, facts in enumerate(files)}
    assert exclusion_causes(MediaInfoTable(files), **settings) == {row: cause for row, cause in each.items() if cause}


def test_what_a_recipe_does_not_need_excludes_nothing():
    mute = replace(GOOD, audio_codec="", audio_seconds=0.0)
    assert exclusion_cause(mute, min_seconds=2.0, needs_audio=False) == ""
    audio = replace(GOOD, video_codec="", video_seconds=0.0)
    assert exclusion_cause(audio, min_seconds=2.0, needs_audio=True, needs_video=False) == ""


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no real sample data at {MEDIA}")
def test_real_files_are_usable_or_have_their_true_cause():
    files = sorted(path for path in MEDIA.iterdir() if path.suffix != ".csv")
    causes = {
        Path(facts.path).name: exclusion_cause(facts, min_seconds=2.0, needs_audio=True)
        for facts in probe_all([str(path) for path in files], None, 2)
    }
    assert sorted(name for name, cause in causes.items() if not cause) == [
        "1aDnyPubxdY_118000_128000.mp4", "9r8wpMS2iEk_000048_000058.mp4", "bbaf2n.mpg", "flipping_a_pancake.mkv",
        "nasa_13013.mp4", "no_duration.webm", "skateboarding_dog.mp4", "small.mp4", "transparent.webm",
        "v_Surfing_g22_c03.avi", "video_02542.mp4", "video_with_failing_audio.mp4",
    ]  # fmt: skip
    assert causes["corrupted.mp4"] == "no audio stream"
    assert causes["gs-16b-2c-44100hz.ogg"] == "no video stream"
    assert causes["video_21.mp4"] == "video lasts 0.80 s, the recipe needs 2.00 s"


@pytest.mark.parametrize("slow_s", [0.0, 1e9])
def test_changes_are_noticed_by_sequential_and_by_parallel_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_s: float
):
    monkeypatch.setattr(changes, "_SLOW_STAT_S", slow_s)
    monkeypatch.setattr(changes, "_PART_FILES", 2)
    paths = [str(tmp_path / f"{number}.mp4") for number in range(7)]
    for path in paths:
        Path(path).write_text("no media")
    probe_all(paths, tmp_path / "m.csv", 1)
    for number in (0, 3, 4, 6):
        Path(paths[number]).write_text("changed " * (number + 2))
    sizes = probe_all(paths, tmp_path / "m.csv", 1).column("size_bytes")
    assert list(sizes) == [16, 8, 8, 40, 48, 8, 64]


def test_content_swapped_under_the_same_name_is_said(tmp_path, caplog):
    paths = [tmp_path / f"{name}.wav" for name in "ab"]
    for path in paths:
        make_media(path, video=None, audio="pcm_s16le", seconds=0.2)
    given = list(map(str, paths))
    probe_all(given, tmp_path / "manifest.csv", 1)
    before = paths[0].stat().st_size
    make_media(paths[0], video=None, audio="pcm_s16le", seconds=0.3)
    assert not caplog.records
    facts = probe_all(given, tmp_path / "manifest.csv", 1)
    assert facts[0].audio_seconds == pytest.approx(0.3)
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert said[0].startswith("1 files have changed since the manifest was written (size or modification time)")
    assert f"{paths[0]}, {before} bytes then and {paths[0].stat().st_size} now" in said[0]
