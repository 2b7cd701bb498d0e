"""Stored optical flow: found by the video's name, at the window's instants, or named as missing or short."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_media import make_media, numbers_of
from PIL import Image

from stica_pv.data.config import reader_from_config
from stica_pv.data.decoding.flow_files import FLOW, TIMES, FlowFiles
from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.defaults import get_cfg
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import AudioSpec, Clip, ClipRequest, SampleKey, Views, ViewSpec, Window
from stica_pv.transforms import FixedCrop, FlowCrop, RandomResizedCrop

FPS, SECONDS, SHAPE = 10.0, 3.0, (24, 40)
COUNT = round(SECONDS * FPS) - 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "one.mp4"
    return make_media(path, fps=int(FPS), seconds=SECONDS, size=(64, 48), rate_hz=8000)


@pytest.fixture
def video(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "videos" / "a class"
    folder.mkdir(parents=True)
    return Path(shutil.copy(made, folder))


def stored(video: Path, *, times: np.ndarray | None = None, **changes: np.ndarray) -> FlowFiles:
    """Write flow whose values encode the number of the field: x = 3 i, y = 255 - 3 i."""
    folder = video.parents[2] / "flow"
    (folder / "a class").mkdir(parents=True, exist_ok=True)
    times = np.arange(COUNT) / FPS if times is None else times
    rows = np.arange(len(times), dtype=np.uint8) * 3
    fields = np.stack([rows, 255 - rows], 1)[:, :, None, None] * np.ones((1, 1, *SHAPE), np.uint8)
    np.savez_compressed(folder / "a class" / "one.npz", **({FLOW: fields, TIMES: times} | changes))
    return FlowFiles(folder, video.parents[1])


def rows_of(clip: Clip) -> list[int]:
    assert clip.flow.shape[0] == 2
    assert clip.flow.dtype == torch.uint8
    assert torch.equal(clip.flow[1], 255 - clip.flow[0])  # exact: integers
    return [int(value) // 3 for value in clip.flow[0, :, 0, 0]]


def asked(start: float, at_end: str, frames: int = 5, **changes: int) -> ClipRequest:
    return ClipRequest(Window(start, 1.0, at_end), **({"frames": frames, "fps": 5.0, "flow_frames": frames} | changes))


@pytest.mark.parametrize("choice", ["nearest", "previous"])
@pytest.mark.parametrize(
    ("start", "at_end"), [(0.0, "shift"), (1.27, "shift"), (9.0, "shift"), (2.4, "loop"), (2.6, "pad")]
)
def test_fields_are_those_of_the_frames_of_the_window(video: Path, start: float, at_end: str, choice: str) -> None:
    clip = read(str(video), {"w": asked(start, at_end)}, flow=stored(video), frame_choice=choice)["w"]
    assert rows_of(clip) == [min(number, COUNT - 1) for number in numbers_of(clip.frames)]  # the last one has no flow


def test_windows_of_one_file_share_its_flow_and_flow_alone_needs_no_frames(video: Path) -> None:
    requests = {
        "flow": asked(0.5, "shift", frames=0, flow_frames=3, audio_rate_hz=8000),
        "both": asked(1.0, "shift"),
        "none": asked(1.0, "shift", flow_frames=0),
    }
    clips = read(str(video), requests, flow=stored(video))
    assert rows_of(clips["flow"]) == [5, 7, 9]
    assert (clips["flow"].frames.shape, clips["flow"].audio_valid) == ((3, 0, 0, 0), 1.0)
    assert rows_of(clips["both"]) == [10, 12, 14, 16, 18]
    assert clips["none"].flow.shape == (2, 0, 0, 0)


def failure(flow: FlowFiles | None, video: Path, start: float = 1.5) -> str:
    with pytest.raises(UnreadableClip) as caught:
        read(str(video), {"w": asked(start, "shift")}, flow=flow)
    assert caught.value.path == str(video)
    return caught.value.cause


def test_flow_that_is_missing_short_or_broken_is_named(video: Path) -> None:
    assert "has no folder of flow files" in failure(None, video)
    short = stored(video, times=np.arange(12) / FPS)
    assert failure(short, video) == "its optical flow (from 0.00 to 1.10 s) has nothing near 1.50 s of the video"
    read(str(video), {"w": asked(0.3, "shift")}, flow=short)
    hole = np.delete(np.arange(COUNT) / FPS, range(13, 22))
    assert "has nothing near 1.50 s" in failure(stored(video, times=hole), video)
    late = stored(video, times=np.arange(COUNT) / FPS + 1.0)
    assert "has nothing near 0.50 s" in failure(late, video, start=0.5)
    assert "must be increasing" in failure(stored(video, **{TIMES: np.zeros(COUNT)}), video)
    assert "expected flow uint8 (N, 2, H, W)" in failure(stored(video, **{FLOW: np.zeros((COUNT, 2, 4, 4))}), video)
    file = stored(video).folder / "a class" / "one.npz"
    file.write_bytes(file.read_bytes()[:300])
    assert "cannot be read" in failure(FlowFiles(file.parents[1], video.parents[1]), video)
    file.unlink()
    assert failure(FlowFiles(file.parents[1], video.parents[1]), video) == (
        f"no optical flow: found neither {file} nor a folder {file.with_suffix('')}"
    )
    assert "is not below" in failure(FlowFiles(file.parents[1], file.parent), video)


def pairs(video: Path, count: int, first: int = 1) -> FlowFiles:
    folder = video.parents[2] / "pairs" / "a class" / "one"
    folder.mkdir(parents=True)
    for i in range(count):
        for axis, value in (("x", 3 * i), ("y", 255 - 3 * i)):
            Image.new("L", (SHAPE[1], SHAPE[0]), value).save(folder / f"flow_{axis}_{i + first:05d}.png")
    return FlowFiles(folder.parents[1], video.parents[1], FPS)


@pytest.mark.parametrize("first", [0, 1])
def test_frame_pairs_have_the_times_of_their_rate(video: Path, first: int) -> None:
    clip = read(str(video), {"w": asked(1.0, "shift")}, flow=pairs(video, COUNT, first))["w"]
    assert rows_of(clip) == [10, 12, 14, 16, 18]
    assert clip.flow.shape[2:] == SHAPE


def test_frame_pairs_without_rate_partner_or_with_a_gap_are_named(video: Path) -> None:
    whole = pairs(video, COUNT)
    assert "set DATA.FLOW_FPS" in failure(FlowFiles(whole.folder, whole.root), video)
    files = sorted((whole.folder / "a class" / "one").iterdir())
    Image.new("L", (8, 8)).save(files[20])
    assert "cannot be read" in failure(whole, video, start=2.0)
    message = "pairs flow_x_00001.jpg, flow_y_00001.jpg without gaps"
    files[3].unlink()
    assert message in failure(whole, video)
    files[COUNT + 3].unlink()  # its partner
    assert message in failure(whole, video)


def test_a_view_of_flow_shares_its_window_with_frames_and_audio(video: Path) -> None:
    audio = ViewSpec("audio", "broad", 0, 0.0, 0, None, audio=AudioSpec(8000))
    shown = ViewSpec("shown", "broad", 4, 5.0, 24, FixedCrop(24))
    flow = ViewSpec("flow", "broad", 4, 5.0, 24, FlowCrop(RandomResizedCrop(flip_prob=0.0)), flow=True)
    views = Views((shown, flow, audio), lambda seconds, rng: {"broad": Window(1.0, 0.8)}, 0.0, needs_audio=True)
    cfg = get_cfg()
    cfg.DATA.PATH_TO_FLOW_DIR, cfg.DATA.PATH_TO_DATA_DIR = str(stored(video).folder), str(video.parents[1])
    dataset = ClipDataset([str(video)], [SECONDS], views, reader=reader_from_config(cfg, flow=True), seed=0)
    sample = dataset[SampleKey(0, 0)]
    assert {name: tuple(value.shape) for name, value in sample.video.items()} == {
        "shown": (3, 4, 24, 24),
        "flow": (2, 4, 24, 24),
    }
    assert sample.video["flow"][0, :, 0, 0].tolist() == [30, 36, 42, 48]
    with pytest.raises(ValueError, match="none is stored of a reversed video"):
        ViewSpec("flow", "broad", 4, 5.0, 24, FixedCrop(24), flow=True, reversed=True)


def test_flow_that_nobody_said_the_place_of_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    cfg = get_cfg()
    with pytest.raises(UsageError, match="set DATA.PATH_TO_FLOW_DIR"):
        reader_from_config(cfg, flow=True)
    cfg.DATA.PATH_TO_FLOW_DIR = str(tmp_path / "none")
    with pytest.raises(UsageError, match="there is no folder .*none; create it with `stica-pv compute-flow`"):
        reader_from_config(cfg, flow=True)
    reader_from_config(cfg)  # an evaluation does not read flow
