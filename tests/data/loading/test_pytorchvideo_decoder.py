"""pytorchvideo's own classes with ``decoder="stica"``."""

import logging
from collections.abc import Iterator
from pathlib import Path

import stica_pv.compat  # noqa: F401 - repairs pytorchvideo's import where it needs it

import pytest
import torch
from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
from pytorchvideo.data.encoded_video import EncodedVideo

from stica_pv.data.decoding.media_file import MediaFile
from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.pytorchvideo_decoder import register_decoder
from stica_pv.errors import UnreadableClip
from stica_pv.structures import ClipRequest, Window

START_S, END_S = 0.31, 0.72


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = EncodedVideo.__dict__["from_path"]
    register_decoder()
    yield
    EncodedVideo.from_path = before


def test_a_clip_has_the_frames_of_pyav_and_the_audio_of_our_reader(clips_folder: Path) -> None:
    path = str(clips_folder / "clip00.mp4")
    video = EncodedVideo.from_path(path, decoder="stica")
    clip = video.get_clip(START_S, END_S)
    frames = EncodedVideo.from_path(path, decoder="pyav").get_clip(START_S, END_S)["video"]
    assert clip["video"].shape == frames.shape
    assert (clip["video"] - frames).abs().max() <= 3  # the two convert colors with other rounding
    request = ClipRequest(Window(START_S, END_S - START_S, at_end="pad"), 0, 1, video.audio_rate_hz)
    assert torch.equal(clip["audio"], read(path, {"a": request})["a"].audio)  # exact: the same reader
    assert len(clip["audio"]) == round((END_S - START_S) * video.audio_rate_hz)


def test_all_clips_together_have_every_frame_once(clips_folder: Path) -> None:
    path = str(clips_folder / "clip01.mp4")
    video = EncodedVideo.from_path(path, decode_audio=False, decoder="stica")
    whole = video.get_clip(0, video.duration)["video"]
    middle = video.duration / 2
    parts = [video.get_clip(0, middle)["video"], video.get_clip(middle, video.duration)["video"]]
    assert torch.equal(torch.cat(parts, 1), whole)  # exact: the same decoded frames
    with MediaFile(path) as media:
        assert media.video is not None
        assert whole.shape[1] == media.video.frames


def test_a_clip_after_the_end_is_none(clips_folder: Path) -> None:
    video = EncodedVideo.from_path(str(clips_folder / "clip01.mp4"), decoder="stica")
    assert video.get_clip(99, 100) == {"video": None, "audio": None}


def test_the_data_set_skips_a_bad_file_and_names_it(
    clips_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    files = [(str(bad), {"label": 0}), (str(clips_folder / "clip00.mp4"), {"label": 1})]
    with caplog.at_level(logging.WARNING):
        data = LabeledVideoDataset(
            files, make_clip_sampler("uniform", 0.4), torch.utils.data.SequentialSampler, decoder="stica"
        )
        samples = list(data)
    assert {sample["label"] for sample in samples} == {1}
    assert len(caplog.records) == 1
    assert "bad.mp4" in caplog.text
    with pytest.raises(UnreadableClip, match="bad.mp4"):
        EncodedVideo.from_path(str(bad), decoder="stica")
