"""An audio encoder on recordings of any length: one embedding for each window of its training length."""

import os
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder
from stica_pv.exchange.preprocess import AudioPreprocess
from stica_pv.structures import describe

_AT_ONCE = 64
"""Windows of a batch: a recording of a minute has over a thousand when they overlap."""


class AudioWindows(nn.Module):
    """Cuts recordings into windows of the training length and encodes each.

    Args:
        path: What `load_encoder` accepts: a checkpoint, an exported encoder, a folder, or a repository of the Hub.

    Attributes:
        sample_rate: Samples per second of the input.
        window: Samples of a window.
        dim: Size of an embedding.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Load the encoder, and find the size of its embeddings with a silent window."""
        super().__init__()
        self.encoder = load_encoder(path, "audio")
        preprocess = cast(AudioPreprocess, self.encoder.preprocess)
        self.sample_rate = preprocess.sample_rate
        self.window = round(preprocess.sample_rate * preprocess.seconds)
        with torch.no_grad():
            self.dim = int(self.encoder(torch.zeros(1, self.window)).shape[1])

    def back_to_back(self, audio: Tensor) -> Tensor:
        """Map (B, S) to (B, N, D): windows that follow each other; the last ends with the recording.

        A recording shorter than a window is padded with silence at its end.
        """
        _check(audio)
        audio = F.pad(audio, (0, max(0, self.window - audio.shape[1])))
        starts = torch.arange(0, audio.shape[1] - self.window + 1, self.window)
        rest = audio.shape[1] - self.window
        if rest > int(starts[-1]):
            starts = torch.cat([starts, torch.tensor([rest])])
        return self._encode(audio, starts)

    def centered(self, audio: Tensor, hop: int) -> Tensor:
        """Map (B, S) to (B, S // hop, D), at least one: window i has its center at (i + 0.5) · hop samples.

        Windows that reach beyond the recording are padded with silence.
        """
        _check(audio)
        steps = max(1, audio.shape[1] // hop)
        first = hop // 2 - self.window // 2
        lead = max(0, -first)
        starts = torch.arange(steps) * hop + first + lead
        missing = int(starts[-1]) + self.window - (audio.shape[1] + lead)
        return self._encode(F.pad(audio, (lead, max(0, missing))), starts)

    def _encode(self, audio: Tensor, starts: Tensor) -> Tensor:
        windows = audio.float().unfold(1, self.window, 1)[:, starts.to(audio.device)]
        parts = [self.encoder(part).float() for part in windows.flatten(0, 1).split(_AT_ONCE)]
        return torch.cat(parts).unflatten(0, windows.shape[:2])


def _check(audio: Tensor) -> None:
    if audio.ndim != 2 or not audio.is_floating_point() or not audio.shape[1]:
        raise UsageError(f"audio: expected float (B, S) in [-1, 1] with S > 0, got {describe(audio)}")
