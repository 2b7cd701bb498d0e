"""The exact reader as a decoder of pytorchvideo: ``decoder="stica"`` of `EncodedVideo` and `LabeledVideoDataset`."""

import logging
import math
import os
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs pytorchvideo's import where it needs it

from pytorchvideo.data.encoded_video import EncodedVideo
from torch import Tensor

from stica_pv.data.decoding.frames import frame_rate
from stica_pv.data.decoding.media_file import SAME_TIME_S, MediaFile
from stica_pv.data.decoding.reader import read
from stica_pv.errors import UnreadableClip
from stica_pv.structures import ClipRequest, Window

DECODER = "stica"

_PER_FRAME = 4
"""Times per frame of the mean rate; a frame of a variable rate is missed if it is shown for less than such a step."""

_log = logging.getLogger(__name__)
_from_path_of_pytorchvideo = EncodedVideo.from_path


class ExactVideo(EncodedVideo):  # type: ignore[misc]  # untyped
    """A file whose clips hold exactly the frames and audio of their interval.

    Attributes:
        name: Name of the file.
        duration: Seconds of the video.
        audio_rate_hz: Sample rate of the audio, which is that of the file; None without audio.
    """

    def __init__(self, path: str | os.PathLike[str], decode_audio: bool = True) -> None:
        """Read the header.

        Raises:
            UnreadableClip: The file has no video that can be decoded; pytorchvideo's data set takes another file.
        """
        self._path = os.fspath(path)
        try:
            with MediaFile(self._path) as media:
                if media.video is None:
                    raise UnreadableClip(self._path, media.undecodable("video") or "no video stream")
                self._duration, self._fps = media.seconds, frame_rate(media.video)
                audio = media.audio if decode_audio else None
                self.audio_rate_hz = None if audio is None else int(audio.codec_context.sample_rate)
        except UnreadableClip as error:
            _log.warning("%s", error)  # the data set itself says nothing
            raise

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePath(self._path).name

    @property
    def duration(self) -> float:
        """Seconds of the video."""
        return self._duration

    def get_clip(self, start_sec: float | Fraction, end_sec: float | Fraction) -> dict[str, Tensor | None]:
        """Read the frames and audio of [start_sec, end_sec), 0 s being the first frame.

        Returns:
            "video", float32 (3, T, H, W) in 0 to 255, and "audio", float32 (S,), mono in [-1, 1] at the file's rate.
            Both are None if there is no frame or they cannot be decoded, which is logged; "audio" is None without
            audio.
        """
        start, end = max(0.0, float(start_sec)), min(float(end_sec), self._duration)
        if end <= start:
            return {"video": None, "audio": None}
        rate = _PER_FRAME * self._fps
        request = ClipRequest(
            Window(start, end - start, at_end="pad"), math.ceil((end - start) * rate) + 1, rate, self.audio_rate_hz
        )
        try:
            clip = read(self._path, {"clip": request}, frame_choice="previous")["clip"]
        except UnreadableClip as error:
            _log.warning("%s", error)
            return {"video": None, "audio": None}
        times, which = clip.frame_times_s, clip.frame_index
        inside = (times >= start - SAME_TIME_S) & (times < end - SAME_TIME_S)
        wanted = inside.nonzero().flatten() if which is None else which[inside].unique()
        frames = clip.unique_frames[:, wanted].float()
        return {"video": frames if len(wanted) else None, "audio": clip.audio if self.audio_rate_hz else None}

    def close(self) -> None:
        """Do nothing: the file is open only while a clip is read."""


def register_decoder() -> None:
    """Make ``decoder="stica"`` known to pytorchvideo, in this process and those forked from it."""
    EncodedVideo.from_path = classmethod(_from_path)


def _from_path(cls: Any, file_path: str, decode_audio: bool = True, decoder: str = "pyav") -> Any:
    if decoder == DECODER:
        return ExactVideo(file_path, decode_audio)
    return _from_path_of_pytorchvideo(file_path, decode_audio, decoder)
