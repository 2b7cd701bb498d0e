"""Clips in a page: each once, what was asked for, and why if there is nothing to show."""

import base64
import io
import json
from array import array
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import torch
from PIL import Image
from tiny_clips import make_clip

from stica_pv.report.gallery import ModelNeighbors, gallery_of
from stica_pv.report.search import Direction, Found
from stica_pv.report.thumbnails import FRAMES, SIDE, Thumbnails, animated_webp, compressed

RATE_HZ = 16000


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def thumbnails_of(folder: Path, count: int = 3) -> Thumbnails:
    """Clips of which the last is broken; there is no audio encoder."""
    paths = [str(make_clip(folder / f"<{number}>.mp4", number)) for number in range(count)]
    Path(paths[-1]).write_bytes(b"no video")
    names = [Path(path).name for path in paths]
    labeled = SimpleNamespace(paths=paths, names=names, class_names=("a & b", "1"), labels=torch.tensor([0, 1, 0]))
    context = SimpleNamespace(labeled=labeled, durations_s=lambda modality: array("d", [1.5] * count))
    clip_format = SimpleNamespace(audio_rate_hz=RATE_HZ, frame_choice="nearest")
    return Thumbnails(context, SimpleNamespace(clip_format=clip_format, encoders={}))


def test_a_clip_is_put_into_the_page_once_and_a_broken_one_is_named(tmp_path: Path):
    thumbnails = thumbnails_of(tmp_path)
    assert [thumbnails.get(item, "animation") for item in (0, 1, 0, 2)] == [
        "0-animation",
        "1-animation",
        "0-animation",
        None,
    ]
    assert thumbnails.get(0, "spectrogram") is None  # no audio
    assert list(thumbnails.failed) == [2]
    media = json.loads(thumbnails.store().partition(">")[2].partition("</script>")[0])
    assert list(media) == ["0-animation", "1-animation"]
    frame = Image.open(io.BytesIO(content(media["0-animation"])))
    assert (frame.format, frame.n_frames) == ("WEBP", FRAMES)
    assert max(frame.size) <= SIDE
    assert [thumbnails.label(item) for item in (0, 1)] == ["a & b", "class 1"]


def test_compressed_audio_is_heard_as_it_was():
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = (0.5 * np.sin(2 * np.pi * 500 * times)).astype(np.float32)
    with av.open(io.BytesIO(compressed(tone, RATE_HZ))) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert abs(len(heard) - len(tone)) <= 4096
    spectrum = np.abs(np.fft.rfft(heard[4000:20000]))
    assert abs(spectrum.argmax() * RATE_HZ / 16000 - 500) < 2
    assert 0.4 < heard[4000:20000].max() < 0.6


def test_a_single_frame_stands_still():
    one = Image.open(io.BytesIO(content(animated_webp(np.zeros((1, 200, 100, 3), np.uint8), 64, 1.0))))
    assert (getattr(one, "n_frames", 1), one.size) == (1, (32, 64))


def test_gallery_marks_right_and_wrong_in_words_and_escapes_names(tmp_path: Path):
    queries, neighbors = torch.tensor([0, 1]), torch.tensor([[1, 0], [1, 2]])
    found = Found(queries, neighbors, torch.tensor([[0.9, 0.5], [0.8, -0.1]]), torch.tensor([[0, 1], [2, 0]]), 1)
    direction = Direction("video", "video", False, {}, {}, "cosine", "centered")
    html = gallery_of(direction, [ModelNeighbors("trained", found)], thumbnails_of(tmp_path))
    for expected in (
        "1 of the 1 queries with a nearest neighbor of another class",
        "1 of the 1 queries with a correct nearest neighbor",
        "✗ other class", "✓ same class", "★ the clip itself", "cosine -0.10", "a &amp; b",
        "1 clips without features are left out",
        '<span class="value">50</span>',
    ):  # fmt: skip
        assert expected in html, expected
    assert html.index("✗ other class") < html.index("★ the clip itself")  # failures first
    assert "<0>" not in html
    assert "&lt;0&gt;.mp4" in html
