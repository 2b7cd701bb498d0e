"""Optical flow of a video file, computed by OpenCV's DIS and stored for training (flow_files.py reads it).

DIS (Kroeger et al., ECCV 2016) replaces the TV-L1 of the two-stream papers: it takes milliseconds per frame and is part
of OpenCV's standard packages. TV-L1 flow from other tools can be read as image pairs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from stica_pv.data.conversion.batch_convert import Conversion
from stica_pv.data.decoding.container import failure_cause
from stica_pv.data.decoding.demux import WHOLE_FILE, collect_packets
from stica_pv.data.decoding.flow_files import BOUND, FLOW, TIMES
from stica_pv.data.decoding.frames import DecodedFrames, Frame, FrameConverter, check_complete, timed_frames
from stica_pv.data.decoding.media_file import SAME_TIME_S, MediaFile
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.partial_file import partial_file

_SMALLEST = 16  # pixels per side; OpenCV 5.0 crashes on some smaller frames


@dataclass(frozen=True)
class FlowSettings:
    """How optical flow is computed and stored.

    Attributes:
        short_side: Largest short side in pixels; smaller frames are not enlarged. 0: no limit.
        bound: Motion in pixels per frame that is stored as 0 and 255; larger motion is clipped.
        fps: Flow fields per second, each for the first frame at or after its time; 0: for every frame.
    """

    short_side: int = 128
    bound: float = 20.0
    fps: float = 0.0

    def __post_init__(self) -> None:
        if self.short_side < 0 or not self.bound > 0 or not self.fps >= 0:
            raise UsageError(f"optical flow needs short_side >= 0, bound > 0 and fps >= 0, got {self}")
        _opencv()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UsageError("optical flow needs OpenCV: pip install opencv-python-headless, or -e '.[flow]'") from error
    cv2.setNumThreads(1)  # files are processed in parallel, one per process
    return cv2


def compute_flow(source: str, target: Path, settings: FlowSettings) -> None:
    """Write the optical flow of a file as npz, atomically.

    Each field is the motion from one frame, whose time it has, to the next frame of the file. The npz holds ``flow``
    uint8 (N, 2, H, W), to the right and downwards, 127.5 for no motion; ``times_s`` float64 (N,); and ``bound``. All
    fields of the file are kept in memory.

    Raises:
        UnreadableClip: The source has fewer than two frames, cannot be decoded, or is shorter than its header says.
    """
    try:
        with MediaFile(source) as media:
            if media.video is None:
                raise UnreadableClip(source, media.undecodable("video") or "no video stream")
            found = list(_fields(media, settings))
        if not found:
            raise UnreadableClip(source, "a single frame has no optical flow")
        times, fields = zip(*found, strict=True)
        arrays = {FLOW: np.stack(fields), TIMES: np.array(times), BOUND: np.array(settings.bound)}
        with partial_file(target) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableClip(source, failure_cause(source, error)) from error


def _fields(media: MediaFile, settings: FlowSettings) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """Yield the time of a frame and the flow uint8 (2, H, W) to the next one, for each selected frame."""
    cv2 = _opencv()
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    convert, decoded = FrameConverter(settings.short_side), DecodedFrames()
    before: tuple[float, Any] | None = None
    due_s = 0.0
    for shown_s, frame in timed_frames(media, collect_packets(media, WHOLE_FILE, None).video, decoded):
        if before is None and shown_s < due_s - SAME_TIME_S:
            continue
        gray = _gray(cv2, convert(frame), media.path)
        if before is not None:
            flow = engine.calc(before[1], gray, None).transpose(2, 0, 1)
            yield before[0], np.rint((flow / settings.bound + 1) * 127.5).clip(0, 255).astype(np.uint8)
            due_s = _after(before[0], settings.fps)
        before = (shown_s, gray) if shown_s >= due_s - SAME_TIME_S else None
    check_complete(media, decoded)


def _gray(cv2: Any, frame: Frame, path: str) -> Any:
    height, width, _ = frame.shape
    if min(height, width) < _SMALLEST:
        raise UnreadableClip(path, f"frames of {width} x {height} pixels; optical flow needs {_SMALLEST} x {_SMALLEST}")
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def _after(time_s: float, fps: float) -> float:
    """Return the next multiple of 1 / fps after a time; the time itself if every frame is used."""
    return (math.floor(time_s * fps + SAME_TIME_S) + 1) / fps if fps else time_s


CONVERSION = Conversion("flow", ".npz", compute_flow, lists=False)
