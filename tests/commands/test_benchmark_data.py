"""The benchmarks of the loader and of starting up measure what they say, and run."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch

from stica_pv.commands.benchmarks import loader, loader_clips, loader_paths, startup
from stica_pv.data.loading.collate import collate
from stica_pv.data.manifest import manifest
from stica_pv.data.manifest.manifest import probe
from stica_pv.data.manifest.media_info import MediaInfo
from stica_pv.data.synthetic.plan import SyntheticSettings
from stica_pv.errors import UsageError

SHORT = SyntheticSettings(seconds=2.0, fps=25, size=64)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two short clips in the form of UCF-101's originals."""
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader_clips, "GENERATED", SHORT)
        return loader_clips.as_originals(loader_clips.generate(folder, 2), folder)


def test_originals_are_in_the_form_of_ucf101(originals: list[str]) -> None:
    with av.open(originals[0]) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (container.format.name, video.codec_context.name, audio.codec_context.name) == (
            "avi",
            "mpeg4",
            "mp3float",
        )
        assert (video.codec_context.width, video.codec_context.height, float(video.average_rate)) == (320, 240, 25.0)
        assert (audio.codec_context.sample_rate, audio.codec_context.layout.name) == (44100, "stereo")
        kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert len(kinds) == 50
    assert kinds.count("B") > 20
    assert kinds.count("I") == 1


def test_every_way_reads_the_same_second(originals: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    work = loader_paths.work_on(originals)
    ours = loader_paths.Ours(work)
    received: list[tuple[str, float]] = []
    reader = ours.dataset.reader

    def watched(path, requests):
        received.append((path, requests["clip"].window.start_s))
        return reader(path, requests)

    ours.dataset.reader = watched
    samples = ours.samples()
    assert received == list(zip(work.paths, work.starts_s, strict=True))
    first, second, audio = ours.on_device(collate(samples))
    assert first.shape == second.shape == (2, 3, 30, 112, 112)
    assert first.dtype == torch.float32
    assert audio.shape == (2, 1, 257, 99)
    stacked = []
    monkeypatch.setattr(loader_paths.np, "stack", stacked.append)
    loader_paths.decoding(work, rgb=True)()
    loader_paths.decoding(work, rgb=False)()
    assert all(len(frames) in (25, 26) for frames in stacked)
    assert len(stacked) == 2
    monkeypatch.undo()
    loader_paths.bare_worker(work)()
    loader_paths.pytorchvideo_way(work)()


@pytest.mark.slow
def test_the_loader_is_measured_on_files_of_a_user(originals: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "of_workers", lambda name, *_: loader.Row.single(name, "videos/s", [1.0]))
    folder = str(Path(originals[0]).parent)
    args = argparse.Namespace(data=folder, recode=False, clips=1, passes=1, long=80, repeats=1)
    rows = list(loader.rows(args))
    assert [row.name.partition(":")[0] for row in rows] == ["originals"] * 6 + ["low-resolution copy"] * 7
    assert all(row.figure.median > 0 for row in rows if "Python" not in row.name)
    with pytest.raises(UsageError, match="no media files in"):
        loader_clips.chosen_files(str(Path(__file__).parent), 3)
    with pytest.raises(UsageError, match="--recode only with --data"):
        next(loader.rows(argparse.Namespace(**{**vars(args), "data": "", "recode": True})))
    with pytest.raises(UsageError, match="--long: expected at least 80 clips"):
        next(loader.rows(argparse.Namespace(**{**vars(args), "long": 79})))


def test_as_many_headers_are_read_with_the_guard_as_without(
    originals: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, list[str]] = {"guarded": [], "plain": []}

    def guarded(paths: list[str], processes: int) -> Iterator[MediaInfo]:
        for path in paths:
            read["guarded"].append(path)
            yield probe(path)

    monkeypatch.setattr(manifest, "_probe_each", guarded)
    monkeypatch.setattr(startup, "probe", lambda path: read["plain"].append(path))
    paths = startup.linked(originals, tmp_path, 5)
    assert [Path(path).resolve() for path in paths] == [Path(originals[n % 2]) for n in range(5)]
    (row,) = startup.reading_headers(paths, 1)
    assert read["guarded"] == read["plain"] == paths * 2  # once to warm up
    assert row.figure.median > 0
    assert not any(probe(path).error for path in paths)


@pytest.mark.slow  # workers, and processes that import torch
def test_workers_and_a_long_list_are_measured(originals: list[str], tmp_path: Path) -> None:
    row = loader.of_workers("originals", loader_paths.work_on(originals), 1, 1)
    assert row.figure.median > 0
    time, memory = startup.opening(startup.long_list(tmp_path, 700), 700, 1)
    assert 0 < time.figure.median < 60
    assert memory.figure.median < 200
    (headers,) = startup.reading_headers(startup.linked(originals, tmp_path, 8), 1)
    assert headers.figure.median > 0
