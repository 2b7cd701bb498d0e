"""The interface of X-ARES, a benchmark of audio representations, for an audio encoder of this package."""

import os

from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.interop.audio_windows import AudioWindows

PATH_VARIABLE = "STICA_PV_ENCODER"
"""The runner of X-ARES builds the encoder without arguments."""


class SticaEncoder(AudioWindows):
    """An audio encoder that maps audio (B, S) in [-1, 1] to (B, T, D).

    Args:
        path: What `load_encoder` accepts; by default, the value of the environment variable ``STICA_PV_ENCODER``.
        hop_ms: Milliseconds between embeddings; by default the length of a training clip, so that windows follow each
            other. Tasks that label moments need a smaller one.

    Attributes:
        sampling_rate: Samples per second of the input.
        output_dim: Size of an embedding.
        hop_size_in_ms: Milliseconds between embeddings.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, hop_ms: float | None = None) -> None:
        """Load the encoder.

        Raises:
            UsageError: There is no path, the file holds no audio encoder, or the hop is less than a sample.
        """
        path = path or os.environ.get(PATH_VARIABLE)
        if not path:
            raise UsageError(f"no weights: expected a path, or the environment variable {PATH_VARIABLE} with one")
        super().__init__(path)
        self.hop = self.window if hop_ms is None else round(hop_ms * self.sample_rate / 1000)
        if self.hop < 1:
            raise UsageError(f"hop_ms: expected at least one sample at {self.sample_rate} Hz, got {hop_ms} ms")
        self.sampling_rate = self.sample_rate
        self.output_dim = self.dim
        self.hop_size_in_ms = 1000 * self.hop / self.sample_rate

    def forward(self, audio: Tensor) -> Tensor:
        """Map audio (B, S) or (S,) to embeddings (B, T, D), T = S // hop and at least 1."""
        return self.centered(audio if audio.ndim == 2 else audio.unsqueeze(0), self.hop)
