"""Thumbnails of clips: small animations, spectrograms and audio, each stored once per page."""

import copy
import io
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from stica_pv.data.decoding.reader import read
from stica_pv.errors import UnreadableClip
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.report.inspected_step import class_name
from stica_pv.report.media import Pixels, data_uri
from stica_pv.report.page import fragment
from stica_pv.report.strips import spectrogram_of
from stica_pv.structures import ClipRequest, Window
from stica_pv.tasks import AudioEncoder

Kind = Literal["animation", "still", "spectrogram", "audio"]
SIDE, STILL_SIDE = 96, 64  # longest side in pixels
FRAMES, SECONDS = 12, 2.0  # of the middle of a file
QUALITY, EFFORT = 40, 6  # of WebP
AUDIO_BIT_RATE = 32000
BLOCK = 1024  # samples per AAC frame


@dataclass(frozen=True)
class _Clip:
    """Displayed clip of a file: frames (T, H, W, 3), empty for audio alone; audio (S,), empty without audio."""

    frames: Pixels
    audio: NDArray[np.float32]
    seconds: float


class Thumbnails:
    """Create thumbnails on demand and cache them; `store` embeds all of them in the page.

    Attributes:
        failed: Causes of unreadable files, by item.
    """

    def __init__(self, context: EvaluationContext, model: EvaluatedModel) -> None:
        """Prepare thumbnails.

        Args:
            context: Context with the data set.
            model: Model that defines the spectrograms.
        """
        self.failed: dict[int, str] = {}
        self._labeled, self._names = context.labeled, context.labeled.names
        self._paths, self._rate_hz = context.labeled.paths, model.clip_format.audio_rate_hz
        self._choice = model.clip_format.frame_choice
        self._video_seconds, self._audio_seconds = context.durations_s("video"), context.durations_s("audio")
        encoder = model.encoders.get("audio")
        self._log_mel = copy.deepcopy(encoder.log_mel).cpu() if isinstance(encoder, AudioEncoder) else None
        self._clips: dict[int, _Clip | None] = {}
        self._made: dict[str, str] = {}

    def name(self, item: int) -> str:
        """Return the name of a file as in the list."""
        return self._names[item]

    def label(self, item: int) -> str:
        """Return the class names of a file, separated by commas."""
        label, names = self._labeled.labels[item], self._labeled.class_names
        numbers = [int(label)] if label.ndim == 0 else label.nonzero().flatten().tolist()
        return ", ".join(class_name(names, number) for number in numbers)

    def get(self, item: int, kind: Kind) -> str | None:
        """Return the key of a thumbnail in the page; None if the clip has none or is unreadable."""
        name = f"{item}-{kind}"
        if name not in self._made:
            clip = self._clip(item)
            made = None if clip is None else self._make(clip, kind)
            if made is None:
                return None
            self._made[name] = made
        return name

    def store(self) -> Markup:
        """Return all requested thumbnails with the script that inserts them."""
        return fragment("media.html", media=self._made)

    def _clip(self, item: int) -> _Clip | None:
        if item not in self._clips:
            try:
                self._clips[item] = self._read(item)
            except UnreadableClip as error:
                self.failed[item], self._clips[item] = error.cause, None
        return self._clips[item]

    def _read(self, item: int) -> _Clip:
        whole = self._video_seconds[item] or self._audio_seconds[item]
        seconds = min(SECONDS, whole) if whole > 0 else SECONDS
        request = ClipRequest(
            Window(max(0.0, (whole - seconds) / 2), seconds),
            frames=FRAMES if self._video_seconds[item] else 0,
            fps=FRAMES / seconds,
            audio_rate_hz=self._rate_hz if self._audio_seconds[item] else None,
        )
        read_clip = read(self._paths[item], {"clip": request}, frame_choice=self._choice, short_size=SIDE)["clip"]
        frames = read_clip.frames.permute(1, 2, 3, 0).numpy()
        return _Clip(frames, read_clip.audio.numpy() if read_clip.audio_valid else np.zeros(0, np.float32), seconds)

    def _make(self, clip: _Clip, kind: Kind) -> str | None:
        if kind in ("animation", "still"):
            if not len(clip.frames):
                return None
            frames = clip.frames if kind == "animation" else clip.frames[len(clip.frames) // 2 :][:1]
            return animated_webp(frames, SIDE if kind == "animation" else STILL_SIDE, clip.seconds)
        if not len(clip.audio):
            return None
        if kind == "audio":
            return data_uri(compressed(clip.audio, self._rate_hz), "audio/mp4")
        return None if self._log_mel is None else self._spectrogram(clip)

    @torch.no_grad()
    def _spectrogram(self, clip: _Clip) -> str:
        assert self._log_mel is not None  # noqa: S101 - asked by the only caller
        grays = spectrogram_of(self._log_mel(torch.from_numpy(clip.audio).unsqueeze(0))[0])
        return _webp([Image.fromarray(grays).resize((SIDE, SIDE * 2 // 3), Image.Resampling.BOX)])


def animated_webp(frames: Pixels, side: int, seconds: float) -> str:
    """Return frames uint8 (T, H, W, 3) as an animated WebP with a given longest side; one frame gives a still image."""
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    for one in images:
        one.thumbnail((side, side))
    return _webp(images, duration=round(1000 * seconds / len(images)), loop=0)


def _webp(images: list[Image.Image], **settings: Any) -> str:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:], **settings} if len(images) > 1 else {}
    images[0].save(file, "WEBP", quality=QUALITY, method=EFFORT, **more)
    return data_uri(file.getvalue(), "image/webp")


def compressed(waveform: NDArray[np.float32], rate_hz: int) -> bytes:
    """Return audio (S,), mono in [-1, 1], as AAC in MP4, a tenth of its size."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate_hz, layout="mono")
        stream.bit_rate = AUDIO_BIT_RATE
        for begin in range(0, len(waveform), BLOCK):
            block = av.AudioFrame.from_ndarray(waveform[None, begin : begin + BLOCK], format="fltp", layout="mono")
            block.sample_rate, block.pts = rate_hz, begin
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return file.getvalue()
