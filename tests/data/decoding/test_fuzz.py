"""Damaged files: whatever the bytes, reading gives clips of the asked shapes or says why not."""

from pathlib import Path

import pytest
from fuzzing import FINE, UNREADABLE, mutate, try_seeds
from made_media import SAMPLE_DATA, make_media

KINDS = (
    ("h264-aac.mp4", "libx264", "aac", 44100),
    ("vp8-opus.webm", "libvpx", "libopus", 48000),
    ("mpeg4-mp3.avi", "mpeg4", "libmp3lame", 48000),
    ("h264-pcm.avi", "libx264", "pcm_s16le", 16000),
    ("mpeg2-mp2.mpg", "mpeg2video", "mp2", 48000),
    ("h264-aac.mkv", "libx264", "aac", 44100),
    ("mpeg4-aac.mp4", "mpeg4", "aac", 44100),
    ("mpeg4-pcm.mov", "mpeg4", "pcm_s16le", 8000),
    ("flv1-mp3.flv", "flv1", "libmp3lame", 44100),
    ("vp9-opus.webm", "libvpx-vp9", "libopus", 48000),
)
SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mpg", ".mov", ".flv", ".ogg")
LARGEST_BYTES = 400_000


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("small")
    return [
        make_media(folder / name, video=video, audio=audio, seconds=1.2, size=(32, 24), rate_hz=rate_hz)
        for name, video, audio, rate_hz in KINDS
    ]


def assert_harmless(sources: list[Path], folder: Path, seeds: range) -> None:
    found = try_seeds(sources, folder, seeds)
    findings = {
        f"seed {seed}, {sources[seed % len(sources)].name}": result
        for seed, result in found.items()
        if result not in (FINE, UNREADABLE)
    }
    assert findings == {}
    assert len(found) == len(seeds)
    assert set(found.values()) == {FINE, UNREADABLE}  # damage that always, or never, destroys a file tries little


def test_damage_is_determined_by_the_seed():
    content = bytes(range(256)) * 20
    damaged = [mutate(content, seed) for seed in range(40)]
    assert damaged == [mutate(content, seed) for seed in range(40)]
    assert len(set(damaged)) == 40
    assert content not in damaged


def test_damaged_files_give_right_shapes_or_a_cause(small_files: list[Path], tmp_path: Path):
    assert_harmless(small_files, tmp_path, range(160))


@pytest.mark.slow
def test_thousands_of_damaged_files_give_right_shapes_or_a_cause(small_files: list[Path], tmp_path: Path):
    assert_harmless(small_files, tmp_path, range(1000, 2500))


@pytest.mark.slow
def test_damaged_real_files_give_right_shapes_or_a_cause(tmp_path: Path):
    folder = SAMPLE_DATA / "media"
    if not folder.is_dir():
        pytest.skip("the real sample files are not here")
    sources = [
        path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.stat().st_size <= LARGEST_BYTES
    ]
    assert_harmless(sources, tmp_path, range(500))
