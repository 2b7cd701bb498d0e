"""Writes short clips with frame and audio."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLIP_SECONDS, CLIP_FPS, CLIP_SIZE, CLIP_RATE_HZ = 1.5, 12, (48, 36), 16000


def make_clip(path: Path, number: int, *, seconds: float = CLIP_SECONDS, audio: bool = True) -> Path:
    """Writes an mp4 whose bar moves with a speed, and whose tone has a pitch, of its own."""
    count = round(seconds * CLIP_FPS)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=CLIP_FPS)
        video.width, video.height, video.pix_fmt, video.bit_rate = *CLIP_SIZE, "yuv420p", 200_000
        track = container.add_stream("aac", rate=CLIP_RATE_HZ, layout="mono") if audio else None
        for i in range(count):
            pixels = np.full((*CLIP_SIZE[::-1], 3), 40 + 10 * number, np.uint8)
            pixels[:, (i * (number + 1)) % CLIP_SIZE[0] :][:, :6] = 230
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, CLIP_FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if track is not None:
            times = np.arange(round(seconds * CLIP_RATE_HZ)) / CLIP_RATE_HZ
            tone = (0.4 * np.sin(2 * np.pi * (200 + 90 * number) * times)).astype(np.float32)
            for begin in range(0, len(tone), 1024):
                block = av.AudioFrame.from_ndarray(tone[None, begin : begin + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts = CLIP_RATE_HZ, begin
                container.mux(track.encode(block))
            container.mux(track.encode(None))
    return path
