"""Clips of real videos for the measurements of differences."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from stica_pv.data.decoding.frames import FrameChoice
from stica_pv.data.decoding.reader import read
from stica_pv.data.manifest.manifest import probe
from stica_pv.keyed_random import generator, uniform
from stica_pv.structures import Clip, ClipRequest, Window

FRAMES, FPS, RATE_HZ, SECONDS = 30, 30.0, 24000, 1.0
Measured = Iterator[tuple[str, str]]


class Clips:
    """One second at a random position of each video."""

    def __init__(self, paths: list[str], seed: int) -> None:
        self.paths, self.seed = paths, seed
        found = [probe(path) for path in paths]
        self.durations_s = [info.video_seconds for info in found]

    def read(self, choice: FrameChoice = "nearest", gain: float = 1.0) -> list[Clip]:
        """Reads the clips, at the same positions for each choice of frames."""
        clips = []
        for index, (path, duration_s) in enumerate(zip(self.paths, self.durations_s, strict=True)):
            start = uniform(0.0, max(0.0, duration_s - SECONDS), self.rng("start", index))
            request = ClipRequest(Window(start, SECONDS), FRAMES, FPS, RATE_HZ)
            clip = read(path, {"clip": request}, frame_choice=choice)["clip"]
            clips.append(replace(clip, audio=clip.audio * gain))
        return clips

    def rng(self, purpose: str, index: int) -> torch.Generator:
        """Returns a separate generator for each clip and purpose."""
        return generator(purpose, self.seed, index)
