"""Generated clips as files of a run: they appear whole, are never replaced, and have a key for each factor."""

import dataclasses
import errno
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import all_end

from stica_pv.config import apply_overrides
from stica_pv.data.decoding.reader import read
from stica_pv.data.synthetic import (
    SyntheticSettings,
    render_clip,
    write,
    write_clip,
    write_dataset,
)
from stica_pv.data.synthetic.source import settings_from_config
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.structures import ClipRequest, Window

SMALL = SyntheticSettings(size=32, fps=8)
TINY = SyntheticSettings(size=16, fps=4)
CLIPS = {"train": 8, "test": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written data set of ten clips."""
    path = tmp_path_factory.mktemp("generated") / "data"
    assert write_dataset(path, clips=CLIPS, seed=5, settings=SMALL, processes=1)
    return path


def test_lists_name_every_file_and_its_class(folder: Path) -> None:
    lines = (folder / "train.csv").read_text().splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(8))
    assert all((folder / line.split()[0]).is_file() for line in lines)


def test_written_file_gives_back_frames_and_audio(folder: Path) -> None:
    frames, audio = render_clip(1, generator("synthetic", 5, "train", 1), SMALL)
    request = ClipRequest(Window(0.0, 2.0), 16, 8.0, 16000)
    clip = read(str(folder / "train/00001.mp4"), {"all": request})["all"]
    assert clip.frames.shape == (3, 16, 32, 32)
    assert (clip.video_valid, clip.audio_valid) == (1.0, 1.0)
    assert np.abs(clip.frames.permute(1, 2, 3, 0).numpy().astype(float) - frames).mean() < 15  # 4:2:0, quantized
    assert np.corrcoef(clip.audio.numpy(), audio)[0, 1] > 0.8


ENCODING = """
import hashlib, sys
from pathlib import Path
from stica_pv.data.synthetic import SyntheticSettings, render_clip, write_clip
from stica_pv.keyed_random import generator
for size in (32, 64):
    frames, audio = render_clip(1, generator("synthetic", 0, "train", 1), SyntheticSettings(size=size))
    write_clip(Path(sys.argv[1]), frames, audio, fps=12, audio_rate_hz=16000)
    print(hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc fills new memory with a chosen byte")
def test_bytes_of_a_clip_do_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    found = set()
    for byte in ("1", "255"):
        env = {**os.environ, "MALLOC_PERTURB_": byte, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
        command = [sys.executable, "-c", ENCODING, str(tmp_path / f"{byte}.mp4")]
        found.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_repeat_writes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not write_dataset(folder, clips=CLIPS, seed=5, settings=SMALL, processes=1)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_data_of_other_settings_are_refused_and_stay(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    settings = dataclasses.replace(SMALL, size=16)
    differing = r"\(seed 5, wanted 6; size 32, wanted 16\)"
    with pytest.raises(UsageError, match=f"data holds generated clips of other settings {differing}: choose another"):
        write_dataset(folder, clips=CLIPS, seed=6, settings=settings, processes=1)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_clips_whose_settings_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text('{"settings": ')
    with pytest.raises(UsageError, match="other settings .synthetic.json cannot be read.: choose another"):
        write_dataset(tmp_path, clips={"train": 1}, seed=0, settings=TINY)


def test_a_file_in_the_place_of_the_folder_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("precious")
    with pytest.raises(UsageError, match="data is a file, expected a folder: choose another DATA.PATH_TO_DATA_DIR"):
        write_dataset(path, clips={"train": 1}, seed=0, settings=TINY)
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("data", "precious")]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path, *_: Any) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_write_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", clips={"train": 1}, seed=0, settings=TINY, processes=1)
    assert not list(tmp_path.iterdir())


WRITING = """
import sys
from pathlib import Path
from stica_pv.data.synthetic import write_dataset
write_dataset(Path(sys.argv[1]), clips={"train": 100000}, seed=0, processes=2)
"""


@pytest.mark.slow
def test_no_writer_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path / "data")])
    while not list(tmp_path.glob(".data.*/fresh/train/00001.mp4")):
        assert run.poll() is None
        time.sleep(0.02)
    writers = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
    run.kill()
    run.wait()
    assert len(writers) == 2
    assert all_end(writers)


@pytest.mark.parametrize("found", ["nothing", "an empty folder"])
@pytest.mark.parametrize("seed", [0, 1])
def test_of_runs_that_begin_together_the_first_to_end_wins_and_others_want_the_same_or_are_refused(
    found: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    if found == "an empty folder":
        data.mkdir()
    writers = ["the second", "the first"]

    def write_all(fresh: Path, *_: Any) -> None:
        fresh.mkdir()
        (fresh / "writer").write_text(writers.pop())
        if writers:  # another run begins now, and ends before this one
            assert write_dataset(data, clips={"train": 1}, seed=seed, settings=TINY)

    monkeypatch.setattr(write, "_write_all", write_all)
    if seed:
        with pytest.raises(UsageError, match=r"other settings \(seed 1, wanted 0\)"):
            write_dataset(data, clips={"train": 1}, seed=0, settings=TINY)
    else:
        assert not write_dataset(data, clips={"train": 1}, seed=0, settings=TINY)
    assert (data / "writer").read_text() == "the second"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_disk_that_is_mounted_there_is_reported_before_clips_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(UsageError, match="is where a disk is mounted: set DATA.PATH_TO_DATA_DIR to a folder below it"):
        write_dataset(tmp_path, clips={"train": 1}, seed=0, settings=TINY)


def test_a_folder_that_cannot_be_moved_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(write, "_write_all", lambda fresh, *_: fresh.mkdir())
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match="cannot write the generated data .*data: Invalid cross-device link"):
        write_dataset(tmp_path / "data", clips={"train": 1}, seed=0, settings=TINY)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_on_full(*given: Any, **named: Any) -> None:  # in a process of its own
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        write_clip(*given, **named)

    monkeypatch.setattr(write, "write_clip", write_on_full)
    with pytest.raises(UsageError, match="cannot write the generated data .*data: File too large$"):
        write_dataset(tmp_path / "data", clips={"train": 1}, seed=0, settings=TINY, processes=1)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write the generated data .*file/data"):
        write_dataset(tmp_path / "file/data", clips={"train": 1}, seed=0, settings=TINY)


def test_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds files"):
        write_dataset(tmp_path, clips={"train": 1}, seed=0, settings=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_every_factor_is_a_key_of_its_own() -> None:
    cfg = get_cfg()
    assert settings_from_config(cfg) == SyntheticSettings()
    arguments = ["SYNTHETIC.CLASSES", "['up down', 'down up']", "SYNTHETIC.RADIUS", "[0.1, 0.2]", "SYNTHETIC.LEAK", "1"]
    apply_overrides(cfg, arguments)
    expected = SyntheticSettings(classes=(("up", "down"), ("down", "up")), radius=(0.1, 0.2), leak=1.0)
    assert settings_from_config(cfg) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SYNTHETIC.SIZE", "33"], "SYNTHETIC.SIZE: expected an even number, got 33"),
        (["SYNTHETIC.CLASSES", "['up left', 'down up']"], r"SYNTHETIC.CLASSES: .*left"),
        (
            ["SYNTHETIC.AUDIO_RATE_HZ", "15000"],
            r"SYNTHETIC.AUDIO_RATE_HZ: AAC does not support 15000; expected .*16000",
        ),
        (["SYNTHETIC.EVENT_SECONDS", "[0.5, 3]"], r"SYNTHETIC.EVENT_SECONDS: 3.0 s does not fit"),
    ],
)
def test_factors_that_do_not_fit_are_named_by_their_key(arguments: list[str], message: str) -> None:
    cfg = get_cfg()
    apply_overrides(cfg, arguments)
    with pytest.raises(UsageError, match=message):
        settings_from_config(cfg)
