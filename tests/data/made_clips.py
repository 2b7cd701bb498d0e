"""A reader without files: every clip says in its pixels and samples what was asked for, and bad files can be named."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stica_pv.errors import UnreadableClip
from stica_pv.keyed_random import integer, uniform
from stica_pv.structures import AudioSpec, Clip, ClipRequest, Views, ViewSpec, Window

SIDE, FRAMES, RATE_HZ = 6, 4, 100


class FakeReader:
    """Frame t of video i is filled with 10 i + t; sample s of its audio is i + s / 1000. Picklable."""

    def __init__(self, bad: Mapping[str, str] | None = None, silent: tuple[str, ...] = ()) -> None:
        self.bad, self.silent = bad or {}, silent
        self.calls: list[tuple[str, dict[str, ClipRequest]]] = []

    def __call__(self, path: str, requests: Mapping[str, ClipRequest]) -> dict[str, Clip]:
        """Return a clip for each request."""
        self.calls.append((path, dict(requests)))
        if path in self.bad:
            raise UnreadableClip(path, self.bad[path])
        return {name: self._clip(path, request) for name, request in requests.items()}

    def _clip(self, path: str, request: ClipRequest) -> Clip:
        number = int(path.removesuffix(".mp4"))
        numbered = torch.arange(request.frames, dtype=torch.uint8) + 10 * number
        frames = numbered.view(1, -1, 1, 1).expand(3, -1, SIDE, SIDE).contiguous()
        audio = number + torch.arange(request.audio_samples) / 1000
        valid = float(path not in self.silent)
        error = "" if valid else "no audio can be decoded"
        return Clip(
            frames, torch.zeros(request.frames), audio * valid, request.audio_rate_hz, 1.0, valid, audio_error=error
        )


def cut(frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Cut a square at a random position; the position goes into the first pixel."""
    left = integer(0, SIDE - size, rng)
    part = frames[..., :size, left : left + size].clone()
    part[..., 0, 0] = left
    return part


def sample_windows(duration_s: float, rng: torch.Generator) -> dict[str, Window]:
    """Sample the one window."""
    return {"clip": Window(uniform(0.0, duration_s - 1.0, rng), 1.0)}


def two_views(*, reverse_second: bool = False, needs_audio: bool = True) -> Views:
    """Two views of one window, the first with audio (and the second too if it is reversed)."""
    audio = AudioSpec(RATE_HZ)
    first = ViewSpec("a", "clip", FRAMES, 4.0, 4, cut, audio=audio)
    second = ViewSpec("b", "clip", FRAMES, 4.0, 3, cut, reverse_second, audio if reverse_second else None)
    return Views((first, second), sample_windows, 1.0, needs_audio)
